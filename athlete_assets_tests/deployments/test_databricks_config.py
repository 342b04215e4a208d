"""The launcher's configuration from settings, and that no credential is in anything that is stored or sent."""

from __future__ import annotations

import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._config import process_config
from dagster._core.remote_representation.external_data import RepositorySnap
from dagster._serdes import serialize_value
from dagster_databricks import databricks_pyspark_step_launcher

from athlete_assets import definitions
from athlete_assets.assets.builder import STEP_LAUNCHER
from athlete_assets.deployments.databricks import config, resources
from athlete_assets.deployments.databricks.config import Credentials, launcher_arguments, run_config, step_launcher
from athlete_assets.deployments.databricks.launcher import MendedStepLauncher
from athlete_assets.errors import SettingsError
from athlete_assets.settings import Settings
from athlete_assets_tests.deployments.conftest import CLIENT_ID, CLIENT_SECRET, PROJECT, STAGING, HastyLauncher, Small
from athlete_assets_tests.fake_workspace import FakeWorkspace

pytestmark = pytest.mark.filterwarnings("ignore")
HOST = "https://adb-1.azuredatabricks.net"
SERVICE_PRINCIPAL = {"DATABRICKS_CLIENT_ID": "id", "DATABRICKS_CLIENT_SECRET": "hush"}


def bricks(**changes: Any) -> Settings:
    return Settings(deployment="databricks", **{"databricks_cluster_id": "shared", **changes})


# who signs in


@pytest.mark.parametrize(
    ("environment", "kind"),
    [
        (SERVICE_PRINCIPAL, "service principal"),
        ({"ARM_CLIENT_ID": "a", "ARM_CLIENT_SECRET": "hush", "ARM_TENANT_ID": "t"}, "azure"),
        ({"DATABRICKS_TOKEN": "hush"}, "token"),
    ],
)
def test_each_way_to_sign_in_is_accepted_by_the_stock_launcher_and_shows_no_secret(
    environment: dict[str, str], kind: str
) -> None:
    credentials = Credentials.from_environment({"DATABRICKS_HOST": HOST, **environment})
    assert credentials.kind == kind
    assert "hush" not in repr(credentials)
    arguments = launcher_arguments(bricks(), credentials)
    outcome = process_config(
        {"configuration": databricks_pyspark_step_launcher.config_field}, {"configuration": arguments}
    )
    assert outcome.success, outcome.errors


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({}, "DATABRICKS_HOST is not set"),
        ({"DATABRICKS_HOST": HOST}, "no credentials for"),
        ({"DATABRICKS_HOST": HOST, "DATABRICKS_CLIENT_ID": "id"}, "DATABRICKS_CLIENT_SECRET is missing"),
        (
            {"DATABRICKS_HOST": HOST, "DATABRICKS_TOKEN": "hush", "DATABRICKS_CLIENT_ID": "id"},
            "DATABRICKS_CLIENT_ID and DATABRICKS_TOKEN are set together",
        ),
    ],
)
def test_credentials_that_are_missing_or_in_each_others_way_are_refused(environment: dict[str, str], said: str) -> None:
    with pytest.raises(SettingsError, match=said) as refusal:
        Credentials.from_environment(environment)
    assert "hush" not in str(refusal.value)


# what a run is asked to be


def test_a_new_cluster_is_asked_for_as_the_settings_say(workspace: FakeWorkspace, small: Small) -> None:
    settings = bricks(
        databricks_cluster_id="",
        databricks_pool_id="pool-1",
        databricks_policy_id="policy-1",
        databricks_workers=2,
        databricks_max_workers=8,
        databricks_spark_conf={"spark.sql.shuffle.partitions": "64"},
        databricks_tags={"team": "running"},
        databricks_libraries="scikit-learn==1.2.3",
        databricks_timeout_s=1234,
    )
    small.use(HastyLauncher, run_config=run_config(settings), max_completion_wait_time_seconds=30)
    small.materialize("totals")  # ends at once: the interpreter here has no such scikit-learn
    body = workspace.requests("/jobs/runs/submit")[0].json
    cluster = body["tasks"][0]["new_cluster"]
    assert cluster["autoscale"] == {"min_workers": 2, "max_workers": 8}
    assert (cluster["instance_pool_id"], cluster["policy_id"]) == ("pool-1", "policy-1")
    assert (cluster["spark_version"], cluster["data_security_mode"]) == ("17.3.x-scala2.13", "SINGLE_USER")
    assert cluster["custom_tags"]["team"] == "running"
    assert "spark.master" not in cluster["spark_conf"]
    assert body["timeout_seconds"] == 1234
    packages = {library["pypi"]["package"] for library in body["tasks"][0]["libraries"]}
    assert {f"dagster=={version('dagster')}", f"catboost=={version('catboost')}", "scikit-learn==1.2.3"} <= packages
    assert not any(package.startswith(("pyspark", "pysail")) for package in packages), "Spark is the cluster's own"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"databricks_cluster_id": ""}, "ATHLETE_DATABRICKS_POOL_ID or ATHLETE_DATABRICKS_NODE_TYPE"),
        ({"databricks_libraries": "polars"}, "polars has no version"),
        ({"databricks_secrets": "KEY=only"}, "is not NAME=scope/key"),
        (
            {"databricks_cluster_id": "", "databricks_node_type": "m", "databricks_spark_conf": {"spark.master": "x"}},
            "spark.master is the cluster's own",
        ),
        (
            {"databricks_cluster_id": "", "databricks_node_type": "m", "databricks_max_workers": 1},
            "must be more than ATHLETE_DATABRICKS_WORKERS=2",
        ),
    ],
)
def test_settings_that_cannot_work_are_refused_before_anything_is_sent(changes: dict[str, Any], said: str) -> None:
    credentials = Credentials(HOST, {"databricks_token": "t"}, "token")
    with pytest.raises(SettingsError, match=said):
        launcher_arguments(bricks(**changes), credentials)


