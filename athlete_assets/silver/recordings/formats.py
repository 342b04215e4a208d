"""A recording from the bytes of a file, whatever it is called: FIT, GPX or TCX, alone or packed with gzip."""

from __future__ import annotations

import hashlib
import re
import zlib

from athlete_assets.silver.recordings.fit import fit_recording, is_fit
from athlete_assets.silver.recordings.recording import Beats, Recording, UnreadableError
from athlete_assets.silver.recordings.tracks import is_xml, xml_recording

FILE_NAME = re.compile(r"\.(fit|gpx|tcx)(\.gz)?$", re.IGNORECASE)
HEAD_BYTES = 4096
MAX_BYTES = 256 << 20
"""bytes of an unpacked recording; a day's GPX with all extensions has about 50 MB."""


def read_recording(data: bytes) -> Recording:
    """The recording in a file's bytes. Raises UnreadableError, and nothing else, whatever the bytes are."""
    try:
        data = unpacked(data)
        if not data:
            raise UnreadableError("is empty")
        if is_fit(data):
            return fit_recording(data)
        if is_xml(data):
            return xml_recording(data)
    except (UnreadableError, MemoryError):
        raise
    except Exception as error:  # a parser that stumbles over one file must not end the import of the others
        raise UnreadableError(f"cannot be read ({type(error).__name__})") from error
    raise UnreadableError("is neither FIT nor GPX nor TCX")


def looks_recorded(head: bytes) -> bool:
    """Whether a file that begins with these bytes is a recording, packed or not."""
    if head.startswith(b"\x1f\x8b"):
        try:
            head = zlib.decompressobj(wbits=31).decompress(head, HEAD_BYTES)
        except zlib.error:
            return False
    return is_fit(head) or (is_xml(head) and re.search(rb"<\s*(\w+:)?(gpx|TrainingCenterDatabase)\b", head) is not None)


def content_digest(data: bytes, beats: Beats = ()) -> str:
    """By which a recording is known again: SHA-256 of its unpacked bytes, so that packing it changes nothing, and of
    the heart rate that it was given, so that it is read again where that changes."""
    digest = hashlib.sha256(data)
    if beats:
        digest.update(repr(beats).encode())
    return digest.hexdigest()


def unpacked(data: bytes) -> bytes:
    """What a gzip file holds, and other bytes as they are. Raises UnreadableError for more than MAX_BYTES."""
    if not data.startswith(b"\x1f\x8b"):
        if len(data) > MAX_BYTES:
            raise UnreadableError(f"is larger than {MAX_BYTES >> 20} MB")
        return data
    unpacker = zlib.decompressobj(wbits=31)
    try:
        result = unpacker.decompress(data, MAX_BYTES)
    except zlib.error as error:
        raise UnreadableError(f"is a damaged gzip file ({error})") from None
    if unpacker.unconsumed_tail:
        raise UnreadableError(f"unpacks to more than {MAX_BYTES >> 20} MB")
    if not result and not unpacker.eof:
        raise UnreadableError("is a gzip file that ends before anything can be unpacked")
    return result
