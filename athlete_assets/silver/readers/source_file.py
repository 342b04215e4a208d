"""A file that someone gave, opened safely: text as a table, Parquet, a recording, or a zip or folder of files."""

from __future__ import annotations

import io
import lzma
import os
import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, BinaryIO, Literal

import pyarrow as pa

from athlete_assets.errors import InputError
from athlete_assets.silver.readers import csv_text
from athlete_assets.silver.readers.csv_text import CsvTable, enumerated
from athlete_assets.silver.recordings.batch import RecordingFile
from athlete_assets.silver.recordings.formats import FILE_NAME, looks_recorded

if TYPE_CHECKING:
    import pyarrow.parquet as pq

MAX_TEXT_BYTES = 1 << 30
"""bytes; a longer CSV belongs into Parquet."""
MAX_MEMBER_BYTES = 256 << 20
"""bytes; activities.csv of 100,000 activities has about 60 MB."""
MAX_LINE_BYTES = 4 << 20
"""bytes; what is longer is no line of a table, and would be held in memory many times over."""
MAX_PARQUET_ROWS = 50_000_000
HEAD_BYTES = 4096
MAX_ZIP_ENTRIES = 500_000
MAX_ZIP_RATIO = 200
"""Uncompressed over compressed bytes; an activities.csv has about 5."""


