"""What is made of a recording is what one can work out by hand."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from athlete_assets.formulas.grade import flat_metres_per_metre
from athlete_assets.silver.recordings.formats import read_recording
from athlete_assets.silver.recordings.measures import (
    BEST_DISTANCES_M,
    BEST_TIMES_S,
    FIRST_LAP,
    LOWEST_BPM,
    BestEffort,
    Measures,
    measured,
)
from athlete_assets_tests.conftest import shared_file
from athlete_assets_tests.silver.recordings.files import Sample, fit, gpx, steady, tcx


def of(data: bytes, family: str | None = "run") -> Measures:
    return measured(read_recording(data), family)


def efforts(measures: Measures) -> dict[str, BestEffort]:
    return {effort.kind: effort for effort in measures.efforts}


def at_bpm(measures: Measures) -> dict[int, float]:
    assert measures.seconds_by_bpm is not None
    return {LOWEST_BPM + n: seconds for n, seconds in enumerate(measures.seconds_by_bpm) if seconds}


# ------------------------------------------------------------------------------------------------------- heart rate


def test_each_heart_rate_holds_until_the_next_sample() -> None:
    samples = [Sample(0, 0, 120), Sample(10, 30, 140), Sample(15, 45, 140), Sample(40, 120, 160)]
    assert at_bpm(of(fit(samples))) == {120: 10, 140: 30}


def test_a_heart_rate_does_not_hold_through_a_hole_or_a_stop() -> None:
    samples = [Sample(0, 0, 120), Sample(10, 30, 130), Sample(400, 1200, 140), Sample(410, 1230, 150)]
    assert at_bpm(of(fit(samples))) == {120: 10, 140: 10}
    stopped = fit(samples, events=[(0, 0), (15, 4), (395, 0)])
    assert at_bpm(of(stopped)) == {120: 10, 130: 10, 140: 10}


def test_impossible_heart_rates_count_nowhere() -> None:
    samples = [Sample(0, 0, 29), Sample(10, 30, 30), Sample(20, 60, 230), Sample(30, 90, 231), Sample(40, 120, 100)]
    found = of(fit(samples))
    assert at_bpm(found) == {30: 10, 230: 10}
    assert (found.mean_bpm, found.max_bpm) == (130, 230)
    assert of(fit(steady(60, 3.0))).seconds_by_bpm is None


def test_a_heart_rate_that_stands_still_is_flagged() -> None:
    assert of(fit(steady(700, 3.0, bpm=81))).has_flat_heart_rate
    assert not of(fit(steady(500, 3.0, bpm=81))).has_flat_heart_rate
    alive = [Sample(at, at * 3.0, 140 + at % 7) for at in range(700)]
    assert not of(fit(alive)).has_flat_heart_rate


# ------------------------------------------------------------------------------------------------------------ pauses


def test_a_steady_run_has_no_pause() -> None:
    assert of(fit(steady(1200, 3.0))).pause_s == 0
    assert of(fit(steady(1200, 3.0, every=7))).pause_s == 0


def test_standing_is_a_pause_whether_the_timer_ran_or_not() -> None:
    before = [Sample(at, at * 3.0) for at in range(301)]
    standing = [Sample(at, 900.0) for at in range(301, 421)]
    after = [Sample(at, 900 + (at - 420) * 3.0) for at in range(421, 721)]
    found = of(fit([*before, *standing, *after]))
    assert found.pause_s == pytest.approx(120, abs=8)  # the seconds around each end belong to the run
    assert found.elapsed_s == 720
    stopped = of(fit([*before, *after], events=[(0, 0), (300, 4), (420, 0)]))
    assert stopped.pause_s == pytest.approx(120, abs=1)


# ------------------------------------------------------------------------------------------------------------ grades


@pytest.mark.parametrize("slope", [0.0, 0.05, 0.1, -0.1])
def test_graded_distance_is_minetti_on_a_constant_slope(slope: float) -> None:
    found = of(gpx(steady(1000, 3.0, slope=slope)))
    assert found.graded_distance_m == pytest.approx(3000 * float(flat_metres_per_metre(slope)), rel=1e-3)
    assert found.climb_m == pytest.approx(max(3000 * slope, 0), abs=0.1)


def test_noise_of_a_height_is_no_climb() -> None:
    rough = [Sample(at, at * 3.0, height=100 + (0.5 if at % 2 else -0.5)) for at in range(1001)]
    assert of(fit(rough)).graded_distance_m == pytest.approx(3000, rel=0.002)


def test_without_heights_the_grade_is_unknown() -> None:
    found = of(fit(steady(1000, 3.0)))
    assert found.graded_distance_m is None
    half_known = [*steady(500, 3.0, slope=0.1), *(Sample(at, at * 3.0) for at in range(501, 1001))]
    assert of(fit(half_known)).graded_distance_m is None


# --------------------------------------------------------------------------------------------------- splits and laps


def test_kilometres_add_up_to_the_run() -> None:
    first = [Sample(at, at * 4.0, 150) for at in range(251)]
    second = [Sample(at, 1000 + (at - 250) * 2.5, 170) for at in range(251, 851)]
    found = of(fit([*first, *second]))
    assert [(split.number, round(split.distance_m), round(split.elapsed_s)) for split in found.splits] == [
        (1, 1000, 250),
        (2, 1000, 400),
        (3, 500, 200),
    ]
    assert [round(split.mean_bpm or 0) for split in found.splits] == [150, 170, 170]
    assert sum(split.elapsed_s for split in found.splits) == found.elapsed_s


def test_what_is_left_after_the_last_kilometre_belongs_to_it_where_it_is_short() -> None:
    found = of(fit(steady(340, 3.0)))
    assert [(split.number, split.distance_m) for split in found.splits] == [(1, pytest.approx(1020))]


def test_laps_are_numbered_apart() -> None:
    found = of(fit(steady(600, 3.0), laps=[(0, 200), (200, 400)]))
    laps = [split for split in found.splits if split.number >= FIRST_LAP]
    assert [(lap.number, round(lap.distance_m), lap.elapsed_s) for lap in laps] == [(1001, 600, 200), (1002, 1200, 400)]
    assert [split.number for split in of(tcx(steady(600, 3.0))).splits] == [1, 2]  # one lap is the whole


# ------------------------------------------------------------------------------------------------------ best efforts


def test_a_fast_part_is_found_where_it_is() -> None:
    slow = [Sample(at, at * 2.5, 140) for at in range(401)]  # 1,000 m
    fast = [Sample(at, 1000 + (at - 400) * 5.0, 180) for at in range(401, 601)]  # 1,000 m in 200 s
    rest = [Sample(at, 2000 + (at - 600) * 2.5, 150) for at in range(601, 1001)]
    found = efforts(of(fit([*slow, *fast, *rest])))
    assert found["1k"].elapsed_s == pytest.approx(200)
    assert found["1k"].start_offset_s == pytest.approx(400)
    assert found["1k"].mean_bpm == pytest.approx(180, abs=1)
    assert found["400m"].elapsed_s == pytest.approx(80)
    assert found["mile"].elapsed_s == pytest.approx(200 + 609.344 / 2.5)
    assert found["5min"].distance_m == pytest.approx(1000 + 100 * 2.5)
    assert found["10min"].distance_m == pytest.approx(1000 + 400 * 2.5)
    assert "3k" in found
    assert "5k" not in found
    assert "20min" not in found


def test_the_clock_runs_on_in_a_pause() -> None:
    first = steady(200, 5.0)  # 1,000 m
    second = [Sample(at, 1000 + (at - 300) * 5.0) for at in range(300, 501)]
    found = efforts(of(fit([*first, *second], events=[(0, 0), (200, 4), (300, 0)])))
    assert found["1k"].elapsed_s == pytest.approx(200)
    assert found["mile"].elapsed_s == pytest.approx(1609.344 / 5 + 100)


def test_no_effort_reaches_over_a_jump_of_the_position() -> None:
    jumped = [Sample(at, at * 3.0 + (500 if at > 200 else 0)) for at in range(801)]
    found = of(fit(jumped))
    assert found.gps_jumps == 1
    assert efforts(found)["1k"].elapsed_s == pytest.approx(1000 / 3)
    assert of(fit(jumped), "ride").gps_jumps == 1
    assert of(fit([Sample(at, at * 14.0) for at in range(0, 100, 5)]), "ride").gps_jumps == 0


def test_a_swimmer_s_or_lifter_s_recording_has_what_it_has() -> None:
    found = of(fit([Sample(at, None, 100 + at % 5) for at in range(600)]), "WeightTraining")
    assert (found.distance_m, found.efforts, found.splits) == (None, (), ())
    assert sum(found.seconds_by_bpm or []) == 599


def brute_force(samples: list[Sample], metres: float) -> float:
    """The fastest time over the distance among windows that begin at any tenth of a second."""
    time, distance = np.array([s.at for s in samples]), np.array([s.metres for s in samples])
    starts = np.arange(time[0], time[-1], 0.1)
    begin = np.interp(starts, time, distance)
    inside = begin + metres <= distance[-1]
    return float((np.interp(begin[inside] + metres, distance, time) - starts[inside]).min())


@given(
    speeds=st.lists(st.floats(1.0, 6.0), min_size=20, max_size=60),
    every=st.sampled_from([5, 13]),
    kind=st.sampled_from(["400m", "800m", "1k"]),
)
def test_the_best_is_the_best_of_all_windows(speeds: list[float], every: int, kind: str) -> None:
    metres = np.concatenate([[0.0], np.cumsum(np.round(np.array(speeds) * every, 2))])
    samples = [Sample(n * every, float(value)) for n, value in enumerate(metres)]
    found = efforts(of(fit(samples)))
    if metres[-1] < BEST_DISTANCES_M[kind]:
        assert kind not in found
        return
    expected = brute_force(samples, BEST_DISTANCES_M[kind])
    assert found[kind].elapsed_s <= expected + 1e-6
    assert found[kind].elapsed_s >= expected - 0.2


@given(st.lists(st.tuples(st.integers(1, 40), st.floats(0, 8), st.integers(20, 240)), min_size=2, max_size=80))
def test_the_parts_add_up_to_the_whole(steps: list[tuple[int, float, int]]) -> None:
    samples, at, metres = [Sample(0, 0.0, 100)], 0, 0.0
    for seconds, speed, bpm in steps:
        at, metres = at + seconds, round(metres + seconds * speed, 2)
        samples.append(Sample(at, metres, bpm))
    found = of(fit(samples))
    assert 0 <= found.pause_s <= found.elapsed_s
    assert sum(found.seconds_by_bpm or []) <= found.elapsed_s + 1e-6
    kilometres = [split for split in found.splits if split.number < FIRST_LAP]
    if found.distance_m:
        assert sum(split.distance_m for split in kilometres) == pytest.approx(found.distance_m)
        assert sum(split.elapsed_s for split in kilometres) == pytest.approx(at)
        assert sum(split.moving_s for split in kilometres) == pytest.approx(at - found.pause_s)
    times = [efforts(found)[kind].elapsed_s for kind in BEST_DISTANCES_M if kind in efforts(found)]
    assert times == sorted(times)
    far = [efforts(found)[kind].distance_m for kind in BEST_TIMES_S if kind in efforts(found)]
    assert far == sorted(far)


def test_a_real_ten_kilometre_race_agrees_with_its_watch() -> None:
    """The watch's own laps: 10,010.82 m in 2,223.8 s, the first kilometre in 212.2 s."""
    found = of(shared_file("recordings/10kUNLP2014-Garmin15.fit").read_bytes())
    assert found.utc_offset_s == -10_800
    laps = [split for split in found.splits if split.number >= FIRST_LAP]
    assert len(laps) == 11
    assert laps[0].elapsed_s == pytest.approx(212.152)
    assert laps[0].distance_m == pytest.approx(1000, abs=5)
    assert efforts(found)["10k"].elapsed_s == pytest.approx(2223.8 * 10_000 / 10_010.82, abs=3)
    assert efforts(found)["5k"].elapsed_s < efforts(found)["10k"].elapsed_s / 2


