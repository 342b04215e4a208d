"""Dagster's SQLite event log, with one transaction a shard for a batch of asset events instead of two an event.

A run over a range of partitions plans and reports each partition of each asset by an event of its own. The stock
storage spends about 5 ms of CPU on each (a new engine, two commits, five statements), so that three assets over
1,100 days cost 50 s of bookkeeping. Dagster hands such events over in batches once DAGSTER_EVENT_BATCH_SIZE is set,
but its SQLite storage stores a batch event by event.

Events that differ in their partition and time alone are serialised once, with theirs put in: 3.9 to 2.9 CPU s of three
assets over 1,100 days (benchmarks/event_log.py).

This leans on internals of Dagster (`_connect`, `_event_to_row`, `_tags_for_asset_event`,
`_get_asset_entry_values`), which the package pins to one exact version; `test_event_log.py` compares every reader's
answer with the stock storage's. The files are the stock ones: either class can open what the other wrote.
"""

from __future__ import annotations

import json
import os
import sqlite3
import time
import weakref
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from itertools import groupby, takewhile
from pathlib import Path
from typing import Any
from uuid import uuid4

import sqlalchemy
from dagster import AssetKey
from dagster._core.definitions.asset_checks.asset_check_evaluation import AssetCheckEvaluationPlanned
from dagster._core.events import AssetMaterializationPlannedData, DagsterEventType, StepMaterializationData
from dagster._core.events.log import EventLogEntry
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus
from dagster._core.storage.event_log.schema import (
    AssetCheckExecutionsTable,
    AssetEventTagsTable,
    AssetKeyTable,
    SqlEventLogStorageTable,
)
from dagster._core.storage.event_log.sqlite.sqlite_event_log import INDEX_SHARD_NAME, SqliteEventLogStorage
from dagster._serdes import ConfigurableClassData, serialize_value
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.pool import QueuePool

from athlete_assets.deployments.instance import batch_events
from athlete_assets.store import new_databases

BATCHED_EVENTS = frozenset(
    {
        DagsterEventType.ASSET_MATERIALIZATION,
        DagsterEventType.ASSET_MATERIALIZATION_PLANNED,
        DagsterEventType.ASSET_OBSERVATION,
        DagsterEventType.ASSET_CHECK_EVALUATION_PLANNED,
    }
)


STATUS_SECONDS = 60.0
"""A run whose status does not follow its event within this time has lost it, and holds nobody up."""
LOCKED_MS = 60_000
"""How long a process waits for a database that another one holds; Python's own 5 s lose a run to a backup program."""


@sqlalchemy.event.listens_for(sqlalchemy.engine.Engine, "connect")
def _wait_for_whoever_holds_it(connection: Any, _: Any) -> None:
    """For Dagster's runs and schedules and MLflow's database as well: they offer no setting for it."""
    if isinstance(connection, sqlite3.Connection):
        connection.execute(f"PRAGMA busy_timeout = {LOCKED_MS}")


