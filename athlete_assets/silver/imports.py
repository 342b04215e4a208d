"""Reads an athlete's file into silver rows: a Strava account export, or tables as CSV or Parquet.

What a file is shows in its content, never in its name alone. A file that cannot be read is one InputError that names
file, line and column, before anything is written. No names, titles, descriptions or places are carried along: only
the silver contract's columns are ever taken.
"""

from __future__ import annotations

import lzma
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path, PurePosixPath
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc

from athlete_assets import tables
from athlete_assets.errors import InputError
from athlete_assets.settings import Settings
from athlete_assets.silver import csv_text, strava_export
from athlete_assets.silver.csv_text import Cells, CsvTable, enumerated
from athlete_assets.store.arrow import ARROW_TYPES, arrow_schema
from athlete_assets.tables import Column, Table

DEFAULT_ATHLETE = "me"
MAX_TEXT_BYTES = 1 << 30
"""bytes; a longer CSV belongs into Parquet."""
MAX_EXPORT_CSV_BYTES = 256 << 20
"""bytes; activities.csv of 100,000 activities has about 60 MB."""
MAX_PARQUET_ROWS = 50_000_000
MAX_ZIP_ENTRIES = 500_000
MAX_ZIP_RATIO = 200
"""Uncompressed over compressed bytes; an activities.csv has about 5."""
MEMBER = "activities.csv"

ACCEPTED = (
    "a Strava account export (export_*.zip or its activities.csv), or a CSV or Parquet file with the columns of "
    "silver.strava_activities"
)

EXPORT_HEADERS = dict(
    zip(
        strava_export.REQUIRED,
        ("Activity ID", "Activity Date", "Activity Type", "Elapsed Time", "Distance"),
        strict=True,
    )
)
"""What the required fields of an export are called in English."""

Kind = Literal["strava_export", "silver", "runs"]


@dataclass(frozen=True)
class ImportedRuns:
    """What a file holds, in the silver contract; `notes` are sentences for the summary."""

    kind: Kind
    activities: pa.Table
    splits: pa.Table
    athletes: pa.Table
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Layout:
    """Which of a file's columns fill which columns of a silver table."""

    kind: Kind
    table: Table
    sources: Mapping[str, str]
    """Column of the silver table to column of the file."""

    @property
    def required(self) -> list[str]:
        """The file's columns without which it is not of this layout."""
        return [
            source
            for name, source in self.sources.items()
            if self.table.column(name).required and name not in self.fillable
        ]

    @property
    def fillable(self) -> set[str]:
        """Required silver columns that an import may fill itself."""
        return {"silver_ingestion_timestamp"} | ({"elapsed_time"} if self.kind == "runs" else set())


def _silver(table: Table) -> Layout:
    return Layout("silver", table, {name: name for name in table.column_names})


LAYOUTS = (
    _silver(tables.STRAVA_ACTIVITIES),
    Layout(
        "runs",
        tables.STRAVA_ACTIVITIES,
        {
            "athlete_id": "athlete_id",
            "id": "activity_id",
            "start_date": "start_time_utc",
            "start_date_local": "start_time_local",
            "timezone": "timezone",
            "sport_type": "sport_type",
            "workout_type": "workout_type",
            "distance": "distance_m",
            "moving_time": "moving_time_s",
            "elapsed_time": "elapsed_time_s",
            "total_elevation_gain": "elevation_gain_m",
            "average_heartrate": "average_heartrate",
            "max_heartrate": "max_heartrate",
            "manual": "manual",
            "trainer": "trainer",
            "source": "source",
        },
    ),
    _silver(tables.STRAVA_SUB_ACTIVITY),
)
"""Tried in order. strava_athlete has only one required column, so it is told apart by hand in `_layout`."""


