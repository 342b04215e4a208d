"""How well disruptions of training are foreseen: beside the base rate, and beside the workload ratio (ACWR) alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from athlete_assets.models import overtraining_detector, plots, promotion, splits
from athlete_assets.models.model_spec import Candidate, Judgement
from athlete_assets.models.overtraining_detector import DEFAULTS, OvertrainingDetector, OvertrainingDetectorOptions
from athlete_assets.models.promotion import Decision
from athlete_assets.models.splits import ATHLETE_FOLDS

if TYPE_CHECKING:
    import pandas as pd

Floats = NDArray[np.float64]

BINS = 10
BOOTSTRAPS = 200


def unseen_athletes(
    rows: pd.DataFrame, folds: int = ATHLETE_FOLDS, options: OvertrainingDetectorOptions = DEFAULTS
) -> pd.DataFrame:
    """Each evening with the probability of a detector that saw none of its athlete."""
    overtraining_detector.usable_rows(rows, options)
    return splits.scored_in_parts(rows, splits.by_athlete(rows, folds), _fitted_and_scored(options))


def forward_in_time(rows: pd.DataFrame, options: OvertrainingDetectorOptions = DEFAULTS) -> pd.DataFrame:
    """Each evening after a cut with the probability of a detector that saw what lay embargo_days before the cut."""
    overtraining_detector.usable_rows(rows, options)
    parts = splits.forward(rows, "as_of_date", options.embargo_days)
    return splits.scored_in_parts(rows, parts, _fitted_and_scored(options))


def other_athletes(
    training: pd.DataFrame, rows: pd.DataFrame, options: OvertrainingDetectorOptions = DEFAULTS
) -> pd.DataFrame:
    """Each evening of the one data set with the probability of a detector trained on the other."""
    return scored(training, rows, overtraining_detector.fit(training, options))


def _fitted_and_scored(options: OvertrainingDetectorOptions) -> Callable[[pd.DataFrame, pd.DataFrame], pd.DataFrame]:
    return lambda train, test: scored(train, test, overtraining_detector.fit(train, options))


def scored(train: pd.DataFrame, test: pd.DataFrame, detector: OvertrainingDetector) -> pd.DataFrame:
    """The test evenings with the probability of the detector, and the base rate of what it was fitted on."""
    return test.assign(probability=detector.probabilities(test), base_rate=float(train["disrupted"].mean()))


# -------------------------------------------------------------------------------------------------------------- gate


def judged(candidate: Candidate, options: OvertrainingDetectorOptions) -> Judgement:
    """A candidate on its holdout."""
    found = figures(scored(candidate.train, candidate.holdout, candidate.fitted), options)
    return Judgement(
        decision=verdict(found, _champion_auc(candidate)),
        figures=found,
        text=as_text("holdout", found),
        metrics={name: value for name, value in found.items() if isinstance(value, float) and name != "max_auc"},
        plots={"probability_calibration": plots.probability_calibration(found)},
        rows=len(candidate.holdout),
    )


def verdict(figures: dict[str, Any], champion_auc: float | None) -> Decision:
    """The gate: above ACWR alone and chance, Brier below the base rate's, not suspicious, the champion not better."""
    value = figures["auc"]
    if value is None:
        return Decision(False, ("the holdout holds evenings of one outcome only",))
    workload = figures["auc_acwr_alone"] or 0.5
    found = [
        (value > max(workload, 0.5), f"AUC {value:.3f} against {workload:.3f} of ACWR alone"),
        (
            figures["brier"] < figures["brier_base_rate"],
            f"Brier {figures['brier']:.4f} against {figures['brier_base_rate']:.4f} of the base rate",
        ),
        (
            not figures["suspicious"],
            f"AUC {value:.3f}; above {figures['max_auc']:g} leakage is likelier than skill",
        ),
    ]
    if champion_auc is not None:
        found.append((value >= champion_auc, f"AUC {value:.3f} against {champion_auc:.3f} of the champion"))
    return promotion.decided(found)


def _champion_auc(candidate: Candidate) -> float | None:
    champion, holdout = candidate.champion, candidate.holdout
    if champion is None:
        return None
    theirs = champion.model.predict(holdout[champion.inputs].astype(float))["p_disruption_14d"].to_numpy(float)
    answered = np.isfinite(theirs)
    return auc(theirs[answered], holdout["disrupted"].to_numpy(dtype=bool)[answered]) if answered.any() else None


# ---------------------------------------------------------------------------------------------------------- figures


