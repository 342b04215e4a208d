"""Shared fixtures: a scratch home, both engines, and the real data where it is present."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from athlete_assets.errors import AthleteAssetsError
from athlete_assets.settings import Settings
from athlete_assets.store.local import LocalStore
from athlete_assets.store.session import spark_session

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
    """Apache Spark with Delta; the tests that use it are marked `java`."""
    try:
        return spark_session("spark")
    except AthleteAssetsError as error:
        pytest.skip(f"Apache Spark is not available: {error}")


@pytest.fixture(params=["sail", pytest.param("spark", marks=pytest.mark.java)])
def spark(request: pytest.FixtureRequest) -> SparkSession:
    """Each engine in turn."""
    return request.getfixturevalue("sail" if request.param == "sail" else "apache_spark")


OUTCOMES = ("passed", "failed", "skipped")


def shared_file(relative: str) -> Path:
    """A file of the shared real data or oracles; skips the test where it is absent."""
    path = SHARED / relative
    if not path.exists():
        pytest.skip(f"the shared file {relative} is not beside this checkout")
    return path


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests go first: at the end, one worker would wait for the other."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Says how many tests ran on Apache Spark: a run without them would look green, too."""
    ran = {
        outcome: [one for one in terminalreporter.stats.get(outcome, []) if "java" in one.keywords]
        for outcome in OUTCOMES
    }
    counts = ", ".join(f"{len(reports)} {outcome}" for outcome, reports in ran.items())
    terminalreporter.write_line(f"On Apache Spark: {counts}")
