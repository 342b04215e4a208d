"""Online conformal calibration: intervals that hold on the people at home, by how the home's last predictions ended.

(Vovk et al., Algorithmic Learning in a Random World, 2005; for a time series Gibbs & Candes, 2021.) Each outcome's
distance from p50 is measured in half-widths of the interval that would have been served without this; the factor is
the 80 % quantile of the last outcomes at the distance, with the correction for a finite sample. Few outcomes are drawn
towards those of all distances, and those towards 1. All in logarithms of time, so that a slow and a fast athlete are
one problem.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from athlete_assets import tables

if TYPE_CHECKING:
    import pandas as pd

Floats = NDArray[np.float64]

COVERAGE = 0.8
LAST_OUTCOMES = 100
"""Older ones at a distance no longer count: the model, the season and the athletes have changed."""
OUTCOMES_TO_TRUST = 10
"""Outcomes from which their own factor counts as much as what was believed without them."""
NARROWEST, WIDEST = 0.3, 10.0
"""A few lucky or faulty outcomes must not make an interval of nothing, or of everything."""


@dataclass(frozen=True)
class Outcomes:
    """Efforts that were predicted, the oldest first; each array has one value an outcome."""

    distance: NDArray[Any]
    day: NDArray[np.datetime64]
    known_on: NDArray[np.datetime64]
    misses: Floats
    """From p50 to the time run, in half-widths of the interval without the home's factor: above 1 lies outside."""

    def factors(self, day: date) -> dict[str, float]:
        """By distance, how much wider the intervals of the day are than the model's own."""
        before = (self.day < np.datetime64(day)) & (self.known_on < np.datetime64(day))
        distance, misses = self.distance[before], self.misses[before]
        overall = _drawn_to(0.0, misses[-LAST_OUTCOMES:])
        logs = {name: _drawn_to(overall, misses[distance == name][-LAST_OUTCOMES:]) for name in tables.DISTANCES_M}
        return {name: float(np.exp(value)) for name, value in logs.items()}


def half_widths(run: Floats, predicted: Floats, low: Floats, high: Floats, factor: Floats | float = 1.0) -> Floats:
    """From p50 to the time run (all s), in half-widths of the interval low..high on the side of the run, times the
    factor by which that was widened."""
    end = np.where(run < predicted, low, high)
    with np.errstate(divide="ignore", invalid="ignore"):
        missed = np.abs(np.log(run / predicted)) / np.abs(np.log(end / predicted)) * factor
    # an end that fell together with p50 (nan: the run did, too) says nothing that could be divided by
    return np.nan_to_num(missed, nan=0.0, posinf=WIDEST)


def _drawn_to(believed: float, misses: Floats) -> float:
    """Logarithm of the factor: the misses' quantile, drawn towards what is believed without them."""
    count = len(misses)
    if not count:
        return believed
    rank = min(int(np.ceil(COVERAGE * (count + 1))), count)
    own = np.log(np.clip(np.sort(misses)[rank - 1], NARROWEST, WIDEST))
    return float((count * own + OUTCOMES_TO_TRUST * believed) / (count + OUTCOMES_TO_TRUST))


def held_as_outcomes_come(rows: pd.DataFrame) -> NDArray[np.bool_]:
    """Whether each effort lay in its interval, moved by what was run on the days before it.

    rows: columns of one home's efforts: activity_date (TIMESTAMP), distance, time_s, model, p10, p90 (s).
    """
    day = rows["activity_date"].to_numpy(dtype="datetime64[s]").astype("datetime64[D]")
    run, predicted, low, high = (rows[name].to_numpy(np.float64) for name in ("time_s", "model", "p10", "p90"))
    distance, missed = rows["distance"].to_numpy(dtype=object), half_widths(run, predicted, low, high)
    order = np.argsort(day, kind="stable")
    outcomes = Outcomes(distance[order], day[order], day[order], missed[order])
    held = np.zeros(len(day), bool)
    for today in np.unique(day):
        factors, now = outcomes.factors(today.astype(date)), day == today
        held[now] = missed[now] <= [factors[name] for name in distance[now]]
    return held
