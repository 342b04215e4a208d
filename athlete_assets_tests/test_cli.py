"""The command line as a person uses it."""

from __future__ import annotations

import json
import os
import pty
import re
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

import click
import dagster as dg
import pytest

from athlete_assets import cli, runs, tables
from athlete_assets.days import midnight
from athlete_assets.gold.report import summary_text
from athlete_assets.settings import Settings
from athlete_assets.store.local import LocalStore
from athlete_assets_tests.rows import rows

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


def all_commands() -> Iterator[tuple[list[str], click.Command]]:
    """Each command that does something, with the words that call it."""
    for name, command in cli.cli.commands.items():
        if isinstance(command, click.Group):
            yield from (([name, below], of) for below, of in command.commands.items())
        else:
            yield [name], command


def test_each_command_stands_in_one_section_of_the_help_and_the_exit_codes_below(
    called: Callable[..., Said], capsys: pytest.CaptureFixture[str]
) -> None:
    named = [name for names in cli.SECTIONS.values() for name in names]
    assert sorted(named) == sorted(cli.cli.commands)
    assert cli.main(["--help"]) == 0
    said = capsys.readouterr().out
    assert re.findall(r"^  (\w+)  +[A-Z]", said, re.M) == named
    assert re.findall(r"^    (\d+) ", said, re.M) == ["0", "1", "2", "130"]
    assert max(map(len, said.splitlines())) <= 110


