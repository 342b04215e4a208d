"""The promises of the feature tables (design: pure by date, no leakage, idempotent writes, athletes are islands).

Each example lands activities in a scratch home and materialises daily, weekly and rolling features through the store,
range by range, as the assets do.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from random import Random

import pandas as pd
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from athlete_assets import tables
from athlete_assets.days import ONE_DAY, Days, midnight
from athlete_assets.features.daily import daily_features
from athlete_assets.features.rolling import rolling_features
from athlete_assets.features.weekly import weekly_features
from athlete_assets.settings import Settings
from athlete_assets.store.local import LocalStore
from athlete_assets.tables import Table
from athlete_assets_tests.features.rows import (
    ATHLETES,
    Activity,
    activity_table,
    assert_same,
    collected,
    day,
    on_days,
    training,
)

FEATURES = (tables.DAILY, tables.WEEKLY, tables.ROLLING)
LENGTH = 75
ALL_DAYS = Days(day(0), day(LENGTH - 1))
"""Longer than the lookback of the rolling features, so that ranges begin both inside it and beyond it."""

# Each example is 18 athletes, whose seams fall differently: cheaper than 18 examples of one.
few_examples = hypothesis_settings(max_examples=2, deadline=None, suppress_health_check=[HealthCheck.too_slow])


class Home:
    """The three feature tables of one scratch home over the activities that have landed in it."""

    def __init__(self, folder: Path) -> None:
        self.settings = Settings(home=folder)
        self.store = LocalStore(self.settings)

    def land(self, activities: Sequence[Activity]) -> None:
        self.store.replace_arrow(tables.ACTIVITY, activity_table(activities))

    def materialise(self, days: Days) -> None:
        store = self.store
        store.replace(tables.DAILY, daily_features(store.read(tables.ACTIVITY), days), days)
        weeks = days.weeks
        rows = weekly_features(store.read(tables.DAILY, weeks.starting_earlier(7)), weeks)
        store.replace(tables.WEEKLY, rows, weeks)
        evening = Days(days.first - ONE_DAY, days.first - ONE_DAY)
        rows = rolling_features(
            store.read(tables.DAILY),
            store.read(tables.ACTIVITY),
            store.read(tables.ROLLING, evening),
            days,
            self.settings,
        )
        store.replace(tables.ROLLING, rows, days)

    def tables(self) -> dict[Table, pd.DataFrame]:
        return {table: collected(self.store.rows(table), table) for table in FEATURES}


@contextmanager
def home(*landings: Sequence[Activity]) -> Iterator[Home]:
    with tempfile.TemporaryDirectory() as folder:
        result = Home(Path(folder))
        for activities in landings:
            result.land(activities)
        yield result


def built(activities: Sequence[Activity], days: Days = ALL_DAYS) -> dict[Table, pd.DataFrame]:
    """The tables as one fresh range makes them."""
    with home(activities) as fresh:
        fresh.materialise(days)
        return fresh.tables()


def assert_tables_equal(left: dict[Table, pd.DataFrame], right: dict[Table, pd.DataFrame]) -> None:
    for table in FEATURES:
        assert_same(left[table], right[table])


@st.composite
def splits(draw: st.DrawFn) -> list[Days]:
    """All days in two to four ranges, in order."""
    cuts = draw(st.lists(st.integers(1, LENGTH - 1), min_size=1, max_size=3, unique=True).map(sorted))
    return [Days(day(first), day(end - 1)) for first, end in zip([0, *cuts], [*cuts, LENGTH], strict=True)]


def rows_until(rows: pd.DataFrame, table: Table, last: int) -> pd.DataFrame:
    """Rows that are wholly in the past at the end of a day: for a week, its Sunday must be."""
    return on_days(rows, table, Days(day(-400), day(last) - timedelta(days=6 if table == tables.WEEKLY else 0)))


@few_examples
@given(activities=training(LENGTH), ranges=splits())
def test_any_split_in_order_is_one_range(activities: list[Activity], ranges: list[Days]) -> None:
    with home(activities) as split:
        for days in ranges:
            split.materialise(days)
        assert_tables_equal(split.tables(), built(activities))


@few_examples
@given(activities=training(LENGTH), ranges=splits(), seed=st.integers(0, 1000))
def test_any_order_then_the_affected_range_is_one_range(
    activities: list[Activity], ranges: list[Days], seed: int
) -> None:
    order = list(ranges)
    Random(seed).shuffle(order)
    with home(activities) as shuffled:
        for days in order:
            shuffled.materialise(days)
        # what was made before something older than itself is affected, and all that follows it
        early = [days for n, days in enumerate(order) if any(older < days for older in order[n + 1 :])]
        if early:
            shuffled.materialise(Days(min(early).first, ALL_DAYS.last))
        assert_tables_equal(shuffled.tables(), built(activities))


@few_examples
@given(activities=training(LENGTH), late=training(LENGTH, busiest=6), seed=st.integers(0, 1000))
def test_late_rows_and_deletions_then_the_affected_range(
    activities: list[Activity], late: list[Activity], seed: int
) -> None:
    """From the earliest touched day on; the late rows may come before an athlete's first activity, the deleted one
    may be it. And again: nothing changes."""
    deleted = Random(seed).sample(activities, min(3, len(activities)))
    after = [activity for activity in activities if activity not in deleted] + late
    touched = min(activity.day for activity in [*deleted, *late])
    affected = Days(touched, ALL_DAYS.last)
    with home(activities) as changed:
        changed.materialise(ALL_DAYS)
        changed.land(after)
        changed.materialise(affected)
        once = changed.tables()
        assert_tables_equal(once, built(after))
        changed.materialise(affected)
        assert_tables_equal(changed.tables(), once)


@few_examples
@given(
    activities=training(LENGTH), window=st.tuples(st.integers(0, LENGTH - 1), st.integers(0, LENGTH - 1)).map(sorted)
)
def test_making_a_window_again_touches_nothing(activities: list[Activity], window: list[int]) -> None:
    with home(activities) as again:
        again.materialise(ALL_DAYS)
        before = again.tables()
        days = Days(day(window[0]), day(window[1]))
        again.materialise(days)
        assert_tables_equal(again.tables(), before)


@few_examples
@given(activities=training(LENGTH), others=training(LENGTH, athletes="axyz", busiest=60))
def test_athletes_are_islands(activities: list[Activity], others: list[Activity]) -> None:
    """Other athletes' rows, some of them in the same hash bucket, change nothing for those who are not among them."""
    islanders = [athlete for athlete in ATHLETES if athlete != "a"]
    alone = built([activity for activity in activities if activity.athlete in islanders])
    among = built([*activities, *others])
    for table in FEATURES:
        chosen = among[table][among[table]["athlete_id"].isin(islanders)].reset_index(drop=True)
        assert_same(chosen, alone[table])


