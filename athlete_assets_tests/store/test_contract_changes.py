"""A stored table goes from one version of its contract to the next, or says what to do."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, timezone

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake
from pyspark.sql import SparkSession

from athlete_assets import tables
from athlete_assets.errors import ContractError
from athlete_assets.silver import landing
from athlete_assets.store.base import CONTRACT_PROPERTY, contract_digest
from athlete_assets.store.local import LocalStore
from athlete_assets.tables import Column, Table
from athlete_assets_tests.rows import rows
from athlete_assets_tests.silver.test_landing import run, runs
from athlete_assets_tests.store.rows import daily, span

JANUARY = span("2024-01-01", "2024-01-31")
OLD_DAYS = span("2024-01-01", "2024-01-20")


def stored_with(store: LocalStore, given: pa.Table, table: Table = tables.DAILY) -> None:
    """The table as an earlier version of the product left it: without a contract's version."""
    partitions = ["month"] if "month" in given.column_names else None
    write_deltalake(str(store.path(table)), given, partition_by=partitions)


def without(table: pa.Table, *columns: str) -> pa.Table:
    return table.drop_columns(list(columns))


# ------------------------------------------------------------------------------------------------------ fewer columns


def test_a_nullable_column_that_is_missing_is_added_before_the_write(engine_store: LocalStore) -> None:
    store = engine_store
    stored_with(store, without(daily("a", OLD_DAYS), "best_pace_min_km", "longest_run_km"))
    window = span("2024-01-11", "2024-01-31")
    fresh = daily("a", window, distance_km=3.0)
    at = fresh.schema.get_field_index("best_pace_min_km")
    fresh = fresh.set_column(at, fresh.schema.field(at), pa.array([4.5] * len(window)))

    before = store.read(tables.DAILY)
    assert before.columns == list(tables.DAILY.column_names), "it reads as the contract says before anything is written"
    written = store.replace_arrow(tables.DAILY, fresh, window)

    assert (written.rows, written.rows_before) == (21, 10)
    found = {row["activity_date"].day: row for row in store.read(tables.DAILY).toArrow().to_pylist()}
    assert len(found) == 31
    assert {day: row["best_pace_min_km"] for day, row in found.items()} == {
        day: 4.5 if day > 10 else None for day in range(1, 32)
    }
    assert {row["longest_run_km"] for row in found.values()} == {None}
    assert {day: row["distance_km"] for day, row in found.items()} == {
        day: 3.0 if day > 10 else 10.0 for day in range(1, 32)
    }
    assert store.rows(tables.DAILY).schema.names == list(tables.DAILY.column_names)


def test_what_is_read_without_an_engine_has_the_contracts_columns(store: LocalStore) -> None:
    stored_with(store, without(daily("a", OLD_DAYS), "best_pace_min_km"))
    found = store.rows(tables.DAILY, ["best_pace_min_km", "athlete_id"])
    assert found.column_names == ["best_pace_min_km", "athlete_id"]
    assert (found.num_rows, found["best_pace_min_km"].null_count) == (20, 20)


def test_an_older_table_that_fits_is_written_on_and_gets_its_version(store: LocalStore) -> None:
    stored_with(store, daily("a", OLD_DAYS))
    assert CONTRACT_PROPERTY not in store.delta(tables.DAILY).metadata().configuration
    store.replace_arrow(tables.DAILY, daily("a", JANUARY), JANUARY)
    configuration = store.delta(tables.DAILY).metadata().configuration
    assert configuration[CONTRACT_PROPERTY] == contract_digest(tables.DAILY)
    assert configuration["feature_store.primary_keys"] == "athlete_id,activity_date"
    version = store.version(tables.DAILY)
    store.replace_arrow(tables.DAILY, daily("a", JANUARY), JANUARY)
    assert store.version(tables.DAILY) == (version or 0) + 1, "it is altered once"


def test_silver_of_an_older_contract_is_landed_on(store: LocalStore) -> None:
    """A column that came later; the change feed that the table has goes on over the change of its columns."""
    landing.land(store, runs(run(1), run(2)))
    first = store.delta(tables.STRAVA_ACTIVITIES).to_pyarrow_table()
    path = store.path(tables.STRAVA_ACTIVITIES)
    path.rename(path.with_name("newer"))
    write_deltalake(
        str(path), without(first, "trainer", "source"), configuration={"delta.enableChangeDataFeed": "true"}
    )
    landing.land(store, runs(run(1), run(2, trainer=True), run(3), hour=2))
    stored = {row["id"]: row for row in store.rows(tables.STRAVA_ACTIVITIES).to_pylist()}
    assert {id: (row["source"], row["trainer"]) for id, row in stored.items()} == {
        1: ("file", None),
        2: ("file", True),
        3: ("file", None),
    }
    feed = store.folder(tables.STRAVA_ACTIVITIES).changes(1, store.version(tables.STRAVA_ACTIVITIES) or 0, ["id"])
    inserted = {row["id"] for row in feed.to_pylist() if row["_change_type"] in ("insert", "update_postimage")}
    assert inserted == {1, 2, 3}


