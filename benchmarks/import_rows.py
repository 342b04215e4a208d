"""How fast rows come in: python benchmarks/import_rows.py [rows].

Writes a Strava export's activities.csv with so many activities (one athlete, no recordings), and the same as a CSV in
silver's columns (200 athletes). Times the reading, the landing in a new home, and the same import again.
"""

from __future__ import annotations

import argparse
import csv
import tempfile
import time
from datetime import datetime, timedelta
from pathlib import Path

from usage import cpu_seconds, peak_mb

from athlete_assets.settings import Settings
from athlete_assets.silver.imports import read_runs
from athlete_assets.silver.landing import held, land
from athlete_assets.store.local import LocalStore

FIRST = datetime(2010, 1, 1, 6)
EXPORT = [
    "Activity ID", "Activity Date", "Activity Name", "Activity Type", "Elapsed Time", "Distance", "Max Heart Rate",
    "Elapsed Time", "Moving Time", "Distance", "Elevation Gain", "Max Heart Rate", "Average Heart Rate",
]  # fmt: skip
SILVER = [
    "athlete_id", "id", "start_date", "start_date_local", "sport_type", "distance", "moving_time", "elapsed_time",
    "average_heartrate",
]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rows", type=int, nargs="?", default=200_000)
    rows = parser.parse_args().rows
    with tempfile.TemporaryDirectory() as folder:
        for name, write in (("activities.csv", write_export), ("silver.csv", write_silver)):
            path = Path(folder) / name
            write(path, rows)
            store = LocalStore(Settings(home=Path(folder) / f"home_{name}", time_zone="Europe/Berlin"))
            for title in ("first import", "second import"):
                wall, cpu = time.perf_counter(), cpu_seconds()
                runs = read_runs(path, store.settings, "me" if name == "activities.csv" else None, held(store))
                read, read_cpu = time.perf_counter(), cpu_seconds()
                report = land(store, runs)
                done = time.perf_counter()
                print(
                    f"{name}, {path.stat().st_size / 1e6:.0f} MB, {title}: {report.new} new of {report.read}; "
                    f"read {read - wall:.1f} s ({read_cpu - cpu:.1f} CPU s), landed {done - read:.1f} s "
                    f"({cpu_seconds() - read_cpu:.1f} CPU s), {peak_mb():.0f} MB at most"
                )


def write_export(path: Path, rows: int) -> None:
    with open(path, "w", newline="") as handle:
        writer = csv.writer(handle)
        writer.writerow(EXPORT)
        for n in range(rows):
            start, metres, seconds = FIRST + timedelta(minutes=40 * n), 5000.0 + n % 9000, 1500.0 + n % 3000
            people = [n + 1, f"{start:%b %d, %Y, %I:%M:%S %p}", "Run", "Run", seconds + 60, f"{metres / 1000:.2f}", 180]
            writer.writerow([*people, seconds + 60, seconds, metres, 40.0, 180.0, 140.5 + n % 30])


def write_silver(path: Path, rows: int) -> None:
    with open(path, "w", newline="") as handle:
        writer = csv.writer(handle)
        writer.writerow(SILVER)
        for n in range(rows):
            start, metres, seconds = FIRST + timedelta(hours=n // 200 * 12), 5000.0 + n % 9000, 1500.0 + n % 3000
            key = [f"a{n % 200}", n, f"{start:%Y-%m-%dT%H:%M:%SZ}", f"{start:%Y-%m-%d %H:%M:%S}", "Run"]
            writer.writerow([*key, metres, seconds, seconds + 60, 140.5 + n % 30])


if __name__ == "__main__":
    main()
