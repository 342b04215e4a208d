"""The summary of an athlete, from numbers one can add up by hand; on both engines."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pyarrow as pa
import pytest
from pyspark.sql import SparkSession

from athlete_assets import tables
from athlete_assets.days import midnight
from athlete_assets.features.monthly import monthly_features
from athlete_assets.gold.metrics_summary import metrics_summary
from athlete_assets_tests.rows import DAY, frame, rows


def summary(spark: SparkSession, *, efforts: pa.Table | None = None, **given: pa.Table) -> dict[str, Any]:
    """The one athlete's row."""
    (found,) = summaries(spark, efforts=efforts, **given)
    return found


def summaries(spark: SparkSession, *, efforts: pa.Table | None = None, **given: pa.Table) -> list[dict[str, Any]]:
    """The rows; what is not given has none."""
    of = {
        "activities": tables.ACTIVITY,
        "daily": tables.DAILY,
        "rolling": tables.ROLLING,
        "performance": tables.PERFORMANCE,
        "athletes": tables.STRAVA_ATHLETE,
    }
    frames = {name: frame(spark, given.get(name, rows(table)).to_pylist(), table) for name, table in of.items()}
    parts = None if efforts is None else frame(spark, efforts.to_pylist(), tables.STRAVA_BEST_EFFORT)
    months = monthly_features(frames["activities"], parts)
    return metrics_summary(months=months, **frames).toArrow().to_pylist()  # type: ignore[no-any-return]


def run(km: float, minutes: float, day: date, **more: Any) -> dict[str, Any]:
    values = {"athlete_id": "ann", "sport_type": "Run", "distance_km": km, "moving_time_min": minutes}
    return {**values, "pace_min_km": minutes / km, **on(day), **more}


