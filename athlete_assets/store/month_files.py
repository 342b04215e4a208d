"""New rows of a Delta table as Parquet files, each of one month, which a commit then adds, in place of older ones.

delta-rs parts rows by month itself: it sorts those of each batch and copies every column, which of wide rows takes it
as long as to encode them. Here the months of a batch are slices of it, if it comes a month after the other
(`features.cells.rows_of` makes such rows), and Arrow writes them: half the CPU seconds (1.1 million rows of performance
features: 1.6 against 3.1). To replace a window delta-rs reads all files in which rows of it may be, which the log says
of few: of 12,137 athletes performance features were filled anew in 37 in place of 61 CPU seconds.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from deltalake import DeltaTable
from deltalake.transaction import AddAction, RemoveAction

from athlete_assets.days import Days, midnight
from athlete_assets.errors import StoreError
from athlete_assets.store.arrow import plain, plain_type
from athlete_assets.store.athletes import EVERYONE, ID, Athletes

MONTH = "month"
ROWS_A_FILE = 100_000
"""Rows come in the order of athletes, so that a late run of some has one file of a month written anew and not the whole
month, whoever else is in it. To open a file of fewer rows costs as much as to read them."""
ROWS_IN_ORDER = 500_000
"""About how many rows are in memory while a month is put in order."""
STILL_REPLACED = timedelta(days=3)
"""How much younger than a file's rows the newest ones of a table must be for the file to be joined with others."""
SAMPLE = 2_000
"""Rows in which repeated numbers are looked for."""
ROWS_A_NUMBER = 6
"""As many rows that share a number, on average, are written faster as places in a list of numbers than as numbers."""
PAGE_BYTES = 160_000
"""About 20,000 numbers, as of delta-rs: a reader of one athlete skips pages by the athletes in them."""
UNSEEN = frozenset({"deletionVectors", "columnMapping"})
"""What a table may have whose files do not hold its rows as they are. (This product makes none such.)"""
MILLISECOND = timedelta(milliseconds=1)


def write(rows: pa.Table, folder: Path) -> list[AddAction]:
    """Writes the rows, whose month is known, into files of a month below the folder: what a commit adds.

    Where that fails, none of the files stays.
    """
    parts: dict[str, list[pa.RecordBatch]] = {}
    for batch in rows.to_batches(max_chunksize=ROWS_A_FILE):
        for month, part in _by_month(batch):
            parts.setdefault(month, []).append(part)
    files = [
        (f"{MONTH}={month}/{uuid4()}.zstd.parquet", month, of_file)
        for month, of_month in parts.items()
        for of_file in _in_files(of_month)
    ]
    repeated = _repeated(rows)
    try:
        with ThreadPoolExecutor(os.cpu_count()) as threads:
            return list(threads.map(lambda file: _write(folder, file[0], file[1], file[2], repeated), files))
    except BaseException:
        remove(folder, [name for name, _, _ in files])
        raise


@dataclass(frozen=True)
class Rewritten:
    """What a commit says of files whose rows were written anew, or were taken out: the files that go, and those that
    hold what stays."""

    removed: list[RemoveAction]
    added: list[AddAction]
    rows: int
    """How many rows were taken out (`taken_out`), or moved (`in_order`)."""


NOTHING = Rewritten([], [], 0)


