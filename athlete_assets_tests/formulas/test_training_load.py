"""The formulas of one activity against other projects' numbers and arithmetic by hand."""

from __future__ import annotations

import csv
import math

import numpy as np
import pytest

from athlete_assets.formulas import grade as grades
from athlete_assets.formulas import training_load as load
from athlete_assets_tests.conftest import shared_file
from athlete_assets_tests.formulas.test_race_times import oracle


def seconds(clock: str) -> int:
    minutes, rest = clock.split(":")
    return int(minutes) * 60 + int(rest)


def test_grades_cost_what_minetti_measured() -> None:
    """Runalyze's tests of the same polynomial; four decimals."""
    vectors = oracle("05_minetti_grade_cost_and_pace")
    for grade, cost in vectors["energy_cost"].items():
        assert grades.energy_cost_ratio(float(grade)) == pytest.approx(cost, abs=6e-5)
    for grade, factor in vectors["time_factor"].items():
        assert 1 / grades.flat_metres_per_metre(float(grade)) == pytest.approx(factor, abs=6e-5)
    assert grades.energy_cost_ratio(0.0) == grades.flat_metres_per_metre(0.0) == 1


def test_a_graded_pace_is_runalyzes() -> None:
    for case in oracle("05_minetti_grade_cost_and_pace")["pace_equivalence"]:
        flat = seconds(case["pace"]) / grades.flat_metres_per_metre(case["grade"])
        assert flat == pytest.approx(seconds(case["flat_pace"]), abs=case["tol_s"])


def test_grades_count_less_than_their_energy_and_more_than_stravas_heart_rates_say() -> None:
    """The stated difference: Strava's and Elevate's curves come from heart rates and have their minimum near -10 %."""
    vectors = oracle("06_strava_like_gap_factors")
    theirs = vectors["statistics_for_strava"]["grade_fraction_to_factor"]
    elevates = vectors["elevate"]["grade_percent_to_speed_factor"]
    uphill, downhill = grades.flat_metres_per_metre(0.1), grades.flat_metres_per_metre(-0.1)
    assert theirs["0.1"] < elevates["10"] < uphill < grades.energy_cost_ratio(0.1)
    assert grades.energy_cost_ratio(-0.1) < downhill < theirs["-0.1"]
    for percent in (2, 4, 6):  # what splits of a kilometre have
        assert grades.flat_metres_per_metre(percent / 100) == pytest.approx(elevates[str(percent)], rel=0.12)
    uphills = grades.flat_metres_per_metre(np.linspace(0, grades.STEEPEST_GRADE, 50))
    assert (np.diff(uphills) > 0).all()


def test_trimp_of_other_projects() -> None:
    for case in oracle("10_trimp_banister_edwards_lucia")["cases"]:
        factor, exponent = load.BANISTER_WEIGHTS[case["sex"]]
        reserve = case.get("hr_reserve_fraction")
        if reserve is None:
            reserve = load.reserve_share(case["hr"], case["rest"], case["max"])
        found = load.trimp(case.get("minutes", 60), reserve, case.get("coefficient", factor), exponent)
        assert found == pytest.approx(case["expected"], rel=case.get("tol_rel"), abs=case.get("tol_abs")), case["name"]


def test_trimp_weighs_sexes_as_banister_did_and_hard_minutes_more() -> None:
    assert load.trimp(1, 1, *load.BANISTER_WEIGHTS["M"]) == pytest.approx(0.64 * math.exp(1.92), rel=1e-12)
    assert load.trimp(1, 1, *load.BANISTER_WEIGHTS["F"]) == pytest.approx(0.86 * math.exp(1.67), rel=1e-12)

    def impulse(minutes: float, heart_rate: float) -> float:
        return load.trimp(minutes, load.reserve_share(heart_rate, 60, 190), *load.BANISTER_WEIGHTS["M"])

    assert (impulse(50, 120) + impulse(10, 180)) / impulse(60, 130) > 1.02


def test_heart_rate_load_of_elevate() -> None:
    vectors = oracle("11_hrss_and_rtss")
    fallback = vectors["lthr_fallback"]
    assert fallback["factor"] == load.THRESHOLD_RESERVE
    for case in vectors["hrss"]:
        weights = load.BANISTER_WEIGHTS[case["sex"]]
        at_threshold = load.reserve_share(case["lthr"], case["rest_hr"], case["max_hr"])
        assert math.floor(100 * case["trimp"] / load.trimp(60, at_threshold, *weights)) == case["floor_expected"]
        if case["lthr"] == fallback["expected"]:
            assert at_threshold == pytest.approx(load.THRESHOLD_RESERVE, rel=1e-12)
            minutes = case["trimp"] / load.trimp(1, 0.7, *weights)
            assert math.floor(load.heart_rate_tss(minutes, 0.7, *weights)) == case["floor_expected"]


def test_load_by_power_is_stravas_training_load() -> None:
    """183 runs of a shared export, whose intensity is in whole per cent; its hours are those on the clock."""
    with shared_file("data/strava_export_94_columns.csv").open(newline="") as file:
        header, *rows = csv.reader(file)
    # names that stand there twice: the later one is in metres and seconds
    at = {name: place for place, name in enumerate(header)}
    known = [row for row in rows if row[at["Training Load"]]]
    names = ("Elapsed Time", "Weighted Average Power", "Intensity", "Training Load")
    elapsed, power, intensity, stated = (np.array([float(row[at[name]]) for row in known]) for name in names)
    ours = load.power_tss(elapsed / 3600, power, power / (intensity / 100))
    assert len(known) == 183
    assert ours.sum() / stated.sum() == pytest.approx(1.018, abs=0.001)
    assert np.median(ours / stated) == pytest.approx(1.0, abs=0.005)


def test_running_load_is_100_for_an_hour_at_threshold_and_falls_with_pace() -> None:
    for case in oracle("11_hrss_and_rtss")["rtss"]:
        speeds = [float(case[name].split()[0]) for name in ("speed", "threshold_speed") if name in case]
        pace = 60 / speeds[0] if speeds else case.get("gap_s_per_km", case.get("pace_s_per_km"))
        threshold = 60 / speeds[1] if speeds else case["threshold_s_per_km"]
        found = load.running_tss(case["moving_s"] / 3600, load.intensity_factor(threshold, pace))
        if "expected" in case:
            assert found == pytest.approx(case["expected"], abs=case.get("tol", 1e-9))
        else:
            assert found > case["expected_greater_than"]
    loads = [load.running_tss(1.0, load.intensity_factor(5.0, pace)) for pace in (4.0, 5.0, 6.0, 7.0)]
    assert loads == sorted(loads, reverse=True)


def test_efficiency_is_metres_per_heartbeat() -> None:
    """10 km in an hour at 150 bpm are 10,000 m in 9,000 beats. A faster run at the same heart rate is more efficient,
    where the pace over heart rate that one also meets says the reverse."""
    case = oracle("13_efficiency_factor")["cases"][0]
    found = load.metres_per_beat(case["distance_m"], case["moving_s"] / 60, case["avg_hr"])
    assert found == pytest.approx(10_000 / 9_000, rel=1e-12)
    assert found / 60 == pytest.approx(case["expected_speed_per_bpm"], rel=1e-9)
    assert load.metres_per_beat(12_000, 60, 150) > found


def test_maximum_heart_rate_by_age_is_tanakas() -> None:
    vectors = oracle("14_hrmax_estimators")
    for age, expected in zip(vectors["ages"], vectors["expected"]["tanaka_208_0.7"], strict=True):
        assert math.floor(load.hr_max_by_age(age) + 0.5) == expected
