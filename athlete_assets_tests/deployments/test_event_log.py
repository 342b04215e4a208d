"""The batching event log answers every reader as Dagster's own does."""

import os
import re
import shutil
import sqlite3
import time
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml
from dagster._core.event_api import AssetRecordsFilter
from dagster._core.events import (
    AssetMaterializationPlannedData,
    DagsterEvent,
    DagsterEventType,
    StepMaterializationData,
)
from dagster._core.events.log import EventLogEntry
from dagster._core.storage.dagster_run import DagsterRunStatus
from dagster._core.storage.event_log.base import EventRecordsFilter
from hypothesis import example, given
from hypothesis import strategies as st

from athlete_assets.deployments.event_log import BatchingSqliteEventLogStorage

DAYS = dg.DailyPartitionsDefinition("2024-01-01", end_date="2024-03-01")
RANGE_TAGS = {
    "dagster/asset_partition_range_start": "2024-01-03",
    "dagster/asset_partition_range_end": "2024-01-20",
}
STOCK = {"module": "dagster._core.storage.event_log", "class": "SqliteEventLogStorage"}
OURS = {"module": "athlete_assets.deployments.event_log", "class": "BatchingSqliteEventLogStorage"}
RUNS = tuple(f"10000000-0000-0000-0000-00000000000{number}" for number in (1, 2, 3))


@dg.asset(
    partitions_def=DAYS,
    backfill_policy=dg.BackfillPolicy.single_run(),
    check_specs=[dg.AssetCheckSpec("rows", asset="runs")],
    code_version="7",
)
def runs(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
    last = context.partition_key_range.end
    context.add_asset_metadata({"only_last": last}, partition_key=last)
    return dg.MaterializeResult(
        metadata={"rows": 18},
        tags={"custom": "yes"},
        check_results=[dg.AssetCheckResult(passed=True, metadata={"n": 1})],
    )


@dg.asset(partitions_def=DAYS, backfill_policy=dg.BackfillPolicy.single_run(), deps=[runs])
def loads() -> dg.MaterializeResult:
    return dg.MaterializeResult(data_version=dg.DataVersion("constant"))


@dg.asset(partitions_def=DAYS, backfill_policy=dg.BackfillPolicy.single_run(), deps=[loads])
def fails() -> None:
    raise RuntimeError("on purpose")


@dg.asset(deps=[runs])
def summary() -> None: ...


ASSETS = [runs, loads, fails, summary]
PARTITIONS = st.none() | st.sampled_from(["2024-01-03", "2024-01-04", 'a "day"', "é"])
METADATA = st.none() | st.dictionaries(
    st.sampled_from(["rows", "day"]), st.sampled_from([1, 1.0, True, "2024-01-03", float("nan")]), min_size=1
)


def instance_with(storage: dict[str, str], home: Path) -> dg.DagsterInstance:
    home.mkdir()
    config = {"event_log_storage": {**storage, "config": {"base_dir": str(home / "history" / "runs")}}}
    (home / "dagster.yaml").write_text(yaml.dump({**config, "telemetry": {"enabled": False}}))
    return dg.DagsterInstance.from_config(str(home))


def make_runs(instance: dg.DagsterInstance) -> None:
    """A range run whose last asset fails, a run of one partition, and one without partitions."""
    job = dg.Definitions(assets=ASSETS).resolve_implicit_global_asset_job_def()
    selections = ([runs.key, loads.key, fails.key], [runs.key, loads.key], [summary.key])
    tags = (RANGE_TAGS, {"dagster/partition": "2024-02-11"}, {})
    for run_id, selection, run_tags in zip(RUNS, selections, tags, strict=True):
        job.execute_in_process(
            run_id=run_id, asset_selection=selection, tags=run_tags, instance=instance, raise_on_error=False
        )


def without_moments(value: Any) -> str:
    """The text of an answer without what differs between any two runs: times, process ids and durations."""
    text = re.sub(r"(?:file|log)_key(='|\\*\": ?\\*\")[a-z]{8}", "<file>", repr(value))
    text = re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d+)?", "<time>", text)
    text = re.sub(r"datetime\.datetime\([^)]*(\([^)]*\))?[^)]*\)", "<time>", text)
    text = re.sub(r"\b1[6-9]\d{8}(\.\d+)?\b", "<time>", text)
    text = re.sub(r"(\d+(\.\d+)?(e-\d+)?)(ms| seconds|s\b)", "<duration>", text)
    text = re.sub(r"(duration_ms|timestamp|time)(=|\\*\": ?)\d[\d.e-]*", r"\1\2<time>", text)
    text = re.sub(r"(pid|process)[^\d]{0,6}\d+", "<process>", text)
    return re.sub(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}", "<uuid>", text)


