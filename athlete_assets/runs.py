"""Commands that run assets in this process, or have Dagster run them: run, maintain, forget, the UI."""

from __future__ import annotations

import importlib
import os
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace

import dagster as dg

from athlete_assets import partitions, tables
from athlete_assets.assets.builder import asset_key
from athlete_assets.assets.models import model_key
from athlete_assets.deployments.in_process import executed, opened_instance
from athlete_assets.deployments.instance import prepare_dagster_home
from athlete_assets.deployments.pages_server import shown
from athlete_assets.deployments.run_launcher import end_lost_runs
from athlete_assets.deployments.second_process import SecondProcess
from athlete_assets.deployments.ui import Heartbeats, serve
from athlete_assets.errors import AthleteAssetsError, InputError, StoreError
from athlete_assets.gold.pages import site
from athlete_assets.gold.pages.place import INDEX, folder_of
from athlete_assets.models import registry
from athlete_assets.models.specs import MODELS
from athlete_assets.orchestration.maintenance import MAINTENANCE_JOB
from athlete_assets.settings import Settings
from athlete_assets.silver import landing
from athlete_assets.store.local import LocalStore
from athlete_assets.store.session import spark_session
from athlete_assets.terminal import say
from athlete_assets.words import counted

LOADED_FOR_MODELS = (
    "athlete_assets.definitions",
    "mlflow.store.tracking.sqlalchemy_store",
    "catboost",
    "matplotlib.pyplot",
    "sklearn.linear_model",
    "scipy.special",
    "jinja2",
)
"""What steps of models import when they need it."""


@dataclass(frozen=True)
class Step:
    """One of the runs that make everything."""

    title: str
    keys: list[dg.AssetKey]
    span: tuple[str, str] | None = None
    """First and last partition, of assets that have some."""
    is_of_models: bool = False
    """Whether it makes models, or asks them: what does neither need not wait for it, nor load MLflow."""
    number: str = ""


def materialise_everything(settings: Settings) -> int:
    """Materialises all assets, oldest partition to newest. 0 when all went well, else 1."""
    store = LocalStore(settings)
    if not store.exists(tables.STRAVA_ACTIVITIES):
        raise AthleteAssetsError(
            f"there are no activities in {settings.home}; import a file or simulate a cohort first"
        )
    if not landing.has_activities_in_calendar(store):
        raise AthleteAssetsError(
            f"no activity in {settings.home} lies between 2000-01-01 and today ({settings.today}), so there is nothing "
            "to compute; look at the dates in the imported file"
        )
    with _instance(settings) as instance, _second_process(settings) as second:
        for step in steps(settings):
            if second and step.is_of_models:
                second.call(step.title)
            elif not _carried_out(step, settings, instance):
                return 1
        return 0 if second is None or second.went_well() else 1


def _second_process(settings: Settings) -> AbstractContextManager[SecondProcess | None]:
    """A process that carries out the steps `is_of_models` beside this one; None where there is no second core, or the
    engine is Apache Spark, which would take another heap."""
    if settings.engine == "spark" or os.cpu_count() == 1:
        return nullcontext()
    return SecondProcess(f"{__name__}:{prepared.__name__}")


@contextmanager
def prepared() -> Iterator[Callable[[str], bool]]:
    """What carries out the step of this home that has a title. All that the first one would have to wait for is there:
    packages, the instance, the engine, and what MLflow does once."""
    settings = Settings.load()
    with _instance(settings) as instance:
        for name in LOADED_FOR_MODELS:
            importlib.import_module(name)
        spark_session(settings.engine)
        registry.rehearse()
        yield lambda title: all(
            _carried_out(step, settings, instance) for step in steps(settings) if step.title == title
        )


def _carried_out(step: Step, settings: Settings, instance: dg.DagsterInstance) -> bool:
    started = time.monotonic()
    say(f"{step.number} {step.title}" + (f", {step.span[0]} to {step.span[1]}" if step.span else ""))
    job = _built(settings).resolve_implicit_global_asset_job_def().get_subset(asset_selection=set(step.keys))
    if not executed(job, say, step.span, instance).success:
        return False
    say(f"{step.number} done in {time.monotonic() - started:.1f} s")
    return True


def steps(settings: Settings) -> list[Step]:
    """The runs that make everything, in an order in which each finds what it rests on: those of models rest on what
    stands before the first of them, and the last one on all."""
    days, weeks = partitions.whole(partitions.daily(settings)), partitions.whole(partitions.weekly(settings))
    today, pages = (days[1], days[1]), tables.ATHLETE_PAGES
    summaries = [table for table in tables.SUMMARIES if table is not pages]
    made = [
        Step("daily features", _keys(*tables.DAILY_TABLES, *tables.STATE_TABLES), days),
        Step("labels", _keys(*tables.LABELS)),
        Step("models", [model_key(spec) for spec in MODELS.values()], is_of_models=True),
        Step("predictions", _keys(*tables.SCORED_TABLES), today, is_of_models=True),
        Step("weekly features", _keys(*tables.WEEKLY_TABLES), weeks),
        Step("summary and projection", _keys(*summaries)),
        Step("pages", _keys(pages), is_of_models=True),
    ]
    return [replace(step, number=f"[{number}/{len(made)}]") for number, step in enumerate(made, start=1)]


