"""Small, honest rows in the ACTIVITY and DAILY contracts, and the comparison of tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from random import Random
from typing import Any

import pandas as pd
import pyarrow as pa
from hypothesis import strategies as st
from pyspark.sql import DataFrame, SparkSession

from athlete_assets import tables
from athlete_assets.days import Days, midnight
from athlete_assets.store.arrow import arrow_schema, fitted
from athlete_assets.tables import Table
from athlete_assets_tests.rows import frame

MONDAY = date(2024, 1, 1)
ATHLETES = "abcdefghijklmnopqr"


@dataclass(frozen=True)
class Activity:
    """One row of activity_features, as far as the later tables read it."""

    athlete: str
    day: date
    km: float | None = 10.0
    minutes: float = 50.0
    load: float | None = 50.0
    sport: str = "Run"
    climb: float | None = None
    elapsed: float | None = None
    """min; None is as sources have it that know only one time: equal to the moving time."""

    def row(self, number: int) -> dict[str, Any]:
        return {
            "athlete_id": self.athlete,
            "activity_id": number,
            "event_timestamp": midnight(self.day) + timedelta(hours=9, seconds=number),
            "sport_type": self.sport,
            "is_race": False,
            "distance_km": self.km,
            "moving_time_min": self.minutes,
            "elapsed_time_min": self.minutes if self.elapsed is None else self.elapsed,
            "pace_min_km": self.minutes / self.km if self.km and self.sport in (*tables.RUN_SPORTS, "Walk") else None,
            "elevation_gain_m": self.climb,
            "threshold_pace_min_km": 5.5,
            "threshold_source": "default",
            "estimated_tss": self.load,
            "load_method": "none" if self.load is None else "pace",
            "source": "simulated",
            "activity_date": midnight(self.day),
            "month": f"{self.day:%Y-%m}",
        }


def day(offset: int) -> date:
    """A day counted from a Monday."""
    return MONDAY + timedelta(days=offset)


def activity_table(activities: Iterable[Activity]) -> pa.Table:
    rows = [activity.row(number) for number, activity in enumerate(activities)]
    return pa.Table.from_pylist(rows, schema=arrow_schema(tables.ACTIVITY))


def activity_rows(spark: SparkSession, activities: Iterable[Activity]) -> DataFrame:
    return frame(spark, activity_table(activities))


def daily_table(loads: Sequence[float], first: date = MONDAY, athlete: str = "a", **columns: Sequence[Any]) -> pa.Table:
    """One athlete's DAILY rows on consecutive days with the given loads; a day with a load is one 10 km run."""
    rows: list[dict[str, Any]] = []
    for offset, load in enumerate(loads):
        on = first + timedelta(days=offset)
        ran = load > 0
        row = {
            "athlete_id": athlete,
            "activity_date": midnight(on),
            "activities": int(ran),
            "distance_km": 10.0 * ran,
            "moving_time_min": 50.0 * ran,
            "elevation_gain_m": 0.0,
            "daily_tss": float(load),
            "untracked_activities": 0,
            "avg_pace_min_km": 5.0 if ran else None,
            "best_pace_min_km": 5.0 if ran else None,
            "longest_run_km": 10.0 if ran else None,
            "runs": int(ran),
            "run_distance_km": 10.0 * ran,
            "run_moving_time_min": 50.0 * ran,
            "is_rest_day": not ran,
            "month": f"{on:%Y-%m}",
        }
        rows.append(row | {name: values[offset] for name, values in columns.items()})
    return pa.Table.from_pylist(rows, schema=arrow_schema(tables.DAILY))


def daily_rows(spark: SparkSession, loads: Sequence[float], **options: Any) -> DataFrame:
    """`daily_table` in a session."""
    return frame(spark, daily_table(loads, **options))


def no_rows(spark: SparkSession, table: Table) -> DataFrame:
    return spark.createDataFrame([], table.ddl)


def collected(rows: DataFrame | pa.Table, table: Table) -> pd.DataFrame:
    """The rows in key order with plain values, after the contract has passed them."""
    arrow = fitted(rows if isinstance(rows, pa.Table) else rows.toArrow(), table)
    result = arrow.to_pandas().sort_values(list(table.keys)).reset_index(drop=True)
    assert not result.duplicated(list(table.keys)).any()
    for column in table.columns:
        if column.type == tables.STRINGS:
            result[column.name] = [None if value is None else ", ".join(value) for value in result[column.name]]
        if column.type == tables.DOUBLE:
            nulls = arrow.column(column.name).null_count
            assert result[column.name].isna().sum() == nulls, f"{column.name} holds NaN, which is not null"
    return result


def on_days(rows: pd.DataFrame, table: Table, days: Days) -> pd.DataFrame:
    """The collected rows of the days."""
    inside = rows[table.day_column].between(
        pd.Timestamp(midnight(days.first)), pd.Timestamp(midnight(days.last)), inclusive="both"
    )
    return rows[inside].reset_index(drop=True)


def assert_same(left: pd.DataFrame, right: pd.DataFrame, tolerance: float = 1e-9) -> None:
    """Equal row for row; floats to the tolerance, relative or (near zero) absolute."""
    pd.testing.assert_frame_equal(left, right, rtol=tolerance, atol=tolerance, check_dtype=False)


@st.composite
def training(draw: st.DrawFn, days: int, athletes: str = ATHLETES, busiest: int = 375) -> list[Activity]:
    """A few athletes' activities over the days: several on one day, other sports, unknown loads, long gaps."""
    count = draw(st.integers(max(1, busiest // 4), busiest))
    random = Random(draw(st.integers(0, 2**32)))  # one drawn number: hundreds of drawn ones exceed what shrinks
    starts = {athlete: random.randrange(days) for athlete in athletes}
    activities = []
    for _ in range(count):
        athlete = random.choice(athletes)
        km = random.choice([0.4, 1.0, 3.0, 5.0, 10.0, round(random.uniform(2, 35), 2)])
        sport = random.choice(["Run", "Run", "Run", "TrailRun", "Ride", "Walk", "Yoga"])
        activities.append(
            Activity(
                athlete,
                day(random.randrange(starts[athlete], days)),
                km=None if sport == "Yoga" else km,
                minutes=km * random.choice([4.0, 5.0, random.uniform(3.2, 8)]),
                load=random.choice([None, 50.0, random.uniform(1, 300)]),
                sport=sport,
                climb=random.choice([None, random.uniform(0, 900)]),
            )
        )
    return activities
