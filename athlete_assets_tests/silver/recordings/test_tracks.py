"""GPX and TCX are read in arrays as a parser would read them tag by tag, whatever a document looks like."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from athlete_assets.silver.recordings import tags, tracks
from athlete_assets.silver.recordings.recording import Samples, UnreadableError
from athlete_assets.silver.recordings.tracks import COLUMNS, read_track, xml_recording
from athlete_assets_tests.conftest import shared_file
from athlete_assets_tests.silver.recordings.files import gpx, steady, tcx
from athlete_assets_tests.silver.recordings.tag_by_tag import TagByTag


def _assert_as_tag_by_tag(data: bytes) -> None:
    expected = TagByTag(data)
    track, damage = read_track(data)
    assert (damage is not None) == expected.is_damaged
    samples = track.samples()
    for name in ("time_s", *COLUMNS):
        np.testing.assert_allclose(getattr(samples, name), expected.column(name), rtol=0, atol=1e-6, err_msg=name)
    assert track.sport == expected.sport
    times = expected.column("time_s")
    ends = sorted({end for end in expected.ends if 0 < end < len(times) and times[end] > times[end - 1]})
    assert track.stops(np.array(times)) == tuple((times[end - 1], times[end]) for end in ends)
    lengths = [lap.get("TotalTimeSeconds", np.nan) for lap in expected.laps]
    starts = [lap["start"] for lap in expected.laps]
    laps = [(start, start + s) for start, s in zip(starts, lengths, strict=True) if np.isfinite(start) and s > 0]
    np.testing.assert_allclose(np.array(track.laps).reshape(-1, 2), np.array(laps).reshape(-1, 2), atol=1e-6)
    metres = [lap.get("DistanceMeters", np.nan) for lap in expected.laps]
    assert track.lap_metres == pytest.approx(sum(m for m in metres if m > 0))


PREFIXES = st.sampled_from(["", "", "", "ns3:", "gpxtpx:", "a:b:", "a-very-long-prefix-of-a-namespace:"])
SPACES = st.sampled_from(["", "", " ", "\n  ", "\r\n\t"])
BETWEEN = st.sampled_from(
    [
        *[""] * 12,
        "<!-- > < & <trkpt> -->",
        "<!---->",
        "<?pi x>y?>",
        "<![CDATA[<trkpt>&</trkpt>]]>",
        '<other a="b>c" d=\'e"f\'/>',
        "text > here",
        "&amp;&lt;hr&gt;",
        "<x><hr>99</hr></x>",
        "<ele/>",
        "<time/>",
        "<Value>3</Value>",
        "<trk/>",
    ]
)
NUMBERS = st.one_of(
    st.integers(0, 240).map(str),
    st.floats(-90, 90).map(lambda value: f"{value:.6f}"),
    st.sampled_from(
        ["", " 7 ", "x", "1 2", "1,5", "+4", "1e2", "1_0", "0x10", "&#49;2", "<![CDATA[5]]>", "1<!-- -->2", "٣"]
    ),
)
TIMES = st.builds(
    lambda before, second, fraction, zone, after: (
        f"{before}2024-03-04T{17 + second // 3600}:{second // 60 % 60:02}:{second % 60:02}{fraction}{zone}{after}"
    ),
    SPACES,
    st.integers(0, 7199),
    st.sampled_from(["", "", ".000", ".25", ".123456"]),
    st.sampled_from(["Z", "Z", "", "+05:30", "-0330", " Z"]),
    SPACES,
) | st.sampled_from(["", "x", "2024-02-30T01:00:00Z", "2024-3-4T1:0:0Z", "2024-03-04 17:00:00Z"])


@st.composite
def element(draw: st.DrawFn, name: str, content: st.SearchStrategy[str]) -> str:
    tag = draw(PREFIXES) + name
    attributes, end = draw(st.sampled_from(["", "", ' a="1>2"', " "])), draw(st.sampled_from(["", "", " "]))
    return f"{draw(SPACES)}<{tag}{attributes}>{draw(content)}</{tag}{end}>{draw(SPACES)}{draw(BETWEEN)}"


def _joined(*parts: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.lists(st.one_of(*parts), max_size=5).map("".join)


IN_A_POINT = _joined(
    element("time", TIMES),
    element("Time", TIMES),
    *(element(name, NUMBERS) for of in COLUMNS.values() for name in of),
    element("HeartRateBpm", element("Value", NUMBERS)),
    element("extensions", element("TrackPointExtension", element("hr", NUMBERS))),
)


@st.composite
def place(draw: st.DrawFn) -> str:
    """A point of a GPX: its attributes in any order and form."""
    quote = draw(st.sampled_from('""\''))
    attributes = [f"{name}={quote}{draw(st.integers(-9, 9))}.5{quote}" for name in ("lat", "lon")]
    attributes += draw(st.sampled_from([[], [], ['x="a>b\'c"'], ["lat2='4'"], ['a:lon = "5"']]))
    written = " ".join(draw(st.permutations(attributes)) if draw(st.booleans()) else attributes[: draw(st.just(2))])
    tag = draw(PREFIXES) + "trkpt"
    if draw(st.integers(0, 9)) == 0:
        return f"<{tag} {written}/>"
    return f"<{tag} {written}{draw(SPACES)}>{draw(IN_A_POINT)}</{tag}>"


POINTS = _joined(place(), element("Trackpoint", IN_A_POINT))
LAP = st.builds(
    lambda start, seconds, metres, points: f'<Lap StartTime="{start}">{seconds}{metres}{points}</Lap>',
    TIMES,
    element("TotalTimeSeconds", NUMBERS),
    element("DistanceMeters", NUMBERS),
    POINTS,
)
TRACK = element("trk", _joined(element("trkseg", POINTS), element("type", st.sampled_from(["hike", " ", "a &lt; b"]))))
DOCUMENTS = st.builds(
    lambda head, body, tail: f'{head}<gpx xmlns="u">{body}</gpx>{tail}',
    st.sampled_from(["", '<?xml version="1.0" encoding="UTF-8"?>', "  <?xml version='1.0'?><!-- > -->\n"]),
    _joined(TRACK, TRACK, LAP, BETWEEN, st.just('<Activity Sport="Bi &amp; king"/>')),
    st.sampled_from(["", "\n", "<!-- -->", "text"]),
)


@settings(max_examples=80)
@given(document=DOCUMENTS, cut=st.none() | st.floats(0, 1), block=st.sampled_from([60, 300, 2 << 20]))
def test_documents_are_read_as_tag_by_tag(document: str, cut: float | None, block: int) -> None:
    data = document.encode()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tags, "BLOCK_BYTES", block)
        _assert_as_tag_by_tag(data if cut is None else data[: int(cut * len(data))])


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "iso-8859-1", "windows-1252", "us-ascii"])
def test_encodings_are_read_as_tag_by_tag(encoding: str) -> None:
    sport = "running" if encoding == "us-ascii" else "läufer"
    declared = "utf-16" if encoding.startswith("utf-16") else encoding.removesuffix("-sig")
    document = gpx(steady(9, 3.0, 150), sport=sport).decode().replace("UTF-8", declared)
    data = document.encode(encoding)
    _assert_as_tag_by_tag(data)
    recording = xml_recording(data)
    assert (recording.sport, len(recording.time_s)) == (sport, 10)


@pytest.mark.parametrize("kind", ["gpx", "tcx"])
def test_real_files_are_read_as_tag_by_tag(kind: str) -> None:
    files = sorted(shared_file("recordings").glob(f"*.{kind}"))
    assert files
    for file in files:
        data = file.read_bytes()
        for cut in range(0, len(data), max(1, len(data) // 23)):
            _assert_as_tag_by_tag(data[: len(data) - cut])


def test_blocks_make_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    run = steady(300, 3.0, 150, slope=0.01)
    for data in (gpx(run[:101], run[150:]), tcx(run[:120], run[120:])):
        whole = xml_recording(data)
        monkeypatch.setattr(tags, "BLOCK_BYTES", 777)
        in_blocks = xml_recording(data)
        monkeypatch.undo()
        for field in dataclasses.fields(whole):
            np.testing.assert_array_equal(getattr(in_blocks, field.name), getattr(whole, field.name))
        assert len(whole.time_s) > 200


def test_a_point_without_end_is_refused_before_it_fills_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tags, "BLOCK_BYTES", 1 << 10)
    monkeypatch.setattr(tags, "LARGEST_BLOCK_BYTES", 1 << 14)
    document = b"<gpx><trk><trkseg><trkpt>" + b"<a/>" * 10_000 + b"</trkpt></trkseg></trk></gpx>"
    with pytest.raises(UnreadableError, match="text or point of more than"):
        xml_recording(document)


def test_names_are_told_apart_by_their_first_eight_letters() -> None:
    """`tags` looks them up by those."""
    assert len({name[:8] for name in tracks.NAMES}) == len(tracks.NAMES)
    assert max(map(len, tracks.NAMES)) <= tags.LONGEST_NAME
    assert {field.name for field in dataclasses.fields(Samples)} == {"time_s", *COLUMNS}
