"""Which days of which athletes a change of the silver tables touches, and which partitions follow from them.

Found from the tables' commits alone, without an engine, because a sensor looks every half minute: first the version;
then the change data feed where the table has it; else the difference between the two versions; else (the old version
is gone) what was ingested since, with what the derived tables know and silver no longer holds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable, QueryBuilder
from deltalake.exceptions import DeltaError

from athlete_assets import tables
from athlete_assets.days import ONE_DAY, Days
from athlete_assets.errors import ContractError, StoreError
from athlete_assets.features import activity
from athlete_assets.settings import Settings
from athlete_assets.silver import quality
from athlete_assets.store.local import LocalStore
from athlete_assets.tables import Table

INGESTED = "silver_ingestion_timestamp"
COMMITS_A_LOOK = 500
"""Commits that one look reads; what is beyond them waits for the next."""
KEYS_BY_NAME = 2000
"""Keys that a statement lists; for more of them all rows of their athletes are read."""

WATCHED = (tables.STRAVA_ACTIVITIES, tables.STRAVA_SUB_ACTIVITY, tables.STRAVA_ATHLETE)


@dataclass(frozen=True)
class Position:
    """How far a table was read: which table, its version, and its newest ingestion time (ISO, UTC)."""

    id: str
    version: int
    ingested: str | None = None


Positions = Mapping[str, Position]
"""By table name."""


@dataclass(frozen=True)
class Report:
    """What changed in one partition of a silver table."""

    table: Table
    day: date
    rows_new: int
    rows_gone: int
    newest_ingestion: datetime | None


@dataclass
class Touched:
    """Days by athlete (None: rows without an athlete) in which silver differs from what was read before."""

    days: dict[str | None, set[date]] = field(default_factory=dict)
    restated: set[str] = field(default_factory=set)
    """Athletes whose own statements (maximum heart rate, threshold pace, ...) changed: all their days follow."""
    outside: int = 0
    """Changed rows outside the calendar; any day's run writes them to the rejects."""
    reports: list[Report] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.days or self.restated or self.outside)

    def add(self, athlete: str | None, day: date) -> None:
        self.days.setdefault(athlete, set()).add(day)


