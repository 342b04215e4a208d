"""Rows of an empty window, written a file a month and added in one commit: all of them once, or nothing."""

from __future__ import annotations

import errno
import random
import threading
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from athlete_assets import tables
from athlete_assets.errors import LastingStoreError
from athlete_assets.settings import Settings
from athlete_assets.store import delta_folder, month_files
from athlete_assets.store.delta_folder import DeltaFolder
from athlete_assets.store.local import LocalStore
from athlete_assets_tests import rows as made
from athlete_assets_tests.store.rows import daily, span

WINTER = span("2023-12-30", "2024-02-02")
ROWS = daily("a", WINTER)


def files(store: LocalStore) -> list[Path]:
    return sorted(store.path(tables.DAILY).rglob("*.parquet"))


def in_order(rows: pa.Table) -> pa.Table:
    return rows.sort_by([(key, "ascending") for key in tables.DAILY.keys]).combine_chunks()


@pytest.fixture
def empty(store: LocalStore) -> DeltaFolder:
    store.create(tables.DAILY)
    return store.folder(tables.DAILY)


def test_each_month_is_a_file_of_its_own(store: LocalStore, empty: DeltaFolder) -> None:
    assert empty.fill(ROWS, empty_in=0) == empty.version() == 1
    assert [file.parent.name for file in files(store)] == ["month=2023-12", "month=2024-01", "month=2024-02"]
    assert in_order(store.rows(tables.DAILY)).equals(ROWS.combine_chunks())
    assert empty.columns().types == {column.name: column.type for column in tables.DAILY.columns}


@given(
    keys=st.sets(st.tuples(st.sampled_from("abc"), st.dates(date(2023, 11, 1), date(2024, 3, 1))), min_size=1),
    batch=st.integers(1, 40),
    seed=st.randoms(use_true_random=False),
)
def test_rows_in_any_order_and_batches_are_stored_once(
    keys: set[tuple[str, date]], batch: int, seed: object, tmp_path_factory: pytest.TempPathFactory
) -> None:
    store = LocalStore(Settings(home=tmp_path_factory.mktemp("home")))
    store.create(tables.DAILY)
    shuffled = sorted(keys)
    seed.shuffle(shuffled)  # type: ignore[attr-defined]
    rows = pa.concat_tables([daily(athlete, [day], day.day) for athlete, day in shuffled]).combine_chunks()
    folder = store.folder(tables.DAILY)
    assert folder.fill(pa.Table.from_batches(rows.to_batches(max_chunksize=batch)), empty_in=0) == 1
    assert in_order(store.rows(tables.DAILY)).equals(in_order(rows))
    assert len(files(store)) == len({f"{day:%Y-%m}" for _, day in keys})


