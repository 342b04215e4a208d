"""What the benchmarks say of equal results holds: a value that is off is found."""

from __future__ import annotations

import sys
from pathlib import Path

import pyarrow as pa
import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture(autouse=True)
def _scripts(monkeypatch: pytest.MonkeyPatch) -> None:
    """The scripts find each other by their names, as when one is run."""
    monkeypatch.setattr(sys, "path", [str(BENCHMARKS), *sys.path])


@pytest.mark.parametrize(
    ("ours", "theirs", "apart"),
    [
        ([1.0, None, 5e9], [1.0 + 5e-10, None, 5e9 + 1], [False, False, False]),
        ([1.0, 0.0, 5e9], [1.0 + 5e-9, None, 5e9 + 10], [True, True, True]),
        ([1.0, 2.0], [float("nan"), 2.0], [True, False]),
        ([1, None, 3], [1, 2, 4], [False, True, True]),
        (["a", None], ["a", "b"], [False, True]),
        ([["acwr"], None, []], [["acwr"], [], None], [False, True, True]),
    ],
)
def test_values_apart_by_more_than_a_billionth_or_null_on_one_side_alone_are_found(
    ours: list, theirs: list, apart: list[bool]
) -> None:
    from feature_build import differing

    assert differing(pa.chunked_array([ours]), pa.chunked_array([theirs])).tolist() == apart


def test_each_script_that_make_bench_runs_is_there_and_is_there_once() -> None:
    from bench import BY_HAND, SCRIPTS, SHARED

    named = [*SCRIPTS, *BY_HAND, *SHARED]
    assert len(named) == len(set(named))
    assert {f"{name}.py" for name in named} <= {path.name for path in BENCHMARKS.glob("*.py")}


def test_a_script_that_takes_from_the_tests_finds_them_by_itself() -> None:
    """They are no installed package: here they are found, by the command line alone they are not."""
    for script in BENCHMARKS.glob("*.py"):
        before, taken, _ = script.read_text().partition("from athlete_assets_tests")
        assert not taken or "sys.path.insert(0, str(Path(__file__).parents[1]))" in before, script.name