class BatchingSqliteEventLogStorage(SqliteEventLogStorage):
    """SqliteEventLogStorage whose `store_event_batch` commits consecutive asset events of one run together.

    Any other event of a batch is stored the stock way, in its place in the order.

    A check that a run over partitions plans is one row, which its result fills in. The stock storage writes a row for
    each partition, and finds none of them when a result without a partition comes (docs/decisions): for 5 athletes
    and a year, 13,950 of 14,023 rows that stay planned for ever, and a quarter of the run's time.
    """

    def __init__(self, base_dir: str, inst_data: ConfigurableClassData | None = None) -> None:
        """base_dir: absolute, or below the instance's folder, which is known when the storage is given its instance."""
        self._open: dict[str, tuple[tuple[int, str, int], Engine]] = {}
        weakref.finalize(self, _close, self._open)  # at the latest when the process ends: that empties SQLite's logs
        self._below_instance = None if os.path.isabs(base_dir) else base_dir
        if self._below_instance:
            self._inst_data = inst_data
        else:
            super().__init__(base_dir, inst_data)
        # Each process of an instance (daemon, webserver, run worker) loads this class, and Dagster reads the variable
        # at each event: here is the one place that reaches all of them.
        batch_events()

    @classmethod
    def from_config_value(  # type: ignore[override]
        cls, inst_data: ConfigurableClassData | None, config_value: dict[str, Any]
    ) -> BatchingSqliteEventLogStorage:
        return cls(inst_data=inst_data, **config_value)  # the stock method names its own class

    def register_instance(self, instance: Any) -> None:
        if self._below_instance:
            folder, self._below_instance = os.path.join(instance.root_directory, self._below_instance), None
            super().__init__(folder, self._inst_data)
        super().register_instance(instance)

    def _initdb(self, engine: Engine, for_index_shard: bool = False) -> None:
        path = engine.url.database
        if for_index_shard or path is None or not new_databases.lay("dagster_events_of_run", Path(path)):
            super()._initdb(engine, for_index_shard)

    @contextmanager
    def _connect(self, shard: str) -> Iterator[Connection]:
        """As the stock method, but a database stays open between two uses: that one makes an engine, opens the file,
        and by closing it moves the log of its last write into it, a dozen times an event."""
        with self._db_lock:
            engine = self._engine(shard)
            if shard not in self._initialized_dbs:
                self._initdb(engine)
                self._initialized_dbs.add(shard)
            with engine.connect() as connection, connection.begin():
                yield connection

    def _engine(self, shard: str) -> Engine:
        """The open database: of the index, and of the run that was used last. The lock is held."""
        path, kept = self.path_for_shard(shard), INDEX_SHARD_NAME if shard == INDEX_SHARD_NAME else "run"
        try:
            file = (os.getpid(), path, os.stat(path).st_ino)
        except FileNotFoundError:
            file = None
        if kept in self._open and self._open[kept][0] == file:
            return self._open[kept][1]
        if kept in self._open:  # of another run, removed or replaced since, or inherited by a fork
            self._open.pop(kept)[1].dispose(close=file is None or file[0] == os.getpid())
        # A commit waits for the disk (SQLite's `synchronous` as it comes): after a power cut that took the newest
        # events new ones would get their numbers, and a sensor's cursor, which was kept, would pass over them.
        engine = sqlalchemy.create_engine(
            self.conn_string_for_shard(shard),
            poolclass=QueuePool,
            pool_size=1,
            connect_args={"timeout": LOCKED_MS / 1000},
        )
        if file:
            self._open[kept] = file, engine
        return engine

    def get_logs_for_all_runs_by_log_id(
        self,
        after_cursor: int = -1,
        dagster_event_type: DagsterEventType | set[DagsterEventType] | None = None,
        limit: int | None = None,
    ) -> Mapping[int, EventLogEntry]:
        """As the stock method, up to the first end of a run that the run storage does not know yet.

        Dagster stores a run's failure as an event first, and as the run's status then. Its daemon of retries, which
        reads by this method, takes a run between the two for one that did not fail, moves its cursor past the event,
        and never starts the run again. What is left out here it finds at its next look.
        """
        found = super().get_logs_for_all_runs_by_log_id(after_cursor, dagster_event_type, limit)
        if dagster_event_type != DagsterEventType.RUN_FAILURE or not self.has_instance:
            return found
        return dict(takewhile(lambda item: self._is_known_to_have_ended(item[1]), found.items()))

    def _is_known_to_have_ended(self, event: EventLogEntry) -> bool:
        run = self._instance.get_run_by_id(event.run_id)
        return run is None or run.is_finished or time.time() - event.timestamp > STATUS_SECONDS

    def dispose(self) -> None:
        super().dispose()
        _close(self._open)

    @property
    def supports_partition_subset_in_asset_materialization_planned_events(self) -> bool:
        """Dagster hands over one planned event an asset of a run, which is stored as the event of each partition."""
        return True

    def store_event(self, event: EventLogEntry) -> None:
        for one in _of_each_partition(event):
            super().store_event(one)

    def store_event_batch(self, events: Sequence[EventLogEntry]) -> None:
        each = (one for event in events for one in _of_each_partition(event))
        for (run_id, together), group in groupby(each, key=lambda event: (event.run_id, _is_batched(event))):
            entries = list(group)
            if together and len(entries) > 1:
                self._store_asset_events(run_id, entries)
            else:
                for entry in entries:
                    self.store_event(entry)

    def _store_asset_events(self, run_id: str, events: Sequence[EventLogEntry]) -> None:
        rows = list(self._rows(events))
        with self.run_connection(run_id) as connection:
            in_run = _inserted(connection, rows)
        try:
            with self.index_transaction() as connection:
                in_index = list(zip(events, _inserted(connection, rows), strict=True))
                of_assets = [(event, number) for event, number in in_index if not _is_planned_check(event)]
                if of_assets:  # a run of checks alone plans nothing else
                    self._store_tags(connection, of_assets)
                    self._store_asset_keys(connection, of_assets)
                self._store_planned_checks(connection, [item for item in in_index if _is_planned_check(item[0])])
        except Exception:
            # Dagster answers a failed batch by storing each event alone, which would double the run's own log.
            with self.run_connection(run_id) as connection:
                ids = SqlEventLogStorageTable.c.id
                connection.execute(SqlEventLogStorageTable.delete().where(ids.between(in_run[0], in_run[-1])))
            raise

    def _rows(self, events: Iterable[EventLogEntry]) -> Iterator[dict[str, Any]]:
        """What `_event_to_row` gives for each event."""
        of_last: tuple[EventLogEntry, list[int]] | None = None
        row: dict[str, Any] = {}
        for event in events:
            unplaced = _unplaced(event)
            if unplaced is None:
                yield self._event_to_row(event)
                continue
            if unplaced != of_last:
                of_last, row = unplaced, self._event_to_row(unplaced[0])
            partition = _partition(event)
            text = row["event"].replace(_PARTITION_TEXT, json.dumps(partition))
            yield {
                **row,
                "event": text.replace(_TIMESTAMP_TEXT, json.dumps(event.timestamp)),
                "timestamp": self._event_insert_timestamp(event),
                "partition": partition,
            }

    def _store_asset_check_evaluation_planned(self, event: EventLogEntry, event_id: int | None) -> None:
        with self.index_connection() as connection:
            self._store_planned_checks(connection, [(event, event_id)])

    def _store_planned_checks(self, connection: Connection, events: Sequence[tuple[EventLogEntry, int | None]]) -> None:
        rows = []
        for event, event_id in events:
            planned = event.get_dagster_event().event_specific_data
            assert isinstance(planned, AssetCheckEvaluationPlanned)
            rows.append(
                {
                    "asset_key": planned.asset_key.to_string(),
                    "check_name": planned.check_name,
                    "run_id": event.run_id,
                    "execution_status": AssetCheckExecutionRecordStatus.PLANNED.value,
                    "evaluation_event": serialize_value(event),
                    "evaluation_event_timestamp": self._event_insert_timestamp(event),
                    "evaluation_event_storage_id": event_id,
                }
            )
        if rows:
            connection.execute(AssetCheckExecutionsTable.insert(), rows)

    def _store_tags(self, connection: Connection, events: Sequence[tuple[EventLogEntry, int]]) -> None:
        """What `_store_asset_event_tags` stores; tags that are those of the event before are looked through once."""
        rows: list[dict[str, Any]] = []
        of_last: Mapping[str, str] | None = None
        indexed: Mapping[str, str] = {}
        for event, event_id in events:
            data = event.get_dagster_event().event_specific_data
            if isinstance(data, AssetMaterializationPlannedData):
                continue
            tags = data.materialization.tags if isinstance(data, StepMaterializationData) else None
            if tags is None or tags != of_last:
                of_last, indexed = tags, self._tags_for_asset_event(event)
            rows += [
                {
                    "event_id": event_id,
                    "asset_key": _asset_key(event),
                    "key": key,
                    "value": value,
                    "event_timestamp": self._event_insert_timestamp(event),
                }
                for key, value in indexed.items()
            ]
        if rows and self.has_table(AssetEventTagsTable.name):
            _insert(connection, AssetEventTagsTable, rows)

    def _store_asset_keys(self, connection: Connection, events: Sequence[tuple[EventLogEntry, int]]) -> None:
        """One upsert an asset with what its events would have left behind one by one: each column's last value."""
        has_index_columns = self._has_asset_key_index_cols_on_connection(connection)
        newest: dict[tuple[str, Any], tuple[EventLogEntry, int]] = {}
        for event, event_id in events:
            newest[_asset_key(event), event.dagster_event_type] = (event, event_id)
        values: dict[str, dict[str, Any]] = {}
        for (asset_key, _), (event, event_id) in sorted(newest.items(), key=lambda item: item[1][1]):
            # Serialising a materialisation is most of the work, and only each asset's last one stays in this table.
            entry = self._get_asset_entry_values(event, event_id, has_index_columns)
            values.setdefault(asset_key, {}).update(entry)
        for asset_key, entry in values.items():
            if not entry:
                continue
            update = AssetKeyTable.update().values(**entry).where(AssetKeyTable.c.asset_key == asset_key)
            if connection.execute(update).rowcount == 0:
                connection.execute(AssetKeyTable.insert().values(asset_key=asset_key, **entry))


