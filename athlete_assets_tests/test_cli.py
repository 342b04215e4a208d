"""The command line as a person uses it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import dagster as dg
import pytest

from athlete_assets import cli
from athlete_assets.gold.report import summary_text
from athlete_assets.settings import Settings
from athlete_assets.store.local import LocalStore

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
        ({"ATHLETE_TIMEZONE": "UTC"}, "did you mean ATHLETE_TIME_ZONE"),
        ({"ATHLETE_ENGINE": "duck"}, "ATHLETE_ENGINE=duck"),
        ({"ATHLETE_START_DATE": "2024-05-15"}, "must be a Monday, such as 2024-05-13"),
        ({"ATHLETE_AS_OF": "2999-01-01"}, "lies in the future"),
        ({"ATHLETE_TIME_ZONE": "Mars/Olympus"}, "IANA time zone"),
        ({"ATHLETE_TIME_ZONE": "Louisville"}, "America/Kentucky/Louisville or America/Louisville"),
    ],
    ids=[
        "unknown setting",
        "misspelled setting",
        "unknown value",
        "start date not a Monday",
        "future date",
        "unknown zone",
        "a city twice",
    ],
)
def test_a_wrong_setting_gets_one_sentence(called: Callable[..., Said], settings: dict[str, str], says: str) -> None:
    code, (line,) = called("status", **settings)
    assert code == 2
    assert says in line


def test_several_files_are_imported_in_turn_and_a_bad_one_is_named(called: Callable[..., Said], tmp_path: Path) -> None:
    for name, start in (("a", 1), ("b", 2)):
        lines = ["athlete_id,id,start_date,start_date_local,sport_type,distance,moving_time,elapsed_time"]
        lines += [f"x,{start},2024-05-0{start}T08:00:00Z,2024-05-0{start}T08:00:00,Run,8000,2700,2700"]
        (tmp_path / f"{name}.csv").write_text("\n".join(lines) + "\n")
    (tmp_path / "c.csv").write_text("name,price\nflour,2.50\n")
    code, (line,) = called("import", *(str(tmp_path / f"{name}.csv") for name in "abc"), ATHLETE_TIME_ZONE="UTC")
    assert code == 2
    assert "c.csv" in line
    said = summary_text(LocalStore(Settings(home=tmp_path / "home")))
    assert said.startswith("1 athlete, 2 silver activities: 0 accepted, 0 rejected, 2 not looked at yet")


def test_a_zone_is_known_by_its_city() -> None:
    assert Settings.load({"ATHLETE_TIME_ZONE": "sao paulo"}).time_zone == "America/Sao_Paulo"


def test_a_port_that_another_program_has_is_refused(called: Callable[..., Said]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        code, (line,) = called("ui", "--port", port)
    assert code == 2
    assert f"port {port} cannot be had" in line


@pytest.mark.slow
def test_ctrl_c_in_the_middle_of_a_step_is_told_in_one_sentence(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "athlete_assets.cli", "run", "--athletes", "2", "--years", "0.5"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "ATHLETE_HOME": str(tmp_path / "home")},
        # a shell may have started the tests with the signal ignored, which children inherit
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    assert process.stdout is not None
    said = []
    for line in process.stdout:
        said.append(line.strip())
        if line.strip() == "athlete_daily_features ...":
            process.send_signal(signal.SIGINT)
    assert process.wait() == 130, said
    assert said[-2:] == ["athlete_daily_features interrupted", "athlete-assets: interrupted; what was committed stays"]
    with dg.DagsterInstance.from_config(str(tmp_path / "home" / "dagster")) as instance:
        (run,) = instance.get_runs(limit=1)
    assert run.status == dg.DagsterRunStatus.CANCELED


@pytest.mark.slow
def test_a_simulated_cohort_runs_from_silver_to_predictions(tmp_path: Path) -> None:
    done = athlete_assets(tmp_path / "home", "run", "--athletes", "3", "--years", "0.5")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 athletes" in done.stdout
    assert "10k" in done.stdout
    status = athlete_assets(tmp_path / "home", "status")
    assert status.returncode == 0
    assert status.stdout.strip() in done.stdout
