"""Leftovers go: of killed and failed steps, of code that nothing runs any more, on volumes and on DBFS."""

from __future__ import annotations

import os
import time
import uuid
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

import athlete_assets
from athlete_assets.deployments.databricks import step_main
from athlete_assets.deployments.databricks.config import Credentials
from athlete_assets.deployments.databricks.resources import resources
from athlete_assets.deployments.databricks.staging import PackagedCode, staging_at
from athlete_assets.deployments.databricks.sweep import Swept, sweep
from athlete_assets.orchestration import maintenance
from athlete_assets.settings import Settings
from athlete_assets_tests.deployments.conftest import STAGING, TOKEN, HastyLauncher, Small
from athlete_assets_tests.fake_workspace import FakeWorkspace, Fate

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]
DAY = 86_400.0


class Folder:
    """A staging folder in which a test lays things of any age."""

    def __init__(self, workspace: FakeWorkspace, prefix: str) -> None:
        self.client = Credentials(workspace.url, {"databricks_token": TOKEN}, "token").client(patience_s=5)
        self.staging = staging_at(self.client, prefix)
        top = workspace.root if prefix.startswith("/Volumes") else workspace.root / "dbfs"
        self.path = top / prefix.lstrip("/")
        self.settings = Settings(deployment="databricks", databricks_cluster_id="shared", databricks_staging=prefix)

    def lay(self, path: str, days_old: float) -> None:
        file = self.path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"x")
        then = time.time() - days_old * DAY
        for touched in (file, *list(file.parents)[: path.count("/")]):
            os.utime(touched, (then, then))

    def swept(self, instance: dg.DagsterInstance) -> Swept:
        return sweep(self.settings, instance, self.client)

    @property
    def files(self) -> set[str]:
        return {str(path.relative_to(self.path)) for path in self.path.rglob("*") if path.is_file()}


@pytest.fixture(params=[STAGING, "/dagster_staging"], ids=["volume", "DBFS"])
def folder(request: pytest.FixtureRequest, workspace: FakeWorkspace) -> Folder:
    return Folder(workspace, request.param)


def ended(instance: dg.DagsterInstance) -> str:
    run = instance.create_run_for_job(_job())
    instance.report_run_failed(run)
    return run.run_id


def _job() -> dg.JobDefinition:
    @dg.op
    def nothing() -> None: ...

    @dg.job
    def idle() -> None:
        nothing()

    return idle


def test_what_ended_runs_left_goes_by_its_age_and_what_is_alive_stays(folder: Folder) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        old, fresh, stranger, strange_and_old = ended(instance), ended(instance), str(uuid.uuid4()), str(uuid.uuid4())
        going_on = instance.create_run_for_job(_job()).run_id
        for run, age in ((old, 8), (fresh, 1), (stranger, 1), (strange_and_old, 8), (going_on, 30)):
            for name in ("step.json", "step_main.py", "events/000001.json.gz", "stderr"):
                folder.lay(f"{run}/totals/0/{name}", age)
        (folder.path / fresh / "numbers" / "0").mkdir(parents=True)
        swept = folder.swept(instance)
        assert set(swept.folders) == {old, strange_and_old}
        assert swept.descriptions == [f"{fresh}/totals/0/step.json"]
        kept = {"step_main.py", "events/000001.json.gz", "stderr"}
        assert folder.files == {f"{run}/totals/0/{name}" for run in (fresh, stranger, going_on) for name in kept} | {
            f"{run}/totals/0/step.json" for run in (stranger, going_on)
        }
        again = folder.swept(instance)
        assert (again.folders, again.descriptions, again.archives) == ([], [], [])


def test_empty_folders_of_ended_runs_go_at_once(folder: Folder) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        run = ended(instance)
        (folder.path / run / "totals").mkdir(parents=True)
        assert folder.swept(instance).folders == [run]
        assert not (folder.path / run).exists()


