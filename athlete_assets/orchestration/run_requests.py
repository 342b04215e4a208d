"""The runs that sensors ask for: which tables together, over which days."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import dagster as dg

from athlete_assets import tables
from athlete_assets.assets.builder import asset_key
from athlete_assets.assets.models import TIME_ESTIMATOR
from athlete_assets.days import Days, merged
from athlete_assets.orchestration.run_tags import CAUSE, RANGE_END, RANGE_START
from athlete_assets.settings import Settings

WINDOWS_A_TICK = 8
"""Runs that one look may ask for; more windows than that are joined where the gap between them is smallest."""
GOLD_TABLES = (*tables.SCORED_TABLES, *tables.SUMMARIES)


def requests(
    windows: Sequence[Days], cause: str, instance: dg.DagsterInstance, settings: Settings
) -> list[dg.RunRequest]:
    """One run of the daily tables for each window; idempotent run keys.

    Where one window reaches today, the tables that look back are in the same run, and where it is today alone, gold
    too: a run is a process and an engine to start. What a run leaves out follows when it has succeeded
    (`follow_sensor`).
    """
    few = _few(windows)
    made = []
    for window in few:
        selected = list(tables.DAILY_TABLES)
        if len(few) == 1 and window.last == settings.today:
            selected += tables.STATE_TABLES
            if len(window) == 1:
                selected += gold_tables(instance)
        made.append(run_request(selected, window, cause, "daily"))
    return made


def run_request(selected: Iterable[tables.Table], window: Days, cause: str, what: str) -> dg.RunRequest:
    """One run of the tables over the window's partitions."""
    return dg.RunRequest(
        run_key=f"{what} {window} after {cause}",
        asset_selection=[asset_key(table) for table in selected],
        tags={RANGE_START: str(window.first), RANGE_END: str(window.last), CAUSE: cause},
    )


def plan_request(cause: str) -> dg.RunRequest:
    """One run of what follows from a changed plan alone: the projection, and the tables beside it."""
    return dg.RunRequest(
        run_key=f"plan after {cause}",
        asset_selection=[asset_key(table) for table in tables.SUMMARIES],
        tags={CAUSE: cause},
    )


def gold_tables(instance: dg.DagsterInstance) -> list[tables.Table]:
    """The gold tables that can be written now: predictions wait for the first model."""
    if instance.get_latest_materialization_event(TIME_ESTIMATOR) is None:
        return list(tables.SUMMARIES)
    return list(GOLD_TABLES)


def _few(windows: Sequence[Days]) -> list[Days]:
    """At most WINDOWS_A_TICK windows that hold all the days."""
    few = merged(windows)
    while len(few) > WINDOWS_A_TICK:
        _, at = min(((few[n + 1].first - few[n].last).days, n) for n in range(len(few) - 1))
        few[at : at + 2] = [Days(few[at].first, few[at + 1].last)]
    return few
