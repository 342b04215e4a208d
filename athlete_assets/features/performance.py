"""athlete_performance_features: what the runs up to the end of each day say about race times.

Times are compared as equivalents over 10 km (Riegel), so that a 5 km run and a half marathon stand in one column. One
NumPy pass over a hash bucket of athletes, as in `rolling`. Windows are 365 days at most, and what a run is compared
with reaches 180 days further: nothing that a row rests on lies before LOOKBACK_DAYS, so it is the same in whatever
range it is computed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from athlete_assets import tables
from athlete_assets.days import Days
from athlete_assets.features.cells import athletes_of, first_epoch_day, rows_of_cells
from athlete_assets.features.efforts import CLOCKLESS_LEAD, effort_time, has_clock
from athlete_assets.formulas import sequences
from athlete_assets.formulas.race_times import HIGHEST_VDOT, RECENT_EFFORT_DAYS, RIEGEL_EXPONENT, vdot
from athlete_assets.store.by_athlete import apply_together
from athlete_assets.store.columns import known, within

Floats = NDArray[np.float64]

LOOKBACK_DAYS = 545
"""ACTIVITY rows that the first day of a range needs before it: windows of 365 days over runs judged by 180 more."""
REFERENCE_M = 10_000.0

EFFORT_FROM_M, SHORT_FROM_M, EFFORT_TO_M = 3_000.0, 1_500.0, 60_000.0
"""Runs that count as efforts; those from SHORT_FROM_M on only where heart rate says how hard they were."""
BEST_DAYS = (14, 30, 90, 180, 365)
BLOCK_DAYS = 60
HISTORY_DAYS = 365
NEAR_DISTANCE = (0.98, 1.06)
"""Share of a distance that a run may have to count as a run over it; GPS tracks read long rather than short."""

USUAL_DAYS, USUAL_MIN_DAYS = 180, 5
TOO_FAST, TOO_FAST_AT_EASE = 0.45, 0.25
"""A run is a vehicle where its logarithm of speed is so far above the athlete's median of the last 180 days; the
smaller distance counts where the heart rate was below its median too. Rides that were recorded as runs look like this.
"""

HARD_HR_DAYS, HARD_HR_QUANTILE, HARD_HR_MIN_DAYS = 180, 0.95, 8
HARD_HR_MARGIN_BPM = 4.0
HR_LINE_DAYS, HR_LINE_MIN_RUNS, HR_RECENT_DAYS, HR_RECENT_MIN_RUNS = 120, 6, 30, 3
HR_FROM_M = 2_000.0
HR_CENTRE_BPM, HR_SCALE_BPM = 145.0, 30.0
HR_SLOPE_PRIOR, HR_SLOPE_PRIOR_WEIGHT = 0.12, 0.5
"""The line of log speed over heart rate is drawn towards a gain of 12 % for 30 bpm: real runs span few heart rates."""

VALUES = ("metres", "seconds", "effort_seconds", "has_clock", "graded_seconds", "bpm")
INPUTS = {"day": tables.INT, **dict.fromkeys(VALUES, tables.DOUBLE)}
"""Of a run, and of the best of a part of a run. Parts count among the bests alone: what is typical, how often somebody
runs and at what heart rate are said of whole runs."""


def performance_features(
    daily: DataFrame, activities: DataFrame, days: Days, efforts: DataFrame | None = None
) -> DataFrame:
    """PERFORMANCE rows of the days: one for each DAILY row in them, the state at its end.

    activities: ACTIVITY rows of the days and of LOOKBACK_DAYS before them; earlier and later ones are ignored.
    efforts: silver.strava_best_effort, whole or the part that matters; None where there is no such table.
    """
    calendar = daily.where(within(tables.DAILY, days)).select(
        "athlete_id", F.unix_date(F.col("activity_date").cast("date")).alias("day")
    )
    metres = known("distance_km") * 1000
    moving, elapsed = known("moving_time_min"), known("elapsed_time_min")
    runs = activities.where(
        within(tables.ACTIVITY, days.starting_earlier(LOOKBACK_DAYS))
        & F.col("sport_type").isin(*tables.RUN_SPORTS)
        & (metres > 0)
        & (known("moving_time_min") > 0)
    ).select(
        "athlete_id",
        F.unix_date(F.col("activity_date").cast("date")).alias("day"),
        metres.alias("metres"),
        (moving * 60).alias("seconds"),
        (effort_time(moving, elapsed, F.col("is_race")) * 60).alias("effort_seconds"),
        (F.col("is_race") | has_clock(moving, elapsed)).cast("double").alias("has_clock"),
        (known("grade_adjusted_pace_min_km") * known("distance_km") * 60).alias("graded_seconds"),
        known("avg_hr").alias("bpm"),
    )
    inputs = {"days": (calendar, {"day": tables.INT}), "runs": (runs, INPUTS)}
    if efforts is not None:
        inputs["parts"] = (_parts(efforts, activities, days), INPUTS)
    kernel = partial(bucket_states, first=first_epoch_day(days), length=len(days))
    return apply_together(inputs, kernel, tables.PERFORMANCE.ddl)


def _parts(efforts: DataFrame, activities: DataFrame, days: Days) -> DataFrame:
    """The best efforts inside the runs, as input rows: their clock ran on, their heart rate is not looked at."""
    runs = activities.where(
        within(tables.ACTIVITY, days.starting_earlier(LOOKBACK_DAYS)) & F.col("sport_type").isin(*tables.RUN_SPORTS)
    ).select("athlete_id", "activity_id", "activity_date")
    metres, seconds = known("distance"), known("elapsed_time")
    parts = efforts.where((metres >= EFFORT_FROM_M) & (seconds > 0)).select(
        "athlete_id", "activity_id", metres.alias("metres"), seconds.alias("seconds")
    )
    nothing = F.lit(None).cast("double")
    return parts.join(runs, on=["athlete_id", "activity_id"], how="inner").select(
        "athlete_id",
        F.unix_date(F.col("activity_date").cast("date")).alias("day"),
        "metres",
        "seconds",
        F.col("seconds").alias("effort_seconds"),
        F.lit(1.0).alias("has_clock"),
        nothing.alias("graded_seconds"),
        nothing.alias("bpm"),
    )


def bucket_states(inputs: Mapping[str, pa.Table], first: int, length: int) -> pa.Table:
    """PERFORMANCE rows of `length` days from epoch day `first` for the athletes of a bucket, of its input rows."""
    athletes, coded = athletes_of(inputs)
    is_row = np.zeros((length, len(athletes)), dtype=bool)
    is_row[inputs["days"]["day"].to_numpy() - first, coded["days"]] = True
    runs = _Runs.of(inputs, coded, first, (LOOKBACK_DAYS + length, len(athletes))).without_vehicles()
    columns = {
        **_recent_effort(runs),
        **_levels(runs),
        **_distance_history(runs),
        **_volume(runs),
        **_heart_rate(runs),
    }
    return rows_of_cells(tables.PERFORMANCE, columns, is_row, athletes, first)


@dataclass(frozen=True)
class _Runs:
    """A bucket's runs and the best of their parts, sorted, so that sums have one order. `row` counts days from
    LOOKBACK_DAYS before the range."""

    row: NDArray[np.int64]
    athlete: NDArray[np.intp]
    metres: Floats
    seconds: Floats
    bpm: Floats
    equivalent: Floats
    """Natural logarithm of the equivalent over REFERENCE_M (s)."""
    graded: Floats
    """The same of the flat time of equal effort, where split elevation is known."""
    is_whole: NDArray[np.bool_]
    is_plausible: NDArray[np.bool_]
    is_continuous: NDArray[np.bool_]
    has_clock: NDArray[np.bool_]
    shape: tuple[int, int]
    length: int

    @classmethod
    def of(
        cls, inputs: Mapping[str, pa.Table], coded: Mapping[str, NDArray[np.intp]], first: int, shape: tuple[int, int]
    ) -> _Runs:
        kinds = [name for name in ("runs", "parts") if name in inputs]
        athlete = np.concatenate([coded[name] for name in kinds])
        is_whole = np.concatenate([np.full(len(coded[name]), name == "runs") for name in kinds])
        rows = pa.concat_tables([inputs[name].select(list(INPUTS)) for name in kinds])
        row = rows["day"].to_numpy().astype(np.int64) - first + LOOKBACK_DAYS
        metres, moving, clock, has_clock, graded, bpm = (rows[name].to_numpy() for name in VALUES)
        order = np.lexsort((is_whole, has_clock, clock, bpm, metres, moving, athlete, row))
        row, athlete, metres, moving, clock, has_clock, graded, bpm, is_whole = (
            values[order] for values in (row, athlete, metres, moving, clock, has_clock, graded, bpm, is_whole)
        )
        is_continuous = np.isfinite(clock)
        seconds = np.where(is_continuous, clock, moving)
        scale = -RIEGEL_EXPONENT * np.log(metres / REFERENCE_M)
        graded = np.where(np.isfinite(graded) & (graded > 0), graded, seconds)
        with np.errstate(invalid="ignore"):
            is_plausible = (metres >= SHORT_FROM_M) & (metres <= EFFORT_TO_M) & (vdot(metres, seconds) <= HIGHEST_VDOT)
        return cls(
            row=row,
            athlete=athlete,
            metres=metres,
            seconds=seconds,
            bpm=bpm,
            equivalent=np.log(seconds) + scale,
            graded=np.log(graded) + scale,
            is_whole=is_whole,
            is_plausible=is_plausible,
            is_continuous=is_continuous,
            has_clock=has_clock == 1,
            shape=shape,
            length=shape[0] - LOOKBACK_DAYS,
        )

    def without_vehicles(self) -> _Runs:
        """The same runs, with those that are implausible for this athlete marked so."""
        is_long = self.is_plausible & self.is_whole & (self.metres >= EFFORT_FROM_M)
        level = self.whole_quantile(self.best_of_day(self.equivalent, is_long), USUAL_DAYS, 0.5, USUAL_MIN_DAYS)
        has_hr = self.is_plausible & np.isfinite(self.bpm)
        hardest = -self.best_of_day(-np.where(has_hr, self.bpm, 0.0), has_hr)
        usual_bpm = self.whole_quantile(hardest, USUAL_DAYS, 0.5, USUAL_MIN_DAYS)
        at = self.row, self.athlete
        with np.errstate(invalid="ignore"):
            lead = level[at] - self.equivalent
            is_vehicle = (lead > TOO_FAST) | ((lead > TOO_FAST_AT_EASE) & (self.bpm < usual_bpm[at]))
            is_unsure = ~self.has_clock & (lead > np.log(CLOCKLESS_LEAD))
        return replace(
            self, is_plausible=self.is_plausible & ~is_vehicle, is_continuous=self.is_continuous & ~is_unsure
        )

    @property
    def is_effort(self) -> NDArray[np.bool_]:
        return self.is_plausible & self.is_continuous & (self.metres >= EFFORT_FROM_M)

    def best_of_day(self, values: Floats, chosen: NDArray[np.bool_]) -> Floats:
        """(days, athletes): the smallest value of the chosen runs of each day; infinite without one."""
        result = np.full(self.shape, np.inf)
        np.minimum.at(result, (self.row[chosen], self.athlete[chosen]), values[chosen])
        return result

    def sum_of_day(self, values: Floats, chosen: NDArray[np.bool_]) -> Floats:
        """(days, athletes): the sum over the chosen runs of each day; 0 without one."""
        cell = self.row[chosen] * self.shape[1] + self.athlete[chosen]
        sums = np.bincount(cell, values[chosen], minlength=self.shape[0] * self.shape[1])
        return sums.astype(np.float64).reshape(self.shape)

    def count_of_day(self, chosen: NDArray[np.bool_]) -> Floats:
        return self.sum_of_day(np.ones(len(self.row)), chosen)

    def window(self, combine: Any, values: Floats, days: int, before: int = 0) -> Floats:
        """(length, athletes): the values combined over the last `days` days, ending `before` days before each day."""
        end = len(values) - before
        combined: Floats = sequences.sliding(combine, values[end - self.length - days + 1 : end], days)
        return combined

    def best(self, best_of_day: Floats, days: int, before: int = 0) -> Floats:
        """Smallest value of the window; NaN without one."""
        best = self.window(np.minimum, best_of_day, days, before)
        return np.where(np.isfinite(best), best, np.nan)

    def days_with(self, best_of_day: Floats, days: int) -> Floats:
        return self.window(np.add, np.isfinite(best_of_day).astype(np.float64), days)

    def quantile(self, of_day: Floats, days: int, quantile: float) -> Floats:
        """Quantile of the finite values of the window's days, interpolated; NaN without one."""
        return self.whole_quantile(of_day[-(self.length + days - 1) :], days, quantile)[-self.length :]

    def whole_quantile(self, of_day: Floats, days: int, quantile: float, at_least: int = 1) -> Floats:
        """The same for every row given; those with less than `days` rows before them take what there is."""
        import pandas as pd
        from pandas.api.indexers import BaseIndexer

        class OfEachAthlete(BaseIndexer):  # type: ignore[misc]
            """The last `days` values of the athlete whose column, one below the other, a value is in."""

            def get_window_bounds(  # type: ignore[override]  # NumPy 2.2 has shapes in its types
                self,
                num_values: int = 0,
                min_periods: int | None = None,
                center: bool | None = None,
                closed: str | None = None,
                step: int | None = None,
            ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
                row = np.arange(num_values, dtype=np.int64)
                return np.maximum(row - days + 1, row // len(of_day) * len(of_day)), row + 1

        # as one column, since pandas takes longer to begin with a column than for its values
        values = pd.Series(np.where(np.isfinite(of_day), of_day, np.nan).ravel(order="F"))
        quantiles: Floats = values.rolling(OfEachAthlete(), min_periods=at_least).quantile(quantile).to_numpy()
        return quantiles.reshape(of_day.shape, order="F")


def _recent_effort(runs: _Runs) -> dict[str, Floats]:
    """The run behind the baseline: recent form where there is some, older bests where there is not."""
    order = np.argsort(-runs.equivalent, kind="stable")  # of a day's runs the best is written last, and stays
    order = order[runs.is_effort[order]]
    cells = runs.row[order], runs.athlete[order]
    best_of_day, metres, seconds = np.full(runs.shape, np.inf), np.full(runs.shape, np.nan), np.full(runs.shape, np.nan)
    best_of_day[cells], metres[cells], seconds[cells] = (
        runs.equivalent[order],
        runs.metres[order],
        runs.seconds[order],
    )
    chosen: NDArray[np.int64] = np.full((runs.length, runs.shape[1]), -1)
    for days in RECENT_EFFORT_DAYS:
        offset = len(best_of_day) - (runs.length + days - 1)
        tail = best_of_day[offset:]
        best = sequences.sliding_argmin(tail, days) + offset
        exists = np.isfinite(np.take_along_axis(best_of_day, best, axis=0))
        chosen = np.where((chosen < 0) & exists, best, chosen)
    exists = chosen >= 0
    at = np.maximum(chosen, 0)
    today = LOOKBACK_DAYS + np.arange(runs.length)[:, None]
    return {
        "recent_effort_distance_m": np.where(exists, np.take_along_axis(metres, at, axis=0), np.nan),
        "recent_effort_time_s": np.where(exists, np.take_along_axis(seconds, at, axis=0), np.nan),
        "recent_effort_age_days": np.where(exists, today - at, np.nan),
    }


def _levels(runs: _Runs) -> dict[str, Floats]:
    """Best and typical equivalents over windows."""
    bests = runs.best_of_day(runs.equivalent, runs.is_effort)
    of_day = runs.best_of_day(runs.equivalent, runs.is_effort & runs.is_whole)
    return {
        **{f"best_{days}d_10k_s": np.exp(runs.best(bests, days)) for days in BEST_DAYS},
        "quarter_60d_10k_s": np.exp(runs.quantile(of_day, 60, 0.25)),
        "median_60d_10k_s": np.exp(runs.quantile(of_day, 60, 0.5)),
        "tenth_180d_10k_s": np.exp(runs.quantile(of_day, 180, 0.1)),
        "median_180d_10k_s": np.exp(runs.quantile(of_day, 180, 0.5)),
        "run_days_60d": runs.days_with(of_day, 60),
    }


def _distance_history(runs: _Runs) -> dict[str, Floats]:
    """Times at each distance of EFFORT_DISTANCES_M, scaled to it."""
    columns: dict[str, Floats] = {}
    rows = np.arange(runs.shape[0])[:, None]
    for name, target in tables.EFFORT_DISTANCES_M.items():
        share = runs.metres / target
        near = runs.is_plausible & runs.is_continuous & (share >= NEAR_DISTANCE[0]) & (share <= NEAR_DISTANCE[1])
        bests = runs.best_of_day(runs.equivalent, near)
        of_day = runs.best_of_day(runs.equivalent, near & runs.is_whole)
        scale = (target / REFERENCE_M) ** RIEGEL_EXPONENT
        newest = runs.window(np.maximum, np.where(np.isfinite(of_day), rows, -1), HISTORY_DAYS)
        exists = newest >= 0
        latest = np.take_along_axis(of_day, np.maximum(newest, 0), axis=0)
        columns |= {
            f"best_{name}_60d_s": np.exp(runs.best(bests, BLOCK_DAYS)) * scale,
            f"best_{name}_before_s": np.exp(runs.best(bests, BLOCK_DAYS, before=BLOCK_DAYS)) * scale,
            f"best_{name}_365d_s": np.exp(runs.best(bests, HISTORY_DAYS)) * scale,
            f"median_{name}_365d_s": np.exp(runs.quantile(of_day, HISTORY_DAYS, 0.5)) * scale,
            f"latest_{name}_s": np.where(exists, np.exp(latest) * scale, np.nan),
            f"latest_{name}_age_days": np.where(
                exists, LOOKBACK_DAYS + np.arange(runs.length)[:, None] - newest, np.nan
            ),
            f"days_with_{name}_60d": runs.days_with(of_day, BLOCK_DAYS),
            f"days_with_{name}_365d": runs.days_with(of_day, HISTORY_DAYS),
        }
    return columns


def _volume(runs: _Runs) -> dict[str, Floats]:
    every = runs.is_whole
    distance = runs.sum_of_day(runs.metres / 1000, every)
    is_active = runs.count_of_day(every) > 0
    longest = -runs.best_of_day(-runs.metres / 1000, every)
    rows = np.arange(runs.shape[0])[:, None]
    today = LOOKBACK_DAYS + np.arange(runs.length)[:, None]
    newest = runs.window(np.maximum, np.where(is_active, rows, -1), HISTORY_DAYS)
    oldest = runs.window(np.minimum, np.where(is_active, rows, runs.shape[0]), HISTORY_DAYS)
    exists = newest >= 0

    def longest_of(days: int) -> Floats:
        value = runs.window(np.maximum, longest, days)
        return np.where(np.isfinite(value), value, np.nan)

    return {
        **{f"run_distance_{days}d_km": runs.window(np.add, distance, days) for days in (7, 28, 90, 365)},
        **{f"run_days_{days}d": runs.window(np.add, is_active.astype(np.float64), days) for days in (14, 28, 90)},
        "longest_run_28d_km": longest_of(28),
        "longest_run_90d_km": longest_of(90),
        "days_since_run": np.where(exists, today - newest, np.nan),
        "run_history_days": np.where(exists, today - oldest, np.nan),
    }


def _heart_rate(runs: _Runs) -> dict[str, Floats]:
    """How hard the athlete runs, and what speed the hardest heart rate would give.

    Speed is that of equal effort on the flat where split elevation is known. Least squares of log speed on heart rate,
    both about fixed centres so that the sums keep their digits, with a prior on the slope.
    """
    has_hr = runs.is_plausible & np.isfinite(runs.bpm) & (runs.metres >= HR_FROM_M)
    hardest = -runs.best_of_day(-np.where(has_hr, runs.bpm, 0.0), has_hr)
    hard = runs.whole_quantile(hardest, HARD_HR_DAYS, HARD_HR_QUANTILE, HARD_HR_MIN_DAYS)
    hard_today = hard[-runs.length :]
    speed = -runs.graded + np.log(3_000.0)
    effort = (np.where(has_hr, runs.bpm, HR_CENTRE_BPM) - HR_CENTRE_BPM) / HR_SCALE_BPM
    of_day = {
        "n": runs.count_of_day(has_hr),
        "x": runs.sum_of_day(effort, has_hr),
        "v": runs.sum_of_day(speed, has_hr),
        "xx": runs.sum_of_day(effort**2, has_hr),
        "xv": runs.sum_of_day(effort * speed, has_hr),
    }
    n, x, v, xx, xv = (runs.window(np.add, values, HR_LINE_DAYS) for values in of_day.values())
    recent_n, recent_x, recent_v = (runs.window(np.add, of_day[name], HR_RECENT_DAYS) for name in ("n", "x", "v"))
    with np.errstate(divide="ignore", invalid="ignore"):
        mean_x, mean_v = x / n, v / n
        slope = (xv - n * mean_x * mean_v + HR_SLOPE_PRIOR * HR_SLOPE_PRIOR_WEIGHT) / (
            xx - n * mean_x**2 + HR_SLOPE_PRIOR_WEIGHT
        )
        at_hard = mean_v + slope * ((hard_today - HR_CENTRE_BPM) / HR_SCALE_BPM - mean_x)
        recent = recent_v / recent_n - slope * (recent_x / recent_n - mean_x)
        share = (mean_x * HR_SCALE_BPM + HR_CENTRE_BPM) / hard_today
    has_line = n >= HR_LINE_MIN_RUNS

    def seconds(log_speed: Floats, is_known: NDArray[np.bool_]) -> Floats:
        return np.where(is_known, 3_000.0 * np.exp(-log_speed), np.nan)

    # against the hardest heart rate as known on the evening before the run
    before = np.vstack([np.full((1, runs.shape[1]), np.nan), hard[:-1]])
    with np.errstate(invalid="ignore"):
        is_hard = has_hr & runs.is_continuous & (runs.bpm >= before[runs.row, runs.athlete] - HARD_HR_MARGIN_BPM)
    hard_runs = runs.best_of_day(runs.equivalent, is_hard)
    return {
        "hard_hr_bpm": hard_today,
        "usual_hr_share": np.where(has_line, share, np.nan),
        "hr_slope": np.where(has_line, slope, np.nan),
        "hr_predicted_10k_s": seconds(at_hard, has_line & np.isfinite(hard_today)),
        "usual_120d_10k_s": seconds(mean_v, has_line),
        "usual_30d_10k_s": seconds(recent, has_line & (recent_n >= HR_RECENT_MIN_RUNS)),
        "hard_best_180d_10k_s": np.exp(runs.best(hard_runs, HARD_HR_DAYS)),
        "hard_median_180d_10k_s": np.exp(runs.quantile(hard_runs, HARD_HR_DAYS, 0.5)),
        "hard_days_180d": runs.days_with(hard_runs, HARD_HR_DAYS),
    }
