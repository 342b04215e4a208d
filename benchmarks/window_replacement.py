"""What it costs to replace one day of a table on Apache Spark with Delta, by way, layout and deletion vectors.

    python benchmarks/window_replacement.py [--athletes 2000] [--months 4] [--repeats 3]

A table of daily features is written month by month and compacted, as the maintenance job leaves it; then one day is
replaced with changed values, a few times. Read from the Delta log: data files removed and added (a file that only
gets a deletion vector counts as marked), bytes written, rows rewritten; and the seconds that Spark took. Ways:

    merge    MERGE with WHEN NOT MATCHED BY SOURCE AND <window> THEN DELETE
    window   overwrite with the window as predicate (INSERT ... REPLACE WHERE): delete and append in one commit
    two      DELETE, then append: two commits, so a reader may see the day empty; measured for comparison alone

The seconds are those of a loaded machine: compare them within one run.
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from usage import options

from athlete_assets import tables
from athlete_assets.days import Days
from athlete_assets.store.base import window_sql
from athlete_assets.store.session import spark_session

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

TABLE = tables.DAILY
FIRST = date(2024, 1, 1)


@dataclass(frozen=True)
class Cost:
    """What the commits of one replacement did."""

    removed: int
    added: int
    marked: int
    bytes: int
    rows: int
    seconds: float


def days_of(spark: SparkSession, athletes: int, days: Days, factor: float) -> DataFrame:
    """A row for each athlete and day, in the contract's columns, with values that depend on `factor`."""
    from pyspark.sql import functions as F

    count = len(days)
    frame = spark.range(athletes * count, numPartitions=2).select(
        F.format_string("athlete-%06d", (F.col("id") / count).cast("bigint")).alias("athlete_id"),
        F.date_add(F.lit(str(days.first)).cast("date"), (F.col("id") % count).cast("int")).alias("day"),
        F.rand(7).alias("chance"),
    )
    columns = []
    for column in TABLE.columns:
        value = {
            "athlete_id": F.col("athlete_id"),
            TABLE.day_column: F.col("day").cast("timestamp"),
            "month": F.date_format("day", "yyyy-MM"),
        }.get(column.name, (F.col("chance") * 20 * factor).cast(column.type))
        columns.append(value.alias(column.name))
    return frame.select(*columns)


def log_entries(path: Path, after: int) -> list[dict]:
    files = sorted((path / "_delta_log").glob("*.json"))
    return [json.loads(line) for file in files if int(file.stem) > after for line in file.read_text().splitlines()]


def cost(path: Path, after: int, seconds: float) -> Cost:
    entries = log_entries(path, after)
    added = [entry["add"] for entry in entries if "add" in entry]
    removed = {entry["remove"]["path"] for entry in entries if "remove" in entry}
    marked = [file for file in added if file["path"] in removed]
    new = [file for file in added if file["path"] not in removed]
    vectors = sum((file.get("deletionVector") or {}).get("sizeInBytes", 0) for file in marked)
    rows = sum(json.loads(file["stats"])["numRecords"] for file in new)
    return Cost(
        len(removed) - len(marked), len(new), len(marked), sum(file["size"] for file in new) + vectors, rows, seconds
    )


def version(path: Path) -> int:
    return max(int(file.stem) for file in (path / "_delta_log").glob("*.json"))


def make(spark: SparkSession, path: Path, layout: str, vectors: bool, athletes: int, months: list[Days]) -> str:
    name = f"bench_{path.parent.name}_{path.name}"
    columns = ", ".join(f"`{c.name}` {c.type.upper()}{'' if c.nullable else ' NOT NULL'}" for c in TABLE.columns)
    laid_out = "PARTITIONED BY (month)" if layout == "partitioned" else f"CLUSTER BY ({TABLE.day_column}, athlete_id)"
    spark.sql(
        f"CREATE TABLE {name} ({columns}) USING DELTA {laid_out} LOCATION '{path}' "
        f"TBLPROPERTIES ('delta.enableDeletionVectors' = '{str(vectors).lower()}')"
    ).collect()
    for days in months:
        days_of(spark, athletes, days, 1.0).writeTo(name).append()
    spark.sql(f"OPTIMIZE {name}").collect()
    return name


def replace(spark: SparkSession, name: str, way: str, rows: DataFrame, days: Days) -> None:
    from pyspark.sql import functions as F

    if way == "merge":
        rows.createOrReplaceTempView("fresh")
        same = " AND ".join(f"t.{key} = s.{key}" for key in TABLE.keys)
        window = window_sql(TABLE, days, "t")
        spark.sql(
            f"MERGE INTO {name} AS t USING fresh AS s ON {same} AND {window} WHEN MATCHED THEN UPDATE SET * "
            f"WHEN NOT MATCHED THEN INSERT * WHEN NOT MATCHED BY SOURCE AND {window} THEN DELETE"
        ).collect()
    elif way == "window":
        rows.writeTo(name).overwrite(F.expr(window_sql(TABLE, days)))
    else:
        spark.sql(f"DELETE FROM {name} WHERE {window_sql(TABLE, days)}").collect()
        rows.writeTo(name).append()


def main() -> None:
    asked = options(__doc__, athletes=2000, months=4, repeats=3).parse_args()
    months = []
    first = FIRST
    for _ in range(asked.months):
        following = (first.replace(day=28) + timedelta(days=4)).replace(day=1)
        months.append(Days(first, following - timedelta(days=1)))
        first = following
    spark = spark_session("spark")
    print("layout       vectors  way     files: removed  added  marked    kB written  rows written  seconds")
    with tempfile.TemporaryDirectory(prefix="window_replacement_") as scratch:
        for layout in ("partitioned", "clustered"):
            for vectors in (False, True):
                for way in ("merge", "window", "two"):
                    path = Path(scratch) / f"{layout}_{vectors}_{way}".lower()
                    name = make(spark, path, layout, vectors, asked.athletes, months)
                    costs = []
                    for repeat in range(asked.repeats):
                        day = months[-1].first + timedelta(days=10 + repeat)
                        days, before, started = Days(day, day), version(path), time.perf_counter()
                        rows = days_of(spark, asked.athletes, days, 2.0 + repeat)
                        replace(spark, name, way, rows, days)
                        costs.append(cost(path, before, time.perf_counter() - started))
                    mean = {key: statistics.mean(getattr(c, key) for c in costs) for key in Cost.__annotations__}
                    print(
                        f"{layout:12} {'on' if vectors else 'off':7}  {way:7} {mean['removed']:14.1f}"
                        f" {mean['added']:6.1f} {mean['marked']:7.1f} {mean['bytes'] / 1e3:13,.0f}"
                        f" {mean['rows']:13,.0f} {mean['seconds']:8.1f}",
                        flush=True,
                    )
                    spark.sql(f"DROP TABLE {name}")


if __name__ == "__main__":
    main()
