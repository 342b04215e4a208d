"""athlete_daily_features: a dense calendar of what was done."""

from __future__ import annotations

from datetime import date
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
from pyspark.sql import SparkSession

from athlete_assets import tables
from athlete_assets.days import Days, midnight
from athlete_assets.features import daily as daily_module
from athlete_assets.features.cells import first_epoch_day
from athlete_assets.features.daily import daily_features
from athlete_assets.store.arrow import arrow_schema
from athlete_assets_tests.features.rows import Activity, activity_rows, assert_same, collected, day, no_rows, on_days
from athlete_assets_tests.formulas.test_race_times import oracle


def daily(spark: SparkSession, activities: list[Activity], days: Days) -> pd.DataFrame:
    return collected(daily_features(activity_rows(spark, activities), days), tables.DAILY)


def dates(rows: pd.DataFrame) -> list[date]:
    return [stamp.date() for stamp in rows["activity_date"]]


def test_every_day_from_the_first_activity_on_is_there(sail: SparkSession) -> None:
    rows = daily(sail, [Activity("a", day(3)), Activity("a", day(6))], Days(day(0), day(9)))
    assert dates(rows) == [day(n) for n in range(3, 10)]
    assert rows["is_rest_day"].tolist() == [False, True, True, False, True, True, True]
    assert rows["activities"].tolist() == [1, 0, 0, 1, 0, 0, 0]
    assert rows["daily_tss"].tolist() == [50, 0, 0, 50, 0, 0, 0]


def test_only_the_days_of_the_window_are_given_but_all_history_says_where_the_calendar_begins(
    sail: SparkSession,
) -> None:
    rows = daily(sail, [Activity("a", day(-400)), Activity("b", day(5))], Days(day(3), day(6)))
    assert rows["athlete_id"].tolist() == ["a"] * 4 + ["b"] * 2
    assert dates(rows) == [day(n) for n in (3, 4, 5, 6, 5, 6)]


def test_what_lies_after_the_window_does_not_exist_yet(sail: SparkSession) -> None:
    assert daily(sail, [Activity("a", day(10))], Days(day(0), day(9))).empty


def test_a_day_adds_up_its_activities(sail: SparkSession) -> None:
    """Two runs, one short sprint, a ride and a yoga class on one day; by hand."""
    activities = [
        Activity("a", day(0), km=10, minutes=50, load=60, climb=100.0),
        Activity("a", day(0), km=5, minutes=20, load=40, sport="TrailRun"),
        Activity("a", day(0), km=0.4, minutes=1, load=None),
        Activity("a", day(0), km=30, minutes=60, load=45.5, sport="Ride", climb=250.0),
        Activity("a", day(0), km=None, minutes=60, load=None, sport="Yoga"),
    ]
    row = daily(sail, activities, Days(day(0), day(0))).iloc[0]
    assert row["activities"] == 5
    assert row["untracked_activities"] == 2
    assert row["distance_km"] == pytest.approx(45.4)
    assert row["moving_time_min"] == pytest.approx(191)
    assert row["elevation_gain_m"] == pytest.approx(350)
    assert row["daily_tss"] == pytest.approx(145.5)
    assert row["runs"] == 3
    assert row["run_distance_km"] == pytest.approx(15.4)
    assert row["avg_pace_min_km"] == pytest.approx(71 / 15.4)
    assert row["best_pace_min_km"] == pytest.approx(4.0)  # the 400 m at 2:30 are too short to be a pace
    assert row["longest_run_km"] == pytest.approx(10)


def kernel_rows(activities: list[dict[str, Any]], days: Days) -> pa.Table:
    """What the kernel makes of activities of the first day by their columns, null where nothing is said; each athlete
    begins with the first of them."""
    first = first_epoch_day(days)
    athletes = list(dict.fromkeys(row["athlete_id"] for row in activities))
    read = ("athlete_id", "activity_date", *daily_module._READ)
    schema = pa.schema([arrow_schema(tables.ACTIVITY).field(name).with_nullable(True) for name in read])
    inputs = {
        "begun": pa.table(
            {
                "athlete_id": athletes,
                "month_start": pa.array([midnight(days.first)] * len(athletes), pa.timestamp("us", "UTC")),
                "active_days": [1] * len(athletes),
            }
        ),
        "activities": pa.Table.from_pylist(
            [{"activity_date": midnight(days.first), **row} for row in activities], schema
        ),
    }
    return daily_module.dense_days(inputs, first, len(days))


