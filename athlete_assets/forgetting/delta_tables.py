"""Takes an athlete out of Delta tables in folders: rows, earlier versions, change feed, and the log of them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from athlete_assets.forgetting.occurrences import Wanted
from athlete_assets.forgetting.proof import offenders
from athlete_assets.store.delta_folder import DeltaFolder, committed
from athlete_assets.store.local import ERASED_PROPERTY, erased_spans
from athlete_assets.store.sql import delta_literal

LOG = "_delta_log"
VERSIONED = re.compile(r"(\d{20})\.")


def tables_below(folder: Path) -> Iterator[Path]:
    """The folders of the Delta tables, in order."""
    return (log.parent for log in sorted(folder.rglob(LOG)) if log.is_dir())


def erase(path: Path, wanted: Wanted) -> int:
    """Deletes the athlete's rows, then everything that leads back to them; how many rows they were.

    Afterwards the table has its newest version alone, in a checkpoint: the log of the earlier ones holds the smallest
    and largest id of each file, and the statement that deleted the rows. A property says which versions changed no
    row of anybody else, so that whoever follows the table does not take them for news. A table that holds the id
    nowhere keeps its history. May be killed anywhere, and be called again. Raises StoreError.
    """
    folder = DeltaFolder(path, f"{path.parent.name}.{path.name}")
    spans = erased_spans(folder.open())
    begun = bool(spans) and spans[-1].endswith("-")
    if not begun and next(offenders(path, wanted), None) is None:
        return 0
    if not begun:
        spans.append(f"{folder.open().version() + 1}-")
        _state(folder, spans)
    rows = 0
    if "athlete_id" in folder.columns().types:
        rows = folder.delete(f"athlete_id = {delta_literal(wanted.id)}")
    _forget_files(folder)
    _state(folder, [*spans[:-1], f"{spans[-1]}{folder.open().version() + 1}"])
    _forget_log(folder)
    return rows


def _state(folder: DeltaFolder, spans: list[str]) -> None:
    properties = {ERASED_PROPERTY: ",".join(spans)}
    committed(lambda: folder.open().alter.set_table_properties(properties, raise_if_not_exists=False), folder.name)


def _forget_files(folder: DeltaFolder) -> None:
    """Removes every file that the newest version does not consist of."""
    committed(
        lambda: folder.open().vacuum(retention_hours=0, enforce_retention_duration=False, dry_run=False, full=True),
        folder.name,
    )
    for aside in ("_change_data", "_damaged"):  # vacuum leaves folders with an underscore alone
        for file in (folder.path / aside).rglob("*.*"):
            file.unlink()


def _forget_log(folder: DeltaFolder) -> None:
    """Leaves of the log the newest version, in a checkpoint."""
    table = folder.open()
    committed(table.create_checkpoint, folder.name)
    for file in sorted((folder.path / LOG).iterdir()):
        version = VERSIONED.match(file.name)
        if version and int(version[1]) < table.version():
            file.unlink()
