"""The load or the exertion of single sessions, as an athlete tells of them: `athlete-assets athlete session
2026-05-01 load=85`, or a CSV file with date and load or rpe.

What is said is remembered in silver.athlete_session, so that no later import takes it away, and stands in the session's
row of silver.strava_activities: on all copies of it that several services brought. A session that no import has is
entered with its minutes.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta, timezone
from pathlib import Path
from typing import Any

import pyarrow as pa

from athlete_assets import tables
from athlete_assets.errors import InputError
from athlete_assets.silver.plausible import RESULTS
from athlete_assets.silver.races import NOON
from athlete_assets.silver.readers.csv_text import ACTIVITY_NAMES, decoded, headers, headers_of, numbers, parsed, shown
from athlete_assets.silver.readers.protocol import number_of_name
from athlete_assets.silver.sports import ANY_SPORT, SPORTS, family, strava_sport
from athlete_assets.store.arrow import arrow_schema

Row = Mapping[str, Any]
"""A row of silver.strava_activities or silver.athlete_session."""

FIGURES = {"load": "own_load", "rpe": "perceived_exertion"}
"""By what an athlete calls it, the column that it fills."""
COLUMNS = tuple(FIGURES.values())
NAMES = (*FIGURES, "minutes", "sport", "at")
LEAST_LOAD, MOST_LOAD = 1.0, RESULTS["own_load"][1]
EXERTION = RESULTS["perceived_exertion"]
MOST_MINUTES = 2880.0
FIRST_DAY = date(2000, 1, 1)
SAME_MINUTES, SAME_SHARE = 5.0, 0.1
"""min and share by which the minutes that somebody remembers may be off."""
SAME_BEGIN = timedelta(minutes=15)
SAME_TIME_SHARE = 0.7
"""Of the longer of two rows, so much in common makes them copies of one session; a part and its whole are not."""


@dataclass(frozen=True)
class Session:
    """What was said of one session."""

    day: date
    figures: Mapping[str, float | None] = field(hash=False)
    """By column of silver; None takes an earlier figure back."""
    minutes: float | None = None
    sport: str | None = None
    """In Strava's spelling."""
    at: time | None = None
    where: str = ""
    """Where it was said, for messages."""

    def __str__(self) -> str:
        length = f"{self.minutes:g} min" if self.minutes else ""
        return " ".join(filter(None, (str(self.day), f"{self.at:%H:%M}" if self.at else "", self.sport, length)))


# -------------------------------------------------------------------------------------------------------- words


def session_of_words(words: Sequence[str], today: date) -> Session:
    """The session of `2026-05-01 load=85 minutes=50`. Raises InputError for what nobody can mean."""
    days = [word for word in words if "=" not in word]
    if len(days) != 1:
        raise InputError("say of one day what the session was, such as athlete session 2026-05-01 load=85")
    given: dict[str, str] = {}
    for word in words:
        name, equals, text = word.partition("=")
        if not equals:
            continue
        plain = name.strip().lower()
        if plain not in NAMES:
            near = difflib.get_close_matches(plain, NAMES, n=1, cutoff=0.5)
            meant = f"did you mean {near[0]}? " if near else ""
            raise InputError(f"{name!r}: is nothing to say of a session; {meant}There are: {', '.join(NAMES)}")
        if plain in given:
            raise InputError(f"{plain}: is stated twice; give one")
        given[plain] = text.strip()
    return _session(days[0], given, today, "")


def is_sessions_file(path: Path) -> bool:
    """Whether a file is a CSV of sessions: a day and a load or an exertion, and nothing that numbers an activity."""
    others = {"race", "time", "distance", *ACTIVITY_NAMES}
    return any("date" in names and names & set(FIGURES) and not names & others for names in headers_of(path))


