"""Apple Health's export ("Export All Health Data"): export.zip, its folder, or the export.xml inside, which may have
gigabytes.

The file is read once, as a stream. It lists records (of which only those of heart rate and of effort are kept, as
numbers) and then workouts, whose totals are attributes (`totalDistance`, until iOS 15) or WorkoutStatistics (since).
Dates carry the offset of the phone that exported; where the athlete was says HKTimeZone. Workouts have no id: theirs is
made of start, end and kind, so that it is the same in every export. Routes lie beside as GPX files, which know neither
heart rate nor sport: these are the workout's. Fields are those found in exports and in programs that read them.
"""

from __future__ import annotations

import re
from array import array
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta, timezone
from pathlib import PurePosixPath
from typing import Any, BinaryIO, Literal
from xml.parsers import expat
from zoneinfo import ZoneInfo, available_timezones

import numpy as np
import pyarrow as pa

from athlete_assets import tables
from athlete_assets.errors import InputError
from athlete_assets.settings import Settings
from athlete_assets.silver.readers.protocol import Found, Match, Owner, Part, number_of_name
from athlete_assets.silver.readers.source_file import SourceFile
from athlete_assets.silver.readers.strava_export import DEFAULT_ATHLETE
from athlete_assets.silver.readers.strava_words import SEXES, folded
from athlete_assets.silver.recordings.batch import RecordingFile
from athlete_assets.silver.recordings.recording import Beats
from athlete_assets.silver.sports import strava_sport
from athlete_assets.store.arrow import arrow_schema

SOURCE = "apple_health"
ROOT = re.compile(rb"<HealthData[\s>]")
CHUNK_BYTES = 1 << 20
MOST_PROLOG_BYTES = 4 << 20
"""bytes before the first element: the document type has some 10,000."""
DEEPEST = 32
ROUTES = "workout-routes"
"""The folder of the routes, beside the XML."""
OTHER_RECORDS = re.compile(
    rb'^[ \t]*<Record type="(?!HKQuantityTypeIdentifier(?:HeartRate|WorkoutEffortScore)")[^<>]*/>[ \t\r]*$',
    re.MULTILINE,
)
"""Whole lines of records that nothing is made of: nine of ten lines, which the parser need not see."""
HEART_RATE, EFFORT = "HKQuantityTypeIdentifierHeartRate", "HKQuantityTypeIdentifierWorkoutEffortScore"
DISTANCE = "HKQuantityTypeIdentifierDistance"
KIND = "HKWorkoutActivityType"
MULTISPORT = "SwimBikeRun"
LEG_SPORTS = {"Swimming": "Swim", "Cycling": "Ride", "WalkingRunning": "Run"}
"""By what a leg's distance was counted as."""
METRES = {"m": 1.0, "km": 1000.0, "cm": 0.01, "mi": 1609.344, "yd": 0.9144, "ft": 0.3048, "in": 0.0254}
SECONDS = {"s": 1.0, "sec": 1.0, "min": 60.0, "hr": 3600.0, "h": 3600.0, "ms": 0.001}
A_MINUTE = {"count/min": 1.0, "bpm": 1.0, "count/s": 60.0}
LOWEST_BPM, HIGHEST_BPM = 30.0, 230.0
LEAST_BEATS = 3
"""Records inside a workout that make a mean."""
EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_TIME = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[ T](\d{1,2}):(\d\d):(\d\d)(?:\.\d+)?\s*(?:([AP])M)?\s*([+-]\d\d):?(\d\d)", re.IGNORECASE
)
_QUANTITY = re.compile(r"(-?\d+(?:\.\d+)?(?:e[+-]?\d+)?)\s*(.*)", re.ASCII | re.IGNORECASE)
_GMT = re.compile(r"GMT([+-]\d\d?):?(\d\d)?", re.ASCII)

Totals = dict[str, tuple[float, str]]


@dataclass
class _Workout:
    """A workout, or a leg of one, as the file has it."""

    attributes: Mapping[str, str]
    statistics: dict[str, Mapping[str, str]] = field(default_factory=dict)
    metadata: dict[str, str] = field(default_factory=dict)
    routes: list[str] = field(default_factory=list)
    legs: list[_Workout] = field(default_factory=list)
    number: int = 0


