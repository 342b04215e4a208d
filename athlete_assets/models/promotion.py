"""Which model serves: a candidate is registered as `challenger`, passes the gate or not, and becomes `champion` or not.

The gate compares figures on one holdout: the newest labels, which neither the candidate nor any earlier champion has
seen, since each is registered as it was evaluated, fitted on what lay an embargo and more before its own holdout. The
verdict and its reasons are tags of the version, and the alias alone decides what serves; nothing is ever deleted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from athlete_assets.errors import AthleteAssetsError
from athlete_assets.models import registry
from athlete_assets.models.registry import CHALLENGER, CHAMPION
from athlete_assets.settings import Settings

STATUS, REASONS, KIND, PREVIOUS = "validation_status", "validation_reasons", "kind", "previous_champion"
APPROVED, REJECTED = "approved", "rejected"
LEARNED, POPULATION, FORMULA = "learned", "population", "formula"
FITTED_ON = "fitted_on"
"""Tag of a version that must serve no other kind of data than it was fitted on: real or simulated."""
TAG_LENGTH = 1_000
"""Unity Catalog refuses longer tag values, MLflow's own registry those above 5,000."""


@dataclass(frozen=True)
class Decision:
    """Whether the candidate may serve, and every sentence that speaks for or against it."""

    approved: bool
    reasons: tuple[str, ...]


class NothingToRollBackTo(AthleteAssetsError):
    """The serving version names no champion before it."""


def decided(found: Sequence[tuple[bool, str]]) -> Decision:
    """The verdict on a candidate: every sentence with whether it speaks for it; one that does not keeps it out."""
    return Decision(
        all(passed for passed, _ in found),
        tuple(f"{'passed' if passed else 'FAILED'}: {sentence}" for passed, sentence in found),
    )


def apply(
    model: str, version: str, decision: Decision, settings: Settings, kind: str = LEARNED, fitted_on: str | None = None
) -> None:
    """Marks a registered version as challenger with the gate's verdict, and lets it serve where that is `approved`."""
    client, name = registry.client(settings), registry.model_name(model, settings)
    client.set_registered_model_alias(name, CHALLENGER, version)
    client.set_model_version_tag(name, version, KIND, kind)
    if fitted_on:
        client.set_model_version_tag(name, version, FITTED_ON, fitted_on)
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
    """`learned` (from this home's labels), `population`, or `formula` for a version that says nothing else."""
    found = registry.client(settings).get_model_version(registry.model_name(model, settings), version)
    return str(found.tags.get(KIND, FORMULA))


def fitted_on(model: str, version: str, settings: Settings) -> str | None:
    """The only kind of data that the version may serve (real or simulated); None where it may serve any."""
    found = registry.client(settings).get_model_version(registry.model_name(model, settings), version)
    return found.tags.get(FITTED_ON)


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
