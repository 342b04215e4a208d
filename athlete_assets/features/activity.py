"""activity_features: one row an accepted activity, with its load, zones, and the thresholds that they rest on.

One NumPy pass over a hash bucket of athletes: it judges their silver (silver.quality), since each row's thresholds rest
on the accepted rows before it, and finds what other tables say of each (splits, recordings, best efforts, statements);
joins of the tables would judge once more for each of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial, reduce
from operator import add

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from athlete_assets import tables
from athlete_assets.days import Days
from athlete_assets.features import recordings as recorded
from athlete_assets.features import splits as split
from athlete_assets.features import thresholds
from athlete_assets.features.cells import MICROSECONDS_A_DAY, by_month, calls_for, first_epoch_day
from athlete_assets.features.efforts import effort_time, has_clock, is_steady
from athlete_assets.features.recordings import RECORDED_SECONDS, banister_weights, recording_totals
from athlete_assets.features.splits import ZONE_SECONDS, Floats, Integers, Mask, is_null, split_totals
from athlete_assets.formulas.slices import distinct_keys, order_of
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
from athlete_assets.silver.quality import Limits as QualityLimits
from athlete_assets.silver.quality import judged, needed_to_judge, on_days, rejects
from athlete_assets.store.arrow import arrow_schema, months_of, nullable
from athlete_assets.store.by_athlete import ROWS_A_CALL, apply_for_several
from athlete_assets.tables import RIDE_SPORTS, RUN_SPORTS, Table

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
    silver: DataFrame,
    splits: DataFrame,
    athletes: DataFrame,
    days: Days,
    settings: Settings,
    recordings: DataFrame | None = None,
    efforts: DataFrame | None = None,
) -> DataFrame:
    """ACTIVITY rows of the days, as in `judged_activities`."""
    return judged_activities(silver, splits, athletes, days, settings, recordings, efforts)[tables.ACTIVITY]


def judged_activities(
    silver: DataFrame,
    splits: DataFrame,
    athletes: DataFrame,
    days: Days,
    settings: Settings,
    recordings: DataFrame | None = None,
    efforts: DataFrame | None = None,
    past: DataFrame | None = None,
    hold: Callable[[DataFrame], DataFrame] | None = None,
) -> dict[Table, DataFrame]:
    """The silver activities of the days, each a row of ACTIVITY or of REJECTS: the rows of both, by table.

    silver: strava_activities; splits, athletes, recordings and (best) efforts: silver, whole or the part that matters
    (`of_activities`); None where there is no such table. Thresholds are those known on the evening before: nothing of
    an activity's own day, or of a later one, enters them.

    past: ACTIVITY rows of all accepted activities of the `history_days` before the days, where those are stored; then
    of silver only the days are judged. None: the days before are judged, too.

    hold: `Store.held`, so that a cluster computes both tables once.
    """
    judged_days = days if past is not None else days.starting_earlier(history_days(settings))
    inputs = {
        "activities": (
            needed_to_judge(silver, judged_days, settings),
            tables.STRAVA_ACTIVITIES.types(*_JUDGED),
        ),
        "splits": (splits, tables.STRAVA_SUB_ACTIVITY.types(*split.READ)),
        "athletes": (athletes, tables.STRAVA_ATHLETE.types(*STATED)),
    }
    if past is not None:
        # in more days nearly everybody is active, and stored rows are read faster as they are
        theirs = of_the_active(past, silver, days) if len(days) <= DAYS_OF_FEW else past
        inputs["past"] = (theirs, tables.ACTIVITY.types(*PAST))
    if recordings is not None:
        inputs["recordings"] = (recordings, tables.STRAVA_RECORDING.types(*recorded.READ))
    if efforts is not None:
        inputs["efforts"] = (efforts, tables.STRAVA_BEST_EFFORT.types(*PART))
    kernel = partial(activity_rows, limits=Limits.of(settings, days))
    of = {table.name: table for table in (tables.ACTIVITY, tables.REJECTS)}
    made = apply_for_several(
        inputs, kernel, {name: table.ddl for name, table in of.items()}, calls_for(days, ROWS_A_CALL), hold
    )
    return {of[name]: rows for name, rows in made.items()}


def of_activities(rows: DataFrame, silver: DataFrame, days: Days) -> DataFrame:
    """The rows (splits, say) whose activity is on one of the days, for a table that has no day of its own."""
    keys = on_days(silver, days).select("athlete_id", F.col("id").alias("activity_id"))
    return rows.join(keys, on=["athlete_id", "activity_id"], how="left_semi")


def of_the_active(rows: DataFrame, silver: DataFrame, days: Days) -> DataFrame:
    """The rows of the athletes with an activity on one of the days: nobody else gets a row for them."""
    return rows.join(on_days(silver, days).select("athlete_id").distinct(), on="athlete_id", how="left_semi")


# ------------------------------------------------------------------------------------------------ single activities


_JUDGED = tuple(name for name in tables.STRAVA_ACTIVITIES.column_names if name != "athlete_id")
_UNUSED = ("timezone", "manual", "trainer", tables.INGESTED)
_MEASURED = [*(name for name in ("athlete_id", *_JUDGED) if name not in _UNUSED), "activity_date"]
"""The judged columns from which features are made."""


def _measured(activities: pa.Table) -> pa.Table:
    """What is measured of each accepted activity, in the contract's names and units, and what the kernel needs of it.

    effort_s: the time (s) with which a run counts as an effort (features.efforts), null where it is none. flat_m: the
    flat metres of equal effort that the source states; power_w (W), exertion (1 to 10) and own_load (points) as stated.
    """
    distance, moving, climb = (
        _floats(activities, name) for name in ("distance", "moving_time", "total_elevation_gain")
    )
    moving = np.where(moving > 0, moving, np.nan)
    duration = np.where(np.isnan(moving), _floats(activities, "elapsed_time"), moving)
    elapsed = _elapsed_time(moving, _floats(activities, "elapsed_time"))
    is_run, is_ride, is_paced = (
        pc.is_in(activities["sport_type"], pa.array(sports)).to_numpy(zero_copy_only=False)
        for sports in (RUN_SPORTS, RIDE_SPORTS, PACED_SPORTS)
    )
    is_race = is_run & pc.fill_null(pc.equal(activities["workout_type"], RACE), False).to_numpy(zero_copy_only=False)
    kilometres, has_distance = distance / 1000, distance > 0
    pace = duration / 60 / np.where(has_distance, kilometres, np.nan)
    slowest, fastest = max(PLAUSIBLE_RUN_PACE_MIN_KM), min(PLAUSIBLE_RUN_PACE_MIN_KM)
    is_paced &= has_distance & (~is_run | ((pace >= fastest) & (pace <= slowest)))
    climb = np.where(climb >= 0, climb, np.nan)
    clock = has_clock(duration, elapsed)
    day = activities["activity_date"].cast(pa.int64()).to_numpy() // MICROSECONDS_A_DAY
    made = {
        "activity_id": activities["id"],
        "event_timestamp": _moment(activities),
        "is_run": pa.array(is_run),
        "is_ride": pa.array(is_ride),
        "is_race": pa.array(is_race),
        # of a run whose clock is known; a race is continuous by definition
        "is_continuous": nullable(is_race | is_steady(duration, elapsed), ~(is_run & (is_race | clock))),
        "distance_km": nullable(kilometres),
        "moving_time_min": nullable(duration / 60),
        "elapsed_time_min": nullable(elapsed / 60),
        "pace_min_km": nullable(np.where(is_paced, pace, np.nan)),
        "elevation_gain_m": nullable(climb),
        "elevation_per_km": nullable(climb / np.where(has_distance, kilometres, np.nan)),
        "avg_hr": activities["average_heartrate"],
        "max_hr": activities["max_heartrate"],
        "month": months_of(day),
        "has_clock": pa.array(is_race | clock),
        "effort_s": nullable(effort_time(duration, elapsed, is_race)),
        "day": pa.array(day),
        "flat_m": activities["grade_adjusted_distance"],
        "power_w": activities["weighted_power_w"],
        "exertion": activities["perceived_exertion"],
    }
    same = ("athlete_id", "sport_type", "source", "activity_date", "distance", "own_load")
    return pa.table({**{name: activities[name] for name in same}, **made})


def _moment(activities: pa.Table) -> pa.ChunkedArray:
    """When each began; by the athlete's own clock where upstream gives a DATE, which says nothing of the hour."""
    moment = pa.timestamp("us", "UTC")
    start, own = activities["start_date"].cast(moment), activities["start_date_local"].cast(moment)
    # 0 where unknown: a midnight, too
    return pc.if_else(pa.array(_integers(start) % MICROSECONDS_A_DAY != 0), start, own)


