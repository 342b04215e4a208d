"""The real FeatureEngineeringClient on an embedded engine.

What is put in place of Databricks: where a table's files lie, that its catalog and schema exist, and a folder for the
model that outlives the call (on a cluster, MLflow copies it to every node). Everything else is the client's own.
"""

from __future__ import annotations

import shutil
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession


def local_client(
    monkeypatch: pytest.MonkeyPatch,
    host: str,
    spark: SparkSession,
    locate: Callable[[str], Path | None] | None,
    scratch: Path,
    **options: Any,
) -> Any:
    """The real client, talking to `host` and computing on `spark`, which without `locate` knows its tables itself."""
    monkeypatch.setenv("DATABRICKS_HOST", host)
    monkeypatch.setenv("DATABRICKS_TOKEN", "dose")
    from databricks.feature_engineering import FeatureEngineeringClient
    from databricks.ml_features._spark_client._spark_client import SparkClient
    from mlflow.pyfunc import spark_udf

    def predict_udf(
        self: SparkClient, model_uri: str, result_type: Any = None, env_manager: Any = None, **rest: Any
    ) -> Any:
        lasting = Path(tempfile.mkdtemp(dir=scratch)) / "raw_model"
        shutil.copytree(model_uri, lasting)
        return spark_udf(spark, str(lasting), result_type=result_type, env_manager=env_manager)

    # on a cluster, the session is already there
    monkeypatch.setattr(SparkSession.Builder, "getOrCreate", lambda builder: spark)
    monkeypatch.setattr(SparkClient, "get_predict_udf", predict_udf)
    one_model_at_a_time(monkeypatch)
    if locate is not None:
        with_tables(monkeypatch, spark, locate)
    return FeatureEngineeringClient(**options)


def one_model_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """`spark_udf` copies the model to a folder named after its URI and the process. On Sail, whose partitions are
    threads of one process, one would read what another is writing ("EOFError: Ran out of input").
    """
    import mlflow

    load, turn = mlflow.pyfunc.load_model, threading.Lock()

    def load_alone(*arguments: Any, **options: Any) -> Any:
        with turn:
            return load(*arguments, **options)

    monkeypatch.setattr(mlflow.pyfunc, "load_model", load_alone)


def with_tables(monkeypatch: pytest.MonkeyPatch, spark: SparkSession, locate: Callable[[str], Path | None]) -> None:
    """Tables by path, for an engine that has no catalog of three levels."""
    from databricks.ml_features._spark_client._spark_client import SparkClient

    def read_table(self: SparkClient, name: str, as_of: Any = None, streaming: bool = False) -> DataFrame:
        return spark.read.format("delta").load(str(locate(name)))

    for name, replacement in {
        "get_current_catalog": lambda self: "uc_athlete_data",
        "get_current_database": lambda self: "feature_store",
        "catalog_exists": lambda self, name: True,
        "database_exists": lambda self, catalog, name: True,
        "table_exists": lambda self, name: locate(name) is not None,
        "read_table": read_table,
    }.items():
        monkeypatch.setattr(SparkClient, name, replacement)
