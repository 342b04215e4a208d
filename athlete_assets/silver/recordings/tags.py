"""XML as arrays of tags. Expat says how far a document is sound; NumPy then finds in it what a parser would call back
for, tag by tag: ten times as fast where a file has a dozen names a million times.

A document type is refused: entities that expand to gigabytes, or that read other files, are declared in one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from xml.parsers import expat

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from athlete_assets.silver.recordings.recording import UnreadableError

Indexes = NDArray[np.int64]
Mask = NDArray[np.bool_]

BLOCK_BYTES = 2 << 20
"""So much is taken apart at once: memory grows with it, not with the file."""
LARGEST_BLOCK_BYTES = 16 << 20
LONGEST_NAME = 16
"""bytes of a name that can be asked for: two words of a processor."""
UNKNOWN = -1

_MARKUP = re.compile(rb"<!--.*?(?:-->|\Z)|<\?.*?(?:\?>|\Z)|<!\[CDATA\[(.*?)(?:\]\]>|\Z)", re.DOTALL)
_TAG = rb"<(?:[^<>\"']|\"[^\"]*\"|'[^']*')*>"
_WHOLE_TAG = re.compile(_TAG)
_TAG_OR_END = re.compile(b"(" + _TAG + b")|>")
_NAME = re.compile(rb"[^\s/>]+")
_ATTRIBUTE = re.compile(rb"([^\s=]+)\s*=\s*(?:\"([^\"]*)\"|'([^']*)')")
_REFERENCE = re.compile(r"&(?:#x([0-9a-fA-F]+)|#([0-9]+)|(lt|gt|amp|quot|apos));")
_NAMED = {"lt": "<", "gt": ">", "amp": "&", "quot": '"', "apos": "'"}
_AFTER_ATTRIBUTES = np.isin(np.arange(256), list(b"\"'/ \t\r\n"))
"""By byte, whether a tag that ends with it has more than a name."""
_ENDS_NAME = np.isin(np.arange(256), list(b"/> \t\r\n"))
_WINDOW = 24
"""bytes in which most names end."""
_MASKS = np.array([(1 << 8 * count) - 1 for count in range(9)], dtype="<u8")


def sound_part(data: bytes) -> tuple[bytes, expat.ExpatError | None]:
    """The document up to its first damage, in UTF-8, and what that was; None of a sound one.

    Comments, instructions and the declaration are left out and CDATA is text, so that each `<` begins a tag and each
    `>` ends one. Raises UnreadableError for a document type.
    """
    parser = expat.ParserCreate()
    parser.SetParamEntityParsing(expat.XML_PARAM_ENTITY_PARSING_NEVER)
    parser.StartDoctypeDeclHandler = _refuse_doctype
    parser.EntityDeclHandler = _refuse_doctype
    declared: list[str] = []
    parser.XmlDeclHandler = lambda version, encoding, standalone: declared.append(encoding or "utf-8")
    damage = None
    try:
        parser.Parse(data, True)
    except expat.ExpatError as error:
        damage = error
        data = data[: parser.ErrorByteIndex]
    data = _in_utf8(data, declared[0] if declared else "utf-8")
    if data.startswith(b"<?") and b"?>" in data:
        data = data[data.index(b"?>") + 2 :]
    if b"<!" in data or b"<?" in data:
        data = _MARKUP.sub(lambda found: _escaped(found[1] or b""), data)
    if damage is not None and (last := data.rfind(b"<")) >= 0 and not _WHOLE_TAG.match(data, last):
        data = data[:last]
    if data.count(b"<") != data.count(b">"):  # XML allows `>` in texts and values
        data = _TAG_OR_END.sub(lambda found: _escaped_ends(found[1]), data)
    return data, damage


def _refuse_doctype(*_: object) -> None:
    raise UnreadableError("declares a document type, which no recording has and which can do harm")


def _in_utf8(data: bytes, encoding: str) -> bytes:
    """Expat has read the bytes in the encoding, so there is one."""
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        encoding = "utf-16"
    elif 0 in data[:2]:
        encoding = "utf-16-be" if data[0] == 0 else "utf-16-le"
    elif data.isascii() or encoding.lower() in ("utf-8", "utf8"):
        return data.removeprefix(b"\xef\xbb\xbf")
    return data.decode(encoding, errors="replace").encode()


def _escaped(text: bytes) -> bytes:
    return text.replace(b"&", b"&amp;").replace(b"<", b"&lt;").replace(b">", b"&gt;")


def _escaped_ends(tag: bytes | None) -> bytes:
    return b"&gt;" if tag is None else tag[:-1].replace(b">", b"&gt;") + b">"


def unescaped(text: bytes) -> str:
    """A text or value as XML means it, without spaces around it."""
    return _REFERENCE.sub(_referred, text.decode(errors="replace")).strip()


def _referred(found: re.Match[str]) -> str:
    hexadecimal, decimal, name = found.groups()
    return _NAMED[name] if name else chr(int(hexadecimal, 16) if hexadecimal else int(decimal))


@dataclass(frozen=True)
class Tags:
    """The tags of a part of a document, in order. An empty one (`<a/>`) both opens and closes."""

    data: bytes
    first: Indexes
    """Where its `<` stands, and `last` its `>`."""
    last: Indexes
    opens: Mask
    closes: Mask
    depth: Indexes
    """How many are around it; a closing tag's is that of the tag that it closes."""
    name: NDArray[np.int8]
    """Its place among the names that were asked for, whatever its namespace; else UNKNOWN."""

    def __len__(self) -> int:
        return len(self.first)

    def before(self, count: int) -> Tags:
        """So many of them."""
        some = slice(count)
        return Tags(
            self.data,
            self.first[some],
            self.last[some],
            self.opens[some],
            self.closes[some],
            self.depth[some],
            self.name[some],
        )

    def texts(self, closing: Indexes) -> pa.BinaryArray:
        """What stands between each of these closing tags (in order) and the tag before it, as written."""
        after = np.concatenate([np.zeros(1, np.int64), self.last[:-1] + 1])[closing]
        ends = self.first[closing]
        return self._between(np.where(self.opens[closing], ends, after), ends)

    def values(self, opening: Indexes, *names: bytes) -> list[pa.BinaryArray]:
        """For each attribute its value in each of these tags (in order), as written; empty where a tag has none."""
        return self._alike(opening, names) or self._unlike(opening, names)

    def _alike(self, opening: Indexes, names: Sequence[bytes]) -> list[pa.BinaryArray] | None:
        """Where all tags have the same attributes in the same order, as a program writes them; else None."""
        before = np.searchsorted(self._quotes, self.first[opening])
        counts = np.searchsorted(self._quotes, self.last[opening]) - before
        if not len(counts) or counts[0] % 2 or (counts != counts[0]).any():
            return None
        quotes = self._quotes[before[:, None] + np.arange(counts[0])].T
        starts = [self.first[opening] + 1, *(quotes[1::2] + 1)]
        ends = [*quotes[::2], self.last[opening]]
        between = [self._between(*part).unique() for part in zip(starts, ends, strict=True)]
        if any(len(part) > 1 or b"'" in part[0].as_py() for part in between):
            return None
        written = [part[0].as_py().rstrip(b"= \t\r\n").split()[-1] for part in between[:-1]]
        if not set(names) <= set(written):
            return None
        of = {name: self._between(quotes[2 * at] + 1, quotes[2 * at + 1]) for at, name in enumerate(written)}
        return [of[name] for name in names]

    def _unlike(self, opening: Indexes, names: Sequence[bytes]) -> list[pa.BinaryArray]:
        starts, ends = (self.first[opening] + 1).tolist(), self.last[opening].tolist()
        found = [
            {name: double or single for name, double, single in _ATTRIBUTE.findall(self.data, start, end)}
            for start, end in zip(starts, ends, strict=True)
        ]
        return [pa.array([each.get(name, b"") for each in found], pa.binary()) for name in names]

    @cached_property
    def _quotes(self) -> Indexes:
        return np.flatnonzero(np.frombuffer(self.data, np.uint8) == ord('"'))

    def _between(self, starts: Indexes, ends: Indexes) -> pa.BinaryArray:
        """The bytes between places, without a Python object for each."""
        bounds = np.column_stack([starts, ends]).astype(np.int32).ravel()
        if not len(bounds):
            return pa.array([], pa.binary())
        buffers = [None, pa.py_buffer(bounds), pa.py_buffer(self.data)]
        return pa.Array.from_buffers(pa.binary(), len(bounds) - 1, buffers).take(np.arange(0, len(bounds), 2))


