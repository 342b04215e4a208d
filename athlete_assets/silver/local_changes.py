"""The local deployment's silver tables, as a sensor sees them: from their commits alone, without an engine, because a
sensor looks every half minute."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from athlete_assets import tables
from athlete_assets.errors import ContractError, StoreError
from athlete_assets.silver.changes import (
    WATCHED,
    ChangeFeed,
    Difference,
    DiffMethod,
    HistoryUnavailable,
    IngestedSince,
    Position,
    Silver,
)
from athlete_assets.store.delta_folder import CHANGE_FEED_PROPERTY, DeltaFolder, HistoryGoneError, span_sql
from athlete_assets.store.erasure import erased_versions
from athlete_assets.store.local import LocalStore
from athlete_assets.tables import Table

KEYS_BY_NAME = 2000
"""Keys that a statement lists; for more of them all rows of their athletes are read."""


class LocalSilver(Silver):
    """Silver as Delta folders under ATHLETE_HOME, read by delta-rs."""

    looks_are_free = True

    def __init__(self, store: LocalStore) -> None:
        self.store = store
        self.settings = store.settings

    def positions(self) -> dict[str, Position]:
        found = {}
        for table in WATCHED:
            if self.store.exists(table):
                delta = self.store.delta(table)
                found[table.name] = Position(str(delta.metadata().id), delta.version())
        return found

    def erasures(self, table: Table) -> list[tuple[int, int]]:
        return erased_versions(self.store.folder(table))

    def newest_ingestion(self, table: Table) -> str | None:
        if not self.store.exists(table) or tables.INGESTED not in table.column_names:
            return None
        newest = self.store.folder(table).query(f"SELECT MAX({tables.INGESTED}) AS newest FROM t").column("newest")[0]
        moment = newest.cast(pa.timestamp("us", "UTC")).as_py()
        return moment.isoformat() if moment else None

    def known_days(self, athletes: Iterable[str]) -> dict[str, list[date]]:
        wanted = sorted(athletes)
        if not wanted or not self.store.exists(tables.ACTIVITY):
            return {}
        rows = self.store.folder(tables.ACTIVITY).query(
            f"SELECT DISTINCT athlete_id, activity_date FROM t WHERE {span_sql('athlete_id', pa.array(wanted))}"
        )
        rows = rows.filter(pc.is_in(rows.column("athlete_id"), pa.array(wanted))).sort_by("activity_date")
        days: dict[str, list[date]] = {}
        for athlete, day in zip(
            rows.column("athlete_id").to_pylist(), rows.column("activity_date").to_pylist(), strict=True
        ):
            days.setdefault(athlete, []).append(day.date())
        return days

    def has_change_feed(self, table: Table) -> bool:
        return self.store.delta(table).metadata().configuration.get(CHANGE_FEED_PROPERTY) == "true"

    def differences(self, table: Table, way: DiffMethod) -> Iterable[Difference]:
        net = self._net(table, way)
        if table in tables.OF_ACTIVITIES:
            return self._on_activity_days(net)
        if table == tables.ATHLETE_PLAN:
            return [
                Difference(athlete, None, 0, 0, None) for athlete in pc.unique(net.column("athlete_id")).to_pylist()
            ]
        if table == tables.STRAVA_ATHLETE:
            return _restated(net, knows_before=not isinstance(way, IngestedSince))
        return [*_by_day(net), *self._same_keys(net)]

    # ------------------------------------------------------------------------------------------- one table each

    def _same_keys(self, net: pa.Table) -> list[Difference]:
        """The days on which silver holds a changed key once more."""
        keys = net.select(["athlete_id", "id"]).group_by(["athlete_id", "id"]).aggregate([])
        athletes = pc.unique(keys.column("athlete_id")).drop_null()
        ids = keys.column("id").drop_null()
        if not len(athletes) or not len(ids):
            return []
        listed = f" AND id IN ({', '.join(map(str, ids.to_pylist()))})" if len(ids) <= KEYS_BY_NAME else ""
        rows = self.store.folder(tables.STRAVA_ACTIVITIES).query(
            f"SELECT athlete_id, id, start_date_local FROM t WHERE {span_sql('athlete_id', athletes)}{listed}"
        )
        rows = rows.join(keys, keys=["athlete_id", "id"], join_type="inner")
        days = rows.column("start_date_local").cast(pa.date32())
        return [
            Difference(athlete, day, 0, 0, None)
            for athlete, day in zip(rows.column("athlete_id").to_pylist(), days.to_pylist(), strict=True)
        ]

    def _on_activity_days(self, net: pa.Table) -> list[Difference]:
        """Changed splits, recordings and efforts on the days of the activities that own them."""
        owners = pc.unique(net.column("athlete_id")).drop_null()
        if not len(owners) or not self.store.exists(tables.STRAVA_ACTIVITIES):
            return []
        activities = self.store.folder(tables.STRAVA_ACTIVITIES).query(
            f"SELECT athlete_id, id AS activity_id, start_date_local FROM t WHERE {span_sql('athlete_id', owners)}"
        )
        return _by_day(net.join(activities, keys=["athlete_id", "activity_id"], join_type="inner"))

    # ------------------------------------------------------------------------------------------- what is different

    def _net(self, table: Table, way: DiffMethod) -> pa.Table:
        """The rows by which two positions differ: content, `net` (+1 new, -1 gone) and `ingested`."""
        if isinstance(way, ChangeFeed):
            return self._change_feed(table, way)
        if isinstance(way, IngestedSince):
            return self._since(table, way)
        try:
            old = self._snapshot(table, way.first)
        except StoreError:
            raise HistoryUnavailable(
                f"{table.name}: version {way.first} is gone and there is no change feed; found what was "
                "ingested since and what vanished"
            ) from None
        return _difference(_content(self._snapshot(table, way.last)), _content(old))

    def _change_feed(self, table: Table, way: ChangeFeed) -> pa.Table:
        folder = self.store.folder(table)
        try:
            feed = folder.changes(way.first + 1, way.last, _columns(folder, table))
        except HistoryGoneError as error:
            raise HistoryUnavailable(str(error)) from error
        is_new = pc.is_in(feed.column("_change_type"), pa.array(["insert", "update_postimage"]))
        sign = pc.if_else(is_new, 1, -1).cast(pa.int64())
        return _net_rows(_content(feed.drop_columns("_change_type")).append_column("sign", sign))

    def _snapshot(self, table: Table, version: int) -> pa.Table:
        folder = self.store.folder(table)
        return folder.query(f"SELECT {', '.join(_columns(folder, table, version))} FROM t", version)

    def _since(self, table: Table, way: IngestedSince) -> pa.Table:
        new = _content(self._snapshot(table, way.version))
        gone = self._vanished(new) if table == tables.STRAVA_ACTIVITIES else new.slice(0, 0)
        if way.ingested is not None:
            # At the watermark itself a second commit of the same batch may lie: those rows count as new again.
            since = pa.scalar(datetime.fromisoformat(way.ingested), pa.timestamp("us", "UTC"))
            new = new.filter(pc.greater_equal(new.column("ingested"), since))
        return pa.concat_tables([_marked(new, "net", 1), _marked(gone, "net", -1)], promote_options="default")

    def _vanished(self, silver: pa.Table) -> pa.Table:
        """Keys and days in activity_features and the rejects that silver does not hold (on that day)."""
        known = []
        for table, key in ((tables.ACTIVITY, "activity_id"), (tables.REJECTS, "id")):
            if self.store.exists(table):
                statement = (
                    f"SELECT athlete_id, {key} AS id, activity_date FROM t "
                    f"WHERE athlete_id IS NOT NULL AND {key} IS NOT NULL AND activity_date IS NOT NULL"
                )
                rows = self.store.folder(table).query(statement)
                day = rows.column("activity_date").cast(pa.date32()).cast(pa.timestamp("us"))
                known.append(rows.drop_columns("activity_date").append_column("start_date_local", day))
        if not known:
            return silver.slice(0, 0)
        day = silver.column("start_date_local").cast(pa.date32()).cast(pa.timestamp("us"))
        held = silver.select(["athlete_id", "id"]).append_column("start_date_local", day)
        gone = pa.concat_tables(known).join(held, keys=["athlete_id", "id", "start_date_local"], join_type="left anti")
        return gone.append_column("ingested", pa.nulls(gone.num_rows, pa.timestamp("us", "UTC")))


# ----------------------------------------------------------------------------------------------------------- rows


def _columns(folder: DeltaFolder, table: Table, version: int | None = None) -> list[str]:
    """The contract's columns that the table has; raises ContractError where it lacks a required one."""
    found = {field.name for field in folder.open(version).schema().fields}
    for column in table.columns:
        if column.required and column.name not in found:
            raise ContractError(f"{'.'.join(table.path)}: required column {column.name} is missing")
    return [column.name for column in table.columns if column.name in found]


