"""Strava's account export: `activities.csv` as silver activities.

The file differs by year (10 to 103 columns) and by the account's language. Since 2019 it has two blocks of columns:
one for people (a distance in km or miles, numbers as the language writes them) and one for machines (metres, seconds,
decimal points) that repeats some headers; the second of two is used. Times are UTC and name no zone.
"""

from __future__ import annotations

import re
import statistics
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import PurePosixPath
from typing import Literal
from zoneinfo import ZoneInfo

import pyarrow as pa

from athlete_assets import tables
from athlete_assets.errors import InputError
from athlete_assets.settings import Settings
from athlete_assets.silver.readers.csv_text import Cells, CsvTable, enumerated, integers, numbers, shown
from athlete_assets.silver.readers.protocol import Found, Match, Owner, Part
from athlete_assets.silver.readers.source_file import SourceFile, of_no_known_kind
from athlete_assets.silver.readers.strava_words import ENGLISH, HEADERS, MONTHS, REQUIRED, SEXES, SNAKE, SPORTS, folded
from athlete_assets.silver.recordings.batch import RecordingFile
from athlete_assets.silver.recordings.formats import FILE_NAME
from athlete_assets.silver.zones import zone_of_file
from athlete_assets.store.arrow import arrow_schema
from athlete_assets.words import counted, verb

SOURCE = "strava_export"
EXPORT_MEMBER = "activities.csv"
PROFILE_MEMBER = "profile.csv"
PROFILE_SEX = ("sex", "gender", "sexo", "geschlecht", "sexe", "sesso", "genere", "genero", "geslacht")
DEFAULT_ATHLETE = "me"
ENGLISH_HEADERS = dict(
    zip(REQUIRED, ("Activity ID", "Activity Date", "Activity Type", "Elapsed Time", "Distance"), strict=True)
)
"""What the required fields of an export are called in English."""
MACHINE_BLOCK = ("elapsed_time", "moving_time", "distance", "elevation_gain", "average_heartrate", "max_heartrate")
RESULTS = ("grade_adjusted_distance", "perceived_exertion", "weighted_power")
"""What newer exports hold of results that need no recording; 0 means none."""
MILE_M = 1609.344
YARD_M = 0.9144
LONG_UNITS_M = (1000.0, MILE_M)
ROUNDING = 0.0101
"""Of a distance for people; on a treadmill whose sensor was lost it is all there is: 0.10 km for 105 m."""
PLAUSIBLE_SPEED_MPS = (0.2, 30.0)
"""m/s; the median over a file's activities lies in it when distances are in metres, whatever the sport."""
LEAST_MEAN_SPEED_MPS, CRAWLING_SHARE = 0.02, 0.1
"""m/s; distances in km read as metres come out slower. More than this share of such activities is no accident."""
FIRST, LAST, EITHER = "first", "last", "either"
RACE = {"Run": 1, "TrailRun": 1, "VirtualRun": 1, "Ride": 11}
"""Strava's workout_type of a race."""


def fields_of(header: Sequence[str]) -> dict[str, list[int]]:
    """Where each field of an export stands: indexes of its columns, in order. Unknown headers are left out."""
    plain = [_plain(name) for name in header]
    known = SNAKE if "elapsed_time" in plain else HEADERS
    fields: dict[str, list[int]] = {}
    for index, name in enumerate(plain):
        if name in known:
            fields.setdefault(known[name], []).append(index)
    return fields


def _plain(header: str) -> str:
    return folded(re.sub(r"\.\d+$", "", header))  # pandas writes a repeated header as 'Distance.1'


