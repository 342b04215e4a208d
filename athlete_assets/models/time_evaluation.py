"""Evaluation that cannot flatter: unseen athletes, forward in time, and the formulas beside the model on the same runs.

Every number is of efforts that the model, its bias corrections and its interval have not seen: either all labels of
their athletes were left out, or everything from the embargo before them on.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from athlete_assets import tables
from athlete_assets.formulas import race_times
from athlete_assets.models import plots, promotion, splits, time_estimator
from athlete_assets.models.model_spec import Candidate, Judgement
from athlete_assets.models.promotion import Decision
from athlete_assets.models.registry import CHAMPION, Serving
from athlete_assets.models.splits import ATHLETE_FOLDS
from athlete_assets.models.time_estimator import DEFAULTS, DISTANCES, TimeEstimatorOptions
from athlete_assets.models.training_set import baseline_seconds

if TYPE_CHECKING:
    import pandas as pd

BOOTSTRAPS = 400
HOLDOUT_FOLDS = 4
"""Folds of athletes beside the holdout, in a training."""

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
GOAL_COVERAGE = (0.75, 0.85)


def unseen_athletes(
    labelled: pd.DataFrame, folds: int = ATHLETE_FOLDS, options: TimeEstimatorOptions = DEFAULTS
) -> pd.DataFrame:
    """Each effort predicted by a model that saw none of its athlete: the usable rows with a column a method (s)."""
    usable = time_estimator.usable_rows(labelled, options)
    return splits.scored_in_parts(usable, splits.by_athlete(usable, folds), _fitted_and_scored(options))


def forward_in_time(labelled: pd.DataFrame, options: TimeEstimatorOptions = DEFAULTS) -> pd.DataFrame:
    """Each effort after a cut predicted by a model that saw only what lay embargo_days and more before the cut."""
    usable = time_estimator.usable_rows(labelled, options)
    parts = splits.forward(usable, "activity_date", options.embargo_days)
    return splits.scored_in_parts(usable, parts, _fitted_and_scored(options))


def other_athletes(
    training: pd.DataFrame, labelled: pd.DataFrame, options: TimeEstimatorOptions = DEFAULTS
) -> pd.DataFrame:
    """Each effort of the one data set predicted by a model trained on the other."""
    train = time_estimator.usable_rows(training, options)
    return scored(train, _with_baseline(labelled), time_estimator.fit(train, options))


def _with_baseline(labelled: pd.DataFrame) -> pd.DataFrame:
    return labelled[labelled["recent_effort_time_s"].notna()].reset_index(drop=True)


def _fitted_and_scored(options: TimeEstimatorOptions) -> Callable[[pd.DataFrame, pd.DataFrame], pd.DataFrame]:
    return lambda train, test: scored(train, test, time_estimator.fit(train, options))


def scored(train: pd.DataFrame, test: pd.DataFrame, estimator: time_estimator.TimeEstimator) -> pd.DataFrame:
    """The test rows at the race distances with a column a method, and the model's p10 and p90 (all s).

    The estimator must have been fitted on `train`, whose labels also correct the formulas.
    """
    test = test[test["distance"].isin(DISTANCES)].reset_index(drop=True)
    times, is_model = estimator.times(test, list(test["distance"]))
    columns = {MODEL: times[:, 1], "p10": times[:, 0], "p90": times[:, 2], "is_model": is_model}
    for name, predict in _PREDICTORS.items():
        columns[name] = predict(test)
    train = time_estimator.learned_from(train)
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


# -------------------------------------------------------------------------------------------------------------- gate


def judged(candidate: Candidate, options: TimeEstimatorOptions) -> Judgement:
    """A candidate on its holdout, and, where there are not too many labels, on athletes left out of a fit."""
    holdout = scored(candidate.train, candidate.holdout, candidate.fitted)
    champion = champion_times(candidate.champion, holdout) if candidate.champion else None
    report = {"holdout": figures(holdout)}
    if len(candidate.usable) <= options.max_labels_for_folds:
        report["unseen_athletes"] = figures(unseen_athletes(candidate.usable, HOLDOUT_FOLDS, options))
    return Judgement(
        decision=verdict(holdout, champion, options),
        figures=report,
        text="\n\n".join(as_text(name, part) for name, part in report.items()),
        metrics={key: value for name, part in report.items() for key, value in _metrics(name, part).items()},
        plots={
            "predicted_against_run": plots.predicted_against_run(holdout),
            "interval_calibration": plots.interval_calibration(holdout),
            "residual_by_history": plots.residual_by_history(holdout, (MODEL, RECENT_CORRECTED)),
            "feature_effect": plots.feature_effect(candidate.fitted, candidate.train),
        },
        rows=len(holdout),
    )


def verdict(scored: pd.DataFrame, champion: NDArray[np.float64] | None, options: TimeEstimatorOptions) -> Decision:
    """The gate on a scored holdout; `champion` holds the learned champion's times (s), if one serves.

    Approved where the mean APE lies below both bias-corrected formulas', the 10 km MAE below max_mae_10k_s on at least
    min_holdout_10k efforts, and the champion is not better on the same rows.
    """
    run = scored["time_s"].to_numpy(np.float64)
    ours = scored[MODEL].to_numpy(np.float64)
    found: list[tuple[bool, str]] = []
    rivals = {name: scored[name].to_numpy(np.float64) for name in (BEST_180D_CORRECTED, RECENT_CORRECTED)}
    if champion is not None:
        rivals[CHAMPION] = champion
    for name, theirs in rivals.items():
        both = np.isfinite(ours) & np.isfinite(theirs)
        if not both.any():
            found.append((name == CHAMPION, f"{name} predicts none of the holdout's efforts"))
            continue
        error, other = (float(np.abs(times[both] / run[both] - 1).mean()) for times in (ours, theirs))
        # the champion goes only for a better one; a formula has to be beaten
        better = error <= other if name == CHAMPION else error < other
        found.append((better, f"mean APE {error:.2%} against {other:.2%} of {name} on {int(both.sum())} efforts"))
    at_10k = (scored["distance"] == "10k").to_numpy() & np.isfinite(ours)
    efforts, needed = int(at_10k.sum()), options.min_holdout_10k
    if efforts < needed:
        found.append((False, f"only {efforts} efforts at 10 km to judge by; {needed} are needed"))
    else:
        mae, limit = float(np.abs(ours - run)[at_10k].mean()), options.max_mae_10k_s
        found.append((mae < limit, f"10 km MAE {mae:.0f} s (below {limit:.0f} s is needed)"))
    return promotion.decided(found)


def champion_times(champion: Serving, holdout: pd.DataFrame) -> NDArray[np.float64]:
    """The champion's p50 (s) for each row of the holdout at the row's distance; NaN where it predicts nothing.

    A champion that fails (its stored code met another version of a library) predicts nothing: it must not be in the
    way of the one that replaces it.
    """
    times = np.full(len(holdout), np.nan)
    try:
        predicted = champion.model.predict(holdout[champion.inputs].astype(np.float64))
    except Exception as error:
        logging.getLogger(__name__).warning(
            "version %s of %s cannot predict: %s", champion.version, champion.name, error
        )
        return times
    for name, (p50, _, _) in tables.TIME_COLUMNS.items():
        at = (holdout["distance"] == name).to_numpy()
        times[at] = predicted[p50].to_numpy(np.float64)[at]
    return times


def _metrics(part: str, figures: Mapping[str, Any]) -> dict[str, float]:
    metrics: dict[str, float] = {}
    for name, found in figures.items():
        metrics |= {f"{part}.{name}.coverage": found["coverage"], f"{part}.{name}.width": found["width"]}
        for method, errors in found["methods"].items():
            metrics |= {
                f"{part}.{name}.{method}.{error}": float(value) for error, value in errors.items() if value is not None
            }
    return metrics


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


def goal_outcomes(report: dict[str, Any], options: TimeEstimatorOptions = DEFAULTS) -> list[GoalOutcome]:
    """The goals of the time estimator against one evaluation's figures; a distance without efforts has no outcome."""
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
        error, goal = report["10k"]["methods"][MODEL]["mae_s"], options.max_mae_10k_s
        found.append(GoalOutcome("mae_10k", error < goal, f"10k: MAE {error:.0f} s (goal below {goal:.0f} s)"))
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
