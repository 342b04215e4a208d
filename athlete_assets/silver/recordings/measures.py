"""What a recording tells: zones of time, pauses, graded distance, splits, laps, best efforts, and whether to trust it.

Pure functions of a recording, in NumPy. A STEP is the time from one sample to the next. Heart rate holds from its
sample to the next one. In a step the timer ran but for its stops; the athlete moved where the timer ran and he or she
was at least as fast as STANDING_MPS over the seconds around it.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from athlete_assets.formulas.grade import STEEPEST_GRADE, flat_metres_per_metre
from athlete_assets.silver.recordings.recording import LONGEST_STEP_S, Floats, Recording, Span

Mask = NDArray[np.bool_]

LOWEST_BPM, HIGHEST_BPM = 30, 230
"""The first and the last of the heart rates that are counted; others are a sensor's mistake."""
STANDING_MPS = 0.5
STANDING_AROUND_S = 5.0
"""s before and after a moment over which the speed is taken: distances come in jumps from second to second."""
JUMP_MPS, JUMP_MPS_ON_WHEELS = 10.0, 40.0
"""No runner keeps 10 m/s, no rider 40: a faster step is a position that jumped."""
JUMP_FROM_M = 20.0
ON_FEET = ("run", "walk")
"""The families of sports (silver.sports) for which JUMP_MPS holds."""
GRID_M, SMOOTH_M = 10.0, 100.0
"""m; heights are taken every GRID_M and averaged over SMOOTH_M, as barometers step and satellites wander."""
KNOWN_SHARE = 0.8
"""Share of a distance or time that a measure must know to speak for all of it."""
FLAT_FROM_S, FLAT_SHARE = 600.0, 0.9
"""A heart rate that stands still for so much of 10 min or more is a sensor that hangs, or a cadence taken for one."""
SPLIT_M, SHORTEST_SPLIT_M = 1000.0, 50.0
FIRST_LAP = 1001
"""The number of the first lap: kilometres are numbered from 1."""

BEST_DISTANCES_M = {
    "400m": 400.0,
    "800m": 800.0,
    "1k": 1000.0,
    "mile": 1609.344,
    "3k": 3000.0,
    "5k": 5000.0,
    "10k": 10_000.0,
    "15k": 15_000.0,
    "half": 21_097.5,
    "marathon": 42_195.0,
}
HIGHEST_POWER_W = 3000.0
"""W; a higher one is a sensor's mistake: sprinters on a track come to 2,500."""
ROLLING_POWER_S = 30
STRONGEST_S = 1200
BEST_TIMES_S = {"5min": 300.0, "10min": 600.0, "20min": 1200.0, "30min": 1800.0, "60min": 3600.0}


@dataclass(frozen=True)
class Split:
    """A part of the activity; null (None) is unknown."""

    number: int
    distance_m: float
    moving_s: float
    elapsed_s: float
    climb_m: float | None
    """Height at the end less height at the start."""
    mean_bpm: float | None
    max_bpm: float | None


@dataclass(frozen=True)
class BestEffort:
    """The fastest time over a distance, or the farthest in a time. The clock runs through pauses."""

    kind: str
    distance_m: float | None
    """None of the strongest 20 min."""
    elapsed_s: float
    start_offset_s: float
    """From the first sample."""
    mean_bpm: float | None
    mean_power_w: float | None = None


@dataclass(frozen=True)
class Measures:
    """What is kept of a recording."""

    start_s: float | None
    """s since 1970 UTC; None where the device had no clock."""
    utc_offset_s: int | None
    sport: str | None
    is_indoor: bool | None
    distance_m: float | None
    elapsed_s: float
    pause_s: float
    graded_distance_m: float | None
    climb_m: float | None
    """All rises, summed."""
    mean_bpm: float | None
    max_bpm: float | None
    seconds_by_bpm: list[float] | None
    gps_jumps: int
    has_flat_heart_rate: bool
    is_cut_off: bool
    splits: tuple[Split, ...]
    efforts: tuple[BestEffort, ...]
    mean_power_w: float | None = None
    weighted_power_w: float | None = None


