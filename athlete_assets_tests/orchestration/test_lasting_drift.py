"""Drift that lasts asks for a training, once, by a schedule."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta

import dagster as dg
import pytest

from athlete_assets import tables
from athlete_assets.assets.builder import asset_key
from athlete_assets.days import Days
from athlete_assets.monitoring.drift import DAY, DRIFT
from athlete_assets.orchestration.jobs import TRAINING_JOB
from athlete_assets.orchestration.lasting_drift import drifting
from athlete_assets.orchestration.schedules import schedules
from athlete_assets.settings import Settings

FIRST = date(2024, 5, 1)


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.instance_for_test() as scratch:
        yield scratch


def verdict(instance: dg.DagsterInstance, number: int, passed: bool) -> None:
    instance.report_runless_asset_event(
        dg.AssetCheckEvaluation(
            asset_key=asset_key(tables.PREDICTIONS),
            check_name=DRIFT.name,
            passed=passed,
            metadata={DAY: str(FIRST + timedelta(days=number))},
        )
    )


def requested(instance: dg.DagsterInstance) -> dg.RunRequest | dg.SkipReason:
    (schedule,) = (found for found in schedules(Settings()) if found.name == "when_drift_lasts")
    assert schedule.job_name == TRAINING_JOB
    context = dg.build_schedule_context(instance=instance)
    data = schedule.evaluate_tick(context)
    return data.run_requests[0] if data.run_requests else dg.SkipReason(data.skip_message)


def test_seven_days_without_a_break_ask_for_one_training(instance: dg.DagsterInstance) -> None:
    assert isinstance(requested(instance), dg.SkipReason)
    verdict(instance, 0, True)
    for number in range(1, 7):
        verdict(instance, number, False)
    assert isinstance(requested(instance), dg.SkipReason)
    verdict(instance, 7, False)
    first = requested(instance)
    verdict(instance, 8, False)
    assert isinstance(first, dg.RunRequest)
    # the same key: Dagster starts one run of it
    assert first.run_key == requested(instance).run_key == "drift since 2024-05-02"


def test_a_day_counts_by_its_newest_verdict_and_a_good_one_ends_it(instance: dg.DagsterInstance) -> None:
    for number in (0, 1, 2, 3):
        verdict(instance, number, False)
    verdict(instance, 1, True)  # scored again
    assert drifting(instance) == Days(FIRST + timedelta(days=2), FIRST + timedelta(days=3))
    verdict(instance, 3, True)
    assert drifting(instance) is None
    verdict(instance, 2, False)  # an older day again: the newest has none
    assert drifting(instance) is None
