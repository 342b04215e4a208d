"""Checks across tables pass on rows that agree and fail, with their numbers, where one side was tampered with."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import date, timedelta
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from pyspark.sql import DataFrame, SparkSession

from athlete_assets import tables
from athlete_assets.days import Days, midnight
from athlete_assets.features import cells, weekly
from athlete_assets.features.daily import daily_features
from athlete_assets.monitoring import reconciliation
from athlete_assets.settings import Settings
from athlete_assets.store.by_athlete import Look, computed_here, watch
from athlete_assets_tests.rows import frame, rows

MONDAY = date(2024, 5, 6)
WEEK = Days(MONDAY, MONDAY + timedelta(days=6))
Frame = Callable[..., DataFrame]


@pytest.fixture
def as_frame(sail: SparkSession) -> Frame:
    def made(table: tables.Table, *given: dict[str, Any]) -> DataFrame:
        return frame(sail, rows(table, *given))

    return made


def at(day: int) -> Any:
    return midnight(MONDAY + timedelta(days=day))


def activity(day: int, id: int, km: float, tss: float | None) -> dict[str, Any]:
    values = {"athlete_id": "ann", "activity_id": id, "activity_date": at(day), "distance_km": km}
    return {**values, "moving_time_min": km * 5, "estimated_tss": tss, "load_method": "pace" if tss else "none"}


def daily(day: int, km: float, tss: float, activities: int = 1, athlete: str = "ann") -> dict[str, Any]:
    values = {"athlete_id": athlete, "activity_date": at(day), "distance_km": km, "daily_tss": tss}
    return {**values, "moving_time_min": km * 5, "activities": activities, "elevation_gain_m": 0.0}


def test_daily_sums_that_are_those_of_the_activities_pass_and_others_fail(as_frame: Frame) -> None:
    activities = as_frame(
        tables.ACTIVITY, activity(0, 1, 5.0, 40.0), activity(0, 2, 3.0, None), activity(2, 3, 10.0, 80.0)
    )
    good = as_frame(tables.DAILY, daily(0, 8.0, 40.0, 2), daily(1, 0.0, 0.0, 0), daily(2, 10.0, 80.0))
    assert reconciliation.activities_add_up(activities, good).passed
    lost = reconciliation.activities_add_up(activities, as_frame(tables.DAILY, daily(0, 8.0, 40.0, 2)))
    assert not lost.passed
    assert (lost.numbers["activities_in"], lost.numbers["activities_out"]) == (3.0, 2.0)
    assert lost.numbers["daily_tss_out"] == 40.0


MIDNIGHT = pa.timestamp("us", "UTC")
AT = pa.schema({"athlete_id": pa.string(), "activity_date": MIDNIGHT})
BEGAN = pa.schema({"athlete_id": pa.string(), "month_start": MIDNIGHT, "active_days": pa.int64()})


def gaps(as_frame: Frame, days: list[tuple[str, int]], first: dict[str, int]) -> tuple[bool, Any, Any, Any]:
    """What no_gaps says of the athletes' days in the week, given the day of each one's first activity (0 = Monday)."""
    calendar = as_frame(tables.DAILY, *(daily(day, 0.0, 0.0, 0, athlete) for athlete, day in days))
    begun = [{**activity(day, 1, 5.0, 40.0), "athlete_id": athlete} for athlete, day in first.items()]
    later = [{**activity(9, 2, 5.0, 40.0), "athlete_id": athlete} for athlete in first]
    found = reconciliation.no_gaps(calendar, as_frame(tables.ACTIVITY, *begun, *later), WEEK)
    numbers = found.numbers
    months = [{"athlete_id": one, "month_start": at(day), "active_days": 0b1_0000_0001} for one, day in first.items()]
    if months:  # and by what its kernel was given
        made = pa.Table.from_pylist([{"athlete_id": one, "activity_date": at(day)} for one, day in days], AT)
        seen = reconciliation._gaps_of_call(pa.Table.from_pylist(months, BEGAN), made, WEEK)
        assert seen == numbers
    return found.passed, numbers["athletes_with_gaps"], numbers["missing_days"], numbers["surplus_days"]


WHOLE = [("ann", day) for day in range(7)]


@pytest.mark.parametrize(
    ("days", "first", "found"),
    [
        (WHOLE, {"ann": -30}, (True, 0, 0, 0)),
        ([*WHOLE, ("bob", 5), ("bob", 6)], {"ann": -30, "bob": 5}, (True, 0, 0, 0)),  # bob begins on Saturday
        (WHOLE[:3] + WHOLE[4:], {"ann": -30}, (False, 1, 1, 0)),  # a day in between
        (WHOLE[:6], {"ann": -30}, (False, 1, 1, 0)),  # the last day
        (WHOLE[2:], {"ann": -30}, (False, 1, 2, 0)),  # the first two days of the window
        ([*WHOLE, ("bob", 6)], {"ann": -30, "bob": 5}, (False, 1, 1, 0)),  # the day of his first activity
        (WHOLE, {"ann": -30, "bob": -30}, (False, 1, 7, 0)),  # all of bob
        (WHOLE, {"ann": 1}, (False, 1, 0, 1)),  # a day before her first activity
        (WHOLE, {"ann": -30, "bob": 8}, (True, 0, 0, 0)),  # bob begins after the window
    ],
)
def test_each_day_from_the_first_activity_on_has_a_row(
    as_frame: Frame, days: list[tuple[str, int]], first: dict[str, int], found: tuple[bool, int, int, int]
) -> None:
    assert gaps(as_frame, days, first) == found


@pytest.mark.parametrize(("stored", "passes"), [(5, True), (4, False), (6, False)])
def test_months_hold_as_many_activities_as_are_stored(as_frame: Frame, stored: int, passes: bool) -> None:
    months = as_frame(
        tables.MONTHLY, *({"athlete_id": who, "activities": count} for who, count in (("a", 2), ("b", 3)))
    )
    found = reconciliation.months_add_up(stored, months)
    assert (found.passed, found.numbers) == (passes, {"activities_in": stored, "activities_out": 5})


def test_a_home_without_activities_has_whole_months(as_frame: Frame) -> None:
    assert reconciliation.months_add_up(0, as_frame(tables.MONTHLY, {"athlete_id": "a"}).limit(0)).passed


def test_a_week_that_is_not_the_sum_of_its_days_fails(as_frame: Frame) -> None:
    days = as_frame(tables.DAILY, daily(0, 8.0, 40.0, 2), daily(6, 12.0, 90.0))
    week = {"athlete_id": "ann", "week_start": at(0), "weekly_distance_km": 20.0, "weekly_activities": 3}
    week |= {"weekly_tss": 130.0, "weekly_elevation_m": 0.0, "weekly_moving_time_min": 100.0}
    assert reconciliation.weekly_is_sum_of_daily(days, as_frame(tables.WEEKLY, week)).passed
    for wrong in ({**week, "weekly_tss": 130.1}, {**week, "athlete_id": "bob"}, {**week, "week_start": at(7)}):
        assert not reconciliation.weekly_is_sum_of_daily(days, as_frame(tables.WEEKLY, wrong)).passed


def calendar_of(athletes: int) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Days of athletes who begin one after the other, up to a Wednesday, most with nothing; and their weeks."""
    days, weeks = [], list[dict[str, Any]]()
    for number in range(athletes):
        name = f"ann {number}"
        for day in range(number, 24):
            km = 1.1 * number + day if day % (number + 2) == 0 and day > 13 else 0.0
            days.append({**daily(day, km, 7.3 * km, int(km > 0), name), "elevation_gain_m": km / 3})
            if not weeks or weeks[-1]["athlete_id"] != name or day % 7 == 0:
                weeks.append({"athlete_id": name, "week_start": at(day - day % 7), **dict.fromkeys(OF_WEEK, 0)})
            for of_week, of_day in OF_WEEK.items():
                weeks[-1][of_week] += days[-1][of_day]
    return days, weeks