def _close(databases: dict[str, tuple[tuple[int, str, int], Engine]]) -> None:
    for (process, _, _), engine in databases.values():
        engine.dispose(close=process == os.getpid())
    databases.clear()


_PARTITION = str(uuid4())
_TIMESTAMP = 1.2345678901234567
"""What stands in a text for the partition and the time that are put in; nothing else there reads like them."""
_PARTITION_TEXT, _TIMESTAMP_TEXT = json.dumps(_PARTITION), json.dumps(_TIMESTAMP)


def _of_each_partition(event: EventLogEntry) -> Iterator[EventLogEntry]:
    """The event itself, or of one that plans several partitions the events that Dagster would make of it elsewhere."""
    dagster_event = event.dagster_event
    planned = dagster_event.event_specific_data if dagster_event else None
    if not (dagster_event and isinstance(planned, AssetMaterializationPlannedData) and planned.partitions_subset):
        yield event
        return
    for partition in planned.partitions_subset.get_partition_keys():
        data = planned._replace(partition=partition, partitions_subset=None)
        yield event._replace(dagster_event=dagster_event._replace(event_specific_data=data))


def _unplaced(event: EventLogEntry) -> tuple[EventLogEntry, list[int]] | None:
    """The event of no partition at no time, and which objects its metadata are; None for one without a partition.

    The objects, since for Python a metadata value of 1 equals one of 1.0, and their texts differ.
    """
    dagster_event = event.get_dagster_event()
    data, metadata = dagster_event.event_specific_data, list[int]()
    if not _partition(event):
        return None
    if isinstance(data, AssetMaterializationPlannedData):
        data = data._replace(partition=_PARTITION)
    elif isinstance(data, StepMaterializationData):
        metadata = [id(value) for value in data.materialization.metadata.values()]
        data = data._replace(materialization=data.materialization._replace(partition=_PARTITION))
    else:
        return None
    unplaced = dagster_event._replace(event_specific_data=data)
    return event._replace(timestamp=_TIMESTAMP, dagster_event=unplaced), metadata


