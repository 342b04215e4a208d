"""Which days of which athletes a change of the silver tables touches, and which partitions follow from them.

One meaning for both deployments: first the version; then the change data feed where the table has it; else the
difference between the two versions; else (the old version is gone) what was ingested since, with what the derived
tables know and silver no longer holds. Where the tables lie, and who counts the rows, is the reader's affair:
`local_changes` and `warehouse_changes`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from typing import ClassVar, NamedTuple

from athlete_assets import tables
from athlete_assets.settings import Settings
from athlete_assets.tables import Table

COMMITS_A_LOOK = 500
"""Commits that one look reads; what is beyond them waits for the next."""

WATCHED = (tables.STRAVA_ACTIVITIES, *tables.OF_ACTIVITIES, *tables.OF_ATHLETES)


@dataclass(frozen=True)
class Position:
    """How far a table was read: which table, its version, and its newest ingestion time (ISO, UTC)."""

    id: str
    version: int
    ingested: str | None = None

    def same_version(self, other: Position | None) -> bool:
        return other is not None and (self.id, self.version) == (other.id, other.version)


Positions = Mapping[str, Position]
"""By table name."""


@dataclass(frozen=True)
class ChangeFeed:
    """Look for differences in the change data feed of the versions after `first`, up to `last`."""

    first: int
    last: int


@dataclass(frozen=True)
class VersionDiff:
    """Look for differences between the two versions."""

    first: int
    last: int


@dataclass(frozen=True)
class IngestedSince:
    """Without an old version to compare: rows of the version ingested at or after a time (ISO, UTC; all rows without
    one), and the activities that only derived tables know."""

    version: int
    ingested: str | None


DiffMethod = ChangeFeed | VersionDiff | IngestedSince


class HistoryUnavailable(Exception):
    """What a way of looking needs is no longer kept; the next way is tried. Its text becomes a note."""


class Difference(NamedTuple):
    """Rows of one athlete and day by which two positions differ.

    Without new and gone rows, silver holds a changed key once more on that day: of such rows the earliest day's is
    used, so that the day is touched though its own rows are as they were.
    """

    athlete: str | None
    day: date | None
    new: int
    gone: int
    ingested: datetime | None


@dataclass(frozen=True)
class Report:
    """What changed in one partition of a silver table."""

    table: Table
    day: date
    rows_new: int
    rows_gone: int
    newest_ingestion: datetime | None


@dataclass
class Touched:
    """Days by athlete (None: rows without an athlete) in which silver differs from what was read before."""

    days: dict[str | None, set[date]] = field(default_factory=dict)
    restated: dict[str, date | None] = field(default_factory=dict)
    """Athletes whose own statements (maximum heart rate, threshold pace, ...) changed: their days from this one on
    follow; None: all of them."""
    planned: set[str] = field(default_factory=set)
    """Athletes whose plan changed: no day of theirs follows, but what is projected from it."""
    outside: int = 0
    """Changed rows outside the calendar; any day's run writes them to the rejects."""
    reports: list[Report] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.days or self.restated or self.planned or self.outside)

    def add(self, athlete: str | None, day: date) -> None:
        self.days.setdefault(athlete, set()).add(day)


