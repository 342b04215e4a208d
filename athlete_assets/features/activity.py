"""activity_features: one row an accepted activity, with its load, zones, and the thresholds that they rest on."""

from __future__ import annotations

from datetime import date
from functools import partial, reduce
from operator import add
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from athlete_assets import tables
from athlete_assets.days import Days, midnight
from athlete_assets.features import thresholds
from athlete_assets.features.efforts import effort_time, has_clock, is_continuous
from athlete_assets.features.recordings import OF_ACTIVITY, RECORDED_SECONDS, recording_totals
from athlete_assets.features.recordings import READ as RECORDING_READ
from athlete_assets.features.recordings import TOTALS as RECORDED_TOTALS
from athlete_assets.features.splits import KEYS, READ, TOTALS, ZONE_SECONDS, split_totals
from athlete_assets.formulas.training_load import (
    BANISTER_WEIGHTS,
    ZONE_EDGES,
    ZONES,
    heart_rate_tss,
    hr_max_by_age,
    intensity_factor,
    metres_per_beat,
    reaches,
    reserve_share,
    running_tss,
)
from athlete_assets.settings import Settings
from athlete_assets.silver.quality import accepted
from athlete_assets.store.by_athlete import apply_by_athlete
from athlete_assets.store.columns import month_of
from athlete_assets.tables import RUN_SPORTS

PACED_SPORTS = (*RUN_SPORTS, "Walk", "Hike")
RACE = 1
"""Strava's workout_type of a race, for runs."""

GRADED_SHARE = 0.8
"""Share of a run's distance whose splits must tell their elevation before its pace is graded."""
ELAPSED_TOLERANCE_S = 1.0
"""s; by rounding an activity may seem to end this much before its own moving time does."""
PLAUSIBLE_RUN_PACE_MIN_KM = (2.0, 30.0)
"""Outside of it a footpod was off, or the distance is no distance: such a run has no pace."""
CONTRADICTION = 2.5
"""Load by pace and by heart rate further apart than this factor cannot both be true. Heart rate is measured on the
body, so it decides; where it is the lower one, only of a run faster than VEHICLE_INTENSITY: else a sensor slipped."""
VEHICLE_INTENSITY = 1.1
PLAUSIBLE_AGE = (5, 110)
PLAUSIBLE_RESTING_HR_BPM = (20.0, 120.0)
PLAUSIBLE_THRESHOLD_PACE_MIN_KM = (2.0, 20.0)
"""What an athlete states outside these is a slip of the pen (seconds for minutes, say) and is not used."""


def history_days(settings: Settings) -> int:
    """Days of verdicts before a window on which its rows rest.

    Twice the threshold's, since an effort among them is judged against the runs of the same span before itself.
    """
    return max(2 * settings.threshold_window_days, settings.hr_max_window_days)


def activity_features(
    verdicts: DataFrame,
    splits: DataFrame,
    athletes: DataFrame,
    days: Days,
    settings: Settings,
    recordings: DataFrame | None = None,
    efforts: DataFrame | None = None,
) -> DataFrame:
    """ACTIVITY rows of the days.

    verdicts: classified activities (silver.quality) from days.first less history_days on; splits, athletes, recordings
    and (best) efforts: silver, whole or the part that matters; None where there is no such table. Thresholds are those
    known on the evening before: nothing of an activity's own day, or of a later one, enters them.
    """
    activities = _measured(_with_observed_thresholds(verdicts, efforts, days, settings))
    activities = _with_thresholds(activities, athletes, settings)
    activities = activities.join(_by_activity(splits, activities, settings), on=[*KEYS], how="left")
    activities = _with_recordings(activities, recordings)
    return _with_zones(_with_load(activities, settings)).select(*tables.ACTIVITY.column_names)


# ------------------------------------------------------------------------------------------------------ thresholds

_OBSERVED = ("critical_speed_mps", "best_effort_mps", "observed_hr_max_bpm")


