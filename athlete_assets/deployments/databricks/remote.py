"""One step inside the cluster's process: rebuilt from the orchestrator's description, executed, its events written.

The rebuild differs from dagster's own in what that one loses: the selection of asset checks (a checks-only run would
materialise the asset again), the keys of dynamic partitions, and the teardown of resources.
"""

from __future__ import annotations

import gzip
import os
import time
from collections.abc import Mapping, Sequence
from queue import Empty, SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dagster import DagsterInstance
    from dagster._core.events.log import EventLogEntry
    from dagster._core.execution.context.system import PlanExecutionContext

EVENTS_FOLDER, MESSAGES_FOLDER = "events", "messages"
BATCH_SECONDS = 1.0
WRITE_ATTEMPTS = 6


def batch_name(number: int) -> str:
    """The file of the n-th batch of events, counted from 1: each is written once, whole."""
    return f"{EVENTS_FOLDER}/{number:06d}.json.gz"


def run_step(step: Mapping[str, Any], folder: str) -> bool:
    """Executes the step and writes its events below the folder; True where it succeeded.

    `step` holds, serialised by dagster: job, run, run_config, step_key, retry_mode, known_state, and
    dynamic_partitions (name -> keys). A failure of the step is an event, not an exception. Where it holds the
    parameters of a Pipes session (`pipes`), the events that matter are reported there instead.
    """
    from dagster import DagsterInstance, DagsterRun
    from dagster._core.execution.plan.execute_plan import dagster_event_sequence_for_step
    from dagster._core.execution.plan.state import KnownExecutionState
    from dagster._serdes import deserialize_value

    run = deserialize_value(step["run"], DagsterRun)
    known_state = deserialize_value(step["known_state"], KnownExecutionState) if step["known_state"] else None
    reporter = PipesReporter(step["pipes"]) if "pipes" in step else EventWriter(folder)
    with DagsterInstance.ephemeral() as instance, reporter as writer:
        instance.add_event_listener(run.run_id, writer.put)
        for name, keys in step["dynamic_partitions"].items():
            instance.add_dynamic_partitions(name, keys)
        context, plan, close = _plan_context(step, run, known_state, instance)
        step_context = context.for_step(plan.get_step_by_key(step["step_key"]), known_state or KnownExecutionState())
        try:
            events = list(dagster_event_sequence_for_step(step_context, force_local_execution=True))
        finally:
            close()
    return any(event.is_step_success for event in events)


def _plan_context(
    step: Mapping[str, Any], run: Any, known_state: Any, instance: DagsterInstance
) -> tuple[PlanExecutionContext, Any, Any]:
    from dagster._core.definitions.reconstruct import ReconstructableJob
    from dagster._core.execution.api import create_execution_plan
    from dagster._core.execution.context_creation_job import PlanExecutionContextManager
    from dagster._core.execution.retries import RetryMode
    from dagster._serdes import deserialize_value

    job = deserialize_value(step["job"], ReconstructableJob)
    plan = create_execution_plan(
        job,
        step["run_config"],
        step_keys_to_execute=[step["step_key"]],
        known_state=known_state,
        repository_load_data=job.repository.repository_load_data,
    )
    manager = PlanExecutionContextManager(
        retry_mode=RetryMode(step["retry_mode"]).for_inner_plan(),
        job=job,
        execution_plan=plan,
        run_config=step["run_config"],
        dagster_run=run,
        instance=instance,
    )
    for _ in manager.prepare_context():
        pass
    return manager.get_context(), plan, lambda: list(manager.shutdown_context())


class PipesReporter:
    """Reports to a Pipes session what became of a step, each event as it is; the log's other lines as log messages."""

    TOLD = ("ASSET_MATERIALIZATION", "ASSET_CHECK_EVALUATION", "STEP_SUCCESS", "STEP_FAILURE", "STEP_UP_FOR_RETRY")

    def __init__(self, parameters: Mapping[str, str]) -> None:
        self.parameters = parameters
        self._written: set[Any] = set()

    def __enter__(self) -> PipesReporter:
        import dagster_pipes

        self._session = dagster_pipes.open_dagster_pipes(
            params_loader=dagster_pipes.PipesMappingParamsLoader(self.parameters),
            context_loader=dagster_pipes.PipesUnityCatalogVolumesContextLoader(),
            message_writer=dagster_pipes.PipesUnityCatalogVolumesMessageWriter(interval=BATCH_SECONDS),
        )
        self._pipes = self._session.__enter__()
        return self

    def __exit__(self, *raised: Any) -> None:
        self._session.__exit__(*raised)

    def put(self, entry: EventLogEntry) -> None:
        from dagster._serdes import serialize_value

        event = entry.dagster_event
        if event is None:
            self._pipes.log.log(int(entry.level), entry.user_message)
        elif event.event_type_value in self.TOLD:
            if event.event_type_value == "ASSET_MATERIALIZATION":
                if event.asset_key in self._written:
                    return  # that of a further partition, equal to the first
                self._written.add(event.asset_key)
            self._pipes.report_custom_message(serialize_value(event))


class EventWriter:
    """Writes events in batches from a thread of its own, so that a step never waits for the volume."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.batches = 0
        self.error: Exception | None = None
        self._queue: SimpleQueue[EventLogEntry | None] = SimpleQueue()
        self._thread = Thread(target=self._write_all, daemon=True)

    def put(self, entry: EventLogEntry) -> None:
        self._queue.put(entry)

    def __enter__(self) -> EventWriter:
        if not os.path.isdir(f"{self.folder}/{EVENTS_FOLDER}"):
            os.makedirs(f"{self.folder}/{EVENTS_FOLDER}")
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._queue.put(None)
        self._thread.join()
        if self.error is not None:
            raise self.error

    def _write_all(self) -> None:
        done = False
        while not done:
            batch: list[EventLogEntry] = []
            deadline = time.monotonic() + BATCH_SECONDS
            while not done and (remaining := deadline - time.monotonic()) > 0:
                try:
                    entry = self._queue.get(timeout=remaining)
                except Empty:
                    break
                done = entry is None
                if entry is not None:
                    batch.append(entry)
            if batch and self.error is None:
                self._write(batch)

    def _write(self, batch: Sequence[EventLogEntry]) -> None:
        from dagster._serdes import serialize_value
        from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_exponential

        content = gzip.compress(serialize_value(batch).encode())
        again = Retrying(
            retry=retry_if_exception_type(OSError),
            stop=stop_after_attempt(WRITE_ATTEMPTS),
            wait=wait_exponential(),
            reraise=True,
        )
        try:
            again(self._write_file, f"{self.folder}/{batch_name(self.batches + 1)}", content)
            self.batches += 1
        except OSError as error:
            self.error = error

    @staticmethod
    def _write_file(path: str, content: bytes) -> None:
        with open(path, "wb") as handle:
            handle.write(content)