def _elapsed_time(moving: Floats, elapsed: Floats) -> Floats:
    """Elapsed time (s) of silver activities; NaN where it is missing or shorter than the moving time."""
    is_sane = (elapsed > 0) & (np.isnan(moving) | (elapsed >= moving - ELAPSED_TOLERANCE_S))
    return np.where(is_sane, elapsed, np.nan)


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
PAST = (
    "activity_id",
    "activity_date",
    "sport_type",
    "is_race",
    "distance_km",
    "moving_time_min",
    "elapsed_time_min",
    "max_hr",
)
"""The columns of ACTIVITY from which `_remembered` makes an activity of an earlier day, beside the athlete's."""
REMEMBERED = ("athlete_id", "activity_id", "day", "is_run", "is_ride", "distance", "effort_s", "has_clock", "max_hr")
"""What thresholds rest on, of each activity."""
DAYS_OF_FEW = 7
"""In so few days many athletes have no activity, and what is stored of them is left out."""
DECIMALS = 7
"""To which metres and seconds are read back from kilometres and minutes: division leaves them off by a last bit, and
then 651 s are no longer 5 % over 620."""


@dataclass(frozen=True)
class Limits:
    """The settings that a bucket needs, and the days (since 1970) whose activities get rows."""

    rules: QualityLimits
    first_day: int
    last_day: int
    history_days: int
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
            rules=QualityLimits.of(settings),
            first_day=first_epoch_day(days),
            last_day=first_epoch_day(days) + len(days) - 1,
            history_days=history_days(settings),
            threshold_days=settings.threshold_window_days,
            hr_max_days=settings.hr_max_window_days,
            default_threshold_pace=settings.default_threshold_pace_min_km,
            default_resting_hr=settings.default_resting_hr_bpm,
            least_hr=settings.min_heart_rate_bpm,
            most_hr=settings.max_heart_rate_bpm,
            longest_s=settings.max_duration_h * 3600,
            max_tss_per_hour=settings.max_tss_per_hour,
        )