# ------------------------------------------------------------------------------------------------------------ power


def ride(*watts: int | None) -> list[Sample]:
    """A second at each of these, and one more."""
    return [Sample(at, at * 8.0, watts=value) for at, value in enumerate([*watts, watts[-1]])]


@pytest.mark.parametrize("of_file", [fit, tcx])
def test_weighted_power_is_the_fourth_root_of_the_rolling_mean(of_file: Callable[[list[Sample]], bytes]) -> None:
    """300 s at 100 W, then 300 s at 300 W: of the means of 30 s 271 lie in each, and 29 in between."""
    found = of(of_file(ride(*[100] * 300, *[300] * 300)), "ride")
    means = [100.0] * 271 + [(100 * (30 - n) + 300 * n) / 30 for n in range(1, 30)] + [300.0] * 271
    assert found.weighted_power_w == pytest.approx((sum(mean**4 for mean in means) / 571) ** 0.25)
    assert found.mean_power_w == pytest.approx(200)
    steady_ride = of(of_file(ride(*[210] * 100)), "ride")
    assert (steady_ride.weighted_power_w, steady_ride.mean_power_w) == (pytest.approx(210), pytest.approx(210))


def test_power_that_is_not_known_is_none() -> None:
    assert of(fit(steady(100, 8.0)), "ride").weighted_power_w is None
    assert of(fit(ride(*[0] * 100)), "ride").weighted_power_w is None  # no meter
    assert of(fit(ride(*[200] * 20)), "ride").weighted_power_w is None  # less than 30 s
    assert of(fit(ride(*[200] * 70, *[None] * 30)), "ride").weighted_power_w is None  # 70 % of the time
    assert of(fit(ride(*[200] * 99, 4000)), "ride").weighted_power_w == pytest.approx(200)


def test_a_stop_is_no_time_of_the_weighted_power_but_of_the_strongest_twenty_minutes() -> None:
    """20 min at 240 W with 5 min of rest in the middle: 15 of 20 min on the clock."""
    samples = [Sample(at, at * 8.0, watts=240) for at in (*range(601), *range(900, 1501))]
    found = of(fit(samples, events=[(0, 0), (600, 4), (900, 0)]), "ride")
    assert found.weighted_power_w == pytest.approx(240)
    assert efforts(found)["20min_power"].mean_power_w == pytest.approx(240 * 15 / 20)


def test_the_strongest_twenty_minutes_are_found_where_they_lie() -> None:
    found = of(fit(ride(*[100] * 500, *[250] * 1200, *[100] * 900)), "ride")
    best = efforts(found)["20min_power"]
    assert (best.mean_power_w, best.start_offset_s, best.elapsed_s) == (pytest.approx(250), 500, 1200)
    assert best.distance_m is None
    assert "20min_power" not in efforts(of(fit(ride(*[250] * 1100)), "ride"))
