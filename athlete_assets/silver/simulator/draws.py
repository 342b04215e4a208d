"""Random numbers by address: each is a function of (seed, athlete, purpose, counter) alone."""

from __future__ import annotations

import zlib

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]
Rows = dict[str, np.ndarray]
"""Columns of equal length, by name."""


def _mixed(words: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """SplitMix64's finaliser: each input bit reaches each output bit. Wraps around, as it should."""
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return words ^ (words >> np.uint64(31))


class Draws:
    """Random numbers by address: (seed, athlete, purpose, counter) always gives the same one."""

    def __init__(self, seed: int, numbers: Integers) -> None:
        self.numbers = numbers
        seed_word = _mixed(np.array([seed & (2**64 - 1)], dtype=np.uint64) + np.uint64(0x9E3779B97F4A7C15))
        self._athletes = _mixed(seed_word ^ _mixed(numbers.astype(np.uint64) * np.uint64(0xD1B54A32D192ED03)))

    def uniform(self, purpose: str, counter: Integers | int = 0, of: Integers | None = None) -> Floats:
        """In (0, 1), both ends excluded: one an athlete, or one for each element of `of` (positions of athletes)."""
        purpose_word = _mixed(np.array([zlib.crc32(purpose.encode())], dtype=np.uint64) + np.uint64(1))
        start = _mixed(self._athletes ^ purpose_word)
        if of is not None:
            start = start[of]
        step = np.asarray(counter, dtype=np.int64).astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        return ((_mixed(start + step) >> np.uint64(12)).astype(np.float64) + 0.5) * 2.0**-52

    def normal(self, purpose: str, counter: Integers | int = 0, of: Integers | None = None) -> Floats:
        """Standard normal, of at most 8 standard deviations."""
        return ndtri(self.uniform(purpose, counter, of))


def taken(rows: Rows, index: np.ndarray) -> Rows:
    return {name: values[index] for name, values in rows.items()}
