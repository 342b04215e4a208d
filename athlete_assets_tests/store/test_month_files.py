"""Rows of a window, written a file a month and put in place of the old ones in one commit: all once, or nothing."""

from __future__ import annotations

import errno
import json
import random
import threading
from dataclasses import replace
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable, write_deltalake
from deltalake.exceptions import CommitFailedError, DeltaError
from deltalake.table import ProtocolVersions
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from athlete_assets import tables
from athlete_assets.days import Days, midnight
from athlete_assets.errors import LastingStoreError, StoreError
from athlete_assets.settings import Settings
from athlete_assets.store import delta_folder, month_files
from athlete_assets.store.athletes import Athletes, AthleteSpan, NamedAthletes
from athlete_assets.store.delta_folder import DeltaFolder, committed
from athlete_assets.store.local import LocalStore
from athlete_assets.store.month_files import Window
from athlete_assets_tests import rows as made
from athlete_assets_tests.store.rows import daily, rejects, span

WINTER = span("2023-12-30", "2024-02-02")
ROWS = daily("a", WINTER)


def files(store: LocalStore) -> list[Path]:
    return sorted(store.path(tables.DAILY).rglob("*.parquet"))


def in_order(rows: pa.Table) -> pa.Table:
    return rows.sort_by([(key, "ascending") for key in tables.DAILY.keys]).combine_chunks()


def window(days: Days) -> Window:
    """The rows of all athletes in the days."""
    return Window("activity_date", days, None)


@pytest.fixture
def empty(store: LocalStore) -> DeltaFolder:
    store.create(tables.DAILY)
    return store.folder(tables.DAILY)


def filled(folder: DeltaFolder, rows: pa.Table) -> int | None:
    """The rows as those of a window that is empty in version 0."""
    return folder.refill(rows, window(span("2023-01-01", "2024-12-31")), before=0, seen=0)


def test_each_month_is_a_file_of_its_own(store: LocalStore, empty: DeltaFolder) -> None:
    assert filled(empty, ROWS) == empty.version() == 1
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
    assert filled(folder, pa.Table.from_batches(rows.to_batches(max_chunksize=batch))) == 1
    assert in_order(store.rows(tables.DAILY)).equals(in_order(rows))
    assert len(files(store)) == len({f"{day:%Y-%m}" for _, day in keys})


