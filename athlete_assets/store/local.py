"""Delta folders under ATHLETE_HOME: written by delta-rs, read by the embedded Spark engine or without one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial, reduce
from operator import and_
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from athlete_assets.days import Days, midnight
from athlete_assets.settings import Settings
from athlete_assets.store.arrow import (
    arrow_schema,
    fitted,
    plain,
    refuse_others,
    refuse_outside,
    refuse_repeated_keys,
)
from athlete_assets.store.athletes import Athletes, NamedAthletes
from athlete_assets.store.base import (
    CONTRACT_PROPERTY,
    Maintained,
    Store,
    Written,
    as_contracted,
    contract_digest,
    day_column,
    is_derived,
    refuse_changed,
    window_sql,
    within_sql,
)
from athlete_assets.store.delta_folder import CHANGE_FEED_PROPERTY, DeltaFolder
from athlete_assets.store.digest import content_digest
from athlete_assets.store.findings import Findings, findings_in, findings_of, keys_tell_their_window, required
from athlete_assets.store.maintenance import maintain_delta
from athlete_assets.store.month_files import Window
from athlete_assets.store.session import engine_path, spark_session
from athlete_assets.tables import REJECTS, Table

if TYPE_CHECKING:
    from deltalake import DeltaTable
    from pyspark.sql import DataFrame, SparkSession

PRIMARY_KEYS_PROPERTY = "feature_store.primary_keys"
TIMESTAMP_KEY_PROPERTY = "feature_store.timestamp_key"
"""Delta table properties in which a feature table's keys are recorded: comma-separated names; the timestamp key is
among the primary keys, as in Unity Catalog."""


class LocalStore(Store):
    """The embedded deployment's tables, `<home>/<catalog>/<schema>/<table>`."""

    def __init__(self, settings: Settings, session: Callable[[], SparkSession] | None = None) -> None:
        self.settings = settings
        self._session = session or partial(spark_session, settings.engine)

    @property
    def spark(self) -> SparkSession:
        return self._session()

    def path(self, table: Table) -> Path:
        return self.settings.home.resolve() / self.settings.catalog / table.schema / table.name

    def folder(self, table: Table) -> DeltaFolder:
        """The table for what needs no engine: statements, upserts, deletions, its change feed and old versions."""
        return DeltaFolder(self.path(table), ".".join(table.path))

    def exists(self, table: Table) -> bool:
        return self.folder(table).exists()

    def version(self, table: Table) -> int | None:
        return self.folder(table).version() if self.exists(table) else None

    def delta(self, table: Table) -> DeltaTable:
        """The delta-rs handle at the newest version, for maintenance."""
        return self.folder(table).open()

    def rows(self, table: Table, columns: Sequence[str] | None = None) -> pa.Table:
        """All rows in the contract's columns (or the given ones of them), read without an engine.

        None where the table does not exist yet; null where it was written before a column came into the contract.
        """
        schema = arrow_schema(table)
        names = list(columns) if columns is not None else schema.names
        if not self.exists(table):
            return schema.empty_table().select(names)
        folder = self.folder(table)
        stored = set(folder.columns().types)
        rows = plain(folder.rows([name for name in names if name in stored]))
        for name in names:
            if name not in stored:
                rows = rows.append_column(name, pa.nulls(rows.num_rows, schema.field(name).type))
        return rows.select(names)

    def read(self, table: Table, days: Days | None = None) -> DataFrame:
        if not self.exists(table):
            return self.spark.createDataFrame([], table.ddl.replace(" NOT NULL", ""))
        from athlete_assets.store.scans import as_scan, of_days

        self.folder(table).refuse_damage()
        frame = as_contracted(self.spark.read.format("delta").load(engine_path(self.path(table))), table)
        athletes = self.athletes_of(table)
        if athletes:
            frame = frame.where(athletes.column())
        if self._holds_its_types(table):
            frame = as_scan(frame, partial(self._stored, table), athletes.sql() if athletes else None)
        return of_days(frame, table, days) if days else frame

    def _holds_its_types(self, table: Table) -> bool:
        """Whether no column is to be widened to the contract's type, as those of silver may be."""
        stored = self.folder(table).columns().types
        return all(stored.get(column.name, column.type) == column.type for column in table.columns)

    def _stored(self, table: Table, columns: Sequence[str], condition: str | None) -> pa.Table:
        """`rows` that fulfil the condition, of a table that holds its contract's types."""
        folder, schema = self.folder(table), arrow_schema(table)
        stored = folder.columns().types
        names = ", ".join(name for name in columns if name in stored)
        rows = folder.query(f"SELECT {names} FROM t WHERE {condition or 'true'}")
        for name in columns:
            if name not in stored:
                rows = rows.append_column(name, pa.nulls(rows.num_rows, schema.field(name).type))
        return rows.select(columns)

    def replace(self, table: Table, rows: DataFrame, days: Days | None = None) -> Written:
        return self.replace_arrow(table, self._computed(table, rows), days)

    def fetched(self, rows: DataFrame) -> list[pa.Table]:
        """Apache Spark computes all rows itself, as a cluster does."""
        from athlete_assets.store.by_athlete import computed_here

        made = computed_here(rows) if self.settings.engine == "sail" else None
        return super().fetched(rows) if made is None else made

    def _computed(self, table: Table, rows: DataFrame) -> pa.Table:
        return pa.concat_tables(self.fetched(rows) or [arrow_schema(table).empty_table()])

    def replace_arrow(self, table: Table, rows: pa.Table, days: Days | None = None) -> Written:
        """`replace` for rows that are in memory already."""
        athletes = self.athletes_of(table)
        in_days = window_sql(table, days) if days else None
        window = _both(in_days, athletes.sql() if athletes else None)
        rows = fitted(rows, table)
        refuse_outside(rows, table, days)
        refuse_others(rows, table, athletes)
        refuse_repeated_keys(rows, ".".join(table.path), table.keys)
        findings = findings_of(rows, table, repeated=0)
        self.create(table)
        folder = self.folder(table)
        newest = folder.version()
        before = self._count(table, days, athletes, window)
        beside = self._count(table, days, None, in_days) - before if isinstance(athletes, NamedAthletes) else 0
        refilled = folder.refill(rows, Window(day_column(table), days, athletes), before, newest) if days else None
        version = folder.overwrite(rows, window) if refilled is None else refilled
        return Written(rows.num_rows, version, before, content_digest(rows), findings, beside, athletes)

    def count(self, table: Table, days: Days | None = None) -> int:
        if not self.exists(table):
            return 0
        athletes = self.athletes_of(table)
        within = within_sql(table, days) if days else None
        return self._count(table, days, athletes, _both(within, athletes.sql() if athletes else None))

    def _count(self, table: Table, days: Days | None, athletes: Athletes | None, sql: str | None) -> int:
        """The rows of the days and athletes, which `sql` says as well (of rejects it may say more: by it alone)."""
        folder = self.folder(table)
        counted = folder.count_in(Window(day_column(table), days, athletes)) if days and table != REJECTS else None
        return folder.count(sql) if counted is None else counted

    def findings(self, table: Table, days: Days | None = None) -> Findings:
        """Without an engine, a batch at a time; the keys of a month at a time where a key tells its month."""
        return self._findings(table, days, table.column_names)

    def repeated_keys(self, table: Table, days: Days | None = None) -> int:
        return self._findings(table, days, list(dict.fromkeys([*table.keys, *required(table)]))).repeated_keys

    def _findings(self, table: Table, days: Days | None, columns: Sequence[str]) -> Findings:
        total = findings_in([], table)
        if not self.exists(table):
            return total
        folder = self.folder(table)
        by_month = "month" in table.column_names and keys_tell_their_window(table)
        for month in folder.partition_values("month") if by_month else [None]:
            if month is None or days is None or days.months[0] <= month <= days.months[1]:
                rows = folder.batches(columns, _within(table, days, month, self.athletes_of(table)))
                total += findings_in(rows, table)
        return total

    def held(self, rows: DataFrame) -> DataFrame:
        """What a kernel makes is made in this process, and put into a frame; what the engine makes stays as it is."""
        if self.settings.engine != "sail":
            return super().held(rows)
        from athlete_assets.store.by_athlete import computed_here

        made = computed_here(rows)
        return self.spark.createDataFrame(pa.concat_tables(made)) if made else rows

    def append(self, table: Table, rows: DataFrame) -> Written:
        fitting = fitted(self._computed(table, rows), table)
        self.create(table)
        return Written(fitting.num_rows, self.folder(table).append(fitting), 0, content_digest(fitting))

    def maintain(self, table: Table) -> Maintained:
        return maintain_delta(self.folder(table), self.settings.keep_versions_days, table.day_column)

    def create(self, table: Table) -> None:
        """Has the table as its contract says: made empty where it is missing, altered where it has fewer columns.

        Raises ContractError where it holds columns that no longer fit (see `base.refuse_changed`).
        """
        schema = arrow_schema(table, comments=is_derived(table))
        folder = self.folder(table)
        wanted = properties(table)
        if folder.create(
            schema,
            description=table.comment,
            partition_by=["month"] if "month" in table.column_names else [],
            properties=wanted if is_derived(table) else {**wanted, CHANGE_FEED_PROPERTY: "true"},
        ):
            return
        stored = folder.columns()
        missing = refuse_changed(table, stored.types, stored.required)
        if missing or stored.properties.get(CONTRACT_PROPERTY) != wanted[CONTRACT_PROPERTY]:
            folder.alter(schema, [column.name for column in missing], wanted)

    def reset(self, table: Table) -> None:
        """Empties a derived table and gives it its contract's columns, in one commit; earlier versions are kept."""
        if self.exists(table):
            self.folder(table).restart(arrow_schema(table, comments=True).empty_table(), properties(table))

    def carry_over(self, table: Table) -> int:
        """Puts a derived table's rows into the contract's columns, in one commit; how many they are.

        What the contract no longer has is left behind, what is new is null. Raises ContractError where a column's new
        type does not hold the old values, or a new one must not be null: then nothing is written.
        """
        if not self.exists(table):
            return 0
        rows = fitted(self.rows(table), table)
        self.folder(table).restart(rows.cast(arrow_schema(table, comments=True)), properties(table))
        return rows.num_rows


