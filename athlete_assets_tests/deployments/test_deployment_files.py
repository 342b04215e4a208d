"""The deployment files say what their readers accept, and the self-hosted instance keeps its runs in PostgreSQL."""

from __future__ import annotations

import importlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import click
import dagster as dg
import pytest
import yaml
from dagster._core.instance.config import dagster_instance_config
from dagster._core.workspace.config_schema import process_workspace_config

from athlete_assets.deployments.databricks.config import step_environment
from athlete_assets.errors import SettingsError
from athlete_assets.models import registry
from athlete_assets.settings import Settings

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"


@pytest.mark.parametrize(
    "file", [ROOT / "dagster_cloud.yaml", DEPLOY / "dagster_cloud_hybrid.yaml"], ids=lambda p: p.stem
)
def test_dagster_plus_accepts_its_file_and_the_location_loads_by_that_name(file: Path) -> None:
    models = pytest.importorskip("dagster_cloud_cli.config.models")
    location = models.load_dagster_cloud_yaml(file.read_text()).locations[0]
    assert location.location_name == "athlete_assets"
    assert (file.parent / location.build.directory / "Dockerfile").is_file()
    assert isinstance(importlib.import_module(location.code_source.module_name).defs, dg.Definitions)


def serverless_check(project: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """The serverless builder's own collection of requirements and its own check of what they resolved to.

    Only the resolution itself is replaced: each requirement becomes one wheel of that name.
    """
    from packaging import version as versions
    from packaging.requirements import Requirement

    deps = pytest.importorskip("dagster_cloud_cli.core.pex_builder.deps")
    _, requirements = deps.get_deps_requirements(str(project), versions.Version("3.12"))
    names = {
        Requirement(line).name.replace("-", "_") for line in requirements.requirements_txt.splitlines() if line.strip()
    }
    info = {"pex_hash": "0", "distributions": {f"{name}-1.0-py3-none-any.whl": "" for name in names}}
    monkeypatch.setattr(
        deps, "build_deps_from_requirements_file", lambda _, output_pex_path, pex_flags: Path(output_pex_path).touch()
    )
    monkeypatch.setattr(deps.util, "get_pex_info", lambda path: info)
    deps.build_deps_from_requirements(requirements, str(tmp_path / "out"), deps.BuildMethod.LOCAL)
    return str(requirements.requirements_txt)


def test_the_serverless_builder_accepts_the_project(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("dagster_cloud_cli.core.pex_builder.util.python_interpreter_for", lambda _: sys.executable)
    requirements = serverless_check(ROOT, monkeypatch, tmp_path)
    assert f"dagster-cloud=={version('dagster')}" in requirements, "the version of dagster itself"
    without = tmp_path / "without"
    without.mkdir()
    text = (ROOT / "pyproject.toml").read_text()
    (without / "pyproject.toml").write_text(
        "\n".join(line for line in text.splitlines() if "dagster-cloud==" not in line)
    )
    with pytest.raises(ValueError, match="The dagster_cloud package dependency was expected but not found"):
        serverless_check(without, monkeypatch, tmp_path)


def test_the_image_has_what_a_hybrid_agent_starts() -> None:
    install = next(line for line in (ROOT / "Dockerfile").read_text().splitlines() if "pip install" in line)
    extras = install.split(".[")[1].split("]")[0].split(",")
    assert {"cloud", "postgres"} <= set(extras)


def test_a_branch_deployment_never_writes_productions_tables() -> None:
    """Dagster+ gives a branch deployment the variables of production, and says that it is one."""
    production = {
        "ATHLETE_DEPLOYMENT": "databricks",
        "ATHLETE_CATALOG": "prod",
        "ATHLETE_DATABRICKS_STAGING": "/Volumes/a/b/c",
    }
    branch = {**production, "DAGSTER_CLOUD_IS_BRANCH_DEPLOYMENT": "1"}
    for wrong in ({}, {"ATHLETE_BRANCH_CATALOG": "prod"}):
        with pytest.raises(SettingsError, match="must not write the tables of prod: set ATHLETE_BRANCH_CATALOG"):
            Settings.load({**branch, **wrong})
    settings = Settings.load({**branch, "ATHLETE_BRANCH_CATALOG": "dev"})
    assert settings.catalog == "dev"
    assert settings.databricks_staging == "/Volumes/a/b/c/dev", "and its steps are told apart from production's"
    assert settings.mlflow_experiment == "/Shared/athlete_assets_branches"
    assert registry.model_name("time_estimator", settings).startswith("dev.")
    on_cluster = Settings.load(step_environment(settings))
    assert (on_cluster.catalog, on_cluster.mlflow_experiment) == ("dev", "/Shared/athlete_assets_branches")
    assert Settings.load({**production, "ATHLETE_BRANCH_CATALOG": "dev"}).catalog == "prod"


def test_pools_are_given_back_by_the_sensor_that_knows_what_still_writes() -> None:
    monitoring = yaml.safe_load((DEPLOY / "dagster.yaml").read_text())["run_monitoring"]
    assert "free_slots_after_run_end_seconds" not in monitoring


def test_the_self_hosted_services_find_each_other() -> None:
    services = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]
    workspace = yaml.safe_load((DEPLOY / "workspace.yaml").read_text())
    assert process_workspace_config(workspace).success
    server = workspace["load_from"][0]["grpc_server"]
    dockerfile = (ROOT / "Dockerfile").read_text()
    assert server["host"] in services
    assert f'"-p", "{server["port"]}", "-m", "athlete_assets.definitions"' in dockerfile
    for name in ("code", "webserver", "daemon"):
        environment = services[name]["environment"]
        assert environment["DAGSTER_PG_HOST"] in services
        if name != "code":
            assert not any("DATABRICKS" in variable for variable in environment), f"{name} does not sign in"
        assert services[name]["volumes"] == ["storage:/opt/dagster/home/storage"], f"{name} shares what steps print"
        assert services[name]["stop_grace_period"] == "3m"
    assert "/opt/dagster/home/storage" in dockerfile
    assert all("127.0.0.1" in port for port in services["webserver"]["ports"])


def test_only_what_the_image_needs_is_sent_to_its_build() -> None:
    copied = {
        word.split("/")[0]
        for line in (ROOT / "Dockerfile").read_text().splitlines()
        if line.startswith("COPY") and "--from" not in line
        for word in line.split()[1:-1]
    }
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert copied == allowed
    assert all((ROOT / name).exists() for name in copied)


def test_what_the_containers_call_are_commands_that_there_are() -> None:
    """The image's own command, those of the services, and their healthchecks, parsed as Dagster parses them."""
    from dagster._cli import create_dagster_cli
    from dagster._daemon.cli import create_dagster_daemon_cli
    from dagster_webserver.cli import dagster_webserver

    programs: dict[str, Any] = {
        "dagster": create_dagster_cli(),
        "dagster-daemon": create_dagster_daemon_cli(),
        "dagster-webserver": dagster_webserver,
    }
    text = (ROOT / "Dockerfile").read_text()
    called = [json.loads(line.removeprefix("CMD ")) for line in text.splitlines() if line.startswith("CMD ")]
    for service in yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"].values():
        called += [command] if (command := service.get("command")) else []
        check = service.get("healthcheck", {}).get("test", [])
        called += [check[1:]] if check[:1] == ["CMD"] else []
    assert len(called) >= 4
    for program, *words in called:
        command = programs[program]
        while isinstance(command, click.Group):
            command, words = command.commands[words[0]], words[1:]
        command.make_context(program, words)


def test_the_workflow_runs_what_the_makefile_has() -> None:
    workflow = yaml.safe_load((ROOT / ".github/workflows/test.yml").read_text())
    makefile = (ROOT / "Makefile").read_text()
    commands = [step["run"] for job in workflow["jobs"].values() for step in job["steps"] if "run" in step]
    assert {"make check", "make test", "make test-beside", "make audit", "make image"} <= set(commands)
    for command in commands:
        assert f"\n{command.split()[1]}:" in makefile


def postgres_program(name: str) -> str | None:
    """Where a program of the newest PostgreSQL lies: Debian keeps them off the PATH."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda folder: float(folder.parent.name))
    return shutil.which(name, path=os.pathsep.join([*map(str, reversed(folders)), os.environ.get("PATH", "")]))


@pytest.fixture(scope="module")
def postgres() -> Iterator[int]:
    """A PostgreSQL server of its own on loopback; its port."""
    programs = {name: postgres_program(name) for name in ("initdb", "postgres", "pg_isready")}
    if None in programs.values():
        pytest.skip("PostgreSQL is not installed; on Debian: apt-get install postgresql")
    folder = Path(tempfile.mkdtemp(prefix="athlete_postgres_"))  # pytest's own folders are closed to other users
    user: str | None = None
    if os.getuid() == 0:  # PostgreSQL refuses to run as root
        user = "postgres"
        shutil.chown(folder, user)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    data = str(folder / "data")
    run = {"user": user, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": folder}
    subprocess.run([programs["initdb"], "-D", data, "-U", "dagster", "-A", "trust", "--no-sync"], check=True, **run)  # type: ignore[call-overload]
    options = ["-p", str(port), "-h", "127.0.0.1", "-k", str(folder), "-F"]
    server = subprocess.Popen([programs["postgres"], "-D", data, *options], **run)  # type: ignore[call-overload]
    try:
        deadline = time.monotonic() + 90
        while subprocess.run([programs["pg_isready"], "-h", "127.0.0.1", "-p", str(port)], **run).returncode != 0:  # type: ignore[call-overload]
            if time.monotonic() > deadline or server.poll() is not None:
                pytest.fail("PostgreSQL is installed and does not start")
            time.sleep(0.1)
        yield port
    finally:
        server.terminate()
        server.wait(timeout=20)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.slow
def test_the_self_hosted_instance_keeps_runs_and_events_in_postgresql(
    postgres: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"HOST": "127.0.0.1", "USER": "dagster", "PASSWORD": "x", "DB": "postgres"}.items():
        monkeypatch.setenv(f"DAGSTER_PG_{name}", value)
    text = (DEPLOY / "dagster.yaml").read_text()
    assert "port: 5432" in text
    (tmp_path / "dagster.yaml").write_text(text.replace("port: 5432", f"port: {postgres}"))
    _, _ = dagster_instance_config(str(tmp_path))

    @dg.asset
    def table() -> dg.MaterializeResult:
        return dg.MaterializeResult(metadata={"rows": 3})

    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        assert dg.materialize([table], instance=instance).success
    with dg.DagsterInstance.from_config(str(tmp_path)) as again:
        event = again.get_latest_materialization_event(dg.AssetKey("table"))
        assert event is not None
        assert event.asset_materialization is not None
        assert event.asset_materialization.metadata["rows"].value == 3
    assert not list(tmp_path.rglob("*.db")), "no SQLite file lies beside it"
