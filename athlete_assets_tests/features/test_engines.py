"""Sail and Apache Spark give the same tables, also where Sail is known to be silently wrong."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from athlete_assets import tables
from athlete_assets.days import ONE_DAY, Days
from athlete_assets.features.activity import activity_features
from athlete_assets.features.daily import daily_features
from athlete_assets.features.rolling import rolling_features
from athlete_assets.features.weekly import weekly_features
from athlete_assets.settings import Settings
from athlete_assets.store.arrow import fitted
from athlete_assets.store.by_athlete import BUCKETS
from athlete_assets.tables import Table
from athlete_assets_tests.conftest import shared_file
from athlete_assets_tests.features.rows import (
    Activity,
    activity_table,
    assert_same,
    collected,
    daily_rows,
    daily_table,
    day,
    no_rows,
)
from athlete_assets_tests.rows import frame
from athlete_assets_tests.silver.rows import REAL_RUNS_AS_OF, real_runs

DAYS = Days(day(0), day(399))
SPLIT = day(330)


def generated(seed: int, athletes: int = 25) -> list[Activity]:
    """400 days of athletes who begin, pause and train as people do: several sports, days and unknown loads."""
    random = np.random.default_rng(seed)
    activities = []
    for number in range(athletes):
        habit, start = random.uniform(0.1, 1.1), int(random.integers(0, 380))
        for offset in range(start, len(DAYS)):
            if offset % 150 > 110 and number % 3 == 0:
                continue  # a long pause
            for _ in range(random.poisson(habit)):
                km = float(random.uniform(0.5, 32))
                activities.append(
                    Activity(
                        f"athlete-{number}",
                        day(offset),
                        km=km,
                        minutes=km * float(random.uniform(3.4, 7)),
                        load=None if random.random() < 0.1 else float(random.uniform(5, 250)),
                        sport=str(random.choice(["Run", "Run", "TrailRun", "Ride", "Walk"])),
                        climb=float(random.uniform(0, 700)) if random.random() < 0.8 else None,
                    )
                )
    return activities


def made_by(
    spark: SparkSession, activities: DataFrame, whole: Days = DAYS, split: date = SPLIT
) -> dict[Table, pd.DataFrame]:
    """All three tables: rolling in two ranges, the second from the state of the first."""
    settings = Settings()
    daily_arrow = fitted(daily_features(activities, whole).toArrow(), tables.DAILY)
    daily = frame(spark, daily_arrow)
    first, second = Days(whole.first, split), Days(split + ONE_DAY, whole.last)
    early = fitted(
        rolling_features(daily, activities, no_rows(spark, tables.ROLLING), first, settings).toArrow(), tables.ROLLING
    )
    late = fitted(rolling_features(daily, activities, frame(spark, early), second, settings).toArrow(), tables.ROLLING)
    return {
        tables.DAILY: collected(daily_arrow, tables.DAILY),
        tables.WEEKLY: collected(weekly_features(daily, whole), tables.WEEKLY),
        tables.ROLLING: pd.concat([collected(early, tables.ROLLING), collected(late, tables.ROLLING)]),
    }


@pytest.mark.java
def test_generated_runs_give_the_same_tables(sail: SparkSession, apache_spark: SparkSession) -> None:
    """To 1e-9, row for row and column for column: 25 athletes, 400 days, from a state and without one."""
    activities = activity_table(generated(11))
    on_sail = made_by(sail, frame(sail, activities))
    on_spark = made_by(apache_spark, frame(apache_spark, activities))
    for table, rows in on_sail.items():
        assert len(rows) > 500
        assert_same(rows, on_spark[table])
    rolling_rows = on_sail[tables.ROLLING]
    for column in tables.ROLLING.columns:
        assert rolling_rows[column.name].notna().sum() > 300, f"{column.name} is hardly ever known: nothing is compared"


@pytest.mark.java
def test_real_runs_give_the_same_tables(sail: SparkSession, apache_spark: SparkSession) -> None:
    """The shared real runs of a dozen people, dirty as found, from silver on: the calendar has gaps of years."""
    settings = Settings(as_of=REAL_RUNS_AS_OF)
    whole = Days(settings.start_date, REAL_RUNS_AS_OF)
    silver = real_runs(shared_file("data/real_runs.parquet"))
    people = silver["athlete_id"].unique().sort().slice(0, 12)
    silver = silver.filter(pc.is_in(silver["athlete_id"], people))

    def activities(spark: SparkSession) -> pa.Table:
        runs = frame(spark, silver, tables.STRAVA_ACTIVITIES)
        none = no_rows(spark, tables.STRAVA_SUB_ACTIVITY), no_rows(spark, tables.STRAVA_ATHLETE)
        return fitted(activity_features(runs, *none, whole, settings).toArrow(), tables.ACTIVITY)

    landed = activities(sail)
    on_sail = made_by(sail, frame(sail, landed), whole, date(2024, 5, 31))
    on_spark = made_by(apache_spark, frame(apache_spark, landed), whole, date(2024, 5, 31))
    for table, rows in on_sail.items():
        assert len(rows) > 1000
        assert_same(rows, on_spark[table])


# ------------------------------------------------------------- traps, each on both engines; the calendar: test_daily


def test_the_order_of_rows_does_not_matter(spark: SparkSession) -> None:
    """Sail drops a sort before a function over Arrow batches: the buckets must be right in any order of rows."""
    settings, days = Settings(), Days(day(0), day(79))
    loads = [float(load) for load in np.random.default_rng(2).uniform(0, 150, 80)]
    in_order = daily_rows(spark, loads)
    backwards = frame(spark, in_order.toArrow().take(list(range(79, -1, -1))))
    mixed = frame(spark, in_order.toArrow().take(np.random.default_rng(3).permutation(80)))
    none, state = no_rows(spark, tables.ACTIVITY), no_rows(spark, tables.ROLLING)
    results = [
        collected(rolling_features(rows, none, state, days, settings), tables.ROLLING)
        for rows in (in_order, backwards, mixed)
    ]
    pd.testing.assert_frame_equal(results[0], results[1], check_exact=True)
    pd.testing.assert_frame_equal(results[0], results[2], check_exact=True)


def test_windows_are_exactly_as_wide_as_they_say(spark: SparkSession) -> None:
    """Sail's RANGE frame over a DATE column is too wide. One activity near a leap day: 30 days in, then out."""
    first = date(2024, 2, 10)
    rows = daily_rows(spark, [70.0] + [0.0] * 39, first=first)
    days = Days(first, first + timedelta(days=39))
    states = collected(
        rolling_features(rows, no_rows(spark, tables.ACTIVITY), no_rows(spark, tables.ROLLING), days, Settings()),
        tables.ROLLING,
    )
    assert states["activities_30d"].tolist() == [1] * 30 + [0] * 10
    assert states["training_monotony_7d"].notna().tolist() == [True] * 7 + [False] * 33
    assert states["rest_days_14d"].tolist() == [*range(14), *[14] * 26]


