"""How fast an export's recordings come in: python benchmarks/recordings.py [recordings] [--workers N].

Builds an export of one athlete: runs of an hour, sampled every second with position, height and heart rate; of five
three are FIT, one GPX and one TCX, each packed as Strava packs them. Times the reading and the landing in a new home.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import io
import os
import sys
import tempfile
import time
import zipfile
from datetime import datetime, timedelta
from pathlib import Path

from usage import cpu_seconds

sys.path.insert(0, str(Path(__file__).parents[1]))
from athlete_assets.settings import Settings
from athlete_assets.silver.imports import read_runs
from athlete_assets.silver.landing import held, land
from athlete_assets.store.local import LocalStore
from athlete_assets_tests.silver.recordings.files import Sample, fit, gpx, tcx

SAMPLES = [
    Sample(at, at * 3.0, 130 + at // 60 % 40, 100 + at % 300 / 10, None if at % 2 else at * 3.0) for at in range(3600)
]
HEADER = ["Activity ID", "Activity Date", "Activity Type", "Elapsed Time", "Distance", "Filename"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recordings", type=int, nargs="?", default=3000)
    parser.add_argument("--workers", type=int, default=None, help="processes; default: one for each core")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = an_export(Path(folder), arguments.recordings)
        store = LocalStore(Settings(home=Path(folder) / "home", time_zone="UTC"))
        for title in ("first import", "second import"):
            wall, cpu = time.perf_counter(), cpu_seconds()
            runs = read_runs(path, store.settings, "me", held(store), print, arguments.workers)
            read = time.perf_counter()
            land(store, runs)
            done = time.perf_counter()
            spent = cpu_seconds() - cpu
            print(
                f"{title}: {runs.recordings_read} recordings read, {runs.recordings_known} known, "
                f"{len(runs.unreadable)} unreadable; read {read - wall:.1f} s, landed {done - read:.1f} s, "
                f"CPU {spent:.1f} s on {os.cpu_count()} cores ({arguments.recordings / (done - wall):.0f} a second)"
            )


def an_export(folder: Path, count: int) -> Path:
    """A Strava export with so many activities, all with a recording."""
    packed = {
        "fit.gz": gzip.compress(fit(SAMPLES)),
        "gpx.gz": gzip.compress(gpx(SAMPLES)),
        "tcx.gz": gzip.compress(tcx(SAMPLES)),
    }
    kinds = ["fit.gz", "fit.gz", "fit.gz", "gpx.gz", "tcx.gz"]
    table = io.StringIO()
    rows = csv.writer(table)
    rows.writerow(HEADER)
    path = folder / "export_1.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(count):
            name = f"activities/{number}.{kinds[number % len(kinds)]}"
            start = datetime(2015, 1, 1) + timedelta(days=number)
            rows.writerow([number + 1, f"{start:%Y-%m-%d %H:%M:%S}", "Run", 3600, 10797, name])
            archive.writestr(name, packed[name.partition(".")[2]])
        archive.writestr("activities.csv", table.getvalue())
    return path


if __name__ == "__main__":
    main()
