"""Lands silver rows in the local deployment's silver tables: only what is new or changed is written.

Each table changes in one commit, or not at all; splits, recordings and athletes before their activities.
The tables record their changes (Delta change data feed), so that a sensor sees late rows for old days. Sail cannot
write such tables, but delta-rs can, and Sail reads them right. The rows of a commit are sorted by local start, so
that readers of a few days skip most row groups; an import of one batch of athletes fills its own file, so that readers
of a few athletes skip the others' files.
"""

from __future__ import annotations

import fcntl
import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime, timezone
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from athlete_assets import tables
from athlete_assets.days import midnight, monday_of
from athlete_assets.errors import ContractError, InputError
from athlete_assets.settings import PREFIX, Settings
from athlete_assets.silver import races, sessions
from athlete_assets.silver.imports import Held
from athlete_assets.silver.races import Race
from athlete_assets.silver.recordings.measures import BEST_DISTANCES_M
from athlete_assets.silver.sessions import Session
from athlete_assets.store.arrow import arrow_schema, fitted
from athlete_assets.store.delta_folder import DeltaFolder, span_sql
from athlete_assets.store.local import LocalStore
from athlete_assets.store.sql import delta_literal
from athlete_assets.tables import Table

if TYPE_CHECKING:
    import pandas as pd

STRAY_YEARS, STRAY_ACTIVITIES = 5, 2
"""So few activities so long before all others have a wrong date: a device that lost its clock. A calendar that began
with them would be years of empty partitions."""
FIRST_PARTITION = date(2000, 1, 3)
"""The Monday before which no partition may begin."""
ROW_GROUP_ROWS = 65_536
MOST_OFFSET_S = 14 * 3600
"""s; no clock is further from UTC. Where the start is a DATE, its midnight may be."""
SHORTEST_BEST_M = min(BEST_DISTANCES_M.values())


class SilverRows(Protocol):
    """What can be landed: an import, or a batch of the simulator."""

    @property
    def activities(self) -> pa.Table: ...

    @property
    def splits(self) -> pa.Table: ...

    @property
    def athletes(self) -> pa.Table: ...


@runtime_checkable
class RecordedRows(SilverRows, Protocol):
    """What comes with recordings."""

    @property
    def recordings(self) -> pa.Table: ...

    @property
    def best_efforts(self) -> pa.Table: ...


@dataclass(frozen=True)
class LandingReport:
    """What a landing did. read = new + changed + unchanged, counted in activities."""

    read: int = 0
    new: int = 0
    changed: int = 0
    unchanged: int = 0
    splits_written: int = 0
    athletes_written: int = 0
    first_day: date | None = None
    """The first and the last local day of the activities that lie in the calendar: from 2000-01-01 to today."""
    last_day: date | None = None
    start_date: date | None = None
    """The first partition, where this landing moved it."""
    recordings_written: int = 0

    def __add__(self, other: LandingReport) -> LandingReport:
        """The report of several batches."""
        firsts = [day for day in (self.first_day, other.first_day) if day]
        lasts = [day for day in (self.last_day, other.last_day) if day]
        starts = [day for day in (self.start_date, other.start_date) if day]
        return LandingReport(
            self.read + other.read,
            self.new + other.new,
            self.changed + other.changed,
            self.unchanged + other.unchanged,
            self.splits_written + other.splits_written,
            self.athletes_written + other.athletes_written,
            min(firsts, default=None),
            max(lasts, default=None),
            min(starts, default=None),
            self.recordings_written + other.recordings_written,
        )


def land(store: LocalStore, imported: SilverRows) -> LandingReport:
    """Merges the rows into the silver tables: new ones in, changed ones replaced, equal ones left alone.

    Rows are told apart by their table's key; where a part of the key is null, by their whole content. Everything but
    silver_ingestion_timestamp counts as content: an unchanged row keeps the timestamp of its first import, and where
    nothing changed nothing is committed. The home remembers its first partition and its time zone.
    Raises InputError where ATHLETE_START_DATE is set to a day after all of the activities, ContractError where the
    rows do not fit the contract or hold a key twice with two contents; both before anything is written.
    """
    rows = {table: _distinct(fitted(found, table), table) for table, found in _by_table(imported).items()}
    activities = rows[tables.STRAVA_ACTIVITIES]
    first_day, last_day = _calendar_span(activities, store.settings)
    _refuse_start_after(last_day, store.settings)
    with landing_lock(store):
        activities, found_races = _with_marks(store, activities)
        activities, told = _with_sessions(store, activities)
        rows[tables.STRAVA_ACTIVITIES] = activities
        _drop_superseded(store, rows)
        written = {table: _merge(store, table, found) for table, found in rows.items()}
        _settle(store, found_races)
        _settle_sessions(store, told)
        new, changed = written[tables.STRAVA_ACTIVITIES]
        read = imported.activities.num_rows
        return LandingReport(
            read,
            new,
            changed,
            read - new - changed,
            sum(written[tables.STRAVA_SUB_ACTIVITY]),
            sum(written[tables.STRAVA_ATHLETE]),
            first_day,
            last_day,
            _remember(store.settings, _first_of_history(activities, store.settings)),
            sum(written.get(tables.STRAVA_RECORDING, (0, 0))),
        )


