"""What an athlete's activities tell of threshold pace and maximum heart rate on the evening before a day."""

from __future__ import annotations

import statistics

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from athlete_assets.features import thresholds
from athlete_assets.features.thresholds import ATHLETE_STEP

DAY = 20_000
WINDOW = 90
LINE = [(minutes * 60.0, 4.0 * minutes * 60 + 200.0) for minutes in (6, 12, 20, 40)]
"""(s, m) of a runner whose critical speed is 4 m/s and whose D' is 200 m."""


def critical_speed(efforts: list[tuple[float, float]]) -> float:
    """From efforts (s, m) run one a day before DAY."""
    key = DAY - np.arange(len(efforts), 0, -1)
    time, metres = (np.array(values, dtype=float) for values in zip(*efforts, strict=True))
    return float(thresholds.critical_speed(key, metres, time, np.array([DAY]), WINDOW)[0])


def test_critical_speed_is_the_slope_of_distance_on_time() -> None:
    assert critical_speed(LINE) == pytest.approx(4.0, rel=1e-12)
    assert critical_speed(LINE[1:]) == pytest.approx(4.0, rel=1e-12)
    assert critical_speed(LINE[::-1]) == pytest.approx(4.0, rel=1e-12)


def test_easy_runs_do_not_bend_the_line() -> None:
    easy = [(minutes * 60.0, 3.0 * minutes * 60) for minutes in (5, 8, 15, 25, 30, 35, 50, 60)]
    assert critical_speed(easy + LINE) == pytest.approx(4.0, rel=1e-12)


@pytest.mark.parametrize(
    ("why", "efforts"),
    [
        ("two efforts", LINE[:2]),
        ("two efforts and an easy run", [*LINE[:2], (2400.0, 3.0 * 2400)]),
        ("durations that hardly differ", [(t, 4.0 * t + 200) for t in (1000.0, 1500.0, 1900.0)]),
        ("one even speed, as easy runs have: D' 0", [(t, 3.0 * t) for t in (1700.0, 2500.0, 3500.0)]),
        ("no person's D'", [(t, 3.4 * t + 900) for t in (600.0, 1000.0, 1500.0, 2300.0)]),
    ],
)
def test_critical_speed_is_unknown_where_a_line_would_say_nothing(why: str, efforts: list[tuple[float, float]]) -> None:
    assert np.isnan(critical_speed(efforts)), why


def efforts_among(runs: list[tuple[float, float]], athlete: int = 0) -> list[bool]:
    key = athlete * ATHLETE_STEP + DAY + np.arange(len(runs))
    time, metres = (np.array(values, dtype=float) for values in zip(*runs, strict=True))
    usual = thresholds.usual_speeds(key, metres, time)
    return thresholds.is_effort(key, metres, time, np.ones(len(key), dtype=bool), usual, WINDOW).tolist()


@pytest.mark.parametrize(
    ("seconds", "metres", "effort"),
    [
        (1500.0, 5000.0, True),
        (179.0, 1000.0, False),
        (180.0, 1000.0, True),
        (3600.0, 10_000.0, True),
        (3601.0, 10_000.0, False),
        (300.0, 999.0, False),
        (1800.0, np.nan, False),
        (1800.0, 3000.0, True),
        (1800.0, 2999.0, False),  # slower than 10 min/km
        (755.0, 5000.0, False),  # the world record, VDOT 84
        (790.0, 5000.0, True),
    ],
)
def test_an_effort_is_what_a_person_can_have_run(seconds: float, metres: float, effort: bool) -> None:
    assert efforts_among([(seconds, metres)]) == [effort]


def test_a_ride_among_runs_is_no_effort() -> None:
    """Five runs at 2.8 m/s; 1.6 times that is 4.48 m/s."""
    runs = [(1800.0, 2.8 * 1800)] * 5
    assert efforts_among([*runs, (1800.0, 4.47 * 1800), (1800.0, 4.6 * 1800)]) == [True] * 6 + [False]
    assert efforts_among([*runs[:3], (1800.0, 4.6 * 1800)]) == [True] * 4, "four runs have no median yet"


@st.composite
def dated_runs(draw: st.DrawFn) -> list[tuple[int, int, float, float, bool]]:
    """Athlete, day, seconds, metres and whether there is a clock, of some runs and rides, in order."""
    days, speeds = st.sampled_from([0, 1, WINDOW, WINDOW + 1]), st.sampled_from([2.4, 2.8, 4.2, 4.6])
    run = st.tuples(st.integers(0, 1), days, st.sampled_from([300.0, 900.0]), speeds, st.booleans())
    runs = sorted(draw(st.lists(run, min_size=8, max_size=30)))
    return [(athlete, day, time, time * speed, clock) for athlete, day, time, speed, clock in runs]


@examples(max_examples=500)  # few draws fill a window on either side of its edge
@given(dated_runs())
def test_a_ride_is_told_by_the_median_of_the_athletes_own_window(
    runs: list[tuple[int, int, float, float, bool]],
) -> None:
    """Also where the slowest run of all tells already that the median need not be asked for."""

    def is_ride(of: tuple[int, int, float, float, bool]) -> bool:
        athlete, day, time, metres, clock = of
        near = [m / t for a, d, t, m, _ in runs if a == athlete and day - WINDOW < d <= day and m >= 1000]
        if len(near) < 5:
            return False
        lead = 1.6 if clock else thresholds.CLOCKLESS_LEAD
        return metres / time > lead * statistics.median_high(near)

    athlete, day, time, metres, clock = (np.array(values) for values in zip(*runs, strict=True))
    key = athlete.astype(np.int64) * ATHLETE_STEP + DAY + day
    usual = thresholds.usual_speeds(key, metres, time)
    found = thresholds.is_effort(key, metres, time, clock, usual, WINDOW)
    assert found.tolist() == [metres >= 1000 and not is_ride(run) for run, metres in zip(runs, metres, strict=True)]


