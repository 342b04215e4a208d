"""What the daily, weekly and rolling features cost: python benchmarks/rolling.py [--athletes 1000] [--years 3].

Generated activities in a scratch home; then, each in a process of its own: the first fill of each table, the next day
of each table from the state of the evening before, and the next day of rolling without any state row (all history).
Each writes its Delta table. CPU seconds include the engine, which runs in the process (Sail).
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa

from athlete_assets import tables
from athlete_assets.days import ONE_DAY, Days
from athlete_assets.features.daily import daily_features
from athlete_assets.features.rolling import rolling_features
from athlete_assets.features.weekly import weekly_features
from athlete_assets.settings import Settings
from athlete_assets.store.arrow import arrow_schema
from athlete_assets.store.local import LocalStore

LAST = date(2025, 6, 29)
MICROSECONDS_A_DAY = 86_400_000_000
STEPS = ("land", "daily fill", "weekly fill", "rolling fill", "daily day", "rolling day", "rolling day without state")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--athletes", type=int, default=1000)
    parser.add_argument("--years", type=float, default=3.0)
    parser.add_argument("--home", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--step", choices=STEPS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.step:
        print(json.dumps(measured(arguments.step, arguments.home, arguments.athletes, arguments.years)))
        return
    with tempfile.TemporaryDirectory() as folder:
        print(f"{arguments.athletes} athletes x {arguments.years:g} years, Sail in the process")
        print(f"{'':28}{'rows':>12}{'wall s':>9}{'CPU s':>9}{'peak MB':>9}")
        for step in STEPS:
            command = [sys.executable, __file__, "--home", folder, "--step", step]
            command += ["--athletes", str(arguments.athletes), "--years", str(arguments.years)]
            answer = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
            figures = json.loads(answer.stdout.splitlines()[-1])
            print(
                f"{step:28}{figures['rows']:>12,}{figures['wall']:>9.1f}{figures['cpu']:>9.1f}{figures['peak']:>9,.0f}"
            )


def land(home: Path, athletes: int, years: float) -> int:
    """Activities of athletes who begin within the first year and train on about four days of seven."""
    random = np.random.default_rng(5)
    length = round(years * 365.25)
    begin = random.integers(0, min(365, length), athletes)
    happens = random.random((athletes, length)) < 0.57
    happens &= np.arange(length) >= begin[:, None]
    happens[np.arange(athletes), begin] = True
    athlete, offset = np.nonzero(happens)
    count = len(athlete)
    km, pace = random.gamma(4, 2.5, count) + 1, random.normal(5.4, 0.6, count).clip(3)
    day = (LAST - timedelta(days=length - 1) - date(1970, 1, 1)).days + offset
    stamps = pa.array(day * MICROSECONDS_A_DAY).cast(pa.timestamp("us", "UTC"))
    columns = {
        "athlete_id": pa.array(np.char.add("athlete-", np.arange(athletes).astype(str))).take(pa.array(athlete)),
        "activity_id": pa.array(np.arange(count)),
        "event_timestamp": stamps,
        "sport_type": pa.array(np.where(random.random(count) < 0.9, "Run", "Ride")),
        "is_race": pa.array(np.zeros(count, dtype=bool)),
        "distance_km": pa.array(km),
        "moving_time_min": pa.array(km * pace),
        "pace_min_km": pa.array(pace),
        "threshold_pace_min_km": pa.array(np.full(count, 5.0)),
        "threshold_source": pa.array(np.full(count, "default")),
        "estimated_tss": pa.array(km * pace / 60 * (5 / pace) ** 2 * 100),
        "load_method": pa.array(np.full(count, "pace")),
        "activity_date": stamps,
        "month": pa.array(day.astype("datetime64[D]").astype("datetime64[M]").astype(str)),
    }
    schema = arrow_schema(tables.ACTIVITY)
    rows = pa.table([columns.get(f.name, pa.nulls(count, f.type)).cast(f.type) for f in schema], schema=schema)
    return LocalStore(Settings(home=home)).replace_arrow(tables.ACTIVITY, rows).rows


def measured(step: str, home: Path, athletes: int, years: float) -> dict[str, float]:
    """Rows written, wall and CPU seconds, and the process's peak memory (MB), of one step."""
    settings = Settings(home=home)
    store = LocalStore(settings)
    store.spark.range(1).toArrow()  # the session's start is not the step's cost
    if step == "land":  # apart from the others: Linux passes the peak of a parent on to its children
        return {"rows": land(home, athletes, years), "wall": 0, "cpu": 0, "peak": 0}
    length = round(years * 365.25)
    fill, newest = Days(LAST - timedelta(days=length - 1), LAST - ONE_DAY), Days(LAST, LAST)
    wall, cpu = time.perf_counter(), time.process_time()
    rows = 0
    if step == "weekly fill":
        weeks = fill.weeks
        written = store.replace(tables.WEEKLY, weekly_features(store.read(tables.DAILY), weeks), weeks)
        rows = written.rows
    elif step.startswith("daily"):
        for days in (newest,) if step == "daily day" else fill.chunks(2_000_000 // athletes):
            rows += store.replace(tables.DAILY, daily_features(store.read(tables.ACTIVITY), days), days).rows
    else:
        for days in fill.chunks(2_000_000 // athletes) if step == "rolling fill" else (newest,):
            evening = Days(days.first - ONE_DAY, days.first - ONE_DAY)
            state = store.read(tables.ROLLING, evening)
            if step == "rolling day without state":
                state = state.limit(0)
            made = rolling_features(store.read(tables.DAILY), store.read(tables.ACTIVITY), state, days, settings)
            rows += store.replace(tables.ROLLING, made, days).rows
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 if sys.platform != "darwin" else 1024**2)
    return {"rows": rows, "wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu, "peak": peak}


if __name__ == "__main__":
    main()
