"""A number for what rows hold: the data version of what was written, and a quick way to see that keys differ."""

from __future__ import annotations

import hashlib
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
    parts = (rows.slice(first, ROWS_AT_ONCE) for first in range(0, rows.num_rows, ROWS_AT_ONCE))
    return sum(int(row_hashes(part).sum(dtype=np.uint64)) for part in parts) % 2**64


def row_hashes(rows: pa.Table) -> NDArray[np.uint64]:
    """A hash of each row's content.

    About 3 ns a value, in NumPy: each column's 64 bits times an odd number of its own, added up (multilinear hashing:
    Lemire & Kaser, Comput J 57:1624, 2014), then mixed by SplitMix64's finaliser; a text by its own SHA-256, once for
    each distinct one.
    """
    hashes = np.full(rows.num_rows, _STEP, dtype=np.uint64)
    with np.errstate(over="ignore"):
        for place, name in enumerate(rows.column_names):
            if name != tables.INGESTED:
                column = rows.column(name).combine_chunks()
                hashes += _bits(column) * _factor(2 * place)
                if column.null_count:
                    hashes += column.is_null().to_numpy(zero_copy_only=False) * _factor(2 * place + 1)
        return _mixed(hashes)


def _factor(number: int) -> np.uint64:
    """The odd number (of SplitMix64's sequence) by which a column's bits, or the nulls among them, are multiplied."""
    return _mixed(np.array([(number + 1) * _STEP % 2**64], dtype=np.uint64))[0] | np.uint64(1)


def _mixed(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    values = (values ^ (values >> np.uint64(30))) * _SPREAD[0]
    values = (values ^ (values >> np.uint64(27))) * _SPREAD[1]
    return values ^ (values >> np.uint64(31))


def _bits(values: pa.Array) -> NDArray[np.unsignedinteger[Any]]:
    """A number for each value: its own bits where it has at most 64 of them, else of its text's hash; 0 where null."""
    if pa.types.is_list(values.type):
        return _list_bits(values)
    if pa.types.is_string(values.type):
        coded = values.dictionary_encode()
        of_text = np.array([*map(_text_bits, coded.dictionary.to_pylist()), 0], dtype=np.uint64)
        return of_text[coded.indices.fill_null(len(of_text) - 1).to_numpy(zero_copy_only=False)]
    if pa.types.is_floating(values.type):
        single = values.fill_null(0.0).to_numpy(zero_copy_only=False).astype(np.float32) + np.float32(0)  # no -0
        np.copyto(single, np.float32(np.nan), where=np.isnan(single))  # one NaN
        return single.view(np.uint32)
    if pa.types.is_boolean(values.type):
        values = values.cast(pa.uint8())
    return values.cast(pa.int64()).fill_null(0).to_numpy(zero_copy_only=False).view(np.uint64)


def _list_bits(lists: pa.ListArray) -> NDArray[np.uint64]:
    """Of lists of texts, each as one text that begins with its length."""
    lengths = pc.list_value_length(lists).fill_null(0)
    ends = np.append(0, np.cumsum(lengths.to_numpy(zero_copy_only=False)))
    whole = pa.ListArray.from_arrays(pa.array(ends, pa.int32()), lists.flatten().cast(pa.string()).fill_null("\0"))
    return _bits(pc.binary_join_element_wise(lengths.cast(pa.string()), pc.binary_join(whole, "\x1f"), ":"))


def _text_bits(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little")
