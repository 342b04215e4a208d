"""The stores of the Databricks deployment, on real Apache Spark and Delta behind Unity Catalog's own statements."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import mlflow
import pyarrow as pa
import pytest
from deltalake import DeltaTable
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.connect.session import SparkSession as ConnectSession

from athlete_assets import tables
from athlete_assets.days import Days
from athlete_assets.errors import AccessError, ContractError, StoreError
from athlete_assets.settings import Settings
from athlete_assets.store import unity_catalog
from athlete_assets.store.arrow import arrow_schema
from athlete_assets.store.base import CONTRACT_PROPERTY, contract_digest
from athlete_assets.store.by_athlete import apply_by_athlete, apply_for_several
from athlete_assets.store.local import LocalStore
from athlete_assets.store.unity_catalog import (
    UnityCatalogFeatureStore,
    UnityCatalogStore,
    create_statement,
    merge_statement,
    tags_statement,
)
from athlete_assets_tests.fake_feature_store.endpoints import FeatureStoreEndpoints, Refused
from athlete_assets_tests.fake_feature_store.local_client import local_client
from athlete_assets_tests.fake_feature_store.server import served
from athlete_assets_tests.fake_feature_store.unity_spark import UnityCatalog
from athlete_assets_tests.rows import frame
from athlete_assets_tests.store.rows import daily, rejects, span
from athlete_assets_tests.store.test_conformance import weighted

pytestmark = [
    pytest.mark.java,
    pytest.mark.filterwarnings("ignore:pkg_resources is deprecated"),
    pytest.mark.filterwarnings("ignore:google.protobuf.service"),
]

QUARTER = span("2024-01-01", "2024-03-31")
FEBRUARY = span("2024-02-01", "2024-02-29")
DAILY_NAME = "uc_athlete_data.feature_store.athlete_daily_features"
START = datetime(2024, 3, 1, tzinfo=timezone.utc)

# ------------------------------------------------------------------------------------------------------ statements


def test_rows_are_written_over_those_of_their_keys_by_one_merge() -> None:
    assert merge_statement("c.s.t", "v", ["k", "od`d"]) == "\n".join(
        [
            "MERGE INTO `c`.`s`.`t` AS t",
            "USING `v` AS s",
            "ON t.`k` = s.`k` AND t.`od``d` = s.`od``d`",
            "WHEN MATCHED THEN UPDATE SET *",
            "WHEN NOT MATCHED THEN INSERT *",
        ]
    )


def test_a_table_is_made_whole_by_one_statement() -> None:
    assert create_statement(
        "c.s.t",
        ["`k` STRING NOT NULL", "`ts` TIMESTAMP NOT NULL"],
        primary_keys=["k", "ts"],
        timeseries_column="ts",
        comment="an athlete's \\ own",
        clustered_by=["ts", "k"],
        properties={"delta.enableDeletionVectors": "true"},
    ) == "\n".join(
        [
            "CREATE TABLE IF NOT EXISTS `c`.`s`.`t` (",
            "  `k` STRING NOT NULL,",
            "  `ts` TIMESTAMP NOT NULL,",
            "  CONSTRAINT `t_pk` PRIMARY KEY (`k`, `ts` TIMESERIES)",
            ")",
            "USING DELTA",
            "CLUSTER BY (`ts`, `k`)",
            "COMMENT 'an athlete\\'s \\\\ own'",
            "TBLPROPERTIES ('delta.enableDeletionVectors' = 'true')",
        ]
    )
    assert (
        tags_statement("c.s.t", {"a": "it's", "b": ""}) == "ALTER TABLE `c`.`s`.`t` SET TAGS ('a' = 'it\\'s', 'b' = '')"
    )


# ------------------------------------------------------------------------------------------------------------ tables


@pytest.fixture
def uc(apache_spark: SparkSession, tmp_path: Path) -> Iterator[UnityCatalog]:
    catalog = UnityCatalog(apache_spark, tmp_path).install()
    for schema in ("feature_store", "silver_rejects", "monitoring"):
        apache_spark.sql(f"DROP SCHEMA IF EXISTS spark_catalog.{schema} CASCADE")
        catalog.create_schema(schema)
    yield catalog
    catalog.uninstall()


@pytest.fixture
def store(uc: UnityCatalog, monkeypatch: pytest.MonkeyPatch) -> UnityCatalogStore:
    monkeypatch.setattr(unity_catalog, "RETRY_SECONDS", 0.0)
    return UnityCatalogStore(Settings(), lambda: uc.spark)


def content(uc: UnityCatalog, table: tables.Table = tables.DAILY) -> list[dict]:
    """The table's rows as Spark reads them from its folder. (delta-rs does not read deletion vectors.)"""
    path = uc.path(table.full_name(uc.catalog))
    assert path is not None
    return sorted(uc.spark.read.format("delta").load(str(path)).toArrow().to_pylist(), key=repr)


