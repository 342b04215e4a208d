"""What `make run` costs after installation, and what loading the code location costs: wall, CPU seconds, peak memory.

    python benchmarks/whole_run.py --athletes 30 --years 3 --runs 3
    python benchmarks/whole_run.py --export export_123.zip

With --export the file takes the cohort's place. Each run is a fresh process in a scratch home. Prints the median
of the runs.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile

from usage import Used, options, run


def measured(command: list[str], home: str) -> Used:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("ATHLETE_")}
    used = run(command, subprocess.DEVNULL, {**environment, "ATHLETE_HOME": home})
    if used.status:
        raise SystemExit(f"{' '.join(command)} failed with status {used.status}")
    return used


def report(title: str, command: list[str], runs: int) -> None:
    figures = []
    for _ in range(runs):
        with tempfile.TemporaryDirectory() as home:
            figures.append(measured(command, home))
    wall, cpu, memory = (
        statistics.median(getattr(used, name) for used in figures) for name in ("wall_s", "cpu_s", "peak_mb")
    )
    print(f"{title:<44} wall {wall:7.1f} s   CPU {cpu:7.1f} s   peak {memory:7.0f} MB   (median of {runs})")


def main() -> None:
    asked = options(__doc__, athletes=30, years=3.0, runs=3, export="").parse_args()
    if asked.export:
        title, source = "run of an export", [asked.export]
    else:
        title = f"run, {asked.athletes} athletes x {asked.years:g} years"
        source = ["--athletes", str(asked.athletes), "--years", str(asked.years)]
    report(title, [sys.executable, "-m", "athlete_assets.cli", "run", *source], asked.runs)
    report("load the code location", [sys.executable, "-c", "import athlete_assets.definitions"], asked.runs)


if __name__ == "__main__":
    main()