def measured(recording: Recording, sport_family: str | None = None) -> Measures:
    """All measures of a recording. sport_family (silver.sports.family) decides which speeds are jumps."""
    course = Course(recording, JUMP_MPS if sport_family in (None, "any", *ON_FEET) else JUMP_MPS_ON_WHEELS)
    histogram, powered = course.seconds_by_bpm, course.power_by_second
    elapsed = max(course.elapsed_s, recording.elapsed_s or 0.0)
    return Measures(
        start_s=float(recording.time_s[0]) if recording.has_date else None,
        utc_offset_s=recording.utc_offset_s,
        sport=recording.sport,
        is_indoor=recording.is_indoor,
        distance_m=recording.total_distance_m if course.total_m is None else course.total_m,
        elapsed_s=elapsed,
        pause_s=course.pause_s,
        graded_distance_m=course.graded_distance_m,
        climb_m=course.climb_m,
        mean_bpm=course.mean_bpm(course.start, course.end, share=0.0),
        max_bpm=course.max_bpm(course.start, course.end),
        seconds_by_bpm=histogram.tolist() if histogram.sum() > 0 else None,
        gps_jumps=int(course.is_jump.sum()),
        has_flat_heart_rate=_is_flat(histogram),
        is_cut_off=recording.is_cut_off,
        splits=(*course.kilometres(), *course.laps()),
        efforts=(*best_efforts(course), *strongest(course)),
        mean_power_w=None if powered is None else float(powered.mean()),
        weighted_power_w=None if powered is None else weighted_power(powered),
    )


