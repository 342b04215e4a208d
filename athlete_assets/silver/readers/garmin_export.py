"""Garmin's account export ("Export Your Data"): the summaries of its activities, and the recordings behind them.

`DI_CONNECT/DI-Connect-Fitness/*_summarizedActivities.json` lists the activities, in cm, ms and ms since 1970;
`startTimeLocal` counts the athlete's own clock as if it were UTC. `DI-Connect-Uploaded-Files/UploadedFiles_*.zip` holds
FIT files named by upload, not by activity, among them thousands of other kinds (monitoring, settings); which activity
one is of shows in its start. Names of files hold the owner's e-mail address: no message repeats one. Units and fields
are those found in exports and in programs that read them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import PurePosixPath
from typing import Any, Literal
from zoneinfo import ZoneInfo

import pyarrow as pa

from athlete_assets import tables
from athlete_assets.errors import InputError
from athlete_assets.settings import Settings
from athlete_assets.silver.readers.protocol import Found, Match, Owner, Part
from athlete_assets.silver.readers.source_file import SourceFile
from athlete_assets.silver.readers.strava_export import DEFAULT_ATHLETE, RACE
from athlete_assets.silver.readers.strava_words import SEXES, folded
from athlete_assets.silver.recordings.batch import RecordingFile
from athlete_assets.silver.sports import strava_sport
from athlete_assets.silver.zones import zone_of_file
from athlete_assets.store.arrow import arrow_schema

SOURCE = "garmin_export"
SUMMARIES = "summarizedActivities.json"
LIST = "summarizedActivitiesExport"
PROFILE = "user_profile.json"
UPLOADS = re.compile(r"uploaded-?files[^/]*\.zip$", re.IGNORECASE)
DEEPEST = 5
"""Folders within folders of an export."""
RACE_EVENT = 1
"""Garmin's eventTypeId of a race."""
EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)

Summary = Mapping[str, Any]


class GarminExport:
    """The zip that Garmin sends, its folder, or a *_summarizedActivities.json of it."""

    kind = "garmin_export"
    accepts = "a Garmin account export (its zip or folder)"
    expects = f"a *_{SUMMARIES}"
    units: Mapping[str, float] = {
        "distance": 0.01,
        "total_elevation_gain": 0.01,
        "moving_time": 1e-3,
        "elapsed_time": 1e-3,
    }
    ids: Literal["numbers", "names"] = "numbers"

    def recognise(self, file: SourceFile) -> Match:
        if file.form in ("zip", "folder"):
            is_one = bool(file.ending(SUMMARIES))
        else:
            is_one = file.form == "text" and file.head.lstrip(b"\xef\xbb\xbf \r\n\t")[:1] in (b"[", b"{")
            is_one = is_one and LIST.encode() in file.head
        return Match() if is_one else Match(f"{file.name}: holds no *_{SUMMARIES}", likeness=0.0)

    def read(self, file: SourceFile, settings: Settings, athlete_id: str | None) -> Found:
        summaries = list(_summaries(file))
        whole = {_id(summary) for _, _, summary in summaries if summary.get("parent") is True}
        has_parts = {summary.get("parentId") for _, _, summary in summaries} & whole
        # a triathlon is its legs, where they are there; else the whole
        summaries = [each for each in summaries if _id(each[2]) not in has_parts]

        owner: Owner = "caller"
        sex = _sex(file)
        if athlete_id is None:
            number = next((each["userProfileId"] for _, _, each in summaries if each.get("userProfileId")), None)
            athlete_id, owner = (str(number), "file") if number else (DEFAULT_ATHLETE, "nobody")
        notes = {
            "nobody": [f"The export names no athlete; its activities belong to {athlete_id!r}."],
            "file": [f"The export is of athlete {athlete_id!r}."],
            "caller": [],
        }[owner]

        zone = None
        if any(_moment(summary, "startTimeLocal", where) is None for where, _, summary in summaries):
            zone, note = zone_of_file(settings, file.name)
            notes.append(note)
        rows = [_row(summary, athlete_id, zone, where) for where, _, summary in summaries]
        table = pa.Table.from_pylist(rows, arrow_schema(tables.STRAVA_ACTIVITIES))
        numbers = [number for _, number, _ in summaries]
        parts = [Part(tables.STRAVA_ACTIVITIES, table, f"{file.name}/{SUMMARIES}", numbers, "entry")]
        if sex:
            stated = {**dict.fromkeys(tables.STRAVA_ATHLETE.column_names), "athlete_id": athlete_id, "sex": sex}
            rows_ = pa.Table.from_pylist([stated], arrow_schema(tables.STRAVA_ATHLETE))
            parts.append(Part(tables.STRAVA_ATHLETE, rows_, f"{file.name}/{PROFILE}", [1], "entry"))
        return Found(
            parts,
            notes,
            zone,
            owner,
            is_whole_account=True,
            recordings=list(_recordings(file)),
            athlete_id=athlete_id,
            are_found_by_start=True,
        )


