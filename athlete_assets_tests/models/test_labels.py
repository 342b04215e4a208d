"""Labels are chosen by effort, and a disruption is what the definition says, day for day."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyspark.sql import SparkSession

from athlete_assets import tables
from athlete_assets.days import midnight
from athlete_assets.models import labels
from athlete_assets.store.arrow import arrow_schema
from athlete_assets_tests.features.rows import Activity, activity_table, assert_same, collected, daily_rows, day
from athlete_assets_tests.rows import frame


def efforts(spark: SparkSession, activities: list[Activity], **columns: list[Any]) -> pd.DataFrame:
    rows = activity_table(activities)
    for name, values in columns.items():
        field = arrow_schema(tables.ACTIVITY).field(name)
        rows = rows.set_column(rows.schema.get_field_index(name), field, pa.array(values, field.type))
    return collected(labels.race_efforts(frame(spark, rows)), tables.RACE_EFFORTS)


def test_a_marked_race_counts_with_its_elapsed_time(sail: SparkSession) -> None:
    """10.1 km in 40 min moving and 41 elapsed: 2460 s x (10/10.1)^1.06 = 2434.19 s; looked up the day before."""
    rows = efforts(sail, [Activity("a", day(9), km=10.1, minutes=40.0)], is_race=[True], elapsed_time_min=[41.0])
    (row,) = rows.to_dict("records")
    assert (row["distance"], row["effort"], row["tier"]) == ("10k", "race", 1)
    assert row["time_s"] == pytest.approx(2434.19, abs=0.01)
    assert row["activity_date"] == pd.Timestamp(midnight(day(9)))
    assert row["lookup_timestamp"] == pd.Timestamp(midnight(day(8)))


def test_an_ordinary_run_is_no_effort_however_fast(sail: SparkSession) -> None:
    """The fastest of two tries, without heart rate and not marked: nothing says that it was hard."""
    runs = [Activity("a", day(0), minutes=55.0), Activity("a", day(1), minutes=34.0)]
    assert efforts(sail, runs).empty


def test_the_best_of_three_tries_in_a_block(sail: SparkSession) -> None:
    minutes = [50.0, 47.0, 52.0]
    first = (-(labels_epoch_day(0)) % labels.BLOCK_DAYS) + 1  # inside one block
    runs = [Activity("a", day(first + n), minutes=time) for n, time in enumerate(minutes)]
    rows = efforts(sail, runs)
    assert rows[["activity_id", "effort"]].values.tolist() == [[1, "block_best"]]


def labels_epoch_day(offset: int) -> int:
    return (day(offset) - pd.Timestamp("1970-01-01").date()).days


def test_the_hardest_tenth_by_heart_rate(sail: SparkSession) -> None:
    """Of 20 runs 100 days apart the two with the highest heart rate, though they were the slowest."""
    heart_rates = [130.0 + n for n in range(20)]
    runs = [Activity("a", day(100 * n), minutes=45.0 + n) for n in range(20)]
    rows = efforts(sail, runs, avg_hr=heart_rates)
    assert rows["avg_hr"].tolist() == [148.0, 149.0]
    assert set(rows["effort"]) == {"heart_rate"}


@pytest.mark.parametrize(
    ("activity", "changed"),
    [
        (Activity("a", day(0), km=9.7), {}),
        (Activity("a", day(0), km=10.5), {}),
        (Activity("a", day(0), sport="TrailRun"), {}),
        (Activity("a", day(0), sport="Ride"), {}),
        (Activity("a", day(0), minutes=24.0), {}),
    ],
    ids=["short", "long", "trail", "ride", "faster than the world record"],
)
def test_what_is_no_race_over_the_distance(sail: SparkSession, activity: Activity, changed: dict[str, Any]) -> None:
    assert efforts(sail, [activity], is_race=[True]).empty


def test_a_training_run_with_a_long_pause_is_no_effort(sail: SparkSession) -> None:
    """The fastest of four stood still for 10 minutes; the next best that did not counts."""
    first = (-(labels_epoch_day(0)) % labels.BLOCK_DAYS) + 1
    minutes, elapsed = [50.0, 40.0, 52.0, 51.0], [50.0, 50.0, 52.0, 51.0]
    runs = [Activity("a", day(first + n), minutes=time) for n, time in enumerate(minutes)]
    assert efforts(sail, runs, elapsed_time_min=elapsed)["activity_id"].tolist() == [0]


def test_what_was_no_effort_is_not_learned_from_and_says_why(sail: SparkSession) -> None:
    """60 min is usual over 10 km. Three hard runs: 61 min is slower, 44.4 a ride (60 / 44.4 = 1.351), 44.5 a run.

    Of the races, one in 44 min is believed, and one whose clock ran 61 min for 50 of moving had a pause (1.22).
    """
    usual = [Activity("a", day(6 * n), minutes=60.0) for n in range(25)]
    hard = [Activity("a", day(70 + n), minutes=time) for n, time in enumerate([61.0, 44.4, 44.5])]
    races = [Activity("a", day(80), minutes=44.0), Activity("a", day(81), minutes=50.0)]
    rows = efforts(
        sail,
        [*usual, *hard, *races],
        avg_hr=[140.0] * 25 + [170.0, 171.0, 172.0] + [None] * 2,
        is_race=[False] * 28 + [True] * 2,
        elapsed_time_min=[None] * 29 + [61.0],
    )
    assert rows.set_index("activity_id").loc[[25, 26, 27, 28, 29], "left_out"].tolist() == [
        labels.SLOWER,
        labels.TOO_FAST,
        None,
        None,
        labels.LONG_PAUSE,
    ]


def test_usual_is_the_athletes_own_and_of_the_same_season(sail: SparkSession) -> None:
    """A race in 50 min beside four runs in 40 (too few to say), the next athlete's 25, and 20 of the year before."""
    beside = [Activity("a", day(400 + n), minutes=40.0) for n in range(3)]
    before = [Activity("a", day(n), minutes=40.0) for n in range(20)]
    others = [Activity("b", day(400 + n), minutes=40.0) for n in range(25)]
    runs = [Activity("a", day(404), minutes=50.0), *beside, *before, *others]
    rows = efforts(sail, runs, is_race=[True] + [False] * (len(runs) - 1))
    assert rows.set_index(["athlete_id", "activity_id"]).loc[("a", 0), "left_out"] is None