def tags(data: bytes, names: Sequence[str], whole: Sequence[str]) -> Iterator[Tags]:
    """The tags of a `sound_part`, block by block. No block ends inside an element with a name of `whole`.

    Raises UnreadableError where such an element, or a text, is larger than LARGEST_BLOCK_BYTES.
    """
    kept_whole = [names.index(name) for name in whole]
    start, size, depth = 0, BLOCK_BYTES, 0
    while start < len(data):
        found = _tags(data[start : start + size], names, depth)
        count = len(found)
        if start + size < len(data):
            of_whole = np.flatnonzero(np.isin(found.name, kept_whole))
            if len(of_whole) and not found.closes[of_whole[-1]]:
                count = int(of_whole[-1])
            if not count:
                size *= 2
                if size > LARGEST_BLOCK_BYTES:
                    raise UnreadableError(f"has a text or point of more than {LARGEST_BLOCK_BYTES >> 20} MB")
                continue
        elif not count:
            return
        yield found.before(count)
        depth += int(found.opens[:count].sum()) - int(found.closes[:count].sum())
        start += int(found.last[count - 1]) + 1
        size = BLOCK_BYTES


def _tags(data: bytes, names: Sequence[str], depth: int) -> Tags:
    """All tags that end in the data, which begins between tags."""
    byte = np.frombuffer(data + bytes(LONGEST_NAME), np.uint8)
    first, last = np.flatnonzero(byte == ord("<")), np.flatnonzero(byte == ord(">"))
    first = first[: len(last)]
    is_end = byte[first + 1] == ord("/")
    is_empty = byte[last - 1] == ord("/")
    opens, closes = ~is_end, is_end | is_empty
    around = np.cumsum(opens.astype(np.int64) - closes) + depth
    return Tags(
        data,
        first,
        last,
        opens,
        closes,
        np.where(opens & ~closes, around - 1, around),
        _named(data, byte, first + 1 + is_end, last, names),
    )


