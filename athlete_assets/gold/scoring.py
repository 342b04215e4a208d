"""Scoring evenings with a registered model through the feature store, and how far they lie from its training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from athlete_assets.models.model_spec import ModelSpec
from athlete_assets.models.registry import LOOKUP_KEYS, Serving
from athlete_assets.store.feature_store import PREDICTION, FeatureStore

if TYPE_CHECKING:
    import pandas as pd

STATE = ("athlete_id", "as_of_date", "is_overtraining_risk", "risk_reasons", "untracked_share_42d", "month")


@dataclass(frozen=True)
class Scored:
    """One row an evening, in the order of athlete and day: its state, the model's inputs, and its outputs."""

    states: pa.Table
    features: pd.DataFrame
    outputs: list[dict[str, Any]]


def evenings(rolling: DataFrame) -> DataFrame:
    """What is scored: ROLLING's keys and rule, with the evening under each name that the models look it up by."""
    names = [name for name in LOOKUP_KEYS if name not in STATE]
    return rolling.select(*STATE, *(F.col("as_of_date").alias(name) for name in names))


def scored(features: FeatureStore, serving: Serving, asked: DataFrame, spec: ModelSpec) -> Scored:
    """The evenings with the model's inputs, looked up as in its training, and its outputs."""
    result_type = ", ".join(f"{name} {kind}" for name, kind in spec.outputs.items())
    rows = features.score_batch(model_uri=serving.uri, df=asked, result_type=result_type).toArrow()
    rows = rows.sort_by([("athlete_id", "ascending"), ("as_of_date", "ascending")])
    inputs = rows.select(serving.inputs).to_pandas()
    return Scored(rows.select(list(STATE)), inputs, rows[PREDICTION].to_pylist())
