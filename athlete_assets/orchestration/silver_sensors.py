"""Sensors on new silver data: one looks at the tables themselves, one at what other pipelines report to Dagster."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

import dagster as dg
from dagster._core.definitions.data_version import DATA_VERSION_TAG
from dagster._core.events import (
    DagsterEvent,
    DagsterEventBatchMetadata,
    DagsterEventType,
    StepMaterializationData,
    generate_event_batch_id,
)
from pydantic import BaseModel, model_validator

from athlete_assets import tables
from athlete_assets.assets.builder import asset_key
from athlete_assets.assets.silver_content import GROWING, NEWEST_INGESTION, evaluation
from athlete_assets.days import Days, merged
from athlete_assets.errors import AthleteAssetsError
from athlete_assets.orchestration.affected_days import affected_days
from athlete_assets.orchestration.run_requests import GOLD_TABLES, plan_request, requests
from athlete_assets.settings import Settings
from athlete_assets.silver.changes import WATCHED, Position, Positions, Report, Silver, Touched, bounded
from athlete_assets.store.warehouse import WarehouseStarting
from athlete_assets.words import counted, verb

REPORTED_BY = "reported_by"
EVENTS_A_TICK = 5000


class SilverCursor(BaseModel, frozen=True):
    """The cursor of `silver_changes`."""

    positions: dict[str, Position]
    """How far each table was read."""
    looked: float | None = None
    """When the tables were last looked at, in seconds since the epoch; None where any tick may look."""

    @model_validator(mode="before")
    @classmethod
    def _from_flat(cls, given: Any) -> Any:
        """The first release wrote the positions and `looked` side by side."""
        if isinstance(given, dict) and "positions" not in given:
            tables_only = {name: value for name, value in given.items() if name != "looked"}
            return {"positions": tables_only, "looked": given.get("looked")}
        return given


def silver_sensors(settings: Settings) -> list[dg.SensorDefinition]:
    """`silver_changes` looks at the tables and runs from the start; `silver_reports` is there to be switched on."""
    return [_silver_changes(settings), _silver_reports(settings)]


def _silver_changes(settings: Settings) -> dg.SensorDefinition:
    @dg.sensor(
        name="silver_changes",
        asset_selection=_selection(),
        minimum_interval_seconds=settings.sensor_interval_s,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Notices new, changed, late and deleted rows in silver and requests the partitions that follow.",
    )
    def silver_changes(
        context: dg.SensorEvaluationContext, silver: dg.ResourceParam[Silver]
    ) -> dg.SensorResult | dg.SkipReason:
        before = SilverCursor.model_validate_json(context.cursor) if context.cursor else None
        reason = silver.wait(before.looked if before else None)
        if reason:
            return dg.SkipReason(reason)
        try:
            with silver.look():
                return _look(context, silver, before, settings)
        except WarehouseStarting as starting:
            return dg.SkipReason(f"{starting}; the next tick looks again")

    return silver_changes


@dataclass(frozen=True)
class News:
    """What silver holds that was not read before: up to which versions, which days differ, and what follows."""

    now: Positions
    upto: dict[str, Position]
    touched: Touched
    affected: dict[str | None, list[Days]]

    @property
    def windows(self) -> list[Days]:
        """The affected days of whomever."""
        return merged(window for days in self.affected.values() for window in days)

    @property
    def cause(self) -> str:
        return f"silver {_versions(self.upto)}"

    def requests(self, instance: dg.DagsterInstance, settings: Settings) -> list[dg.RunRequest]:
        """The runs that follow; none where no row of the calendar differs."""
        if self.touched.planned and not self.windows:
            return [plan_request(self.cause, self.touched.planned, instance)]
        return requests(self.affected, self.cause, instance, settings)

    def told(self) -> str:
        if not (self.windows or self.touched.planned):
            return f"new versions, but no row differs ({_versions(self.upto)})"
        return _told(self.touched) + (f"; affected: {', '.join(map(str, self.windows))}" if self.windows else "")


def news(silver: Silver, before: Positions, settings: Settings) -> News | None:
    """What changed since the positions; None where nothing did. Changes nothing itself."""
    now = silver.positions()
    if now.keys() == before.keys() and all(at.same_version(before[name]) for name, at in now.items()):
        return None
    upto = bounded(before, now)
    touched = silver.touched(before, upto)
    return News(now, upto, touched, affected_days(touched, silver.known_days, settings))


def _look(
    context: dg.SensorEvaluationContext, silver: Silver, cursor: SilverCursor | None, settings: Settings
) -> dg.SensorResult | dg.SkipReason:
    """One look at the tables. Where a read fails it raises: the cursor stays, and the tick says why."""
    looked = silver.clock()
    if cursor is None:
        # What is there already was, or will be, materialised by hand: only what changes from here on is news.
        _remember(context, _with_ingestion(silver, silver.positions()), looked)
        return dg.SkipReason("first look: changes from here on are followed")
    before = cursor.positions
    found = news(silver, before, settings)
    if found is None:
        if looked is not None:
            _remember(context, before, looked)
        return dg.SkipReason("silver is as it was")
    moved = {name: at for name, at in found.upto.items() if not at.same_version(before.get(name))}
    newest = _with_ingestion(silver, moved)
    for note in found.touched.notes:
        context.log.warning(note)
    report(context.instance, found.touched.reports, found.upto)
    for table in GROWING:
        if table.name in newest:
            context.instance.report_runless_asset_event(evaluation(table, newest[table.name].ingested, settings))
    # what is left beyond the bound is looked at in the next tick
    _remember(context, {**before, **newest}, looked if found.upto == found.now else None)
    asked = found.requests(context.instance, settings)
    if not asked:
        return dg.SkipReason(found.told())
    context.log.info(found.told())
    return dg.SensorResult(run_requests=asked)


def _remember(context: dg.SensorEvaluationContext, positions: dict[str, Position], looked: float | None) -> None:
    context.update_cursor(SilverCursor(positions=positions, looked=looked).model_dump_json())


def _silver_reports(settings: Settings) -> dg.SensorDefinition:
    @dg.sensor(
        name="silver_reports",
        asset_selection=_selection(),
        minimum_interval_seconds=settings.sensor_interval_s,
        default_status=dg.DefaultSensorStatus.STOPPED,
        description="Requests the partitions that follow from silver materialisations which a pipeline reports to "
        "Dagster. Switch it on where `silver_changes` cannot see the tables.",
    )
    def silver_reports(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        """Reads every materialisation since the cursor; Dagster's @asset_sensor would see the newest alone."""
        watched = (tables.STRAVA_ACTIVITIES, *tables.OF_ACTIVITIES)
        instance = context.instance
        if not context.cursor:
            newest = [instance.fetch_materializations(asset_key(table), limit=1).records for table in watched]
            context.update_cursor(str(max((records[0].storage_id for records in newest if records), default=0)))
            return dg.SkipReason("first look: materialisations from here on are followed")
        days: set[date] = set()
        last = int(context.cursor)
        ends = []
        for table in watched:
            records = instance.fetch_materializations(
                dg.AssetRecordsFilter(asset_key(table), after_storage_id=last), limit=EVENTS_A_TICK, ascending=True
            ).records
            # A table with more than one tick's worth holds the cursor back: the rest comes with the next tick.
            ends.append(records[-1].storage_id if len(records) == EVENTS_A_TICK else None)
            for record in records:
                materialisation = record.asset_materialization
                if materialisation is None or REPORTED_BY in materialisation.metadata:
                    continue
                days |= _days_of(materialisation.partition, settings)
            last = max([last, *(record.storage_id for record in records)])
        end = min((end for end in ends if end is not None), default=last)
        context.update_cursor(str(end))
        if not days:
            return dg.SkipReason("nothing was reported")
        # A report names days, not athletes, so any athlete's calendar may begin there: all days from there on follow.
        window = Days(min(days), settings.today)
        return dg.SensorResult(run_requests=requests({None: [window]}, f"reported {end}", instance, settings))

    return silver_reports


