"""What is kept stays bounded, and nothing that says how things stand is lost with it."""

import os
import time
from collections.abc import Iterator
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from athlete_assets import definitions, tables
from athlete_assets.assets.builder import asset_key
from athlete_assets.days import Days, midnight
from athlete_assets.deployments.instance import prepare_dagster_home
from athlete_assets.errors import DamageError
from athlete_assets.models import registry
from athlete_assets.models.old_versions import remove_old_versions
from athlete_assets.models.promotion import PREVIOUS
from athlete_assets.orchestration.follow_sensor import follow_sensors
from athlete_assets.orchestration.maintenance import MAINTENANCE_JOB, sweep_temporary_folders
from athlete_assets.orchestration.old_runs import remove_old_runs
from athlete_assets.orchestration.run_requests import RANGE_END, RANGE_START
from athlete_assets.settings import Settings
from athlete_assets.store.base import Size
from athlete_assets.store.local import LocalStore
from athlete_assets_tests.rows import rows

FIRST = date(2024, 1, 1)
DAYS = dg.DailyPartitionsDefinition(str(FIRST), end_date="2024-03-01")
KEY = asset_key(tables.DAILY)
NAME = "uc_athlete_data.models.time_estimator"


# ----------------------------------------------------------------------------------------------------------- tables


def day_of(number: int) -> date:
    return FIRST + timedelta(days=number)


def write(store: LocalStore, day: date, km: float = 5.0) -> None:
    row = {"athlete_id": "ann", "activity_date": midnight(day), "month": f"{day:%Y-%m}", "distance_km": km}
    store.replace_arrow(tables.DAILY, rows(tables.DAILY, row), Days(day, day))


def stored(store: LocalStore) -> list[dict[str, Any]]:
    return list(store.delta(tables.DAILY).to_pyarrow_table().sort_by("activity_date").to_pylist())


@pytest.mark.slow  # 300 commits: a tenth of what the fast lane may take
def test_300_writes_of_a_day_leave_a_file_a_month_and_a_short_log(tmp_path: Path) -> None:
    """300 days of 2024 lie in ten months: ten files of rows, and one of each of the last three days, which are still
    replaced; of the log a checkpoint, its commit and the pointer."""
    store = LocalStore(Settings(home=tmp_path, keep_versions_days=0))
    for number in range(300):
        write(store, day_of(number))
    before = stored(store)
    done = store.maintain(tables.DAILY)
    assert done.before.files >= 600
    assert done.after.files <= 10 + 3 + 3
    assert stored(store) == before
    assert len(before) == 300
    write(store, day_of(0), km=7.0)
    assert [row["distance_km"] for row in stored(store)] == [7.0] + [5.0] * 299
    assert store.maintain(tables.DAILY).after.files <= 10 + 3 + 3


def test_versions_within_the_retention_can_still_be_read_and_so_can_a_write_under_way(tmp_path: Path) -> None:
    store = LocalStore(Settings(home=tmp_path, keep_versions_days=7))
    for km in (5.0, 6.0):
        write(store, FIRST, km)
    version = store.version(tables.DAILY)
    assert version is not None
    month, feed = store.path(tables.DAILY) / "month=2024-01", store.path(tables.DAILY) / "_change_data"
    feed.mkdir()
    fresh, old = ([folder / f"part-{age}.parquet" for folder in (month, feed)] for age in ("fresh", "old"))
    for file in (*fresh, *old):
        file.write_bytes(b"of a write that was killed, or is under way; of the change feed")
    long_ago = time.time() - 8 * 24 * 3600
    for file in old:
        os.utime(file, (long_ago, long_ago))
    store.maintain(tables.DAILY)
    assert [file.exists() for file in (*fresh, *old)] == [True, True, False, False]
    earlier = store.delta(tables.DAILY)
    earlier.load_as_version(version - 1)
    assert earlier.to_pyarrow_table().column("distance_km").to_pylist() == [5.0]


