"""The formula: Riegel from the recent best, moved by what the home's own efforts, or other runners', say of it."""

from __future__ import annotations

import math
from datetime import timedelta

import numpy as np
import pandas as pd
import pytest

from athlete_assets import tables
from athlete_assets.days import midnight
from athlete_assets.models import baseline
from athlete_assets.models.baseline import LEAST_EFFORTS
from athlete_assets.models.population import REAL, SIMULATED, Correction, shipped
from athlete_assets.store.local import LocalStore
from athlete_assets_tests.rows import DAY, rows

PRIOR = shipped(REAL).formula
NONE = Correction(-0.1, 0.0, 0.1, 0)


def evening(metres: float | None, seconds: float | None) -> pd.DataFrame:
    return pd.DataFrame({"recent_effort_distance_m": [metres], "recent_effort_time_s": [seconds]}, dtype="float64")


def test_a_prediction_is_riegels_time_with_the_correction() -> None:
    """10 km in 50 min: 5 km in 50 min x 0.5^1.06 = 23:58.8, and 20 % slower by its correction, e^0.18232."""
    slower = Correction(0.0, math.log(1.2), math.log(1.5), 30)
    found = baseline.predictions(evening(10_000, 3_000), {**dict.fromkeys(tables.DISTANCES_M, NONE), "5k": slower})
    assert found["predicted_5k_s"][0] == pytest.approx(1.2 * 1438.9, abs=0.1)
    assert found["p10_5k_s"][0] == pytest.approx(1438.9, abs=0.1)
    assert found["p90_5k_s"][0] == pytest.approx(1.5 * 1438.9, abs=0.1)
    assert found["predicted_10k_s"][0] == pytest.approx(3_000)
    assert found["p10_10k_s"][0] == pytest.approx(3_000 * math.exp(-0.1))
    assert found["predicted_half_s"][0] == pytest.approx(3_000 * 2.10975**1.06, rel=1e-9)


def test_a_longer_distance_never_gets_a_shorter_time() -> None:
    odd = {**dict.fromkeys(tables.DISTANCES_M, NONE), "5k": Correction(0.9, 1.0, 1.1, 20)}
    found = baseline.predictions(evening(10_000, 3_000), odd)
    for quantile in range(3):
        times = [found[columns[quantile]][0] for columns in tables.TIME_COLUMNS.values()]
        assert times == sorted(times)


def test_without_an_effort_there_is_no_prediction() -> None:
    found = baseline.served(PRIOR, evening(None, None))
    assert found[[name for names in tables.TIME_COLUMNS.values() for name in names]].isna().all(axis=None)
    assert found["served_by"].tolist() == [None]


def test_few_efforts_leave_the_prior_and_enough_replace_it() -> None:
    ratios = np.linspace(0, 0.2, LEAST_EFFORTS)
    assert baseline.correction_of(np.append(ratios[1:], [np.nan] * 5), PRIOR["10k"]) is PRIOR["10k"]
    found = baseline.correction_of(np.append(ratios, np.nan), PRIOR["10k"])
    assert found == Correction(pytest.approx(0.02), pytest.approx(0.1), pytest.approx(0.18), LEAST_EFFORTS)


def test_the_homes_efforts_are_held_against_what_was_known_on_the_evening_before(store: LocalStore) -> None:
    """25 efforts over 10 km, each 10 % slower than the best that was known; at 5 km one is too few."""
    evenings = [midnight(DAY + timedelta(days=number)) for number in range(25)]
    known = [
        {"as_of_date": day, "recent_effort_distance_m": 10_000.0, "recent_effort_time_s": 3_000.0} for day in evenings
    ]
    efforts = [
        {
            "activity_id": number,
            "lookup_timestamp": day,
            "distance": "10k",
            "target_m": 10_000.0,
            "time_s": 3_300.0,
            "left_out": None,
        }
        for number, day in enumerate(evenings)
    ]
    one = {**efforts[0], "activity_id": 99, "distance": "5k", "target_m": 5_000.0, "time_s": 1_200.0}
    ride = {**efforts[0], "activity_id": 100, "time_s": 1_800.0, "left_out": "too_fast"}
    store.replace_arrow(tables.PERFORMANCE, rows(tables.PERFORMANCE, *known))
    store.replace_arrow(tables.RACE_EFFORTS, rows(tables.RACE_EFFORTS, *efforts, one, ride))
    store.replace_arrow(tables.ACTIVITY, rows(tables.ACTIVITY, {"source": "strava_export"}))
    found = baseline.measured(store)
    expected = pytest.approx(math.log(1.1), rel=1e-12)
    assert found["10k"] == Correction(expected, expected, expected, 25)
    assert {name: found[name] for name in ("5k", "half", "marathon")} == {
        name: PRIOR[name] for name in ("5k", "half", "marathon")
    }
    store.replace_arrow(tables.ACTIVITY, rows(tables.ACTIVITY, {"source": "simulated"}))
    assert baseline.measured(store)["5k"] == shipped(SIMULATED).formula["5k"]
