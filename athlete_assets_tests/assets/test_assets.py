"""The assets as Dagster runs them: a small simulated home, a real instance, real Delta tables and MLflow."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow.compute as pc
import pytest

from athlete_assets import definitions, tables
from athlete_assets.assets.builder import asset_key
from athlete_assets.assets.freshness import FRESHNESS_JOB
from athlete_assets.assets.models import TIME_ESTIMATOR
from athlete_assets.days import midnight
from athlete_assets.models import registry
from athlete_assets.orchestration.run_tags import RANGE_END, RANGE_START
from athlete_assets.settings import Settings
from athlete_assets.store.base import Written
from athlete_assets.store.local import LocalStore
from athlete_assets.tables import Table
from athlete_assets_tests.assets.world import World, close, filled

FIRST, LAST = date(2024, 1, 1), date(2024, 3, 31)
FROM_SILVER = (tables.ACTIVITY, tables.REJECTS)
DAILY_TABLES = (*FROM_SILVER, tables.DAILY, tables.ROLLING, tables.PERFORMANCE)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Two athletes over a quarter, every daily table materialised in one run."""
    home: Path = tmp_path_factory.mktemp("home")
    with filled(Settings(home=home, start_date=FIRST, as_of=LAST), years=0.25) as world:
        world.run(*DAILY_TABLES, first=FIRST, last=LAST)
        yield world


def test_one_day_at_a_time_gives_the_table_of_the_range(world: World) -> None:
    before = {table.name: world.rows(table) for table in (tables.ACTIVITY, tables.DAILY, tables.ROLLING)}
    for day in (LAST - timedelta(days=1), LAST):
        world.run(*DAILY_TABLES, first=day)
    for table in (tables.ACTIVITY, tables.DAILY, tables.ROLLING):
        assert close(world.rows(table), before[table.name]), table.name


def test_months_that_are_missing_or_of_another_history_are_not_believed_and_made_anew(world: World) -> None:
    """As in a home from before there were months, and after a step that was killed between its tables: a January of one
    athlete is missing, and of both."""
    summed = (tables.METRICS_SUMMARY, tables.DAILY)
    world.run(tables.METRICS_SUMMARY)
    right = {table: world.rows(table) for table in (tables.MONTHLY, *summed)}
    assert [row["month"] for row in right[tables.MONTHLY]] == ["2024-01", "2024-02", "2024-03"] * 2
    for lost in ("month = '2024-01' AND athlete_id = 'sim_000001'", "month < '2024-03'", "true"):
        world.store.folder(tables.MONTHLY).overwrite(world.store.rows(tables.MONTHLY).slice(0, 0), lost)
        world.run(tables.DAILY, first=FIRST, last=LAST)
        world.run(tables.METRICS_SUMMARY)
        for table in summed:
            assert close(world.rows(table), right[table]), (lost, table.name)
        world.run(*FROM_SILVER, tables.MONTHLY, first=LAST)
        assert world.rows(tables.MONTHLY) == right[tables.MONTHLY], lost


def test_the_range_is_recorded_with_its_partitions_and_passing_checks(world: World) -> None:
    for table in DAILY_TABLES:
        assert len(world.instance.get_materialized_partitions(asset_key(table))) == (LAST - FIRST).days + 1
    checks = world.run(tables.WEEKLY, first=FIRST, last=date(2024, 3, 25)).get_asset_check_evaluations()
    assert {"schema", "keys", "ranges", "weekly_is_sum_of_daily"} <= {check.check_name for check in checks}
    assert all(check.passed for check in checks if check.check_name != "yesterday_is_there")  # this home ends in 2024


def test_a_lost_row_fails_the_count_and_a_run_of_checks_alone_writes_nothing(world: World) -> None:
    lost = max(world.rows(tables.ACTIVITY), key=lambda row: row["activity_date"])
    world.store.delta(tables.ACTIVITY).delete(
        f"athlete_id = '{lost['athlete_id']}' AND activity_id = {lost['activity_id']}"
    )
    version = world.store.version(tables.ACTIVITY)
    key = dg.AssetCheckKey(asset_key(tables.ACTIVITY), "counts_add_up")
    job = world.built.resolve_implicit_global_asset_job_def().get_subset(
        asset_check_selection={key}, asset_selection=()
    )
    result = job.execute_in_process(
        instance=world.instance,
        tags=dict(zip((RANGE_START, RANGE_END), (str(FIRST), str(LAST)), strict=True)),
        raise_on_error=False,
    )
    (evaluation,) = result.get_asset_check_evaluations()
    assert not evaluation.passed
    assert "1 unaccounted for" in (evaluation.description or "")
    assert world.store.version(tables.ACTIVITY) == version

    on = lost["activity_date"].date()
    world.run(*FROM_SILVER, first=on, last=LAST)  # materialising the window again mends it
    assert lost in world.rows(tables.ACTIVITY)


