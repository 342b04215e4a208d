"""What runs without anybody watching: jobs, schedules, and the sensor by which tables follow what they rest on."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

import dagster as dg
from dagster._core.execution.backfill import BulkActionStatus

from athlete_assets import partitions, tables
from athlete_assets.days import ONE_DAY, Days, monday_of
from athlete_assets.models.assets import OVERTRAINING_DETECTOR, TIME_ESTIMATOR
from athlete_assets.monitoring.alerts import without
from athlete_assets.monitoring.freshness import FRESHNESS_JOB, deadline_cron, freshness_checks, training_cron
from athlete_assets.settings import Settings
from athlete_assets.silver.changes import merged
from athlete_assets.silver.content import content_checks
from athlete_assets.silver.sensor import (
    CAUSE,
    DAILY_TABLES,
    GOLD_TABLES,
    RANGE_END,
    RANGE_START,
    STATE_TABLES,
    gold_tables,
    run_request,
)
from athlete_assets.table_assets import asset_key

DAILY_JOB = "daily_features"
GOLD_JOB = "predictions"
TRAINING_JOB = "training"
RUNS_A_TICK = 50

ENDED = (
    dg.DagsterEventType.RUN_SUCCESS,
    dg.DagsterEventType.RUN_FAILURE,
    dg.DagsterEventType.RUN_CANCELED,
)
UNFINISHED = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


def jobs(settings: Settings) -> list[Any]:
    """Features by day, training, and predictions by day; run by hand, by schedule, or by a sensor."""
    return [
        dg.define_asset_job(
            DAILY_JOB,
            selection=[asset_key(table) for table in (*DAILY_TABLES, *STATE_TABLES)],
            description="Activity, daily, rolling and performance features of a range of days.",
            tags={"athlete_assets/stage": "features"},
        ),
        dg.define_asset_job(
            TRAINING_JOB,
            selection=dg.AssetSelection.groups("models"),
            description="Trains, gates and registers the models.",
            tags={"athlete_assets/stage": "training"},
        ),
        dg.define_asset_job(
            GOLD_JOB,
            selection=[asset_key(table) for table in GOLD_TABLES],
            description="Predictions of a day, with the summary of where each athlete stands.",
            tags={"athlete_assets/stage": "gold"},
        ),
        dg.define_asset_job(
            FRESHNESS_JOB,
            selection=dg.AssetSelection.checks(freshness_checks(settings), content_checks(settings)),
            description="Whether yesterday's partition of each table is there, and whether silver still grows.",
            tags={"athlete_assets/stage": "freshness"},
        ),
    ]


def schedules(settings: Settings) -> list[dg.ScheduleDefinition]:
    """Features every day at ATHLETE_SCHEDULE_AT, training on Mondays an hour later, both in ATHLETE_TIME_ZONE."""
    hour, minute = (int(part) for part in settings.schedule_at.split(":"))

    @dg.schedule(
        name="every_day",
        cron_schedule=f"{minute} {hour} * * *",
        execution_timezone=settings.time_zone,
        job_name=DAILY_JOB,
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Yesterday and today, and all days from the first that rolling features lack: rest days are rows, "
        "too, though silver never tells of them, and a machine may have been off.",
    )
    def every_day(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
        today = settings.as_of or context.scheduled_execution_time.astimezone(settings.zone).date()
        window = Days(min(_first_missing(context.instance, today), today - ONE_DAY), today)
        window = Days(max(window.first, settings.start_date), window.last)
        return dg.RunRequest(
            run_key=str(today),
            tags={RANGE_START: str(window.first), RANGE_END: str(window.last), CAUSE: "every_day"},
        )

    every_week = dg.ScheduleDefinition(
        name="every_week",
        job_name=TRAINING_JOB,
        cron_schedule=training_cron(settings),
        execution_timezone=settings.time_zone,
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Trains the models anew; a candidate serves only if it is better.",
    )
    at_the_deadline = dg.ScheduleDefinition(
        name="at_the_deadline",
        job_name=FRESHNESS_JOB,
        cron_schedule=deadline_cron(settings, minutes_later=5),
        execution_timezone=settings.time_zone,
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Looks whether the daily schedule's partitions are there, and whether silver still grows.",
    )
    return [every_day, every_week, at_the_deadline]


def _first_missing(instance: dg.DagsterInstance, today: date) -> date:
    """The first day without rolling features after the first that has them: weighted averages must skip no day."""
    there = instance.get_materialized_partitions(asset_key(tables.ROLLING))
    if not there:
        return today
    return next((day for day in Days(date.fromisoformat(min(there)), today) if str(day) not in there), today)


# ------------------------------------------------------------------------------------------------- what follows


@dataclass
class Following:
    """The cursor of `tables_follow`."""

    ended: dict[str, str | None] = field(default_factory=dict)
    """Event log cursor by outcome of a run."""
    owed: dict[str, list[Days]] = field(default_factory=dict)
    """Daily windows that a run wrote before it failed or was cancelled, by its root run: not followed until it, or
    another run, has written them well."""
    daily: list[Days] = field(default_factory=list)
    """Daily windows that weekly features have to follow."""
    state: date | None = None
    """The first day from which the tables that look back have to be computed anew."""
    gold: bool = False
    cause: str = ""

    def to_json(self) -> str:
        return json.dumps(
            {
                "ended": self.ended,
                "owed": {root: _texts(windows) for root, windows in self.owed.items()},
                "daily": _texts(self.daily),
                "state": str(self.state) if self.state else None,
                "gold": self.gold,
                "cause": self.cause,
            }
        )

    @classmethod
    def of_json(cls, text: str) -> Following:
        given = json.loads(text)
        return cls(
            given["ended"],
            {root: _windows(texts) for root, texts in given["owed"].items()},
            _windows(given["daily"]),
            date.fromisoformat(given["state"]) if given["state"] else None,
            given["gold"],
            given["cause"],
        )

    def note(
        self,
        run: dg.DagsterRun,
        written: Mapping[dg.AssetKey, set[date]],
        good: bool,
        today: date,
        backfilled: Collection[dg.AssetKey] = (),
    ) -> None:
        """Adds what follows from an ended run that wrote the given days of each table.

        backfilled: the assets of the backfill that the run belongs to; its weekly features are its own business.
        """
        daily = windows_of(written.get(asset_key(tables.DAILY), set()))
        states = [windows_of(written.get(asset_key(table), set())) for table in STATE_TABLES]
        root = run.root_run_id or run.run_id
        if not good:
            if daily:
                self.owed[root] = merged([*self.owed.get(root, []), *daily])
            return
        daily = merged([*daily, *self.owed.pop(root, [])])
        for other, windows in list(self.owed.items()):
            left = without(windows, daily)
            self.owed[other] = left
            if not left:
                del self.owed[other]
        if daily:
            if asset_key(tables.WEEKLY) not in backfilled:
                self.daily = merged([*self.daily, *daily])
            for known in states:
                for window in without([Days(daily[0].first, today)], known)[:1]:
                    self.state = min(window.first, self.state or window.first)
        if self.state and not any(without([Days(self.state, today)], known) for known in states):
            self.state = None
        is_of_today = any(window.last == today for known in states for window in known)
        if asset_key(tables.PREDICTIONS) not in written and (
            is_of_today or {TIME_ESTIMATOR, OVERTRAINING_DETECTOR} & set(written)
        ):
            self.gold = True
        self.cause = run.run_id[:8]


def follow_sensors(settings: Settings) -> list[dg.SensorDefinition]:
    """`tables_follow`: weekly, rolling and performance features follow daily ones; gold follows those and models."""
    weeks = partitions.weekly(settings)

    @dg.sensor(
        name="tables_follow",
        asset_selection=[asset_key(table) for table in (tables.WEEKLY, *STATE_TABLES, *GOLD_TABLES)],
        minimum_interval_seconds=settings.sensor_interval_s,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Weekly, rolling and performance features follow daily ones; predictions and the summary follow "
        "today's features and a new model. Reads every run that ended; waits while daily features are being written.",
    )
    def tables_follow(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        instance, today = context.instance, settings.today
        if not context.cursor:
            start = Following(ended={event.value: _newest(instance, event) for event in ENDED})
            context.update_cursor(start.to_json())
            return dg.SkipReason("first look: runs that end from here on are followed")
        state = Following.of_json(context.cursor)
        for event in ENDED:
            result = instance.fetch_run_status_changes(
                event, limit=RUNS_A_TICK, cursor=state.ended.get(event.value), ascending=True
            )
            state.ended[event.value] = result.cursor
            for record in result.records:
                run = instance.get_run_by_id(record.event_log_entry.run_id)
                if run is not None:
                    good = event == dg.DagsterEventType.RUN_SUCCESS
                    state.note(run, _written(instance, run), good, today, _backfilled(instance, run))
        if not (state.daily or state.state or state.gold):
            context.update_cursor(state.to_json())
            return dg.SkipReason("nothing new to follow")
        busy = _daily_features_in_work(instance)
        if busy:
            context.update_cursor(state.to_json())
            return dg.SkipReason(f"waits for {busy}, which still writes daily features")
        requests = []
        if state.daily:
            requests += [
                run_request([tables.WEEKLY], window, state.cause, "weekly")
                for window in weeks_that_follow(state.daily, weeks)
            ]
        if state.state:
            # gold follows when that run has ended
            window = Days(max(state.state, settings.start_date), today)
            requests.append(run_request(STATE_TABLES, window, state.cause, "state"))
        elif state.gold:
            requests.append(_gold_request(instance, today, state.cause))
        context.update_cursor(Following(ended=state.ended, owed=state.owed).to_json())
        return dg.SensorResult(run_requests=requests)

    return [tables_follow]


def weeks_that_follow(daily: list[Days], calendar: dg.TimeWindowPartitionsDefinition) -> list[Days]:
    """Ranges of Mondays: the weeks of the days, and the week after each, which states its change against them."""
    last = date.fromisoformat(str(calendar.get_last_partition_key()))
    weeks = [Days(window.weeks.first, window.weeks.last + timedelta(days=7)) for window in daily]
    return [Days(window.first, min(monday_of(window.last), last)) for window in merged(weeks) if window.first <= last]


def _gold_request(instance: dg.DagsterInstance, today: date, cause: str) -> dg.RunRequest:
    selected = gold_tables(instance)
    if tables.PREDICTIONS in selected:
        return run_request(selected, Days(today, today), cause, "gold")
    return dg.RunRequest(
        run_key=f"gold after {cause}", asset_selection=[asset_key(table) for table in selected], tags={CAUSE: cause}
    )


def _written(instance: dg.DagsterInstance, run: dg.DagsterRun) -> dict[dg.AssetKey, set[date]]:
    """The days of each table that the run reported as materialised; an empty set for a table without days."""
    events = instance.event_log_storage.get_asset_partitions_for_run(
        run.run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION
    )
    return {key: {date.fromisoformat(day) for day in days if day} for key, days in events.items()}


def _backfilled(instance: dg.DagsterInstance, run: dg.DagsterRun) -> Collection[dg.AssetKey]:
    """The assets of the backfill that the run belongs to."""
    name = run.tags.get("dagster/backfill")
    backfill = instance.get_backfill(name) if name else None
    return (backfill.asset_selection or ()) if backfill else ()


def _daily_features_in_work(instance: dg.DagsterInstance) -> str | None:
    """The run or backfill that is writing daily features, or will: what rests on them waits for it."""
    key = asset_key(tables.DAILY)
    for run in instance.get_runs(dg.RunsFilter(statuses=UNFINISHED), limit=RUNS_A_TICK):
        if key in (run.asset_selection or ()) or run.job_name == DAILY_JOB:
            return f"run {run.run_id[:8]}"
    for backfill in instance.get_backfills(status=BulkActionStatus.REQUESTED, limit=RUNS_A_TICK):
        if key in (backfill.asset_selection or ()):
            return f"backfill {backfill.backfill_id}"
    return None


def windows_of(days: set[date]) -> list[Days]:
    """The days as windows."""
    return merged(Days(day, day) for day in days)


def _newest(instance: dg.DagsterInstance, event: Any) -> str | None:
    result = instance.fetch_run_status_changes(event, limit=1, ascending=False)
    return result.cursor if result.records else None


def _texts(windows: list[Days]) -> list[list[str]]:
    return [[str(window.first), str(window.last)] for window in windows]


def _windows(texts: list[list[str]]) -> list[Days]:
    return [Days(date.fromisoformat(first), date.fromisoformat(last)) for first, last in texts]
