"""activity_features: measured values, load, zones, and thresholds as known on the evening before."""

from __future__ import annotations

import math
import random
from collections.abc import Iterable
from datetime import date, datetime, timedelta, timezone
from itertools import permutations
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from pyspark.sql import SparkSession

from athlete_assets import tables
from athlete_assets.days import Days, midnight
from athlete_assets.features.activity import (
    REMEMBERED,
    _measured,
    _remembered,
    activity_features,
    history_days,
    judged_activities,
    of_the_active,
)
from athlete_assets.settings import Settings
from athlete_assets.silver.quality import Limits, judged
from athlete_assets.silver.sessions import activity_rows
from athlete_assets.store.arrow import fitted
from athlete_assets.store.by_athlete import computed_here
from athlete_assets.store.columns import within
from athlete_assets_tests.conftest import shared_file
from athlete_assets_tests.features.rows import assert_same, collected
from athlete_assets_tests.formulas.test_race_times import oracle
from athlete_assets_tests.rows import frame
from athlete_assets_tests.silver.rows import REAL_RUNS_AS_OF, activity, arrow, athlete, real_runs, split

SETTINGS = Settings(start_date=date(2010, 1, 4), as_of=date(2024, 12, 31))
EXACT = 1e-12
SPLITS, ATHLETES = tables.STRAVA_SUB_ACTIVITY, tables.STRAVA_ATHLETE
ZONES = [f"hr_zone_{zone}_pct" for zone in range(1, 6)]
Row = dict[str, Any]


def compute(
    spark: SparkSession,
    activities: pa.Table,
    splits: pa.Table,
    athletes: pa.Table,
    days: Days,
    settings: Settings = SETTINGS,
) -> pa.Table:
    """activity_features of the days, as the asset computes them; checked against the contract."""
    silver = frame(spark, activities, tables.STRAVA_ACTIVITIES)
    rows = activity_features(silver, frame(spark, splits, SPLITS), frame(spark, athletes, ATHLETES), days, settings)
    return fitted(rows.toArrow(), tables.ACTIVITY)


def features(
    spark: SparkSession, activities: Iterable[Row], splits: Iterable[Row] = (), athletes: Iterable[Row] = ()
) -> dict[int, Row]:
    """activity_features of all given days, by activity id."""
    days = Days(SETTINGS.start_date, SETTINGS.today)
    rows = compute(spark, arrow(activities), arrow(splits, SPLITS), arrow(athletes, ATHLETES), days).to_pylist()
    found = {row["activity_id"]: row for row in sorted(rows, key=lambda row: row["activity_id"])}
    assert len(found) == len(rows), "an activity twice"
    return found


def alone(rows: Iterable[Row]) -> list[Row]:
    """The activities numbered from 1, each of an athlete of its own."""
    return [{**row, "id": number, "athlete_id": str(number)} for number, row in enumerate(rows, start=1)]


# -------------------------------------------------------------------------------------------------------- measured


def test_a_run_is_measured_in_the_contracts_units(sail: SparkSession) -> None:
    run = activity(
        "2024-03-04 23:30:00",
        utc_offset_h=-8,
        workout_type=1,
        sport_type="trail_running",
        elapsed_time=3_300.0,
        total_elevation_gain=120.0,
        average_heartrate=150.0,
        max_heartrate=171.0,
    )
    row = features(sail, [run])[1]
    assert {name: row[name] for name in ("athlete_id", "sport_type", "is_race", "source", "month")} == {
        "athlete_id": "a",
        "sport_type": "TrailRun",
        "is_race": True,
        "source": "file",
        "month": "2024-03",
    }
    assert row["event_timestamp"] == datetime(2024, 3, 5, 7, 30, tzinfo=timezone.utc)
    assert row["activity_date"] == midnight(date(2024, 3, 4))
    measured = {
        "distance_km": 10.0,
        "moving_time_min": 50.0,
        "elapsed_time_min": 55.0,
        "pace_min_km": 5.0,
        "elevation_gain_m": 120.0,
        "elevation_per_km": 12.0,
        "avg_hr": 150.0,
        "max_hr": 171.0,
        "threshold_pace_min_km": 5.5,
        "intensity_factor": 1.1,
        "estimated_tss": 50 / 60 * 1.21 * 100,
        "efficiency_index": 10_000 / (50 * 150),
    }
    assert {name: row[name] for name in measured} == pytest.approx(measured, rel=EXACT)
    assert (row["threshold_source"], row["load_method"]) == ("default", "pace")
    unknown = ("grade_adjusted_pace_min_km", "hr_max_bpm", "hr_max_source", *ZONES, "hr_zone_method")
    assert [row[name] for name in unknown] == [None] * len(unknown)


def test_what_was_not_measured_is_null(sail: SparkSession) -> None:
    rows = features(
        sail,
        alone(
            [
                activity(sport_type="Ride"),
                activity(sport_type="Walk"),
                activity(distance=None),
                activity(sport_type="Walk", distance=0.0, total_elevation_gain=3.0),
                activity(moving_time=None, elapsed_time=2_400.0),
                activity(elapsed_time=-5.0),
                activity(elapsed_time=2_000.0),
                activity(sport_type=None, total_elevation_gain=-4.0),
                activity(sport_type="Ride", workout_type=1),
            ]
        ),
    )
    assert [rows[n]["pace_min_km"] for n in range(1, 10)] == [None, 5.0, None, None, 4.0, 5.0, 5.0, None, None]
    assert [rows[n]["load_method"] for n in range(1, 10)] == [
        *("none", "none", "none", "none", "pace", "pace", "pace", "none", "none")
    ]
    assert [rows[n]["estimated_tss"] is None for n in range(1, 10)] == [True] * 4 + [False] * 3 + [True] * 2
    assert rows[4]["elevation_per_km"] is None
    assert rows[5]["moving_time_min"] == 40.0, "elapsed time where moving time is unknown"
    assert [rows[n]["elapsed_time_min"] for n in (6, 7)] == [None, None], "no activity ends before its moving time"
    assert rows[8]["elevation_gain_m"] is None
    assert not rows[9]["is_race"], "workout_type 1 is a race for runs"


def test_an_activity_happens_at_its_local_hour_where_upstream_has_only_a_date(sail: SparkSession) -> None:
    dated = {**activity("2024-03-04 18:00:00"), "start_date": datetime(2024, 3, 4, tzinfo=timezone.utc)}
    rows = features(sail, alone([dated, {**dated, "start_date": None}]))
    assert [rows[n]["event_timestamp"] for n in (1, 2)] == [datetime(2024, 3, 4, 18, tzinfo=timezone.utc)] * 2


