"""athlete_performance_features: what the runs up to an evening say about race times."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyspark.sql import SparkSession

from athlete_assets import tables
from athlete_assets.days import Days
from athlete_assets.features.daily import daily_features
from athlete_assets.features.performance import (
    LOOKBACK_DAYS,
    USUAL_DAYS,
    USUAL_MIN_DAYS,
    _Cells,
    _Days,
    performance_features,
)
from athlete_assets.store.arrow import arrow_schema
from athlete_assets_tests.features.rows import (
    Activity,
    activity_rows,
    activity_table,
    assert_same,
    collected,
    day,
    on_days,
    training,
)
from athlete_assets_tests.rows import frame


def states(spark: SparkSession, activities: list[Activity], days: Days, **columns: list[Any]) -> pd.DataFrame:
    """The rows of the days; `columns` replaces columns of the activities' rows."""
    rows = activity_table(activities)
    for name, values in columns.items():
        field = arrow_schema(tables.ACTIVITY).field(name)
        rows = rows.set_column(rows.schema.get_field_index(name), field, pa.array(values, field.type))
    features = frame(spark, rows)
    return collected(performance_features(daily_features(features, days), features, days), tables.PERFORMANCE)


def last(rows: pd.DataFrame) -> pd.Series:
    return rows.iloc[-1]


def test_an_evenings_state_by_hand(sail: SparkSession) -> None:
    """Three runs. 5 km in 20:00 is 2501.9 s over 10 km (1200 x 2^1.06); 10 km in 45:00 is 2700 s; so 5 km leads."""
    runs = [
        Activity("a", day(0), km=10.0, minutes=45.0),
        Activity("a", day(30), km=5.0, minutes=20.0),
        Activity("a", day(40), km=2.0, minutes=7.0),  # too short to be an effort, long enough for the volume
    ]
    row = last(states(sail, runs, Days(day(0), day(45))))
    assert row["recent_effort_distance_m"] == 5_000
    assert row["recent_effort_time_s"] == pytest.approx(1_200)
    assert row["recent_effort_age_days"] == 15
    assert np.isnan(row["best_14d_10k_s"])
    assert row["best_30d_10k_s"] == pytest.approx(1_200 * 2**1.06)
    assert row["best_90d_10k_s"] == pytest.approx(1_200 * 2**1.06)
    assert row["median_60d_10k_s"] == pytest.approx((1_200 * 2**1.06 * 2_700) ** 0.5)  # the middle of two logarithms
    assert row["best_10k_60d_s"] == row["latest_10k_s"] == pytest.approx(2_700)
    assert (row["latest_10k_age_days"], row["days_with_10k_60d"], row["days_with_5k_365d"]) == (45, 1, 1)
    assert np.isnan(row["best_half_365d_s"])
    assert row["run_distance_28d_km"] == pytest.approx(7.0)
    assert (row["run_days_28d"], row["run_days_60d"], row["longest_run_28d_km"]) == (2, 2, 5.0)
    assert (row["days_since_run"], row["run_history_days"]) == (5, 45)
    assert np.isnan(row["hard_hr_bpm"])


def test_windows_include_their_first_day_and_not_the_one_before(sail: SparkSession) -> None:
    rows = states(sail, [Activity("a", day(0), km=10.0, minutes=45.0)], Days(day(0), day(61)))
    best = rows["best_10k_60d_s"].to_numpy()
    assert np.isfinite(best[:60]).all()  # day 0 to day 59: the window of 60 days holds day 0
    assert np.isnan(best[60:]).all()
    before = rows["best_10k_before_s"].to_numpy()
    assert np.isnan(before[:60]).all()
    assert np.isfinite(before[60:]).all()


def test_recent_form_goes_before_an_older_best(sail: SparkSession) -> None:
    """40 minutes of 100 days ago do not speak for an athlete who ran 50 last week; 60 days later they do again."""
    runs = [Activity("a", day(0), km=10.0, minutes=40.0), Activity("a", day(93), km=10.0, minutes=50.0)]
    rows = states(sail, runs, Days(day(93), day(160))).set_index("as_of_date")
    assert rows["recent_effort_time_s"].iloc[7] == pytest.approx(3_000)
    assert rows["recent_effort_time_s"].iloc[60] == pytest.approx(2_400)


