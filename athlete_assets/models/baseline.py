"""The formula that serves from day one and that a learned model must beat: Riegel from the best recent effort.

It is an MLflow model like any other, with the same inputs and outputs as the learned one, so that what serves is
decided by the registry's `champion` alias alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from athlete_assets import tables
from athlete_assets.formulas.race_times import riegel
from athlete_assets.models.model_spec import Formula
from athlete_assets.tables import DISTANCES_M

if TYPE_CHECKING:
    import pandas as pd

    from athlete_assets.store.base import Store

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
        predicted, fast, slow = tables.TIME_COLUMNS[name]
        columns[predicted] = time
        columns[fast] = time * np.exp(intervals[name].log_p10)
        columns[slow] = time * np.exp(intervals[name].log_p90)
    return columns


def measured(store: Store) -> dict[str, Interval]:
    """By distance, how far marked races end from Riegel, as predicted on the evening before them."""
    from pyspark.sql import functions as F

    from athlete_assets.features.efforts import effort_time

    evening_before = (F.col("activity_date") - F.expr("INTERVAL 1 DAY")).alias("as_of_date")
    races = store.read(tables.ACTIVITY).where("is_race and distance_km > 0")
    minutes = effort_time(F.col("moving_time_min"), F.col("elapsed_time_min"), F.col("is_race")).alias("minutes")
    races = races.select("athlete_id", evening_before, "distance_km", minutes)
    known = store.read(tables.ROLLING).select("athlete_id", "as_of_date", *INPUTS)
    frame = races.join(known, ["athlete_id", "as_of_date"], how="inner").toPandas()
    metres = frame["distance_km"].to_numpy() * 1000
    intervals = {}
    for name, distance in DISTANCES_M.items():
        near = np.abs(metres / distance - 1) <= store.settings.race_distance_tolerance
        efforts = frame[near]
        run = efforts["minutes"].to_numpy() * 60 * distance / metres[near]
        predicted = riegel(efforts["best_effort_distance_m"], efforts["best_effort_time_s"], distance)
        intervals[name] = interval_of(np.log(run / predicted))
    return intervals


def _params(intervals: dict[str, Interval]) -> dict[str, float]:
    return {
        **{f"log_p10.{name}": interval.log_p10 for name, interval in intervals.items()},
        **{f"log_p90.{name}": interval.log_p90 for name, interval in intervals.items()},
    }


def _metrics(intervals: dict[str, Interval]) -> dict[str, float]:
    return {f"races.{name}": float(interval.races) for name, interval in intervals.items()}


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


FORMULA = Formula(
    features={tables.ROLLING: INPUTS},
    measured=measured,
    params=_params,
    metrics=_metrics,
    pyfunc=as_mlflow_model,
    tables=(tables.ACTIVITY, tables.ROLLING),
)
