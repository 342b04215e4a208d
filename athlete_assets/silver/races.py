"""Races as an athlete tells of them, in a CSV file: date, distance, time, and a name that is not kept.

A race is one of the imported runs, or is missing among them. It is found by its day, its distance and its time; what it
is matched with is remembered in silver.athlete_race, so that no later import unmarks it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timezone
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa

from athlete_assets import tables
from athlete_assets.errors import InputError
from athlete_assets.formulas.race_times import HIGHEST_VDOT, vdot
from athlete_assets.silver.readers.csv_text import ACTIVITY_NAMES, Cells, decoded, headers, headers_of, parsed, shown
from athlete_assets.silver.readers.protocol import number_of_name
from athlete_assets.silver.sports import strava_sport
from athlete_assets.store.arrow import arrow_schema

RACE = 1
"""Strava's workout_type of a race, for runs."""
COLUMNS = ("date", "distance", "time")
NAMED_M = {"mile": 1609.344, "half": 21_097.5, "half marathon": 21_097.5, "marathon": 42_195.0}
UNITS_M = {"km": 1000.0, "k": 1000.0, "m": 1.0, "mi": 1609.344, "mile": 1609.344, "miles": 1609.344}
LONGEST_M = 400_000.0
SLOWEST_S_KM = 1200.0
"""20 min/km: slower is no race, but a time in other units."""
SAME_DISTANCE = 0.06
"""Share by which a race's distance and that of its recording differ: satellites measure 1 to 5 % too much."""
SAME_TIME = 0.10
NOON = time(12)
"""When an entered race began: nobody says it, and no other run is at noon to the second."""


@dataclass(frozen=True)
class Race:
    """One race of an athlete."""

    day: date
    distance_m: float
    time_s: float


Outcome = Literal["marked", "entered", "inside"]
"""Marked among the runs; entered, for it was missing; or inside a longer run of its day, which is left alone."""


def is_races_file(path: Path) -> bool:
    """Whether a file is a CSV of races: it has their columns, and nothing that tells of activities of all kinds."""
    return any(
        set(COLUMNS) <= {_plain(name) for name in names} and not names & ACTIVITY_NAMES for names in headers_of(path)
    )


def _plain(header: str) -> str:
    return re.sub(r"[ _(]+(km|m|s)\)?$", "", header.strip().lower())


def read_races(path: Path, today: date) -> list[Race]:
    """The races of a CSV file. Raises InputError that names file, line and column for what cannot be read."""
    text = decoded(path.read_bytes(), path.name)
    found = headers(text, path.name)
    delimiter = max(found, key=lambda mark: len({_plain(name) for name in found[mark]} & set(COLUMNS)))
    table = parsed(text, path.name, delimiter)
    at = {_plain(name): number for number, name in enumerate(table.header)}
    cells = {name: table.column(at[name]) for name in COLUMNS}
    unit = re.search(r"[ _(](km|m)\)?$", table.header[at["distance"]].strip().lower())
    races: list[Race] = []
    for number, line in enumerate(table.lines):
        texts = {name: column.texts[number].strip() for name, column in cells.items()}
        day = _day(cells["date"], line, texts["date"], today)
        seconds, metres = _seconds(texts["time"]), _metres(texts["distance"] + (unit[1] if unit else ""))
        if not metres:
            raise cells["distance"].error(line, f"{shown(texts['distance'])} is no distance; write 10 km, 5k or half")
        if not seconds:
            raise cells["time"].error(line, f"{shown(texts['time'])} is no time; write h:mm:ss or mm:ss")
        fitting = [Race(day, m, s) for m in metres for s in seconds if _is_run(m, s)]
        if len(fitting) != 1:
            what = "can be read in several ways" if fitting else "is nothing that a person runs"
            raise cells["time"].error(
                line, f"{texts['distance']} in {texts['time']} {what}; write the distance as 10 km, the time as h:mm:ss"
            )
        races += [race for race in fitting if race not in races]
    for number, race in enumerate(races):
        if any((race.day, race.distance_m) == (other.day, other.distance_m) for other in races[:number]):
            raise InputError(f"{path.name}: {race.day} has two times over {race.distance_m:g} m; keep one of them")
    if not races:
        raise InputError(f"{path.name}: has a header but no rows; give a file with at least one race")
    return races


def _day(cells: Cells, line: int, text: str, today: date) -> date:
    try:
        day = date.fromisoformat(text) if re.fullmatch(r"\d{4}-\d\d-\d\d", text, re.ASCII) else None
    except ValueError:
        day = None
    if day is None or not date(2000, 1, 1) <= day <= today:
        raise cells.error(line, f"{shown(text)} is no day from 2000-01-01 to today ({today}); write yyyy-mm-dd")
    return day