@dataclass
class _Health:
    """What is kept of a file."""

    workouts: list[_Workout] = field(default_factory=list)
    beat_s: array[int] = field(default_factory=lambda: array("q"))
    """Of each record of heart rate when it begins, s since 1970; 12 bytes a record with its value."""
    beat_bpm: array[float] = field(default_factory=lambda: array("f"))
    efforts: dict[int, float] = field(default_factory=dict)
    """How hard it was, 1 to 10, by the workout's start."""
    me: Mapping[str, str] = field(default_factory=dict)

    def sort_beats(self) -> None:
        """By time, and by rate within a second: exports list the same records in different orders."""
        at, bpm = np.frombuffer(self.beat_s, dtype=np.int64), np.frombuffer(self.beat_bpm, dtype=np.float32)
        order = np.lexsort((bpm, at))
        self.beat_s, self.beat_bpm = array("q", at[order].tobytes()), array("f", bpm[order].tobytes())

    def beats_in(self, row: Mapping[str, Any]) -> slice:
        """Which of the sorted records lie in a workout; none where its times are unknown."""
        start, elapsed = row["start_date"], row["elapsed_time"]
        if start is None or not elapsed:
            return slice(0)
        first = int(start.timestamp())
        return slice(bisect_left(self.beat_s, first), bisect_left(self.beat_s, first + elapsed + 1))


class AppleHealth:
    """Workouts of all kinds, with heart rate, climbing and routes."""

    kind = SOURCE
    accepts = "an Apple Health export (export.zip or its export.xml)"
    expects = "an export.xml of Apple Health"
    units: Mapping[str, float] = {}
    ids: Literal["numbers", "names"] = "numbers"

    def recognise(self, file: SourceFile) -> Match:
        return Match() if _inside(file) is not None else Match(f"{file.name}: holds no {self.expects}", likeness=0.0)

    def read(self, file: SourceFile, settings: Settings, athlete_id: str | None) -> Found:
        name = _inside(file)
        assert name is not None
        where = PurePosixPath(name).name or file.name
        with file.stream(name) as stream:
            health = _parsed(stream, where)
        owner: Owner = "caller" if athlete_id is not None else "nobody"
        notes = [] if athlete_id else [f"The export names no athlete; its activities belong to {DEFAULT_ATHLETE!r}."]
        athlete_id = athlete_id or DEFAULT_ATHLETE
        parts = list(_parts(health.workouts))
        rows = _once([_row(each, athlete_id, health, where) for each in parts])
        health.sort_beats()
        _add_heart_rates(rows, health)
        table = pa.Table.from_pylist([row for row, _ in rows], arrow_schema(tables.STRAVA_ACTIVITIES))
        found = [Part(tables.STRAVA_ACTIVITIES, table, where, [each.number for _, each in rows], "workout")]
        stated = _stated(health.me)
        if stated:
            nothing = dict.fromkeys(tables.STRAVA_ATHLETE.column_names)
            row = {**nothing, "athlete_id": athlete_id, **stated}
            statement = pa.Table.from_pylist([row], arrow_schema(tables.STRAVA_ATHLETE))
            found.append(Part(tables.STRAVA_ATHLETE, statement, where, [1], "entry"))
        recordings, are_named = _recordings(file, rows, health)
        return Found(
            found,
            notes,
            owner=owner,
            is_whole_account=True,
            recordings=recordings,
            are_found_by_start=not are_named,
            athlete_id=athlete_id,
        )


