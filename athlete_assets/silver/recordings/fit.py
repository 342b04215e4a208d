"""FIT files: by fitfast, and by fitdecode what it refuses (a wrong checksum, a damaged end, compressed timestamps)."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import numpy as np

from athlete_assets.silver.recordings.recording import (
    FIRST_YEAR_S,
    Floats,
    NoActivityError,
    Recording,
    Samples,
    Span,
    UnreadableError,
    whole_offset,
)

Messages = Mapping[str, Sequence[Mapping[Any, Any]]]
"""By kind of message, in the profile's units; times are s since 1970 UTC."""

KINDS = ("record", "session", "lap", "event", "activity")
ACTIVITY = 4
"""The kind of file that is a recording of an activity; others are settings, courses, daily monitoring."""
DEGREES = 180 / 2**31
"""A FIT position counts semicircles."""
NAN = float("nan")
FIT_EPOCH_S = 631_065_600
"""1989-12-31 UTC, from which FIT counts its seconds."""
INDOOR = (
    "treadmill",
    "indoor_running",
    "indoor_cycling",
    "indoor_rowing",
    "indoor_walking",
    "spin",
    "virtual_activity",
)
BY_SUB_SPORT = {
    "trail": "TrailRun",
    "strength_training": "WeightTraining",
    "mountain": "MountainBikeRide",
    "gravel_cycling": "GravelRide",
    "yoga": "Yoga",
    "pilates": "Pilates",
}
VIRTUAL = {"running": "VirtualRun", "cycling": "VirtualRide", "rowing": "VirtualRow"}


def fit_recording(data: bytes) -> Recording:
    """The recording in a FIT file. Raises UnreadableError."""
    if file_kind(data) not in (None, ACTIVITY):
        raise NoActivityError("holds no samples: it is a FIT file of settings or of another kind")
    messages, is_cut_off = _messages(data)
    records, sessions = messages.get("record", ()), messages.get("session", ())
    if not records:
        raise UnreadableError("holds no samples: it is a FIT file of settings or of another kind")

    stated = _column(records, "timestamp")
    height, coarse_height = _column(records, "enhanced_altitude"), _column(records, "altitude")
    time_s, distance_m, altitude_m, bpm, power_w = Samples(
        np.where(stated < FIT_EPOCH_S, stated + FIT_EPOCH_S, stated),
        _column(records, "distance"),
        _column(records, "position_lat") * DEGREES,
        _column(records, "position_long") * DEGREES,
        np.where(np.isnan(height), coarse_height, height),
        _column(records, "heart_rate"),
        _column(records, "power"),
    ).columns()
    sport, is_indoor = _sport(sessions)
    return Recording(
        time_s,
        distance_m,
        altitude_m,
        bpm,
        stops=_stops(messages.get("event", ()), time_s[-1]),
        laps=_laps(messages.get("lap", ())),
        sport=sport,
        is_indoor=is_indoor,
        utc_offset_s=_offset(messages.get("activity", ())),
        total_distance_m=_total(sessions, "total_distance"),
        elapsed_s=_total(sessions, "total_elapsed_time"),
        is_cut_off=is_cut_off,
        power_w=power_w,
    )


def file_kind(data: bytes) -> int | None:
    """What the first message of a FIT file, its file_id, says of its kind; None where it says nothing.

    The first record defines file_id's fields (number, length, type), the second has their values; field 0 is the kind.
    """
    try:
        start = data[0]
        head, count = data[start], data[start + 5]
        if head & 0xC0 != 0x40 or data[start + 3 : start + 5] != b"\0\0":
            return None
        fields = [data[at : at + 2] for at in range(start + 6, start + 6 + 3 * count, 3)]
        values = start + 6 + 3 * count
        if head & 0x20:  # developers' fields, after the others
            values += 1 + 3 * data[values]
        if data[values] & 0xC0:
            return None
        values += 1
        for number, length in fields:
            if number == 0:
                return data[values] if data[values] != 0xFF else None
            values += length
    except (IndexError, ValueError):
        pass
    return None


def _column(records: Sequence[Mapping[Any, Any]], name: str) -> Floats:
    """The field of each record, NaN where it has none."""
    values = [row.get(name, NAN) for row in records]  # NaN: None would make NumPy look at each
    try:
        return np.array(values, dtype=np.float64)
    except (TypeError, ValueError):  # some are lists or words, as damaged files have them
        return np.array([_number(value) for value in values])


