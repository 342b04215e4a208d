"""Rows from Strava's API are refused, by name, unless a setting allows them."""

from __future__ import annotations

import pytest
from pyspark.sql import SparkSession

from athlete_assets.settings import Settings
from athlete_assets.silver.rights import DataRightsError, refuse_api_data

ROWS = [("ann", "strava_export"), ("bob", "strava_api"), ("eve", None)]


def test_api_rows_are_refused_with_the_athlete_and_the_way_out(sail: SparkSession) -> None:
    rows = sail.createDataFrame(ROWS, "athlete_id string, source string")
    with pytest.raises(DataRightsError, match=r"bob.*forbids training.*ATHLETE_ALLOW_API_DATA"):
        refuse_api_data(rows, "training", Settings())
    refuse_api_data(rows, "training", Settings(allow_api_data=True))


def test_other_sources_pass(sail: SparkSession) -> None:
    rows = sail.createDataFrame([row for row in ROWS if row[1] != "strava_api"], "athlete_id string, source string")
    refuse_api_data(rows, "scoring", Settings())