def answers(instance: dg.DagsterInstance) -> Iterator[tuple[str, Any]]:
    """What each reader of the event log says, by the reader's name."""
    log = instance.event_log_storage
    warnings.simplefilter("ignore")
    for asset in ASSETS:
        key = asset.key
        yield f"materialised partitions of {key}", log.get_materialized_partitions(key)
        yield (
            f"newest storage ids of {key}",
            [
                log.get_latest_storage_id_by_partition(key, event_type)
                for event_type in (
                    DagsterEventType.ASSET_MATERIALIZATION,
                    DagsterEventType.ASSET_MATERIALIZATION_PLANNED,
                )
            ],
        )
        yield (
            f"tags by partition of {key}",
            log.get_latest_tags_by_partition(key, DagsterEventType.ASSET_MATERIALIZATION, ["dagster/data_version"]),
        )
        yield (
            f"planned and not materialised of {key}",
            log.get_latest_asset_partition_materialization_attempts_without_materializations(key),
        )
        yield f"newest planned of {key}", log.get_latest_planned_materialization_info(key, "2024-01-04")
        yield f"event tags of {key}", log.get_event_tags_for_asset(key)
        yield f"materialisations of {key}", instance.fetch_materializations(key, limit=1000).records
        yield (
            f"materialisations of two days of {key}",
            instance.fetch_materializations(
                AssetRecordsFilter(key, asset_partitions=["2024-01-04", "2024-01-20"]), limit=1000, ascending=True
            ).records,
        )
        yield f"newest materialisation of {key}", instance.get_latest_materialization_event(key)
        yield f"newest data version of {key}", instance.get_latest_data_version_record(key, partition_key="2024-01-05")
    for event_type in (DagsterEventType.ASSET_MATERIALIZATION, DagsterEventType.ASSET_MATERIALIZATION_PLANNED):
        yield f"records of {event_type}", instance.get_event_records(EventRecordsFilter(event_type), limit=1000)
    yield "asset records", instance.get_asset_records([asset.key for asset in ASSETS])
    yield "asset keys", instance.all_asset_keys()
    check = dg.AssetCheckKey(runs.key, "rows")
    results = [record for record in log.get_asset_check_execution_history(check, limit=100) if record.partition is None]
    yield "check results", [(record.run_id, record.status, record.event) for record in results]
    newest = log.get_latest_asset_check_execution_by_key([check])[check]
    yield "newest check result", (newest.run_id, newest.status, newest.event)
    for run_id in RUNS:
        yield f"log of {run_id}", log.get_records_for_run(run_id).records
        yield (
            f"stats of {run_id}",
            [
                (stats.step_key, stats.status, stats.materialization_events)
                for stats in log.get_step_stats_for_run(run_id)
            ],
        )
        yield f"status of {run_id}", instance.get_run_by_id(run_id).status
        yield (
            f"partitions of {run_id}",
            {key: sorted(map(str, keys)) for key, keys in log.get_asset_partitions_for_run(run_id).items()},
        )


def rows_of(database: Path) -> dict[str, list[tuple]]:
    with closing(sqlite3.connect(database)) as connection:
        tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {table: list(connection.execute(f"SELECT * FROM {table} ORDER BY 1")) for table in tables}


def all_answers(storage: dict[str, str], home: Path) -> dict[str, Any]:
    with instance_with(storage, home) as instance:
        assert isinstance(instance.event_log_storage, BatchingSqliteEventLogStorage) == (storage is OURS)
        make_runs(instance)
        assert instance.get_run_by_id(RUNS[0]).status == DagsterRunStatus.FAILURE
        assert len(instance.event_log_storage.get_materialized_partitions(runs.key)) == 18 + 1
        seen = dict(answers(instance))
    for database in ("index", *RUNS):
        rows = rows_of(home / "history" / "runs" / f"{database}.db")
        del rows["asset_check_executions"]  # see the test of planned checks
        seen |= {f"{table} in {database}.db": content for table, content in rows.items()}
    return {question: without_moments(answer) for question, answer in seen.items()}


