"""Unity Catalog: the same stores where the tables are Delta tables of a Databricks metastore.

Tables are made by one CREATE TABLE (keys, comments, layout and contract at once), windows are replaced by one overwrite
with the window as its predicate, and lookups and models go through the real FeatureEngineeringClient, from 0.12.1 on:
three-level names, keyword arguments, nothing that log_model returns.
"""

from __future__ import annotations

import uuid
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeVar

from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_exponential, wait_random

from athlete_assets import tables
from athlete_assets.days import Days, midnight
from athlete_assets.errors import AccessError, AthleteAssetsError, ContractError, StoreError
from athlete_assets.settings import Settings
from athlete_assets.store.arrow import described
from athlete_assets.store.athletes import Athletes, NamedAthletes
from athlete_assets.store.base import (
    CONTRACT_PROPERTY,
    DIGESTS,
    WIDENINGS,
    Maintained,
    Size,
    Store,
    Written,
    as_contracted,
    contract_digest,
    day_column,
    refuse_changed,
    window_sql,
)
from athlete_assets.store.by_athlete import is_held
from athlete_assets.store.feature_store import (
    PREDICTION,
    FeatureLookup,
    FeatureStore,
    as_list,
    refuse_null_timestamps,
    refuse_unservable,
    refuse_unsupported,
    schema_of,
)
from athlete_assets.store.findings import Findings, finding_columns, findings_in_row
from athlete_assets.store.sql import identifier, literal, quoted
from athlete_assets.tables import Column, Table
from athlete_assets.words import counted, verb

if TYPE_CHECKING:
    from pyspark.sql import Column as SparkColumn
    from pyspark.sql import DataFrame, SparkSession
    from pyspark.sql.types import StructType

ATTEMPTS = 3
RETRY_SECONDS = 2.0
"""Wait before the first retry, and as much again by chance; each further one waits twice as long."""
REGISTRY = "databricks-uc"
DELETION_VECTORS = "delta.enableDeletionVectors"
"""With them a replaced window marks its old rows in files that hold others, too, and rewrites none of those."""

MISSING_TABLE = ("TABLE_OR_VIEW_NOT_FOUND", "DELTA_TABLE_NOT_FOUND", "RESOURCE_DOES_NOT_EXIST", "TABLE_DOES_NOT_EXIST")
MISSING_SCHEMA = ("SCHEMA_NOT_FOUND", "NO_SUCH_CATALOG", "CATALOG_NOT_FOUND", "CATALOG_DOES_NOT_EXIST")
NO_RIGHT = ("INSUFFICIENT_PERMISSIONS", "PERMISSION_DENIED", "INSUFFICIENT_PRIVILEGES", "UNAUTHORIZED_ACCESS")
MAY_PASS = (
    "DELTA_CONCURRENT",
    "DELTA_METADATA_CHANGED",
    "DELTA_PROTOCOL_CHANGED",
    "ConcurrentModificationException",
    "ConcurrentAppendException",
    "ConcurrentDeleteReadException",
    "ConcurrentDeleteDeleteException",
    "ConcurrentTransactionException",
    "MetadataChangedException",
    "TEMPORARILY_UNAVAILABLE",
    "REQUEST_LIMIT_EXCEEDED",
    "SERVICE_UNDER_MAINTENANCE",
    "DEADLINE_EXCEEDED",
    "Service Unavailable",
    "Connection refused",
    "Connection reset",
    "Read timed out",
    "failed after 3 tries",
    "Checkpoint block",  # a worker is gone with the rows that it held
)
"""What the engine or the control plane says when trying again may help; the client itself has tried 3 times then."""
Result = TypeVar("Result")


