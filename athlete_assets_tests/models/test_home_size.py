"""What a home of one is predicted from: the line of others, and its own efforts of the past alone."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from athlete_assets.models import fit_population, home_size, splits
from athlete_assets.models.population import REAL
from athlete_assets.models.time_estimator import DEFAULTS
from athlete_assets.models.time_evaluation import RECENT
from athlete_assets_tests.models.steady import steady_efforts

ATHLETES, EFFORTS = 20, 6
EVERY_DAYS = 50


@pytest.fixture(scope="module")
def efforts() -> pd.DataFrame:
    return steady_efforts(ATHLETES, EFFORTS, EVERY_DAYS)


def test_a_home_of_one_learns_from_its_own_past(efforts: pd.DataFrame) -> None:
    """The line of others says the same of all and is some 5 % off. With k of its own efforts known, 43 days
    and more before, an athlete's residual counts k / (k + 10): of six efforts 50 days apart k is 0 to 5, so that the
    mean of 10 / (k + 10) over them, 0.8199, of the error is left."""
    found = home_size.homes_of_one(efforts, efforts.assign(model=3_000.0), REAL)["10k"]
    left = np.mean([10 / (k + 10) for k in range(EFFORTS)])
    assert (found["n"], found["athletes"]) == (len(efforts), ATHLETES)
    assert 0.04 < found["line"]["mean_ape"] < 0.07
    assert found["alone"]["mean_ape"] / found["line"]["mean_ape"] == pytest.approx(left, abs=0.02)
    assert found["below_together"]["mean_ape_below"] == pytest.approx(1 - found["alone"]["mean_ape"] / 0.05, abs=0.01)
    assert "10k: 120 efforts of 20 athletes" in home_size.homes_as_text({"10k": found})


def test_a_home_of_one_is_predicted_as_it_would_be_served(efforts: pd.DataFrame) -> None:
    """The last effort of each: by the line moved by the athlete's earlier ones, as a home moves it."""
    last = efforts.groupby("athlete_id").tail(1)
    alone = home_size._alone(efforts, REAL, DEFAULTS).set_index("activity_id")
    train, test = splits.by_athlete(efforts)[0]
    line = fit_population.without_interval(efforts[train].reset_index(drop=True), REAL)
    for _, row in last[test[last.index]].iterrows():
        own = efforts[(efforts["athlete_id"] == row["athlete_id"]) & (efforts["activity_id"] != row["activity_id"])]
        served = line.moved(own.reset_index(drop=True)).times(efforts.loc[[row.name]], ["10k"])[0][0, 1]
        assert alone.loc[row["activity_id"], "alone"] == pytest.approx(served, rel=1e-12)


def test_what_is_run_within_the_embargo_is_not_known(efforts: pd.DataFrame) -> None:
    """The same efforts 7 days apart: none lies 43 days before another of the same athlete's."""
    first = efforts["activity_date"].min()
    close = efforts.assign(activity_date=first + (efforts["activity_date"] - first) / EVERY_DAYS * 7)
    found = home_size.homes_of_one(close, close.assign(model=3_000.0), REAL)["10k"]
    assert found["alone"] == found["line"]


def test_the_curve_has_the_sizes_that_there_are_athletes_for(efforts: pd.DataFrame) -> None:
    """20 athletes in folds of one or two: of 18 no line of 20 can be fitted."""
    curve = home_size.learning_curve(efforts, REAL)
    assert list(curve) == [10]
    text = home_size.curve_as_text(curve)
    assert "  10 athletes: 10k " in text


def test_the_interval_of_athletes_left_out_was_set_on_others(efforts: pd.DataFrame) -> None:
    """One athlete twice as slow as all others: the interval does not know him, and the line's own figures say so."""
    one = efforts["athlete_id"] == "athlete 00"
    odd = efforts.assign(time_s=efforts["time_s"].where(~one, 6_000.0))
    judged = fit_population.left_out(odd, REAL)
    inside = (judged["time_s"] >= judged["p10"]) & (judged["time_s"] <= judged["p90"])
    assert not inside[judged["athlete_id"] == "athlete 00"].any()
    assert RECENT in judged
