"""What the kernels over a hash bucket of athletes share: they compute arrays, and tables hold rows."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from athlete_assets import tables
from athlete_assets.days import Days, midnight
from athlete_assets.store.arrow import months_of, nullable
from athlete_assets.store.by_athlete import Calls, Inputs
from athlete_assets.tables import Table

SECONDS_A_DAY = 86_400
MICROSECONDS_A_DAY = 86_400_000_000
ROWS_A_CALL = 50_000
"""Of the kernels of weekly, rolling and performance features, which have some thousand steps a call, and of few days:
with half as many rows they take 15 to 25 % more CPU seconds, and twice as many leave the caches."""
DAYS_IN_TURN = 30
"""Kernels that make so few days of features are called one after the other: most of their steps are so short that two
threads wait for each other's interpreter lock. One day of 12,137 athletes then takes a tenth less CPU and no longer, 30
days a fifth to a third less; two years are ready a fifth sooner side by side."""
ROWS_A_RUN = 4
"""Where ids come in runs as long on average, as files hold a month of an athlete after another, each run is coded once,
which takes three fifths of the time."""


def first_epoch_day(days: Days) -> int:
    """Days from 1970-01-01 to the first of the days."""
    return int(midnight(days.first).timestamp()) // SECONDS_A_DAY


def calls_for(days: Days, rows: int | None = None) -> Calls:
    """How a kernel that makes features of the days is called; rows: at once, of many days, if not ROWS_A_CALL."""
    are_few = len(days) <= DAYS_IN_TURN
    return Calls(ROWS_A_CALL if are_few or rows is None else rows, side_by_side=not are_few)


def athletes_of(inputs: Mapping[str, pa.Table]) -> tuple[pa.Array, dict[str, NDArray[np.intp]]]:
    """The athletes of a bucket's inputs by id, and the position among them of each row's, by input.

    By id, since files hold what is made of them in this order, and whoever then reads those for other buckets finds
    each bucket's rows in long runs (`by_athlete`).
    """
    found = inputs.athletes if isinstance(inputs, Inputs) else None
    if found is None:
        chunks = [chunk for rows in inputs.values() for chunk in rows["athlete_id"].chunks]
        athletes, of_rows = _coded(pa.chunked_array(chunks, pa.string()).combine_chunks())
        of_rows.flags.writeable = False  # two may hold it
        ends = np.cumsum([rows.num_rows for rows in inputs.values()])[:-1]
        found = athletes, dict(zip(inputs, np.split(of_rows, ends), strict=True))
        if isinstance(inputs, Inputs):
            inputs.athletes = found
    return found


def _coded(ids: pa.Array) -> tuple[pa.Array, NDArray[np.intp]]:
    """The distinct ids in order, and of each row the position of its own."""
    goes_on = pc.equal(ids[1:], ids[:-1]).to_numpy(zero_copy_only=False)
    begins = np.flatnonzero(np.append(len(ids) > 0, ~goes_on))
    in_runs = len(begins) * ROWS_A_RUN <= len(ids)
    found = (ids.take(pa.array(begins)) if in_runs else ids).dictionary_encode()
    order = pc.sort_indices(found.dictionary)
    place = np.empty(len(order), dtype=np.intp)
    place[order.to_numpy()] = np.arange(len(order))
    of_rows = place[found.indices.to_numpy()]
    return found.dictionary.take(order), np.repeat(of_rows, np.diff(begins, append=len(ids))) if in_runs else of_rows


def epoch_days(rows: pa.Table, name: str) -> NDArray[np.int64]:
    """Days from 1970-01-01 to those of a column of midnights."""
    return rows[name].cast(pa.int64()).to_numpy() // MICROSECONDS_A_DAY


def known(rows: pa.Table, name: str) -> NDArray[np.float64]:
    """The column as numbers, NaN where it is null or infinite: one such value would turn every sum that it enters."""
    values = rows[name].cast(pa.float64()).to_numpy()
    return np.where(np.isinf(values), np.nan, values)


def is_true(rows: pa.Table, name: str) -> NDArray[np.bool_]:
    """The column, False where it is null."""
    return pc.fill_null(rows[name], False).to_numpy()


def is_in(rows: pa.Table, name: str, values: Collection[str]) -> NDArray[np.bool_]:
    """Whether the column has one of the values."""
    return pc.is_in(rows[name], pa.array(values, pa.string())).to_numpy()


def by_month(epoch_day: NDArray[np.int64]) -> NDArray[np.intp]:
    """The order of the rows by month, those of a month as they are."""
    month = epoch_day.astype("datetime64[D]").astype("datetime64[M]").astype(np.int64)
    return np.argsort((month - month.min(initial=0)).astype(np.uint16), kind="stable")  # by radix


def rows_of(
    table: Table,
    columns: Mapping[str, NDArray[Any]],
    athletes: pa.Array,
    epoch_day: NDArray[np.int64],
    choices: Mapping[str, pa.Array] | None = None,
) -> pa.Table:
    """The rows of these athletes and days, in the contract's columns and types, a month after the other, as files hold
    them.

    columns: by name, each (rows,), NaN where null; a column of `choices` holds positions in the array that stands
    there. athlete_id, the day column and month follow from the rows' athletes and days.
    """
    order = by_month(epoch_day)
    athletes, epoch_day = athletes.take(pa.array(order)), epoch_day[order]
    made: dict[str, pa.Array] = {
        "athlete_id": athletes.cast(pa.string()),
        str(table.day_column): pa.array(epoch_day * MICROSECONDS_A_DAY).cast(pa.timestamp("us", "UTC")),
        "month": months_of(epoch_day),
    }
    for column in table.columns:
        if column.name not in made:
            value = columns[column.name][order]
            missing = np.isnan(value)
            if choices and column.name in choices:
                position = np.where(missing, 0, value).astype(np.int64)
                made[column.name] = choices[column.name].take(nullable(position, missing))
            elif column.type == tables.BIGINT:
                made[column.name] = nullable(np.where(missing, 0, value).astype(np.int64), missing)
            elif column.type == tables.BOOLEAN:
                made[column.name] = nullable(value != 0, missing)
            else:
                made[column.name] = nullable(value, missing)
    return pa.table({name: made[name] for name in table.column_names})
