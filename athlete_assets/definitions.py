"""The code location: one Definitions for both deployments, which differ in their resources and executor alone."""

from __future__ import annotations

from types import ModuleType

import dagster as dg

from athlete_assets import garbage
from athlete_assets.assets.features import feature_assets
from athlete_assets.assets.freshness import freshness_checks, unfinished_write_checks
from athlete_assets.assets.gold import gold_assets
from athlete_assets.assets.models import model_assets, model_key
from athlete_assets.assets.monitoring import monitoring_assets
from athlete_assets.assets.pages import page_assets
from athlete_assets.assets.silver import silver_assets
from athlete_assets.assets.silver_content import content_checks
from athlete_assets.forgetting.workspace import forget_jobs
from athlete_assets.models import specs
from athlete_assets.orchestration.alert_sensor import alert_sensors
from athlete_assets.orchestration.follow_sensor import follow_sensors
from athlete_assets.orchestration.jobs import jobs
from athlete_assets.orchestration.progress import progress_logger
from athlete_assets.orchestration.schedules import schedules
from athlete_assets.orchestration.silver_sensors import silver_sensors
from athlete_assets.orchestration.worker import with_worker_tag
from athlete_assets.settings import Settings

__all__ = ["MODELS", "SETTINGS", "build", "defs"]

MODELS = tuple(model_key(spec) for spec in specs.MODELS.values())


def build(settings: Settings) -> dg.Definitions:
    """All assets, with the resources, the executor and the sensors of the deployment that the settings name."""
    deployment = _deployment(settings)
    return dg.Definitions(
        assets=[
            *silver_assets(settings),
            *feature_assets(settings),
            *model_assets(settings),
            *gold_assets(settings),
            *monitoring_assets(settings),
            *page_assets(settings),
        ],
        asset_checks=[freshness_checks(settings), unfinished_write_checks(settings), content_checks(settings)],
        jobs=[*jobs(settings), *forget_jobs(settings)],
        schedules=schedules(settings),
        sensors=[
            *silver_sensors(settings),
            *follow_sensors(settings),
            *alert_sensors(settings),
            *deployment.sensors(settings),
        ],
        resources=deployment.resources(settings),
        loggers={"console": dg.colored_console_logger, "progress": progress_logger},
        executor=with_worker_tag(deployment.executor(settings)),
    )


def _deployment(settings: Settings) -> ModuleType:
    if settings.deployment == "databricks":
        from athlete_assets.deployments.databricks import resources

        return resources
    from athlete_assets.deployments import local

    return local


SETTINGS = Settings.load()
garbage.seek_less()  # here, for it is what each process of Dagster loads: code server, run worker, step worker
defs = build(SETTINGS)