class Course:
    """A recording as running totals over its samples, from which any part of it is measured."""

    def __init__(self, recording: Recording, jump_mps: float = JUMP_MPS) -> None:
        self.recording = recording
        self.time, self.distance = recording.time_s, recording.distance_m
        self.start, self.end = float(self.time[0]), float(self.time[-1])
        self.step = np.diff(self.time)
        self.running = np.maximum(self.step - _overlap(self.time, recording.stops), 0.0)
        metres = np.diff(self.distance)
        with np.errstate(invalid="ignore"):
            self.is_jump: Mask = (metres > JUMP_FROM_M) & (metres > jump_mps * self.step)

    @property
    def elapsed_s(self) -> float:
        return self.end - self.start

    @cached_property
    def total_m(self) -> float | None:
        """m; None where neither distance nor position was recorded, or nobody moved."""
        total = float(self.distance[-1])
        return total if total > 0 else None

    # ------------------------------------------------------------------------------------------------------ time

    @cached_property
    def moving(self) -> Floats:
        """Seconds of each step in motion."""
        if self.total_m is None:
            return self.running
        middle = (self.time[:-1] + self.time[1:]) / 2
        around = np.maximum(self.step / 2, STANDING_AROUND_S)
        first, last = np.maximum(middle - around, self.start), np.minimum(middle + around, self.end)
        covered = np.interp(last, self.time, self.distance) - np.interp(first, self.time, self.distance)
        return np.where(covered >= STANDING_MPS * (last - first), self.running, 0.0)

    @property
    def pause_s(self) -> float:
        """Seconds between the first and the last sample without motion, or with the timer stopped."""
        return float(max(self.elapsed_s - self.moving.sum(), 0.0))

    def moving_between(self, start: float, end: float) -> float:
        """Seconds in motion; within a step they are spread evenly."""
        return float(np.diff(np.interp([start, end], self.time, self._moved))[0])

    @cached_property
    def _moved(self) -> Floats:
        """Seconds in motion up to each sample."""
        return _total(self.moving)

    # ------------------------------------------------------------------------------------------------ heart rate

    @cached_property
    def beating(self) -> Floats:
        """Seconds of each step whose heart rate is known: the timer ran, and the step is not too long."""
        bpm = self.recording.bpm[:-1]
        with np.errstate(invalid="ignore"):
            known = (bpm >= LOWEST_BPM) & (bpm <= HIGHEST_BPM)
        return np.where(known & (self.running <= LONGEST_STEP_S), self.running, 0.0)

    @cached_property
    def seconds_by_bpm(self) -> Floats:
        """Seconds at each heart rate from LOWEST_BPM to HIGHEST_BPM, to the nearest beat."""
        counts = self.beating > 0
        beat = np.rint(self.recording.bpm[:-1][counts]).astype(np.int64) - LOWEST_BPM
        return np.bincount(beat, self.beating[counts], minlength=HIGHEST_BPM - LOWEST_BPM + 1).astype(np.float64)

    def mean_bpm(self, start: float, end: float, share: float = KNOWN_SHARE) -> float | None:
        """Mean over the time with a known heart rate; None where that is less than the share of the time."""
        known, weighted = self._beats
        seconds = float(np.diff(np.interp([start, end], self.time, known))[0])
        beats = float(np.diff(np.interp([start, end], self.time, weighted))[0])
        return beats / seconds if seconds > 0 and seconds >= share * (end - start) else None

    @cached_property
    def _beats(self) -> tuple[Floats, Floats]:
        """Up to each sample, seconds with a known heart rate, and their sum weighted by it."""
        bpm = np.where(self.beating > 0, self.recording.bpm[:-1], 0.0)
        return _total(self.beating), _total(self.beating * bpm)

    def max_bpm(self, start: float, end: float) -> float | None:
        first, last = np.searchsorted(self.time, [start, end])
        bpm = self.recording.bpm[first : last + (end >= self.end)]
        bpm = bpm[np.isfinite(bpm)]
        bpm = bpm[(bpm >= LOWEST_BPM) & (bpm <= HIGHEST_BPM)]
        return float(bpm.max()) if len(bpm) else None

    # ----------------------------------------------------------------------------------------------------- power

    @cached_property
    def powering(self) -> Floats:
        """Seconds of each step whose power is known: the timer ran, and the step is not too long."""
        if self.recording.power_w is None:
            return np.zeros(len(self.step))
        watts = self.recording.power_w[:-1]
        with np.errstate(invalid="ignore"):
            known = (watts >= 0) & (watts <= HIGHEST_POWER_W)
        return np.where(known & (self.running <= LONGEST_STEP_S), self.running, 0.0)

    @cached_property
    def power_by_second(self) -> Floats | None:
        """W in each second with the timer running, coasting included; None where little of that time is known."""
        seconds, watts = self.powering, self.recording.power_w
        if watts is None or not seconds.sum() or seconds.sum() < KNOWN_SHARE * self.running.sum():
            return None
        if not (watts[:-1][seconds > 0] > 0).any():
            return None  # a meter that only ever says 0 is none
        ends = np.cumsum(seconds)
        step = np.searchsorted(ends, np.arange(int(ends[-1])), side="right")
        return watts[step]

    # -------------------------------------------------------------------------------------------------- altitude

    @cached_property
    def heights(self) -> tuple[Floats, Floats] | None:
        """Smoothed height (m) at distances every GRID_M or a little less; None where too little of it is known."""
        known = np.isfinite(self.recording.altitude_m)
        if self.total_m is None or self.total_m < 2 * GRID_M or known.sum() < 2:
            return None
        at, height = self.distance[known], self.recording.altitude_m[known]
        steps_m, is_known = np.diff(self.distance), known[1:] & known[:-1]
        if steps_m[is_known].sum() < KNOWN_SHARE * self.total_m:
            return None
        place, first = np.unique(at, return_index=True)
        grid = np.linspace(0.0, self.total_m, max(3, int(self.total_m / GRID_M) + 1), dtype=np.float64)
        return grid, _smoothed(np.interp(grid, place, height[first]), round(SMOOTH_M / GRID_M / 2))

    @cached_property
    def graded_distance_m(self) -> float | None:
        """Metres on the flat of equal effort (formulas.grade); None where heights are not known."""
        if self.heights is None:
            return None
        grid, height = self.heights
        metres = np.diff(grid)
        grade = np.clip(np.diff(height) / metres, -STEEPEST_GRADE, STEEPEST_GRADE)
        return float((metres * flat_metres_per_metre(grade)).sum())

    @property
    def climb_m(self) -> float | None:
        return None if self.heights is None else float(np.maximum(np.diff(self.heights[1]), 0.0).sum())

    def height_difference(self, first_m: float, last_m: float) -> float | None:
        if self.heights is None:
            return None
        return float(np.diff(np.interp([first_m, last_m], *self.heights))[0])

    # -------------------------------------------------------------------------------------------- splits and laps

    def kilometres(self) -> Iterator[Split]:
        """Each full kilometre, and what is left after the last."""
        if self.total_m is None:
            return
        ends = np.arange(SPLIT_M, self.total_m, SPLIT_M).tolist()
        if not ends or self.total_m - ends[-1] >= SHORTEST_SPLIT_M:
            ends.append(self.total_m)
        else:
            ends[-1] = self.total_m
        first_m, start = 0.0, self.start
        reached = [*_earliest(self.distance, self.time, np.array(ends[:-1])).tolist(), self.end]
        for number, (last_m, end) in enumerate(zip(ends, reached, strict=True), start=1):
            yield self._split(number, first_m, last_m, start, end)
            first_m, start = last_m, end

    def laps(self) -> Iterator[Split]:
        """The laps of the device, where there are several; those outside the samples are left out."""
        laps = [(max(start, self.start), min(end, self.end)) for start, end in self.recording.laps]
        laps = [lap for lap in laps if lap[1] > lap[0]]
        if len(laps) < 2:
            return
        for number, (start, end) in enumerate(laps, start=FIRST_LAP):
            first_m, last_m = np.interp([start, end], self.time, self.distance).tolist()
            yield self._split(number, first_m, last_m, start, end)

    def _split(self, number: int, first_m: float, last_m: float, start: float, end: float) -> Split:
        metres = last_m - first_m
        return Split(
            number,
            metres if np.isfinite(metres) else 0.0,
            self.moving_between(start, end),
            end - start,
            self.height_difference(first_m, last_m) if np.isfinite(metres) else None,
            self.mean_bpm(start, end, share=0.0),
            self.max_bpm(start, end),
        )


