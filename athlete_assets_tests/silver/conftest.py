"""The readers of silver's changes: both have one meaning, so that both pass the same tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from athlete_assets.deployments.databricks.config import Credentials
from athlete_assets.silver.changes import Silver
from athlete_assets.silver.local_changes import LocalSilver
from athlete_assets.silver.warehouse_changes import WarehouseSilver
from athlete_assets.store.local import LocalStore
from athlete_assets_tests.fake_workspace import FakeWorkspace
from athlete_assets_tests.fake_workspace.warehouse import Warehouses

Reader = Callable[[LocalStore], Silver]
WAREHOUSE = "w-1"


@pytest.fixture
def warehouses(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Warehouses]:
    """A workspace whose catalog holds the tables of the scratch home, with one warehouse; `token` signs in."""
    with FakeWorkspace(tmp_path / "workspace") as workspace:
        workspace.add_token("token", "sensor")
        warehouses = Warehouses(workspace, request.getfixturevalue("apache_spark"), tmp_path / "home")
        warehouses.add(WAREHOUSE)
        yield warehouses


@pytest.fixture(params=["local", pytest.param("warehouse", marks=pytest.mark.java)])
def reader(request: pytest.FixtureRequest) -> Reader:
    """Each reader in turn: delta-rs, and statements on a warehouse over the same tables."""
    if request.param == "local":
        return LocalSilver
    warehouses: Warehouses = request.getfixturevalue("warehouses")
    credentials = Credentials(warehouses.workspace.url, {"databricks_token": "token"}, "token")
    client = credentials.client()

    def through_the_warehouse(store: LocalStore) -> WarehouseSilver:
        how = {"databricks_warehouse_id": WAREHOUSE, "databricks_warehouse_look_every_s": 0}
        return WarehouseSilver(store.settings.model_copy(update=how), lambda: client, seconds=900)

    return through_the_warehouse
