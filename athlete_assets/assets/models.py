"""The models as assets: trained, tracked and registered in MLflow, served through the `champion` alias."""

from collections.abc import Callable, Iterator
from typing import Any

import dagster as dg
import numpy as np
from pyspark.sql import functions as F

from athlete_assets import tables
from athlete_assets.assets.builder import (
    FEATURE_STORE,
    OWNERS,
    STEP_LAUNCHER,
    STORE,
    asset_key,
    check_specs,
    is_materializing,
    materialize_result,
    store_of,
    store_retries,
    table_asset,
    table_spec,
)
from athlete_assets.assets.freshness import training_policy
from athlete_assets.assets.source_code import code_references, code_version
from athlete_assets.formulas.race_times import riegel
from athlete_assets.models import baseline, labels, promotion, registry, training
from athlete_assets.models.mlflow_resource import end_mlflow_run
from athlete_assets.models.overtraining_detector import TooLittleToWarnFrom
from athlete_assets.models.time_estimator import TooLittleToLearnFrom
from athlete_assets.models.training import Trained, Training
from athlete_assets.monitoring import charts
from athlete_assets.monitoring.checks import CONTRACT_CHECKS
from athlete_assets.settings import Settings
from athlete_assets.silver.rights import refuse_api_data
from athlete_assets.store.base import Store, Written
from athlete_assets.tables import Table

TIME_ESTIMATOR = dg.AssetKey(["models", "time_estimator"])
OVERTRAINING_DETECTOR = dg.AssetKey(["models", "overtraining_detector"])
GATE = "gate"
GATE_DESCRIPTION = "The candidate beats the formulas and the present champion on the same holdout, and may serve."


