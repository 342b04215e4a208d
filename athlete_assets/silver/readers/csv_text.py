"""Text of unknown encoding, separator and number format, as a table whose cells know their line.

Nothing is guessed: where a file does not show what '1.234' means, reading it is an error that says so.
"""

from __future__ import annotations

import codecs
import csv
import io
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path

from athlete_assets.errors import InputError

DELIMITERS = (",", ";", "\t")
SHOWN = 40
"""Characters of a bad cell that an error repeats."""
SMALL_BYTES = 10_000_000
"""Above it a file is no list of races or planned days, and is not looked at for that."""
ACTIVITY_NAMES = {"id", "activity_id", "activity id", "activity type", "athlete_id", "sport_type"}
"""Columns, in lower case, of files that tell of activities one by one; a list of races or of planned days has none."""


@dataclass(frozen=True)
class Cells:
    """One column of a file: its header, and each cell's line (1-based, as an editor shows it) and text, stripped."""

    file: str
    header: str
    lines: Sequence[int]
    texts: Sequence[str]

    def __iter__(self) -> Iterator[tuple[int, str]]:
        return zip(self.lines, self.texts, strict=True)

    def error(self, line: int, why: str) -> InputError:
        return InputError(f"{self.file}, line {line}, column {self.header}: {why}")


@dataclass(frozen=True)
class CsvTable:
    """A header and rows of equally many cells; `lines` is where each row begins in the file."""

    file: str
    delimiter: str
    header: tuple[str, ...]
    lines: tuple[int, ...]
    rows: tuple[tuple[str, ...], ...]

    def column(self, index: int) -> Cells:
        return Cells(self.file, self.header[index], self.lines, [row[index].strip() for row in self.rows])


def shown(text: str) -> str:
    """A cell as an error repeats it."""
    return repr(text if len(text) <= SHOWN else text[: SHOWN - 1] + "…")


def decoded(data: bytes, file: str) -> str:
    """The text of a file: UTF-8 or UTF-16 by its byte-order mark or by its bytes, else Windows-1252 or Latin-1.

    Raises InputError for what is not text.
    """
    encoding = next(
        (
            name
            for mark, name in (
                (codecs.BOM_UTF8, "utf-8-sig"),
                (codecs.BOM_UTF16_LE, "utf-16"),
                (codecs.BOM_UTF16_BE, "utf-16"),
            )
            if data.startswith(mark)
        ),
        None,
    )
    head = data[:4000]
    if encoding is None and head[1::2].count(0) > len(head) // 3:
        encoding = "utf-16-le"
    elif encoding is None and head[0::2].count(0) > len(head) // 3:
        encoding = "utf-16-be"
    for name in (encoding,) if encoding else ("utf-8", "cp1252", "latin-1"):
        try:
            text = data.decode(name)
            break
        except UnicodeDecodeError:
            continue
    else:
        raise InputError(f"{file}: the text is not valid {encoding}; save it again as UTF-8")
    odd = re.search(r"[\x00-\x08\x0e-\x1f\x7f\ufffe\uffff]", text)
    if odd:
        line = text.count("\n", 0, odd.start()) + 1
        raise InputError(
            f"{file}, line {line}: holds the control character {odd.group()!r}, so it is not a text file; "
            "give a Strava export, a CSV or a Parquet file"
        )
    return text


def headers(text: str, file: str) -> dict[str, tuple[str, ...]]:
    """The first record of the text under each separator (comma, semicolon, tab) that can be one.

    Raises InputError for an empty text and for one that has no header.
    """
    text, skipped = _without_separator_line(text)
    found = {}
    for delimiter in DELIMITERS:
        try:
            header = next(_records(text, delimiter), None)
        except csv.Error:
            continue
        if header is not None:
            found[delimiter] = tuple(name.strip() for name in header[1])
    if not found:
        if not text.strip():
            raise InputError(f"{file}: is empty; give a Strava export, a CSV or a Parquet file with activities")
        raise InputError(f"{file}, line {1 + skipped}: is not the header of a CSV file")
    return found


def headers_of(path: Path) -> list[set[str]]:
    """The names of a small CSV file's columns in lower case, under each separator; none of another file."""
    try:
        if not path.is_file() or path.stat().st_size > SMALL_BYTES:
            return []
        found = headers(decoded(path.read_bytes(), path.name), path.name)
    except (OSError, InputError):
        return []
    return [{name.lower() for name in header} for header in found.values()]


