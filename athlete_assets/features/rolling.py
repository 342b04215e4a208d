"""athlete_rolling_features: the athlete's state at the end of each day.

One NumPy pass over a hash bucket of athletes. The rows that a bucket needs come as they are stored; inside it those of
days are scattered into arrays (days, athletes), so their order does not matter, and the kernels do the rest. What rests
on single runs is found over them (`formulas.slices`): they reach a year back, and one day is to cost a day.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from athlete_assets import tables
from athlete_assets.days import ONE_DAY, Days, midnight
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
from athlete_assets.formulas import sequences
from athlete_assets.formulas.race_times import HIGHEST_VDOT, riegel, vdot
from athlete_assets.formulas.slices import RowOfSmallest, Sums, Windows
from athlete_assets.settings import Settings
from athlete_assets.store.by_athlete import apply_together
from athlete_assets.store.scans import of_days, of_sports

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

FITNESS_WEIGHT = sequences.exponential_weight(42)
FATIGUE_WEIGHT = sequences.exponential_weight(7)
ACUTE_WEIGHT = sequences.span_weight(7)
CHRONIC_WEIGHT = sequences.span_weight(28)

WARMUP_DAYS = 42
HISTORY_FOR_ACWR_DAYS = 28
HIGHEST_START = 300.0
"""TSS/day; a higher starting fitness or fatigue is a slip of the pen, and is not used."""
SMALLEST_CHRONIC_LOAD = 0.01
TREND_DAYS = 30
TREND_POINTS = 5
SPIKE_DAYS = 7
SPIKE_AGAINST_DAYS = 30
MONOTONY_DAYS = 7
RAMP_DAYS = 7
REST_DAYS = 14
BEST_EFFORT_DAYS = 180
BEST_EFFORT_FROM_KM = 3.0
USUAL_EFFORT_DAYS = 180
USUAL_EFFORT_POINTS = 5
IMPLAUSIBLE_SHARE = 0.6
"""A run whose equivalent takes less than this share of the athlete's usual one is a bicycle or a car by the name of a
run. Among 45 real athletes, races come down to 0.63 of the usual, and four athletes hold rides at 0.3 to 0.6."""

RISK_REASONS: list[list[str]] = [[], ["acwr"], ["training_monotony_7d"], ["acwr", "training_monotony_7d"]]
"""By whether acwr (1) and monotony (2) are above their limits."""

LOOKBACK_DAYS = max(WARMUP_DAYS, SPIKE_DAYS + SPIKE_AGAINST_DAYS, TREND_DAYS)
"""DAILY rows that the first day of a range needs before it, where the state of the evening before is known."""
RUN_DAYS = BEST_EFFORT_DAYS + USUAL_EFFORT_DAYS
"""ACTIVITY rows that a day needs, itself included: its best effort's day lies up to BEST_EFFORT_DAYS back."""


@dataclass(frozen=True)
class Limits:
    """The settings that a bucket needs."""

    expected_active_days_per_week: float
    acwr_risk: float
    monotony_risk: float


def rolling_features(
    daily: DataFrame,
    activities: DataFrame,
    state: DataFrame,
    days: Days,
    settings: Settings,
    athletes: DataFrame | None = None,
) -> DataFrame:
    """ROLLING rows of the days: one for each DAILY row in them, the state at its end.

    daily, activities: DAILY and ACTIVITY rows up to days.last (later ones are ignored). state: ROLLING rows of the day
    before days.first, from which the weighted averages go on; it may be empty. Athletes with history but without a
    state row are computed from all their DAILY rows. Everything else is read anew from the last LOOKBACK_DAYS of
    DAILY and the last RUN_DAYS of ACTIVITY rows, whose result does not hang on where the range begins. athletes:
    silver, whose statements of a starting fitness and fatigue (`Starts`) set the averages on their day.

    The state is trusted. After a change on any day (late rows, also before an athlete's first activity, or deletions)
    DAILY and then ROLLING are to be replaced from the earliest touched day to the newest: then the state of the
    evening before it is untouched history, and an athlete who began on the touched day has none.
    """
    evening_before = days.first - ONE_DAY
    recent = days_of_log = of_days(daily, tables.DAILY, days.starting_earlier(LOOKBACK_DAYS))
    state = of_days(state, tables.ROLLING, Days(evening_before, evening_before))
    unseeded = (
        recent.where(F.col("activity_date") < F.lit(midnight(days.first)))
        .select("athlete_id")
        .distinct()
        .join(state.select("athlete_id"), on="athlete_id", how="left_anti")
    )
    # Asked before the plan is made: the daily increment must not read all history to find that none is needed.
    if not unseeded.isEmpty():
        before = daily.where(F.col("activity_date") < F.lit(midnight(days.first - LOOKBACK_DAYS * ONE_DAY)))
        days_of_log = recent.unionAll(before.join(unseeded, on="athlete_id", how="left_semi"))
    inputs = {
        "state": (state, tables.ROLLING.types("as_of_date", *_STATE_COLUMNS)),
        "days": (days_of_log, tables.DAILY.types("activity_date", *_DAY_COLUMNS)),
        "runs": (_runs_before(activities, days), tables.ACTIVITY.types("activity_date", *_RUN_COLUMNS)),
    }
    if athletes is not None:
        inputs["starts"] = (_start_rows(athletes, days), {"day": tables.INT, **dict.fromkeys(_START_COLUMNS, "double")})
    limits = Limits(settings.expected_active_days_per_week, settings.acwr_risk, settings.monotony_risk)
    kernel = partial(bucket_states, first=first_epoch_day(days), length=len(days), limits=limits)
    return apply_together(inputs, kernel, tables.ROLLING.ddl, calls_for(days))


