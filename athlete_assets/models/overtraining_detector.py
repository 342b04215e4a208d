"""overtraining_detector: the probability that a week without any activity begins within the next 14 days.

A stop for whatever reason (a cold, a holiday, sore legs): never an injury, never a diagnosis. CatBoost on the load
features, calibrated by Platt's logistic curve on the newest fifth of the evenings, which the trees have not seen. Where
there is too little to learn from, or too little known of an athlete, it abstains and says why.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from athlete_assets.models.model_spec import Options, setting
from athlete_assets.models.splits import TooLittleToLearnFrom

if TYPE_CHECKING:
    import pandas as pd
    from catboost import CatBoostClassifier
    from pyspark.sql import DataFrame

Floats = NDArray[np.float64]

ROLLING_INPUTS = (
    "ctl_42d",
    "atl_7d",
    "tsb",
    "ramp_rate_7d",
    "acwr",
    "acwr_7d_28d",
    "distance_trend_30d",
    "consistency_score",
    "activities_30d",
    "total_distance_30d_km",
    "training_monotony_7d",
    "training_strain_7d",
    "rest_days_14d",
    "long_run_spike",
    "pace_trend_30d",
)
PERFORMANCE_INPUTS = (
    "run_days_14d",
    "run_days_28d",
    "run_days_90d",
    "run_distance_7d_km",
    "run_distance_28d_km",
    "run_distance_90d_km",
    "run_distance_365d_km",
    "days_since_run",
    "run_history_days",
)
INPUTS = (*ROLLING_INPUTS, *PERFORMANCE_INPUTS)
OUTPUTS = ("p_disruption_14d", "p_disruption_reason")

CALIBRATION_SHARE, MIN_CALIBRATION_OF_A_CLASS = 0.2, 5
ATHLETE_POWER = 0.5
TOO_LITTLE_HISTORY = "fewer than 28 days of training history"
NOT_IN_TRAINING = "not in training: fewer than 4 activities in the last 30 days"
MIN_ACTIVITIES_30D = 4


class OvertrainingDetectorOptions(Options):
    """What a training of the overtraining detector can be started with."""

    iterations: int = Field(default=250, gt=0, description="trees")
    depth: int = Field(default=4, ge=1, le=10, description="levels of a tree")
    learning_rate: float = Field(default=0.04, gt=0, le=1, description="share of each tree that is added")
    rsm: float = Field(default=0.5, gt=0, le=1, description="share of the features that each split may choose from")
    l2_leaf_reg: float = Field(default=20.0, ge=0, description="penalty of a leaf's value")
    random_seed: int = Field(default=7, ge=0, description="of the trees")
    min_evenings: int = Field(default=300, ge=20, description="evenings; fewer do not carry a model")
    min_athletes: int = Field(default=5, ge=2, description="evenings of fewer do not carry a model")
    min_of_a_class: int = Field(default=30, ge=5, description="evenings with, and as many without a disruption")
    max_auc: float = setting("overtraining_detector_max_auc")

    @property
    def catboost(self) -> dict[str, Any]:
        """The parameters of the trees."""
        chosen = ("iterations", "depth", "learning_rate", "rsm", "l2_leaf_reg", "random_seed")
        return {
            **{name: getattr(self, name) for name in chosen},
            "loss_function": "Logloss",
            "thread_count": 2,
            "allow_writing_files": False,
            "verbose": False,
        }


DEFAULTS = OvertrainingDetectorOptions()


@dataclass
class OvertrainingDetector:
    """A fitted detector: trees, and the logistic curve that turns their score into a probability."""

    model: CatBoostClassifier
    slope: float
    intercept: float

    def probabilities(self, wide: pd.DataFrame) -> Floats:
        """Calibrated probability for each row of `wide` (INPUTS), whether or not it should be shown."""
        score = self.model.predict(wide[list(INPUTS)].astype(np.float64), prediction_type="RawFormulaVal")
        result: Floats = 1 / (1 + np.exp(-(self.slope * np.asarray(score) + self.intercept)))
        return result

    def predict(self, wide: pd.DataFrame) -> pd.DataFrame:
        """OUTPUTS, one row a row of `wide`: a probability, or null with the reason for it."""
        import pandas as pd

        probability = self.probabilities(wide)
        unknown = wide["acwr"].isna().to_numpy()
        idle = ~(wide["activities_30d"].to_numpy(np.float64) >= MIN_ACTIVITIES_30D)
        reason = np.select([unknown, idle], [TOO_LITTLE_HISTORY, NOT_IN_TRAINING], default="").astype(object)
        reason[reason == ""] = None
        shown = np.where(unknown | idle, np.nan, probability)
        return pd.DataFrame({"p_disruption_14d": shown, "p_disruption_reason": reason}, index=wide.index)


def labelled(disruptions: DataFrame, rolling: DataFrame, performance: DataFrame) -> DataFrame:
    """DISRUPTIONS rows with INPUTS as known at the end of their Sunday."""
    keys = ["athlete_id", "as_of_date"]
    state = rolling.select(*keys, *ROLLING_INPUTS)
    seen = performance.select(*keys, *PERFORMANCE_INPUTS)
    return disruptions.join(state, keys, how="left").join(seen, keys, how="left")


def fit(rows: pd.DataFrame, options: OvertrainingDetectorOptions = DEFAULTS) -> OvertrainingDetector:
    """Fits on labelled rows (DISRUPTIONS columns with INPUTS). Raises TooLittleToLearnFrom with what is missing."""
    import pandas as pd
    from catboost import CatBoostClassifier

    usable_rows(rows, options)

    day = rows["as_of_date"]
    cut = day.sort_values().iloc[int((1 - CALIBRATION_SHARE) * len(rows))]
    late = (day >= cut).to_numpy()
    early = (day < cut - pd.Timedelta(days=options.embargo_days)).to_numpy()
    outcome = rows["disrupted"].to_numpy(dtype=bool)
    least = MIN_CALIBRATION_OF_A_CLASS
    if min(outcome[early].sum(), (~outcome[early]).sum(), outcome[late].sum(), (~outcome[late]).sum()) < least:
        raise TooLittleToLearnFrom(
            f"the older or the newest evenings hold fewer than {least} disruptions, or fewer than {least} evenings "
            "without one: a detector could not be calibrated"
        )
    matrix = rows[list(INPUTS)].astype(np.float64)
    model = CatBoostClassifier(**options.catboost)
    model.fit(matrix[early], outcome[early], sample_weight=_weights(rows[early]))
    score = np.asarray(model.predict(matrix[late], prediction_type="RawFormulaVal"))
    slope, intercept = platt(score, outcome[late])
    return OvertrainingDetector(model, slope, intercept)


def usable_rows(rows: pd.DataFrame, options: OvertrainingDetectorOptions = DEFAULTS) -> pd.DataFrame:
    """The rows, all of them; raises TooLittleToLearnFrom where they cannot carry a detector."""
    disrupted = int(rows["disrupted"].sum())
    if len(rows) < options.min_evenings or rows["athlete_id"].nunique() < options.min_athletes:
        raise TooLittleToLearnFrom(
            f"{len(rows)} evenings of {rows['athlete_id'].nunique()} athletes in training with a known outcome; "
            f"at least {options.min_evenings} of {options.min_athletes} are needed"
        )
    if min(disrupted, len(rows) - disrupted) < options.min_of_a_class:
        raise TooLittleToLearnFrom(
            f"{disrupted} of {len(rows)} evenings were followed by a disruption; "
            f"at least {options.min_of_a_class} with and {options.min_of_a_class} without one are needed"
        )
    if rows[list(INPUTS)].isna().all(axis=None):
        raise TooLittleToLearnFrom(
            "all features of all evenings are null: athlete_rolling_features does not reach the labels' days; "
            "materialise it for them first"
        )
    return rows


def _weights(rows: pd.DataFrame) -> Floats:
    evenings = rows.groupby("athlete_id")["disrupted"].transform("size").to_numpy(np.float64)
    weights: Floats = evenings**-ATHLETE_POWER
    return weights


def platt(score: Floats, outcome: NDArray[np.bool_]) -> tuple[float, float]:
    """Slope and intercept of the logistic curve of outcome on score (Platt, 1999).

    His smoothed targets keep the curve finite where the classes separate; a slope below 0 (a score that tells the
    wrong way round on the newest evenings) becomes 0: then the probability is the base rate.
    """
    from sklearn.linear_model import LogisticRegression

    positive, negative = int(outcome.sum()), int((~outcome).sum())
    target = np.where(outcome, (positive + 1) / (positive + 2), 1 / (negative + 2))
    # a target between 0 and 1 is a row of each class, weighted; no penalty, and Newton's method to the last digits
    curve = LogisticRegression(C=np.inf, solver="newton-cholesky", tol=1e-12, max_iter=100)
    twice = np.concatenate([score, score])[:, None]
    curve.fit(twice, np.repeat([True, False], len(score)), sample_weight=np.concatenate([target, 1 - target]))
    slope, intercept = float(curve.coef_[0, 0]), float(curve.intercept_[0])
    if slope <= 0:
        share = target.mean()
        return 0.0, float(np.log(share / (1 - share)))
    return slope, intercept
