"""GPX and TCX files, read as a stream of tags. A document type is refused: entities that expand to gigabytes, or that
read other files, are declared in one, and no recording has one."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date
from xml.parsers import expat

import numpy as np

from athlete_assets.silver.recordings.recording import Recording, Samples, Span, UnreadableError, whole_offset

NAN = float("nan")
DEEPEST = 64
"""Tags within tags; recordings have a dozen."""
_TIME = re.compile(r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d(?:\.\d+)?)\s*(Z|[+-]\d\d:?\d\d)?", re.ASCII)
_PLAIN = re.compile(r".{10}T\d\d:\d\d:\d\d(?:\.\d+)?Z", re.ASCII)
_EPOCH = date(1970, 1, 1).toordinal()
STRAVA_GPX_TYPES = {"1": "Ride", "4": "Hike", "9": "Run", "10": "Walk", "16": "Swim"}
"""What a GPX of Strava says for its sports; others are written as words."""


def xml_recording(data: bytes) -> Recording:
    """The recording in a GPX or TCX file. Raises UnreadableError."""
    handler = _Handler()
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.SetParamEntityParsing(expat.XML_PARAM_ENTITY_PARSING_NEVER)
    parser.StartDoctypeDeclHandler = _refuse_doctype
    parser.EntityDeclHandler = _refuse_doctype
    parser.StartElementHandler = handler.start
    parser.EndElementHandler = handler.end
    parser.CharacterDataHandler = handler.text
    is_cut_off = False
    try:
        parser.Parse(data.lstrip(), True)  # services indent the declaration, which XML forbids
    except expat.ExpatError as error:
        if not handler.time_s:
            raise UnreadableError(f"is damaged, or no GPX or TCX file ({error})") from None
        is_cut_off = True
    if handler.kind is None:
        raise UnreadableError("is neither GPX nor TCX")
    if not any(np.isfinite(handler.time_s)):
        raise UnreadableError("has no track with times: it is a route or a list of places")
    time_s, distance_m, altitude_m, bpm, power_w = Samples(
        handler.time_s,
        handler.distance_m,
        handler.latitude,
        handler.longitude,
        handler.altitude_m,
        handler.bpm,
        handler.power_w,
    ).columns()
    return Recording(
        time_s,
        distance_m,
        altitude_m,
        bpm,
        stops=handler.stops,
        laps=tuple(handler.laps),
        sport=handler.sport,
        utc_offset_s=handler.utc_offset_s,
        total_distance_m=handler.lap_metres or None,
        is_cut_off=is_cut_off,
        power_w=power_w,
    )


def is_xml(data: bytes) -> bool:
    """Whether the bytes begin as XML does."""
    return data[:256].removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"<")


def _refuse_doctype(*_: object) -> None:
    raise UnreadableError("declares a document type, which no recording has and which can do harm")


class _Handler:
    """What the tags say, in the order of the file. Names are compared without their namespace."""

    def __init__(self) -> None:
        self.kind: str | None = None
        self.time_s: list[float] = []
        self.distance_m: list[float] = []
        self.latitude: list[float] = []
        self.longitude: list[float] = []
        self.altitude_m: list[float] = []
        self.bpm: list[float] = []
        self.power_w: list[float] = []
        self.laps: list[Span] = []
        self.lap_metres = 0.0
        self.sport: str | None = None
        self.utc_offset_s: int | None = None
        self._ends: list[int] = []
        self._path: list[str] = []
        self._text = ""
        self._names: dict[str, str] = {}
        self._lap: dict[str, float] | None = None
        self._point: dict[str, float] | None = None
        self._days: dict[str, int] = {}

    @property
    def stops(self) -> tuple[Span, ...]:
        """Between the segments of a GPX track, where the watch was paused."""
        times = self.time_s
        return tuple(
            (times[end - 1], times[end])
            for end in sorted(set(self._ends))
            if 0 < end < len(times) and times[end] > times[end - 1]
        )

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        name = self._names.get(tag) or self._name(tag)
        path = self._path
        if not path:
            self.kind = {"gpx": "gpx", "TrainingCenterDatabase": "tcx"}.get(name)
            if self.kind is None:
                raise UnreadableError("is neither GPX nor TCX")
        if len(path) >= DEEPEST:
            raise UnreadableError("has tags within tags without end")
        path.append(name)
        self._text = ""
        if name == "trkpt":
            self._point = {"lat": _number(attributes.get("lat")), "lon": _number(attributes.get("lon"))}
        elif name == "Trackpoint":
            self._point = {}
        elif name == "Activity":
            self.sport = self.sport or attributes.get("Sport")
        elif name == "Lap":
            self._lap = {"start": self._seconds(attributes.get("StartTime", ""))}

    def _name(self, tag: str) -> str:
        """The tag without its namespace. A file has a dozen names a million times."""
        return self._names.setdefault(tag, tag.rpartition(":")[2])

    def text(self, text: str) -> None:
        self._text += text

    def end(self, tag: str) -> None:
        name = self._path.pop()
        text, self._text = self._text, ""
        if self._point is not None:
            if name in _OF_POINT:
                self._in_point(name, text.strip())
        elif self._lap is not None and name in ("TotalTimeSeconds", "DistanceMeters"):
            self._lap[name] = _number(text.strip())
        elif name == "Lap" and self._lap is not None:
            self._end_lap(self._lap)
        elif name == "trkseg":
            self._ends.append(len(self.time_s))
        elif name == "type" and self._path[-1:] == ["trk"] and (text := text.strip()):
            self.sport = self.sport or STRAVA_GPX_TYPES.get(text, text)

    def _in_point(self, name: str, text: str) -> None:
        assert self._point is not None
        point = self._point
        if name in _POINT:
            into, read = _POINT[name]
            if into not in point:
                point[into] = read(text)
        elif name in ("time", "Time"):
            point["time"] = self._seconds(text)
        elif name == "Value" and self._path[-1:] == ["HeartRateBpm"]:
            point["bpm"] = _number(text)
        elif name in ("trkpt", "Trackpoint"):
            known = point.get
            self.time_s.append(known("time", NAN))
            self.distance_m.append(known("distance", NAN))
            self.latitude.append(known("lat", NAN))
            self.longitude.append(known("lon", NAN))
            self.altitude_m.append(known("ele", NAN))
            self.bpm.append(known("bpm", NAN))
            self.power_w.append(known("power", NAN))
            self._point = None

    def _end_lap(self, lap: dict[str, float]) -> None:
        start, length = lap.get("start", NAN), lap.get("TotalTimeSeconds", NAN)
        if np.isfinite(start) and length > 0:
            self.laps.append((start, start + length))
        metres = lap.get("DistanceMeters", NAN)
        self.lap_metres += metres if metres > 0 else 0.0
        self._lap = None

    def _seconds(self, text: str) -> float:
        """s since 1970; a time without a zone is UTC, as both formats say. A zone's offset is kept."""
        known = self._days.get(text[:10])
        if known is not None and _PLAIN.fullmatch(text):  # nearly all: of one form, and of a day that was there before
            return known * 86_400 + int(text[11:13]) * 3600 + int(text[14:16]) * 60 + float(text[17:-1])
        found = _TIME.fullmatch(text.strip())
        if found is None:
            return NAN
        year, month, day, hour, minute, second, zone = found.groups()
        key = f"{year}-{month}-{day}"
        if key not in self._days:
            try:
                self._days[key] = date(int(year), int(month), int(day)).toordinal() - _EPOCH
            except ValueError:
                return NAN
        seconds = self._days[key] * 86_400 + int(hour) * 3600 + int(minute) * 60 + float(second)
        if zone is None or zone == "Z":
            return seconds
        offset = (int(zone[1:3]) * 60 + int(zone[-2:])) * (-60 if zone[0] == "-" else 60)
        if self.utc_offset_s is None:
            self.utc_offset_s = whole_offset(offset, 0)
        return seconds - offset


def _number(text: str | None) -> float:
    try:
        return float(text) if text else NAN
    except ValueError:
        return NAN


_POINT: dict[str, tuple[str, Callable[[str | None], float]]] = {
    "ele": ("ele", _number),
    "AltitudeMeters": ("ele", _number),
    "DistanceMeters": ("distance", _number),
    "LatitudeDegrees": ("lat", _number),
    "LongitudeDegrees": ("lon", _number),
    "hr": ("bpm", _number),
    "heartrate": ("bpm", _number),
    "Watts": ("power", _number),
    "power": ("power", _number),
    "PowerInWatts": ("power", _number),
}
"""Tags of a track point: the value that they give, and how it is read."""
_OF_POINT = {*_POINT, "time", "Time", "Value", "trkpt", "Trackpoint"}
"""The tags of a track point that mean something."""