def merge_statements(store: LocalStore, rows: pa.Table) -> int:
    """Merges what athletes say into silver, under the caller's `landing_lock`; how many rows are new or changed."""
    return sum(_merge(store, tables.STRAVA_ATHLETE, fitted(rows, tables.STRAVA_ATHLETE)))


def land_races(store: LocalStore, athlete: str, told: Sequence[Race]) -> dict[Race, tuple[races.Outcome, int | None]]:
    """Marks the athlete's races among the runs and enters those that are missing; what was done with each."""
    with landing_lock(store):
        runs = store.rows(tables.STRAVA_ACTIVITIES)
        runs = runs.filter(pc.equal(runs["athlete_id"], athlete))
        matched = runs.select(races.MATCHED).to_pylist()
        done = {race: races.found_among(race, matched) for race in told}
        now = datetime.now(timezone.utc)
        marked = {number for outcome, number in done.values() if outcome == "marked"}
        changed = runs.filter(pc.is_in(runs["id"], pa.array(sorted(n for n in marked if n), pa.int64())))
        changed = races.with_type(
            _stamped(changed, now), {(athlete, number) for number in marked if number is not None}
        )
        missing = [race for race, (outcome, _) in done.items() if outcome == "entered"]
        rows = pa.concat_tables([changed, races.activity_rows(athlete, missing, now)])
        _merge(store, tables.STRAVA_ACTIVITIES, rows)
        # an earlier file may have given another time, by which the race was missing then
        found = [races.entered_id(athlete, race) for race, (outcome, _) in done.items() if outcome != "entered"]
        if found:
            _delete(store, tables.STRAVA_ACTIVITIES, athlete, "id", found)
        done |= {race: ("entered", races.entered_id(athlete, race)) for race in missing}
        _remember_races(store, athlete, done, now)
        _remember(store.settings, _first_of_history(rows, store.settings))
        return done


def _stamped(rows: pa.Table, now: datetime) -> pa.Table:
    at = rows.schema.get_field_index(tables.INGESTED)
    return rows.set_column(at, rows.schema.field(at), pa.array([now] * rows.num_rows, rows.schema.field(at).type))


def _remember_races(
    store: LocalStore, athlete: str, done: Mapping[Race, tuple[races.Outcome, int | None]], now: datetime
) -> None:
    rows = [
        {
            "athlete_id": athlete,
            "race_date": midnight(race.day),
            "distance": race.distance_m,
            "time": race.time_s,
            "activity_id": None if outcome == "inside" else number,
            "is_entered": outcome == "entered",
            tables.INGESTED: now,
        }
        for race, (outcome, number) in done.items()
    ]
    _merge(store, tables.RACES, pa.Table.from_pylist(rows, arrow_schema(tables.RACES)))


