"""The models as assets: trained, tracked and registered in MLflow, served through the `champion` alias."""

# No `from __future__ import annotations`: Dagster reads the annotation of a step's config as it stands.

from collections.abc import Iterable, Iterator
from copy import copy
from typing import Any

import dagster as dg
from pydantic import create_model

from athlete_assets import tables
from athlete_assets.assets.builder import (
    FEATURE_STORE,
    OWNERS,
    PIPES,
    STEP_LAUNCHER,
    STORE,
    asset_key,
    check_specs,
    is_materializing,
    materialize_result,
    page_link,
    results_of,
    store_of,
    store_retries,
    table_asset,
    table_spec,
)
from athlete_assets.assets.freshness import training_policy
from athlete_assets.assets.source_code import code_references, code_version
from athlete_assets.models import labels, promotion, registry, training
from athlete_assets.models.mlflow_resource import end_mlflow_run
from athlete_assets.models.model_spec import ModelSpec, Options
from athlete_assets.models.specs import MODELS
from athlete_assets.models.splits import TooLittleToLearnFrom
from athlete_assets.models.training import Training
from athlete_assets.monitoring import charts
from athlete_assets.monitoring.checks import CONTRACT_CHECKS
from athlete_assets.settings import Settings
from athlete_assets.silver.rights import refuse_api_data
from athlete_assets.store.base import Written

GATE = "gate"
GATE_DESCRIPTION = "The candidate beats the strongest formula, no champion beats it on the same rows: it may serve."


def model_key(spec: ModelSpec) -> dg.AssetKey:
    return dg.AssetKey(["models", spec.name])


TIME_ESTIMATOR = model_key(MODELS["time_estimator"])
"""Without it there are no predictions."""


def model_assets(settings: Settings, specs: Iterable[ModelSpec] = MODELS.values()) -> list[dg.AssetsDefinition]:
    """The label tables, and an asset for each model."""

    @table_asset(
        settings,
        [
            table_spec(tables.RACE_EFFORTS, settings, group_name="models", deps=[asset_key(tables.ACTIVITY)]),
            table_spec(tables.DISRUPTIONS, settings, group_name="models", deps=[asset_key(tables.DAILY)]),
        ],
        checks=[
            *check_specs(tables.RACE_EFFORTS, CONTRACT_CHECKS),
            *check_specs(tables.DISRUPTIONS, CONTRACT_CHECKS),
        ],
    )
    def model_labels(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult]:
        store = store_of(context)
        efforts, disruptions = list[Written](), list[Written]()
        if is_materializing(context):
            efforts.append(store.replace(tables.RACE_EFFORTS, labels.race_efforts(store.read(tables.ACTIVITY))))
            disruptions.append(store.replace(tables.DISRUPTIONS, labels.training_disruptions(store.read(tables.DAILY))))
        yield materialize_result(store, tables.RACE_EFFORTS, written=efforts)
        yield materialize_result(store, tables.DISRUPTIONS, written=disruptions)

    return [model_labels, *(_model_asset(spec, settings) for spec in specs)]


def _model_asset(spec: ModelSpec, settings: Settings) -> dg.AssetsDefinition:
    key, launchpad = model_key(spec), _launchpad(spec, settings)

    def trained_model(
        context: dg.AssetExecutionContext,
        config: launchpad,  # type: ignore[valid-type]
    ) -> Iterator[dg.MaterializeResult]:
        def body() -> Iterator[dg.MaterializeResult]:
            options = spec.options(**config.model_dump())  # type: ignore[attr-defined]
            store = store_of(context)
            refuse_api_data(store.read(tables.ACTIVITY), "training", settings)
            resources = context.resources
            run = Training(store, resources.feature_store, settings, resources.mlflow, context.run.run_id)
            yield trained(spec, run, options)

        with store_retries(context, settings):
            yield from results_of(context, body)

    return dg.asset(
        key=key,
        description=spec.description,
        deps=[asset_key(table) for table in dict.fromkeys((spec.labels, tables.ROLLING, *spec.looked_up))],
        check_specs=[dg.AssetCheckSpec(GATE, asset=key, description=GATE_DESCRIPTION)],
        group_name="models",
        kinds={"mlflow", "python"},
        owners=OWNERS,
        freshness_policy=training_policy(settings) if spec.cadence == "weekly" else None,
        pool=spec.name,  # two trainings at once would move one alias
        code_version=code_version(trained_model, settings),
        metadata={
            "registered_model": registry.model_name(spec.name, settings),
            **page_link(settings, f"models/{spec.name}.html"),
            **code_references(trained_model, settings),
        },
        required_resource_keys={STORE, FEATURE_STORE, STEP_LAUNCHER, PIPES, "mlflow"},
        hooks={end_mlflow_run},
    )(trained_model)


def _launchpad(spec: ModelSpec, settings: Settings) -> type[dg.Config]:
    """The model's options as Dagster's launchpad shows them: with the deployment's defaults."""
    defaults = spec.options.of(settings)
    fields: dict[str, Any] = {}
    for name, option in spec.options.model_fields.items():
        shown = copy(option)
        shown.default = getattr(defaults, name)
        fields[name] = (option.annotation, shown)
    return create_model(spec.options.__name__, __base__=dg.Config, **fields)


def trained(spec: ModelSpec, run: Training, options: Options) -> dg.MaterializeResult:
    """Trains, gates, and says what serves now.

    Too little data to learn from fails the gate, not the asset, and only where a learned version serves: a home that
    never had enough is as it should be.
    """
    metadata: dict[str, Any] = {}
    reasons: tuple[str, ...]
    training.serve_formula(spec, run)
    try:
        found = training.train(spec, run, options)
    except TooLittleToLearnFrom as error:
        approved = run.serving_kind(spec) != promotion.LEARNED
        reasons = (f"no candidate: {error}",)
    else:
        judgement = found.judgement
        approved, reasons = judgement.decision.approved, judgement.decision.reasons
        metadata = {
            "candidate_version": found.version,
            "mlflow_run_id": found.run_id,
            "evaluation": dg.MetadataValue.md(f"```\n{judgement.text}\n```"),
            **{name: charts.picture(png, name.replace("_", " ")) for name, png in judgement.pictures.items()},
        }
    serving = promotion.champion_version(spec.name, run.settings)
    kind = promotion.kind_of(spec.name, serving, run.settings) if serving else "nothing"
    return dg.MaterializeResult(
        metadata={"model_version": serving or "none", "serves": kind, **metadata},
        check_results=[
            dg.AssetCheckResult(
                passed=approved,
                check_name=GATE,
                severity=dg.AssetCheckSeverity.WARN,
                description="; ".join(reasons),
                metadata={"serving_version": serving or "none", "serves": kind},
            )
        ],
        data_version=dg.DataVersion(serving) if serving else None,
    )
