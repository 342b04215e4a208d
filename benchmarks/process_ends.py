"""Ends many processes that read or write the local tables, and counts the exit codes that are not 0.

A process whose threads outlive its interpreter aborts now and then (exit 134, or signal 6) after all its work: whoever
looks at the exit code then takes a good end for a bad one. Each program runs `--times` times in a home of one simulated
athlete: in a fork of a process that has imported everything and started no thread, and that ends as an interpreter
does; with `--fresh` in an interpreter of its own, which costs seconds of imports. `control` reads as delta-rs does by
itself, through a file system in Python: what it shows is what the others would.

    python benchmarks/process_ends.py [--times 100] [--fresh] [--programs status import reader sensor control]
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from athlete_assets import cli, tables
from athlete_assets.commands import import_file  # noqa: F401 - so that no fork has to import it
from athlete_assets.settings import Settings
from athlete_assets.silver.local_changes import LocalSilver
from athlete_assets.store.local import LocalStore

IMPORT = ["import", "--athletes", "1", "--years", "0.2"]


def reader() -> int:
    return 0 if LocalStore(Settings.load()).rows(tables.STRAVA_ACTIVITIES).num_rows else 1


def sensor() -> int:
    silver = LocalSilver(LocalStore(Settings.load()))
    return 0 if silver.touched({}, silver.positions()).days else 1


def control() -> int:
    return 0 if LocalStore(Settings.load()).delta(tables.STRAVA_ACTIVITIES).to_pyarrow_table().num_rows else 1


PROGRAMS: dict[str, Callable[[], int]] = {
    "status": lambda: cli.main(["status"]),
    "import": lambda: cli.main(IMPORT),
    "reader": reader,
    "sensor": sensor,
    "control": control,
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--times", type=int, default=100)
    parser.add_argument("--fresh", action="store_true", help="an interpreter of its own each time")
    parser.add_argument("--programs", nargs="+", choices=PROGRAMS, default=["status", "import", "reader", "sensor"])
    parser.add_argument("--once", choices=PROGRAMS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.once:
        return PROGRAMS[options.once]()
    folder = Path(tempfile.mkdtemp())
    os.environ["ATHLETE_HOME"] = str(folder / "home")
    again = [sys.executable, __file__, "--once"]
    subprocess.run([*again, "import"], check=True, capture_output=True)
    wrong = 0
    for name in options.programs:
        started, codes = time.monotonic(), Counter[int]()
        for _ in range(options.times):
            if options.fresh:
                codes[subprocess.run([*again, name], capture_output=True).returncode] += 1
                continue
            sys.stdout.flush()
            child = os.fork()
            if child == 0:
                nothing = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nothing, 1)
                os.dup2(nothing, 2)
                return PROGRAMS[name]()  # and ends as an interpreter does
            codes[os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])] += 1
        wrong += options.times - codes[0] if name != "control" else 0
        print(f"{name}: exit codes {dict(codes)} in {time.monotonic() - started:.0f} s", flush=True)
    shutil.rmtree(folder)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
