"""What an activity's recording tells of its heart-rate zones, its load and its grades: NumPy over many at once."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from athlete_assets.features.splits import Floats, Integers, Mask, begins, finite, ingestion
from athlete_assets.formulas.training_load import (
    BANISTER_WEIGHTS,
    ZONES,
    heart_rate_tss,
    reserve_share,
)

BPM = np.arange(30, 231, dtype=np.float64)
"""The heart rates of seconds_by_bpm, in order."""
RECORDED_SHARE = 0.8
"""Share of the moving time whose heart rate a recording must know to speak for the activity."""
READ = (
    "activity_id",
    "seconds_by_bpm",
    "has_flat_heart_rate",
    "distance",
    "graded_distance",
    "weighted_power_w",
    "silver_ingestion_timestamp",
)
"""The columns of silver.strava_recording that count here, beside the athlete's."""
RECORDED_SECONDS = tuple(f"recorded_zone_{zone}_s" for zone in ZONES)
TOTALS = (*RECORDED_SECONDS, "recorded_hr_tss", "recorded_km", "recorded_flat_km", "recorded_power_w")


def recording_totals(
    recordings: pa.Table,
    activity: Integers,
    *,
    zone_edges: Floats,
    hr_max: Floats,
    resting_hr: Floats,
    threshold_reserve: Floats,
    is_female: Mask,
    moving_time_min: Floats,
) -> dict[str, Floats]:
    """By name, for each activity: seconds in each heart-rate zone, hrTSS (points), kilometres and their worth on
    the flat, and weighted power (W).

    recordings: READ, in any order; of two of an activity the newest ingestion counts. activity: the position of each
    one's activity in the other arrays, NaN where unknown; zone_edges (activities, 4): where zones 2 to 5 begin (bpm).
    Zones and hrTSS are NaN where the heart rate hangs, covers too little of the moving time, or the edges are unknown
    (hrTSS: the maximum is, or is not above the resting one); the kilometres where either is unknown; all where there
    is no recording.
    """
    totals: dict[str, Floats] = {name: np.full(len(hr_max), np.nan) for name in TOTALS}
    newest = _newest(recordings, activity)
    recordings, activity = recordings.take(pa.array(newest)), activity[newest]
    seconds = _histograms(recordings["seconds_by_bpm"])
    is_flat = pc.fill_null(recordings["has_flat_heart_rate"], False).to_numpy().astype(bool)
    highest, lowest = hr_max[activity], resting_hr[activity]
    covered = seconds.sum(axis=1)
    speaks = (covered > 0) & (covered >= RECORDED_SHARE * 60 * moving_time_min[activity]) & ~is_flat
    edges = zone_edges[activity]
    has_zones = speaks & ~np.isnan(edges[:, 0])
    zone = 1 + sum((BPM[None, :] >= edge[:, None]).astype(np.int8) for edge in edges.T)
    for number, name in zip(ZONES, RECORDED_SECONDS, strict=True):
        totals[name][activity] = np.where(has_zones, np.where(zone == number, seconds, 0.0).sum(axis=1), np.nan)

    factor, exponent = banister_weights(is_female[activity][:, None])
    has_load = speaks & (highest > lowest)
    reserve_bpm = np.where(has_load, highest - lowest, 1.0)[:, None]
    reserve = np.maximum(reserve_share(BPM[None, :], lowest[:, None], lowest[:, None] + reserve_bpm), 0.0)
    at_threshold = threshold_reserve[activity][:, None]
    load = heart_rate_tss(seconds / 60, reserve, factor, exponent, at_threshold).sum(axis=1)
    totals["recorded_hr_tss"][activity] = np.where(has_load, load, np.nan)

    metres, flat = finite(recordings["distance"]), finite(recordings["graded_distance"])
    is_graded = (metres > 0) & (flat > 0)
    totals["recorded_km"][activity] = np.where(is_graded, metres / 1000, np.nan)
    totals["recorded_flat_km"][activity] = np.where(is_graded, flat / 1000, np.nan)
    totals["recorded_power_w"][activity] = finite(recordings["weighted_power_w"])
    return totals


def banister_weights(is_female: Mask) -> tuple[Floats, Floats]:
    """Banister's factor and exponent by sex."""
    of_women, of_men = BANISTER_WEIGHTS["F"], BANISTER_WEIGHTS["M"]
    return np.where(is_female, of_women[0], of_men[0]), np.where(is_female, of_women[1], of_men[1])


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


def _newest(recordings: pa.Table, activity: Integers) -> Integers:
    """The positions that count, one an activity; of recordings that were written at once the one that tells more."""
    tells = [np.nan_to_num(finite(recordings[name]), nan=-np.inf) for name in ("graded_distance", "distance")]
    covered = _histograms(recordings["seconds_by_bpm"]).sum(axis=1)
    order = np.lexsort((*tells, covered, ingestion(recordings), activity))
    return order[np.roll(begins(activity[order]), -1)]
