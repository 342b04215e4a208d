"""gold.athlete_predictions: what the serving model says of each athlete at the end of a day, and the log of it."""

from __future__ import annotations

import json
from datetime import datetime

import numpy as np
import pyarrow as pa

from athlete_assets import tables
from athlete_assets.models.registry import Serving
from athlete_assets.store.arrow import arrow_schema, fitted


def predicted(rolling: pa.Table, time_estimator: Serving) -> pa.Table:
    """PREDICTIONS rows for ROLLING rows (one an athlete and day), served by the given model version.

    Times are null, and served_by with them, for an athlete without an effort to predict from.
    """
    inputs = rolling.select(time_estimator.inputs).to_pandas().astype(np.float64)
    times = time_estimator.model.predict(inputs)
    served_by = [served if isinstance(served, str) else None for served in times["served_by"]]
    columns = {
        "athlete_id": rolling["athlete_id"],
        "prediction_date": rolling["as_of_date"],
        "served_by": pa.array(served_by, pa.string()),
        "model_version": pa.array([served and time_estimator.version for served in served_by], pa.string()),
        "is_overtraining_risk": rolling["is_overtraining_risk"],
        "risk_reasons": rolling["risk_reasons"],
        "features_as_of": rolling["as_of_date"],
        "month": rolling["month"],
    }
    for name in tables.DISTANCES_M:
        for column in (f"{kind}_{name}_s" for kind in ("predicted", "p10", "p90")):
            columns[column] = pa.array(times[column].to_numpy(np.float64), pa.float64(), from_pandas=True)
    schema = arrow_schema(tables.PREDICTIONS)
    columns |= {field.name: pa.nulls(rolling.num_rows, field.type) for field in schema if field.name not in columns}
    return fitted(pa.table({field.name: columns[field.name] for field in schema}), tables.PREDICTIONS)


def log_entries(
    rolling: pa.Table, predictions: pa.Table, time_estimator: Serving, served_at: datetime, dagster_run_id: str
) -> pa.Table:
    """INFERENCE_LOG rows: for each prediction its inputs and its outputs, as JSON. Row n belongs to row n of each."""
    rows = predictions.num_rows
    columns = {
        "athlete_id": predictions["athlete_id"],
        "prediction_date": predictions["prediction_date"],
        "served_at": pa.array([served_at] * rows, pa.timestamp("us", "UTC")),
        "dagster_run_id": pa.array([dagster_run_id] * rows, pa.string()),
        "model_version": predictions["model_version"],
        "features": _json(rolling.select(time_estimator.inputs)),
        "outputs": _json(predictions.drop_columns(["athlete_id", "prediction_date", "month"])),
        "month": predictions["month"],
    }
    return fitted(pa.table(columns), tables.INFERENCE_LOG)


def _json(rows: pa.Table) -> pa.Array:
    return pa.array([json.dumps(row, default=str) for row in rows.to_pylist()], pa.string())
