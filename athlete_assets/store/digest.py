"""A number for what rows hold: the data version of what was written, and a quick way to see that keys differ."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from athlete_assets import tables

_STEP = 0x9E3779B97F4A7C15
_SPREAD = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))


ROWS_AT_ONCE = 32_768
"""As many rows as leave what is computed of a column in the caches."""


def content_digest(rows: pa.Table) -> int:
    """The rows' `Written.digest`: the sum of their hashes modulo 2^64."""
    return sum(int(of_part.sum(dtype=np.uint64)) for of_part in _hashes(rows)) % 2**64


def row_hashes(rows: pa.Table) -> NDArray[np.uint64]:
    """A hash of each row's content.

    About 2 ns a number, in NumPy: each column's 64 bits times an odd number of its own, added up (multilinear hashing:
    Lemire & Kaser, Comput J 57:1624, 2014), then mixed by SplitMix64's finaliser; a text by its own SHA-256, once for
    each distinct one.
    """
    return np.concatenate([np.empty(0, np.uint64), *_hashes(rows)])


def _hashes(rows: pa.Table) -> Iterator[NDArray[np.uint64]]:
    """`row_hashes` of a part of the rows after the other, each until the next is asked for.

    In the same memory for all parts: an array of such a size that is made anew for each step of each column costs more,
    since the system clears its pages, than all that is computed in it.
    """
    room = _Room.of(min(ROWS_AT_ONCE, rows.num_rows))
    for part in rows.to_batches(ROWS_AT_ONCE):
        hashes = room.hashes[: part.num_rows]
        hashes.fill(_STEP)
        with np.errstate(over="ignore"):
            for place, (name, column) in enumerate(zip(part.schema.names, part.columns, strict=True)):
                if name != tables.INGESTED:
                    hashes += np.multiply(_bits(column, room), _factor(2 * place), out=room.products[: len(column)])
                    if column.null_count:
                        missing = _is_null(column)
                        hashes += np.multiply(missing, _factor(2 * place + 1), out=room.products[: len(column)])
            yield _mixed(hashes)


@dataclass(frozen=True)
class _Room:
    """Memory in which a part of the rows after the other is hashed."""

    hashes: NDArray[np.uint64]
    products: NDArray[np.uint64]
    singles: NDArray[np.float32]

    @classmethod
    def of(cls, rows: int) -> _Room:
        return cls(np.empty(rows, np.uint64), np.empty(rows, np.uint64), np.empty(rows, np.float32))


@lru_cache(maxsize=1024)
def _factor(number: int) -> np.uint64:
    """The odd number (of SplitMix64's sequence) by which a column's bits, or the nulls among them, are multiplied."""
    return _mixed(np.array([(number + 1) * _STEP % 2**64], dtype=np.uint64))[0] | np.uint64(1)


def _mixed(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    values = (values ^ (values >> np.uint64(30))) * _SPREAD[0]
    values = (values ^ (values >> np.uint64(27))) * _SPREAD[1]
    return values ^ (values >> np.uint64(31))


def _bits(values: pa.Array, room: _Room | None = None) -> NDArray[np.unsignedinteger[Any]]:
    """A number for each value: its own bits where it has at most 64 of them, else of its text's hash; 0 where null.

    room: where to put those of floats.
    """
    if not len(values):
        return np.empty(0, np.uint64)
    if pa.types.is_list(values.type):
        return _list_bits(values)
    if pa.types.is_string(values.type):
        coded = values.dictionary_encode()
        of_text = np.array([*map(_text_bits, coded.dictionary.to_pylist()), 0], dtype=np.uint64)
        return of_text[coded.indices.fill_null(len(of_text) - 1).to_numpy(zero_copy_only=False)]
    if pa.types.is_floating(values.type):
        return _float_bits(values.cast(pa.float64()), (room or _Room.of(len(values))).singles[: len(values)])
    if pa.types.is_boolean(values.type):
        values = values.cast(pa.uint8())
    return values.cast(pa.int64()).fill_null(0).to_numpy(zero_copy_only=False).view(np.uint64)


def _float_bits(values: pa.DoubleArray, singles: NDArray[np.float32]) -> NDArray[np.uint32]:
    """The bits of the numbers in single precision, in the memory of `singles`."""
    numbers = np.frombuffer(values.buffers()[1], np.float64, len(values), 8 * values.offset)
    np.copyto(singles, numbers, casting="same_kind")
    singles += np.float32(0)  # no -0
    bits = singles.view(np.uint32)
    if values.null_count:
        bits *= ~_is_null(values)  # what lies there may be anything
    if np.isnan(singles.max()):
        np.copyto(singles, np.float32(np.nan), where=np.isnan(singles))  # one NaN
    return bits


def _list_bits(lists: pa.ListArray) -> NDArray[np.uint64]:
    """Of each list the sum of what its values are at their places."""
    values = lists.flatten()
    lengths = pc.list_value_length(lists).fill_null(0).to_numpy(zero_copy_only=False).astype(np.int64)
    ends = np.cumsum(lengths)
    place = (np.arange(len(values)) - np.repeat(ends - lengths, lengths)).astype(np.uint64)
    with np.errstate(over="ignore"):
        at_place = _bits(values) * _factor(0) + _is_null(values) * _factor(1)
        at_place += (place + np.uint64(1)) * _factor(2)  # so that a 0 counts, too
        up_to = np.cumsum(np.append(np.uint64(0), _mixed(at_place)), dtype=np.uint64)
        return up_to[ends] - up_to[ends - lengths]


def _is_null(values: pa.Array) -> NDArray[np.bool_]:
    known = values.buffers()[0] if values.null_count else None
    if known is None:
        return np.zeros(len(values), np.bool_)
    first, skipped = divmod(values.offset, 8)
    of_bytes = np.frombuffer(known, np.uint8)[first:]
    return np.unpackbits(of_bytes, bitorder="little", count=skipped + len(values))[skipped:] == 0


@lru_cache(maxsize=100_000)
def _text_bits(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little")