def _metres(text: str) -> list[float]:
    """What a distance can mean, m: a number without a unit may be kilometres or metres."""
    plain = " ".join(text.lower().replace("-", " ").split())
    if plain in NAMED_M:
        return [NAMED_M[plain]]
    found = re.fullmatch(r"(\d+(?:[.,]\d+)?)\s*(km|k|mi|miles?|m)?", plain, re.ASCII)
    if found is None:
        return []
    value = float(found[1].replace(",", "."))
    return [value * factor for factor in ([UNITS_M[found[2]]] if found[2] else [1000.0, 1.0])]


def _seconds(text: str) -> list[float]:
    """What a time can mean, s: of two parts, minutes and seconds or hours and minutes."""
    found = re.fullmatch(r"(?:(\d{1,2}):)?(\d{1,3}):([0-5]\d(?:\.\d+)?)", text, re.ASCII)
    if found is None or (found[1] and int(found[2]) > 59):
        return []
    parts = [float(part or 0) for part in found.groups()]
    seconds = parts[0] * 3600 + parts[1] * 60 + parts[2]
    return [seconds] if found[1] else [seconds, parts[1] * 3600 + parts[2] * 60]


def _is_run(metres: float, seconds: float) -> bool:
    if not 100 <= metres <= LONGEST_M or seconds / metres * 1000 > SLOWEST_S_KM:
        return False
    return bool(metres / seconds <= 10.5 if metres < 1500 else vdot(metres, seconds) <= HIGHEST_VDOT)


# ------------------------------------------------------------------------------------------------------ among runs

MATCHED = ("id", "sport_type", "start_date_local", "distance", "moving_time", "elapsed_time", "source")
"""The columns of silver.strava_activities by which a race is found."""


def found_among(race: Race, runs: Iterable[Mapping[str, Any]]) -> tuple[Outcome, int | None]:
    """What a race is among an athlete's activities (MATCHED), and which one.

    The one of the day that is as long and took as long; of several the nearest time.
    """
    of_day = [
        run
        for run in runs
        if run["start_date_local"] is not None
        and run["start_date_local"].date() == race.day
        and strava_sport(run["sport_type"]) in tables.RUN_SPORTS
        and run["source"] != tables.OWN_WORD
        and run["distance"]
        and run["id"] is not None
    ]

    def off(run: Mapping[str, Any]) -> float:
        times = [value for value in (run["elapsed_time"], run["moving_time"]) if value]
        return min((abs(value / race.time_s - 1) for value in times), default=1.0)

    same = [
        run for run in of_day if abs(run["distance"] / race.distance_m - 1) <= SAME_DISTANCE and off(run) <= SAME_TIME
    ]
    if same:
        return "marked", min(same, key=lambda run: (off(run), run["id"]))["id"]
    for run in of_day:
        longer = run["distance"] > race.distance_m * (1 + SAME_DISTANCE)
        if longer and (run["elapsed_time"] or run["moving_time"] or 0) >= race.time_s:
            return "inside", run["id"]
    return "entered", None


def entered_id(athlete: str, race: Race) -> int:
    number = number_of_name(f"race {athlete} {race.day} {race.distance_m!r}")
    assert number is not None
    return number


def activity_rows(athlete: str, races: Sequence[Race], at: datetime) -> pa.Table:
    """Silver activities of races that are missing among the runs: all that is known of them."""
    nothing = dict.fromkeys(tables.STRAVA_ACTIVITIES.column_names)
    rows = [
        {
            **nothing,
            "athlete_id": athlete,
            "id": entered_id(athlete, race),
            "start_date": datetime.combine(race.day, NOON, timezone.utc),
            "start_date_local": datetime.combine(race.day, NOON),
            "sport_type": "Run",
            "workout_type": RACE,
            "distance": race.distance_m,
            "moving_time": race.time_s,
            "elapsed_time": race.time_s,
            "manual": True,
            "source": tables.OWN_WORD,
            tables.INGESTED: at,
        }
        for race in races
    ]
    return pa.Table.from_pylist(rows, arrow_schema(tables.STRAVA_ACTIVITIES))


def with_type(activities: pa.Table, marked: set[tuple[str, int]]) -> pa.Table:
    """The activities, those of the keys (athlete, id) as races."""
    keys = list(zip(activities["athlete_id"].to_pylist(), activities["id"].to_pylist(), strict=True))
    if not marked.intersection(keys):
        return activities
    types = activities["workout_type"].to_pylist()
    column = [RACE if key in marked else value for key, value in zip(keys, types, strict=True)]
    at = activities.schema.get_field_index("workout_type")
    field = activities.schema.field(at)
    return activities.set_column(at, field, pa.array(column, field.type))
