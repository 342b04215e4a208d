"""Late data touches its athletes: which runs are about some alone, and what follows from them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date, timedelta

import dagster as dg
import pytest

from athlete_assets import tables
from athlete_assets.assets.builder import asset_key
from athlete_assets.days import Days
from athlete_assets.orchestration.follow_sensor import GROUPS, FollowCursor, Pending
from athlete_assets.orchestration.run_requests import FEW_ATHLETES, LONGEST_TAG, Work, plan_request, requests, shared
from athlete_assets.orchestration.run_tags import ATHLETES, RANGE_END, RANGE_START
from athlete_assets.settings import Settings
from athlete_assets_tests.orchestration.test_silver_sensors import Ticks

TODAY = date(2024, 6, 30)
NOW, OLD = Days(TODAY, TODAY), Days(date(2024, 5, 1), TODAY)
SETTINGS = Settings(as_of=TODAY)
DAILY, ROLLING, PERFORMANCE = (asset_key(table) for table in (tables.DAILY, tables.ROLLING, tables.PERFORMANCE))


def cohort(count: int, days: Days = NOW) -> dict[str | None, list[Days]]:
    return {f"athlete-{number:04d}": [days] for number in range(count)}


# ----------------------------------------------------------------------------------------------------- who with whom


def test_a_few_athletes_are_work_of_their_own() -> None:
    assert shared({"b": [OLD], "a": [NOW]}) == [Work([OLD], ("a", "b"))]
    assert shared({}) == []


def test_one_old_run_among_many_of_today_does_not_take_the_cohort_along() -> None:
    many = cohort(FEW_ATHLETES + 50)
    assert shared(many) == [Work([NOW])]
    assert shared({**many, "late": [OLD]}) == [Work([OLD], ("late",)), Work([NOW])]


def test_many_late_athletes_are_computed_with_all() -> None:
    assert shared(cohort(FEW_ATHLETES + 1, OLD)) == [Work([OLD])]


def test_rows_without_an_athlete_need_a_run_of_all() -> None:
    assert shared({None: [NOW], "late": [OLD]}) == [Work([OLD], ("late",)), Work([NOW])]
    assert shared({None: [NOW]}) == [Work([NOW])]


def test_ids_too_long_for_a_tag_go_with_all() -> None:
    long = {f"{number:03d}{'x' * 100}": [OLD] for number in range(LONGEST_TAG // 100)}
    assert shared(long) == [Work([OLD])]


# --------------------------------------------------------------------------------------------------- what is asked for


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.instance_for_test() as scratch:
        yield scratch


def written(instance: dg.DagsterInstance, days: Days, *of: tables.Table) -> None:
    for table in of or (*tables.DAILY_TABLES, *tables.STATE_TABLES):
        for day in days:
            instance.report_runless_asset_event(dg.AssetMaterialization(asset_key(table), partition=str(day)))


def asked(found: list[dg.RunRequest]) -> list[tuple[str, str, list[str] | None]]:
    return [
        (
            request.tags[RANGE_START],
            request.tags[RANGE_END],
            json.loads(request.tags[ATHLETES]) if ATHLETES in request.tags else None,
        )
        for request in found
    ]


def test_days_that_were_never_written_are_written_of_all(instance: dg.DagsterInstance) -> None:
    """A run of some marks its days as written; the others' would then be missed for ever."""
    assert asked(requests({"a": [OLD]}, "x", instance, SETTINGS)) == [(str(OLD.first), str(TODAY), None)]
    written(instance, Days(OLD.first, TODAY - timedelta(days=1)))
    found = requests({"a": [OLD]}, "x", instance, SETTINGS)
    assert asked(found) == [(str(OLD.first), "2024-06-29", ["a"]), (str(TODAY), str(TODAY), None)]
    # the states follow when both have ended: of today alone they would be continued from old ones
    assert all(ROLLING not in (request.asset_selection or ()) for request in found)
    written(instance, NOW)
    (one,) = requests({"a": [OLD]}, "x", instance, SETTINGS)
    assert asked([one]) == [(str(OLD.first), str(TODAY), ["a"])]
    assert ROLLING in (one.asset_selection or ())


def test_other_athletes_have_another_run_key(instance: dg.DagsterInstance) -> None:
    written(instance, OLD)
    one, other = (requests({athlete: [OLD]}, "x", instance, SETTINGS)[0] for athlete in ("a", "b"))
    assert one.run_key != other.run_key
    assert one.run_key == requests({"a": [OLD]}, "x", instance, SETTINGS)[0].run_key
    assert "a" not in str(one.run_key).split()


def test_a_changed_plan_is_of_its_athlete_once_the_summaries_are_there(instance: dg.DagsterInstance) -> None:
    assert ATHLETES not in plan_request("x", {"a"}, instance).tags
    for table in tables.SUMMARIES:
        instance.report_runless_asset_event(dg.AssetMaterialization(asset_key(table)))
    assert json.loads(plan_request("x", {"a"}, instance).tags[ATHLETES]) == ["a"]


# -------------------------------------------------------------------------------------------------------- what follows


