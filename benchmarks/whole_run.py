"""What `make run` costs after installation, and what loading the code location costs: wall, CPU seconds, peak memory.

    python benchmarks/whole_run.py --athletes 30 --years 3 --runs 3

Each run is a fresh process in a scratch home. Prints the median of the runs.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time


def measured(command: list[str], home: str) -> tuple[float, float, float]:
    """Wall seconds, CPU seconds and peak memory (MB) of a command that must succeed."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("ATHLETE_")}
    started = time.monotonic()
    process = subprocess.Popen(
        command, env={**environment, "ATHLETE_HOME": home}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(command)} failed with status {status}")
    return time.monotonic() - started, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def report(title: str, command: list[str], runs: int) -> None:
    figures = []
    for _ in range(runs):
        with tempfile.TemporaryDirectory() as home:
            figures.append(measured(command, home))
    wall, cpu, memory = (statistics.median(column) for column in zip(*figures, strict=True))
    print(f"{title:<44} wall {wall:7.1f} s   CPU {cpu:7.1f} s   peak {memory:7.0f} MB   (median of {runs})")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--athletes", type=int, default=30)
    parser.add_argument("--years", type=float, default=3.0)
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    cohort = ["--athletes", str(options.athletes), "--years", str(options.years)]
    run = [sys.executable, "-m", "athlete_assets.cli", "run", *cohort]
    report(f"run, {options.athletes} athletes x {options.years:g} years", run, options.runs)
    report("load the code location", [sys.executable, "-c", "import athlete_assets.definitions"], options.runs)


if __name__ == "__main__":
    main()
