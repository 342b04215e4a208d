"""athlete_weekly_features: the training week, Monday to Sunday.

One NumPy pass over a hash bucket of athletes: their days are put into arrays (day of the week, weeks), in which a day
that is missing is 0. So a week's sums have one order, and the same bits, however its days come.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import DataFrame

from athlete_assets import tables
from athlete_assets.days import Days
from athlete_assets.features.cells import athletes_of, calls_for, epoch_days, first_epoch_day, rows_of
from athlete_assets.formulas import sequences
from athlete_assets.store.by_athlete import apply_together
from athlete_assets.store.scans import of_days

DAYS_A_WEEK = 7
_READ = (
    "distance_km",
    "activities",
    "daily_tss",
    "elevation_gain_m",
    "moving_time_min",
    "longest_run_km",
    "runs",
    "run_distance_km",
    "run_moving_time_min",
)
"""The columns of DAILY that count, beside athlete and day."""


def weekly_features(daily: DataFrame, weeks: Days) -> DataFrame:
    """WEEKLY rows of the whole weeks that `weeks` touches: one for each athlete and week that holds a DAILY row.

    daily: DAILY rows from one week before the first Monday to the last Sunday (others are ignored). Days that are
    missing (before the first activity, or still to come in the running week) count as 0 load.
    """
    weeks = weeks.weeks
    days = of_days(daily, tables.DAILY, weeks.starting_earlier(DAYS_A_WEEK))
    inputs = {"days": (days, tables.DAILY.types("activity_date", *_READ))}
    kernel = partial(bucket_weeks, first=first_epoch_day(weeks), length=len(weeks) // DAYS_A_WEEK)
    return apply_together(inputs, kernel, tables.WEEKLY.ddl, calls_for(weeks))


def bucket_weeks(inputs: Mapping[str, pa.Table], first: int, length: int) -> pa.Table:
    """WEEKLY rows of `length` weeks from the Monday of epoch day `first` for the athletes of a bucket, of their DAILY
    rows in these weeks and the one before."""
    athletes, coded = athletes_of(inputs)
    days, athlete = inputs["days"], coded["days"]
    before = first - DAYS_A_WEEK
    weeks = length + 1
    week, weekday = np.divmod(epoch_days(days, "activity_date") - before, DAYS_A_WEEK)
    cell, cells = athlete * weeks + week, len(athletes) * weeks

    def by_day(name: str, nothing: float = 0.0) -> NDArray[np.float64]:
        """The column as (day of the week, cells)."""
        value = days[name].cast(pa.float64()).to_numpy()
        found = np.full(DAYS_A_WEEK * cells, nothing)
        found[weekday * cells + cell] = np.where(np.isnan(value), nothing, value)
        return found.reshape(DAYS_A_WEEK, cells)

    activities, load = by_day("activities"), by_day("daily_tss")
    distance = by_day("distance_km").sum(axis=0)
    has_days = np.bincount(cell, minlength=cells) > 0
    is_asked = has_days.copy()
    is_asked[::weeks] = False  # the week before
    longest = by_day("longest_run_km", -np.inf).max(axis=0)
    run_time, run_distance = (by_day(name).sum(axis=0) for name in ("run_moving_time_min", "run_distance_km"))
    total, monotony = load.sum(axis=0), sequences.monotony(load, DAYS_A_WEEK)[0]
    distance_before = np.concatenate([[0.0], distance[:-1]])
    ran, moved = by_day("runs").sum(axis=0) > 0, distance_before > 0  # a week without days has no distance
    unknown = np.full(cells, np.nan)
    columns = {
        "weekly_distance_km": distance,
        "weekly_activities": activities.sum(axis=0),
        "weekly_tss": total,
        "weekly_elevation_m": by_day("elevation_gain_m").sum(axis=0),
        "weekly_moving_time_min": by_day("moving_time_min").sum(axis=0),
        "avg_pace_week": np.divide(run_time, run_distance, out=unknown.copy(), where=ran),
        "longest_run_km": np.where(np.isfinite(longest), longest, np.nan),
        "active_days": (activities > 0).sum(axis=0).astype(np.float64),
        "training_monotony": monotony,
        "training_strain": total * monotony,
        "distance_change_pct": (np.divide(distance, distance_before, out=unknown.copy(), where=moved) - 1) * 100,
    }
    asked = np.flatnonzero(is_asked)
    of, number = np.divmod(asked, weeks)
    values = {name: value[asked] for name, value in columns.items()}
    return rows_of(tables.WEEKLY, values, athletes.take(pa.array(of)), before + number * DAYS_A_WEEK)