# ------------------------------------------------------------------------------------------- rows for a bucket

_STATE_COLUMNS = ("ctl_42d", "atl_7d", "acute_load_7d", "chronic_load_28d")
_DAY_COLUMNS = (
    "daily_tss",
    "activities",
    "untracked_activities",
    "distance_km",
    "runs",
    "run_distance_km",
    "run_moving_time_min",
    "best_pace_min_km",
    "longest_run_km",
)
_RUN_COLUMNS = ("distance_km", "pace_min_km", "moving_time_min", "elapsed_time_min", "is_race")
_START_COLUMNS = ("starting_fitness", "starting_fatigue", "is_own")


def _runs_before(activities: DataFrame, days: Days) -> DataFrame:
    """The runs of the last RUN_DAYS: a day's trend points and its best effort need each of them."""
    return of_sports(of_days(activities, tables.ACTIVITY, days.starting_earlier(RUN_DAYS - 1)), tables.RUN_SPORTS)


def _start_rows(athletes: DataFrame, days: Days) -> DataFrame:
    """The statements of a starting fitness or fatigue that are valid by the last of the days."""
    valid_from = F.coalesce(F.col("valid_from"), F.timestamp_seconds(F.lit(0)))
    stated = athletes.withColumn("valid_from", valid_from).where(
        (F.col("valid_from") < F.lit(midnight(days.last + ONE_DAY)))
        & (F.col("starting_fitness").isNotNull() | F.col("starting_fatigue").isNotNull())
    )
    return stated.select(
        "athlete_id",
        F.unix_date(F.col("valid_from").cast("date")).alias("day"),
        "starting_fitness",
        "starting_fatigue",
        F.coalesce((F.col("source") == tables.OWN_WORD).cast("double"), F.lit(0.0)).alias("is_own"),
    )


# --------------------------------------------------------------------------------------------------- one bucket


