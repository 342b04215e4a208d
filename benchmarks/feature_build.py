"""What a home's first fill of the feature tables costs, step by step, and what the next day costs.

    python benchmarks/feature_build.py [--athletes 360] [--memory 4] [--beside polars,duckdb] [--into figures.json]

Each step runs in a process of its own: ours through its asset, checks included, with the engine (Sail) in the process;
then each peer that is installed (the extra `bench`) on the same rows: activity on the same silver, the others on what
our step before wrote. What both compute is compared value by value, to 1e-9. Then one more day lands in silver, and
goes through all tables of features (`next day`), and through summary and projection (`its gold`; predictions want a
model first). Prints CPU and wall seconds, of ours the CPU seconds inside the NumPy kernels, the most memory that the
process had during the step, what it read of files, and the size of the tables' files. --memory is ATHLETE_MEMORY_GB,
--chunk ATHLETE_CHUNK_ATHLETE_DAYS.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import inspect
import json
import multiprocessing.forkserver
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
from cohort import LAST, Assets, home, land_day
from usage import cpu_seconds, forget_peak, options, peak_mb, read_mb

from athlete_assets import tables
from athlete_assets.days import Days, monday_of
from athlete_assets.features import activity, daily, monthly, performance, rolling, weekly
from athlete_assets.settings import Settings
from athlete_assets.store.base import Size
from athlete_assets.store.local import LocalStore
from athlete_assets.store.pieces import athletes_with_activities

STEPS: dict[str, list[tables.Table]] = {
    "activity": [tables.ACTIVITY, tables.REJECTS, tables.MONTHLY],
    "daily": [tables.DAILY],
    "weekly": [tables.WEEKLY],
    "rolling": [tables.ROLLING],
    "performance": [tables.PERFORMANCE],
}
NEXT_DAY: dict[str, list[tables.Table]] = {
    "next day": [table for step in STEPS.values() for table in step],
    "its gold": [tables.METRICS_SUMMARY, tables.PROJECTION, tables.LOAD_ROOM],
}
KERNELS = (
    (activity, "activity_rows"),
    (monthly, "bucket_months"),
    (daily, "dense_days"),
    (weekly, "bucket_weeks"),
    (rolling, "bucket_states"),
    (performance, "bucket_states"),
)
OURS, PEERS = "ours", ("polars", "duckdb")
TOLERANCE = 1e-9
SAME_OF_ACTIVITY = (
    "athlete_id", "activity_id", "event_timestamp", "sport_type", "is_race", "is_continuous", "distance_km",
    "moving_time_min", "elapsed_time_min", "elevation_gain_m", "elevation_per_km", "avg_hr", "max_hr", "activity_date",
)  # fmt: skip
"""The peers' activity is simpler in the rest."""


