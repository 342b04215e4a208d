"""A run whose process was killed hard blocks nothing: it is known to be lost, it is ended, its pools are free."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.events import DagsterEvent, DagsterEventType
from dagster._core.execution.asset_backfill import backfill_runs_are_complete
from dagster._core.launcher import WorkerStatus
from dagster._core.test_utils import create_run_for_test

from athlete_assets.deployments.instance import prepare_dagster_home
from athlete_assets.deployments.run_launcher import WatchedRunLauncher, end_lost_runs
from athlete_assets.orchestration import worker
from athlete_assets.orchestration.run_tags import BACKFILL, CODE_SERVER, MAX_RETRIES, WILL_RETRY, WORKER
from athlete_assets.orchestration.waiting import UNFINISHED, described, waits_for_pool
from athlete_assets.orchestration.worker import Worker, process_started, with_worker_tag, worker_tags
from athlete_assets.settings import Settings
from athlete_assets_tests.processes import free_port

SLEEPER = """
import sys, time
from pathlib import Path
import dagster as dg
from athlete_assets.orchestration.worker import with_worker_tag

@dg.asset(pool="table")
def table() -> None:
    Path(sys.argv[1]).touch()
    time.sleep(300)

job = dg.define_asset_job("job").resolve(asset_graph=dg.Definitions([table]).resolve_asset_graph())
"""
IN_PROCESS = """
from athlete_assets.orchestration.worker import worker_tags
with dg.DagsterInstance.get() as instance:
    job.execute_in_process(instance=instance, run_id="%s", tags=worker_tags("%s"))