def test_the_version_that_held_until_yesterday_stays_readable_however_old_it_is(tmp_path: Path) -> None:
    store = LocalStore(Settings(home=tmp_path, keep_versions_days=7))
    write(store, FIRST, 5.0)
    store.maintain(tables.DAILY)
    version = store.version(tables.DAILY)
    long_ago = time.time() - 60 * 24 * 3600
    for file in store.path(tables.DAILY).rglob("*"):
        if file.is_file():
            os.utime(file, (long_ago, long_ago))
    write(store, FIRST, 6.0)
    for _ in range(2):
        store.maintain(tables.DAILY)
    earlier = store.folder(tables.DAILY).rows(["distance_km"], version)
    assert earlier["distance_km"].to_pylist() == [5.0]
    assert [row["distance_km"] for row in stored(store)] == [6.0]


def test_a_table_whose_log_is_damaged_loses_nothing(tmp_path: Path) -> None:
    """An empty newest commit reads as an empty table, all of whose files look unused."""
    store = LocalStore(Settings(home=tmp_path, keep_versions_days=0))
    for number in range(3):
        write(store, day_of(number))
    log = store.path(tables.DAILY) / "_delta_log"
    (log / f"{store.version(tables.DAILY) or 0:020}.json").write_bytes(b"")
    before = sorted(store.path(tables.DAILY).rglob("*.parquet"))
    with pytest.raises(DamageError, match="repair"):
        store.maintain(tables.DAILY)
    assert sorted(store.path(tables.DAILY).rglob("*.parquet")) == before


def test_maintenance_of_a_maintained_table_commits_nothing(tmp_path: Path) -> None:
    store = LocalStore(Settings(home=tmp_path))
    write(store, FIRST)
    store.maintain(tables.DAILY)
    version = store.version(tables.DAILY)
    store.maintain(tables.DAILY)
    assert store.version(tables.DAILY) == version


# ---------------------------------------------------------------------------------------------------------- Dagster


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path, start_date=FIRST, as_of=date(2024, 2, 29), keep_versions_days=0)


@pytest.fixture
def instance(settings: Settings) -> Iterator[dg.DagsterInstance]:
    """The local deployment's own instance, with its storages."""
    with dg.DagsterInstance.from_config(str(prepare_dagster_home(settings))) as made:
        yield made


class Wanted(dg.Config):
    fail: bool = False
    data_version: str = "1"


@dg.multi_asset(
    specs=[dg.AssetSpec(KEY)],
    partitions_def=DAYS,
    backfill_policy=dg.BackfillPolicy.single_run(),
    check_specs=[dg.AssetCheckSpec("good", asset=KEY)],
)
def days_table(context: dg.AssetExecutionContext, config: Wanted) -> dg.MaterializeResult:
    if config.fail:
        raise dg.Failure("asked to", allow_retries=False)
    context.log.info("a line of the step's log " * 20)
    return dg.MaterializeResult(
        metadata={"words": "x" * 500},
        check_results=[dg.AssetCheckResult(passed=True, description="as it should be")],
        data_version=dg.DataVersion(config.data_version),
    )


def run(instance: dg.DagsterInstance, first: str, last: str, **config: Any) -> dg.ExecuteInProcessResult:
    return dg.materialize(
        [days_table],
        instance=instance,
        tags={RANGE_START: first, RANGE_END: last},
        run_config={"ops": {"days_table": {"config": config}}},
        raise_on_error=False,
    )


def report(instance: dg.DagsterInstance, day: str, note: str) -> None:
    """What the silver sensor does: a materialisation that belongs to no run."""
    key = asset_key(tables.STRAVA_ACTIVITIES)
    instance.report_runless_asset_event(dg.AssetMaterialization(key, partition=day, metadata={"note": note}))