# ------------------------------------------------------------------------------------------------------ thresholds


def test_threshold_pace_rests_on_the_best_that_is_known(sail: SparkSession) -> None:
    """Efforts on a line of 4 m/s and D' 120 m: an hour of the VDOT of the longest, 3,240 m in 13 min, is slower than
    the line. With the 20 min on it, b's fastest of 20-60 min, which go 120 m further, is the faster one."""
    line = [
        activity(f"2024-02-0{n} 12:00:00", id=n, moving_time=minutes * 60.0, distance=240.0 * minutes + 120)
        for n, minutes in enumerate((5, 8, 13, 20), start=1)
    ]
    best = [{**row, "athlete_id": "b", "id": row["id"] + 10} for row in line]
    asked = [activity(id=20 + n, athlete_id=name) for n, name in enumerate("abcd")]
    stated = [athlete(athlete_id="d", threshold_pace_min_km=4.75), athlete(athlete_id="c", threshold_pace_min_km=290.0)]
    rows = features(sail, [*line[:3], *best, *asked], athletes=stated)
    found = [(rows[n]["threshold_source"], rows[n]["threshold_pace_min_km"]) for n in range(20, 24)]
    assert [source for source, _ in found] == ["critical_speed", "best_effort", "default", "athlete"]
    assert [pace for _, pace in found] == pytest.approx([1000 / 240, 20 / 4.92, 5.5, 4.75], rel=EXACT)


def test_thresholds_are_those_of_the_evening_before(sail: SparkSession) -> None:
    """A fast half hour counts for the next 90 days: not on its own day, neither on the 91st day after it."""
    fast = activity("2024-01-01 12:00:00", id=1, distance=7_500.0, moving_time=1_800.0)
    same_day = activity("2024-01-01 18:00:00", id=2)
    later = [activity(f"{date(2024, 1, 1) + timedelta(days=n)} 12:00:00", id=100 + n, moving_time=9e3) for n in (1, 90)]
    too_late = activity(f"{date(2024, 1, 1) + timedelta(days=91)} 12:00:00", id=3)
    rows = features(sail, [fast, same_day, *later, too_late])
    assert {n: row["threshold_source"] for n, row in rows.items()} == {
        1: "default",
        2: "default",
        101: "best_effort",
        190: "best_effort",
        3: "default",
    }
    assert rows[190]["threshold_pace_min_km"] == pytest.approx(4.0, rel=EXACT)


def test_maximum_heart_rate_is_stated_or_observed_or_of_the_age(sail: SparkSession) -> None:
    """Ten days of 180 ... 189 bpm: the third highest is 187. At 40 Tanaka says 180."""
    hard = [activity(f"2024-02-{10 + n} 12:00:00", id=n, max_heartrate=180.0 + n) for n in range(10)]
    asked = [activity(id=20 + n, athlete_id=name) for n, name in enumerate("abcde")]
    rows = features(
        sail,
        [*hard, *({**row, "athlete_id": "b", "id": row["id"] + 10} for row in hard), *asked],
        athletes=[
            athlete(max_hr_bpm=195.0, birth_year=1984),
            athlete(athlete_id="b", birth_year=1984, max_hr_bpm=19.0),
            athlete(athlete_id="c", birth_year=1984),
            athlete(athlete_id="d", birth_year=84),
        ],
    )
    found = [(rows[n]["hr_max_bpm"], rows[n]["hr_max_source"]) for n in range(20, 25)]
    assert found == [(195.0, "athlete"), (187.0, "observed"), (180.0, "age"), (None, None), (None, None)]
    assert [rows[n]["hr_max_source"] for n in range(10)] == ["athlete"] * 10
    assert [rows[n]["hr_max_source"] for n in range(10, 20)] == ["age"] * 10, "ten days are there on the evening after"


def test_several_statements_of_one_athlete_make_no_more_rows(sail: SparkSession) -> None:
    rows = features(sail, [activity()], athletes=[athlete(max_hr_bpm=190.0), athlete(threshold_pace_min_km=5.0)])
    assert (rows[1]["hr_max_bpm"], rows[1]["threshold_pace_min_km"]) == (190.0, 5.0)


# ------------------------------------------------------------------------------------------------------------ load

HOUR = {"moving_time": 3_600.0, "elapsed_time": 3_600.0}


def test_load_comes_from_pace_else_from_heart_rate_else_is_null(sail: SparkSession) -> None:
    """Threshold 5:00: an hour at 5:00 is 100, at 6:00 it is 69.4. HR max 190, rest 60: threshold is at 170.5 bpm.

    Half an hour at the heart-rate threshold is 50; at or below rest it is 0.
    """
    rows = features(
        sail,
        given := alone(
            [
                activity(**HOUR, distance=12_000.0),
                activity(**HOUR, distance=10_000.0),
                activity(**HOUR, distance=12_000.0, average_heartrate=120.0),
                activity(**HOUR, sport_type="Ride", average_heartrate=170.5),
                activity(moving_time=1_800.0, sport_type="Ride", average_heartrate=170.5),
                activity(**HOUR, distance=None, average_heartrate=170.5),
                activity(**HOUR, sport_type="Ride", average_heartrate=50.0),
                activity(**HOUR, sport_type="Ride", average_heartrate=0.0),
                activity(**HOUR, sport_type="Walk", average_heartrate=125.0),
                activity(**HOUR, sport_type="Walk", average_heartrate=125.0),
            ]
        ),
        athletes=[
            athlete(
                athlete_id=row["athlete_id"],
                threshold_pace_min_km=5.0,
                max_hr_bpm=190.0,
                resting_hr_bpm=60.0,
                sex="female" if row["id"] == 10 else "M",
            )
            for row in given
        ],
    )
    half = 0.5 / 0.85  # 125 bpm is half the reserve
    easy = [100 * half * np.exp(exponent * (0.5 - 0.85)) for exponent in (1.92, 1.67)]
    assert rows.pop(8)["estimated_tss"] is None, "0 bpm is no heart rate"
    assert [row["estimated_tss"] for row in rows.values()] == pytest.approx(
        [100.0, 100 / 1.44, 100.0, 100.0, 50.0, 100.0, 0.0, *easy], rel=1e-9
    )
    assert [row["load_method"] for row in rows.values()] == ["pace"] * 3 + ["heart_rate"] * 6


