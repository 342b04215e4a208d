"""The time estimator as the product knows it; what it learns is in models/time_estimator.py."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from athlete_assets import tables
from athlete_assets.models import baseline, population, time_estimator, time_evaluation, training_set
from athlete_assets.models.model_spec import Elsewhere, ModelSpec
from athlete_assets.models.reasons import lines_of
from athlete_assets.models.time_estimator import TimeEstimator, TimeEstimatorOptions

if TYPE_CHECKING:
    import pandas as pd


def as_mlflow_model(estimator: TimeEstimator) -> Any:
    """The estimator as a pyfunc: a frame with its inputs gives its times and `served_by`, and no `top_reasons` yet.

    Its `reasons` gives those for the rows that are shown to somebody: they cost several times what the times cost. The
    reasons of a row are the lines of one string, so that each output is one column of one plain type.
    """
    import mlflow
    import pandas as pd

    class LearnedTimeEstimator(mlflow.pyfunc.PythonModel):  # type: ignore[name-defined]
        def predict(
            self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None
        ) -> pd.DataFrame:
            return estimator.predict(model_input).assign(top_reasons=None)

        def reasons(self, model_input: pd.DataFrame) -> pd.Series:
            return pd.Series(lines_of(estimator, model_input).to_pylist(), model_input.index, dtype=object)

    return LearnedTimeEstimator()


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
    pyfunc=as_mlflow_model,
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
