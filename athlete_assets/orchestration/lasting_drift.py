"""How long the scored values have been drifting, by the verdicts of the `drift` check."""

from __future__ import annotations

from datetime import date

import dagster as dg
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus

from athlete_assets import tables
from athlete_assets.assets.builder import asset_key
from athlete_assets.days import Days
from athlete_assets.monitoring.drift import DAY, DRIFT

VERDICTS = 500
"""The newest evaluations that are read: a day may have several."""
VERDICT = (AssetCheckExecutionRecordStatus.SUCCEEDED, AssetCheckExecutionRecordStatus.FAILED)


def drifting(instance: dg.DagsterInstance) -> Days | None:
    """The days from the first to the newest scored one that all had drift, each by its newest verdict; None where the
    newest has none. Days that were not scored neither end nor begin such a time.
    """
    key = dg.AssetCheckKey(asset_key(tables.PREDICTIONS), DRIFT.name)
    by_day: dict[date, bool] = {}
    # newest first
    for record in instance.event_log_storage.get_asset_check_execution_history(key, VERDICTS):
        told = record.evaluation.metadata.get(DAY) if record.evaluation and record.status in VERDICT else None
        if told is not None:
            by_day.setdefault(date.fromisoformat(str(told.value)), record.status == VERDICT[0])
    newest_first = sorted(by_day, reverse=True)
    passed = next((number for number, day in enumerate(newest_first) if by_day[day]), len(newest_first))
    return Days(newest_first[passed - 1], newest_first[0]) if passed else None
