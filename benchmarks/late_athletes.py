"""What one late run of a few athletes costs.

    python benchmarks/late_athletes.py [--athletes 300] [--late 3] [--days 60] [--apart 1] [--lived 1]

A home with all its tables; then a run of some athletes some days ago is late, and what follows is computed: of those
athletes alone, and of all, in turn, in one process. The late ones are neighbours by id or, with --apart 1, spread over
all, which is dearest: each file of a month may then hold one of them. With --lived 1 the home's newest months came day
by day, and were maintained, until a run of all writes them anew: look at one repeat. CPU seconds of the process, the
engine (Sail) among them; prints the median of the repeats.
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from datetime import timedelta
from pathlib import Path

import pyarrow.compute as pc
from cohort import LAST, Assets, home
from usage import options

from athlete_assets import tables
from athlete_assets.days import Days, monday_of
from athlete_assets.partitions import ATHLETES
from athlete_assets.store.base import day_column
from athlete_assets.store.local import LocalStore

BY_DAY = [*tables.DAILY_TABLES, *tables.STATE_TABLES]


def main() -> None:
    asked = options(__doc__, athletes=300, years=1.0, late=3, days=60, repeats=3, apart=0, lived=0).parse_args()
    with tempfile.TemporaryDirectory(prefix="bench_late_") as folder:
        settings = home(Path(folder), asked.athletes, asked.years)
        assets = Assets(settings)
        assets.run(BY_DAY, Days(settings.start_date, LAST))
        assets.run([tables.WEEKLY], Days(settings.start_date, monday_of(LAST)))
        window = Days(LAST - timedelta(days=asked.days), LAST)
        if asked.lived:
            for table in (*BY_DAY, tables.WEEKLY):
                come_by_day(assets.store, table, window)
                assets.store.maintain(table)
        weeks = Days(monday_of(window.first), monday_of(LAST))
        step = asked.athletes // asked.late if asked.apart else 1
        few = json.dumps([f"athlete-{number:06d}" for number in range(0, asked.late * step, step)])
        spent: dict[str, list[float]] = {"of the late": [], "of all": []}
        for _ in range(asked.repeats):
            for name, tags in (("of the late", {ATHLETES: few}), ("of all", {})):
                began = time.process_time()
                assets.run(BY_DAY, window, **tags)
                assets.run([tables.WEEKLY], weeks, **tags)
                spent[name].append(time.process_time() - began)
        assets.instance.dispose()
    print(f"{asked.late} late of {asked.athletes} athletes, {asked.days} days ago, median of {asked.repeats}")
    for name, seconds in spent.items():
        print(f"{name:<12}{statistics.median(seconds):>8.2f} CPU s")


def come_by_day(store: LocalStore, table: tables.Table, days: Days) -> None:
    """Has the table's rows of the days' months stand in a file for each day."""
    folder, months = store.folder(table), f"month BETWEEN '{days.months[0]}' AND '{days.months[1]}'"
    rows = folder.query(f"SELECT {', '.join(table.column_names)} FROM t WHERE {months}")
    folder.delete(months)
    day = rows[day_column(table)]
    for one in pc.unique(day).sort():
        folder.append(rows.filter(pc.equal(day, one)))


if __name__ == "__main__":
    main()
