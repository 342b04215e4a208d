"""Drift: how far what is scored, and what is said of it, lie from the serving version's training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from athlete_assets.models import distributions
from athlete_assets.models.distributions import Counts, Distribution, Tally, TrainingSample
from athlete_assets.monitoring import charts
from athlete_assets.monitoring.checks import Check, CheckOutcome
from athlete_assets.settings import Settings
from athlete_assets.words import counted, verb

FEWEST = 20
"""Athletes below which a day's values are not held against a training's."""
CONFIDENCE = 0.95
FEWEST_OF_TRAINING = 0.5
"""Of as many athletes as the training had: with fewer the scored are others than those that it was made for."""
SHOWN = 2
"""Histograms, of the columns that lie farthest."""
NULLS_SHIFTED = 0.1
"""A share of unknown values that grew by more is named."""
DAY = "day"
"""The day that a verdict is of, among its numbers."""

DRIFT = Check(
    "drift",
    "What was scored, and what was predicted, is distributed as in the serving version's training: no population "
    "stability index (PSI) is above the limit by more than chance, and the scored athletes are at least half as many.",
    severity="warning",
    blocking=False,
)


def drift(tally: Tally, seen: TrainingSample, day: date, settings: Settings) -> tuple[CheckOutcome, dict[str, Any]]:
    """Whether a column is distributed otherwise than in training, and histograms of the farthest as metadata.

    A column has shifted where its PSI exceeds ATHLETE_DRIFT_PSI by more than a sample of that size does by chance.
    Passes, and says so, where nothing can be judged.
    """
    if not seen.columns:
        return DRIFT.outcome(True, "Not judged: what serves was not trained here.", {DAY: str(day)}), {}
    if tally.rows < FEWEST:
        return DRIFT.outcome(
            True, f"Not judged: {counted(tally.rows, 'athlete')} who ran lately: too few.", {DAY: str(day)}
        ), {}
    found = distributions.shifted(seen.columns, tally.columns, least=FEWEST)
    excess = {name: index - by_chance(seen.columns[name], tally.rows) for name, index in found.items()}
    far = sorted((name for name in excess if excess[name] > settings.drift_psi), key=lambda name: -excess[name])
    nulls = {name: _nulls_added(seen.columns[name], tally.columns[name]) for name in found}
    emptier = sorted((name for name in nulls if nulls[name] > NULLS_SHIFTED), key=lambda name: -nulls[name])
    fewer = seen.athletes is not None and tally.rows < FEWEST_OF_TRAINING * seen.athletes
    sentence = f"{len(far)} of {len(found)} features and predictions lie beyond a PSI of {settings.drift_psi:g}"
    sentence += f": {_listed(far, found)}." if far else "."
    if emptier:
        sentence += f" More often unknown than in training: {_listed(emptier, nulls, '+{:.0%}')}."
    if fewer:
        were = f"{counted(tally.rows, 'evening')} {verb(tally.rows, 'was', 'were')}"
        sentence += f" {were} scored; the training had {counted(seen.athletes or 0, 'athlete')}."
    numbers: dict[str, float | int | str] = {f"psi {name}": round(index, 4) for name, index in found.items()}
    numbers |= {f"nulls added {name}": round(nulls[name], 4) for name in emptier}
    numbers |= {DAY: str(day), "rows": tally.rows, "athletes_in_training": seen.athletes or "unknown"}
    worst = sorted(found, key=lambda name: -excess[name])[:SHOWN]
    pictured = {name: (seen.columns[name], tally.columns[name]) for name in worst}
    shown = {"drift": charts.drift_histograms(pictured)} if pictured else {}
    return DRIFT.outcome(not far and not fewer, sentence, numbers), shown


def by_chance(reference: Distribution, count: int) -> float:
    """What the PSI of `count` values of the reference itself exceeds in 5 of 100 samples.

    count times the index has a chi-square distribution with a degree of freedom fewer than bins (Yurdakul, 2018).
    """
    from scipy.special import chdtri  # scipy.stats takes a second to import

    bins = sum(share > 0 for share in reference.shares)
    return float(chdtri(max(1, bins - 1), 1 - CONFIDENCE)) / count


def _nulls_added(reference: Distribution, counts: Counts) -> float:
    return float(distributions.shares_of(counts)[-1]) - reference.shares[-1]


def _listed(names: Sequence[str], values: Mapping[str, float], form: str = "{:.2f}") -> str:
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(f"{name} {form.format(values[name])}" for name in names[:5]) + more
