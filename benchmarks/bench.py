"""Runs the scripts one after the other, each at a size: python benchmarks/bench.py [small|full] [SCRIPT ...].

`make bench` does it. For each: the question that it answers; CPU and wall seconds, peak memory and bytes written, of
the script and all that it starts; and its result, the last line that it prints. All that it prints goes to
.bench/SIZE/SCRIPT.txt. Small, all of them take minutes; full, hours.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from usage import run

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Script:
    """A script, the question that it answers, and its arguments at each size."""

    question: str
    small: str
    full: str
    needs_java: bool = False


SCRIPTS = {
    "feature_build": Script(
        "what do a first fill of the feature tables and the next day cost, beside polars and DuckDB?",
        "--athletes 60",
        "--athletes 36412 --memory 4 --into .bench/full/feature_build.json",
    ),
    "late_athletes": Script(
        "what does a late run of a few athletes cost?",
        "--athletes 60 --repeats 1",
        "--athletes 36412 --years 2 --late 100",
    ),
    "checks": Script("which part of a step are its checks?", "--athletes 60 --repeats 1", "--athletes 36412"),
    "pages": Script(
        "what do pages, summary and projection cost?", "--athletes 60 --years 1", "--athletes 36412 --years 2"
    ),
    "training": Script(
        "what do training and scoring cost beside CatBoost alone?",
        "--labels 5000 --rows 20000",
        "--labels 500000 --rows 1000000",
    ),
    "scoring": Script(
        "what does scoring cost: times, intervals, rows of gold and log, reasons?",
        "--labels 3000 --rows 100000",
        "--rows 1000000",
    ),
    "training_join": Script(
        "what does looking up the features of labels cost, beside polars' join_asof?",
        "--athletes 685 --labels 10000",
        "--athletes 36412 --days 728 --labels 500000",
    ),
    "whole_run": Script(
        "what do `make run` and loading the code cost?", "--athletes 5 --years 1 --runs 1", "--athletes 30 --years 3"
    ),
    "import_rows": Script("how fast do rows come in?", "20000", "1000000"),
    "recordings": Script("how fast do recordings come in?", "100", "3000"),
    "apple_health": Script("how fast does an Apple Health export come in?", "30", "1000"),
    "simulator": Script("how fast is the simulator?", "200 1", "2000 3"),
    "event_log": Script("what does Dagster's bookkeeping of a range cost?", "200 2", "1100 3"),
    "launcher": Script("what does a step launcher cost beside the step?", "1 0", "5 20"),
    "process_ends": Script("do all processes end well?", "--times 5", "--times 100"),
    "window_replacement": Script(
        "what does replacing a day cost on Apache Spark?",
        "--athletes 50 --months 2 --repeats 1",
        "--athletes 2000",
        needs_java=True,
    ),
    "small_driver": Script(
        "do a cluster's steps pass a driver that can hold no table?",
        "--athletes 100 --result-mb 3",
        "--athletes 2000",
        needs_java=True,
    ),
    "warehouse_sensor": Script("what does a quiet day cost on a warehouse?", "7200", "", needs_java=True),
}
BY_HAND = {"load_level": "wants a file of runs", "sensors": "wants a home that `make run` filled"}
SHARED = ("bench", "cohort", "peers_duckdb", "peers_polars", "speed_plot", "usage")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("size", choices=("small", "full"), nargs="?", default="small")
    parser.add_argument("scripts", nargs="*", metavar="SCRIPT", help=", ".join(SCRIPTS))
    asked = parser.parse_args()
    if unknown := sorted(set(asked.scripts) - set(SCRIPTS)):
        parser.error(f"no such script: {', '.join(unknown)}; there are {', '.join(SCRIPTS)}")
    folder = HERE.parent / ".bench" / asked.size
    folder.mkdir(parents=True, exist_ok=True)
    failed = []
    for name in asked.scripts or SCRIPTS:
        script = SCRIPTS[name]
        if script.needs_java and not shutil.which("java"):
            print(f"{name:<20}left out: needs Java", flush=True)
            continue
        arguments = getattr(script, asked.size).split()
        log = folder / f"{name}.txt"
        print(f"{name:<20}{script.question}", flush=True)
        with open(log, "w") as out:
            used = run([sys.executable, str(HERE / f"{name}.py"), *arguments], out)
        print(f"{'':<20}{used}", flush=True)
        if used.status:
            failed.append(name)
            print(f"{'':<20}FAILED with status {used.status}: see {log}", flush=True)
        else:
            print(f"{'':<20}{last_line(log)}", flush=True)
    if not asked.scripts:
        for name, why in BY_HAND.items():
            print(f"{name:<20}left out: {why}")
        for name in sorted({path.stem for path in HERE.glob("*.py")} - {*SCRIPTS, *BY_HAND, *SHARED}):
            print(f"{name:<20}left out: bench.py has no size for it")
    return 1 if failed else 0


def last_line(log: Path) -> str:
    lines = [line for line in log.read_text().splitlines() if line.strip()]
    return lines[-1] if lines else ""


if __name__ == "__main__":
    sys.exit(main())
