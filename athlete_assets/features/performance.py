"""athlete_performance_features: what the runs up to the end of each day say about race times.

Times are compared as equivalents over 10 km (Riegel), so that a 5 km run and a half marathon stand in one column. One
NumPy pass over a hash bucket of athletes, as in `rolling`, but over runs, not over days: a window is a slice of them
(`formulas.slices`), so that one day of many athletes costs a day. Windows are 365 days at most, and what a run is
compared with reaches 180 days further: nothing that a row rests on lies before LOOKBACK_DAYS, so it is the same in
whatever range it is computed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from functools import partial

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import DataFrame

from athlete_assets import tables
from athlete_assets.days import Days
from athlete_assets.features.cells import (
    athletes_of,
    calls_for,
    epoch_days,
    first_epoch_day,
    is_true,
    known,
    rows_of,
)
from athlete_assets.features.efforts import CLOCKLESS_LEAD, effort_time, has_clock
from athlete_assets.formulas.race_times import HIGHEST_VDOT, RECENT_EFFORT_DAYS, RIEGEL_EXPONENT, vdot
from athlete_assets.formulas.slices import Ranked, RowOfSmallest, Smallest, Sums, Windows
from athlete_assets.store import columns
from athlete_assets.store.by_athlete import apply_together
from athlete_assets.store.scans import of_days, of_sports

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

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

ABOVE_THE_MEAN = 0.05
"""How far above the mean logarithm of an athlete's times a bound on their medians is tried: it changes no result."""

HARD_HR_DAYS, HARD_HR_QUANTILE, HARD_HR_MIN_DAYS = 180, 0.95, 8
HARD_HR_MARGIN_BPM = 4.0
HR_LINE_DAYS, HR_LINE_MIN_RUNS, HR_RECENT_DAYS, HR_RECENT_MIN_RUNS = 120, 6, 30, 3
HR_FROM_M = 2_000.0
HR_CENTRE_BPM, HR_SCALE_BPM = 145.0, 30.0
HR_SLOPE_PRIOR, HR_SLOPE_PRIOR_WEIGHT = 0.12, 0.5
"""The line of log speed over heart rate is drawn towards a gain of 12 % for 30 bpm: real runs span few heart rates."""

ORDER_M, _ORDERS = 0.1, 1 << 24
"""A day's runs are put in order by their length, in so many steps of ORDER_M."""

READ = ("distance_km", "moving_time_min", "elapsed_time_min", "is_race", "grade_adjusted_pace_min_km", "avg_hr")
"""The columns of ACTIVITY that count, of a run, beside athlete and day."""
PART = {**tables.ACTIVITY.types("activity_date"), "metres": tables.DOUBLE, "part_s": tables.DOUBLE}
"""The best of a part of a run. Parts count among the bests alone: what is typical, how often somebody runs and at what
heart rate are said of whole runs."""


def performance_features(
    daily: DataFrame, activities: DataFrame, days: Days, efforts: DataFrame | None = None
) -> DataFrame:
    """PERFORMANCE rows of the days: one for each DAILY row in them, the state at its end.

    activities: ACTIVITY rows of the days and of LOOKBACK_DAYS before them; earlier and later ones are ignored.
    efforts: silver.strava_best_effort, whole or the part that matters; None where there is no such table.
    """
    runs = of_sports(of_days(activities, tables.ACTIVITY, days.starting_earlier(LOOKBACK_DAYS)), tables.RUN_SPORTS)
    inputs = {
        "days": (of_days(daily, tables.DAILY, days), tables.DAILY.types("activity_date")),
        "runs": (runs, tables.ACTIVITY.types("activity_date", *READ)),
    }
    if efforts is not None:
        inputs["parts"] = (_parts(efforts, runs), PART)
    kernel = partial(bucket_states, first=first_epoch_day(days), length=len(days))
    return apply_together(inputs, kernel, tables.PERFORMANCE.ddl, calls_for(days))


