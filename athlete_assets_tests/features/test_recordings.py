"""What recordings tell goes into the features, and only where they tell enough."""

from __future__ import annotations

from datetime import date, datetime, timezone
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyspark.sql import DataFrame, SparkSession

from athlete_assets import tables
from athlete_assets.days import Days
from athlete_assets.features.activity import activity_features
from athlete_assets.features.daily import daily_features
from athlete_assets.features.performance import performance_features
from athlete_assets.settings import Settings
from athlete_assets.store.arrow import fitted
from athlete_assets_tests.features.rows import Activity, activity_rows, assert_same, collected, day
from athlete_assets_tests.rows import frame, rows
from athlete_assets_tests.silver.rows import activity, arrow, athlete, split

SETTINGS = Settings(start_date=date(2024, 1, 1), as_of=date(2024, 12, 30))
YEAR = Days(SETTINGS.start_date, SETTINGS.today)
RECORDING, EFFORT = tables.STRAVA_RECORDING, tables.STRAVA_BEST_EFFORT
ANN = athlete(max_hr_bpm=190.0, resting_hr_bpm=50.0)
Row = dict[str, Any]


def recording(activity_id: int, seconds: dict[int, float] | None = None, **changes: Any) -> Row:
    """A recording of athlete 'a' with so many seconds at each heart rate."""
    histogram = None if seconds is None else [seconds.get(bpm, 0.0) for bpm in range(30, 231)]
    moment = datetime(2024, 3, 5, tzinfo=timezone.utc)
    row = {"athlete_id": "a", "activity_id": activity_id, "seconds_by_bpm": histogram, tables.INGESTED: moment}
    return {**dict.fromkeys(RECORDING.column_names), **row, **changes}


def effort(activity_id: int, kind: str, metres: float, seconds: float, athlete: str = "a") -> Row:
    return {
        "athlete_id": athlete,
        "activity_id": activity_id,
        "kind": kind,
        "distance": metres,
        "elapsed_time": seconds,
    }


def compute(
    spark: SparkSession,
    activities: list[Row],
    recordings: list[Row] = [],  # noqa: B006
    efforts: list[Row] = [],  # noqa: B006
    splits: list[Row] = [],  # noqa: B006
    days: Days = YEAR,
    athletes: list[Row] = [ANN],  # noqa: B006
) -> pa.Table:
    def of(given: list[Row], table: tables.Table) -> DataFrame:
        return frame(spark, arrow(given, table), table)

    found = activity_features(
        of(activities, tables.STRAVA_ACTIVITIES),
        of(splits, tables.STRAVA_SUB_ACTIVITY),
        of(athletes, tables.STRAVA_ATHLETE),
        days,
        SETTINGS,
        recordings=of(recordings, RECORDING),
        efforts=frame(spark, rows(EFFORT, *efforts), EFFORT),
    )
    return fitted(found.toArrow(), tables.ACTIVITY)


def by_id(found: pa.Table) -> dict[int, Row]:
    return {row["activity_id"]: row for row in found.to_pylist()}


def zones(row: Row) -> list[float | None]:
    return [row[f"hr_zone_{zone}_pct"] for zone in range(1, 6)]


RUNS = [activity(f"2024-03-{n:02} 12:00:00", id=n, average_heartrate=150.0) for n in range(1, 7)]


def test_zones_come_from_the_seconds_at_each_heart_rate(spark: SparkSession) -> None:
    """Of a maximum of 190: below 114 is zone 1, from 114, 133, 152 and 171 on 2 to 5. The run moved for 3,000 s."""
    beats = {113: 300.0, 114: 600.0, 133: 900.0, 151: 300.0, 152: 450.0, 171: 300.0, 230: 150.0}
    given = [
        recording(1, beats),
        recording(2, {150: 2399.0}),  # less than 80 % of the time
        recording(3, {150: 3000.0}, has_flat_heart_rate=True),
        recording(4, {100: 3000.0}),
        recording(4, beats, silver_ingestion_timestamp=datetime(2024, 4, 1, tzinfo=timezone.utc)),  # the newest counts
        recording(5, None),
        recording(6, {150: 3000.0}, seconds_by_bpm=[60.0] * 50),  # of other heart rates than the contract says
    ]
    beating = [split(n, 1, average_heartrate=100.0) for n in (1, 2)]
    found = by_id(compute(spark, RUNS, given, splits=beating))
    expected = [0.1, 0.2, 0.4, 0.15, 0.15]
    assert zones(found[1]) == pytest.approx(expected, abs=1e-12)
    assert zones(found[4]) == pytest.approx(expected, abs=1e-12)
    methods = [found[n]["hr_zone_method"] for n in range(1, 7)]
    assert methods == ["recording", "splits", "average", "recording", "average", "average"]


