"""What pages, summary and projection cost: python benchmarks/pages.py [--athletes 1000] [--years 3].

Generated tables in a scratch home: a run on about four days of seven, a state and a load for each day, a prediction for
each of the last 400 days. Then, each in a process of its own: the summary, the projection, the first writing of all
pages, another with nothing new, one after a single athlete's new run, and one after a new day of everybody's. CPU
seconds include the engine, which runs in the process (Sail); the share is that of the daily steps together.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from usage import in_its_own_process, options, peak_mb

from athlete_assets import tables
from athlete_assets.assets.gold import SUMMARISED
from athlete_assets.features.monthly import all_months
from athlete_assets.gold.metrics_summary import metrics_summary
from athlete_assets.gold.pages.site import write_pages
from athlete_assets.gold.projection import projections
from athlete_assets.settings import Settings
from athlete_assets.store.arrow import arrow_schema
from athlete_assets.store.local import LocalStore
from athlete_assets.store.sql import delta_literal

TODAY = date(2025, 6, 29)
PREDICTED_DAYS = 400
SUMMARY, PROJECTION = "summary", "projection"
FIRST, NOTHING, ONE, ALL = "pages, first", "pages, nothing new", "pages, one new run", "pages, a new day"
STEPS = ("land", SUMMARY, PROJECTION, FIRST, NOTHING, ONE, ALL)
MICROSECONDS_A_DAY = 86_400_000_000


def main() -> None:
    parser = options(__doc__, athletes=1000, years=3.0)
    parser.add_argument("--home", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--step", choices=STEPS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.step:
        print(json.dumps(measured(arguments.step, arguments.home, arguments.athletes, arguments.years)))
        return
    with tempfile.TemporaryDirectory() as folder:
        print(f"{arguments.athletes} athletes x {arguments.years:g} years, Sail in the process")
        print(f"{'':22}{'pages':>8}{'wall s':>9}{'CPU s':>9}{'peak MB':>9}{'pages MB':>10}")
        for step in STEPS:
            cohort = ("--athletes", arguments.athletes, "--years", arguments.years)
            found = in_its_own_process(__file__, "--home", folder, "--step", step, *cohort)
            if step != "land":
                print(
                    f"{step:22}{found['pages']:>8,}{found['wall']:>9.1f}{found['cpu']:>9.1f}{found['peak']:>9,.0f}"
                    f"{found['mb']:>10.1f}"
                )


def land(store: LocalStore, athletes: int, years: float) -> None:
    """Fills the tables that pages, summary and projection read."""
    random = np.random.default_rng(5)
    length = round(years * 365.25)
    first = (TODAY - timedelta(days=length - 1) - date(1970, 1, 1)).days
    load = np.where(random.random((athletes, length)) < 0.57, random.gamma(4, 15, (athletes, length)), 0.0)
    km = load / 7
    state = {days: _weighted(load, days) for days in (42, 7)}
    ids = pa.array(np.char.add("athlete-", np.arange(athletes).astype(str)))
    athlete, offset = (values.ravel() for values in np.indices(load.shape))

    def put(table: tables.Table, of: np.ndarray, at: np.ndarray, day_column: str, **columns: Any) -> None:
        days = first + at
        columns |= {"athlete_id": ids.take(pa.array(of)), day_column: _days(days)}
        columns["month"] = pa.array(days.astype("datetime64[D]").astype("datetime64[M]").astype(str))
        store.replace_arrow(table, _rows(table, len(of), columns))

    put(
        tables.ROLLING,
        athlete,
        offset,
        "as_of_date",
        ctl_42d=state[42].ravel(),
        atl_7d=state[7].ravel(),
        tsb=(state[42] - state[7]).ravel(),
        acwr=(state[7] / state[42].clip(1)).ravel(),
        untracked_share_42d=np.zeros(load.size),
    )
    put(
        tables.DAILY,
        athlete,
        offset,
        "activity_date",
        daily_tss=load.ravel(),
        distance_km=km.ravel(),
        activities=(load > 0).ravel().astype(int),
        moving_time_min=km.ravel() * 5.4,
        is_rest_day=(load == 0).ravel(),
    )
    sunday = (first + offset + 3) % 7 == 6
    monday = np.maximum(offset[sunday] - 6, 0)
    put(tables.WEEKLY, athlete[sunday], monday, "week_start", weekly_distance_km=random.gamma(4, 10, sunday.sum()))
    runs = np.flatnonzero(load.ravel() > 0)
    pace = random.normal(5.4, 0.4, len(runs))
    zones = random.dirichlet(np.ones(5), len(runs))
    put(
        tables.ACTIVITY,
        athlete[runs],
        offset[runs],
        "activity_date",
        activity_id=runs,
        event_timestamp=_days(first + offset[runs]),
        sport_type=pa.array(np.full(len(runs), "Run")),
        distance_km=km.ravel()[runs],
        moving_time_min=km.ravel()[runs] * pace,
        pace_min_km=pace,
        estimated_tss=load.ravel()[runs],
        load_method=pa.array(np.full(len(runs), "pace")),
        threshold_pace_min_km=np.full(len(runs), 5.0),
        avg_hr=random.normal(148, 10, len(runs)).clip(90, 200),
        hr_max_bpm=np.full(len(runs), 190.0),
        **{f"hr_zone_{zone + 1}_pct": zones[:, zone] for zone in range(5)},
    )
    store.replace(tables.MONTHLY, all_months(store))
    late = offset >= length - PREDICTED_DAYS
    times = {"5k": 1400.0, "10k": 2950.0, "half": 6600.0, "marathon": 14000.0}
    moved = 1 + 0.02 * np.sin(offset[late] / 40)
    put(
        tables.PREDICTIONS,
        athlete[late],
        offset[late],
        "prediction_date",
        features_as_of=_days(first + offset[late]),
        served_by=pa.array(np.full(late.sum(), "model")),
        model_version=pa.array(np.full(late.sum(), "1")),
        **{
            column: seconds * moved * factor
            for name, seconds in times.items()
            for column, factor in zip(tables.TIME_COLUMNS[name], (1.0, 0.94, 1.07), strict=True)
        },
    )


def _weighted(load: np.ndarray, days: int) -> np.ndarray:
    """Fitness or fatigue by day."""
    state, found = np.zeros(len(load)), np.empty_like(load)
    for at in range(load.shape[1]):
        state = state + (load[:, at] - state) * (1 - np.exp(-1 / days))
        found[:, at] = state
    return found


def _days(days: np.ndarray) -> pa.Array:
    return pa.array(days * MICROSECONDS_A_DAY).cast(pa.timestamp("us", "UTC"))


def _rows(table: tables.Table, count: int, columns: dict[str, Any]) -> pa.Table:
    schema = arrow_schema(table)
    filled = []
    for field in schema:
        if field.name in columns:
            filled.append(pa.array(columns[field.name]).cast(field.type))
        elif field.nullable:
            filled.append(pa.nulls(count, field.type))
        else:
            default = "x" if pa.types.is_string(field.type) else 0
            filled.append(pa.array([default] * count).cast(field.type))
    return pa.table(filled, schema=schema)


def measured(step: str, home: Path, athletes: int, years: float) -> dict[str, float]:
    """Pages written, wall and CPU seconds, the process's peak memory and the size of all pages (MB), of one step."""
    settings = Settings(home=home)
    store = LocalStore(settings)
    store.spark.range(1).toArrow()  # the session's start is not the step's cost
    if step == "land":  # apart from the others: Linux passes the peak of a parent on to its children
        land(store, athletes, years)
        return {}
    if step in (ONE, ALL):
        # a run of 5 TSS more on the newest day, of one athlete or of all
        where = f" AND athlete_id = {delta_literal('athlete-0')}" if step == ONE else ""
        newest = store.delta(tables.ROLLING)
        newest.update(
            predicate=f"month = '{TODAY:%Y-%m}' AND as_of_date = '{TODAY}'{where}", updates={"atl_7d": "atl_7d + 5"}
        )
    wall, cpu = time.perf_counter(), time.process_time()
    written, size = 0, 0
    if step == SUMMARY:
        activities, daily, rolling, performance, athletes = (store.read(table) for table in SUMMARISED)
        rows = metrics_summary(activities, all_months(store), daily, rolling, performance, athletes)
        store.replace(tables.METRICS_SUMMARY, rows)
    elif step == PROJECTION:
        daily, rolling, plans = (store.read(table) for table in (tables.DAILY, tables.ROLLING, tables.ATHLETE_PLAN))
        for table, rows in projections(daily, rolling, plans, settings).items():
            store.replace(table, rows)
    else:
        pages = write_pages(store, settings)
        written = pages.rendered
        size = sum(path.stat().st_size for path in (*pages.athletes.values(), pages.index))
    return {
        "pages": written,
        "wall": time.perf_counter() - wall,
        "cpu": time.process_time() - cpu,
        "peak": peak_mb(),
        "mb": size / 1e6,
    }


if __name__ == "__main__":
    main()