def read_runs(path: Path, settings: Settings, athlete_id: str | None = None) -> ImportedRuns:
    """A file's rows in the silver contract, all with the same silver_ingestion_timestamp: now.

    `athlete_id` names the athlete of a Strava export ('me' without it); other files name their athletes themselves.
    Local times of an export follow settings.time_zone. Rows that a file holds twice are taken once.
    Raises InputError that names file, line (1-based, as an editor shows it) and column, says what is wrong and what
    to do; nothing is written.
    """
    path = Path(path)
    head = _checked(path)
    if head.startswith(b"PAR1"):
        imported = _read_parquet(path, athlete_id)
    elif head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        imported = _read_zip(path, settings, athlete_id)
    elif head.startswith(b"\x1f\x8b"):
        raise InputError(f"{path.name}: is compressed with gzip; unpack it and give the file inside")
    else:
        if path.stat().st_size > MAX_TEXT_BYTES:
            raise InputError(f"{path.name}: is larger than {MAX_TEXT_BYTES >> 20} MB; give it as Parquet")
        imported = _read_csv(path.read_bytes(), path.name, settings, athlete_id)
    if not (imported.activities.num_rows or imported.splits.num_rows or imported.athletes.num_rows):
        raise InputError(f"{path.name}: has a header but no rows; give a file with at least one activity")
    return _stamped(imported, datetime.now(timezone.utc))


def _checked(path: Path) -> bytes:
    """The file's first bytes. Raises InputError where it is no readable file."""
    try:
        if not path.exists():
            raise InputError(f"{path}: there is no such file; give {ACCEPTED}")
        if path.is_dir():
            inside = path / MEMBER
            hint = f"give {inside}" if inside.is_file() else f"give {ACCEPTED}"
            raise InputError(f"{path}: is a directory; {hint}")
        if not path.is_file():
            raise InputError(f"{path}: is not a regular file; give {ACCEPTED}")
        with open(path, "rb") as handle:
            head = handle.read(8)
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read: {error}") from None
    if not head:
        raise InputError(f"{path.name}: is empty; give {ACCEPTED}")
    return head


def _stamped(imported: ImportedRuns, now: datetime) -> ImportedRuns:
    """Fills in the moment of the import."""
    return replace(
        imported,
        activities=_with_constant(imported.activities, "silver_ingestion_timestamp", now),
        splits=_with_constant(imported.splits, "silver_ingestion_timestamp", now),
    )


def _with_constant(rows: pa.Table, name: str, value: object) -> pa.Table:
    field = rows.schema.field(name)
    constant = pa.array([value], field.type).take(pa.array([0] * rows.num_rows, pa.int64()))
    return rows.set_column(rows.schema.get_field_index(name), field, constant)


def _only(kind: Kind, table: Table, rows: pa.Table, notes: Sequence[str]) -> ImportedRuns:
    """An import that holds rows of one silver table."""
    found = {each: rows if each == table else arrow_schema(each).empty_table() for each in tables.SILVER}
    activities, splits, athletes = (found[each] for each in tables.SILVER)
    return ImportedRuns(kind, activities, splits, athletes, tuple(notes))


# ------------------------------------------------------------------------------------------------------------- zip


def _read_zip(path: Path, settings: Settings, athlete_id: str | None) -> ImportedRuns:
    try:
        with zipfile.ZipFile(path) as archive:
            entry = _member(archive, path.name)
            data = _unpacked(archive, entry, path.name)
    except (zipfile.BadZipFile, EOFError, OSError, ValueError, zlib.error, lzma.LZMAError, KeyError) as error:
        raise InputError(
            f"{path.name}: is damaged or was not downloaded completely ({error}); download the export again"
        ) from None
    except (NotImplementedError, RuntimeError) as error:
        raise InputError(f"{path.name}: cannot be unpacked here ({error}); unpack it and give {MEMBER}") from None
    return _read_csv(data, f"{path.name}/{entry.filename}", settings, athlete_id, export_only=True)


