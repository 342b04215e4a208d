"""activity_features: one row an accepted activity, with its load, zones, and the thresholds that they rest on.

What an activity's own columns say is a column expression. What needs an athlete's other rows (thresholds), or other
tables (splits, recordings, best efforts, statements), is one NumPy pass over a hash bucket of athletes: joins of the
tables would compute the verdicts again for each of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial, reduce
from operator import add

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from athlete_assets import tables
from athlete_assets.days import Days, midnight
from athlete_assets.features import recordings as recorded
from athlete_assets.features import splits as split
from athlete_assets.features import thresholds
from athlete_assets.features.cells import MICROSECONDS_A_DAY, first_epoch_day
from athlete_assets.features.efforts import effort_time, has_clock, is_continuous
from athlete_assets.features.recordings import RECORDED_SECONDS, banister_weights, recording_totals
from athlete_assets.features.splits import ZONE_SECONDS, Floats, Integers, Mask, is_null, split_totals
from athlete_assets.formulas.training_load import (
    FTP_SHARE,
    THRESHOLD_RESERVE,
    ZONES,
    exertion_tss,
    heart_rate_tss,
    hr_max_by_age,
    intensity_factor,
    maximum_edges,
    metres_per_beat,
    power_tss,
    reserve_edges,
    reserve_share,
    running_tss,
    threshold_edges,
)
from athlete_assets.settings import Settings
from athlete_assets.silver.quality import accepted
from athlete_assets.store.arrow import arrow_schema
from athlete_assets.store.by_athlete import apply_together
from athlete_assets.store.columns import month_of
from athlete_assets.tables import BOOLEAN, DOUBLE, RIDE_SPORTS, RUN_SPORTS

PACED_SPORTS = (*RUN_SPORTS, "Walk", "Hike")
RACE = 1
"""Strava's workout_type of a race, for runs."""

GRADED_SHARE = 0.8
"""Share of a run's distance whose splits must tell their elevation before its pace is graded."""
PLAUSIBLE_FLAT_SHARE = (0.6, 4.0)
"""Flat metres of equal effort per metre that a source may state: from the best descent to a climb of 45 %."""
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
PLAUSIBLE_FTP_W = (30.0, 700.0)
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
    and (best) efforts: silver, whole or the part that matters (`of_activities`); None where there is no such table.
    Thresholds are those known on the evening before: nothing of an activity's own day, or of a later one, enters them.
    """
    history = days.starting_earlier(history_days(settings))
    rows = accepted(verdicts).where(
        F.col("activity_date").between(F.lit(midnight(history.first)), F.lit(midnight(days.last)))
    )
    inputs = {
        "activities": (_measured(rows), {**tables.ACTIVITY.types(*_MEASURED), **_FOR_THE_KERNEL}),
        "splits": (splits, tables.STRAVA_SUB_ACTIVITY.types(*split.READ)),
        "athletes": (athletes, tables.STRAVA_ATHLETE.types(*STATED)),
    }
    if recordings is not None:
        inputs["recordings"] = (recordings, tables.STRAVA_RECORDING.types(*recorded.READ))
    if efforts is not None:
        inputs["efforts"] = (efforts, tables.STRAVA_BEST_EFFORT.types(*PART))
    kernel = partial(activity_rows, limits=Limits.of(settings, days))
    return apply_together(inputs, kernel, tables.ACTIVITY.ddl)


def of_activities(rows: DataFrame, silver: DataFrame, days: Days) -> DataFrame:
    """The rows (splits, say) whose activity is on one of the days, for a table that has no day of its own."""
    keys = _on(days, silver).select("athlete_id", F.col("id").alias("activity_id"))
    return rows.join(keys, on=["athlete_id", "activity_id"], how="left_semi")


def of_the_active(silver: DataFrame, days: Days) -> DataFrame:
    """All silver rows of the athletes with an activity on one of the days: nobody else gets a row for them."""
    return silver.join(_on(days, silver).select("athlete_id").distinct(), on="athlete_id", how="left_semi")


def _on(days: Days, silver: DataFrame) -> DataFrame:
    return silver.where(F.to_date("start_date_local").between(F.lit(days.first), F.lit(days.last)))


# ------------------------------------------------------------------------------------------------ single activities


_MEASURED = (
    "activity_id",
    "event_timestamp",
    "sport_type",
    "is_race",
    "is_continuous",
    "distance_km",
    "moving_time_min",
    "elapsed_time_min",
    "pace_min_km",
    "elevation_gain_m",
    "elevation_per_km",
    "avg_hr",
    "max_hr",
    "source",
    "activity_date",
    "month",
)
_FOR_THE_KERNEL = {
    **dict.fromkeys(("is_run", "is_ride", "has_clock"), BOOLEAN),
    **dict.fromkeys(("distance", "effort_s", "flat_m", "power_w", "exertion", "own_load"), DOUBLE),
}


def _measured(activities: DataFrame) -> DataFrame:
    """What is measured of each accepted activity, in the contract's names and units, and what the kernel needs of it.

    effort_s: the time (s) with which a run counts as an effort (features.efforts), null where it is none. flat_m: the
    flat metres of equal effort that the source states; power_w (W), exertion (1 to 10) and own_load (points) as stated.
    """
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
        F.coalesce(F.col("sport_type").isin(*RIDE_SPORTS), F.lit(False)).alias("is_ride"),
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
        (_is_race() | has_clock(duration, elapsed)).alias("has_clock"),
        "distance",
        effort_time(duration, elapsed, _is_race()).alias("effort_s"),
        F.col("grade_adjusted_distance").alias("flat_m"),
        F.col("weighted_power_w").alias("power_w"),
        F.col("perceived_exertion").alias("exertion"),
        "own_load",
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


# ------------------------------------------------------------------------------------------------------ the kernel

ZONE_BOUNDS = tuple(f"zone_{zone}_from_bpm" for zone in ZONES[1:])
ZONE_BASES = ("max_hr", "hr_reserve", "threshold_hr", "bounds")
LOAD_PREFERENCES = ("pace", "heart_rate")
STATED = (
    "valid_from",
    "sex",
    "birth_year",
    "max_hr_bpm",
    "resting_hr_bpm",
    "threshold_hr_bpm",
    "threshold_pace_min_km",
    "zone_method",
    *ZONE_BOUNDS,
    "load_preference",
    "ftp_w",
    "source",
)
"""The columns of silver.strava_athlete that count here, beside the athlete's."""
PART = ("activity_id", "distance", "elapsed_time", "average_power_w")
"""The columns of silver.strava_best_effort that count here, beside the athlete's."""


