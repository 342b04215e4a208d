"""A day reads what its windows hold: files from before them may be broken, and it says what it would have said."""

from __future__ import annotations

import os
from datetime import date, timedelta
from pathlib import Path

import pytest

from athlete_assets import tables
from athlete_assets.features.performance import LOOKBACK_DAYS
from athlete_assets.settings import Settings
from athlete_assets.store.local import LocalStore
from athlete_assets_tests.assets.world import close, filled

LAST = date(2024, 6, 30)
FIRST = date(2022, 1, 3)
BY_DAY = tuple(table for table in (*tables.DAILY_TABLES, *tables.STATE_TABLES) if table != tables.REJECTS)
SUMMARISED = (tables.METRICS_SUMMARY, tables.PROJECTION, tables.LOAD_ROOM)
READ_DAYS = {tables.ACTIVITY: LOOKBACK_DAYS, tables.DAILY: 365, tables.ROLLING: 365, tables.PERFORMANCE: 1}
"""How far back a day and its summary may look. Months they read as far as there are any."""


@pytest.mark.slow
def test_a_day_does_not_read_what_lies_before_its_windows(tmp_path: Path) -> None:
    # the recomputation of a few athletes' fitness is over all their days
    settings = Settings(home=tmp_path / "home", start_date=FIRST, as_of=LAST, fitness_check_athletes=0)
    with filled(settings, years=2.49) as world:
        store = world.store
        world.run(*BY_DAY, first=FIRST, last=LAST)
        world.run(*SUMMARISED)
        wanted = {table: newest(store, table) for table in (*BY_DAY, *SUMMARISED)}
        assert wanted[tables.ACTIVITY]
        broken = {table: broken_before(store, table, days) for table, days in READ_DAYS.items()}
        assert min(broken.values()) > 10, broken
        world.run(*BY_DAY, first=LAST)
        world.run(*SUMMARISED)
        for table, rows in wanted.items():
            assert close(newest(store, table), rows), table.name


def broken_before(store: LocalStore, table: tables.Table, days: int) -> int:
    """Fills with noise the files of the months that end before so many days before LAST; how many they are."""
    oldest = f"{LAST - timedelta(days=days):%Y-%m}"
    files = [file for file in store.path(table).glob("month=*/*.parquet") if file.parent.name[-7:] < oldest]
    for file in files:
        file.write_bytes(os.urandom(file.stat().st_size))
    return len(files)


def newest(store: LocalStore, table: tables.Table) -> list[dict[str, object]]:
    """The rows of the newest month; of a table without months all."""
    months = [("month", "=", f"{LAST:%Y-%m}")] if "month" in table.column_names else None
    found = store.delta(table).to_pyarrow_table(filters=months)
    return found.sort_by([(key, "ascending") for key in table.keys]).to_pylist()  # type: ignore[no-any-return]