def _member(archive: zipfile.ZipFile, file: str) -> zipfile.ZipInfo:
    """The one activities.csv of an export, at its top or in its one folder."""
    entries = archive.infolist()
    if len(entries) > MAX_ZIP_ENTRIES:
        raise InputError(f"{file}: holds {len(entries)} files, more than any export; unpack it and give {MEMBER}")
    found = [
        entry
        for entry in entries
        if not entry.is_dir()
        and PurePosixPath(entry.filename.replace("\\", "/")).name.lower() == MEMBER
        and not entry.filename.startswith("__MACOSX/")
    ]
    if not found:
        raise InputError(f"{file}: holds no {MEMBER}, so it is not a Strava account export; give {ACCEPTED}")
    if len(found) > 1:
        names = enumerated((entry.filename for entry in found), most=3)
        raise InputError(f"{file}: holds {len(found)} files {MEMBER} ({names}); give the one that is meant")
    entry = found[0]
    # nothing is ever written under a member's name; one that points elsewhere is still no export of Strava's
    parts = entry.filename.replace("\\", "/").split("/")
    if "\\" in entry.filename or ":" in entry.filename or ".." in parts or parts[0] == "" or len(parts) > 2:
        raise InputError(f"{file}: {entry.filename!r} lies where no Strava export has it; unpack it and give {MEMBER}")
    if entry.flag_bits & 0x1:
        raise InputError(f"{file}: {entry.filename} is encrypted; unpack it with its password and give {MEMBER}")
    if entry.file_size > MAX_EXPORT_CSV_BYTES or entry.file_size > MAX_ZIP_RATIO * max(entry.compress_size, 1024):
        raise InputError(
            f"{file}: {entry.filename} unpacks from {entry.compress_size} to {entry.file_size} bytes, more than any "
            f"export; unpack it and give {MEMBER} if you trust it"
        )
    return entry


def _unpacked(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, file: str) -> bytes:
    """The member's bytes; never more than its header promises, whatever the archive holds."""
    with archive.open(entry) as member:
        data = member.read(entry.file_size + 1)
    if len(data) > entry.file_size:
        raise InputError(f"{file}: {entry.filename} is longer than the archive says; download the export again")
    return data


# ------------------------------------------------------------------------------------------------------------- CSV


def _read_csv(
    data: bytes, file: str, settings: Settings, athlete_id: str | None, export_only: bool = False
) -> ImportedRuns:
    table = csv_text.parsed(csv_text.decoded(data, file), file, _recognised)
    if strava_export.is_export(table.header):
        activities, notes = strava_export.read_export(table, settings, athlete_id or DEFAULT_ATHLETE)
        rows, repeated = _once(activities, tables.STRAVA_ACTIVITIES, table.lines, file)
        if athlete_id is None:
            notes = [f"The export names no athlete; its activities belong to {DEFAULT_ATHLETE!r}.", *notes]
        return _only("strava_export", tables.STRAVA_ACTIVITIES, rows, [*notes, *repeated])
    layout = None if export_only else _layout(table.header)
    if layout is None:
        raise InputError(_unknown_columns(table.header, f"{file}, line 1"))
    _own_athletes(athlete_id, file)
    positions = _positions(table, layout, file)
    rows = _from_cells(table, layout, positions)
    rows, repeated = _once(rows, layout.table, table.lines, file)
    return _only(layout.kind, layout.table, rows, [*_ignored(table.header, layout), *repeated])


def _recognised(header: Sequence[str]) -> int:
    """How many names of a header any kind of file has: it tells the separator."""
    ours = {source for layout in LAYOUTS for source in layout.sources.values()} | {*tables.STRAVA_ATHLETE.column_names}
    return max(
        sum(len(indexes) for indexes in strava_export.fields_of(header).values()),
        sum(name.strip().lower() in ours for name in header),
    )


def _layout(names: Sequence[str]) -> Layout | None:
    """The layout of a file's columns; None where it has none of them."""
    present = {name.lower() for name in names}
    for layout in LAYOUTS:
        if present >= set(layout.required):
            return layout
    known = set(tables.STRAVA_ATHLETE.column_names)
    if "athlete_id" in present and len(present & known) > 1 and not present & {"id", "activity_id"}:
        return _silver(tables.STRAVA_ATHLETE)
    return None


def _unknown_columns(names: Sequence[str], where: str) -> str:
    """The sentence for a file of no known kind: names the kind that it resembles most, and what that lacks."""
    present = {name.lower() for name in names}
    fields = strava_export.fields_of(names)
    if len(fields) > len(EXPORT_HEADERS):
        missing = [name for field, name in EXPORT_HEADERS.items() if field not in fields]
        if missing:
            return (
                f"{where}: looks like a Strava export but lacks the column {missing[0]!r} (or its translation); found "
                f"{enumerated(names)}; ask Strava for a new export"
            )
    nearest = max(LAYOUTS, key=lambda layout: len(present & set(layout.required)) / len(layout.required))
    lacking = [name for name in nearest.required if name not in present]
    if len(lacking) <= len(nearest.required) // 2:
        return (
            f"{where}: the required column {lacking[0]} is missing; found {enumerated(names)}, and "
            f"{'.'.join(nearest.table.path)} needs {', '.join(nearest.required)}"
        )
    return (
        f"{where}: has the columns {enumerated(names)}, which are those of no file that can be read; expected "
        f"{', '.join(map(repr, EXPORT_HEADERS.values()))} in English, Portuguese, German, Spanish, French, Italian or "
        "Dutch (set Strava to one of these languages and export again), or the columns "
        f"{', '.join(LAYOUTS[0].required)}"
    )


