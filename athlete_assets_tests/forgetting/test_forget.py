"""Whoever leaves is gone from everything that a home holds, and nobody else is touched, wherever it is interrupted."""

from __future__ import annotations

import base64
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import time
import zlib
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import write_deltalake

from athlete_assets import tables
from athlete_assets.cli import main
from athlete_assets.days import Days
from athlete_assets.errors import InputError
from athlete_assets.forgetting import athlete, files, trained
from athlete_assets.forgetting.athlete import MARKER, RunsInWork, forget, tables_below
from athlete_assets.forgetting.occurrences import Wanted
from athlete_assets.forgetting.proof import in_bytes, offenders
from athlete_assets.gold.pages.site import page_name
from athlete_assets.models import labels, promotion, registry
from athlete_assets.orchestration.run_tags import ATHLETES
from athlete_assets.settings import Settings
from athlete_assets.silver.changes import Position
from athlete_assets.silver.local_changes import LocalSilver
from athlete_assets.store import erasure
from athlete_assets.store.arrow import arrow_schema
from athlete_assets.store.local import LocalStore
from athlete_assets_tests.features.rows import Activity, activity_table, day
from athlete_assets_tests.models.test_specs import SPEC

GONE, LONGER, OTHER = "strider1", "strider12", "anna"
"""No user of a machine is called so: MLflow notes who ran it and from where."""
PICTURE = f"![Weekly distance of {GONE}](data:image/png;base64,{base64.b64encode(b'png' * 50).decode()})"
DAYS = Days(day(0), day(199))


class Killed(BaseException):
    """Stands for a power cut between two writes."""


def silver(who: str, count: int) -> pa.Table:
    rows = [
        {
            "athlete_id": who,
            "id": 1000 + n,
            "start_date": activity["event_timestamp"],
            "start_date_local": activity["event_timestamp"].replace(tzinfo=None),
            "sport_type": "Run",
            "distance": 10_000.0,
            "moving_time": 3_000.0,
            "source": "simulated",
            "silver_ingestion_timestamp": activity["event_timestamp"],
        }
        for n, activity in enumerate(Activity(who, day(5 * n)).row(n) for n in range(count))
    ]
    return pa.Table.from_pylist(rows, schema=arrow_schema(tables.STRAVA_ACTIVITIES))


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory, sail: Any) -> Path:
    """A home with rows of three athletes in old and new versions, models, events, logs, and a database in use."""
    import mlflow

    home: Path = tmp_path_factory.mktemp("full") / "home"
    settings = Settings(home=home, start_date=day(0), as_of=day(199))
    store = LocalStore(settings)
    for who in (GONE, LONGER, OTHER):
        store.create(tables.STRAVA_ACTIVITIES)
        write_deltalake(str(store.path(tables.STRAVA_ACTIVITIES)), silver(who, 40), mode="append")
    runs = [Activity(who, day(n), minutes=50.0) for who in (GONE, LONGER, OTHER) for n in range(0, 200, 5)]
    rows = activity_table(runs)
    race = rows.schema.get_field_index("is_race")
    rows = rows.set_column(race, rows.schema.field(race), pa.array([True] * len(runs)))
    store.replace_arrow(tables.ACTIVITY, rows, DAYS)
    store.replace_arrow(tables.ACTIVITY, rows, DAYS)  # an earlier version holds everybody, too
    store.replace(tables.RACE_EFFORTS, labels.race_efforts(store.read(tables.ACTIVITY)))
    log = {
        "athlete_id": GONE,
        "prediction_date": Activity(GONE, day(3)).row(0)["activity_date"],
        "served_at": Activity(GONE, day(3)).row(0)["activity_date"],
        "dagster_run_id": "x",
        "features": "{}",
        "outputs": json.dumps({"served_by": "model"}),
        "month": "2024-01",
    }
    entries = [log, {**log, "athlete_id": LONGER}]
    store.create(tables.INFERENCE_LOG)
    store.replace_arrow(tables.INFERENCE_LOG, pa.Table.from_pylist(entries, schema=arrow_schema(tables.INFERENCE_LOG)))

    mlflow.set_tracking_uri(settings.mlflow_tracking_uri)
    mlflow.set_registry_uri(settings.mlflow_registry_uri)
    location = (home / "mlflow_artifacts").resolve().as_uri()
    experiment = mlflow.create_experiment("athlete_assets", artifact_location=location)
    for labels_version in (store.version(tables.RACE_EFFORTS), 0):
        with mlflow.start_run(experiment_id=experiment):
            mlflow.set_tag("delta_version.race_efforts", labels_version)
            mlflow.set_tag("mlflow.note.content", f"judged on {GONE} and {LONGER}")
            mlflow.log_text("not a picture", "plots/interval_calibration.png")
            logged = mlflow.pyfunc.log_model(
                name="model",
                python_model=registry.as_pyfunc(SPEC, SPEC.predict),
                registered_model_name=registry.model_name("time_estimator", settings),
                pip_requirements=[],
            )
        name = registry.model_name("time_estimator", settings)
        version = str(logged.registered_model_version)
        registry.client(settings).set_model_version_tag(name, version, promotion.KIND, promotion.LEARNED)

    athlete.prepare_dagster_home(settings)
    with dg.DagsterInstance.from_config(str(home / "dagster")) as instance:
        for who in (GONE, LONGER):
            chart = {"chart": dg.MetadataValue.md(PICTURE), "said": f"rows of {who}", "rows": 7}
            instance.report_runless_asset_event(dg.AssetMaterialization(["gold", "x"], metadata=chart))
        of_some = {ATHLETES: json.dumps([GONE, LONGER])}
        instance.add_run(dg.DagsterRun("late_rows", tags=of_some, status=dg.DagsterRunStatus.SUCCESS))
    (home / "dagster" / "storage").mkdir(exist_ok=True)
    (home / "dagster" / "storage" / "run.err").write_text(f"42 rows of {GONE}\n41 rows of {LONGER}\n")
    pages = home / "reports" / "athletes"
    pages.mkdir(parents=True)
    for who in (GONE, LONGER):
        (pages / page_name(who)).write_text(f"<h1>{who}</h1>")
    (home / "reports" / "index.html").write_text(f"{GONE}, {LONGER}")
    (home / "settings.env").write_text(f"ATHLETE_TIME_ZONE=UTC\nATHLETE_ALERT_EMAIL_TO={GONE}@example.org\n")
    return home


