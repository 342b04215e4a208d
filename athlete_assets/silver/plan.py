"""silver.athlete_plan: what an athlete plans to do, from a small CSV file. The file is the whole plan."""

from __future__ import annotations

import re
from datetime import date, datetime, timezone
from pathlib import Path

import pyarrow as pa

from athlete_assets import tables
from athlete_assets.errors import InputError
from athlete_assets.silver.landing import landing_lock
from athlete_assets.silver.readers.csv_text import (
    ACTIVITY_NAMES,
    Cells,
    booleans,
    decoded,
    headers,
    headers_of,
    iso_times,
    numbers,
    parsed,
    shown,
)
from athlete_assets.store.arrow import arrow_schema
from athlete_assets.store.local import LocalStore
from athlete_assets.store.sql import delta_literal

COLUMNS = ("date", "load", "minutes", "race")
MOST_LOAD, MOST_MINUTES = 1000.0, 2880.0
"""Of one day: 1,000 TSS are ten hours at threshold."""


def is_plan_file(path: Path, today: date) -> bool:
    """Whether a file is a CSV of planned days: a date with a load or minutes, and nothing of what was done.

    Days and loads alone may also be sessions that were done (silver.sessions): it is a plan where a day lies ahead.
    """
    for names in headers_of(path):
        if "date" in names and names & {"load", "minutes"} and not names & {"distance", "time", "rpe", *ACTIVITY_NAMES}:
            days = re.findall(r"\b\d{4}-\d\d-\d\d\b", decoded(path.read_bytes(), path.name))
            return "race" in names or "load" not in names or max(days, default="") > today.isoformat()
    return False


def read_plan(path: Path, athlete: str) -> pa.Table:
    """ATHLETE_PLAN rows of a CSV file with the columns date, load (TSS) or minutes, and race (true or false).

    Raises InputError that names file, line and column for what cannot be read, a day that stands there twice, and a day
    without load and minutes that is no race.
    """
    try:
        text = decoded(path.read_bytes(), path.name)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    found = headers(text, path.name)
    delimiter = max(found, key=lambda mark: sum(name.lower() in COLUMNS for name in found[mark]))
    table = parsed(text, path.name, delimiter)
    by_name = {name.lower(): table.column(at) for at, name in enumerate(table.header)}
    if "date" not in by_name or not {"load", "minutes"} & set(by_name):
        raise InputError(
            f"{path.name}: a plan has the columns date, load (TSS) or minutes, and race; found "
            f"{', '.join(table.header)}"
        )
    empty = Cells(path.name, "", table.lines, [""] * len(table.lines))
    date, load, minutes, race = (by_name.get(name, empty) for name in COLUMNS)
    days, is_race = iso_times(date, local=True), booleans(race)
    loads, times = numbers([load, minutes], default=None)
    rows, seen = [], set()
    now = datetime.now(timezone.utc)
    for number, (line, day) in enumerate(zip(table.lines, days, strict=True)):
        if day is None:
            raise date.error(line, "is empty; a plan says of each row which day it is")
        if day.date() in seen:
            raise date.error(line, f"{day.date()} stands there twice; give a day one row")
        seen.add(day.date())
        if loads[number] is None and times[number] is None and not is_race[number]:
            raise date.error(line, f"{day.date()} has neither load nor minutes; give one of them, 0 for rest")
        for cells, value, most in ((load, loads[number], MOST_LOAD), (minutes, times[number], MOST_MINUTES)):
            if value is not None and not 0 <= value <= most:
                raise cells.error(line, f"{shown(cells.texts[number])} is not between 0 and {most:g}")
        rows.append(
            {
                "athlete_id": athlete,
                "plan_date": datetime(day.year, day.month, day.day, tzinfo=timezone.utc),
                "load_tss": loads[number],
                "moving_time_min": times[number],
                "is_race": bool(is_race[number]),
                tables.INGESTED: now,
            }
        )
    return pa.Table.from_pylist(rows, schema=arrow_schema(tables.ATHLETE_PLAN))


def write_plan(store: LocalStore, athlete: str, rows: pa.Table) -> None:
    """Puts the rows in the place of the athlete's plan, in one commit; nothing where they say what it says."""
    with landing_lock(store):
        store.create(tables.ATHLETE_PLAN)
        folder = store.folder(tables.ATHLETE_PLAN)
        mine = f"athlete_id = {delta_literal(athlete)}"
        content = [name for name in tables.ATHLETE_PLAN.column_names if name != tables.INGESTED]
        held = folder.query(f"SELECT {', '.join(content)} FROM t WHERE {mine}").sort_by("plan_date")
        if held.to_pylist() != rows.select(content).sort_by("plan_date").to_pylist():
            folder.overwrite(rows, mine)
