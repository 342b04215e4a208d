"""Intervals moved by outcomes as they come, in an evaluation."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from athlete_assets.models import conformal


def efforts(*misses: float) -> pd.DataFrame:
    """One a day at 10 km, so many half-widths (2 % of time in logarithms) slower than predicted."""
    return pd.DataFrame(
        {
            "activity_date": pd.date_range("2024-01-01", periods=len(misses), tz="UTC"),
            "distance": "10k",
            "time_s": [2_400 * math.exp(0.02 * miss) for miss in misses],
            "model": 2_400.0,
            "p10": 2_400 * math.exp(-0.02),
            "p90": 2_400 * math.exp(0.02),
        }
    )


def test_an_interval_knows_the_days_before_it_alone() -> None:
    """After ten misses of 1.8 half-widths the factor is 1.8^(3/4) = 1.55 (as in test_interval_calibration): 1.5 is held
    then, and 1.6 a day later is not. On the first day, whatever follows, 1 is the most."""
    rows = efforts(*[1.8] * 10, 1.5, 1.6)
    assert conformal.held_as_outcomes_come(rows).tolist() == [False] * 10 + [True, False]
    assert conformal.held_as_outcomes_come(rows[::-1])[::-1].tolist() == [False] * 10 + [True, False]
    assert not conformal.held_as_outcomes_come(efforts(1.5, *[1.8] * 10))[0]


def test_a_miss_is_told_of_the_side_on_which_it_lies() -> None:
    """1 % slower where the slow end lies 2 % away, 1 % faster where the fast end lies 1 % away."""
    run, low, high = (2_400 * np.exp(logs) for logs in ([0.01, -0.01], [-0.09, -0.01], [0.02, 0.09]))
    assert conformal.half_widths(run, np.full(2, 2_400.0), low, high) == pytest.approx([0.5, 1.0])
