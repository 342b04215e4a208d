"""How well disruptions of training are foreseen: beside the base rate, and beside how often the athlete trains alone.

Somebody who trains twice a week stops for a week more often than somebody who trains daily: a detector has to say more
than that. Differences come with a bound from draws of whole athletes, whose evenings are not independent.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from athlete_assets.models import overtraining_detector, plots, promotion, splits
from athlete_assets.models.model_spec import Candidate, Judgement
from athlete_assets.models.overtraining_detector import (
    DEFAULTS,
    FREQUENCY,
    OvertrainingDetector,
    OvertrainingDetectorOptions,
)
from athlete_assets.models.promotion import Decision
from athlete_assets.models.registry import Serving
from athlete_assets.models.splits import ATHLETE_FOLDS
from athlete_assets.words import counted

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
    """The test evenings with the probability of the detector, and of its rivals, learned from the same rows.

    `frequency`: a regression on the consistency score alone; `base_rate`: the share that was followed by a disruption.
    """
    frequency = overtraining_detector.fit_counts(train, (FREQUENCY,))
    return test.assign(
        probability=detector.probabilities(test),
        frequency=frequency.probabilities(test),
        base_rate=float(train["disrupted"].mean()),
    )


# -------------------------------------------------------------------------------------------------------------- gate


def judged(candidate: Candidate, options: OvertrainingDetectorOptions) -> Judgement:
    """A candidate on its holdout."""
    holdout = scored(candidate.train, candidate.holdout, candidate.fitted)
    found = figures(holdout, options)
    return Judgement(
        decision=verdict(holdout, champion_probabilities(candidate.champion, holdout), options),
        figures=found,
        text=as_text("holdout", found),
        metrics={name: value for name, value in found.items() if isinstance(value, float) and name != "max_auc"},
        plots={"probability_calibration": plots.probability_calibration(found)},
        rows=len(candidate.holdout),
    )


def verdict(scored: pd.DataFrame, champion: Floats | None, options: OvertrainingDetectorOptions = DEFAULTS) -> Decision:
    """The gate on a scored holdout; `champion`: the serving detector's probabilities, NaN where it abstains.

    Approved where the Brier score is surely below the base rate's (the 90 % bound by athlete), neither frequency alone
    nor the champion is surely better, and the AUC is not suspicious.
    """
    outcome = scored["disrupted"].to_numpy(dtype=bool)
    value = auc(scored["probability"].to_numpy(np.float64), outcome)
    if value is None:
        return Decision(False, ("the holdout holds evenings of one outcome only",))
    gain, low, high = brier_gain(scored, "base_rate")
    found = [
        (low > 0, f"Brier {gain:.4f} [{low:.4f}, {high:.4f}] below the base rate's; all of it has to be above 0"),
        (value <= options.max_auc, f"AUC {value:.3f}; above {options.max_auc:g} leakage is likelier than skill"),
    ]
    rivals = {"frequency alone": scored.assign(rival=scored["frequency"])}
    if champion is not None:
        rivals["the champion"] = scored.assign(rival=champion)[np.isfinite(champion)]
    for name, rows in rivals.items():
        if rows.empty:
            found.append((True, f"{name} answers for none of the holdout's evenings"))
            continue
        gain, low, high = brier_gain(rows, "rival")
        found.append((high >= 0, f"Brier {gain:.4f} [{low:.4f}, {high:.4f}] below that of {name}; not surely above it"))
    return promotion.decided(found)


def champion_probabilities(champion: Serving | None, holdout: pd.DataFrame) -> Floats | None:
    """The serving detector's probabilities for the holdout, NaN where it abstains; None where none serves.

    One of an earlier release may ask for features that are no longer looked up: it must not be in the way of the one
    that replaces it.
    """
    if champion is None:
        return None
    if not set(champion.inputs) <= set(holdout.columns):
        return np.full(len(holdout), np.nan)
    answered = champion.model.predict(holdout[champion.inputs].astype(np.float64))
    result: Floats = answered["p_disruption_14d"].to_numpy(np.float64)
    return result


# ---------------------------------------------------------------------------------------------------------- figures


def figures(predictions: pd.DataFrame, options: OvertrainingDetectorOptions = DEFAULTS) -> dict[str, Any]:
    """AUC (over all pairs, and over pairs of one athlete's evenings), PR-AUC, Brier and calibration beside the rivals'.

    Intervals are 90 %, by draws of athletes; a gain in Brier is positive where the detector's is the lower.
    """
    outcome = predictions["disrupted"].to_numpy(dtype=bool)
    probability, frequency = (predictions[name].to_numpy(np.float64) for name in ("probability", "frequency"))
    low, high = _auc_interval(predictions, "probability")
    frequency_low, frequency_high = _auc_interval(predictions, "frequency")
    value = auc(probability, outcome)
    found: dict[str, Any] = {
        "evenings": len(predictions),
        "athletes": int(predictions["athlete_id"].nunique()),
        "base_rate": float(outcome.mean()),
        "auc": value,
        "auc_low": low,
        "auc_high": high,
        "auc_within_athletes": auc_within_athletes(predictions, "probability"),
        "auc_frequency_alone": auc(frequency, outcome),
        "auc_frequency_low": frequency_low,
        "auc_frequency_high": frequency_high,
        "auc_frequency_within_athletes": auc_within_athletes(predictions, "frequency"),
        "pr_auc": average_precision(probability, outcome),
        "brier": float(((probability - outcome) ** 2).mean()),
        "calibration": calibration(probability, outcome),
        "suspicious": bool(value is not None and value > options.max_auc),
        "max_auc": options.max_auc,
    }
    for name, rival in (("base_rate", "base_rate"), ("frequency_alone", "frequency")):
        found[f"brier_{name}"] = float(((predictions[rival].to_numpy(np.float64) - outcome) ** 2).mean())
        gain, low_gain, high_gain = brier_gain(predictions, rival)
        found |= {
            f"brier_gain_on_{name}": gain,
            f"brier_gain_on_{name}_low": low_gain,
            f"brier_gain_on_{name}_high": high_gain,
        }
    return found


def auc(score: Floats, outcome: NDArray[np.bool_]) -> float | None:
    """Probability that a positive scores above a negative, ties half; None where a class is missing."""
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(outcome, score)) if outcome.any() and not outcome.all() else None


def auc_within_athletes(rows: pd.DataFrame, score: str) -> float | None:
    """Probability that of two evenings of ONE athlete the one that a disruption followed scores higher, ties half.

    Who trains how often is the same on both sides of such a pair. None where no athlete has both outcomes.
    """
    wins, pairs = 0.0, 0
    for _, own in rows.groupby("athlete_id", sort=False):
        outcome = own["disrupted"].to_numpy(dtype=bool)
        found = auc(own[score].to_numpy(np.float64), outcome)
        if found is not None:
            own_pairs = int(outcome.sum()) * int((~outcome).sum())
            wins, pairs = wins + found * own_pairs, pairs + own_pairs
    return wins / pairs if pairs else None


def brier_gain(rows: pd.DataFrame, rival: str) -> tuple[float, float, float]:
    """By how much the Brier score lies below that of the rival's column: mean, and 5th and 95th percentile over draws
    of athletes, each drawn athlete with all its evenings.
    """
    outcome = rows["disrupted"].to_numpy(dtype=bool)
    gain = (rows[rival].to_numpy(np.float64) - outcome) ** 2 - (rows["probability"].to_numpy(np.float64) - outcome) ** 2
    names, athlete = np.unique(rows["athlete_id"].to_numpy(dtype=str), return_inverse=True)
    sums, counts = np.bincount(athlete, gain), np.bincount(athlete)
    draws = np.random.default_rng(0).integers(0, len(names), (BOOTSTRAPS, len(names)))
    drawn = sums[draws].sum(axis=1) / counts[draws].sum(axis=1)
    low, high = np.quantile(drawn, [0.05, 0.95])
    return float(gain.mean()), float(low), float(high)


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
        f"  {counted(report['evenings'], 'evening')} of {counted(report['athletes'], 'athlete')}; "
        f"{report['base_rate']:.0%} were followed by a disruption",
        f"  AUC {_of(report['auc'])} [{_of(report['auc_low'])}, {_of(report['auc_high'])}], between evenings of one "
        f"athlete {_of(report['auc_within_athletes'])}",
        f"  run frequency alone: AUC {_of(report['auc_frequency_alone'])} [{_of(report['auc_frequency_low'])}, "
        f"{_of(report['auc_frequency_high'])}], between evenings of one athlete "
        f"{_of(report['auc_frequency_within_athletes'])}",
        f"  Brier {report['brier']:.4f}: {_gain(report, 'base_rate')} the base rate's "
        f"{report['brier_base_rate']:.4f}, {_gain(report, 'frequency_alone')} run frequency's "
        f"{report['brier_frequency_alone']:.4f}",
        f"  PR-AUC {_of(report['pr_auc'])} (base rate {report['base_rate']:.3f})",
        "  calibration, predicted/observed by tenths: "
        + " ".join(f"{part['predicted']:.2f}/{part['observed']:.2f}" for part in report["calibration"]),
    ]
    if report["suspicious"]:
        lines.append(f"  AUC above {report['max_auc']:g}: look for leakage before believing it")
    return "\n".join(lines)


def _of(value: float | None) -> str:
    """Evenings of one outcome have no AUC."""
    return "unknown" if value is None else f"{value:.3f}"


def _gain(report: dict[str, Any], rival: str) -> str:
    gain, low, high = (report[f"brier_gain_on_{rival}{end}"] for end in ("", "_low", "_high"))
    return f"{gain:.4f} [{low:.4f}, {high:.4f}] below"