@pytest.mark.parametrize(("km", "minutes", "counts"), [(21.1, 57.0, False), (21.1, 65.0, True), (10.0, 25.0, False)])
def test_a_vehicle_is_no_effort(sail: SparkSession, km: float, minutes: float, counts: bool) -> None:
    row = last(states(sail, [Activity("a", day(0), km=km, minutes=minutes)], Days(day(0), day(1))))
    assert np.isfinite(row["recent_effort_time_s"]) == counts
    assert row["run_distance_7d_km"] == pytest.approx(km)


def test_the_line_of_speed_over_heart_rate(sail: SparkSession) -> None:
    """Runs on an exact line of log speed over heart rate with the prior's slope, 12 % for 30 bpm: the prior changes
    nothing, and the speed at the hardest heart rate is read off the line."""
    heart_rates = [120.0, 130.0, 140.0, 150.0, 160.0, 160.0, 160.0, 160.0, 160.0, 160.0]
    minutes = [50.0 * float(np.exp(-0.12 * (bpm - 145) / 30)) for bpm in heart_rates]
    runs = [Activity("a", day(n), minutes=time) for n, time in enumerate(minutes)]
    row = last(states(sail, runs, Days(day(0), day(9)), avg_hr=heart_rates))
    assert row["hard_hr_bpm"] == pytest.approx(160.0)
    assert row["hr_slope"] == pytest.approx(0.12, rel=1e-9)
    assert row["hr_predicted_10k_s"] == pytest.approx(3_000 * np.exp(-0.12 * 15 / 30), rel=1e-9)
    assert row["usual_hr_share"] == pytest.approx(np.mean(heart_rates) / 160)
    assert row["hard_days_180d"] == 2  # the ninth and tenth run: 8 days with heart rate lie before them


def test_no_day_reads_its_future(sail: SparkSession) -> None:
    """The rows up to a day are the same whether or not anything happened after it."""
    past = [Activity("a", day(3 * n), minutes=50 - n) for n in range(10)]
    future = [Activity("a", day(28 + n), km=10.0, minutes=31.0) for n in range(5)]
    days = Days(day(0), day(27))
    assert_same(states(sail, past, days), states(sail, past + future, days))


@given(activities=training(days=460), cut=st.integers(1, 458))
@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_later_range_alone_gives_the_rows_of_the_whole(
    sail: SparkSession, activities: list[Activity], cut: int
) -> None:
    """Pure by date: the days from a cut on, from LOOKBACK_DAYS of runs alone, are those of the whole history."""
    whole, later = Days(day(0), day(459)), Days(day(cut), day(459))
    everything = states(sail, activities, whole)
    known = [one for one in activities if one.day >= later.first - timedelta(days=LOOKBACK_DAYS)]
    rows = activity_rows(sail, known)
    daily = daily_features(activity_rows(sail, activities), later)
    alone = collected(performance_features(daily, rows, later), tables.PERFORMANCE)
    assert_same(alone, on_days(everything, tables.PERFORMANCE, later))


@pytest.mark.java
def test_both_engines_agree(sail: SparkSession, apache_spark: SparkSession) -> None:
    random = np.random.default_rng(5)
    runs = [
        Activity(
            str(random.choice(list("abc"))),
            day(int(random.integers(0, 300))),
            km=float(random.choice([3, 5, 8, 10, 15, 21.1])),
            minutes=float(random.uniform(20, 110)),
        )
        for _ in range(200)
    ]
    bpm = [float(value) for value in random.uniform(120, 180, len(runs))]
    days = Days(day(0), day(300))
    assert_same(states(sail, runs, days, avg_hr=bpm), states(apache_spark, runs, days, avg_hr=bpm))