def _without_separator_line(text: str) -> tuple[str, int]:
    """The text without a first line such as 'sep=;', which Excel writes and hides, and how many lines that were."""
    line = re.match(r"sep=(.)\r?\n", text)
    return (text[line.end() :], 1) if line else (text, 0)


def parsed(text: str, file: str, delimiter: str) -> CsvTable:
    """The text as a table. Blank lines are skipped.

    Raises InputError that names the line of a row with too many or too few cells and of a quotation mark that is
    never closed.
    """
    text, skipped = _without_separator_line(text)
    header_cells: tuple[str, ...] | None = None
    lines, rows = [], []
    line = 1
    try:
        for line, cells in _records(text, delimiter):
            if header_cells is None:
                header_cells = tuple(cell.strip() for cell in cells)
                continue
            if len(cells) != len(header_cells):
                raise InputError(
                    f"{file}, line {line + skipped}: has {len(cells)} cells where the header has {len(header_cells)}; "
                    "the row is damaged, or a quotation mark is missing"
                )
            lines.append(line + skipped)
            rows.append(tuple(cells))
    except csv.Error as error:
        after = lines[-1] if lines else skipped + 1
        raise InputError(
            f"{file}, line {after + 1} or later: {error}; a quotation mark is missing or stands in a wrong place"
        ) from None
    assert header_cells is not None
    return CsvTable(file, delimiter, header_cells, tuple(lines), tuple(rows))


