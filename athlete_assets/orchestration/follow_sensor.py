"""The sensor by which tables follow what they rest on, whoever wrote it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
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
from athlete_assets.orchestration.run_requests import (
    GOLD_TABLES,
    first_missing,
    gold_tables,
    of_written_summaries,
    run_request,
    tag_of,
)
from athlete_assets.orchestration.run_tags import BACKFILL
from athlete_assets.orchestration.waiting import UNFINISHED, described
from athlete_assets.partitions import athletes_of
from athlete_assets.settings import Settings

RUNS_A_TICK = 50
SERVED_FROM = {model_key(spec) for spec in MODELS.values() if spec.in_gold}
"""The models whose outputs stand in the predictions."""

GROUPS = 4
"""Groups of some athletes for which runs are asked for apart; more are joined."""

ENDED = (
    dg.DagsterEventType.RUN_SUCCESS,
    dg.DagsterEventType.RUN_FAILURE,
    dg.DagsterEventType.RUN_CANCELED,
)


class Pending(BaseModel):
    """What has to follow from days that were written of some athletes, or of all."""

    athletes: list[str] | None = None
    """None for all."""
    daily: list[DaysText] = []
    """Daily windows that weekly features have to follow."""
    state: date | None = None
    """The first day from which the tables that look back have to be computed anew."""

    def add(self, daily: list[Days], states: list[list[Days]], has_own_weeks: bool, today: date) -> None:
        """Adds what follows from daily windows. states: what the same run wrote of the tables that look back."""
        if not has_own_weeks:
            self.daily = merged([*self.daily, *daily])
        for known in states:
            for window in without([Days(daily[0].first, today)], known)[:1]:
                self.state = min(window.first, self.state or window.first)

    def settle(self, states: list[list[Days]], today: date) -> None:
        """Takes off what a run wrote of the tables that look back, of these athletes at least."""
        if self.state and not any(without([Days(self.state, today)], known) for known in states):
            self.state = None


class FollowCursor(Pending):
    """The cursor of `tables_follow`: what is pending of all athletes, and of some."""

    ended: dict[str, str | None] = {}
    """Event log cursor by outcome of a run."""
    owed: dict[str, list[DaysText]] = {}
    """Daily windows that a run wrote before it failed or was cancelled, by its root run: not followed until it, or
    another run, has written them well."""
    owed_of: dict[str, list[str]] = {}
    """The athletes of such a run, by its root run, where it was about some alone."""
    late: list[Pending] = []
    """What is pending of some athletes alone."""
    gold: bool = False
    gold_of: list[str] | None = None
    """The athletes whose gold is pending; None for all."""
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
        athletes = athletes_of(run)
        if not good:
            if daily:
                self.owed[root] = merged([*self.owed.get(root, []), *daily])
                if athletes is not None:
                    self.owed_of[root] = athletes
            return
        daily = merged([*daily, *self.owed.pop(root, [])])
        self.owed_of.pop(root, None)
        for other, windows in list(self.owed.items()):
            if not _holds(athletes, self.owed_of.get(other)):
                continue
            left = without(windows, daily)
            self.owed[other] = left
            if not left:
                del self.owed[other]
                self.owed_of.pop(other, None)
        if daily:
            self._pending(athletes).add(daily, states, asset_key(tables.WEEKLY) in backfilled, today)
        for pending in (self, *self.late):
            if _holds(athletes, pending.athletes):
                pending.settle(states, today)
        self.late = [pending for pending in self.late if pending.daily or pending.state]
        is_of_today = any(window.last == today for known in states for window in known)
        if asset_key(tables.PREDICTIONS) not in written and (is_of_today or SERVED_FROM & set(written)):
            told = athletes if not SERVED_FROM & set(written) else None
            self.gold_of = _together(self.gold_of, told) if self.gold else told
            self.gold = True
        self.cause = run.run_id[:8]

    def _pending(self, athletes: list[str] | None) -> Pending:
        """What is pending of these athletes; those of all where there would be too many groups of some."""
        if athletes is None:
            return self
        for pending in self.late:
            if pending.athletes == athletes:
                return pending
        if len(self.late) == GROUPS:
            # one group of all of them, or none
            old = self.late.pop()
            together = _together(old.athletes, athletes)
            kept = self if together is None else Pending(athletes=together)
            kept.daily = merged([*kept.daily, *old.daily])
            kept.state = min(filter(None, (kept.state, old.state)), default=None)
            if kept is not self:
                self.late.append(kept)
            return kept
        self.late.append(Pending(athletes=athletes))
        return self.late[-1]


def _holds(athletes: list[str] | None, others: list[str] | None) -> bool:
    """Whether the first are all of the others; None is everybody."""
    return athletes is None or (others is not None and set(others) <= set(athletes))


def _together(athletes: list[str] | None, others: list[str] | None) -> list[str] | None:
    """Both, where they are few; else everybody."""
    both = tag_of({*athletes, *others}) if athletes is not None and others is not None else None
    return None if both is None else list(both)


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
        if not (state.daily or state.state or state.gold or state.late):
            context.update_cursor(state.model_dump_json())
            return dg.SkipReason("nothing new to follow")
        busy = _in_work(instance)
        if busy:
            context.update_cursor(state.model_dump_json())
            return dg.SkipReason(f"waits until what it rests on is written: {busy}")
        requests = [
            request
            for pending in (state, *state.late)
            for request in _weekly_requests(pending, state.cause, weeks, instance)
        ]
        left = FollowCursor(ended=state.ended, owed=state.owed, owed_of=state.owed_of)
        # One after the other: the states of some are mended before those of all are continued from them, and gold
        # follows when both have ended.
        late = [pending for pending in state.late if pending.state]
        for pending in late or [state]:
            if pending.state:
                window = Days(max(pending.state, settings.start_date), today)
                athletes = _of_written_days(pending.athletes, tables.STATE_TABLES, window, instance)
                requests.append(run_request(tables.STATE_TABLES, window, state.cause, "state", athletes))
        if late:
            left = left.model_copy(
                update={"state": state.state, "gold": state.gold, "gold_of": state.gold_of, "cause": state.cause}
            )
        elif state.gold and not state.state:
            requests.append(_gold_request(instance, today, state))
        context.update_cursor(left.model_dump_json())
        return dg.SensorResult(run_requests=requests) if requests else dg.SkipReason("nothing new to follow")

    return [tables_follow]


def weeks_that_follow(daily: list[Days], calendar: dg.TimeWindowPartitionsDefinition) -> list[Days]:
    """Ranges of Mondays: the weeks of the days, and the week after each, which states its change against them."""
    last = date.fromisoformat(str(calendar.get_last_partition_key()))
    weeks = [Days(window.weeks.first, window.weeks.last + timedelta(days=7)) for window in daily]
    return [Days(window.first, min(monday_of(window.last), last)) for window in merged(weeks) if window.first <= last]


def _weekly_requests(
    pending: Pending, cause: str, weeks: dg.TimeWindowPartitionsDefinition, instance: dg.DagsterInstance
) -> list[dg.RunRequest]:
    made = []
    for window in weeks_that_follow(pending.daily, weeks):
        mondays = windows_of({day for day in window if day == monday_of(day)})
        written = [_of_written_days(pending.athletes, tables.WEEKLY_TABLES, week, instance) for week in mondays]
        athletes = None if None in written else pending.athletes
        made.append(run_request(tables.WEEKLY_TABLES, window, cause, "weekly", athletes))
    return made


def _of_written_days(
    athletes: list[str] | None, of: Sequence[tables.Table], window: Days, instance: dg.DagsterInstance
) -> list[str] | None:
    """The athletes, where each day of the window was written of all before; else everybody."""
    return athletes if athletes is not None and first_missing(of, window, instance) is None else None


def _gold_request(instance: dg.DagsterInstance, today: date, state: FollowCursor) -> dg.RunRequest:
    selected = gold_tables(instance)
    window = Days(today, today) if tables.PREDICTIONS in selected else None
    return run_request(selected, window, state.cause, "gold", of_written_summaries(state.gold_of, instance))


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


def _in_work(instance: dg.DagsterInstance) -> str | None:
    """The run or backfill that is writing daily features, or states of some athletes, or will: what rests on them
    waits for it."""
    key = asset_key(tables.DAILY)
    states = {asset_key(table) for table in tables.STATE_TABLES}
    for run in instance.get_runs(dg.RunsFilter(statuses=UNFINISHED), limit=RUNS_A_TICK):
        selected = run.asset_selection or set()
        mends = athletes_of(run) is not None and not states.isdisjoint(selected)
        if key in selected or run.job_name == DAILY_JOB or mends:
            return described(instance, run)
    for backfill in instance.get_backfills(status=BulkActionStatus.REQUESTED, limit=RUNS_A_TICK):
        if key in (backfill.asset_selection or ()):
            return f"backfill {backfill.backfill_id}"
    return None


def _newest(instance: dg.DagsterInstance, event: Any) -> str | None:
    result = instance.fetch_run_status_changes(event, limit=1, ascending=False)
    return result.cursor if result.records else None
