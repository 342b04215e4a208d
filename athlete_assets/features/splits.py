"""What an activity's splits tell of its heart-rate zones and grades: NumPy over many activities at once.

Not in the DataFrame API, where the newest copy of a split is the maximum of a struct: that takes Sail 6 kB a split
and, with a null in the struct, is the one that it met last.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from athlete_assets.formulas.grade import STEEPEST_GRADE, flat_metres_per_metre
from athlete_assets.formulas.training_load import ZONES

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Mask = NDArray[np.bool_]

MEASURES = ("distance", "moving_time", "elapsed_time", "elevation_difference", "average_heartrate")
READ = ("activity_id", "split_id", *MEASURES, "silver_ingestion_timestamp")
"""The columns of silver.strava_sub_activity that count here, beside the athlete's."""

ZONE_SECONDS = tuple(f"zone_{zone}_s" for zone in ZONES)
TOTALS = (*ZONE_SECONDS, "graded_km", "flat_km")


def split_totals(
    splits: pa.Table,
    activity: Integers,
    zone_edges: Floats,
    *,
    least_hr_bpm: float,
    most_hr_bpm: float,
    longest_s: float,
) -> dict[str, Floats]:
    """By name, for each activity: seconds in each heart-rate zone; kilometres of known grade, and their worth on the
    flat.

    splits: READ, in any order; of a split that is there twice the newest ingestion counts. activity: the position of
    each split's activity in zone_edges (activities, 4): where zones 2 to 5 begin (bpm), NaN where unknown. The zones
    are NaN where no split has a time and a heart rate within the limits, the kilometres where none has a distance and
    an elevation.
    """
    newest = _newest(splits, activity)
    splits, activity = splits.take(pa.array(newest)), activity[newest]
    first = np.flatnonzero(begins(activity))
    measures = {name: finite(splits[name]) for name in MEASURES}
    seconds = np.where(np.isnan(measures["moving_time"]), measures["elapsed_time"], measures["moving_time"])
    heart_rate = measures["average_heartrate"]
    has_beats = (heart_rate >= least_hr_bpm) & (heart_rate <= most_hr_bpm) & ~np.isnan(zone_edges[activity, 0])
    has_beats &= (seconds > 0) & (seconds <= longest_s)
    metres, climb = measures["distance"], measures["elevation_difference"]
    has_grade = (metres > 0) & ~np.isnan(climb)
    grade = np.divide(climb, metres, out=np.zeros(len(metres)), where=has_grade)
    flat_metres = metres * flat_metres_per_metre(np.clip(grade, -STEEPEST_GRADE, STEEPEST_GRADE))

    def total(values: Floats, counts: Mask) -> Floats:
        result = np.full(len(zone_edges), np.nan)
        if len(first):
            sums = np.add.reduceat(np.where(counts, values, 0.0), first)
            result[activity[first]] = np.where(np.logical_or.reduceat(counts, first), sums, np.nan)
        return result

    zone = np.where(has_beats, 1 + (heart_rate[:, None] >= zone_edges[activity]).sum(axis=1), 0)
    totals = [total(np.where(zone == number, seconds, 0.0), has_beats) for number in ZONES]
    totals += [total(metres / 1000, has_grade), total(flat_metres / 1000, has_grade)]
    return dict(zip(TOTALS, totals, strict=True))


def _newest(splits: pa.Table, activity: Integers) -> Integers:
    """The positions of the splits that count, by activity and split; of the copies of a split the newest, of those
    written at once the one that tells more. A split without a number is one of its own."""
    split = np.where(is_null(splits["split_id"]), -1 - np.arange(splits.num_rows), integers(splits["split_id"]))
    ingested = ingestion(splits)
    # NaN last would be NaN greatest
    tells = [np.nan_to_num(finite(splits[name]), nan=-np.inf) for name in MEASURES]
    order = np.lexsort((*tells, ingested, split, activity))
    is_last = np.roll(begins(split[order], activity[order]), -1)
    return order[is_last]


# --------------------------------------------------------------------------------- columns, for the kernels of rows


def begins(*keys: NDArray[Any]) -> Mask:
    """Where, in rows sorted by the keys, another combination of them begins; the first row always does."""
    begins = np.zeros(len(keys[0]), dtype=bool)
    begins[:1] = True
    for key in keys:
        begins[1:] |= key[1:] != key[:-1]
    return begins


def finite(column: pa.ChunkedArray) -> Floats:
    """The numbers, NaN where there is none or it is infinite."""
    values = column.to_numpy()
    return np.where(np.isfinite(values), values, np.nan)


def integers(column: pa.ChunkedArray) -> NDArray[np.int64]:
    """The whole numbers or times, 0 where there is none."""
    return pc.fill_null(column.cast(pa.int64()), 0).to_numpy()


def is_null(column: pa.ChunkedArray) -> Mask:
    return column.is_null().to_numpy()


def ingestion(rows: pa.Table) -> Integers:
    """When each row was written to silver; -1 where that is unknown."""
    return np.where(is_null(rows["silver_ingestion_timestamp"]), -1, integers(rows["silver_ingestion_timestamp"]))
