"""Statements on a SQL warehouse, for the orchestrator: it has no Spark, and a sensor's tick has a time limit.

A statement starts a warehouse that has stopped, and keeps a running one awake: whoever asks decides what it costs.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar, cast

from athlete_assets.errors import AccessError, AthleteAssetsError, SettingsError, StoreError
from athlete_assets.words import counted

if TYPE_CHECKING:
    from databricks.sdk import WorkspaceClient
    from databricks.sdk.service.sql import GetWarehouseResponse, StatementResponse

WAIT_SECONDS = 20
"""How long the server holds the answer to a new statement; more than most take, less than a client's own time-out."""
POLL_SECONDS = 1.0
NO_RIGHT = "42501"
"""The SQL state of a missing privilege."""
STATEMENT_ERRORS = ("BAD_REQUEST", "NOT_FOUND", "IO_ERROR", "UNKNOWN")
"""Error codes with which the engine says that this statement cannot be answered; the others are the service's own."""
Row = list[str | None]
Result = TypeVar("Result")


class WarehouseStarting(AthleteAssetsError):
    """The warehouse is starting: nothing is wrong, and a later look may find it running."""


class RefusedStatement(StoreError):
    """The engine cannot answer this statement, such as one about a version that is gone. Names its SQL state."""

    def __init__(self, message: str, sql_state: str | None) -> None:
        super().__init__(message)
        self.sql_state = sql_state


