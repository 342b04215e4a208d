"""dagster-mlflow's `mlflow_tracking`, imported at first use: importing mlflow costs more than all else."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

import dagster as dg

from athlete_assets.models.registry import quietly
from athlete_assets.settings import Settings
from athlete_assets.store import new_databases
from athlete_assets.store.session import without_ipython


def mlflow_resource(settings: Settings) -> dg.ResourceDefinition:
    """One MLflow run for each Dagster run; models open nested runs in it.

    The stock resource leaves its run RUNNING where the training asset is not the last step of its job, so whatever is
    still open at the end of the resource's life is ended here.
    """

    @dg.resource(description="MLflow tracking (dagster-mlflow)")
    def mlflow(context: dg.InitResourceContext) -> Iterator[Any]:
        with without_ipython() if settings.deployment == "local" else nullcontext():
            yield from tracked(context)

    def tracked(context: dg.InitResourceContext) -> Iterator[Any]:
        import mlflow

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", dg.BetaWarning)  # chosen knowingly; its version is pinned
            from dagster_mlflow import mlflow_tracking

        if settings.deployment == "local":
            settings.home.mkdir(parents=True, exist_ok=True)
            new_databases.lay("mlflow", settings.home.resolve() / "mlflow.db")
        mlflow.set_registry_uri(settings.mlflow_registry_uri)
        mlflow.set_tracking_uri(settings.mlflow_tracking_uri)
        experiment = settings.mlflow_experiment
        with quietly():  # a new database is made at the first look
            if settings.deployment == "local" and mlflow.get_experiment_by_name(experiment) is None:
                artifacts = (settings.home.resolve() / "mlflow_artifacts").as_uri()
                mlflow.create_experiment(experiment, artifact_location=artifacts)
        config = {
            "experiment_name": experiment,
            "mlflow_tracking_uri": settings.mlflow_tracking_uri,
            "env": {},
            "extra_tags": {},
        }
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", dg.BetaWarning)
            tracking = mlflow_tracking.resource_fn(context.replace_config(config))  # type: ignore[call-arg]
            client = next(tracking)
        yield client
        next(tracking, None)
        while mlflow.active_run():
            mlflow.end_run()

    return mlflow


def _end_of_run(context: dg.HookContext, events: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.BetaWarning)
        from dagster_mlflow import end_mlflow_on_run_finished

    return end_mlflow_on_run_finished.hook_fn(context, events)


end_mlflow_run = dg.HookDefinition(
    name="end_mlflow_run", hook_fn=_end_of_run, required_resource_keys={"mlflow"}, decorated_fn=None
)
"""dagster-mlflow's end-of-run hook: an exception in the asset leaves a FAILED MLflow run."""
