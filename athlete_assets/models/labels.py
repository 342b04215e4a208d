"""What the models learn from: efforts over a distance, and disruptions of training.

An effort is a race that the athlete marked, a run at a heart rate that says how hard it was, or, where neither is
known, the fastest of several tries. The first two are chosen by effort; the third is chosen by its result, which
flatters every prediction of it, so figures are given for each tier. No run is chosen by how close it came to a
prediction. Both tables are functions of all history (an athlete's top decile of heart rate needs it) and are replaced
whole.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from athlete_assets import tables
from athlete_assets.features.efforts import effort_time
from athlete_assets.formulas.race_times import HIGHEST_VDOT, riegel, vdot
from athlete_assets.store.arrow import nullable
from athlete_assets.store.by_athlete import apply_by_athlete
from athlete_assets.store.columns import known

if TYPE_CHECKING:
    import pandas as pd

NEAREST, FARTHEST = 0.98, 1.04
"""Share of the distance that a run over it may have: GPS tracks of a measured course read long rather than short."""
MICROSECONDS_A_DAY = 86_400_000_000

RACE, HEART_RATE, BLOCK_BEST = "race", "heart_rate", "block_best"
TIERS = {RACE: 1, HEART_RATE: 2, BLOCK_BEST: 3}
WEIGHTS = {RACE: 1.0, HEART_RATE: 0.7, BLOCK_BEST: 0.7}
TOP_HEART_RATE_SHARE, HEART_RATE_MIN_RUNS = 0.10, 10
BLOCK_DAYS, BLOCK_MIN_TRIES = 60, 3

SLOWER, TOO_FAST, LONG_PAUSE = "slower_than_usual", "too_fast", "long_pause"
USUAL_DAYS, USUAL_MIN_RUNS = 90, 5
"""A label is held against the athlete's median run of so many days before and after it. The days after it choose what
is learned from, and are in no feature."""
TOO_FAST_SHARE = 1.35
"""Times as fast as the median run: a ride that was recorded as a run looks like this. A race that the athlete marked
is believed however fast it was."""
LONG_PAUSE_SHARE = 0.20
"""Elapsed over moving time of a marked race from which a watch was left running."""

DISRUPTION_DAYS, WITHIN_DAYS = 7, 14
TRAINING_DAYS, MIN_ACTIVE_DAYS = 28, 4
RECOVERY_DAYS = 14
CENSORED_DAYS = WITHIN_DAYS + DISRUPTION_DAYS - 1
"""Days at the end of which the outcome is not known yet: the last week that counts ends so much later."""
SUNDAY = 3
"""Epoch day modulo 7 of a Sunday (1970-01-01 was a Thursday)."""


def race_efforts(activities: DataFrame) -> DataFrame:
    """RACE_EFFORTS rows of all ACTIVITY rows.

    A run (no trail or treadmill run: neither measures a race time) within NEAREST..FARTHEST of a distance in
    EFFORT_DISTANCES_M is an effort where the athlete marked it as a race; or its mean heart rate is in the athlete's
    top decile at that distance (of at least HEART_RATE_MIN_RUNS); or it is the fastest of at least BLOCK_MIN_TRIES in
    its block of BLOCK_DAYS, unless its heart rate was below the athlete's median at that distance. Speeds above a world
    record's, and sessions with rests, are no efforts at all. Time is elapsed time for a race where it is known, else
    moving time, scaled to the distance by Riegel.

    `left_out` says why an effort is not learned from: it was slower than the athlete's median run of the 90 days
    before and after it (SLOWER), or so much faster that it was none (TOO_FAST), or the clock of a race ran on through a
    LONG_PAUSE. It judges all the same.
    """
    runs = activities.where(
        (F.col("sport_type") == "Run")
        & (known("distance_km") * 1000 >= NEAREST * min(tables.EFFORT_DISTANCES_M.values()))
        & (known("moving_time_min") > 0)
    ).select(
        "athlete_id",
        "activity_id",
        F.unix_date(F.col("activity_date").cast("date")).alias("day"),
        "is_race",
        (known("distance_km") * 1000).alias("metres"),
        (known("moving_time_min") * 60).alias("moving_s"),
        (effort_time(known("moving_time_min"), known("elapsed_time_min"), F.col("is_race")) * 60).alias("effort_s"),
        known("avg_hr").alias("bpm"),
    )
    return apply_by_athlete(runs, bucket_efforts, tables.RACE_EFFORTS.ddl)


def bucket_efforts(bucket: pa.Table) -> pa.Table:
    """RACE_EFFORTS rows of a bucket's runs."""
    runs = bucket.to_pandas().sort_values(["athlete_id", "day", "activity_id"], ignore_index=True)
    runs = runs[vdot(runs["metres"], runs["moving_s"]) <= HIGHEST_VDOT]
    runs = _with_lead(runs)
    names = np.array(list(tables.EFFORT_DISTANCES_M))
    targets = np.array(list(tables.EFFORT_DISTANCES_M.values()))
    share = runs["metres"].to_numpy()[:, None] / targets
    near = (share >= NEAREST) & (share <= FARTHEST)
    runs = runs[near.any(axis=1)]
    which = near[near.any(axis=1)].argmax(axis=1)
    runs = runs.assign(distance=names[which], target_m=targets[which])
    runs = runs[runs["effort_s"].notna()]
    runs = runs.assign(time_s=riegel(runs["metres"], runs["effort_s"], runs["target_m"]))
    by_distance = [runs["athlete_id"], runs["distance"]]
    heart_rates = runs["bpm"].groupby(by_distance)
    is_top = (heart_rates.transform("count") >= HEART_RATE_MIN_RUNS) & (
        runs["bpm"] >= heart_rates.transform(lambda bpm: bpm.quantile(1 - TOP_HEART_RATE_SHARE))
    )
    block = runs["time_s"].groupby([*by_distance, runs["day"] // BLOCK_DAYS])
    # of equal times the first: a block has one best
    is_best = (block.rank(method="first") == 1) & (block.transform("count") >= BLOCK_MIN_TRIES)
    is_best &= ~(runs["bpm"] < heart_rates.transform("median"))
    effort = np.select([runs["is_race"].astype(bool), is_top, is_best], [RACE, HEART_RATE, BLOCK_BEST], default="")
    runs = runs.assign(effort=effort, left_out=_left_out(runs, effort == RACE))[effort != ""]
    return _efforts_table(runs)


def _with_lead(runs: pd.DataFrame) -> pd.DataFrame:
    """The runs with `lead`: how far their logarithm of speed lies above that of the athlete's median run of USUAL_DAYS
    before and after, as equivalents over 10 km; NaN where fewer than USUAL_MIN_RUNS say what is usual."""
    import pandas as pd

    if runs.empty:
        return runs.assign(lead=[])
    day = runs["day"].to_numpy(np.int64) - runs["day"].min()
    # all athletes on one clock, a microsecond a day, and so far apart that no window reaches from one to the next
    apart = int(day.max()) + 2 * USUAL_DAYS + 1
    clock = pd.to_datetime(day + apart * runs["athlete_id"].factorize()[0], unit="us")
    own = pd.Series(np.log(riegel(runs["metres"], runs["moving_s"], 10_000.0)), index=clock)
    usual = own.rolling(f"{2 * USUAL_DAYS}us", center=True, closed="both", min_periods=USUAL_MIN_RUNS).median()
    return runs.assign(lead=(usual - own).to_numpy())


def _left_out(runs: pd.DataFrame, is_race: NDArray[np.bool_]) -> NDArray[Any]:
    """Why each run is not learned from; None where it is."""
    lead = runs["lead"].to_numpy(np.float64)
    is_too_fast = ~is_race & (lead > math.log(TOO_FAST_SHARE))
    is_paused = runs["effort_s"].to_numpy() > runs["moving_s"].to_numpy() * (1 + LONG_PAUSE_SHARE)
    why = np.select([is_too_fast, is_paused, lead < 0], [TOO_FAST, LONG_PAUSE, SLOWER], default="")
    found: NDArray[Any] = why.astype(object)
    found[why == ""] = None
    return found


def _efforts_table(runs: pd.DataFrame) -> pa.Table:
    day = runs["day"].to_numpy(dtype=np.int64)
    bpm = runs["bpm"].to_numpy(dtype=np.float64)
    made: dict[str, Any] = {
        "athlete_id": pa.array(runs["athlete_id"], pa.string()),
        "activity_id": pa.array(runs["activity_id"], pa.int64()),
        "activity_date": _timestamps(day),
        "lookup_timestamp": _timestamps(day - 1),
        "distance": pa.array(runs["distance"], pa.string()),
        "target_m": pa.array(runs["target_m"].to_numpy(dtype=np.float64)),
        "run_distance_m": pa.array(runs["metres"].to_numpy(dtype=np.float64)),
        "time_s": pa.array(runs["time_s"].to_numpy(dtype=np.float64)),
        "effort": pa.array(runs["effort"], pa.string()),
        "tier": pa.array(runs["effort"].map(TIERS).astype("int32"), pa.int32()),
        "weight": pa.array(runs["effort"].map(WEIGHTS).astype("float64"), pa.float64()),
        "avg_hr": nullable(bpm),
        "left_out": pa.array(runs["left_out"], pa.string()),
        "month": _months(day),
    }
    return pa.table({name: made[name] for name in tables.RACE_EFFORTS.column_names})


def training_disruptions(daily: DataFrame) -> DataFrame:
    """DISRUPTIONS rows of all DAILY rows: Sundays of athletes in training whose outcome is known.

    In training: at least MIN_ACTIVE_DAYS active days of the last TRAINING_DAYS, and not already DISRUPTION_DAYS without
    activity. Disrupted: DISRUPTION_DAYS in a row without activity begin within the next WITHIN_DAYS. Left out: the last
    CENSORED_DAYS of the calendar, and the RECOVERY_DAYS from a half or full marathon on, when rest is the plan.
    """
    days = daily.select(
        "athlete_id",
        F.unix_date(F.col("activity_date").cast("date")).alias("day"),
        (F.col("activities") > 0).alias("is_active"),
        known("longest_run_km").alias("longest_km"),
    )
    return apply_by_athlete(days, bucket_disruptions, tables.DISRUPTIONS.ddl)


def bucket_disruptions(bucket: pa.Table) -> pa.Table:
    """DISRUPTIONS rows of a bucket's DAILY rows."""
    rows = bucket.to_pandas().sort_values(["athlete_id", "day"], ignore_index=True)
    athletes, days, disrupted = [], [], []
    for athlete, calendar in rows.groupby("athlete_id", sort=True):
        day = calendar["day"].to_numpy(dtype=np.int64)
        at_risk, outcome = _disruptions(
            calendar["is_active"].to_numpy(dtype=bool), calendar["longest_km"].to_numpy(dtype=np.float64)
        )
        chosen = at_risk & (day % 7 == SUNDAY)
        athletes += [athlete] * int(chosen.sum())
        days.append(day[chosen])
        disrupted.append(outcome[chosen])
    day = np.concatenate(days) if days else np.empty(0, dtype=np.int64)
    return pa.table(
        {
            "athlete_id": pa.array(athletes, pa.string()),
            "as_of_date": _timestamps(day),
            "disrupted": pa.array(np.concatenate(disrupted) if disrupted else [], pa.bool_()),
            "month": _months(day),
        }
    )


def _disruptions(is_active: NDArray[np.bool_], longest_km: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """For each day of a dense calendar: whether it is an evening to predict from, and whether a disruption followed."""
    days = np.arange(len(is_active))
    active_before = np.concatenate([[0], np.cumsum(is_active)])

    def active(first: NDArray[Any], last: NDArray[Any]) -> NDArray[Any]:
        """Active days from first to last, both included, cut to the calendar."""
        return active_before[np.clip(last + 1, 0, len(days))] - active_before[np.clip(first, 0, len(days))]

    # day d begins a disruption where d .. d + 6 are empty
    begins = (active(days, days + DISRUPTION_DAYS - 1) == 0).astype(np.int64)
    begins_before = np.concatenate([[0], np.cumsum(begins)])
    following = begins_before[np.clip(days + WITHIN_DAYS + 1, 0, len(days))] - begins_before[days + 1]
    kilometres = np.nan_to_num(longest_km)
    is_long_race = np.zeros(len(days), dtype=bool)
    for name in ("half", "marathon"):
        share = kilometres * 1000 / tables.DISTANCES_M[name]
        is_long_race |= (share >= NEAREST) & (share <= FARTHEST)
    races_before = np.concatenate([[0], np.cumsum(is_long_race)])
    recovering = races_before[days + 1] - races_before[np.maximum(days + 1 - RECOVERY_DAYS, 0)] > 0
    in_training = (active(days - TRAINING_DAYS + 1, days) >= MIN_ACTIVE_DAYS) & (days >= TRAINING_DAYS - 1)
    already = active(days - DISRUPTION_DAYS + 1, days) == 0
    is_known = days + CENSORED_DAYS <= len(days) - 1
    return in_training & ~already & ~recovering & is_known, following > 0


def _timestamps(day: NDArray[np.int64]) -> pa.Array:
    return pa.array(day * MICROSECONDS_A_DAY, pa.int64()).cast(pa.timestamp("us", "UTC"))


def _months(day: NDArray[np.int64]) -> pa.Array:
    return pa.array(day.astype("datetime64[D]").astype("datetime64[M]").astype(str), pa.string())
