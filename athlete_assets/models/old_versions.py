"""Removing the model versions and training runs of the local MLflow that nothing needs any more.

In a workspace they stay: how long is its administrators' affair.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from athlete_assets.errors import StoreError
from athlete_assets.models import registry
from athlete_assets.models.promotion import PREVIOUS
from athlete_assets.settings import Settings

AT_ONCE = 1000
"""Runs or models that one maintenance looks at; the next one takes the others."""


@dataclass(frozen=True)
class RemovedModels:
    """How much was removed: versions as model/version, and the number of training runs."""

    versions: tuple[str, ...]
    runs: int


def remove_old_versions(names: Collection[str], older_than: datetime, settings: Settings) -> RemovedModels:
    """Removes versions of the registered models `names`, and training runs from before a moment, with all artifacts.

    Of each model stay: the versions that an alias names, the champion before the present one (what `rollback` returns
    to), and the newest ATHLETE_KEEP_MODEL_VERSIONS. A run stays with its version. Raises StoreError where MLflow fails.
    """
    from mlflow.entities import ViewType
    from mlflow.exceptions import MlflowException

    client = registry.client(settings)
    try:
        removed, kept_runs = [], set[str]()
        for name in names:
            # numbers in MLflow's own registry, text elsewhere, and text in aliases and tags
            versions = {str(one.version): one for one in client.search_model_versions(f"name = '{name}'")}
            kept = _kept(client, name, versions, settings.keep_model_versions)
            kept_runs |= {str(versions[number].run_id) for number in kept & versions.keys()}
            for number in versions.keys() - kept:
                client.delete_model_version(name, number)
                removed.append((f"{name}/{number}", str(versions[number].run_id)))
        experiment = client.get_experiment_by_name(settings.mlflow_experiment)
        if experiment is None:
            return RemovedModels(tuple(version for version, _ in removed), 0)
        ours = [experiment.experiment_id]
        milliseconds = int(older_than.timestamp() * 1000)
        old = client.search_runs(ours, f"attributes.start_time < {milliseconds}", max_results=AT_ONCE)
        # the Dagster run's own MLflow run is the parent of its models' runs, and holds nothing itself
        unused = {run.info.run_id for run in old} | {run_id for _, run_id in removed}
        unused -= kept_runs | {_parent(client, run_id) for run_id in kept_runs}
        for model in client.search_logged_models(ours, max_results=AT_ONCE):
            if model.source_run_id in unused:
                client.delete_logged_model(model.model_id)
        for run_id in unused:
            client.delete_run(run_id)
        deleted = client.search_runs(ours, run_view_type=ViewType.DELETED_ONLY, max_results=AT_ONCE)
    except MlflowException as error:
        raise StoreError(f"MLflow: old versions could not be removed: {error}") from error
    if deleted:
        _collect(settings)
    return RemovedModels(tuple(version for version, _ in removed), len(unused))


def _kept(client: Any, name: str, versions: Mapping[str, Any], newest: int) -> set[str]:
    if not versions:
        return set()
    kept = set(sorted(versions, key=int)[-newest:] if newest else [])
    kept |= {str(number) for number in client.get_registered_model(name).aliases.values()}
    return kept | {
        versions[number].tags[PREVIOUS] for number in kept if PREVIOUS in getattr(versions.get(number), "tags", {})
    }


def _parent(client: Any, run_id: str) -> str:
    return str(client.get_run(run_id).data.tags.get("mlflow.parentRunId", ""))


def _collect(settings: Settings) -> None:
    """Deletes for good what is marked as deleted, artifacts included: MLflow offers that as a command alone."""
    command = [sys.executable, "-m", "mlflow", "gc", "--backend-store-uri", settings.mlflow_tracking_uri]
    environment = {**os.environ, "MLFLOW_TRACKING_URI": settings.mlflow_tracking_uri}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise StoreError(f"mlflow gc failed: {(done.stderr.strip().splitlines() or ['no message'])[-1]}")
