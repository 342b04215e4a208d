"""GPX and TCX read by a callback for each tag: slow and plain, the oracle of how `tracks` reads them in arrays."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone
from xml.parsers import expat

NAN = float("nan")
TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d+)?\s*(Z|[+-]\d\d:?\d\d)?", re.ASCII)
COLUMNS = {
    "DistanceMeters": "distance_m",
    "LatitudeDegrees": "latitude",
    "LongitudeDegrees": "longitude",
    "ele": "altitude_m",
    "AltitudeMeters": "altitude_m",
    "hr": "bpm",
    "heartrate": "bpm",
    "Watts": "power_w",
    "power": "power_w",
    "PowerInWatts": "power_w",
}


class TagByTag:
    """The points (a dict each), ends of segments, laps, sport, and whether the document was damaged."""

    def __init__(self, data: bytes) -> None:
        self.points: list[dict[str, float]] = []
        self.ends: list[int] = []
        self.laps: list[dict[str, float]] = []
        self.sport: str | None = None
        self.is_damaged = False
        self._path: list[str] = []
        self._text = ""
        self._point: dict[str, float] | None = None
        self._lap: dict[str, float] | None = None
        parser = expat.ParserCreate()
        parser.StartElementHandler, parser.EndElementHandler = self._start, self._end
        parser.CharacterDataHandler = self._more
        try:
            parser.Parse(data.lstrip(), True)
        except expat.ExpatError:
            self.is_damaged = True

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        name, self._text = tag.rpartition(":")[2], ""
        self._path.append(name)
        if name == "trkpt":
            self._point = {"latitude": number(attributes.get("lat")), "longitude": number(attributes.get("lon"))}
        elif name == "Trackpoint":
            self._point = {}
        elif name == "Activity":
            self.sport = self.sport or attributes.get("Sport") or None
        elif name == "Lap":
            self._lap = {"start": seconds(attributes.get("StartTime", ""))}

    def _more(self, text: str) -> None:
        self._text += text

    def _end(self, tag: str) -> None:
        name, text, point = self._path.pop(), self._text.strip(), self._point
        self._text = ""
        parent = self._path[-1] if self._path else None
        if point is not None:
            if name in COLUMNS:
                point.setdefault(COLUMNS[name], number(text))
            elif name in ("time", "Time"):
                point["time_s"] = seconds(text)
            elif name == "Value" and parent == "HeartRateBpm":
                point["bpm"] = number(text)
            elif name in ("trkpt", "Trackpoint"):
                self.points.append(point)
                self._point = None
        elif self._lap is not None and name in ("TotalTimeSeconds", "DistanceMeters"):
            self._lap[name] = number(text)
        elif self._lap is not None and name == "Lap":
            self.laps.append(self._lap)
            self._lap = None
        elif name == "trkseg":
            self.ends.append(len(self.points))
        elif name == "type" and parent == "trk":
            self.sport = self.sport or text or None

    def column(self, name: str) -> list[float]:
        return [point.get(name, NAN) for point in self.points]


def number(text: str | None) -> float:
    try:
        return float(text or "")
    except ValueError:
        return NAN


def seconds(text: str) -> float:
    found = TIME.fullmatch(text.strip())
    if found is None:
        return NAN
    try:
        moment = datetime.fromisoformat(found[1]).replace(tzinfo=timezone.utc)
    except ValueError:
        return NAN
    zone = found[3]
    ahead = timedelta()
    if zone and zone != "Z":
        ahead = timedelta(hours=int(zone[1:3]), minutes=int(zone[-2:])) * (-1 if zone[0] == "-" else 1)
    return (moment - ahead).timestamp() + float(found[2] or 0)
