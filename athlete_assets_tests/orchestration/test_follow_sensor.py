"""Which tables follow an ended run, from what it wrote; and what the schedules ask for."""

from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import dagster as dg
import pytest
from dagster._core.definitions.freshness import CronFreshnessPolicy

from athlete_assets import definitions, partitions, tables
from athlete_assets.assets.builder import asset_key
from athlete_assets.assets.models import TIME_ESTIMATOR
from athlete_assets.days import Days, windows_of
from athlete_assets.orchestration.follow_sensor import FollowCursor, weeks_that_follow
from athlete_assets.orchestration.run_tags import RANGE_END, RANGE_START
from athlete_assets.orchestration.schedules import schedules
from athlete_assets.settings import Settings

TODAY = date(2024, 6, 30)
DAILY, ROLLING, PERFORMANCE = (asset_key(table) for table in (tables.DAILY, tables.ROLLING, tables.PERFORMANCE))
PREDICTIONS, WEEKLY = asset_key(tables.PREDICTIONS), asset_key(tables.WEEKLY)


def days(first: date, last: date = TODAY) -> set[date]:
    return set(Days(first, last))


def run(id: str = "a", root: str | None = None) -> dg.DagsterRun:
    return dg.DagsterRun(job_name="x", run_id=id, root_run_id=root, parent_run_id=root)


def after(*runs: tuple[dg.DagsterRun, dict[dg.AssetKey, set[date]], bool], backfilled: Any = ()) -> FollowCursor:
    state = FollowCursor()
    for ended, written, good in runs:
        state.note(ended, written, good, TODAY, backfilled)
    return FollowCursor.model_validate_json(state.model_dump_json())


def test_a_run_of_today_with_all_its_tables_is_followed_by_its_week_and_gold() -> None:
    state = after((run(), {DAILY: {TODAY}, ROLLING: {TODAY}, PERFORMANCE: {TODAY}}, True))
    assert (state.daily, state.state, state.gold) == ([Days(TODAY, TODAY)], None, True)


def test_a_run_that_scored_needs_no_second_scoring() -> None:
    written = {DAILY: {TODAY}, ROLLING: {TODAY}, PERFORMANCE: {TODAY}, PREDICTIONS: {TODAY}}
    assert not after((run(), written, True)).gold


def test_old_days_are_followed_by_all_later_states() -> None:
    old = days(date(2021, 1, 1), date(2021, 12, 31))
    assert after((run(), {DAILY: old}, True)).state == date(2021, 1, 1)
    with_states = after((run(), {DAILY: old, ROLLING: old, PERFORMANCE: old}, True))
    assert with_states.state == date(2022, 1, 1)
    assert not with_states.gold


def test_states_that_are_written_up_to_today_are_owed_no_longer() -> None:
    old = days(date(2021, 1, 1), date(2021, 12, 31))
    all_later = days(date(2021, 1, 1))
    state = after((run("a"), {DAILY: old}, True), (run("b"), {ROLLING: all_later, PERFORMANCE: all_later}, True))
    assert (state.state, state.gold) == (None, True)
    half = after((run("a"), {DAILY: old}, True), (run("b"), {ROLLING: all_later}, True))
    assert half.state == date(2021, 1, 1)


def test_a_failed_run_is_followed_once_it_or_another_wrote_its_days_well() -> None:
    failed = (run("a"), {DAILY: days(date(2024, 6, 1), date(2024, 6, 9))}, False)
    waiting = after(failed)
    assert (waiting.daily, list(waiting.owed)) == ([], ["a"])
    mended = after(failed, (run("b", root="a"), {ROLLING: days(date(2024, 6, 1))}, True))
    assert (mended.daily, mended.owed) == ([Days(date(2024, 6, 1), date(2024, 6, 9))], {})
    other = after(failed, (run("c"), {DAILY: days(date(2024, 5, 1))}, True))
    assert (other.daily, other.owed) == ([Days(date(2024, 5, 1), TODAY)], {})
    elsewhere = after(failed, (run("c"), {DAILY: days(date(2024, 6, 5))}, True))
    assert elsewhere.owed == {"a": [Days(date(2024, 6, 1), date(2024, 6, 4))]}


def test_a_backfill_with_weekly_features_of_its_own_asks_for_no_second_ones() -> None:
    written = {DAILY: {TODAY}, ROLLING: {TODAY}, PERFORMANCE: {TODAY}}
    assert after((run(), written, True), backfilled=[DAILY, WEEKLY]).daily == []


def test_a_new_model_scores_today_and_what_writes_no_features_is_followed_by_nothing() -> None:
    assert after((run(), {TIME_ESTIMATOR: set()}, True)).gold
    assert after((run(), {WEEKLY: {date(2024, 6, 24)}}, True)) == FollowCursor(cause="a")


