"""A cohort, batch by batch: people, plan, history, sessions, recordings, dirt."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import pyarrow as pa

from athlete_assets.errors import SettingsError
from athlete_assets.silver.simulator.calendar import Calendar
from athlete_assets.silver.simulator.dirt import corrupted, in_pieces, respell, with_duplicates
from athlete_assets.silver.simulator.draws import Draws
from athlete_assets.silver.simulator.history import carried_out
from athlete_assets.silver.simulator.people import people_of
from athlete_assets.silver.simulator.plan import planned
from athlete_assets.silver.simulator.recording import recorded
from athlete_assets.silver.simulator.sessions import sessions_of
from athlete_assets.silver.simulator.silver_tables import activity_table, athlete_table, split_table

MAX_ATHLETES = 999_999
BATCH_ATHLETE_YEARS = 1500
"""Longer histories come in smaller batches, so that memory stays bounded (about 1.2 GB)."""


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
    long. Without `dirty`, none of dirt.DIRTY_KINDS occurs; gaps, illness, late rows and missing sensors remain.
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
    return _batches(athletes, seed, Calendar(first_day, last_day), batch_athletes, dirty)


def _batches(athletes: int, seed: int, calendar: Calendar, batch_athletes: int, dirty: bool) -> Iterator[SilverBatch]:
    size = max(1, min(batch_athletes, round(BATCH_ATHLETE_YEARS * 365.25 / calendar.days)))
    for first in range(1, athletes + 1, size):
        numbers = np.arange(first, min(first + size, athletes + 1), dtype=np.int64)
        yield _batch(Draws(seed, numbers), calendar, dirty)


def _batch(draws: Draws, calendar: Calendar, dirty: bool) -> SilverBatch:
    people = people_of(draws)
    plan = planned(people, calendar, draws)
    history = carried_out(people, plan, calendar, draws)
    sessions = sessions_of(people, plan, history, calendar, draws)
    if dirty:
        sessions = in_pieces(sessions, draws)
    activities, splits = recorded(sessions, people, calendar, draws)
    if dirty:
        activities, splits = corrupted(activities, splits, draws)
        activities = with_duplicates(activities, people, draws)
        respell(activities, draws)
    return SilverBatch(
        activity_table(activities, people),
        split_table(splits, activities, people),
        athlete_table(people, calendar, draws),
    )
