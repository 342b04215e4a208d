"""What the time estimator sees: the athlete's state on an evening, seen from one distance.

The feature tables hold what was run at each distance in a column of its own. A model for all distances needs them by
their role (the same distance, the next shorter, the next longer), as ratios to the baseline: then a 40-minute and a
60-minute runner, and a 5 k and a marathon, are one problem.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

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
ROLLING_INPUTS = tables.LOGGED_STATE
INPUTS = (*PERFORMANCE_INPUTS, *ROLLING_INPUTS)
"""Columns that the time estimator takes, from athlete_performance_features and athlete_rolling_features."""
REFERENCE_INPUTS = ("best_effort_distance_m", "best_effort_time_s", "total_distance_30d_km")
"""Columns of athlete_rolling_features that only the formulas beside the model take."""

LADDER = tuple(tables.EFFORT_DISTANCES_M)
_LADDER_M = np.array(list(tables.EFFORT_DISTANCES_M.values()))
_TEN = LADDER.index("10k")
_FROM_10K = riegel(_LADDER_M[_TEN], 1.0, _LADDER_M)
"""Riegel's time at each rung for one second over 10 km: an effort's times then take one power a row, not one a rung."""

_EQUIVALENTS = tuple(name for name in PERFORMANCE_INPUTS if name.endswith("d_10k_s"))
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
_OTHERS = ("best_{}_60d_s", "best_{}_365d_s")
_OF_A_DISTANCE = (
    "target_log_m",
    "effort_to_target_log",
    *("same_" + pattern.replace("_{}", "") for pattern in (*_SAME, *_SAME_PLAIN)),
    *(f"{role}_{pattern.replace('_{}', '')}" for pattern in _OTHERS for role in ("shorter", "longer")),
    "longest_run_28d_of_target",
    "longest_run_90d_of_target",
)
FEATURES = (
    "target_log_m",
    "baseline_log_10k_s",
    "effort_to_target_log",
    *_EQUIVALENTS,
    *_PLAIN,
    *_OF_A_DISTANCE[2:],
)
"""The columns of `design_matrix`, in order."""
SEEN = [FEATURES.index(name) for name in _OF_A_DISTANCE]
"""The places of those that depend on the distance that it is seen from."""
SHARED = [place for place in range(len(FEATURES)) if place not in SEEN]


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

    return pd.DataFrame(Views(wide).matrix(rungs(distances)).T.copy(), index=wide.index, columns=list(FEATURES))


Rungs: TypeAlias = "int | NDArray[np.intp]"
"""Places in LADDER: one for all rows, or one a row."""


def rungs(distances: str | Sequence[str]) -> Rungs:
    """The distance's place in LADDER, or those of each row's."""
    if isinstance(distances, str):
        return LADDER.index(distances)
    place = {name: number for number, name in enumerate(LADDER)}
    return np.array([place[name] for name in distances], dtype=np.intp)


class Views:
    """The design matrix of some rows of INPUTS as it is seen from each distance.

    What does not depend on the distance is computed once: four distances cost little more than one.
    """

    def __init__(self, wide: pd.DataFrame) -> None:
        values = {name: wide[name].to_numpy(dtype=np.float64) for name in INPUTS}
        self._values, self.rows = values, len(wide)
        self.known: dict[int, Any] = {}
        """What was found from the columns that no distance changes, by the id of the finder."""
        self._rung: int | None = None
        self.run_days_90d = values["run_days_90d"]
        effort_m, effort_s = values["recent_effort_distance_m"], values["recent_effort_time_s"]
        # Riegel makes the ratios at different rungs comparable
        self._over_10k_s = riegel(effort_m, effort_s, _LADDER_M[_TEN])
        self._matrix = np.empty((len(FEATURES), self.rows))
        self._single: NDArray[np.float32] | None = None
        self._single_rung: int | None = None
        with np.errstate(divide="ignore", invalid="ignore"):
            reference = np.log(self._over_10k_s)
            self._log_effort_m = np.log(effort_m)
            self._log_baseline = reference + np.log(_FROM_10K)[:, None]
            self._ratios: dict[tuple[str, int], NDArray[np.float64]] = {}
            self._others = []
            for pattern in _OTHERS:
                best = [self._ratio(pattern, rung) for rung in range(len(LADDER))]
                self._others += [_fastest(best[:-1]), _fastest(best[:0:-1])[::-1]]
            equivalents, plain = SHARED[1 : 1 + len(_EQUIVALENTS)], SHARED[1 + len(_EQUIVALENTS) :]
            self._matrix[SHARED[0]] = reference
            for place, name in zip(equivalents, _EQUIVALENTS, strict=True):
                np.log(values[name], out=self._matrix[place])
                self._matrix[place] -= reference
            for place, name in zip(plain, _PLAIN, strict=True):
                self._matrix[place] = values[name]

    def baseline_s(self, rung: Rungs) -> NDArray[np.float64]:
        """(rows,): Riegel from the recent effort (s); NaN without an effort."""
        return self._over_10k_s * _FROM_10K[rung]

    def matrix(self, rung: Rungs) -> NDArray[np.float64]:
        """(FEATURES, rows), the design matrix seen from a distance. The next call writes into the same array."""
        if isinstance(rung, int) and rung == self._rung:
            return self._matrix
        self._rung = rung if isinstance(rung, int) else None
        target = _LADDER_M[rung]
        seen = [np.log(target), self._log_effort_m - np.log(target)]
        seen += [self._at(partial(self._ratio, pattern), rung) for pattern in _SAME]
        seen += [self._at(partial(self._plain, pattern), rung) for pattern in _SAME_PLAIN]
        seen += [self._at(others.__getitem__, rung) for others in self._others]
        seen += [self._values[f"longest_run_{days}d_km"] * 1000 / target for days in (28, 90)]
        for place, column in zip(SEEN, seen, strict=True):
            self._matrix[place] = column
        return self._matrix

    def single(self, rung: Rungs) -> NDArray[np.float32]:
        """`matrix` in single precision, as trees take it. The next call writes into the same array."""
        matrix = self.matrix(rung)
        if self._single is None:
            self._single = matrix.astype(np.float32)
        elif self._rung is None or self._rung != self._single_rung:
            for place in SEEN:
                self._single[place] = matrix[place]
        self._single_rung = self._rung
        return self._single

    def _ratio(self, pattern: str, rung: int) -> NDArray[np.float64]:
        """(rows,): logarithm of the time at a rung over the baseline there."""
        if (pattern, rung) not in self._ratios:
            with np.errstate(divide="ignore", invalid="ignore"):
                ratio = np.log(self._values[pattern.format(LADDER[rung])])
            ratio -= self._log_baseline[rung]
            self._ratios[pattern, rung] = ratio
        return self._ratios[pattern, rung]

    def _plain(self, pattern: str, rung: int) -> NDArray[np.float64]:
        return self._values[pattern.format(LADDER[rung])]

    def _at(self, of_rung: Callable[[int], NDArray[np.float64]], rung: Rungs) -> NDArray[np.float64]:
        if isinstance(rung, int):
            return of_rung(rung)
        found = np.empty(self.rows)
        for number in np.unique(rung):
            chosen = rung == number
            found[chosen] = of_rung(number)[chosen]
        return found


def _fastest(ratios: list[NDArray[np.float64]]) -> list[NDArray[np.float64]]:
    """The smallest of none (NaN), of the first, of the first two, and so on."""
    found = [np.full_like(ratios[0], np.nan)]
    for ratio in ratios:
        found.append(np.fmin(found[-1], ratio))
    return found
