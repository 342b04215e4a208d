"""`silver_changes` on Databricks: how often it asks the warehouse, and what it says where it cannot."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from datetime import date, datetime, timezone
from pathlib import Path

import dagster as dg
import pyarrow as pa
import pytest
from deltalake import write_deltalake

from athlete_assets import tables
from athlete_assets.deployments.databricks.config import Credentials
from athlete_assets.errors import AccessError, SettingsError, StoreError
from athlete_assets.settings import Settings
from athlete_assets.silver.changes import Touched
from athlete_assets.silver.warehouse_changes import START_PATIENCE_S, Commit, WarehouseSilver
from athlete_assets.store.local import LocalStore
from athlete_assets_tests.fake_workspace.warehouse import Fate, Warehouses
from athlete_assets_tests.orchestration.test_silver_sensors import DAILY, STATES, TODAY, Ticks, asked
from athlete_assets_tests.rows import rows
from athlete_assets_tests.silver.conftest import WAREHOUSE
from athlete_assets_tests.silver.test_changes import days, land, run

pytestmark = [pytest.mark.java, pytest.mark.filterwarnings("ignore::UserWarning")]
TICK_S = 30
BEGIN = datetime(2024, 6, 30, 12, tzinfo=timezone.utc).timestamp()


class Clock:
    def __init__(self) -> None:
        self.seconds = BEGIN

    def __call__(self) -> float:
        return self.seconds


class Nights(Ticks):
    """The sensor as production has it, by a clock that each tick moves on."""

    def __init__(self, warehouses: Warehouses, settings: Settings, instance: dg.DagsterInstance) -> None:
        self.clock = warehouses.clock = Clock()
        credentials = Credentials(warehouses.workspace.url, {"databricks_token": "token"}, "token")
        client = credentials.client(patience_s=1)
        super().__init__("silver_changes", settings, instance)
        self.silver = WarehouseSilver(settings, lambda: client, seconds=600, now=self.clock)
        self.warehouses = warehouses

    def tick(self) -> list[dg.RunRequest]:
        self.clock.seconds += TICK_S
        return super().tick()

    def ticks(self, seconds: float) -> list[dg.RunRequest]:
        return [request for _ in range(int(seconds / TICK_S)) for request in self.tick()]

    @property
    def starts(self) -> int:
        return self.warehouses.by_id[WAREHOUSE].starts


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(
        home=tmp_path / "home",
        deployment="databricks",
        databricks_warehouse_id=WAREHOUSE,
        databricks_warehouse_look_every_s=900,
        start_date=date(2020, 1, 6),
        as_of=TODAY,
    )


@pytest.fixture
def store(settings: Settings) -> LocalStore:
    return LocalStore(settings)


@pytest.fixture
def nights(warehouses: Warehouses, store: LocalStore) -> Iterator[Nights]:
    write_deltalake(
        str(store.path(tables.STRAVA_ACTIVITIES)), rows(tables.STRAVA_ACTIVITIES, run("a", 1, "2024-05-01"))
    )
    with dg.instance_for_test() as instance:
        yield Nights(warehouses, store.settings, instance)


def append(store: LocalStore, *activities: dict[str, object]) -> None:
    path = str(store.path(tables.STRAVA_ACTIVITIES))
    write_deltalake(path, rows(tables.STRAVA_ACTIVITIES, *activities), mode="append")


def test_a_quiet_time_wakes_the_warehouse_once_in_each_interval_and_a_change_is_seen_by_its_end(
    nights: Nights, store: LocalStore
) -> None:
    assert nights.ticks(3 * 900) == []
    assert nights.starts == 3
    assert [text.split(" LIMIT")[0] for text in nights.warehouses.texts].count(
        "DESCRIBE HISTORY `uc_athlete_data`.`silver`.`strava_activities`"
    ) == 3
    assert len(nights.warehouses.statements) == 4, "three looks, and the baseline's newest ingestion"
    append(store, run("a", 2, "2024-06-20"))
    assert asked(nights.ticks(900)) == [("2024-06-20", str(TODAY), DAILY | STATES)]
    assert nights.starts == 4
    assert "the next look is due at" in str(nights.reason)


def test_a_restarted_orchestrator_keeps_the_interval_and_a_warehouse_that_others_use_is_asked_no_oftener(
    nights: Nights,
) -> None:
    nights.tick()
    nights.silver = type(nights.silver)(nights.silver.settings, nights.silver._client, seconds=60, now=nights.clock)
    asked_before = len(nights.warehouses.statements)
    nights.warehouses.by_id[WAREHOUSE].auto_stop_mins = 0
    nights.ticks(840)
    assert len(nights.warehouses.statements) == asked_before


def test_what_fails_leaves_the_cursor_says_why_and_is_not_tried_again_before_its_time(
    nights: Nights, store: LocalStore
) -> None:
    nights.tick()
    cursor = nights.cursor
    append(store, run("a", 2, "2024-06-20"))
    nights.clock.seconds += 900
    nights.warehouses.fates += [Fate(), Fate(error=("INTERNAL_ERROR", "the metastore is away"))]
    with pytest.raises(StoreError, match="the metastore is away"):
        nights.tick()
    assert nights.cursor == cursor
    asked_before = len(nights.warehouses.statements)
    assert nights.ticks(870) == []
    assert "the look failed (SQL warehouse w-1: the metastore is away" in str(nights.reason)
    assert (nights.cursor, len(nights.warehouses.statements)) == (cursor, asked_before)
    assert asked(nights.tick()) == [("2024-06-20", str(TODAY), DAILY | STATES)]


def test_maintenance_reads_no_rows(nights: Nights, store: LocalStore) -> None:
    append(store, run("a", 2, "2024-05-02"))
    nights.tick()
    delta = store.delta(tables.STRAVA_ACTIVITIES)
    delta.optimize.compact()
    assert delta.vacuum(retention_hours=0, enforce_retention_duration=False, dry_run=False)
    operations = [commit["operation"] for commit in store.delta(tables.STRAVA_ACTIVITIES).history(3)]
    assert operations == ["VACUUM END", "VACUUM START", "OPTIMIZE"]
    asked_before = len(nights.warehouses.statements)
    assert nights.ticks(900) == []
    new = nights.warehouses.texts[asked_before:]
    assert [text.split("`")[0].split("(")[0] for text in new] == ["DESCRIBE HISTORY ", "SELECT MAX"]
    seen = json.loads(str(nights.cursor))["positions"]["strava_activities"]["version"]
    assert seen == store.version(tables.STRAVA_ACTIVITIES)


@pytest.mark.parametrize(
    ("operation", "metrics", "certain"),
    [
        ("MERGE", {"numTargetRowsInserted": "0", "numTargetRowsUpdated": "0", "numTargetRowsDeleted": "0"}, True),
        ("MERGE", {"numTargetRowsInserted": "0", "numTargetRowsUpdated": "1", "numTargetRowsDeleted": "0"}, False),
        ("MERGE", {"numTargetRowsInserted": "0"}, False),
        ("DELETE", {}, False),
        ("WRITE", {"numOutputRows": "0"}, False),
        ("optimize", {}, True),
    ],
)
def test_only_a_commit_that_surely_changed_no_row_is_passed_over(
    operation: str, metrics: dict[str, str], certain: bool
) -> None:
    told: dict[str, str | None] = {"version": "7", "operation": operation, "operationMetrics": json.dumps(metrics)}
    assert Commit.of(told).changes_no_row is certain


def test_a_warehouse_that_starts_slowly_is_waited_for_and_one_that_does_not_start_is_a_failure(
    nights: Nights,
) -> None:
    nights.warehouses.by_id[WAREHOUSE].start_seconds = 100
    nights.silver.warehouse.seconds = 0.2
    nights.tick()
    assert nights.reason == "SQL warehouse w-1 is starting; the next tick looks again"
    nights.ticks(60)
    assert (nights.starts, nights.cursor) == (1, None)
    nights.silver.warehouse.seconds = 600
    nights.ticks(60)
    assert nights.cursor is not None
    nights.warehouses.by_id[WAREHOUSE].start_seconds = 10 * START_PATIENCE_S
    nights.silver.warehouse.seconds = 0.2
    nights.clock.seconds += 900
    with pytest.raises(StoreError, match="is starting for 10 min"):
        nights.ticks(START_PATIENCE_S + 2 * TICK_S)


def test_a_missing_right_names_the_table_and_what_to_grant(nights: Nights) -> None:
    workspace = nights.warehouses.workspace
    workspace.enforce_rights = True
    with pytest.raises(AccessError) as refused:
        nights.tick()
    for said in (
        "uc_athlete_data.silver.strava_activities",
        "User does not have USE CATALOG on Catalog 'uc_athlete_data'",
        "GRANT USE SCHEMA, SELECT ON SCHEMA uc_athlete_data.silver",
    ):
        assert said in str(refused.value)
    assert nights.starts == 0, "the catalog knew it"


def test_a_view_or_a_missing_column_is_told_with_what_to_do(nights: Nights, store: LocalStore) -> None:
    nights.warehouses.views.add("uc_athlete_data.silver.strava_activities")
    with pytest.raises(SettingsError, match=r"is a VIEW.*silver_reports on"):
        nights.tick()


def test_days_are_those_on_the_columns_own_clock_whatever_the_warehouses_time_zone(
    nights: Nights, store: LocalStore
) -> None:
    """Upstream may hold the local start as an instant whose UTC clock is the athlete's, and ingestion naive."""
    nights.warehouses.time_zone = "Asia/Tokyo"
    given = rows(tables.STRAVA_ACTIVITIES, run("a", 1, "2024-05-01"))
    local, ingested = (
        given.schema.get_field_index(name) for name in ("start_date_local", "silver_ingestion_timestamp")
    )
    upstream = pa.array([datetime(2024, 5, 1, 23, 30, tzinfo=timezone.utc)], pa.timestamp("us", "UTC"))
    given = given.set_column(local, "start_date_local", upstream)
    given = given.set_column(
        ingested, "silver_ingestion_timestamp", pa.array([datetime(2024, 5, 2, 8)], pa.timestamp("us"))
    )
    shutil.rmtree(store.path(tables.STRAVA_ACTIVITIES))
    write_deltalake(str(store.path(tables.STRAVA_ACTIVITIES)), given)
    touched: Touched = nights.silver.touched({}, nights.silver.positions())
    assert days(touched) == {"a": ["2024-05-01"]}
    assert nights.silver.newest_ingestion(tables.STRAVA_ACTIVITIES) == "2024-05-02T08:00:00+00:00"


def test_without_a_warehouse_one_sentence_says_what_to_set(settings: Settings) -> None:
    with dg.instance_for_test() as instance:
        ticks = Ticks("silver_changes", settings.model_copy(update={"databricks_warehouse_id": ""}), instance)
        assert ticks.tick() == []
        assert "set ATHLETE_DATABRICKS_WAREHOUSE_ID to a SQL warehouse" in str(ticks.reason)
        assert "silver_reports" in str(ticks.reason)


def test_the_deployments_own_resource_signs_in_from_the_environment(
    nights: Nights, store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABRICKS_HOST", nights.warehouses.workspace.url)
    monkeypatch.setenv("DATABRICKS_TOKEN", "token")
    land(store, splits=[{"athlete_id": "a", "activity_id": 1, "split_id": 1}])
    nights.warehouses.clock = lambda: 0.0
    ticks = Ticks("silver_changes", store.settings, nights.instance)
    assert ticks.tick() == []
    assert ticks.reason == "first look: changes from here on are followed"
    cursor = json.loads(str(ticks.cursor))
    assert set(cursor["positions"]) == {"strava_activities", "strava_sub_activity", "strava_athlete"}
    assert cursor["looked"] > 0
