"""One cluster for all steps of a Dagster run: made by the first step, found by the others, ended after the run."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import dagster

if TYPE_CHECKING:
    from databricks.sdk import WorkspaceClient

NAME = re.compile(r"athlete_assets run ([0-9a-f-]{36})")
STAGING_TAG = "athlete_assets_staging"
"""Which deployment's cluster it is: where its steps are staged."""
IDLE_MINUTES = 20
"""After which the workspace itself ends a cluster: where nobody is left who could."""


@dataclass(frozen=True)
class RunCluster:
    cluster_id: str
    dagster_run_id: str
    asked_for: int
    """When, in ms since the epoch."""


class RunClusters:
    """The clusters of one deployment's Dagster runs. A cluster carries its run's id in its name."""

    def __init__(self, client: WorkspaceClient, prefix: str) -> None:
        self.client, self.prefix = client, prefix

    def all(self) -> Iterator[RunCluster]:
        for cluster in self.client.clusters.list():
            match = NAME.fullmatch(cluster.cluster_name or "")
            if match and cluster.cluster_id and (cluster.custom_tags or {}).get(STAGING_TAG) == self.prefix:
                yield RunCluster(cluster.cluster_id, match[1], cluster.start_time or 0)

    def of(self, dagster_run_id: str, described: Mapping[str, Any], patiently: Callable[..., Any]) -> str:
        """The id of the run's cluster, which is made where there is none.

        Steps that begin at the same time may make several: the one that was asked for first serves, and who made
        another one ends it.
        """
        if not (found := self._ids(dagster_run_id, patiently)):
            made = patiently(lambda: self._make(dagster_run_id, described))
            found = self._ids(dagster_run_id, patiently) or [made]
            if found[0] != made:
                patiently(lambda: self.end(made))
        return found[0]

    def end(self, cluster_id: str) -> None:
        """Ends the cluster for good; it is in no list afterwards."""
        self.client.clusters.permanent_delete(cluster_id)

    def _ids(self, dagster_run_id: str, patiently: Callable[..., Any]) -> list[str]:
        found: list[RunCluster] = patiently(lambda: list(self.all()))
        own = [cluster for cluster in found if cluster.dagster_run_id == dagster_run_id]
        return [cluster.cluster_id for cluster in sorted(own, key=lambda one: (one.asked_for, one.cluster_id))]

    def _make(self, dagster_run_id: str, described: Mapping[str, Any]) -> str:
        """`described` is the launcher's `run_config` of a new cluster, which the API wants flat."""
        body = {key: value for key, value in described.items() if key not in ("nodes", "size", "custom_tags")}
        nodes, tags = described["nodes"], described.get("custom_tags", [])
        body |= {**nodes.get("node_types", {}), **{key: nodes[key] for key in nodes if key != "node_types"}}
        body |= described["size"]
        body["custom_tags"] = {
            **{tag["key"]: tag["value"] for tag in tags},
            "__dagster_version": dagster.__version__,
            STAGING_TAG: self.prefix,
        }
        body["cluster_name"] = f"athlete_assets run {dagster_run_id}"
        body["autotermination_minutes"] = IDLE_MINUTES
        answer = self.client.api_client.do("POST", "/api/2.1/clusters/create", body=body)
        assert isinstance(answer, dict)
        return str(answer["cluster_id"])
