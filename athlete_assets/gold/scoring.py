"""Scoring evenings with a registered model through the feature store, and how far they lie from its training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from athlete_assets.models import registry
from athlete_assets.models.registry import Serving
from athlete_assets.models.training import DISTRIBUTIONS, EFFORT_EVENING
from athlete_assets.monitoring import drift
from athlete_assets.monitoring.checks import Finding
from athlete_assets.settings import Settings
from athlete_assets.store.feature_store import PREDICTION, FeatureStore

if TYPE_CHECKING:
    import pandas as pd

STATE = ("athlete_id", "as_of_date", "is_overtraining_risk", "risk_reasons", "month")


@dataclass(frozen=True)
class Scored:
    """One row an evening, in the order of athlete and day: its state, the model's inputs, and its outputs."""

    states: pa.Table
    features: pd.DataFrame
    outputs: list[dict[str, Any]]


def evenings(rolling: DataFrame) -> DataFrame:
    """What is scored: ROLLING's keys and rule, with the evening under each name that the models look it up by."""
    return rolling.select(*STATE, F.col("as_of_date").alias(EFFORT_EVENING))


def scored(features: FeatureStore, serving: Serving, asked: DataFrame, outputs: Mapping[str, str]) -> Scored:
    """The evenings with the model's inputs, looked up as in its training, and its outputs."""
    result_type = ", ".join(f"{name} {kind}" for name, kind in outputs.items())
    rows = features.score_batch(model_uri=serving.uri, df=asked, result_type=result_type).toArrow()
    rows = rows.sort_by([("athlete_id", "ascending"), ("as_of_date", "ascending")])
    inputs = rows.select(serving.inputs).to_pandas()
    return Scored(rows.select(list(STATE)), inputs, rows[PREDICTION].to_pylist())


def drift_finding(inputs: pd.DataFrame, serving: Serving, settings: Settings) -> Finding:
    """Whether an input is distributed otherwise than in training; passes, and says so, where nothing can be judged."""
    references = _references(serving, settings)
    found = drift.shifted(references, {name: inputs[name].to_numpy(np.float64) for name in inputs.columns})
    if not found:
        why = f"{len(inputs)} athletes are too few" if references else "the formula was not trained"
        return Finding("drift", True, f"Not judged: {why}.", severity="warning")
    far = [f"{name} {index:.2f}" for name, index in found.items() if index > drift.SHIFTED]
    sentence = f"{len(far)} of {len(found)} features have a PSI above {drift.SHIFTED}: {', '.join(far[:5]) or 'none'}."
    numbers: dict[str, float | int | str] = {f"psi {name}": round(index, 4) for name, index in found.items()}
    return Finding("drift", not far, sentence, numbers, severity="warning")


def _references(serving: Serving, settings: Settings) -> dict[str, drift.Distribution]:
    client = registry.client(settings)
    folder = str(Path(DISTRIBUTIONS).parent)
    if DISTRIBUTIONS not in {file.path for file in client.list_artifacts(serving.run_id, folder)}:
        return {}
    with TemporaryDirectory() as scratch:
        return drift.from_json(Path(client.download_artifacts(serving.run_id, DISTRIBUTIONS, scratch)).read_text())