def data_version(world: World, table: Table, partition: str) -> str | None:
    tags = world.instance.event_log_storage.get_latest_tags_by_partition(
        asset_key(table), dg.DagsterEventType.ASSET_MATERIALIZATION, ["dagster/data_version"]
    )
    return tags[partition].get("dagster/data_version")


def test_the_data_version_follows_the_rows_and_not_the_writes(world: World) -> None:
    day = str(LAST)
    world.run(*DAILY_TABLES, first=LAST)
    before = {table: data_version(world, table, day) for table in DAILY_TABLES}
    delta = world.store.version(tables.DAILY)
    world.run(*DAILY_TABLES, first=LAST)
    assert world.store.version(tables.DAILY) != delta
    assert {table: data_version(world, table, day) for table in DAILY_TABLES} == before
    stored = world.store.delta(tables.ACTIVITY)
    changed = max(world.rows(tables.ACTIVITY), key=lambda row: row["activity_date"])
    on = changed["activity_date"].date()
    stored.update({"distance_km": "distance_km + 1"}, predicate=f"activity_id = {changed['activity_id']}")
    try:
        world.run(tables.DAILY, first=on)
        other = data_version(world, tables.DAILY, str(on))
    finally:
        world.run(*FROM_SILVER, tables.DAILY, first=on)
    assert data_version(world, tables.DAILY, str(on)) != other


def test_a_collapse_of_rows_fails_the_step_and_a_second_write_accepts_it(world: World) -> None:
    """All activities of one of two athletes vanish from the features: half of the days are gone."""
    settings = world.settings.model_copy(update={"row_count_kept_share": 0.9})
    strict = World(settings, world.store, world.instance, definitions.build(settings))
    athlete = world.rows(tables.ACTIVITY)[0]["athlete_id"]
    world.store.delta(tables.ACTIVITY).delete(f"athlete_id = '{athlete}'")
    try:
        failed = strict.run(tables.DAILY, first=FIRST, last=LAST, fails=True)
        found = {one.check_name: one for one in failed.get_asset_check_evaluations()}
        assert not found["row_count_stable"].passed
        assert "materialise the window once more" in (found["row_count_stable"].description or "")
        assert strict.run(tables.DAILY, first=FIRST, last=LAST).success
    finally:
        world.run(*FROM_SILVER, tables.DAILY, first=FIRST, last=LAST)


def test_a_day_rests_on_what_is_stored_of_the_days_before_where_all_of_them_are(world: World) -> None:
    """Stored runs that are a tenth longer are believed, since a day costs a day; with one missing, silver is asked."""

    newest = max(row["activity_date"] for row in world.rows(tables.ACTIVITY))

    def paces() -> dict[int, float]:
        world.run(*FROM_SILVER, first=newest.date())
        rows = [row for row in world.rows(tables.ACTIVITY) if row["activity_date"] == newest]
        return {row["activity_id"]: row["threshold_pace_min_km"] for row in rows}

    right, stored = paces(), world.store.rows(tables.ACTIVITY)
    longer = pc.multiply(stored["distance_km"], 1.1)
    changed = stored.set_column(stored.column_names.index("distance_km"), "distance_km", longer)
    world.store.replace_arrow(tables.ACTIVITY, changed)
    faster = paces()
    assert right
    assert all(faster[number] < pace for number, pace in right.items())
    world.store.replace_arrow(tables.ACTIVITY, changed.sort_by("activity_date").slice(1))
    assert paces() == pytest.approx(right, rel=1e-9)
    world.store.replace_arrow(tables.ACTIVITY, stored)
    assert paces() == pytest.approx(right, rel=1e-9)


