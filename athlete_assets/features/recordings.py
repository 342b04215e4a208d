"""What an activity's recording tells of its heart-rate zones, its load and its grades: a NumPy kernel."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from athlete_assets.features.splits import KEYS, Floats, begins, codes, finite, integers, is_null
from athlete_assets.formulas.training_load import (
    BANISTER_WEIGHTS,
    ZONE_EDGES,
    ZONES,
    heart_rate_tss,
    reaches,
    reserve_share,
)

BPM = np.arange(30, 231, dtype=np.float64)
"""The heart rates of seconds_by_bpm, in order."""
RECORDED_SHARE = 0.8
"""Share of the moving time whose heart rate a recording must know to speak for the activity."""
READ = (
    *KEYS,
    "seconds_by_bpm",
    "has_flat_heart_rate",
    "distance",
    "graded_distance",
    "silver_ingestion_timestamp",
)
"""The columns of silver.strava_recording that count here."""
OF_ACTIVITY = ("hr_max_bpm", "resting_hr_bpm", "is_female", "moving_time_min")
"""What the activity gives to them."""
RECORDED_SECONDS = tuple(f"recorded_zone_{zone}_s" for zone in ZONES)
TOTALS = (*RECORDED_SECONDS, "recorded_hr_tss", "recorded_km", "recorded_flat_km")


def recording_totals(rows: pa.Table) -> pa.Table:
    """One row an activity: seconds in each heart-rate zone, hrTSS (points), and kilometres and their worth on the flat.

    rows: READ and OF_ACTIVITY, in any order; of two rows of an activity the newest ingestion counts. Zones and hrTSS
    are null where the heart rate hangs, covers too little of the moving time, or the maximum is unknown (hrTSS: not
    above the resting one, too); the kilometres where either is unknown.
    """
    rows = _newest(rows)
    seconds = _histograms(rows["seconds_by_bpm"])
    is_flat = pc.fill_null(rows["has_flat_heart_rate"], False).to_numpy().astype(bool)
    hr_max, resting = finite(rows["hr_max_bpm"]), finite(rows["resting_hr_bpm"])
    covered = seconds.sum(axis=1)
    speaks = (covered > 0) & (covered >= RECORDED_SHARE * 60 * finite(rows["moving_time_min"])) & ~is_flat
    has_zones = speaks & ~np.isnan(hr_max)
    zone = 1 + sum(reaches(BPM[None, :], hr_max[:, None], edge).astype(np.int64) for edge in ZONE_EDGES)
    columns = [_column(np.where(zone == number, seconds, 0.0).sum(axis=1), has_zones) for number in ZONES]

    is_female = pc.fill_null(rows["is_female"], False).to_numpy().astype(bool)[:, None]
    factor, exponent = (
        np.where(is_female, female, male)
        for female, male in zip(BANISTER_WEIGHTS["F"], BANISTER_WEIGHTS["M"], strict=True)
    )
    has_load = has_zones & (hr_max > resting)
    reserve_bpm = np.where(has_load, hr_max - resting, 1.0)[:, None]
    reserve = np.maximum(reserve_share(BPM[None, :], resting[:, None], resting[:, None] + reserve_bpm), 0.0)
    columns.append(_column(heart_rate_tss(seconds / 60, reserve, factor, exponent).sum(axis=1), has_load))

    metres, flat = finite(rows["distance"]), finite(rows["graded_distance"])
    is_graded = (metres > 0) & (flat > 0)
    columns += [_column(metres / 1000, is_graded), _column(flat / 1000, is_graded)]
    return pa.table([*(rows[name] for name in KEYS), *columns], names=[*KEYS, *TOTALS])


def _column(values: Floats, is_known: np.ndarray) -> pa.Array:
    return pa.array(values, mask=~is_known)


def _histograms(lists: pa.ChunkedArray) -> Floats:
    """(rows, heart rates): seconds; 0 where a row has no histogram, or one that is not of these heart rates."""
    array = lists.combine_chunks()
    result = np.zeros((len(array), len(BPM)))
    fits = pc.fill_null(pc.equal(pc.list_value_length(array), len(BPM)), False)
    known = np.flatnonzero(fits.to_numpy(zero_copy_only=False))
    if len(known):
        values = pc.list_flatten(array.take(pa.array(known))).to_numpy(zero_copy_only=False)
        values = values.astype(np.float64).reshape(len(known), len(BPM))
        result[known] = np.where(np.isfinite(values) & (values > 0), values, 0.0)
    return result


def _newest(rows: pa.Table) -> pa.Table:
    """The rows with each activity once; of rows that were written at once the one that tells more."""
    ingested = np.where(is_null(rows["silver_ingestion_timestamp"]), -1, integers(rows["silver_ingestion_timestamp"]))
    tells = [np.nan_to_num(finite(rows[name]), nan=-np.inf) for name in ("graded_distance", "distance")]
    covered = _histograms(rows["seconds_by_bpm"]).sum(axis=1)
    keys = [codes(rows[name]) for name in reversed(KEYS)]
    order = np.lexsort((*tells, covered, ingested, *keys))
    is_last = np.roll(begins(*(key[order] for key in keys)), -1)
    return rows.take(pa.array(order[is_last]))