@dataclass(frozen=True)
class Limits:
    """The settings that a bucket needs, and the first day (since 1970) whose activities get rows."""

    first_day: int
    threshold_days: int
    hr_max_days: int
    default_threshold_pace: float
    default_resting_hr: float
    least_hr: float
    most_hr: float
    longest_s: float
    max_tss_per_hour: float

    @classmethod
    def of(cls, settings: Settings, days: Days) -> Limits:
        return cls(
            first_day=first_epoch_day(days),
            threshold_days=settings.threshold_window_days,
            hr_max_days=settings.hr_max_window_days,
            default_threshold_pace=settings.default_threshold_pace_min_km,
            default_resting_hr=settings.default_resting_hr_bpm,
            least_hr=settings.min_heart_rate_bpm,
            most_hr=settings.max_heart_rate_bpm,
            longest_s=settings.max_duration_h * 3600,
            max_tss_per_hour=settings.max_tss_per_hour,
        )


def activity_rows(inputs: Mapping[str, pa.Table], limits: Limits) -> pa.Table:
    """ACTIVITY rows of the days from limits.first_day on, of all inputs of some athletes, each in any order."""
    history = inputs["activities"]
    day = history["activity_date"].cast(pa.timestamp("us", "UTC")).cast(pa.int64()).to_numpy() // MICROSECONDS_A_DAY
    asked = np.flatnonzero(day >= limits.first_day)
    if not len(asked):
        return arrow_schema(tables.ACTIVITY).empty_table()
    find = _Finder(history)
    key = find.athlete * thresholds.ATHLETE_STEP + day
    observed = _observed_thresholds(history, key, key[asked], _parts(inputs.get("efforts"), find, history, key), limits)
    rows = history.take(pa.array(asked))
    power = _observed_power(inputs.get("efforts"), find, history, key, key[asked], limits)
    known = _Thresholds.of(rows, observed, power, _stated(inputs["athletes"], find, limits, key[asked]), limits)

    position = np.full(len(key), -1)
    position[asked] = np.arange(len(asked))
    totals = split_totals(
        *find.rows_of(inputs["splits"], position),
        known.zone_edges,
        least_hr_bpm=limits.least_hr,
        most_hr_bpm=limits.most_hr,
        longest_s=limits.longest_s,
    )
    if "recordings" in inputs:
        totals |= recording_totals(
            *find.rows_of(inputs["recordings"], position),
            zone_edges=known.zone_edges,
            hr_max=known.hr_max,
            resting_hr=known.resting_hr,
            threshold_reserve=known.threshold_reserve,
            is_female=known.is_female,
            moving_time_min=_floats(rows, "moving_time_min"),
        )
    else:
        totals |= dict.fromkeys(recorded.TOTALS, np.full(len(asked), np.nan))
    made = {**known.columns(), **_load(rows, totals, known, limits), **_zones(rows, totals, known)}
    return pa.table({name: made[name] if name in made else rows[name] for name in tables.ACTIVITY.column_names})


