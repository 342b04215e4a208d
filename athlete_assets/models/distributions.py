"""Drift: how far the values that are scored lie from those that a model was trained on.

Population stability index, PSI = sum over bins of (actual - expected) ln(actual / expected), bins at the deciles of the
training values (Siddiqi, Credit Risk Scorecards, 2006: below 0.1 stable, above 0.25 shifted).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from athlete_assets.models import registry
from athlete_assets.models.registry import Serving
from athlete_assets.settings import Settings

if TYPE_CHECKING:
    import pandas as pd

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]

ARTIFACT = "drift/training_distributions.json"
"""Of a version's MLflow run."""
PREDICTED = "prediction "
"""Before the name of an output among the columns of a training."""
ROWS_PREDICTED = 1_000
"""Rows of a training, about, whose predictions are kept as a distribution: their reasons take time."""
BINS = 10
SHIFTED = 0.25
LEAST_SHARE = 1e-4
"""An empty bin counts as this share, or one athlete more or less would make the index infinite; of few values it counts
as half of one, and never as more than was expected."""
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
    return Distribution(tuple(map(float, edges)), tuple(map(float, shares_of(_counts(values, edges)))))


def counts_of(reference: Distribution, values: Floats) -> Counts:
    """How many of the values lie in each of the reference's bins, unknown values last. Counts of parts add up."""
    return _counts(values, np.array(reference.edges))


def shares_of(counts: Counts) -> Floats:
    """The share of the values in each bin."""
    total = counts.sum()
    return counts / total if total else np.zeros(len(counts))


def stability_index(reference: Distribution, counts: Counts) -> float:
    """PSI of values, counted in the reference's bins, against the reference: 0 for the same distribution."""
    expected = np.maximum(reference.shares, LEAST_SHARE)
    actual = shares_of(counts)
    actual = np.where(actual > 0, actual, np.minimum(expected, max(LEAST_SHARE, 0.5 / max(1, counts.sum()))))
    return float(np.sum((actual - expected) * np.log(actual / expected)))


def shifted(
    references: Mapping[str, Distribution], counted: Mapping[str, Counts], least: int = LEAST_VALUES
) -> dict[str, float]:
    """PSI of each column that has a reference and at least so many values, largest first."""
    found = {
        name: stability_index(references[name], counts)
        for name, counts in counted.items()
        if name in references and counts.sum() >= least
    }
    return dict(sorted(found.items(), key=lambda item: -item[1]))


@dataclass(frozen=True)
class TrainingSample:
    """What a version saw in its training: its inputs and what it said of them, and of how many athletes they were."""

    columns: Mapping[str, Distribution]
    """By input, and by PREDICTED + output."""
    athletes: int | None = None
    """None where the version was stored before this was counted."""

    @staticmethod
    def of(rows: pd.DataFrame, inputs: Iterable[str], said: pd.DataFrame) -> TrainingSample:
        """Of a training's rows; said: the model's outputs for them, of which those that are numbers count."""
        columns = {name: distribution(rows[name].to_numpy(np.float64)) for name in inputs}
        columns |= {name: distribution(values) for name, values in predicted(said).items()}
        return TrainingSample(columns, int(rows["athlete_id"].nunique()))


def predicted(said: pd.DataFrame) -> dict[str, Floats]:
    """The outputs of a model that are numbers, by PREDICTED + name."""
    numbers = said.select_dtypes("number")
    return {f"{PREDICTED}{name}": numbers[name].to_numpy(np.float64) for name in numbers.columns}


RAN_LATELY = "longest_run_28d_km"
"""Known where the athlete ran in the last 28 days, as before every effort that a training learns from."""
OF_THE_MOMENT = ("run_history_days", "recent_effort_age_days")
"""Inputs that say when one asks and not who runs: histories grow by themselves, and a training asks before efforts."""


@dataclass(frozen=True)
class Tally:
    """What was scored, as counts: tallies of parts add up to that of the whole."""

    rows: int
    columns: Mapping[str, Counts]
    """By column of the training (an input, or PREDICTED + output), how many values lie in each of its bins."""

    @staticmethod
    def of(inputs: pd.DataFrame, said: pd.DataFrame, seen: Mapping[str, Distribution]) -> Tally:
        """Of the model's inputs and outputs, a row an evening.

        Evenings of those who rest for weeks are left out: a training has none, and a home always has some.
        """
        if RAN_LATELY in inputs:
            ran = inputs[RAN_LATELY].notna().to_numpy()
            inputs, said = inputs[ran], said[ran]
        names = [name for name in inputs.columns if name in seen and name not in OF_THE_MOMENT]
        counts = {name: counts_of(seen[name], inputs[name].to_numpy(np.float64)) for name in names}
        outputs = {name: values for name, values in predicted(said).items() if name in seen}
        counts |= {name: counts_of(seen[name], values) for name, values in outputs.items()}
        return Tally(len(inputs), counts)

    def __add__(self, other: Tally) -> Tally:
        of_both = {name: counts + other.columns[name] for name, counts in self.columns.items()}
        return Tally(self.rows + other.rows, of_both)


def to_json(sample: TrainingSample) -> str:
    columns = {name: asdict(reference) for name, reference in sample.columns.items()}
    return json.dumps({"columns": columns, "athletes": sample.athletes}, indent=1)


def from_json(text: str) -> TrainingSample:
    """What `to_json` wrote, or a file from before it held more than the columns."""
    found = json.loads(text)
    columns, athletes = (found["columns"], found["athletes"]) if "athletes" in found else (found, None)
    return TrainingSample(
        {name: Distribution(tuple(value["edges"]), tuple(value["shares"])) for name, value in columns.items()}, athletes
    )


def of_version(serving: Serving, settings: Settings) -> TrainingSample:
    """What a serving version saw in its training; empty for one that was not trained (a formula)."""
    client = registry.client(settings)
    if ARTIFACT not in {file.path for file in client.list_artifacts(serving.run_id, str(Path(ARTIFACT).parent))}:
        return TrainingSample({})
    with TemporaryDirectory() as scratch:
        return from_json(Path(client.download_artifacts(serving.run_id, ARTIFACT, scratch)).read_text())


def _counts(values: Floats, edges: Floats) -> Counts:
    known = values[np.isfinite(values)]
    counts = np.bincount(np.searchsorted(edges, known, side="right"), minlength=len(edges) + 1)
    return np.append(counts, len(values) - len(known))
