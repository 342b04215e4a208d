"""What the time estimator sees: the athlete's state on an evening, seen from one distance.

The feature tables hold what was run at each distance in a column of its own. A model for all distances needs them by
their role (the same distance, the next shorter, the next longer), as ratios to the baseline: then a 40-minute and a
60-minute runner, and a 5 k and a marathon, are one problem.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from athlete_assets import tables
from athlete_assets.formulas.race_times import riegel

if TYPE_CHECKING:
    import pandas as pd
    from pyspark.sql import DataFrame

PERFORMANCE_INPUTS = tuple(
    column.name for column in tables.PERFORMANCE.columns if column.name not in ("athlete_id", "as_of_date", "month")
)
ROLLING_INPUTS = ("ctl_42d", "tsb", "pace_trend_30d")
INPUTS = (*PERFORMANCE_INPUTS, *ROLLING_INPUTS)
"""Columns that the time estimator takes, from athlete_performance_features and athlete_rolling_features."""
REFERENCE_INPUTS = ("best_effort_distance_m", "best_effort_time_s", "total_distance_30d_km")
"""Columns of athlete_rolling_features that only the formulas beside the model take."""

LADDER = tuple(tables.EFFORT_DISTANCES_M)
_LADDER_M = np.array(list(tables.EFFORT_DISTANCES_M.values()))

_EQUIVALENTS = (
    *(name for name in PERFORMANCE_INPUTS if name.endswith("d_10k_s")),
    "hr_predicted_10k_s",
)
_PLAIN = (
    "recent_effort_age_days",
    "run_days_60d",
    *(f"run_distance_{days}d_km" for days in (7, 28, 90, 365)),
    *(f"run_days_{days}d" for days in (14, 28, 90)),
    "longest_run_28d_km",
    "longest_run_90d_km",
    "days_since_run",
    "run_history_days",
    "hard_hr_bpm",
    "usual_hr_share",
    "hr_slope",
    "hard_days_180d",
    *ROLLING_INPUTS,
)
_SAME = ("best_{}_60d_s", "best_{}_before_s", "best_{}_365d_s", "median_{}_365d_s", "latest_{}_s")
_SAME_PLAIN = ("latest_{}_age_days", "days_with_{}_60d", "days_with_{}_365d")


def labelled(efforts: DataFrame, performance: DataFrame, rolling: DataFrame) -> DataFrame:
    """RACE_EFFORTS rows with INPUTS and REFERENCE_INPUTS as known on the evening before, null where nothing was known.

    Both feature tables are dense calendars, so the point-in-time join is an equality on the evening.
    """
    evening = [performance["as_of_date"].alias("lookup_timestamp")]
    seen = performance.select("athlete_id", *evening, *PERFORMANCE_INPUTS)
    state = rolling.select(
        "athlete_id", rolling["as_of_date"].alias("lookup_timestamp"), *ROLLING_INPUTS, *REFERENCE_INPUTS
    )
    keys = ["athlete_id", "lookup_timestamp"]
    return efforts.join(seen, keys, how="left").join(state, keys, how="left")


def baseline_seconds(wide: pd.DataFrame, target_m: NDArray[np.float64]) -> NDArray[np.float64]:
    """Riegel from the recent effort to each row's target (s); NaN without an effort."""
    return riegel(wide["recent_effort_distance_m"], wide["recent_effort_time_s"], target_m)


def design_matrix(wide: pd.DataFrame, distances: Sequence[str]) -> pd.DataFrame:
    """Model features, one row a row of `wide` (INPUTS), seen from the distance named for it.

    Times become natural logarithms of their ratio to the baseline at that distance (0.05: 5 % slower). NaN stays NaN.
    """
    import pandas as pd

    rows = np.arange(len(wide))
    rung = np.array([LADDER.index(name) for name in distances], dtype=np.intp)
    target = _LADDER_M[rung]
    values = {name: wide[name].to_numpy(dtype=np.float64) for name in INPUTS}
    reference = np.log(riegel(values["recent_effort_distance_m"], values["recent_effort_time_s"], 10_000.0))
    columns: dict[str, NDArray[np.float64]] = {"target_log_m": np.log(target), "baseline_log_10k_s": reference}
    columns["effort_to_target_log"] = np.log(values["recent_effort_distance_m"] / target)
    with np.errstate(divide="ignore", invalid="ignore"):
        columns |= {name: np.log(values[name]) - reference for name in _EQUIVALENTS}
        # (rows, rungs): log ratio to the baseline AT the rung's own distance, which Riegel makes comparable
        ladder = {
            pattern: np.column_stack([np.log(values[pattern.format(name)]) for name in LADDER])
            - np.log(
                riegel(values["recent_effort_distance_m"][:, None], values["recent_effort_time_s"][:, None], _LADDER_M)
            )
            for pattern in _SAME
        }
    columns |= {name: values[name] for name in _PLAIN}
    for pattern in _SAME:
        columns["same_" + pattern.replace("_{}", "")] = ladder[pattern][rows, rung]
    for pattern in _SAME_PLAIN:
        stacked = np.column_stack([values[pattern.format(name)] for name in LADDER])
        columns["same_" + pattern.replace("_{}", "")] = stacked[rows, rung]
    for pattern in ("best_{}_60d_s", "best_{}_365d_s"):
        others = np.arange(len(LADDER))
        for role, chosen in (("shorter", others < rung[:, None]), ("longer", others > rung[:, None])):
            best = np.fmin.reduce(np.where(chosen, ladder[pattern], np.nan), axis=1)
            columns[f"{role}_" + pattern.replace("_{}", "")] = best
    for days in (28, 90):
        columns[f"longest_run_{days}d_of_target"] = values[f"longest_run_{days}d_km"] * 1000 / target
    return pd.DataFrame(columns, index=wide.index)


@lru_cache
def feature_names() -> tuple[str, ...]:
    """The columns of `design_matrix`, in order."""
    import pandas as pd

    return tuple(design_matrix(pd.DataFrame({name: [np.nan] for name in INPUTS}), ["10k"]).columns)
