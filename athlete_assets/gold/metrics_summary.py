"""gold.athlete_metrics_summary: where each athlete stands on the newest day of the features."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from athlete_assets import tables
from athlete_assets.days import Days, midnight
from athlete_assets.features.cells import MICROSECONDS_A_DAY, athletes_of, epoch_days
from athlete_assets.features.monthly import active_days, fastest
from athlete_assets.formulas.age_grade import STANDARDS_S, age_grade
from athlete_assets.formulas.race_times import vdot
from athlete_assets.store.arrow import nullable
from athlete_assets.store.by_athlete import apply_together
from athlete_assets.store.columns import of_newest_month, within

FORM_DAYS = 42
YEAR_DAYS = 365
RECENT_DAYS = 60
"""In these nearly every athlete of a home has an activity."""
FORM = {"ctl_42d": "fitness_ctl", "atl_7d": "fatigue_atl", "tsb": "form_tsb", "ramp_rate_7d": "ramp_rate_7d"}


def metrics_summary(
    activities: DataFrame,
    months: DataFrame,
    daily: DataFrame,
    rolling: DataFrame,
    performance: DataFrame,
    athletes: DataFrame,
) -> DataFrame:
    """One row an athlete in the METRICS_SUMMARY contract, from whole ACTIVITY, MONTHLY, DAILY, ROLLING and PERFORMANCE
    tables. athletes: silver.strava_athlete.
    """
    # Their days, before the plan is made: to read and sort whole histories for their ends took most of the summary
    days = _span(_newest_days(rolling, months))
    a_year_ago = Days(days.first - timedelta(days=YEAR_DAYS), days.last - timedelta(days=YEAR_DAYS))
    state = _newest(rolling.where(within(tables.ROLLING, days)), "as_of_date")
    earlier, effort = (
        rolling.where(within(tables.ROLLING, a_year_ago)),
        performance.where(within(tables.PERFORMANCE, days)),
    )
    summary = (
        state.select(
            "athlete_id",
            "as_of_date",
            "consistency_score",
            "untracked_share_42d",
            *(F.when(_load_is_known(), F.col(source)).alias(name) for source, name in FORM.items()),
        )
        .join(_a_year_ago(earlier), ["athlete_id", "as_of_date"], how="left")
        .join(
            _recent_effort(effort),
            ["athlete_id", "as_of_date"],
            how="left",
        )
        .join(_volumes(daily, state, days), "athlete_id", how="left")
        .join(_thresholds(activities, state, days), "athlete_id", how="left")
        .join(_stated(athletes), "athlete_id", how="left")
    )
    days_since = (_day("as_of_date") - _day("last_activity_date")).cast("bigint")
    summary = summary.withColumn("days_since_activity", days_since)
    inputs = {"athletes": (summary, _JOINED), "months": (months, tables.MONTHLY.types(*_OF_MONTHS))}
    return apply_together(inputs, _with_histories, tables.METRICS_SUMMARY.ddl)


def _newest_days(rolling: DataFrame, months: DataFrame) -> DataFrame:
    """The newest day of each athlete, as_of_date: looked up in the newest month alone where everybody has one there."""
    newest = of_newest_month(rolling)
    absent = months.select("athlete_id").distinct().join(newest.select("athlete_id"), "athlete_id", how="left_anti")
    return (newest if absent.isEmpty() else rolling).groupBy("athlete_id").agg(F.max("as_of_date").alias("as_of_date"))


def _span(newest: DataFrame) -> Days:
    """From the earliest to the latest of the athletes' newest days; one day without athletes."""
    day = F.unix_date(F.to_date("as_of_date"))
    row = newest.agg(F.min(day).alias("first"), F.max(day).alias("last")).collect()[0]
    first, last = (date(1970, 1, 1) + timedelta(days=row[name] or 0) for name in ("first", "last"))
    return Days(first, last)


def _load_is_known() -> Column:
    """Where no load is known, fitness is unknown and not 0."""
    return ~F.coalesce(F.col("untracked_share_42d") == 1, F.lit(False))


def _newest(rows: DataFrame, *order: str) -> DataFrame:
    """Each athlete's row with the greatest values of the ordering columns."""
    newest_first = Window.partitionBy("athlete_id").orderBy(*(F.col(name).desc() for name in order))
    return rows.withColumn("rank", F.row_number().over(newest_first)).where(F.col("rank") == 1).drop("rank")


def _a_year_ago(rolling: DataFrame) -> DataFrame:
    """Fitness, by the day that lies YEAR_DAYS later."""
    return rolling.select(
        "athlete_id",
        (F.col("as_of_date") + F.lit(timedelta(days=YEAR_DAYS))).alias("as_of_date"),
        F.when(_load_is_known(), F.col("ctl_42d")).alias("fitness_ctl_365d_ago"),
    )


