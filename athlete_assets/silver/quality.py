"""The quality rules: every silver activity is either accepted, or rejected with the names of all rules that it broke.

Two records are the same activity ("duplicate") when they are one athlete's, their times of motion overlap by more
than a second, their distances differ by at most a tenth of the larger (where neither has one: their durations), and
either their starts lie within a minute or their sports can be confused. In 22,265 real runs each of the 705 pairs
that start within a minute and agree in distance is one run recorded twice, also where one service calls it a Ride and
the other a Run; the only others are repetitions of an interval session, uploaded one by one, where the first ended
before the second began.

The same activity is also one that a second service wrote with the zone applied backwards: its start is off by a
multiple of a quarter of an hour below a day, and its distance, times and heart rate are equal to the last digit, where
both have them. And so is an activity of which the parts were uploaded, too: two or more records of its sport lie
within its time and add up to its distance. Then the whole stays and the parts are duplicates; the parts stay where they
tell more: heart rate that the whole lacks, or a sport where the whole names none (a triathlon's).

A moving time that cannot be (zero, negative, or out of all proportion) is unknown where elapsed time is sane: then the
activity took its elapsed time. So is an elapsed time that cannot be where moving time is sane.

Of two records of one activity the one with more information stays: a sport, heart rate, elevation, the longer
distance, then the smaller id. Within a day they are taken in that order, and each that duplicates one already kept is
dropped: a chain of records that overlap pairwise loses no more than its copies. A record of a later day never drops
one of an earlier day, so that the features of a day stay what they were when the next day arrives. A record that the
day before may drop does not drop, nor does any record that it is chained to, one of the day after. The verdict on a
day thus rests on that day and the two before it and on nothing else, whatever window it is asked for in.

A key (athlete_id, id) that silver holds twice is one activity: the earlier day stays; within a day the newest
ingestion.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from athlete_assets import tables
from athlete_assets.days import ONE_DAY, Days
from athlete_assets.settings import Settings
from athlete_assets.silver.plausible import RESULTS
from athlete_assets.silver.sports import ANY_SPORT, family, strava_sport
from athlete_assets.store.arrow import months_of, nullable
from athlete_assets.store.scans import chosen

CONTEXT_DAYS = 2
"""Days before a window on which its verdicts rest."""
FIRST_PLAUSIBLE_DAY = date(2000, 1, 1)
IMPLAUSIBLE_SPEED_FROM_M = 1000.0
"""m; over a shorter distance a few metres of GPS error make any speed."""
SHIFT_S, LONGEST_SHIFT_S = 900, 23.75 * 3600
"""s; zones differ by quarters of an hour. A day apart, what is equal is a routine."""
SHIFT_TOLERANCE_S = 1
PART_MARGIN_S = 60.0
"""s by which a part may begin before, or end after, the whole that it is of."""
ABSURD_MOTION = 2.0, 1 / 20
"""Moving over elapsed time above and below which moving time is an error of the recording; below, only where the speed
that it means is one that nobody runs."""
LEAST_OVERLAP_S = 1.0
"""s; times are recorded to the second, so two laps in a row may seem to overlap by one."""

LOCAL = "start_date_local"
MICROSECONDS = 1_000_000
DAY_US = 86_400 * MICROSECONDS
NUMBERS = ("distance", "moving_time", "elapsed_time", "total_elevation_gain", "average_heartrate", "max_heartrate")

Mask = NDArray[np.bool_]
Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Limits:
    """The settings that the rules need, as plain numbers: days are days since 1970."""

    first_day: int
    last_day: int
    max_run_speed_mps: float
    max_duration_s: float
    min_heart_rate_bpm: float
    max_heart_rate_bpm: float
    duplicate_start_s: float
    duplicate_distance_share: float

    @classmethod
    def of(cls, settings: Settings) -> Limits:
        return cls(
            first_day=_day_number(settings.start_date),
            last_day=_day_number(settings.today),
            max_run_speed_mps=settings.max_run_speed_mps,
            max_duration_s=settings.max_duration_h * 3600,
            min_heart_rate_bpm=settings.min_heart_rate_bpm,
            max_heart_rate_bpm=settings.max_heart_rate_bpm,
            duplicate_start_s=settings.duplicate_start_s,
            duplicate_distance_share=settings.duplicate_distance_share,
        )


@dataclass(frozen=True)
class Activities:
    """The columns that the rules read, as arrays; NaN and the masks say what is missing."""

    has_key: Mask
    has_date: Mask
    day: Integers
    """Days since 1970; meaningless without a date."""
    duration: Floats
    """s: moving time, or elapsed time where it is unknown."""
    distance: Floats
    is_run: Mask


ROW_RULES: dict[str, Callable[[Activities, Limits], Mask]] = {
    "missing_key": lambda a, limits: ~a.has_key,
    "missing_date": lambda a, limits: ~a.has_date,
    "date_before_2000": lambda a, limits: a.has_date & (a.day < _day_number(FIRST_PLAUSIBLE_DAY)),
    "before_start_date": lambda a, limits: a.has_date & (a.day < limits.first_day),
    "future_date": lambda a, limits: a.has_date & (a.day > limits.last_day),
    "missing_duration": lambda a, limits: np.isnan(a.duration),
    "non_positive_duration": lambda a, limits: a.duration <= 0,
    "implausible_duration": lambda a, limits: a.duration > limits.max_duration_s,
    # 0 m on an ergometer or in a gym is no error, of a run it is; less than nothing is one in any sport
    "non_positive_distance": lambda a, limits: (a.distance < 0) | (a.is_run & (a.distance <= 0)),
    "implausible_speed": lambda a, limits: (
        a.is_run
        & (a.distance >= IMPLAUSIBLE_SPEED_FROM_M)
        & (a.duration > 0)
        & (a.distance > limits.max_run_speed_mps * a.duration)
    ),
}
"""The rules that one row breaks by itself, by the name that lands in reject_reasons."""

RULES = (*ROW_RULES, "duplicate")
"""The names of all rules, in the order in which reject_reasons lists them."""


def in_window(activities: DataFrame, days: Days, settings: Settings) -> DataFrame:
    """The silver activities of the days, and those outside the calendar.

    Outside the calendar are rows without a date, or with one before settings.start_date or after settings.today.
    """
    local = f"{LOCAL} < '{_text(settings.start_date)}' OR {LOCAL} >= '{_text(settings.today + ONE_DAY)}'"
    inside = f"({LOCAL} >= '{_text(days.first)}' AND {LOCAL} < '{_text(days.last + ONE_DAY)}')"
    return chosen(activities, _outside(settings) | _is_on(days), f"{LOCAL} IS NULL OR {local} OR {inside}")


def on_days(activities: DataFrame, days: Days) -> DataFrame:
    """The silver activities of the days, which lie in the calendar."""
    return activities.where(_is_on(days))


def needed_to_judge(activities: DataFrame, days: Days, settings: Settings) -> DataFrame:
    """The silver rows on which the verdicts on the days rest, and those outside the calendar.

    They are the rows of the days, of CONTEXT_DAYS before them, and all earlier rows that hold one of the keys.
    """
    context = in_window(activities, days.starting_earlier(CONTEXT_DAYS), settings)
    first = days.first - timedelta(days=CONTEXT_DAYS)
    if first <= settings.start_date:
        return context
    # Asked before the plan is made, and of numbers alone: to find that there is none takes two columns of silver, to
    # read them all of it. Sources number their activities as they come, so most files hold smaller ones, as their
    # statistics tell.
    ids = context.agg(F.min("id"), F.max("id")).collect()[0]
    before = activities.where(
        F.col("id").between(ids[0], ids[1]) & ~_outside(settings) & (F.col(LOCAL) < _midnight(first))
    )
    if ids[0] is None or before.join(context.select("id").distinct(), on="id", how="left_semi").select("id").isEmpty():
        return context
    keys = context.select("athlete_id", "id").distinct()
    return context.unionByName(before.join(keys, on=["athlete_id", "id"], how="left_semi"))


def _text(day: date) -> str:
    """Its midnight, as a predicate of delta-rs spells it."""
    return f"{day}T00:00:00"


def _is_on(days: Days) -> Column:
    return (F.col(LOCAL) >= _midnight(days.first)) & (F.col(LOCAL) < _midnight(days.last + ONE_DAY))


def _outside(settings: Settings) -> Column:
    begins, ends = _midnight(settings.start_date), _midnight(settings.today + ONE_DAY)
    return F.col(LOCAL).isNull() | (F.col(LOCAL) < begins) | (F.col(LOCAL) >= ends)


def _midnight(day: date) -> Column:
    """On the athlete's clock. Moments are compared, not their days: by those no engine knows which files to leave."""
    return F.lit(day).cast("timestamp_ntz")


