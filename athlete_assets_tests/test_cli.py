"""The command line as a person uses it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from athlete_assets import cli

Said = tuple[int, list[str]]
"""A command's exit code, and the lines that it wrote to stderr."""


@pytest.fixture
def called(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    """Calls the command line in this process, on a home of its own."""

    def call(*arguments: str, **settings: str) -> Said:
        for name in [name for name in os.environ if name.startswith("ATHLETE_")]:
            monkeypatch.delenv(name)
        for name, value in {"ATHLETE_HOME": str(tmp_path / "home"), **settings}.items():
            monkeypatch.setenv(name, value)
        code = cli.main(arguments)
        return code, capsys.readouterr().err.strip().splitlines()

    return call


def athlete_assets(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs the command line as a process of its own."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("ATHLETE_")}
    environment |= {"ATHLETE_HOME": str(home)}
    command = [sys.executable, "-m", "athlete_assets.cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=environment)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "missing.csv"),
        (b"", "empty"),
        (b"name,price\nflour,2.50\n", "column"),
    ],
    ids=["missing file", "empty file", "a CSV of something else"],
)
def test_a_file_that_cannot_be_read_gets_one_sentence_and_leaves_nothing(
    called: Callable[..., Said], tmp_path: Path, content: bytes | None, says: str
) -> None:
    path = tmp_path / "missing.csv"
    if content is not None:
        path.write_bytes(content)
    code, (line,) = called("run", "--export", str(path))
    assert code == 2
    assert says in line
    assert not list((tmp_path / "home").rglob("*.parquet"))


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"ATHLETE_COLOUR": "red"}, "unknown setting ATHLETE_COLOUR"),
        ({"ATHLETE_ENGINE": "duck"}, "ATHLETE_ENGINE=duck"),
        ({"ATHLETE_START_DATE": "2024-05-15"}, "must be a Monday, such as 2024-05-13"),
        ({"ATHLETE_AS_OF": "2999-01-01"}, "lies in the future"),
        ({"ATHLETE_TIME_ZONE": "Mars/Olympus"}, "IANA time zone"),
    ],
    ids=["unknown setting", "unknown value", "start date not a Monday", "future date", "unknown zone"],
)
def test_a_wrong_setting_gets_one_sentence(called: Callable[..., Said], settings: dict[str, str], says: str) -> None:
    code, (line,) = called("status", **settings)
    assert code == 2
    assert says in line


@pytest.mark.slow
def test_a_simulated_cohort_runs_from_silver_to_predictions(tmp_path: Path) -> None:
    done = athlete_assets(tmp_path / "home", "run", "--athletes", "3", "--years", "0.5")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 athletes" in done.stdout
    assert "10k" in done.stdout
    status = athlete_assets(tmp_path / "home", "status")
    assert status.returncode == 0
    assert status.stdout.strip() in done.stdout
