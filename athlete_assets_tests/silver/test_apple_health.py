"""Apple Health's export: workouts of old and new phones, in any unit, as a stream of any size."""

from __future__ import annotations

import io
import tracemalloc
import zipfile
from datetime import datetime, timedelta, timezone
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from athlete_assets import commands, tables
from athlete_assets.errors import InputError
from athlete_assets.settings import Settings
from athlete_assets.silver.imports import ImportedRuns, read_runs
from athlete_assets.silver.landing import held
from athlete_assets.silver.readers.apple_health import _parsed
from athlete_assets.silver.recordings.formats import read_recording
from athlete_assets.store.local import LocalStore
from athlete_assets_tests.silver.exports import RUN, export
from athlete_assets_tests.silver.recordings.files import Sample, gpx
from athlete_assets_tests.silver.test_sessions import contents

SETTINGS = Settings(time_zone="Europe/Berlin")
START = datetime(2024, 5, 4, 6, tzinfo=timezone.utc)
PROLOG = """<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE HealthData [
<!ELEMENT HealthData (ExportDate,Me,(Record|Correlation|Workout|ActivitySummary)*)>
<!ATTLIST Workout
  workoutActivityType   CDATA #REQUIRED
>
]>
<HealthData locale="de_DE">
 <ExportDate value="2024-06-01 10:00:00 +0200"/>
"""
ME = """ <Me HKCharacteristicTypeIdentifierDateOfBirth="1985-03-02"
  HKCharacteristicTypeIdentifierBiologicalSex="HKBiologicalSexFemale"/>
"""
END = "</HealthData>\n"


def at(minutes: float, hours: int = 2) -> str:
    """A time that many minutes after START, as a phone in that zone writes it."""
    return f"{(START + timedelta(minutes=minutes)).astimezone(timezone(timedelta(hours=hours))):%Y-%m-%d %H:%M:%S %z}"


def workout(kind: str = "Running", begin: float = 0, length: float = 50, inside: str = "", **attributes: Any) -> str:
    given = {
        "workoutActivityType": f"HKWorkoutActivityType{kind}",
        "duration": length - 2,
        "durationUnit": "min",
        "sourceName": "Ada's Apple Watch",
        "startDate": at(begin),
        "endDate": at(begin + length),
        **attributes,
    }
    listed = " ".join(f'{name}="{value}"' for name, value in given.items() if value is not None)
    return f" <Workout {listed}>\n{inside} </Workout>\n"


def statistic(name: str, unit: str, **values: float) -> str:
    listed = " ".join(f'{key}="{value}"' for key, value in values.items())
    return f'  <WorkoutStatistics type="HKQuantityTypeIdentifier{name}" {listed} unit="{unit}"/>\n'


def metadata(**entries: str) -> str:
    return "".join(f'  <MetadataEntry key="{key}" value="{value}"/>\n' for key, value in entries.items())


def record(name: str, minute: float, value: float, unit: str = "count/min") -> str:
    return (
        f' <Record type="HKQuantityTypeIdentifier{name}" sourceName="Ada&apos;s Apple Watch" unit="{unit}" '
        f'creationDate="{at(minute)}" startDate="{at(minute)}" endDate="{at(minute)}" value="{value}"/>\n'
    )


NEW = workout(
    inside=metadata(HKIndoorWorkout="0", HKTimeZone="Asia/Tokyo", HKElevationAscended="8520 cm")
    + statistic("HeartRate", "count/min", average=151.25, minimum=98, maximum=176)
    + statistic("ActiveEnergyBurned", "kcal", sum=512)
    + statistic("DistanceWalkingRunning", "km", sum=8.61)
)
OLD = workout("Cycling", 1440, 60, totalDistance=18.5, totalDistanceUnit="mi", duration=1, durationUnit="hr")


def written(folder: Path, text: str, name: str = "export.xml") -> Path:
    (folder / name).write_text(text)
    return folder / name


def read(path: Path, athlete_id: str | None = None) -> ImportedRuns:
    return read_runs(path, SETTINGS, athlete_id)


