"""SQL warehouses of a workspace: statements that really run, on Apache Spark with Delta over the workspace's tables.

`Warehouses(workspace, spark, tables)` mounts the endpoints of the SQL Statement Execution API, of warehouses and of
the catalog's tables. Tables are the Delta folders `<tables>/<catalog>/<schema>/<table>`; a statement names them with
three levels. A warehouse stops after it has been idle, by a clock that a test may turn, and counts its starts.
"""

from __future__ import annotations

import json
import re
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime, timezone
from pathlib import Path
from typing import Any

from deltalake import DeltaTable
from pyspark.errors import PySparkException
from pyspark.sql import SparkSession

from athlete_assets_tests.fake_workspace.server import ApiError, FakeWorkspace, Request, not_found

NAME = re.compile(r"`(\w+)`\.`(\w+)`\.`(\w+)`")
SMALL_DATA = {
    "spark.sql.codegen.wholeStage": "false",
    "spark.sql.codegen.factoryMode": "NO_CODEGEN",
    "spark.sql.shuffle.partitions": "1",
}
"""Compiling a statement costs more than running it over a few rows."""
SPARK_TYPES = {"long": "bigint", "integer": "int"}


@dataclass
class Fate:
    """What becomes of a statement: by default it runs and ends as the engine says."""

    running_seconds: float = 0.0
    """It stays RUNNING so long before the engine is asked."""
    error: tuple[str, str] | None = None
    """It fails with this error code and message, and the engine is not asked."""
    ends_as: str | None = None
    """CANCELED or CLOSED, instead of SUCCEEDED."""


