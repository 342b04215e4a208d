"""The step launcher: dagster-databricks' own, with the holes of version 0.29.27 closed.

The configuration is the same. What differs, each pinned by a test that injects the fault:

- staging on a Unity Catalog volume where `staging_prefix` begins with /Volumes/ (stock: DBFS only), JSON instead of
  pickles, removed after success; the code is staged once for all steps that run the same content;
- an outage of the API while polling is waited out (stock: cancels a healthy run), and so are answers that are cut or no
  JSON, a sign-in that fails for a while, and a refusal that does not last;
- a step has one writer: before an attempt starts, earlier runs of the same step are adopted, or have ended;
- a run that ends without the step's own verdict (driver lost, launch failure, skipped, no events) follows the op's
  RetryPolicy (stock: fails at once, or ends as neither success nor failure);
- trouble after the step's verdict is a warning (stock: success and failure both);
- each attempt has an idempotency token (stock: a retried submit can start two clusters), and always a time-out;
- data versions and check targets are this instance's; the run's asset-check selection reaches the cluster.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import re
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import dagster as dg
from dagster._core.code_pointer import FileCodePointer, ModuleCodePointer, PackageCodePointer
from dagster._core.definitions.partitions.definition import DynamicPartitionsDefinition
from dagster._core.definitions.reconstruct import ReconstructableJob
from dagster._core.errors import raise_execution_interrupts
from dagster._core.events import (
    DagsterEventBatchMetadata,
    DagsterEventType,
    EngineEventData,
    generate_event_batch_id,
)
from dagster._core.events.log import EventLogEntry
from dagster._core.execution.plan.external_step import _module_in_package_dir
from dagster._core.execution.plan.utils import RetryRequestedFromPolicy
from dagster._serdes import deserialize_value, serialize_value
from dagster_databricks import databricks_pyspark_step_launcher
from dagster_databricks.databricks_pyspark_step_launcher import DatabricksPySparkStepLauncher
from databricks.sdk.errors import DatabricksError, NotFound, PermissionDenied, Unauthenticated
from databricks.sdk.service import iam, jobs

import athlete_assets
from athlete_assets.deployments.databricks import step_main
from athlete_assets.deployments.databricks.libraries import CLUSTER_LIBRARIES, SUPPORTED_PYTHON
from athlete_assets.deployments.databricks.patience import is_outage, patiently
from athlete_assets.deployments.databricks.provenance import Provenance
from athlete_assets.deployments.databricks.remote import batch_name
from athlete_assets.deployments.databricks.run_clusters import RunClusters
from athlete_assets.deployments.databricks.staging import PackagedCode, staging_at
from athlete_assets.deployments.databricks.step_runs import (
    ENDED,
    ENTRY,
    STEP,
    StepRun,
    StepRuns,
    folder_name,
    has_ended,
)
from athlete_assets.errors import ClusterError, SettingsError

if TYPE_CHECKING:
    from dagster._core.execution.context.system import StepExecutionContext

NO_RETRY = (jobs.RunResultState.CANCELED, jobs.RunResultState.TIMEDOUT)
"""A person's cancel is meant, and a run that was too long once is too long again."""
RUN_ID, STAGED = "databricks_run_id", "databricks_staged_folder"
"""Metadata of the event that says which run a step waits for."""
FAILURE = "failure.json"
"""Where a step's process says why it could not run the step."""
VERDICTS = (DagsterEventType.STEP_SUCCESS, DagsterEventType.STEP_FAILURE, DagsterEventType.STEP_UP_FOR_RETRY)
SECRET_NAME = re.compile(r"TOKEN|SECRET|PASSWORD|PASSWD|API_?KEY|PRIVATE_?KEY|CREDENTIAL|WEBHOOK", re.IGNORECASE)
Result = TypeVar("Result")


