"""What an athlete says about himself or herself: `athlete-assets athlete ID set max-hr=187 from=2026-01-01`.

Statements are rows of silver.strava_athlete, each valid from its day. A name or a value that nobody can mean is
refused before anything is written.
"""

from __future__ import annotations

import difflib
import itertools
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from athlete_assets import tables
from athlete_assets.days import midnight
from athlete_assets.errors import InputError
from athlete_assets.silver import landing
from athlete_assets.silver.readers.strava_words import SEXES, folded
from athlete_assets.store.arrow import arrow_schema
from athlete_assets.store.local import LocalStore

Values = dict[str, Any]
"""By column of silver.strava_athlete."""

NEAREST = 5
MILE_KM = 1.609344
PACE_MIN_KM = (2.0, 15.0)
AGES = (5, 110)
ZONE_METHODS = {"max-hr": "max_hr", "reserve": "hr_reserve", "hr-reserve": "hr_reserve", "threshold-hr": "threshold_hr"}
ZONE_BOUNDS = ("zone_2_from_bpm", "zone_3_from_bpm", "zone_4_from_bpm", "zone_5_from_bpm")
BOUNDS_BPM = (60.0, 230.0)
FIRST_DAY = date(1970, 1, 1)
STARTS = ("starting_fitness", "starting_fatigue")


@dataclass(frozen=True)
class Statement:
    """One thing that can be stated."""

    name: str
    columns: tuple[str, ...]
    read: Callable[[str, date], Values]
    """The columns' values of a text, on a today. Raises ValueError whose text says what is wanted."""
    shown: Callable[[Mapping[str, Any]], str]
    takes: str
    """What it may be, for help."""


@dataclass(frozen=True)
class Said:
    """One statement as it stands in silver."""

    name: str
    value: str
    valid_from: date | None
    """None: it always held."""
    is_own: bool
    """Said here; else an import brought it."""

    @property
    def since(self) -> str:
        return "for all days" if self.valid_from is None else f"from {self.valid_from}"


def _number(text: str, unit: str, low: float, high: float) -> float:
    found = re.fullmatch(rf"(\d+(?:\.\d+)?)\s*(?:{unit})?", text.strip(), re.IGNORECASE | re.ASCII)
    value = float(found[1]) if found else None
    if value is None or not low <= value <= high:
        raise ValueError(f"a number from {low:g} to {high:g}{f' {unit}' if unit else ''}")
    return value


def _figure(name: str, column: str, unit: str, low: float, high: float) -> Statement:
    def shown(row: Mapping[str, Any]) -> str:
        return f"{row[column]:g} {unit}".strip()

    return Statement(
        name,
        (column,),
        lambda text, today: {column: _number(text, unit, low, high)},
        shown,
        f"{low:g} to {high:g} {unit}".strip(),
    )


def _pace(text: str, today: date) -> Values:
    found = re.fullmatch(r"(\d{1,2}):([0-5]\d)\s*(?:(?:min)?/(km|mi|mile))?", text.strip(), re.IGNORECASE | re.ASCII)
    if found is None:
        raise ValueError("minutes and seconds a kilometre such as 4:25 (or a mile, 7:07/mi)")
    pace = int(found[1]) + int(found[2]) / 60
    pace = pace if (found[3] or "km").lower() == "km" else pace / MILE_KM
    if not PACE_MIN_KM[0] <= pace <= PACE_MIN_KM[1]:
        raise ValueError(f"a pace from {_clock(PACE_MIN_KM[0])} to {_clock(PACE_MIN_KM[1])} a kilometre")
    return {"threshold_pace_min_km": pace}


def _clock(minutes: float) -> str:
    seconds = round(minutes * 60)
    return f"{seconds // 60}:{seconds % 60:02d}"


def _birth_year(text: str, today: date) -> Values:
    first, last = today.year - AGES[1], today.year - AGES[0]
    if not re.fullmatch(r"\d{4}", text, re.ASCII) or not first <= int(text) <= last:
        raise ValueError(f"a year from {first} to {last}")
    return {"birth_year": int(text)}


