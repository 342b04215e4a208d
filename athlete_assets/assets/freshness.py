"""When a table is stale.

Silver is stale when no row was new or changed for days, as the silver sensor reported it: what counts is content, not
that some job ran. Everything made from it is stale when it was not written around the daily schedule. Such a policy
sees only the newest materialisation, so that a backfill of last year makes a table look fresh that lacks yesterday:
therefore `yesterday_is_there` looks at the partitions themselves.
"""

# No `from __future__ import annotations`: Dagster reads the annotation of a check's context as it stands.

from collections.abc import Collection, Iterator
from datetime import date, timedelta
from functools import cache

import dagster as dg

from athlete_assets import tables
from athlete_assets.days import ONE_DAY, monday_of
from athlete_assets.settings import Settings
from athlete_assets.tables import Cadence, Table
from athlete_assets.words import counted

YESTERDAY = "yesterday_is_there"
FINISHED = "writes_finished"
ENDED_BADLY = (dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED)
FRESHNESS_JOB = "yesterday"
DAY_MINUTES = 24 * 60


def freshness_policy(table: Table, settings: Settings) -> dg.FreshnessPolicy | None:
    """Silver warns after ATHLETE_SILVER_WARN_DAYS and fails after twice that; the others fail at the deadline, which
    is Monday's for the labels: they are written with the models.

    None for what athletes say, which may stay as it is for ever, and for what need not exist.
    """
    if table in (*tables.OF_ATHLETES, *tables.OPTIONAL):
        return None
    if table.cadence is Cadence.EXTERNAL:
        warn = timedelta(days=settings.silver_warn_days)
        return dg.FreshnessPolicy.time_window(fail_window=2 * warn, warn_window=warn)
    return (
        training_policy(settings) if table.cadence is Cadence.TRAINING else _policy(deadline_cron(settings), settings)
    )


def training_policy(settings: Settings) -> dg.FreshnessPolicy:
    """Fails where Monday's training is not done by its deadline."""
    return _policy(training_cron(settings, minutes_later=60 * settings.deadline_h), settings)


def _policy(cron: str, settings: Settings) -> dg.FreshnessPolicy:
    return _cron_policy(cron, timedelta(hours=settings.deadline_h, minutes=30), settings.time_zone)


@cache
def _cron_policy(cron: str, earliest: timedelta, time_zone: str) -> dg.FreshnessPolicy:
    """Made once for all tables that have it: Dagster walks through 1,000 of a cron's moments to make one, which was
    half of what building the definitions took."""
    return dg.FreshnessPolicy.cron(deadline_cron=cron, lower_bound_delta=earliest, timezone=time_zone)


def deadline_cron(settings: Settings, minutes_later: int = 0) -> str:
    """Cron of the moment by which the daily schedule's tables have to be written."""
    at = (_minute_of_day(settings) + settings.deadline_h * 60 + minutes_later) % DAY_MINUTES
    return f"{at % 60} {at // 60} * * *"


def training_cron(settings: Settings, minutes_later: int = 0) -> str:
    """Cron of the weekly training: an hour after Monday's daily schedule, be that on Tuesday."""
    at = _minute_of_day(settings) + 60 + minutes_later
    return f"{at % 60} {at // 60 % 24} * * {1 + at // DAY_MINUTES}"


def _minute_of_day(settings: Settings) -> int:
    hour, minute = (int(part) for part in settings.schedule_at.split(":"))
    return hour * 60 + minute


def unfinished_write_checks(settings: Settings) -> dg.AssetChecksDefinition:
    """`writes_finished` on each table with partitions.

    A step that is killed may have written one of its tables and not the other, such as the rejects and not the
    features. Until its days are written again they do not fit together, and no check of a step says so.
    """
    specs = [
        dg.AssetCheckSpec(
            FINISHED,
            asset=list(table.path),
            description="No day needs a repair: the newest attempt to write it did not fail, and was not killed.",
        )
        for table in (*tables.BY_DAY, *tables.WEEKLY_TABLES)
    ]

    @dg.multi_asset_check(name=FINISHED, specs=specs, can_subset=True)
    def writes_finished(context: dg.AssetCheckExecutionContext) -> Iterator[dg.AssetCheckResult]:
        for key in sorted(context.selected_asset_check_keys):
            days = _unfinished(context.instance, key.asset_key)
            yield dg.AssetCheckResult(
                asset_key=key.asset_key,
                check_name=FINISHED,
                passed=not days,
                severity=dg.AssetCheckSeverity.ERROR,
                description=f"{counted(len(days), 'partition')} left unfinished by a run that failed, was cancelled or "
                f"was killed, {days[0]} to {days[-1]}: materialise them again."
                if days
                else "No partition waits for a repair.",
                metadata={"partitions": len(days)},
            )

    return writes_finished


def _unfinished(instance: dg.DagsterInstance, asset: dg.AssetKey) -> list[str]:
    """The partitions whose newest attempt ended without a materialisation."""
    storage = instance.event_log_storage
    attempts = storage.get_latest_asset_partition_materialization_attempts_without_materializations(asset)
    runs = {run_id: instance.get_run_by_id(run_id) for run_id, _ in attempts.values()}
    failed = {run_id for run_id, run in runs.items() if run is not None and run.status in ENDED_BADLY}
    return sorted(partition for partition, (run_id, _) in attempts.items() if run_id in failed)


def freshness_checks(settings: Settings) -> dg.AssetChecksDefinition:
    """`yesterday_is_there` on each table with partitions."""
    specs = [
        dg.AssetCheckSpec(
            YESTERDAY, asset=list(table.path), description="Yesterday's partition (last day's week) was materialised."
        )
        for table in (*tables.BY_DAY, *tables.WEEKLY_TABLES)
    ]

    @dg.multi_asset_check(name=YESTERDAY, specs=specs, can_subset=True)
    def yesterday_is_there(context: dg.AssetCheckExecutionContext) -> Iterator[dg.AssetCheckResult]:
        yesterday = settings.today - ONE_DAY
        weekly = {dg.AssetKey(list(table.path)) for table in tables.WEEKLY_TABLES}
        for key in sorted(context.selected_asset_check_keys):
            wanted = monday_of(yesterday) if key.asset_key in weekly else yesterday
            yield _presence(key.asset_key, wanted, context.instance.get_materialized_partitions(key.asset_key))

    return yesterday_is_there


def _presence(asset: dg.AssetKey, wanted: date, there: Collection[str]) -> dg.AssetCheckResult:
    """Passes, too, for a table that begins after the wanted day: the first predictions have no yesterday."""
    newest, oldest = max(there, default="none"), min(there, default="none")
    present = str(wanted) in there
    begins_later = bool(there) and oldest > str(wanted)
    if present or begins_later:
        sentence = f"The partition {wanted} was materialised." if present else f"The table begins later, with {oldest}."
    else:
        sentence = f"The partition {wanted} was never materialised; the newest is {newest}."
    return dg.AssetCheckResult(
        asset_key=asset,
        check_name=YESTERDAY,
        passed=present or begins_later,
        severity=dg.AssetCheckSeverity.ERROR,
        description=sentence,
        metadata={"wanted": str(wanted), "newest": newest, "partitions": len(there)},
    )
