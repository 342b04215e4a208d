"""Reading and replacing windows of the embedded deployment's tables, alone and against other processes."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import time
from datetime import date, datetime, timedelta, timezone
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from pyspark.errors import AnalysisException
from pyspark.sql import SparkSession

from athlete_assets import tables
from athlete_assets.days import Days, midnight
from athlete_assets.errors import ContractError, LastingStoreError, SettingsError
from athlete_assets.settings import Settings
from athlete_assets.store.arrow import arrow_schema
from athlete_assets.store.base import contract_digest
from athlete_assets.store.delta_folder import DeltaFolder, committed
from athlete_assets.store.local import LocalStore
from athlete_assets_tests.store.rows import daily, rejects, span

JANUARY_TO_MARCH = span("2024-01-01", "2024-03-31")


def found(store: LocalStore, table: tables.Table = tables.DAILY) -> pa.Table:
    """The table's rows as delta-rs reads them, so that no engine stands between the test and the files."""
    return store.delta(table).to_pyarrow_table()


def distances(store: LocalStore) -> dict[date, float]:
    rows = found(store).to_pylist()
    assert len({row["activity_date"] for row in rows}) == len(rows)
    return {row["activity_date"].date(): row["distance_km"] for row in rows}


# ------------------------------------------------------------------------------------------------ replacing windows


def test_replacing_a_window_leaves_every_day_outside_it(store: LocalStore) -> None:
    store.replace_arrow(tables.DAILY, daily("a", JANUARY_TO_MARCH), JANUARY_TO_MARCH)
    window = span("2024-01-20", "2024-02-10")
    kept = [day for day in window if day.day % 2]

    written = store.replace_arrow(tables.DAILY, daily("a", kept, distance_km=3.0), window)

    assert written.rows == len(kept)
    assert written.version == store.version(tables.DAILY)
    assert distances(store) == {
        **{day: 10.0 for day in JANUARY_TO_MARCH if not window.first <= day <= window.last},
        **dict.fromkeys(kept, 3.0),
    }


def test_zero_rows_empty_the_window(store: LocalStore) -> None:
    store.replace_arrow(tables.DAILY, daily("a", JANUARY_TO_MARCH), JANUARY_TO_MARCH)
    store.replace_arrow(tables.DAILY, daily("a", []), span("2024-02-01", "2024-02-29"))
    assert {day.month for day in distances(store)} == {1, 3}


def test_replacing_without_days_replaces_the_whole_table(store: LocalStore) -> None:
    store.replace_arrow(tables.DAILY, daily("a", JANUARY_TO_MARCH))
    store.replace_arrow(tables.DAILY, daily("b", [date(2024, 5, 5)]))
    assert found(store)["athlete_id"].to_pylist() == ["b"]


@examples(max_examples=15, deadline=None)
@given(
    windows=st.lists(
        st.tuples(st.integers(0, 80), st.integers(0, 40), st.lists(st.integers(0, 40), unique=True)), max_size=5
    )
)
def test_a_table_is_what_its_windows_last_held(tmp_path_factory: pytest.TempPathFactory, windows: list) -> None:
    store = LocalStore(Settings(home=tmp_path_factory.mktemp("home")))
    expected: dict[date, float] = {}
    for number, (start, length, offsets) in enumerate(windows):
        first = date(2024, 1, 1) + timedelta(days=start)
        window = Days(first, first + timedelta(days=length))
        rows = [first + timedelta(days=offset) for offset in offsets if offset <= length]
        store.replace_arrow(tables.DAILY, daily("a", rows, distance_km=float(number)), window)
        expected = {day: km for day, km in expected.items() if not window.first <= day <= window.last}
        expected |= dict.fromkeys(rows, float(number))
    assert (distances(store) if windows else {}) == expected


def test_rejects_outside_the_calendar_are_rewritten_with_every_window(store: LocalStore) -> None:
    january, february = span("2024-01-01", "2024-01-31"), span("2024-02-01", "2024-02-29")
    store.replace_arrow(tables.REJECTS, rejects([(1, date(2024, 1, 5), "speed"), (2, None, "no_date")]), january)
    store.replace_arrow(tables.REJECTS, rejects([(3, date(2024, 2, 5), "speed"), (2, None, "no_date")]), february)
    assert sorted(found(store, tables.REJECTS)["id"].to_pylist()) == [1, 2, 3]
    store.replace_arrow(tables.REJECTS, rejects([]), february)
    assert found(store, tables.REJECTS)["id"].to_pylist() == [1]


# ---------------------------------------------------------------------------------------------- refused before a write