def rows(folder: Path, text: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = read(written(folder, PROLOG + text + END)).activities.to_pylist()
    return found


def test_workouts_of_new_and_old_phones_are_read_in_the_contracts_units(tmp_path: Path) -> None:
    run, ride = rows(tmp_path, ME + NEW + OLD)
    assert {name: value for name, value in run.items() if value is not None} == {
        "athlete_id": "me",
        "id": run["id"],
        "start_date": START,
        "start_date_local": datetime(2024, 5, 4, 15),
        "timezone": "Asia/Tokyo",
        "sport_type": "Run",
        "distance": 8610.0,
        "moving_time": 2880.0,
        "elapsed_time": 3000.0,
        "total_elevation_gain": pytest.approx(85.2),
        "average_heartrate": 151.25,
        "max_heartrate": 176.0,
        "manual": False,
        "trainer": False,
        "source": "apple_health",
        tables.INGESTED: run[tables.INGESTED],
    }
    assert (ride["sport_type"], ride["distance"], ride["moving_time"]) == ("Ride", pytest.approx(29772.864), 3600.0)
    assert ride["start_date_local"] == datetime(2024, 5, 5, 8)  # the exporting phone's offset
    assert ride["average_heartrate"] is None


def test_who_it_was_is_sex_and_year_of_birth_and_no_more(tmp_path: Path) -> None:
    runs = read(written(tmp_path, PROLOG + ME + NEW + END))
    (stated,) = runs.athletes.to_pylist()
    known = {name: value for name, value in stated.items() if value is not None}
    assert known == {"athlete_id": "me", "sex": "F", "birth_year": 1985}
    assert "Ada" not in repr((runs.activities.to_pylist(), runs.notes, stated))
    assert read(written(tmp_path, PROLOG + NEW + END), "ada").athletes.num_rows == 0


def test_heart_rate_is_that_of_the_records_inside_a_workout_that_states_none(tmp_path: Path) -> None:
    inside = "".join(record("HeartRate", minute, 140 + minute) for minute in range(0, 51, 10))
    others = record("HeartRate", -5, 60) + record("HeartRate", 55, 200) + record("HeartRate", 20, 300)
    others += record("StepCount", 20, 40, "count") + record("RestingHeartRate", 20, 48)
    (run,) = rows(tmp_path, others + inside + workout(totalDistance=10, totalDistanceUnit="km"))
    assert (run["average_heartrate"], run["max_heartrate"]) == (165.0, 190.0)
    (run,) = rows(tmp_path, record("HeartRate", 10, 150) * 2 + workout())
    assert run["average_heartrate"] is None


@pytest.mark.parametrize(
    ("kind", "sport"),
    [
        ("Running", "Run"),
        ("Walking", "Walk"),
        ("Hiking", "Hike"),
        ("Swimming", "Swim"),
        ("Cycling", "Ride"),
        ("TraditionalStrengthTraining", "WeightTraining"),
        ("FunctionalStrengthTraining", "WeightTraining"),
        ("HighIntensityIntervalTraining", "HighIntensityIntervalTraining"),
        ("CrossCountrySkiing", "NordicSki"),
        ("Rowing", "Rowing"),
        ("Elliptical", "Elliptical"),
        ("Yoga", "Yoga"),
        ("Other", "Workout"),
        ("Badminton", "Badminton"),
    ],
)
def test_every_kind_of_workout_has_its_sport(tmp_path: Path, kind: str, sport: str) -> None:
    (row,) = rows(tmp_path, workout(kind))
    assert row["sport_type"] == sport


@pytest.mark.parametrize(
    ("unit", "value", "metres"),
    [("km", 1.5, 1500), ("m", 1500, 1500), ("mi", 1, 1609.344), ("yd", 1500, 1371.6), ("ft", 100, 30.48)],
)
def test_distances_are_read_in_their_units(tmp_path: Path, unit: str, value: float, metres: float) -> None:
    new = workout("Swimming", inside=statistic("DistanceSwimming", unit, sum=value))
    old = workout("Swimming", 100, totalDistance=value, totalDistanceUnit=unit)
    assert [row["distance"] for row in rows(tmp_path, new + old)] == [pytest.approx(metres)] * 2


def test_what_stands_in_the_only_activity_of_a_workout_is_the_workouts(tmp_path: Path) -> None:
    leg = f'  <WorkoutActivity uuid="A" startDate="{at(0)}" endDate="{at(50)}" duration="48" durationUnit="min">\n'
    leg += statistic("DistanceWalkingRunning", "km", sum=8) + statistic("HeartRate", "count/min", average=150)
    leg += metadata(HKTimeZone="Asia/Kathmandu", HKElevationAscended="20 m") + "  </WorkoutActivity>\n"
    (run,) = rows(tmp_path, workout(inside=leg))
    assert (run["distance"], run["average_heartrate"], run["total_elevation_gain"]) == (8000.0, 150.0, 20.0)
    assert run["start_date_local"] == datetime(2024, 5, 4, 11, 45)
    # both: the workout's own totals, and not once more
    (run,) = rows(tmp_path, workout(inside=leg + statistic("DistanceWalkingRunning", "km", sum=8)))
    assert run["distance"] == 8000.0


def test_a_triathlon_is_its_legs(tmp_path: Path) -> None:
    def leg(begin: float, length: float, inside: str) -> str:
        times = f'startDate="{at(begin)}" endDate="{at(begin + length)}" duration="{length}" durationUnit="min"'
        return f'  <WorkoutActivity uuid="{begin}" {times}>\n{inside}  </WorkoutActivity>\n'

    legs = leg(0, 15, statistic("DistanceSwimming", "m", sum=750)) + leg(15, 2, "")
    legs += leg(17, 35, statistic("DistanceCycling", "km", sum=20))
    legs += leg(53, 25, statistic("DistanceWalkingRunning", "km", sum=5))
    found = rows(tmp_path, workout("SwimBikeRun", 0, 78, legs + metadata(HKTimeZone="Europe/Paris")))
    assert [(row["sport_type"], row["distance"], row["moving_time"], row["timezone"]) for row in found] == [
        ("Swim", 750.0, 900.0, "Europe/Paris"),
        ("Ride", 20000.0, 2100.0, "Europe/Paris"),
        ("Run", 5000.0, 1500.0, "Europe/Paris"),
    ]
    assert len({row["id"] for row in found}) == 3


def test_how_hard_it_was_is_what_the_athlete_said_of_it(tmp_path: Path) -> None:
    (run,) = rows(tmp_path, record("WorkoutEffortScore", 0, 7, "appleEffortScore") + NEW)
    assert run["perceived_exertion"] == 7.0


@pytest.mark.parametrize(
    ("zone", "local"),
    [
        ("America/St_Johns", datetime(2024, 5, 4, 3, 30)),
        ("GMT+0530", datetime(2024, 5, 4, 11, 30)),
        ("GMT-3", datetime(2024, 5, 4, 3)),
        ("Middle/Earth", datetime(2024, 5, 4, 8)),
    ],
)
def test_the_day_is_that_of_the_place(tmp_path: Path, zone: str, local: datetime) -> None:
    (run,) = rows(tmp_path, workout(inside=metadata(HKTimeZone=zone)))
    assert (run["start_date"], run["start_date_local"]) == (START, local)


def test_twelve_hour_clocks_and_western_offsets_are_read(tmp_path: Path) -> None:
    (run,) = rows(tmp_path, workout(startDate="2024-05-03 8:02:43 PM -0930", endDate="2024-05-03 9:02:43 PM -0930"))
    assert run["start_date"] == datetime(2024, 5, 4, 5, 32, 43, tzinfo=timezone.utc)
    assert run["start_date_local"] == datetime(2024, 5, 3, 20, 2, 43)


def test_a_later_export_from_another_zone_and_phone_has_the_same_ids(tmp_path: Path) -> None:
    first = rows(tmp_path, NEW + OLD)
    moved = (NEW + OLD).replace("Ada's Apple Watch", "Watch")
    for minutes in (0, 50, 1440, 1500):
        moved = moved.replace(at(minutes), at(minutes, hours=-7))
    assert [row["id"] for row in rows(tmp_path, moved)] == [row["id"] for row in first]


def test_one_session_that_two_apps_wrote_is_one_row_the_one_that_tells_more(tmp_path: Path) -> None:
    bare = workout(sourceName="An app")
    for text in (bare + NEW, NEW + bare):
        (run,) = rows(tmp_path, text)
        assert run["average_heartrate"] == 151.25


# ---------------------------------------------------------------------------------------------------- zip and routes

SAMPLES = [Sample(second, second * 3.0, height=100.0) for second in range(0, 2880, 5)]


def zipped(folder: Path, text: str, name: str = "export.xml", routes: tuple[str, ...] = ()) -> Path:
    path = folder / "export.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("apple_health_export/export_cda.xml", "<ClinicalDocument/>")
        archive.writestr(f"apple_health_export/{name}", text)
        for route in routes:
            archive.writestr(f"apple_health_export/workout-routes/{route}", gpx(SAMPLES, start=START))
    return path


def route(name: str) -> str:
    return f'  <WorkoutRoute sourceName="x">\n   <FileReference path="/workout-routes/{name}"/>\n  </WorkoutRoute>\n'


@pytest.mark.parametrize("name", ["export.xml", "Exportación.xml", "导出.xml"])
def test_the_zip_is_read_whatever_language_the_phone_speaks(tmp_path: Path, name: str) -> None:
    runs = read(zipped(tmp_path, PROLOG + NEW + END, name))
    assert (runs.kind, runs.activities.num_rows) == ("apple_health", 1)


def test_a_route_is_the_recording_of_its_workout(tmp_path: Path) -> None:
    inside = route("a.gpx") + statistic("DistanceWalkingRunning", "km", sum=8.7)
    runs = read(zipped(tmp_path, PROLOG + workout(inside=inside) + OLD + END, routes=("a.gpx", "b.gpx")))
    run, _ = runs.activities.to_pylist()
    (recording,) = runs.recordings.to_pylist()
    assert recording["activity_id"] == run["id"]
    assert recording["distance"] == pytest.approx(2875 * 3, rel=0.01)
    assert run["distance"] == 8700.0
    assert {"1k", "5k", "20min"} <= set(runs.best_efforts["kind"].to_pylist())
    folder = tmp_path / "unpacked"
    with zipfile.ZipFile(tmp_path / "export.zip") as archive:
        archive.extractall(folder)
    for path in (folder, folder / "apple_health_export", folder / "apple_health_export" / "export.xml"):
        assert read(path).recordings["activity_id"].to_pylist() == [run["id"]]


def test_a_route_has_the_heart_rate_of_the_records_inside_its_workout(tmp_path: Path) -> None:
    """A record every 20 s: 130 bpm for 20 min, nothing for 10, then 160. A rate holds for 30 s, a sample for its 5."""
    beats = [record("HeartRate", second / 60, 130 if second < 1200 else 160) for second in range(0, 2880, 20)]
    beats = [text for number, text in enumerate(beats) if not 60 <= number < 90]
    others = record("HeartRate", -1, 60) + record("HeartRate", 51, 200)
    text = PROLOG + others + "".join(beats) + workout(inside=route("a.gpx")) + END
    runs = read(zipped(tmp_path, text, routes=("a.gpx",)))
    (recording,) = runs.recordings.to_pylist()
    seconds = {30 + place: value for place, value in enumerate(recording["seconds_by_bpm"]) if value}
    assert seconds == {130: 1210.0, 160: 1075.0}  # the samples from 0 to 1205 s, and from 1800 to 2870
    assert {row["average_heartrate"] for row in runs.splits.to_pylist()[:3]} == {130.0}
    # in another order it is the same; with other beats it is read again
    turned = PROLOG + others + "".join(reversed(beats)) + workout(inside=route("a.gpx")) + END
    assert read(zipped(tmp_path, turned, routes=("a.gpx",))).recordings["digest"].to_pylist() == [recording["digest"]]
    without = read(zipped(tmp_path, PROLOG + workout(inside=route("a.gpx")) + END, routes=("a.gpx",)))
    (bare,) = without.recordings.to_pylist()
    assert bare["seconds_by_bpm"] is None
    assert bare["digest"] != recording["digest"]


def test_a_recording_keeps_the_heart_rate_that_it_has() -> None:
    own = read_recording(gpx([Sample(0, 0.0, 120), Sample(5, 15.0)], start=START))
    beats = ((int(START.timestamp()), 150.0),)
    assert own.with_heart_rate(beats) is own
    bare = read_recording(gpx([Sample(at, at * 3.0) for at in (0, 29, 30, 40)], start=START))
    np.testing.assert_array_equal(bare.with_heart_rate(beats).bpm, [150, 150, np.nan, np.nan])


def test_routes_that_the_file_does_not_name_are_found_by_their_start(tmp_path: Path) -> None:
    old = workout(totalDistance=8.6, totalDistanceUnit="km")
    runs = read(zipped(tmp_path, PROLOG + old + OLD + END, routes=("route_1.gpx",)))
    assert runs.recordings["activity_id"].to_pylist() == [runs.activities["id"][0].as_py()]


# ----------------------------------------------------------------------------------------------- what is no export


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (PROLOG + NEW, r"export\.xml: ends too early or is damaged \(no element found, after 1 workouts\)"),
        (PROLOG + NEW + NEW[:200], "ends too early .*after 1 workouts"),
        (PROLOG + record("StepCount", 1, 3)[:90], "ends too early"),
        (PROLOG.split("<HealthData")[0], "has no element HealthData"),
        (PROLOG + "<a>" * 40 + END, "elements within elements"),
        (PROLOG + workout(duration="long") + END, "workout 1: 'long' is not a number"),
        (PROLOG + workout(totalDistance=3, totalDistanceUnit="furlong") + END, "'furlong' is in an unknown unit"),
        (PROLOG + "&big;" + NEW + END, "undefined entity"),
        (PROLOG + END, "header but no rows"),
    ],
)
def test_what_cannot_be_read_is_one_sentence(tmp_path: Path, text: str, why: str) -> None:
    with pytest.raises(InputError, match=why):
        read(written(tmp_path, text))


