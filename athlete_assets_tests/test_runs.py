"""What `run` carries out, in which process."""

from __future__ import annotations

import os

import pytest

from athlete_assets import runs, tables
from athlete_assets.assets.builder import asset_key
from athlete_assets.definitions import defs
from athlete_assets.settings import Settings


@pytest.mark.parametrize(("engine", "cores"), [("sail", 1), ("spark", 8)])
def test_one_process_does_all_on_one_core_and_on_apache_spark(
    engine: str, cores: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: cores)
    with runs._second_process(Settings.model_validate({"engine": engine})) as second:
        assert second is None


def test_each_step_rests_on_steps_that_are_done_by_then_in_either_process() -> None:
    """Steps of models begin when what stands before the first of them is done, and the last one when all is."""
    graph = defs.resolve_asset_graph()
    steps = runs.steps(Settings())
    first = next(number for number, step in enumerate(steps) if step.is_of_models)
    done = {asset_key(table) for table in tables.SILVER}
    of_models, others = set(done), set(done)
    for number, step in enumerate(steps):
        ready = of_models if step.is_of_models else others
        if number == len(steps) - 1:
            ready = of_models | others
        parents = {parent for key in step.keys for parent in graph.get(key).parent_keys} - set(step.keys)
        assert parents <= ready, step.title
        if number < first:
            of_models |= set(step.keys)
            others |= set(step.keys)
        else:
            ready |= set(step.keys)
