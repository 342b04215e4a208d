"""One training of a model: labels with their features, a fit, a judgement on the holdout, a version, and the gate."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import metadata
from typing import TYPE_CHECKING, Any

from athlete_assets import tables
from athlete_assets.errors import AthleteAssetsError
from athlete_assets.models import distributions, model_card, promotion, registry, splits
from athlete_assets.models.model_spec import Candidate, FeatureColumns, Judgement, ModelSpec, Options
from athlete_assets.models.promotion import Decision
from athlete_assets.models.registry import Serving
from athlete_assets.settings import Settings
from athlete_assets.store.base import Store
from athlete_assets.store.feature_store import FeatureStore

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

    def champion(self, spec: ModelSpec) -> Serving | None:
        """The learned model that serves; None where a formula does, or nothing."""
        found = registry.serving(spec.name, self.settings)
        if found is None or promotion.kind_of(spec.name, found.version, self.settings) != promotion.LEARNED:
            return None
        return found

    def registered(
        self, spec: ModelSpec, pyfunc: Callable[[], Any], rows: DataFrame, label: str, features: FeatureColumns
    ) -> str:
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
                model=pyfunc(),
                artifact_path="model",
                flavor=flavors.pyfunc,
                training_set=known_features,
                registered_model_name=name,
                output_schema=_output_schema(spec.outputs),
                pip_requirements=[f"{library}=={metadata.version(library)}" for library in LEARNING_LIBRARIES],
            )
        return registry.version_of_run(name, active, self.settings)

    def _lookups(self, features: FeatureColumns, evening: str) -> list[Any]:
        with registry.quietly():  # the package imports pkg_resources, which warns of its end
            from databricks.feature_engineering import FeatureLookup

        return [
            FeatureLookup(
                table_name=table.full_name(self.settings.catalog),
                feature_names=list(names),
                lookup_key="athlete_id",
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

    Raises TooLittleToLearnFrom or FeaturesBehindLabels before anything is registered.
    """
    mlflow = training.mlflow
    usable = spec.usable(training.labelled(spec), options)
    train, holdout = splits.newest(usable, spec.day, options.holdout_share, options.embargo_days)
    fitted = spec.fit(train, options)
    judgement = spec.judge(Candidate(fitted, train, holdout, usable, training.champion(spec)), options)
    status = promotion.APPROVED if judgement.decision.approved else promotion.REJECTED
    with mlflow.start_run(run_name=spec.name, nested=True) as run:
        mlflow.set_tags(
            {
                "dagster_run_id": training.dagster_run_id,
                "code_version": metadata.version("athlete-assets"),
                promotion.STATUS: status,
                **_delta_versions(training.store, (spec.labels, *spec.looked_up)),
            }
        )
        mlflow.log_params({**options.model_dump(), "labels": len(train), "holdout": judgement.rows})
        mlflow.log_metrics(dict(judgement.metrics))
        mlflow.log_text(judgement.text, "evaluation.txt")
        mlflow.log_dict(judgement.figures, model_card.EVALUATION)
        mlflow.log_dict(model_card.label_facts(spec, train, holdout), model_card.LABELS)
        for name, figure in judgement.plots.items():
            mlflow.log_figure(figure, f"plots/{name}.png")
        few = train.iloc[:: max(1, len(train) // distributions.ROWS_PREDICTED)]
        said = spec.pyfunc(fitted).predict(None, few[list(spec.inputs)].astype(float))
        seen = distributions.TrainingSample.of(train, spec.inputs, said)
        mlflow.log_text(distributions.to_json(seen), distributions.ARTIFACT)
        rows = training.store.read(spec.labels).select("athlete_id", spec.evening, spec.label)
        version = training.registered(spec, lambda: spec.pyfunc(fitted), rows, spec.label, spec.features)
        promotion.apply(spec.name, version, judgement.decision, training.settings)
        # the run's metrics count as they stand: its card is read from them
        model_card.describe(spec, version, training.settings)
        return Trained(version, run.info.run_id, judgement)


def serve_formula(spec: ModelSpec, training: Training) -> None:
    """Measures the model's formula anew, registers it and lets it serve, unless a learned version does."""
    from pyspark.sql import functions as F

    formula, settings, mlflow = spec.formula, training.settings, training.mlflow
    serving = promotion.champion_version(spec.name, settings)
    if formula is None or (serving and promotion.kind_of(spec.name, serving, settings) == promotion.LEARNED):
        return
    found = formula.measured(training.store)
    evenings = training.store.read(tables.ROLLING).select(
        "athlete_id", F.col("as_of_date").alias(spec.evening), F.lit(0.0).alias("label")
    )
    with mlflow.start_run(run_name=f"{spec.name} (formula)", nested=True), registry.quietly():
        mlflow.set_tags({"dagster_run_id": training.dagster_run_id, **_delta_versions(training.store, formula.tables)})
        mlflow.log_params(dict(formula.params(found)))
        mlflow.log_metrics(dict(formula.metrics(found)))
        version = training.registered(spec, lambda: formula.pyfunc(found), evenings, "label", formula.features)
    decision = Decision(True, ("the formula serves until a learned model beats it",))
    promotion.apply(spec.name, version, decision, settings, kind=promotion.FORMULA)
    model_card.describe(spec, version, settings)


def _delta_versions(store: Store, read: tuple[tables.Table, ...]) -> dict[str, str]:
    return {f"delta_version.{table.name}": str(store.version(table)) for table in read}


def _output_schema(outputs: Mapping[str, str]) -> Any:
    from mlflow.types import ColSpec, Schema

    return Schema([ColSpec(kind, name, required=False) for name, kind in outputs.items()])
