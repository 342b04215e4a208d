"""Recordings come in with an export, or alone, once each; what cannot be read is named and stops nothing."""

from __future__ import annotations

import gzip
import zipfile
from collections.abc import Mapping
from datetime import datetime, timedelta
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest

from athlete_assets import commands, tables
from athlete_assets.errors import InputError
from athlete_assets.settings import Settings
from athlete_assets.silver import landing
from athlete_assets.silver.imports import ImportedRuns, read_runs
from athlete_assets.silver.recordings import batch
from athlete_assets.store.local import LocalStore
from athlete_assets.tables import Table
from athlete_assets_tests.silver.exports import RUN, export
from athlete_assets_tests.silver.recordings.files import START, Sample, fit, gpx, steady, tcx

SAMPLES = [Sample(at, at * 3.0, 140 + at % 10, 100.0) for at in range(1201)]
EXPORT = {"Activity Date": "Mar 4, 2024, 5:00:00 PM", "Activity Type": "Run"}


@pytest.fixture
def zoned(settings: Settings) -> Settings:
    return settings.model_copy(update={"time_zone": "Europe/Berlin"})


def an_export(folder: Path, recordings: Mapping[str, bytes], packed: bool = True) -> Path:
    """An export of one activity for each recording, numbered from 1, as a zip or a folder."""
    rows = [
        {**RUN, **EXPORT, "Activity ID": str(number), "Filename": f"activities/{name}"}
        for number, name in enumerate(recordings, start=1)
    ]
    files = {"activities.csv": export(*rows).encode(), **{f"activities/{name}": of for name, of in recordings.items()}}
    if packed:
        path = folder / "export_77.zip"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in files.items():
                archive.writestr(name, content)
        return path
    for name, content in files.items():
        (folder / "export" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "export" / name).write_bytes(content)
    return folder / "export"


def rows(runs: ImportedRuns) -> dict[int, dict[str, Any]]:
    return {row["id"]: row for row in runs.activities.to_pylist()}


THREE = {
    "1.fit.gz": gzip.compress(fit(SAMPLES, offset_s=-10_800)),
    "2.gpx": gpx(SAMPLES, zone="+05:30"),
    "3.tcx.gz": gzip.compress(tcx(SAMPLES)),
}


@pytest.mark.parametrize("packed", [True, False], ids=["zip", "folder"])
def test_the_recordings_of_an_export_belong_to_its_activities(tmp_path: Path, zoned: Settings, packed: bool) -> None:
    runs = read_runs(an_export(tmp_path, THREE, packed), zoned)
    assert runs.kind == "strava_export"
    assert sorted(runs.recordings["activity_id"].to_pylist()) == [1, 2, 3]
    assert runs.unreadable == ()
    assert set(runs.splits["activity_id"].to_pylist()) == {1, 2, 3}
    assert {row["kind"] for row in runs.best_efforts.to_pylist()} >= {"400m", "1k", "3k", "20min"}
    local = {number: row["start_date_local"] for number, row in rows(runs).items()}
    utc = START.replace(tzinfo=None)
    assert local == {
        1: utc - timedelta(hours=3),  # as its recording says
        2: utc + timedelta(hours=5, minutes=30),
        3: utc + timedelta(hours=1),  # its recording says nothing, so the zone decides
    }
    assert [rows(runs)[number]["timezone"] for number in (1, 2, 3)] == [None, None, "Europe/Berlin"]


def test_an_unpacked_table_finds_the_recordings_beside_it(tmp_path: Path, zoned: Settings) -> None:
    folder = an_export(tmp_path, THREE, packed=False)
    assert read_runs(folder / "activities.csv", zoned).recordings.num_rows == 3


def test_recordings_that_an_export_lists_and_lacks_are_counted(tmp_path: Path, zoned: Settings) -> None:
    folder = an_export(tmp_path, THREE, packed=False)
    (folder / "activities" / "2.gpx").unlink()
    runs = read_runs(folder, zoned)
    assert runs.recordings.num_rows == 2
    assert any("1 of 3 recordings that the export lists is not in it" in note for note in runs.notes)


def test_a_name_that_leads_out_of_the_folder_leads_nowhere(tmp_path: Path, zoned: Settings) -> None:
    (tmp_path / "elsewhere.gpx").write_bytes(gpx(SAMPLES))
    folder = tmp_path / "export"
    folder.mkdir()
    row = {**RUN, **EXPORT, "Activity ID": "1", "Filename": "../elsewhere.gpx"}
    (folder / "activities.csv").write_text(export(row))
    assert read_runs(folder, zoned).recordings.num_rows == 0


