"""athlete_daily_features: a dense calendar of each athlete's days, rest days included."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from athlete_assets import tables
from athlete_assets.days import Days, midnight
from athlete_assets.features.efforts import effort_time
from athlete_assets.store.columns import known, month_of, within

SECONDS_A_DAY = 86_400
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
    firsts = activities.groupBy("athlete_id").agg(F.min("activity_date").alias("first_date"))
    # A join with a calendar, not explode(sequence(first, last)): after groupBy(athlete_id) Sail takes athlete_id for
    # unique even behind an explode, and drops rows from later joins and sorts by (athlete_id, day).
    calendar_days = firsts.join(_calendar(activities, days), F.col("activity_date") >= F.col("first_date"), how="inner")
    by_day = _by_day(activities.where(within(tables.ACTIVITY, days)))
    rows = calendar_days.select("athlete_id", "activity_date").join(
        by_day, on=["athlete_id", "activity_date"], how="left"
    )
    return rows.select(
        "athlete_id",
        "activity_date",
        _zero_on_rest_days("activities"),
        _zero_on_rest_days("distance_km"),
        _zero_on_rest_days("moving_time_min"),
        _zero_on_rest_days("elevation_gain_m"),
        _zero_on_rest_days("daily_tss"),
        _zero_on_rest_days("untracked_activities"),
        (F.col("run_moving_time_min") / F.col("run_distance_km")).alias("avg_pace_min_km"),
        "best_pace_min_km",
        "longest_run_km",
        _zero_on_rest_days("runs"),
        _zero_on_rest_days("run_distance_km"),
        _zero_on_rest_days("run_moving_time_min"),
        F.col("activities").isNull().alias("is_rest_day"),
        month_of("activity_date"),
    )


def _calendar(anchor: DataFrame, days: Days) -> DataFrame:
    """One row a day, in the session of the anchor."""
    first = int(midnight(days.first).timestamp())
    seconds = F.lit(first) + F.col("id") * F.lit(SECONDS_A_DAY)
    return anchor.sparkSession.range(len(days)).select(F.timestamp_seconds(seconds).alias("activity_date"))


def _by_day(activities: DataFrame) -> DataFrame:
    """One row for each athlete and day with an activity; run columns null on days without a run."""
    pace, distance, moving_time = known("pace_min_km"), known("distance_km"), known("moving_time_min")
    load = known("estimated_tss")
    effort = effort_time(moving_time, known("elapsed_time_min"), F.coalesce(F.col("is_race"), F.lit(False)))
    is_run = F.col("sport_type").isin(*tables.RUN_SPORTS) & (distance > 0) & pace.isNotNull()
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
        F.sum(F.when(is_run, distance)).alias("run_distance_km"),
        F.sum(F.when(is_run, moving_time)).alias("run_moving_time_min"),
    )


def _total(value: Column) -> Column:
    return F.coalesce(F.sum(value), F.lit(0.0))


def _zero_on_rest_days(name: str) -> Column:
    return F.coalesce(F.col(name), F.lit(0)).alias(name)