class StravaExport:
    """An account's activities.csv, alone or in the zip that Strava sends, in one of the languages of strava_words."""

    kind = "strava_export"
    accepts = "a Strava account export (export_*.zip, its folder or its activities.csv)"
    units: Mapping[str, float] = {}
    """Distances are in km, miles, yards or metres, by row: `_metres` tells them apart."""
    ids: Literal["numbers", "names"] = "numbers"
    expects = (
        f"{', '.join(map(repr, ENGLISH_HEADERS.values()))} in English, Portuguese, German, Spanish, French, Italian or "
        "Dutch (set Strava to one of these languages and export again)"
    )

    def recognise(self, file: SourceFile) -> Match:
        if file.form == "folder":
            inside = file.in_folder(EXPORT_MEMBER)
            return self.recognise(inside) if inside else Match(f"{file.name}: holds no {EXPORT_MEMBER}", likeness=0.0)
        if file.form == "zip":
            found = file.members(EXPORT_MEMBER)
            if len(found) == 1:
                return Match()
            if found:
                names = enumerated(found, most=3)
                raise InputError(
                    f"{file.name}: holds {len(found)} files {EXPORT_MEMBER} ({names}); give the one that is meant"
                )
            return Match(
                f"{file.name}: holds no {EXPORT_MEMBER}, so it is not a Strava account export, and no recordings; give "
                f"{self.accepts}, or a zip of FIT, GPX or TCX recordings",
                likeness=0.5,
            )
        names_ = file.header(_known)
        fields = fields_of(names_)
        missing = [name for field, name in ENGLISH_HEADERS.items() if field not in fields]
        if not missing:
            return Match()
        return Match(
            f"{file.where}: looks like a Strava export but lacks the column {missing[0]!r} (or its translation); found "
            f"{enumerated(names_)}; ask Strava for a new export",
            likeness=0.9 if len(fields) > len(ENGLISH_HEADERS) else 0.0,
        )

    def read(self, file: SourceFile, settings: Settings, athlete_id: str | None) -> Found:
        if file.form == "folder":
            inside = file.in_folder(EXPORT_MEMBER)
            assert inside is not None
            return self.read(inside, settings, athlete_id)
        around = file if file.form == "zip" else file.folder
        owner: Owner = "caller"
        athletes: list[Part] = []
        if athlete_id is None:
            found, sex = _owner(file)
            athlete_id, owner = (found, "file") if found else (DEFAULT_ATHLETE, "nobody")
        else:
            sex = _owner(file)[1]
        if sex:
            row = {**dict.fromkeys(tables.STRAVA_ATHLETE.column_names), "athlete_id": athlete_id, "sex": sex}
            rows = pa.Table.from_pylist([row], arrow_schema(tables.STRAVA_ATHLETE))
            athletes.append(Part(tables.STRAVA_ATHLETE, rows, f"{file.name}/{PROFILE_MEMBER}", [2]))
        if file.form == "zip":
            (member,) = file.members(EXPORT_MEMBER)
            file = file.member(member)
            match = self.recognise(file)
            if match.why_not is not None:
                if match.likeness > 0:
                    raise InputError(match.why_not)
                raise of_no_known_kind(file, [self.expects])
        table = file.table(_known)
        zone, note = zone_of_file(settings, file.name)
        activities, notes = _activities(table, zone, athlete_id)
        recordings, told = _recordings(table, activities, around)
        notes = [note, *notes, *told]
        if owner == "nobody":
            notes = [f"The export names no athlete; its activities belong to {athlete_id!r}.", *notes]
        if owner == "file":
            notes = [f"The export is of athlete {athlete_id!r}.", *notes]
        parts = [Part(tables.STRAVA_ACTIVITIES, activities, table.file, table.lines), *athletes]
        return Found(parts, notes, zone, owner, is_whole_account=True, recordings=recordings, athlete_id=athlete_id)


def _recordings(
    table: CsvTable, activities: pa.Table, around: SourceFile | None
) -> tuple[list[RecordingFile], list[str]]:
    """The recordings that the export lists and that lie in it, each with its activity; and a sentence of the others."""
    column = fields_of(table.header).get("file")
    if column is None:
        return [], []
    listed = table.column(column[-1]).texts
    named = [bool(FILE_NAME.search(text)) for text in listed]
    if not any(named):
        return [], []
    there: dict[str, RecordingFile] = {}
    for file in around.listed(listed) if around is not None else ():
        there.setdefault(PurePosixPath(file.name).name.lower(), file)
    found, missing = [], 0
    for text, is_named, number, sport in zip(
        listed, named, activities["id"].to_pylist(), activities["sport_type"].to_pylist(), strict=True
    ):
        if not is_named:
            continue
        lies = there.get(PurePosixPath(text.replace("\\", "/")).name.lower())
        missing += lies is None
        if lies is not None and number is not None:
            found.append(replace(lies, activity_id=number, sport=sport))
    notes = []
    if missing:
        notes.append(
            f"{missing} of {counted(sum(named), 'recording')} that the export lists {verb(missing, 'is', 'are')} not "
            "in it: heart rates, pauses and best efforts there are unknown; give the whole zip or folder to "
            "have them read."
        )
    return found, notes