class MendedStepLauncher(DatabricksPySparkStepLauncher):
    """Runs a step as a one-time Databricks run and brings back its events, each exactly once, with one verdict."""

    outage_patience_s: float = 600.0
    """The workspace may be out of reach so long before a step gives up on its run."""
    refusal_patience_s: float = 60.0
    """The workspace may refuse to tell of a run (401, 403, 404) so long before that is believed."""
    cancel_patience_s: float = 120.0
    """A cancel is repeated, and its effect awaited, so long before the step ends without it."""
    event_patience_s: float = 60.0
    """Events may reach the staging folder so much later than the run's end."""
    after_verdict_s: float = 120.0
    """A run may go on so long after its step's verdict before it is cancelled: it costs money and does nothing."""

    def __init__(
        self,
        *,
        cluster_retries: dg.RetryPolicy | None = None,
        pinned: Sequence[str] | None = None,
        at_least: Mapping[str, str] | None = None,
        cluster_a_run: bool = False,
        **configuration: Any,
    ) -> None:
        """`configuration` is the stock launcher's. `cluster_retries` serves steps that have no RetryPolicy: their
        authors thought of failures of their own, and the cluster's are not theirs. A step refuses a cluster that does
        not have the `pinned` libraries (all of CLUSTER_LIBRARIES) in this process's versions, and those of `at_least`
        in that version or a newer one. With `cluster_a_run` all steps of a Dagster run share the new cluster that the
        configuration describes.
        """
        # making the client signs in
        patiently(lambda: DatabricksPySparkStepLauncher.__init__(self, **configuration), self.outage_patience_s)
        self.cluster_retries = cluster_retries
        self.pinned, self.at_least = pinned, dict(at_least or {})
        secret = sorted(name for name in self.env_variables if SECRET_NAME.search(name))
        if secret:
            raise SettingsError(
                f"env_variables {', '.join(secret)}: these are staged in clear; name them in secrets_to_env_variables"
            )
        self.cluster_a_run = cluster_a_run
        self.poll_s = float(self.databricks_runner.poll_interval_sec)
        self.client = self.databricks_runner.client.workspace_client
        self.staging = staging_at(self.client, self.staging_prefix)
        self.step_runs = StepRuns(self.client, self.staging)

    def launch_step(self, step_context: StepExecutionContext) -> Iterator[dg.DagsterEvent]:
        """Yields the step's events; raises Failure or a retry request where there is no verdict of its own."""
        attempt = Attempt(self, step_context)
        try:
            yield from attempt.events()
        except Exception as error:
            policy = self.retry_policy(step_context)
            again = error.allow_retries if isinstance(error, dg.Failure) else is_outage(error)
            if policy is None or not again:
                raise
            raise RetryRequestedFromPolicy(
                max_retries=policy.max_retries,
                seconds_to_wait=policy.calculate_delay(step_context.previous_attempt_count + 1),
            ) from error

    def retry_policy(self, step_context: StepExecutionContext) -> dg.RetryPolicy | None:
        return step_context.op_retry_policy or self.cluster_retries

    def patiently(self, call: Callable[[], Result]) -> Result:
        """The call's result, asked again while the workspace is out of reach; then its last error."""
        return patiently(call, self.outage_patience_s)

    def sign_in_anew(self) -> None:
        """Forgets the token: the next request asks for another one."""
        self.client.config.init_auth()

    def stage(self, folder: str, step: Mapping[str, Any], packages: Mapping[str, Path]) -> str:
        """Puts a step's description and the entry point into its folder; returns the staged path of the code.

        The code goes to a path that its content names, and only where it is not there yet.
        """
        code = PackagedCode.of(packages)
        archive = f"code/{code.digest}.zip"
        remote = self.create_remote_config()
        told = {
            **step,
            "environment": dict(remote.env_variables),
            "secrets": list(remote.secrets),
            "storage": dict(remote.storage),
            "python": SUPPORTED_PYTHON,
            "pins": {name: version(name) for name in (CLUSTER_LIBRARIES if self.pinned is None else self.pinned)},
            "at_least": self.at_least,
            "code_digest": code.digest,
        }
        self.patiently(lambda: self.staging.make_folder("code"))
        if self.patiently(lambda: self.staging.get(archive)) != code.content:  # a corrupt one may have the right size
            self.patiently(lambda: self.staging.put(archive, code.content))
        self.patiently(lambda: self.staging.make_folder(folder))
        self.patiently(lambda: self.staging.put(f"{folder}/{ENTRY}", Path(step_main.__file__).read_bytes()))
        self.patiently(lambda: self.staging.put(f"{folder}/{STEP}", json.dumps(told).encode()))
        return archive

    def cluster(self, dagster_run_id: str) -> Mapping[str, Any]:
        """Where the steps of a Dagster run go: what the configuration says, or the run's own cluster, made if need be.

        Raises Failure where a running cluster has a pinned library in another version: its processes would go on with
        that one.
        """
        cluster: Mapping[str, Any] = self.run_config["cluster"]
        if self.cluster_a_run and "new" in cluster:
            shared = RunClusters(self.client, self.staging.prefix).of(dagster_run_id, cluster["new"], self.patiently)
            cluster = {"existing": shared}
        if "existing" in cluster:
            self._same_libraries(cluster["existing"])
        return cluster

    def _same_libraries(self, cluster_id: str) -> None:
        wanted = dict(
            library["pypi"]["package"].split("==", 1)
            for library in self.run_config.get("libraries", ())
            if "==" in library.get("pypi", {}).get("package", "")
        )
        if not wanted:
            return
        try:
            statuses = list(self.patiently(lambda: list(self.client.libraries.cluster_status(cluster_id))))
        except DatabricksError:  # what it has is compared by the step itself, too
            return
        other = []
        for status in statuses:
            package = status.library.pypi.package if status.library and status.library.pypi else ""
            name, _, found = package.partition("==")
            if name in wanted and found not in ("", wanted[name]):
                other.append(f"{name} {found} (this process: {wanted[name]})")
        if other:
            raise dg.Failure(
                f"cluster {cluster_id} has {', '.join(sorted(other))}: uninstall what differs there and restart the "
                "cluster. A running one keeps the version that it has loaded",
                allow_retries=False,
            )

    def submit(self, folder: str, archive: str, name: str, cluster: Mapping[str, Any] | None = None) -> int:
        """Submits a run of what was staged; the same folder gives the same run, however often it is asked for."""
        run_config = {
            "run_name": name,
            **self.run_config,
            **({"cluster": cluster} if cluster else {}),
            "idempotency_token": hashlib.sha256(folder.encode()).hexdigest(),
            "timeout_seconds": self.run_config.get("timeout_seconds")
            or self.databricks_runner.max_wait_time_sec,  # an orchestrator that was killed cancels nothing
        }
        task = {
            "spark_python_task": {
                "python_file": self.staging.uri(f"{folder}/{ENTRY}"),
                "parameters": [self.staging.on_cluster(f"{folder}/{STEP}"), self.staging.on_cluster(archive)],
            }
        }

        def submitted() -> int:
            run_id = self.databricks_runner.submit_run(run_config, task)
            if run_id is None:
                raise ValueError("the answer to the submission of a run names no run")
            return run_id

        return self.patiently(submitted)

    def packages(self, module: str) -> Mapping[str, Path]:
        """The package that holds the Definitions, and this one, which runs them; each with the folder it lies in."""
        return {
            athlete_assets.__name__: Path(athlete_assets.__file__).resolve().parents[1],
            module.partition(".")[0]: Path(self.local_dagster_job_package_path),
        }


