"""Arrow schemas of the table contracts, and the checks that rows fit theirs before anything is written."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from athlete_assets import tables
from athlete_assets.days import Days, midnight
from athlete_assets.errors import ContractError
from athlete_assets.store.athletes import ID, Athletes
from athlete_assets.store.findings import repeated_keys
from athlete_assets.words import counted, verb

ARROW_TYPES: dict[str, pa.DataType] = {
    tables.STRING: pa.string(),
    tables.BIGINT: pa.int64(),
    tables.INT: pa.int32(),
    tables.DOUBLE: pa.float64(),
    tables.BOOLEAN: pa.bool_(),
    tables.TIMESTAMP: pa.timestamp("us", "UTC"),
    tables.LOCAL_TIMESTAMP: pa.timestamp("us"),
    tables.STRINGS: pa.list_(pa.string()),
    tables.DOUBLES: pa.list_(pa.float64()),
}


def arrow_schema(table: tables.Table, comments: bool = False) -> pa.Schema:
    """The table's Arrow schema, in column order, with nullability; with `comments`, each column's sentence and unit."""
    return pa.schema(
        [
            pa.field(
                column.name,
                ARROW_TYPES[column.type],
                column.nullable,
                metadata={"comment": described(column)} if comments else None,
            )
            for column in table.columns
        ]
    )


def described(column: tables.Column) -> str:
    """The column's sentence, with its unit where it has one: its comment in Delta and in Unity Catalog."""
    return f"{column.comment} Unit: {column.unit}." if column.unit else column.comment


def fitted(rows: pa.Table, table: tables.Table) -> pa.Table:
    """The rows with exactly the table's columns, order and types.

    Only lossless widening is done (int to bigint, large to plain strings). Raises ContractError that names table and
    column for one that is missing, unknown, of another type, or null where the contract forbids it.
    """
    return fitted_to(rows, arrow_schema(table), ".".join(table.path))


def fitted_to(rows: pa.Table, schema: pa.Schema, name: str, widen: bool = True) -> pa.Table:
    """`fitted` for any schema of the named table; without `widen` the types must be the same, as Delta holds them."""
    unknown = sorted(set(rows.column_names) - set(schema.names))
    if unknown:
        raise ContractError(f"{name}: unknown column {unknown[0]}; the contract is in athlete_assets/tables.py")
    columns = []
    for field in schema:
        if field.name not in rows.column_names:
            raise ContractError(f"{name}: column {field.name} is missing")
        column = rows.column(field.name)
        if column.type != field.type:
            same = plain_type(column.type) == field.type
            if not same and not (widen and _widens(column.type, field.type)):
                raise ContractError(f"{name}: column {field.name} is {column.type}, the contract says {field.type}")
            column = column.cast(field.type)
        if column.null_count and not field.nullable:
            raise ContractError(f"{name}: column {field.name} has {column.null_count} nulls, the contract forbids them")
        columns.append(column)
    return pa.table(columns, schema=schema)


def plain_type(type: pa.DataType) -> pa.DataType:
    """The Arrow type that Delta holds for one that an engine gives: large strings and views are strings."""
    if pa.types.is_large_string(type) or pa.types.is_string_view(type):
        return pa.string()
    if pa.types.is_large_binary(type) or pa.types.is_binary_view(type):
        return pa.binary()
    if pa.types.is_list(type) or pa.types.is_large_list(type):
        return pa.list_(plain_type(type.value_type))
    if pa.types.is_timestamp(type):
        return pa.timestamp("us", type.tz)
    return type


def plain(rows: pa.Table) -> pa.Table:
    """The rows in the types that Delta holds: merges write string views, and joins and groups refuse those."""
    return rows.cast(pa.schema([field.with_type(plain_type(field.type)) for field in rows.schema]))


def refuse_repeated_keys(rows: pa.Table, name: str, keys: Sequence[str]) -> None:
    """Raises ContractError where two rows have the same keys; a table without keys may repeat anything."""
    repeated = repeated_keys(rows, keys)
    if repeated:
        raise ContractError(
            f"{name}: {counted(repeated, 'row')} {verb(repeated, 'repeats', 'repeat')} the key ({', '.join(keys)})"
        )