def state(instance: dg.DagsterInstance) -> dict[str, Any]:
    """What the UI, the schedules and the sensors read of how things stand."""
    from dagster._core.storage.partition_status_cache import get_and_update_asset_status_cache_value

    storage = instance.event_log_storage
    cache = get_and_update_asset_status_cache_value(instance, KEY, DAYS)
    assert cache is not None
    silver = asset_key(tables.STRAVA_ACTIVITIES)
    latest = instance.get_latest_materialization_event(KEY)
    reported = instance.get_latest_materialization_event(silver)
    check = storage.get_latest_asset_check_execution_by_key([dg.AssetCheckKey(KEY, "good")])
    return {
        "materialised": {key: sorted(instance.get_materialized_partitions(key)) for key in (KEY, silver)},
        "materialised in the UI": cache.serialized_materialized_partition_subset,
        "failed in the UI": cache.serialized_failed_partition_subset,
        "newest event of each day": dict(
            storage.get_latest_storage_id_by_partition(KEY, dg.DagsterEventType.ASSET_MATERIALIZATION)
        ),
        "versions": dict(
            storage.get_latest_tags_by_partition(
                KEY, dg.DagsterEventType.ASSET_MATERIALIZATION, ["dagster/data_version"]
            )
        ),
        "failed": dict(storage.get_latest_asset_partition_materialization_attempts_without_materializations(KEY)),
        "latest": latest and latest.timestamp,
        "reported": reported and reported.asset_materialization and dict(reported.asset_materialization.metadata),
        "check": {str(key): (record.status, record.run_id) for key, record in check.items()},
        "keys": sorted(key.to_user_string() for key in storage.all_asset_keys()),
    }


def files(settings: Settings) -> Size:
    return Size.of(settings.home / "dagster")


def test_old_runs_go_and_how_things_stand_stays(settings: Settings, instance: dg.DagsterInstance) -> None:
    first = run(instance, "2024-01-01", "2024-02-09")
    for number in range(2, 5):
        run(instance, "2024-01-05", "2024-01-05", data_version=str(number))
    failed = run(instance, "2024-01-20", "2024-01-21", fail=True)
    assert not failed.success
    for note in ("first", "second"):
        report(instance, "2024-01-05", note)
    before = state(instance)
    assert len(before["materialised"][KEY]) == 40
    assert sorted(before["failed"]) == ["2024-01-20", "2024-01-21"]
    assert before["versions"]["2024-01-05"] == {"dagster/data_version": "4"}
    size = files(settings)

    removed = remove_old_runs(instance, datetime.now(timezone.utc) + timedelta(seconds=5))

    assert removed.runs == 4  # the failed one says why two days count as failed
    assert {record.dagster_run.run_id for record in instance.get_run_records()} == {failed.run_id}
    assert not any((settings.home / "dagster/history/runs").glob(f"{first.run_id}*"))
    assert not (settings.home / "dagster/storage" / first.run_id).exists()
    instance.event_log_storage.wipe_asset_cached_status(KEY)  # so that the UI counts anew, from what is left
    assert state(instance) == before
    # 40 plans, a materialisation and four others of the first run; six, six, and five of the next three, of which the
    # last materialisation stays; and the first report
    assert removed.events == 45 + 6 + 6 + 5 + 1
    # of the first run and two more; the third's result is the newest
    assert removed.check_results == 3
    assert files(settings).files < size.files
    assert remove_old_runs(instance, datetime.now(timezone.utc) + timedelta(seconds=5)).events == 0


def test_a_run_after_it_gets_ids_of_its_own_and_is_followed(settings: Settings, instance: dg.DagsterInstance) -> None:
    (sensor,) = follow_sensors(settings)

    def tick(cursor: str | None) -> tuple[Any, str]:
        context = dg.build_sensor_context(instance=instance, cursor=cursor)
        return sensor(context), str(context.cursor)

    run(instance, "2024-01-01", "2024-01-20")
    _, cursor = tick(tick(None)[1])
    storage = instance.event_log_storage
    newest = storage.get_maximum_record_id()
    remove_old_runs(instance, datetime.now(timezone.utc) + timedelta(seconds=5))
    skipped, after = tick(cursor)
    assert (skipped.skip_message, after) == ("nothing new to follow", cursor)
    run(instance, "2024-01-02", "2024-01-02")
    assert storage.get_maximum_record_id() > (newest or 0)  # an id twice would be older than a sensor's cursor
    asked, _ = tick(cursor)
    assert {key for request in asked.run_requests for key in request.asset_selection} >= {asset_key(tables.WEEKLY)}