@few_examples
@given(past=training(LENGTH), future=training(LENGTH), today=st.integers(1, LENGTH - 2))
def test_the_future_changes_nothing_before_it(past: list[Activity], future: list[Activity], today: int) -> None:
    """Whatever happens after a day, in a range that ends on it or long after it, rows up to that day are the same."""
    known = [activity for activity in past if activity.day <= day(today)]
    later = [activity for activity in future if activity.day > day(today)]
    seen, unseen = built([*known, *later]), built(known)
    cut = built([*known, *later], Days(day(0), day(today)))
    for table in FEATURES:
        expected = rows_until(unseen[table], table, today)
        assert_same(rows_until(seen[table], table, today), expected)
        assert_same(rows_until(cut[table], table, today), expected)


def test_day_by_day_is_one_range() -> None:
    """Six days one at a time, after 69 at once: the everyday increment. c begins among the six."""
    activities = [
        Activity(athlete, day(n), km=5 + n % 9, minutes=27 + n % 13, load=float(20 + n))
        for athlete, step, start in (("a", 2, 0), ("b", 3, 40), ("c", 1, 71))
        for n in range(start, LENGTH, step)
    ]
    with home(activities) as daily:
        daily.materialise(Days(day(0), day(68)))
        for days in Days(day(69), ALL_DAYS.last):
            daily.materialise(Days(days, days))
        assert_tables_equal(daily.tables(), built(activities))


def test_the_first_materialised_range_may_begin_in_the_middle_of_history() -> None:
    """Rolling without any state reads all daily rows before the range; it is right though its table begins there."""
    activities = [Activity("a", day(n), load=float(30 + n)) for n in range(0, LENGTH, 2)]
    with home(activities) as late:
        store = late.store
        store.replace(tables.DAILY, daily_features(store.read(tables.ACTIVITY), ALL_DAYS), ALL_DAYS)
        late.materialise(Days(day(60), ALL_DAYS.last))
        rolling = late.tables()[tables.ROLLING]
    assert_same(rolling, on_days(built(activities)[tables.ROLLING], tables.ROLLING, Days(day(60), ALL_DAYS.last)))
    assert rolling["as_of_date"].min() == pd.Timestamp(midnight(day(60)))
