"""The local Dagster instance: its folder below ATHLETE_HOME and the dagster.yaml in it."""

from __future__ import annotations

import os
from importlib.resources import files
from pathlib import Path

from athlete_assets.settings import Settings
from athlete_assets.store import new_databases

TEMPLATE = files("athlete_assets.deployments").joinpath("dagster.yaml")
BATCH_SIZE_VARIABLE = "DAGSTER_EVENT_BATCH_SIZE"
BATCH_SIZE = 2000
"""Events of one transaction, held in memory until then."""


def prepare_dagster_home(settings: Settings) -> Path:
    """Writes `<ATHLETE_HOME>/dagster/dagster.yaml` and returns its folder, the DAGSTER_HOME of this deployment.

    A file that this package wrote is brought up to date; one whose first line was removed is somebody's own and stays.
    Also sets DAGSTER_EVENT_BATCH_SIZE for this process and its children, unless it is set.
    """
    home = settings.home.resolve() / "dagster"
    wanted = TEMPLATE.read_text()
    marker = wanted.partition("\n")[0]
    path = home / "dagster.yaml"
    found = path.read_text() if path.is_file() else None
    if found != wanted and (found is None or found.partition("\n")[0] == marker):
        home.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(f".{os.getpid()}.partial")
        partial.write_text(wanted)
        partial.replace(path)
        found = wanted
    if found == wanted:  # somebody's own file may name other databases
        new_databases.lay("dagster_runs", home / "history" / "runs.db")
        new_databases.lay("dagster_events", home / "history" / "runs" / "index.db")
        new_databases.lay("dagster_schedules", home / "schedules" / "schedules.db")
    batch_events()
    return home


def batch_events() -> None:
    """Has Dagster hand partition events to the storage in batches, in this process and those that it starts."""
    os.environ.setdefault(BATCH_SIZE_VARIABLE, str(BATCH_SIZE))
