"""Whose rows a store reads and replaces, in the languages of all that reads and writes them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from athlete_assets.store.sql import delta_literal
from athlete_assets.words import counted

if TYPE_CHECKING:
    from pyspark.sql import Column

ID = "athlete_id"


class Athletes(ABC):
    """A condition on athlete_id. It is never unknown: a row without an athlete is one of them or it is not."""

    @abstractmethod
    def column(self) -> Column:
        """For Spark."""

    @abstractmethod
    def sql(self) -> str:
        """For delta-rs."""

    @abstractmethod
    def expression(self) -> pc.Expression:
        """For Arrow's datasets."""

    @abstractmethod
    def hold(self, ids: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
        """Whether each id is one of them."""

    @abstractmethod
    def parts(self, known: Collection[str], size: int) -> list[Athletes]:
        """The same athletes in parts of at most `size` of those known, none of whom is in two; at least one part."""

    @abstractmethod
    def surely_apart(self, other: Athletes) -> bool:
        """Whether no athlete can be one of both; False also where that is not told at a glance."""

    @abstractmethod
    def hold_all(self, first: str, last: str) -> bool | None:
        """Whether everybody whose id lies from `first` to `last` is one of them (True), or nobody (False); None where
        some may be."""

    @abstractmethod
    def __str__(self) -> str: ...


@dataclass(frozen=True)
class NamedAthletes(Athletes):
    """These athletes, by their ids.

    Said with the smallest and the largest of them, too: of a longer list of values a reader does not see which files
    and pages hold none.
    """

    ids: frozenset[str]

    def column(self) -> Column:
        from pyspark.sql import functions as F

        if not self.ids:
            return F.lit(False)
        return F.coalesce(
            F.col(ID).between(min(self.ids), max(self.ids)) & F.col(ID).isin(*sorted(self.ids)), F.lit(False)
        )

    def sql(self) -> str:
        if not self.ids:
            return "false"
        first, last = delta_literal(min(self.ids)), delta_literal(max(self.ids))
        return f"{ID} >= {first} AND {ID} <= {last} AND {ID} IN ({', '.join(map(delta_literal, sorted(self.ids)))})"

    def expression(self) -> pc.Expression:
        if not self.ids:
            return pc.scalar(False)
        field = pc.field(ID)
        return (field >= min(self.ids)) & (field <= max(self.ids)) & field.isin(self._values())

    def hold(self, ids: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
        return pc.is_in(ids, value_set=self._values())

    def parts(self, known: Collection[str], size: int) -> list[Athletes]:
        ids = sorted(self.ids)
        return [NamedAthletes(frozenset(ids[first:end])) for first, end in _even(len(ids), size)]

    def surely_apart(self, other: Athletes) -> bool:
        return isinstance(other, NamedAthletes) and self.ids.isdisjoint(other.ids)

    def hold_all(self, first: str, last: str) -> bool | None:
        if first == last:
            return first in self.ids
        return None if any(first <= athlete <= last for athlete in self.ids) else False

    def __str__(self) -> str:
        return counted(len(self.ids), "athlete")

    def _values(self) -> pa.Array:
        return pa.array(sorted(self.ids), pa.string())


@dataclass(frozen=True)
class AthleteSpan(Athletes):
    """All athletes whose ids lie from `first` on and before `before`, in the order of their UTF-8 bytes.

    None is no bound; a row without an athlete belongs to the span without a first. Files hold the smallest and the
    largest id of their rows, so that a reader skips those of other spans, which with a list of thousands it does not.
    """

    first: str | None
    before: str | None

    def column(self) -> Column:
        from pyspark.sql import functions as F

        found = F.lit(True)
        if self.first is not None:
            found = F.coalesce(F.col(ID) >= F.lit(self.first), F.lit(False))
        if self.before is None:
            return found
        return found & F.coalesce(F.col(ID) < F.lit(self.before), F.lit(self.first is None))

    def sql(self) -> str:
        parts = [] if self.first is None else [f"{ID} >= {delta_literal(self.first)}"]
        parts += [] if self.before is None else [f"{ID} < {delta_literal(self.before)}"]
        both = " AND ".join(parts) or "true"
        return f"({both} OR {ID} IS NULL)" if self.first is None and parts else both

    def expression(self) -> pc.Expression:
        found = pc.scalar(True)
        if self.first is not None:
            found = pc.field(ID) >= self.first
        if self.before is None:
            return found
        is_before = pc.field(ID) < self.before
        return found & is_before if self.first is not None else is_before | pc.field(ID).is_null()

    def hold(self, ids: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
        after = pc.is_valid(ids) if self.first is None else pc.greater_equal(ids, self.first)
        is_one = after if self.before is None else pc.and_(after, pc.less(ids, self.before))
        return pc.fill_null(pc.or_kleene(is_one, pc.is_null(ids)) if self.first is None else is_one, False)

    def parts(self, known: Collection[str], size: int) -> list[Athletes]:
        ids = sorted(athlete for athlete in known if self._holds(athlete))
        bounds = [self.first, *(ids[first] for first, _ in _even(len(ids), size)[1:]), self.before]
        return [AthleteSpan(first, before) for first, before in pairwise(bounds)]

    def surely_apart(self, other: Athletes) -> bool:
        return isinstance(other, AthleteSpan) and (self._ends_before(other) or other._ends_before(self))

    def hold_all(self, first: str, last: str) -> bool | None:
        if self._holds(first) and self._holds(last):
            return True
        is_apart = (self.first is not None and last < self.first) or (self.before is not None and first >= self.before)
        return False if is_apart else None

    def _ends_before(self, other: AthleteSpan) -> bool:
        return self.before is not None and other.first is not None and self.before <= other.first

    def _holds(self, athlete: str) -> bool:
        return (self.first is None or athlete >= self.first) and (self.before is None or athlete < self.before)

    def __str__(self) -> str:
        if self == EVERYONE:
            return "all athletes"
        since = "" if self.first is None else f" from {self.first}"
        until = "" if self.before is None else f" before {self.before}"
        return f"athletes{since}{until}"


EVERYONE = AthleteSpan(None, None)


def _even(count: int, size: int) -> list[tuple[int, int]]:
    """Bounds of the fewest parts of at most `size` of so many, each as large as the others or by one smaller."""
    number = max(1, -(-count // size))
    return list(pairwise(count * part // number for part in range(number + 1)))
