"""What rows hold that their table's contract forbids, counted in one pass over them.

A store finds it of the rows that it is about to write, so that a check need not read them back. Findings of disjoint
windows add up, but for keys that could stand in two of them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from athlete_assets import tables
from athlete_assets.store.digest import row_hashes
from athlete_assets.tables import Column, Table

if TYPE_CHECKING:
    from pyspark.sql import Column as SparkColumn
    from pyspark.sql import DataFrame

ROWS_A_RUN = 8
"""Runs as short take as long to compare as their rows to be hashed."""


@dataclass(frozen=True)
class Findings:
    """Counts of rows, of those that repeat a key, and of nulls and values outside their limits by column."""

    rows: int
    repeated_keys: int
    nulls: Mapping[str, int]
    """By column that must be known."""
    outside: Mapping[str, int]
    """By column with limits: values beyond them, or NaN."""

    def __add__(self, other: Findings) -> Findings:
        return Findings(
            self.rows + other.rows,
            self.repeated_keys + other.repeated_keys,
            {name: count + other.nulls[name] for name, count in self.nulls.items()},
            {name: count + other.outside[name] for name, count in self.outside.items()},
        )


def keys_tell_their_window(table: Table) -> bool:
    """Whether a key holds its row's day, so that two disjoint windows never share one."""
    return table.day_column in table.keys


def bounded(table: Table) -> list[Column]:
    """The columns with limits."""
    return [column for column in table.columns if column.low is not None or column.high is not None]


def required(table: Table) -> list[str]:
    """The columns that must not be null."""
    return [column.name for column in table.columns if not column.nullable]


# ------------------------------------------------------------------------------------------------------ Arrow rows


def findings_of(rows: pa.Table | pa.RecordBatch, table: Table, repeated: int | None = None) -> Findings:
    """Of rows in the contract's types; a column that the table got later may be missing.

    repeated: how many rows repeat a key, where that is known.
    """
    names = set(rows.schema.names)
    return Findings(
        rows.num_rows,
        repeated_keys(rows, table.keys) if repeated is None else repeated,
        {name: rows.column(name).null_count for name in required(table)},
        {
            column.name: _beyond(rows.column(column.name), column) if column.name in names else 0
            for column in bounded(table)
        },
    )


def findings_in(batches: Iterable[pa.RecordBatch], table: Table) -> Findings:
    """Of the batches together, of which no more than the keys stay in memory."""
    total = Findings(0, 0, dict.fromkeys(required(table), 0), dict.fromkeys((c.name for c in bounded(table)), 0))
    keys = []
    for batch in batches:
        total += findings_of(batch, table, repeated=0)
        keys.append(batch.select(list(table.keys)))
    repeated = repeated_keys(pa.Table.from_batches(keys), table.keys) if keys else 0
    return replace(total, repeated_keys=repeated)


def repeated_keys(rows: pa.Table | pa.RecordBatch, keys: Sequence[str]) -> int:
    """How many rows have the keys of another one, that one not counted; a table without keys may repeat anything.

    Features come in runs of an athlete's days, which show that all differ (`_are_in_runs`). Elsewhere rows whose hashes
    differ have different keys, and only the others are looked at: a grouping of all takes ten times as long.
    """
    if not keys or not rows.num_rows:
        return 0
    wanted = (rows if isinstance(rows, pa.Table) else pa.Table.from_batches([rows])).select(list(keys))
    if len(keys) == 2 and _are_in_runs(*(wanted[key].combine_chunks() for key in keys)):
        return 0
    hashes = row_hashes(pa.table([_numbers(wanted[key]) for key in keys], list(keys)))
    in_order = np.sort(hashes)
    twice = in_order[1:][in_order[1:] == in_order[:-1]]
    if not len(twice):
        return 0
    alike = wanted.filter(pa.array(np.isin(hashes, twice)))
    return alike.num_rows - alike.group_by(list(keys)).aggregate([]).num_rows


def _are_in_runs(first: pa.Array, second: pa.Array) -> bool:
    """Whether the rows come in long runs of one value of the first column, in each of which the second, of numbers or
    moments, rises, and no two runs of a value overlap: then no two rows are the same."""
    if first.null_count or second.null_count or not _is_number(second.type):
        return False
    number = second.cast(pa.int64()).to_numpy()
    goes_on = pc.equal(first[1:], first[:-1]).to_numpy(zero_copy_only=False) & (number[1:] > number[:-1])
    begins = np.flatnonzero(np.append(True, ~goes_on))
    if len(begins) * ROWS_A_RUN > len(number):
        return False
    of = first.take(pa.array(begins)).dictionary_encode().indices.to_numpy()
    low, high = number[begins], number[np.append(begins[1:], len(number)) - 1]
    order = np.lexsort((low, of))
    of, low, high = of[order], low[order], high[order]
    return not ((of[1:] == of[:-1]) & (low[1:] <= high[:-1])).any()