def refused(store: LocalStore, rows: pa.Table, days: Days | None, message: str) -> None:
    """The rows are refused with the message, and the table is untouched."""
    before = store.version(tables.DAILY)
    with pytest.raises(ContractError, match=message):
        store.replace_arrow(tables.DAILY, rows, days)
    assert store.version(tables.DAILY) == before


@pytest.fixture
def filled(store: LocalStore) -> LocalStore:
    store.replace_arrow(tables.DAILY, daily("a", JANUARY_TO_MARCH), JANUARY_TO_MARCH)
    return store


def test_rows_outside_the_window_are_refused(filled: LocalStore) -> None:
    rows = daily("a", [date(2024, 2, 1), date(2024, 3, 1)])
    refused(filled, rows, span("2024-02-01", "2024-02-29"), "athlete_daily_features: 1 row lies outside the window")


def test_a_row_in_the_wrong_month_is_refused(filled: LocalStore) -> None:
    """It would lie in a partition where no later read or replacement of its day looks."""
    rows = daily("a", [date(2024, 2, 1)])
    misplaced = rows.set_column(rows.column_names.index("month"), "month", pa.array(["2024-01"]))
    refused(filled, misplaced.cast(arrow_schema(tables.DAILY)), JANUARY_TO_MARCH, "1 row lies outside")
    refused(filled, misplaced.cast(arrow_schema(tables.DAILY)), None, "1 row lies outside")


def test_repeated_keys_are_refused(filled: LocalStore) -> None:
    twice = pa.concat_tables([daily("a", [date(2024, 2, 1)])] * 2)
    refused(filled, twice, JANUARY_TO_MARCH, r"1 row repeats the key \(athlete_id, activity_date\)")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rows: rows.drop_columns(["daily_tss"]), "athlete_daily_features: column daily_tss is missing"),
        (lambda rows: rows.append_column("mood", pa.array(["good"])), "unknown column mood"),
        (
            lambda rows: rows.set_column(3, "distance_km", pa.array(["10 km"])),
            "column distance_km is string, the contract says double",
        ),
        (
            lambda rows: rows.set_column(3, "distance_km", pa.array([None], pa.float64())),
            "column distance_km has 1 nulls, the contract forbids them",
        ),
        (
            lambda rows: rows.set_column(1, "activity_date", pa.array([datetime(2024, 2, 1)], pa.timestamp("us"))),
            "column activity_date is timestamp",
        ),
    ],
)
def test_rows_that_do_not_fit_the_contract_are_refused(filled: LocalStore, change, message: str) -> None:
    refused(filled, change(daily("a", [date(2024, 2, 1)])), JANUARY_TO_MARCH, message)


def test_lossless_types_are_widened(store: LocalStore) -> None:
    rows = daily("a", [date(2024, 2, 1)])
    narrow = rows.set_column(2, "activities", pa.array([2], pa.int32())).set_column(
        0, "athlete_id", pa.array(["a"], pa.large_string())
    )
    store.replace_arrow(tables.DAILY, narrow)
    assert found(store).select(["athlete_id", "activities"]).to_pylist() == [{"athlete_id": "a", "activities": 2}]


def test_a_window_of_a_table_without_days_is_a_programming_error(store: LocalStore) -> None:
    rows = arrow_schema(tables.METRICS_SUMMARY).empty_table()
    with pytest.raises(ValueError, match="athlete_metrics_summary has no windows"):
        store.replace_arrow(tables.METRICS_SUMMARY, rows, JANUARY_TO_MARCH)
    assert not store.exists(tables.METRICS_SUMMARY)


def test_refusals_by_the_writer_do_not_print_rows() -> None:
    """delta-rs previews the refused rows in its message: an athlete's rows do not belong in a log."""

    def write() -> None:
        raise OSError("Invalid data found: 1 rows failed validation check.\nPreview of invalid data:\n| athlete-7 |")

    with pytest.raises(ContractError) as refusal:
        committed(write, "gold.t")
    assert "athlete-7" not in str(refusal.value)


# ------------------------------------------------------------------------------------------------------- the contract


def test_a_table_carries_its_contract(store: LocalStore) -> None:
    store.create(tables.DAILY)
    metadata = store.delta(tables.DAILY).metadata()
    assert metadata.description == tables.DAILY.comment
    assert metadata.partition_columns == ["month"]
    assert metadata.configuration == {
        "athlete_assets.contract": contract_digest(tables.DAILY),
        "feature_store.primary_keys": "athlete_id,activity_date",
        "feature_store.timestamp_key": "activity_date",
    }
    fields = {field.name: field for field in store.delta(tables.DAILY).schema().fields}
    assert fields["distance_km"].metadata["comment"] == "Distance of all activities. Unit: km."
    assert not fields["athlete_id"].nullable
    store.replace_arrow(tables.DAILY, daily("a", JANUARY_TO_MARCH))
    after = {field.name: field for field in store.delta(tables.DAILY).schema().fields}
    assert after["distance_km"].metadata == fields["distance_km"].metadata, "a write must not lose the comments"


