"""Drift: how far the features that are scored lie from those that the serving model was trained on."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np

from athlete_assets.models import distributions, registry
from athlete_assets.models.registry import Serving
from athlete_assets.models.training import DISTRIBUTIONS
from athlete_assets.monitoring.checks import CheckOutcome
from athlete_assets.settings import Settings

if TYPE_CHECKING:
    import pandas as pd


def drift_outcome(inputs: pd.DataFrame, serving: Serving, settings: Settings) -> CheckOutcome:
    """Whether an input is distributed otherwise than in training; passes, and says so, where nothing can be judged."""
    references = _references(serving, settings)
    found = distributions.shifted(references, {name: inputs[name].to_numpy(np.float64) for name in inputs.columns})
    if not found:
        why = f"{len(inputs)} athletes are too few" if references else "the formula was not trained"
        return CheckOutcome("drift", True, f"Not judged: {why}.", severity="warning")
    far = [f"{name} {index:.2f}" for name, index in found.items() if index > distributions.SHIFTED]
    sentence = (
        f"{len(far)} of {len(found)} features have a PSI above {distributions.SHIFTED}: {', '.join(far[:5]) or 'none'}."
    )
    numbers: dict[str, float | int | str] = {f"psi {name}": round(index, 4) for name, index in found.items()}
    return CheckOutcome("drift", not far, sentence, numbers, severity="warning")


def _references(serving: Serving, settings: Settings) -> dict[str, distributions.Distribution]:
    client = registry.client(settings)
    folder = str(Path(DISTRIBUTIONS).parent)
    if DISTRIBUTIONS not in {file.path for file in client.list_artifacts(serving.run_id, folder)}:
        return {}
    with TemporaryDirectory() as scratch:
        return distributions.from_json(
            Path(client.download_artifacts(serving.run_id, DISTRIBUTIONS, scratch)).read_text()
        )