def _own_athletes(athlete_id: str | None, file: str) -> None:
    if athlete_id is not None:
        raise InputError(
            f"{file}: names its athletes itself, so the athlete {athlete_id!r} cannot be given to it; leave it out"
        )


def _ignored(names: Sequence[str], layout: Layout) -> list[str]:
    extra = [name for name in names if name.lower() not in layout.sources.values()]
    return [f"Columns that silver does not have were left out: {enumerated(extra)}."] if extra else []


def _positions(table: CsvTable, layout: Layout, file: str) -> dict[str, int]:
    """Where each silver column stands in the file."""
    names = [name.lower() for name in table.header]
    for source in layout.sources.values():
        if names.count(source) > 1:
            raise InputError(f"{file}, line 1, column {source}: stands there {names.count(source)} times; keep one")
    return {name: names.index(source) for name, source in layout.sources.items() if source in names}


def _from_cells(table: CsvTable, layout: Layout, positions: dict[str, int]) -> pa.Table:
    """A CSV's rows in the silver table's schema."""
    doubles = {
        name: table.column(position)
        for name, position in positions.items()
        if layout.table.column(name).type == tables.DOUBLE
    }
    certain_mark = "." if table.delimiter == "," else None
    numbers = dict(zip(doubles, csv_text.numbers(list(doubles.values()), certain_mark), strict=True))
    arrays = []
    for column in layout.table.columns:
        type_ = ARROW_TYPES[column.type]
        if column.name in numbers:
            arrays.append(pa.array(numbers[column.name], type_))
        elif column.name in positions and column.name != "silver_ingestion_timestamp":
            arrays.append(pa.array(_values(table.column(positions[column.name]), column), type_))
        else:
            arrays.append(_filled(column, len(table.rows)))
    return pa.table(arrays, schema=arrow_schema(layout.table))


def _filled(column: Column, count: int) -> pa.Array:
    """A silver column that the file lacks: null, or what is true of every file."""
    if column.name == "source":
        return pa.array(["file"] * count, pa.string())
    return pa.nulls(count, ARROW_TYPES[column.type])


def _values(cells: Cells, column: Column) -> Sequence[object]:
    if column.type in (tables.BIGINT, tables.INT):
        return csv_text.integers(cells, bits=64 if column.type == tables.BIGINT else 32)
    if column.type == tables.BOOLEAN:
        return csv_text.booleans(cells)
    if column.type in (tables.TIMESTAMP, tables.LOCAL_TIMESTAMP):
        return csv_text.iso_times(cells, local=column.type == tables.LOCAL_TIMESTAMP)
    return [text or None for text in cells.texts]


# --------------------------------------------------------------------------------------------------------- Parquet


def _read_parquet(path: Path, athlete_id: str | None) -> ImportedRuns:
    import pyarrow.parquet as pq

    try:
        names = pq.read_schema(path).names
        layout = _layout(names)
        if layout is None:
            raise InputError(_unknown_columns(names, path.name))
        _own_athletes(athlete_id, path.name)
        spelled = {name.lower(): name for name in names}
        present = {name: spelled[source] for name, source in layout.sources.items() if source in spelled}
        for name in present.values():
            if names.count(name) > 1 or sum(other.lower() == name.lower() for other in names) > 1:
                raise InputError(f"{path.name}, column {name}: stands there more than once; keep one")
        file = pq.ParquetFile(path)
        if file.metadata.num_rows > MAX_PARQUET_ROWS:
            raise InputError(f"{path.name}: has {file.metadata.num_rows} rows; split it into smaller files")
        found = file.read(columns=list(present.values()))
    except (pa.ArrowException, OSError, ValueError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"{path.name}: is not a readable Parquet file ({reason}); write it again") from None
    notes = _ignored(names, layout)
    arrays = []
    for column in layout.table.columns:
        if column.name in present and column.name != "silver_ingestion_timestamp":
            name = present[column.name]
            array, note = _converted(found.column(name), column, f"{path.name}, column {name}")
            notes += [note] if note else []
            arrays.append(array)
        else:
            arrays.append(_filled(column, found.num_rows))
    rows = pa.table(arrays, schema=arrow_schema(layout.table))
    rows, repeated = _once(rows, layout.table, range(1, rows.num_rows + 1), path.name, unit="row")
    return _only(layout.kind, layout.table, rows, [*notes, *repeated])


