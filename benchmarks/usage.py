"""What the scripts share: their options, and what a process has used so far."""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

PEAK = "VmHWM"
BLOCK_BYTES = 512
"""Of what `getrusage` counts as written."""


@dataclass(frozen=True)
class Used:
    """What a command and all that it waited for has used."""

    status: int
    wall_s: float
    cpu_s: float
    peak_mb: float
    written_mb: float

    def __str__(self) -> str:
        return (
            f"CPU {self.cpu_s:.1f} s, wall {self.wall_s:.1f} s, peak {self.peak_mb:,.0f} MB, "
            f"written {self.written_mb:,.0f} MB"
        )


def run(command: list[str], out: IO[str] | int, environment: Mapping[str, str] | None = None) -> Used:
    """Runs the command to its end; what it prints goes to `out`. Its status is below 0 where a signal ended it."""
    started = time.monotonic()
    process = subprocess.Popen(command, stdout=out, stderr=out, env=environment)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return Used(
        process.returncode,
        time.monotonic() - started,
        usage.ru_utime + usage.ru_stime,
        usage.ru_maxrss / (1024**2 if sys.platform == "darwin" else 1024),
        usage.ru_oublock * BLOCK_BYTES / 1e6,
    )


def options(doc: str | None, **defaults: Any) -> argparse.ArgumentParser:
    """A parser with the script's own text, and an option for each name, of its default's type."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in defaults.items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(value), default=value, help=f"default: {value}")
    return parser


def in_its_own_process(script: str, *arguments: object) -> dict[str, Any]:
    """What the script prints on its last line, as JSON, when it runs with the arguments: so is its peak its own."""
    command = [sys.executable, script, *map(str, arguments)]
    answer = subprocess.run(command, capture_output=True, text=True)
    if answer.returncode:
        raise SystemExit(f"{' '.join(command)}\n{answer.stderr[-4000:]}")
    return json.loads(answer.stdout.splitlines()[-1])


def cpu_seconds() -> float:
    """Of this process and those that it waited for."""
    used = [resource.getrusage(of) for of in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def peak_mb() -> float:
    """The most memory that this process had, since `forget_peak` where Linux tells it."""
    status = Path("/proc/self/status")
    if status.exists():
        [line] = [line for line in status.read_text().splitlines() if line.startswith(PEAK)]
        return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def read_mb() -> float:
    """What this process has read of files so far, from the disk or its cache; 0 where it is not Linux that tells."""
    told = Path("/proc/self/io")
    if not told.exists():
        return 0.0
    [line] = [line for line in told.read_text().splitlines() if line.startswith("rchar")]
    return int(line.split()[1]) / 1e6


def forget_peak() -> None:
    """Has `peak_mb` begin anew, on Linux."""
    clear = Path("/proc/self/clear_refs")
    if clear.exists():
        clear.write_text("5")
