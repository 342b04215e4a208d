"""What an athlete means to do: cycles of base, build, taper, race and recovery, day by day."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from athlete_assets.formulas import race_times, training_load
from athlete_assets.silver.simulator.calendar import ZONES, Calendar
from athlete_assets.silver.simulator.draws import Draws, Flags, Floats, Integers
from athlete_assets.silver.simulator.people import People

REST, EASY, LONG, TEMPO, INTERVAL, RACE, RIDE, SWIM, WALK, STRENGTH = range(10)
"""What a session is meant to be."""
INTENSITY = np.array([0, 0.79, 0.80, 0.90, 0.90, 1.0, 0.62, 0.62, 0.40, 0.45])
"""Intensity factor by kind: load is hours x intensity^2 x 100, 100 being one hour at threshold."""
RACE_INTENSITY = np.array([1.07, 1.03, 0.98, 0.90])
WEEK_WEIGHT = np.array([0, 0.9, 1.75, 1.0, 0.95, 0, 0.9, 0.6, 0.7, 0.6])
"""Share of the week's minutes by kind, relative to each other."""

RACE_METRES = np.array([5000.0, 10_000.0, 21_097.5, 42_195.0])

CROSS_MINUTES = np.array([75.0, 40.0, 50.0, 40.0])
"""Ride, swim, walk and strength, in this order."""


@dataclass(frozen=True)
class Plan:
    """Shape (days, athletes, 2): the day's session and, seldom, a second one. Races are in the first place only."""

    kind: NDArray[np.int8]
    race: NDArray[np.int8]
    """Position in RACE_METRES, or -1; shape (days, athletes)."""
    minutes: Floats
    load: Floats


def planned(people: People, calendar: Calendar, draws: Draws) -> Plan:
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
    talent_minutes = race_times.race_minutes(people.vdot, RACE_METRES[:, None])
    race_time = talent_minutes[np.maximum(race_number, 0), np.arange(shape[2])]
    minutes = np.where(kind == RACE, race_time, np.where(kind == REST, 0, minutes))

    second: Integers = np.full(shape, REST)
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
    return Plan(
        kind=kinds.astype(np.int8).reshape(*days, 2),
        race=race_number.astype(np.int8).reshape(days),
        minutes=all_minutes.reshape(*days, 2),
        load=training_load.running_tss(all_minutes / 60, intensity).reshape(*days, 2),
    )


def _weeks(people: People, calendar: Calendar, draws: Draws) -> tuple[Floats, Integers, Flags, Flags]:
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


def _cross_sport(people: People, draws: Draws, purpose: str, ordinals: Integers) -> Integers:
    """Ride, swim, walk, strength as 0 to 3: mostly the athlete's favourite."""
    other = np.floor(4 * draws.uniform(f"{purpose}: which", ordinals)).astype(np.int64)
    return np.where(draws.uniform(f"{purpose}: other", ordinals) < 0.3, other, people.favourite_cross)