def judged(rows: pa.Table, limits: Limits) -> pa.Table:
    """Each silver activity with activity_date (null outside the calendar) and reject_reasons (empty: accepted).

    rows: all columns of silver, and all rows of their athletes on which the verdicts asked for rest
    (`needed_to_judge`): what is not among them makes none of them a duplicate. They stay in their order. sport_type is
    in Strava's spelling; heart rates outside the limits, and numbers that are NaN or infinite, are null.
    """
    rows = _cleaned(rows, limits)
    activities = _activities(rows)
    broken = np.column_stack([rule(activities, limits) for rule in ROW_RULES.values()])
    good = np.flatnonzero(~broken.any(axis=1))
    again = np.zeros(rows.num_rows, dtype=bool)
    again[duplicates(rows, good, limits)] = True
    calendar = activities.has_date & (activities.day >= limits.first_day) & (activities.day <= limits.last_day)
    dates = nullable(activities.day * DAY_US, ~calendar).cast(pa.timestamp("us", "UTC"))
    return rows.append_column("activity_date", dates).append_column(
        "reject_reasons", _names(np.column_stack([broken, again]))
    )


def rejects(judgement: pa.Table, first_day: int, last_day: int) -> pa.Table:
    """REJECTS rows: the rejected activities of the days (since 1970), and all that lie outside the calendar."""
    day = _integers(judgement["activity_date"]) // DAY_US
    outside = _mask(pc.is_null(judgement["activity_date"]))
    is_wrong = _mask(pc.greater(pc.list_value_length(judgement["reject_reasons"]), 0))
    chosen = np.flatnonzero(is_wrong & (outside | ((day >= first_day) & (day <= last_day))))
    rows = judgement.take(pa.array(chosen))
    month = pc.if_else(pa.array(outside[chosen]), tables.OUTSIDE_CALENDAR, months_of(day[chosen]))
    return rows.append_column("month", month).select(tables.REJECTS.column_names)


