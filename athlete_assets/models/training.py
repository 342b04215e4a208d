"""One training of a model: labels with their features, a fit, a judgement on the holdout, a version, and the gate."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import metadata
from typing import TYPE_CHECKING, Any

from athlete_assets import tables
from athlete_assets.errors import AthleteAssetsError
from athlete_assets.models import (
    detector_evaluation,
    evaluation,
    overtraining_detector,
    plots,
    promotion,
    registry,
    time_estimator,
    training_set,
)
from athlete_assets.models.promotion import Decision
from athlete_assets.monitoring import drift
from athlete_assets.settings import Settings
from athlete_assets.store.base import Store
from athlete_assets.tables import Table

if TYPE_CHECKING:
    import pandas as pd

MOST_LABELS_FOR_FOLDS = 20_000
"""More labels are judged on the holdout alone: fold by fold would cost hours and add no digit."""
DISTRIBUTIONS = "drift/training_distributions.json"


class FeaturesBehindLabels(AthleteAssetsError):
    """A feature table ends before the labels that are to be learned from."""


@dataclass(frozen=True)
class Trained:
    """What a training came to: the registered version, the gate's verdict, and figures for people."""

    version: str
    run_id: str
    decision: Decision
    text: str
    figures: dict[str, Any]


def efforts_with_features(store: Store) -> pd.DataFrame:
    """The labels of the time estimator, in one order. Raises FeaturesBehindLabels that names table and days."""
    _refuse_behind(store, tables.RACE_EFFORTS, "lookup_timestamp")
    rows = training_set.labelled(
        store.read(tables.RACE_EFFORTS), store.read(tables.PERFORMANCE), store.read(tables.ROLLING)
    ).toPandas()
    return rows.sort_values(["athlete_id", "activity_date", "activity_id"], ignore_index=True)


def evenings_with_features(store: Store) -> pd.DataFrame:
    """The labels of the detector, in one order. Raises FeaturesBehindLabels that names table and days."""
    _refuse_behind(store, tables.DISRUPTIONS, "as_of_date")
    rows = overtraining_detector.labelled(
        store.read(tables.DISRUPTIONS), store.read(tables.ROLLING), store.read(tables.PERFORMANCE)
    ).toPandas()
    return rows.sort_values(["athlete_id", "as_of_date"], ignore_index=True)


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


def train_time_estimator(store: Store, settings: Settings, mlflow: Any, dagster_run_id: str) -> Trained:
    """Fits, judges and registers a challenger in a nested MLflow run; the champion changes only where the gate opens.

    Raises TooLittleToLearnFrom or FeaturesBehindLabels before anything is registered.
    """
    labelled = efforts_with_features(store)
    usable = time_estimator.usable_rows(labelled)
    train, holdout = promotion.split(usable, "activity_date")
    estimator = time_estimator.fit(train)
    scored = evaluation.scored(train, holdout, estimator)
    champion = registry.serving("time_estimator", settings)
    learned = champion is not None and (
        promotion.kind_of("time_estimator", champion.version, settings) == promotion.LEARNED
    )
    times = promotion.champion_times(champion, scored) if champion is not None and learned else None
    decision = promotion.judge_times(scored, times)
    report: dict[str, Any] = {"holdout": evaluation.figures(scored)}
    if len(usable) <= MOST_LABELS_FOR_FOLDS:
        report["unseen_athletes"] = evaluation.figures(evaluation.unseen_athletes(usable, folds=4))
    text = "\n\n".join(evaluation.as_text(name, figures) for name, figures in report.items())
    with mlflow.start_run(run_name="time_estimator", nested=True) as run:
        _describe(mlflow, store, dagster_run_id, tables.RACE_EFFORTS, decision)
        mlflow.log_params({**time_estimator.PARAMETERS, "labels": len(train), "holdout": len(scored)})
        for name, figures in report.items():
            mlflow.log_metrics(_time_metrics(name, figures))
        mlflow.log_text(text, "evaluation.txt")
        mlflow.log_dict(report, "evaluation.json")
        mlflow.log_figure(plots.predicted_against_run(scored), "plots/predicted_against_run.png")
        mlflow.log_figure(plots.interval_calibration(scored), "plots/interval_calibration.png")
        mlflow.log_figure(plots.residual_by_history(scored), "plots/residual_by_history.png")
        mlflow.log_figure(plots.feature_effect(estimator, train), "plots/feature_effect.png")
        mlflow.log_text(
            drift.to_json({name: drift.distribution(train[name].to_numpy(float)) for name in training_set.INPUTS}),
            DISTRIBUTIONS,
        )
        version = _registered(
            mlflow,
            "time_estimator",
            lambda: time_estimator.as_mlflow_model(estimator),
            training_set.INPUTS,
            {**dict.fromkeys(time_estimator.OUTPUTS, "double"), "served_by": "string", "top_reasons": "strings"},
            settings,
        )
        promotion.apply("time_estimator", version, decision, settings)
        return Trained(version, run.info.run_id, decision, text, report)


