"""Measured recordings as silver rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa

from athlete_assets import tables
from athlete_assets.silver.readers.protocol import number_of_name
from athlete_assets.silver.recordings.batch import Outcome
from athlete_assets.silver.recordings.measures import Measures
from athlete_assets.silver.sports import strava_sport
from athlete_assets.store.arrow import arrow_schema
from athlete_assets.tables import Table

SOURCE = "recording"
Clock = int | str
"""The athlete's clock: less UTC in s, or the IANA name of its zone."""
EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def activity_id(found: Outcome) -> int:
    """The activity's id: the source's, else a number made of the recording's content."""
    number = found.file.activity_id if found.file.activity_id is not None else number_of_name(found.digest)
    assert number is not None
    return number


def recorded_tables(found: Sequence[Outcome], athlete_id: str, at: datetime) -> dict[Table, pa.Table]:
    """Recordings, splits and best efforts of what was measured; rows without measures give nothing."""
    rows: dict[Table, list[dict[str, Any]]] = {table: [] for table in tables.OF_ACTIVITIES}
    for each in found:
        if each.measures is None:
            continue
        key = {"athlete_id": athlete_id, "activity_id": activity_id(each), tables.INGESTED: at}
        of = each.measures
        rows[tables.STRAVA_RECORDING].append(
            {
                **key,
                "digest": each.digest,
                "utc_offset_s": of.utc_offset_s,
                "distance": of.distance_m,
                "elapsed_time": of.elapsed_s,
                "pause_s": of.pause_s,
                "graded_distance": of.graded_distance_m,
                "seconds_by_bpm": of.seconds_by_bpm,
                "average_power_w": of.mean_power_w,
                "weighted_power_w": of.weighted_power_w,
                "gps_jumps": of.gps_jumps,
                "has_flat_heart_rate": of.has_flat_heart_rate,
                "is_cut_off": of.is_cut_off,
            }
        )
        rows[tables.STRAVA_SUB_ACTIVITY] += [
            {
                **key,
                "split_id": split.number,
                "distance": split.distance_m,
                "moving_time": split.moving_s,
                "elapsed_time": split.elapsed_s,
                "elevation_difference": split.climb_m,
                "average_heartrate": split.mean_bpm,
                "max_heartrate": split.max_bpm,
            }
            for split in of.splits
        ]
        rows[tables.STRAVA_BEST_EFFORT] += [
            {
                **key,
                "kind": effort.kind,
                "distance": effort.distance_m,
                "elapsed_time": effort.elapsed_s,
                "start_offset_s": effort.start_offset_s,
                "average_heartrate": effort.mean_bpm,
                "average_power_w": effort.mean_power_w,
            }
            for effort in of.efforts
        ]
    return {table: pa.Table.from_pylist(of, arrow_schema(table)) for table, of in rows.items()}


def activities_of(found: Sequence[Outcome], athlete_id: str, clocks: Mapping[int, Clock], at: datetime) -> pa.Table:
    """Activities of recordings that no other row tells of. clocks: by id, of those whose file does not say its own."""
    rows = [
        _activity(each.measures, activity_id(each), athlete_id, clocks.get(activity_id(each)), at)
        for each in found
        if each.measures is not None and each.measures.start_s is not None
    ]
    return pa.Table.from_pylist(rows, arrow_schema(tables.STRAVA_ACTIVITIES))


def _activity(of: Measures, number: int, athlete_id: str, clock: Clock | None, at: datetime) -> dict[str, Any]:
    assert of.start_s is not None
    start = EPOCH + timedelta(seconds=round(of.start_s))
    clock = of.utc_offset_s if of.utc_offset_s is not None else clock
    assert clock is not None
    if isinstance(clock, int):
        local = (start + timedelta(seconds=clock)).replace(tzinfo=None)
    else:
        local = start.astimezone(ZoneInfo(clock)).replace(tzinfo=None)
    return {
        "athlete_id": athlete_id,
        "id": number,
        "start_date": start,
        "start_date_local": local,
        "timezone": clock if isinstance(clock, str) else None,
        "sport_type": strava_sport(of.sport) or "Workout",
        "workout_type": None,
        "distance": of.distance_m if of.distance_m is not None else 0.0,
        "moving_time": of.elapsed_s - of.pause_s,
        "elapsed_time": of.elapsed_s,
        "total_elevation_gain": of.climb_m,
        "average_heartrate": of.mean_bpm,
        "max_heartrate": of.max_bpm,
        "manual": False,
        "trainer": of.is_indoor,
        "source": SOURCE,
        tables.INGESTED: at,
    }


def with_offsets(activities: pa.Table, offsets: Mapping[tuple[str, int], int]) -> pa.Table:
    """The activities with the local time that their recordings tell (offset in s by athlete and id).

    The name of a zone is kept where it gives the same local time: people travel, and their recordings know it.
    """
    if not offsets:
        return activities
    locals_, zones = activities["start_date_local"].to_pylist(), activities["timezone"].to_pylist()
    keys = zip(activities["athlete_id"].to_pylist(), activities["id"].to_pylist(), strict=True)
    for row, (key, start) in enumerate(zip(keys, activities["start_date"].to_pylist(), strict=True)):
        if start is None or key not in offsets:
            continue
        local = start.replace(tzinfo=None) + timedelta(seconds=offsets[key])
        if local != locals_[row]:
            locals_[row], zones[row] = local, None
    for name, values in (("start_date_local", locals_), ("timezone", zones)):
        at = activities.schema.get_field_index(name)
        activities = activities.set_column(
            at, activities.schema.field(at), pa.array(values, activities.schema.field(at).type)
        )
    return activities
