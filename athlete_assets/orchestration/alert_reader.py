"""Reads Dagster's event log for what broke and what is mended: checks, runs, stale tables.

It reads the newest check evaluations, run outcomes and freshness states beyond its cursor, so that nothing is missed
between two ticks.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, timedelta
from typing import Any
from urllib.parse import quote

import dagster as dg
from dagster._core.definitions.freshness import FreshnessState
from dagster._core.storage.asset_check_execution_record import (
    AssetCheckExecutionRecord,
    AssetCheckExecutionRecordStatus,
)
from pydantic import BaseModel

from athlete_assets.days import Days
from athlete_assets.monitoring.alerts import Incident, Observation
from athlete_assets.monitoring.delivery import Undelivered
from athlete_assets.orchestration.run_tags import PARTITION, RANGE_END, RANGE_START, WILL_RETRY
from athlete_assets.partitions import athletes_of

EVALUATIONS_A_TICK = 200
"""Newest evaluations of one check that a tick reads; more of one check between two ticks do not happen."""
RUNS_A_TICK = 100
PAUSE_SECONDS = 600
"""Without a tick for so long, the daemon was off."""
BLOCKING_CHECK_ERROR = "DagsterAssetCheckFailedError"


class EvaluationsRead(BaseModel):
    """Which evaluations of a check are read."""

    below: int
    """All up to this id are."""
    read: list[int] = []
    """Ids above it that are, too: an evaluation of a run that is still going lies between."""


class AlertCursor(BaseModel):
    """The cursor of `alerts`: what was read, what is broken, and what could not be delivered yet."""

    checks: dict[str, EvaluationsRead] = {}
    failures: str | None = None
    successes: str | None = None
    """Event log cursors of the failed and the successful runs that were read."""
    broken: dict[str, Incident] = {}
    outbox: list[Undelivered] = []
    ticked: float = 0.0
    watching_since: float = 0.0
    """The newest tick, and the first since which there was no long pause (seconds since 1970)."""

    def note_tick(self, now: float) -> None:
        if now - self.ticked > PAUSE_SECONDS:
            self.watching_since = now
        self.ticked = now


class EventLogReader:
    """Reads what an instance found since the last tick, and moves the cursor behind it."""

    def __init__(
        self, instance: dg.DagsterInstance, graph: Any, location: str | None, ui_url: str, cursor: AlertCursor
    ) -> None:
        self.instance = instance
        self.graph = graph
        self.location = location
        self.ui_url = ui_url
        self.cursor = cursor
        self._runs: dict[str, dg.DagsterRun | None] = {}

    def observations(self) -> list[Observation]:
        failures = list(self._failed_runs())
        return [*self._checks(), *failures, *self._good_runs(failures), *self._freshness()]

    # ------------------------------------------------------------------------------------------------ checks

    def _checks(self) -> Iterator[Observation]:
        keys = sorted(self.graph.asset_check_keys, key=lambda key: (key.asset_key, key.name))
        log = self.instance.event_log_storage
        newest = log.get_latest_asset_check_execution_by_key(keys)
        for key in keys:
            record = newest.get(key)
            if record is None:
                continue
            name = _check_subject(key)
            first_look = name not in self.cursor.checks
            read = self.cursor.checks.setdefault(name, EvaluationsRead(below=record.id - 1))
            if not first_look and record.id <= read.below and not read.read:
                continue
            done = set(read.read)
            records = [record] if first_look else log.get_asset_check_execution_history(key, EVALUATIONS_A_TICK)
            undecided = []
            for evaluation in sorted(records, key=lambda evaluation: evaluation.id):
                if evaluation.id <= read.below or evaluation.id in done:
                    continue
                if evaluation.status != AssetCheckExecutionRecordStatus.PLANNED:
                    yield self._evaluated(evaluation)
                elif not self._is_over(evaluation.run_id):
                    undecided.append(evaluation.id)
                    continue
                # A planned evaluation of a finished run has no verdict: `_failed_runs` tells why.
                done.add(evaluation.id)
            read.below = min(undecided, default=record.id + 1) - 1
            read.read = sorted(number for number in done if number > read.below)

    def _evaluated(self, record: AssetCheckExecutionRecord) -> Observation:
        evaluation = record.evaluation
        assert evaluation is not None
        assert record.event is not None
        good = record.status == AssetCheckExecutionRecordStatus.SUCCEEDED
        severity = "warning" if evaluation.severity == dg.AssetCheckSeverity.WARN else "error"
        return Observation(
            subject=_check_subject(record.key),
            good=good,
            at=record.event.timestamp,
            sentence=evaluation.description or ("The check passes." if good else "The check fails."),
            days=self._days(record.run_id, record.key.asset_key, record.partition),
            severity=severity,  # type: ignore[arg-type]
            numbers=_numbers(evaluation.metadata),
            link=self._check_link(record.key),
            run_id=record.run_id,
            athletes=self._athletes(record.run_id),
        )

    # -------------------------------------------------------------------------------------------------- runs

    def _failed_runs(self) -> Iterator[Observation]:
        result = self.instance.fetch_run_status_changes(
            dg.DagsterEventType.RUN_FAILURE, limit=RUNS_A_TICK, cursor=self.cursor.failures, ascending=True
        )
        self.cursor.failures = result.cursor
        for record in result.records:
            run = self._run(record.event_log_entry.run_id)
            if run is not None and self._is_ours(run) and run.tags.get(WILL_RETRY) != "true":
                yield from self._failed(run, record)

    def _failed(self, run: dg.DagsterRun, record: dg.EventLogRecord) -> Iterator[Observation]:
        """The run's failure, or those of the checks that raised where nothing else failed.

        A step that ended because a blocking check failed says nothing new: the check's own observation has told it.
        """
        at = record.timestamp
        failures = {
            entry.step_key: entry.get_dagster_event().step_failure_data.error
            for entry in self.instance.all_logs(run.run_id, of_type=dg.DagsterEventType.STEP_FAILURE)
        }
        causes = {
            step: error
            for step, error in failures.items()
            if not (error and BLOCKING_CHECK_ERROR in (error.cls_name or ""))
        }
        if failures and not causes:
            return
        assets, checks = self._written_by(run, set(causes))
        sentences = []
        for step, error in causes.items():
            cause = (error.cause or error) if error else None
            sentences.append(f"step {step}: {cause.cls_name}: {cause.message.strip()}" if cause else f"step {step}")
        sentence = "; ".join(_first_lines(text) for text in sentences) or _run_message(record)
        if causes and checks and not assets:
            for key in checks:
                yield Observation(
                    subject=_check_subject(key),
                    good=False,
                    at=at,
                    sentence=f"The check could not be evaluated: {sentence}",
                    days=self._days(run.run_id, key.asset_key, None),
                    link=self._check_link(key),
                    run_id=run.run_id,
                    athletes=athletes_of(run),
                )
            return
        if checks:
            sentence += " Not evaluated: " + ", ".join(
                sorted(_check_subject(key).removeprefix("check ") for key in checks)
            )
        concerned = sorted(key.to_user_string() for key in (assets or run.asset_selection or ()))
        yield Observation(
            subject=f"run of {_named(run, concerned)}",
            good=False,
            at=at,
            sentence=sentence,
            days=self._days(run.run_id, next(iter(assets), None), None),
            link=f"{self.ui_url}/runs/{run.run_id}",
            run_id=run.run_id,
            facts={"job": run.job_name, "assets": concerned, "root": run.root_run_id or run.run_id},
            athletes=athletes_of(run),
        )

    def _good_runs(self, failures: Sequence[Observation]) -> Iterator[Observation]:
        result = self.instance.fetch_run_status_changes(
            dg.DagsterEventType.RUN_SUCCESS, limit=RUNS_A_TICK, cursor=self.cursor.successes, ascending=True
        )
        self.cursor.successes = result.cursor
        states: dict[str, Mapping[str, Any]] = {subject: state.facts for subject, state in self.cursor.broken.items()}
        states |= {failure.subject: failure.facts for failure in failures}
        failed = {subject: facts for subject, facts in states.items() if "root" in facts}
        for record in result.records if failed else ():
            run = self._run(record.event_log_entry.run_id)
            if run is None:
                continue
            written = {key.to_user_string() for key in run.asset_selection or ()}
            for subject, facts in failed.items():
                assets = set(facts["assets"])
                again = (run.root_run_id or run.run_id) == facts["root"]
                same_job = run.job_name == facts["job"] and (not assets or not written)
                if again or same_job or (assets and assets <= written):
                    yield Observation(
                        subject=subject,
                        good=True,
                        at=record.timestamp,
                        sentence="A later run succeeded.",
                        days=None if again else self._days(run.run_id, _key_of(min(assets, default=None)), None),
                        link=f"{self.ui_url}/runs/{run.run_id}",
                        run_id=run.run_id,
                        athletes=athletes_of(run),
                    )

    def _written_by(
        self, run: dg.DagsterRun, steps: set[str | None]
    ) -> tuple[list[dg.AssetKey], list[dg.AssetCheckKey]]:
        """The assets and checks that the given steps of the run were to give."""
        if not run.execution_plan_snapshot_id:
            return [], []
        plan = self.instance.get_execution_plan_snapshot(run.execution_plan_snapshot_id)
        outputs = [output for step in plan.steps if step.key in steps for output in step.outputs]
        properties = [output.properties for output in outputs if output.properties]
        assets = [found.asset_key for found in properties if found.asset_key]
        return sorted(assets), [found.asset_check_key for found in properties if found.asset_check_key]

    def _is_ours(self, run: dg.DagsterRun) -> bool:
        """Whether the run belongs to this code location: an instance may serve several."""
        origin = run.remote_job_origin
        return origin is None or self.location is None or origin.location_name == self.location

    # ------------------------------------------------------------------------------------------------- tables

    def _freshness(self) -> Iterator[Observation]:
        keys = [node.key for node in self.graph.asset_nodes if node.freshness_policy_or_from_metadata]
        for key, record in self.instance.get_freshness_state_records(keys).items() if keys else ():
            if record.freshness_state not in (FreshnessState.PASS, FreshnessState.WARN, FreshnessState.FAIL):
                continue
            state = record.freshness_state
            yield Observation(
                subject=f"freshness of {key.to_user_string()}",
                good=state == FreshnessState.PASS,
                at=record.updated_at.timestamp(),
                sentence="The table is fresh." if state == FreshnessState.PASS else "The table is stale.",
                severity="warning" if state == FreshnessState.WARN else "error",
                link=f"{self.ui_url}/assets/{_path(key)}",
            )

    # ------------------------------------------------------------------------------------------------ helpers

    def _run(self, run_id: str) -> dg.DagsterRun | None:
        if run_id not in self._runs:
            self._runs[run_id] = self.instance.get_run_by_id(run_id) if run_id else None
        return self._runs[run_id]

    def _athletes(self, run_id: str) -> list[str] | None:
        run = self._run(run_id)
        return athletes_of(run) if run else None

    def _is_over(self, run_id: str) -> bool:
        run = self._run(run_id)
        return run is None or run.is_finished

    def _days(self, run_id: str, asset: dg.AssetKey | None, partition: str | None) -> Days | None:
        """The days of the run's partitions; whole weeks for a weekly asset; None without partitions by day."""
        run = self._run(run_id)
        tags = run.tags if run else {}
        single = partition or tags.get(PARTITION)
        first = single or tags.get(RANGE_START)
        last = single or tags.get(RANGE_END)
        calendar = self.graph.get(asset).partitions_def if asset and self.graph.has(asset) else None
        if not first or not last or (asset and not isinstance(calendar, dg.TimeWindowPartitionsDefinition)):
            return None
        try:
            days = Days(date.fromisoformat(first), date.fromisoformat(last))
        except ValueError:
            return None
        is_weekly = isinstance(calendar, dg.WeeklyPartitionsDefinition)
        return Days(days.first, days.last + timedelta(days=6)) if is_weekly else days

    def _check_link(self, key: dg.AssetCheckKey) -> str:
        return f"{self.ui_url}/assets/{_path(key.asset_key)}?view=checks&checkDetail={quote(key.name)}"


