"""Landing writes what is new or changed, once, and nothing else; what it writes every engine reads right."""

from __future__ import annotations

import tempfile
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta, timezone
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from pyspark.sql import SparkSession

from athlete_assets import tables
from athlete_assets.errors import ContractError, InputError
from athlete_assets.settings import Settings
from athlete_assets.silver.imports import read_runs
from athlete_assets.silver.landing import LandingReport, delete, held, land
from athlete_assets.store.arrow import arrow_schema
from athlete_assets.store.local import LocalStore
from athlete_assets.tables import Table
from athlete_assets_tests.conftest import shared_file

ACTIVITIES, SPLITS, ATHLETES = tables.STRAVA_ACTIVITIES, tables.STRAVA_SUB_ACTIVITY, tables.STRAVA_ATHLETE
MONDAY = datetime(2024, 5, 6, 7, 30)


@dataclass(frozen=True)
class Rows:
    activities: pa.Table = field(default_factory=arrow_schema(ACTIVITIES).empty_table)
    splits: pa.Table = field(default_factory=arrow_schema(SPLITS).empty_table)
    athletes: pa.Table = field(default_factory=arrow_schema(ATHLETES).empty_table)


def run(id: int | None = 1, athlete: str | None = "ada", day: int = 0, **changes: object) -> dict[str, object]:
    start = MONDAY + timedelta(days=day)
    return {
        "athlete_id": athlete,
        "id": id,
        "start_date": start.replace(tzinfo=timezone.utc),
        "start_date_local": start,
        "sport_type": "Run",
        "distance": 10000.0,
        "moving_time": 3000.0,
        "elapsed_time": 3100.0,
        "source": "file",
        **changes,
    }


def runs(*rows: dict[str, object], hour: int = 0) -> Rows:
    """The rows as an import of that hour."""
    moment = datetime(2025, 1, 1, hour, tzinfo=timezone.utc)
    stamped = [{**row, "silver_ingestion_timestamp": moment} for row in rows]
    return Rows(pa.Table.from_pylist(stamped, arrow_schema(ACTIVITIES)))


def split(n: int, **changes: object) -> dict[str, object]:
    return {"athlete_id": "ada", "activity_id": 1, "split_id": n, "distance": 1000.0, "moving_time": 300.0, **changes}


def stored(store: LocalStore, table: Table = ACTIVITIES) -> list[dict[str, object]]:
    return store.delta(table).to_pyarrow_table().to_pylist()


def contents(rows: list[dict[str, object]]) -> Counter[str]:
    return Counter(
        repr([(name, row[name]) for name in ACTIVITIES.column_names if name != "silver_ingestion_timestamp"])
        for row in rows
    )


def hours(store: LocalStore) -> dict[object, int]:
    """Which import each activity's row is of."""
    return {row["id"]: row["silver_ingestion_timestamp"].hour for row in stored(store)}  # type: ignore[attr-defined]


# ------------------------------------------------------------------------------------------------------------ merge


def test_the_first_landing_writes_every_row_in_one_commit(store: LocalStore) -> None:
    report = land(store, runs(run(1), run(2, day=3)))
    assert (report.read, report.new, report.changed, report.unchanged) == (2, 2, 0, 0)
    assert (report.first_day, report.last_day) == (date(2024, 5, 6), date(2024, 5, 9))
    assert store.version(ACTIVITIES) == 1  # 0 created the table
    assert contents(stored(store)) == contents(runs(run(1), run(2, day=3)).activities.to_pylist())


def test_landing_the_same_again_commits_nothing(store: LocalStore) -> None:
    land(store, replace(runs(run(1), run(2)), splits=splits(split(1))))
    versions = [store.version(table) for table in tables.SILVER]
    report = land(store, replace(runs(run(2), run(1), hour=5), splits=splits(split(1))))
    assert (report.read, report.new, report.changed, report.unchanged) == (2, 0, 0, 2)
    assert report.splits_written == 0
    assert [store.version(table) for table in tables.SILVER] == versions
    assert hours(store) == {1: 0, 2: 0}


def test_only_new_and_changed_rows_are_written(store: LocalStore) -> None:
    land(store, runs(run(1), run(2), run(3)))
    report = land(store, runs(run(1), run(2, distance=9999.0), run(3, average_heartrate=150.0), run(4), hour=5))
    assert (report.read, report.new, report.changed, report.unchanged) == (4, 1, 2, 1)
    assert hours(store) == {1: 0, 2: 5, 3: 5, 4: 5}
    assert store.version(ACTIVITIES) == 2
    assert {row["id"]: row["distance"] for row in stored(store)}[2] == 9999.0


def test_what_an_import_does_not_hold_stays(store: LocalStore) -> None:
    land(store, runs(run(1), run(1, "bob")))
    land(store, runs(run(1, distance=1.0)))
    assert sorted((row["athlete_id"], row["distance"]) for row in stored(store)) == [("ada", 1.0), ("bob", 10000.0)]


