"""Checks across tables pass on rows that agree and fail, with their numbers, where one side was tampered with."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession

from athlete_assets import tables
from athlete_assets.days import Days, midnight
from athlete_assets.monitoring import consistency
from athlete_assets_tests.rows import rows

MONDAY = date(2024, 5, 6)
WEEK = Days(MONDAY, MONDAY + timedelta(days=6))
Frame = Callable[..., DataFrame]


@pytest.fixture
def frame(sail: SparkSession) -> Frame:
    def made(table: tables.Table, *given: dict[str, Any]) -> DataFrame:
        return sail.createDataFrame(rows(table, *given))

    return made


def at(day: int) -> Any:
    return midnight(MONDAY + timedelta(days=day))


def activity(day: int, id: int, km: float, tss: float | None) -> dict[str, Any]:
    values = {"athlete_id": "ann", "activity_id": id, "activity_date": at(day), "distance_km": km}
    return {**values, "moving_time_min": km * 5, "estimated_tss": tss, "load_method": "pace" if tss else "none"}


def daily(day: int, km: float, tss: float, activities: int = 1, athlete: str = "ann") -> dict[str, Any]:
    values = {"athlete_id": athlete, "activity_date": at(day), "distance_km": km, "daily_tss": tss}
    return {**values, "moving_time_min": km * 5, "activities": activities, "elevation_gain_m": 0.0}


def test_daily_sums_that_are_those_of_the_activities_pass_and_others_fail(frame: Frame) -> None:
    activities = frame(
        tables.ACTIVITY, activity(0, 1, 5.0, 40.0), activity(0, 2, 3.0, None), activity(2, 3, 10.0, 80.0)
    )
    good = frame(tables.DAILY, daily(0, 8.0, 40.0, 2), daily(1, 0.0, 0.0, 0), daily(2, 10.0, 80.0))
    assert consistency.activities_add_up(activities, good).passed
    lost = consistency.activities_add_up(activities, frame(tables.DAILY, daily(0, 8.0, 40.0, 2)))
    assert not lost.passed
    assert (lost.numbers["activities_in"], lost.numbers["activities_out"]) == (3.0, 2.0)
    assert lost.numbers["daily_tss_out"] == 40.0


def test_a_missing_day_is_a_gap(frame: Frame) -> None:
    bob = [daily(day, 0.0, 0.0, 0, "bob") for day in (5, 6)]
    assert consistency.no_gaps(frame(tables.DAILY, *(daily(day, 0, 0, 0) for day in range(7)), *bob), WEEK).passed
    gap = consistency.no_gaps(frame(tables.DAILY, *(daily(day, 0, 0, 0) for day in (0, 1, 3, 4, 5, 6)), *bob), WEEK)
    assert (gap.passed, gap.numbers["athletes_with_gaps"], gap.numbers["missing_days"]) == (False, 1, 1)
    ended = consistency.no_gaps(frame(tables.DAILY, *(daily(day, 0, 0, 0) for day in range(6))), WEEK)
    assert not ended.passed


def test_a_week_that_is_not_the_sum_of_its_days_fails(frame: Frame) -> None:
    days = frame(tables.DAILY, daily(0, 8.0, 40.0, 2), daily(6, 12.0, 90.0))
    week = {"athlete_id": "ann", "week_start": at(0), "weekly_distance_km": 20.0, "weekly_activities": 3}
    week |= {"weekly_tss": 130.0, "weekly_elevation_m": 0.0, "weekly_moving_time_min": 100.0}
    assert consistency.weekly_is_sum_of_daily(days, frame(tables.WEEKLY, week)).passed
    for wrong in ({**week, "weekly_tss": 130.1}, {**week, "athlete_id": "bob"}, {**week, "week_start": at(7)}):
        assert not consistency.weekly_is_sum_of_daily(days, frame(tables.WEEKLY, wrong)).passed


def test_a_row_for_each_day_of_the_calendar(frame: Frame) -> None:
    days = frame(tables.DAILY, *(daily(day, 0, 0, 0) for day in range(3)))
    states = [{"athlete_id": "ann", "as_of_date": at(day)} for day in range(4)]
    assert consistency.one_row_a_day("x", days, frame(tables.ROLLING, *states[:3]), tables.ROLLING).passed
    short = consistency.one_row_a_day("x", days, frame(tables.ROLLING, *states[1:]), tables.ROLLING)
    assert (short.passed, short.numbers["missing"], short.numbers["surplus"]) == (False, 1, 1)


def test_fitness_ties_out_with_the_recursion_and_a_shifted_one_does_not(frame: Frame) -> None:
    """Two days of 100 TSS from nothing: ctl = 100 (1 - e^(-2/42)), atl = 100 (1 - e^(-2/7))."""
    days = frame(tables.DAILY, daily(5, 10, 100.0), daily(6, 10, 100.0))
    state = {"athlete_id": "ann", "as_of_date": at(6), "ctl_42d": 100 * (1 - math.exp(-2 / 42))}
    state["atl_7d"] = 100 * (1 - math.exp(-2 / 7))
    found = consistency.fitness_tie_out(days, frame(tables.ROLLING, state), WEEK)
    assert (found.passed, found.numbers["athletes"]) == (True, 1)
    shifted = {**state, "ctl_42d": 2.353}
    assert not consistency.fitness_tie_out(days, frame(tables.ROLLING, shifted), WEEK).passed


@pytest.mark.parametrize(
    ("now", "before", "passes"),
    [
        ((95, 5), (950, 50), True),  # as ever
        ((80, 20), (950, 50), False),  # 20 % against 5 %
        ((80, 20), (900, 100), True),  # 20 % where 10 % is usual
        ((80, 20), (0, 0), False),  # without history up to 10 %
        ((95, 5), (0, 0), True),
        ((2, 8), (950, 50), True),  # too few rows to tell
    ],
)
def test_the_share_of_rejects_is_held_against_the_year_before(
    now: tuple[int, int], before: tuple[int, int], passes: bool
) -> None:
    found = consistency.share_of_rejects(*now, *before)
    assert (found.passed, found.severity) == (passes, "warning")


def test_the_share_without_load_is_held_against_the_year_before(frame: Frame) -> None:
    some = frame(tables.ACTIVITY, *(activity(0, n, 5.0, 40.0 if n % 2 else None) for n in range(40)))
    all_ = frame(tables.ACTIVITY, *(activity(0, n, 5.0, 40.0) for n in range(40)))
    assert not consistency.share_without_load(some, all_).passed
    assert consistency.share_without_load(some, some).passed
    assert consistency.share_without_load(all_, all_).passed


def test_the_year_before_ends_on_the_day_before() -> None:
    before = consistency.year_before(WEEK)
    assert (before.last, len(before)) == (MONDAY - timedelta(days=1), 365)
