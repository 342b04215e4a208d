"""How fast the simulator is, and how much memory it takes: python benchmarks/simulator.py [athletes] [years]."""

from __future__ import annotations

import argparse
import time
from datetime import date

from usage import peak_mb

from athlete_assets.silver.simulator import simulate


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("athletes", type=int, nargs="?", default=2000)
    parser.add_argument("years", type=float, nargs="?", default=3.0)
    parser.add_argument("--batch-athletes", type=int, default=500)
    arguments = parser.parse_args()

    activities = splits = arrow_bytes = 0
    wall, cpu = time.perf_counter(), time.process_time()
    cohort = simulate(arguments.athletes, arguments.years, 7, date(2025, 6, 30), arguments.batch_athletes)
    for batch in cohort:
        activities += batch.activities.num_rows
        splits += batch.splits.num_rows
        arrow_bytes = max(arrow_bytes, batch.activities.nbytes + batch.splits.nbytes)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu

    print(f"{arguments.athletes} athletes x {arguments.years:g} years: {activities:,} activities, {splits:,} splits")
    print(f"wall {wall:.1f} s, CPU {cpu:.1f} s ({cpu / wall:.2f} cores)")
    print(f"peak memory {peak_mb():,.0f} MB, largest batch {arrow_bytes / 2**20:,.0f} MB of Arrow")
    print(f"{activities / wall:,.0f} activities/s, {activities / cpu * 60 / 1e6:.2f} M activities per CPU minute")


if __name__ == "__main__":
    main()
