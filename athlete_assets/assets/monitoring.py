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
from athlete_assets.assets.models import TIME_ESTIMATOR
from athlete_assets.monitoring import charts, online
from athlete_assets.monitoring.checks import LOG_CHECKS
from athlete_assets.monitoring.outcomes import prediction_outcomes
from athlete_assets.settings import Settings


def monitoring_assets(settings: Settings) -> list[dg.AssetsDefinition]:
    """prediction_outcomes, as a whole."""
    compared = (tables.RACE_EFFORTS, tables.INFERENCE_LOG, tables.ACTIVITY)

    @table_asset(
        settings,
        [table_spec(tables.PREDICTION_OUTCOMES, settings, deps=[asset_key(table) for table in compared])],
        checks=check_specs(
            tables.PREDICTION_OUTCOMES, (*LOG_CHECKS, online.INTERVALS_HOLD, online.AS_ACCURATE_AS_OFFLINE)
        ),
    )
    def outcomes(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult]:
        store = store_of(context)
        written = []
        if is_materializing(context):
            efforts, log, activities = (store.read(table) for table in compared)
            recorded = store.read(tables.PREDICTION_OUTCOMES)
            rows = prediction_outcomes(efforts, log, recorded, activities, settings.today)
            written.append(store.replace(tables.PREDICTION_OUTCOMES, rows))
        judged = online.judged(store.read(tables.PREDICTION_OUTCOMES))
        shown = charts.online_error(judged)
        if shown and is_materializing(context):
            # on the model's page, too: what its evaluation promised stands there
            context.log_event(dg.AssetObservation(TIME_ESTIMATOR, metadata=shown))
        yield materialize_result(
            store,
            tables.PREDICTION_OUTCOMES,
            written=written,
            outcomes=[
                online.intervals_hold(judged),
                online.as_accurate_as_offline(judged, *online.promised_by(settings)),
            ],
            **shown,
        )

    return [outcomes]
