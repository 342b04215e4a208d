"""Removing what Dagster keeps of old runs, and nothing that says how things stand.

Dagster keeps runs and events for ever, and deletes a run only with all its events: with the materialisations, too, that
say which partitions are there. Here these stay: of each asset and partition the newest event of each kind, of each
check the newest result, cursors, and the runs that a partition's last failure points to. What goes is the rest of
runs that ended before a moment: their records, logs and superseded events, results of checks that newer ones replaced,
and old ticks.

This leans on the tables of Dagster's SQL storages (SQLite, PostgreSQL), which the package pins to one exact version;
`test_maintenance.py` compares what Dagster answers before and after.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import dagster as dg
from dagster._core.events import ASSET_EVENTS, DagsterEventType
from dagster._core.instance.utils import RUNLESS_RUN_ID
from dagster._core.storage.dagster_run import FINISHED_STATUSES
from dagster._core.storage.event_log.schema import (
    AssetCheckExecutionsTable,
    AssetEventTagsTable,
    SqlEventLogStorageTable,
)
from dagster._core.storage.event_log.sql_event_log import SqlEventLogStorage
from dagster._core.storage.event_log.sqlite.sqlite_event_log import SqliteEventLogStorage
from sqlalchemy import func, select
from sqlalchemy.engine import Connection

AT_ONCE = 500
"""Ids in one statement; SQLite takes up to 999 parameters in some of its builds."""
PLANNED = DagsterEventType.ASSET_MATERIALIZATION_PLANNED.value
WRITTEN = DagsterEventType.ASSET_MATERIALIZATION.value
Item = TypeVar("Item")


@dataclass(frozen=True)
class RemovedHistory:
    """How much was removed."""

    runs: int
    events: int
    check_results: int


def remove_old_runs(instance: dg.DagsterInstance, ended_before: datetime) -> RemovedHistory:
    """Removes finished runs that were last updated before the moment, as the file's text says."""
    storage = instance.event_log_storage
    if not isinstance(storage, SqlEventLogStorage):
        return RemovedHistory(0, 0, 0)
    old = _old_runs(instance, ended_before)
    with storage.index_connection() as connection:
        state, needed = _state_events(connection)
        needed |= _runs_of_planned_checks(connection)
        gone = [run_id for run_id in old if run_id not in needed]
        checks = _remove_check_results(connection, gone, ended_before)
        events = _remove_events(connection, gone, state, ended_before)
    for run_id in gone:
        instance.run_storage.delete_run(run_id)
        if isinstance(storage, SqliteEventLogStorage):
            _remove_shard(Path(storage.path_for_shard(run_id)))
        instance.compute_log_manager.delete_logs(prefix=[run_id])
    return RemovedHistory(len(gone), events, checks)


def remove_old_ticks(instance: dg.DagsterInstance, before: datetime) -> None:
    """Removes the ticks of all sensors and schedules from before the moment; their cursors stay."""
    for state in instance.all_instigator_state():
        instance.purge_ticks(state.instigator_origin_id, state.selector_id, before.timestamp())


def compact_databases(files: Iterable[Path]) -> list[str]:
    """Gives the free pages of SQLite files back to the disk; the names of files that were in use, and stayed."""
    import sqlite3

    in_use = []
    for file in files:
        try:
            with closing(sqlite3.connect(file, timeout=30, isolation_level=None)) as connection:
                connection.execute("VACUUM")
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except sqlite3.OperationalError:
            in_use.append(file.name)
    return in_use


# ------------------------------------------------------------------------------------------------------------ state


def _old_runs(instance: dg.DagsterInstance, ended_before: datetime) -> list[str]:
    records = instance.get_run_records(dg.RunsFilter(statuses=FINISHED_STATUSES, updated_before=ended_before))
    return [record.dagster_run.run_id for record in records]


