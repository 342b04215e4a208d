"""Rows of any table contract for tests: plausible defaults, and what a test cares about by name."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession

from athlete_assets import tables
from athlete_assets.days import midnight
from athlete_assets.store.arrow import arrow_schema
from athlete_assets.tables import Table

DAY = date(2024, 5, 15)
DEFAULTS: dict[str, Any] = {
    tables.STRING: "x",
    tables.BIGINT: 1,
    tables.INT: 1,
    tables.DOUBLE: None,
    tables.BOOLEAN: False,
    tables.TIMESTAMP: midnight(DAY),
    tables.LOCAL_TIMESTAMP: datetime(2024, 5, 15, 7),
    tables.STRINGS: [],
    tables.DOUBLES: None,
}


def row(table: Table, **values: Any) -> dict[str, Any]:
    """One row: the given values, else a default of the column's type (1.0 for a number that may not be null)."""
    unknown = set(values) - set(table.column_names)
    assert not unknown, f"{table.name} has no column {unknown}"
    defaults = {column.name: DEFAULTS[column.type] for column in table.columns}
    defaults |= {c.name: 1.0 for c in table.columns if c.type == tables.DOUBLE and not c.nullable}
    if table.day_column and "month" in table.column_names:
        day = values.get(table.day_column, midnight(DAY))
        defaults["month"] = f"{day:%Y-%m}" if day else tables.OUTSIDE_CALENDAR
    return {**defaults, **values}


def rows(table: Table, *given: dict[str, Any]) -> pa.Table:
    """An Arrow table in the contract's schema."""
    return pa.Table.from_pylist([row(table, **values) for values in given], schema=arrow_schema(table))


def frame(spark: SparkSession, rows: pa.Table | list[tuple], schema: Table | str | None = None) -> DataFrame:
    """Rows as an engine's frame: as Arrow types them, or as a contract (every column nullable) or DDL does."""
    if schema is None:
        return spark.createDataFrame(rows)
    return spark.createDataFrame(rows, schema.ddl.replace(" NOT NULL", "") if isinstance(schema, Table) else schema)