def test_maps_are_read_as_json_and_anything_else_is_refused() -> None:
    settings = Settings.load({"ATHLETE_DATABRICKS_TAGS": '{"team": "running"}'})
    assert settings.databricks_tags == {"team": "running"}
    with pytest.raises(SettingsError, match=r"ATHLETE_DATABRICKS_TAGS.*must be a JSON object"):
        Settings.load({"ATHLETE_DATABRICKS_TAGS": "team=running"})


@pytest.mark.parametrize("text", ["runners, coaches,", '["runners", "coaches"]', " runners ,coaches"])
def test_lists_are_read_by_commas_or_as_a_json_array(text: str) -> None:
    assert Settings.load({"ATHLETE_DATABRICKS_READERS": text}).databricks_readers == ["runners", "coaches"]
    for wrong in ('["runners"', '["runners", 1]'):
        with pytest.raises(SettingsError, match=r"DATABRICKS_READERS.*must be a list by commas, or a JSON array"):
            Settings.load({"ATHLETE_DATABRICKS_READERS": wrong})


def test_settings_that_hold_secrets_show_none() -> None:
    names = ("ALERT_WEBHOOK_URL", "ALERT_SLACK_TOKEN", "ALERT_SMTP_PASSWORD")
    settings = Settings.load({f"ATHLETE_{name}": "hush-hush" for name in names})
    assert "hush-hush" not in f"{settings!r} {settings} {settings.model_dump()} {settings.model_dump_json()}"
    assert settings.alert_smtp_password.get_secret_value() == "hush-hush"


