"""The proof that an athlete is gone: every file of a home is read, decoded where it is compressed, and searched."""

from __future__ import annotations

import gzip
import io
import re
import sqlite3
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa
import pyarrow.parquet as pq

from athlete_assets.forgetting.occurrences import Wanted, documents_of, json_of

PARQUET, SQLITE, ZIP, GZIP = b"PAR1", b"SQLite format 3\0", b"PK\x03\x04", b"\x1f\x8b"
PICTURE = re.compile(r"!\[[^\]]*\]\(data:image/png;base64,[A-Za-z0-9+/=]*\)")
"""A chart in a materialisation's metadata: what it shows cannot be searched."""


def offenders(folder: Path, wanted: Wanted, but: Iterable[Path] = ()) -> Iterator[str]:
    """Where the id still stands below the folder: the path, and what of the file, one line each.

    Parquet is decoded, dictionary pages and statistics included; SQLite value by value, its free pages as bytes; zip
    and gzip are opened. The names of files count, too.
    """
    left_out = set(but)
    for path in sorted(folder.rglob("*")):
        relative = path.relative_to(folder)
        if path in left_out:
            continue
        if wanted.is_in(path.name) or wanted.is_in(path.name.rpartition("=")[2]):
            yield f"{relative}: its name"
        if path.is_file() and not path.is_symlink():
            try:
                yield from (f"{relative}: {where}" for where in _found(path, wanted))
            except FileNotFoundError:  # removed meanwhile
                continue


def _found(path: Path, wanted: Wanted) -> Iterator[str]:
    with open(path, "rb") as handle:
        start = handle.read(16)
    if start == SQLITE:
        yield from in_database(path, wanted)
        if _is_in_free_space(path, wanted):
            yield "bytes of the database"
        return
    yield from in_bytes(path.read_bytes(), wanted)


def in_bytes(data: bytes, wanted: Wanted) -> Iterator[str]:
    """Where the id stands in a file's content."""
    if data[:4] == PARQUET:
        yield from _in_parquet(data, wanted)
    elif data[:4] == ZIP:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for name in archive.namelist():
                if wanted.is_in(name):
                    yield f"the name {name} in it"
                yield from (f"{name}: {where}" for where in in_bytes(archive.read(name), wanted))
    elif data[:2] == GZIP:
        yield from in_bytes(gzip.decompress(data), wanted)
    else:
        text = _text(data)
        if text is None:
            if wanted.is_in_bytes(data):
                yield "its bytes"
        elif is_in_text(text, wanted):
            yield "its text"


def is_in_text(text: str, wanted: Wanted) -> bool:
    """Whether the id stands in a text; in the strings of its JSON, where it is a document or one a line."""
    if wanted.id not in text and (wanted.id.isascii() or "\\u" not in text):
        return False
    documents = documents_of(text)
    return wanted.is_in(text) if documents is None else any(wanted.is_in_json(one) for one in documents)


def _text(data: bytes) -> str | None:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return None


def _in_parquet(data: bytes, wanted: Wanted) -> Iterator[str]:
    file = pq.ParquetFile(pa.BufferReader(data))
    leaves = [file.schema.column(number) for number in range(len(file.schema))]
    texts = [number for number, leaf in enumerate(leaves) if leaf.physical_type == "BYTE_ARRAY"]
    # as dictionaries: so a dictionary page shows values, too, that no row has any more
    file = pq.ParquetFile(pa.BufferReader(data), read_dictionary=[leaves[number].path for number in texts])
    for number in texts:
        name = leaves[number].path
        if any(wanted.is_in(value) for value in _distinct(file, name)):
            yield f"column {name}"
        for group in range(file.metadata.num_row_groups):
            statistics = file.metadata.row_group(group).column(number).statistics
            bounds = (statistics.min, statistics.max) if statistics and statistics.has_min_max else ()
            if any(wanted.is_in(_as_text(bound)) for bound in bounds):
                yield f"statistics of column {name}"
    if any(wanted.is_in(_as_text(value)) for value in (file.metadata.metadata or {}).values()):
        yield "metadata"
    if wanted.is_in_bytes(data):
        yield "bytes of the file"


def _distinct(file: pq.ParquetFile, name: str) -> Iterator[str]:
    for batch in file.iter_batches(columns=[name]):
        for array in batch.columns:
            yield from _values(array)


def _values(array: pa.Array) -> Iterator[str]:
    if pa.types.is_dictionary(array.type):
        yield from _values(array.dictionary)
    elif pa.types.is_struct(array.type):
        for part in array.flatten():
            yield from _values(part)
    elif pa.types.is_map(array.type):
        yield from _values(array.keys)
        yield from _values(array.items)
    elif hasattr(array, "values") and (pa.types.is_list(array.type) or pa.types.is_large_list(array.type)):
        yield from _values(array.values)
    else:
        yield from (_as_text(value) for value in array.unique().to_pylist() if value is not None)


def in_database(path: Path, wanted: Wanted) -> Iterator[str]:
    """Where the id stands in an SQLite database: table and column."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=30)) as connection:
        connection.text_factory = lambda data: data.decode(errors="replace")
        for table, columns in tables_of(connection):
            for column in columns:
                query = f'SELECT DISTINCT "{column}" FROM "{table}" WHERE "{column}" IS NOT NULL'
                if any(is_in_value(value, wanted) for (value,) in connection.execute(query)):
                    yield f"table {table}, column {column}"


def _is_in_free_space(path: Path, wanted: Wanted) -> bool:
    """Whether the id stands in bytes of the database that are none of its values any more.

    A record's values lie side by side: another's id and the beginning of a run's id behind it read like a longer id.
    Such a chance stands in the same surroundings in a copy without free space; the values were searched one by one.
    """
    places = set(wanted.surroundings(path.read_bytes()))
    if not places:
        return False
    with TemporaryDirectory(prefix="athlete_forget_") as folder:
        copy = Path(folder) / "copy.db"
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=30)) as connection:
            connection.execute("VACUUM INTO ?", (str(copy),))
        return not places <= set(wanted.surroundings(copy.read_bytes()))


def tables_of(connection: sqlite3.Connection) -> list[tuple[str, list[str]]]:
    names = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    return [
        (name, [row[1] for row in connection.execute(f'PRAGMA table_info("{name}")')])
        for name in names
        if not name.startswith("sqlite_")
    ]


def is_in_value(value: object, wanted: Wanted) -> bool:
    """Whether the id stands in a value of a database: text, JSON, or bytes that may be compressed."""
    if isinstance(value, bytes):
        unpacked = inflated(value)
        text = _text(unpacked)
        return wanted.is_in_bytes(unpacked) if text is None else is_in_text(text, wanted)
    if not isinstance(value, str) or (wanted.id not in value and "\\u" not in value):
        return False
    document = json_of(value)
    return wanted.is_in(value) if document is None else wanted.is_in_json(document)


def inflated(data: bytes) -> bytes:
    """The bytes, decompressed where they are a zlib stream, as the orchestrator's snapshots are."""
    if data[:1] != b"\x78":
        return data
    try:
        return zlib.decompress(data)
    except zlib.error:
        return data


def _as_text(value: object) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)
