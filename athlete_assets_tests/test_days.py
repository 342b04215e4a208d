from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from athlete_assets.days import Days


@given(
    first=st.dates(date(1970, 1, 1), date(2100, 1, 1)),
    days=st.integers(1, 400),
    size=st.integers(1, 500) | st.integers(1, 10**12),
)
def test_chunks_hold_each_day_once_in_order_and_none_is_longer_than_its_size(first: date, days: int, size: int) -> None:
    whole = Days(first, first + timedelta(days=days - 1))
    chunks = list(whole.chunks(size))
    assert [day for chunk in chunks for day in chunk] == list(whole)
    assert all(len(chunk) == size for chunk in chunks[:-1])
    assert len(chunks[-1]) <= size


@pytest.mark.parametrize("size", [3_000_000, 4_360_000, 20_000_000])
def test_a_chunk_of_more_days_than_the_calendar_has_is_all_of_them(size: int) -> None:
    """One athlete on a machine with 16 GB of memory: a commit would hold 8,000 years."""
    today = Days(date(2026, 11, 26), date(2026, 11, 26))
    assert list(today.chunks(size)) == [today]
