"""What serves: the gate's verdict decides, its reasons are on the version, and the champion before comes back."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pyspark.sql import SparkSession

from athlete_assets import tables
from athlete_assets.assets import models
from athlete_assets.days import Days
from athlete_assets.features.daily import daily_features
from athlete_assets.features.performance import performance_features
from athlete_assets.features.rolling import rolling_features
from athlete_assets.gold import scoring, serving
from athlete_assets.gold.history import history
from athlete_assets.gold.interval_calibration import outcomes_of
from athlete_assets.models import (
    baseline,
    detector_evaluation,
    labels,
    population,
    promotion,
    reasons,
    registry,
    splits,
    time_evaluation,
    training,
)
from athlete_assets.models.promotion import CHALLENGER, CHAMPION, Decision, NothingToRollBackTo
from athlete_assets.models.specs import MODELS
from athlete_assets.models.specs.overtraining_detector import NO_DETECTOR
from athlete_assets.models.splits import TooLittleToLearnFrom
from athlete_assets.models.time_estimator import TimeEstimatorOptions
from athlete_assets.settings import Settings
from athlete_assets.store.arrow import arrow_schema
from athlete_assets.store.embedded import EmbeddedFeatureStore
from athlete_assets.store.local import LocalStore
from athlete_assets_tests.features.rows import activity_table, day, no_rows
from athlete_assets_tests.models import cohort
from athlete_assets_tests.models.cohort import WEEKS
from athlete_assets_tests.monitoring.test_charts import drawn, picture

TIMES, RISKS = MODELS["time_estimator"], MODELS["overtraining_detector"]
PLOTS = {"predicted_against_run", "interval_calibration", "residual_by_history", "feature_effect"}
YES, NO = Decision(True, ("passed: it is better",)), Decision(False, ("FAILED: it is worse",))


@pytest.fixture
def tracking(settings: Settings) -> Iterator[Any]:
    """MLflow on SQLite in the scratch home, with an open run as the orchestrator has it."""
    yield from _tracking(settings)


def _tracking(settings: Settings) -> Iterator[Any]:
    import mlflow

    settings.home.mkdir(parents=True, exist_ok=True)
    mlflow.set_tracking_uri(settings.mlflow_tracking_uri)
    mlflow.set_registry_uri(settings.mlflow_registry_uri)
    name = f"test {settings.home}"
    mlflow.set_experiment(
        experiment_id=mlflow.create_experiment(name, artifact_location=(settings.home / "artifacts").resolve().as_uri())
    )
    with mlflow.start_run():
        yield mlflow


def register_formula(mlflow: Any, settings: Settings) -> str:
    corrections = {name: population.Correction(-0.1, 0.0, 0.1, 0) for name in tables.DISTANCES_M}
    logged = mlflow.pyfunc.log_model(
        name="model",
        python_model=registry.as_pyfunc(corrections, baseline.served),
        registered_model_name=registry.model_name("time_estimator", settings),
        pip_requirements=[],
    )
    return str(logged.registered_model_version)


def alias(settings: Settings, name: str) -> str:
    found = registry.client(settings).get_model_version_by_alias(registry.model_name("time_estimator", settings), name)
    return str(found.version)


def tags(settings: Settings, version: str) -> dict[str, str]:
    name = registry.model_name("time_estimator", settings)
    return dict(registry.client(settings).get_model_version(name, version).tags)


def test_gate_aliases_tags_and_rollback(tracking: Any, settings: Settings) -> None:
    first, second, third = (register_formula(tracking, settings) for _ in range(3))
    promotion.apply("time_estimator", first, YES, settings, kind=promotion.FORMULA)
    with pytest.raises(NothingToRollBackTo, match="no champion before it"):
        promotion.rollback("time_estimator", settings)
    promotion.apply("time_estimator", second, NO, settings)
    assert (alias(settings, CHAMPION), alias(settings, CHALLENGER)) == (first, second)
    assert tags(settings, second)["validation_status"] == "rejected"
    assert "it is worse" in tags(settings, second)["validation_reasons"]
    promotion.apply("time_estimator", third, YES, settings)
    assert (alias(settings, CHAMPION), alias(settings, CHALLENGER)) == (third, third)
    assert promotion.rollback("time_estimator", settings) == (third, first)
    assert alias(settings, CHAMPION) == first
    assert tags(settings, third)["validation_status"] == "rolled back"


def test_without_a_champion_there_is_nothing_to_roll_back(settings: Settings) -> None:
    settings.home.mkdir(parents=True)
    with pytest.raises(NothingToRollBackTo, match="materialise models/time_estimator"):
        promotion.rollback("time_estimator", settings)


def test_a_registry_that_is_away_leaves_the_champion(
    tracking: Any, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The alias moves last: a client that fails on any call before it changes nothing that serves."""
    first, second = register_formula(tracking, settings), register_formula(tracking, settings)
    promotion.apply("time_estimator", first, YES, settings)
    real = registry.client(settings)

    class Away:
        def __getattr__(self, name: str) -> Any:
            return getattr(real, name)

        def set_model_version_tag(self, *arguments: Any) -> None:
            raise ConnectionError("the registry is away")

    monkeypatch.setattr(registry, "client", lambda settings: Away())
    with pytest.raises(ConnectionError):
        promotion.apply("time_estimator", second, YES, settings)
    monkeypatch.undo()
    assert alias(settings, CHAMPION) == first