def test_a_value_that_becomes_null_is_a_change(store: LocalStore) -> None:
    land(store, runs(run(1, average_heartrate=150.0)))
    assert land(store, runs(run(1))).changed == 1
    assert stored(store)[0]["average_heartrate"] is None
    assert land(store, runs(run(1))).unchanged == 1


def test_rows_without_a_full_key_are_neither_lost_nor_doubled(store: LocalStore) -> None:
    keyless = [run(None), run(None), run(None, distance=5.0), run(7, None), run(None, None, start_date=None)]
    for hour in range(2):
        report = land(store, runs(*keyless, hour=hour))
        assert report.new == (5, 0)[hour]
        assert contents(stored(store)) == contents(runs(*keyless).activities.to_pylist())
    report = land(store, runs(*keyless, run(None)))  # a third equal one
    assert (report.new, report.unchanged) == (1, 5)
    land(store, runs(run(None), run(1, distance=2.0), run(7, None)))  # beside a changed one
    assert len(stored(store)) == 7


def test_a_key_with_two_contents_is_refused_before_anything_is_written(store: LocalStore) -> None:
    with pytest.raises(ContractError, match=r"silver\.strava_activities: .*\{'athlete_id': 'ada', 'id': 1\} twice"):
        land(store, runs(run(1), run(1, distance=1.0)))
    assert not store.exists(ACTIVITIES)
    report = land(store, runs(run(1), run(1)))
    assert (report.read, report.new, report.unchanged) == (2, 1, 1)


def test_rows_outside_the_contract_are_refused_before_anything_is_written(store: LocalStore) -> None:
    bad = runs(run(1)).activities.drop_columns(["distance"])
    with pytest.raises(ContractError, match="column distance is missing"):
        land(store, replace(runs(), activities=bad, splits=splits(split(1))))
    assert not any(store.exists(table) for table in tables.SILVER)


def splits(*rows: dict[str, object]) -> pa.Table:
    return pa.Table.from_pylist(list(rows), arrow_schema(SPLITS))


def test_splits_and_statements_are_merged_by_their_own_keys(store: LocalStore) -> None:
    athlete = pa.Table.from_pylist([{"athlete_id": "ada", "max_hr_bpm": 190.0}], arrow_schema(ATHLETES))
    land(store, replace(runs(run(1)), splits=splits(split(1), split(2)), athletes=athlete))
    better = pa.Table.from_pylist([{"athlete_id": "ada", "max_hr_bpm": 192.0}], arrow_schema(ATHLETES))
    report = land(store, Rows(splits=splits(split(2, moving_time=299.0), split(3)), athletes=better))
    assert (report.read, report.splits_written, report.athletes_written) == (0, 2, 1)
    assert {row["split_id"]: row["moving_time"] for row in stored(store, SPLITS)} == {1: 300.0, 2: 299.0, 3: 300.0}
    assert [row["max_hr_bpm"] for row in stored(store, ATHLETES)] == [192.0]


def test_a_batch_of_new_athletes_opens_no_file_of_the_others(store: LocalStore) -> None:
    for batch in range(3):
        land(store, runs(*(run(n, f"athlete_{batch}{n}") for n in range(3))))
    for path in store.path(ACTIVITIES).glob("*.parquet"):
        path.rename(path.with_suffix(".away"))
    report = land(store, runs(*(run(n, f"athlete_9{n}") for n in range(3))))
    assert report.new == 3


def test_landings_at_the_same_time_land_each_row_once(store: LocalStore) -> None:
    rows = runs(*(run(n) for n in range(50)))
    with ThreadPoolExecutor(4) as pool:
        reports = list(pool.map(lambda _: land(LocalStore(store.settings), rows), range(4)))
    assert sorted(report.new for report in reports) == [0, 0, 0, 50]
    assert len(stored(store)) == 50


def identity(row: dict[str, object]) -> object:
    """What tells a row apart: its key, or everything where a part of the key is null."""
    return (row["athlete_id"], row["id"]) if row["athlete_id"] and row["id"] else row


ROWS = st.lists(
    st.builds(
        run,
        id=st.sampled_from([None, 1, 2, 3]),
        athlete=st.sampled_from(["ada", "o'hara", None]),
        distance=st.sampled_from([1000.0, None]),
    ),
    max_size=6,
    unique_by=lambda row: repr(identity(row)),
)


