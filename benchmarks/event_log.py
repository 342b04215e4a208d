"""Bookkeeping of one range run: Dagster's SQLite event log beside the batching one.

    python benchmarks/event_log.py [partitions] [assets]

Prints seconds and CPU seconds of an in-process run of assets that do nothing, each over a range of daily partitions,
so that all that is measured is Dagster's planning and reporting of partitions.
"""

import contextlib
import logging
import os
import sys
import tempfile
import time
import warnings
from datetime import date, timedelta
from pathlib import Path

import dagster as dg
import yaml

warnings.simplefilter("ignore")
STORAGES = {
    "stock": {"module": "dagster._core.storage.event_log", "class": "SqliteEventLogStorage"},
    "batching": {"module": "athlete_assets.deployments.event_log", "class": "BatchingSqliteEventLogStorage"},
}


def main(partitions: int = 1100, assets: int = 3) -> None:
    first = date(2020, 1, 1)
    last = first + timedelta(days=partitions - 1)
    days = dg.DailyPartitionsDefinition(str(first), end_date=str(last + timedelta(days=1)))

    def build(number: int) -> dg.AssetsDefinition:
        @dg.asset(name=f"table_{number}", partitions_def=days, backfill_policy=dg.BackfillPolicy.single_run())
        def table() -> dg.MaterializeResult:
            return dg.MaterializeResult(metadata={"rows": 1, "days": partitions, "version": 3})

        return table

    definitions = dg.Definitions(assets=[build(number) for number in range(assets)], executor=dg.in_process_executor)
    job = definitions.resolve_implicit_global_asset_job_def()
    for name, storage in STORAGES.items():
        with tempfile.TemporaryDirectory() as home:
            config = {
                "event_log_storage": {**storage, "config": {"base_dir": f"{home}/history/runs"}},
                "telemetry": {"enabled": False},
            }
            Path(home, "dagster.yaml").write_text(yaml.dump(config))
            os.environ["DAGSTER_EVENT_BATCH_SIZE"] = "2000"
            logging.disable(logging.CRITICAL)
            with dg.DagsterInstance.from_config(home) as instance, contextlib.redirect_stderr(None):
                started, cpu = time.monotonic(), time.process_time()
                job.execute_in_process(
                    instance=instance,
                    tags={
                        "dagster/asset_partition_range_start": str(first),
                        "dagster/asset_partition_range_end": str(last),
                    },
                )
                seconds, cpu = time.monotonic() - started, time.process_time() - cpu
        events = 2 * partitions * assets
        print(f"{name:9} {partitions} partitions x {assets} assets: {seconds:5.1f} s, {cpu:5.1f} CPU s", end="")
        print(f" ({1000 * cpu / events:.2f} ms an event)")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