# ------------------------------------------------------------------------------------------------------- best efforts


def best_efforts(course: Course) -> Iterator[BestEffort]:
    """The best of each kind that the recording is long enough for. No effort reaches over a jump."""
    if course.total_m is None:
        return
    pieces = list(_pieces(course))
    for kind, metres in BEST_DISTANCES_M.items():
        found = [effort for piece in pieces if (effort := _fastest(piece, metres)) is not None]
        if found:
            start, end = min(found, key=lambda span: (span[1] - span[0], span[0]))
            yield _effort(course, kind, metres, start, end)
    for kind, seconds in BEST_TIMES_S.items():
        farthest = [
            effort for piece in pieces if (effort := _farthest(piece.time, piece.distance, seconds)) is not None
        ]
        if farthest:
            metres, start = max(farthest, key=lambda found: (found[0], -found[1]))
            if metres > 0:
                yield _effort(course, kind, metres, start, start + seconds)


def _effort(course: Course, kind: str, metres: float, start: float, end: float) -> BestEffort:
    return BestEffort(kind, metres, end - start, start - course.start, course.mean_bpm(start, end))


def weighted_power(watts: Floats) -> float | None:
    """The power that, held evenly, strains as much: the fourth root of the mean fourth power of the rolling mean over
    30 s (normalised power; Allen & Coggan). watts: one a second; None of less than 30 s."""
    if len(watts) < ROLLING_POWER_S:
        return None
    return float((_rolling_mean(watts, ROLLING_POWER_S) ** 4).mean() ** 0.25)


def strongest(course: Course) -> Iterator[BestEffort]:
    """The 20 min with the highest mean power, on the clock: what is not known, or stood still, counts as nothing."""
    if course.power_by_second is None or course.elapsed_s < STRONGEST_S or course.recording.power_w is None:
        return
    work = _total(course.powering * np.where(course.powering > 0, course.recording.power_w[:-1], 0.0))
    end = np.arange(STRONGEST_S, int(course.elapsed_s) + 1, dtype=np.float64) + course.start
    watts = (np.interp(end, course.time, work) - np.interp(end - STRONGEST_S, course.time, work)) / STRONGEST_S
    best = int(np.argmax(watts))
    start = float(end[best]) - STRONGEST_S
    mean_bpm = course.mean_bpm(start, start + STRONGEST_S)
    yield BestEffort("20min_power", None, STRONGEST_S, start - course.start, mean_bpm, float(watts[best]))


def _rolling_mean(values: Floats, width: int) -> Floats:
    total = _total(values)
    return (total[width:] - total[:-width]) / width


