"""Silver changes under a live deployment that is killed whole, again and again; the tables are a rebuild's."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from random import Random

import dagster as dg
import pytest

from athlete_assets import tables
from athlete_assets.silver import landing
from athlete_assets_tests.live import TODAY, Live, assert_same, contents, land, rebuilt, run, running
from athlete_assets_tests.stress.conftest import PATIENCE_S, times

pytestmark = pytest.mark.stress

ROUNDS = 20
COMPARED_EVERY = 5
SEED = 20240627
LONGEST_LIFE_S = 25.0
"""The server is killed so long after a change at the latest: about when all that follows from it has run."""


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    with running(tmp_path_factory.mktemp("changes") / "home", PATIENCE_S) as live:
        yield live


def change(live: Live, random: Random, number: int) -> str:
    """New, late, changed or deleted rows of one or two athletes; what it was."""
    athletes = ("sim_000001", "sim_000002", "sim_000003")
    athlete, kind = random.choice(athletes), random.choice(("today", "late", "many", "changed", "deleted"))
    ids = iter(range(9_100_000 + 100 * number, 9_100_100 + 100 * number))

    def some(days_ago: int) -> dict[str, object]:
        day = TODAY - timedelta(days=days_ago)
        return run(athlete, next(ids), day, km=random.uniform(3, 25), minutes=random.uniform(20, 150))

    mine = live.store.delta(tables.STRAVA_ACTIVITIES).to_pyarrow_table(columns=["athlete_id", "id"]).to_pylist()
    known = [row["id"] for row in mine if row["athlete_id"] == athlete]
    if kind == "today":
        land(live, some(0))
    elif kind == "late":
        land(live, some(random.randrange(1, 600)))
    elif kind == "many":
        land(live, *(some(random.randrange(0, 90)) for _ in range(12)))
    elif kind == "changed":
        land(live, {**some(random.randrange(1, 300)), "id": random.choice(known)})
    else:
        landing.delete(live.store, athlete, random.sample(known, 3))
    return f"{kind} of {athlete}"


def test_silver_changes_and_kills_in_any_order_end_in_the_tables_of_a_rebuild(
    live: Live, figure: Callable[[str], None]
) -> None:
    random, ended, waits, rounds = Random(SEED), 0, [], times(ROUNDS)
    for number in range(1, rounds + 1):
        what = change(live, random, number)
        time.sleep(random.uniform(0, LONGEST_LIFE_S))
        ended += live.kill()
        if random.random() < 0.5:  # rows arrive while nothing runs
            change(live, random, number + 1000)
        live.start()
        began = time.monotonic()
        live.settle()
        waits.append(time.monotonic() - began)
        if number % COMPARED_EVERY == 0 or number == rounds:
            found = contents(live.store)
            assert_same(found, rebuilt(live.settings))
        left = [run for run in live.instance.get_runs() if not run.is_finished]
        assert not left, f"round {number}, {what}: {left} is neither done nor failed"
    failed = live.instance.get_runs_count(dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE]))
    figure(
        f"{rounds} rounds of changed silver, each with a kill of all ({ended} processes, {failed} runs failed): "
        f"quiet again {min(waits):.0f} to {max(waits):.0f} s after the start, without a hand; tables equal to a rebuild"
    )
