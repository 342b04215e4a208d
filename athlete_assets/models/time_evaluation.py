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
from athlete_assets.models import baseline, conformal, labels, plots, promotion, splits, time_estimator
from athlete_assets.models.model_spec import Candidate, Judgement
from athlete_assets.models.promotion import Decision
from athlete_assets.models.registry import CHAMPION, Serving
from athlete_assets.models.splits import ATHLETE_FOLDS
from athlete_assets.models.time_estimator import DEFAULTS, DISTANCES, POPULATION, TimeEstimatorOptions
from athlete_assets.models.training_set import baseline_seconds
from athlete_assets.words import counted

if TYPE_CHECKING:
    import pandas as pd

    from athlete_assets.models.population import Population

BOOTSTRAPS = 1_000
HOLDOUT_FOLDS = 4
"""Folds of athletes beside the holdout, in a training."""

MODEL = "model"
RECENT, RECENT_CORRECTED = "riegel_recent", "riegel_recent_corrected"
BEST_180D, BEST_180D_CORRECTED = "riegel", "riegel_corrected"
CRITICAL_SPEED = "critical_speed"
FORMULAS = (BEST_180D, BEST_180D_CORRECTED, RECENT, RECENT_CORRECTED, "cameron", "daniels", CRITICAL_SPEED)
METHODS = (MODEL, *FORMULAS)
DESCRIPTIONS = {
    MODEL: "the time estimator",
    BEST_180D: "Riegel from the best effort of 180 days",
    BEST_180D_CORRECTED: "the same, bias-corrected per distance on the training labels",
    RECENT: "Riegel from the best effort of 60 days where there is one",
    RECENT_CORRECTED: "the same, bias-corrected: what serves where the model does not",
    "cameron": "Cameron from the best effort of 180 days",
    "daniels": "VDOT (Daniels) of the best effort of 180 days",
    CRITICAL_SPEED: "critical speed from the last 60 days' bests at two distances or more",
}

GOALS: dict[str, float] = {"5k": 0.0, "10k": 0.30, "half": 0.20, "marathon": 0.0}
"""By how much the model's mean APE is to lie below the strongest formula's."""
GOAL_COVERAGE = (0.75, 0.85)
GOAL_MAE_10K_S = 150.0

RACES, BY_EFFORT, BY_RESULT, LEARNED_FROM = "races", "by effort", "by result", "learned from"
"""Groups of efforts: marked races; those and heart-rate efforts; the fastest of several tries; those without a left_out
reason."""
GROUPS: dict[str, Callable[[Any], Any]] = {
    RACES: lambda rows: rows["effort"] == labels.RACE,
    BY_EFFORT: lambda rows: rows["effort"] != labels.BLOCK_BEST,
    BY_RESULT: lambda rows: rows["effort"] == labels.BLOCK_BEST,
    LEARNED_FROM: lambda rows: rows["left_out"].isna(),
}

CLUSTERS = 5
"""Athletes below which the bootstrap draws each one's BLOCK_DAYS instead: of one nothing else can be drawn."""
BLOCK_DAYS = 60
ONE_SIDED_Z = 1.645
"""Standard errors that a difference has to lie from zero to be told from it, at 5 % on its side."""


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
    return scored(train, time_estimator.with_baseline(labelled), time_estimator.fit(train, options))


def by_population(labelled: pd.DataFrame, population: Population) -> pd.DataFrame:
    """Each effort predicted by a population line as it is shipped, not moved by any of them."""
    rows = time_estimator.with_baseline(labelled)
    return scored(rows.head(0), rows, population.estimator(), population.formula)


def _fitted_and_scored(options: TimeEstimatorOptions) -> Callable[[pd.DataFrame, pd.DataFrame], pd.DataFrame]:
    return lambda train, test: scored(train, test, time_estimator.fit(train, options))


