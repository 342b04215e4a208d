"""Intervals that hold on this home's athletes: widened or narrowed by what its own last efforts said of them.

A model's 80 % interval holds on people like those that it learned from. Here two things move it, both in logarithms of
time about p50, so that a slow and a fast athlete are one problem:

- an athlete unlike the training set, by the share of inputs outside the range of four fifths of the training values,
  has a wider one;
- online conformal calibration (`models/conformal.py`) by the last outcomes at the distance.

Pure by date: a prediction of day D takes outcomes of days before D that were recorded before D. Outcomes keep when they
were recorded and what was served then, so that a past day that is scored again gets the interval that it had.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pyspark.sql import functions as F

from athlete_assets import tables
from athlete_assets.gold.scoring import Scored
from athlete_assets.models.conformal import Outcomes, half_widths
from athlete_assets.models.distributions import Distribution
from athlete_assets.store.base import Store

Floats = NDArray[np.float64]

USUAL_UNLIKENESS = 0.25
"""Share of inputs outside four fifths of the training values from which an athlete is unlike them; 0.2 is the mean."""


def known_outcomes(store: Store) -> Outcomes:
    """What monitoring.prediction_outcomes holds that may calibrate: of live predictions that had an interval.

    It is written from the predictions, so that no asset dependency may say that they read it; of the day being
    predicted, and of later ones, nothing is taken (`Outcomes.factors`).
    """
    rows = store.read(tables.PREDICTION_OUTCOMES).where(
        F.col("known_on").isNotNull() & ~F.coalesce("is_backfilled", F.lit(False)) & (F.col("p10_s") < F.col("p90_s"))
    )
    columns = ("distance", "activity_date", "known_on", "run_s", "predicted_s", "p10_s", "p90_s", "interval_factor")
    return outcomes_of(rows.select("athlete_id", "activity_id", *columns).toArrow().to_pylist())


def outcomes_of(rows: list[dict[str, Any]]) -> Outcomes:
    """PREDICTION_OUTCOMES rows, in any order."""
    rows = sorted(rows, key=lambda row: (row["activity_date"], row["athlete_id"], row["activity_id"]))

    def column(name: str, dtype: str = "float64") -> NDArray[Any]:
        return np.array([row[name] for row in rows], dtype)

    def days(name: str) -> NDArray[np.datetime64]:
        return np.array([row[name].date() for row in rows], "datetime64[D]")

    run, predicted, low, high = (column(name) for name in ("run_s", "predicted_s", "p10_s", "p90_s"))
    factor = np.array([row["interval_factor"] or 1.0 for row in rows])
    misses = half_widths(run, predicted, low, high, factor)
    return Outcomes(column("distance", "object"), days("activity_date"), days("known_on"), misses)


def unlikeness(inputs: Mapping[str, Floats], seen: Mapping[str, Distribution]) -> Floats | None:
    """(rows,) share of the known inputs outside the 10 to 90 % range of the training; None where nothing was learned.

    An input without a value says nothing; a row without any is as unlike as can be.
    """
    names = [name for name in inputs if name in seen and len(seen[name].edges) > 1]
    if not names:
        return None
    known, outside = (np.zeros(len(inputs[names[0]]), np.int32) for _ in range(2))
    for name in names:
        values, edges = np.asarray(inputs[name], np.float64), seen[name].edges
        is_known = np.isfinite(values)
        known += is_known
        outside += ((values < edges[0]) | (values > edges[-1])) & is_known
    share: Floats = np.where(known > 0, outside / np.maximum(known, 1), 1.0)
    return share


def calibrated(times: Scored, outcomes: Outcomes, seen: Mapping[str, Distribution]) -> Scored:
    """The scored evenings with their intervals moved, and INTERVAL_FACTORS and `unlikeness` among the outputs.

    seen: the distribution of the serving version's inputs in its training. Longer distances keep longer times.
    """
    inputs = {name: times.features[name].to_numpy(np.float64) for name in times.features.columns}
    unlike = unlikeness(inputs, seen)
    wider = 1.0 if unlike is None else 1.0 + np.maximum(0.0, unlike - USUAL_UNLIKENESS)
    codes = times.states["as_of_date"].combine_chunks().dictionary_encode()
    factors_of = [outcomes.factors(evening.date()) for evening in codes.dictionary.to_pylist()]
    day = codes.indices.to_numpy(zero_copy_only=False)
    found: dict[str, Any] = {"unlikeness": np.full(len(day), np.nan) if unlike is None else unlike}
    fast, slow = np.zeros(len(day)), np.zeros(len(day))
    for name, (p50, p10, p90) in tables.TIME_COLUMNS.items():
        predicted, low, high = (times.outputs[column].to_numpy(np.float64) for column in (p50, p10, p90))
        is_known = np.isfinite(predicted)
        factor = np.array([factors[name] for factors in factors_of], np.float64)[day]
        fast = np.fmax(fast, predicted * (low / predicted) ** (factor * wider))
        slow = np.fmax(slow, predicted * (high / predicted) ** (factor * wider))
        found[p10], found[p90] = np.where(is_known, fast, low), np.where(is_known, slow, high)
        found[tables.INTERVAL_FACTORS[name]] = np.where(is_known, factor, np.nan)
    return replace(times, outputs=times.outputs.assign(**found))
