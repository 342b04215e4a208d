"""athlete_monthly_features: what is asked of a whole history, a month at a time.

The first day of an athlete, streaks and bests rest on all days and all runs that there ever were. A month says of its
own what they need, once; whoever asks then reads a row where thirty days and a dozen activities stand.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from athlete_assets import tables
from athlete_assets.days import Days
from athlete_assets.features.cells import athletes_of, epoch_days, is_in, is_true, known, rows_of
from athlete_assets.features.efforts import effort_time
from athlete_assets.formulas.race_times import HIGHEST_VDOT, vdot_time
from athlete_assets.store.base import Store
from athlete_assets.store.by_athlete import apply_together
from athlete_assets.store.scans import of_days

DISTANCE_TOLERANCE = 0.02
"""A run counts for a race distance when it is within this share of it; its time is scaled to the distance."""
BITS = 32
"""A month's days as bits: one more than the longest month has days."""
_READ = ("sport_type", "distance_km", "moving_time_min", "elapsed_time_min", "pace_min_km", "is_race")
"""The columns of ACTIVITY that count, beside athlete and day."""
_PART = {**tables.ACTIVITY.types("activity_date"), "kind": tables.STRING, "part_s": tables.DOUBLE}
"""The best of a part of a run."""


def monthly_features(activities: DataFrame, efforts: DataFrame | None, days: Days | None = None) -> DataFrame:
    """MONTHLY rows of the months that the days touch, of all months without days: one for each athlete and month with
    an activity.

    activities: ACTIVITY rows of these whole months (others are ignored). efforts: silver.strava_best_effort, whole or
    the part that matters; None where there is no such table. Bests are of runs (RUN_SPORTS): of a whole one within
    DISTANCE_TOLERANCE of the distance that has a pace and is an effort (features.efforts), its time scaled to the
    distance; and of parts of runs. Left out is what is faster than HIGHEST_VDOT. Of equal times the first day counts.
    """
    if days is not None:
        activities = of_days(activities, tables.ACTIVITY, days.whole_months)
    inputs = {"activities": (activities, tables.ACTIVITY.types("activity_date", *_READ))}
    if efforts is not None:
        inputs["parts"] = (_parts(efforts, activities), _PART)
    return apply_together(inputs, bucket_months, tables.MONTHLY.ddl)


def _parts(efforts: DataFrame, activities: DataFrame) -> DataFrame:
    """The best efforts inside runs over the distances of bests, each with its run's day."""
    runs = activities.where(F.col("sport_type").isin(*tables.RUN_SPORTS))
    return (
        efforts.where(F.col("kind").isin(*tables.BEST_DISTANCES_M))
        .join(runs.select("athlete_id", "activity_id", "activity_date"), on=["athlete_id", "activity_id"], how="inner")
        .select("athlete_id", "activity_date", "kind", F.col("elapsed_time").alias("part_s"))
    )


def bucket_months(inputs: Mapping[str, pa.Table]) -> pa.Table:
    """MONTHLY rows of the athletes of a bucket, of their ACTIVITY rows in whole months and the parts of these runs."""
    athletes, coded = athletes_of(inputs)
    month, day = _calendar(epoch_days(inputs["activities"], "activity_date"))
    first, months = (int(month.min()), int(np.ptp(month)) + 1) if len(month) else (0, 0)
    cell, cells = coded["activities"] * months + month - first, len(athletes) * months
    count = np.bincount(cell, minlength=cells)
    is_active = np.zeros((cells, BITS), dtype=bool)
    is_active[cell, day] = True
    columns = {
        "activities": count.astype(np.float64),
        "active_days": np.packbits(is_active, axis=1, bitorder="little").view("<u4").ravel().astype(np.float64),
    }
    of, distance, seconds = _efforts_of_runs(inputs["activities"])
    cell, day = cell[of], day[of]
    if "parts" in inputs:
        month, of_parts = _calendar(epoch_days(inputs["parts"], "activity_date"))
        of, *parts = _efforts_in_runs(inputs["parts"])
        cell = np.append(cell, (coded["parts"] * months + month - first)[of])
        day = np.append(day, of_parts[of])
        distance, seconds = np.append(distance, parts[0]), np.append(seconds, parts[1])
    best, of_day = fastest(cell * len(_METRES) + distance, day + 1, seconds, cells * len(_METRES))
    for number, name in enumerate(tables.BEST_DISTANCES_M):
        columns |= {f"best_{name}_s": best[number :: len(_METRES)], f"best_{name}_day": of_day[number :: len(_METRES)]}
    asked = np.flatnonzero(count)
    athlete, month = np.divmod(asked, max(1, months))
    values = {name: value[asked] for name, value in columns.items()}
    return rows_of(tables.MONTHLY, values, athletes.take(pa.array(athlete)), _first_days(first + month))