def activity_rows(inputs: Mapping[str, pa.Table], limits: Limits) -> dict[str, pa.Table]:
    """Rows of ACTIVITY and of REJECTS, by table's name, of the days from limits.first_day on, of all inputs of some
    athletes, each in any order."""
    judgement = judged(inputs["activities"], limits.rules)
    made = {tables.REJECTS.name: rejects(judgement, limits.first_day, limits.last_day)}
    day = _integers(judgement["activity_date"]) // MICROSECONDS_A_DAY
    is_right = pc.equal(pc.list_value_length(judgement["reject_reasons"]), 0).to_numpy(zero_copy_only=False)
    known_from = limits.first_day - (0 if "past" in inputs else limits.history_days)
    is_known = is_right & (day >= known_from) & (day <= limits.last_day)
    chosen = np.flatnonzero(is_known & judgement["activity_date"].is_valid().to_numpy())
    chosen = chosen[by_month(day[chosen])]  # as files hold them
    measured = _measured(judgement.select(_MEASURED).take(pa.array(chosen)))
    asked = np.flatnonzero(day[chosen] >= limits.first_day)
    rows = measured.take(pa.array(asked)) if len(asked) < measured.num_rows else measured
    history = measured.select(REMEMBERED)
    if "past" in inputs:
        history = pa.concat_tables([history, _remembered(inputs["past"])])
    return made | {tables.ACTIVITY.name: _features(rows, history, asked, inputs, limits)}


