"""The code location: one Definitions for both deployments, which differ in their resources alone."""

from __future__ import annotations

import warnings
from typing import Any

import dagster as dg

from athlete_assets import automation
from athlete_assets.features.assets import feature_assets
from athlete_assets.gold.assets import gold_assets
from athlete_assets.models.assets import OVERTRAINING_DETECTOR, TIME_ESTIMATOR, model_assets
from athlete_assets.monitoring.alert_sensor import alert_sensors
from athlete_assets.monitoring.assets import monitoring_assets
from athlete_assets.monitoring.freshness import freshness_checks
from athlete_assets.progress import progress_logger
from athlete_assets.settings import Settings
from athlete_assets.silver.assets import silver_assets
from athlete_assets.silver.content import content_checks
from athlete_assets.silver.sensor import silver_sensors

__all__ = ["MODELS", "TIME_ESTIMATOR", "build", "defs"]

MODELS = (TIME_ESTIMATOR, OVERTRAINING_DETECTOR)


def build(settings: Settings) -> dg.Definitions:
    """All assets, with the resources of the deployment that the settings name."""
    return dg.Definitions(
        assets=[
            *silver_assets(settings),
            *feature_assets(settings),
            *model_assets(settings),
            *gold_assets(settings),
            *monitoring_assets(settings),
        ],
        asset_checks=[freshness_checks(settings), content_checks(settings)],
        jobs=automation.jobs(settings),
        schedules=automation.schedules(settings),
        sensors=[
            *silver_sensors(settings),
            *automation.follow_sensors(settings),
            *alert_sensors(settings),
        ],
        resources=_resources(settings),
        # one process: the embedded engine and the imports are paid once a run, not once a step
        loggers={"console": dg.colored_console_logger, "progress": progress_logger},
        executor=dg.in_process_executor,
    )


def _resources(settings: Settings) -> dict[str, Any]:
    if settings.deployment == "databricks":
        from athlete_assets.deployments.databricks.resources import resources
    else:
        from athlete_assets.deployments.local import resources
    return resources(settings)


warnings.filterwarnings("ignore", category=dg.BetaWarning)
defs = build(Settings.load())
