"""A seeded cohort of runners in the silver contract, with a fitness-fatigue model behind every number.

What drives what: an athlete's traits set a plan (cycles of base, build, taper, race, recovery); the plan as carried
out (illness, injuries that follow load spikes, holidays, years off) drives fitness and fatigue; these drive race times,
easy pace and heart rate; then the recording devices and the upstream pipeline add their dirt (`DIRTY_KINDS`).

Sources of the model:
- fitness and fatigue, time constants 42 and 7 days: Banister 1975, Busso 2003; as exponentially weighted daily load.
- speed, oxygen cost and the share of VO2max that can be held: Daniels & Gilbert 1979 ("VDOT").
- heart-rate reserve tracks the share of VO2max: Swain & Leutholtz 1997; maximum 208 - 0.7 age: Tanaka 2001.
- cost of slopes: Minetti 2002. Heat in races: Ely 2007. Marathon fade at low volume: Vickers & Vertosick 2016.
- injuries 2.5-18 per 1000 h of running: Videbaek 2015; more after load spikes: Gabbett 2016 (weekly load) and
  Schuster Brandt Frandsen 2025 (a run longer than any of the last 30 days).

Same arguments, same bytes. Each random number is a function of (seed, athlete, purpose, day, position) alone:
SplitMix64 (Steele, Lea & Flood 2014) in integer arithmetic, so no number depends on the batch, on the draws before it
or on a library's generator. Sums within an activity are sums of integers, and every output is rounded well above the
last bits, in which exp and log differ between processors. A later last day with the same first day only adds rows.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy.special import ndtri

from athlete_assets import tables
from athlete_assets.days import monday_of
from athlete_assets.errors import SettingsError
from athlete_assets.store.arrow import arrow_schema

SOURCE = "simulated"
MAX_ATHLETES = 999_999
BATCH_ATHLETE_YEARS = 1500
"""Longer histories come in smaller batches, so that memory stays bounded (about 1.2 GB)."""

CORRUPTIONS: dict[str, float] = {
    "negative_moving_time": 2e-4,
    "zero_duration": 3e-4,
    "absurd_moving_time": 2e-4,
    "over_48_hours": 2e-4,
    "too_fast": 1e-3,
    "absurd_distance": 1e-4,
    "zero_heart_rate": 2e-3,
    "heart_rate_above_230": 3e-4,
    "missing_athlete_id": 1e-4,
    "missing_id": 1e-4,
    "missing_date": 2e-4,
    "before_2000": 2e-4,
    "future_date": 2e-4,
    "no_distance": 5e-4,
}
"""Share of an athlete's eligible runs (outdoor, GPS, whole, no race, at least 2 km) with each fault, at most one a run.
Besides, each athlete has one run with the fault number (athlete number mod 14), within the first 48 eligible runs: so
a cohort of 30 athletes and 3 years holds every kind."""

DIRTY_KINDS: dict[str, float] = {
    **CORRUPTIONS,
    "duplicate_from_other_source": 0.017,
    "split_session": 0.012,
    "other_spelling": 0.05,
}
"""Every kind of dirty row and its share, over a large cohort: of eligible runs for the CORRUPTIONS (beside the one that
each athlete has for sure), of all activities for duplicates and spellings, of runs of 6 km or more that are no races
for sessions recorded in two or three pieces."""

DUPLICATE_SHARE, DOUBLE_SYNC_SHARE, DOUBLE_SYNC_ATHLETES = 0.005, 0.30, 0.04
"""Most athletes have few duplicates; those with two services that sync to each other have them all the time."""

GPS_WEEK_ROLLOVER_DAYS = 1024 * 7
"""What a GPS receiver's week counter is off by after it overflowed: how dates in the future come about."""
DEVICE_EPOCH = date(1989, 12, 31)
"""What a Garmin clock shows that never saw a satellite."""

ZONES: tuple[tuple[str, float, float, float], ...] = (
    ("America/Sao_Paulo", 0.25, 20.0, -4.0),
    ("Europe/Berlin", 0.12, 10.0, 9.5),
    ("Europe/Lisbon", 0.08, 17.0, 5.5),
    ("Europe/London", 0.10, 11.0, 6.5),
    ("America/New_York", 0.12, 13.0, 12.0),
    ("America/Los_Angeles", 0.06, 18.0, 4.0),
    ("America/St_Johns", 0.04, 5.0, 10.0),
    ("Asia/Kolkata", 0.07, 25.0, 5.0),
    ("Asia/Kathmandu", 0.04, 18.0, 6.5),
    ("Asia/Tokyo", 0.05, 16.0, 10.5),
    ("Australia/Adelaide", 0.04, 17.0, -6.0),
    ("Africa/Nairobi", 0.03, 19.0, -1.5),
)
"""IANA zone, share of athletes, mean temperature and its seasonal amplitude in C (negative: south of the equator)."""

REST, EASY, LONG, TEMPO, INTERVAL, RACE, RIDE, SWIM, WALK, STRENGTH = range(10)
"""What a session is meant to be."""
INTENSITY = np.array([0, 0.79, 0.80, 0.90, 0.90, 1.0, 0.62, 0.62, 0.40, 0.45])
"""Intensity factor by kind: load is hours x intensity^2 x 100, 100 being one hour at threshold."""
RACE_INTENSITY = np.array([1.07, 1.03, 0.98, 0.90])
VO2MAX_SHARE = np.array([0, 0.665, 0.68, 0.79, 0.78, 0, 0.55, 0.55, 0.30, 0.38])
"""Mean share of VO2max by kind; races follow from their duration, other sports by their share of heart-rate reserve."""
WEEK_WEIGHT = np.array([0, 0.9, 1.75, 1.0, 0.95, 0, 0.9, 0.6, 0.7, 0.6])
"""Share of the week's minutes by kind, relative to each other."""

RACE_METRES = np.array([5000.0, 10_000.0, 21_097.5, 42_195.0])

RUN, TRAIL_RUN, VIRTUAL_RUN, RIDING, SWIMMING, WALKING, STRENGTH_TRAINING = range(7)
SPORTS = ("Run", "TrailRun", "VirtualRun", "Ride", "Swim", "Walk", "WeightTraining")
OTHER_SPELLINGS = (
    ("running", "RUN"),
    ("trail_running", "TRAILRUN"),
    ("virtual_run", "VIRTUALRUN"),
    ("cycling", "RIDE"),
    ("swimming", "SWIM"),
    ("walking", "WALK"),
    ("strength_training", "WEIGHTTRAINING"),
)
CROSS_SPEED_MPS = np.array([7.2, 0.75, 1.5, 0.0])
CROSS_MINUTES = np.array([75.0, 40.0, 50.0, 40.0])
"""Ride, swim, walk and strength, in this order."""

FITNESS_RATE, FATIGUE_RATE = 1 - np.exp(-1 / 42), 1 - np.exp(-1 / 7)
UNIX_EPOCH = date(1970, 1, 1).toordinal()
LONGEST_RUN_DECAY = 0.985
"""A day; the longest run of the past counts for half after 46 days."""

_SLOTS = 16
_ROWS_PER_ATHLETE = 1_000_000
_Floats = NDArray[np.float64]
_Integers = NDArray[np.int64]
_Flags = NDArray[np.bool_]
_Rows = dict[str, np.ndarray]


@dataclass(frozen=True)
class SilverBatch:
    """Some athletes' whole history: the silver tables in the contract's columns and types, athlete by athlete."""

    activities: pa.Table
    splits: pa.Table
    athletes: pa.Table


