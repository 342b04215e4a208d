"""Recordings by themselves: one FIT, GPX or TCX file, or a folder or zip of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from athlete_assets.settings import Settings
from athlete_assets.silver.readers.protocol import Found, Match
from athlete_assets.silver.readers.source_file import SourceFile


class RecordingFiles:
    """The activities are made of the recordings; each one's id is made of its content."""

    kind = "recordings"
    accepts = "a FIT, GPX or TCX recording, or a folder or zip of them"
    expects = "a FIT, GPX or TCX recording"
    units: Mapping[str, float] = {}
    ids: Literal["numbers", "names"] = "numbers"

    def recognise(self, file: SourceFile) -> Match:
        if file.form == "recording" or (file.form in ("zip", "folder") and file.recordings):
            return Match()
        likeness = 0.45 if file.form == "folder" else 0.0
        return Match(f"{file.name}: holds no recording; give {self.accepts}", likeness)

    def read(self, file: SourceFile, settings: Settings, athlete_id: str | None) -> Found:
        return Found([], recordings=file.recordings, athlete_id=athlete_id)
