"""The gold tables as assets: predictions of each day, and the summary of the newest."""

from collections.abc import Iterator
from datetime import datetime, timezone
from typing import Any

import dagster as dg
from pyspark.sql import DataFrame

from athlete_assets import partitions, tables
from athlete_assets.assets.builder import (
    FEATURE_STORE,
    asset_key,
    check_specs,
    commit_windows,
    is_materializing,
    materialize_result,
    page_link,
    store_of,
    store_of_run,
    table_asset,
    table_spec,
)
from athlete_assets.assets.models import model_key
from athlete_assets.days import Days
from athlete_assets.features.monthly import all_months
from athlete_assets.gold import interval_calibration, serving
from athlete_assets.gold.metrics_summary import metrics_summary
from athlete_assets.gold.projection import projections
from athlete_assets.models import distributions, promotion, registry
from athlete_assets.models.specs import MODELS
from athlete_assets.monitoring import anomalies, charts, checks, drift, reconciliation
from athlete_assets.partitions import days_of
from athlete_assets.settings import Settings
from athlete_assets.silver.rights import refuse_api_data
from athlete_assets.store.base import Written

SERVING = [spec for spec in MODELS.values() if spec.in_gold]
BESIDE = [spec for spec in SERVING if spec.name != "time_estimator"]
SCORED_FROM = [
    *dict.fromkeys(asset_key(table) for spec in SERVING for table in spec.features),
    *(model_key(spec) for spec in SERVING),
]
SUMMARISED = (tables.ACTIVITY, tables.DAILY, tables.ROLLING, tables.PERFORMANCE, tables.STRAVA_ATHLETE)
NEWEST_PREDICTIONS = ("predicted_5k_s", "predicted_10k_s", "p10_10k_s", "p90_10k_s", "served_by", "p_disruption_14d")
NEWEST_SUMMARY = ("fitness_ctl", "form_tsb", "distance_28d_km", "best_10k_s", "last_activity_date")


def gold_assets(settings: Settings) -> list[dg.AssetsDefinition]:
    """athlete_predictions by day; the summary, and what loads to come lead to, as a whole."""
    return [predictions_asset(settings), metrics_summary_asset(settings), projection_asset(settings)]


def predictions_asset(settings: Settings) -> dg.AssetsDefinition:
    """What the serving models say at the end of each day, and the log of it."""

    @table_asset(
        settings,
        [
            table_spec(tables.PREDICTIONS, settings, deps=SCORED_FROM, metadata=page_link(settings)),
            table_spec(tables.INFERENCE_LOG, settings, deps=SCORED_FROM),
        ],
        checks=[
            *check_specs(
                tables.PREDICTIONS,
                (
                    *checks.CONTRACT_CHECKS,
                    checks.TIMES_ORDERED,
                    reconciliation.ONE_ROW_AN_ATHLETE,
                    drift.DRIFT,
                    anomalies.ROW_COUNT_STABLE,
                ),
            ),
            *check_specs(tables.INFERENCE_LOG, checks.LOG_CHECKS),
        ],
        partitions_def=partitions.daily(settings),
        resources={FEATURE_STORE},
    )
    def athlete_predictions(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult]:
        # of all athletes, whomever the run is about: drift is said of all of them, and a day costs a day
        store = store_of(context)
        refuse_api_data(store.read(tables.ACTIVITY), "scoring", settings)
        champion = registry.serving("time_estimator", settings)
        if champion is None:
            raise dg.Failure(
                f"no {registry.CHAMPION} of {registry.model_name('time_estimator', settings)} is registered; "
                "materialise models/time_estimator first",
                allow_retries=False,
            )
        seen = distributions.of_version(champion, settings)
        models = serving.Models(
            times=champion,
            others={spec.name: registry.serving(spec.name, settings) for spec in BESIDE},
            fitted_on=promotion.fitted_on("time_estimator", champion.version, settings),
            seen=seen.columns,
            known=interval_calibration.known_outcomes(store),
        )
        window = days_of(context)

        def made(days: Days) -> dict[str, DataFrame]:
            now, run = datetime.now(timezone.utc), context.run.run_id
            return serving.made(context.resources.feature_store, store, models, days, settings.today, now, run)

        tally: distributions.Tally | None = None
        written, logged = list[Written](), list[Written]()
        for days in commit_windows(context, store, window):
            rows = made(days)
            tally = serving.tally(store, rows)
            written.append(store.replace(tables.PREDICTIONS, rows[serving.PREDICTED], days))
            logged.append(store.append(tables.INFERENCE_LOG, rows[serving.LOGGED]))
            del rows  # two windows' would be in memory otherwise
        if tally is None:  # a run of checks alone
            tally = serving.tally(store, made(Days(window.last, window.last)))
        stands = store.read(tables.PREDICTIONS, window)
        drifted, histograms = drift.drift(tally, seen, window.last, settings)
        outcomes = [
            checks.times_ordered(stands),
            reconciliation.one_row_an_athlete(store.read(tables.ROLLING, window), stands),
            drifted,
            anomalies.row_count_stable(written, settings),
        ]
        if settings.today in window:
            fan = charts.prediction_fan(stands, window.last)
            today = store.read(tables.PREDICTIONS, Days(window.last, window.last))
            newest = charts.newest(today, NEWEST_PREDICTIONS, by="p_disruption_14d")
            charts.attach(context, tables.PREDICTIONS, window, {"prediction_fan": fan, "newest": newest})
        yield materialize_result(
            store,
            tables.PREDICTIONS,
            window,
            written=written,
            outcomes=outcomes,
            model_version=champion.version,
            **histograms,
        )
        yield materialize_result(store, tables.INFERENCE_LOG, window, written=logged)

    return athlete_predictions


