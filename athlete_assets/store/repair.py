"""Heals a Delta folder whose files were damaged, and tells which windows have to be computed anew."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

import pyarrow as pa

from athlete_assets.errors import AthleteAssetsError
from athlete_assets.store.delta_folder import DeltaFolder
from athlete_assets.store.delta_log import (
    ASIDE,
    is_commit,
    is_whole_parquet,
    log_state,
    move_aside,
    replace_by_nothing,
)
from athlete_assets.words import counted, verb


@dataclass(frozen=True)
class Damage:
    """What is wrong with one table."""

    folder: DeltaFolder
    log_files: tuple[Path, ...]
    """Commits and checkpoints that cannot be read, oldest first."""
    last_good: int | None
    """The newest version before them; None where no version can be read: the table is lost."""
    data_files: tuple[str, ...] = ()
    """Files of the newest version, relative to the table, that are missing or not whole."""
    months: tuple[str | None, ...] = ()
    """The partitions that those files were in; None for a table without months."""

    def __bool__(self) -> bool:
        return bool(self.log_files or self.data_files)

    def __str__(self) -> str:
        if self.last_good is None:
            return "no version of it can be read"
        parts = []
        if self.log_files:
            names = ", ".join(file.name for file in self.log_files)
            parts.append(f"{names} cannot be read; the last good version is {self.last_good}")
        if self.data_files:
            files = len(self.data_files)
            shown = ", ".join(self.data_files[:3]) + (", ..." if len(self.data_files) > 3 else "")
            parts.append(f"{counted(files, 'data file')} {verb(files, 'is', 'are')} missing or broken ({shown})")
        return "; ".join(parts)


def damage_of(folder: DeltaFolder) -> Damage:
    """What is wrong with the table; nothing where it does not exist. Reads the log, and looks at each data file."""
    state = log_state(folder.path, thorough=True)
    if state.broken:
        return Damage(folder, state.broken, state.last_good)
    if not folder.exists():
        return Damage(folder, (), None)
    lost = list(_lost_files(folder))
    months = tuple(sorted({month for _, month in lost}, key=str))
    return Damage(folder, (), folder.open().version(), tuple(file for file, _ in lost), months)


def mend(folder: DeltaFolder) -> Damage:
    """Makes the table readable, and returns what was wrong with it: what was lost has to be computed anew.

    A broken commit makes room for one that changes nothing; the rows that it wrote are lost, and nothing tells which
    they were. Files that are missing or broken are dropped from the log. What is broken is moved to a folder of the
    table, never deleted. A table of which no version can be read is moved away as a whole.
    """
    found = damage_of(folder)
    if found.log_files and found.last_good is None:
        folder.path.rename(_free_name(folder.path))
        return found
    for file in found.log_files:
        if is_commit(file):
            replace_by_nothing(folder.path, file)
        else:
            move_aside(folder.path, file)
    if found.log_files:
        try:
            folder.open()
        except AthleteAssetsError:  # its checkpoint is gone, and the commits before that are, too
            folder.path.rename(_free_name(folder.path))
            return Damage(folder, found.log_files, None)
        rest = damage_of(folder)
        found = Damage(folder, found.log_files, found.last_good, rest.data_files, rest.months)
    if found.data_files:
        for name in found.data_files:
            if (folder.path / name).exists():
                move_aside(folder.path, folder.path / name)
        folder.forget_missing_files()
    return found


def _lost_files(folder: DeltaFolder) -> Iterator[tuple[str, str | None]]:
    """The files of the newest version that are missing or not whole, with the month that they are of."""
    for file in pa.table(folder.open().get_add_actions(flatten=True)).to_pylist():
        name = unquote(file["path"])
        if not is_whole_parquet(folder.path / name, file["size_bytes"]):
            yield name, file.get("partition.month")


def _free_name(path: Path) -> Path:
    number = 1
    while (target := path.with_name(f"{path.name}{ASIDE}_{number}")).exists():
        number += 1
    return target
