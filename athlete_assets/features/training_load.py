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
STEEPEST_GRADE = 0.45
"""Minetti's subjects ran up to this grade, and down; beyond it the polynomial means nothing."""
GRADE_TIME_EXPONENT = 0.83


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


def energy_cost_ratio(grade: Quantity) -> Quantity:
    """Energy cost of a metre at the grade (rise over run, -0.45 to 0.45) over that of a level metre.

    C(g) = 155.4 g^5 - 30.4 g^4 - 43.3 g^3 + 46.3 g^2 + 19.5 g + 3.6 J/kg/m (Minetti, J Appl Physiol 93:1039, 2002).
    """
    return ((((155.4 * grade - 30.4) * grade - 43.3) * grade + 46.3) * grade + 19.5) * grade / 3.6 + 1


def flat_metres_per_metre(grade: Quantity) -> Quantity:
    """Level metres that cost the effort of one metre at the grade: Minetti's ratio to the power of 0.83.

    The power is Runalyze's. With 1, as pure energy would have it, 10 % uphill counts 1.66 times and downhill 0.60;
    runners' heart rates (Strava's and Elevate's curves) say 1.42 to 1.47 and 0.88. With 0.83 it is 1.52 and 0.65:
    nearer on both sides, and on the gentle grades that splits have (2 % uphill: 1.09, they: 1.05 to 1.10).
    """
    return energy_cost_ratio(grade) ** GRADE_TIME_EXPONENT