def bucket_states(inputs: Mapping[str, pa.Table], first: int, length: int, limits: Limits) -> pa.Table:
    """ROLLING rows of `length` days from epoch day `first` for the athletes of a bucket, of its input rows."""
    athletes, coded = athletes_of(inputs)
    state = _Rows.of(inputs["state"], coded["state"], "as_of_date", _STATE_COLUMNS, len(athletes))
    of_day = _Rows.of(inputs["days"], coded["days"], "activity_date", _DAY_COLUMNS, len(athletes))
    runs = _Rows.of_runs(inputs["runs"], coded["runs"], len(athletes))
    stated = _Rows.of_starts(inputs.get("starts"), coded.get("starts"), len(athletes))
    base = first - LOOKBACK_DAYS
    recent, past = of_day.where(of_day.day >= base), of_day.where(of_day.day < base)
    asked = np.sort((recent.athlete * length + (recent.day - first))[recent.day >= first])
    athlete, day = np.divmod(asked, length)
    day += first

    def of_recent(name: str, nothing: float) -> Floats:
        return recent.scattered(name, base, LOOKBACK_DAYS + length, nothing)

    began = np.full(len(athletes), first + length)
    for known_days in (state, of_day):
        np.minimum.at(began, known_days.athlete, known_days.day)
    # Days of the calendar so far; exact where it matters, since LOOKBACK_DAYS reach further back than any limit on it.
    observed = (first + np.arange(length))[:, None] - began + 1
    load, activities = of_recent("daily_tss", 0.0), of_recent("activities", 0.0)
    columns: dict[str, Any] = {}

    def window(values: Floats, days: int, combine: Any = np.add) -> Floats:
        return sequences.sliding(combine, values[-length - days + 1 :], days)

    starts = Starts.of(stated, began)
    averages = _weighted_averages(load, state, past, base, began, length, starts)
    ctl, atl, columns["ramp_rate_7d"] = averages.ctl, averages.atl, averages.ramp
    columns |= {"ctl_42d": ctl, "atl_7d": atl, "tsb": ctl - atl}
    columns["warmup"] = (observed <= WARMUP_DAYS) & ~starts.begin_with_fitness(began)
    columns |= {"acute_load_7d": averages.acute, "chronic_load_28d": averages.chronic}
    acwr = columns["acwr"] = _workload_ratio(atl, ctl, observed)
    columns["acwr_7d_28d"] = _workload_ratio(averages.acute, averages.chronic, observed)

    in_trend = slice(-length - TREND_DAYS + 1, None)
    on_calendar = (base + np.arange(LOOKBACK_DAYS + length))[:, None] >= began
    distance = of_recent("distance_km", 0.0)
    columns["distance_trend_30d"] = np.where(
        observed >= TREND_POINTS,
        sequences.slope(on_calendar[in_trend].astype(float), distance[in_trend], TREND_DAYS),
        np.nan,
    )
    columns["distance_trend_30d"] *= TREND_DAYS
    is_active = (activities > 0).astype(float)
    expected = np.clip(observed, 1, TREND_DAYS) * limits.expected_active_days_per_week / 7
    columns["consistency_score"] = np.minimum(window(is_active, TREND_DAYS) / expected, 1.0)
    columns["activities_30d"] = window(activities, TREND_DAYS)
    all_42d, untracked = (window(of, WARMUP_DAYS) for of in (activities, of_recent("untracked_activities", 0.0)))
    columns["untracked_share_42d"] = _ratio(untracked, all_42d, all_42d > 0)
    columns["total_distance_30d_km"] = window(distance, TREND_DAYS)
    columns["rest_days_14d"] = np.clip(observed, 1, REST_DAYS) - window(is_active, REST_DAYS)

    runs_30d = window(of_recent("runs", 0.0), TREND_DAYS)
    run_time = window(of_recent("run_moving_time_min", 0.0), TREND_DAYS)
    run_distance = window(of_recent("run_distance_km", 0.0), TREND_DAYS)
    columns["avg_pace_30d"] = _ratio(run_time, run_distance, runs_30d > 0)
    best_pace = window(of_recent("best_pace_min_km", np.inf), TREND_DAYS, np.minimum)
    columns["best_pace_30d"] = np.where(np.isfinite(best_pace), best_pace, np.nan)
    run_km = of_recent("longest_run_km", 0.0)
    longest_30d = window(run_km, TREND_DAYS, np.maximum)
    columns["longest_run_30d_km"] = np.where(longest_30d > 0, longest_30d, np.nan)
    longest_before = sequences.sliding(np.maximum, run_km, SPIKE_AGAINST_DAYS)[-length - SPIKE_DAYS : -SPIKE_DAYS]
    longest_7d = window(run_km, SPIKE_DAYS, np.maximum)
    columns["long_run_spike"] = _ratio(longest_7d, longest_before, (longest_7d > 0) & (longest_before > 0))

    monotony = columns["training_monotony_7d"] = sequences.monotony(load[-length - MONOTONY_DAYS + 1 :], MONOTONY_DAYS)
    columns["training_strain_7d"] = window(load, MONOTONY_DAYS) * monotony

    columns["pace_trend_30d"] = _pace_trend(runs, first, length)

    over_acwr, over_monotony = acwr > limits.acwr_risk, monotony > limits.monotony_risk
    unknown = np.isnan(acwr)
    columns["is_overtraining_risk"] = np.where(unknown, np.nan, over_acwr | over_monotony)
    columns["risk_reasons"] = np.where(unknown, np.nan, over_acwr + 2 * over_monotony)
    # athlete by athlete, as rows are; in two steps, since one that strides through an array takes three times as long
    of_rows = {name: value.ravel(order="F")[asked] for name, value in columns.items()}
    of_rows |= _best_efforts(runs, athlete, day, first, length)
    reasons = pa.array(RISK_REASONS, pa.list_(pa.string()))
    return rows_of(tables.ROLLING, of_rows, athletes.take(pa.array(athlete)), day, {"risk_reasons": reasons})


