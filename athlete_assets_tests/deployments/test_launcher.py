"""The step launcher against a workspace that really executes: a step on the cluster, and every fault on its way."""

from __future__ import annotations

import gzip
import logging
import os
import signal
import tempfile
import threading
import time
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace

import dagster as dg
import pytest
from dagster import AssetKey, DagsterEventType
from dagster._core.definitions.reconstruct import ReconstructableRepository
from dagster._utils.interrupts import capture_interrupts
from deltalake import DeltaTable
from pyspark.sql import SparkSession

from athlete_assets.deployments.databricks import launcher as launcher_module
from athlete_assets.deployments.databricks import step_main
from athlete_assets.deployments.databricks.config import run_config
from athlete_assets.deployments.databricks.libraries import pinned_libraries
from athlete_assets.deployments.databricks.staging import PackagedCode
from athlete_assets.errors import SettingsError
from athlete_assets.settings import Settings
from athlete_assets_tests.deployments.conftest import PROJECT, STAGING, HastyLauncher, PatientLauncher, Small
from athlete_assets_tests.fake_workspace import FakeWorkspace, Fate

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]


# a step on the cluster


def test_a_step_runs_in_a_process_of_its_own_from_the_uploaded_code_alone(
    small: Small, workspace: FakeWorkspace, capfd: pytest.CaptureFixture[str]
) -> None:
    done = small.materialize("numbers")
    assert done.success
    assert done.verdicts("numbers") == ["STEP_SUCCESS"]
    numbers = done.written("numbers")
    assert numbers["pid"] != os.getpid()
    assert not numbers["code"].startswith(str(PROJECT))
    assert done.written("teardown")["pid"] == numbers["pid"], "resources are torn down where they were used"
    materialised = done.events(DagsterEventType.ASSET_MATERIALIZATION)
    assert [entry.asset_materialization.partition for entry in materialised] == ["2024-01-05"]
    assert {
        entry.get_dagster_event().asset_check_evaluation_data.check_name
        for entry in done.events(DagsterEventType.ASSET_CHECK_EVALUATION)
    } == {"positive", "few"}
    streams = capfd.readouterr()
    assert "stdout of numbers" in streams.out
    assert "stderr of numbers" in streams.err
    assert f"{workspace.url}/?o=1#job" in str(
        [entry.get_dagster_event() for entry in done.events(DagsterEventType.ENGINE_EVENT)]
    )


def test_after_success_nothing_of_the_step_stays_and_its_code_is_staged_once(
    small: Small, workspace: FakeWorkspace
) -> None:
    small.materialize("numbers")
    small.materialize("numbers", day="2024-01-06")
    code = f"{STAGING.lstrip('/')}/code/"
    assert [path for path in workspace.staged_files() if not path.startswith(code)] == []
    uploads = workspace.requests("/fs/files", "PUT")
    assert len([request for request in uploads if "/code/" in request.path]) == 1
    assert len(workspace.runs) == 2
    step = next(request.json for request in uploads if request.path.endswith("step.json"))  # JSON: nothing is a pickle
    assert (step["step_key"], step["run_config"]) == ("numbers", {})


