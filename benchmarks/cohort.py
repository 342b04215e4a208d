"""The cohort of the other scripts: silver activities of many athletes, made from a seed without an engine.

About four activities a week, heart rate with two in three of them, a race a month, and two in a hundred recorded twice.
`assets` gives a home's assets as Dagster runs them, in this process.
"""

from __future__ import annotations

import sys
from datetime import date, timedelta
from pathlib import Path

import dagster as dg
import numpy as np
import pyarrow as pa

sys.path.insert(0, str(Path(__file__).parents[1]))

from athlete_assets import definitions, tables
from athlete_assets.assets.builder import asset_key
from athlete_assets.days import Days, monday_of
from athlete_assets.deployments.instance import prepare_dagster_home
from athlete_assets.orchestration.run_tags import RANGE_END, RANGE_START
from athlete_assets.settings import Settings
from athlete_assets.store.arrow import arrow_schema
from athlete_assets.store.local import LocalStore

LAST = date(2025, 6, 29)
LANDED_DAYS = 7
"""The newest days, which came in one by one; all before lies in one load."""
MICROSECONDS = 1_000_000
MICROSECONDS_A_DAY = 86_400 * MICROSECONDS


def silver(athletes: int, days: Days, seed: int = 5) -> pa.Table:
    """STRAVA_ACTIVITIES rows of athletes who begin within the first year."""
    random = np.random.default_rng(seed)
    length = len(days)
    begin = random.integers(0, min(365, length), athletes)
    happens = random.random((athletes, length)) < 0.57
    happens &= np.arange(length) >= begin[:, None]
    happens[np.arange(athletes), begin] = True
    athlete, offset = np.nonzero(happens)
    twice = np.flatnonzero(random.random(len(athlete)) < 0.02)
    source = np.append(np.arange(len(athlete)), twice)
    count = len(source)
    metres, pace = random.gamma(4, 2500, len(athlete)) + 1000, random.normal(330, 35, len(athlete)).clip(190)
    moving = np.round(metres * pace / 1000)
    day = (days.first - date(1970, 1, 1)).days + offset
    start = day * MICROSECONDS_A_DAY + random.integers(5 * 3600, 20 * 3600, len(athlete)) * MICROSECONDS
    bpm = np.where(random.random(len(athlete)) < 0.67, random.normal(148, 9, len(athlete)).clip(100, 185), np.nan)
    is_race = random.random(len(athlete)) < 0.08
    columns = {
        "athlete_id": pa.array([f"athlete-{number:06d}" for number in range(athletes)]).take(pa.array(athlete)),
        "start_date": pa.array(start).cast(pa.timestamp("us", "UTC")),
        "start_date_local": pa.array(start).cast(pa.timestamp("us")),
        "timezone": pa.array(np.full(len(athlete), "UTC")),
        "sport_type": pa.array(np.where(random.random(len(athlete)) < 0.9, "Run", "Ride")),
        "workout_type": pa.array(is_race.astype(np.int32)),
        "distance": pa.array(metres),
        "moving_time": pa.array(moving),
        "elapsed_time": pa.array(np.round(moving * random.uniform(1.0, 1.08, len(athlete)))),
        "total_elevation_gain": pa.array(random.gamma(2, 40, len(athlete))),
        "average_heartrate": pa.array(bpm, mask=np.isnan(bpm)),
        "max_heartrate": pa.array(bpm + 15, mask=np.isnan(bpm)),
        "manual": pa.array(np.zeros(len(athlete), dtype=bool)),
        "trainer": pa.array(np.zeros(len(athlete), dtype=bool)),
        "source": pa.array(np.full(len(athlete), "simulated")),
        "silver_ingestion_timestamp": pa.array(start + MICROSECONDS_A_DAY).cast(pa.timestamp("us", "UTC")),
    }
    schema = arrow_schema(tables.STRAVA_ACTIVITIES)
    position = pa.array(source)
    ids = np.empty(count, dtype=np.int64)
    ids[np.argsort(start[source], kind="stable")] = np.arange(count)  # as they come
    arrays = [
        columns[field.name].take(position).cast(field.type)
        if field.name in columns
        else pa.array(ids)
        if field.name == "id"
        else pa.nulls(count, field.type)
        for field in schema
    ]
    return pa.table(arrays, schema=schema)


def land_day(store: LocalStore, athletes: int, day: date, seed: int = 7) -> None:
    """The activities of one more day, of the cohort's athletes, as a new import appends them."""
    rows = silver(athletes, Days(day, day), seed)
    ids = pa.array(np.arange(rows.num_rows) + 1_000_000_000)
    rows = rows.set_column(rows.column_names.index("id"), "id", ids).filter(
        pa.array(np.random.default_rng(seed).random(rows.num_rows) < 0.57)
    )
    store.folder(tables.STRAVA_ACTIVITIES).append(rows)


def home(path: Path, athletes: int, years: float, seed: int = 5, **settings: object) -> Settings:
    """A new home that holds the cohort's silver and nothing else; its today is the day after the last activity."""
    first = monday_of(LAST - timedelta(days=round(years * 365.25) - 1))
    made = Settings(home=path, start_date=first, as_of=LAST + timedelta(days=1), time_zone="UTC", **settings)  # type: ignore[arg-type]
    store = LocalStore(made)
    rows = silver(athletes, Days(first, LAST), seed)
    day = rows["start_date"].cast(pa.int64()).to_numpy() // MICROSECONDS_A_DAY
    last = int(day.max())
    store.replace_arrow(tables.STRAVA_ACTIVITIES, rows.filter(pa.array(day <= last - LANDED_DAYS)))
    for one in range(last - LANDED_DAYS + 1, last + 1):
        store.folder(tables.STRAVA_ACTIVITIES).append(rows.filter(pa.array(day == one)))
    for table in (tables.STRAVA_SUB_ACTIVITY, tables.STRAVA_ATHLETE):
        store.create(table)
    return made


class Assets:
    """A home's assets, run in this process."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.store = LocalStore(settings)
        self.instance = dg.DagsterInstance.from_config(str(prepare_dagster_home(settings)))
        self._job = definitions.build(settings).resolve_implicit_global_asset_job_def()

    def run(self, selected: list[tables.Table], days: Days | None = None, **tags: str) -> None:
        """Materialises the tables over the days; raises where a step or a blocking check fails."""
        span = {RANGE_START: str(days.first), RANGE_END: str(days.last)} if days else {}
        job = self._job.get_subset(asset_selection={asset_key(table) for table in selected})
        result = job.execute_in_process(
            instance=self.instance, tags={**span, **tags}, run_config={"loggers": {"progress": {}}}
        )
        assert result.success