@pytest.fixture
def home(full: Path, tmp_path: Path) -> Settings:
    """A copy of it, whose MLflow still tells of the first one's files."""
    copy = tmp_path / "home"
    shutil.copytree(full, copy)
    return Settings(home=copy, start_date=day(0), as_of=day(199))


def everything(folder: Path) -> Iterator[tuple[Path, str]]:
    """Every file as text, by means of its own: Parquet as rows, SQLite dumped, the rest byte by byte."""
    for path in folder.rglob("*"):
        if path.suffix == ".parquet":
            yield path, str(pq.read_table(path).to_pylist())
        if path.is_file():
            yield path, path.read_bytes().decode("latin-1")
        if path.suffix == ".db":
            with closing(sqlite3.connect(path)) as connection:
                yield path, "\n".join(connection.iterdump())


def holds(folder: Path, who: str = GONE) -> list[str]:
    """Where an id stands that is not the beginning of the longer one."""
    return [str(path) for path, text in everything(folder) if who in text.replace(LONGER, "")]


def content(settings: Settings) -> dict[str, list[dict[str, Any]]]:
    """The rows of all tables but the athlete's, in order."""
    found = {}
    for table in tables_below(settings.home):
        rows = table.rows().to_pylist()
        kept = [row for row in rows if row["athlete_id"] != GONE]
        found[table.name] = sorted(kept, key=lambda row: json.dumps(row, default=str, sort_keys=True))
    return found


