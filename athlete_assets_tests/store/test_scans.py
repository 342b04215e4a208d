"""Rows of stored tables, read past the Spark engine: the same as the engine gives, or not at all."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pyarrow as pa
import pytest
from pyspark.sql import DataFrame, SparkSession

from athlete_assets import tables
from athlete_assets.days import Days
from athlete_assets.settings import Settings
from athlete_assets.silver import quality
from athlete_assets.store.arrow import arrow_schema
from athlete_assets.store.athletes import EVERYONE, Athletes, AthleteSpan, NamedAthletes
from athlete_assets.store.local import LocalStore
from athlete_assets.store.scans import of_days, of_sports, scanned
from athlete_assets.store.sql import literal
from athlete_assets_tests.features.rows import Activity, activity_table
from athlete_assets_tests.silver.rows import activity, arrow
from athlete_assets_tests.store.rows import daily, rejects, span

YEARS = span("2023-11-20", "2024-03-09")
IDS = ("a", "b", "it's \\ o", "z")
COLUMNS = ["athlete_id", "activity_date", "distance_km", "longest_run_km", "activities", "is_rest_day"]
WINDOWS = [span("2024-01-31", "2024-02-01"), span("2023-12-31", "2023-12-31"), span("2020-01-01", "2020-01-09")]


@pytest.fixture
def home(store: LocalStore) -> LocalStore:
    """Days of four athletes, one of whom is nobody's name for an engine."""
    rows = [daily(athlete, list(YEARS)[n::2], distance_km=float(n)) for n, athlete in enumerate(IDS)]
    store.replace_arrow(tables.DAILY, pa.concat_tables(rows), YEARS)
    return store


def same(rows: DataFrame, columns: list[str]) -> int:
    """How many rows the frame has, which are the same by either way."""
    past_the_engine = scanned(rows, columns)
    assert past_the_engine is not None
    by_the_engine = rows.select(*columns).toArrow()
    assert past_the_engine.schema.types == by_the_engine.schema.types
    order = [(name, "ascending") for name in columns]
    assert past_the_engine.sort_by(order).to_pylist() == by_the_engine.sort_by(order).to_pylist()
    return past_the_engine.num_rows


@pytest.mark.parametrize(
    "athletes",
    [None, NamedAthletes(frozenset(IDS[1:3])), NamedAthletes(frozenset()), AthleteSpan("b", "j"), EVERYONE],
    ids=str,
)
def test_rows_of_days_and_athletes_are_the_same_by_either_way(home: LocalStore, athletes: Athletes | None) -> None:
    some = home.of(athletes)
    of = [athlete for athlete in IDS if athletes is None or athletes.hold(pa.array([athlete]))[0].as_py()]
    assert same(some.read(tables.DAILY), COLUMNS) == sum(len(list(YEARS)[IDS.index(athlete) :: 2]) for athlete in of)
    for window in WINDOWS:
        days = [day for day in list(YEARS) if day in window]
        expected = sum(day in list(YEARS)[IDS.index(athlete) :: 2] for athlete in of for day in days)
        assert same(some.read(tables.DAILY, window), COLUMNS) == expected
        assert same(of_days(some.read(tables.DAILY), tables.DAILY, window), COLUMNS) == expected
        assert same(of_days(some.read(tables.DAILY, YEARS), tables.DAILY, window), COLUMNS[::-1]) == expected


def test_activities_of_some_sports(store: LocalStore) -> None:
    week = [date(2024, 3, 4 + n) for n in range(6)]
    sports = ("Run", "Ride", "TrailRun", "Run", "Yoga", "Ride")
    rows = activity_table([Activity("a", day, sport=sport) for day, sport in zip(week, sports, strict=True)])
    store.replace_arrow(tables.ACTIVITY, rows, Days(week[0], week[-1]))
    activities = store.read(tables.ACTIVITY)
    columns = ["athlete_id", "activity_date", "pace_min_km", "is_race"]
    assert same(of_sports(activities, tables.RUN_SPORTS), columns) == 3
    assert same(of_days(of_sports(activities, ["Ride"]), tables.ACTIVITY, Days(week[0], week[2])), columns) == 1