def _state_events(connection: Connection) -> tuple[set[int], set[str]]:
    """The ids of the events that say how things stand, and the runs because of which a partition counts as failed.

    State is the newest event of each kind, asset and partition. A plan is, too, where no materialisation came after
    it: whether the partition counts as failed, or as being written, its run's status says. The newest plan of an asset
    stays whatever came after it, and so does the newest event of all: its id must not be given again.
    """
    events = SqlEventLogStorageTable.c
    kinds = [kind.value for kind in ASSET_EVENTS]
    newest = (
        select(func.max(events.id), events.asset_key, events.partition, events.dagster_event_type)
        .where(events.asset_key.is_not(None), events.dagster_event_type.in_(kinds))
        .group_by(events.asset_key, events.partition, events.dagster_event_type)
    )
    found = {(asset, partition, kind): id for id, asset, partition, kind in connection.execute(newest)}
    planned = {key: id for key, id in found.items() if key[2] == PLANNED}
    open_plans = {id for (asset, part, _), id in planned.items() if id > found.get((asset, part, WRITTEN), -1)}
    last_plans: dict[str, int] = {}
    for (asset, _, _), id in planned.items():
        last_plans[asset] = max(id, last_plans.get(asset, -1))
    last = connection.execute(select(func.max(events.id))).scalar()
    state = {id for (_, _, kind), id in found.items() if kind != PLANNED}
    state |= open_plans | set(last_plans.values()) | ({last} if last is not None else set())
    runs = {
        str(run_id)
        for ids in _batches(sorted(open_plans))
        for (run_id,) in connection.execute(select(events.run_id).where(events.id.in_(ids)).distinct())
    }
    return state, runs


def _newest_check_results(connection: Connection) -> set[int]:
    """The newest row of each check, and its newest result for each partition.

    A plan for one partition is no state unless it is the newest row: of a check that the run evaluates once Dagster
    plans each day of a range, stores one result without a day, and leaves the plans as they are.
    """
    checks = AssetCheckExecutionsTable.c
    newest = select(func.max(checks.id)).group_by(checks.asset_key, checks.check_name)
    results = (
        select(func.max(checks.id))
        .where(checks.execution_status != "PLANNED")
        .group_by(checks.asset_key, checks.check_name, checks.partition)
    )
    return {row[0] for query in (newest, results) for row in connection.execute(query)}


def _runs_of_planned_checks(connection: Connection) -> set[str]:
    """The runs by whose status Dagster tells whether a check's newest evaluation is still to come, or failed."""
    checks = AssetCheckExecutionsTable.c
    return {
        str(run_id)
        for ids in _batches(sorted(_newest_check_results(connection)))
        for (run_id,) in connection.execute(
            select(checks.run_id).where(checks.id.in_(ids), checks.execution_status == "PLANNED")
        )
    }


# ---------------------------------------------------------------------------------------------------------- removing


def _remove_events(connection: Connection, runs: Sequence[str], state: Collection[int], before: datetime) -> int:
    """Removes the events of the runs, and old ones of no run (what sensors report), less those of the state."""
    events = SqlEventLogStorageTable.c
    found = [
        id
        for some in _batches(runs)
        for (id,) in connection.execute(select(events.id).where(events.run_id.in_(some)))
        if id not in state
    ]
    moment = before.replace(tzinfo=None)  # stored naive, in UTC
    runless = select(events.id).where(events.run_id == RUNLESS_RUN_ID, events.timestamp < moment)
    found += [id for (id,) in connection.execute(runless) if id not in state]
    for ids in _batches(found):
        connection.execute(SqlEventLogStorageTable.delete().where(events.id.in_(ids)))
        connection.execute(AssetEventTagsTable.delete().where(AssetEventTagsTable.c.event_id.in_(ids)))
    return len(found)


def _remove_check_results(connection: Connection, runs: Sequence[str], before: datetime) -> int:
    checks = AssetCheckExecutionsTable.c
    newest = _newest_check_results(connection)
    found = [
        id
        for some in _batches(runs)
        for (id,) in connection.execute(select(checks.id).where(checks.run_id.in_(some)))
        if id not in newest
    ]
    moment = before.replace(tzinfo=None)
    runless = select(checks.id).where(checks.run_id == RUNLESS_RUN_ID, checks.create_timestamp < moment)
    found += [id for (id,) in connection.execute(runless) if id not in newest]
    for ids in _batches(found):
        connection.execute(AssetCheckExecutionsTable.delete().where(checks.id.in_(ids)))
    return len(found)


def _remove_shard(file: Path) -> None:
    """The SQLite file in which one run's log lies, with what stands beside it."""
    for suffix in ("", "-wal", "-shm"):
        Path(f"{file}{suffix}").unlink(missing_ok=True)


def _batches(items: Sequence[Item]) -> Iterator[Sequence[Any]]:
    for start in range(0, len(items), AT_ONCE):
        yield items[start : start + AT_ONCE]
