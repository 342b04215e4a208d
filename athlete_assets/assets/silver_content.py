"""Whether silver still grows: a check on its content, which a freshness policy on reports cannot see.

The policy judges when a change was last reported: it knows nothing of a home where none ever was, and a deletion looks
like life to it. This check asks when the newest row came.
"""

# No `from __future__ import annotations`: Dagster reads the annotation of a check's context as it stands.

from collections.abc import Iterator
from datetime import datetime, timedelta, timezone

import dagster as dg

from athlete_assets import tables
from athlete_assets.assets.builder import SILVER, asset_key
from athlete_assets.days import ONE_DAY, midnight
from athlete_assets.settings import Settings
from athlete_assets.silver.changes import Silver
from athlete_assets.tables import Table

GROWS = "content_is_fresh"
NEWEST_INGESTION = "newest_ingestion"
"""Metadata of a silver materialisation: the newest ingestion time among the rows that it brought."""
REPORTS = 200
"""Newest reports that are looked through: a deletion's report states no ingestion time."""
GROWING = (tables.STRAVA_ACTIVITIES, tables.STRAVA_SUB_ACTIVITY)


def content_checks(settings: Settings) -> dg.AssetChecksDefinition:
    """`content_is_fresh` on the tables that grow: warns after ATHLETE_SILVER_WARN_DAYS, fails after twice that."""
    specs = [
        dg.AssetCheckSpec(
            GROWS,
            asset=asset_key(table),
            description=f"The newest row was ingested within {settings.silver_warn_days} days.",
        )
        for table in GROWING
    ]

    @dg.multi_asset_check(name=GROWS, specs=specs, can_subset=True, required_resource_keys={SILVER})
    def content_is_fresh(context: dg.AssetCheckExecutionContext) -> Iterator[dg.AssetCheckResult]:
        silver: Silver = context.resources.silver
        for table in GROWING:
            if dg.AssetCheckKey(asset_key(table), GROWS) not in context.selected_asset_check_keys:
                continue
            # no warehouse is woken for this: where a look is paid for, what was reported has to do
            newest = silver.newest_ingestion(table) if silver.looks_are_free else _reported(context.instance, table)
            found = evaluation(table, newest, settings)
            yield dg.AssetCheckResult(
                asset_key=found.asset_key,
                check_name=found.check_name,
                passed=found.passed,
                severity=found.severity,
                description=found.description,
                metadata=found.metadata,
            )

    return content_is_fresh


def evaluation(table: Table, newest: str | None, settings: Settings) -> dg.AssetCheckEvaluation:
    """The check's verdict now. newest: ingestion time of the newest row (ISO), None where there is none to judge."""
    warn = timedelta(days=settings.silver_warn_days)
    age = _now(settings) - datetime.fromisoformat(newest) if newest else timedelta(0)
    days = age / ONE_DAY
    return dg.AssetCheckEvaluation(
        asset_key=asset_key(table),
        check_name=GROWS,
        passed=age < warn,
        severity=dg.AssetCheckSeverity.ERROR if age >= 2 * warn else dg.AssetCheckSeverity.WARN,
        description=f"The newest row was ingested {days:.1f} days ago; a new one is expected within {warn.days}."
        if newest
        else "Not judged: no row says when it was ingested.",
        metadata={
            "days_since_ingestion": dg.MetadataValue.float(round(days, 3)),
            "warn_after_days": dg.MetadataValue.int(warn.days),
            NEWEST_INGESTION: dg.MetadataValue.text(newest or "unknown"),
        },
    )


def _now(settings: Settings) -> datetime:
    """The end of the last day that exists, where that lies in the past."""
    now = datetime.now(timezone.utc)
    return min(now, midnight(settings.as_of) + ONE_DAY) if settings.as_of else now


def _reported(instance: dg.DagsterInstance, table: Table) -> str | None:
    """The newest ingestion time that the newest reports state; where none does, the time of the newest."""
    records = instance.fetch_materializations(asset_key(table), limit=REPORTS).records
    stated = [
        moment.value
        for record in records
        if record.asset_materialization
        and isinstance(moment := record.asset_materialization.metadata.get(NEWEST_INGESTION), dg.TimestampMetadataValue)
    ]
    newest = max(stated, default=records[0].timestamp if records else None)
    return datetime.fromtimestamp(newest, timezone.utc).isoformat() if newest else None
