"""How much of a long range is computed at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from athlete_assets import tables
from athlete_assets.settings import Settings
from athlete_assets.store import pieces as module
from athlete_assets.store.pieces import LEAST_ROWS, free_gb, rows_at_once


def test_rows_follow_the_memory_that_a_step_may_take(monkeypatch: pytest.MonkeyPatch) -> None:
    found = rows_at_once(Settings(memory_gb=3.0), tables.ROLLING)
    assert found == pytest.approx(2_000_000, abs=1)  # 1.4 GB and 0.8 a million rows
    found = rows_at_once(Settings(memory_gb=4.0), tables.PERFORMANCE)
    assert found == pytest.approx(2_000_000, abs=1)  # 1.3 a million: its rows are the widest
    assert rows_at_once(Settings(memory_gb=0.5), tables.ROLLING) == LEAST_ROWS
    assert rows_at_once(Settings(memory_gb=0.5, chunk_athlete_days=7), tables.ROLLING) == 7
    monkeypatch.setattr(module, "free_gb", lambda: 8.0)
    assert rows_at_once(Settings(), tables.PERFORMANCE) == found  # half of it


def test_rows_on_a_cluster_do_not_follow_the_memory_of_the_driver() -> None:
    assert rows_at_once(Settings(deployment="databricks", memory_gb=2.0), tables.ROLLING) == 20_000_000


@pytest.mark.parametrize(("limit", "used", "expected"), [("3000000000", "1000000000", 2.0), ("max", "5", None)])
def test_a_container_has_what_its_limit_leaves(
    limit: str, used: str, expected: float | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CGROUP", tmp_path / "none")
    machine = free_gb()
    (tmp_path / "memory.max").write_text(f"{limit}\n")
    (tmp_path / "memory.current").write_text(f"{used}\n")
    monkeypatch.setattr(module, "CGROUP", tmp_path)
    found = free_gb()
    assert found == pytest.approx(min(expected, machine) if expected else machine, rel=0.2)
