"""gold.athlete_projection and gold.athlete_load_room: where loads to come lead, and which load leads where.

One kernel over a hash bucket of athletes, arrays (days, athletes), with the recursion and the weights of the rolling
features. The state is that at the end of the newest day, today's load so far included.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from athlete_assets import tables
from athlete_assets.days import Days
from athlete_assets.features.cells import MICROSECONDS_A_DAY, epoch_days
from athlete_assets.features.rolling import (
    FATIGUE_WEIGHT,
    FITNESS_WEIGHT,
    HISTORY_FOR_ACWR_DAYS,
    RAMP_DAYS,
    SMALLEST_CHRONIC_LOAD,
)
from athlete_assets.formulas import load_planning, sequences
from athlete_assets.settings import Settings
from athlete_assets.store.arrow import arrow_schema, nullable
from athlete_assets.store.by_athlete import apply_for_several
from athlete_assets.store.columns import of_newest_month
from athlete_assets.store.scans import of_days
from athlete_assets.tables import Table

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

AHEAD_DAYS = 14
HABIT_DAYS = 28
RATE_DAYS = 42
"""Days that say what a minute of the athlete's training usually weighs."""
HARDEST_DAY_SHARE = 1.1
"""Of the hardest of the RATE_DAYS before today, what today may be: a session a tenth longer than the longest of 30 days
goes with more injuries (Frandsen et al., Br J Sports Med 59:1203, 2025)."""
LEAST_HABIT_DAYS = 7
"""Days of history without which there is no habit: each weekday once."""


def projections(
    daily: DataFrame,
    rolling: DataFrame,
    plans: DataFrame,
    settings: Settings,
    hold: Callable[[DataFrame], DataFrame] | None = None,
) -> dict[Table, DataFrame]:
    """Rows of PROJECTION, and of LOAD_ROOM, one an athlete, from DAILY and ROLLING. plans: silver.athlete_plan.

    An athlete has no rows of PROJECTION where the load of all activities of the last 42 days is unknown; no habit under
    a week of history; and no rows of a plan from the day on that it has no answer for: after its last day, and where it
    states minutes that no known load says the weight of.

    hold: `Store.held`, so that a cluster computes both tables once.
    """
    made = (tables.PROJECTION, tables.LOAD_ROOM)
    limits = Limits(settings.max_ramp_7d, settings.acwr_risk, settings.race_form_tsb)
    schemas = {table.name: table.ddl for table in made}
    frames = apply_for_several(_inputs(daily, rolling, plans), partial(_made, limits=limits), schemas, hold=hold)
    return {table: frames[table.name] for table in made}


@dataclass(frozen=True)
class Limits:
    """The settings that a bucket needs."""

    ramp: float
    acwr: float
    race_form: float


_STATE = tables.ROLLING.types("as_of_date", "ctl_42d", "atl_7d", "ramp_rate_7d", "warmup", "untracked_share_42d")
_LOADS = tables.DAILY.types("activity_date", "daily_tss", "moving_time_min", "untracked_activities")
_PLAN = tables.ATHLETE_PLAN.types("plan_date", "load_tss", "moving_time_min", "is_race")
_HISTORY_DAYS = max(HISTORY_FOR_ACWR_DAYS, HABIT_DAYS, RATE_DAYS + 1)
"""DAILY rows that are read."""


def _inputs(daily: DataFrame, rolling: DataFrame, plans: DataFrame) -> dict[str, tuple[DataFrame, dict[str, str]]]:
    """The rows that a bucket needs: the states of the last two weeks, the loads of _HISTORY_DAYS, and the plans."""
    # as a number: a collected timestamp is told in the machine's time zone, and is yesterday's west of Greenwich
    day = F.max(F.unix_date(F.to_date("as_of_date"))).alias("day")
    newest = of_newest_month(rolling).agg(day).collect()[0]["day"]
    today = date(1970, 1, 1) + timedelta(days=newest or 0)  # without a state nothing follows
    states = of_days(rolling, tables.ROLLING, Days(today - timedelta(days=2 * RAMP_DAYS), today))
    loads = of_days(daily, tables.DAILY, Days(today - timedelta(days=_HISTORY_DAYS - 1), today))
    return {"states": (states, _STATE), "loads": (loads, _LOADS), "plan": (plans, _PLAN)}


# --------------------------------------------------------------------------------------------------- one bucket


