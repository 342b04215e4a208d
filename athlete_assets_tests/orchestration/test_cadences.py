"""Every table has a cadence, and everything that writes, follows or watches it goes by that."""

from __future__ import annotations

import dagster as dg
import pytest

from athlete_assets import definitions, runs, tables
from athlete_assets.assets.builder import asset_key
from athlete_assets.assets.freshness import YESTERDAY
from athlete_assets.settings import Settings
from athlete_assets.silver.changes import WATCHED
from athlete_assets.tables import Cadence, Table


@pytest.fixture(scope="module")
def built() -> dg.Definitions:
    return definitions.build(Settings())


def scheduled(built: dg.Definitions) -> set[dg.AssetKey]:
    """What the jobs of the running schedules materialise."""
    repository = built.get_repository_def()
    return {
        key
        for schedule in repository.schedule_defs
        if schedule.default_status == dg.DefaultScheduleStatus.RUNNING
        for key in repository.get_job(schedule.job_name).asset_layer.executable_asset_keys
    }


def followed(built: dg.Definitions) -> set[dg.AssetKey]:
    """What the running sensors may ask for."""
    graph = built.resolve_asset_graph()
    return {
        key
        for sensor in built.get_repository_def().sensor_defs
        if sensor.default_status == dg.DefaultSensorStatus.RUNNING and sensor.asset_selection
        for key in sensor.asset_selection.resolve(graph)
    }


def test_a_table_without_a_cadence_is_refused_where_it_is_written_down() -> None:
    with pytest.raises(TypeError, match="cadence"):
        Table("gold", "new", "A new table.", (), keys=())  # type: ignore[call-arg]


def test_every_table_is_an_asset_that_a_schedule_writes_or_a_sensor_follows(built: dg.Definitions) -> None:
    known = set(built.resolve_asset_graph().get_all_asset_keys())
    assert known == {asset_key(table) for table in tables.ALL} | set(definitions.MODELS)
    written = scheduled(built) | followed(built)
    external = {asset_key(table) for table in tables.by_cadence(Cadence.EXTERNAL)}
    assert known - written == external
    assert {asset_key(table) for table in WATCHED} == external


def test_the_command_line_writes_every_table_that_is_not_somebody_elses(built: dg.Definitions) -> None:
    written = [key for step in runs.steps(Settings()) for key in step.keys]
    everything = {asset_key(table) for table in tables.ALL if table.cadence is not Cadence.EXTERNAL}
    assert sorted(written) == sorted(everything | set(definitions.MODELS))


def test_each_table_with_a_partition_a_day_or_a_week_is_asked_for_yesterdays(built: dg.Definitions) -> None:
    graph = built.resolve_asset_graph()
    asked = {key.asset_key for key in graph.asset_check_keys if key.name == YESTERDAY}
    partitioned = {node.key for node in graph.asset_nodes if node.is_partitioned and node.is_materializable}
    assert asked == partitioned
    by_day = {asset_key(table) for table in tables.BY_DAY}
    assert by_day == {key for key in partitioned if graph.get(key).partitions_def == dg_daily(built)}


def dg_daily(built: dg.Definitions) -> dg.PartitionsDefinition | None:
    return built.resolve_asset_graph().get(asset_key(tables.DAILY)).partitions_def
