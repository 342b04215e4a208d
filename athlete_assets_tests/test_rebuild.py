"""`athlete-assets rebuild` and `repair`: a stored table that changed or was damaged ends as if nothing had happened."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path

import pyarrow as pa
import pytest

from athlete_assets import cli, rebuild, tables
from athlete_assets.errors import ContractError
from athlete_assets.settings import Settings
from athlete_assets.silver import landing, simulator
from athlete_assets.store.local import LocalStore
from athlete_assets.tables import Table

CHAIN = (tables.ACTIVITY, tables.REJECTS, tables.DAILY, tables.ROLLING)
SETTINGS = {"as_of": date(2024, 4, 14), "start_date": date(2024, 1, 1)}


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A home of two athletes with three months of features."""
    home = tmp_path_factory.mktemp("filled") / "home"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DAGSTER_HOME", "")
        settings = Settings(home=home, **SETTINGS)
        for batch in simulator.simulate(2, 0.3, 3, settings.today):
            landing.land(LocalStore(settings), batch)
        for table in (tables.ACTIVITY, tables.DAILY, tables.ROLLING):
            assert rebuild.rebuild(table.name, settings) == 0
        yield home


@pytest.fixture
def store(filled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LocalStore:
    """A copy of that home, as the command line finds it."""
    home = tmp_path / "home"
    shutil.copytree(filled, home, ignore=shutil.ignore_patterns("dagster"))
    monkeypatch.setenv("DAGSTER_HOME", "")
    for name, value in {"home": home, **SETTINGS}.items():
        monkeypatch.setenv(f"ATHLETE_{name.upper()}", str(value))
    return LocalStore(Settings(home=home, **SETTINGS))


def contents(store: LocalStore) -> dict[str, list[dict[str, object]]]:
    found = {}
    for table in CHAIN:
        rows = store.rows(table)
        keys = [
            key
            for key in ("athlete_id", "activity_id", "id", "activity_date", "as_of_date")
            if key in rows.column_names
        ]
        found[table.name] = rows.sort_by([(key, "ascending") for key in keys]).to_pylist()
    return found


def newest_commit(store: LocalStore, table: Table) -> Path:
    return max((store.path(table) / "_delta_log").glob("*.json"))


def test_a_table_with_another_contract_is_made_anew(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    expected = contents(store)
    rows = store.rows(tables.ROLLING)
    at = rows.schema.get_field_index("activities_30d")
    retyped = rows.set_column(at, "activities_30d", rows["activities_30d"].cast(pa.float64()))
    store.folder(tables.ROLLING).restart(retyped.append_column("mood", pa.array(["good"] * rows.num_rows)), {})
    with pytest.raises(ContractError, match=r"athlete-assets rebuild feature_store\.athlete_rolling_features"):
        store.replace_arrow(tables.ROLLING, rows.slice(0, 0))

    assert cli.main(["rebuild", "feature_store.athlete_rolling_features"]) == 0

    assert contents(store) == expected
    assert set(store.folder(tables.ROLLING).columns().types) == set(tables.ROLLING.column_names)
    assert "feature_store.athlete_rolling_features, 2024-01-01 to 2024-04-14" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("silver.strava_activities", "silver comes from upstream and is never made anew here"),
        ("strava_athlete", "silver comes from upstream and is never made anew here"),
        ("athlete_moods", "there is no table athlete_moods"),
        ("athlete_rolling_feature", "did you mean feature_store.athlete_rolling_features"),
    ],
)
def test_silver_and_unknown_tables_are_refused(
    store: LocalStore, name: str, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = store.version(tables.STRAVA_ACTIVITIES)
    assert cli.main(["rebuild", name]) == 2
    assert says in capsys.readouterr().err
    assert store.version(tables.STRAVA_ACTIVITIES) == before


def test_predictions_are_kept_by_a_rebuild(store: LocalStore, capsys: pytest.CaptureFixture[str]) -> None:
    from athlete_assets_tests.rows import rows

    given = rows(tables.PREDICTIONS, {"athlete_id": "a", "predicted_10k_s": 2400.0})
    older = given.drop_columns(["top_reasons"]).append_column("mood", pa.array(["good"]))
    store.folder(tables.PREDICTIONS).create(older.schema, partition_by=["month"])
    store.folder(tables.PREDICTIONS).append(older)
    assert cli.main(["rebuild", "athlete_predictions"]) == 0
    assert "1 row kept" in capsys.readouterr().out
    (row,) = store.rows(tables.PREDICTIONS).to_pylist()
    assert (row["athlete_id"], row["predicted_10k_s"], row["top_reasons"]) == ("a", 2400.0, None)
    assert "mood" not in store.folder(tables.PREDICTIONS).columns().types


# ------------------------------------------------------------------------------------------------------------- repair


def test_a_home_without_damage_is_left_as_it_is(store: LocalStore, capsys: pytest.CaptureFixture[str]) -> None:
    versions = {table: store.version(table) for table in (*tables.SILVER, *CHAIN)}
    assert cli.main(["repair"]) == 0
    assert "No table in" in capsys.readouterr().out
    assert {table: store.version(table) for table in (*tables.SILVER, *CHAIN)} == versions


def test_lost_files_and_a_broken_commit_are_healed_by_one_command(
    store: LocalStore, capsys: pytest.CaptureFixture[str]
) -> None:
    expected = contents(store)
    for file in (store.path(tables.DAILY) / "month=2024-02").glob("*.parquet"):
        file.unlink()
    newest_commit(store, tables.ROLLING).write_bytes(b"")
    stranger = store.folder(replace(tables.DAILY, name="someone_elses"))
    stranger.create(pa.schema([("a", pa.int64())]))

    assert cli.main(["repair", "--dry-run"]) == 1
    told = capsys.readouterr().out
    assert "feature_store.athlete_daily_features: 1 data file is missing or broken (month=2024-02/" in told
    assert "feature_store.athlete_rolling_features: 0000" in told
    assert cli.main(["repair"]) == 0

    told = capsys.readouterr().out
    assert "feature_store.athlete_daily_features, 2024-02-01 to 2024-02-29" in told
    assert "feature_store.athlete_rolling_features, 2024-01-01 to 2024-04-14" in told
    assert contents(store) == expected
    assert cli.main(["repair", "--dry-run"]) == 0
    assert stranger.exists()


def test_what_silver_lost_is_told_and_nothing_is_computed_from_the_rest(
    store: LocalStore, capsys: pytest.CaptureFixture[str]
) -> None:
    expected = contents(store)
    newest_commit(store, tables.STRAVA_ACTIVITIES).write_bytes(b"")
    for file in (store.path(tables.DAILY) / "month=2024-02").glob("*.parquet"):
        file.unlink()
    assert cli.main(["repair"]) == 1
    told = capsys.readouterr().out
    assert "silver.strava_activities: rows are lost; import the files that they came from again" in told
    assert "when silver is whole again: athlete-assets rebuild feature_store.athlete_daily_features" in told
    assert "feature_store.athlete_daily_features, 2024" not in told
    for batch in simulator.simulate(2, 0.3, 3, store.settings.today):
        landing.land(store, batch)
    assert cli.main(["rebuild", "athlete_daily_features"]) == 0
    assert contents(store) == expected