def _both(one: str | None, other: str | None) -> str | None:
    """SQL for what both say; None says nothing."""
    return " AND ".join(f"({part})" for part in (one, other) if part is not None) or None


def _within(table: Table, days: Days | None, month: str | None, athletes: Athletes | None) -> pc.Expression | None:
    """The same for Arrow, of one month where it is given, and of the athletes."""
    parts = [] if month is None else [pc.field("month") == month]
    if athletes is not None:
        parts.append(athletes.expression())
    if days:
        first, last = (pa.scalar(midnight(day), pa.timestamp("us", "UTC")) for day in (days.first, days.last))
        parts += [pc.field("month") >= days.months[0], pc.field("month") <= days.months[1]]
        parts += [pc.field(day_column(table)) >= first, pc.field(day_column(table)) <= last]
    return reduce(and_, parts) if parts else None


def properties(table: Table) -> dict[str, str]:
    """The Delta properties of a contract's table: its keys, and the contract's version."""
    return {**feature_table_properties(table), CONTRACT_PROPERTY: contract_digest(table)}


def feature_table_properties(table: Table) -> dict[str, str]:
    """The Delta properties that make a contract's table a feature table; none for another table."""
    if table.timestamp_key is None:
        return {}
    keys = (*(key for key in table.keys if key != table.timestamp_key), table.timestamp_key)
    return {PRIMARY_KEYS_PROPERTY: ",".join(keys), TIMESTAMP_KEY_PROPERTY: table.timestamp_key}