@dataclass
class StepOutcome:
    entry: EventLogEntry
    since: float


class Attempt:
    """One attempt of one step: staged, submitted, followed to its end, cleared away; or an earlier run followed on."""

    def __init__(self, launcher: MendedStepLauncher, step_context: StepExecutionContext) -> None:
        self.launcher = launcher
        self.staging = launcher.staging
        self.step_context = step_context
        self.log = step_context.log
        self.run_id: int | None = None
        self.run_url = ""
        self.ended = False
        self.left_for_the_next = False
        self.staged = False
        self.batches = 0
        self.trouble: Exception | None = None
        """What the workspace answered last instead of what was asked; None after an answer."""
        self.unreadable = ""
        """Why the next batch of events, which is there, could not be read when it was tried last."""
        self.recorded: set[tuple[Any, ...]] = set()
        """The events of an adopted run that an earlier attempt has stored."""
        self.verdict: StepOutcome | None = None
        self.cluster: Mapping[str, Any] = {}
        self.folder = self._folder(step_context.previous_attempt_count)

    def _folder(self, attempt: int) -> str:
        return f"{self.step_context.run_id}/{folder_name(self.step_context.step.key)}/{attempt}"

    def events(self) -> Iterator[dg.DagsterEvent]:
        provenance = Provenance(self.step_context)
        succeeded = False
        try:
            started = staged = time.monotonic()
            with raise_execution_interrupts():
                adopted = self._adopted()
                if not adopted:
                    archive = self._stage()
                    self.cluster = self.launcher.cluster(self.step_context.run_id)
                    staged = time.monotonic()
            if adopted:
                yield from self._taken_over()
            else:
                self._submit(archive)  # not interruptible: a run that was submitted must be known to be cancelled
            yield self._where()
            for told in self._followed():
                if isinstance(told, dg.DagsterEvent):
                    yield told
                else:
                    yield from self._recorded(provenance, told)
            assert self.verdict is not None
            succeeded = self.verdict.entry.get_dagster_event().event_type != DagsterEventType.STEP_FAILURE
            self.log.debug(
                f"Databricks run {self.run_id}: staged in {staged - started:.1f} s, "
                f"{time.monotonic() - staged:.1f} s from submission to the end"
            )
            self._end_if_alive()  # before Dagster is told, and gives the step's pool to the next one
            yield from self._recorded(provenance, [self.verdict.entry])
        finally:
            self._end_if_alive()
            self._bring_logs()
            if self.staged or self.run_id is not None:
                self._clear(succeeded)

    # one writer

    def _adopted(self) -> bool:
        """Whether an earlier run of this step goes on as this attempt. No other one is alive when this returns.

        Adopted is a run of this Dagster run whose verdict this instance has not: the attempt that followed it lost
        sight of it, or its process died. Raises Failure where another one does not end.
        """
        own, others = self._earlier_runs()
        for run in others:
            self._wait_for_the_end_of(run)
        adopted: StepRun | None = None
        for run in own:
            if adopted is None and self._goes_on(run):
                adopted = run
            else:
                self._end(run, "an earlier attempt of this step")
        if adopted is not None:
            self.folder, self.run_id = adopted.folder, adopted.run_id
        return adopted is not None

    def _earlier_runs(self) -> tuple[list[StepRun], list[StepRun]]:
        """Earlier runs of this step that may be alive or hold a verdict: this Dagster run's, and those of others."""
        dagster_run, step = self.step_context.run_id, folder_name(self.step_context.step.key)
        alive = [run for run in self.launcher.patiently(self.launcher.step_runs.alive) if run.step == step]
        own = {run.run_id: run for run in alive if run.dagster_run_id == dagster_run}
        for event in self._log(DagsterEventType.ENGINE_EVENT):  # ended runs are in no list of those alive
            metadata = event.get_dagster_event().engine_event_data.metadata
            if RUN_ID in metadata and STAGED in metadata:
                run_id, attempt = int(str(metadata[RUN_ID].value)), int(str(metadata[STAGED].value).rsplit("/", 1)[1])
                own.setdefault(run_id, StepRun(run_id, dagster_run, step, attempt))
        newest_first = sorted(own.values(), key=lambda run: run.attempt, reverse=True)
        return newest_first, [run for run in alive if run.dagster_run_id != dagster_run]

    def _log(self, kind: DagsterEventType | None = None) -> Iterator[EventLogEntry]:
        """What this instance's event log has of this step in this Dagster run."""
        for entry in self.step_context.instance.all_logs(self.step_context.run_id, of_type=kind):
            if entry.step_key == self.step_context.step.key and entry.is_dagster_event:
                yield entry

    def _goes_on(self, run: StepRun) -> bool:
        """Whether the run is alive or has ended with a verdict, and the verdict is not in the event log already."""
        ended = has_ended(self.launcher.patiently(lambda: self.launcher.client.jobs.get_run(run.run_id)))
        reader = Attempt(self.launcher, self.step_context)
        reader.folder = run.folder
        staged: list[EventLogEntry] = []
        while batch := self.launcher.patiently(reader._next_batch):
            staged.extend(batch)
        self.recorded = {_identity(entry) for entry in self._log()}
        verdicts = [entry for entry in staged if _kind(entry) in VERDICTS]
        if verdicts:
            return _identity(verdicts[0]) not in self.recorded
        return not ended and self.launcher.patiently(lambda: self.staging.get(f"{run.folder}/{STEP}")) is not None

    def _taken_over(self) -> Iterator[dg.DagsterEvent]:
        self.log.info(f"Databricks run {self.run_id} was started by an earlier attempt and is followed further")
        if self.step_context.previous_attempt_count > 0:
            yield dg.DagsterEvent.step_restarted_event(self.step_context, self.step_context.previous_attempt_count)

    def _wait_for_the_end_of(self, run: StepRun) -> None:
        """Waits until the run of another Dagster run has ended; cancels it where that Dagster run has."""
        launcher, told = self.launcher, False
        deadline = time.monotonic() + launcher.databricks_runner.max_wait_time_sec
        while not has_ended(launcher.patiently(lambda: launcher.client.jobs.get_run(run.run_id))):
            whose = self.step_context.instance.get_run_by_id(run.dagster_run_id)
            if whose is not None and whose.is_finished:
                return self._end(run, f"Dagster run {run.dagster_run_id}, which has ended,")
            if not told:
                self.log.info(
                    f"waiting for Databricks run {run.run_id} of Dagster run {run.dagster_run_id}: it runs this step, "
                    "too, and a table has one writer"
                )
                told = True
            if time.monotonic() > deadline:
                raise self._second_writer(run, f"Dagster run {run.dagster_run_id}", None)
            time.sleep(launcher.poll_s)
        return None

    def _end(self, run: StepRun, whose: str) -> None:
        if has_ended(self.launcher.patiently(lambda: self.launcher.client.jobs.get_run(run.run_id))):
            return
        self.log.warning(f"Databricks run {run.run_id} of {whose} is still alive; it is cancelled")
        error = self.launcher.step_runs.end(run.run_id, self.launcher.outage_patience_s)
        if error is not None:
            raise self._second_writer(run, whose, error)

    @staticmethod
    def _second_writer(run: StepRun, whose: str, error: Exception | None) -> dg.Failure:
        reason = f": {error}" if error else ""
        return dg.Failure(
            f"Databricks run {run.run_id} of {whose} does not end{reason}. This step would be a second writer of its "
            "table: cancel that run in the workspace"
        )

    # there

    def _stage(self, **further: Any) -> str:
        """Puts everything in place, and `further` into the step's description; returns the staged path of the code."""
        launcher, step_context = self.launcher, self.step_context
        job = self._portable_job()
        self.staged = True
        step = {
            "job": serialize_value(job),
            "run": serialize_value(step_context.dagster_run),
            "run_config": step_context.run_config,
            "step_key": step_context.step.key,
            "retry_mode": step_context.retry_mode.value,
            "restart": launcher.run_config["cluster"].get("existing", ""),
            "known_state": serialize_value(step_context.get_known_state()),
            "dynamic_partitions": self._dynamic_partitions(),
            **further,
        }
        try:
            pointer = job.repository.pointer
            assert isinstance(pointer, ModuleCodePointer)
            return launcher.stage(self.folder, step, launcher.packages(pointer.module))
        except (NotFound, PermissionDenied) as error:
            raise dg.Failure(
                f"the staging folder {self.staging.prefix} cannot be used: {error}. `athlete-assets databricks check` "
                "says which right or setting is missing",
                allow_retries=False,
            ) from error

    def _portable_job(self) -> ReconstructableJob:
        """The run's job with its whole selection, found by module name: files lie elsewhere on the cluster."""
        job = self.step_context.job
        if not isinstance(job, ReconstructableJob):
            raise SettingsError(
                "this step cannot be launched from a job that lives in memory only: load the Definitions as a module"
            )
        run = self.step_context.dagster_run
        pointer = job.repository.pointer
        if isinstance(pointer, FileCodePointer):
            module = _module_in_package_dir(pointer.python_file, self.launcher.local_dagster_job_package_path)
            pointer = ModuleCodePointer(module, pointer.fn_name)
        elif isinstance(pointer, (ModuleCodePointer, PackageCodePointer)):
            name = pointer.fn_name if isinstance(pointer, ModuleCodePointer) else pointer.attribute
            pointer = ModuleCodePointer(pointer.module, name)
        else:
            raise SettingsError(f"this step cannot be launched from {pointer.describe()}: load the code by module name")
        repository = job.repository._replace(
            pointer=pointer,
            executable_path=None,
            repository_load_data=self.step_context.plan_data.execution_plan.repository_load_data,
        )
        return ReconstructableJob(
            repository=repository,
            job_name=job.job_name,
            op_selection=run.resolved_op_selection,
            asset_selection=run.asset_selection,
            asset_check_selection=run.asset_check_selection,
        )

    def _dynamic_partitions(self) -> Mapping[str, Sequence[str]]:
        """The keys of the dynamic partitions that the step's assets have: the cluster's instance knows none."""
        keys: dict[str, Sequence[str]] = {}
        layer = self.step_context.job_def.asset_layer
        for key in layer.asset_graph.get_all_asset_keys():
            definition = layer.get(key).partitions_def
            for part in getattr(definition, "partitions_defs", None) or [definition]:
                part = getattr(part, "partitions_def", part)
                if isinstance(part, DynamicPartitionsDefinition) and part.name:
                    keys[part.name] = list(self.step_context.instance.get_dynamic_partitions(part.name))
        return keys

    def _submit(self, archive: str) -> None:
        name = f"{self.step_context.job_name}: {self.step_context.step.key}"
        self.run_id = self.launcher.submit(self.folder, archive, name, self.cluster)

    # and back

    def _followed(self) -> Iterator[Sequence[EventLogEntry] | dg.DagsterEvent]:
        """The step's events as they come, except its verdict, which is kept until the run has ended.

        Raises Failure where the run ends without a verdict, or does not end in time.
        """
        launcher = self.launcher
        started = reached = time.monotonic()
        ended_at: float | None = None
        state: jobs.RunState | None = None
        permitted = False
        while True:
            with raise_execution_interrupts():
                time.sleep(launcher.poll_s)
                run = self._asked(lambda: launcher.client.jobs.get_run(self._known_run_id))
                refused = self.trouble
                entries: list[EventLogEntry] = []
                while batch := self._asked(self._next_batch):
                    entries.extend(batch)
                told_all = self.trouble is None
            now = time.monotonic()
            if run is not None:
                reached = now
                state = run.state or state
                permitted = permitted or self._permitted(run)
                if not self.run_url and run.run_page_url:
                    self.run_url = run.run_page_url
                    yield self._where()
            entries = [entry for entry in entries if not self._is_known(entry)]
            for entry in entries:
                if _kind(entry) in VERDICTS:
                    self.verdict = self.verdict or StepOutcome(entry, now)
            yield [entry for entry in entries if _kind(entry) not in VERDICTS]
            if state is not None and state.life_cycle_state in ENDED:
                self.ended = True
                ended_at = ended_at or now
                if self.verdict:
                    self._warn_of_trouble_after(state)
                    return
                failure = self._asked(lambda: self.staging.get(f"{self.folder}/{FAILURE}"))
                told_all = told_all and self.trouble is None
                patience = launcher.event_patience_s if told_all else launcher.outage_patience_s
                if failure or now - ended_at >= patience:
                    raise self._no_verdict(state, json_object(failure))
            elif self.verdict and now - self.verdict.since > launcher.after_verdict_s:
                self.log.warning(f"Databricks run {self.run_id} goes on after its step has ended; it is cancelled")
                return
            elif now - reached > (launcher.outage_patience_s if passes(refused) else launcher.refusal_patience_s):
                if self.verdict:
                    self.log.warning(f"Databricks was out of reach after run {self.run_id} had ended its step")
                    return
                raise self._lost_sight(refused, now - reached)
            elif now - started > launcher.databricks_runner.max_wait_time_sec and not self.verdict:
                raise self._too_long()

    def _too_long(self) -> dg.Failure:
        return dg.Failure(
            f"Databricks run {self.run_id} took more than {self.launcher.databricks_runner.max_wait_time_sec} s "
            "and is cancelled; ATHLETE_DATABRICKS_TIMEOUT_S sets the limit",
            metadata=self._metadata(),
            allow_retries=False,
        )

    def _lost_sight(self, error: Exception | None, seconds: float) -> dg.Failure:
        """The run may be healthy: it is left to the next attempt, where there is one, and only else cancelled."""
        policy = self.launcher.retry_policy(self.step_context)
        attempts = self.step_context.previous_attempt_count
        self.left_for_the_next = policy is not None and attempts < policy.max_retries
        said = "was out of reach" if passes(error) else "refused to answer"
        return dg.Failure(f"Databricks {said} for {seconds:.0f} s during run {self.run_id}: {error}")

    def _is_known(self, entry: EventLogEntry) -> bool:
        """Whether an earlier attempt, which followed the same run, has stored the event; a step starts once, too."""
        if not self.recorded:
            return False
        restarted = self.step_context.previous_attempt_count > 0 and _kind(entry) == DagsterEventType.STEP_START
        return restarted or _identity(entry) in self.recorded

    @property
    def _known_run_id(self) -> int:
        assert self.run_id is not None
        return self.run_id

    def _asked(self, call: Callable[[], Result]) -> Result | None:
        """The call's result; None, and a line in the log, where the workspace does not give it now.

        Whatever it answers instead says nothing about the run, which goes on: `trouble` keeps it.
        """
        earlier, self.trouble = self.trouble, None
        try:
            return call()
        except Exception as error:
            self.trouble = error
            self.log.debug(f"Databricks does not answer now, the run goes on: {type(error).__name__}: {error}")
            if isinstance(error, Unauthenticated) and not isinstance(earlier, Unauthenticated):
                self._sign_in_anew()
            return None

    def _sign_in_anew(self) -> None:
        try:
            self.launcher.sign_in_anew()
        except Exception as error:
            self.log.debug(f"no new sign-in to Databricks now: {error}")

    def _next_batch(self) -> Sequence[EventLogEntry] | None:
        """The next batch of events; None where it is not there yet, or cannot be read: it is tried again."""
        name = f"{self.folder}/{batch_name(self.batches + 1)}"
        content = self.staging.get(name)
        if not content:
            return None
        try:
            entries = deserialize_value(gzip.decompress(content).decode(), list)
            if not all(isinstance(entry, EventLogEntry) for entry in entries):
                raise ValueError("it holds other things than events")
        except Exception as error:  # half written, or garbled on its way
            self.unreadable = f"{self.staging.at(name)} cannot be read: {type(error).__name__}: {error}"
            self.log.debug(self.unreadable)
            return None
        self.batches += 1
        self.unreadable = ""
        return entries

    def _recorded(self, provenance: Provenance, entries: Sequence[EventLogEntry]) -> Iterator[dg.DagsterEvent]:
        """Stores the events; materialisations that follow each other, those of a range, as one batch."""
        for kind, group in groupby(entries, key=_kind):
            together = list(group)
            batch = generate_event_batch_id() if kind == DagsterEventType.ASSET_MATERIALIZATION else None
            for number, told in enumerate(together, start=1):
                entry = provenance.of(told)
                place = DagsterEventBatchMetadata(batch, number == len(together)) if batch else None
                self.step_context.instance.handle_new_event(entry, batch_metadata=place)
                if entry.is_dagster_event:
                    yield entry.get_dagster_event()

    def _where(self) -> dg.DagsterEvent:
        return dg.DagsterEvent.from_step(
            event_type=DagsterEventType.ENGINE_EVENT,
            step_context=self.step_context,
            event_specific_data=EngineEventData(self._metadata()),
            message=f"Waiting for Databricks run {self.run_id}",
        )

    def _permitted(self, run: jobs.Run) -> bool:
        """Grants the configured rights on the run and its cluster as soon as there is one; trouble is a warning."""
        permissions = self.launcher.permissions or {}
        wanted = {kind: rights for kind, rights in permissions.items() if rights}
        if not wanted:
            return True
        cluster = run.tasks[0].cluster_instance if run.tasks else None
        if "cluster_permissions" in wanted and (cluster is None or not cluster.cluster_id):
            return False
        targets = {
            "job_permissions": ("jobs", str(run.job_id)),
            "cluster_permissions": ("clusters", str(cluster.cluster_id) if cluster else ""),
        }
        for kind, rights in wanted.items():
            requested: list[iam.AccessControlRequest] = self.launcher._format_permissions(rights)
            try:
                self.launcher.client.permissions.update(*targets[kind], access_control_list=requested)
            except Exception as error:
                self.log.warning(f"Databricks run {self.run_id}: could not grant {kind.replace('_', ' ')}: {error}")
        return True

    # the end

    def _warn_of_trouble_after(self, state: jobs.RunState) -> None:
        assert self.verdict is not None
        succeeded = self.verdict.entry.get_dagster_event().event_type == DagsterEventType.STEP_SUCCESS
        if succeeded and state.result_state != jobs.RunResultState.SUCCESS:
            self.log.warning(
                f"Databricks run {self.run_id} ended {_name(state.result_state)} after its step had succeeded: "
                f"{state.state_message}"
            )

    def _no_verdict(self, state: jobs.RunState, failure: Mapping[str, Any]) -> dg.Failure:
        """What happened to a run whose step never said how it ended; `failure` is what its process reported."""
        outcome = _name(state.result_state or state.life_cycle_state)
        reason = (
            failure.get("message")
            or self.unreadable
            or state.state_message
            or (f"its events cannot be read: {self.trouble}" if self.trouble else "the step's last event never arrived")
        )
        error = ClusterError(f"Databricks run {self.run_id} ended {outcome} without the step's own verdict: {reason}")
        meant = state.result_state in NO_RETRY
        described = dg.Failure(
            str(error), metadata=self._metadata(), allow_retries=bool(failure.get("retry", True)) and not meant
        )
        described.__cause__ = error
        return described

    def _metadata(self) -> dict[str, Any]:
        metadata: dict[str, Any] = {
            RUN_ID: dg.MetadataValue.text(str(self.run_id)),
            STAGED: dg.MetadataValue.text(self.folder),
        }
        if self.run_url:
            metadata["databricks_run"] = dg.MetadataValue.url(self.run_url)
        return metadata

    def _end_if_alive(self) -> None:
        """Cancels a run that nobody follows any more, and waits for its end; what remains is the sensor's."""
        if self.run_id is None or self.ended or self.left_for_the_next:
            return
        error = self.launcher.step_runs.end(self.run_id, self.launcher.cancel_patience_s)
        if error is None:
            self.ended = True
            self.log.info(f"Databricks run {self.run_id} is cancelled")
        else:
            self.left_for_the_next = True
            self.log.error(
                f"Databricks run {self.run_id} could not be cancelled: {error}. The sensor ended_databricks_runs tries "
                "further; at the latest the run ends at its time-out"
            )

    def _bring_logs(self) -> None:
        """Writes the cluster's output to this process's streams, which dagster captures as the step's compute log."""
        if self.run_id is None:
            return
        for name, stream in (("stdout", sys.stdout), ("stderr", sys.stderr)):
            try:
                content = self.staging.get(f"{self.folder}/{name}")
            except Exception as error:
                self.log.debug(f"no {name} from Databricks run {self.run_id}: {error}")
                continue
            if content:
                stream.write(content.decode(errors="replace"))
                stream.flush()

    def _clear(self, succeeded: bool) -> None:
        """After success nothing stays; after a failure its events and output do, but not the description of the run.

        Of a run that may be alive everything does: the next attempt may follow it further.
        """
        try:
            if succeeded or self.run_id is None:
                self.staging.remove(self.folder)
            elif self.ended:
                self.staging.remove(f"{self.folder}/{STEP}")
        except Exception as error:
            self.log.warning(f"{self.staging.at(self.folder)} could not be cleared away: {error}")


