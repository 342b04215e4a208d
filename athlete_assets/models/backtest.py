"""`athlete-assets evaluate`: how good the models are on a file of runs, in a scratch home that is gone afterwards."""

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
from athlete_assets.models import (
    detector_evaluation,
    labels,
    overtraining_detector,
    population,
    time_evaluation,
    training_set,
)
from athlete_assets.models.overtraining_detector import OvertrainingDetectorOptions
from athlete_assets.models.splits import TooLittleToLearnFrom
from athlete_assets.models.time_estimator import TimeEstimatorOptions
from athlete_assets.settings import Settings
from athlete_assets.silver import imports, landing, quality
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
    """A file's labels with the features known on the evening before, and what the file held."""

    efforts: pd.DataFrame
    disruptions: pd.DataFrame
    summary: dict[str, Any]


def evaluate(
    runs: Path, train_runs: Path | None, settings: Settings, say: Callable[[str], None] = lambda line: None
) -> dict[str, Any]:
    """Trains and scores; returns the figures as a JSON-able dict (`text` holds them as tables for people).

    Without `train_runs`: leave-athletes-out and forward in time within `runs`. With it: trained on all of the one,
    scored on all of the other. Raises InputError for a file that cannot be read, and TooLittleToLearnFrom that says
    what is missing where the file does not carry a time estimator.
    """
    scored = labelled_file(runs, settings, say)
    times, risks = TimeEstimatorOptions.of(settings), OvertrainingDetectorOptions.of(settings)
    report: dict[str, Any] = {"runs": {"file": runs.name, **scored.summary}}
    if train_runs is None:
        say("Training on other athletes, fold by fold ...")
        parts = {"unseen_athletes": time_evaluation.unseen_athletes(scored.efforts, options=times)}
        say("Training on the past, cut by cut ...")
        parts["forward_in_time"] = time_evaluation.forward_in_time(scored.efforts, times)
        evenings = scored.disruptions
        detector = {
            "unseen_athletes": _detector(lambda: detector_evaluation.unseen_athletes(evenings, options=risks), risks),
            "forward_in_time": _detector(lambda: detector_evaluation.forward_in_time(evenings, risks), risks),
        }
    else:
        training = labelled_file(train_runs, settings, say)
        report["train_runs"] = {"file": train_runs.name, **training.summary}
        say("Training on the one file, scoring the other ...")
        parts = {"other_athletes": time_evaluation.other_athletes(training.efforts, scored.efforts, times)}
        detector = {
            "other_athletes": _detector(
                lambda: detector_evaluation.other_athletes(training.disruptions, scored.disruptions, risks), risks
            )
        }
    if scored.summary["kind"] in (population.REAL, population.SIMULATED):
        line = population.shipped(scored.summary["kind"])
        parts["population_line_as_shipped"] = time_evaluation.by_population(scored.efforts, line)
        report["population_line"] = line.figures
    report["time_estimator"] = {name: time_evaluation.figures(part) for name, part in parts.items()}
    report["goals"] = {
        name: [vars(outcome) for outcome in time_evaluation.goal_outcomes(part)]
        for name, part in report["time_estimator"].items()
    }
    report["overtraining_detector"] = detector
    report["text"] = as_text(report)
    return report


def _detector(predicted: Callable[[], pd.DataFrame], options: OvertrainingDetectorOptions) -> dict[str, Any]:
    try:
        return detector_evaluation.figures(predicted(), options)
    except TooLittleToLearnFrom as error:
        return {"abstained": str(error)}


def as_text(report: dict[str, Any]) -> str:
    """The report as tables for people."""
    lines = []
    if "population_line" in report:
        made = report["population_line"]["athletes"]
        lines += [
            f"The population line was fitted on {counted(made, 'athlete')}; where these are among them it flatters",
            "",
        ]
    for name, figures in report["time_estimator"].items():
        lines += [time_evaluation.as_text(f"Time estimator, {name.replace('_', ' ')}", figures), ""]
        for verdict in report["goals"][name]:
            lines.append(f"  {'met   ' if verdict['met'] else 'MISSED'}  {verdict['sentence']}")
        lines.append("")
    for name, figures in report["overtraining_detector"].items():
        lines += [detector_evaluation.as_text(f"Overtraining detector, {name.replace('_', ' ')}", figures), ""]
    return "\n".join(lines)


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
    history = days.starting_earlier(activity.history_days(settings))
    for piece in pieces(store, days):
        say(f"Building features of {piece.athletes or EVERYONE} ...")
        silver, stated = piece.read(tables.STRAVA_ACTIVITIES), piece.read(tables.STRAVA_ATHLETE)
        recordings, efforts = (piece.read_if_there(table) for table in tables.OPTIONAL)
        verdicts = quality.verdicts(silver, history, settings)
        splits = activity.of_activities(piece.read(tables.STRAVA_SUB_ACTIVITY), silver, days)
        rows = activity.activity_features(verdicts, splits, stated, days, settings, recordings, efforts)
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
