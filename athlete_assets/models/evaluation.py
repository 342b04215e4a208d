"""`athlete-assets evaluate`: how good the models are on files of runs, beside formulas and run frequency."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from athlete_assets.models import detector_evaluation, fit_population, home_size, population, time_evaluation
from athlete_assets.models.backtest import Labelled
from athlete_assets.models.overtraining_detector import OvertrainingDetectorOptions
from athlete_assets.models.splits import TooLittleToLearnFrom
from athlete_assets.models.time_estimator import TimeEstimatorOptions, usable_rows
from athlete_assets.settings import Settings
from athlete_assets.words import counted

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class _Options:
    times: TimeEstimatorOptions
    risks: OvertrainingDetectorOptions


def evaluate(
    scored: Labelled, training: Labelled | None, settings: Settings, say: Callable[[str], None] = lambda line: None
) -> dict[str, Any]:
    """Trains and scores; returns the figures as a JSON-able dict (`text` holds them as tables for people).

    Without `training`: on athletes left out and forward in time; each file by what was learned from the others, where
    there are several; the population line on athletes left out of its fit, by how many it was fitted on, and in homes
    of one athlete. With it: trained on all of the one, scored on all of the other. Raises TooLittleToLearnFrom that
    says what is missing where the labels do not carry a time estimator.
    """
    options = _Options(TimeEstimatorOptions.of(settings), OvertrainingDetectorOptions.of(settings))
    report: dict[str, Any] = {"runs": scored.summary}
    if training is not None:
        report["train_runs"] = training.summary
        say("Training on the one, scoring the other ...")
        times = {"other_athletes": time_evaluation.other_athletes(training.efforts, scored.efforts, options.times)}
        risks = {"other_athletes": _detector_of_others(training.disruptions, scored.disruptions, options)}
    else:
        times, risks = _within(scored, options, say)
    kinds = {part["kind"] for part in scored.summary.values()}
    (kind,) = kinds if len(kinds) == 1 else (None,)
    if kind in (population.REAL, population.SIMULATED):
        line = population.shipped(kind)
        times["population_line_as_shipped"] = time_evaluation.by_population(scored.efforts, line)
        report["population_line"] = line.figures
        if training is None:
            say("Fitting population lines, fold by fold ...")
            usable = usable_rows(scored.efforts, options.times)
            times["population_line_on_athletes_left_out"] = fit_population.left_out(usable, kind, options.times)
            report["learning_curve"] = home_size.learning_curve(usable, kind, options.times)
            report["homes_of_one"] = home_size.homes_of_one(usable, times["forward_in_time"], kind, options.times)
    report["time_estimator"] = {name: time_evaluation.figures(part) for name, part in times.items()}
    report["goals"] = {
        name: [vars(outcome) for outcome in time_evaluation.goal_outcomes(part)]
        for name, part in report["time_estimator"].items()
    }
    report["overtraining_detector"] = risks
    report["text"] = as_text(report)
    return report


def _within(
    scored: Labelled, options: _Options, say: Callable[[str], None]
) -> tuple[dict[str, pd.DataFrame], dict[str, Any]]:
    """The time estimator's scored efforts and the detector's figures, by how what judged was kept apart."""
    efforts, evenings = scored.efforts, scored.disruptions
    say("Training on other athletes, fold by fold ...")
    times = {"unseen_athletes": time_evaluation.unseen_athletes(efforts, options=options.times)}
    risks = {
        "unseen_athletes": _detector(
            lambda: detector_evaluation.unseen_athletes(evenings, options=options.risks), options
        )
    }
    say("Training on the past, cut by cut ...")
    times["forward_in_time"] = time_evaluation.forward_in_time(efforts, options.times)
    risks["forward_in_time"] = _detector(lambda: detector_evaluation.forward_in_time(evenings, options.risks), options)
    files = sorted(scored.summary)
    for name in files if len(files) > 1 else []:
        say(f"Training without {name}, scoring it ...")
        of_file, others = (efforts[part].reset_index(drop=True) for part in _split(efforts, name))
        part = f"{name} by what the others taught"
        times[part] = time_evaluation.other_athletes(others, of_file, options.times)
        of_file, others = (evenings[part].reset_index(drop=True) for part in _split(evenings, name))
        risks[part] = _detector_of_others(others, of_file, options)
    return times, risks


def _split(rows: pd.DataFrame, file: str) -> tuple[pd.Series, pd.Series]:
    of_file = rows["file"] == file
    return of_file, ~of_file


def _detector_of_others(training: pd.DataFrame, rows: pd.DataFrame, options: _Options) -> dict[str, Any]:
    return _detector(lambda: detector_evaluation.other_athletes(training, rows, options.risks), options)


def _detector(predicted: Callable[[], pd.DataFrame], options: _Options) -> dict[str, Any]:
    """Its figures, of each file in `files` where there are several; why it abstains where it does."""
    try:
        rows = predicted()
    except TooLittleToLearnFrom as error:
        return {"abstained": str(error)}
    found = detector_evaluation.figures(rows, options.risks)
    files = sorted(rows["file"].unique())
    if len(files) > 1:
        found["files"] = {
            name: detector_evaluation.figures(rows[rows["file"] == name], options.risks) for name in files
        }
    return found


def _title(part: str) -> str:
    """A part's name in words; those of files keep their underscores."""
    return part if " " in part else part.replace("_", " ")


def as_text(report: dict[str, Any]) -> str:
    """The report as tables for people."""
    lines = []
    for name, held in report["runs"].items():
        lines.append(
            f"{name}: {held['accepted']:,} of {counted(held['activities'], 'activity')} of "
            f"{counted(held['athletes'], 'athlete')}, {held['first_day']} to {held['last_day']} ({held['kind']})"
        )
    lines += ["In square brackets 90 % intervals, by draws of athletes", ""]
    if "population_line" in report:
        made = report["population_line"]["athletes"]
        lines += [
            f"The population line was fitted on {counted(made, 'athlete')}; where these are among them it flatters",
            "",
        ]
    for name, figures in report["time_estimator"].items():
        lines += [time_evaluation.as_text(f"Time estimator, {_title(name)}", figures), ""]
        for verdict in report["goals"][name]:
            lines.append(f"  {'met   ' if verdict['met'] else 'MISSED'}  {verdict['sentence']}")
        lines.append("")
    if "learning_curve" in report:
        lines += [home_size.curve_as_text(report["learning_curve"]), ""]
        lines += [home_size.homes_as_text(report["homes_of_one"]), ""]
    for name, figures in report["overtraining_detector"].items():
        title = f"Overtraining detector, {_title(name)}"
        lines += [detector_evaluation.as_text(title, figures), ""]
        for file, of_file in figures.get("files", {}).items():
            lines += [detector_evaluation.as_text(f"{title}, {file}", of_file), ""]
    return "\n".join(lines)
