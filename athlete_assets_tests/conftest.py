"""Shared fixtures: a scratch home, both engines, and the real data where it is present; and the two lanes.

`make test` runs what is not marked `java`, `slow` or `stress`; such a test starts no process, and fails if it does.
"""

from __future__ import annotations

import gc
import multiprocessing.util
import os
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hypothesis
import pytest

from athlete_assets.errors import SettingsError
from athlete_assets.settings import Settings
from athlete_assets.store.local import LocalStore
from athlete_assets.store.session import spark_session

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

# What takes long to import is imported where it is used: the process that hands the tests out loads this file, too.

# A JVM of a test plans much and computes little: compiling its code for speed took 4 of 10 of its CPU seconds.
os.environ.setdefault("JAVA_TOOL_OPTIONS", "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC")

SHARED = Path(os.environ.get("TESTS_SHARED", Path(__file__).resolve().parents[2] / "shared"))
"""Real runs and oracles lie beside the checkout, never in it; the tests that read them skip where they are absent."""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Defaults in a scratch home."""
    return Settings(home=tmp_path / "home")


@pytest.fixture
def store(settings: Settings) -> LocalStore:
    return LocalStore(settings)


@pytest.fixture(scope="session")
def sail() -> SparkSession:
    return spark_session("sail")


@pytest.fixture(scope="session")
def apache_spark() -> SparkSession:
    """Apache Spark with Delta; the tests that use it are marked `java`. They skip where Java or the jars are missing,
    and fail where Spark is there and does not start."""
    try:
        return spark_session("spark")
    except SettingsError as error:
        pytest.skip(str(error))


@pytest.fixture(params=["sail", pytest.param("spark", marks=pytest.mark.java)])
def spark(request: pytest.FixtureRequest) -> SparkSession:
    """Each engine in turn."""
    return request.getfixturevalue("sail" if request.param == "sail" else "apache_spark")


@pytest.fixture(scope="session", autouse=True)
def _cheap_databases(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """See `cheap_databases`. Processes that tests start know nothing of it."""
    from athlete_assets_tests.cheap_databases import cheap_databases

    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "databases"  # all workers share them
    folder.mkdir(exist_ok=True)
    with cheap_databases(folder):
        yield


OUTCOMES = ("passed", "failed", "skipped")
MARKS_OF_FULL_LANE = ("java", "slow", "stress")
STARTS = {"subprocess.Popen", "os.fork", "os.forkpty", "os.posix_spawn", "os.system"}
"""Python's audit events of a process that starts: below subprocess and multiprocessing, so that no library gets by."""
SMALL_HELPERS = {"fc-list", "git", "uname"}
"""What a library cannot be kept from: matplotlib asks for the fonts where it keeps no list of them yet, MLflow for the
commit and, when it is imported, for the processor."""


def shared_file(relative: str) -> Path:
    """A file of the shared real data or oracles; skips the test where it is absent."""
    path = SHARED / relative
    if not path.exists():
        pytest.skip(f"the shared file {relative} is not beside this checkout")
    return path


hypothesis.settings.register_profile("unhurried", deadline=None)
hypothesis.settings.load_profile("unhurried")
"""An example may take its time: how long it takes says more of what else the machine does than of the code."""


class ProcessStartedError(Exception):
    """A test of the fast lane started a process."""


class Lane:
    """The test of the fast lane that runs now, and what it started all the same."""

    test: str | None = None
    started: list[str] = []  # noqa: RUF012

    @classmethod
    def watch(cls, event: str, arguments: tuple[Any, ...]) -> None:
        if cls.test is None or event not in STARTS:
            return
        command = str(arguments[0]) if arguments else event
        if Path(command).name in SMALL_HELPERS:
            return
        cls.started.append(command)
        raise ProcessStartedError(f"{cls.test} starts {command}: mark it `slow`, or do without the process")


sys.addaudithook(Lane.watch)
_spawn = multiprocessing.util.spawnv_passfds


def _audited_spawn(path: Any, *rest: Any) -> int:
    """multiprocessing's `spawn` raises no audit event of its own."""
    sys.audit("os.posix_spawn", path)
    return _spawn(path, *rest)


multiprocessing.util.spawnv_passfds = _audited_spawn


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    in_full_lane = any(item.get_closest_marker(mark) for mark in MARKS_OF_FULL_LANE)
    Lane.test = None if in_full_lane else item.nodeid
    Lane.started.clear()
    with pytest.MonkeyPatch.context() as patch:
        if not in_full_lane:
            # Dagster copies a step's output from its file to the terminal as well, by two processes a step
            quiet = "dagster._core.execution.compute_logs.tail_to_stream"
            patch.setattr(quiet, lambda path, stream: nullcontext((None, None)))
        try:
            return (yield)
        finally:
            Lane.test = None


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Iterator[None]:
    answer = yield
    if Lane.started:  # and somebody caught the error
        pytest.fail(f"a test of the fast lane started {Lane.started}")
    return answer


gc.disable()  # while the tests are collected: what is imported stays


def pytest_collection_finish() -> None:
    """Half a million objects of imported modules stay to the end: the garbage collector need not walk through them, and
    looks for garbage after 50,000 new objects instead of 700. It took a fifth of the fast lane."""
    gc.freeze()
    gc.set_threshold(50_000, 10, 10)
    gc.enable()


LONGEST = (
    "test_end_to_end.py",
    "test_whole_graph.py",
    "test_late_athletes.py",
    "test_assets.py",
    "test_promises.py",
    "test_rebuild.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests go first, and the longest before all: at the end, one worker would wait for the other."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    place = {name: number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda item: (place.get(item.path.name, len(place)), item.path not in slow))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Says how many tests ran on Apache Spark: a run without them would look green, too."""
    ran = {
        outcome: [one for one in terminalreporter.stats.get(outcome, []) if "java" in one.keywords]
        for outcome in OUTCOMES
    }
    counts = ", ".join(f"{len(reports)} {outcome}" for outcome, reports in ran.items())
    terminalreporter.write_line(f"On Apache Spark: {counts}")
