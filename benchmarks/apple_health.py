"""How fast an Apple Health export comes in: python benchmarks/apple_health.py [megabytes].

Writes an export.xml of that size: of 100 records 20 are of heart rate, the rest of steps, energy and distance, as a
watch writes them; and a workout for each 5,000 records. Times the reading, from the file and from its zip.
"""

from __future__ import annotations

import argparse
import tempfile
import time
import zipfile
from datetime import datetime, timedelta
from pathlib import Path

from usage import cpu_seconds, peak_mb

from athlete_assets.settings import Settings
from athlete_assets.silver.imports import read_runs

FIRST = datetime(2016, 1, 1, 6)
OTHERS = ("StepCount", "ActiveEnergyBurned", "BasalEnergyBurned", "DistanceWalkingRunning")
DEVICE = (
    "&lt;&lt;HKDevice: 0x28&gt;, name:Apple Watch, manufacturer:Apple Inc., model:Watch, hardware:Watch6,2, "
    "software:10.1&gt;"
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("megabytes", type=int, nargs="?", default=300)
    megabytes = parser.parse_args().megabytes
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "export.xml"
        records = write(path, megabytes)
        packed = Path(folder) / "export.zip"
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            archive.write(path, "apple_health_export/export.xml")
        before = peak_mb()
        for file in (path, packed):
            wall, cpu = time.perf_counter(), cpu_seconds()
            runs = read_runs(file, Settings(home=Path(folder) / "home"), "me")
            spent = cpu_seconds() - cpu
            size = path.stat().st_size / 1e6
            print(
                f"{file.name}, {size:.0f} MB, {records} records: {runs.activities.num_rows} workouts in "
                f"{time.perf_counter() - wall:.1f} s ({spent:.1f} CPU s, {size / spent:.0f} MB a CPU s), "
                f"{peak_mb() - before:.0f} MB more memory"
            )


def write(path: Path, megabytes: int) -> int:
    """Writes the export; how many records it has."""
    count = 0
    with open(path, "w") as handle:
        handle.write('<?xml version="1.0" encoding="UTF-8"?>\n<HealthData locale="en_US">\n')
        while handle.tell() < megabytes * 1_000_000:
            at = f"{FIRST + timedelta(seconds=60 * count):%Y-%m-%d %H:%M:%S} +0100"
            is_beat = count % 5 == 0
            kind, unit = ("HeartRate", "count/min") if is_beat else (OTHERS[count % len(OTHERS)], "count")
            handle.write(
                f' <Record type="HKQuantityTypeIdentifier{kind}" sourceName="Watch" sourceVersion="10.1" '
                f'device="{DEVICE}" unit="{unit}" creationDate="{at}" startDate="{at}" endDate="{at}" '
                f'value="{60 + count % 100}"/>\n'
            )
            count += 1
        for number in range(0, count, 5000):
            start = FIRST + timedelta(seconds=60 * number)
            handle.write(
                ' <Workout workoutActivityType="HKWorkoutActivityTypeRunning" duration="50" durationUnit="min" '
                f'totalDistance="10" totalDistanceUnit="km" startDate="{start:%Y-%m-%d %H:%M:%S} +0100" '
                f'endDate="{start + timedelta(minutes=51):%Y-%m-%d %H:%M:%S} +0100"/>\n'
            )
        handle.write("</HealthData>\n")
    return count


if __name__ == "__main__":
    main()
