"""Do a cluster's steps pass a driver that can hold no table? Features, predictions and their log on Apache Spark.

    python benchmarks/small_driver.py [--athletes 2000] [--days 35] [--heap-mb 512] [--result-mb 16]

A home of half a year is filled here. Then its feature tables are made once more, and the predictions of its last days,
as on Databricks: through `UnityCatalogStore`, by two workers of a cluster on loopback (each a process with one core),
whose driver has a small heap and ends a statement whose results together are larger than the bound
(spark.driver.maxResultSize). As proof that the bound is one, the tables are fetched at the end.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cohort import LAST, Assets, home
from usage import in_its_own_process, options

sys.path.insert(0, str(Path(__file__).parents[1]))

import dagster as dg

from athlete_assets import definitions, tables
from athlete_assets.assets.builder import FEATURE_STORE, STORE
from athlete_assets.assets.models import model_key
from athlete_assets.days import Days
from athlete_assets.models.specs import MODELS
from athlete_assets.settings import Settings
from athlete_assets.store.embedded import EmbeddedFeatureStore
from athlete_assets.store.local import LocalStore
from athlete_assets.store.session import DELTA_PACKAGE
from athlete_assets.store.unity_catalog import UnityCatalogStore
from athlete_assets_tests.fake_feature_store.unity_spark import UnityCatalog

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

YEARS = 0.5
FROM_SILVER = (tables.ACTIVITY, tables.REJECTS)
STEPS: tuple[tuple[tables.Table, ...], ...] = (
    FROM_SILVER,
    (tables.DAILY,),
    (tables.WEEKLY,),
    (tables.ROLLING,),
    (tables.PERFORMANCE,),
    (tables.PREDICTIONS, tables.INFERENCE_LOG),
)
IN_ONE_COMMIT = 20_000_000
TOO_LARGE = "spark.driver.maxResultSize"


def main() -> None:
    parser = options(__doc__, athletes=2000, days=35, heap_mb=512, result_mb=16, worker_mb=1024, filled="")
    asked = parser.parse_args()
    if asked.filled:
        settings = Settings.model_validate_json(Path(asked.filled).read_text())
        print(json.dumps(on_spark(settings, asked.days, asked.heap_mb, asked.result_mb, asked.worker_mb)))
        return
    with tempfile.TemporaryDirectory(prefix="small_driver_") as scratch:
        filled = Path(scratch) / "settings.json"
        filled.write_text(fill(Path(scratch) / "home", asked.athletes).model_dump_json())
        given = [f"--{name}={getattr(asked, name.replace('-', '_'))}" for name in ("days", "heap-mb", "result-mb")]
        found = in_its_own_process(__file__, *given, f"--worker-mb={asked.worker_mb}", f"--filled={filled}")
    for name, outcome in {**found["steps"], **found["fetched"]}.items():
        print(f"{name:75}{outcome}")
    passed = sum(outcome.startswith("passed") for outcome in found["steps"].values())
    refused = sum(outcome.startswith("refused") for outcome in found["fetched"].values())
    print(
        f"{passed} of {len(STEPS)} steps passed a driver of {asked.heap_mb} MB that takes no more than "
        f"{asked.result_mb} MB at once; {refused} of {len(found['fetched'])} of their tables are larger"
    )
    if passed < len(STEPS):
        raise SystemExit(1)


def fill(path: Path, athletes: int) -> Settings:
    """A home with features, labels and models, made on this machine."""
    settings = home(path, athletes, YEARS, chunk_athlete_days=IN_ONE_COMMIT)
    assets = Assets(settings)
    for step in STEPS[:-1]:
        assets.run(list(step), window(settings, step))
    assets.run([tables.RACE_EFFORTS, tables.DISRUPTIONS])
    models = assets._job.get_subset(asset_selection={model_key(spec) for spec in MODELS.values()})
    quiet: dict[str, Any] = {"loggers": {"progress": {}}}
    assert models.execute_in_process(instance=assets.instance, run_config=quiet).success
    return settings


def window(settings: Settings, step: tuple[tables.Table, ...]) -> Days:
    """All days; of weeks those that have begun."""
    last = LAST + timedelta(days=1)
    return Days(settings.start_date, LAST - timedelta(days=6) if step == (tables.WEEKLY,) else last)


def on_spark(settings: Settings, days: int, heap_mb: int, result_mb: int, worker_mb: int) -> dict[str, Any]:
    """What each step came to, and what became of fetching its tables."""
    spark = small_cluster(settings.home, heap_mb, result_mb, worker_mb)
    catalog = UnityCatalog(spark, settings.home, settings.catalog).install()
    for schema in {table.schema for table in tables.ALL}:
        catalog.create_schema(schema)
    # the feature store's tables lie in the same folders, where it finds them without a workspace
    features = EmbeddedFeatureStore(
        LocalStore(settings, lambda: spark), model_registry_uri=settings.mlflow_registry_uri
    )
    store = UnityCatalogStore(settings, lambda: spark)
    assets = Assets(settings)
    built = definitions.build(settings)
    given = {STORE: store, FEATURE_STORE: features}
    hardcoded = {key: dg.ResourceDefinition.hardcoded_resource(value) for key, value in given.items()}
    resources = {**(built.resources or {}), **hardcoded}
    assets._job = dg.Definitions(
        assets=built.assets, asset_checks=built.asset_checks, resources=resources, loggers=built.loggers
    ).resolve_implicit_global_asset_job_def()
    last = LAST + timedelta(days=1)
    scored = Days(last - timedelta(days=days - 1), last)
    steps = {
        ", ".join(".".join(table.path) for table in step): outcome(
            lambda step=step: assets.run(list(step), scored if step == STEPS[-1] else window(settings, step))  # type: ignore[misc]
        )
        for step in STEPS
    }
    fetched = {
        f"all of {'.'.join(table.path)} to the driver": outcome(lambda table=table: store.read(table).toArrow())  # type: ignore[misc]
        for step in STEPS
        for table in step
        if table != tables.REJECTS
    }
    spark.stop()
    return {"steps": steps, "fetched": fetched}


def small_cluster(scratch: Path, heap_mb: int, result_mb: int, worker_mb: int) -> SparkSession:
    import pyspark
    from pyspark.sql import SparkSession

    os.environ.pop("SPARK_CONNECT_MODE_ENABLED", None)  # from the process that filled the home with Sail
    os.environ |= {"SPARK_HOME": str(Path(pyspark.__file__).parent), "PYSPARK_PYTHON": sys.executable}
    configured = {
        "spark.driver.memory": f"{heap_mb}m",
        "spark.driver.maxResultSize": f"{result_mb}m",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.executor.memory": f"{worker_mb}m",
        "spark.executorEnv.PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[1]), *sys.path]),
        "spark.jars.packages": DELTA_PACKAGE,
        "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
        "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
        "spark.sql.autoBroadcastJoinThreshold": "-1",  # 10 MB by default, as stored: several times that in memory
        "spark.sql.shuffle.partitions": "8",
        "spark.databricks.delta.snapshotPartitions": "2",
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.warehouse.dir": str(scratch / "warehouse"),
        "spark.ui.enabled": "false",
    }
    builder = SparkSession.builder.master(f"local-cluster[2,1,{worker_mb}]")
    for key, value in configured.items():
        builder = builder.config(key, value)
    return builder.getOrCreate()


def outcome(work: Callable[[], object]) -> str:
    started = time.monotonic()
    try:
        work()
    except Exception as error:
        told, cause = "", error
        while cause is not None:
            told, cause = f"{told} {cause}", cause.__cause__  # type: ignore[assignment]
        return "refused: larger than the bound" if TOO_LARGE in told else f"failed: {told[:2000]}"
    return f"passed in {time.monotonic() - started:.0f} s"


if __name__ == "__main__":
    main()