@pytest.mark.parametrize("table", tables.ALL, ids=lambda table: table.name)
def test_every_contract_can_be_created_and_read_empty(store: LocalStore, sail: SparkSession, table) -> None:
    before = store.read(table)
    store.create(table)
    after = store.read(table)
    assert before.columns == after.columns == list(table.column_names)
    assert before.dtypes == after.dtypes == [(column.name, column.type) for column in table.columns]
    assert after.count() == before.count() == 0


# ------------------------------------------------------------------------------------------------------------ reading


def test_reading_a_window_gives_exactly_its_days(engine_store: LocalStore) -> None:
    engine_store.replace_arrow(tables.DAILY, daily("a", JANUARY_TO_MARCH), JANUARY_TO_MARCH)
    window = span("2024-01-31", "2024-02-02")
    days = engine_store.read(tables.DAILY, window).select("activity_date").toArrow().column(0).to_pylist()
    assert sorted(days) == [midnight(day) for day in window]


def test_reading_a_window_opens_only_its_months(sail: SparkSession, store: LocalStore) -> None:
    """A partition outside the window is not opened: its data file is gone, and the read does not notice."""
    store.replace_arrow(tables.DAILY, daily("a", JANUARY_TO_MARCH), JANUARY_TO_MARCH)
    for file in (store.path(tables.DAILY) / "month=2024-03").glob("*.parquet"):
        file.unlink()
    assert store.read(tables.DAILY, span("2024-01-05", "2024-02-03")).agg({"distance_km": "sum"}).first()[0] == 300.0


def silver(store: LocalStore, rows: pa.Table) -> None:
    write_deltalake(str(store.path(tables.STRAVA_ATHLETE)), rows)


def test_missing_optional_columns_are_null(engine_store: LocalStore) -> None:
    silver(engine_store, pa.table({"athlete_id": ["a"], "sex": ["F"], "shoe": ["red"]}))
    nothing = dict.fromkeys(tables.STRAVA_ATHLETE.column_names)
    found = engine_store.read(tables.STRAVA_ATHLETE).toArrow().to_pylist()
    assert found == [{**nothing, "athlete_id": "a", "sex": "F"}]


def test_a_missing_required_column_names_table_and_column(sail: SparkSession, store: LocalStore) -> None:
    silver(store, pa.table({"sex": ["F"]}))
    with pytest.raises(ContractError, match=r"silver\.strava_athlete: required column athlete_id is missing"):
        store.read(tables.STRAVA_ATHLETE)


def test_a_column_of_another_type_names_table_column_and_types(sail: SparkSession, store: LocalStore) -> None:
    silver(store, pa.table({"athlete_id": ["a"], "birth_year": ["1980"]}))
    with pytest.raises(ContractError, match=r"strava_athlete: column birth_year is string, the contract says int"):
        store.read(tables.STRAVA_ATHLETE)


def test_what_upstream_holds_in_another_shape_is_read_as_the_contract_says(engine_store: LocalStore) -> None:
    """A start_date that is a DATE, local times marked as UTC, whole-number ids and metres: one meaning, no loss."""
    moment = datetime(2024, 3, 9, 23, 30, tzinfo=timezone.utc)
    write_deltalake(
        str(engine_store.path(tables.STRAVA_ACTIVITIES)),
        pa.table(
            {
                "athlete_id": pa.array([7], pa.int64()),
                "id": pa.array([1], pa.int32()),
                "start_date": pa.array([date(2024, 3, 9)]),
                "start_date_local": pa.array([moment], pa.timestamp("us", "UTC")),
                "sport_type": ["Run"],
                "distance": pa.array([10_000], pa.int64()),
                "moving_time": pa.array([3000.5], pa.float32()),
                "elapsed_time": pa.array([3001], pa.int32()),
                "silver_ingestion_timestamp": pa.array([moment], pa.timestamp("us", "UTC")),
            }
        ),
    )
    read = engine_store.read(tables.STRAVA_ACTIVITIES).toArrow()
    assert read.schema.types == arrow_schema(tables.STRAVA_ACTIVITIES).types
    row = read.to_pylist()[0]
    assert row["athlete_id"] == "7"
    assert row["start_date"] == datetime(2024, 3, 9, tzinfo=timezone.utc)
    assert row["start_date_local"] == datetime(2024, 3, 9, 23, 30)
    assert (row["distance"], row["moving_time"], row["elapsed_time"]) == (10_000.0, 3000.5, 3001.0)


