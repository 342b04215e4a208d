"""What an athlete's activities tell of threshold pace and maximum heart rate on the evening before a day.

NumPy kernels over many athletes at once. Rows have a `key`, athlete number x ATHLETE_STEP + day number, by which they
are sorted: the rows of one athlete's window of days are a slice.

An EFFORT is a continuous run (features.efforts) of 3 to 60 min and at least 1 km that a person can have run: no
slower than 10 min/km, which is walked; no faster than VDOT 83; and not 1.6 times as fast as the median of the athlete's
runs in its own 90 days (of 5 or more), nor 1.4 times where its clock is unknown. In the shared real runs the best of
20-60 min lies below 1.38 medians in 95 % of all windows and above 2 in the last percent: rides called runs.

So is the best of a part of a run, as a recording tells it (silver.strava_best_effort): its clock ran on through rests.

CRITICAL SPEED is the slope of distance on time (Monod & Scherrer 1965) over the best efforts of 7 bands of duration,
as Smyth & Muniz-Pumares (Med Sci Sports Exerc 52, 2020) take it from training logs. Most runs are no one's best, and a
line through easy runs has a slope, too. So an effort counts only within 5 % (VDOT) of the best of the window; there
must be 3 of them, the longest twice as long as the shortest, all within 3 % of the line, and the line's intercept D'
must be that of a person: 50 to 400 m. Else it is unknown.

THRESHOLD PACE is the fastest of what is known: critical speed, the best effort of 20 to 60 min as it was run, and an
hour's pace of the VDOT of a shorter one. Each is too slow where nobody ran all-out, and none says more than was run.

MAXIMUM HEART RATE as observed is the third highest of the days' maxima, or the 98th percentile where that is lower:
one spike of a sensor, or two, or a few in a year of daily running, do not set it. It takes 10 days with a maximum.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from athlete_assets.features.efforts import CLOCKLESS_LEAD
from athlete_assets.formulas.race_times import HIGHEST_VDOT, held_share, speed_at_oxygen_cost, vdot
from athlete_assets.formulas.slices import Ranked, Slices, distinct

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

ATHLETE_STEP = 1_000_000
"""More than any day number and window together, so that no window reaches into another athlete's rows."""

EFFORT_FROM_M = 1000.0
SLOWEST_EFFORT_MPS = 1000 / 600
BANDS_S = np.array([3, 5, 8, 12, 18, 27, 40, 60]) * 60.0
"""Edges of the bands of duration, about 1.5 times apart; the last holds its upper edge, too."""
MEDIANS_OF_A_RIDE = 1.6
RUNS_FOR_A_MEDIAN = 5

EFFORT_SHARE = 0.95
EFFORTS = 3
DURATION_SPREAD = 2.0
LINE_TOLERANCE = 0.03
PLAUSIBLE_INTERCEPT_M = (50.0, 400.0)

BEST_EFFORT_S = (20 * 60.0, 60 * 60.0)

DAYS_FOR_HR_MAX = 10
HR_MAX_RANK = 3
HR_MAX_SHARE = 0.02


def usual_speeds(key: Integers, distance_m: Floats, duration_s: Floats) -> tuple[Integers, Floats]:
    """The keys and speeds (m/s) of the runs against which efforts are judged; runs are sorted by key."""
    measured = distance_m >= EFFORT_FROM_M
    return key[measured], (distance_m / duration_s)[measured]


