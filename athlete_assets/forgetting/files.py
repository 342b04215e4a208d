"""Takes an id out of what is no table: the orchestrator's and MLflow's databases, logs and other texts."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path

from athlete_assets.errors import StoreError
from athlete_assets.forgetting.occurrences import Wanted, documents_of, json_of
from athlete_assets.forgetting.proof import PICTURE, SQLITE, is_in_text, is_in_value, tables_of

NO_PICTURE = "(a picture that showed an athlete who is forgotten)"
LOCKED_S = 30.0


def databases(folder: Path) -> Iterator[Path]:
    """The SQLite databases below a folder."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            with open(path, "rb") as handle:
                if handle.read(16) == SQLITE:
                    yield path


def clean_database(path: Path, wanted: Wanted) -> int:
    """Replaces the id in every value, and every picture by a sentence; how many values changed.

    The file is then written anew: what was deleted before stays in no free page and in no write-ahead log. Raises
    StoreError while another process works with the database.
    """
    try:
        with closing(sqlite3.connect(path, timeout=LOCKED_S, isolation_level=None)) as connection:
            connection.execute("PRAGMA secure_delete = ON")
            connection.execute("BEGIN IMMEDIATE")
            changed = sum(_clean_table(connection, table, columns, wanted) for table, columns in tables_of(connection))
            connection.execute("COMMIT")
            connection.execute("VACUUM")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    except sqlite3.OperationalError as error:
        raise StoreError(
            f"{path}: {error}; stop `athlete-assets ui` and everything else that uses it, and run forget again"
        ) from error
    return changed


def _clean_table(connection: sqlite3.Connection, table: str, columns: list[str], wanted: Wanted) -> int:
    changed = 0
    for column in columns:
        try:
            rows = connection.execute(
                f'SELECT rowid, "{column}" FROM "{table}" WHERE typeof("{column}") = ? AND '
                f'(instr("{column}", ?) OR instr("{column}", ?) OR instr("{column}", ?))',
                ("text", wanted.id, "data:image/png;base64", "\\u"),
            ).fetchall()
        except sqlite3.OperationalError as error:
            if "no such column: rowid" in str(error):
                continue  # a table without row numbers; where it holds the id, the proof says so
            raise
        for number, value in rows:
            cleaned = _cleaned(value, wanted)
            if cleaned != value:
                connection.execute(f'UPDATE OR REPLACE "{table}" SET "{column}" = ? WHERE rowid = ?', (cleaned, number))
                changed += 1
    return changed


def _cleaned(value: str, wanted: Wanted) -> str:
    value = PICTURE.sub(NO_PICTURE, value)
    if not is_in_value(value, wanted):
        return value
    document = json_of(value)
    return wanted.replaced(value) if document is None else json.dumps(wanted.replaced_in_json(document))


def clean_texts(folder: Path, wanted: Wanted, but: Iterable[Path] = ()) -> int:
    """Replaces the id in every text file below the folder that is no part of a table; how many files changed."""
    left_out = set(but)
    changed = 0
    for path in sorted(folder.rglob("*")):
        if path in left_out or not path.is_file() or path.is_symlink() or "_delta_log" in path.parts:
            continue
        try:
            text = path.read_bytes().decode()
        except UnicodeDecodeError:
            continue
        if is_in_text(text, wanted):
            partial = path.with_name(f"{path.name}.partial")
            partial.write_text(_cleaned_text(text, wanted))
            partial.replace(path)
            changed += 1
    return changed


def _cleaned_text(text: str, wanted: Wanted) -> str:
    documents = documents_of(text)
    if documents is None:
        return wanted.replaced(text)
    return "\n".join(json.dumps(wanted.replaced_in_json(document)) for document in documents) + "\n"