def _with_observed_thresholds(
    verdicts: DataFrame, efforts: DataFrame | None, days: Days, settings: Settings
) -> DataFrame:
    """The accepted activities of the days, with what those before their own day tell of the athlete's thresholds."""
    history = days.starting_earlier(history_days(settings))
    rows = accepted(verdicts).where(
        F.col("activity_date").between(F.lit(midnight(history.first)), F.lit(midnight(days.last)))
    )
    time = F.coalesce(_positive("moving_time"), F.col("elapsed_time")), _elapsed_time(), _is_race()
    rows = rows.withColumns({"effort_s": effort_time(*time), "has_clock": time[2] | has_clock(*time[:2])})
    rows = _with_parts(rows, efforts)
    names = [*tables.STRAVA_ACTIVITIES.column_names, "activity_date"]
    types = {column.name: column.type for column in tables.REJECTS.columns}
    ddl = ", ".join([f"`{name}` {types[name]}" for name in names] + [f"`{name}` double" for name in _OBSERVED])
    kernel = partial(
        observed_thresholds,
        first_day=(days.first - date(1970, 1, 1)).days,
        threshold_days=settings.threshold_window_days,
        hr_max_days=settings.hr_max_window_days,
    )
    return apply_by_athlete(rows.select(*names, *_EFFORT_INPUTS), kernel, ddl)


_EFFORT_INPUTS = ("effort_s", "has_clock", "parts")


def _with_parts(rows: DataFrame, efforts: DataFrame | None) -> DataFrame:
    """Adds `parts`: distance (m) and time (s) of each best effort inside the activity, one after the other in a list.

    One list, since a join of the efforts' own rows would compute the verdicts a second time.
    """
    if efforts is None:
        return rows.withColumn("parts", F.lit(None).cast(tables.DOUBLES))
    pair = F.array(F.col("distance"), F.col("elapsed_time"))
    parts = (
        efforts.where((F.col("distance") > 0) & (F.col("elapsed_time") > 0))
        .groupBy("athlete_id", F.col("activity_id").alias("id"))
        .agg(F.flatten(F.collect_list(pair)).alias("parts"))
    )
    return rows.join(parts, on=["athlete_id", "id"], how="left")


def observed_thresholds(rows: pa.Table, first_day: int, threshold_days: int, hr_max_days: int) -> pa.Table:
    """The rows from first_day (since 1970) on with critical_speed_mps, best_effort_mps and observed_hr_max_bpm.

    The table holds all accepted rows of its athletes from the longest window before first_day on, in any order, with
    effort_s and has_clock of features.efforts, and parts (`_with_parts`), which the result lacks. Each of the new
    columns is null where the days before tell too little.
    """
    athlete = pc.dictionary_encode(rows["athlete_id"].combine_chunks()).indices.to_numpy().astype(np.int64)
    day = rows["activity_date"].cast(pa.timestamp("us", "UTC")).cast(pa.int64()).to_numpy() // 86_400_000_000
    distance, duration = rows["distance"].to_numpy(), rows["effort_s"].to_numpy()
    has_clock = rows["has_clock"].to_numpy(zero_copy_only=False).astype(bool)
    heart_rate = rows["max_heartrate"].to_numpy()
    is_run = pc.is_in(rows["sport_type"], pa.array(RUN_SPORTS)).to_numpy(zero_copy_only=False)
    key = athlete * thresholds.ATHLETE_STEP + day

    asked_rows = np.flatnonzero(day >= first_day)
    asked, position = np.unique(key[asked_rows], return_inverse=True)

    # equal keys in an order that the values alone decide: so do the results
    order = np.lexsort((distance, duration, key))
    runs = order[(is_run & ~np.isnan(duration))[order]]
    run = key[runs], distance[runs], duration[runs]
    usual = thresholds.usual_speeds(*run)
    is_chosen = thresholds.is_effort(*run, has_clock[runs], usual, threshold_days)
    part = _parts(rows["parts"].combine_chunks(), key, is_run)
    is_chosen_part = thresholds.is_effort(*part, np.ones(len(part[0]), dtype=bool), usual, threshold_days)
    of, metres, seconds = (np.concatenate([a[is_chosen], b[is_chosen_part]]) for a, b in zip(run, part, strict=True))
    in_order = np.lexsort((metres, seconds, of))
    effort = (of[in_order], metres[in_order], seconds[in_order], asked, threshold_days)
    beats = order[~np.isnan(heart_rate[order])]
    observed = (
        thresholds.critical_speed(*effort),
        thresholds.best_effort_speed(*effort),
        thresholds.observed_hr_max(key[beats], heart_rate[beats], asked, hr_max_days),
    )
    result = rows.drop_columns([*_EFFORT_INPUTS]).take(pa.array(asked_rows))
    for name, values in zip(_OBSERVED, observed, strict=True):
        result = result.append_column(name, pa.array(values[position], mask=np.isnan(values[position])))
    return result


