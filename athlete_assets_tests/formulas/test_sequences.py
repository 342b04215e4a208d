"""The sequence mathematics against other projects' numbers, textbook code and arithmetic by hand."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from athlete_assets.formulas import sequences
from athlete_assets_tests.conftest import shared_file
from athlete_assets_tests.formulas.test_race_times import oracle

FITNESS, FATIGUE = sequences.exponential_weight(42), sequences.exponential_weight(7)


def column(values: Any) -> sequences.Floats:
    """One athlete's days."""
    return np.asarray(values, dtype=float)[:, None]


def by_index(loads: dict[str, float], days: int) -> sequences.Floats:
    return column([loads.get(str(day), 0.0) for day in range(days)])


def matrices(
    days: st.SearchStrategy[int], low: float = 0.0, high: float = 400.0
) -> st.SearchStrategy[sequences.Floats]:
    """Loads of a few athletes with many rest days, as training has them."""
    load = st.one_of(st.just(0.0), st.just(50.0), st.floats(low, high, width=32))
    return st.tuples(days, st.integers(1, 4)).flatmap(
        lambda shape: st.lists(load, min_size=shape[0] * shape[1], max_size=shape[0] * shape[1]).map(
            lambda values: np.array(values).reshape(shape)
        )
    )


# ---------------------------------------------------------------------------------- oracles: exponential averages


def test_the_three_kernels_in_use_are_told_apart() -> None:
    """Oracle 20: 100 TSS on 42 days from 0. Ours is 1 - e^(-1/N); TrainingPeaks 1/N; Runalyze and Williams 2/(N+1)."""
    expected = oracle("20_ewma_kernel_disambiguation")["ctl_day42"]
    loads = column([100.0] * 42)
    weights = {
        "trainingpeaks_1_over_N": 1 / 42,
        "exp_1_minus_exp(-1/N)": FITNESS,
        "span_2_over_N_plus_1": sequences.span_weight(42),
    }
    for name, weight in weights.items():
        assert sequences.ewma(loads, weight)[-1, 0] == pytest.approx(expected[name], abs=5e-5)
        impulse = {"trainingpeaks_1_over_N": 23.81, "exp_1_minus_exp(-1/N)": 23.53, "span_2_over_N_plus_1": 46.51}
        assert sequences.ewma(column([1000.0]), weight)[0, 0] == pytest.approx(impulse[name], abs=5e-3)


def test_runalyze_fitness_and_fatigue() -> None:
    """Oracle 02: the same recursion with Runalyze's weight 2/(N+1), seed 0, rounded to whole points; same-day TSB."""
    weights = {"fitness": sequences.span_weight(42), "fatigue": sequences.span_weight(7)}
    cases = [case for case in oracle("02_pmc_runalyze_tsb_2_over_n_plus_1")["cases"] if "name" not in case]
    checked = 0
    for case in cases:
        loads = column(case["daily_load"]) if "daily_load" in case else by_index(case["daily_load_by_day_index"], 101)
        levels = {name: sequences.ewma(loads, weight)[:, 0] for name, weight in weights.items()}
        levels["performance"] = levels["fitness"] - levels["fatigue"]
        for name, level in levels.items():
            expected = case["expected"].get(name, {})
            pairs = enumerate(expected) if isinstance(expected, list) else ((int(k), v) for k, v in expected.items())
            for index, value in pairs:
                assert abs(level[index] - value) <= 0.5 + 1e-9, (name, index)
                checked += 1
    assert checked == 81
    steady = oracle("02_pmc_runalyze_tsb_2_over_n_plus_1")["cases"][-1]["expected"]
    loads = column([50.0] * 101)
    assert round(sequences.ewma(loads, weights["fitness"])[100, 0]) == steady["fitness_day100"]
    assert round(sequences.ewma(loads, weights["fatigue"])[100, 0]) == steady["fatigue_day100"]


def test_banister_impulse_response() -> None:
    """Oracle 03: Banister's sums v = v e^(-1/tau) + load are ours over 1 - e^(-1/tau); performance = 1 CTL - 2 ATL."""
    checked = 0
    for case in oracle("03_banister_impulse_response_runalyze")["cases"]:
        loads = (
            by_index(case["daily_load_by_day_index"], 8) if "daily_load_by_day_index" in case else column([100] * 51)
        )
        sums = {
            "fitness": sequences.ewma(loads, FITNESS)[:, 0] / FITNESS,
            "fatigue": sequences.ewma(loads, FATIGUE)[:, 0] / FATIGUE,
        }
        sums["performance"] = sums["fitness"] - 2 * sums["fatigue"]
        for name, expected in case["expected"].items():
            for index, value in expected.items():
                assert abs(sums[name][int(index)] - value) <= 0.5 + 1e-9, (name, index)
                checked += 1
    assert checked == 25


