"""athlete_weekly_features: the training week, Monday to Sunday."""

from __future__ import annotations

from functools import reduce
from operator import add

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from athlete_assets import tables
from athlete_assets.days import Days
from athlete_assets.formulas.sequences import MONOTONY_CAP
from athlete_assets.store.columns import month_of, within

DAYS_A_WEEK = 7


def weekly_features(daily: DataFrame, weeks: Days) -> DataFrame:
    """WEEKLY rows of the whole weeks that `weeks` touches: one for each athlete and week that holds a DAILY row.

    daily: DAILY rows from one week before the first Monday to the last Sunday (others are ignored). Days that are
    missing (before the first activity, or still to come in the running week) count as 0 load.
    """
    weeks = weeks.weeks
    daily = daily.where(within(tables.DAILY, weeks.starting_earlier(DAYS_A_WEEK)))
    week_start = F.date_trunc("week", "activity_date")
    totals = daily.groupBy("athlete_id", week_start.alias("week_start")).agg(
        F.sum("distance_km").alias("weekly_distance_km"),
        F.sum("activities").alias("weekly_activities"),
        F.sum("daily_tss").alias("weekly_tss"),
        F.sum("elevation_gain_m").alias("weekly_elevation_m"),
        F.sum("moving_time_min").alias("weekly_moving_time_min"),
        F.sum("runs").alias("runs"),
        F.sum("run_distance_km").alias("run_distance_km"),
        F.sum("run_moving_time_min").alias("run_moving_time_min"),
        F.max("longest_run_km").alias("longest_run_km"),
        F.count(F.when(F.col("activities") > 0, F.lit(1))).alias("active_days"),
        *(_load_of(day).alias(f"load_{day}") for day in range(DAYS_A_WEEK)),
    )
    rows = _with_monotony(totals, [F.col(f"load_{day}") for day in range(DAYS_A_WEEK)]).select(
        "athlete_id",
        "week_start",
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
        month_of("week_start"),
    )
    return rows.where(within(tables.WEEKLY, weeks))


def _load_of(day: int) -> Column:
    """Load of the week's day, Monday = 0; 0 where the week holds no such day."""
    # not F.weekday: Sail gives -1 for a Sunday
    on_day = F.datediff("activity_date", F.date_trunc("week", "activity_date")) == day
    return F.coalesce(F.sum(F.when(on_day, F.col("daily_tss"))), F.lit(0.0))


def _with_monotony(weeks: DataFrame, loads: list[Column]) -> DataFrame:
    """Adds training_monotony, `kernels.monotony` of one week: mean over POPULATION deviation, capped; equal loads give
    the cap, none null.

    A column a step: as one expression, in which each load's mean is written out again, the engine takes several times
    as long to plan it as to compute it.
    """
    weeks = weeks.withColumn("mean_load", reduce(add, loads) / len(loads))
    squares = [F.pow(load - F.col("mean_load"), 2) for load in loads]
    weeks = weeks.withColumns(
        {
            "load_deviation": F.sqrt(reduce(add, squares) / len(loads)),
            "most_load": F.greatest(*loads),
            "least_load": F.least(*loads),
        }
    )
    # Greatest and least say whether the days differ: the deviation of equal days may be a last-bit residue.
    varies = (F.col("most_load") > F.col("least_load")) & (F.col("load_deviation") > 0)
    cap = F.lit(MONOTONY_CAP)
    ratio = F.when(varies, F.least(F.col("mean_load") / F.col("load_deviation"), cap)).otherwise(cap)
    return weeks.withColumn("training_monotony", F.when(F.col("most_load") > 0, ratio))


def _change_against_the_week_before() -> Column:
    """Per cent; null where the week before has no row or no distance."""
    by_week = Window.partitionBy("athlete_id").orderBy("week_start")
    before = F.lag("weekly_distance_km").over(by_week)
    is_adjacent = F.datediff("week_start", F.lag("week_start").over(by_week)) == DAYS_A_WEEK
    return F.when(is_adjacent & (before > 0), (F.col("weekly_distance_km") / before - 1) * 100)
