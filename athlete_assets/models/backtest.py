"""What models learn from and are judged by in files of runs: labels with features, built in a scratch home."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from athlete_assets import tables
from athlete_assets.days import Days, monday_of
from athlete_assets.errors import InputError
from athlete_assets.features import activity, daily, performance, rolling
from athlete_assets.models import labels, overtraining_detector, population, training_set
from athlete_assets.settings import Settings
from athlete_assets.silver import imports, landing, simulator
from athlete_assets.silver.imports import ImportedRuns
from athlete_assets.silver.rights import refuse_api_data
from athlete_assets.silver.simulator import SilverBatch
from athlete_assets.store.athletes import EVERYONE
from athlete_assets.store.local import LocalStore
from athlete_assets.store.pieces import pieces
from athlete_assets.words import counted

if TYPE_CHECKING:
    import pandas as pd

FIRST_DAY = date(2000, 1, 3)
STRAY_DAYS = 366
"""An activity dated so much later than all but a thousandth of the others does not set the last day."""


@dataclass(frozen=True)
class Labelled:
    """Labels with the features known on the evening before, and what the files held."""

    efforts: pd.DataFrame
    disruptions: pd.DataFrame
    summary: dict[str, Any]


def labelled_files(
    files: Sequence[Path], settings: Settings, say: Callable[[str], None] = lambda line: None
) -> Labelled:
    """The labels of all files, each with its file's name in `file`; the athletes of two files are never the same.

    The summary is by file. Raises InputError for a file that cannot be read, or for two of one name.
    """
    import pandas as pd

    names = [file.name for file in files]
    if len(set(names)) < len(names):
        raise InputError(f"{', '.join(names)}: the figures are told by name of file; name each another")
    found = {file.name: labelled_file(file, settings, say) for file in files}

    def together(part: Callable[[Labelled], pd.DataFrame]) -> pd.DataFrame:
        return pd.concat(
            [
                part(of_file).assign(file=name, athlete_id=f"{number} " + part(of_file)["athlete_id"])
                for number, (name, of_file) in enumerate(found.items())
            ],
            ignore_index=True,
        )

    return Labelled(
        together(lambda one: one.efforts),
        together(lambda one: one.disruptions),
        {name: one.summary for name, one in found.items()},
    )


def labelled_cohort(
    athletes: int, years: float, seed: int, settings: Settings, say: Callable[[str], None] = lambda line: None
) -> Labelled:
    """The same of a simulated cohort that ends today, as if it were a file."""
    name = f"{counted(athletes, 'simulated athlete')} over {years:g} year{'' if years == 1 else 's'} (seed {seed})"
    found = labelled_runs(list(simulator.simulate(athletes, years, seed, settings.today)), settings, say)
    return Labelled(found.efforts.assign(file=name), found.disruptions.assign(file=name), {name: found.summary})


def labelled_file(runs: Path, settings: Settings, say: Callable[[str], None] = lambda line: None) -> Labelled:
    """Imports a file into a scratch home, builds the features that the models need, and joins the labels to them."""
    say(f"Reading {runs} ...")
    return labelled_runs([imports.read_runs(runs, settings)], settings, say)


def labelled_runs(
    batches: Sequence[ImportedRuns | SilverBatch], settings: Settings, say: Callable[[str], None] = lambda line: None
) -> Labelled:
    """The same of batches in the silver contract."""
    days = calendar(pa.chunked_array([chunk for batch in batches for chunk in _days(batch).chunks]))
    with tempfile.TemporaryDirectory(prefix="athlete_evaluate_") as scratch:
        here = settings.model_copy(
            update={
                "home": Path(scratch),
                "deployment": "local",
                "start_date": monday_of(days.first),
                "as_of": days.last,
            }
        )
        store = LocalStore(here)
        for batch in batches:
            landing.land(store, batch)
        build_features(store, Days(monday_of(days.first), days.last), say)
        accepted = store.read(tables.ACTIVITY)
        refuse_api_data(accepted, "training", here)
        efforts = training_set.labelled(
            store.read(tables.RACE_EFFORTS), store.read(tables.PERFORMANCE), store.read(tables.ROLLING)
        ).toPandas()
        disruptions = overtraining_detector.labelled(
            store.read(tables.DISRUPTIONS), store.read(tables.ROLLING), store.read(tables.PERFORMANCE)
        ).toPandas()
        summary = {
            "activities": sum(batch.activities.num_rows for batch in batches),
            "kind": population.kind_of(accepted) or "real and simulated",
            "accepted": accepted.count(),
            "athletes": accepted.select("athlete_id").distinct().count(),
            "first_day": str(days.first),
            "last_day": str(days.last),
            "efforts": _counts(efforts),
        }
    return Labelled(_ordered(efforts, "activity_date"), _ordered(disruptions, "as_of_date"), summary)


def _ordered(rows: pd.DataFrame, day: str) -> pd.DataFrame:
    """In one order, so that the same file gives the same figures."""
    keys = ["athlete_id", day, *(["activity_id"] if "activity_id" in rows else [])]
    return rows.sort_values(keys, ignore_index=True)


def _counts(efforts: pd.DataFrame) -> dict[str, dict[str, int]]:
    counts: dict[str, dict[str, int]] = {}
    for distance, effort in zip(efforts["distance"], efforts["effort"], strict=True):
        of_distance = counts.setdefault(str(distance), {})
        of_distance[str(effort)] = of_distance.get(str(effort), 0) + 1
    return counts


def _days(batch: ImportedRuns | SilverBatch) -> pa.ChunkedArray:
    return pc.cast(batch.activities["start_date_local"], pa.date32())


def calendar(days: pa.ChunkedArray) -> Days:
    """The first to the last of activities' days; later strays (a watch set to the wrong year) are in the future."""
    days = days.drop_null()
    stamps = np.sort(days.to_numpy(zero_copy_only=False).astype("datetime64[D]"))
    stamps = stamps[stamps >= np.datetime64(FIRST_DAY)]
    if not len(stamps):
        raise InputError("no activity has a date from 2000 on; there is nothing to evaluate")
    usual = stamps[min(int(len(stamps) * 0.999), len(stamps) - 1)]
    last = stamps[stamps <= usual + np.timedelta64(STRAY_DAYS, "D")][-1]
    return Days(stamps[0].astype(date), last.astype(date))


