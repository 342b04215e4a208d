"""The log of predictions: what was predicted, and from what, is what is read back from it."""

from __future__ import annotations

import json
from datetime import datetime, timezone

import numpy as np
import pandas as pd
import pyarrow as pa

from athlete_assets import tables
from athlete_assets.days import midnight
from athlete_assets.gold.predictions import log_entries
from athlete_assets.models.training_set import INPUTS
from athlete_assets.store.arrow import arrow_schema
from athlete_assets_tests.rows import DAY, rows

NOW = datetime(2024, 5, 15, 6, tzinfo=timezone.utc)


def logged(predicted: pa.Table, features: pd.DataFrame) -> list[dict[str, object]]:
    found = log_entries(predicted, features, "7", NOW, DAY, "a-dagster-run")
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
    features = pd.DataFrame({"ctl_42d": [51.25, np.nan], "tsb": [np.inf, -0.1], "run_days_90d": [3, 4]})
    said, nothing = logged(rows(tables.PREDICTIONS, given, empty), features)
    unknown = dict.fromkeys(tables.LOGGED_INPUTS)
    found = [{name: row[name] for name in tables.LOGGED_INPUTS} for row in (said, nothing)]
    assert found == [
        {**unknown, "ctl_42d": 51.25, "run_days_90d": 3.0},
        {**unknown, "tsb": -0.1, "run_days_90d": 4.0},
    ]
    assert {name: said[name] for name in given} == given
    assert {name: nothing[name] for name in empty} == empty
    assert {row[text] for row in (said, nothing) for text in ("features", "outputs")} == {"{}"}
    assert (said["served_at"], said["model_version"], said["dagster_run_id"]) == (NOW, "7", "a-dagster-run")


def test_an_input_without_a_column_is_logged_as_text() -> None:
    one = {"athlete_id": "ann", "prediction_date": midnight(DAY)}
    features = pd.DataFrame({"ctl_42d": [51.25] * 3, "gear": ["a", None, 'ü"'], "watts": [0.1, np.nan, np.inf]})
    found = logged(rows(tables.PREDICTIONS, one, one, one), features)
    assert [row["ctl_42d"] for row in found] == [51.25] * 3
    assert [json.loads(str(row["features"])) for row in found] == [
        {"gear": "a", "watts": 0.1},
        {"gear": None, "watts": None},
        {"gear": 'ü"', "watts": None},
    ]


def test_each_input_and_each_prediction_has_a_column_of_its_own_in_the_log() -> None:
    """A text holds what has none, which costs fifty times as much to write."""
    assert set(INPUTS) == set(tables.LOGGED_INPUTS)
    names = tables.INFERENCE_LOG.column_names
    assert len(set(names)) == len(names)
    assert set(tables.PREDICTIONS.column_names) < set(names)


def test_a_day_without_predictions_logs_nothing() -> None:
    assert logged(rows(tables.PREDICTIONS), pd.DataFrame({"ctl_42d": []})) == []
