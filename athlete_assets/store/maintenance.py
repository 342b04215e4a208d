"""Keeping a local Delta table small: compaction, files of old versions, the log."""

from __future__ import annotations

from pathlib import Path

from deltalake import DeltaTable
from deltalake.exceptions import CommitFailedError, DeltaError

from athlete_assets.errors import StoreError
from athlete_assets.store.base import Maintained, Size

LOG_RETENTION = "delta.logRetentionDuration"
COMPACTED_BYTES = 128 * 1024**2
"""Files of a month are joined up to this size: what a reader opens at once."""


def maintain_delta(path: Path, keep_days: int) -> Maintained:
    """Joins small files, then removes files and log entries that no version of the last `keep_days` needs.

    What a killed write left behind is removed, too, once it is `keep_days` old. With 0 days a reader that has the
    table open, or a writer that has not committed, may lose its files: only for a table that nobody uses meanwhile.
    Raises StoreError; a commit of another writer that comes between only puts the compaction off to the next time.
    """
    before, note = Size.of(path), ""
    try:
        table = DeltaTable(str(path))
        try:
            table.optimize.compact(target_size=COMPACTED_BYTES)
        except CommitFailedError:
            note = "not compacted: another writer committed meanwhile"
        table = DeltaTable(str(path))
        if _vacuum(table, keep_days, dry_run=True):  # each vacuum is two commits, whatever it finds
            _vacuum(table, keep_days, dry_run=False)
        retention = f"interval {keep_days} days"
        if table.metadata().configuration.get(LOG_RETENTION) != retention:
            table.alter.set_table_properties({LOG_RETENTION: retention})
        # the log is read from the newest checkpoint on: entries before it may go once they are old enough
        table = DeltaTable(str(path))
        table.create_checkpoint()
        table.cleanup_metadata()
    except (DeltaError, OSError) as error:
        raise StoreError(f"{path.parent.name}.{path.name}: maintenance failed: {error}") from error
    return Maintained(before, Size.of(path), note)


def _vacuum(table: DeltaTable, keep_days: int, dry_run: bool) -> list[str]:
    hours = 24 * keep_days
    return table.vacuum(retention_hours=hours, dry_run=dry_run, enforce_retention_duration=False, full=True)
