"""The sensor that ends on Databricks what a Dagster run left behind: its runs, its cluster, and then its pools."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import dagster as dg

from athlete_assets.deployments.databricks.config import Credentials, staging_prefix
from athlete_assets.settings import Settings

if TYPE_CHECKING:
    from databricks.sdk import WorkspaceClient

SDK_PATIENCE_S = 15
CANCEL_S = 20.0
"""Of one tick, for one run; the next tick goes on."""
NAME = "ended_databricks_runs"


def sensors(settings: Settings) -> list[dg.SensorDefinition]:
    """Of the orchestrator; a step's process has none."""
    if settings.databricks_on_cluster:
        return []
    client = cache(lambda: Credentials.from_environment().client(patience_s=SDK_PATIENCE_S))

    @dg.sensor(
        name=NAME,
        minimum_interval_seconds=60,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Cancels Databricks runs whose Dagster run has ended, ends the clusters of ended runs, and gives "
        "pools back only once nothing writes any more",
    )
    def ended_databricks_runs(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        return dg.SkipReason(end_leftovers(client(), staging_prefix(settings), context.instance, CANCEL_S))

    return [ended_databricks_runs]


def end_leftovers(client: WorkspaceClient, prefix: str, instance: dg.DagsterInstance, seconds: float) -> str:
    """Ends what belongs to ended Dagster runs, and says what it did.

    Dagster runs that the instance does not know are another instance's: what belongs to them is left alone.
    """
    from athlete_assets.deployments.databricks.run_clusters import RunClusters
    from athlete_assets.deployments.databricks.staging import staging_at
    from athlete_assets.deployments.databricks.step_runs import StepRuns

    def ended(dagster_run_id: str) -> bool:
        run = instance.get_run_by_id(dagster_run_id)
        return run is not None and run.is_finished

    done: list[str] = []
    runs, writing = StepRuns(client, staging_at(client, prefix)), set()
    for run in runs.alive():
        if not ended(run.dagster_run_id):
            writing.add(run.dagster_run_id)
        elif error := runs.end(run.run_id, seconds):
            writing.add(run.dagster_run_id)
            done.append(f"Databricks run {run.run_id} of step {run.step} could not be cancelled: {error}")
        else:
            done.append(f"Databricks run {run.run_id} of step {run.step} is cancelled")
    clusters = RunClusters(client, prefix)
    for cluster in clusters.all():
        if ended(cluster.dagster_run_id):
            clusters.end(cluster.cluster_id)
            done.append(f"cluster {cluster.cluster_id} is ended")
    storage = instance.event_log_storage
    if storage.supports_global_concurrency_limits:
        for dagster_run_id in storage.get_concurrency_run_ids() - writing:
            if ended(dagster_run_id):
                storage.free_concurrency_slots_for_run(dagster_run_id)
                done.append(f"the pools of run {dagster_run_id} are given back")
    return "; ".join(done) or "nothing is left of ended runs"