@dataclass(frozen=True)
class _Rows:
    """Input rows as arrays: athlete (index), day (epoch day), and values by column name (NaN for null)."""

    athlete: NDArray[np.intp]
    athletes: int
    day: NDArray[np.int64]
    values: dict[str, Floats]

    @classmethod
    def of(cls, rows: pa.Table, athlete: NDArray[np.intp], day: str, columns: tuple[str, ...], athletes: int) -> _Rows:
        """The rows of a stored table."""
        values = {name: rows[name].cast(pa.float64()).to_numpy() for name in columns}
        return cls(athlete, athletes, epoch_days(rows, day), values)

    @classmethod
    def of_runs(cls, rows: pa.Table, athlete: NDArray[np.intp], athletes: int) -> _Rows:
        """The runs with a distance and a pace, of their rows of ACTIVITY."""
        distance, pace, moving, elapsed = (known(rows, name) for name in _RUN_COLUMNS[:4])
        is_race = is_true(rows, "is_race")
        values = {
            "distance_km": distance,
            "pace_min_km": pace,
            "effort_min": effort_time(moving, elapsed, is_race),
            "has_clock": (is_race | has_clock(moving, elapsed)).astype(np.float64),
        }
        of_all = cls(athlete, athletes, epoch_days(rows, "activity_date"), values)
        return of_all.where(np.flatnonzero((distance > 0) & ~np.isnan(pace)))

    @classmethod
    def of_starts(cls, rows: pa.Table | None, athlete: NDArray[np.intp] | None, athletes: int) -> _Rows:
        """What athletes state; nothing where that was not read."""
        if rows is None or athlete is None:
            return cls(
                np.empty(0, np.intp), athletes, np.empty(0, np.int64), dict.fromkeys(_START_COLUMNS, np.empty(0))
            )
        values = {name: rows[name].to_numpy() for name in _START_COLUMNS}
        return cls(athlete, athletes, rows["day"].to_numpy().astype(np.int64), values)

    def where(self, chosen: NDArray[Any]) -> _Rows:
        """The rows of a boolean mask, or of indices in their order."""
        values = {name: value[chosen] for name, value in self.values.items()}
        return _Rows(self.athlete[chosen], self.athletes, self.day[chosen], values)

    def scattered(self, name: str, first: int, days: int, nothing: float) -> Floats:
        """The column as (days, athletes) from epoch day `first`, of rows that all lie in them; `nothing` where no row
        is or its value is unknown."""
        value = self.values[name]
        result = np.full(days * self.athletes, nothing)
        result[self._cells(first)] = np.where(np.isfinite(value), value, nothing)
        return result.reshape(days, self.athletes)

    def day_sums(self, value: Floats, first: int, days: int) -> tuple[Floats, Floats]:
        """Count and sum of one value a row as (days, athletes), all rows lying in the days from epoch day `first`."""
        order = np.argsort(value)  # so that a day's sum has one order, and the same bits
        cell, shape, cells = self._cells(first)[order], (days, self.athletes), days * self.athletes
        counts = np.bincount(cell, minlength=cells).reshape(shape).astype(np.float64)
        return counts, np.bincount(cell, value[order], minlength=cells).reshape(shape).astype(np.float64)

    def _cells(self, first: int) -> Integers:
        return (self.day - first) * self.athletes + self.athlete


