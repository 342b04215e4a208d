"""The second door to a cluster: an asset's body through Dagster Pipes, beside the step launcher.

The launcher sends a step and brings back its events into this instance's log. Through Pipes the body in the
orchestrator opens a session, starts the same entry script, and yields the results that the script reports: what Dagster
does with them (blocking checks, data versions, partitions) it does here. Staging, clusters, rights, patience and the
search for an earlier writer are the launcher's. What differs: only the session that began a run can read its messages,
so that a run whose session is gone is ended, where a launcher would follow it further.

Not `PipesDatabricksClient` (dagster-databricks 0.29): its submission has no idempotency token, one bad answer while it
polls leaves a run behind that goes on writing, it calls an interrupted run complete, and its reader drops a message
that arrives broken. Pipes' own messages for results lose a check's sentence, and refuse the checks of a table that the
run does not materialise; so each result travels as the event that it is on the cluster.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import dagster as dg
import tenacity
from dagster._core.errors import raise_execution_interrupts
from dagster._core.events import DagsterEventType
from dagster._core.pipes.utils import PipesBlobStoreMessageReader
from dagster._serdes import deserialize_value
from dagster._utils.interrupts import capture_interrupts
from databricks.sdk.service import jobs

from athlete_assets.deployments.databricks.launcher import FAILURE, VERDICTS, Attempt, json_object, passes
from athlete_assets.deployments.databricks.remote import MESSAGES_FOLDER
from athlete_assets.deployments.databricks.step_runs import has_ended

if TYPE_CHECKING:
    from dagster_pipes import PipesContextData, PipesParams

    from athlete_assets.deployments.databricks.launcher import MendedStepLauncher
    from athlete_assets.deployments.databricks.staging import Staging

CONTEXT = "context.json"
BLOCKED = "DagsterAssetCheckFailedError"
"""A blocking check that failed fails the step here, once its result is yielded."""


class PipesDoor:
    """Runs the bodies of assets on Databricks; `launcher` knows where and with what."""

    def __init__(self, launcher: MendedStepLauncher) -> None:
        self.launcher = launcher

    def results(self, context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult]:
        """The results that the asset's body yields on the cluster, one an asset key, its checks included.

        Raises what a launched step ends with: Failure, or a retry request where the cluster failed or the body asked.
        """
        attempt = PipesAttempt(self.launcher, context)
        try:
            yield from attempt.results()
        except dg.Failure as failure:
            policy = self.launcher.retry_policy(attempt.step_context)
            if policy is None or not failure.allow_retries:
                raise
            seconds = policy.calculate_delay(attempt.step_context.previous_attempt_count + 1)
            raise dg.RetryRequested(max_retries=policy.max_retries, seconds_to_wait=seconds) from failure


class PipesAttempt(Attempt):
    """One attempt of one asset's body: staged, submitted, waited for, its messages turned into results."""

    def __init__(self, launcher: MendedStepLauncher, context: dg.AssetExecutionContext) -> None:
        super().__init__(launcher, context.get_step_execution_context())
        self.context = context

    def results(self) -> Iterator[dg.MaterializeResult]:
        succeeded = False
        try:
            self._be_the_only_one()
            messages = PipesFolder(self.launcher, self.staging, self.folder)
            with dg.open_pipes_session(self.context, messages, messages) as session:
                archive = self._stage(pipes=session.get_bootstrap_env_vars())
                messages.make()
                self.cluster = self.launcher.cluster(self.step_context.run_id)
                with capture_interrupts():  # a run that was submitted must be known to be cancelled
                    self._submit(archive)
                self.log.info(f"waiting for Databricks run {self.run_id}")
                state = self._wait()
            events = [deserialize_value(text, dg.DagsterEvent) for text in session.get_custom_messages()]
            self._raise_what_went_wrong(events, state)
            yield from _results(events)
            succeeded = True
        finally:
            self._end_if_alive()
            self._bring_logs()
            if self.staged:
                self._clear(succeeded)

    def _be_the_only_one(self) -> None:
        own, others = self._earlier_runs()
        for run in others:
            self._wait_for_the_end_of(run)
        for run in own:
            self._end(run, "an earlier attempt of this step")

    def _wait(self) -> jobs.RunState:
        """How the run has ended. Raises Failure where it takes too long or the workspace tells nothing of it."""
        launcher = self.launcher
        started = reached = time.monotonic()
        permitted = False
        while True:
            with raise_execution_interrupts():
                time.sleep(launcher.poll_s)
                run = self._asked(lambda: launcher.client.jobs.get_run(self._known_run_id))
            now = time.monotonic()
            if run is not None and run.state is not None:
                reached = now
                self.run_url = self.run_url or run.run_page_url or ""
                permitted = permitted or self._permitted(run)
                if has_ended(run):
                    self.ended = True
                    return run.state
            elif now - reached > (launcher.outage_patience_s if passes(self.trouble) else launcher.refusal_patience_s):
                raise self._lost_sight(self.trouble, now - reached)
            if now - started > launcher.databricks_runner.max_wait_time_sec:
                raise self._too_long()

    def _lost_sight(self, error: Exception | None, seconds: float) -> dg.Failure:
        failure = super()._lost_sight(error, seconds)
        self.left_for_the_next = False  # nobody else can read what it reports
        return failure

    def _raise_what_went_wrong(self, events: Sequence[dg.DagsterEvent], state: jobs.RunState) -> None:
        """Raises unless the body ran to its end, and all that it had to report has arrived."""
        verdicts = [event for event in events if event.event_type in VERDICTS]
        if not verdicts:
            failure = self.launcher.patiently(lambda: self.staging.get(f"{self.folder}/{FAILURE}"))
            raise self._no_verdict(state, json_object(failure))
        (verdict,) = verdicts
        if verdict.event_type == DagsterEventType.STEP_UP_FOR_RETRY:
            seconds = verdict.step_retry_data.seconds_to_wait or 0
            raise dg.RetryRequested(self.step_context.previous_attempt_count + 1, seconds)
        if verdict.event_type == DagsterEventType.STEP_FAILURE:
            error = verdict.step_failure_data.error
            if error is None or error.cls_name != BLOCKED:
                said = error.to_string() if error else "the step failed on the cluster and did not say why"
                raise dg.Failure(said, metadata=self._metadata(), allow_retries=False)