def scored(
    train: pd.DataFrame,
    test: pd.DataFrame,
    estimator: time_estimator.TimeEstimator,
    prior: Mapping[str, baseline.Correction] | None = None,
) -> pd.DataFrame:
    """The test rows at the race distances with a column a method, and the model's p10 and p90 (all s).

    The estimator must have been fitted on `train`, whose labels also correct the formulas; at a distance where they are
    few, `prior` does.
    """
    test = test[test["distance"].isin(DISTANCES)].reset_index(drop=True)
    times, is_model = estimator.times(test, list(test["distance"]))
    columns = {MODEL: times[:, 1], "p10": times[:, 0], "p90": times[:, 2], "is_model": is_model}
    for name, predict in _PREDICTORS.items():
        columns[name] = predict(test)
    train = time_estimator.learned_from(train)
    for name, corrected in ((BEST_180D, BEST_180D_CORRECTED), (RECENT, RECENT_CORRECTED)):
        misses = np.log(train["time_s"].to_numpy(np.float64) / _PREDICTORS[name](train))
        bias = _medians(train, misses, prior)
        columns[corrected] = columns[name] * np.exp([bias[distance] for distance in test["distance"]])
    return test.assign(**columns)


def _medians(
    train: pd.DataFrame, misses: NDArray[np.float64], prior: Mapping[str, baseline.Correction] | None
) -> dict[str, float]:
    """Median log ratio by distance; where a distance has few, the prior's, or that of all where there is no prior."""
    distance, known = train["distance"].to_numpy(), np.isfinite(misses)
    overall = float(np.median(misses[known])) if known.any() else 0.0
    medians = {}
    for name in DISTANCES:
        own = misses[(distance == name) & known]
        if prior is None:
            medians[name] = float(np.median(own)) if len(own) else overall
        else:
            medians[name] = float(np.median(own)) if len(own) >= baseline.LEAST_EFFORTS else prior[name].log_p50
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
    CRITICAL_SPEED: _critical_speed,
}


# -------------------------------------------------------------------------------------------------------------- gate


def judged(candidate: Candidate, options: TimeEstimatorOptions) -> Judgement:
    """A candidate on its holdout, and, where there are not too many labels, on athletes left out of a fit."""
    population, fitted = candidate.population, candidate.fitted
    prior = population.formula if population else None
    holdout = scored(candidate.train, candidate.holdout, fitted, prior)
    rivals: dict[str, NDArray[np.float64]] = {}
    if candidate.champion:
        rivals[CHAMPION] = champion_times(candidate.champion, holdout)
    if population and fitted.name != POPULATION:
        line = population.moved(time_estimator.with_baseline(candidate.train))
        rivals[POPULATION] = line.times(holdout, list(holdout["distance"]))[0][:, 1]
    report = {"holdout": figures(holdout)}
    if fitted.name != POPULATION and len(candidate.usable) <= options.max_labels_for_folds:
        report["unseen_athletes"] = figures(unseen_athletes(candidate.usable, HOLDOUT_FOLDS, options))
    making = population.figures if population and fitted.name == POPULATION else None
    return Judgement(
        decision=verdict(holdout, rivals, options, making),
        figures=report,
        text="\n\n".join(as_text(name, part) for name, part in report.items()),
        metrics={key: value for name, part in report.items() for key, value in _metrics(name, part).items()},
        plots={
            "predicted_against_run": plots.predicted_against_run(holdout),
            "interval_calibration": plots.interval_calibration(holdout),
            "residual_by_history": plots.residual_by_history(holdout, (MODEL, RECENT_CORRECTED)),
            "feature_effect": plots.feature_effect(fitted, candidate.train),
        }
        if len(holdout) and len(candidate.train)
        else {},
        rows=len(holdout),
    )


@dataclass(frozen=True)
class Paired:
    """By how much the model is nearer than a rival on the same efforts: mean APE of the rival less the model's."""

    efforts: int
    athletes: int
    ours: float
    theirs: float
    low: float
    high: float
    """90 % interval of theirs - ours, by resampling athletes; of fewer than CLUSTERS, their blocks of 60 days; without
    ends where all efforts are of one block, of which nothing is sure."""
    needed: int | None
    """Efforts like these from which such a difference could be told from none; None where the model is not nearer, and
    where nobody knows."""

    def words(self, rival: str) -> str:
        bound = f" [{100 * self.low:+.2f}, {100 * self.high:+.2f}]"
        if not np.isfinite(self.low):
            bound = ", which may be chance: all are of one athlete and 60 days"
        elif self.athletes < CLUSTERS:
            bound += ", by blocks of 60 days for there are few athletes"
        return (
            f"mean APE {self.ours:.2%} against {self.theirs:.2%} of {rival} on {counted(self.efforts, 'effort')} of "
            f"{counted(self.athletes, 'athlete')}, {100 * (self.theirs - self.ours):+.2f} points better{bound}"
        )


