"""What an asset may ask of the place where tables lie. One meaning in both deployments."""

from __future__ import annotations

import copy
import hashlib
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from athlete_assets import tables
from athlete_assets.days import Days, midnight
from athlete_assets.errors import ContractError
from athlete_assets.settings import Settings
from athlete_assets.store.athletes import ID, Athletes, NamedAthletes
from athlete_assets.store.findings import Findings, findings_of_frame
from athlete_assets.tables import Column, Table
from athlete_assets.words import counted

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import DataFrame, SparkSession
    from typing_extensions import Self

WIDENINGS: dict[str, tuple[str, ...]] = {
    tables.STRING: ("bigint", "int"),
    tables.BIGINT: ("int", "smallint", "tinyint"),
    tables.INT: ("smallint", "tinyint"),
    tables.DOUBLE: ("float", "bigint", "int", "smallint", "tinyint", "decimal"),
    tables.TIMESTAMP: ("date", "timestamp_ntz"),
    tables.LOCAL_TIMESTAMP: ("timestamp", "date"),
}
"""By contract type, the Spark types that are read as it: what upstream pipelines hold instead, without loss.

The session's zone is UTC, so a naive timestamp and a UTC one turn into each other with the same wall clock, and a
date into its midnight.
"""
CONTRACT_PROPERTY = "athlete_assets.contract"
"""The table property that says by which version of its contract the table was last made or altered."""


DIGESTS = 2**64


@dataclass(frozen=True)
class Written:
    """What one commit did. Several of them, of one table's windows, can be added up."""

    rows: int
    """Rows now in the window."""
    version: int
    """The table's version after it."""
    rows_before: int | None = None
    """Rows that the window held before; None where the store did not count them."""
    digest: int | None = None
    """A number of 64 bits that follows from the rows alone: equal rows give the same one in whatever order, file
    layout, version, engine or number of commits they were written, and a repeated row counts twice.

    Doubles count to 24 bits (7 digits), so that rows which promise 1 calls the same table have one digest; the
    ingestion time does not count. The digest is the sum of the rows' hashes modulo 2^64: two different contents share
    one with a chance of 2^-64 (5e-20); a window rewritten a million times over meets that with a chance of 5e-14.
    Digests of the local store and of Unity Catalog are not comparable: each has its own hash.
    """

    findings: Findings | None = None
    """What the contract says of the rows that were written; None where the store did not look."""
    rows_beside: int = 0
    """Rows of the window that are of other athletes than those named ones whose rows were replaced, and stayed."""
    athletes: Athletes | None = None
    """Whose rows all of these are; None where they may be anybody's."""

    @property
    def data_version(self) -> str | None:
        """Digest and number of rows as text: Dagster's data version of the window. None where there is no digest."""
        return None if self.digest is None else f"{self.rows}-{self.digest % DIGESTS:016x}"

    def __add__(self, other: Written) -> Written:
        """What two commits to different windows did together."""
        before = None if None in (self.rows_before, other.rows_before) else self.rows_before + other.rows_before  # type: ignore[operator]
        digest = None if None in (self.digest, other.digest) else (self.digest + other.digest) % DIGESTS  # type: ignore[operator]
        findings = self.findings + other.findings if self.findings and other.findings else None
        beside = self.rows_beside + other.rows_beside
        return Written(self.rows + other.rows, max(self.version, other.version), before, digest, findings, beside)


@dataclass(frozen=True)
class Size:
    """What lies on the disk below a folder."""

    files: int
    bytes: int

    @classmethod
    def of(cls, *paths: Path) -> Size:
        """Of files and of folders with all below them. A file that vanishes while it is counted does not count."""
        sizes = []
        for path in paths:
            for file in [path] if path.is_file() else path.rglob("*"):
                try:
                    if file.is_file():
                        sizes.append(file.stat().st_size)
                except FileNotFoundError:
                    continue
        return cls(len(sizes), sum(sizes))

    def __add__(self, other: Size) -> Size:
        return Size(self.files + other.files, self.bytes + other.bytes)

    def __str__(self) -> str:
        return f"{counted(self.files, 'file')}, {self.bytes / 1e6:.1f} MB"


@dataclass(frozen=True)
class Maintained:
    """What maintenance of one table did."""

    before: Size
    after: Size
    note: str = ""