# ---------------------------------------------------------------------------------------------- several processes

SPAWN = multiprocessing.get_context("spawn")


def write_months(home: Path, writer: int, rounds: int, gate) -> None:
    """Replaces one month again and again, with its round as the distance."""
    store = LocalStore(Settings(home=home))
    window = span(f"2024-{writer:02d}-01", f"2024-{writer:02d}-28")
    gate.wait()
    for number in range(1, rounds + 1):
        store.replace_arrow(tables.DAILY, daily("a", window, distance_km=float(number)), window)


@pytest.mark.slow
def test_writers_in_several_processes_lose_nothing(settings: Settings, store: LocalStore) -> None:
    """Four processes write a table that none of them has seen before, and then go on writing beside each other."""
    writers, rounds = 4, 6
    gate = SPAWN.Barrier(writers)
    processes = [
        SPAWN.Process(target=write_months, args=(settings.home, writer, rounds, gate)) for writer in range(1, 5)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(timeout=120)
    assert [process.exitcode for process in processes] == [0] * writers
    assert distances(store) == {date(2024, month, day): float(rounds) for month in range(1, 5) for day in range(1, 29)}
    assert store.version(tables.DAILY) == writers * rounds, "one commit a replacement, after the one that created it"


WRITER_THAT_IS_KILLED = """
import sys
from datetime import date, timedelta
from pathlib import Path
from athlete_assets import tables
from athlete_assets.days import Days
from athlete_assets.settings import Settings
from athlete_assets.store.local import LocalStore
from athlete_assets_tests.store.rows import daily
store = LocalStore(Settings(home=Path(sys.argv[1])))
window = Days(date(2001, 1, 1), date(2020, 12, 31))
generation = 1.0
while True:
    generation += 1
    rows = daily("a", window, distance_km=generation)
    print(generation, flush=True)
    store.replace_arrow(tables.DAILY, rows, window)
"""


@pytest.mark.slow
def test_a_writer_that_is_killed_leaves_a_whole_version(settings: Settings, store: LocalStore) -> None:
    """kill -9 at three points of the write: all 7,305 days are of one and the same round, the last one committed."""
    window = span("2001-01-01", "2020-12-31")
    store.replace_arrow(tables.DAILY, daily("a", window), window)
    for delay in (0.0, 0.02, 0.06):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER_THAT_IS_KILLED, str(settings.home)],
            stdout=subprocess.PIPE,
            cwd=Path(__file__).parents[2],
        )
        assert writer.stdout is not None
        writer.stdout.readline()
        time.sleep(delay)
        os.kill(writer.pid, signal.SIGKILL)
        writer.wait()
        rows = found(store)
        assert rows.num_rows == len(window)
        assert len(rows["distance_km"].unique()) == 1
    assert store.replace_arrow(tables.DAILY, daily("a", window, distance_km=0.5), window).rows == len(window)
    assert found(store)["distance_km"].unique().to_pylist() == [0.5]


def test_a_store_that_cannot_be_written_says_so(store: LocalStore) -> None:
    store.create(tables.DAILY)
    log = store.path(tables.DAILY) / "_delta_log"
    log.rename(log.with_name("away"))
    log.write_text("in the way")
    with pytest.raises(LastingStoreError, match=r"athlete_daily_features: could not commit.*Not a directory"):
        store.replace_arrow(tables.DAILY, daily("a", [date(2024, 1, 1)]))
    log.unlink()
    log.with_name("away").rename(log)
    assert DeltaTable(str(store.path(tables.DAILY))).version() == 0


# ----------------------------------------------------------------------------------------------------- some athletes


def of_two(distance_km: float) -> pa.Table:
    return pa.concat_tables([daily("a", JANUARY_TO_MARCH, distance_km), daily("o'b\\x", JANUARY_TO_MARCH, distance_km)])


def test_a_store_among_some_athletes_reads_and_replaces_theirs_alone(store: LocalStore, spark: SparkSession) -> None:
    store = LocalStore(store.settings, lambda: spark)
    store.replace_arrow(tables.DAILY, of_two(10.0), JANUARY_TO_MARCH)
    window = span("2024-02-01", "2024-02-29")
    one = store.among(["o'b\\x"])

    written = one.replace(tables.DAILY, spark.createDataFrame(daily("o'b\\x", list(window)[:20], 3.0)), window)

    assert (written.rows, written.rows_before, written.rows_beside) == (20, 29, 29)
    assert one.count(tables.DAILY, window) == one.read(tables.DAILY, window).count() == 20
    assert one.findings(tables.DAILY, window).rows == 20
    assert store.read(tables.DAILY, window).where("athlete_id = 'a' AND distance_km = 10").count() == 29
    assert store.count(tables.DAILY) == 2 * 91 - 9
    assert store.athletes is None


