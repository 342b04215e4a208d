"""GPX and TCX files: what their tags say, in the order of the file. Names are compared without their namespace."""

from __future__ import annotations

import re
from datetime import date
from xml.parsers import expat

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from athlete_assets.silver.recordings.recording import Floats, Recording, Samples, Span, UnreadableError, whole_offset
from athlete_assets.silver.recordings.tags import Indexes, Mask, Tags, sound_part, tags, unescaped

NAN = float("nan")
DEEPEST = 64
"""Tags within tags; recordings have a dozen."""
MOST_AROUND = 100_000
"""Tags of laps, tracks and segments, which are read one by one; a swimmer's lengths are some thousands."""
_ROOT = re.compile(rb"<(?:[^\s/>]*:)?(?:gpx|TrainingCenterDatabase)(?=[\s/>])")
_MINUTE = re.compile(r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):", re.ASCII)
_MINUTE_BYTES = len("2024-03-04T17:00:")
_TIME_BYTES = 64
"""No time is longer."""
_SECOND = re.compile(r"(\d\d(?:\.\d+)?)\s*(Z|[+-]\d\d:?\d\d)?", re.ASCII)
_EPOCH = date(1970, 1, 1).toordinal()
STRAVA_GPX_TYPES = {"1": "Ride", "4": "Hike", "9": "Run", "10": "Walk", "16": "Swim"}
"""What a GPX of Strava says for its sports; others are written as words."""

POINTS = ("trkpt", "Trackpoint")
COLUMNS = {
    "altitude_m": ("ele", "AltitudeMeters"),
    "distance_m": ("DistanceMeters",),
    "latitude": ("LatitudeDegrees",),
    "longitude": ("LongitudeDegrees",),
    "bpm": ("hr", "heartrate"),
    "power_w": ("Watts", "power", "PowerInWatts"),
}
"""Of a track point: the tags that give a column; the first of a point counts."""
AROUND = ("Activity", "Lap", "TotalTimeSeconds", "trk", "trkseg", "type")
NAMES = (*POINTS, *(name for of in COLUMNS.values() for name in of), "time", "Time", "Value", "HeartRateBpm", *AROUND)


def xml_recording(data: bytes) -> Recording:
    """The recording in a GPX or TCX file. Raises UnreadableError."""
    track, damage = read_track(data)
    samples = track.samples()
    if damage is not None and not len(samples.time_s):
        raise UnreadableError(f"is damaged, or no GPX or TCX file ({damage})")
    if not np.isfinite(samples.time_s).any():
        raise UnreadableError("has no track with times: it is a route or a list of places")
    time_s, distance_m, altitude_m, bpm, power_w = samples.columns()
    return Recording(
        time_s,
        distance_m,
        altitude_m,
        bpm,
        stops=track.stops(np.asarray(samples.time_s)),
        laps=tuple(track.laps),
        sport=track.sport,
        utc_offset_s=track.utc_offset_s,
        total_distance_m=track.lap_metres or None,
        is_cut_off=damage is not None,
        power_w=power_w,
    )


def read_track(data: bytes) -> tuple[Track, expat.ExpatError | None]:
    """What a GPX or TCX file says up to its first damage, and what that was. Raises UnreadableError."""
    data, damage = sound_part(data.lstrip())  # services indent the declaration, which XML forbids
    data = data.lstrip()
    if data.startswith(b"<") and not _ROOT.match(data):
        raise UnreadableError("is neither GPX nor TCX")
    track = Track()
    for block in tags(data, NAMES, POINTS):
        track.add(block)
    return track, damage


def is_xml(data: bytes) -> bool:
    """Whether the bytes begin as XML does."""
    return data[:256].removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"<")


