"""The run tags, and the runs that sensors ask for: which tables together, over which days."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import dagster as dg

from athlete_assets import tables
from athlete_assets.assets.builder import asset_key
from athlete_assets.assets.models import TIME_ESTIMATOR
from athlete_assets.days import Days, merged
from athlete_assets.settings import Settings

RANGE_START, RANGE_END = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"
CAUSE = "athlete_assets/cause"
"""Run tag: what asked for the run."""
WINDOWS_A_TICK = 8
"""Runs that one look may ask for; more windows than that are joined where the gap between them is smallest."""
DAILY_TABLES = (tables.ACTIVITY, tables.REJECTS, tables.DAILY)
"""Tables of which a window of days is enough."""
STATE_TABLES = (tables.ROLLING, tables.PERFORMANCE)
"""Tables that look back: what changes on one day reaches all later ones."""
SCORED_TABLES = (tables.PREDICTIONS, tables.INFERENCE_LOG, tables.PREDICTION_OUTCOMES)
GOLD_TABLES = (*SCORED_TABLES, tables.METRICS_SUMMARY)


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
        selected = list(DAILY_TABLES)
        if len(few) == 1 and window.last == settings.today:
            selected += STATE_TABLES
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


def gold_tables(instance: dg.DagsterInstance) -> list[tables.Table]:
    """The gold tables that can be written now: predictions wait for the first model."""
    if instance.get_latest_materialization_event(TIME_ESTIMATOR) is None:
        return [tables.METRICS_SUMMARY]
    return list(GOLD_TABLES)


def _few(windows: Sequence[Days]) -> list[Days]:
    """At most WINDOWS_A_TICK windows that hold all the days."""
    few = merged(windows)
    while len(few) > WINDOWS_A_TICK:
        _, at = min(((few[n + 1].first - few[n].last).days, n) for n in range(len(few) - 1))
        few[at : at + 2] = [Days(few[at].first, few[at + 1].last)]
    return few