def _named(
    data: bytes, byte: NDArray[np.uint8], start: Indexes, last: Indexes, names: Sequence[str]
) -> NDArray[np.int8]:
    """Which of the names each tag has, compared as two words of eight bytes after the last colon."""
    end = last.copy()
    longer = np.flatnonzero(_AFTER_ATTRIBUTES[byte[last - 1]])
    end[longer] = _name_ends(data, byte, start[longer])
    colons = np.concatenate([np.full(1, -1), np.flatnonzero(byte == ord(":"))])
    start = np.maximum(start, colons[np.searchsorted(colons, end) - 1] + 1)
    length = end - start
    words: NDArray[np.uint64] = np.ndarray((len(byte) - 7,), "<u8", byte, strides=(1,))
    low = words[start] & _MASKS[np.minimum(length, 8)]
    high = words[np.minimum(start + 8, len(words) - 1)] & _MASKS[np.clip(length - 8, 0, 8)]
    padded = np.frombuffer(b"".join(name.encode().ljust(LONGEST_NAME, b"\0") for name in names), "<u8").reshape(-1, 2)
    order = np.argsort(padded[:, 0])  # no two names begin with the same eight letters
    place = order[np.minimum(np.searchsorted(padded[order, 0], low), len(names) - 1)]
    is_it = (padded[place, 0] == low) & (padded[place, 1] == high) & (length <= LONGEST_NAME)
    return np.where(is_it, place, UNKNOWN).astype(np.int8)


def _name_ends(data: bytes, byte: NDArray[np.uint8], start: Indexes) -> Indexes:
    window = _ENDS_NAME[byte[np.minimum(start[:, None] + np.arange(_WINDOW), len(byte) - 1)]]
    end = start + np.argmax(window, axis=1)
    for place in np.flatnonzero(~window.any(axis=1)).tolist():
        found = _NAME.match(data, int(start[place]))
        assert found is not None
        end[place] = found.end()
    return end
