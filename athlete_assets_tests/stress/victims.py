"""Processes that are killed while they write: forks of a server that has imported all, so that each costs little.

A victim does one job on a home and says, through a pipe, which step it begins; its parent kills it when and where it
likes. It runs in a group of its own, so that a kill takes whatever it started with it.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["athlete_assets_tests.stress.preloaded"])
GIVE_UP_SECONDS = 300
CLONE_NEWNS = 0x00020000


@dataclass
class Job:
    """What a victim does: it lands activities, or materialises assets, on a home."""

    home: Path
    today: date
    assets: Sequence[str] = ()
    span: tuple[str, str] | None = None
    activities: Sequence[dict[str, Any]] = ()
    recorded: bool = False
    """Whether the run is recorded in the home's own Dagster instance."""
    read_only: bool = False
    """Whether the home is read-only as this process sees it; needs root."""


def do(job: Job, told: Connection) -> None:
    """The victim's own side: its steps go through `told`, and at the end `done`, or what went wrong."""
    os.setsid()
    os.environ |= {"ATHLETE_HOME": str(job.home), "ATHLETE_AS_OF": str(job.today)}
    try:
        if job.read_only:
            _see_read_only(job.home)
        _land(job, told) if job.activities else _materialise(job, told)
        told.send(("done", ""))
    except BaseException as error:
        told.send(("failed", f"{type(error).__name__}: {error}"))
    os._exit(0)


def _see_read_only(folder: Path) -> None:
    """Mounts the folder read-only in a mount namespace of this process: nobody else sees it so."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNS) != 0:
        raise OSError(ctypes.get_errno(), "unshare")
    for command in (
        ["mount", "--make-rprivate", "/"],
        ["mount", "--bind", str(folder), str(folder)],
        ["mount", "-o", "remount,bind,ro", str(folder)],
    ):
        subprocess.run(command, check=True, capture_output=True)


def _land(job: Job, told: Connection) -> None:
    from athlete_assets.settings import Settings
    from athlete_assets.silver import landing
    from athlete_assets.store.local import LocalStore
    from athlete_assets_tests.live import silver_batch

    batch = silver_batch(job.activities)
    told.send(("step", "silver"))
    landing.land(LocalStore(Settings.load()), batch)


def _materialise(job: Job, told: Connection) -> None:
    import dagster as dg

    from athlete_assets import definitions
    from athlete_assets.deployments.instance import prepare_dagster_home
    from athlete_assets.orchestration.run_tags import RANGE_TAGS
    from athlete_assets.settings import Settings

    own = dg.DagsterInstance.handle_new_event

    def telling(self: dg.DagsterInstance, event: Any, **options: Any) -> Any:
        if event.is_dagster_event and event.get_dagster_event().is_step_start:
            told.send(("step", event.get_dagster_event().step_key))
        return own(self, event, **options)

    dg.DagsterInstance.handle_new_event = telling  # type: ignore[method-assign,assignment]
    settings = Settings.load()
    everything = definitions.build(settings).resolve_implicit_global_asset_job_def()
    keys = {dg.AssetKey(name.split("/")) for name in job.assets}
    tags = dict(zip(RANGE_TAGS, job.span, strict=True)) if job.span else {}
    recorded = dg.DagsterInstance.from_config(str(prepare_dagster_home(settings))) if job.recorded else None
    with recorded or dg.DagsterInstance.ephemeral() as instance:
        result = everything.get_subset(asset_selection=keys).execute_in_process(
            instance=instance, tags=tags, raise_on_error=False
        )
    if not result.success:
        failed = [event for event in result.all_events if event.is_step_failure]
        raise RuntimeError("; ".join(f"{event.step_key}: {_causes(event)}" for event in failed))


def _causes(event: Any) -> str:
    """The messages of a step's error and of what caused it."""
    error, said = event.step_failure_data.error, []
    while error is not None:
        said.append(error.message.strip())
        error = error.cause
    return " <- ".join(said)


class Victim:
    """A job at work in a process of its own."""

    def __init__(self, job: Job) -> None:
        self.told, theirs = FORKS.Pipe(duplex=False)
        self.process: BaseProcess = FORKS.Process(target=do, args=(job, theirs))
        self.process.start()
        theirs.close()
        self.steps: list[str] = []
        self.ended: str | None = None

    def hear(self, seconds: float) -> bool:
        """Takes in what the victim says within the time; False where it said nothing, or has said its last word: at a
        pipe whose other end is gone there is always something to hear."""
        if self.ended is not None or not self.told.poll(max(0.0, seconds)):
            return False
        try:
            kind, text = self.told.recv()
        except EOFError:
            kind, text = "failed", "the process ended without a word"
        if kind == "step":
            self.steps.append(text)
        else:
            self.ended = kind if kind == "done" else text
        return True

    def reach(self, step: str) -> None:
        """Waits until the step begins."""
        deadline = time.monotonic() + GIVE_UP_SECONDS
        while step not in self.steps and self.ended is None:
            assert self.hear(deadline - time.monotonic()), f"{step} was not reached within {GIVE_UP_SECONDS} s"

    def outcome(self) -> str:
        """How the job ended: `done`, or what it says went wrong."""
        deadline = time.monotonic() + GIVE_UP_SECONDS
        while self.ended is None:
            assert self.hear(deadline - time.monotonic()), f"not done within {GIVE_UP_SECONDS} s"
        self.process.join()
        return self.ended

    def finish(self) -> None:
        """Lets the job come to its end; raises where it failed."""
        assert self.outcome() == "done", self.ended

    def kill(self) -> bool:
        """Kills the process and all that it started; whether it was still at work."""
        while self.hear(0):
            pass
        try:
            os.killpg(self.process.pid or 0, signal.SIGKILL)
        except ProcessLookupError:
            self.process.kill()
        self.process.join()
        assert self.ended in (None, "done"), self.ended
        return self.ended is None