def simulate(
    athletes: int, years: float, seed: int, last_day: date, batch_athletes: int = 500, dirty: bool = True
) -> Iterator[SilverBatch]:
    """The silver rows of `athletes` athletes over the `years` that end with `last_day` (local days), batch by batch.

    Athletes are sim_000001, sim_000002, ...; an athlete's rows depend on the seed, the athlete's number and the days,
    not on the cohort's size or the batches. A batch holds at most `batch_athletes` athletes, fewer where histories are
    long. Without `dirty`, none of DIRTY_KINDS occurs; gaps, illness, late rows and missing sensors remain.
    Raises SettingsError for a cohort that cannot be: no athletes, more than 999,999, no days, or days before 2000.
    """
    days = round(years * 365.25)
    for name, value, fine, range_ in (
        ("athletes", athletes, 1 <= athletes <= MAX_ATHLETES, f"1 to {MAX_ATHLETES}"),
        ("years", years, days >= 1, "at least one day, 0.003"),
        ("batch_athletes", batch_athletes, batch_athletes >= 1, "at least 1"),
    ):
        if not fine:
            raise SettingsError(f"simulated cohort: {name}={value} must be {range_}")
    first_day = last_day - timedelta(days=min(days, last_day.toordinal()) - 1)
    if first_day.year < 2000:
        raise SettingsError(f"simulated cohort: {years} years up to {last_day} begin before 2000; take fewer years")
    return _batches(athletes, seed, _Calendar(first_day, last_day), batch_athletes, dirty)


def _batches(athletes: int, seed: int, calendar: _Calendar, batch_athletes: int, dirty: bool) -> Iterator[SilverBatch]:
    size = max(1, min(batch_athletes, round(BATCH_ATHLETE_YEARS * 365.25 / calendar.days)))
    for first in range(1, athletes + 1, size):
        numbers = np.arange(first, min(first + size, athletes + 1), dtype=np.int64)
        yield _batch(_Draws(seed, numbers), calendar, dirty)


def _batch(draws: _Draws, calendar: _Calendar, dirty: bool) -> SilverBatch:
    people = _people(draws)
    plan = _plan(people, calendar, draws)
    history = _history(people, plan, calendar, draws)
    sessions = _sessions(people, plan, history, calendar, draws)
    if dirty:
        sessions = _in_pieces(sessions, draws)
    activities, splits = _recorded(sessions, people, calendar, draws)
    if dirty:
        activities, splits = _corrupted(activities, splits, draws)
        activities = _with_duplicates(activities, people, draws)
        _respell(activities, draws)
    return SilverBatch(
        _activity_table(activities, people),
        _split_table(splits, activities, people),
        _athlete_table(people, calendar, draws),
    )


# -------------------------------------------------------------------------------------------------- random numbers


