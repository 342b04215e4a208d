"""A source that is new here is one reader: its columns, its units, its ids."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pytest

from athlete_assets import commands, tables
from athlete_assets.errors import InputError
from athlete_assets.settings import Settings
from athlete_assets.silver import imports
from athlete_assets.silver.readers.columns import ColumnReader
from athlete_assets.silver.readers.protocol import number_of_name
from athlete_assets.store.local import LocalStore

TEAM_NOTEBOOK = ColumnReader(
    kind="team_notebook",
    accepts="the team's notebook (CSV)",
    table=tables.STRAVA_ACTIVITIES,
    sources={
        "athlete_id": "runner",
        "id": "entry",
        "start_date": "start",
        "start_date_local": "start",
        "sport_type": "kind",
        "distance": "km",
        "moving_time": "minutes",
        "elapsed_time": "minutes",
    },
    units={"distance": 1000.0, "moving_time": 60.0, "elapsed_time": 60.0},
    ids="names",
    source="team_notebook",
)
NOTEBOOK = "Runner;Entry;Start;Kind;Km;Minutes\nada;2024-05-01/a;2024-05-01 12:00:00;Run;10,5;52,5\n"


def test_a_new_source_is_imported_by_one_reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(imports, "READERS", [*imports.READERS, TEAM_NOTEBOOK])
    settings = Settings(home=tmp_path / "home", time_zone="UTC")
    path = tmp_path / "notebook.csv"
    path.write_text(NOTEBOOK)
    commands.import_file(path, settings, None)
    commands.import_file(path, settings, None)
    (row,) = LocalStore(settings).rows(tables.STRAVA_ACTIVITIES).to_pylist()
    assert row["athlete_id"] == "ada"
    assert (row["distance"], row["moving_time"], row["elapsed_time"]) == (10_500.0, 3_150.0, 3_150.0)
    assert row["start_date_local"] == datetime(2024, 5, 1, 12)
    assert row["source"] == "team_notebook"
    assert row["id"] == number_of_name("2024-05-01/a")


def test_without_its_reader_the_file_is_of_no_known_kind(tmp_path: Path) -> None:
    path = tmp_path / "notebook.csv"
    path.write_text(NOTEBOOK)
    with pytest.raises(InputError, match=r"notebook\.csv, line 1: has the columns .*'Runner'"):
        imports.read_runs(path, Settings())
    (empty := tmp_path / "empty.csv").touch()
    with pytest.raises(InputError, match=r"a Strava account export .*, or a CSV or Parquet file with the columns"):
        imports.read_runs(empty, Settings())


def test_a_name_has_one_number_everywhere() -> None:
    """BLAKE2b of 8 bytes of 'ada', without its last bit: python -c "import hashlib; ..." on any machine."""
    import hashlib

    digest = hashlib.blake2b(b"ada", digest_size=8).hexdigest()
    assert number_of_name("ada") == int(digest, 16) // 2
    assert number_of_name(None) is None
    numbers = {number_of_name(f"session {n}") for n in range(10_000)}
    assert len(numbers) == 10_000
    pa.array(sorted(numbers), pa.int64())  # fits