def _records(text: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Each record that is not a blank line, with the line on which it begins."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    begins = 1
    for cells in reader:
        if any(cell.strip() for cell in cells):
            yield begins, cells
        begins = reader.line_num + 1


# -------------------------------------------------------------------------------------------------------- numbers

_GROUPED_BY_SPACE = re.compile(r"[+-]?\d{1,3}(?:[ \u00a0\u202f\u2009'’]\d{3})+(?:[.,]\d+)?")
_NUMBER = re.compile(r"[+-]?(?:\d+|\d*[.,]\d+|\d{1,3}(?:[.,]\d{3})+(?:[.,]\d+)?)(?:[eE][+-]?\d{1,3})?")


def numbers(columns: Sequence[Cells], default: str | None) -> list[list[float | None]]:
    """Each column's cells as numbers, empty ones as None.

    What decides whether '.' or ',' is the decimal mark, in this order: the column itself ('9,44', '1.234,5' and
    '1.234.567' show a decimal comma, '9.44', '0.123' and '1234.567' a decimal point); the other columns, where all
    of them agree; `default`, the mark that the file's language makes certain. Exports mix: Strava's German
    activities.csv has '9,44' km in one column and '9440.3' m in another. Raises InputError that names line and column
    for a cell that is no number, a column that uses both marks, and one like '1.234' whose mark nothing decides.
    """
    own_marks = [_decimal_mark(cells) for cells in columns]
    shown_marks = {mark for mark, _ in own_marks if mark}
    elsewhere = shown_marks.pop() if len(shown_marks) == 1 else default
    values: list[list[float | None]] = []
    for cells, (own, undecided) in zip(columns, own_marks, strict=True):
        mark = own or elsewhere
        if mark is None and undecided is not None:
            line, text = undecided
            raise cells.error(
                line,
                f"{shown(text)} may be a thousand or a fraction, and nothing in the file shows which; "
                "save the file with decimal points and without thousands separators",
            )
        column = [_number(text, mark or ".") if text else None for text in cells.texts]
        for line, value in zip(cells.lines, column, strict=True):
            if value is not None and math.isinf(value):
                raise cells.error(line, "the number is too large")
        values.append(column)
    return values


def _decimal_mark(cells: Cells) -> tuple[str | None, tuple[int, str] | None]:
    """The mark that the column's own cells show, and the first cell (with its line) that would read either way."""
    mark: str | None = None
    undecided: tuple[int, str] | None = None
    for line, text in cells:
        if not text:
            continue
        plain = _ungrouped(text)
        shows = _shown_mark(plain) if _NUMBER.fullmatch(plain) else "!"
        if shows == "!":
            raise cells.error(line, f"{shown(text)} is not a number; correct the cell or leave it empty")
        if shows == "?":
            undecided = undecided or (line, text)
        elif shows and mark and shows != mark:
            raise cells.error(
                line, f"{shown(text)} has the decimal mark {shows!r}, earlier cells of the column have {mark!r}"
            )
        elif shows:
            mark = shows
    return mark, undecided


def _ungrouped(text: str) -> str:
    return re.sub(r"[ \u00a0\u202f\u2009'’]", "", text) if _GROUPED_BY_SPACE.fullmatch(text) else text


def _shown_mark(number: str) -> str | None:
    """'.' or ',' where the number shows its decimal mark, '?' where it has a mark of unknown meaning, '!' for
    nonsense such as '1.234,567.8', None for an integer."""
    mantissa, _, exponent = number.lower().partition("e")
    marks = re.findall(r"[.,]", mantissa)
    if not marks:
        return None
    last = marks[-1]
    other = "," if last == "." else "."
    if len(set(marks)) == 2:
        return last if marks.count(last) == 1 else "!"
    if len(marks) > 1:
        return other  # several of the same: they group thousands, so the other one would be the decimal mark
    whole, fraction = mantissa.lstrip("+-").split(last)
    grouping = len(fraction) == 3 and 1 <= len(whole) <= 3 and not whole.startswith("0") and not exponent
    return "?" if grouping else last


def _number(text: str, mark: str) -> float:
    other = "," if mark == "." else "."
    return float(_ungrouped(text).replace(other, "").replace(mark, "."))


# ------------------------------------------------------------------------------------------------- other cell types

_INTEGER = re.compile(r"[+-]?\d{1,19}(?:\.0+)?")
_ISO = re.compile(
    r"(\d{4})-(\d{2})-(\d{2})(?:[T ](\d{2}):(\d{2})(?::(\d{2})(?:\.(\d{1,9}))?)?\s?(Z|UTC|[+-]\d{2}:?\d{2})?)?",
    re.IGNORECASE,
)
_TRUTH = {"true": True, "1": True, "1.0": True, "false": False, "0": False, "0.0": False}


def integers(cells: Cells, bits: int) -> list[int | None]:
    """The column as integers of so many bits ('12.0', as pandas writes them, included), empty cells as None."""
    limit = 2 ** (bits - 1)
    values: list[int | None] = []
    for line, text in cells:
        if text and not _INTEGER.fullmatch(text):
            raise cells.error(line, f"{shown(text)} is not an integer; correct the cell or leave it empty")
        value = int(text.partition(".")[0]) if text else None
        if value is not None and not -limit <= value < limit:
            raise cells.error(line, f"{shown(text)} is too large for {bits} bits")
        values.append(value)
    return values


def booleans(cells: Cells) -> list[bool | None]:
    """The column as truth values (true, false, 1, 0), empty cells as None."""
    values: list[bool | None] = []
    for line, text in cells:
        if text and text.lower() not in _TRUTH:
            raise cells.error(line, f"{shown(text)} is neither true nor false; correct the cell or leave it empty")
        values.append(_TRUTH[text.lower()] if text else None)
    return values


def iso_times(cells: Cells, local: bool) -> list[datetime | None]:
    """The column's ISO 8601 times, empty cells as None; a bare date is its midnight.

    UTC (an offset is applied, none means UTC), or the clock's face where `local`: then an offset is dropped, because
    Strava writes a false Z behind local times.
    """
    values: list[datetime | None] = []
    for line, text in cells:
        if not text:
            values.append(None)
            continue
        found = _ISO.fullmatch(text)
        value = None
        if found:
            year, month, day, hour, minute, second, fraction, offset = found.groups()
            try:
                value = datetime(
                    int(year),
                    int(month),
                    int(day),
                    int(hour or 0),
                    int(minute or 0),
                    int(second or 0),
                    int((fraction or "0").ljust(6, "0")[:6]),
                )
                if not local:
                    value = (value - _offset(offset)).replace(tzinfo=timezone.utc)
            except (ValueError, OverflowError):
                value = None
        if value is None:
            raise cells.error(line, f"{shown(text)} is not a time such as 2022-06-09 23:19:20; correct the cell")
        values.append(value)
    return values


def _offset(text: str | None) -> timedelta:
    if not text or text.upper() in ("Z", "UTC"):
        return timedelta(0)
    sign = -1 if text[0] == "-" else 1
    return sign * timedelta(hours=int(text[1:3]), minutes=int(text[-2:]))


def enumerated(names: Iterable[str], most: int = 12) -> str:
    """Names for a sentence, shortened."""
    quoted = [shown(name) for name in names]
    return ", ".join(quoted[:most]) + (f" and {len(quoted) - most} more" if len(quoted) > most else "")