def _cleaned(rows: pa.Table, limits: Limits) -> pa.Table:
    for name in NUMBERS:
        values = _floats(rows, name)
        values = np.where(np.isfinite(values), values, np.nan)
        if name.endswith("heartrate"):
            values = np.where(
                (values >= limits.min_heart_rate_bpm) & (values <= limits.max_heart_rate_bpm), values, np.nan
            )
        rows = _with_numbers(rows, name, values)
    for name, (least, most) in RESULTS.items():
        values = _floats(rows, name)
        rows = _with_numbers(rows, name, np.where((values >= least) & (values <= most), values, np.nan))
    rows = _with_numbers(rows, "moving_time", _sane_moving_time(rows, limits))
    rows = _with_numbers(rows, "elapsed_time", _sane_elapsed_time(rows, limits))
    spelled = pc.dictionary_encode(rows["sport_type"].combine_chunks())
    sports = pa.array([strava_sport(spelling) for spelling in spelled.dictionary.to_pylist()], pa.string())
    return rows.set_column(rows.column_names.index("sport_type"), "sport_type", sports.take(spelled.indices))


def _with_numbers(rows: pa.Table, name: str, values: Floats) -> pa.Table:
    """The table with the column's values; NaN as null."""
    return rows.set_column(rows.column_names.index(name), name, nullable(values))


def _sane_moving_time(rows: pa.Table, limits: Limits) -> Floats:
    """Moving time (s); NaN where it cannot be and elapsed time can."""
    moving, elapsed, distance = (_floats(rows, name) for name in ("moving_time", "elapsed_time", "distance"))
    most, least = ABSURD_MOTION
    too_fast = (distance >= IMPLAUSIBLE_SPEED_FROM_M) & (distance > limits.max_run_speed_mps * moving)
    absurd = (moving <= 0) | (moving > limits.max_duration_s) | (moving > most * elapsed)
    absurd |= too_fast & (moving < least * elapsed)
    return np.where(absurd & (elapsed > 0) & (elapsed <= limits.max_duration_s), np.nan, moving)


def _sane_elapsed_time(rows: pa.Table, limits: Limits) -> Floats:
    """Elapsed time (s); NaN where it cannot be and moving time can: a watch that nobody stopped."""
    moving, elapsed = _floats(rows, "moving_time"), _floats(rows, "elapsed_time")
    absurd = (elapsed <= 0) | (elapsed > limits.max_duration_s)
    return np.where(absurd & (moving > 0) & (moving <= limits.max_duration_s), np.nan, elapsed)