def test_one_range_is_one_step_with_one_materialisation_a_day(
    small: Small, workspace: FakeWorkspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAGSTER_EVENT_BATCH_SIZE", "1000")  # as the product's instance has it
    done = small.materialize("numbers", days=("2024-01-30", "2024-02-02"))
    assert done.success
    days = ["2024-01-30", "2024-01-31", "2024-02-01", "2024-02-02"]
    assert done.written("numbers")["keys"] == days
    materialised = done.events(DagsterEventType.ASSET_MATERIALIZATION)
    assert [entry.asset_materialization.partition for entry in materialised] == days
    assert small.instance.get_materialized_partitions(AssetKey("numbers")) == set(days)
    newest = small.instance.fetch_materializations(AssetKey("numbers"), limit=1).records[0]
    for entry in done.events(DagsterEventType.ASSET_CHECK_EVALUATION):
        target = entry.get_dagster_event().asset_check_evaluation_data.target_materialization_data
        assert target.storage_id == newest.storage_id, "the batch was stored before its checks were"
    assert len(workspace.runs) == 1


def test_steps_of_a_graph_follow_each_other(small: Small, workspace: FakeWorkspace) -> None:
    done = small.materialize("source", "numbers", "totals")
    assert done.success
    assert [done.verdicts(step) for step in ("source", "numbers", "totals")] == [["STEP_SUCCESS"]] * 3
    assert len(workspace.runs) == 2, "source needs no launcher"
    assert done.written("numbers")["pid"] != done.written("totals")["pid"]


def test_a_range_of_dynamic_partitions_reaches_the_cluster(small: Small) -> None:
    small.instance.add_dynamic_partitions("teams", ["blue", "green", "red"])
    done = small.materialize("teams", days=("blue", "green"))
    assert done.success
    assert done.written("teams")["keys"] == ["blue", "green"]


def test_secrets_arrive_as_environment_variables_and_are_nowhere_else(small: Small, workspace: FakeWorkspace) -> None:
    workspace.secrets["athlete"] = {"key": "s3cr3t-value"}
    small.use(HastyLauncher, secrets_to_env_variables=[{"name": "SMALL_SECRET", "scope": "athlete", "key": "key"}])
    done = small.materialize("numbers")
    assert done.written("numbers")["secret"] == "s3cr3t-value"
    assert not any(b"s3cr3t-value" in request.body for request in workspace.journal)
    assert "s3cr3t-value" not in done.messages


def test_an_environment_variable_that_looks_like_a_secret_is_refused(small: Small) -> None:
    variables = {**small.configuration()["env_variables"], "SLACK_TOKEN": "xoxb"}
    with pytest.raises(SettingsError, match=r"SLACK_TOKEN.*secrets_to_env_variables"):
        small.use(HastyLauncher, env_variables=variables)


# whose events they are


def test_data_versions_and_check_targets_point_at_this_instance(small: Small) -> None:
    """Beside a step that runs here, a step that ran on the cluster tells the same provenance."""
    key = AssetKey("numbers")
    small.materialize("source", day=None)
    source = small.instance.get_latest_materialization_event(AssetKey("source"))
    assert source is not None
    source_record = small.instance.fetch_materializations(AssetKey("source"), limit=1).records[0]

    remote = small.materialize("numbers")
    written = small.instance.fetch_materializations(key, limit=1).records[0]
    evaluations = [
        entry.get_dagster_event().asset_check_evaluation_data
        for entry in remote.events(DagsterEventType.ASSET_CHECK_EVALUATION)
    ]
    assert {evaluation.target_materialization_data.storage_id for evaluation in evaluations} == {written.storage_id}
    assert {evaluation.target_materialization_data.run_id for evaluation in evaluations} == {remote.run.run_id}
    tags = written.asset_materialization.tags
    assert tags["dagster/input_event_pointer/source"] == str(source_record.storage_id)

    small.definitions.LAUNCHER = None
    small.materialize("numbers")
    local_tags = small.instance.fetch_materializations(key, limit=1).records[0].asset_materialization.tags
    assert {name: value for name, value in tags.items() if name.startswith("dagster/")} == {
        name: value for name, value in local_tags.items() if name.startswith("dagster/")
    }


def test_only_the_selected_checks_are_evaluated(small: Small) -> None:
    done = small.materialize("numbers", checks=[("numbers", "few")])
    assert done.success
    evaluations = done.events(DagsterEventType.ASSET_CHECK_EVALUATION)
    assert [entry.get_dagster_event().asset_check_evaluation_data.check_name for entry in evaluations] == ["few"]


def test_a_checks_only_run_materialises_nothing_even_where_the_code_was_loaded_from_a_file(small: Small) -> None:
    file = PROJECT / "small_assets" / "definitions.py"
    small.repository = ReconstructableRepository.for_file(str(file), "defs", str(PROJECT))
    from dagster._core.code_pointer import load_python_file

    load_python_file(str(file), str(PROJECT)).LAUNCHER = small.definitions.LAUNCHER
    done = small.materialize(day=None, checks=[("checked", "alone")])
    assert done.success
    assert done.written("alone")["pid"] != os.getpid()
    assert not (small.out / "checked.json").exists()


def test_a_blocking_check_that_fails_fails_the_step_and_what_follows(small: Small) -> None:
    done = small.materialize("numbers", "totals", do="bad")
    assert not done.success
    assert done.verdicts("numbers")[-1] == "STEP_FAILURE"
    assert done.verdicts("totals") == []


def test_an_error_of_the_step_comes_back_with_its_traceback(small: Small, workspace: FakeWorkspace) -> None:
    done = small.materialize("totals", do="raise")
    assert done.verdicts("totals") == ["STEP_FAILURE"]
    assert "the data is wrong" in done.messages
    assert workspace.runs[0].result == "FAILED", "the run is red in the workspace, too"
    left = [Path(path).name for path in workspace.staged_files()]
    assert "step.json" not in left
    assert "stderr" in left


def test_a_retry_that_the_step_asks_for_is_a_new_run(small: Small, workspace: FakeWorkspace) -> None:
    done = small.materialize("numbers", do="raise once")
    assert done.success
    assert done.verdicts("numbers") == ["STEP_UP_FOR_RETRY", "STEP_RESTARTED", "STEP_SUCCESS"]
    assert done.written("numbers")["attempt"] == 1
    assert len(workspace.runs) == 2


@pytest.mark.java
def test_a_step_writes_a_delta_table_with_the_session_of_the_cluster(
    small: Small, workspace: FakeWorkspace, apache_spark: object
) -> None:
    workspace.deal(Fate(spark=True))
    small.use(HastyLauncher, max_completion_wait_time_seconds=300)
    done = small.materialize("table", days=("2024-01-05", "2024-01-08"))
    assert done.success, done.messages
    metadata = done.events(DagsterEventType.ASSET_MATERIALIZATION)[0].asset_materialization.metadata
    assert metadata["rows"].value == 4
    assert metadata["master"].value == "local[2]", "what the cluster says, not the step"
    assert not metadata["module"].value.startswith(str(PROJECT)), "Spark's workers import the code that was sent"
    assert len(DeltaTable(str(small.out / "table")).to_pyarrow_table()) == 4


@pytest.mark.java
def test_workers_get_the_code_through_spark_connect_as_on_standard_access_clusters(
    apache_spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(PROJECT))
    from small_assets.kernels import as_they_are

    archive = tmp_path / "packages.zip"
    archive.write_bytes(PackagedCode.of({"small_assets": PROJECT}).content)
    step_main.given_to_workers(str(archive), apache_spark)
    rows = apache_spark.createDataFrame([("2024-01-05",)], "day STRING")
    modules = rows.mapInArrow(as_they_are, "day STRING, module STRING").collect()
    assert "packages.zip" in modules[0]["module"]


def test_steps_that_share_a_cluster_give_its_spark_one_file_a_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Spark keeps files by name as long as the cluster lives, and refuses another one of the same name."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    archive = tmp_path / "packages.zip"
    code = PackagedCode.of({"small_assets": PROJECT})
    archive.write_bytes(code.content)
    copies = []
    for number in range(3):
        folder = tmp_path / f"step {number}"
        copies.append(Path(step_main.unpacked(str(archive), code.digest, str(folder))))
        assert (folder / "small_assets" / "kernels.py").is_file()
    assert len(set(copies)) == 1
    assert copies[0].name.endswith(".zip")
    copies[0].write_bytes(b"x" * len(code.content))  # whoever changed it: it is not given to Spark
    step_main.unpacked(str(archive), code.digest, str(tmp_path / "again"))
    assert copies[0].read_bytes() == code.content
    assert len(list(copies[0].parent.iterdir())) == 1


# faults of the API


def test_an_outage_while_polling_is_waited_out(small: Small, workspace: FakeWorkspace) -> None:
    for status in (500, 502, 504):
        workspace.faults.status("/jobs/runs/get", status, times=3, after=1)
    small.use(PatientLauncher)
    done = small.materialize("totals")
    assert done.verdicts("totals") == ["STEP_SUCCESS"]
    assert workspace.requests("/jobs/runs/cancel") == []


def test_throttling_and_errors_while_staging_are_waited_out(small: Small, workspace: FakeWorkspace) -> None:
    workspace.faults.status("/fs/files", 429, times=1, retry_after=1)
    workspace.faults.status("/fs/files.*/step.json", 500)
    workspace.faults.status("/fs/files.*/events", 504)
    workspace.faults.status("/fs/directories", 503, retry_after=1)
    small.use(PatientLauncher)
    assert small.materialize("totals").verdicts("totals") == ["STEP_SUCCESS"]


def test_a_submit_whose_answer_is_lost_starts_one_run(small: Small, workspace: FakeWorkspace) -> None:
    workspace.faults.drop("/jobs/runs/submit", times=1)
    workspace.faults.status("/jobs/runs/submit", 504, times=1)
    small.use(PatientLauncher)
    done = small.materialize("totals")
    assert done.verdicts("totals") == ["STEP_SUCCESS"]
    submits = [request.json for request in workspace.requests("/jobs/runs/submit")]
    assert len(submits) == 3
    assert len(workspace.runs) == 1
    assert {body["idempotency_token"] for body in submits} == {submits[0]["idempotency_token"]}
    assert submits[0]["timeout_seconds"] == 300


def test_a_staging_folder_that_cannot_be_used_is_said_before_a_cluster_starts(
    small: Small, workspace: FakeWorkspace
) -> None:
    small.use(HastyLauncher, staging_prefix="/Volumes/main/ops/missing")
    done = small.materialize("numbers")
    assert done.verdicts("numbers") == ["STEP_FAILURE"], "no retry can help"
    assert "main.ops.missing" in done.messages
    assert "athlete-assets databricks check" in done.messages
    workspace.volume_rights = {STAGING: {"somebody else"}}
    small.use(HastyLauncher)
    done = small.materialize("numbers")
    assert "WRITE VOLUME" in done.messages
    assert workspace.runs == []


# fates of the run


@pytest.mark.parametrize(
    ("fate", "said"),
    [
        (Fate("launch_failure"), "CLOUD_PROVIDER_LAUNCH_FAILURE"),
        (Fate("library_failure"), "Library installation failed"),
        (Fate("skipped"), "ended SKIPPED"),
        (Fate("nothing"), "ended SUCCESS without the step's own verdict"),
    ],
    ids=lambda value: value.outcome if isinstance(value, Fate) else "",
)
def test_a_run_without_a_verdict_fails_its_step_once_and_says_why(
    small: Small, workspace: FakeWorkspace, fate: Fate, said: str
) -> None:
    workspace.deal(fate)
    done = small.materialize("totals")
    assert done.verdicts("totals") == ["STEP_FAILURE"]
    assert said in done.messages


@pytest.mark.parametrize(
    "fate",
    [
        Fate("launch_failure"),
        Fate("skipped"),
        Fate(kill_driver_when=r"events/"),
        Fate(events_lost=True),
    ],
    ids=["launch failure", "skipped", "driver lost", "events lost"],
)
def test_a_failure_of_the_cluster_follows_the_retry_policy(small: Small, workspace: FakeWorkspace, fate: Fate) -> None:
    workspace.deal(fate)
    do = "sleep 20" if fate.kill_driver_when else ""
    if do:
        workspace.deal(Fate("nothing"), Fate("nothing"))
    done = small.materialize("numbers", do=do)
    if do:  # the retries are not let run: what counts is that the loss of the driver is one attempt of three
        assert done.verdicts("numbers") == [
            "STEP_UP_FOR_RETRY",
            "STEP_UP_FOR_RETRY",
            "STEP_FAILURE",
        ]
        assert "the driver is lost" in done.messages
    else:
        assert done.verdicts("numbers") == ["STEP_UP_FOR_RETRY", "STEP_RESTARTED", "STEP_SUCCESS"]
    assert len({run.body["idempotency_token"] for run in workspace.runs}) == len(workspace.runs)


@pytest.mark.parametrize(
    "fate",
    [
        Fate(events_late_seconds=1.0),
        Fate(terminating_seconds=0.5),
        Fate(result_after_exit="FAILED"),
        Fate(stays_running_seconds=30),
    ],
    ids=["events late", "terminating", "driver lost after success", "run goes on after success"],
)
def test_the_verdict_of_the_step_stands_alone(small: Small, workspace: FakeWorkspace, fate: Fate) -> None:
    workspace.deal(fate)
    if fate.stays_running_seconds:
        small.use(type("Impatient", (HastyLauncher,), {"after_verdict_s": 1.0}))
    done = small.materialize("numbers")
    assert done.success
    assert done.verdicts("numbers") == ["STEP_SUCCESS"]
    if fate.result_after_exit:
        assert "ended FAILED after its step had succeeded" in done.messages
    if fate.stays_running_seconds:
        assert workspace.runs[0].cancelled


def test_a_step_without_a_retry_policy_is_tried_again_by_the_launchers_own(
    small: Small, workspace: FakeWorkspace
) -> None:
    workspace.deal(Fate("launch_failure"), Fate("launch_failure"), Fate("launch_failure"))
    small.use(HastyLauncher, cluster_retries=dg.RetryPolicy(max_retries=2))
    assert small.materialize("totals").verdicts("totals") == [
        "STEP_UP_FOR_RETRY",
        "STEP_UP_FOR_RETRY",
        "STEP_FAILURE",
    ]
    assert small.materialize("totals", do="raise").verdicts("totals") == ["STEP_FAILURE"], "not the cluster's failure"


def test_a_cancel_by_a_person_is_meant(small: Small, workspace: FakeWorkspace) -> None:
    workspace.deal(Fate(cancelled_by_person_when="events/"))
    done = small.materialize("numbers", do="sleep 20")
    assert done.verdicts("numbers") == ["STEP_FAILURE"]
    assert "ended CANCELED" in done.messages


def test_a_run_that_takes_too_long_is_cancelled_and_not_repeated(small: Small, workspace: FakeWorkspace) -> None:
    workspace.deal(Fate(pending_seconds=30))
    small.use(HastyLauncher, max_completion_wait_time_seconds=1)
    done = small.materialize("numbers")
    assert done.verdicts("numbers") == ["STEP_FAILURE"]
    assert "took more than 1 s" in done.messages
    assert workspace.runs[0].cancelled


def test_an_interrupt_cancels_the_run(small: Small, workspace: FakeWorkspace) -> None:
    def interrupt() -> None:
        while not any("events" in path for path in workspace.staged_files()):
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt, daemon=True).start()
    with capture_interrupts():
        done = small.materialize("totals", do="sleep 30")
    assert done.verdicts("totals") == ["STEP_FAILURE"]
    assert "Execution was interrupted" in done.messages
    run = workspace.runs[0]
    assert run.cancelled
    assert run.process is not None
    assert run.process.wait(timeout=5) == -signal.SIGKILL


