"""The product as its users have it: daemon and webserver on loopback, real Delta tables, real runs, real messages."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

import dagster as dg
import numpy as np
import pandas as pd
import pytest
from deltalake import write_deltalake

from athlete_assets import tables
from athlete_assets.days import Days, midnight
from athlete_assets.orchestration.run_tags import ATHLETES, RANGE_TAGS
from athlete_assets.silver import landing
from athlete_assets_tests.live import TODAY, Live, assert_same, contents, land, rebuilt, run, running

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    with running(tmp_path_factory.mktemp("live") / "home") as live:
        yield live


def first_day(live: Live, athlete: str) -> date:
    daily = live.store.delta(tables.DAILY).to_pyarrow_table(columns=["athlete_id", "activity_date"]).to_pandas()
    return daily[daily["athlete_id"] == athlete]["activity_date"].min().date()


def test_late_new_and_deleted_rows_of_silver_end_in_the_tables_of_a_full_rebuild(live: Live) -> None:
    before = contents(live.store)
    early = live.settings.start_date + timedelta(days=1)
    assert early < first_day(live, "sim_000002")
    assert early + timedelta(days=400) < TODAY
    silver = live.store.delta(tables.STRAVA_ACTIVITIES).to_pyarrow_table().to_pandas()
    of_third = silver[(silver["athlete_id"] == "sim_000003") & silver["start_date_local"].notna()]
    first_of_third = int(of_third.sort_values("start_date_local")["id"].iloc[0])

    land(live, run("sim_000001", 9_000_001, TODAY), run("sim_000002", 9_000_002, early, km=30, minutes=160))
    landing.delete(live.store, "sim_000003", [first_of_third])
    started = time.monotonic()
    live.settle()
    print(f"tables up to date after {time.monotonic() - started:.0f} s")

    found = contents(live.store)
    assert len(found["activity_features"]) == len(before["activity_features"]) + 1
    runs = live.instance.get_runs(dg.RunsFilter(tags={"dagster/sensor_name": ["silver_changes", "tables_follow"]}))
    assert {run.status for run in runs} == {dg.DagsterRunStatus.SUCCESS}
    assert any(ATHLETES in run.tags for run in runs)
    assert live.told == []
    reported = live.instance.fetch_materializations(
        dg.AssetRecordsFilter(dg.AssetKey(["silver", "strava_activities"])), limit=50
    ).records
    assert {str(TODAY), str(early)} <= {record.partition_key for record in reported}
    assert_same(found, rebuilt(live.settings))


def test_a_row_of_today_reaches_the_predictions_of_its_athlete(live: Live) -> None:
    store, version = live.store, live.store.version(tables.PREDICTIONS)

    def stored() -> float:
        rows = store.delta(tables.PREDICTIONS).to_pyarrow_table().to_pandas()
        mine = rows[(rows["athlete_id"] == "sim_000001") & (rows["prediction_date"] == midnight(TODAY))]
        return float(mine["predicted_10k_s"].item())

    def predicted() -> Any:
        return None if store.version(tables.PREDICTIONS) == version else stored()

    before = stored()
    committed = time.monotonic()
    land(live, run("sim_000001", 9_000_101, TODAY, km=10.0, minutes=41.0))
    seconds = live.wait(predicted, "a prediction")
    print(f"from committed row to prediction: {time.monotonic() - committed:.1f} s")
    # the formula alone said 45:40 before the run; a best of 41:00 makes every prediction of the athlete's faster
    assert 0.9 * 2_460 < seconds < 0.98 * before
    live.settle()


LAUNCH = """
mutation($params: ExecutionParams!) {
  launchPipelineExecution(executionParams: $params) {
    __typename
    ... on LaunchRunSuccess { run { id } }
    ... on PythonError { message }
    ... on InvalidSubsetError { message }
    ... on RunConfigValidationInvalid { errors { message } }
  }
}
"""


def launch(live: Live, assets: list[tables.Table], checks: list[tuple[tables.Table, str]], day: date) -> str:
    """Starts a run as the UI does; its id."""
    params = {
        "mode": "default",
        "selector": {
            "repositoryName": "__repository__",
            "repositoryLocationName": "athlete_assets.definitions",
            "pipelineName": "__ASSET_JOB",
            "assetSelection": [{"path": list(table.path)} for table in assets],
            "assetCheckSelection": [{"assetKey": {"path": list(t.path)}, "name": name} for t, name in checks],
        },
        "executionMetadata": {"tags": [{"key": "dagster/partition", "value": str(day)}]},
        "runConfigData": {},
    }
    answer = live.ask(LAUNCH, params=params)["launchPipelineExecution"]
    assert answer["__typename"] == "LaunchRunSuccess", answer
    return str(answer["run"]["id"])


def test_a_broken_check_sends_one_alert_and_its_mending_one_recovery(live: Live) -> None:
    live.received.messages.clear()
    daily = live.store.delta(tables.DAILY).to_pyarrow_table()
    today = daily.filter(daily["activity_date"] == np.datetime64(str(TODAY)))
    write_deltalake(str(live.store.path(tables.DAILY)), today.slice(0, 1), mode="append")

    for _ in range(2):
        launch(live, [], [(tables.DAILY, "keys")], TODAY)
    live.settle()
    assert len(live.received.messages) == 1, live.told
    broken = live.received.messages[0]
    assert broken["subject"] == "check feature_store/athlete_daily_features:keys", broken["text"]
    assert (broken["status"], broken["severity"]) == ("broken", "error")
    assert broken["days"] == str(TODAY)
    assert broken["numbers"]["repeated_keys"] == 1

    launch(live, [tables.DAILY], [(tables.DAILY, "keys")], TODAY)
    live.settle()
    assert [message["status"] for message in live.received.messages] == ["broken", "recovered"], live.told
    assert live.received.messages[1]["subject"] == broken["subject"], live.told


BACKFILL = """
mutation($params: LaunchBackfillParams!) {
  launchPartitionBackfill(backfillParams: $params) {
    __typename
    ... on LaunchBackfillSuccess { backfillId }
    ... on PythonError { message }
  }
}
"""
CANCEL = """
mutation($backfill: String!, $run: String!) {
  cancelPartitionBackfill(backfillId: $backfill) { __typename }
  terminateRun(runId: $run) { __typename }
}
"""


def backfill(live: Live, spans: dict[tables.Table, tuple[date, date]]) -> str:
    """Starts a backfill as the UI does; its id."""
    selectors = [
        {"assetKey": {"path": list(t.path)}, "partitions": {"range": {"start": str(first), "end": str(last)}}}
        for t, (first, last) in spans.items()
    ]
    answer = live.ask(BACKFILL, params={"partitionsByAssets": selectors, "title": "a year"})
    return str(answer["launchPartitionBackfill"]["backfillId"])


def runs_of(live: Live, backfill_id: str) -> list[dg.DagsterRun]:
    return list(live.instance.get_runs(dg.RunsFilter(tags={"dagster/backfill": backfill_id})))


def progress(live: Live, run: dg.DagsterRun) -> list[str]:
    logs = live.instance.all_logs(run.run_id)
    return [f"{entry.step_key}: {entry.user_message}" for entry in logs if " done (" in entry.user_message]


YEAR = (date(2023, 7, 3), TODAY)
"""From a Monday: 360 days."""
ATHLETE = "sim_000001"


def test_a_backfill_that_is_cancelled_leaves_whole_commits_and_its_repetition_changes_nothing(live: Live) -> None:
    others = [f"other_{number:02}" for number in range(9)]
    land(live, *(run(athlete, 9_300_000 + number, YEAR[0]) for number, athlete in enumerate(others)))
    live.settle()
    before = contents(live.store)
    live.received.messages.clear()
    for table in (tables.DAILY, tables.ROLLING):
        live.store.delta(table).delete(f"{table.day_column} >= '{YEAR[0]}T00:00:00+00:00'")
    versions = {table: live.store.version(table) for table in (tables.DAILY, tables.ROLLING)}

    live.settings.remember(chunk_athlete_days="1")
    try:
        cancelled = backfill(live, dict.fromkeys((tables.DAILY, tables.PERFORMANCE, tables.ROLLING), YEAR))
        live.wait(lambda: live.store.version(tables.ROLLING) >= versions[tables.ROLLING] + 2, "two commits")
        (stopped,) = runs_of(live, cancelled)
        live.ask(CANCEL, backfill=cancelled, run=stopped.run_id)
        live.wait(lambda: live.instance.get_run_by_id(stopped.run_id).is_finished, "the end of the run")  # type: ignore[union-attr]
    finally:
        live.settings.remember(chunk_athlete_days="1000000")
    ended = live.instance.get_run_by_id(stopped.run_id)
    assert ended is not None
    assert ended.status == dg.DagsterRunStatus.CANCELED
    live.settle()

    found = contents(live.store)  # every table can be read
    is_new = found[tables.ROLLING.name]["as_of_date"] >= pd.Timestamp(midnight(YEAR[0]))
    done = sorted(set(found[tables.ROLLING.name]["athlete_id"][is_new]))
    rolling = before[tables.ROLLING.name]
    pieces = sorted(set(rolling["athlete_id"]))  # one athlete each
    assert done == pieces[: len(done)]
    assert len(done) < len(pieces)
    lacking = ~rolling["athlete_id"].isin(done) & (rolling["as_of_date"] >= pd.Timestamp(midnight(YEAR[0])))
    assert_same(found, {**before, tables.ROLLING.name: rolling[~lacking].reset_index(drop=True)})
    said = [line.partition(": ")[2] for line in progress(live, ended) if line.startswith("athlete_rolling_features")]
    counts = [int(line.partition(f" of {len(pieces)} pieces done")[0]) for line in said]
    assert counts == list(range(1, len(counts) + 1)), said
    assert len(done) - len(counts) in (0, 1), "a piece is told when it is committed"
    # nothing follows what a cancelled run wrote, until it is written again; nor is it a fault to tell of
    follows = live.cursor("tables_follow")
    assert follows is not None
    assert follows["owed"] == {stopped.run_id: [[str(day) for day in YEAR]]}
    assert [made.tags.get("dagster/sensor_name") for made in live.instance.get_runs(limit=1)] == [None]
    assert live.told == []
    assert live.store.version(tables.ROLLING) == versions[tables.ROLLING] + len(done)

    by_day = [tables.ACTIVITY, tables.REJECTS, tables.DAILY, tables.ROLLING, tables.PERFORMANCE]
    spans = dict.fromkeys(by_day, YEAR)
    spans[tables.WEEKLY] = (YEAR[0], date(2024, 6, 24))
    again = backfill(live, spans)
    assert live.wait(lambda: _final_status(live, again), "the backfill") == "COMPLETED_SUCCESS"
    runs = runs_of(live, again)
    assert sorted(len(run.asset_selection or ()) for run in runs) == [1, 5]
    assert {tuple(run.tags[tag] for tag in RANGE_TAGS) for run in runs} == {
        tuple(str(day) for day in span) for span in spans.values()
    }
    live.settle()
    assert_same(contents(live.store), before)
    lines = [line for run in runs for line in progress(live, run)]
    assert any(f"1 of 1 piece done (all athletes, {Days(*YEAR)})" in line for line in lines), lines
    assert live.cursor("tables_follow")["owed"] == {}  # type: ignore[index]
    assert _final_status(live, cancelled) == "CANCELED"
    assert live.told == []


def _final_status(live: Live, backfill_id: str) -> str | None:
    found = live.instance.get_backfill(backfill_id)
    assert found is not None
    return found.status.value if found.status.value not in ("REQUESTED", "COMPLETING", "CANCELING") else None


def test_a_power_cut_in_the_middle_of_a_step_is_healed_without_a_hand(live: Live) -> None:
    """Webserver, daemon, code server and worker are killed together; after the next start all is as it would be."""
    before = contents(live.store)
    live.received.messages.clear()
    for table in (tables.DAILY, tables.ROLLING):
        days = f"{table.day_column} >= '{YEAR[0]}T00:00:00+00:00'"
        live.store.delta(table).delete(f"athlete_id = '{ATHLETE}' AND {days}")
    version = live.store.version(tables.DAILY)
    live.settings.remember(chunk_athlete_days="1")
    try:
        cut = backfill(live, dict.fromkeys((tables.DAILY, tables.PERFORMANCE, tables.ROLLING), YEAR))
        live.wait(lambda: live.store.version(tables.DAILY) >= version + 2, "two commits")
        (run,) = runs_of(live, cut)
        live.kill()
    finally:
        live.settings.remember(chunk_athlete_days="1000000")
    lost = live.instance.get_run_by_id(run.run_id)
    assert lost is not None
    assert lost.status == dg.DagsterRunStatus.STARTED  # nobody was left to say otherwise
    claimed = [
        slot.run_id
        for pool in live.instance.event_log_storage.get_concurrency_keys()
        for slot in live.instance.event_log_storage.get_concurrency_info(pool).claimed_slots
    ]
    assert claimed == [run.run_id]

    started = time.monotonic()
    live.start()
    live.wait(lambda: live.instance.get_run_by_id(run.run_id).is_finished, "the end of the lost run")  # type: ignore[union-attr]
    live.wait(lambda: len(runs_of(live, cut)) == 2, "the second try")
    live.settle()
    print(f"healed {time.monotonic() - started:.0f} s after the restart")
    again = next(found for found in runs_of(live, cut) if found.run_id != run.run_id)
    assert again.status == dg.DagsterRunStatus.SUCCESS
    assert_same(contents(live.store), before)
    assert live.told == []
    for pool in live.instance.event_log_storage.get_concurrency_keys():
        assert live.instance.event_log_storage.get_concurrency_info(pool).claimed_slots == []