@pytest.mark.parametrize("as_a", ["file", "folder", "zip"])
def test_recordings_alone_make_activities(tmp_path: Path, zoned: Settings, as_a: str) -> None:
    data = fit(SAMPLES, offset_s=-10_800, sub_sport=1)
    path = tmp_path / "run.fit"
    path.write_bytes(data)
    if as_a == "folder":
        path = tmp_path / "watch"
        (path / "2024").mkdir(parents=True)
        (path / "2024" / "a.FIT").write_bytes(data)
        (path / "again.fit.gz").write_bytes(gzip.compress(data))
        (path / "notes.txt").write_text("nothing")
    if as_a == "zip":
        path = tmp_path / "watch.zip"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("deep/down/a.fit", data)
    runs = read_runs(path, zoned, "ann")
    (row,) = runs.activities.to_pylist()
    assert row["athlete_id"] == "ann"
    assert (row["start_date"], row["start_date_local"]) == (START, datetime(2024, 3, 4, 14))
    assert (row["sport_type"], row["distance"], row["moving_time"], row["elapsed_time"]) == ("Run", 3600, 1200, 1200)
    assert row["average_heartrate"] == pytest.approx(144.5, abs=0.1)
    assert (row["max_heartrate"], row["trainer"], row["source"]) == (149, True, "recording")
    assert runs.recordings["activity_id"].to_pylist() == [row["id"]]
    assert runs.time_zone is None  # nothing of it rests on a zone


def test_a_recording_without_an_offset_follows_the_zone_of_files(tmp_path: Path, zoned: Settings) -> None:
    (tmp_path / "run.gpx").write_bytes(gpx(SAMPLES))
    runs = read_runs(tmp_path / "run.gpx", zoned)
    assert runs.activities["start_date_local"].to_pylist() == [datetime(2024, 3, 4, 18)]
    assert runs.time_zone == "Europe/Berlin"