class SourceFile:
    """One file, or one member of a zip: `name` is what messages call it. Nothing is read before it is asked for.

    Raises InputError, on access, for what is damaged, too large or not what it looks like.
    """

    def __init__(self, name: str, path: Path | None = None, data: bytes | None = None) -> None:
        self.name = name
        self._path = path
        self._data = data
        self._unpacked: tempfile.TemporaryDirectory[str] | None = None

    @cached_property
    def head(self) -> bytes:
        """The first bytes; none of a folder."""
        if self._data is not None:
            return self._data[:HEAD_BYTES]
        assert self._path is not None
        if self._path.is_dir():
            return b""
        with open(self._path, "rb") as handle:
            return handle.read(HEAD_BYTES)

    @property
    def form(self) -> Literal["folder", "parquet", "zip", "recording", "gzip", "text"]:
        if self._path is not None and self._path.is_dir():
            return "folder"
        if self.head.startswith(b"PAR1"):
            return "parquet"
        if self.head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
            return "zip"
        if looks_recorded(self.head):
            return "recording"
        return "gzip" if self.head.startswith(b"\x1f\x8b") else "text"

    @property
    def is_xml(self) -> bool:
        """Whether a text begins as XML does: it is no table, and may have gigabytes."""
        return self.head.lstrip(b"\xef\xbb\xbf \r\n\t").startswith(b"<?xml")

    @property
    def stem(self) -> str:
        """The name without its last suffix."""
        return self.name.rpartition(".")[0] or self.name

    def profile(self, name: str) -> SourceFile | None:
        """The file of that name in a zip, or beside the file where a zip was unpacked; None without exactly one."""
        if self.form == "zip":
            found = self.members(name)
            return self.member(found[0]) if len(found) == 1 else None
        beside = self._path.with_name(name) if self._path is not None else None
        return SourceFile(name, beside) if beside is not None and beside.is_file() else None

    # -------------------------------------------------------------------------------------------------- recordings

    @cached_property
    def recordings(self) -> list[RecordingFile]:
        """This recording, or those in this folder or zip, in the order of their names."""
        if self._path is None:
            return []
        if self.form == "recording":
            return [RecordingFile(self.name, self._path)]
        if self.form == "folder":
            found = (path for path in sorted(self._path.rglob("*")) if FILE_NAME.search(path.name) and path.is_file())
            return [RecordingFile(str(path.relative_to(self._path)), path) for path in found]
        if self.form != "zip":
            return []
        with self._archive("the recordings") as archive:
            names = sorted(entry.filename for entry in archive.infolist() if not entry.is_dir())
        return [
            RecordingFile(name, self._path, name)
            for name in names
            if FILE_NAME.search(name) and not name.startswith("__MACOSX/")
        ]

    def listed(self, names: Sequence[str]) -> list[RecordingFile]:
        """Those of `recordings` that lie in this zip, or in this folder at the names; a name leads nowhere else."""
        if self.form == "zip":
            return self.recordings
        assert self._path is not None
        parts = [PurePosixPath(name.replace("\\", "/")) for name in names if FILE_NAME.search(name)]
        inside = [part for part in parts if not part.is_absolute() and ".." not in part.parts]
        return [RecordingFile(str(part), self._path / part) for part in inside if (self._path / part).is_file()]

    def ending(self, suffix: str) -> list[str]:
        """The files in this zip, or below this folder, whose names end so, sorted; capitals do not matter."""
        if self.form == "folder":
            assert self._path is not None
            found = [str(path.relative_to(self._path)) for path in self._path.rglob("*") if path.is_file()]
        else:
            with self._archive(f"the files *{suffix}") as archive:
                found = [entry.filename for entry in archive.infolist() if not entry.is_dir()]
        return sorted(n for n in found if n.lower().endswith(suffix.lower()) and not n.startswith("__MACOSX/"))

    def inside(self, name: str, called: str, deepest: int = 2) -> SourceFile:
        """One of the files that `ending` names, in memory where this is a zip; messages call it `called`."""
        if self.form == "folder":
            assert self._path is not None
            return SourceFile(f"{self.name}/{called}", self._path / name)
        return self.member(name, called, deepest)

    @contextmanager
    def stream(self, name: str = "") -> Iterator[BinaryIO]:
        """This file, or one of those that `ending` names, to be read piece by piece. Bombs are refused."""
        called = PurePosixPath(name).name
        if self.form != "zip":
            assert self._path is not None
            with open(self._path / name if name else self._path, "rb") as opened:
                yield opened
            return
        with self._archive(called) as archive:
            entry = archive.getinfo(name)
            if entry.flag_bits & 0x1 or entry.file_size > MAX_ZIP_RATIO * max(entry.compress_size, 1024):
                raise InputError(f"{self.name}: {called} is encrypted or a bomb; unpack it and give the folder")
            with archive.open(entry) as member:
                yield member  # type: ignore[misc]

    def zip_inside(self, name: str) -> SourceFile:
        """A zip that lies in this zip or folder. It is unpacked into a folder that goes when this object does."""
        assert self._path is not None
        called = PurePosixPath(name).name
        if self.form == "folder":
            return SourceFile(called, self._path / name)
        if self._unpacked is None:
            self._unpacked = tempfile.TemporaryDirectory(prefix="athlete_export_")
        path = Path(self._unpacked.name) / f"{len(os.listdir(self._unpacked.name))}.zip"
        with self._archive(called) as archive:
            entry = archive.getinfo(name)
            if entry.flag_bits & 0x1 or entry.file_size > MAX_ZIP_RATIO * max(entry.compress_size, 1024):
                raise InputError(f"{self.name}: {called} is encrypted or a bomb; unpack it and give the folder")
            if entry.file_size > shutil.disk_usage(self._unpacked.name).free // 2:
                raise InputError(
                    f"{self.name}: {called} unpacks to {entry.file_size >> 20} MB, more than half of what is free in "
                    f"{tempfile.gettempdir()}; make room, or unpack the export and give its folder"
                )
            with archive.open(entry) as packed, open(path, "wb") as plain:
                shutil.copyfileobj(packed, plain, 1 << 20)
        return SourceFile(called, path)

    @property
    def text(self) -> str:
        """A text's characters, whatever the length of its lines."""
        if self._data is None:
            assert self._path is not None
            if self._path.stat().st_size > MAX_TEXT_BYTES:
                raise InputError(f"{self.name}: is larger than {MAX_TEXT_BYTES >> 20} MB")
            return csv_text.decoded(self._path.read_bytes(), self.name)
        return csv_text.decoded(self._data, self.name)

    def in_folder(self, name: str) -> SourceFile | None:
        """The file or folder of that name in this folder; None where there is none."""
        assert self._path is not None
        inside = self._path / name
        return SourceFile(name, inside) if inside.exists() else None

    @property
    def folder(self) -> SourceFile | None:
        """The folder that holds this file; None of a member of a zip."""
        return SourceFile(self._path.parent.name, self._path.parent) if self._path is not None else None

    # ------------------------------------------------------------------------------------------------------ tables

    @cached_property
    def _headers(self) -> dict[str, tuple[str, ...]]:
        """The column names; of a text under each separator, of a Parquet file under none."""
        if self.form == "text" and not self.is_xml:
            return csv_text.headers(self._text, self.name)
        return {"": tuple(self.parquet.schema_arrow.names)} if self.form == "parquet" else {}

    def header(self, known: Callable[[Sequence[str]], int]) -> tuple[str, ...]:
        """The column names, with the separator under which most of them are `known`; () of a file without columns."""
        return self._headers[self._separator(known)] if self._headers else ()

    def table(self, known: Callable[[Sequence[str]], int]) -> CsvTable:
        """A text's rows, separated as in `header`."""
        return csv_text.parsed(self._text, self.name, self._separator(known))

    def _separator(self, known: Callable[[Sequence[str]], int]) -> str:
        return max(
            self._headers, key=lambda separator: (known(self._headers[separator]), len(self._headers[separator]))
        )

    @property
    def where(self) -> str:
        """Where the column names stand."""
        return self.name if self.form == "parquet" else f"{self.name}, line 1"

    @cached_property
    def _text(self) -> str:
        if self._data is None:
            assert self._path is not None
            if self._path.stat().st_size > MAX_TEXT_BYTES:
                raise InputError(f"{self.name}: is larger than {MAX_TEXT_BYTES >> 20} MB; give it as Parquet")
            with open(self._path, "rb") as handle:
                _check_lines(handle, self.name)
                handle.seek(0)
                self._data = handle.read()
        else:
            _check_lines(io.BytesIO(self._data), self.name)
        return csv_text.decoded(self._data, self.name)

    @cached_property
    def parquet(self) -> pq.ParquetFile:
        import pyarrow.parquet as pq

        with self.as_parquet():
            assert self._path is not None
            file = pq.ParquetFile(self._path)
        if file.metadata.num_rows > MAX_PARQUET_ROWS:
            raise InputError(f"{self.name}: has {file.metadata.num_rows:,} rows; split it into smaller files")
        return file

    @contextmanager
    def as_parquet(self) -> Iterator[None]:
        """Around what reads from `parquet`: an error of Arrow's becomes an InputError."""
        try:
            yield
        except (pa.ArrowException, OSError, ValueError) as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise InputError(f"{self.name}: is not a readable Parquet file ({reason}); write it again") from None

    # --------------------------------------------------------------------------------------------------------- zip

    def members(self, name: str) -> list[str]:
        """The members of a zip with this file name, in whatever folder and spelling of capitals."""
        with self._archive(name) as archive:
            return [entry.filename for entry in archive.infolist() if _is_called(entry, name)]

    def member(self, member: str, called: str | None = None, deepest: int = 2) -> SourceFile:
        """A member of a zip, unpacked in memory. Refused are bombs, encryption, and paths that no export has.

        called: its name in messages, where its own is not to be repeated; deepest: names in its path.
        """
        file_name = called or PurePosixPath(member.replace("\\", "/")).name
        with self._archive(file_name) as archive:
            entry = archive.getinfo(member)
            _check_member(entry, self.name, file_name, called or entry.filename, deepest)
            with archive.open(entry) as opened:
                data = opened.read(entry.file_size + 1)
        if len(data) > entry.file_size:
            raise InputError(f"{self.name}: {member} is longer than the archive says; download the export again")
        return SourceFile(f"{self.name}/{called or member}", data=data)

    @contextmanager
    def _archive(self, wanted: str) -> Iterator[zipfile.ZipFile]:
        assert self._path is not None
        try:
            with zipfile.ZipFile(self._path) as archive:
                count = len(archive.infolist())
                if count > MAX_ZIP_ENTRIES:
                    raise InputError(
                        f"{self.name}: holds {count} files, more than any export; unpack it and give {wanted}"
                    )
                yield archive
        except (zipfile.BadZipFile, EOFError, OSError, ValueError, zlib.error, lzma.LZMAError, KeyError) as error:
            raise InputError(
                f"{self.name}: is damaged or was not downloaded completely ({error}); download the export again"
            ) from None
        except (NotImplementedError, RuntimeError) as error:
            raise InputError(f"{self.name}: cannot be unpacked here ({error}); unpack it and give {wanted}") from None


