"""The product's own graph through the workspace, each step on a cluster of its own; its tables equal a local run's."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from datetime import date
from pathlib import Path

import dagster as dg
import numpy as np
import pandas as pd
import pytest

from athlete_assets import tables
from athlete_assets.deployments.databricks.config import staging_prefix
from athlete_assets.settings import Settings
from athlete_assets.silver import landing, simulator
from athlete_assets.store.local import LocalStore
from athlete_assets_tests.deployments.conftest import CLIENT_ID, CLIENT_SECRET
from athlete_assets_tests.fake_workspace import FakeWorkspace, Fate

FIRST, LAST = date(2024, 1, 1), date(2024, 2, 18)
WRITTEN = (tables.ACTIVITY, tables.REJECTS, tables.DAILY, tables.ROLLING)

PROCESS_FREE = {"silver_ingestion_timestamp"}


def orchestrate(environment: dict[str, str], selection: str, dagster_home: Path) -> None:
    """One Dagster run over the whole range in an orchestrator process of its own."""
    dagster_home.mkdir(parents=True, exist_ok=True)
    kept = {key: os.environ[key] for key in ("PATH", "HOME", "JAVA_HOME", "LANG") if key in os.environ}
    command = ["-m", "dagster", "asset", "materialize", "-m", "athlete_assets.definitions", "--select", selection]
    done = subprocess.run(
        [sys.executable, *command, "--partition-range", f"{FIRST}...{LAST}"],
        env={**kept, **environment, "DAGSTER_HOME": str(dagster_home)},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=900,
    )
    said = [line for line in (done.stdout + done.stderr).splitlines() if not line.lstrip().startswith("at ")]
    assert done.returncode == 0, "\n".join(said[-150:])


def rows(store: LocalStore, table: tables.Table) -> pd.DataFrame:
    frame = store.delta(table).to_pyarrow_table().to_pandas()
    order = list(table.keys) or [name for name in frame.columns if name not in PROCESS_FREE]
    return frame.sort_values(order, key=lambda column: column.astype(str)).reset_index(drop=True)


@pytest.mark.java
@pytest.mark.slow
def test_tables_made_through_the_workspace_equal_those_made_here(
    workspace: FakeWorkspace, tmp_path: Path, apache_spark: object
) -> None:
    common = {"ATHLETE_CATALOG": "spark_catalog", "ATHLETE_START_DATE": str(FIRST), "ATHLETE_AS_OF": str(LAST)}
    local = {**common, "ATHLETE_HOME": str(tmp_path / "local")}
    here = LocalStore(Settings.load(local))
    for batch in simulator.simulate(4, 0.13, 7, LAST):
        landing.land(here, batch)
    there = LocalStore(Settings.load({**common, "ATHLETE_HOME": str(workspace.root / "tables")}))
    shutil.copytree(here.path(tables.STRAVA_ACTIVITIES).parent, there.path(tables.STRAVA_ACTIVITIES).parent)
    for schema in ("feature_store", "silver_rejects"):
        (workspace.clusters.warehouse / schema).mkdir()

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
    workspace.add_volume(staging_prefix(Settings.load(databricks)))
    workspace.clusters.default_fate = Fate(spark=True)
    selection = ",".join(f'key:"{"/".join(table.path)}"' for table in WRITTEN)
    orchestrate(databricks, selection, tmp_path / "dagster_there")
    orchestrate(local, selection, tmp_path / "dagster_here")

    assert len(workspace.runs) == 3, "activities with their rejects, days, rolling state"
    assert {run.result for run in workspace.runs} == {"SUCCESS"}
    for table in WRITTEN:
        made, expected = rows(there, table), rows(here, table)
        assert len(expected) > 0, table.name
        assert list(made.columns) == list(expected.columns) == list(table.column_names)
        assert len(made) == len(expected)
        for column in set(expected.columns) - PROCESS_FREE:
            left, right = made[column], expected[column]
            if left.dtype == np.float64:
                np.testing.assert_allclose(left, right, rtol=1e-9, atol=1e-9, err_msg=f"{table.name}.{column}")
            else:
                assert left.astype(str).tolist() == right.astype(str).tolist(), f"{table.name}.{column}"

    with dg.DagsterInstance.from_config(str(tmp_path / "dagster_there")) as instance:
        for table in WRITTEN:
            key = dg.AssetKey(list(table.path))
            assert len(instance.get_materialized_partitions(key)) == (LAST - FIRST).days + 1, table.name
    assert all("/code/" in path for path in workspace.staged_files()), "nothing of the steps stays"