def _with_marks(store: LocalStore, activities: pa.Table) -> tuple[pa.Table, dict[str, dict[Race, int]]]:
    """The activities with the races that athletes told of here as races; and by athlete the races that had been entered
    and are now among them, with their ids.

    Where an import marks no race at all, what it brings leaves the marks that are here: not every source has them.
    """
    if not store.exists(tables.STRAVA_ACTIVITIES) or not activities.num_rows:
        return activities, {}
    marked: set[tuple[str, int]] = set()
    arrived: dict[str, dict[Race, int]] = {}
    if store.exists(tables.RACES):
        owners = set(pc.unique(activities["athlete_id"]).to_pylist())
        for row in store.rows(tables.RACES).to_pylist():
            if row["athlete_id"] not in owners:
                continue
            race = Race(row["race_date"].date(), row["distance"], row["time"])
            if row["is_entered"]:
                theirs = activities.filter(pc.equal(activities["athlete_id"], row["athlete_id"]))
                outcome, number = races.found_among(race, theirs.select(races.MATCHED).to_pylist())
                if outcome == "marked" and number is not None:
                    arrived.setdefault(row["athlete_id"], {})[race] = number
                    marked.add((row["athlete_id"], number))
            elif row["activity_id"] is not None:
                marked.add((row["athlete_id"], row["activity_id"]))
    known = activities["athlete_id"].drop_null()
    if activities["workout_type"].null_count == activities.num_rows and len(known):
        here = store.folder(tables.STRAVA_ACTIVITIES)
        if "workout_type" in here.columns().types:
            span = span_sql("athlete_id", known)
            found = here.query(f"SELECT athlete_id, id FROM t WHERE workout_type = {races.RACE} AND {span}")
            marked.update(zip(found["athlete_id"].to_pylist(), found["id"].to_pylist(), strict=True))
    return _with_own_figures(store, races.with_type(activities, marked)), arrived


def _with_own_figures(store: LocalStore, activities: pa.Table) -> pa.Table:
    """The activities with the load and the exertion that are here already, where an import knows nothing of them."""
    here, known = store.folder(tables.STRAVA_ACTIVITIES), activities["athlete_id"].drop_null()
    stored = here.columns().types
    for name in ("own_load", "perceived_exertion"):
        if name not in stored or activities[name].null_count < activities.num_rows or not len(known):
            continue
        span = span_sql("athlete_id", known)
        found = here.query(f"SELECT athlete_id, id, {name} FROM t WHERE {name} IS NOT NULL AND {span}")
        said = {(athlete, number): value for athlete, number, value in zip(*found.to_pydict().values(), strict=True)}
        if said:
            keys = zip(activities["athlete_id"].to_pylist(), activities["id"].to_pylist(), strict=True)
            values = pa.array([said.get(key) for key in keys], pa.float64())
            activities = activities.set_column(activities.schema.get_field_index(name), name, values)
    return activities.cast(arrow_schema(tables.STRAVA_ACTIVITIES))


def _settle(store: LocalStore, arrived: Mapping[str, Mapping[Race, int]]) -> None:
    """Takes out the entered races that an import has brought, and remembers which activities they are."""
    for athlete, found in arrived.items():
        entered = [races.entered_id(athlete, race) for race in found]
        _delete(store, tables.STRAVA_ACTIVITIES, athlete, "id", entered)
        done: dict[Race, tuple[races.Outcome, int | None]] = {
            race: ("marked", number) for race, number in found.items()
        }
        _remember_races(store, athlete, done, datetime.now(timezone.utc))


@dataclass(frozen=True)
class _Told:
    """What an import changes in the sessions that athletes told of."""

    found: Sequence[dict[str, Any]] = ()
    """Rows of silver.athlete_session that are known better now."""
    arrived: Sequence[tuple[str, int]] = ()
    """Entered activities (athlete, id) that imports have now."""
    figures: Mapping[tuple[str, int], sessions.Row] = field(default_factory=dict)
    """By activity (athlete, id) what is said of it; those that are stored lack it."""


