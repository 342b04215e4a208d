"""Scoring evenings with a registered model through the feature store, and how far they lie from its training."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from athlete_assets.days import Days, midnight
from athlete_assets.models.model_spec import ModelSpec
from athlete_assets.models.registry import LOOKUP_KEYS, Reasons, Serving
from athlete_assets.models.time_estimator import LEARNED
from athlete_assets.store.by_athlete import fields
from athlete_assets.store.feature_store import FeatureStore

if TYPE_CHECKING:
    import pandas as pd

DAYS_SHOWN = 2
"""Today and yesterday: a page shows an athlete's newest evening, which in the morning is yesterday's."""
STATE = ("athlete_id", "as_of_date", "is_overtraining_risk", "risk_reasons", "untracked_share_42d", "month")


@dataclass(frozen=True)
class Scored:
    """One row an evening, in the order of athlete and day: its state, the model's inputs, and its outputs."""

    states: pa.Table
    features: pd.DataFrame
    outputs: pd.DataFrame


def evenings(rolling: DataFrame) -> DataFrame:
    """What is scored: ROLLING's keys and rule, with the evening under each name that the models look it up by."""
    names = [name for name in LOOKUP_KEYS if name not in STATE]
    return rolling.select(*STATE, *(F.col("as_of_date").alias(name) for name in names))


def scored(features: FeatureStore, serving: Serving, asked: DataFrame, spec: ModelSpec) -> DataFrame:
    """The evenings with the model's inputs, looked up as in its training, and its outputs as one struct."""
    result_type = ", ".join(f"{name} {kind}" for name, kind in spec.outputs.items())
    return features.score_batch(model_uri=serving.uri, df=asked, result_type=result_type)


def in_order(rows: pa.Table) -> pa.Table:
    """Rows of evenings by athlete and day."""
    return rows.sort_by([("athlete_id", "ascending"), ("as_of_date", "ascending")])


def said(predictions: pa.ChunkedArray) -> pd.DataFrame:
    """A model's outputs, from the structs that `scored` has them in."""
    return fields(predictions).to_pandas()


def is_shown(evenings: Days, today: date) -> bool:
    """Whether one of the evenings is among the home's last, whose reasons somebody is to see."""
    return evenings.last >= first_shown(today)


def first_shown(today: date) -> date:
    return today - timedelta(days=DAYS_SHOWN - 1)


def explained(times: Scored, say: Reasons, today: date) -> Scored:
    """The times with a model's reasons where somebody is to see them: of the home's last days.

    Of earlier evenings `athlete-assets predictions --day` says them when it is asked.
    """
    days = times.states["as_of_date"]
    shown = pc.greater_equal(days, pa.scalar(midnight(first_shown(today)), days.type))
    at = np.flatnonzero(shown.to_numpy(zero_copy_only=False) & times.outputs["served_by"].isin(LEARNED).to_numpy())
    reasons = say(times.features.iloc[at]) if len(at) else None
    if reasons is None:
        return times
    lines = times.outputs["top_reasons"].to_numpy(dtype=object, copy=True)
    lines[at] = reasons.to_numpy(dtype=object)
    return replace(times, outputs=times.outputs.assign(top_reasons=lines))
