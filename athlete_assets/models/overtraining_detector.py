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

from athlete_assets.errors import AthleteAssetsError

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

MIN_EVENINGS, MIN_ATHLETES, MIN_OF_A_CLASS = 300, 5, 30
CALIBRATION_SHARE, EMBARGO_DAYS = 0.2, 43
ATHLETE_POWER = 0.5
TOO_LITTLE_HISTORY = "fewer than 28 days of training history"
NOT_IN_TRAINING = "not in training: fewer than 4 activities in the last 30 days"
MIN_ACTIVITIES_30D = 4
PARAMETERS: dict[str, Any] = {
    "iterations": 250,
    "depth": 4,
    "learning_rate": 0.04,
    "l2_leaf_reg": 20.0,
    "rsm": 0.5,
    "loss_function": "Logloss",
    "random_seed": 7,
    "thread_count": 2,
    "allow_writing_files": False,
    "verbose": False,
}


class TooLittleToWarnFrom(AthleteAssetsError):
    """The labels do not carry a detector: too few evenings, athletes, or disruptions."""


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


def fit(rows: pd.DataFrame) -> OvertrainingDetector:
    """Fits on labelled rows (DISRUPTIONS columns with INPUTS). Raises TooLittleToWarnFrom that says what is missing."""
    from catboost import CatBoostClassifier

    check_enough(rows)
    import pandas as pd

    day = rows["as_of_date"]
    cut = day.sort_values().iloc[int((1 - CALIBRATION_SHARE) * len(rows))]
    late = (day >= cut).to_numpy()
    early = (day < cut - pd.Timedelta(days=EMBARGO_DAYS)).to_numpy()
    outcome = rows["disrupted"].to_numpy(dtype=bool)
    if min(outcome[early].sum(), (~outcome[early]).sum(), outcome[late].sum(), (~outcome[late]).sum()) < 5:
        raise TooLittleToWarnFrom(
            "the older or the newest evenings hold fewer than 5 disruptions, or fewer than 5 evenings without one: "
            "a detector could not be calibrated"
        )
    matrix = rows[list(INPUTS)].astype(np.float64)
    model = CatBoostClassifier(**PARAMETERS).fit(matrix[early], outcome[early], sample_weight=_weights(rows[early]))
    score = np.asarray(model.predict(matrix[late], prediction_type="RawFormulaVal"))
    slope, intercept = platt(score, outcome[late])
    return OvertrainingDetector(model, slope, intercept)


def check_enough(rows: pd.DataFrame) -> None:
    """Raises TooLittleToWarnFrom where the rows cannot carry a detector."""
    disrupted = int(rows["disrupted"].sum())
    if len(rows) < MIN_EVENINGS or rows["athlete_id"].nunique() < MIN_ATHLETES:
        raise TooLittleToWarnFrom(
            f"{len(rows)} evenings of {rows['athlete_id'].nunique()} athletes in training with a known outcome; "
            f"at least {MIN_EVENINGS} of {MIN_ATHLETES} are needed"
        )
    if min(disrupted, len(rows) - disrupted) < MIN_OF_A_CLASS:
        raise TooLittleToWarnFrom(
            f"{disrupted} of {len(rows)} evenings were followed by a disruption; "
            f"at least {MIN_OF_A_CLASS} with and {MIN_OF_A_CLASS} without one are needed"
        )
    if rows[list(INPUTS)].isna().all(axis=None):
        raise TooLittleToWarnFrom(
            "all features of all evenings are null: athlete_rolling_features does not reach the labels' days; "
            "materialise it for them first"
        )


def _weights(rows: pd.DataFrame) -> Floats:
    evenings = rows.groupby("athlete_id")["disrupted"].transform("size").to_numpy(np.float64)
    weights: Floats = evenings**-ATHLETE_POWER
    return weights


def platt(score: Floats, outcome: NDArray[np.bool_]) -> tuple[float, float]:
    """Slope and intercept of the logistic curve of outcome on score, by Newton's method (Platt, 1999).

    His smoothed targets keep the curve finite where the classes separate; a slope below 0 (a score that tells the
    wrong way round on the newest evenings) becomes 0: then the probability is the base rate.
    """
    positive, negative = int(outcome.sum()), int((~outcome).sum())
    target = np.where(outcome, (positive + 1) / (positive + 2), 1 / (negative + 2))
    design = np.column_stack([score, np.ones(len(score))])
    beta = np.array([1.0, 0.0])
    for _ in range(50):
        probability = 1 / (1 + np.exp(-design @ beta))
        gradient = design.T @ (target - probability)
        curvature = design.T @ (design * (probability * (1 - probability))[:, None]) + 1e-9 * np.eye(2)
        step = np.linalg.solve(curvature, gradient)
        beta = beta + np.clip(step, -2, 2)
        if np.abs(step).max() < 1e-10:
            break
    if beta[0] <= 0:
        share = target.mean()
        return 0.0, float(np.log(share / (1 - share)))
    return float(beta[0]), float(beta[1])


def as_mlflow_model(detector: OvertrainingDetector) -> Any:
    """The detector as a pyfunc: a frame with INPUTS gives one with OUTPUTS."""
    import mlflow

    class LearnedOvertrainingDetector(mlflow.pyfunc.PythonModel):  # type: ignore[name-defined]
        def predict(
            self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None
        ) -> pd.DataFrame:
            return detector.predict(model_input)

    return LearnedOvertrainingDetector()