def test_every_trace_goes_and_everybody_else_stays(home: Settings) -> None:
    assert len(holds(home.home)) > 8, "the test sees something before"
    before = content(home)
    done = forget(GONE, home)
    assert done.left == []
    assert done.has_pages
    assert [page.name for page in (home.home / "reports").rglob("*.html")] == [page_name(LONGER)]
    assert holds(home.home) == []
    assert content(home) == before
    assert done.rows["feature_store.activity_features"] == 40
    assert done.rows["silver.strava_activities"] == 40
    log = (home.home / "dagster" / "storage" / "run.err").read_text()
    assert log == f"42 rows of forgotten\n41 rows of {LONGER}\n"
    assert (home.home / "settings.env").read_text() == "ATHLETE_TIME_ZONE=UTC\n"
    assert not (home.home / MARKER).exists()


def test_charts_leave_the_event_log_and_events_can_be_read(home: Settings) -> None:
    forget(GONE, home)
    with dg.DagsterInstance.from_config(str(home.home / "dagster")) as instance:
        records = instance.fetch_materializations(dg.AssetKey(["gold", "x"]), limit=5).records
        said = [record.asset_materialization.metadata for record in records]  # type: ignore[union-attr]
    assert [one["said"].value for one in said] == [f"rows of {LONGER}", "rows of forgotten"]
    assert {one["chart"].value for one in said} == {files.NO_PICTURE}
    assert {one["rows"].value for one in said} == {7}


def test_models_that_were_trained_with_the_athlete_are_listed_and_lose_their_pictures(
    home: Settings, full: Path
) -> None:
    """Version 2 was trained on the label table's version 0, before a row was in it."""
    done = forget(GONE, home)
    assert [(one.model, one.version, one.is_known) for one in done.versions] == [("time_estimator", "1", True)]
    client, name = registry.client(home), registry.model_name("time_estimator", home)
    assert client.get_model_version(name, "1").tags[trained.TAG] == "true"
    assert trained.TAG not in client.get_model_version(name, "2").tags
    assert len(list((home.home / "mlflow_artifacts").rglob("plots/*.png"))) == 1
    assert len(list((full / "mlflow_artifacts").rglob("plots/*.png"))) == 2, "the original keeps its own"
    # the labels' history is gone with the first: of the next athlete it can only be said that it may have been
    assert {(one.version, one.is_known) for one in forget(LONGER, home).versions} == {("1", False), ("2", False)}


def test_silver_has_no_news_for_the_sensor_and_what_comes_later_is_news(home: Settings) -> None:
    store = LocalStore(home)
    watched = LocalSilver(store)
    before = {
        name: Position(at.id, at.version, watched.newest_ingestion(tables.STRAVA_ACTIVITIES))
        for name, at in watched.positions().items()
    }
    forget(GONE, home)
    assert not watched.touched(before, watched.positions())
    write_deltalake(str(store.path(tables.STRAVA_ACTIVITIES)), silver("newcomer", 2), mode="append")
    touched = watched.touched(before, watched.positions())
    assert touched.days == {"newcomer": {day(0), day(5)}}


def test_the_engine_reads_and_replaces_windows_of_what_is_left(home: Settings) -> None:
    store = LocalStore(home)
    forget(GONE, home)
    assert store.read(tables.ACTIVITY).groupBy("athlete_id").count().count() == 2
    window = Days(day(0), day(99))
    store.replace(tables.ACTIVITY, store.read(tables.ACTIVITY, window), window)
    assert store.read(tables.ACTIVITY).count() == 80


STEPS = [
    *((erasure, step, nth) for step in ("_state", "_forget_files", "_forget_log") for nth in (1, 3)),
    *((files, "clean_database", nth) for nth in (1, 3)),
    *((athlete, step, 1) for step in ("mark", "_clean_settings", "prove")),
    (files, "clean_texts", 1),
]
"""What may be cut off, and at which of its calls."""


