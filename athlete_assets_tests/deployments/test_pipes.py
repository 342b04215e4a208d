"""An asset's body through Dagster Pipes: the events that a launched step has, and no run that is lost or doubled."""

from __future__ import annotations

import os
import signal
import threading

import dagster as dg
import pytest
from dagster import AssetKey, DagsterEventType
from dagster._utils.interrupts import capture_interrupts

from athlete_assets_tests.deployments.conftest import Finished, HastyLauncher, PatientLauncher, Small
from athlete_assets_tests.deployments.test_one_writer import until
from athlete_assets_tests.fake_workspace import FakeWorkspace, Fate

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]
POLL, MESSAGES = "/jobs/runs/get", r"/fs/files.*/messages/"
WEEK = ("2024-01-05", "2024-01-11")


@pytest.fixture
def piped(small: Small) -> Small:
    small.through_pipes(HastyLauncher)
    return small


def told(done: Finished) -> list[tuple[object, ...]]:
    """What the event log has of the materialisations and checks, without places and times."""
    found: list[tuple[object, ...]] = []
    for entry in done.events():
        event = entry.dagster_event
        if event is None:
            continue
        if event.event_type == DagsterEventType.ASSET_MATERIALIZATION:
            it = event.step_materialization_data.materialization
            tags = {name: value for name, value in it.tags.items() if "storage_id" not in name}
            metadata = {name: str(value.value) for name, value in it.metadata.items() if "databricks" not in name}
            found.append((it.asset_key, it.partition, sorted(metadata.items()), sorted(tags.items())))
        elif event.event_type == DagsterEventType.ASSET_CHECK_EVALUATION:
            check = event.asset_check_evaluation_data
            metadata = {name: str(value.value) for name, value in check.metadata.items()}
            found.append((check.asset_key, check.check_name, check.passed, check.severity, check.description, metadata))
    return sorted(found, key=str)


def test_a_range_has_the_events_that_a_launched_step_has(small: Small, workspace: FakeWorkspace) -> None:
    by_launcher = small.materialize("numbers", days=WEEK)
    small.through_pipes(HastyLauncher)
    by_pipes = small.materialize("numbers", days=WEEK)
    assert by_pipes.success, by_pipes.messages
    assert told(by_pipes) == told(by_launcher)
    assert len(by_pipes.events(DagsterEventType.ASSET_MATERIALIZATION)) == 7
    assert by_pipes.written("numbers")["keys"] == [f"2024-01-{day:02}" for day in range(5, 12)]
    assert "numbers are written" in by_pipes.messages
    assert [run.result for run in workspace.runs] == ["SUCCESS", "SUCCESS"]
    assert [path for path in workspace.staged_files() if "/code/" not in path] == []


def test_a_blocking_check_that_fails_is_told_and_fails_the_step(piped: Small) -> None:
    done = piped.materialize("numbers", do="bad")
    assert not done.success
    events = done.events(DagsterEventType.ASSET_CHECK_EVALUATION)
    checks = [entry.get_dagster_event().asset_check_evaluation_data for entry in events]
    assert {check.check_name: check.passed for check in checks} == {"positive": False, "few": True}


def test_a_run_of_checks_alone_materialises_nothing(piped: Small) -> None:
    done = piped.materialize(checks=[("numbers", "few")])
    assert done.success, done.messages
    (check,) = done.events(DagsterEventType.ASSET_CHECK_EVALUATION)
    assert check.get_dagster_event().asset_check_evaluation_data.check_name == "few"
    assert done.events(DagsterEventType.ASSET_MATERIALIZATION) == []


def test_an_error_of_the_body_follows_the_retry_policy_of_the_op_and_is_the_reason_of_the_failure(
    piped: Small, workspace: FakeWorkspace
) -> None:
    done = piped.materialize("numbers", do="raise")
    assert done.verdicts("numbers") == ["STEP_UP_FOR_RETRY", "STEP_RESTARTED"] * 2 + ["STEP_FAILURE"]
    assert "the data is wrong" in done.messages
    assert [run.result for run in workspace.runs] == ["FAILED"] * 3