@dataclass
class Statement:
    id: str
    body: dict[str, Any]
    principal: str
    fate: Fate
    state: str = "PENDING"
    error: dict[str, str] | None = None
    columns: list[tuple[str, str]] = field(default_factory=list)
    rows: list[list[str | None]] = field(default_factory=list)
    cancelled: bool = False

    @property
    def text(self) -> str:
        return str(self.body["statement"])

    def as_dict(self, chunk_rows: int) -> dict[str, Any]:
        status: dict[str, Any] = {"state": self.state}
        if self.error:
            status["error"] = self.error
        answer: dict[str, Any] = {"statement_id": self.id, "status": status}
        if self.state == "SUCCEEDED":
            chunks = max(1, -(-len(self.rows) // chunk_rows))
            answer["manifest"] = {
                "format": "JSON_ARRAY",
                "schema": {
                    "column_count": len(self.columns),
                    "columns": [
                        {"name": name, "position": at, "type_text": type.upper()}
                        for at, (name, type) in enumerate(self.columns)
                    ],
                },
                "total_chunk_count": chunks,
                "total_row_count": len(self.rows),
                "truncated": False,
            }
            answer["result"] = self.chunk(0, chunk_rows)
        return answer

    def chunk(self, index: int, chunk_rows: int) -> dict[str, Any]:
        first = index * chunk_rows
        part = self.rows[first : first + chunk_rows]
        chunk: dict[str, Any] = {"chunk_index": index, "row_offset": first, "row_count": len(part)}
        if part:
            chunk["data_array"] = part
        if first + chunk_rows < len(self.rows):
            chunk["next_chunk_index"] = index + 1
            chunk["next_chunk_internal_link"] = f"/api/2.0/sql/statements/{self.id}/result/chunks/{index + 1}"
        return chunk


@dataclass
class Warehouse:
    """One warehouse; its times are those of the workspace's clock, in seconds."""

    id: str
    auto_stop_mins: int = 10
    start_seconds: float = 0.0
    cannot_start: str = ""
    """Why it cannot start, where it cannot."""
    users: set[str] | None = None
    """Who may use it; None: anyone."""
    starts: int = 0
    _started: float | None = None
    _idle_since: float = 0.0
    _failure: str = ""

    def state(self, now: float) -> str:
        if self._started is None:
            return "STOPPED"
        if now < self._started + self.start_seconds:
            return "STARTING"
        if self.cannot_start:
            self._started, self._failure = None, self.cannot_start
            return "STOPPED"
        if self.auto_stop_mins and now >= max(self._idle_since, self._started) + 60 * self.auto_stop_mins:
            self._started = None
            return "STOPPED"
        return "RUNNING"

    def asked(self, now: float) -> None:
        """A statement arrived: it starts the warehouse where that has stopped, and puts off its stop."""
        if self.state(now) == "STOPPED":
            self._started, self._failure = now, ""
            self.starts += 1
        self._idle_since = now

    def as_dict(self, now: float) -> dict[str, Any]:
        state = self.state(now)
        health = {"status": "FAILED", "summary": self._failure} if self._failure else {"status": "HEALTHY"}
        return {
            "id": self.id,
            "name": self.id,
            "state": state,
            "auto_stop_mins": self.auto_stop_mins,
            "cluster_size": "2X-Small",
            "health": health,
        }


class Warehouses:
    """The warehouses of a workspace; `clock` gives seconds."""

    def __init__(self, workspace: FakeWorkspace, spark: SparkSession, tables: Path) -> None:
        self.workspace, self.spark, self.tables = workspace, spark, tables
        self.clock: Callable[[], float] = time.monotonic
        self.by_id: dict[str, Warehouse] = {}
        self.statements: dict[str, Statement] = {}
        self.fates: list[Fate] = []
        """Of the next statements, in order."""
        self.chunk_rows = 1000
        self.views: set[str] = set()
        """Full names that the catalog shows as views."""
        self.time_zone = "UTC"
        """Of the statements' sessions."""
        self._schema_prefix = f"w{uuid.uuid4().hex[:8]}_"
        self._known_to_engine: set[Path] = set()
        self._engine = threading.Lock()
        for method, pattern, handler in (
            ("GET", "/api/2.0/sql/warehouses/([^/]+)", self.warehouse_get),
            ("POST", "/api/2.0/sql/statements/?", self.execute),
            ("GET", "/api/2.0/sql/statements/([^/]+)", self.statement_get),
            ("POST", "/api/2.0/sql/statements/([^/]+)/cancel", self.statement_cancel),
            ("GET", "/api/2.0/sql/statements/([^/]+)/result/chunks/(\\d+)", self.chunk_get),
            ("GET", "/api/2.1/unity-catalog/tables/([^/]+)", self.table_get),
        ):
            workspace.mount(method, pattern, handler)

    def add(self, id: str, **how: Any) -> Warehouse:
        self.by_id[id] = Warehouse(id, **how)
        return self.by_id[id]

    @property
    def texts(self) -> list[str]:
        return [statement.text for statement in self.statements.values()]

    # warehouses

    def _warehouse(self, id: str, principal: str) -> Warehouse:
        if id not in self.by_id:
            raise not_found(f"SQL warehouse {id} does not exist.")
        warehouse = self.by_id[id]
        if warehouse.users is not None and principal not in warehouse.users | self.workspace.admins:
            granted = self.workspace.permissions.get(f"warehouses/{id}", [])
            if principal not in {right.get("service_principal_name") for right in granted}:
                raise ApiError(403, "PERMISSION_DENIED", f"You do not have permission to use the SQL warehouse {id}.")
        return warehouse

    def warehouse_get(self, request: Request, id: str) -> Any:
        return self._warehouse(id, request.principal).as_dict(self.clock())

    # statements

    def execute(self, request: Request) -> Any:
        body = request.json
        warehouse = self._warehouse(body["warehouse_id"], request.principal)
        wait = int(str(body.get("wait_timeout", "10s")).removesuffix("s"))
        if wait and not 5 <= wait <= 50:
            raise ApiError(400, "INVALID_PARAMETER_VALUE", "wait_timeout must be 0 or between 5 and 50 seconds")
        warehouse.asked(self.clock())
        fate = self.fates.pop(0) if self.fates else Fate()
        statement = Statement(str(uuid.uuid4()), body, request.principal, fate)
        self.statements[statement.id] = statement
        worker = threading.Thread(target=self._run, args=(statement, warehouse), daemon=True)
        worker.start()
        worker.join(wait)
        return statement.as_dict(self.chunk_rows)

    def _statement(self, id: str) -> Statement:
        if id not in self.statements:
            raise not_found(f"The statement {id} was not found.")
        return self.statements[id]

    def statement_get(self, request: Request, id: str) -> Any:
        return self._statement(id).as_dict(self.chunk_rows)

    def statement_cancel(self, request: Request, id: str) -> Any:
        self._statement(id).cancelled = True

    def chunk_get(self, request: Request, id: str, index: str) -> Any:
        return self._statement(id).chunk(int(index), self.chunk_rows)

    def _run(self, statement: Statement, warehouse: Warehouse) -> None:
        while warehouse.state(self.clock()) == "STARTING" and not statement.cancelled:
            time.sleep(0.01)
        if warehouse.state(self.clock()) != "RUNNING" and not statement.cancelled:
            return self._fail(statement, "ABORTED", f"The warehouse could not be started: {warehouse.cannot_start}")
        if not statement.cancelled:
            statement.state = "RUNNING"
        until = time.monotonic() + statement.fate.running_seconds
        while time.monotonic() < until and not statement.cancelled:
            time.sleep(0.01)
        if statement.cancelled:
            statement.state = "CANCELED"
        elif statement.fate.error:
            self._fail(statement, *statement.fate.error)
        else:
            self._ask(statement)
            if statement.fate.ends_as:
                statement.state = statement.fate.ends_as
        return None

    def _ask(self, statement: Statement) -> None:
        for name in sorted({".".join(found) for found in NAME.findall(statement.text)}):
            missing = self._missing_right(statement.principal, name)
            if missing:
                said = f"Insufficient privileges:\nUser does not have {missing}. SQLSTATE: 42501"
                return self._fail(statement, "BAD_REQUEST", f"[INSUFFICIENT_PERMISSIONS] {said}")
        values = {given["name"]: _typed(given) for given in statement.body.get("parameters", [])}
        try:
            with self._engine, self._session():
                frame = self.spark.sql(NAME.sub(self._registered, statement.text), args=values or None)
                statement.columns = [(column.name, column.dataType.simpleString()) for column in frame.schema.fields]
                statement.rows = [[_text(value) for value in row] for row in frame.collect()]
        except PySparkException as error:
            return self._fail(statement, "BAD_REQUEST", str(error).split("\n\nJVM stacktrace")[0])
        statement.state = "SUCCEEDED"
        return None

    @contextmanager
    def _session(self) -> Iterator[None]:
        """The session as this warehouse has it; others use it, too."""
        changes = {**SMALL_DATA, "spark.sql.session.timeZone": self.time_zone}
        before = {key: self.spark.conf.get(key, None) for key in changes}
        for key, value in changes.items():
            self.spark.conf.set(key, value)
        try:
            yield
        finally:
            for key, value in before.items():
                self.spark.conf.set(key, value) if value is not None else self.spark.conf.unset(key)

    @staticmethod
    def _fail(statement: Statement, code: str, message: str) -> None:
        statement.error, statement.state = {"error_code": code, "message": message}, "FAILED"

    def _registered(self, found: re.Match[str]) -> str:
        """The table under the name that the engine has it by; a folder is registered at its first use."""
        catalog, schema, table = found.groups()
        path = self.tables / catalog / schema / table
        local = f"`spark_catalog`.`{self._schema_prefix}{schema}`"
        if path not in self._known_to_engine and (path / "_delta_log").is_dir():
            self._known_to_engine.add(path)
            self.spark.sql(f"CREATE SCHEMA IF NOT EXISTS {local}")
            self.spark.sql(f"CREATE TABLE IF NOT EXISTS {local}.`{table}` USING DELTA LOCATION '{path}'")
        return f"{local}.`{table}`"

    # the catalog

    def table_get(self, request: Request, name: str) -> Any:
        catalog, schema, table = name.split(".")
        missing = self._missing_right(request.principal, name)
        if missing:
            raise ApiError(403, "PERMISSION_DENIED", f"User does not have {missing}.")
        path = self.tables / catalog / schema / table
        if not DeltaTable.is_deltatable(str(path)):
            raise ApiError(404, "TABLE_DOES_NOT_EXIST", f"Table '{name}' does not exist.")
        metadata = DeltaTable(str(path)).metadata()
        fields = DeltaTable(str(path)).schema().fields
        return {
            "full_name": name,
            "table_id": str(metadata.id),
            "table_type": "VIEW" if name in self.views else "MANAGED",
            "columns": [
                {"name": column.name, "type_text": SPARK_TYPES.get(column.type.type, column.type.type)}
                for column in fields
                if hasattr(column.type, "type")
            ],
            "properties": dict(metadata.configuration),
            "updated_at": int(metadata.created_time or 0),
        }

    def _missing_right(self, principal: str, name: str) -> str | None:
        if not self.workspace.enforce_rights:
            return None
        catalog, schema, _ = name.split(".")
        for privilege, kind, securable in (
            ("USE_CATALOG", "catalog", catalog),
            ("USE_SCHEMA", "schema", f"{catalog}.{schema}"),
            ("SELECT", "schema", f"{catalog}.{schema}"),
        ):
            held = self.workspace._effective(principal, kind, securable)
            if not held & {privilege, "ALL_PRIVILEGES"}:
                kind = "table" if privilege == "SELECT" else kind
                securable = name if privilege == "SELECT" else securable
                return f"{privilege.replace('_', ' ')} on {kind.capitalize()} '{securable}'"
        return None


def _typed(given: dict[str, Any]) -> Any:
    value, type = given.get("value"), given.get("type", "STRING")
    assert type in ("STRING", "BIGINT"), f"the fake knows no {type} parameter"
    return int(value) if type == "BIGINT" and value is not None else value


def _text(value: Any) -> str | None:
    """A value as the JSON_ARRAY format has it: text, or null."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, datetime):
        return value.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, dict):
        return json.dumps({key: _text(item) for key, item in value.items()})
    return json.dumps(value) if isinstance(value, list) else str(value)
