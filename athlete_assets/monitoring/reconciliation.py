"""Checks that reconcile a table with the one it was made from: sums, calendars, a recomputation. Without Dagster.

Each is one aggregate over stored rows, so that it judges what readers will see; sums are compared to SUM_TOLERANCE.
Where a kernel of this process had the rows in its hands, they are added up there (`by_athlete.watch`): to read them
once more took more than the kernels of days and weeks themselves. How many there are is asked of what is stored.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, timedelta
from functools import reduce
from operator import add

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import Column, DataFrame, Row
from pyspark.sql import functions as F

from athlete_assets.days import Days, midnight
from athlete_assets.features.cells import athletes_of, epoch_days, first_epoch_day
from athlete_assets.features.monthly import days_as_bits
from athlete_assets.features.rolling import HIGHEST_START
from athlete_assets.monitoring.checks import Check, CheckOutcome
from athlete_assets.settings import Settings
from athlete_assets.tables import OWN_WORD
from athlete_assets.words import counted

_EPOCH = date(1970, 1, 1)
SUM_TOLERANCE = 1e-6
"""Relative; the tables add the same numbers in different orders."""
DRAWN_TOLERANCE = 1e-11
"""Relative, of a sum over all athletes, some of whose parts are added in another order."""
STATE_TOLERANCE = 1e-6
"""Relative; a day's state is computed from the evening before it, not from the first day on."""


ACTIVITIES_ADD_UP = Check(
    "activities_add_up", "The days hold the number, distance, time and load of all activities of the window."
)


_OF_DAYS = {"distance_km": "distance_km", "moving_time_min": "moving_time_min", "daily_tss": "estimated_tss"}
"""Sums of the days, and the column of the activities that each is of."""


def activities_add_up(
    activities: DataFrame, daily: DataFrame, seen: Sequence[pa.Table] = (), stored: tuple[int, int] = (0, 0)
) -> CheckOutcome:
    """Number, distance, time and load of the window's activities are the daily features' sums.

    seen: `sums_of_call` of the calls in which the days were made. They count where they hold as many activities and
    days as are stored, so that nothing was left out; else the stored rows are read.
    """
    found = pa.concat_tables(seen) if seen else None
    if found is not None and stored == (_total(found, "activities in"), _total(found, "days")):
        one, other = (
            {name: _total(found, f"{name} {side}") for name in ("activities", *_OF_DAYS)} for side in ("in", "out")
        )
    else:
        sums = {name: F.sum(of_activities) for name, of_activities in _OF_DAYS.items()}
        one = _totals(activities, {"activities": F.count(F.lit(1)), **sums})
        other = _totals(daily, {name: F.sum(name) for name in one})
    differing = [name for name in one if not math.isclose(one[name], other[name], rel_tol=SUM_TOLERANCE, abs_tol=1e-9)]
    listed = "; ".join(f"{name} {one[name]:.6g} in the activities, {other[name]:.6g} in the days" for name in differing)
    return ACTIVITIES_ADD_UP.outcome(
        not differing,
        f"The sums differ: {listed}."
        if differing
        else f"The sums over {counted(round(one['activities']), 'activity')} agree.",
        {
            f"{name}_{side}": sums[name]
            for name in differing or ["activities"]
            for side, sums in (("in", one), ("out", other))
        },
    )


def sums_of_call(inputs: Mapping[str, pa.Table], days: pa.Table, window: Days) -> pa.Table:
    """One row: sums of the activities that the kernel of daily features was given, and of the days that it made; and
    _GAPS of these days, by the months in which their athletes have begun."""
    activities = inputs["activities"]
    sums = {
        "days": len(days),
        "activities in": len(activities),
        "activities out": _total(days, "activities"),
        **{f"{name} in": _total(activities, of_activities) for name, of_activities in _OF_DAYS.items()},
        **{f"{name} out": _total(days, name) for name in _OF_DAYS},
        **_gaps_of_call(inputs["begun"], days, window),
    }
    return pa.table({name: [float(value)] for name, value in sums.items()})


def _gaps_of_call(begun: pa.Table, days: pa.Table, window: Days) -> dict[str, int]:
    """_GAPS of the days that a kernel made. begun: the months with an activity of their athletes."""
    athletes, coded = athletes_of({"begun": begun, "days": days})
    day = epoch_days(begun, "month_start") + days_as_bits(begun).argmax(axis=1)
    first, end = first_epoch_day(window), first_epoch_day(window) + len(window)
    begin = np.full(len(athletes), end)
    np.minimum.at(begin, coded["begun"], np.clip(day, first, end))
    missing = end - begin - np.bincount(coded["days"], minlength=len(athletes))
    gaps = (np.sum(begin < end), np.count_nonzero(missing), missing[missing > 0].sum(), -missing[missing < 0].sum())
    return dict(zip(_GAPS, map(int, gaps), strict=True))


