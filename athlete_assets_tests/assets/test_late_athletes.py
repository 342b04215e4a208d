"""Late rows and changed statements, followed by runs of their athletes alone, end in the tables of a rebuild.

Sensors and assets as they are, in this process: what a sensor asks for is run until none asks for more.
"""

from __future__ import annotations

import json
import random
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pandas as pd
import pytest

from athlete_assets import definitions, tables
from athlete_assets.assets.builder import asset_key
from athlete_assets.deployments.instance import prepare_dagster_home
from athlete_assets.orchestration.run_tags import ATHLETES, RANGE_TAGS
from athlete_assets.settings import Settings
from athlete_assets.silver import landing
from athlete_assets.silver.simulator import simulate
from athlete_assets.store.local import LocalStore
from athlete_assets.tables import Table
from athlete_assets_tests.live import assert_same, run
from athlete_assets_tests.live import silver_batch as batch
from athlete_assets_tests.orchestration.test_silver_sensors import Ticks
from athlete_assets_tests.rows import rows

FIRST, LAST = date(2024, 1, 1), date(2024, 3, 31)
MONDAY = date(2024, 3, 25)
BY_DAY = (*tables.DAILY_TABLES, *tables.STATE_TABLES)
SUMMARISED = tuple(table for table in tables.SUMMARIES if table != tables.ATHLETE_PAGES)
DERIVED = (*BY_DAY, *tables.WEEKLY_TABLES, *SUMMARISED)
ATHLETES_OF_HOME = [f"sim_00000{number}" for number in range(1, 6)]


class World:
    """A filled home, and the sensors that follow what changes in it."""

    def __init__(self, settings: Settings, instance: dg.DagsterInstance) -> None:
        self.settings, self.instance, self.store = settings, instance, LocalStore(settings)
        self.job = definitions.build(settings).resolve_implicit_global_asset_job_def()
        self.fill()
        self.sensors = [Ticks(name, settings, instance) for name in ("silver_changes", "tables_follow")]
        for sensor in self.sensors:
            assert sensor.tick() == []

    def run(self, keys: set[dg.AssetKey], tags: dict[str, str]) -> None:
        job = self.job.get_subset(asset_selection=keys)
        result = job.execute_in_process(instance=self.instance, tags=tags, run_config={"loggers": {"progress": {}}})
        assert result.success

    def fill(self) -> None:
        for selected, span in ((BY_DAY, (FIRST, LAST)), (tables.WEEKLY_TABLES, (FIRST, MONDAY)), (SUMMARISED, None)):
            tags = dict(zip(RANGE_TAGS, map(str, span), strict=True)) if span else {}
            self.run({asset_key(table) for table in selected}, tags)
        # what makes pages needs no part in this; without a first one of them the summaries are always of all
        self.instance.report_runless_asset_event(dg.AssetMaterialization(asset_key(tables.ATHLETE_PAGES)))

    def settle(self) -> list[dict[str, str]]:
        """Runs what the sensors ask for until they ask for nothing; the tags of those runs."""
        done: list[dict[str, str]] = []
        while asked := [request for sensor in self.sensors for request in sensor.tick()]:
            for request in asked:
                keys = set(request.asset_selection or ()) - {asset_key(tables.ATHLETE_PAGES)}
                self.run(keys, dict(request.tags))
                done.append(dict(request.tags))
        return done

    def contents(self) -> dict[str, pd.DataFrame]:
        found = {}
        for table in DERIVED:
            frame = self.store.rows(table).to_pandas()
            keys = list(table.keys) or ["athlete_id", "id"]
            found["/".join(table.path)] = frame.sort_values(keys).reset_index(drop=True)
        return found


def change(store: LocalStore, chance: random.Random, number: int) -> set[str]:
    """A late activity of one athlete or two, deleted ones, or another statement; whose it is."""
    athletes = set(chance.sample(ATHLETES_OF_HOME, chance.randint(1, 2)))
    for athlete in sorted(athletes):
        day = FIRST + timedelta(days=chance.randrange((LAST - FIRST).days))
        kind = chance.choice(["late", "deleted", "stated"])
        # accepted ones: a row outside the calendar is in the rejects, which a run of all writes
        accepted = store.rows(tables.ACTIVITY, ["athlete_id", "activity_id"]).to_pylist()
        ids = sorted(row["activity_id"] for row in accepted if row["athlete_id"] == athlete)
        if kind == "stated":
            said = {"athlete_id": athlete, "max_hr_bpm": 170.0 + number, "threshold_pace_min_km": 4.5, "source": "x"}
            said["valid_from"] = None
            store.folder(tables.STRAVA_ATHLETE).append(rows(tables.STRAVA_ATHLETE, blank(tables.STRAVA_ATHLETE) | said))
        elif kind == "deleted" and ids:
            landing.delete(store, athlete, chance.sample(ids, min(3, len(ids))))
        else:
            landing.land(store, batch([run(athlete, 9_000_000 + number, day, km=chance.uniform(3, 25))]))
    return athletes


def blank(table: Table) -> dict[str, Any]:
    return dict.fromkeys(table.column_names)


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["sail", pytest.param("spark", marks=pytest.mark.java)])
def test_runs_of_some_athletes_end_in_the_tables_of_a_rebuild(tmp_path: Path, engine: Any) -> None:
    settings = Settings(home=tmp_path / "home", start_date=FIRST, as_of=LAST, engine=engine)
    store, chance = LocalStore(settings), random.Random(11)
    for made in simulate(5, 0.25, 3, LAST):
        landing.land(store, made)
    with dg.DagsterInstance.from_config(str(prepare_dagster_home(settings))) as instance:
        world = World(settings, instance)
        untouched = set(ATHLETES_OF_HOME)
        before = world.contents()
        for number in range(3 if engine == "sail" else 1):
            whose = change(store, chance, number)
            untouched -= whose
            runs = world.settle()
            assert runs
            assert all(set(json.loads(tags[ATHLETES])) <= whose for tags in runs), "a run of all"
        found = world.contents()
        for name, frame in found.items():
            mine, old = (of[of["athlete_id"].isin(untouched)].reset_index(drop=True) for of in (frame, before[name]))
            pd.testing.assert_frame_equal(mine, old)
        world.fill()
        assert_same(found, world.contents())
