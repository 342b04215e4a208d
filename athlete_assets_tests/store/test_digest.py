"""The digest of written rows follows from what they say, and from nothing else."""

from __future__ import annotations

import random
from datetime import date, datetime, timezone

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from pyspark.sql import DataFrame, SparkSession

from athlete_assets import tables
from athlete_assets.days import Days, midnight
from athlete_assets.settings import Settings
from athlete_assets.store import columns
from athlete_assets.store.arrow import arrow_schema, nullable
from athlete_assets.store.base import Written
from athlete_assets.store.digest import content_digest, row_hashes
from athlete_assets.store.local import LocalStore
from athlete_assets_tests.rows import rows
from athlete_assets_tests.store.rows import daily, rejects, span

JANUARY, FEBRUARY = span("2024-01-01", "2024-01-31"), span("2024-02-01", "2024-02-29")

CELLS = {
    tables.STRING: st.none() | st.text(max_size=3),
    tables.BIGINT: st.none() | st.integers(-(2**63), 2**63 - 1),
    tables.INT: st.none() | st.integers(-(2**31), 2**31 - 1),
    tables.DOUBLE: st.none() | st.floats(width=32, allow_nan=False),
    tables.BOOLEAN: st.none() | st.booleans(),
    tables.TIMESTAMP: st.none()
    | st.datetimes(datetime(1990, 1, 1), datetime(2100, 1, 1), timezones=st.just(timezone.utc)),
    tables.STRINGS: st.none() | st.lists(st.text("ab", max_size=2), max_size=3),
}


LOOSE_REJECTS = pa.schema([field.with_nullable(True) for field in arrow_schema(tables.REJECTS)])
ONE_OF_EACH = pa.schema({field.type: field for field in LOOSE_REJECTS if field.name != tables.INGESTED}.values())
"""A column of each type: the others would only be drawn and mixed in the same way."""


@st.composite
def pairs_of_rows(draw: st.DrawFn) -> tuple[pa.Table, pa.Table]:
    """Two tables that are drawn alike, so that they are often equal but for the order, or nearly so."""
    types = {column.name: column.type for column in tables.REJECTS.columns}
    row = st.fixed_dictionaries({name: CELLS.get(types[name], st.none()) for name in ONE_OF_EACH.names})
    pool = draw(st.lists(row, min_size=1, max_size=3))
    left, right = (draw(st.lists(st.sampled_from(pool), max_size=4)) for _ in range(2))
    return pa.Table.from_pylist(left, ONE_OF_EACH), pa.Table.from_pylist(right, ONE_OF_EACH)


def contents(table: pa.Table) -> list[str]:
    """The rows in one order, as text; adding 0 makes -0.0 and 0.0 one number."""
    names = [name for name in table.column_names if name != tables.INGESTED]
    return sorted(
        repr([value + 0.0 if isinstance(value, float) else value for value in row.values()])
        for row in table.select(names).to_pylist()
    )


@examples(max_examples=300, deadline=None)
@given(pairs_of_rows())
def test_digests_are_equal_where_the_rows_are(pair: tuple[pa.Table, pa.Table]) -> None:
    left, right = pair
    assert (content_digest(left) == content_digest(right)) == (contents(left) == contents(right))


def test_order_and_chunks_do_not_matter() -> None:
    whole = daily("a", JANUARY)
    shuffled = whole.take(pa.array(random.Random(1).sample(range(len(JANUARY)), len(JANUARY))))
    pieces = pa.concat_tables([shuffled.slice(0, 7), shuffled.slice(7)])
    assert content_digest(pieces) == content_digest(whole)
    assert content_digest(whole.slice(0, 0)) == 0


def test_what_promise_1_calls_the_same_is_the_same_and_a_centimetre_is_not() -> None:
    def one(distance_km: float) -> int:
        return content_digest(daily("a", [date(2024, 1, 1)], distance_km=distance_km))

    assert one(10.0) == one(10.0 * (1 + 1e-12))
    assert one(10.0) != one(10.00001)
    assert one(0.0) == one(-0.0)