def _messages(data: bytes) -> tuple[Messages, bool]:
    """The file's messages, and whether it ended too early."""
    import fitfast

    try:
        messages: Messages = fitfast.parse(data)
    except fitfast.FitDecodeError:
        return _by_fitdecode(data)
    return _by_fitdecode(data) if _has_compressed(messages) else (messages, False)


def _has_compressed(messages: Messages) -> bool:
    """Whether samples lack what only their compressed form says: a time, or a distance where the session has one."""
    records, sessions = messages.get("record", ()), messages.get("session", ())
    if not records:
        return False
    if any("timestamp" not in row for row in records):
        return True
    is_far = any((row.get("total_distance") or 0) > 0 for row in sessions)
    return is_far and not any("distance" in row or "position_lat" in row for row in records)


def _by_fitdecode(data: bytes) -> tuple[Messages, bool]:
    import fitdecode

    found: dict[str, list[Mapping[Any, Any]]] = {}
    try:
        with fitdecode.FitReader(
            io.BytesIO(data),
            check_crc=fitdecode.CrcCheck.DISABLED,
            error_handling=fitdecode.ErrorHandling.IGNORE,
        ) as frames:
            for frame in frames:
                if isinstance(frame, fitdecode.FitDataMessage) and frame.name in KINDS:
                    row = {field.name: _seconds(field.value) for field in frame.fields if field.value is not None}
                    found.setdefault(frame.name, []).append(row)
    except Exception as error:  # it raises whatever a damaged byte leads it to
        if not found.get("record"):
            raise UnreadableError(f"is damaged, or no FIT file ({_first_line(error)})") from None
        return found, "activity" not in found
    return found, False


def _seconds(value: object) -> object:
    return value.timestamp() if isinstance(value, datetime) else value


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:100]


def _number(value: object) -> float:
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else float("nan")


def _time(value: object) -> float:
    """s since 1970, as of the records above; fitdecode leaves a time of a device without a clock as the file has it,
    from FIT's epoch."""
    number = _number(value)
    return number + FIT_EPOCH_S if number < FIT_EPOCH_S else number


def _stops(events: Iterable[Mapping[Any, Any]], end_s: float) -> tuple[Span, ...]:
    """From each stop of the timer to its next start; what follows the last stop is no part of the activity."""
    stops, since = [], None
    for event in events:
        if event.get("event") != "timer":
            continue
        at = _time(event.get("timestamp"))
        if str(event.get("event_type", "")).startswith("stop"):
            since = at if since is None else since
        elif event.get("event_type") == "start" and since is not None:
            stops.append((since, at))
            since = None
    if since is not None and since < end_s:
        stops.append((since, end_s))
    return tuple(stops)


def _laps(laps: Iterable[Mapping[Any, Any]]) -> tuple[Span, ...]:
    found = []
    for lap in laps:
        start, length = _time(lap.get("start_time")), _number(lap.get("total_elapsed_time"))
        if np.isfinite(start) and length > 0:
            found.append((start, start + length))
    return tuple(found)


def _offset(activities: Sequence[Mapping[Any, Any]]) -> int | None:
    for activity in activities:
        utc, local = _time(activity.get("timestamp")), _time(activity.get("local_timestamp"))
        if utc >= FIRST_YEAR_S and np.isfinite(local):
            return whole_offset(local, utc)
    return None


def _total(sessions: Sequence[Mapping[Any, Any]], name: str) -> float | None:
    values = [_number(session.get(name)) for session in sessions]
    known = [value for value in values if np.isfinite(value) and value > 0]
    return sum(known) if known else None


def _sport(sessions: Sequence[Mapping[Any, Any]]) -> tuple[str | None, bool | None]:
    """The sport, and whether it was indoors; 'multisport' where the sessions differ."""
    if not sessions:
        return None, None
    sports = {str(session["sport"]) for session in sessions if session.get("sport") is not None}
    sub_sports = {str(session["sub_sport"]) for session in sessions if session.get("sub_sport") is not None}
    is_indoor = bool(sub_sports) and sub_sports <= set(INDOOR)
    if len(sports) != 1:
        return ("multisport" if sports else None), is_indoor
    (sport,) = sports
    if len(sub_sports) == 1:
        (sub_sport,) = sub_sports
        sport = BY_SUB_SPORT.get(sub_sport, VIRTUAL.get(sport, sport) if sub_sport == "virtual_activity" else sport)
    return sport, is_indoor


def is_fit(data: bytes) -> bool:
    """Whether the bytes begin as a FIT file does: the mark in its header, of 12 bytes or 14."""
    return len(data) >= 12 and data[8:12] == b".FIT"