def test_a_late_run_of_one_has_one_file_of_a_month_written_anew(
    store: LocalStore, empty: DeltaFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(month_files, "ROWS_A_FILE", 70)
    january = span("2024-01-01", "2024-01-31")
    rows = pa.concat_tables([daily(f"athlete {number}", january, number) for number in range(9)])
    filled(empty, rows)
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
    empty.overwrite(rows)  # as delta-rs does it: whatever is not by month, or lost a race
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
    filled(empty, rows)
    for file in files(store):
        group = pq.read_metadata(file).row_group(0)
        chunks = {chunk.path_in_schema: chunk for chunk in map(group.column, range(group.num_columns))}
        assert {"runs", "best_pace_min_km"} <= {name for name, chunk in chunks.items() if chunk.has_dictionary_page}
        assert not {"distance_km", "activity_date"} & {n for n, chunk in chunks.items() if chunk.has_dictionary_page}
    assert in_order(store.rows(tables.DAILY)).equals(in_order(rows))


def test_a_file_is_found_by_the_moments_in_it_to_the_microsecond(store: LocalStore) -> None:
    """The log knows milliseconds, so that its bounds lie around what the file holds."""
    moment = datetime(2024, 1, 5, 7, 30, 0, 123_456, timezone.utc)
    store.create(tables.ACTIVITY)
    folder = store.folder(tables.ACTIVITY)
    row = {"athlete_id": "a", "activity_id": 1, "event_timestamp": moment, "activity_date": datetime(2024, 1, 5)}
    filled(folder, made.rows(tables.ACTIVITY, {**row, "month": "2024-01"}))
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
    assert filled(empty, ROWS) is None
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
    assert filled(empty, ROWS) is None
    assert files(store) == first[0]
    assert set(store.rows(tables.DAILY)["distance_km"].to_pylist()) == {7.0}


def test_of_two_who_found_a_window_empty_the_rows_stand_once(
    store: LocalStore, empty: DeltaFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    both, fill = threading.Barrier(2), DeltaFolder.refill

    def at_once(self: DeltaFolder, *given: Any) -> int | None:
        both.wait(60)
        return fill(self, *given)

    monkeypatch.setattr(DeltaFolder, "refill", at_once)
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
        filled(empty, ROWS)
    assert files(store) == []
    assert empty.version() == 0


# --------------------------------------------------------------------------------------------- in place of older rows

IDS = ["a", "b", "c", "d"]
SOMEBODY = st.one_of(
    st.none(),
    st.sets(st.sampled_from(IDS)).map(lambda ids: NamedAthletes(frozenset(ids))),
    st.tuples(st.sampled_from([None, *IDS]), st.sampled_from([None, *IDS]))
    .filter(lambda span: None in span or span[0] < span[1])
    .map(lambda span: AthleteSpan(*span)),
)
WINDOWS = st.tuples(st.dates(date(2023, 12, 20), date(2024, 2, 10)), st.integers(0, 50)).map(
    lambda window: Days(window[0], window[0] + timedelta(days=window[1]))
)


def no_delta_rs(*_: object, **__: object) -> int:
    raise AssertionError("delta-rs replaces the window")


@examples(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(replacements=st.lists(st.tuples(WINDOWS, SOMEBODY, st.integers(1, 3)), min_size=1, max_size=5))
def test_windows_of_some_athletes_are_replaced_and_no_other_row(
    replacements: list[tuple[Days, Athletes | None, int]],
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(month_files, "ROWS_A_FILE", 70)
    monkeypatch.setattr(DeltaFolder, "overwrite", no_delta_rs)
    whole = span("2023-12-20", "2024-03-31")
    store = LocalStore(Settings(home=tmp_path_factory.mktemp("home")))
    store.replace_arrow(tables.DAILY, pa.concat_tables([daily(athlete, whole, 0.0) for athlete in IDS]), whole)
    expected = {(athlete, day): 0.0 for athlete in IDS for day in whole}
    for number, (days, athletes, every) in enumerate(replacements, start=1):
        of = [athlete for athlete in IDS if athletes is None or athletes.hold(pa.array([athlete]))[0].as_py()]
        before = {key: metres for key, metres in expected.items() if key[0] in of and key[1] in days}
        rows = [daily(athlete, list(days)[::every], float(number)) for athlete in of]
        some = store.of(athletes)
        if not before and not rows:
            continue  # nothing to do
        written = some.replace_arrow(tables.DAILY, pa.concat_tables([daily("a", []), *rows]), days)
        assert (written.rows_before, written.version) == (len(before), store.version(tables.DAILY))
        expected = {key: metres for key, metres in expected.items() if key not in before}
        expected |= {(athlete, day): float(number) for athlete in of for day in list(days)[::every]}
        assert some.count(tables.DAILY, days) == sum(part.num_rows for part in rows)
        found = store.rows(tables.DAILY).to_pylist()
        assert {(row["athlete_id"], row["activity_date"].date()): row["distance_km"] for row in found} == expected
        assert len(found) == len(expected)


def live(folder: DeltaFolder) -> set[str]:
    return set(pa.table(folder.open().get_add_actions(flatten=True))["path"].to_pylist())


def test_files_without_a_row_of_the_window_stay_and_whole_ones_are_not_read(
    store: LocalStore, empty: DeltaFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(month_files, "ROWS_A_FILE", 31)
    january = span("2024-01-01", "2024-01-31")
    filled(empty, pa.concat_tables([*(daily(athlete, january) for athlete in IDS), daily("a", WINTER.weeks)[-1:]]))
    before, read = live(empty), list[str]()
    file = pq.ParquetFile

    def noted(path: Path) -> pq.ParquetFile:
        read.append(str(path.relative_to(empty.path)))
        return file(path)

    monkeypatch.setattr(pq, "ParquetFile", noted)
    store.of(AthleteSpan("c", None)).replace_arrow(tables.DAILY, daily("d", january, 1.0), january)
    assert (len(before), len(before & live(empty)), read) == (5, 3, [])
    assert store.count(tables.DAILY, january) == 31 * len("abd")
    assert not read
    store.of(AthleteSpan("b", "c")).replace_arrow(tables.DAILY, daily("b", [], 1.0), span("2024-01-10", "2024-01-12"))
    assert len(set(read)) == 1
    assert len(before & live(empty)) == 2
    assert store.count(tables.DAILY) == 31 + 28 + 31 + 1


def test_bounds_that_the_log_does_not_hold_are_looked_up(
    store: LocalStore, empty: DeltaFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """delta-rs keeps those of a table's first columns alone; of whole months the folder tells enough."""
    committed(lambda: empty.open().alter.set_table_properties({"delta.dataSkippingNumIndexedCols": "0"}), empty.name)
    empty.append(pa.concat_tables([daily("a", WINTER), daily("b", WINTER)]))
    added = pa.table(empty.open().get_add_actions(flatten=True)).to_pylist()
    assert not any(file.get("max.activity_date") for file in added)
    monkeypatch.setattr(DeltaFolder, "overwrite", no_delta_rs)
    new_year = span("2023-12-31", "2024-01-01")
    store.among(["a"]).replace_arrow(tables.DAILY, daily("a", new_year, 7.0), new_year)
    store.replace_arrow(tables.DAILY, daily("c", [date(2024, 2, 1)]), span("2024-01-31", "2024-02-29"))
    assert store.count(tables.DAILY) == 2 * len(WINTER) - 2 * 3 + 1


def test_a_row_of_nobody_stays_where_it_is(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """It belongs to those before the first name; what is compared with its name says neither yes nor no."""
    monkeypatch.setattr(DeltaFolder, "overwrite", no_delta_rs)
    day = date(2024, 1, 5)
    rows = rejects([(1, day, "duplicate"), (2, day, "duplicate"), (3, day, "duplicate")])
    names = pa.array(["a", None, "c"], pa.string())
    store.replace_arrow(tables.REJECTS, rows.set_column(0, rows.schema.field(0), names), Days(day, day))
    store.of(AthleteSpan("b", None)).replace_arrow(tables.REJECTS, rejects([]), Days(day, day))
    assert sorted(store.rows(tables.REJECTS)["id"].to_pylist()) == [1, 2]
    store.of(AthleteSpan(None, "a")).replace_arrow(tables.REJECTS, rejects([]), Days(day, day))
    assert store.rows(tables.REJECTS)["id"].to_pylist() == [1]


def test_what_stays_of_a_file_from_before_a_column_came_has_none_of_it(store: LocalStore, empty: DeltaFolder) -> None:
    empty.restart(daily("a", WINTER).drop_columns(["longest_run_km"]), {})
    store.replace_arrow(tables.DAILY, daily("a", [WINTER.first]), Days(WINTER.first, WINTER.first))
    rows = store.rows(tables.DAILY)
    assert (rows.num_rows, rows["longest_run_km"].null_count) == (len(WINTER), len(WINTER))


def test_a_table_whose_files_hold_deleted_rows_is_left_to_delta_rs(
    store: LocalStore, empty: DeltaFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(empty, ROWS)
    monkeypatch.setattr(month_files, "UNSEEN", {"a feature"})
    protocol = ProtocolVersions(3, 7, [], ["a feature"])
    monkeypatch.setattr(delta_folder.DeltaTable, "protocol", lambda _: protocol)
    assert empty.refill(ROWS, window(WINTER), before=len(WINTER), seen=1) is None
    assert store.version(tables.DAILY) == 1


def test_rows_that_are_not_those_that_were_counted_are_left_to_delta_rs(store: LocalStore, empty: DeltaFolder) -> None:
    filled(empty, ROWS)
    before = files(store)
    for counted in (1, len(WINTER) + 1):
        assert empty.refill(ROWS, window(WINTER), before=counted, seen=1) is None
    part = Days(WINTER.first, WINTER.first)
    assert empty.refill(ROWS[:1], window(part), before=2, seen=1) is None
    assert (files(store), empty.version()) == (before, 1)


def test_a_refill_gives_way_to_whoever_commits_first(
    store: LocalStore, empty: DeltaFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(empty, ROWS)
    write = month_files.write
    others = iter([daily("a", [WINTER.first], 7.0)])

    def overtaken(rows: pa.Table, folder: Path) -> list[object]:
        for first in others:
            empty.overwrite(first, f"activity_date = '{midnight(WINTER.first).isoformat()}'")
        return list(write(rows, folder))

    monkeypatch.setattr(month_files, "write", overtaken)
    days = Days(WINTER.first, WINTER.first + timedelta(days=1))
    written = store.replace_arrow(tables.DAILY, daily("a", days, 5.0), days)
    assert written.version == store.version(tables.DAILY) == 3
    metres = in_order(store.rows(tables.DAILY))["distance_km"].to_pylist()
    assert metres == [5.0, 5.0, *[10.0] * (len(WINTER) - 2)]


def test_a_window_stays_as_it_was_where_what_stays_could_not_be_written(
    store: LocalStore, empty: DeltaFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(empty, ROWS)
    before, write = files(store), pq.write_table

    def full(rows: pa.Table, where: Path, **how: object) -> None:
        write(rows, where, **how)
        if "2024-02" in str(where):
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(pq, "write_table", full)
    inside = Days(WINTER.first + timedelta(days=1), WINTER.last - timedelta(days=1))
    with pytest.raises(LastingStoreError, match="No space left"):
        store.replace_arrow(tables.DAILY, daily("a", inside), inside)
    assert (files(store), empty.version()) == (before, 1)


def test_what_delta_rs_merged_is_read_and_what_stays_is_written(
    store: LocalStore, empty: DeltaFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It writes string views, which Arrow does not filter."""
    filled(empty, ROWS)
    empty.upsert(daily("a", [WINTER.last], 7.0), tables.DAILY.keys)
    monkeypatch.setattr(DeltaFolder, "overwrite", no_delta_rs)
    store.replace_arrow(tables.DAILY, daily("a", []), Days(date(2024, 2, 1), date(2024, 2, 1)))
    assert in_order(store.rows(tables.DAILY))["distance_km"].to_pylist() == [10.0] * (len(WINTER) - 2) + [7.0]


def test_a_file_of_which_the_log_says_nothing_is_looked_into(
    store: LocalStore, empty: DeltaFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A writer may leave statistics out."""
    delta = empty.open()
    silent = [replace(file, stats="{}") for file in month_files.write(ROWS, empty.path)]
    delta.create_write_transaction(silent, "append", delta.schema(), ["month"])
    monkeypatch.setattr(DeltaFolder, "overwrite", no_delta_rs)
    inside = span("2024-01-01", "2024-02-01")
    written = store.replace_arrow(tables.DAILY, daily("a", inside, 7.0), inside)
    assert written.rows_before == len(inside)
    assert in_order(store.rows(tables.DAILY))["distance_km"].to_pylist() == [10.0, 10.0, *[7.0] * len(inside), 10.0]


# ------------------------------------------------------------------------------------------- in the order of athletes


def by_the_day(folder: DeltaFolder, athletes: list[str], days: Days) -> pa.Table:
    """Has the days come one by one, each of all athletes; the rows."""
    parts = [pa.concat_tables([daily(athlete, [day], day.day) for athlete in athletes]) for day in days]
    for part in parts:
        folder.append(part)
    return pa.concat_tables(parts)


def of_month(folder: DeltaFolder, month: str) -> list[list[str]]:
    """The athletes of each live file of the month, in the order of their names."""
    names = sorted(name for name in live(folder) if f"month={month}" in name)
    return sorted(sorted(set(pq.read_table(folder.path / name)["athlete_id"].to_pylist())) for name in names)


@pytest.mark.parametrize("at_once", [500_000, 40])
def test_months_are_put_in_the_order_of_athletes_but_for_the_newest_days(
    store: LocalStore, empty: DeltaFolder, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr(month_files, "ROWS_A_FILE", 20)
    monkeypatch.setattr(month_files, "ROWS_IN_ORDER", at_once)
    put, moved = month_files.in_order, list[tuple[str, int]]()

    def noted(delta: DeltaTable, folder: Path, month: str, names: list[str]) -> month_files.Rewritten:
        moved.append((month, len(names)))
        return put(delta, folder, month, names)

    monkeypatch.setattr(month_files, "in_order", noted)
    rows = by_the_day(empty, IDS, span("2024-01-20", "2024-02-09"))
    version = empty.version()
    empty.join_small_files("activity_date")
    assert sorted(moved) == [("2024-01", 12), ("2024-02", 6)]
    commits = [empty.path / "_delta_log" / f"{version + number:020}.json" for number in (1, 2)]
    lines = [json.loads(line) for commit in commits for line in commit.read_text().splitlines()]
    actions = [action for line in lines for kind, action in line.items() if kind in ("add", "remove")]
    assert len(actions) > 12 + 6
    assert not any(action["dataChange"] for action in actions)  # nobody who follows the log need look
    assert in_order(store.rows(tables.DAILY)).equals(in_order(rows))
    january = of_month(empty, "2024-01")
    assert max(map(len, january)) <= 3  # the first and the last of a file may have rows in others
    assert january[0][0] == "a"
    assert january[-1][-1] == "d"
    # the last three of nine days are still replaced, each by itself
    assert [len(athletes) for athletes in of_month(empty, "2024-02")] == [4, 4, 4, 4, 1]
    version, before = empty.version(), live(empty)
    empty.join_small_files("activity_date")
    assert (empty.version(), live(empty)) == (version, before)

    late = span("2024-01-22", "2024-01-31")
    store.among(["a"]).replace_arrow(tables.DAILY, daily("a", late, 7.0), late)
    assert len({name for name in before - live(empty) if "2024-01" in name}) == 1


def test_a_month_in_few_files_each_of_which_holds_everybody_is_put_in_order(
    empty: DeltaFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As delta-rs joins days by their size."""
    monkeypatch.setattr(month_files, "ROWS_A_FILE", 20)
    for first in (1, 5, 9, 13):
        days = [date(2024, 1, day) for day in range(first, first + 4)]
        empty.append(pa.concat_tables([daily(athlete, days) for athlete in IDS]))
    empty.append(daily("a", [date(2024, 2, 1)]))
    assert of_month(empty, "2024-01") == [IDS] * 4
    empty.join_small_files("activity_date")
    assert of_month(empty, "2024-01") == [["a", "b"], ["b", "c"], ["c", "d"], ["d"]]


@examples(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    replacements=st.lists(st.tuples(WINDOWS, SOMEBODY), max_size=4),
    rows_a_file=st.integers(62, 140),
    at_once=st.integers(140, 400),
)
def test_no_row_changes_when_files_are_joined(
    replacements: list[tuple[Days, Athletes | None]],
    rows_a_file: int,
    at_once: int,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(month_files, "ROWS_A_FILE", rows_a_file)
    monkeypatch.setattr(month_files, "ROWS_IN_ORDER", at_once)
    store, whole = LocalStore(Settings(home=tmp_path_factory.mktemp("home"))), span("2023-12-20", "2024-03-31")
    folder = store.folder(tables.DAILY)
    store.replace_arrow(tables.DAILY, pa.concat_tables([daily(athlete, whole, 0.0) for athlete in IDS]), whole)
    for number, (days, athletes) in enumerate(replacements, start=1):
        of = [athlete for athlete in IDS if athletes is None or athletes.hold(pa.array([athlete]))[0].as_py()]
        rows = [daily(athlete, days, float(number)) for athlete in of]
        store.of(athletes).replace_arrow(tables.DAILY, pa.concat_tables([daily("a", []), *rows]), days)
        before = in_order(store.rows(tables.DAILY))
        folder.join_small_files("activity_date")
        assert in_order(store.rows(tables.DAILY)).equals(before)
        version = folder.version()
        folder.join_small_files("activity_date")
        assert folder.version() == version


def test_rows_of_nobody_and_of_no_month_are_kept_when_months_are_put_in_order(store: LocalStore) -> None:
    days = span("2024-01-30", "2024-02-05")
    for number, day in enumerate(days):
        rows = rejects([(3 * number + one, day, "duplicate") for one in range(3)])
        names = pa.array(["b", None, "a"], pa.string())
        store.folder(tables.REJECTS).append(rows.set_column(0, rows.schema.field(0), names)) if number else (
            store.replace_arrow(tables.REJECTS, rows.set_column(0, rows.schema.field(0), names), Days(day, day))
        )
    outside = store.rows(tables.REJECTS)[:2]
    at = outside.schema.get_field_index("month")
    outside = outside.set_column(at, outside.schema.field(at), pa.array([tables.OUTSIDE_CALENDAR] * 2))
    for row in (outside[:1], outside[1:]):
        store.folder(tables.REJECTS).append(row)
    order = [("id", "ascending"), ("month", "ascending")]
    before = store.rows(tables.REJECTS).sort_by(order)
    store.folder(tables.REJECTS).join_small_files(tables.REJECTS.day_column)
    assert store.rows(tables.REJECTS).sort_by(order).equals(before)
    found = [Path(name).parent.name.removeprefix("month=") for name in live(store.folder(tables.REJECTS))]
    assert {month: found.count(month) for month in found} == {"2024-01": 1, "2024-02": 4, tables.OUTSIDE_CALENDAR: 2}


def test_whoever_commits_while_a_month_is_put_in_order_keeps_his_rows(
    store: LocalStore, empty: DeltaFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    by_the_day(empty, IDS, span("2024-01-30", "2024-02-05"))
    put, first = month_files.in_order, Days(date(2024, 1, 30), date(2024, 1, 30))

    def overtaken(*given: Any) -> month_files.Rewritten:
        moved = put(*given)
        store.among(["b"]).replace_arrow(tables.DAILY, daily("b", first, 7.0), first)
        return moved

    monkeypatch.setattr(month_files, "in_order", overtaken)
    done = store.maintain(tables.DAILY)
    assert done.note == "not compacted: another writer committed meanwhile"
    rows = {
        (row["athlete_id"], row["activity_date"].day): row["distance_km"]
        for row in store.rows(tables.DAILY).to_pylist()
    }
    assert rows == {
        (athlete, day): 7.0 if (athlete, day) == ("b", 30) else day for athlete in IDS for day in (30, 31, *range(1, 6))
    }
    on_disk = {str(file.relative_to(empty.path)) for file in empty.path.glob("month=*/*.parquet")}
    assert live(empty) < on_disk  # replaced ones wait for their days
    assert len(on_disk) == 7 + 2


def test_a_commit_of_other_files_does_not_keep_a_month_from_being_put_in_order(
    store: LocalStore, empty: DeltaFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    by_the_day(empty, IDS, span("2024-01-30", "2024-02-05"))
    put, newer = month_files.in_order, daily("e", [date(2024, 1, 31), date(2024, 2, 6)])

    def accompanied(*given: Any) -> month_files.Rewritten:
        moved = put(*given)
        empty.append(newer)
        return moved

    monkeypatch.setattr(month_files, "in_order", accompanied)
    empty.join_small_files("activity_date")  # two months
    assert of_month(empty, "2024-01") == [IDS, ["e"], ["e"]]
    assert store.count(tables.DAILY) == 7 * len(IDS) + 2 * 2


def test_a_writer_who_began_before_a_month_was_put_in_order_replaces_its_rows(
    store: LocalStore, empty: DeltaFolder
) -> None:
    by_the_day(empty, IDS, span("2024-01-30", "2024-02-05"))
    early = empty.open()
    empty.join_small_files("activity_date")
    day = midnight(date(2024, 1, 30)).isoformat()
    with pytest.raises(CommitFailedError):
        write_deltalake(
            early, daily("a", [date(2024, 1, 30)], 7.0), mode="overwrite", predicate=f"activity_date = '{day}'"
        )
    assert store.count(tables.DAILY) == 7 * len(IDS)


def test_a_full_disk_leaves_a_month_as_it_was(
    store: LocalStore, empty: DeltaFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    by_the_day(empty, IDS, span("2024-01-30", "2024-02-05"))
    before, version, write = files(store), empty.version(), pq.write_table

    def full(rows: pa.Table, where: Path, **how: object) -> None:
        write(rows, where, **how)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(pq, "write_table", full)
    with pytest.raises(StoreError, match=r"maintenance failed.*No space left"):
        store.maintain(tables.DAILY)
    assert (files(store), empty.version()) == (before, version)


def test_what_fails_after_a_commit_takes_no_row_of_it_along(
    store: LocalStore, empty: DeltaFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """delta-rs writes a checkpoint after some commits, for which a disk may have no room."""
    rows = by_the_day(empty, IDS, span("2024-01-30", "2024-02-05"))
    commit = DeltaTable.create_write_transaction

    def half(*given: Any, **how: Any) -> None:
        commit(*given, **how)
        raise DeltaError("No space left on device (of the checkpoint)")

    monkeypatch.setattr(DeltaTable, "create_write_transaction", half)
    with pytest.raises(StoreError, match=r"maintenance failed.*No space left"):
        store.maintain(tables.DAILY)
    assert in_order(store.rows(tables.DAILY)).equals(in_order(rows))
    first = Days(date(2024, 1, 30), date(2024, 1, 30))
    with pytest.raises(LastingStoreError, match="could not commit"):
        store.replace_arrow(tables.DAILY, daily("a", first, 7.0), first)
    assert store.count(tables.DAILY, first) == 1
    assert len(store.rows(tables.DAILY)) == 6 * len(IDS) + 1


def test_files_that_were_replaced_meanwhile_are_not_put_in_order(
    store: LocalStore, empty: DeltaFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    by_the_day(empty, IDS, span("2024-01-30", "2024-02-05"))
    monkeypatch.setattr(month_files, "scattered", lambda *_: {"2024-01": ["month=2024-01/gone.parquet"]})
    version = empty.version()
    empty.join_small_files("activity_date")
    assert empty.version() == version
