"""Any table as CSV, JSON or Parquet, for whoever wants the numbers elsewhere."""

from __future__ import annotations

import io
import json
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc

from athlete_assets import tables
from athlete_assets.errors import InputError
from athlete_assets.store.local import LocalStore
from athlete_assets.tables import Table
from athlete_assets.words import nearest

Format = Literal["csv", "json", "parquet"]
FORMATS: tuple[Format, ...] = ("csv", "json", "parquet")
SUMMARY = "summary"


def table_called(name: str) -> Table:
    """The table `name` or `schema.name`; `summary` is gold.athlete_metrics_summary. Raises InputError for another."""
    if name == SUMMARY:
        return tables.METRICS_SUMMARY
    found = [table for table in tables.ALL if name in (table.name, ".".join(table.path))]
    found = found[:1] if len(found) == 1 else [table for table in found if name == ".".join(table.path)]
    if not found:
        known = [SUMMARY, *(".".join(table.path) for table in tables.ALL)]
        raise InputError(f"there is no one table {name}; {nearest(name, known, 'the tables are')}")
    return found[0]


def exported(store: LocalStore, name: str, format: Format, athlete: str | None = None) -> bytes:
    """The table's rows (those of an athlete, where given) in order of its keys.

    CSV has a header, empty cells for null, and lists as JSON; times are ISO 8601 in UTC in CSV and JSON. Raises
    InputError for an unknown table, and for one that is not there yet.
    """
    table = table_called(name)
    if not store.exists(table):
        raise InputError(
            f"{'.'.join(table.path)} is not there yet; `athlete-assets run` makes what follows from silver"
        )
    rows = store.rows(table)
    if athlete is not None:
        rows = rows.filter(pc.equal(rows["athlete_id"], athlete))
    if table.keys:
        rows = rows.sort_by([(key, "ascending") for key in table.keys])
    if format == "parquet":
        import pyarrow.parquet as pq

        sink = io.BytesIO()
        pq.write_table(rows, sink)
        return sink.getvalue()
    if format == "json":
        plain = [{column: _plain(value) for column, value in row.items()} for row in rows.to_pylist()]
        return (json.dumps(plain, indent=2) + "\n").encode()
    return _csv(rows)


def _csv(rows: pa.Table) -> bytes:
    from pyarrow import csv

    for at, field in enumerate(rows.schema):
        if pa.types.is_list(field.type):
            texts = [None if value is None else json.dumps(value) for value in rows[at].to_pylist()]
            rows = rows.set_column(at, field.name, pa.array(texts, pa.string()))
        elif pa.types.is_timestamp(field.type):
            texts = [None if value is None else value.isoformat() for value in rows[at].to_pylist()]
            rows = rows.set_column(at, field.name, pa.array(texts, pa.string()))
    sink = io.BytesIO()
    csv.write_csv(rows, sink)
    return sink.getvalue()


def _plain(value: Any) -> Any:
    return value.isoformat() if hasattr(value, "isoformat") else value