def test_a_load_over_200_an_hour_is_not_believed(sail: SparkSession) -> None:
    """At a threshold of 8:00, an hour at 5:39.4 is 200 and one at 5:39 is more: then heart rate counts, where known.

    By hand: 90 of 130 beats of reserve, 100 x 0.6923 / 0.85 x e^(1.92 (0.6923 - 0.85)) = 60.17.
    """
    at_limit = 3_600 / (8 / 2**0.5 * 60)
    rows = features(
        sail,
        given := alone(
            [
                activity(**HOUR, distance=at_limit * 1000 * 0.9999),
                activity(**HOUR, distance=at_limit * 1000 * 1.0001),
                activity(**HOUR, distance=at_limit * 1000 * 1.0001, average_heartrate=150.0),
            ]
        ),
        athletes=[athlete(athlete_id=row["athlete_id"], threshold_pace_min_km=8.0, max_hr_bpm=190.0) for row in given],
    )
    assert rows[1]["estimated_tss"] == pytest.approx(200.0, rel=1e-3)
    assert (rows[2]["estimated_tss"], rows[2]["load_method"]) == (None, "none")
    assert rows[2]["intensity_factor"] == pytest.approx(2**0.5, rel=1e-3)
    assert rows[3]["load_method"] == "heart_rate"
    assert rows[3]["estimated_tss"] == pytest.approx(60.17, abs=0.01)


# ------------------------------------------------------------------------------------------------------------ zones


def zones(row: Row) -> list[float | None]:
    return [row[name] for name in ZONES]


def one_hot(zone: int) -> list[float]:
    return [float(number == zone) for number in range(1, 6)]


def test_zones_from_the_average_have_their_edges_at_tenths_of_the_maximum(sail: SparkSession) -> None:
    """HR max 190: edges at 114, 133, 152, 171. 190 of 190, 200 of 190, 80 of 190 and no heart rate are the cases in
    which the zones once were all 0."""
    expected = {80: 1, 113: 1, 114: 2, 132: 2, 133: 3, 151: 3, 152: 4, 170: 4, 171: 5, 190: 5, 200: 5, None: None}
    given = alone(activity(average_heartrate=None if bpm is None else float(bpm)) for bpm in expected)
    rows = features(sail, given, athletes=[athlete(athlete_id=row["athlete_id"], max_hr_bpm=190.0) for row in given])
    for row, zone in zip((rows[n] for n in sorted(rows)), expected.values(), strict=True):
        assert zones(row) == ([None] * 5 if zone is None else one_hot(zone)), row["avg_hr"]
        assert row["hr_zone_method"] == (None if zone is None else "average")


def test_zones_agree_with_another_projects_whole_beats(sail: SparkSession) -> None:
    """Its bounds of 0-60, 61-70, 71-80, 81-90, 91-100 %, rounded to whole beats. The stated difference: a beat on an
    edge (111 of 185 is 60 % exactly, 130 is 70.3 %) belongs to the zone above here, and below 60 % is zone 1, not 0."""
    numbers = {60: 1, 70: 2, 80: 3, 90: 4, None: 5}
    cases = [c for c in oracle("15_hr_zone_bounds_bpm")["cases"] if c["to_pct"] in numbers and c["from_pct"] != 96]
    wanted = [
        (c["hrmax"], float(bpm), numbers[c["to_pct"]])
        for c in cases
        for first, last in [c["expected_bpm"]]
        for bpm in range(max(first, 30), (last or c["hrmax"] + 1))
        if bpm * 10 < c["hrmax"] * (c["to_pct"] or 1_000) // 10
    ]
    assert len(wanted) > 150
    given = alone(activity(average_heartrate=bpm) for _, bpm, _ in wanted)
    stated = [
        athlete(athlete_id=row["athlete_id"], max_hr_bpm=float(hr_max))
        for row, (hr_max, _, _) in zip(given, wanted, strict=True)
    ]
    rows = features(sail, given, athletes=stated)
    assert [zones(rows[n]) for n in sorted(rows)] == [one_hot(zone) for _, _, zone in wanted]


def test_zones_from_splits_are_shares_of_the_time_with_heart_rate(sail: SparkSession) -> None:
    """HR max 200: 100 s at 110, 300 s at 150, 400 s at 185 and 250 s without heart rate."""
    beats = [
        split(1, 1, moving_time=100.0, average_heartrate=110.0),
        split(1, 2, moving_time=300.0, average_heartrate=150.0),
        split(1, 3, moving_time=None, elapsed_time=400.0, average_heartrate=185.0),
        split(1, 4, moving_time=250.0),
        split(1, 5, moving_time=250.0, average_heartrate=0.0),
        split(1, 6, moving_time=-250.0, average_heartrate=150.0),
        split(1, 7, moving_time=float("nan"), elapsed_time=None, average_heartrate=150.0),
        split(2, 1, average_heartrate=0.0),
        split(3, 1, average_heartrate=120.0, athlete_id="b"),
        # written twice: the newest counts
        split(4, 1, average_heartrate=110.0),
        split(4, 1, average_heartrate=190.0, silver_ingestion_timestamp=datetime(2024, 4, 1, tzinfo=timezone.utc)),
        split(4, 1, average_heartrate=150.0, silver_ingestion_timestamp=None),
    ]
    runs = [
        activity(f"2024-03-{n:02} 12:00:00", id=n, average_heartrate=hr)
        for n, hr in ((1, 165.0), (2, 165.0), (3, 165.0), (4, None), (5, None))
    ]
    rows = features(sail, runs, beats, [athlete(max_hr_bpm=200.0), athlete(athlete_id="b", max_hr_bpm=200.0)])
    assert zones(rows[1]) == pytest.approx([0.125, 0.0, 0.375, 0.0, 0.5], abs=1e-12)
    assert zones(rows[2]) == zones(rows[3]) == one_hot(4), "no split of theirs has a heart rate"
    assert zones(rows[4]) == one_hot(5)
    assert zones(rows[5]) == [None] * 5
    assert [rows[n]["hr_zone_method"] for n in range(1, 6)] == ["splits", "average", "average", "splits", None]


# ------------------------------------------------------------------------------------------------------ graded pace


