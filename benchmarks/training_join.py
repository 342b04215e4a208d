"""Cost of the point-in-time join of a training, beside polars' `join_asof`: labels with the features of their evening.

    python benchmarks/training_join.py [--athletes 1370] [--days 730] [--labels 20000]

A table of rolling features of made-up numbers, a row an athlete and day, in a Delta table by month as the product
writes it; labels are drawn from its athletes and evenings, and one in fifty lies on an evening that has no row, with a
lookback to the newest one before. Each looks the training's columns up in a process of its own:

ours    `create_training_set(...).load_df()` to Arrow;
polars  a lazy scan of those columns of the table's files, months after the labels left out, the athletes of the labels
        alone, sorted by day, `join_asof` by athlete, in the streaming engine.

CPU seconds and peak memory are a process's own, what it takes to start and import included, which is told apart; of
ours the engine runs in it. The two results are compared row by row.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from usage import run

from athlete_assets import tables
from athlete_assets.days import Days
from athlete_assets.models.training_set import REFERENCE_INPUTS, ROLLING_INPUTS
from athlete_assets.settings import Settings
from athlete_assets.store.arrow import arrow_schema
from athlete_assets.store.local import LocalStore

LAST = date(2025, 6, 29)
NAMES = [*ROLLING_INPUTS, *REFERENCE_INPUTS]
TABLE = tables.ROLLING
MICROSECONDS_A_DAY = 86_400_000_000
LABELS = "labels.parquet"
ANY = {pa.float64(): pa.scalar(0.0), pa.int64(): pa.scalar(0), pa.int32(): pa.scalar(0, pa.int32())}
ANY |= {pa.bool_(): pa.scalar(False), pa.string(): pa.scalar("x")}
"""What stands in the columns that nobody asks for and that must not be null."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--athletes", type=int, default=1_370)
    parser.add_argument("--days", type=int, default=730)
    parser.add_argument("--labels", type=int, default=20_000)
    parser.add_argument("--part", choices=PARTS, help=argparse.SUPPRESS)
    parser.add_argument("--home", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.part:
        PARTS[asked.part](asked)
        return
    with tempfile.TemporaryDirectory(prefix="training_join_") as scratch:
        sizes = [f"--{name}={getattr(asked, name)}" for name in ("athletes", "days", "labels")]
        print(f"{asked.athletes * asked.days:,} rows, {asked.labels:,} labels, {len(NAMES)} columns")
        used = {}
        for part in PARTS:
            # a process for filling, too: a process begins with the peak of the one that starts it
            command = [sys.executable, str(Path(__file__)), "--part", part, "--home", scratch, *sizes]
            used[part] = run(command, subprocess.DEVNULL)
            print(f"{part:16}{used[part]}", flush=True)
            if used[part].status:
                raise SystemExit(f"{part} failed with status {used[part].status}")
        same(Path(scratch))
        ours, polars = (used[part].cpu_s - used[f"{part} starting"].cpu_s for part in ("ours", "polars"))
        print(f"the same rows; CPU without the start: ours {ours:.1f} s, polars {polars:.1f} s, {ours / polars:.2f} x")


def fill(asked: argparse.Namespace) -> None:
    """Writes the table a month at a time, and the labels."""
    home, athletes, days, labels = asked.home, asked.athletes, asked.days, asked.labels
    store = LocalStore(Settings(home=home))
    store.create(TABLE)
    random, schema = np.random.default_rng(7), arrow_schema(TABLE)
    names = pa.array([f"athlete-{number:06d}" for number in range(athletes)])
    first = LAST - timedelta(days=days - 1)
    calendar = [first + timedelta(days=number) for number in range(days)]
    for month in sorted({f"{day:%Y-%m}" for day in calendar}):
        of_month = np.array([(day - date(1970, 1, 1)).days for day in calendar if f"{day:%Y-%m}" == month])
        count = athletes * len(of_month)
        columns = {
            "athlete_id": names.take(pa.array(np.repeat(np.arange(athletes), len(of_month)))),
            "as_of_date": pa.array(np.tile(of_month, athletes) * MICROSECONDS_A_DAY).cast(pa.timestamp("us", "UTC")),
            "month": pa.repeat(month, count),
        }
        for field in schema:
            if field.name in NAMES:
                columns[field.name] = pa.array(random.uniform(0, 100, count))
            elif field.name not in columns:
                columns[field.name] = (
                    pa.nulls(count, field.type) if field.nullable else pa.repeat(ANY[field.type], count)
                )
        inside = Days(*(date(1970, 1, 1) + timedelta(days=int(of_month[place])) for place in (0, -1)))
        store.replace_arrow(TABLE, pa.table([columns[name] for name in schema.names], schema=schema), inside)
    evening = (LAST - date(1970, 1, 1)).days - random.integers(0, days, labels)
    evening[::50] += days  # after the table's end: the newest row before it is that of its last day
    rows = pa.table(
        {
            "athlete_id": names.take(pa.array(random.integers(0, athletes, labels))),
            "lookup_timestamp": pa.array(evening * MICROSECONDS_A_DAY).cast(pa.timestamp("us", "UTC")),
            "time_s": pa.array(random.uniform(1_200, 12_000, labels)),
        }
    )
    pq.write_table(rows, home / LABELS)


def ours(asked: argparse.Namespace) -> None:
    from athlete_assets.store.embedded import EmbeddedFeatureStore
    from athlete_assets.store.feature_store import FeatureLookup

    store = LocalStore(Settings(home=asked.home))
    lookup = FeatureLookup(
        table_name=TABLE.full_name(store.settings.catalog),
        lookup_key="athlete_id",
        feature_names=NAMES,
        timestamp_lookup_key="lookup_timestamp",
    )
    labels = store.spark.read.parquet(str(asked.home / LABELS))  # as a training's lie in a table
    joined = EmbeddedFeatureStore(store).create_training_set(df=labels, feature_lookups=[lookup], label="time_s")
    pq.write_table(joined.load_df().toArrow(), asked.home / "ours.parquet")


def ours_starting(asked: argparse.Namespace) -> None:
    from athlete_assets.store.embedded import EmbeddedFeatureStore  # noqa: F401

    LocalStore(Settings(home=asked.home)).spark.range(1).toArrow()


def polars(asked: argparse.Namespace) -> None:
    import polars as pl

    labels = pl.scan_parquet(asked.home / LABELS).sort("lookup_timestamp")
    newest = labels.select(pl.col("lookup_timestamp").max()).collect().item()
    files = sorted(str(path) for path in LocalStore(Settings(home=asked.home)).path(TABLE).rglob("*.parquet"))
    known = pl.scan_parquet(files).select("athlete_id", "as_of_date", *NAMES).filter(pl.col("as_of_date") <= newest)
    known = known.join(labels.select("athlete_id").unique(), on="athlete_id", how="semi").sort("as_of_date")
    joined = labels.join_asof(known, left_on="lookup_timestamp", right_on="as_of_date", by="athlete_id")
    joined.collect(engine="streaming").write_parquet(asked.home / "polars.parquet")


def polars_starting(asked: argparse.Namespace) -> None:
    import polars as pl

    pl.scan_parquet(asked.home / LABELS).select(pl.len()).collect()


PARTS: dict[str, Callable[[argparse.Namespace], None]] = {
    "fill": fill,
    "ours starting": ours_starting,
    "ours": ours,
    "polars starting": polars_starting,
    "polars": polars,
}


def same(home: Path) -> None:
    """Raises SystemExit where the two results differ."""
    order = [(name, "ascending") for name in ("athlete_id", "lookup_timestamp", "time_s")]
    one, other = (
        pq.read_table(home / f"{who}.parquet", columns=[name for name, _ in order] + NAMES).sort_by(order)
        for who in ("ours", "polars")
    )
    for name in NAMES:
        if not one[name].cast(pa.float64()).equals(other[name].cast(pa.float64())):
            raise SystemExit(f"{name} differs")


if __name__ == "__main__":
    main()
