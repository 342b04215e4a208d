"""One Delta table in a local folder, written and read by delta-rs: what no Spark engine is needed for.

Sail's own overwrite with `replaceWhere` accepts rows outside its predicate and its dynamic partition overwrite
replaces the whole table; delta-rs refuses rows outside the predicate, and commits concurrent windows (32 of 32
where Sail committed 13). Several first writers at once confuse it, so tables are created under a lock.
"""

from __future__ import annotations

import fcntl
import os
import re
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import pyarrow as pa
import pyarrow.compute as pc
from deltalake import (
    ColumnProperties,
    CommitProperties,
    DeltaTable,
    QueryBuilder,
    Schema,
    TableFeatures,
    WriterProperties,
    write_deltalake,
)
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError
from deltalake.schema import ArrayType, PrimitiveType
from deltalake.transaction import AddAction
from pyarrow.fs import LocalFileSystem, SubTreeFileSystem
from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from athlete_assets.errors import AthleteAssetsError, ContractError, DamageError, LastingStoreError, StoreError
from athlete_assets.store import month_files
from athlete_assets.store.arrow import plain
from athlete_assets.store.athletes import ID
from athlete_assets.store.delta_log import LogState, log_state
from athlete_assets.store.month_files import Window
from athlete_assets.store.sql import delta_literal

COMMIT_ATTEMPTS = 8
CHANGE_FEED_PROPERTY = "delta.enableChangeDataFeed"
FILE_BYTES = 8 * 1024**2
"""About how large a file may become (100,000 rows of the widest table). Rows come in the order of athletes, so that a
late run of some has few files written anew; delta-rs's own 100 MB are a whole month of 36,000 athletes."""
Result = TypeVar("Result")


class HistoryGoneError(StoreError):
    """An old version, or its change feed, is no longer kept."""


@dataclass(frozen=True)
class StoredColumns:
    """What a table's newest version holds."""

    types: Mapping[str, str]
    """Spark type by column, in order."""
    required: Sequence[str]
    """The columns that are NOT NULL."""
    properties: Mapping[str, str]


