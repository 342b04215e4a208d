"""Windows over rows that lie anywhere in time, against the same windows put together by hand."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from athlete_assets.formulas import slices
from athlete_assets.formulas.slices import Floats, Integers, Ranked, RowOfSmallest, Smallest, Sums, Windows

DAYS, LOOKBACK = 60, 25
"""Days of a group, and how many of them lie before the first that is asked for."""


@st.composite
def rows_of_groups(draw: st.DrawFn) -> tuple[Integers, Floats]:
    """Cells and values of up to 4 groups, several of a day among them, and values that are the same."""
    cells = sorted(draw(st.lists(st.integers(0, 4 * DAYS - 1), max_size=70)))
    values = draw(st.lists(st.floats(-5, 5) | st.sampled_from([0.0, 1.0]), min_size=len(cells), max_size=len(cells)))
    return np.array(cells, dtype=np.int64), np.array(values, dtype=np.float64)


@st.composite
def asked_cells(draw: st.DrawFn) -> Integers:
    """A day or two of each group, as an increment asks, or every day from the first on, as a fill does."""
    days = draw(st.sampled_from([range(LOOKBACK, DAYS), [DAYS - 1], [LOOKBACK, DAYS - 3]]))
    return np.array([group * DAYS + day for group in range(4) for day in days], dtype=np.int64)


def ranked(by_matrix: bool) -> AbstractContextManager[object]:
    """Has all slices ranked by the matrix, or all of them sorted."""
    return patch.object(slices, "VALUES_SORTED", -1 if by_matrix else 10**6)


def by_hand(
    cells: Integers, values: Floats, asked: Integers, days: int, before: int, of: Callable[[list[float]], float]
) -> list[float]:
    """What the function says of the values of each window's rows; NaN where there are none."""
    windows = [values[(cells > end - before - days) & (cells <= end - before)].tolist() for end in asked]
    return [of(window) if window else math.nan for window in windows]


@given(rows=rows_of_groups(), asked=asked_cells(), days=st.integers(1, 20), before=st.integers(0, 5))
def test_a_window_holds_exactly_its_own_rows(
    rows: tuple[Integers, Floats], asked: Integers, days: int, before: int
) -> None:
    cells, values = rows
    slices = Windows(cells, asked).of(days, before)

    def expected(of: Callable[[Any], float]) -> list[float]:
        return by_hand(cells, values, asked, days, before, of)

    longest = int((slices[1] - slices[0]).max())
    assert np.array_equal(Smallest(values, longest).of(slices), expected(min), equal_nan=True)
    sums = Sums(values, below=2.0**10).of(slices)
    assert np.allclose(sums, np.nan_to_num(expected(math.fsum)), rtol=0, atol=1e-13)
    assert np.nan_to_num(expected(len)).tolist() == (slices[1] - slices[0]).tolist()


@given(rows=rows_of_groups(), asked=asked_cells(), days=st.integers(1, 25))
def test_of_equals_the_last_is_the_smallest(rows: tuple[Integers, Floats], asked: Integers, days: int) -> None:
    cells, values = rows
    low, high = Windows(cells, asked).of(days)
    found = RowOfSmallest(values, int((high - low).max())).of((low, high))
    for row, first, last in zip(found, low, high, strict=True):
        window = values[first:last].tolist()
        assert row == (first + max(i for i, value in enumerate(window) if value == min(window)) if window else -1)


@given(
    rows=rows_of_groups(),
    asked=asked_cells(),
    days=st.integers(1, 25),
    quantile=st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.95, 1.0]),
    least=st.integers(1, 4),
    by_matrix=st.booleans(),
)
def test_a_quantile_is_that_of_the_windows_values(
    rows: tuple[Integers, Floats], asked: Integers, days: int, quantile: float, least: int, by_matrix: bool
) -> None:
    cells, values = rows
    with ranked(by_matrix):
        found = Ranked(cells // DAYS, values).quantile(Windows(cells, asked).of(days), quantile, least)

    def expected(window: list[float]) -> float:
        return float(np.nanquantile(window, quantile)) if len(window) >= least else math.nan

    assert np.allclose(found, by_hand(cells, values, asked, days, 0, expected), rtol=1e-12, atol=1e-12, equal_nan=True)


@given(rows=rows_of_groups(), asked=asked_cells(), days=st.integers(1, 25), by_matrix=st.booleans())
def test_a_rank_is_that_of_the_sorted_window(
    rows: tuple[Integers, Floats], asked: Integers, days: int, by_matrix: bool
) -> None:
    cells, values = rows
    low, high = Windows(cells, asked).of(days)
    low, high = low[low < high], high[low < high]
    with ranked(by_matrix):
        found = Ranked(cells // DAYS, values).rank((low, high), (high - low) // 3)
    slices = zip(low, high, strict=True)
    assert found.tolist() == [sorted(values[first:last])[(last - first) // 3] for first, last in slices]


@given(rows=rows_of_groups(), asked=asked_cells(), days=st.integers(1, 25))
def test_a_window_has_the_same_bits_whatever_is_asked_for_beside_it(
    rows: tuple[Integers, Floats], asked: Integers, days: int
) -> None:
    """One day alone is what an increment computes beside a first fill; and older rows leave no trace in a sum."""
    cells, values = rows

    def results(cells: Integers, values: Floats, asked: Integers) -> Floats:
        slices = Windows(cells, asked).of(days)
        ranked = Ranked(cells // DAYS, values)
        smallest, sums = Smallest(values, 70).of(slices), Sums(values, below=2.0**10).of(slices)
        return np.array([smallest, sums, ranked.quantile(slices, 0.5), ranked.quantile(slices, 0.1)])

    whole = results(cells, values, asked)
    for place, cell in enumerate(asked):
        in_reach = (cells > cell - days) & (cells // DAYS == cell // DAYS)
        alone = results(cells[in_reach], values[in_reach], np.array([cell]))
        assert np.array_equal(alone[:, 0], whole[:, place], equal_nan=True)


def test_an_emptied_window_sums_to_exactly_nothing() -> None:
    """Differences of cumulative sums of doubles leave 1e-14 or so behind, and a ratio of two such is anything."""
    cells, values = np.arange(5), np.array([0.1, 0.2, 0.3, 1e5, 0.7])
    windows = Windows(cells, np.array([3, 4, 5, 30]))
    assert Sums(values, below=2.0**20).of(windows.of(1)).tolist() == pytest.approx([1e5, 0.7, 0.0, 0.0], abs=1e-12)
    assert Sums(values, below=2.0**20).of(windows.of(1))[2:].tolist() == [0.0, 0.0]


def test_no_rows_are_empty_windows() -> None:
    cells, values, asked = np.empty(0, dtype=np.int64), np.empty(0), np.array([40, 45])
    slices = Windows(cells, asked).of(20)
    assert np.isnan(Smallest(values, 20).of(slices)).all()
    assert RowOfSmallest(values, 0).of(slices).tolist() == [-1, -1]
    assert np.isnan(Ranked(cells // DAYS, values).quantile(slices, 0.5)).all()
    assert Sums(values, below=1.0).of(slices).tolist() == [0.0, 0.0]
