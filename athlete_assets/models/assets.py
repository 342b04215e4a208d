"""The models as assets: trained, tracked and registered in MLflow, served through the `champion` alias."""

from collections.abc import Callable, Iterator
from typing import Any

import dagster as dg
import numpy as np
from pyspark.sql import functions as F

from athlete_assets import tables
from athlete_assets.deployments.mlflow_resource import end_mlflow_run
from athlete_assets.models import baseline, labels, promotion, registry, training
from athlete_assets.models.formulas import riegel
from athlete_assets.models.overtraining_detector import TooLittleToWarnFrom
from athlete_assets.models.time_estimator import TooLittleToLearnFrom
from athlete_assets.settings import Settings
from athlete_assets.silver.rights import refuse_api_data
from athlete_assets.store.base import Store
from athlete_assets.table_assets import (
    CONTRACT_CHECKS,
    OWNERS,
    STEP_LAUNCHER,
    STORE,
    asset_key,
    check_specs,
    checked_window,
    store_of,
    table_assets,
    table_spec,
    writes,
)
from athlete_assets.tables import Table

TIME_ESTIMATOR = dg.AssetKey(["models", "time_estimator"])
OVERTRAINING_DETECTOR = dg.AssetKey(["models", "overtraining_detector"])
GATE = "gate"
GATE_DESCRIPTION = "The candidate beats the formulas and the present champion on the same holdout, and may serve."


def model_assets(settings: Settings) -> list[dg.AssetsDefinition]:
    """The label tables, time_estimator and overtraining_detector."""

    @table_assets(
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
        if writes(context):
            store.replace(tables.RACE_EFFORTS, labels.race_efforts(store.read(tables.ACTIVITY)))
            store.replace(tables.DISRUPTIONS, labels.training_disruptions(store.read(tables.DAILY)))
        yield checked_window(store, tables.RACE_EFFORTS)
        yield checked_window(store, tables.DISRUPTIONS)

    def model_asset(key: dg.AssetKey, description: str, label_table: Table) -> Any:
        return dg.asset(
            key=key,
            description=description,
            deps=[asset_key(table) for table in (label_table, tables.ROLLING, tables.PERFORMANCE)],
            check_specs=[dg.AssetCheckSpec(GATE, asset=key, description=GATE_DESCRIPTION)],
            group_name="models",
            kinds={"mlflow", "python"},
            owners=OWNERS,
            metadata={"registered_model": registry.model_name(key.path[-1], settings)},
            required_resource_keys={STORE, STEP_LAUNCHER, "mlflow"},
            hooks={end_mlflow_run},
        )

    @model_asset(
        TIME_ESTIMATOR,
        "Race times at 5 k, 10 k, half and marathon, registered in MLflow; the champion serves.",
        tables.RACE_EFFORTS,
    )
    def time_estimator(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        store = store_of(context)
        refuse_api_data(store.read(tables.ACTIVITY), "training", settings)
        serving = promotion.champion_version("time_estimator", settings)
        if serving is None or promotion.kind_of("time_estimator", serving, settings) == promotion.FORMULA:
            # the formula, measured anew: it serves until something beats it
            _registered(context, store, settings, _race_intervals(store))
        return _trained(context, store, settings, "time_estimator", training.train_time_estimator)

    @model_asset(
        OVERTRAINING_DETECTOR,
        "Probability that a week without any activity begins within 14 days; not an injury, not a diagnosis.",
        tables.DISRUPTIONS,
    )
    def overtraining_detector(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        store = store_of(context)
        refuse_api_data(store.read(tables.ACTIVITY), "training", settings)
        return _trained(context, store, settings, "overtraining_detector", training.train_overtraining_detector)

    return [model_labels, time_estimator, overtraining_detector]


def _trained(
    context: dg.AssetExecutionContext,
    store: Store,
    settings: Settings,
    model: str,
    train: Callable[[Store, Settings, Any, str], training.Trained],
) -> dg.MaterializeResult:
    """Trains, gates, and says what serves now. Too little data to learn from fails the gate, not the asset."""
    metadata: dict[str, Any] = {}
    try:
        trained = train(store, settings, context.resources.mlflow, context.run.run_id)
    except (TooLittleToLearnFrom, TooLittleToWarnFrom) as error:
        approved = False
        reasons: tuple[str, ...] = (f"no candidate: {error}",)
    else:
        approved, reasons = trained.decision.approved, trained.decision.reasons
        metadata = {
            "candidate_version": trained.version,
            "mlflow_run_id": trained.run_id,
            "evaluation": dg.MetadataValue.md(f"```\n{trained.text}\n```"),
        }
    serving = promotion.champion_version(model, settings)
    kind = promotion.kind_of(model, serving, settings) if serving else "nothing"
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


def _registered(
    context: dg.AssetExecutionContext, store: Store, settings: Settings, intervals: dict[str, baseline.Interval]
) -> tuple[str, str]:
    """Logs the baseline in a nested run, registers it, and lets `champion` point to it."""
    mlflow: Any = context.resources.mlflow
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema

    name = registry.model_name("time_estimator", settings)
    outputs = [
        column.name for column in tables.PREDICTIONS.columns if column.name.startswith(("predicted_", "p10_", "p90_"))
    ]
    signature = ModelSignature(
        inputs=Schema([ColSpec("double", column, required=False) for column in baseline.INPUTS]),
        outputs=Schema([*(ColSpec("double", column) for column in outputs), ColSpec("string", "served_by")]),
    )
    with mlflow.start_run(run_name="time_estimator", nested=True) as run:
        mlflow.set_tags(
            {
                "dagster_run_id": context.run.run_id,
                **{
                    f"delta_version.{table.name}": str(store.version(table))
                    for table in (tables.ACTIVITY, tables.ROLLING)
                },
            }
        )
        mlflow.log_params(
            {f"{key}.{part}": getattr(i, part) for key, i in intervals.items() for part in ("log_p10", "log_p90")}
        )
        mlflow.log_metrics({f"races.{key}": i.races for key, i in intervals.items()})
        with registry.quietly():
            logged = mlflow.pyfunc.log_model(
                name="model",
                python_model=baseline.as_mlflow_model(intervals),
                signature=signature,
                registered_model_name=name,
                pip_requirements=[],
            )
        run_id = run.info.run_id
    version = str(logged.registered_model_version)
    reasons = ("the formula serves until a learned model beats it",)
    promotion.apply("time_estimator", version, promotion.Decision(True, reasons), settings, kind=promotion.FORMULA)
    return version, run_id
