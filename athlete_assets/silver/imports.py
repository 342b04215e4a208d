"""Reads an athlete's file into silver rows: the readers of all kinds of files, and the checks that all of them pass.

What a file is shows in its content, never in its name alone. A file that cannot be read is one InputError that names
file, line and column, before anything is written. No names, titles, descriptions or places are carried along: only
the silver contract's columns are ever taken.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from athlete_assets import tables
from athlete_assets.errors import InputError
from athlete_assets.settings import Settings
from athlete_assets.silver.readers.columns import ID_COLUMNS
from athlete_assets.silver.readers.protocol import Found, Owner, Part, Reader, number_of_name
from athlete_assets.silver.readers.recording_files import RecordingFiles
from athlete_assets.silver.readers.runs_of_athletes import RUNS_OF_ATHLETES
from athlete_assets.silver.readers.silver_shaped import SilverShaped
from athlete_assets.silver.readers.source_file import SourceFile, of_no_known_kind
from athlete_assets.silver.readers.strava_export import DEFAULT_ATHLETE, StravaExport
from athlete_assets.silver.recordings import batch
from athlete_assets.silver.recordings.rows import activities_of, recorded_tables, with_offsets
from athlete_assets.silver.recordings.rows import activity_id as number_of
from athlete_assets.silver.zones import zone_of_file
from athlete_assets.store.arrow import arrow_schema
from athlete_assets.tables import Table

READERS: list[Reader] = [StravaExport(), RecordingFiles(), SilverShaped(), RUNS_OF_ATHLETES]
"""Asked in order; a new source is one file with a `Reader`, and one entry here."""
LEAST_LIKENESS = 0.4
"""A file that resembles the nearest kind less than that is described by what it has, not by what it lacks."""


@dataclass(frozen=True)
class ImportedRuns:
    """What a file holds, in the silver contract; `notes` are sentences for the summary."""

    kind: str
    activities: pa.Table
    splits: pa.Table
    athletes: pa.Table
    notes: tuple[str, ...] = ()
    time_zone: str | None = None
    """IANA zone that local times were made with; None where the file has them itself."""
    owner: Owner | None = None
    """Who said whose one athlete's activities these are; None of a file that names its athletes row by row."""
    is_whole_account: bool = False
    recordings: pa.Table = field(default_factory=arrow_schema(tables.STRAVA_RECORDING).empty_table)
    best_efforts: pa.Table = field(default_factory=arrow_schema(tables.STRAVA_BEST_EFFORT).empty_table)
    recordings_read: int = 0
    recordings_known: int = 0
    """Recordings that an earlier import has read already."""
    unreadable: tuple[str, ...] = ()
    """A sentence for each recording that cannot be read."""


@dataclass(frozen=True)
class Held:
    """What the home knows before an import; keys are athlete and activity id."""

    digests: Mapping[tuple[str, int], str] = field(default_factory=dict)
    """Of the recordings."""
    offsets: Mapping[tuple[str, int], int] = field(default_factory=dict)
    """s; what the recordings say of the athlete's clock, less UTC."""
    athletes: frozenset[str] = frozenset()


NOTHING = Held()