def _remembered(past: pa.Table) -> pa.Table:
    """REMEMBERED of the activities of earlier days, of their PAST columns."""
    metres, moving, elapsed = (
        np.round(_floats(past, name) * unit, DECIMALS)
        for name, unit in (("distance_km", 1000), ("moving_time_min", 60), ("elapsed_time_min", 60))
    )
    is_race = _booleans(past, "is_race")
    is_run, is_ride = (pc.is_in(past["sport_type"], pa.array(sports)) for sports in (RUN_SPORTS, RIDE_SPORTS))
    made = {
        "day": pa.array(_integers(past["activity_date"]) // MICROSECONDS_A_DAY),
        "is_run": is_run,
        "is_ride": is_ride,
        "distance": nullable(metres),
        "effort_s": nullable(effort_time(moving, elapsed, is_race)),
        "has_clock": pa.array(is_race | has_clock(moving, elapsed)),
    }
    return pa.table({name: made[name] if name in made else past[name] for name in REMEMBERED})


def _features(
    rows: pa.Table, history: pa.Table, asked: Integers, inputs: Mapping[str, pa.Table], limits: Limits
) -> pa.Table:
    """ACTIVITY rows of what is measured of them. history: REMEMBERED of these, at `asked`, and of those before."""
    if not len(asked):
        return arrow_schema(tables.ACTIVITY).empty_table()
    find = _Finder(history)
    key = find.athlete * thresholds.ATHLETE_STEP + history["day"].to_numpy()
    observed = _observed_thresholds(history, key, key[asked], _parts(inputs.get("efforts"), find, history, key), limits)
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
        self._number: Integers = activities["activity_id"].to_numpy()

    def athlete_of(self, rows: pa.Table) -> Integers:
        """The position of each row's athlete, -1 where it has no activity here."""
        return pc.fill_null(pc.index_in(rows["athlete_id"], value_set=self.athletes), -1).to_numpy().astype(np.int64)

    def rows_of(self, rows: pa.Table, position: Integers) -> tuple[pa.Table, Integers]:
        """Those of the rows whose activity has a position (0 and above; one for each activity), and that position."""
        wanted = np.flatnonzero(position >= 0)
        if not rows.num_rows or not len(wanted):
            return rows.slice(0, 0), np.empty(0, dtype=np.int64)
        numbers = np.unique(self._number[wanted])
        keys = self.athlete[wanted] * len(numbers) + np.searchsorted(numbers, self._number[wanted])
        order = np.argsort(keys)
        keys = keys[order]
        athlete, number = self.athlete_of(rows), pc.fill_null(rows["activity_id"], 0).to_numpy()
        place = np.minimum(np.searchsorted(numbers, number), len(numbers) - 1)
        key = athlete * len(numbers) + place
        found = np.minimum(np.searchsorted(keys, key), len(keys) - 1)
        is_known = (athlete >= 0) & (numbers[place] == number) & (keys[found] == key)
        is_known &= ~is_null(rows["activity_id"])
        chosen = np.flatnonzero(is_known)
        return rows.take(pa.array(chosen)), position[wanted[order[found[chosen]]]]


def _first_known(values: Mapping[str, Floats]) -> tuple[Floats, pa.Array]:
    """Of each row the first value that is known, and its name: NaN and null where none is."""
    found = _first(*values.values())
    place: Integers = np.full(len(found), len(values) - 1)
    for number, value in reversed(list(enumerate(values.values()))[:-1]):
        place[~np.isnan(value)] = number
    return found, pa.array(list(values)).take(nullable(place, np.isnan(found)))


def _first(*values: Floats) -> Floats:
    """Of each row the first value that is known, NaN where none is."""
    found = values[0].copy()
    for value in values[1:]:
        np.copyto(found, value, where=np.isnan(found))
    return found


def _floats(rows: pa.Table, name: str) -> Floats:
    """The numbers, NaN where null."""
    return rows[name].to_numpy()


def _integers(column: pa.ChunkedArray) -> Integers:
    """64-bit integers, of moments the microseconds since 1970; 0 where null."""
    return pc.fill_null(column.cast(pa.int64()), 0).to_numpy()


def _booleans(rows: pa.Table, name: str) -> Mask:
    return rows[name].to_numpy(zero_copy_only=False).astype(bool)


# ------------------------------------------------------------------------------------------------------ thresholds


def _observed_thresholds(
    history: pa.Table, key: Integers, of: Integers, parts: tuple[Integers, Floats, Floats], limits: Limits
) -> tuple[Floats, Floats, Floats]:
    """Critical speed and best effort (m/s) and maximum heart rate (bpm) by the activities before the days `of` keys.

    NaN where the days before tell too little. parts: `_parts`.
    """
    distance, duration, heart_rate = (_floats(history, name) for name in ("distance", "effort_s", "max_hr"))
    is_run, clock, day_of = _booleans(history, "is_run"), _booleans(history, "has_clock"), history["day"].to_numpy()
    asked, position = distinct_keys(of)
    # no day asks for an effort of before threshold_days, and none is judged by runs of twice as long ago
    runs = np.flatnonzero(is_run & ~np.isnan(duration) & (day_of >= limits.first_day - 2 * limits.threshold_days))
    # equal keys in an order that the values alone decide: so do the results
    runs = runs[order_of(key[runs], duration[runs], distance[runs])]
    usual = thresholds.usual_speeds(key[runs], distance[runs], duration[runs])
    runs = runs[day_of[runs] >= limits.first_day - limits.threshold_days]
    run = key[runs], distance[runs], duration[runs]
    is_chosen = thresholds.is_effort(*run, clock[runs], usual, limits.threshold_days)
    is_chosen_part = thresholds.is_effort(*parts, np.ones(len(parts[0]), dtype=bool), usual, limits.threshold_days)
    day, metres, seconds = (np.concatenate([a[is_chosen], b[is_chosen_part]]) for a, b in zip(run, parts, strict=True))
    in_order = order_of(day, seconds, metres)
    effort = (day[in_order], metres[in_order], seconds[in_order], asked, limits.threshold_days)
    beats = np.flatnonzero(~np.isnan(heart_rate))
    beats = beats[np.argsort(key[beats], kind="stable")]
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
    asked, position = distinct_keys(of)
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
            "threshold_pace_min_km": nullable(self.pace),
            "threshold_source": self.pace_source,
            "hr_max_bpm": nullable(self.hr_max),
            "hr_max_source": self.hr_max_source,
            "ftp_w": nullable(self.ftp),
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
    return edges, pa.array(ZONE_BASES).take(nullable(basis, np.isnan(edges[:, 0])))


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
    share = _first(
        flat_share(totals["recorded_km"], totals["recorded_flat_km"]),
        flat_share(totals["graded_km"], totals["flat_km"]),
        np.where(is_flat_share, stated_share, np.nan),
    )
    graded_pace = np.where(is_run, pace / share, np.nan)
    intensity = np.where(is_run, intensity_factor(known.pace, _first(graded_pace, pace)), np.nan)
    by_pace = running_tss(minutes / 60, intensity)

    has_reserve = known.hr_max > known.resting_hr
    highest = np.where(has_reserve, known.hr_max, known.resting_hr + 1)
    reserve = np.where(has_reserve, reserve_share(heart_rate, known.resting_hr, highest), np.nan)
    weights = banister_weights(known.is_female)
    by_mean = heart_rate_tss(minutes, np.maximum(reserve, 0.0), *weights, known.threshold_reserve)
    by_heart_rate = _first(totals["recorded_hr_tss"], by_mean)

    # hills that no split tells of slow a trail run down without making its pace wrong
    too_slow = by_pace * CONTRADICTION < by_heart_rate
    too_fast = (by_pace > by_heart_rate * CONTRADICTION) & (intensity > VEHICLE_INTENSITY)
    contradicts = is_run & (too_slow | too_fast)
    is_trail = pc.fill_null(pc.equal(rows["sport_type"], "TrailRun"), False).to_numpy()
    is_default = pc.equal(known.pace_source, "default").to_numpy(zero_copy_only=False)
    is_right = ~(contradicts & ~is_trail & ~is_default)
    most = limits.max_tss_per_hour * minutes / 60
    is_ride = _booleans(rows, "is_ride")
    power = np.where(is_ride, _first(_floats(rows, "power_w"), totals["recorded_power_w"]), np.nan)
    by_power, own = power_tss(minutes / 60, power, known.ftp), _floats(rows, "own_load")
    # the athlete's own word first, how hard it felt last
    first = {"own": np.where(own > most, np.nan, own), "power": np.where(by_power > most, np.nan, by_power)}
    middle = {"pace": np.where(contradicts | (by_pace > most), np.nan, by_pace), "heart_rate": by_heart_rate}
    last = {"rpe": exertion_tss(minutes, _floats(rows, "exertion"))}
    load, method = _first_known({**first, **middle, **last})
    if known.prefers_heart_rate.any():
        preferred, of_preference = _first_known({**first, **dict(reversed(middle.items())), **last})
        load = np.where(known.prefers_heart_rate, preferred, load)
        method = pc.if_else(pa.array(known.prefers_heart_rate), of_preference, method)
    is_plausible = load <= most
    beats = np.where(is_right & ~np.isnan(pace) & (heart_rate > 0), heart_rate, np.nan)
    return {
        "pace_min_km": nullable(np.where(is_right, pace, np.nan)),
        "grade_adjusted_pace_min_km": nullable(np.where(is_right, graded_pace, np.nan)),
        "intensity_factor": nullable(np.where(is_right, intensity, np.nan)),
        "estimated_tss": nullable(np.where(is_plausible, load, np.nan)),
        "load_method": pc.if_else(pa.array(is_plausible), method, "none"),
        "weighted_power_w": nullable(power),
        "efficiency_index": nullable(metres_per_beat(distance_km * 1000, minutes, beats)),
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
        of_average = np.where(np.isnan(average), np.nan, average == zone)
        share = _first(totals[of_recording] / in_recording, totals[of_splits] / in_splits, of_average)
        made[f"hr_zone_{zone}_pct"] = nullable(share)
    return made
