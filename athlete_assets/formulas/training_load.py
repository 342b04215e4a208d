"""Formulas of one activity: training stress, heart-rate load and zones, the cost of grades.

Each works alike on numbers, NumPy arrays and Spark columns: it is made of + - * / and ** alone.
"""

from __future__ import annotations

import math
from typing import Any

Quantity = Any
"""A float, a NumPy array or a Spark Column; the result is of the same kind."""

BANISTER_WEIGHTS = {"M": (0.64, 1.92), "F": (0.86, 1.67)}
"""By sex, the factor and exponent of Banister's TRIMP; who does not state a sex gets M's."""
THRESHOLD_RESERVE = 0.85
"""Share of the heart-rate reserve at the heart-rate threshold where an athlete has not measured it (Elevate)."""
ZONE_EDGES = (6, 7, 8, 9)
"""Lower edges of zones 2 to 5 in tenths of the maximum heart rate."""
ZONES = tuple(range(1, len(ZONE_EDGES) + 2))


def intensity_factor(threshold_pace: Quantity, pace: Quantity) -> Quantity:
    """Threshold pace over pace (both min/km): above 1 is faster than threshold."""
    return threshold_pace / pace


def running_tss(hours: Quantity, intensity: Quantity) -> Quantity:
    """Training stress of a run: hours x IF^2 x 100; an hour at threshold is 100 (Coggan; McGregor for running)."""
    return hours * intensity**2 * 100


def reserve_share(heart_rate: Quantity, resting: Quantity, maximum: Quantity) -> Quantity:
    """Share of the heart-rate reserve in use (Karvonen, 1957): 0 at rest, 1 at the maximum."""
    return (heart_rate - resting) / (maximum - resting)


def trimp(minutes: Quantity, reserve: Quantity, factor: Quantity, exponent: Quantity) -> Quantity:
    """Banister's training impulse (1991): minutes x reserve x factor x e^(exponent x reserve)."""
    return minutes * reserve * factor * math.e ** (exponent * reserve)


def heart_rate_tss(minutes: Quantity, reserve: Quantity, factor: Quantity, exponent: Quantity) -> Quantity:
    """TRIMP of the activity per TRIMP of an hour at the heart-rate threshold, x 100 (Elevate's HRSS)."""
    return 100 * trimp(minutes, reserve, factor, exponent) / trimp(60, THRESHOLD_RESERVE, factor, exponent)


def hr_max_by_age(age: Quantity) -> Quantity:
    """208 - 0.7 x age, in bpm (Tanaka, J Am Coll Cardiol 37:153, 2001; standard error 11 bpm)."""
    return 208 - 0.7 * age


def reaches(heart_rate: Quantity, hr_max: Quantity, edge: int) -> Quantity:
    """Whether the heart rate is at an edge of the zones, or above: the zone is 1 + the number of edges reached.

    An edge belongs to the zone above it, below 60 % is zone 1, zone 5 is open upwards. Compared as products: 171 of
    190 bpm are nine tenths exactly, while 171 / 190 need not be 0.9.
    """
    return heart_rate * 10 >= hr_max * edge


def metres_per_beat(distance_m: Quantity, minutes: Quantity, heart_rate: Quantity) -> Quantity:
    """Efficiency (Friel): speed in m/min over heart rate."""
    return distance_m / (minutes * heart_rate)
