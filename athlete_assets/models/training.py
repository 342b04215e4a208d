"""One training of a model: labels with their features, a fit, a judgement on the holdout, a version, and the gate."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from athlete_assets import tables
from athlete_assets.errors import AthleteAssetsError
from athlete_assets.models import distributions, model_card, promotion, registry, splits
from athlete_assets.models.model_spec import Candidate, FeatureColumns, Judgement, ModelSpec, Options
from athlete_assets.models.promotion import Decision
from athlete_assets.models.registry import Serving
from athlete_assets.models.splits import TooLittleToLearnFrom
from athlete_assets.settings import Settings
from athlete_assets.store.base import Store
from athlete_assets.store.feature_store import FeatureLookup, FeatureStore

if TYPE_CHECKING:
    import pandas as pd
    from pyspark.sql import DataFrame

LEARNING_LIBRARIES = ("catboost",)
"""What a stored model needs beside this package to be loaded."""


class FeaturesBehindLabels(AthleteAssetsError):
    """A feature table ends before the labels that are to be learned from."""


@dataclass(frozen=True)
class Trained:
    """What a training came to: the registered version, and what was said of it."""

    version: str
    run_id: str
    judgement: Judgement

    @property
    def decision(self) -> Decision:
        return self.judgement.decision


@dataclass(frozen=True)
class Training:
    """Where a training's rows come from and where its model goes."""

    store: Store
    features: FeatureStore
    settings: Settings
    mlflow: Any
    dagster_run_id: str

    def labelled(self, spec: ModelSpec) -> pd.DataFrame:
        """The labels with their features as known on their evening, null where nothing was known, in one order.

        Raises FeaturesBehindLabels that names table and days.
        """
        self._refuse_behind(spec)
        rows = self.store.read(spec.labels)
        rows = rows.select(*(name for name in rows.columns if name != "month"))
        joined = self.features.create_training_set(
            df=rows, feature_lookups=self._lookups(spec.looked_up, spec.evening), label=spec.label
        ).load_df()
        frame = joined.toPandas()
        days = [name for name, kind in joined.dtypes if kind == tables.TIMESTAMP]
        for name in days:
            if frame[name].dt.tz is None:
                frame[name] = frame[name].dt.tz_localize("UTC")
        keys = ["athlete_id", spec.evening, *(["activity_id"] if "activity_id" in frame else [])]
        return frame.sort_values(keys, ignore_index=True)

    def serving_kind(self, spec: ModelSpec) -> str | None:
        """Kind of the version that serves: learned, population or formula; None where none does."""
        version = promotion.champion_version(spec.name, self.settings)
        return promotion.kind_of(spec.name, version, self.settings) if version else None

    def champion(self, spec: ModelSpec) -> Serving | None:
        """The model that serves; None where a formula does, or nothing."""
        if self.serving_kind(spec) in (None, promotion.FORMULA):
            return None
        return registry.serving(spec.name, self.settings)

    def registered(self, spec: ModelSpec, model: Any, rows: DataFrame, label: str, features: FeatureColumns) -> str:
        """Logs the model with the features it is to be given, registers it, and returns its version.

        rows: athlete_id, the evening, and the label. The model's inputs are the features alone.
        """
        import mlflow as flavors

        active = self.mlflow.active_run().info.run_id
        known_features = self.features.create_training_set(
            df=rows,
            feature_lookups=self._lookups(features, spec.evening),
            label=label,
            exclude_columns=["athlete_id", spec.evening],
        )
        name = registry.model_name(spec.name, self.settings)
        with registry.quietly():
            self.features.log_model(
                model=model,
                artifact_path="model",
                flavor=flavors.pyfunc,
                training_set=known_features,
                registered_model_name=name,
                output_schema=_output_schema(spec.outputs),
                pip_requirements=[f"{library}=={metadata.version(library)}" for library in LEARNING_LIBRARIES],
            )
        return registry.version_of_run(name, active, self.settings)

    def _lookups(self, features: FeatureColumns, evening: str) -> list[FeatureLookup]:
        return [
            FeatureLookup(
                table_name=table.full_name(self.settings.catalog),
                lookup_key="athlete_id",
                feature_names=list(names),
                timestamp_lookup_key=evening,
            )
            for table, names in features.items()
        ]

    def _refuse_behind(self, spec: ModelSpec) -> None:
        from pyspark.sql import functions as F

        newest_label = self.store.read(spec.labels).agg(F.max(spec.evening)).first()[0]  # type: ignore[index]
        if newest_label is None:
            return
        for table in spec.looked_up:
            newest = self.store.read(table).agg(F.max(str(table.day_column))).first()[0]  # type: ignore[index]
            if newest is None or newest < newest_label:
                raise FeaturesBehindLabels(
                    f"{'.'.join(table.path)} ends {f'on {newest:%Y-%m-%d}' if newest else 'before it began'}, but "
                    f"{'.'.join(spec.labels.path)} asks for {newest_label:%Y-%m-%d}; "
                    f"materialise {table.name} up to then first"
                )


