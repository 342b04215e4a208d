"""Loads solved for where they lead, with numbers that one can follow by hand, and against the recursion itself."""

from __future__ import annotations

import numpy as np
import pytest

from athlete_assets.formulas.load_planning import (
    form_at_rest,
    load_for_level,
    load_for_ratio,
    steady_load_for_form,
)
from athlete_assets.formulas.sequences import ewma

SLOW, FAST = 0.02, 0.1


def test_the_load_that_raises_a_level() -> None:
    """50 rises by 2 at a weight of 0.02 with 100 more than 50; it falls to 49 on a rest day."""
    assert load_for_level(50.0, [52.0, 49.0], SLOW) == pytest.approx([150.0, 0.0], abs=1e-9)


def test_the_load_that_makes_a_ratio() -> None:
    """Fast 50 -> 85.714 and slow 50 -> 57.143 with 407.14: 1.5 times."""
    load = load_for_ratio(50.0, 50.0, 1.5, FAST, SLOW)
    assert load == pytest.approx(407.142857, abs=1e-6)
    assert (50 + (load - 50) * FAST) / (50 + (load - 50) * SLOW) == pytest.approx(1.5, rel=1e-12)
    assert load_for_ratio([90.0, np.nan], 50.0, 1.5, FAST, SLOW) == pytest.approx([-107.142857, np.nan], nan_ok=True)


def test_no_load_makes_the_fast_average_so_many_times_the_slow_one() -> None:
    """0.1 / 0.02 is 5: from there on each further load raises the slow one by more."""
    assert np.isinf(load_for_ratio(50.0, 50.0, 5.0, FAST, SLOW))


def test_form_after_rest_and_the_load_that_holds_it() -> None:
    """Two days: 50 x 0.98^2 - 60 x 0.9^2 = 48.02 - 48.6; each unit of daily load takes 0.9604 - 0.81 of the form."""
    assert form_at_rest(50.0, 60.0, 2, SLOW, FAST) == pytest.approx(-0.58, rel=1e-9)
    load = steady_load_for_form(50.0, 60.0, 2, -10.0, SLOW, FAST)
    assert load == pytest.approx((-0.58 + 10) / 0.1504, rel=1e-9)
    slow, fast = (ewma(np.full(2, float(load)), weight, at)[-1] for weight, at in ((SLOW, 50.0), (FAST, 60.0)))
    assert slow - fast == pytest.approx(-10.0, rel=1e-9)


def test_form_that_rest_does_not_reach_takes_a_negative_load_and_no_day_has_none() -> None:
    assert steady_load_for_form(50.0, 60.0, 2, 0.0, SLOW, FAST) < 0
    assert np.isnan(steady_load_for_form(50.0, 60.0, 0, 0.0, SLOW, FAST))
