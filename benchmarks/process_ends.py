"""Ends many short processes that read or write the local tables, and counts the exit codes that are not 0.

A process whose threads outlive its interpreter aborts now and then (exit 134) after all its work: whoever looks at the
exit code then takes a good end for a bad one. Each program runs `--times` times in a home of one simulated athlete.

    python benchmarks/process_ends.py [--times 100] [--at-once 2]
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

COMMAND = [sys.executable, "-m", "athlete_assets.cli"]
READER = """
from athlete_assets import tables
from athlete_assets.settings import Settings
from athlete_assets.store.local import LocalStore
print(LocalStore(Settings.load()).rows(tables.STRAVA_ACTIVITIES).num_rows)
"""
SENSOR = """
from athlete_assets import tables
from athlete_assets.settings import Settings
from athlete_assets.silver.local_changes import LocalSilver
from athlete_assets.store.local import LocalStore
silver = LocalSilver(LocalStore(Settings.load()))
touched = silver.touched({}, silver.positions())
print(len(touched.days), silver.newest_ingestion(tables.STRAVA_ACTIVITIES))
"""
PROGRAMS = {
    "status": [*COMMAND, "status"],
    "import": [*COMMAND, "import", "--athletes", "1", "--years", "0.2"],
    "reader": [sys.executable, "-c", READER],
    "sensor": [sys.executable, "-c", SENSOR],
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--times", type=int, default=100)
    parser.add_argument("--at-once", type=int, default=2)
    parser.add_argument("--programs", nargs="+", choices=PROGRAMS, default=list(PROGRAMS))
    options = parser.parse_args()
    wrong = 0
    with tempfile.TemporaryDirectory() as folder:
        environment = {key: value for key, value in os.environ.items() if not key.startswith("ATHLETE_")}
        environment["ATHLETE_HOME"] = str(Path(folder) / "home")
        subprocess.run(PROGRAMS["import"], env=environment, check=True, capture_output=True)
        for name in options.programs:
            started = time.monotonic()

            def ended(_: int, command: list[str] = PROGRAMS[name]) -> int:
                return subprocess.run(command, env=environment, capture_output=True).returncode

            with ThreadPoolExecutor(options.at_once) as pool:
                codes = Counter(pool.map(ended, range(options.times)))
            wrong += options.times - codes[0]
            print(f"{name}: exit codes {dict(codes)} in {time.monotonic() - started:.0f} s", flush=True)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
