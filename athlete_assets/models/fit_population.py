"""Fits the population line from files of runs, and writes it as numbers that anyone can read.

    python -m athlete_assets.models.fit_population FILE... [--out LINE.json]
    python -m athlete_assets.models.fit_population --simulated 60x3 [--seed 11] [--out LINE.json]

FILE: whatever `import` accepts. Without --out it replaces the line that this package ships for that kind of data. A
home uses another with ATHLETE_POPULATION_LINE=LINE.json. The figures in it are of athletes left out of the
fit, fold by fold; the line itself is fitted on all of them.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from athlete_assets import tables
from athlete_assets.errors import AthleteAssetsError
from athlete_assets.models import backtest, baseline, splits, time_evaluation
from athlete_assets.models.population import REAL, SIMULATED, Correction, Kind, Population, file_of
from athlete_assets.models.splits import ATHLETE_FOLDS
from athlete_assets.models.time_estimator import (
    DEFAULTS,
    DISTANCES,
    LABELS_TO_TRUST,
    QUANTILES,
    TimeEstimatorOptions,
    fit_line,
    learned_from,
    log_ratios_of,
    offsets_of,
    usable_rows,
    weighted_quantiles,
    weights_of,
)
from athlete_assets.models.training_set import design_matrix
from athlete_assets.settings import Settings
from athlete_assets.words import counted

if TYPE_CHECKING:
    import pandas as pd

Floats = NDArray[np.float64]

SEED = 1
"""Of the folds that the figures and the intervals are from."""
MARATHON = Correction(-0.030, 0.040, 0.160, 0)
"""The formula's correction at the marathon where the runners have run too few: Vickers & Vertosick (BMC Sports Sci Med
Rehabil 8:26, 2016) found half of recreational runners 10 min and more above Riegel."""


def fit(labelled: pd.DataFrame, fitted_on: Kind, options: TimeEstimatorOptions = DEFAULTS) -> Population:
    """The line of labelled rows (RACE_EFFORTS columns with their features), with its figures on athletes left out.

    Raises TooLittleToLearnFrom.
    """
    usable = usable_rows(labelled, options)
    whole = with_interval(usable, fitted_on, options)
    return replace(whole, figures=_figures(usable, left_out(usable, fitted_on, options)))


def left_out(usable: pd.DataFrame, fitted_on: Kind, options: TimeEstimatorOptions = DEFAULTS) -> pd.DataFrame:
    """Each effort predicted by a line whose slopes and interval saw none of its athlete: `time_evaluation.scored`."""

    def scored(train: pd.DataFrame, test: pd.DataFrame) -> pd.DataFrame:
        part = with_interval(train, fitted_on, options)
        return time_evaluation.scored(train, test, part.estimator(), part.formula)

    return splits.scored_in_parts(usable, splits.by_athlete(usable, seed=SEED), scored)


def with_interval(usable: pd.DataFrame, fitted_on: Kind, options: TimeEstimatorOptions = DEFAULTS) -> Population:
    """The line of the rows, with the interval that holds four fifths of them on athletes left out, fold by fold."""
    unseen = np.full((len(usable), len(QUANTILES)), np.nan)
    for train, test in splits.by_athlete(usable, seed=SEED):
        rows = usable[test].reset_index(drop=True)
        part = without_interval(usable[train].reset_index(drop=True), fitted_on, options)
        unseen[test] = part.estimator().log_ratios(rows, list(rows["distance"]))
    log_ratio = log_ratios_of(usable)
    misses = np.column_stack([unseen[:, 0] - log_ratio, log_ratio - unseen[:, 2]])
    interval = offsets_of(usable, misses)
    return replace(without_interval(usable, fitted_on, options), interval=interval)


def without_interval(usable: pd.DataFrame, fitted_on: Kind, options: TimeEstimatorOptions = DEFAULTS) -> Population:
    """The line of the rows alone."""
    rows = learned_from(usable)
    matrix, log_ratio = design_matrix(rows, list(rows["distance"])), log_ratios_of(rows)
    line = fit_line(matrix, log_ratio, weights_of(rows), options.ridge_penalty)
    counts = rows["distance"].value_counts()
    known = {name: int(counts.get(name, 0)) for name in tables.EFFORT_DISTANCES_M}
    trust = {name: count / (count + LABELS_TO_TRUST) for name, count in known.items()}
    interval = dict.fromkeys(tables.EFFORT_DISTANCES_M, (0.0, 0.0))
    return Population(fitted_on, line, formula_corrections(rows, log_ratio), interval, trust, {})


def formula_corrections(rows: pd.DataFrame, log_ratio: Floats) -> dict[str, Correction]:
    """By race distance, quantiles of log(run / Riegel), each athlete with the same weight; of all distances (at the
    marathon: MARATHON) where there are few."""
    distance = rows["distance"].to_numpy()
    athlete = rows["athlete_id"].to_numpy(dtype=str)
    corrections = {}
    for name in DISTANCES:
        at = distance == name
        if at.sum() < baseline.LEAST_EFFORTS:
            if name == "marathon":
                corrections[name] = MARATHON
                continue
            at = np.ones(len(rows), dtype=bool)
        low, middle, high = _quantiles_by_athlete(log_ratio[at], athlete[at])
        corrections[name] = Correction(low, middle, high, 0)
    return corrections


def _quantiles_by_athlete(values: Floats, athlete: NDArray[Any]) -> list[float]:
    index, counts = np.unique(athlete, return_inverse=True, return_counts=True)[1:]
    return weighted_quantiles(values, 1 / counts[index], QUANTILES)


def _figures(usable: pd.DataFrame, judged: pd.DataFrame) -> dict[str, Any]:
    """Errors on athletes left out, and how often the interval held them, which was set on others."""
    found = time_evaluation.figures(judged)
    strongest = time_evaluation.strongest_formula(judged)
    by_distance = {
        name: {
            "efforts": part["n"],
            "athletes": part["athletes"],
            "mae_s": part["methods"][time_evaluation.MODEL]["mae_s"],
            "mean_ape": part["methods"][time_evaluation.MODEL]["mean_ape"],
            "interval_holds": part["coverage"],
            "strongest_formula": part["strongest"]["formula"],
            "strongest_formula_mae_s": part["methods"][part["strongest"]["formula"]]["mae_s"],
            "below_strongest_formula": {key: part["strongest"][key] for key in ("mean_ape_below", "low", "high")},
        }
        for name, part in found.items()
    }
    return {
        "athletes": int(usable["athlete_id"].nunique()),
        "efforts": len(usable),
        "learned_from": len(learned_from(usable)),
        "judged_on": f"athletes left out of the fit, {ATHLETE_FOLDS} folds",
        "below_strongest_formula": time_evaluation.gain(judged, strongest),
        "distances": by_distance,
    }


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", type=Path, metavar="FILE")
    parser.add_argument("--simulated", metavar="ATHLETESxYEARS", help="fit on simulated athletes instead of files")
    parser.add_argument("--seed", type=int, default=11, help="of the simulated athletes")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args(arguments)
    if bool(given.files) == bool(given.simulated):
        parser.error("give files of runs, or --simulated")
    kind, settings = (SIMULATED if given.simulated else REAL), Settings.load()
    if given.simulated:
        athletes, years = given.simulated.split("x")
        labelled = backtest.labelled_cohort(int(athletes), float(years), given.seed, settings, print).efforts
    else:
        labelled = backtest.labelled_files(given.files, settings, print).efforts
    found = fit(labelled, kind)
    out = given.out or file_of(kind)
    out.write_text(found.as_json())
    efforts, athletes = counted(found.figures["efforts"], "effort"), counted(found.figures["athletes"], "athlete")
    print(f"{efforts} of {athletes}; written to {out}")
    for name, part in found.figures["distances"].items():
        gain = part["below_strongest_formula"]
        print(
            f"  {name}: MAE {part['mae_s']:.0f} s on athletes left out, {gain['mean_ape_below']:.0%} "
            f"[{gain['low']:.0%}, {gain['high']:.0%}] below {part['strongest_formula']}"
        )


if __name__ == "__main__":
    try:
        main()
    except AthleteAssetsError as error:
        raise SystemExit(str(error)) from None
