"""The Databricks runs of steps: which are alive, whose they are, and how one is ended for certain."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import tenacity
from databricks.sdk.service import jobs

if TYPE_CHECKING:
    from databricks.sdk import WorkspaceClient

    from athlete_assets.deployments.databricks.staging import Staging

ENTRY, STEP = "step_main.py", "step.json"
"""What a step's staged folder holds at first."""
ENDED = (jobs.RunLifeCycleState.TERMINATED, jobs.RunLifeCycleState.SKIPPED, jobs.RunLifeCycleState.INTERNAL_ERROR)


@dataclass(frozen=True)
class StepRun:
    """A Databricks run of one attempt of one step. `step` is the step's key as folders have it."""

    run_id: int
    dagster_run_id: str
    step: str
    attempt: int

    @property
    def folder(self) -> str:
        return f"{self.dagster_run_id}/{self.step}/{self.attempt}"


def folder_name(step_key: str) -> str:
    """A step's key as a folder: those of mapped steps contain brackets."""
    return re.sub(r"[^\w.-]", "_", step_key)


def has_ended(run: jobs.Run) -> bool:
    return run.state is not None and run.state.life_cycle_state in ENDED


class StepRuns:
    """The runs whose step is staged below one folder: those of one deployment, whoever submitted them.

    A run says by its `python_file` which attempt of which step of which Dagster run it is, so that it is found even
    where the process that submitted it died before it learnt the run's id.
    """

    def __init__(self, client: WorkspaceClient, staging: Staging) -> None:
        self.client, self.staging = client, staging
        entry = re.escape(staging.uri("")) + rf"/([^/]+)/([^/]+)/(\d+)/{re.escape(ENTRY)}"
        self._entry = re.compile(entry)

    def alive(self) -> list[StepRun]:
        """The runs that have not ended, the newest first."""
        found = []
        for run in self.client.jobs.list_runs(active_only=True, run_type=jobs.RunType.SUBMIT_RUN, expand_tasks=True):
            for task in run.tasks or []:
                file = task.spark_python_task.python_file if task.spark_python_task else ""
                if run.run_id is not None and (match := self._entry.fullmatch(file)):
                    found.append(StepRun(run.run_id, match[1], match[2], int(match[3])))
        return found

    def end(self, run_id: int, seconds: float) -> Exception | None:
        """Cancels the run, again until that is accepted, and waits until it has ended: None, or what stood in the way.

        A run that was told to end may still commit what it is writing: only an ended one has written its last.
        """
        accepted = False

        def ended() -> bool:
            nonlocal accepted
            if not accepted:
                self.client.jobs.cancel_run(run_id)
                accepted = True
            return has_ended(self.client.jobs.get_run(run_id))

        try:
            tenacity.Retrying(
                retry=tenacity.retry_if_exception_type(Exception) | tenacity.retry_if_result(lambda done: not done),
                stop=tenacity.stop_before_delay(seconds),
                wait=tenacity.wait_exponential(multiplier=0.2, max=10.0),
            )(ended)
        except tenacity.RetryError as error:
            last = error.last_attempt.exception()
            return last if isinstance(last, Exception) else TimeoutError(f"it is still alive after {seconds:.0f} s")
        return None
