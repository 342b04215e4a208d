"""What has come to a standstill: runs that go on for too long, sensors and schedules whose ticks fail or stay away.

On Dagster+ its own alerts do this; elsewhere nobody would notice.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

import dagster as dg
from dagster._core.scheduler.instigation import InstigatorState, InstigatorStatus, TickStatus
from dagster._utils.schedules import schedule_execution_time_iterator

from athlete_assets.monitoring.alerts import Incident, Observation
from athlete_assets.orchestration.waiting import UNFINISHED, clock, described
from athlete_assets.settings import Settings

GOOD = [TickStatus.SUCCESS, TickStatus.SKIPPED]
ENDED = [*GOOD, TickStatus.FAILURE]
STUCK_RUN = "stuck_run"
"""Fact of an incident: the run that is stuck."""
LATE_SECONDS = 1800
"""A sensor, or a schedule after its time, without a tick for so long has stopped; a sensor with a longer interval
after ten of them."""
FAILING_SECONDS = 300
"""A sensor's ticks may fail for so long, as they do while a code server starts: its cursor stays, and the next looks
again."""


def stuck_runs(
    instance: dg.DagsterInstance, broken: Mapping[str, Incident], settings: Settings, location: str | None
) -> Iterator[Observation]:
    """Runs that are queued or started for longer than ATHLETE_STUCK_AFTER_H, and those of them that ended."""
    now = time.time()
    seen = set()
    for record in instance.get_run_records(dg.RunsFilter(statuses=UNFINISHED)):
        run = record.dagster_run
        origin = run.remote_job_origin
        if origin is not None and location is not None and origin.location_name != location:
            continue
        began = record.start_time or record.create_timestamp.timestamp()
        subject = f"run {run.run_id[:8]} goes on"
        seen.add(subject)
        if now - began > settings.stuck_after_h * 3600:
            yield Observation(
                subject=subject,
                good=False,
                at=now,
                sentence=f"After {settings.stuck_after_h:g} h it has not ended: {described(instance, run)}.",
                severity="error",
                link=f"{settings.ui_url.rstrip('/')}/runs/{run.run_id}",
                run_id=run.run_id,
                facts={STUCK_RUN: run.run_id},
            )
    for subject, incident in broken.items():
        if STUCK_RUN in incident.facts and subject not in seen:
            yield Observation(subject, good=True, at=now, sentence="The run ended.", run_id=incident.facts[STUCK_RUN])


def silent_instigators(
    instance: dg.DagsterInstance, repository: Any, settings: Settings, location: str | None, watching_since: float
) -> Iterator[Observation]:
    """Sensors and schedules whose newest ticks failed, or that have had none for too long.

    watching_since: since when the caller has ticked without a pause; a time when the daemon was off is nobody's fault.
    """
    now = time.time()
    states = {
        state.name: state
        for state in instance.all_instigator_state()
        if location is None or state.origin.repository_origin.code_location_origin.location_name == location
    }
    for definition in (*repository.sensor_defs, *repository.schedule_defs):
        state = states.get(definition.name)
        if state is None or state.status == InstigatorStatus.STOPPED:
            continue
        kind = "sensor" if isinstance(definition, dg.SensorDefinition) else "schedule"
        ticks = instance.get_ticks(state.instigator_origin_id, state.selector_id, limit=1, statuses=ENDED)
        good = instance.get_ticks(state.instigator_origin_id, state.selector_id, limit=1, statuses=GOOD)
        newest = ticks[0].timestamp if ticks else watching_since
        good_until = max(good[0].timestamp if good else 0.0, watching_since)
        subject = f"{kind} {definition.name}"
        link = f"{settings.ui_url.rstrip('/')}/automation"
        if ticks and ticks[0].status == TickStatus.FAILURE:
            if kind == "sensor" and newest - good_until < FAILING_SECONDS:
                continue
            error = ticks[0].error
            reason = error.to_string().strip().splitlines()[0] if error else "no reason is known"
            sentence = f"Its newest tick failed: {reason[:400]}"
            yield Observation(subject, good=False, at=now, sentence=sentence, link=link)
        elif now > _expected(definition, state, max(newest, watching_since)):
            sentence = f"It has not ticked since {clock(newest)}."
            yield Observation(subject, good=False, at=now, sentence=sentence, link=link)
        elif ticks:
            yield Observation(subject, good=True, at=now, sentence="It ticks again.", link=link)


def _expected(definition: Any, state: InstigatorState, newest: float) -> float:
    """By when the next tick must have happened (seconds since 1970)."""
    if isinstance(definition, dg.SensorDefinition):
        return newest + max(LATE_SECONDS, 10 * (definition.minimum_interval_seconds or 30))
    times = schedule_execution_time_iterator(
        newest + 1, definition.cron_schedule, definition.execution_timezone, ascending=True
    )
    return _after(times, newest).timestamp() + LATE_SECONDS


def _after(times: Iterator[datetime], newest: float) -> datetime:
    return next(moment for moment in times if moment.timestamp() > newest)
