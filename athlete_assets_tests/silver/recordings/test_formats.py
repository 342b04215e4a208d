"""Recordings are read as what they hold, whatever they are called, and a file that is none says why."""

from __future__ import annotations

import contextlib
import dataclasses
import gzip
import io
from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from athlete_assets.silver.recordings.fit import FIT_EPOCH_S
from athlete_assets.silver.recordings.formats import content_digest, read_recording, unpacked
from athlete_assets.silver.recordings.recording import Recording, UnreadableError
from athlete_assets_tests.conftest import shared_file
from athlete_assets_tests.silver.recordings.files import START, Sample, fit, gpx, steady, tcx

RUN = steady(600, 3.0, bpm=150, slope=0.01)


@pytest.mark.parametrize("data", [fit(RUN), gpx(RUN), tcx(RUN)], ids=["fit", "gpx", "tcx"])
def test_the_three_formats_tell_the_same_run(data: bytes) -> None:
    recording = read_recording(data)
    assert recording.time_s[0] == START.timestamp()
    assert recording.time_s[-1] - recording.time_s[0] == 600
    assert recording.distance_m[-1] == pytest.approx(1800, rel=1e-6)
    assert recording.altitude_m[-1] == pytest.approx(118, abs=0.2)
    assert set(recording.bpm) == {150}
    assert str(recording.sport).lower() == "running"


def test_a_packed_file_is_the_same_file() -> None:
    data = gpx(RUN)
    assert read_recording(gzip.compress(data)).distance_m[-1] == read_recording(data).distance_m[-1]
    assert content_digest(unpacked(gzip.compress(data))) == content_digest(unpacked(data))


def test_the_offset_of_the_clock_is_the_file_s_own() -> None:
    assert read_recording(fit(RUN, offset_s=-10_800)).utc_offset_s == -10_800
    assert read_recording(fit(RUN, offset_s=20_700 + 47)).utc_offset_s == 20_700  # Kathmandu, by a slow clock
    assert read_recording(fit(RUN, offset_s=None)).utc_offset_s is None
    assert read_recording(fit(RUN, offset_s=15 * 3600)).utc_offset_s is None  # no zone lies there
    indian = read_recording(gpx(RUN, zone="+05:30"))
    assert (indian.utc_offset_s, indian.time_s[0]) == (19_800, START.timestamp())
    assert read_recording(gpx(RUN)).utc_offset_s is None  # Z says nothing of the athlete's clock


def test_no_position_is_kept() -> None:
    names = {field.name for field in dataclasses.fields(Recording)}
    assert not any("lat" in name or "lon" in name or "position" in name for name in names)


def test_distance_comes_from_positions_where_none_is_recorded() -> None:
    walked = [Sample(at, north=at * 1.5) for at in range(0, 101, 10)]
    assert read_recording(fit(walked)).distance_m[-1] == pytest.approx(150, abs=0.1)


def test_a_wrong_checksum_costs_nothing() -> None:
    whole, damaged = read_recording(fit(RUN)), read_recording(fit(RUN, wrong_checksum=True))
    for name in ("time_s", "distance_m", "altitude_m", "bpm"):
        np.testing.assert_array_equal(getattr(whole, name), getattr(damaged, name))
    assert (damaged.utc_offset_s, damaged.sport, damaged.is_cut_off) == (3600, "running", False)


def test_a_stopped_timer_is_a_stop() -> None:
    recording = read_recording(fit(RUN, events=[(0, 0), (100, 4), (160, 0), (590, 4)]))
    start = START.timestamp()
    assert recording.stops == ((start + 100, start + 160), (start + 590, start + 600))


def test_segments_of_a_track_are_interrupted() -> None:
    start = START.timestamp()
    recording = read_recording(gpx(RUN[:101], [], RUN[401:]))
    assert recording.stops == ((start + 100, start + 401),)


def test_a_device_without_a_clock_has_no_date() -> None:
    assert not read_recording(fit(RUN, start=START - timedelta(days=365 * 33))).has_date
    assert read_recording(fit(RUN)).has_date


BOMB = '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>'
READS_A_FILE = '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/hostname">]>'


