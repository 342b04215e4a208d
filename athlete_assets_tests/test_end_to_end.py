"""The product as its users have it: daemon and webserver on loopback, real Delta tables, real runs, real messages."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import dagster as dg
import numpy as np
import pandas as pd
import pytest
from dagster._core.scheduler.instigation import InstigatorType, SensorInstigatorData
from deltalake import write_deltalake

from athlete_assets import definitions, partitions, tables
from athlete_assets.days import Days, midnight
from athlete_assets.deployments.instance import prepare_dagster_home
from athlete_assets.orchestration import run_tags
from athlete_assets.orchestration.follow_sensor import UNFINISHED
from athlete_assets.settings import Settings
from athlete_assets.silver import landing
from athlete_assets.store.local import LocalStore
from athlete_assets_tests.monitoring.receivers import Received, http_receiver
from athlete_assets_tests.rows import rows

pytestmark = pytest.mark.slow

TODAY = date(2024, 6, 26)
"""A Wednesday: the running week has days that are still to come."""
DERIVED = (tables.REJECTS, *tables.FEATURES, *tables.GOLD)
GIVE_UP_SECONDS = 240
SENSORS = ("silver_changes", "tables_follow", "alerts")
POLL_SECONDS = 0.5


@dataclass
class Live:
    """A running deployment: its settings and instance, the webserver's address, and the messages that it sent."""

    settings: Settings
    instance: dg.DagsterInstance
    url: str
    received: Received
    log: Path

    @property
    def store(self) -> LocalStore:
        return LocalStore(self.settings)

    def ask(self, query: str, **variables: Any) -> dict[str, Any]:
        """GraphQL, as the UI speaks it."""
        body = json.dumps({"query": query, "variables": variables}).encode()
        with urlopen(Request(f"{self.url}/graphql", body, {"Content-Type": "application/json"}), timeout=60) as answer:
            result = json.load(answer)
        assert "errors" not in result, result["errors"]
        return result["data"]

    def ticked(self, sensor: str) -> tuple[float, dict[str, Any] | None]:
        """When the sensor's newest look that has ended began (seconds since 1970), and the cursor that it left."""
        for state in self.instance.all_instigator_state(instigator_type=InstigatorType.SENSOR):
            if state.name == sensor and isinstance(state.instigator_data, SensorInstigatorData):
                cursor = state.instigator_data.cursor
                return state.instigator_data.last_tick_timestamp or 0.0, json.loads(cursor) if cursor else None
        return 0.0, None

    def cursor(self, sensor: str) -> dict[str, Any] | None:
        return self.ticked(sensor)[1]

    @property
    def told(self) -> list[str]:
        """The messages that were received, as people read them: what an assertion shows when it fails."""
        return [message["text"] for message in self.received.messages]

    def is_quiet(self) -> bool:
        """Whether silver was read to its end, all that follows was requested, and all of that has run."""
        seen, follows = self.cursor("silver_changes"), self.cursor("tables_follow")
        if seen is None or follows is None:
            return False
        read = all(at["version"] == self.store.version(t) for t in tables.SILVER for at in [seen.get(t.name)] if at)
        asked = not (follows["daily"] or follows["state"] or follows["gold"])
        return read and asked and not self.instance.get_runs(dg.RunsFilter(statuses=UNFINISHED), limit=1)

    def settle(self) -> None:
        """Waits until nothing is left to do: each sensor has looked once more since all was quiet, and still is it."""
        quiet_since = None

        def settled() -> bool:
            nonlocal quiet_since
            quiet_since = (quiet_since or time.time()) if self.is_quiet() else None
            return quiet_since is not None and all(self.ticked(sensor)[0] > quiet_since for sensor in SENSORS)

        self.wait(settled, "quiet")

    def wait(self, until: Callable[[], Any], what: str) -> Any:
        deadline = time.monotonic() + GIVE_UP_SECONDS
        while not (found := until()):
            if time.monotonic() > deadline:
                raise AssertionError(f"{what}: not within {GIVE_UP_SECONDS} s; log:\n{self.log.read_text()[-6000:]}")
            time.sleep(POLL_SECONDS)
        return found


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """Three simulated athletes over two years, materialised; then `dagster dev` as `make ui` starts it."""
    home = tmp_path_factory.mktemp("live") / "home"
    with http_receiver() as received, pytest.MonkeyPatch.context() as patch:
        for name, value in {
            "ATHLETE_HOME": str(home),
            "ATHLETE_AS_OF": str(TODAY),
            "ATHLETE_SENSOR_INTERVAL_S": "1",
            # no schedule falls due while the tests run: a daily run would mend a broken table unasked
            "ATHLETE_SCHEDULE_AT": f"{datetime.now(Settings().zone) + timedelta(hours=6):%H:%M}",
            "ATHLETE_ALERT_WEBHOOK_URL": f"{received.url}/alerts",
            "DAGSTER_HOME": str(home / "dagster"),
        }.items():
            patch.setenv(name, value)
        fill = [sys.executable, "-m", "athlete_assets.cli", "run", "--athletes", "3", "--years", "2"]
        done = subprocess.run(fill, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        settings = Settings.load()
        prepare_dagster_home(settings)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        log = home / "dev.log"
        with open(log, "w") as output:
            server = subprocess.Popen(
                [sys.executable, "-m", "dagster", "dev", "-m", "athlete_assets.definitions", "-p", str(port)],
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            with dg.DagsterInstance.from_config(str(home / "dagster")) as instance:
                live = Live(settings, instance, f"http://127.0.0.1:{port}", received, log)
                live.wait(lambda: all(live.cursor(name) for name in SENSORS), "the sensors' first look")
                live.wait(lambda: "Serving dagster-webserver" in log.read_text(), "the webserver")
                received.messages.clear()
                yield live
        finally:
            server.terminate()  # it ends its daemon and servers
            try:
                server.wait(20)
            except subprocess.TimeoutExpired:
                pass
            finally:
                os.killpg(server.pid, signal.SIGKILL)


def contents(store: LocalStore) -> dict[str, pd.DataFrame]:
    """Each derived table's rows, sorted by key."""
    found = {}
    for table in DERIVED:
        frame = store.delta(table).to_pyarrow_table().select(list(table.column_names)).to_pandas()
        keys = list(table.keys) or ["athlete_id", "id"]
        found[table.name if table != tables.REJECTS else "rejects"] = frame.sort_values(keys).reset_index(drop=True)
    return found


def assert_same(found: dict[str, pd.DataFrame], wanted: dict[str, pd.DataFrame]) -> None:
    """Equal rows; floats to 1e-9 relative (sums are added in another order)."""
    assert found.keys() == wanted.keys()
    for name, frame in wanted.items():
        assert len(found[name]) == len(frame), f"{name}: {len(found[name])} rows, a rebuild has {len(frame)}"
        for column in frame:
            ours, theirs = found[name][column], frame[column]
            if theirs.dtype == np.float64:
                np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-9, err_msg=f"{name}.{column}")
            else:
                same = [_plain(a) == _plain(b) for a, b in zip(ours, theirs, strict=True)]
                assert all(same), f"{name}.{column}: {same.count(False)} of {len(same)} rows differ"


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.tolist()
    return None if value is None or value is pd.NaT or value != value else value


def rebuilt(live: Live) -> dict[str, pd.DataFrame]:
    """All derived tables anew, from silver alone, in one run a calendar; the models stay."""
    for table in DERIVED:
        shutil.rmtree(live.store.path(table))
    job = definitions.build(live.settings).resolve_implicit_global_asset_job_def()
    days, weeks = (partitions.whole(of(live.settings)) for of in (partitions.daily, partitions.weekly))
    by_day = [tables.ACTIVITY, tables.REJECTS, tables.DAILY, tables.ROLLING, tables.PERFORMANCE]
    steps = [
        (by_day, days),
        ([tables.WEEKLY], weeks),
        ([tables.PREDICTIONS], (days[1], days[1])),
        ([tables.METRICS_SUMMARY], None),
    ]
    with dg.DagsterInstance.ephemeral() as instance:
        for selected, span in steps:
            keys = {dg.AssetKey(list(table.path)) for table in selected}
            tags = dict(zip(run_tags.RANGE_TAGS, span, strict=True)) if span else {}
            assert job.get_subset(asset_selection=keys).execute_in_process(instance=instance, tags=tags).success
    return contents(live.store)


@dataclass
class Silverware:
    activities: Any
    splits: Any
    athletes: Any


def land(live: Live, *activities: dict[str, Any]) -> None:
    landing.land(
        live.store,
        Silverware(
            rows(tables.STRAVA_ACTIVITIES, *activities),
            rows(tables.STRAVA_SUB_ACTIVITY),
            rows(tables.STRAVA_ATHLETE),
        ),
    )


def run(athlete: str, id: int, day: date, km: float = 8.0, minutes: float = 44.0) -> dict[str, Any]:
    local = datetime(day.year, day.month, day.day, 18, 30)
    return {
        "athlete_id": athlete,
        "id": id,
        "start_date": local.replace(tzinfo=timezone.utc),
        "start_date_local": local,
        "sport_type": "Run",
        "distance": km * 1000,
        "moving_time": minutes * 60,
        "elapsed_time": minutes * 60,
        "source": "simulated",
        "silver_ingestion_timestamp": datetime.now(timezone.utc),
    }


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
    assert live.told == []
    reported = live.instance.fetch_materializations(
        dg.AssetRecordsFilter(dg.AssetKey(["silver", "strava_activities"])), limit=50
    ).records
    assert {str(TODAY), str(early)} <= {record.partition_key for record in reported}
    assert_same(found, rebuilt(live))


def test_a_row_of_today_reaches_the_predictions_of_its_athlete(live: Live) -> None:
    store, version = live.store, live.store.version(tables.PREDICTIONS)
    committed = time.monotonic()
    land(live, run("sim_000001", 9_000_101, TODAY, km=10.0, minutes=41.0))

    def predicted() -> Any:
        if store.version(tables.PREDICTIONS) == version:
            return None
        rows = store.delta(tables.PREDICTIONS).to_pyarrow_table().to_pandas()
        mine = rows[(rows["athlete_id"] == "sim_000001") & (rows["prediction_date"] == midnight(TODAY))]
        return mine["predicted_10k_s"].item()

    seconds = live.wait(predicted, "a prediction")
    print(f"from committed row to prediction: {time.monotonic() - committed:.1f} s")
    assert seconds == pytest.approx(41 * 60, rel=0.02)  # before it 44 minutes were predicted
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
    return [f"{entry.step_key}: {entry.user_message}" for entry in logs if "days done" in entry.user_message]


YEAR = (date(2023, 7, 3), TODAY)
"""From a Monday: 360 days, of which pieces of 35 days are committed one by one where that is the setting."""
ATHLETE = "sim_000001"


def test_a_backfill_that_is_cancelled_leaves_whole_commits_and_its_repetition_changes_nothing(live: Live) -> None:
    before = contents(live.store)
    live.received.messages.clear()
    for table in (tables.DAILY, tables.ROLLING):
        days = f"{table.day_column} >= '{YEAR[0]}T00:00:00+00:00'"
        live.store.delta(table).delete(f"athlete_id = '{ATHLETE}' AND {days}")
    versions = {table: live.store.version(table) for table in (tables.DAILY, tables.ROLLING)}

    live.settings.remember(chunk_athlete_days="1")
    try:
        cancelled = backfill(live, dict.fromkeys((tables.DAILY, tables.PERFORMANCE, tables.ROLLING), YEAR))
        live.wait(lambda: live.store.version(tables.ROLLING) >= versions[tables.ROLLING] + 2, "two commits")
        (run,) = runs_of(live, cancelled)
        live.ask(CANCEL, backfill=cancelled, run=run.run_id)
        live.wait(lambda: live.instance.get_run_by_id(run.run_id).is_finished, "the end of the run")  # type: ignore[union-attr]
    finally:
        live.settings.remember(chunk_athlete_days=str(live.settings.chunk_athlete_days))
    ended = live.instance.get_run_by_id(run.run_id)
    assert ended is not None
    assert ended.status == dg.DagsterRunStatus.CANCELED
    live.settle()

    found = contents(live.store)  # every table can be read
    mine = found[tables.ROLLING.name].query("athlete_id == @ATHLETE")
    done = mine["as_of_date"].max().date()
    pieces = [chunk.last for chunk in Days(*YEAR).chunks(35)]
    assert done in pieces[:-1], "the end of a piece, and not of the last one"
    rolling = before[tables.ROLLING.name]
    lacking = (rolling["athlete_id"] == ATHLETE) & (rolling["as_of_date"] > pd.Timestamp(midnight(done)))
    assert_same(found, {**before, tables.ROLLING.name: rolling[~lacking].reset_index(drop=True)})
    said = [line.partition(": ")[2] for line in progress(live, ended) if line.startswith("athlete_rolling_features")]
    counts = [int(line.partition(" of 360 days done")[0]) for line in said]
    assert counts == list(range(35, 35 * len(counts) + 1, 35)), said
    assert pieces.index(done) + 1 - len(counts) in (0, 1), "a piece is told when it is committed"
    # nothing follows what a cancelled run wrote, until it is written again; nor is it a fault to tell of
    follows = live.cursor("tables_follow")
    assert follows is not None
    assert follows["owed"] == {run.run_id: [[str(day) for day in YEAR]]}
    assert [made.tags.get("dagster/sensor_name") for made in live.instance.get_runs(limit=1)] == [None]
    assert live.told == []
    assert live.store.version(tables.ROLLING) == versions[tables.ROLLING] + pieces.index(done) + 1

    by_day = [tables.ACTIVITY, tables.REJECTS, tables.DAILY, tables.ROLLING, tables.PERFORMANCE]
    spans = dict.fromkeys(by_day, YEAR)
    spans[tables.WEEKLY] = (YEAR[0], date(2024, 6, 24))
    again = backfill(live, spans)
    assert live.wait(lambda: _final_status(live, again), "the backfill") == "COMPLETED_SUCCESS"
    runs = runs_of(live, again)
    assert sorted(len(run.asset_selection or ()) for run in runs) == [1, 5]
    assert {tuple(run.tags[tag] for tag in run_tags.RANGE_TAGS) for run in runs} == {
        tuple(str(day) for day in span) for span in spans.values()
    }
    live.settle()
    assert_same(contents(live.store), before)
    lines = [line for run in runs for line in progress(live, run)]
    assert any("360 of 360 days done" in line for line in lines), lines
    assert live.cursor("tables_follow")["owed"] == {}  # type: ignore[index]
    assert _final_status(live, cancelled) == "CANCELED"
    assert live.told == []


def _final_status(live: Live, backfill_id: str) -> str | None:
    found = live.instance.get_backfill(backfill_id)
    assert found is not None
    return found.status.value if found.status.value not in ("REQUESTED", "COMPLETING", "CANCELING") else None