OF_WEEK = {
    "weekly_distance_km": "distance_km",
    "weekly_activities": "activities",
    "weekly_tss": "daily_tss",
    "weekly_elevation_m": "elevation_gain_m",
    "weekly_moving_time_min": "moving_time_min",
}


def test_of_many_weeks_those_that_are_wrong_are_counted(as_frame: Frame) -> None:
    days, weeks = calendar_of(12)

    def found(weeks: list[dict[str, Any]]) -> tuple[Any, Any]:
        numbers = reconciliation.weekly_is_sum_of_daily(
            as_frame(tables.DAILY, *days), as_frame(tables.WEEKLY, *weeks)
        ).numbers
        return numbers["wrong"], numbers["weeks"]

    assert len({week["athlete_id"] for week in weeks}) == 12
    assert found(weeks) == (0, len(weeks))
    assert found(list(reversed(weeks))) == (0, len(weeks))
    empty = next(number for number, week in enumerate(weeks) if not week["weekly_activities"])
    assert found(weeks[:empty] + weeks[empty + 1 :]) == (1, len(weeks))  # sums of nothing, but a row less
    assert found([*weeks, {**weeks[-1], "athlete_id": "bob"}]) == (1, len(weeks) + 1)
    for name in OF_WEEK:
        slip = [{**weeks[empty], name: 1}, *weeks[:empty], *weeks[empty + 1 :]]
        assert found(slip) == (1, len(weeks)), name
        one, other = (next(w for w in weeks if w["athlete_id"] == who and w[name]) for who in ("ann 0", "ann 1"))
        assert one[name] != other[name]
        swapped = [{**week, name: {id(one): other, id(other): one}.get(id(week), week)[name]} for week in weeks]
        assert found(swapped) == (2, len(weeks)), name
        rounded = [
            {**week, name: week[name] * (1 + 1e-12) if name != "weekly_activities" else week[name]} for week in weeks
        ]
        assert found(rounded) == (0, len(weeks)), name
    nothing = (as_frame(table, row).limit(0) for table, row in ((tables.DAILY, days[0]), (tables.WEEKLY, weeks[0])))
    assert reconciliation.weekly_is_sum_of_daily(*nothing).passed


