"""The code location as Dagster loads it."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from datetime import date

import dagster as dg
import pytest

from athlete_assets import definitions, tables
from athlete_assets.orchestration.run_tags import RANGE_END, RANGE_START
from athlete_assets.settings import Settings


@pytest.fixture(scope="module")
def built() -> dg.Definitions:
    return definitions.build(Settings())


@pytest.mark.parametrize("table", [*tables.FEATURES, *tables.GOLD], ids=lambda table: table.name)
def test_each_table_is_an_asset_with_its_contract(built: dg.Definitions, table: tables.Table) -> None:
    spec = built.resolve_assets_def(dg.AssetKey(list(table.path))).get_asset_spec(dg.AssetKey(list(table.path)))
    schema = spec.metadata["dagster/column_schema"]
    assert [column.name for column in schema.columns] == list(table.column_names)
    assert all(column.description for column in schema.columns)
    assert spec.metadata["dagster/table_name"] == f"uc_athlete_data.{table.schema}.{table.name}"
    assert spec.owners
    assert spec.kinds
    assert spec.group_name == table.schema


def test_weekly_partitions_begin_on_mondays_and_daily_ones_reach_today(built: dg.Definitions) -> None:
    weekly = built.resolve_assets_def(dg.AssetKey(list(tables.WEEKLY.path))).partitions_def
    daily = built.resolve_assets_def(dg.AssetKey(list(tables.DAILY.path))).partitions_def
    assert weekly is not None
    assert daily is not None
    assert {key.weekday() for key in map(_date, weekly.get_partition_keys())} == {0}
    assert daily.get_last_partition_key() == Settings().today.isoformat()


@pytest.mark.filterwarnings("ignore::dagster.PreviewWarning")
def test_checks_have_no_partitions_because_dagster_leaves_those_of_a_range_without_a_result(
    built: dg.Definitions,
) -> None:
    """Where this fails, Dagster has learned it, and partitions on the checks would show each day's result in the UI."""
    graph = built.resolve_asset_graph()
    assert {graph.get(key).partitions_def for key in graph.asset_check_keys} == {None}

    days = dg.DailyPartitionsDefinition("2024-01-01", end_date="2024-02-01")
    check = dg.AssetCheckSpec("good", asset="table", partitions_def=days)

    @dg.asset(partitions_def=days, backfill_policy=dg.BackfillPolicy.single_run(), check_specs=[check])
    def table() -> dg.MaterializeResult:
        return dg.MaterializeResult(check_results=[dg.AssetCheckResult(passed=True)])

    with dg.instance_for_test() as instance:
        span = dict(zip((RANGE_START, RANGE_END), ("2024-01-01", "2024-01-03"), strict=True))
        assert dg.materialize([table], instance=instance, tags=span).success
        found = instance.event_log_storage.get_asset_check_execution_history(check.key, limit=9)
    told = sorted((record.partition or "", record.status.value) for record in found)
    assert told == [("", "SUCCEEDED"), *((f"2024-01-0{n}", "PLANNED") for n in (1, 2, 3))]


def test_loading_the_code_location_uses_no_beta_feature_that_was_not_chosen() -> None:
    """The one that was is filtered where it is made (`partitions.days_of_its_week`); any other would be heard of."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", dg.BetaWarning)
        definitions.build(Settings())
        with pytest.raises(dg.BetaWarning):
            dg.TimeWindowPartitionMapping(allow_nonexistent_upstream_partitions=True)


@pytest.mark.slow
def test_loading_the_code_location_imports_no_heavy_package() -> None:
    loaded = subprocess.run(
        [sys.executable, "-c", "import athlete_assets.definitions, sys; print('\\n'.join(sys.modules))"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    heavy = {"mlflow", "catboost", "matplotlib", "databricks.feature_engineering", "dagster_mlflow", "pysail", "pandas"}
    assert not heavy & set(loaded)


@pytest.mark.slow
def test_a_process_that_loaded_the_code_location_does_not_end_by_looking_through_all_of_it() -> None:
    code = """
import atexit, gc
atexit.register(lambda: print(gc.get_freeze_count(), gc.get_count()[0]))  # the first that is registered runs last
import athlete_assets.definitions
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    frozen, looked_at = map(int, done.stdout.split())
    assert frozen > 100_000
    assert looked_at < 1_000


@pytest.mark.slow
def test_a_step_on_the_cluster_loads_the_code_location_without_the_launcher() -> None:
    """A cluster whose feature store client needs a newer SDK cannot have dagster-databricks."""
    code = "import sys; sys.modules['dagster_databricks'] = None; import athlete_assets.definitions"
    marks = {"ATHLETE_DEPLOYMENT": "databricks", "ATHLETE_DATABRICKS_ON_CLUSTER": "true"}
    done = subprocess.run([sys.executable, "-c", code], env={**os.environ, **marks}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def _date(key: str) -> date:

    return date.fromisoformat(key)
