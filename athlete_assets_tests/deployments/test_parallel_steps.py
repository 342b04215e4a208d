"""Steps that do not need each other run at the same time on Databricks, and tell the same as if they had not."""

from __future__ import annotations

import os
import signal
import threading

import pytest
from dagster import AssetKey, DagsterEventType
from dagster._utils.interrupts import capture_interrupts

from athlete_assets_tests.deployments.conftest import Small
from athlete_assets_tests.deployments.test_one_writer import until
from athlete_assets_tests.fake_workspace import FakeWorkspace, Fate

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]


def test_two_independent_steps_overlap_and_the_one_that_needs_both_comes_after(
    small: Small, workspace: FakeWorkspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of `left` and `right` ends only once the other has begun."""
    small.in_parallel(monkeypatch)
    done = small.materialize("left", "right", "joined", day=None)
    assert done.success, done.messages
    assert {step: done.verdicts(step) for step in ("left", "right", "joined")} == {
        "left": ["STEP_SUCCESS"],
        "right": ["STEP_SUCCESS"],
        "joined": ["STEP_SUCCESS"],
    }
    assert len(workspace.runs) == 3
    pids = {done.written(f"{step}_began")["pid"] for step in ("left", "right")}
    assert len(pids) == 2
    written = [entry.asset_materialization for entry in done.events(DagsterEventType.ASSET_MATERIALIZATION)]
    assert sorted(one.asset_key.path[-1] for one in written) == ["joined", "left", "right"], "each exactly once"
    joined = small.instance.fetch_materializations(AssetKey("joined"), limit=1).records[0].asset_materialization
    assert joined is not None
    for step in ("left", "right"):  # each with its own events, though they came at the same time
        own = small.instance.fetch_materializations(AssetKey(step), limit=1).records[0]
        assert own.asset_materialization is not None
        assert own.asset_materialization.metadata["met"].value == ("right" if step == "left" else "left")
        assert joined.tags is not None
        assert joined.tags[f"dagster/input_event_pointer/{step}"] == str(own.storage_id)
    checked = [
        entry.get_dagster_event().asset_check_evaluation_data
        for entry in done.events(DagsterEventType.ASSET_CHECK_EVALUATION)
    ]
    assert sorted(check.asset_key.path[-1] for check in checked) == ["left", "right"]
    assert all(check.passed and check.target_materialization_data for check in checked)


def test_with_one_step_at_a_time_they_never_meet(small: Small, monkeypatch: pytest.MonkeyPatch) -> None:
    """So the test above can fail."""
    monkeypatch.setenv("ATHLETE_DATABRICKS_PARALLEL_STEPS", "1")
    small.in_parallel(monkeypatch)
    done = small.materialize("left", "right", day=None, tags={"small/patience": "3"})
    assert not done.success
    assert "has not begun" in done.messages


def test_a_step_that_fails_does_not_disturb_the_one_beside_it(
    small: Small, workspace: FakeWorkspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    small.in_parallel(monkeypatch)
    done = small.materialize("totals", "checked", do="raise")
    assert not done.success
    assert done.verdicts("totals") == ["STEP_FAILURE"]
    assert "the data is wrong" in done.messages
    assert done.verdicts("checked") == ["STEP_SUCCESS"]


def test_a_failure_of_the_cluster_is_retried_in_a_process_of_its_own(
    small: Small, workspace: FakeWorkspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace.deal(Fate("launch_failure"))
    small.in_parallel(monkeypatch)
    done = small.materialize("numbers")
    assert done.verdicts("numbers") == ["STEP_UP_FOR_RETRY", "STEP_RESTARTED", "STEP_SUCCESS"]
    assert done.written("numbers")["attempt"] == 1


def test_terminating_the_run_cancels_every_step_on_databricks(
    small: Small, workspace: FakeWorkspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    small.in_parallel(monkeypatch)

    def interrupt() -> None:
        until(lambda: len({path.split("/")[-4] for path in workspace.staged_files() if "events" in path}) == 2)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt, daemon=True).start()
    with capture_interrupts():
        # two steps that do not need each other; the one waits for a third one, which is not in the run
        done = small.materialize("left", "numbers", do="sleep 60", tags={"small/patience": "60"})
    assert not done.success
    assert [run.cancelled for run in workspace.runs] == [True, True]