def _total(rows: pa.Table, name: str) -> float:
    return float(pc.sum(rows[name]).as_py() or 0.0)


WEEKLY_IS_SUM_OF_DAILY = Check("weekly_is_sum_of_daily", "Each week of an athlete holds the sums of its days.")


_OF_WEEK = {
    "weekly_distance_km": "distance_km",
    "weekly_activities": "activities",
    "weekly_tss": "daily_tss",
    "weekly_elevation_m": "elevation_gain_m",
    "weekly_moving_time_min": "moving_time_min",
}
_SHARES = (1.0, 7.389, 0.2718, 0.1414, 0.1732)
"""What each counts in one number for all: about the same, and so that no plain mistake in two of them cancels."""
_DRAWN = ("rows", "drawn", "total")
"""Of a day: its rows, the sum of what is drawn by their athletes, and that of their values times what is drawn."""
_HIGHEST_DRAWN = 1 << 20


def weekly_is_sum_of_daily(
    daily: DataFrame, weekly: DataFrame, seen: Sequence[pa.Table] = (), stored: tuple[int, int] = (0, 0)
) -> CheckOutcome:
    """Each athlete's week holds the sums of its days.

    seen: `drawn_sums_of_call` of the calls in which the weeks were made. They count where they hold as many days and
    weeks as are stored, so that none was left out; else the stored rows are read.
    """
    found = pa.concat_tables(seen) if seen else None
    sides = [_by_day(found.filter(pc.field("side") == side)) for side in ("days", "weeks")] if found else []
    if not sides or stored != tuple(_total(side, "rows") for side in sides):
        sides = [
            _drawn_sums(daily, "activity_date", _OF_WEEK.values()),
            _drawn_sums(weekly, "week_start", _OF_WEEK),
        ]
    weeks = _weeks_that_agree(*sides)
    wrong = 0
    if weeks is None:
        # Mondays by another way than the table's own, which could be wrong in both; Sail's `weekday` is -1 on Sundays
        day = F.col("activity_date").cast("date")
        by_week = daily.groupBy("athlete_id", F.date_sub(F.next_day(day, "Mon"), 7).alias("monday")).agg(
            *(F.sum(of_day).cast("double").alias(f"sum_{of_week}") for of_week, of_day in _OF_WEEK.items())
        )
        weekly = weekly.withColumn("monday", F.col("week_start").cast("date"))
        both = weekly.join(by_week, on=["athlete_id", "monday"], how="full")
        close = F.lit(True)
        for of_week in _OF_WEEK:
            close = close & _close(F.col(of_week).cast("double"), F.col(f"sum_{of_week}"))
        weeks, wrong = both.agg(F.count(F.lit(1)), _count(~F.coalesce(close, F.lit(False)))).collect()[0]
    return WEEKLY_IS_SUM_OF_DAILY.outcome(
        wrong == 0,
        f"Not the sum of their days, or missing on one side: {wrong} of {counted(weeks, 'week')}.",
        {"weeks": weeks, "wrong": wrong},
    )


def _weeks_that_agree(days: pa.Table, weeks: pa.Table) -> int | None:
    """How many rows the weeks have if they are the sums of the days; None where each is to be looked at. days, weeks:
    _DRAWN by epoch day, in order.

    Told by sums over all athletes of a day, each value times a whole number that is drawn by its athlete: what is wrong
    of one changes them, and what is wrong of several does not cancel but with a chance of some 2^-20 (Freivalds' way to
    check a product). A grouping by day costs half of one by athlete and week. To DRAWN_TOLERANCE of a sum they agree:
    of 36,000 athletes that is less than SUM_TOLERANCE of one's week.

    Days are dense: whoever has one in a week has the week's last.
    """
    monday = np.array([day - (_EPOCH + timedelta(days=day)).weekday() for day in days["day"].to_pylist()], np.int64)
    begins = np.flatnonzero(np.diff(monday, prepend=monday[:1] - 1))
    ends = np.append(begins[1:], len(monday))[: len(begins)] - 1
    if not np.array_equal(monday[begins], weeks["day"].to_numpy()):
        return None
    if not np.array_equal(days["drawn"].to_numpy()[ends], weeks["drawn"].to_numpy()):
        return None
    wanted, found = np.add.reduceat(days["total"].to_numpy(), begins), weeks["total"].to_numpy()
    if not np.allclose(wanted, found, rtol=DRAWN_TOLERANCE, atol=1e-9):
        return None
    return int(weeks["rows"].to_numpy().sum())


