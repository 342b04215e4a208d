"""`athlete-assets databricks init` and `check` against a workspace that enforces its rights."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from athlete_assets import cli
from athlete_assets.deployments.databricks import setup
from athlete_assets.settings import Settings
from athlete_assets_tests.deployments.conftest import CLIENT_ID, CLIENT_SECRET
from athlete_assets_tests.fake_workspace import FakeWorkspace
from athlete_assets_tests.fake_workspace.rights import Rights
from athlete_assets_tests.fake_workspace.server import Answer, Request
from athlete_assets_tests.fake_workspace.warehouse import Warehouses

pytestmark = pytest.mark.filterwarnings("ignore")
SIGN_IN = ("DATABRICKS_TOKEN", "DATABRICKS_CLIENT_ID", "DATABRICKS_CLIENT_SECRET", "ARM_CLIENT_ID")


@pytest.fixture
def rights(workspace: FakeWorkspace) -> Rights:
    return Rights(workspace)


@pytest.fixture
def empty(workspace: FakeWorkspace, rights: Rights, monkeypatch: pytest.MonkeyPatch) -> FakeWorkspace:
    """A workspace as a platform team hands it over: a catalog with silver in it, an administrator, nothing of ours."""
    workspace.enforce_rights = True
    workspace.create_securable("catalog", "uc_athlete_data")
    workspace.create_securable("schema", "uc_athlete_data.silver")
    workspace.admins.add("admin")
    workspace.add_token("admin-token", "admin")
    for name in SIGN_IN:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DATABRICKS_HOST", workspace.url)
    monkeypatch.setenv("ATHLETE_DEPLOYMENT", "databricks")
    monkeypatch.setenv("ATHLETE_DATABRICKS_CLUSTER_ID", "shared")
    monkeypatch.setenv("ATHLETE_DATABRICKS_SERVICE_PRINCIPAL", CLIENT_ID)
    monkeypatch.setenv("ATHLETE_DATABRICKS_READERS", "runners")
    return workspace


def as_administrator(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in SIGN_IN:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DATABRICKS_TOKEN", "admin-token")


def as_service_principal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DATABRICKS_TOKEN", raising=False)
    monkeypatch.setenv("DATABRICKS_CLIENT_ID", CLIENT_ID)
    monkeypatch.setenv("DATABRICKS_CLIENT_SECRET", CLIENT_SECRET)


def state(workspace: FakeWorkspace) -> str:
    return repr((workspace.securables, workspace.grants, workspace.secrets, workspace.policies, workspace.permissions))


def test_a_dry_run_prints_the_sql_and_changes_nothing(
    empty: FakeWorkspace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    as_administrator(monkeypatch)
    before = state(empty)
    assert cli.main(["databricks", "init", "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert "FAILED" not in said
    assert state(empty) == before
    assert {request.method for request in empty.requests("/api/")} == {"GET"}
    for sql in (
        "CREATE SCHEMA `uc_athlete_data`.`feature_store`",
        "CREATE VOLUME `uc_athlete_data`.`monitoring`.`staging`",
        f"GRANT USE SCHEMA, SELECT, MODIFY, CREATE TABLE ON SCHEMA `uc_athlete_data`.`gold` TO `{CLIENT_ID}`",
        "GRANT USE SCHEMA, SELECT ON SCHEMA `uc_athlete_data`.`gold` TO `runners`",
        '"scope": "athlete-assets"',
        '/experiments/create {"name": "/Shared/athlete_assets"}',
        "PATCH /api/2.0/permissions/clusters/",
    ):
        assert sql in said, sql


def test_init_makes_what_check_needs_and_a_second_time_makes_nothing(
    empty: FakeWorkspace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    as_administrator(monkeypatch)
    assert cli.main(["databricks", "init"]) == 0, capsys.readouterr().out
    made = state(empty)
    journal = len(empty.journal)
    assert cli.main(["databricks", "init"]) == 0
    assert state(empty) == made
    assert {request.method for request in empty.journal[journal:]} == {"GET"}

    as_service_principal(monkeypatch)
    capsys.readouterr()
    assert cli.main(["databricks", "check"]) == 0, capsys.readouterr().out
    said = capsys.readouterr().out
    assert "ok    schema uc_athlete_data.models" in said
    assert "ok    staging folder: /Volumes/uc_athlete_data/monitoring/staging" in said
    assert "FAIL" not in said
    assert empty.staged_files() == {}, "the trial file is gone"
    readers = empty.grants[("schema", "uc_athlete_data.gold")]["runners"]
    assert readers == {"USE_SCHEMA", "SELECT"}
    assert "runners" not in empty.grants[("volume", "uc_athlete_data.monitoring.staging")]
    assert "runners" not in empty.grants.get(("schema", "uc_athlete_data.silver_rejects"), {})


def test_without_the_right_init_says_what_someone_else_must_do(
    empty: FakeWorkspace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    as_service_principal(monkeypatch)
    assert cli.main(["databricks", "init"]) == 1
    said = capsys.readouterr().out
    assert "does not have CREATE SCHEMA on Catalog 'uc_athlete_data'" in said
    assert "to be done by someone with the right: CREATE SCHEMA `uc_athlete_data`.`feature_store`" in said


def test_check_says_each_missing_right_and_what_to_do(
    empty: FakeWorkspace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    as_administrator(monkeypatch)
    cli.main(["databricks", "init"])
    empty.grants[("schema", "uc_athlete_data.gold")][CLIENT_ID].remove("MODIFY")
    volume = empty.grants[("volume", "uc_athlete_data.monitoring.staging")]
    volume["everyone"] = {"READ_VOLUME"}
    volume[CLIENT_ID].add("MANAGE")
    empty.securables["schema"].remove("uc_athlete_data.models")
    monkeypatch.setenv("ATHLETE_DATABRICKS_CLUSTER_ID", "gone")
    monkeypatch.setenv("ATHLETE_DATABRICKS_SECRETS", "KEY=athlete-assets/key")
    as_service_principal(monkeypatch)
    capsys.readouterr()
    assert cli.main(["databricks", "check"]) == 1
    failures = [line for line in capsys.readouterr().out.splitlines() if line.startswith("FAIL")]
    expected = [
        f"schema uc_athlete_data.gold: no MODIFY for {CLIENT_ID}; GRANT MODIFY ON SCHEMA `uc_athlete_data`.`gold`",
        "schema uc_athlete_data.models: it does not exist; it is made by `athlete-assets databricks init`",
        "staging folder is nobody else's: everyone, somebody can read it or let themselves in",
        "secrets: scope athlete-assets has no key key (for KEY)",
        "cluster: Cluster gone does not exist",
        "model registry: Schema 'uc_athlete_data.models' does not exist",
    ]
    assert len(failures) == len(expected), failures
    for failure, said in zip(failures, expected, strict=True):
        assert said in failure


def test_the_warehouse_is_granted_and_tried_and_its_quiet_day_is_told(
    empty: FakeWorkspace,
    sail: SparkSession,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    warehouse = Warehouses(empty, sail, tmp_path / "tables").add("w-1", users=set())
    monkeypatch.setenv("ATHLETE_DATABRICKS_WAREHOUSE_ID", "w-1")
    as_service_principal(monkeypatch)
    assert cli.main(["databricks", "check"]) == 1
    assert "FAIL  SQL warehouse: SQL warehouse w-1: You do not have permission" in (said := capsys.readouterr().out)
    assert "needed is CAN USE on SQL warehouse w-1" in said
    as_administrator(monkeypatch)
    assert cli.main(["databricks", "init", "--dry-run"]) == 0
    assert "PATCH /api/2.0/permissions/warehouses/w-1" in capsys.readouterr().out
    assert cli.main(["databricks", "init"]) == 0
    as_service_principal(monkeypatch)
    assert cli.main(["databricks", "check"]) == 0
    said = capsys.readouterr().out
    assert "ok    SQL warehouse: w-1 (2X-Small); looked at every 3600 s, stops after 10 min: 24 starts and 4 h" in said
    assert warehouse.starts == 1
    monkeypatch.setenv("ATHLETE_DATABRICKS_WAREHOUSE_ID", "gone")
    assert cli.main(["databricks", "check"]) == 1
    assert "ATHLETE_DATABRICKS_WAREHOUSE_ID=gone: the workspace has no such SQL warehouse" in capsys.readouterr().out


def test_commands_on_local_tables_refuse_the_databricks_deployment(
    empty: FakeWorkspace, capsys: pytest.CaptureFixture[str]
) -> None:
    for command in ("run", "import", "status"):
        assert cli.main([command]) == 2
        assert "on Databricks silver is your pipeline's" in capsys.readouterr().err


def test_a_sign_in_that_fails_is_one_line(
    empty: FakeWorkspace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DATABRICKS_TOKEN", "wrong")
    assert cli.main(["databricks", "check"]) == 1
    assert "FAIL  sign-in" in capsys.readouterr().out


@pytest.mark.slow
def test_a_check_that_runs_imports_the_code_location_on_the_cluster(
    empty: FakeWorkspace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    as_administrator(monkeypatch)
    cli.main(["databricks", "init"])
    monkeypatch.setenv("ATHLETE_DATABRICKS_POLL_S", "0.1")
    as_service_principal(monkeypatch)
    capsys.readouterr()
    assert cli.main(["databricks", "check", "--run"]) == 0, [run.output for run in empty.runs]
    said = capsys.readouterr().out
    assert f"Python {sys.version.split()[0]}" in said
    assert [Path(path).suffix for path in empty.staged_files()] == [".zip"], "only the code stays"


def test_init_grants_what_new_clusters_need_and_says_the_policy_to_set(
    empty: FakeWorkspace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("ATHLETE_DATABRICKS_CLUSTER_ID")
    monkeypatch.setenv("ATHLETE_DATABRICKS_POOL_ID", "pool-1")
    empty.pools.add("pool-1")
    as_administrator(monkeypatch)
    assert cli.main(["databricks", "init"]) == 0, capsys.readouterr().out
    said = capsys.readouterr().out
    assert "note      set ATHLETE_DATABRICKS_POLICY_ID=policy-1 (cluster policy athlete-assets)" in said
    held = {
        kind: {entry["permission_level"] for entry in entries}
        for kind, entries in empty.permissions.items()
        if not kind.startswith("experiments")
    }
    assert held == {"instance-pools/pool-1": {"CAN_ATTACH_TO"}, "cluster-policies/policy-1": {"CAN_USE"}}
    as_service_principal(monkeypatch)
    monkeypatch.setenv("ATHLETE_DATABRICKS_POLICY_ID", "policy-1")
    assert cli.main(["databricks", "check"]) == 0, capsys.readouterr().out
    empty.permissions.pop("cluster-policies/policy-1")
    empty.policies["policy-2"] = {"policy_id": "policy-2", "name": "the platform's"}
    assert cli.main(["databricks", "check"]) == 1
    assert f"FAIL  cluster: {CLIENT_ID} does not have permission on cluster-policies policy-1" in (
        capsys.readouterr().out
    )

    # a policy that the platform team made: granted, not replaced by one of ours
    as_administrator(monkeypatch)
    monkeypatch.setenv("ATHLETE_DATABRICKS_POLICY_ID", "policy-2")
    assert cli.main(["databricks", "init"]) == 0
    said = capsys.readouterr().out
    assert "cluster policy policy-2: CAN USE" in said
    assert "cluster policy athlete-assets" not in said
    assert [entry["service_principal_name"] for entry in empty.permissions["cluster-policies/policy-2"]] == [CLIENT_ID]


def test_rights_by_groups_of_groups_and_by_all_privileges_above_count(
    empty: FakeWorkspace, rights: Rights, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What a platform team does: everything to one group, on the catalog, and the principal in a group of it."""
    rights.groups = {"jobs": {CLIENT_ID}, "platform": {"jobs"}}
    for name in ("silver_rejects", "feature_store", "gold", "monitoring", "models"):
        empty.create_securable("schema", f"uc_athlete_data.{name}")
    empty.create_securable("volume", "uc_athlete_data.monitoring.staging")
    empty.grants[("catalog", "uc_athlete_data")] = {"platform": {"ALL_PRIVILEGES"}}
    monkeypatch.setenv("ATHLETE_DATABRICKS_READERS", "")
    as_administrator(monkeypatch)
    assert cli.main(["databricks", "init"]) == 0, capsys.readouterr().out
    said = capsys.readouterr().out
    assert "made      grant" not in said
    assert "note      volume uc_athlete_data.monitoring.staging, where steps are staged, can be read" in said
    assert empty.grants == {("catalog", "uc_athlete_data"): {"platform": {"ALL_PRIVILEGES"}}}
    as_service_principal(monkeypatch)
    assert cli.main(["databricks", "check"]) == 0, capsys.readouterr().out
    assert f"ok    sign-in: {CLIENT_ID} (service principal), in jobs, platform" in capsys.readouterr().out