class Silver:
    """The local deployment's silver tables, as a sensor sees them."""

    def __init__(self, store: LocalStore) -> None:
        self.store = store
        self.settings = store.settings

    def position(self, table: Table) -> Position | None:
        """Where the table stands now; None where it does not exist."""
        if not self.store.exists(table):
            return None
        delta = self.store.delta(table)
        return Position(str(delta.metadata().id), delta.version())

    def touched(self, before: Positions, after: Positions) -> Touched:
        """What the tables' changes between two positions touch.

        Raises StoreError where a table cannot be read, ContractError where it lacks a column of the contract.
        """
        touched = Touched()
        self._activities(before, after, touched)
        self._splits(before, after, touched)
        self._athletes(before, after, touched)
        return touched

    def newest_ingestion(self, table: Table) -> str | None:
        """The newest ingestion time in the table (ISO, UTC): where a look without an old version begins."""
        if not self.store.exists(table) or INGESTED not in table.column_names:
            return None
        newest = _query(self.store.delta(table), f"SELECT MAX({INGESTED}) AS newest FROM t").column("newest")[0]
        moment = newest.cast(pa.timestamp("us", "UTC")).as_py()
        return moment.isoformat() if moment else None

    # ------------------------------------------------------------------------------------------- one table each

    def _activities(self, before: Positions, after: Positions, touched: Touched) -> None:
        table = tables.STRAVA_ACTIVITIES
        net = self._net(table, before.get(table.name), after.get(table.name), touched)
        if net is not None and net.num_rows:
            self._note_days(net, table, touched)
            self._note_same_keys(net, touched)

    def _note_same_keys(self, net: pa.Table, touched: Touched) -> None:
        """Adds the days on which silver holds a changed key once more: of such rows the earliest day's is used."""
        keys = net.select(["athlete_id", "id"]).group_by(["athlete_id", "id"]).aggregate([])
        athletes = pc.unique(keys.column("athlete_id")).drop_null()
        ids = keys.column("id").drop_null()
        if not len(athletes) or not len(ids):
            return
        listed = f" AND id IN ({', '.join(map(str, ids.to_pylist()))})" if len(ids) <= KEYS_BY_NAME else ""
        rows = _query(
            self.store.delta(tables.STRAVA_ACTIVITIES),
            f"SELECT athlete_id, id, start_date_local FROM t WHERE {_between(athletes)}{listed}",
        )
        rows = _plain(rows).join(keys, keys=["athlete_id", "id"], join_type="inner")
        days = rows.column("start_date_local").cast(pa.date32())
        for athlete, day in zip(rows.column("athlete_id").to_pylist(), days.to_pylist(), strict=True):
            if day is not None and self.settings.start_date <= day <= self.settings.today:
                touched.add(athlete, day)

    def _splits(self, before: Positions, after: Positions, touched: Touched) -> None:
        """The days of the activities that own the changed splits, where silver has the activity."""
        table = tables.STRAVA_SUB_ACTIVITY
        net = self._net(table, before.get(table.name), after.get(table.name), touched)
        owners = pc.unique(net.column("athlete_id")).drop_null() if net is not None else None
        if net is None or not owners or not self.store.exists(tables.STRAVA_ACTIVITIES):
            return
        activities = _query(
            self.store.delta(tables.STRAVA_ACTIVITIES),
            f"SELECT athlete_id, id AS activity_id, start_date_local FROM t WHERE {_between(owners)}",
        )
        self._note_days(
            net.join(_plain(activities), keys=["athlete_id", "activity_id"], join_type="inner"), table, touched
        )

    def _athletes(self, before: Positions, after: Positions, touched: Touched) -> None:
        table = tables.STRAVA_ATHLETE
        net = self._net(table, before.get(table.name), after.get(table.name), touched)
        if net is not None:
            touched.restated |= set(net.column("athlete_id").drop_null().to_pylist())

    def _note_days(self, net: pa.Table, table: Table, touched: Touched) -> None:
        """Adds the net changes' athletes and days, and one report for each day."""
        counts: dict[date, list[int]] = {}
        newest: dict[date, datetime] = {}
        net = net.append_column("day", net.column("start_date_local").cast(pa.date32()))
        columns = (net.column(name).to_pylist() for name in ("athlete_id", "day", "net", "ingested"))
        for athlete, day, change, ingested in zip(*columns, strict=True):
            if day is None or not self.settings.start_date <= day <= self.settings.today:
                touched.outside += 1
                continue
            touched.add(athlete, day)
            new_and_gone = counts.setdefault(day, [0, 0])
            new_and_gone[change < 0] += abs(change)
            if ingested is not None:
                newest[day] = max(newest.get(day, ingested), ingested)
        touched.reports += [
            Report(table, day, new, gone, newest.get(day)) for day, (new, gone) in sorted(counts.items())
        ]

    # ------------------------------------------------------------------------------------------- what is different

    def _net(self, table: Table, before: Position | None, after: Position | None, touched: Touched) -> pa.Table | None:
        """The rows by which two positions differ: content, `net` (+1 new, -1 gone) and `ingested`; None without any.

        A row that was rewritten with the same content, ingestion time aside, is no change.
        """
        if after is None or before == after:
            return None
        if before is not None and before.id == after.id and before.version <= after.version:
            if before.version == after.version:
                return None
            delta = self.store.delta(table)
            if delta.metadata().configuration.get("delta.enableChangeDataFeed") == "true":
                feed = self._change_feed(delta, table, before.version, after.version, touched)
                if feed is not None:
                    return feed
            old = self._snapshot(table, before.version)
            if old is not None:
                return _difference(_content(self._snapshot_or_raise(table, after.version)), _content(old))
            touched.notes.append(
                f"{table.name}: version {before.version} is gone and there is no change feed; found what was "
                "ingested since and what vanished"
            )
        return self._since_watermark(table, before, after)

    def _change_feed(self, delta: DeltaTable, table: Table, first: int, last: int, touched: Touched) -> pa.Table | None:
        columns = [*_columns(delta, table), "_change_type"]
        try:
            feed = pa.table(delta.load_cdf(starting_version=first + 1, ending_version=last, columns=columns))
        except (DeltaError, OSError, pa.ArrowException) as error:
            reason = str(error).splitlines()[0][:200]
            touched.notes.append(f"{table.name}: the change feed of versions {first + 1}..{last} is gone ({reason})")
            return None
        is_new = pc.is_in(_plain(feed).column("_change_type"), pa.array(["insert", "update_postimage"]))
        sign = pc.if_else(is_new, 1, -1).cast(pa.int64())
        return _net_rows(_content(feed.drop_columns("_change_type")).append_column("sign", sign))

    def _snapshot(self, table: Table, version: int) -> pa.Table | None:
        try:
            return self._snapshot_or_raise(table, version)
        except StoreError:
            return None

    def _snapshot_or_raise(self, table: Table, version: int) -> pa.Table:
        try:
            delta = DeltaTable(str(self.store.path(table)), version=version)
            return _query(delta, f"SELECT {', '.join(_columns(delta, table))} FROM t")
        except (DeltaError, OSError) as error:
            reason = str(error).splitlines()[0][:300]
            raise StoreError(f"{'.'.join(table.path)}: version {version} cannot be read: {reason}") from error

    def _since_watermark(self, table: Table, before: Position | None, after: Position) -> pa.Table:
        """Without an old version to compare: what was ingested since, and the keys that only derived tables know."""
        new = _content(self._snapshot_or_raise(table, after.version))
        gone = self._vanished(new) if table == tables.STRAVA_ACTIVITIES else new.slice(0, 0)
        if before is not None and before.ingested is not None and table != tables.STRAVA_ATHLETE:
            # At the watermark itself a second commit of the same batch may lie: those rows count as new again.
            since = pa.scalar(datetime.fromisoformat(before.ingested), pa.timestamp("us", "UTC"))
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
                rows = _plain(_query(self.store.delta(table), statement))
                day = rows.column("activity_date").cast(pa.date32()).cast(pa.timestamp("us"))
                known.append(rows.drop_columns("activity_date").append_column("start_date_local", day))
        if not known:
            return silver.slice(0, 0)
        day = silver.column("start_date_local").cast(pa.date32()).cast(pa.timestamp("us"))
        held = _plain(silver.select(["athlete_id", "id"]).append_column("start_date_local", day))
        gone = pa.concat_tables(known).join(held, keys=["athlete_id", "id", "start_date_local"], join_type="left anti")
        return gone.append_column("ingested", pa.nulls(gone.num_rows, pa.timestamp("us", "UTC")))


