"""overtraining_detector: the probability that a week without any activity begins within the next 14 days.

A logistic regression of five counts: how often the athlete was active of late, and how long ago the last run was. It
measures how firmly a training habit holds, and nothing of load, heart rate or pace: gradient-boosted trees on 24 load
and frequency features told disruptions of unseen athletes no better, and worse a year on (docs/models.md). A
stop for whatever reason (a cold, a holiday, sore legs): never an injury, never a diagnosis. Where there is
too little to learn from, or too little known of an athlete, it abstains and says why.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from athlete_assets.models.model_spec import Options, setting
from athlete_assets.models.splits import TooLittleToLearnFrom
from athlete_assets.words import counted, verb

if TYPE_CHECKING:
    import pandas as pd
    from pyspark.sql import DataFrame

Floats = NDArray[np.float64]

FREQUENCY = "consistency_score"
"""How often the athlete trains, and the rival that the other counts have to add something to."""
COUNTS = (FREQUENCY, "rest_days_14d", "days_since_run", "run_days_90d", "run_history_days")
"""What the probability is computed from."""
IN_LOGARITHMS = ("days_since_run", "run_days_90d", "run_history_days")
"""Counts of many days, of which one more says less the more there are: ln(1 + days)."""
WHERE_UNKNOWN = {"days_since_run": 365.0}
"""The columns look back a year: no run is a year without one. Any other count is 0 where it is unknown."""
ROLLING_INPUTS = (FREQUENCY, "rest_days_14d", "activities_30d")
PERFORMANCE_INPUTS = ("days_since_run", "run_days_90d", "run_history_days")
INPUTS = (*ROLLING_INPUTS, *PERFORMANCE_INPUTS)
OUTPUTS = ("p_disruption_14d", "p_disruption_reason")

MIN_HISTORY_DAYS, MIN_ACTIVITIES_30D = 28, 4
TOO_LITTLE_HISTORY = "fewer than 28 days since the first run of the last year"
NOT_IN_TRAINING = "not in training: fewer than 4 activities in the last 30 days"
OF_AN_EARLIER_RELEASE = "the detector was trained by an earlier release; the next training replaces it"


class OvertrainingDetectorOptions(Options):
    """What a training of the overtraining detector can be started with."""

    penalty: float = Field(
        default=1.0, gt=0, description="of the squared coefficients of standardised counts; keeps them finite"
    )
    min_evenings: int = Field(default=300, ge=20, description="evenings; fewer do not carry a model")
    min_athletes: int = Field(default=5, ge=2, description="evenings of fewer do not carry a model")
    min_of_a_class: int = Field(default=30, ge=5, description="evenings with, and as many without a disruption")
    max_auc: float = setting("overtraining_detector_max_auc")


DEFAULTS = OvertrainingDetectorOptions()


@dataclass
class OvertrainingDetector:
    """A fitted detector: the log odds of a disruption are a sum over counts."""

    counts: tuple[str, ...]
    centre: Floats
    scale: Floats
    slopes: Floats
    """Log odds that one `scale` of each count adds, (counts,)."""
    intercept: float
    """Log odds at the centre."""

    def __setstate__(self, state: dict[str, Any]) -> None:
        """A detector that was stored as trees before it was a regression has no counts: it abstains."""
        self.__dict__.update({"counts": (), **state})

    def probabilities(self, wide: pd.DataFrame) -> Floats:
        """Probability for each row of `wide` (INPUTS), whether or not it should be shown."""
        log_odds = self.intercept + (_matrix(wide, self.counts) - self.centre) / self.scale @ self.slopes
        result: Floats = 1 / (1 + np.exp(-log_odds))
        return result

    def predict(self, wide: pd.DataFrame) -> pd.DataFrame:
        """OUTPUTS, one row a row of `wide`: a probability, or null with the reason for it."""
        import pandas as pd

        if not self.counts:
            unknown = pd.DataFrame(index=wide.index, columns=list(OUTPUTS))
            return unknown.assign(p_disruption_14d=np.nan, p_disruption_reason=OF_AN_EARLIER_RELEASE)
        young = ~(wide["run_history_days"].to_numpy(np.float64) >= MIN_HISTORY_DAYS)
        idle = ~(wide["activities_30d"].to_numpy(np.float64) >= MIN_ACTIVITIES_30D)
        reason = np.select([young, idle], [TOO_LITTLE_HISTORY, NOT_IN_TRAINING], default="").astype(object)
        reason[reason == ""] = None
        shown = np.where(young | idle, np.nan, self.probabilities(wide))
        return pd.DataFrame({"p_disruption_14d": shown, "p_disruption_reason": reason}, index=wide.index)


def labelled(disruptions: DataFrame, rolling: DataFrame, performance: DataFrame) -> DataFrame:
    """DISRUPTIONS rows with INPUTS as known at the end of their Sunday."""
    keys = ["athlete_id", "as_of_date"]
    state = rolling.select(*keys, *ROLLING_INPUTS)
    seen = performance.select(*keys, *PERFORMANCE_INPUTS)
    return disruptions.join(state, keys, how="left").join(seen, keys, how="left")


def fit(rows: pd.DataFrame, options: OvertrainingDetectorOptions = DEFAULTS) -> OvertrainingDetector:
    """Fits on labelled rows (DISRUPTIONS columns with INPUTS). Raises TooLittleToLearnFrom with what is missing."""
    return fit_counts(usable_rows(rows, options), COUNTS, options)


def fit_counts(
    rows: pd.DataFrame, counts: tuple[str, ...], options: OvertrainingDetectorOptions = DEFAULTS
) -> OvertrainingDetector:
    """Logistic regression of `disrupted` on the counts.

    Every evening weighs the same and the intercept is free, so that in training the mean probability is the share that
    was followed by a disruption.
    """
    from sklearn.linear_model import LogisticRegression

    matrix = _matrix(rows, counts)
    centre, spread = matrix.mean(axis=0), matrix.std(axis=0)
    scale = np.where(spread > 0, spread, 1.0)
    curve = LogisticRegression(C=1 / options.penalty, solver="newton-cholesky", tol=1e-10, max_iter=100)
    curve.fit((matrix - centre) / scale, rows["disrupted"].to_numpy(dtype=bool))
    return OvertrainingDetector(counts, centre, scale, curve.coef_[0], float(curve.intercept_[0]))


def usable_rows(rows: pd.DataFrame, options: OvertrainingDetectorOptions = DEFAULTS) -> pd.DataFrame:
    """The rows, all of them; raises TooLittleToLearnFrom where they cannot carry a detector."""
    disrupted, athletes = int(rows["disrupted"].sum()), rows["athlete_id"].nunique()
    evenings = counted(len(rows), "evening")
    if len(rows) < options.min_evenings or athletes < options.min_athletes:
        raise TooLittleToLearnFrom(
            f"{evenings} of {counted(athletes, 'athlete')} in training with a known outcome; "
            f"at least {options.min_evenings} of {options.min_athletes} are needed"
        )
    if min(disrupted, len(rows) - disrupted) < options.min_of_a_class:
        raise TooLittleToLearnFrom(
            f"{disrupted:,} of {evenings} {verb(disrupted, 'was', 'were')} followed by a disruption; "
            f"at least {options.min_of_a_class} with and {options.min_of_a_class} without one are needed"
        )
    if rows[list(INPUTS)].isna().all(axis=None):
        raise TooLittleToLearnFrom(
            "all features of all evenings are null: athlete_rolling_features does not reach the labels' days; "
            "materialise it for them first"
        )
    return rows


def _matrix(wide: pd.DataFrame, counts: tuple[str, ...]) -> Floats:
    """(rows, counts) without unknown values."""
    columns = []
    for name in counts:
        values = wide[name].to_numpy(np.float64)
        known = np.where(np.isfinite(values), values, WHERE_UNKNOWN.get(name, 0.0))
        columns.append(np.log1p(known) if name in IN_LOGARITHMS else known)
    return np.column_stack(columns)
