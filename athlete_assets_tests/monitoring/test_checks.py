"""Each asset check passes on good rows and fails, with its numbers, on rows that break what it promises."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
from pyspark.sql import SparkSession

from athlete_assets import tables
from athlete_assets.monitoring import checks
from athlete_assets.store.findings import findings_in, findings_of, findings_of_frame
from athlete_assets_tests.rows import frame, rows

TYPES = [(column.name, column.type) for column in tables.DAILY.columns]
Contract = Callable[..., dict[str, checks.CheckOutcome]]
ZONES = [f"hr_zone_{zone}_pct" for zone in range(1, 6)]


@pytest.fixture(params=["rows as they are written", "stored rows"])
def contract(request: pytest.FixtureRequest, sail: SparkSession) -> Contract:
    """The outcomes by name, whichever way the findings come: the one for Arrow, or the one for frames."""

    def outcomes(*given: dict[str, Any]) -> dict[str, checks.CheckOutcome]:
        made = rows(tables.DAILY, *given)
        if request.param == "stored rows":
            findings = findings_of_frame(frame(sail, made), tables.DAILY)
        else:
            findings = findings_of(made, tables.DAILY)
        found = checks.contract_outcomes(tables.DAILY, TYPES, findings)
        return {outcome.check.name: outcome for outcome in found}

    return outcomes


def test_rows_in_the_contract_pass(contract: Contract) -> None:
    assert all(outcome.passed for outcome in contract({"athlete_id": "ann"}, {"athlete_id": "bob"}).values())


def test_a_key_twice_fails_and_is_counted(contract: Contract) -> None:
    outcome = contract({"athlete_id": "ann"}, {"athlete_id": "ann"}, {"athlete_id": "bob"})["keys"]
    assert not outcome.passed
    assert outcome.numbers["repeated_keys"] == 1


@pytest.mark.parametrize("value", [-0.001, math.nan])
def test_a_value_that_cannot_be_fails_the_ranges(contract: Contract, value: float) -> None:
    outcome = contract({"athlete_id": "ann", "distance_km": value}, {"athlete_id": "bob"})["ranges"]
    assert not outcome.passed
    assert outcome.numbers["values_outside"] == 1
    assert "distance_km" in outcome.sentence


def test_another_column_type_fails_the_schema() -> None:
    wrong = [(name, "string" if name == "activities" else type) for name, type in TYPES]
    outcome = checks.contract_outcomes(tables.DAILY, wrong, findings_in([], tables.DAILY))[0]
    assert not outcome.passed
    assert "activities" in outcome.sentence


@pytest.mark.parametrize(
    ("shares", "passes"),
    [
        ([0.2, 0.2, 0.2, 0.2, 0.2], True),
        ([None] * 5, True),
        ([0.2, 0.2, 0.2, 0.2, 0.1], False),
        ([1.0, None, None, None, None], False),
    ],
    ids=["sum to 1", "all null", "sum to 0.9", "partly null"],
)
def test_zone_shares_sum_to_one_or_are_all_null(sail: SparkSession, shares: list[float | None], passes: bool) -> None:
    activity = rows(tables.ACTIVITY, {"moving_time_min": 30.0, **dict(zip(ZONES, shares, strict=True))})
    assert checks.zone_shares(frame(sail, activity)).passed is passes


def test_counts_that_do_not_add_up_say_how_many_are_missing() -> None:
    assert checks.counts_add_up(10, 7, 3).passed
    outcome = checks.counts_add_up(10, 7, 2)
    assert not outcome.passed
    assert "1 unaccounted" in outcome.sentence


def times(five: float, ten: float, half: float, marathon: float, spread: float = 0.1) -> dict[str, float]:
    predicted = {"5k": five, "10k": ten, "half": half, "marathon": marathon}
    return {
        key: value
        for name, seconds in predicted.items()
        for key, value in {
            f"predicted_{name}_s": seconds,
            f"p10_{name}_s": seconds * (1 - spread),
            f"p90_{name}_s": seconds * (1 + spread),
        }.items()
    }


@pytest.mark.parametrize(
    ("prediction", "passes"),
    [
        (times(1200, 2500, 5600, 11800), True),
        ({}, True),
        (times(1200, 1100, 5600, 11800), False),
        (times(1200, 2500, 5600, 11800, spread=-0.1), False),
    ],
    ids=["in order", "no prediction", "10k faster than 5k", "p10 slower than p90"],
)
def test_predicted_times_increase_and_lie_in_their_intervals(
    sail: SparkSession, prediction: dict[str, float], passes: bool
) -> None:
    assert checks.times_ordered(frame(sail, rows(tables.PREDICTIONS, prediction))).passed is passes
