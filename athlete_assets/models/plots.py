"""Pictures of an evaluation: predicted against run, interval coverage, error by history, effect of the features."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from athlete_assets.models.time_estimator import DISTANCES, MODEL, TimeEstimator
from athlete_assets.models.training_set import design_matrix

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

MOST_FEATURES = 15
MINUTES = (15, 20, 30, 45, 60, 90, 120, 180, 240, 360)


WIDTH = 6.5


def _figure(title: str, x: str, y: str, height: float = 4.5, left: float = 0.75) -> tuple[Figure, Any]:
    """left: inches for the labels of the vertical axis. A computed layout would draw all a second time."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, height))
    figure.subplots_adjust(left=left / WIDTH, right=1 - 0.15 / WIDTH, bottom=0.6 / height, top=1 - 0.4 / height)
    axes = figure.add_subplot()
    axes.set(title=title, xlabel=x, ylabel=y)
    return figure, axes


def predicted_against_run(scored: pd.DataFrame) -> Figure:
    """Each effort's predicted time over its run time (min), by distance; the diagonal is a perfect prediction."""
    from matplotlib.ticker import FixedLocator, NullLocator

    figure, axes = _figure("Predicted and run time of unseen efforts", "run (min)", "predicted (min)")
    for name in DISTANCES:
        rows = scored[scored["distance"] == name]
        axes.scatter(rows["time_s"] / 60, rows[MODEL] / 60, s=8, alpha=0.6, label=name)
    limits = scored["time_s"].min() / 60, scored["time_s"].max() / 60
    axes.plot(limits, limits, color="grey", linewidth=0.8)
    axes.set(xscale="log", yscale="log")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(FixedLocator(MINUTES))
        axis.set_major_formatter("{x:g}")
        axis.set_minor_locator(NullLocator())
    axes.legend()
    return figure


def interval_calibration(scored: pd.DataFrame) -> Figure:
    """Share of efforts inside the 80 % interval by distance; the dashed line is what is promised."""
    figure, axes = _figure("Efforts inside the 80 % interval", "", "share", height=3.5)
    inside = (scored["time_s"] >= scored["p10"]) & (scored["time_s"] <= scored["p90"])
    shares = [(name, inside[scored["distance"] == name]) for name in DISTANCES]
    known = [(f"{name}\n(n = {len(part)})", part.mean()) for name, part in shares if len(part)]
    axes.bar([name for name, _ in known], [share for _, share in known])
    axes.axhline(0.8, color="black", linestyle="--", linewidth=0.8)
    axes.set_ylim(0, 1)
    return figure


def residual_by_history(scored: pd.DataFrame, methods: Sequence[str]) -> Figure:
    """Error (%) of each method (a column of seconds) by how much the athlete ran in the 90 days before."""
    figure, axes = _figure("Error by training history", "days with a run among the last 90", "mean absolute error (%)")
    edges = np.array([0, 15, 30, 45, 60, 91])
    days = scored["run_days_90d"].to_numpy(np.float64)
    centres = (edges[:-1] + edges[1:]) / 2
    for method in methods:
        error = (scored[method] / scored["time_s"] - 1).abs().to_numpy(np.float64) * 100
        means = [
            float(np.nanmean(error[chosen])) if chosen.any() else np.nan
            for chosen in ((days >= low) & (days < high) for low, high in pairwise(edges))
        ]
        axes.plot(centres, means, marker="o", label=method)
    axes.legend()
    return figure


def feature_effect(estimator: TimeEstimator, rows: pd.DataFrame) -> Figure:
    """Mean absolute effect (TimeEstimator.effects) of the most important features on p50, as % of the time."""
    matrix = design_matrix(rows, list(rows["distance"]))[estimator.features]
    effect = np.abs(estimator.effects(matrix, list(rows["distance"]))).mean(axis=0) * 100
    order = np.argsort(effect)[-MOST_FEATURES:]
    effect_of = "mean absolute effect (% of the time)"
    figure, axes = _figure("What moves the prediction", effect_of, "", height=5.5, left=2.4)
    axes.barh([matrix.columns[number] for number in order], effect[order])
    return figure


def probability_calibration(figures: dict[str, Any]) -> Figure:
    """Observed share of disruptions over the predicted probability, by tenths of the evenings."""
    figure, axes = _figure("Calibration of the disruption probability", "predicted", "observed")
    parts = figures["calibration"]
    axes.plot([part["predicted"] for part in parts], [part["observed"] for part in parts], marker="o")
    axes.plot([0, 1], [0, 1], color="grey", linewidth=0.8)
    end = min(1.0, 1.1 * max(max(part["predicted"], part["observed"]) for part in parts))
    axes.set(xlim=(0, end), ylim=(0, end))
    return figure
