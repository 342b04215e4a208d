"""New SQLite databases of MLflow and Dagster, without the way that these libraries make them.

MLflow takes a new file through all its migrations, and Dagster asks Alembic about each file of each run: two CPU
seconds of a small home's first run. What comes of it lies here as SQL, written by
`python -m athlete_assets_tests.new_databases`, and a test compares it with what the libraries make. It is for one
version of each library alone; any other one makes its own, and so it does where a file is there already.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing, suppress
from functools import cache
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Literal

Kind = Literal["mlflow", "dagster_runs", "dagster_schedules", "dagster_events", "dagster_events_of_run"]


def lay(kind: Kind, path: Path) -> bool:
    """Makes the database, whole or not at all; False where another version is installed, or something lies there."""
    statements = _statements(kind)
    if statements is None or path.exists():
        return False
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.unlink(missing_ok=True)
        with closing(sqlite3.connect(partial)) as database:
            database.executescript(statements)
        os.link(partial, path)  # a rename would take the place of what another process has made meanwhile
    except (OSError, sqlite3.Error):  # the library says what is wrong, or can do without links
        return False
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
    return True


def library(kind: Kind) -> str:
    """The distribution that such a database belongs to."""
    return kind.partition("_")[0]


@cache
def _statements(kind: Kind) -> str | None:
    of_version, _, statements = files(__name__).joinpath(f"{kind}.sql").read_text().partition("\n")
    return statements if of_version == f"-- {library(kind)} {version(library(kind))}" else None
