"""Damaged files are seen by every reader, never taken for an empty table, and mended without losing anything else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from athlete_assets import tables
from athlete_assets.errors import DamageError, LastingStoreError, StoreError
from athlete_assets.silver import landing
from athlete_assets.silver.local_changes import LocalSilver
from athlete_assets.store.delta_folder import committed
from athlete_assets.store.delta_log import log_state
from athlete_assets.store.embedded import EmbeddedFeatureStore
from athlete_assets.store.local import LocalStore
from athlete_assets.store.repair import damage_of, mend
from athlete_assets_tests.silver.test_landing import run, runs
from athlete_assets_tests.store.rows import daily, span

JANUARY, FEBRUARY, MARCH = (span(f"2024-0{n}-01", f"2024-0{n}-28") for n in (1, 2, 3))

BROKEN = {"empty": b"", "torn": b'{"commitInfo":{"timestamp":1', "zeros": b"\x00" * 512, "no action": b"\n"}


def three_months(store: LocalStore) -> Path:
    """One month a commit (version 0 made the table); the folder of its log."""
    for month in (JANUARY, FEBRUARY, MARCH):
        store.replace_arrow(tables.DAILY, daily("a", month), month)
    return store.path(tables.DAILY) / "_delta_log"


def commit(log: Path, version: int) -> Path:
    return log / f"{version:020d}.json"


READS: dict[str, Callable[[LocalStore], object]] = {
    "engine": lambda store: store.read(tables.DAILY),
    "window": lambda store: store.read(tables.DAILY, JANUARY),
    "without an engine": lambda store: store.rows(tables.DAILY),
    "statement": lambda store: store.folder(tables.DAILY).query("SELECT 1 FROM t"),
    "version": lambda store: store.version(tables.DAILY),
    "feature store": lambda store: EmbeddedFeatureStore(store).read_table(
        name="uc_athlete_data.feature_store.athlete_daily_features"
    ),
    "replace": lambda store: store.replace_arrow(tables.DAILY, daily("a", JANUARY), JANUARY),
}


@pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN)
@pytest.mark.parametrize("read", READS.values(), ids=READS)
def test_a_broken_newest_commit_is_refused_by_every_reader(
    sail: SparkSession, store: LocalStore, read: Callable[[LocalStore], object], content: bytes
) -> None:
    newest = commit(three_months(store), 3)
    newest.write_bytes(content)
    with pytest.raises(DamageError) as refusal:
        read(store)
    assert str(newest) in str(refusal.value)
    assert "the last good version is 2" in str(refusal.value)
    assert "`athlete-assets repair`" in str(refusal.value)
    assert newest.read_bytes() == content, "nothing is written"


def test_an_empty_commit_in_the_middle_is_refused_too(store: LocalStore) -> None:
    log = three_months(store)
    commit(log, 2).write_bytes(b"")
    with pytest.raises(DamageError, match="the last good version is 1"):
        store.rows(tables.DAILY)


def test_a_torn_commit_in_the_middle_is_named_when_the_table_does_not_open(store: LocalStore) -> None:
    log = three_months(store)
    commit(log, 2).write_bytes(BROKEN["torn"])
    with pytest.raises(DamageError, match=r"00002\.json is empty or broken; the last good version is 1"):
        store.rows(tables.DAILY)


def test_commits_before_a_checkpoint_are_not_looked_at(store: LocalStore) -> None:
    log = three_months(store)
    store.delta(tables.DAILY).create_checkpoint()
    commit(log, 2).write_bytes(b"")
    assert log_state(store.path(tables.DAILY)).checkpoint == 3
    assert store.rows(tables.DAILY).num_rows == 84


def test_the_sensors_reader_refuses_a_broken_silver(store: LocalStore) -> None:
    landing.land(store, runs(run(1)))
    log = store.path(tables.STRAVA_ACTIVITIES) / "_delta_log"
    commit(log, 1).write_bytes(b"")
    with pytest.raises(DamageError, match=r"silver\.strava_activities"):
        LocalSilver(store).positions()
    with pytest.raises(DamageError, match=r"silver\.strava_activities"):
        landing.land(store, runs(run(2)))


# --------------------------------------------------------------------------------------------------------------- mend


def months(store: LocalStore) -> dict[str, int]:
    found = store.rows(tables.DAILY)["month"].to_pylist()
    return {month: found.count(month) for month in sorted(set(found))}


@pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN)
def test_a_broken_newest_commit_makes_room_for_one_that_changes_nothing(
    engine_store: LocalStore, content: bytes
) -> None:
    store = engine_store
    newest = commit(three_months(store), 3)
    newest.write_bytes(content)
    found = mend(store.folder(tables.DAILY))
    assert (found.log_files, found.last_good) == ((newest,), 2)
    assert months(store) == {"2024-01": 28, "2024-02": 28}
    assert store.version(tables.DAILY) == 3, "its number stays taken"
    assert [file.read_bytes() for file in (store.path(tables.DAILY) / "_damaged").iterdir()] == [content]
    assert not damage_of(store.folder(tables.DAILY))
    assert store.read(tables.DAILY).count() == 56
    store.replace_arrow(tables.DAILY, daily("a", MARCH), MARCH)
    assert store.version(tables.DAILY) == 4
    assert store.read(tables.DAILY).count() == 84


def test_an_empty_commit_in_the_middle_loses_its_own_rows_alone(store: LocalStore) -> None:
    commit(three_months(store), 2).write_bytes(b"")
    mend(store.folder(tables.DAILY))
    assert months(store) == {"2024-01": 28, "2024-03": 28}


@pytest.mark.parametrize("how", ["missing", "cut", "empty"])
def test_a_lost_data_file_is_dropped_from_the_log_and_its_month_is_told(store: LocalStore, how: str) -> None:
    three_months(store)
    (file,) = (store.path(tables.DAILY) / "month=2024-02").glob("*.parquet")
    content = file.read_bytes()
    file.unlink()
    if how != "missing":
        file.write_bytes(content[: len(content) // 2] if how == "cut" else b"")
    with pytest.raises(LastingStoreError):
        store.replace_arrow(tables.DAILY, daily("a", [FEBRUARY.first]), span("2024-02-01", "2024-02-02"))
    found = mend(store.folder(tables.DAILY))
    assert (found.data_files, found.months) == ((f"month=2024-02/{file.name}",), ("2024-02",))
    assert months(store) == {"2024-01": 28, "2024-03": 28}
    assert not damage_of(store.folder(tables.DAILY))
    assert store.replace_arrow(tables.DAILY, daily("a", FEBRUARY), FEBRUARY).rows == 28
    assert months(store) == {"2024-01": 28, "2024-02": 28, "2024-03": 28}


def test_a_table_without_any_readable_version_is_moved_away(store: LocalStore) -> None:
    store.create(tables.DAILY)
    commit(store.path(tables.DAILY) / "_delta_log", 0).write_bytes(b"")
    with pytest.raises(DamageError, match="the last good version is none"):
        store.rows(tables.DAILY)
    assert mend(store.folder(tables.DAILY)).last_good is None
    assert not store.exists(tables.DAILY)
    assert store.path(tables.DAILY).with_name("athlete_daily_features_damaged_1").is_dir()
    three_months(store)
    assert len(months(store)) == 3


@pytest.mark.parametrize("left", [b"", None], ids=["empty", "missing"])
def test_a_broken_checkpoint_makes_room_for_the_commits_before_it(engine_store: LocalStore, left: bytes | None) -> None:
    store = engine_store
    log = three_months(store)
    store.delta(tables.DAILY).create_checkpoint()
    (checkpoint,) = log.glob("*.checkpoint.parquet")
    checkpoint.unlink()
    if left is not None:
        checkpoint.write_bytes(left)
    with pytest.raises(DamageError, match=r"checkpoint.* is empty or broken; the last good version is 3"):
        store.read(tables.DAILY)
    mend(store.folder(tables.DAILY))
    assert months(store) == {"2024-01": 28, "2024-02": 28, "2024-03": 28}
    assert store.read(tables.DAILY).count() == 84


def test_a_whole_table_has_no_damage(store: LocalStore) -> None:
    assert not damage_of(store.folder(tables.DAILY)), "nor has one that does not exist"
    three_months(store)
    store.delta(tables.DAILY).create_checkpoint()
    version = store.version(tables.DAILY)
    assert not mend(store.folder(tables.DAILY))
    assert store.version(tables.DAILY) == version


# ---------------------------------------------------------------------------------------------------- kinds of failure


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("Generic LocalFileSystem error: No space left on device (os error 28)", LastingStoreError),
        ("Read-only file system (os error 30)", LastingStoreError),
        ("Permission denied (os error 13)", LastingStoreError),
        ("Object at location /x/month=1/part-0.snappy.parquet not found: No such file", DamageError),
        ("connection reset by peer", StoreError),
    ],
)
def test_a_failure_that_stays_is_of_another_kind_than_one_that_may_pass(said: str, kind: type[Exception]) -> None:
    def write() -> None:
        raise OSError(said)

    with pytest.raises(kind) as failure:
        committed(write, "gold.t")
    assert type(failure.value) is kind
    assert not isinstance(failure.value, StoreError) or kind is StoreError


def test_a_folder_without_the_right_to_write_is_not_worth_a_retry(store: LocalStore) -> None:
    three_months(store)
    log = store.path(tables.DAILY) / "_delta_log"
    log.rename(log.with_name("away"))
    log.write_text("in the way")
    with pytest.raises(LastingStoreError, match="free the disk or give the right"):
        store.replace_arrow(tables.DAILY, daily("a", JANUARY), JANUARY)