def paired(rows: pd.DataFrame, theirs: NDArray[np.float64]) -> Paired | None:
    """The model against a rival's times (s) on the efforts that both predict; None where there is none."""
    run, ours = rows["time_s"].to_numpy(np.float64), rows[MODEL].to_numpy(np.float64)
    both = np.isfinite(ours) & np.isfinite(theirs)
    if not both.any():
        return None
    rows, run = rows[both], run[both]
    error, other = np.abs(ours[both] / run - 1), np.abs(theirs[both] / run - 1)
    athletes = int(rows["athlete_id"].nunique())
    if len(np.unique(_clusters(rows))) == 1:
        return Paired(len(run), athletes, float(error.mean()), float(other.mean()), -np.inf, np.inf, None)
    drawn = _drawn(rows, np.column_stack([other - error, np.ones(len(run))]))
    means = drawn[:, 0] / drawn[:, 1]
    better, spread = float((other - error).mean()), float(means.std())
    return Paired(
        efforts=len(run),
        athletes=athletes,
        ours=float(error.mean()),
        theirs=float(other.mean()),
        low=float(np.quantile(means, 0.05)),
        high=float(np.quantile(means, 0.95)),
        needed=int(np.ceil(len(run) * (ONE_SIDED_Z * spread / better) ** 2)) if better > 0 else None,
    )


def _drawn(rows: pd.DataFrame, values: NDArray[np.float64]) -> NDArray[np.float64]:
    """(BOOTSTRAPS, columns): sums of the values over athletes drawn with all their rows."""
    index = np.unique(_clusters(rows), return_inverse=True)[1]
    sums = np.column_stack([np.bincount(index, column) for column in values.T])
    random = np.random.default_rng(0)
    result: NDArray[np.float64] = sums[random.integers(0, len(sums), (BOOTSTRAPS, len(sums)))].sum(axis=1)
    return result


