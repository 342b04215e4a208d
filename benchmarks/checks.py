"""What the asset checks cost within the steps that write: python benchmarks/checks.py [--athletes 300] [--years 2].

A home's first fill of each feature table through its asset, in this process. A step's CPU seconds are those from its
first read to its last result, the engine (Sail, in the process) among them. To its checks belong what is computed of
the rows being written (`findings`) and of those in the kernels' hands, and everything after the last commit. Prints the
median of the repeats.
"""

from __future__ import annotations

import statistics
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cohort import LAST, Assets, home
from feature_build import STEPS
from usage import options

from athlete_assets.assets import builder
from athlete_assets.days import Days, monday_of
from athlete_assets.monitoring import reconciliation
from athlete_assets.store import local
from athlete_assets.store.local import LocalStore


class Clock:
    """CPU seconds of the process when the last commit ended, and those spent in findings."""

    def __init__(self) -> None:
        self.last_commit = 0.0
        self.first_read = 0.0
        self.last_result = 0.0
        self.in_findings = 0.0
        self._lock = threading.Lock()

    def watch(self) -> None:
        self._wrap(LocalStore, "replace_arrow", self._committed)
        self._wrap(LocalStore, "read", self._read, before=True)
        self._wrap(builder, "check_result", self._reported)
        self._wrap(local, "findings_of", self._found)
        for name in ("sums_of_call", "drawn_sums_of_call"):
            self._wrap(reconciliation, name, self._found)

    def _reported(self, spent: float) -> None:
        self.last_result = time.process_time()

    def _committed(self, spent: float) -> None:
        self.last_commit = time.process_time()

    def _read(self, spent: float) -> None:
        self.first_read = self.first_read or time.process_time()

    def _found(self, spent: float) -> None:
        with self._lock:
            self.in_findings += spent

    def _wrap(self, owner: Any, name: str, tell: Callable[[float], None], before: bool = False) -> None:
        original = getattr(owner, name)

        def wrapped(*arguments: Any, **options: Any) -> Any:
            if before:
                tell(0.0)
            began = time.thread_time()  # the kernels' threads run side by side
            result = original(*arguments, **options)
            if not before:
                tell(time.thread_time() - began)
            return result

        setattr(owner, name, wrapped)


def main() -> None:
    asked = options(__doc__, athletes=300, years=2.0, repeats=3).parse_args()
    clock = Clock()
    clock.watch()
    steps: dict[str, list[float]] = defaultdict(list)
    checks: dict[str, list[float]] = defaultdict(list)
    for _ in range(asked.repeats):
        with tempfile.TemporaryDirectory(prefix="bench_checks_") as folder:
            settings = home(Path(folder), asked.athletes, asked.years)
            assets = Assets(settings)
            assets.store.spark.range(1).toArrow()  # the session's start is no step's cost
            for name, selected in STEPS.items():
                last = monday_of(LAST) if name == "weekly" else LAST
                clock.first_read = clock.in_findings = 0.0
                assets.run(selected, Days(settings.start_date, last))
                steps[name].append(clock.last_result - clock.first_read)
                checks[name].append(clock.last_result - clock.last_commit + clock.in_findings)
            assets.instance.dispose()
    print(f"{asked.athletes} athletes x {asked.years:g} years, median of {asked.repeats}")
    print(f"{'step':<14}{'CPU s':>8}{'checks':>8}{'share':>8}")
    for name in (*STEPS, "all"):
        names = STEPS if name == "all" else (name,)
        whole = statistics.median(map(sum, zip(*(steps[n] for n in names), strict=True)))
        part = statistics.median(map(sum, zip(*(checks[n] for n in names), strict=True)))
        print(f"{name:<14}{whole:>8.2f}{part:>8.2f}{part / whole:>8.0%}")


if __name__ == "__main__":
    main()
