"""A workspace with the staging volume, and runs of the small code location through it."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing import forkserver
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster import AssetCheckKey, AssetKey, DagsterEventType
from dagster._core.definitions.reconstruct import ReconstructableJob, ReconstructableRepository
from dagster._core.execution.api import create_execution_plan, execute_run
from dagster._core.snap import snapshot_from_execution_plan

from athlete_assets.deployments.databricks.launcher import MendedStepLauncher
from athlete_assets.deployments.databricks.pipes import PipesDoor
from athlete_assets_tests.fake_workspace import FakeWorkspace
from athlete_assets_tests.fake_workspace.server import CLIENT_ID, CLIENT_SECRET

PROJECT = Path(__file__).parents[1] / "fake_workspace" / "project"
STAGING = "/Volumes/main/ops/staging"
TOKEN = "dapi-a-personal-token"


class HastyLauncher(MendedStepLauncher):
    """The product's launcher with the patience of a test."""

    outage_patience_s = 4.0
    event_patience_s = 2.0
    after_verdict_s = 20.0
    refusal_patience_s = 2.0
    cancel_patience_s = 4.0


class PatientLauncher(HastyLauncher):
    """With time for outages that are waited out: the SDK lengthens its waits by chance."""

    outage_patience_s = 30.0


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[FakeWorkspace]:
    with FakeWorkspace(tmp_path / "workspace") as running:
        running.add_token(TOKEN, "orchestrator")
        running.add_volume(STAGING)
        running.existing_clusters["shared"] = {"spark_version": "17.3.x-scala2.13", "state": "RUNNING"}
        yield running


@dataclass
class Finished:
    """A finished run: whether it succeeded, and its event log."""

    success: bool
    run: dg.DagsterRun
    instance: dg.DagsterInstance
    out: Path

    def events(self, kind: DagsterEventType | None = None) -> list[Any]:
        return [
            entry
            for entry in self.instance.all_logs(self.run.run_id)
            if kind is None or (entry.is_dagster_event and entry.get_dagster_event().event_type == kind)
        ]

    def verdicts(self, step: str) -> list[str]:
        """How the step ended, each time: STEP_SUCCESS, STEP_FAILURE, STEP_UP_FOR_RETRY, STEP_RESTARTED."""
        kinds = ("STEP_SUCCESS", "STEP_FAILURE", "STEP_UP_FOR_RETRY", "STEP_RESTARTED")
        return [
            entry.get_dagster_event().event_type.value
            for entry in self.events()
            if entry.is_dagster_event
            and entry.get_dagster_event().event_type.value in kinds
            and entry.get_dagster_event().step_key == step
        ]

    @property
    def messages(self) -> str:
        """Everything that the log says, errors with their causes included."""
        said = []
        for entry in self.events():
            said.append(entry.user_message)
            error = entry.error_info or (
                getattr(entry.get_dagster_event().event_specific_data, "error", None)
                if entry.is_dagster_event
                else None
            )
            while error is not None:
                said.append(error.message)
                error = error.cause
        return "\n".join(said)

    def written(self, name: str) -> dict[str, Any]:
        """What an asset wrote about itself."""
        return json.loads((self.out / f"{name}.json").read_text())