class Silver(ABC):
    """The silver tables as a sensor sees them."""

    settings: Settings
    looks_are_free: ClassVar[bool] = False
    """Whether a look costs nothing: no warehouse is woken, or kept awake, by it."""

    def wait(self, looked: float | None) -> str | None:
        """Why now is not the time for a look, in a sentence; None where it is. looked: seconds since the epoch."""
        return None

    def clock(self) -> float | None:
        """The time of a look, where looks are counted (seconds since the epoch); None where each tick may look."""
        return None

    def look(self) -> AbstractContextManager[None]:
        """Surrounds the calls of one look."""
        return nullcontext()

    @abstractmethod
    def positions(self) -> dict[str, Position]:
        """Where the watched tables that exist stand now, without their ingestion times.

        Raises StoreError where a table cannot be reached, AccessError where it may not be read.
        """

    @abstractmethod
    def newest_ingestion(self, table: Table) -> str | None:
        """The newest ingestion time in the table (ISO, UTC): where a look without an old version begins."""

    @abstractmethod
    def known_days(self, athletes: Iterable[str]) -> dict[str, list[date]]:
        """The days with an activity of each athlete, in order, as activity_features holds them."""

    @abstractmethod
    def has_change_feed(self, table: Table) -> bool: ...

    def erasures(self, table: Table) -> list[tuple[int, int]]:
        """The versions, first and last, that took out a forgotten athlete, whose derived rows are gone, too."""
        return []

    def without_rows(self, table: Table, first: int, last: int) -> bool:
        """Whether the commits after `first`, up to `last`, are known to have changed no row."""
        return False

    @abstractmethod
    def differences(self, table: Table, way: DiffMethod) -> Iterable[Difference]:
        """The differences found in this way. A row that was rewritten with the same content, ingestion time aside, is
        none; what belongs to an activity counts on its day, and not at all without one. An athlete's statements are one
        difference, on the first day on which a changed one is valid; without a day where it always was, or where nobody
        knows. Raises HistoryUnavailable (never for IngestedSince), StoreError, AccessError, and ContractError for a
        missing column.
        """

    def touched(self, before: Positions, after: Positions) -> Touched:
        """What the tables' changes between two positions touch.

        Raises StoreError where a table cannot be read, ContractError where it lacks a column of the contract.
        """
        touched = Touched()
        for table in WATCHED:
            found = self._found(table, before.get(table.name), after.get(table.name), touched)
            if table == tables.ATHLETE_PLAN:
                touched.planned.update(one.athlete for one in found if one.athlete is not None)
            elif table == tables.STRAVA_ATHLETE:
                touched.restated |= {one.athlete: one.day for one in found if one.athlete is not None}
            else:
                self._note(found, table, touched)
        return touched

    def _found(
        self, table: Table, before: Position | None, after: Position | None, touched: Touched
    ) -> Iterable[Difference]:
        if after is None or after.same_version(before):
            return ()
        for first, last in self.erasures(table) if before is not None and before.id == after.id else ():
            if before is not None and first - 1 <= before.version < last:
                before = replace(before, version=min(last, after.version))
        if after.same_version(before):
            return ()
        for way in self._ways(table, before, after, touched):
            try:
                return self.differences(table, way)
            except HistoryUnavailable as gone:
                touched.notes.append(str(gone))
        return ()

    def _ways(self, table: Table, before: Position | None, after: Position, touched: Touched) -> Iterator[DiffMethod]:
        if before is not None and before.id == after.id and before.version < after.version:
            if self.without_rows(table, before.version, after.version):
                return
            if self.has_change_feed(table):
                yield ChangeFeed(before.version, after.version)
            yield VersionDiff(before.version, after.version)
        # what athletes say is a few rows: all of them count where the old ones are not known
        watermarked = before is not None and table not in tables.OF_ATHLETES
        yield IngestedSince(after.version, before.ingested if before is not None and watermarked else None)

    def _note(self, found: Iterable[Difference], table: Table, touched: Touched) -> None:
        """Adds the differences' athletes and days, and one report for each day with new or gone rows."""
        counts: dict[date, list[int]] = {}
        newest: dict[date, datetime] = {}
        for athlete, day, new, gone, ingested in found:
            if day is None or not self.settings.start_date <= day <= self.settings.today:
                touched.outside += new + gone
                continue
            touched.add(athlete, day)
            if new or gone:
                of_day = counts.setdefault(day, [0, 0])
                of_day[0] += new
                of_day[1] += gone
            if ingested is not None:
                newest[day] = max(newest.get(day, ingested), ingested)
        touched.reports += [
            Report(table, day, new, gone, newest.get(day)) for day, (new, gone) in sorted(counts.items())
        ]


def bounded(before: Positions, after: Positions) -> dict[str, Position]:
    """The positions to read up to in one look: at most COMMITS_A_LOOK commits of each table."""
    positions = dict(after)
    for name, position in after.items():
        read = before.get(name)
        if read is not None and read.id == position.id and position.version > read.version + COMMITS_A_LOOK:
            positions[name] = Position(position.id, read.version + COMMITS_A_LOOK)
    return positions
