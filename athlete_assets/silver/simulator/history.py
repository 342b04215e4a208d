"""What became of the plan: illness, injuries that follow load spikes, holidays, years off."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from athlete_assets.silver.simulator.calendar import ZONES, Calendar
from athlete_assets.silver.simulator.draws import Draws, Floats
from athlete_assets.silver.simulator.people import People
from athlete_assets.silver.simulator.plan import EASY, RACE, Plan

FITNESS_RATE, FATIGUE_RATE = 1 - np.exp(-1 / 42), 1 - np.exp(-1 / 7)
"""`sequences.exponential_weight` has another last bit, and by it sessions that are held at exactly 0.9 of VO2max would
fall on the other side of the limit up to which heart rate drifts: another cohort from the same seed."""
LONGEST_RUN_DECAY = 0.985
"""A day; the longest run of the past counts for half after 46 days."""


@dataclass(frozen=True)
class History:
    """What became of the plan, shape (days, athletes): state at the START of the day."""

    share: Floats
    """Of the planned minutes: 0 when ill, injured, away or not there yet; below 1 on the way back."""
    fitness: Floats
    fatigue: Floats
    run_minutes: Floats
    """Exponentially weighted minutes of running a day, 42 days."""
    longest: Floats
    """Longest run of the past in minutes, decaying."""


def carried_out(people: People, plan: Plan, calendar: Calendar, draws: Draws) -> History:
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
    off: Floats = np.zeros(athletes)
    comeback: Floats = np.ones(athletes)
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
    return History(share, *states)