def test_a_graded_pace_is_that_of_equal_effort_on_the_flat(sail: SparkSession) -> None:
    """Runalyze: 5:00 a km up 5 % is 4:01, down 4 % it is 5:59, to half a second. The load follows the graded pace."""
    cases = {
        (case["pace"], case["grade"]): case["flat_pace"]
        for case in oracle("05_minetti_grade_cost_and_pace")["pace_equivalence"]
    }
    assert (cases["5:00", 0.05], cases["5:00", -0.04]) == ("4:01", "5:59")
    runs = [activity(f"2024-03-{n:02} 12:00:00", id=n, distance=5_000.0, moving_time=1_500.0) for n in range(1, 7)]

    def climbing(number: int, metres_a_km: float | None, count: int = 5) -> list[Row]:
        return [split(number, k, elevation_difference=metres_a_km) for k in range(1, count + 1)]

    elevation = [
        *climbing(1, 50.0),
        *climbing(2, -40.0),
        *climbing(3, 0.0),
        *climbing(4, None),
        *climbing(5, 50.0, count=3),  # 3 of 5 km
        *climbing(6, 50.0, count=4),
        split(6, 5, distance=0.0, elevation_difference=12.0),  # on Apache Spark a division by zero would end the run
        split(6, 6, distance=None, elevation_difference=12.0),
        split(6, 7, distance=1.0, elevation_difference=None),
    ]
    rows = features(sail, runs, elevation, [athlete(threshold_pace_min_km=5.0)])
    graded = [rows[n]["grade_adjusted_pace_min_km"] for n in range(1, 7)]
    assert graded == pytest.approx([241 / 60, 359 / 60, 5.0, None, None, 241 / 60], abs=0.5 / 60)
    assert rows[1]["intensity_factor"] == pytest.approx(5.0 / graded[0], rel=EXACT)
    assert rows[1]["estimated_tss"] == pytest.approx(25 / 60 * (5.0 / graded[0]) ** 2 * 100, rel=EXACT)
    assert rows[4]["intensity_factor"] == 1.0
    assert rows[1]["efficiency_index"] is None


# --------------------------------------------------------------------------------------------------------- promises


