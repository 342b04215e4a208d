"""The sensor by which tables follow what they rest on, whoever wrote it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import date, timedelta
from typing import Any

import dagster as dg
from dagster._core.execution.backfill import BulkActionStatus
from pydantic import BaseModel

from athlete_assets import partitions, tables
from athlete_assets.assets.builder import asset_key
from athlete_assets.assets.models import model_key
from athlete_assets.days import Days, DaysText, merged, monday_of, windows_of, without
from athlete_assets.models.specs import MODELS
from athlete_assets.orchestration.jobs import DAILY_JOB
from athlete_assets.orchestration.run_requests import GOLD_TABLES, gold_tables, run_request
from athlete_assets.orchestration.run_tags import BACKFILL, CAUSE
from athlete_assets.orchestration.waiting import UNFINISHED, described
from athlete_assets.settings import Settings

RUNS_A_TICK = 50
SERVED_FROM = {model_key(spec) for spec in MODELS.values() if spec.in_gold}
"""The models whose outputs stand in the predictions."""

ENDED = (
    dg.DagsterEventType.RUN_SUCCESS,
    dg.DagsterEventType.RUN_FAILURE,
    dg.DagsterEventType.RUN_CANCELED,
)


class FollowCursor(BaseModel):
    """The cursor of `tables_follow`."""

    ended: dict[str, str | None] = {}
    """Event log cursor by outcome of a run."""
    owed: dict[str, list[DaysText]] = {}
    """Daily windows that a run wrote before it failed or was cancelled, by its root run: not followed until it, or
    another run, has written them well."""
    daily: list[DaysText] = []
    """Daily windows that weekly features have to follow."""
    state: date | None = None
    """The first day from which the tables that look back have to be computed anew."""
    gold: bool = False
    cause: str = ""

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
        states = [windows_of(written.get(asset_key(table), set())) for table in tables.STATE_TABLES]
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
        if asset_key(tables.PREDICTIONS) not in written and (is_of_today or SERVED_FROM & set(written)):
            self.gold = True
        self.cause = run.run_id[:8]


def follow_sensors(settings: Settings) -> list[dg.SensorDefinition]:
    """`tables_follow`: weekly, rolling and performance features follow daily ones; gold follows those and models."""
    weeks = partitions.weekly(settings)

    @dg.sensor(
        name="tables_follow",
        asset_selection=[asset_key(table) for table in (*tables.WEEKLY_TABLES, *tables.STATE_TABLES, *GOLD_TABLES)],
        minimum_interval_seconds=settings.sensor_interval_s,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Weekly, rolling and performance features follow daily ones; predictions and the summary follow "
        "today's features and a new model. Reads every run that ended; waits while daily features are being written.",
    )
    def tables_follow(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        instance, today = context.instance, settings.today
        if not context.cursor:
            start = FollowCursor(ended={event.value: _newest(instance, event) for event in ENDED})
            context.update_cursor(start.model_dump_json())
            return dg.SkipReason("first look: runs that end from here on are followed")
        state = FollowCursor.model_validate_json(context.cursor)
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
            context.update_cursor(state.model_dump_json())
            return dg.SkipReason("nothing new to follow")
        busy = _daily_features_in_work(instance)
        if busy:
            context.update_cursor(state.model_dump_json())
            return dg.SkipReason(f"waits until daily features are written: {busy}")
        requests = []
        if state.daily:
            requests += [
                run_request(tables.WEEKLY_TABLES, window, state.cause, "weekly")
                for window in weeks_that_follow(state.daily, weeks)
            ]
        if state.state:
            # gold follows when that run has ended
            window = Days(max(state.state, settings.start_date), today)
            requests.append(run_request(tables.STATE_TABLES, window, state.cause, "state"))
        elif state.gold:
            requests.append(_gold_request(instance, today, state.cause))
        context.update_cursor(FollowCursor(ended=state.ended, owed=state.owed).model_dump_json())
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
    name = run.tags.get(BACKFILL)
    backfill = instance.get_backfill(name) if name else None
    return (backfill.asset_selection or ()) if backfill else ()


def _daily_features_in_work(instance: dg.DagsterInstance) -> str | None:
    """The run or backfill that is writing daily features, or will: what rests on them waits for it."""
    key = asset_key(tables.DAILY)
    for run in instance.get_runs(dg.RunsFilter(statuses=UNFINISHED), limit=RUNS_A_TICK):
        if key in (run.asset_selection or ()) or run.job_name == DAILY_JOB:
            return described(instance, run)
    for backfill in instance.get_backfills(status=BulkActionStatus.REQUESTED, limit=RUNS_A_TICK):
        if key in (backfill.asset_selection or ()):
            return f"backfill {backfill.backfill_id}"
    return None


def _newest(instance: dg.DagsterInstance, event: Any) -> str | None:
    result = instance.fetch_run_status_changes(event, limit=1, ascending=False)
    return result.cursor if result.records else None
