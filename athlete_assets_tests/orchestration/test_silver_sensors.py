"""The sensors on silver, tick by tick, over real Delta tables and a real Dagster instance."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime, timedelta, timezone
from typing import Any

import dagster as dg
import pytest
from deltalake import write_deltalake

from athlete_assets import definitions, tables
from athlete_assets.assets.builder import SILVER, asset_key
from athlete_assets.assets.freshness import FRESHNESS_JOB
from athlete_assets.assets.models import TIME_ESTIMATOR
from athlete_assets.assets.silver import silver_assets
from athlete_assets.assets.silver_content import GROWING, content_checks
from athlete_assets.days import Days, midnight
from athlete_assets.errors import StoreError
from athlete_assets.orchestration.run_requests import _few
from athlete_assets.orchestration.run_tags import RANGE_END, RANGE_START
from athlete_assets.settings import Settings
from athlete_assets.silver import landing, plan
from athlete_assets.silver.changes import Silver
from athlete_assets.silver.local_changes import LocalSilver
from athlete_assets.silver.warehouse_changes import WarehouseSilver
from athlete_assets.store.local import LocalStore
from athlete_assets_tests.rows import rows
from athlete_assets_tests.silver.conftest import Reader
from athlete_assets_tests.silver.test_changes import land, run

TODAY = date(2024, 6, 30)
BEFORE = (run("a", 1, "2024-05-01"), run("a", 2, "2024-05-02"), run("b", 3, "2021-01-04"))
DAILY = {"activity_features", "strava_activities", "athlete_monthly_features", "athlete_daily_features"}
STATES = {"athlete_rolling_features", "athlete_performance_features"}


class Ticks:
    """One sensor, asked again and again with the cursor that it left."""

    def __init__(self, name: str, settings: Settings, instance: dg.DagsterInstance) -> None:
        self.definitions = definitions.build(settings)
        self.sensor = self.definitions.get_sensor_def(name)
        self.instance = instance
        self.cursor: str | None = None
        self.reason: str | None = None
        self.silver: Silver | None = None
        """In place of the deployment's own."""

    def tick(self) -> list[dg.RunRequest]:
        resources = {SILVER: self.silver or self.definitions.resources[SILVER]}
        with dg.build_sensor_context(
            instance=self.instance,
            cursor=self.cursor,
            definitions=self.definitions,
            sensor_name=self.sensor.name,
            resources=resources if self.sensor.required_resource_keys else {},
        ) as context:
            result = self.sensor(context)
            self.cursor = context.cursor
        self.reason = result.skip_message if isinstance(result, dg.SkipReason) else None
        return list(result.run_requests or []) if isinstance(result, dg.SensorResult) else []


@pytest.fixture
def store(settings: Settings) -> LocalStore:
    store = LocalStore(settings.model_copy(update={"start_date": date(2020, 1, 6), "as_of": TODAY}))
    land(store, *BEFORE)
    known = [
        {"athlete_id": row["athlete_id"], "activity_id": row["id"], "activity_date": midnight(row["start_date"].date())}
        for row in BEFORE
    ]
    store.replace_arrow(tables.ACTIVITY, rows(tables.ACTIVITY, *known))
    return store


@pytest.fixture
def changes(store: LocalStore) -> Iterator[Ticks]:
    with ticking(store, LocalSilver) as ticks:
        yield ticks


@pytest.fixture
def read_changes(store: LocalStore, reader: Reader) -> Iterator[Ticks]:
    """The sensor with each reader in turn."""
    with ticking(store, reader) as ticks:
        yield ticks


@contextmanager
def ticking(store: LocalStore, reader: Reader) -> Iterator[Ticks]:
    with dg.instance_for_test() as instance:
        ticks = Ticks("silver_changes", store.settings, instance)
        ticks.silver = reader(store)
        assert ticks.tick() == []  # the baseline
        yield ticks


def asked(requests: list[dg.RunRequest]) -> list[tuple[str, str, set[str]]]:
    return [
        (request.tags[RANGE_START], request.tags[RANGE_END], {key.path[-1] for key in request.asset_selection or ()})
        for request in requests
    ]


def test_nothing_new_asks_for_nothing(changes: Ticks, store: LocalStore) -> None:
    assert changes.tick() == []
    store.delta(tables.STRAVA_ACTIVITIES).create_checkpoint()
    assert changes.tick() == []


def test_a_run_of_today_asks_for_one_run_of_today_with_its_states_and_summary(
    changes: Ticks, store: LocalStore
) -> None:
    land(store, run("a", 4, str(TODAY)))
    wanted = DAILY | STATES | {table.name for table in tables.SUMMARIES}
    assert asked(changes.tick()) == [(str(TODAY), str(TODAY), wanted)]
    assert changes.tick() == []