def figures(predictions: pd.DataFrame, options: OvertrainingDetectorOptions = DEFAULTS) -> dict[str, Any]:
    """AUC with a 90 % interval by resampling athletes, PR-AUC, Brier and calibration, beside base rate and ACWR."""
    outcome = predictions["disrupted"].to_numpy(dtype=bool)
    probability = predictions["probability"].to_numpy(np.float64)
    workload = predictions["acwr"].to_numpy(np.float64)
    known = np.isfinite(workload)
    low, high = _auc_interval(predictions, "probability")
    workload_low, workload_high = _auc_interval(predictions[known], "acwr")
    value = auc(probability, outcome)
    return {
        "evenings": len(predictions),
        "athletes": int(predictions["athlete_id"].nunique()),
        "base_rate": float(outcome.mean()),
        "auc": value,
        "auc_low": low,
        "auc_high": high,
        "auc_acwr_alone": auc(workload[known], outcome[known]),
        "auc_acwr_low": workload_low,
        "auc_acwr_high": workload_high,
        "pr_auc": average_precision(probability, outcome),
        "brier": float(((probability - outcome) ** 2).mean()),
        "brier_base_rate": float(((predictions["base_rate"].to_numpy(np.float64) - outcome) ** 2).mean()),
        "calibration": calibration(probability, outcome),
        "suspicious": bool(value is not None and value > options.max_auc),
        "max_auc": options.max_auc,
    }


def auc(score: Floats, outcome: NDArray[np.bool_]) -> float | None:
    """Probability that a positive scores above a negative, ties half; None where a class is missing."""
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(outcome, score)) if outcome.any() and not outcome.all() else None


def average_precision(score: Floats, outcome: NDArray[np.bool_]) -> float | None:
    """Mean precision over the positives, from the highest score down; equal scores are taken together."""
    from sklearn.metrics import average_precision_score

    return float(average_precision_score(outcome, score)) if outcome.any() else None


def calibration(probability: Floats, outcome: NDArray[np.bool_]) -> list[dict[str, float]]:
    """Mean probability and share of disruptions in tenths of the evenings, from the least to the most likely."""
    parts = np.array_split(np.argsort(probability, kind="stable"), BINS)
    return [
        {"predicted": float(probability[part].mean()), "observed": float(outcome[part].mean()), "n": len(part)}
        for part in parts
        if len(part)
    ]


def _auc_interval(rows: pd.DataFrame, score: str) -> tuple[float | None, float | None]:
    """5th and 95th percentile of `auc` over draws of athletes, each drawn athlete with all its rows."""
    place = np.unique(rows[score].to_numpy(np.float64), return_inverse=True)[1]
    outcome = rows["disrupted"].to_numpy(dtype=bool)
    names, athlete = np.unique(rows["athlete_id"].to_numpy(dtype=str), return_inverse=True)
    random = np.random.default_rng(0)
    drawn = []
    for _ in range(BOOTSTRAPS):
        times = np.bincount(random.integers(0, len(names), len(names)), minlength=len(names))[athlete]
        positive, negative = np.bincount(place, times * outcome), np.bincount(place, times * ~outcome)
        # a positive wins over each negative below it, and half over its equals; the rows are sorted once, not a draw
        wins = positive @ (np.cumsum(negative) - negative / 2)
        if pairs := positive.sum() * negative.sum():
            drawn.append(wins / pairs)
    if not drawn:
        return None, None
    return float(np.quantile(drawn, 0.05)), float(np.quantile(drawn, 0.95))


def as_text(title: str, report: dict[str, Any]) -> str:
    """The figures as lines for people."""
    if "abstained" in report:
        return f"{title}\n  abstains: {report['abstained']}"
    lines = [
        title,
        f"  {report['evenings']} evenings of {report['athletes']} athletes; "
        f"{report['base_rate']:.0%} were followed by a disruption",
        f"  AUC {report['auc']:.3f} [{report['auc_low']:.3f}, {report['auc_high']:.3f}]; ACWR alone "
        f"{report['auc_acwr_alone']:.3f} [{report['auc_acwr_low']:.3f}, {report['auc_acwr_high']:.3f}]",
        f"  PR-AUC {report['pr_auc']:.3f} (base rate {report['base_rate']:.3f}); "
        f"Brier {report['brier']:.4f} (base rate alone {report['brier_base_rate']:.4f})",
        "  calibration, predicted/observed by tenths: "
        + " ".join(f"{part['predicted']:.2f}/{part['observed']:.2f}" for part in report["calibration"]),
    ]
    if report["suspicious"]:
        lines.append(f"  AUC above {report['max_auc']:g}: look for leakage before believing it")
    return "\n".join(lines)
