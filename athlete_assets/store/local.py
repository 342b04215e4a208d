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
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import pyarrow as pa
from deltalake import DeltaTable, TableFeatures, write_deltalake
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError

from athlete_assets.days import Days
from athlete_assets.errors import ContractError, StoreError
from athlete_assets.settings import Settings
from athlete_assets.store.arrow import arrow_schema, fitted, refuse_outside, refuse_repeated_keys
from athlete_assets.store.base import Maintained, Store, Written, as_contracted, window_predicate, within
from athlete_assets.store.maintenance import maintain_delta
from athlete_assets.store.session import spark_session
from athlete_assets.tables import Table

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

COMMIT_ATTEMPTS = 8
PRIMARY_KEYS_PROPERTY = "feature_store.primary_keys"
TIMESTAMP_KEY_PROPERTY = "feature_store.timestamp_key"
"""Delta table properties in which a feature table's keys are recorded: comma-separated names; the timestamp key is
among the primary keys, as in Unity Catalog."""
ERASED_PROPERTY = "athlete_assets.erased"
"""Delta table property: the versions, as first-last by commas, that took out a forgotten athlete and nothing else."""
Result = TypeVar("Result")


class LocalStore(Store):
    """The embedded deployment's tables, `<home>/<catalog>/<schema>/<table>`."""

    def __init__(self, settings: Settings, session: Callable[[], SparkSession] | None = None) -> None:
        self.settings = settings
        self._session = session or partial(spark_session, settings.engine)

    @property
    def spark(self) -> SparkSession:
        return self._session()

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
        if not self.exists(table):
            return self.spark.createDataFrame([], table.ddl.replace(" NOT NULL", ""))
        frame = as_contracted(self.spark.read.format("delta").load(str(self.path(table))), table)
        return within(frame, table, days) if days else frame

    def replace(self, table: Table, rows: DataFrame, days: Days | None = None) -> Written:
        return self.replace_arrow(table, rows.toArrow(), days)

    def replace_arrow(self, table: Table, rows: pa.Table, days: Days | None = None) -> Written:
        """`replace` for rows that are in memory already."""
        predicate = window_predicate(table, days) if days else None
        rows = fitted(rows, table)
        refuse_outside(rows, table, days)
        refuse_repeated_keys(rows, table)
        self.create(table)
        committed(
            lambda: write_deltalake(str(self.path(table)), rows, mode="overwrite", predicate=predicate),
            table,
        )
        version = self.version(table)
        assert version is not None
        return Written(rows.num_rows, version)

    def append(self, table: Table, rows: DataFrame) -> Written:
        fitting = fitted(rows.toArrow(), table)
        self.create(table)
        committed(lambda: write_deltalake(str(self.path(table)), fitting, mode="append"), table)
        version = self.version(table)
        assert version is not None
        return Written(fitting.num_rows, version)

    def maintain(self, table: Table) -> Maintained:
        return maintain_delta(self.path(table), self.settings.keep_versions_days)

    def create(self, table: Table) -> None:
        """Creates the table, empty and with its contract, unless it is there."""
        create_delta(
            self.path(table),
            arrow_schema(table, comments=True),
            description=table.comment,
            partition_by=["month"] if "month" in table.column_names else [],
            properties=feature_table_properties(table),
        )


def erased_spans(table: DeltaTable) -> list[str]:
    """The versions that only took out forgotten athletes: first-last, or first- while that is being done."""
    stated = table.metadata().configuration.get(ERASED_PROPERTY)
    return stated.split(",") if stated else []


def feature_table_properties(table: Table) -> dict[str, str]:
    """The Delta properties that make a contract's table a feature table; none for another table."""
    if table.timestamp_key is None:
        return {}
    keys = (*(key for key in table.keys if key != table.timestamp_key), table.timestamp_key)
    return {PRIMARY_KEYS_PROPERTY: ",".join(keys), TIMESTAMP_KEY_PROPERTY: table.timestamp_key}


def create_delta(
    path: Path, schema: pa.Schema, *, description: str, partition_by: list[str], properties: dict[str, str]
) -> None:
    """Creates an empty Delta table unless one is there; several processes may try at once."""
    if DeltaTable.is_deltatable(str(path)):
        return
    with _lock(path):
        if not DeltaTable.is_deltatable(str(path)):
            name = f"{path.parent.name}.{path.name}"
            table = committed(
                lambda: DeltaTable.create(
                    str(path),
                    schema,
                    name=path.name,
                    description=description,
                    partition_by=partition_by or None,
                    configuration=properties,
                    raise_if_key_not_exists=False,
                ),
                name,
            )
            if table.protocol().writer_features is not None and any(not field.nullable for field in schema):
                # A naive timestamp makes delta-rs list the table's features, and it leaves NOT NULL out of the list:
                # Apache Spark then refuses to open the table (DELTA_FEATURES_PROTOCOL_METADATA_MISMATCH).
                committed(lambda: table.alter.add_feature(TableFeatures.Invariants), name)


def committed(write: Callable[[], Result], table: Table | str) -> Result:
    """Runs the write on the table, again with jitter where another writer's commit came between.

    Raises ContractError for rows that delta-rs refuses, StoreError for every other failure.
    """
    name = table if isinstance(table, str) else ".".join(table.path)
    for attempt in range(1, COMMIT_ATTEMPTS + 1):
        try:
            return write()
        except CommitFailedError as error:
            if attempt == COMMIT_ATTEMPTS:
                raise StoreError(f"{name}: {attempt} commits in a row met another writer: {error}") from error
            time.sleep(random.uniform(0, 0.1 * 2**attempt))
        except (DeltaError, OSError, TableNotFoundError) as error:
            if "failed validation check" in str(error):
                # delta-rs prints the rows themselves; an athlete's rows do not belong in a log
                raise ContractError(f"{name}: {str(error).splitlines()[0]}") from None
            raise StoreError(f"{name}: could not commit: {error}") from error
    raise AssertionError("unreachable")


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path.parent / f".{path.name}.lock", "w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