def _converted(found: pa.ChunkedArray, column: Column, where: str) -> tuple[pa.ChunkedArray, str | None]:
    """A Parquet column as the silver column, by conversions that lose nothing; and a sentence where one was a choice.

    Raises InputError that names column, its type and the type needed.
    """
    wanted = ARROW_TYPES[column.type]
    type_, note = found.type, None
    if pa.types.is_dictionary(type_):
        found = found.cast(type_.value_type)
        type_ = found.type
    fits = (
        pa.types.is_null(type_)
        or type_ == wanted
        or (pa.types.is_string(wanted) and (pa.types.is_large_string(type_) or pa.types.is_string_view(type_)))
        or (pa.types.is_integer(wanted) and pa.types.is_integer(type_))
        or (pa.types.is_floating(wanted) and (pa.types.is_floating(type_) or pa.types.is_integer(type_)))
    )
    try:
        if fits:
            found = found.cast(wanted)
        elif pa.types.is_floating(type_) and pa.types.is_integer(wanted):  # pandas: integers with nulls
            found = _without_nan(found).cast(wanted)
        elif pa.types.is_timestamp(wanted) and pa.types.is_date(type_):
            found = found.cast(pa.timestamp("us", wanted.tz))
        elif pa.types.is_timestamp(wanted) and pa.types.is_timestamp(type_):
            utc = type_.tz is None or type_.tz.upper() in ("UTC", "Z", "ETC/UTC", "+00:00")
            if wanted.tz is None and not utc:
                raise InputError(
                    f"{where}: is a time in the zone {type_.tz} where the athlete's clock is needed; write it without "
                    "a zone"
                )
            if wanted.tz and type_.tz is None:
                note = f"Times of {where.rpartition(' ')[2]} name no zone and are taken as UTC."
            found = found.cast(pa.timestamp("us", type_.tz), safe=False).cast(wanted)
        else:
            raise InputError(f"{where}: is {type_}, needed is {wanted}; write the file again with that type")
    except pa.ArrowInvalid as error:
        raise InputError(f"{where}: is {type_} and does not fit into {wanted}: {error}") from None
    return (_without_nan(found) if pa.types.is_floating(wanted) else found), note


def _without_nan(found: pa.ChunkedArray) -> pa.ChunkedArray:
    """NaN, which pandas writes for nothing, as null."""
    return pc.if_else(pc.is_nan(found), pa.scalar(None, found.type), found)


# ------------------------------------------------------------------------------------------------- repeated rows


def _once(
    rows: pa.Table, table: Table, lines: Sequence[int], file: str, unit: str = "line"
) -> tuple[pa.Table, list[str]]:
    """The rows with each key once. A row that repeats another exactly is dropped and counted in a sentence.

    Raises InputError that names both lines where a key has two contents. Rows without a full key are all kept.
    """
    keys = [rows.column(name).to_pylist() for name in table.keys]
    first: dict[tuple[object, ...], int] = {}
    drop: set[int] = set()
    for n, key in enumerate(zip(*keys, strict=True)):
        if None in key:
            continue
        earlier = first.setdefault(key, n)
        if earlier == n:
            continue
        if rows.slice(earlier, 1).to_pylist() != rows.slice(n, 1).to_pylist():
            named = ", ".join(f"{name} {value}" for name, value in zip(table.keys, key, strict=True))
            raise InputError(
                f"{file}, {unit} {lines[n]}, column {table.keys[-1]}: {named} stands in {unit} {lines[earlier]} too, "
                "with other values; keep one of them"
            )
        drop.add(n)
    if not drop:
        return rows, []
    kept = rows.take(pa.array([n for n in range(rows.num_rows) if n not in drop], pa.int64()))
    return kept, [f"{len(drop)} rows repeat another one exactly and were taken once."]
