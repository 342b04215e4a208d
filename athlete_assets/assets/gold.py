"""The gold tables as assets: predictions of each day, and the summary of the newest."""

from collections.abc import Iterator
from datetime import datetime, timezone

import dagster as dg

from athlete_assets import partitions, tables
from athlete_assets.assets.builder import (
    CONTRACT_CHECKS,
    FEATURE_STORE,
    asset_key,
    check_specs,
    is_materializing,
    materialized_window,
    store_of,
    table_asset,
    table_spec,
    work_chunks,
)
from athlete_assets.assets.models import OVERTRAINING_DETECTOR, TIME_ESTIMATOR
from athlete_assets.gold import scoring
from athlete_assets.gold.metrics_summary import metrics_summary
from athlete_assets.gold.predictions import log_entries, predictions
from athlete_assets.models import registry
from athlete_assets.models.training import DETECTOR_OUTPUTS, TIME_OUTPUTS
from athlete_assets.monitoring import charts, checks, consistency
from athlete_assets.monitoring.drift import drift_outcome
from athlete_assets.partitions import days_of
from athlete_assets.settings import Settings
from athlete_assets.silver.rights import refuse_api_data
from athlete_assets.store.feature_store import FeatureStore

SCORED_FROM = [asset_key(tables.ROLLING), asset_key(tables.PERFORMANCE), TIME_ESTIMATOR, OVERTRAINING_DETECTOR]
SUMMARISED = (tables.ACTIVITY, tables.DAILY, tables.ROLLING)


def gold_assets(settings: Settings) -> list[dg.AssetsDefinition]:
    """athlete_predictions by day, athlete_metrics_summary as a whole."""

    @table_asset(
        [
            table_spec(tables.PREDICTIONS, settings, deps=SCORED_FROM),
            table_spec(tables.INFERENCE_LOG, settings, deps=SCORED_FROM),
        ],
        checks=[
            *check_specs(tables.PREDICTIONS, (*CONTRACT_CHECKS, "times_ordered", "one_row_an_athlete")),
            *check_specs(tables.PREDICTIONS, ("drift",), blocking=False),
            *check_specs(tables.INFERENCE_LOG, CONTRACT_CHECKS, blocking=False),
        ],
        partitions_def=partitions.daily(settings),
        resources={FEATURE_STORE},
    )
    def athlete_predictions(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult]:
        store = store_of(context)
        refuse_api_data(store.read(tables.ACTIVITY), "scoring", settings)
        champion = registry.serving("time_estimator", settings)
        if champion is None:
            raise dg.Failure(
                f"no {registry.CHAMPION} of {registry.model_name('time_estimator', settings)} is registered; "
                "materialise models/time_estimator first",
                allow_retries=False,
            )
        detector = registry.serving("overtraining_detector", settings)
        features: FeatureStore = context.resources.feature_store
        drifted: list[checks.CheckOutcome] = []
        window = days_of(context)
        for chunk in work_chunks(context, store, window):
            asked = scoring.evenings(store.read(tables.ROLLING, chunk))
            times = scoring.scored(features, champion, asked, TIME_OUTPUTS)
            disruptions = scoring.scored(features, detector, asked, DETECTOR_OUTPUTS) if detector else None
            rows = predictions(times, champion, disruptions)
            log = log_entries(rows, times.features, champion, datetime.now(timezone.utc), context.run.run_id)
            store.replace(tables.PREDICTIONS, store.frame(tables.PREDICTIONS, rows), chunk)
            store.append(tables.INFERENCE_LOG, store.frame(tables.INFERENCE_LOG, log))
            drifted.append(drift_outcome(times.features, champion, settings))
        stored = store.read(tables.PREDICTIONS, window)
        athletes = store.read(tables.ROLLING, window).withColumnRenamed("as_of_date", "activity_date")
        complete = consistency.one_row_a_day("one_row_an_athlete", athletes, stored, tables.PREDICTIONS)
        outcomes = [checks.times_ordered(stored), complete, *drifted[-1:]]
        if settings.today in window:
            fan = charts.prediction_fan(stored, window.last)
            charts.attach(context, tables.PREDICTIONS, window, {"prediction_fan": fan})
        yield materialized_window(store, tables.PREDICTIONS, window, outcomes, model_version=champion.version)
        yield materialized_window(store, tables.INFERENCE_LOG, window)

    @table_asset(
        [
            table_spec(
                tables.METRICS_SUMMARY,
                settings,
                deps=[asset_key(table) for table in SUMMARISED],
            )
        ],
        checks=check_specs(tables.METRICS_SUMMARY, CONTRACT_CHECKS),
    )
    def athlete_metrics_summary(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult]:
        store = store_of(context)
        if is_materializing(context):
            rows = metrics_summary(store.read(tables.ACTIVITY), store.read(tables.DAILY), store.read(tables.ROLLING))
            store.replace(tables.METRICS_SUMMARY, rows)
        yield materialized_window(store, tables.METRICS_SUMMARY)

    return [athlete_predictions, athlete_metrics_summary]