"""
RUN_ID = "11111111-2222-4333-8444-555555555555"


@pytest.fixture
def instance(settings: Settings) -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.from_config(str(prepare_dagster_home(settings))) as instance:
        yield instance


def launcher(instance: dg.DagsterInstance) -> WatchedRunLauncher:
    found = instance.run_launcher
    assert isinstance(found, WatchedRunLauncher)
    assert found.supports_check_run_worker_health
    return found


def wait(until: Callable[[], Any], seconds: float = 120) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := until()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return found


def run_of(instance: dg.DagsterInstance, **changes: Any) -> dg.DagsterRun:
    """A run that works in this process, but for the changes."""
    there = Worker.here(RUN_ID).model_copy(update=changes)
    return dg.DagsterRun(job_name="x", run_id=RUN_ID, tags={WORKER: there.model_dump_json()})


@pytest.mark.slow
def test_a_process_is_known_by_its_number_and_its_start() -> None:
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        started = process_started(child.pid)
        assert started is not None
        assert process_started(child.pid) == started
        assert started != process_started(os.getpid())
    finally:
        child.kill()
    wait(lambda: process_started(child.pid) is None)  # a corpse until somebody waits for it
    child.wait()
    assert process_started(child.pid) is None


@pytest.mark.parametrize(
    ("changes", "status", "says"),
    [
        ({}, WorkerStatus.RUNNING, None),
        ({"started": "1"}, WorkerStatus.NOT_FOUND, "is gone"),  # the number was given out again
        ({"boot": "before"}, WorkerStatus.NOT_FOUND, "started anew"),
        ({"boot": "before", "host": "elsewhere"}, WorkerStatus.RUNNING, "does not answer"),
        ({"namespace": "pid:[1]"}, WorkerStatus.RUNNING, "does not answer"),
    ],
    ids=["lives", "another process of that number", "the machine was started anew", "another machine", "a container"],
)
def test_a_worker_is_lost_only_where_that_is_sure(
    instance: dg.DagsterInstance, changes: dict[str, str], status: WorkerStatus, says: str | None
) -> None:
    health = launcher(instance).check_run_worker_health(run_of(instance, **changes))
    assert health.status == status
    assert (health.msg is None) if says is None else says in str(health.msg)


def lost_run(instance: dg.DagsterInstance, status: dg.DagsterRunStatus, **tags: str) -> dg.DagsterRun:
    gone = Worker.here(RUN_ID).model_copy(update={"started": "1"})
    tags = {WORKER: gone.model_dump_json(), BACKFILL: "a_year", **tags}
    return create_run_for_test(instance, run_id=RUN_ID, status=status, tags=tags)


def test_a_backfill_waits_for_the_second_try_of_a_lost_run_as_soon_as_that_is_failed(
    instance: dg.DagsterInstance,
) -> None:
    """Dagster's daemon of backfills may look when a run's failure is stored, and what follows from it not yet."""
    run = lost_run(instance, dg.DagsterRunStatus.STARTED)
    assert launcher(instance).check_run_worker_health(run).status == WorkerStatus.NOT_FOUND
    failed = DagsterEvent(DagsterEventType.RUN_FAILURE.value, job_name=run.job_name, message="gone")
    instance.run_storage.handle_run_event(RUN_ID, failed)
    found = instance.get_run_by_id(RUN_ID)
    assert found is not None
    assert found.status == dg.DagsterRunStatus.FAILURE
    assert not backfill_runs_are_complete("a_year", instance, logging.getLogger())


@pytest.mark.parametrize(
    ("status", "tags"),
    [(dg.DagsterRunStatus.SUCCESS, {}), (dg.DagsterRunStatus.STARTED, {MAX_RETRIES: "0"})],
    ids=["it had ended well just before", "it may not be started again"],
)
def test_a_second_try_is_announced_only_where_there_will_be_one(
    instance: dg.DagsterInstance, status: dg.DagsterRunStatus, tags: dict[str, str]
) -> None:
    run = lost_run(instance, status, **tags)
    assert launcher(instance).check_run_worker_health(run).status == WorkerStatus.NOT_FOUND
    found = instance.get_run_by_id(RUN_ID)
    assert found is not None
    assert WILL_RETRY not in found.tags


@pytest.mark.slow
def test_a_code_server_is_asked_about_a_run_of_a_process_that_cannot_be_seen(
    instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    """As in a container of its own: what it does not know any more is lost; where it is silent nothing is proved."""
    (tmp_path / "empty.py").write_text("import dagster as dg\ndefs = dg.Definitions()\n")
    port = free_port()
    command = [sys.executable, "-m", "dagster", "api", "grpc", "-p", str(port), "-f", str(tmp_path / "empty.py")]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    there = Worker.here(RUN_ID).model_copy(update={"namespace": "pid:[1]"})
    tags = {WORKER: there.model_dump_json(), CODE_SERVER: json.dumps({"host": "127.0.0.1", "port": port})}
    run = create_run_for_test(instance, run_id=RUN_ID, status=dg.DagsterRunStatus.STARTED, tags=tags)
    try:
        found = wait(
            lambda: (
                (health := launcher(instance).check_run_worker_health(run)).status == WorkerStatus.NOT_FOUND and health
            )
        )
        assert "does not know it" in found.msg
    finally:
        server.kill()
        server.wait()
    silent = launcher(instance).check_run_worker_health(run)
    assert (silent.status, silent.transient) == (WorkerStatus.RUNNING, True)


def test_a_run_that_is_started_once_more_is_not_judged_by_its_first_tries_process(
    instance: dg.DagsterInstance,
) -> None:
    first = Worker.here("0" * 8).model_copy(update={"started": "1"})
    assert Worker.of(dg.DagsterRun(job_name="x", run_id=RUN_ID, tags={WORKER: first.model_dump_json()})) is None


def test_the_executor_writes_the_process_onto_the_run(instance: dg.DagsterInstance) -> None:
    @dg.op
    def nothing() -> None: ...

    @dg.job(executor_def=with_worker_tag(dg.in_process_executor))
    def job() -> None:
        nothing()

    with dg.instance_for_test() as scratch:
        result = dg.execute_job(dg.reconstructable(_job), instance=scratch)
        assert result.success
        run = scratch.get_run_by_id(result.run_id)
        assert run is not None
        assert Worker.of(run) == Worker.here(result.run_id)


@dg.op
def _nothing() -> None: ...


@dg.job(executor_def=with_worker_tag(dg.in_process_executor))
def _job() -> None:
    _nothing()


@pytest.mark.slow
def test_a_killed_run_of_the_command_line_is_ended_by_the_next_command_and_its_pool_is_free(
    instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    script, begun = tmp_path / "sleeper.py", tmp_path / "begun"
    script.write_text(SLEEPER + IN_PROCESS % (RUN_ID, RUN_ID))
    environment = {**os.environ, "DAGSTER_HOME": instance.root_directory}
    child = subprocess.Popen([sys.executable, str(script), str(begun)], env=environment, stderr=subprocess.DEVNULL)
    wait(begun.exists)
    assert end_lost_runs(instance) == []  # it lives
    run = instance.get_run_by_id(RUN_ID)
    assert run is not None
    assert run.status == dg.DagsterRunStatus.STARTED
    sentence = waits_for_pool(instance, "table")
    assert sentence.startswith("waits for pool table, held by run 11111111 since 20"), sentence
    assert described(instance, run).startswith("run 11111111 (started since 20")

    child.kill()
    child.wait()
    assert instance.get_runs(dg.RunsFilter(statuses=UNFINISHED))  # Dagster itself does not know
    (said,) = end_lost_runs(instance)
    assert f"process {child.pid}" in said
    ended = instance.get_run_by_id(RUN_ID)
    assert ended is not None
    assert ended.status == dg.DagsterRunStatus.FAILURE
    assert instance.event_log_storage.get_concurrency_info("table").claimed_slots == []
    assert end_lost_runs(instance) == []


def test_a_copied_home_writes_to_its_own_event_log_whoever_opens_it(settings: Settings, tmp_path: Path) -> None:
    import shutil

    home = prepare_dagster_home(settings)
    with dg.DagsterInstance.from_config(str(home)) as original:
        original.report_runless_asset_event(dg.AssetMaterialization("before"))
    copy = tmp_path / "elsewhere" / "dagster"
    shutil.copytree(home, copy)
    with dg.DagsterInstance.from_config(str(copy)) as copied:  # as `dagster` itself does, with DAGSTER_HOME set to it
        assert copied.get_latest_materialization_event(dg.AssetKey("before"))
        copied.report_runless_asset_event(dg.AssetMaterialization("after"))
        with dg.DagsterInstance.from_ref(copied.get_ref()) as in_a_worker:
            assert in_a_worker.get_latest_materialization_event(dg.AssetKey("after"))
    with dg.DagsterInstance.from_config(str(home)) as original:
        assert original.get_latest_materialization_event(dg.AssetKey("after")) is None


def test_worker_tags_name_this_process() -> None:
    found = Worker.model_validate_json(worker_tags(RUN_ID)[WORKER])
    assert (found.pid, found.lives(), found.is_visible()) == (os.getpid(), True, True)
    assert worker.process_started(2**22 - 1) is None or found.pid != 2**22 - 1
