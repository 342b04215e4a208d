"""What a home's first fill of the feature tables costs, step by step: python benchmarks/feature_build.py.

Each step runs through its asset, checks included, in this process (the engine, Sail, is part of it). Prints CPU and
wall seconds, the most memory that the process had during the step, and what the table's files hold.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

from cohort import LAST, Assets, home
from usage import cpu_seconds, forget_peak, peak_mb

from athlete_assets import tables
from athlete_assets.days import Days, monday_of
from athlete_assets.store.base import Size

STEPS: dict[str, list[tables.Table]] = {
    "activity": [tables.ACTIVITY, tables.REJECTS],
    "daily": [tables.DAILY],
    "weekly": [tables.WEEKLY],
    "rolling": [tables.ROLLING],
    "performance": [tables.PERFORMANCE],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--athletes", type=int, default=360)
    parser.add_argument("--years", type=float, default=2.0)
    parser.add_argument("--chunk", type=int, help="ATHLETE_CHUNK_ATHLETE_DAYS")
    parser.add_argument("--steps", default=",".join(STEPS))
    options = parser.parse_args()
    chosen = {} if options.chunk is None else {"chunk_athlete_days": options.chunk}
    with tempfile.TemporaryDirectory(prefix="bench_build_") as folder:
        settings = home(Path(folder), options.athletes, options.years, **chosen)
        assets = Assets(settings)
        assets.store.spark.range(1).toArrow()  # the session's start is no step's cost
        activities = assets.store.count(tables.STRAVA_ACTIVITIES)
        print(f"{options.athletes} athletes x {options.years:g} years, {activities:,} activities")
        print(f"{'step':<14}{'CPU s':>9}{'wall s':>9}{'peak MB':>9}{'rows':>13}{'files':>7}{'MB':>8}")
        total = 0.0
        for name in options.steps.split(","):
            last = monday_of(LAST) if name == "weekly" else LAST
            forget_peak()
            cpu, wall = cpu_seconds(), time.monotonic()
            assets.run(STEPS[name], Days(settings.start_date, last))
            spent, took = cpu_seconds() - cpu, time.monotonic() - wall
            total += spent
            table = STEPS[name][0]
            size = Size.of(assets.store.path(table))
            print(
                f"{name:<14}{spent:>9.1f}{took:>9.1f}{peak_mb():>9.0f}{assets.store.count(table):>13,}"
                f"{len(assets.store.delta(table).file_uris()):>7}{size.bytes / 1e6:>8.0f}",
                flush=True,
            )
        print(f"{'all':<14}{total:>9.1f}")
        assets.instance.dispose()


if __name__ == "__main__":
    main()
