"""Race times from one or two efforts, as published: no training data, no fitted constant of ours.

All functions take scalars or NumPy arrays (broadcast), distances in metres and times in seconds, and give NaN where
an input is NaN or not positive.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

RIEGEL_EXPONENT = 1.06
VICKERS_EXPONENT = 1.07
MARATHON_M = 42195.0
KM_PER_MILE = 1.609344
HIGHEST_VDOT = 83.0
"""World records from 1,500 m to the marathon lie at VDOT 83.6 to 87.0: a run above is a vehicle or a bad GPS track."""

RECENT_EFFORT_DAYS = (60, 180, 365)
"""Times are predicted from the best effort of the first of these spans (days) that holds one."""

_VDOT_STEPS = 60
"""Bisection steps: the bracket of 1 to 12 m/s shrinks below the last bit of a double."""


def _positive(*values: ArrayLike) -> list[Floats]:
    """The values as float arrays, NaN where they are not positive."""
    arrays = [np.asarray(value, dtype=np.float64) for value in values]
    return [np.where(array > 0, array, np.nan) for array in arrays]


def clock(seconds: float) -> str:
    """48:05, or 1:45:20 from an hour on."""
    whole = round(float(seconds))
    hours, rest = divmod(whole, 3_600)
    return f"{hours}:{rest // 60:02d}:{rest % 60:02d}" if hours else f"{rest // 60}:{rest % 60:02d}"


def riegel(distance_m: ArrayLike, time_s: ArrayLike, target_m: ArrayLike, exponent: float = RIEGEL_EXPONENT) -> Floats:
    """Time at the target (s): t x (D / d)^1.06 (Riegel, American Scientist 69, 1981)."""
    distance, time, target = _positive(distance_m, time_s, target_m)
    return time * (target / distance) ** exponent


def cameron(distance_m: ArrayLike, time_s: ArrayLike, target_m: ArrayLike) -> Floats:
    """Time at the target (s): t x D/d x f(d) / f(D), fitted to the top times from 400 m to 50 miles (Cameron, 1998)."""
    distance, time, target = _positive(distance_m, time_s, target_m)
    return time * (target / distance) * _cameron_factor(distance) / _cameron_factor(target)


def _cameron_factor(distance: Floats) -> Floats:
    return 13.49681 - 0.000030363 * distance + 835.7114 / distance**0.7905


def oxygen_cost(speed: ArrayLike) -> Floats:
    """Oxygen (ml/kg/min) that level running at a speed in m/min takes: -4.6 + 0.182258 v + 0.000104 v^2.

    Daniels & Gilbert, Oxygen Power (1979).
    """
    (speed,) = _positive(speed)
    return -4.6 + 0.182258 * speed + 0.000104 * speed * speed


def speed_at_oxygen_cost(oxygen: ArrayLike) -> Floats:
    """Speed of level running (m/min) that takes so much oxygen (ml/kg/min): the inverse of `oxygen_cost`."""
    (oxygen,) = _positive(oxygen)
    return (-0.182258 + np.sqrt(0.182258**2 + 4 * 0.000104 * (oxygen + 4.6))) / (2 * 0.000104)


def held_share(minutes: ArrayLike) -> Floats:
    """Share of VO2max that can be held for so many minutes.

    0.8 + 0.1894393 e^(-0.012778 t) + 0.2989558 e^(-0.1932605 t) (Daniels & Gilbert, Oxygen Power, 1979).
    """
    (minutes,) = _positive(minutes)
    return 0.8 + 0.1894393 * np.exp(-0.012778 * minutes) + 0.2989558 * np.exp(-0.1932605 * minutes)


def vdot(distance_m: ArrayLike, time_s: ArrayLike) -> Floats:
    """VDOT (ml/kg/min) of a race: oxygen cost of its speed over the share that can be held so long.

    Daniels & Gilbert, Oxygen Power (1979).
    """
    distance, time = _positive(distance_m, time_s)
    minutes = time / 60
    return oxygen_cost(distance / minutes) / held_share(minutes)


def vdot_time(vdot_value: ArrayLike, target_m: ArrayLike) -> Floats:
    """Time (s) in which the target distance has the VDOT: the inverse of `vdot`, by bisection on speed.

    NaN for a VDOT that no speed from 1 to 12 m/s gives.
    """
    wanted, target = np.broadcast_arrays(*_positive(vdot_value, target_m))
    slow, fast = np.full(wanted.shape, 1.0), np.full(wanted.shape, 12.0)
    for _ in range(_VDOT_STEPS):
        middle = (slow + fast) / 2
        too_slow = vdot(target, target / middle) < wanted
        slow, fast = np.where(too_slow, middle, slow), np.where(too_slow, fast, middle)
    reachable = (vdot(target, target / 1.0) <= wanted) & (wanted <= vdot(target, target / 12.0))
    return np.where(reachable, target / slow, np.nan)


def race_minutes(vdot_value: Floats, target_m: Floats) -> Floats:
    """`vdot_time` in minutes, to about nine digits at a tenth of the cost: for whole populations.

    By fixed point: the share of VO2max that can be held falls with the duration that is sought, and each of the seven
    steps divides the error by more than ten.
    """
    minutes = target_m / speed_at_oxygen_cost(vdot_value * 0.9)
    for _ in range(7):
        minutes = target_m / speed_at_oxygen_cost(vdot_value * held_share(minutes))
    return minutes


def daniels(distance_m: ArrayLike, time_s: ArrayLike, target_m: ArrayLike) -> Floats:
    """Time at the target (s) with the VDOT of the effort."""
    return vdot_time(vdot(distance_m, time_s), target_m)


def critical_speed(distances_m: ArrayLike, times_s: ArrayLike) -> tuple[float, float]:
    """Critical speed (m/s) and D' (m) by least squares of distance on time, d = D' + CS x t (Monod & Scherrer, 1965).

    (NaN, NaN) with fewer than two efforts of different length, or where the line says that longer is not slower
    (CS <= 0 or D' < 0): such efforts were not all-out.
    """
    distance, time = _positive(distances_m, times_s)
    known = np.isfinite(distance) & np.isfinite(time)
    distance, time = distance[known], time[known]
    spread = ((time - time.mean()) ** 2).sum() if len(time) else 0.0
    if len(time) < 2 or spread == 0:
        return np.nan, np.nan
    speed = ((time - time.mean()) * (distance - distance.mean())).sum() / spread
    reserve = distance.mean() - speed * time.mean()
    return (float(speed), float(reserve)) if speed > 0 and reserve >= 0 else (np.nan, np.nan)


def critical_speed_time(speed_mps: ArrayLike, reserve_m: ArrayLike, target_m: ArrayLike) -> Floats:
    """Time at the target (s): (D - D') / CS. NaN where the target is not longer than D'."""
    speed, target = _positive(speed_mps, target_m)
    left = target - np.asarray(reserve_m, dtype=np.float64)
    return np.where(left > 0, left, np.nan) / speed


def vickers_vertosick(distance_m: ArrayLike, time_s: ArrayLike, weekly_km: ArrayLike) -> Floats:
    """Marathon time (s) from one race and the weekly distance.

    Vickers & Vertosick, BMC Sports Sci Med Rehabil 8:26 (2016), model 1:
    v = 0.16018617 + 0.83076202 v_riegel + 0.06423826 x (miles per week / 10), v_riegel with exponent 1.07. (Ports of
    it with 0.6423826 exist: they make a 2:00 marathon of a 40-minute 10 k.)
    """
    distance, time = _positive(distance_m, time_s)
    miles = np.asarray(weekly_km, dtype=np.float64) / KM_PER_MILE
    riegel_speed = MARATHON_M / riegel(distance, time, MARATHON_M, VICKERS_EXPONENT)
    return MARATHON_M / (0.16018617 + 0.83076202 * riegel_speed + 0.06423826 * miles / 10)


def vickers_vertosick_two_races(
    distance_m: ArrayLike, time_s: ArrayLike, longer_m: ArrayLike, longer_s: ArrayLike, weekly_km: ArrayLike
) -> Floats:
    """Marathon time (s) from two races: the exponent between them, corrected for volume (model 2 of the same paper)."""
    distance, time, longer, longer_time = _positive(distance_m, time_s, longer_m, longer_s)
    miles = np.asarray(weekly_km, dtype=np.float64) / KM_PER_MILE
    exponent = np.log(longer_time / time) / np.log(longer / distance)
    to_marathon = 1.4510756 - 0.23797948 * exponent - 0.01410023 * miles / 10
    return longer_time * (MARATHON_M / longer) ** to_marathon
