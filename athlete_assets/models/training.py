"""One training of a model: labels with their features, a fit, a judgement on the holdout, a version, and the gate."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from typing import TYPE_CHECKING, Any

from athlete_assets import tables
from athlete_assets.errors import AthleteAssetsError
from athlete_assets.models import (
    baseline,
    detector_evaluation,
    distributions,
    overtraining_detector,
    plots,
    promotion,
    registry,
    time_estimator,
    time_evaluation,
    training_set,
)
from athlete_assets.models.promotion import Decision
from athlete_assets.settings import Settings
from athlete_assets.store.base import Store
from athlete_assets.store.feature_store import FeatureStore
from athlete_assets.tables import Table

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure
    from pyspark.sql import DataFrame

MOST_LABELS_FOR_FOLDS = 20_000
"""More labels are judged on the holdout alone: fold by fold would cost hours and add no digit."""
DISTRIBUTIONS = "drift/training_distributions.json"


TIME_OUTPUTS = {
    **dict.fromkeys(time_estimator.OUTPUTS, "double"),
    "served_by": "string",
    "top_reasons": "string",
}
DETECTOR_OUTPUTS = {"p_disruption_14d": "double", "p_disruption_reason": "string"}
"""What each model gives, by name, in Spark's types."""
FeatureColumns = Mapping[Table, Sequence[str]]
"""Features by the table that they are looked up in."""


class FeaturesBehindLabels(AthleteAssetsError):
    """A feature table ends before the labels that are to be learned from."""


@dataclass(frozen=True)
class Trained:
    """What a training came to: the registered version, the gate's verdict, figures and plots for people."""

    version: str
    run_id: str
    decision: Decision
    text: str
    figures: dict[str, Any]
    plots: Mapping[str, Figure]
    """By name; the same that the MLflow run holds."""


EFFORT_FEATURES: FeatureColumns = {
    tables.PERFORMANCE: training_set.PERFORMANCE_INPUTS,
    tables.ROLLING: training_set.ROLLING_INPUTS,
}
EVENING_FEATURES: FeatureColumns = {
    tables.PERFORMANCE: overtraining_detector.PERFORMANCE_INPUTS,
    tables.ROLLING: overtraining_detector.ROLLING_INPUTS,
}
FORMULA_FEATURES: FeatureColumns = {tables.ROLLING: baseline.INPUTS}
EFFORT_EVENING, SUNDAY_EVENING = "lookup_timestamp", "as_of_date"
"""The label columns that hold the evening whose features count."""


@dataclass(frozen=True)
class Training:
    """Where a training's rows come from and where its model goes."""

    store: Store
    features: FeatureStore
    settings: Settings
    mlflow: Any
    dagster_run_id: str

    def labelled(self, rows: DataFrame, known: FeatureColumns, evening: str, label: str) -> pd.DataFrame:
        """The labelled rows with their features as known on the evening, null where nothing was known."""
        joined = self.features.create_training_set(
            df=rows, feature_lookups=self._lookups(known, evening), label=label
        ).load_df()
        frame = joined.toPandas()
        days = [name for name, kind in joined.dtypes if kind == tables.TIMESTAMP]
        for name in days:
            if frame[name].dt.tz is None:
                frame[name] = frame[name].dt.tz_localize("UTC")
        keys = ["athlete_id", evening, *(["activity_id"] if "activity_id" in frame else [])]
        return frame.sort_values(keys, ignore_index=True)

    def registered(
        self,
        model: str,
        python_model: Callable[[], Any],
        rows: DataFrame,
        known: FeatureColumns,
        evening: str,
        outputs: Mapping[str, str],
    ) -> str:
        """Logs the model with the features it is to be given, registers it, and returns its version.

        rows: athlete_id, the evening, and one label. The model's inputs are the features alone.
        """
        import mlflow as flavors

        active = self.mlflow.active_run().info.run_id
        (label,) = set(rows.columns) - {"athlete_id", evening}
        known_features = self.features.create_training_set(
            df=rows,
            feature_lookups=self._lookups(known, evening),
            label=label,
            exclude_columns=["athlete_id", evening],
        )
        name = registry.model_name(model, self.settings)
        with registry.quietly():
            self.features.log_model(
                model=python_model(),
                artifact_path="model",
                flavor=flavors.pyfunc,
                training_set=known_features,
                registered_model_name=name,
                output_schema=_output_schema(outputs),
                pip_requirements=[f"catboost=={metadata.version('catboost')}"],
            )
        return registry.version_of_run(name, active, self.settings)

    def _lookups(self, known: FeatureColumns, evening: str) -> list[Any]:
        with registry.quietly():  # the package imports pkg_resources, which warns of its end
            from databricks.feature_engineering import FeatureLookup

        return [
            FeatureLookup(
                table_name=table.full_name(self.settings.catalog),
                feature_names=list(names),
                lookup_key="athlete_id",
                timestamp_lookup_key=evening,
            )
            for table, names in known.items()
        ]