def test_a_runtime_with_another_spark_is_refused_and_the_stock_launcher_wants_the_same_python(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config.match_runtime("17.3.x-scala2.13", bricks())
    config.match_runtime("99.1.x-scala2.13", bricks())
    with pytest.raises(SettingsError, match=r"runtime 15.4.x-scala2.12 has Spark 3.5, and pyspark 4\.0"):
        config.match_runtime("15.4.x-scala2.12", bricks())
    monkeypatch.setattr(sys, "version_info", type("V", (), {"major": 3, "minor": 10})())
    config.match_runtime("17.3.x-scala2.13", bricks())
    with pytest.raises(SettingsError, match=r"has Python 3.12, and this process Python 3.10: the stock launcher"):
        config.match_runtime("17.3.x-scala2.13", bricks(databricks_launcher="stock"))


def test_the_stock_launcher_does_not_go_with_a_cluster_that_lacks_dagster_databricks() -> None:
    config.before_first_run(bricks(databricks_feature_client="cluster"))
    with pytest.raises(SettingsError, match="FEATURE_CLIENT=cluster: the stock launcher needs dagster-databricks"):
        config.before_first_run(bricks(databricks_feature_client="cluster", databricks_launcher="stock"))


def test_a_step_gets_the_settings_that_change_its_result_and_no_others() -> None:
    settings = bricks(
        home=Path("/somewhere"),
        max_run_speed_mps=7.0,
        allow_api_data=True,
        alert_slack_token="xoxb",
        time_zone="UTC",
        databricks_experiment="/Users/me/runs",
    )
    environment = config.step_environment(settings)
    assert environment == {
        "ATHLETE_DEPLOYMENT": "databricks",
        "ATHLETE_DATABRICKS_ON_CLUSTER": "true",
        "ATHLETE_MAX_RUN_SPEED_MPS": "7.0",
        "ATHLETE_ALLOW_API_DATA": "True",
        "ATHLETE_TIME_ZONE": "UTC",
        "ATHLETE_DATABRICKS_EXPERIMENT": "/Users/me/runs",
    }
    there = Settings.load(environment)
    assert (there.max_run_speed_mps, there.allow_api_data, there.databricks_on_cluster) == (7.0, True, True)


# which launcher


def _made(definition: dg.ResourceDefinition) -> Any:
    return definition.resource_fn(dg.build_init_resource_context())  # type: ignore[arg-type]


def test_there_is_no_launcher_locally_nor_inside_a_step(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DATABRICKS_HOST", "DATABRICKS_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    assert _made(step_launcher(Settings())) is None
    assert _made(step_launcher(bricks(databricks_on_cluster=True))) is None


def test_the_mended_launcher_is_the_default_and_the_stock_one_can_be_chosen(
    workspace: FakeWorkspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABRICKS_HOST", workspace.url)
    monkeypatch.setenv("DATABRICKS_CLIENT_ID", CLIENT_ID)
    monkeypatch.setenv("DATABRICKS_CLIENT_SECRET", CLIENT_SECRET)
    mended = _made(step_launcher(bricks()))
    assert isinstance(mended, MendedStepLauncher)
    assert mended.staging.prefix == "/Volumes/uc_athlete_data/monitoring/staging"
    assert ("databricks-sdk" in mended.pinned, mended.at_least) == (True, {})
    newer = _made(step_launcher(bricks(databricks_feature_client="cluster")))
    assert ("databricks-sdk" in newer.pinned, newer.at_least) == (False, {"databricks-feature-engineering": "0.12.1"})
    monkeypatch.setitem(config.RUNTIMES, "17.3", ("4.0", f"{sys.version_info.major}.{sys.version_info.minor}"))
    stock = _made(step_launcher(bricks(databricks_launcher="stock", databricks_staging="/dagster_staging")))
    assert type(stock).__name__ == "DatabricksPySparkStepLauncher"


def test_both_deployments_have_the_same_assets_and_resource_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without credentials, too: the code location loads anywhere, and signs in when a step begins."""
    for name in ("DATABRICKS_HOST", "DATABRICKS_TOKEN", "DATABRICKS_CLIENT_ID"):
        monkeypatch.delenv(name, raising=False)
    local, production = definitions.build(Settings()), definitions.build(bricks())
    assert set(local.resources or {}) == set(production.resources or {})
    keys = [built.resolve_asset_graph().get_all_asset_keys() for built in (local, production)]
    assert keys[0] == keys[1]
    for asset in production.assets or []:
        if isinstance(asset, dg.AssetsDefinition) and asset.is_executable:
            assert STEP_LAUNCHER in asset.required_resource_keys, f"{asset.keys} would run in the orchestrator"


def test_each_deployment_has_its_executor() -> None:
    local = definitions.build(Settings()).executor
    assert isinstance(local, dg.ExecutorDefinition)
    assert local.name == dg.in_process_executor.name, "the embedded engine lives in one process"
    on_cluster, in_turn = bricks(databricks_on_cluster=True), bricks(databricks_parallel_steps=1)
    assert {resources.executor(settings) for settings in (on_cluster, in_turn)} == {dg.in_process_executor}
    executor = definitions.build(bricks(databricks_parallel_steps=3)).executor
    assert isinstance(executor, dg.ExecutorDefinition)
    assert executor.name == "multiprocess"


# what leaves this process


@pytest.mark.slow
def test_a_signed_in_service_principal_leaves_no_trace_of_its_secret(
    workspace: FakeWorkspace, small: Small, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Requests, staged files, the run's events and logs, and this process's own output after a run that failed."""
    monkeypatch.setenv("DATABRICKS_CLIENT_SECRET", CLIENT_SECRET)
    credentials = Credentials.from_environment(
        {"DATABRICKS_HOST": workspace.url, "DATABRICKS_CLIENT_ID": CLIENT_ID, "DATABRICKS_CLIENT_SECRET": CLIENT_SECRET}
    )
    settings = bricks(databricks_staging=STAGING, alert_slack_token="xoxb-hush", databricks_poll_s=0.1)
    arguments = launcher_arguments(settings, credentials)
    arguments["env_variables"] |= {"SMALL_OUT": str(small.out)}
    arguments |= {"databricks_token": None, "local_dagster_job_package_path": str(PROJECT)}
    small.use(HastyLauncher, **arguments)
    done = small.materialize("totals", do="raise")
    assert "the data is wrong" in done.messages, "the step ran, with the pinned libraries"
    assert {request.principal for request in workspace.requests("/api/")} == {CLIENT_ID}
    issued = [token for token, principal in workspace.tokens.items() if principal == CLIENT_ID]
    assert len(issued) == 1
    streams = capfd.readouterr()
    places = {
        "requests": b"".join(request.body for request in workspace.requests("/api/")),
        "staged files": b"".join(workspace.staged_files().values()),
        "the cluster's folder": b"".join(
            path.read_bytes() for path in (workspace.root / "clusters").rglob("*") if path.is_file()
        ),
        "the event log": b"".join(
            path.read_bytes() for path in Path(small.instance.root_directory).rglob("*") if path.is_file()
        ),
        "output": (streams.out + streams.err).encode(),
        "messages": done.messages.encode(),
    }
    for place, content in places.items():
        for secret in (CLIENT_SECRET, issued[0], "xoxb-hush"):
            assert secret.encode() not in content, place


def test_the_code_location_describes_its_launcher_without_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABRICKS_HOST", HOST)
    monkeypatch.setenv("DATABRICKS_TOKEN", "hush")

    @dg.asset(required_resource_keys={"launcher"})
    def table() -> None: ...

    definitions = dg.Definitions(assets=[table], resources={"launcher": step_launcher(bricks())})
    described = serialize_value(RepositorySnap.from_def(definitions.get_repository_def()))
    assert "mended launcher" in described
    assert "hush" not in described
