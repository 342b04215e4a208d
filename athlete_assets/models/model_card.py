"""A registered version's card: what it learned from, how well it does and where its limits are, from its run's figures.

The figures are read from the MLflow run that made the version, never computed again: a card and the gate say the same.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timezone
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from athlete_assets.models import promotion, registry
from athlete_assets.models.model_spec import ModelSpec
from athlete_assets.settings import Settings
from athlete_assets.words import counted

if TYPE_CHECKING:
    import pandas as pd

EVALUATION, LABELS = "evaluation.json", "labels.json"
LONGEST = 5_000
"""Characters of a version's description that MLflow's registry takes."""
RIEGEL = "riegel_corrected"
RIVALS = ("frequency", "acwr")
"""What a detector may have been judged against, by the name that its figures carry."""


@dataclass(frozen=True)
class ModelCard:
    """What a version's own run says of it."""

    model: str
    version: str
    kind: str
    """learned, formula ..., as the gate marked it."""
    description: str
    since: date
    """Day (UTC) on which it was registered."""
    params: Mapping[str, str]
    metrics: Mapping[str, float]
    figures: Mapping[str, Any]
    """What the holdout said; empty where it was not judged on one."""
    labels: Mapping[str, Any]
    """`label_facts` of its training; empty where the run did not record them."""
    gate: tuple[str, ...]

    def errors(self) -> Iterator[tuple[str, Mapping[str, Mapping[str, Any]]]]:
        """By part of the evaluation (holdout, unseen_athletes), the figures by distance; none of a detector."""
        for part, distances in self.figures.items():
            if isinstance(distances, dict):
                found = {name: one for name, one in distances.items() if isinstance(one, dict) and "methods" in one}
                if found:
                    yield part, found

    def rivals(self) -> list[str]:
        """What a detector was judged against alone."""
        return [rival for rival in RIVALS if f"auc_{rival}_alone" in self.figures]


def label_facts(spec: ModelSpec, train: pd.DataFrame, holdout: pd.DataFrame) -> dict[str, Any]:
    """How many labels of which kinds, of how many athletes, from when to when: as JSON beside the run's figures."""
    kind = "effort" if "effort" in train else spec.label if train[spec.label].dtype == bool else None
    days = [*train[spec.day], *holdout[spec.day]]
    return {
        "train": len(train),
        "holdout": len(holdout),
        "athletes": len({*train["athlete_id"], *holdout["athlete_id"]}),
        "first_day": f"{min(days):%Y-%m-%d}",
        "last_day": f"{max(days):%Y-%m-%d}",
        "kinds": {str(name): int(rows) for name, rows in train[kind].value_counts().items()} if kind else {},
    }


def serving_card(spec: ModelSpec, settings: Settings) -> ModelCard | None:
    """The card of the version that serves; None where none does."""
    version = promotion.champion_version(spec.name, settings)
    return card(spec, version, settings) if version else None


def card(spec: ModelSpec, version: str, settings: Settings) -> ModelCard:
    """The card of a registered version."""
    client = registry.client(settings)
    found = client.get_model_version(registry.model_name(spec.name, settings), version)
    run = client.get_run(str(found.run_id))
    return ModelCard(
        model=spec.name,
        version=version,
        kind=str(found.tags.get(promotion.KIND, promotion.FORMULA)),
        description=spec.description,
        since=datetime.fromtimestamp(found.creation_timestamp / 1000, timezone.utc).date(),
        params=dict(sorted(run.data.params.items())),
        metrics=dict(sorted(run.data.metrics.items())),
        figures=_artifact(client, str(found.run_id), EVALUATION),
        labels=_artifact(client, str(found.run_id), LABELS),
        gate=tuple(str(found.tags.get(promotion.REASONS, "")).splitlines()),
    )


def describe(spec: ModelSpec, version: str, settings: Settings) -> None:
    """Writes the card into the registered version's description. A registry that refuses it stops no training."""
    from mlflow.exceptions import MlflowException

    text, name = as_markdown(card(spec, version, settings))[:LONGEST], registry.model_name(spec.name, settings)
    try:
        registry.client(settings).update_model_version(name, version, description=text)
    except MlflowException as error:
        logging.getLogger(__name__).warning("%s version %s has no description: %s", name, version, error)


def as_markdown(card: ModelCard) -> str:
    """The card for the registry, in English."""
    labels = card.labels
    lines = [card.description, "", f"Kind: {card.kind}."]
    if labels:
        kinds = ", ".join(f"{name} {rows}" for name, rows in labels["kinds"].items())
        lines += [
            f"Labels: {labels['train']} learned from{f' ({kinds})' if kinds else ''}, {labels['holdout']} held out, of "
            f"{counted(labels['athletes'], 'athlete')}, {labels['first_day']} to {labels['last_day']}."
        ]
    for part, distances in card.errors():
        lines += ["", f"| {part} | efforts | MAE s | mean APE | 80 % interval holds | below Riegel |", "|" + "---|" * 6]
        for name, found in distances.items():
            model, gain = found["methods"]["model"], found.get("against", {}).get(RIEGEL, {})
            lines.append(
                f"| {name} | {found['n']} | {_told(model['mae_s'], '.0f')} | {_told(model['mean_ape'], '.1%')} | "
                f"{_told(found['coverage'], '.0%')} | {_told(gain.get('mean_ape_below'), '.0%')} |"
            )
    if "auc" in card.figures:
        found = card.figures
        lines += [
            "",
            f"AUC {_told(found['auc'], '.3f')} [{_told(found['auc_low'], '.3f')}, {_told(found['auc_high'], '.3f')}]"
            + "".join(f", {_told(found[f'auc_{rival}_alone'], '.3f')} of {rival} alone" for rival in card.rivals())
            + f"; Brier {_told(found['brier'], '.4f')} beside {_told(found['brier_base_rate'], '.4f')} of the base "
            f"rate; {counted(found['evenings'], 'evening')} of {counted(found['athletes'], 'athlete')}.",
        ]
    if card.gate:
        lines += ["", "The gate:", *(f"- {sentence}" for sentence in card.gate)]
    return "\n".join([*lines, "", "Not medical advice."])


def _told(value: float | None, form: str) -> str:
    return "unknown" if value is None else format(value, form)


def _artifact(client: Any, run_id: str, path: str) -> dict[str, Any]:
    if path not in {file.path for file in client.list_artifacts(run_id)}:
        return {}
    with TemporaryDirectory() as scratch:
        found: dict[str, Any] = json.loads(Path(client.download_artifacts(run_id, path, scratch)).read_text())
    return found
