"""The pages beside the Dagster UI: for this machine's browser alone."""

from __future__ import annotations

import http.client
import socket
from pathlib import Path

import pytest

from athlete_assets.deployments.pages_server import shown


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "pages" / "athletes").mkdir(parents=True)
    (tmp_path / "pages" / "index.html").write_text("the coach's page")
    (tmp_path / "pages" / "athletes" / "ann.html").write_text("ann's page")
    (tmp_path / "secret.html").write_text("not a page")
    return tmp_path / "pages"


def asked(address: str, path: str, host: str | None = None) -> tuple[int, str]:
    connection = http.client.HTTPConnection(address.removeprefix("http://"), timeout=20)
    connection.request("GET", path, headers={"Host": host} if host else {})
    answer = connection.getresponse()
    return answer.status, answer.read().decode()


def test_pages_are_shown_and_nothing_else(folder: Path) -> None:
    with shown(folder, 0) as address:
        assert address is not None
        assert asked(address, "/index.html") == (200, "the coach's page")
        assert asked(address, "/athletes/ann.html") == (200, "ann's page")
        assert asked(address, "/athletes/")[0] == 404  # no list of athletes
        assert asked(address, "/../secret.html")[0] == 404
        assert asked(address, "/%2e%2e/secret.html")[0] == 404


def test_a_name_that_leads_here_from_elsewhere_gets_nothing(folder: Path) -> None:
    with shown(folder, 0) as address:
        assert address is not None
        assert asked(address, "/index.html", host="evil.example:80")[0] == 403
        assert asked(address, "/index.html", host="localhost:3001")[0] == 200


def test_where_the_port_is_taken_there_is_no_address(folder: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with shown(folder, taken.getsockname()[1]) as address:
            assert address is None
