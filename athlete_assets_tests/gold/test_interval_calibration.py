"""Intervals by the home's own outcomes: hand arithmetic, coverage on people unlike the training, and pure by date."""

from __future__ import annotations

import math
from datetime import date, datetime, timedelta, timezone
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from athlete_assets import tables
from athlete_assets.days import midnight
from athlete_assets.gold.interval_calibration import calibrated, outcomes_of, unlikeness
from athlete_assets.gold.scoring import Scored
from athlete_assets.models.conformal import COVERAGE
from athlete_assets.models.distributions import Distribution

DAY = date(2024, 5, 15)


def outcome(number: int, miss: float, days_ago: int, known_ago: int | None = None, **other: Any) -> dict[str, Any]:
    """An effort of `miss` half-widths (2 % of time in logarithms) slower than predicted."""
    run_s = 2400 * math.exp(0.02 * miss)
    known = DAY - timedelta(days=days_ago if known_ago is None else known_ago)
    return {
        "athlete_id": "ann",
        "activity_id": number,
        "distance": "10k",
        "activity_date": midnight(DAY - timedelta(days=days_ago)),
        "known_on": midnight(known),
        "run_s": run_s,
        "predicted_s": 2400.0,
        "p10_s": 2400 * math.exp(-0.02),
        "p90_s": 2400 * math.exp(0.02),
        "interval_factor": None,
        **other,
    }


def test_the_factor_by_hand() -> None:
    """Ten misses 0.2, 0.4 .. 2.0: the quantile's rank is ceil(0.8 x 11) = 9, so 1.8. Of all distances it counts 10 of
    20 against 1, at 10 km 10 of 20 against that: ln f = 3/4 ln 1.8, and 1/2 ln 1.8 elsewhere."""
    outcomes = outcomes_of([outcome(n, 0.2 * n, days_ago=30 - n) for n in range(1, 11)])
    factors = outcomes.factors(DAY)
    assert factors["10k"] == pytest.approx(1.8**0.75, rel=1e-9)
    assert factors["5k"] == pytest.approx(1.8**0.5, rel=1e-9)


def test_without_outcomes_the_interval_is_the_models_own() -> None:
    assert set(outcomes_of([]).factors(DAY).values()) == {1.0}


def test_a_miss_is_measured_in_the_interval_that_the_model_gave() -> None:
    """Served twice as wide as the model's own: half a served half-width is one of the model's."""
    plain = outcomes_of([outcome(1, 1.0, days_ago=5)])
    widened = outcomes_of([outcome(1, 0.5, days_ago=5, interval_factor=2.0)])
    assert widened.misses == pytest.approx(plain.misses, rel=1e-9)


@given(
    st.lists(st.tuples(st.integers(0, 40), st.integers(-5, 40), st.floats(0, 5)), max_size=20),
    st.lists(st.tuples(st.integers(-40, 0), st.floats(0, 5)), max_size=10),
)
def test_a_day_is_calibrated_on_what_was_known_before_it(
    past: list[tuple[int, int, float]], later: list[tuple[int, float]]
) -> None:
    """Outcomes of the day or later, and those recorded on it or later, change nothing, in whichever order they come."""
    before = [outcome(n, miss, days_ago, known) for n, (days_ago, known, miss) in enumerate(past)]
    known = [row for row in before if row["activity_date"] < midnight(DAY) and row["known_on"] < midnight(DAY)]
    after = [outcome(100 + n, miss, days_ago) for n, (days_ago, miss) in enumerate(later)]
    recorded_late = [outcome(200 + n, miss, 10, days_ago) for n, (days_ago, miss) in enumerate(later)]
    everything = outcomes_of([*recorded_late, *after, *reversed(before)])
    assert everything.factors(DAY) == outcomes_of(known).factors(DAY)


def scored(days: list[date], **inputs: list[float]) -> Scored:
    times: dict[str, Any] = {"served_by": "model"}
    for metres, (p50, p10, p90) in zip(tables.DISTANCES_M.values(), tables.TIME_COLUMNS.values(), strict=True):
        seconds = metres * 0.24
        times |= {p50: seconds, p10: seconds * math.exp(-0.02), p90: seconds * math.exp(0.02)}
    states = pa.table({"as_of_date": pa.array([midnight(day) for day in days], pa.timestamp("us", "UTC"))})
    return Scored(states, pd.DataFrame(inputs, index=range(len(days))), pd.DataFrame([times] * len(days)))


def records(times: Scored) -> list[dict[str, Any]]:
    """Its outputs, a dictionary a row."""
    return times.outputs.to_dict("records")  # type: ignore[return-value]