class UnityCatalogStore(Store):
    """The tables `<catalog>.<schema>.<table>` of the metastore that the session is attached to."""

    def __init__(self, settings: Settings, session: Callable[[], SparkSession] | None = None) -> None:
        """`session` gives the cluster's session; the active one where it is not given."""
        self.settings = settings
        self._session = session or _active_session

    @property
    def spark(self) -> SparkSession:
        return self._session()

    def full_name(self, table: Table) -> str:
        return table.full_name(self.settings.catalog)

    def exists(self, table: Table) -> bool:
        # not catalog.tableExists: whoever may not see a table must not be told that it is empty
        name = self.full_name(table)
        return _attempt(name, lambda: _table_or_none(self.spark, name)) is not None

    def version(self, table: Table) -> int | None:
        if not self.exists(table):
            return None
        name = self.full_name(table)
        newest = _attempt(name, lambda: self.spark.sql(f"DESCRIBE HISTORY {quoted(name)} LIMIT 1").first())
        return int(newest["version"]) if newest else None

    def read(self, table: Table, days: Days | None = None) -> DataFrame:
        name = self.full_name(table)
        found = _attempt(name, lambda: _table_or_none(self.spark, name))
        if found is None:
            return self.spark.createDataFrame([], table.ddl.replace(" NOT NULL", ""))
        from athlete_assets.store.columns import within

        frame, athletes = as_contracted(found, table), self.athletes_of(table)
        if athletes:
            frame = frame.where(athletes.column())
        return frame.where(within(table, days)) if days else frame

    def replace(self, table: Table, rows: DataFrame, days: Days | None = None) -> Written:
        name = self.full_name(table)
        fitted = _fitted(rows, table)
        if not is_held(rows):
            # what is checked is what is written, and computed once: a frame is computed again whenever it is asked
            fitted = self.held(fitted)
        findings, digest = _checked(fitted, table, days, table.keys, self.athletes_of(table))
        self.create(table)
        before, beside = _attempt(name, lambda: self._rows_in(table, days))
        _attempt(name, lambda: self._overwrite(table, fitted, days))
        version = self.version(table)
        assert version is not None
        return Written(findings.rows, version, before, digest, findings, beside, self.athletes_of(table))

    def append(self, table: Table, rows: DataFrame) -> Written:
        name = self.full_name(table)
        fitted = _fitted(rows, table)
        findings, digest = _checked(fitted, table, None, keys=())
        self.create(table)
        # Delta commits a (txnAppId, txnVersion) once: a retry after a lost answer adds nothing
        writer = (
            fitted.write.format("delta").mode("append").option("txnAppId", uuid.uuid4().hex).option("txnVersion", 1)
        )
        _attempt(name, lambda: writer.saveAsTable(quoted(name)))
        version = self.version(table)
        assert version is not None
        return Written(findings.rows, version, 0, digest)

    def maintain(self, table: Table) -> Maintained:
        name = self.full_name(table)
        hours = 24 * self.settings.keep_versions_days
        if table in tables.SILVER:
            size = _attempt(name, lambda: self._size(name))
            return Maintained(size, size, "left alone: it is the upstream pipeline's")
        before = _attempt(name, lambda: self._size(name))
        _attempt(name, lambda: self.spark.sql(f"OPTIMIZE {quoted(name)}").collect())
        _attempt(name, lambda: self.spark.sql(f"VACUUM {quoted(name)} RETAIN {hours} HOURS").collect())
        after = _attempt(name, lambda: self._size(name))
        return Maintained(before, after, "counts the newest version's files; Databricks removes old log entries itself")

    def _size(self, name: str) -> Size:
        detail = self.spark.sql(f"DESCRIBE DETAIL {quoted(name)}").collect()[0]
        return Size(int(detail["numFiles"]), int(detail["sizeInBytes"]))

    def create(self, table: Table) -> None:
        """Has the table as its contract says: made empty where it is missing, altered where it lacks columns.

        Several may try at once. Raises ContractError where the table holds what no longer fits the contract.
        """
        name = self.full_name(table)
        held = _attempt(name, lambda: _table_or_none(self.spark, name))
        if held is None:
            _attempt(name, lambda: self.spark.sql(self._create_statement(table)))
            tags = tags_statement(name, {"product": "athlete_assets", "layer": table.schema})
            _attempt(name, lambda: self.spark.sql(tags))
            return
        self._add_columns(table, _lacking(table, held))
        if self._contract(name) != contract_digest(table):
            self._record_contract(table)

    def _create_statement(self, table: Table) -> str:
        clustered = self.settings.databricks_table_layout == "clustered"
        layout = [table.day_column or "", *table.keys] if clustered else ["month"]
        keys = [key for key in table.keys if key != table.timestamp_key]
        return create_statement(
            self.full_name(table),
            [_definition(column) for column in table.columns],
            primary_keys=[*keys, *([table.timestamp_key] if table.timestamp_key else [])],
            timeseries_column=table.timestamp_key,
            comment=table.comment,
            partitioned_by=[] if clustered else [column for column in layout if column in table.column_names],
            # Delta collects statistics on a clustering column, and takes at most four of them
            clustered_by=[column for column in dict.fromkeys(layout) if column][:4] if clustered else [],
            properties={DELETION_VECTORS: "true", CONTRACT_PROPERTY: contract_digest(table)},
        )

    def _contract(self, name: str) -> str | None:
        """The version of the contract by which the table was made or altered last; None where it does not say."""
        asked = f"SHOW TBLPROPERTIES {quoted(name)}"
        properties = {row["key"]: row["value"] for row in _attempt(name, lambda: self.spark.sql(asked).collect())}
        return properties.get(CONTRACT_PROPERTY)

    def _add_columns(self, table: Table, missing: Sequence[Column]) -> None:
        if not missing:
            return
        name = self.full_name(table)
        added = f"ALTER TABLE {quoted(name)} ADD COLUMNS ({', '.join(map(_definition, missing))})"
        try:
            _attempt(name, lambda: self.spark.sql(added).collect())
        except Exception:
            # another step may have added them in the meantime
            held = _attempt(name, lambda: _table_or_none(self.spark, name))
            if held is None or _lacking(table, held):
                raise

    def _record_contract(self, table: Table) -> None:
        name = self.full_name(table)
        recorded = (
            f"ALTER TABLE {quoted(name)} SET TBLPROPERTIES ({literal(CONTRACT_PROPERTY)} = "
            f"{literal(contract_digest(table))})"
        )
        _attempt(name, lambda: self.spark.sql(recorded).collect())

    def _rows_in(self, table: Table, days: Days | None) -> tuple[int, int]:
        """How many rows the window holds now (the whole table without one) of this store's athletes, and where those
        are named ones, of others."""
        table_now = self.spark.table(quoted(self.full_name(table)))
        held = table_now.where(window_sql(table, days)) if days else table_now
        athletes = self.athletes_of(table)
        if athletes is None:
            return held.count(), 0
        theirs = held.where(athletes.column()).count()
        return theirs, held.count() - theirs if isinstance(athletes, NamedAthletes) else 0

    def _overwrite(self, table: Table, rows: DataFrame, days: Days | None) -> None:
        """Deletes what the window holds and adds the rows, in one commit that touches the window's files alone.

        Columns go by name: those that an ALTER added stand last in the table. (saveAsTable with replaceWhere replaces
        the whole table on Apache Spark.)
        """
        from pyspark.sql import functions as F

        window = F.expr(window_sql(table, days)) if days else F.lit(True)
        athletes = self.athletes_of(table)
        if athletes:
            window = window & athletes.column()
        rows.writeTo(quoted(self.full_name(table))).overwrite(window)


