"""The calendar of the assets: daily partitions by local day, weekly from Monday, both from ATHLETE_START_DATE."""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from functools import lru_cache
from typing import Any

import dagster as dg

from athlete_assets.days import Days
from athlete_assets.settings import Settings

ATHLETES = "athlete_assets/athletes"
"""Tag of a run that is about some athletes alone: their ids as a JSON array. Without it a run is about all."""


class _DailyPartitions(dg.DailyPartitionsDefinition):
    """The stock definition, equal to it and with its names, whose keys are found once for as long as the day lasts.

    Dagster asks for all of them at each input of each step, and finds each midnight anew by cron: 60 ms of seven years.
    """

    def get_partition_keys(
        self, current_time: datetime | None = None, dynamic_partitions_store: Any = None
    ) -> Sequence[str]:
        with dg.partition_loading_context(current_time, dynamic_partitions_store):
            return list(_keys_up_to(self.get_last_partition_key(), self))


@lru_cache(maxsize=16)
def _keys_up_to(last: str | None, calendar: dg.DailyPartitionsDefinition) -> Sequence[str]:
    return dg.DailyPartitionsDefinition.get_partition_keys(calendar)


def daily(settings: Settings) -> dg.DailyPartitionsDefinition:
    """One partition a local day, today included: an athlete looks at today's run today."""
    return _DailyPartitions(
        start_date=settings.start_date.isoformat(),
        end_date=_end(settings.as_of, days=1),
        timezone=settings.time_zone,
        end_offset=0 if settings.as_of else 1,
    )


def weekly(settings: Settings) -> dg.WeeklyPartitionsDefinition:
    """One partition a week from Monday, the running week included."""
    return dg.WeeklyPartitionsDefinition(
        start_date=settings.start_date.isoformat(),
        end_date=_end(settings.as_of and settings.as_of + timedelta(days=6 - settings.as_of.weekday()), days=1),
        timezone=settings.time_zone,
        day_offset=1,
        end_offset=0 if settings.as_of else 1,
    )


def whole(calendar: dg.TimeWindowPartitionsDefinition) -> tuple[str, str]:
    """The first and the last partition."""
    first, last = calendar.get_first_partition_key(), calendar.get_last_partition_key()
    assert first is not None
    assert last is not None
    return first, last


def days_of_its_week() -> dg.TimeWindowPartitionMapping:
    """A weekly partition rests on the daily ones of its week, of which the running week's are still to come: without
    `allow_nonexistent_upstream_partitions` Dagster refuses a backfill that holds it."""
    with warnings.catch_warnings():
        # that parameter is beta: the one such feature here, so that another one is heard of
        warnings.simplefilter("ignore", dg.BetaWarning)
        return dg.TimeWindowPartitionMapping(allow_nonexistent_upstream_partitions=True)


def days_of(context: dg.AssetExecutionContext) -> Days:
    """The days of the run's partitions: one, or a contiguous range. Whole weeks for a weekly asset."""
    keys = context.partition_key_range
    first, last = date.fromisoformat(keys.start), date.fromisoformat(keys.end)
    if isinstance(context.assets_def.partitions_def, dg.WeeklyPartitionsDefinition):
        last += timedelta(days=6)
    return Days(first, last)


def athletes_of(run: dg.DagsterRun) -> list[str] | None:
    """The athletes that the run is about; None for all."""
    told = run.tags.get(ATHLETES)
    return json.loads(told) if told is not None else None


def _end(last: date | None, days: int) -> str | None:
    return (last + timedelta(days=days)).isoformat() if last else None
