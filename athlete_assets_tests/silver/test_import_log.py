"""Imports are numbered and listed, and the last one can be taken back."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from athlete_assets import cli, commands, tables
from athlete_assets.errors import InputError
from athlete_assets.forgetting.athlete import forget
from athlete_assets.settings import Settings
from athlete_assets.silver import import_log, imports, landing, statements
from athlete_assets.store.local import LocalStore
from athlete_assets_tests.silver.exports import RUN, export

LATER = {**RUN, "Activity ID": "99", "Activity Date": "Jun 19, 2022, 9:05:00 PM"}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LocalStore:
    monkeypatch.setenv("ATHLETE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TZ", "UTC")
    return LocalStore(Settings(home=tmp_path / "home"))


def imported(folder: Path, name: str, text: str, *options: str) -> None:
    (folder / name).write_text(text)
    assert cli.main(["import", "--export", str(folder / name), *options]) == 0


def held(store: LocalStore) -> dict[tables.Table, list[str]]:
    """All rows of what imports write, in some order."""
    written = (tables.STRAVA_ACTIVITIES, tables.STRAVA_ATHLETE, tables.RACES)
    return {table: sorted(map(repr, store.rows(table).to_pylist())) for table in written}


def said(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert cli.main(list(words)) == 0
    return capsys.readouterr().out


def test_the_last_import_is_taken_back_and_then_the_one_before(
    home: LocalStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    imported(tmp_path, "first.csv", export(RUN))
    after_first = held(home)
    imported(tmp_path, "second.csv", export({**RUN, "Average Heart Rate": "151.0"}, LATER))
    imported(tmp_path, "second.csv", export({**RUN, "Average Heart Rate": "151.0"}, LATER))  # changes nothing
    capsys.readouterr()
    listed = said(capsys, "imports").splitlines()
    assert [line.split()[0] for line in listed] == ["1", "2"]
    assert "second.csv: 2 activities, 1 new, 1 changed" in listed[1]
    statements.state(home, "me", ["max-hr=187"])
    stated = home.rows(tables.STRAVA_ATHLETE).to_pylist()
    assert "Import 2 (second.csv) is taken back" in said(capsys, "undo")
    assert {**held(home), tables.STRAVA_ATHLETE: after_first[tables.STRAVA_ATHLETE]} == after_first
    assert home.rows(tables.STRAVA_ATHLETE).to_pylist() == stated
    assert "taken back" in said(capsys, "imports")
    said(capsys, "undo")
    assert home.rows(tables.STRAVA_ACTIVITIES).num_rows == 0
    assert cli.main(["undo"]) == 2
    assert "no import" in capsys.readouterr().err


def test_a_race_list_stays_in_force_when_imports_after_it_are_taken_back(home: LocalStore, tmp_path: Path) -> None:
    """The race is entered, then one of the runs, then changed by its source: each way back leaves one race."""

    def races() -> list[tuple[str, float]]:
        rows = home.rows(tables.STRAVA_ACTIVITIES).to_pylist()
        return [(row["source"], row["elapsed_time"]) for row in rows if row["workout_type"] == 1]

    imported(tmp_path, "first.csv", export(LATER))
    imported(tmp_path, "races.csv", "date,distance,time\n2022-06-09,10,41:30\n")
    before = [held(home)]
    assert races() == [(tables.OWN_WORD, 2490.0)]
    run = {**RUN, "Distance": ("10.05", "10050.0"), "Elapsed Time": ("2495", "2495.0"), "Moving Time": "2490.0"}
    imported(tmp_path, "second.csv", export(run, LATER))
    before.append(held(home))
    assert races() == [("strava_export", 2495.0)]
    imported(tmp_path, "third.csv", export({**run, "Elapsed Time": ("2500", "2500.0")}, LATER))
    assert races() == [("strava_export", 2500.0)]
    for state in reversed(before):
        import_log.undo(home)
        assert held(home) == state


def test_races_statements_and_dropped_activities_come_back(
    home: LocalStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    imported(tmp_path, "first.csv", export(RUN, LATER))
    before: list[dict[tables.Table, list[Any]]] = [held(home)]
    imported(tmp_path, "athletes.csv", "athlete_id,max_hr_bpm\nme,180\n")
    before.append(held(home))
    imported(tmp_path, "races.csv", "date,distance,time\n2022-05-01,10,41:30\n")
    before.append(held(home))
    imported(tmp_path, "export.csv", export(RUN), "--drop-missing")
    assert held(home) != before[2]
    for state in reversed(before):
        said(capsys, "undo")
        assert held(home) == state


def test_an_import_that_was_killed_after_it_wrote_is_noted_by_the_next_command(
    home: LocalStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    imported(tmp_path, "first.csv", export(RUN))
    before = held(home)
    (tmp_path / "second.csv").write_text(export({**RUN, "Average Heart Rate": "151.0"}, LATER))
    with landing.landing_lock(home):  # and no more: what a kill leaves
        import_log.begin(home, "second.csv")
        landing.land(home, imports.read_runs(tmp_path / "second.csv", home.settings))
    capsys.readouterr()
    assert "second.csv: 2 activities, 1 new, 1 changed" in said(capsys, "imports").splitlines()[1]
    said(capsys, "undo")
    assert held(home) == before
    with landing.landing_lock(home):
        import_log.begin(home, "third.csv")  # killed before it wrote anything
    assert len(said(capsys, "imports").splitlines()) == 2
    assert not list(home.path(tables.IMPORTS).parent.glob("import_begun*"))


def test_an_import_that_fails_after_it_wrote_is_noted(home: LocalStore, tmp_path: Path) -> None:
    (tmp_path / "first.csv").write_text(export(RUN))
    runs = imports.read_runs(tmp_path / "first.csv", home.settings)

    def fail() -> None:
        with import_log.noted(home, "first.csv"):
            landing.land(home, runs)
            raise OSError("the disk is full")

    with pytest.raises(OSError, match="disk"):
        fail()
    assert [(row["file_name"], row["activities_new"]) for row in import_log.imports(home)] == [("first.csv", 1)]


@pytest.mark.slow
def test_a_killed_import_is_taken_back(home: LocalStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    imported(tmp_path, "first.csv", export(RUN))
    before = held(home)
    (tmp_path / "second.csv").write_text(export({**RUN, "Average Heart Rate": "151.0"}, LATER))
    program = (
        "import os\nfrom athlete_assets import cli\nfrom athlete_assets.silver import import_log\n"
        "import_log._note = lambda *_: os.kill(os.getpid(), 9)\n"
        f"cli.main(['import', '--export', {str(tmp_path / 'second.csv')!r}])\n"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == -9
    assert held(home) != before
    said(capsys, "undo")
    assert held(home) == before


def test_two_imports_at_once_are_two_in_the_list(home: LocalStore, tmp_path: Path) -> None:
    """The second lands while the first reads: each is taken back by itself."""
    first, second = tmp_path / "first.csv", tmp_path / "second.csv"
    first.write_text(export(RUN))
    second.write_text(export(LATER))
    read = imports.read_runs

    def slowly(path: Path, *rest: Any) -> imports.ImportedRuns:
        runs = read(path, *rest)
        if path == first:
            commands.import_file(second, home.settings, "me")
        return runs

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(imports, "read_runs", slowly)
        commands.import_file(first, home.settings, "me")
    assert [row["file_name"] for row in import_log.imports(home)] == ["second.csv", "first.csv"]
    import_log.undo(home)
    assert home.rows(tables.STRAVA_ACTIVITIES)["id"].to_pylist() == [99]


def test_what_is_no_longer_kept_is_said_and_changes_nothing(
    home: LocalStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    imported(tmp_path, "first.csv", export(RUN))
    imported(tmp_path, "second.csv", export({**RUN, "Average Heart Rate": "151.0"}))
    home.folder(tables.STRAVA_ACTIVITIES).open().vacuum(
        retention_hours=0, enforce_retention_duration=False, dry_run=False
    )
    before = held(home)
    assert cli.main(["undo"]) == 2
    assert "ATHLETE_KEEP_VERSIONS_DAYS" in capsys.readouterr().err
    assert held(home) == before


def test_what_a_forgotten_athlete_said_marked_and_imported_is_gone(home: LocalStore, tmp_path: Path) -> None:
    imported(tmp_path, "first.csv", export(RUN), "--athlete", "ada4711")
    imported(tmp_path, "export_ada4711.csv", export(RUN, LATER), "--athlete", "ada4711")
    imported(
        tmp_path, "others.csv", export({**RUN, "Activity Date": "Jun 3, 2022, 9:05:00 PM"}), "--athlete", "bob0815"
    )
    imported(tmp_path, "races.csv", "date,distance,time\n2022-05-01,10,41:30\n", "--athlete", "ada4711")
    statements.state(home, "ada4711", ["max-hr=187", "from=2022-06-01"])
    done = forget("ada4711", home.settings)
    assert done.left == []
    for table in (tables.STRAVA_ACTIVITIES, tables.STRAVA_ATHLETE, tables.RACES, tables.IMPORTS):
        assert set(home.rows(table, ["athlete_id"])["athlete_id"].to_pylist()) <= {"bob0815"}
    with pytest.raises(InputError, match=r"cannot be taken back|no import"):
        import_log.undo(home)
