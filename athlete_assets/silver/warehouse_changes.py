"""Unity Catalog's silver tables, as a sensor without Spark sees them: by statements on a SQL warehouse.

Whether anything changed cannot be known without the warehouse: the catalog's own `updated_at` tells when a table's
definition was altered, and no commit of rows is promised to move it. So a look costs a running warehouse, and
ATHLETE_DATABRICKS_WAREHOUSE_LOOK_EVERY_S bounds how often one is asked, running or not: each statement puts off its
auto stop. What the catalog does know (which tables exist, their columns, their change data feed) is asked there.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from athlete_assets import tables
from athlete_assets.errors import AccessError, ContractError, SettingsError, StoreError
from athlete_assets.settings import Settings
from athlete_assets.silver.changes import (
    WATCHED,
    ChangeFeed,
    Difference,
    DiffMethod,
    HistoryUnavailable,
    IngestedSince,
    Position,
    Silver,
    VersionDiff,
)
from athlete_assets.store.sql import literal, quoted
from athlete_assets.store.warehouse import RefusedStatement, Row, Warehouse, WarehouseStarting, api_call
from athlete_assets.tables import Table

if TYPE_CHECKING:
    from databricks.sdk import WorkspaceClient

HISTORY = 100
"""Commits of a table that a look reads of its history; where more lie between two looks, their rows are compared."""
START_PATIENCE_S = 600
"""A warehouse that is still starting after so long counts as failed."""
ATHLETES_A_STATEMENT = 2000
"""Athletes whose days one statement asks for: an inline result holds 25 MiB, about 6 bytes a day."""
EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
Result = TypeVar("Result")

WITHOUT_ROWS = frozenset(
    {
        "OPTIMIZE",
        "VACUUM START",
        "VACUUM END",
        "REORG",
        "CLUSTER BY",
        "COMPUTE STATS",
        "SET TBLPROPERTIES",
        "UNSET TBLPROPERTIES",
        "ADD CONSTRAINT",
        "DROP CONSTRAINT",
        "UPGRADE PROTOCOL",
        "DROP FEATURE",
        "ADD COLUMNS",
        "CHANGE COLUMN",
        "CHANGE COLUMNS",
    }
)
"""Operations of the history that change no row's content."""
ROWS_CHANGED = {
    "MERGE": ("numTargetRowsInserted", "numTargetRowsUpdated", "numTargetRowsDeleted"),
    "UPDATE": ("numUpdatedRows",),
    "DELETE": ("numDeletedRows",),
}
"""By operation, the metrics that together count the changed rows: where all are there and 0, nothing changed."""


@dataclass(frozen=True)
class CatalogEntry:
    """What the catalog knows of a table."""

    id: str
    columns: dict[str, str]
    """Type by column."""
    properties: dict[str, str]


@dataclass(frozen=True)
class Commit:
    """A commit as DESCRIBE HISTORY tells it."""

    version: int
    operation: str
    metrics: dict[str, str]

    @classmethod
    def of(cls, row: dict[str, str | None]) -> Commit:
        operation = (row.get("operation") or "").upper()
        return cls(int(row["version"] or 0), operation, json.loads(row.get("operationMetrics") or "{}"))

    @property
    def changes_no_row(self) -> bool:
        """Whether that is certain."""
        counts = [self.metrics.get(name) for name in ROWS_CHANGED.get(self.operation, ())]
        return self.operation in WITHOUT_ROWS or (
            bool(counts) and all(count is not None and int(count) == 0 for count in counts)
        )