def run(id: str, *athletes: str, root: str | None = None) -> dg.DagsterRun:
    tags = {ATHLETES: json.dumps(athletes)} if athletes else {}
    return dg.DagsterRun(job_name="x", run_id=id, root_run_id=root, parent_run_id=root, tags=tags)


def after(*runs: tuple[dg.DagsterRun, dict[dg.AssetKey, set[date]], bool]) -> FollowCursor:
    state = FollowCursor()
    for ended, days, good in runs:
        state.note(ended, days, good, TODAY)
    return FollowCursor.model_validate_json(state.model_dump_json())


def pending(state: FollowCursor) -> list[tuple[list[str] | None, list[Days], date | None]]:
    return [(one.athletes, one.daily, one.state) for one in (state, *state.late)]


OLD_DAYS = set(OLD)


def test_what_was_written_of_some_is_followed_of_them() -> None:
    state = after((run("x", "a"), {DAILY: OLD_DAYS}, True), (run("y"), {DAILY: {TODAY}}, True))
    assert pending(state) == [(None, [NOW], TODAY), (["a"], [OLD], OLD.first)]


def test_states_of_some_settle_only_theirs() -> None:
    theirs = {ROLLING: OLD_DAYS, PERFORMANCE: OLD_DAYS}
    late, everybody = (run("x", "a"), {DAILY: OLD_DAYS}, True), (run("y"), {DAILY: OLD_DAYS}, True)
    settled = after(late, everybody, (run("z", "a"), theirs, True))
    assert (settled.state, settled.late[0].state) == (OLD.first, None)
    assert settled.gold_of == ["a"]
    of_all = after(late, everybody, (run("z"), theirs, True))
    assert (of_all.state, of_all.late[0].state) == (None, None)
    assert of_all.gold_of is None
    of_another = after(late, (run("z", "b"), theirs, True))
    assert of_another.late[0].state == OLD.first


def test_a_failed_run_of_all_is_not_made_good_by_one_of_some() -> None:
    failed = (run("x"), {DAILY: OLD_DAYS}, False)
    assert after(failed, (run("y", "a"), {DAILY: OLD_DAYS}, True)).owed == {"x": [OLD]}
    assert after(failed, (run("y"), {DAILY: OLD_DAYS}, True)).owed == {}
    failed_of_some = (run("x", "a"), {DAILY: OLD_DAYS}, False)
    assert after(failed_of_some, (run("y", "b"), {DAILY: OLD_DAYS}, True)).owed == {"x": [OLD]}
    assert after(failed_of_some, (run("y", "a", "b"), {DAILY: OLD_DAYS}, True)).owed == {}
    retried = after(failed_of_some, (run("y", "a", root="x"), {ROLLING: OLD_DAYS}, True))
    assert (retried.owed, retried.owed_of, pending(retried)[1][:2]) == ({}, {}, (["a"], [OLD]))


def test_many_groups_become_one() -> None:
    state = after(*((run(name, name), {DAILY: OLD_DAYS}, True) for name in "abcdef"))
    assert len(state.late) == GROUPS
    assert {athlete for one in state.late for athlete in one.athletes or ()} == set("abcdef")
    assert state.state is None


def test_gold_of_some_and_of_others_is_of_both_and_a_new_model_is_for_all() -> None:
    states = {ROLLING: {TODAY}, PERFORMANCE: {TODAY}}
    one, other = (run("x", "a"), states, True), (run("y", "b"), states, True)
    assert after(one, other).gold_of == ["a", "b"]
    model = (run("z"), {dg.AssetKey(["models", "time_estimator"]): set[date]()}, True)
    assert after(one, model).gold_of is None
    assert after(model, one).gold_of is None


def test_states_of_some_are_mended_before_those_of_all_and_gold_comes_last(instance: dg.DagsterInstance) -> None:
    """Continued from a state that is still to be mended, those of all would fail their recomputation."""
    written(instance, OLD)
    sensor = Ticks("tables_follow", SETTINGS, instance)
    late = Pending(athletes=["a"], state=OLD.first)
    sensor.cursor = FollowCursor(state=TODAY, late=[late], gold=True).model_dump_json()
    assert asked(sensor.tick()) == [(str(OLD.first), str(TODAY), ["a"])]
    assert asked(sensor.tick()) == [(str(TODAY), str(TODAY), None)]
    assert sensor.tick() == []
    sensor.cursor = FollowCursor(late=[late], gold=True).model_dump_json()
    sensor.tick()
    (gold,) = sensor.tick()
    assert asset_key(tables.METRICS_SUMMARY) in (gold.asset_selection or ())


def test_what_follows_waits_for_the_states_of_some(instance: dg.DagsterInstance) -> None:
    written(instance, OLD)
    sensor = Ticks("tables_follow", SETTINGS, instance)
    mending = run("x", "a")._replace(asset_selection=frozenset({ROLLING}), status=dg.DagsterRunStatus.STARTED)
    instance.add_run(mending)
    sensor.cursor = FollowCursor(state=TODAY).model_dump_json()
    assert sensor.tick() == []
    assert "waits until" in str(sensor.reason)
