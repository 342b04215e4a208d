"""The launcher's configuration from settings, and what can be known to be wrong before anything is sent."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg
from pydantic import SecretStr

import athlete_assets
from athlete_assets.deployments.databricks.libraries import FEATURE_CLIENT, pinned_libraries
from athlete_assets.errors import SettingsError
from athlete_assets.settings import PREFIX, Settings

if TYPE_CHECKING:
    from databricks.sdk import WorkspaceClient

    from athlete_assets.deployments.databricks.launcher import MendedStepLauncher

RUNTIMES = {"15.4": ("3.5", "3.11"), "16.4": ("3.5", "3.12"), "17.3": ("4.0", "3.12")}
"""Long-term runtimes: their Spark and Python minor versions."""
LOCAL_ONLY = re.compile(
    r"(home|deployment|engine|spark_memory_gb|ui_url|branch_catalog)$|(databricks_(?!table_|experiment)|alert|sensor|schedule)"
)
"""Settings of the orchestrator: where it works, whom it tells. A step computes the same without them."""


@dataclass(frozen=True)
class Credentials:
    """Who the orchestrator is to the workspace: exactly one way to sign in. Its text form shows no secret."""

    host: str
    arguments: Mapping[str, Any]
    kind: str

    def __repr__(self) -> str:
        return f"Credentials(host={self.host!r}, kind={self.kind!r})"

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Credentials:
        """From DATABRICKS_HOST and one of: DATABRICKS_CLIENT_ID + _SECRET (service principal), ARM_CLIENT_ID + _SECRET
        + ARM_TENANT_ID (Azure), DATABRICKS_TOKEN. Raises SettingsError where none or more than one is there.
        """
        ways = {
            "service principal": ("DATABRICKS_CLIENT_ID", "DATABRICKS_CLIENT_SECRET"),
            "azure": ("ARM_CLIENT_ID", "ARM_CLIENT_SECRET", "ARM_TENANT_ID"),
            "token": ("DATABRICKS_TOKEN",),
        }
        host = environment.get("DATABRICKS_HOST", "")
        if not host:
            raise SettingsError("DATABRICKS_HOST is not set: it is the workspace's address, https://…")
        begun = {kind: names for kind, names in ways.items() if any(environment.get(name) for name in names)}
        if not begun:
            choices = "; or ".join(" and ".join(names) for names in ways.values())
            raise SettingsError(f"no credentials for {host}: set {choices}")
        if len(begun) > 1:
            given = sorted(name for names in begun.values() for name in names if environment.get(name))
            raise SettingsError(f"{' and '.join(given)} are set together: keep one way to sign in to {host}")
        kind, names = next(iter(begun.items()))
        missing = [name for name in names if not environment.get(name)]
        if missing:
            raise SettingsError(f"{' and '.join(missing)} is missing for the sign-in to {host} as {kind}")
        values = [environment[name] for name in names]
        arguments: dict[str, Any]
        if kind == "service principal":
            arguments = {"oauth_credentials": {"client_id": values[0], "client_secret": values[1]}}
        elif kind == "azure":
            names = ("azure_client_id", "azure_client_secret", "azure_tenant_id")
            arguments = {"azure_credentials": dict(zip(names, values, strict=True))}
        else:
            arguments = {"databricks_token": values[0]}
        return cls(host, arguments, kind)

    def client(self, patience_s: int | None = None) -> WorkspaceClient:
        """A client that signs in this way and no other, whatever else the environment says.

        patience_s: how long it tries again where the workspace is busy or out of reach; the SDK's own 300 s without.
        """
        from dagster_databricks.databricks import WorkspaceClientFactory
        from databricks.sdk import WorkspaceClient

        oauth = self.arguments.get("oauth_credentials") or {}
        azure = self.arguments.get("azure_credentials") or {}
        client = WorkspaceClientFactory(
            host=self.host,
            token=self.arguments.get("databricks_token"),
            oauth_client_id=oauth.get("client_id"),
            oauth_client_secret=oauth.get("client_secret"),
            azure_client_id=azure.get("azure_client_id"),
            azure_client_secret=azure.get("azure_client_secret"),
            azure_tenant_id=azure.get("azure_tenant_id"),
        ).get_workspace_client()
        if patience_s is None:
            return client
        config = client.config.copy()
        config.retry_timeout_seconds = patience_s
        return WorkspaceClient(config=config)


def step_launcher(settings: Settings) -> dg.ResourceDefinition:
    """The step launcher of this process: none outside the Databricks deployment and inside a step's own process.

    Credentials are read when a step begins, so that they are in no configuration, snapshot or log.
    """
    from dagster._core.definitions.no_step_launcher import no_step_launcher

    if settings.deployment != "databricks" or settings.databricks_on_cluster:
        return no_step_launcher

    @dg.resource(description=f"runs each step on Databricks ({settings.databricks_launcher} launcher)")
    def launcher(_: dg.InitResourceContext) -> Any:
        from dagster_databricks.databricks_pyspark_step_launcher import DatabricksPySparkStepLauncher

        before_first_run(settings)
        if settings.databricks_launcher == "stock":
            return DatabricksPySparkStepLauncher(**launcher_arguments(settings, Credentials.from_environment()))
        return mended_launcher(settings)

    return launcher


def pipes_door(settings: Settings) -> dg.ResourceDefinition:
    """What runs assets' bodies through Dagster Pipes: None where another door is set, and inside such a body."""
    if settings.databricks_door != "pipes" or settings.databricks_on_cluster:
        return dg.ResourceDefinition.none_resource()

    @dg.resource(description="runs each asset's body on Databricks (Dagster Pipes)")
    def door(_: dg.InitResourceContext) -> Any:
        from athlete_assets.deployments.databricks.pipes import PipesDoor

        before_first_run(settings)
        return PipesDoor(mended_launcher(settings))

    return door