def test_weeks_follow_with_the_one_after_them_and_end_with_the_running_week() -> None:
    calendar = partitions.weekly(Settings(as_of=TODAY))
    wednesday = date(2024, 5, 15)
    assert weeks_that_follow([Days(wednesday, wednesday)], calendar) == [Days(date(2024, 5, 13), date(2024, 5, 20))]
    assert weeks_that_follow([Days(TODAY, TODAY)], calendar) == [Days(date(2024, 6, 24), date(2024, 6, 24))]
    apart = [Days(date(2024, 3, 6), date(2024, 3, 6)), Days(wednesday, wednesday)]
    assert [window.first for window in weeks_that_follow(apart, calendar)] == [date(2024, 3, 4), date(2024, 5, 13)]


def test_days_become_windows() -> None:
    given = {date(2024, 5, 1), date(2024, 5, 2), date(2024, 5, 4)}
    assert windows_of(given) == [Days(date(2024, 5, 1), date(2024, 5, 2)), Days(date(2024, 5, 4), date(2024, 5, 4))]


@pytest.fixture
def instance() -> Any:
    with dg.instance_for_test() as scratch:
        yield scratch


def window_at(instance: dg.DagsterInstance, at: datetime, settings: Settings) -> tuple[str, str]:
    (schedule, *_) = schedules(settings)
    context = dg.build_schedule_context(instance=instance, scheduled_execution_time=at)
    request = schedule(context)
    assert isinstance(request, dg.RunRequest)
    return request.tags[RANGE_START], request.tags[RANGE_END]


def test_the_daily_schedule_asks_for_yesterday_and_today_on_the_athletes_clock(instance: dg.DagsterInstance) -> None:
    settings = Settings(time_zone="America/Sao_Paulo")
    at = datetime(2024, 6, 30, 6, 0, tzinfo=ZoneInfo("America/Sao_Paulo"))
    assert window_at(instance, at, settings) == ("2024-06-29", "2024-06-30")
    just_before_midnight = datetime(2024, 6, 30, 2, 59, tzinfo=ZoneInfo("UTC"))
    assert window_at(instance, just_before_midnight, settings) == ("2024-06-28", "2024-06-29")


def test_the_daily_schedule_catches_up_with_days_that_were_never_materialised(instance: dg.DagsterInstance) -> None:
    for day in Days(date(2024, 6, 10), date(2024, 6, 20)):
        instance.report_runless_asset_event(dg.AssetMaterialization(ROLLING, partition=str(day)))
    at = datetime(2024, 6, 30, 9, 0, tzinfo=ZoneInfo("UTC"))
    assert window_at(instance, at, Settings()) == ("2024-06-21", "2024-06-30")
    instance.report_runless_asset_event(dg.AssetMaterialization(ROLLING, partition="2024-08-01"))
    much_later = at + timedelta(days=200)
    assert window_at(instance, much_later, Settings())[0] == "2024-06-21"


def test_schedules_run_at_the_hour_and_in_the_zone_of_the_settings() -> None:
    settings = Settings(schedule_at="05:30", time_zone="Europe/Berlin")
    told = {schedule.name: (schedule.cron_schedule, schedule.execution_timezone) for schedule in schedules(settings)}
    assert told == {
        "every_day": ("30 5 * * *", "Europe/Berlin"),
        "every_week": ("30 6 * * 1", "Europe/Berlin"),
        "when_drift_lasts": ("30 7 * * *", "Europe/Berlin"),
        "at_the_deadline": ("35 7 * * *", "Europe/Berlin"),
        "every_week_maintenance": ("30 3 * * 0", "Europe/Berlin"),
    }


@pytest.mark.parametrize(
    ("at", "training", "daily_deadline", "training_deadline"),
    [("05:30", "30 6 * * 1", "30 7 * * *", "30 8 * * 1"), ("23:30", "30 0 * * 2", "30 1 * * *", "30 2 * * 2")],
)
def test_each_table_is_stale_when_the_schedule_that_writes_it_did_not(
    at: str, training: str, daily_deadline: str, training_deadline: str
) -> None:
    """Labels and models are written on Mondays: with a daily deadline they would be stale on six days of seven."""
    settings = Settings(schedule_at=at)
    assert schedules(settings)[1].cron_schedule == training
    graph = definitions.build(settings).resolve_asset_graph()
    deadlines = {
        node.key: policy.deadline_cron
        for node in graph.asset_nodes
        if isinstance(policy := node.freshness_policy_or_from_metadata, CronFreshnessPolicy)
    }
    weekly = {asset_key(table) for table in tables.LABELS} | set(definitions.MODELS)
    made = (tables.REJECTS, *tables.FEATURES, *tables.GOLD, *tables.MONITORING)
    assert deadlines == dict.fromkeys(weekly, training_deadline) | {asset_key(table): daily_deadline for table in made}