def metrics_summary_asset(settings: Settings) -> dg.AssetsDefinition:
    """Where each athlete stands."""

    @table_asset(
        settings,
        [
            table_spec(
                tables.METRICS_SUMMARY,
                settings,
                deps=[asset_key(table) for table in (*SUMMARISED, tables.MONTHLY)],
                metadata=page_link(settings),
            )
        ],
        checks=check_specs(tables.METRICS_SUMMARY, (*checks.CONTRACT_CHECKS, anomalies.ROW_COUNT_STABLE)),
    )
    def athlete_metrics_summary(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult]:
        store = store_of_run(context)
        written = []
        if is_materializing(context):
            activities, daily, rolling, performance, athletes = (store.read(table) for table in SUMMARISED)
            rows = metrics_summary(activities, all_months(store), daily, rolling, performance, athletes)
            written.append(store.replace(tables.METRICS_SUMMARY, rows))
        stable = anomalies.row_count_stable(written, settings)
        newest = charts.newest(store_of(context).read(tables.METRICS_SUMMARY), NEWEST_SUMMARY, by="fitness_ctl")
        shown: dict[str, Any] = {"newest": newest} if newest else {}
        yield materialize_result(store, tables.METRICS_SUMMARY, written=written, outcomes=[stable], **shown)

    return athlete_metrics_summary


def projection_asset(settings: Settings) -> dg.AssetsDefinition:
    """Where loads to come lead, and how much today still takes."""
    projected = (tables.PROJECTION, tables.LOAD_ROOM)
    read = (tables.DAILY, tables.ROLLING, tables.ATHLETE_PLAN)
    deps = [asset_key(table) for table in read]

    @table_asset(
        settings,
        [table_spec(table, settings, deps=deps) for table in projected],
        checks=[spec for table in projected for spec in check_specs(table, checks.CONTRACT_CHECKS)],
    )
    def athlete_projection(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult]:
        store = store_of_run(context)
        written: dict[tables.Table, list[Written]] = {table: [] for table in projected}
        if is_materializing(context):
            daily, rolling, plans = (store.read(table) for table in read)
            for table, rows in projections(daily, rolling, plans, settings, store.held).items():
                written[table].append(store.replace(table, rows))
        for table in projected:
            yield materialize_result(store, table, written=written[table])

    return athlete_projection