@given(shuffled=st.permutations(range(12)))
@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_order_of_rows_does_not_matter(sail: SparkSession, shuffled: list[int]) -> None:
    runs = [Activity("ab"[n % 2], day(n), minutes=50.0 + n % 3) for n in range(12)]
    rows = activity_table(runs)
    one = collected(labels.race_efforts(frame(sail, rows)), tables.RACE_EFFORTS)
    other = collected(labels.race_efforts(frame(sail, rows.take(shuffled))), tables.RACE_EFFORTS)
    assert_same(one, other)


# ----------------------------------------------------------------------------------------------------- disruptions


def disruptions(spark: SparkSession, loads: list[float], **columns: Any) -> dict[int, bool]:
    """Outcome by day offset, of a calendar that begins on a Monday."""
    rows = collected(labels.training_disruptions(daily_rows(spark, loads, **columns)), tables.DISRUPTIONS)
    offsets = [(stamp.date() - day(0)).days for stamp in rows["as_of_date"]]
    return dict(zip(offsets, rows["disrupted"], strict=True))


def test_a_week_off_is_seen_from_the_two_sundays_before_it(sail: SparkSession) -> None:
    """Every other day for 8 weeks, 7 days off from day 56 (a Monday) on, then training again.

    Sundays are days 6, 13, ... Until day 27 there is too little history. The break of days 56..62 (day 54 active, so
    days 55..61 are the first empty week) begins within 14 days after the Sundays 41 (55 = 41 + 14), 48 and 55.
    """
    loads = [float(n % 2 == 0 and not 56 <= n <= 62) * 50 for n in range(140)]
    outcome = disruptions(sail, loads)
    assert [offset for offset, disrupted in outcome.items() if disrupted] == [41, 48, 55]
    assert min(outcome) == 27
    assert max(outcome) == 118  # 139 - 20 is day 119; the last Sunday before it is day 118
    assert 62 not in outcome  # in the middle of the break: nothing to warn of any more


def test_rest_after_a_half_marathon_is_no_disruption(sail: SparkSession) -> None:
    loads = [float(n % 2 == 0) * 50 for n in range(140)]
    longest: list[float | None] = [10.0 if load else None for load in loads]
    longest[60] = 21.2
    outcome = disruptions(sail, loads, longest_run_km=longest)
    assert {62, 69} & set(outcome) == set()  # days 60 to 73
    assert {55, 76} <= set(outcome)


def test_nobody_who_does_not_train_is_at_risk(sail: SparkSession) -> None:
    assert disruptions(sail, [50.0] + [0.0] * 90) == {}


@given(active=st.lists(st.booleans(), min_size=60, max_size=120))
@settings(max_examples=30, deadline=None)
def test_the_outcome_by_the_words_of_the_definition(active: list[bool]) -> None:
    """Looked up day by day, without any of the sums that the code uses."""
    import numpy as np

    at_risk, outcome = labels._disruptions(np.array(active), np.full(len(active), np.nan))
    for today in np.flatnonzero(at_risk):
        followed = any(not any(active[start : start + 7]) for start in range(today + 1, today + 15))
        assert outcome[today] == followed
        assert sum(active[today - 27 : today + 1]) >= 4
        assert any(active[today - 6 : today + 1])
        assert today + 20 < len(active)


@pytest.mark.java
def test_both_engines_agree(sail: SparkSession, apache_spark: SparkSession) -> None:
    runs = [Activity("abc"[n % 3], day(n), km=10.0 if n % 2 else 5.0, minutes=30.0 + n % 7) for n in range(200)]
    bpm = [140.0 + n % 23 for n in range(200)]
    assert_same(efforts(sail, runs, avg_hr=bpm), efforts(apache_spark, runs, avg_hr=bpm))
    loads = [float(n % 5 > 1 and n % 31 > 9) for n in range(300)]
    assert disruptions(sail, loads) == disruptions(apache_spark, loads)