class _Finder:
    """Finds the rows that belong to the bucket's athletes and activities, by their keys."""

    def __init__(self, activities: pa.Table) -> None:
        encoded = activities["athlete_id"].combine_chunks().dictionary_encode()
        self.athletes: pa.Array = encoded.dictionary
        self.athlete: Integers = encoded.indices.to_numpy().astype(np.int64)
        """By activity, the position of its athlete in `athletes`."""
        number = activities["activity_id"].to_numpy()
        self._numbers = np.unique(number)
        key = self.athlete * len(self._numbers) + np.searchsorted(self._numbers, number)
        self._order = np.argsort(key)
        self._keys = key[self._order]

    def athlete_of(self, rows: pa.Table) -> Integers:
        """The position of each row's athlete, -1 where it has no activity here."""
        return pc.fill_null(pc.index_in(rows["athlete_id"], value_set=self.athletes), -1).to_numpy().astype(np.int64)

    def rows_of(self, rows: pa.Table, position: Integers) -> tuple[pa.Table, Integers]:
        """Those of the rows whose activity has a position (0 and above; one for each activity), and that position."""
        athlete, number = self.athlete_of(rows), pc.fill_null(rows["activity_id"], 0).to_numpy()
        place = np.minimum(np.searchsorted(self._numbers, number), len(self._numbers) - 1)
        key = athlete * len(self._numbers) + place
        found = np.minimum(np.searchsorted(self._keys, key), len(self._keys) - 1)
        is_known = (athlete >= 0) & (self._numbers[place] == number) & (self._keys[found] == key)
        is_known &= ~is_null(rows["activity_id"])
        of = np.where(is_known, position[self._order[found]], -1)
        chosen = np.flatnonzero(of >= 0)
        return rows.take(pa.array(chosen)), of[chosen]


def _first_known(values: Mapping[str, Floats]) -> tuple[Floats, pa.Array]:
    """Of each row the first value that is known, and its name: NaN and null where none is."""
    table = np.column_stack(list(values.values()))
    is_known = ~np.isnan(table)
    first = is_known.argmax(axis=1)
    names = pa.array(list(values)).take(pa.array(first, mask=~is_known.any(axis=1)))
    return table[np.arange(len(table)), first], names


def _floats(rows: pa.Table, name: str) -> Floats:
    """The numbers, NaN where null."""
    return rows[name].to_numpy()


def _booleans(rows: pa.Table, name: str) -> Mask:
    return rows[name].to_numpy(zero_copy_only=False).astype(bool)


def _column(values: Floats) -> pa.Array:
    return pa.array(values, mask=np.isnan(values))


# ------------------------------------------------------------------------------------------------------ thresholds


