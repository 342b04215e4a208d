"""gold.athlete_predictions: what the serving model says of each athlete at the end of a day, and the log of it."""

from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from athlete_assets import tables
from athlete_assets.gold.scoring import Scored
from athlete_assets.models.registry import Serving
from athlete_assets.store.arrow import arrow_schema, fitted

if TYPE_CHECKING:
    import pandas as pd

NO_DETECTOR = "no detector serves: none has passed its gate"


def predictions(times: Scored, time_estimator: Serving, disruptions: Scored | None) -> pa.Table:
    """PREDICTIONS rows, one a row of `times`; `disruptions` holds the same evenings, None where no detector serves.

    Times are null, and served_by with them, for an athlete without an effort to predict from; the probability of a
    disruption is null where the detector abstains or none serves, and its reason says so.
    """
    states, rows = times.states, times.outputs
    served_by = [row["served_by"] for row in rows]
    abstained = {"p_disruption_14d": None, "p_disruption_reason": NO_DETECTOR}
    warned = disruptions.outputs if disruptions else [abstained] * len(rows)
    columns = {
        "athlete_id": states["athlete_id"],
        "prediction_date": states["as_of_date"],
        "served_by": pa.array(served_by, pa.string()),
        "model_version": pa.array([served and time_estimator.version for served in served_by], pa.string()),
        "p_disruption_14d": pa.array([row["p_disruption_14d"] for row in warned], pa.float64(), from_pandas=True),
        "p_disruption_reason": pa.array([row["p_disruption_reason"] for row in warned], pa.string()),
        "is_overtraining_risk": states["is_overtraining_risk"],
        "risk_reasons": states["risk_reasons"],
        "top_reasons": pa.array(
            [row["top_reasons"].splitlines() if row["top_reasons"] else None for row in rows], pa.list_(pa.string())
        ),
        "features_as_of": states["as_of_date"],
        "month": states["month"],
    }
    for name in tables.DISTANCES_M:
        for column in (f"{kind}_{name}_s" for kind in ("predicted", "p10", "p90")):
            seconds = np.array([row[column] for row in rows], dtype=np.float64)
            columns[column] = pa.array(seconds, pa.float64(), from_pandas=True)
    schema = arrow_schema(tables.PREDICTIONS)
    return fitted(pa.table({field.name: columns[field.name] for field in schema}), tables.PREDICTIONS)


def log_entries(
    predicted: pa.Table, features: pd.DataFrame, time_estimator: Serving, served_at: datetime, dagster_run_id: str
) -> pa.Table:
    """INFERENCE_LOG rows: for each prediction its inputs and its outputs, as JSON. Row n belongs to row n."""
    rows = predicted.num_rows
    columns = {
        "athlete_id": predicted["athlete_id"],
        "prediction_date": predicted["prediction_date"],
        "served_at": pa.array([served_at] * rows, pa.timestamp("us", "UTC")),
        "dagster_run_id": pa.array([dagster_run_id] * rows, pa.string()),
        "model_version": pa.array([time_estimator.version] * rows, pa.string()),
        "features": _json(pa.Table.from_pandas(features, preserve_index=False)),
        "outputs": _json(predicted.drop_columns(["athlete_id", "prediction_date", "month"])),
        "month": predicted["month"],
    }
    return fitted(pa.table(columns), tables.INFERENCE_LOG)


def _json(rows: pa.Table) -> pa.Array:
    return pa.array([json.dumps(row, default=str) for row in rows.to_pylist()], pa.string())
