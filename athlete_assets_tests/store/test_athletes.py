"""Conditions on athletes: the same rows in each language, and parts that hold each athlete once."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from deltalake import DeltaTable, QueryBuilder, write_deltalake
from hypothesis import given
from hypothesis import strategies as st
from pyspark.sql import SparkSession

from athlete_assets.store.athletes import EVERYONE, ID, Athletes, AthleteSpan, NamedAthletes

NAMES = st.text(st.sampled_from("aZ\x7fé\uffee\U0001f3c3'\\0 "), max_size=3)
IDS = ["", " ", "0", "Ann", "a'b", "a\\b", "ann", "bob", "é", "\uffee", "\U0001f3c3"]
CONDITIONS: list[tuple[Athletes, set[str | None]]] = [
    (EVERYONE, {*IDS, None}),
    (AthleteSpan(None, "a'b"), {"", " ", "0", "Ann", None}),
    (AthleteSpan("a'b", "bob"), {"a'b", "a\\b", "ann"}),
    (AthleteSpan("\uffee", None), {"\uffee", "\U0001f3c3"}),
    (NamedAthletes(frozenset(["a\\b", "gone", "é"])), {"a\\b", "é"}),
    (NamedAthletes(frozenset()), set()),
]
"""With whom of IDS, and of the rows without an athlete, each holds."""


@pytest.mark.parametrize(("athletes", "expected"), CONDITIONS, ids=range(len(CONDITIONS)))
def test_a_condition_holds_for_the_same_rows_in_every_language(
    athletes: Athletes, expected: set[str | None], spark: SparkSession, tmp_path: Path
) -> None:
    rows = pa.table({ID: pa.array([*IDS, None], pa.string())})
    write_deltalake(str(tmp_path), rows)
    table = DeltaTable(str(tmp_path))

    of_delta = pa.table(
        QueryBuilder().register("t", table).execute(f"SELECT * FROM t WHERE {athletes.sql()}").read_all()
    )
    of_spark = spark.createDataFrame(rows).where(athletes.column()).toArrow()
    of_arrow = table.to_pyarrow_dataset().to_table(filter=athletes.expression())

    assert pc.is_null(athletes.hold(rows[ID])).to_pylist().count(True) == 0
    of_mask = rows.filter(athletes.hold(rows[ID]))
    for found in (of_delta, of_spark, of_arrow, of_mask):
        assert sorted(found[ID].to_pylist(), key=str) == sorted(expected, key=str)


@given(st.frozensets(NAMES), st.integers(1, 5), st.sampled_from(["everyone", "named", "span"]))
def test_parts_hold_each_athlete_once_whether_known_or_not(ids: frozenset[str], size: int, kind: str) -> None:
    whole = {"everyone": EVERYONE, "named": NamedAthletes(ids), "span": AthleteSpan("Z", "é")}[kind]

    parts = whole.parts(ids, size)

    asked = pa.array([*sorted(ids), "nobody knows me", None], pa.string())
    held = [part.hold(asked).to_pylist() for part in parts]
    assert [sum(column) for column in zip(*held, strict=True)] == [int(one) for one in whole.hold(asked).to_pylist()]
    known = [sum(pa.array(part[: len(ids)]).to_pylist()) for part in held]
    assert max(known) <= size
    assert max(known) - min(known) <= 1
    assert len(parts) == max(1, -(-sum(known) // size))


BOUNDS = st.none() | st.sampled_from(IDS)
SPANS = st.builds(AthleteSpan, BOUNDS, BOUNDS)
NAMED = st.builds(NamedAthletes, st.frozensets(st.sampled_from(IDS)))


@given(SPANS | NAMED, SPANS | NAMED)
def test_of_those_who_are_surely_apart_nobody_is_one_of_both(one: Athletes, other: Athletes) -> None:
    asked = pa.array([*IDS, None], pa.string())
    of_both = pc.and_(one.hold(asked), other.hold(asked)).to_pylist()
    assert not (one.surely_apart(other) and any(of_both))
    assert one.surely_apart(other) == other.surely_apart(one)


@given(st.frozensets(NAMES), st.integers(1, 5), st.sampled_from(["everyone", "named", "span"]))
def test_parts_are_surely_apart(ids: frozenset[str], size: int, kind: str) -> None:
    whole = {"everyone": EVERYONE, "named": NamedAthletes(ids), "span": AthleteSpan("Z", "é")}[kind]
    for one, other in combinations(whole.parts(ids, size), 2):
        assert one.surely_apart(other)