# -------------------------------------------------------------------------------------------------------------- gate


def holdout(
    model: float, formula: float, athletes: int = 8, spread: float = 0.0, distance: str = "10k"
) -> pd.DataFrame:
    """Five efforts of 2400 s of each athlete; errors of model and formulas as shares. `spread`: what is added to the
    formulas' error of every other athlete, and taken from that of the next."""
    number = np.repeat(np.arange(athletes), 5)
    rows = pd.DataFrame({"time_s": 2_400.0, "distance": distance, "athlete_id": number.astype(str)})
    rows["activity_date"] = pd.Timestamp("2024-01-01", tz="UTC") + pd.to_timedelta(np.arange(len(rows)) * 30, unit="D")
    theirs = 2_400 * (1 + formula + np.where(number % 2, spread, -spread))
    columns = {time_evaluation.MODEL: 2_400 * (1 + model), **dict.fromkeys(time_evaluation.FORMULAS, theirs)}
    return rows.assign(**columns)


MAKING = {"athletes": 60, "below_strongest_formula": {"mean_ape_below": 0.2, "low": 0.1, "high": 0.3}}
UNPROVED = {**MAKING, "below_strongest_formula": {"mean_ape_below": 0.1, "low": -0.1, "high": 0.3}}


@pytest.mark.parametrize(
    ("scored", "champion_error", "making", "approved", "said"),
    [
        (
            holdout(0.05, 0.10),
            None,
            None,
            True,
            "against 10.00% of riegel (the strongest formula) on 40 efforts of 8 athletes, +5.00 points",
        ),
        (holdout(0.30, 0.40), None, None, True, "passed"),  # 720 s off: how slow athletes are is not judged
        (holdout(0.05, 0.10, distance="5k"), None, None, True, "passed"),
        (holdout(0.05, 0.05), None, None, False, "FAILED: mean APE 5.00% against 5.00%"),
        (holdout(0.05, 0.06, spread=0.05), None, None, False, "not enough to tell; about "),
        (holdout(0.05, 0.10, athletes=3), None, None, False, "FAILED: only 15 efforts to judge by; 20 are needed"),
        (holdout(0.05, 0.10, athletes=4), None, None, True, "by blocks of 60 days for there are few athletes"),
        (holdout(0.05, 0.10), 0.04, None, False, "FAILED: mean APE 5.00% against 4.00%"),
        (holdout(0.05, 0.10), 0.06, None, True, "passed: mean APE 5.00% against 6.00%"),
        (holdout(0.05, 0.10), 0.05, None, True, "passed: mean APE 5.00% against 5.00%"),
        (holdout(0.05, 0.05, athletes=1), None, MAKING, True, "the home's efforts do not speak against it"),
        (holdout(0.10, 0.05, athletes=1), None, MAKING, False, "FAILED: the formula is nearer here"),
        (holdout(0.10, 0.05, athletes=1).head(1), None, MAKING, True, "may be chance: all are of one athlete"),
        (holdout(0.05, 0.10, athletes=0), None, MAKING, True, "no effort of this home to judge by yet"),
        (holdout(0.05, 0.10), None, UNPROVED, False, "FAILED: 10% [-10%, 30%] below the strongest formula on 60"),
    ],
)
def test_the_gate(
    scored: pd.DataFrame, champion_error: float | None, making: dict[str, Any] | None, approved: bool, said: str
) -> None:
    rivals = {} if champion_error is None else {CHAMPION: np.full(len(scored), 2_400 * (1 + champion_error))}
    decision = time_evaluation.verdict(scored, rivals, TimeEstimatorOptions(), making)
    assert decision.approved == approved
    assert any(said in reason for reason in decision.reasons), decision.reasons