@pytest.mark.slow
@pytest.mark.parametrize(("module", "step", "nth"), STEPS, ids=[f"{step} {nth}" for _, step, nth in STEPS])
def test_a_kill_anywhere_is_completed_by_the_next_call(
    home: Settings, monkeypatch: pytest.MonkeyPatch, module: Any, step: str, nth: int
) -> None:
    before, calls = content(home), [0]
    real = getattr(module, step)

    def cut(*arguments: Any, **named: Any) -> Any:
        calls[0] += 1
        if calls[0] == nth:
            raise Killed
        return real(*arguments, **named)

    monkeypatch.setattr(module, step, cut)
    with pytest.raises(Killed):
        forget(GONE, home)
    assert (home.home / MARKER).exists()
    monkeypatch.undo()
    done = forget(GONE, home)
    assert [(one.version, one.is_known) for one in done.versions] == [("1", True)], "the first call looked"
    assert done.left == holds(home.home) == []
    assert content(home) == before


@pytest.mark.slow
def test_a_killed_process_is_completed_by_the_next_call(full: Path, tmp_path: Path) -> None:
    """`kill -9` at eight moments between the beginning and the proof."""
    command = [sys.executable, "-m", "athlete_assets.cli", "forget", "--athlete", GONE]

    def begun(home: Path) -> subprocess.Popen[bytes]:
        shutil.copytree(full, home)
        process = subprocess.Popen(
            command, env={**os.environ, "ATHLETE_HOME": str(home)}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        while not (home / MARKER).exists():
            assert process.poll() is None
            time.sleep(0.002)
        return process

    undisturbed = begun(tmp_path / "undisturbed")
    started = time.monotonic()
    while (tmp_path / "undisturbed" / MARKER).exists():
        time.sleep(0.01)
    took = time.monotonic() - started
    assert undisturbed.wait() == 0
    killed = 0
    for share in range(8):
        settings = Settings(home=tmp_path / f"killed_{share}", start_date=day(0), as_of=day(199))
        process = begun(settings.home)
        time.sleep(took * share / 8)
        process.kill()
        process.wait()
        if not (settings.home / MARKER).exists():
            continue  # it was faster than the first one
        killed += 1
        before = content(settings)
        assert forget(GONE, settings).left == holds(settings.home) == []
        assert content(settings) == before == content(Settings(home=full))
    assert killed >= 2


def test_an_unknown_athlete_is_refused_with_the_nearest_ids(
    home: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ATHLETE_HOME", str(home.home))
    assert main(["forget", "--athlete", "strider"]) == 2
    assert "the nearest ids: strider1, strider12" in capsys.readouterr().err
    with pytest.raises(InputError, match="there is no athlete"):
        forget("strider123", home)
    assert len(holds(home.home)) > 8


def test_a_file_that_still_holds_the_id_is_named_and_the_command_fails(
    home: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (home.home / "model.bin").write_bytes(b"\xff\xfe" + GONE.encode() + b"\x00")
    monkeypatch.setenv("ATHLETE_HOME", str(home.home))
    assert main(["forget", "--athlete", GONE]) == 1
    assert "model.bin: its bytes" in capsys.readouterr().out
    (home.home / "model.bin").unlink()
    assert main(["forget", "--athlete", GONE]) == 2, "it stands nowhere any more"


def test_a_run_in_work_is_waited_for(home: Settings) -> None:
    with dg.DagsterInstance.from_config(str(home.home / "dagster")) as instance:
        instance.add_run(dg.DagsterRun(job_name="daily_features", status=dg.DagsterRunStatus.STARTED))
    before = content(home)
    with pytest.raises(RunsInWork, match="STARTED"):
        forget(GONE, home)
    assert content(home) == before
    assert not (home.home / MARKER).exists()


def test_a_database_in_use_is_named_and_the_next_call_completes(
    home: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(files, "LOCKED_S", 0.1)
    monkeypatch.setenv("ATHLETE_HOME", str(home.home))
    index = home.home / "dagster" / "history" / "runs" / "index.db"
    with closing(sqlite3.connect(index)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        assert main(["forget", "--athlete", GONE]) == 1
        assert "stop `athlete-assets ui`" in capsys.readouterr().out
    assert main(["forget", "--athlete", GONE]) == 0
    assert holds(home.home) == []


# ---------------------------------------------------------------------------------------------------- what is searched


def test_a_home_below_a_folder_of_the_athletes_name_keeps_the_paths_of_its_files(tmp_path: Path) -> None:
    home = tmp_path / OTHER / "home"
    home.mkdir(parents=True)
    location, written = f"{home.as_uri()}/mlflow_artifacts", f'{{"path": "{home}/dagster"}}'
    with closing(sqlite3.connect(home / "a.db")) as connection:
        connection.execute("CREATE TABLE t (x TEXT)")
        connection.executemany("INSERT INTO t VALUES (?)", [(location,), (written,), (f"{OTHER} of {home}",)])
        connection.commit()
    wanted = athlete.wanted_in(home, OTHER, {OTHER, GONE})
    assert files.clean_database(home / "a.db", wanted) == 1
    with closing(sqlite3.connect(home / "a.db")) as connection:
        kept = [value for (value,) in connection.execute("SELECT x FROM t ORDER BY rowid")]
    assert kept == [location, written, f"forgotten of {home}"]
    assert not list(offenders(home, wanted))


def test_a_value_in_a_dictionary_page_that_no_row_has_is_found(tmp_path: Path) -> None:
    """A row group whose dictionary holds an id of a filtered row; and the bounds of its statistics."""
    kept = pa.array(["anna", GONE, "anna"]).dictionary_encode().take(pa.array([0, 2]))
    pq.write_table(pa.table({"athlete_id": kept}), tmp_path / "a.parquet", write_statistics=False, compression="zstd")
    assert pq.read_table(tmp_path / "a.parquet")["athlete_id"].to_pylist() == ["anna", "anna"]
    assert "column athlete_id" in list(in_bytes((tmp_path / "a.parquet").read_bytes(), Wanted(GONE)))


def test_lists_and_compressed_blobs_and_archives_are_opened(tmp_path: Path) -> None:
    nested = pa.table({"reasons": [["of strider1", "x"], None]})
    pq.write_table(nested, tmp_path / "lists.parquet")
    with closing(sqlite3.connect(tmp_path / "a.db")) as connection:
        connection.execute("CREATE TABLE snapshots (body BLOB)")
        connection.execute("INSERT INTO snapshots VALUES (?)", (zlib.compress(b'{"athlete": "strider1"}'),))
        connection.commit()
    (tmp_path / "inner.txt").write_text("strider1")
    shutil.make_archive(str(tmp_path / "export"), "zip", tmp_path, "inner.txt")
    (tmp_path / "inner.txt").unlink()
    found = {place.split(":")[0] for place in offenders(tmp_path, Wanted(GONE))}
    assert found == {"lists.parquet", "a.db", "export.zip"}
    assert not list(offenders(tmp_path, Wanted("strider", (GONE,))))


def test_two_values_side_by_side_are_no_id_of_a_database(tmp_path: Path) -> None:
    """As MLflow's: an athlete's id, and behind it the id of a run that begins with a digit."""
    path, run = tmp_path / "a.db", "3f6c0e5a"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA secure_delete = OFF")
        connection.execute("CREATE TABLE tags (value TEXT, run TEXT)")
        connection.executemany("INSERT INTO tags VALUES (?, ?)", [(GONE, run), ("other", run)] * 20)
        connection.commit()
        longer = Wanted(f"{GONE}3", (GONE,))
        assert longer.is_in_bytes(path.read_bytes())
        assert not list(offenders(tmp_path, longer))
        connection.execute("INSERT INTO tags VALUES (?, ?)", (longer.id, "a run"))
        connection.execute("DELETE FROM tags WHERE value = ?", (longer.id,))
        connection.commit()
    assert list(offenders(tmp_path, longer)) == ["a.db: bytes of the database"]


def test_a_deleted_row_is_found_in_a_databases_free_pages_until_it_is_cleaned(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA secure_delete = OFF")
        connection.execute("CREATE TABLE t (x TEXT)")
        connection.execute("INSERT INTO t VALUES (?)", (f"rows of {GONE} " * 300,))
        connection.commit()
        connection.execute("DELETE FROM t")
        connection.commit()
    assert list(offenders(tmp_path, Wanted(GONE))) == ["a.db: bytes of the database"]
    files.clean_database(path, Wanted(GONE))
    assert not list(offenders(tmp_path, Wanted(GONE)))