def test_once_there_is_a_model_the_run_of_today_makes_predictions_too(changes: Ticks, store: LocalStore) -> None:
    changes.instance.report_runless_asset_event(dg.AssetMaterialization(TIME_ESTIMATOR))
    land(store, run("a", 4, str(TODAY)))
    ((_, _, selected),) = asked(changes.tick())
    assert {"athlete_predictions", "inference_log", "athlete_metrics_summary"} <= selected


def test_a_changed_plan_asks_for_what_is_projected_from_it(changes: Ticks, store: LocalStore) -> None:
    row = {"athlete_id": "a", "plan_date": midnight(TODAY + timedelta(days=3)), "load_tss": 50.0}
    plan.write_plan(store, "a", rows(tables.ATHLETE_PLAN, row))
    (request,) = changes.tick()
    assert set(request.asset_selection or ()) == {asset_key(table) for table in tables.SUMMARIES}
    assert RANGE_START not in request.tags
    assert changes.tick() == []
    plan.write_plan(store, "a", rows(tables.ATHLETE_PLAN, {**row, "load_tss": 60.0}))
    (again,) = changes.tick()
    assert again.run_key != request.run_key


def test_late_rows_ask_for_their_reach_and_leave_the_states_to_what_follows(changes: Ticks, store: LocalStore) -> None:
    land(store, run("b", 5, "2021-03-04"), run("a", 6, "2024-06-20"))
    reach = date(2021, 3, 4) + timedelta(days=367)
    assert asked(changes.tick()) == [("2021-03-04", str(reach), DAILY), ("2024-06-20", str(TODAY), DAILY)]


def test_the_touched_silver_partitions_are_reported_with_version_counts_and_ingestion(
    read_changes: Ticks, store: LocalStore
) -> None:
    land(store, run("b", 5, "2021-03-04"), run("b", 6, "2021-03-04"))
    landing.delete(store, "a", [1])
    read_changes.tick()
    key = asset_key(tables.STRAVA_ACTIVITIES)
    assert read_changes.instance.get_materialized_partitions(key) == {"2021-03-04", "2024-05-01"}
    records = read_changes.instance.fetch_materializations(dg.AssetRecordsFilter(key, ["2021-03-04"]), limit=5).records
    metadata = {name: value.value for name, value in records[0].asset_materialization.metadata.items()}
    assert metadata["delta_version"] == store.version(tables.STRAVA_ACTIVITIES)
    assert (metadata["rows_new"], metadata["rows_gone"]) == (2, 0)
    assert metadata["newest_ingestion"] == midnight(date(2024, 5, 15)).timestamp()


def verdict(ticks: Ticks, table: tables.Table = tables.STRAVA_ACTIVITIES) -> tuple[bool, str, float] | None:
    """The newest evaluation of content_is_fresh: whether it passed, its severity, the days since the newest row."""
    key = dg.AssetCheckKey(asset_key(table), "content_is_fresh")
    records = ticks.instance.event_log_storage.get_asset_check_execution_history(key, limit=1)
    found = records[0].evaluation if records else None
    return found and (found.passed, found.severity.value, found.metadata["days_since_ingestion"].value)


@pytest.mark.parametrize(
    ("ingested", "said"),
    [
        ("2024-06-28T12:00", (True, "WARN", 2.5)),
        ("2024-06-27T12:00", (False, "WARN", 3.5)),
        ("2024-06-24T12:00", (False, "ERROR", 6.5)),
    ],
)
def test_a_change_that_brings_old_rows_does_not_make_silver_fresh(
    changes: Ticks, store: LocalStore, ingested: str, said: tuple[bool, str, float]
) -> None:
    """As of the end of June 30: a warning after 3 days, an error after 6. The daily job finds the same by itself."""
    at = datetime.fromisoformat(ingested).replace(tzinfo=timezone.utc)
    assert verdict(changes) is None
    land(store, {**run("a", 4, "2024-06-20"), "silver_ingestion_timestamp": at})
    changes.tick()
    assert verdict(changes) == said
    assert verdict(changes, tables.STRAVA_SUB_ACTIVITY) is None

    job = changes.definitions.resolve_job_def(FRESHNESS_JOB)
    selection = [dg.AssetCheckKey(asset_key(table), "content_is_fresh") for table in GROWING]
    result = job.get_subset(asset_check_selection=set(selection)).execute_in_process(instance=changes.instance)
    by_table = {found.asset_key.path[-1]: found for found in result.get_asset_check_evaluations()}
    own = by_table["strava_activities"]
    assert (own.passed, own.severity.value, own.metadata["days_since_ingestion"].value) == said
    assert by_table["strava_sub_activity"].passed
    assert "Not judged" in (by_table["strava_sub_activity"].description or "")


def _no_client() -> Any:
    raise AssertionError("the warehouse is woken")


