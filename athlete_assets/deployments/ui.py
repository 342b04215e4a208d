"""Runs `dagster dev` (webserver, daemon, code server) so that it is gone, with all its children, when told to leave."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

import dagster as dg

GRACE_SECONDS = 20.0
"""Between the request to end and SIGKILL for what is still there: a run that is cut off goes on at the next start."""
LINUX_PR_SET_PDEATHSIG = 1


def serve(command: Sequence[str], environment: Mapping[str, str], every_second: Callable[[], None]) -> int:
    """Runs the command until it ends, or until SIGTERM, SIGINT or SIGHUP asks for its end; 0 after that, else its code.

    The command gets a process group of its own, which is empty afterwards: nothing of it outlives this call, nor this
    process (on Linux, where it is killed). Under `nohup` SIGTERM and SIGINT work although a shell may have had them
    ignored; SIGHUP stays ignored there, which is what nohup is for. Signals that come before the command runs count.
    """
    asked: list[float] = []
    group: list[int] = []

    def stop(number: int, frame: object) -> None:
        asked.append(time.monotonic())
        if group and len(asked) == 1:
            _signal(os.kill, group[0], signal.SIGINT)

    handled = [signal.SIGTERM, signal.SIGINT]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        handled.append(signal.SIGHUP)
    before = {number: signal.signal(number, stop) for number in handled}
    try:
        process = subprocess.Popen(command, env=environment, start_new_session=True, preexec_fn=_prepare_child)
        group.append(process.pid)
        if asked:
            _signal(os.kill, process.pid, signal.SIGINT)
        try:
            while process.poll() is None:
                if asked and time.monotonic() > asked[0] + GRACE_SECONDS:
                    _signal(os.killpg, process.pid, signal.SIGKILL)
                if not asked:
                    every_second()
                _wait(process, 1.0)
        finally:
            _end_group(process.pid)
        return 0 if asked else process.returncode
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class Heartbeats:
    """Looks once whether the daemons live some time after the start: without them no sensor and no schedule runs."""

    def __init__(self, instance: dg.DagsterInstance, say: Callable[[str], None], seconds: float = 90.0) -> None:
        self.instance = instance
        self.say = say
        self.started = time.time()
        self.until = self.started + seconds
        self.done = False

    def look(self) -> None:
        """Says which daemons have given no sign since the start, once, when the time is over."""
        if self.done or time.time() < self.until:
            return
        self.done = True
        beats = self.instance.get_daemon_statuses()
        silent = [
            name
            for name, status in beats.items()
            if status.required and (status.last_heartbeat is None or status.last_heartbeat.timestamp < self.started)
        ]
        if silent:
            self.say(
                f"No sign of life within {self.until - self.started:.0f} s of: {', '.join(sorted(silent)).lower()}. "
                "Sensors, schedules and queued runs wait for it; the lines above say why. Stop with Ctrl-C and start "
                "again."
            )


def _prepare_child() -> None:
    """A shell may start `ui` with SIGINT ignored, which a child inherits: it could then not be told to end."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(LINUX_PR_SET_PDEATHSIG, signal.SIGINT)


def _wait(process: subprocess.Popen[bytes], seconds: float) -> None:
    with suppress(subprocess.TimeoutExpired):
        process.wait(seconds)


def _end_group(group: int) -> None:
    """Code servers end by themselves soon after the daemon and the webserver; what stays is killed."""
    deadline = time.monotonic() + GRACE_SECONDS / 2
    while time.monotonic() < deadline and _signal(os.killpg, group, 0):
        time.sleep(0.1)
    _signal(os.killpg, group, signal.SIGKILL)


def _signal(send: Callable[[int, int], None], to: int, number: int) -> bool:
    try:
        send(to, number)
    except (ProcessLookupError, PermissionError):  # macOS says the latter of a group that only corpses are left of
        return False
    return True