@dataclass(frozen=True)
class _Piece:
    """Samples without a jump."""

    time: Floats
    distance: Floats

    @cached_property
    def reached(self) -> Floats:
        """When the distance of each sample was reached; later samples of those who stand have the same."""
        return self.time[np.searchsorted(self.distance, self.distance, side="left")]

    @cached_property
    def left(self) -> Floats:
        """When it was left again."""
        return self.time[np.searchsorted(self.distance, self.distance, side="right") - 1]


def _pieces(course: Course) -> Iterator[_Piece]:
    """What lies between the jumps."""
    cuts = [0, *(np.flatnonzero(course.is_jump) + 1).tolist(), len(course.time)]
    for first, last in itertools.pairwise(cuts):
        if last - first >= 2:
            yield _Piece(course.time[first:last], course.distance[first:last])


def _fastest(piece: _Piece, metres: float) -> Span | None:
    """The shortest time over the distance. It begins or ends at a sample: between two the speed is constant."""
    time, distance = piece.time, piece.distance
    if distance[-1] - distance[0] < metres:
        return None
    starts, ends = distance + metres <= distance[-1], distance - metres >= distance[0]
    begin = np.concatenate([piece.left[starts], _latest(distance, time, distance[ends] - metres)])
    end = np.concatenate([_earliest(distance, time, distance[starts] + metres), piece.reached[ends]])
    best = int(np.argmin(end - begin))
    return float(begin[best]), float(end[best])


def _farthest(time: Floats, distance: Floats, seconds: float) -> tuple[float, float] | None:
    """The longest distance in the time, and when it begins."""
    if time[-1] - time[0] < seconds:
        return None
    begin = np.concatenate([time[time + seconds <= time[-1]], time[time - seconds >= time[0]] - seconds])
    metres = np.interp(begin + seconds, time, distance) - np.interp(begin, time, distance)
    best = int(np.argmax(metres))
    return float(metres[best]), float(begin[best])


def _earliest(distance: Floats, time: Floats, at: Floats | float) -> Floats:
    """When the distance was reached."""
    after = np.clip(np.searchsorted(distance, at, side="left"), 0, len(distance) - 1)
    before = np.maximum(after - 1, 0)
    return _between(distance, time, before, after, at)


def _latest(distance: Floats, time: Floats, at: Floats | float) -> Floats:
    """When it was left again: later than it was reached where the athlete stood there."""
    before = np.clip(np.searchsorted(distance, at, side="right") - 1, 0, len(distance) - 1)
    after = np.minimum(before + 1, len(distance) - 1)
    return np.where(distance[before] == at, time[before], _between(distance, time, before, after, at))


def _between(
    distance: Floats, time: Floats, before: NDArray[np.int64], after: NDArray[np.int64], at: Floats | float
) -> Floats:
    length = distance[after] - distance[before]
    share = np.divide(at - distance[before], length, out=np.ones_like(length), where=length > 0)
    return np.where(distance[after] == at, time[after], time[before] + share * (time[after] - time[before]))


# ------------------------------------------------------------------------------------------------------------ helpers


def _total(values: Floats) -> Floats:
    """The running total at each sample of what the steps hold."""
    return np.concatenate([[0.0], np.cumsum(values)])


def _overlap(time: Floats, spans: tuple[Span, ...]) -> Floats:
    """Seconds of each step that lie in one of the spans."""
    stopped = np.zeros(len(time) - 1)
    for start, end in spans:
        stopped += np.maximum(np.minimum(time[1:], end) - np.maximum(time[:-1], start), 0.0)
    return np.minimum(stopped, np.diff(time))


def _smoothed(heights: Floats, reach: int) -> Floats:
    """Each the mean of its neighbours up to `reach` on both sides; the ends are continued, so a slope stays one."""
    reach = min(reach, len(heights) - 1)
    padded = np.pad(heights, reach, mode="reflect", reflect_type="odd")
    total = np.concatenate([[0.0], np.cumsum(padded)])
    width = 2 * reach + 1
    return (total[width:] - total[:-width]) / width


def _is_flat(histogram: Floats) -> bool:
    total = float(histogram.sum())
    return total >= FLAT_FROM_S and float(histogram.max()) >= FLAT_SHARE * total
