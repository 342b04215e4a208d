"""gold.athlete_predictions: what the serving model says of each athlete at the end of a day, and the log of it."""

from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from athlete_assets import tables
from athlete_assets.models.registry import Serving
from athlete_assets.store.arrow import arrow_schema, fitted

if TYPE_CHECKING:
    import pandas as pd

NO_DETECTOR = "no detector serves: none has passed its gate"


def predicted(rolling: pa.Table, time_estimator: Serving, detector: Serving | None = None) -> pa.Table:
    """PREDICTIONS rows for ROLLING rows with the PERFORMANCE columns beside them, served by the given model versions.

    Times are null, and served_by with them, for an athlete without an effort to predict from; the probability of a
    disruption is null where the detector abstains or none serves, and its reason says so.
    """
    times = time_estimator.model.predict(_inputs(rolling, time_estimator))
    served_by = [served if isinstance(served, str) else None for served in times["served_by"]]
    columns = {
        "athlete_id": rolling["athlete_id"],
        "prediction_date": rolling["as_of_date"],
        "served_by": pa.array(served_by, pa.string()),
        "model_version": pa.array([served and time_estimator.version for served in served_by], pa.string()),
        "is_overtraining_risk": rolling["is_overtraining_risk"],
        "risk_reasons": rolling["risk_reasons"],
        "features_as_of": rolling["as_of_date"],
        **_disruption(rolling, detector),
        "month": rolling["month"],
    }
    for name in tables.DISTANCES_M:
        for column in (f"{kind}_{name}_s" for kind in ("predicted", "p10", "p90")):
            columns[column] = pa.array(times[column].to_numpy(np.float64), pa.float64(), from_pandas=True)
    if "top_reasons" in times:
        reasons = [list(why) if isinstance(why, list | np.ndarray) else None for why in times["top_reasons"]]
        columns["top_reasons"] = pa.array(reasons, pa.list_(pa.string()))
    schema = arrow_schema(tables.PREDICTIONS)
    columns |= {field.name: pa.nulls(rolling.num_rows, field.type) for field in schema if field.name not in columns}
    return fitted(pa.table({field.name: columns[field.name] for field in schema}), tables.PREDICTIONS)


def _inputs(rows: pa.Table, serving: Serving) -> pd.DataFrame:
    return rows.select(serving.inputs).to_pandas().astype(np.float64)


def _disruption(rows: pa.Table, detector: Serving | None) -> dict[str, pa.Array]:
    if detector is None:
        probability, reason = pa.nulls(rows.num_rows, pa.float64()), [NO_DETECTOR] * rows.num_rows
    else:
        answers = detector.model.predict(_inputs(rows, detector))
        probability = pa.array(answers["p_disruption_14d"].to_numpy(np.float64), pa.float64(), from_pandas=True)
        reason = list(answers["p_disruption_reason"])
    return {
        "p_disruption_14d": probability,
        "p_disruption_reason": pa.array([why if isinstance(why, str) else None for why in reason], pa.string()),
    }


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