def _parts(
    lists: pa.ListArray, key: NDArray[np.int64], is_run: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], thresholds.Floats, thresholds.Floats]:
    """Key, distance (m) and time (s) of the parts of runs, sorted by key."""
    counts = pc.fill_null(pc.list_value_length(lists), 0).to_numpy(zero_copy_only=False).astype(np.int64) // 2
    pairs = pc.list_flatten(lists).to_numpy(zero_copy_only=False).astype(np.float64).reshape(-1, 2)
    row = np.repeat(np.arange(len(counts)), counts)
    pairs, of = pairs[is_run[row]], key[row[is_run[row]]]
    order = np.lexsort((pairs[:, 0], pairs[:, 1], of))
    return of[order], pairs[order, 0], pairs[order, 1]


def _with_thresholds(activities: DataFrame, athletes: DataFrame, settings: Settings) -> DataFrame:
    """Adds threshold pace and HR max with their sources, resting HR and sex: the statement first, else as observed."""
    age = F.year("activity_date") - F.col("birth_year")
    by_age = F.when(age.between(*PLAUSIBLE_AGE), hr_max_by_age(age))
    pace = {
        "athlete": F.col("stated_threshold_pace"),
        "critical_speed": _pace(F.col("critical_speed_mps")),
        "best_effort": _pace(F.col("best_effort_mps")),
        "default": F.lit(settings.default_threshold_pace_min_km),
    }
    hr_max = {"athlete": F.col("stated_hr_max"), "observed": F.col("observed_hr_max_bpm"), "age": by_age}
    return activities.join(_statements(athletes, settings), on="athlete_id", how="left").select(
        *activities.columns,
        F.coalesce(*pace.values()).alias("threshold_pace_min_km"),
        _source(pace).alias("threshold_source"),
        F.coalesce(*hr_max.values()).alias("hr_max_bpm"),
        _source(hr_max).alias("hr_max_source"),
        F.coalesce(F.col("stated_resting_hr"), F.lit(settings.default_resting_hr_bpm)).alias("resting_hr_bpm"),
        F.coalesce(F.col("is_female"), F.lit(False)).alias("is_female"),
    )


def _source(values: dict[str, Column]) -> Column:
    """The name of the first value that is not null; null where all are."""
    return F.coalesce(*[F.when(value.isNotNull(), F.lit(name)) for name, value in values.items()])


def _statements(athletes: DataFrame, settings: Settings) -> DataFrame:
    """One row an athlete who states anything; of several rows of one athlete the highest plausible of each value."""

    def stated(name: str, least: float, most: float) -> Column:
        return F.max(F.when(F.col(name).between(F.lit(least), F.lit(most)), F.col(name)))

    return athletes.groupBy("athlete_id").agg(
        F.max(F.upper(F.substring(F.trim(F.col("sex")), 1, 1)) == "F").alias("is_female"),
        F.max("birth_year").alias("birth_year"),
        stated("max_hr_bpm", settings.min_heart_rate_bpm, settings.max_heart_rate_bpm).alias("stated_hr_max"),
        stated("resting_hr_bpm", *PLAUSIBLE_RESTING_HR_BPM).alias("stated_resting_hr"),
        stated("threshold_pace_min_km", *PLAUSIBLE_THRESHOLD_PACE_MIN_KM).alias("stated_threshold_pace"),
    )


# ------------------------------------------------------------------------------------------------ single activities