class WarehouseSilver(Silver):
    """Silver in Unity Catalog. One object serves all looks of a process: it remembers when one failed."""

    def __init__(
        self,
        settings: Settings,
        client: Callable[[], WorkspaceClient],
        *,
        seconds: float,
        now: Callable[[], float] = time.time,
    ) -> None:
        """`seconds` is what one look may take; `now` gives seconds since the epoch."""
        self.settings = settings
        self.warehouse = Warehouse(settings.databricks_warehouse_id, client, seconds=seconds)
        self._client = client
        self._now = now
        self._failed: tuple[float, str] | None = None
        self._starting_since: float | None = None
        self._history: dict[str, list[Commit]] = {}

    # -------------------------------------------------------------------------------------------------- when to look

    def wait(self, looked: float | None) -> str | None:
        if not self.settings.databricks_warehouse_id:
            return (
                "silver is not looked at: set ATHLETE_DATABRICKS_WAREHOUSE_ID to a SQL warehouse, or switch on the "
                "sensor silver_reports, which follows the silver materialisations that your pipeline reports to Dagster"
            )
        every = self.settings.databricks_warehouse_look_every_s
        for since, why in ((looked, "silver was looked at"), self._failed or (None, "")):
            if since is not None and since <= self._now() < since + every:
                return f"{why} at {_clock(since)}; the next look is due at {_clock(since + every)}"
        return None

    def clock(self) -> float | None:
        return self._now()

    @contextmanager
    def look(self) -> Iterator[None]:
        """Bounds the look's time; remembers a failure, so that it is not repeated before the next look is due."""
        self.warehouse.start_clock()
        try:
            try:
                yield
            except WarehouseStarting as starting:
                self._starting_since = self._starting_since or self._now()
                if self._now() - self._starting_since >= START_PATIENCE_S:
                    raise StoreError(f"{starting} for {START_PATIENCE_S / 60:.0f} min: {self._health()}") from starting
                raise
        except WarehouseStarting:
            raise
        except Exception as error:
            self._failed = (self._now(), f"the look failed ({str(error).splitlines()[0][:300]})")
            self._starting_since = None
            raise
        self._failed = self._starting_since = None

    def _health(self) -> str:
        health = self.warehouse.state().health
        return (health.summary or health.details if health else None) or "no reason given"

    # ------------------------------------------------------------------------------------------------ where they stand

    def positions(self) -> dict[str, Position]:
        entries = {table: self._catalog_entry(table) for table in WATCHED}
        if not any(entries.values()):
            return {}
        self.warehouse.refuse_while_starting()
        self._history.clear()
        found = {}
        for table, entry in entries.items():
            if entry is not None:
                statement = f"DESCRIBE HISTORY {self._name(table)} LIMIT {HISTORY}"
                history = [
                    Commit.of(row) for row in self._naming_the_table(table, partial(self.warehouse.records, statement))
                ]
                if not history:
                    raise StoreError(f"{self._full_name(table)}: has no history")
                self._history[table.name] = history
                found[table.name] = Position(entry.id, history[0].version)
        return found

    def newest_ingestion(self, table: Table) -> str | None:
        entry = self._catalog_entry(table)
        if entry is None or tables.INGESTED not in entry.columns:
            return None
        micros = _micros(tables.INGESTED, entry.columns[tables.INGESTED])
        ((newest,),) = self._rows(table, f"SELECT MAX({micros}) FROM {self._name(table)}")
        moment = _moment(newest)
        return moment.isoformat() if moment else None

    def known_days(self, athletes: Iterable[str]) -> dict[str, list[date]]:
        wanted = sorted(athletes)
        entry = self._catalog_entry(tables.ACTIVITY) if wanted else None
        if entry is None:
            return {}
        day = _day("activity_date", entry.columns["activity_date"])
        statement = (
            f"SELECT athlete_id, ARRAY_JOIN(ARRAY_SORT(COLLECT_SET(UNIX_DATE({day}))), ' ') "
            f"FROM {self._name(tables.ACTIVITY)} "
            "WHERE athlete_id IN (SELECT EXPLODE(FROM_JSON(:athletes, 'array<string>'))) GROUP BY athlete_id"
        )
        days: dict[str, list[date]] = {}
        for at in range(0, len(wanted), ATHLETES_A_STATEMENT):
            some = json.dumps(wanted[at : at + ATHLETES_A_STATEMENT])
            for athlete, numbers in self._rows(tables.ACTIVITY, statement, athletes=some):
                days[str(athlete)] = [EPOCH.date() + timedelta(days=int(number)) for number in (numbers or "").split()]
        return days

    def has_change_feed(self, table: Table) -> bool:
        entry = self._catalog_entry(table)
        return entry is not None and entry.properties.get("delta.enableChangeDataFeed", "").lower() == "true"

    def without_rows(self, table: Table, first: int, last: int) -> bool:
        """By the history's operations and metrics, read with the positions; False where it does not reach back."""
        between = [commit for commit in self._history.get(table.name, []) if first < commit.version <= last]
        return len(between) == last - first and all(commit.changes_no_row for commit in between)

    # ------------------------------------------------------------------------------------------------ what is different

    def differences(self, table: Table, way: DiffMethod) -> Iterable[Difference]:
        entry = self._catalog_entry(table)
        if entry is None:
            raise StoreError(f"{self._full_name(table)}: is not there any more")
        for column in table.columns:
            if column.required and column.name not in entry.columns:
                raise ContractError(f"{self._full_name(table)}: required column {column.name} is missing")
        given = (
            {"since": _micros_of(way.ingested)} if isinstance(way, IngestedSince) and way.ingested is not None else {}
        )
        net = self._since(table, entry, way) if isinstance(way, IngestedSince) else self._net(table, entry, way)
        last = way.version if isinstance(way, IngestedSince) else way.last
        statement = f"WITH net AS ({net}) {self._counted(table, last)}"
        try:
            rows = self._rows(table, statement, **given)
        except RefusedStatement as refused:
            if isinstance(way, IngestedSince):
                raise
            needed = f"the change feed of versions {way.first + 1}..{way.last}"
            if not isinstance(way, ChangeFeed):
                needed = f"the comparison of versions {way.first} and {way.last}"
            raise HistoryUnavailable(f"{needed} is not to be had: {refused}") from refused
        return [
            Difference(athlete, date.fromisoformat(day) if day else None, int(new or 0), int(gone or 0), _moment(at))
            for athlete, day, new, gone, at in rows
        ]

    def _counted(self, table: Table, last: int) -> str:
        """From `net`, which leads to version `last`: athlete, day, rows new and gone, newest ingestion."""
        sums = "SUM(GREATEST(net, 0)), SUM(GREATEST(-net, 0)), MAX(ingested)"
        if table == tables.ATHLETE_PLAN:
            return "SELECT DISTINCT athlete_id, CAST(NULL AS DATE), 0, 0, CAST(NULL AS BIGINT) FROM net"
        if table == tables.STRAVA_ATHLETE:
            # the first day on which a changed statement is valid; none where one of them always was
            return (
                "SELECT athlete_id, IF(COUNT(day) = COUNT(*), MIN(day), CAST(NULL AS DATE)), 0, 0, "
                "CAST(NULL AS BIGINT) FROM net GROUP BY athlete_id"
            )
        activities = self._catalog_entry(tables.STRAVA_ACTIVITIES)
        if activities is None:
            return "SELECT athlete_id, CAST(NULL AS DATE), 0, 0, CAST(NULL AS BIGINT) FROM net WHERE FALSE"
        # by version: Spark takes a table's plain name and its table_changes in one statement for the same relation
        of_version = f" VERSION AS OF {last:d}" if table == tables.STRAVA_ACTIVITIES else ""
        held = (
            f"SELECT CAST(athlete_id AS STRING) AS athlete_id, CAST(id AS BIGINT) AS id, "
            f"{_day('start_date_local', activities.columns['start_date_local'])} AS day "
            f"FROM {self._name(tables.STRAVA_ACTIVITIES)}{of_version}"
        )
        if table in tables.OF_ACTIVITIES:
            return (
                f"SELECT net.athlete_id, day, {sums} FROM net JOIN ({held}) AS held "
                "ON held.athlete_id = net.athlete_id AND held.id = net.activity_id GROUP BY net.athlete_id, day"
            )
        return (
            f"SELECT athlete_id, day, {sums} FROM net GROUP BY athlete_id, day UNION ALL "
            f"SELECT DISTINCT held.athlete_id, held.day, 0, 0, CAST(NULL AS BIGINT) FROM ({held}) AS held "
            "JOIN (SELECT DISTINCT athlete_id, id FROM net) AS changed "
            "ON changed.athlete_id = held.athlete_id AND changed.id = held.id"
        )

    def _net(self, table: Table, entry: CatalogEntry, way: ChangeFeed | VersionDiff) -> str:
        """Equal contents counted together: those that do not cancel out, with `net` and the newest `ingested`."""
        content = [name for name in table.column_names if name in entry.columns and name != tables.INGESTED]
        columns = ", ".join(content)
        ingested = _ingested(entry)
        if isinstance(way, ChangeFeed):
            # the function takes literals alone
            source = (
                f"SELECT {columns}, {ingested} AS ingested, "
                "IF(_change_type IN ('insert', 'update_postimage'), 1, -1) AS sign "
                f"FROM table_changes({literal(self._name(table))}, {way.first + 1:d}, {way.last:d})"
            )
        else:
            source = " UNION ALL ".join(
                f"SELECT {columns}, {ingested} AS ingested, {sign} AS sign "
                f"FROM {self._name(table)} VERSION AS OF {version:d}"
                for version, sign in ((way.last, 1), (way.first, -1))
            )
        grouped = (
            f"SELECT {columns}, SUM(sign) AS net, MAX(ingested) AS ingested FROM ({source}) "
            f"GROUP BY {columns} HAVING SUM(sign) <> 0"
        )
        return f"SELECT {_keys(table, entry)}, net, ingested FROM ({grouped})"

    def _since(self, table: Table, entry: CatalogEntry, way: IngestedSince) -> str:
        # at the watermark itself a second commit of the same batch may lie: those rows count as new again
        newer = f" WHERE {_ingested(entry)} >= :since" if way.ingested is not None else ""
        at_version = f"{self._name(table)} VERSION AS OF {way.version:d}"
        new = f"SELECT {_keys(table, entry)}, 1 AS net, {_ingested(entry)} AS ingested FROM {at_version}{newer}"
        if table == tables.STRAVA_ATHLETE:  # what was stated before, and from when, nobody knows any more
            return f"SELECT athlete_id, CAST(NULL AS DATE) AS day FROM ({new})"
        if table != tables.STRAVA_ACTIVITIES:
            return new
        remembered = [
            f"SELECT athlete_id, {key} AS id, {_day('activity_date', derived.columns['activity_date'])} AS day "
            f"FROM {self._name(of)} WHERE athlete_id IS NOT NULL AND {key} IS NOT NULL AND activity_date IS NOT NULL"
            for of, key in ((tables.ACTIVITY, "activity_id"), (tables.REJECTS, "id"))
            if (derived := self._catalog_entry(of)) is not None
        ]
        if not remembered:
            return new
        return (
            f"{new} UNION ALL SELECT athlete_id, id, day, -1 AS net, CAST(NULL AS BIGINT) AS ingested "
            f"FROM ({' UNION ALL '.join(remembered)}) AS remembered "
            f"LEFT ANTI JOIN (SELECT {_keys(table, entry)} FROM {at_version}) AS held USING (athlete_id, id, day)"
        )

    # ------------------------------------------------------------------------------------------------------- the tables

    def _catalog_entry(self, table: Table) -> CatalogEntry | None:
        """The table in the catalog, without the warehouse; None where it does not exist."""
        from databricks.sdk.errors import NotFound

        name = self._full_name(table)
        try:
            found = api_call(name, lambda: self._client().tables.get(name))
        except AccessError as error:
            raise self._no_right(table, str(error)) from error
        except StoreError as error:
            if isinstance(error.__cause__, NotFound):
                return None
            raise
        if found.browse_only:
            raise self._no_right(table, "the catalog may be browsed, the rows may not be read")
        kind = found.table_type.value if found.table_type else "MANAGED"
        if kind in ("VIEW", "METRIC_VIEW", "FOREIGN"):
            raise SettingsError(
                f"{name}: is a {kind}, whose changes cannot be followed; switch silver_changes off and silver_reports "
                "on, and let the pipeline report to Dagster what it wrote"
            )
        columns = {str(column.name): (column.type_text or "").lower() for column in found.columns or []}
        return CatalogEntry(found.table_id or name, columns, dict(found.properties or {}))

    def _rows(self, table: Table, statement: str, **parameters: str | int) -> list[Row]:
        return self._naming_the_table(table, lambda: self.warehouse.rows(statement, **parameters))

    def _naming_the_table(self, table: Table, ask: Callable[[], Result]) -> Result:
        try:
            return ask()
        except AccessError as error:
            raise self._no_right(table, str(error)) from error
        except RefusedStatement as error:
            raise RefusedStatement(f"{self._full_name(table)}: cannot be read: {error}", error.sql_state) from error

    def _no_right(self, table: Table, said: str) -> AccessError:
        catalog, schema = self.settings.catalog, f"{self.settings.catalog}.{table.schema}"
        to = self.settings.databricks_service_principal or "the principal that signs in"
        return AccessError(
            f"{self._full_name(table)}: {said}. To look at it takes GRANT USE CATALOG ON CATALOG {catalog} TO `{to}`; "
            f"GRANT USE SCHEMA, SELECT ON SCHEMA {schema} TO `{to}`; and CAN USE on SQL warehouse {self.warehouse.id}: "
            "`athlete-assets databricks init` grants them"
        )

    def _full_name(self, table: Table) -> str:
        return table.full_name(self.settings.catalog)

    def _name(self, table: Table) -> str:
        return quoted(self._full_name(table))