def _clusters(rows: pd.DataFrame) -> NDArray[Any]:
    """What is drawn as one: the athlete; of fewer than CLUSTERS, their blocks of BLOCK_DAYS."""
    cluster = rows["athlete_id"].to_numpy(dtype=str)
    if len(np.unique(cluster)) < CLUSTERS:
        day = rows["activity_date"].to_numpy(dtype="datetime64[s]").astype("datetime64[D]").astype(np.int64)
        cluster = np.char.add(cluster, np.char.add(" ", (day // BLOCK_DAYS).astype(str)))
    return cluster


def strongest_formula(rows: pd.DataFrame) -> str:
    """The formula with the smallest mean APE on the efforts that all formulas but critical speed predict."""
    names = [name for name in FORMULAS if name != CRITICAL_SPEED]
    times = rows[names].to_numpy(np.float64)
    known = np.isfinite(times).all(axis=1)
    if not known.any():
        return RECENT_CORRECTED
    run = rows["time_s"].to_numpy(np.float64)[known]
    return names[int(np.abs(times[known] / run[:, None] - 1).mean(axis=0).argmin())]


def verdict(
    scored: pd.DataFrame,
    rivals: Mapping[str, NDArray[np.float64]],
    options: TimeEstimatorOptions,
    making: Mapping[str, Any] | None = None,
) -> Decision:
    """The gate on a scored holdout: differences on the same efforts, with 90 % intervals by athlete.

    A model trained at home is approved where it is nearer than the strongest formula for sure (the interval lies above
    zero), and where no rival (the champion's, or the population line's times in s) is nearer for sure. Absolute errors
    are not judged: they depend on how slow the athletes are.

    A population line brings the figures of its `making`. It is approved where those tell it from the strongest formula,
    and the home's efforts do not say for sure that the formula is nearer.
    """
    strongest = strongest_formula(scored)
    against = paired(scored, scored[strongest].to_numpy(np.float64))
    words = against.words(f"{strongest} (the strongest formula)") if against else ""
    found: list[tuple[bool, str]] = []
    if making is not None:
        below = making["below_strongest_formula"]
        found.append(
            (
                below["low"] > 0,
                f"{below['mean_ape_below']:.0%} [{below['low']:.0%}, {below['high']:.0%}] below the strongest formula "
                f"on {counted(making['athletes'], 'athlete')} left out of its fit",
            )
        )
        if against is None:
            found.append((True, "no effort of this home to judge by yet"))
        else:
            said = "the home's efforts do not speak against it" if against.high >= 0 else "the formula is nearer here"
            found.append((against.high >= 0, f"{said}: {words}"))
    elif against is None or against.efforts < options.min_holdout:
        efforts = against.efforts if against else 0
        found.append((False, f"only {counted(efforts, 'effort')} to judge by; {options.min_holdout} are needed"))
    else:
        sentence = words
        if against.low <= 0 and against.needed is not None:
            sentence += f": not enough to tell; about {counted(against.needed, 'effort')} would be"
        found.append((against.low > 0, sentence))
    for name, times in rivals.items():
        rival = paired(scored, times)
        if rival is None:
            found.append((True, f"{name} predicts none of the holdout's efforts"))
        else:
            found.append((rival.high >= 0, rival.words(name)))
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

    `against` holds the model's mean APE as a share of each bias-corrected baseline's and of the strongest formula's, on
    the rows that both predict, with a 90 % interval by resampling athletes; so do `mae_interval_s` and
    `coverage_interval`. `groups` holds the same by why the efforts count, and by `file` where there are several.
    `coverage_as_outcomes_come`: of the intervals as the home's earlier outcomes move them.
    """
    import pandas as pd

    report: dict[str, Any] = {}
    held = pd.Series(conformal.held_as_outcomes_come(predictions), predictions.index)
    for name in DISTANCES:
        rows = predictions[predictions["distance"] == name]
        if rows.empty:
            continue
        strongest = strongest_formula(rows)
        run = rows["time_s"].to_numpy(np.float64)
        inside = (run >= rows["p10"]) & (run <= rows["p90"])
        report[name] = {
            "n": len(rows),
            "athletes": int(rows["athlete_id"].nunique()),
            "served_by_model": int(rows["is_model"].sum()),
            "methods": {method: _errors(run, rows[method].to_numpy(np.float64)) for method in METHODS},
            "mae_interval_s": _interval(rows, np.abs(rows[MODEL].to_numpy(np.float64) - run)),
            "coverage": float(inside.mean()),
            "coverage_interval": _interval(rows, np.asarray(inside, np.float64)),
            "coverage_as_outcomes_come": float(held[rows.index].mean()),
            "width": float(((rows["p90"] - rows["p10"]) / rows[MODEL]).mean()),
            "against": {method: gain(rows, method) for method in (BEST_180D_CORRECTED, RECENT_CORRECTED)},
            "strongest": {"formula": strongest, **gain(rows, strongest)},
            "groups": {
                group: _group_figures(rows[chosen(rows)], strongest) for group, chosen in _groups(predictions).items()
            },
        }
    return report


def _groups(predictions: pd.DataFrame) -> dict[str, Callable[[Any], Any]]:
    """What chooses the rows of each group."""
    groups = dict(GROUPS) if {"effort", "left_out"} <= set(predictions) else {}
    files = sorted(predictions["file"].unique()) if "file" in predictions else []
    if len(files) > 1:
        groups |= {name: lambda rows, name=name: rows["file"] == name for name in files}
    return groups


def _interval(rows: pd.DataFrame, values: NDArray[np.float64]) -> tuple[float, float] | None:
    """90 % interval of the mean of the known values, by draws of athletes."""
    known = np.isfinite(values)
    if not known.any():
        return None
    drawn = _drawn(rows[known], np.column_stack([values[known], np.ones(known.sum())]))
    low, high = np.quantile(drawn[:, 0] / drawn[:, 1], [0.05, 0.95])
    return float(low), float(high)


def _group_figures(rows: pd.DataFrame, strongest: str) -> dict[str, Any]:
    run = rows["time_s"].to_numpy(np.float64)
    return {
        "n": len(rows),
        "athletes": int(rows["athlete_id"].nunique()),
        **{key: value for key, value in _errors(run, rows[MODEL].to_numpy(np.float64)).items() if key != "n"},
        "coverage": float(((run >= rows["p10"]) & (run <= rows["p90"])).mean()) if len(rows) else None,
        "strongest": gain(rows, strongest),
    }


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


def gain(rows: pd.DataFrame, method: str) -> dict[str, float | None]:
    """The model's mean APE as a share below a method's, where both predict, with a 90 % interval by athlete."""
    both = rows[np.isfinite(rows[method]) & np.isfinite(rows[MODEL])]
    if both.empty:
        return {"mean_ape_below": None, "low": None, "high": None}
    times = both[[MODEL, method]].to_numpy(np.float64)
    errors = np.abs(times / both[["time_s"]].to_numpy(np.float64) - 1)
    drawn = _drawn(both, errors)
    gains = 1 - drawn[:, 0] / drawn[:, 1]
    total = errors.sum(axis=0)
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
    """The goals of the time estimator against one evaluation's figures; a distance without efforts has no outcome."""
    found = []
    for name, goal in GOALS.items():
        if name not in report:
            continue
        below = report[name]["strongest"]["mean_ape_below"]
        if below is not None:
            formula = report[name]["strongest"]["formula"]
            sentence = f"{name}: mean APE {below:.0%} below {formula}, the strongest formula (goal {goal:.0%})"
            found.append(GoalOutcome(f"beats_formula_{name}", below >= goal, sentence))
        covered = report[name]["coverage"]
        low, high = GOAL_COVERAGE
        sentence = f"{name}: the 80 % interval holds {covered:.0%} of the efforts (goal {low:.0%} to {high:.0%})"
        found.append(GoalOutcome(f"coverage_{name}", low <= covered <= high, sentence))
    if "10k" in report:
        error, goal = report["10k"]["methods"][MODEL]["mae_s"], GOAL_MAE_10K_S
        found.append(GoalOutcome("mae_10k", error <= goal, f"10k: MAE {error:.0f} s (goal {goal:.0f} s at most)"))
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
        gains = ", ".join(below(its, method) for method, its in part["against"].items())
        lines.append(
            f"{'':10}{counted(part['athletes'], 'athlete')}; MAE{_ends(part['mae_interval_s'], '.0f')} s; 80 % "
            f"interval holds {part['coverage']:.0%}{_ends(part['coverage_interval'], '.0%')}, as outcomes come "
            f"{part['coverage_as_outcomes_come']:.0%}, width {part['width']:.0%} of the time; {gains}"
        )
        for group, its in part["groups"].items():
            if its["n"]:
                efforts, athletes = counted(its["n"], "effort"), counted(its["athletes"], "athlete")
                lines.append(
                    f"{'':10}{group:14}{efforts:>14} of {athletes}: MAE {its['mae_s']:.0f} s, "
                    f"mean APE {its['mean_ape']:.1%}, {below(its['strongest'], part['strongest']['formula'])}, "
                    f"interval holds {its['coverage']:.0%}"
                )
    return "\n".join(lines)


def _ends(interval: tuple[float, float] | None, form: str) -> str:
    return "" if interval is None else f" [{interval[0]:{form}}, {interval[1]:{form}}]"


def below(gain: Mapping[str, float | None], method: str) -> str:
    """A formula may predict none of a few efforts: those of an athlete without another in 180 days."""
    if gain["mean_ape_below"] is None:
        return f"{method} predicts none"
    return f"{gain['mean_ape_below']:+.0%} [{gain['low']:+.0%}, {gain['high']:+.0%}] below {method}"
