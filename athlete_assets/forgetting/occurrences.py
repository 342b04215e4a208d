"""Where an athlete's id stands as an id, and not as a part of another word or of another athlete's id."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

FORGOTTEN = "forgotten"
"""What stands where the id stood."""
SURROUNDING = 8
"""Bytes on each side by which two places in a file are told apart."""


@dataclass(frozen=True)
class Wanted:
    """An id to be found, and what may contain it and is not meant: the other athletes' ids, and paths."""

    id: str
    others: tuple[str, ...] = ()

    @cached_property
    def is_distinctive(self) -> bool:
        """Whether the id is found in running text. One of up to three characters ("me"), or a number of up to five,
        is also a word or a count: it is looked for as a value of its own, in quotes, or behind the word athlete."""
        return len(self.id) > 3 and not (self.id.isdigit() and len(self.id) < 6)

    @cached_property
    def _longer(self) -> list[str]:
        return [other for other in self.others if self.id in other and other != self.id]

    @cached_property
    def _in_words(self) -> re.Pattern[str]:
        found = re.escape(self.id)
        if self.is_distinctive:
            # in a UUID every four digits stand between hyphens
            joined = r"\w-" if re.fullmatch("[0-9a-f]{1,12}", self.id) else r"A-Za-z0-9"
            return re.compile(f"(?<![{joined}]){found}(?![{joined}])")
        return re.compile(f"(?<=['\"`]){found}(?=\\\\*['\"`])|(?<=athlete ){found}\\b|(?<=athlete_id=){found}\\b")

    def spans(self, text: str) -> list[tuple[int, int]]:
        """Where the id stands in a text, from and to."""
        if text == self.id:
            return [(0, len(text))]
        if self.id not in text:
            return []
        covered = [
            match.span() for other in self._longer if other in text for match in re.finditer(re.escape(other), text)
        ]
        return [
            (start, end)
            for start, end in (match.span() for match in self._in_words.finditer(text))
            if not any(first <= start and end <= last for first, last in covered)
        ]

    def is_in(self, text: str) -> bool:
        return bool(self.spans(text))

    def replaced(self, text: str) -> str:
        """The text with FORGOTTEN where the id stood."""
        for start, end in reversed(self.spans(text)):
            text = text[:start] + FORGOTTEN + text[end:]
        return text

    def is_in_json(self, document: Any) -> bool:
        """Whether the id stands in a string of the document, keys included; numbers are no ids."""
        return any(self.is_in(text) for text in _strings(document))

    def replaced_in_json(self, document: Any) -> Any:
        return _mapped(document, self.replaced)

    def is_in_bytes(self, data: bytes) -> bool:
        """Whether the id stands in bytes that nothing here decodes: only a distinctive one can be told from chance."""
        return any(self.surroundings(data))

    def surroundings(self, data: bytes) -> Iterator[bytes]:
        """The id in such bytes, wherever it stands, with the SURROUNDING bytes before and behind it."""
        if not self.is_distinctive:
            return
        for needle in {self.id.encode(), json.dumps(self.id)[1:-1].encode()}:
            for at in self._standing_alone(data, needle):
                yield data[max(0, at - SURROUNDING) : at + len(needle) + SURROUNDING]

    def _standing_alone(self, data: bytes, needle: bytes) -> Iterator[int]:
        at = data.find(needle)
        while at >= 0:
            end = at + len(needle)
            before, after = data[at - 1 : at] if at else b"", data[end : end + 1]
            grown = _same_kind(before, needle[:1]) or _same_kind(needle[-1:], after)
            if not grown and not any(_lies_in(data, at, needle, other.encode()) for other in self._longer):
                yield at
            at = data.find(needle, at + 1)


def _same_kind(one: bytes, other: bytes) -> bool:
    """A digit beside a digit, or a letter beside a letter: one longer number or word."""
    return (one.isdigit() and other.isdigit()) or (one.isalpha() and other.isalpha())


def _lies_in(data: bytes, at: int, needle: bytes, longer: bytes) -> bool:
    offset = longer.find(needle)
    while offset >= 0:
        if at >= offset and data[at - offset : at - offset + len(longer)] == longer:
            return True
        offset = longer.find(needle, offset + 1)
    return False


def _strings(document: Any) -> Iterator[str]:
    if isinstance(document, str):
        yield document
    elif isinstance(document, dict):
        yield from (text for item in document.items() for part in item for text in _strings(part))
    elif isinstance(document, list):
        yield from (text for part in document for text in _strings(part))


def _mapped(document: Any, change: Callable[[str], str]) -> Any:
    if isinstance(document, str):
        return change(document)
    if isinstance(document, dict):
        return {change(key): _mapped(value, change) for key, value in document.items()}
    if isinstance(document, list):
        return [_mapped(part, change) for part in document]
    return document


def json_of(text: str) -> Any | None:
    """The JSON object or list that a text is; None for another text."""
    if text.lstrip()[:1] not in ("{", "["):
        return None
    try:
        return json.loads(text)
    except ValueError:
        return None


def documents_of(text: str) -> Iterable[Any] | None:
    """The JSON documents of a text: one, or one a line; None for another text."""
    whole = json_of(text)
    if whole is not None:
        return [whole]
    lines = [json_of(line) for line in text.splitlines() if line.strip()]
    return lines if lines and all(line is not None for line in lines) else None
