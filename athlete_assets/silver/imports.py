"""Reads an athlete's file into silver rows: the readers of all kinds of files, and the checks that all of them pass.

What a file is shows in its content, never in its name alone. A file that cannot be read is one InputError that names
file, line and column, before anything is written. No names, titles, descriptions or places are carried along: only
the silver contract's columns are ever taken.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from difflib import get_close_matches
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from athlete_assets import tables
from athlete_assets.errors import InputError
from athlete_assets.settings import Settings
from athlete_assets.silver.readers.apple_health import AppleHealth
from athlete_assets.silver.readers.columns import ID_COLUMNS
from athlete_assets.silver.readers.garmin_export import GarminExport
from athlete_assets.silver.readers.protocol import Found, Owner, Part, Reader, number_of_name
from athlete_assets.silver.readers.recording_files import RecordingFiles
from athlete_assets.silver.readers.runs_of_athletes import RUNS_OF_ATHLETES
from athlete_assets.silver.readers.silver_shaped import SilverShaped
from athlete_assets.silver.readers.source_file import SourceFile, of_no_known_kind
from athlete_assets.silver.readers.strava_export import DEFAULT_ATHLETE, StravaExport
from athlete_assets.silver.recordings import batch
from athlete_assets.silver.recordings.rows import Clock, activities_of, recorded_tables, with_offsets
from athlete_assets.silver.recordings.rows import activity_id as number_of
from athlete_assets.silver.zones import zone_of_file
from athlete_assets.store.arrow import arrow_schema
from athlete_assets.tables import Table
from athlete_assets.words import counted, verb

READERS: list[Reader] = [
    StravaExport(),
    GarminExport(),
    AppleHealth(),
    RecordingFiles(),
    SilverShaped(),
    RUNS_OF_ATHLETES,
]
"""Asked in order; a new source is one file with a `Reader`, and one entry here."""
LEAST_LIKENESS = 0.4
"""A file that resembles the nearest kind less than that is described by what it has, not by what it lacks."""
SAME_START_S, SAME_SHARE = 60.0, 0.1
"""s and share of distance or time by which a recording may differ from the activity that it is of."""
NEIGHBOUR_DAYS = 60
"""d; as far an activity may lie from one whose clock it lends: a journey, not a removal."""


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
    clocks: Callable[[str], Sequence[tuple[float, int]]] = lambda athlete: ()
    """Of an athlete the starts (s since 1970) of activities, and how far (s) the clock was from UTC then."""


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
    recorded = _recorded(found, rows[tables.STRAVA_ACTIVITIES], settings, held, now, say, workers)
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
    activities: pa.Table,
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
    count = sum(each.reason is None and each.measures is None for each in outcomes)
    measured = [each for each in outcomes if each.measures is not None]
    unreadable = [each for each in outcomes if each.reason is not None]
    if found.are_found_by_start:
        theirs = (known[each.digest] for each in outcomes if each.digest in known and each.measures is None)
        of_activities = _found_by_start(measured, activities, frozenset().union(*theirs))
        if left_out := len(measured) - len(of_activities):
            notes.append(
                f"Left out: {counted(left_out, 'recording')} of no activity of the export, or of one that has another; "
                "given alone, such files are taken all the same."
            )
        measured = of_activities
        unreadable = [each for each in unreadable if not each.is_other_kind]
    measured = _one_each(measured)
    named = [f"{each.file.name}: {each.reason}" for each in unreadable]
    alone = [each for each in measured if each.file.activity_id is None]
    undated = [each for each in alone if each.measures is not None and each.measures.start_s is None]
    named += [f"{each.file.name}: has no date, for the device had lost its clock" for each in undated]
    measured, alone = ([each for each in some if each not in undated] for some in (measured, alone))
    if not found.parts and not measured and not count:
        raise InputError(f"none of the recordings can be read: {'; '.join(named[:5])}; give other files")
    clocks, zone, told = _clocks(alone, athlete, settings, held)
    rows = recorded_tables(measured, athlete, now)
    if alone:
        rows[tables.STRAVA_ACTIVITIES] = activities_of(alone, athlete, clocks, now)
    offsets = {
        (athlete, number_of(each)): each.measures.utc_offset_s
        for each in measured
        if each.measures is not None and each.measures.utc_offset_s is not None
    }
    return _Recorded(rows, offsets, (*notes, *told), tuple(named), count, zone)


def _found_by_start(
    measured: Sequence[batch.Outcome], activities: pa.Table, recorded: Collection[int | None]
) -> list[batch.Outcome]:
    """The recordings that begin with an activity and agree with it, each with its id; one an activity, the nearest.

    recorded: the activities whose recording among the same files is known already. They keep it: else a second upload
    of one activity would take its place with each import, by turns.
    """
    columns = ("start_date", "id", "distance", "elapsed_time")
    rows = zip(*(activities[name].to_pylist() for name in columns), strict=True)
    by_start = [(row[0].timestamp(), *row[1:]) for row in rows if row[0] is not None and row[1] is not None]
    by_start.sort(key=lambda row: row[:2])
    starts = [row[0] for row in by_start]
    pairs = []
    for each in measured:
        of = each.measures
        if of is None or of.start_s is None:
            continue
        first = bisect_left(starts, of.start_s - SAME_START_S)
        for start, number, metres, seconds in by_start[first : bisect_right(starts, of.start_s + SAME_START_S)]:
            if metres and of.distance_m:
                agrees = abs(metres - of.distance_m) <= SAME_SHARE * metres
            else:
                agrees = not seconds or abs(seconds - of.elapsed_s) <= max(SAME_SHARE * seconds, SAME_START_S)
            if agrees:
                pairs.append((abs(start - of.start_s), number, each.digest or "", each))
    taken: dict[int, batch.Outcome] = {}
    used: set[str] = set()
    for _, number, digest, each in sorted(pairs, key=lambda pair: pair[:3]):
        if number not in taken and number not in recorded and digest not in used:
            taken[number] = replace(each, file=replace(each.file, activity_id=number))
            used.add(digest)
    return list(taken.values())


def _clocks(
    alone: Sequence[batch.Outcome], athlete: str, settings: Settings, held: Held
) -> tuple[dict[int, Clock], str | None, list[str]]:
    """By activity the clock of each recording whose file does not know its own; the zone that is to be remembered, and
    sentences for the summary.

    What is set or the home remembers; else that of the athlete's nearest activity within NEIGHBOUR_DAYS whose clock is
    known, here or in the home, for people travel; else the machine's zone.
    """
    lacking = [each for each in alone if each.measures is not None and each.measures.utc_offset_s is None]
    if not lacking:
        return {}, None, []
    found: dict[int, Clock] = {}
    if "time_zone" not in settings.model_fields_set:
        here = [
            (each.measures.start_s, each.measures.utc_offset_s)
            for each in alone
            if each.measures and each.measures.start_s is not None and each.measures.utc_offset_s is not None
        ]
        neighbours = sorted([*held.clocks(athlete), *here])
        for each in lacking:
            assert each.measures is not None
            assert each.measures.start_s is not None
            offset = _nearest(neighbours, each.measures.start_s)
            if offset is not None:
                found[number_of(each)] = offset
    notes, zone = [], None
    if found:
        notes.append(
            f"{counted(len(found), 'recording')} {verb(len(found), 'does', 'do')} not know the athlete's clock; it is "
            "that of the nearest activity in time."
        )
    if len(found) < len(lacking):
        zone, note = zone_of_file(settings, "recordings without a zone of their own")
        notes.append(note)
        found |= {number: zone for each in lacking if (number := number_of(each)) not in found}
    return found, zone, notes


def _nearest(neighbours: Sequence[tuple[float, int]], start_s: float) -> int | None:
    """The offset of the nearest neighbour in time, of two equally near ones the earlier's; None where none is near."""
    at = bisect_left(neighbours, (start_s,))
    near = [each for each in neighbours[max(at - 1, 0) : at + 1] if abs(each[0] - start_s) <= NEIGHBOUR_DAYS * 86_400]
    return min(near, key=lambda each: abs(each[0] - start_s))[1] if near else None


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


def _missing(path: Path) -> str:
    """What is said of a path that leads nowhere."""
    if not path.parent.is_dir():
        return f"{path}: there is no folder {path.parent}; say where the file lies"
    folder = path.parent.resolve()
    near = get_close_matches(path.name, [beside.name for beside in folder.iterdir()], n=1)
    hint = f"did you mean {path.with_name(near[0])}?" if near else "say where it lies"
    return f"{path}: there is no such file in {folder}; {hint}"


def _check(path: Path) -> None:
    """Raises InputError where the path is no folder and no readable file."""
    try:
        if not path.exists():
            raise InputError(_missing(path))
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
        if any(value is None and name not in table.nullable_keys for name, value in zip(table.keys, key, strict=True)):
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
    return kept, [
        f"{counted(len(drop), 'row')} {verb(len(drop), 'repeats', 'repeat')} another one exactly and "
        f"{verb(len(drop), 'was', 'were')} taken once."
    ]