def test_libraries_that_differ_on_the_cluster_are_said_by_name_and_not_retried(
    small: Small, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launcher_module, "version", lambda name: "1.0.0")
    monkeypatch.setattr(launcher_module, "CLUSTER_LIBRARIES", ("dagster", "catboost"))
    done = small.materialize("numbers")
    assert done.verdicts("numbers") == ["STEP_FAILURE"]
    assert "lacks libraries that the orchestrator pins: catboost 1.0.0" in done.messages


def test_a_cluster_may_bring_a_newer_feature_store_client_but_no_older_one(
    small: Small, workspace: FakeWorkspace
) -> None:
    """0.12 is newer than 0.9, whatever their letters say."""
    settings = Settings(deployment="databricks", databricks_cluster_id="shared", databricks_feature_client="cluster")
    own = {
        "run_config": run_config(settings),
        "pinned": pinned_libraries(settings),
        "max_completion_wait_time_seconds": 60,
    }
    small.use(HastyLauncher, at_least={"databricks-feature-engineering": "0.9.3"}, **own)
    assert small.materialize("totals").success
    small.use(HastyLauncher, at_least={"databricks-feature-engineering": "99.1"}, **own)
    done = small.materialize("totals", day="2024-01-06")
    assert f"databricks-feature-engineering 99.1 or newer (found: {version('databricks-feature-engineering')})" in (
        done.messages
    )
    packages = [library["pypi"]["package"].split("==")[0] for library in workspace.runs[0].task["libraries"]]
    assert "dagster" in packages
    assert not {"databricks-feature-engineering", "databricks-sdk", "dagster-databricks"} & set(packages)