def test_williams_acute_and_chronic_load() -> None:
    """Oracle 12: the R package ACWR, 2/(N+1), seeded with the first day's load: 30 on 21 days, then 50 on 7."""
    expected = next(
        case
        for case in oracle("12_acwr_rolling_coupled_uncoupled_ewma")["derived_exact"]
        if case["name"].startswith("ACWR R package")
    )
    loads = column([30.0] * 21 + [50.0] * 7)
    acute = sequences.ewma(loads, sequences.span_weight(7), loads[0])[-1, 0]
    chronic = sequences.ewma(loads, sequences.span_weight(28), loads[0])[-1, 0]
    assert acute == pytest.approx(expected["ewma_acute"], rel=1e-12)
    assert chronic == pytest.approx(expected["ewma_chronic"], rel=1e-12)
    assert acute / chronic == pytest.approx(expected["ewma_acwr"], rel=1e-12)


@pytest.mark.parametrize("weight", [FITNESS, FATIGUE, sequences.span_weight(7)])
def test_a_steady_load_is_its_own_average(weight: float) -> None:
    """Oracle 12, "constant load": any kernel comes to 60; one that starts there stays there to the last bit."""
    shared_file("oracles/12_acwr_rolling_coupled_uncoupled_ewma.json")
    loads = column([60.0] * 1000)
    assert sequences.ewma(loads, weight)[-1, 0] == pytest.approx(60, abs=1e-6)
    assert (sequences.ewma(loads, weight, 60.0) == 60.0).all()


@given(loads=matrices(st.integers(2, 60)), cut=st.integers(1, 59))
def test_an_average_continued_from_a_row_is_the_same_to_the_last_bit(loads: sequences.Floats, cut: int) -> None:
    cut = min(cut, len(loads) - 1)
    whole = sequences.ewma(loads, FITNESS)
    assert np.array_equal(sequences.ewma(loads[cut:], FITNESS, whole[cut - 1]), whole[cut:])


@given(loads=matrices(st.integers(8, 40)))
def test_an_average_runs_backwards(loads: sequences.Floats) -> None:
    """To 1e-12 of the loads: seven days back, as the ramp rate needs them."""
    levels = sequences.ewma(loads, FITNESS)
    assert np.allclose(sequences.ewma_before(levels[-1], loads[-7:], FITNESS), levels[-7:-1], rtol=1e-12, atol=1e-10)


def test_an_average_does_not_overflow_in_fifty_years() -> None:
    """The closed form by cumulative sums of load x e^(t/7) is NaN after some 4,600 days."""
    loads = np.random.default_rng(7).uniform(0, 200, (18_000, 2))
    last = sequences.ewma(loads, FATIGUE)[-1]
    decay = np.exp(-np.arange(300)[:, None] / 7)  # what lies further back than 300 days weighs under 1e-18
    assert np.allclose(last, (loads[::-1][:300] * decay).sum(0) * FATIGUE, rtol=1e-12)


# ------------------------------------------------------------------------------------------------ sliding windows

OPERATIONS: list[tuple[Callable[..., Any], Callable[..., Any]]] = [
    (np.add, math.fsum),
    (np.maximum, max),
    (np.minimum, min),
]


@pytest.mark.parametrize(("combine", "naive"), OPERATIONS)
@given(values=matrices(st.integers(1, 45)), days=st.integers(1, 45))
def test_a_window_combines_exactly_its_own_days(
    combine: Callable[..., Any], naive: Callable[..., Any], values: sequences.Floats, days: int
) -> None:
    days = min(days, len(values))
    result = sequences.sliding(combine, values, days)
    assert result.shape == (len(values) - days + 1, values.shape[1])
    for row, athlete in np.ndindex(*result.shape):
        assert result[row, athlete] == pytest.approx(naive(values[row : row + days, athlete].tolist()), rel=1e-12)