def train(spec: ModelSpec, training: Training, options: Options) -> Trained:
    """Fits, judges and registers a challenger in a nested MLflow run; the champion changes only where the gate opens.

    Where the home has too few labels, or its own challenger is turned away while no earlier one of its own serves, the
    model fitted elsewhere is the next challenger, if the spec has one for this kind of data. Raises
    TooLittleToLearnFrom or FeaturesBehindLabels before anything is registered.
    """
    labelled = training.labelled(spec)
    elsewhere = spec.elsewhere.of_home(training.store) if spec.elsewhere else None
    try:
        usable = spec.usable(labelled, options)
        own = _challenged(spec, training, options, usable, elsewhere, promotion.LEARNED)
    except TooLittleToLearnFrom as error:
        if elsewhere is None or training.serving_kind(spec) == promotion.LEARNED:
            raise
        said: tuple[str, ...] = (f"the home trains none of its own: {error}",)
    else:
        if own.decision.approved or elsewhere is None or training.serving_kind(spec) == promotion.LEARNED:
            return own
        said = ("the home's own model does not serve yet", *own.decision.reasons, "the population's is tried")
    assert spec.elsewhere is not None
    rows = spec.elsewhere.usable(labelled)
    return _challenged(spec, training, options, rows, elsewhere, promotion.POPULATION, said)


def _challenged(
    spec: ModelSpec,
    training: Training,
    options: Options,
    usable: pd.DataFrame,
    elsewhere: Any | None,
    kind: str,
    said: tuple[str, ...] = (),
) -> Trained:
    """One challenger: `kind` learned (fitted here) or population. `said`: what was said of an earlier one."""
    mlflow = training.mlflow
    train, holdout = splits.newest(usable, spec.day, options.holdout_share, options.embargo_days)
    fitted: Any
    if elsewhere is None or spec.elsewhere is None:
        fitted = spec.fit(train, options)
    elif kind == promotion.POPULATION:
        fitted = spec.elsewhere.adapted(elsewhere, train)
    else:
        fitted = spec.elsewhere.leaned_on(train, options, elsewhere)
    judgement = spec.judge(
        Candidate(fitted, train, holdout, usable, training.champion(spec), population=elsewhere), options
    )
    judgement = replace(judgement, decision=replace(judgement.decision, reasons=(*said, *judgement.decision.reasons)))
    status = promotion.APPROVED if judgement.decision.approved else promotion.REJECTED
    with mlflow.start_run(
        run_name=spec.name if kind == promotion.LEARNED else f"{spec.name} ({kind})", nested=True
    ) as run:
        mlflow.set_tags(
            {
                "dagster_run_id": training.dagster_run_id,
                "code_version": metadata.version("athlete-assets"),
                promotion.STATUS: status,
                **_delta_versions(training.store, (spec.labels, *spec.looked_up)),
            }
        )
        mlflow.log_params({**options.model_dump(), "labels": len(train), "holdout": judgement.rows})
        mlflow.log_text(judgement.text, "evaluation.txt")
        mlflow.log_dict(judgement.figures, model_card.EVALUATION)
        if len(train) or len(holdout):
            mlflow.log_dict(model_card.label_facts(spec, train, holdout), model_card.LABELS)
        with TemporaryDirectory() as folder:
            for name, picture in judgement.pictures.items():
                Path(folder, f"{name}.png").write_bytes(picture)
            mlflow.log_artifacts(folder, "plots")
        if kind == promotion.LEARNED or len(train) >= distributions.LEAST_VALUES:
            few = train.iloc[:: max(1, len(train) // distributions.ROWS_PREDICTED)]
            with registry.quietly():
                told = spec.predict(fitted, few[list(spec.inputs)].astype(float))
            seen = distributions.TrainingSample.of(train, spec.inputs, told)
            mlflow.log_text(distributions.to_json(seen), distributions.ARTIFACT)
        rows = training.store.read(spec.labels).select("athlete_id", spec.evening, spec.label)
        model = registry.as_pyfunc(fitted, spec.predict, spec.reasons)
        version = training.registered(spec, model, rows, spec.label, spec.features)
        # with the model, which else looks up each metric that its run has by itself: a hundred statements
        mlflow.log_metrics(dict(judgement.metrics), model_id=mlflow.last_logged_model().model_id)
        fitted_on = spec.elsewhere.fitted_on(elsewhere) if spec.elsewhere and elsewhere is not None else None
        promotion.apply(spec.name, version, judgement.decision, training.settings, kind, fitted_on=fitted_on)
        # the run's metrics count as they stand: its card is read from them
        model_card.describe(spec, version, training.settings)
        return Trained(version, run.info.run_id, judgement)


def serve_formula(spec: ModelSpec, training: Training) -> None:
    """Measures the model's formula anew, registers it and lets it serve, unless a version of another kind does."""
    from pyspark.sql import functions as F

    formula, settings, mlflow = spec.formula, training.settings, training.mlflow
    if formula is None or training.serving_kind(spec) in (promotion.LEARNED, promotion.POPULATION):
        return
    found = formula.measured(training.store)
    evenings = training.store.read(tables.ROLLING).select(
        "athlete_id", F.col("as_of_date").alias(spec.evening), F.lit(0.0).alias("label")
    )
    with mlflow.start_run(run_name=f"{spec.name} (formula)", nested=True), registry.quietly():
        mlflow.set_tags({"dagster_run_id": training.dagster_run_id, **_delta_versions(training.store, formula.tables)})
        mlflow.log_params(dict(formula.params(found)))
        mlflow.log_metrics(dict(formula.metrics(found)))
        model = registry.as_pyfunc(found, formula.predict)
        version = training.registered(spec, model, evenings, "label", formula.features)
    decision = Decision(True, ("the formula serves until a learned model beats it",))
    promotion.apply(spec.name, version, decision, settings, kind=promotion.FORMULA)
    model_card.describe(spec, version, settings)


def _delta_versions(store: Store, read: tuple[tables.Table, ...]) -> dict[str, str]:
    return {f"delta_version.{table.name}": str(store.version(table)) for table in read}


def _output_schema(outputs: Mapping[str, str]) -> Any:
    from mlflow.types import ColSpec, Schema

    return Schema([ColSpec(kind, name, required=False) for name, kind in outputs.items()])
