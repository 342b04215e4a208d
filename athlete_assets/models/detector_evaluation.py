"""How well disruptions of training are foreseen: beside the base rate, and beside the workload ratio (ACWR) alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from athlete_assets.models import overtraining_detector
from athlete_assets.models.time_estimator import athlete_folds
from athlete_assets.models.time_evaluation import ATHLETE_FOLDS, BOOTSTRAPS, EMBARGO_DAYS, FORWARD_CUTS

if TYPE_CHECKING:
    import pandas as pd

Floats = NDArray[np.float64]

SUSPICIOUS_AUC = 0.8
"""Above it, leakage is the likelier explanation until shown otherwise."""
BINS = 10


def unseen_athletes(rows: pd.DataFrame, folds: int = ATHLETE_FOLDS) -> pd.DataFrame:
    """Each evening with the probability of a detector that saw none of its athlete."""
    overtraining_detector.check_enough(rows)
    fold = athlete_folds(rows["athlete_id"].to_numpy(), folds)
    return _in_parts(rows, [(fold != number, fold == number) for number in np.unique(fold)])


def forward(rows: pd.DataFrame) -> pd.DataFrame:
    """Each evening after a cut with the probability of a detector that saw what lay EMBARGO_DAYS before the cut."""
    import pandas as pd

    overtraining_detector.check_enough(rows)
    day = rows["as_of_date"]
    cuts = [day.sort_values().iloc[int(share * len(day))] for share in FORWARD_CUTS]
    ends = [*cuts[1:], day.max() + pd.Timedelta(days=1)]
    embargo = pd.Timedelta(days=EMBARGO_DAYS)
    return _in_parts(
        rows,
        [
            ((day < cut - embargo).to_numpy(), ((day >= cut) & (day < end)).to_numpy())
            for cut, end in zip(cuts, ends, strict=True)
        ],
    )


def other_athletes(training: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    """Each evening of the one data set with the probability of a detector trained on the other."""
    return scored(training, rows)


def _in_parts(rows: pd.DataFrame, parts: list[tuple[Any, Any]]) -> pd.DataFrame:
    import pandas as pd

    done, problem = [], None
    for train, test in parts:
        if not test.any():
            continue
        try:
            done.append(scored(rows[train].reset_index(drop=True), rows[test].reset_index(drop=True)))
        except overtraining_detector.TooLittleToWarnFrom as error:
            problem = error
    if not done:
        assert problem is not None
        raise problem
    return pd.concat(done, ignore_index=True)


def scored(
    train: pd.DataFrame, test: pd.DataFrame, detector: overtraining_detector.OvertrainingDetector | None = None
) -> pd.DataFrame:
    """The test evenings with the probability of the detector given, or of one fitted here on `train`."""
    detector = detector or overtraining_detector.fit(train)
    return test.assign(probability=detector.probabilities(test), base_rate=float(train["disrupted"].mean()))


def figures(predictions: pd.DataFrame) -> dict[str, Any]:
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
        "suspicious": bool(value is not None and value > SUSPICIOUS_AUC),
    }


def auc(score: Floats, outcome: NDArray[np.bool_]) -> float | None:
    """Probability that a positive scores above a negative, ties half; None where a class is missing."""
    from scipy.stats import rankdata

    positive, negative = int(outcome.sum()), int((~outcome).sum())
    if not positive or not negative:
        return None
    ranks = rankdata(score)
    return float((ranks[outcome].sum() - positive * (positive + 1) / 2) / (positive * negative))


def average_precision(score: Floats, outcome: NDArray[np.bool_]) -> float | None:
    """Mean precision over the positives, from the highest score down; equal scores are taken together."""
    if not outcome.any():
        return None
    order = np.argsort(-score, kind="stable")
    ordered, hits = score[order], np.cumsum(outcome[order])
    last_of_equals = np.append(ordered[1:] != ordered[:-1], True)
    precision = hits[last_of_equals] / (np.flatnonzero(last_of_equals) + 1)
    recall = hits[last_of_equals] / hits[-1]
    return float((np.diff(recall, prepend=0.0) * precision).sum())


def calibration(probability: Floats, outcome: NDArray[np.bool_]) -> list[dict[str, float]]:
    """Mean probability and share of disruptions in tenths of the evenings, from the least to the most likely."""
    parts = np.array_split(np.argsort(probability, kind="stable"), BINS)
    return [
        {"predicted": float(probability[part].mean()), "observed": float(outcome[part].mean()), "n": len(part)}
        for part in parts
        if len(part)
    ]


def _auc_interval(rows: pd.DataFrame, score: str) -> tuple[float | None, float | None]:
    values = rows[score].to_numpy(np.float64)
    outcome = rows["disrupted"].to_numpy(dtype=bool)
    index = [np.flatnonzero(rows["athlete_id"].to_numpy() == name) for name in rows["athlete_id"].unique()]
    random = np.random.default_rng(0)
    drawn = []
    for _ in range(BOOTSTRAPS // 2):
        chosen = np.concatenate([index[n] for n in random.integers(0, len(index), len(index))])
        value = auc(values[chosen], outcome[chosen])
        if value is not None:
            drawn.append(value)
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
        lines.append(f"  AUC above {SUSPICIOUS_AUC}: look for leakage before believing it")
    return "\n".join(lines)
