"""Which model serves: a candidate is registered as `challenger`, passes the gate or not, and becomes `champion` or not.

The gate compares figures on one holdout: the newest labels, which neither the candidate nor any earlier champion has
seen, since each is registered as it was evaluated, fitted on what lay 43 days and more before its own holdout. The
verdict and its reasons are tags of the version, and the alias alone decides what serves; nothing is ever deleted.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from athlete_assets.errors import AthleteAssetsError
from athlete_assets.models import detector_evaluation, registry, time_estimator, time_evaluation
from athlete_assets.models.registry import CHALLENGER, CHAMPION, Serving
from athlete_assets.models.time_evaluation import EMBARGO_DAYS
from athlete_assets.settings import Settings

if TYPE_CHECKING:
    import pandas as pd

HOLDOUT_SHARE = 0.2
MIN_HOLDOUT_10K = 20
"""Fewer efforts at 10 km cannot say whether its error is below the limit."""

STATUS, REASONS, KIND, PREVIOUS = "validation_status", "validation_reasons", "kind", "previous_champion"
APPROVED, REJECTED = "approved", "rejected"
LEARNED, FORMULA = "learned", "formula"
TAG_LENGTH = 1_000
"""Unity Catalog refuses longer tag values, MLflow's own registry those above 5,000."""


@dataclass(frozen=True)
class Decision:
    """Whether the candidate may serve, and every sentence that speaks for or against it."""

    approved: bool
    reasons: tuple[str, ...]


class NothingToRollBackTo(AthleteAssetsError):
    """The serving version names no champion before it."""


# ----------------------------------------------------------------------------------------------------------- holdout


def split(rows: pd.DataFrame, day: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """What to fit on, and the newest fifth to judge on; between them lie EMBARGO_DAYS without any row."""
    import pandas as pd

    days = rows[day]
    cut = days.sort_values().iloc[int((1 - HOLDOUT_SHARE) * len(rows))]
    train = rows[days < cut - pd.Timedelta(days=EMBARGO_DAYS)].reset_index(drop=True)
    return train, rows[days >= cut].reset_index(drop=True)


def champion_times(champion: Serving, holdout: pd.DataFrame) -> np.ndarray:
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
    for name in time_estimator.DISTANCES:
        at = (holdout["distance"] == name).to_numpy()
        times[at] = predicted[f"predicted_{name}_s"].to_numpy(np.float64)[at]
    return times


# -------------------------------------------------------------------------------------------------------------- gate


def judge_times(scored: pd.DataFrame, champion: np.ndarray | None) -> Decision:
    """The time estimator's gate on a scored holdout (time_evaluation.scored).

    Approved where the mean APE lies below both bias-corrected formulas', the 10 km MAE below 180 s on at least
    MIN_HOLDOUT_10K efforts, and the champion, where it is another than the formulas, is not better on the same rows.
    """
    run = scored["time_s"].to_numpy(np.float64)
    ours = scored[time_evaluation.MODEL].to_numpy(np.float64)
    found: list[tuple[bool, str]] = []
    rivals = {
        name: scored[name].to_numpy(np.float64)
        for name in (time_evaluation.BEST_180D_CORRECTED, time_evaluation.RECENT_CORRECTED)
    }
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
    if at_10k.sum() < MIN_HOLDOUT_10K:
        found.append((False, f"only {int(at_10k.sum())} efforts at 10 km to judge by; {MIN_HOLDOUT_10K} are needed"))
    else:
        mae = float(np.abs(ours - run)[at_10k].mean())
        limit = time_evaluation.GOAL_10K_MAE_S
        found.append((mae < limit, f"10 km MAE {mae:.0f} s (below {limit:.0f} s is needed)"))
    return _decision(found)


def judge_detector(figures: dict[str, Any], champion_auc: float | None) -> Decision:
    """The detector's gate: above ACWR alone and chance, Brier below the base rate's, and the champion not better."""
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
            f"AUC {value:.3f}; above {detector_evaluation.SUSPICIOUS_AUC} leakage is likelier than skill",
        ),
    ]
    if champion_auc is not None:
        found.append((value >= champion_auc, f"AUC {value:.3f} against {champion_auc:.3f} of the champion"))
    return _decision(found)


def _decision(found: list[tuple[bool, str]]) -> Decision:
    return Decision(
        all(passed for passed, _ in found),
        tuple(f"{'passed' if passed else 'FAILED'}: {sentence}" for passed, sentence in found),
    )


# ---------------------------------------------------------------------------------------------------------- registry


def apply(model: str, version: str, decision: Decision, settings: Settings, kind: str = LEARNED) -> None:
    """Marks a registered version as challenger with the gate's verdict, and lets it serve where that is `approved`."""
    client, name = registry.client(settings), registry.model_name(model, settings)
    client.set_registered_model_alias(name, CHALLENGER, version)
    client.set_model_version_tag(name, version, KIND, kind)
    client.set_model_version_tag(name, version, STATUS, APPROVED if decision.approved else REJECTED)
    client.set_model_version_tag(name, version, REASONS, "\n".join(decision.reasons)[:TAG_LENGTH])
    if decision.approved:
        before = champion_version(model, settings)
        if before is not None and before != version:
            client.set_model_version_tag(name, version, PREVIOUS, before)
        # last: until here the old champion serves, whatever fails
        client.set_registered_model_alias(name, CHAMPION, version)


def champion_version(model: str, settings: Settings) -> str | None:
    """The version that serves; None where none does. Raises where the registry does not answer."""
    from mlflow.exceptions import MlflowException

    try:
        found = registry.client(settings).get_model_version_by_alias(registry.model_name(model, settings), CHAMPION)
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return None
        raise
    return str(found.version)


def kind_of(model: str, version: str, settings: Settings) -> str:
    """`learned`, or `formula` for a version that says nothing else."""
    found = registry.client(settings).get_model_version(registry.model_name(model, settings), version)
    return str(found.tags.get(KIND, FORMULA))


def rollback(model: str, settings: Settings) -> tuple[str, str]:
    """Lets the champion before the present one serve again; returns (the version that served, the one that serves now).

    Raises NothingToRollBackTo where there is none.
    """
    client, name = registry.client(settings), registry.model_name(model, settings)
    now = champion_version(model, settings)
    if now is None:
        raise NothingToRollBackTo(f"no version of {name} serves; materialise models/{model} first")
    before = client.get_model_version(name, now).tags.get(PREVIOUS)
    if before is None:
        raise NothingToRollBackTo(f"version {now} of {name} has no champion before it to roll back to")
    client.set_model_version_tag(name, now, STATUS, "rolled back")
    client.set_registered_model_alias(name, CHAMPION, before)
    return now, before