class UnityCatalogFeatureStore(FeatureStore):
    """The feature store of a Databricks workspace."""

    def __init__(
        self, session: Callable[[], SparkSession] | None = None, *, model_registry_uri: str = REGISTRY
    ) -> None:
        self._session = session or _active_session
        self._model_registry_uri = model_registry_uri

    @cached_property
    def client(self) -> Any:
        """The workspace's FeatureEngineeringClient, made at first need: importing it takes seconds."""
        return _client_package().FeatureEngineeringClient(model_registry_uri=self._model_registry_uri)

    def create_table(
        self,
        *,
        name: str,
        primary_keys: str | Sequence[str],
        df: DataFrame | None = None,
        timeseries_column: str | None = None,
        partition_columns: str | Sequence[str] | None = None,
        schema: StructType | None = None,
        description: str | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> Any:
        keys, partitions = as_list(primary_keys), as_list(partition_columns)
        spark_schema = schema_of(name, df, schema)
        types = {column.name: column.dataType.simpleString() for column in spark_schema.fields}
        refuse_unservable(
            name, types, primary_keys=keys, timeseries_column=timeseries_column, partition_columns=partitions
        )
        spark = self._session()
        if _attempt(name, lambda: _table_or_none(spark, name)) is None:
            entity_keys = [key for key in keys if key != timeseries_column]
            columns = []
            for column in spark_schema.fields:
                required = column.name in keys or not column.nullable
                comment = column.metadata.get("comment")
                columns.append(
                    f"{identifier(column.name)} {types[column.name]}{' NOT NULL' if required else ''}"
                    + (f" COMMENT {literal(comment)}" if comment else "")
                )
            statement = create_statement(
                name,
                columns,
                primary_keys=[*entity_keys, *([timeseries_column] if timeseries_column else [])],
                timeseries_column=timeseries_column,
                comment=description or "",
                partitioned_by=partitions,
            )
            _attempt(name, lambda: spark.sql(statement))
            if tags:
                _attempt(name, lambda: spark.sql(tags_statement(name, tags)))
            if df is not None:
                self.write_table(name=name, df=df, mode="overwrite")
        return self.get_table(name=name)

    def write_table(self, *, name: str, df: DataFrame, mode: str = "merge") -> None:
        from pyspark.sql import functions as F

        if mode not in ("merge", "overwrite"):
            raise ContractError(f"{name}: mode {mode!r} must be merge or overwrite")
        spark = self._session()
        held = _attempt(name, lambda: _table_or_none(spark, name))
        if held is None:
            raise ContractError(f"feature table {name} does not exist")
        found, wanted = dict(df.dtypes), dict(held.dtypes)
        for column in sorted(set(found) ^ set(wanted)):
            raise ContractError(f"{name}: column {column} is in the frame or in the table, but not in both")
        for column, type in wanted.items():
            if found[column] != type:
                raise ContractError(f"{name}: column {column} is {found[column]}, the table holds {type}")
        keys = list(self.get_table(name=name).primary_keys)
        rows = df.select(*held.columns)
        nulls = [F.count_if(F.col(key).isNull()).alias(f"null_{key}") for key in keys]
        counted = rows.agg(F.count(F.lit(1)).alias("rows"), F.count_distinct(*keys).alias("keys"), *nulls).first()
        assert counted is not None
        for key in keys:
            if counted[f"null_{key}"]:
                raise ContractError(f"{name}: key {key} is null in {counted[f'null_{key}']} rows")
        if counted["keys"] != counted["rows"]:
            raise ContractError(f"{name}: rows repeat the key ({', '.join(keys)})")
        if mode == "overwrite":
            _attempt(name, lambda: rows.writeTo(quoted(name)).overwrite(F.lit(True)))
            return
        view = f"athlete_assets_{uuid.uuid4().hex}"
        rows.createOrReplaceTempView(view)
        try:
            # collected, so that the commit has happened when this returns, whatever kind of session it is
            _attempt(name, lambda: spark.sql(merge_statement(name, view, keys)).collect())
        finally:
            spark.catalog.dropTempView(view)

    def read_table(self, *, name: str) -> DataFrame:
        return _attempt(name, lambda: self.client.read_table(name=name))

    def get_table(self, *, name: str) -> Any:
        return _attempt(name, lambda: self.client.get_table(name=name))

    def create_training_set(
        self,
        *,
        df: DataFrame,
        feature_lookups: Sequence[Any],
        label: str | Sequence[str] | None,
        exclude_columns: Sequence[str] | None = None,
    ) -> Any:
        refuse_unsupported(feature_lookups)
        moments = sorted({lookup.timestamp_lookup_key for lookup in feature_lookups if lookup.timestamp_lookup_key})
        _refuse_dates_as_lookup_keys(df, moments)
        refuse_null_timestamps(df, [moment for moment in moments if moment in df.columns])
        return _attempt(
            ", ".join(sorted({lookup.table_name for lookup in feature_lookups})),
            lambda: self.client.create_training_set(
                df=df,
                feature_lookups=[_of_the_client(lookup) for lookup in feature_lookups],
                label=label if label is None or isinstance(label, str) else list(label),
                exclude_columns=list(exclude_columns or ()),
            ),
        )

    def log_model(
        self,
        *,
        model: Any,
        artifact_path: str,
        flavor: ModuleType,
        training_set: Any,
        registered_model_name: str | None = None,
        **kwargs: Any,
    ) -> None:
        import mlflow

        if mlflow.active_run() is None:
            raise ContractError("log_model needs an active MLflow run; call it inside mlflow.start_run()")
        with _own_errors(registered_model_name or artifact_path), _open_source_mlflow_registers():
            self.client.log_model(
                model=model,
                artifact_path=artifact_path,
                flavor=flavor,
                training_set=training_set,
                registered_model_name=registered_model_name,
                **kwargs,
            )

    def score_batch(self, *, model_uri: str, df: DataFrame, result_type: str = "double") -> DataFrame:
        from athlete_assets.store.feature_spec import FeatureSpec
        from athlete_assets.store.feature_store import model_folder

        if PREDICTION in df.columns:
            raise ContractError(f"the frame already has a column {PREDICTION}")
        import mlflow

        mlflow.set_registry_uri(self._model_registry_uri)  # as the client does, which leaves it so, too
        spec = FeatureSpec.load(model_folder(model_uri))
        asked = {f.timestamp_lookup_key for f in spec.features if f.output_name not in df.columns}
        moments = sorted(moment for moment in asked if moment and moment in df.columns)
        _refuse_dates_as_lookup_keys(df, moments)
        refuse_null_timestamps(df, moments)
        return _attempt(model_uri, lambda: self.client.score_batch(model_uri=model_uri, df=df, result_type=result_type))


@contextmanager
def _open_source_mlflow_registers() -> Iterator[None]:
    """Lets mlflow from PyPI register in Unity Catalog what the feature store's log_model packaged.

    Databricks' own build of mlflow sends such a model's features along; the open-source one refuses the model ("can
    only be registered on a Databricks cluster") wherever it runs, and it is the one that stands on a cluster where a
    version is pinned. Where it refuses, the version is registered with the feature tables as its dependencies.
    """
    from mlflow.exceptions import MlflowException
    from mlflow.store._unity_catalog.registry import rest_store

    from athlete_assets.store.feature_spec import FeatureSpec
    from athlete_assets.store.feature_store import MODEL_FOLDER

    own_features, own_dependencies = rest_store.get_feature_dependencies, rest_store.get_model_version_dependencies
    refused: set[str] = set()

    def features(model_dir: str) -> str:
        try:
            return str(own_features(model_dir))
        except MlflowException as error:
            if "packaged by Databricks Feature Store" not in str(error):
                raise
            refused.add(model_dir)
            return ""

    def dependencies(model_dir: str) -> list[dict[str, str]]:
        tables = FeatureSpec.load(Path(model_dir) / MODEL_FOLDER).table_ids if model_dir in refused else ()
        return [*own_dependencies(model_dir), *({"type": "DATABRICKS_TABLE", "name": name} for name in tables)]

    rest_store.get_feature_dependencies, rest_store.get_model_version_dependencies = features, dependencies
    try:
        yield
    finally:
        rest_store.get_feature_dependencies = own_features
        rest_store.get_model_version_dependencies = own_dependencies


# ------------------------------------------------------------------------------------------------------------- SQL


def create_statement(
    name: str,
    columns: Sequence[str],
    *,
    primary_keys: Sequence[str],
    timeseries_column: str | None,
    comment: str,
    partitioned_by: Sequence[str] = (),
    clustered_by: Sequence[str] = (),
    properties: Mapping[str, str] | None = None,
) -> str:
    """One CREATE TABLE with everything: a table is never seen without its keys."""
    parts = list(columns)
    if primary_keys:
        keys = ", ".join(
            f"{identifier(key)} TIMESERIES" if key == timeseries_column else identifier(key) for key in primary_keys
        )
        parts.append(f"CONSTRAINT {identifier(name.split('.')[-1] + '_pk')} PRIMARY KEY ({keys})")
    statement = [f"CREATE TABLE IF NOT EXISTS {quoted(name)} (", "  " + ",\n  ".join(parts), ")", "USING DELTA"]
    if partitioned_by:
        statement.append(f"PARTITIONED BY ({', '.join(map(identifier, partitioned_by))})")
    if clustered_by:
        statement.append(f"CLUSTER BY ({', '.join(map(identifier, clustered_by))})")
    statement.append(f"COMMENT {literal(comment)}")
    if properties:
        statement.append(f"TBLPROPERTIES ({_pairs(properties)})")
    return "\n".join(statement)


def merge_statement(name: str, source: str, keys: Sequence[str]) -> str:
    """One MERGE that writes the source's rows over those of the same keys, and adds the others."""
    same = " AND ".join(f"t.{identifier(key)} = s.{identifier(key)}" for key in keys)
    return "\n".join(
        [
            f"MERGE INTO {quoted(name)} AS t",
            f"USING {identifier(source)} AS s",
            f"ON {same}",
            "WHEN MATCHED THEN UPDATE SET *",
            "WHEN NOT MATCHED THEN INSERT *",
        ]
    )


def tags_statement(name: str, tags: Mapping[str, str]) -> str:
    return f"ALTER TABLE {quoted(name)} SET TAGS ({_pairs(tags)})"


def _pairs(values: Mapping[str, str]) -> str:
    return ", ".join(f"{literal(key)} = {literal(value)}" for key, value in values.items())


def _definition(column: Column) -> str:
    """A contract's column as CREATE TABLE and ALTER TABLE have it."""
    required = "" if column.nullable else " NOT NULL"
    return f"{identifier(column.name)} {column.type.upper()}{required} COMMENT {literal(described(column))}"


# -------------------------------------------------------------------------------------------------- rows and errors


def _fitted(rows: DataFrame, table: Table) -> DataFrame:
    """The rows in the contract's columns, order and types; only lossless widening of numbers and strings is done."""
    from pyspark.sql import functions as F

    name = ".".join(table.path)
    found = dict(rows.dtypes)
    for column_name in sorted(set(found) - set(table.column_names)):
        raise ContractError(f"{name}: unknown column {column_name}; the contract is in athlete_assets/tables.py")
    columns = []
    for column in table.columns:
        if column.name not in found:
            raise ContractError(f"{name}: column {column.name} is missing")
        type = found[column.name]
        numeric = column.type in (tables.BIGINT, tables.INT) or (column.type, type) == (tables.DOUBLE, "float")
        if type != column.type and type != "void" and not (numeric and type in WIDENINGS[column.type]):
            raise ContractError(f"{name}: column {column.name} is {type}, the contract says {column.type}")
        columns.append(F.col(column.name).cast(column.type).alias(column.name))
    return rows.select(*columns)


def _checked(
    rows: DataFrame, table: Table, days: Days | None, keys: Sequence[str], athletes: Athletes | None = None
) -> tuple[Findings, int]:
    """What the contract says of the rows, and the digest of their content, in one pass over them.

    Raises ContractError for rows that it forbids.
    """
    from pyspark.sql import functions as F

    from athlete_assets.store.columns import content_digest

    name = ".".join(table.path)
    counts = [
        *finding_columns(table),
        content_digest(table).alias("digest"),
        F.count_if(_outside(table, days)).alias("strangers"),
    ]
    if athletes is not None:
        counts.append(F.count_if(~athletes.column()).alias("others"))
    if keys:
        counts.append(F.count_distinct(*keys).alias("keys"))
    found = rows.agg(*counts).first()
    assert found is not None
    findings = findings_in_row(found.asDict(), table, found["rows"] - found["keys"] if keys else 0)
    for column, nulls in findings.nulls.items():
        if nulls:
            raise ContractError(f"{name}: column {column} has {nulls} nulls, the contract forbids them")
    if found["strangers"]:
        raise ContractError(
            f"{name}: {counted(found['strangers'], 'row')} {verb(found['strangers'], 'lies', 'lie')} outside "
            f"the window {days or 'of all days'} (by {table.day_column} and month) that was to be replaced"
        )
    if athletes is not None and found["others"]:
        raise ContractError(
            f"{name}: {counted(found['others'], 'row')} {verb(found['others'], 'is', 'are')} of others than the "
            f"{athletes} whose rows were to be replaced"
        )
    if repeated := findings.repeated_keys:
        raise ContractError(
            f"{name}: {counted(repeated, 'row')} {verb(repeated, 'repeats', 'repeat')} the key ({', '.join(keys)})"
        )
    return findings, int(found["digest"]) % DIGESTS


def _outside(table: Table, days: Days | None) -> SparkColumn:
    """True for a row outside the days, or whose month is not that of its day."""
    from pyspark.sql import functions as F

    if table.day_column is None or "month" not in table.column_names:
        if days:
            day_column(table)
        return F.lit(False)
    day = F.col(table.day_column)
    belongs = day.isNotNull() & (F.date_format(day, "yyyy-MM") == F.col("month"))
    if days:
        belongs &= day.between(F.lit(midnight(days.first)), F.lit(midnight(days.last)))
    if table == tables.REJECTS:
        belongs |= F.col("month") == F.lit(tables.OUTSIDE_CALENDAR)
    return ~F.coalesce(belongs, F.lit(False))


def _lacking(table: Table, held: DataFrame) -> list[Column]:
    """The contract's columns that the stored table lacks and can be given; ContractError for every other difference."""
    required = [field.name for field in held.schema.fields if not field.nullable]
    return refuse_changed(table, dict(held.dtypes), required)


def _client_package() -> ModuleType:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it imports pkg_resources, which warns of its end
        import databricks.feature_engineering
    return databricks.feature_engineering


def _of_the_client(lookup: Any) -> Any:
    """A lookup as the client knows it; its own are taken as they are."""
    if not isinstance(lookup, FeatureLookup):
        return lookup
    said = {field.name: getattr(lookup, field.name) for field in fields(lookup)}
    return _client_package().FeatureLookup(**said)


def _refuse_dates_as_lookup_keys(df: DataFrame, columns: Sequence[str]) -> None:
    types = dict(df.dtypes)
    for column in columns:
        if column in types and types[column] != "timestamp":
            raise ContractError(f"timestamp lookup key {column} is {types[column]}; it must be a timestamp")


def _table_or_none(spark: SparkSession, name: str) -> DataFrame | None:
    """The table as a frame, or None where there is no such table; raises where the schema is missing or unseen."""
    try:
        frame = spark.table(quoted(name))
        _ = frame.schema  # through Spark Connect, a frame is not looked at before
    except Exception as error:
        if _mentions(error, MISSING_TABLE) and not _mentions(error, (*NO_RIGHT, *MISSING_SCHEMA)):
            return None
        raise
    return frame


def _attempt(name: str, action: Callable[[], Result]) -> Result:
    """Runs the action, up to ATTEMPTS times where trying again may help; raises errors of this package's kinds."""

    def once() -> Result:
        with _own_errors(name):
            return action()

    retrying = Retrying(
        retry=retry_if_exception_type(StoreError),
        stop=stop_after_attempt(ATTEMPTS),
        wait=wait_exponential(multiplier=RETRY_SECONDS) + wait_random(0, RETRY_SECONDS),
        reraise=True,
    )
    return retrying(once)


@contextmanager
def _own_errors(name: str) -> Iterator[None]:
    """Turns what engine and client say into one sentence; what is not known passes through as it is."""
    try:
        yield
    except AthleteAssetsError:
        raise
    except Exception as error:
        said = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        if _mentions(error, NO_RIGHT):
            raise AccessError(
                f"{name}: the deployment's principal lacks a right: {said} "
                "(`athlete-assets databricks check` tries each right, `init` grants them)"
            ) from error
        if _mentions(error, MISSING_SCHEMA):
            raise AccessError(
                f"{name}: catalog or schema not found: {said} (an administrator makes the catalog, "
                "`athlete-assets databricks init` the schemas)"
            ) from error
        if _mentions(error, MAY_PASS):
            raise StoreError(f"{name}: {said}") from error
        if _mentions(error, MISSING_TABLE):
            raise ContractError(f"{name} does not exist: {said}") from error
        if isinstance(error, ValueError):
            raise ContractError(f"{name}: {said}") from error
        raise


def _mentions(error: Exception, marks: Sequence[str]) -> bool:
    text = f"{type(error).__name__} {error}"
    return any(mark in text for mark in marks)


def _active_session() -> SparkSession:
    from pyspark.sql import SparkSession

    return SparkSession.builder.getOrCreate()