def _drawn_sums(rows: DataFrame, day: str, values: Iterable[str]) -> pa.Table:
    """_DRAWN of the rows by epoch day, in order."""
    drawn = (F.crc32("athlete_id").bitwiseAND(F.lit(_HIGHEST_DRAWN - 1)) + 1).cast("double")
    parts = [
        F.coalesce(F.col(name).cast("double"), F.lit(0.0)) * share for name, share in zip(values, _SHARES, strict=True)
    ]
    picked = rows.select(day, drawn.alias("drawn"), reduce(add, parts).alias("value"))
    sums = (F.count(F.lit(1)), F.sum("drawn"), F.sum(F.col("value") * F.col("drawn")))
    of_days = picked.groupBy(day).agg(*sums).toArrow()
    # of the result, not of each row: that takes the engine a sixth of all this
    return pa.table([pa.array(epoch_days(of_days, day)), *of_days.columns[1:]], ["day", *_DRAWN]).sort_by("day")


def drawn_sums_of_call(inputs: Mapping[str, pa.Table], weeks: pa.Table, window: Days) -> pa.Table:
    """_DRAWN by side and epoch day: of the days in the window that the kernel of weekly features was given, and of the
    weeks that it made."""
    days = _drawn_in(inputs, "days", "activity_date", _OF_WEEK.values(), window)
    made = _drawn_in({"weeks": weeks}, "weeks", "week_start", _OF_WEEK, window)
    return pa.concat_tables(
        [
            rows.append_column("side", pa.array([side] * len(rows), pa.string()))
            for side, rows in (("days", days), ("weeks", made))
        ]
    )


def _drawn_in(inputs: Mapping[str, pa.Table], of: str, day: str, values: Iterable[str], window: Days) -> pa.Table:
    """_DRAWN by epoch day, of the rows in the window of one of the inputs."""
    rows, (athletes, coded) = inputs[of], athletes_of(inputs)
    drawn = np.array([(zlib.crc32(one.encode()) & (_HIGHEST_DRAWN - 1)) + 1.0 for one in athletes.to_pylist()])
    of_row, value, part = drawn[coded[of]], np.zeros(len(rows)), np.empty(len(rows))
    for name, share in zip(values, _SHARES, strict=True):
        column = rows[name]
        np.multiply((pc.fill_null(column, 0) if column.null_count else column).to_numpy(), share, out=part)
        value += part
    number, first = epoch_days(rows, day), first_epoch_day(window)
    earliest = int(number.min(initial=first))
    number -= earliest  # in place, as the next: memory anew costs as much as the sums
    value *= of_row
    sums = [np.bincount(number, weights) for weights in (None, of_row, value)]
    found = np.flatnonzero(sums[0])
    found = found[(found >= first - earliest) & (found < first - earliest + len(window))]
    return pa.table([found + earliest, *(total[found] for total in sums)], ["day", *_DRAWN])


def _by_day(parts: pa.Table) -> pa.Table:
    """The sums of _DRAWN of the parts by day, in order."""
    sums = parts.group_by("day").aggregate([(name, "sum") for name in _DRAWN])
    return sums.rename_columns({f"{name}_sum": name for name in _DRAWN}).sort_by("day")


NO_GAPS = Check("no_gaps", "From the athlete's first activity on, each day of the window has a row.")
_GAPS = ("athletes", "athletes_with_gaps", "missing_days", "surplus_days")
"""How many athletes have begun, how many of them have missing or surplus days, and how many such days there are."""


def no_gaps(
    daily: DataFrame, activities: DataFrame, days: Days, seen: Sequence[pa.Table] = (), stored: int = 0
) -> CheckOutcome:
    """From each athlete's first activity on there is one row for each day of the window, and none before.

    daily: the window's rows. activities: all rows of all history, in which the first days stand. seen: `sums_of_call`
    of the calls in which the days were made. They count where they hold as many days as are stored; else the stored
    rows are read.
    """
    found = pa.concat_tables(seen) if seen else None
    if found is not None and stored == _total(found, "days"):
        gaps = {name: round(_total(found, name)) for name in _GAPS}
    else:
        gaps = _stored_gaps(daily, activities, days)
    return NO_GAPS.outcome(
        gaps["athletes_with_gaps"] == 0,
        f"Athletes with missing or surplus days in the window: {gaps['athletes_with_gaps']} of {gaps['athletes']}; "
        f"missing days: {gaps['missing_days']}, surplus ones: {gaps['surplus_days']}.",
        gaps,
    )