def test_an_owner_lacks_what_lies_in_the_schema_and_may_grant_it_to_itself(
    empty: FakeWorkspace, rights: Rights, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    as_administrator(monkeypatch)
    assert cli.main(["databricks", "init"]) == 0
    gold = empty.grants[("schema", "uc_athlete_data.gold")]
    del gold[CLIENT_ID]
    volume = ("volume", "uc_athlete_data.monitoring.staging")
    del empty.grants[volume]
    rights.owners = {("schema", "uc_athlete_data.gold"): CLIENT_ID, volume: CLIENT_ID}
    as_service_principal(monkeypatch)
    capsys.readouterr()
    assert cli.main(["databricks", "check"]) == 1
    said = capsys.readouterr().out
    (failure,) = [line for line in said.splitlines() if line.startswith("FAIL")]
    assert f"no MODIFY, SELECT for {CLIENT_ID}; GRANT MODIFY, SELECT ON SCHEMA `uc_athlete_data`.`gold`" in failure
    assert "which it may do itself" in failure
    assert "ok    staging folder is nobody else's\n" in said


def test_check_asks_nothing_that_is_not_the_service_principals_to_see(
    empty: FakeWorkspace, rights: Rights, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    as_administrator(monkeypatch)
    assert cli.main(["databricks", "init"]) == 0
    answered, statuses = empty.answer, []

    def answer(request: Request) -> Answer:
        given = answered(request)
        statuses.append((given.status, request.path))
        return given

    monkeypatch.setattr(empty, "answer", answer)
    as_service_principal(monkeypatch)
    assert cli.main(["databricks", "check"]) == 0, capsys.readouterr().out
    assert [path for status, path in statuses if status in (401, 403)] == []
    said = capsys.readouterr().out
    assert "ok    experiment: /Shared/athlete_assets" in said
    assert "ok    model registry: uc_athlete_data.models" in said
    assert "not this principal's to see" in said
    assert rights.registered == set(), "the model on trial is gone"


def test_experiment_and_registry_are_tried(
    empty: FakeWorkspace, rights: Rights, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    as_administrator(monkeypatch)
    assert cli.main(["databricks", "init"]) == 0
    for kind in [kind for kind in empty.permissions if kind.startswith("experiments/")]:
        empty.permissions.pop(kind)
    empty.grants[("schema", "uc_athlete_data.models")][CLIENT_ID].remove("CREATE_MODEL")
    as_service_principal(monkeypatch)
    capsys.readouterr()
    assert cli.main(["databricks", "check"]) == 1
    said = capsys.readouterr().out
    assert f"FAIL  experiment: {CLIENT_ID} does not have permission on experiments" in said
    assert "FAIL  model registry: User does not have CREATE MODEL on Schema 'uc_athlete_data.models'" in said


def test_the_policy_fixes_what_the_settings_say() -> None:
    settings = Settings(databricks_pool_id="pool", databricks_max_workers=6, databricks_tags={"team": "running"})
    rules = setup.policy_definition(settings)
    assert rules["instance_pool_id"] == {"type": "fixed", "value": "pool"}
    assert rules["autoscale.max_workers"]["maxValue"] == 6
    assert rules["custom_tags.team"] == {"type": "fixed", "value": "running"}
