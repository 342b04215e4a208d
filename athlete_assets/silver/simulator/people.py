"""Who the athletes are: the traits that never change."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from athlete_assets.formulas import training_load
from athlete_assets.silver.simulator.calendar import ZONES
from athlete_assets.silver.simulator.draws import Draws, Flags, Floats, Integers

DOUBLE_SYNC_ATHLETES = 0.04
"""Share of athletes with two services that sync to each other."""


@dataclass(frozen=True)
class People:
    """The traits of a batch of athletes, one element an athlete."""

    number: Integers
    woman: Flags
    age: Floats
    vdot: Floats
    hr_max: Floats
    hr_rest: Floats
    weekly_hours: Floats
    sessions: Integers
    habitual_load: Floats
    fitness_gain: Floats
    fatigue_gain: Floats
    frailty: Floats
    impatient: Flags
    novice: Flags
    raciness: Floats
    cycle_weeks: Integers
    cycle_offset: Integers
    long_day: Integers
    cross_share: Floats
    favourite_cross: Integers
    parkrunner: Flags
    habit_of_pace: Floats
    relief: Floats
    trail_share: Floats
    treadmill_share: Floats
    zone: Integers
    start_hour: Floats
    has_heart_rate: Flags
    has_max_heart_rate: Flags
    has_elevation: Flags
    has_splits: Flags
    double_sync: Flags
    joined: Integers
    break_from: Integers
    break_days: Integers


def people_of(draws: Draws) -> People:
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
    return People(
        number=draws.numbers,
        woman=woman,
        age=np.floor(age),
        vdot=vdot,
        hr_max=np.clip(np.rint(training_load.hr_max_by_age(age) + 8 * normal("hr max")), 150, 215),
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
