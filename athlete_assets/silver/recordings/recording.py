"""A recording in memory, whatever kind of file it came from: samples over time, without positions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Span = tuple[float, float]
"""s since 1970-01-01 UTC, from and to."""
Beats = tuple[tuple[int, float], ...]
"""Heart rates in order of time: s since 1970-01-01 UTC, and bpm."""

EARTH_RADIUS_M = 6_371_008.8
FIRST_YEAR_S = 946_684_800.0
"""2000-01-01 UTC; a device that says an earlier time has lost its clock, or counts from when it was switched on."""
LONGEST_DAYS = 7
LEAST_SAMPLES = 2
LONGEST_STEP_S = 30.0
"""s; what a sample said does not hold for longer. Devices that save space write one in 7 s or so."""
QUARTER_HOUR_S = 900
OFFSET_SLACK_S = 120.0
"""s; local and UTC time of a device are written this far apart from a whole quarter of an hour at most."""
WESTERNMOST_S, EASTERNMOST_S = -12 * 3600, 14 * 3600


class UnreadableError(Exception):
    """A file that holds no recording; its text is the reason, as the end of a sentence that begins with the file."""


class NoActivityError(UnreadableError):
    """A sound file of another kind, as watches and accounts hold many: settings, monitoring, courses."""


@dataclass(frozen=True)
class Recording:
    """One activity as a device sampled it. Arrays have one value a sample; NaN is unknown."""

    time_s: Floats
    """s since 1970-01-01 UTC, strictly increasing."""
    distance_m: Floats
    """m from the start, never falling; all NaN where neither distance nor position was recorded."""
    altitude_m: Floats
    bpm: Floats
    """Heart rate as recorded, plausible or not."""
    stops: tuple[Span, ...] = ()
    """When the timer was stopped, or the track was interrupted."""
    laps: tuple[Span, ...] = ()
    sport: str | None = None
    """As the file spells it."""
    is_indoor: bool | None = None
    utc_offset_s: int | None = None
    total_distance_m: float | None = None
    """What the device itself states of the whole activity; None where the file has no such figure."""
    elapsed_s: float | None = None
    is_cut_off: bool = False
    """The file ended too early, or became unreadable in the middle."""
    power_w: Floats | None = None
    """Power as recorded, plausible or not; None without a power meter."""

    @property
    def has_date(self) -> bool:
        """Whether its times are those of a calendar; without, only differences of times mean anything."""
        return bool(self.time_s[0] >= FIRST_YEAR_S)

    def with_heart_rate(self, beats: Beats) -> Recording:
        """With a heart rate that was written elsewhere; as it is where it has one of its own.

        A beat's rate holds until the next one, for LONGEST_STEP_S at most.
        """
        if not beats or np.isfinite(self.bpm).any():
            return self
        at, bpm = np.array(beats, dtype=np.float64).T
        last = np.searchsorted(at, self.time_s, side="right") - 1
        is_known = (last >= 0) & (self.time_s - at[last] < LONGEST_STEP_S)
        return replace(self, bpm=np.where(is_known, bpm[last], np.nan))


@dataclass(frozen=True)
class Samples:
    """What a parser found, sample by sample in the order of the file; a missing column is None, a value NaN."""

    time_s: Sequence[float] | Floats
    distance_m: Sequence[float] | Floats | None = None
    latitude: Sequence[float] | Floats | None = None
    longitude: Sequence[float] | Floats | None = None
    """Degrees; they become distances here, and go no further."""
    altitude_m: Sequence[float] | Floats | None = None
    bpm: Sequence[float] | Floats | None = None
    power_w: Sequence[float] | Floats | None = None

    def columns(self) -> tuple[Floats, Floats, Floats, Floats, Floats]:
        """Time, distance, altitude, heart rate and power, in order of time, each time once.

        Raises UnreadableError where there are fewer than two times, or they span more days than an activity lasts.
        """
        stated = np.asarray(self.time_s, dtype=np.float64)
        known = np.flatnonzero(np.isfinite(stated))
        if len(known) < LEAST_SAMPLES:
            raise UnreadableError("holds no samples with a time")
        order = known[np.argsort(stated[known], kind="stable")]
        time, position = np.unique(stated[order], return_inverse=True)
        if len(time) < LEAST_SAMPLES:
            raise UnreadableError("holds no samples with different times")
        if time[-1] - time[0] > LONGEST_DAYS * 86_400:
            raise UnreadableError(f"spans {(time[-1] - time[0]) / 86_400:.0f} days, so its times are damaged")

        def column(values: Sequence[float] | Floats | None) -> Floats:
            result = np.full(len(time), np.nan)
            if values is not None:
                found = np.asarray(values, dtype=np.float64)[order]
                is_known = np.isfinite(found)
                result[position[is_known]] = found[is_known]  # of equal times the last that is known
            return result

        distance = _running_total(column(self.distance_m), time)
        if np.isnan(distance).all():
            distance = _running_total(_travelled(column(self.latitude), column(self.longitude)), time)
        return time, distance, column(self.altitude_m), column(self.bpm), column(self.power_w)


def whole_offset(local_s: float, utc_s: float) -> int | None:
    """s; the offset from UTC to the athlete's clock, to the quarter of an hour. None where the two name no zone's."""
    difference = local_s - utc_s
    nearest = round(difference / QUARTER_HOUR_S) * QUARTER_HOUR_S
    plausible = abs(difference - nearest) <= OFFSET_SLACK_S and WESTERNMOST_S <= nearest <= EASTERNMOST_S
    return nearest if plausible else None


def _running_total(distance: Floats, time: Floats) -> Floats:
    """Distance from the start at each time: falls (a new session, a correction) add nothing; gaps are bridged."""
    known = np.flatnonzero(np.isfinite(distance))
    if len(known) < LEAST_SAMPLES:
        return np.full(len(distance), np.nan)
    steps = np.maximum(np.diff(distance[known], prepend=distance[known[0]]), 0.0)
    return np.interp(time, time[known], np.cumsum(steps))


def _travelled(latitude: Floats, longitude: Floats) -> Floats:
    """m; great circles between the positions (haversine), summed; NaN where a sample has no position."""
    known = (np.abs(latitude) <= 90) & (np.abs(longitude) <= 180) & ((latitude != 0) | (longitude != 0))
    result = np.full(len(latitude), np.nan)
    north, east = np.radians(latitude[known]), np.radians(longitude[known])
    half = np.sin(np.diff(north) / 2) ** 2 + np.cos(north[:-1]) * np.cos(north[1:]) * np.sin(np.diff(east) / 2) ** 2
    steps = 2 * EARTH_RADIUS_M * np.arcsin(np.sqrt(np.clip(half, 0.0, 1.0)))
    result[known] = np.concatenate([np.zeros(min(1, known.sum())), np.cumsum(steps)])
    return result