def _mixed(words: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """SplitMix64's finaliser: each input bit reaches each output bit. Wraps around, as it should."""
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return words ^ (words >> np.uint64(31))


class _Draws:
    """Random numbers by address: (seed, athlete, purpose, counter) always gives the same one."""

    def __init__(self, seed: int, numbers: _Integers) -> None:
        self.numbers = numbers
        seed_word = _mixed(np.array([seed & (2**64 - 1)], dtype=np.uint64) + np.uint64(0x9E3779B97F4A7C15))
        self._athletes = _mixed(seed_word ^ _mixed(numbers.astype(np.uint64) * np.uint64(0xD1B54A32D192ED03)))

    def uniform(self, purpose: str, counter: _Integers | int = 0, of: _Integers | None = None) -> _Floats:
        """In (0, 1), both ends excluded: one an athlete, or one for each element of `of` (positions of athletes)."""
        purpose_word = _mixed(np.array([zlib.crc32(purpose.encode())], dtype=np.uint64) + np.uint64(1))
        start = _mixed(self._athletes ^ purpose_word)
        if of is not None:
            start = start[of]
        step = np.asarray(counter, dtype=np.int64).astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        return ((_mixed(start + step) >> np.uint64(12)).astype(np.float64) + 0.5) * 2.0**-52

    def normal(self, purpose: str, counter: _Integers | int = 0, of: _Integers | None = None) -> _Floats:
        """Standard normal, of at most 8 standard deviations."""
        return ndtri(self.uniform(purpose, counter, of))


# ------------------------------------------------------------------------------------------------------ physiology


def oxygen_cost(speed: _Floats) -> _Floats:
    """ml/kg/min of level running at a speed in m/min (Daniels & Gilbert 1979)."""
    return -4.6 + 0.182258 * speed + 0.000104 * speed * speed


def speed_at(oxygen: _Floats) -> _Floats:
    """m/min of level running at an oxygen cost in ml/kg/min: the inverse of `oxygen_cost`."""
    return (-0.182258 + np.sqrt(0.182258**2 + 4 * 0.000104 * (oxygen + 4.6))) / (2 * 0.000104)


def race_minutes(vdot: _Floats, metres: _Floats) -> _Floats:
    """min for a distance in m at a VDOT in ml/kg/min (Daniels & Gilbert 1979).

    The share of VO2max that can be held falls with the duration that is sought; each step of the fixed point divides
    the error by more than ten.
    """
    minutes = metres / speed_at(vdot * 0.9)
    for _ in range(7):
        share = 0.8 + 0.1894393 * np.exp(-0.012778 * minutes) + 0.2989558 * np.exp(-0.1932605 * minutes)
        minutes = metres / speed_at(vdot * share)
    return minutes


def slope_factor(grade: _Floats) -> _Floats:
    """How much longer a metre takes at a grade than on the level, at the same effort (Minetti 2002).

    Energy cost to the power 0.83: runners let the effort rise somewhat uphill.
    """
    cost = ((((155.4 * grade - 30.4) * grade - 43.3) * grade + 46.3) * grade + 19.5) * grade + 3.6
    return (cost / 3.6) ** 0.83


# -------------------------------------------------------------------------------------------------------- athletes


@dataclass(frozen=True)
class _People:
    """The traits of a batch of athletes, one element an athlete."""

    number: _Integers
    woman: _Flags
    age: _Floats
    vdot: _Floats
    hr_max: _Floats
    hr_rest: _Floats
    weekly_hours: _Floats
    sessions: _Integers
    habitual_load: _Floats
    fitness_gain: _Floats
    fatigue_gain: _Floats
    frailty: _Floats
    impatient: _Flags
    novice: _Flags
    raciness: _Floats
    cycle_weeks: _Integers
    cycle_offset: _Integers
    long_day: _Integers
    cross_share: _Floats
    favourite_cross: _Integers
    parkrunner: _Flags
    habit_of_pace: _Floats
    relief: _Floats
    trail_share: _Floats
    treadmill_share: _Floats
    zone: _Integers
    start_hour: _Floats
    has_heart_rate: _Flags
    has_max_heart_rate: _Flags
    has_elevation: _Flags
    has_splits: _Flags
    double_sync: _Flags
    joined: _Integers
    break_from: _Integers
    break_days: _Integers


def _people(draws: _Draws) -> _People:
    """VDOT 30..75 when trained as usual, about 46 for men and 41 for women; the faster ones train more."""
    uniform, normal = draws.uniform, draws.normal
    woman = uniform("woman") < 0.42
    age = np.clip(39 + 11 * normal("age"), 18, 74)
    talent = normal("talent")
    vdot = np.clip(47.5 - 5 * woman + 7 * talent - 0.28 * np.maximum(age - 35, 0), 30, 75)
    weekly_hours = np.clip(3.3 * np.exp(0.40 * normal("hours") + 0.16 * talent), 1.3, 12)
    sessions = np.clip(np.rint(1.7 + 0.72 * weekly_hours + 0.7 * normal("sessions")), 2, 7).astype(np.int64)
    zone_shares = np.cumsum([share for _, share, _, _ in ZONES])
    years_off = uniform("years off") < 0.12
    return _People(
        number=draws.numbers,
        woman=woman,
        age=np.floor(age),
        vdot=vdot,
        hr_max=np.clip(np.rint(208 - 0.7 * age + 8 * normal("hr max")), 150, 215),
        hr_rest=np.clip(np.rint(57 - 0.4 * (vdot - 45) + 3 * woman + 5 * normal("hr rest")), 36, 80),
        weekly_hours=weekly_hours,
        sessions=sessions,
        habitual_load=weekly_hours * 64 / 7,
        fitness_gain=0.19 * np.exp(0.25 * normal("fitness gain")),
        fatigue_gain=0.045 * np.exp(0.25 * normal("fatigue gain")),
        frailty=np.exp(0.5 * normal("frailty") - 0.125),
        impatient=uniform("impatient") < 0.35,
        novice=uniform("novice") < 0.25,
        raciness=0.35 + 0.65 * uniform("raciness"),
        cycle_weeks=14 + np.floor(10 * uniform("cycle weeks")).astype(np.int64),
        cycle_offset=np.floor(24 * uniform("cycle offset")).astype(np.int64),
        long_day=np.searchsorted([0.04, 0.34], uniform("long day")) + 4,
        cross_share=np.maximum(uniform("cross") - 0.4, 0),
        favourite_cross=np.searchsorted([0.45, 0.58, 0.83], uniform("favourite cross")),
        parkrunner=uniform("parkrunner") < 0.25,
        habit_of_pace=0.022 * normal("habit of pace"),
        relief=np.clip(7 * np.exp(0.6 * normal("relief")), 1, 40),
        trail_share=np.where(uniform("trail") < 0.2, 0.5 * uniform("trail share"), 0.01),
        treadmill_share=np.where(uniform("treadmill") < 0.3, 0.2 * uniform("treadmill share"), 0.0),
        zone=np.minimum(np.searchsorted(zone_shares, uniform("zone")), len(ZONES) - 1),
        start_hour=np.array([6.4, 12.3, 18.1])[np.searchsorted([0.45, 0.58], uniform("start hour"))],
        has_heart_rate=uniform("has heart rate") > 0.12,
        has_max_heart_rate=uniform("has max heart rate") > 0.10,
        has_elevation=uniform("has elevation") > 0.08,
        has_splits=uniform("has splits") > 0.08,
        double_sync=uniform("double sync") < DOUBLE_SYNC_ATHLETES,
        joined=np.where(uniform("joins late") < 0.2, np.floor(120 * uniform("joined")), 0).astype(np.int64),
        break_from=np.where(years_off, 250 + np.floor(1200 * uniform("break from")), 2**40).astype(np.int64),
        break_days=365 + np.floor(600 * uniform("break days")).astype(np.int64),
    )


# ------------------------------------------------------------------------------------------------------------ plan


class _Calendar:
    """The simulated days, in whole weeks from a Monday on; day 0 is that Monday."""

    def __init__(self, first_day: date, last_day: date) -> None:
        self.first_day = first_day
        monday = monday_of(first_day)
        self.weeks = (last_day - monday).days // 7 + 1
        self.skipped = (first_day - monday).days
        self.days = (last_day - first_day).days + 1
        self.first_ordinal = monday.toordinal()
        self.ordinals = np.arange(self.first_ordinal, self.first_ordinal + 7 * self.weeks, dtype=np.int64)
        self.clocks = [_Clock(ZoneInfo(name), first_day, last_day) for name, _, _, _ in ZONES]

    @property
    def last(self) -> int:
        """Number of the last simulated day."""
        return self.skipped + self.days - 1

    def season(self) -> _Floats:
        """1 in July, -1 in January, a value a day."""
        return np.cos(2 * np.pi * (self.ordinals % 365.2425 - 200) / 365.2425)


@dataclass(frozen=True)
class _Plan:
    """Shape (days, athletes, 2): the day's session and, seldom, a second one. Races are in the first place only."""

    kind: NDArray[np.int8]
    race: NDArray[np.int8]
    """Position in RACE_METRES, or -1; shape (days, athletes)."""
    minutes: _Floats
    load: _Floats


def _plan(people: _People, calendar: _Calendar, draws: _Draws) -> _Plan:
    """Cycles of 14 to 23 weeks: base, build, taper, a goal race and two weeks of recovery; tune-up races on the way."""
    factor, race, building, recovering = _weeks(people, calendar, draws)
    shape = (calendar.weeks, 7, len(people.number))
    ordinals = calendar.ordinals[:, None]

    def by_day(values: np.ndarray) -> np.ndarray:
        return values.reshape(shape)

    weekday = np.arange(7)[:, None]
    preference = np.stack([draws.uniform("weekday", day) for day in range(7)])
    score = preference + 0.3 * by_day(draws.uniform("weekday noise", ordinals))
    score = np.where(weekday == people.long_day, 10.0, score)
    rank = np.argsort(np.argsort(-score, axis=1, kind="stable"), axis=1, kind="stable")

    sessions = np.maximum(people.sessions - (factor < 0.65), 2)[:, None, :]
    whim = by_day(draws.uniform("kind of session", ordinals))
    quality = np.where(
        building[:, None, :],
        np.where(whim < 0.5, INTERVAL, TEMPO),
        np.where((whim < 0.45) & ~people.novice, TEMPO, EASY),
    )
    quality = np.where(recovering[:, None, :], EASY, quality)
    kind = np.where(rank < sessions, EASY, REST)
    kind = np.where((rank == 1) & (sessions >= 3), quality, kind)
    kind = np.where((rank == 3) & (sessions >= 5) & building[:, None, :] & (whim < 0.6), TEMPO, kind)
    kind = np.where(rank == 0, LONG, kind)
    raced = race[:, None, :] >= 0
    kind = np.where((rank == 0) & raced, RACE, kind)

    cross_kind = RIDE + by_day(_cross_sport(people, draws, "cross instead", ordinals))
    swapped = (kind == EASY) & (by_day(draws.uniform("swap", ordinals)) < people.cross_share)
    kind = np.where(swapped, cross_kind, kind)
    kind = np.where((by_day(draws.uniform("skip", ordinals)) < 0.06) & (kind != RACE), REST, kind)

    weight = WEEK_WEIGHT[kind]
    week_minutes = (people.weekly_hours * 60 * factor)[:, None, :]
    # a skipped session is not made up for, hence the planned number of sessions below
    minutes = week_minutes * weight / (WEEK_WEIGHT[LONG] + 0.93 * (sessions - 1))
    stretch = np.where((kind == LONG) & (by_day(draws.uniform("long spike", ordinals)) < 0.03), 1.5, 1.0)
    minutes = minutes * stretch * np.exp(0.12 * by_day(draws.normal("minutes", ordinals)))
    minutes = np.clip(minutes, 18, np.where(kind == LONG, 200, 120))
    race_number = np.where(kind == RACE, race[:, None, :], -1)
    talent_minutes = np.stack([race_minutes(people.vdot, metres) for metres in RACE_METRES])
    race_time = talent_minutes[np.maximum(race_number, 0), np.arange(shape[2])]
    minutes = np.where(kind == RACE, race_time, np.where(kind == REST, 0, minutes))

    second = np.full(shape, REST)
    extra = by_day(draws.uniform("second session", ordinals))
    second = np.where(
        extra < 0.25 * people.cross_share, RIDE + by_day(_cross_sport(people, draws, "cross", ordinals)), second
    )
    doubles = (people.sessions == 7) & (people.weekly_hours > 6)
    second = np.where(doubles & (extra > 0.8) & ((kind == EASY) | (kind == TEMPO)), EASY, second)
    second = np.where(kind == RACE, REST, second)
    spread = np.exp(0.25 * by_day(draws.normal("second minutes", ordinals)))
    cross_minutes = CROSS_MINUTES[np.clip(second - RIDE, 0, 3)]
    second_minutes = np.where(second == REST, 0, np.where(second == EASY, 35.0, cross_minutes) * spread)

    kinds = np.stack([kind, second], axis=-1)
    all_minutes = np.stack([minutes, second_minutes], axis=-1)
    intensity = INTENSITY[kinds]
    intensity[..., 0] = np.where(kind == RACE, RACE_INTENSITY[np.maximum(race_number, 0)], intensity[..., 0])
    days = (7 * calendar.weeks, shape[2])
    return _Plan(
        kind=kinds.astype(np.int8).reshape(*days, 2),
        race=race_number.astype(np.int8).reshape(days),
        minutes=all_minutes.reshape(*days, 2),
        load=(all_minutes / 60 * intensity**2 * 100).reshape(*days, 2),
    )


def _weeks(people: _People, calendar: _Calendar, draws: _Draws) -> tuple[_Floats, _Integers, _Flags, _Flags]:
    """Shape (weeks, athletes): volume factor, race of the week (or -1), and whether it builds or recovers."""
    week = calendar.ordinals[::7, None] // 7
    cycle, place = np.divmod(week + people.cycle_offset, people.cycle_weeks)
    goal_place = people.cycle_weeks - 3
    marathon = np.clip(0.05 + 0.07 * (people.weekly_hours - 2.2), 0.02, 0.40)
    pick = draws.uniform("goal", cycle)
    goal = (pick < marathon + 0.65).astype(np.int64) + (pick < marathon + 0.33) + (pick < marathon)
    has_goal = draws.uniform("has goal", cycle) < 0.35 + 0.65 * people.raciness

    race = np.where(has_goal & (place == goal_place), goal, -1)
    tune_up = draws.uniform("tune-up", week) < 0.8 * people.raciness
    short = (draws.uniform("short tune-up", week) < 0.5).astype(np.int64)
    race = np.where(tune_up & (place == goal_place - 4), np.maximum(goal - 1, 0), race)
    race = np.where(tune_up & (place == goal_place - 8), short, race)
    parkrun = people.parkrunner & (place < goal_place - 1) & (draws.uniform("parkrun", week) < 0.12)
    race = np.where(parkrun & (race < 0), 0, race)

    ahead = goal_place - place
    factor = 0.78 + 0.40 * place / goal_place
    factor = np.where(place % 4 == 3, 0.75 * factor, factor)
    taper = np.select(
        [has_goal & (ahead == 0), has_goal & (ahead == 1) & (goal >= 2), has_goal & (ahead == 2) & (goal == 3)],
        [np.array([0.75, 0.7, 0.55, 0.4])[goal], np.where(goal == 3, 0.65, 0.8), 0.8],
        default=0.0,
    )
    factor = np.where(taper > 0, taper, factor)
    eased = np.where(has_goal, np.array([0.85, 0.8, 0.6, 0.35])[goal], 0.8)
    factor = np.where(ahead == -1, eased, np.where(ahead == -2, (1 + eased) / 2, factor))
    overreach = draws.uniform("overreach", week) < np.where(people.impatient, 0.05, 0.015)
    factor = np.where(overreach & (ahead > 1), factor * (1.35 + 0.6 * draws.uniform("overreach by", week)), factor)
    hemisphere = np.sign([amplitude for _, _, _, amplitude in ZONES])[people.zone]
    factor = factor * (1 + 0.10 * hemisphere * calendar.season()[::7, None])
    factor = factor * np.exp(0.10 * draws.normal("week", week))
    weeks_in = np.arange(calendar.weeks)[:, None] - people.joined / 7
    factor = np.where(people.novice, factor * np.clip(0.45 + 0.55 * weeks_in / 20, 0.45, 1), factor)
    return factor, race, (ahead > 0) & (place > 0.4 * goal_place), ahead < 0


def _cross_sport(people: _People, draws: _Draws, purpose: str, ordinals: _Integers) -> _Integers:
    """Ride, swim, walk, strength as 0 to 3: mostly the athlete's favourite."""
    other = np.floor(4 * draws.uniform(f"{purpose}: which", ordinals)).astype(np.int64)
    return np.where(draws.uniform(f"{purpose}: other", ordinals) < 0.3, other, people.favourite_cross)


# --------------------------------------------------------------------------------------------------------- history


@dataclass(frozen=True)
class _History:
    """What became of the plan, shape (days, athletes): state at the START of the day."""

    share: _Floats
    """Of the planned minutes: 0 when ill, injured, away or not there yet; below 1 on the way back."""
    fitness: _Floats
    fatigue: _Floats
    run_minutes: _Floats
    """Exponentially weighted minutes of running a day, 42 days."""
    longest: _Floats
    """Longest run of the past in minutes, decaying."""


def _history(people: _People, plan: _Plan, calendar: _Calendar, draws: _Draws) -> _History:
    """The one loop over days: load makes fitness and fatigue, spikes of load make injuries, injuries stop the load."""
    ordinals = calendar.ordinals[:, None]
    days, athletes = plan.race.shape
    luck, health = draws.uniform("injury", ordinals), draws.uniform("illness", ordinals)
    leisure = draws.uniform("holiday", ordinals)
    injury_days = np.clip(np.rint(np.exp(2.6 + 0.75 * draws.normal("injury days", ordinals))), 7, 150)
    illness_days = np.clip(np.rint(3 - 4 * np.log(draws.uniform("illness days", ordinals))), 3, 21)
    holiday_days = np.rint(7 + 14 * draws.uniform("holiday days", ordinals))
    hemisphere = np.sign([amplitude for _, _, _, amplitude in ZONES])[people.zone]
    illness_rate = (2.0 / 365) * (1 - 0.6 * hemisphere * calendar.season()[:, None])
    holiday_rate = 0.7 / 365
    recovery = np.where(people.impatient, 0.10, 0.035)
    caution = np.where(people.impatient, 90.0, 40.0)

    present = calendar.skipped + people.joined
    on_break = (np.arange(days)[:, None] >= present + people.break_from) & (
        np.arange(days)[:, None] < present + people.break_from + people.break_days
    )
    run_kind = (plan.kind >= EASY) & (plan.kind <= RACE)
    run_minutes_planned = (plan.minutes * run_kind).sum(axis=2)
    longest_planned = (plan.minutes * run_kind).max(axis=2)
    load_planned = plan.load.sum(axis=2)

    start = np.where(people.novice, 0.30, 0.95)
    fitness, fatigue = people.habitual_load * start, people.habitual_load * start
    run_minutes = people.weekly_hours * 60 / 7 * 0.9 * start
    longest = people.weekly_hours * 60 * 0.30 * start
    off, comeback = np.zeros(athletes), np.ones(athletes)
    share = np.zeros((days, athletes))
    states = np.zeros((4, days, athletes))
    for day in range(days):
        states[0, day], states[1, day], states[2, day], states[3, day] = fitness, fatigue, run_minutes, longest
        here = (day >= present) & ~on_break[day]
        today = np.where(here & (off <= 0), comeback, 0.0)
        share[day] = today
        load, longest_today = load_planned[day] * today, longest_planned[day] * today
        before = day < present
        fitness = np.where(before, fitness, fitness + (load - fitness) * FITNESS_RATE)
        fatigue = np.where(before, fatigue, fatigue + (load - fatigue) * FATIGUE_RATE)
        run_minutes = np.where(
            before, run_minutes, run_minutes + (run_minutes_planned[day] * today - run_minutes) * FITNESS_RATE
        )
        spike = longest_today / np.maximum(longest, 20) - 1
        longest = np.where(before, longest, np.maximum(longest * LONGEST_RUN_DECAY, longest_today))
        ratio = fatigue / np.maximum(fitness, 0.35 * people.habitual_load)
        hazard = (
            0.0005
            * people.frailty
            * np.exp(7.0 * np.clip(ratio - 1, -0.3, 0.7) + 1.0 * np.clip(spike, 0, 1))
            * (longest_today > 0)
        )
        injured = luck[day] < hazard
        ill = (health[day] < illness_rate[day]) & ~injured
        away = (leisure[day] < holiday_rate) & ~injured & ~ill
        new = here & (off <= 0) & (injured | ill | away)
        length = np.where(injured, injury_days[day], np.where(ill, illness_days[day], holiday_days[day]))
        comeback = np.where(off <= 0, np.minimum(comeback + recovery, 1), comeback)
        comeback = np.where(new, np.clip(1 - length / caution, 0.35, 0.9), comeback)
        comeback = np.where(on_break[day], 0.4, comeback)
        off = np.where(new, length, off - 1)
    return _History(share, *states)


# -------------------------------------------------------------------------------------------------------- sessions


def _sessions(people: _People, plan: _Plan, history: _History, calendar: _Calendar, draws: _Draws) -> _Rows:
    """One element a session that took place, athlete by athlete in order of days: what was run, before any device."""
    took_place = (plan.kind != REST) & (history.share > 0)[..., None]
    took_place[calendar.last + 1 :] = False
    athlete, day, place = (index.astype(np.int64) for index in np.nonzero(took_place.transpose(1, 0, 2)))
    ordinal = calendar.ordinals[day]
    counter = ordinal * _SLOTS + 3 * place

    def uniform(purpose: str) -> _Floats:
        return draws.uniform(purpose, counter, athlete)

    def normal(purpose: str) -> _Floats:
        return draws.normal(purpose, counter, athlete)

    share = history.share[day, athlete]
    kind = plan.kind[day, athlete, place].astype(np.int64)
    race = np.where(kind == RACE, plan.race[day, athlete], -1).astype(np.int64)
    scratched = (kind == RACE) & (share < 0.7)
    kind, race = np.where(scratched, EASY, kind), np.where(scratched, -1, race)
    minutes = np.where(scratched, 30.0, np.maximum(plan.minutes[day, athlete, place] * share, 12))
    runs = (kind >= EASY) & (kind <= RACE)

    habitual = 0.85 * people.habitual_load[athlete]
    years_in = (day - calendar.skipped - people.joined[athlete]) / 365.25
    experience = np.where(people.novice[athlete], 2.5 * (1 - np.exp(-years_in / 0.8)), 0)
    fresh_vdot = people.vdot[athlete] + experience - 0.1 * years_in
    fresh_vdot = fresh_vdot + people.fitness_gain[athlete] * (history.fitness[day, athlete] - habitual)
    fresh_vdot = np.clip(fresh_vdot, 24, 82)
    vdot = fresh_vdot - people.fatigue_gain[athlete] * (history.fatigue[day, athlete] - habitual)
    vdot = np.clip(vdot, 24, 82)

    _, _, means, amplitudes = zip(*ZONES, strict=True)
    zone = people.zone[athlete]
    celsius = np.array(means)[zone] + np.array(amplitudes)[zone] * calendar.season()[day]
    celsius = celsius + 3.5 * draws.normal("weather", ordinal, athlete)

    oxygen_share = VO2MAX_SHARE[kind] + people.habit_of_pace[athlete] + 0.02 * normal("pace")
    speed = speed_at(fresh_vdot * np.clip(oxygen_share, 0.5, 0.9))
    easy_speed = speed_at(fresh_vdot * VO2MAX_SHARE[EASY])
    official = RACE_METRES[np.maximum(race, 0)]
    fade = _fade(history.run_minutes[day, athlete] * 7 * easy_speed / 1000, history.longest[day, athlete], race)
    heat = np.array([0.0012, 0.0016, 0.0026, 0.0036])[np.maximum(race, 0)] * np.maximum(celsius - 12, 0)
    for_fun = np.where(uniform("for fun") < 0.06, 1.04 + 0.10 * uniform("for fun by"), 1.0)
    form_of_the_day = np.exp(0.013 * normal("form of the day"))
    raced_minutes = race_minutes(vdot, official) * (1 + fade) * (1 + heat) * for_fun * form_of_the_day
    minutes = np.where(kind == RACE, raced_minutes, minutes)
    speed = np.where(kind == RACE, official / raced_minutes, speed)
    cross = np.clip(kind - RIDE, 0, 3)
    cross_speed = CROSS_SPEED_MPS[cross] * 60 * np.exp(0.10 * normal("cross speed"))
    effort = np.where(runs, oxygen_cost(speed) / fresh_vdot, VO2MAX_SHARE[kind] + 0.04 * normal("cross effort"))
    metres = np.where(runs, speed, cross_speed) * minutes
    measured = 1 + np.clip(0.0065 + 0.0045 * normal("GPS"), -0.002, 0.03)
    metres = np.where(kind == RACE, official * measured, metres)

    on_treadmill = runs & (kind != RACE) & (uniform("treadmill") < people.treadmill_share[athlete])
    on_trail = ((kind == EASY) | (kind == LONG)) & (uniform("trail") < people.trail_share[athlete]) & ~on_treadmill
    sport = np.where(on_treadmill, VIRTUAL_RUN, np.where(on_trail, TRAIL_RUN, RUN))
    sport = np.where(runs, sport, RIDING + cross)
    metres = np.where(on_treadmill, metres * (1 + 0.03 * normal("treadmill")), metres)
    manual = (uniform("manual") < 0.015) & (kind != RACE)
    metres = np.where(manual, np.rint(metres / 500) * 500, metres)
    metres = np.where(manual & runs, np.maximum(metres, 1000), metres)
    minutes = np.where(manual, np.rint(minutes), minutes)

    return {
        "athlete": athlete,
        "day": day,
        "ordinal": ordinal,
        "slot": 3 * place,
        "piece": np.zeros_like(day),
        "pieces": np.ones_like(day),
        "kind": kind,
        "race": race,
        "sport": sport,
        "manual": manual,
        "decimetres": np.rint(metres * 10).astype(np.int64),
        "seconds": minutes * 60,
        "effort": effort,
        "fade": np.where(kind == RACE, fade, 0.0),
        "celsius": celsius,
        "start": (ordinal - UNIX_EPOCH) * 86_400
        + _seconds_of_day(
            people.start_hour[athlete],
            plan.kind[day, athlete, 0],
            place,
            draws.normal("start", ordinal, athlete),
            draws.uniform("gun", ordinal, athlete),
        ),
    }


def _fade(weekly_km: _Floats, longest_minutes: _Floats, race: _Integers) -> _Floats:
    """Share by which a race takes longer for want of endurance: all of it in a marathon, little of it in a 10 k.

    12 % for lack of volume (none from 60 km a week on) and 6 % for lack of long runs (none from 150 min on).
    """
    lack = 0.12 * np.clip(1 - weekly_km / 60, 0, 1) + 0.06 * np.clip(1 - longest_minutes / 150, 0, 1)
    return np.array([0.0, 0.06, 0.22, 1.0])[np.maximum(race, 0)] * lack


def _seconds_of_day(
    habitual_hour: _Floats, first_kind: _Integers, place: _Integers, noise: _Floats, gun: _Floats
) -> _Integers:
    """Start of the session in seconds of the local day: the habitual hour, mornings for long runs and races.

    `first_kind` and `noise` are those of the day's first session, from which the second keeps clear by 6.5 hours.
    """
    hour = np.where(first_kind == LONG, 7.8 + 0.7 * noise, habitual_hour + 0.5 * noise)
    hour = np.where(first_kind == RACE, 7.01 + 0.5 * np.floor(4 * gun), hour)
    hour = np.where(place == 1, np.where(hour < 14.5, hour + 6.5, hour - 8), hour)
    return np.rint(np.clip(hour, 4.5, 20.5) * 3600).astype(np.int64)


def _taken(rows: _Rows, index: np.ndarray) -> _Rows:
    return {name: values[index] for name, values in rows.items()}


def _in_pieces(sessions: _Rows, draws: _Draws) -> _Rows:
    """Some sessions recorded as two or three activities (warm-up, work, cool-down), each whole in itself."""
    counter = sessions["ordinal"] * _SLOTS + sessions["slot"]
    eligible = (sessions["kind"] >= EASY) & (sessions["kind"] < RACE)
    eligible &= (sessions["decimetres"] >= 60_000) & ~sessions["manual"]
    chance = draws.uniform("in pieces", counter, sessions["athlete"])
    share = DIRTY_KINDS["split_session"]
    pieces = np.where(eligible & (chance < share), np.where(chance < 0.4 * share, 3, 2), 1)
    index = np.repeat(np.arange(len(pieces)), pieces)
    rows = _taken(sessions, index)
    piece = np.arange(len(index)) - (np.cumsum(pieces) - pieces)[index]
    warm_up = (0.16 + 0.16 * draws.uniform("warm-up", counter, sessions["athlete"]))[index]
    cool_down = np.where(pieces[index] == 3, 0.20, 0.0)
    part = np.where(piece == 0, warm_up, np.where(piece == 1, 1 - warm_up - cool_down, cool_down))
    part = np.where(pieces[index] == 1, 1.0, part)
    rows["piece"], rows["pieces"], rows["slot"] = piece, pieces[index], rows["slot"] + piece
    rows["decimetres"] = np.rint(rows["decimetres"] * part).astype(np.int64)
    rows["seconds"] = rows["seconds"] * part
    return rows


# ------------------------------------------------------------------------------------------------------- recording


def _recorded(sessions: _Rows, people: _People, calendar: _Calendar, draws: _Draws) -> tuple[_Rows, _Rows]:
    """Activities and 1 km splits as the devices wrote them.

    An activity's distance and moving time are the sums over its kilometres, its heart rate their mean over time. Only
    runs and walks with a device that records splits keep them.
    """
    athlete, kind, sport, manual = (sessions[name] for name in ("athlete", "kind", "sport", "manual"))
    counter = sessions["ordinal"] * _SLOTS + sessions["slot"]
    km = _kilometres(sessions, people, counter, draws)
    of, first = km["activity"], np.nonzero(km["place"] == 0)[0]

    moving_time = np.add.reduceat(km["moving"], first)
    idle = np.rint(25 * draws.uniform("stop watch", counter, athlete) ** 4).astype(np.int64)
    elapsed_time = np.add.reduceat(km["elapsed"], first) + np.where(manual, 0, idle)
    start_utc, start_local = _starts(sessions, elapsed_time, people, calendar, counter, draws)
    hours_late = np.exp(0.8 + 0.7 * draws.normal("pipeline", counter, athlete))
    late = draws.uniform("late", counter, athlete)
    hours_late = hours_late + np.where(late < 0.03, 24 + 480 * late / 0.03, 0)

    mean_beats = np.rint(np.add.reduceat(km["beats"] * km["moving"], first) / moving_time)
    peak_beats = np.maximum.reduceat(km["peak"], first)
    artefact = draws.uniform("heart-rate artefact", counter, athlete)
    peak_beats = np.where(artefact < 0.004, np.rint(2000 + 250 * artefact / 0.004), peak_beats)
    has_beats = people.has_heart_rate[athlete] & ~manual
    has_beats &= draws.uniform("sensor forgotten", counter, athlete) > 0.03
    has_peak = has_beats & people.has_max_heart_rate[athlete]

    on_foot_outdoors = (sport == RUN) | (sport == TRAIL_RUN) | (sport == WALKING)
    has_climb = (on_foot_outdoors | (sport == RIDING)) & people.has_elevation[athlete] & ~manual
    # what rises and falls again within a kilometre
    rolling = np.where(sport == RIDING, 0.8, np.where(on_foot_outdoors & (km["count"][first] > 1), 0.25, 0))
    rolling = rolling * people.relief[athlete] * sessions["decimetres"] / 10_000
    climb = np.add.reduceat(np.maximum(km["rise"], 0), first) + np.rint(rolling * 10)

    whole_run = (sport <= TRAIL_RUN) & (kind != RACE) & ~manual
    whole_run &= (sessions["pieces"] == 1) & (sessions["decimetres"] >= 20_000)
    activities: _Rows = {
        "athlete": athlete,
        "position": np.arange(len(athlete)),
        "ordinal": sessions["ordinal"],
        "slot": sessions["slot"],
        "pieces": sessions["pieces"],
        "whole_run": whole_run,
        "id": people.number[athlete] * _ROWS_PER_ATHLETE + sessions["day"] * _SLOTS + sessions["slot"],
        "start": start_utc,
        "start_local": start_local,
        "sport": sport,
        "spelling": np.zeros_like(sport),
        "workout_type": _workout_type(kind, sport <= VIRTUAL_RUN, counter, athlete, draws),
        "metres": sessions["decimetres"] / 10.0,
        "moving": moving_time.astype(np.float64),
        "elapsed": elapsed_time.astype(np.float64),
        "climb": np.where(has_climb, climb / 10.0, np.nan),
        "heart_rate": np.where(has_beats, mean_beats / 10.0, np.nan),
        "peak": np.where(has_peak, np.rint(peak_beats / 10.0), np.nan),
        "manual": manual,
        "trainer": (sport == VIRTUAL_RUN) | (sport == STRENGTH_TRAINING),
        "ingested": start_utc + elapsed_time + np.rint(hours_late * 3600).astype(np.int64),
        "no_athlete": np.zeros(len(athlete), dtype=bool),
        "no_id": np.zeros(len(athlete), dtype=bool),
        "no_date": np.zeros(len(athlete), dtype=np.int64),
    }
    splits: _Rows = {
        "activity": of,
        "split": km["place"] + 1,
        "metres": km["length"] / 10.0,
        "moving": km["moving"].astype(np.float64),
        "elapsed": km["elapsed"].astype(np.float64),
        "rise": np.where(has_climb[of], km["rise"] / 10.0, np.nan),
        "heart_rate": np.where(has_beats[of], km["beats"] / 10.0, np.nan),
        "peak": np.where(has_peak[of], np.rint(km["peak"] / 10.0), np.nan),
    }
    kept = (on_foot_outdoors | (sport == VIRTUAL_RUN)) & people.has_splits[athlete] & ~manual
    return activities, _taken(splits, np.nonzero(kept[of])[0])


def _kilometres(sessions: _Rows, people: _People, counter: _Integers, draws: _Draws) -> _Rows:
    """The stretches of each session: kilometres on foot, else one. Integers: decimetres, seconds, tenths of a beat."""
    kind, sport, manual = sessions["kind"], sessions["sport"], sessions["manual"]
    in_kilometres = ((sport <= VIRTUAL_RUN) | (sport == WALKING)) & ~manual
    count = np.where(in_kilometres, np.maximum(-(-sessions["decimetres"] // 10_000), 1), 1)
    first = np.cumsum(count) - count
    of = np.repeat(np.arange(len(count)), count)
    place = np.arange(len(of)) - first[of]
    count = count[of]
    last, several = place == count - 1, count > 1
    kind_of, athlete = kind[of], sessions["athlete"][of]
    address = counter[of] * 1024 + place
    length = np.where(last, sessions["decimetres"][of] - 10_000 * place, 10_000)

    relief = people.relief[sessions["athlete"]]
    relief = relief * np.exp(0.35 * draws.normal("relief of the day", counter, sessions["athlete"]))
    relief = relief * np.where(sport == TRAIL_RUN, 3.0, np.where(kind == RACE, 0.6, 1.0))
    relief = np.where(sport == VIRTUAL_RUN, 0, relief)[of] * several
    rise = np.rint(draws.normal("rise", address, athlete) * relief * length / 1000).astype(np.int64)
    rise = np.clip(rise, -length // 5, length // 5)
    # most routes end where they began
    rise = rise - np.where(relief > 0, np.add.reduceat(rise, first)[of] // count, 0)
    slope = slope_factor(np.clip(rise / np.maximum(length, 1), -0.25, 0.25))

    progress = (place + 0.5) / count
    rhythm = np.where(place == 0, 1.025, 1.0)
    repeats = np.where((place == 0) | last, 1.10, np.where(place % 2 == 1, 0.91, 1.06))
    rhythm = np.where((kind_of == INTERVAL) & (count > 3), repeats, rhythm)
    late = np.clip((progress - 0.55) / 0.45, 0, 1) - 0.225
    rhythm = np.where(kind_of == RACE, 1 + 1.2 * (sessions["fade"][of] + 0.01) * late, rhythm)
    rhythm = np.where(several, rhythm, 1.0)
    uneven = 1 + np.where(several, 0.018 * draws.normal("uneven", address, athlete), 0)
    part = np.where(several, length / np.maximum(sessions["decimetres"][of], 1), 1.0)
    moving = np.maximum(np.rint(sessions["seconds"][of] * part * slope * rhythm * uneven), 1).astype(np.int64)
    stop = draws.uniform("stop", address, athlete)
    stops = (stop < 0.12) & (kind_of != RACE) & ~manual[of]

    beats = _heart_rate(sessions, people, of, progress, rhythm, counter, address, draws)
    peak = beats + 10 * np.rint(2 + 5 * draws.uniform("split peak", address, athlete)).astype(np.int64)
    return {
        "activity": of,
        "place": place,
        "count": count,
        "length": length,
        "rise": rise,
        "moving": moving,
        "elapsed": moving + np.where(stops, 5 + np.rint(stop * 600), 0).astype(np.int64),
        "beats": beats,
        "peak": np.minimum(peak, 10 * people.hr_max[athlete].astype(np.int64)),
    }


def _heart_rate(
    sessions: _Rows,
    people: _People,
    of: _Integers,
    progress: _Floats,
    rhythm: _Floats,
    counter: _Integers,
    address: _Integers,
    draws: _Draws,
) -> _Integers:
    """Tenths of a beat a minute of each stretch: the share of VO2max as the share of heart-rate reserve (Swain 1997).

    A slow start, cardiac drift of about 1 % in ten minutes, heat, and the noise of day and sensor.
    """
    athlete = sessions["athlete"]
    day_effect = 2.5 * draws.normal("heart rate of the day", counter, athlete)
    day_effect = day_effect + 0.35 * np.maximum(sessions["celsius"] - 15, 0)
    minutes_in = progress * sessions["seconds"][of] / 60
    effort = sessions["effort"][of] * (1 - 0.5 * (rhythm - 1)) - 0.07 * np.exp(-minutes_in / 4)
    drift = 0.0009 * minutes_in * (sessions["effort"][of] < 0.9)
    lowest, highest = people.hr_rest[athlete][of], people.hr_max[athlete][of]
    bpm = lowest + (highest - lowest) * np.clip(effort + drift, 0.2, 0.985)
    bpm = bpm + day_effect[of] + 1.5 * draws.normal("sensor", address, athlete[of])
    return np.rint(10 * np.clip(bpm, lowest + 5, highest)).astype(np.int64)


def _starts(
    sessions: _Rows,
    elapsed_time: _Integers,
    people: _People,
    calendar: _Calendar,
    counter: _Integers,
    draws: _Draws,
) -> tuple[_Integers, _Integers]:
    """Starts in UTC and on the athlete's clock, seconds since 1970; the pieces of a session one after the other."""
    start = sessions["start"].copy()
    for piece in (1, 2):
        follows = np.nonzero(sessions["piece"] == piece)[0]
        pause = 45 + 240 * draws.uniform("pause", counter[follows], sessions["athlete"][follows])
        start[follows] = start[follows - 1] + elapsed_time[follows - 1] + np.rint(pause).astype(np.int64)
    utc, zones = np.zeros_like(start), people.zone[sessions["athlete"]]
    for zone, clock in enumerate(calendar.clocks):
        there = zones == zone
        utc[there] = clock.utc(start[there])
        start[there] = clock.local(utc[there])
    return utc, start


def _workout_type(kind: _Integers, runs: _Flags, counter: _Integers, athlete: _Integers, draws: _Draws) -> _Integers:
    """1 for 6 of 7 races, 2 and 3 for some long runs and workouts; else 0 or unknown (-1)."""
    chance = draws.uniform("workout type", counter, athlete)
    marked = np.select(
        [(kind == RACE) & (chance < 0.86), (kind == LONG) & (chance < 0.25), (kind >= TEMPO) & (chance < 0.35)],
        [1, 2, 3],
        default=np.where(chance < 0.6, 0, -1),
    )
    marked = np.where((kind == RACE) & (marked == 3), 0, marked)
    return np.where(runs, marked, -1)


class _Clock:
    """A time zone's offsets over the simulated days, so that whole columns change between UTC and local time."""

    def __init__(self, zone: ZoneInfo, first_day: date, last_day: date) -> None:
        def offset(moment: datetime) -> int:
            shift = moment.astimezone(zone).utcoffset()
            assert shift is not None
            return int(shift.total_seconds())

        moment = datetime(first_day.year, first_day.month, first_day.day, tzinfo=timezone.utc) - timedelta(days=14)
        end = datetime(last_day.year, last_day.month, last_day.day, tzinfo=timezone.utc) + timedelta(days=14)
        self._changes, self._offsets = [-(2**62)], [offset(moment)]
        while moment < end:
            following = moment + timedelta(days=7)
            if offset(following) != self._offsets[-1]:
                before, after = moment, following
                while after - before > timedelta(seconds=1):
                    middle = before + timedelta(seconds=(after - before) // timedelta(seconds=1) // 2)
                    before, after = (middle, after) if offset(middle) == self._offsets[-1] else (before, middle)
                self._changes.append(int(after.timestamp()))
                self._offsets.append(offset(after))
            moment = following

    def local(self, utc: _Integers) -> _Integers:
        """Seconds on the zone's clock for UTC seconds since 1970."""
        return utc + np.array(self._offsets)[np.searchsorted(self._changes, utc, side="right") - 1]

    def utc(self, local: _Integers) -> _Integers:
        """The inverse of `local`; a time that a change of clocks skips or repeats goes to either side of it."""
        guess = local - (self.local(local) - local)
        return local - (self.local(guess) - guess)


# ------------------------------------------------------------------------------------------------------------ dirt


def _corrupted(activities: _Rows, splits: _Rows, draws: _Draws) -> tuple[_Rows, _Rows]:
    """Some eligible runs with one of CORRUPTIONS each; heart-rate faults reach the splits, lost keys lose them."""
    rows, athlete = dict(activities), activities["athlete"]
    counter = rows["ordinal"] * _SLOTS + rows["slot"]
    eligible = rows["whole_run"]
    fault = np.searchsorted(np.cumsum(list(CORRUPTIONS.values())), draws.uniform("fault", counter, athlete))
    nth = np.cumsum(eligible) - 1
    first_of_athlete = np.searchsorted(athlete, athlete, side="left")
    nth = nth - np.where(first_of_athlete > 0, nth[first_of_athlete - 1] + 1, 0)
    certain = np.floor(8 + 40 * draws.uniform("certain fault")).astype(np.int64)[athlete]
    fault = np.where(nth == certain, draws.numbers[athlete] % len(CORRUPTIONS), fault)
    fault = np.where(eligible, fault, len(CORRUPTIONS))
    size = draws.uniform("size of the fault", counter, athlete)
    of_kind = {name: fault == number for number, name in enumerate(CORRUPTIONS)}

    metres, moving, elapsed = rows["metres"], rows["moving"], rows["elapsed"]
    moving = np.where(of_kind["negative_moving_time"], -np.rint(10 + 6000 * size), moving)
    still = of_kind["zero_duration"]
    moving, elapsed = np.where(still, 0, moving), np.where(still, 0, elapsed)
    moving = np.where(of_kind["absurd_moving_time"], np.rint(10 ** (6 + 1.9 * size)), moving)
    days_long = of_kind["over_48_hours"]
    long_seconds = np.rint(3600 * (48.5 + 100 * size**2))
    moving, elapsed = np.where(days_long, long_seconds - 60, moving), np.where(days_long, long_seconds, elapsed)
    mps = 6.3 * 4**size
    metres = np.where(of_kind["too_fast"], np.rint(moving * mps * 10) / 10, metres)
    metres = np.where(of_kind["absurd_distance"], np.rint(400_000 + 1_230_000 * size), metres)
    metres = np.where(of_kind["no_distance"], np.where(size < 0.2, -1.0, 0.0), metres)
    rows["metres"], rows["moving"], rows["elapsed"] = metres, moving, elapsed

    beats = np.where(of_kind["heart_rate_above_230"], np.rint(2310 + 200 * size) / 10, rows["heart_rate"])
    beats = np.where(of_kind["zero_heart_rate"], 0.0, beats)
    peak = np.where(of_kind["heart_rate_above_230"], np.ceil(beats), rows["peak"])
    peak = np.where(of_kind["zero_heart_rate"], 0.0, peak)
    wrong_beats = of_kind["heart_rate_above_230"] | of_kind["zero_heart_rate"]
    rows["heart_rate"], rows["peak"] = beats, peak
    of = splits["activity"]
    splits = {
        **splits,
        "heart_rate": np.where(wrong_beats[of], beats[of], splits["heart_rate"]),
        "peak": np.where(wrong_beats[of], peak[of], splits["peak"]),
    }

    rows["no_athlete"], rows["no_id"] = of_kind["missing_athlete_id"], of_kind["missing_id"]
    # 1: the local start is missing, 2: both starts
    rows["no_date"] = np.where(of_kind["missing_date"], 1 + (size < 0.5), 0)
    to_epoch = (DEVICE_EPOCH.toordinal() - rows["ordinal"]) * 86_400
    shift = np.where(of_kind["before_2000"], to_epoch, 0)
    shift = np.where(of_kind["future_date"], GPS_WEEK_ROLLOVER_DAYS * 86_400, shift)
    rows["start"], rows["start_local"] = rows["start"] + shift, rows["start_local"] + shift

    lost = rows["no_athlete"] | rows["no_id"] | of_kind["no_distance"] | still
    return rows, _taken(splits, np.nonzero(~lost[of])[0])


def _with_duplicates(activities: _Rows, people: _People, draws: _Draws) -> _Rows:
    """Some activities a second time, as another service had them: up to 55 s off, distance within 8 %, own spelling.

    Of three pairs two lack heart rate on one side: the copy (1 in 2) or the original (1 in 6, splits untouched).
    """
    athlete, counter = activities["athlete"], activities["ordinal"] * _SLOTS + activities["slot"]
    share = np.where(people.double_sync[athlete], DOUBLE_SYNC_SHARE, DUPLICATE_SHARE)
    eligible = (activities["pieces"] == 1) & ~activities["manual"] & (activities["metres"] > 0)
    eligible &= ~(activities["no_athlete"] | activities["no_id"] | (activities["no_date"] > 0))
    chosen = np.nonzero(eligible & (draws.uniform("duplicate", counter, athlete) < share))[0]
    copies, athlete, counter = _taken(activities, chosen), athlete[chosen], counter[chosen]

    def uniform(purpose: str) -> _Floats:
        return draws.uniform(f"duplicate {purpose}", counter, athlete)

    offset = np.rint(1 + 54 * uniform("offset")).astype(np.int64)
    offset = np.where(uniform("sign") < 0.5, -offset, offset)
    copies["start"], copies["start_local"] = copies["start"] + offset, copies["start_local"] + offset
    copies["ingested"] = copies["ingested"] + np.rint(7200 * uniform("ingested")).astype(np.int64)
    copies["id"], copies["slot"] = copies["id"] + _SLOTS // 2, copies["slot"] + _SLOTS // 2
    scale = 1 + np.clip(0.02 * draws.normal("duplicate distance", counter, athlete), -0.08, 0.08)
    copies["metres"] = np.rint(copies["metres"] * scale * 10) / 10
    copies["moving"] = np.rint(copies["moving"] * (0.98 + 0.04 * uniform("moving")))
    copies["position"] = np.full(len(chosen), -1)
    copies["spelling"] = np.ones_like(copies["spelling"])
    copies["workout_type"] = np.full_like(copies["workout_type"], -1)
    copies["climb"] = np.where(uniform("climb") < 0.5, np.nan, copies["climb"])
    lacking = uniform("heart rate")
    copies["heart_rate"] = np.where(lacking < 0.5, np.nan, copies["heart_rate"])
    copies["peak"] = np.where(lacking < 0.5, np.nan, copies["peak"])
    bare = chosen[lacking > 5 / 6]
    originals = {**activities, "heart_rate": activities["heart_rate"].copy(), "peak": activities["peak"].copy()}
    originals["heart_rate"][bare] = originals["peak"][bare] = np.nan
    rows = {name: np.concatenate([originals[name], copies[name]]) for name in originals}
    return _taken(rows, np.lexsort((rows["id"], rows["athlete"])))


def _respell(activities: _Rows, draws: _Draws) -> None:
    """Sports as other services spell them."""
    counter = activities["ordinal"] * _SLOTS + activities["slot"]
    chance = draws.uniform("spelling", counter, activities["athlete"])
    share = 0.032
    activities["spelling"] = np.where(chance < share, np.where(chance < 0.6 * share, 1, 2), activities["spelling"])


# ---------------------------------------------------------------------------------------------------- Arrow tables


def _names(numbers: _Integers, of: _Integers, missing: _Flags | None = None) -> pa.Array:
    names = pa.array([f"sim_{number:06d}" for number in numbers.tolist()], pa.string())
    return names.take(pa.array(of, mask=missing))


def _nullable(values: _Floats) -> pa.Array:
    return pa.array(values, mask=np.isnan(values))


def _moments(seconds: _Integers, utc: bool, missing: _Flags | None = None) -> pa.Array:
    return pa.array(seconds * 1_000_000, mask=missing).cast(pa.timestamp("us", "UTC" if utc else None))


def _texts(choices: list[str] | list[str | None], of: _Integers) -> pa.Array:
    return pa.array(choices, pa.string()).take(pa.array(of))


def _activity_table(rows: _Rows, people: _People) -> pa.Table:
    spellings = [
        spelling for sport, others in zip(SPORTS, OTHER_SPELLINGS, strict=True) for spelling in (sport, *others)
    ]
    columns = {
        "athlete_id": _names(people.number, rows["athlete"], rows["no_athlete"]),
        "id": pa.array(rows["id"], mask=rows["no_id"]),
        "start_date": _moments(rows["start"], utc=True, missing=rows["no_date"] == 2),
        "start_date_local": _moments(rows["start_local"], utc=False, missing=rows["no_date"] > 0),
        "timezone": _texts([name for name, _, _, _ in ZONES], people.zone[rows["athlete"]]),
        "sport_type": _texts(spellings, 3 * rows["sport"] + rows["spelling"]),
        "workout_type": pa.array(rows["workout_type"].astype(np.int32), mask=rows["workout_type"] < 0),
        "distance": pa.array(rows["metres"]),
        "moving_time": pa.array(rows["moving"]),
        "elapsed_time": pa.array(rows["elapsed"]),
        "total_elevation_gain": _nullable(rows["climb"]),
        "average_heartrate": _nullable(rows["heart_rate"]),
        "max_heartrate": _nullable(rows["peak"]),
        "manual": pa.array(rows["manual"]),
        "trainer": pa.array(rows["trainer"]),
        "source": pa.repeat(SOURCE, len(rows["id"])),
        "silver_ingestion_timestamp": _moments(rows["ingested"], utc=True),
    }
    return pa.table(columns, schema=arrow_schema(tables.STRAVA_ACTIVITIES))


def _split_table(splits: _Rows, activities: _Rows, people: _People) -> pa.Table:
    # copies of other services have no splits
    of = np.nonzero(activities["position"] >= 0)[0][splits["activity"]]
    columns = {
        "athlete_id": _names(people.number, activities["athlete"][of]),
        "activity_id": pa.array(activities["id"][of]),
        "split_id": pa.array(splits["split"]),
        "distance": pa.array(splits["metres"]),
        "moving_time": pa.array(splits["moving"]),
        "elapsed_time": pa.array(splits["elapsed"]),
        "elevation_difference": _nullable(splits["rise"]),
        "average_heartrate": _nullable(splits["heart_rate"]),
        "max_heartrate": _nullable(splits["peak"]),
        "silver_ingestion_timestamp": _moments(activities["ingested"][of], utc=True),
    }
    return pa.table(columns, schema=arrow_schema(tables.STRAVA_SUB_ACTIVITY))


def _athlete_table(people: _People, calendar: _Calendar, draws: _Draws) -> pa.Table:
    """What each athlete says: most a year of birth, some a maximum heart rate, few a threshold; 5 % nothing at all."""
    stated = {name: draws.uniform(f"states {name}") for name in ("row", "sex", "birth", "max", "rest", "threshold")}
    there = np.nonzero(stated["row"] > 0.05)[0]
    threshold = 1000 / speed_at(0.88 * people.vdot) * (1 + 0.02 * draws.normal("threshold"))
    threshold = np.rint(threshold * 100) / 100
    columns = {
        "athlete_id": _names(people.number, there),
        "sex": _texts(["M", "F", None], np.where(stated["sex"] < 0.9, people.woman, 2).astype(np.int64)[there]),
        "birth_year": pa.array(
            (calendar.first_day.year - people.age[there]).astype(np.int32), mask=stated["birth"][there] > 0.85
        ),
        "max_hr_bpm": pa.array(people.hr_max[there], mask=stated["max"][there] > 0.55),
        "resting_hr_bpm": pa.array(people.hr_rest[there], mask=stated["rest"][there] > 0.5),
        "threshold_pace_min_km": pa.array(threshold[there], mask=stated["threshold"][there] > 0.15),
    }
    return pa.table(columns, schema=arrow_schema(tables.STRAVA_ATHLETE))
