"""athlete_weekly_features: the training week, Monday to Sunday."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from athlete_assets import tables
from athlete_assets.days import Days
from athlete_assets.features.cells import SECONDS_A_DAY
from athlete_assets.formulas.sequences import MONOTONY_CAP
from athlete_assets.store.columns import within

DAYS_A_WEEK = 7


def weekly_features(daily: DataFrame, weeks: Days) -> DataFrame:
    """WEEKLY rows of the whole weeks that `weeks` touches: one for each athlete and week that holds a DAILY row.

    daily: DAILY rows from one week before the first Monday to the last Sunday (others are ignored). Days that are
    missing (before the first activity, or still to come in the running week) count as 0 load.
    """
    weeks = weeks.weeks
    daily = daily.where(within(tables.DAILY, weeks.starting_earlier(DAYS_A_WEEK)))
    load = F.col("daily_tss")
    totals = daily.groupBy("athlete_id", monday_number("activity_date").alias("monday")).agg(
        F.sum("distance_km").alias("weekly_distance_km"),
        F.sum("activities").alias("weekly_activities"),
        F.sum(load).alias("weekly_tss"),
        F.sum("elevation_gain_m").alias("weekly_elevation_m"),
        F.sum("moving_time_min").alias("weekly_moving_time_min"),
        F.sum("runs").alias("runs"),
        F.sum("run_distance_km").alias("run_distance_km"),
        F.sum("run_moving_time_min").alias("run_moving_time_min"),
        F.max("longest_run_km").alias("longest_run_km"),
        F.count(F.when(F.col("activities") > 0, F.lit(1))).alias("active_days"),
        F.count(load).alias("days"),
        F.min(load).alias("least_load"),
        F.max(load).alias("most_load"),
        F.sum(load * load).alias("squares"),
    )
    rows = _with_monotony(totals).select(
        "athlete_id",
        beginning_of("monday").alias("week_start"),
        "weekly_distance_km",
        "weekly_activities",
        "weekly_tss",
        "weekly_elevation_m",
        "weekly_moving_time_min",
        F.when(F.col("runs") > 0, F.col("run_moving_time_min") / F.col("run_distance_km")).alias("avg_pace_week"),
        "longest_run_km",
        "active_days",
        "training_monotony",
        (F.col("weekly_tss") * F.col("training_monotony")).alias("training_strain"),
        _change_against_the_week_before().alias("distance_change_pct"),
        F.date_format(F.date_from_unix_date("monday"), "yyyy-MM").alias("month"),
    )
    return rows.where(within(tables.WEEKLY, weeks))


def monday_number(day: str) -> Column:
    """Days from 1970-01-01, a Thursday, to the Monday of the day's week: as numbers, since the engine takes as long to
    truncate a moment to its week as for all the sums of weeks."""
    number = F.unix_date(F.col(day).cast("date"))
    return number - F.pmod(number + F.lit(3), F.lit(DAYS_A_WEEK))


def beginning_of(day_number: str) -> Column:
    """The midnight (UTC) with which a day begins that is told as a number of days from 1970-01-01."""
    return F.timestamp_seconds(F.col(day_number).cast("bigint") * SECONDS_A_DAY)


def _with_monotony(weeks: DataFrame) -> DataFrame:
    """Adds training_monotony, `sequences.monotony` of one week: mean over POPULATION deviation, capped; equal loads
    give the cap, none null.

    By the sum of squares, as the engine makes it on its way. What that loses to cancellation is lost where the mean is
    many times the deviation, beyond the cap: below it, at most MONOTONY_CAP squared times the last bit.
    """
    missing_is_none = F.col("days") < DAYS_A_WEEK
    mean = F.coalesce(F.col("weekly_tss"), F.lit(0.0)) / DAYS_A_WEEK
    least = F.when(missing_is_none, F.least(F.col("least_load"), F.lit(0.0))).otherwise(F.col("least_load"))
    # Greatest and least say whether the days differ: the deviation of equal days may be a last-bit residue.
    variance = F.col("squares") / DAYS_A_WEEK - mean * mean
    weeks = weeks.withColumns({"mean_load": mean, "least_of_all": least, "variance": variance})
    varies = (F.col("most_load") > F.col("least_of_all")) & (F.col("variance") > 0)
    cap = F.lit(MONOTONY_CAP)
    ratio = F.when(varies, F.least(F.col("mean_load") / F.sqrt("variance"), cap)).otherwise(cap)
    return weeks.withColumn("training_monotony", F.when(F.col("most_load") > 0, ratio))


def _change_against_the_week_before() -> Column:
    """Per cent; null where the week before has no row or no distance."""
    by_week = Window.partitionBy("athlete_id").orderBy("monday")
    before = F.lag("weekly_distance_km").over(by_week)
    is_adjacent = F.col("monday") - F.lag("monday").over(by_week) == DAYS_A_WEEK
    return F.when(is_adjacent & (before > 0), (F.col("weekly_distance_km") / before - 1) * 100)
