"""A small cohort whose races are half fitness, half luck of the day: what no honest model can foresee."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import pandas as pd
import pyarrow as pa
from pyspark.sql import SparkSession

from athlete_assets import tables
from athlete_assets.days import Days
from athlete_assets.features.daily import daily_features
from athlete_assets.features.performance import performance_features
from athlete_assets.features.rolling import rolling_features
from athlete_assets.models import labels, training_set
from athlete_assets.settings import Settings
from athlete_assets.store.arrow import arrow_schema
from athlete_assets_tests.features.rows import Activity, activity_table, day, no_rows
from athlete_assets_tests.rows import frame

DAY_FORM = 0.08
"""Standard deviation of the logarithm of a race time about the athlete's fitness."""
WEEKS, RACE_EVERY_WEEKS = 60, 5


@dataclass(frozen=True)
class Plant:
    """A run that gives a race's result away: so many days after it, 8 km at its Riegel equivalent."""

    offset_days: int


def activities(athletes: int = 24, plant: Plant | None = None) -> tuple[list[Activity], list[bool]]:
    """Runs, and whether each was marked as a race."""
    random = np.random.default_rng(3)
    runs: list[Activity] = []
    races: list[bool] = []

    def add(run: Activity, is_race: bool) -> None:
        runs.append(run)
        races.append(is_race)

    for number in range(athletes):
        name, fitness = f"athlete {number:02d}", float(random.uniform(2_300, 3_900))
        for week in range(WEEKS):
            for weekday in (1, 3, 5):
                easy = fitness * 0.8**1.06 * float(random.uniform(1.15, 1.35))
                add(Activity(name, day(7 * week + weekday), km=8.0, minutes=easy / 60), False)
            if week % RACE_EVERY_WEEKS == RACE_EVERY_WEEKS - 1:
                on, time = day(7 * week + 6), fitness * float(np.exp(random.normal(0, DAY_FORM)))
                add(Activity(name, on, km=10.0, minutes=time / 60), True)
                if plant is not None:
                    told = time * 0.8**1.06 / 60
                    add(Activity(name, on + timedelta(days=plant.offset_days), km=8.0, minutes=told), False)
    return runs, races


def labelled_efforts(spark: SparkSession, plant: Plant | None = None) -> pd.DataFrame:
    """The cohort's races with the features of the evening before, through the real transforms."""
    runs, races = activities(plant=plant)
    rows = activity_table(runs)
    field = arrow_schema(tables.ACTIVITY).field("is_race")
    rows = rows.set_column(rows.schema.get_field_index("is_race"), field, pa.array(races))
    days = Days(day(0), day(7 * WEEKS))
    features = frame(spark, rows)
    daily = frame(spark, daily_features(features, days).toArrow())
    state = rolling_features(daily, features, no_rows(spark, tables.ROLLING), days, Settings())
    performance = performance_features(daily, features, days)
    efforts = labels.race_efforts(features).where("effort = 'race'")
    joined = training_set.labelled(efforts, performance, state).toPandas()
    return joined.sort_values(["athlete_id", "activity_date"], ignore_index=True)
