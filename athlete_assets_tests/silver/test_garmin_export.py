"""Garmin's account export: the activities in metres and seconds, each with its recording, once."""

from __future__ import annotations

import io
import json
import zipfile
from datetime import datetime, timedelta
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest

from athlete_assets import commands, tables
from athlete_assets.errors import InputError
from athlete_assets.settings import Settings
from athlete_assets.silver.imports import ImportedRuns, read_runs
from athlete_assets.store.local import LocalStore
from athlete_assets_tests.silver.exports import RUN, export
from athlete_assets_tests.silver.recordings.files import START, Sample, fit
from athlete_assets_tests.silver.recordings.test_imports import contents

SAMPLES = [Sample(at, at * 3.0, 140 + at % 10, 100.0) for at in range(1201)]
OWNER = "ada@example.org"
FITNESS = f"DI_CONNECT/DI-Connect-Fitness/{OWNER}_0_summarizedActivities.json"
UPLOADS = "DI_CONNECT/DI-Connect-Uploaded-Files/UploadedFiles_0-_Part1.zip"
PROFILE = "DI_CONNECT/DI-Connect-User/user_profile.json"


def summary(number: int = 11, start: datetime = START, **changes: Any) -> dict[str, Any]:
    """A run of 3.6 km in 20 min, 21 by the clock, an hour east of Greenwich."""
    began = start.timestamp() * 1000
    return {
        "activityId": number,
        "name": "Round the secret lake",
        "activityType": "running",
        "sportType": "RUNNING",
        "userProfileId": 4711,
        "beginTimestamp": began,
        "startTimeGmt": began,
        "startTimeLocal": began + 3_600_000,
        "eventTypeId": 9,
        "duration": 1_210_000.0,
        "movingDuration": 1_200_000.0,
        "elapsedDuration": 1_260_000.0,
        "distance": 360_000.0,
        "avgSpeed": 0.3,
        "elevationGain": 4_250.0,
        "avgHr": 144.0,
        "maxHr": 149.0,
        "startLatitude": 52.5,
        "locationName": "Berlin",
        **changes,
    }


def garmin(
    folder: Path, *summaries: dict[str, Any], uploads: dict[str, bytes] | None = None, as_a: str = "zip"
) -> Path:
    """An export with the summaries and, in the zip inside, the uploaded files."""
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in (uploads or {}).items():
            archive.writestr(f"{OWNER}_{name}", content)
    files = {
        FITNESS: json.dumps([{"summarizedActivitiesExport": list(summaries)}]).encode(),
        PROFILE: json.dumps({"gender": "FEMALE", "emailAddress": OWNER, "firstName": "Ada"}).encode(),
        UPLOADS: inner.getvalue(),
    }
    if as_a == "folder":
        for name, content in files.items():
            (folder / "garmin" / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / "garmin" / name).write_bytes(content)
        return folder / "garmin"
    path = folder / "0a1b2c.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def read(path: Path, **options: Any) -> ImportedRuns:
    return read_runs(path, Settings(home=path.parent / "home", time_zone="Asia/Tokyo"), **options)


def test_a_summary_becomes_a_silver_row_in_metres_and_seconds(tmp_path: Path) -> None:
    runs = read(garmin(tmp_path, summary(workoutRpe=70, normPower=231.0)))
    (row,) = runs.activities.to_pylist()
    assert row.pop(tables.INGESTED) is not None
    assert row == {
        "athlete_id": "4711",
        "id": 11,
        "start_date": START,
        "start_date_local": datetime(2024, 3, 4, 18),
        "timezone": None,
        "sport_type": "Run",
        "workout_type": None,
        "distance": 3_600.0,
        "moving_time": 1_200.0,
        "elapsed_time": 1_260.0,
        "total_elevation_gain": 42.5,
        "average_heartrate": 144.0,
        "max_heartrate": 149.0,
        "manual": None,
        "trainer": False,
        "grade_adjusted_distance": None,
        "perceived_exertion": 7.0,
        "weighted_power_w": 231.0,
        "own_load": None,
        "source": "garmin_export",
    }
    assert (runs.kind, runs.owner, runs.is_whole_account, runs.time_zone) == ("garmin_export", "file", True, None)
    assert [(each["athlete_id"], each["sex"]) for each in runs.athletes.to_pylist()] == [("4711", "F")]


