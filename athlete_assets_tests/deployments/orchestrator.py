"""An orchestrator: a process that materialises selections of the product's assets, one Dagster run each.

    python -m athlete_assets_tests.deployments.orchestrator '[[["gold/predictions"], "2024-01-01", "2024-01-02"]]'

Each selection names its assets, and the first and last partition or null. Its deployment, instance and credentials
come from the environment, as in production.
"""

from __future__ import annotations

import json
import sys

import dagster as dg
from dagster._core.definitions.reconstruct import ReconstructableRepository


def main(selections: list[tuple[list[str], str | None, str | None]]) -> int:
    """0 where every run succeeded, else 1; the first run that fails is the last one."""
    repository = ReconstructableRepository.for_module("athlete_assets.definitions", "defs")
    job = repository.get_reconstructable_job("__ASSET_JOB")
    with dg.DagsterInstance.get() as instance:
        for assets, first, last in selections:
            window = {"dagster/asset_partition_range_start": first, "dagster/asset_partition_range_end": last}
            tags = {key: value for key, value in window.items() if value is not None}
            keys = [dg.AssetKey(name.split("/")) for name in assets]
            # not as a context: that would make the resources anew
            if not dg.execute_job(job, instance, tags=tags, asset_selection=keys, raise_on_error=False).success:
                return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(json.loads(sys.argv[1])))
