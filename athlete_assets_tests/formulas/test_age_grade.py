"""Age grades, against Runalyze's own tests of the same tables, and by hand."""

from __future__ import annotations

import json

import numpy as np
import pytest

from athlete_assets.formulas.age_grade import FIRST_AGE, LAST_AGE, age_grade
from athlete_assets_tests.conftest import shared_file

ROAD = {5.0: "5k", 10.0: "10k", 42.2: "marathon"}


@pytest.mark.parametrize(("sex", "of"), [("M", "male"), ("F", "female")])
def test_age_grades_are_those_of_runalyze(sex: str, of: str) -> None:
    """To 3 decimals: Runalyze interpolates between distances, and 42.2 km is not 42.195.

    Its men's rows hold one factor more than it has distances (the mile's), so that each distance gets its shorter
    neighbour's: 10 km that of 5 miles, 0.8562 at 54 years in place of 0.8586. Ours is the table's.
    """
    expected = json.loads(shared_file("oracles/18_age_grade.json").read_text())[of]
    assert len(expected) == 4
    for case in expected:
        shifted = 0.8562 / 0.8586 if (sex, case["age"], case["km"]) == ("M", 54, 10.0) else 1.0
        found = age_grade(sex, case["age"], ROAD[case["km"]], case["s"])
        assert found == pytest.approx(case["expected"] * shifted, abs=3e-4)


def test_the_standard_itself_is_one_and_half_the_speed_is_half() -> None:
    assert age_grade("M", 25, "half", [3481.0, 6962.0]) == pytest.approx([1.0, 0.5], rel=1e-12)
    assert age_grade("F", 50, "marathon", 8044 / 0.8872) == pytest.approx(1.0, rel=1e-12)


def test_what_is_not_known_has_no_age_grade() -> None:
    assert np.isnan(age_grade(None, 40, "10k", 2400))
    assert np.isnan(age_grade("x", 40, "10k", 2400))
    ages = [FIRST_AGE - 1, LAST_AGE + 1, np.nan]
    assert np.isnan(age_grade("M", ages, "10k", 2400)).all()
    assert np.isnan(age_grade("M", 40, "10k", [0.0, np.nan])).all()
