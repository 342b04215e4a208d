"""The local instance's folder and its dagster.yaml."""

import dagster as dg
from dagster._core.storage.runs import SqliteRunStorage
from sqlalchemy import create_engine, text

from athlete_assets.deployments.event_log import BatchingSqliteEventLogStorage
from athlete_assets.deployments.instance import prepare_dagster_home
from athlete_assets.settings import Settings


def test_dagster_accepts_the_file_and_loads_the_batching_storage_below_the_home(settings: Settings) -> None:
    home = prepare_dagster_home(settings)
    assert home == settings.home.resolve() / "dagster"
    with dg.DagsterInstance.from_config(str(home)) as instance:
        assert isinstance(instance.event_log_storage, BatchingSqliteEventLogStorage)
        assert (home / "history" / "runs" / "index.db").is_file()
        assert not instance.telemetry_enabled
        assert instance.run_monitoring_enabled
        pools = instance.get_concurrency_config().pool_config
        assert (pools.default_pool_limit, pools.pool_granularity.value) == (1, "op")


def test_a_home_with_quotes_and_colons_in_its_name_works(settings: Settings) -> None:
    awkward = settings.model_copy(update={"home": settings.home / 'it\'s: a "home" #1'})
    with dg.DagsterInstance.from_config(str(prepare_dagster_home(awkward))) as instance:
        assert isinstance(instance.event_log_storage, BatchingSqliteEventLogStorage)


def test_an_outdated_file_is_renewed_and_somebodys_own_is_left_alone(settings: Settings) -> None:
    path = prepare_dagster_home(settings) / "dagster.yaml"
    current = path.read_text()
    path.write_text(current.replace("enabled: true", "enabled: false"))
    prepare_dagster_home(settings)
    assert path.read_text() == current
    own = "telemetry:\n  enabled: false\n"
    path.write_text(own)
    prepare_dagster_home(settings)
    assert path.read_text() == own


def test_whoever_finds_a_database_held_by_another_waits_a_minute(settings: Settings) -> None:
    """Dagster's runs, its events and MLflow's database; Python by itself gives up after 5 s."""
    with dg.DagsterInstance.from_config(str(prepare_dagster_home(settings))) as instance:
        run_storage = instance.run_storage
        assert isinstance(run_storage, SqliteRunStorage)
        with run_storage.connect() as connection:
            assert connection.execute(text("PRAGMA busy_timeout")).scalar() == 60_000
        assert isinstance(instance.event_log_storage, BatchingSqliteEventLogStorage)
        with instance.event_log_storage.index_connection() as connection:
            assert connection.execute(text("PRAGMA busy_timeout")).scalar() == 60_000
    with create_engine(f"sqlite:///{settings.home}/mlflow.db").connect() as connection:
        assert connection.execute(text("PRAGMA busy_timeout")).scalar() == 60_000