@pytest.fixture(scope="module")
def stock_answers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return all_answers(STOCK, tmp_path_factory.mktemp("stock") / "home")


@pytest.mark.parametrize("batch_size", [5, 2000])
def test_every_reader_sees_what_the_stock_storage_would_show(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stock_answers: dict[str, str], batch_size: int
) -> None:
    monkeypatch.setenv("DAGSTER_EVENT_BATCH_SIZE", str(batch_size))
    ours = all_answers(OURS, tmp_path / "home")
    assert ours.keys() == stock_answers.keys()
    for question, answer in stock_answers.items():
        assert ours[question] == answer, question


def test_a_planned_check_is_one_row_that_its_result_fills_in(tmp_path: Path) -> None:
    """The stock storage has a row for each partition of the run, planned for ever: 18 and 1 of them here."""

    def executions(storage: dict[str, str], home: Path) -> Counter[tuple[str, str, bool]]:
        with instance_with(storage, home) as instance:
            make_runs(instance)
        with closing(sqlite3.connect(home / "history" / "runs" / "index.db")) as connection:
            rows = list(connection.execute("SELECT run_id, execution_status, partition FROM asset_check_executions"))
        return Counter((run_id, status, partition is None) for run_id, status, partition in rows)

    results = {(RUNS[0], "SUCCEEDED", True): 1, (RUNS[1], "SUCCEEDED", True): 1}
    assert executions(OURS, tmp_path / "ours") == results
    assert executions(STOCK, tmp_path / "stock") == {
        **results,
        (RUNS[0], "PLANNED", False): 18,
        (RUNS[1], "PLANNED", False): 1,
    }


def test_the_storage_turns_batching_on_in_each_process_that_loads_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DAGSTER_EVENT_BATCH_SIZE", raising=False)
    with instance_with(OURS, tmp_path / "home") as instance:
        assert instance.event_log_storage
        assert int(os.environ["DAGSTER_EVENT_BATCH_SIZE"]) > 100


def test_a_batch_that_fails_leaves_nothing_behind_so_that_storing_its_events_singly_doubles_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAGSTER_EVENT_BATCH_SIZE", "2000")
    with instance_with(OURS, tmp_path / "home") as instance:
        broken = monkeypatch.context()
        with broken as patch:
            patch.setattr(BatchingSqliteEventLogStorage, "_store_asset_keys", _raise)
            make_runs(instance)
        reports = instance.fetch_materializations(runs.key, limit=100).records
        assert len(reports) == 18 + 1
        log = instance.event_log_storage.get_records_for_run(RUNS[0], of_type=DagsterEventType.ASSET_MATERIALIZATION)
        assert len(log.records) == 18 + 18
        assert instance.event_log_storage.get_materialized_partitions(loads.key) == {
            *(f"2024-01-{day:02}" for day in range(3, 21)),
            "2024-02-11",
        }


def _raise(*args: Any) -> None:
    raise sqlite3.OperationalError("database is locked")


def test_a_run_of_checks_alone_is_stored_as_a_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    @dg.multi_asset_check(specs=[dg.AssetCheckSpec(name, asset="runs") for name in ("one", "two", "three")])
    def looks() -> Iterator[dg.AssetCheckResult]:
        for name in ("one", "two", "three"):
            yield dg.AssetCheckResult(passed=True, asset_key="runs", check_name=name)

    monkeypatch.setenv("DAGSTER_EVENT_BATCH_SIZE", "2000")
    batches, store = [], BatchingSqliteEventLogStorage._store_asset_events

    def stored(*arguments: Any) -> None:
        store(*arguments)
        batches.append(len(arguments[2]))

    monkeypatch.setattr(BatchingSqliteEventLogStorage, "_store_asset_events", stored)
    with instance_with(OURS, tmp_path / "home") as instance:
        checks = dg.AssetSelection.checks(looks)
        job = dg.Definitions(assets=[runs], asset_checks=[looks], jobs=[dg.define_asset_job("look", checks)])
        assert job.resolve_job_def("look").execute_in_process(instance=instance).success
        keys = [dg.AssetCheckKey(runs.key, name) for name in ("one", "two", "three")]
        found = instance.event_log_storage.get_latest_asset_check_execution_by_key(keys)
    assert batches == [3]
    assert [found[key].status.value for key in keys] == ["SUCCEEDED"] * 3