def is_effort(
    key: Integers,
    distance_m: Floats,
    duration_s: Floats,
    has_clock: NDArray[np.bool_],
    usual: tuple[Integers, Floats],
    window_days: int,
) -> NDArray[np.bool_]:
    """Which of the continuous runs, or parts of runs, are efforts. They are sorted by key; unknown distances are NaN.

    usual: `usual_speeds` of whole runs.
    """
    speed = distance_m / duration_s
    plausible = (distance_m >= EFFORT_FROM_M) & (speed >= SLOWEST_EFFORT_MPS)
    plausible &= (duration_s >= BANDS_S[0]) & (duration_s <= BANDS_S[-1])
    plausible &= vdot(distance_m, duration_s) <= HIGHEST_VDOT
    # a median is no lower than the slowest of all: it is asked for where that does not tell enough
    lead = np.where(has_clock, MEDIANS_OF_A_RIDE, CLOCKLESS_LEAD)
    of, speeds = usual
    first = np.flatnonzero(np.diff(of // ATHLETE_STEP, prepend=-1))
    if not len(first):
        return plausible
    slowest = np.minimum.reduceat(speeds, first)
    athletes = of[first] // ATHLETE_STEP
    place = np.minimum(np.searchsorted(athletes, key // ATHLETE_STEP), len(athletes) - 1)
    is_theirs = athletes[place] == key // ATHLETE_STEP
    doubtful = np.flatnonzero(plausible & is_theirs & (speed > lead * slowest[place]))
    if not len(doubtful):
        return plausible
    wanted = np.zeros(len(athletes), dtype=bool)
    wanted[place[doubtful]] = True
    chosen = np.repeat(wanted, np.diff(first, append=len(of)))
    of, speeds, asked = of[chosen], speeds[chosen], key[doubtful]
    slices = np.searchsorted(of, asked - window_days, side="right"), np.searchsorted(of, asked, side="right")
    median = _rank_in_slices(of, speeds, slices, lambda n: (n + 1) // 2, least=RUNS_FOR_A_MEDIAN)
    plausible[doubtful] = ~(speed[doubtful] > lead[doubtful] * median)
    return plausible


def critical_speed(key: Integers, distance_m: Floats, duration_s: Floats, asked: Integers, window_days: int) -> Floats:
    """Critical speed (m/s) from the efforts of the window_days before each asked key; NaN where there is none.

    Efforts and asked keys are sorted by key.
    """
    score = vdot(distance_m, duration_s)
    band = np.minimum(np.searchsorted(BANDS_S, duration_s, side="right") - 1, len(BANDS_S) - 2)
    # many days have the same efforts before them, and few have efforts of which a line can be drawn
    (first, end), times = distinct(_window(key, asked, window_days))
    best = np.full((len(BANDS_S) - 1, len(first)), -1)  # the row of each band's best
    for number in range(len(BANDS_S) - 1):
        is_member = band == number
        members = np.flatnonzero(is_member)
        so_far = np.append(0, np.cumsum(is_member))
        best[number] = np.append(members, -1)[best_in_slices(score[members], so_far[first], so_far[end])]
    scores = np.append(score, np.nan)[best]
    with np.errstate(invalid="ignore"):
        counts = scores >= EFFORT_SHARE * np.fmax.reduce(scores, axis=0)
    enough = np.flatnonzero(counts.sum(axis=0) >= EFFORTS)
    speed = np.full(len(first), np.nan)
    speed[enough] = _speed_of_lines(duration_s[best[:, enough]], distance_m[best[:, enough]], counts[:, enough])
    return np.repeat(speed, times)


def _speed_of_lines(duration_s: Floats, distance_m: Floats, counts: NDArray[np.bool_]) -> Floats:
    """The slope (m/s) of the line through the efforts that count of each column, NaN where it is not sound."""
    with np.errstate(invalid="ignore", divide="ignore"):
        count = counts.sum(axis=0)
        time, metres = np.where(counts, duration_s, 0.0), np.where(counts, distance_m, 0.0)
        mean_time, mean_metres = time.sum(axis=0) / count, metres.sum(axis=0) / count
        time_off = np.where(counts, time - mean_time, 0.0)
        metres_off = np.where(counts, metres - mean_metres, 0.0)
        speed = (time_off * metres_off).sum(axis=0) / (time_off**2).sum(axis=0)
        intercept = mean_metres - speed * mean_time
        miss = np.abs(np.where(counts, (intercept + speed * time) / np.where(counts, metres, 1.0) - 1, 0.0)).max(axis=0)
        spread = time.max(axis=0) / np.where(counts, time, np.inf).min(axis=0)
        least, most = PLAUSIBLE_INTERCEPT_M
        sound = (spread >= DURATION_SPREAD) & (miss <= LINE_TOLERANCE) & (speed > 0)
        return np.where(sound & (intercept >= least) & (intercept <= most), speed, np.nan)


def best_effort_speed(
    key: Integers, distance_m: Floats, duration_s: Floats, asked: Integers, window_days: int
) -> Floats:
    """Speed (m/s) that the fastest effort in the window_days before each asked key says can be held for about an hour;
    NaN without one.

    Of 20 to 60 min it is the effort's own, for few run those all-out in training; of less, that of an hour with the
    effort's VDOT.
    """
    members = np.flatnonzero(duration_s <= BEST_EFFORT_S[1])
    shorter = members[duration_s[members] < BEST_EFFORT_S[0]]
    speed = distance_m / duration_s
    speed[shorter] = hour_speed(distance_m[shorter], duration_s[shorter])
    speed = speed[members]
    row = best_in_slices(speed, *_window(key[members], asked, window_days))
    return np.where(row >= 0, np.append(speed, np.nan)[row], np.nan)


def hour_speed(distance_m: Floats, duration_s: Floats) -> Floats:
    """Speed (m/s) at which an hour has the VDOT of the effort (Daniels & Gilbert, Oxygen Power, 1979)."""
    return speed_at_oxygen_cost(vdot(distance_m, duration_s) * held_share(60.0)) / 60


def best_power(key: Integers, watts: Floats, asked: Integers, window_days: int) -> Floats:
    """The highest power (W) of the window_days before each asked key; NaN where there is none. Rows sorted by key."""
    row = best_in_slices(watts, *_window(key, asked, window_days))
    return np.where(row >= 0, np.append(watts, np.nan)[row], np.nan)


def observed_hr_max(key: Integers, heart_rate: Floats, asked: Integers, window_days: int) -> Floats:
    """Robust maximum heart rate (bpm) of the window_days before each asked key; NaN under 10 days with one.

    heart_rate: the maximum of each activity, no NaN, sorted by key; of a day's activities the highest counts.
    """
    first_of_day = np.flatnonzero(np.diff(key, prepend=-1))
    if not len(first_of_day):
        return np.full(len(asked), np.nan)
    daily, key = np.maximum.reduceat(heart_rate, first_of_day), key[first_of_day]

    def rank(n: Integers) -> Integers:
        return np.maximum(HR_MAX_RANK, np.ceil(HR_MAX_SHARE * n).astype(np.int64))

    return _rank_in_slices(key, daily, _window(key, asked, window_days), rank, least=DAYS_FOR_HR_MAX)


def _window(key: Integers, asked: Integers, days: int) -> tuple[Integers, Integers]:
    """The slices of the rows that lie in the `days` days before each asked key, its own day not among them."""
    return np.searchsorted(key, asked - days), np.searchsorted(key, asked)


def best_in_slices(score: Floats, low: Integers, high: Integers) -> Integers:
    """Position of the highest score in each slice [low, high), -1 where it is empty; of equals the last."""
    order = np.argsort(score, kind="stable")
    rank = np.empty(len(score) + 1, dtype=np.int64)
    rank[order], rank[-1] = np.arange(len(score)), -1
    highest = np.maximum.reduceat(rank, np.column_stack([low, high]).ravel())[::2]
    return np.where(low < high, np.append(order, -1)[highest], -1)


def _rank_in_slices(
    key: Integers, values: Floats, slices: Slices, rank: Callable[[Integers], Integers], least: int
) -> Floats:
    """In each slice of n values the rank(n)-th highest, no NaN among them; NaN where n < least."""
    low, high = slices
    result = np.full(len(low), np.nan)
    chosen = np.flatnonzero(high - low >= least)
    low, high = low[chosen], high[chosen]
    result[chosen] = Ranked(key // ATHLETE_STEP, values).rank((low, high), high - low - rank(high - low))
    return result
