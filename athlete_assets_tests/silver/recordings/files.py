"""Recordings written by hand: small FIT, GPX and TCX files whose every number a test knows."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone

FIT_EPOCH_S = 631_065_600
START = datetime(2024, 3, 4, 17, 0, tzinfo=timezone.utc)
METRES_A_DEGREE = 6_371_008.8 * 3.141592653589793 / 180


@dataclass(frozen=True)
class Sample:
    """One sample; None is not recorded."""

    at: float
    """s from the start."""
    metres: float | None = None
    bpm: int | None = None
    height: float | None = None
    north: float | None = None
    """m north of the start: a position, and no recorded distance."""
    watts: int | None = None


def steady(
    seconds: int, mps: float, bpm: int | None = None, every: int = 1, slope: float | None = None
) -> list[Sample]:
    """A run at one speed, heart rate and slope, sampled every so many seconds."""
    return [
        Sample(at, at * mps, bpm, None if slope is None else 100 + at * mps * slope)
        for at in range(0, seconds + 1, every)
    ]


# --------------------------------------------------------------------------------------------------------------- FIT

_TYPES = {
    "enum": ("B", 0x00),
    "uint8": ("B", 0x02),
    "uint16": ("H", 0x84),
    "uint32": ("I", 0x86),
    "sint32": ("i", 0x85),
}
_INVALID = {"enum": 0xFF, "uint8": 0xFF, "uint16": 0xFFFF, "uint32": 0xFFFFFFFF, "sint32": 0x7FFFFFFF}
Field = tuple[int, str, float | None]
"""Number, type and raw value of a field of a FIT message."""


def fit(
    samples: Iterable[Sample],
    *,
    offset_s: int | None = 3600,
    sport: int = 1,
    sub_sport: int = 0,
    events: Sequence[tuple[float, int]] = (),
    laps: Sequence[tuple[float, float]] = (),
    start: datetime = START,
    wrong_checksum: bool = False,
) -> bytes:
    """A FIT file of a run. events: s from the start, 0 timer start, 4 stop; laps: s from the start, length in s."""
    samples = list(samples)
    zero = int(start.timestamp()) - FIT_EPOCH_S
    end = zero + int(samples[-1].at) if samples else zero
    messages: list[tuple[int, list[Field]]] = [(0, [(0, "enum", 4)])]
    for at, kind in events:
        messages.append((21, [(253, "uint32", zero + at), (0, "enum", 0), (1, "enum", kind)]))
    for sample in samples:
        degrees = None if sample.north is None else sample.north / METRES_A_DEGREE
        fields: list[Field] = [
            (253, "uint32", zero + sample.at),
            (5, "uint32", None if sample.metres is None else sample.metres * 100),
            (2, "uint16", None if sample.height is None else (sample.height + 500) * 5),
            (3, "uint8", sample.bpm),
        ]
        if sample.watts is not None:
            fields.append((7, "uint16", sample.watts))
        if degrees is not None:
            fields += [(0, "sint32", degrees / 180 * 2**31), (1, "sint32", 2**24)]
        messages.append((20, fields))
    for at, length in laps:
        messages.append(
            (19, [(253, "uint32", zero + at + length), (2, "uint32", zero + at), (7, "uint32", length * 1000)])
        )
    metres = max((sample.metres or 0.0 for sample in samples), default=0.0)
    session: list[Field] = [
        (253, "uint32", end),
        (2, "uint32", zero),
        (7, "uint32", (end - zero) * 1000),
        (9, "uint32", metres * 100),
        (5, "enum", sport),
        (6, "enum", sub_sport),
    ]
    messages.append((18, session))
    local = None if offset_s is None else end + offset_s
    messages.append((34, [(253, "uint32", end), (5, "uint32", local)]))
    body = b"".join(_message(number, fields) for number, fields in messages)
    head = struct.pack("<BBHI4s", 14, 0x20, 2132, len(body), b".FIT")
    head += struct.pack("<H", _crc(head))
    return head + body + struct.pack("<H", _crc(head + body) ^ (1 if wrong_checksum else 0))


def _message(number: int, fields: Sequence[Field]) -> bytes:
    definition = struct.pack("<BBBHB", 0x40, 0, 0, number, len(fields))
    data = b"\x00"
    for field, kind, value in fields:
        code, base = _TYPES[kind]
        definition += struct.pack("<BBB", field, struct.calcsize(code), base)
        data += struct.pack("<" + code, _INVALID[kind] if value is None else round(value))
    return definition + data


def _crc(data: bytes) -> int:
    """FIT's CRC-16 (polynomial 0xA001)."""
    crc = 0
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0xA001 if crc & 1 else 0)
    return crc