def mended_launcher(settings: Settings) -> MendedStepLauncher:
    """Our launcher as the settings say, signed in from the environment."""
    from athlete_assets.deployments.databricks.launcher import MendedStepLauncher

    return MendedStepLauncher(
        cluster_retries=cluster_retries(settings),
        pinned=pinned_libraries(settings),
        cluster_a_run=settings.databricks_cluster_for == "run",
        at_least=FEATURE_CLIENT if settings.databricks_feature_client == "cluster" else {},
        **launcher_arguments(settings, Credentials.from_environment()),
    )


def cluster_retries(settings: Settings) -> dg.RetryPolicy | None:
    """How often, and after how many seconds, a step is tried again when its cluster failed it."""
    if settings.databricks_cluster_retries == 0:
        return None
    backoff, jitter = dg.Backoff.EXPONENTIAL, dg.Jitter.PLUS_MINUS
    return dg.RetryPolicy(settings.databricks_cluster_retries, delay=15, backoff=backoff, jitter=jitter)


def launcher_arguments(settings: Settings, credentials: Credentials) -> dict[str, Any]:
    """What either launcher is made with; the credentials are in it, so it must not be printed."""
    return {
        "run_config": run_config(settings),
        "permissions": _permissions(settings),
        "databricks_host": credentials.host,
        **credentials.arguments,
        "env_variables": step_environment(settings),
        "secrets_to_env_variables": secrets_of(settings),
        "local_dagster_job_package_path": str(Path(athlete_assets.__file__).resolve().parents[1]),
        "staging_prefix": staging_prefix(settings),
        "wait_for_logs": False,
        "max_completion_wait_time_seconds": settings.databricks_timeout_s,
        "poll_interval_sec": settings.databricks_poll_s,
        "verbose_logs": False,
    }


def staging_prefix(settings: Settings) -> str:
    """ATHLETE_DATABRICKS_STAGING, else the volume that `athlete-assets databricks init` makes."""
    return settings.databricks_staging or f"/Volumes/{settings.catalog}/monitoring/staging"


def run_config(settings: Settings) -> dict[str, Any]:
    """The launcher's `run_config`: an existing cluster, or a new one by policy, pool or node type."""
    cluster: dict[str, Any]
    if settings.databricks_cluster_id:
        cluster = {"existing": settings.databricks_cluster_id}
    else:
        cluster = {"new": _new_cluster(settings)}
    return {
        "cluster": cluster,
        "libraries": [{"pypi": {"package": package}} for package in _libraries(settings)]
        if settings.databricks_send_libraries
        else [],
        "install_default_libraries": False,  # all of them are named, each with its version
        "timeout_seconds": settings.databricks_timeout_s,
    }


def _new_cluster(settings: Settings) -> dict[str, Any]:
    if not (settings.databricks_pool_id or settings.databricks_node_type):
        raise SettingsError(
            "a new cluster needs ATHLETE_DATABRICKS_POOL_ID or ATHLETE_DATABRICKS_NODE_TYPE; or take an existing one "
            "by ATHLETE_DATABRICKS_CLUSTER_ID"
        )
    if "spark.master" in settings.databricks_spark_conf:
        raise SettingsError("setting ATHLETE_DATABRICKS_SPARK_CONF: spark.master is the cluster's own; leave it out")
    if 0 < settings.databricks_max_workers <= settings.databricks_workers:
        raise SettingsError(
            f"setting ATHLETE_DATABRICKS_MAX_WORKERS={settings.databricks_max_workers}: must be more than "
            f"ATHLETE_DATABRICKS_WORKERS={settings.databricks_workers}, or 0 for a fixed size"
        )
    scales = settings.databricks_max_workers > 0
    cluster: dict[str, Any] = {
        "spark_version": settings.databricks_spark_version,
        "nodes": {"instance_pool_id": settings.databricks_pool_id}
        if settings.databricks_pool_id
        else {"node_types": {"node_type_id": settings.databricks_node_type}},
        "size": {
            "autoscale": {"min_workers": settings.databricks_workers, "max_workers": settings.databricks_max_workers}
        }
        if scales
        else {"num_workers": settings.databricks_workers},
        "data_security_mode": settings.databricks_access_mode,
        "spark_conf": dict(settings.databricks_spark_conf),
        "custom_tags": [{"key": key, "value": value} for key, value in settings.databricks_tags.items()],
    }
    if settings.databricks_policy_id:
        cluster["policy_id"] = settings.databricks_policy_id
    return cluster