def read_runs(
    path: Path,
    settings: Settings,
    athlete_id: str | None = None,
    held: Held = NOTHING,
    say: Callable[[str], None] = lambda line: None,
    workers: int | None = None,
) -> ImportedRuns:
    """A file's rows in the silver contract, all with the same silver_ingestion_timestamp: now.

    `athlete_id` names the athlete of a Strava export ('me' without it) or of recordings; other files name their
    athletes themselves. Local times follow the recording, else silver.zones. Rows that a file holds twice are taken
    once; a recording that is `held` is not read again, and one that cannot be read is named. `workers` processes read
    them, by default one a core where they are many; `say` hears how far they are.
    Raises InputError that names file, line (1-based, as an editor shows it) and column, says what is wrong and what
    to do; nothing is written.
    """
    if athlete_id is not None:
        athlete_id = _named(athlete_id)
    path = Path(path)
    _check(path)
    file = SourceFile(path.name or path.resolve().name, path)
    reader = _reader_of(file)
    found = reader.read(file, settings, athlete_id)
    notes = list(found.notes)
    rows = {table: arrow_schema(table).empty_table() for table in tables.SILVER}
    now = datetime.now(timezone.utc)
    for part in found.parts:
        checked, repeated = _once(_in_contract(part, reader), part)
        rows[part.table] = _with_constant(checked, tables.INGESTED, now)
        notes += repeated
    recorded = _recorded(found, settings, held, now, say, workers)
    for table, of in recorded.rows.items():
        rows[table] = pa.concat_tables([rows[table], of]) if rows[table].num_rows else of
    offsets = {**held.offsets, **recorded.offsets}
    rows[tables.STRAVA_ACTIVITIES] = with_offsets(rows[tables.STRAVA_ACTIVITIES], offsets)
    notes += recorded.notes
    if not found.recordings and not any(part.num_rows for part in rows.values()):
        raise InputError(f"{path.name}: has a header but no rows; give a file with at least one activity")
    return ImportedRuns(
        kind=reader.kind,
        activities=rows[tables.STRAVA_ACTIVITIES],
        splits=rows[tables.STRAVA_SUB_ACTIVITY],
        athletes=rows[tables.STRAVA_ATHLETE],
        notes=tuple(notes),
        time_zone=found.time_zone or recorded.time_zone,
        owner=found.owner,
        is_whole_account=found.is_whole_account,
        recordings=rows[tables.STRAVA_RECORDING],
        best_efforts=rows[tables.STRAVA_BEST_EFFORT],
        recordings_read=rows[tables.STRAVA_RECORDING].num_rows,
        recordings_known=recorded.known,
        unreadable=recorded.unreadable,
    )