def _observed_thresholds(
    history: pa.Table, key: Integers, of: Integers, parts: tuple[Integers, Floats, Floats], limits: Limits
) -> tuple[Floats, Floats, Floats]:
    """Critical speed and best effort (m/s) and maximum heart rate (bpm) by the activities before the days `of` keys.

    NaN where the days before tell too little. parts: `_parts`.
    """
    distance, duration, heart_rate = (_floats(history, name) for name in ("distance", "effort_s", "max_hr"))
    is_run, clock = _booleans(history, "is_run"), _booleans(history, "has_clock")
    asked, position = np.unique(of, return_inverse=True)
    # equal keys in an order that the values alone decide: so do the results
    order = np.lexsort((distance, duration, key))
    runs = order[(is_run & ~np.isnan(duration))[order]]
    run = key[runs], distance[runs], duration[runs]
    usual = thresholds.usual_speeds(*run)
    is_chosen = thresholds.is_effort(*run, clock[runs], usual, limits.threshold_days)
    is_chosen_part = thresholds.is_effort(*parts, np.ones(len(parts[0]), dtype=bool), usual, limits.threshold_days)
    day, metres, seconds = (np.concatenate([a[is_chosen], b[is_chosen_part]]) for a, b in zip(run, parts, strict=True))
    in_order = np.lexsort((metres, seconds, day))
    effort = (day[in_order], metres[in_order], seconds[in_order], asked, limits.threshold_days)
    beats = order[~np.isnan(heart_rate[order])]
    return (
        thresholds.critical_speed(*effort)[position],
        thresholds.best_effort_speed(*effort)[position],
        thresholds.observed_hr_max(key[beats], heart_rate[beats], asked, limits.hr_max_days)[position],
    )


def _parts(
    efforts: pa.Table | None, find: _Finder, history: pa.Table, key: Integers
) -> tuple[Integers, Floats, Floats]:
    """Key, distance (m) and time (s) of the best efforts inside the runs, sorted."""
    if efforts is None:
        return np.empty(0, dtype=np.int64), np.empty(0), np.empty(0)
    efforts, activity = find.rows_of(efforts, np.where(_booleans(history, "is_run"), np.arange(len(key)), -1))
    metres, seconds = _floats(efforts, "distance"), _floats(efforts, "elapsed_time")
    order = np.lexsort((metres, seconds, key[activity]))
    order = order[((metres > 0) & (seconds > 0))[order]]
    return key[activity][order], metres[order], seconds[order]


def _observed_power(
    efforts: pa.Table | None, find: _Finder, history: pa.Table, key: Integers, of: Integers, limits: Limits
) -> Floats:
    """The strongest 20 min (W) inside the rides before the days `of` keys, NaN where none is known: of the last
    threshold_days, else of all that history_days reach."""
    if efforts is None:
        return np.full(len(of), np.nan)
    efforts, activity = find.rows_of(efforts, np.where(_booleans(history, "is_ride"), np.arange(len(key)), -1))
    watts = _floats(efforts, "average_power_w")
    known = np.flatnonzero(watts > 0)
    known = known[np.lexsort((watts[known], key[activity[known]]))]
    asked, position = np.unique(of, return_inverse=True)
    recent, earlier = (
        thresholds.best_power(key[activity[known]], watts[known], asked, days)
        for days in (limits.threshold_days, limits.hr_max_days)
    )
    return np.where(np.isnan(recent), earlier, recent)[position]


def _stated(athletes: pa.Table, find: _Finder, limits: Limits, asked: Integers) -> dict[str, Floats]:
    """What the athlete of each asked key (athlete and day) states on that day, NaN where nothing.

    Of each column the newest plausible statement that is valid on the day: what begins later is not known yet. Of those
    that begin on one day the athlete's own word, else the highest. is_female is 1 for a sex that begins with f;
    zone_method and load_preference are positions in ZONE_BASES and LOAD_PREFERENCES.
    """
    letter = pc.utf8_slice_codeunits(pc.utf8_lower(pc.utf8_trim_whitespace(athletes["sex"])), 0, 1)
    values = {
        "is_female": pc.equal(letter, "f").cast(pa.float64()).to_numpy(),
        "birth_year": athletes["birth_year"].cast(pa.float64()).to_numpy(),
        "zone_method": _places(athletes["zone_method"], ZONE_BASES),
        "load_preference": _places(athletes["load_preference"], LOAD_PREFERENCES),
    }
    heart_rates = (limits.least_hr, limits.most_hr)
    plausible = {
        "max_hr_bpm": heart_rates,
        "resting_hr_bpm": PLAUSIBLE_RESTING_HR_BPM,
        "threshold_hr_bpm": heart_rates,
        "ftp_w": PLAUSIBLE_FTP_W,
        "threshold_pace_min_km": PLAUSIBLE_THRESHOLD_PACE_MIN_KM,
    }
    for name, (least, most) in plausible.items():
        value = _floats(athletes, name)
        values[name] = np.where((value >= least) & (value <= most), value, np.nan)
    bounds = np.column_stack([_floats(athletes, name) for name in ZONE_BOUNDS])
    rising = (np.diff(bounds, axis=1, prepend=0.0, append=np.inf) > 0).all(axis=1)
    values |= {name: np.where(rising, bounds[:, place], np.nan) for place, name in enumerate(ZONE_BOUNDS)}

    of = find.athlete_of(athletes)
    begins = pc.fill_null(athletes["valid_from"].cast(pa.int64()), 0).to_numpy() // MICROSECONDS_A_DAY
    key = of * thresholds.ATHLETE_STEP + np.clip(begins, 0, thresholds.ATHLETE_STEP - 1)
    is_own = pc.fill_null(pc.equal(athletes["source"], tables.OWN_WORD), False).to_numpy()
    return {name: _in_force(value, key, is_own, asked) for name, value in values.items()}