def efforts_with_features(training: Training) -> pd.DataFrame:
    """The labels of the time estimator, in one order. Raises FeaturesBehindLabels that names table and days."""
    _refuse_behind(training.store, tables.RACE_EFFORTS, EFFORT_EVENING)
    rolling = (*training_set.ROLLING_INPUTS, *training_set.REFERENCE_INPUTS)
    efforts = training.store.read(tables.RACE_EFFORTS).drop("month")
    return training.labelled(efforts, {**EFFORT_FEATURES, tables.ROLLING: rolling}, EFFORT_EVENING, "time_s")


def evenings_with_features(training: Training) -> pd.DataFrame:
    """The labels of the detector, in one order. Raises FeaturesBehindLabels that names table and days."""
    _refuse_behind(training.store, tables.DISRUPTIONS, SUNDAY_EVENING)
    evenings = training.store.read(tables.DISRUPTIONS).drop("month")
    return training.labelled(evenings, EVENING_FEATURES, SUNDAY_EVENING, "disrupted")


def _refuse_behind(store: Store, labels: Table, evening: str) -> None:
    from pyspark.sql import functions as F

    newest_label = store.read(labels).agg(F.max(evening)).first()[0]  # type: ignore[index]
    if newest_label is None:
        return
    for table in (tables.ROLLING, tables.PERFORMANCE):
        newest = store.read(table).agg(F.max("as_of_date")).first()[0]  # type: ignore[index]
        if newest is None or newest < newest_label:
            raise FeaturesBehindLabels(
                f"{'.'.join(table.path)} ends {f'on {newest:%Y-%m-%d}' if newest else 'before it began'}, but "
                f"{'.'.join(labels.path)} asks for {newest_label:%Y-%m-%d}; materialise {table.name} up to then first"
            )


def train_time_estimator(training: Training) -> Trained:
    """Fits, judges and registers a challenger in a nested MLflow run; the champion changes only where the gate opens.

    Raises TooLittleToLearnFrom or FeaturesBehindLabels before anything is registered.
    """
    settings, mlflow = training.settings, training.mlflow
    labelled = efforts_with_features(training)
    usable = time_estimator.usable_rows(labelled)
    train, holdout = promotion.split(usable, "activity_date")
    estimator = time_estimator.fit(train)
    scored = time_evaluation.scored(train, holdout, estimator)
    champion = registry.serving("time_estimator", settings)
    learned = champion is not None and (
        promotion.kind_of("time_estimator", champion.version, settings) == promotion.LEARNED
    )
    times = promotion.champion_times(champion, scored) if champion is not None and learned else None
    decision = promotion.judge_times(scored, times)
    report: dict[str, Any] = {"holdout": time_evaluation.figures(scored)}
    if len(usable) <= MOST_LABELS_FOR_FOLDS:
        report["unseen_athletes"] = time_evaluation.figures(time_evaluation.unseen_athletes(usable, folds=4))
    text = "\n\n".join(time_evaluation.as_text(name, figures) for name, figures in report.items())
    with mlflow.start_run(run_name="time_estimator", nested=True) as run:
        _describe(training, tables.RACE_EFFORTS, decision)
        mlflow.log_params({**time_estimator.PARAMETERS, "labels": len(train), "holdout": len(scored)})
        for name, figures in report.items():
            mlflow.log_metrics(_time_metrics(name, figures))
        mlflow.log_text(text, "evaluation.txt")
        mlflow.log_dict(report, "evaluation.json")
        drawn = {
            "predicted_against_run": plots.predicted_against_run(scored),
            "interval_calibration": plots.interval_calibration(scored),
            "residual_by_history": plots.residual_by_history(scored),
            "feature_effect": plots.feature_effect(estimator, train),
        }
        _log_plots(mlflow, drawn)
        mlflow.log_text(
            distributions.to_json(
                {name: distributions.distribution(train[name].to_numpy(float)) for name in training_set.INPUTS}
            ),
            DISTRIBUTIONS,
        )
        version = training.registered(
            "time_estimator",
            lambda: time_estimator.as_mlflow_model(estimator),
            training.store.read(tables.RACE_EFFORTS).select("athlete_id", EFFORT_EVENING, "time_s"),
            EFFORT_FEATURES,
            EFFORT_EVENING,
            TIME_OUTPUTS,
        )
        promotion.apply("time_estimator", version, decision, settings)
        return Trained(version, run.info.run_id, decision, text, report, drawn)