def test_a_store_among_some_athletes_refuses_the_rows_of_others(store: LocalStore) -> None:
    store.replace_arrow(tables.DAILY, of_two(10.0), JANUARY_TO_MARCH)
    version = store.version(tables.DAILY)
    with pytest.raises(ContractError, match="91 rows are of others than the 1 athlete whose"):
        store.among(["a"]).replace_arrow(tables.DAILY, of_two(3.0), JANUARY_TO_MARCH)
    assert store.version(tables.DAILY) == version


def test_rejects_outside_the_calendar_stay_with_their_athletes(store: LocalStore) -> None:
    window = span("2024-01-01", "2024-01-31")
    store.replace_arrow(tables.REJECTS, rejects([(1, None, "missing_date")]), window)
    store.among(["b"]).replace_arrow(tables.REJECTS, rejects([]), window)
    assert found(store, tables.REJECTS).num_rows == 1
    store.among(["a"]).replace_arrow(tables.REJECTS, rejects([]), window)
    assert found(store, tables.REJECTS).num_rows == 0


# ------------------------------------------------------------------------------------- a handle that is kept open


def test_a_table_is_opened_once_while_nobody_writes_it(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store.replace_arrow(tables.DAILY, daily("a", JANUARY_TO_MARCH))
    folder, opened = store.folder(tables.DAILY), []
    real = DeltaFolder.open
    monkeypatch.setattr(DeltaFolder, "open", lambda self, version=None: opened.append(version) or real(self, version))
    for _ in range(3):
        assert (folder.count(), folder.rows().num_rows, folder.version()) == (91, 91, store.version(tables.DAILY))
    assert len(opened) <= 1


def test_what_somebody_else_wrote_is_seen_at_the_next_look(store: LocalStore) -> None:
    store.replace_arrow(tables.DAILY, daily("a", JANUARY_TO_MARCH))
    folder = store.folder(tables.DAILY)
    assert folder.count() == 91
    before = folder.version()
    DeltaTable(str(folder.path)).delete("activity_date >= '2024-03-01T00:00:00+00:00'")
    assert (folder.count(), folder.rows().num_rows, folder.version()) == (60, 60, before + 1)


def test_a_table_that_was_made_anew_is_not_taken_for_the_one_before(store: LocalStore) -> None:
    """Both have one version number, and commits of one size."""
    for athlete in "ab":
        shutil.rmtree(store.path(tables.DAILY), ignore_errors=True)
        store.replace_arrow(tables.DAILY, daily(athlete, JANUARY_TO_MARCH))
        assert store.version(tables.DAILY) == 1
        assert set(store.rows(tables.DAILY, ["athlete_id"])["athlete_id"].to_pylist()) == {athlete}
        assert store.count(tables.DAILY) == 91


# ------------------------------------------------------------------------------------------- where a home may lie


@pytest.mark.parametrize("folder", ["Läufe von Jörg", "a#b?c", "日本", "it's, 50% {of} it"])
def test_a_table_is_read_wherever_its_home_lies(folder: str, sail: SparkSession, tmp_path: Path) -> None:
    store = LocalStore(Settings(home=tmp_path / folder), lambda: sail)
    store.replace_arrow(tables.DAILY, of_two(10.0), JANUARY_TO_MARCH)
    assert store.read(tables.DAILY).count() == store.count(tables.DAILY) == 2 * 91


def test_sail_finds_no_table_below_a_folder_with_a_space(sail: SparkSession, tmp_path: Path) -> None:
    """If this fails, `session.engine_path` has done its work."""
    write_deltalake(str(tmp_path / "a b"), pa.table({"v": [1]}))
    with pytest.raises(AnalysisException, match="No commit files found"):
        sail.read.format("delta").load(str(tmp_path / "a b")).count()


@pytest.mark.parametrize("folder", ["a[b", "a]b", "a^b", "a|b", "a\\b", "a%20b"])
def test_a_home_that_delta_cannot_read_is_refused_by_name(folder: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"ATHLETE_HOME=.*in a folder whose path holds (.|%20); give one"):
        Settings.load({"ATHLETE_HOME": str(tmp_path / folder)})