def test_a_step_that_ends_between_two_tables_waits_for_a_repair_by_name(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def due() -> set[str]:
        job = world.built.resolve_job_def(FRESHNESS_JOB)
        evaluations = job.execute_in_process(instance=world.instance).get_asset_check_evaluations()
        bad = [one for one in evaluations if one.check_name == "writes_finished" and not one.passed]
        assert all(f"{LAST} to {LAST}: materialise them again" in (one.description or "") for one in bad)
        return {one.asset_key.to_user_string() for one in bad}

    replace = LocalStore.replace

    def ends(self: LocalStore, table: Table, *rest: Any) -> Written:
        if table == tables.ACTIVITY:
            raise RuntimeError("ends after the rejects are written, before the features are")
        return replace(self, table, *rest)

    assert due() == set()
    rejects, features = (world.store.version(table) for table in (tables.REJECTS, tables.ACTIVITY))
    with monkeypatch.context() as patched:
        patched.setattr(LocalStore, "replace", ends)
        world.run(tables.ACTIVITY, tables.REJECTS, first=LAST, fails=True)
    assert world.store.version(tables.REJECTS) != rejects
    assert world.store.version(tables.ACTIVITY) == features
    assert due() == {"feature_store/activity_features", "silver_rejects/strava_activities"}
    world.run(tables.ACTIVITY, tables.REJECTS, first=LAST)
    assert due() == set()


def test_the_champion_serves_and_each_prediction_is_logged(world: World) -> None:
    world.run(*tables.LABELS, TIME_ESTIMATOR, tables.METRICS_SUMMARY)
    serving = registry.serving("time_estimator", world.settings)
    assert serving is not None
    world.run(tables.PREDICTIONS, tables.INFERENCE_LOG, first=LAST)
    event = world.instance.get_latest_materialization_event(asset_key(tables.PREDICTIONS))
    assert event is not None
    assert event.asset_materialization is not None
    assert isinstance(event.asset_materialization.metadata["prediction_fan"], dg.MarkdownMetadataValue)
    predictions = world.rows(tables.PREDICTIONS)
    assert {row["prediction_date"] for row in predictions} == {midnight(LAST)}
    assert {row["athlete_id"] for row in predictions} == {row["athlete_id"] for row in world.rows(tables.DAILY)}
    assert all(row["model_version"] == serving.version for row in predictions if row["served_by"])
    logged = world.rows(tables.INFERENCE_LOG)
    world.run(tables.PREDICTIONS, tables.INFERENCE_LOG, first=LAST)
    assert world.rows(tables.PREDICTIONS) == predictions
    assert len(world.rows(tables.INFERENCE_LOG)) == 2 * len(logged)

    before = LAST - timedelta(days=1)
    for _ in range(2):  # a backfill may be repeated; what was served in time stands
        world.run(tables.PREDICTIONS, tables.INFERENCE_LOG, first=before, last=LAST)
        found = world.rows(tables.PREDICTIONS)
        assert {(row["prediction_date"], row["is_backfilled"]) for row in found} == {
            (midnight(before), True),
            (midnight(LAST), False),
        }
        assert all(row["features_as_of"] == row["prediction_date"] for row in found)
        assert [row for row in found if row["prediction_date"] == midnight(LAST)] == predictions


def test_api_rows_fail_the_training_and_leave_the_champion(world: World) -> None:
    before = registry.serving("time_estimator", world.settings)
    (row, *_) = world.rows(tables.ACTIVITY)
    stored = world.store.delta(tables.ACTIVITY)
    stored.update({"source": "'strava_api'"}, predicate=f"activity_id = {row['activity_id']}")
    try:
        failed = world.run(TIME_ESTIMATOR, fails=True)
        message = failed.failure_data_for_node("models__time_estimator").error.to_string()  # type: ignore[union-attr]
        assert "ATHLETE_ALLOW_API_DATA" in message
        runs = registry.client(world.settings).search_runs(["1"], f"tags.dagster_run_id = '{failed.run_id}'")
        assert [run.info.status for run in runs] == ["FAILED"]
        after = registry.serving("time_estimator", world.settings)
        assert (after and after.version) == (before and before.version)
    finally:
        stored.update({"source": "'simulated'"}, predicate=f"activity_id = {row['activity_id']}")