def test_no_entity_is_ever_declared_and_a_broken_document_type_does_no_harm(tmp_path: Path) -> None:
    """A bomb's declarations stand where nothing is parsed; iOS 16 left the end of a declaration out there."""
    bomb = PROLOG.replace("<!ELEMENT", '<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;"><!ELEMENT', 1)
    assert read(written(tmp_path, bomb + NEW + END)).activities.num_rows == 1
    with pytest.raises(InputError, match="undefined entity"):
        read(written(tmp_path, bomb + "&b;" + NEW + END))
    broken = PROLOG.replace("CDATA #REQUIRED\n>", "CDATA #REQUIRED")
    assert read(written(tmp_path, broken + NEW + END)).activities.num_rows == 1


class Generated(io.RawIOBase):
    """An export of so many MB that never exists as a whole."""

    def __init__(self, megabytes: int) -> None:
        lines = (record("StepCount", 3, 17, "count") * 40 + record("HeartRate", 3, 140) * 2).encode()
        self._pieces = iter([PROLOG.encode(), *[lines] * (megabytes * 1_000_000 // len(lines)), (NEW + END).encode()])
        self._rest = b""

    def read(self, size: int = -1) -> bytes:
        while len(self._rest) < size and (piece := next(self._pieces, None)) is not None:
            self._rest += piece
        found, self._rest = self._rest[:size], self._rest[size:]
        return found


def test_memory_does_not_grow_with_the_file() -> None:
    """But by 12 bytes a record of heart rate: here 2 of 42 records, of 250 bytes each."""
    peaks = []
    for megabytes in (3, 12):
        tracemalloc.start()
        health = _parsed(Generated(megabytes), "export.xml")  # type: ignore[arg-type]
        peaks.append(tracemalloc.get_traced_memory()[1] / 1e6)
        tracemalloc.stop()
        assert len(health.workouts) == 1
        assert len(health.beat_s) > 100 * megabytes
    assert peaks[1] < 12
    assert peaks[1] - peaks[0] < 1


def test_the_result_does_not_depend_on_where_the_stream_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    text = (PROLOG + record("HeartRate", 1, 140) + record("StepCount", 2, 3) * 3 + NEW + OLD + END).encode()
    found = []
    for size in (1, 7, 64, 1000, 1 << 20):
        monkeypatch.setattr("athlete_assets.silver.readers.apple_health.CHUNK_BYTES", size)
        health = _parsed(io.BytesIO(text), "export.xml")
        found.append((repr(health.workouts), health.beat_s.tolist(), health.beat_bpm.tolist()))
    assert all(each == found[0] for each in found)
    assert found[0][1:] == ([int((START + timedelta(minutes=1)).timestamp())], [140.0])


# ------------------------------------------------------------------------------------------------------------- home


def test_an_export_that_names_nobody_is_asked_about_in_a_home_of_others(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "home", time_zone="UTC")
    commands.import_file(written(tmp_path, export(RUN), "activities.csv"), settings, "4711")
    path = zipped(tmp_path, PROLOG + ME + NEW + END)
    with pytest.raises(InputError, match="give --athlete 4711 where they are the same person's, or --athlete me"):
        commands.import_file(path, settings, None)
    commands.import_file(path, settings, "4711")
    commands.import_file(path, settings, "4711")
    store = LocalStore(settings)
    assert store.rows(tables.STRAVA_ACTIVITIES)["athlete_id"].to_pylist() == ["4711", "4711"]
    assert b"Ada" not in b"".join(file.read_bytes() for file in (tmp_path / "home").rglob("*") if file.is_file())


def test_a_workout_that_is_gone_at_the_source_is_told_and_dropped_where_asked_to(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = Settings(home=tmp_path / "home", time_zone="UTC")
    commands.import_file(zipped(tmp_path, PROLOG + NEW + OLD + END), settings, None)
    commands.import_file(zipped(tmp_path, PROLOG + NEW + END), settings, None)
    assert "1 activity of the last export is no longer in this one" in capsys.readouterr().out
    commands.import_file(zipped(tmp_path, PROLOG + NEW + END), settings, None, drop_missing=True)
    assert LocalStore(settings).rows(tables.STRAVA_ACTIVITIES).num_rows == 1


@pytest.mark.slow  # takes long; test_sessions and recordings/test_imports keep the promise in the fast lane
def test_no_order_of_imports_changes_the_tables(tmp_path: Path) -> None:
    """The phone's export with a route, Strava's of the same run and another, a recording, and sessions told of."""
    start = f"{START:%Y-%m-%d %H:%M:%S}"
    strava = {**RUN, "Activity Date": start, "Distance": "8.60"}
    later = {**RUN, "Activity ID": "7002", "Activity Date": "2024-05-09 06:00:00"}
    files = [
        zipped(tmp_path, PROLOG + ME + workout(inside=route("a.gpx")) + OLD + END, routes=("a.gpx",)),
        written(tmp_path, export(strava, later), "a.csv"),
        tmp_path / "alone.gpx",
    ]
    files[2].write_bytes(gpx(SAMPLES, start=START + timedelta(days=3)))
    said = f"date,at,minutes,load,rpe\n{START.date()},8:05,48,70,\n2024-05-20,,30,,5\n"
    sessions = written(tmp_path, said, "sessions.csv")
    found = []
    for number, order in enumerate(permutations(files)):
        settings = Settings(home=tmp_path / f"home{number}", time_zone="Europe/Berlin")
        place = 1 + number % 3  # a home that is empty yet has nobody whose sessions they are
        for path in (*order[:place], sessions, *order[place:]):
            commands.import_file(path, settings, "ada")
        store = LocalStore(settings)
        recorded = sorted(
            repr({**row, tables.INGESTED: None}) for row in store.rows(tables.STRAVA_RECORDING).to_pylist()
        )
        found.append((contents(store), recorded))
        assert held(store).athletes == {"ada"}
    assert all(each == found[0] for each in found)
    assert len(found[0][0][tables.STRAVA_ACTIVITIES.name]) == 6
    assert sum("'own_load': 70.0" in row for row in found[0][0][tables.STRAVA_ACTIVITIES.name]) == 2  # run and copy
    assert len(found[0][1]) == 2
