"""athlete_weekly_features: the week from Monday to Sunday."""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import reduce
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyspark.sql import DataFrame, SparkSession

from athlete_assets import tables
from athlete_assets.days import Days
from athlete_assets.features.cells import first_epoch_day
from athlete_assets.features.daily import daily_features
from athlete_assets.features.weekly import bucket_weeks, weekly_features
from athlete_assets_tests.features.rows import Activity, activity_rows, collected, daily_rows, daily_table, day, no_rows
from athlete_assets_tests.formulas.test_race_times import oracle


def weekly(spark: SparkSession, loads: Sequence[float], weeks: Days, **daily_columns: Any) -> pd.DataFrame:
    return collected(weekly_features(daily_rows(spark, loads, **daily_columns), weeks), tables.WEEKLY)


WEEK = Days(day(0), day(6))


def test_a_week_runs_from_monday_to_sunday(sail: SparkSession) -> None:
    rows = weekly(sail, [10] * 15, Days(day(0), day(20)), first=day(-1))
    assert [stamp.date() for stamp in rows["week_start"]] == [day(0), day(7)]
    assert rows["weekly_tss"].tolist() == [70, 70]
    assert weekly(sail, [10] * 15, Days(day(-7), day(-1)), first=day(-1))["weekly_tss"].tolist() == [10]


def test_a_week_adds_up_its_days(sail: SparkSession) -> None:
    """By hand: 10 km in 50 min, 5 km in 20 min on two days, a ride of 30 km in 60 min on one of them."""
    activities = [
        Activity("a", day(1), km=10, minutes=50, load=60, climb=100.0),
        Activity("a", day(1), km=30, minutes=60, load=40, sport="Ride"),
        Activity("a", day(6), km=5, minutes=20, load=None),
    ]
    days = daily_features(activity_rows(sail, activities), WEEK)
    row = collected(weekly_features(days, WEEK), tables.WEEKLY).iloc[0]
    assert row["weekly_distance_km"] == pytest.approx(45)
    assert row["weekly_activities"] == 3
    assert row["weekly_tss"] == pytest.approx(100)
    assert row["weekly_elevation_m"] == pytest.approx(100)
    assert row["weekly_moving_time_min"] == pytest.approx(130)
    assert row["avg_pace_week"] == pytest.approx(70 / 15)
    assert row["longest_run_km"] == pytest.approx(10)
    assert row["active_days"] == 2


def test_foster_monotony_and_strain(spark: SparkSession) -> None:
    """Oracle 04 on both engines: POPULATION deviation, cap 10; null where the peer gives 0 (an empty week).

    To 3e-4: one of its numbers rounds the deviation before the division. Each case is an athlete.
    """
    cases = oracle("04_foster_monotony_strain")["cases"]
    days = [daily_rows(spark, case["loads"] or [0] * 7, athlete=str(index)) for index, case in enumerate(cases)]
    days.append(daily_rows(spark, [10, 20, 30, 40], first=day(3), athlete="padded"))
    rows = collected(weekly_features(reduce(DataFrame.unionAll, days), WEEK), tables.WEEKLY).set_index("athlete_id")
    monotony, strain = rows["training_monotony"], rows["training_strain"]
    for athlete, case in enumerate(cases):
        if not case["loads"]:
            assert case["monotony"] == 0
            assert pd.isna(monotony[str(athlete)])
            assert pd.isna(strain[str(athlete)])
        elif isinstance(case["monotony"], str):  # "equals [10,20,30,40] padded with zeros"
            assert monotony[str(athlete)] == pytest.approx(monotony["padded"], rel=1e-12)
        else:
            assert monotony[str(athlete)] == pytest.approx(case["monotony"], rel=3e-4)
        if case["strain"]:
            assert strain[str(athlete)] == pytest.approx(case["strain"], rel=3e-4)


def test_seven_equal_days_are_the_cap(spark: SparkSession) -> None:
    """On both engines: a constant week has a deviation of 0, of NaN or of a last-bit residue, as the engine likes."""
    loads = {"tenth": 0.1, "third": 1 / 3, "seventy": 70.0}
    days = reduce(DataFrame.unionAll, [daily_rows(spark, [load] * 7, athlete=name) for name, load in loads.items()])
    rows = collected(weekly_features(days, WEEK), tables.WEEKLY).set_index("athlete_id")
    assert rows["training_monotony"].tolist() == [10.0] * 3
    for name, load in loads.items():
        assert rows["training_strain"][name] == pytest.approx(7 * load * 10)


