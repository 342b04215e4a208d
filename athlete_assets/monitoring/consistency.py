"""Checks that hold two tables against each other, or a table against its own history. Formulas, without Dagster.

Each is one aggregate over stored rows, so that it judges what readers will see; sums are compared to SUM_TOLERANCE.
"""

from __future__ import annotations

import math

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from athlete_assets import tables
from athlete_assets.days import Days, midnight
from athlete_assets.monitoring.checks import CheckOutcome

SUM_TOLERANCE = 1e-6
"""Relative; the tables add the same numbers in different orders."""
SAMPLE_ATHLETES = 5
STATE_TOLERANCE = 1e-6
HISTORY_DAYS = 365
FEW_ROWS = 20
"""In a smaller window one row moves a share too far to tell anything."""
REJECTS_TIMES_HISTORY, REJECTS_SHARE = 3.0, 0.10
UNTRACKED_TIMES_HISTORY, UNTRACKED_SHARE = 2.0, 0.30


def activities_add_up(activities: DataFrame, daily: DataFrame) -> CheckOutcome:
    """Number, distance, time and load of the window's activities are the daily features' sums."""
    measures = ("activities", "distance_km", "moving_time_min", "daily_tss")
    one = _totals(
        activities,
        {
            "activities": F.count(F.lit(1)),
            "distance_km": F.sum("distance_km"),
            "moving_time_min": F.sum("moving_time_min"),
            "daily_tss": F.sum("estimated_tss"),
        },
    )
    return _compared("activities_add_up", one, _totals(daily, {name: F.sum(name) for name in measures}), "activities")


def weekly_is_sum_of_daily(daily: DataFrame, weekly: DataFrame) -> CheckOutcome:
    """Each athlete's week holds the sums of its days."""
    pairs = {
        "weekly_distance_km": "distance_km",
        "weekly_activities": "activities",
        "weekly_tss": "daily_tss",
        "weekly_elevation_m": "elevation_gain_m",
        "weekly_moving_time_min": "moving_time_min",
    }
    by_week = daily.groupBy("athlete_id", F.date_trunc("week", "activity_date").alias("week_start")).agg(
        *(F.sum(of_day).cast("double").alias(f"sum_{of_week}") for of_week, of_day in pairs.items())
    )
    both = weekly.join(by_week, on=["athlete_id", "week_start"], how="full")
    wrong = F.lit(False)
    for of_week in pairs:
        wrong = wrong | ~_close(F.col(of_week).cast("double"), F.col(f"sum_{of_week}"))
    row = both.agg(_count(F.coalesce(wrong, F.lit(True))).alias("wrong"), F.count(F.lit(1)).alias("weeks")).collect()[0]
    return CheckOutcome(
        "weekly_is_sum_of_daily",
        row["wrong"] == 0,
        f"{row['wrong']} of {row['weeks']} athlete weeks differ from the sum of their days, or are on one side only.",
        {"weeks": row["weeks"], "wrong": row["wrong"]},
    )


def no_gaps(daily: DataFrame, days: Days) -> CheckOutcome:
    """From an athlete's first day in the window on, there is a row for each day up to the window's last."""
    last = F.lit(midnight(days.last))
    by_athlete = daily.groupBy("athlete_id").agg(
        F.count(F.lit(1)).alias("rows"),
        (F.datediff(last, F.min("activity_date")) + 1).cast("bigint").alias("wanted"),
    )
    row = by_athlete.agg(
        _count(F.col("rows") != F.col("wanted")).alias("wrong"),
        F.count(F.lit(1)).alias("athletes"),
        F.coalesce(F.sum(F.col("wanted") - F.col("rows")), F.lit(0)).alias("missing"),
    ).collect()[0]
    return CheckOutcome(
        "no_gaps",
        row["wrong"] == 0,
        f"{row['wrong']} of {row['athletes']} athletes lack days of their calendar ({row['missing']} days in all).",
        {"athletes": row["athletes"], "athletes_with_gaps": row["wrong"], "missing_days": int(row["missing"])},
    )


def one_row_a_day(name: str, daily: DataFrame, rows: DataFrame, table: tables.Table) -> CheckOutcome:
    """The table has a row for exactly each row of the daily calendar."""
    key = [F.col("athlete_id"), F.col(str(table.day_column)).alias("activity_date")]
    wanted = daily.select("athlete_id", "activity_date", F.lit(1).alias("wanted"))
    both = rows.select(*key, F.lit(1).alias("found")).join(wanted, on=["athlete_id", "activity_date"], how="full")
    row = both.agg(
        _count(F.col("found").isNull()).alias("missing"),
        _count(F.col("wanted").isNull()).alias("surplus"),
        F.count(F.lit(1)).alias("rows"),
    ).collect()[0]
    return CheckOutcome(
        name,
        row["missing"] == 0 and row["surplus"] == 0,
        f"{row['missing']} days of the daily calendar have no row here, {row['surplus']} rows have no such day.",
        {"rows": row["rows"], "missing": row["missing"], "surplus": row["surplus"]},
    )


