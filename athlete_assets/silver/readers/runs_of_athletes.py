"""Runs of several athletes, as research data sets have them: units stand in the columns' names."""

from athlete_assets import tables
from athlete_assets.silver.readers.columns import ColumnReader

RUNS_OF_ATHLETES = ColumnReader(
    kind="runs",
    accepts="a CSV or Parquet file of runs of several athletes",
    table=tables.STRAVA_ACTIVITIES,
    sources={
        "athlete_id": "athlete_id",
        "id": "activity_id",
        "start_date": "start_time_utc",
        "start_date_local": "start_time_local",
        "timezone": "timezone",
        "sport_type": "sport_type",
        "workout_type": "workout_type",
        "distance": "distance_m",
        "moving_time": "moving_time_s",
        "elapsed_time": "elapsed_time_s",
        "total_elevation_gain": "elevation_gain_m",
        "average_heartrate": "average_heartrate",
        "max_heartrate": "max_heartrate",
        "manual": "manual",
        "trainer": "trainer",
        "grade_adjusted_distance": "grade_adjusted_distance_m",
        "perceived_exertion": "perceived_exertion",
        "weighted_power_w": "weighted_power_w",
        "source": "source",
    },
    optional=frozenset({"elapsed_time"}),
)
