"""Silver rows made by hand, and the shared real runs in the silver contract."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from athlete_assets import tables
from athlete_assets.store.arrow import arrow_schema
from athlete_assets.tables import Table

REAL_RUNS_AS_OF = date(2027, 4, 30)
"""After the last of the shared real runs, whose dates are shifted."""


def activity(start: str = "2024-03-04 18:00:00", *, utc_offset_h: float = 0, **changes: Any) -> dict[str, Any]:
    """A plain 10 km run in 50 min (athlete 'a', activity 1), started at the local time, with the given changes."""
    local = datetime.fromisoformat(start)
    utc = (local - timedelta(hours=utc_offset_h)).replace(tzinfo=timezone.utc)
    row = {
        "athlete_id": "a",
        "id": 1,
        "start_date": utc,
        "start_date_local": local,
        "timezone": None,
        "sport_type": "Run",
        "workout_type": None,
        "distance": 10_000.0,
        "moving_time": 3_000.0,
        "elapsed_time": _with_short_pauses(changes.get("moving_time", 3_000.0)),
        "total_elevation_gain": None,
        "average_heartrate": None,
        "max_heartrate": None,
        "manual": False,
        "trainer": False,
        "grade_adjusted_distance": None,
        "perceived_exertion": None,
        "weighted_power_w": None,
        "own_load": None,
        "source": "file",
        "silver_ingestion_timestamp": datetime(2024, 3, 5, tzinfo=timezone.utc),
    }
    return _changed(row, changes)


def _with_short_pauses(moving_time: Any) -> float:
    """s; 3 % longer: still one continuous effort."""
    return moving_time * 31 / 30 if moving_time else 3_100.0


def split(activity_id: int, split_id: int, **changes: Any) -> dict[str, Any]:
    """A flat kilometre in 5 min without heart rate, of athlete 'a', with the given changes."""
    row = {
        "athlete_id": "a",
        "activity_id": activity_id,
        "split_id": split_id,
        "distance": 1_000.0,
        "moving_time": 300.0,
        "elapsed_time": 300.0,
        "elevation_difference": None,
        "average_heartrate": None,
        "max_heartrate": None,
        "silver_ingestion_timestamp": datetime(2024, 3, 5, tzinfo=timezone.utc),
    }
    return _changed(row, changes)


def athlete(**changes: Any) -> dict[str, Any]:
    """Athlete 'a', who states nothing but the given."""
    row: dict[str, Any] = {**dict.fromkeys(tables.STRAVA_ATHLETE.column_names), "athlete_id": "a"}
    return _changed(row, changes)


def _changed(row: dict[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    assert set(changes) <= set(row), f"no such column: {set(changes) - set(row)}"
    return {**row, **changes}


def arrow(rows: Iterable[Mapping[str, Any]], table: Table = tables.STRAVA_ACTIVITIES) -> pa.Table:
    return pa.Table.from_pylist(list(rows), schema=arrow_schema(table))


def real_runs(path: Path) -> pa.Table:
    """The shared real runs as silver.strava_activities."""
    found = pq.read_table(path)
    columns = {
        "athlete_id": "athlete_id",
        "id": "activity_id",
        "start_date": "start_time_utc",
        "start_date_local": "start_time_local",
        "sport_type": "sport_type",
        "distance": "distance_m",
        "moving_time": "moving_time_s",
        "total_elevation_gain": "elevation_gain_m",
        "average_heartrate": "average_heartrate",
    }
    schema = arrow_schema(tables.STRAVA_ACTIVITIES)
    return pa.table(
        [
            found[columns[field.name]].cast(field.type)
            if field.name in columns
            else pa.nulls(found.num_rows, field.type)
            for field in schema
        ],
        schema=schema,
    )
