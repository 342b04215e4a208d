"""The formulas give the published numbers: Daniels' tables, other projects' tests, and the papers' own arithmetic."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from athlete_assets.formulas import race_times
from athlete_assets_tests.conftest import shared_file


def oracle(name: str) -> dict[str, Any]:
    return json.loads(shared_file(f"oracles/{name}.json").read_text())


def test_daniels_tables() -> None:
    """VDOT within 0.12 and the time within 1.5 s a kilometre: the printed tables are rounded."""
    for row in oracle("07_vdot_daniels_tables")["table"]:
        vdot, distance, time = row["vdot"], row["distance_m"], row["time_s"]
        assert race_times.vdot(distance, time) == pytest.approx(vdot, abs=0.12)
        assert race_times.vdot_time(vdot, distance) == pytest.approx(time, abs=1.5 * distance / 1000)


def test_race_predictors_of_python_running_performance() -> None:
    """Riegel, Cameron and VDOT within 0.5 %; its Purdy points are not used here."""
    predictors = {
        "riegel_times": race_times.riegel,
        "cameron_times": race_times.cameron,
        "vo2max_times": race_times.daniels,
    }
    for case in oracle("08_race_predictors_riegel_cameron_purdy_vo2")["cases"]:
        effort = case["distance_m"], case["time_s"]
        assert race_times.vdot(*effort) == pytest.approx(case["vo2max"], abs=0.005)
        for name, predict in predictors.items():
            for target, time in case[name]:
                assert predict(*effort, target) == pytest.approx(time, rel=0.005), (name, effort, target)


def test_vo2max_prediction_of_python_running_performance() -> None:
    example = oracle("08_race_predictors_riegel_cameron_purdy_vo2")["extra"]["vo2max_prediction"]
    predicted = race_times.daniels(example["d1"], example["t1"], example["d2"])
    assert predicted == pytest.approx(example["expected_s"], rel=0.005)


def test_cameron_of_runalyze() -> None:
    for case in oracle("09_cameron_and_steffny_runalyze")["cameron"]:
        for row in case["expected"]:
            time = race_times.cameron(case["d1_km"] * 1000, case["t1_s"], row["d_km"] * 1000)
            assert time == pytest.approx(row["t_s"], abs=row["tol_s"])


def test_vickers_vertosick_of_the_paper() -> None:
    expected = oracle("17_vickers_vertosick_marathon")
    for row in expected["model1"]:
        time = race_times.vickers_vertosick(row["d1_m"], row["t1_s"], row["mpw"] * race_times.KM_PER_MILE)
        assert time == pytest.approx(row["marathon_s"], abs=0.06)
    for row in expected["model2"]:
        time = race_times.vickers_vertosick_two_races(
            row["d1_m"], row["t1_s"], row["d2_m"], row["t2_s"], row["mpw"] * race_times.KM_PER_MILE
        )
        assert time == pytest.approx(row["marathon_s"], abs=0.06)


def test_a_40_minute_10k_on_40_miles_a_week_is_no_two_hour_marathon() -> None:
    time = race_times.vickers_vertosick(10_000, 2_400, 40 * race_times.KM_PER_MILE)
    assert 3 * 3600 < time < 3.75 * 3600


@pytest.mark.parametrize(
    ("distance", "record"), [(1_500, 206.0), (5_000, 755.36), (10_000, 1571.0), (21_097.5, 3402.0), (42_195, 7235.0)]
)
def test_only_a_world_record_lies_above_the_highest_vdot(distance: float, record: float) -> None:
    """The record is above it, and 5 % slower (still a national record in most countries) is not."""
    assert race_times.vdot(distance, record) > race_times.HIGHEST_VDOT
    assert race_times.vdot(distance, record * 1.05) < race_times.HIGHEST_VDOT


def test_riegel_doubles_by_two_to_the_1_06() -> None:
    """20:00 over 5 km: 10 km in 1200 x 2^1.06 = 2501.9 s."""
    assert race_times.riegel(5_000, 1_200, 10_000) == pytest.approx(2501.9, abs=0.05)


def test_critical_speed_of_a_line() -> None:
    """4 m/s and 200 m in hand: 1 km in (1000-200)/4 = 200 s, 3 km in 700 s, 5 km in 1200 s, so 10 km in 2450 s."""
    speed, reserve = race_times.critical_speed([1_000, 3_000, 5_000], [200, 700, 1_200])
    assert (speed, reserve) == (pytest.approx(4.0, rel=1e-12), pytest.approx(200.0, rel=1e-9))
    assert race_times.critical_speed_time(speed, reserve, 10_000) == pytest.approx(2450.0)


@pytest.mark.parametrize(
    ("distances", "times"),
    [([], []), ([5_000], [1_200]), ([5_000, 5_010], [1_200, 1_200]), ([1_000, 5_000], [300, 1_200])],
    ids=["none", "one", "one length", "the longer one faster"],
)
def test_critical_speed_is_unknown_from_efforts_that_do_not_tell_it(distances: list[int], times: list[int]) -> None:
    speed, reserve = race_times.critical_speed(distances, times)
    assert np.isnan(speed)
    assert np.isnan(reserve)


@pytest.mark.parametrize("predict", [race_times.riegel, race_times.cameron, race_times.daniels])
@pytest.mark.parametrize("effort", [(0.0, 1_200.0), (5_000.0, 0.0), (-1.0, 1_200.0), (float("nan"), 1_200.0)])
def test_no_effort_gives_no_time(predict: Any, effort: tuple[float, float]) -> None:
    assert np.isnan(predict(*effort, 10_000.0))


@given(distance=st.floats(1_500, 50_000), speed=st.floats(1.7, 6.0))
def test_vdot_time_is_the_inverse_of_vdot(distance: float, speed: float) -> None:
    time = distance / speed
    assert race_times.vdot_time(race_times.vdot(distance, time), distance) == pytest.approx(time, rel=1e-9)


@given(vdot=st.floats(24, 82), distance=st.sampled_from([5_000.0, 10_000.0, 21_097.5, 42_195.0]))
def test_race_minutes_are_the_time_of_the_vdot(vdot: float, distance: float) -> None:
    (minutes,) = race_times.race_minutes(np.array([vdot]), np.array([distance]))
    assert 60 * minutes == pytest.approx(float(race_times.vdot_time(vdot, distance)), rel=1e-8)


@given(speed=st.floats(100, 400))
def test_speed_is_the_inverse_of_oxygen_cost(speed: float) -> None:
    assert race_times.speed_at_oxygen_cost(race_times.oxygen_cost(speed)) == pytest.approx(speed, rel=1e-12)


@given(speed=st.floats(1.7, 6.0), distance=st.floats(3_000, 42_195))
@pytest.mark.parametrize("predict", [race_times.riegel, race_times.cameron, race_times.daniels])
def test_longer_takes_longer(predict: Any, speed: float, distance: float) -> None:
    times = predict(distance, distance / speed, np.array([5_000, 10_000, 21_097.5, 42_195]))
    assert (np.diff(times) > 0).all()


def test_clock() -> None:
    assert [race_times.clock(seconds) for seconds in (59.6, 2_885.0, 6_320.0)] == ["1:00", "48:05", "1:45:20"]