def _activities(rows: pa.Table) -> Activities:
    local = rows[LOCAL]
    athlete = rows["athlete_id"].combine_chunks().dictionary_encode()
    named = pc.greater(pc.utf8_length(pc.utf8_trim_whitespace(athlete.dictionary)), 0).take(athlete.indices)
    return Activities(
        has_key=_mask(pc.and_(pc.fill_null(named, False), pc.is_valid(rows["id"]))),
        has_date=_mask(pc.is_valid(local)),
        day=_integers(local) // DAY_US,
        duration=_duration(rows),
        distance=_floats(rows, "distance"),
        is_run=_mask(pc.is_in(rows["sport_type"], pa.array(tables.RUN_SPORTS))),
    )


def _names(broken: Mask) -> pa.ListArray:
    """The names of the broken rules of each row, in the order of the rules."""
    _, rules = np.nonzero(broken)
    ends = np.concatenate([[0], np.cumsum(broken.sum(axis=1))])
    return pa.ListArray.from_arrays(pa.array(ends, pa.int32()), pa.array(RULES).take(pa.array(rules)))


# ------------------------------------------------------------------------------------------------------ duplicates


@dataclass(frozen=True)
class _Records:
    """What tells two rows of one activity, as arrays; NaN is null."""

    athlete: Integers
    number: Integers
    sport: NDArray[np.str_]
    """Family of the sport (`silver.sports`)."""
    utc: Integers
    """Start, microseconds since 1970."""
    has_utc: Mask
    local: Integers
    """The same on the athlete's own clock."""
    distance: Floats
    moving: Floats
    elapsed: Floats
    climb: Floats
    beats: Floats
    most_beats: Floats

    @classmethod
    def of(cls, rows: pa.Table) -> _Records:
        utc = _integers(rows["start_date"])
        return cls(
            athlete=_codes(rows["athlete_id"]),
            number=_integers(rows["id"]),
            sport=_families(rows),
            utc=utc,
            # a DATE upstream arrives as its midnight and says nothing of the hour
            has_utc=_mask(pc.is_valid(rows["start_date"])) & (utc % DAY_US != 0),
            local=_integers(rows[LOCAL]),
            distance=_floats(rows, "distance"),
            moving=_floats(rows, "moving_time"),
            elapsed=_floats(rows, "elapsed_time"),
            climb=_floats(rows, "total_elevation_gain"),
            beats=_floats(rows, "average_heartrate"),
            most_beats=_floats(rows, "max_heartrate"),
        )

    def take(self, chosen: Integers) -> _Records:
        return _Records(**{name: values[chosen] for name, values in vars(self).items()})

    @property
    def day(self) -> Integers:
        return self.local // DAY_US

    @property
    def duration(self) -> Floats:
        return np.where(np.isnan(self.moving), self.elapsed, self.moving)


def duplicates(rows: pa.Table, judged_rows: Integers, limits: Limits) -> Integers:
    """Positions of the duplicates among the rows at the given positions, which break no other rule."""
    records = _Records.of(rows)
    again = _repeated_keys(rows, records, judged_rows)
    is_again = np.zeros(rows.num_rows, dtype=bool)
    is_again[again] = True
    first = judged_rows[~is_again[judged_rows]]
    records = records.take(first)
    pairs = [_same_activity(records, limits), _shifted_copies(records)]
    one, other = (np.concatenate(ends) for ends in zip(*pairs, strict=True))
    alike = np.unique(np.concatenate([one, other]))
    preference = np.zeros(len(first), dtype=np.int64)
    preference[alike] = _preference(records.take(alike))  # nobody asks for that of the others
    dropped = _dropped(one, other, records.day, preference)
    stays = np.ones(len(first), dtype=bool)
    stays[dropped] = False
    kept = np.flatnonzero(stays)
    in_parts = kept[_of_parts_and_whole(records.take(kept), limits)]
    return np.concatenate([again, first[dropped], first[in_parts]])