def _owner(file: SourceFile) -> tuple[str | None, str | None]:
    """The athlete's id and sex (F or M) as the export has them: in its profile.csv, else the id in its file name.

    Nothing else of the profile is looked at.
    """
    named = re.search(r"export_(\d+)", file.stem) if file.form == "zip" else None
    found = named.group(1) if named else None
    profile = file.profile(PROFILE_MEMBER)
    if profile is None:
        return found, None
    try:
        table = profile.table(len)
    except InputError:
        return found, None
    if len(table.rows) != 1:
        return found, None
    cells = {folded(name): cell.strip() for name, cell in zip(table.header, table.rows[0], strict=True)}
    number = cells.get("athlete id", table.rows[0][0].strip())
    sex = next((cells[name] for name in PROFILE_SEX if name in cells), "")
    return (number if re.fullmatch(r"\d{1,19}", number) else found), SEXES.get(folded(sex))


def _known(header: Sequence[str]) -> int:
    return sum(len(indexes) for indexes in fields_of(header).values())


def _activities(table: CsvTable, time_zone: str, athlete_id: str) -> tuple[pa.Table, list[str]]:
    """An export's rows as silver activities of the athlete, and sentences for the summary.

    Times are taken as UTC, local times follow the zone. Raises InputError that names line and column.
    """
    fields = fields_of(table.header)
    columns = {field: table.column(indexes[-1]) for field, indexes in fields.items()}
    english = _plain(table.header[fields["elapsed_time"][0]]) in ENGLISH | SNAKE.keys()
    certain_mark = "." if english and table.delimiter == "," else None

    ids = integers(columns["id"], bits=64)
    times = export_times(columns["date"], day_first=None if english else True)
    sports, unknown_sports = _sports(columns["sport"])

    names = [field for field in (*MACHINE_BLOCK, *RESULTS) if field in columns]
    values = dict(zip(names, numbers([columns[field] for field in names], certain_mark), strict=True))
    values["distance"] = _metres(table, fields["distance"], values, sports, certain_mark)
    for field in ("elapsed_time", "max_heartrate"):  # the machine block often lacks what the first block has
        if len(fields.get(field, [])) > 1:
            first = numbers([table.column(fields[field][0])], certain_mark)[0]
            values[field] = [
                late if late is not None else early for early, late in zip(first, values[field], strict=True)
            ]

    zone = ZoneInfo(time_zone)
    count = len(table.rows)
    nothing: list[None] = [None] * count
    graded, exertion, power = ([value or None for value in values.get(name, nothing)] for name in RESULTS)
    content: dict[str, Sequence[object]] = {
        "athlete_id": [athlete_id] * count,
        "id": ids,
        "start_date": times,
        "start_date_local": [_local(columns["date"], n, time, zone) for n, time in enumerate(times)],
        "timezone": [time_zone if time else None for time in times],
        "sport_type": sports,
        "workout_type": _workout_types(columns, sports),
        "distance": values["distance"],
        "moving_time": values.get("moving_time", nothing),
        "elapsed_time": values["elapsed_time"],
        "total_elevation_gain": values.get("elevation_gain", nothing),
        "average_heartrate": values.get("average_heartrate", nothing),
        "max_heartrate": values.get("max_heartrate", nothing),
        "manual": _manual(columns, count),
        "trainer": _flags(columns["trainer"]) if "trainer" in columns else nothing,
        "grade_adjusted_distance": graded,
        "perceived_exertion": exertion,
        "weighted_power_w": power,
        "own_load": nothing,
        "source": [SOURCE] * count,
        "silver_ingestion_timestamp": nothing,
    }
    schema = arrow_schema(tables.STRAVA_ACTIVITIES)
    activities = pa.table({field.name: pa.array(content[field.name], field.type) for field in schema}, schema=schema)
    return activities, _notes(columns, unknown_sports)


