"""Months by hand, on both engines, and beside plain Python over days and runs."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyspark.sql import SparkSession

from athlete_assets import tables
from athlete_assets.days import Days, midnight
from athlete_assets.features import monthly
from athlete_assets.features.monthly import monthly_features
from athlete_assets_tests.rows import frame, rows

Found = dict[tuple[str, date], dict[str, Any]]


def run(day: date, km: float = 1.0, minutes: float | None = None, **more: Any) -> dict[str, Any]:
    minutes = 6 * km if minutes is None else minutes
    values = {"athlete_id": "ann", "sport_type": "Run", "distance_km": km, "moving_time_min": minutes}
    return {**values, "pace_min_km": minutes / km, "activity_date": midnight(day), **more}


def months(
    spark: SparkSession, *activities: dict[str, Any], days: Days | None = None, efforts: pa.Table | None = None
) -> Found:
    parts = None if efforts is None else frame(spark, efforts.to_pylist(), tables.STRAVA_BEST_EFFORT)
    given = frame(spark, rows(tables.ACTIVITY, *activities).to_pylist(), tables.ACTIVITY)
    found = monthly_features(given, parts, days).toArrow().to_pylist()
    return {(row["athlete_id"], row["month_start"].date()): row for row in found}


def test_a_month_knows_its_days(spark: SparkSession) -> None:
    """The first, third (twice) and last day of a January; a leap day; another athlete's ride."""
    first = date(2024, 1, 1)
    found = months(
        spark,
        *(run(day) for day in (first, date(2024, 1, 3), date(2024, 1, 3), date(2024, 1, 31), date(2024, 2, 29))),
        run(date(2024, 1, 2), athlete_id="bob", sport_type="Ride"),
    )
    assert {key: (row["activities"], row["active_days"], row["month"]) for key, row in found.items()} == {
        ("ann", first): (4, 1 + 4 + 2**30, "2024-01"),
        ("ann", date(2024, 2, 1)): (1, 2**28, "2024-02"),
        ("bob", first): (1, 2, "2024-01"),
    }


def test_whole_months_of_the_days_that_are_asked_for(spark: SparkSession) -> None:
    days = [date(2023, 12, 31), date(2024, 1, 1), date(2024, 1, 31), date(2024, 2, 29), date(2024, 3, 1)]
    found = months(spark, *map(run, days), days=Days(date(2024, 1, 15), date(2024, 2, 1)))
    assert {month: row["activities"] for (_, month), row in found.items()} == {
        date(2024, 1, 1): 2,
        date(2024, 2, 1): 1,
    }


def test_the_fastest_of_a_month(spark: SparkSession) -> None:
    """5.05 km in 25:15 is 5 km in 25:00, as is 5 km in 25:00 three days later; beside what counts not: a ride, 12 min,
    a run that is not believed, one with rests, and 5.2 km. A part of a run outdoes them over 10 km, and no ride's."""
    day = date(2024, 5, 4)
    activities = [
        run(day + timedelta(days=3), 5.0, 25.0, activity_id=1),
        run(day, 5.05, 25.25, activity_id=2),
        run(day, 5.0, 20.0, sport_type="Ride", activity_id=3),
        run(day, 5.0, 12.0, activity_id=4),
        run(day, 5.0, 20.0, pace_min_km=None, activity_id=5),
        run(day, 5.0, 20.0, elapsed_time_min=30.0, activity_id=6),
        run(day, 5.2, 20.0, activity_id=7),
        run(day, 10.0, 60.0, activity_id=8),
        run(day + timedelta(days=1), 21.0975, 120.0, activity_id=9),
    ]
    effort = {"athlete_id": "ann", "kind": "10k", "distance": 10_000.0}
    efforts = rows(
        tables.STRAVA_BEST_EFFORT,
        {**effort, "activity_id": 9, "elapsed_time": 3300.0},
        {**effort, "activity_id": 3, "elapsed_time": 3000.0},
        {**effort, "activity_id": 9, "elapsed_time": 3400.0, "kind": "mile"},
        {**effort, "activity_id": 9, "elapsed_time": 1800.0, "kind": "30min"},
    )
    (found,) = months(spark, *activities, efforts=efforts).values()
    bests = {name: (found[f"best_{name}_s"], found[f"best_{name}_day"]) for name in tables.BEST_DISTANCES_M}
    assert bests == {
        "1k": (None, None),
        "mile": (3400.0, 5),
        "5k": (pytest.approx(1500.0, rel=1e-12), 4),
        "10k": (3300.0, 5),
        "half": (pytest.approx(7200.0, rel=1e-12), 5),
        "marathon": (None, None),
    }


def test_nothing_makes_nothing(spark: SparkSession) -> None:
    assert months(spark) == {}


DAYS = st.dates(date(1999, 12, 1), date(2001, 3, 5))


@given(st.dictionaries(st.sampled_from(["ann", "bob"]), st.sets(DAYS, min_size=1), min_size=1))
def test_the_days_of_the_months_are_the_days_again(days: dict[str, set[date]]) -> None:
    activities = rows(
        tables.ACTIVITY, *(run(day, athlete_id=who) for who, active in days.items() for day in sorted(active))
    )
    found = monthly.bucket_months({"activities": activities})
    row, day = monthly.active_days(found)
    epoch = date(1970, 1, 1)
    again: dict[str, set[date]] = {}
    for who, number in zip(found["athlete_id"].take(pa.array(row)).to_pylist(), day.tolist(), strict=True):
        again.setdefault(who, set()).add(epoch + timedelta(days=number))
    assert again == days
    firsts: dict[tuple[str, datetime], date] = {}
    for who, active in days.items():
        for one in sorted(active, reverse=True):
            firsts[who, midnight(one.replace(day=1))] = one
    of_rows = zip(found["athlete_id"].to_pylist(), found["month_start"].to_pylist(), strict=True)
    wanted = [(firsts[key] - epoch).days for key in of_rows]
    assert monthly.first_active_days(found).tolist() == wanted