class Track:
    """What the blocks of tags have said so far."""

    def __init__(self) -> None:
        self.laps: list[Span] = []
        self.lap_metres = 0.0
        self.sport: str | None = None
        self.utc_offset_s: int | None = None
        self._columns: dict[str, list[Floats]] = {name: [] for name in ("time_s", *COLUMNS)}
        self._points = 0
        self._around = 0
        self._ends: set[int] = set()
        """Of the segments of a GPX track: how many points came before."""
        self._lap: dict[str, float] | None = None
        self._tracks: set[int] = set()
        """The depths of the open `trk`."""

    def samples(self) -> Samples:
        return Samples(**{name: np.concatenate([np.empty(0), *of]) for name, of in self._columns.items()})

    def stops(self, times: Floats) -> tuple[Span, ...]:
        """Between the segments of a GPX track, where the watch was paused."""
        return tuple(
            (float(times[end - 1]), float(times[end]))
            for end in sorted(self._ends)
            if 0 < end < len(times) and times[end] > times[end - 1]
        )

    def add(self, block: Tags) -> None:
        """The points of the block, and what stands around them."""
        if (block.opens & (block.depth >= DEEPEST)).any():
            raise UnreadableError("has tags within tags without end")
        clock = _Clock()
        starts, ends, point, is_inside = _points(block)
        self._add_points(block, starts, ends, point, clock)
        around = np.flatnonzero(_is(block, *AROUND, "DistanceMeters") & ~is_inside).tolist()
        self._around += len(around)
        if self._around > MOST_AROUND:
            raise UnreadableError(f"has more than {MOST_AROUND:,} laps and segments")
        for tag in around:
            self._add_around(block, tag, ends, clock)
        self._points += len(ends)
        if self.utc_offset_s is None:
            self.utc_offset_s = min(clock.offsets, default=(0, None))[1]

    def _add_points(self, block: Tags, starts: Indexes, ends: Indexes, point: Indexes, clock: _Clock) -> None:
        is_closing = block.closes & (point >= 0)
        columns = {name: np.full(len(ends), NAN) for name in self._columns}
        for name, of in COLUMNS.items():
            closing = np.flatnonzero(is_closing & _is(block, *of))
            columns[name][point[closing[::-1]]] = _numbers(block.texts(closing))[::-1]  # the first is set last
        beats = np.flatnonzero(is_closing & _is(block, "Value") & _is_within(block, "HeartRateBpm"))
        columns["bpm"][point[beats]] = _numbers(block.texts(beats))
        times = np.flatnonzero(is_closing & _is(block, "time", "Time"))
        columns["time_s"][point[times]] = clock.seconds(block.texts(times), times)
        of_gpx = np.flatnonzero(_is(block, "trkpt")[starts])
        latitude, longitude = block.values(starts[of_gpx], b"lat", b"lon")
        columns["latitude"][of_gpx], columns["longitude"][of_gpx] = _numbers(latitude), _numbers(longitude)
        for name, values in columns.items():
            self._columns[name].append(values)

    def _add_around(self, block: Tags, tag: int, ends: Indexes, clock: _Clock) -> None:
        """A tag outside of all points."""
        name, depth, here = NAMES[block.name[tag]], int(block.depth[tag]), np.array([tag])
        if block.opens[tag]:
            if name == "trk":
                self._tracks.add(depth)
            elif name == "Activity":
                (sport,) = block.values(here, b"Sport")
                self.sport = self.sport or unescaped(sport[0].as_py()) or None
            elif name == "Lap":
                (start,) = block.values(here, b"StartTime")
                self._lap = {"start": float(clock.seconds(start, here)[0])}
        if block.closes[tag]:
            if name == "trk":
                self._tracks.discard(depth)
            elif name == "trkseg":
                self._ends.add(self._points + int(np.searchsorted(ends, tag)))
            elif name == "type" and depth - 1 in self._tracks:
                text = unescaped(block.texts(here)[0].as_py())
                self.sport = self.sport or STRAVA_GPX_TYPES.get(text, text) or None
            elif self._lap is not None and name in ("TotalTimeSeconds", "DistanceMeters"):
                self._lap[name] = float(_numbers(block.texts(here))[0])
            elif self._lap is not None and name == "Lap":
                self._end_lap(self._lap)
                self._lap = None

    def _end_lap(self, lap: dict[str, float]) -> None:
        start, length = lap.get("start", NAN), lap.get("TotalTimeSeconds", NAN)
        if np.isfinite(start) and length > 0:
            self.laps.append((start, start + length))
        metres = lap.get("DistanceMeters", NAN)
        self.lap_metres += metres if metres > 0 else 0.0


def _is(block: Tags, *names: str) -> Mask:
    """Whether each tag has one of the names."""
    result = np.zeros(len(block), bool)
    for name in names:
        result |= block.name == NAMES.index(name)
    return result