def build_features(store: LocalStore, days: Days, say: Callable[[str], None] = lambda line: None) -> None:
    """Silver to features and labels over the days, in pieces that fit into memory, without an orchestrator."""
    settings = store.settings
    for piece in pieces(store, tables.PERFORMANCE, days):
        say(f"Building features of {piece.athletes or EVERYONE} ...")
        silver, stated = piece.read(tables.STRAVA_ACTIVITIES), piece.read(tables.STRAVA_ATHLETE)
        recordings, efforts = (piece.read_if_there(table) for table in tables.OPTIONAL)
        splits = activity.of_activities(piece.read(tables.STRAVA_SUB_ACTIVITY), silver, days)
        rows = activity.activity_features(silver, splits, stated, days, settings, recordings, efforts)
        piece.replace(tables.ACTIVITY, rows, days)
        activities = piece.read(tables.ACTIVITY)
        piece.replace(tables.DAILY, daily.daily_features(activities, days), days)
        of_days, nothing = piece.read(tables.DAILY), piece.read(tables.ROLLING).limit(0)
        piece.replace(
            tables.ROLLING, rolling.rolling_features(of_days, activities, nothing, days, settings, stated), days
        )
        rows = performance.performance_features(of_days, activities, days, efforts)
        piece.replace(tables.PERFORMANCE, rows, days)
    store.replace(tables.RACE_EFFORTS, labels.race_efforts(store.read(tables.ACTIVITY)))
    store.replace(tables.DISRUPTIONS, labels.training_disruptions(store.read(tables.DAILY)))
