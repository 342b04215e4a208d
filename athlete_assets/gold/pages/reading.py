"""What the pages show, read from the tables: rounded as it is shown, by athlete, with a digest of it.

Rounding first makes the digest one of what can be seen: rows that promise 1 calls the same table give the same page.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from athlete_assets import tables
from athlete_assets.days import Days, midnight, monday_of
from athlete_assets.store.base import Store
from athlete_assets.tables import Table

BY_DAY = 400
"""Days back to which load, rest days and predictions are shown day by day; before them load is shown by week."""
BY_RUN = 730
"""Days back to which single runs are shown."""
QUALITY_DAYS = 365
NEWEST_DAYS = 7
"""Days back within which an athlete's newest prediction counts as today's."""
NUDGE = 1e-9
"""Added (relative) before rounding: what lies on the border but for the last bits is rounded one way."""

Columns = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Source:
    """Columns of a table that the pages show: decimals of the numbers, None for what is no number."""

    table: Table
    columns: Mapping[str, int | None]
    order: tuple[str, ...]
    """The rows of an athlete come in the order of these."""


ZONES = tuple(f"hr_zone_{zone}_pct" for zone in range(1, 6))
LOAD = Source(
    tables.ROLLING,
    {"as_of_date": None, "ctl_42d": 1, "atl_7d": 1, "tsb": 1},
    ("as_of_date",),
)
STATE = Source(
    tables.ROLLING,
    {
        "as_of_date": None,
        "warmup": None,
        "acwr": 2,
        "training_monotony_7d": 2,
        "is_overtraining_risk": None,
        "risk_reasons": None,
    },
    ("as_of_date",),
)
CALENDAR = Source(
    tables.DAILY,
    {"activity_date": None, "activities": 0, "distance_km": 1, "moving_time_min": 0, "daily_tss": 0},
    ("activity_date",),
)
WEEKS = Source(tables.WEEKLY, {"week_start": None, "weekly_distance_km": 1}, ("week_start",))
RUNS = Source(
    tables.ACTIVITY,
    {
        "activity_date": None,
        "activity_id": 0,
        "sport_type": None,
        "moving_time_min": 1,
        "pace_min_km": 3,
        "avg_hr": 0,
        "hr_max_bpm": 0,
        "load_method": None,
        **dict.fromkeys(ZONES, 3),
    },
    ("activity_date", "activity_id"),
)
HISTORY = Source(
    tables.PREDICTIONS,
    {"prediction_date": None, **{name: 0 for names in tables.TIME_COLUMNS.values() for name in names}},
    ("prediction_date",),
)
NEWEST = Source(
    tables.PREDICTIONS,
    {
        "prediction_date": None,
        "served_by": None,
        "model_version": None,
        "p_disruption_14d": 2,
        "p_disruption_reason": None,
        "top_reasons": None,
    },
    ("prediction_date",),
)
OUTCOMES = Source(
    tables.PREDICTION_OUTCOMES,
    {
        "activity_date": None,
        "activity_id": 0,
        "distance": None,
        "run_s": 0,
        "predicted_s": 0,
        "p10_s": 0,
        "p90_s": 0,
        "error_pct": 1,
        "in_interval": None,
        "is_backfilled": None,
    },
    ("activity_date", "activity_id"),
)
PROJECTED = Source(
    tables.PROJECTION,
    {
        "scenario": None,
        "projected_date": None,
        "load_tss": 0,
        "fitness_ctl": 1,
        "fatigue_atl": 1,
        "form_tsb": 1,
        "acwr": 2,
    },
    ("scenario", "projected_date"),
)
ROOM = Source(
    tables.LOAD_ROOM,
    {
        "as_of_date": None,
        "room_today_tss": 0,
        "room_today_min": 0,
        "room_limited_by": None,
        "room_unknown_reason": None,
        "race_date": None,
        "race_form_target_tsb": 1,
        "race_form_at_rest_tsb": 1,
        "taper_load_tss": 0,
    },
    ("as_of_date",),
)
SOURCES: Mapping[str, Source] = {
    "load": LOAD,
    "state": STATE,
    "calendar": CALENDAR,
    "weeks": WEEKS,
    "runs": RUNS,
    "history": HISTORY,
    "newest": NEWEST,
    "outcomes": OUTCOMES,
    "projected": PROJECTED,
    "room": ROOM,
}


@dataclass(frozen=True)
class Shown:
    """One athlete's rows as they are shown: the summary, the columns by source, and rejects by rule."""

    athlete: str
    summary: Mapping[str, Any]
    columns: Mapping[str, Columns]
    rejects: Mapping[str, int]

    @property
    def as_of(self) -> date:
        day: date = self.summary["as_of_date"]
        return day

    def digest(self) -> str:
        """64 hex digits that follow from what is shown of the athlete alone."""
        found = hashlib.sha256()
        found.update(json.dumps([self.athlete, self.summary, self.rejects], default=str, sort_keys=True).encode())
        for name, columns in self.columns.items():
            for column, values in columns.items():
                found.update(f"|{name}.{column}:{len(values)}:".encode())
                found.update(repr(values.tolist()).encode() if values.dtype == object else values.tobytes())
        return found.hexdigest()


@dataclass(frozen=True)
class ByAthlete:
    """A table's columns in the order of athlete and day, and where each athlete's rows lie in them."""

    columns: Columns
    at: Mapping[str, slice] = field(default_factory=dict)

    def of(self, athlete: str) -> Columns:
        rows = self.at.get(athlete, slice(0, 0))
        return {name: values[rows] for name, values in self.columns.items()}