def test_weeks_that_agree_are_not_grouped_by_athlete(as_frame: Frame) -> None:
    days, weeks = calendar_of(5)
    of_days = reconciliation._drawn_sums(as_frame(tables.DAILY, *days), "activity_date", OF_WEEK.values())
    of_weeks = reconciliation._drawn_sums(as_frame(tables.WEEKLY, *weeks), "week_start", OF_WEEK)
    assert reconciliation._weeks_that_agree(of_days, of_weeks) == len(weeks)


def seen_in(made: DataFrame, look: Look) -> list[pa.Table]:
    """What is seen of the calls of the kernel that makes the frame."""
    seen: list[pa.Table] = []
    watch(made, look, seen)
    assert computed_here(made)
    return seen


@pytest.mark.parametrize("rows_a_call", [10_000, 7])
def test_weeks_are_compared_with_the_days_that_their_kernel_was_given(
    as_frame: Frame, monkeypatch: pytest.MonkeyPatch, rows_a_call: int
) -> None:
    monkeypatch.setattr(cells, "ROWS_A_CALL", rows_a_call)
    given, right = calendar_of(12)
    window = Days(MONDAY + timedelta(days=7), MONDAY + timedelta(days=27))  # the kernel gets the week before as well
    days, look = as_frame(tables.DAILY, *given), partial(reconciliation.drawn_sums_of_call, window=window)
    seen = seen_in(weekly.weekly_features(days, window), look)
    assert (len(seen) == 1) == (rows_a_call > len(given))
    inside = [day for day in given if day["activity_date"] >= at(7)]
    weeks = [week for week in right if week["week_start"] >= at(7)]
    sides = {
        "days": reconciliation._drawn_sums(as_frame(tables.DAILY, *inside), "activity_date", OF_WEEK.values()),
        "weeks": reconciliation._drawn_sums(as_frame(tables.WEEKLY, *weeks), "week_start", OF_WEEK),
    }
    for side, read in sides.items():
        of_side = pa.concat_tables(seen).filter(pc.field("side") == side)
        for name, found in reconciliation._by_day(of_side.drop_columns(["side"])).to_pydict().items():
            assert found == pytest.approx(read[name].to_pylist(), rel=1e-13), (side, name)

    stored, unread = (len(inside), len(weeks)), (days.limit(0), as_frame(tables.WEEKLY, *weeks).limit(0))
    found = reconciliation.weekly_is_sum_of_daily(*unread, seen, stored)
    assert found.numbers == {"weeks": len(weeks), "wrong": 0}
    slipped = pa.concat_tables(seen)
    total = slipped["total"].to_numpy() * np.where(pc.equal(slipped["side"], "weeks"), 1 + 1e-9, 1.0)
    slipped = slipped.set_column(slipped.column_names.index("total"), "total", pa.array(total))
    slip = [{**weeks[3], "weekly_tss": weeks[3]["weekly_tss"] + 1}, *weeks[:3], *weeks[4:]]
    both = as_frame(tables.DAILY, *inside), as_frame(tables.WEEKLY, *slip)
    for wrong in (
        reconciliation.weekly_is_sum_of_daily(*both, seen=[slipped], stored=stored),
        reconciliation.weekly_is_sum_of_daily(*both),
    ):
        assert wrong.numbers == {"weeks": len(weeks), "wrong": 1}