@dataclass(frozen=True)
class DeltaFolder:
    """The table in `path`; `name` is what messages call it. Every error is one of `athlete_assets.errors`."""

    path: Path
    name: str

    def exists(self) -> bool:
        return DeltaTable.is_deltatable(str(self.path))

    def open(self, version: int | None = None) -> DeltaTable:
        """delta-rs's handle, at the newest version or a given one.

        Raises DamageError where the log is damaged, HistoryGoneError for an old version that is not kept, StoreError
        where the table cannot be opened for another reason.
        """
        self.refuse_damage()
        try:
            return DeltaTable(str(self.path), version=version)
        except (DeltaError, OSError, ValueError) as error:
            if version is not None:
                raise HistoryGoneError(
                    f"{self.name}: version {version} cannot be read: {_first_line(error)}"
                ) from error
            self.refuse_damage(thorough=True)
            raise _failure(f"{self.name}: cannot be read", error) from error

    def version(self) -> int:
        """The newest version's number."""
        return self._for_reading().version()

    def _for_reading(self) -> DeltaTable:
        """The newest version, for what only reads: the handle of the look before, while the newest commit is still the
        same file. Whatever writes opens a handle of its own, since a write moves it on.

        To open reads every commit since the checkpoint, a millisecond each, and a step looks at a table a dozen times.
        """
        newest = _identity(self.refuse_damage())  # before opening: a commit in between is then read once more
        with _lock:
            kept = _kept.get(self.path)
        if kept and newest and kept[0] == newest:
            return kept[1]
        delta = self.open()
        if newest:
            with _lock:
                _kept.pop(self.path, None)
                _kept[self.path] = newest, delta
                while len(_kept) > MOST_KEPT:
                    del _kept[next(iter(_kept))]
        return delta

    def refuse_damage(self, thorough: bool = False) -> LogState:
        """The log; raises DamageError where the newest commit cannot be read (each since the checkpoint where
        `thorough`)."""
        state = log_state(self.path, thorough)
        if state.broken:
            raise DamageError(
                f"{self.name}: {state.broken[0]} is empty or broken; the last good version is "
                f"{'none' if state.last_good is None else state.last_good}. `athlete-assets repair` moves the file "
                "aside and computes anew what was lost with it"
            )
        return state

    def columns(self) -> StoredColumns:
        """The stored columns, and the table's properties."""
        delta = self._for_reading()
        fields = delta.schema().fields
        return StoredColumns(
            {field.name: _spark_type(field.type) for field in fields},
            [field.name for field in fields if not field.nullable],
            {key: value or "" for key, value in delta.metadata().configuration.items()},
        )

    def create(
        self,
        schema: pa.Schema,
        *,
        description: str = "",
        partition_by: Sequence[str] = (),
        properties: Mapping[str, str] | None = None,
    ) -> bool:
        """Creates the table, empty, unless one is there; whether it did. Several processes may try at once."""
        if self.exists():
            return False
        with self._locked():
            if self.exists():
                return False
            table = committed(
                lambda: DeltaTable.create(
                    str(self.path),
                    schema,
                    name=self.path.name,
                    description=description,
                    partition_by=list(partition_by) or None,
                    configuration=dict(properties or {}),
                    raise_if_key_not_exists=False,
                ),
                self.name,
            )
            if table.protocol().writer_features is not None and any(not field.nullable for field in schema):
                # A naive timestamp makes delta-rs list the table's features, and it leaves NOT NULL out of the list:
                # Apache Spark then refuses to open the table (DELTA_FEATURES_PROTOCOL_METADATA_MISMATCH).
                committed(lambda: table.alter.add_feature(TableFeatures.Invariants), self.name)
            return True

    def alter(self, schema: pa.Schema, missing: Sequence[str], properties: Mapping[str, str]) -> None:
        """Adds those of the missing columns that are still missing, as the schema has them, and sets the properties."""
        with self._locked():
            stored = {field.name for field in self.open().schema().fields}
            fresh = Schema.from_arrow(pa.schema([schema.field(name) for name in missing if name not in stored]))
            if fresh.fields:
                committed(lambda: self.open().alter.add_columns(fresh.fields), self.name)
            changed = dict(properties.items() - self.columns().properties.items())
            if changed:
                committed(lambda: self.open().alter.set_table_properties(changed, raise_if_not_exists=False), self.name)

    def restart(self, rows: pa.Table, properties: Mapping[str, str]) -> None:
        """Leaves these rows and their columns alone, and sets the properties; earlier versions are kept."""
        with self._locked():
            committed(
                lambda: write_deltalake(
                    self.open(), rows, mode="overwrite", schema_mode="overwrite", writer_properties=writing()
                ),
                self.name,
            )
            committed(
                lambda: self.open().alter.set_table_properties(dict(properties), raise_if_not_exists=False), self.name
            )

    # ------------------------------------------------------------------------------------------------------ reading

    def rows(self, columns: Sequence[str] | None = None, version: int | None = None) -> pa.Table:
        """All rows, or the given columns of them.

        Through Arrow's own file system: delta-rs's is Python code that Arrow's threads call back into, and a process
        that ends soon after such a read aborted now and then (exit 134, 7 of 85 short programs).
        """
        return rows_of(self._for_reading() if version is None else self.open(version), self.path, columns)

    def batches(self, columns: Sequence[str], where: pc.Expression | None = None) -> Iterator[pa.RecordBatch]:
        """Those of the columns that are stored, of the rows that fulfil the expression, a few batches at a time."""
        files = SubTreeFileSystem(str(self.path), LocalFileSystem())
        stored = self._for_reading().to_pyarrow_dataset(filesystem=files)
        names = [name for name in columns if name in stored.schema.names]
        try:
            yield from stored.scanner(columns=names, filter=where, batch_readahead=2, fragment_readahead=1).to_batches()
        except (OSError, pa.ArrowException) as error:
            raise _failure(f"{self.name}: cannot be read", error) from error

    def partition_values(self, column: str) -> list[str]:
        """The values of a partition column for which there are files, in order."""
        return sorted({partition[column] for partition in self._for_reading().partitions()})

    def count(self, predicate: str | None = None) -> int:
        """How many rows fulfil the predicate (all without one)."""
        counted = self.query(f"SELECT COUNT(*) AS rows FROM t WHERE {predicate or 'true'}")
        return int(counted["rows"][0].as_py())

    def count_in(self, window: Window) -> int | None:
        """How many rows are of the window, mostly without a look at them; None where the table's files do not tell
        (of broken ones `count` says which)."""
        delta = self._for_reading()
        if not month_files.tell_their_rows(delta):
            return None
        try:
            return window.count(delta, self.path)
        except (OSError, pa.ArrowException):
            return None

    def query(self, sql: str, version: int | None = None) -> pa.Table:
        """The rows of a statement over the table, which it calls t. Files that their statistics exclude stay closed.

        Raises StoreError. (delta-rs's engine raises bare Exceptions.)
        """
        delta = self._for_reading() if version is None else self.open(version)
        try:
            return plain(pa.table(QueryBuilder().register("t", delta).execute(sql).read_all()))
        except Exception as error:
            if version is not None:
                raise HistoryGoneError(
                    f"{self.name}: version {version} cannot be read: {_first_line(error)}"
                ) from error
            raise _failure(f"{self.name}: cannot be read", error) from error

    def changes(self, first: int, last: int, columns: Sequence[str]) -> pa.Table:
        """The change feed of the versions first..last: the columns, and _change_type.

        Raises HistoryGoneError where a version, or a file of its feed, is not kept.
        """
        delta = self._for_reading()
        try:
            feed = delta.load_cdf(starting_version=first, ending_version=last, columns=[*columns, "_change_type"])
            return plain(pa.table(feed))
        except (DeltaError, OSError, pa.ArrowException) as error:
            raise HistoryGoneError(
                f"{self.name}: the change feed of versions {first}..{last} is gone ({_first_line(error)})"
            ) from error

    # ------------------------------------------------------------------------------------------------------ writing

    def overwrite(self, rows: pa.Table, predicate: str | None = None) -> int:
        """Replaces the rows of the predicate (all rows without one) in one commit; the version that it made.

        Rows outside the predicate are refused with a ContractError.
        """
        return self._written(rows, mode="overwrite", predicate=predicate, writer_properties=writing())

    def refill(self, rows: pa.Table, window: Window, before: int, seen: int) -> int | None:
        """Replaces the rows of the window, of which version `seen` holds `before`, in one commit, if that is the newest
        version and no other writer comes first; the version that it made.

        None, and nothing is changed, where that is not so, or the table's files do not tell their rows: `overwrite` is
        for these. The rows are in the table's columns and of the window.
        """
        delta = self.open()
        if delta.version() != seen or not month_files.tell_their_rows(delta) or not (before or len(rows)):
            return None
        added: list[AddAction] = []
        try:
            taken = month_files.taken_out(delta, self.path, window) if before else month_files.NOTHING
            added += taken.added
            if taken.rows == before:
                added += month_files.write(rows, self.path)
                delta.create_write_transaction(
                    [*taken.removed, *added],
                    "append",
                    delta.schema(),
                    [month_files.MONTH],
                    # without retries: a retried commit would come behind one that changed the window meanwhile
                    commit_properties=CommitProperties(max_commit_retries=0),
                )
                return seen + 1
        except CommitFailedError:
            pass
        except (DeltaError, OSError, pa.ArrowException) as error:
            self._discard(added)
            raise _failure(f"{self.name}: could not commit", error) from error
        self._discard(added)
        return None

    def join_small_files(self, day: str | None = None) -> None:
        """Has few files hold the table's rows, none of which changes; raises CommitFailedError where another writer
        commits meanwhile.

        A table of athletes by month, whose day is in the column `day`, gets its months in the order of athletes, but
        for the newest days. Of other tables delta-rs joins files by their size, whose rows they may be.
        """
        delta = self.open()
        feed = delta.metadata().configuration.get(CHANGE_FEED_PROPERTY) == "true"
        has_athletes = ID in {field.name for field in delta.schema().fields}
        if day is None or feed or not has_athletes or not month_files.tell_their_rows(delta):
            delta.optimize.compact(target_size=FILE_BYTES, writer_properties=writing())
            return
        for month, names in month_files.scattered(delta, day).items():
            self._put_in_order(month, names)

    def _put_in_order(self, month: str, names: Collection[str]) -> None:
        delta = self.open()
        moved = month_files.in_order(delta, self.path, month, names)
        if not moved.rows:  # all were replaced meanwhile
            return
        try:
            # refused, also when it is tried again, where another writer removed one of the files meanwhile
            delta.create_write_transaction(
                [*moved.removed, *moved.added], "append", delta.schema(), [month_files.MONTH]
            )
        except (DeltaError, OSError, pa.ArrowException):
            self._discard(moved.added)
            raise

    def _discard(self, added: Sequence[AddAction]) -> None:
        """Removes the files of a commit that failed; not where only what delta-rs does after it did, a checkpoint for
        which the disk has no room: then they hold the table's rows. Where that cannot be told they stay, unused."""
        try:
            live = set(pa.table(self.open().get_add_actions())["path"].to_pylist())
        except (AthleteAssetsError, DeltaError, OSError):
            return
        month_files.remove(self.path, [one.path for one in added if one.path not in live])

    def append(self, rows: pa.Table, row_group_rows: int | None = None) -> int:
        """Adds the rows in one commit; the version that it made."""
        return self._written(rows, mode="append", writer_properties=writing(row_group_rows))

    def upsert(
        self,
        rows: pa.Table,
        keys: Sequence[str],
        where: str | None = None,
        row_group_rows: int | None = None,
        nullable_keys: Collection[str] = (),
    ) -> None:
        """Replaces the rows with the keys of the given ones, and adds those that are new, in one commit.

        where: a condition on `old` rows that all rows to replace fulfil, by which files can be skipped. A null key
        equals none, so a row with one is always added; only in one of nullable_keys it equals itself.
        """
        equal = [f"old.{key} = fresh.{key}" for key in keys if key not in nullable_keys]
        # delta-rs takes IS NOT DISTINCT FROM, and fails on it
        equal += [f"(old.{key} = fresh.{key} OR (old.{key} IS NULL AND fresh.{key} IS NULL))" for key in nullable_keys]
        same = " AND ".join([*equal, *([where] if where else [])])

        def merge() -> None:
            merger = self.open().merge(
                rows,
                predicate=same,
                source_alias="fresh",
                target_alias="old",
                writer_properties=writing(row_group_rows),
            )
            merger.when_matched_update_all().when_not_matched_insert_all().execute()

        committed(merge, self.name)

    def rewrite(self, change: Callable[[pa.Table], pa.Table]) -> None:
        """Replaces all rows by what `change` makes of them, in one commit; again where another commit came between."""

        def write() -> None:
            delta = self.open()
            rows = change(rows_of(delta, self.path))
            # without retries: a retried overwrite would keep what another writer appended, and lose its replacements
            once = CommitProperties(max_commit_retries=0)
            write_deltalake(delta, rows, mode="overwrite", commit_properties=once, writer_properties=writing())

        committed(write, self.name)

    def delete(self, predicate: str) -> int:
        """Deletes the rows; how many they were. Commits nothing where there are none."""
        if not self.query(f"SELECT 1 FROM t WHERE {predicate} LIMIT 1").num_rows:
            return 0
        return int(committed(lambda: self.open().delete(predicate), self.name)["num_deleted_rows"])

    def forget_missing_files(self) -> None:
        """Drops the files from the log that are not there any more: their rows are gone, and readers go on."""
        committed(lambda: self.open().repair(), self.name)

    def _written(self, rows: pa.Table, **options: object) -> int:
        def write() -> int:
            delta = self.open()
            write_deltalake(delta, rows, target_file_size=FILE_BYTES, **options)  # type: ignore[call-overload]
            return int(delta.version())

        return committed(write, self.name)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with open(self.path.parent / f".{self.path.name}.lock", "w") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield


