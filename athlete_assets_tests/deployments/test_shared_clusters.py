"""One cluster for a Dagster run, and clusters that live longer than a step: what they have installed, and keep."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from athlete_assets.deployments.databricks.config import Credentials, mended_launcher, run_config
from athlete_assets.deployments.databricks.ended_runs import end_leftovers
from athlete_assets.deployments.databricks.run_clusters import STAGING_TAG, RunClusters
from athlete_assets.deployments.databricks.step_main import NotReady, checked
from athlete_assets.settings import Settings
from athlete_assets_tests.deployments.conftest import STAGING, TOKEN, HastyLauncher, Small
from athlete_assets_tests.fake_workspace import FakeWorkspace, Fate

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]
POOL: dict[str, Any] = {"deployment": "databricks", "databricks_pool_id": "pool-1", "databricks_cluster_for": "run"}
NEW = {"nodes": {"instance_pool_id": "pool-1"}, "size": {"num_workers": 2}, "spark_version": "17.3.x-scala2.13"}


def without_libraries(**changes: Any) -> dict[str, Any]:
    return run_config(Settings(**POOL, databricks_send_libraries=False, **changes))


def client_of(workspace: FakeWorkspace) -> Any:
    return Credentials(workspace.url, {"databricks_token": TOKEN}, "token").client(patience_s=5)


def made(workspace: FakeWorkspace) -> list[str]:
    return [name for name in workspace.existing_clusters if name.startswith("made-")]


# a cluster a Dagster run


def test_all_steps_of_a_run_share_a_cluster_that_ends_after_the_run(small: Small, workspace: FakeWorkspace) -> None:
    settings = {"databricks_tags": {"team": "running"}, "databricks_policy_id": "policy-1"}
    small.use(HastyLauncher, run_config=without_libraries(**settings), cluster_a_run=True)
    done = small.materialize("numbers", "totals")
    assert done.success, done.messages
    (cluster,) = made(workspace)
    assert [run.task["existing_cluster_id"] for run in workspace.runs] == [cluster, cluster]
    assert len(workspace.requests("/clusters/create")) == 1
    described = workspace.existing_clusters[cluster]
    assert described["cluster_name"] == f"athlete_assets run {done.run.run_id}"
    assert (described["instance_pool_id"], described["num_workers"], described["policy_id"]) == (
        "pool-1",
        2,
        "policy-1",
    )
    assert described["custom_tags"]["team"] == "running"
    assert described["autotermination_minutes"] == 20, "where nobody is left who could end it"
    assert f"cluster {cluster} is ended" in end_leftovers(client_of(workspace), STAGING, small.instance, 1.0)
    assert made(workspace) == []


def test_a_cluster_whose_run_goes_on_or_is_another_deployments_is_left_alone(
    small: Small, workspace: FakeWorkspace
) -> None:
    client = client_of(workspace)
    _, going_on = small.create_run("totals")
    done, other = small.create_run("totals")[1], "/Volumes/main/other/staging"
    small.instance.report_run_canceled(done)
    for prefix, run in ((STAGING, going_on.run_id), (other, done.run_id)):
        RunClusters(client, prefix).of(run, NEW, lambda call: call())
    assert end_leftovers(client, STAGING, small.instance, 1.0) == "nothing is left of ended runs"
    assert len(made(workspace)) == 2


def test_steps_that_begin_at_once_share_one_though_each_has_made_one(workspace: FakeWorkspace) -> None:
    from athlete_assets.deployments.databricks.patience import patiently

    workspace.faults.instead("/clusters/create", method="POST")  # and one of them is not understood at first
    together, found = threading.Barrier(3), []

    class Together(RunClusters):
        looked = False

        def _ids(self, dagster_run_id: str, patiently: Any) -> list[str]:
            ids = super()._ids(dagster_run_id, patiently)
            if not self.looked:
                self.looked = True
                together.wait(timeout=60)  # all have seen that there is none
            return ids

    def step() -> None:
        clusters = Together(client_of(workspace), STAGING)
        found.append(clusters.of("0" * 36, NEW, lambda call: patiently(call, 30)))

    threads = [threading.Thread(target=step) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 3
    assert set(found) == set(made(workspace)), "one serves all, and the others are ended"
    assert len(set(found)) == 1
    assert workspace.existing_clusters[found[0]]["custom_tags"][STAGING_TAG] == STAGING


def test_the_setting_reaches_the_launcher(workspace: FakeWorkspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABRICKS_HOST", workspace.url)
    monkeypatch.setenv("DATABRICKS_TOKEN", TOKEN)
    for name in ("DATABRICKS_CLIENT_ID", "DATABRICKS_CLIENT_SECRET"):
        monkeypatch.delenv(name, raising=False)
    assert mended_launcher(Settings(**POOL)).cluster_a_run
    assert not mended_launcher(Settings(**{**POOL, "databricks_cluster_for": "step"})).cluster_a_run


# libraries of a cluster that lives longer


def test_libraries_can_be_left_to_the_cluster_and_are_compared_nevertheless(
    small: Small, workspace: FakeWorkspace
) -> None:
    assert run_config(Settings(**POOL))["libraries"], "by default they are sent"
    small.use(HastyLauncher, run_config={"cluster": {"existing": "shared"}, **_libraries_of(without_libraries())})
    assert small.materialize("totals").success
    assert workspace.runs[0].task.get("libraries", []) == []
    with pytest.raises(NotReady, match=r"catboost 0\.1 \(found: "):
        checked(("3.8", "4.0"), {"catboost": "0.1"}, {})


def _libraries_of(config: dict[str, Any]) -> dict[str, Any]:
    return {key: config[key] for key in ("libraries", "install_default_libraries")}


def test_a_changed_pin_on_a_running_cluster_is_said_before_anything_is_submitted(
    small: Small, workspace: FakeWorkspace
) -> None:
    workspace.cluster_libraries["shared"] = ["catboost==1.2.5", "numpy==1.26.4", "someones-own"]
    libraries = [{"pypi": {"package": package}} for package in ("catboost==1.2.10", "dagster==1.13.27")]
    configuration = {"cluster": {"existing": "shared"}, "libraries": libraries, "install_default_libraries": False}
    small.use(HastyLauncher, run_config=configuration)
    done = small.materialize("numbers")
    assert done.verdicts("numbers") == ["STEP_FAILURE"], "no retry can help"
    assert "cluster shared has catboost 1.2.5 (this process: 1.2.10)" in done.messages
    assert "restart the cluster" in done.messages
    assert workspace.runs == []
    workspace.cluster_libraries["shared"] = ["catboost==1.2.10"]
    assert small.materialize("numbers").success


def test_a_step_that_finds_another_version_on_a_shared_cluster_says_to_restart_it() -> None:
    with pytest.raises(NotReady, match="Restart the cluster shared: a running one keeps what it has loaded"):
        checked(("3.8", "4.0"), {"catboost": "0.1"}, {}, "shared")
    with pytest.raises(NotReady) as refusal:
        checked(("3.8", "4.0"), {"catboost": "0.1"}, {})
    assert "estart" not in str(refusal.value), "a new cluster has nothing to restart"


def test_the_fate_of_a_cluster_that_does_not_start_is_one_attempt(small: Small, workspace: FakeWorkspace) -> None:
    workspace.deal(Fate("launch_failure"))
    small.use(HastyLauncher, run_config=without_libraries(), cluster_a_run=True)
    assert small.materialize("numbers").verdicts("numbers") == [
        "STEP_UP_FOR_RETRY",
        "STEP_RESTARTED",
        "STEP_SUCCESS",
    ]
    assert len(made(workspace)) == 1