def refuse_outside(rows: pa.Table, table: tables.Table, days: Days | None) -> None:
    """Raises ContractError for rows outside the days, or whose month is not that of their day.

    A row whose month is wrong would be written, and then be missed by every later read and replacement of its day.
    """
    if table.day_column is None or "month" not in table.column_names or not rows.num_rows:
        return
    day, month = rows.column(table.day_column), rows.column("month")
    agrees = _months_agree(day, month)
    inside = (
        pc.and_(
            pc.greater_equal(day, pa.scalar(midnight(days.first), day.type)),
            pc.less_equal(day, pa.scalar(midnight(days.last), day.type)),
        )
        if days
        else pc.is_valid(day)
    )
    belongs = pc.and_(agrees, inside).fill_null(False)
    if table == tables.REJECTS:
        belongs = pc.or_(belongs, pc.equal(month, tables.OUTSIDE_CALENDAR))
    strangers = rows.num_rows - (pc.sum(belongs).as_py() or 0)
    if strangers:
        raise ContractError(
            f"{'.'.join(table.path)}: {counted(strangers, 'row')} {verb(strangers, 'lies', 'lie')} outside the window "
            f"{days or 'of all days'} (by {table.day_column} and month) that was to be replaced"
        )


def refuse_others(rows: pa.Table, table: tables.Table, athletes: Athletes | None) -> None:
    """Raises ContractError for rows of other athletes than the given ones (of any for None)."""
    if athletes is None:
        return
    strangers = rows.num_rows - (pc.sum(athletes.hold(rows.column(ID))).as_py() or 0)
    if strangers:
        raise ContractError(
            f"{'.'.join(table.path)}: {counted(strangers, 'row')} {verb(strangers, 'is', 'are')} of others than the "
            f"{athletes} whose rows were to be replaced"
        )


def _months_agree(day: pa.ChunkedArray, month: pa.ChunkedArray) -> pa.Array:
    """Whether each month (yyyy-MM) is that of its day; null where the day is. Months are spelled once for each
    distinct day: by row that costs 40 times as much."""
    days, months = (column.combine_chunks().dictionary_encode() for column in (day, month))
    position = pc.index_in(pc.strftime(days.dictionary, format="%Y-%m"), value_set=months.dictionary)
    return pc.equal(pc.fill_null(position, -1).take(days.indices), pc.fill_null(months.indices, -2))


def _widens(found: pa.DataType, wanted: pa.DataType) -> bool:
    if pa.types.is_null(found):
        return True
    if pa.types.is_integer(found):
        return pa.types.is_integer(wanted) and wanted.bit_width >= found.bit_width
    if pa.types.is_float32(found):
        return pa.types.is_float64(wanted)
    if pa.types.is_timestamp(found) and pa.types.is_timestamp(wanted):
        return (found.tz is None) == (wanted.tz is None)
    if pa.types.is_list(found) or pa.types.is_large_list(found):
        return pa.types.is_list(wanted) and (
            found.value_type == wanted.value_type or _widens(found.value_type, wanted.value_type)
        )
    return (pa.types.is_large_string(found) or pa.types.is_string_view(found)) and pa.types.is_string(wanted)


def nullable(values: NDArray[Any], is_null: NDArray[np.bool_] | None = None) -> pa.Array:
    """Floats, integers or booleans (values,) as an Arrow array, null where `is_null`; without it, where they are NaN.

    Made of the buffers: `pa.array(values, mask=...)` goes through the values one by one, at 50 ns each.
    """
    if is_null is None:
        is_null = np.isnan(values)
    if not is_null.any():
        return pa.array(values)
    known = pa.py_buffer(np.packbits(~is_null, bitorder="little"))
    data = np.packbits(values, bitorder="little") if values.dtype == bool else np.ascontiguousarray(values)
    return pa.Array.from_buffers(pa.from_numpy_dtype(values.dtype), len(values), [known, pa.py_buffer(data)])


def months_of(epoch_day: NDArray[np.int64]) -> pa.Array:
    """The month (yyyy-MM) of each day, spelled once for each month."""
    months = epoch_day.astype("datetime64[D]").astype("datetime64[M]").astype(np.int64)  # since 1970-01
    first = int(months.min()) if len(months) else 0
    last = int(months.max()) if len(months) else 0
    names = np.arange(first, last + 1).astype("datetime64[M]").astype(str)
    return pa.array(names, pa.string()).take(pa.array(months - first))