def _libraries(settings: Settings) -> list[str]:
    pinned = []
    for name in pinned_libraries(settings):
        try:
            pinned.append(f"{name}=={version(name)}")
        except PackageNotFoundError:
            raise SettingsError(
                f"{name} is not installed here: the cluster gets the versions of this process"
            ) from None
    further = settings.databricks_libraries
    loose = [package for package in further if "==" not in package]
    if loose:
        raise SettingsError(f"setting ATHLETE_DATABRICKS_LIBRARIES: {', '.join(loose)} has no version (name==version)")
    return pinned + further


def secrets_of(settings: Settings) -> list[dict[str, str]]:
    """The secrets that become environment variables of a step: name, scope, key."""
    secrets = []
    for item in settings.databricks_secrets:
        match = re.fullmatch(r"(\w+)=([^/=]+)/([^/=]+)", item)
        if match is None:
            raise SettingsError(f"setting ATHLETE_DATABRICKS_SECRETS: {item!r} is not NAME=scope/key")
        secrets.append({"name": match[1], "scope": match[2], "key": match[3]})
    return secrets


def _permissions(settings: Settings) -> dict[str, Any]:
    rights = {"CAN_VIEW": settings.databricks_viewers, "CAN_MANAGE_RUN": settings.databricks_operators}
    granted = {level: [{"group_name": group} for group in groups] for level, groups in rights.items() if groups}
    return {"job_permissions": granted} if granted else {}


def step_environment(settings: Settings) -> dict[str, str]:
    """The settings that a step's process needs to compute the same as here: those that are not the defaults."""
    environment = {f"{PREFIX}DEPLOYMENT": "databricks", f"{PREFIX}DATABRICKS_ON_CLUSTER": "true"}
    for name, value in settings.model_dump(mode="json", exclude_defaults=True, exclude_none=True).items():
        if not LOCAL_ONLY.match(name) and not isinstance(getattr(settings, name), SecretStr):
            text = json.dumps(value) if isinstance(value, (list, dict)) else str(value)
            environment[f"{PREFIX}{name.upper()}"] = text
    return environment


def before_first_run(settings: Settings) -> None:
    """Raises SettingsError for what would fail on the cluster and is known here: runtime, Spark, Python, libraries."""
    run_config(settings)
    if settings.databricks_launcher == "stock" and settings.databricks_feature_client == "cluster":
        raise SettingsError(
            "setting ATHLETE_DATABRICKS_FEATURE_CLIENT=cluster: the stock launcher needs dagster-databricks on the "
            "cluster, which excludes the SDK of newer clients; use ATHLETE_DATABRICKS_LAUNCHER=mended"
        )
    if settings.databricks_cluster_id:
        return  # its runtime is compared by `athlete-assets databricks check` and by the step itself
    match_runtime(settings.databricks_spark_version, settings)


def match_runtime(spark_version: str, settings: Settings) -> None:
    """Compares a runtime such as 17.3.x-scala2.13 with what is installed here; unknown ones are left to the step."""
    release = re.match(r"\d+\.\d+", spark_version)
    if release is None or release[0] not in RUNTIMES:
        return
    spark, python = RUNTIMES[release[0]]
    installed = version("pyspark")
    if not installed.startswith(f"{spark}."):
        raise SettingsError(
            f"runtime {spark_version} has Spark {spark}, and pyspark {installed} is installed here: choose a runtime "
            f"with the same Spark by ATHLETE_DATABRICKS_SPARK_VERSION"
        )
    here = f"{sys.version_info.major}.{sys.version_info.minor}"
    if settings.databricks_launcher == "stock" and here != python:
        raise SettingsError(
            f"runtime {spark_version} has Python {python}, and this process Python {here}: the stock launcher sends "
            "pickles, which need the same minor version on both sides; use it, or ATHLETE_DATABRICKS_LAUNCHER=mended"
        )