def _stored_gaps(daily: DataFrame, activities: DataFrame, days: Days) -> dict[str, int]:
    first, last = F.lit(midnight(days.first)), F.lit(midnight(days.last))
    begun = activities.where(F.col("activity_date") <= last).groupBy("athlete_id")
    wanted = begun.agg((F.datediff(last, F.greatest(first, F.min("activity_date"))) + 1).cast("bigint").alias("wanted"))
    found = daily.groupBy("athlete_id").agg(F.count(F.lit(1)).alias("found"))
    missing = F.coalesce(F.col("wanted"), F.lit(0)) - F.coalesce(F.col("found"), F.lit(0))
    sums = (
        F.count(F.lit(1)),
        _count(F.col("missing") != 0),
        F.coalesce(F.sum(F.when(F.col("missing") > 0, F.col("missing"))), F.lit(0)),
        F.coalesce(F.sum(F.when(F.col("missing") < 0, -F.col("missing"))), F.lit(0)),
    )
    both = wanted.join(found, on="athlete_id", how="full").select(missing.alias("missing"))
    return dict(zip(_GAPS, map(int, both.agg(*sums).collect()[0]), strict=True))


MONTHS_ADD_UP = Check("months_add_up", "The months hold as many activities as their days.")


def months_add_up(activities: int, months: DataFrame) -> CheckOutcome:
    """Of whole months as many activities are stored as the months hold. activities: the number that is stored."""
    held = months.agg(F.coalesce(F.sum("activities"), F.lit(0))).collect()[0][0]
    return MONTHS_ADD_UP.outcome(
        held == activities,
        f"The months hold {counted(held, 'activity')}, {activities} are stored.",
        {"activities_in": activities, "activities_out": held},
    )


ONE_ROW_A_DAY = Check("one_row_a_day", "There is one row for each athlete and day of athlete_daily_features.")


def one_row_a_day(daily: DataFrame, rolling: DataFrame) -> CheckOutcome:
    """Rolling features have a row for exactly each row of the daily calendar."""
    calendar = daily.select("athlete_id", F.col("activity_date").alias("as_of_date"))
    missing, surplus, found = _unmatched(calendar, rolling)
    return ONE_ROW_A_DAY.outcome(
        not missing and not surplus,
        f"Days of athlete_daily_features without a row here: {missing}; rows here without such a day: {surplus}.",
        {"rows": found, "missing": missing, "surplus": surplus},
    )


ONE_ROW_AN_ATHLETE = Check("one_row_an_athlete", "There is one row for each athlete who has features of the day.")


def one_row_an_athlete(rolling: DataFrame, predictions: DataFrame) -> CheckOutcome:
    """Predictions have a row for exactly each row of the rolling features."""
    evenings = rolling.select("athlete_id", F.col("as_of_date").alias("prediction_date"))
    missing, surplus, found = _unmatched(evenings, predictions)
    return ONE_ROW_AN_ATHLETE.outcome(
        not missing and not surplus,
        f"Athletes with features of the day, but without a prediction: {missing}; the other way round: {surplus}.",
        {"rows": found, "missing": missing, "surplus": surplus},
    )


FITNESS_RECOMPUTED = Check(
    "fitness_recomputed",
    "Fitness and fatigue of a few athletes, drawn anew each day, equal a recomputation over all their days.",
)