def _measured(activities: DataFrame) -> DataFrame:
    """What is measured of each activity, in the contract's names and units."""
    duration, elapsed = F.coalesce(_positive("moving_time"), F.col("elapsed_time")), _elapsed_time()
    is_run = F.coalesce(F.col("sport_type").isin(*RUN_SPORTS), F.lit(False))
    pace = F.when(F.col("distance") > 0, duration / 60 / (F.col("distance") / 1000))
    is_paced = F.col("sport_type").isin(*PACED_SPORTS) & (F.col("distance") > 0)
    is_paced &= ~is_run | pace.between(*PLAUSIBLE_RUN_PACE_MIN_KM)
    climb = F.when(F.col("total_elevation_gain") >= 0, F.col("total_elevation_gain"))
    kilometres = F.col("distance") / 1000
    # a DATE upstream arrives as its midnight and says nothing of the hour: then the athlete's own clock does
    has_hour = F.col("start_date") != F.date_trunc("DAY", F.col("start_date"))
    return activities.select(
        "athlete_id",
        F.col("id").alias("activity_id"),
        F.when(has_hour, F.col("start_date"))
        .otherwise(F.col("start_date_local").cast("timestamp"))
        .alias("event_timestamp"),
        "sport_type",
        is_run.alias("is_run"),
        _is_race().alias("is_race"),
        F.when(is_run, is_continuous(duration, elapsed, _is_race())).alias("is_continuous"),
        kilometres.alias("distance_km"),
        (duration / 60).alias("moving_time_min"),
        (elapsed / 60).alias("elapsed_time_min"),
        F.when(is_paced, pace).alias("pace_min_km"),
        climb.alias("elevation_gain_m"),
        F.when(F.col("distance") > 0, climb / kilometres).alias("elevation_per_km"),
        F.col("average_heartrate").alias("avg_hr"),
        F.col("max_heartrate").alias("max_hr"),
        "source",
        "activity_date",
        month_of("activity_date"),
        *_OBSERVED,
    )


def _positive(name: str) -> Column:
    return F.when(F.col(name) > 0, F.col(name))


def _elapsed_time() -> Column:
    """Elapsed time (s) of a silver activity; null where it is missing or shorter than the moving time."""
    elapsed, moving = _positive("elapsed_time"), _positive("moving_time")
    return F.when(moving.isNull() | (elapsed >= moving - F.lit(ELAPSED_TOLERANCE_S)), elapsed)


def _is_race() -> Column:
    is_run = F.col("sport_type").isin(*RUN_SPORTS)
    return F.coalesce(is_run & (F.col("workout_type") == RACE), F.lit(False))


def _with_load(activities: DataFrame, settings: Settings) -> DataFrame:
    """Adds graded pace, intensity, load and efficiency."""
    pace, minutes, heart_rate = F.col("pace_min_km"), F.col("moving_time_min"), F.col("avg_hr")
    graded_pace = F.when(F.col("is_run"), pace / F.coalesce(_flat_share("recorded_"), _flat_share("")))
    intensity = F.when(F.col("is_run"), intensity_factor(F.col("threshold_pace_min_km"), F.coalesce(graded_pace, pace)))
    by_pace = running_tss(minutes / 60, intensity)

    factor, exponent = (
        F.when(F.col("is_female"), F.lit(female)).otherwise(F.lit(male))
        for female, male in zip(BANISTER_WEIGHTS["F"], BANISTER_WEIGHTS["M"], strict=True)
    )
    reserve = F.when(
        F.col("hr_max_bpm") > F.col("resting_hr_bpm"),
        reserve_share(heart_rate, F.col("resting_hr_bpm"), F.col("hr_max_bpm")),
    )
    at_least_rest = F.when(reserve < 0, F.lit(0.0)).otherwise(reserve)
    by_mean = heart_rate_tss(minutes, at_least_rest, factor, exponent)
    by_heart_rate = F.coalesce(F.col("recorded_hr_tss"), by_mean)

    # hills that no split tells of slow a trail run down without making its pace wrong
    too_slow = by_pace * CONTRADICTION < by_heart_rate
    too_fast = (by_pace > by_heart_rate * CONTRADICTION) & (intensity > VEHICLE_INTENSITY)
    contradicts = F.coalesce(F.col("is_run") & (too_slow | too_fast), F.lit(False))
    is_wrong = contradicts & (F.col("sport_type") != "TrailRun") & (F.col("threshold_source") != "default")
    loads = {"pace": F.when(~contradicts, by_pace), "heart_rate": by_heart_rate}
    plausible = F.coalesce(*loads.values()) <= settings.max_tss_per_hour * minutes / 60
    return activities.select(
        *[name for name in activities.columns if name != "pace_min_km"],
        F.when(~is_wrong, pace).alias("pace_min_km"),
        F.when(~is_wrong, graded_pace).alias("grade_adjusted_pace_min_km"),
        F.when(~is_wrong, intensity).alias("intensity_factor"),
        F.when(plausible, F.coalesce(*loads.values())).alias("estimated_tss"),
        F.when(plausible, _source(loads)).otherwise(F.lit("none")).alias("load_method"),
        F.when(
            pace.isNotNull() & ~is_wrong & (heart_rate > 0),
            metres_per_beat(F.col("distance_km") * 1000, minutes, heart_rate),
        ).alias("efficiency_index"),
    )


