"""For what a run or a step waits, in one sentence: who holds it, and since when."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

import dagster as dg

from athlete_assets.words import counted

IN_PROGRESS = [dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING]
UNFINISHED = [dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.NOT_STARTED, *IN_PROGRESS]


def waits_for_pool(instance: dg.DagsterInstance, pool: str) -> str:
    """Such as `waits for pool athlete_daily_features, held by run 1a2b3c4d since 06:00 UTC`."""
    info = instance.event_log_storage.get_concurrency_info(pool)
    holders = {slot.run_id for slot in info.claimed_slots}
    return f"waits for pool {pool}" + (f", held by {_runs(instance, holders)}" if holders else "")


def waits_for(instance: dg.DagsterInstance, run: dg.DagsterRun) -> str | None:
    """For what a queued run waits; None for one that is not queued, or that is next."""
    if run.status != dg.DagsterRunStatus.QUEUED:
        return None
    log = instance.event_log_storage
    wanted = run.run_op_concurrency.root_key_counts if run.run_op_concurrency else {}
    for pool in wanted:
        if log.get_concurrency_info(pool).claimed_slots:
            return waits_for_pool(instance, pool)
    running = [record.dagster_run.run_id for record in instance.get_run_records(dg.RunsFilter(statuses=IN_PROGRESS))]
    most = instance.get_concurrency_config().run_queue_config
    if most and 0 <= most.max_concurrent_runs <= len(running):
        return (
            f"waits for its turn: no more than {counted(len(running), 'run')} at once; now {_runs(instance, running)}"
        )
    return None


def described(instance: dg.DagsterInstance, run: dg.DagsterRun) -> str:
    """The run, in which state it is since when, and for what it waits."""
    sentence = f"run {run.run_id[:8]} ({run.status.value.lower()} since {clock(since(instance, run.run_id))})"
    reason = waits_for(instance, run)
    return f"{sentence}, which {reason}" if reason else sentence


def since(instance: dg.DagsterInstance, run_id: str) -> float:
    """When the run started, or was created where it did not start yet (seconds since 1970); 0 for one that is gone."""
    record = instance.get_run_record_by_id(run_id)
    if record is None:
        return 0.0
    return record.start_time or record.create_timestamp.timestamp()


def clock(at: float) -> str:
    """A moment as people read it, in this machine's zone."""
    return f"{datetime.fromtimestamp(at).astimezone():%Y-%m-%d %H:%M %Z}"


def _runs(instance: dg.DagsterInstance, run_ids: Iterable[str]) -> str:
    return " and ".join(f"run {run_id[:8]} since {clock(since(instance, run_id))}" for run_id in sorted(run_ids))
