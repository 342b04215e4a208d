"""The resources of one machine: embedded Spark, Delta folders, MLflow on SQLite, no step launcher."""

from __future__ import annotations

from typing import Any

import dagster as dg
from dagster._core.definitions.no_step_launcher import no_step_launcher
from dagster_pyspark import LazyPySparkResource

from athlete_assets.assets.builder import FEATURE_STORE, OP_LAUNCHER, PIPES, SILVER, STEP_LAUNCHER, STORE
from athlete_assets.models.mlflow_resource import mlflow_resource
from athlete_assets.orchestration.maintenance import STAGING
from athlete_assets.settings import Settings
from athlete_assets.silver.local_changes import LocalSilver
from athlete_assets.store.embedded import EmbeddedFeatureStore
from athlete_assets.store.local import LocalStore
from athlete_assets.store.session import spark_session


class EmbeddedPySparkResource(LazyPySparkResource):
    """dagster-pyspark's lazy resource over the embedded engine's one session of this process."""

    engine: str
    spark_memory_gb: float

    def _init_session(self) -> None:
        self._spark_session = spark_session(self.engine, self.spark_memory_gb)  # type: ignore[arg-type]


def executor(_: Settings) -> dg.ExecutorDefinition:
    """One process: the embedded engine and the imports are paid once a run, not once a step."""
    return dg.in_process_executor


def sensors(_: Settings) -> list[dg.SensorDefinition]:
    """None beside those that every deployment has."""
    return []


def resources(settings: Settings) -> dict[str, Any]:
    """The local deployment's resources by key."""

    @dg.resource(required_resource_keys={"pyspark"}, description="Delta tables under ATHLETE_HOME")
    def store(context: dg.InitResourceContext) -> LocalStore:
        pyspark = context.resources.pyspark
        return LocalStore(settings, lambda: pyspark.spark_session)

    @dg.resource(required_resource_keys={STORE}, description="The feature store over the same Delta tables")
    def feature_store(context: dg.InitResourceContext) -> EmbeddedFeatureStore:
        return EmbeddedFeatureStore(context.resources.store, model_registry_uri=settings.mlflow_registry_uri)

    @dg.resource(description="The silver tables' commits, read without an engine")
    def silver(_: dg.InitResourceContext) -> LocalSilver:
        return LocalSilver(LocalStore(settings))

    return {
        STORE: store,
        SILVER: silver,
        FEATURE_STORE: feature_store,
        "pyspark": EmbeddedPySparkResource(
            spark_config={}, engine=settings.engine, spark_memory_gb=settings.spark_memory_gb
        ),
        "mlflow": mlflow_resource(settings),
        STEP_LAUNCHER: no_step_launcher,
        OP_LAUNCHER: no_step_launcher,
        PIPES: dg.ResourceDefinition.none_resource(),
        STAGING: dg.ResourceDefinition.none_resource(),
    }