def _notes(columns: dict[str, Cells], unknown_sports: Counter[str]) -> list[str]:
    notes = []
    lacking = [field for field in MACHINE_BLOCK if field not in columns]
    if lacking:
        notes.append(f"The export has no column for {', '.join(name.replace('_', ' ') for name in lacking)}.")
    if unknown_sports:
        count = sum(unknown_sports.values())
        notes.append(
            f"{counted(count, 'activity')} {verb(count, 'keeps', 'keep')} a sport that is unknown here: "
            f"{enumerated(unknown_sports, most=5)}."
        )
    return notes


def _sports(cells: Cells) -> tuple[list[str | None], Counter[str]]:
    """Strava's name of each sport; one that is unknown stays as it is spelled, and is counted."""
    unknown: Counter[str] = Counter()
    sports: list[str | None] = []
    for text in cells.texts:
        sport = SPORTS.get(folded(text), text) if text else None
        if text and folded(text) not in SPORTS:
            unknown[text] += 1
        sports.append(sport)
    return sports, unknown


def _flags(cells: Cells) -> list[bool | None]:
    return [None if value is None else value != 0 for value in _flag_numbers(cells)]


def _flag_numbers(cells: Cells) -> list[float | None]:
    words = {"true": "1", "false": "0"}
    texts = [words.get(text.lower(), text) for text in cells.texts]
    return numbers([Cells(cells.file, cells.header, cells.lines, texts)], ".")[0]


def _manual(columns: dict[str, Cells], count: int) -> list[bool | None]:
    """From Upload where the export says it; else whether the export names a recording, if it names any."""
    if "from_upload" in columns:
        uploaded = _flags(columns["from_upload"])
        if any(flag is not None for flag in uploaded):
            return [None if flag is None else not flag for flag in uploaded]
    if "file" in columns and any(columns["file"].texts):
        return [not text for text in columns["file"].texts]
    return [None] * count


def _workout_types(columns: dict[str, Cells], sports: Sequence[str | None]) -> list[int | None]:
    """The workout type where the export has it; else that of a race where the activity is marked as a competition."""
    types: list[int | None] = [None] * len(sports)
    if "workout_type" in columns:
        types = integers(columns["workout_type"], bits=32)
    if "competition" in columns:
        marked = _flags(columns["competition"])
        races = [RACE.get(sport or "") if flag else None for flag, sport in zip(marked, sports, strict=True)]
        types = [race if type_ in (None, 0) and race else type_ for type_, race in zip(types, races, strict=True)]
    return types


# ------------------------------------------------------------------------------------------------------- distances