def _repeated_keys(rows: pa.Table, records: _Records, judged_rows: Integers) -> Integers:
    """Positions of the rows whose key an earlier day, or in the same day a newer ingestion, also holds."""
    athlete, number = records.athlete, records.number
    order = judged_rows[np.lexsort((number[judged_rows], athlete[judged_rows]))]
    same = (athlete[order][1:] == athlete[order][:-1]) & (number[order][1:] == number[order][:-1])
    repeated = np.zeros(rows.num_rows, dtype=bool)
    repeated[order[1:][same]] = repeated[order[:-1][same]] = True
    among = np.flatnonzero(repeated)
    if not len(among):
        return among
    copies, told = rows.take(pa.array(among)), records.take(among)
    copies = copies.append_column("day", pa.array(told.day)).append_column("preference", pa.array(_preference(told)))
    # then by every column, so that the row that stays does not depend on the order in which the rows are read
    ranked = pc.sort_indices(
        copies.set_column(copies.column_names.index("manual"), "manual", copies["manual"].cast(pa.int8())).set_column(
            copies.column_names.index("trainer"), "trainer", copies["trainer"].cast(pa.int8())
        ),
        sort_keys=[
            ("athlete_id", "ascending"),
            ("id", "ascending"),
            ("day", "ascending"),
            ("silver_ingestion_timestamp", "descending"),
            ("preference", "ascending"),
            *[(column.name, "ascending") for column in tables.STRAVA_ACTIVITIES.columns[2:-1]],
        ],
    ).to_numpy()
    ranked = among[ranked]
    again = (athlete[ranked][1:] == athlete[ranked][:-1]) & (number[ranked][1:] == number[ranked][:-1])
    return ranked[1:][again]


def _preference(records: _Records) -> Integers:
    """Each row's rank by how much it tells, 0 the most; of equals the smaller id. Equal ranks only for equal rows."""
    keys = (
        records.number,
        -np.where(records.distance > 0, records.distance, 0.0),
        ~(records.climb > 0),  # 0 is what services write for "unknown"
        np.isnan(records.beats) & np.isnan(records.most_beats),
        records.sport == ANY_SPORT,
    )
    order = np.lexsort(keys)
    differs = np.zeros(len(order), dtype=bool)
    for key in keys:
        differs[1:] |= key[order][1:] != key[order][:-1]
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.cumsum(differs)
    return rank


def _same_activity(records: _Records, limits: Limits) -> tuple[Integers, Integers]:
    """Pairs of rows that are one activity recorded twice, as two arrays of positions."""
    athlete, sport, day, duration = records.athlete, records.sport, records.day, records.duration
    distance, has_utc = np.where(records.distance > 0, records.distance, np.nan), records.has_utc

    def pairs_by(clock: Integers, among: Integers) -> tuple[Integers, Integers]:
        start = clock[among]
        end = start + (duration[among] * MICROSECONDS).astype(np.int64)
        first, second = _overlapping(athlete[among], start, end)
        gap = np.abs(start[first] - start[second]) / MICROSECONDS
        overlap = (np.minimum(end[first], end[second]) - np.maximum(start[first], start[second])) / MICROSECONDS
        first, second = among[first], among[second]
        share = limits.duplicate_distance_share
        as_far = _within(distance[first], distance[second], share)
        as_long = np.isnan(distance[first]) & np.isnan(distance[second])
        as_long &= _within(duration[first], duration[second], share)
        alike = (sport[first] == sport[second]) | (sport[first] == ANY_SPORT) | (sport[second] == ANY_SPORT)
        same = (overlap > LEAST_OVERLAP_S) & (as_far | as_long) & ((gap <= limits.duplicate_start_s) | alike)
        same &= np.abs(day[first] - day[second]) <= 1
        return first[same], second[same]

    first, second = pairs_by(records.utc, np.flatnonzero(has_utc))
    if not has_utc.all():  # where one of two rows has no UTC start, both are read off the athlete's own clock
        more_first, more_second = pairs_by(records.local, np.arange(len(day)))
        mixed = ~(has_utc[more_first] & has_utc[more_second])
        first, second = np.append(first, more_first[mixed]), np.append(second, more_second[mixed])
    return first, second


