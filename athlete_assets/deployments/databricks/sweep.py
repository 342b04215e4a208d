"""What killed, cancelled and failed steps leave in the staging folder, and code that no version runs any more."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg

import athlete_assets
from athlete_assets.deployments.databricks.config import Credentials, staging_prefix
from athlete_assets.settings import Settings

if TYPE_CHECKING:
    from databricks.sdk import WorkspaceClient

    from athlete_assets.deployments.databricks.staging import Staged, Staging

RUN_FOLDER = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
CODE, CHECKS = "code", "check"
CHECKS_AGE = timedelta(days=1)


@dataclass
class Swept:
    """What was removed, by path below the staging folder."""

    folders: list[str] = field(default_factory=list)
    """Of Dagster runs, whole, and of checks of the deployment."""
    descriptions: list[str] = field(default_factory=list)
    """Of steps that ended without clearing them away, in folders whose events and output still stay."""
    archives: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        counts = {"folders": self.folders, "descriptions": self.descriptions, "code archives": self.archives}
        return ", ".join(f"{len(paths)} {name}" for name, paths in counts.items())


def sweep(
    settings: Settings, instance: dg.DagsterInstance, client: WorkspaceClient | None = None, now: float | None = None
) -> Swept:
    """Removes leftovers from the staging folder; repeating it finds nothing.

    Of a Dagster run that has ended, descriptions and empty folders go at once, and events and output of its failed
    steps after `databricks_keep_days`; of a run that the instance does not know, everything after that time. Code
    archives go after `databricks_keep_code_days`, except the one that this process would send, and those of runs that
    are alive. Nothing of a run that is alive, here or on Databricks, is touched. `now` is in seconds since the epoch.
    """
    from athlete_assets.deployments.databricks.staging import PackagedCode, staging_at
    from athlete_assets.deployments.databricks.step_runs import STEP, StepRuns

    client = client or Credentials.from_environment().client()
    now = time.time() if now is None else now
    staging, swept = staging_at(client, staging_prefix(settings)), Swept()
    alive = {run.dagster_run_id for run in StepRuns(client, staging).alive()}
    oldest = now - timedelta(days=settings.databricks_keep_days).total_seconds()
    for top in staging.entries(""):
        if top.is_folder and top.name == CHECKS:
            for check in staging.entries(CHECKS):
                if check.modified < now - CHECKS_AGE.total_seconds():
                    _remove(staging, f"{CHECKS}/{check.name}", swept.folders)
        if not (top.is_folder and RUN_FOLDER.fullmatch(top.name)) or top.name in alive:
            continue
        run = instance.get_run_by_id(top.name)
        if run is not None and not run.is_finished:
            continue
        files = list(_files(staging, top.name))
        newest = max((file.modified for _, file in files), default=top.modified)
        if newest < oldest or (run is not None and not files):
            _remove(staging, top.name, swept.folders)
        elif run is not None:
            for path, file in files:
                if file.name == STEP:
                    _remove(staging, path, swept.descriptions)
    oldest = now - timedelta(days=settings.databricks_keep_code_days).total_seconds()
    package = athlete_assets.__name__
    current = PackagedCode.of({package: Path(athlete_assets.__file__).resolve().parents[1]}).digest
    for archive in staging.entries(CODE):
        if archive.modified < oldest and archive.name != f"{current}.zip" and not alive:
            _remove(staging, f"{CODE}/{archive.name}", swept.archives)
    return swept


def _files(staging: Staging, folder: str) -> list[tuple[str, Staged]]:
    """All files below a folder with their paths."""
    found = []
    for entry in staging.entries(folder):
        path = f"{folder}/{entry.name}"
        found.extend(_files(staging, path) if entry.is_folder else [(path, entry)])
    return found


def _remove(staging: Staging, path: str, removed: list[str]) -> None:
    staging.remove(path)
    removed.append(path)
