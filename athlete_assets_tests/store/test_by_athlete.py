"""Kernels over several tables: each gets all rows of its athletes, by table, whatever kinds of columns they have."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timezone

import pyarrow as pa
import pytest
from pyspark.sql import SparkSession

from athlete_assets.store.by_athlete import BUCKETS, apply_by_athlete, apply_together, use_buckets
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
