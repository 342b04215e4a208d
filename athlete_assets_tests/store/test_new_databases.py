"""New databases of MLflow and Dagster are those that the libraries make."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import get_args

import pytest

from athlete_assets.store import new_databases
from athlete_assets.store.new_databases import Kind, lay
from athlete_assets_tests.new_databases import made, statements

KINDS = get_args(Kind)


def in_any_order(database: Path) -> list[list[str]]:
    """The words of each statement: SQLAlchemy makes a table's indexes and constraints in the order of a set."""
    return sorted(sorted(re.split(r"[\s,()]+", statement)) for statement in statements(database).split(";\n"))


@pytest.mark.parametrize("kind", KINDS)
def test_a_new_database_is_what_the_installed_library_makes(kind: Kind, tmp_path: Path) -> None:
    """Where this fails after an upgrade: `python -m athlete_assets_tests.new_databases` writes them anew."""
    assert lay(kind, tmp_path / "laid" / "new.db")
    assert in_any_order(tmp_path / "laid" / "new.db") == in_any_order(made(kind, tmp_path))
    assert [path.name for path in (tmp_path / "laid").iterdir()] == ["new.db"]


@pytest.mark.parametrize("name", ["runs", "schedules", "events"])
def test_its_migrations_were_done_now(name: str, tmp_path: Path) -> None:
    lay(f"dagster_{name}", tmp_path / "new.db")  # type: ignore[arg-type]
    with closing(sqlite3.connect(tmp_path / "new.db")) as database:
        ages = database.execute("SELECT julianday('now') - julianday(migration_completed) FROM secondary_indexes")
        assert all(0 <= days < 0.01 for (days,) in ages)


def test_what_lies_there_stays(tmp_path: Path) -> None:
    there = tmp_path / "mlflow.db"
    there.write_bytes(b"somebody's")
    assert not lay("mlflow", there)
    assert there.read_bytes() == b"somebody's"


def test_for_another_version_nothing_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(new_databases, "version", lambda library: "99.0")
    new_databases._statements.cache_clear()
    assert not lay("mlflow", tmp_path / "new.db")
    new_databases._statements.cache_clear()
    assert list(tmp_path.iterdir()) == []


def test_where_nothing_can_be_written_the_library_is_to_say_so(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert not lay("mlflow", tmp_path / "file" / "new.db")
