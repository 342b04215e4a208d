"""athlete_daily_features: a dense calendar of each athlete's days, rest days included.

The engine adds up the days with an activity; a NumPy kernel lays them into the calendar. As a join of athletes and days
the calendar takes the engine twice as long as all the sums.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from athlete_assets import tables
from athlete_assets.days import Days, midnight
from athlete_assets.features.cells import athletes_of, first_epoch_day, rows_of
from athlete_assets.features.efforts import effort_time
from athlete_assets.store.by_athlete import apply_together
from athlete_assets.store.columns import known, within

BEST_PACE_FROM_KM = 1.0
"""Shorter runs say more about the GPS than about the runner."""


def daily_features(activities: DataFrame, days: Days) -> DataFrame:
    """DAILY rows of the days: one for each athlete and day from the athlete's first activity to days.last.

    activities: ACTIVITY rows of all history up to days.last (later ones are ignored). A value that is null, NaN or
    infinite adds nothing; an activity with such a load counts as untracked. Pace is total moving time over total
    distance of the runs: speed averaged by time.

    Which rows exist hangs on the athlete's FIRST activity. Where that one is added, removed or moved, the affected
    days are those from the earlier to the later of the old and the new first day (simplest: all days from the
    touched one on), not the touched day alone.
    """
    activities = activities.where(F.col("activity_date") <= F.lit(midnight(days.last)))
    day = F.unix_date(F.col("activity_date").cast("date"))
    firsts = activities.groupBy("athlete_id").agg(F.min(day).alias("first_day"))
    by_day = _by_day(activities.where(within(tables.ACTIVITY, days))).withColumn("day", day)
    inputs = {
        "firsts": (firsts, {"first_day": tables.INT}),
        "days": (by_day, {"day": tables.INT, **tables.DAILY.types(*ZERO_ON_REST_DAYS, *NULL_ON_REST_DAYS)}),
    }
    kernel = partial(dense_days, first=first_epoch_day(days), length=len(days))
    return apply_together(inputs, kernel, tables.DAILY.ddl)


ZERO_ON_REST_DAYS = (
    "activities",
    "distance_km",
    "moving_time_min",
    "elevation_gain_m",
    "daily_tss",
    "untracked_activities",
    "runs",
    "run_distance_km",
    "run_moving_time_min",
)
NULL_ON_REST_DAYS = ("avg_pace_min_km", "best_pace_min_km", "longest_run_km")


def dense_days(inputs: Mapping[str, pa.Table], first: int, length: int) -> pa.Table:
    """DAILY rows of `length` days from epoch day `first`: one for each day of the athletes of a bucket from their first
    one on, of the days with an activity."""
    athletes, coded = athletes_of(inputs)
    begin = np.full(len(athletes), first + length)
    begin[coded["firsts"]] = np.maximum(inputs["firsts"]["first_day"].to_numpy(), first)
    rows = np.maximum(first + length - begin, 0)
    start = np.cumsum(rows) - rows
    athlete = np.repeat(np.arange(len(athletes)), rows)
    day = begin[athlete] + np.arange(len(athlete)) - start[athlete]
    place = start[coded["days"]] + inputs["days"]["day"].to_numpy() - begin[coded["days"]]

    def on_days(name: str, on_rest_days: float) -> NDArray[np.float64]:
        values = np.full(len(athlete), on_rest_days)
        values[place] = inputs["days"][name].to_numpy()
        return values

    columns = {name: on_days(name, 0.0) for name in ZERO_ON_REST_DAYS}
    columns |= {name: on_days(name, np.nan) for name in NULL_ON_REST_DAYS}
    columns["is_rest_day"] = (columns["activities"] == 0).astype(np.float64)
    return rows_of(tables.DAILY, columns, athletes.take(pa.array(athlete)), day)


def _by_day(activities: DataFrame) -> DataFrame:
    """One row for each athlete and day with an activity; run columns null on days without a run."""
    pace, distance, moving_time = known("pace_min_km"), known("distance_km"), known("moving_time_min")
    load = known("estimated_tss")
    effort = effort_time(moving_time, known("elapsed_time_min"), F.coalesce(F.col("is_race"), F.lit(False)))
    is_run = F.col("sport_type").isin(*tables.RUN_SPORTS) & (distance > 0) & pace.isNotNull()
    run_time, run_distance = F.sum(F.when(is_run, moving_time)), F.sum(F.when(is_run, distance))
    return activities.groupBy("athlete_id", "activity_date").agg(
        F.count(F.lit(1)).alias("activities"),
        _total(distance).alias("distance_km"),
        _total(moving_time).alias("moving_time_min"),
        _total(known("elevation_gain_m")).alias("elevation_gain_m"),
        _total(load).alias("daily_tss"),
        F.count(F.when(load.isNull(), F.lit(1))).alias("untracked_activities"),
        F.min(F.when(is_run & (distance >= BEST_PACE_FROM_KM), effort / distance)).alias("best_pace_min_km"),
        F.max(F.when(is_run, distance)).alias("longest_run_km"),
        F.count(F.when(is_run, F.lit(1))).alias("runs"),
        _or_zero(run_distance).alias("run_distance_km"),
        _or_zero(run_time).alias("run_moving_time_min"),
        (run_time / run_distance).alias("avg_pace_min_km"),
    )


def _total(value: Column) -> Column:
    return _or_zero(F.sum(value))


def _or_zero(value: Column) -> Column:
    return F.coalesce(value, F.lit(0.0))
