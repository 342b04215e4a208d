"""Windows over rows that lie anywhere in time: pure NumPy, no table, no engine.

Rows are sorted by their cell, group x days + day: a group's days side by side, oldest first. So the rows of a group's
window of days are a slice [low, high) of them. What the windows hold is found for those that are asked for alone: the
work grows with the rows and with the windows, not with the calendar. A window's result is the same in whatever range
it is asked for, to the last bit.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Slices = tuple[Integers, Integers]
"""low and high: the rows from low on, up to but without high."""

VALUES_SORTED = 8
"""Slices are sorted one by one while they hold up to so many times the values, which takes less than the matrix."""
CELLS_A_SEARCH = 8
"""About how many cells are counted through in the time in which one is sought among the rows."""


def order_of(key: Integers, *then: Floats) -> Integers:
    """The order of the rows by key, of equal keys by the values in turn. Of keys that are nearly in order, and of which
    few are equal, in less time than `np.lexsort` takes."""
    order = np.argsort(key, kind="stable")
    again = np.flatnonzero(np.diff(key[order]) == 0)
    if len(again):
        place = np.union1d(again, again + 1)
        rows = order[place]
        order[place] = rows[np.lexsort((*(values[rows] for values in reversed(then)), key[rows]))]
    return order


def distinct_keys(key: Integers) -> tuple[Integers, Integers]:
    """The distinct keys (0 or more) in order, and of each row the place of its own among them."""
    order = np.argsort(key, kind="stable")
    ordered = key[order]
    begins = np.diff(ordered, prepend=-1) != 0
    place = np.empty(len(key), dtype=np.int64)
    place[order] = np.cumsum(begins) - 1
    return ordered[begins], place


class Windows:
    """The slices of rows (sorted cells) that lie in windows of days up to asked cells.

    The day before a window must be one of its group's, too.
    """

    def __init__(self, cells: Integers, asked: Integers) -> None:
        self._cells, self._asked = cells, asked
        self._up_to_cell: Integers | None = None
        self._up_to: dict[int, Integers] = {}

    def of(self, days: int, before: int = 0) -> Slices:
        """The last `days` days, the asked day among them; with `before`, ending so many days before it."""
        return self._rows_up_to(before + days), self._rows_up_to(before)

    def _rows_up_to(self, days_before: int) -> Integers:
        """How many rows lie up to so many days before each asked cell."""
        if days_before not in self._up_to:
            last = int(self._asked.max(initial=0))
            cells = self._asked - days_before
            if len(cells) * CELLS_A_SEARCH < last:
                self._up_to[days_before] = np.searchsorted(self._cells, cells, side="right")
            else:
                if self._up_to_cell is None:
                    self._up_to_cell = np.cumsum(np.bincount(self._cells, minlength=last + 1))
                self._up_to[days_before] = self._up_to_cell[cells]
        return self._up_to[days_before]


def distinct(slices: Slices) -> tuple[Slices, Integers]:
    """The slices without those that are the same as the one before, and how often each comes: for `np.repeat`."""
    low, high = slices
    changes = np.ones(len(low), dtype=bool)
    changes[1:] = (low[1:] != low[:-1]) | (high[1:] != high[:-1])
    chosen = np.flatnonzero(changes)
    return (low[chosen], high[chosen]), np.diff(chosen, append=len(low))


class Sums:
    """Sums of slices of the values, no NaN among them.

    Each value is rounded once, to a whole number of units that are so small that a sum of `below` just fits into 63
    bits. So differences of cumulative sums are exact: an emptied window holds 0, and what came long before it leaves
    no trace.
    """

    def __init__(self, values: Floats, below: float) -> None:
        """below: a power of two that no sum of an asked slice reaches, nor the negative of one."""
        self._unit = below * 2.0**-63
        whole = np.rint(values / self._unit).astype(np.int64)
        self._up_to = np.concatenate([[0], np.cumsum(whole)])  # wraps around where it must, and so do differences

    def of(self, slices: Slices) -> Floats:
        low, high = slices
        return (self._up_to[high] - self._up_to[low]) * self._unit


class Smallest:
    """The smallest value of slices, no NaN among the values; NaN where a slice is empty.

    From the smallest of each 1, 2, 4, 8 ... neighbours: a slice is two such blocks, which may overlap.
    """

    def __init__(self, values: Floats, longest: int) -> None:
        """longest: the most rows that a slice will have."""
        depth = max(longest, 1).bit_length()
        blocks = np.empty((depth + 1, len(values) + 1))
        blocks[0], blocks[1:, -1], blocks[1, :-1] = np.nan, np.nan, values
        for number in range(2, depth + 1):
            width, narrower = 1 << (number - 2), blocks[number - 1]
            np.minimum(narrower[:-width], narrower[width:], out=blocks[number, :-width])
            blocks[number, -width:] = np.nan  # no slice is there, since none reaches beyond the values
        self._blocks = blocks.ravel()
        _, numbers = np.frexp(np.arange(longest + 1, dtype=np.float64))
        self._first = numbers.astype(np.int64) * blocks.shape[1]
        self._width = (1 << numbers.astype(np.int64)) >> 1

    def of(self, slices: Slices) -> Floats:
        low, high = slices
        rows = high - low
        first = self._first[rows]
        return np.minimum(self._blocks[first + low], self._blocks[first + (high - self._width[rows])])


class RowOfSmallest:
    """The row that holds the smallest value of slices, of equals the last, no NaN among them; -1 where it is empty."""

    def __init__(self, values: Floats, longest: int) -> None:
        """longest: the most rows that a slice will have."""
        order = len(values) - 1 - np.argsort(values[::-1], kind="stable")
        place = np.empty(len(values))
        place[order] = np.arange(len(values))
        self._order, self._smallest = np.append(order, -1), Smallest(place, longest)

    def of(self, slices: Slices) -> Integers:
        return self._order[np.nan_to_num(self._smallest.of(slices), nan=-1).astype(np.int64)]


class Ranked:
    """Ranks and quantiles of slices of the values, no NaN among them; no slice holds rows of two groups.

    Few slices are sorted, each by itself. Of many, by a wavelet matrix (Claude & Navarro, SPIRE 2012), which finds the
    order statistics of all of them together, a bit of their place among their group's values at a time: those with a 0
    go first, those with a 1 behind them, each in their order.
    """

    def __init__(self, group: Integers, values: Floats) -> None:
        """group: of each value, ascending."""
        self._group, self._values = group, values
        self._matrix: tuple[list[Integers], Floats] | None = None
        """By bit, how many before each row have a 0; and the values in the last bit's order. Made when it is needed."""

    def rank(self, slices: Slices, below: Integers) -> Floats:
        """The value of each slice that so many of its others come before in order; every slice holds more than that."""
        low, high = slices
        longest = int((high - low).max(initial=0))
        if self._matrix is None:
            if len(low) * longest <= VALUES_SORTED * len(self._values):
                return self._sorted(low, high, longest)[np.arange(len(low)), below]
            self._matrix = self._built()
        bits, values = self._matrix
        for zeros in bits:
            zeros_low, zeros_high = zeros[low], zeros[high]
            count = zeros_high - zeros_low
            goes_on = below >= count
            below = below - count * goes_on
            low = np.where(goes_on, low + (zeros[-1] - zeros_low), zeros_low)
            high = np.where(goes_on, high + (zeros[-1] - zeros_high), zeros_high)
        return values[low]

    def _sorted(self, low: Integers, high: Integers, longest: int) -> Floats:
        """The values of each slice in order, (slices, longest), infinite behind its last."""
        rows = low[:, None] + np.arange(longest)
        block = np.where(
            rows < high[:, None], np.append(self._values, np.inf)[np.minimum(rows, len(self._values))], np.inf
        )
        block.sort(axis=1)
        return block

    def _built(self) -> tuple[list[Integers], Floats]:
        group, values = self._group, self._values
        order = np.argsort(values)
        order = order[np.argsort(group.astype(np.min_scalar_type(group.max(initial=0)))[order], kind="stable")]
        starts = np.flatnonzero(np.diff(group, prepend=-1))
        sizes = np.diff(starts, append=len(group))
        place = np.empty(len(group), dtype=np.int64)
        place[order] = np.arange(len(group)) - np.repeat(starts, sizes)
        bits: list[Integers] = []
        for bit in reversed(range(int(sizes.max(initial=1) - 1).bit_length())):
            is_zero = (place >> bit & 1) == 0
            zeros = np.zeros(len(place) + 1, dtype=np.int64)
            np.cumsum(is_zero, out=zeros[1:])
            bits.append(zeros)
            order = np.concatenate([np.flatnonzero(is_zero), np.flatnonzero(~is_zero)])
            place, values = place[order], values[order]
        return bits, values

    def quantile(self, slices: Slices, quantile: float, least: int = 1) -> Floats:
        """The quantile, between two values in proportion; NaN where a slice holds fewer than `least`."""
        (low, high), times = distinct(slices)
        result = np.full(len(low), np.nan)
        chosen = np.flatnonzero(high - low >= least)
        low, high = low[chosen], high[chosen]
        place = quantile * (high - low - 1)
        below = place.astype(np.int64)
        part = place - below
        between = np.flatnonzero(part)  # where the value after it counts, too
        both = np.concatenate([low, low[between]]), np.concatenate([high, high[between]])
        values = self.rank(both, np.concatenate([below, below[between] + 1]))
        value, after = values[: len(chosen)], values[len(chosen) :]
        value[between] += (after - value[between]) * part[between]
        result[chosen] = value
        return np.repeat(result, times)
