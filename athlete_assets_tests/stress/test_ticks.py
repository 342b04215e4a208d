"""A deployment that idles for a long time: its daemon takes no more memory and its home no more room."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from dagster._core.scheduler.instigation import InstigatorType

from athlete_assets_tests.live import Live, running
from athlete_assets_tests.stress.conftest import PATIENCE_S, times

pytestmark = pytest.mark.stress

TICKS = 2000
WARM = 0.25
"""The share of ticks after which caches are full: growth is measured from there."""
MIB_AT_MOST = 40.0
BYTES_A_TICK_AT_MOST = 5_000
"""A tick that found nothing is a row in SQLite with a copy of its sensor's cursor, of which that of `alerts` names each
check (7 kB); it is purged after two days. A log line beside it."""


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    with running(tmp_path_factory.mktemp("ticks") / "home", PATIENCE_S) as live:
        live.settle()
        yield live


def memory_mib(live: Live) -> dict[str, float]:
    """Resident memory of each part of the server."""
    found: dict[str, float] = {}
    for pid in live.processes():
        try:
            command = Path(f"/proc/{pid}/cmdline").read_text()
            status = Path(f"/proc/{pid}/status").read_text()
        except OSError:
            continue
        parts = {"_daemon": "daemon", "dagster_webserver": "webserver", "api\0grpc": "code server"}
        part = next((name for sign, name in parts.items() if sign in command), None)
        if part:
            kib = int(status.split("VmRSS:")[1].split()[0])
            found[part] = found.get(part, 0.0) + kib / 1024
    return found


def size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def ticks(live: Live) -> int:
    states = live.instance.all_instigator_state(instigator_type=InstigatorType.SENSOR)
    return sum(len(live.instance.get_ticks(state.instigator_origin_id, state.selector_id)) for state in states)


def test_ticks_that_find_nothing_cost_neither_memory_nor_room(live: Live, figure: Callable[[str], None]) -> None:
    wanted = times(TICKS)
    first = ticks(live)

    def reached(share: float) -> tuple[dict[str, float], int, int]:
        deadline = time.monotonic() + PATIENCE_S + 3 * wanted
        while (now := ticks(live) - first) < wanted * share:
            assert time.monotonic() < deadline, f"{now} of {wanted} ticks"
            time.sleep(10)  # to count them is to read them all
        return memory_mib(live), size(live.settings.home), now

    (memory, room, warm), (memory_then, room_then, all_ticks) = reached(WARM), reached(1.0)
    grown = {part: memory_then[part] - mib for part, mib in memory.items()}
    a_tick = (room_then - room) / (all_ticks - warm)
    figure(
        f"{all_ticks} ticks: "
        + ", ".join(f"{part} {memory[part]:.0f} to {memory_then[part]:.0f} MiB" for part in sorted(memory))
        + f"; the home grew by {a_tick:.0f} bytes a tick, runs {live.instance.get_runs_count()}"
    )
    assert set(memory) == {"daemon", "webserver", "code server"}
    assert all(mib < MIB_AT_MOST for mib in grown.values()), grown
    assert a_tick < BYTES_A_TICK_AT_MOST