def _keys(table: Table, entry: CatalogEntry) -> str:
    """The columns by which net rows are counted: athlete, and where the table has them activity and day."""
    columns = ["CAST(athlete_id AS STRING) AS athlete_id"]
    if table == tables.STRAVA_ACTIVITIES:
        columns += ["CAST(id AS BIGINT) AS id", f"{_day('start_date_local', entry.columns['start_date_local'])} AS day"]
    elif table in tables.OF_ACTIVITIES:
        columns += ["CAST(activity_id AS BIGINT) AS activity_id"]
    elif "valid_from" in entry.columns:
        columns += [f"{_day('valid_from', entry.columns['valid_from'])} AS day"]
    else:
        columns += ["CAST(NULL AS DATE) AS day"]
    return ", ".join(columns)


def _ingested(entry: CatalogEntry) -> str:
    if tables.INGESTED not in entry.columns:
        return "CAST(NULL AS BIGINT)"
    return _micros(tables.INGESTED, entry.columns[tables.INGESTED])


def _day(column: str, type: str) -> str:
    """SQL for the calendar day on the column's own clock, whatever the warehouse's time zone is.

    A naive timestamp and a date are read as they are written; an instant on the clock of UTC.
    """
    if type == "timestamp":
        return f"DATE_FROM_UNIX_DATE(CAST(FLOOR(UNIX_SECONDS({column}) / 86400) AS INT))"
    return f"CAST({column} AS DATE)"


def _micros(column: str, type: str) -> str:
    """SQL for microseconds since the epoch; a naive timestamp or a date is read as UTC."""
    if type == "timestamp":
        return f"UNIX_MICROS({column})"
    naive = f"CAST({column} AS TIMESTAMP_NTZ)"
    return f"UNIX_MICROS(CAST(CONVERT_TIMEZONE('UTC', CURRENT_TIMEZONE(), {naive}) AS TIMESTAMP))"


def _micros_of(moment: str) -> int:
    return (datetime.fromisoformat(moment) - EPOCH) // timedelta(microseconds=1)


def _moment(micros: str | None) -> datetime | None:
    return EPOCH + timedelta(microseconds=int(micros)) if micros is not None else None


def _clock(moment: float) -> str:
    return f"{datetime.fromtimestamp(moment, timezone.utc):%H:%M:%S} UTC"