def _calendar(epoch_day: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Months since 1970-01, and days since the first of the month."""
    month = epoch_day.astype("datetime64[D]").astype("datetime64[M]").astype(np.int64)
    return month, epoch_day - _first_days(month)


def _first_days(month: NDArray[np.int64]) -> NDArray[np.int64]:
    """The epoch days on which months since 1970-01 begin."""
    return month.astype("datetime64[M]").astype("datetime64[D]").astype(np.int64)


Efforts = tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float64]]
"""Of each effort its row, the number of its distance among the bests', and its time (s)."""
_METRES = np.array(list(tables.BEST_DISTANCES_M.values()))
_SHORTEST_S = vdot_time(HIGHEST_VDOT, _METRES)
"""Faster is no person."""


def _efforts_of_runs(activities: pa.Table) -> Efforts:
    km, moving, elapsed = (known(activities, name) for name in ("distance_km", "moving_time_min", "elapsed_time_min"))
    time = effort_time(moving, elapsed, is_true(activities, "is_race"))
    # no pace: no person runs so, or the heart rate contradicts it
    is_paced = is_in(activities, "sport_type", tables.RUN_SPORTS) & activities["pace_min_km"].is_valid().to_numpy()
    runs = np.flatnonzero(is_paced & ~np.isnan(time))
    metres, time = km[runs] * 1000, time[runs]
    near = [np.flatnonzero(np.abs(metres / wanted - 1) <= DISTANCE_TOLERANCE) for wanted in _METRES]
    of, distance = np.concatenate(near), np.repeat(np.arange(len(_METRES)), [len(rows) for rows in near])
    return _plausible(runs[of], distance, time[of] * 60 * _METRES[distance] / metres[of])


def _efforts_in_runs(parts: pa.Table) -> Efforts:
    kinds = pa.array(tables.BEST_DISTANCES_M, pa.string())
    distance = pc.index_in(parts["kind"], value_set=kinds).to_numpy().astype(np.intp)
    return _plausible(np.arange(len(parts)), distance, known(parts, "part_s"))


def _plausible(rows: NDArray[np.intp], distance: NDArray[np.intp], seconds: NDArray[np.float64]) -> Efforts:
    is_slow = seconds >= _SHORTEST_S[distance]
    return rows[is_slow], distance[is_slow], seconds[is_slow]


def fastest(
    cell: NDArray[np.intp], day: NDArray[np.int64], seconds: NDArray[np.float64], cells: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """By cell the smallest time and its day, of equal times the first one; NaN where there is none."""
    timed = np.flatnonzero(~np.isnan(seconds))
    order = timed[np.lexsort((day[timed], seconds[timed], cell[timed]))]
    best = order[np.flatnonzero(np.diff(cell[order], prepend=-1))]
    time, of = np.full(cells, np.nan), np.full(cells, np.nan)
    time[cell[best]], of[cell[best]] = seconds[best], day[best]
    return time, of


def days_as_bits(months: pa.Table) -> NDArray[np.uint8]:
    """MONTHLY rows as (rows, BITS): 1 where the day of the month, from 0, has an activity."""
    of_bytes = months["active_days"].to_numpy().astype("<u4").view(np.uint8).reshape(-1, BITS // 8)
    return np.unpackbits(of_bytes, axis=1, bitorder="little")


def active_days(months: pa.Table) -> tuple[NDArray[np.intp], NDArray[np.int64]]:
    """The days with an activity of MONTHLY rows: of each its row, and its epoch day."""
    row, bit = np.nonzero(days_as_bits(months))
    return row, epoch_days(months, "month_start")[row] + bit


def first_active_days(months: pa.Table) -> NDArray[np.int64]:
    """The first epoch day with an activity of each MONTHLY row."""
    bits = months["active_days"].to_numpy()
    return epoch_days(months, "month_start") + np.log2(bits & -bits).astype(np.int64)


def are_whole(store: Store) -> bool:
    """Whether the stored months hold as many activities as are stored: else some of them are still to be made, as in a
    home from before there were months, or are out of date, as after a step that was killed."""
    held = store.read(tables.MONTHLY).agg(F.sum("activities")).collect()[0][0] or 0
    return bool(held == store.count(tables.ACTIVITY))


def all_months(store: Store) -> DataFrame:
    """MONTHLY rows of all that is stored: as they stand there, or made anew where those are not whole."""
    if are_whole(store):
        return store.read(tables.MONTHLY)
    made = monthly_features(store.read(tables.ACTIVITY), store.read_if_there(tables.STRAVA_BEST_EFFORT))
    return store.held(made)
