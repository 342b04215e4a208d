"""Many recordings, over all cores: each is read, measured and forgotten again; what cannot be read is named."""

from __future__ import annotations

import multiprocessing
import os
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path

from athlete_assets.silver.recordings.formats import MAX_BYTES, content_digest, read_recording, unpacked
from athlete_assets.silver.recordings.measures import Measures, measured
from athlete_assets.silver.recordings.recording import Beats, NoActivityError, UnreadableError
from athlete_assets.silver.sports import family, strava_sport
from athlete_assets.terminal import bar

FILES_FOR_A_POOL = 64
"""Fewer are read sooner than processes start."""
FILES_A_TASK = 8
SAY_EVERY_S = 5.0
MAX_RATIO = 200
"""Unpacked over packed bytes in a zip; a GPX has about 15."""

Known = Mapping[str, frozenset[int | None]]
"""By digest, the activities (ids) whose recording is known already; None among them is any."""


@dataclass(frozen=True)
class RecordingFile:
    """Where a recording lies: a file, or a member of a zip. Nothing is read before it is asked for."""

    name: str
    path: Path
    member: str | None = None
    activity_id: int | None = None
    """The activity that it belongs to; None where the recording is all there is of it."""
    sport: str | None = None
    """What the source says of it; None leaves it to the recording."""
    beats: Beats = ()
    """The heart rate where the source keeps it elsewhere; a recording's own comes first."""

    def content(self) -> bytes:
        """Raises UnreadableError."""
        try:
            if self.member is None:
                if self.path.stat().st_size > MAX_BYTES:
                    raise UnreadableError(f"is larger than {MAX_BYTES >> 20} MB")
                return self.path.read_bytes()
            state = self.path.stat()
            archive = _archive(self.path, state.st_mtime_ns, state.st_size)
            entry = archive.getinfo(self.member)
            if entry.file_size > min(MAX_BYTES, MAX_RATIO * max(entry.compress_size, 1024)):
                raise UnreadableError(f"unpacks to {entry.file_size} bytes, more than any recording")
            with archive.open(entry) as opened:
                return opened.read(entry.file_size)
        except (OSError, EOFError, ValueError, KeyError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
            raise UnreadableError(f"cannot be opened ({error})") from None


@lru_cache(maxsize=1)
def _archive(path: Path, changed_ns: int, size: int) -> zipfile.ZipFile:
    """The zip, opened once in a process while it is as it was: its list of members is long."""
    return zipfile.ZipFile(path)


@dataclass(frozen=True)
class Outcome:
    """What came of a file: its measures, or why it cannot be read, or neither where it is known already."""

    file: RecordingFile
    digest: str | None = None
    measures: Measures | None = None
    reason: str | None = None
    is_other_kind: bool = False
    """A sound file, but of no activity."""


def outcome(file: RecordingFile, known: Known) -> Outcome:
    """Reads and measures one file. Raises nothing for what is wrong with the file."""
    digest = None
    try:
        content = unpacked(file.content())
        digest = content_digest(content, file.beats)
        of = known.get(digest, frozenset())
        if file.activity_id in of or (file.activity_id is None and of):
            return Outcome(file, digest)
        recording = read_recording(content).with_heart_rate(file.beats)
        return Outcome(file, digest, measured(recording, family(file.sport or strava_sport(recording.sport))))
    except UnreadableError as error:
        return Outcome(file, digest, reason=str(error), is_other_kind=isinstance(error, NoActivityError))
    except MemoryError:
        return Outcome(file, digest, reason="takes more memory than there is")
    except Exception as error:
        return Outcome(file, digest, reason=f"cannot be measured ({type(error).__name__}: {error})")


def outcomes(
    files: Sequence[RecordingFile],
    known: Known,
    say: Callable[[str], None] = lambda line: None,
    workers: int | None = None,
) -> list[Outcome]:
    """What came of each file, in their order. workers: processes; None is one for each core, where it pays."""
    if workers is None:
        workers = (os.cpu_count() or 1) if len(files) >= FILES_FOR_A_POOL else 1
    found: list[Outcome] = []
    said = time.monotonic()
    with bar("recordings", len(files)) as shown:
        for each in _each(files, known, workers):
            found.append(each)
            shown.step()
            if not shown.is_shown and time.monotonic() - said >= SAY_EVERY_S:
                said = time.monotonic()
                say(f"  {len(found):,} of {len(files):,} recordings")
    return found


def _each(files: Sequence[RecordingFile], known: Known, workers: int) -> Iterator[Outcome]:
    done = 0
    if workers > 1:
        # not forked: the threads of Arrow and of an engine would not come along, and their locks would
        spawned = multiprocessing.get_context("spawn")
        try:
            with ProcessPoolExecutor(workers, spawned, _remember, (known,)) as pool:
                for each in pool.map(_with_remembered, files, chunksize=FILES_A_TASK):
                    yield each
                    done += 1
        except BrokenProcessPool:
            pass  # a process was killed; what it had not finished is read here
    yield from map(partial(outcome, known=known), files[done:])


_known: Known = {}
"""In a process of the pool: sent once, not with each file."""


def _remember(known: Known) -> None:
    global _known
    _known = known


def _with_remembered(file: RecordingFile) -> Outcome:
    return outcome(file, _known)