@given(st.lists(ROWS, min_size=1, max_size=4))
@examples(max_examples=25, deadline=None)
def test_the_last_content_of_each_key_stands_whatever_came_before(batches: list[list[dict[str, object]]]) -> None:
    expected: dict[str, dict[str, object]] = {}
    with tempfile.TemporaryDirectory() as home:
        store = LocalStore(Settings(home=Path(home)))
        for batch in batches:
            report = land(store, runs(*batch))
            assert report.read == report.new + report.changed + report.unchanged == len(batch)
            expected.update({repr(identity(row)): row for row in batch})
            assert contents(stored(store)) == contents(runs(*expected.values()).activities.to_pylist())


def test_reports_of_batches_add_up() -> None:
    one = LandingReport(3, 1, 1, 1, 5, 1, date(2024, 1, 1), date(2024, 2, 1), date(2024, 1, 1))
    two = LandingReport(2, 2, 0, 0, 0, 1, date(2023, 1, 1), date(2023, 2, 1))
    assert one + two == LandingReport(5, 3, 1, 1, 5, 2, date(2023, 1, 1), date(2024, 2, 1), date(2024, 1, 1))
    assert LandingReport() + one == one


# --------------------------------------------------------------------------------------------------------- engines


def test_every_engine_reads_the_tables_right_after_each_kind_of_commit(spark: SparkSession, store: LocalStore) -> None:
    """Sail cannot write tables with a change data feed; what delta-rs writes it must read without the feed's rows."""

    def expected() -> list[tuple[object, ...]]:
        names = ("athlete_id", "id", "distance")
        return sorted((tuple(row[name] for name in names) for row in stored(store)), key=repr)

    def rows() -> list[tuple[object, ...]]:
        frame = spark.read.format("delta").load(str(store.path(ACTIVITIES)))
        return sorted(
            (tuple(row.values()) for row in frame.select("athlete_id", "id", "distance").toArrow().to_pylist()),
            key=repr,
        )

    land(store, runs(run(1), run(2), run(None), run(1, "bob")))
    assert rows() == expected() == [("ada", 1, 1e4), ("ada", 2, 1e4), ("ada", None, 1e4), ("bob", 1, 1e4)]
    land(store, runs(run(2, distance=5.0), run(3), run(None)))
    found = rows()
    assert found == expected()
    assert len(found) == 5
    delete(store, "ada", [1, 2])
    assert rows() == expected() == [("ada", 3, 1e4), ("ada", None, 1e4), ("bob", 1, 1e4)]


def test_the_change_feed_tells_what_a_landing_changed(store: LocalStore) -> None:
    land(store, runs(run(1), run(2)))
    land(store, runs(run(1), run(2, distance=5.0), run(3)))
    version = store.version(ACTIVITIES)
    assert version is not None
    changes = pa.table(store.delta(ACTIVITIES).load_cdf(starting_version=version).read_all()).to_pylist()
    told = sorted((row["id"], row["_change_type"]) for row in changes)
    assert told == [(2, "update_postimage"), (2, "update_preimage"), (3, "insert")]


# -------------------------------------------------------------------------------------------------------- deletion


def test_chosen_activities_are_deleted_with_their_splits(store: LocalStore) -> None:
    land(store, replace(runs(run(1), run(2), run(1, "bob")), splits=splits(split(1), split(1, activity_id=2))))
    assert delete(store, "ada", [1, 99]) == 1
    assert sorted((row["athlete_id"], row["id"]) for row in stored(store)) == [("ada", 2), ("bob", 1)]
    assert [row["activity_id"] for row in stored(store, SPLITS)] == [2]
    versions = [store.version(table) for table in tables.SILVER]
    assert delete(store, "ada", [1]) == delete(store, "o'hara", [1]) == delete(store, "ada", []) == 0
    assert [store.version(table) for table in tables.SILVER] == versions


# -------------------------------------------------------------------------------------------------------- calendar


def remembered(settings: Settings) -> Settings:
    """The settings as the next process reads them."""
    return Settings.load({"ATHLETE_HOME": str(settings.home)})


def test_the_home_remembers_the_monday_of_the_first_activity_and_its_zone(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, time_zone="Europe/Berlin")
    report = land(LocalStore(settings), runs(run(1, day=2), run(2, day=9)))
    assert report.start_date == date(2024, 5, 6)  # the run is of Wednesday the 8th
    settings = remembered(settings)
    assert (settings.start_date, settings.time_zone) == (date(2024, 5, 6), "Europe/Berlin")
    assert land(LocalStore(settings), runs(run(3, day=20))).start_date is None
    assert remembered(settings).start_date == date(2024, 5, 6)
    assert land(LocalStore(settings), runs(run(4, day=-1))).start_date == date(2024, 4, 29)
    assert remembered(settings).start_date == date(2024, 4, 29)


