"""Which process works on a run, written onto the run, so that another process can say later whether it still lives.

Dagster's own launcher asks the code server for that, and knows nothing once that is gone, too: after a power cut, or
`kill -9` of everything, a run would stay STARTED for ever and keep its pools.
"""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import dagster as dg
from pydantic import BaseModel

from athlete_assets.orchestration.run_tags import WORKER


class Worker(BaseModel, frozen=True):
    """A process: a number that the machine gives out again is told from it by when it was started."""

    run_id: str
    """A run that is started once more has its first try's tags."""
    host: str
    boot: str
    """Identity of the machine's present uptime: after it nothing of before lives."""
    namespace: str
    """Where the process id counts: a container has its own. Empty where there is no such thing."""
    pid: int
    started: str
    """When the process began, as the machine counts it: a clock that is set forward changes nothing."""

    @classmethod
    def here(cls, run_id: str) -> Worker:
        """This process."""
        pid = os.getpid()
        return cls(
            run_id=run_id,
            host=platform.node(),
            boot=_boot(),
            namespace=_namespace(),
            pid=pid,
            started=str(process_started(pid)),
        )

    @classmethod
    def of(cls, run: dg.DagsterRun) -> Worker | None:
        """The one that the run's tag names; None where it names none, or that of the run's first try."""
        text = run.tags.get(WORKER)
        found = cls.model_validate_json(text) if text else None
        return found if found and found.run_id == run.run_id else None

    def is_visible(self) -> bool:
        """Whether this process can see the other's number."""
        return self.boot == _boot() and self.namespace == _namespace()

    def is_of_an_earlier_uptime(self) -> bool:
        return self.host == platform.node() and self.boot != _boot()

    def lives(self) -> bool:
        """Whether the process is there. Only for one that is visible."""
        return process_started(self.pid) == self.started

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"


def worker_tags(run_id: str) -> dict[str, str]:
    return {WORKER: Worker.here(run_id).model_dump_json()}


def process_started(pid: int) -> str | None:
    """When a process began; None where there is none, or only its corpse waits for its parent."""
    stat = Path(f"/proc/{pid}/stat")
    if Path("/proc/self/stat").exists():
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            return None
        return None if fields[0] in "ZX" else fields[19]
    found = subprocess.run(["ps", "-o", "stat=,lstart=", "-p", str(pid)], capture_output=True, text=True).stdout.strip()
    state, _, began = found.partition(" ")
    return None if not found or state.startswith("Z") else began.strip()


@cache
def _boot() -> str:
    known = Path("/proc/sys/kernel/random/boot_id")
    if known.exists():
        return known.read_text().strip()
    asked = subprocess.run(["sysctl", "-n", "kern.bootsessionuuid"], capture_output=True, text=True)
    return asked.stdout.strip()


@cache
def _namespace() -> str:
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return ""


def with_worker_tag(executor: dg.ExecutorDefinition) -> dg.ExecutorDefinition:
    """The same executor, which first writes onto the run which process works on it."""

    def create(context: dg.InitExecutorContext) -> dg.Executor:
        creation = executor.executor_creation_fn
        assert creation is not None
        return _TaggingExecutor(creation(context))

    return dg.ExecutorDefinition(
        name=executor.name,
        config_schema=executor.config_schema,  # type: ignore[arg-type]
        requirements=executor.get_requirements,
        executor_creation_fn=create,
        description=executor.description,
    )


class _TaggingExecutor(dg.Executor):
    def __init__(self, executor: dg.Executor) -> None:
        self._executor = executor

    @property
    def retries(self) -> Any:
        return self._executor.retries

    @property
    def step_dependency_config(self) -> Any:
        return self._executor.step_dependency_config

    def execute(self, plan_context: Any, execution_plan: Any) -> Iterator[Any]:
        run_id = plan_context.run_id
        plan_context.instance.add_run_tags(run_id, worker_tags(run_id))
        yield from self._executor.execute(plan_context, execution_plan)
