"""Arrow schemas of the table contracts, and the checks that rows fit theirs before anything is written."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from athlete_assets import tables
from athlete_assets.days import Days, midnight
from athlete_assets.errors import ContractError

ARROW_TYPES: dict[str, pa.DataType] = {
    tables.STRING: pa.string(),
    tables.BIGINT: pa.int64(),
    tables.INT: pa.int32(),
    tables.DOUBLE: pa.float64(),
    tables.BOOLEAN: pa.bool_(),
    tables.TIMESTAMP: pa.timestamp("us", "UTC"),
    tables.LOCAL_TIMESTAMP: pa.timestamp("us"),
    tables.STRINGS: pa.list_(pa.string()),
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
    schema = arrow_schema(table)
    unknown = sorted(set(rows.column_names) - set(schema.names))
    if unknown:
        raise ContractError(
            f"{'.'.join(table.path)}: unknown column {unknown[0]}; the contract is in athlete_assets/tables.py"
        )
    columns = []
    for field in schema:
        if field.name not in rows.column_names:
            raise ContractError(f"{'.'.join(table.path)}: column {field.name} is missing")
        column = rows.column(field.name)
        if column.type != field.type:
            if not _widens(column.type, field.type):
                raise ContractError(
                    f"{'.'.join(table.path)}: column {field.name} is {column.type}, the contract says {field.type}"
                )
            column = column.cast(field.type)
        if column.null_count and not field.nullable:
            raise ContractError(
                f"{'.'.join(table.path)}: column {field.name} has {column.null_count} nulls, the contract forbids them"
            )
        columns.append(column)
    return pa.table(columns, schema=schema)


def refuse_repeated_keys(rows: pa.Table, table: tables.Table) -> None:
    """Raises ContractError where two rows have the same keys; a table without keys may repeat anything."""
    if not table.keys or not rows.num_rows:
        return
    repeated = rows.num_rows - rows.group_by(list(table.keys)).aggregate([]).num_rows
    if repeated:
        raise ContractError(f"{'.'.join(table.path)}: {repeated} rows repeat the key ({', '.join(table.keys)})")


def refuse_outside(rows: pa.Table, table: tables.Table, days: Days | None) -> None:
    """Raises ContractError for rows outside the days, or whose month is not that of their day.

    A row whose month is wrong would be written, and then be missed by every later read and replacement of its day.
    """
    if table.day_column is None or "month" not in table.column_names or not rows.num_rows:
        return
    day, month = rows.column(table.day_column), rows.column("month")
    agrees = pc.equal(pc.strftime(day, format="%Y-%m"), month)
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
            f"{'.'.join(table.path)}: {strangers} rows lie outside the window {days or 'of all days'} "
            f"(by {table.day_column} and month) that they were to replace"
        )


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