def _sex(text: str, today: date) -> Values:
    if folded(text) not in SEXES:
        raise ValueError("F or M")
    return {"sex": SEXES[folded(text)]}


def _zones(text: str, today: date) -> Values:
    """Another method than bounds takes earlier bounds back: they would come again with a later `bounds`."""
    method = ZONE_METHODS.get(text.strip().lower().replace("_", "-"))
    if method:
        return {"zone_method": method, **dict.fromkeys(ZONE_BOUNDS)}
    parts = [part.strip() for part in text.split(",")]
    if all(re.fullmatch(r"\d+(\.\d+)?", part, re.ASCII) for part in parts) and len(parts) == len(ZONE_BOUNDS):
        bounds = [float(part) for part in parts]
        if bounds == sorted(set(bounds)) and BOUNDS_BPM[0] <= bounds[0] and bounds[-1] <= BOUNDS_BPM[1]:
            return {"zone_method": "bounds", **dict(zip(ZONE_BOUNDS, bounds, strict=True))}
    raise ValueError(
        "max-hr, reserve, threshold-hr, or where zones 2 to 5 begin in rising bpm, such as 120,140,155,170"
    )


def _shown_zones(row: Mapping[str, Any]) -> str:
    if row["zone_method"] == "bounds":
        return ",".join("?" if row[name] is None else f"{row[name]:g}" for name in ZONE_BOUNDS) + " bpm"
    return {value: name for name, value in ZONE_METHODS.items()}.get(row["zone_method"], str(row["zone_method"]))


def _load(text: str, today: date) -> Values:
    words = {"pace": "pace", "heart-rate": "heart_rate", "hr": "heart_rate"}
    if text.strip().lower().replace("_", "-") not in words:
        raise ValueError("pace or heart-rate: what a run's load rests on first")
    return {"load_preference": words[text.strip().lower().replace("_", "-")]}


STATEMENTS = {
    statement.name: statement
    for statement in (
        _figure("max-hr", "max_hr_bpm", "bpm", 100, 230),
        _figure("resting-hr", "resting_hr_bpm", "bpm", 25, 110),
        _figure("threshold-hr", "threshold_hr_bpm", "bpm", 80, 220),
        Statement(
            "threshold-pace",
            ("threshold_pace_min_km",),
            _pace,
            lambda row: f"{_clock(row['threshold_pace_min_km'])} min/km",
            "minutes and seconds a kilometre, 4:25",
        ),
        _figure("ftp", "ftp_w", "W", 50, 600),
        Statement("birth-year", ("birth_year",), _birth_year, lambda row: str(row["birth_year"]), "1985"),
        Statement("sex", ("sex",), _sex, lambda row: str(row["sex"]), "F or M"),
        Statement(
            "zones",
            ("zone_method", *ZONE_BOUNDS),
            _zones,
            _shown_zones,
            "max-hr (the default), reserve, threshold-hr, or bounds 120,140,155,170",
        ),
        Statement(
            "load",
            ("load_preference",),
            _load,
            lambda row: str(row["load_preference"]).replace("_", "-"),
            "pace (the default) or heart-rate first",
        ),
        _figure("starting-fitness", "starting_fitness", "", 0, 300),
        _figure("starting-fatigue", "starting_fatigue", "", 0, 300),
    )
}


def athlete_of(store: LocalStore, named: str | None) -> str:
    """The athlete that is meant. Raises InputError for one without activities, and where several could be meant."""
    found = pc.unique(store.rows(tables.STRAVA_ACTIVITIES, ["athlete_id"])["athlete_id"]).drop_null()
    ids = sorted(found.to_pylist())
    if not ids:
        raise InputError(f"there are no activities in {store.settings.home} yet; import a file first")
    if named is None and len(ids) == 1:
        return str(ids[0])
    if named is not None and named in ids:
        return named
    near = difflib.get_close_matches(named or "", ids, n=NEAREST, cutoff=0.4) or ids[:NEAREST]
    listed = ", ".join(near) + (" ..." if len(ids) > len(near) else "")
    if named is None:
        raise InputError(f"there are {len(ids)} athletes in {store.settings.home}; say which one: {listed}")
    raise InputError(f"there is no athlete {named!r} in {store.settings.home}; the nearest ids: {listed}")


