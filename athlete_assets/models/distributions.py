"""Drift: how far the values that are scored lie from those that a model was trained on.

Population stability index, PSI = sum over bins of (actual - expected) ln(actual / expected), bins at the deciles of the
training values (Siddiqi, Credit Risk Scorecards, 2006: below 0.1 stable, above 0.25 shifted).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from athlete_assets.models import registry
from athlete_assets.models.registry import Serving
from athlete_assets.settings import Settings

Floats = NDArray[np.float64]

ARTIFACT = "drift/training_distributions.json"
"""Of a version's MLflow run."""
BINS = 10
SHIFTED = 0.25
LEAST_SHARE = 1e-4
"""An empty bin counts as this share, or one athlete more or less would make the index infinite."""
LEAST_VALUES = 100
"""Fewer scored values than this say nothing about a distribution of ten bins."""


@dataclass(frozen=True)
class Distribution:
    """A column's training values: inner bin edges (increasing), and the share of each bin, unknown values last."""

    edges: tuple[float, ...]
    shares: tuple[float, ...]


def distribution(values: Floats, bins: int = BINS) -> Distribution:
    """The distribution of training values; NaN is unknown. Equal quantiles fall together into fewer bins."""
    known = values[np.isfinite(values)]
    edges = np.unique(np.quantile(known, np.arange(1, bins) / bins)) if len(known) else np.empty(0)
    return Distribution(tuple(map(float, edges)), tuple(map(float, _shares(values, edges))))


def stability_index(reference: Distribution, values: Floats) -> float:
    """PSI of the values against the reference: 0 for the same distribution."""
    expected = np.maximum(reference.shares, LEAST_SHARE)
    actual = np.maximum(_shares(values, np.array(reference.edges)), LEAST_SHARE)
    return float(np.sum((actual - expected) * np.log(actual / expected)))


def shifted(references: Mapping[str, Distribution], columns: Mapping[str, Floats]) -> dict[str, float]:
    """PSI of each column that has a reference and at least LEAST_VALUES values, largest first."""
    found = {
        name: stability_index(references[name], values)
        for name, values in columns.items()
        if name in references and len(values) >= LEAST_VALUES
    }
    return dict(sorted(found.items(), key=lambda item: -item[1]))


def to_json(references: Mapping[str, Distribution]) -> str:
    return json.dumps({name: asdict(reference) for name, reference in references.items()}, indent=1)


def from_json(text: str) -> dict[str, Distribution]:
    return {
        name: Distribution(tuple(value["edges"]), tuple(value["shares"])) for name, value in json.loads(text).items()
    }


def of_version(serving: Serving, settings: Settings) -> dict[str, Distribution]:
    """What a serving version saw in its training; empty for one that was not trained (a formula)."""
    client = registry.client(settings)
    if ARTIFACT not in {file.path for file in client.list_artifacts(serving.run_id, str(Path(ARTIFACT).parent))}:
        return {}
    with TemporaryDirectory() as scratch:
        return from_json(Path(client.download_artifacts(serving.run_id, ARTIFACT, scratch)).read_text())


def _shares(values: Floats, edges: Floats) -> Floats:
    if not len(values):
        return np.zeros(len(edges) + 2)
    known = values[np.isfinite(values)]
    counts = np.bincount(np.searchsorted(edges, known, side="right"), minlength=len(edges) + 1)
    return np.append(counts, len(values) - len(known)) / len(values)