def _parts(efforts: DataFrame, runs: DataFrame) -> DataFrame:
    """The best efforts inside the runs, each with its run's day."""
    metres, seconds = columns.known("distance"), columns.known("elapsed_time")
    parts = efforts.where((metres >= EFFORT_FROM_M) & (seconds > 0)).select(
        "athlete_id", "activity_id", metres.alias("metres"), seconds.alias("part_s")
    )
    runs = runs.select("athlete_id", "activity_id", "activity_date")
    return parts.join(runs, on=["athlete_id", "activity_id"], how="inner")


def bucket_states(inputs: Mapping[str, pa.Table], first: int, length: int) -> pa.Table:
    """PERFORMANCE rows of `length` days from epoch day `first` for the athletes of a bucket, of its input rows."""
    athletes, coded = athletes_of(inputs)
    cells = _Cells(first - LOOKBACK_DAYS, LOOKBACK_DAYS + length)
    asked = np.sort(cells.of(coded["days"], inputs["days"]))
    runs = _Runs.of(inputs, coded, cells).without_vehicles()
    columns = {
        **_recent_effort(runs, asked),
        **_levels(runs, asked),
        **_distance_history(runs, asked),
        **_volume(runs, asked),
        **_heart_rate(runs, asked),
    }
    athlete, day = np.divmod(asked, cells.days)
    return rows_of(tables.PERFORMANCE, columns, athletes.take(pa.array(athlete)), cells.first + day)


@dataclass(frozen=True)
class _Cells:
    """The days of each athlete, as many as `days` from epoch day `first`: athlete x days + day."""

    first: int
    days: int

    def of(self, athlete: NDArray[np.intp], rows: pa.Table) -> Integers:
        return athlete * self.days + (epoch_days(rows, "activity_date") - self.first)


def _of_runs(rows: pa.Table) -> tuple[Floats, ...]:
    """Metres, moving time (s), the time (s) of an effort, whether (1) its clock is known, the flat time (s) of equal
    effort and the heart rate (bpm) of rows of ACTIVITY; NaN where unknown."""
    kilometres, moving, elapsed = (known(rows, name) for name in READ[:3])
    is_race = is_true(rows, "is_race")
    return (
        kilometres * 1000,
        moving * 60,
        effort_time(moving, elapsed, is_race) * 60,
        (is_race | has_clock(moving, elapsed)).astype(np.float64),
        known(rows, "grade_adjusted_pace_min_km") * kilometres * 60,
        known(rows, "avg_hr"),
    )


def _of_parts(rows: pa.Table) -> tuple[Floats, ...]:
    """The same of the best of parts: their clock ran on, their heart rate is not looked at."""
    metres, seconds = rows["metres"].to_numpy(), rows["part_s"].to_numpy()
    unknown = np.full(len(metres), np.nan)
    return metres, seconds, seconds, np.ones(len(metres)), unknown, unknown


