"""Kernels over several tables: each gets all rows of its athletes, by table, whatever kinds of columns they have."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Mapping
from datetime import datetime, timezone

import pyarrow as pa
import pytest
from pyspark.sql import DataFrame, SparkSession

from athlete_assets.settings import Settings
from athlete_assets.store import by_athlete
from athlete_assets.store.by_athlete import (
    BUCKETS,
    Calls,
    apply_by_athlete,
    apply_for_several,
    apply_together,
    computed_here,
    use_buckets,
)
from athlete_assets.store.local import LocalStore
from athlete_assets_tests.rows import frame

NOON = datetime(2024, 3, 1, 12, tzinfo=timezone.utc)
RUNS = {"id": "bigint", "start": "timestamp", "is_race": "boolean", "name": "string"}
LISTS = {"id": "bigint", "seconds": "array<double>"}
SAID = "athlete_id string, input string, row string"


def said(inputs: Mapping[str, pa.Table]) -> pa.Table:
    """A row for each row that came along, as JSON; times as seconds."""
    found = [
        (row.pop("athlete_id"), name, json.dumps(row, default=lambda time: time.timestamp()))
        for name, table in inputs.items()
        for row in table.to_pylist()
    ]
    columns = zip(*found, strict=True) if found else ([], [], [])
    return pa.table([pa.array(column, pa.string()) for column in columns], names=["athlete_id", "input", "row"])


def ddl(columns: dict[str, str]) -> str:
    return ", ".join(f"{name} {type}" for name, type in {"athlete_id": "string", **columns, "ignored": "int"}.items())


def test_a_kernel_gets_the_rows_of_each_table_by_name(spark: SparkSession) -> None:
    runs = frame(spark, [("a", 1, NOON, True, "long", 7), ("b", 1, None, None, None, 7)], ddl(RUNS))
    lists = frame(spark, [("a", 1, [1.0, 2.5], 7), ("a", 2, None, 7), ("c", 3, [], 7)], ddl(LISTS))
    found = apply_together({"runs": (runs, RUNS), "lists": (lists, LISTS)}, said, SAID).toArrow().to_pylist()
    assert sorted((row["athlete_id"], row["input"], row["row"]) for row in found) == [
        ("a", "lists", '{"id": 1, "seconds": [1.0, 2.5]}'),
        ("a", "lists", '{"id": 2, "seconds": null}'),
        ("a", "runs", f'{{"id": 1, "start": {NOON.timestamp()}, "is_race": true, "name": "long"}}'),
        ("b", "runs", '{"id": 1, "start": null, "is_race": null, "name": null}'),
        ("c", "lists", '{"id": 3, "seconds": []}'),
    ]


def test_a_column_has_one_type_in_all_tables(sail: SparkSession) -> None:
    runs = frame(sail, [("a", 1)], "athlete_id string, id bigint")
    with pytest.raises(ValueError, match="column id is bigint in one input and string in another"):
        apply_together({"runs": (runs, {"id": "bigint"}), "lists": (runs, {"id": "string"})}, said, SAID)


def test_athletes_come_in_as_many_tables_as_the_cluster_wants(spark: SparkSession) -> None:
    runs = frame(spark, [(f"athlete-{number % 40}", number) for number in range(120)], "athlete_id string, id bigint")

    def counts(rows: pa.Table) -> pa.Table:
        return pa.table({"athletes": [len(set(rows["athlete_id"].to_pylist()))], "rows": [rows.num_rows]})

    for buckets in (3, 1):
        use_buckets(buckets)
        try:
            found = apply_by_athlete(runs, counts, "athletes bigint, rows bigint").toArrow()
        finally:
            use_buckets(BUCKETS)
        assert found.num_rows == buckets
        assert sum(found["athletes"].to_pylist()) == 40  # each athlete in one of them, with all rows
        assert sum(found["rows"].to_pylist()) == 120


def in_order(rows: list[dict[str, str]]) -> list[tuple[str, str, str]]:
    return sorted((row["athlete_id"] or "", row["input"], row["row"]) for row in rows)


@pytest.mark.parametrize("rows_a_call", [1, 7, 1000])
def test_this_process_computes_what_the_engine_would(
    sail: SparkSession, monkeypatch: pytest.MonkeyPatch, rows_a_call: int
) -> None:
    monkeypatch.setattr(by_athlete, "ROWS_A_CALL", rows_a_call)
    athletes = [None if number % 13 == 0 else f"athlete-{number % 9}" for number in range(60)]
    runs = frame(sail, [(id, n, NOON, n % 2 == 0, f"run {n}", 7) for n, id in enumerate(athletes)], ddl(RUNS))
    lists = frame(sail, [("athlete-3", 1, [1.0, 2.5], 7), ("nobody else", 2, None, 7)], ddl(LISTS))
    made = apply_together({"runs": (runs, RUNS), "lists": (lists, LISTS)}, said, SAID)
    here = computed_here(made)
    assert here is not None
    assert len(here) == {1: 10, 7: 9, 1000: 1}[rows_a_call], "one call an athlete at least, and one for all at most"
    told = in_order(pa.concat_tables(here).to_pylist())
    assert told == in_order(made.toArrow().to_pylist())
    assert len(told) == 62


@pytest.mark.parametrize("side_by_side", [True, False])
def test_a_kernel_may_say_how_many_rows_it_wants_and_whether_on_several_threads(
    sail: SparkSession, monkeypatch: pytest.MonkeyPatch, side_by_side: bool
) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    runs = frame(sail, [(f"athlete-{number}", 1, NOON, True, "run", 7) for number in range(30)], ddl(RUNS))
    threads, two = set(), threading.Barrier(2, timeout=60)

    def as_they_are(inputs: Mapping[str, pa.Table]) -> pa.Table:
        threads.add(threading.get_ident())
        if side_by_side:
            two.wait()  # for the call beside this one
        else:
            time.sleep(0.01)  # in which a second thread would begin the next call
        return inputs["runs"]

    here = computed_here(apply_together({"runs": (runs, RUNS)}, as_they_are, ddl(RUNS), Calls(5, side_by_side)))
    assert here is not None
    assert [rows.num_rows for rows in here] == [5] * 6
    assert len(threads) == (2 if side_by_side else 1)


def test_an_athletes_rows_come_in_one_call(sail: SparkSession, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(by_athlete, "ROWS_A_CALL", 10)
    runs = frame(sail, [(f"athlete-{number % 5}", number) for number in range(100)], "athlete_id string, id bigint")
    here = computed_here(apply_by_athlete(runs, lambda rows: rows, "athlete_id string, id bigint"))
    assert here is not None
    found = [set(rows["athlete_id"].to_pylist()) for rows in here]
    assert sum(map(len, found)) == len(set().union(*found)) == 5
    assert sum(rows.num_rows for rows in here) == 100


def test_nothing_to_compute(sail: SparkSession) -> None:
    nobody = frame(sail, [], "athlete_id string, id bigint")
    assert computed_here(apply_by_athlete(nobody, lambda rows: rows, "athlete_id string, id bigint")) == []
    assert computed_here(nobody) is None, "no frame of a kernel"


def counted_and_named(inputs: Mapping[str, pa.Table]) -> dict[str, pa.Table]:
    """How many rows of the athletes there are, and who they are."""
    athletes = inputs["runs"]["athlete_id"].unique()
    return {"counts": pa.table({"rows": [inputs["runs"].num_rows]}), "names": pa.table({"athlete_id": athletes})}


def test_a_kernel_of_several_tables_runs_once_for_all_of_them_in_this_process(spark: SparkSession) -> None:
    runs = frame(spark, [("a", 1), ("a", 2), ("b", 1)], "athlete_id string, id bigint")
    calls = []

    def kernel(inputs: Mapping[str, pa.Table]) -> dict[str, pa.Table]:
        calls.append(1)
        return counted_and_named(inputs)

    made = apply_for_several(
        {"runs": (runs, {"id": "bigint"})}, kernel, {"counts": "rows bigint", "names": "athlete_id string"}
    )
    by_engine = {name: sorted(rows.toArrow().to_pylist(), key=str) for name, rows in made.items()}
    assert sum(row["rows"] for row in by_engine["counts"]) == 3
    assert by_engine["names"] == [{"athlete_id": "a"}, {"athlete_id": "b"}]
    calls.clear()
    for name in ("names", "counts"):
        found = computed_here(made[name])
        assert found is not None
        assert found[0].to_pylist() == counted_and_named({"runs": runs.toArrow()})[name].to_pylist()
    assert len(calls) == 1
    assert computed_here(made["names"]) is not None, "asked again, it is made again"
    assert len(calls) == 2


def test_what_a_kernel_makes_of_several_tables_can_be_held(spark: SparkSession) -> None:
    given = frame(spark, [(f"athlete-{number % 7}", number) for number in range(40)], "athlete_id string, id bigint")
    asked: list[list[str]] = []

    def hold(rows: DataFrame) -> DataFrame:
        asked.append(rows.columns)
        return rows

    made = apply_for_several(
        {"runs": (given, {"id": "bigint"})},
        counted_and_named,
        {"counts": "rows bigint NOT NULL", "names": "athlete_id string NOT NULL"},
        hold=hold,
    )
    assert asked == [["counts", "names"]], "one frame of both"
    names = [f"athlete-{number}" for number in range(7)]
    by_engine = {name: rows.toArrow() for name, rows in made.items()}
    assert sum(by_engine["counts"]["rows"].to_pylist()) == 40
    assert sorted(by_engine["names"]["athlete_id"].to_pylist()) == names
    here = computed_here(made["names"])
    assert here is not None
    assert sorted(pa.concat_tables(here)["athlete_id"].to_pylist()) == names


def test_the_same_threads_serve_each_piece(sail: SparkSession, monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads anew would have the heap keep for each of them what the last ones gave back."""
    monkeypatch.setattr(by_athlete, "ROWS_A_CALL", 1)
    runs = frame(sail, [(f"athlete-{number}", number) for number in range(20)], "athlete_id string, id bigint")
    seen: list[set[threading.Thread]] = []

    def noted(rows: pa.Table) -> pa.Table:
        seen[-1].add(threading.current_thread())
        return rows

    for _ in range(2):
        seen.append(set())
        computed_here(apply_by_athlete(runs, noted, "athlete_id string, id bigint"))
    assert len(seen[0] | seen[1]) <= (os.cpu_count() or 1)
    assert threading.current_thread() not in seen[0]


def test_what_is_held_on_one_machine_is_made_once_in_this_process(sail: SparkSession, settings: Settings) -> None:
    store, asked, ddl = LocalStore(settings, lambda: sail), list[int](), "athlete_id string, id bigint"

    def kernel(rows: pa.Table) -> pa.Table:
        asked.append(rows.num_rows)
        return rows

    runs = sail.createDataFrame([("a", 1), ("b", 2)], ddl)
    held = store.held(apply_by_athlete(runs, kernel, ddl))
    assert (held.count(), held.where("id = 2").count(), asked) == (2, 1, [2])
    assert store.held(apply_by_athlete(runs.limit(0), kernel, ddl)).count() == 0
    assert store.held(runs) is runs