def test_what_lies_beneath_a_null_does_not_matter_nor_where_rows_are_cut() -> None:
    is_null = np.arange(100) % 3 == 0
    numbers = [np.where(is_null, of_null, np.arange(100) / 4) for of_null in (0.0, -7.5, np.nan)]
    tables = [pa.table({"km": nullable(of, is_null)}) for of in numbers]
    assert [np.isnan(of[0]) for of in numbers] == [False, False, True]
    assert len({content_digest(table) for table in tables}) == 1
    whole = row_hashes(tables[0])
    assert len(set(whole[~is_null])) == 66
    assert len(set(whole[is_null])) == 1
    for first in (1, 7, 8, 64, 99):
        assert row_hashes(tables[1].slice(first)).tolist() == whole[first:].tolist()


def test_the_places_in_a_list_are_content() -> None:
    lists = [["a", "b"], ["b", "a"], ["a"], [], None, ["a", None], ["a", "a"], [None, "a"], [""], [None]]
    rows = pa.table({"reasons": pa.array(lists, pa.list_(pa.string()))})
    assert len(set(row_hashes(rows))) == len(lists)
    assert row_hashes(rows.slice(3)).tolist() == row_hashes(rows)[3:].tolist()
    numbers = pa.array([[0.0], [None], [], [0.0, 0.0]], pa.list_(pa.float64()))
    assert len(set(row_hashes(pa.table({"shares": numbers})))) == 4


def test_the_time_of_ingestion_is_no_content() -> None:
    moments = [datetime(2024, 1, 1, hour, tzinfo=timezone.utc) for hour in (1, 2)]
    first, second = (content_digest(rows(tables.STRAVA_ACTIVITIES, {tables.INGESTED: moment})) for moment in moments)
    assert first == second


OTHERS: dict[pa.DataType, list[object]] = {
    pa.string(): ["other"],
    pa.int64(): [77],
    pa.int32(): [77],
    pa.float64(): [77.25],
    pa.bool_(): [True, False],
    pa.list_(pa.string()): [["other"]],
    pa.list_(pa.float64()): [[77.25]],
    pa.timestamp("us", "UTC"): [datetime(1999, 1, 1, tzinfo=timezone.utc)],
    pa.timestamp("us"): [datetime(1999, 1, 1)],
}


@pytest.mark.parametrize("table", tables.ALL, ids=lambda table: table.name)
def test_a_changed_cell_of_any_column_changes_the_digest(table: tables.Table) -> None:
    """As many equal rows as there are columns and one more; then the nth has another value in its nth column."""
    one = rows(table, {})
    names = [name for name in one.column_names if name != tables.INGESTED]
    changed = []
    for at, name in enumerate(names):
        (value,) = one[name].to_pylist()
        other = next(each for each in OTHERS[one.schema.field(name).type] if each != value)
        cells = [value] * at + [other] + [value] * (len(names) - at)
        changed.append(pa.array(cells, one.schema.field(name).type))
    assert len(set(row_hashes(pa.table(changed, names)))) == len(names) + 1


def test_hashes_spread_over_all_bits() -> None:
    """Rows that differ in little: no two hashes alike, and each of the 64 bits set in half of them."""
    rows = pa.concat_tables([daily("a", [date(2024, 1, 1)])] * 2000).combine_chunks()
    distance = rows.column_names.index("distance_km")
    rows = rows.set_column(distance, rows.schema.field(distance), pa.array(np.arange(2000) / 8))
    hashes = row_hashes(rows)
    assert [content_digest(rows.slice(n, 1)) for n in (0, 1999)] == [hashes[0], hashes[1999]]
    assert len(np.unique(hashes)) == len(hashes)
    bits = (hashes[:, None] >> np.arange(64, dtype=np.uint64)) & np.uint64(1)
    assert abs(bits.mean(axis=0) - 0.5).max() < 0.06  # 5 standard deviations of a fair coin's share


# ------------------------------------------------------------------------------------------------------- the stores