def test_days_that_the_kernel_of_weeks_did_not_see_are_read(as_frame: Frame) -> None:
    given, weeks = calendar_of(3)
    window = Days(MONDAY, MONDAY + timedelta(days=27))
    seen_days = [day for day in given if day["athlete_id"] != "ann 2"]
    made = weekly.weekly_features(as_frame(tables.DAILY, *seen_days), window)
    seen = seen_in(made, partial(reconciliation.drawn_sums_of_call, window=window))
    stored, few = as_frame(tables.DAILY, *given), len([week for week in weeks if week["athlete_id"] != "ann 2"])
    assert reconciliation.weekly_is_sum_of_daily(stored, made, seen, (len(seen_days), few)).passed
    assert not reconciliation.weekly_is_sum_of_daily(stored, made, seen, (len(given), few)).passed
    assert not reconciliation.weekly_is_sum_of_daily(stored, made, seen, (len(seen_days), len(weeks))).passed


def test_days_are_compared_with_the_activities_that_their_kernel_was_given(as_frame: Frame) -> None:
    given = [activity(0, 1, 5.0, 40.0), activity(0, 2, 3.0, None), activity(2, 3, 10.0, 80.0)]
    activities = as_frame(tables.ACTIVITY, *given)
    made = daily_features(activities, WEEK)
    look = partial(reconciliation.sums_of_call, window=WEEK)
    seen, stored, unread = seen_in(made, look), (3, 7), activities.limit(0)
    found = reconciliation.activities_add_up(unread, unread, seen, stored)
    assert found.numbers == {"activities_in": 3.0, "activities_out": 3.0}
    assert found.passed
    assert [call.to_pylist() for call in seen] == [
        [
            {"days": 7.0, "activities in": 3.0, "activities out": 3.0}
            | {"distance_km in": 18.0, "distance_km out": 18.0}
            | {"moving_time_min in": 90.0, "moving_time_min out": 90.0}
            | {"daily_tss in": 120.0, "daily_tss out": 120.0}
            | {"athletes": 1.0, "athletes_with_gaps": 0.0, "missing_days": 0.0, "surplus_days": 0.0}
        ]
    ]
    for name in ("activities", "distance_km", "moving_time_min", "daily_tss"):
        [call] = seen
        lost = call.set_column(call.column_names.index(f"{name} out"), f"{name} out", pa.array([2.0]))
        assert not reconciliation.activities_add_up(unread, unread, [lost], stored).passed, name
    another = as_frame(tables.ACTIVITY, *given, activity(3, 4, 1.0, 1.0))  # the kernel was not given it
    assert not reconciliation.activities_add_up(another, made, seen, (4, 7)).passed
    assert not reconciliation.activities_add_up(activities, made.limit(2), seen, (3, 6)).passed


