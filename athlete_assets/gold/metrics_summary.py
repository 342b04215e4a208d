"""gold.athlete_metrics_summary: where each athlete stands on the newest day of the features."""

from __future__ import annotations

from datetime import timedelta

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from athlete_assets import tables
from athlete_assets.features.efforts import effort_time
from athlete_assets.formulas.race_times import HIGHEST_VDOT, vdot_time

DISTANCE_TOLERANCE = 0.02
"""A run counts for a race distance when it is within this share of it; its time is scaled to the distance."""

FORM_DAYS = 42


def metrics_summary(
    activities: DataFrame, daily: DataFrame, rolling: DataFrame, efforts: DataFrame | None = None
) -> DataFrame:
    """One row an athlete in the METRICS_SUMMARY contract, from whole ACTIVITY, DAILY and ROLLING tables.

    efforts: silver.strava_best_effort; None where there is no such table.
    """
    state = _newest(rolling, "as_of_date")
    # where no load is known, fitness is unknown and not 0
    is_known = ~F.coalesce(F.col("untracked_share_42d") == 1, F.lit(False))
    form = {"ctl_42d": "fitness_ctl", "atl_7d": "fatigue_atl", "tsb": "form_tsb", "ramp_rate_7d": "ramp_rate_7d"}
    summary = (
        state.select(
            "athlete_id",
            "as_of_date",
            *(F.when(is_known, F.col(source)).alias(name) for source, name in form.items()),
        )
        .join(_volumes(daily, state), "athlete_id", how="left")
        .join(_bests(activities, efforts), "athlete_id", how="left")
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

    def last(days: int, name: str) -> Column:
        start = F.col("as_of_date") - F.lit(timedelta(days=days))
        return F.sum(F.when(F.col("activity_date") > start, F.col(name)).otherwise(0))

    return recent.groupBy("athlete_id").agg(
        *(last(days, "distance_km").alias(f"distance_{days}d_km") for days in (7, 28, 365)),
        last(FORM_DAYS, "activities").alias("activities_42d"),
        last(FORM_DAYS, "untracked_activities").alias("untracked_42d"),
    )


def _bests(activities: DataFrame, efforts: DataFrame | None) -> DataFrame:
    """The fastest time over each race distance and its day, of whole runs and of the best efforts inside them."""
    runs = activities.where(F.col("sport_type").isin(*tables.RUN_SPORTS))
    time = effort_time(F.col("moving_time_min"), F.col("elapsed_time_min"), F.col("is_race"))

    def seconds(metres: float) -> Column:
        near = F.abs(F.col("distance_km") * 1000 / metres - 1) <= DISTANCE_TOLERANCE
        return F.when(near, time * 60 * metres / (F.col("distance_km") * 1000))

    def best(name: str) -> list[Column]:
        return [
            F.min(name).alias(f"best_{name}_s"),
            F.min_by("activity_date", name).alias(f"best_{name}_date"),
        ]

    times = runs.select(
        "athlete_id", "activity_date", *(seconds(metres).alias(name) for name, metres in tables.DISTANCES_M.items())
    )
    if efforts is not None:
        times = times.unionAll(_parts(efforts, runs))
    return times.groupBy("athlete_id").agg(*(column for name in tables.DISTANCES_M for column in best(name)))


def _parts(efforts: DataFrame, runs: DataFrame) -> DataFrame:
    """The best efforts inside runs, each its time (s) in the column of its distance; none faster than a person."""

    def seconds(name: str, metres: float) -> Column:
        fastest = float(vdot_time(HIGHEST_VDOT, metres))
        is_plausible = (F.col("kind") == name) & (F.col("elapsed_time") >= F.lit(fastest))
        return F.when(is_plausible, F.col("elapsed_time"))

    return efforts.join(
        runs.select("athlete_id", "activity_id", "activity_date"), on=["athlete_id", "activity_id"], how="inner"
    ).select(
        "athlete_id",
        "activity_date",
        *(seconds(name, metres).alias(name) for name, metres in tables.DISTANCES_M.items()),
    )


def _thresholds(activities: DataFrame) -> DataFrame:
    return _newest(activities, "event_timestamp", "activity_id").select(
        "athlete_id",
        "threshold_pace_min_km",
        "threshold_source",
        "hr_max_bpm",
        "hr_max_source",
        F.col("activity_date").alias("last_activity_date"),
    )