def newest_cursor(instance: dg.DagsterInstance, event_type: Any) -> str | None:
    """The cursor behind the newest run of that outcome: what lies before the sensor's first tick is not news."""
    records = instance.fetch_run_status_changes(event_type, limit=1, ascending=False)
    return records.cursor if records.records else None


def _check_subject(key: dg.AssetCheckKey) -> str:
    return f"check {key.asset_key.to_user_string()}:{key.name}"


def _named(run: dg.DagsterRun, assets: Sequence[str]) -> str:
    return ", ".join(assets) if assets else run.job_name


def _key_of(name: str | None) -> dg.AssetKey | None:
    return dg.AssetKey.from_user_string(name) if name else None


def _path(key: dg.AssetKey) -> str:
    return "/".join(quote(part) for part in key.path)


def _run_message(record: dg.EventLogRecord) -> str:
    """What the run's failure says where no step failed: that its process is gone, that it took too long, ..."""
    event = record.event_log_entry.dagster_event
    return _first_lines(event.message) if event and event.message else "The run ended before any step failed."


def _first_lines(text: str, limit: int = 400) -> str:
    line = " ".join(text.split())
    return line if len(line) <= limit else f"{line[:limit]}…"


def _numbers(metadata: Any) -> dict[str, float | int | str | bool]:
    """The figures and short texts of a check's metadata; pictures and tables stay in the UI."""
    values = {name: getattr(value, "value", None) for name, value in metadata.items()}
    return {
        name: value
        for name, value in values.items()
        if isinstance(value, bool | int | float) or (isinstance(value, str) and len(value) <= 120)
    }