ONCE = {
    "an answer that breaks off": lambda faults: faults.cut(POLL, after=1),
    "a page instead of an answer": lambda faults: faults.instead(POLL, after=1),
    "401": lambda faults: faults.status(POLL, 401, after=1, error_code="UNAUTHENTICATED"),
    "403": lambda faults: faults.status(POLL, 403, after=1, error_code="PERMISSION_DENIED"),
    "404": lambda faults: faults.status(POLL, 404, after=1, error_code="RESOURCE_DOES_NOT_EXIST"),
    "messages: an answer that breaks off": lambda faults: faults.cut(MESSAGES, method="GET"),
    "messages: a page instead": lambda faults: faults.instead(MESSAGES, method="GET"),
    "messages: 503": lambda faults: faults.status(MESSAGES, 503, method="GET", error_code="TEMPORARILY_UNAVAILABLE"),
    "messages: 403": lambda faults: faults.status(MESSAGES, 403, method="GET", error_code="PERMISSION_DENIED"),
}


@pytest.mark.parametrize("fault", ONCE, ids=str)
def test_what_is_answered_once_does_not_end_a_step(small: Small, workspace: FakeWorkspace, fault: str) -> None:
    small.through_pipes(PatientLauncher)
    ONCE[fault](workspace.faults)
    done = small.materialize("numbers")
    assert done.verdicts("numbers") == ["STEP_SUCCESS"], done.messages
    assert [run.result for run in workspace.runs] == ["SUCCESS"]


def test_messages_that_stay_unreadable_fail_the_attempt_with_the_reason(piped: Small, workspace: FakeWorkspace) -> None:
    workspace.faults.instead(MESSAGES, method="GET", times=10_000)
    done = piped.materialize("numbers")
    assert done.verdicts("numbers")[-1] == "STEP_FAILURE"
    assert not done.events(DagsterEventType.ASSET_MATERIALIZATION)


def test_a_refusal_that_lasts_ends_the_attempt_and_its_run(piped: Small, workspace: FakeWorkspace) -> None:
    workspace.deal(Fate(pending_seconds=120))
    workspace.faults.status(POLL, 403, times=25, error_code="PERMISSION_DENIED", message="no right to see the run")
    done = piped.materialize("numbers")
    assert "no right to see the run" in done.messages
    assert workspace.runs[0].cancelled


def test_a_run_whose_driver_is_lost_is_started_once_more(piped: Small, workspace: FakeWorkspace) -> None:
    workspace.deal(Fate(kill_driver_when="messages/1.json"))
    done = piped.materialize("numbers", do="sleep 3")
    assert done.verdicts("numbers") == ["STEP_UP_FOR_RETRY", "STEP_RESTARTED", "STEP_SUCCESS"], done.messages
    assert done.instance.get_materialized_partitions(AssetKey("numbers")) == {"2024-01-05"}


def test_the_run_of_a_killed_orchestrator_has_ended_before_the_step_runs_again(
    piped: Small, workspace: FakeWorkspace
) -> None:
    process = os.fork()
    if process == 0:
        try:
            piped.materialize("numbers", do="sleep 300")
        finally:
            os._exit(1)
    until(lambda: any("/messages/" in path for path in workspace.staged_files()))
    os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)
    (first,) = piped.instance.get_runs()
    assert first.status == dg.DagsterRunStatus.STARTED
    piped.instance.report_run_failed(first)  # as run monitoring does
    done = piped.materialize("numbers")
    assert done.success, done.messages
    assert [run.cancelled for run in workspace.runs] == [True, False]
    assert "is still alive; it is cancelled" in done.messages


def test_an_interrupt_ends_the_databricks_run(piped: Small, workspace: FakeWorkspace) -> None:
    def interrupt() -> None:
        until(lambda: any("/messages/" in path for path in workspace.staged_files()))
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt, daemon=True).start()
    with capture_interrupts():  # of an op with a retry policy, Dagster itself would begin anew
        done = piped.materialize("checked", day=None, do="sleep 60")
    assert not done.success
    assert workspace.runs[0].cancelled
    assert workspace.runs[0].ended