def test_a_run_of_unknown_time_has_a_distance_and_no_pace() -> None:
    """Null is not zero: not a pace of 0 min/km."""
    (row,) = kernel_rows(
        [{"athlete_id": "a", "sport_type": "Run", "distance_km": 10.0, "pace_min_km": 5.0}], Days(day(0), day(0))
    ).to_pylist()
    assert (row["runs"], row["run_distance_km"], row["run_moving_time_min"]) == (1, 10.0, 0.0)
    assert row["avg_pace_min_km"] is None


def test_rows_come_a_month_after_the_other_and_in_it_athlete_by_athlete() -> None:
    """As files hold them: a writer then has nothing to put in order."""
    days = Days(date(2024, 1, 30), date(2024, 2, 2))
    rows = kernel_rows([{"athlete_id": name, "distance_km": 1.0} for name in "ab"], days)
    january, february = [date(2024, 1, 30), date(2024, 1, 31)], [date(2024, 2, 1), date(2024, 2, 2)]
    assert [(row["athlete_id"], row["activity_date"].date()) for row in rows.to_pylist()] == [
        (name, day) for month in (january, february) for name in "ab" for day in month
    ]


def test_a_rest_day_has_no_pace(sail: SparkSession) -> None:
    rows = daily(sail, [Activity("a", day(0)), Activity("a", day(1), sport="Ride")], Days(day(0), day(2)))
    for name in ("avg_pace_min_km", "best_pace_min_km", "longest_run_km"):
        assert rows[name].notna().tolist() == [True, False, False]


@pytest.mark.parametrize("poison", [float("nan"), float("inf")])
def test_a_number_that_is_none_adds_nothing(spark: SparkSession, poison: float) -> None:
    """On both engines: one NaN in a sum is NaN for the day, and from there in every average for ever."""
    bad = Activity("a", day(0), km=poison, minutes=30, load=poison, climb=poison)
    row = daily(spark, [Activity("a", day(0), climb=10.0), bad], Days(day(0), day(0))).iloc[0]
    assert row[["activities", "untracked_activities", "runs"]].tolist() == [2, 1, 1]
    assert row[["distance_km", "daily_tss", "elevation_gain_m"]].tolist() == [10, 50, 10]
    assert row[["avg_pace_min_km", "longest_run_km"]].tolist() == [5, 10]


def test_rest_days_in_a_range(sail: SparkSession) -> None:
    """Oracle 16: two activities on one day count once; other years do not count."""
    case = oracle("16_rest_days_calendar")
    activities = [Activity("a", date.fromisoformat(on)) for on in case["inputs"]["activity_dates"]]
    first, last = (date.fromisoformat(on) for on in case["inputs"]["range"])
    assert daily(sail, activities, Days(first, last))["is_rest_day"].sum() == case["expected"]


def test_no_activities_are_no_rows(sail: SparkSession) -> None:
    assert collected(daily_features(no_rows(sail, tables.ACTIVITY), Days(day(0), day(9))), tables.DAILY).empty


def test_the_calendar_survives_sorts_and_joins_behind_it(spark: SparkSession) -> None:
    """On both engines, before anything is written: behind groupBy(k) and an explode, Sail takes k for unique; then
    a sort by (k, day) ignores the day, and dropDuplicates and joins lose rows."""
    days = Days(day(0), day(20))
    rows = daily_features(activity_rows(spark, [Activity("a", day(0)), Activity("b", day(7))]), days)
    keys = ["athlete_id", "activity_date"]
    expected = [("a", day(n)) for n in range(21)] + [("b", day(n)) for n in range(7, 21)]

    def found(frame: Any) -> list[tuple[str, date]]:
        return [(athlete, stamp.date()) for athlete, stamp in zip(*frame.toArrow().to_pydict().values(), strict=True)]

    assert found(rows.orderBy(*keys).select(*keys)) == expected
    assert sorted(found(rows.dropDuplicates(keys).select(*keys))) == expected
    assert sorted(found(rows.join(rows.select(*keys, "month"), on=keys, how="inner").select(*keys))) == expected


def test_a_late_row_before_the_first_activity_begins_the_calendar_anew(sail: SparkSession) -> None:
    """The affected days run from the late row to the former first day, not the late row's day alone."""
    before, late = [Activity("a", day(10))], Activity("a", day(4))
    days = Days(day(0), day(12))
    whole = daily(sail, [*before, late], days)
    affected = Days(day(4), day(10))
    kept = daily(sail, before, days)
    mended = pd.concat(
        [on_days(whole, tables.DAILY, affected), on_days(kept, tables.DAILY, Days(day(11), day(12)))],
        ignore_index=True,
    )
    assert_same(mended, whole)
    assert len(daily(sail, [*before, late], Days(day(4), day(4)))) == 1
    assert dates(whole) == [day(n) for n in range(4, 13)]
