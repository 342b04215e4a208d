"""The time estimator as the product knows it; what it learns is in models/time_estimator.py."""

from __future__ import annotations

from typing import TYPE_CHECKING

from athlete_assets import tables
from athlete_assets.models import baseline, population, time_estimator, time_evaluation, training_set
from athlete_assets.models.model_spec import Elsewhere, ModelSpec
from athlete_assets.models.reasons import lines_of
from athlete_assets.models.time_estimator import TimeEstimator, TimeEstimatorOptions

if TYPE_CHECKING:
    import pandas as pd


def predict(estimator: TimeEstimator, rows: pd.DataFrame) -> pd.DataFrame:
    """Times and `served_by`, and no `top_reasons` yet."""
    return estimator.predict(rows).assign(top_reasons=None)


def reasons(estimator: TimeEstimator, rows: pd.DataFrame) -> pd.Series:
    """Of each row the lines of one string, so that each output is one column of one plain type."""
    import pandas as pd

    return pd.Series(lines_of(estimator, rows).to_pylist(), rows.index, dtype=object)


SPEC = ModelSpec(
    name="time_estimator",
    description="Race times at 5 k, 10 k, half and marathon, registered in MLflow; the champion serves.",
    labels=tables.RACE_EFFORTS,
    label="time_s",
    evening="lookup_timestamp",
    day="activity_date",
    features={tables.PERFORMANCE: training_set.PERFORMANCE_INPUTS, tables.ROLLING: training_set.ROLLING_INPUTS},
    reference={tables.ROLLING: training_set.REFERENCE_INPUTS},
    outputs={**dict.fromkeys(time_estimator.OUTPUTS, "double"), "served_by": "string", "top_reasons": "string"},
    usable=time_estimator.usable_rows,
    fit=time_estimator.fit,
    judge=time_evaluation.judged,
    predict=predict,
    reasons=reasons,
    options=TimeEstimatorOptions,
    formula=baseline.FORMULA,
    elsewhere=Elsewhere(
        of_home=population.of_home,
        usable=time_estimator.with_baseline,
        adapted=lambda line, rows: line.moved(rows),
        leaned_on=lambda rows, options, line: time_estimator.fit(rows, options, line.moved(rows)),
        fitted_on=lambda line: line.fitted_on,
    ),
)