def fitness_recomputed(
    daily: DataFrame, rolling: DataFrame, days: Days, settings: Settings, athletes: DataFrame | None = None
) -> CheckOutcome:
    """ctl_42d and atl_7d of a few athletes at the window's end equal the recursion over all their days.

    x_t = x_{t-1} + (tss_t - x_{t-1}) (1 - exp(-1/N)), from 0 before the first day (Banister) or from where the athlete
    says (athletes: silver), step by step in Python: another computation than the one that wrote the rows. daily: rows
    of all history up to days.last. The sample changes with the day, so that in time every athlete is looked at.
    """
    at_end = rolling.where(F.col("as_of_date") == F.lit(midnight(days.last)))
    draw = F.sha2(F.concat("athlete_id", F.lit(str(days.last))), 256)
    drawn = at_end.select("athlete_id", "ctl_42d", "atl_7d", draw.alias("draw")).orderBy("draw")
    sample = drawn.limit(settings.fitness_check_athletes)
    stored = {row["athlete_id"]: row for row in sample.collect()}
    loads: dict[str, list[tuple[object, float]]] = {athlete: [] for athlete in stored}
    if stored:
        theirs = daily.where(F.col("athlete_id").isin(*stored) & (F.col("activity_date") <= F.lit(midnight(days.last))))
        for row in theirs.select("athlete_id", "activity_date", "daily_tss").collect():
            loads[row["athlete_id"]].append((row["activity_date"], row["daily_tss"]))
    stated = _starts(athletes, list(stored), days) if athletes is not None and stored else []
    worst = 0.0
    for athlete, row in stored.items():
        for column, constant, said in (("ctl_42d", 42, "starting_fitness"), ("atl_7d", 7, "starting_fatigue")):
            level, weight = 0.0, 1 - math.exp(-1 / constant)
            waiting = [(one["valid_from"], one[said]) for one in stated if one["athlete_id"] == athlete]
            for day, load in sorted(loads[athlete], key=lambda day: day[0]):  # type: ignore[arg-type,return-value]
                while waiting and (waiting[0][0] is None or waiting[0][0] <= day):
                    start = waiting.pop(0)[1]
                    level = start if start is not None and 0 <= start <= HIGHEST_START else level
                level += (load - level) * weight
            worst = max(worst, abs(row[column] - level) / max(1.0, abs(level)))
    return FITNESS_RECOMPUTED.outcome(
        worst <= STATE_TOLERANCE,
        f"Fitness and fatigue of {counted(len(stored), 'athlete')} on {days.last} differ from a recomputation by at "
        f"most {worst:.1e} (relative).",
        {"athletes": len(stored), "largest_difference": worst, "tolerance": STATE_TOLERANCE},
    )


def _starts(athletes: DataFrame, among: list[str], days: Days) -> list[Row]:
    """What these athletes state of a starting fitness and fatigue, in the order in which it takes hold."""
    rows = athletes.where(
        F.col("athlete_id").isin(*among)
        & (F.coalesce(F.col("valid_from"), F.lit(midnight(days.last))) <= F.lit(midnight(days.last)))
        & (F.col("starting_fitness").isNotNull() | F.col("starting_fatigue").isNotNull())
    ).select("athlete_id", "valid_from", "starting_fitness", "starting_fatigue", "source")

    def order(row: Row) -> tuple[object, ...]:
        values = (-1.0 if row[name] is None else row[name] for name in ("starting_fatigue", "starting_fitness"))
        begins = row["valid_from"].timestamp() if row["valid_from"] is not None else 0.0
        return begins, row["source"] == OWN_WORD, *values

    return sorted(rows.collect(), key=order)  # type: ignore[arg-type]


def _totals(rows: DataFrame, sums: dict[str, Column]) -> dict[str, float]:
    found = rows.agg(*(F.coalesce(total.cast("double"), F.lit(0.0)).alias(name) for name, total in sums.items()))
    return {name: float(value) for name, value in found.collect()[0].asDict().items()}


def _unmatched(wanted: DataFrame, found: DataFrame) -> tuple[int, int, int]:
    """Wanted keys that were not found, found ones that nobody wanted, and all of both. wanted: the keys alone.

    Equal sets of keys have equal digests, and unequal ones share theirs with a chance of 2^-64: only where the digests
    differ are the keys joined, which costs as much as the sets are large.
    """
    keys = wanted.columns
    digest = _digest(wanted)
    if digest == _digest(found.select(*keys)):
        return 0, 0, digest[0]
    both = found.select(*keys, F.lit(1).alias("found")).join(wanted.withColumn("wanted", F.lit(1)), on=keys, how="full")
    row = both.agg(
        _count(F.col("found").isNull()).alias("missing"),
        _count(F.col("wanted").isNull()).alias("surplus"),
        F.count(F.lit(1)).alias("rows"),
    ).collect()[0]
    return row["missing"], row["surplus"], row["rows"]


def _digest(keys: DataFrame) -> tuple[int, int, int]:
    """How many rows there are, and the sums of both halves of their hashes: a sum of whole ones would overflow."""
    hashed = F.xxhash64(*keys.columns)
    low, high = hashed.bitwiseAND(F.lit(0xFFFF_FFFF)), F.shiftright(hashed, 32).cast("bigint")
    sums = keys.agg(F.count(F.lit(1)).alias("rows"), F.sum(low).alias("low"), F.sum(high).alias("high")).collect()[0]
    return sums["rows"], sums["low"], sums["high"]


def _close(one: Column, other: Column) -> Column:
    return F.abs(one - other) <= F.lit(SUM_TOLERANCE) * F.greatest(F.lit(1.0), F.abs(one), F.abs(other))


def _count(condition: Column) -> Column:
    return F.coalesce(F.sum(condition.cast("bigint")), F.lit(0).cast("bigint"))