Identity = tuple[int, str, int, int, int]
MOST_KEPT = 32
_kept: dict[Path, tuple[Identity, DeltaTable]] = {}
_lock = threading.Lock()


def _identity(state: LogState) -> Identity | None:
    """Process and newest commit: its file, not its number alone, which a table that was made anew has, too."""
    if not state.commits:
        return None
    newest = state.commits[-1]
    try:
        found = newest.stat()
    except FileNotFoundError:
        return None
    return os.getpid(), newest.name, found.st_ino, found.st_mtime_ns, found.st_size


def rows_of(delta: DeltaTable, path: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """The rows of an opened table, as `DeltaFolder.rows` reads them."""
    files = SubTreeFileSystem(str(path), LocalFileSystem())
    return delta.to_pyarrow_table(columns=list(columns) if columns is not None else None, filesystem=files)


def committed(write: Callable[[], Result], name: str) -> Result:
    """Runs the write on the named table, again with jitter where another writer's commit came between.

    Raises ContractError for rows that delta-rs refuses, StoreError for every other failure.
    """

    def gave_up(state: RetryCallState) -> Result:
        assert state.outcome is not None
        error = state.outcome.exception()
        raise StoreError(f"{name}: {state.attempt_number} commits in a row met another writer: {error}") from error

    retrying = Retrying(
        retry=retry_if_exception_type(CommitFailedError),
        stop=stop_after_attempt(COMMIT_ATTEMPTS),
        wait=wait_random_exponential(multiplier=0.2),
        retry_error_callback=gave_up,
    )
    try:
        return retrying(write)
    except (DeltaError, OSError, TableNotFoundError) as error:
        if "failed validation check" in str(error):
            # delta-rs prints the rows themselves; an athlete's rows do not belong in a log
            raise ContractError(f"{name}: {_first_line(error)}") from None
        raise _failure(f"{name}: could not commit", error) from error


def span_sql(column: str, values: pa.Array | pa.ChunkedArray) -> str:
    """SQL for the rows whose text column lies from the smallest to the largest of the values: by that delta-rs skips
    files, and some rows between them remain."""
    smallest, largest = (delta_literal(str(bound)) for bound in pc.min_max(values).as_py().values())
    return f"{column} >= {smallest} AND {column} <= {largest}"


def writing(row_group_rows: int | None = None) -> WriterProperties:
    """How Parquet files are written: plain values under ZSTD, and bounds of each page for the athlete alone.

    Numbers of features hardly repeat. delta-rs's own way, dictionaries first and Snappy then, takes 1.4 to 2
    times the CPU and four thirds of the bytes (400,000 rows of performance, rolling and activity features). Pages are
    skipped by athlete; bounds of all columns take another 15 to 30 % of a write, and a file's own stay.
    """
    return WriterProperties(
        compression="ZSTD",
        compression_level=1,
        max_row_group_size=row_group_rows,
        default_column_properties=ColumnProperties(dictionary_enabled=False, statistics_enabled="CHUNK"),
        column_properties={ID: ColumnProperties(dictionary_enabled=False, statistics_enabled="PAGE")},
    )


LASTING = ("No space left", "Read-only file system", "Permission denied", "Not a directory", "quota exceeded")
"""What the system says of a disk that stays as it is until somebody acts."""
DAMAGED_FILE = re.compile(r"(?s)\.parquet.*(not found|No such file)|(not found|No such file).*\.parquet|Parquet error")
"""What delta-rs says of a data file that is missing, or not whole."""


def _failure(what: str, error: Exception) -> AthleteAssetsError:
    """The error for a table that could not be read or written: of the kind that may pass, or of the one that stays."""
    said = " ".join(str(error).split())[:300] or type(error).__name__
    if any(mark in str(error) for mark in LASTING):
        return LastingStoreError(f"{what}: {said}; free the disk or give the right, then run it again")
    if DAMAGED_FILE.search(str(error)):
        return DamageError(
            f"{what}: a data file is missing or broken: {said}; `athlete-assets repair` drops it from the log and "
            "computes its window anew"
        )
    return StoreError(f"{what}: {said}")


def _spark_type(type: object) -> str:
    """delta-rs's name of a type, in Spark's words."""
    if isinstance(type, ArrayType):
        return f"array<{_spark_type(type.element_type)}>"
    assert isinstance(type, PrimitiveType)
    return {"long": "bigint", "integer": "int", "short": "smallint", "byte": "tinyint"}.get(type.type, type.type)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:300]