class Store(ABC):
    """Reads tables as DataFrames and replaces windows of them atomically."""

    settings: Settings
    athletes: Athletes | None = None
    """The athletes whose rows this store reads and replaces, as if there were no others; None for all."""

    def among(self, athletes: Iterable[str] | None) -> Self:
        """The same tables with the rows of these athletes alone; of all for None."""
        return self.of(None if athletes is None else NamedAthletes(frozenset(athletes)))

    def of(self, athletes: Athletes | None) -> Self:
        """`among` for any condition."""
        narrowed = copy.copy(self)
        narrowed.athletes = athletes
        return narrowed

    def athletes_of(self, table: Table) -> Athletes | None:
        """The athletes whose rows of the table this store reads and replaces; None where it has all of its rows."""
        return self.athletes if ID in table.column_names else None

    @property
    @abstractmethod
    def spark(self) -> SparkSession:
        """The session in which `read` returns its frames."""

    @abstractmethod
    def exists(self, table: Table) -> bool: ...

    @abstractmethod
    def version(self, table: Table) -> int | None:
        """The newest committed version; None where the table does not exist."""

    @abstractmethod
    def read(self, table: Table, days: Days | None = None) -> DataFrame:
        """The table's rows (those of the days, where given) with the contract's columns in order.

        A column that the contract lets upstream lack is null; a table that does not exist yet has no rows.
        Raises ContractError for a missing required column, or one of a type that does not widen to the contract's.
        """

    def read_if_there(self, table: Table) -> DataFrame | None:
        """An optional table's rows; None where nobody fills it, so that nothing is read, joined or planned for it."""
        return self.read(table) if self.exists(table) else None

    @abstractmethod
    def replace(self, table: Table, rows: DataFrame, days: Days | None = None) -> Written:
        """Replaces exactly the rows of the days (the whole table without them) in one commit.

        Raises ContractError before any write where rows do not fit the contract, lie outside the days, or repeat a
        key; StoreError where the commit fails; then the last committed version stands. What it returns holds the
        content's digest (`Written.data_version`) and the number of rows that were there before. Of a store `among` some
        athletes only their rows are replaced, and the rows of another one are refused.
        """

    def count(self, table: Table, days: Days | None = None) -> int:
        """How many rows of the days (of the whole table) are stored."""
        return self.read(table, days).count()

    def findings(self, table: Table, days: Days | None = None) -> Findings:
        """What the contract says of the stored rows of the days (of the whole table)."""
        return findings_of_frame(self.read(table, days), table)

    def repeated_keys(self, table: Table, days: Days | None = None) -> int:
        """How many stored rows of the days (of the whole table) repeat a key."""
        keys = self.read(table, days).select(*table.keys)
        return keys.count() - keys.distinct().count() if table.keys else 0

    def frame(self, table: Table, rows: pa.Table) -> DataFrame:
        """Rows in the contract's columns as a frame. (Spark Connect makes none of an empty Arrow table.)"""
        if rows.num_rows == 0:
            return self.spark.createDataFrame([], table.ddl.replace(" NOT NULL", ""))
        return self.spark.createDataFrame(rows)

    def held(self, rows: DataFrame) -> DataFrame:
        """The rows of a kernel's frame, computed once however often they are read (`by_athlete.apply_for_several`).

        They lie with the workers, on their disks where memory is short, for as long as the frame lives. A copy of
        their own, and no cache: a cached frame that read a table is computed again when that table is written. Who
        loses a worker loses its rows: then the step fails as one whose store is away does, and is tried again.
        """
        held: Any = rows.localCheckpoint()
        if held.sparkSession is not rows.sparkSession:
            # the client of Spark Connect 4.0 takes whichever session is active in this thread, not that of the rows,
            # and asks that one to forget them
            held._plan._spark_session = rows.sparkSession
            held = type(held)(held._plan, rows.sparkSession)
        return held  # type: ignore[no-any-return]

    def fetched(self, rows: DataFrame) -> list[pa.Table]:
        """The rows of a frame, in this process: of few rows, where the store is a cluster's."""
        return [rows.toArrow()]

    @abstractmethod
    def maintain(self, table: Table) -> Maintained:
        """Joins the table's small files, and removes what no version of the last ATHLETE_KEEP_VERSIONS_DAYS needs.

        Changes no row. Raises StoreError; the table is whole whatever happens.
        """

    @abstractmethod
    def append(self, table: Table, rows: DataFrame) -> Written:
        """Adds the rows to a log table in one commit. Raises as `replace` does."""


def contract_digest(table: Table) -> str:
    """The version of the table's contract: changes with columns, their order, types and nullability, and keys.

    Comments, units and ranges do not count: they need no change of what is stored.
    """
    columns = [f"{column.name} {column.type} {'null' if column.nullable else 'not null'}" for column in table.columns]
    text = "\n".join([*columns, ",".join(table.keys), table.day_column or ""])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def is_derived(table: Table) -> bool:
    """Whether the product writes the table from others, so that it can be made anew; silver comes from upstream."""
    return table not in tables.SILVER


