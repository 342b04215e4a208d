"""activity_features with the default threshold pace alone."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from athlete_assets import tables
from athlete_assets.days import Days, midnight
from athlete_assets.settings import Settings
from athlete_assets.silver.quality import RUNS, accepted


def history_days(settings: Settings) -> int:
    return settings.hr_max_window_days


def activity_features(
    verdicts: DataFrame, splits: DataFrame, athletes: DataFrame, days: Days, settings: Settings
) -> DataFrame:
    inside = F.col("activity_date").between(F.lit(midnight(days.first)), F.lit(midnight(days.last)))
    is_run = F.col("sport_type").isin(*RUNS) & (F.col("distance") > 0)
    pace = F.when(is_run, F.col("moving_time") / 60 / (F.col("distance") / 1000))
    intensity = settings.default_threshold_pace_min_km / pace
    known = {
        "athlete_id": F.col("athlete_id"),
        "activity_id": F.col("id"),
        "event_timestamp": F.coalesce("start_date", F.col("activity_date")),
        "sport_type": F.col("sport_type"),
        "is_race": F.coalesce(F.col("workout_type") == 1, F.lit(False)),
        "distance_km": F.abs("distance") / 1000,
        "moving_time_min": F.col("moving_time") / 60,
        "elapsed_time_min": F.col("elapsed_time") / 60,
        "pace_min_km": pace,
        "elevation_gain_m": F.col("total_elevation_gain"),
        "threshold_pace_min_km": F.lit(settings.default_threshold_pace_min_km),
        "threshold_source": F.lit("default"),
        "intensity_factor": intensity,
        "estimated_tss": F.col("moving_time") / 3600 * intensity**2 * 100,
        "load_method": F.when(is_run, F.lit("pace")).otherwise(F.lit("none")),
        "source": F.col("source"),
        "activity_date": F.col("activity_date"),
        "month": F.date_format("activity_date", "yyyy-MM"),
    }
    columns = [known.get(c.name, F.lit(None)).cast(c.type).alias(c.name) for c in tables.ACTIVITY.columns]
    return accepted(verdicts).where(inside).select(*columns)
