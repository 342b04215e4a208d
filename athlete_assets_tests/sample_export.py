"""A Strava account export of a simulated athlete, for CI: `python -m athlete_assets_tests.sample_export PATH.zip`."""

from __future__ import annotations

import csv
import io
import sys
import zipfile
from datetime import date
from pathlib import Path

from athlete_assets.silver.simulator import simulate

HEADER = [
    "Activity ID", "Activity Date", "Activity Name", "Activity Type", "Activity Description", "Elapsed Time",
    "Distance", "Max Heart Rate", "Relative Effort", "Commute", "Activity Gear", "Filename", "Elapsed Time",
    "Moving Time", "Distance", "Elevation Gain", "Max Heart Rate", "Average Heart Rate",
]  # fmt: skip


def write(path: Path, years: float, seed: int, last_day: date) -> int:
    """Writes the export; returns the number of activities."""
    (batch,) = simulate(1, years, seed, last_day, dirty=False)
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(HEADER)
    activities = batch.activities.to_pylist()
    for run in activities:
        started = run["start_date"]
        kilometres = "" if run["distance"] is None else f"{run['distance'] / 1000:.2f}"
        writer.writerow(
            [
                run["id"], f"{started:%b} {started.day}, {started:%Y, %I:%M:%S %p}", "", run["sport_type"], "",
                run["elapsed_time"], kilometres, run["max_heartrate"], "", "false", "", f"{run['id']}.fit.gz",
                run["elapsed_time"], run["moving_time"], run["distance"], run["total_elevation_gain"],
                run["max_heartrate"], run["average_heartrate"],
            ]
        )  # fmt: skip
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("activities.csv", text.getvalue())
    return len(activities)


if __name__ == "__main__":
    print(f"{write(Path(sys.argv[1]), 1.0, 7, date.today())} activities in {sys.argv[1]}")