def _flat_share(of: Literal["recorded_", ""]) -> Column:
    """Flat metres of equal effort for each metre of a run, of its recording or its splits; null where they tell the
    grade of too little of it."""
    kilometres = F.col("recorded_km" if of else "graded_km")
    return F.when(kilometres >= GRADED_SHARE * F.col("distance_km"), F.col(f"{of}flat_km") / kilometres)


def _pace(speed: Column) -> Column:
    """min/km of m/s."""
    return 1000 / (speed * 60)


# ------------------------------------------------------------------------------------------------- zones and splits


def _with_zones(activities: DataFrame) -> DataFrame:
    """Adds the shares of time in each heart-rate zone: of the recording, else of the splits, else all of it in the zone
    of the average."""
    average = 1 + reduce(add, [reaches(F.col("avg_hr"), F.col("hr_max_bpm"), edge).cast("int") for edge in ZONE_EDGES])
    covered, recorded = (reduce(add, [F.col(name) for name in names]) for names in (ZONE_SECONDS, RECORDED_SECONDS))
    shares = [
        F.coalesce(F.col(of_recording) / recorded, F.col(of_splits) / covered, (average == zone).cast("double")).alias(
            f"hr_zone_{zone}_pct"
        )
        for zone, of_recording, of_splits in zip(ZONES, RECORDED_SECONDS, ZONE_SECONDS, strict=True)
    ]
    method = _source({"recording": recorded, "splits": covered, "average": average})
    return activities.select(*activities.columns, *shares, method.alias("hr_zone_method"))


def _with_recordings(activities: DataFrame, recordings: DataFrame | None) -> DataFrame:
    """Adds `recording_totals` of the activities that have a recording; null for the others."""
    if recordings is None:
        return activities.select("*", *(F.lit(None).cast("double").alias(name) for name in RECORDED_TOTALS))
    of_activities = recordings.select(*RECORDING_READ).join(
        activities.select(*KEYS, *OF_ACTIVITY), on=[*KEYS], how="inner"
    )
    ddl = "athlete_id string, activity_id bigint, " + ", ".join(f"{name} double" for name in RECORDED_TOTALS)
    return activities.join(apply_by_athlete(of_activities, recording_totals, ddl), on=[*KEYS], how="left")


def _by_activity(splits: DataFrame, activities: DataFrame, settings: Settings) -> DataFrame:
    """`split_totals` of those of the given activities that have splits."""
    kernel = partial(
        split_totals,
        least_hr_bpm=settings.min_heart_rate_bpm,
        most_hr_bpm=settings.max_heart_rate_bpm,
        longest_s=settings.max_duration_h * 3600,
    )
    of_activities = splits.select(*READ).join(activities.select(*KEYS, "hr_max_bpm"), on=[*KEYS], how="inner")
    ddl = "athlete_id string, activity_id bigint, " + ", ".join(f"{name} double" for name in TOTALS)
    return apply_by_athlete(of_activities, kernel, ddl)
