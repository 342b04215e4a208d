"""Processes of a live deployment: who descends from whom, and the end of all of them at once, as a power cut has it."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def descendants(pid: int) -> list[int]:
    """All processes below a process, whatever groups and sessions they made for themselves (Linux)."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        children.setdefault(int(fields[1]), []).append(int(stat.parent.name))
    found, look = [], [pid]
    while look:
        below = children.get(look.pop(), [])
        found += below
        look += below
    return found


def kill_tree(pid: int) -> list[int]:
    """SIGKILL to a process and all below it; each is stopped first, so that none sees another go."""
    tree = [pid, *descendants(pid)]
    for number in (signal.SIGSTOP, signal.SIGKILL):
        for one in tree:
            with suppress(ProcessLookupError):
                os.kill(one, number)
    return tree


def alive(pids: Iterable[int]) -> list[int]:
    """Those that are there and no mere corpses."""
    found = []
    for pid in pids:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
        if state not in "ZX":
            found.append(pid)
    return found


def wait_gone(pids: Iterable[int], seconds: float = 60) -> list[int]:
    """Waits for their end; those that are there still."""
    pids, deadline = list(pids), time.monotonic() + seconds
    while (left := alive(pids)) and time.monotonic() < deadline:
        time.sleep(0.1)
    return left
