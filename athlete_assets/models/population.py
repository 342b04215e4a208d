"""The population line: race times for a home whose own efforts are too few to learn from.

A robust ridge line (`time_estimator.Line`) fitted once on many runners, and shipped as numbers that anyone can read:
`population_real.json` for what people ran, `population_simulated.json` for the simulator's athletes. They never serve
each other, for a line of the one is worse than plain Riegel on the other. `python -m
athlete_assets.models.fit_population` fits them again from any file of runs.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from athlete_assets import tables
from athlete_assets.errors import InputError
from athlete_assets.models.time_estimator import POPULATION, Line, TimeEstimator, learned_from, log_ratios_of
from athlete_assets.models.training_set import FEATURES

if TYPE_CHECKING:
    import pandas as pd
    from pyspark.sql import DataFrame

    from athlete_assets.store.base import Store

Kind = Literal["real", "simulated"]
REAL: Kind = "real"
SIMULATED: Kind = "simulated"
SIMULATED_SOURCE = "simulated"

OWN_EFFORTS = 10
"""A home's own residuals at a distance move the line by n / (n + this) of their mean: few are mostly luck."""
FARTHEST_RESIDUAL = 0.15
"""A residual counts as so much at most, in logarithm of time: one easy run must not move the times."""


@dataclass(frozen=True)
class Correction:
    """Quantiles of log(run time / formula's time) at one distance: the formula's shift, and its 80 % interval."""

    log_p10: float
    log_p50: float
    log_p90: float
    efforts: int
    """How many of a home's efforts it rests on; 0 where it is the population's."""


@dataclass(frozen=True)
class Population:
    """A population line with all that it needs to serve, and what was found out about it on athletes left out."""

    fitted_on: Kind
    line: Line
    formula: dict[str, Correction]
    """By race distance, the formula's correction: what serves where the line does not."""
    interval: dict[str, tuple[float, float]]
    """By effort distance, how far the fast and the slow end are moved outwards, in logarithm of time."""
    trust: dict[str, float]
    """By effort distance, the share of the line against the corrected formula: less where few efforts were."""
    figures: dict[str, Any]
    """Of its making: athletes, efforts, and its errors on athletes left out beside the strongest formula's."""

    def estimator(self, shift: Mapping[str, float] | None = None) -> TimeEstimator:
        """As the time estimator that serves; `shift`: by distance, what is added to the logarithm of time."""
        bias = {name: self.formula[_race_distance(name)].log_p50 for name in tables.EFFORT_DISTANCES_M}
        spread = {name: self.formula[_race_distance(name)] for name in tables.EFFORT_DISTANCES_M}
        return TimeEstimator(
            line=self.line,
            models={},
            bias=bias,
            trust=dict(self.trust),
            offsets=dict(self.interval),
            baseline_interval={
                name: (min(found.log_p10 - found.log_p50, 0.0), max(found.log_p90 - found.log_p50, 0.0))
                for name, found in spread.items()
            },
            features=list(FEATURES),
            name=POPULATION,
            shift=dict(shift) if shift else None,
        )

    def moved(self, labelled: pd.DataFrame) -> TimeEstimator:
        """The line moved towards what a home's own efforts (rows with a recent effort) say; the fewer, the less."""
        rows = learned_from(labelled)
        if rows.empty:
            return self.estimator()
        distance = rows["distance"].to_numpy()
        residual = log_ratios_of(rows) - self.estimator().log_ratios(rows, list(distance))[:, 1]
        return self.estimator({name: shift_of(residual[distance == name]) for name in tables.EFFORT_DISTANCES_M})

    def as_json(self) -> str:
        """The line as readable text: numbers only, of no athlete."""
        line = self.line
        columns = zip(line.centre, line.scale, line.slopes, line.missing, line.usual, strict=True)
        content = {
            "what": "A line for race times: log(time / Riegel from the recent effort) = intercept + the sum over the "
            "features of slope * (value - centre) / scale (3 scales at most), or of missing where there is no value. "
            "It counts trust, and "
            "the formula's quantiles 1 - trust; the interval is then moved outwards.",
            "fitted_on": self.fitted_on,
            "figures": self.figures,
            "formula": {
                name: {"log_p10": found.log_p10, "log_p50": found.log_p50, "log_p90": found.log_p90}
                for name, found in self.formula.items()
            },
            "interval": {name: {"faster": fast, "slower": slow} for name, (fast, slow) in self.interval.items()},
            "trust": self.trust,
            "intercept": line.intercept,
            "features": {
                name: dict(zip(("centre", "scale", "slope", "missing", "usual"), map(float, numbers), strict=True))
                for name, numbers in zip(FEATURES, columns, strict=True)
            },
        }
        return json.dumps(_rounded(content), indent=1) + "\n"


