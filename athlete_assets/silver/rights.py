"""Data rights: rows that came through Strava's API neither train a model nor are scored, unless a setting says so."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from athlete_assets.errors import AthleteAssetsError
from athlete_assets.settings import Settings

API_SOURCE = "strava_api"


class DataRightsError(AthleteAssetsError):
    """Training or scoring met rows that the licence of their source forbids it to use."""


def refuse_api_data(activities: DataFrame, purpose: str, settings: Settings) -> None:
    """Raises DataRightsError where ACTIVITY rows hold the API's source and ATHLETE_ALLOW_API_DATA is not true."""
    if settings.allow_api_data:
        return
    found = activities.where(F.col("source") == API_SOURCE).select("athlete_id").limit(1).collect()
    if found:
        raise DataRightsError(
            f"feature_store.activity_features holds rows with source {API_SOURCE} (athlete {found[0]['athlete_id']}); "
            f"Strava's API agreement forbids {purpose} on them. Import the athlete's own export instead, "
            "or set ATHLETE_ALLOW_API_DATA=true if your agreement allows it"
        )
