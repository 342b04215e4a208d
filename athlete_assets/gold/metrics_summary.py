"""gold.athlete_metrics_summary: where each athlete stands on the newest day of the features."""

from __future__ import annotations

from datetime import date, timedelta
from functools import reduce
from operator import or_

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from athlete_assets import tables
from athlete_assets.days import Days, midnight
from athlete_assets.features.efforts import effort_time
from athlete_assets.formulas.age_grade import STANDARDS_S, age_grade
from athlete_assets.formulas.race_times import HIGHEST_VDOT, vdot, vdot_time
from athlete_assets.store.by_athlete import apply_by_athlete
from athlete_assets.store.columns import within

DISTANCE_TOLERANCE = 0.02
"""A run counts for a race distance when it is within this share of it; its time is scaled to the distance."""

FORM_DAYS = 42
YEAR_DAYS = 365
RECENT_DAYS = 60
"""In these nearly every athlete of a home has an activity."""
FORM = {"ctl_42d": "fitness_ctl", "atl_7d": "fatigue_atl", "tsb": "form_tsb", "ramp_rate_7d": "ramp_rate_7d"}


def metrics_summary(
    activities: DataFrame,
    daily: DataFrame,
    rolling: DataFrame,
    performance: DataFrame,
    athletes: DataFrame,
    efforts: DataFrame | None = None,
) -> DataFrame:
    """One row an athlete in the METRICS_SUMMARY contract, from whole ACTIVITY, DAILY, ROLLING and PERFORMANCE tables.

    athletes: silver.strava_athlete. efforts: silver.strava_best_effort; None where there is no such table.
    """
    newest = rolling.groupBy("athlete_id").agg(F.max("as_of_date").alias("as_of_date"))
    # Their days, before the plan is made: to read and sort whole histories for their ends took most of the summary
    days = _span(newest)
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
        .join(_streaks(daily, state, days), "athlete_id", how="left")
        .join(_bests(activities, efforts), "athlete_id", how="left")
        .join(_thresholds(activities, state, days), "athlete_id", how="left")
        .join(_stated(athletes), "athlete_id", how="left")
    )
    days_since = (_day("as_of_date") - _day("last_activity_date")).cast("bigint")
    return apply_by_athlete(summary.withColumn("days_since_activity", days_since), _graded, tables.METRICS_SUMMARY.ddl)


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


def _streaks(daily: DataFrame, state: DataFrame, days: Days) -> DataFrame:
    """The days, and the weeks, in a row with an activity."""
    history = _with_newest(daily, state, days)
    # in one grouping of the days: weeks hold what both ask of them
    weeks = history.groupBy("athlete_id", _week("activity_date").alias("week")).agg(
        F.sum("activities").alias("activities"),
        *_streak("day", _day("activity_date"), _day("as_of_date")),
        F.max(_week("as_of_date")).alias("this_week"),
    )
    of_days = {"last_empty": F.max, "first": F.min, "active_now": F.max, "now": F.max}
    in_a_row = weeks.groupBy("athlete_id").agg(
        *(of(f"day_{name}").alias(f"day_{name}") for name, of in of_days.items()),
        *_streak("week", F.col("week"), F.col("this_week")),
    )
    return in_a_row.select("athlete_id", _length("day").alias("streak_days"), _length("week").alias("streak_weeks"))


def _week(name: str) -> Column:
    return F.floor((_day(name) + 3) / 7)  # 1970-01-01 was a Thursday: weeks begin on Mondays


def _day(name: str) -> Column:
    return F.unix_date(F.to_date(name))


def _streak(of: str, at: Column, now: Column) -> list[Column]:
    """Of dense days (or weeks): the last empty one before now, the first one, whether now is active, and now."""
    is_active = F.col("activities") > 0
    return [
        F.max(F.when((at < now) & ~is_active, at)).alias(f"{of}_last_empty"),
        F.min(at).alias(f"{of}_first"),
        F.max(F.when((at == now) & is_active, 1).otherwise(0)).alias(f"{of}_active_now"),
        F.max(now).alias(f"{of}_now"),
    ]


