"""Checks against a table's own history pass on what is usual, and warn of a share that rose."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from pyspark.sql import DataFrame, SparkSession

from athlete_assets import tables
from athlete_assets.days import Days
from athlete_assets.monitoring import anomalies
from athlete_assets.settings import Settings
from athlete_assets.store.base import Written
from athlete_assets_tests.rows import rows

MONDAY = date(2024, 5, 6)
WEEK = Days(MONDAY, MONDAY + timedelta(days=6))


def activities(spark: SparkSession, without_load: int, all_: int) -> DataFrame:
    methods = ["none"] * without_load + ["pace"] * (all_ - without_load)
    return spark.createDataFrame(rows(tables.ACTIVITY, *({"load_method": method} for method in methods)))


@pytest.mark.parametrize(
    ("now", "before", "passes"),
    [
        ((5, 100), (50, 1000), True),  # as ever
        ((20, 100), (50, 1000), False),  # 20 % against 5 %
        ((20, 100), (100, 1000), True),  # 20 % where 10 % is usual
        ((20, 100), (0, 0), False),  # without history up to 10 %
        ((5, 100), (0, 0), True),
        ((8, 10), (50, 1000), True),  # too few rows to tell
    ],
)
def test_the_share_of_rejects_is_held_against_the_year_before(
    now: tuple[int, int], before: tuple[int, int], passes: bool
) -> None:
    found = anomalies.share_of_rejects(now, lambda: before, Settings())
    assert (found.passed, found.check.severity) == (passes, "warning")


def test_a_year_is_looked_through_only_for_a_share_that_is_not_always_accepted() -> None:
    def never() -> anomalies.Counts:
        raise AssertionError("asked")

    assert anomalies.share_of_rejects((10, 100), never, Settings()).passed
    with pytest.raises(AssertionError, match="asked"):
        anomalies.share_of_rejects((11, 100), never, Settings())


def test_the_share_without_load_is_held_against_the_year_before(sail: SparkSession) -> None:
    half, none = activities(sail, 20, 40), activities(sail, 0, 40)
    assert not anomalies.share_without_load(half, none, Settings()).passed
    assert anomalies.share_without_load(half, half, Settings()).passed
    assert anomalies.share_without_load(none, none, Settings()).passed
    assert anomalies.share_without_load(half, none, Settings(untracked_share=0.5)).passed


def test_the_history_ends_on_the_day_before_the_window() -> None:
    before = anomalies.history_before(WEEK, Settings())
    assert (before.last, len(before)) == (MONDAY - timedelta(days=1), 365)


@pytest.mark.parametrize(
    ("commits", "passes"),
    [
        ([(100, 100)], True),
        ([(50, 100)], True),  # half of them is just enough
        ([(49, 100)], False),
        ([(0, 100)], False),
        ([(1000, 1000), (10, 100)], False),  # one window of several
        ([(0, 19)], True),  # too few rows to tell
        ([(500, 0)], True),  # a window that is new
        ([(7, None)], True),  # a store that does not count
        ([], True),  # a run of checks alone
    ],
)
def test_a_window_that_lost_most_of_its_rows_fails(commits: list[tuple[int, int | None]], passes: bool) -> None:
    written = [Written(rows, 1, before) for rows, before in commits]
    found = anomalies.row_count_stable(written, Settings())
    assert (found.passed, found.check.severity, found.check.blocking) == (passes, "error", True)
    assert ("materialise the window once more" in found.sentence) is not passes


def test_how_much_a_window_may_lose_is_a_setting() -> None:
    assert anomalies.row_count_stable([Written(30, 1, 100)], Settings(row_count_kept_share=0.3)).passed
    assert not anomalies.row_count_stable([Written(0, 1, 5)], Settings(row_count_least_rows=5)).passed


def test_an_athlete_who_left_is_no_collapse_of_the_window() -> None:
    """All 40 rows of one athlete go, and 400 of the others stay."""
    assert anomalies.row_count_stable([Written(0, 1, 40, rows_beside=400)], Settings()).passed
    assert not anomalies.row_count_stable([Written(0, 1, 40, rows_beside=10)], Settings()).passed