@pytest.mark.parametrize(
    ("changes", "column", "value"),
    [
        ({"eventTypeId": 1}, "workout_type", 1),
        ({"eventType": {"typeKey": "race"}}, "workout_type", 1),
        ({"activityType": "lap_swimming", "eventTypeId": 1}, "workout_type", None),
        ({"activityType": {"typeKey": "trail_running"}}, "sport_type", "TrailRun"),
        ({"activityType": "treadmill_running"}, "trainer", True),
        ({"activityType": "indoor_cycling"}, "sport_type", "VirtualRide"),
        ({"movingDuration": None}, "moving_time", 1_210.0),
        ({"movingDuration": 0.0}, "moving_time", 1_210.0),
        ({"elapsedDuration": None}, "elapsed_time", 1_210.0),
        ({"avgHr": 0.0}, "average_heartrate", None),
        ({"distance": None}, "distance", None),
        ({"beginTimestamp": None}, "start_date", START),
        ({"startTimeLocal": None}, "start_date_local", datetime(2024, 3, 5, 2)),  # in Tokyo, as was set
        ({"startTimeLocal": None}, "timezone", "Asia/Tokyo"),
    ],
)
def test_what_a_summary_says_otherwise(tmp_path: Path, changes: dict[str, Any], column: str, value: Any) -> None:
    assert read(garmin(tmp_path, summary(**changes))).activities[column].to_pylist() == [value]


@pytest.mark.parametrize("as_a", ["zip", "folder"])
def test_recordings_find_their_activities_by_their_starts(tmp_path: Path, as_a: str) -> None:
    later = START + timedelta(days=1)
    uploads = {
        "901.fit": fit(SAMPLES, start=START + timedelta(seconds=3), offset_s=7200),
        "902.fit": fit(SAMPLES[:601], start=START + timedelta(seconds=1), offset_s=7200),  # half of it, uploaded too
        "903.fit": fit(SAMPLES, start=later + timedelta(hours=5)),  # of an activity that was deleted
        "904.fit": b"".join([fit([])[:-2].replace(b"\x00\x04", b"\x00\x20", 1), b"\0\0"]),  # monitoring
        "905.fit": b"broken",
        "906.txt": b"nothing",
    }
    path = garmin(tmp_path, summary(11), summary(12, later), uploads=uploads, as_a=as_a)
    runs = read(path)
    assert runs.activities["id"].to_pylist() == [11, 12]
    assert runs.recordings["activity_id"].to_pylist() == [11]
    assert set(runs.splits["activity_id"].to_pylist()) == set(runs.best_efforts["activity_id"].to_pylist()) == {11}
    assert runs.activities["start_date_local"].to_pylist()[0] == datetime(2024, 3, 4, 19)  # the watch knows better
    assert "Left out: 2 recordings of no activity of the export" in " ".join(runs.notes)
    assert [line.partition(":")[0] for line in runs.unreadable] == ["905.fit"]
    assert OWNER not in " ".join([*runs.notes, *runs.unreadable])


def test_an_export_is_read_once_and_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    settings = Settings(home=tmp_path / "home", time_zone="UTC")
    path = garmin(tmp_path, summary(), uploads={"901.fit": fit(SAMPLES)})
    said: list[str] = []
    monkeypatch.setattr(commands, "say", said.append)
    for _ in range(2):
        commands.import_file(path, settings, None)
    assert "  1 activity, 2024-03-04 to 2024-03-04: 0 new, 0 changed, 1 as they were" in said
    assert "  1 recording: 0 new or changed, 1 read by earlier imports" in said
    assert list(scratch.iterdir()) == []
    for file in settings.home.rglob("*"):
        assert not file.is_file() or not any(word in file.read_bytes() for word in (OWNER.encode(), b"secret lake"))


def test_of_an_activity_that_was_uploaded_twice_the_same_recording_stays(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "home", time_zone="UTC")
    twice = {"901.fit": fit(SAMPLES), "902.fit": fit(SAMPLES[:-5], start=START + timedelta(seconds=1))}
    path = garmin(tmp_path, summary(), uploads=twice)
    digests = []
    for _ in range(3):
        commands.import_file(path, settings, None)
        digests += LocalStore(settings).rows(tables.STRAVA_RECORDING)["digest"].to_pylist()
    assert len(digests) == 3
    assert len(set(digests)) == 1