def bounded(before: Positions, after: Positions) -> dict[str, Position]:
    """The positions to read up to in one look: at most COMMITS_A_LOOK commits of each table."""
    positions = dict(after)
    for name, position in after.items():
        read = before.get(name)
        if read is not None and read.id == position.id and position.version > read.version + COMMITS_A_LOOK:
            positions[name] = Position(position.id, read.version + COMMITS_A_LOOK)
    return positions


# --------------------------------------------------------------------------------------------------- what follows


def affected_days(
    touched: Touched, known_days: Callable[[Iterable[str]], Mapping[str, list[date]]], settings: Settings
) -> list[Days]:
    """The days whose activity and daily features may differ now, as windows in order, inside the calendar.

    From each touched day D of an athlete, and never a day before it (a row of a day rests on silver up to it alone):
    - quality.CONTEXT_DAYS after D, because a record may be dropped for one that began before midnight;
    - `activity.history_days` more days, because an activity's threshold pace and maximum heart rate rest on the
      trailing history (365 days by default);
    - where D lies before all activities of the athlete that stay: the days up to the first that stays (to today where
      none does), because the dense calendar of athlete_daily_features begins with the first activity. `known_days`
      gives the athletes' days with an activity as the features know them.
    An athlete's changed statements reach from the first activity to today. Weekly features follow the daily ones by
    week, and the week after (change against the week before); rolling features from the first affected day to today.
    """
    today, start = settings.today, settings.start_date
    reach = quality.CONTEXT_DAYS + activity.history_days(settings)
    windows = []
    for days in touched.days.values():
        windows += [Days(day, min(day + timedelta(days=reach), today)) for day in days]
    far = {
        athlete: days
        for athlete, days in touched.days.items()
        if athlete is not None and min(days) + timedelta(days=reach) < today
    }
    asked = {*far, *touched.restated}
    known = known_days(asked) if asked else {}
    for athlete, days in far.items():
        near = {day + n * ONE_DAY for day in days for n in range(quality.CONTEXT_DAYS + 1)}
        first_that_stays = min((day for day in known.get(athlete, []) if day not in near), default=today)
        if min(days) < first_that_stays:
            windows.append(Days(min(days), first_that_stays))
    for athlete in touched.restated:
        if known.get(athlete):
            windows.append(Days(known[athlete][0], today))
    if touched.outside and not windows:
        windows.append(Days(today, today))
    inside = [Days(max(window.first, start), min(window.last, today)) for window in windows if window.last >= start]
    return merged(inside)


