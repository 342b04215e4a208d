"""The product's own graph through the workspace, each step on a cluster, its models in the workspace's registry.

Everything is materialised twice, there and on this machine's own engine, and compared table by table.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import yaml
from pyspark.sql import SparkSession

from athlete_assets import tables
from athlete_assets.days import Days
from athlete_assets.deployments.databricks import setup
from athlete_assets.gold.scoring import DAYS_SHOWN
from athlete_assets.models import promotion, registry
from athlete_assets.settings import Settings
from athlete_assets.silver import landing, simulator
from athlete_assets.store.local import LocalStore
from athlete_assets_tests.deployments.conftest import CLIENT_ID, CLIENT_SECRET
from athlete_assets_tests.fake_workspace import FakeWorkspace, Fate
from athlete_assets_tests.silver import rows as silver

CATALOG = "uc_athlete_data"
RANGE = Days(date(2024, 1, 1), date(2024, 9, 29))
ATHLETES = 48
BY_DAY = (tables.ACTIVITY, tables.REJECTS, tables.DAILY, tables.ROLLING, tables.PERFORMANCE)
LABELS = (tables.RACE_EFFORTS, tables.DISRUPTIONS)
SCORED = (tables.PREDICTIONS, tables.INFERENCE_LOG)
WRITTEN = (*BY_DAY, tables.WEEKLY, *LABELS, tables.METRICS_SUMMARY, *SCORED, tables.PREDICTION_OUTCOMES)
MODELS = ("time_estimator", "overtraining_detector")

PLANTED, RACE_EVERY_WEEKS = 24, 3
"""Athletes whose races a run of the evening before gives away, so that a model can learn what no formula knows."""
OWN_TO_A_RUN = {"silver_ingestion_timestamp", "served_at", "dagster_run_id"}
EXACT, PREDICTED = 1e-9, 1e-6
"""Relative difference of features, and of what models fitted on them say: a tree's border may lie one digit aside."""


@dataclass(frozen=True)
class Planted:
    """Silver of athletes whose form on the day of a race shows in a run of the day before, and nowhere else."""

    activities: pa.Table
    splits: pa.Table
    athletes: pa.Table


def planted() -> Planted:
    """Three easy runs a week, and every third Sunday 10 km, 8 % about the athlete's fitness by chance."""
    random = np.random.default_rng(3)
    rows: list[dict[str, Any]] = []

    def run(athlete: str, day: date, km: float, seconds: float, workout_type: int | None = None) -> None:
        rows.append(
            silver.activity(
                f"{day} 08:00:00",
                athlete_id=athlete,
                id=10**9 + len(rows),
                distance=1000 * km,
                moving_time=seconds,
                elapsed_time=seconds,
                workout_type=workout_type,
            )
        )

    for number in range(PLANTED):
        athlete, fitness = f"planted {number:02d}", float(random.uniform(2_300, 3_900))
        for week in range(len(RANGE) // 7):
            monday = RANGE.first + timedelta(weeks=week)
            for weekday in (1, 3):
                easy = fitness * 0.8**1.06 * float(random.uniform(1.15, 1.35))
                run(athlete, monday + timedelta(days=weekday), 8.0, easy)
            if week % RACE_EVERY_WEEKS == RACE_EVERY_WEEKS - 1:
                time = fitness * float(np.exp(random.normal(0, 0.08)))
                run(athlete, monday + timedelta(days=5), 8.0, time * 0.8**1.06)
                run(athlete, monday + timedelta(days=6), 10.0, time, workout_type=1)
    nothing = [silver.arrow([], table) for table in (tables.STRAVA_SUB_ACTIVITY, tables.STRAVA_ATHLETE)]
    return Planted(silver.arrow(rows), *nothing)


def selections() -> list[tuple[list[str], str | None, str | None]]:
    def paths(*chosen: tables.Table) -> list[str]:
        return ["/".join(table.path) for table in chosen]

    first, last = str(RANGE.first), str(RANGE.last)
    newest_week = str(RANGE.last - pd.Timedelta(days=6))
    models = [f"models/{name}" for name in MODELS]
    return [
        (paths(*BY_DAY), first, last),
        (paths(tables.WEEKLY), first, newest_week),
        ([*paths(*LABELS, tables.METRICS_SUMMARY), *models], None, None),
        (paths(*SCORED), newest_week, last),
        (paths(tables.PREDICTION_OUTCOMES), None, None),
        (paths(tables.ROLLING), last, last),  # one partition again: nothing changes
    ]


def orchestrator(environment: dict[str, str], dagster_home: Path) -> subprocess.Popen[str]:
    dagster_home.mkdir(parents=True)
    checkout = str(Path(__file__).parents[2])  # dagster drops the working folder from the path as it loads a location
    kept = {key: os.environ[key] for key in ("PATH", "HOME", "JAVA_HOME", "LANG") if key in os.environ}
    with open(dagster_home / "log", "w") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "athlete_assets_tests.deployments.orchestrator", json.dumps(selections())],
            env={**kept, **environment, "DAGSTER_HOME": str(dagster_home), "PYTHONPATH": checkout},
            cwd=checkout,
            stdout=log,
            stderr=subprocess.STDOUT,
            text=True,
        )


