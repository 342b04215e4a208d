"""CSV and Parquet files with the columns of a silver table: activities, splits, or what athletes state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from athlete_assets import tables
from athlete_assets.settings import Settings
from athlete_assets.silver.readers.columns import ColumnReader
from athlete_assets.silver.readers.protocol import Found, Match
from athlete_assets.silver.readers.source_file import SourceFile

ACCEPTS = "a CSV or Parquet file with the columns of silver.strava_activities"


def _reader(table: tables.Table) -> ColumnReader:
    return ColumnReader("silver", ACCEPTS, table, {name: name for name in table.column_names})


class _Statements(ColumnReader):
    """Only the key of strava_athlete is required, so a statement beside it, and no activity's id, has to show it."""

    def recognise(self, file: SourceFile) -> Match:
        present = {name.lower() for name in file.header(self.known)}
        if "athlete_id" in present and self.known(sorted(present)) > 1 and not present & {"id", "activity_id"}:
            return Match()
        return Match(likeness=0.0, why_not=f"{file.where}: states nothing about an athlete")


class SilverShaped:
    """One reader for the silver tables: which one a file holds shows in its columns."""

    kind = "silver"
    accepts = ACCEPTS
    units: Mapping[str, float] = {}
    ids: Literal["numbers", "names"] = "numbers"
    by_table: Sequence[ColumnReader] = (
        _reader(tables.STRAVA_ACTIVITIES),
        _reader(tables.STRAVA_SUB_ACTIVITY),
        _Statements(
            "silver",
            ACCEPTS,
            tables.STRAVA_ATHLETE,
            {name: name for name in tables.STRAVA_ATHLETE.column_names},
            source=None,
        ),
    )

    @property
    def expects(self) -> str:
        return self.by_table[0].expects

    def recognise(self, file: SourceFile) -> Match:
        matches = [reader.recognise(file) for reader in self.by_table]
        return next((match for match in matches if match.why_not is None), max(matches, key=lambda m: m.likeness))

    def read(self, file: SourceFile, settings: Settings, athlete_id: str | None) -> Found:
        reader = next(reader for reader in self.by_table if reader.recognise(file).why_not is None)
        return reader.read(file, settings, athlete_id)
