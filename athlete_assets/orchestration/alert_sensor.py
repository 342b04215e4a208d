"""The sensor that sends one message for what broke and one for what is mended (`alert_reader` finds them).

On Dagster+ the same is done by `alert_policies.yaml`, and the sensor is not there.
"""

from __future__ import annotations

import os
import time

import dagster as dg

from athlete_assets.monitoring.alerts import updated_incidents
from athlete_assets.monitoring.channels import channels_of
from athlete_assets.monitoring.delivery import Undelivered, deliver
from athlete_assets.orchestration.alert_reader import AlertCursor, EventLogReader, newest_cursor
from athlete_assets.orchestration.stuck import silent_instigators, stuck_runs
from athlete_assets.settings import Settings
from athlete_assets.words import counted

ON_DAGSTER_PLUS = "DAGSTER_CLOUD_DEPLOYMENT_NAME"
"""Set by Dagster+ in each process that it starts."""


def alert_sensors(settings: Settings) -> list[dg.SensorDefinition]:
    """The alert sensor, running from the start; none on Dagster+, which alerts by `alert_policies.yaml`."""
    if os.environ.get(ON_DAGSTER_PLUS):
        return []
    channels = channels_of(settings)

    @dg.sensor(
        name="alerts",
        minimum_interval_seconds=settings.sensor_interval_s,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="One message when something broke and one when it is mended: checks, runs, stale tables, and what "
        "has come to a standstill.",
    )
    def alerts(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        assert context.repository_def is not None
        graph = context.repository_def.asset_graph
        if context.cursor:
            cursor = AlertCursor.model_validate_json(context.cursor)
        else:
            cursor = AlertCursor(
                failures=newest_cursor(context.instance, dg.DagsterEventType.RUN_FAILURE),
                successes=newest_cursor(context.instance, dg.DagsterEventType.RUN_SUCCESS),
            )
        origin = context.code_location_origin
        location = origin.location_name if origin else None
        reader = EventLogReader(context.instance, graph, location, settings.ui_url.rstrip("/"), cursor)
        cursor.note_tick(time.time())
        found = [
            *reader.observations(),
            *stuck_runs(context.instance, cursor.broken, settings, location),
            *silent_instigators(context.instance, context.repository_def, settings, location, cursor.watching_since),
        ]
        new = updated_incidents(cursor.broken, found)
        cursor.outbox += [Undelivered(alert=alert, to=[channel.name for channel in channels]) for alert in new]
        cursor.outbox, troubles = deliver(cursor.outbox, channels)
        context.update_cursor(cursor.model_dump_json(exclude_defaults=True))  # each tick keeps a copy
        for trouble in troubles:
            context.log.error(trouble)
        if cursor.outbox:
            return dg.SkipReason(f"{counted(len(cursor.outbox), 'message')} left for the next tick: {troubles[0]}")
        return dg.SkipReason(f"{counted(len(new), 'message')} sent; broken now: {len(cursor.broken)}")

    return [alerts]
