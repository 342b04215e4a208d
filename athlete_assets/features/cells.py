"""What the kernels over a hash bucket of athletes share: they compute arrays (days, athletes), and tables hold rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from athlete_assets import tables
from athlete_assets.days import Days, midnight
from athlete_assets.tables import Table

SECONDS_A_DAY = 86_400
MICROSECONDS_A_DAY = 86_400_000_000


def first_epoch_day(days: Days) -> int:
    """Days from 1970-01-01 to the first of the days."""
    return int(midnight(days.first).timestamp()) // SECONDS_A_DAY


def rows_of_cells(
    table: Table,
    columns: Mapping[str, NDArray[Any]],
    is_row: NDArray[np.bool_],
    athletes: pa.Array,
    first: int,
    choices: Mapping[str, pa.Array] | None = None,
) -> pa.Table:
    """The cells (day, athlete) that are rows, athlete by athlete, in the contract's columns and types.

    columns: by name, each (days, athletes) from epoch day `first`, NaN where null; a column of `choices` holds
    positions in the array that stands there. athlete_id, the day column and month follow from the cells.
    """
    athlete, day = np.nonzero(is_row.T)
    epoch_day = first + day
    month, month_index = np.unique(epoch_day.astype("datetime64[D]").astype("datetime64[M]"), return_inverse=True)
    made: dict[str, pa.Array] = {
        "athlete_id": athletes.take(pa.array(athlete)).cast(pa.string()),
        str(table.day_column): pa.array(epoch_day * MICROSECONDS_A_DAY).cast(pa.timestamp("us", "UTC")),
        "month": pa.array(month.astype(str), pa.string()).take(pa.array(month_index)),
    }
    for column in table.columns:
        if column.name not in made:
            value = columns[column.name][day, athlete]
            missing = np.isnan(value)
            if choices and column.name in choices:
                position = np.where(missing, 0, value).astype(np.int64)
                made[column.name] = choices[column.name].take(pa.array(position, mask=missing))
            elif column.type == tables.BIGINT:
                made[column.name] = pa.array(np.where(missing, 0, value).astype(np.int64), mask=missing)
            elif column.type == tables.BOOLEAN:
                made[column.name] = pa.array(value != 0, mask=missing)
            else:
                made[column.name] = pa.array(value, mask=missing)
    return pa.table({name: made[name] for name in table.column_names})