def test_old_code_goes_and_the_present_code_never(folder: Folder) -> None:
    present = PackagedCode.of({"athlete_assets": Path(athlete_assets.__file__).parents[1]}).digest
    for name, age in ((present, 400), ("a" * 64, 31), ("b" * 64, 29)):
        folder.lay(f"code/{name}.zip", age)
    folder.lay("check/1/probe.json", 2)
    folder.lay("check/2/probe.json", 0)
    with dg.DagsterInstance.ephemeral() as instance:
        swept = folder.swept(instance)
    assert swept.archives == [f"code/{'a' * 64}.zip"]
    assert swept.folders == ["check/1"]
    assert folder.files == {f"code/{present}.zip", f"code/{'b' * 64}.zip", "check/2/probe.json"}
    assert str(swept) == "1 folders, 0 descriptions, 1 code archives"


def test_nothing_of_a_step_that_is_alive_on_databricks_goes(workspace: FakeWorkspace, folder: Folder) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        run = ended(instance)  # an orphan: the sensor has not come to it yet
        folder.lay(f"{run}/totals/0/step.json", 30)
        folder.lay(f"code/{'a' * 64}.zip", 31)
        workspace.deal(Fate(pending_seconds=300))
        file = folder.staging.uri(f"{run}/totals/0/step_main.py")
        task: dict[str, Any] = {"existing_cluster_id": "shared", "spark_python_task": {"python_file": file}}
        workspace.clusters.submit({"tasks": [task]}, "somebody")
        swept = folder.swept(instance)
        assert (swept.folders, swept.descriptions, swept.archives) == ([], [], [])


def test_the_maintenance_job_sweeps_the_folder(
    folder: Folder, monkeypatch: pytest.MonkeyPatch, workspace: FakeWorkspace
) -> None:
    monkeypatch.setenv("DATABRICKS_HOST", workspace.url)
    monkeypatch.setenv("DATABRICKS_TOKEN", TOKEN)
    for name in ("DATABRICKS_CLIENT_ID", "DATABRICKS_CLIENT_SECRET"):
        monkeypatch.delenv(name, raising=False)
    job, made = maintenance.maintenance_job(folder.settings), resources(folder.settings)
    with dg.DagsterInstance.ephemeral() as instance:
        run = ended(instance)
        folder.lay(f"{run}/totals/0/stderr", 8)
        done = job.execute_in_process(
            instance=instance,
            resources={maintenance.STAGING: made[maintenance.STAGING]},
            op_selection=["sweep_staging_folder"],
        )
        assert done.success
        assert folder.files == set()


def test_a_corrupt_archive_of_the_right_size_is_staged_again(small: Small, workspace: FakeWorkspace) -> None:
    small.materialize("totals")
    (archive,) = (workspace.root / STAGING.lstrip("/") / "code").iterdir()
    whole = archive.read_bytes()
    archive.write_bytes(bytes(len(whole)))
    assert small.materialize("totals", day="2024-01-06").verdicts("totals") == ["STEP_SUCCESS"]
    assert archive.read_bytes() == whole


def test_a_step_leaves_no_folder_of_its_own_on_a_cluster_that_lives_on(small: Small, workspace: FakeWorkspace) -> None:
    """Neither after success nor after failure; the code for Spark's workers stays, once a version."""
    small.materialize("totals")
    small.materialize("totals", day="2024-01-06", do="raise")
    for run in workspace.runs:
        left = sorted(path.name for path in run.folder.glob("athlete_assets*"))
        assert left == [f"athlete_assets_zips_{os.getuid()}"]


def test_the_sweep_finds_nothing_after_runs_that_ended_well(small: Small, workspace: FakeWorkspace) -> None:
    small.use(HastyLauncher)
    small.materialize("numbers", "totals")
    folder = Folder(workspace, STAGING)
    assert all("/code/" in path for path in workspace.staged_files())
    folder.swept(small.instance)
    assert [path.name for path in folder.path.iterdir()] == ["code"], "the empty folders are gone"


def test_a_step_removes_what_killed_ones_left_on_its_cluster_long_ago(tmp_path: Path) -> None:
    names = ("athlete_assets_step_old", "athlete_assets_step_new", "somebody_elses_old")
    for name in names:
        (tmp_path / name / "code").mkdir(parents=True)
        if name.endswith("old"):
            os.utime(tmp_path / name, (0, 0))
    (tmp_path / "athlete_assets_step_link").symlink_to(tmp_path / names[2])
    step_main.sweep_left_folders(str(tmp_path))
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {names[1], names[2], "athlete_assets_step_link"}