def remedy(table: Table) -> str:
    """What to do about a stored table that no longer fits its contract."""
    if is_derived(table):
        return f"`athlete-assets rebuild {'.'.join(table.path)}` makes the table anew"
    return "silver is never made anew here: change it where it comes from"


def refuse_changed(table: Table, stored: Mapping[str, str], required: Collection[str] = ()) -> list[Column]:
    """The contract's columns that a stored table lacks and can be given: nullable ones, to be added by ALTER.

    stored: Spark type by column, as the store has them; required: those of them that are NOT NULL. Raises
    ContractError that names table, column and remedy for one that the contract no longer has, that has another type,
    that is NOT NULL where the contract allows nulls, or that is missing and must not be null. (Silver may hold more
    than the contract, and types that widen to it.)
    """
    name = ".".join(table.path)
    known = {column.name: column for column in table.columns}
    for column, type in stored.items():
        if column not in known:
            if is_derived(table):
                raise ContractError(f"{name}: column {column} is stored, but not in the contract; {remedy(table)}")
            continue
        wanted = known[column]
        if type != wanted.type and not (not is_derived(table) and type in WIDENINGS.get(wanted.type, ())):
            raise ContractError(f"{name}: column {column} is {type}, the contract says {wanted.type}; {remedy(table)}")
        if column in required and wanted.nullable:
            raise ContractError(
                f"{name}: column {column} is stored as NOT NULL, the contract allows nulls; {remedy(table)}"
            )
    missing = [column for column in table.columns if column.name not in stored]
    for lacking in missing:
        if not lacking.nullable:
            raise ContractError(
                f"{name}: column {lacking.name} is missing, and it must not be null in the rows that are there; "
                f"{remedy(table)}"
            )
    return missing


def as_contracted(frame: DataFrame, table: Table) -> DataFrame:
    """The frame with exactly the table's columns, in order and of their types.

    A column is null where the contract lets upstream lack it, and where the table was written before it came into the
    contract. Raises ContractError that names table, column and remedy for another one that is missing, or has another
    type.
    """
    from pyspark.sql import functions as F

    found = dict(frame.dtypes)
    columns = []
    for column in table.columns:
        if column.name not in found:
            if not column.nullable if is_derived(table) else column.required:
                advice = f"; {remedy(table)}" if is_derived(table) else ""
                raise ContractError(f"{'.'.join(table.path)}: required column {column.name} is missing{advice}")
            columns.append(F.lit(None).cast(column.type).alias(column.name))
        elif found[column.name] == column.type:
            columns.append(F.col(column.name))
        elif found[column.name].split("(")[0] in WIDENINGS.get(column.type, ()):
            columns.append(F.col(column.name).cast(column.type).alias(column.name))
        else:
            raise ContractError(
                f"{'.'.join(table.path)}: column {column.name} is {found[column.name]}, the contract says {column.type}"
                f"; {remedy(table)}"
            )
    return frame.select(*columns)


def window_sql(table: Table, days: Days, alias: str = "") -> str:
    """SQL for the rows of the days, by partition first; for rejects also those outside the calendar, which every
    window rewrites. One text for delta-rs and Spark; with an `alias` for a MERGE.

    The bounds are plain texts, which both turn into timestamps: delta-rs reads TIMESTAMP'...' in nanoseconds, and
    refuses to compare those with its microseconds.
    """
    prefix = f"{alias}." if alias else ""
    first_month, last_month = days.months
    first, last = (f"'{midnight(day).isoformat()}'" for day in (days.first, days.last))
    inside = (
        f"{prefix}month BETWEEN '{first_month}' AND '{last_month}' "
        f"AND {prefix}{day_column(table)} BETWEEN {first} AND {last}"
    )
    return f"(({inside}) OR {prefix}month = '{tables.OUTSIDE_CALENDAR}')" if table == tables.REJECTS else f"({inside})"


def within_sql(table: Table, days: Days) -> str:
    """SQL for the rows that `read` gives for the days: of rejects not those outside the calendar."""
    window = window_sql(table, days)
    return f"{window} AND month <> '{tables.OUTSIDE_CALENDAR}'" if table == tables.REJECTS else window


def day_column(table: Table) -> str:
    """The column by which the table's windows are found; raises ValueError for a table that is replaced whole."""
    if table.day_column is None:
        raise ValueError(f"{'.'.join(table.path)} has no windows: it is replaced whole")
    return table.day_column