@dataclass(frozen=True)
class _Runs:
    """A bucket's runs and the best of their parts, sorted by cell, a day's from short to long."""

    cells: _Cells
    cell: Integers
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

    @classmethod
    def of(cls, inputs: Mapping[str, pa.Table], coded: Mapping[str, NDArray[np.intp]], cells: _Cells) -> _Runs:
        kinds = {"runs": _of_runs, "parts": _of_parts}
        found = {name: read(inputs[name]) for name, read in kinds.items() if name in inputs}
        cell = np.concatenate([cells.of(coded[name], inputs[name]) for name in found])
        is_whole = np.concatenate([np.full(len(coded[name]), name == "runs") for name in found])
        values = [np.concatenate(of_kinds) for of_kinds in zip(*found.values(), strict=True)]
        metres, moving = values[:2]
        with np.errstate(invalid="ignore"):
            counts = np.flatnonzero((metres > 0) & (moving > 0))
        length = np.minimum(metres[counts] / ORDER_M, _ORDERS - 1).astype(np.int64)
        # by one key, by two it takes four times as long; stable, since rows come in runs, a month's file each
        order = counts[np.argsort(cell[counts] * _ORDERS + length, kind="stable")]
        metres, moving, clock, has_clock, graded, bpm, cell, is_whole = (
            value[order] for value in (*values, cell, is_whole)
        )
        is_continuous = np.isfinite(clock)
        seconds = np.where(is_continuous, clock, moving)
        scale = -RIEGEL_EXPONENT * np.log(metres / REFERENCE_M)
        graded = np.where(np.isfinite(graded) & (graded > 0), graded, seconds)
        with np.errstate(invalid="ignore"):
            is_plausible = (metres >= SHORT_FROM_M) & (metres <= EFFORT_TO_M) & (vdot(metres, seconds) <= HIGHEST_VDOT)
        return cls(
            cells=cells,
            cell=cell,
            metres=metres,
            seconds=seconds,
            bpm=bpm,
            equivalent=np.log(seconds) + scale,
            graded=np.log(graded) + scale,
            is_whole=is_whole,
            is_plausible=is_plausible,
            is_continuous=is_continuous,
            has_clock=has_clock == 1,
        )

    def where(self, chosen: NDArray[np.bool_]) -> _Runs:
        rows = np.flatnonzero(chosen)
        values = {field.name: getattr(self, field.name)[rows] for field in fields(self) if field.name != "cells"}
        return _Runs(self.cells, **values)

    def without_vehicles(self) -> _Runs:
        """The runs of the last HISTORY_DAYS before the range, and in it; those that are implausible for their athlete
        are marked so. Older runs only say what is plausible."""
        is_long = self.is_plausible & self.is_whole & (self.metres >= EFFORT_FROM_M)
        usual = self.best_of_day(self.equivalent, is_long)
        has_hr = self.is_plausible & np.isfinite(self.bpm)
        usual_bpm = self.hardest_of_day(has_hr)
        runs = self.where(self.cell % self.cells.days > LOOKBACK_DAYS - HISTORY_DAYS)
        lead = np.full(len(runs.cell), np.nan)
        asked = np.flatnonzero(usual.may_lead_by(TOO_FAST_AT_EASE, runs.cell, runs.equivalent))
        medians = usual.on_evenings(runs.cell[asked]).quantile(USUAL_DAYS, 0.5, USUAL_MIN_DAYS)
        lead[asked] = medians - runs.equivalent[asked]
        with np.errstate(invalid="ignore"):
            is_vehicle = lead > TOO_FAST
            is_unsure = ~runs.has_clock & (lead > np.log(CLOCKLESS_LEAD))
            at_ease = np.flatnonzero((lead > TOO_FAST_AT_EASE) & ~is_vehicle)
            beats = usual_bpm.on_evenings(runs.cell[at_ease]).quantile(USUAL_DAYS, 0.5, USUAL_MIN_DAYS)
            is_vehicle[at_ease] = runs.bpm[at_ease] < beats
        return replace(
            runs, is_plausible=runs.is_plausible & ~is_vehicle, is_continuous=runs.is_continuous & ~is_unsure
        )

    @property
    def is_effort(self) -> NDArray[np.bool_]:
        return self.is_plausible & self.is_continuous & (self.metres >= EFFORT_FROM_M)

    def best_of_day(self, values: Floats, chosen: NDArray[np.bool_]) -> _Days:
        """The smallest value of the chosen runs of each day that has one."""
        rows = np.flatnonzero(chosen)
        cell = self.cell[rows]
        starts = np.flatnonzero(np.diff(cell, prepend=-1))
        smallest = np.minimum.reduceat(values[rows], starts) if len(rows) else values[rows]
        return _Days(cell[starts], smallest, self.cells)

    def evenings(self, chosen: NDArray[np.bool_], asked: Integers) -> tuple[_Evenings, _Evenings]:
        """The best equivalents of the chosen runs' days, and those of whole runs alone."""
        every = self.best_of_day(self.equivalent, chosen).on_evenings(asked)
        if self.is_whole.all():
            return every, every
        return every, self.best_of_day(self.equivalent, chosen & self.is_whole).on_evenings(asked)

    def hardest_of_day(self, chosen: NDArray[np.bool_]) -> _Days:
        return self.best_of_day(-self.bpm, chosen).map(np.negative)


