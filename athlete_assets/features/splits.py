"""What an activity's splits tell of its heart-rate zones and grades: a NumPy kernel over whole athletes.

A kernel, since the newest copy of a split is the maximum of a struct in the DataFrame API, and that takes Sail 6 kB a
split and, with a null in the struct, is the one that it met last.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from athlete_assets.formulas.grade import STEEPEST_GRADE, flat_metres_per_metre
from athlete_assets.formulas.training_load import ZONE_EDGES, ZONES, reaches

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

KEYS = ("athlete_id", "activity_id")
MEASURES = ("distance", "moving_time", "elapsed_time", "elevation_difference", "average_heartrate")
READ = (*KEYS, "split_id", *MEASURES, "silver_ingestion_timestamp")
"""The columns of silver.strava_sub_activity that count here."""

ZONE_SECONDS = tuple(f"zone_{zone}_s" for zone in ZONES)
TOTALS = (*ZONE_SECONDS, "graded_km", "flat_km")


def split_totals(rows: pa.Table, least_hr_bpm: float, most_hr_bpm: float, longest_s: float) -> pa.Table:
    """One row an activity: seconds in each heart-rate zone; kilometres of known grade, and their worth on the flat.

    rows: READ and the activity's hr_max_bpm, in any order; of a split that is there twice the newest ingestion counts.
    The zones are null where no split has a time and a heart rate within the limits, the kilometres where none has a
    distance and an elevation.
    """
    rows = _newest(rows)
    first = np.flatnonzero(begins(*(codes(rows[name]) for name in KEYS)))
    measures = {name: finite(rows[name]) for name in (*MEASURES, "hr_max_bpm")}
    seconds = np.where(np.isnan(measures["moving_time"]), measures["elapsed_time"], measures["moving_time"])
    heart_rate, hr_max = measures["average_heartrate"], measures["hr_max_bpm"]
    has_beats = (heart_rate >= least_hr_bpm) & (heart_rate <= most_hr_bpm) & ~np.isnan(hr_max)
    has_beats &= (seconds > 0) & (seconds <= longest_s)
    metres, climb = measures["distance"], measures["elevation_difference"]
    has_grade = (metres > 0) & ~np.isnan(climb)
    grade = np.divide(climb, metres, out=np.zeros(len(metres)), where=has_grade)
    flat_metres = metres * flat_metres_per_metre(np.clip(grade, -STEEPEST_GRADE, STEEPEST_GRADE))

    def total(values: Floats, counts: Mask) -> pa.Array:
        if not len(first):
            return pa.array([], pa.float64())
        sums = np.add.reduceat(np.where(counts, values, 0.0), first)
        return pa.array(sums, mask=~np.logical_or.reduceat(counts, first))

    zone = np.where(has_beats, 1 + sum(reaches(heart_rate, hr_max, edge) for edge in ZONE_EDGES), 0)
    totals = [total(np.where(zone == number, seconds, 0.0), has_beats) for number in ZONES]
    totals += [total(metres / 1000, has_grade), total(flat_metres / 1000, has_grade)]
    keys = [rows[name].take(pa.array(first)) for name in KEYS]
    return pa.table([*keys, *totals], names=[*KEYS, *TOTALS])


def _newest(rows: pa.Table) -> pa.Table:
    """The rows sorted by athlete, activity and split; of the copies of a split the newest, of those written at once the
    one that tells more. A split without a number is one of its own."""
    split = np.where(is_null(rows["split_id"]), -1 - np.arange(rows.num_rows), integers(rows["split_id"]))
    ingested = np.where(is_null(rows["silver_ingestion_timestamp"]), -1, integers(rows["silver_ingestion_timestamp"]))
    # NaN last would be NaN greatest
    tells = [np.nan_to_num(finite(rows[name]), nan=-np.inf) for name in MEASURES]
    keys = (split, *(codes(rows[name]) for name in reversed(KEYS)))
    order = np.lexsort((*tells, ingested, *keys))
    is_last = np.roll(begins(*(key[order] for key in keys)), -1)
    return rows.take(pa.array(order[is_last]))


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


def codes(column: pa.ChunkedArray) -> NDArray[np.int64]:
    """A number for each value, the same for equal ones."""
    return pc.dictionary_encode(column.combine_chunks()).indices.to_numpy().astype(np.int64)


def integers(column: pa.ChunkedArray) -> NDArray[np.int64]:
    """The whole numbers or times, 0 where there is none."""
    return pc.fill_null(column.cast(pa.int64()), 0).to_numpy()


def is_null(column: pa.ChunkedArray) -> Mask:
    return column.is_null().to_numpy()