@dataclass(frozen=True)
class Starts:
    """Where athletes say that they start: on the morning of a day, fitness or fatigue (TSS/day) is what they state.

    One row each, in order of days; of several of one morning the last counts. A statement from before the log begins
    holds on the morning of the log's first day.
    """

    athlete: NDArray[np.intp]
    day: NDArray[np.int64]
    fitness: Floats
    fatigue: Floats

    @classmethod
    def of(cls, stated: _Rows, began: NDArray[np.int64]) -> Starts:
        """Of several statements of a day the athlete's own word, else the highest, counts: it comes last. Those that
        no one can mean (below 0, above HIGHEST_START) are left out."""
        first = began[stated.athlete]
        values = [stated.values[name] for name in ("starting_fitness", "starting_fatigue")]
        values = [np.where((value >= 0) & (value <= HIGHEST_START), value, np.nan) for value in values]
        order = np.lexsort((*(np.nan_to_num(value, nan=-1.0) for value in values), stated.values["is_own"], stated.day))
        day = np.maximum(stated.day, first)
        return cls(stated.athlete[order], day[order], *(value[order] for value in values))

    def begin_with_fitness(self, began: NDArray[np.int64]) -> NDArray[np.bool_]:
        """By athlete, whether the log's first day starts from a stated fitness."""
        result = np.zeros(len(began), dtype=bool)
        at_first = (self.day == began[self.athlete]) & ~np.isnan(self.fitness)
        result[self.athlete[at_first]] = True
        return result


@dataclass(frozen=True)
class _Averages:
    """Exponentially weighted loads of each day, (days, athletes), in TSS a day."""

    ctl: Floats
    atl: Floats
    acute: Floats
    chronic: Floats
    ramp: Floats


def _weighted_averages(
    load: Floats,
    state: _Rows,
    past: _Rows,
    base: int,
    began: NDArray[np.int64],
    length: int,
    starts: Starts,
) -> _Averages:
    """From the state of the evening before where it is given, else from the athlete's first day.

    load: (LOOKBACK_DAYS + length, athletes). `past` holds the DAILY rows before them of the athletes without a state.
    Fitness and fatigue start at 0 on the day before the first activity, or where the athlete says; Williams' averages
    start at the first day's load, which padding the days before it with that load gives without a special case.
    """
    origin = min(base, int(past.day.min())) if len(past.day) else base
    loads = np.concatenate([past.scattered("daily_tss", origin, base - origin, 0.0), load])
    athletes = load.shape[1]
    first_row = np.clip(began - origin, 0, len(loads) - 1)
    first_load = loads[first_row, np.arange(athletes)]
    padded = np.where(np.arange(len(loads))[:, None] < first_row, first_load, loads)
    before = len(loads) - length
    # side by side, in the order of _STATE_COLUMNS, so that one step a day serves all four
    in_order = np.concatenate([loads, loads, padded, padded], axis=1)
    weights = np.repeat([FITNESS_WEIGHT, FATIGUE_WEIGHT, ACUTE_WEIGHT, CHRONIC_WEIGHT], athletes)
    start = np.concatenate([np.zeros(2 * athletes), first_load, first_load])
    history = sequences.ewma(in_order[:before], weights, start)
    evening_before = history[-1].copy()
    for place, name in enumerate(_STATE_COLUMNS):
        evening_before[place * athletes + state.athlete] = state.values[name]
    states = sequences.ewma(in_order[before:], weights, evening_before)
    _begin_anew(history, states, in_order, weights, origin, starts, set(state.athlete.tolist()))
    ctl, atl, acute, chronic = np.split(states, 4, axis=1)

    seeded = np.zeros(athletes, dtype=bool)
    seeded[state.athlete] = True
    rewound = sequences.ewma_before(evening_before[:athletes], loads[before - RAMP_DAYS : before], FITNESS_WEIGHT)
    rewound = np.concatenate([rewound, evening_before[None, :athletes]])
    earlier = np.where(seeded, rewound, history[-RAMP_DAYS:, :athletes])
    earlier = np.where(np.arange(before - RAMP_DAYS, before)[:, None] < first_row, 0.0, earlier)
    ramp = ctl - np.concatenate([earlier, ctl])[:length]
    for athlete, day, fitness in zip(starts.athlete, starts.day, starts.fitness, strict=True):
        if not np.isnan(fitness):  # before a start stands what it starts from
            since = slice(max(day - origin - before, 0), max(day - origin - before + RAMP_DAYS, 0))
            ramp[since, athlete] = ctl[since, athlete] - fitness
    return _Averages(ctl, atl, acute, chronic, ramp)


