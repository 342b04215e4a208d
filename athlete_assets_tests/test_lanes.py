"""The fast lane keeps its promise: whatever way a test takes to a second process, it ends with an error."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
from collections.abc import Callable

import pytest

from athlete_assets_tests.conftest import Lane, ProcessStartedError


@pytest.mark.parametrize(
    "start",
    [
        lambda: subprocess.run([sys.executable, "-c", ""], check=True),
        lambda: os.fork() or os._exit(0),
        lambda: os.system("true"),
        lambda: os.posix_spawn("/bin/true", ["true"], {}),
        lambda: multiprocessing.get_context("spawn").Process(target=print).start(),
    ],
    ids=["subprocess", "fork", "system", "posix_spawn", "multiprocessing"],
)
def test_a_test_of_the_fast_lane_cannot_start_a_process(start: Callable[[], object]) -> None:
    with pytest.raises(ProcessStartedError, match="mark it `slow`"):
        start()
    assert Lane.started
    Lane.started.clear()


@pytest.mark.slow
def test_a_test_of_the_full_lane_can() -> None:
    assert subprocess.run([sys.executable, "-c", ""]).returncode == 0