def test_load_by_heart_rate_is_that_of_each_second(spark: SparkSession) -> None:
    """An hour at 169 bpm, 85 % of the reserve from 50 to 190, is 100, wherever its mean lies; at rest nothing adds up.

    Half an hour at 120 (reserve 0.5) and half at 180 (13/14) by Banister's formula, 0.64 e^(1.92 x):
    (0.5 e^0.96 + 13/14 e^1.782857) / (2 x 0.85 e^1.632) = (1.305848 + 5.522049) / 8.693958 = 0.785361.
    """
    ride = {"sport_type": "Ride", "distance": 30_000.0, "moving_time": 3600.0, "elapsed_time": 3700.0}
    rides = [activity(f"2024-03-{n:02} 12:00:00", id=n, average_heartrate=140.0, **ride) for n in (1, 2, 3)]
    given = [recording(1, {169: 3600.0}), recording(2, {120: 1800.0, 180: 1800.0}), recording(3, {45: 3600.0})]
    found = by_id(compute(spark, rides, given))
    assert found[1]["estimated_tss"] == pytest.approx(100, rel=1e-12)
    assert found[2]["estimated_tss"] == pytest.approx(78.5361, abs=1e-4)
    assert found[3]["estimated_tss"] == 0
    assert {row["load_method"] for row in found.values()} == {"heart_rate"}


def test_pace_is_graded_by_the_recording_before_the_splits(spark: SparkSession) -> None:
    hilly = [split(n, k, elevation_difference=20.0) for n in (1, 2, 3) for k in range(1, 11)]
    given = [
        recording(1, distance=10_050.0, graded_distance=11_055.0),
        recording(2, distance=7_000.0, graded_distance=7_700.0),  # it tells of too little
        recording(3, distance=None, graded_distance=7_700.0),
    ]
    found = by_id(compute(spark, RUNS, given, splits=hilly))
    assert found[1]["grade_adjusted_pace_min_km"] == pytest.approx(5.0 / 1.1)
    assert found[2]["grade_adjusted_pace_min_km"] == pytest.approx(found[3]["grade_adjusted_pace_min_km"])
    assert found[2]["grade_adjusted_pace_min_km"] == pytest.approx(5.0 / 1.09, rel=0.01)
    assert found[4]["grade_adjusted_pace_min_km"] is None


def test_thresholds_rest_on_the_best_efforts_of_the_days_before(spark: SparkSession) -> None:
    """5, 8 and 13 min on the line 120 m + 4 m/s: critical speed is 4 m/s, 4:10 min/km, from the next day on."""
    efforts = [effort(1, f"{n}min", 120 + 4.0 * n * 60, n * 60.0) for n in (5, 8, 13)]
    found = by_id(compute(spark, RUNS[:3], efforts=efforts))
    assert found[1]["threshold_source"] == "default"
    assert found[2]["threshold_source"] == found[3]["threshold_source"] == "critical_speed"
    assert found[2]["threshold_pace_min_km"] == pytest.approx(1000 / 240)


def test_an_effort_inside_a_session_with_rests_counts(spark: SparkSession) -> None:
    """The session as a whole stood for longer than an effort may; its best 20 min had no rest that the clock forgot."""
    session = activity("2024-03-01 12:00:00", id=1, moving_time=3000.0, elapsed_time=4000.0)
    whole = by_id(compute(spark, [session, RUNS[1]]))
    parts = by_id(compute(spark, [session, RUNS[1]], efforts=[effort(1, "20min", 4800.0, 1200.0)]))
    assert whole[2]["threshold_source"] == "default"
    assert (parts[2]["threshold_source"], parts[2]["threshold_pace_min_km"]) == (
        "best_effort",
        pytest.approx(1000 / 240),
    )


def test_efforts_of_rides_strangers_and_the_impossible_count_nowhere(spark: SparkSession) -> None:
    ride = activity("2024-03-01 12:00:00", id=1, sport_type="Ride")
    efforts = [
        effort(1, "20min", 9000.0, 1200.0),
        effort(2, "20min", 9000.0, 1200.0, athlete="b"),
        effort(2, "10min", 9000.0, 600.0),  # 15 m/s
        effort(2, "5min", 0.0, 300.0),
        effort(2, "1k", 1000.0, -3.0),
    ]
    found = by_id(compute(spark, [ride, *RUNS[1:3]], efforts=efforts))
    plain = by_id(compute(spark, [ride, *RUNS[1:3]]))
    assert found == plain


