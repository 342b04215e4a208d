"""The silver tables as external assets: other pipelines (or the importer) write them, the sensor reports them."""

from __future__ import annotations

import dagster as dg

from athlete_assets import partitions, tables
from athlete_assets.assets.builder import table_spec
from athlete_assets.settings import Settings


def silver_assets(settings: Settings) -> list[dg.AssetSpec]:
    """Activities, and what belongs to them, by local day; what the athletes say as one whole."""
    daily = partitions.daily(settings)
    return [
        table_spec(tables.STRAVA_ACTIVITIES, settings, kinds={"delta"}, partitions_def=daily),
        *[table_spec(table, settings, kinds={"delta"}, partitions_def=daily) for table in tables.OF_ACTIVITIES],
        *[table_spec(table, settings, kinds={"delta"}) for table in tables.OF_ATHLETES],
    ]
