"""Why a prediction is what it is, in sentences that an athlete understands.

SHAP values of the p50 model (those of its line: slope times distance from the mean) add up to its logarithm of run time
over baseline; summed over a theme (volume, heart rate, runs over the distance, ...) and turned into seconds, they say
what each side of the training did to the prediction.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from athlete_assets import tables

if TYPE_CHECKING:
    import pandas as pd

    from athlete_assets.models.time_estimator import TimeEstimator

DISTANCE = "10k"
"""The distance that the reasons are given for: the one that most athletes have run."""
MOST = 3
SMALLEST_EFFECT = 0.003
"""A theme that moves the time by less (0.3 %) is not worth a sentence."""

Row = Mapping[str, Any]


def clock(seconds: float) -> str:
    """48:05, or 1:45:20 from an hour on."""
    whole = round(float(seconds))
    hours, rest = divmod(whole, 3_600)
    return f"{hours}:{rest // 60:02d}:{rest % 60:02d}" if hours else f"{rest // 60}:{rest % 60:02d}"


def _known(row: Row, *names: str) -> bool:
    return all(np.isfinite(row[name]) for name in names)


def _level(row: Row) -> str:
    if _known(row, "best_30d_10k_s"):
        return f"Your best run of the last 30 days is worth {clock(row['best_30d_10k_s'])} over 10 km"
    return "You have run nothing of 3 km or more in the last 30 days"


def _same_distance(row: Row) -> str:
    if _known(row, f"best_{DISTANCE}_60d_s"):
        return f"Your fastest 10 km run of the last 60 days took {clock(row[f'best_{DISTANCE}_60d_s'])}"
    if _known(row, f"best_{DISTANCE}_365d_s"):
        return f"Your fastest 10 km run of the last year took {clock(row[f'best_{DISTANCE}_365d_s'])}"
    return "You have not run 10 km in the last year"


def _other_distances(row: Row) -> str:
    for name, words in (("half", "half marathon"), ("5k", "5 km run"), ("15k", "15 km run"), ("8k", "8 km run")):
        if _known(row, f"best_{name}_365d_s"):
            return f"Your fastest {words} of the last year took {clock(row[f'best_{name}_365d_s'])}"
    return "You have run few other distances in the last year"


def _heart_rate(row: Row) -> str:
    if _known(row, "hr_predicted_10k_s", "hard_hr_bpm"):
        return (
            f"Your speed at a given heart rate points to {clock(row['hr_predicted_10k_s'])} over 10 km "
            f"at {row['hard_hr_bpm']:.0f} bpm"
        )
    return "Too few of your runs have a heart rate to read your effort from"


def _volume(row: Row) -> str:
    return f"You ran {row['run_distance_28d_km']:.0f} km in the last 28 days"


def _long_runs(row: Row) -> str:
    if _known(row, "longest_run_90d_km"):
        return f"Your longest run of the last 90 days was {row['longest_run_90d_km']:.0f} km"
    return "You have not run in the last 90 days"


def _regularity(row: Row) -> str:
    return f"You ran on {row['run_days_90d']:.0f} of the last 90 days"


def _load(row: Row) -> str:
    if _known(row, "ctl_42d", "tsb"):
        return f"Your fitness stands at {row['ctl_42d']:.0f} TSS a day and your form at {row['tsb']:+.0f}"
    return "Your training load is not known"


def _effort(row: Row) -> str:
    return (
        f"Your best recent effort, {row['recent_effort_distance_m'] / 1000:.1f} km in "
        f"{clock(row['recent_effort_time_s'])}, was {row['recent_effort_age_days']:.0f} days ago"
    )


def theme_of(feature: str) -> Callable[[Row], str]:
    """The sentence maker of the theme that a feature of the design matrix belongs to."""
    if feature.startswith("same_"):
        return _same_distance
    if feature.startswith(("shorter_", "longer_")):
        return _other_distances
    if "hr_" in feature or feature.startswith(("hard_", "usual_")):
        return _heart_rate
    if feature.startswith("longest_run"):
        return _long_runs
    if feature.startswith("run_distance"):
        return _volume
    if feature.startswith("run_days") or feature in ("days_since_run", "run_history_days"):
        return _regularity
    if feature in ("ctl_42d", "tsb", "pace_trend_30d"):
        return _load
    if feature.endswith("_10k_s") and not feature.startswith("baseline"):
        return _level
    return _effort


def top_reasons(estimator: TimeEstimator, wide: pd.DataFrame) -> list[list[str]]:
    """For each row of `wide` (INPUTS) the themes that moved its 10 km time most, the largest first.

    A row without a baseline, or one that nothing moved, has none. Each sentence ends with its effect.
    """
    from athlete_assets.models.training_set import baseline_seconds, design_matrix

    reasons: list[list[str]] = [[] for _ in range(len(wide))]
    target = np.full(len(wide), tables.DISTANCES_M[DISTANCE])
    baseline = baseline_seconds(wide, target)
    known = np.flatnonzero(np.isfinite(baseline))
    if not len(known):
        return reasons
    rows = wide.iloc[known]
    matrix = design_matrix(rows, [DISTANCE] * len(rows))[estimator.features]
    themes = [theme_of(name) for name in matrix.columns]
    names = list(dict.fromkeys(themes))
    membership = np.array([[theme is name for name in names] for theme in themes], dtype=np.float64)
    effects = estimator.effects(matrix) @ membership * estimator.trust[DISTANCE]
    for number, (position, effect) in enumerate(zip(known, effects, strict=True)):
        row = rows.iloc[number]
        for theme in np.argsort(-np.abs(effect))[:MOST]:
            if abs(effect[theme]) >= SMALLEST_EFFECT:
                seconds = abs(baseline[position] * np.expm1(effect[theme]))
                pace = "faster" if effect[theme] < 0 else "slower"
                reasons[position].append(f"{names[theme](row)}: {clock(seconds)} {pace} over 10 km.")
    return reasons
