"""What models ask of the feature store: the methods of databricks' FeatureEngineeringClient that they use.

Keyword arguments as in the real client, and one meaning in both deployments:

- a feature counts from its timestamp on, that moment included; the whole newest row wins, its nulls kept;
- `lookback_window` is inclusive; rows of an unknown entity, or without anything known yet, get nulls;
- every row of the frame survives, repeated ones included; its order is not promised;
- columns come out as the frame's less excluded and labels, then the features by lookup, then the labels;
- key types must match exactly; a time-series table needs a `timestamp_lookup_key`, another refuses one;
- timestamps are TIMESTAMP (DATE keys break the real client's join), and one that is null is an error: the real client
  drops such rows or keeps them, depending on the join that it chooses.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Protocol

from athlete_assets.errors import ContractError

if TYPE_CHECKING:
    from pyspark.sql import DataFrame
    from pyspark.sql.types import StructType

PREDICTION = "prediction"
"""The column that `score_batch` adds."""
MODEL_FOLDER = Path("data") / "feature_store"
"""Below a logged model: the feature spec, and the model itself in RAW_MODEL."""
RAW_MODEL = "raw_model"
LOADER = "databricks.feature_store.mlflow_model"
"""The pyfunc loader that Databricks serves such a model with."""


@dataclass(frozen=True)
class FeatureTable:
    """What the store knows of a feature table."""

    name: str
    """catalog.schema.table"""
    table_id: str
    description: str
    primary_keys: tuple[str, ...]
    """The entity's keys, then the timestamp key if there is one."""
    timestamp_keys: tuple[str, ...]
    partition_columns: tuple[str, ...]
    features: tuple[str, ...]
    """All columns, in the table's order."""
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def entity_keys(self) -> tuple[str, ...]:
        return tuple(key for key in self.primary_keys if key not in self.timestamp_keys)


@dataclass(frozen=True)
class FeatureLookup:
    """What databricks' FeatureLookup says, without the client, whose import costs a small home a tenth of its run.

    The store on Databricks hands the client its own class.
    """

    table_name: str
    lookup_key: str | Sequence[str]
    feature_names: Sequence[str]
    """None of them means all."""
    timestamp_lookup_key: str | None = None
    lookback_window: timedelta | None = None
    default_values: Mapping[str, Any] | None = None
    """Refused by every store."""


class TrainingSet(Protocol):
    """A frame and the features to look up for it."""

    def load_df(self) -> DataFrame:
        """The frame with its features, not yet computed."""


class FeatureStore(ABC):
    """The feature store of a deployment. Every error is one of `athlete_assets.errors`."""

    @abstractmethod
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
        """Creates a feature table and writes `df` to it; a table that is there already is left as it is.

        `timeseries_column` is one of the primary keys. Returns what `get_table` does.
        """

    @abstractmethod
    def write_table(self, *, name: str, df: DataFrame, mode: str = "merge") -> None:
        """Upserts the rows by key (`merge`), or replaces the whole table (`overwrite`)."""

    @abstractmethod
    def read_table(self, *, name: str) -> DataFrame: ...

    @abstractmethod
    def get_table(self, *, name: str) -> Any:
        """The table's name, primary_keys (timestamp key included), timestamp_keys, partition_columns, features, tags,
        description and table_id: a FeatureTable, or the real client's entity with the same attributes."""

    @abstractmethod
    def create_training_set(
        self,
        *,
        df: DataFrame,
        feature_lookups: Sequence[Any],
        label: str | Sequence[str] | None,
        exclude_columns: Sequence[str] | None = None,
    ) -> TrainingSet:
        """The features of `FeatureLookup`s, ours or databricks', beside the frame's columns and labels."""

    @abstractmethod
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
        """Logs the model to the active MLflow run with what it was trained on, and registers a version if named.

        Further keyword arguments go to `flavor.save_model` (pip_requirements, ...). Returns nothing: find the version
        by its run.
        """

    @abstractmethod
    def score_batch(self, *, model_uri: str, df: DataFrame, result_type: str = "double") -> DataFrame:
        """The frame's columns, the features looked up, and `prediction`.

        A feature that the frame brings itself is taken from there. `result_type` is a Spark type: a number, `string`,
        `boolean`, `array<double>`, or the fields of a struct such as `p10 double, p50 double, p90 double`.
        """


