"""The runs that sensors ask for: which tables together, over which days."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import dagster as dg

from athlete_assets import tables
from athlete_assets.assets.builder import asset_key
from athlete_assets.assets.models import TIME_ESTIMATOR
from athlete_assets.days import ONE_DAY, Days, merged
from athlete_assets.orchestration.run_tags import ATHLETES, CAUSE, RANGE_END, RANGE_START
from athlete_assets.settings import Settings

WINDOWS_A_TICK = 8
"""Runs that one look may ask for; more windows than that are joined where the gap between them is smallest."""
FEW_ATHLETES = 100
"""Athletes up to which a run may be about some alone: of more, all are computed."""
LONGEST_TAG = 2000
"""Characters of their ids: PostgreSQL keeps tags in an index, whose entries hold no more than 2,700 bytes."""
GOLD_TABLES = (*tables.SCORED_TABLES, *tables.SUMMARIES)


@dataclass(frozen=True)
class Work:
    """Days to be computed again, of some athletes or of all (None)."""

    windows: list[Days]
    athletes: tuple[str, ...] | None = None


def shared(affected: Mapping[str | None, list[Days]]) -> list[Work]:
    """The affected days by athlete (None: rows without one), as work that touches few who have nothing to do with it.

    A few athletes are work of their own. Among many, those whose days begin earliest are, as far as the days of the
    others are then fewer: who brings an old run must not have the whole cohort computed since then.
    """
    named = sorted((min(days), athlete) for athlete, days in affected.items() if athlete is not None)
    everybody = merged(window for days in affected.values() for window in days)
    if None not in affected and (few := tag_of(athlete for _, athlete in named)):
        return [Work(everybody, few)] if everybody else []
    best = Work(everybody)
    late: tuple[str, ...] = ()
    for count in range(1, min(FEW_ATHLETES, len(named)) + 1):
        first = tuple(athlete for _, athlete in named[:count])
        rest = merged(window for athlete, days in affected.items() if athlete not in first for window in days)
        if _days_in(rest) < _days_in(best.windows) and tag_of(first):
            best, late = Work(rest), first
    if not late:
        return [best] if everybody else []
    return [Work(merged(window for athlete in late for window in affected[athlete]), late), best]


def tag_of(athletes: Iterable[str]) -> tuple[str, ...] | None:
    """The athletes in order, where they are few enough for a run's tag; None where all are to be computed."""
    listed = tuple(sorted(athletes))
    if not listed or len(listed) > FEW_ATHLETES or len(json.dumps(listed)) > LONGEST_TAG:
        return None
    return listed


def requests(
    affected: Mapping[str | None, list[Days]], cause: str, instance: dg.DagsterInstance, settings: Settings
) -> list[dg.RunRequest]:
    """One run of the daily tables for each window; idempotent run keys.

    Where one window reaches today, the tables that look back are in the same run, and where it is today alone, gold
    too: a run is a process and an engine to start. What a run leaves out follows when it has succeeded
    (`follow_sensor`), so that nobody's state is continued from one that is still to be mended.
    """
    pieces: list[tuple[Days, Sequence[str] | None]] = [
        (piece, athletes)
        for work in shared(affected)
        for window in _few(work.windows)
        for piece, athletes in _covered(window, work.athletes, instance)
    ]
    made = []
    for window, athletes in pieces:
        selected = list(tables.DAILY_TABLES)
        if len(pieces) == 1 and window.last == settings.today:
            selected += tables.STATE_TABLES
            if len(window) == 1:
                selected += gold_tables(instance)
                athletes = of_written_summaries(athletes, instance)
        made.append(run_request(selected, window, cause, "daily", athletes))
    return made


def _covered(
    window: Days, athletes: tuple[str, ...] | None, instance: dg.DagsterInstance
) -> list[tuple[Days, tuple[str, ...] | None]]:
    """The window in pieces: of these athletes up to the first day that was never written, of all from there on."""
    if athletes is None:
        return [(window, None)]
    missing = first_missing((*tables.DAILY_TABLES, *tables.STATE_TABLES), window, instance)
    if missing is None:
        return [(window, athletes)]
    before = [(Days(window.first, missing - ONE_DAY), athletes)] if missing > window.first else []
    return [*before, (Days(missing, window.last), None)]


def first_missing(of: Iterable[tables.Table], window: Days, instance: dg.DagsterInstance) -> date | None:
    """The first day of the window that one of the tables was never written for.

    A run of some athletes marks its days as written, too; so it may be about days alone that were written for all.
    """
    written = set.intersection(*(instance.get_materialized_partitions(asset_key(table)) for table in of))
    return next((day for day in window if str(day) not in written), None)


def run_request(
    selected: Iterable[tables.Table],
    window: Days | None,
    cause: str,
    what: str,
    athletes: Sequence[str] | None = None,
) -> dg.RunRequest:
    """One run of the tables over the window's partitions (whole tables without one), of some athletes or of all."""
    tags = {CAUSE: cause}
    if window is not None:
        tags |= {RANGE_START: str(window.first), RANGE_END: str(window.last)}
    key = what if window is None else f"{what} {window}"
    if athletes is not None:
        tags[ATHLETES] = json.dumps(list(athletes))
        key += f" of {hashlib.sha256(tags[ATHLETES].encode()).hexdigest()[:12]}"
    return dg.RunRequest(
        run_key=f"{key} after {cause}", asset_selection=[asset_key(table) for table in selected], tags=tags
    )


def plan_request(cause: str, athletes: Iterable[str], instance: dg.DagsterInstance) -> dg.RunRequest:
    """One run of what follows from changed plans alone: the projection, and the tables beside it."""
    return run_request(tables.SUMMARIES, None, cause, "plan", of_written_summaries(tag_of(athletes), instance))


def of_written_summaries(athletes: Sequence[str] | None, instance: dg.DagsterInstance) -> Sequence[str] | None:
    """The athletes, where the summaries were written of all before; else everybody."""
    events = (instance.get_latest_materialization_event(asset_key(table)) for table in tables.SUMMARIES)
    return athletes if all(events) else None


def gold_tables(instance: dg.DagsterInstance) -> list[tables.Table]:
    """The gold tables that can be written now: predictions wait for the first model."""
    if instance.get_latest_materialization_event(TIME_ESTIMATOR) is None:
        return list(tables.SUMMARIES)
    return list(GOLD_TABLES)


def _days_in(windows: Iterable[Days]) -> int:
    return sum(map(len, windows))


def _few(windows: Sequence[Days]) -> list[Days]:
    """At most WINDOWS_A_TICK windows that hold all the days."""
    few = merged(windows)
    while len(few) > WINDOWS_A_TICK:
        _, at = min(((few[n + 1].first - few[n].last).days, n) for n in range(len(few) - 1))
        few[at : at + 2] = [Days(few[at].first, few[at + 1].last)]
    return few