@pytest.mark.parametrize("doctype", [BOMB, READS_A_FILE, '<!DOCTYPE gpx SYSTEM "http://localhost/x.dtd">'])
def test_a_document_type_is_refused(doctype: str) -> None:
    with pytest.raises(UnreadableError, match="document type"):
        read_recording(gpx(RUN, before=doctype))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "is empty"),
        (b"Activity ID,Distance\n1,2\n", "neither FIT nor GPX nor TCX"),
        (b"<html><body/></html>", "neither GPX nor TCX"),
        (b"<gpx><wpt lat='1' lon='2'><time>2016-05-27T10:08:47Z</time></wpt></gpx>", "no track with times"),
        (fit([]), "no samples"),
        (fit([Sample(0), Sample(86_400 * 30)]), "spans 30 days"),
        (gzip.compress(gpx(RUN))[:40] + b"\0" * 40, "gzip|damaged|GPX"),
        (b"<gpx>" + b"<a>" * 5000, "without end"),
    ],
    ids=["empty", "csv", "html", "places", "settings", "dates", "gzip", "deep"],
)
def test_what_is_no_recording_says_why(data: bytes, reason: str) -> None:
    with pytest.raises(UnreadableError, match=reason):
        read_recording(data)


def test_a_packed_bomb_is_not_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("athlete_assets.silver.recordings.formats.MAX_BYTES", 1 << 20)
    with pytest.raises(UnreadableError, match="unpacks to more than 1 MB"):
        read_recording(gzip.compress(b" " * (8 << 20)))


@given(which=st.sampled_from(["fit", "gpx", "tcx"]), share=st.floats(0, 1), packed=st.booleans())
def test_a_truncated_file_is_a_shorter_recording_or_none(which: str, share: float, packed: bool) -> None:
    short = RUN[:60]
    whole = {"fit": fit, "gpx": gpx, "tcx": tcx}[which](short)
    data = whole[: int(share * len(whole))]
    try:
        recording = read_recording(gzip.compress(data) if packed else data)
    except UnreadableError:
        return
    assert len(recording.time_s) <= len(short)
    assert (np.diff(recording.time_s) > 0).all()
    assert (np.diff(recording.distance_m) >= 0).all()


@given(st.binary(max_size=400), st.sampled_from([b"", fit(RUN[:3])[:60], b"<gpx>", b"\x1f\x8b\x08"]))
def test_no_bytes_raise_anything_but_a_reason(tail: bytes, head: bytes) -> None:
    with contextlib.suppress(UnreadableError):
        read_recording(head + tail)


SHARED_FIT = [
    "garmin-fenix-5-run.fit",
    "garmin-fenix-5-walk.fit",
    "10kUNLP2014-Garmin15.fit",
    "20171011_run_2088390344.fit",
    "flagged-hr.fit",
    "Morning_Swim.fit",
    "2013-02-06-12-11-14.fit",
    "compressed-speed-distance.fit",
]


@pytest.mark.parametrize("name", SHARED_FIT)
def test_fit_files_are_read_as_fitdecode_reads_them(name: str) -> None:
    import fitdecode

    data = shared_file(f"recordings/{name}").read_bytes()
    times, metres, beats = set(), [], []
    with fitdecode.FitReader(
        io.BytesIO(data), check_crc=fitdecode.CrcCheck.DISABLED, error_handling=fitdecode.ErrorHandling.IGNORE
    ) as frames:
        for frame in frames:
            if not isinstance(frame, fitdecode.FitDataMessage) or frame.name != "record":
                continue
            stamp = frame.get_value("timestamp", fallback=None)
            times.add(stamp + FIT_EPOCH_S if isinstance(stamp, int) else stamp.timestamp())
            metres += [value] if (value := frame.get_value("distance", fallback=None)) is not None else []
            beats.append(frame.get_value("heart_rate", fallback=None))
    recording = read_recording(data)
    assert recording.time_s.tolist() == sorted(times)
    if np.isfinite(recording.distance_m).any():
        assert recording.distance_m[-1] == pytest.approx(metres[-1] - metres[0], abs=0.1)
    known = [beat for beat in beats if beat is not None]
    if len(times) == len(beats):
        assert recording.bpm[np.isfinite(recording.bpm)].tolist() == known


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("empty.fit", "is empty"),
        ("Settings.fit", "settings"),
        ("WeightScaleSingleUser.fit", "no samples"),
        ("DeveloperData.fit", "no samples with a time"),
        ("strava-android-app-201.10-b1218918.fit", "times are damaged"),
        ("unicode_with_bom.gpx", "no track with times"),
    ],
)
def test_broken_files_of_real_devices_say_why(name: str, reason: str) -> None:
    with pytest.raises(UnreadableError, match=reason):
        read_recording(shared_file(f"recordings/{name}").read_bytes())


def test_a_real_file_that_ends_too_early_is_kept_as_far_as_it_goes() -> None:
    recording = read_recording(shared_file("recordings/activity-unexpected-eof.fit").read_bytes())
    assert recording.is_cut_off
    assert len(recording.time_s) == 14