def ended_well(process: subprocess.Popen[str], dagster_home: Path) -> None:
    status = process.wait(timeout=1200)
    said = [line for line in (dagster_home / "log").read_text().splitlines() if not line.lstrip().startswith("at ")]
    assert status == 0, "\n".join(said[-150:])


def rows(spark: SparkSession, store: LocalStore, table: tables.Table) -> pd.DataFrame:
    """The table's rows in order of its keys. (Read by Spark: delta-rs does not read deletion vectors.)"""
    found = spark.read.format("delta").load(str(store.path(table))).toArrow().to_pandas()
    frame = found.drop(columns=OWN_TO_A_RUN, errors="ignore")
    for column in ("features", "outputs") if table == tables.INFERENCE_LOG else ():
        frame = pd.concat(
            [frame, pd.json_normalize(frame.pop(column).map(json.loads)).add_prefix(f"{column}.")], axis=1
        )
    order = [key for key in table.keys if key in frame] or [
        name for name in frame.columns if frame[name].dtype != np.float64
    ]
    return frame.sort_values(order, key=lambda column: column.astype(str)).reset_index(drop=True)


def assert_same(made: pd.DataFrame, expected: pd.DataFrame, table: tables.Table) -> None:
    assert len(expected) > 0, table.name
    assert list(made.columns) == list(expected.columns)
    assert len(made) == len(expected), table.name
    tolerance = PREDICTED if table in (*SCORED, tables.PREDICTION_OUTCOMES) else EXACT
    for column in expected:
        left, right = made[column], expected[column]
        if left.dtype == np.float64:
            np.testing.assert_allclose(left, right, rtol=tolerance, atol=tolerance, err_msg=f"{table.name}.{column}")
        else:
            assert left.astype(str).tolist() == right.astype(str).tolist(), f"{table.name}.{column}"


def checks(dagster_home: Path) -> dict[str, Any]:
    """Each check's newest evaluation, by name."""
    from athlete_assets.definitions import defs

    keys = [key for key in defs.resolve_asset_graph().asset_check_keys if key.name != "yesterday_is_there"]
    with dg.DagsterInstance.from_config(str(dagster_home)) as instance:
        found = instance.event_log_storage.get_latest_asset_check_execution_by_key(keys)
    return {
        f"{key.asset_key.to_user_string()} {key.name}": record.event.dagster_event.event_specific_data
        for key, record in found.items()
        if record.event is not None
    }