def stated(store: LocalStore, athlete: str) -> list[Said]:
    """All that the athlete states, in the order of STATEMENTS, of each the one that holds last first."""
    return [
        Said(name, statement.shown(row), _day(row), row["source"] == tables.OWN_WORD)
        for name, statement in STATEMENTS.items()
        for row in sorted(_rows(store, athlete), key=_order, reverse=True)
        if row[statement.columns[0]] is not None
    ]


def state(store: LocalStore, athlete: str, words: Sequence[str]) -> date | None:
    """Writes `name=value` words as the athlete's own; the first day that they change, None for all days.

    `from=yyyy-mm-dd` says from which day they hold; without it they always did, but for a starting fitness or fatigue,
    which is that of the log's first day. Raises InputError for a name or value that nobody can mean, and for heart
    rates that contradict each other or what is stated already; then nothing is written.
    """
    values, since = _parsed(words, store.settings.today)
    with landing.landing_lock(store):
        before = _rows(store, athlete)
        by_day: dict[date | None, Values] = {}
        for name, value in values.items():
            day = since if since is not None or name not in STARTS else _first_day(store, athlete)
            by_day.setdefault(day, {})[name] = value
        own = {_day(row): row for row in before if row["source"] == tables.OWN_WORD}
        nothing = {
            **dict.fromkeys(tables.STRAVA_ATHLETE.column_names),
            "athlete_id": athlete,
            "source": tables.OWN_WORD,
        }
        rows = [
            {**nothing, **own.get(day, {}), "valid_from": midnight(day) if day else None, **of_day}
            for day, of_day in by_day.items()
        ]
        others = [row for row in before if row["source"] != tables.OWN_WORD or _day(row) not in by_day]
        _refuse_contradictions([*others, *rows])
        landing.merge_statements(store, pa.Table.from_pylist(rows, arrow_schema(tables.STRAVA_ATHLETE)))
    return _earliest(by_day)


def withdraw(store: LocalStore, athlete: str, words: Sequence[str]) -> date | None:
    """Takes the athlete's own statements of these names back, those of the day of a `from=` alone where it is given.

    The first day that changes, None for all days. Raises InputError where no such statement is the athlete's own.
    """
    names = [word for word in words if not word.startswith("from=")]
    since = _since([word for word in words if word.startswith("from=")], store.settings.today)
    statements = [_statement(name) for name in names]
    if not statements:
        raise InputError(f"unset what? Name one or more of: {', '.join(STATEMENTS)}")
    with landing.landing_lock(store):
        own = [row for row in _rows(store, athlete) if row["source"] == tables.OWN_WORD]
        own = [row for row in own if since is None or _day(row) == since]
        changed: dict[date | None, Values] = {}
        for statement in statements:
            theirs = [row for row in own if row[statement.columns[0]] is not None]
            if not theirs:
                when = f" from {since}" if since else ""
                raise InputError(f"{athlete!r} has stated no {statement.name}{when} here; nothing was changed")
            for row in theirs:
                changed.setdefault(_day(row), dict(row)).update(dict.fromkeys(statement.columns))
        rows = pa.Table.from_pylist(list(changed.values()), arrow_schema(tables.STRAVA_ATHLETE))
        landing.merge_statements(store, rows)
    return _earliest(changed)


# ------------------------------------------------------------------------------------------------------ words


def _parsed(words: Sequence[str], today: date) -> tuple[Values, date | None]:
    values: Values = {}
    seen: set[str] = set()
    for word in words:
        name, equals, text = word.partition("=")
        if not equals:
            raise InputError(f"{word!r}: is no name=value; give for example max-hr=187")
        if name in seen:
            raise InputError(f"{name}: is stated twice; give one")
        seen.add(name)
        if name == "from":
            continue
        statement = _statement(name)
        try:
            values |= statement.read(text, today)
        except ValueError as wanted:
            raise InputError(f"{name}={text}: needed is {wanted}; nothing was stored") from None
    if not values:
        raise InputError(f"set what? Give one or more of: {', '.join(f'{name}=...' for name in STATEMENTS)}")
    return values, _since([word for word in words if word.startswith("from=")], today)