def test_a_day_rests_on_the_recordings_up_to_it_alone(sail: SparkSession) -> None:
    """Days computed without what comes later, and in a window of their own, are those of the whole."""
    random = np.random.default_rng(5)
    lengths = (300.0, 600.0, 1200.0, 3600.0)
    efforts = [effort(n, f"{s:.0f}", s * random.uniform(2.5, 5), s) for n in range(1, 7) for s in lengths]
    given = [recording(n, {140: 2000.0, 90 + 15 * n: random.uniform(0, 3000)}) for n in range(1, 7)]
    whole = collected(compute(sail, RUNS, given, efforts), tables.ACTIVITY)
    assert len(set(whole.threshold_pace_min_km)) > 3
    early = collected(
        compute(sail, RUNS[:3], given[:3], efforts[:12], days=Days(YEAR.first, date(2024, 3, 3))), tables.ACTIVITY
    )
    assert_same(early, whole[whole.activity_id <= 3].reset_index(drop=True))
    mixed = random.permutation(24)
    late = compute(sail, RUNS, given[::-1], [efforts[n] for n in mixed], days=Days(date(2024, 3, 4), YEAR.last))
    assert_same(collected(late, tables.ACTIVITY), whole[whole.activity_id > 3].reset_index(drop=True))


# ------------------------------------------------------------------------------------------------------- performance


def test_the_best_of_a_part_is_a_best_and_no_run(spark: SparkSession) -> None:
    """A half marathon in 2 h, with its best 5 km in 24 min and 10 km in 52: the bests know them, the rest does not."""
    runs = [Activity("a", day(0), km=21.1, minutes=120.0), Activity("a", day(20), km=10.0, minutes=55.0)]
    features = activity_rows(spark, runs)
    efforts = [
        effort(0, "5k", 5000.0, 24 * 60.0),
        effort(0, "10k", 10_000.0, 52 * 60.0),
        effort(0, "1k", 1000.0, 200.0),  # too short to be an effort over these distances
        effort(9, "5k", 5000.0, 900.0),  # of an activity that is not there
    ]
    days = Days(day(0), day(30))
    daily = daily_features(features, days)
    given = frame(spark, rows(EFFORT, *efforts), EFFORT)
    found = collected(performance_features(daily, features, days, given), tables.PERFORMANCE)
    plain = collected(performance_features(daily, features, days), tables.PERFORMANCE)
    row = found.iloc[-1]
    assert row["best_5k_365d_s"] == pytest.approx(24 * 60)
    assert row["best_10k_365d_s"] == pytest.approx(52 * 60)
    assert row["recent_effort_distance_m"] == 5000
    assert (row["recent_effort_time_s"], row["recent_effort_age_days"]) == (24 * 60, 30)
    assert row["best_90d_10k_s"] == pytest.approx(24 * 60 * 2**1.06)
    assert np.isnan(plain.iloc[-1]["best_5k_365d_s"])
    changed = {name for name in found if not found[name].equals(plain[name])}
    assert all(name.startswith(("best_", "recent_effort_")) for name in changed), changed


# ------------------------------------------------------------------------------------------------------------ power


def strongest(activity_id: int, watts: float) -> Row:
    return {**effort(activity_id, "20min_power", 0.0, 1200.0), "distance": None, "average_power_w": watts}


def test_a_ride_rests_on_the_strongest_twenty_minutes_known_before(spark: SparkSession) -> None:
    """95 % of 240 W is 228 W. What a ride of the day itself, or a run, holds is not known before."""
    days = (date(2024, 1, 8), date(2024, 3, 10), date(2024, 3, 12), date(2024, 3, 12), date(2024, 7, 1))
    rides = [
        activity(f"{day} 12:00:00", id=n, sport_type="Ride", moving_time=3600.0 - n, distance=30_000.0 + 5_000 * n)
        for n, day in enumerate(days, start=1)
    ]
    rides[3] |= activity("2024-03-12 18:00:00", id=4, sport_type="Run")
    run = activity("2024-03-11 12:00:00", id=6)
    given = [recording(n, weighted_power_w=200.0) for n in (1, 2, 3, 5)]
    known = [strongest(1, 240.0), strongest(2, 230.0), strongest(3, 300.0), strongest(6, 400.0)]
    found = by_id(compute(spark, [*rides, run], given, known))
    assert [found[n]["ftp_w"] for n in (1, 2, 3, 4, 5)] == [
        None,
        *[pytest.approx(228.0)] * 2,
        None,
        pytest.approx(285.0),
    ]
    assert [found[n]["ftp_source"] for n in (1, 2)] == [None, "best_20min"]
    assert (found[1]["load_method"], found[2]["load_method"]) == ("none", "power")
    hours = (3600 - 2) / 3600
    assert found[2]["estimated_tss"] == pytest.approx(hours * (200 / 228) ** 2 * 100)


def test_the_strongest_twenty_minutes_disturb_no_pace(sail: SparkSession) -> None:
    found = by_id(compute(sail, RUNS, efforts=[strongest(n, 240.0) for n in range(1, 7)]))
    assert {row["threshold_source"] for row in found.values()} == {
        row["threshold_source"] for row in by_id(compute(sail, RUNS)).values()
    }
