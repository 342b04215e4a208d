"""What a metre uphill or downhill costs. Works alike on numbers, NumPy arrays and Spark columns."""

from __future__ import annotations

from athlete_assets.formulas.training_load import Quantity

STEEPEST_GRADE = 0.45
"""Minetti's subjects ran up to this grade, and down; beyond it the polynomial means nothing."""
GRADE_TIME_EXPONENT = 0.83


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