def test_of_a_kernel_that_the_engine_runs_nothing_is_seen(as_frame: Frame) -> None:
    seen: list[pa.Table] = []
    made = daily_features(as_frame(tables.ACTIVITY, activity(0, 1, 5.0, 40.0)), WEEK)
    watch(made, partial(reconciliation.sums_of_call, window=WEEK), seen)
    assert made.count() == 7
    assert not seen


def test_a_row_for_each_day_of_the_calendar(as_frame: Frame) -> None:
    days = as_frame(tables.DAILY, *(daily(day, 0, 0, 0) for day in range(3)))
    states = [{"athlete_id": "ann", "as_of_date": at(day)} for day in range(4)]
    assert reconciliation.one_row_a_day(days, as_frame(tables.ROLLING, *states[:3])).passed
    short = reconciliation.one_row_a_day(days, as_frame(tables.ROLLING, *states[1:]))
    assert (short.passed, short.numbers["missing"], short.numbers["surplus"]) == (False, 1, 1)


def test_fitness_ties_out_with_the_recursion_and_a_shifted_one_does_not(as_frame: Frame) -> None:
    """Two days of 100 TSS from nothing: ctl = 100 (1 - e^(-2/42)), atl = 100 (1 - e^(-2/7))."""
    days = as_frame(tables.DAILY, daily(5, 10, 100.0), daily(6, 10, 100.0))
    state = {"athlete_id": "ann", "as_of_date": at(6), "ctl_42d": 100 * (1 - math.exp(-2 / 42))}
    state["atl_7d"] = 100 * (1 - math.exp(-2 / 7))
    found = reconciliation.fitness_recomputed(days, as_frame(tables.ROLLING, state), WEEK, Settings())
    assert (found.passed, found.numbers["athletes"]) == (True, 1)
    shifted = {**state, "ctl_42d": 2.353}
    assert not reconciliation.fitness_recomputed(days, as_frame(tables.ROLLING, shifted), WEEK, Settings()).passed


def test_fitness_ties_out_from_where_the_athlete_says(as_frame: Frame) -> None:
    """60 and 20 on the morning of the last of three days of rest; the two before start from nothing."""
    days = as_frame(tables.DAILY, *(daily(n, 10, 0.0) for n in (4, 5, 6)))
    state = {
        "athlete_id": "ann",
        "as_of_date": at(6),
        "ctl_42d": 60 * math.exp(-1 / 42),
        "atl_7d": 20 * math.exp(-1 / 7),
    }
    said = {"athlete_id": "ann", "valid_from": at(6), "starting_fitness": 60.0, "starting_fatigue": 20.0}
    said_early = {**said, "valid_from": None, "starting_fitness": 10.0}
    athletes = as_frame(tables.STRAVA_ATHLETE, said, said_early)
    rolling = as_frame(tables.ROLLING, state)
    assert reconciliation.fitness_recomputed(days, rolling, WEEK, Settings(), athletes).passed
    assert not reconciliation.fitness_recomputed(days, rolling, WEEK, Settings()).passed


def test_an_athlete_without_a_prediction_is_counted_and_so_is_one_too_many(as_frame: Frame) -> None:
    evenings = as_frame(tables.ROLLING, *({"athlete_id": name, "as_of_date": at(6)} for name in ("ann", "bob")))
    predicted = [{"athlete_id": name, "prediction_date": at(6)} for name in ("ann", "bob", "cleo")]
    assert reconciliation.one_row_an_athlete(evenings, as_frame(tables.PREDICTIONS, *predicted[:2])).passed
    found = reconciliation.one_row_an_athlete(evenings, as_frame(tables.PREDICTIONS, predicted[0], predicted[2]))
    assert (found.passed, found.numbers["missing"], found.numbers["surplus"]) == (False, 1, 1)