def summaries(store: Store) -> list[dict[str, Any]]:
    """METRICS_SUMMARY rows by athlete id, rounded, days as dates."""
    rows = store.read(tables.METRICS_SUMMARY).toArrow().to_pylist()
    return [
        {name: _plain(value) for name, value in row.items()} for row in sorted(rows, key=lambda row: row["athlete_id"])
    ]


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return None if value != value else float(_rounded(np.array([value]), 3)[0])
    return value.date() if hasattr(value, "date") else value


def read(store: Store, summary: Sequence[Mapping[str, Any]]) -> Iterator[Shown]:
    """What is shown of each athlete of the summary, in its order."""
    if not summary:
        return
    last = max(row["as_of_date"] for row in summary)
    found = {name: by_athlete(source, _rows(name, store, last)) for name, source in SOURCES.items()}
    rejects = _rejects(store)
    for row in summary:
        athlete = row["athlete_id"]
        columns = {name: rows.of(athlete) for name, rows in found.items()}
        yield Shown(athlete, row, columns, rejects.get(athlete, {}))


def _rows(name: str, store: Store, last: date) -> pa.Table:
    source = SOURCES[name]
    frame = _FRAMES.get(name, _whole)(store, source.table, last)
    return frame.select("athlete_id", *(_selected(source, column) for column in source.columns)).toArrow()


def _selected(source: Source, name: str) -> Column:
    """Lists travel as one text, a line an item."""
    column = F.col(name)
    return F.array_join(column, "\n").alias(name) if source.table.column(name).type == tables.STRINGS else column


def _whole(store: Store, table: Table, last: date) -> DataFrame:
    return store.read(table)


def _since(days: int) -> Callable[[Store, Table, date], DataFrame]:
    return lambda store, table, last: store.read(table, Days(last - timedelta(days=days), last))


def _by_day_then_by_week(store: Store, table: Table, last: date) -> DataFrame:
    """Every day of late, and the Sundays before (1 January 1970 was a Thursday)."""
    day = F.col("as_of_date")
    is_sunday = F.pmod(F.unix_date(F.to_date(day)), F.lit(7)) == 3
    return store.read(table).where((day >= F.lit(midnight(last - timedelta(days=BY_DAY)))) | is_sunday)


def _whole_weeks(store: Store, table: Table, last: date) -> DataFrame:
    return store.read(table, Days(first_day_of_calendar(last), last))


def first_day_of_calendar(last: date) -> date:
    """A Monday: from it on weeks are added up from days, which know of today's runs before the weekly table does."""
    return monday_of(last - timedelta(days=BY_DAY))


_FRAMES: Mapping[str, Callable[[Store, Table, date], DataFrame]] = {
    "load": _by_day_then_by_week,
    "state": _since(NEWEST_DAYS),
    "calendar": _whole_weeks,
    "runs": _since(BY_RUN),
    "history": _since(BY_DAY),
    "newest": _since(NEWEST_DAYS),
}


def by_athlete(source: Source, rows: pa.Table) -> ByAthlete:
    """The rows as NumPy columns: numbers as rounded floats (NaN for null), days as datetime64[D], the rest objects."""
    rows = rows.sort_by([("athlete_id", "ascending"), *((name, "ascending") for name in source.order)])
    columns = {name: _column(rows[name], decimals) for name, decimals in source.columns.items()}
    athletes = rows["athlete_id"].combine_chunks()
    if not len(athletes):
        return ByAthlete(columns)
    encoded = athletes.dictionary_encode()
    codes = encoded.indices.to_numpy()
    starts = np.concatenate([[0], np.flatnonzero(np.diff(codes)) + 1, [len(codes)]])
    names = encoded.dictionary.to_pylist()
    at = {names[codes[first]]: slice(int(first), int(end)) for first, end in pairwise(starts)}
    return ByAthlete(columns, at)


def _column(values: pa.ChunkedArray, decimals: int | None) -> NDArray[Any]:
    if pa.types.is_timestamp(values.type):
        return values.cast(pa.timestamp("s")).to_numpy().astype("datetime64[D]")
    if decimals is None:
        return values.to_numpy().astype(object)
    if pa.types.is_integer(values.type) and decimals == 0 and not values.null_count:
        return values.to_numpy().astype(np.int64)
    return _rounded(values.cast(pa.float64()).to_numpy(), decimals)


def _rounded(values: NDArray[np.float64], decimals: int) -> NDArray[np.float64]:
    rounded = np.round(values * (1 + NUDGE), decimals) + 0.0  # no minus zero
    rounded[np.isnan(rounded)] = np.nan  # one NaN, for the digest
    return rounded


def _rejects(store: Store) -> dict[str, dict[str, int]]:
    """By athlete, how many records each rule rejected."""
    broken = store.read(tables.REJECTS).select("athlete_id", F.explode("reject_reasons").alias("reason"))
    counted = broken.groupBy("athlete_id", "reason").agg(F.count(F.lit(1)).alias("rows")).toArrow().to_pylist()
    found: dict[str, dict[str, int]] = {}
    for row in sorted(counted, key=lambda row: (-row["rows"], row["reason"])):
        if row["athlete_id"] is not None:
            found.setdefault(row["athlete_id"], {})[row["reason"]] = row["rows"]
    return found