def test_on_databricks_the_content_is_as_old_as_was_reported(settings: Settings) -> None:
    away = settings.model_copy(update={"deployment": "databricks", "as_of": TODAY})
    with dg.instance_for_test() as instance:
        moment = dg.MetadataValue.timestamp(datetime(2024, 6, 20, tzinfo=timezone.utc))
        instance.report_runless_asset_event(
            dg.AssetMaterialization(
                asset_key(tables.STRAVA_ACTIVITIES), partition="2024-06-20", metadata={"newest_ingestion": moment}
            )
        )
        deletion = dg.AssetMaterialization(asset_key(tables.STRAVA_ACTIVITIES), partition="2024-06-21")
        instance.report_runless_asset_event(deletion)
        instance.report_runless_asset_event(dg.AssetMaterialization(asset_key(tables.STRAVA_SUB_ACTIVITY)))
        asleep = WarehouseSilver(away, _no_client, seconds=0)
        built = dg.Definitions(silver_assets(away), asset_checks=[content_checks(away)], resources={SILVER: asleep})
        result = built.resolve_implicit_global_asset_job_def().execute_in_process(instance=instance)
        old, new = sorted(result.get_asset_check_evaluations(), key=lambda found: found.asset_key)
    assert (old.passed, old.severity.value, old.metadata["days_since_ingestion"].value) == (False, "ERROR", 11.0)
    assert new.passed  # without a stated time, that of the report counts


def test_a_tick_that_is_repeated_asks_with_the_same_run_key(changes: Ticks, store: LocalStore) -> None:
    land(store, run("a", 4, str(TODAY)))
    cursor = changes.cursor
    first = changes.tick()
    changes.cursor = cursor
    assert [request.run_key for request in changes.tick()] == [request.run_key for request in first]
    land(store, run("a", 5, str(TODAY)))
    assert changes.tick()[0].run_key != first[0].run_key


def test_a_read_that_fails_leaves_the_cursor_and_says_why(read_changes: Ticks, store: LocalStore) -> None:
    cursor = read_changes.cursor
    land(store, run("a", 4, str(TODAY)))
    path = store.path(tables.STRAVA_ACTIVITIES)
    away = path.with_name("away")
    away.mkdir()
    data = [file for file in path.rglob("*.parquet") if "_delta_log" not in file.parts]
    for file in data:
        shutil.move(file, away / file.name)
    with pytest.raises(StoreError, match=r"strava_activities.*cannot be read"):
        read_changes.tick()
    assert read_changes.cursor == cursor
    for file in data:
        shutil.move(away / file.name, file)
    assert [request[:2] for request in asked(read_changes.tick())] == [(str(TODAY), str(TODAY))]


def test_many_windows_become_few_by_closing_the_smallest_gaps() -> None:
    windows = [Days(TODAY + timedelta(days=n * n), TODAY + timedelta(days=n * n)) for n in range(12)]
    few = _few(windows)
    assert len(few) == 8
    assert all(any(window.first in kept for kept in few) for window in windows)
    assert few[0] == Days(TODAY, TODAY + timedelta(days=16))


# ------------------------------------------------------------------------------------------------ reported by others


@pytest.fixture
def reports(store: LocalStore) -> Iterator[Ticks]:
    with dg.instance_for_test() as instance:
        ticks = Ticks("silver_reports", store.settings, instance)
        assert ticks.tick() == []
        yield ticks


def reported(ticks: Ticks, *days: str, table: tables.Table = tables.STRAVA_ACTIVITIES, **metadata: Any) -> None:
    for day in days:
        ticks.instance.report_runless_asset_event(
            dg.AssetMaterialization(asset_key(table), partition=day, metadata=metadata)
        )


def test_every_report_between_two_ticks_is_seen_and_not_the_newest_alone(reports: Ticks) -> None:
    reported(reports, "2024-06-20", "2024-06-03", "2024-06-29")
    reported(reports, "2024-06-10", table=tables.STRAVA_SUB_ACTIVITY)
    assert asked(reports.tick()) == [("2024-06-03", str(TODAY), DAILY | STATES)]
    assert reports.tick() == []
    reported(reports, "2024-06-25")
    assert asked(reports.tick()) == [("2024-06-25", str(TODAY), DAILY | STATES)]


def test_what_the_other_sensor_reported_is_not_asked_for_twice(reports: Ticks) -> None:
    reported(reports, "2024-06-20", reported_by="silver_changes")
    assert reports.tick() == []


def test_the_table_may_be_written_between_baseline_and_first_change_without_a_feed(store: LocalStore) -> None:
    """A table without change feed is followed, too, from the difference of its versions."""
    path = store.path(tables.STRAVA_ACTIVITIES)
    shutil.rmtree(path)
    write_deltalake(str(path), rows(tables.STRAVA_ACTIVITIES, *BEFORE))
    with dg.instance_for_test() as instance:
        ticks = Ticks("silver_changes", store.settings, instance)
        assert ticks.tick() == []
        write_deltalake(str(path), rows(tables.STRAVA_ACTIVITIES, run("a", 9, "2024-06-20")), mode="append")
        assert asked(ticks.tick()) == [("2024-06-20", str(TODAY), DAILY | STATES)]
