"""Evaluation that cannot flatter: unseen athletes, forward in time, and the formulas beside the model on the same runs.

Every number is of efforts that the model, its bias corrections and its interval have not seen: either all labels of
their athletes were left out, or everything from 43 days before them on.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from athlete_assets import tables
from athlete_assets.formulas import race_times
from athlete_assets.models import time_estimator
from athlete_assets.models.time_estimator import DISTANCES, athlete_folds
from athlete_assets.models.training_set import baseline_seconds

if TYPE_CHECKING:
    import pandas as pd

EMBARGO_DAYS = 43
"""One day more than the longest time constant of the load features (42 days)."""
ATHLETE_FOLDS = 8
FORWARD_CUTS = (0.4, 0.55, 0.7, 0.85)
"""Shares of the labels, by date, at which a forward fit ends."""
BOOTSTRAPS = 400

MODEL = "model"
RECENT, RECENT_CORRECTED = "riegel_recent", "riegel_recent_corrected"
BEST_180D, BEST_180D_CORRECTED = "riegel", "riegel_corrected"
FORMULAS = (BEST_180D, BEST_180D_CORRECTED, RECENT, RECENT_CORRECTED, "cameron", "daniels", "critical_speed")
METHODS = (MODEL, *FORMULAS)
DESCRIPTIONS = {
    MODEL: "the time estimator",
    BEST_180D: "Riegel from the best effort of 180 days",
    BEST_180D_CORRECTED: "the same, bias-corrected per distance on the training labels",
    RECENT: "Riegel from the best effort of 60 days where there is one",
    RECENT_CORRECTED: "the same, bias-corrected: what serves where the model does not",
    "cameron": "Cameron from the best effort of 180 days",
    "daniels": "VDOT (Daniels) of the best effort of 180 days",
    "critical_speed": "critical speed from the last 60 days' bests at two distances or more",
}

GOALS: dict[str, float] = {"5k": 0.30, "10k": 0.30, "half": 0.20, "marathon": 0.0}
"""By how much the model's mean APE is to lie below bias-corrected Riegel's."""
GOAL_10K_MAE_S = 180.0
GOAL_COVERAGE = (0.75, 0.85)


def unseen_athletes(labelled: pd.DataFrame, folds: int = ATHLETE_FOLDS) -> pd.DataFrame:
    """Each effort predicted by a model that saw none of its athlete: the usable rows with a column a method (s)."""
    usable = time_estimator.usable_rows(labelled)
    fold = athlete_folds(usable["athlete_id"].to_numpy(), folds)
    return _scored_in_parts(usable, [(fold != number, fold == number) for number in np.unique(fold)])


def forward_in_time(labelled: pd.DataFrame) -> pd.DataFrame:
    """Each effort after a cut predicted by a model that saw only what lay EMBARGO_DAYS and more before the cut."""
    import pandas as pd

    usable = time_estimator.usable_rows(labelled)
    day = usable["activity_date"]
    cuts: list[pd.Timestamp] = [day.sort_values().iloc[int(share * len(day))] for share in FORWARD_CUTS]
    ends = [*cuts[1:], day.max() + pd.Timedelta(days=1)]
    parts = []
    for cut, end in zip(cuts, ends, strict=True):
        train, test = day < cut - pd.Timedelta(days=EMBARGO_DAYS), (day >= cut) & (day < end)
        parts.append((train.to_numpy(), test.to_numpy()))
    return _scored_in_parts(usable, parts)


def other_athletes(training: pd.DataFrame, labelled: pd.DataFrame) -> pd.DataFrame:
    """Each effort of the one data set predicted by a model trained on the other."""
    return scored(time_estimator.usable_rows(training), _with_baseline(labelled))


def _with_baseline(labelled: pd.DataFrame) -> pd.DataFrame:
    return labelled[labelled["recent_effort_time_s"].notna()].reset_index(drop=True)


def _scored_in_parts(usable: pd.DataFrame, parts: list[tuple[NDArray[np.bool_], NDArray[np.bool_]]]) -> pd.DataFrame:
    """Parts whose training side is too small to learn from are left out; raises where that is all of them."""
    import pandas as pd

    done, problem = [], None
    for train, test in parts:
        if not test.any():
            continue
        try:
            done.append(scored(usable[train].reset_index(drop=True), usable[test].reset_index(drop=True)))
        except time_estimator.TooLittleToLearnFrom as error:
            problem = error
    if not done:
        assert problem is not None
        raise problem
    return pd.concat(done, ignore_index=True)


def scored(
    train: pd.DataFrame, test: pd.DataFrame, estimator: time_estimator.TimeEstimator | None = None
) -> pd.DataFrame:
    """The test rows at the race distances with a column a method, and the model's p10 and p90 (all s).

    The estimator is the one given, which must have been fitted on `train`, or is fitted here.
    """
    test = test[test["distance"].isin(DISTANCES)].reset_index(drop=True)
    estimator = estimator or time_estimator.fit(train)
    times, is_model = estimator.times(test, list(test["distance"]))
    columns = {MODEL: times[:, 1], "p10": times[:, 0], "p90": times[:, 2], "is_model": is_model}
    for name, predict in _PREDICTORS.items():
        columns[name] = predict(test)
    for name, corrected in ((BEST_180D, BEST_180D_CORRECTED), (RECENT, RECENT_CORRECTED)):
        misses = np.log(train["time_s"].to_numpy(np.float64) / _PREDICTORS[name](train))
        bias = _medians(train, misses)
        columns[corrected] = columns[name] * np.exp([bias[distance] for distance in test["distance"]])
    return test.assign(**columns)


def _medians(train: pd.DataFrame, misses: NDArray[np.float64]) -> dict[str, float]:
    """Median log ratio by distance; that of all where a distance has none."""
    distance = train["distance"].to_numpy()
    overall = float(np.nanmedian(misses))
    medians = {}
    for name in DISTANCES:
        own = misses[(distance == name) & np.isfinite(misses)]
        medians[name] = float(np.median(own)) if len(own) else overall
    return medians


def _effort(rows: pd.DataFrame) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    return rows["best_effort_distance_m"].to_numpy(np.float64), rows["best_effort_time_s"].to_numpy(np.float64)


def _target(rows: pd.DataFrame) -> NDArray[np.float64]:
    return rows["target_m"].to_numpy(np.float64)


def _critical_speed(rows: pd.DataFrame) -> NDArray[np.float64]:
    distances = np.array(list(tables.EFFORT_DISTANCES_M.values()))
    bests = rows[[f"best_{name}_60d_s" for name in tables.EFFORT_DISTANCES_M]].to_numpy(np.float64)
    fitted = np.array([race_times.critical_speed(distances, times) for times in bests]).reshape(len(rows), 2)
    return race_times.critical_speed_time(fitted[:, 0], fitted[:, 1], _target(rows))


_PREDICTORS: dict[str, Callable[[Any], NDArray[np.float64]]] = {
    BEST_180D: lambda rows: race_times.riegel(*_effort(rows), _target(rows)),
    RECENT: lambda rows: baseline_seconds(rows, _target(rows)),
    "cameron": lambda rows: race_times.cameron(*_effort(rows), _target(rows)),
    "daniels": lambda rows: race_times.daniels(*_effort(rows), _target(rows)),
    "critical_speed": _critical_speed,
}


# ---------------------------------------------------------------------------------------------------------- figures


def figures(predictions: pd.DataFrame) -> dict[str, Any]:
    """Per distance: n, athletes, and for each method MAE (s), median and mean APE; interval coverage and width.

    `against` holds the model's mean APE as a share of each bias-corrected baseline's, on the rows that both predict,
    with a 90 % interval by resampling athletes.
    """
    report: dict[str, Any] = {}
    for name in DISTANCES:
        rows = predictions[predictions["distance"] == name]
        if rows.empty:
            continue
        run = rows["time_s"].to_numpy(np.float64)
        inside = (run >= rows["p10"]) & (run <= rows["p90"])
        report[name] = {
            "n": len(rows),
            "athletes": int(rows["athlete_id"].nunique()),
            "served_by_model": int(rows["is_model"].sum()),
            "methods": {method: _errors(run, rows[method].to_numpy(np.float64)) for method in METHODS},
            "coverage": float(inside.mean()),
            "width": float(((rows["p90"] - rows["p10"]) / rows[MODEL]).mean()),
            "against": {method: _gain(rows, method) for method in (BEST_180D_CORRECTED, RECENT_CORRECTED)},
        }
    return report


def _errors(run: NDArray[np.float64], predicted: NDArray[np.float64]) -> dict[str, float | int | None]:
    known = np.isfinite(predicted)
    if not known.any():
        return {"n": 0, "mae_s": None, "median_ape": None, "mean_ape": None}
    error = np.abs(predicted[known] - run[known])
    share = error / run[known]
    return {
        "n": int(known.sum()),
        "mae_s": float(error.mean()),
        "median_ape": float(np.median(share)),
        "mean_ape": float(share.mean()),
    }


def _gain(rows: pd.DataFrame, method: str) -> dict[str, float | None]:
    both = rows[np.isfinite(rows[method]) & np.isfinite(rows[MODEL])]
    if both.empty:
        return {"mean_ape_below": None, "low": None, "high": None}
    share = both.assign(ours=(both[MODEL] / both["time_s"] - 1).abs(), theirs=(both[method] / both["time_s"] - 1).abs())
    sums = share.groupby("athlete_id")[["ours", "theirs"]].sum().to_numpy()
    random = np.random.default_rng(0)
    drawn = sums[random.integers(0, len(sums), (BOOTSTRAPS, len(sums)))].sum(axis=1)
    gains = 1 - drawn[:, 0] / drawn[:, 1]
    total = sums.sum(axis=0)
    return {
        "mean_ape_below": float(1 - total[0] / total[1]),
        "low": float(np.quantile(gains, 0.05)),
        "high": float(np.quantile(gains, 0.95)),
    }


@dataclass(frozen=True)
class GoalOutcome:
    """One requirement, whether it is met, and the sentence that says so."""

    name: str
    met: bool
    sentence: str


def goal_outcomes(report: dict[str, Any]) -> list[GoalOutcome]:
    """The goals of the time estimator against one evaluation's figures; a distance without efforts has no verdict."""
    found = []
    for name, goal in GOALS.items():
        if name not in report:
            continue
        gain = report[name]["against"][BEST_180D_CORRECTED]["mean_ape_below"]
        if gain is not None:
            sentence = f"{name}: mean APE {gain:.0%} below bias-corrected Riegel (goal {goal:.0%})"
            found.append(GoalOutcome(f"beats_riegel_{name}", gain >= goal, sentence))
        covered = report[name]["coverage"]
        low, high = GOAL_COVERAGE
        sentence = f"{name}: the 80 % interval holds {covered:.0%} of the efforts (goal {low:.0%} to {high:.0%})"
        found.append(GoalOutcome(f"coverage_{name}", low <= covered <= high, sentence))
    if "10k" in report:
        error = report["10k"]["methods"][MODEL]["mae_s"]
        sentence = f"10k: MAE {error:.0f} s (goal below {GOAL_10K_MAE_S:.0f} s)"
        found.append(GoalOutcome("mae_10k", error < GOAL_10K_MAE_S, sentence))
    return found


def as_text(title: str, report: dict[str, Any]) -> str:
    """The figures as a table for people."""
    lines = [title, f"{'':10}{'method':26}{'n':>6}{'MAE s':>9}{'median APE':>12}{'mean APE':>10}"]
    for name, part in report.items():
        for method, errors in part["methods"].items():
            if errors["n"]:
                lines.append(
                    f"{name if method == MODEL else '':10}{method:26}{errors['n']:6d}{errors['mae_s']:9.0f}"
                    f"{errors['median_ape']:12.1%}{errors['mean_ape']:10.1%}"
                )
        gains = ", ".join(
            f"{gain['mean_ape_below']:+.0%} [{gain['low']:+.0%}, {gain['high']:+.0%}] below {method}"
            for method, gain in part["against"].items()
            if gain["mean_ape_below"] is not None
        )
        lines.append(
            f"{'':10}{part['athletes']} athletes; 80 % interval holds {part['coverage']:.0%}, "
            f"width {part['width']:.0%} of the time; {gains}"
        )
    return "\n".join(lines)