def shift_of(residuals: NDArray[np.float64]) -> float:
    """What a home's residuals at a distance add to the logarithm of time there."""
    near = np.clip(residuals, -FARTHEST_RESIDUAL, FARTHEST_RESIDUAL)
    return float(near.sum() / (len(near) + OWN_EFFORTS))


def _rounded(content: Any) -> Any:
    if isinstance(content, dict):
        return {name: _rounded(value) for name, value in content.items()}
    return float(f"{content:.6g}") if isinstance(content, float) else content


def _race_distance(name: str) -> str:
    """The race distance nearest to an effort's distance, by ratio."""
    target = tables.EFFORT_DISTANCES_M[name]
    return min(tables.DISTANCES_M, key=lambda race: abs(math.log(tables.DISTANCES_M[race] / target)))


def read(path: Path) -> Population:
    """The line in a file. Raises InputError that names the file, and what does not fit this package's features."""
    again = "fit it again with: python -m athlete_assets.models.fit_population FILE..."
    try:
        content = json.loads(path.read_text())
        found = content["features"]
        unknown = sorted(set(found) - set(FEATURES))
        lacking = sorted(set(FEATURES) - set(found))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: is no population line ({error!r}); {again}") from None
    if unknown or lacking:
        wrong = [f"has {', '.join(unknown)}"] * bool(unknown) + [f"lacks {', '.join(lacking)}"] * bool(lacking)
        raise InputError(f"{path}: does not fit the features of this version, it {' and '.join(wrong)}; {again}")
    try:
        if content["fitted_on"] not in (REAL, SIMULATED):
            raise ValueError(f"fitted_on is {content['fitted_on']!r}")
        numbers = {
            part: np.array([_number(found[name], part, name) for name in FEATURES])
            for part in ("centre", "scale", "slope", "missing", "usual")
        }
        return Population(
            fitted_on=content["fitted_on"],
            line=Line(
                numbers["centre"],
                numbers["scale"],
                numbers["slope"],
                numbers["missing"],
                _number(content, "intercept", "the line"),
                numbers["usual"],
            ),
            formula={
                name: Correction(
                    _number(quantiles, "log_p10", name),
                    _number(quantiles, "log_p50", name),
                    _number(quantiles, "log_p90", name),
                    efforts=0,
                )
                for name, quantiles in ((name, content["formula"][name]) for name in tables.DISTANCES_M)
            },
            interval={
                name: (_number(ends, "faster", name), _number(ends, "slower", name))
                for name, ends in ((name, content["interval"][name]) for name in tables.EFFORT_DISTANCES_M)
            },
            trust={name: _number(content["trust"], name, "trust") for name in tables.EFFORT_DISTANCES_M},
            figures=content["figures"],
        )
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path}: is no whole population line ({error!r}); {again}") from None


def _number(values: Mapping[str, Any], part: str, of: str) -> float:
    value = float(values[part])
    if not math.isfinite(value) or (part == "scale" and value <= 0):
        raise ValueError(f"{part} of {of} is {value:g}")
    return value


def file_of(kind: Kind) -> Path:
    """Where the package's own line of a kind stands."""
    return Path(__file__).parent / f"population_{kind}.json"


@lru_cache
def shipped(kind: Kind) -> Population:
    """The package's own line of a kind."""
    return read(file_of(kind))


def of_home(store: Store) -> Population | None:
    """The line that may serve a home; None where its activities are of both kinds.

    ATHLETE_POPULATION_LINE names another than the package's; raises InputError where that is of another kind.
    """
    kind = kind_of(store.read(tables.ACTIVITY))
    if kind is None:
        return None
    elsewhere = store.settings.population_line
    if not elsewhere:
        return shipped(kind)
    found = read(Path(elsewhere))
    if found.fitted_on != kind:
        raise InputError(f"{elsewhere}: was fitted on {found.fitted_on} runs and must not serve {kind} ones")
    return found


def kind_of(activities: DataFrame) -> Kind | None:
    """Whether ACTIVITY rows are simulated or real (any other source, or none); None where they are both."""
    from pyspark.sql import functions as F

    is_simulated = F.coalesce(F.col("source") == SIMULATED_SOURCE, F.lit(False)).cast("int")
    row = activities.agg(F.min(is_simulated).alias("least"), F.max(is_simulated).alias("most")).first()
    assert row is not None
    if row["least"] != row["most"]:
        return None
    return SIMULATED if row["most"] else REAL


def other(kind: str | None) -> Kind:
    """The kind that is not this one."""
    return REAL if kind == SIMULATED else SIMULATED


def strangers(activities: DataFrame, kind: str) -> DataFrame:
    """The athletes with an ACTIVITY row that is not of the kind, each athlete_id once."""
    from pyspark.sql import functions as F

    is_simulated = F.coalesce(F.col("source") == SIMULATED_SOURCE, F.lit(False))
    other = activities.where(~is_simulated if kind == SIMULATED else is_simulated)
    return other.select("athlete_id").distinct()
