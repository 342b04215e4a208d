"""The formula that serves from day one and that a learned model must beat: Riegel from the best recent effort.

It is an MLflow model like any other, with the same inputs and outputs as the learned one, so that what serves is
decided by the registry's `champion` alias alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from athlete_assets.formulas.race_times import riegel
from athlete_assets.tables import DISTANCES_M

if TYPE_CHECKING:
    import pandas as pd

INPUTS = ("best_effort_distance_m", "best_effort_time_s")

PRIOR_LOG_P10, PRIOR_LOG_P90 = -0.06, 0.16
"""Interval of log(run / Riegel) where an athlete base has too few races to measure its own.

Riegel's prediction is a personal best's: most races end slower, so the interval is not symmetric. Vickers & Vertosick
(BMC Sports Sci Med Rehabil 8:26, 2016) found recreational marathons 10 min and more above Riegel in half of cases.
"""
MIN_RACES = 20
"""Races at a distance from which its own interval is measured."""


@dataclass(frozen=True)
class Interval:
    """The 80 % interval of log(run time / Riegel time) at one distance, and how many races it rests on."""

    log_p10: float
    log_p90: float
    races: int


def interval_of(log_ratios: np.ndarray) -> Interval:
    """Empirical p10 and p90 of log(run / Riegel); the prior where there are fewer than MIN_RACES.

    The interval always holds the prediction itself (log ratio 0): p10 <= p50 <= p90.
    """
    ratios = log_ratios[np.isfinite(log_ratios)]
    if len(ratios) < MIN_RACES:
        return Interval(PRIOR_LOG_P10, PRIOR_LOG_P90, len(ratios))
    low, high = np.quantile(ratios, [0.1, 0.9])
    return Interval(min(float(low), 0.0), max(float(high), 0.0), len(ratios))


def predictions(
    best_effort_distance_m: np.ndarray, best_effort_time_s: np.ndarray, intervals: dict[str, Interval]
) -> dict[str, np.ndarray]:
    """Columns predicted_, p10_, p90_<distance>_s (s) for each athlete; NaN without an effort to predict from."""
    columns = {}
    for name, distance in DISTANCES_M.items():
        time = riegel(best_effort_distance_m, best_effort_time_s, distance)
        columns[f"predicted_{name}_s"] = time
        columns[f"p10_{name}_s"] = time * np.exp(intervals[name].log_p10)
        columns[f"p90_{name}_s"] = time * np.exp(intervals[name].log_p90)
    return columns


def as_mlflow_model(intervals: dict[str, Interval]) -> Any:
    """The baseline as a pyfunc: a frame with the INPUTS gives one with the prediction columns and `served_by`."""
    import mlflow
    import pandas as pd

    class FormulaBaseline(mlflow.pyfunc.PythonModel):  # type: ignore[name-defined]
        def predict(
            self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None
        ) -> pd.DataFrame:
            distance, time = (model_input[name].to_numpy(dtype=np.float64) for name in INPUTS)
            frame = pd.DataFrame(predictions(distance, time, intervals), index=model_input.index)
            frame["served_by"] = frame["predicted_5k_s"].map(lambda time: "baseline" if np.isfinite(time) else None)
            frame["top_reasons"] = None
            return frame

    return FormulaBaseline()
