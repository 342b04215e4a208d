"""A window of calendar days: the unit in which every table is read, computed and replaced."""

from __future__ import annotations

import calendar
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from typing import Annotated

from pydantic import BeforeValidator, PlainSerializer

ONE_DAY = timedelta(days=1)


def midnight(day: date) -> datetime:
    """The TIMESTAMP that stands for a calendar day in every table: its midnight in UTC, whatever the athlete's zone."""
    return datetime(day.year, day.month, day.day, tzinfo=timezone.utc)


def monday_of(day: date) -> date:
    """The Monday on or before a day: a week's name."""
    return day - timedelta(days=day.weekday())


@dataclass(frozen=True, order=True)
class Days:
    """The days from `first` to `last`, both included."""

    first: date
    last: date

    def __post_init__(self) -> None:
        if self.last < self.first:
            raise ValueError(f"a window of days must not end ({self.last}) before it begins ({self.first})")

    def __len__(self) -> int:
        return (self.last - self.first).days + 1

    def __iter__(self) -> Iterator[date]:
        return (self.first + timedelta(days=n) for n in range(len(self)))

    def __contains__(self, day: object) -> bool:
        return isinstance(day, date) and self.first <= day <= self.last

    def __str__(self) -> str:
        return f"{self.first}..{self.last}" if self.first != self.last else str(self.first)

    @property
    def months(self) -> tuple[str, str]:
        """The first and last month touched, as the `month` partition column spells them (yyyy-MM)."""
        return f"{self.first:%Y-%m}", f"{self.last:%Y-%m}"

    @property
    def weeks(self) -> Days:
        """The whole weeks that these days touch, Monday to Sunday."""
        return Days(monday_of(self.first), monday_of(self.last) + timedelta(days=6))

    @property
    def whole_months(self) -> Days:
        """The whole months that these days touch."""
        days_of_last = calendar.monthrange(self.last.year, self.last.month)[1]
        return Days(self.first.replace(day=1), self.last.replace(day=days_of_last))

    def starting_earlier(self, days: int) -> Days:
        """The same window with `days` more days of history before it."""
        return Days(self.first - timedelta(days=days), self.last)

    def chunks(self, size: int) -> Iterator[Days]:
        """Consecutive pieces of at most `size` days, oldest first."""
        for start in range(0, len(self), size):  # counted, not added to a date: any size holds, beyond the calendar too
            last = min(start + size, len(self)) - 1
            yield Days(self.first + timedelta(days=start), self.first + timedelta(days=last))


def merged(windows: Iterable[Days]) -> list[Days]:
    """The same days as few windows, in order: overlapping and adjoining ones are joined."""
    joined: list[Days] = []
    for window in sorted(windows):
        if joined and window.first <= joined[-1].last + ONE_DAY:
            joined[-1] = Days(joined[-1].first, max(joined[-1].last, window.last))
        else:
            joined.append(window)
    return joined


def without(windows: Iterable[Days], gone: Iterable[Days]) -> list[Days]:
    """The windows less the days of the gone ones, in order."""
    left = sorted(windows)
    for hole in gone:
        pieces = []
        for window in left:
            if window.first < hole.first:
                pieces.append(Days(window.first, min(window.last, hole.first - ONE_DAY)))
            if window.last > hole.last:
                pieces.append(Days(max(window.first, hole.last + ONE_DAY), window.last))
        left = pieces
    return left


def windows_of(days: set[date]) -> list[Days]:
    """The days as windows."""
    return merged(Days(day, day) for day in days)


DaysText = Annotated[
    Days,
    BeforeValidator(lambda given: Days(*map(date.fromisoformat, given)) if isinstance(given, list | tuple) else given),
    PlainSerializer(lambda days: [str(days.first), str(days.last)]),
]
"""Days in a pydantic model, as JSON `["2024-05-01", "2024-05-31"]`."""