def train_overtraining_detector(store: Store, settings: Settings, mlflow: Any, dagster_run_id: str) -> Trained:
    """Fits, judges and registers a challenger in a nested MLflow run; raises TooLittleToWarnFrom before that."""
    rows = evenings_with_features(store)
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
        _describe(mlflow, store, dagster_run_id, tables.DISRUPTIONS, decision)
        mlflow.log_params({**overtraining_detector.PARAMETERS, "labels": len(train), "holdout": len(scored)})
        mlflow.log_metrics({name: value for name, value in figures.items() if isinstance(value, float)})
        mlflow.log_text(text, "evaluation.txt")
        mlflow.log_dict(figures, "evaluation.json")
        mlflow.log_figure(plots.probability_calibration(figures), "plots/calibration.png")
        version = _registered(
            mlflow,
            "overtraining_detector",
            lambda: overtraining_detector.as_mlflow_model(detector),
            overtraining_detector.INPUTS,
            {"p_disruption_14d": "double", "p_disruption_reason": "string"},
            settings,
        )
        promotion.apply("overtraining_detector", version, decision, settings)
        return Trained(version, run.info.run_id, decision, text, figures)


def _describe(mlflow: Any, store: Store, dagster_run_id: str, labels: Table, decision: Decision) -> None:
    mlflow.set_tags(
        {
            "dagster_run_id": dagster_run_id,
            "code_version": metadata.version("athlete-assets"),
            promotion.STATUS: promotion.APPROVED if decision.approved else promotion.REJECTED,
            **{
                f"delta_version.{table.name}": str(store.version(table))
                for table in (labels, tables.ROLLING, tables.PERFORMANCE)
            },
        }
    )


def _time_metrics(part: str, figures: Mapping[str, Any]) -> dict[str, float]:
    metrics: dict[str, float] = {}
    for name, found in figures.items():
        metrics |= {f"{part}.{name}.coverage": found["coverage"], f"{part}.{name}.width": found["width"]}
        for method, errors in found["methods"].items():
            metrics |= {
                f"{part}.{name}.{method}.{error}": float(value) for error, value in errors.items() if value is not None
            }
    return metrics


def _registered(
    mlflow: Any,
    model: str,
    python_model: Callable[[], Any],
    inputs: tuple[str, ...],
    outputs: Mapping[str, str],
    settings: Settings,
) -> str:
    """Logs and registers the model in the active run; returns its version."""
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, Schema
    from mlflow.types.schema import Array

    kinds: dict[str, Any] = {"double": "double", "string": "string", "strings": Array(DataType.string)}
    signature = ModelSignature(
        inputs=Schema([ColSpec("double", name, required=False) for name in inputs]),
        outputs=Schema([ColSpec(kinds[kind], name, required=False) for name, kind in outputs.items()]),
    )
    # MLflow gives its advice where the model's class is made, too
    with registry.quietly():
        logged = mlflow.pyfunc.log_model(
            name="model",
            python_model=python_model(),
            signature=signature,
            registered_model_name=registry.model_name(model, settings),
            pip_requirements=[f"catboost=={metadata.version('catboost')}"],
        )
    return str(logged.registered_model_version)