def test_constant_and_emptied_windows_leave_no_residue(spark: SparkSession) -> None:
    """Sail's sliding stddev is NaN in a window that has become constant, and its sliding sum leaves 1e-12 in an empty
    one: then monotony is NaN, or a ratio of two residues."""
    loads = [0.1, 250.3, 99.9, *[70.1] * 20, *[0.0] * 40]
    states = collected(
        rolling_features(
            daily_rows(spark, loads),
            no_rows(spark, tables.ACTIVITY),
            no_rows(spark, tables.ROLLING),
            Days(day(0), day(len(loads) - 1)),
            Settings(),
        ),
        tables.ROLLING,
    )
    monotony = states["training_monotony_7d"]
    assert monotony[9:23].tolist() == [10.0] * 14  # seven days of 70.1
    assert monotony[29:].isna().all()
    assert states["training_strain_7d"][29:].isna().all()
    assert states["total_distance_30d_km"][52:].tolist() == [0.0] * 11
    assert states["avg_pace_30d"][52:].isna().all()


@pytest.mark.parametrize("poison", [float("nan"), float("inf")])
def test_a_run_without_a_number_poisons_no_state(spark: SparkSession, poison: float) -> None:
    """One NaN in a sliding sum sticks for ever on Sail, and in an average on any engine."""
    runs = [Activity("a", day(n), load=50.0) for n in range(40)]
    bad = Activity("a", day(20), km=poison, minutes=30.0, load=poison)
    days = Days(day(0), day(39))

    def states(activities: list[Activity]) -> pd.DataFrame:
        rows = frame(spark, activity_table(activities))
        daily = frame(spark, fitted(daily_features(rows, days).toArrow(), tables.DAILY))
        made = rolling_features(daily, rows, no_rows(spark, tables.ROLLING), days, Settings())
        # the activity itself did happen, and its load is unknown
        return collected(made, tables.ROLLING).drop(columns=["activities_30d", "untracked_share_42d"])

    assert_same(states([*runs, bad]), states(runs))


def test_many_athletes_in_few_buckets(spark: SparkSession) -> None:
    """More athletes than buckets: each is computed as if alone."""
    days = Days(day(0), day(34))
    loads = {f"athlete-{n}": [float((n * 37 + d * 11) % 90) for d in range(35)] for n in range(3 * BUCKETS)}
    rows = [daily_table(load, athlete=name) for name, load in loads.items()]
    none, state = no_rows(spark, tables.ACTIVITY), no_rows(spark, tables.ROLLING)

    def states(daily: pa.Table) -> pd.DataFrame:
        return collected(rolling_features(frame(spark, daily), none, state, days, Settings()), tables.ROLLING)

    together = states(pa.concat_tables(rows))
    for alone, name in zip(map(states, rows[:3]), loads, strict=False):
        among = together[together["athlete_id"] == name].reset_index(drop=True)
        pd.testing.assert_frame_equal(among, alone, check_exact=True)
    assert len(together) == 35 * len(loads)


WEEK = [date(2024, 12, 30) + timedelta(days=number) for number in range(7)]
"""Monday to Sunday."""


def test_a_monday_is_the_week_before_the_next_one(spark: SparkSession) -> None:
    """As the check of weekly features finds it."""
    days = frame(spark, pa.table({"day": WEEK}))
    found = days.select(F.date_sub(F.next_day("day", "Mon"), 7).alias("monday")).toArrow()["monday"].to_pylist()
    assert found == [WEEK[0]] * 7


def test_the_weekday_of_a_sunday_is_not_known_to_sail(sail: SparkSession) -> None:
    """6 on Apache Spark; with Sail's -1 a Sunday would lie in the week after its own. Nothing here may ask for it."""
    rows = frame(sail, pa.table({"day": WEEK})).select("day", F.weekday("day").alias("number")).toArrow()
    numbers = dict(zip(rows["day"].to_pylist(), rows["number"].to_pylist(), strict=True))
    assert [numbers[day] for day in WEEK] == [0, 1, 2, 3, 4, 5, -1]
