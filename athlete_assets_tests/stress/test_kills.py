"""kill -9 in the middle of every kind of step, with a reader that looks all the while: no half window is ever seen."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from random import Random
from typing import Any

import pandas as pd
import pytest
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError, TableNotFoundError

from athlete_assets import tables
from athlete_assets.settings import Settings
from athlete_assets.store.local import LocalStore
from athlete_assets.tables import Table
from athlete_assets_tests.live import BY_DAY, assert_same, calendars, contents, rebuilt, run
from athlete_assets_tests.stress.conftest import times
from athlete_assets_tests.stress.victims import Job, Victim

pytestmark = pytest.mark.stress

TODAY = date(2024, 6, 26)
KILLS = 200
SEED = 20240626
CHANGED = ("sim_000001", 9_000_001, date(2024, 2, 14))
"""The run whose distance is changed back and forth, so that a window before and after differ on later days."""
SLOW, FAST = 60.0, 40.0


def key(table: Table) -> str:
    return "/".join(table.path)


def reads(store: LocalStore, table: Table) -> pd.DataFrame:
    """The newest version, sorted by key."""
    columns = list(table.column_names)
    rows = DeltaTable(str(store.path(table))).to_pyarrow_table().select(columns).to_pandas()
    return rows.sort_values(list(table.keys) or ["athlete_id", "id"]).reset_index(drop=True)


class Reader:
    """Looks at the tables in turn, as long as it is told to; keeps what no reader may ever see."""

    def __init__(self, store: LocalStore, allowed: dict[Table, list[pd.DataFrame]], watched: Sequence[Table]) -> None:
        self.store, self.allowed, self.watched = store, allowed, watched
        self.looks: Counter[str] = Counter()
        self.wrong: list[str] = []

    def look(self, table: Table) -> None:
        try:
            seen = reads(self.store, table)
        except (DeltaError, TableNotFoundError, OSError) as error:
            self.wrong.append(f"{table.name} cannot be read: {error}")
            return
        self.looks[table.name] += 1
        if repeated := int(seen.duplicated(list(table.keys) or ["athlete_id", "id"]).sum()):
            self.wrong.append(f"{table.name}: {repeated} keys twice")
        if table in self.allowed and not any(same(table, seen, whole) for whole in self.allowed[table]):
            self.wrong.append(f"{table.name}: {len(seen)} rows that are neither those before nor those after")

    @contextmanager
    def looking(self) -> Iterator[None]:
        stop = threading.Event()

        def loop() -> None:
            while not stop.is_set():
                for table in self.watched:
                    began = time.monotonic()
                    self.look(table)
                    stop.wait(max(0.02, time.monotonic() - began))  # the processes to kill need the cores, too

        thread = threading.Thread(target=loop)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()


def same(table: Table, seen: pd.DataFrame, whole: pd.DataFrame) -> bool:
    try:
        assert_same({table.name: seen}, {table.name: whole})
    except AssertionError:
        return False
    return True


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """Three athletes over half a year, everything materialised."""
    from athlete_assets import cli

    home = tmp_path_factory.mktemp("kills") / "home"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ATHLETE_HOME", str(home))
        patch.setenv("ATHLETE_AS_OF", str(TODAY))
        assert cli.main(["run", "--athletes", "3", "--years", "0.5"]) == 0
        yield Settings.load()


def variant(minutes: float) -> dict[str, Any]:
    return {**run(*CHANGED, km=10.0, minutes=minutes)}


def test_kills_leave_each_table_as_it_was_or_as_it_shall_be_and_the_next_run_mends_all(
    settings: Settings, figure: Callable[[str], None]
) -> None:
    store, random = LocalStore(settings), Random(SEED)
    days, weeks = calendars(settings)
    home = settings.home
    land = {minutes: Job(home, TODAY, activities=[variant(minutes)]) for minutes in (SLOW, FAST)}
    chain = [
        Job(home, TODAY, [key(table) for table in BY_DAY], days),
        Job(home, TODAY, [key(tables.WEEKLY)], weeks),
    ]
    rest = [
        Job(home, TODAY, [key(table) for table in tables.LABELS]),
        Job(home, TODAY, ["models/time_estimator", "models/overtraining_detector", *map(key, tables.SUMMARIES)]),
        Job(home, TODAY, [key(tables.PREDICTIONS), key(tables.INFERENCE_LOG)], (str(TODAY), str(TODAY))),
    ]

    # what each table holds with either run, and how long each step takes undisturbed
    watched = (tables.STRAVA_ACTIVITIES, *BY_DAY, tables.WEEKLY)
    allowed: dict[Table, list[pd.DataFrame]] = {table: [] for table in watched}
    took: dict[str, float] = {}
    steps: dict[int, list[str]] = {}
    for minutes in (SLOW, FAST):
        for job in (land[minutes], *chain):
            seconds = timed(job)
            took, steps[id(job)] = took | seconds, list(seconds)
        for table in watched:
            allowed[table].append(reads(store, table))
    assert not same(tables.ROLLING, *allowed[tables.ROLLING]), "the change is seen in later states"
    for job in rest:
        seconds = timed(job)
        took, steps[id(job)] = took | seconds, list(seconds)

    reader = Reader(store, allowed, (*watched, *tables.LABELS, *tables.GOLD))
    killed: Counter[str] = Counter()
    finished, minutes, wanted = 0, FAST, times(KILLS)
    started = time.monotonic()
    with reader.looking():
        while sum(killed.values()) < wanted:
            if random.random() < 0.15:
                minutes = FAST if minutes == SLOW else SLOW
                job, step = land[minutes], "silver"
            else:
                job = random.choice((*chain, *chain, *rest))
                # the one that was killed least: by chance alone, short ones are missed
                step = min(steps[id(job)], key=lambda step: (killed[step], random.random()))
                if job in chain and random.random() < 0.5:  # otherwise what is written again is what is there
                    minutes = FAST if minutes == SLOW else SLOW
                    Victim(land[minutes]).finish()
            victim = Victim(job)
            victim.reach(step)
            time.sleep(random.uniform(0, took[step]))
            if victim.kill():
                killed[victim.steps[-1]] += 1
            else:
                finished += 1
            assert not reader.wrong, reader.wrong
    whole = time.monotonic() - started

    # the next run goes on without a hand, and what it leaves is what a rebuild makes
    for job in (land[SLOW], *chain, *rest):
        Victim(job).finish()
    assert not reader.wrong
    assert_same(contents(store), rebuilt(settings))
    by_step = ", ".join(f"{step} {count}" for step, count in sorted(killed.items()))
    figure(
        f"{sum(killed.values())} kills ({by_step}) in {whole:.0f} s, {finished} steps ended before; "
        f"{sum(reader.looks.values())} looks at {len(reader.looks)} tables saw whole windows alone"
    )
    assert set(took) == set(killed) or wanted < KILLS, f"never killed: {set(took) - set(killed)}"


def timed(job: Job) -> dict[str, float]:
    """Lets the job end; the seconds of each of its steps."""
    victim, began = Victim(job), {}
    while victim.ended is None:
        victim.hear(60)
        for step in victim.steps:
            began.setdefault(step, time.monotonic())
    victim.finish()
    ends = [*list(began.values())[1:], time.monotonic()]
    return {step: end - start for (step, start), end in zip(began.items(), ends, strict=True)}
