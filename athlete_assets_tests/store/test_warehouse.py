"""Statements on a SQL warehouse: pages, states, deadlines and refusals, over HTTP with the real client."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from athlete_assets.deployments.databricks.config import Credentials
from athlete_assets.errors import AccessError, SettingsError, StoreError
from athlete_assets.store.warehouse import RefusedStatement, Warehouse, WarehouseStarting
from athlete_assets_tests.fake_workspace import FakeWorkspace
from athlete_assets_tests.fake_workspace.warehouse import Fate, Warehouses

STATEMENTS = "/api/2.0/sql/statements"


@pytest.fixture
def warehouses(tmp_path: Path, sail: SparkSession) -> Iterator[Warehouses]:
    with FakeWorkspace(tmp_path / "workspace") as workspace:
        workspace.add_token("token", "sensor")
        warehouses = Warehouses(workspace, sail, tmp_path / "tables")
        warehouses.add("w-1")
        yield warehouses


def opened(warehouses: Warehouses, seconds: float = 30, id: str = "w-1", patience_s: int = 1) -> Warehouse:
    credentials = Credentials(warehouses.workspace.url, {"databricks_token": "token"}, "token")
    client = credentials.client(patience_s=patience_s)
    return Warehouse(id, lambda: client, seconds=seconds)


def test_values_travel_as_named_parameters_and_come_back_as_text(warehouses: Warehouses) -> None:
    statement = "SELECT :name AS name, :number + 1 AS number, CAST(NULL AS STRING) AS nothing"
    given = {"name": "O'Neil'; DROP TABLE x --", "number": 41}
    (row,) = opened(warehouses).records(statement, **given)
    assert row == {"name": given["name"], "number": "42", "nothing": None}
    (request,) = warehouses.workspace.requests(STATEMENTS, "POST")
    assert request.json["statement"] == statement
    assert (request.json["format"], request.json["disposition"]) == ("JSON_ARRAY", "INLINE")


def test_all_parts_of_a_long_result_are_fetched_in_order(warehouses: Warehouses) -> None:
    rows = opened(warehouses).rows("SELECT id FROM RANGE(2500) ORDER BY id")
    assert rows == [[str(number)] for number in range(2500)]
    assert len(warehouses.workspace.requests("/result/chunks/")) == 2


def test_a_result_that_lacks_a_part_is_an_error(warehouses: Warehouses) -> None:
    warehouses.chunk_rows = 10
    warehouses.workspace.faults.status("/result/chunks/1", 404, error_code="NOT_FOUND")
    with pytest.raises(StoreError, match="part 1 of a result"):
        opened(warehouses).rows("SELECT id FROM RANGE(20)")


def test_a_slow_statement_is_polled_to_its_end(warehouses: Warehouses) -> None:
    warehouses.fates.append(Fate(running_seconds=0.5))
    assert opened(warehouses, seconds=4).rows("SELECT 1") == [["1"]]
    assert warehouses.workspace.requests(STATEMENTS, "POST")[0].json["wait_timeout"] == "0s"
    assert warehouses.workspace.requests(STATEMENTS + "/", "GET")


def test_at_the_deadline_a_statement_is_cancelled_and_no_other_is_asked(warehouses: Warehouses) -> None:
    warehouses.fates.append(Fate(running_seconds=60))
    warehouse = opened(warehouses, seconds=0.5)
    with pytest.raises(StoreError, match=r"within 0 s; the statement was still RUNNING and is cancelled: SELECT 1"):
        warehouse.rows("SELECT 1")
    (statement,) = warehouses.statements.values()
    assert statement.cancelled
    with pytest.raises(StoreError, match="nothing of it was asked"):
        warehouse.rows("SELECT 1")
    assert len(warehouses.statements) == 1
    warehouse.start_clock()
    assert warehouse.seconds_left > 0


def test_a_warehouse_that_is_starting_is_no_error(warehouses: Warehouses) -> None:
    starting = warehouses.add("w-2", start_seconds=60)
    with pytest.raises(WarehouseStarting, match="w-2 is starting"):
        opened(warehouses, seconds=0.5, id="w-2").rows("SELECT 1")
    with pytest.raises(WarehouseStarting):
        opened(warehouses, id="w-2").refuse_while_starting()
    assert starting.starts == 1


def test_a_warehouse_that_cannot_start_says_why(warehouses: Warehouses) -> None:
    warehouses.add("w-2", start_seconds=0.1, cannot_start="no capacity in this zone")
    with pytest.raises(StoreError, match="no capacity in this zone") as failed:
        opened(warehouses, id="w-2").rows("SELECT 1")
    assert not isinstance(failed.value, RefusedStatement)


def test_what_the_engine_refuses_is_told_from_what_the_service_could_not_do(warehouses: Warehouses) -> None:
    warehouses.fates.append(Fate(error=("BAD_REQUEST", "[DELTA_VERSION_NOT_FOUND] Gone. SQLSTATE: 22003")))
    with pytest.raises(RefusedStatement, match=r"DELTA_VERSION_NOT_FOUND.*SQL state 22003") as refused:
        opened(warehouses).rows("SELECT 1")
    assert refused.value.sql_state == "22003"
    warehouses.fates.append(Fate(error=("TEMPORARILY_UNAVAILABLE", "busy")))
    with pytest.raises(StoreError, match=r"busy \(SQL state not given, TEMPORARILY_UNAVAILABLE\)") as failed:
        opened(warehouses).rows("SELECT 1")
    assert not isinstance(failed.value, RefusedStatement)
    warehouses.fates.append(Fate(error=("BAD_REQUEST", "[INSUFFICIENT_PERMISSIONS] No SELECT. SQLSTATE: 42501")))
    with pytest.raises(AccessError, match="No SELECT"):
        opened(warehouses).rows("SELECT 1")


@pytest.mark.parametrize(("ends_as", "why"), [("CANCELED", "someone cancelled it"), ("CLOSED", "no longer kept")])
def test_a_statement_without_a_result_is_an_error(warehouses: Warehouses, ends_as: str, why: str) -> None:
    warehouses.fates.append(Fate(ends_as=ends_as))
    with pytest.raises(StoreError, match=f"{ends_as}.*{why}"):
        opened(warehouses).rows("SELECT 1")


def test_a_busy_workspace_is_asked_again_and_one_that_stays_so_is_an_error(warehouses: Warehouses) -> None:
    faults = warehouses.workspace.faults
    faults.status(STATEMENTS, 429, method="POST", retry_after=0)
    # the SDK adds up to a second of chance to each wait
    assert opened(warehouses, patience_s=30).rows("SELECT 1") == [["1"]]
    faults.status(STATEMENTS, 503, method="POST", times=50, error_code="TEMPORARILY_UNAVAILABLE")
    with pytest.raises(StoreError, match="a statement on SQL warehouse w-1"):
        opened(warehouses).rows("SELECT 1")


def test_a_warehouse_that_is_not_there_or_not_for_us_is_told_with_what_to_do(warehouses: Warehouses) -> None:
    with pytest.raises(SettingsError, match="ATHLETE_DATABRICKS_WAREHOUSE_ID=gone: the workspace has no such"):
        opened(warehouses, id="gone").state()
    warehouses.add("w-2", users={"someone else"})
    for ask in (lambda: opened(warehouses, id="w-2").state(), lambda: opened(warehouses, id="w-2").rows("SELECT 1")):
        with pytest.raises(AccessError, match="needed is CAN USE on SQL warehouse w-2"):
            ask()