def _places(texts: pa.ChunkedArray, among: tuple[str, ...]) -> Floats:
    """The position of each text, NaN where it is none of them."""
    words = pc.utf8_lower(pc.utf8_trim_whitespace(texts))
    return pc.index_in(words, value_set=pa.array(among)).cast(pa.float64()).to_numpy()


def _in_force(value: Floats, key: Integers, is_own: Mask, asked: Integers) -> Floats:
    """Of each asked key the newest known value of the same athlete up to it; keys below 0 are of nobody here."""
    known = np.flatnonzero(~np.isnan(value) & (key >= 0))
    if not len(known):
        return np.full(len(asked), np.nan)
    known = known[np.lexsort((value[known], is_own[known], key[known]))]
    place = np.searchsorted(key[known], asked, side="right") - 1
    found = known[np.maximum(place, 0)]
    is_theirs = (place >= 0) & (key[found] // thresholds.ATHLETE_STEP == asked // thresholds.ATHLETE_STEP)
    return np.where(is_theirs, value[found], np.nan)


@dataclass(frozen=True)
class _Thresholds:
    """What is known of the athlete on the evening before each activity; NaN, and null as source, where nothing is."""

    pace: Floats
    """min/km"""
    pace_source: pa.Array
    hr_max: Floats
    hr_max_source: pa.Array
    resting_hr: Floats
    threshold_reserve: Floats
    """Share of the heart-rate reserve in use at threshold."""
    zone_edges: Floats
    """(activities, 4): where zones 2 to 5 begin, bpm."""
    zone_basis: pa.Array
    is_female: Mask
    prefers_heart_rate: Mask
    ftp: Floats
    """W; of rides alone."""
    ftp_source: pa.Array

    @classmethod
    def of(
        cls,
        rows: pa.Table,
        observed: tuple[Floats, Floats, Floats],
        best_power: Floats,
        stated: Mapping[str, Floats],
        limits: Limits,
    ) -> _Thresholds:
        """The statement first, else the best as observed (`_observed_thresholds`, `_observed_power`), else by age or
        default."""
        critical_speed, best_effort, observed_hr_max = observed
        critical_speed = np.where(critical_speed < best_effort, np.nan, critical_speed)
        age = pc.year(rows["activity_date"]).to_numpy() - stated["birth_year"]
        youngest, oldest = PLAUSIBLE_AGE
        pace, pace_source = _first_known(
            {
                "athlete": stated["threshold_pace_min_km"],
                "critical_speed": 1000 / (critical_speed * 60),
                "best_effort": 1000 / (best_effort * 60),
                "default": np.full(rows.num_rows, limits.default_threshold_pace),
            }
        )
        hr_max, hr_max_source = _first_known(
            {
                "athlete": stated["max_hr_bpm"],
                "observed": observed_hr_max,
                "age": np.where((age >= youngest) & (age <= oldest), hr_max_by_age(age), np.nan),
            }
        )
        resting_hr = np.where(np.isnan(stated["resting_hr_bpm"]), limits.default_resting_hr, stated["resting_hr_bpm"])
        threshold_hr = stated["threshold_hr_bpm"]
        # a threshold that is none of these people's: not between rest and maximum
        has_threshold = (threshold_hr > resting_hr) & (threshold_hr < hr_max)
        reserve = np.where(has_threshold, hr_max - resting_hr, 1.0)
        zone_edges, zone_basis = _zone_edges(stated, hr_max, resting_hr)
        is_ride = _booleans(rows, "is_ride")
        ftp, ftp_source = _first_known(
            {
                "athlete": np.where(is_ride, stated["ftp_w"], np.nan),
                "best_20min": np.where(is_ride, FTP_SHARE * best_power, np.nan),
            }
        )
        return cls(
            pace,
            pace_source,
            hr_max,
            hr_max_source,
            resting_hr,
            np.where(has_threshold, reserve_share(threshold_hr, resting_hr, resting_hr + reserve), THRESHOLD_RESERVE),
            zone_edges,
            zone_basis,
            stated["is_female"] == 1,
            stated["load_preference"] == LOAD_PREFERENCES.index("heart_rate"),
            ftp,
            ftp_source,
        )

    def columns(self) -> dict[str, pa.Array]:
        return {
            "threshold_pace_min_km": _column(self.pace),
            "threshold_source": self.pace_source,
            "hr_max_bpm": _column(self.hr_max),
            "hr_max_source": self.hr_max_source,
            "ftp_w": _column(self.ftp),
            "ftp_source": self.ftp_source,
        }


def _zone_edges(stated: Mapping[str, Floats], hr_max: Floats, resting_hr: Floats) -> tuple[Floats, pa.Array]:
    """Where zones 2 to 5 begin (activities, 4; bpm, NaN where unknown), and on what that rests (null there).

    As the athlete wants it where what it takes is known, else by share of the maximum. A reserve takes a stated resting
    heart rate: zones from the default one would be nobody's.
    """
    reserve = np.where(hr_max > stated["resting_hr_bpm"], stated["resting_hr_bpm"], np.nan)
    by_basis = {
        "hr_reserve": reserve_edges(reserve, hr_max),
        "threshold_hr": threshold_edges(stated["threshold_hr_bpm"]),
        "bounds": [stated[name] for name in ZONE_BOUNDS],
    }
    edges = np.column_stack(maximum_edges(hr_max))
    basis = np.zeros(len(hr_max), dtype=np.int64)
    for name, of_basis in by_basis.items():
        wanted = np.column_stack(of_basis)
        place = ZONE_BASES.index(name)
        chosen = (stated["zone_method"] == place) & ~np.isnan(wanted[:, 0])
        edges[chosen], basis[chosen] = wanted[chosen], place
    return edges, pa.array(ZONE_BASES).take(pa.array(basis, mask=np.isnan(edges[:, 0])))


# ------------------------------------------------------------------------------------------------- load and zones


def _load(rows: pa.Table, totals: Mapping[str, Floats], known: _Thresholds, limits: Limits) -> dict[str, pa.Array]:
    """Pace, graded pace, intensity, load and efficiency."""
    pace, minutes, heart_rate = (_floats(rows, name) for name in ("pace_min_km", "moving_time_min", "avg_hr"))
    is_run, distance_km = _booleans(rows, "is_run"), _floats(rows, "distance_km")

    def flat_share(metres_known_km: Floats, flat_km: Floats) -> Floats:
        """Flat metres of equal effort for each metre of a run; NaN where too little of its grade is known."""
        return np.where(metres_known_km >= GRADED_SHARE * distance_km, flat_km / metres_known_km, np.nan)

    stated_share = _floats(rows, "flat_m") / np.where(distance_km > 0, distance_km * 1000, np.nan)
    is_flat_share = (stated_share >= PLAUSIBLE_FLAT_SHARE[0]) & (stated_share <= PLAUSIBLE_FLAT_SHARE[1])
    share, _ = _first_known(
        {
            "recording": flat_share(totals["recorded_km"], totals["recorded_flat_km"]),
            "splits": flat_share(totals["graded_km"], totals["flat_km"]),
            "source": np.where(is_flat_share, stated_share, np.nan),
        }
    )
    graded_pace = np.where(is_run, pace / share, np.nan)
    paced, _ = _first_known({"graded": graded_pace, "as run": pace})
    intensity = np.where(is_run, intensity_factor(known.pace, paced), np.nan)
    by_pace = running_tss(minutes / 60, intensity)

    has_reserve = known.hr_max > known.resting_hr
    highest = np.where(has_reserve, known.hr_max, known.resting_hr + 1)
    reserve = np.where(has_reserve, reserve_share(heart_rate, known.resting_hr, highest), np.nan)
    weights = banister_weights(known.is_female)
    by_mean = heart_rate_tss(minutes, np.maximum(reserve, 0.0), *weights, known.threshold_reserve)
    by_heart_rate, _ = _first_known({"recording": totals["recorded_hr_tss"], "mean": by_mean})

    # hills that no split tells of slow a trail run down without making its pace wrong
    too_slow = by_pace * CONTRADICTION < by_heart_rate
    too_fast = (by_pace > by_heart_rate * CONTRADICTION) & (intensity > VEHICLE_INTENSITY)
    contradicts = is_run & (too_slow | too_fast)
    is_trail = pc.fill_null(pc.equal(rows["sport_type"], "TrailRun"), False).to_numpy()
    is_default = pc.equal(known.pace_source, "default").to_numpy(zero_copy_only=False)
    is_right = ~(contradicts & ~is_trail & ~is_default)
    most = limits.max_tss_per_hour * minutes / 60
    is_ride = _booleans(rows, "is_ride")
    power, _ = _first_known({"source": _floats(rows, "power_w"), "recording": totals["recorded_power_w"]})
    power = np.where(is_ride, power, np.nan)
    by_power, own = power_tss(minutes / 60, power, known.ftp), _floats(rows, "own_load")
    # the athlete's own word first, how hard it felt last
    first = {"own": np.where(own > most, np.nan, own), "power": np.where(by_power > most, np.nan, by_power)}
    middle = {"pace": np.where(contradicts | (by_pace > most), np.nan, by_pace), "heart_rate": by_heart_rate}
    last = {"rpe": exertion_tss(minutes, _floats(rows, "exertion"))}
    load, method = _first_known({**first, **middle, **last})
    preferred, of_preference = _first_known({**first, **dict(reversed(middle.items())), **last})
    load = np.where(known.prefers_heart_rate, preferred, load)
    method = pc.if_else(pa.array(known.prefers_heart_rate), of_preference, method)
    is_plausible = load <= most
    beats = np.where(is_right & ~np.isnan(pace) & (heart_rate > 0), heart_rate, np.nan)
    return {
        "pace_min_km": _column(np.where(is_right, pace, np.nan)),
        "grade_adjusted_pace_min_km": _column(np.where(is_right, graded_pace, np.nan)),
        "intensity_factor": _column(np.where(is_right, intensity, np.nan)),
        "estimated_tss": _column(np.where(is_plausible, load, np.nan)),
        "load_method": pc.if_else(pa.array(is_plausible), method, "none"),
        "weighted_power_w": _column(power),
        "efficiency_index": _column(metres_per_beat(distance_km * 1000, minutes, beats)),
    }


def _zones(rows: pa.Table, totals: Mapping[str, Floats], known: _Thresholds) -> dict[str, pa.Array]:
    """Shares of time in each heart-rate zone: of the recording, else of the splits, else all of it in the zone of the
    average."""
    heart_rate = _floats(rows, "avg_hr")
    average = 1.0 + (heart_rate[:, None] >= known.zone_edges).sum(axis=1, dtype=np.float64)
    average[np.isnan(heart_rate) | np.isnan(known.zone_edges[:, 0])] = np.nan
    in_recording, in_splits = (
        reduce(add, [totals[name] for name in names]) for names in (RECORDED_SECONDS, ZONE_SECONDS)
    )
    _, method = _first_known({"recording": in_recording, "splits": in_splits, "average": average})
    made = {
        "hr_zone_method": method,
        "hr_zone_basis": pc.if_else(method.is_valid(), known.zone_basis, pa.scalar(None, pa.string())),
    }
    for zone, of_recording, of_splits in zip(ZONES, RECORDED_SECONDS, ZONE_SECONDS, strict=True):
        share, _ = _first_known(
            {
                "recording": totals[of_recording] / in_recording,
                "splits": totals[of_splits] / in_splits,
                "average": np.where(np.isnan(average), np.nan, average == zone),
            }
        )
        made[f"hr_zone_{zone}_pct"] = _column(share)
    return made
