"""The log of predictions as text: what JSON itself reads from it is the expectation."""

from __future__ import annotations

import json
from datetime import datetime, timezone

import numpy as np
import pandas as pd
import pyarrow as pa

from athlete_assets import tables
from athlete_assets.days import midnight
from athlete_assets.gold.predictions import log_entries
from athlete_assets.models.registry import Serving
from athlete_assets.store.arrow import arrow_schema
from athlete_assets_tests.rows import DAY, rows

NOW = datetime(2024, 5, 15, 6, tzinfo=timezone.utc)
SERVING = Serving("models.time_estimator", "7", "a-run", None, [])


def logged(predicted: pa.Table, features: pd.DataFrame) -> list[dict[str, object]]:
    found = log_entries(predicted, features, SERVING, NOW, DAY, "a-dagster-run")
    assert found.schema == arrow_schema(tables.INFERENCE_LOG)
    return found.to_pylist()


def test_every_value_of_a_prediction_is_read_back_from_the_log() -> None:
    given = {
        "athlete_id": 'ann "the\\hare"\n',
        "prediction_date": midnight(DAY),
        "predicted_10k_s": 2400.0,
        "p10_10k_s": 0.1 + 0.2,
        "p90_10k_s": 1e-7,
        "served_by": 'a "model" \\ ü',
        "risk_reasons": ["acwr", "a, b"],
        "top_reasons": ['You "ran" 5 km: 0:10 faster over 5 km.'],
        "is_overtraining_risk": True,
        "features_as_of": midnight(DAY),
    }
    empty = {"athlete_id": "bob", "prediction_date": midnight(DAY), "risk_reasons": [], "served_by": None}
    features = pd.DataFrame({"ctl_42d": [51.25, np.nan], "tsb": [np.inf, -0.1], "count": [3, 4]})
    said, nothing = logged(rows(tables.PREDICTIONS, given, empty), features)
    assert json.loads(str(said["features"])) == {"ctl_42d": 51.25, "tsb": None, "count": 3}
    assert json.loads(str(nothing["features"])) == {"ctl_42d": None, "tsb": -0.1, "count": 4}
    outputs, left_out = json.loads(str(said["outputs"])), {"athlete_id", "prediction_date", "month"}
    assert set(outputs) == set(tables.PREDICTIONS.column_names) - left_out
    wanted = {name: value for name, value in given.items() if name not in left_out}
    wanted["features_as_of"] = "2024-05-15 00:00:00+00:00"
    assert {name: value for name, value in outputs.items() if value is not None and name in wanted} == wanted
    assert json.loads(str(nothing["outputs"]))["risk_reasons"] == []
    assert json.loads(str(nothing["outputs"]))["served_by"] is None
    assert (said["served_at"], said["model_version"], said["dagster_run_id"]) == (NOW, "7", "a-dagster-run")


def test_a_day_without_predictions_logs_nothing() -> None:
    assert logged(rows(tables.PREDICTIONS), pd.DataFrame({"ctl_42d": []})) == []
