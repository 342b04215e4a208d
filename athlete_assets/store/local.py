"""Delta folders under ATHLETE_HOME: written by delta-rs, read by the embedded Spark engine.

Sail's own overwrite with `replaceWhere` accepts rows outside its predicate and its dynamic partition overwrite
replaces the whole table; delta-rs refuses rows outside the predicate, and commits concurrent windows (32 of 32
where Sail committed 13). Several first writers at once confuse it, so tables are created under a lock.
"""

from __future__ import annotations

import fcntl
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import pyarrow as pa
from deltalake import DeltaTable, write_deltalake
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError

from athlete_assets import tables
from athlete_assets.days import Days, midnight
from athlete_assets.errors import ContractError, StoreError
from athlete_assets.settings import Settings
from athlete_assets.store.arrow import arrow_schema, fitted
from athlete_assets.store.base import Store, Written
from athlete_assets.store.session import spark_session
from athlete_assets.tables import Table

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

COMMIT_ATTEMPTS = 8
Result = TypeVar("Result")


class LocalStore(Store):
    """The embedded deployment's tables, `<home>/<catalog>/<schema>/<table>`."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    @cached_property
    def spark(self) -> SparkSession:  # type: ignore[override]
        return spark_session(self.settings.engine)

    def path(self, table: Table) -> Path:
        return self.settings.home.resolve() / self.settings.catalog / table.schema / table.name

    def exists(self, table: Table) -> bool:
        return DeltaTable.is_deltatable(str(self.path(table)))

    def version(self, table: Table) -> int | None:
        return self.delta(table).version() if self.exists(table) else None

    def delta(self, table: Table) -> DeltaTable:
        """The delta-rs handle at the newest version, for maintenance and reads without an engine."""
        return DeltaTable(str(self.path(table)))

    def read(self, table: Table, days: Days | None = None) -> DataFrame:
        from pyspark.sql import functions as F

        if not self.exists(table):
            return self.spark.createDataFrame([], table.ddl.replace(" NOT NULL", ""))
        frame = self.spark.read.format("delta").load(str(self.path(table)))
        found = dict(frame.dtypes)
        columns = []
        for column in table.columns:
            if column.name in found:
                columns.append(F.col(column.name))
            elif not column.required:
                columns.append(F.lit(None).cast(column.type).alias(column.name))
            else:
                raise ContractError(f"{'.'.join(table.path)}: required column {column.name} is missing")
        frame = frame.select(*columns)
        if days is None:
            return frame
        first_month, last_month = days.months
        return frame.where(
            F.col("month").between(first_month, last_month)
            & F.col(_day_column(table)).between(F.lit(midnight(days.first)), F.lit(midnight(days.last)))
        )

    def replace(self, table: Table, rows: DataFrame, days: Days | None = None) -> Written:
        return self.replace_arrow(table, rows.toArrow(), days)

    def replace_arrow(self, table: Table, rows: pa.Table, days: Days | None = None) -> Written:
        """`replace` for rows that are in memory already."""
        rows = fitted(rows, table)
        self.create(table)
        predicate = window_predicate(table, days) if days else None
        _committed(
            lambda: write_deltalake(str(self.path(table)), rows, mode="overwrite", predicate=predicate),
            table,
        )
        version = self.version(table)
        assert version is not None
        return Written(rows.num_rows, version)

    def create(self, table: Table) -> None:
        """Creates the table, empty and with its contract, unless it is there."""
        if self.exists(table):
            return
        with self._lock(table):
            if not self.exists(table):
                DeltaTable.create(
                    str(self.path(table)),
                    arrow_schema(table),
                    name=table.name,
                    description=table.comment,
                    partition_by=["month"] if "month" in table.column_names else None,
                )

    @contextmanager
    def _lock(self, table: Table) -> Iterator[None]:
        path = self.path(table)
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path.parent / f".{table.name}.lock", "w") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield


def window_predicate(table: Table, days: Days) -> str:
    """SQL for the rows of the days; for rejects also the rows outside the calendar, which every window rewrites."""
    first_month, last_month = days.months
    day = _day_column(table)
    inside = (
        f"month >= '{first_month}' AND month <= '{last_month}' "
        f"AND {day} >= '{midnight(days.first).isoformat()}' AND {day} <= '{midnight(days.last).isoformat()}'"
    )
    return f"({inside}) OR month = '{tables.OUTSIDE_CALENDAR}'" if table == tables.REJECTS else inside


def _day_column(table: Table) -> str:
    if table.day_column is None:
        raise ValueError(f"{'.'.join(table.path)} has no windows: it is replaced whole")
    return table.day_column


def _committed(write: Callable[[], Result], table: Table) -> Result:
    """Runs the write, again with jitter where another writer's commit came between."""
    for attempt in range(1, COMMIT_ATTEMPTS + 1):
        try:
            return write()
        except CommitFailedError as error:
            if attempt == COMMIT_ATTEMPTS:
                raise StoreError(
                    f"{'.'.join(table.path)}: {attempt} commits in a row met another writer: {error}"
                ) from error
            time.sleep(random.uniform(0, 0.1 * 2**attempt))
        except (DeltaError, OSError, TableNotFoundError) as error:
            if "failed validation check" in str(error):
                raise ContractError(
                    f"{'.'.join(table.path)}: rows lie outside the window that they replace: {error}"
                ) from error
            raise StoreError(f"{'.'.join(table.path)}: could not commit: {error}") from error
    raise AssertionError("unreachable")