def _metres(
    table: CsvTable,
    indexes: list[int],
    values: dict[str, list[float | None]],
    sports: Sequence[str | None],
    certain_mark: str | None,
) -> list[float | None]:
    """The distance in metres, decided row by row: an export mixes units (a swim's first distance is in metres).

    Of two Distance columns the machine block's is in metres and the other in the unit of the account or of the sport,
    so their ratio is 1000, 1609.344, or 1 (or a yard's) where both are in metres. A single one is in metres in the
    layout of 2018, and in the account's unit, km or miles, in that of 2019: told apart by the speed that it means.
    Raises InputError where no column is in metres.
    """
    last = values["distance"]
    header = table.header[indexes[-1]]
    if len(indexes) > 1:
        try:
            first = numbers([table.column(indexes[0])], certain_mark)[0]
        except InputError:  # it is only evidence, and its thousands may be unreadable
            first = [None] * len(last)
        ratios = [late / early if early and late else None for early, late in zip(first, last, strict=True)]
        columns = [
            _column_in_metres(early, late) if early and late else None for early, late in zip(first, last, strict=True)
        ]
        known = [column for column in columns if column is not None]
        odd = sum(ratio is not None for ratio in ratios) - len(known)
        if odd > len(known):
            ratio = statistics.median(ratio for ratio in ratios if ratio is not None)
            raise InputError(
                f"{table.file}, column {header}: the two distances are in the ratio {ratio:.4g}, neither km nor miles "
                "to metres; ask Strava for a new export"
            )
        if any(first) and not any(value is not None for value in last):
            raise InputError(
                f"{table.file}, column {header}: the second of two, which is in metres, is empty; ask Strava for a "
                "new export"
            )
        if known:
            decided = [column for column in known if column != EITHER]
            usual = FIRST if decided.count(FIRST) > decided.count(LAST) else LAST
            if decided:
                metres = [
                    early if (column if column in (FIRST, LAST) else usual) == FIRST else late
                    for column, early, late in zip(columns, first, last, strict=True)
                ]
                return metres if usual == FIRST else _filled(metres, first, sports)
    if header == "distance":
        return last
    speeds = [
        distance / seconds
        for distance, seconds in zip(last, values["elapsed_time"], strict=True)
        if distance and seconds and seconds > 0
    ]
    speed = statistics.median(speeds) if speeds else 1.0
    crawling = sum(speed < LEAST_MEAN_SPEED_MPS for speed in speeds)
    if PLAUSIBLE_SPEED_MPS[0] <= speed <= PLAUSIBLE_SPEED_MPS[1] and crawling <= CRAWLING_SHARE * len(speeds):
        return last
    raise InputError(
        f"{table.file}, column {header}: is not in metres (as metres, the median speed would be {speed:.2g} m/s, and "
        f"{counted(crawling, 'activity')} would have crawled), and the file does not say whether it is in km or miles; "
        "ask Strava for a new export, which has a second distance in metres"
    )


def _filled(
    metres: Sequence[float | None], first: Sequence[float | None], sports: Sequence[str | None]
) -> list[float | None]:
    """The metres; where they are missing, the first distance in the unit that it has in the other rows of the sport."""
    units: dict[str | None, set[float]] = {}
    for sport, early, late in zip(sports, first, metres, strict=True):
        if early and late:
            units.setdefault(sport, set()).update(
                unit for unit in (*LONG_UNITS_M, YARD_M, 1.0) if _is_in(early, late, unit)
            )
    return [
        early * next(iter(units[sport])) if late is None and early and len(units.get(sport, ())) == 1 else late
        for sport, early, late in zip(sports, first, metres, strict=True)
    ]


def _column_in_metres(first: float, last: float) -> str | None:
    """Which of a row's two distances is in metres; None where their ratio is that of no two units."""
    if any(_is_in(first, last, unit) for unit in LONG_UNITS_M):
        return LAST
    if any(_is_in(last, first, unit) for unit in LONG_UNITS_M):
        return FIRST
    pairs = (first, last), (last, first)
    return EITHER if any(_is_in(*pair, unit) for unit in (1.0, YARD_M) for pair in pairs) else None


def _is_in(distance: float, metres: float, unit_m: float) -> bool:
    """Whether a distance, written with two decimals or fewer, is the metres in the unit."""
    return abs(metres / unit_m - distance) <= max(0.02 * distance, ROUNDING)


# ----------------------------------------------------------------------------------------------------------- dates

_FILLERS = {"de", "del", "at", "um", "om", "a", "as", "alle", "ore", "uhr", "las", "kl"}
_CLOCK = re.compile(r"(\d{1,2}):(\d{2})(?::(\d{2})(?:\.\d+)?)?")
_MERIDIEM = re.compile(r"\b([ap])\.?\s?m\b\.?")
_YEAR_FIRST = re.compile(r"(\d{4})([-/.])(\d{1,2})\2(\d{1,2})")
_YEAR_LAST = re.compile(r"(\d{1,2})([-/.])(\d{1,2})\2(\d{4})")
EXAMPLES = "'Jun 9, 2022, 11:19:20 PM', '9 de jun. de 2022, 23:19:20', '09.06.2022, 23:19:20' or '2022-06-09 23:19:20'"