@pytest.mark.parametrize(("words", "command"), [pytest.param(*each, id=" ".join(each[0])) for each in all_commands()])
def test_the_help_of_each_command_has_an_example_that_is_right(words: list[str], command: click.Command) -> None:
    lines = str(command.epilog).splitlines()
    examples = [shlex.split(line) for line in lines if line.startswith("  athlete-assets ")]
    assert examples
    for example in examples:
        assert example[1 : len(words) + 1] == words
        assert command.make_context(words[-1], example[len(words) + 1 :]).params.keys() == {
            each.name for each in command.params
        }
    assert command.help
    assert all(option.help for option in command.params if isinstance(option, click.Option) and not option.hidden)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["stauts"], "No such command 'stauts'. Did you mean 'status'? (athlete-assets --help)"),
        (["status", "--jsn"], "No such option '--jsn'. Did you mean '--json'? (athlete-assets status --help)"),
        (["databricks", "chek"], "Did you mean 'check'? (athlete-assets databricks --help)"),
        (["run", "--years", "0"], "Invalid value for '--years': 0 is not a number above 0 and at most 50"),
        (["run", "--athletes", "1.5"], "'--athletes': 1.5 is not a whole number of at least 1"),
        (["predictions", "--day", "15.5.2024"], "'--day': 15.5.2024 is not a day such as 2024-05-15"),
        (["ui", "--port", "70000"], "'--port': 70000 is not a port: a whole number from 1 to 65535"),
        (["export", "summary", "--format", "xlsx"], "'xlsx' is not one of 'csv', 'json', 'parquet'"),
        (["import", "~nobody_of_that_name/a.csv"], "there is no such user's home folder"),
        (["run", "a.csv", "--athletes", "3"], "say either files or --athletes and --years of a simulated cohort"),
        (["forget"], "Missing option '--athlete'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_wrong_call_gets_one_sentence(called: Callable[..., Said], words: list[str], says: str) -> None:
    code, (line,) = called(*words)
    assert code == 2
    assert line.startswith("athlete-assets: ")
    assert says in line


def test_no_command_at_all_shows_what_there_is(called: Callable[..., Said]) -> None:
    code, lines = called()
    assert code == 2
    assert lines[0].startswith("Usage: athlete-assets")


def activities(path: Path, *ids: int) -> Path:
    lines = ["athlete_id,id,start_date,start_date_local,sport_type,distance,moving_time,elapsed_time"]
    lines += [f"x,{n},2024-05-0{n}T08:00:00Z,2024-05-0{n}T08:00:00,Run,8000,2700,2700" for n in ids]
    path.write_text("\n".join(lines) + "\n")
    return path


def test_run_simulates_into_an_empty_home_alone_unless_it_is_told_to(
    called: Callable[..., Said], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "materialise_everything", lambda settings: 1)
    store = LocalStore(Settings(home=tmp_path / "home"))

    def athletes() -> set[str]:
        return set(store.rows(tables.STRAVA_ACTIVITIES, ["athlete_id"])["athlete_id"].to_pylist())

    called("import", str(activities(tmp_path / "a.csv", 1)), ATHLETE_TIME_ZONE="UTC")
    assert called("run")[0] == 1
    assert athletes() == {"x"}
    called("run", "--athletes", "2", "--years", "0.1")
    assert athletes() == {"x", "sim_000001", "sim_000002"}


def test_a_plan_is_imported_like_any_file(called: Callable[..., Said], tmp_path: Path) -> None:
    called("import", str(activities(tmp_path / "a.csv", 1)), ATHLETE_TIME_ZONE="UTC")
    (tmp_path / "plan.csv").write_text("date,load,race\n2024-06-01,80,\n2024-06-02,,true\n")
    assert called("import", str(tmp_path / "plan.csv"))[0] == 0
    days = LocalStore(Settings(home=tmp_path / "home")).rows(tables.ATHLETE_PLAN).sort_by("plan_date").to_pylist()
    assert [(day["athlete_id"], day["load_tss"], day["is_race"]) for day in days] == [
        ("x", 80.0, False),
        ("x", None, True),
    ]


def test_json_is_one_document_and_nothing_else(
    called: Callable[..., Said], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    called("import", str(activities(tmp_path / "a.csv", 1, 2)), ATHLETE_TIME_ZONE="UTC")
    store = LocalStore(Settings(home=tmp_path / "home"))
    day = midnight(date(2024, 5, 2))
    for table, row in (
        (tables.METRICS_SUMMARY, {"as_of_date": day, "days_since_activity": 0}),
        (tables.PREDICTIONS, {"prediction_date": day, "predicted_10k_s": 2400.0}),
    ):
        store.create(table)
        store.folder(table).append(rows(table, row))
    capsys.readouterr()

    def said(*words: str) -> Any:
        assert cli.main([*words, "--json"]) in (0, 1)
        return json.loads(capsys.readouterr().out)

    whole = said("status")
    assert (whole["athletes"], whole["activities"]) == (1, {"silver": 2, "accepted": 0, "rejected": 0, "waiting": 2})
    (form,) = whole["form"]
    assert form["as_of_date"] == "2024-05-02T00:00:00+00:00"
    assert form["fitness_ctl"] is None
    assert form["predictions"]["predicted_10k_s"] == 2400.0
    one = said("status", "--athlete", "x")
    assert one["summary"] == {name: value for name, value in form.items() if name != "predictions"}
    assert one["predictions"] == form["predictions"]
    assert one["load_room"] is None
    assert [row["prediction_date"] for row in said("predictions")] == ["2024-05-02T00:00:00+00:00"]
    (imported,) = said("imports")
    assert (imported["file_name"], imported["activities_new"], imported["undone_at"]) == ("a.csv", 2, None)


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
        ({"ATHLETE_TIME_ZONE": "Berln"}, "did you mean Europe/Berlin?"),
        ({"ATHLETE_TIME_ZONE": "Amerika/Sao Palo"}, "did you mean America/Sao_Paulo?"),
        ({"ATHLETE_TIME_ZONE": "GMT+3"}, "is an offset, which knows no summer time"),
        ({"ATHLETE_TIME_ZONE": "Louisville"}, "America/Kentucky/Louisville or America/Louisville"),
    ],
    ids=[
        "unknown setting",
        "misspelled setting",
        "unknown value",
        "start date not a Monday",
        "future date",
        "unknown zone",
        "misspelled city",
        "misspelled zone",
        "an offset, of which IANA has the sign the other way round",
        "a city twice",
    ],
)
def test_a_wrong_setting_gets_one_sentence(called: Callable[..., Said], settings: dict[str, str], says: str) -> None:
    code, (line,) = called("status", **settings)
    assert code == 2
    assert says in line


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--runs", "a.csv", "--athletes", "5"], "say either --runs or --athletes and --years"),
        (["--train-runs", "a.csv"], "say with --runs what is to be predicted"),
        (["--runs", "a.csv", "--runs", "there/a.csv"], "a.csv, a.csv: the figures are told by name of file"),
        (["--runs", "a.csv", "--json", "nowhere/out.json"], "nowhere does not exist; make it first"),
    ],
)
def test_an_evaluation_of_what_cannot_be_is_refused_before_anything_is_read(
    called: Callable[..., Said], arguments: list[str], said: str
) -> None:
    code, lines = called("evaluate", *arguments)
    assert code != 0
    assert said in lines[-1]


def test_an_import_of_nothing_simulates_nobody(called: Callable[..., Said]) -> None:
    code, (line,) = called("import")
    assert code == 2
    assert "say what to import: files, or a simulated cohort by --athletes or --years" in line


def test_several_files_are_imported_in_turn_and_a_bad_one_is_named(called: Callable[..., Said], tmp_path: Path) -> None:
    for name, number in (("a", 1), ("b", 2)):
        activities(tmp_path / f"{name}.csv", number)
    (tmp_path / "c.csv").write_text("name,price\nflour,2.50\n")
    code, (line,) = called("import", *(str(tmp_path / f"{name}.csv") for name in "abc"), ATHLETE_TIME_ZONE="UTC")
    assert code == 2
    assert "c.csv" in line
    said = summary_text(LocalStore(Settings(home=tmp_path / "home")))
    assert said.startswith("1 athlete, 2 silver activities: 0 accepted, 0 rejected, 2 not looked at yet")