def raw_model_folder(model_uri: str) -> Path:
    """The local folder of the model itself within what `log_model` logged: `flavor.load_model(folder)` opens it.

    Both deployments lay models out alike. Raises ContractError where there is no such model.
    """
    return model_folder(model_uri) / RAW_MODEL


def model_folder(model_uri: str) -> Path:
    """The local folder with a logged model's feature spec and raw model; fetched where the store is not local."""
    import mlflow
    from mlflow.exceptions import MlflowException

    try:
        local = mlflow.artifacts.download_artifacts(artifact_uri=model_uri)
    except (MlflowException, OSError) as error:
        raise ContractError(f"model {model_uri} cannot be fetched: {error}") from error
    folder = Path(local) / MODEL_FOLDER
    if not folder.is_dir():
        raise ContractError(f"model {model_uri} was not logged by a feature store's log_model")
    return folder


UNSUPPORTED_TYPES = ("timestamp_ntz", "void", "interval")
"""Types that the real feature store refuses in a feature table."""


def refuse_unservable(
    name: str,
    types: Mapping[str, str],
    *,
    primary_keys: Sequence[str],
    timeseries_column: str | None,
    partition_columns: Sequence[str],
) -> None:
    """Raises ContractError for a feature table, with Spark type by column, that Databricks would not serve rightly."""
    if len(set(primary_keys)) != len(primary_keys):
        raise ContractError(f"{name}: primary keys {list(primary_keys)} name a column twice")
    if timeseries_column is not None and timeseries_column not in primary_keys:
        raise ContractError(f"{name}: timeseries column {timeseries_column} must be one of the primary keys")
    if not [key for key in primary_keys if key != timeseries_column]:
        raise ContractError(f"{name}: a feature table needs a primary key that is not its timeseries column")
    for column in (*primary_keys, *partition_columns):
        if column not in types:
            raise ContractError(f"{name}: key or partition column {column} is not in the schema")
    for column, type in types.items():
        if type.startswith(UNSUPPORTED_TYPES):
            raise ContractError(f"{name}: column {column} is {type}, which a feature table cannot hold")
    if timeseries_column is not None and types[timeseries_column] != "timestamp":
        raise ContractError(
            f"{name}: timeseries column {timeseries_column} is {types[timeseries_column]}; it must be a timestamp, "
            "or point-in-time lookups go wrong on Databricks"
        )


def schema_of(name: str, df: DataFrame | None, schema: StructType | None) -> StructType:
    """The schema of a feature table to be made; raises ContractError where there is none, or two that differ."""
    if df is None and schema is None:
        raise ContractError(f"{name}: either schema or df must be given")
    if df is not None and schema is not None and set(schema.fields) != set(df.schema.fields):
        raise ContractError(f"{name}: schema and df are both given and differ")
    return schema if schema is not None else df.schema  # type: ignore[union-attr]


def refuse_unsupported(lookups: Sequence[Any]) -> None:
    """Raises ContractError for what is not a FeatureLookup, or asks for defaults."""
    for lookup in lookups:
        if not hasattr(lookup, "lookup_key") or not hasattr(lookup, "table_name"):
            raise ContractError(f"{type(lookup).__name__} is not a FeatureLookup; functions are not supported")
        if lookup.default_values:
            raise ContractError(f"{lookup.table_name}: default_values are not supported: null is not a value")


def as_list(names: str | Sequence[str] | None) -> list[str]:
    """One name, several or none, as a list."""
    return [] if names is None else [names] if isinstance(names, str) else list(names)


def refuse_null_timestamps(df: DataFrame, columns: Sequence[str]) -> None:
    """Raises ContractError where a point-in-time key of the frame is null: such a row has no moment to look up."""
    from pyspark.sql import functions as F

    for column in columns:
        if df.where(F.col(column).isNull()).limit(1).count():
            raise ContractError(f"timestamp lookup key {column} is null in some rows; drop them or give them a time")
