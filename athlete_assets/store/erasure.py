"""Takes rows out of a Delta folder for good: with earlier versions, change feed, and the log that tells of them."""

from __future__ import annotations

import re
from collections.abc import Callable

from athlete_assets.store.delta_folder import DeltaFolder, committed

ERASED_PROPERTY = "athlete_assets.erased"
"""Delta table property: the versions, as first-last by commas, that took out a forgotten athlete and nothing else;
first- while that is being done."""
LOG = "_delta_log"
ASIDE = ("_change_data", "_damaged")
"""Folders of a table that vacuum leaves alone."""
_VERSIONED = re.compile(r"(\d{20})\.")


def erased_versions(folder: DeltaFolder) -> list[tuple[int, int]]:
    """The versions, first and last, that only took out forgotten athletes."""
    now = folder.open().version()
    spans = (span.split("-") for span in _spans(folder))
    return [(int(first), int(last or now)) for first, last in spans]


def erase(folder: DeltaFolder, predicate: str | None, is_traced: Callable[[], bool]) -> int:
    """Deletes the rows (none without a predicate), then everything that leads back to them; how many they were.

    is_traced: whether any file of the table tells of the rows. Where none does, history stays.

    Afterwards the table has its newest version alone, in a checkpoint: the log of the earlier ones holds the smallest
    and largest value of each file, and the statement that deleted the rows. A property says which versions changed no
    other row, so that whoever follows the table does not take them for news. May be killed anywhere, and be called
    again. Raises StoreError.
    """
    spans = _spans(folder)
    begun = bool(spans) and spans[-1].endswith("-")
    if not begun:
        if not is_traced():
            return 0
        spans.append(f"{folder.open().version() + 1}-")
        _state(folder, spans)
    rows = 0
    if predicate is not None:
        rows = int(committed(lambda: folder.open().delete(predicate), folder.name)["num_deleted_rows"])
    _forget_files(folder)
    _state(folder, [*spans[:-1], f"{spans[-1]}{folder.open().version() + 1}"])
    _forget_log(folder)
    return rows


def _spans(folder: DeltaFolder) -> list[str]:
    stated = folder.columns().properties.get(ERASED_PROPERTY)
    return stated.split(",") if stated else []


def _state(folder: DeltaFolder, spans: list[str]) -> None:
    properties = {ERASED_PROPERTY: ",".join(spans)}
    committed(
        lambda: folder.open().alter.set_table_properties(properties, raise_if_not_exists=False),
        folder.name,
    )


def _forget_files(folder: DeltaFolder) -> None:
    """Removes every file that the newest version does not consist of."""
    committed(
        lambda: folder.open().vacuum(retention_hours=0, enforce_retention_duration=False, dry_run=False, full=True),
        folder.name,
    )
    for aside in ASIDE:
        for file in (folder.path / aside).rglob("*.*"):
            file.unlink()


def _forget_log(folder: DeltaFolder) -> None:
    """Leaves of the log the newest version, in a checkpoint."""
    table = folder.open()
    committed(table.create_checkpoint, folder.name)
    for file in sorted((folder.path / LOG).iterdir()):
        version = _VERSIONED.match(file.name)
        if version and int(version[1]) < table.version():
            file.unlink()
