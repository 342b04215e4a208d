"""A job that a command runs in its own process."""

from __future__ import annotations

import dagster as dg
import pytest

from athlete_assets.deployments.in_process import CODE_LOCATION, executed
from athlete_assets.deployments.instance import prepare_dagster_home
from athlete_assets.orchestration.progress import progress_logger
from athlete_assets.settings import Settings


@dg.asset
def good() -> None:
    print("well done")


@dg.asset
def bad() -> None:
    raise ValueError("no such thing")


@pytest.fixture
def job(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> dg.JobDefinition:
    monkeypatch.setenv("DAGSTER_HOME", str(prepare_dagster_home(settings)))
    built = dg.Definitions([good, bad], loggers={"progress": progress_logger}, executor=dg.in_process_executor)
    return built.resolve_implicit_global_asset_job_def()


def test_its_run_belongs_to_the_code_location_and_so_stands_on_the_first_page_of_the_ui(job: dg.JobDefinition) -> None:
    said: list[str] = []
    result = executed(job.get_subset(asset_selection={good.key}), said.append)
    assert result.success
    assert said == []
    with dg.DagsterInstance.get() as instance:
        (run,) = instance.get_runs()
    assert run.remote_job_origin is not None
    assert run.remote_job_origin.location_name == CODE_LOCATION
    assert run.tags["dagster/code_location"] == CODE_LOCATION


def test_a_failure_says_where_to_look(job: dg.JobDefinition) -> None:
    said: list[str] = []
    result = executed(job.get_subset(asset_selection={bad.key}), said.append)
    assert not result.success
    assert said == [f"  failed; look at run {result.run_id} in the UI (athlete-assets ui)"]


def kept_streams(settings: Settings) -> list[str]:
    """What Dagster kept of what steps printed."""
    return [path.read_text() for path in (settings.home / "dagster" / "storage").rglob("*.out")]


def test_what_a_step_prints_stands_on_the_terminal_alone(
    job: dg.JobDefinition, settings: Settings, capfd: pytest.CaptureFixture[str]
) -> None:
    assert executed(job.get_subset(asset_selection={good.key}), print).success
    assert "well done\n" in capfd.readouterr().out
    assert kept_streams(settings) == []


def test_somebodys_own_file_says_what_is_kept(job: dg.JobDefinition, settings: Settings) -> None:
    (settings.home / "dagster" / "dagster.yaml").write_text("telemetry:\n  enabled: false\n")
    assert executed(job.get_subset(asset_selection={good.key}), print).success
    (kept,) = kept_streams(settings)
    assert "well done\n" in kept
