"""Keeping a local Delta table small: compaction, files of old versions, the log."""

from __future__ import annotations

import time
from contextlib import suppress

import pyarrow as pa
from deltalake import DeltaTable
from deltalake.exceptions import CommitFailedError, DeltaError

from athlete_assets.errors import StoreError
from athlete_assets.store.base import Maintained, Size
from athlete_assets.store.delta_folder import DeltaFolder, HistoryGoneError

LOG_RETENTION = "delta.logRetentionDuration"


def maintain_delta(folder: DeltaFolder, keep_days: int, day: str | None = None) -> Maintained:
    """Joins small files, and puts those of months in the order of athletes where the rows' day stands in column `day`;
    then removes files and log entries that no version of the last `keep_days` needs.

    What a killed write left behind is removed, too, once it is `keep_days` old. With 0 days a reader that has the
    table open, or a writer that has not committed, may lose its files: only for a table that nobody uses meanwhile.
    Raises DamageError before anything else where the log is damaged (files of commits that cannot be read would look
    unused), StoreError where maintenance fails. A commit of another writer that comes between only puts the compaction
    off to the next time.
    """
    folder.refuse_damage(thorough=True)
    before, note = Size.of(folder.path), ""
    try:
        try:
            folder.join_small_files(day)
        except CommitFailedError:
            note = "not compacted: another writer committed meanwhile"
        table = folder.open()
        if _vacuum(table, keep_days, dry_run=True):  # each vacuum is two commits, whatever it finds
            _vacuum(table, keep_days, dry_run=False)
        _remove_change_feed(folder, keep_days)
        retention = f"interval {keep_days} days"
        if table.metadata().configuration.get(LOG_RETENTION) != retention:
            table.alter.set_table_properties({LOG_RETENTION: retention})
        # the log is read from the newest checkpoint on: entries before it may go once they are old enough
        _keep_readable(folder, keep_days)
        table = folder.open()
        table.create_checkpoint()
        table.cleanup_metadata()
    except (DeltaError, OSError, pa.ArrowException) as error:
        raise StoreError(f"{folder.name}: maintenance failed: {error}") from error
    return Maintained(before, Size.of(folder.path), note)


def _vacuum(table: DeltaTable, keep_days: int, dry_run: bool) -> list[str]:
    hours = 24 * keep_days
    return table.vacuum(retention_hours=hours, dry_run=dry_run, enforce_retention_duration=False, full=True)


def _keep_readable(folder: DeltaFolder, keep_days: int) -> None:
    """Has a young checkpoint of the version that was the newest one `keep_days` ago.

    Entries go by their own age: of a table that nobody wrote for long all of those before its last commit would, and
    with them the version that held until yesterday.
    """
    since = time.time() - 24 * 3600 * keep_days
    log = folder.path / "_delta_log"
    commits = {int(file.stem): file for file in log.glob("*.json") if file.stem.isdigit()}
    old = [version for version, file in commits.items() if file.stat().st_mtime <= since]
    if old and max(old) < max(commits):
        with suppress(HistoryGoneError):
            folder.open(max(old)).create_checkpoint()
            for file in log.glob(f"{max(old):020}.checkpoint*"):  # one that was there keeps its age
                file.touch()


def _remove_change_feed(folder: DeltaFolder, keep_days: int) -> None:
    """The change feed of old versions: delta-rs's vacuum leaves folders with an underscore alone. Who asks for it later
    learns that it is gone, and compares versions instead."""
    latest = time.time() - 24 * 3600 * keep_days
    for file in (folder.path / "_change_data").rglob("*.parquet"):
        if file.stat().st_mtime < latest:
            file.unlink(missing_ok=True)
