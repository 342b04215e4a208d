"""How long the stress tests are, and what they found: figures that docs/reliability.md shows."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import pytest

SCALE = float(os.environ.get("STRESS_SCALE", "1"))
"""1 takes minutes, 0.05 is the short form, 10 and more take hours."""
PATIENCE_S = 1800.0
"""A wait that ends after hours of work beside others is no failure of what is waited for."""
FIGURES: list[str] = []


def times(whole: int) -> int:
    """So many of them at the scale of this run, at least one."""
    return max(1, round(whole * SCALE))


@pytest.fixture
def figure() -> Callable[[str], None]:
    """Notes a figure, which the end of the run shows."""
    return FIGURES.append


@pytest.hookimpl(wrapper=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> Iterator[None]:
    yield
    for line in FIGURES:
        terminalreporter.write_line(line)