def _statement(name: str) -> Statement:
    plain = name.lower().replace("_", "-")
    if plain not in STATEMENTS:
        near = difflib.get_close_matches(plain, STATEMENTS, n=1, cutoff=0.5)
        meant = f"did you mean {near[0]}? " if near else ""
        raise InputError(f"{name!r}: cannot be stated; {meant}There are: {', '.join(STATEMENTS)}, and from=yyyy-mm-dd")
    return STATEMENTS[plain]


def _since(words: Sequence[str], today: date) -> date | None:
    if not words:
        return None
    text = words[0].partition("=")[2]
    try:
        day = date.fromisoformat(text) if re.fullmatch(r"\d{4}-\d\d-\d\d", text, re.ASCII) else None
    except ValueError:
        day = None
    if day is None:
        raise InputError(f"from={text}: is no day; write it as yyyy-mm-dd, such as {today}")
    if not FIRST_DAY <= day <= today:
        raise InputError(
            f"from={text}: lies {'before ' + str(FIRST_DAY) if day < today else 'in the future'}; give a "
            f"day up to today ({today}), or leave it out for what always held"
        )
    return day


def _refuse_contradictions(rows: Iterable[Values]) -> None:
    """Raises InputError where, on some day, a resting heart rate is not below the threshold's, or that below the
    maximum; or where zones rest on what is not stated."""
    rows = sorted(rows, key=_order)
    for day in sorted({_day(row) for row in rows}, key=lambda day: day or FIRST_DAY):
        held: Values = {}
        for row in rows:
            if (_day(row) or FIRST_DAY) <= (day or FIRST_DAY):
                held |= {name: value for name, value in row.items() if value is not None}
        known = [
            (name, held[column])
            for name, column in (
                ("resting-hr", "resting_hr_bpm"),
                ("threshold-hr", "threshold_hr_bpm"),
                ("max-hr", "max_hr_bpm"),
            )
            if held.get(column) is not None
        ]
        for (lower, less), (higher, more) in itertools.pairwise(known):
            if less >= more:
                when = f" on {day}" if day else ""
                raise InputError(
                    f"{lower}={less:g} is not below {higher}={more:g}{when}, where both would hold; nothing was stored"
                )
        needed = {"hr_reserve": "resting_hr_bpm", "threshold_hr": "threshold_hr_bpm"}.get(held.get("zone_method", ""))
        if needed and held.get(needed) is None:
            name = {"resting_hr_bpm": "resting-hr", "threshold_hr_bpm": "threshold-hr"}[needed]
            raise InputError(f"zones by {held['zone_method']} rest on {name}, which is not stated; state it, too")


# ------------------------------------------------------------------------------------------------------- rows


def _rows(store: LocalStore, athlete: str) -> list[Values]:
    rows = store.rows(tables.STRAVA_ATHLETE)
    return list(rows.filter(pc.equal(rows["athlete_id"], athlete)).to_pylist())


def _day(row: Mapping[str, Any]) -> date | None:
    return None if row["valid_from"] is None else row["valid_from"].date()


def _earliest(days: Iterable[date | None]) -> date | None:
    found = list(days)
    return None if None in found else min(day for day in found if day is not None)


def _order(row: Mapping[str, Any]) -> tuple[date, bool]:
    """What comes later holds: by day, and of a day the athlete's own word."""
    return _day(row) or FIRST_DAY, row["source"] == tables.OWN_WORD


def _first_day(store: LocalStore, athlete: str) -> date | None:
    """The first local day with an activity of the athlete, within the calendar."""
    rows = store.rows(tables.STRAVA_ACTIVITIES, ["athlete_id", "start_date_local"])
    starts = rows.filter(pc.equal(rows["athlete_id"], athlete))["start_date_local"].drop_null().to_pylist()
    days = [start.date() for start in starts]
    return min((day for day in days if store.settings.start_date <= day <= store.settings.today), default=None)