@dataclass(frozen=True)
class _Recorded:
    """What the recordings of an import give."""

    rows: Mapping[Table, pa.Table] = field(default_factory=dict)
    offsets: Mapping[tuple[str, int], int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    unreadable: tuple[str, ...] = ()
    known: int = 0
    time_zone: str | None = None


def _recorded(
    found: Found,
    settings: Settings,
    held: Held,
    now: datetime,
    say: Callable[[str], None],
    workers: int | None,
) -> _Recorded:
    """Reads the recordings that are not held yet. Raises InputError where none of those alone can be read."""
    if not found.recordings:
        return _Recorded()
    athlete, notes = found.athlete_id, list[str]()
    if athlete is None:
        athlete = next(iter(held.athletes)) if len(held.athletes) == 1 else DEFAULT_ATHLETE
        notes.append(f"The recordings name no athlete; their activities belong to {athlete!r}.")
    known: dict[str, frozenset[int | None]] = {}
    for (of, number), digest in held.digests.items():
        if of == athlete:
            known[digest] = known.get(digest, frozenset()) | {number}
    outcomes = batch.outcomes(found.recordings, known, say, workers)
    unreadable = [f"{each.file.name}: {each.reason}" for each in outcomes if each.reason is not None]
    measured = _one_each([each for each in outcomes if each.measures is not None])
    alone = [each for each in measured if each.file.activity_id is None]
    undated = [each for each in alone if each.measures is not None and each.measures.start_s is None]
    unreadable += [f"{each.file.name}: has no date, for the device had lost its clock" for each in undated]
    measured = [each for each in measured if each not in undated]
    count = sum(each.reason is None and each.measures is None for each in outcomes)
    if not found.parts and not measured and not count:
        raise InputError(f"none of the recordings can be read: {'; '.join(unreadable[:5])}; give other files")
    zone = None
    if any(each.measures and each.measures.utc_offset_s is None for each in measured if each.file.activity_id is None):
        zone, note = zone_of_file(settings, "recordings without a zone of their own")
        notes.append(note)
    alone = [each for each in measured if each.file.activity_id is None]
    rows = recorded_tables(measured, athlete, now)
    if alone:
        rows[tables.STRAVA_ACTIVITIES] = activities_of(alone, athlete, zone, now)
    offsets = {
        (athlete, number_of(each)): each.measures.utc_offset_s
        for each in measured
        if each.measures is not None and each.measures.utc_offset_s is not None
    }
    return _Recorded(rows, offsets, tuple(notes), tuple(unreadable), count, zone)


def _one_each(outcomes: Sequence[batch.Outcome]) -> list[batch.Outcome]:
    """The first recording of each activity: a file may lie in a folder twice."""
    return list({number_of(each): each for each in reversed(outcomes)}.values())[::-1]


def accepted() -> str:
    """What may be given, for messages."""
    return ", or ".join(dict.fromkeys(reader.accepts for reader in READERS))


def _named(athlete_id: str) -> str:
    """The id without spaces around it. Raises InputError where it names nobody."""
    name = athlete_id.strip()
    if not any(character.isalnum() for character in name) or not name.isprintable():
        raise InputError(f"--athlete {athlete_id!r}: names nobody; give letters or digits, or leave it out")
    return name


def _check(path: Path) -> None:
    """Raises InputError where the path is no folder and no readable file."""
    try:
        if not path.exists():
            raise InputError(f"{path}: there is no such file; give {accepted()}")
        if path.is_dir():
            return
        if not path.is_file():
            raise InputError(f"{path}: is not a regular file; give {accepted()}")
        with open(path, "rb") as handle:
            head = handle.read(8)
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read: {error}") from None
    if not head:
        raise InputError(f"{path.name}: is empty; give {accepted()}")


def _reader_of(file: SourceFile) -> Reader:
    """The first reader that takes the file; else the nearest one says what it lacks."""
    if file.form == "gzip":
        raise InputError(f"{file.name}: is compressed with gzip; unpack it and give the file inside")
    nearest = None
    for reader in READERS:
        match = reader.recognise(file)
        if match.why_not is None:
            return reader
        if nearest is None or match.likeness > nearest.likeness:
            nearest = match
    if nearest is not None and nearest.likeness >= LEAST_LIKENESS:
        raise InputError(nearest.why_not)
    raise of_no_known_kind(file, [reader.expects for reader in READERS])


def _in_contract(part: Part, reader: Reader) -> pa.Table:
    """The rows in silver's units, with silver's ids, in the contract's schema."""
    rows = part.rows
    for name, factor in reader.units.items():
        if name in rows.column_names:
            rows = _replaced(rows, name, pc.multiply(rows[name], factor))
    for name in ID_COLUMNS:
        if reader.ids == "names" and name in rows.column_names:
            numbers = [number_of_name(text) for text in rows[name].to_pylist()]
            rows = _replaced(rows, name, pa.array(numbers, pa.int64()))
    return rows.select(part.table.column_names).cast(arrow_schema(part.table))


def _replaced(rows: pa.Table, name: str, values: pa.ChunkedArray | pa.Array) -> pa.Table:
    return rows.set_column(rows.schema.get_field_index(name), name, values)


def _with_constant(rows: pa.Table, name: str, value: object) -> pa.Table:
    if name not in rows.column_names:
        return rows
    field = rows.schema.field(name)
    constant = pa.array([value], field.type).take(pa.array([0] * rows.num_rows, pa.int64()))
    return rows.set_column(rows.schema.get_field_index(name), field, constant)


def _once(rows: pa.Table, part: Part) -> tuple[pa.Table, list[str]]:
    """The rows with each key once. A row that repeats another exactly is dropped and counted in a sentence.

    Raises InputError that names both lines where a key has two contents. Rows without a full key are all kept.
    """
    table, lines, unit = part.table, part.lines, part.line_word
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
                f"{part.file}, {unit} {lines[n]}, column {table.keys[-1]}: {named} stands in {unit} "
                f"{lines[earlier]} too, with other values; keep one of them"
            )
        drop.add(n)
    if not drop:
        return rows, []
    kept = rows.take(pa.array([n for n in range(rows.num_rows) if n not in drop], pa.int64()))
    return kept, [f"{len(drop)} rows repeat another one exactly and were taken once."]
