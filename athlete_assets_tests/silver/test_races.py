"""Races as a person tells of them: found among the runs or entered, and never unmarked by an import."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from athlete_assets import cli, tables
from athlete_assets.errors import InputError
from athlete_assets.settings import Settings
from athlete_assets.silver import landing
from athlete_assets.silver.races import Race, is_races_file, read_races
from athlete_assets.store.local import LocalStore
from athlete_assets_tests.silver.exports import RUN, export
from athlete_assets_tests.silver.rows import activity, arrow
from athlete_assets_tests.silver.test_landing import Rows

TODAY = date(2024, 6, 30)


def written(folder: Path, text: str) -> Path:
    path = folder / "races.csv"
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("line", "metres", "seconds"),
    [
        ("2024-05-05,10,41:30", 10_000, 2490),
        ("2024-05-05,10 km,0:41:30", 10_000, 2490),
        ("2024-05-05,5k,19:59", 5_000, 1199),
        ("2024-05-05,half,1:32:10", 21_097.5, 5530),
        ("2024-05-05,Half Marathon,1:32", 21_097.5, 5520),  # 92 s are nobody's
        ("2024-05-05,marathon,3:29", 42_195, 12_540),
        ("2024-05-05,800,2:10", 800, 130),
        ("2024-05-05,10000,41:30", 10_000, 2490),
        ('2024-05-05,"21,1 km",1:32:10', 21_100, 5530),
        ("2024-05-05,13.1 mi,1:32:10", 13.1 * 1609.344, 5530),
    ],
)
def test_races_are_read_as_people_write_them(tmp_path: Path, line: str, metres: float, seconds: float) -> None:
    (race,) = read_races(written(tmp_path, f"date,distance,time,name\n{line},Town run\n"), TODAY)
    assert race == Race(date(2024, 5, 5), pytest.approx(metres), seconds)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("05/05/2024,10,41:30", "line 2.*date.*yyyy-mm-dd"),
        ("2024-07-01,10,41:30", "today"),
        ("2024-05-05,ten,41:30", "distance.*10 km"),
        ("2024-05-05,10,4130", "time.*h:mm:ss"),
        ("2024-05-05,10,41:75", "time.*h:mm:ss"),
        ("2024-05-05,10,4:30", "nothing that a person runs"),
        ("2024-05-05,5k,9:59", "nothing that a person runs"),
    ],
)
def test_a_race_that_cannot_be_is_refused_by_line_and_column(tmp_path: Path, line: str, says: str) -> None:
    with pytest.raises(InputError, match=says):
        read_races(written(tmp_path, f"date,distance,time\n{line}\n"), TODAY)


def test_a_file_of_races_is_known_by_its_columns(tmp_path: Path) -> None:
    assert is_races_file(written(tmp_path, "Date;Distance (km);Time\n2024-05-05;10;41:30\n"))
    assert not is_races_file(written(tmp_path, export(RUN)))
    assert not is_races_file(written(tmp_path, "athlete_id,date,distance,time\na,2024-05-05,10,41:30\n"))
    garmin = (
        "Activity Type,Date,Favorite,Title,Distance,Calories,Time\nRunning,2024-05-05 08:00:00,false,a,10.0,1,0:41:30\n"
    )
    assert not is_races_file(written(tmp_path, garmin))
    assert not is_races_file(tmp_path)


# ---------------------------------------------------------------------------------------------------- among the runs


@pytest.fixture
def store(settings: Settings) -> LocalStore:
    return LocalStore(settings.model_copy(update={"as_of": TODAY}))


def runs(*given: dict[str, Any]) -> Rows:
    return Rows(arrow(given))


def held(store: LocalStore) -> dict[int, tuple[int | None, str]]:
    """Workout type and source by activity."""
    rows = store.rows(tables.STRAVA_ACTIVITIES).to_pylist()
    return {row["id"]: (row["workout_type"], row["source"]) for row in rows}


TEN = activity("2024-05-05 09:00:00", id=7, distance=10_120.0, moving_time=2_480.0, elapsed_time=2_495.0)
WARM_UP = activity("2024-05-05 08:30:00", id=6, distance=2_000.0, moving_time=700.0)
RACE = Race(date(2024, 5, 5), 10_000.0, 2_490.0)


def test_a_race_is_marked_among_the_runs_and_stays_marked_whatever_is_imported(store: LocalStore) -> None:
    landing.land(store, runs(TEN, WARM_UP))
    assert landing.land_races(store, "a", [RACE]) == {RACE: ("marked", 7)}
    assert held(store) == {7: (1, "file"), 6: (None, "file")}
    version = store.version(tables.STRAVA_ACTIVITIES)
    landing.land(store, runs(TEN, WARM_UP))
    assert store.version(tables.STRAVA_ACTIVITIES) == version
    landing.land(store, runs({**TEN, "average_heartrate": 170.0}, {**WARM_UP, "workout_type": 3}))
    assert held(store) == {7: (1, "file"), 6: (3, "file")}
    for table in (tables.STRAVA_ACTIVITIES, tables.RACES):
        store.maintain(table)
    landing.land(store, runs(TEN, {**WARM_UP, "workout_type": 0}))
    assert held(store)[7] == (1, "file")


def test_a_race_that_is_missing_is_entered_until_an_import_brings_it(store: LocalStore) -> None:
    landing.land(store, runs(WARM_UP))
    ((outcome, number),) = landing.land_races(store, "a", [RACE]).values()
    assert outcome == "entered"
    assert held(store) == {6: (None, "file"), number: (1, "athlete")}
    landing.land_races(store, "a", [RACE])
    landing.land(store, runs(WARM_UP))
    assert set(held(store)) == {6, number}
    landing.land(store, runs(TEN, WARM_UP))
    assert held(store) == {6: (None, "file"), 7: (1, "file")}
    landing.land(store, runs({**TEN, "distance": 9_990.0}, {**WARM_UP, "workout_type": 0}))
    assert held(store) == {6: (0, "file"), 7: (1, "file")}


def test_a_race_told_with_the_wrong_time_is_not_there_twice_once_it_is_found(store: LocalStore) -> None:
    landing.land(store, runs(TEN, WARM_UP))
    slow = Race(RACE.day, RACE.distance_m, 3_100.0)
    assert landing.land_races(store, "a", [slow])[slow][0] == "entered"
    assert len(held(store)) == 3
    assert landing.land_races(store, "a", [RACE]) == {RACE: ("marked", 7)}
    assert held(store) == {7: (1, "file"), 6: (None, "file")}


def test_a_longer_run_of_the_day_may_hold_the_race_and_is_left_alone(store: LocalStore) -> None:
    landing.land(store, runs({**TEN, "distance": 14_000.0, "moving_time": 4_000.0, "elapsed_time": 4_300.0}))
    assert landing.land_races(store, "a", [RACE]) == {RACE: ("inside", 7)}
    assert held(store) == {7: (None, "file")}


def test_a_mark_that_came_with_a_file_outlasts_a_source_without_marks(store: LocalStore) -> None:
    landing.land(store, runs({**TEN, "workout_type": 1}, WARM_UP))
    landing.land(store, runs(TEN, WARM_UP))
    assert held(store)[7] == (1, "file")
    landing.land(
        store, runs(TEN, {**WARM_UP, "workout_type": 1})
    )  # a source that marks says of the others that they are none
    assert {number: mark for number, (mark, _) in held(store).items()} == {7: None, 6: 1}


def test_races_of_two_athletes_do_not_meet(store: LocalStore) -> None:
    landing.land(store, runs(TEN, {**TEN, "athlete_id": "b"}))
    landing.land_races(store, "a", [RACE])
    landing.land(store, runs(TEN, {**TEN, "athlete_id": "b"}))
    rows = store.rows(tables.STRAVA_ACTIVITIES).to_pylist()
    assert {row["athlete_id"]: row["workout_type"] for row in rows} == {"a": 1, "b": None}


def test_import_takes_a_file_of_races(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ATHLETE_HOME", str(tmp_path / "home"))
    day = date.today() - timedelta(days=30)
    path = written(tmp_path, f"date,distance,time,name\n{day},10,41:30,Town run\n{day},half,1:32:10,\n")
    assert cli.main(["import", "--export", str(path)]) == 2
    assert "no activities" in capsys.readouterr().err
    home = LocalStore(Settings(home=tmp_path / "home"))
    landing.land(home, runs({**activity(f"{day} 09:00:00", id=7), "moving_time": 2_480.0, "elapsed_time": 2_495.0}))
    assert cli.main(["import", "--export", str(path)]) == 0
    assert "2 races: 1 is among the runs, 1 entered" in capsys.readouterr().out
    assert sorted(mark for mark, _ in held(home).values() if mark) == [1, 1]
    assert cli.main(["import", "--export", str(path), "--athlete", "nobody"]) == 2


def test_an_own_load_outlasts_an_import_that_knows_of_none(store: LocalStore) -> None:
    landing.land(store, runs({**TEN, "own_load": 80.0, "perceived_exertion": 7.0}, WARM_UP))
    landing.land(store, runs({**TEN, "average_heartrate": 170.0}, WARM_UP))
    said = {
        row["id"]: (row["own_load"], row["perceived_exertion"])
        for row in store.rows(tables.STRAVA_ACTIVITIES).to_pylist()
    }
    assert said == {7: (80.0, 7.0), 6: (None, None)}
    landing.land(store, runs(TEN, {**WARM_UP, "own_load": 20.0}))
    assert {row["id"]: row["own_load"] for row in store.rows(tables.STRAVA_ACTIVITIES).to_pylist()} == {
        7: None,
        6: 20.0,
    }
