"""The resources of production: each step on Databricks, tables in Unity Catalog, the workspace's MLflow.

The same resources are built in the orchestrator and in the step's own process on the cluster. Only there is a Spark
session asked for: the cluster's own, never one that is made or configured here.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any

import dagster as dg
from dagster._core.definitions.no_step_launcher import no_step_launcher
from dagster_pyspark import LazyPySparkResource

from athlete_assets.assets.builder import FEATURE_STORE, OP_LAUNCHER, PIPES, SILVER, STEP_LAUNCHER, STORE
from athlete_assets.deployments.databricks.config import Credentials, pipes_door, step_launcher
from athlete_assets.deployments.databricks.ended_runs import sensors
from athlete_assets.deployments.databricks.sweep import Swept, sweep
from athlete_assets.errors import SettingsError
from athlete_assets.models.mlflow_resource import mlflow_resource
from athlete_assets.orchestration.maintenance import STAGING
from athlete_assets.settings import Settings
from athlete_assets.silver.warehouse_changes import WarehouseSilver
from athlete_assets.store.by_athlete import send_kernels_whole, use_buckets

if TYPE_CHECKING:
    from athlete_assets.store.unity_catalog import UnityCatalogFeatureStore, UnityCatalogStore


__all__ = ["executor", "resources", "sensors"]

SDK_PATIENCE_S = 15
"""Of a look that the workspace is too busy to answer; the next one comes."""
SPARE_S = 15
"""Of a sensor's tick, for what comes after the warehouse's answers."""
MIN_LOOK_S = 20
PRELOADED = ["athlete_assets.definitions", "athlete_assets.deployments.databricks.launcher"]
"""What the process from which steps' processes are forked has imported: each of them starts in no time."""


class ClusterPySparkResource(LazyPySparkResource):
    """dagster-pyspark's lazy resource over the session that the cluster has; there is none in the orchestrator."""

    on_cluster: bool
    buckets: int

    def _init_session(self) -> None:
        from pyspark.sql import SparkSession

        if not self.on_cluster:
            raise SettingsError(
                "Spark was asked for in the orchestrator, where this deployment has none: the asset lacks the "
                f"resource key {STEP_LAUNCHER!r}, which sends its step to the cluster"
            )
        send_kernels_whole()  # the stock launcher brings the package to the driver alone
        use_buckets(self.buckets)
        self._spark_session = SparkSession.builder.getOrCreate()
        self._spark_session.conf.set("spark.sql.session.timeZone", "UTC")


def executor(settings: Settings) -> dg.ExecutorDefinition:
    """Steps that do not need each other run at once, each followed by a process of its own in the orchestrator."""
    if settings.databricks_on_cluster or settings.databricks_parallel_steps == 1:
        return dg.in_process_executor
    return dg.multiprocess_executor.configured(
        {
            "max_concurrent": settings.databricks_parallel_steps,
            "start_method": {"forkserver": {"preload_modules": PRELOADED}},
        }
    )


def resources(settings: Settings) -> dict[str, Any]:
    """The Databricks deployment's resources by key: the same keys as the local one's."""

    @dg.resource(required_resource_keys={"pyspark"}, description="tables in Unity Catalog")
    def store(context: dg.InitResourceContext) -> UnityCatalogStore:
        from athlete_assets.store.unity_catalog import UnityCatalogStore

        pyspark = context.resources.pyspark
        return UnityCatalogStore(settings, lambda: pyspark.spark_session)

    @dg.resource(required_resource_keys={"pyspark"}, description="the workspace's feature store")
    def feature_store(context: dg.InitResourceContext) -> UnityCatalogFeatureStore:
        from athlete_assets.store.unity_catalog import UnityCatalogFeatureStore

        pyspark = context.resources.pyspark
        return UnityCatalogFeatureStore(lambda: pyspark.spark_session, model_registry_uri=settings.mlflow_registry_uri)

    @dg.resource(description="sweeps the staging folder")
    def staging_folder(_: dg.InitResourceContext) -> Callable[[dg.DagsterInstance], Swept]:
        return lambda instance: sweep(settings, instance)

    looks = _silver(settings)

    @dg.resource(description="The silver tables' history, read through a SQL warehouse")
    def silver(_: dg.InitResourceContext) -> WarehouseSilver:
        return looks

    return {
        STORE: store,
        SILVER: silver,
        FEATURE_STORE: feature_store,
        "pyspark": ClusterPySparkResource(
            spark_config={}, on_cluster=settings.databricks_on_cluster, buckets=settings.databricks_buckets
        ),
        "mlflow": mlflow_resource(settings),
        STEP_LAUNCHER: no_step_launcher if settings.databricks_door == "pipes" else step_launcher(settings),
        OP_LAUNCHER: step_launcher(settings),
        PIPES: pipes_door(settings),
        STAGING: staging_folder,
    }


def _silver(settings: Settings) -> WarehouseSilver:
    """One for the process: it keeps its sign-in, and remembers a look that failed."""
    from dagster._grpc.utils import default_sensor_grpc_timeout

    signed_in = cache(lambda: Credentials.from_environment().client(patience_s=SDK_PATIENCE_S))
    seconds = max(MIN_LOOK_S, default_sensor_grpc_timeout() - SPARE_S)
    return WarehouseSilver(settings, signed_in, seconds=seconds)
