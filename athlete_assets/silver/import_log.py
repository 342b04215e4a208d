"""Which imports a home has had, and the way back from the last one: `athlete-assets imports` and `undo`.

An import notes the version of each table before and after it; what notes it is written before the first row, so that
an import that was killed can be taken back, too. To take it back, the rows by which the two differ become
what they were; what was said, marked or imported otherwise stays. Two commits a table; a call that was killed is
completed by the next.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from athlete_assets import tables
from athlete_assets.errors import DamageError, InputError
from athlete_assets.silver import landing
from athlete_assets.store.arrow import arrow_schema
from athlete_assets.store.delta_folder import DeltaFolder, HistoryGoneError
from athlete_assets.store.local import LocalStore
from athlete_assets.store.sql import delta_literal
from athlete_assets.tables import Table

BY_ACTIVITY = {
    **dict.fromkeys(tables.OF_ACTIVITIES, "activity_id"),
    tables.STRAVA_ACTIVITIES: "id",
    tables.SESSIONS: "session_id",
}
"""The tables whose rows are put back by activity, and the column that names it; the others' by athlete."""
IMPORTED = (
    *tables.OF_ACTIVITIES,
    tables.STRAVA_ATHLETE,
    tables.RACES,
    tables.SESSIONS,
    tables.STRAVA_ACTIVITIES,
)
"""What an import writes, in the order in which it is put back."""
MARKER = "import_begun.json"
"""Beside the tables while an import lands: which one, and where the tables stood before it."""

Versions = Mapping[str, int | None]
"""By table name; None where there is no such table."""


def versions(store: LocalStore) -> Versions:
    """Where the tables stand."""
    return {table.name: store.version(table) for table in IMPORTED}


@dataclass
class Noted:
    """What is told of an import, while it lands."""

    athlete: str | None = None
    """None of several ones' file."""
    read: int = 0
    new: int = 0
    changed: int = 0
    number: int | None = None
    """When it is done; None where it changed nothing."""


@contextmanager
def noted(store: LocalStore, file: str) -> Iterator[Noted]:
    """Around what an import writes: no other import lands meanwhile, and it is noted whatever ends it, a kill too."""
    with landing.landing_lock(store):
        begun = begin(store, file)
        told = Noted()
        try:
            yield told
        except BaseException:
            complete(store)
            raise
        if versions(store) != begun["versions"]:
            _note(store, begun, told)
            told.number = begun["number"]
        _marker(store).unlink()


def begin(store: LocalStore, file: str) -> dict[str, Any]:
    """Writes down, under the caller's `landing_lock`, that an import begins to write, and where the tables stand."""
    complete(store)
    number = max((row["import_number"] for row in imports(store)), default=0) + 1
    name = re.sub(r"[^\s@]+@[^\s@]+", "(an address)", file)
    begun = {"number": number, "file": name, "versions": versions(store)}
    partial = _marker(store).with_suffix(".partial")
    partial.write_text(json.dumps(begun))
    partial.replace(_marker(store))
    return begun


def complete(store: LocalStore) -> None:
    """Notes an import that was killed after it wrote something, so that it can be taken back."""
    marker = _marker(store)
    with landing.landing_lock(store):
        if not marker.is_file():
            return
        begun: dict[str, Any] = json.loads(marker.read_text())
        known = any(row["import_number"] == begun["number"] for row in imports(store))
        if not known and versions(store) != begun["versions"]:
            _note(store, begun, _seen(store, begun["versions"]))
        marker.unlink()


def _seen(store: LocalStore, before: Versions) -> Noted:
    """What an import did to the activities, by the tables alone."""
    table = tables.STRAVA_ACTIVITIES
    try:
        change = _difference(store, table, (before.get(table.name), store.version(table)), {})
    except InputError:
        return Noted()
    if change is None:
        return Noted()
    old, touched = change
    keys = [set(zip(*(rows[name].to_pylist() for name in table.keys), strict=True)) for rows in (old, touched)]
    owners = {athlete for athlete, _ in keys[1]}
    new = len(keys[1] - keys[0])
    return Noted(owners.pop() if len(owners) == 1 else None, len(keys[1]), new, len(keys[1]) - new)


def _note(store: LocalStore, begun: Mapping[str, Any], told: Noted) -> None:
    before, after = begun["versions"], versions(store)
    row = {
        "import_number": begun["number"],
        "athlete_id": told.athlete,
        "file_name": begun["file"],
        "imported_at": datetime.now(timezone.utc),
        "activities": told.read,
        "activities_new": told.new,
        "activities_changed": told.changed,
        "versions": json.dumps({name: [before.get(name), after[name]] for name in after}),
    }
    _write(store, row)