class PipesFolder(dg.PipesContextInjector, PipesBlobStoreMessageReader):
    """Context and messages in the step's staged folder, which the cluster sees as files."""

    def __init__(self, launcher: MendedStepLauncher, staging: Staging, folder: str) -> None:
        super().__init__(interval=launcher.poll_s)
        self.launcher, self.staging, self.folder = launcher, staging, folder
        self.context: PipesContextData | None = None

    def make(self) -> None:
        """Puts the context and an empty folder for the messages where the cluster looks for them."""
        self.launcher.patiently(lambda: self.staging.make_folder(f"{self.folder}/{MESSAGES_FOLDER}"))
        content = json.dumps(self.context).encode()
        self.launcher.patiently(lambda: self.staging.put(f"{self.folder}/{CONTEXT}", content))

    @contextmanager
    def inject_context(self, context: PipesContextData) -> Iterator[PipesParams]:
        self.context = context
        yield {"path": self.staging.on_cluster(f"{self.folder}/{CONTEXT}")}

    @contextmanager
    def get_params(self) -> Iterator[PipesParams]:
        yield {"path": self.staging.on_cluster(f"{self.folder}/{MESSAGES_FOLDER}")}

    def messages_are_readable(self, params: PipesParams) -> bool:
        return True

    def download_messages_chunk(self, index: int, params: PipesParams) -> str | None:
        """The chunk, whole; None where it is not there yet, or cannot be had for now: then it is asked for again."""
        again = tenacity.Retrying(
            stop=tenacity.stop_before_delay(self.launcher.event_patience_s),
            wait=tenacity.wait_exponential(multiplier=0.2, max=5.0),
        )
        try:
            return again(self._chunk, index)
        except tenacity.RetryError:
            return None

    def _chunk(self, index: int) -> str | None:
        content = self.staging.get(f"{self.folder}/{MESSAGES_FOLDER}/{index}.json")
        for line in (content or b"").splitlines():
            json.loads(line)  # Pipes would drop a line that it cannot read
        return content.decode() if content else None

    def no_messages_debug_text(self) -> str:
        return f"Messages were looked for in {self.staging.at(self.folder)}/{MESSAGES_FOLDER}."


def _results(events: Sequence[dg.DagsterEvent]) -> Iterator[dg.MaterializeResult]:
    written: dict[dg.AssetKey, dg.AssetMaterialization] = {}
    checks: dict[dg.AssetKey, list[dg.AssetCheckResult]] = {}
    for event in events:
        if event.event_type == DagsterEventType.ASSET_MATERIALIZATION:
            told = event.step_materialization_data.materialization
            written[told.asset_key] = told
        elif event.event_type == DagsterEventType.ASSET_CHECK_EVALUATION:
            check = event.asset_check_evaluation_data
            result = dg.AssetCheckResult(
                passed=check.passed,
                asset_key=check.asset_key,
                check_name=check.check_name,
                severity=check.severity,
                description=check.description,
                metadata=check.metadata,
            )
            checks.setdefault(check.asset_key, []).append(result)
    for key in dict.fromkeys((*written, *checks)):
        tags = (written[key].tags or {}) if key in written else {}
        is_stated = tags.get("dagster/data_version_is_user_provided") == "true"
        yield dg.MaterializeResult(
            asset_key=key,
            metadata=written[key].metadata if key in written else None,
            check_results=checks.get(key, []),
            data_version=dg.DataVersion(tags["dagster/data_version"]) if is_stated else None,
        )
