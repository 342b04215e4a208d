"""The databases that MLflow and Dagster make by themselves, as SQL.

`python -m athlete_assets_tests.new_databases` writes those in `athlete_assets/store/new_databases` anew, after an
upgrade of either library.
"""

from __future__ import annotations

import re
import sqlite3
import tempfile
from collections.abc import Callable
from contextlib import closing
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import get_args

from athlete_assets.store import new_databases
from athlete_assets.store.new_databases import Kind

A_RUN = "10000000-0000-0000-0000-000000000001"


def made(kind: Kind, folder: Path) -> Path:
    """The file that the library makes below the folder."""
    return MAKERS[kind](folder)


def statements(database: Path) -> str:
    """SQL that makes such a database; a moment in it is the one at which it is run."""
    with closing(sqlite3.connect(database)) as connection:
        dump = "\n".join(connection.iterdump())
        (mode,) = connection.execute("PRAGMA journal_mode").fetchone()
    told = re.sub(r"'\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d+)?'", "CURRENT_TIMESTAMP", dump)
    return f"{told}\nPRAGMA journal_mode={mode};\n"


def _mlflow(folder: Path) -> Path:
    import mlflow.store.db.utils as databases
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore  # noqa: F401  # all of its tables

    path = folder / "mlflow.db"
    engine = databases.create_sqlalchemy_engine(f"sqlite:///{path}")
    databases._initialize_tables(engine)
    engine.dispose()
    return path


def _dagster_runs(folder: Path) -> Path:
    from dagster._core.storage.runs import SqliteRunStorage

    SqliteRunStorage.from_local(str(folder))
    return folder / "runs.db"


def _dagster_schedules(folder: Path) -> Path:
    from dagster._core.storage.schedules import SqliteScheduleStorage

    SqliteScheduleStorage.from_local(str(folder))
    return folder / "schedules.db"


def _dagster_events(folder: Path) -> Path:
    from dagster._core.storage.event_log import SqliteEventLogStorage

    SqliteEventLogStorage(str(folder))
    return folder / "index.db"


def _dagster_events_of_run(folder: Path) -> Path:
    from dagster._core.storage.event_log import SqliteEventLogStorage

    storage = SqliteEventLogStorage(str(folder))
    with storage.run_connection(A_RUN):
        pass
    return folder / f"{A_RUN}.db"


MAKERS: dict[Kind, Callable[[Path], Path]] = {
    "mlflow": _mlflow,
    "dagster_runs": _dagster_runs,
    "dagster_schedules": _dagster_schedules,
    "dagster_events": _dagster_events,
    "dagster_events_of_run": _dagster_events_of_run,
}


if __name__ == "__main__":
    for kind in get_args(Kind):
        library = new_databases.library(kind)
        with tempfile.TemporaryDirectory() as scratch:
            text = f"-- {library} {version(library)}\n{statements(made(kind, Path(scratch)))}"
        target = Path(str(files(new_databases))) / f"{kind}.sql"
        target.write_text(text)
        print(target)