def _is_batched(event: EventLogEntry) -> bool:
    if event.dagster_event is None or event.dagster_event_type not in BATCHED_EVENTS:
        return False
    return _is_planned_check(event) or _of_asset(event) is not None


def _is_planned_check(event: EventLogEntry) -> bool:
    return event.dagster_event_type == DagsterEventType.ASSET_CHECK_EVALUATION_PLANNED


def _asset_key(event: EventLogEntry) -> str:
    key = _of_asset(event)
    assert key is not None  # _is_batched
    return _as_string(key)


_as_string = lru_cache(maxsize=256)(AssetKey.to_string)


def _of_asset(event: EventLogEntry) -> AssetKey | None:
    """`dagster_event.asset_key`, which asks for the event's type nine times."""
    dagster_event = event.get_dagster_event()
    data = dagster_event.event_specific_data
    if isinstance(data, StepMaterializationData):
        return data.materialization.asset_key
    return data.asset_key if isinstance(data, AssetMaterializationPlannedData) else dagster_event.asset_key


def _partition(event: EventLogEntry) -> str | None:
    """`dagster_event.partition`, by the same short way."""
    dagster_event = event.get_dagster_event()
    data = dagster_event.event_specific_data
    if isinstance(data, StepMaterializationData):
        return data.materialization.partition
    return data.partition if isinstance(data, AssetMaterializationPlannedData) else dagster_event.partition


def _inserted(connection: Connection, rows: list[dict[str, Any]]) -> range:
    """Inserts event rows and returns their ids: SQLite numbers the rows of one writer's transaction without gaps."""
    _insert(connection, SqlEventLogStorageTable, rows)
    last = connection.execute(sqlalchemy.text("SELECT last_insert_rowid()")).scalar_one()
    return range(last - len(rows) + 1, last + 1)


def _insert(connection: Connection, table: sqlalchemy.Table, rows: list[dict[str, Any]]) -> None:
    """`connection.execute(table.insert(), rows)`, which spends as long again on looking at each value of each row.

    The rows have the keys of the first one, in its order.
    """
    columns = [table.c[name] for name in rows[0]]
    dialect = connection.dialect
    as_stored = [column.type.dialect_impl(dialect).bind_processor(dialect) for column in columns]
    values = [[row[column.name] for row in rows] for column in columns]
    for number, process in enumerate(as_stored):
        if process:
            values[number] = [process(value) for value in values[number]]
    names = ", ".join(f'"{column.name}"' for column in columns)
    marks = ", ".join("?" for _ in columns)
    connection.exec_driver_sql(f"INSERT INTO {table.name} ({names}) VALUES ({marks})", list(zip(*values, strict=True)))