def fitness_tie_out(daily: DataFrame, rolling: DataFrame, days: Days) -> CheckOutcome:
    """ctl_42d and atl_7d of a few athletes at the window's end equal the recursion over all their days.

    x_t = x_{t-1} + (tss_t - x_{t-1}) (1 - exp(-1/N)), from 0 before the first day (Banister), step by step in Python:
    another computation than the one that wrote the rows. daily: rows of all history up to days.last. The sample
    changes with the day, so that in time every athlete is looked at.
    """
    at_end = rolling.where(F.col("as_of_date") == F.lit(midnight(days.last)))
    draw = F.sha2(F.concat("athlete_id", F.lit(str(days.last))), 256)
    sample = at_end.select("athlete_id", "ctl_42d", "atl_7d", draw.alias("draw")).orderBy("draw").limit(SAMPLE_ATHLETES)
    stored = {row["athlete_id"]: row for row in sample.collect()}
    loads: dict[str, list[tuple[object, float]]] = {athlete: [] for athlete in stored}
    if stored:
        theirs = daily.where(F.col("athlete_id").isin(*stored) & (F.col("activity_date") <= F.lit(midnight(days.last))))
        for row in theirs.select("athlete_id", "activity_date", "daily_tss").collect():
            loads[row["athlete_id"]].append((row["activity_date"], row["daily_tss"]))
    worst = 0.0
    for athlete, row in stored.items():
        for column, constant in (("ctl_42d", 42), ("atl_7d", 7)):
            level, weight = 0.0, 1 - math.exp(-1 / constant)
            for _, load in sorted(loads[athlete], key=lambda day: day[0]):  # type: ignore[arg-type,return-value]
                level += (load - level) * weight
            worst = max(worst, abs(row[column] - level) / max(1.0, abs(level)))
    return CheckOutcome(
        "fitness_tie_out",
        worst <= STATE_TOLERANCE,
        f"Fitness and fatigue of {len(stored)} athletes on {days.last} differ from a recomputation by at most "
        f"{worst:.1e} (relative).",
        {"athletes": len(stored), "largest_difference": worst, "tolerance": STATE_TOLERANCE},
    )


def share_of_rejects(accepted: int, rejected: int, accepted_before: int, rejected_before: int) -> CheckOutcome:
    """Warns where more of the window's silver rows are rejected than the year before it lets expect."""
    return _share(
        "share_of_rejects",
        "silver rows were rejected",
        rejected,
        accepted + rejected,
        rejected_before,
        accepted_before + rejected_before,
        REJECTS_TIMES_HISTORY,
        REJECTS_SHARE,
    )


def share_without_load(activities: DataFrame, before: DataFrame) -> CheckOutcome:
    """Warns where more of the window's activities have no training load than the year before it lets expect."""
    counts = [_load_counts(rows) for rows in (activities, before)]
    (without, all_), (without_before, all_before) = counts
    return _share(
        "share_without_load",
        "activities have no training load",
        without,
        all_,
        without_before,
        all_before,
        UNTRACKED_TIMES_HISTORY,
        UNTRACKED_SHARE,
    )


def year_before(days: Days) -> Days:
    """The days against which shares of a window are held."""
    return Days(days.starting_earlier(HISTORY_DAYS).first, days.starting_earlier(1).first)


def _load_counts(rows: DataFrame) -> tuple[int, int]:
    found = rows.agg(_count(F.col("load_method") == "none").alias("none"), F.count(F.lit(1)).alias("all")).collect()[0]
    return found["none"], found["all"]


def _share(
    check: str, what: str, part: int, all_: int, part_before: int, all_before: int, times: float, least: float
) -> CheckOutcome:
    share = part / all_ if all_ else 0.0
    usual = part_before / all_before if all_before >= FEW_ROWS else None
    limit = max(least, times * usual) if usual is not None else least
    known = f"{usual:.1%} in the year before" if usual is not None else "no history to compare with"
    return CheckOutcome(
        check,
        all_ < FEW_ROWS or share <= limit,
        f"{part} of {all_} {what} ({share:.1%}; {known}; up to {limit:.1%} is expected).",
        {"share": share, "limit": limit, "rows": all_, **({"share_before": usual} if usual is not None else {})},
        "warning",
    )


def _totals(rows: DataFrame, sums: dict[str, Column]) -> dict[str, float]:
    found = rows.agg(*(F.coalesce(total.cast("double"), F.lit(0.0)).alias(name) for name, total in sums.items()))
    return {name: float(value) for name, value in found.collect()[0].asDict().items()}


def _compared(check: str, one: dict[str, float], other: dict[str, float], counted: str) -> CheckOutcome:
    differing = [name for name in one if not math.isclose(one[name], other[name], rel_tol=SUM_TOLERANCE, abs_tol=1e-9)]
    told = "; ".join(f"{name} {one[name]:.6g} against {other[name]:.6g}" for name in differing)
    return CheckOutcome(
        check,
        not differing,
        f"The sums differ: {told}." if differing else f"The sums of {one[counted]:.0f} activities agree.",
        {
            f"{name}_{side}": sums[name]
            for name in differing or [counted]
            for side, sums in (("in", one), ("out", other))
        },
    )


def _close(one: Column, other: Column) -> Column:
    return F.abs(one - other) <= F.lit(SUM_TOLERANCE) * F.greatest(F.lit(1.0), F.abs(one), F.abs(other))


def _count(condition: Column) -> Column:
    return F.coalesce(F.sum(condition.cast("bigint")), F.lit(0).cast("bigint"))