def test_each_day_of_the_week_counts(spark: SparkSession) -> None:
    """On both engines: Sail's weekday() gives -1 for a Sunday; a load on that day alone must weigh as on any other.

    One day of 70 in seven: mean 10, deviation sqrt((60^2 + 6 x 10^2) / 7) = sqrt(600).
    """
    days = [daily_rows(spark, [70.0 * (n == on) for n in range(7)], athlete=str(on)) for on in range(7)]
    rows = collected(weekly_features(reduce(DataFrame.unionAll, days), WEEK), tables.WEEKLY)
    assert rows["training_monotony"].tolist() == pytest.approx([10 / 600**0.5] * 7, rel=1e-12)


def test_days_still_to_come_count_as_no_load(sail: SparkSession) -> None:
    """Monday 70, then the running week has no row: mean 10, deviation sqrt(600), as if the week were over."""
    row = weekly(sail, [70], WEEK).iloc[0]
    assert row["training_monotony"] == pytest.approx(10 / 600**0.5)
    assert row["training_strain"] == pytest.approx(70 * 10 / 600**0.5)


def test_change_of_distance_against_the_week_before(sail: SparkSession) -> None:
    """40 km, 50 km, none, 10 km: +25 %, -100 %, null (the week before has none); the first week has none before it."""
    distances = [40.0] + [0.0] * 6 + [50.0] + [0.0] * 6 + [0.0] * 7 + [10.0] + [0.0] * 6
    loads = [float(km > 0) for km in distances]
    rows = weekly(sail, loads, Days(day(0), day(27)), distance_km=distances)
    assert rows["distance_change_pct"].tolist()[1:3] == pytest.approx([25, -100])
    assert rows["distance_change_pct"].isna().tolist() == [True, False, False, True]


def test_the_week_before_is_read_from_outside_the_window_but_not_given(sail: SparkSession) -> None:
    distances = [40.0] + [0.0] * 6 + [50.0] + [0.0] * 6
    rows = weekly(sail, [float(km > 0) for km in distances], Days(day(7), day(13)), distance_km=distances)
    assert [stamp.date() for stamp in rows["week_start"]] == [day(7)]
    assert rows["distance_change_pct"].tolist() == pytest.approx([25])


def test_a_week_missing_between_is_not_the_week_before(sail: SparkSession) -> None:
    days = daily_rows(sail, [1.0] * 7).unionAll(daily_rows(sail, [1.0] * 7, first=day(14)))
    rows = collected(weekly_features(days, Days(day(0), day(20))), tables.WEEKLY)
    assert rows["distance_change_pct"].isna().all()


def test_the_month_is_the_monday_s(sail: SparkSession) -> None:
    """Monday 29 January 2024: a week of two months lies in one partition."""
    rows = weekly(sail, [10.0] * 7, Days(day(28), day(34)), first=day(28))
    assert rows["month"].tolist() == ["2024-01"]


def test_no_days_are_no_weeks(sail: SparkSession) -> None:
    assert collected(weekly_features(no_rows(sail, tables.DAILY), WEEK), tables.WEEKLY).empty


@given(loads=st.lists(st.floats(0, 500), min_size=1, max_size=40), seed=st.randoms(use_true_random=False))
def test_a_week_has_the_same_bits_in_whatever_order_its_days_come(loads: list[float], seed: random.Random) -> None:
    days = pa.concat_tables([daily_table(loads, athlete="a"), daily_table(loads[::-1], athlete="b")])
    order = list(range(len(days)))
    seed.shuffle(order)
    in_order, shuffled = (
        bucket_weeks({"days": rows}, first_epoch_day(Days(day(0), day(0))), 6) for rows in (days, days.take(order))
    )
    keys = [("athlete_id", "ascending"), ("week_start", "ascending")]
    assert shuffled.sort_by(keys).equals(in_order.sort_by(keys))
    assert len(in_order) == 2 * -(-len(loads) // 7)