def test_dates_outside_the_calendar_do_not_move_its_beginning(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    odd = [datetime(1970, 1, 1), datetime(1999, 12, 31), datetime(2099, 1, 1), None]
    report = land(LocalStore(settings), runs(*(run(n, start_date_local=day) for n, day in enumerate(odd))))
    assert (report.new, report.first_day, report.start_date) == (4, None, None)
    report = land(LocalStore(settings), runs(run(9, start_date_local=datetime(2000, 1, 1, 8))))
    assert report.start_date == date(2000, 1, 3)  # no partition begins before 2000
    assert remembered(settings).start_date == date(2000, 1, 3)


def test_a_start_date_that_was_set_stays(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, start_date=date(2024, 5, 13), time_zone="Europe/Berlin")
    report = land(LocalStore(settings), runs(run(1), run(2, day=9)))
    assert (report.new, report.start_date) == (2, None)
    assert "START_DATE" not in (tmp_path / "settings.env").read_text()


def test_a_start_date_after_all_activities_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    store = LocalStore(Settings(home=tmp_path / "home", start_date=date(2024, 6, 3)))
    with pytest.raises(InputError, match=r"ATHLETE_START_DATE=2024-06-03: lies after .* 2024-05-08; .* 2024-05-06"):
        land(store, runs(run(1), run(2, day=2)))
    assert not (tmp_path / "home").exists()


# -------------------------------------------------------------------------------------------------------- real files


def test_the_shared_files_land_once(store: LocalStore) -> None:
    export = read_runs(shared_file("data/strava_export_94_columns.csv"), store.settings)
    cohort = read_runs(shared_file("data/real_runs.parquet"), store.settings)
    assert (land(store, export).new, land(store, cohort).new) == (610, 22265)
    version = store.version(ACTIVITIES)
    again = land(store, read_runs(shared_file("data/real_runs.parquet"), store.settings))
    assert (again.unchanged, again.new, again.changed) == (22265, 0, 0)
    assert land(store, export).unchanged == 610
    assert store.version(ACTIVITIES) == version
    assert len(stored(store)) == 22875


# ------------------------------------------------------------------------------------------------------- recordings

RECORDING, EFFORT = tables.STRAVA_RECORDING, tables.STRAVA_BEST_EFFORT


@dataclass(frozen=True)
class RecordedRows(Rows):
    recordings: pa.Table = field(default_factory=arrow_schema(RECORDING).empty_table)
    best_efforts: pa.Table = field(default_factory=arrow_schema(EFFORT).empty_table)


def recorded_run(digest: str, kinds: tuple[str, ...] = ("1k",), beats: float = 60.0, hour: int = 0) -> RecordedRows:
    """A run of the athlete's with its recording, two splits, and these best efforts."""
    key: dict[str, object] = {"athlete_id": "ada", "activity_id": 1}
    moment = datetime(2025, 1, 1, hour, tzinfo=timezone.utc)
    seconds = [0.0] * 201
    seconds[120] = beats
    recording = {**key, "digest": digest, "seconds_by_bpm": seconds, "silver_ingestion_timestamp": moment}
    efforts = [{**key, "kind": kind, "distance": 1000.0, "elapsed_time": 240.0} for kind in kinds]
    return RecordedRows(
        runs(run(1), hour=hour).activities,
        splits(split(1), split(2)),
        recordings=pa.Table.from_pylist([recording], arrow_schema(RECORDING)),
        best_efforts=pa.Table.from_pylist(efforts, arrow_schema(EFFORT)),
    )


def test_recordings_land_once_with_what_was_made_of_them(store: LocalStore) -> None:
    assert land(store, recorded_run("x")).recordings_written == 1
    versions = {table: store.version(table) for table in tables.SILVER}
    assert land(store, recorded_run("x", hour=3)).recordings_written == 0
    assert {table: store.version(table) for table in tables.SILVER} == versions
    assert land(store, recorded_run("x", beats=61.0, hour=4)).recordings_written == 1
    (row,) = stored(store, RECORDING)
    assert row["seconds_by_bpm"][120] == 61.0  # type: ignore[index]
    assert held(store).digests == {("ada", 1): "x"}


def test_another_recording_of_an_activity_takes_the_place_of_the_first(store: LocalStore) -> None:
    land(store, recorded_run("x", kinds=("1k", "3k")))
    land(store, replace(recorded_run("y"), splits=splits(split(1))))
    assert [row["kind"] for row in stored(store, EFFORT)] == ["1k"]
    assert [row["split_id"] for row in stored(store, SPLITS)] == [1]
    assert [row["digest"] for row in stored(store, RECORDING)] == ["y"]


def test_without_recordings_their_tables_do_not_come_into_being(store: LocalStore) -> None:
    land(store, runs(run(1)))
    assert not any(store.exists(table) for table in tables.OPTIONAL)
    assert held(store).digests == {}


def test_a_deleted_activity_takes_its_recording_along(store: LocalStore) -> None:
    land(store, recorded_run("x"))
    assert delete(store, "ada", [1]) == 1
    assert [stored(store, table) for table in tables.OF_ACTIVITIES] == [[], [], []]
