"""The models as assets: trained, tracked and registered in MLflow, served through the `champion` alias."""

from typing import Any

import dagster as dg
import numpy as np
from pyspark.sql import functions as F

from athlete_assets import tables
from athlete_assets.deployments.mlflow_resource import end_mlflow_run
from athlete_assets.models import baseline, registry
from athlete_assets.models.formulas import riegel
from athlete_assets.settings import Settings
from athlete_assets.silver.rights import refuse_api_data
from athlete_assets.store.base import Store
from athlete_assets.table_assets import OWNERS, STEP_LAUNCHER, STORE, asset_key, store_of

TIME_ESTIMATOR = dg.AssetKey(["models", "time_estimator"])


def model_assets(settings: Settings) -> list[dg.AssetsDefinition]:
    """time_estimator: the race-time model."""

    @dg.asset(
        key=TIME_ESTIMATOR,
        description="Race times at 5 k, 10 k, half and marathon, registered in MLflow; the champion serves.",
        deps=[asset_key(tables.ROLLING), asset_key(tables.ACTIVITY)],
        group_name="models",
        kinds={"mlflow", "python"},
        owners=OWNERS,
        metadata={"registered_model": registry.model_name("time_estimator", settings)},
        required_resource_keys={STORE, STEP_LAUNCHER, "mlflow"},
        hooks={end_mlflow_run},
    )
    def time_estimator(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        store = store_of(context)
        refuse_api_data(store.read(tables.ACTIVITY), "training", settings)
        intervals = _race_intervals(store)
        version, run_id = _registered(context, store, settings, intervals)
        return dg.MaterializeResult(
            metadata={
                "model_version": version,
                "mlflow_run_id": run_id,
                "serves": "Riegel's formula from the best recent effort",
                "races_measured": dg.TableMetadataValue(
                    [
                        dg.TableRecord({"distance": name, "races": i.races, "log_p10": i.log_p10, "log_p90": i.log_p90})
                        for name, i in intervals.items()
                    ],
                    schema=None,
                ),
            },
            data_version=dg.DataVersion(version),
        )

    return [time_estimator]


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
    registry.client(settings).set_registered_model_alias(name, registry.CHAMPION, version)
    return version, run_id
