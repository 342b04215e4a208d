"""Which load leads where: the recursion of fitness and fatigue (`sequences.ewma`), solved for the load.

x_t = x_(t-1) + (load_t - x_(t-1)) w: linear in the load, so each answer is closed. Loads and levels in TSS a day;
scalars or arrays of athletes, NaN where an input is NaN.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


def load_for_level(level_before: ArrayLike, level: ArrayLike, weight: float) -> Floats:
    """The day's load after which the average stands at `level`: x0 + (x - x0) / w.

    >>> float(load_for_level(50.0, 52.0, 0.02))  # 50 + 2 / 0.02
    150.0
    """
    before = np.asarray(level_before, dtype=np.float64)
    return before + (np.asarray(level, dtype=np.float64) - before) / weight


def load_for_ratio(
    fast_before: ArrayLike, slow_before: ArrayLike, ratio: float, fast_weight: float, slow_weight: float
) -> Floats:
    """The day's load after which the fast average is `ratio` times the slow one; inf where no load makes it so much.

    fast + (L - fast) f = r (slow + (L - slow) s), so L = (r slow (1 - s) - fast (1 - f)) / (f - r s).

    >>> round(float(load_for_ratio(50.0, 50.0, 1.5, 0.1, 0.02)), 6)  # (73.5 - 45) / 0.07
    407.142857
    """
    fast, slow = np.asarray(fast_before, dtype=np.float64), np.asarray(slow_before, dtype=np.float64)
    gain = fast_weight - ratio * slow_weight
    if gain <= 0:  # each further load raises the slow side by more
        return np.where(np.isnan(fast + slow), np.nan, np.inf)
    return (ratio * slow * (1 - slow_weight) - fast * (1 - fast_weight)) / gain


def form_at_rest(fitness: ArrayLike, fatigue: ArrayLike, days: ArrayLike, slow: float, fast: float) -> Floats:
    """Fitness less fatigue after so many days without load: fitness (1 - s)^n - fatigue (1 - f)^n."""
    kept_slow, kept_fast = (1 - slow) ** np.asarray(days, dtype=np.float64), (1 - fast) ** np.asarray(days, np.float64)
    return np.asarray(fitness, np.float64) * kept_slow - np.asarray(fatigue, np.float64) * kept_fast


def steady_load_for_form(
    fitness: ArrayLike, fatigue: ArrayLike, days: ArrayLike, form: ArrayLike, slow: float, fast: float
) -> Floats:
    """The load of each of n days after which fitness less fatigue is `form`; negative where rest alone gives less.

    Each day's load L moves the form by -L ((1 - s)^n - (1 - f)^n) in all; NaN for less than one day.
    """
    n = np.asarray(days, dtype=np.float64)
    cost = np.where(n >= 1, (1 - slow) ** n - (1 - fast) ** n, np.nan)
    return (form_at_rest(fitness, fatigue, n, slow, fast) - np.asarray(form, dtype=np.float64)) / cost
