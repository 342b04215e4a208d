"""Rows of stored tables on their way into a kernel of this process, past the Spark engine.

Sail hands over what it read in messages, encoded and copied several times; delta-rs, which reads with the same engine
underneath, leaves its batches where they are. Of 2.2 million rows of daily features that takes 0.45 in place of 0.7 CPU
seconds. So a frame that is nothing but rows of a stored table remembers which, for `by_athlete.computed_here`; it loses
that with the first expression, and then the engine makes its rows as ever.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from weakref import WeakKeyDictionary

import pyarrow as pa
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from athlete_assets.days import Days
from athlete_assets.store.base import within_sql
from athlete_assets.store.columns import within
from athlete_assets.store.sql import delta_literal
from athlete_assets.tables import Table

Fetch = Callable[[Sequence[str], str | None], pa.Table]
"""The named columns of a table's stored rows that fulfil a condition of delta-rs; of all for None."""


@dataclass(frozen=True)
class _Scan:
    fetch: Fetch
    conditions: tuple[str, ...]


_scans: WeakKeyDictionary[DataFrame, _Scan] = WeakKeyDictionary()


def as_scan(rows: DataFrame, fetch: Fetch, *conditions: str | None) -> DataFrame:
    """The frame, of which it is known that it holds what `fetch` gives for all of the conditions."""
    _scans[rows] = _Scan(fetch, tuple(condition for condition in conditions if condition is not None))
    return rows


def scanned(rows: DataFrame, columns: Sequence[str]) -> pa.Table | None:
    """The columns of the frame's rows, in no order; None for a frame that is more than rows of a stored table."""
    scan = _scans.get(rows)
    if scan is None:
        return None
    return scan.fetch(columns, " AND ".join(f"({condition})" for condition in scan.conditions) or None)


def of_days(rows: DataFrame, table: Table, days: Days) -> DataFrame:
    """The table's rows of the days."""
    return chosen(rows, within(table, days), within_sql(table, days))


def of_sports(activities: DataFrame, sports: Collection[str]) -> DataFrame:
    """The activities of the sports."""
    names = ", ".join(map(delta_literal, sports))
    return chosen(activities, F.col("sport_type").isin(*sports), f"sport_type IN ({names})")


def chosen(rows: DataFrame, condition: Column, in_delta: str) -> DataFrame:
    """The rows that fulfil a condition, which is said in Spark's language and in that of delta-rs."""
    found, scan = rows.where(condition), _scans.get(rows)
    if scan is not None:
        _scans[found] = replace(scan, conditions=(*scan.conditions, in_delta))
    return found
