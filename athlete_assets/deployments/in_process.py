"""Runs a job in the process of a command, and says where to look when it failed."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from uuid import uuid4

import dagster as dg
from dagster._core.instance.ref import InstanceRef
from dagster._core.remote_origin import (
    ManagedGrpcPythonEnvCodeLocationOrigin,
    RemoteJobOrigin,
    RemoteRepositoryOrigin,
)
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin

from athlete_assets.deployments.instance import TEMPLATE
from athlete_assets.deployments.run_launcher import end_lost_runs
from athlete_assets.orchestration.progress import is_interrupt
from athlete_assets.orchestration.run_tags import MAX_RETRIES, RANGE_END, RANGE_START
from athlete_assets.orchestration.worker import worker_tags
from athlete_assets.terminal import bar

CODE_LOCATION = "athlete_assets.definitions"
"""As `athlete-assets ui` loads it."""
ON_THE_TERMINAL_ALONE = {
    "compute_logs": {"module": "dagster._core.storage.noop_compute_log_manager", "class": "NoOpComputeLogManager"}
}


def opened_instance() -> dg.DagsterInstance:
    """The instance of DAGSTER_HOME for runs in this process. What their steps print stands on the terminal and is not
    kept as well, unless the file there is somebody's own: Dagster has two programs copy each stream of each run, a
    tenth of the time that the run of a small home takes."""
    home = Path(os.environ["DAGSTER_HOME"])
    is_ours = (home / "dagster.yaml").read_text() == TEMPLATE.read_text()
    overrides = ON_THE_TERMINAL_ALONE if is_ours else None
    return dg.DagsterInstance.from_ref(InstanceRef.from_dir(str(home), overrides=overrides))


def executed(
    job: dg.JobDefinition,
    say: Callable[[str], None],
    span: tuple[str, str] | None = None,
    instance: dg.DagsterInstance | None = None,
) -> dg.ExecuteInProcessResult:
    """Runs a job over the partitions of the span; a result that failed has been told of.

    instance: of a command that runs several jobs; else it is opened and closed.

    Runs whose process was killed are ended first: they would hold their pools for ever, and this one would wait.
    Raises KeyboardInterrupt where Ctrl-C ended it, which Dagster takes for a failed step.
    """
    run_id = str(uuid4())
    tags = {**worker_tags(run_id), MAX_RETRIES: "0"}  # whoever typed the command repeats it
    if span:
        tags |= {RANGE_START: span[0], RANGE_END: span[1]}
    with nullcontext(instance) if instance else opened_instance() as instance:
        for sentence in end_lost_runs(instance):
            say(f"  {sentence}")
        # else the UI's first page, which lists runs by code location and job, says that there are none
        instance.create_run_for_job = partial(  # type: ignore[method-assign]
            dg.DagsterInstance.create_run_for_job, instance, remote_job_origin=_origin(job.name)
        )
        with bar("", len(job.graph.node_dict)):  # progress_logger moves it
            result = job.execute_in_process(
                instance=instance,
                run_id=run_id,
                tags=tags,
                raise_on_error=False,
                run_config={"loggers": {"progress": {}}},
            )
        if any(event.is_step_failure and is_interrupt(event.step_failure_data.error) for event in result.all_events):
            instance.report_run_canceled(result.dagster_run, "Interrupted at the keyboard.")
            raise KeyboardInterrupt
    if not result.success:
        say(f"  failed; look at run {result.run_id} in the UI (athlete-assets ui)")
    return result


def _origin(job_name: str) -> RemoteJobOrigin:
    """Where a run of the job would come from if the UI had started it."""
    location = ManagedGrpcPythonEnvCodeLocationOrigin(LoadableTargetOrigin(module_name=CODE_LOCATION), CODE_LOCATION)
    return RemoteJobOrigin(RemoteRepositoryOrigin(location, "__repository__"), job_name)
