"""`athlete-assets next`: what the sensors and schedules would run now and when, and why. Asks for nothing."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from datetime import datetime

import dagster as dg
from dagster._core.scheduler.instigation import InstigatorState, InstigatorStatus, SensorInstigatorData
from dagster._utils.schedules import schedule_execution_time_iterator

from athlete_assets import definitions
from athlete_assets.deployments.instance import prepare_dagster_home
from athlete_assets.orchestration.run_tags import PARTITION, RANGE_END, RANGE_START
from athlete_assets.orchestration.silver_sensors import SilverCursor, news
from athlete_assets.orchestration.waiting import UNFINISHED, clock, described
from athlete_assets.settings import Settings
from athlete_assets.silver.local_changes import LocalSilver
from athlete_assets.store.local import LocalStore

SHOWN_ATHLETES = 5


def tell_what_is_next(settings: Settings, say: Callable[[str], None]) -> int:
    """Says which runs go on, what silver and the tables would lead to now, and when each schedule is due; 0."""
    repository = definitions.build(settings).get_repository_def()
    with dg.DagsterInstance.from_config(str(prepare_dagster_home(settings))) as instance:
        states = {state.name: state for state in instance.all_instigator_state()}
        runs = list(instance.get_runs(dg.RunsFilter(statuses=UNFINISHED)))
        for run in runs:
            say(f"now: {described(instance, run)}")
        for line in of_silver(_cursor(states.get("silver_changes")), instance, settings):
            say(f"silver_changes: {line}")
        for line in _of_tables(_cursor(states.get("tables_follow")), instance, repository):
            say(f"tables_follow: {line}")
        for schedule in repository.schedule_defs:
            say(f"{schedule.name}: {_of_schedule(schedule, states.get(schedule.name), instance)}")
    return 0


def _cursor(state: InstigatorState | None) -> str | None:
    data = state.instigator_data if state else None
    return data.cursor if isinstance(data, SensorInstigatorData) else None


def of_silver(cursor: str | None, instance: dg.DagsterInstance, settings: Settings) -> Iterator[str]:
    """What differs in silver since the cursor of `silver_changes`, and the runs that it would ask for."""
    silver = LocalSilver(LocalStore(settings))
    if cursor is None:
        yield "has not looked yet (`athlete-assets ui` runs it); what changes after its first look is followed"
        return
    found = news(silver, SilverCursor.model_validate_json(cursor).positions, settings)
    if found is None:
        yield "silver is as it was"
        return
    athletes = sorted(athlete or "(no id)" for athlete in {*found.touched.days, *found.touched.restated})
    shown = ", ".join(athletes[:SHOWN_ATHLETES]) + (", ..." if len(athletes) > SHOWN_ATHLETES else "")
    yield f"{found.told()}" + (f" ({shown})" if athletes else "")
    requests = found.requests(instance, settings)
    yield from map(_asked, requests) if requests else ["no day of the calendar is affected"]


def _of_tables(cursor: str | None, instance: dg.DagsterInstance, repository: dg.RepositoryDefinition) -> Iterator[str]:
    if cursor is None:
        yield "has not looked yet (`athlete-assets ui` runs it); runs that end after its first look are followed"
        return
    sensor = repository.get_sensor_def("tables_follow")
    context = dg.build_sensor_context(instance, cursor=cursor, repository_def=repository)
    told = sensor.evaluate_tick(context)
    yield from map(_asked, told.run_requests or []) if told.run_requests else [told.skip_message or "nothing to follow"]
    owed = json.loads(cursor).get("owed") or {}
    for run_id, windows in owed.items():
        days = ", ".join(" to ".join(dict.fromkeys(window)) for window in windows)
        yield f"waits for a run that writes {days} well: run {run_id[:8]} did not"


def _of_schedule(schedule: dg.ScheduleDefinition, state: InstigatorState | None, instance: dg.DagsterInstance) -> str:
    if state is not None and state.status == InstigatorStatus.STOPPED:
        return "is switched off"
    times = schedule_execution_time_iterator(
        time.time(), schedule.cron_schedule, schedule.execution_timezone, ascending=True
    )
    due: datetime = next(moment for moment in times if moment.timestamp() > time.time())
    said = f"{schedule.job_name}, due {clock(due.timestamp())}"
    told = schedule.evaluate_tick(dg.build_schedule_context(instance, scheduled_execution_time=due))
    spans = [span for request in told.run_requests or [] if (span := _span(request))]
    return f"{said}: {', '.join(spans)}" if spans else said


def _asked(request: dg.RunRequest) -> str:
    names = ", ".join(key.path[-1] for key in request.asset_selection or ()) or str(request.job_name)
    return f"would run {names}" + (f" for {span}" if (span := _span(request)) else "")


def _span(request: dg.RunRequest) -> str:
    first = request.tags.get(RANGE_START) or request.partition_key or request.tags.get(PARTITION)
    last = request.tags.get(RANGE_END, first)
    return "" if not first else first if first == last else f"{first} to {last}"