def project_plans(settings: Settings) -> int:
    """Makes the projections and the room for load anew, after a plan changed. 0 when all went well, else 1."""
    job = _built(settings).resolve_implicit_global_asset_job_def()
    projected = job.get_subset(asset_selection=set(_keys(tables.PROJECTION, tables.LOAD_ROOM)))
    return 0 if executed(projected, say).success else 1


def maintain(settings: Settings) -> int:
    """Runs the weekly maintenance now and prints what lay there before and after. 0 when all went well, else 1."""
    job = _built(settings).resolve_job_def(MAINTENANCE_JOB)
    result = executed(job, say)
    for event in result.all_events:
        if event.is_successful_output and "sizes" in event.step_output_data.metadata:
            sizes = event.step_output_data.metadata["sizes"]
            assert isinstance(sizes, dg.TableMetadataValue)
            for record in sizes.records:
                size = record.data
                say(
                    f"  {size['what']}: {counted(int(str(size['files before'])), 'file')}, {size['MB before']} MB -> "
                    f"{counted(int(str(size['files after'])), 'file')}, {size['MB after']} MB"
                    + (f" ({size['note']})" if size["note"] else "")
                )
    return 0 if result.success else 1


def forget_athlete(athlete: str, retrain: bool, settings: Settings) -> int:
    """Takes an athlete out of the home. 0 where no file holds the id any more, 1 where one does or training failed."""
    from athlete_assets.forgetting.athlete import SHOWN, forget

    say(f"Forgetting {athlete} ...")
    try:
        done = forget(athlete, settings, say)
    except StoreError as error:
        say(f"Not completed: {error}")
        return 1
    say(f"{counted(sum(done.rows.values()), 'row')} taken out; earlier versions of those tables are gone.")
    if done.versions:
        say("Trained or judged with the athlete, and kept:")
        for version in done.versions:
            say(f"  {version}")
        if not retrain:
            say("  --retrain trains the models anew.")
    if done.has_pages and not done.left:
        site.write_pages(LocalStore(settings), settings)  # the coach's page, without the athlete
    if done.left:
        say(f"The id still stands in {counted(len(done.left), 'place')} below {settings.home}:")
        for place in done.left[:SHOWN]:
            say(f"  {place}")
        say("Remove these files, or what holds the id in them, and run forget again.")
        return 1
    say(f"Proved: no file below {settings.home} holds the id.")
    return _retrained(settings) if retrain else 0


def tell_forget_job(athlete: str) -> int:
    """Says what to start where the tables are Unity Catalog's; the id itself is to stand in no run's config."""
    from athlete_assets.forgetting.workspace import FORGET_JOB, digest_of

    say(
        "Delete the athlete in silver first: it is your pipeline's. Then start the job "
        f"{FORGET_JOB} (Dagster UI, launchpad) with:\n"
    )
    say(f"ops:\n  take_out:\n    config:\n      digest: {digest_of(athlete)}\n")
    say("What else to do, and what the job cannot reach, is in docs/security.md.")
    return 0


def _retrained(settings: Settings) -> int:
    built = _built(settings)
    keys = {*(model_key(spec) for spec in MODELS.values()), *_keys(*tables.LABELS)}
    say("Training the models anew ...")
    result = executed(built.resolve_implicit_global_asset_job_def().get_subset(asset_selection=keys), say)
    if not result.success:
        return 1
    for check in result.get_asset_check_evaluations():
        if check.check_name == "gate":
            say(f"  {check.asset_key.path[-1]}: {'serves' if check.passed else 'does not serve'}; {check.description}")
    return 0


def open_ui(settings: Settings, port: int) -> int:
    """Runs `dagster dev` (webserver, daemon, code server) on this home until it is told to end; 0 then.

    Raises InputError where something else listens on the port.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the webserver does
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            raise InputError(
                f"port {port} cannot be had: another program listens there, perhaps an earlier `athlete-assets ui`, "
                "or it is reserved; end that, or choose another one with --port"
            ) from None
    home = str(prepare_dagster_home(settings))
    environment = {**os.environ, "DAGSTER_HOME": home}
    if "ui_url" not in settings.model_fields_set:
        environment["ATHLETE_UI_URL"] = f"http://127.0.0.1:{port}"  # for the links in alerts
    arguments = ["dev", "-m", "athlete_assets.definitions", "--host", "127.0.0.1", "--port", str(port)]
    with dg.DagsterInstance.from_config(home) as instance:
        if settings.deployment == "local":  # what a lost run left on a cluster is ended before its pools are free
            for sentence in end_lost_runs(instance):
                say(sentence)
        heartbeats = Heartbeats(instance, say)
        folder = folder_of(settings)
        with shown(folder, port + 1) if folder and not settings.reports_url else nullcontext() as address:
            if address:
                environment["ATHLETE_REPORTS_URL"] = address
                say(f"The pages: {address}/{INDEX}")
            return serve([sys.executable, "-m", "dagster", *arguments], environment, heartbeats.look)


def _instance(settings: Settings) -> dg.DagsterInstance:
    """The instance where the UI looks."""
    os.environ["DAGSTER_HOME"] = str(prepare_dagster_home(settings))
    return opened_instance()


def _built(settings: Settings) -> dg.Definitions:
    """The code location for jobs in this process, which are recorded where the UI looks."""
    from athlete_assets import definitions

    os.environ["DAGSTER_HOME"] = str(prepare_dagster_home(settings))
    return definitions.defs if settings == definitions.SETTINGS else definitions.build(settings)


def _keys(*of: tables.Table) -> list[dg.AssetKey]:
    return [asset_key(table) for table in of]