@pytest.mark.java
@pytest.mark.slow
def test_everything_made_through_the_workspace_equals_what_is_made_here(
    workspace: FakeWorkspace, tmp_path: Path, apache_spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    common = {"ATHLETE_START_DATE": str(RANGE.first), "ATHLETE_AS_OF": str(RANGE.last)}
    local = {**common, "ATHLETE_HOME": str(tmp_path / "local")}
    here = LocalStore(Settings.load(local))
    for batch in (*simulator.simulate(ATHLETES, len(RANGE) / 365.25, 7, RANGE.last), planted()):
        landing.land(here, batch)
    there = LocalStore(Settings.load({**common, "ATHLETE_HOME": str(workspace.root / "tables")}))
    shutil.copytree(here.path(tables.STRAVA_ACTIVITIES).parent, there.path(tables.STRAVA_ACTIVITIES).parent)

    databricks = {
        **common,
        "ATHLETE_HOME": str(tmp_path / "orchestrator"),
        "ATHLETE_DEPLOYMENT": "databricks",
        "ATHLETE_DATABRICKS_CLUSTER_ID": "shared",
        "ATHLETE_DATABRICKS_POLL_S": "0.2",
        "DATABRICKS_HOST": workspace.url,
        "DATABRICKS_CLIENT_ID": CLIENT_ID,
        "DATABRICKS_CLIENT_SECRET": CLIENT_SECRET,
    }
    for name, value in databricks.items():
        monkeypatch.setenv(name, value)
    settings = Settings.load()
    workspace.create_securable("catalog", CATALOG)
    assert setup.init(settings) == 0
    workspace.clusters.default_fate = Fate(spark=True)
    homes = {"there": tmp_path / "dagster_there", "here": tmp_path / "dagster_here"}
    runs = [orchestrator(databricks, homes["there"]), orchestrator(local, homes["here"])]
    for process, home in zip(runs, homes.values(), strict=True):
        ended_well(process, home)

    # the steps, and the tables
    assert {run.result for run in workspace.runs} == {"SUCCESS"}
    assert len(workspace.runs) == 12, (
        "one a step: rejects with activities, the log with predictions, both labels at once"
    )
    for table in WRITTEN:
        assert_same(rows(apache_spark, there, table), rows(apache_spark, here, table), table)
    assert all("/code/" in path for path in workspace.staged_files()), "nothing of the steps stays"

    # what Dagster knows
    made, expected = checks(homes["there"]), checks(homes["here"])
    assert {name: check.passed for name, check in made.items()} == {
        name: check.passed for name, check in expected.items()
    }
    assert len(made) > 40
    for name, check in made.items():
        assert check.target_materialization_data is not None, name
    with dg.DagsterInstance.from_config(str(homes["there"])) as instance:
        for table in BY_DAY:
            assert len(instance.get_materialized_partitions(dg.AssetKey(list(table.path)))) == len(RANGE), table.name

    # the models: three levels, ready, with outputs, tags and aliases, and where they came from
    client = registry.client(settings)
    (experiment,) = client.search_experiments(filter_string="name = '/Shared/athlete_assets'")
    for model in MODELS:
        name = f"{CATALOG}.models.{model}"
        challenger = client.get_model_version_by_alias(name, promotion.CHALLENGER)
        assert challenger.status == "READY"
        assert set(challenger.tags) >= {promotion.KIND, promotion.STATUS, promotion.REASONS}
        run = client.get_run(challenger.run_id)
        assert run.info.experiment_id == experiment.experiment_id
        assert run.info.status == "FINISHED"
        assert int(run.data.tags["delta_version.athlete_rolling_features"]) >= 1
        files = workspace.models.folder(name, int(challenger.version))
        signature = yaml.safe_load((files / "MLmodel").read_text())["signature"]
        outputs = {output["name"] for output in json.loads(signature["outputs"])}
        assert outputs >= ({"predicted_10k_s", "served_by"} if model == "time_estimator" else {"p_disruption_14d"})
        version = workspace.models.models[name].versions[-1]
        assert version.user == "cluster", "registered where it was trained"
        assert version.sent["run_tracking_server_id"] == "1"
        assert {dependency["name"] for dependency in version.sent["model_version_dependencies"]} == {
            tables.PERFORMANCE.full_name(CATALOG),
            tables.ROLLING.full_name(CATALOG),
        }
        assert version.lineage["entities"], "the job that made it"
    champion = client.get_model_version_by_alias(f"{CATALOG}.models.time_estimator", promotion.CHAMPION)
    assert champion.tags[promotion.KIND] == promotion.LEARNED, champion.tags[promotion.REASONS]
    scored = rows(apache_spark, there, tables.PREDICTIONS)
    assert set(scored["model_version"].dropna()) == {champion.version}
    by_model = scored[scored["served_by"] == "model"]
    assert by_model["athlete_id"].nunique() > PLANTED, "a learned model serves, others than the planted athletes, too"
    assert by_model["predicted_10k_s"].notna().all()
    reasons = by_model.set_index("prediction_date")["top_reasons"].dropna()
    assert set(reasons.index.date) == {RANGE.last - timedelta(days=back) for back in range(DAYS_SHOWN)}
    assert reasons.map(len).max() > 0
    assert {entry["name"] for entry in workspace.models.read_lineage} >= {f"{CATALOG}.models.time_estimator"}

    # who read which features, as the feature store's client tells the catalog
    readers = [request.json for request in workspace.requests("/feature-store/features/add-consumer")]
    trained_and_scored = {body["job_run"]["job_id"] for body in readers}
    assert len(trained_and_scored) == 3, "two trainings and the scoring, each by its job"
