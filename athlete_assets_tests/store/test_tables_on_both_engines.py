"""Every table that delta-rs creates by its contract opens on both engines, empty and with a row."""

from __future__ import annotations

import pytest
from pyspark.sql import SparkSession

from athlete_assets import tables
from athlete_assets.settings import Settings
from athlete_assets.store.local import LocalStore
from athlete_assets_tests.rows import rows


@pytest.mark.parametrize("table", tables.ALL, ids=lambda table: ".".join(table.path))
def test_a_table_opens_on_each_engine(settings: Settings, spark: SparkSession, table: tables.Table) -> None:
    store = LocalStore(settings, lambda: spark)
    store.create(table)
    assert store.read(table).count() == 0
    store.replace_arrow(table, rows(table, {}))
    assert store.read(table).count() == 1