def test_runs_that_are_young_or_under_way_stay(instance: dg.DagsterInstance) -> None:
    run(instance, "2024-01-01", "2024-01-03")
    instance.create_run_for_job(definitions.build(Settings()).resolve_job_def("maintenance"))
    assert remove_old_runs(instance, datetime.now(timezone.utc) - timedelta(days=1)).runs == 0
    assert remove_old_runs(instance, datetime.now(timezone.utc) + timedelta(seconds=5)).runs == 1
    assert len(instance.get_runs()) == 1


def test_the_job_reports_sizes_and_runs_every_week(settings: Settings, instance: dg.DagsterInstance) -> None:
    store = LocalStore(settings)
    for number in range(6):
        write(store, day_of(number))
    store.create(tables.IMPORTS)
    built = definitions.build(settings)
    result = built.resolve_job_def(MAINTENANCE_JOB).execute_in_process(instance=instance, raise_on_error=False)
    assert result.success
    sizes = {
        record.data["what"]: record.data
        for event in result.all_events
        if event.is_successful_output and "sizes" in event.step_output_data.metadata
        for record in event.step_output_data.metadata["sizes"].records
    }
    # six days and seven commits; then three days in a file, three still by themselves, and the log
    assert sizes["feature_store.athlete_daily_features"]["files before"] == 6 + 7
    assert sizes["feature_store.athlete_daily_features"]["files after"] == 1 + 3 + 3
    assert {"Dagster", "temporary folders", "silver.imports"} <= set(sizes)
    schedule = built.resolve_schedule_def("every_week_maintenance")
    assert (schedule.cron_schedule, schedule.default_status) == ("30 3 * * 0", dg.DefaultScheduleStatus.RUNNING)


# ------------------------------------------------------------------------------------------------ models, temporary


@pytest.mark.slow
def test_versions_stay_that_serve_served_before_or_are_new(tmp_path: Path) -> None:
    import mlflow

    settings = Settings(home=tmp_path, keep_model_versions=3)
    mlflow.set_tracking_uri(settings.mlflow_tracking_uri)
    client = registry.client(settings)
    experiment = client.create_experiment(settings.mlflow_experiment, (tmp_path / "mlflow_artifacts").as_uri())
    client.create_registered_model(NAME)
    runs = []
    for _ in range(8):
        made = client.create_run(experiment)
        client.log_text(made.info.run_id, "weights", "model/weights.txt")
        client.create_model_version(NAME, f"{made.info.artifact_uri}/model", made.info.run_id)
        client.set_terminated(made.info.run_id)
        runs.append(made.info.run_id)
    unused = client.create_run(experiment)
    client.set_registered_model_alias(NAME, registry.CHAMPION, "3")
    client.set_model_version_tag(NAME, "3", PREVIOUS, "1")

    removed = remove_old_versions([NAME], datetime.now(timezone.utc) - timedelta(days=1), settings)

    assert set(removed.versions) == {f"{NAME}/{number}" for number in (2, 4, 5)}
    left = {str(version.version) for version in client.search_model_versions(f"name = '{NAME}'")}
    assert left == {"1", "3", "6", "7", "8"}
    artifacts = {path.name for path in (tmp_path / "mlflow_artifacts").iterdir() if any(path.rglob("weights.txt"))}
    assert artifacts == {runs[int(number) - 1] for number in left}
    assert unused.info.run_id in {run.info.run_id for run in client.search_runs([experiment])}
    later = remove_old_versions([NAME], datetime.now(timezone.utc) + timedelta(days=1), settings)
    assert (later.versions, later.runs) == ((), 1)
    assert {run.info.run_id for run in client.search_runs([experiment])} == {runs[int(number) - 1] for number in left}


def test_only_old_folders_of_ours_are_swept(tmp_path: Path) -> None:
    old, fresh, other = tmp_path / "athlete_spark_old", tmp_path / "athlete_spark_new", tmp_path / "else_old"
    for folder in (old, fresh, other):
        folder.mkdir()
        (folder / "server.log").write_text("x" * 10)
    for folder in (old, other):
        os.utime(folder, (0, 0))
    assert sweep_temporary_folders(tmp_path, older_than_h=24) == Size(1, 10)
    assert (old.exists(), fresh.exists(), other.exists()) == (False, True, True)
