"""Whether what was promised when a model was trained holds on the efforts that came after: error and coverage.

All figures are of the newest outcomes at each distance, of predictions that were made before the effort's day.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from athlete_assets import tables
from athlete_assets.models import registry
from athlete_assets.models.conformal import COVERAGE, LAST_OUTCOMES
from athlete_assets.monitoring.checks import Check, CheckOutcome
from athlete_assets.settings import Settings
from athlete_assets.words import counted

if TYPE_CHECKING:
    import pandas as pd

FEWEST = 10
"""Outcomes at a distance below which nothing is said of it."""
CONFIDENCE = 0.9
TOLERATED = (0.75, 0.85)
"""Coverage between these is as promised."""
BOOTSTRAPS = 400

INTERVALS_HOLD = Check(
    "intervals_hold",
    "At each distance the 80 % intervals held the last efforts: chance does not explain a share outside 75 to 85 %.",
    severity="warning",
    blocking=False,
)
AS_ACCURATE_AS_OFFLINE = Check(
    "as_accurate_as_offline",
    "At each distance the serving version's mean error on the efforts that came after is not surely above that of its "
    "evaluation.",
    severity="warning",
    blocking=False,
)


def judged(outcomes: DataFrame) -> pd.DataFrame:
    """The PREDICTION_OUTCOMES rows that say something of a model, oldest first: predicted before they were run."""
    rows = outcomes.where(~F.coalesce("is_backfilled", F.lit(False))).toPandas()
    return rows.sort_values(["activity_date", "athlete_id", "activity_id"], ignore_index=True)


def by_group(rows: pd.DataFrame) -> pd.DataFrame:
    """Of `judged` rows, by distance, tier and model version: n, mean absolute error and bias (%), and coverage (share).

    Of each group the newest LAST_OUTCOMES; bias is positive where predicted too slow.
    """
    import pandas as pd

    groups = rows.groupby(["distance", "tier", "served_by", "model_version"], dropna=False, sort=True)
    found = [
        {
            **dict(zip(("distance", "tier", "served_by", "model_version"), key, strict=True)),
            "n": len(newest),
            "error_pct": float(newest["error_pct"].abs().mean()),
            "bias_pct": float(newest["error_pct"].mean()),
            "coverage": float(newest["in_interval"].astype(float).mean()),
        }
        for key, group in groups
        for newest in [group.tail(LAST_OUTCOMES)]
    ]
    columns = ["distance", "tier", "served_by", "model_version", "n", "error_pct", "bias_pct", "coverage"]
    return pd.DataFrame(found, columns=columns)


def intervals_hold(rows: pd.DataFrame) -> CheckOutcome:
    """Whether the exact binomial interval of the coverage (Clopper & Pearson, 1934) reaches TOLERATED everywhere."""
    from scipy.special import betaincinv  # scipy.stats takes a second to import

    said, numbers, good = [], dict[str, Any](), True
    for name, newest in _by_distance(rows[rows["in_interval"].notna()]):
        inside, count = int(newest["in_interval"].sum()), len(newest)
        tail = (1 - CONFIDENCE) / 2
        low = float(betaincinv(inside, count - inside + 1, tail)) if inside else 0.0
        high = float(betaincinv(inside + 1, count - inside, 1 - tail)) if inside < count else 1.0
        holds = high >= TOLERATED[0] and low <= TOLERATED[1]
        good &= holds
        numbers |= {f"coverage {name}": round(inside / count, 4), f"outcomes {name}": count}
        said.append(
            f"{name} {inside / count:.0%} of {count} [{low:.0%}, {high:.0%}]{'' if holds else ', not as promised'}"
        )
    if not said:
        return INTERVALS_HOLD.outcome(True, f"Not judged: no distance has {FEWEST} outcomes yet.", {})
    return INTERVALS_HOLD.outcome(good, f"{COVERAGE:.0%} intervals held: {'; '.join(said)}.", numbers)


def as_accurate_as_offline(rows: pd.DataFrame, promised: Mapping[str, float], version: str | None) -> CheckOutcome:
    """The serving version's mean absolute error online against `promised` (%, by distance), with a bound from draws of
    athletes.
    """
    own = rows[rows["model_version"] == version]
    said, numbers, good = [], dict[str, Any](), True
    for name, newest in _by_distance(own):
        if name not in promised:
            continue
        error = newest["error_pct"].abs().to_numpy(np.float64)
        low = _lowest(error, newest["athlete_id"].to_numpy(dtype=str))
        holds = low <= promised[name]
        good &= holds
        numbers |= {f"online {name}": round(float(error.mean()), 4), f"offline {name}": round(promised[name], 4)}
        said.append(
            f"{name} {error.mean():.1f} % (surely above {low:.1f} %) on {counted(len(error), 'effort')} against "
            f"{promised[name]:.1f} %{'' if holds else ', worse'}"
        )
    if not said:
        why = f"no distance has {FEWEST} outcomes of version {version}" if promised else "what serves was not evaluated"
        return AS_ACCURATE_AS_OFFLINE.outcome(True, f"Not judged: {why}.", {})
    return AS_ACCURATE_AS_OFFLINE.outcome(good, f"Mean error online: {'; '.join(said)}.", numbers)


def promised_by(settings: Settings) -> tuple[dict[str, float], str | None]:
    """The serving time estimator's mean absolute error (%) on its holdout, by distance, and its version."""
    from mlflow.exceptions import MlflowException

    client = registry.client(settings)
    try:
        serving = client.get_model_version_by_alias(registry.model_name("time_estimator", settings), registry.CHAMPION)
        metrics = client.get_run(str(serving.run_id)).data.metrics
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return {}, None
        raise
    names = {name: f"holdout.{name}.model.mean_ape" for name in tables.DISTANCES_M}
    return {name: metrics[key] * 100 for name, key in names.items() if key in metrics}, str(serving.version)


def _by_distance(rows: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """The newest LAST_OUTCOMES of each distance that has FEWEST."""
    found = [(name, rows[rows["distance"] == name].tail(LAST_OUTCOMES)) for name in tables.DISTANCES_M]
    return [(name, newest) for name, newest in found if len(newest) >= FEWEST]


def _lowest(values: np.ndarray, athletes: np.ndarray) -> float:
    """5th percentile of the mean over draws of athletes; of efforts where they are one athlete's."""
    names, which = np.unique(athletes, return_inverse=True)
    if len(names) == 1:
        which = np.arange(len(values))
    sums, counts = np.bincount(which, values), np.bincount(which)
    draws = np.random.default_rng(0).integers(0, len(sums), (BOOTSTRAPS, len(sums)))
    return float(np.quantile(sums[draws].sum(axis=1) / counts[draws].sum(axis=1), 0.05))
