"""Drift: how far the features that are scored lie from those that the serving model was trained on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from athlete_assets.models import distributions
from athlete_assets.models.distributions import Distribution
from athlete_assets.monitoring.checks import Check, CheckOutcome
from athlete_assets.settings import Settings

if TYPE_CHECKING:
    import pandas as pd


DRIFT = Check(
    "drift",
    "The features that were scored are distributed as in the training: none has a population stability index (PSI) "
    "above the limit.",
    severity="warning",
    blocking=False,
)


def drift(inputs: pd.DataFrame, references: Mapping[str, Distribution], settings: Settings) -> CheckOutcome:
    """Whether an input is distributed otherwise than in training, by ATHLETE_DRIFT_PSI; passes, and says so, where
    nothing can be judged.
    """
    found = distributions.shifted(references, {name: inputs[name].to_numpy(np.float64) for name in inputs.columns})
    if not found:
        why = f"{len(inputs)} athletes are too few" if references else "the formula serves, and was not trained"
        return DRIFT.outcome(True, f"Not judged: {why}.", {})
    far = sorted((name for name in found if found[name] > settings.drift_psi), key=lambda name: -found[name])
    listed = f": {', '.join(f'{name} {found[name]:.2f}' for name in far[:5])}" if far else ""
    more = f" and {len(far) - 5} more" if len(far) > 5 else ""
    return DRIFT.outcome(
        not far,
        f"{len(far)} of {len(found)} features have a PSI above {settings.drift_psi:g}{listed}{more}.",
        {f"psi {name}": round(index, 4) for name, index in found.items()},
    )
