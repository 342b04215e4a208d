"""Sequence mathematics of training load: pure NumPy, no table, no engine.

Arrays are time-major: axis 0 is consecutive calendar days, oldest first; axis 1 is athletes. A window of N days ends
on, and includes, the day that it is reported for. Every window is reduced anew from its own values, by the same tree
of operations wherever it lies: its result is the same to the last bit whatever range it was computed in, and leaves
no residue when the window has emptied. (Differences of cumulative sums do neither; a NumPy reduction over
sliding_window_view picks its order of addition by the array's shape.)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[Any]
Floats = NDArray[np.float64]

MONOTONY_CAP = 10.0


def exponential_weight(time_constant: float) -> float:
    """Weight of the newest day, 1 - e^(-1/N): Banister's decay with a time constant of N days."""
    return float(-np.expm1(-1 / time_constant))


def span_weight(span: float) -> float:
    """Weight of the newest day, 2 / (N + 1): a span of N days (Williams et al., Br J Sports Med 51:209, 2017)."""
    return 2 / (span + 1)


def ewma(loads: ArrayLike, weight: ArrayLike, start: ArrayLike = 0.0) -> Floats:
    """x_t = x_(t-1) + (load_t - x_(t-1)) * weight, from `start` on the day before the first row.

    loads (days, athletes); weight and start scalars or (athletes,). Continuing from a returned row gives the same bits
    as one pass. A start equal to a constant load stays there exactly.
    """
    loads = np.asarray(loads, dtype=np.float64)
    result = np.empty_like(loads)
    level = np.broadcast_to(np.asarray(start, dtype=np.float64), loads.shape[1:])
    for day, load in enumerate(loads):  # one step a day for all athletes at once
        level = level + (load - level) * weight
        result[day] = level
    return result


def ewma_before(level: ArrayLike, loads: ArrayLike, weight: float) -> Floats:
    """The ewma of each day in `loads` but the last, given its level on that last day: the recursion run backwards.

    loads (days, athletes) -> (days - 1, athletes), oldest first. Meant for a few days: the error grows by
    1 / (1 - weight) a day.
    """
    loads = np.asarray(loads, dtype=np.float64)
    result = np.empty((len(loads) - 1, *loads.shape[1:]))
    for day in range(len(loads) - 1, 0, -1):
        level = (np.asarray(level) - weight * loads[day]) / (1 - weight)
        result[day - 1] = level
    return result


def sliding(combine: Callable[[Array, Array], Array], values: Array, days: int) -> Array:
    """Combines each window of `days` rows: row i of the result is values[i] ... values[i + days - 1].

    `combine(older, newer)` is an associative elementwise operation such as np.add, np.maximum or np.minimum. Windows
    are put together from windows of 1, 2, 4, 8 ... days, so the work grows with the logarithm of `days`.
    Shape (days_given, athletes) -> (days_given - days + 1, athletes).
    """

    def one(older: list[Array], newer: list[Array], days_older: int) -> list[Array]:
        return [combine(older[0], newer[0])]

    return _slid(one, [values], days)[0]


def _slid(
    combine: Callable[[list[Array], list[Array], int], list[Array]], values: list[Array], days: int
) -> list[Array]:
    """`sliding` for an operation on several arrays, which is told how many days the older ones are of."""
    if not 1 <= days <= len(values[0]):
        raise ValueError(f"a window of {days} days does not fit into {len(values[0])} days")
    result: list[Array] = []
    covered, blocks, span = 0, values, 1
    while True:
        if days & span:
            if not covered:
                result = blocks
            else:
                count = len(values[0]) - covered - span + 1
                newer = [block[covered : covered + count] for block in blocks]
                result = combine([older[:count] for older in result], newer, covered)
            covered += span
        if covered == days:
            return result
        blocks = combine([block[:-span] for block in blocks], [block[span:] for block in blocks], span)
        span *= 2


def monotony(loads: Floats, days: int = 7) -> Floats:
    """Mean over POPULATION standard deviation of the loads of each window of `days` calendar days, rest days as 0.

    Foster, Med Sci Sports Exerc 30:1164 (1998). Capped at 10; all days equal with load gives 10, no load NaN.
    Shapes as in `sliding`.
    """
    total = sliding(np.add, loads, days)
    mean = total / days
    squares = np.zeros_like(mean)
    for offset in range(days):
        squares += (loads[offset : offset + len(mean)] - mean) ** 2
    varies = sliding(np.maximum, loads, days) > sliding(np.minimum, loads, days)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.minimum(mean / np.sqrt(squares / days), MONOTONY_CAP)
    return np.where(total > 0, np.where(varies, ratio, MONOTONY_CAP), np.nan)


def slope(counts: Array, sums: Array, days: int) -> Floats:
    """Least-squares slope per day of the points in each window of `days` days.

    counts: points on each day; sums: the sum of their values. NaN where fewer than two days hold a point.
    Shapes as in `sliding`.
    """
    # days are counted from each window's own first, so that products stay small and keep the digits of a small slope
    points, total, first, second, cross = _slid(_moments, [counts, sums, *np.zeros((3, *counts.shape))], days)
    spread = points * second - first**2
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(spread > 0, (points * cross - first * total) / spread, np.nan)


def _moments(older: list[Array], newer: list[Array], days: int) -> list[Array]:
    """Of two windows as one: points, their values, and the sums over points of day, day squared and day times value."""
    points, total, first, second, cross = newer
    moved = points * days
    return [
        older[0] + points,
        older[1] + total,
        older[2] + (first + moved),
        older[3] + (second + days * (2 * first + moved)),
        older[4] + (cross + days * total),
    ]