def season(seed: int, athletes: int = 4, days: int = 150) -> tuple[pa.Table, pa.Table, pa.Table]:
    """Random silver rows, dirty and clean, of a few athletes; what makes thresholds and zones is frequent."""
    draw = random.Random(seed)
    activities, splits = [], []
    for number in range(athletes * days // 2):
        who = str(draw.randrange(athletes))
        start = datetime(2024, 1, 1) + timedelta(days=draw.randrange(days), seconds=draw.randrange(86_400))
        minutes = draw.choice([2, 6, 12, 20, 40, 75]) * draw.uniform(0.95, 1.05)
        speed = draw.choice([2.5, 3.0, 3.9, 4.1, 8.0, None])
        heart_rate = draw.choice([None, 0.0, draw.uniform(100, 190)])
        activities.append(
            activity(
                start.isoformat(sep=" "),
                utc_offset_h=draw.choice([-8, 0, 5.5]),
                id=number,
                athlete_id=draw.choice([who] * 20 + [None]),
                sport_type=draw.choice(["Run", "running", "trail_running", "Ride", "Walk", "generic", None]),
                workout_type=draw.choice([None, 0, 1]),
                distance=speed and speed * minutes * 60 + 200,
                moving_time=draw.choice([minutes * 60.0] * 9 + [None, -1.0]),
                elapsed_time=minutes * 65.0,
                total_elevation_gain=draw.choice([None, 0.0, 80.0]),
                average_heartrate=heart_rate,
                max_heartrate=draw.choice([None, heart_rate and heart_rate + 10, 229.0]),
            )
        )
        splits += [
            split(
                number,
                k,
                athlete_id=who,
                average_heartrate=draw.choice([None, draw.uniform(90, 200)]),
                elevation_difference=draw.uniform(-80, 80),
                moving_time=draw.uniform(200, 500),
                distance=draw.choice([1_000.0] * 9 + [0.0, None]),
                silver_ingestion_timestamp=draw.choice([None, datetime(2024, 6, 1, tzinfo=timezone.utc)]),
            )
            for k in [*range(draw.choice([0, 0, 3, 12])), draw.choice([0, 1])]
        ]
        if draw.random() < 0.05:
            activities.append({**activities[-1], "id": number + 100_000})
    stated = [
        athlete(athlete_id="0", max_hr_bpm=192.0, resting_hr_bpm=48.0, sex="F"),
        athlete(athlete_id="1", birth_year=1990, threshold_pace_min_km=4.5),
        athlete(athlete_id="2", birth_year=1975, sex="M"),
    ]
    return arrow(activities), arrow(splits, SPLITS), arrow(stated, ATHLETES)


def assert_equal(found: pa.Table, expected: pa.Table) -> None:
    """The same rows in any order, floats to 1e-9."""
    order = ["athlete_id", "activity_id"]
    one, other = (table.to_pandas().sort_values(order, ignore_index=True) for table in (found, expected))
    pd.testing.assert_frame_equal(one, other, rtol=1e-9, atol=1e-12)


def test_the_newest_copy_of_a_split_counts_whichever_nulls_the_copies_hold(spark: SparkSession) -> None:
    """(Sail's max() of structs with a null among them is the one that comes last.) HR max 200: 190 bpm is zone 5."""
    older, newer = (datetime(2024, month, 1, tzinfo=timezone.utc) for month in (3, 4))
    copies_of_a_split = [(None, 110.0), (newer, 190.0), (older, None)], [(newer, None), (newer, 190.0), (None, 110.0)]
    splits, number = [], 0
    for copies in copies_of_a_split:
        for order in permutations(copies):
            number += 1
            splits += [split(number, 1, silver_ingestion_timestamp=at, average_heartrate=bpm) for at, bpm in order]
    runs = [activity(f"2024-03-{n:02} 12:00:00", id=n) for n in range(1, number + 1)]
    rows = features(spark, runs, splits, [athlete(max_hr_bpm=200.0)])
    assert [zones(row) for row in rows.values()] == [one_hot(5)] * 12


def test_no_division_by_zero_ends_the_run(spark: SparkSession) -> None:
    """Apache Spark's ANSI mode raises where Sail gives NaN or infinity, even where the quotient is not used after."""
    given = [
        activity(id=1, sport_type="Ride", average_heartrate=150.0),
        activity(id=2, athlete_id="b", sport_type="Walk", distance=0.0, total_elevation_gain=5.0),
        activity(id=3, athlete_id="c"),
    ]
    splits = [
        split(3, 1, athlete_id="c", distance=0.0, elevation_difference=12.0, moving_time=0.0, average_heartrate=150.0),
        split(3, 2, athlete_id="c", distance=10_000.0, elevation_difference=0.0),
    ]
    rows = features(spark, given, splits, [athlete(max_hr_bpm=60.0, resting_hr_bpm=60.0)])
    assert [rows[n]["estimated_tss"] is None for n in (1, 2, 3)] == [True, True, False]
    assert [rows[n]["elevation_per_km"] for n in (1, 2, 3)] == [None] * 3
    assert [rows[n]["grade_adjusted_pace_min_km"] for n in (1, 2, 3)] == [None, None, 5.0]


@given(seed=st.integers(0, 10_000), cut=st.integers(20, 140), length=st.integers(1, 40))
@examples(max_examples=5, deadline=None)
def test_a_window_gets_the_rows_of_the_whole(sail: SparkSession, seed: int, cut: int, length: int) -> None:
    """Promise 1: for any window, and with silver rows of later days or without."""
    activities, splits, athletes = season(seed)
    whole = compute(sail, activities, splits, athletes, Days(date(2024, 1, 1), date(2024, 6, 30)))
    first = date(2024, 1, 1) + timedelta(days=cut)
    days = Days(first, first + timedelta(days=length - 1))
    local_days = activities["start_date_local"].to_pylist()
    known = activities.take([n for n, start in enumerate(local_days) if start.date() <= days.last])
    window = compute(sail, known, splits, athletes, days)
    inside = [days.first <= day.date() <= days.last for day in whole["activity_date"].to_pylist()]
    assert_equal(window, whole.filter(pa.array(inside)))


@pytest.mark.java
def test_both_engines_agree_on_random_rows(sail: SparkSession, apache_spark: SparkSession) -> None:
    given, days = season(seed=7, athletes=12), Days(date(2024, 1, 1), date(2024, 6, 30))
    found = compute(sail, *given, days)
    assert_equal(compute(apache_spark, *given, days), found)
    assert_promised(found)
    seen = found.to_pandas()
    # an all-out effort of 20 to 60 min, which each of these athletes runs, is above critical speed
    assert set(seen.threshold_source) == {"athlete", "best_effort", "default"}
    assert set(seen.load_method) == {"pace", "heart_rate", "none"}
    assert set(seen.hr_max_source.dropna()) == {"athlete", "observed", "age"}
    assert set(seen.hr_zone_method.dropna()) == {"splits", "average"}


def assert_promised(rows: pa.Table) -> None:
    """What holds in any table: zone shares that sum to 1 or are null together, loads in range, unique keys."""
    found = rows.to_pandas()
    assert not found.duplicated(["athlete_id", "activity_id"]).any()
    shares = found[ZONES]
    assert np.allclose(shares.sum(axis=1, skipna=False).dropna(), 1, atol=1e-9)
    assert (shares.notna().all(axis=1) == found.hr_zone_method.notna()).all()
    assert (shares.isna().all(axis=1) == found.hr_zone_method.isna()).all()
    assert (found.estimated_tss.dropna() <= 200 * found.moving_time_min[found.estimated_tss.notna()] / 60).all()
    assert (found.estimated_tss.isna() == (found.load_method == "none")).all()
    assert (found.hr_max_bpm.isna() == found.hr_max_source.isna()).all()


@pytest.fixture(scope="module")
def shared_runs() -> pa.Table:
    return real_runs(shared_file("data/real_runs.parquet"))


def nothing(table: tables.Table) -> pa.Table:
    return arrow([], table)


def real_features(spark: SparkSession, runs: pa.Table) -> pa.Table:
    settings = Settings(as_of=REAL_RUNS_AS_OF)
    days = Days(settings.start_date, settings.today)
    return compute(spark, runs, nothing(SPLITS), nothing(ATHLETES), days, settings)


def test_real_runs_have_plausible_loads(sail: SparkSession, shared_runs: pa.Table) -> None:
    """No oracle knows these runners; the figures of people who train are: 60-90 TSS in most hours of running, and a
    threshold from their own runs once they have some."""
    rows = real_features(sail, shared_runs)
    assert_promised(rows)
    found = rows.to_pandas()
    runs = found[found.sport_type.isin(tables.RUN_SPORTS)]
    an_hour = runs.estimated_tss / runs.moving_time_min * 60
    assert 65 < an_hour.median() < 85
    assert an_hour.quantile(0.95) < 120
    assert runs.estimated_tss.isna().mean() < 0.01
    assert (runs.threshold_source != "default").mean() > 0.9
    assert runs[runs.threshold_source == "critical_speed"].threshold_pace_min_km.between(3, 10).all()


@pytest.mark.java
def test_both_engines_agree_on_real_runs(sail: SparkSession, apache_spark: SparkSession, shared_runs: pa.Table) -> None:
    assert_equal(real_features(apache_spark, shared_runs), real_features(sail, shared_runs))


# ---------------------------------------------------------------------------------------------- continuous efforts


@pytest.mark.parametrize(
    ("moving", "elapsed", "race", "continuous"),
    [
        (2400.0, 2500.0, False, True),  # 4.2 % of pauses
        (2400.0, 2520.0, False, True),  # 5 %
        (2400.0, 2521.0, False, False),
        (920.0, 1760.0, False, False),
        (920.0, 1760.0, True, True),
        (2400.0, 2400.0, False, None),  # nothing tells whether the clock was read
        (2400.0, None, False, None),
        (2400.0, 0.0, False, None),
    ],
)
def test_a_run_says_whether_it_was_continuous(
    sail: SparkSession, moving: float, elapsed: float | None, race: bool, continuous: bool | None
) -> None:
    run = activity(distance=4_000.0, moving_time=moving, elapsed_time=elapsed, workout_type=int(race))
    assert features(sail, [run])[1]["is_continuous"] is continuous


@pytest.mark.parametrize("elapsed", [2200.0, None, 1380.0], ids=["rests", "no clock", "equal to moving time"])
def test_a_session_with_rests_sets_no_threshold(sail: SparkSession, elapsed: float | None) -> None:
    """25 easy runs of 8 km in 48:00 (6 min/km), then 6 km of repetitions in 23 min of motion (3:50 min/km)."""
    easy = [
        activity(f"2024-03-{n:02} 07:00:00", id=n, distance=8_000.0, moving_time=2_880.0, elapsed_time=2_900.0)
        for n in range(1, 26)
    ]
    session = activity("2024-03-27 07:00:00", id=26, distance=6_000.0, moving_time=1_380.0, elapsed_time=elapsed)
    after = activity("2024-03-28 07:00:00", id=27)
    row = features(sail, [*easy, session, after])[27]
    assert (row["threshold_pace_min_km"], row["threshold_source"]) == (pytest.approx(6.0), "best_effort")


# ------------------------------------------------------------------------------- pace that cannot be, or contradicts


def known_runner() -> list[Row]:
    """25 runs of 10 km in 48:20 (4:50 min/km) at 150 bpm with a maximum of 185 bpm each."""
    return [
        activity(f"2024-03-{n:02} 07:00:00", id=n, moving_time=2_900.0, average_heartrate=150.0, max_heartrate=185.0)
        for n in range(1, 26)
    ]


@pytest.mark.parametrize("metres", [105.0, 1_000.0, 2_000.0, 3_500.0], ids=str)
def test_a_treadmill_run_whose_distance_was_lost_is_loaded_by_heart_rate(sail: SparkSession, metres: float) -> None:
    """45 min at 152 bpm, rest 60, maximum 185, M: reserve 92/125 = 0.736, TRIMP 45 x 0.736 x 0.64 x e^(1.92 x 0.736)
    = 87.09; an hour at 0.85 is 166.92; so 52.2."""
    lost = activity(
        "2024-03-28 07:00:00", id=99, distance=metres, moving_time=2_700.0, average_heartrate=152.0, max_heartrate=175.0
    )
    row = features(sail, [*known_runner(), lost])[99]
    assert (row["load_method"], row["hr_max_bpm"]) == ("heart_rate", 185.0)
    assert row["estimated_tss"] == pytest.approx(52.2, abs=0.05)
    assert [row[name] for name in ("pace_min_km", "intensity_factor", "efficiency_index")] == [None] * 3


def test_a_lost_distance_without_heart_rate_leaves_the_load_unknown(sail: SparkSession) -> None:
    row = features(sail, [activity(distance=105.0, moving_time=2_700.0)])[1]
    assert (row["load_method"], row["estimated_tss"], row["pace_min_km"]) == ("none", None, None)


def test_a_ride_by_the_name_of_a_run_is_loaded_by_heart_rate(sail: SparkSession) -> None:
    """15 km in 45 min (3:00 min/km, faster than his threshold by 1.6) at 115 bpm."""
    ride = activity("2024-03-28 07:00:00", id=99, distance=15_000.0, moving_time=2_700.0, average_heartrate=115.0)
    row = features(sail, [*known_runner(), ride])[99]
    assert (row["load_method"], row["pace_min_km"]) == ("heart_rate", None)


@pytest.mark.parametrize("change", [{"average_heartrate": 70.0}, {"distance": 7_500.0}, {"sport_type": "TrailRun"}])
def test_pace_and_heart_rate_that_can_both_be_leave_the_pace(sail: SparkSession, change: dict[str, Any]) -> None:
    """A sensor that slipped, a slow run at a heart rate that fits well enough, an ordinary one on a trail."""
    run = activity("2024-03-28 07:00:00", **{"id": 99, "moving_time": 3_300.0, "average_heartrate": 145.0, **change})
    row = features(sail, [*known_runner(), run])[99]
    assert (row["load_method"], row["pace_min_km"] is None) == ("pace", False)


def test_a_load_that_nobody_holds_by_pace_is_told_by_heart_rate(sail: SparkSession) -> None:
    """10 x 400 m in 23 min of motion, 3:20 min/km beside a threshold of 4:50: 210 points an hour by pace; at 165 bpm,
    rest 60, maximum 185, M: reserve 0.84, 23 x 0.84 x 0.64 x e^(1.92 x 0.84) = 62.0 of 166.92: 37.2."""
    session = activity("2024-03-28 07:00:00", id=99, distance=6_900.0, moving_time=1_380.0, average_heartrate=165.0)
    row = features(sail, [*known_runner(), {**session, "elapsed_time": 2_400.0}])[99]
    assert (row["load_method"], row["estimated_tss"]) == ("heart_rate", pytest.approx(37.2, abs=0.1))


@pytest.mark.parametrize(
    ("flat_m", "graded_pace"), [(11_000.0, 50 / 11), (None, None), (100.0, None), (90_000.0, None)]
)
def test_a_run_without_recording_is_graded_as_its_source_says(
    sail: SparkSession, flat_m: float | None, graded_pace: float | None
) -> None:
    """10 km in 50 min that cost as much as 11 km on the flat."""
    found = features(sail, [activity(grade_adjusted_distance=flat_m)])[1]["grade_adjusted_pace_min_km"]
    assert found == (None if graded_pace is None else pytest.approx(graded_pace))


# --------------------------------------------------------------------------------------------------- dated statements


def test_a_statement_holds_from_its_day_and_no_day_before_sees_it(spark: SparkSession) -> None:
    """At 5:00 min/km for 50 min: IF 5.5/5 by default, 4.5/5 once the threshold pace is stated."""
    runs = [activity(f"2024-03-{n:02} 18:00:00", id=n, average_heartrate=150.0) for n in (1, 2, 3, 4)]
    said = [
        athlete(max_hr_bpm=180.0),
        athlete(valid_from=midnight(date(2024, 3, 2)), max_hr_bpm=185.0, threshold_pace_min_km=4.5),
        athlete(valid_from=midnight(date(2024, 3, 4)), max_hr_bpm=190.0),
        athlete(valid_from=midnight(date(2024, 3, 5)), max_hr_bpm=200.0, threshold_pace_min_km=6.0),
        athlete(athlete_id="b", valid_from=midnight(date(2024, 3, 1)), max_hr_bpm=210.0),
    ]
    rows = features(spark, runs, athletes=said)
    assert [row["hr_max_bpm"] for row in rows.values()] == [180.0, 185.0, 185.0, 190.0]
    assert [row["threshold_source"] for row in rows.values()] == ["default", *["athlete"] * 3]
    tss = [50 / 60 * factor**2 * 100 for factor in (1.1, 0.9, 0.9, 0.9)]
    assert [row["estimated_tss"] for row in rows.values()] == pytest.approx(tss, rel=EXACT)


def test_of_statements_of_one_day_the_athletes_own_word_holds(sail: SparkSession) -> None:
    own = {"source": tables.OWN_WORD}
    for said in permutations([athlete(max_hr_bpm=190.0), athlete(max_hr_bpm=180.0, **own), athlete(max_hr_bpm=170.0)]):
        assert features(sail, [activity()], athletes=said)[1]["hr_max_bpm"] == 180.0


@pytest.mark.parametrize(
    ("said", "basis", "edges"),
    [
        ({}, "max_hr", (114, 133, 152, 171)),
        ({"zone_method": "max_hr"}, "max_hr", (114, 133, 152, 171)),
        # 50 + 140 x 0.6, 0.7, 0.8, 0.9
        ({"zone_method": "hr_reserve", "resting_hr_bpm": 50.0}, "hr_reserve", (134, 148, 162, 176)),
        ({"zone_method": "hr_reserve"}, "max_hr", (114, 133, 152, 171)),  # no one's resting heart rate
        # 160 x 0.85, 0.90, 0.95, 1
        ({"zone_method": "threshold_hr", "threshold_hr_bpm": 160.0}, "threshold_hr", (136, 144, 152, 160)),
        ({"zone_method": "threshold_hr"}, "max_hr", (114, 133, 152, 171)),
        (
            {
                "zone_method": "bounds",
                "zone_2_from_bpm": 120.0,
                "zone_3_from_bpm": 140.0,
                "zone_4_from_bpm": 155.0,
                "zone_5_from_bpm": 170.0,
            },
            "bounds",
            (120, 140, 155, 170),
        ),
        ({"zone_method": "bounds", "zone_2_from_bpm": 120.0}, "max_hr", (114, 133, 152, 171)),
        ({"zone_method": "no such"}, "max_hr", (114, 133, 152, 171)),
    ],
    ids=lambda value: None if isinstance(value, dict) else str(value),
)
def test_zones_begin_where_the_athlete_wants_them(
    sail: SparkSession, said: Row, basis: str, edges: tuple[int, ...]
) -> None:
    """A run just below each edge, and one at it, of a maximum of 190 bpm."""
    beats = [edge - below for edge in edges for below in (1, 0)]
    runs = alone(activity(average_heartrate=float(beat)) for beat in beats)
    athletes = [athlete(athlete_id=run["athlete_id"], max_hr_bpm=190.0, **said) for run in runs]
    rows = features(sail, runs, athletes=athletes)
    found = [1 + ZONES.index(next(zone for zone in ZONES if rows[n][zone] == 1.0)) for n in rows]
    assert found == [1, 2, 2, 3, 3, 4, 4, 5]
    assert {row["hr_zone_basis"] for row in rows.values()} == {basis}


def test_own_bounds_need_no_maximum(sail: SparkSession) -> None:
    bounds = dict(zip([f"zone_{n}_from_bpm" for n in range(2, 6)], (120.0, 140.0, 155.0, 170.0), strict=True))
    runs = [activity(average_heartrate=141.0), activity(id=2, athlete_id="b", average_heartrate=141.0)]
    rows = features(sail, runs, athletes=[athlete(zone_method="bounds", **bounds)])
    assert [(row["hr_zone_3_pct"], row["hr_zone_basis"]) for row in rows.values()] == [(1.0, "bounds"), (None, None)]


def test_load_rests_first_on_what_the_athlete_prefers(spark: SparkSession) -> None:
    """50 min at 150 bpm, rest 60, maximum 190, M: reserve 90/130, TRIMP 50 x 0.6923 x 0.64 x e^(1.92 x 0.6923) = 83.70;
    an hour at 0.85 is 166.92; so 50.14. A run without heart rate keeps its pace."""
    runs = [activity(average_heartrate=150.0), activity("2024-03-05 18:00:00", id=2)]
    said = athlete(max_hr_bpm=190.0, load_preference="heart_rate", valid_from=midnight(date(2024, 3, 4)))
    rows = features(spark, [activity("2024-03-03 18:00:00", id=3, average_heartrate=150.0), *runs], athletes=[said])
    assert [rows[n]["load_method"] for n in (1, 2, 3)] == ["heart_rate", "pace", "pace"]
    assert rows[1]["estimated_tss"] == pytest.approx(50.14, abs=0.01)
    assert rows[1]["pace_min_km"] == 5.0


def test_a_stated_threshold_heart_rate_is_an_hour_of_a_hundred(sail: SparkSession) -> None:
    """Elevate's (oracle 11): TRIMP 333 is 239 where the threshold is 163 of 60..190 bpm, 199 where it is 0.85."""
    rides = alone(activity(sport_type="Ride", moving_time=3_600.0, average_heartrate=163.0) for _ in range(2))
    said = [athlete(athlete_id="1", max_hr_bpm=190.0, threshold_hr_bpm=163.0, resting_hr_bpm=60.0)]
    said.append(athlete(athlete_id="2", max_hr_bpm=190.0, resting_hr_bpm=60.0))
    rows = features(sail, rides, athletes=said)
    assert rows[1]["estimated_tss"] == pytest.approx(100.0, rel=EXACT)
    cases = {case["lthr"]: case for case in oracle("11_hrss_and_rtss")["hrss"]}
    # both figures are of one TRIMP, so the loads are to each other as they are
    ratio = cases[163]["floor_expected"] / cases[170.5]["floor_expected"]
    assert rows[1]["estimated_tss"] / rows[2]["estimated_tss"] == pytest.approx(ratio, abs=0.01)


# ------------------------------------------------------------------------------------- power, own load, exertion


def ridden(**changes: Any) -> Row:
    """An hour on a bicycle at 150 bpm."""
    return activity(**{"sport_type": "Ride", "moving_time": 3_600.0, "average_heartrate": 150.0, **changes})


def test_a_ride_is_loaded_by_power_ahead_of_heart_rate(spark: SparkSession) -> None:
    """An hour at 200 W of 250: 0.8^2 x 100. The power of a run is not that of a bicycle."""
    said = athlete(ftp_w=250.0, max_hr_bpm=190.0, valid_from=midnight(date(2024, 3, 2)))
    power = {"weighted_power_w": 200.0}
    rides = [ridden(**power), activity("2024-03-05 18:00:00", id=2, average_heartrate=150.0, **power)]
    rides += [
        {**ridden(**power), **start} for start in (times("2024-03-01 18:00:00", 3), times("2024-03-06 18:00:00", 4))
    ]
    rides[-1] |= {"sport_type": "EBikeRide"}
    rows = features(spark, rides, athletes=[said])
    assert [rows[n]["load_method"] for n in rows] == ["power", "pace", "none", "heart_rate"]
    assert rows[1]["estimated_tss"] == pytest.approx(64.0)
    assert [rows[1][name] for name in ("weighted_power_w", "ftp_w", "ftp_source")] == [200.0, 250.0, "athlete"]
    assert [rows[2][name] for name in ("weighted_power_w", "ftp_w", "ftp_source")] == [None] * 3


def times(start: str, number: int) -> Row:
    given = activity(start, id=number)
    return {name: given[name] for name in ("id", "start_date", "start_date_local")}


@pytest.mark.parametrize(
    ("changes", "method", "points"),
    [
        ({"own_load": 80.0}, "own", 80.0),
        ({"own_load": 800.0}, "heart_rate", 100 * 0.6923 * math.e ** (1.92 * (0.6923 - 0.85)) / 0.85),  # no one's hour
        ({"perceived_exertion": 10.0}, "heart_rate", 100 * 0.6923 * math.e ** (1.92 * (0.6923 - 0.85)) / 0.85),
        ({"perceived_exertion": 6.0, "average_heartrate": None}, "rpe", 75.0),  # 6 x 60 of 8 x 60
        ({"own_load": 55.0, "perceived_exertion": 6.0, "average_heartrate": None}, "own", 55.0),
        ({"perceived_exertion": 11.0, "average_heartrate": None}, "none", None),
        ({"average_heartrate": None}, "none", None),
    ],
    ids=str,
)
def test_the_athletes_own_load_comes_first_and_exertion_last(
    sail: SparkSession, changes: Row, method: str, points: float | None
) -> None:
    """An hour; 150 of 60..190 bpm are 0.6923 of the reserve."""
    row = features(sail, [ridden(**changes)], athletes=[athlete(max_hr_bpm=190.0)])[1]
    assert (row["load_method"], row["estimated_tss"]) == (
        method,
        None if points is None else pytest.approx(points, rel=1e-4),
    )


def test_a_session_that_was_entered_has_the_load_that_was_said_of_it(sail: SparkSession) -> None:
    """All that is known of it is its day, its length and its sport; of a run the distance is not, either."""
    nothing = dict.fromkeys(tables.STRAVA_ACTIVITIES.column_names)
    told = {**nothing, "athlete_id": "a", "begins": datetime(2024, 5, 6, 12), "moving_time": 2_700.0}
    figures = [(1, "WeightTraining", None, 6.0), (2, "Run", 50.0, None), (3, None, None, 4.0)]
    sessions = [
        {**told, "session_id": n, "sport_type": sport, "own_load": own, "perceived_exertion": rpe}
        for n, sport, own, rpe in figures
    ]
    made = activity_rows(sessions, datetime(2024, 5, 7, tzinfo=timezone.utc)).to_pylist()
    rows = features(sail, alone(made))
    loads = {number: (row["load_method"], row["estimated_tss"]) for number, row in rows.items()}
    assert loads == {1: ("rpe", pytest.approx(56.25)), 2: ("own", 50.0), 3: ("rpe", pytest.approx(37.5))}


def test_an_hour_that_nobody_rides_is_told_by_heart_rate(sail: SparkSession) -> None:
    """300 W of a stated 150 for an hour are 400 points."""
    said = athlete(ftp_w=150.0, max_hr_bpm=190.0)
    assert features(sail, [ridden(weighted_power_w=300.0)], athletes=[said])[1]["load_method"] == "heart_rate"


def test_for_some_days_all_rows_of_those_who_ran_on_them_are_read(sail: SparkSession) -> None:
    days = Days(date(2024, 5, 6), date(2024, 5, 7))
    at = {"before": (4, 23), "first": (6, 0), "last": (7, 23), "after": (8, 0)}
    rows = [
        activity(athlete_id=name, id=number, start_date_local=datetime(2024, 5, day, hour, 59))
        for number, (name, (day, hour)) in enumerate(at.items())
    ]
    rows += [activity(athlete_id=name, id=9, start_date_local=datetime(2023, 1, 1)) for name in at]
    silver = frame(sail, arrow(rows))
    found = of_the_active(silver, silver, days).select("athlete_id", "id").toArrow().to_pylist()
    assert sorted((row["athlete_id"], row["id"]) for row in found) == [
        ("first", 1),
        ("first", 9),
        ("last", 2),
        ("last", 9),
    ]


# ------------------------------------------------------------------------------------ days before that are stored


@given(
    moving=st.lists(st.integers(1, 90_000), min_size=1, max_size=40),
    pauses=st.lists(st.sampled_from([0, 0.001, 0.02, 0.05, 0.0500001, 0.3]), min_size=40, max_size=40),
    metres=st.lists(st.one_of(st.none(), st.integers(1, 9_000_000)), min_size=40, max_size=40),
)
@examples(max_examples=60, deadline=None)
def test_a_stored_activity_tells_thresholds_to_the_bit_what_silver_told(
    moving: list[int], pauses: list[float], metres: list[int | None]
) -> None:
    """Seconds and centimetres, as sources have them, come back from minutes and kilometres as they were."""
    rows = [
        activity(
            id=n,
            sport_type=["Run", "Ride", "TrailRun", "Walk"][n % 4],
            workout_type=n % 3,
            moving_time=float(seconds),
            elapsed_time=None if pauses[n] == 0.001 else round(seconds * (1 + pauses[n]), 1),
            distance=None if metres[n] is None else metres[n] / 100,
        )
        for n, seconds in enumerate(moving)
    ]
    measured = _measured(judged(arrow(rows), Limits.of(SETTINGS)))
    assert _remembered(measured).equals(measured.select(REMEMBERED))


def test_a_day_after_stored_days_is_as_it_is_of_silver_alone(sail: SparkSession) -> None:
    """Of real runners: the history of some days is read from what the whole history stored, the verdicts on it too."""
    settings = Settings(as_of=REAL_RUNS_AS_OF)
    runs = real_runs(shared_file("data/real_runs.parquet"))
    silver, nothing = frame(sail, runs, tables.STRAVA_ACTIVITIES), frame(sail, arrow([], SPLITS), SPLITS)
    stated = frame(
        sail, arrow([athlete(athlete_id=runs["athlete_id"][0].as_py(), max_hr_bpm=191.0)], ATHLETES), ATHLETES
    )
    everything = Days(settings.start_date, settings.today)
    made = computed_here(activity_features(silver, nothing, stated, everything, settings))
    assert made is not None
    whole = fitted(pa.concat_tables(made), tables.ACTIVITY)
    stored = frame(sail, whole, tables.ACTIVITY)
    found = 0
    # in seven days the rows of those who are active count, in more those of all
    for day, length in ((date(2019, 5, 1), 1), (date(2024, 3, 9), 1), (date(2025, 8, 25), 7), (date(2025, 8, 11), 10)):
        days = Days(day, day + timedelta(days=length - 1))
        history = days.starting_earlier(history_days(settings))
        before = stored.where(within(tables.ACTIVITY, Days(history.first, day - timedelta(days=1))))
        rows = judged_activities(silver, nothing, stated, days, settings, past=before)[tables.ACTIVITY]
        of_days = whole.filter(
            (pc.field("activity_date") >= pa.scalar(midnight(days.first), pa.timestamp("us", "UTC")))
            & (pc.field("activity_date") <= pa.scalar(midnight(days.last), pa.timestamp("us", "UTC")))
        )
        assert_same(collected(rows, tables.ACTIVITY), collected(of_days, tables.ACTIVITY))
        found += of_days.num_rows
    assert found > 100