def test_a_python_that_the_code_does_not_know_is_said(small: Small, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launcher_module, "SUPPORTED_PYTHON", ("3.6", "3.8"))
    done = small.materialize("totals")
    assert done.verdicts("totals") == ["STEP_FAILURE"]
    assert "the code needs at least 3.6 and less than 3.8" in done.messages


def test_a_cluster_without_sc_runs_a_step(small: Small, workspace: FakeWorkspace) -> None:
    workspace.deal(Fate(standard_access=True))
    assert small.materialize("totals").success


def test_rights_are_granted_and_their_trouble_does_not_stop_a_run(small: Small, workspace: FakeWorkspace) -> None:
    rights = {"job_permissions": {"CAN_VIEW": [{"group_name": "runners"}]}}
    small.use(HastyLauncher, permissions=rights)
    workspace.faults.status("/permissions/jobs", 403, error_code="PERMISSION_DENIED", message="not the owner")
    done = small.materialize("totals")
    assert done.verdicts("totals") == ["STEP_SUCCESS"]
    assert "could not grant job permissions: not the owner" in done.messages
    small.materialize("totals", day="2024-01-06")
    granted = workspace.permissions[f"jobs/{workspace.runs[1].run_id + 5_000_000}"]
    assert granted == [{"group_name": "runners", "permission_level": "CAN_VIEW"}]


