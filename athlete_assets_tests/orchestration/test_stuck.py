"""What stands still is told once, and that it goes on again once."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import dagster as dg
import pytest
from dagster._core.remote_origin import (
    InProcessCodeLocationOrigin,
    RemoteInstigatorOrigin,
    RemoteRepositoryOrigin,
)
from dagster._core.scheduler.instigation import (
    InstigatorState,
    InstigatorStatus,
    InstigatorType,
    SensorInstigatorData,
    TickData,
    TickStatus,
)
from dagster._core.test_utils import create_run_for_test
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster._utils.error import SerializableErrorInfo

from athlete_assets.monitoring.alerts import Incident, updated_incidents
from athlete_assets.orchestration.stuck import silent_instigators, stuck_runs
from athlete_assets.settings import Settings

NOW = 1_719_750_000.0
HOUR = 3600.0


@dg.sensor(name="looks", minimum_interval_seconds=30, target="*")
def looks() -> None: ...


@dg.schedule(name="daily", cron_schedule="0 6 * * *", execution_timezone="UTC", target="*")
def daily() -> None: ...


@dg.asset
def table() -> None: ...


REPOSITORY = dg.Definitions([table], sensors=[looks], schedules=[daily]).get_repository_def()


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def time(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("athlete_assets.orchestration.stuck.time", clock)
    return clock


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.instance_for_test() as instance:
        yield instance


class Watch:
    """The daemon's side of one instigator, and the messages that follow."""

    def __init__(self, instance: dg.DagsterInstance, name: str, type: InstigatorType, clock: Clock) -> None:
        self.instance, self.clock, self.name, self.type = instance, clock, name, type
        location = InProcessCodeLocationOrigin(LoadableTargetOrigin(module_name="m"), location_name="here")
        origin = RemoteInstigatorOrigin(RemoteRepositoryOrigin(location, "r"), name)
        data: Any = SensorInstigatorData() if type == InstigatorType.SENSOR else None
        if data is None:
            from dagster._core.scheduler.instigation import ScheduleInstigatorData

            data = ScheduleInstigatorData("0 6 * * *", start_timestamp=NOW)
        self.state = InstigatorState(origin, type, InstigatorStatus.RUNNING, data)
        instance.add_instigator_state(self.state)
        self.broken: dict[str, Incident] = {}

    def tick(self, status: TickStatus, at: float) -> None:
        error = (
            SerializableErrorInfo("OSError: no warehouse\n", [], "OSError") if status == TickStatus.FAILURE else None
        )
        data = TickData(self.state.instigator_origin_id, self.name, self.type, status, at, run_ids=[], error=error)
        self.instance.create_tick(data._replace(selector_id=self.state.selector_id) if _has_selector(data) else data)

    def told(self, since: float = 0.0) -> list[str]:
        found = list(silent_instigators(self.instance, REPOSITORY, Settings(), "here", since))
        return [f"{alert.status} {alert.subject}: {alert.sentence}" for alert in updated_incidents(self.broken, found)]


def _has_selector(data: TickData) -> bool:
    return "selector_id" in data._fields


def test_a_sensor_whose_ticks_fail_is_told_once_and_so_is_its_recovery(
    instance: dg.DagsterInstance, clock: Clock
) -> None:
    watch = Watch(instance, "looks", InstigatorType.SENSOR, clock)
    watch.tick(TickStatus.SUCCESS, NOW - 600)
    watch.tick(TickStatus.FAILURE, NOW - 570)
    watch.tick(TickStatus.FAILURE, NOW - 330)
    assert watch.told() == []  # the next one looks again
    watch.tick(TickStatus.FAILURE, NOW - 30)
    assert watch.told(since=NOW - 60) == []  # the daemon was off, and its code server has just started
    (text,) = watch.told()
    assert text == "broken sensor looks: Its newest tick failed: OSError: no warehouse"
    assert watch.told() == []
    watch.tick(TickStatus.SKIPPED, NOW)
    assert watch.told() == ["recovered sensor looks: It ticks again."]


def test_a_sensor_that_does_not_tick_is_told_but_not_for_the_time_when_nobody_watched(
    instance: dg.DagsterInstance, clock: Clock
) -> None:
    watch = Watch(instance, "looks", InstigatorType.SENSOR, clock)
    watch.tick(TickStatus.SKIPPED, NOW)
    clock.now = NOW + 5 * HOUR
    assert watch.told(since=clock.now - 60) == []  # the daemon was off
    (text,) = watch.told(since=NOW)
    assert text.startswith("broken sensor looks: It has not ticked since 2024-06-30")


def test_a_schedule_that_lets_its_time_pass_is_told(instance: dg.DagsterInstance, clock: Clock) -> None:
    six = 1_719_727_200.0  # 2024-06-30 06:00 UTC
    watch = Watch(instance, "daily", InstigatorType.SCHEDULE, clock)
    watch.tick(TickStatus.SUCCESS, six)
    clock.now = six + 24 * HOUR + 60
    assert watch.told() == []
    clock.now = six + 24 * HOUR + 1900
    (text,) = watch.told()
    assert text.startswith("broken schedule daily: It has not ticked since")
    watch.tick(TickStatus.FAILURE, six + 24 * HOUR)
    assert watch.told() == []  # broken already
    watch.tick(TickStatus.SUCCESS, six + 48 * HOUR)
    assert watch.told() == ["recovered schedule daily: It ticks again."]


def test_a_run_that_goes_on_for_too_long_is_told_once_with_its_state_and_its_end_once(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = create_run_for_test(instance, job_name="x", status=dg.DagsterRunStatus.STARTING)
    broken: dict[str, Incident] = {}

    def told(hours: float) -> list[str]:
        clock = Clock()
        clock.now = time.time() + hours * HOUR
        monkeypatch.setattr("athlete_assets.orchestration.stuck.time", clock)
        found = list(stuck_runs(instance, broken, Settings(), None))
        return [f"{alert.status}: {alert.sentence}" for alert in updated_incidents(broken, found)]

    assert told(5.9) == []
    (text,) = told(6.1)
    assert text.startswith(f"broken: After 6 h it has not ended: run {run.run_id[:8]} (starting since 20")
    assert told(7) == []
    instance.report_run_canceled(run)
    assert told(8) == ["recovered: The run ended."]
    assert broken == {}
