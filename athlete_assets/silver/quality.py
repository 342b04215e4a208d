"""Which silver rows are used: the first, plainest rules (keys, dates, durations)."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from athlete_assets.days import Days, midnight
from athlete_assets.settings import Settings

RULES = ("missing_key", "missing_date", "non_positive_duration", "implausible_duration")
RUNS = ("Run", "TrailRun", "VirtualRun")


def in_window(activities: DataFrame, days: Days, settings: Settings) -> DataFrame:
    day = F.to_date("start_date_local")
    return activities.where(day.between(F.lit(days.first), F.lit(days.last)) | day.isNull())


def classified(activities: DataFrame, settings: Settings) -> DataFrame:
    broken = {
        "missing_key": F.col("athlete_id").isNull() | F.col("id").isNull(),
        "missing_date": F.col("start_date_local").isNull(),
        "non_positive_duration": F.coalesce(F.col("moving_time") <= 0, F.lit(True)),
        "implausible_duration": F.col("moving_time") > settings.max_duration_h * 3600,
    }
    reasons = F.array_compact(F.array(*(F.when(rule, F.lit(name)) for name, rule in broken.items())))
    day = F.to_timestamp(F.to_date("start_date_local"))
    return activities.select("*", day.alias("activity_date"), reasons.alias("reject_reasons"))


def accepted(verdicts: DataFrame) -> DataFrame:
    return verdicts.where(F.size("reject_reasons") == 0)


def rejects(verdicts: DataFrame, days: Days) -> DataFrame:
    day = F.col("activity_date")
    inside = day.isNull() | day.between(F.lit(midnight(days.first)), F.lit(midnight(days.last)))
    month = F.coalesce(F.date_format("activity_date", "yyyy-MM"), F.lit("none"))
    return verdicts.where((F.size("reject_reasons") > 0) & inside).select("*", month.alias("month"))