# ------------------------------------------------------------------------------------------------------- other columns


def changed(name: str, **attributes: object) -> Table:
    """The DAILY contract with another column of that name."""
    columns = [replace(c, **attributes) if c.name == name else c for c in tables.DAILY.columns]  # type: ignore[arg-type]
    return replace(tables.DAILY, columns=tuple(columns))


def dropped(name: str) -> Table:
    return replace(tables.DAILY, columns=tuple(c for c in tables.DAILY.columns if c.name != name))


ADDED_NOT_NULL = replace(
    tables.DAILY,
    columns=(*tables.DAILY.columns[:-1], Column("mood", "string", "", nullable=False), tables.DAILY.columns[-1]),
)


@pytest.mark.parametrize(
    ("contract", "says"),
    [
        (dropped("daily_tss"), "column daily_tss is stored, but not in the contract"),
        (changed("activities", type=tables.DOUBLE), "column activities is bigint, the contract says double"),
        (changed("daily_tss", nullable=True), "column daily_tss is stored as NOT NULL, the contract allows nulls"),
        (ADDED_NOT_NULL, "column mood is missing, and it must not be null"),
    ],
    ids=["removed", "retyped", "loosened", "added as NOT NULL"],
)
def test_another_change_is_refused_with_table_column_and_command(store: LocalStore, contract: Table, says: str) -> None:
    store.replace_arrow(tables.DAILY, daily("a", JANUARY), JANUARY)
    version = store.version(tables.DAILY)
    given = rows(contract, {"activity_date": datetime(2024, 1, 5, tzinfo=timezone.utc), "month": "2024-01"})
    with pytest.raises(ContractError) as refusal:
        store.replace_arrow(contract, given, JANUARY)
    assert str(refusal.value).startswith(f"feature_store.athlete_daily_features: {says}")
    assert "`athlete-assets rebuild feature_store.athlete_daily_features`" in str(refusal.value)
    assert store.version(tables.DAILY) == version
    store.reset(contract)
    assert store.replace_arrow(contract, given, JANUARY).rows == 1
    found = DeltaTable(str(store.path(contract)))
    assert {field.name for field in found.schema().fields} == set(contract.column_names)
    assert found.metadata().partition_columns == ["month"]


def test_a_table_that_was_reset_opens_on_each_engine(engine_store: LocalStore) -> None:
    engine_store.replace_arrow(tables.DAILY, daily("a", JANUARY), JANUARY)
    contract = dropped("daily_tss")
    engine_store.reset(contract)
    assert engine_store.read(contract).count() == 0
    given = rows(contract, {"activity_date": datetime(2024, 1, 5, tzinfo=timezone.utc), "month": "2024-01"})
    engine_store.replace_arrow(contract, given, JANUARY)
    assert engine_store.read(contract).columns == list(contract.column_names)
    assert engine_store.read(contract, JANUARY).count() == 1


def test_records_are_carried_over_and_refused_where_their_values_do_not_fit(store: LocalStore) -> None:
    store.replace_arrow(tables.DAILY, daily("a", JANUARY), JANUARY)
    contract = dropped("daily_tss")
    assert store.carry_over(contract) == 31
    assert "daily_tss" not in store.folder(contract).columns().types
    assert store.rows(contract)["distance_km"].to_pylist() == [10.0] * 31
    version = store.version(contract)
    with pytest.raises(ContractError, match="column distance_km is double, the contract says string"):
        store.carry_over(changed("distance_km", type=tables.STRING))
    assert store.version(contract) == version


def test_a_missing_column_that_cannot_be_null_is_refused_on_reading_too(sail: SparkSession, store: LocalStore) -> None:
    stored_with(store, without(daily("a", OLD_DAYS), "daily_tss"))
    with pytest.raises(ContractError, match=r"required column daily_tss is missing; `athlete-assets rebuild"):
        store.read(tables.DAILY)


def test_the_version_of_a_contract_follows_from_what_is_stored() -> None:
    digests = [
        contract_digest(contract)
        for contract in (
            tables.DAILY,
            dropped("daily_tss"),
            changed("activities", type=tables.DOUBLE),
            changed("daily_tss", nullable=True),
            replace(tables.DAILY, keys=("athlete_id",)),
        )
    ]
    assert len(set(digests)) == len(digests)
    assert contract_digest(changed("daily_tss", comment="other words", unit="points", low=None)) == digests[0]


def test_rows_of_before_the_change_are_read_at_their_version(store: LocalStore) -> None:
    stored_with(store, without(daily("a", [date(2024, 1, 1)]), "best_pace_min_km"))
    store.replace_arrow(tables.DAILY, daily("a", JANUARY), JANUARY)
    assert store.folder(tables.DAILY).query("SELECT COUNT(*) AS n FROM t", version=0)["n"].to_pylist() == [1]
