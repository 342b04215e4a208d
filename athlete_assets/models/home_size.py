"""How much it helps to know many runners: the population line of few and of many, and a home of one athlete."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from athlete_assets.models import fit_population, splits, time_evaluation
from athlete_assets.models.population import Kind, shift_of
from athlete_assets.models.time_estimator import (
    DEFAULTS,
    DISTANCES,
    TimeEstimatorOptions,
    log_ratios_of,
    usable_rows,
)
from athlete_assets.models.time_evaluation import MODEL, RECENT_CORRECTED
from athlete_assets.words import counted

if TYPE_CHECKING:
    import pandas as pd

SIZES = (10, 20, 40, 60)
FOLDS = 16
"""Of athletes that judge: few in each, so that most are there to learn from; each has a draw of its own of these."""

ALONE, TOGETHER, LINE = "alone", "together", "line"
"""Predicted in a home of one athlete; in a home of all; by the population line that no effort of the home has moved."""
GOAL_ALONE = 0.05
"""By how much the mean APE of a home of one may lie above that of a home of all."""


def learning_curve(
    labelled: pd.DataFrame, fitted_on: Kind, options: TimeEstimatorOptions = DEFAULTS
) -> dict[int, dict[str, Any]]:
    """By number of athletes that a line was fitted on, by distance, its errors on athletes left out.

    Sizes of which more is needed than is left beside a fold are not there.
    """
    import pandas as pd

    usable = usable_rows(labelled, options)
    parts = splits.by_athlete(usable, FOLDS)
    names = usable["athlete_id"].to_numpy(dtype=str)
    most = min(len(np.unique(names[train])) for train, _ in parts)
    curve = {}
    for size in (size for size in SIZES if size <= most):
        random, found = np.random.default_rng(0), []
        for train, test in parts:
            others, rows = np.unique(names[train]), usable[test].reset_index(drop=True)
            drawn = usable[np.isin(names, random.choice(others, size, replace=False))].reset_index(drop=True)
            line = fit_population.without_interval(drawn, fitted_on, options)
            found.append(time_evaluation.scored(drawn, rows, line.estimator(), line.formula))
        predicted = pd.concat(found, ignore_index=True)
        curve[size] = {
            name: {
                "mae_s": float((rows[MODEL] - rows["time_s"]).abs().mean()),
                "mean_ape": float((rows[MODEL] / rows["time_s"] - 1).abs().mean()),
                "below_formula": time_evaluation.gain(rows, RECENT_CORRECTED),
            }
            for name in DISTANCES
            if len(rows := predicted[predicted["distance"] == name])
        }
    return curve


def homes_of_one(
    labelled: pd.DataFrame, together: pd.DataFrame, fitted_on: Kind, options: TimeEstimatorOptions = DEFAULTS
) -> dict[str, dict[str, Any]]:
    """By distance, an athlete alone with the population line against a home in which all are together.

    Alone: the line was fitted on other athletes, and the athlete's own efforts of embargo_days before and more move it.
    together: `time_evaluation.forward_in_time`, whose model has learned from all athletes' efforts of so long before;
    its efforts judge both.
    """
    keys = ["athlete_id", "activity_id", "distance"]
    both = _alone(usable_rows(labelled, options), fitted_on, options).merge(
        together[[*keys, MODEL]].rename(columns={MODEL: TOGETHER}), on=keys
    )
    found = {}
    for name in DISTANCES:
        rows = both[both["distance"] == name]
        if len(rows):
            run = rows["time_s"]
            found[name] = {
                "n": len(rows),
                "athletes": int(rows["athlete_id"].nunique()),
                **{
                    who: {
                        "mae_s": float((rows[who] - run).abs().mean()),
                        "mean_ape": float((rows[who] / run - 1).abs().mean()),
                    }
                    for who in (ALONE, LINE, TOGETHER)
                },
                "below_together": time_evaluation.gain(rows.assign(**{MODEL: rows[ALONE]}), TOGETHER),
            }
    return found


def _alone(usable: pd.DataFrame, fitted_on: Kind, options: TimeEstimatorOptions) -> pd.DataFrame:
    """The efforts with ALONE and LINE (s): as `Population.moved` by the athlete's efforts before the embargo says."""
    import pandas as pd

    found = []
    for train, test in splits.by_athlete(usable):
        rows = usable[test].reset_index(drop=True)
        line = fit_population.without_interval(usable[train].reset_index(drop=True), fitted_on, options).estimator()
        at = list(rows["distance"])
        times, is_line = line.times(rows, at)
        residual = log_ratios_of(rows) - line.log_ratios(rows, at)[:, 1]
        athlete, distance = (rows[name].to_numpy(dtype=str) for name in ("athlete_id", "distance"))
        day, teaches = rows["activity_date"].to_numpy("datetime64[s]"), rows["left_out"].isna().to_numpy()
        until = day - np.timedelta64(options.embargo_days, "D")
        shifts = [
            shift_of(residual[(athlete == athlete[n]) & (distance == distance[n]) & teaches & (day < until[n])])
            for n in range(len(rows))
        ]
        found.append(rows.assign(**{LINE: times[:, 1], ALONE: times[:, 1] * np.exp(np.where(is_line, shifts, 0.0))}))
    return pd.concat(found, ignore_index=True)


def curve_as_text(curve: dict[int, dict[str, Any]]) -> str:
    lines = ["Population line by how many athletes it was fitted on, told of others"]
    for size, of_size in curve.items():
        said = ", ".join(
            f"{name} {part['mae_s']:.0f} s {part['mean_ape']:.1%} "
            f"({time_evaluation.below(part['below_formula'], RECENT_CORRECTED)})"
            for name, part in of_size.items()
        )
        lines.append(f"  {counted(size, 'athlete')}: {said}")
    return "\n".join(lines)


def homes_as_text(found: dict[str, dict[str, Any]]) -> str:
    lines = [
        "A home of one athlete, with the population line of others and its own efforts, against a home of all that has "
        "learned from the past"
    ]
    for name, part in found.items():
        gain = part["below_together"]
        alone, line, together = (part[who] for who in (ALONE, LINE, TOGETHER))
        met = "met   " if gain["mean_ape_below"] >= -GOAL_ALONE else "MISSED"
        lines.append(
            f"  {met}  {name}: {counted(part['n'], 'effort')} of {counted(part['athletes'], 'athlete')}: MAE "
            f"{alone['mae_s']:.0f} s, mean APE {alone['mean_ape']:.2%} ({line['mae_s']:.0f} s, {line['mean_ape']:.2%} "
            f"without its own efforts); together {together['mae_s']:.0f} s, {together['mean_ape']:.2%}: alone "
            f"{-gain['mean_ape_below']:+.1%} [{-gain['high']:+.1%}, {-gain['low']:+.1%}] (goal {GOAL_ALONE:+.0%})"
        )
    return "\n".join(lines)