class Warehouse:
    """One SQL warehouse. `seconds` bounds what `start_clock` opens: all statements until the next `start_clock`."""

    def __init__(
        self,
        id: str,
        client: Callable[[], WorkspaceClient],
        *,
        seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.id = id
        self.client = client
        self.seconds = seconds
        self._clock = clock
        self._deadline = clock() + seconds

    @property
    def _right(self) -> str:
        return f"CAN USE on SQL warehouse {self.id}"

    def start_clock(self) -> None:
        """Gives the statements that follow `seconds` together."""
        self._deadline = self._clock() + self.seconds

    @property
    def seconds_left(self) -> float:
        """Seconds until the deadline."""
        return self._deadline - self._clock()

    def state(self) -> GetWarehouseResponse:
        """The warehouse as the workspace knows it; asking does not start it.

        Raises SettingsError where there is no such warehouse, AccessError where it may not be seen, else StoreError.
        """
        from databricks.sdk.errors import InvalidParameterValue, NotFound

        try:
            found = api_call(
                f"SQL warehouse {self.id}", lambda: self.client().warehouses.get(self.id), missing=self._right
            )
        except StoreError as error:
            if isinstance(error.__cause__, (NotFound, InvalidParameterValue)):
                raise self._no_such_warehouse() from error
            raise
        if found.state and found.state.value in ("DELETING", "DELETED"):
            raise self._no_such_warehouse()
        return found

    def refuse_while_starting(self) -> None:
        """Raises WarehouseStarting while the warehouse is between stopped and running, and as `state` does."""
        found = self.state()
        if found.state and found.state.value == "STARTING":
            raise WarehouseStarting(f"SQL warehouse {self.id} is starting")

    def records(self, statement: str, **parameters: str | int) -> list[dict[str, str | None]]:
        """`rows` by column name."""
        names, rows = self._execute(statement, parameters)
        return [dict(zip(names, row, strict=True)) for row in rows]

    def rows(self, statement: str, **parameters: str | int) -> list[Row]:
        """The statement's rows, each value as text or None.

        Values go in as named parameters (`:name`), text as STRING and whole numbers as BIGINT.
        Raises RefusedStatement for what the engine cannot answer, AccessError for a missing right, WarehouseStarting
        where the deadline comes while the warehouse is starting, StoreError for every other failure; nothing is left
        running.
        """
        return self._execute(statement, parameters)[1]

    def _execute(self, statement: str, parameters: dict[str, str | int]) -> tuple[list[str], list[Row]]:
        from databricks.sdk.service.sql import Disposition, ExecuteStatementRequestOnWaitTimeout, Format

        if self.seconds_left <= 0:
            raise self._timed_out("nothing of it was asked")
        wait = min(WAIT_SECONDS, int(self.seconds_left))
        api = self.client().statement_execution
        what = f"a statement on SQL warehouse {self.id}"
        answer = api_call(
            what,
            lambda: api.execute_statement(
                statement,
                self.id,
                parameters=_parameters(parameters),
                disposition=Disposition.INLINE,
                format=Format.JSON_ARRAY,
                on_wait_timeout=ExecuteStatementRequestOnWaitTimeout.CONTINUE,
                wait_timeout=f"{wait}s" if wait >= 5 else "0s",  # the API takes 0, or 5 to 50
            ),
            missing=self._right,
        )
        id = answer.statement_id or ""
        while _state(answer) in ("PENDING", "RUNNING"):
            if self.seconds_left <= 0:
                api_call(what, lambda: api.cancel_execution(id))
                if _state(answer) == "PENDING":
                    self.refuse_while_starting()
                raise self._timed_out(
                    f"the statement was still {_state(answer)} and is cancelled: {_abridged(statement)}"
                )
            time.sleep(max(0.0, min(POLL_SECONDS, self.seconds_left)))
            answer = api_call(what, lambda: api.get_statement(id))
        return self._result(answer, statement)

    def _result(self, answer: StatementResponse, statement: str) -> tuple[list[str], list[Row]]:
        state = _state(answer)
        if state == "FAILED":
            raise self._error_of(answer, statement)
        if state != "SUCCEEDED":
            done = "someone cancelled it" if state == "CANCELED" else "its result is no longer kept"
            raise StoreError(f"SQL warehouse {self.id}: statement {state} ({done}): {_abridged(statement)}")
        manifest, part = answer.manifest, answer.result
        if manifest is not None and manifest.truncated:
            raise StoreError(f"SQL warehouse {self.id}: the result was cut off: {_abridged(statement)}")
        api, rows = self.client().statement_execution, list[Row]()
        while part is not None:
            rows += cast("list[Row]", part.data_array or [])  # the SDK's type forgets the nulls
            following = part.next_chunk_index
            if following is None:
                break
            chunk = partial(api.get_statement_result_chunk_n, answer.statement_id or "", following)
            part = api_call(f"part {following} of a result", chunk)
        promised = manifest.total_row_count if manifest is not None else None
        if promised is not None and promised != len(rows):
            raise StoreError(
                f"SQL warehouse {self.id}: {len(rows)} of {counted(promised, 'row')} came: {_abridged(statement)}"
            )
        columns = manifest.schema.columns if manifest is not None and manifest.schema is not None else None
        return [str(column.name) for column in columns or []], rows

    def _error_of(self, answer: StatementResponse, statement: str) -> AthleteAssetsError:
        error = answer.status.error if answer.status else None
        code = error.error_code.value if error and error.error_code else "UNKNOWN"
        message = (error.message if error else None) or "no message"
        found = re.search(r"SQLSTATE:? (\w{5})", message)
        sql_state = found[1] if found else None
        said = f"{_one_line(message)} (SQL state {sql_state or 'not given'}, {code})"
        if sql_state == NO_RIGHT or "PERMISSION" in message.split("]")[0].upper():
            return AccessError(said)
        if code in STATEMENT_ERRORS:
            return RefusedStatement(f"SQL warehouse {self.id}: {said}: {_abridged(statement)}", sql_state)
        return StoreError(f"SQL warehouse {self.id}: {said}")

    def _timed_out(self, what: str) -> StoreError:
        return StoreError(
            f"SQL warehouse {self.id}: no answer within {self.seconds:.0f} s; {what}. A look gets what "
            "DAGSTER_SENSOR_GRPC_TIMEOUT_SECONDS (default 60) allows: raise it, or take a larger warehouse"
        )

    def _no_such_warehouse(self) -> SettingsError:
        return SettingsError(
            f"setting ATHLETE_DATABRICKS_WAREHOUSE_ID={self.id}: the workspace has no such SQL warehouse; its id is in "
            "the warehouse's connection details"
        )


def api_call(what: str, call: Callable[[], Result], missing: str = "") -> Result:
    """The call's result. Raises AccessError where it is forbidden (naming the `missing` right), else StoreError.

    The SDK has tried again by then where that can help (429, 503, broken connections).
    """
    import requests
    from databricks.sdk.errors import DatabricksError, PermissionDenied, Unauthenticated

    try:
        return call()
    except (PermissionDenied, Unauthenticated) as error:
        needed = f"; needed is {missing}" if missing else ""
        raise AccessError(f"{what}: {_one_line(str(error))}{needed}") from error
    except (DatabricksError, TimeoutError, requests.RequestException) as error:
        raise StoreError(f"{what}: {type(error).__name__}: {_one_line(str(error))}") from error


def _parameters(values: dict[str, str | int]) -> list[Any]:
    from databricks.sdk.service.sql import StatementParameterListItem

    return [
        StatementParameterListItem(name, "BIGINT" if isinstance(value, int) else "STRING", str(value))
        for name, value in values.items()
    ]


def _state(answer: StatementResponse) -> str:
    return answer.status.state.value if answer.status and answer.status.state else "UNKNOWN"


def _one_line(text: str) -> str:
    return " ".join(text.split())[:400]


def _abridged(statement: str) -> str:
    return " ".join(statement.split())[:120]