def read_sessions(path: Path, today: date) -> list[Session]:
    """The sessions of a CSV file. Raises InputError that names file, line and column for what cannot be read."""
    text = decoded(path.read_bytes(), path.name)
    found = headers(text, path.name)
    known = {"date", *NAMES}
    delimiter = max(found, key=lambda mark: len({name.strip().lower() for name in found[mark]} & known))
    table = parsed(text, path.name, delimiter)
    at = {name.strip().lower(): place for place, name in enumerate(table.header)}
    cells = {name: table.column(at[name]) for name in ("date", *NAMES) if name in at}
    measured = [name for name in (*FIGURES, "minutes") if name in cells]
    values = numbers([cells[name] for name in measured], default=None)
    by_name = dict(zip(measured, values, strict=True))
    sessions = []
    for row, line in enumerate(table.lines):
        given = {name: "" if (value := column[row]) is None else repr(value) for name, column in by_name.items()}
        given |= {name: cells[name].texts[row] for name in ("sport", "at") if name in cells}
        given = {name: text for name, text in given.items() if text}
        sessions.append(_session(cells["date"].texts[row], given, today, f"{path.name}, line {line}: "))
    if not sessions:
        raise InputError(f"{path.name}: has a header but no rows; give a file with at least one session")
    return sessions


def _session(day: str, given: Mapping[str, str], today: date, where: str) -> Session:
    ranges = {"load": (LEAST_LOAD, MOST_LOAD), "rpe": EXERTION, "minutes": (1.0, MOST_MINUTES)}
    found: dict[str, float | None] = {}
    for name, (least, most) in ranges.items():
        if name not in given:
            continue
        text = given[name]
        if name in FIGURES and text.lower() == "none":
            found[name] = None
            continue
        plain = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(?:min)?", text, re.ASCII)
        if plain is None or not least <= float(plain[1]) <= most:
            raise InputError(f"{where}{name}={text}: needed is a number from {least:g} to {most:g}; nothing was stated")
        found[name] = float(plain[1])
    figures = {column: found[name] for name, column in FIGURES.items() if name in found}
    if not figures:
        raise InputError(f"{where}say what the session was: load=85, or rpe=6 (1 to 10)")
    sport = strava_sport(given.get("sport"))
    if sport is not None and sport not in SPORTS:
        near = difflib.get_close_matches(sport, sorted(SPORTS), n=3, cutoff=0.4)
        nearest = ", ".join(near) or "Workout"
        raise InputError(f"{where}sport={given['sport']}: no such sport is known; the nearest: {nearest}")
    clock = given.get("at")
    hours = re.fullmatch(r"([01]?\d|2[0-3]):([0-5]\d)", clock or "", re.ASCII)
    if clock and hours is None:
        raise InputError(f"{where}at={clock}: is no time of a day; write it as hh:mm, such as 18:30")
    at = time(int(hours[1]), int(hours[2])) if hours else None
    return Session(_day(day, today, where), figures, found.get("minutes"), sport, at, where)


def _day(text: str, today: date, where: str) -> date:
    try:
        day = date.fromisoformat(text) if re.fullmatch(r"\d{4}-\d\d-\d\d", text, re.ASCII) else None
    except ValueError:
        day = None
    if day is None or day < FIRST_DAY:
        raise InputError(f"{where}{shown(text)} is no day from {FIRST_DAY} on; write it as yyyy-mm-dd, such as {today}")
    if day > today:
        raise InputError(
            f"{where}{day} lies in the future; a session is told of when it is done. What is planned is a file of its "
            "own: `athlete-assets import plan.csv`"
        )
    return day


# -------------------------------------------------------------------------------------------- among the activities

MATCHED = ("id", "sport_type", "start_date_local", "moving_time", "elapsed_time", "source", *COLUMNS)
"""The columns of silver.strava_activities by which a session is found."""


def seconds(row: Row) -> float:
    """How long an activity lasted: moving where that is known."""
    return float((row["moving_time"] or 0) if (row["moving_time"] or 0) > 0 else (row["elapsed_time"] or 0))


