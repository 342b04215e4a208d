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
THRESHOLD_EXERTION = 8.0
"""How hard an hour at threshold feels, of 10: Friel's loads by exertion give an hour at 8 100 points."""
FTP_SHARE = 0.95
"""Of the strongest 20 min: the power of an hour (Allen & Coggan, Training and Racing with a Power Meter)."""
ZONE_EDGES = (6, 7, 8, 9)
"""Lower edges of zones 2 to 5 in tenths of the maximum heart rate, or of the heart-rate reserve (Karvonen)."""
THRESHOLD_ZONE_EDGES = (85, 90, 95, 100)
"""The same in hundredths of the threshold heart rate (Friel, The Triathlete's Training Bible, for running)."""
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


def heart_rate_tss(
    minutes: Quantity,
    reserve: Quantity,
    factor: Quantity,
    exponent: Quantity,
    threshold_reserve: Quantity = THRESHOLD_RESERVE,
) -> Quantity:
    """TRIMP of the activity per TRIMP of an hour at the heart-rate threshold, x 100 (Elevate's HRSS)."""
    return 100 * trimp(minutes, reserve, factor, exponent) / trimp(60, threshold_reserve, factor, exponent)


def exertion_tss(minutes: Quantity, exertion: Quantity) -> Quantity:
    """Session RPE (exertion of 1 to 10 x minutes; Foster, J Strength Cond Res 15:109, 2001) over that of an hour at
    threshold, x 100: the points of the other loads."""
    return 100 * (minutes * exertion) / (60 * THRESHOLD_EXERTION)


def power_tss(hours: Quantity, power_w: Quantity, ftp_w: Quantity) -> Quantity:
    """Training stress by power: hours x (weighted power / FTP)^2 x 100 (Coggan)."""
    return hours * (power_w / ftp_w) ** 2 * 100


def hr_max_by_age(age: Quantity) -> Quantity:
    """208 - 0.7 x age, in bpm (Tanaka, J Am Coll Cardiol 37:153, 2001; standard error 11 bpm)."""
    return 208 - 0.7 * age


def maximum_edges(hr_max: Quantity) -> list[Quantity]:
    """Where zones 2 to 5 begin (bpm) by share of the maximum heart rate.

    An edge belongs to the zone above it: a heart rate's zone is 1 + the number of edges that it reaches; zone 1 is open
    downwards, zone 5 upwards. Multiplied first, divided then: nine tenths of 190 bpm are 171 exactly.
    """
    return [hr_max * edge / 10 for edge in ZONE_EDGES]


def reserve_edges(resting: Quantity, hr_max: Quantity) -> list[Quantity]:
    """Where zones 2 to 5 begin (bpm) by share of the heart-rate reserve (Karvonen, 1957)."""
    return [resting + (hr_max - resting) * edge / 10 for edge in ZONE_EDGES]


def threshold_edges(threshold: Quantity) -> list[Quantity]:
    """Where zones 2 to 5 begin (bpm) by share of the threshold heart rate (Friel)."""
    return [threshold * edge / 100 for edge in THRESHOLD_ZONE_EDGES]


def metres_per_beat(distance_m: Quantity, minutes: Quantity, heart_rate: Quantity) -> Quantity:
    """Efficiency (Friel): speed in m/min over heart rate."""
    return distance_m / (minutes * heart_rate)
