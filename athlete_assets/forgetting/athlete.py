"""Forgets an athlete: everything below ATHLETE_HOME that holds the id, and the proof that nothing does any more.

What is not named by the id stays: the coefficients of a model that also learned from the athlete (such versions are
listed, and can be trained anew), and what was sent out of the home, such as alerts.
"""

from __future__ import annotations

import difflib
import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import dagster as dg

from athlete_assets.deployments.instance import prepare_dagster_home
from athlete_assets.errors import AthleteAssetsError, InputError
from athlete_assets.forgetting import files, proof
from athlete_assets.forgetting.occurrences import Wanted
from athlete_assets.forgetting.trained import TrainedWith, mark, trained_with
from athlete_assets.gold.pages.site import remove_page
from athlete_assets.settings import HOME_FILE, Settings
from athlete_assets.silver import import_log, landing
from athlete_assets.store.delta_folder import DeltaFolder
from athlete_assets.store.erasure import LOG, erase
from athlete_assets.store.local import LocalStore
from athlete_assets.store.sql import delta_literal
from athlete_assets.words import counted

MARKER = "forgetting.json"
"""Below the home while an athlete is being forgotten: whom, and which models were trained with whom."""
NEAREST = 5
SHOWN = 20
IN_WORK = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


class RunsInWork(AthleteAssetsError):
    """A run could write again what is being taken out."""


@dataclass(frozen=True)
class Forgotten:
    """What was taken out, and where the id still stands."""

    rows: dict[str, int]
    versions: list[TrainedWith]
    left: list[str]
    has_pages: bool
    """Whether the athlete had a page, so that the coach's page, which went with it, has to be written anew."""


def forget(athlete: str, settings: Settings, say: Callable[[str], None] = lambda line: None) -> Forgotten:
    """Takes the athlete out of the home, and searches every file of it for the id.

    Raises InputError with the nearest ids for one that stands nowhere, RunsInWork, and StoreError while another
    process holds a database. A call that was killed is completed by the next one.
    """
    home = settings.home.resolve()
    store = LocalStore(settings)
    ids = known_ids(home / settings.catalog)
    wanted = wanted_in(settings.home, athlete, ids)
    marker = home / MARKER
    begun = _begun(marker, athlete)
    if begun is None and athlete not in ids and next(proof.offenders(home, wanted), None) is None:
        raise InputError(_unknown(athlete, ids, home))
    _refuse_runs(settings)
    if begun is None:
        versions = list(trained_with(athlete, store)) if (home / "mlflow.db").is_file() else []
        _begin(marker, athlete, versions)
    else:
        versions = begun
        say("Goes on where an earlier call ended.")

    with landing.landing_lock(store):  # an import meanwhile would compare with rows that are being taken out
        import_log.complete(store)
        pages = remove_page(hashlib.sha256(athlete.encode()).hexdigest(), settings)
        rows = _taken_out(wanted, versions, settings, say)
    return Forgotten(rows, versions, prove(wanted, home), has_pages=pages > 0)


def wanted_in(home: Path, athlete: str, ids: set[str]) -> Wanted:
    """What is looked for: the id, but for where it is a part of another's, or of the home's own path. The databases
    name files by that path, and would lead nowhere with another word in it."""
    at = home.absolute(), home.resolve()
    return Wanted(athlete, (*sorted(ids - {athlete}), *map(str, at), *(path.as_uri() for path in at)))


def _taken_out(
    wanted: Wanted, versions: list[TrainedWith], settings: Settings, say: Callable[[str], None]
) -> dict[str, int]:
    home = settings.home.resolve()
    rows = {}
    for table in sorted(tables_below(home / settings.catalog), key=_silver_first):
        whose = f"athlete_id = {delta_literal(wanted.id)}" if "athlete_id" in table.columns().types else None
        rows[table.name] = erase(table, whose, partial(_is_traced, table, wanted))
        if rows[table.name]:
            say(f"  {table.name}: {counted(rows[table.name], 'row')}")
    for version in versions:
        say(f"  {version}: {counted(mark(version, settings), 'picture')} of its evaluation")
    for path in files.databases(home):
        changed = files.clean_database(path, wanted)
        if changed:
            say(f"  {path.relative_to(home)}: {counted(changed, 'value')}")
    _clean_settings(home / HOME_FILE, wanted)
    texts = files.clean_texts(home, wanted, but=[home / MARKER])
    if texts:
        say(f"  {counted(texts, 'log or other text', 'logs and other texts')}")
    return rows