def found_among(
    activities: Iterable[Row], day: date, minutes: float | None, sport: str | None, at: time | None
) -> list[list[Row]]:
    """The sessions of a day that may be meant, in order of their start, each as its copies."""
    fitting = [row for row in activities if _begins(row) and _fits(row, day, minutes, sport, at)]
    groups: list[list[Row]] = []
    for row in sorted(fitting, key=lambda row: (_begins(row), row["id"])):
        group = next((group for group in groups if any(_is_copy(row, other) for other in group)), None)
        if group is None:
            groups.append([row])
        else:
            group.append(row)
    return groups


def copies_of(session: Row, activities: Sequence[Row]) -> list[Row]:
    """The activities that are a remembered session, which is a row of silver.athlete_session."""
    same = [row for row in activities if _is_any_copy(session, [row])]
    if same:
        return same
    at, minutes = session["begins"].time(), session["moving_time"] / 60
    groups = found_among(
        activities, session["begins"].date(), minutes, session["sport_type"], None if at == NOON else at
    )
    return groups[0] if len(groups) == 1 else []


def the_one(said: Session, activities: Sequence[Row]) -> list[Row]:
    """The session that is meant, as its copies; none where it is to be entered. Raises InputError in doubt."""
    groups = found_among(activities, said.day, said.minutes, said.sport, said.at)
    if len(groups) == 1:
        return groups[0]
    if groups:
        listed = "; ".join(map(described, groups))
        raise InputError(
            f"{said.where}{said}: {len(groups)} sessions may be meant ({listed}); say which one with at=hh:mm, "
            "minutes= or sport=; nothing was stated"
        )
    if None in said.figures.values():
        raise InputError(f"{said.where}{said}: there is no such session, so nothing of it can be taken back")
    if said.minutes is None:
        of_day = found_among(activities, said.day, None, None, None)
        there = "; ".join(map(described, of_day)) or "none at all"
        raise InputError(
            f"{said.where}{said}: there is no such session (of that day there are: {there}); give minutes= to enter "
            "one, or import it first; nothing was stated"
        )
    return []


def known_before(known: Iterable[Row], copies: Sequence[Row], number: int) -> Row | None:
    """The remembered row of a session: the one of the same copies, else the one that was said in the same words."""
    known, ids = list(known), {row["id"] for row in copies}
    of_copies = [row for row in known if row["session_id"] in ids or _is_any_copy(row, copies)]
    return next(iter([*of_copies, *(row for row in known if row["session_id"] == number and row["is_entered"])]), None)


def _is_any_copy(session: Row, copies: Iterable[Row]) -> bool:
    like = {"start_date_local": session["begins"], "moving_time": session["moving_time"], "elapsed_time": None}
    return not session["is_entered"] and any(_is_copy(row, like) for row in copies)


def session_row(athlete: str, number: int, said: Session, before: Row | None, copies: Sequence[Row]) -> dict[str, Any]:
    """What is to be remembered of a session. copies: the activities that it is; none of one that is entered."""
    earlier: Row = before or {}
    row = {
        "athlete_id": athlete,
        "session_id": earlier.get("session_id", number),
        "begins": datetime.combine(said.day, said.at) if said.at else earlier.get("begins") or _noon(said.day),
        "moving_time": said.minutes * 60 if said.minutes else earlier.get("moving_time"),
        "sport_type": said.sport or earlier.get("sport_type"),
        **{name: said.figures.get(name, earlier.get(name)) for name in COLUMNS},
        "is_entered": True,
    }
    return remembered(row, copies) if copies else row


def _noon(day: date) -> datetime:
    return datetime.combine(day, NOON)


def refuse_too_much(said: Session, row: Row, most_an_hour: float) -> None:
    """Raises InputError for a load that the session cannot have been: it would count as none."""
    load, most = said.figures.get("own_load"), most_an_hour * row["moving_time"] / 3600
    if load is not None and load > most:
        raise InputError(
            f"{said.where}load={load:g}: is more than {row['moving_time'] / 60:.0f} min can be ({most:.0f}, at "
            f"{most_an_hour:g} an hour); nothing was stated"
        )