def test_a_window_has_the_digest_of_its_rows_however_it_came_to_hold_them(store: LocalStore) -> None:
    at_once = store.replace_arrow(tables.DAILY, daily("a", [*JANUARY, *FEBRUARY]), Days(JANUARY.first, FEBRUARY.last))
    store.replace_arrow(tables.DAILY, daily("a", [], 0.0), Days(JANUARY.first, FEBRUARY.last))
    store.delta(tables.DAILY).optimize.compact()
    in_pieces = store.replace_arrow(tables.DAILY, daily("a", FEBRUARY), FEBRUARY) + store.replace_arrow(
        tables.DAILY, daily("a", JANUARY), JANUARY
    )
    assert in_pieces.data_version == at_once.data_version
    assert in_pieces.rows == at_once.rows == 60
    assert in_pieces.version > at_once.version
    changed = store.replace_arrow(tables.DAILY, daily("a", JANUARY, distance_km=11.0), JANUARY)
    assert changed.data_version != store.replace_arrow(tables.DAILY, daily("a", JANUARY), JANUARY).data_version


def test_a_write_tells_what_it_replaced(store: LocalStore) -> None:
    assert store.replace_arrow(tables.DAILY, daily("a", JANUARY), JANUARY).rows_before == 0
    assert store.replace_arrow(tables.DAILY, daily("a", FEBRUARY), FEBRUARY).rows_before == 0
    window = span("2024-01-30", "2024-02-02")
    assert store.replace_arrow(tables.DAILY, daily("a", [date(2024, 2, 1)]), window).rows_before == 4
    assert store.replace_arrow(tables.DAILY, daily("a", [])).rows_before == 57
    outside = rejects([(1, None, "no_date")])
    store.replace_arrow(tables.REJECTS, outside, JANUARY)
    assert store.replace_arrow(tables.REJECTS, outside, FEBRUARY).rows_before == 1


def test_an_unknown_part_makes_the_sum_unknown() -> None:
    assert Written(1, 1, 0, 5) + Written(2, 3, 4, 2**64 - 1) == Written(3, 3, 4, 4)
    unknown = Written(1, 1, 0, 5) + Written(2, 3)
    assert (unknown.rows_before, unknown.digest, unknown.data_version) == (None, None, None)


def frame_digest(frame: DataFrame, table: tables.Table) -> int:
    found = frame.agg(columns.content_digest(table).alias("digest")).first()
    assert found is not None
    return int(found["digest"]) % 2**64


@pytest.mark.parametrize("table", [tables.DAILY, tables.REJECTS, tables.ROLLING], ids=lambda table: table.name)
def test_the_aggregate_for_frames_is_the_same_on_each_engine(
    settings: Settings, sail: SparkSession, spark: SparkSession, table: tables.Table
) -> None:
    """xxhash64 is one function on both; a null in another column, another list, another order."""
    one = rows(table, {})
    local = LocalStore(settings, lambda: sail)
    digests = {engine: frame_digest(engine.createDataFrame(one), table) for engine in (sail, spark)}
    assert digests[sail] == digests[spark] != 0
    assert frame_digest(local.frame(table, one.slice(0, 0)), table) == 0


def test_the_aggregate_tells_nulls_and_lists_apart(spark: SparkSession) -> None:
    def digest(*given: dict[str, object]) -> int:
        return frame_digest(spark.createDataFrame(pa.Table.from_pylist(list(given), LOOSE_REJECTS)), tables.REJECTS)

    base = {"athlete_id": "a", "id": 1, "activity_date": midnight(date(2024, 1, 1)), "reject_reasons": ["x"]}
    different = [
        base,
        {**base, "athlete_id": None},
        {**base, "id": None},
        {**base, "reject_reasons": []},
        {**base, "reject_reasons": None},
        {**base, "reject_reasons": ["x", "x"]},
    ]
    assert len({digest(each) for each in different}) == len(different)
    assert digest(*different) == digest(*reversed(different))
    assert digest(base, base) != digest(base)