def test_a_day_scored_again_has_the_interval_that_it_had() -> None:
    """Alone, in a range, and again after more was run."""
    outcomes = [outcome(n, 3.0, days_ago=n + 1) for n in range(20)]
    days = [DAY - timedelta(days=n) for n in (12, 6, 0)]
    in_a_range = calibrated(scored(days), outcomes_of(outcomes), {}).outputs
    for number, day in enumerate(days):
        known_then = [row for row in outcomes if row["known_on"] < midnight(day)]
        alone = calibrated(scored([day]), outcomes_of(known_then), {}).outputs
        pd.testing.assert_frame_equal(alone, in_a_range.iloc[[number]].reset_index(drop=True), rtol=1e-12)
    assert in_a_range["p90_10k_s"][0] < in_a_range["p90_10k_s"][2]


def test_p50_stays_and_times_grow_with_distance() -> None:
    shrunk = [outcome(n, 0.01, days_ago=n + 1) for n in range(100)]
    wide = [outcome(500 + n, 9.0, days_ago=n + 1, distance="half") for n in range(100)]
    (row,) = records(calibrated(scored([DAY]), outcomes_of([*shrunk, *wide]), {}))
    assert row["predicted_10k_s"] == 2400.0
    for end in range(3):
        values = [row[columns[end]] for columns in tables.TIME_COLUMNS.values()]
        assert values == sorted(values)
    assert all(row[p10] <= row[p50] <= row[p90] for p50, p10, p90 in tables.TIME_COLUMNS.values())


def test_what_is_unknown_is_neither_like_nor_unlike() -> None:
    """By hand: 1 of 2 outside; 0 of 1 (on the edge); none known, one infinite; both outside."""
    inputs = {"a": [1.0, 4.0, np.nan, 5.0], "b": [0.0, np.nan, np.inf, 2.5], "c": [9.0] * 4, "d": [9.0] * 4}
    seen = {"a": ((0.5, 2.0, 4.0), 4), "b": ((1.0, 2.0), 3), "c": ((1.0,), 2)}
    of = {name: Distribution(edges, (1 / shares,) * shares) for name, (edges, shares) in seen.items()}
    found = unlikeness({name: np.array(values) for name, values in inputs.items()}, of)
    assert found is not None
    assert found.tolist() == [0.5, 0.0, 1.0, 1.0]
    assert unlikeness({"d": np.ones(3)}, of) is None


def test_an_athlete_unlike_the_training_has_a_wider_interval() -> None:
    """Of four known inputs three lie outside 10 to 90: 0.75, which is 0.5 above the usual: half as wide again."""
    seen = {name: Distribution((10.0, 50.0, 90.0), (0.1, 0.4, 0.4, 0.1, 0.0)) for name in "abcde"}
    values = {"a": [5.0, 50.0], "b": [95.0, 50.0], "c": [99.0, 50.0], "d": [50.0, 50.0], "e": [math.nan, 5.0]}
    unlike, like = records(calibrated(scored([DAY, DAY], **values), outcomes_of([]), seen))
    assert (unlike["unlikeness"], like["unlikeness"]) == (0.75, 0.2)
    assert unlike["p90_10k_s"] == pytest.approx(2400 * math.exp(0.02 * 1.5), rel=1e-12)
    assert like["p90_10k_s"] == pytest.approx(2400 * math.exp(0.02), rel=1e-12)
    assert unlike["interval_factor_10k"] == 1.0


def test_an_athlete_without_a_prediction_stays_without() -> None:
    times = scored([DAY])
    empty = times.outputs.assign(**{name: math.nan for columns in tables.TIME_COLUMNS.values() for name in columns})
    (row,) = records(calibrated(Scored(times.states, times.features, empty), outcomes_of([outcome(1, 3, 5)]), {}))
    assert math.isnan(row["predicted_10k_s"])
    assert math.isnan(row["p90_10k_s"])
    assert math.isnan(row["interval_factor_10k"])


def test_intervals_that_hold_59_of_100_come_to_hold_80() -> None:
    """Errors of a home whose spread is 1.55 times what the model expects: each day is served by what was known then."""
    random, rows, inside = np.random.default_rng(4), [], []
    start = datetime(2023, 1, 1, tzinfo=timezone.utc)
    for number in range(400):
        day = (start + timedelta(days=number)).date()
        miss = float(random.normal(0, 1.55 / 1.2816))
        factor = outcomes_of(rows).factors(day)["10k"]
        inside.append((abs(miss) <= 1, abs(miss) <= factor))
        rows.append(
            outcome(number, abs(miss) / factor, 0, interval_factor=factor)
            | {"activity_date": midnight(day), "known_on": midnight(day)}
        )
    own, held = np.mean(inside[50:], axis=0)
    assert own < 0.65
    assert abs(held - COVERAGE) < 0.05
