"""Features built in pieces of athletes are those built at once."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import SparkSession

from athlete_assets import tables
from athlete_assets.days import Days
from athlete_assets.models.backtest import build_features
from athlete_assets.settings import Settings
from athlete_assets.silver import landing
from athlete_assets.silver.simulator import simulate
from athlete_assets.store.local import LocalStore

DAYS = Days(date(2024, 1, 1), date(2024, 2, 29))
BUILT = (tables.ACTIVITY, tables.DAILY, tables.ROLLING, tables.PERFORMANCE)


def contents(store: LocalStore) -> dict[tables.Table, pa.Table]:
    return {table: store.rows(table).sort_by([(key, "ascending") for key in table.keys]) for table in BUILT}


def test_a_build_in_pieces_is_the_build_at_once_and_drops_who_is_gone(sail: SparkSession, tmp_path: Path) -> None:
    stores = {}
    for name, rows in (("at_once", None), ("in_pieces", 1)):
        made = Settings(home=tmp_path / name, start_date=DAYS.first, as_of=DAYS.last, chunk_athlete_days=rows)
        stores[name] = LocalStore(made, lambda: sail)
        for batch in simulate(3, len(DAYS) / 365.25, seed=3, last_day=DAYS.last):
            landing.land(stores[name], batch)
    said: list[str] = []
    build_features(stores["at_once"], DAYS)
    build_features(stores["in_pieces"], DAYS, said.append)
    expected = contents(stores["at_once"])
    assert len(said) == 3
    assert all(table.num_rows for table in expected.values())
    assert contents(stores["in_pieces"]) == expected

    for store in stores.values():
        store.delta(tables.STRAVA_ACTIVITIES).delete("athlete_id = 'sim_000002'")
    build_features(stores["in_pieces"], DAYS)
    others = pc.field("athlete_id") != "sim_000002"
    assert contents(stores["in_pieces"]) == {table: rows.filter(others) for table, rows in expected.items()}
