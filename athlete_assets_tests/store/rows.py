"""Small tables in the product's contracts, made of values that one can write by hand."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date

import pyarrow as pa

from athlete_assets import tables
from athlete_assets.days import Days, midnight
from athlete_assets.store.arrow import arrow_schema

ZEROS = {tables.DOUBLE: 0.0, tables.BIGINT: 0, tables.BOOLEAN: False, tables.STRING: ""}


def daily(athlete: str, days: Iterable[date], distance_km: float = 10.0) -> pa.Table:
    """One row of athlete_daily_features a day, each of the same distance; what else must not be null is zero."""
    zeros = {column.name: None if column.nullable else ZEROS.get(column.type) for column in tables.DAILY.columns}
    return pa.Table.from_pylist(
        [
            {
                **zeros,
                "athlete_id": athlete,
                "activity_date": midnight(day),
                "distance_km": distance_km,
                "month": f"{day:%Y-%m}",
            }
            for day in days
        ],
        schema=arrow_schema(tables.DAILY),
    )


def rejects(rows: Iterable[tuple[int, date | None, str]]) -> pa.Table:
    """Rejected activities by (id, day or None outside the calendar, reason)."""
    schema = arrow_schema(tables.REJECTS)
    return pa.Table.from_pylist(
        [
            {
                **dict.fromkeys(schema.names),
                "athlete_id": "a",
                "id": number,
                "activity_date": midnight(day) if day else None,
                "reject_reasons": [reason],
                "month": f"{day:%Y-%m}" if day else tables.OUTSIDE_CALENDAR,
            }
            for number, day, reason in rows
        ],
        schema=schema,
    )


def span(first: str, last: str) -> Days:
    return Days(date.fromisoformat(first), date.fromisoformat(last))