@pytest.mark.parametrize(
    ("elapsed", "marked"),
    [(1760.0, False), (968.0, False), (920.0, False), (None, False), (1760.0, True)],
    ids=["rests of 14 min", "pauses of 5.2 %", "elapsed equal to moving", "elapsed unknown", "a race with a stop"],
)
def test_repetitions_with_rests_are_no_effort(sail: SparkSession, elapsed: float | None, marked: bool) -> None:
    """10 x 400 m in 920 s of motion beside easy runs of 8 km in 48:00: Riegel from 8 km gives 5 km in 29:10.

    2880 s x (5 / 8)^1.06 = 1750 s. Marked as a race, the session counts by the clock: 1760 s for 4 km, which is slower
    than the easy runs, 2880 s x 0.5^1.06 = 1381 s.
    """
    easy = [Activity("a", day(n), km=8.0, minutes=48.0) for n in range(25)]
    session = Activity("a", day(26), km=4.0, minutes=920 / 60)
    row = last(
        states(
            sail,
            [*easy, session],
            Days(day(0), day(31)),
            elapsed_time_min=[2900 / 60] * 25 + [elapsed and elapsed / 60],
            is_race=[False] * 25 + [marked],
        )
    )
    time = row["recent_effort_time_s"] * (5_000 / row["recent_effort_distance_m"]) ** 1.06
    assert time == pytest.approx(1750, abs=1)
    assert row["best_365d_10k_s"] == pytest.approx(2880 * 1.25**1.06)
    assert row["run_distance_28d_km"] == pytest.approx(21 * 8 + 4)  # it is volume all the same


def test_a_pause_of_a_twentieth_is_still_continuous(sail: SparkSession) -> None:
    row = last(states(sail, [Activity("a", day(0), minutes=40.0)], Days(day(0), day(0)), elapsed_time_min=[42.0]))
    assert row["recent_effort_time_s"] == pytest.approx(2400)


CALENDAR, SPRING = 800, 500
ATHLETES, EVENINGS = st.integers(0, 1), st.integers(USUAL_DAYS, CALENDAR - 1)
LEVELS, AROUND = st.sampled_from([7.5, 8.0, 8.5]), st.sampled_from([-0.5, -0.1, 0.0, 0.1, 0.5])


@st.composite
def seasons(draw: st.DrawFn) -> dict[tuple[int, int], float]:
    """The days of two athletes who run about one level before spring and about another one after it."""
    levels = [[draw(LEVELS), draw(LEVELS)] for _ in range(2)]
    drawn = draw(st.dictionaries(st.tuples(ATHLETES, EVENINGS), AROUND, min_size=20, max_size=60))
    return {(who, on): levels[who][on >= SPRING] + away for (who, on), away in drawn.items()}


@settings(max_examples=500, deadline=None)
@given(known=seasons(), steps=st.lists(st.tuples(ATHLETES, EVENINGS, LEVELS, AROUND), min_size=10))
def test_a_median_that_is_not_asked_for_would_have_told_nothing(
    known: dict[tuple[int, int], float], steps: list[tuple[int, int, float, float]]
) -> None:
    """Against medians put together by hand: whoever leads by more is asked for, whatever the bound."""
    cells = sorted(athlete * CALENDAR + on for athlete, on in known)
    values = [known[divmod(cell, CALENDAR)] for cell in cells]
    days = _Days(np.array(cells, dtype=np.int64), np.array(values), _Cells(0, CALENDAR))
    asked = np.array([athlete * CALENDAR + evening for athlete, evening, _, _ in steps])
    may = days.may_lead_by(0.25, asked, np.array([level + away for _, _, level, away in steps]))
    for (athlete, evening, level, away), is_asked in zip(steps, may, strict=True):
        window = [known[who, on] for who, on in known if who == athlete and evening - USUAL_DAYS < on <= evening]
        leads = len(window) >= USUAL_MIN_DAYS and float(np.median(window)) - (level + away) > 0.25
        assert is_asked or not leads


def test_of_an_ordinary_run_no_median_is_asked_for() -> None:
    steady = np.arange(200, 260)
    days = _Days(steady, np.full(len(steady), 8.0), _Cells(0, CALENDAR))
    assert days.may_lead_by(0.25, np.array([259, 259, 259]), np.array([8.1, 7.9, 7.5])).tolist() == [False, False, True]


def test_half_of_the_days_bound_no_median() -> None:
    """Between three days at 8.0, under the bound of 8.09, and three at 9.0 the median is 8.5."""
    cells, values = [*range(200, 220), *range(600, 606)], [*[7.9] * 20, *[8.0] * 3, *[9.0] * 3]
    days = _Days(np.array(cells), np.array(values), _Cells(0, CALENDAR))
    assert days.may_lead_by(0.25, np.array([605]), np.array([8.1])).tolist() == [True]
