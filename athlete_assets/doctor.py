"""`athlete-assets doctor`: how this machine and this home are, a line each, and what to do where one is not well."""

from __future__ import annotations

import os
import platform
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from importlib.metadata import version
from typing import NamedTuple

import dagster as dg

from athlete_assets import tables
from athlete_assets.deployments.instance import prepare_dagster_home
from athlete_assets.errors import AthleteAssetsError
from athlete_assets.models import registry
from athlete_assets.models.promotion import champion_version
from athlete_assets.models.specs import MODELS
from athlete_assets.monitoring.channels import channels_of
from athlete_assets.orchestration.waiting import UNFINISHED, clock, described, since
from athlete_assets.settings import PREFIX, Settings
from athlete_assets.silver.zones import machine_zone
from athlete_assets.store.base import refuse_changed
from athlete_assets.store.local import LocalStore
from athlete_assets.store.repair import damage_of
from athlete_assets.terminal import coloured, say, say_json
from athlete_assets.words import counted

LEAST_FREE_GB = 2.0
"""A build of a cohort writes hundreds of megabytes beside the versions that are kept."""
PYTHONS = ((3, 10), (3, 12))


class Line(NamedTuple):
    """One thing that was looked at. `todo` is empty where it is well."""

    what: str
    found: str
    todo: str = ""


def doctor(settings: Settings, as_json: bool = False) -> int:
    """Looks at everything and says a line for each; 0 where all is well, else 1. Changes nothing."""
    lines = []
    for line in looked_at(settings):
        lines.append(line)
        if not as_json:
            mark = coloured("todo", "yellow") if line.todo else coloured("ok  ", "green")
            say(f"{mark}  {line.what}: {line.found}" + (f"; {line.todo}" if line.todo else ""))
    wrong = sum(bool(line.todo) for line in lines)
    if as_json:
        say_json({"well": not wrong, "looked_at": [line._asdict() for line in lines]})
    else:
        say(f"{counted(wrong, 'thing')} to do." if wrong else "All is well.")
    return 1 if wrong else 0


def looked_at(settings: Settings) -> Iterator[Line]:
    """A line for each thing that was looked at, in order; one that cannot be looked at is to do."""
    looks = (_python, _engine, _disk, _clock, _alerts, *((_databricks,) if _on_databricks(settings) else _OF_A_HOME))
    for look in looks:
        try:
            yield from look(settings)
        except AthleteAssetsError as error:
            yield Line(look.__name__.strip("_"), "cannot be looked at", str(error))


def _on_databricks(settings: Settings) -> bool:
    return settings.deployment == "databricks"


def _python(settings: Settings) -> Iterator[Line]:
    first, last = PYTHONS
    good = first <= sys.version_info[:2] <= last
    names = " to ".join(f"{major}.{minor}" for major, minor in PYTHONS)
    found = f"{platform.python_version()}, athlete-assets {version('athlete-assets')}, Dagster {dg.__version__}"
    yield Line("Python", found, "" if good else f"install with Python {names}")


def _engine(settings: Settings) -> Iterator[Line]:
    if _on_databricks(settings):
        return
    if settings.engine == "sail":
        yield Line("engine", f"Sail {version('pysail')}, in this process; no Java is needed")
        return
    java = shutil.which("java") or os.environ.get("JAVA_HOME")
    todo = "" if java else f"install Java 17, or set {PREFIX}ENGINE=sail"
    yield Line("engine", f"Apache Spark {version('pyspark')}, Java at {java or 'no known place'}", todo)


def _disk(settings: Settings) -> Iterator[Line]:
    folder = settings.home.resolve()
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free / 1e9
    yield Line("disk", f"{free:.1f} GB free", "" if free >= LEAST_FREE_GB else f"free {LEAST_FREE_GB:g} GB or more")


def _clock(settings: Settings) -> Iterator[Line]:
    newest = max((file.stat().st_mtime for file in settings.home.glob("*/*/*/_delta_log/*.json")), default=0.0)
    ahead = f"a table was written at {clock(newest)}: set the clock" if newest > time.time() + 3600 else ""
    yield Line("clock", f"{clock(time.time())}; days end in {settings.time_zone}, and today is {settings.today}", ahead)
    here = machine_zone()
    if "time_zone" not in settings.model_fields_set and here not in (None, settings.time_zone):
        yield Line("time zone", f"{PREFIX}TIME_ZONE is not set; this machine's is {here}, {settings.time_zone} holds")


def _alerts(settings: Settings) -> Iterator[Line]:
    names = [channel.name for channel in channels_of(settings)]
    yield Line("alerts", f"go to {', '.join(names)}; `athlete-assets alerts --test` sends one to each")


def _databricks(settings: Settings) -> Iterator[Line]:
    yield Line("Databricks", "every right and setting is tried by `athlete-assets databricks check`")


def _home(settings: Settings) -> Iterator[Line]:
    home = settings.home.resolve()
    if not home.exists():
        yield Line("home", f"{home} is not there yet", "athlete-assets run fills it")
        return
    writable = os.access(home, os.W_OK | os.X_OK)
    yield Line("home", str(home), "" if writable else f"{home} cannot be written: give yourself the right to")
    store, stored = LocalStore(settings), 0
    for table in (*tables.ALL, *tables.LOCAL):
        name, folder = ".".join(table.path), store.folder(table)
        if not store.path(table).exists():
            continue
        stored += 1
        damage = damage_of(folder)
        if damage:
            yield Line(name, str(damage), "athlete-assets repair")
            continue
        try:
            columns = folder.columns()
            refuse_changed(table, columns.types, columns.required)
        except AthleteAssetsError as error:
            yield Line(name, "does not fit its contract", str(error))
    yield Line("tables", f"{stored} of {len(tables.ALL) + len(tables.LOCAL)} are there")


def _registry(settings: Settings) -> Iterator[Line]:
    if not (settings.home / "mlflow.db").exists():
        yield Line("models", "none was trained yet")
        return
    for model in MODELS:
        with registry.quietly():
            champion = champion_version(model, settings)
        none = "no version serves: too little to learn from yet, or the gate refused it (the check `gate` says which)"
        yield Line(f"model {model}", f"version {champion} serves" if champion else none)


def _runs(settings: Settings) -> Iterator[Line]:
    home = settings.home.resolve() / "dagster"
    if not home.exists():
        return
    with dg.DagsterInstance.from_config(str(prepare_dagster_home(settings))) as instance:
        unfinished = list(instance.get_runs(dg.RunsFilter(statuses=UNFINISHED)))
        for run in unfinished:
            hours = (time.time() - since(instance, run.run_id)) / 3600
            stuck = hours > settings.stuck_after_h
            todo = "the next `athlete-assets run` or `ui` ends it if its process is gone; else end it in the UI"
            yield Line("run", described(instance, run), todo if stuck else "")
        if not unfinished:
            yield Line("runs", "none goes on")


_OF_A_HOME: tuple[Callable[[Settings], Iterator[Line]], ...] = (_home, _registry, _runs)