# --------------------------------------------------------------------------------------------------------------- XML


def _time(at: float, zone: str, start: datetime = START) -> str:
    moment = datetime.fromtimestamp(start.timestamp() + at, timezone.utc)
    if zone != "Z":
        hours, minutes = int(zone[:3]), int(zone[0] + zone[-2:])
        moment = datetime.fromtimestamp(start.timestamp() + at + hours * 3600 + minutes * 60, timezone.utc)
    return f"{moment:%Y-%m-%dT%H:%M:%S}{zone}"


def gpx(
    *segments: Sequence[Sample], sport: str = "running", zone: str = "Z", before: str = "", start: datetime = START
) -> bytes:
    """A GPX file. A sample's place is `north`, else its metres."""
    parts = []
    for samples in segments:
        points = []
        for sample in samples:
            north = sample.metres if sample.north is None else sample.north
            height = "" if sample.height is None else f"<ele>{sample.height}</ele>"
            beat = ""
            if sample.bpm is not None:
                beat = (
                    "<extensions><gpxtpx:TrackPointExtension>"
                    f"<gpxtpx:hr>{sample.bpm}</gpxtpx:hr></gpxtpx:TrackPointExtension></extensions>"
                )
            points.append(
                f'<trkpt lat="{(north or 0) / METRES_A_DEGREE:.9f}" lon="7.0">{height}'
                f"<time>{_time(sample.at, zone, start)}</time>{beat}</trkpt>"
            )
        parts.append(f"<trkseg>{''.join(points)}</trkseg>")
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>{before}<gpx xmlns="http://www.topografix.com/GPX/1/1" '
        'xmlns:gpxtpx="http://www.garmin.com/xmlschemas/TrackPointExtension/v1">'
        f"<metadata><time>2001-01-01T00:00:00Z</time></metadata><trk><name>Evening at home</name><type>{sport}</type>"
        f"{''.join(parts)}</trk></gpx>"
    ).encode()


def tcx(*laps: Sequence[Sample], sport: str = "Running") -> bytes:
    """A TCX file with these laps, indented as services write it."""
    parts = []
    for samples in laps:
        points = []
        for sample in samples:
            metres = "" if sample.metres is None else f"<DistanceMeters>{sample.metres}</DistanceMeters>"
            height = "" if sample.height is None else f"<AltitudeMeters>{sample.height}</AltitudeMeters>"
            beat = "" if sample.bpm is None else f"<HeartRateBpm><Value>{sample.bpm}</Value></HeartRateBpm>"
            power = (
                ""
                if sample.watts is None
                else f"<Extensions><ns3:TPX><ns3:Watts>{sample.watts}</ns3:Watts></ns3:TPX></Extensions>"
            )
            moment = f"<Time>{_time(sample.at, 'Z')}</Time>"
            points.append(f"<Trackpoint>{moment}{height}{metres}{beat}{power}</Trackpoint>")
        length = samples[-1].at - samples[0].at
        metres = (samples[-1].metres or 0) - (samples[0].metres or 0)
        parts.append(
            f'<Lap StartTime="{_time(samples[0].at, "Z")}"><TotalTimeSeconds>{length}</TotalTimeSeconds>'
            f"<DistanceMeters>{metres}</DistanceMeters><Track>{''.join(points)}</Track></Lap>"
        )
    return (
        '          <?xml version="1.0" encoding="UTF-8"?><TrainingCenterDatabase '
        'xmlns="http://www.garmin.com/xmlschemas/TrainingCenterDatabase/v2"><Activities>'
        f'<Activity Sport="{sport}"><Id>x</Id>{"".join(parts)}</Activity></Activities></TrainingCenterDatabase>'
    ).encode()