def _length(of: str) -> Column:
    """How many in a row are active up to now, which may still become so."""
    before = F.coalesce(F.col(f"{of}_last_empty"), F.col(f"{of}_first") - 1)
    return (F.col(f"{of}_now") - before - 1 + F.col(f"{of}_active_now")).cast("bigint")


def _bests(activities: DataFrame, efforts: DataFrame | None) -> DataFrame:
    """The fastest time over each distance and its day, of whole runs and of the best efforts inside them."""
    runs = activities.where(F.col("sport_type").isin(*tables.RUN_SPORTS))
    time = effort_time(F.col("moving_time_min"), F.col("elapsed_time_min"), F.col("is_race"))

    def is_near(metres: float) -> Column:
        return F.abs(F.col("distance_km") * 1000 / metres - 1) <= DISTANCE_TOLERANCE

    def seconds(metres: float) -> Column:
        # no pace: no person runs so, or the heart rate contradicts it
        of_distance = F.when(
            is_near(metres) & F.col("pace_min_km").isNotNull(), time * 60 * metres / (F.col("distance_km") * 1000)
        )
        return _plausible(of_distance, metres)

    def best(name: str) -> list[Column]:
        return [
            F.min(name).alias(f"best_{name}_s"),
            F.min_by("activity_date", name).alias(f"best_{name}_date"),
        ]

    distances = tables.BEST_DISTANCES_M.items()
    counts = reduce(or_, (is_near(metres) for _, metres in distances))  # most runs are over no such distance
    times = runs.where(counts).select(
        "athlete_id", "activity_date", *(seconds(metres).alias(name) for name, metres in distances)
    )
    if efforts is not None:
        times = times.unionAll(_parts(efforts, runs))
    return times.groupBy("athlete_id").agg(*(column for name, _ in distances for column in best(name)))


def _parts(efforts: DataFrame, runs: DataFrame) -> DataFrame:
    """The best efforts inside runs, each its time (s) in the column of its distance."""
    return efforts.join(
        runs.select("athlete_id", "activity_id", "activity_date"), on=["athlete_id", "activity_id"], how="inner"
    ).select(
        "athlete_id",
        "activity_date",
        *(
            _plausible(F.when(F.col("kind") == name, F.col("elapsed_time")), metres).alias(name)
            for name, metres in tables.BEST_DISTANCES_M.items()
        ),
    )


def _plausible(seconds: Column, metres: float) -> Column:
    """The time, null where it is faster than a person."""
    return F.when(seconds >= F.lit(float(vdot_time(HIGHEST_VDOT, metres))), seconds)


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


# ----------------------------------------------------------------------------------------------- from the columns


def _graded(rows: pa.Table) -> pa.Table:
    """The summary's rows with VDOT and age grade: formulas that NumPy has."""
    effort = [_numbers(rows, name) for name in ("recent_effort_distance_m", "recent_effort_time_s")]
    ages = {
        name: pc.year(rows[f"best_{name}_date"]).cast(pa.float64()).to_numpy(zero_copy_only=False)
        - _numbers(rows, "birth_year")
        for name in STANDARDS_S["M"]
    }
    grades = np.full((rows.num_rows, len(ages)), np.nan)
    for sex in STANDARDS_S:
        is_sex = np.array([value == sex for value in rows["sex"].to_pylist()], dtype=bool)
        for place, (name, age) in enumerate(ages.items()):
            found = age_grade(sex, age, name, _numbers(rows, f"best_{name}_s"))
            grades[is_sex, place] = found[is_sex]
    best = np.where(np.isnan(grades), -1.0, grades).argmax(axis=1) if rows.num_rows else np.zeros(0, dtype=np.intp)
    highest = grades[np.arange(rows.num_rows), best]
    names = [None if np.isnan(grade) else list(ages)[place] for grade, place in zip(highest, best, strict=True)]
    made = {
        "vdot": pa.array(vdot(*effort), from_pandas=True),
        "age_grade": pa.array(highest, from_pandas=True),
        "age_grade_distance": pa.array(names, pa.string()),
    }
    return pa.table({name: made[name] if name in made else rows[name] for name in tables.METRICS_SUMMARY.column_names})


def _numbers(rows: pa.Table, name: str) -> np.ndarray:
    """The column as floats, NaN where null."""
    return rows[name].cast(pa.float64()).to_numpy(zero_copy_only=False)
