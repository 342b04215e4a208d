"""The stores of the embedded deployment, on each engine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import mlflow
import pytest
from pyspark.sql import SparkSession

from athlete_assets.settings import Settings
from athlete_assets.store.embedded import EmbeddedFeatureStore
from athlete_assets.store.local import LocalStore


@pytest.fixture
def engine_store(settings: Settings, spark: SparkSession) -> LocalStore:
    """The store on each engine in turn."""
    return LocalStore(settings, lambda: spark)


@pytest.fixture
def features(settings: Settings, sail: SparkSession) -> EmbeddedFeatureStore:
    """The embedded feature store as it is by default."""
    return EmbeddedFeatureStore(LocalStore(settings, lambda: sail))


@pytest.fixture
def engine_features(engine_store: LocalStore) -> EmbeddedFeatureStore:
    """The embedded feature store on each engine in turn."""
    return EmbeddedFeatureStore(engine_store)


@pytest.fixture(scope="session")
def mlflow_database(tmp_path_factory: pytest.TempPathFactory) -> str:
    """MLflow's tracking and registry in SQLite, as the local deployment has them; its tables take seconds to make."""
    home = tmp_path_factory.mktemp("mlflow")
    uri = f"sqlite:///{home}/mlflow.db"
    mlflow.MlflowClient(uri).create_experiment("models", artifact_location=(home / "artifacts").as_uri())
    return uri


@contextmanager
def turned_to(uri: str) -> Iterator[None]:
    """MLflow's tracking and registry turned to a database, for a while."""
    before = mlflow.get_tracking_uri(), mlflow.get_registry_uri()
    mlflow.set_tracking_uri(uri)
    mlflow.set_registry_uri(uri)
    try:
        yield
    finally:
        mlflow.set_tracking_uri(before[0])
        mlflow.set_registry_uri(before[1])


@pytest.fixture
def tracking(mlflow_database: str) -> Iterator[str]:
    """MLflow turned to the scratch database for one test."""
    with turned_to(mlflow_database):
        mlflow.set_experiment("models")
        yield mlflow_database
