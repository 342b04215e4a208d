"""The same in Unity Catalog: by digest, on Apache Spark and Delta behind Unity Catalog's statements."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pyarrow as pa
import pytest
from pyspark.sql import SparkSession

from athlete_assets import definitions, tables
from athlete_assets.days import Days
from athlete_assets.errors import InputError
from athlete_assets.forgetting.occurrences import Wanted
from athlete_assets.forgetting.proof import offenders
from athlete_assets.forgetting.workspace import FORGET_JOB, digest_of, erase, forget_jobs
from athlete_assets.settings import Settings
from athlete_assets.store.unity_catalog import UnityCatalogStore
from athlete_assets_tests.fake_feature_store.unity_spark import UnityCatalog
from athlete_assets_tests.features.rows import Activity, activity_table, day

DAYS = Days(day(0), day(30))
GONE, LONGER = "runner1", "runner12"


@pytest.fixture
def store(apache_spark: SparkSession, tmp_path: Path) -> Iterator[UnityCatalogStore]:
    """activity_features with two athletes, written twice: an earlier version holds both."""
    catalog = UnityCatalog(apache_spark, tmp_path).install()
    for schema in ("feature_store", "silver"):
        apache_spark.sql(f"DROP SCHEMA IF EXISTS spark_catalog.{schema} CASCADE")
        catalog.create_schema(schema)
    store = UnityCatalogStore(Settings(deployment="databricks"), lambda: apache_spark)
    for minutes in (50.0, 51.0):
        runs = [Activity(who, day(n), minutes=minutes) for who in (GONE, LONGER) for n in range(10)]
        rows: pa.Table = activity_table(runs)
        store.replace(tables.ACTIVITY, apache_spark.createDataFrame(rows), DAYS)
    yield store
    catalog.uninstall()


@pytest.mark.java
def test_rows_and_old_files_go_and_the_other_athlete_stays(store: UnityCatalogStore, tmp_path: Path) -> None:
    name = store.full_name(tables.ACTIVITY)
    folder = next(tmp_path.rglob(tables.ACTIVITY.name))
    wanted = Wanted(GONE, (LONGER,))
    assert any(".parquet" in place for place in offenders(folder, wanted))
    assert erase(store, digest_of(GONE)) == {name: 10}
    assert store.read(tables.ACTIVITY).select("athlete_id").distinct().toPandas()["athlete_id"].tolist() == [LONGER]
    # Delta's own log keeps the bounds of each file's ids until Databricks removes it
    assert {place.split("/")[0] for place in offenders(folder, wanted)} <= {"_delta_log"}
    properties = store.spark.sql(f"SHOW TBLPROPERTIES {name}").toPandas()
    assert "delta.deletedFileRetentionDuration" not in set(properties["key"])
    assert erase(store, digest_of(GONE)) == {name: 0}, "a second call finds nothing, and completes a killed one"


@pytest.mark.java
def test_nothing_is_deleted_while_silver_holds_the_athlete(store: UnityCatalogStore) -> None:
    ddl = tables.STRAVA_ACTIVITIES.ddl.replace(" NOT NULL", "")
    row = {"athlete_id": GONE, "id": 1}
    rows = store.spark.createDataFrame([tuple(row.get(name) for name in tables.STRAVA_ACTIVITIES.column_names)], ddl)
    rows.write.format("delta").saveAsTable("spark_catalog.silver.strava_activities")
    with pytest.raises(InputError, match="still holds 1 row"):
        erase(store, digest_of(GONE))
    assert store.read(tables.ACTIVITY).count() == 20


def test_an_id_in_place_of_its_digest_is_refused() -> None:
    with pytest.raises(InputError, match="no SHA-256"):
        erase(None, GONE)  # type: ignore[arg-type]


def test_the_job_is_there_on_databricks_and_takes_a_digest() -> None:
    assert not forget_jobs(Settings())
    (job,) = forget_jobs(Settings(deployment="databricks"))
    assert job.name == FORGET_JOB
    config = {"ops": {"take_out": {"config": {"digest": digest_of(GONE)}}}}
    assert dg.validate_run_config(job, config)["ops"]["take_out"]["config"] == {"digest": digest_of(GONE)}
    assert FORGET_JOB not in {one.name for one in definitions.build(Settings()).resolve_all_job_defs()}