def merged(windows: Iterable[Days]) -> list[Days]:
    """The same days as few windows, in order: overlapping and adjoining ones are joined."""
    joined: list[Days] = []
    for window in sorted(windows):
        if joined and window.first <= joined[-1].last + ONE_DAY:
            joined[-1] = Days(joined[-1].first, max(joined[-1].last, window.last))
        else:
            joined.append(window)
    return joined


def known_days(store: LocalStore, athletes: Iterable[str]) -> dict[str, list[date]]:
    """The days with an activity of each athlete, in order, as activity_features holds them."""
    wanted = sorted(athletes)
    if not wanted or not store.exists(tables.ACTIVITY):
        return {}
    rows = _plain(
        _query(
            store.delta(tables.ACTIVITY),
            f"SELECT DISTINCT athlete_id, activity_date FROM t WHERE {_between(pa.array(wanted))}",
        )
    )
    rows = rows.filter(pc.is_in(rows.column("athlete_id"), pa.array(wanted))).sort_by("activity_date")
    days: dict[str, list[date]] = {}
    for athlete, day in zip(
        rows.column("athlete_id").to_pylist(), rows.column("activity_date").to_pylist(), strict=True
    ):
        days.setdefault(athlete, []).append(day.date())
    return days


# ----------------------------------------------------------------------------------------------------------- rows


def _columns(delta: DeltaTable, table: Table) -> list[str]:
    """The contract's columns that the table has; raises ContractError where it lacks a required one."""
    found = {field.name for field in delta.schema().fields}
    for column in table.columns:
        if column.required and column.name not in found:
            raise ContractError(f"{'.'.join(table.path)}: required column {column.name} is missing")
    return [column.name for column in table.columns if column.name in found]


def _query(delta: DeltaTable, sql: str) -> pa.Table:
    """The rows of a statement over t. Raises StoreError: delta-rs's engine raises bare Exceptions."""
    try:
        return pa.table(QueryBuilder().register("t", delta).execute(sql).read_all())
    except Exception as error:
        raise StoreError(f"{delta.table_uri}: cannot be read: {str(error).splitlines()[0][:300]}") from error


def _plain(rows: pa.Table) -> pa.Table:
    """The rows with string_view columns as plain strings: merges write the former, and joins and groups refuse them."""
    fields = [
        pa.field(field.name, pa.string() if pa.types.is_string_view(field.type) else field.type)
        for field in rows.schema
    ]
    return rows.cast(pa.schema(fields))


def _content(rows: pa.Table) -> pa.Table:
    """The rows with their ingestion time, null where the table has none, as `ingested`."""
    rows = _plain(rows)
    if INGESTED in rows.column_names:
        moment = rows.column(INGESTED).cast(pa.timestamp("us", "UTC"))
        rows = rows.drop_columns(INGESTED)
    else:
        moment = pa.nulls(rows.num_rows, pa.timestamp("us", "UTC"))
    if "start_date_local" in rows.column_names:
        at = rows.schema.get_field_index("start_date_local")
        rows = rows.set_column(at, "start_date_local", rows.column(at).cast(pa.timestamp("us")))
    return rows.append_column("ingested", moment)


def _marked(rows: pa.Table, name: str, value: int) -> pa.Table:
    return rows.append_column(name, pa.array(np.full(rows.num_rows, value, dtype=np.int64)))


def _between(athletes: pa.Array) -> str:
    """SQL that lets files of other athletes be skipped; some of the athletes between them remain."""
    smallest, largest = (str(bound).replace("'", "''") for bound in pc.min_max(athletes).as_py().values())
    return f"athlete_id >= '{smallest}' AND athlete_id <= '{largest}'"


def _difference(new: pa.Table, old: pa.Table) -> pa.Table:
    return _net_rows(pa.concat_tables([_marked(new, "sign", 1), _marked(old, "sign", -1)], promote_options="default"))


def _net_rows(rows: pa.Table) -> pa.Table:
    """Equal contents counted together: those that did not cancel out, with `net` and the newest `ingested`."""
    content = [name for name in rows.column_names if name not in ("sign", "ingested")]
    totals = rows.group_by(content).aggregate([("sign", "sum"), ("ingested", "max")])
    totals = totals.rename_columns([*content, "net", "ingested"])
    return totals.filter(pc.not_equal(totals.column("net"), 0))
