"""What is made of evenings: the same whoever comes along, what was served in time stands, one log row each."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from athlete_assets import tables
from athlete_assets.days import midnight
from athlete_assets.gold import serving
from athlete_assets.gold.interval_calibration import outcomes_of
from athlete_assets.models import population
from athlete_assets.models.distributions import Distribution
from athlete_assets.models.specs.overtraining_detector import NO_DETECTOR
from athlete_assets.store.arrow import arrow_schema
from athlete_assets_tests.rows import DAY, rows
from athlete_assets_tests.workers import answered

YESTERDAY = DAY - timedelta(days=1)
NOW = datetime(2024, 5, 16, 6, tzinfo=timezone.utc)
INPUTS = ["recent_effort_distance_m", "recent_effort_time_s", "longest_run_28d_km", "ctl_42d"]
WORK = serving._Work(
    version="7",
    inputs=INPUTS,
    others={"overtraining_detector": {"p_disruption_14d": None, "p_disruption_reason": NO_DETECTOR}},
    say=None,
    formula=population.shipped(population.REAL).formula,
    seen={"ctl_42d": Distribution((20.0, 40.0), (0.3, 0.3, 0.3, 0.1))},
    known=outcomes_of([]),
    today=DAY,
    served_at=NOW,
    run_id="a-run",
)
Evening = tuple[str, Any, float, float | None, float | None]
"""Athlete, day, 10 km time (s), longest run of 28 days (km), fitness."""


def evenings(given: Sequence[Evening]) -> pa.Table:
    held = [
        {
            "athlete_id": athlete,
            "as_of_date": midnight(day),
            "is_overtraining_risk": False,
            "risk_reasons": [],
            "untracked_share_42d": 0.0,
            "month": f"{day:%Y-%m}",
            "recent_effort_distance_m": 10_000.0,
            "recent_effort_time_s": seconds,
            "longest_run_28d_km": longest,
            "ctl_42d": fitness,
            "prediction": {
                **{
                    name: seconds * metres / 10_000 * ratio
                    for metres, names in zip(tables.DISTANCES_M.values(), tables.TIME_COLUMNS.values(), strict=True)
                    for name, ratio in zip(names, (1.0, 0.9, 1.2), strict=True)
                },
                "served_by": "model",
                "top_reasons": None,
            },
        }
        for athlete, day, seconds, longest, fitness in given
    ]
    state = {field.name: field.type for field in arrow_schema(tables.ROLLING)}
    outputs = pa.struct(
        [(name, pa.float64()) for names in tables.TIME_COLUMNS.values() for name in names]
        + [("served_by", pa.string()), ("top_reasons", pa.string())]
    )
    names = dict.fromkeys([*serving.STATE, *INPUTS])
    schema = [pa.field(name, state.get(name, pa.float64())) for name in names]
    return pa.Table.from_pylist(held, pa.schema([*schema, ("prediction", outputs)]))


def inputs(given: Sequence[Evening], stored: pa.Table | None, strangers: Sequence[str]) -> dict[str, pa.Table]:
    """As the kernel gets them."""
    stored = rows(tables.PREDICTIONS) if stored is None else stored
    structs = pa.StructArray.from_arrays([c.combine_chunks() for c in stored.columns], names=stored.column_names)
    return {
        "times": evenings(given),
        "stored": pa.table({"athlete_id": stored["athlete_id"], "stored": structs}),
        "strangers": pa.table({"athlete_id": pa.array(strangers, pa.string())}),
    }


Made = dict[str, list[dict[str, Any]]]


def made(given: Sequence[Evening], stored: pa.Table | None = None, strangers: Sequence[str] = ()) -> Made:
    found = serving._rows(inputs(given, stored, strangers), WORK)
    return {kind: rows.to_pylist() for kind, rows in found.items()}


def counted(parts: Sequence[Made]) -> tuple[int, dict[str, list[int]]]:
    """By hand what `tally` adds up."""
    calls = [call for part in parts for call in part[serving.COUNTED]]
    sums: dict[str, np.ndarray] = {}
    for call in calls:
        for name, counts in zip(call["names"], call["counts"], strict=True):
            sums[name] = sums.get(name, np.zeros(len(counts), int)) + np.array(counts)
    return sum(call["rows"] for call in calls), {name: counts.tolist() for name, counts in sums.items()}


GIVEN: list[Evening] = [
    ("bob", DAY, 3000.0, 12.0, 10.0),
    ("ann", DAY, 2400.0, 12.0, 30.0),
    ("ann", YESTERDAY, 2460.0, 12.0, 20.0),
    ("eve", DAY, 2700.0, None, 50.0),
    ("bob", YESTERDAY, 3060.0, 12.0, None),
]


def test_what_is_made_of_an_athlete_is_the_same_whoever_comes_along() -> None:
    together = made(GIVEN, strangers=["eve"])
    alone = [
        made([evening for evening in GIVEN if evening[0] == name], strangers=["eve"] if name == "eve" else [])
        for name in ("ann", "bob", "eve")
    ]
    for kind in (serving.PREDICTED, serving.LOGGED):
        assert together[kind] == [row for part in alone for row in part[kind]]
    assert counted([together]) == counted(alone)


def test_what_was_scored_is_counted_of_those_who_ran_lately() -> None:
    """By hand: fitness 10 below the first edge, 30 and 20 from it on, one unknown; eve has rested for a month."""
    assert counted([made(GIVEN)]) == (4, {"ctl_42d": [1, 2, 0, 1]})


def test_what_was_served_in_time_stands_and_is_not_logged_again() -> None:
    at = {"prediction_date": midnight(YESTERDAY), "predicted_10k_s": 1.0}
    stored = rows(
        tables.PREDICTIONS,
        {"athlete_id": "ann", "is_backfilled": False, **at},
        {"athlete_id": "bob", "is_backfilled": True, **at},
        {"athlete_id": "gone", "is_backfilled": False, **at},
    )
    found = made(GIVEN, stored)
    predicted = {(row["athlete_id"], row["prediction_date"]): row["predicted_10k_s"] for row in found["predicted"]}
    assert predicted == {
        ("ann", midnight(YESTERDAY)): 1.0,
        ("ann", midnight(DAY)): 2400.0,
        ("bob", midnight(YESTERDAY)): 3060.0,
        ("bob", midnight(DAY)): 3000.0,
        ("eve", midnight(DAY)): 2700.0,
    }
    logged = {(row["athlete_id"], row["prediction_date"]): row["ctl_42d"] for row in found["logged"]}
    assert logged == {(name, midnight(day)): ctl for name, day, _, _, ctl in GIVEN if (name, day) != ("ann", YESTERDAY)}


def test_stored_rows_without_an_evening_make_no_rows() -> None:
    found = made([], rows(tables.PREDICTIONS, {"athlete_id": "gone", "is_backfilled": False}))
    assert found[serving.PREDICTED] == found[serving.LOGGED] == []
    assert counted([found]) == (0, {"ctl_42d": [0, 0, 0, 0]})


@pytest.mark.slow
def test_the_kernel_travels_with_the_function(tmp_path: Path) -> None:
    """A cluster's workers need not have this package to run it."""
    arguments = (inputs(GIVEN, None, []),)
    shown = "{kind: rows.to_pylist() for kind, rows in made.items()}"
    told, sent = answered(partial(serving._rows, work=WORK), arguments, shown, tmp_path)
    assert told == str(made(GIVEN))
    assert sent < 400_000