def main() -> None:
    asked = options(
        __doc__, athletes=360, years=2.0, memory=0.0, chunk=0, steps=",".join(STEPS), beside=",".join(PEERS), into=""
    ).parse_args()
    chosen: dict[str, Any] = {"memory_gb": asked.memory or None, "chunk_athlete_days": asked.chunk or None}
    peers = [name for name in asked.beside.split(",") if name and importlib.util.find_spec(name)]
    figures: dict[str, Any] = {"athletes": asked.athletes, "years": asked.years, "steps": []}
    # each piece of work in a process of its own, which is forked from one that has loaded the code and no more
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(["cohort"])
    with tempfile.TemporaryDirectory(prefix="bench_build_") as folder, processes.Pool(1, maxtasksperchild=1) as pool:
        settings = pool.apply(home, (Path(folder), asked.athletes, asked.years), chosen)
        figures["activities"] = LocalStore(settings).count(tables.STRAVA_ACTIVITIES)
        print(f"{asked.athletes} athletes x {asked.years:g} years, {figures['activities']:,} activities")
        heads = f"{'CPU s':>9}{'kernels':>9}{'wall s':>9}{'peak MB':>9}{'read MB':>9}{'rows':>13}{'files':>7}{'MB':>8}"
        print(f"{'step':<14}{'':<8}{heads}  same values", flush=True)
        for step in (*asked.steps.split(","), *NEXT_DAY):
            for who in (OURS, *peers):
                if who != OURS and step not in importlib.import_module(f"peers_{who}").STEPS:
                    continue
                line = {"step": step, "who": who} | pool.apply(measured, (who, step, settings))
                if who != OURS:
                    line["same"] = pool.apply(same_values, (settings, STEPS[step][0], peer_folder(settings, who, step)))
                figures["steps"].append(line)
                same = format(line["same"], ",") if "same" in line else ""
                kernels = format(line["kernels"], "9.1f") if "kernels" in line else " " * 9
                print(
                    f"{step:<14}{who:<8}{line['cpu']:>9.1f}{kernels}{line['wall']:>9.1f}{line['peak']:>9.0f}"
                    f"{line['read']:>9.0f}"
                    f"{line['rows']:>13,}{line['files']:>7}{line['bytes'] / 1e6:>8.1f}  {same}",
                    flush=True,
                )
    multiprocessing.forkserver._forkserver._stop()  # waits for it, so that whoever waits for us sees what it used
    tell_shares(figures["steps"])
    if asked.into:
        Path(asked.into).write_text(json.dumps(figures, indent=1) + "\n")


def tell_shares(lines: list[dict[str, Any]]) -> None:
    """Ours over each peer's for the steps that the peer has, and the next day over our build."""
    cpu = {(line["who"], line["step"]): line["cpu"] for line in lines}
    told = []
    for peer in PEERS:
        steps = [step for who, step in cpu if who == peer]
        if steps:
            ours, theirs = (sum(cpu[who, step] for step in steps) for who in (OURS, peer))
            told.append(f"{'+'.join(steps)} {ours:.1f} CPU s, {ours / theirs:.2f} x {peer}")
    built, day = (sum(cpu[OURS, step] for step in steps if (OURS, step) in cpu) for steps in (STEPS, NEXT_DAY))
    told.append(f"next day and its gold {day:.1f} CPU s, {day / built:.0%} of the build")
    print("; ".join(told))


