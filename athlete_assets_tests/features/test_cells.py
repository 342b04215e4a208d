"""The athletes of a bucket, whether their rows come in runs or not."""

from __future__ import annotations

from datetime import date, timedelta

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from athlete_assets.days import Days
from athlete_assets.features.cells import athletes_of, calls_for
from athlete_assets.store.by_athlete import Calls, Inputs

RUNS = st.lists(st.tuples(st.sampled_from(["ann", "bob", "", "åsa"]), st.integers(1, 40)), max_size=12)


@given(st.lists(RUNS, min_size=1, max_size=3))
def test_each_row_has_the_place_of_its_athlete_among_all_by_id(of_inputs: list[list]) -> None:
    ids = [[one for one, count in runs for _ in range(count)] for runs in of_inputs]
    inputs = {str(number): pa.table({"athlete_id": pa.array(of, pa.string())}) for number, of in enumerate(ids)}
    athletes, coded = athletes_of(inputs)
    assert athletes.to_pylist() == sorted({one for of in ids for one in of})
    assert [[athletes[place].as_py() for place in places] for places in coded.values()] == ids


def test_few_days_are_computed_in_turn_and_many_side_by_side() -> None:
    first = date(2024, 1, 1)
    one, month, more = (calls_for(Days(first, first + timedelta(days=days - 1)), 7) for days in (1, 30, 31))
    assert one == month == Calls(50_000, side_by_side=False)
    assert more == Calls(7, side_by_side=True)


def test_whoever_looks_at_a_call_has_the_athletes_that_its_kernel_found() -> None:
    inputs = Inputs({"days": pa.table({"athlete_id": pa.array(["bob", "ann"])})})
    found = athletes_of(inputs)
    assert athletes_of(inputs) is found
    with pytest.raises(ValueError, match="read-only"):
        found[1]["days"][0] = 1