def _shifted_copies(records: _Records) -> tuple[Integers, Integers]:
    """Pairs of rows of one athlete that agree in all numbers and whose starts differ by whole quarters of an hour.

    Rows that may be a routine, or typed in, do not count: the heart rate has decimals, or
    neither the distance round (to 10 m) nor the time (to the minute).
    """
    distance, time, beats = records.distance, records.duration, records.beats
    is_exact = (distance > 0) & ((np.nan_to_num(beats) % 1 != 0) | ((distance % 10 != 0) & (time % 60 != 0)))
    chosen = np.flatnonzero(is_exact)
    # few have the distance and the time of another: by distance, and only those by athlete and time, too
    chosen = chosen[_has_equal(distance[chosen])]
    if len(chosen) < 2:
        return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64)
    group = _groups(records.athlete[chosen], distance[chosen], time[chosen])
    when = records.local[chosen] // MICROSECONDS
    # as if each lasted so long: what overlaps is no further apart
    first, second = _overlapping(group, when, when + int(LONGEST_SHIFT_S) + 2 * SHIFT_TOLERANCE_S)
    gap = np.abs(when[second] - when[first])
    off = np.minimum(gap % SHIFT_S, SHIFT_S - gap % SHIFT_S)
    alike = (gap >= SHIFT_S - SHIFT_TOLERANCE_S) & (off <= SHIFT_TOLERANCE_S)
    first, second = chosen[first[alike]], chosen[second[alike]]
    agree = np.abs(records.day[first] - records.day[second]) <= 1
    for values in (distance, records.moving, records.elapsed, beats, records.most_beats):
        one, other = values[first], values[second]
        agree &= (one == other) | np.isnan(one) | np.isnan(other)
    return first[agree], second[agree]


def _has_equal(values: Floats) -> Mask:
    """Whether another one of the values is equal."""
    in_order = np.sort(values)
    twice = in_order[1:][in_order[1:] == in_order[:-1]]
    if not len(twice):
        return np.zeros(len(values), dtype=bool)
    return twice[np.minimum(np.searchsorted(twice, values), len(twice) - 1)] == values


def _of_parts_and_whole(records: _Records, limits: Limits) -> Integers:
    """Positions of the rows that others of their day tell already: parts of a whole, or a whole told by its parts."""
    distance, sport, has_beats = records.distance, records.sport, ~np.isnan(records.beats)
    begins = records.local / MICROSECONDS
    ends = begins + np.fmax(records.moving, records.elapsed)
    key = records.athlete * (np.ptp(records.day) + 1) + records.day if len(distance) else records.athlete
    order = np.argsort(key, kind="stable")
    bounds = np.append(np.flatnonzero(np.diff(key[order])) + 1, len(order))
    sizes = np.diff(bounds, prepend=0)
    told: set[int] = set()
    for last, size in zip(bounds[sizes >= 3].tolist(), sizes[sizes >= 3].tolist(), strict=True):
        members = order[last - size : last]
        members = members[distance[members] > 0]
        for whole in members[np.argsort(-distance[members], kind="stable")].tolist():
            if whole in told:
                continue
            parts = np.array([part for part in members.tolist() if part != whole and part not in told], dtype=np.int64)
            inside = (begins[parts] >= begins[whole] - PART_MARGIN_S) & (ends[parts] <= ends[whole] + PART_MARGIN_S)
            parts = parts[inside & ((sport[parts] == sport[whole]) | (sport[whole] == ANY_SPORT))]
            if len(parts) < 2 or _overlap(begins[parts], ends[parts]):
                continue
            if not _within(distance[parts].sum(), distance[whole], limits.duplicate_distance_share):
                continue
            # of a triathlon's parts the changes have no sport of their own
            parts_tell_more = (sport[whole] == ANY_SPORT) & (sport[parts] != ANY_SPORT).any()
            parts_tell_more |= has_beats[parts].all() & ~has_beats[whole]
            told |= {whole} if parts_tell_more else set(parts.tolist())
    return np.array(sorted(told), dtype=np.int64)


def _overlap(begins: Floats, ends: Floats) -> bool:
    """Whether any of the spans overlap by more than the margin."""
    order = np.argsort(begins, kind="stable")
    return bool((begins[order][1:] < ends[order][:-1] - PART_MARGIN_S).any())


def _overlapping(athlete: Integers, start: Integers, end: Integers) -> tuple[Integers, Integers]:
    """Pairs of positions of one athlete's rows of which the second starts before the first ends."""
    order = np.lexsort((start, athlete))
    athlete, start, end = athlete[order], start[order], end[order]
    first, second = [np.empty(0, dtype=np.int64)], [np.empty(0, dtype=np.int64)]
    candidate: Integers = np.arange(len(order) - 1, dtype=np.int64)
    step = 1
    while len(candidate):  # a row that the one `step` after it does not reach, later ones do not reach either
        candidate = candidate[candidate + step < len(order)]
        reached = candidate + step
        candidate = candidate[(athlete[candidate] == athlete[reached]) & (start[reached] < end[candidate])]
        first.append(order[candidate])
        second.append(order[candidate + step])
        step += 1
    return np.concatenate(first), np.concatenate(second)