def _inside(file: SourceFile) -> str | None:
    """The name of the export's XML in a zip or folder, "" of the XML itself; None where there is none.

    By its content: a phone that speaks another language gives the file another name.
    """
    if file.form == "text":
        return "" if file.is_xml and b"HealthData" in file.head else None
    if file.form not in ("zip", "folder"):
        return None
    for name in file.ending(".xml"):
        with file.stream(name) as stream:
            head = stream.read(CHUNK_BYTES // 64)
        if re.search(rb"<!DOCTYPE HealthData\b", head) or ROOT.search(head):
            return name
    return None


# ------------------------------------------------------------------------------------------------------ the stream


def _parsed(stream: BinaryIO, file: str) -> _Health:
    """What is kept of the XML. Raises InputError for what is no such file, or ends too early.

    What stands before the first element is not parsed at all: entities are declared there, and iOS 16 wrote a document
    type there that no parser takes.
    """
    handler = _Handler(file)
    parser = expat.ParserCreate("utf-8")
    parser.buffer_text = True
    parser.SetParamEntityParsing(expat.XML_PARAM_ENTITY_PARSING_NEVER)
    parser.StartElementHandler = handler.start
    parser.EndElementHandler = handler.end
    head = stream.read(CHUNK_BYTES)
    while (root := ROOT.search(head)) is None:
        more = stream.read(CHUNK_BYTES)
        if not more or len(head) > MOST_PROLOG_BYTES:
            raise InputError(f"{file}: has no element HealthData, so it is no export of Apple Health")
        head += more
    try:
        for lines in _whole_lines(stream, head[root.start() :]):
            parser.Parse(OTHER_RECORDS.sub(b"", lines), False)
        parser.Parse(b"", True)
    except expat.ExpatError as error:
        reason = expat.ErrorString(error.code)
        raise InputError(
            f"{file}: ends too early or is damaged ({reason}, after {len(handler.health.workouts)} workouts); export "
            "it from the Health app again; nothing was imported"
        ) from None
    return handler.health


def _whole_lines(stream: BinaryIO, head: bytes) -> Iterator[bytes]:
    """The bytes in pieces that end with a line, where lines are no longer than a piece."""
    rest = head
    while chunk := stream.read(CHUNK_BYTES):
        end = chunk.rfind(b"\n") + 1
        if end or len(rest) > CHUNK_BYTES:
            yield rest + chunk[:end]
            rest = chunk[end:]
        else:
            rest += chunk
    yield rest


class _Handler:
    """Takes the elements that mean something."""

    def __init__(self, file: str) -> None:
        self.health = _Health()
        self._file = file
        self._depth = 0
        self._workout: _Workout | None = None
        self._leg: _Workout | None = None
        self._days: dict[str, int] = {}

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        if self._depth > DEEPEST:
            raise InputError(f"{self._file}: has elements within elements without end; it is no export of Apple Health")
        if tag == "Record":
            self._record(attributes)
        elif tag == "Workout":
            self._workout = _Workout(attributes, number=len(self.health.workouts) + 1)
        elif tag == "Me":
            self.health.me = attributes
        elif self._workout is not None:
            self._in_workout(tag, attributes, self._workout)

    def end(self, tag: str) -> None:
        self._depth -= 1
        if tag == "Workout" and self._workout is not None:
            self.health.workouts.append(self._workout)
            self._workout = None
        elif tag == "WorkoutActivity":
            self._leg = None

    def _in_workout(self, tag: str, attributes: dict[str, str], workout: _Workout) -> None:
        of = self._leg or workout
        if tag == "WorkoutActivity":
            self._leg = _Workout(attributes, number=workout.number)
            workout.legs.append(self._leg)
        elif tag == "WorkoutStatistics" and "type" in attributes:
            of.statistics[attributes["type"]] = attributes
        elif tag == "MetadataEntry" and "key" in attributes:
            of.metadata.setdefault(attributes["key"], attributes.get("value", ""))
        elif tag == "FileReference" and "path" in attributes:
            workout.routes.append(attributes["path"])

    def _record(self, of: dict[str, str]) -> None:
        kind = of.get("type")
        if kind not in (HEART_RATE, EFFORT):
            return
        at, value = self._seconds(of.get("startDate", "")), _number(of.get("value"))
        if at is None or value is None:
            return
        if kind == EFFORT:
            self.health.efforts[at] = value
            return
        bpm = value * A_MINUTE.get(of.get("unit", "count/min"), np.nan)
        if LOWEST_BPM <= bpm <= HIGHEST_BPM:
            self.health.beat_s.append(at)
            self.health.beat_bpm.append(bpm)

    def _seconds(self, text: str) -> int | None:
        """s since 1970. There are millions, nearly all of one form: `2024-05-04 08:00:00 +0200`."""
        if len(text) == 25 and text[10] == text[19] == " ":
            try:
                day = self._days.get(text[:10])
                if day is None:
                    day = self._days[text[:10]] = (date.fromisoformat(text[:10]) - EPOCH.date()).days * 86_400
                clock = int(text[11:13]) * 3600 + int(text[14:16]) * 60 + int(text[17:19])
                offset = int(text[21:23]) * 3600 + int(text[23:25]) * 60
                return day + clock + (offset if text[20] == "-" else -offset)
            except ValueError:
                return None
        moment = _moment(text)
        return None if moment is None else int(moment.timestamp())


# ------------------------------------------------------------------------------------------------------- a workout


def _parts(workouts: Sequence[_Workout]) -> Iterator[_Workout]:
    """The workouts, a triathlon as its legs where they are known."""
    for workout in workouts:
        legs = [leg for leg in workout.legs if _leg_sport(leg)]
        if workout.attributes.get("workoutActivityType", "").removeprefix(KIND) != MULTISPORT or len(legs) < 2:
            yield workout
            continue
        for leg in legs:
            kind = {"workoutActivityType": KIND + str(_leg_sport(leg))}
            yield replace(leg, attributes={**leg.attributes, **kind}, metadata={**workout.metadata, **leg.metadata})


def _leg_sport(leg: _Workout) -> str | None:
    kinds = (name.removeprefix(DISTANCE) for name in leg.statistics if name.startswith(DISTANCE))
    return next((LEG_SPORTS[kind] for kind in kinds if kind in LEG_SPORTS), None)


def _row(of: _Workout, athlete_id: str, health: _Health, file: str) -> tuple[dict[str, Any], _Workout]:
    """A workout as a silver row."""
    where = f"{file}, workout {of.number}"
    kind = of.attributes.get("workoutActivityType", "").removeprefix(KIND)
    sport = strava_sport(kind) or "Workout"
    start, end = (_moment(of.attributes.get(name, "")) for name in ("startDate", "endDate"))
    elapsed = (end - start).total_seconds() if start and end else None
    duration = _quantity(of.attributes.get("duration"), of.attributes.get("durationUnit") or "min", SECONDS, where)
    metadata = {**(of.legs[0].metadata if of.legs else {}), **of.metadata}
    clock, zone = _clock(start, metadata.get("HKTimeZone"))
    beats = _statistic(of, HEART_RATE)
    effort = health.efforts.get(int(start.timestamp())) if start else None
    row = {
        **dict.fromkeys(tables.STRAVA_ACTIVITIES.column_names),
        "athlete_id": athlete_id,
        "id": _id(start, end, kind),
        "start_date": start,
        "start_date_local": clock,
        "timezone": zone,
        "sport_type": sport,
        "distance": _distance(of, where),
        "moving_time": duration if duration is not None and duration > 0 else elapsed,
        "elapsed_time": max(elapsed, duration or 0.0) if elapsed is not None else duration,
        "total_elevation_gain": _metadata_quantity(of, "HKElevationAscended", where),
        "average_heartrate": _quantity(beats.get("average"), beats.get("unit") or "count/min", A_MINUTE, where),
        "max_heartrate": _quantity(beats.get("maximum"), beats.get("unit") or "count/min", A_MINUTE, where),
        "manual": metadata.get("HKWasUserEntered") == "1",
        "trainer": metadata["HKIndoorWorkout"] == "1" if "HKIndoorWorkout" in metadata else None,
        "perceived_exertion": effort if effort is not None and 1 <= effort <= 10 else None,
        "source": SOURCE,
    }
    return row, of


def _id(start: datetime | None, end: datetime | None, kind: str) -> int | None:
    if start is None:
        return None
    times = " ".join(f"{moment.astimezone(timezone.utc):%Y-%m-%dT%H:%M:%S}" for moment in (start, end) if moment)
    return number_of_name(f"apple_health {times} {kind}")


def _once(rows: Sequence[tuple[dict[str, Any], _Workout]]) -> list[tuple[dict[str, Any], _Workout]]:
    """Of workouts with one id, which several apps wrote of one session to the second, the one that tells most."""
    best: dict[object, tuple[dict[str, Any], _Workout]] = {}
    for place, (row, of) in enumerate(rows):
        key = row["id"] if row["id"] is not None else ("no id", place)
        before = best.get(key)
        if before is None or _tells(row, of) > _tells(*before):
            best[key] = (row, of)
    return list(best.values())


def _tells(row: Mapping[str, Any], of: _Workout) -> tuple[object, ...]:
    measured = ("average_heartrate", "distance", "total_elevation_gain", "moving_time", "max_heartrate")
    values = [row[name] for name in measured]
    return bool(of.routes), sum(value is not None for value in values), [value or 0.0 for value in values]


def _distance(of: _Workout, where: str) -> float | None:
    """m; of the statistics, else of the attribute, else of the legs."""
    for name, found in of.statistics.items():
        if name.startswith(DISTANCE) and "sum" in found:
            return _quantity(found["sum"], found.get("unit") or "km", METRES, where)
    if "totalDistance" in of.attributes:
        metres = _quantity(
            of.attributes["totalDistance"], of.attributes.get("totalDistanceUnit") or "km", METRES, where
        )
        return metres or None
    legs = [metres for leg in of.legs if (metres := _distance(leg, where)) is not None]
    return sum(legs) if legs else None


def _statistic(of: _Workout, name: str) -> Mapping[str, str]:
    """A statistic of the workout, or of its only leg."""
    if name in of.statistics:
        return of.statistics[name]
    return of.legs[0].statistics.get(name, {}) if len(of.legs) == 1 else {}


def _metadata_quantity(of: _Workout, name: str, where: str) -> float | None:
    """m of a text with its unit: `8520 cm`; of the legs where the workout itself has none."""
    text = of.metadata.get(name)
    if text is None:
        found = [metres for leg in of.legs if (metres := _metadata_quantity(leg, name, where)) is not None]
        return sum(found) if found else None
    parts = _QUANTITY.fullmatch(text.strip())
    return None if parts is None else _quantity(parts[1], parts[2].strip() or "m", METRES, where)


def _quantity(text: str | None, unit: str, units: Mapping[str, float], where: str) -> float | None:
    """A number in the unit whose factor is 1. Raises InputError for a number that is none, and for an unknown unit."""
    if text is None or not text.strip():
        return None
    value = _number(text)
    if value is None:
        raise InputError(f"{where}: {text[:40]!r} is not a number; export it from the Health app again")
    factor = units.get(unit.strip(), units.get(unit.strip().lower()))
    if factor is None:
        raise InputError(f"{where}: {text[:40]} {unit[:20]!r} is in an unknown unit; known are {', '.join(units)}")
    return value * factor


def _number(text: str | None) -> float | None:
    try:
        value = float(text) if text else None
    except ValueError:
        return None
    return value if value is not None and np.isfinite(value) else None


def _moment(text: str) -> datetime | None:
    found = _TIME.fullmatch(text.strip())
    if found is None:
        return None
    year, month, day, hour, minute, second, half, hours, minutes = found.groups()
    try:
        offset = timedelta(hours=int(hours), minutes=int(minutes) * (-1 if hours.startswith("-") else 1))
        on_the_clock = int(hour) % 12 + (12 if half in "Pp" else 0) if half else int(hour)
        local = datetime(int(year), int(month), int(day), on_the_clock, int(minute), int(second))
        return local.replace(tzinfo=timezone(offset))
    except (ValueError, OverflowError):
        return None


def _clock(start: datetime | None, zone: str | None) -> tuple[datetime | None, str | None]:
    """The start on the athlete's clock, and the zone that it follows: that of the workout, else of the phone that
    exported."""
    if start is None:
        return None, None
    if zone in available_timezones():
        return start.astimezone(ZoneInfo(str(zone))).replace(tzinfo=None), zone
    found = _GMT.fullmatch(zone or "")
    if found is not None:
        minutes = int(found[2] or 0) * (-1 if found[1].startswith("-") else 1)
        start = start.astimezone(timezone(timedelta(hours=int(found[1]), minutes=minutes)))
    return start.replace(tzinfo=None), None


def _add_heart_rates(rows: Sequence[tuple[dict[str, Any], _Workout]], health: _Health) -> None:
    """Mean and maximum of the records inside a workout that states none."""
    bpm = np.frombuffer(health.beat_bpm, dtype=np.float32)
    for row, _ in rows:
        beats = bpm[health.beats_in(row)]
        if row["average_heartrate"] is None and len(beats) >= LEAST_BEATS:
            row["average_heartrate"] = round(float(beats.mean(dtype=np.float64)), 3)
            row["max_heartrate"] = float(beats.max())


def _stated(me: Mapping[str, str]) -> dict[str, Any]:
    """Sex and year of birth, where the person has told the phone. Nothing else of it is looked at."""
    sex = me.get("HKCharacteristicTypeIdentifierBiologicalSex", "").removeprefix("HKBiologicalSex")
    born = re.fullmatch(r"(19\d\d|20\d\d)-\d\d-\d\d", me.get("HKCharacteristicTypeIdentifierDateOfBirth", ""))
    stated = {"sex": SEXES.get(folded(sex)), "birth_year": int(born[1]) if born else None}
    return {name: value for name, value in stated.items() if value is not None}


def _recordings(
    file: SourceFile, rows: Sequence[tuple[dict[str, Any], _Workout]], health: _Health
) -> tuple[list[RecordingFile], bool]:
    """The routes beside the XML, and whether the XML names them: older ones do not.

    One that is named has its activity, and the heart rate of the records inside of it.
    """
    routes = file if file.form in ("zip", "folder") else file.folder and file.folder.in_folder(ROUTES)
    if routes is None:
        return [], True
    there = {PurePosixPath(each.name.replace("\\", "/")).name: each for each in routes.recordings}
    named = [
        replace(there[name], name=name, activity_id=row["id"], sport=row["sport_type"], beats=_beats(health, row))
        for row, of in rows
        if row["id"] is not None
        for name in (PurePosixPath(path).name for path in of.routes[:1])
        if name in there
    ]
    if named or not there:
        return named, True
    return [replace(each, name=name) for name, each in there.items()], False


def _beats(health: _Health, row: Mapping[str, Any]) -> Beats:
    inside = health.beats_in(row)
    return tuple(zip(health.beat_s[inside], health.beat_bpm[inside], strict=True))