def _content(rows: pa.Table) -> pa.Table:
    """The rows with their ingestion time, null where the table has none, as `ingested`; lists as texts, which can be
    compared and grouped."""
    for at, field in enumerate(rows.schema):
        if pa.types.is_list(field.type):
            texts = [None if value is None else repr(value) for value in rows.column(at).to_pylist()]
            rows = rows.set_column(at, field.name, pa.array(texts, pa.string()))
    if tables.INGESTED in rows.column_names:
        moment = rows.column(tables.INGESTED).cast(pa.timestamp("us", "UTC"))
        rows = rows.drop_columns(tables.INGESTED)
    else:
        moment = pa.nulls(rows.num_rows, pa.timestamp("us", "UTC"))
    if "start_date_local" in rows.column_names:
        at = rows.schema.get_field_index("start_date_local")
        rows = rows.set_column(at, "start_date_local", rows.column(at).cast(pa.timestamp("us")))
    return rows.append_column("ingested", moment)


def _marked(rows: pa.Table, name: str, value: int) -> pa.Table:
    return rows.append_column(name, pa.array(np.full(rows.num_rows, value, dtype=np.int64)))


def _difference(new: pa.Table, old: pa.Table) -> pa.Table:
    return _net_rows(pa.concat_tables([_marked(new, "sign", 1), _marked(old, "sign", -1)], promote_options="default"))