def _summaries(file: SourceFile) -> Iterator[tuple[str, int, Summary]]:
    """Where each activity's summary stands, its number (from 1), and itself."""
    number = 0
    if file.form == "text":
        files = [file]
    else:
        files = [file.inside(name, SUMMARIES, DEEPEST) for name in file.ending(SUMMARIES)]
    for each in files:
        where = f"{file.name}/{SUMMARIES}" if each is not file else file.name
        content = _json(each, where)
        for block in content if isinstance(content, list) else [content]:
            listed = block.get(LIST) if isinstance(block, dict) else None
            if not isinstance(listed, list) or not all(isinstance(summary, dict) for summary in listed):
                raise InputError(f"{where}: has no list {LIST}; ask Garmin for a new export")
            for summary in listed:
                number += 1
                yield f"{where}, entry {number}", number, summary


def _json(file: SourceFile, where: str) -> Any:
    try:
        return json.loads(file.text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where}: is not valid JSON ({error}); download the export again") from None


def _sex(file: SourceFile) -> str | None:
    """F or M as the profile has it. Nothing else of the profile is looked at."""
    found = file.ending(PROFILE) if file.form in ("zip", "folder") else []
    if len(found) != 1:
        return None
    try:
        profile = json.loads(file.inside(found[0], PROFILE, DEEPEST).text)
    except (ValueError, RecursionError):
        return None
    return SEXES.get(folded(str(profile.get("gender", "")))) if isinstance(profile, dict) else None


def _recordings(file: SourceFile) -> Iterator[RecordingFile]:
    """What was uploaded; a file's name in messages is without the address in it."""
    if file.form not in ("zip", "folder"):
        return
    for holder in [file, *(file.zip_inside(name) for name in file.ending(".zip") if UPLOADS.search(name))]:
        for each in holder.recordings:
            name = PurePosixPath(each.name).name
            yield replace(each, name=name.rpartition("_")[2] if "@" in name else name)


# ------------------------------------------------------------------------------------------------------ a summary


def _row(of: Summary, athlete_id: str, zone: str | None, where: str) -> dict[str, Any]:
    """A summary as a silver row, in Garmin's units."""
    start = _moment(of, "beginTimestamp", where) or _moment(of, "startTimeGmt", where)
    local = _moment(of, "startTimeLocal", where)
    follows_zone = local is None and start is not None and zone is not None
    if follows_zone:
        assert start is not None
        assert zone is not None
        local = start.astimezone(ZoneInfo(zone)).replace(tzinfo=timezone.utc)
    kind = _word(of, "activityType") or _word(of, "sportType")
    sport = strava_sport(kind)
    duration = _number(of, "duration", where)
    is_race = _word(of, "eventType") == "race" or _number(of, "eventTypeId", where) == RACE_EVENT
    effort = _positive(of, "workoutRpe", where) or _positive(of, "directWorkoutRpe", where)
    return {
        "athlete_id": athlete_id,
        "id": _id(of),
        "start_date": start,
        "start_date_local": local.replace(tzinfo=None) if local else None,
        "timezone": zone if follows_zone else None,
        "sport_type": sport,
        "workout_type": RACE.get(sport or "") if is_race else None,
        "distance": _number(of, "distance", where),
        "moving_time": _positive(of, "movingDuration", where) or duration,
        "elapsed_time": _positive(of, "elapsedDuration", where) or duration,
        "total_elevation_gain": _number(of, "elevationGain", where),
        "average_heartrate": _positive(of, "avgHr", where),
        "max_heartrate": _positive(of, "maxHr", where),
        "manual": of["manualActivity"] if isinstance(of.get("manualActivity"), bool) else None,
        "trainer": None if kind is None else any(word in kind for word in ("indoor", "treadmill", "virtual")),
        "grade_adjusted_distance": None,
        "perceived_exertion": effort / 10 if effort else None,  # Garmin counts from 10 to 100
        "weighted_power_w": _positive(of, "normPower", where),
        "own_load": None,
        "source": SOURCE,
    }


def _id(of: Summary) -> int | None:
    number = of.get("activityId")
    return number if isinstance(number, int) and abs(number) < 2**63 else None


def _word(of: Summary, name: str) -> str | None:
    """A name from one of Garmin's lists, which older exports wrap in an object."""
    value = of.get(name)
    if isinstance(value, dict):
        value = value.get("typeKey")
    return value.strip().lower() or None if isinstance(value, str) else None


def _number(of: Summary, name: str, where: str) -> float | None:
    value = of.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise InputError(f"{where}, {name}: {str(value)[:40]!r} is not a number; ask Garmin for a new export")
    try:
        return float(value)
    except OverflowError:
        raise InputError(f"{where}, {name}: is not a number of this world; ask Garmin for a new export") from None


def _positive(of: Summary, name: str, where: str) -> float | None:
    value = _number(of, name, where)
    return value if value is not None and value > 0 else None


def _moment(of: Summary, name: str, where: str) -> datetime | None:
    """Milliseconds since 1970 as a time, in full seconds."""
    value = _number(of, name, where)
    if value is None:
        return None
    try:
        return EPOCH + timedelta(seconds=int(value // 1000))
    except (OverflowError, ValueError):
        raise InputError(f"{where}, {name}: {value:g} lies outside the calendar") from None