# the code that is sent


def test_the_package_alone_is_sent_wherever_it_lies(tmp_path: Path) -> None:
    root = tmp_path / "venv" / "logs" / "pytest"
    package = root / "runner"
    (package / ".git").mkdir(parents=True)
    (package / "__pycache__").mkdir()
    for name, content in {
        "__init__.py": "",
        "work.py": "x = 1",
        ".env": "TOKEN=1",
        ".git/config": "x",
        "__pycache__/work.pyc": "x",
    }.items():
        (package / name).write_text(content)
    (root / ".env").write_text("TOKEN=1")
    (root / "other.py").write_text("")
    import io
    import zipfile

    code = PackagedCode.of({"runner": root})
    with zipfile.ZipFile(io.BytesIO(code.content)) as archive:
        assert sorted(archive.namelist()) == ["runner/__init__.py", "runner/work.py"]
    os.utime(package / "work.py", (1, 1))
    assert PackagedCode.of({"runner": root}).digest == code.digest, "the same content is the same code"
    with pytest.raises(SettingsError, match="must be the one that contains the package runner"):
        PackagedCode.of({"runner": package})


def test_an_event_file_that_is_not_whole_yet_is_read_again(small: Small) -> None:
    """The orchestrator may read while the cluster writes."""
    attempt = launcher_module.Attempt.__new__(launcher_module.Attempt)
    attempt.folder, attempt.batches = "x", 0
    attempt.log = logging.getLogger("test")  # type: ignore[assignment]
    whole = gzip.compress(b"[]")

    answers = [None, b"", whole[:7], whole]
    attempt.staging = SimpleNamespace(get=lambda path: answers.pop(0), at=str)  # type: ignore[assignment]
    assert [attempt._next_batch() for _ in range(4)] == [None, None, None, []]
    assert attempt.batches == 1
