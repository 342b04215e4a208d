"""What runs at fixed times: features every day, training every week, and a look at the deadline."""

from __future__ import annotations

from datetime import date

import dagster as dg

from athlete_assets import tables
from athlete_assets.assets.builder import asset_key
from athlete_assets.assets.freshness import FRESHNESS_JOB, deadline_cron, training_cron
from athlete_assets.days import ONE_DAY, Days
from athlete_assets.orchestration.jobs import DAILY_JOB, TRAINING_JOB
from athlete_assets.orchestration.lasting_drift import drifting
from athlete_assets.orchestration.maintenance import maintenance_schedule
from athlete_assets.orchestration.run_tags import CAUSE, RANGE_END, RANGE_START
from athlete_assets.settings import Settings
from athlete_assets.words import counted


def schedules(settings: Settings) -> list[dg.ScheduleDefinition]:
    """Features every day at ATHLETE_SCHEDULE_AT, training on Mondays an hour later, both in ATHLETE_TIME_ZONE."""
    hour, minute = (int(part) for part in settings.schedule_at.split(":"))

    @dg.schedule(
        name="every_day",
        cron_schedule=f"{minute} {hour} * * *",
        execution_timezone=settings.time_zone,
        job_name=DAILY_JOB,
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Yesterday and today, and all days from the first that rolling features lack: rest days are rows, "
        "too, though silver never tells of them, and a machine may have been off.",
    )
    def every_day(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
        today = settings.as_of or context.scheduled_execution_time.astimezone(settings.zone).date()
        window = Days(min(_first_missing(context.instance, today), today - ONE_DAY), today)
        window = Days(max(window.first, settings.start_date), window.last)
        return dg.RunRequest(
            run_key=str(today),
            tags={RANGE_START: str(window.first), RANGE_END: str(window.last), CAUSE: "every_day"},
        )

    every_week = dg.ScheduleDefinition(
        name="every_week",
        job_name=TRAINING_JOB,
        cron_schedule=training_cron(settings),
        execution_timezone=settings.time_zone,
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Trains the models anew; a candidate serves only if it is better.",
    )

    @dg.schedule(
        name="when_drift_lasts",
        cron_schedule=deadline_cron(settings),
        execution_timezone=settings.time_zone,
        job_name=TRAINING_JOB,
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description=f"Trains before Monday where the drift check has failed for {settings.drift_days} days without a "
        "break (ATHLETE_DRIFT_DAYS): once, however long it then goes on.",
    )
    def when_drift_lasts(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        days = drifting(context.instance)
        if days is None or len(days) < settings.drift_days:
            lasted = f"{len(days)} of {counted(settings.drift_days, 'day')}" if days else "not now"
            return dg.SkipReason(f"drift: {lasted}")
        return dg.RunRequest(run_key=f"drift since {days.first}", tags={CAUSE: "when_drift_lasts"})

    at_the_deadline = dg.ScheduleDefinition(
        name="at_the_deadline",
        job_name=FRESHNESS_JOB,
        cron_schedule=deadline_cron(settings, minutes_later=5),
        execution_timezone=settings.time_zone,
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Looks whether the daily schedule's partitions are there, and whether silver still grows.",
    )
    return [every_day, every_week, when_drift_lasts, at_the_deadline, maintenance_schedule(settings)]


def _first_missing(instance: dg.DagsterInstance, today: date) -> date:
    """The first day without rolling features after the first that has them: weighted averages must skip no day."""
    there = instance.get_materialized_partitions(asset_key(tables.ROLLING))
    if not there:
        return today
    return next((day for day in Days(date.fromisoformat(min(there)), today) if str(day) not in there), today)