def test_the_best_effort_is_the_fastest_of_up_to_an_hour_before_the_day() -> None:
    def best(runs: list[tuple[int, float, float]]) -> float:
        day, time, metres = (np.array(values, dtype=float) for values in zip(*sorted(runs), strict=True))
        return float(thresholds.best_effort_speed(DAY + day.astype(np.int64), metres, time, np.array([DAY]), WINDOW)[0])

    assert best([(-90, 1200.0, 4800.0), (-3, 1800.0, 5400.0)]) == 4.0
    assert best([(-91, 1200.0, 4800.0), (-3, 1800.0, 5400.0)]) == 3.0, "out of the window"
    assert best([(0, 1200.0, 4800.0), (-3, 1800.0, 5400.0)]) == 3.0, "of the day itself"
    assert np.isnan(best([(-1, 3601.0, 12_000.0)])), "too long"


@pytest.mark.parametrize(
    ("time", "metres", "ten", "half"),
    [(1197.0, 5_000.0, 2481.0, 5495.0), (1075.0, 5_000.0, 2228.0, 4914.0)],
    ids=["VDOT 50", "VDOT 56.5"],
)
def test_a_shorter_effort_says_what_an_hour_of_its_vdot_does(
    time: float, metres: float, ten: float, half: float
) -> None:
    """Between the speeds of Daniels' 10 km and half marathon of the same VDOT, nearer to the one nearer to an hour."""
    key = np.array([DAY - 1])
    found = float(thresholds.best_effort_speed(key, np.array([metres]), np.array([time]), np.array([DAY]), WINDOW)[0])
    fatigue = np.log(21_097.5 / half / (10_000 / ten)) / np.log(half / ten)
    assert found == pytest.approx(10_000 / ten * (3600 / ten) ** fatigue, rel=0.005)


def observed(daily: list[float], asked_days_later: int = 1) -> float:
    key = DAY + np.arange(len(daily))
    asked = np.array([key[-1] + asked_days_later])
    return float(thresholds.observed_hr_max(key, np.array(daily), asked, 365)[0])


def test_a_spike_does_not_set_the_maximum_heart_rate() -> None:
    usual = [150.0, 160.0, 170.0, 180.0, 185.0, 186.0, 187.0, 188.0]
    assert observed([*usual, 189.0, 190.0]) == 188.0
    assert observed([*usual, 189.0, 229.0]) == 188.0
    assert observed([*usual, 228.0, 229.0]) == 188.0
    assert np.isnan(observed([*usual, 189.0])), "nine days are too few"
    assert np.isnan(observed([*usual, 189.0, 190.0], asked_days_later=366)), "a year ago"


def test_in_a_full_year_two_percent_of_the_days_may_be_spikes() -> None:
    """Of 300 days 2 % are 6: the sixth highest."""
    daily = [150.0 + n / 10 for n in range(295)] + [225.0] * 5
    assert observed(daily) == 150.0 + 294 / 10


def test_a_spike_counts_once_a_day_however_often_it_is_recorded() -> None:
    days = np.concatenate([DAY + np.arange(10), [DAY + 9] * 5])
    beats = np.array([180.0, 181, 182, 183, 184, 185, 186, 187, 188, 189, *[229] * 5])
    assert thresholds.observed_hr_max(days, beats, np.array([DAY + 10]), 365).tolist() == [187.0]


slices = st.lists(st.integers(0, 30), min_size=2, max_size=40)


@given(st.lists(st.floats(-5, 5), max_size=30), slices)
@examples(max_examples=60, deadline=None)
def test_the_best_in_a_slice_is_its_highest(scores: list[float], bounds: list[int]) -> None:
    bounds = [min(bound, len(scores)) for bound in bounds]
    low, high = np.array(bounds[::2][: len(bounds) // 2]), np.array(bounds[1::2])
    found = thresholds.best_in_slices(np.array(scores, dtype=float), low, high)
    for position, first, last in zip(found, low, high, strict=True):
        part = scores[first:last]
        assert position == -1 if not part else scores[position] == max(part)
        assert not part or first <= position < last


def test_athletes_are_islands() -> None:
    """The second athlete's efforts, on the days before the first athlete's and after, enter no window of the first."""
    time, metres = (np.array(values) for values in zip(*LINE, strict=True))
    key = ATHLETE_STEP + DAY + np.arange(4)
    asked = np.array([DAY + 10, ATHLETE_STEP + DAY + 10, 2 * ATHLETE_STEP + DAY - 10])
    assert np.isnan(thresholds.critical_speed(key, metres, time, asked, WINDOW)).tolist() == [True, False, True]
    assert np.isnan(thresholds.best_effort_speed(key, metres, time, asked, WINDOW)).tolist() == [True, False, True]
    beats = np.arange(180.0, 195)
    key = ATHLETE_STEP + DAY - 5 + np.arange(15)
    assert np.isnan(thresholds.observed_hr_max(key, beats, asked, 365)).tolist() == [True, False, True]