def train_overtraining_detector(training: Training) -> Trained:
    """Fits, judges and registers a challenger in a nested MLflow run; raises TooLittleToWarnFrom before that."""
    settings, mlflow = training.settings, training.mlflow
    rows = evenings_with_features(training)
    overtraining_detector.check_enough(rows)
    train, holdout = promotion.split(rows, "as_of_date")
    detector = overtraining_detector.fit(train)
    scored = detector_evaluation.scored(train, holdout, detector)
    figures = detector_evaluation.figures(scored)
    champion = registry.serving("overtraining_detector", settings)
    champion_auc = None
    if champion is not None:
        theirs = champion.model.predict(holdout[champion.inputs].astype(float))["p_disruption_14d"].to_numpy(float)
        outcome = holdout["disrupted"].to_numpy(dtype=bool)
        answered = theirs == theirs
        champion_auc = detector_evaluation.auc(theirs[answered], outcome[answered]) if answered.any() else None
    decision = promotion.judge_detector(figures, champion_auc)
    text = detector_evaluation.as_text("holdout", figures)
    with mlflow.start_run(run_name="overtraining_detector", nested=True) as run:
        _describe(training, tables.DISRUPTIONS, decision)
        mlflow.log_params({**overtraining_detector.PARAMETERS, "labels": len(train), "holdout": len(scored)})
        mlflow.log_metrics({name: value for name, value in figures.items() if isinstance(value, float)})
        mlflow.log_text(text, "evaluation.txt")
        mlflow.log_dict(figures, "evaluation.json")
        drawn = {"probability_calibration": plots.probability_calibration(figures)}
        _log_plots(mlflow, drawn)
        version = training.registered(
            "overtraining_detector",
            lambda: overtraining_detector.as_mlflow_model(detector),
            training.store.read(tables.DISRUPTIONS).select("athlete_id", SUNDAY_EVENING, "disrupted"),
            EVENING_FEATURES,
            SUNDAY_EVENING,
            DETECTOR_OUTPUTS,
        )
        promotion.apply("overtraining_detector", version, decision, settings)
        return Trained(version, run.info.run_id, decision, text, figures, drawn)


def _describe(training: Training, labels: Table, decision: Decision) -> None:
    training.mlflow.set_tags(
        {
            "dagster_run_id": training.dagster_run_id,
            "code_version": metadata.version("athlete-assets"),
            promotion.STATUS: promotion.APPROVED if decision.approved else promotion.REJECTED,
            **{
                f"delta_version.{table.name}": str(training.store.version(table))
                for table in (labels, tables.ROLLING, tables.PERFORMANCE)
            },
        }
    )


def _log_plots(mlflow: Any, drawn: Mapping[str, Figure]) -> None:
    for name, figure in drawn.items():
        mlflow.log_figure(figure, f"plots/{name}.png")


def _time_metrics(part: str, figures: Mapping[str, Any]) -> dict[str, float]:
    metrics: dict[str, float] = {}
    for name, found in figures.items():
        metrics |= {f"{part}.{name}.coverage": found["coverage"], f"{part}.{name}.width": found["width"]}
        for method, errors in found["methods"].items():
            metrics |= {
                f"{part}.{name}.{method}.{error}": float(value) for error, value in errors.items() if value is not None
            }
    return metrics


def _output_schema(outputs: Mapping[str, str]) -> Any:
    from mlflow.types import ColSpec, Schema

    return Schema([ColSpec(kind, name, required=False) for name, kind in outputs.items()])
