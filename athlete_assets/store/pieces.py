"""How much of a long range is computed at once: as many athletes as memory holds, each over all days."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from athlete_assets import tables
from athlete_assets.days import Days
from athlete_assets.settings import Settings
from athlete_assets.store.athletes import EVERYONE, ID, NamedAthletes
from athlete_assets.store.base import Store
from athlete_assets.tables import Table

AnyStore = TypeVar("AnyStore", bound=Store)

GB = 10**9
STEP_GB = 1.4
"""What a step takes before its first row: the packages, Dagster, the engine and its buffers."""
GB_A_MILLION_ROWS = 0.8
"""What a million rows of a table take beside it while they are computed and written (benchmarks/feature_build.py:
0.4 at most, of a cohort without splits and recordings)."""
WIDEST_GB_A_MILLION_ROWS = 1.3
"""The same of the widest table, performance features (1.2 in pieces of 1.3 million, 0.7 in one of 3.4 million)."""
LEAST_ROWS = 100_000
"""Smaller pieces spend more on the engine's plans than on rows; about ten athletes of a life's running."""
ROWS_ON_A_CLUSTER = 20_000_000
"""Where rows do not pass through one process, a piece bounds the size of a commit alone."""
CGROUP = Path("/sys/fs/cgroup")


def pieces(store: AnyStore, table: Table, days: Days) -> list[AnyStore]:
    """The store among the athletes of each piece in which days of the table are computed; itself where one holds all.

    Pieces of athletes, not of days: so nobody's history is read twice, and what is kept in memory has a bound. Nobody
    is in two of them, and who is gone from silver is in one as well.
    """
    size = max(1, rows_at_once(store.settings, table) // len(days))
    if isinstance(store.athletes, NamedAthletes) and len(store.athletes.ids) <= size:
        return [store]
    if store.count(tables.STRAVA_ACTIVITIES) <= size:  # which files tell; their athletes are read where they are more
        return [store]
    parts = (store.athletes or EVERYONE).parts(athletes_with_activities(store), size)
    return [store] if len(parts) == 1 else [store.of(part) for part in parts]


def athletes_with_activities(store: Store) -> list[str]:
    """Ids, in no order."""
    found = store.read(tables.STRAVA_ACTIVITIES).select(ID).distinct().toArrow()[ID]
    return [athlete for athlete in found.to_pylist() if athlete is not None]


def rows_at_once(settings: Settings, table: Table) -> int:
    """How many rows of a dense daily table a step computes and commits together to fill the table.

    ATHLETE_CHUNK_ATHLETE_DAYS where it is set; else what ATHLETE_MEMORY_GB holds, or half of what is free now.
    """
    if settings.chunk_athlete_days is not None:
        return settings.chunk_athlete_days
    if settings.deployment != "local":
        return ROWS_ON_A_CLUSTER
    memory_gb = free_gb() / 2 if settings.memory_gb is None else settings.memory_gb
    gb_a_million_rows = WIDEST_GB_A_MILLION_ROWS if table == tables.PERFORMANCE else GB_A_MILLION_ROWS
    return max(LEAST_ROWS, int((memory_gb - STEP_GB) / gb_a_million_rows * 1_000_000))


def free_gb() -> float:
    """Memory (GB) that programs can still take, on this machine or in the container that this process is in."""
    import psutil

    free = psutil.virtual_memory().available
    try:
        limit, used = ((CGROUP / f"memory.{name}").read_text().strip() for name in ("max", "current"))
    except OSError:  # no container's limit, or not Linux
        return float(free / GB)
    return float((free if limit == "max" else min(free, int(limit) - int(used))) / GB)