@given(
    values=matrices(st.integers(10, 80)), days=st.sampled_from([7, 30]), cut=st.integers(0, 60), one=st.integers(0, 3)
)
def test_a_window_has_the_same_bits_in_whatever_range_it_is_computed(
    values: sequences.Floats, days: int, cut: int, one: int
) -> None:
    """From a later start, and alone for one athlete and one day: what an increment computes beside a first fill."""
    days = min(days, len(values))
    cut, one = min(cut, len(values) - days), min(one, values.shape[1] - 1)
    for kernel in (lambda v: sequences.sliding(np.add, v, days), lambda v: sequences.monotony(v, days)):
        whole = kernel(values)
        assert np.array_equal(kernel(values[cut:]), whole[cut:], equal_nan=True)
        alone = kernel(np.ascontiguousarray(values[cut : cut + days, one : one + 1]))
        assert np.array_equal(alone[0, 0], whole[cut, one], equal_nan=True)
    trend = sequences.slope(np.ones_like(values), values, days)
    assert np.array_equal(sequences.slope(np.ones_like(values[cut:]), values[cut:], days), trend[cut:], equal_nan=True)


def test_an_emptied_window_holds_exactly_nothing() -> None:
    """A sliding sum that adds and takes away leaves 1e-14 or so behind, and a ratio of two such is anything."""
    values = column([0.1, 0.2, 0.3, 1e9, 0.7] + [0.0] * 10)
    assert (sequences.sliding(np.add, values, 7)[-3:] == 0.0).all()
    assert np.isnan(sequences.monotony(values)[-3:]).all()


def test_a_window_longer_than_the_days_is_refused() -> None:
    with pytest.raises(ValueError, match="a window of 8 days does not fit into 7 days"):
        sequences.sliding(np.add, column([1.0] * 7), 8)


# ------------------------------------------------------------------------------------- monotony and slope


def test_foster_monotony_and_strain() -> None:
    """Oracle 04 (Runalyze): population deviation over 7 calendar days, cap 10.

    Where it gives 0 for an empty week, ours is null. To 3e-4: one of its numbers, from Fellrnr's page, is 20 / 8.45,
    a deviation (8.4515) rounded before the division.
    """
    checked = 0
    for case in oracle("04_foster_monotony_strain")["cases"]:
        loads = column(case["loads"] or [0.0] * 7)
        monotony = sequences.monotony(loads)[0, 0]
        if isinstance(case["monotony"], str):  # "equals [10,20,30,40] padded with zeros": that is what calendar days do
            assert monotony == pytest.approx((100 / 7) / math.sqrt(3000 / 7 - (100 / 7) ** 2), rel=1e-12)
        elif not case["loads"]:
            assert case["monotony"] == 0
            assert np.isnan(monotony)
        else:
            assert monotony == pytest.approx(case["monotony"], rel=3e-4)
        if case["strain"] is not None:
            assert loads.sum() * monotony == pytest.approx(case["strain"], rel=3e-4)
        checked += 1
    assert checked == 5
    assert sequences.monotony(column([0, 20, 10, 10, 10, 10, 10]))[0, 0] == pytest.approx(math.sqrt(3.5), rel=1e-15)


@given(loads=matrices(st.integers(7, 20)))
def test_monotony_is_mean_over_population_deviation(loads: sequences.Floats) -> None:
    result = sequences.monotony(loads)
    for row, athlete in np.ndindex(*result.shape):
        week = loads[row : row + 7, athlete].tolist()
        if not any(week):
            assert np.isnan(result[row, athlete])
        else:
            deviation = statistics.pstdev(week)
            expected = min(10.0, statistics.fmean(week) / deviation) if deviation else 10.0
            assert result[row, athlete] == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("load", [0.1, 1 / 3, 70.0, 123.456])
def test_equal_days_are_the_cap_whatever_the_last_bit_of_their_mean(load: float) -> None:
    assert sequences.monotony(column([load] * 7))[0, 0] == 10.0


@settings(max_examples=60)
@given(
    points=st.lists(st.tuples(st.integers(0, 29), st.floats(3, 9, width=32)), min_size=1, max_size=40),
)
def test_the_slope_is_the_textbook_s(points: list[tuple[int, float]]) -> None:
    """statistics.linear_regression over the single points, several of which may fall on one day."""
    counts, sums = np.zeros((30, 1)), np.zeros((30, 1))
    for on, pace in points:
        counts[on] += 1
        sums[on] += pace
    slope = sequences.slope(counts, sums, 30)[0, 0]
    days, paces = zip(*points, strict=True)
    if len(set(days)) < 2:
        assert np.isnan(slope)
    else:
        assert slope == pytest.approx(statistics.linear_regression(days, paces).slope, rel=1e-9, abs=1e-12)


def test_a_constant_pace_has_no_slope() -> None:
    counts = column([1.0, 0, 2, 0, 0, 1, 1])
    assert sequences.slope(counts, counts * 5.1, 7)[0, 0] == pytest.approx(0.0, abs=1e-14)