def _recent_effort(performance: DataFrame) -> DataFrame:
    """What the predictions of each evening start from."""
    day = F.unix_date(F.to_date("as_of_date")) - F.col("recent_effort_age_days").cast("int")
    return performance.select(
        "athlete_id",
        "as_of_date",
        "recent_effort_distance_m",
        "recent_effort_time_s",
        F.date_from_unix_date(day).cast("timestamp").alias("recent_effort_date"),
    )


def _with_newest(rows: DataFrame, state: DataFrame, days: Days) -> DataFrame:
    """The athletes' rows with their newest day, as_of_date; without a join where all have the same."""
    if len(days) == 1:
        return rows.withColumn("as_of_date", F.lit(midnight(days.last)))
    return rows.join(state.select("athlete_id", "as_of_date"), "athlete_id", how="inner")


def _volumes(daily: DataFrame, state: DataFrame, days: Days) -> DataFrame:
    """What was done in the last days."""
    recent = daily.where(within(tables.DAILY, days.starting_earlier(max(*tables.VOLUME_DAYS, FORM_DAYS) - 1)))

    def last(days: int, name: str) -> Column:
        start = F.col("as_of_date") - F.lit(timedelta(days=days))
        return F.sum(F.when(F.col("activity_date") > start, F.col(name)).otherwise(0))

    sums = {"distance_{}d_km": "distance_km", "run_distance_{}d_km": "run_distance_km"}
    sums |= {"moving_time_{}d_min": "moving_time_min", "load_{}d_tss": "daily_tss", "activities_{}d": "activities"}
    return (
        _with_newest(recent, state, days)
        .groupBy("athlete_id")
        .agg(
            *(last(days, name).alias(to.format(days)) for days in tables.VOLUME_DAYS for to, name in sums.items()),
            last(FORM_DAYS, "activities").alias("activities_42d"),
            last(FORM_DAYS, "untracked_activities").alias("untracked_42d"),
        )
    )


def _day(name: str) -> Column:
    return F.unix_date(F.to_date(name))


def _thresholds(activities: DataFrame, state: DataFrame, days: Days) -> DataFrame:
    """What the newest activity says: of the last weeks, and of all before where an athlete has none there."""
    since = days.first - timedelta(days=RECENT_DAYS)
    is_recent = (F.col("month") >= f"{since:%Y-%m}") & (F.col("activity_date") >= F.lit(midnight(since)))
    recent = activities.where(is_recent)
    rest = state.select("athlete_id").join(recent.select("athlete_id"), "athlete_id", how="left_anti")
    # Asked before the plan is made: whole histories are not put in order for nobody
    if not rest.isEmpty():
        recent = recent.unionAll(activities.where(~is_recent).join(rest, "athlete_id", how="left_semi"))
    return _newest(recent, "event_timestamp", "activity_id").select(
        "athlete_id",
        "threshold_pace_min_km",
        "threshold_source",
        "hr_max_bpm",
        "hr_max_source",
        F.col("activity_date").alias("last_activity_date"),
    )


def _stated(athletes: DataFrame) -> DataFrame:
    """Sex and year of birth, whichever of an athlete's statements holds them."""
    is_own = F.col("source") == tables.OWN_WORD
    of_each = [
        F.coalesce(F.max(F.when(is_own, F.col(name))), F.max(name)).alias(name) for name in ("sex", "birth_year")
    ]
    return athletes.groupBy("athlete_id").agg(*of_each)


# ------------------------------------------------------------------------------------- from months and from columns


_BESTS = tuple(name for name in tables.MONTHLY.column_names if name.startswith("best_"))
_OF_MONTHS = ("month_start", "active_days", *_BESTS)
"""The columns of MONTHLY that count."""
_TOLD = ("athlete_id", "vdot", "age_grade", "age_grade_distance", "streak_days", "streak_weeks")
_JOINED = {
    **{
        column.name: column.type
        for column in tables.METRICS_SUMMARY.columns
        if column.name not in _TOLD and not column.name.startswith("best_")
    },
    **tables.STRAVA_ATHLETE.types("sex", "birth_year"),
}
"""What is known of an athlete without the months, beside athlete_id."""