def test_of_rejects_those_outside_the_calendar_are_of_no_day(store: LocalStore) -> None:
    """Each window writes them anew, none reads them."""
    day = date(2024, 3, 4)
    store.replace_arrow(tables.REJECTS, rejects([(1, day, "duplicate"), (2, None, "no_date")]), Days(day, day))
    assert same(store.read(tables.REJECTS, Days(day, day)), ["id", "month"]) == 1
    assert same(store.read(tables.REJECTS), ["id", "month"]) == 2


def test_a_column_that_is_not_stored_yet_is_null(home: LocalStore) -> None:
    """Tables written before a column came into the contract."""
    before = home.rows(tables.DAILY).drop_columns(["longest_run_km"])
    home.folder(tables.DAILY).restart(before, {})
    rows = scanned(home.read(tables.DAILY), COLUMNS)
    assert rows is not None
    assert rows["longest_run_km"].type == arrow_schema(tables.DAILY).field("longest_run_km").type
    assert rows["longest_run_km"].null_count == rows.num_rows > 0
    assert same(home.read(tables.DAILY), COLUMNS) == rows.num_rows


def test_a_frame_with_an_expression_is_the_engines(home: LocalStore, sail: SparkSession) -> None:
    read = home.read(tables.DAILY)
    for rows in (read.where(f"athlete_id = {literal('a')}"), read.select("athlete_id"), read.unionAll(read)):
        assert scanned(rows, ["athlete_id"]) is None
    assert scanned(of_days(read.where("distance_km > 1"), tables.DAILY, YEARS), ["athlete_id"]) is None
    assert scanned(sail.createDataFrame([("a",)], "athlete_id string"), ["athlete_id"]) is None


def test_types_are_widened_by_the_engine(store: LocalStore) -> None:
    """Upstream's silver may hold others than the contract's."""
    store.create(tables.STRAVA_ACTIVITIES)
    assert scanned(store.read(tables.STRAVA_ACTIVITIES), ["athlete_id"]) is not None
    rows = store.rows(tables.STRAVA_ACTIVITIES)
    place = rows.schema.get_field_index("id")
    store.folder(tables.STRAVA_ACTIVITIES).restart(rows.set_column(place, "id", rows["id"].cast(pa.int32())), {})
    assert scanned(store.read(tables.STRAVA_ACTIVITIES), ["athlete_id"]) is None


def test_a_commit_after_the_read_is_seen_by_either_way(home: LocalStore) -> None:
    rows = home.read(tables.DAILY)
    home.replace_arrow(tables.DAILY, daily("b", [YEARS.first]), YEARS)
    assert same(rows, COLUMNS) == 1


def test_silver_of_a_window_and_outside_the_calendar(tmp_path: Path) -> None:
    """On the athlete's clock, to the microsecond."""
    settings = Settings(home=tmp_path, start_date=date(2024, 1, 1), as_of=date(2024, 12, 31))
    starts = {
        "2023-12-31 23:59:59.999999": True,  # before the calendar begins
        "2024-01-01 00:00:00": False,
        "2024-03-03 23:59:59.999999": False,
        "2024-03-04 00:00:00": True,
        "2024-03-05 23:59:59.999999": True,
        "2024-03-06 00:00:00": False,
        "2024-12-31 23:59:59.999999": False,
        "2025-01-01 00:00:00": True,  # after today
    }
    rows = [activity(start, id=number) for number, start in enumerate(starts)]
    rows.append(activity(id=100) | {"start_date_local": None})
    store = LocalStore(settings)
    store.create(tables.STRAVA_ACTIVITIES)
    store.folder(tables.STRAVA_ACTIVITIES).append(arrow(rows, tables.STRAVA_ACTIVITIES))
    window = quality.in_window(store.read(tables.STRAVA_ACTIVITIES), span("2024-03-04", "2024-03-05"), settings)
    assert same(window, ["id", "start_date_local"]) == 5
    found = scanned(window, ["id"])
    assert found is not None
    asked = [number for number, is_asked in enumerate(starts.values()) if is_asked]
    assert sorted(found["id"].to_pylist()) == [*asked, 100]