@dataclass(frozen=True)
class Window:
    """Rows of the days (column `day`) and athletes, None for all, of a table that lies by month."""

    day: str
    days: Days
    athletes: Athletes | None

    def count(self, delta: DeltaTable, folder: Path) -> int:
        """How many rows of the table are of the window."""
        with ThreadPoolExecutor(os.cpu_count()) as threads:
            return sum(threads.map(lambda file: self.rows_in(file, folder)[0], self.files(delta)))

    def files(self, delta: DeltaTable) -> list[dict[str, Any]]:
        """What the log says of the table's files."""
        said = pa.table(delta.get_add_actions(flatten=True))
        of_columns = [f"{of}.{name}" for name in (self.day, ID) for of in ("min", "max", "null_count")]
        names = ["path", "size_bytes", "num_records", f"partition.{MONTH}", *of_columns]
        return said.select([name for name in names if name in said.column_names]).to_pylist()

    def rows_in(self, file: Mapping[str, Any], folder: Path) -> tuple[int, int]:
        """How many rows of the file are of the window, and how many it has; (0, 0) where the log tells that none is."""
        whole, rows = self.holds(file), file.get("num_records")
        if whole is False:
            return 0, 0
        if whole and rows is not None:
            return rows, rows
        with pq.ParquetFile(folder / file["path"]) as stored:
            keys = plain(stored.read([self.day] if self.athletes is None else [self.day, ID]))
            return len(keys.filter(self.expression())), stored.metadata.num_rows

    def expression(self) -> pc.Expression:
        """For the rows of a month's file."""
        in_days = (pc.field(self.day) >= midnight(self.days.first)) & (pc.field(self.day) <= midnight(self.days.last))
        return in_days if self.athletes is None else in_days & self.athletes.expression()

    def holds(self, file: Mapping[str, Any]) -> bool | None:
        """Whether all rows of the file are of the window (True), or none (False); None where the log does not tell.
        (delta-rs keeps bounds of a table's first columns alone.)"""
        month, days = file[f"partition.{MONTH}"], self.days
        first, last = file.get(f"min.{self.day}"), file.get(f"max.{self.day}")
        before, after = (days.first - timedelta(days=1), days.last + timedelta(days=1))
        if not days.months[0] <= month <= days.months[1]:
            return False
        # whether all days of the month are among them
        of_days: bool | None = f"{before:%Y-%m}" < month < f"{after:%Y-%m}" or None
        if first is not None and last is not None and file.get(f"null_count.{self.day}") == 0:
            if last < midnight(days.first) or first > midnight(days.last):
                return False
            of_days = (midnight(days.first) <= first and last <= midnight(days.last)) or None
        if self.athletes is None:
            return of_days
        first, last = file.get(f"min.{ID}"), file.get(f"max.{ID}")
        if first is None or last is None or file.get(f"null_count.{ID}") != 0:
            return None
        of_athletes = self.athletes.hold_all(first, last)
        return False if of_athletes is False else of_days and of_athletes


def tell_their_rows(delta: DeltaTable) -> bool:
    """Whether the table lies by month, in files that hold its rows as they are."""
    return delta.metadata().partition_columns == [MONTH] and not UNSEEN & set(delta.protocol().reader_features or ())


def taken_out(delta: DeltaTable, folder: Path, window: Window) -> Rewritten:
    """What takes the window's rows out of the table, whose files tell their rows.

    Of most files the log's bounds tell that they hold such rows alone, or none; the others are read, and what stays is
    written anew, a file at a time.
    """
    schema = pa.schema(delta.schema().to_arrow())
    now = time.time_ns() // 1_000_000
    added: list[AddAction] = []

    def without(file: dict[str, Any]) -> tuple[RemoveAction | None, int]:
        """What removes the file, and how many of its rows are taken out; none of them, and it stays."""
        month = file[f"partition.{MONTH}"]
        taken, rows = window.rows_in(file, folder)
        if 0 < taken < rows:
            with pq.ParquetFile(folder / file["path"]) as stored:
                is_taken = window.expression()
                kept = _as(schema, stored.read(), month).filter(~is_taken | is_taken.is_null())
                added.extend(write(kept, folder))
                taken = rows - len(kept)
        return RemoveAction(file["path"], True, now, file["size_bytes"], {MONTH: month}) if taken else None, taken

    try:
        with ThreadPoolExecutor(os.cpu_count()) as threads:
            found = list(threads.map(without, window.files(delta)))
    except BaseException:
        remove(folder, [file.path for file in added])
        raise
    return Rewritten([removal for removal, _ in found if removal], added, sum(rows for _, rows in found))


