"""`athlete-assets plan`: what the sensors and schedules would run now and when, and why. Asks for nothing."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from datetime import datetime

import dagster as dg
from dagster._core.scheduler.instigation import InstigatorState, InstigatorStatus, SensorInstigatorData
from dagster._utils.schedules import schedule_execution_time_iterator

from athlete_assets import definitions
from athlete_assets.deployments.instance import prepare_dagster_home
from athlete_assets.orchestration.run_tags import ATHLETES, PARTITION, RANGE_END, RANGE_START
from athlete_assets.orchestration.silver_sensors import SilverCursor, news
from athlete_assets.orchestration.waiting import UNFINISHED, clock, described
from athlete_assets.settings import Settings
from athlete_assets.silver.local_changes import LocalSilver
from athlete_assets.store.local import LocalStore
from athlete_assets.terminal import say, say_json

SHOWN_ATHLETES = 5
NOT_LOOKED = "has not looked yet (`athlete-assets ui` runs it); "


@dataclass(frozen=True)
class Run:
    """A run that would be asked for: of a job's assets, from the first to the last day or week, where it has any."""

    job: str | None
    assets: tuple[str, ...]
    first: str | None
    last: str | None
    athletes: int | None = None
    """How many athletes it is about; None for all."""

    def __str__(self) -> str:
        whose = "" if self.athletes is None else f" of {self.athletes} athlete{'s' if self.athletes > 1 else ''}"
        return f"would run {', '.join(self.assets) or self.job}{whose}" + (f" for {self.span}" if self.span else "")

    @property
    def span(self) -> str:
        return "" if not self.first else self.first if self.first == self.last else f"{self.first} to {self.last}"


@dataclass(frozen=True)
class Upcoming:
    """What one sensor or schedule, or a run that goes on (`now`), has to say."""

    name: str
    why: list[str] = field(default_factory=list)
    runs: list[Run] = field(default_factory=list)
    due: datetime | None = None

    def lines(self) -> Iterator[str]:
        """Such as `silver_changes: would run athlete_daily_features for 2024-05-15`."""
        if self.due:
            spans = ", ".join(run.span for run in self.runs if run.span)
            yield f"{self.name}: {', '.join(self.why)}, due {clock(self.due.timestamp())}" + (spans and f": {spans}")
            return
        for line in [*self.why, *map(str, self.runs)]:
            yield f"{self.name}: {line}"


def tell_what_is_next(settings: Settings, as_json: bool = False) -> int:
    """Says which runs go on, what silver and the tables would lead to now, and when each schedule is due; 0."""
    if as_json:
        say_json([asdict(one) for one in upcoming(settings)])
        return 0
    for one in upcoming(settings):
        for line in one.lines():
            say(line)
    return 0


def upcoming(settings: Settings) -> Iterator[Upcoming]:
    """The runs that go on, then each sensor that asks for runs, then each schedule."""
    repository = definitions.build(settings).get_repository_def()
    with dg.DagsterInstance.from_config(str(prepare_dagster_home(settings))) as instance:
        states = {state.name: state for state in instance.all_instigator_state()}
        for run in instance.get_runs(dg.RunsFilter(statuses=UNFINISHED)):
            yield Upcoming("now", [described(instance, run)])
        yield of_silver(_cursor(states.get("silver_changes")), instance, settings)
        yield _of_tables(_cursor(states.get("tables_follow")), instance, repository)
        for schedule in repository.schedule_defs:
            yield _of_schedule(schedule, states.get(schedule.name), instance)


def _cursor(state: InstigatorState | None) -> str | None:
    data = state.instigator_data if state else None
    return data.cursor if isinstance(data, SensorInstigatorData) else None


def of_silver(cursor: str | None, instance: dg.DagsterInstance, settings: Settings) -> Upcoming:
    """What differs in silver since the cursor of `silver_changes`, and the runs that it would ask for."""
    name = "silver_changes"
    if cursor is None:
        return Upcoming(name, [f"{NOT_LOOKED}what changes after its first look is followed"])
    found = news(LocalSilver(LocalStore(settings)), SilverCursor.model_validate_json(cursor).positions, settings)
    if found is None:
        return Upcoming(name, ["silver is as it was"])
    athletes = sorted(athlete or "(no id)" for athlete in {*found.touched.days, *found.touched.restated})
    shown = ", ".join(athletes[:SHOWN_ATHLETES]) + (", ..." if len(athletes) > SHOWN_ATHLETES else "")
    why = f"{found.told()}" + (f" ({shown})" if athletes else "")
    runs = _asked(found.requests(instance, settings))
    return Upcoming(name, [why] if runs else [why, "no day of the calendar is affected"], runs)


def _of_tables(cursor: str | None, instance: dg.DagsterInstance, repository: dg.RepositoryDefinition) -> Upcoming:
    name = "tables_follow"
    if cursor is None:
        return Upcoming(name, [f"{NOT_LOOKED}runs that end after its first look are followed"])
    context = dg.build_sensor_context(instance, cursor=cursor, repository_def=repository)
    told = repository.get_sensor_def(name).evaluate_tick(context)
    runs = _asked(told.run_requests or [])
    why = [] if runs else [told.skip_message or "nothing to follow"]
    owed = json.loads(cursor).get("owed") or {}
    for run_id, windows in owed.items():
        days = ", ".join(" to ".join(dict.fromkeys(window)) for window in windows)
        why.append(f"waits for a run that writes {days} well: run {run_id[:8]} did not")
    return Upcoming(name, why, runs)


def _of_schedule(
    schedule: dg.ScheduleDefinition, state: InstigatorState | None, instance: dg.DagsterInstance
) -> Upcoming:
    if state is not None and state.status == InstigatorStatus.STOPPED:
        return Upcoming(schedule.name, ["is switched off"])
    times = schedule_execution_time_iterator(
        time.time(), schedule.cron_schedule, schedule.execution_timezone, ascending=True
    )
    due: datetime = next(moment for moment in times if moment.timestamp() > time.time())
    told = schedule.evaluate_tick(dg.build_schedule_context(instance, scheduled_execution_time=due))
    return Upcoming(schedule.name, [schedule.job_name], _asked(told.run_requests or []), due)


def _asked(requests: Iterable[dg.RunRequest]) -> list[Run]:
    return [
        Run(
            request.job_name,
            tuple(key.path[-1] for key in request.asset_selection or ()),
            *_days(request),
            _athletes(request),
        )
        for request in requests
    ]


def _athletes(request: dg.RunRequest) -> int | None:
    told = request.tags.get(ATHLETES)
    return None if told is None else len(json.loads(told))


def _days(request: dg.RunRequest) -> tuple[str | None, str | None]:
    first = request.tags.get(RANGE_START) or request.partition_key or request.tags.get(PARTITION)
    return first, request.tags.get(RANGE_END, first)