def _identity(entry: EventLogEntry) -> tuple[Any, ...]:
    """What an event keeps on its way into the event log."""
    return entry.timestamp, _kind(entry), entry.user_message


def passes(error: Exception | None) -> bool:
    """Whether an answer is an outage rather than a refusal. Anything that is no answer of the API is one."""
    return not isinstance(error, DatabricksError) or is_outage(error)


def json_object(content: bytes | None) -> Mapping[str, Any]:
    """A staged JSON object; empty where there is none, or none that can be read."""
    try:
        found = json.loads(content or b"{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _kind(entry: EventLogEntry) -> DagsterEventType | None:
    return entry.dagster_event.event_type if entry.dagster_event else None


def _name(state: jobs.RunResultState | jobs.RunLifeCycleState | None) -> str:
    return state.value if state else "in an unknown state"


def probe(launcher: MendedStepLauncher, module: str) -> str:
    """Starts a run as a step's would be, which only imports the module there; what it found, in a sentence.

    Raises ClusterError with the reason where the run does not come that far.
    """
    folder = f"check/{uuid.uuid4()}"
    archive = launcher.stage(folder, {"probe": module}, launcher.packages(module))
    run_id = launcher.submit(folder, archive, f"athlete-assets databricks check: import {module}")
    try:
        while True:
            time.sleep(launcher.poll_s)
            run = launcher.patiently(lambda: launcher.client.jobs.get_run(run_id))
            if run.state is not None and has_ended(run):
                break
        found = launcher.patiently(lambda: launcher.staging.get(f"{folder}/probe.json"))
        if found:
            return f"run {run_id}, Python {json.loads(found)['python']}"
        failure = launcher.patiently(lambda: launcher.staging.get(f"{folder}/{FAILURE}"))
        reason = json.loads(failure)["message"] if failure else run.state.state_message
        raise ClusterError(
            f"run {run_id} ended {_name(run.state.result_state or run.state.life_cycle_state)}: {reason}"
        )
    finally:
        launcher.staging.remove(folder)


@dg.resource(config_schema=databricks_pyspark_step_launcher.config_schema)
def mended_databricks_step_launcher(context: dg.InitResourceContext) -> MendedStepLauncher:
    """The mended launcher with the configuration of `databricks_pyspark_step_launcher`, to take its place.

    Credentials that come by run config are stored with each run: prefer `step_launcher(settings)`, which reads them
    from the environment when a step begins.
    """
    return MendedStepLauncher(**context.resource_config)