def land_sessions(store: LocalStore, athlete: str, said: Sequence[Session]) -> list[tuple[Session, str, bool]]:
    """Writes what was said of the athlete's sessions, and enters those that are missing; of each which session it is,
    and whether it was entered.

    A session that was told of before keeps the figures that are not named now. Raises InputError, before anything is
    written, where several or none of a day's sessions can be meant, or a load is more than the session can have been.
    """
    with landing_lock(store):
        rows = store.rows(tables.STRAVA_ACTIVITIES)
        rows = rows.filter(pc.equal(rows["athlete_id"], athlete))
        matched = rows.select(sessions.MATCHED).to_pylist()
        known, now = _remembered_sessions(store, [athlete]), datetime.now(timezone.utc)
        done: dict[int, dict[str, Any]] = {}
        figures: dict[tuple[str, int], sessions.Row] = {}
        told: list[tuple[Session, str, bool]] = []
        for each in said:
            copies = sessions.the_one(each, matched)
            number = sessions.session_id(athlete, each)
            before = sessions.known_before(known, copies, number)
            real = [copy for copy in copies if before is None or copy["id"] != before["session_id"]]
            row = {**sessions.session_row(athlete, number, each, before, real), tables.INGESTED: now}
            sessions.refuse_too_much(each, row, store.settings.max_tss_per_hour)
            if row["session_id"] in done or any((athlete, copy["id"]) in figures for copy in real):
                raise InputError(f"{each.where}{each}: is told of twice; keep one of the two")
            done[row["session_id"]] = row
            for copy in real:
                said_of = {
                    name: row[name] for name in sessions.COLUMNS if row[name] is not None or name in each.figures
                }
                figures[athlete, copy["id"]] = {**{name: copy[name] for name in sessions.COLUMNS}, **said_of}
            described = sessions.described(real or sessions.activity_rows([row], now).to_pylist())
            told.append((each, described, not real))
        kept = [row for row in done.values() if any(row[name] is not None for name in sessions.COLUMNS)]
        entered = sessions.activity_rows([row for row in kept if row["is_entered"]], now)
        changed = rows.filter(pc.is_in(rows["id"], pa.array([number for _, number in figures], pa.int64())))
        changed = sessions.with_figures(_stamped(changed, now), figures)
        _merge(store, tables.STRAVA_ACTIVITIES, pa.concat_tables([changed, entered]))
        _merge(store, tables.SESSIONS, pa.Table.from_pylist(kept, arrow_schema(tables.SESSIONS)))
        withdrawn = [row["session_id"] for row in done.values() if row not in kept]
        if withdrawn:
            _delete(store, tables.STRAVA_ACTIVITIES, athlete, "id", withdrawn)
            _delete(store, tables.SESSIONS, athlete, "session_id", withdrawn)
        _remember(store.settings, _first_of_history(entered, store.settings))
        return told


def stated_sessions(store: LocalStore, athlete: str) -> list[dict[str, Any]]:
    """Rows of silver.athlete_session, by day."""
    return sorted(_remembered_sessions(store, [athlete]), key=lambda row: row["begins"])


def settle_sessions(store: LocalStore) -> None:
    """Has what was said of sessions stand in the activities again, under the caller's `landing_lock`: an import that
    was taken back left rows as they were before it was said."""
    if store.exists(tables.SESSIONS):
        _settle_sessions(store, _told_by(store, store.rows(tables.STRAVA_ACTIVITIES).slice(0, 0)))


def _remembered_sessions(store: LocalStore, athletes: Collection[str | None] | None) -> list[dict[str, Any]]:
    """Of the athletes; None is all of them."""
    if not store.exists(tables.SESSIONS):
        return []
    rows = store.rows(tables.SESSIONS).to_pylist()
    return [row for row in rows if athletes is None or row["athlete_id"] in athletes]


def _with_sessions(store: LocalStore, activities: pa.Table) -> tuple[pa.Table, _Told]:
    """The activities with what athletes said of them, and what an import of them makes known of those sessions."""
    if not activities.num_rows or not store.exists(tables.SESSIONS):
        return activities, _Told()
    told = _told_by(store, activities)
    return sessions.with_figures(activities, told.figures).cast(activities.schema), told


def _told_by(store: LocalStore, arriving: pa.Table) -> _Told:
    """arriving: the activities of an import; without any, the sessions of all athletes are looked at."""
    athletes = set(pc.unique(arriving["athlete_id"]).to_pylist()) if arriving.num_rows else None
    remembered = _remembered_sessions(store, athletes)
    if not remembered:
        return _Told()
    days = {(row["athlete_id"], row["begins"].date()) for row in remembered}
    by_day: dict[tuple[str, date], dict[int, dict[str, Any]]] = {key: {} for key in days}
    for rows in (store.rows(tables.STRAVA_ACTIVITIES), arriving):
        local = rows["start_date_local"].cast(pa.timestamp("us")).cast(pa.date32())
        near = rows.filter(pc.is_in(local, pa.array({day for _, day in days}, pa.date32())))
        for row in near.select(["athlete_id", *sessions.MATCHED]).to_pylist():
            of_day = by_day.get((row["athlete_id"], row["start_date_local"].date()))
            if of_day is not None and row["id"] is not None:
                of_day[row["id"]] = row
    found, arrived = list[dict[str, Any]](), list[tuple[str, int]]()
    figures: dict[tuple[str, int], sessions.Row] = {}
    for row in remembered:
        own = row["athlete_id"], row["session_id"]
        of_day = by_day[row["athlete_id"], row["begins"].date()]
        copies = sessions.copies_of(row, [each for each in of_day.values() if each["id"] != row["session_id"]])
        if not copies:
            continue
        better = sessions.remembered(row, copies)
        if better != row:
            found.append(better)
        if row["is_entered"]:
            arrived.append(own)
        figures |= {(row["athlete_id"], copy["id"]): sessions.figures_of(row) for copy in copies}
    return _Told(found, arrived, figures)


