"""Why a prediction is what it is, in sentences that an athlete understands.

SHAP values of the p50 model (those of its line: slope times distance from the mean) add up to its logarithm of run
time over baseline; summed over a theme (volume, heart rate, runs over the distance, ...) and turned into seconds at
each race distance, they say what each side of the training did to the prediction. A population line that was moved
towards the home's own efforts says that, too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from athlete_assets import tables
from athlete_assets.errors import ContractError
from athlete_assets.formulas.race_times import clock
from athlete_assets.models.time_estimator import TimeEstimator
from athlete_assets.models.training_set import baseline_seconds, design_matrix
from athlete_assets.words import counted

if TYPE_CHECKING:
    import pandas as pd

DISTANCE = "10k"
"""The distance that a sentence names a time at: the one that most athletes have run."""
OVER = {"5k": "5 km", "10k": "10 km", "half": "the half marathon", "marathon": "the marathon"}
MOST = 3
SMALLEST_EFFECT = 0.003
"""A theme that moves the time by less (0.3 %) is not worth a sentence."""

Row = Mapping[str, Any]


def _known(row: Row, *names: str) -> bool:
    return all(np.isfinite(row[name]) for name in names)


def _level(row: Row) -> str:
    if _known(row, "best_30d_10k_s"):
        return f"Your best run of the last 30 days is worth {clock(row['best_30d_10k_s'])} over 10 km"
    return "You have run nothing of 3 km or more in the last 30 days"


def _same_distance(row: Row) -> str:
    said = "What you have run at the distance itself"
    if _known(row, f"best_{DISTANCE}_60d_s"):
        return f"{said} (your fastest 10 km run of the last 60 days took {clock(row[f'best_{DISTANCE}_60d_s'])})"
    if _known(row, f"best_{DISTANCE}_365d_s"):
        return f"{said} (your fastest 10 km run of the last year took {clock(row[f'best_{DISTANCE}_365d_s'])})"
    return f"{said} (you have not run 10 km in the last year)"


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
        f"{clock(row['recent_effort_time_s'])}, was {counted(round(row['recent_effort_age_days']), 'day')} ago"
    )


def _own_efforts(row: Row) -> str:
    return "Your own hard efforts so far, beside those of other runners with the same training"


Theme = Callable[[Row], str]

FEATURES_OF_THEMES: dict[Theme, tuple[str, ...]] = {
    _effort: ("target_log_m", "baseline_log_10k_s", "effort_to_target_log", "recent_effort_age_days"),
    _level: (
        "best_14d_10k_s",
        "best_30d_10k_s",
        "best_90d_10k_s",
        "best_180d_10k_s",
        "best_365d_10k_s",
        "quarter_60d_10k_s",
        "median_60d_10k_s",
        "tenth_180d_10k_s",
        "median_180d_10k_s",
    ),
    _heart_rate: (
        "usual_120d_10k_s",
        "usual_30d_10k_s",
        "hard_best_180d_10k_s",
        "hard_median_180d_10k_s",
        "hr_predicted_10k_s",
        "hard_hr_bpm",
        "usual_hr_share",
        "hr_slope",
        "hard_days_180d",
    ),
    _volume: ("run_distance_7d_km", "run_distance_28d_km", "run_distance_90d_km", "run_distance_365d_km"),
    _regularity: (
        "run_days_60d",
        "run_days_14d",
        "run_days_28d",
        "run_days_90d",
        "days_since_run",
        "run_history_days",
    ),
    _long_runs: (
        "longest_run_28d_km",
        "longest_run_90d_km",
        "longest_run_28d_of_target",
        "longest_run_90d_of_target",
    ),
    _load: ("ctl_42d", "tsb", "pace_trend_30d"),
    _same_distance: (
        "same_best_60d_s",
        "same_best_before_s",
        "same_best_365d_s",
        "same_median_365d_s",
        "same_latest_s",
        "same_latest_age_days",
        "same_days_with_60d",
        "same_days_with_365d",
    ),
    _other_distances: ("shorter_best_60d_s", "longer_best_60d_s", "shorter_best_365d_s", "longer_best_365d_s"),
}
"""The columns of the design matrix by what is said of them, each once: a test says that none is missing."""
THEMES = {feature: theme for theme, features in FEATURES_OF_THEMES.items() for feature in features}


def theme_of(feature: str) -> Theme:
    """The sentence maker of a column of the design matrix; raises ContractError for one that has no theme."""
    if feature not in THEMES:
        raise ContractError(
            f"{feature} is a feature of the time estimator without a theme: enter it in FEATURES_OF_THEMES "
            "(athlete_assets/models/reasons.py), so that what it does to a prediction can be said"
        )
    return THEMES[feature]


def top_reasons(estimator: TimeEstimator, wide: pd.DataFrame) -> list[list[str]]:
    """For each row of `wide` (INPUTS) the themes that moved its times most, the largest first.

    A row without a baseline, or one that nothing moved, has none. Each sentence ends with its effect at each distance.
    """
    reasons: list[list[str]] = [[] for _ in range(len(wide))]
    distances = list(tables.DISTANCES_M)
    baseline = np.column_stack([baseline_seconds(wide, np.full(len(wide), tables.DISTANCES_M[n])) for n in distances])
    known = np.flatnonzero(np.isfinite(baseline[:, 0]))
    if not len(known):
        return reasons
    rows = wide.iloc[known]
    # (rows, themes, distances)
    effects = np.stack([_effects_of_themes(estimator, rows, name) for name in distances], axis=2)
    for number, position in enumerate(known):
        row, effect = rows.iloc[number], effects[number]
        for theme in np.argsort(-np.abs(effect).mean(axis=1), kind="stable")[:MOST]:
            said = [
                f"{clock(abs(seconds))} {'faster' if seconds < 0 else 'slower'} over {OVER[name]}"
                for name, seconds, share in zip(
                    distances, baseline[position] * np.expm1(effect[theme]), effect[theme], strict=True
                )
                if abs(share) >= SMALLEST_EFFECT
            ]
            if said:
                reasons[position].append(f"{_THEMES_IN_ORDER[theme](row)}: {', '.join(said)}.")
    return reasons


_THEMES_IN_ORDER = (*FEATURES_OF_THEMES, _own_efforts)


def _effects_of_themes(estimator: TimeEstimator, rows: pd.DataFrame, distance: str) -> NDArray[np.float64]:
    """(rows, themes): what each theme adds to the logarithm of the time at a distance."""
    named = [distance] * len(rows)
    matrix = design_matrix(rows, named)[estimator.features]
    themes = [theme_of(name) for name in matrix.columns]
    membership = np.array([[theme is other for other in _THEMES_IN_ORDER] for theme in themes], dtype=np.float64)
    effects: NDArray[np.float64] = estimator.effects(matrix, named) @ membership
    effects[:, -1] = (estimator.shift or {}).get(distance, 0.0)
    return effects