def test_summary_adds_up_and_names_the_bests(spark: SparkSession) -> None:
    days = [DAY - timedelta(days=n) for n in range(400)]
    daily = rows(tables.DAILY, *({"athlete_id": "ann", "activity_date": midnight(d), "distance_km": 2.0} for d in days))
    rolling = rows(
        tables.ROLLING,
        {"athlete_id": "ann", "as_of_date": midnight(DAY), "ctl_42d": 50.0, "atl_7d": 60.0, "tsb": -10.0},
        {"athlete_id": "ann", "as_of_date": midnight(DAY - timedelta(days=1)), "ctl_42d": 49.0},
        {"athlete_id": "ann", "as_of_date": midnight(DAY - timedelta(days=365)), "ctl_42d": 37.0},
    )
    last_run = DAY - timedelta(days=3)
    activities = rows(
        tables.ACTIVITY,
        # 5.05 km in 25:15 is 5 km in 25:00; a ride of the same length is not a run; 5.2 km is too far off to count;
        # nobody runs 5 km in 12 min; a run whose pace is not believed, and one with rests, are none
        run(5.05, 25.25, date(2024, 1, 1), activity_id=1),
        run(5.0, 26.0, date(2024, 2, 1), activity_id=2),
        run(5.2, 20.0, date(2024, 3, 1), activity_id=3),
        run(5.0, 9.0, last_run, activity_id=4, sport_type="Ride", threshold_source="best_effort"),
        run(5.0, 12.0, date(2024, 3, 2), activity_id=5),
        run(5.0, 20.0, date(2024, 3, 3), activity_id=6, pace_min_km=None),
        run(5.0, 20.0, date(2024, 3, 4), activity_id=7, elapsed_time_min=30.0),
    )
    found = summary(spark, activities=activities, daily=daily, rolling=rolling)

    assert found["as_of_date"] == midnight(DAY)
    assert (found["fitness_ctl"], found["fatigue_atl"], found["form_tsb"]) == (50.0, 60.0, -10.0)
    assert found["fitness_ctl_365d_ago"] == 37.0
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
    activities = rows(
        tables.ACTIVITY,
        run(21.0975, 120.0, date(2024, 1, 1), activity_id=1),
        run(10.0, 51.0, date(2024, 2, 1), activity_id=2),
        run(10.0, 51.0, date(2024, 3, 1), activity_id=3, sport_type="Ride"),
    )
    effort = {"athlete_id": "ann", "activity_id": 1, "distance": 1.0}
    efforts = rows(
        tables.STRAVA_BEST_EFFORT,
        {**effort, "kind": "10k", "elapsed_time": 3000.0},
        {**effort, "kind": "5k", "elapsed_time": 1450.0},
        {**effort, "kind": "half", "elapsed_time": 3000.0},
        {**effort, "kind": "1k", "elapsed_time": 270.0},
        {**effort, "kind": "mile", "elapsed_time": 440.0},
        {**effort, "kind": "30min", "elapsed_time": 1800.0},
        {**effort, "kind": "10k", "elapsed_time": 1200.0, "activity_id": 3},
        {**effort, "kind": "10k", "elapsed_time": 2400.0, "athlete_id": "bob"},
    )
    daily = rows(tables.DAILY, {"athlete_id": "ann", "activity_date": midnight(DAY)})
    rolling = rows(tables.ROLLING, {"athlete_id": "ann", "as_of_date": midnight(DAY)})
    found = summary(spark, activities=activities, daily=daily, rolling=rolling, efforts=efforts)
    bests = {name: (found[f"best_{name}_s"], found[f"best_{name}_date"]) for name in tables.BEST_DISTANCES_M}
    first = midnight(date(2024, 1, 1))
    assert bests == {
        "1k": (270.0, first),
        "mile": (440.0, first),
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
    found = summary(sail, activities=activities, daily=daily, rolling=rolling)
    assert (found["activities_42d"], found["untracked_42d"], found["fitness_ctl"]) == (2, untracked, fitness)
    assert (found["form_tsb"] is None) == (fitness is None)


def test_volumes_and_streaks(spark: SparkSession) -> None:
    """DAY is a Wednesday without an activity yet; the two days before were active, and the Sunday was not. Of the weeks
    this one, the last and the one before have an activity; the fourth is empty, the fifth is the first."""
    active = {1: 40.0, 2: 60.0, 8: 30.0, 16: 20.0, 30: 10.0}
    daily = rows(
        tables.DAILY,
        *(
            {
                "athlete_id": "ann",
                "activity_date": midnight(DAY - timedelta(days=ago)),
                "activities": int(ago in active),
                "moving_time_min": active.get(ago, 0.0),
                "daily_tss": 2 * active.get(ago, 0.0),
                "distance_km": 1.0 * (ago in active),
                "run_distance_km": 0.5 * (ago in active),
            }
            for ago in range(31)
        ),
    )
    rolling = rows(tables.ROLLING, {"athlete_id": "ann", "as_of_date": midnight(DAY), "consistency_score": 0.3})
    activities = rows(tables.ACTIVITY, *(run(1.0, 5.0, DAY - timedelta(days=ago)) for ago in active))
    found = summary(spark, activities=activities, daily=daily, rolling=rolling)
    assert (found["streak_days"], found["streak_weeks"], found["consistency_score"]) == (2, 3, 0.3)
    assert [found[f"moving_time_{days}d_min"] for days in (7, 28, 365)] == [100.0, 150.0, 160.0]
    assert [found[f"load_{days}d_tss"] for days in (7, 28, 365)] == [200.0, 300.0, 320.0]
    assert [found[f"activities_{days}d"] for days in (7, 28, 365)] == [2, 4, 5]
    assert [found[f"run_distance_{days}d_km"] for days in (7, 28, 365)] == [1.0, 2.0, 2.5]


def test_each_stands_on_its_own_newest_day(spark: SparkSession) -> None:
    """Ann ran every one of the 400 days to DAY, a Wednesday: 58 weeks, the running one among them. Bob's log ends three
    days before it, on a Sunday; his last activity lies 100 days before that, one in his last year's first
    day, and one on the first day of all."""
    newest = {"ann": DAY, "bob": DAY - timedelta(days=3)}
    active = {"ann": range(400), "bob": (100, 364, 370)}
    daily = rows(
        tables.DAILY,
        *(
            {
                "athlete_id": who,
                "activity_date": midnight(newest[who] - timedelta(days=ago)),
                "activities": int(ago in active[who]),
                "distance_km": float(ago in active[who]),
            }
            for who in newest
            for ago in range(400 if who == "ann" else 371)
        ),
    )
    rolling = rows(
        tables.ROLLING,
        *({"athlete_id": who, "as_of_date": midnight(day), "ctl_42d": 1.0} for who, day in newest.items()),
    )
    of_bob = {"athlete_id": "bob", "hr_max_bpm": 170.0}
    activities = rows(
        tables.ACTIVITY,
        run(1.0, 5.0, DAY, hr_max_bpm=200.0),
        *(run(1.0, 5.0, DAY - timedelta(days=ago)) for ago in range(1, 400)),
        run(1.0, 5.0, newest["bob"] - timedelta(days=100)) | of_bob | {"hr_max_bpm": 180.0},
        *(run(1.0, 5.0, newest["bob"] - timedelta(days=ago)) | of_bob for ago in (364, 370)),
    )
    found = {row["athlete_id"]: row for row in summaries(spark, activities=activities, daily=daily, rolling=rolling)}
    ann, bob = found["ann"], found["bob"]
    assert (ann["streak_days"], ann["streak_weeks"], ann["activities_365d"]) == (400, 58, 365)
    assert (bob["streak_days"], bob["streak_weeks"], bob["activities_365d"]) == (0, 0, 2)
    assert (ann["hr_max_bpm"], bob["hr_max_bpm"]) == (200.0, 180.0)
    assert bob["last_activity_date"] == midnight(newest["bob"] - timedelta(days=100))
    assert (ann["days_since_activity"], bob["days_since_activity"]) == (0, 100)


def test_who_has_no_evening_in_the_newest_month_stands_on_an_older_one(sail: SparkSession) -> None:
    """Bob's features were not computed since March, in which he ran on the last two days."""
    newest = {"ann": DAY, "bob": date(2024, 3, 31)}
    of_day = [{"athlete_id": who, "activity_date": midnight(day), "activities": 1} for who, day in newest.items()]
    rolling = [{"athlete_id": who, "as_of_date": midnight(day)} for who, day in newest.items()]
    activities = [
        run(1.0, 5.0, day - timedelta(days=ago), athlete_id=who) for who, day in newest.items() for ago in range(2)
    ]
    given = {"daily": rows(tables.DAILY, *of_day), "rolling": rows(tables.ROLLING, *rolling)}
    found = {row["athlete_id"]: row for row in summaries(sail, activities=rows(tables.ACTIVITY, *activities), **given)}
    assert {who: (row["as_of_date"], row["streak_days"]) for who, row in found.items()} == {
        who: (midnight(day), 2) for who, day in newest.items()
    }


def test_a_first_activity_today_is_a_streak_of_one(sail: SparkSession) -> None:
    daily = rows(tables.DAILY, {"athlete_id": "ann", "activity_date": midnight(DAY), "activities": 1})
    rolling = rows(tables.ROLLING, {"athlete_id": "ann", "as_of_date": midnight(DAY)})
    found = summary(sail, activities=rows(tables.ACTIVITY, run(1.0, 5.0, DAY)), daily=daily, rolling=rolling)
    assert (found["streak_days"], found["streak_weeks"]) == (1, 1)


def test_vdot_of_the_recent_effort_and_age_grade_of_the_best(spark: SparkSession) -> None:
    """Daniels' table: 10 km in 50:03 is VDOT 40. A woman of 54 with 5,025 s over 10 km: 0.4212 (oracle 18)."""
    daily = rows(tables.DAILY, {"athlete_id": "ann", "activity_date": midnight(DAY)})
    rolling = rows(tables.ROLLING, {"athlete_id": "ann", "as_of_date": midnight(DAY)})
    effort = {"recent_effort_distance_m": 10_000.0, "recent_effort_time_s": 3003.0, "recent_effort_age_days": 20.0}
    performance = rows(tables.PERFORMANCE, {"athlete_id": "ann", "as_of_date": midnight(DAY), **effort})
    given = {"daily": daily, "rolling": rolling, "performance": performance}
    given["activities"] = rows(
        tables.ACTIVITY, run(10.0, 83.75, DAY, activity_id=1), run(5.0, 60.0, DAY, activity_id=2)
    )
    athletes = rows(tables.STRAVA_ATHLETE, {"athlete_id": "ann", "sex": "F", "birth_year": DAY.year - 54})
    found = summary(spark, **given, athletes=athletes)
    assert found["vdot"] == pytest.approx(40.0, abs=0.1)
    assert found["recent_effort_date"] == midnight(DAY - timedelta(days=20))
    assert found["age_grade"] == pytest.approx(0.4212, abs=5e-5)
    assert found["age_grade_distance"] == "10k"
    unstated = summary(spark, **given)
    assert (unstated["age_grade"], unstated["age_grade_distance"]) == (None, None)
