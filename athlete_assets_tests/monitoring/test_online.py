"""What was promised against the efforts that came after: figures, chart, and the two checks."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pandas as pd
import pytest

from athlete_assets.days import midnight
from athlete_assets.monitoring import charts, online
from athlete_assets_tests.monitoring.test_charts import drawn, picture
from athlete_assets_tests.rows import DAY


def outcomes(count: int, inside: int, error_pct: float = 5.0, **other: Any) -> pd.DataFrame:
    """Efforts of ten athletes in turn, of which the first `inside` lay in their interval."""
    return pd.DataFrame(
        {
            "athlete_id": [f"a{n % 10}" for n in range(count)],
            "activity_id": range(count),
            "activity_date": [midnight(DAY + timedelta(days=n)) for n in range(count)],
            "distance": "10k",
            "tier": 2,
            "served_by": "model",
            "model_version": "7",
            "error_pct": [error_pct if n % 2 else -error_pct for n in range(count)],
            "in_interval": [n < inside for n in range(count)],
            **other,
        }
    )


@pytest.mark.parametrize(
    ("rows", "passed"),
    [
        (outcomes(100, 80), True),
        (outcomes(100, 70), True),  # 70 % of 100 reaches up to 77 %
        (outcomes(100, 59), False),
        (outcomes(100, 97), False),  # too wide is a broken promise, too
        (outcomes(10, 7), True),
        (outcomes(9, 0), True),  # too few to say anything
    ],
)
def test_intervals_hold_unless_chance_does_not_explain_it(rows: pd.DataFrame, passed: bool) -> None:
    assert online.intervals_hold(rows).passed is passed


def test_coverage_is_told_by_distance_of_the_newest() -> None:
    old = outcomes(100, 0).assign(activity_date=midnight(DAY - timedelta(days=900)))
    rows = pd.concat([old, outcomes(100, 80), outcomes(20, 4, distance="half")], ignore_index=True)
    found = online.intervals_hold(rows)
    assert not found.passed
    assert (found.numbers["coverage 10k"], found.numbers["coverage half"]) == (0.8, 0.2)
    assert "half 20% of 20" in found.sentence


@pytest.mark.parametrize(
    ("promised", "version", "passed"),
    [({"10k": 5.0}, "7", True), ({"10k": 4.9}, "7", False), ({"10k": 1.0}, "8", True), ({}, "7", True)],
)
def test_the_error_is_held_against_the_evaluation_of_the_version(
    promised: dict[str, float], version: str, passed: bool
) -> None:
    """Every effort missed by 5 %: so does every draw of athletes."""
    assert online.as_accurate_as_offline(outcomes(60, 50), promised, version).passed is passed


def test_figures_by_distance_tier_and_version_by_hand() -> None:
    rows = pd.concat([outcomes(4, 3), outcomes(2, 1, tier=3, model_version="8")], ignore_index=True)
    rows.loc[0, "error_pct"] = 9.0
    first, second = online.by_group(rows).to_dict("records")
    assert (first["tier"], first["model_version"], first["n"]) == (2, "7", 4)
    assert (first["error_pct"], first["bias_pct"], first["coverage"]) == (6.0, 3.5, 0.75)
    assert (second["tier"], second["model_version"], second["n"], second["coverage"]) == (3, "8", 2, 0.5)


def test_the_chart_is_drawn_and_nothing_is_without_outcomes() -> None:
    shown = charts.online_error(outcomes(40, 30))
    assert drawn(picture(shown["online_error"])) > 0.02
    assert len(shown["online_figures"].records) == 1
    assert charts.online_error(outcomes(0, 0)) == {}