def _check_lines(handle: BinaryIO, file: str) -> None:
    """Raises InputError for a line that is too long, before the file is read into memory."""
    line, length = 1, 0
    while chunk := handle.read(1 << 20):
        pieces = chunk.replace(b"\r", b"\n").split(b"\n")
        if length + len(pieces[0]) > MAX_LINE_BYTES:
            raise InputError(
                f"{file}, line {line} or later: is longer than {MAX_LINE_BYTES >> 20} MB, so it is no table; give a "
                "Strava export, a CSV or a Parquet file"
            )
        line += len(pieces) - 1
        length = len(pieces[-1]) + (length if len(pieces) == 1 else 0)


def _is_called(entry: zipfile.ZipInfo, name: str) -> bool:
    return (
        not entry.is_dir()
        and PurePosixPath(entry.filename.replace("\\", "/")).name.lower() == name
        and not entry.filename.startswith("__MACOSX/")
    )


def _check_member(entry: zipfile.ZipInfo, file: str, name: str, shown: str, deepest: int) -> None:
    # nothing is ever written under a member's name; one that points elsewhere is still no export of anybody's
    parts = entry.filename.replace("\\", "/").split("/")
    if "\\" in entry.filename or ":" in entry.filename or ".." in parts or parts[0] == "" or len(parts) > deepest:
        raise InputError(f"{file}: {shown!r} lies where no export has it; unpack it and give {name}")
    if entry.flag_bits & 0x1:
        raise InputError(f"{file}: {shown} is encrypted; unpack it with its password and give {name}")
    if entry.file_size > MAX_MEMBER_BYTES or entry.file_size > MAX_ZIP_RATIO * max(entry.compress_size, 1024):
        raise InputError(
            f"{file}: {shown} unpacks from {entry.compress_size} to {entry.file_size} bytes, more than any "
            f"export; unpack it and give {name} if you trust it"
        )


def of_no_known_kind(file: SourceFile, expected: Sequence[str]) -> InputError:
    """The error for a file that no reader takes and none resembles."""
    header = file.header(lambda names: 0)
    if file.form not in ("text", "parquet"):
        return InputError(f"{file.name}: is of no kind that can be read; expected {', or '.join(expected)}")
    return InputError(
        f"{file.where}: has the columns {enumerated(header)}, which are those of no file that can be read; expected "
        f"{', or '.join(expected)}"
    )