@dataclass
class _Days:
    """A value of some days, sorted by cell."""

    cell: Integers
    value: Floats
    cells: _Cells
    _smallest: Smallest | None = None
    _ranked: Ranked | None = None
    """Made when they are first asked for (a `cached_property` holds a lock, and would not travel to a worker)."""

    def map(self, change: Callable[[Floats], Floats]) -> _Days:
        return _Days(self.cell, change(self.value), self.cells)

    @property
    def smallest(self) -> Smallest:
        if self._smallest is None:
            self._smallest = Smallest(self.value, HISTORY_DAYS)
        return self._smallest

    @property
    def ranked(self) -> Ranked:
        if self._ranked is None:
            self._ranked = Ranked(self.cell // self.cells.days, self.value)
        return self._ranked

    def may_lead_by(self, lead: float, asked: Integers, value: Floats) -> NDArray[np.bool_]:
        """False where the median of the USUAL_DAYS up to an asked cell is surely not more than `lead` above the value
        there; elsewhere it is to be asked for. Medians are dear, and few runs are so fast that theirs matters.

        A median is no more than what more than half of the values are no more than. Such a bound is tried, one an
        athlete: a little above the mean of all.
        """
        athlete, of_asked = self.cell // self.cells.days, asked // self.cells.days
        length = int(max(athlete.max(initial=0), of_asked.max(initial=0))) + 1
        count = np.bincount(athlete, minlength=length)
        bound = np.bincount(athlete, self.value, minlength=length) / np.maximum(count, 1) + ABOVE_THE_MEAN
        up_to = np.concatenate([[0], np.cumsum(self.value <= bound[athlete])])
        low, high = Windows(self.cell, asked).of(USUAL_DAYS)
        is_bound = 2 * (up_to[high] - up_to[low]) > high - low
        return ~(is_bound & (bound[of_asked] - value <= lead)) & (high - low >= USUAL_MIN_DAYS)

    def on_evenings(self, asked: Integers) -> _Evenings:
        """What is known of these days on the evenings of the asked cells."""
        return _Evenings(self, asked, Windows(self.cell, asked))


@dataclass(frozen=True)
class _Evenings:
    """What windows of days hold, by asked cell; with `before` they end so many days before it."""

    of: _Days
    asked: Integers
    windows: Windows

    def count(self, days: int) -> Floats:
        low, high = self.windows.of(days)
        return (high - low).astype(np.float64)

    def best(self, days: int, before: int = 0) -> Floats:
        """The smallest value; NaN without one."""
        return self.of.smallest.of(self.windows.of(days, before))

    def quantile(self, days: int, quantile: float, at_least: int = 1, before: int = 0) -> Floats:
        """Interpolated; NaN where fewer than `at_least` days have a value."""
        return self.of.ranked.quantile(self.windows.of(days, before), quantile, at_least)

    def newest(self, days: int) -> tuple[Floats, Floats]:
        """The value of the newest day that has one, and its age (days); NaN without one."""
        low, high = self.windows.of(days)
        return self._at(high - 1, low < high)

    def oldest(self, days: int) -> tuple[Floats, Floats]:
        low, high = self.windows.of(days)
        return self._at(low, low < high)

    def _at(self, row: Integers, exists: NDArray[np.bool_]) -> tuple[Floats, Floats]:
        row = np.where(exists, row, -1)
        value, cell = np.append(self.of.value, np.nan)[row], np.append(self.of.cell, 0)[row]
        return value, np.where(exists, self.asked - cell, np.nan)


def _recent_effort(runs: _Runs, asked: Integers) -> dict[str, Floats]:
    """The run behind the baseline: recent form where there is some, older bests where there is not."""
    efforts = runs.where(runs.is_effort)
    windows = Windows(efforts.cell, asked)
    low, high = windows.of(max(RECENT_EFFORT_DAYS))
    best = RowOfSmallest(efforts.equivalent, int((high - low).max(initial=0)))  # of equals the newest
    row = np.full(len(asked), -1)
    for days in RECENT_EFFORT_DAYS:
        row = np.where(row < 0, best.of(windows.of(days)), row)
    return {
        "recent_effort_distance_m": np.append(efforts.metres, np.nan)[row],
        "recent_effort_time_s": np.append(efforts.seconds, np.nan)[row],
        "recent_effort_age_days": np.where(row >= 0, asked - np.append(efforts.cell, 0)[row], np.nan),
    }


def _levels(runs: _Runs, asked: Integers) -> dict[str, Floats]:
    """Best and typical equivalents over windows."""
    bests, of_whole = runs.evenings(runs.is_effort, asked)
    return {
        **{f"best_{days}d_10k_s": np.exp(bests.best(days)) for days in BEST_DAYS},
        "quarter_60d_10k_s": np.exp(of_whole.quantile(60, 0.25)),
        "median_60d_10k_s": np.exp(of_whole.quantile(60, 0.5)),
        "tenth_180d_10k_s": np.exp(of_whole.quantile(180, 0.1)),
        "median_180d_10k_s": np.exp(of_whole.quantile(180, 0.5)),
        "run_days_60d": of_whole.count(60),
    }


def _distance_history(runs: _Runs, asked: Integers) -> dict[str, Floats]:
    """Times at each distance of EFFORT_DISTANCES_M, scaled to it."""
    columns: dict[str, Floats] = {}
    may_count = runs.is_plausible & runs.is_continuous
    for name, target in tables.EFFORT_DISTANCES_M.items():
        share = runs.metres / target
        near = may_count & (share >= NEAR_DISTANCE[0]) & (share <= NEAR_DISTANCE[1])
        bests, of_whole = runs.evenings(near, asked)
        scale = (target / REFERENCE_M) ** RIEGEL_EXPONENT
        latest, age = of_whole.newest(HISTORY_DAYS)
        columns |= {
            f"best_{name}_60d_s": np.exp(bests.best(BLOCK_DAYS)) * scale,
            f"best_{name}_before_s": np.exp(bests.best(BLOCK_DAYS, before=BLOCK_DAYS)) * scale,
            f"best_{name}_365d_s": np.exp(bests.best(HISTORY_DAYS)) * scale,
            f"median_{name}_365d_s": np.exp(of_whole.quantile(HISTORY_DAYS, 0.5)) * scale,
            f"latest_{name}_s": np.exp(latest) * scale,
            f"latest_{name}_age_days": age,
            f"days_with_{name}_60d": of_whole.count(BLOCK_DAYS),
            f"days_with_{name}_365d": of_whole.count(HISTORY_DAYS),
        }
    return columns


def _volume(runs: _Runs, asked: Integers) -> dict[str, Floats]:
    longest = runs.best_of_day(-runs.metres / 1000, runs.is_whole).on_evenings(asked)
    rows = np.flatnonzero(runs.is_whole)
    windows, distance = Windows(runs.cell[rows], asked), Sums(runs.metres[rows] / 1000, below=2.0**20)
    return {
        **{f"run_distance_{days}d_km": distance.of(windows.of(days)) for days in (7, 28, 90, 365)},
        **{f"run_days_{days}d": longest.count(days) for days in (14, 28, 90)},
        **{f"longest_run_{days}d_km": -longest.best(days) for days in (28, 90)},
        "days_since_run": longest.newest(HISTORY_DAYS)[1],
        "run_history_days": longest.oldest(HISTORY_DAYS)[1],
    }


def _heart_rate(runs: _Runs, asked: Integers) -> dict[str, Floats]:
    """How hard the athlete runs, and what speed the hardest heart rate would give.

    Speed is that of equal effort on the flat where split elevation is known. Least squares of log speed on heart rate,
    both about fixed centres so that the sums keep their digits, with a prior on the slope.
    """
    has_hr = runs.is_plausible & np.isfinite(runs.bpm) & (runs.metres >= HR_FROM_M)
    hardest = runs.hardest_of_day(has_hr)
    hard = hardest.on_evenings(asked).quantile(HARD_HR_DAYS, HARD_HR_QUANTILE, HARD_HR_MIN_DAYS)
    with_hr = runs.where(has_hr)
    windows = Windows(with_hr.cell, asked)
    speed = -with_hr.graded + np.log(3_000.0)
    effort = (with_hr.bpm - HR_CENTRE_BPM) / HR_SCALE_BPM
    line, last_days = windows.of(HR_LINE_DAYS), windows.of(HR_RECENT_DAYS)
    sum_x, sum_v, sum_xx, sum_xv = (Sums(of, below=2.0**15) for of in (effort, speed, effort**2, effort * speed))
    n, last_n = line[1] - line[0], last_days[1] - last_days[0]
    with np.errstate(divide="ignore", invalid="ignore"):
        mean_x, mean_v = sum_x.of(line) / n, sum_v.of(line) / n
        slope = (sum_xv.of(line) - n * mean_x * mean_v + HR_SLOPE_PRIOR * HR_SLOPE_PRIOR_WEIGHT) / (
            sum_xx.of(line) - n * mean_x**2 + HR_SLOPE_PRIOR_WEIGHT
        )
        at_hard = mean_v + slope * ((hard - HR_CENTRE_BPM) / HR_SCALE_BPM - mean_x)
        lately = sum_v.of(last_days) / last_n - slope * (sum_x.of(last_days) / last_n - mean_x)
        share = (mean_x * HR_SCALE_BPM + HR_CENTRE_BPM) / hard
    has_line = n >= HR_LINE_MIN_RUNS

    def seconds(log_speed: Floats, is_known: NDArray[np.bool_]) -> Floats:
        return np.where(is_known, 3_000.0 * np.exp(-log_speed), np.nan)

    # of the runs that are asked for, against the hardest heart rate as known on the evening before the run
    recent = with_hr.where(with_hr.cell % runs.cells.days > LOOKBACK_DAYS - HARD_HR_DAYS)
    usual = hardest.on_evenings(recent.cell).quantile(HARD_HR_DAYS, HARD_HR_QUANTILE, HARD_HR_MIN_DAYS, before=1)
    is_hard = recent.is_continuous & (recent.bpm >= usual - HARD_HR_MARGIN_BPM)
    hard_runs = recent.best_of_day(recent.equivalent, is_hard).on_evenings(asked)
    return {
        "hard_hr_bpm": hard,
        "usual_hr_share": np.where(has_line, share, np.nan),
        "hr_slope": np.where(has_line, slope, np.nan),
        "hr_predicted_10k_s": seconds(at_hard, has_line & np.isfinite(hard)),
        "usual_120d_10k_s": seconds(mean_v, has_line),
        "usual_30d_10k_s": seconds(lately, has_line & (last_n >= HR_RECENT_MIN_RUNS)),
        "hard_best_180d_10k_s": np.exp(hard_runs.best(HARD_HR_DAYS)),
        "hard_median_180d_10k_s": np.exp(hard_runs.quantile(HARD_HR_DAYS, 0.5)),
        "hard_days_180d": hard_runs.count(HARD_HR_DAYS),
    }
