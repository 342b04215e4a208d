"""Never two writers: an earlier run of a step is followed further, or has ended, before another one starts."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable

import dagster as dg
import pytest
from dagster import AssetKey, DagsterEventType

from athlete_assets.deployments.databricks.config import Credentials
from athlete_assets.deployments.databricks.ended_runs import end_leftovers, sensors
from athlete_assets.settings import Settings
from athlete_assets_tests.deployments.conftest import STAGING, TOKEN, HastyLauncher, Small
from athlete_assets_tests.fake_workspace import FakeWorkspace, Fate

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]
POLL, CANCEL = "/jobs/runs/(get|list)", "/jobs/runs/cancel"
Impatient = type("Impatient", (HastyLauncher,), {"outage_patience_s": 1.5})


def until(condition: Callable[[], object], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def killed_while_running(small: Small, step: str, do: str) -> str:
    """Materialises in a process that is killed as soon as the step on the cluster tells of itself; its Dagster run."""
    process = os.fork()
    if process == 0:
        try:
            small.materialize(step, do=do)
        finally:
            os._exit(1)
    until(lambda: any("/events/" in path for path in small.workspace.staged_files()))
    os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)
    (run,) = small.instance.get_runs()
    assert run.status == dg.DagsterRunStatus.STARTED
    return run.run_id


# what an earlier attempt left


def test_after_an_outage_longer_than_the_patience_the_run_is_followed_further(
    small: Small, workspace: FakeWorkspace
) -> None:
    workspace.faults.status(POLL, 500, times=100_000, after=3)
    small.use(Impatient)

    def outage_ends() -> None:
        until(lambda: small.instance.get_runs())
        (run,) = small.instance.get_runs()
        until(lambda: small.instance.all_logs(run.run_id, of_type=DagsterEventType.STEP_UP_FOR_RETRY))
        workspace.faults.clear()

    threading.Thread(target=outage_ends, daemon=True).start()
    done = small.materialize("numbers", do="sleep 6")
    assert done.verdicts("numbers") == ["STEP_UP_FOR_RETRY", "STEP_RESTARTED", "STEP_SUCCESS"], done.messages
    assert len(workspace.runs) == 1, "the run was healthy all the time"
    assert not workspace.runs[0].cancelled
    assert "is followed further" in done.messages
    for kind, count in (
        (DagsterEventType.ASSET_MATERIALIZATION, 1),
        (DagsterEventType.ASSET_CHECK_EVALUATION, 2),
        (DagsterEventType.STEP_OUTPUT, 3),  # the table's and its two checks'
    ):
        assert len(done.events(kind)) == count, kind
    assert done.written("numbers")["attempt"] == 0
    assert small.instance.get_materialized_partitions(AssetKey("numbers")) == {"2024-01-05"}


def test_without_a_further_attempt_the_run_that_nobody_follows_is_cancelled(
    small: Small, workspace: FakeWorkspace
) -> None:
    workspace.deal(Fate(pending_seconds=300))
    workspace.faults.status(POLL, 500, times=16, after=1)
    small.use(Impatient)
    done = small.materialize("totals")  # has no retry policy
    assert done.verdicts("totals") == ["STEP_FAILURE"]
    assert "out of reach" in done.messages
    assert workspace.runs[0].cancelled


def test_a_cancel_that_is_answered_by_an_error_is_repeated(small: Small, workspace: FakeWorkspace) -> None:
    workspace.deal(Fate(pending_seconds=300))
    workspace.faults.status(CANCEL, 500, times=2)
    small.use(HastyLauncher, max_completion_wait_time_seconds=1)
    assert small.materialize("totals").verdicts("totals") == ["STEP_FAILURE"]
    assert len(workspace.requests(CANCEL)) == 3
    assert workspace.runs[0].ended


# what a killed orchestrator left


def test_the_run_of_a_killed_orchestrator_has_ended_before_the_step_runs_again(
    small: Small, workspace: FakeWorkspace
) -> None:
    first = killed_while_running(small, "totals", do="sleep 300")
    small.instance.report_run_failed(small.instance.get_run_by_id(first))  # as run monitoring does
    workspace.faults.status(CANCEL, 500)
    done = small.materialize("totals")
    assert done.verdicts("totals") == ["STEP_SUCCESS"]
    before, after = workspace.runs
    assert before.cancelled
    assert before.ended_at is not None
    assert before.ended_at < after.started
    assert f"of Dagster run {first}, which has ended, is still alive; it is cancelled" in done.messages


def test_while_dagster_believes_the_other_run_alive_its_end_is_awaited(small: Small, workspace: FakeWorkspace) -> None:
    first = killed_while_running(small, "totals", do="sleep 8")
    done = small.materialize("totals")
    assert done.verdicts("totals") == ["STEP_SUCCESS"]
    before, after = workspace.runs
    assert not before.cancelled
    assert before.ended_at is not None
    assert before.ended_at < after.started
    assert f"of Dagster run {first}: it runs this step, too" in done.messages


def test_another_step_and_another_deployment_are_left_alone(small: Small, workspace: FakeWorkspace) -> None:
    other = "/Volumes/main/other/staging"
    workspace.add_volume(other)
    workspace.deal(Fate(pending_seconds=300), Fate(pending_seconds=300))
    body = {"existing_cluster_id": "shared", "task_key": "dagster-task"}
    for place in (f"{other}/{'0' * 36}/totals/0", f"{STAGING}/{'0' * 36}/numbers/0"):
        task = {**body, "spark_python_task": {"python_file": f"dbfs:{place}/step_main.py", "parameters": []}}
        workspace.clusters.submit({"tasks": [task]}, "somebody")
    assert small.materialize("totals").verdicts("totals") == ["STEP_SUCCESS"]
    assert [run.cancelled for run in workspace.runs] == [False, False, False]


# the sensor


def test_the_sensor_cancels_runs_of_ended_dagster_runs_and_gives_their_pools_back_only_then(
    small: Small, workspace: FakeWorkspace
) -> None:
    client = Credentials(workspace.url, {"databricks_token": TOKEN}, "token").client(patience_s=5)
    workspace.deal(Fate(pending_seconds=300))
    workspace.faults.status(CANCEL, 500, times=100_000)
    small.use(type("Hasty", (HastyLauncher,), {"cancel_patience_s": 1.0}), max_completion_wait_time_seconds=1)
    done = small.materialize("totals")
    assert "could not be cancelled" in done.messages
    assert not workspace.runs[0].ended, "an orphan"
    storage = small.instance.event_log_storage
    small.instance.event_log_storage.set_concurrency_slots("totals", 1)
    assert storage.claim_concurrency_slot("totals", done.run.run_id, "totals").is_claimed
    _, running = small.create_run("totals")

    def tick() -> str:
        return end_leftovers(client, STAGING, small.instance, seconds=1.0)

    assert "could not be cancelled" in tick()
    assert storage.get_concurrency_info("totals").active_slot_count == 1, "something may still write"
    workspace.faults.clear()
    said = tick()
    assert f"Databricks run {workspace.runs[0].run_id} of step totals is cancelled" in said
    assert f"the pools of run {done.run.run_id} are given back" in said
    assert workspace.runs[0].ended
    assert storage.get_concurrency_info("totals").active_slot_count == 0
    assert tick() == "nothing is left of ended runs"
    assert not small.instance.get_run_by_id(running.run_id).is_finished  # type: ignore[union-attr]


def test_the_sensor_leaves_live_and_unknown_runs_alone(small: Small, workspace: FakeWorkspace) -> None:
    client = Credentials(workspace.url, {"databricks_token": TOKEN}, "token").client(patience_s=5)
    _, run = small.create_run("totals")
    for dagster_run in (run.run_id, "0" * 36):
        place = f"{STAGING}/{dagster_run}/totals/0/step_main.py"
        workspace.deal(Fate(pending_seconds=300))
        task = {"existing_cluster_id": "shared", "spark_python_task": {"python_file": f"dbfs:{place}"}}
        workspace.clusters.submit({"tasks": [task]}, "somebody")
    assert end_leftovers(client, STAGING, small.instance, 1.0) == "nothing is left of ended runs"
    assert [run.cancelled for run in workspace.runs] == [False, False]


def test_the_orchestrator_has_the_sensor_and_a_step_has_not() -> None:
    (sensor,) = sensors(Settings(deployment="databricks"))
    assert sensor.name == "ended_databricks_runs"
    assert sensor.default_status == dg.DefaultSensorStatus.RUNNING
    assert sensors(Settings(deployment="databricks", databricks_on_cluster=True)) == []