def report(instance: dg.DagsterInstance, reports: Sequence[Report], upto: dict[str, Position]) -> None:
    """Reports the touched silver partitions as materialisations, in one batch: a backload may touch thousands."""
    batch = generate_event_batch_id()
    for number, change in enumerate(reports, start=1):
        metadata: dict[str, object] = {
            "delta_version": upto[change.table.name].version,
            "rows_new": change.rows_new,
            "rows_gone": change.rows_gone,
            REPORTED_BY: "silver_changes",
        }
        if change.newest_ingestion:
            metadata[NEWEST_INGESTION] = dg.MetadataValue.timestamp(change.newest_ingestion)
        materialisation = dg.AssetMaterialization(
            asset_key(change.table),
            partition=str(change.day),
            metadata=metadata,  # type: ignore[arg-type]
            tags={DATA_VERSION_TAG: str(upto[change.table.name].version)},
        )
        # As DagsterInstance.report_runless_asset_event does, which takes one event and commits it alone.
        event = DagsterEvent(
            event_type_value=DagsterEventType.ASSET_MATERIALIZATION.value,
            event_specific_data=StepMaterializationData(materialisation),
            job_name="",
        )
        instance.report_dagster_event(
            event, run_id="", batch_metadata=DagsterEventBatchMetadata(batch, number == len(reports))
        )


def _selection() -> list[dg.AssetKey]:
    return [asset_key(table) for table in (*tables.DAILY_TABLES, *tables.STATE_TABLES, *GOLD_TABLES)]


def _with_ingestion(silver: Silver, positions: Positions) -> dict[str, Position]:
    return {
        table.name: replace(positions[table.name], ingested=silver.newest_ingestion(table))
        for table in WATCHED
        if table.name in positions
    }


def _versions(positions: dict[str, Position]) -> str:
    ordered = [positions[table.name] for table in WATCHED if table.name in positions]
    return ".".join(f"{at.id[:4]}{at.version}" for at in ordered)


def _told(touched: Touched) -> str:
    days = {day for days in touched.days.values() for day in days}
    differ = verb(len(days), "differs", "differ")
    told = [f"{counted(len(days), 'day')} of {counted(len(touched.days), 'athlete')} {differ}"] if days else []
    if touched.restated:
        told.append(f"{counted(len(touched.restated), 'athlete')} changed what they state")
    if touched.planned:
        told.append(f"{counted(len(touched.planned), 'athlete')} changed their plan")
    if touched.outside:
        told.append(f"{counted(touched.outside, 'row')} outside the calendar")
    return ", ".join(told)


def _days_of(partition: str | None, settings: Settings) -> set[date]:
    """The reported day; a report without a partition says that any day may differ."""
    if partition is None:
        return {settings.start_date}
    try:
        day = date.fromisoformat(partition)
    except ValueError:
        raise AthleteAssetsError(f"silver was reported with partition {partition!r}; a day is yyyy-MM-dd") from None
    return {day} if settings.start_date <= day <= settings.today else set()
