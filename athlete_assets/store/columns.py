"""Columns and choices of rows that several transforms share."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from athlete_assets import tables
from athlete_assets.days import Days, midnight
from athlete_assets.tables import Table


def within(table: Table, days: Days) -> Column:
    """The table's rows of the days; by month too, so that a reader skips the partitions of other months."""
    first_month, last_month = days.months
    return F.col("month").between(first_month, last_month) & F.col(str(table.day_column)).between(
        F.lit(midnight(days.first)), F.lit(midnight(days.last))
    )


def of_newest_month(rows: DataFrame) -> DataFrame:
    """The rows of the newest month that a table has: a look at its partitions, and no further."""
    return rows.where(F.col("month") == F.lit(rows.agg(F.max("month")).collect()[0][0]))


def known(name: str) -> Column:
    """The column, null where it is NaN or infinite: one such value would turn every sum that it enters."""
    value = F.col(name)
    return F.when(~F.isnan(value) & (F.abs(value) != F.lit(float("inf"))), value)


def content_digest(table: Table) -> Column:
    """An aggregate over rows in the table's contract: their `Written.digest`, before it is taken modulo 2^64.

    Spark's hash skips nulls, so each value is hashed with whether it is there, and a list with its length.
    """
    parts: list[Column] = []
    for column in table.columns:
        if column.name == tables.INGESTED:
            continue
        value = F.col(column.name)
        parts.append(value.isNull())
        if column.type in (tables.STRINGS, tables.DOUBLES):
            parts.append(F.size(value))
        # adding 0 turns -0 into 0
        parts.append(value.cast("float") + F.lit(0).cast("float") if column.type == tables.DOUBLE else value)
    return F.coalesce(F.sum(F.xxhash64(*parts).cast("decimal(38,0)")), F.lit(0).cast("decimal(38,0)"))
