"""What dagster-databricks 0.29.27 does by itself: it can be chosen, and these are the reasons not to.

A test here that fails after an upgrade says that a hole was closed upstream, and that ours may go.
"""

from __future__ import annotations

import pickle
from typing import Any

import pytest
from dagster_databricks.databricks_pyspark_step_launcher import DatabricksPySparkStepLauncher

from athlete_assets_tests.deployments.conftest import Small
from athlete_assets_tests.fake_workspace import FakeWorkspace, Fate

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]


@pytest.fixture
def stock(small: Small) -> Small:
    class Hasty(DatabricksPySparkStepLauncher):
        def __init__(self, **configuration: Any) -> None:
            super().__init__(**configuration)

    small.use(Hasty, staging_prefix="/dagster_staging")
    return small


def test_it_runs_a_step_and_leaves_pickles_behind(stock: Small, workspace: FakeWorkspace) -> None:
    done = stock.materialize("numbers")
    assert done.verdicts("numbers") == ["STEP_SUCCESS"]
    left = workspace.staged_files()
    names = {path.rsplit("/", 1)[1] for path in left}
    assert {"step_run_ref.pkl", "config.pkl", "0_events.pkl", "code.zip"} <= names
    configuration = next(content for path, content in left.items() if path.endswith("config.pkl"))
    assert pickle.loads(configuration).env_variables["SMALL_OUT"] == str(stock.out), "in clear"


def test_an_error_while_polling_cancels_a_healthy_run(stock: Small, workspace: FakeWorkspace) -> None:
    workspace.faults.status("/jobs/runs/get", 500, after=1)
    done = stock.materialize("totals")
    assert done.verdicts("totals") == ["STEP_FAILURE"]
    assert workspace.runs[0].cancelled


def test_trouble_after_success_is_success_and_failure_both(stock: Small, workspace: FakeWorkspace) -> None:
    workspace.deal(Fate(result_after_exit="FAILED"))
    assert stock.materialize("totals").verdicts("totals") == ["STEP_SUCCESS", "STEP_FAILURE"]


def test_a_skipped_run_ends_as_neither_and_a_lost_cluster_is_not_retried(
    stock: Small, workspace: FakeWorkspace
) -> None:
    workspace.deal(Fate("skipped"), Fate("launch_failure"))
    assert stock.materialize("totals").verdicts("totals") == []
    assert stock.materialize("numbers").verdicts("numbers") == ["STEP_FAILURE"]


def test_it_needs_the_dbfs_root(stock: Small, workspace: FakeWorkspace) -> None:
    workspace.dbfs_enabled = False
    done = stock.materialize("totals")
    assert "Public DBFS root is disabled" in done.messages