def _is_number(type: pa.DataType) -> bool:
    return bool(pa.types.is_integer(type) or pa.types.is_timestamp(type))


def _numbers(values: pa.ChunkedArray) -> pa.Array:
    """The values where they are numbers already, else a number for each distinct one."""
    values = values.combine_chunks()
    if _is_number(values.type):
        return values
    return pc.dictionary_encode(values, null_encoding="encode").indices


def _beyond(values: pa.Array | pa.ChunkedArray, column: Column) -> int:
    """How many values lie outside the column's limits, or are NaN."""
    is_double = column.type == tables.DOUBLE
    low, high = _extremes(values)
    inside = (
        (low is None or column.low is None or low >= column.low)
        and (high is None or column.high is None or high <= column.high)
        and not (is_double and _holds_nan(values, low))
    )
    if inside:
        return 0
    wrong = pc.is_nan(values) if is_double else pa.scalar(False)
    if column.low is not None:
        wrong = pc.or_(wrong, pc.less(values, column.low))
    if column.high is not None:
        wrong = pc.or_(wrong, pc.greater(values, column.high))
    return pc.sum(wrong).as_py() or 0


def _extremes(values: pa.Array | pa.ChunkedArray) -> tuple[float | None, float | None]:
    """The smallest and the largest value, None where there is none; of floats without nulls NaN where one is."""
    if pa.types.is_floating(values.type) and len(values) and not values.null_count:
        chunks = values.chunks if isinstance(values, pa.ChunkedArray) else [values]
        parts = [chunk.to_numpy() for chunk in chunks if len(chunk)]
        # NumPy is faster at it than Arrow, and tells of a NaN
        return float(np.min([part.min() for part in parts])), float(np.max([part.max() for part in parts]))
    low, high = pc.min_max(values).as_py().values()
    return low, high


def _holds_nan(values: pa.Array | pa.ChunkedArray, low: float | None) -> bool:
    """Whether any of the numbers is NaN: then their sum is, which is the cheaper question. low: of `_extremes`."""
    if not values.null_count:
        return low is not None and math.isnan(low)
    total = pc.sum(values).as_py()
    return total is not None and math.isnan(total) and bool(pc.any(pc.is_nan(values)).as_py())


# ------------------------------------------------------------------------------------------------------ Spark rows


def findings_of_frame(rows: DataFrame, table: Table) -> Findings:
    """`findings_of` for a frame in the contract's columns."""
    counted = rows.agg(*finding_columns(table)).first()
    assert counted is not None
    # not a count of distinct keys beside the others: on Sail that of several columns does not end on 2.65 million rows
    distinct = rows.select(*table.keys).distinct().count() if table.keys else counted["rows"]
    return findings_in_row(counted.asDict(), table, counted["rows"] - distinct)


def finding_columns(table: Table) -> list[SparkColumn]:
    """The aggregates from which `findings_in_row` reads all but the repeated keys."""
    from pyspark.sql import functions as F

    return [
        F.count(F.lit(1)).alias("rows"),
        *(_count(F.col(name).isNull()).alias(f"null {name}") for name in required(table)),
        *(_count(_is_beyond(column)).alias(f"outside {column.name}") for column in bounded(table)),
    ]


def findings_in_row(counted: Mapping[str, Any], table: Table, repeated: int) -> Findings:
    """The findings in a row of `finding_columns`."""
    return Findings(
        int(counted["rows"]),
        repeated,
        {name: int(counted[f"null {name}"]) for name in required(table)},
        {column.name: int(counted[f"outside {column.name}"]) for column in bounded(table)},
    )


def _is_beyond(column: Column) -> SparkColumn:
    from pyspark.sql import functions as F

    value, wrong = F.col(column.name), F.lit(False)
    if column.low is not None:
        wrong = wrong | (value < column.low)
    if column.high is not None:
        wrong = wrong | (value > column.high)
    # NaN is greater than every number, so it falls outside wherever a column has an upper bound; test it everywhere.
    return wrong | F.isnan(value) if column.type == tables.DOUBLE else wrong


def _count(condition: SparkColumn) -> SparkColumn:
    from pyspark.sql import functions as F

    return F.coalesce(F.sum(condition.cast("bigint")), F.lit(0).cast("bigint"))