def _is_within(block: Tags, parent: str) -> Mask:
    """Whether each tag is right inside of such a one."""
    around = np.flatnonzero(_is(block, parent))
    steps = np.diff(around, prepend=-1, append=len(block) - 1)
    opened = np.where(block.opens[around] & ~block.closes[around], block.depth[around], -2)
    return np.repeat(np.append(-2, opened), steps) == block.depth - 1


def _points(block: Tags) -> tuple[Indexes, Indexes, Indexes, Mask]:
    """The first and last tag of each point; of each tag the point that it is in, else -1, and whether it is in any.

    A point in a point, which no file has, begins anew.
    """
    found = np.flatnonzero(_is(block, *POINTS))
    opens, closes = block.opens[found], block.closes[found]
    is_open = opens & ~closes  # after the tag
    is_whole = is_open & np.append((closes & ~opens)[1:], False)  # closed by the next
    number = np.where(is_whole, np.cumsum(is_whole | (opens & closes)) - 1, -1)
    steps = np.diff(found, prepend=-1, append=len(block) - 1)
    point = np.repeat(np.append(-1, number), steps)
    is_inside = np.repeat(np.append(False, is_open), steps)
    starts = found[is_whole | (opens & closes)]
    ends = found[closes & (opens | np.append(False, is_open)[:-1])]
    return starts, ends, point, is_inside


def _numbers(texts: pa.BinaryArray) -> Floats:
    """NaN of what is no number."""
    try:
        numbers: Floats = texts.cast(pa.string()).cast(pa.float64()).to_numpy()
        return numbers
    except pa.ArrowInvalid:  # one is none, or has spaces around it
        return np.array([_number(text) for text in texts.to_pylist()])


def _number(text: bytes) -> float:
    try:
        return float(unescaped(text))
    except ValueError:
        return NAN


class _Clock:
    """Reads times. A block has few minutes and few seconds, so each is read once."""

    def __init__(self) -> None:
        self.offsets: list[tuple[int, int]] = []
        """Which tag said how far (s) its clock is from UTC, the first of each reading."""

    def seconds(self, texts: pa.BinaryArray, of: Indexes) -> Floats:
        """s since 1970; NaN of what is no time. A time without a zone is UTC, as both formats say.

        of: the tags that they stand in.
        """
        result = self._seconds(texts, of)
        unread = np.flatnonzero(np.isnan(result))  # nothing, or with spaces around it
        if len(unread):
            plain = [unescaped(text).encode() for text in texts.take(unread).to_pylist()]
            result[unread] = self._seconds(pa.array(plain, pa.binary()), of[unread])
        return result

    def _seconds(self, texts: pa.BinaryArray, of: Indexes) -> Floats:
        minutes = pc.binary_slice(texts, 0, _MINUTE_BYTES).dictionary_encode()
        seconds = pc.binary_slice(texts, _MINUTE_BYTES, _TIME_BYTES).dictionary_encode()  # Arrow fails without an end
        read = [_second(text.decode(errors="replace")) for text in seconds.dictionary.to_pylist()]
        minute = np.array([_minute(text.decode(errors="replace")) for text in minutes.dictionary.to_pylist()])
        second, offset = np.array(read).reshape(-1, 2)[seconds.indices.to_numpy()].T
        result: Floats = minute[minutes.indices.to_numpy()] + second - np.nan_to_num(offset)
        for row in np.flatnonzero(np.isfinite(result) & np.isfinite(offset)).tolist():
            if (whole := whole_offset(float(offset[row]), 0)) is not None:
                self.offsets.append((int(of[row]), whole))
                break
        return result


def _minute(text: str) -> float:
    found = _MINUTE.fullmatch(text)
    if found is None:
        return NAN
    year, month, day, hour, minute = map(int, found.groups())
    try:
        return (date(year, month, day).toordinal() - _EPOCH) * 86_400 + hour * 3600 + minute * 60
    except ValueError:
        return NAN


def _second(text: str) -> tuple[float, float]:
    """The second of the minute, and how far (s) the clock is from UTC; NaN where that is not said."""
    found = _SECOND.fullmatch(text)
    if found is None:
        return NAN, NAN
    second, zone = found.groups()
    if zone is None or zone == "Z":
        return float(second), NAN
    return float(second), (int(zone[1:3]) * 60 + int(zone[-2:])) * (-60.0 if zone[0] == "-" else 60.0)
