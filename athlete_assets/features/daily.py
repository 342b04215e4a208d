"""athlete_daily_features: a dense calendar of each athlete's days, rest days included.

A NumPy kernel adds up in the calendar's cells what each activity adds, a hash bucket of athletes at a time. To group by
athlete and day, most of which hold one activity, takes the engine longer than all the rest.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from athlete_assets import tables
from athlete_assets.days import Days, midnight
from athlete_assets.features.cells import athletes_of, epoch_days, first_epoch_day, is_in, is_true, known, rows_of
from athlete_assets.features.efforts import effort_time
from athlete_assets.features.monthly import first_active_days
from athlete_assets.store.by_athlete import apply_together
from athlete_assets.store.scans import of_days

BEST_PACE_FROM_KM = 1.0
"""Shorter runs say more about the GPS than about the runner."""


def daily_features(activities: DataFrame, days: Days, months: DataFrame | None = None) -> DataFrame:
    """DAILY rows of the days: one for each athlete and day from the athlete's first activity to days.last.

    activities: ACTIVITY rows of all history up to days.last (later ones are ignored); of the days alone where months
    are given, MONTHLY rows of all history, which tell the first activities. A value that is null, NaN or infinite adds
    nothing; an activity with such a load counts as untracked. Pace is total moving time over total distance of the
    runs: speed averaged by time.

    Which rows exist hangs on the athlete's FIRST activity. Where that one is added, removed or moved, the affected
    days are those from the earlier to the later of the old and the new first day (simplest: all days from the
    touched one on), not the touched day alone.
    """
    inputs = {
        "begun": (_first_days(activities, days) if months is None else months, BEGUN),
        "activities": (of_days(activities, tables.ACTIVITY, days), tables.ACTIVITY.types("activity_date", *_READ)),
    }
    kernel = partial(dense_days, first=first_epoch_day(days), length=len(days))
    return apply_together(inputs, kernel, tables.DAILY.ddl)


BEGUN = tables.MONTHLY.types("month_start", "active_days")
"""The columns of MONTHLY that tell on which day an athlete began."""


def _first_days(activities: DataFrame, days: Days) -> DataFrame:
    """The athletes' first days up to the last of the days, as months that begin with them."""
    past = activities.where(F.col("activity_date") <= F.lit(midnight(days.last)))
    firsts = past.groupBy("athlete_id").agg(F.min("activity_date").alias("month_start"))
    return firsts.withColumn("active_days", F.lit(1).cast("bigint"))


_READ = (
    "sport_type",
    "distance_km",
    "moving_time_min",
    "elapsed_time_min",
    "elevation_gain_m",
    "estimated_tss",
    "pace_min_km",
    "is_race",
)
"""The columns of ACTIVITY that count, beside athlete and day."""


def _added(activities: pa.Table) -> dict[str, NDArray[np.float64]]:
    """What each activity adds to its day, NaN what does not count: of a run with a distance and a pace also as one."""
    distance, moving_time = known(activities, "distance_km"), known(activities, "moving_time_min")
    effort = effort_time(moving_time, known(activities, "elapsed_time_min"), is_true(activities, "is_race"))
    is_run = is_in(activities, "sport_type", tables.RUN_SPORTS) & (distance > 0)
    is_run &= ~np.isnan(known(activities, "pace_min_km"))
    is_paced = is_run & (distance >= BEST_PACE_FROM_KM)
    return {
        "distance_km": distance,
        "moving_time_min": moving_time,
        "elevation_gain_m": known(activities, "elevation_gain_m"),
        "daily_tss": known(activities, "estimated_tss"),
        "run_distance_km": np.where(is_run, distance, np.nan),
        "run_moving_time_min": np.where(is_run, moving_time, np.nan),
        "best_pace_min_km": np.divide(effort, distance, out=np.full(len(distance), np.nan), where=is_paced),
    }


def dense_days(inputs: Mapping[str, pa.Table], first: int, length: int) -> pa.Table:
    """DAILY rows of `length` days from epoch day `first`: one for each day of the athletes of a bucket from their first
    one on, of their rows of ACTIVITY in the days and the months in which they have begun."""
    athletes, coded = athletes_of(inputs)
    begin = np.full(len(athletes), first + length)
    np.minimum.at(begin, coded["begun"], np.maximum(first_active_days(inputs["begun"]), first))
    rows = np.maximum(first + length - begin, 0)
    start = np.cumsum(rows) - rows
    athlete = np.repeat(np.arange(len(athletes)), rows)
    day = begin[athlete] + np.arange(len(athlete)) - start[athlete]
    of, activities = coded["activities"], inputs["activities"]
    place = start[of] + epoch_days(activities, "activity_date") - begin[of]
    value = _added(activities)
    is_known = {name: ~np.isnan(values) for name, values in value.items()}

    def total(added: NDArray[Any]) -> NDArray[np.float64]:
        return np.bincount(place, added, len(athlete)).astype(np.float64)  # of no rows it is one of integers

    def extreme(combine: np.ufunc, name: str, nothing: float) -> NDArray[np.float64]:
        found = np.full(len(athlete), nothing)
        combine.at(found, place[is_known[name]], value[name][is_known[name]])
        return np.where(np.isinf(found), np.nan, found)

    columns = {name: total(np.where(is_known[name], value[name], 0.0)) for name in value if name != "best_pace_min_km"}
    columns["activities"] = total(np.ones(len(place)))
    columns["untracked_activities"] = total(~is_known["daily_tss"])
    columns["runs"] = total(is_known["run_distance_km"])
    columns["is_rest_day"] = (columns["activities"] == 0).astype(np.float64)
    columns["best_pace_min_km"] = extreme(np.minimum, "best_pace_min_km", np.inf)
    columns["longest_run_km"] = extreme(np.maximum, "run_distance_km", -np.inf)
    is_timed = total(is_known["run_moving_time_min"]) > 0
    distance = np.where(is_timed, columns["run_distance_km"], np.nan)
    columns["avg_pace_min_km"] = columns["run_moving_time_min"] / distance
    return rows_of(tables.DAILY, columns, athletes.take(pa.array(athlete)), day)