def _within(one: Any, other: Any, share: float) -> Any:
    return np.abs(one - other) <= share * np.maximum(one, other)


def _dropped(one: Integers, other: Integers, day: Integers, preference: Integers) -> Integers:
    """Positions of the rows that a kept row duplicates, given the pairs that are one activity.

    Greedy by day, then preference. Only a chain of records that nothing of the day before touches may drop records of
    the day after: else the verdict on a day could rest on the whole history through a chain across many midnights.
    """
    if not len(one):
        return np.empty(0, dtype=np.int64)
    # most records have one copy, and which of the two stays hangs on nothing else
    copies = np.bincount(np.concatenate([one, other]))
    is_alone = (copies[one] == 1) & (copies[other] == 1)
    choice = [(key[one], key[other]) for key in (day, preference, np.arange(len(day)))]
    is_later = np.zeros(len(one), dtype=bool)
    for of_one, of_other in reversed(choice):
        is_later = (of_one > of_other) | ((of_one == of_other) & is_later)
    of_two = np.where(is_later, one, other)[is_alone]
    one, other = one[~is_alone], other[~is_alone]
    if not len(one):
        return of_two
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    involved, ends = np.unique(np.concatenate([one, other]), return_inverse=True)
    one, other = ends[: len(one)], ends[len(one) :]
    day, preference = day[involved], preference[involved]
    within_day = day[one] == day[other]
    links = coo_array(
        (np.ones(within_day.sum()), (one[within_day], other[within_day])), shape=(len(involved), len(involved))
    )
    count, chain = connected_components(links, directed=False)
    touched = np.zeros(count, dtype=bool)
    touched[chain[np.where(day[one] > day[other], one, other)[~within_day]]] = True
    settled = ~touched[chain]

    neighbours: dict[int, list[int]] = {}
    for a, b in zip(one.tolist(), other.tolist(), strict=True):
        neighbours.setdefault(a, []).append(b)
        neighbours.setdefault(b, []).append(a)
    kept = np.zeros(len(involved), dtype=bool)
    for row in np.lexsort((preference, day)).tolist():
        kept[row] = not any(
            kept[neighbour] and (day[neighbour] == day[row] or (day[neighbour] < day[row] and settled[neighbour]))
            for neighbour in neighbours[row]
        )
    return np.concatenate([of_two, involved[~kept]])


# ---------------------------------------------------------------------------------------------------------- arrays


def _families(rows: pa.Table) -> NDArray[np.str_]:
    encoded = pc.dictionary_encode(rows["sport_type"].combine_chunks(), null_encoding="encode")
    families = [family(sport) for sport in encoded.dictionary.to_pylist()]
    return np.array(families, dtype=np.str_)[encoded.indices.to_numpy()]


def _groups(*keys: NDArray[Any]) -> Integers:
    """The number of each row's group (rows with equal keys), in the order of the keys."""
    order = np.lexsort(keys[::-1])
    begins = np.ones(len(order), dtype=bool)
    begins[1:] = np.logical_or.reduce([key[order][1:] != key[order][:-1] for key in keys])
    number = np.empty(len(order), dtype=np.int64)
    number[order] = np.cumsum(begins) - 1
    return number


def _codes(strings: pa.ChunkedArray) -> Integers:
    encoded = pc.dictionary_encode(strings.combine_chunks(), null_encoding="encode")
    return encoded.indices.to_numpy().astype(np.int64)


def _duration(rows: pa.Table) -> Floats:
    moving = _floats(rows, "moving_time")
    return np.where(np.isnan(moving), _floats(rows, "elapsed_time"), moving)


def _floats(rows: pa.Table, name: str) -> Floats:
    return rows[name].cast(pa.float64()).to_numpy()


def _integers(column: pa.ChunkedArray) -> Integers:
    """64-bit integers, timestamps as microseconds; 0 where null."""
    if pa.types.is_timestamp(column.type):
        column = column.cast(pa.timestamp("us", column.type.tz))
    return pc.fill_null(column.cast(pa.int64()), 0).to_numpy()


def _mask(column: Any) -> Mask:
    return column.to_numpy(zero_copy_only=False)


def _day_number(day: date) -> int:
    """Days since 1970."""
    return (day - date(1970, 1, 1)).days
