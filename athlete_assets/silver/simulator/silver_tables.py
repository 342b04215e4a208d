"""The simulated rows as the tables of the silver contract."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from athlete_assets import tables
from athlete_assets.formulas import race_times
from athlete_assets.silver.simulator.calendar import ZONES, Calendar
from athlete_assets.silver.simulator.draws import Draws, Flags, Floats, Integers, Rows
from athlete_assets.silver.simulator.people import People
from athlete_assets.silver.simulator.sessions import SPORTS
from athlete_assets.store.arrow import arrow_schema

SOURCE = "simulated"
OTHER_SPELLINGS = (
    ("running", "RUN"),
    ("trail_running", "TRAILRUN"),
    ("virtual_run", "VIRTUALRUN"),
    ("cycling", "RIDE"),
    ("swimming", "SWIM"),
    ("walking", "WALK"),
    ("strength_training", "WEIGHTTRAINING"),
)


def _names(numbers: Integers, of: Integers, missing: Flags | None = None) -> pa.Array:
    names = pa.array([f"sim_{number:06d}" for number in numbers.tolist()], pa.string())
    return names.take(pa.array(of, mask=missing))


def _nullable(values: Floats) -> pa.Array:
    return pa.array(values, mask=np.isnan(values))


def _moments(seconds: Integers, utc: bool, missing: Flags | None = None) -> pa.Array:
    return pa.array(seconds * 1_000_000, mask=missing).cast(pa.timestamp("us", "UTC" if utc else None))


def _texts(choices: list[str] | list[str | None], of: Integers) -> pa.Array:
    return pa.array(choices, pa.string()).take(pa.array(of))


def activity_table(rows: Rows, people: People) -> pa.Table:
    spellings = [
        spelling for sport, others in zip(SPORTS, OTHER_SPELLINGS, strict=True) for spelling in (sport, *others)
    ]
    columns = {
        "athlete_id": _names(people.number, rows["athlete"], rows["no_athlete"]),
        "id": pa.array(rows["id"], mask=rows["no_id"]),
        "start_date": _moments(rows["start"], utc=True, missing=rows["no_date"] == 2),
        "start_date_local": _moments(rows["start_local"], utc=False, missing=rows["no_date"] > 0),
        "timezone": _texts([name for name, _, _, _ in ZONES], people.zone[rows["athlete"]]),
        "sport_type": _texts(spellings, 3 * rows["sport"] + rows["spelling"]),
        "workout_type": pa.array(rows["workout_type"].astype(np.int32), mask=rows["workout_type"] < 0),
        "distance": pa.array(rows["metres"]),
        "moving_time": pa.array(rows["moving"]),
        "elapsed_time": pa.array(rows["elapsed"]),
        "total_elevation_gain": _nullable(rows["climb"]),
        "average_heartrate": _nullable(rows["heart_rate"]),
        "max_heartrate": _nullable(rows["peak"]),
        "manual": pa.array(rows["manual"]),
        "trainer": pa.array(rows["trainer"]),
        **dict.fromkeys(
            ("grade_adjusted_distance", "perceived_exertion", "weighted_power_w", "own_load"),
            pa.nulls(len(rows["id"]), pa.float64()),
        ),
        "source": pa.repeat(SOURCE, len(rows["id"])),
        "silver_ingestion_timestamp": _moments(rows["ingested"], utc=True),
    }
    return pa.table(columns, schema=arrow_schema(tables.STRAVA_ACTIVITIES))


def split_table(splits: Rows, activities: Rows, people: People) -> pa.Table:
    # copies of other services have no splits
    of = np.nonzero(activities["position"] >= 0)[0][splits["activity"]]
    columns = {
        "athlete_id": _names(people.number, activities["athlete"][of]),
        "activity_id": pa.array(activities["id"][of]),
        "split_id": pa.array(splits["split"]),
        "distance": pa.array(splits["metres"]),
        "moving_time": pa.array(splits["moving"]),
        "elapsed_time": pa.array(splits["elapsed"]),
        "elevation_difference": _nullable(splits["rise"]),
        "average_heartrate": _nullable(splits["heart_rate"]),
        "max_heartrate": _nullable(splits["peak"]),
        "silver_ingestion_timestamp": _moments(activities["ingested"][of], utc=True),
    }
    return pa.table(columns, schema=arrow_schema(tables.STRAVA_SUB_ACTIVITY))


def athlete_table(people: People, calendar: Calendar, draws: Draws) -> pa.Table:
    """What each athlete says: most a year of birth, some a maximum heart rate, few a threshold; 5 % nothing at all."""
    stated = {name: draws.uniform(f"states {name}") for name in ("row", "sex", "birth", "max", "rest", "threshold")}
    there = np.nonzero(stated["row"] > 0.05)[0]
    threshold = 1000 / race_times.speed_at_oxygen_cost(0.88 * people.vdot) * (1 + 0.02 * draws.normal("threshold"))
    threshold = np.rint(threshold * 100) / 100
    columns = {
        "athlete_id": _names(people.number, there),
        "sex": _texts(["M", "F", None], np.where(stated["sex"] < 0.9, people.woman, 2).astype(np.int64)[there]),
        "birth_year": pa.array(
            (calendar.first_day.year - people.age[there]).astype(np.int32), mask=stated["birth"][there] > 0.85
        ),
        "max_hr_bpm": pa.array(people.hr_max[there], mask=stated["max"][there] > 0.55),
        "resting_hr_bpm": pa.array(people.hr_rest[there], mask=stated["rest"][there] > 0.5),
        "threshold_pace_min_km": pa.array(threshold[there], mask=stated["threshold"][there] > 0.15),
    }
    schema = arrow_schema(tables.STRAVA_ATHLETE)
    unstated = {name: pa.nulls(len(there), schema.field(name).type) for name in schema.names if name not in columns}
    return pa.table({**columns, **unstated}, schema=schema)