def _begins(row: Row) -> datetime:
    begins: datetime = row["start_date_local"]
    return begins


def _fits(row: Row, day: date, minutes: float | None, sport: str | None, at: time | None) -> bool:
    begins, length = _begins(row), seconds(row) / 60
    if begins.date() != day or not length or row["id"] is None:
        return False
    if minutes is not None:
        elapsed = (row["elapsed_time"] or 0) / 60
        slack = max(SAME_MINUTES, SAME_SHARE * minutes)
        if min(abs(length - minutes), abs(elapsed - minutes)) > slack:
            return False
    if sport is not None and family(strava_sport(row["sport_type"])) not in (family(sport), ANY_SPORT):
        return False
    return at is None or abs(begins - datetime.combine(day, at)) <= SAME_BEGIN


def _is_copy(one: Row, other: Row) -> bool:
    """Whether two rows are one session: they have most of the longer one's time in common."""
    first, second = _begins(one), _begins(other)
    lengths = seconds(one), seconds(other)
    together = min(first + timedelta(seconds=lengths[0]), second + timedelta(seconds=lengths[1])) - max(first, second)
    return together.total_seconds() >= SAME_TIME_SHARE * max(lengths) > 0


def described(rows: Sequence[Row]) -> str:
    """A session as messages call it: 18:30 Run 45 min."""
    row = min(rows, key=lambda row: row["id"])
    return f"{_begins(row):%H:%M} {strava_sport(row['sport_type']) or 'Workout'} {seconds(row) / 60:.0f} min"


# --------------------------------------------------------------------------------------------------------- rows


def session_id(athlete: str, said: Session) -> int:
    number = number_of_name(f"session {athlete} {said.day} {said.sport or ''} {said.at or ''}")
    assert number is not None
    return number


def remembered(session: Row, copies: Sequence[Row]) -> dict[str, Any]:
    """The row of silver.athlete_session, when it is known which activities the session is."""
    first = min(copies, key=lambda row: row["id"])
    return {**session, "begins": _begins(first), "moving_time": seconds(first), "is_entered": False}


def activity_rows(sessions: Iterable[Row], at: datetime) -> pa.Table:
    """Silver activities of sessions that no import has: all that is known of them."""
    nothing = dict.fromkeys(tables.STRAVA_ACTIVITIES.column_names)
    rows = [
        {
            **nothing,
            "athlete_id": session["athlete_id"],
            "id": session["session_id"],
            "start_date": session["begins"].replace(tzinfo=timezone.utc),
            "start_date_local": session["begins"],
            "sport_type": session["sport_type"] or "Workout",
            "moving_time": session["moving_time"],
            "elapsed_time": session["moving_time"],
            "manual": True,
            "own_load": session["own_load"],
            "perceived_exertion": session["perceived_exertion"],
            "source": tables.OWN_WORD,
            tables.INGESTED: at,
        }
        for session in sessions
    ]
    return pa.Table.from_pylist(rows, arrow_schema(tables.STRAVA_ACTIVITIES))


def figures_of(session: Row) -> dict[str, float | None]:
    return {name: session[name] for name in COLUMNS if session[name] is not None}


def with_figures(activities: pa.Table, said: Mapping[tuple[str, int], Row]) -> pa.Table:
    """The activities, those of the keys (athlete, id) with the figures that are said of them."""
    if not said:
        return activities
    keys = list(zip(activities["athlete_id"].to_pylist(), activities["id"].to_pylist(), strict=True))
    for name in COLUMNS:
        values = zip(keys, activities[name].to_pylist(), strict=True)
        figures = [said.get(key, {}).get(name, value) for key, value in values]
        at = activities.schema.get_field_index(name)
        activities = activities.set_column(at, activities.schema.field(at), pa.array(figures, pa.float64()))
    return activities