def _marker(store: LocalStore) -> Path:
    return store.path(tables.IMPORTS).parent / MARKER


def imports(store: LocalStore) -> list[dict[str, Any]]:
    """All imports, in order."""
    return sorted(store.rows(tables.IMPORTS).to_pylist(), key=lambda row: int(row["import_number"]))


def undo(store: LocalStore) -> dict[str, Any]:
    """Takes the last import that is not taken back yet back; its row. Raises InputError where there is none, or its
    versions are no longer kept."""
    with landing.landing_lock(store):
        complete(store)
        left = [row for row in imports(store) if row["undone_at"] is None]
        if not left:
            raise InputError(f"there is no import in {store.settings.home} to take back")
        last = left[-1]
        spans: dict[str, tuple[int | None, int | None]] = json.loads(last["versions"])
        changes = {table: _difference(store, table, spans.get(table.name, (None, None)), last) for table in IMPORTED}
        for table, change in changes.items():
            if change is not None:
                _put_back(store, table, *change)
        landing.settle_sessions(store)
        _write(store, {**last, "undone_at": datetime.now(timezone.utc)})
    return last


def _write(store: LocalStore, row: dict[str, Any]) -> None:
    store.create(tables.IMPORTS)
    rows = pa.Table.from_pylist([row], arrow_schema(tables.IMPORTS))
    store.folder(tables.IMPORTS).upsert(rows, tables.IMPORTS.keys)


def _difference(
    store: LocalStore, table: Table, span: tuple[int | None, int | None], of: Mapping[str, Any]
) -> tuple[pa.Table, pa.Table] | None:
    """All rows before the import, and those of before and after by which it differs; None where it does not."""
    before, after = span
    if after is None or before == after:
        return None
    folder = store.folder(table)
    try:
        old = arrow_schema(table).empty_table() if before is None else _at(folder, table, before)
        new = _at(folder, table, after)
    except (HistoryGoneError, DamageError):
        raise InputError(
            f"import {of['import_number']} ({of['file_name']}) cannot be taken back: what was there before it is kept "
            f"for {store.settings.keep_versions_days} days (ATHLETE_KEEP_VERSIONS_DAYS), and not beyond a forgotten "
            "athlete"
        ) from None
    touched = [*landing.differing(old, new, table), *landing.differing(new, old, table)]
    return (old, pa.concat_tables(touched)) if any(rows.num_rows for rows in touched) else None


def _at(folder: DeltaFolder, table: Table, version: int) -> pa.Table:
    schema = arrow_schema(table)
    present = {field.name for field in folder.open(version).schema().fields}
    rows = folder.query(f"SELECT {', '.join(name for name in schema.names if name in present)} FROM t", version)
    for field in schema:
        if field.name not in present:
            rows = rows.append_column(field, pa.nulls(rows.num_rows, field.type))
    return rows.select(schema.names).cast(schema)


def _put_back(store: LocalStore, table: Table, old: pa.Table, touched: pa.Table) -> None:
    """Has the touched activities, or the touched athletes' imported rows, as they were in `old`."""
    folder, column = store.folder(table), BY_ACTIVITY.get(table)
    for athlete in pc.unique(touched["athlete_id"]).to_pylist():
        whose = "athlete_id IS NULL" if athlete is None else f"athlete_id = {delta_literal(athlete)}"
        theirs, before = (_of(rows, "athlete_id", athlete) for rows in (touched, old))
        if column is not None:
            numbers = pc.unique(theirs[column])
            listed = ", ".join(str(number) for number in numbers.to_pylist() if number is not None)
            which = [f"{column} IN ({listed})"] if listed else []
            which += [f"{column} IS NULL"] if numbers.null_count else []
            whose += f" AND ({' OR '.join(which)})"
            before = before.filter(pc.is_in(before[column], numbers))
        elif table == tables.STRAVA_ATHLETE:
            whose += f" AND (source IS NULL OR source <> {delta_literal(tables.OWN_WORD)})"
            before = before.filter(pc.not_equal(pc.fill_null(before["source"], ""), tables.OWN_WORD))
        folder.delete(whose)
        if before.num_rows:
            folder.append(before)


def _of(rows: pa.Table, name: str, value: str | None) -> pa.Table:
    return rows.filter(pc.is_null(rows[name]) if value is None else pc.equal(rows[name], value))