def scattered(delta: DeltaTable, day: str) -> dict[str, list[str]]:
    """The files, by month, that are worth to be put in order: more than twice as many as their rows fill (than one,
    where they fill no more), or such that an athlete's rows lie among many others, as where days came one by one.

    Files with one of the newest days (column `day`) stay as they are: those days are still replaced, each by itself.
    """
    files = pa.table(delta.get_add_actions(flatten=True)).to_pylist()
    newest = max((file[f"max.{day}"] for file in files if file.get(f"max.{day}")), default=None)
    settled: dict[str, list[dict[str, Any]]] = {}
    for file in files:
        last = file.get(f"max.{day}")
        if last and file.get("num_records") and file.get(f"max.{ID}") and newest - last >= STILL_REPLACED:
            settled.setdefault(file[f"partition.{MONTH}"], []).append(file)
    return {
        month: [file["path"] for file in of_month] for month, of_month in settled.items() if _is_scattered(of_month)
    }


def _is_scattered(files: Sequence[Mapping[str, Any]]) -> bool:
    least = -(-sum(file["num_records"] for file in files) // ROWS_A_FILE)
    if len(files) > (1 if least == 1 else 2 * least):
        return True
    firsts = [file[f"min.{ID}"] for file in files]
    beside = sum(
        file["num_records"] for first in firsts for file in files if file[f"min.{ID}"] <= first <= file[f"max.{ID}"]
    )
    return beside > 2 * ROWS_A_FILE * len(files)


def in_order(delta: DeltaTable, folder: Path, month: str, names: Collection[str]) -> Rewritten:
    """What puts the rows of these files of a month in the order of athletes, in as few files as hold them. No row
    changes.

    Then a late run of some athletes has few files written anew, and a reader of some skips most.
    """
    schema, now = pa.schema(delta.schema().to_arrow()), time.time_ns() // 1_000_000
    said = pa.table(delta.get_add_actions(flatten=True)).select(["path", "size_bytes"])
    files = said.filter(pc.is_in(said["path"], pa.array(names, pa.string()))).to_pylist()
    if not files:
        return NOTHING
    order = [ID, *(one.name for one in schema if pa.types.is_timestamp(one.type))]

    def read(columns: list[str] | None = None) -> Iterator[pa.Table]:
        for file in files:
            with pq.ParquetFile(folder / file["path"]) as stored:
                yield plain(stored.read(columns))

    ids = pa.chunked_array([chunk for part in read([ID]) for chunk in part[ID].chunks], pa.string())
    known = pc.unique(ids.drop_null()).to_pylist()
    added: list[AddAction] = []
    rows = 0
    try:
        for part in EVERYONE.parts(known, max(1, len(known) * ROWS_IN_ORDER // max(1, len(ids)))):
            theirs = pa.concat_tables(_as(schema, of_file, month).filter(part.expression()) for of_file in read())
            rows += len(theirs)
            added += write(theirs.sort_by([(name, "ascending") for name in order]), folder)
        if rows != len(ids):
            raise StoreError(f"{folder.name}: {rows} of {len(ids)} rows of {month} were put in order; nothing changed")
    except BaseException:
        remove(folder, [file.path for file in added])
        raise
    return Rewritten(
        [RemoveAction(file["path"], False, now, file["size_bytes"], {MONTH: month}) for file in files],
        [replace(one, data_change=False) for one in added],
        rows,
    )


def _as(schema: pa.Schema, rows: pa.Table, month: str) -> pa.Table:
    """The rows of a file of the month in the table's columns: null where it was written before a column came. (What
    delta-rs merged holds string views, which Arrow does not filter.)"""
    columns = [
        pa.array([month] * len(rows), pa.string())
        if field.name == MONTH
        else rows[field.name].cast(plain_type(field.type))
        if field.name in rows.column_names
        else pa.nulls(len(rows), plain_type(field.type))
        for field in schema
    ]
    return pa.table(columns, names=schema.names)


def remove(folder: Path, names: Sequence[str]) -> None:
    """Removes those of the files that are there."""
    for name in names:
        with suppress(OSError):
            (folder / name).unlink(missing_ok=True)


def _by_month(rows: pa.RecordBatch) -> Iterator[tuple[str, pa.RecordBatch]]:
    """The rows of each month, in their order; some of one month may come after those of another."""
    if not rows.num_rows:
        return
    coded = rows[MONTH].dictionary_encode()
    month = coded.indices.to_numpy()
    begins = np.flatnonzero(np.diff(month, prepend=-1))
    if len(begins) > len(coded.dictionary):
        order = np.argsort(month, kind="stable")
        rows, month = rows.take(pa.array(order)), month[order]
        begins = np.flatnonzero(np.diff(month, prepend=-1))
    for start, end in zip(begins, np.append(begins[1:], len(month)), strict=True):
        yield coded.dictionary[month[start]].as_py(), rows.slice(start, end - start)


def _in_files(parts: Sequence[pa.RecordBatch]) -> Iterator[list[pa.RecordBatch]]:
    """The parts of each file, in their order: at most ROWS_A_FILE rows."""
    file, rows = list[pa.RecordBatch](), 0
    for part in parts:
        rows += len(part)
        if rows > ROWS_A_FILE:
            yield file
            file, rows = [], len(part)
        file.append(part)
    yield file


def _repeated(rows: pa.Table) -> list[str]:
    """The columns whose values many rows share, which are written as a list of the values and the places in it.

    Strings all are such: ids, sports, sources. Read and written that way the athlete's id takes two thirds of the time.
    Numbers are by a sample: counts, ages in days. They take two thirds of the time to write and a third of the bytes;
    other numbers take more.
    """
    batch = max(rows.to_batches(), key=len, default=None)
    if batch is None:
        return []
    sample = batch.take(pa.array(np.arange(0, len(batch), max(1, len(batch) // SAMPLE))))
    numbers = [one.name for one in rows.schema if pa.types.is_floating(one.type) or pa.types.is_integer(one.type)]
    strings = [one.name for one in rows.schema if pa.types.is_string(one.type)]
    repeated = [name for name in numbers if pc.count_distinct(sample[name]).as_py() * ROWS_A_NUMBER <= len(sample)]
    return [*strings, *repeated]


def _write(folder: Path, name: str, month: str, parts: Sequence[pa.RecordBatch], repeated: Sequence[str]) -> AddAction:
    rows = pa.Table.from_batches(parts).drop_columns([MONTH])
    bounded = [field.name for field in rows.schema if _has_bounds(field.type)]
    (folder / name).parent.mkdir(exist_ok=True)
    pq.write_table(
        rows,
        folder / name,
        compression="zstd",
        compression_level=1,
        use_dictionary=list(repeated),
        write_statistics=bounded,
        write_page_index=True,
        data_page_size=PAGE_BYTES,
        store_schema=False,
    )
    return AddAction(
        path=name,
        size=(folder / name).stat().st_size,
        partition_values={MONTH: month},
        modification_time=time.time_ns() // 1_000_000,
        data_change=True,
        stats=json.dumps(_statistics(rows, bounded)),
    )


def _has_bounds(type: pa.DataType) -> bool:
    """Whether rows are looked for by such values: by keys and moments, not by what was measured."""
    return bool(pa.types.is_string(type) or pa.types.is_integer(type) or pa.types.is_timestamp(type))


def _statistics(rows: pa.Table, bounded: Sequence[str]) -> dict[str, Any]:
    """The statistics of a file in the Delta log, by which readers leave it out."""
    bounds = {name: pc.min_max(rows[name]).as_py() for name in bounded}
    bounds = {name: found for name, found in bounds.items() if found["min"] is not None}
    return {
        "numRecords": rows.num_rows,
        "minValues": {name: _said(found["min"], rounded_up=False) for name, found in bounds.items()},
        "maxValues": {name: _said(found["max"], rounded_up=True) for name, found in bounds.items()},
        "nullCount": {name: rows[name].null_count for name in bounded},
    }


def _said(value: Any, rounded_up: bool) -> Any:
    """A bound as the protocol has it: moments to the millisecond, no smaller interval than that of the values."""
    if not isinstance(value, datetime):
        return value
    beyond = timedelta(microseconds=value.microsecond % 1000)
    moment = value - beyond + (MILLISECOND if rounded_up and beyond else timedelta())
    said = moment.replace(tzinfo=None).isoformat(timespec="milliseconds")
    return said if value.tzinfo is None else f"{said}Z"