class Small:
    """Runs the small code location in this process, its steps on the workspace's clusters."""

    def __init__(self, workspace: FakeWorkspace, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.workspace, self.out = workspace, out
        self.instance = dg.DagsterInstance.local_temp()
        monkeypatch.syspath_prepend(str(PROJECT))
        import small_assets.definitions as definitions

        self.definitions = definitions
        self.repository = ReconstructableRepository.for_module("small_assets.definitions", "defs")
        self.use(HastyLauncher)

    def in_parallel(self, monkeypatch: pytest.MonkeyPatch, **changes: Any) -> None:
        """Steps run by the deployment's executor, in processes of their own, which make the launcher anew."""
        monkeypatch.setenv("ATHLETE_DEPLOYMENT", "databricks")
        monkeypatch.setenv("SMALL_LAUNCHER", json.dumps({**self.configuration(), **changes}))
        monkeypatch.syspath_prepend(str(self.out))  # dagster takes the first entry off while it loads a code location
        forkserver._forkserver._stop()  # type: ignore[attr-defined]  # an earlier test's has that test's environment
        self.definitions = importlib.reload(self.definitions)

    def use(self, kind: type, **changes: Any) -> None:
        """Launches the steps with such a launcher from now on."""
        self.definitions.LAUNCHER = kind(**{**self.configuration(), **changes})

    def through_pipes(self, kind: type) -> None:
        """Runs the bodies that have this door through Pipes from now on, as patiently as such a launcher."""
        self.definitions.LAUNCHER = None
        self.definitions.DOOR = PipesDoor(kind(**self.configuration()))

    def configuration(self) -> dict[str, Any]:
        return {
            "run_config": {"cluster": {"existing": "shared"}, "libraries": [], "install_default_libraries": False},
            "permissions": {},
            "databricks_host": self.workspace.url,
            "databricks_token": TOKEN,
            "env_variables": {
                "ATHLETE_DATABRICKS_ON_CLUSTER": "true",
                "SMALL_OUT": str(self.out),
                "SMALL_TABLE": str(self.out / "table"),
            },
            "secrets_to_env_variables": [],
            "local_dagster_job_package_path": str(PROJECT),
            "staging_prefix": STAGING,
            "wait_for_logs": False,
            "max_completion_wait_time_seconds": 300,
            "poll_interval_sec": 0.1,
            "verbose_logs": False,
        }

    @property
    def job(self) -> ReconstructableJob:
        return self.repository.get_reconstructable_job("__ASSET_JOB")

    def create_run(
        self, *assets: str, checks: list[tuple[str, str]] | None = None, tags: dict[str, str] | None = None
    ) -> tuple[ReconstructableJob, dg.DagsterRun]:
        """A run of the assets with all their checks, or of exactly the named checks."""
        selection = {AssetKey(name) for name in assets}
        selected_checks = (
            {AssetCheckKey(AssetKey(asset), name) for asset, name in checks} if checks is not None else None
        )
        job = self.job.get_subset(asset_selection=selection, asset_check_selection=selected_checks)
        definition, plan = job.get_definition(), create_execution_plan(job)
        run = self.instance.create_run(
            job_name=definition.name,
            run_id=None,
            run_config={},
            status=None,
            tags=tags or {},
            root_run_id=None,
            parent_run_id=None,
            step_keys_to_execute=None,
            execution_plan_snapshot=snapshot_from_execution_plan(plan, definition.get_job_snapshot_id()),
            job_snapshot=definition.get_job_snapshot(),
            parent_job_snapshot=definition.get_parent_job_snapshot(),
            asset_selection=frozenset(selection),
            asset_check_selection=frozenset(selected_checks) if selected_checks is not None else None,
            resolved_op_selection=None,
            op_selection=None,
            remote_job_origin=None,
            job_code_origin=job.get_python_origin(),
            asset_graph=definition.asset_layer.asset_graph,
        )
        return self.job, run

    def materialize(
        self,
        *assets: str,
        day: str | None = "2024-01-05",
        days: tuple[str, str] | None = None,
        checks: list[tuple[str, str]] | None = None,
        do: str = "",
        tags: dict[str, str] | None = None,
    ) -> Finished:
        tags = {**(tags or {}), **({"small/do": do} if do else {})}
        if days:
            tags |= {"dagster/asset_partition_range_start": days[0], "dagster/asset_partition_range_end": days[1]}
        elif day:
            tags["dagster/partition"] = day
        job, run = self.create_run(*assets, checks=checks, tags=tags)
        events = execute_run(job, run, self.instance, raise_on_error=False)
        return Finished(bool(getattr(events, "success", False)), run, self.instance, self.out)


@pytest.fixture
def small(workspace: FakeWorkspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Small:
    out = tmp_path / "out"
    out.mkdir()
    for name in list(sys.modules):
        if name.split(".")[0] == "small_assets":
            del sys.modules[name]
    return Small(workspace, out, monkeypatch)


__all__ = ["CLIENT_ID", "CLIENT_SECRET", "STAGING", "TOKEN", "Finished", "HastyLauncher", "PatientLauncher", "Small"]