def test_rows_that_are_held_are_made_once_though_the_table_that_they_read_is_written(
    uc: UnityCatalog, store: UnityCatalogStore, sail: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Spark computes a cached frame again once a table below it was written. Whichever session is active: here another
    one than that of the rows."""
    monkeypatch.setattr(ConnectSession._active_session, "session", sail, raising=False)
    calls = tmp_path / "calls"
    store.replace(tables.DAILY, frame(uc.spark, daily("a", FEBRUARY)), FEBRUARY)

    def noted(inputs: Mapping[str, pa.Table]) -> dict[str, pa.Table]:
        with open(calls, "a") as file:
            file.write(f"{inputs['daily'].num_rows}\n")
        return {"rows": inputs["daily"], "counts": pa.table({"count": [inputs["daily"].num_rows]})}

    types = {column.name: column.type for column in tables.DAILY.columns if column.name != "athlete_id"}
    made = apply_for_several(
        {"daily": (store.read(tables.DAILY), types)},
        noted,
        {"rows": tables.DAILY.ddl, "counts": "count bigint"},
        hold=store.held,
    )
    assert store.replace(tables.DAILY, made["rows"], FEBRUARY).rows == 29
    assert made["rows"].count() == 29
    assert [table.to_pylist() for table in store.fetched(made["counts"])] == [[{"count": 29}]]
    assert calls.read_text() == "29\n"


def test_the_rows_that_were_checked_are_the_rows_that_are_written(
    uc: UnityCatalog, store: UnityCatalogStore, tmp_path: Path
) -> None:
    """A frame is computed whenever it is asked for: what was written would be made anew after the check."""
    calls = tmp_path / "calls"

    def changing(rows: pa.Table) -> pa.Table:
        calls.write_text(calls.read_text() + "." if calls.exists() else ".")
        made = rows.column_names.index("distance_km")
        return rows.set_column(made, "distance_km", pa.array([float(len(calls.read_text()))] * rows.num_rows))

    made = apply_by_athlete(frame(uc.spark, daily("a", FEBRUARY), tables.DAILY), changing, tables.DAILY.ddl)
    assert store.replace(tables.DAILY, made, FEBRUARY).rows == 29
    assert {row["distance_km"] for row in content(uc)} == {1.0}


def test_windows_are_replaced_as_the_local_store_replaces_them(
    uc: UnityCatalog, store: UnityCatalogStore, tmp_path: Path
) -> None:
    """The same replacements, row for row: new rows in, changed rows changed, vanished rows gone, others untouched."""
    local = LocalStore(Settings(home=tmp_path / "local"))
    steps: list[tuple[pa.Table, Days | None]] = [
        (pa.concat_tables([daily("a", QUARTER), daily("b", FEBRUARY)]), QUARTER),
        (daily("a", [day for day in FEBRUARY if day.day % 2], distance_km=3.0), span("2024-01-31", "2024-02-29")),
        (daily("a", []), span("2024-03-01", "2024-03-10")),
        (daily("b", [date(2024, 3, 5)], distance_km=7.0), span("2024-03-05", "2024-03-06")),
    ]
    for rows, days in steps:
        before = store.version(tables.DAILY)
        held = store.read(tables.DAILY, days).count() if days else 0
        written = store.replace(tables.DAILY, frame(uc.spark, rows, tables.DAILY), days)
        assert written.rows_before == held
        assert written.rows == local.replace_arrow(tables.DAILY, rows, days).rows == rows.num_rows
        if before is not None:
            assert written.version == before + 1, "one commit a replacement"
    expected = sorted(local.delta(tables.DAILY).to_pyarrow_table().to_pylist(), key=repr)
    assert content(uc) == expected
    window = span("2024-01-30", "2024-02-02")
    read = store.read(tables.DAILY, window)
    assert read.columns == list(tables.DAILY.column_names)
    assert read.count() == 2  # 30 January and 1 February: the second step emptied 31 January and the even days
    store.replace(tables.DAILY, frame(uc.spark, daily("c", [date(2020, 1, 1)]), tables.DAILY))
    assert [row["athlete_id"] for row in content(uc)] == ["c"]


def test_rows_of_some_athletes_are_replaced_and_those_of_others_stay(
    uc: UnityCatalog, store: UnityCatalogStore
) -> None:
    both = pa.concat_tables([daily("a", QUARTER), daily("it's b\\", QUARTER)])
    store.replace(tables.DAILY, frame(uc.spark, both, tables.DAILY), QUARTER)
    one = store.among(["it's b\\"])
    written = one.replace(tables.DAILY, frame(uc.spark, daily("it's b\\", [FEBRUARY.first]), tables.DAILY), FEBRUARY)
    assert (written.rows, written.rows_before, written.rows_beside) == (1, 29, 29)
    found = [row["athlete_id"] for row in content(uc)]
    assert (found.count("a"), found.count("it's b\\")) == (91, 91 - 28)
    assert one.count(tables.DAILY, FEBRUARY) == 1
    assert (one.findings(tables.DAILY).rows, one.findings(tables.DAILY).repeated_keys) == (91 - 28, 0)
    with pytest.raises(ContractError, match="91 rows are of others than the 1 athlete"):
        one.replace(tables.DAILY, frame(uc.spark, both, tables.DAILY), QUARTER)


def test_rejects_have_no_keys_and_are_replaced_by_window(uc: UnityCatalog, store: UnityCatalogStore) -> None:
    january = span("2024-01-01", "2024-01-31")
    for days, rows in (
        (january, [(1, date(2024, 1, 5), "speed"), (1, date(2024, 1, 5), "speed"), (2, None, "no_date")]),
        (FEBRUARY, [(3, date(2024, 2, 5), "speed"), (2, None, "no_date")]),
    ):
        store.replace(tables.REJECTS, frame(uc.spark, rejects(rows), tables.REJECTS), days)
    assert sorted(row["id"] for row in content(uc, tables.REJECTS)) == [1, 1, 2, 3]


@pytest.mark.parametrize("layout", ["partitioned", "clustered"])
def test_a_table_carries_its_contract(uc: UnityCatalog, layout: str) -> None:
    store = UnityCatalogStore(Settings(databricks_table_layout=layout), lambda: uc.spark)
    assert store.version(tables.DAILY) is None
    assert store.read(tables.DAILY).count() == 0
    store.create(tables.DAILY)
    made, asked = uc.statements[-2:], len(uc.statements)
    store.create(tables.DAILY)
    changes = [statement for statement in uc.statements[asked:] if not statement.startswith("SHOW")]
    assert changes == [], "a table that is there is left alone"
    assert "CONSTRAINT `athlete_daily_features_pk` PRIMARY KEY (`athlete_id`, `activity_date` TIMESERIES)" in made[0]
    delta = DeltaTable(str(uc.path(DAILY_NAME)))
    assert delta.metadata().description == tables.DAILY.comment
    assert delta.metadata().partition_columns == (["month"] if layout == "partitioned" else [])
    assert ("CLUSTER BY (`activity_date`, `athlete_id`)" in made[0]) == (layout == "clustered")
    fields = {field.name: field for field in delta.schema().fields}
    assert list(fields) == list(tables.DAILY.column_names)
    assert [field.nullable for field in fields.values()] == [column.nullable for column in tables.DAILY.columns]
    assert fields["distance_km"].metadata["comment"] == "Distance of all activities. Unit: km."
    assert delta.metadata().configuration["feature_store.tag.layer"] == "feature_store"


def changed(rows: pa.Table, name: str, values: pa.Array) -> pa.Table:
    return rows.set_column(rows.column_names.index(name), name, values)


REFUSALS: list[tuple[Callable[[pa.Table], pa.Table], str]] = [
    (lambda rows: changed(rows, "month", pa.array(["2024-03"])), "1 row lies outside the window 2024-02-01"),
    (lambda rows: pa.concat_tables([rows, rows]), "1 row repeats the key"),
    (lambda rows: changed(rows, "distance_km", pa.array([None], pa.float64())), "column distance_km has 1 nulls"),
    (lambda rows: rows.append_column("mood", pa.array(["good"])), "unknown column mood"),
    (lambda rows: rows.drop_columns(["daily_tss"]), "column daily_tss is missing"),
    (lambda rows: changed(rows, "daily_tss", pa.array(["1"])), "column daily_tss is string, the contract says double"),
]


def test_rows_that_do_not_fit_are_refused_before_any_write(uc: UnityCatalog, store: UnityCatalogStore) -> None:
    good = daily("a", [date(2024, 2, 1)])
    store.create(tables.DAILY)
    asked = len(uc.statements)
    for change, message in REFUSALS:
        with pytest.raises(ContractError, match=message):
            store.replace(tables.DAILY, uc.spark.createDataFrame(change(good)), FEBRUARY)
    with pytest.raises(ContractError, match="1 row lies outside"):
        store.replace(tables.DAILY, frame(uc.spark, daily("a", [date(2024, 3, 1)]), tables.DAILY), FEBRUARY)
    with pytest.raises(ValueError, match="has no windows"):
        store.replace(
            tables.METRICS_SUMMARY,
            frame(uc.spark, arrow_schema(tables.METRICS_SUMMARY).empty_table(), tables.METRICS_SUMMARY),
            FEBRUARY,
        )
    assert uc.statements[asked:] == []


def newest_commit(uc: UnityCatalog, table: tables.Table = tables.DAILY) -> dict[str, list[dict]]:
    """By action, what the table's newest commit holds."""
    path = uc.path(table.full_name(uc.catalog))
    assert path is not None
    actions: dict[str, list[dict]] = {}
    for line in max((path / "_delta_log").glob("*.json")).read_text().splitlines():
        for action, content in json.loads(line).items():
            actions.setdefault(action, []).append(content)
    return actions


@pytest.mark.parametrize("layout", ["partitioned", "clustered"])
def test_one_day_costs_one_new_file_and_a_mark_in_the_file_that_held_it(uc: UnityCatalog, layout: str) -> None:
    """Three compacted months; one day of 91 is replaced: no file is rewritten, and no other file touched."""
    store = UnityCatalogStore(Settings(databricks_table_layout=layout), lambda: uc.spark)
    for first, last in (("2024-01-01", "2024-01-31"), ("2024-02-01", "2024-02-29"), ("2024-03-01", "2024-03-31")):
        store.replace(tables.DAILY, frame(uc.spark, daily("a", span(first, last)), tables.DAILY), span(first, last))
    day = date(2024, 2, 10)
    store.replace(tables.DAILY, frame(uc.spark, daily("a", [day], distance_km=3.0), tables.DAILY), Days(day, day))
    commit = newest_commit(uc)
    marked = {file["path"]: file for file in commit["add"] if file.get("deletionVector")}
    new = [file for file in commit["add"] if file["path"] not in marked]
    assert [file["path"] for file in commit["remove"]] == list(marked), "taken out to come back with its mark"
    assert [file["deletionVector"]["cardinality"] for file in marked.values()] == [1]
    assert [json.loads(file["stats"])["numRecords"] for file in new] == [1]
    rows = {row["activity_date"].date(): row["distance_km"] for row in content(uc)}
    assert len(rows) == 91
    assert {at for at, distance in rows.items() if distance == 3.0} == {day}


MOOD = tables.Column("mood", tables.STRING, "How it felt.")


def test_a_new_column_is_added_before_the_write_and_its_values_arrive(
    uc: UnityCatalog, store: UnityCatalogStore
) -> None:
    store.replace(tables.DAILY, frame(uc.spark, daily("a", FEBRUARY), tables.DAILY), FEBRUARY)
    grown = replace(tables.DAILY, columns=(tables.DAILY.columns[0], MOOD, *tables.DAILY.columns[1:]))
    assert store.read(grown).where("mood IS NULL").count() == 29, "rows of before read as null"
    day = date(2024, 2, 10)
    rows = daily("a", [day]).append_column("mood", pa.array(["good"]))
    spark_rows = uc.spark.createDataFrame(rows.select(list(grown.column_names)))
    store.replace(grown, spark_rows, Days(day, day))
    assert [(row["activity_date"].date(), row["mood"]) for row in content(uc) if row["mood"]] == [(day, "good")]
    described = DeltaTable(str(uc.path(DAILY_NAME)))
    assert described.metadata().configuration[CONTRACT_PROPERTY] == contract_digest(grown)
    assert {field.name: field.metadata for field in described.schema().fields}["mood"] == {"comment": "How it felt."}
    asked = len(uc.statements)
    store.replace(grown, spark_rows, Days(day, day))
    assert not [statement for statement in uc.statements[asked:] if "ALTER" in statement], "altered once"


def test_a_column_that_another_step_added_meanwhile_is_no_failure(uc: UnityCatalog, store: UnityCatalogStore) -> None:
    store.create(tables.DAILY)
    grown = replace(tables.DAILY, columns=(*tables.DAILY.columns, MOOD))
    own = store._add_columns

    def late(table: tables.Table, missing: Any) -> None:
        own(table, missing)
        own(table, missing)  # the second one meets the columns of the first

    store._add_columns = late  # type: ignore[method-assign]
    store.create(grown)
    assert "mood" in store.read(grown).columns


def without(table: tables.Table, name: str) -> tables.Table:
    return replace(table, columns=tuple(column for column in table.columns if column.name != name))


def retyped(table: tables.Table, name: str, type: str) -> tables.Table:
    return replace(
        table, columns=tuple(replace(column, type=type) if column.name == name else column for column in table.columns)
    )


CHANGED_CONTRACTS: list[tuple[tables.Table, str]] = [
    (without(tables.DAILY, "daily_tss"), "column daily_tss is stored, but not in the contract"),
    (retyped(tables.DAILY, "distance_km", tables.STRING), "column distance_km is double, the contract says string"),
    (
        replace(tables.DAILY, columns=(*tables.DAILY.columns, replace(MOOD, nullable=False))),
        "column mood is missing, and it must not be null",
    ),
]


def test_a_removed_retyped_or_required_column_is_refused_with_the_command_that_rebuilds(
    uc: UnityCatalog, store: UnityCatalogStore
) -> None:
    store.replace(tables.DAILY, frame(uc.spark, daily("a", FEBRUARY), tables.DAILY), FEBRUARY)
    before = content(uc)
    for table, message in CHANGED_CONTRACTS:
        rows = uc.spark.createDataFrame([], table.ddl.replace(" NOT NULL", ""))
        for write in (lambda: store.replace(table, rows, FEBRUARY), lambda: store.append(table, rows)):  # noqa: B023
            with pytest.raises(
                ContractError,
                match=f"feature_store.athlete_daily_features: {message}.*"
                "`athlete-assets rebuild feature_store.athlete_daily_features`",
            ):
                write()
    assert content(uc) == before


def test_every_feature_table_is_what_the_real_client_expects_on_three_levels(workspace: Served) -> None:
    store = UnityCatalogStore(Settings(), lambda: workspace.spark)
    for table in (table for table in tables.FEATURES if table.feature_table):
        store.create(table)
        seen = workspace.features.get_table(name=f"uc_athlete_data.feature_store.{table.name}")
        assert seen.name == table.full_name("uc_athlete_data")
        assert set(seen.primary_keys) == {*table.keys, table.timestamp_key}
        assert list(seen.timestamp_keys) == [table.timestamp_key]
        assert set(table.column_names) - set(seen.features) <= set(seen.primary_keys)


def test_a_log_is_added_to(uc: UnityCatalog, store: UnityCatalogStore) -> None:
    row = {
        "athlete_id": "a",
        "prediction_date": START,
        "served_at": START,
        "dagster_run_id": "r",
        "model_version": None,
        "features": "{}",
        "outputs": "{}",
        "month": "2024-03",
    }
    rows = pa.Table.from_pylist([row], schema=arrow_schema(tables.INFERENCE_LOG))
    assert store.append(tables.INFERENCE_LOG, frame(uc.spark, rows, tables.INFERENCE_LOG)).rows == 1
    uc.faults.append(("inference_log", "[DELTA_CONCURRENT_APPEND] ConcurrentAppendException: files were added"))
    store.append(tables.INFERENCE_LOG, frame(uc.spark, rows, tables.INFERENCE_LOG))
    assert content(uc, tables.INFERENCE_LOG) == [{**dict.fromkeys(tables.INFERENCE_LOG.column_names), **row}] * 2


def test_maintenance_joins_files_and_changes_no_row(uc: UnityCatalog, store: UnityCatalogStore) -> None:
    row = {"athlete_id": "a", "prediction_date": START, "served_at": START, "dagster_run_id": "r", "features": "{}"}
    rows = pa.Table.from_pylist(
        [{**row, "outputs": "{}", "month": "2024-03"}], schema=arrow_schema(tables.INFERENCE_LOG)
    )
    for _ in range(3):
        store.append(tables.INFERENCE_LOG, frame(uc.spark, rows, tables.INFERENCE_LOG))
    before = content(uc, tables.INFERENCE_LOG)
    done = store.maintain(tables.INFERENCE_LOG)
    assert (done.before.files, done.after.files) == (3, 1)
    assert content(uc, tables.INFERENCE_LOG) == before


CONFLICT = (
    "[DELTA_CONCURRENT_APPEND] ConcurrentAppendException: Files were added by a concurrent update. SQLSTATE: 2D521"
)


def test_a_conflict_is_tried_three_times(uc: UnityCatalog, store: UnityCatalogStore) -> None:
    store.replace(tables.DAILY, frame(uc.spark, daily("a", FEBRUARY), tables.DAILY), FEBRUARY)
    rows = frame(uc.spark, daily("a", FEBRUARY, distance_km=2.0), tables.DAILY)
    uc.faults += [("overwrite", CONFLICT)] * 3
    with pytest.raises(StoreError, match=r"athlete_daily_features: .*Files were added by a concurrent update"):
        store.replace(tables.DAILY, rows, FEBRUARY)
    assert uc.faults == []
    assert {row["distance_km"] for row in content(uc)} == {10.0}
    uc.faults += [("overwrite", CONFLICT), ("overwrite", "[TEMPORARILY_UNAVAILABLE] The service is away")]
    store.replace(tables.DAILY, rows, FEBRUARY)
    assert {row["distance_km"] for row in content(uc)} == {2.0}


def test_other_errors_are_not_retried(uc: UnityCatalog, store: UnityCatalogStore) -> None:
    store.create(tables.DAILY)
    uc.faults += [("overwrite", "[DIVIDE_BY_ZERO] Division by zero.")] * 2
    with pytest.raises(Exception, match="DIVIDE_BY_ZERO") as failure:
        store.replace(tables.DAILY, frame(uc.spark, daily("a", FEBRUARY), tables.DAILY), FEBRUARY)
    assert not isinstance(failure.value, StoreError)
    assert len(uc.faults) == 1


def test_missing_rights_are_named_and_never_read_as_an_empty_table(uc: UnityCatalog, store: UnityCatalogStore) -> None:
    store.create(tables.DAILY)
    uc.denied.add("feature_store.athlete_daily_features")
    for action in (
        lambda: store.read(tables.DAILY),
        lambda: store.exists(tables.DAILY),
        lambda: store.replace(tables.DAILY, frame(uc.spark, daily("a", FEBRUARY), tables.DAILY), FEBRUARY),
    ):
        with pytest.raises(
            AccessError, match=f"{DAILY_NAME}: the deployment's principal lacks a right: .*databricks check"
        ):
            action()
    uc.denied.clear()
    uc.faults.append(("CREATE TABLE", "[SCHEMA_NOT_FOUND] The schema `uc_athlete_data`.`gold` cannot be found."))
    with pytest.raises(AccessError, match=r"catalog or schema not found.*databricks init"):
        store.create(tables.WEEKLY)


# ------------------------------------------------------------------------------------------------------ feature store

FITNESS = "uc_athlete_data.feature_store.fitness"


class Served:
    """The feature store of a workspace, and the workspace's control plane."""

    def __init__(self, uc: UnityCatalog, endpoints: FeatureStoreEndpoints, features: UnityCatalogFeatureStore) -> None:
        self.uc, self.endpoints, self.features = uc, endpoints, features

    @property
    def spark(self) -> SparkSession:
        return self.uc.spark


@pytest.fixture
def workspace(uc: UnityCatalog, tracking: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    monkeypatch.setattr(unity_catalog, "RETRY_SECONDS", 0.0)
    monkeypatch.setattr("databricks.ml_features.utils.rest_utils.time.sleep", lambda seconds: None)
    endpoints = FeatureStoreEndpoints(uc.path)
    with served(endpoints.routes()) as host:
        local_client(monkeypatch, host, uc.spark, None, tmp_path)
        features = UnityCatalogFeatureStore(lambda: uc.spark, model_registry_uri=tracking)
        features.create_table(
            name=FITNESS,
            primary_keys=["athlete_id", "ts"],
            timeseries_column="ts",
            df=uc.spark.createDataFrame(
                [("a", START, 1.0), ("a", START + timedelta(days=1), 2.0)],
                "athlete_id string, ts timestamp, ctl double",
            ),
            description="How fit.",
            tags={"layer": "features"},
        )
        yield Served(uc, endpoints, features)


def lookup(**options: Any) -> Any:
    from databricks.feature_engineering import FeatureLookup

    return FeatureLookup(**{"table_name": FITNESS, "lookup_key": "athlete_id", "timestamp_lookup_key": "at", **options})


def test_the_real_client_behind_the_same_interface(workspace: Served) -> None:
    """Create, describe, upsert, look up, log, register and score: all by the real client and real Spark."""
    features, spark = workspace.features, workspace.spark
    table = features.get_table(name=FITNESS)
    assert list(table.primary_keys) == ["athlete_id", "ts"]
    assert list(table.timestamp_keys) == ["ts"]
    assert (table.description, table.tags) == ("How fit.", {"layer": "features"})
    schema = "ctl double, athlete_id string, ts timestamp"
    features.write_table(
        name=FITNESS,
        df=spark.createDataFrame([(2.5, "a", START + timedelta(days=1)), (9.0, "b", START)], schema),
    )
    rows = sorted(row["ctl"] for row in features.read_table(name=FITNESS).toArrow().to_pylist())
    assert rows == [1.0, 2.5, 9.0]

    labels = spark.createDataFrame(
        [("a", START, 1.0, 0.5), ("a", START + timedelta(days=3), 2.0, 0.25), ("nobody", START, 3.0, 0.125)],
        "athlete_id string, at timestamp, y double, slope double",
    )
    training = features.create_training_set(
        df=labels, feature_lookups=[lookup()], label="y", exclude_columns=["athlete_id", "at"]
    )
    loaded = training.load_df()
    assert loaded.columns == ["slope", "ctl", "y"]
    assert sorted(tuple(row.values()) for row in loaded.toArrow().to_pylist()) == [
        (0.125, None, 3.0),
        (0.25, 2.5, 2.0),
        (0.5, 1.0, 1.0),
    ]
    with pytest.raises(ContractError, match="needs an active MLflow run"):
        features.log_model(model=weighted(), artifact_path="m", flavor=mlflow.pyfunc, training_set=training)
    with mlflow.start_run() as run:
        features.log_model(
            model=weighted(),
            artifact_path="model",
            flavor=mlflow.pyfunc,
            training_set=training,
            registered_model_name="uc_athlete_data.models.fitness",
            pip_requirements=["mlflow"],
        )
    (version,) = mlflow.MlflowClient().search_model_versions(f"run_id = '{run.info.run_id}'")
    uri = f"models:/{version.name}/{version.version}"
    scored = features.score_batch(model_uri=uri, df=labels.drop("y")).toArrow()
    assert scored.column_names == ["athlete_id", "at", "slope", "ctl", "prediction"]
    assert sorted(scored["prediction"].to_pylist()) == pytest.approx(
        [0.125 - 10_000, 0.5 + 10.0, 0.25 + 25.0], rel=1e-12
    )
    with pytest.raises(ContractError, match="at is null in some rows"):
        features.score_batch(
            model_uri=uri,
            df=spark.createDataFrame([("a", None, 1.0)], "athlete_id string, at timestamp, slope double"),
        )


def test_refusals_and_failures_have_one_meaning(workspace: Served) -> None:
    features, spark = workspace.features, workspace.spark

    def labels(schema: str = "athlete_id string, at timestamp", rows: list[tuple] | None = None) -> DataFrame:
        return spark.createDataFrame(rows or [], schema)

    def training(df: DataFrame, **options: Any) -> None:
        features.create_training_set(df=df, feature_lookups=[lookup(**options)], label=None)

    with pytest.raises(ContractError, match="at is null"):
        training(labels(rows=[("a", None)]))
    with pytest.raises(ContractError, match="at is date; it must be a timestamp"):
        training(labels("athlete_id string, at date"))
    with pytest.raises(ContractError, match="default_values are not supported"):
        training(labels(), feature_names=["ctl"], default_values={"ctl": 0.0})
    with pytest.raises(ContractError, match=r"fitness.*athlete_id"):
        training(labels("athlete_id bigint, at timestamp"))
    with pytest.raises(ContractError, match="none"):
        training(labels(), table_name="uc_athlete_data.feature_store.none")
    with pytest.raises(ContractError, match=r"repeats? the key"):
        features.write_table(
            name=FITNESS,
            df=spark.createDataFrame([("a", START, 1.0)] * 2, "athlete_id string, ts timestamp, ctl double"),
        )
    with pytest.raises(ContractError, match="column ctl is in the frame or in the table"):
        features.write_table(name=FITNESS, df=spark.createDataFrame([], "athlete_id string, ts timestamp"))
    with pytest.raises(ContractError, match="day is date"):
        features.create_table(
            name="uc_athlete_data.feature_store.by_day",
            primary_keys=["k", "day"],
            timeseries_column="day",
            schema=spark.createDataFrame([], "k string, day date").schema,
        )
    workspace.endpoints.denied.add(FITNESS)
    with pytest.raises(AccessError, match="lacks a right"):
        training(labels())
    workspace.endpoints.denied.clear()

    answers = 0

    def away(*_: object) -> Path:
        nonlocal answers
        answers += 1
        raise Refused(503, "TEMPORARILY_UNAVAILABLE", "try later")

    workspace.endpoints.locate = away
    with pytest.raises(StoreError, match="failed after 3 tries"):
        features.get_table(name=FITNESS)
    assert answers == 3 * 3, "the client tries three times, and so does the store"
