"""The formula that serves from day one and that a learned model must beat: bias-corrected Riegel from the recent best.

It is an MLflow model like any other, with the same inputs and outputs as the learned one, so that what serves is
decided by the registry's `champion` alias alone. Its Riegel is the learned model's own reference
(`training_set.baseline_seconds`): the best effort of the last 60 days where there is one, else of 180, else of 365.
Riegel's prediction is a personal best's: most runs and most races end slower. By how much is measured on the home's own
efforts, and on the population's where they are few.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from athlete_assets import tables
from athlete_assets.models import population, training_set
from athlete_assets.models.model_spec import Formula
from athlete_assets.models.population import REAL, Correction
from athlete_assets.tables import DISTANCES_M

if TYPE_CHECKING:
    import pandas as pd

    from athlete_assets.store.base import Store

INPUTS = ("recent_effort_distance_m", "recent_effort_time_s")
QUANTILES = (0.1, 0.5, 0.9)
LEAST_EFFORTS = 20
"""Efforts at a distance from which a home's own correction is measured."""


def correction_of(log_ratios: NDArray[np.float64], prior: Correction) -> Correction:
    """Of log(run / Riegel), NaN where there was nothing to predict from; the prior under LEAST_EFFORTS of them."""
    ratios = log_ratios[np.isfinite(log_ratios)]
    if len(ratios) < LEAST_EFFORTS:
        return prior
    low, middle, high = np.quantile(ratios, QUANTILES)
    return Correction(float(low), float(middle), float(high), len(ratios))


def predictions(wide: pd.DataFrame, corrections: Mapping[str, Correction]) -> dict[str, NDArray[np.float64]]:
    """Columns predicted_, p10_, p90_<distance>_s (s), one row a row of `wide` (INPUTS); NaN without an effort.

    A longer distance never gets a shorter time, at any of the three.
    """
    times = []
    for name, distance in DISTANCES_M.items():
        riegel = training_set.baseline_seconds(wide, np.full(len(wide), distance))
        found = corrections[name]
        times.append(riegel[:, None] * np.exp([found.log_p10, found.log_p50, found.log_p90]))
    ordered = np.maximum.accumulate(np.stack(times), axis=0)
    columns: dict[str, NDArray[np.float64]] = {}
    for name, of_distance in zip(DISTANCES_M, ordered, strict=True):
        predicted, fast, slow = tables.TIME_COLUMNS[name]
        columns |= {fast: of_distance[:, 0], predicted: of_distance[:, 1], slow: of_distance[:, 2]}
    return columns


def measured(store: Store) -> dict[str, Correction]:
    """By distance, how the home's hard efforts ended against Riegel, as known on the evening before them.

    Where they are few, how those of the population did; of real runners where the home's athletes are of both kinds.
    """
    prior = (population.of_home(store) or population.shipped(REAL)).formula
    efforts = store.read(tables.RACE_EFFORTS).where("left_out is null")
    known = store.read(tables.PERFORMANCE)
    known = known.select("athlete_id", known["as_of_date"].alias("lookup_timestamp"), *INPUTS)
    frame = efforts.join(known, ["athlete_id", "lookup_timestamp"], how="inner").toPandas()
    predicted = training_set.baseline_seconds(frame, frame["target_m"].to_numpy(np.float64))
    ratio = np.log(frame["time_s"].to_numpy(np.float64) / predicted)
    distance = frame["distance"].to_numpy()
    return {name: correction_of(ratio[distance == name], prior[name]) for name in DISTANCES_M}


def _params(corrections: dict[str, Correction]) -> dict[str, float]:
    return {
        f"{quantile}.{name}": getattr(found, quantile)
        for name, found in corrections.items()
        for quantile in ("log_p10", "log_p50", "log_p90")
    }


def _metrics(corrections: dict[str, Correction]) -> dict[str, float]:
    return {f"efforts.{name}": float(found.efforts) for name, found in corrections.items()}


def served(corrections: Mapping[str, Correction], rows: pd.DataFrame) -> pd.DataFrame:
    """The prediction columns and `served_by`, from a frame with the INPUTS."""
    import pandas as pd

    frame = pd.DataFrame(predictions(rows[list(INPUTS)].astype(np.float64), corrections), index=rows.index)
    frame["served_by"] = frame["predicted_5k_s"].map(lambda time: "baseline" if np.isfinite(time) else None)
    frame["top_reasons"] = None
    return frame


FORMULA = Formula(
    features={tables.PERFORMANCE: INPUTS},
    measured=measured,
    params=_params,
    metrics=_metrics,
    predict=served,
    tables=(tables.RACE_EFFORTS, tables.PERFORMANCE),
)