def test_the_number_of_efforts_needed_is_that_of_the_standard_error() -> None:
    """Formulas' errors of 0 and 10 % by turns, the model's 4 %: 1 point better, -4 or +6 by athlete.

    The standard error of a mean of 8 athletes is 5 / sqrt(8) = 1.768 points; 1.645 of it are 1 point at
    40 x (1.645 x 1.768)^2 = 338 efforts. The bootstrap estimates it within a few percent.
    """
    found = time_evaluation.paired(rows := holdout(0.04, 0.05, spread=0.05), rows["riegel"].to_numpy())
    assert found is not None
    assert found.theirs - found.ours == pytest.approx(0.01)
    assert found.needed == pytest.approx(338, rel=0.12)


def test_an_auc_too_good_to_be_true_does_not_pass() -> None:
    rows = pd.DataFrame({"athlete_id": ["a", "b", "c", "d"] * 25, "disrupted": [True, True, False, False] * 25})
    perfect = rows.assign(probability=np.where(rows["disrupted"], 0.9, 0.1), frequency=0.5, base_rate=0.5)
    decision = detector_evaluation.verdict(perfect, None)
    assert not decision.approved
    assert "leakage is likelier than skill" in "\n".join(decision.reasons)
    # of each athlete's five evenings with a disruption one looks like the others' without, and the reverse
    turned = np.arange(100) // 4 % 5 == 0
    human = perfect.assign(probability=np.where(rows["disrupted"] != turned, 0.9, 0.1))
    assert detector_evaluation.verdict(human, None).approved


def test_the_holdout_is_the_newest_fifth_behind_an_embargo() -> None:
    rows = pd.DataFrame({"day": pd.date_range("2024-01-01", periods=500, tz="UTC")})
    train, test = splits.newest(rows, "day", 0.2, 43)
    assert len(test) == 100
    assert (test["day"].min() - train["day"].max()).days == 44  # 43 days between them


# ---------------------------------------------------------------------------------------------- from labels to gold


def _training(store: LocalStore, mlflow: Any) -> training.Training:
    return training.Training(store, EmbeddedFeatureStore(store), store.settings, mlflow, "a-dagster-run")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, sail: SparkSession) -> Iterator[tuple[LocalStore, Any, Any]]:
    """A store whose races each follow a run that gives them away, so that a model can pass; and its training."""
    home: Path = tmp_path_factory.mktemp("home")
    settings = Settings(home=home, as_of=day(7 * WEEKS), start_date=day(0))
    store = LocalStore(settings)
    runs, races = cohort.activities(plant=cohort.Plant(-1))
    rows = activity_table(runs)
    field = arrow_schema(tables.ACTIVITY).field("is_race")
    days = Days(day(0), day(7 * WEEKS))
    import pyarrow as pa

    store.replace_arrow(
        tables.ACTIVITY, rows.set_column(rows.schema.get_field_index("is_race"), field, pa.array(races)), days
    )
    activities = store.read(tables.ACTIVITY)
    store.replace(tables.DAILY, daily_features(activities, days), days)
    daily = store.read(tables.DAILY)
    state = rolling_features(daily, activities, no_rows(sail, tables.ROLLING), days, settings)
    store.replace(tables.ROLLING, state, days)
    store.replace(tables.PERFORMANCE, performance_features(daily, activities, days), days)
    store.replace(tables.RACE_EFFORTS, labels.race_efforts(activities))
    store.replace(tables.DISRUPTIONS, labels.training_disruptions(daily))
    for mlflow in _tracking(settings):
        yield store, training.train(TIMES, _training(store, mlflow), TimeEstimatorOptions(iterations=40)), mlflow


def test_a_better_model_becomes_champion_with_all_that_it_rests_on(trained: tuple[LocalStore, Any, Any]) -> None:
    store, result, mlflow = trained
    settings = store.settings
    assert result.decision.approved, result.decision.reasons
    assert alias(settings, CHAMPION) == result.version
    run = mlflow.get_run(result.run_id)
    assert run.data.tags["dagster_run_id"] == "a-dagster-run"
    assert run.data.tags["delta_version.race_efforts"] == str(store.version(tables.RACE_EFFORTS))
    assert run.data.tags["mlflow.parentRunId"]
    assert run.data.metrics["holdout.10k.model.mae_s"] > 0
    artifacts = {item.path for item in mlflow.MlflowClient().list_artifacts(result.run_id, "plots")}
    assert artifacts == {f"plots/{name}.png" for name in PLOTS}