@dataclass(frozen=True)
class _Bucket:
    """A bucket's athletes with a state on the newest day. Arrays (days, athletes), oldest day first."""

    athletes: pa.Array
    today: int
    """The newest day, as days since 1970."""
    ctl: Floats
    """Fitness of the last RAMP_DAYS + 1 days, 0 before the first activity."""
    earlier: Floats
    """What ramp_rate_7d of today and of the RAMP_DAYS days to come is counted from, (RAMP_DAYS + 1, athletes)."""
    atl: Floats
    """Fatigue at the end of today, (athletes,)."""
    loads: Floats
    """Load of the last _HISTORY_DAYS days, NaN before the first activity."""
    is_unknown: NDArray[np.bool_]
    """Of all activities of the last 42 days no load is known."""
    rate: Floats
    """Load of a minute, NaN where no day of the last RATE_DAYS tells."""
    plan: Floats
    """Planned load of the days from tomorrow on, NaN where the plan says nothing."""
    race: Integers
    """Days to the next planned race; 0 where there is none."""
    is_warm: NDArray[np.bool_]
    """The warm-up is over."""

    @property
    def observed(self) -> Integers:
        """Days of the athlete's calendar, as far as they were read."""
        return (~np.isnan(self.loads)).sum(axis=0)

    @classmethod
    def of(cls, tables_of: Mapping[str, pa.Table]) -> _Bucket | None:
        """None where no athlete of the bucket has a state."""
        states, loads, plan = (
            rows.append_column("day", pa.array(epoch_days(rows, day)))
            for rows, day in (
                (tables_of["states"], "as_of_date"),
                (tables_of["loads"], "activity_date"),
                (tables_of["plan"], "plan_date"),
            )
        )
        if not states.num_rows:
            return None
        today = int(pc.max(states["day"]).as_py())
        newest = states.filter(pc.equal(states["day"], today))
        athletes = newest["athlete_id"].combine_chunks()

        def scattered(rows: pa.Table, name: str, first: int, days: int, nothing: float) -> Floats:
            values = rows[name].cast(pa.float64()).to_numpy(zero_copy_only=False)
            where = pc.index_in(rows["athlete_id"], athletes).fill_null(-1).to_numpy(zero_copy_only=False)
            day = rows["day"].to_numpy(zero_copy_only=False) - first
            inside = (where >= 0) & (day >= 0) & (day < days) & np.isfinite(values)
            found = np.full((days, len(athletes)), nothing)
            found[day[inside], where[inside]] = values[inside]
            return found

        since = today - _HISTORY_DAYS + 1
        load = scattered(loads, "daily_tss", since, _HISTORY_DAYS, np.nan)
        minutes = scattered(loads, "moving_time_min", since, _HISTORY_DAYS, 0.0)
        untracked = scattered(loads, "untracked_activities", since, _HISTORY_DAYS, 0.0)
        tells = (untracked == 0) & (load > 0) & (np.arange(_HISTORY_DAYS) >= _HISTORY_DAYS - RATE_DAYS)[:, None]
        weight, time = np.where(tells, load, 0.0).sum(axis=0), np.where(tells, minutes, 0.0).sum(axis=0)
        rate = np.divide(weight, time, out=np.full(len(athletes), np.nan), where=time > 0)

        reach = max(int(pc.max(plan["day"]).as_py()) - today, 0) if plan.num_rows else 0
        stated = scattered(plan, "load_tss", today + 1, reach, np.nan)
        planned_min = scattered(plan, "moving_time_min", today + 1, reach, np.nan)
        is_race = scattered(plan, "is_race", today + 1, reach, 0.0) == 1
        is_planned = ~np.isnan(
            scattered(plan.append_column("there", pa.array(np.ones(plan.num_rows))), "there", today + 1, reach, np.nan)
        )
        last = (
            np.where(is_planned.any(axis=0), reach - is_planned[::-1].argmax(axis=0), 0)
            if reach
            else np.zeros(len(athletes))
        )
        planned = np.where(np.isnan(stated), planned_min * rate, stated)
        # a day between without a row is a rest day; a row without an answer is none
        planned = np.where(~is_planned & (np.arange(reach)[:, None] < last), 0.0, planned)
        race = (
            np.where(is_race.any(axis=0), is_race.argmax(axis=0) + 1, 0) if reach else np.zeros(len(athletes), np.int64)
        )
        atl = scattered(states, "atl_7d", today, 1, 0.0)[0]
        ctl = scattered(states, "ctl_42d", today - 2 * RAMP_DAYS, 2 * RAMP_DAYS + 1, 0.0)
        return cls(
            athletes=athletes,
            today=today,
            ctl=ctl[RAMP_DAYS:],
            earlier=_ramps_from(ctl, scattered(states, "ramp_rate_7d", today - RAMP_DAYS + 1, RAMP_DAYS, 0.0)),
            atl=atl,
            loads=load,
            is_unknown=scattered(states, "untracked_share_42d", today, 1, 0.0)[0] == 1,
            rate=rate,
            plan=planned,
            race=race,
            is_warm=scattered(states, "warmup", today, 1, 1.0)[0] == 0,
        )

    def habit(self) -> Floats:
        """Load of the AHEAD_DAYS days as the same weekday of the last HABIT_DAYS days had it; NaN without a week."""
        recent = self.loads[-HABIT_DAYS:].reshape(HABIT_DAYS // 7, 7, -1)
        known = ~np.isnan(recent)
        days = known.sum(axis=0)
        means = np.divide(
            np.where(known, recent, 0.0).sum(axis=0), days, out=np.full(days.shape, np.nan), where=days > 0
        )
        # HABIT_DAYS and AHEAD_DAYS are whole weeks: the first of each seven is tomorrow's weekday
        means[:, self.observed < LEAST_HABIT_DAYS] = np.nan
        return np.tile(means, (AHEAD_DAYS // 7, 1))

    def planned(self) -> Floats:
        """Planned load of the AHEAD_DAYS days; NaN from the first day on that the plan has no answer for."""
        loads = np.full((AHEAD_DAYS, len(self.athletes)), np.nan)
        loads[: len(self.plan)] = self.plan[:AHEAD_DAYS]
        return np.where(np.logical_or.accumulate(np.isnan(loads), axis=0), np.nan, loads)


def _ramps_from(ctl: Floats, ramps: Floats) -> Floats:
    """The fitness from which the ramps of today and of the RAMP_DAYS days to come are counted.

    ctl: of the last 2 RAMP_DAYS + 1 days; ramps: of the last RAMP_DAYS. As a rule that of RAMP_DAYS before, and in the
    first days after a start that the athlete states what he or she starts from, which the ramps so far tell.
    """
    usual = ctl[RAMP_DAYS:]
    told = ctl[-RAMP_DAYS:] - ramps
    differs = np.abs(told - ctl[1 : RAMP_DAYS + 1]) > _SAME * (1 + np.abs(told))
    # a start on the n-th of the last RAMP_DAYS days counts for n more days than today
    since = np.where(differs.any(axis=0), differs.argmax(axis=0), -1)
    return np.where(np.arange(RAMP_DAYS + 1)[:, None] <= since, told[-1], usual)


_SAME = 1e-6
"""A relative difference between two fitnesses that is rounding."""


def _made(tables_of: Mapping[str, pa.Table], limits: Limits) -> dict[str, pa.Table]:
    """The rows of a bucket, by table's name."""
    bucket = _Bucket.of(tables_of)
    if bucket is None:
        return {table.name: arrow_schema(table).empty_table() for table in (tables.PROJECTION, tables.LOAD_ROOM)}
    return {tables.PROJECTION.name: _projected(bucket), tables.LOAD_ROOM.name: _room(bucket, limits)}


def _projected(bucket: _Bucket) -> pa.Table:
    """PROJECTION rows."""
    loads = {
        "rest": np.zeros((AHEAD_DAYS, len(bucket.athletes))),
        "habit": bucket.habit(),
        "plan": bucket.planned(),
    }
    return pa.concat_tables([_rows_of(bucket, scenario, loads[scenario]) for scenario in tables.SCENARIOS])


def _rows_of(bucket: _Bucket, scenario: str, loads: Floats) -> pa.Table:
    """The rows of one scenario; none where its load is NaN."""
    ctl = sequences.ewma(loads, FITNESS_WEIGHT, bucket.ctl[-1])
    atl = sequences.ewma(loads, FATIGUE_WEIGHT, bucket.atl)
    ramp = ctl - np.concatenate([bucket.earlier[1:], ctl])[:AHEAD_DAYS]
    ahead = np.arange(1, AHEAD_DAYS + 1)[:, None]
    has_ratio = (bucket.observed + ahead >= HISTORY_FOR_ACWR_DAYS) & (ctl >= SMALLEST_CHRONIC_LOAD)
    acwr = np.divide(atl, ctl, out=np.full(ctl.shape, np.nan), where=has_ratio)
    athlete, day = np.nonzero((~np.isnan(loads) & ~bucket.is_unknown).T)
    moment = pa.timestamp("us", "UTC")
    columns = {
        "athlete_id": bucket.athletes.take(pa.array(athlete)),
        "scenario": pa.array([scenario] * len(day), pa.string()),
        "projected_date": pa.array((bucket.today + 1 + day) * MICROSECONDS_A_DAY).cast(moment),
        "as_of_date": pa.array(np.full(len(day), bucket.today * MICROSECONDS_A_DAY)).cast(moment),
        "days_ahead": pa.array(day + 1, pa.int64()),
        **{
            name: pa.array(values[day, athlete], from_pandas=True)
            for name, values in {
                "load_tss": loads,
                "fitness_ctl": ctl,
                "fatigue_atl": atl,
                "form_tsb": ctl - atl,
                "ramp_rate_7d": ramp,
                "acwr": acwr,
            }.items()
        },
    }
    return pa.table(columns)


def _room(bucket: _Bucket, limits: Limits) -> pa.Table:
    """LOAD_ROOM rows."""
    today = bucket.loads[-1]
    # run backwards, not read of yesterday: an athlete may state that he or she starts from another one this morning
    fitness, fatigue = (
        sequences.ewma_before(level, np.stack([today, today]), weight)[0]
        for level, weight in ((bucket.ctl[-1], FITNESS_WEIGHT), (bucket.atl, FATIGUE_WEIGHT))
    )
    # nobody who has not trained for months is used to what the ramp alone would allow
    is_trained = bucket.ctl[-1] >= SMALLEST_CHRONIC_LOAD
    is_known = bucket.is_warm & is_trained & ~bucket.is_unknown
    by_ramp = load_planning.load_for_level(fitness, bucket.earlier[0] + limits.ramp, FITNESS_WEIGHT) - today
    by_ratio = load_planning.load_for_ratio(fatigue, fitness, limits.acwr, FATIGUE_WEIGHT, FITNESS_WEIGHT) - today
    by_ramp = np.where(is_known, np.maximum(by_ramp, 0.0), np.nan)
    has_ratio = is_known & np.isfinite(by_ratio)
    by_ratio = np.where(has_ratio, np.maximum(by_ratio, 0.0), np.nan)
    hardest = np.nan_to_num(bucket.loads[-1 - RATE_DAYS : -1]).max(axis=0)
    # after a pause there is no such day, and what is left of fitness is the limit
    has_hardest = is_known & (hardest > 0)
    by_hardest = np.where(has_hardest, np.maximum(HARDEST_DAY_SHARE * hardest - today, 0.0), np.nan)
    rooms = {"ramp": by_ramp, "acwr": by_ratio, "hardest_day": by_hardest}
    each = np.nan_to_num(np.stack(list(rooms.values())), nan=np.inf)
    room = np.where(is_known, each.min(axis=0), np.nan)
    limit = np.array(list(rooms))[each.argmin(axis=0)].tolist()
    why = np.where(bucket.is_unknown, "unknown_load", np.where(bucket.is_warm, "no_training", "warmup"))

    races = (bucket.race > 0) & ~bucket.is_unknown
    days = np.where(races, bucket.race - 1, 0)  # from tomorrow to the eve
    state = bucket.ctl[-1], bucket.atl, days
    at_rest = load_planning.form_at_rest(*state, FITNESS_WEIGHT, FATIGUE_WEIGHT)
    taper = load_planning.steady_load_for_form(*state, limits.race_form, FITNESS_WEIGHT, FATIGUE_WEIGHT)
    habit = bucket.loads[-HABIT_DAYS:]
    days_known = (~np.isnan(habit)).sum(axis=0)
    habit_load = np.nansum(habit, axis=0) / np.maximum(days_known, 1)
    enough = ~bucket.is_unknown & (bucket.observed >= LEAST_HABIT_DAYS)
    moment = pa.timestamp("us", "UTC")
    columns = {
        "athlete_id": bucket.athletes,
        "as_of_date": pa.array(np.full(len(today), bucket.today * MICROSECONDS_A_DAY)).cast(moment),
        "load_today_tss": nullable(np.nan_to_num(today)),
        "room_by_ramp_tss": nullable(by_ramp),
        "room_by_acwr_tss": nullable(by_ratio),
        "room_by_hardest_day_tss": nullable(by_hardest),
        "room_today_tss": nullable(room),
        "room_limited_by": pa.array(limit, pa.string(), mask=~is_known),
        "room_unknown_reason": pa.array(why.tolist(), pa.string(), mask=is_known),
        "load_per_min_tss": nullable(bucket.rate),
        "room_today_min": nullable(room / bucket.rate),
        "habit_load_tss": nullable(np.where(enough, habit_load, np.nan)),
        "race_date": nullable((bucket.today + bucket.race) * MICROSECONDS_A_DAY, bucket.race == 0).cast(moment),
        "race_form_target_tsb": nullable(np.where(bucket.race > 0, limits.race_form, np.nan)),
        "race_form_at_rest_tsb": nullable(np.where(races, at_rest, np.nan)),
        "taper_load_tss": nullable(np.where(races & (taper >= 0), taper, np.nan)),
    }
    return pa.table({name: columns[name] for name in tables.LOAD_ROOM.column_names})
