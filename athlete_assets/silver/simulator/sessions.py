"""What was run, before any device: the sessions that took place, with their distance, time and effort."""

from __future__ import annotations

from datetime import date

import numpy as np

from athlete_assets.formulas import race_times
from athlete_assets.silver.simulator.calendar import ZONES, Calendar
from athlete_assets.silver.simulator.draws import Draws, Floats, Integers, Rows
from athlete_assets.silver.simulator.history import History
from athlete_assets.silver.simulator.people import People
from athlete_assets.silver.simulator.plan import EASY, LONG, RACE, RACE_METRES, REST, RIDE, Plan

VO2MAX_SHARE = np.array([0, 0.665, 0.68, 0.79, 0.78, 0, 0.55, 0.55, 0.30, 0.38])
"""Mean share of VO2max by kind; races follow from their duration, other sports by their share of heart-rate reserve."""
RUN, TRAIL_RUN, VIRTUAL_RUN, RIDING, SWIMMING, WALKING, STRENGTH_TRAINING = range(7)
SPORTS = ("Run", "TrailRun", "VirtualRun", "Ride", "Swim", "Walk", "WeightTraining")
CROSS_SPEED_MPS = np.array([7.2, 0.75, 1.5, 0.0])
UNIX_EPOCH = date(1970, 1, 1).toordinal()
SLOTS = 16
"""Activities that an athlete may have on a day."""


def sessions_of(people: People, plan: Plan, history: History, calendar: Calendar, draws: Draws) -> Rows:
    """One element a session that took place, athlete by athlete in order of days: what was run, before any device."""
    took_place = (plan.kind != REST) & (history.share > 0)[..., None]
    took_place[calendar.last + 1 :] = False
    athlete, day, place = (index.astype(np.int64) for index in np.nonzero(took_place.transpose(1, 0, 2)))
    ordinal = calendar.ordinals[day]
    counter = ordinal * SLOTS + 3 * place

    def uniform(purpose: str) -> Floats:
        return draws.uniform(purpose, counter, athlete)

    def normal(purpose: str) -> Floats:
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
    speed = race_times.speed_at_oxygen_cost(fresh_vdot * np.clip(oxygen_share, 0.5, 0.9))
    easy_speed = race_times.speed_at_oxygen_cost(fresh_vdot * VO2MAX_SHARE[EASY])
    official = RACE_METRES[np.maximum(race, 0)]
    fade = _fade(history.run_minutes[day, athlete] * 7 * easy_speed / 1000, history.longest[day, athlete], race)
    heat = np.array([0.0012, 0.0016, 0.0026, 0.0036])[np.maximum(race, 0)] * np.maximum(celsius - 12, 0)
    for_fun = np.where(uniform("for fun") < 0.06, 1.04 + 0.10 * uniform("for fun by"), 1.0)
    form_of_the_day = np.exp(0.013 * normal("form of the day"))
    raced_minutes = race_times.race_minutes(vdot, official) * (1 + fade) * (1 + heat) * for_fun * form_of_the_day
    minutes = np.where(kind == RACE, raced_minutes, minutes)
    speed = np.where(kind == RACE, official / raced_minutes, speed)
    cross = np.clip(kind - RIDE, 0, 3)
    cross_speed = CROSS_SPEED_MPS[cross] * 60 * np.exp(0.10 * normal("cross speed"))
    effort = np.where(
        runs, race_times.oxygen_cost(speed) / fresh_vdot, VO2MAX_SHARE[kind] + 0.04 * normal("cross effort")
    )
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


def _fade(weekly_km: Floats, longest_minutes: Floats, race: Integers) -> Floats:
    """Share by which a race takes longer for want of endurance: all of it in a marathon, little of it in a 10 k.

    12 % for lack of volume (none from 60 km a week on) and 6 % for lack of long runs (none from 150 min on).
    """
    lack = 0.12 * np.clip(1 - weekly_km / 60, 0, 1) + 0.06 * np.clip(1 - longest_minutes / 150, 0, 1)
    return np.array([0.0, 0.06, 0.22, 1.0])[np.maximum(race, 0)] * lack


def _seconds_of_day(
    habitual_hour: Floats, first_kind: Integers, place: Integers, noise: Floats, gun: Floats
) -> Integers:
    """Start of the session in seconds of the local day: the habitual hour, mornings for long runs and races.

    `first_kind` and `noise` are those of the day's first session, from which the second keeps clear by 6.5 hours.
    """
    hour = np.where(first_kind == LONG, 7.8 + 0.7 * noise, habitual_hour + 0.5 * noise)
    hour = np.where(first_kind == RACE, 7.01 + 0.5 * np.floor(4 * gun), hour)
    hour = np.where(place == 1, np.where(hour < 14.5, hour + 6.5, hour - 8), hour)
    return np.rint(np.clip(hour, 4.5, 20.5) * 3600).astype(np.int64)