def test_the_plots_hang_on_the_materialisation_too(
    trained: tuple[LocalStore, Any, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    store, result, mlflow = trained
    monkeypatch.setattr(training, "train", lambda *_: result)
    reported = models.trained(TIMES, _training(store, mlflow), TimeEstimatorOptions())
    assert set(reported.metadata or {}) >= PLOTS
    for name in PLOTS:
        assert drawn(picture((reported.metadata or {})[name])) > 0.02


def served(store: LocalStore, champion: registry.Serving, days: Days, today: date) -> list[pa.Table]:
    """The rows of PREDICTIONS and of INFERENCE_LOG."""
    what = serving.Models(champion, {"overtraining_detector": None}, None, {}, outcomes_of([]))
    at = datetime(2026, 1, 1, tzinfo=timezone.utc)
    made = serving.made(EmbeddedFeatureStore(store), store, what, days, today, at, "a-run")
    return [pa.concat_tables(store.fetched(made[kind])) for kind in (serving.PREDICTED, serving.LOGGED)]


def by_athlete_id(rows: pa.Table) -> list[dict[str, Any]]:
    return rows.sort_by("athlete_id").to_pylist()


def test_the_champion_serves_gold_with_reasons_in_words(trained: tuple[LocalStore, Any, Any]) -> None:
    store, result, _ = trained
    last = Days(day(7 * WEEKS - 1), day(7 * WEEKS - 1))
    champion = registry.serving("time_estimator", store.settings)
    assert champion is not None
    made, _ = served(store, champion, last, today=last.last)
    rows = made.to_pylist()
    assert {row["served_by"] for row in rows} == {"model"}
    assert {row["model_version"] for row in rows} == {result.version}
    assert {row["p_disruption_reason"] for row in rows} == {NO_DETECTOR}
    said = [reason for row in rows for reason in row["top_reasons"]]
    assert said
    effect = r"\d+(:\d\d)+ (faster|slower) over (5 km|10 km|the half marathon|the marathon)"
    assert all(re.search(rf": {effect}(, {effect})*\.$", reason) for reason in said), said
    assert all(len(row["top_reasons"]) <= reasons.MOST for row in rows)

    # some days later nobody is shown that evening: its reasons are said when somebody asks
    later = last.last + timedelta(days=2)
    unsaid, log = served(store, champion, last, today=later)
    assert unsaid["top_reasons"].null_count == len(rows)
    evenings = scoring.evenings(store.read(tables.ROLLING, last))
    scored = scoring.scored(EmbeddedFeatureStore(store), champion, evenings, TIMES).toArrow()
    names = ["athlete_id", *champion.inputs]
    assert by_athlete_id(log.select(names)) == by_athlete_id(scored.select(names))
    assert log["predicted_10k_s"].to_pylist() == [row["predicted_10k_s"] for row in rows]
    store.replace_arrow(tables.PREDICTIONS, unsaid)
    store.replace_arrow(tables.INFERENCE_LOG, log)
    (asked,) = history(store, rows[0]["athlete_id"], last.last)
    assert asked["top_reasons"] == rows[0]["top_reasons"]


def test_features_that_end_before_the_labels_are_named(trained: tuple[LocalStore, Any, Any]) -> None:
    store, _, mlflow = trained
    before = store.delta(tables.PERFORMANCE).version()
    served = alias(store.settings, CHAMPION)
    store.delta(tables.PERFORMANCE).delete("as_of_date >= '2024-06-01T00:00:00+00:00'")
    try:
        with pytest.raises(training.FeaturesBehindLabels, match=r"athlete_performance_features ends on 2024-05-31"):
            training.train(TIMES, _training(store, mlflow), TimeEstimatorOptions())
        assert alias(store.settings, CHAMPION) == served
    finally:
        store.delta(tables.PERFORMANCE).restore(before)


def test_too_few_evenings_train_no_detector(trained: tuple[LocalStore, Any, Any]) -> None:
    """Nobody in the cohort ever stops: one class is nothing to learn from, and nothing is registered."""
    store, _, mlflow = trained
    with pytest.raises(TooLittleToLearnFrom, match="0 of"):
        training.train(RISKS, _training(store, mlflow), RISKS.options())
    assert registry.serving("overtraining_detector", store.settings) is None
