"""A model is one object: from it follow asset, launchpad, gate, registry and gold columns; what is forgotten raises."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import dagster as dg
import pandas as pd
import pyarrow as pa
import pytest
from pydantic import Field

from athlete_assets import tables
from athlete_assets.assets import models
from athlete_assets.days import Days
from athlete_assets.deployments.local import resources
from athlete_assets.errors import ContractError
from athlete_assets.features.daily import daily_features
from athlete_assets.models import labels, promotion, reasons, registry, splits
from athlete_assets.models.model_spec import Candidate, Judgement, ModelSpec, Options
from athlete_assets.models.specs import MODELS
from athlete_assets.models.training import Training
from athlete_assets.models.training_set import INPUTS, design_matrix
from athlete_assets.settings import Settings
from athlete_assets.store.local import LocalStore
from athlete_assets_tests.features.rows import Activity, activity_table, day, no_rows

# --------------------------------------------------------------------------------- a third model, as one file has it


class MedianPaceOptions(Options):
    factor: float = Field(default=1.0, gt=0, description="times the median")


@dataclass
class MedianTime:
    """Every effort takes as long as the median effort at its distance."""

    seconds: float


def fit(rows: pd.DataFrame, options: MedianPaceOptions) -> MedianTime:
    if len(rows) < 3:
        raise splits.TooLittleToLearnFrom(f"{len(rows)} efforts")
    return MedianTime(float(rows["time_s"].median()) * options.factor)


def judge(candidate: Candidate, options: MedianPaceOptions) -> Judgement:
    mae = float((candidate.holdout["time_s"] - candidate.fitted.seconds).abs().mean())
    decision = promotion.decided([(mae < 60, f"MAE {mae:.0f} s (below 60 s is needed)")])
    return Judgement(decision, {"mae": mae}, f"MAE {mae:.0f} s", {"mae": mae}, {}, len(candidate.holdout))


def predict(fitted: MedianTime, rows: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame({"median_s": fitted.seconds}, index=rows.index)


SPEC = ModelSpec(
    name="median_time",
    description="The median effort.",
    labels=tables.RACE_EFFORTS,
    label="time_s",
    evening="lookup_timestamp",
    day="activity_date",
    features={tables.ROLLING: ("ctl_42d",)},
    outputs={"median_s": "double"},
    fit=fit,
    judge=judge,
    predict=predict,
    options=MedianPaceOptions,
    in_gold=False,
)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, sail: Any) -> Settings:
    """Two athletes who run 10 km in 50 minutes every fifth day of 200, each run marked as a race."""
    path: Path = tmp_path_factory.mktemp("home")
    settings = Settings(home=path, as_of=day(209), start_date=day(0), training_embargo_days=10)
    store, days = LocalStore(settings), Days(day(0), day(209))
    runs = [Activity(who, day(n), km=10.0, minutes=50.0) for who in "ab" for n in range(0, 200, 5)]
    rows = activity_table(runs)
    field = rows.schema.get_field_index("is_race")
    store.replace_arrow(
        tables.ACTIVITY, rows.set_column(field, rows.schema.field(field), pa.array([True] * len(runs))), days
    )
    from athlete_assets.features.rolling import rolling_features

    activities = store.read(tables.ACTIVITY)
    store.replace(tables.DAILY, daily_features(activities, days), days)
    daily = store.read(tables.DAILY)
    state = rolling_features(daily, activities, no_rows(sail, tables.ROLLING), days, settings)
    store.replace(tables.ROLLING, state, days)
    store.replace(tables.RACE_EFFORTS, labels.race_efforts(activities))
    return settings


def materialise(settings: Settings, spec: ModelSpec, **options: Any) -> dg.ExecuteInProcessResult:
    (asset,) = [one for one in models.model_assets(settings, [spec]) if models.model_key(spec) in one.keys]
    with dg.instance_for_test() as instance:
        return dg.materialize(
            [asset],
            instance=instance,
            resources=resources(settings),
            run_config={"ops": {asset.op.name: {"config": options}}},
            raise_on_error=False,
        )


def test_a_third_model_is_trained_gated_and_registered_by_its_spec_alone(home: Settings) -> None:
    result = materialise(home, SPEC)
    assert result.success
    (gate,) = result.get_asset_check_evaluations()
    assert gate.passed
    assert gate.description == "passed: MAE 0 s (below 60 s is needed)"
    served = registry.serving("median_time", home)
    assert served is not None
    assert served.inputs == ["ctl_42d"]
    assert served.model.predict(pd.DataFrame({"ctl_42d": [1.0]}))["median_s"].tolist() == [3_000.0]


def test_what_the_launchpad_changes_is_used_and_stands_on_the_mlflow_run(home: Settings) -> None:
    """Half as slow again is 25 minutes off: the gate stays shut, and the champion serves on."""
    materialise(home, SPEC)
    before = promotion.champion_version("median_time", home)
    result = materialise(home, SPEC, factor=1.5, holdout_share=0.4)
    (gate,) = result.get_asset_check_evaluations()
    assert not gate.passed
    assert "MAE 1500 s" in str(gate.description)
    assert promotion.champion_version("median_time", home) == before
    (event,) = result.asset_materializations_for_node(result.job_def.nodes[0].name)
    run = registry.client(home).get_run(str(event.metadata["mlflow_run_id"].value))
    assert run.data.params["factor"] == "1.5"
    assert run.data.params["embargo_days"] == "10", "the deployment's setting"
    # 80 efforts: the newest 32 judge; fitted on what lies more than 10 days before them
    assert (run.data.params["holdout"], run.data.params["labels"]) == ("32", "44")


def test_a_value_that_cannot_be_is_refused_before_anything_is_read(home: Settings) -> None:
    result = materialise(home, SPEC, factor=-1.0)
    assert not result.success
    failure = result.failure_data_for_node(result.job_def.nodes[0].name)
    assert "greater than 0" in failure.error.to_string()  # type: ignore[union-attr]


@pytest.mark.parametrize("served", [promotion.FORMULA, promotion.LEARNED])
def test_too_little_fails_no_asset_and_the_gate_only_where_a_learned_model_serves(
    home: Settings, monkeypatch: pytest.MonkeyPatch, served: str
) -> None:
    monkeypatch.setattr(Training, "serving_kind", lambda *_: served)
    result = materialise(home, SPEC, holdout_share=0.99)
    assert result.success
    (gate,) = result.get_asset_check_evaluations()
    assert (gate.passed, gate.description) == (served == promotion.FORMULA, "no candidate: 0 efforts")


# --------------------------------------------------------------------------------------------------------- forgotten


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (
            {"features": {tables.ROLLING: ("ctl_43d",)}},
            "ctl_43d is a feature of feature_store.athlete_rolling",
        ),
        ({"label": "seconds"}, "seconds is asked of feature_store.race_efforts"),
        ({"in_gold": True}, "median_s is an output, and no column of gold.athlete_predictions"),
        ({"in_gold": True, "outputs": {"top_reasons": "double"}}, "top_reasons is double"),
        ({"evening": "activity_date"}, "evening activity_date"),
        ({"unserved": {"why": "none serves"}, "in_gold": True, "outputs": {"served_by": "string"}}, r"\['why'\]"),
    ],
)
def test_an_unknown_name_raises_where_the_model_is_defined(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(ContractError, match=message):
        replace(SPEC, **changed)


def test_every_column_of_the_predictions_that_a_model_fills_is_filled_by_one() -> None:
    rest = {"athlete_id", "prediction_date", "model_version", "is_overtraining_risk", "risk_reasons", "features_as_of"}
    rest |= {"untracked_share_42d", "is_backfilled", "unlikeness", *tables.INTERVAL_FACTORS.values()}
    given = [name for spec in MODELS.values() if spec.in_gold for name in spec.outputs]
    assert sorted([*given, *rest, "month"]) == sorted(tables.PREDICTIONS.column_names)


def test_every_feature_of_the_time_estimator_has_a_theme() -> None:
    columns = design_matrix(pd.DataFrame({name: [1.0] for name in INPUTS}), ["10k"]).columns
    assert set(columns) == set(reasons.THEMES)
    assert len(reasons.THEMES) == sum(len(names) for names in reasons.FEATURES_OF_THEMES.values())


def test_a_feature_without_a_theme_is_not_explained_as_something_else() -> None:
    with pytest.raises(ContractError, match="hard_days_7d is a feature of the time estimator without a theme"):
        reasons.theme_of("hard_days_7d")


@pytest.mark.parametrize("spec", MODELS.values(), ids=MODELS)
def test_every_setting_of_a_model_is_an_option_of_its_training(spec: ModelSpec) -> None:
    told = {
        str(option.json_schema_extra["setting"])
        for option in spec.options.model_fields.values()
        if isinstance(option.json_schema_extra, dict)
    }
    assert told >= {name for name in Settings.model_fields if name.startswith(f"{spec.name}_")}
    assert spec.options.of(Settings(training_embargo_days=50)).embargo_days == 50
    assert spec.options.of(Settings()) == spec.options()