def test_a_recording_without_an_offset_has_the_clock_of_its_neighbour_in_time(
    tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A GPX between a run in Tokyo, days before, and one in New York, and one a year from both; a machine in Berlin."""
    monkeypatch.setenv("TZ", "Europe/Berlin")
    days = {"tokyo.fit": (0, 9), "york.fit": (10, -5)}
    for name, (day, hours) in days.items():
        (tmp_path / name).write_bytes(fit(SAMPLES, start=START + timedelta(days=day), offset_s=hours * 3600))
        commands.import_file(tmp_path / name, settings, "ann")
    for day in (3, 8, 365):
        path = tmp_path / f"{day}.gpx"
        path.write_bytes(gpx(SAMPLES, start=START + timedelta(days=day)))
        assert (settings.remembered().get("ATHLETE_TIME_ZONE")) is None
        commands.import_file(path, settings, "ann")
    out = capsys.readouterr().out
    assert out.count("1 recording does not know the athlete's clock; it is that of the nearest activity in time.") == 2
    assert out.count("Local times follow this machine's zone, Europe/Berlin") == 1
    rows = LocalStore(settings).rows(tables.STRAVA_ACTIVITIES).sort_by("start_date").to_pylist()
    hours = [(row["start_date_local"] - row["start_date"].replace(tzinfo=None)) / timedelta(hours=1) for row in rows]
    assert hours == [9, 9, -5, -5, 1]
    assert settings.remembered()["ATHLETE_TIME_ZONE"] == "Europe/Berlin"


def test_a_recording_s_neighbour_may_come_with_it(tmp_path: Path, settings: Settings) -> None:
    (tmp_path / "a.fit").write_bytes(fit(SAMPLES, offset_s=32_400))
    (tmp_path / "b.gpx").write_bytes(gpx(SAMPLES, start=START + timedelta(days=1)))
    runs = read_runs(tmp_path, settings)
    assert runs.activities["start_date_local"].to_pylist() == [datetime(2024, 3, 5, 2), datetime(2024, 3, 6, 2)]
    assert runs.time_zone is None  # nothing that another import should follow


BROKEN = {
    "bomb.gpx": gpx(SAMPLES, before='<!DOCTYPE x [<!ENTITY a "b">]>'),
    "empty.fit": b"",
    "table.tcx": b"a,b\n1,2\n",
    "no_clock.fit": fit(SAMPLES, start=START - timedelta(days=365 * 33)),
}


def test_what_cannot_be_read_is_named_and_stops_nothing(tmp_path: Path, zoned: Settings) -> None:
    for name, content in {**BROKEN, "good.fit": fit(SAMPLES)}.items():
        (tmp_path / name).write_bytes(content)
    runs = read_runs(tmp_path, zoned)
    assert runs.activities.num_rows == 1
    assert sorted(line.split(":")[0] for line in runs.unreadable) == sorted(BROKEN)
    assert next(line for line in runs.unreadable if line.startswith("no_clock")).endswith("had lost its clock")


def test_an_export_with_a_broken_recording_keeps_its_activity(tmp_path: Path, zoned: Settings) -> None:
    runs = read_runs(an_export(tmp_path, {"1.fit": b"broken", "2.gpx": gpx(SAMPLES)}), zoned)
    assert sorted(rows(runs)) == [1, 2]
    assert runs.unreadable == ("activities/1.fit: is neither FIT nor GPX nor TCX",)


def test_a_recording_that_cannot_be_read_alone_is_an_error(tmp_path: Path, zoned: Settings) -> None:
    path = tmp_path / "watch.gpx"
    path.write_bytes(BROKEN["bomb.gpx"])
    with pytest.raises(InputError, match="declares a document type"):
        read_runs(path, zoned)


def test_a_folder_without_recordings_is_an_error(tmp_path: Path, zoned: Settings) -> None:
    (tmp_path / "notes.txt").write_text("nothing")
    with pytest.raises(InputError, match="holds no recording"):
        read_runs(tmp_path, zoned)


# ------------------------------------------------------------------------------------------------------ once, any order


def imported(path: Path, settings: Settings, athlete: str | None = None) -> None:
    commands.import_file(path, settings, athlete)


def contents(store: LocalStore) -> dict[Table, list[str]]:
    """Silver's rows but for when they came in."""
    return {
        table: sorted(
            repr([(name, value) for name, value in row.items() if name != tables.INGESTED])
            for row in store.rows(table).to_pylist()
        )
        for table in tables.SILVER
    }


def test_each_recording_is_read_once(tmp_path: Path, zoned: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    path = an_export(tmp_path, THREE)
    imported(path, zoned)
    before = contents(LocalStore(zoned))
    monkeypatch.setattr(batch, "read_recording", lambda data: pytest.fail("a recording was read again"))
    imported(path, zoned)
    assert contents(LocalStore(zoned)) == before


def test_recordings_alone_are_read_once_too(
    tmp_path: Path, zoned: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "run.fit").write_bytes(fit(SAMPLES))
    imported(tmp_path, zoned)
    monkeypatch.setattr(batch, "read_recording", lambda data: pytest.fail("a recording was read again"))
    imported(tmp_path / "run.fit", zoned)
    assert "1 recording: 0 new or changed, 1 read by earlier imports" in capsys.readouterr().out
    assert LocalStore(zoned).rows(tables.STRAVA_ACTIVITIES).num_rows == 1


def test_recordings_of_one_athlete_s_home_are_that_athlete_s(tmp_path: Path, zoned: Settings) -> None:
    imported(an_export(tmp_path, THREE), zoned)
    (tmp_path / "run.fit").write_bytes(fit(steady(900, 2.5, 150)))
    imported(tmp_path / "run.fit", zoned)
    assert set(LocalStore(zoned).rows(tables.STRAVA_ACTIVITIES)["athlete_id"].to_pylist()) == {"77"}


def test_no_order_of_imports_of_the_same_files_changes_the_tables(tmp_path: Path, zoned: Settings) -> None:
    whole = an_export(tmp_path, THREE)
    table = tmp_path / "table"
    table.mkdir()
    with zipfile.ZipFile(whole) as archive:
        (table / "activities.csv").write_bytes(archive.read("activities.csv"))
    alone = tmp_path / "alone.fit"
    alone.write_bytes(fit(steady(900, 2.5, 150)))
    found = []
    for number, order in enumerate(permutations([whole, table / "activities.csv", alone])):
        settings = zoned.model_copy(update={"home": tmp_path / f"home{number}"})
        for path in (*order, order[0]):
            imported(path, settings, "77")
        found.append(contents(LocalStore(settings)))
    assert all(each == found[0] for each in found)
    assert len(found[0][tables.STRAVA_RECORDING]) == 4


def test_a_landing_that_was_killed_before_the_recordings_row_is_made_good(
    tmp_path: Path, zoned: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, store = an_export(tmp_path, THREE), LocalStore(zoned)
    merge = landing._merge

    def killed(store: LocalStore, table: Table, rows: Any) -> tuple[int, int]:
        if table == tables.STRAVA_RECORDING:
            raise KeyboardInterrupt
        return merge(store, table, rows)

    with monkeypatch.context() as patch:
        patch.setattr(landing, "_merge", killed)
        with pytest.raises(KeyboardInterrupt):
            imported(path, zoned)
    imported(path, zoned)
    other = zoned.model_copy(update={"home": tmp_path / "other"})
    imported(path, other)
    assert contents(store) == contents(LocalStore(other))


@pytest.mark.parametrize("lost", [tables.STRAVA_SUB_ACTIVITY, tables.STRAVA_BEST_EFFORT, tables.STRAVA_RECORDING])
def test_what_was_lost_of_a_recording_comes_back_with_the_next_import(
    tmp_path: Path, zoned: Settings, lost: Table
) -> None:
    path, store = an_export(tmp_path, THREE), LocalStore(zoned)
    imported(path, zoned)
    before = contents(store)
    store.delta(lost).delete("activity_id = 2")
    assert contents(store) != before
    imported(path, zoned)
    assert contents(store) == before


@pytest.mark.slow
def test_many_processes_read_what_one_reads(tmp_path: Path, zoned: Settings) -> None:
    for number in range(30):
        (tmp_path / f"{number}.gpx").write_bytes(gpx(steady(300 + number, 3.0, 150)))
    (tmp_path / "broken.gpx").write_bytes(b"<gpx>")
    one, many = (read_runs(tmp_path, zoned, workers=workers) for workers in (1, 2))
    assert one.activities.drop_columns(tables.INGESTED) == many.activities.drop_columns(tables.INGESTED)
    assert one.best_efforts.drop_columns(tables.INGESTED) == many.best_efforts.drop_columns(tables.INGESTED)
    assert one.unreadable == many.unreadable