def export_times(cells: Cells, day_first: bool | None) -> list[datetime | None]:
    """The column's times, which Strava writes in UTC; empty cells as None.

    Dates like 06/09/2022 are read as the rest of the column shows (13/09/2022), else as `day_first` says, the habit
    of the file's language; where that is None too, they are an error. Raises InputError that names line and column.
    """
    slashed = [_split(text) for text in cells.texts if text]
    orders = {
        first > 12
        for parts in slashed
        if parts and (found := _YEAR_LAST.fullmatch(parts[0])) and found.group(2) != "."
        for first, second in [(int(found.group(1)), int(found.group(3)))]
        if first > 12 or second > 12
    }
    if len(orders) == 1:
        day_first = orders.pop()
    elif orders:
        day_first = None
    return [_time(cells, line, text, day_first) if text else None for line, text in cells]


def _split(text: str) -> tuple[str, str] | None:
    """Date and clock of a time, in plain characters; None where there is no clock."""
    plain = unicodedata.normalize("NFKC", text).casefold()
    plain = _MERIDIEM.sub(lambda found: found.group(1) + "m", plain).replace(",", " ")
    plain = re.sub(r"(\d{4}-\d\d-\d\d)t(\d)", r"\1 \2", plain)
    plain = re.sub(r"(?<=\d)(?:\s?utc|\s?\+00:?00|z)$", "", plain.strip())
    plain = re.sub(r"(\d)([ap]m)$", r"\1 \2", plain)
    words = [folded(word) if not word[0].isdigit() else word.rstrip(".") for word in plain.split()]
    words = [word for word in words if word and word not in _FILLERS]
    clock = next((n for n, word in enumerate(words) if ":" in word), None)
    if clock is None or clock == 0:
        return None
    return " ".join(words[:clock]), " ".join(words[clock:])


def _time(cells: Cells, line: int, text: str, day_first: bool | None) -> datetime:
    parts = _split(text)
    clock = _clock(parts[1]) if parts else None
    if parts and clock:
        date = _date(parts[0], day_first)
        if date == "either":
            raise cells.error(
                line,
                f"{shown(text)} may name the day or the month first, and nothing in the file shows which; write the "
                "dates as 2022-06-09 23:19:20",
            )
        try:
            if date and not isinstance(date, str):
                return datetime(*date, *clock, tzinfo=timezone.utc)
        except ValueError:
            pass
    raise cells.error(line, f"{shown(text)} is not a time that is known here, such as {EXAMPLES}")


def _clock(text: str) -> tuple[int, int, int] | None:
    words = text.split()
    found = _CLOCK.fullmatch(words[0])
    if not found or len(words) > 2 or (len(words) == 2 and words[1] not in ("am", "pm")):
        return None
    hour, minute, second = int(found.group(1)), int(found.group(2)), int(found.group(3) or 0)
    if len(words) == 2:
        if not 1 <= hour <= 12:
            return None
        hour = hour % 12 + (12 if words[1] == "pm" else 0)
    return hour, minute, second


def _date(text: str, day_first: bool | None) -> tuple[int, int, int] | str | None:
    """Year, month and day; 'either' where day and month cannot be told apart, None where it is no date."""
    if found := _YEAR_FIRST.fullmatch(text):
        return int(found.group(1)), int(found.group(3)), int(found.group(4))
    if found := _YEAR_LAST.fullmatch(text):
        first, second, year = int(found.group(1)), int(found.group(3)), int(found.group(4))
        if found.group(2) == ".":
            return year, second, first
        if day_first is None:
            return "either" if first != second else (year, first, second)
        return (year, second, first) if day_first else (year, first, second)
    words = text.split()
    if len(words) == 3 and re.fullmatch(r"\d{4}", words[2]):
        for day, month in ((words[0], words[1]), (words[1], words[0])):
            if re.fullmatch(r"\d{1,2}", day) and month in MONTHS:
                return int(words[2]), MONTHS[month], int(day)
    return None


def _local(cells: Cells, row: int, time: datetime | None, zone: object) -> datetime | None:
    if time is None:
        return None
    try:
        return time.astimezone(zone).replace(tzinfo=None)  # type: ignore[arg-type]
    except OverflowError:
        raise cells.error(cells.lines[row], f"{shown(cells.texts[row])} lies outside the calendar") from None
