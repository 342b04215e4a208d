"""The summary of an athlete, from numbers one can add up by hand; on both engines."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from pyspark.sql import SparkSession

from athlete_assets import tables
from athlete_assets.days import midnight
from athlete_assets.gold.metrics_summary import metrics_summary
from athlete_assets_tests.rows import DAY, frame, rows


def test_summary_adds_up_and_names_the_bests(spark: SparkSession) -> None:
    days = [DAY - timedelta(days=n) for n in range(400)]
    daily = rows(tables.DAILY, *({"athlete_id": "ann", "activity_date": midnight(d), "distance_km": 2.0} for d in days))
    rolling = rows(
        tables.ROLLING,
        {"athlete_id": "ann", "as_of_date": midnight(DAY), "ctl_42d": 50.0, "atl_7d": 60.0, "tsb": -10.0},
        {"athlete_id": "ann", "as_of_date": midnight(DAY - timedelta(days=1)), "ctl_42d": 49.0},
    )
    activity = {"athlete_id": "ann", "sport_type": "Run", "threshold_source": "best_effort"}
    ride = {"sport_type": "Ride"}
    last_run = DAY - timedelta(days=3)
    activities = rows(
        tables.ACTIVITY,
        # 5.05 km in 25:15 is 5 km in 25:00; a ride of the same length is not a run; 5.2 km is too far off to count
        {**activity, "activity_id": 1, "distance_km": 5.05, "moving_time_min": 25.25, **on(date(2024, 1, 1))},
        {**activity, "activity_id": 2, "distance_km": 5.0, "moving_time_min": 26.0, **on(date(2024, 2, 1))},
        {**activity, "activity_id": 3, "distance_km": 5.2, "moving_time_min": 20.0, **on(date(2024, 3, 1))},
        {**activity, "activity_id": 4, "distance_km": 5.0, "moving_time_min": 9.0, **ride, **on(last_run)},
    )
    frames = (spark.createDataFrame(arrow) for arrow in (activities, daily, rolling))
    (found,) = metrics_summary(*frames).toArrow().to_pylist()

    assert found["as_of_date"] == midnight(DAY)
    assert (found["fitness_ctl"], found["fatigue_atl"], found["form_tsb"]) == (50.0, 60.0, -10.0)
    assert found["distance_7d_km"] == pytest.approx(14.0, rel=1e-12)
    assert found["distance_28d_km"] == pytest.approx(56.0, rel=1e-12)
    assert found["distance_365d_km"] == pytest.approx(730.0, rel=1e-12)
    assert found["best_5k_s"] == pytest.approx(1500.0, rel=1e-12)
    assert found["best_5k_date"] == midnight(date(2024, 1, 1))
    assert found["best_10k_s"] is None
    assert found["best_10k_date"] is None
    assert found["last_activity_date"] == midnight(last_run)
    assert found["days_since_activity"] == 3
    assert found["threshold_source"] == "best_effort"


def test_the_best_of_a_part_of_a_run_is_a_best(spark: SparkSession) -> None:
    """A half marathon with its 10 km in 50 min, and a 10 km run in 51; a ride, a stranger and a glitch count not."""
    activity = {"athlete_id": "ann", "sport_type": "Run"}
    activities = rows(
        tables.ACTIVITY,
        {**activity, "activity_id": 1, "distance_km": 21.0975, "moving_time_min": 120.0, **on(date(2024, 1, 1))},
        {**activity, "activity_id": 2, "distance_km": 10.0, "moving_time_min": 51.0, **on(date(2024, 2, 1))},
        {**activity, "activity_id": 3, "sport_type": "Ride", **on(date(2024, 3, 1))},
    )
    effort = {"athlete_id": "ann", "activity_id": 1, "distance": 1.0}
    efforts = rows(
        tables.STRAVA_BEST_EFFORT,
        {**effort, "kind": "10k", "elapsed_time": 3000.0},
        {**effort, "kind": "5k", "elapsed_time": 1450.0},
        {**effort, "kind": "half", "elapsed_time": 3000.0},
        {**effort, "kind": "30min", "elapsed_time": 1800.0},
        {**effort, "kind": "10k", "elapsed_time": 1200.0, "activity_id": 3},
        {**effort, "kind": "10k", "elapsed_time": 2400.0, "athlete_id": "bob"},
    )
    daily = rows(tables.DAILY, {"athlete_id": "ann", "activity_date": midnight(DAY)})
    rolling = rows(tables.ROLLING, {"athlete_id": "ann", "as_of_date": midnight(DAY)})
    frames = [spark.createDataFrame(part) for part in (activities, daily, rolling)]
    given = frame(spark, efforts, tables.STRAVA_BEST_EFFORT)
    (found,) = metrics_summary(*frames, efforts=given).toArrow().to_pylist()
    bests = {name: (found[f"best_{name}_s"], found[f"best_{name}_date"]) for name in tables.DISTANCES_M}
    first = midnight(date(2024, 1, 1))
    assert bests == {
        "5k": (1450.0, first),
        "10k": (3000.0, first),
        "half": (pytest.approx(7200.0), first),
        "marathon": (None, None),
    }


def on(day: date) -> dict[str, object]:
    return {"activity_date": midnight(day), "event_timestamp": midnight(day)}


@pytest.mark.parametrize(("untracked", "fitness"), [(2, None), (1, 50.0)])
def test_fitness_that_rests_on_no_load_is_unknown_and_not_zero(
    sail: SparkSession, untracked: int, fitness: float | None
) -> None:
    """Two activities in the last 42 days, the first of them 41 days ago; one more lies before."""
    days = {0: untracked - 1, 41: 1, 42: 1}
    daily = rows(
        tables.DAILY,
        *(
            {
                "athlete_id": "ann",
                "activity_date": midnight(DAY - timedelta(days=ago)),
                "activities": 1,
                "untracked_activities": unknown,
                "distance_km": 2.0,
            }
            for ago, unknown in days.items()
        ),
    )
    state = {"ctl_42d": 50.0, "atl_7d": 60.0, "tsb": -10.0, "untracked_share_42d": untracked / 2}
    rolling = rows(tables.ROLLING, {"athlete_id": "ann", "as_of_date": midnight(DAY), **state})
    activities = rows(tables.ACTIVITY, {"athlete_id": "ann", "sport_type": "Ride", **on(DAY)})
    (found,) = (
        metrics_summary(*(sail.createDataFrame(part) for part in (activities, daily, rolling))).toArrow().to_pylist()
    )
    assert (found["activities_42d"], found["untracked_42d"], found["fitness_ctl"]) == (2, untracked, fitness)
    assert (found["form_tsb"] is None) == (fitness is None)