def _begin_anew(
    history: Floats,
    states: Floats,
    loads: Floats,
    weights: Floats,
    origin: int,
    starts: Starts,
    seeded: set[int],
) -> None:
    """Puts into the averages of `loads` (days from `origin`; `states` after `history`) what follows from the starts.

    A start before the states is in the state of the evening before already, where that was given; else it is followed
    from its day on.
    """
    athletes, before = len(weights) // 4, len(history)
    for athlete, day, *levels in zip(starts.athlete, starts.day, starts.fitness, starts.fatigue, strict=True):
        first = int(day) - origin
        if first >= len(loads) or first < (before if athlete in seeded else 0):
            continue
        for number, level in enumerate(levels):
            if not np.isnan(level):
                column = [number * athletes + int(athlete)]
                followed = sequences.ewma(loads[first:, column], weights[column], np.array([level]))
                begin = max(first, before)
                history[first:, column] = followed[: begin - first]
                states[begin - before :, column] = followed[begin - first :]


def _workload_ratio(acute: Floats, chronic: Floats, observed: NDArray[np.int64]) -> Floats:
    """Acute over chronic load; NaN before enough history, and where the chronic side is too small to divide by."""
    return _ratio(acute, chronic, (observed >= HISTORY_FOR_ACWR_DAYS) & (chronic >= SMALLEST_CHRONIC_LOAD))


def _ratio(numerator: Floats, denominator: Floats, is_known: NDArray[np.bool_]) -> Floats:
    return np.divide(numerator, denominator, out=np.full(numerator.shape, np.nan), where=is_known)


def _pace_trend(runs: _Rows, first: int, length: int) -> Floats:
    """Slope of run pace, min/km per 30 days; NaN under TREND_POINTS runs or where all fall on one day."""
    base, days = first - TREND_DAYS + 1, TREND_DAYS - 1 + length
    recent = runs.where(runs.day >= base)
    counts, sums = recent.day_sums(recent.values["pace_min_km"], base, days)
    enough = sequences.sliding(np.add, counts, TREND_DAYS) >= TREND_POINTS
    return np.where(enough, sequences.slope(counts, sums, TREND_DAYS) * TREND_DAYS, np.nan)


def _best_efforts(runs: _Rows, athlete: Integers, day: Integers, first: int, length: int) -> dict[str, Floats]:
    """The effort with the smallest Riegel 10 km equivalent (exponent 1.06) of the last BEST_EFFORT_DAYS.

    Continuous runs (features.efforts) of at least 3 km. Left out: a VDOT above every world record's, and an equivalent
    under IMPLAUSIBLE_SHARE of the athlete's usual one (geometric mean of the USUAL_EFFORT_DAYS before it, of at least
    USUAL_EFFORT_POINTS runs), or under 1 / CLOCKLESS_LEAD of it where the run's clock is unknown.
    Of equals the newest.
    """
    metres, seconds = runs.values["distance_km"] * 1000, runs.values["effort_min"] * 60
    with np.errstate(invalid="ignore"):
        plausible = (metres >= BEST_EFFORT_FROM_KM * 1000) & (seconds > 0) & (vdot(metres, seconds) <= HIGHEST_VDOT)
    base, days = first - RUN_DAYS, RUN_DAYS + length
    chosen = np.flatnonzero(plausible)
    cell = runs.athlete[chosen] * days + (runs.day[chosen] - base)
    order = np.lexsort((metres[chosen], cell))
    cell, chosen = cell[order], chosen[order]
    metres, seconds, has_clock = metres[chosen], seconds[chosen], runs.values["has_clock"][chosen]
    equivalent = riegel(metres, seconds, 10_000.0)

    log, judged = (
        Sums(np.log(equivalent), below=2.0**20),
        np.flatnonzero(cell % days > days - length - BEST_EFFORT_DAYS),
    )
    before = Windows(cell, cell[judged]).of(USUAL_EFFORT_DAYS, before=1)
    counts = before[1] - before[0]
    usual = np.exp(_ratio(log.of(before), counts.astype(np.float64), counts >= USUAL_EFFORT_POINTS))
    share = np.where(has_clock[judged] == 1, IMPLAUSIBLE_SHARE, 1 / CLOCKLESS_LEAD)
    judged = judged[~(equivalent[judged] < share * usual)]
    cell, metres, seconds, equivalent = cell[judged], metres[judged], seconds[judged], equivalent[judged]

    today = athlete * days + (day - base)
    window = Windows(cell, today).of(BEST_EFFORT_DAYS)
    best = RowOfSmallest(equivalent, int((window[1] - window[0]).max(initial=0))).of(window)
    return {
        "best_effort_distance_m": np.append(metres, np.nan)[best],
        "best_effort_time_s": np.append(seconds, np.nan)[best],
        "best_effort_age_days": np.where(best >= 0, today - np.append(cell, 0)[best], np.nan),
    }