def test_a_late_run_of_one_has_one_file_of_a_month_written_anew(
    store: LocalStore, empty: DeltaFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(month_files, "ROWS_A_FILE", 70)
    january = span("2024-01-01", "2024-01-31")
    rows = pa.concat_tables([daily(f"athlete {number}", january, number) for number in range(9)])
    empty.fill(rows, empty_in=0)
    before = {file: pq.read_metadata(file).num_rows for file in files(store)}
    assert sorted(before.values()) == [31, 62, 62, 62, 62]
    assert in_order(store.rows(tables.DAILY)).equals(in_order(rows))

    one = store.among(["athlete 4"])
    assert one.replace_arrow(tables.DAILY, daily("athlete 4", january, 7.5), january).rows_beside == 8 * 31
    kept = {added["path"] for added in pa.table(empty.open().get_add_actions(flatten=True)).to_pylist()}
    assert len(kept & {str(file.relative_to(store.path(tables.DAILY))) for file in before}) == 4
    assert store.count(tables.DAILY, january) == 9 * 31


def test_a_window_that_is_replaced_lies_in_small_files_too(
    store: LocalStore, empty: DeltaFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delta_folder, "FILE_BYTES", 2_000)
    january = span("2024-01-01", "2024-01-31")
    numbers = iter(random.Random(1).random() for _ in range(31 * 300))
    rows = pa.concat_tables([daily(f"athlete {number:03}", january) for number in range(300)])
    at = rows.schema.get_field_index("distance_km")
    rows = rows.set_column(at, rows.schema.field(at), pa.array(list(numbers)))  # does not pack well
    for _ in range(2):
        store.replace_arrow(tables.DAILY, rows, january)
    before = set(empty.open().file_uris())
    assert len(before) > 3
    store.among(["athlete 004"]).replace_arrow(tables.DAILY, daily("athlete 004", january, 7.5), january)
    assert len(before & set(empty.open().file_uris())) == len(before) - 1
    assert store.count(tables.DAILY, january) == 300 * 31


def test_counts_lie_as_a_list_of_numbers_and_what_is_measured_does_not(store: LocalStore, empty: DeltaFolder) -> None:
    rows = pa.concat_tables([daily("a", WINTER), daily("b", WINTER)])
    counts = [None if day % 5 == 0 else day % 3 for day in range(rows.num_rows)]
    metres = [day / 7 for day in range(rows.num_rows)]
    for name, values in (("runs", [day % 3 for day in range(rows.num_rows)]), ("best_pace_min_km", counts)):
        at = rows.schema.get_field_index(name)
        rows = rows.set_column(at, rows.schema.field(at), pa.array(values, rows.schema.field(at).type))
    at = rows.schema.get_field_index("distance_km")
    rows = rows.set_column(at, rows.schema.field(at), pa.array(metres, pa.float64()))
    empty.fill(rows, empty_in=0)
    for file in files(store):
        group = pq.read_metadata(file).row_group(0)
        chunks = {chunk.path_in_schema: chunk for chunk in map(group.column, range(group.num_columns))}
        assert {"runs", "best_pace_min_km"} <= {name for name, chunk in chunks.items() if chunk.has_dictionary_page}
        assert not {"distance_km", "activity_date"} & {n for n, chunk in chunks.items() if chunk.has_dictionary_page}
    assert in_order(store.rows(tables.DAILY)).equals(in_order(rows))


def test_a_file_is_found_by_the_moments_in_it_to_the_microsecond(store: LocalStore) -> None:
    """The log knows milliseconds, so that its bounds lie around what the file holds."""
    moment = datetime(2024, 1, 5, 7, 30, 0, 123_456, UTC)
    store.create(tables.ACTIVITY)
    folder = store.folder(tables.ACTIVITY)
    row = {"athlete_id": "a", "activity_id": 1, "event_timestamp": moment, "activity_date": datetime(2024, 1, 5)}
    folder.fill(made.rows(tables.ACTIVITY, {**row, "month": "2024-01"}), empty_in=0)
    (added,) = pa.table(folder.open().get_add_actions(flatten=True)).to_pylist()
    assert added["min.event_timestamp"] == moment.replace(microsecond=123_000)
    assert added["max.event_timestamp"] == moment.replace(microsecond=124_000)
    assert (added["num_records"], added["null_count.activity_id"], added["min.athlete_id"]) == (1, 0, "a")

    def found(comparison: str, value: datetime) -> int:
        said = f"arrow_cast('{value:%Y-%m-%dT%H:%M:%S.%f}', 'Timestamp(Microsecond, Some(\"UTC\"))')"
        return folder.count(f"event_timestamp {comparison} {said}")

    tick = timedelta(microseconds=1)
    assert [found(">=", moment), found("<=", moment), found("=", moment)] == [1, 1, 1]
    assert [found(">", moment), found("<", moment), found(">=", moment + tick), found("<=", moment - tick)] == [0] * 4


def test_of_another_version_nothing_is_added(store: LocalStore, empty: DeltaFolder) -> None:
    empty.append(daily("b", WINTER))
    before = files(store)
    assert empty.fill(ROWS, empty_in=0) is None
    assert files(store) == before


def test_it_gives_way_to_whoever_commits_first(
    store: LocalStore, empty: DeltaFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, first = month_files.write, list[list[Path]]()

    def overtaken(rows: pa.Table, folder: Path) -> list[object]:
        empty.append(daily("a", WINTER, 7.0))
        first.append(files(store))
        return list(write(rows, folder))

    monkeypatch.setattr(month_files, "write", overtaken)
    assert empty.fill(ROWS, empty_in=0) is None
    assert files(store) == first[0]
    assert set(store.rows(tables.DAILY)["distance_km"].to_pylist()) == {7.0}


def test_of_two_who_found_a_window_empty_the_rows_stand_once(
    store: LocalStore, empty: DeltaFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    both, fill = threading.Barrier(2), DeltaFolder.fill

    def at_once(self: DeltaFolder, rows: pa.Table, empty_in: int) -> int | None:
        both.wait(60)
        return fill(self, rows, empty_in)

    monkeypatch.setattr(DeltaFolder, "fill", at_once)
    writers = [
        threading.Thread(target=store.replace_arrow, args=(tables.DAILY, daily("a", WINTER, metres), WINTER))
        for metres in (5.0, 6.0)
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    rows = store.rows(tables.DAILY)
    assert rows.num_rows == len(WINTER)
    assert len(set(rows["distance_km"].to_pylist())) == 1


def test_what_could_not_be_written_leaves_no_file(
    store: LocalStore, empty: DeltaFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = pq.write_table

    def full(rows: pa.Table, where: Path, **how: object) -> None:
        write(rows, where, **how)
        if "2024-02" in str(where):
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(pq, "write_table", full)
    with pytest.raises(LastingStoreError, match=r"daily_features: could not commit.*No space left.*free the disk"):
        empty.fill(ROWS, empty_in=0)
    assert files(store) == []
    assert empty.version() == 0
