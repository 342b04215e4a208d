"""What breaks around the product, one thing at a time: what it says, what it leaves, and that the next run mends it."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import pandas as pd
import pytest
from deltalake import DeltaTable, write_deltalake

from athlete_assets import cli, tables
from athlete_assets.models import registry
from athlete_assets.settings import Settings
from athlete_assets.store.local import LocalStore
from athlete_assets_tests.live import BY_DAY, assert_same, calendars, contents, rebuilt
from athlete_assets_tests.stress.victims import Job, Victim

pytestmark = pytest.mark.stress

TODAY = date(2024, 6, 26)
Figure = Callable[[str], None]


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A small disk of its own, which a test can fill and make read-only."""
    folder = tmp_path_factory.mktemp("disk")
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=512m", "tmpfs", str(folder)], capture_output=True)
    if made.returncode != 0:
        pytest.skip(f"no disk can be mounted here: {made.stderr.decode().strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.fixture(scope="module")
def settings(disk: Path) -> Iterator[Settings]:
    """Three athletes over half a year, everything materialised."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ATHLETE_HOME", str(disk / "home"))
        patch.setenv("ATHLETE_AS_OF", str(TODAY))
        assert cli.main(["run", "--athletes", "3", "--years", "0.5"]) == 0
        yield Settings.load()


@pytest.fixture(scope="module")
def good(settings: Settings) -> dict[str, pd.DataFrame]:
    return unscored(LocalStore(settings))


def unscored(store: LocalStore) -> dict[str, pd.DataFrame]:
    """The tables but those that a model wrote: some of these tests train another one."""
    scored = {table.name for table in (tables.PREDICTIONS, tables.INFERENCE_LOG, tables.PREDICTION_OUTCOMES)}
    return {name: rows for name, rows in contents(store).items() if name not in scored}


def key(table: tables.Table) -> str:
    return "/".join(table.path)


def by_day(settings: Settings, today: date = TODAY, recorded: bool = False) -> Job:
    """The run that writes every daily table over all days."""
    days = (calendars(settings)[0][0], str(today))
    return Job(settings.home, today, [key(table) for table in BY_DAY], days, recorded=recorded)


def scoring(settings: Settings) -> Job:
    return Job(settings.home, TODAY, [key(tables.PREDICTIONS), key(tables.INFERENCE_LOG)], (str(TODAY), str(TODAY)))


def training(settings: Settings) -> Job:
    return Job(settings.home, TODAY, ["models/time_estimator", "models/overtraining_detector"])


def fill(path: Path) -> None:
    with open(path, "wb", buffering=0) as file:
        while True:
            file.write(bytes(1 << 16))


def test_a_full_disk_fails_the_step_leaves_the_tables_and_is_forgotten_once_there_is_room(
    disk: Path, settings: Settings, good: dict[str, pd.DataFrame], figure: Figure
) -> None:
    filler = disk / "filler"
    with pytest.raises(OSError, match="No space left"):
        fill(filler)
    try:
        said = Victim(by_day(settings)).outcome()
        assert "No space left on device" in said
        assert tables.ACTIVITY.name in said
        assert_same(unscored(LocalStore(settings)), good)
    finally:
        filler.unlink()
    Victim(by_day(settings)).finish()
    assert_same(unscored(LocalStore(settings)), good)
    figure(f"disk full: {said[:200]}")


def test_a_read_only_home_fails_the_step_and_leaves_the_tables(
    settings: Settings, good: dict[str, pd.DataFrame], figure: Figure
) -> None:
    said = Victim(replace(by_day(settings), read_only=True)).outcome()
    assert "Read-only file system" in said
    Victim(by_day(settings)).finish()
    assert_same(unscored(LocalStore(settings)), good)
    figure(f"read-only: {said[:200]}")


@pytest.mark.parametrize("database", ["history/runs.db", "history/runs/index.db"])
def test_a_database_that_is_locked_for_a_while_is_waited_for(settings: Settings, database: str, figure: Figure) -> None:
    path = settings.home / "dagster" / database
    assert path.is_file()
    held = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    held.execute("BEGIN EXCLUSIVE")
    threading.Timer(8, lambda: (held.execute("COMMIT"), held.close())).start()
    began = time.monotonic()
    said = Victim(by_day(settings, recorded=True)).outcome()
    assert said == "done"
    figure(f"{database} locked for 8 s: the run was done after {time.monotonic() - began:.0f} s")


def test_a_missing_alias_is_said_and_training_brings_it_back(settings: Settings, figure: Figure) -> None:
    name = registry.model_name("time_estimator", settings)
    registry.client(settings).delete_registered_model_alias(name, registry.CHAMPION)
    said = Victim(scoring(settings)).outcome()
    assert f"no champion of {name} is registered; materialise models/time_estimator first" in said
    Victim(training(settings)).finish()
    Victim(scoring(settings)).finish()
    figure(f"missing alias: {said[:200]}")


def test_missing_artifacts_are_said_and_training_brings_them_back(settings: Settings, figure: Figure) -> None:
    artifacts = settings.home / "mlflow_artifacts"
    assert artifacts.is_dir()
    shutil.move(artifacts, away := settings.home / "away")
    said = Victim(scoring(settings)).outcome()
    assert said != "done"
    Victim(training(settings)).finish()
    Victim(scoring(settings)).finish()
    shutil.rmtree(away)
    figure(f"missing artifacts: {said[:200]}")


def newest_commit(settings: Settings, table: tables.Table) -> Path:
    return max((LocalStore(settings).path(table) / "_delta_log").glob("*.json"))


def test_an_empty_commit_is_refused_by_name_and_repair_brings_its_rows_back(
    settings: Settings, good: dict[str, pd.DataFrame], figure: Figure
) -> None:
    commit = newest_commit(settings, tables.DAILY)
    commit.write_bytes(b"")
    said = Victim(by_day(settings)).outcome()
    assert f"{commit} is empty or broken" in said
    assert cli.main(["repair"]) == 0
    assert_same(unscored(LocalStore(settings)), good)
    figure(f"corrupt log: {said[:200]}")


def test_a_lost_data_file_is_said_and_repair_brings_its_rows_back(
    settings: Settings, good: dict[str, pd.DataFrame], figure: Figure
) -> None:
    lost = Path(DeltaTable(str(LocalStore(settings).path(tables.DAILY))).file_uris()[0].removeprefix("file://"))
    lost.unlink()
    weeks = Job(settings.home, TODAY, [key(tables.WEEKLY)], calendars(settings)[1])
    said = Victim(weeks).outcome()
    assert said != "done"
    assert cli.main(["repair"]) == 0
    Victim(weeks).finish()
    assert_same(unscored(LocalStore(settings)), good)
    figure(f"missing file: {said[:200]}")


def test_a_home_of_an_earlier_contract_goes_on(
    settings: Settings, good: dict[str, pd.DataFrame], figure: Figure
) -> None:
    path = str(LocalStore(settings).path(tables.DAILY))
    rows = DeltaTable(path).to_pyarrow_table()
    lacking = next(column.name for column in tables.DAILY.columns if column.nullable)
    older = rows.drop_columns([lacking])
    write_deltalake(path, older, mode="overwrite", schema_mode="overwrite", partition_by=["month"])
    Victim(by_day(settings)).finish()
    assert_same(unscored(LocalStore(settings)), good)
    figure(f"older home: {lacking} was added before the first write")


def test_a_clock_that_jumps_days_ahead_and_back_leaves_the_tables_of_a_rebuild(
    settings: Settings, figure: Figure
) -> None:
    ahead = TODAY + timedelta(days=3)
    for today in (ahead, TODAY - timedelta(days=2), TODAY, ahead):
        Victim(by_day(settings, today)).finish()
    then = settings.model_copy(update={"as_of": ahead})
    Victim(Job(settings.home, ahead, [key(tables.WEEKLY)], calendars(then)[1])).finish()
    Victim(Job(settings.home, ahead, [key(table) for table in tables.SUMMARIES])).finish()
    found = contents(LocalStore(then))
    wanted = rebuilt(then)
    for frames in (found, wanted):
        frames.pop(tables.PREDICTIONS.name), frames.pop(tables.INFERENCE_LOG.name, None)
    assert_same(found, wanted)
    figure("clock 3 days ahead, 5 back, ahead again: tables equal to a rebuild")
