"""What hundreds of scratch homes need not pay for each: waits for the disk, and databases from their first version.

MLflow takes a new SQLite file through all its migrations (1.4 s); Dagster makes three files an instance and one a run.
Here the first of each kind is made so, and the others are copies of it. Both load the list of all migrations at each
look at a file's version, and Dagster has SQLAlchemy make an engine, which compiles each statement anew, at each use of
a file: here once.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import pytest


@contextmanager
def cheap_databases(folder: Path) -> Iterator[None]:
    """Within it this process's databases are cheap; the folder holds those that the others are copies of."""
    import mlflow.store.db.utils as mlflow_databases
    import sqlalchemy
    from alembic.config import Config
    from alembic.script import ScriptDirectory
    from dagster._core.storage.event_log.sqlite import sqlite_event_log
    from dagster._core.storage.runs.sqlite import sqlite_run_storage
    from dagster._core.storage.schedules.sqlite import sqlite_schedule_storage

    from_config = ScriptDirectory.from_config

    @cache
    def migrations(location: str) -> ScriptDirectory:
        config = Config()
        config.set_main_option("script_location", location)
        return from_config(config)

    @lru_cache(maxsize=100)
    def engine(url: str, poolclass: type[sqlalchemy.Pool], timeout: float | None) -> sqlalchemy.Engine:
        return sqlalchemy.create_engine(
            url, poolclass=poolclass, connect_args={"timeout": timeout} if timeout is not None else {}
        )

    def create_engine(url: str, *, poolclass: type[sqlalchemy.Pool], connect_args: Any = None) -> sqlalchemy.Engine:
        assert poolclass is sqlalchemy.NullPool  # it holds no file open, so that two uses may share it
        return engine(url, poolclass, (connect_args or {}).get("timeout"))

    migrate = _filled(folder / "mlflow.db", mlflow_databases._initialize_tables)
    initialize = sqlite_event_log.SqliteEventLogStorage._initdb
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mlflow_databases, "_initialize_tables", migrate)
        patch.setattr(
            sqlite_event_log.SqliteEventLogStorage,
            "_initdb",
            lambda storage, engine, for_index_shard=False: _filled(
                folder / f"events of {'all runs' if for_index_shard else 'a run'}.db",
                lambda engine: initialize(storage, engine, for_index_shard),
            )(engine),
        )
        for storage, name in (
            (sqlite_run_storage.SqliteRunStorage, "runs.db"),
            (sqlite_schedule_storage.SqliteScheduleStorage, "schedules.db"),
        ):
            patch.setattr(storage, "from_local", classmethod(_copied(folder / name, storage.from_local.__func__)))
        for module in (sqlite_event_log, sqlite_run_storage, sqlite_schedule_storage):
            patch.setattr(module, "create_engine", create_engine)
        patch.setattr(
            ScriptDirectory, "from_config", lambda config: migrations(config.get_main_option("script_location"))
        )
        sqlalchemy.event.listen(sqlalchemy.Engine, "connect", _hurry)
        yield
        sqlalchemy.event.remove(sqlalchemy.Engine, "connect", _hurry)


def _hurry(connection: Any, _: Any) -> None:
    if isinstance(connection, sqlite3.Connection):
        connection.execute("PRAGMA synchronous = OFF")


def _filled(first: Path, fill: Callable[[Any], Any]) -> Callable[[Any], None]:
    """What fills the empty SQLite database of an engine: with a copy of the first one, where that was filled before."""

    def filled(engine: Any) -> None:
        if engine.url.get_backend_name() != "sqlite" or not engine.url.database:
            return fill(engine)
        with closing(engine.raw_connection()) as connection:
            here = connection.driver_connection
            if here.execute("SELECT 1 FROM sqlite_master").fetchone():  # of an earlier version, perhaps
                return fill(engine)
            if first.exists():
                with closing(sqlite3.connect(first)) as source:
                    source.backup(here)
                return
        fill(engine)
        with closing(engine.raw_connection()) as connection:
            _keep(connection.driver_connection, first)

    return filled


def _copied(first: Path, from_local: Callable[..., Any]) -> Callable[..., Any]:
    """`from_local` of a Dagster storage, which finds a copy of the first such file where there would be none."""

    def copied(storage: type, base_dir: str, inst_data: Any = None) -> Any:
        file = Path(base_dir, first.name)
        is_new = not file.exists()
        if is_new and first.exists():
            file.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(first, file)
        made = from_local(storage, base_dir, inst_data)
        if is_new and not first.exists():
            with closing(sqlite3.connect(file)) as source:
                _keep(source, first)
        return made

    return copied


def _keep(database: sqlite3.Connection, first: Path) -> None:
    """Keeps a copy that is whole as soon as it is there: other workers look for it, too."""
    partial = first.with_suffix(f".{os.getpid()}")
    with closing(sqlite3.connect(partial)) as target:
        database.backup(target)
    partial.replace(first)
