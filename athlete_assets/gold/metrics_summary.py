"""gold.athlete_metrics_summary: where each athlete stands on the newest day of the features."""

from __future__ import annotations

from datetime import timedelta

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from athlete_assets import tables

DISTANCE_TOLERANCE = 0.02
"""A run counts for a race distance when it is within this share of it; its time is scaled to the distance."""


def metrics_summary(activities: DataFrame, daily: DataFrame, rolling: DataFrame) -> DataFrame:
    """One row an athlete in the METRICS_SUMMARY contract, from whole ACTIVITY, DAILY and ROLLING tables."""
    state = _newest(rolling, "as_of_date")
    summary = (
        state.select(
            "athlete_id",
            "as_of_date",
            F.col("ctl_42d").alias("fitness_ctl"),
            F.col("atl_7d").alias("fatigue_atl"),
            F.col("tsb").alias("form_tsb"),
            "ramp_rate_7d",
        )
        .join(_volumes(daily, state), "athlete_id", how="left")
        .join(_bests(activities), "athlete_id", how="left")
        .join(_thresholds(activities), "athlete_id", how="left")
    )
    days_since = F.unix_date(F.to_date("as_of_date")) - F.unix_date(F.to_date("last_activity_date"))
    return summary.withColumn("days_since_activity", days_since.cast("bigint")).select(
        *tables.METRICS_SUMMARY.column_names
    )


def _newest(rows: DataFrame, *order: str) -> DataFrame:
    """Each athlete's row with the greatest values of the ordering columns."""
    newest_first = Window.partitionBy("athlete_id").orderBy(*(F.col(name).desc() for name in order))
    return rows.withColumn("rank", F.row_number().over(newest_first)).where(F.col("rank") == 1).drop("rank")


def _volumes(daily: DataFrame, state: DataFrame) -> DataFrame:
    recent = daily.join(state.select("athlete_id", "as_of_date"), "athlete_id", how="inner")

    def last(days: int) -> Column:
        start = F.col("as_of_date") - F.lit(timedelta(days=days))
        return F.sum(F.when(F.col("activity_date") > start, F.col("distance_km")).otherwise(0.0))

    return recent.groupBy("athlete_id").agg(*(last(days).alias(f"distance_{days}d_km") for days in (7, 28, 365)))


def _bests(activities: DataFrame) -> DataFrame:
    runs = activities.where(F.col("sport_type").isin(*tables.RUN_SPORTS))

    def best(name: str, metres: float) -> list[Column]:
        near = F.abs(F.col("distance_km") * 1000 / metres - 1) <= DISTANCE_TOLERANCE
        seconds = F.when(near, F.col("moving_time_min") * 60 * metres / (F.col("distance_km") * 1000))
        return [
            F.min(seconds).alias(f"best_{name}_s"),
            F.min_by("activity_date", seconds).alias(f"best_{name}_date"),
        ]

    columns = [column for name, metres in tables.DISTANCES_M.items() for column in best(name, metres)]
    return runs.groupBy("athlete_id").agg(*columns)


def _thresholds(activities: DataFrame) -> DataFrame:
    return _newest(activities, "event_timestamp", "activity_id").select(
        "athlete_id",
        "threshold_pace_min_km",
        "threshold_source",
        "hr_max_bpm",
        "hr_max_source",
        F.col("activity_date").alias("last_activity_date"),
    )