def model_assets(settings: Settings) -> list[dg.AssetsDefinition]:
    """The label tables, time_estimator and overtraining_detector."""

    @table_asset(
        settings,
        [
            table_spec(tables.RACE_EFFORTS, settings, group_name="models", deps=[asset_key(tables.ACTIVITY)]),
            table_spec(tables.DISRUPTIONS, settings, group_name="models", deps=[asset_key(tables.DAILY)]),
        ],
        checks=[
            *check_specs(tables.RACE_EFFORTS, CONTRACT_CHECKS),
            *check_specs(tables.DISRUPTIONS, CONTRACT_CHECKS),
        ],
    )
    def model_labels(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult]:
        store = store_of(context)
        efforts, disruptions = list[Written](), list[Written]()
        if is_materializing(context):
            efforts.append(store.replace(tables.RACE_EFFORTS, labels.race_efforts(store.read(tables.ACTIVITY))))
            disruptions.append(store.replace(tables.DISRUPTIONS, labels.training_disruptions(store.read(tables.DAILY))))
        yield materialize_result(store, tables.RACE_EFFORTS, written=efforts)
        yield materialize_result(store, tables.DISRUPTIONS, written=disruptions)

    def model_asset(key: dg.AssetKey, description: str, label_table: Table) -> Any:
        def decorate(train: Callable[[dg.AssetExecutionContext], dg.MaterializeResult]) -> dg.AssetsDefinition:
            return dg.asset(
                key=key,
                description=description,
                deps=[asset_key(table) for table in (label_table, tables.ROLLING, tables.PERFORMANCE)],
                check_specs=[dg.AssetCheckSpec(GATE, asset=key, description=GATE_DESCRIPTION)],
                group_name="models",
                kinds={"mlflow", "python"},
                owners=OWNERS,
                freshness_policy=training_policy(settings),
                pool=key.path[-1],  # two trainings at once would move one alias
                code_version=code_version(train, settings),
                metadata={
                    "registered_model": registry.model_name(key.path[-1], settings),
                    **code_references(train, settings),
                },
                required_resource_keys={STORE, FEATURE_STORE, STEP_LAUNCHER, "mlflow"},
                hooks={end_mlflow_run},
            )(train)

        return decorate

    @model_asset(
        TIME_ESTIMATOR,
        "Race times at 5 k, 10 k, half and marathon, registered in MLflow; the champion serves.",
        tables.RACE_EFFORTS,
    )
    def time_estimator(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        with store_retries(context, settings):
            run = _training(context, settings)
            serving = promotion.champion_version("time_estimator", settings)
            if serving is None or promotion.kind_of("time_estimator", serving, settings) == promotion.FORMULA:
                # the formula, measured anew: it serves until something beats it
                _serve_formula(run)
            return _trained(run, "time_estimator", training.train_time_estimator)

    @model_asset(
        OVERTRAINING_DETECTOR,
        "Probability that a week without any activity begins within 14 days; not an injury, not a diagnosis.",
        tables.DISRUPTIONS,
    )
    def overtraining_detector(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        with store_retries(context, settings):
            return _trained(_training(context, settings), "overtraining_detector", training.train_overtraining_detector)

    return [model_labels, time_estimator, overtraining_detector]


def _training(context: dg.AssetExecutionContext, settings: Settings) -> Training:
    store = store_of(context)
    refuse_api_data(store.read(tables.ACTIVITY), "training", settings)
    return Training(store, context.resources.feature_store, settings, context.resources.mlflow, context.run.run_id)


def _trained(run: Training, model: str, train: Callable[[Training], Trained]) -> dg.MaterializeResult:
    """Trains, gates, and says what serves now. Too little data to learn from fails the gate, not the asset."""
    metadata: dict[str, Any] = {}
    try:
        trained = train(run)
    except (TooLittleToLearnFrom, TooLittleToWarnFrom) as error:
        approved = False
        reasons: tuple[str, ...] = (f"no candidate: {error}",)
    else:
        approved, reasons = trained.decision.approved, trained.decision.reasons
        metadata = {
            "candidate_version": trained.version,
            "mlflow_run_id": trained.run_id,
            "evaluation": dg.MetadataValue.md(f"```\n{trained.text}\n```"),
            **{name: charts.markdown(plot, name.replace("_", " ")) for name, plot in trained.plots.items()},
        }
    serving = promotion.champion_version(model, run.settings)
    kind = promotion.kind_of(model, serving, run.settings) if serving else "nothing"
    return dg.MaterializeResult(
        metadata={"model_version": serving or "none", "serves": kind, **metadata},
        check_results=[
            dg.AssetCheckResult(
                passed=approved,
                check_name=GATE,
                severity=dg.AssetCheckSeverity.WARN,
                description="; ".join(reasons),
                metadata={"serving_version": serving or "none", "serves": kind},
            )
        ],
        data_version=dg.DataVersion(serving) if serving else None,
    )


def _race_intervals(store: Store) -> dict[str, baseline.Interval]:
    """How far marked races end from Riegel, as predicted on the evening before them."""
    evening_before = (F.col("activity_date") - F.expr("INTERVAL 1 DAY")).alias("as_of_date")
    races = store.read(tables.ACTIVITY).where("is_race and distance_km > 0")
    races = races.select("athlete_id", evening_before, "distance_km", "moving_time_min")
    known = store.read(tables.ROLLING).select("athlete_id", "as_of_date", *baseline.INPUTS)
    frame = races.join(known, ["athlete_id", "as_of_date"], how="inner").toPandas()
    metres = frame["distance_km"].to_numpy() * 1000
    intervals = {}
    for name, distance in tables.DISTANCES_M.items():
        near = np.abs(metres / distance - 1) <= 0.03
        efforts = frame[near]
        run = efforts["moving_time_min"].to_numpy() * 60 * distance / metres[near]
        predicted = riegel(efforts["best_effort_distance_m"], efforts["best_effort_time_s"], distance)
        intervals[name] = baseline.interval_of(np.log(run / predicted))
    return intervals


def _serve_formula(run: Training) -> None:
    """Registers Riegel's formula, with intervals as wide as it missed marked races, and lets it serve."""
    intervals = _race_intervals(run.store)
    evenings = run.store.read(tables.ROLLING).select(
        "athlete_id", F.col("as_of_date").alias(training.EFFORT_EVENING), F.lit(0.0).alias("label")
    )
    with run.mlflow.start_run(run_name="time_estimator (formula)", nested=True), registry.quietly():
        run.mlflow.set_tags(
            {
                "dagster_run_id": run.dagster_run_id,
                **{
                    f"delta_version.{table.name}": str(run.store.version(table))
                    for table in (tables.ACTIVITY, tables.ROLLING)
                },
            }
        )
        run.mlflow.log_params({f"log_p10.{name}": interval.log_p10 for name, interval in intervals.items()})
        run.mlflow.log_params({f"log_p90.{name}": interval.log_p90 for name, interval in intervals.items()})
        run.mlflow.log_metrics({f"races.{name}": interval.races for name, interval in intervals.items()})
        version = run.registered(
            "time_estimator",
            lambda: baseline.as_mlflow_model(intervals),
            evenings,
            training.FORMULA_FEATURES,
            training.EFFORT_EVENING,
            training.TIME_OUTPUTS,
        )
    reasons = ("the formula serves until a learned model beats it",)
    decision = promotion.Decision(True, reasons)
    promotion.apply("time_estimator", version, decision, run.settings, kind=promotion.FORMULA)
