"""What a source of activities says of itself: implement `Reader` in one file and add it to `imports.READERS`."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

import pyarrow as pa

from athlete_assets.settings import Settings
from athlete_assets.silver.readers.source_file import SourceFile
from athlete_assets.silver.recordings.batch import RecordingFile
from athlete_assets.tables import Table

Owner = Literal["caller", "file", "nobody"]


@dataclass(frozen=True)
class Match:
    """Whether a file is of a reader's kind: it is where `why_not` is None."""

    why_not: str | None = None
    """The sentence for the person whose file it is; shown where no reader takes the file and this one is nearest."""
    likeness: float = 1.0
    """0 (nothing in common) to 1; of readers that do not take a file the nearest explains what is lacking."""


@dataclass(frozen=True)
class Part:
    """Rows of one silver table: its columns in its types, but in the source's units, and ids as the source has them.

    An id column (id, activity_id) is text where the reader's `ids` are names. Missing columns are null.
    """

    table: Table
    rows: pa.Table
    file: str
    """What messages call it."""
    lines: Sequence[int]
    """Where each row stands in the file, for messages."""
    line_word: str = "line"


@dataclass(frozen=True)
class Found:
    """What a reader found in a file; `notes` are sentences for the summary."""

    parts: Sequence[Part]
    notes: Sequence[str] = field(default_factory=tuple)
    time_zone: str | None = None
    """IANA zone that local times were made with, where the file does not have them."""
    owner: Owner | None = None
    """Who said whose one athlete's activities these are; None of a file that names its athletes row by row."""
    is_whole_account: bool = False
    """All activities of an account: what earlier imports of it brought and this one lacks is gone at the source."""
    recordings: Sequence[RecordingFile] = field(default_factory=tuple)
    """Of the activities among the parts by their id; those without one are activities themselves."""
    are_found_by_start: bool = False
    """Which activity a recording is of shows in its start alone; one that is of none is left out."""
    athlete_id: str | None = None
    """Whose the recordings are; None where nobody said."""


class Reader(Protocol):
    """One kind of file. Stateless; nothing personal is ever taken: no names, titles, descriptions or places."""

    @property
    def kind(self) -> str:
        """A name for the summary and for tests, such as strava_export."""

    @property
    def accepts(self) -> str:
        """What a person may give, for messages: "a Strava account export (export_*.zip or its activities.csv)"."""

    @property
    def expects(self) -> str:
        """By what the file is known, for messages: the columns that it must have."""

    @property
    def units(self) -> Mapping[str, float]:
        """Silver column to how many of its unit (m, s, bpm) one of the source's is; columns left out need none."""

    @property
    def ids(self) -> Literal["numbers", "names"]:
        """Numbers are the source's own and stay; of names (any text) silver gets a number made of their bytes."""

    def recognise(self, file: SourceFile) -> Match:
        """Whether the file is of this kind, by its content and never by its name alone."""

    def read(self, file: SourceFile, settings: Settings, athlete_id: str | None) -> Found:
        """The rows of a recognised file. `athlete_id` is whom the caller says they belong to.

        Raises InputError that names file, line and column where the file cannot be read.
        """


def number_of_name(name: str | None) -> int | None:
    """A positive 63-bit number that is the same wherever it is made: the start of the name's BLAKE2 digest."""
    if not name:
        return None
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "big") >> 1
