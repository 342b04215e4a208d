"""The simulated days, the seasons, and the clocks of the places where the athletes live."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import numpy as np

from athlete_assets.days import monday_of
from athlete_assets.silver.simulator.draws import Floats, Integers

ZONES: tuple[tuple[str, float, float, float], ...] = (
    ("America/Sao_Paulo", 0.25, 20.0, -4.0),
    ("Europe/Berlin", 0.12, 10.0, 9.5),
    ("Europe/Lisbon", 0.08, 17.0, 5.5),
    ("Europe/London", 0.10, 11.0, 6.5),
    ("America/New_York", 0.12, 13.0, 12.0),
    ("America/Los_Angeles", 0.06, 18.0, 4.0),
    ("America/St_Johns", 0.04, 5.0, 10.0),
    ("Asia/Kolkata", 0.07, 25.0, 5.0),
    ("Asia/Kathmandu", 0.04, 18.0, 6.5),
    ("Asia/Tokyo", 0.05, 16.0, 10.5),
    ("Australia/Adelaide", 0.04, 17.0, -6.0),
    ("Africa/Nairobi", 0.03, 19.0, -1.5),
)
"""IANA zone, share of athletes, mean temperature and its seasonal amplitude in C (negative: south of the equator)."""


class _Clock:
    """A time zone's offsets over the simulated days, so that whole columns change between UTC and local time."""

    def __init__(self, zone: ZoneInfo, first_day: date, last_day: date) -> None:
        def offset(moment: datetime) -> int:
            shift = moment.astimezone(zone).utcoffset()
            assert shift is not None
            return int(shift.total_seconds())

        moment = datetime(first_day.year, first_day.month, first_day.day, tzinfo=timezone.utc) - timedelta(days=14)
        end = datetime(last_day.year, last_day.month, last_day.day, tzinfo=timezone.utc) + timedelta(days=14)
        self._changes, self._offsets = [-(2**62)], [offset(moment)]
        while moment < end:
            following = moment + timedelta(days=7)
            if offset(following) != self._offsets[-1]:
                before, after = moment, following
                while after - before > timedelta(seconds=1):
                    middle = before + timedelta(seconds=(after - before) // timedelta(seconds=1) // 2)
                    before, after = (middle, after) if offset(middle) == self._offsets[-1] else (before, middle)
                self._changes.append(int(after.timestamp()))
                self._offsets.append(offset(after))
            moment = following

    def local(self, utc: Integers) -> Integers:
        """Seconds on the zone's clock for UTC seconds since 1970."""
        return utc + np.array(self._offsets)[np.searchsorted(self._changes, utc, side="right") - 1]

    def utc(self, local: Integers) -> Integers:
        """The inverse of `local`; a time that a change of clocks skips or repeats goes to either side of it."""
        guess = local - (self.local(local) - local)
        return local - (self.local(guess) - guess)


class Calendar:
    """The simulated days, in whole weeks from a Monday on; day 0 is that Monday."""

    def __init__(self, first_day: date, last_day: date) -> None:
        self.first_day = first_day
        monday = monday_of(first_day)
        self.weeks = (last_day - monday).days // 7 + 1
        self.skipped = (first_day - monday).days
        self.days = (last_day - first_day).days + 1
        self.first_ordinal = monday.toordinal()
        self.ordinals = np.arange(self.first_ordinal, self.first_ordinal + 7 * self.weeks, dtype=np.int64)
        self.clocks = [_Clock(ZoneInfo(name), first_day, last_day) for name, _, _, _ in ZONES]

    @property
    def last(self) -> int:
        """Number of the last simulated day."""
        return self.skipped + self.days - 1

    def season(self) -> Floats:
        """1 in July, -1 in January, a value a day."""
        return np.cos(2 * np.pi * (self.ordinals % 365.2425 - 200) / 365.2425)