def test_a_triathlon_is_its_legs(tmp_path: Path) -> None:
    legs = [
        summary(2, activityType="open_water_swimming", parentId=1, distance=150_000.0),
        summary(3, START + timedelta(minutes=40), activityType="running", parentId=1),
    ]
    whole = summary(1, activityType="multi_sport", parent=True, distance=5_000_000.0, elapsedDuration=9e6)
    assert read(garmin(tmp_path, whole, *legs)).activities["id"].to_pylist() == [2, 3]
    assert read(garmin(tmp_path, whole)).activities["id"].to_pylist() == [1]


def test_the_list_alone_is_read_too(tmp_path: Path) -> None:
    path = tmp_path / "x_summarizedActivities.json"
    path.write_text(json.dumps([{"summarizedActivitiesExport": [summary()]}]))
    assert read(path).activities["id"].to_pylist() == [11]
    assert read(path, athlete_id="ann").activities["athlete_id"].to_pylist() == ["ann"]


def test_one_persons_accounts_at_two_services_are_asked_about(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(home=tmp_path / "home", time_zone="UTC")
    strava = tmp_path / "activities.csv"
    strava.write_text(export({**RUN, "Activity Date": f"{START:%Y-%m-%d %H:%M:%S}"}))
    commands.import_file(strava, settings, "ada")
    path = garmin(tmp_path, summary())
    with pytest.raises(InputError, match="give --athlete ada to go on with that name"):
        commands.import_file(path, settings, None)
    commands.import_file(path, settings, "ada")
    rows = LocalStore(settings).rows(tables.STRAVA_ACTIVITIES).to_pylist()
    assert sorted((row["athlete_id"], row["source"]) for row in rows) == [
        ("ada", "garmin_export"),
        ("ada", "strava_export"),
    ]


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"[{", "is not valid JSON"),
        (b"[]", "has no rows|holds no|header but no rows"),
        (b'[{"other": []}]', "has no list summarizedActivitiesExport"),
        (b'[{"summarizedActivitiesExport": [3]}]', "has no list summarizedActivitiesExport"),
        (json.dumps([{"summarizedActivitiesExport": [summary(distance="far")]}]).encode(), "entry 1, distance: 'far'"),
        (
            json.dumps([{"summarizedActivitiesExport": [summary(beginTimestamp=1e300)]}]).encode(),
            "outside the calendar",
        ),
    ],
)
def test_what_is_no_list_of_activities_is_one_sentence(tmp_path: Path, content: bytes, why: str) -> None:
    path = tmp_path / "garmin.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(FITNESS, content)
    with pytest.raises(InputError, match=why) as error:
        read(path)
    assert OWNER not in str(error.value)


@pytest.mark.slow  # takes long; test_sessions and recordings/test_imports keep the promise in the fast lane
def test_no_order_of_imports_of_two_services_changes_the_tables(tmp_path: Path) -> None:
    """Garmin's export, Strava's of the same run and another, and a recording of a third."""
    strava = tmp_path / "activities.csv"
    later = {**RUN, "Activity ID": "7002", "Activity Date": "2024-03-09 06:00:00"}
    strava.write_text(export({**RUN, "Activity Date": f"{START:%Y-%m-%d %H:%M:%S}"}, later))
    alone = tmp_path / "alone.fit"
    alone.write_bytes(fit(SAMPLES, start=START + timedelta(days=3)))
    whole = garmin(tmp_path, summary(), uploads={"901.fit": fit(SAMPLES)})
    found = []
    for number, order in enumerate(permutations([whole, strava, alone])):
        settings = Settings(home=tmp_path / f"home{number}", time_zone="Asia/Tokyo")
        for path in (*order, order[0]):
            commands.import_file(path, settings, "ada")
        found.append(contents(LocalStore(settings)))
    assert all(each == found[0] for each in found)
    assert len(found[0][tables.STRAVA_ACTIVITIES]) == 4