class Clock:
    """CPU seconds inside the kernels, of all threads that run them."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._lock = threading.Lock()
        for module, name in KERNELS:
            setattr(module, name, self._timed(getattr(module, name)))

    def _timed(self, kernel: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(kernel)  # under its name, by which the engine finds it again
        def timed(*arguments: Any, **named: Any) -> Any:
            began = time.thread_time()
            try:
                return kernel(*arguments, **named)
            finally:
                with self._lock:
                    self.seconds += time.thread_time() - began

        timed.__signature__ = inspect.signature(kernel)  # type: ignore[attr-defined] # the engine's client asks for it
        return timed


def peer_folder(settings: Settings, who: str, step: str) -> Path:
    return settings.home / "peers" / f"{who}_{step}"


def measured(who: str, step: str, settings: Settings) -> dict[str, Any]:
    """What one step costs in this process."""
    if who == OURS:
        return measured_ours(step, settings)
    store = LocalStore(settings)
    peer = importlib.import_module(f"peers_{who}")
    read = {
        "activity": [tables.STRAVA_ACTIVITIES],
        "daily": [tables.ACTIVITY],
        "weekly": [tables.DAILY],
        "rolling": [tables.ACTIVITY, tables.DAILY],
    }[step]
    files = {table.name: store.delta(table).file_uris() for table in read}
    out = peer_folder(settings, who, step)
    forget_peak()
    cpu, wall, read_before = cpu_seconds(), time.monotonic(), read_mb()
    peer.STEPS[step](files, out, settings)
    used = {"cpu": cpu_seconds() - cpu, "wall": time.monotonic() - wall, "peak": peak_mb()}
    used["read"] = read_mb() - read_before
    size = Size.of(out)
    return used | {"rows": ds.dataset(out, format="parquet").count_rows(), "files": size.files, "bytes": size.bytes}


def measured_ours(step: str, settings: Settings) -> dict[str, Any]:
    assets = Assets(settings)
    assets.store.spark.range(1).toArrow()  # the session's start is no step's cost
    clock, today = Clock(), settings.today
    selected = STEPS[step] if step in STEPS else NEXT_DAY[step]
    if step == "next day":
        land_day(assets.store, len(athletes_with_activities(assets.store)), today)
    forget_peak()
    cpu, wall, read_before = cpu_seconds(), time.monotonic(), read_mb()
    if step == "next day":
        assets.run([table for table in selected if table is not tables.WEEKLY], Days(today, today))
        assets.run([tables.WEEKLY], Days(monday_of(today), monday_of(today)))
    elif step in NEXT_DAY:
        assets.run(selected)
    else:
        assets.run(selected, Days(settings.start_date, monday_of(LAST) if step == "weekly" else LAST))
    used = {"cpu": cpu_seconds() - cpu, "wall": time.monotonic() - wall, "peak": peak_mb(), "kernels": clock.seconds}
    used["read"] = read_mb() - read_before
    written = selected if step in NEXT_DAY else selected[:1]
    rows = sum(assets.store.count(table) for table in written)
    files = sum(len(assets.store.delta(table).file_uris()) for table in written)
    size = sum(Size.of(assets.store.path(table)).bytes for table in written)
    assets.instance.dispose()
    return used | {"rows": rows, "files": files, "bytes": size}


def same_values(settings: Settings, table: tables.Table, folder: Path) -> int:
    """How many values of ours and the peer's are the same; raises where one is not."""
    store, peer = LocalStore(settings), ds.dataset(folder, format="parquet")
    names = [name for name in table.column_names if name in peer.schema.names]
    if table.name == tables.ACTIVITY.name:
        names = list(SAME_OF_ACTIVITY)
    ours, theirs = (
        rows.to_table(columns=names).sort_by([(key, "ascending") for key in table.keys])
        for rows in (ds.dataset(store.delta(table).file_uris(), format="parquet"), peer)
    )
    if ours.num_rows != theirs.num_rows:
        raise ValueError(f"{table.name}: {ours.num_rows} rows of ours, {theirs.num_rows} in {folder.name}")
    for name in names:
        away = differing(ours[name], theirs[name])
        if away.any():
            row = int(np.flatnonzero(away)[0])
            raise ValueError(
                f"{table.name}.{name}: {away.sum()} of {len(away)} values differ in {folder.name}, the first in row "
                f"{row}: {ours[name][row]} and {theirs[name][row]}"
            )
    return ours.num_rows * len(names)


def differing(ours: pa.ChunkedArray, theirs: pa.ChunkedArray) -> np.ndarray:
    """Where two columns are further apart than the tolerance, or only one of them is null."""
    if pa.types.is_list(ours.type):
        return np.array([one != other for one, other in zip(ours.to_pylist(), theirs.to_pylist(), strict=True)])
    theirs = theirs.cast(ours.type)
    nulls = [column.is_null().to_numpy(zero_copy_only=False) for column in (ours, theirs)]
    if pa.types.is_floating(ours.type):
        one, other = (column.to_numpy() for column in (ours, theirs))
        scale = np.maximum(1.0, np.maximum(np.abs(one), np.abs(other)))
        return (nulls[0] != nulls[1]) | (~nulls[0] & ~(np.abs(one - other) <= TOLERANCE * scale))
    unequal = pc.fill_null(pc.not_equal(ours, theirs), False).to_numpy(zero_copy_only=False)
    return (nulls[0] != nulls[1]) | unequal


if __name__ == "__main__":
    main()
