"""Dagster's run launcher with a worker health check, and the same look by hand: a hard-killed process blocks nothing.

Dagster's run monitoring asks a launcher whether a started run's worker lives, fails the run where it does not, frees
its pools, and starts it once more where `run_retries` allows. `DefaultRunLauncher` has no such check.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import dagster as dg
from dagster._core.execution.retries import auto_reexecution_should_retry_run
from dagster._core.launcher import CheckRunHealthResult, WorkerStatus
from dagster._grpc.types import CanCancelExecutionRequest, CanCancelExecutionResult
from dagster._serdes import ConfigurableClassData, deserialize_value

from athlete_assets.orchestration.run_tags import CODE_SERVER, WILL_RETRY
from athlete_assets.orchestration.worker import Worker

GONE = "The process that worked on this run is gone"
UNFINISHED = [
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]
ASK_SECONDS = 5


class WatchedRunLauncher(dg.DefaultRunLauncher):
    """Starts runs on the code server, as Dagster's default does, and can say whether a run's worker lives.

    By the process that the run's tag names (`orchestration.worker`), where this process can see it; else by asking the
    code server that started it. `shared_machine: false` says that workers run on other machines or in containers:
    there a code server that does not answer proves nothing, and on this machine it does.
    """

    def __init__(self, inst_data: ConfigurableClassData | None = None, shared_machine: bool = True) -> None:
        super().__init__(inst_data)
        self.shared_machine = shared_machine

    @classmethod
    def config_type(cls) -> Any:
        return {"shared_machine": dg.Field(bool, default_value=True, is_required=False)}

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData, config_value: Mapping[str, Any]) -> WatchedRunLauncher:
        return cls(inst_data=inst_data, **config_value)

    @property
    def supports_check_run_worker_health(self) -> bool:
        return True

    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        """RUNNING, or NOT_FOUND with the reason; RUNNING, too, where nothing can be proved."""
        health = self._health(run)
        if health.status == WorkerStatus.NOT_FOUND:
            self._announce_retry(run.run_id)
        return health

    def _announce_retry(self, run_id: str) -> None:
        """Tags a lost run that Dagster will start once more, before it is marked as failed.

        Dagster itself stores the status first and the tag after it. Its daemon of backfills, which looks between the
        two, takes the run for one that stays failed and closes its backfill, and a run of a closed backfill is not
        started again. Nobody works on the run any more, so one that has not ended by now does not end well.
        """
        run = self._instance.get_run_by_id(run_id)
        if run is None or run.status not in (dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED):
            return
        if auto_reexecution_should_retry_run(self._instance, run.with_status(dg.DagsterRunStatus.FAILURE), None):
            self._instance.add_run_tags(run_id, {WILL_RETRY: "true"})

    def _health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        worker = Worker.of(run)
        if worker and worker.is_visible():
            if worker.lives():
                return CheckRunHealthResult(WorkerStatus.RUNNING, run_worker_id=str(worker))
            return CheckRunHealthResult(WorkerStatus.NOT_FOUND, f"{GONE} ({worker})")
        if worker and self.shared_machine and worker.is_of_an_earlier_uptime():
            return CheckRunHealthResult(WorkerStatus.NOT_FOUND, f"{GONE}: the machine was started anew since")
        known = self._code_server_knows(run)
        if known:
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        if known is False:
            return CheckRunHealthResult(WorkerStatus.NOT_FOUND, f"{GONE}: its code server does not know it")
        if self.shared_machine and worker is None and CODE_SERVER in run.tags:
            return CheckRunHealthResult(WorkerStatus.NOT_FOUND, f"{GONE}, and its code server, too")
        return CheckRunHealthResult(WorkerStatus.RUNNING, "its code server does not answer", transient=True)

    def _code_server_knows(self, run: dg.DagsterRun) -> bool | None:
        """Whether the code server that started the run has it among its children; None where it does not answer."""
        client = self._get_grpc_client_for_termination(run.run_id)
        if client is None:
            return None
        try:
            answer = client.can_cancel_execution(CanCancelExecutionRequest(run_id=run.run_id), timeout=ASK_SECONDS)
        except Exception:  # whatever gRPC raises: it did not answer
            return None
        return deserialize_value(answer, CanCancelExecutionResult).can_cancel


def end_lost_runs(instance: dg.DagsterInstance) -> list[str]:
    """Fails the runs whose process is gone, frees every pool that nobody holds any more, and says so in sentences.

    What Dagster's run monitoring does while its daemon runs; this is for the start of a command.
    """
    launcher = instance.run_launcher
    said = []
    if isinstance(launcher, WatchedRunLauncher):
        for run in instance.get_runs(dg.RunsFilter(statuses=UNFINISHED)):
            health = launcher.check_run_worker_health(run)
            if health.status == WorkerStatus.RUNNING:
                continue
            if run.status == dg.DagsterRunStatus.CANCELING:
                instance.report_run_canceled(run, f"{health.msg}.")
            else:
                instance.report_run_failed(run, f"{health.msg}.")
            said.append(f"run {run.run_id[:8]} ({run.status.value}) is marked as ended: {health.msg}")
    free_lost_slots(instance)
    return said


def free_lost_slots(instance: dg.DagsterInstance) -> None:
    """Frees what ended runs still claim of the pools: a killed process gives nothing back."""
    log = instance.event_log_storage
    for pool in log.get_concurrency_keys():
        info = log.get_concurrency_info(pool)
        for run_id in {slot.run_id for slot in info.claimed_slots} | {step.run_id for step in info.pending_steps}:
            run = instance.get_run_by_id(run_id)
            if run is None or run.is_finished:
                log.free_concurrency_slots_for_run(run_id)