def test_a_failure_is_read_by_the_daemon_of_retries_once_the_run_has_its_status(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between event and status the daemon would take the run for one that did not fail, and never look again."""
    with instance_with(OURS, tmp_path / "home") as instance:
        make_runs(instance)
        log = instance.event_log_storage

        def failures() -> list[str]:
            found = log.get_logs_for_all_runs_by_log_id(dagster_event_type=DagsterEventType.RUN_FAILURE)
            return [event.run_id for event in found.values()]

        assert failures() == [RUNS[0]]
        run = instance.get_run_by_id(RUNS[0])
        unaware = run.with_status(DagsterRunStatus.STARTED)
        monkeypatch.setattr(instance, "get_run_by_id", lambda run_id: unaware)
        assert failures() == []
        monkeypatch.setattr(time, "time", lambda: datetime.now().timestamp() + 61)
        assert failures() == [RUNS[0]], "a status that never came holds nobody up"


def test_a_database_stays_open_until_another_takes_its_place(tmp_path: Path) -> None:
    def opened() -> set[str]:
        links = (f"/proc/self/fd/{number}" for number in os.listdir("/proc/self/fd"))
        return {os.readlink(link) for link in links if os.path.exists(link)}

    with instance_with(OURS, tmp_path / "home") as instance:
        make_runs(instance)
        folder = tmp_path / "home" / "history" / "runs"
        first, second, _ = (str(folder / f"{run_id}.db") for run_id in RUNS)
        log = instance.event_log_storage
        assert log.get_logs_for_run(RUNS[0])
        assert {first, str(folder / "index.db")} <= opened()
        shutil.copy(second, tmp_path / "another.db")
        os.replace(tmp_path / "another.db", first)
        Path(f"{first}-wal").unlink()
        assert log.get_logs_for_run(RUNS[0]) == [], "it holds another run's events"
        assert log.get_logs_for_run(RUNS[1])
        assert second in opened()
        assert first not in opened(), "of one run at a time"


def test_a_run_that_plans_many_partitions_has_one_event_of_them_to_hand_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    handed: list[int] = []
    stored = BatchingSqliteEventLogStorage.store_event_batch

    def counted(self: BatchingSqliteEventLogStorage, events: Sequence[EventLogEntry]) -> None:
        planned = [event for event in events if _is_planned(event)]
        handed.append(len(planned))
        stored(self, events)

    monkeypatch.setattr(BatchingSqliteEventLogStorage, "store_event_batch", counted)
    with instance_with(OURS, tmp_path / "home") as instance:
        make_runs(instance)
        log = instance.event_log_storage.get_records_for_run(
            RUNS[0], of_type=DagsterEventType.ASSET_MATERIALIZATION_PLANNED
        )
    assert handed[0] == 3
    assert len(log.records) == 3 * 18


def _is_planned(event: EventLogEntry) -> bool:
    return event.dagster_event_type == DagsterEventType.ASSET_MATERIALIZATION_PLANNED


@example([("2024-01-03", {"rows": value}, 1e9, False) for value in (1, 1.0, True)])
@given(st.lists(st.tuples(PARTITIONS, METADATA, st.floats(1e9, 2e9), st.booleans()), min_size=1, max_size=6))
def test_the_text_of_each_event_is_what_dagster_itself_writes(events: list[tuple[Any, Any, float, bool]]) -> None:
    """Also of metadata that Python calls equal: of 1, 1.0 and True each is written as it is."""
    one_for_all = dg.AssetMaterialization("runs", metadata={"rows": 18}).metadata
    entries = [
        EventLogEntry(
            error_info=None,
            level="debug",
            user_message="as it was",
            run_id=RUNS[0],
            timestamp=moment,
            dagster_event=DagsterEvent.build_asset_materialization_planned_event(
                "job", "runs", AssetMaterializationPlannedData(dg.AssetKey("runs"), partition)
            )
            if is_planned
            else DagsterEvent(
                "ASSET_MATERIALIZATION",
                "job",
                event_specific_data=StepMaterializationData(
                    dg.AssetMaterialization(
                        "runs", partition=partition, metadata=metadata or one_for_all, tags={"of": "all"}
                    )
                ),
            ),
        )
        for partition, metadata, moment, is_planned in events
    ]
    storage = BatchingSqliteEventLogStorage.__new__(BatchingSqliteEventLogStorage)
    assert list(storage._rows(entries)) == [storage._event_to_row(entry) for entry in entries]