def _net_rows(rows: pa.Table) -> pa.Table:
    """Equal contents counted together: those that did not cancel out, with `net` and the newest `ingested`."""
    content = [name for name in rows.column_names if name not in ("sign", "ingested")]
    totals = rows.group_by(content).aggregate([("sign", "sum"), ("ingested", "max")])
    totals = totals.rename_columns([*content, "net", "ingested"])
    return totals.filter(pc.not_equal(totals.column("net"), 0))


def _restated(net: pa.Table, knows_before: bool) -> list[Difference]:
    """By athlete the first day on which a changed statement is valid; None where it always was, or where nobody knows
    what was stated before."""
    if "valid_from" not in net.column_names or not knows_before:
        return [Difference(athlete, None, 0, 0, None) for athlete in pc.unique(net.column("athlete_id")).to_pylist()]
    first: dict[str | None, date | None] = {}
    begins = net.column("valid_from").cast(pa.date32()).to_pylist()
    for athlete, day in zip(net.column("athlete_id").to_pylist(), begins, strict=True):
        known = first.setdefault(athlete, day)
        first[athlete] = None if known is None or day is None else min(known, day)
    return [Difference(athlete, day, 0, 0, None) for athlete, day in first.items()]


def _by_day(net: pa.Table) -> list[Difference]:
    """The rows with `net`, `ingested` and start_date_local, counted by athlete and day."""
    day = net.column("start_date_local").cast(pa.date32())
    zero = pa.scalar(0, pa.int64())
    new = pc.max_element_wise(net.column("net"), zero)
    gone = pc.max_element_wise(pc.negate(net.column("net")), zero)
    counted = (
        pa.table([net.column("athlete_id"), day, new, gone, net.column("ingested")], list(Difference._fields))
        .group_by(["athlete", "day"])
        .aggregate([("new", "sum"), ("gone", "sum"), ("ingested", "max")])
    )
    columns = (counted.column(name).to_pylist() for name in ("athlete", "day", "new_sum", "gone_sum", "ingested_max"))
    return [Difference(*row) for row in zip(*columns, strict=True)]
