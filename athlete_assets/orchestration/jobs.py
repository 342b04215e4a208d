"""The jobs: features by day, training, predictions by day, and whether tables are fresh."""

from __future__ import annotations

from typing import Any

import dagster as dg

from athlete_assets import tables
from athlete_assets.assets.builder import asset_key
from athlete_assets.assets.freshness import FRESHNESS_JOB, freshness_checks, unfinished_write_checks
from athlete_assets.assets.models import model_key
from athlete_assets.assets.silver_content import content_checks
from athlete_assets.models.specs import MODELS
from athlete_assets.orchestration.maintenance import maintenance_job
from athlete_assets.orchestration.run_requests import GOLD_TABLES
from athlete_assets.settings import Settings

DAILY_JOB = "daily_features"
GOLD_JOB = "predictions"
TRAINING_JOB = "training"


def jobs(settings: Settings) -> list[Any]:
    """Features by day, training, and predictions by day; run by hand, by schedule, or by a sensor."""
    return [
        dg.define_asset_job(
            DAILY_JOB,
            selection=[asset_key(table) for table in (*tables.DAILY_TABLES, *tables.STATE_TABLES)],
            description="Activity, daily, rolling and performance features of a range of days.",
            tags={"athlete_assets/stage": "features"},
        ),
        dg.define_asset_job(
            TRAINING_JOB,
            selection=[
                *(asset_key(table) for table in tables.LABELS),
                *(model_key(spec) for spec in MODELS.values() if spec.cadence == "weekly"),
            ],
            description="Trains, gates and registers the models.",
            tags={"athlete_assets/stage": "training"},
        ),
        dg.define_asset_job(
            GOLD_JOB,
            selection=[asset_key(table) for table in GOLD_TABLES],
            description="Predictions of a day, with the summary of where each athlete stands.",
            tags={"athlete_assets/stage": "gold"},
        ),
        dg.define_asset_job(
            FRESHNESS_JOB,
            selection=dg.AssetSelection.checks(
                freshness_checks(settings), unfinished_write_checks(settings), content_checks(settings)
            ),
            description="Whether yesterday's partitions are there, no day waits for a repair, and silver grows.",
            tags={"athlete_assets/stage": "freshness"},
        ),
        maintenance_job(settings),
    ]