@pytest.mark.parametrize(
    ("told", "zone"), [("sao paulo", "America/Sao_Paulo"), ("europe/berlin", "Europe/Berlin"), ("utc", "UTC")]
)
def test_a_zone_is_known_by_its_city_and_in_small_letters(told: str, zone: str) -> None:
    assert Settings.load({"ATHLETE_TIME_ZONE": told}).time_zone == zone


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
        said += [line.strip()] if line.strip() else []  # the line that the terminal's ^C stands on
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


@pytest.mark.slow
def test_help_and_version_import_nothing_heavy() -> None:
    code = "import sys; from athlete_assets.cli import main; main(sys.argv[1:]); print(*sys.modules, file=sys.stderr)"
    for argument in ("--help", "--version"):
        done = subprocess.run([sys.executable, "-c", code, argument], capture_output=True, text=True, check=True)
        assert not {"dagster", "pydantic", "pyarrow", "pyspark", "numpy", "rich"} & set(done.stderr.split())
    done = subprocess.run([sys.executable, "-c", code, "status"], capture_output=True, text=True, check=True)
    assert not {"dagster", "pyspark", "mlflow", "scipy"} & set(done.stderr.split())


@pytest.mark.slow
def test_bash_completes_commands_options_files_and_tables(tmp_path: Path) -> None:
    script = """
    eval "$(_ATHLETE_ASSETS_COMPLETE=bash_source athlete-assets)"
    try() {
        COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=()
        _athlete_assets_completion athlete-assets
        echo "${COMPREPLY[*]}"
    }
    try athlete-assets im
    try athlete-assets status --j
    try athlete-assets databricks ""
    try athlete-assets rebuild weekly
    try athlete-assets export strava_rec
    """
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, env=environment, cwd=tmp_path)
    assert done.stdout.splitlines() == [
        "import imports",
        "--json",
        "check init",
        "feature_store.athlete_weekly_features",
        "silver.strava_recording",
    ]


def on_terminal(home: Path, *arguments: str, **environment: str) -> str:
    """What the command line writes to a terminal, as it comes."""
    reader, writer = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "athlete_assets.cli", *arguments],
        stdout=writer,
        stderr=writer,
        stdin=writer,
        env={**os.environ, "ATHLETE_HOME": str(home), "TERM": "xterm", "NO_COLOR": "", **environment},
    )
    os.close(writer)
    said = b""
    while True:
        try:
            part = os.read(reader, 65_536)
        except OSError:  # Linux says so of a terminal whose last writer has gone
            break
        if not part:
            break
        said += part
    os.close(reader)
    process.wait()
    return said.decode()


@pytest.mark.slow
def test_a_terminal_gets_colours_and_a_bar_and_a_pipe_plain_lines(tmp_path: Path) -> None:
    folder = tmp_path / "runs"
    folder.mkdir()
    for n in range(1, 6):
        points = "".join(
            f'<trkpt lat="1" lon="{n}.{m:03}"><time>2024-05-0{n}T08:{m:02}:00Z</time></trkpt>' for m in range(40)
        )
        (folder / f"{n}.gpx").write_text(f"<gpx><trk><type>running</type><trkseg>{points}</trkseg></trk></gpx>")
    importing = ("import", str(folder), "--athlete", "ann")
    shown = on_terminal(tmp_path / "a", *importing, ATHLETE_TIME_ZONE="UTC")
    assert "5 activities" in shown
    assert "5/5" in shown
    assert "\x1b[2K" in shown
    plain = athlete_assets(tmp_path / "b", *importing)
    assert plain.returncode == 0, plain.stderr
    assert "5 activities" in plain.stdout
    assert "\x1b" not in plain.stdout + plain.stderr
    assert "5/5" not in plain.stdout

    assert "\x1b[32mok" in on_terminal(tmp_path / "a", "doctor")
    without = on_terminal(tmp_path / "a", "doctor", NO_COLOR="1")
    assert "ok    Python" in without
    assert "\x1b" not in without


@pytest.mark.parametrize("command", [["undo"], ["doctor"], ["imports"], ["plan"], ["maintain"], ["report"], ["run"]])
def test_a_home_that_cannot_be_written_is_said_in_one_line(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch(mode=0o444)
    monkeypatch.setenv("ATHLETE_HOME", str(tmp_path / "file" / "home"))
    assert cli.main(command) == cli.REFUSED
    [line] = capsys.readouterr().err.splitlines()
    assert f"nothing can be written into {tmp_path / 'file'}; give the right to" in line
