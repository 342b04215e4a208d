"""The commits of a Delta table as files: what is wrong with them, before a reader takes a broken one for an empty one.

A power cut leaves the newest files of a disk without content. delta-rs and Sail both read a commit of no bytes as one
that changed nothing, or, where it was the first after a checkpoint, as a table without rows: a run goes on from there
and is green. So each opening looks at the log first: it lists the folder, and reads the newest commit.
"""

from __future__ import annotations

import json
import os
import re
import time
from dataclasses import dataclass
from pathlib import Path

COMMIT = re.compile(r"(\d{20})\.json")
CHECKPOINT = re.compile(r"(\d{20})\.checkpoint(?:\..*)?\.parquet")
POINTER = "_last_checkpoint"
"""Names the newest checkpoint. Where that is missing, delta-rs opens the table no more, whatever commits there are."""
PARQUET_MARK = b"PAR1"
ASIDE = "_damaged"
"""Folder below a table for files that could not be read; readers and vacuum leave names with an underscore alone."""


@dataclass(frozen=True)
class LogState:
    """The log's files from the newest readable checkpoint on."""

    checkpoint: int | None
    commits: tuple[Path, ...]
    """Commits after it, oldest first."""
    broken: tuple[Path, ...]
    """Those of them that cannot be read, oldest first, and checkpoints that cannot be used."""

    @property
    def last_good(self) -> int | None:
        """The newest version before the first broken commit; None where there is none."""
        broken = [version_of(file) for file in self.broken if is_commit(file)]
        known = [self.checkpoint] if self.checkpoint is not None else []
        known += [version_of(file) for file in self.commits if not broken or version_of(file) < min(broken)]
        return max(known, default=None)


def log_state(table: Path, thorough: bool = False) -> LogState:
    """Looks for commits without content, and reads the newest one; all after the checkpoint where `thorough`."""
    commits: list[Path] = []
    checkpoints: list[Path] = []
    pointer: Path | None = None
    empty: set[Path] = set()
    try:
        entries = list(os.scandir(table / "_delta_log"))
    except FileNotFoundError:
        return LogState(None, (), ())
    for entry in entries:
        file = Path(entry.path)
        if COMMIT.fullmatch(entry.name):
            commits.append(file)
            if entry.stat().st_size == 0:
                empty.add(file)
        elif CHECKPOINT.fullmatch(entry.name):
            checkpoints.append(file)
        elif entry.name == POINTER:
            pointer = file
    readable = [version_of(file) for file in checkpoints if is_whole_parquet(file)]
    checkpoint = max(readable, default=None)
    unusable = [file for file in checkpoints if version_of(file) not in readable]
    if pointer is not None and _pointed_at(pointer) not in readable:
        unusable.append(pointer)
    after = sorted((file for file in commits if checkpoint is None or version_of(file) > checkpoint), key=version_of)
    read = after if thorough else after[-1:]
    broken = [file for file in after if file in empty or (file in read and not is_readable_commit(file))]
    return LogState(checkpoint, tuple(after), (*broken, *sorted(unusable)))


def is_commit(file: Path) -> bool:
    return COMMIT.fullmatch(file.name) is not None


def version_of(file: Path) -> int:
    return int(file.name[:20])


def _pointed_at(pointer: Path) -> int | None:
    try:
        return int(json.loads(pointer.read_text())["version"])
    except (ValueError, KeyError, TypeError):
        return None


def is_readable_commit(file: Path) -> bool:
    """Whether the commit is what a writer leaves: at least one action, each a JSON object on its line."""
    try:
        actions = [json.loads(line) for line in file.read_text().splitlines() if line.strip()]
    except ValueError:
        return False
    return bool(actions) and all(isinstance(action, dict) and action for action in actions)


def is_whole_parquet(file: Path, size: int | None = None) -> bool:
    """Whether the file is there, of the size that it should have where it is known, with Parquet's mark at its end."""
    try:
        with open(file, "rb") as handle:
            found = handle.seek(0, os.SEEK_END)
            if found < 12 or (size is not None and found != size):
                return False
            handle.seek(-len(PARQUET_MARK), os.SEEK_END)
            return handle.read() == PARQUET_MARK
    except FileNotFoundError:
        return False


def move_aside(table: Path, file: Path) -> Path:
    """Moves a file of the table into its folder of damaged files; where it lies now."""
    folder = table / ASIDE
    folder.mkdir(exist_ok=True)
    target = folder / f"{file.name}.{time.time_ns()}"
    file.rename(target)
    return target


def replace_by_nothing(table: Path, commit: Path) -> None:
    """Moves a broken commit aside and puts one in its place that changes nothing.

    Its number stays taken: whoever has read up to it goes on after it, and a later commit never has a number that
    somebody has seen before.
    """
    move_aside(table, commit)
    info = {"timestamp": time.time_ns() // 1_000_000, "operation": "REPAIR", "operationParameters": {}}
    partial = commit.with_name(f".{commit.name}.partial")
    partial.write_text(json.dumps({"commitInfo": info}) + "\n")
    partial.replace(commit)