def _settle_sessions(store: LocalStore, told: _Told) -> None:
    """Takes out the entered sessions that an import has brought, and remembers which activities they are."""
    for athlete, number in told.arrived:
        _delete(store, tables.STRAVA_ACTIVITIES, athlete, "id", [number])
    if told.found:
        _merge(store, tables.SESSIONS, pa.Table.from_pylist(told.found, arrow_schema(tables.SESSIONS)))
    if told.figures:
        rows = store.rows(tables.STRAVA_ACTIVITIES)
        rows = rows.filter(pc.is_in(rows["id"], pa.array([number for _, number in told.figures], pa.int64())))
        rows = sessions.with_figures(_stamped(rows, datetime.now(timezone.utc)), told.figures)
        _merge(store, tables.STRAVA_ACTIVITIES, rows)


def _by_table(imported: SilverRows) -> dict[Table, pa.Table]:
    """The rows in the order of their commits. A recording's row comes after what was made of the recording: its digest
    says that all of it is there. Optional tables come into being with their first row."""
    rows = {tables.STRAVA_SUB_ACTIVITY: imported.splits}
    if isinstance(imported, RecordedRows) and imported.recordings.num_rows:
        rows |= {tables.STRAVA_BEST_EFFORT: imported.best_efforts, tables.STRAVA_RECORDING: imported.recordings}
    return rows | {tables.STRAVA_ATHLETE: imported.athletes, tables.STRAVA_ACTIVITIES: imported.activities}


def _drop_superseded(store: LocalStore, rows: dict[Table, pa.Table]) -> None:
    """Deletes the splits and efforts of earlier recordings of the activities whose recording is another one now."""
    if tables.STRAVA_RECORDING not in rows or not store.exists(tables.STRAVA_RECORDING):
        return
    columns = ["athlete_id", "activity_id", "digest"]
    before = {(athlete, number): digest for athlete, number, digest in _tuples(store, columns)}
    gone: dict[str, list[int]] = {}
    for row in rows[tables.STRAVA_RECORDING].select(columns).to_pylist():
        if before.get((row["athlete_id"], row["activity_id"]), row["digest"]) != row["digest"]:
            gone.setdefault(row["athlete_id"], []).append(row["activity_id"])
    for athlete, numbers in gone.items():
        for table in (tables.STRAVA_SUB_ACTIVITY, tables.STRAVA_BEST_EFFORT):
            if store.exists(table):
                _delete(store, table, athlete, "activity_id", numbers)


def _tuples(store: LocalStore, columns: list[str]) -> Iterator[tuple[Any, ...]]:
    found = store.rows(tables.STRAVA_RECORDING, columns)
    yield from zip(*(found[name].to_pylist() for name in columns), strict=True)


def held(store: LocalStore) -> Held:
    """What silver knows of recordings and athletes already.

    A recording whose splits or best efforts are lost (after damage, say) is not known: it has to be read again.
    """
    digests: dict[tuple[str, int], str] = {}
    offsets: dict[tuple[str, int], int] = {}
    if store.exists(tables.STRAVA_RECORDING):
        divided, best = (
            _activities_in(store, tables.STRAVA_SUB_ACTIVITY),
            _activities_in(store, tables.STRAVA_BEST_EFFORT),
        )
        columns = ["athlete_id", "activity_id", "digest", "utc_offset_s", "distance"]
        for athlete, number, digest, offset, metres in _tuples(store, columns):
            key = athlete, number
            is_whole = not metres or (key in divided and (key in best or metres < SHORTEST_BEST_M))
            if digest is not None and is_whole:
                digests[key] = digest
            if offset is not None:
                offsets[key] = offset
    athletes = pc.unique(store.rows(tables.STRAVA_ACTIVITIES, ["athlete_id"])["athlete_id"]).drop_null()
    return Held(digests, offsets, frozenset(athletes.to_pylist()), partial(_clocks, store))


