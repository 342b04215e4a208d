"""The monitoring tables that are computed: what was predicted, against what was run."""

from collections.abc import Iterator

import dagster as dg

from athlete_assets import tables
from athlete_assets.assets.builder import (
    asset_key,
    check_specs,
    is_materializing,
    materialize_result,
    store_of,
    table_asset,
    table_spec,
)
from athlete_assets.monitoring.checks import LOG_CHECKS
from athlete_assets.monitoring.outcomes import prediction_outcomes
from athlete_assets.settings import Settings


def monitoring_assets(settings: Settings) -> list[dg.AssetsDefinition]:
    """prediction_outcomes, as a whole."""
    compared = (tables.RACE_EFFORTS, tables.PREDICTIONS)

    @table_asset(
        settings,
        [table_spec(tables.PREDICTION_OUTCOMES, settings, deps=[asset_key(table) for table in compared])],
        checks=check_specs(tables.PREDICTION_OUTCOMES, LOG_CHECKS),
    )
    def outcomes(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult]:
        store = store_of(context)
        written = []
        if is_materializing(context):
            rows = prediction_outcomes(store.read(tables.RACE_EFFORTS), store.read(tables.PREDICTIONS))
            written.append(store.replace(tables.PREDICTION_OUTCOMES, rows))
        yield materialize_result(store, tables.PREDICTION_OUTCOMES, written=written)

    return [outcomes]