def prove(wanted: Wanted, home: Path) -> list[str]:
    """Where the id still stands, the marker aside, which is then removed."""
    marker = home / MARKER
    left = list(proof.offenders(home, wanted, but=[marker]))
    marker.unlink(missing_ok=True)
    return left


def tables_below(folder: Path) -> Iterator[DeltaFolder]:
    """The Delta tables below a folder, those of no contract, too."""
    for log in sorted(folder.rglob(LOG)):
        if log.is_dir():
            yield DeltaFolder(log.parent, f"{log.parent.parent.name}.{log.parent.name}")


def known_ids(catalog: Path) -> set[str]:
    """The athletes of all tables, as their newest versions have them."""
    ids: set[str] = set()
    for table in tables_below(catalog):
        if "athlete_id" in table.columns().types:
            found = table.query("SELECT DISTINCT athlete_id FROM t")
            ids |= {str(value) for value in found.column(0).to_pylist() if value is not None}
    return ids


def _unknown(athlete: str, ids: set[str], home: Path) -> str:
    near = difflib.get_close_matches(athlete, ids, n=NEAREST, cutoff=0.4) or sorted(ids)[:NEAREST]
    return f"there is no athlete {athlete!r} in {home}; the nearest ids: {', '.join(near) or 'there is none at all'}"


def _refuse_runs(settings: Settings) -> None:
    if not (settings.home / "dagster" / "history" / "runs.db").is_file():
        return
    with dg.DagsterInstance.from_config(str(prepare_dagster_home(settings))) as instance:
        runs = instance.get_runs(dg.RunsFilter(statuses=IN_WORK), limit=3)
    if runs:
        named = ", ".join(f"{run.run_id[:8]} ({run.status.value})" for run in runs)
        raise RunsInWork(
            f"{named}: a run in work could write again what is taken out; wait for it, or, where its process is gone, "
            "terminate it in the UI, and stop the UI before the next try"
        )


def _begun(marker: Path, athlete: str) -> list[TrainedWith] | None:
    """The models of a call that was killed; None where there was none for this athlete."""
    if not marker.is_file():
        return None
    stated: dict[str, Any] = json.loads(marker.read_text())
    if stated["athlete"] != athlete:
        raise InputError(
            f"{marker}: an earlier call that forgets {stated['athlete']!r} was not completed; run that one again first"
        )
    return [TrainedWith(**version) for version in stated["versions"]]


def _begin(marker: Path, athlete: str, versions: list[TrainedWith]) -> None:
    partial = marker.with_suffix(".partial")
    partial.write_text(json.dumps({"athlete": athlete, "versions": [vars(version) for version in versions]}))
    partial.replace(marker)


def _is_traced(table: DeltaFolder, wanted: Wanted) -> bool:
    return next(proof.offenders(table.path, wanted), None) is not None


def _silver_first(table: DeltaFolder) -> tuple[bool, Path]:
    """Silver first: what is computed while the rest is taken out no longer knows the athlete."""
    return table.path.parent.name != "silver", table.path


def _clean_settings(path: Path, wanted: Wanted) -> None:
    """Removes the lines of the home's settings that name the athlete: the defaults hold again."""
    if path.is_file():
        lines = path.read_text().splitlines(keepends=True)
        kept = [line for line in lines if not any(wanted.is_in(part.strip()) for part in line.split("=", 1))]
        if kept != lines:
            partial = path.with_suffix(".partial")
            partial.write_text("".join(kept))
            partial.replace(path)