def _clocks(store: LocalStore, athlete: str) -> list[tuple[float, int]]:
    """Held.clocks: of the athlete's activities that have both starts."""
    if not store.exists(tables.STRAVA_ACTIVITIES):
        return []
    query = f"SELECT start_date, start_date_local FROM t WHERE athlete_id = {delta_literal(athlete)}"
    rows = store.folder(tables.STRAVA_ACTIVITIES).query(query).drop_null()
    utc, local = (rows[name].cast(pa.int64()).to_numpy() // 1_000_000 for name in rows.column_names)
    is_clock = np.abs(local - utc) <= MOST_OFFSET_S
    return list(zip(utc[is_clock].astype(float).tolist(), (local - utc)[is_clock].tolist(), strict=True))


def _activities_in(store: LocalStore, table: Table) -> set[tuple[str, int]]:
    """The activities of which the table has rows."""
    if not store.exists(table):
        return set()
    found = store.folder(table).query("SELECT DISTINCT athlete_id, activity_id FROM t")
    return set(zip(found["athlete_id"].to_pylist(), found["activity_id"].to_pylist(), strict=True))


def delete(store: LocalStore, athlete_id: str, activity_ids: Collection[int]) -> int:
    """Deletes activities of an athlete with what belongs to them, as an upstream pipeline does; how many they were.

    The rows stay in the tables' history: `athlete-assets forget` takes an athlete out of that, too.
    """
    if not activity_ids:
        return 0
    keys = {tables.STRAVA_ACTIVITIES: "id", **dict.fromkeys(tables.OF_ACTIVITIES, "activity_id")}
    with landing_lock(store):
        deleted = {
            table: _delete(store, table, athlete_id, key, activity_ids)
            for table, key in keys.items()
            if store.exists(table)
        }
    return deleted.get(tables.STRAVA_ACTIVITIES, 0)


def _delete(store: LocalStore, table: Table, athlete_id: str, key: str, numbers: Collection[int]) -> int:
    chosen = ", ".join(str(int(number)) for number in numbers)
    return store.folder(table).delete(f"athlete_id = {delta_literal(athlete_id)} AND {key} IN ({chosen})")


_locked = threading.local()


@contextmanager
def landing_lock(store: LocalStore) -> Iterator[None]:
    """One landing at a time in a home: what is compared is still true when it is written. Who holds it may take it
    again."""
    folder = store.path(tables.STRAVA_ACTIVITIES).parent
    held_here: set[Path] = _locked.__dict__.setdefault("folders", set())
    if folder in held_here:
        yield
        return
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / ".landing.lock", "w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        held_here.add(folder)
        try:
            yield
        finally:
            held_here.discard(folder)


# ------------------------------------------------------------------------------------------------ what is different


def _merge(store: LocalStore, table: Table, rows: pa.Table) -> tuple[int, int]:
    """Writes what is new or changed in one commit; counts of new and of changed rows."""
    store.create(table)
    folder = store.folder(table)
    if not rows.num_rows:
        return 0, 0
    new, changed = _differences(_of_same_athletes(folder, table, rows), rows, table)
    if len(changed):
        written = _sorted(rows.take(pa.array([*new, *changed])), table)
        span = span_sql("old.athlete_id", written["athlete_id"])
        folder.upsert(written, table.keys, span, ROW_GROUP_ROWS, table.nullable_keys)
    elif len(new):
        folder.append(_sorted(rows.take(pa.array(new)), table), ROW_GROUP_ROWS)
    return len(new), len(changed)


def _sorted(rows: pa.Table, table: Table) -> pa.Table:
    """By local start where there is one, so that a reader of a few days skips row groups; else by key."""
    first = ["start_date_local"] if "start_date_local" in rows.column_names else []
    return rows.sort_by([(name, "ascending") for name in [*first, *table.keys]])


def _of_same_athletes(folder: DeltaFolder, table: Table, rows: pa.Table) -> pa.Table:
    """The table's rows of the athletes among the rows. Files whose statistics exclude them are not opened.

    Through delta-rs's own engine: a merge writes strings as string_view, and a pyarrow dataset fails on a filter over
    such files.
    """
    schema = arrow_schema(table)
    athletes = rows.column("athlete_id")
    wanted = ["athlete_id IS NULL"] if athletes.null_count else []
    if athletes.null_count < len(athletes):
        wanted.append(f"({span_sql('athlete_id', athletes)})")
    present = {field.name for field in folder.open().schema().fields}
    columns = ", ".join(name for name in schema.names if name in present)
    found = folder.query(f"SELECT {columns} FROM t WHERE {' OR '.join(wanted)}")
    for column in schema:
        if column.name not in present:
            found = found.append_column(column, pa.nulls(found.num_rows, column.type))
    found = found.select(schema.names).cast(schema)
    return found.filter(pc.is_in(found.column("athlete_id"), pc.unique(athletes)))


def _differences(existing: pa.Table, rows: pa.Table, table: Table) -> tuple[list[int], list[int]]:
    """Positions of the rows that are new, and of those whose key exists with another content."""
    keyed, keyless = _with_key(rows, table), _without_key(rows, table)
    if not existing.num_rows:
        return [*keyed, *keyless], []
    existing_keyed = _with_key(existing, table)
    pairs = _key_frame(rows, keyed, table).merge(
        _key_frame(existing, existing_keyed, table), on=list(table.keys), how="left"
    )
    pairs = pairs.drop_duplicates("position_x", keep="last")
    found = pairs["position_y"].notna().to_numpy()
    new = pairs["position_x"].to_numpy()[~found]
    here, there = pairs["position_x"].to_numpy()[found], pairs["position_y"].to_numpy()[found].astype(np.int64)
    changed = here[~_equal_content(rows.take(pa.array(here)), existing.take(pa.array(there)))]
    return [*new.tolist(), *_unmatched(existing, rows, keyless, table)], changed.tolist()


def differing(existing: pa.Table, rows: pa.Table, table: Table) -> list[pa.Table]:
    """The rows that `existing` lacks, and those that it has with another content."""
    new, changed = _differences(existing, rows, table)
    return [rows.take(pa.array([*new, *changed], pa.int64()))]


def _with_key(rows: pa.Table, table: Table) -> np.ndarray:
    return np.flatnonzero(_full_key(rows, table))


def _without_key(rows: pa.Table, table: Table) -> np.ndarray:
    return np.flatnonzero(~_full_key(rows, table))


def _full_key(rows: pa.Table, table: Table) -> np.ndarray:
    full = np.ones(rows.num_rows, dtype=bool)
    for key in set(table.keys) - set(table.nullable_keys):
        full &= rows.column(key).is_valid().to_numpy()
    return full


def _key_frame(rows: pa.Table, positions: np.ndarray, table: Table) -> pd.DataFrame:
    frame = rows.select(list(table.keys)).take(pa.array(positions)).to_pandas()
    return frame.assign(position=positions)


def _equal_content(left: pa.Table, right: pa.Table) -> np.ndarray:
    """Row by row, whether all but the ingestion timestamp is equal; null equals null, and NaN equals NaN."""
    equal = np.ones(left.num_rows, dtype=bool)
    for name in left.column_names:
        if name == tables.INGESTED:
            continue
        a, b = left.column(name), right.column(name)
        if pa.types.is_list(a.type):
            equal &= np.array([one == other for one, other in zip(a.to_pylist(), b.to_pylist(), strict=True)], bool)
            continue
        same = pc.fill_null(pc.equal(a, b), False)
        same = pc.or_(same, pc.and_(pc.is_null(a), pc.is_null(b)))
        if pa.types.is_floating(a.type):
            nan = pc.and_(pc.fill_null(pc.is_nan(a), False), pc.fill_null(pc.is_nan(b), False))
            same = pc.or_(same, nan)
        equal &= same.to_numpy()
    return equal


def _unmatched(existing: pa.Table, rows: pa.Table, keyless: np.ndarray, table: Table) -> list[int]:
    """Of the rows without a full key, those for which the table has no equal row left to stand for them."""
    if not len(keyless):
        return []
    stand = _contents(existing.take(pa.array(_without_key(existing, table))))
    left: dict[tuple[object, ...], int] = {}
    for content in stand:
        left[content] = left.get(content, 0) + 1
    unmatched = []
    for position, content in zip(keyless.tolist(), _contents(rows.take(pa.array(keyless))), strict=True):
        if left.get(content, 0):
            left[content] -= 1
        else:
            unmatched.append(position)
    return unmatched


def _contents(rows: pa.Table) -> Sequence[tuple[object, ...]]:
    """Each row's content as a value that can be compared; NaN as text, because it does not equal itself."""
    columns = [rows.column(name).to_pylist() for name in rows.column_names if name != tables.INGESTED]
    return [tuple(_comparable(value) for value in row) for row in zip(*columns, strict=True)]


def _comparable(value: object) -> object:
    if isinstance(value, list):
        return tuple(map(_comparable, value))
    return "NaN" if value != value else value


def _distinct(rows: pa.Table, table: Table) -> pa.Table:
    """The rows with each key once. Raises ContractError where a key stands twice with two contents."""
    keyed = _with_key(rows, table)
    frame = _key_frame(rows, keyed, table)
    repeats = frame.duplicated(list(table.keys)).to_numpy()
    if not repeats.any():
        return rows
    firsts = frame[~repeats]
    pairs = frame[repeats].merge(firsts, on=list(table.keys))
    again = pairs["position_x"].to_numpy()
    equal = _equal_content(rows.take(pa.array(again)), rows.take(pa.array(pairs["position_y"].to_numpy())))
    if not equal.all():
        key = rows.select(list(table.keys)).slice(int(again[~equal][0]), 1).to_pylist()[0]
        raise ContractError(f"{'.'.join(table.path)}: the rows to land hold the key {key} twice, with two contents")
    return rows.take(pa.array(np.setdiff1d(np.arange(rows.num_rows), again)))


# ------------------------------------------------------------------------------------------------------- calendar


def _calendar_span(activities: pa.Table, settings: Settings) -> tuple[date | None, date | None]:
    """First and last local day among the activities from 2000-01-01 to today; None without such activities."""
    local = activities.column("start_date_local")
    tomorrow = datetime.combine(date.fromordinal(settings.today.toordinal() + 1), datetime.min.time())
    inside = pc.and_(
        pc.greater_equal(local, pa.scalar(datetime(2000, 1, 1), local.type)),
        pc.less(local, pa.scalar(tomorrow, local.type)),
    )
    span = pc.min_max(local.filter(inside)).as_py()
    return (span["min"].date(), span["max"].date()) if span["min"] else (None, None)


def _first_of_history(activities: pa.Table, settings: Settings) -> date | None:
    """The first local day in the calendar from which on no more than STRAY_ACTIVITIES are left out, see there."""
    local = activities.column("start_date_local").drop_null().cast(pa.timestamp("us"))
    days = np.sort(local.to_numpy().astype("datetime64[D]"))
    days = days[(days >= np.datetime64("2000-01-01")) & (days <= np.datetime64(settings.today))]
    if not len(days):
        return None
    following = _remembered_start(settings)
    ends = [*days[1:], np.datetime64(following) if following else days[-1]]
    for place in range(min(STRAY_ACTIVITIES, len(days)) - 1, -1, -1):
        if ends[place] - days[place] > np.timedelta64(int(STRAY_YEARS * 365.25), "D"):
            return ends[place].astype(date)
    return days[0].astype(date)


def has_activities_in_calendar(store: LocalStore) -> bool:
    """Whether silver holds an activity of a day from 2000-01-01 to today."""
    starts = store.rows(tables.STRAVA_ACTIVITIES, ["start_date_local"])
    return _calendar_span(starts, store.settings)[0] is not None


def _refuse_start_after(last_day: date | None, settings: Settings) -> None:
    if last_day and _start_is_given(settings) and settings.start_date > last_day:
        raise InputError(
            f"setting {PREFIX}START_DATE={settings.start_date}: lies after all activities, the last of which is of "
            f"{last_day}; set it to {max(monday_of(last_day), FIRST_PARTITION)} or earlier, or leave it unset"
        )


def _start_is_given(settings: Settings) -> bool:
    """Whether somebody set the first partition, rather than an earlier landing or nobody."""
    return "start_date" in settings.model_fields_set and settings.start_date != _remembered_start(settings)


def _remembered_start(settings: Settings) -> date | None:
    text = settings.remembered().get(f"{PREFIX}START_DATE")
    return date.fromisoformat(text) if text else None


def _remember(settings: Settings, first_day: date | None) -> date | None:
    """Notes the time zone, and the Monday on or before the first activity as first partition unless an earlier one
    is known or one was set; that Monday where it was noted."""
    values = {}
    if (
        "time_zone" in settings.model_fields_set
        and settings.remembered().get(f"{PREFIX}TIME_ZONE") != settings.time_zone
    ):
        values["time_zone"] = settings.time_zone
    remembered = _remembered_start(settings)
    start = max(monday_of(first_day), FIRST_PARTITION) if first_day else None
    if start and not _start_is_given(settings) and (remembered is None or start < remembered):
        values["start_date"] = start.isoformat()
    else:
        start = None
    if values:
        settings.remember(**values)
    return start