def _with_histories(inputs: Mapping[str, pa.Table]) -> pa.Table:
    """METRICS_SUMMARY rows of some athletes, of their rows of _JOINED and of MONTHLY."""
    athletes, coded = athletes_of(inputs)
    rows, months = inputs["athletes"], inputs["months"]
    row_of = np.full(len(athletes), -1)
    row_of[coded["athletes"]] = np.arange(len(rows))
    row = row_of[coded["months"]]
    months, row = months.filter(pa.array(row >= 0)), row[row >= 0]  # of others no evening is known
    made = {**_streaks(months, row, epoch_days(rows, "as_of_date")), **_bests(months, row, len(rows))}
    made |= _grades(rows, made)
    return pa.table({name: made[name] if name in made else rows[name] for name in tables.METRICS_SUMMARY.column_names})


def _streaks(months: pa.Table, row: NDArray[np.intp], now: NDArray[np.int64]) -> dict[str, pa.Array]:
    """The days, and the weeks, in a row with an activity. row: of each month that of its athlete."""
    month, day = active_days(months)
    of = row[month]
    of, day = of[day <= now[of]], day[day <= now[of]]
    return {
        "streak_days": pa.array(_in_a_row(of, day, now)),
        "streak_weeks": pa.array(_in_a_row(of, _weeks(day), _weeks(now))),
    }


def _weeks(epoch_day: NDArray[np.int64]) -> NDArray[np.int64]:
    return (epoch_day + 3) // 7  # 1970-01-01 was a Thursday: weeks begin on Mondays


def _in_a_row(of: NDArray[np.intp], at: NDArray[np.int64], now: NDArray[np.int64]) -> NDArray[np.int64]:
    """How many numbers `at` in a row each one of `now` has up to now, which may still come."""
    apart = int(now.max(initial=0)) + 2  # so that no number of one follows on one of another
    found = np.sort(of * apart + at)
    found = found[np.diff(found, prepend=-1) > 0]  # np.unique, which hashes, takes ten times as long
    begins = np.flatnonzero(np.diff(found, prepend=-2) != 1)
    length = np.arange(len(found)) - np.repeat(begins, np.diff(begins, append=len(found))) + 1
    wanted = np.arange(len(now)) * apart + now
    result = np.zeros(len(now), np.int64)
    for end in (wanted - 1, wanted):
        place = np.searchsorted(found, end)
        is_there = np.append(found, -1)[place] == end
        result[is_there] = length[place[is_there]]
    return result


def _bests(months: pa.Table, row: NDArray[np.intp], rows: int) -> dict[str, pa.Array]:
    """The fastest time over each distance and its day. row: of each month that of its athlete."""
    first, made = epoch_days(months, "month_start"), {}
    for name in tables.BEST_DISTANCES_M:
        day = first + pc.fill_null(months[f"best_{name}_day"], 1).to_numpy() - 1
        seconds, of = fastest(row, day, months[f"best_{name}_s"].to_numpy(), rows)
        is_none = np.isnan(of)
        made[f"best_{name}_s"] = nullable(seconds, is_none)
        microseconds = nullable(np.where(is_none, 0, of).astype(np.int64) * MICROSECONDS_A_DAY, is_none)
        made[f"best_{name}_date"] = microseconds.cast(pa.timestamp("us", "UTC"))
    return made


def _grades(rows: pa.Table, bests: Mapping[str, pa.Array]) -> dict[str, pa.Array]:
    """VDOT and age grade."""
    effort = [_numbers(rows[name]) for name in ("recent_effort_distance_m", "recent_effort_time_s")]
    born = _numbers(rows["birth_year"])
    ages = {name: _numbers(pc.year(bests[f"best_{name}_date"])) - born for name in STANDARDS_S["M"]}
    grades = np.full((rows.num_rows, len(ages)), np.nan)
    for sex in STANDARDS_S:
        is_sex = np.array([value == sex for value in rows["sex"].to_pylist()], dtype=bool)
        for place, (name, age) in enumerate(ages.items()):
            found = age_grade(sex, age, name, _numbers(bests[f"best_{name}_s"]))
            grades[is_sex, place] = found[is_sex]
    best = np.where(np.isnan(grades), -1.0, grades).argmax(axis=1) if rows.num_rows else np.zeros(0, dtype=np.intp)
    highest = grades[np.arange(rows.num_rows), best]
    names = [None if np.isnan(grade) else list(ages)[place] for grade, place in zip(highest, best, strict=True)]
    return {
        "vdot": pa.array(vdot(*effort), from_pandas=True),
        "age_grade": pa.array(highest, from_pandas=True),
        "age_grade_distance": pa.array(names, pa.string()),
    }


def _numbers(values: pa.Array | pa.ChunkedArray) -> NDArray[np.float64]:
    """The values as floats, NaN where null."""
    return values.cast(pa.float64()).to_numpy(zero_copy_only=False)
