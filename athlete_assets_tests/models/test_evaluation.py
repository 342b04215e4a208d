"""What `athlete-assets evaluate` tells of files: each by itself, by what the others taught, and beside its rivals."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from athlete_assets.models import detector_evaluation, home_size, time_estimator, time_evaluation
from athlete_assets.models.backtest import Labelled
from athlete_assets.models.evaluation import evaluate
from athlete_assets.models.overtraining_detector import INPUTS
from athlete_assets.settings import Settings
from athlete_assets_tests.models.steady import steady_efforts

FILES = ("ours.csv", "theirs.csv")


@pytest.fixture(scope="module")
def two_files() -> Labelled:
    """24 athletes, half of them in each file, and evenings of which every fifth was followed by a disruption."""
    efforts = steady_efforts(24, each=16, every_days=30)
    names = sorted(efforts["athlete_id"].unique())
    file = {name: FILES[number // 2 % 2] for number, name in enumerate(names)}
    random = np.random.default_rng(1)
    evenings = pd.DataFrame({name: random.uniform(0, 30, 1_200) for name in INPUTS}).assign(
        athlete_id=[names[number % len(names)] for number in range(1_200)],
        as_of_date=pd.date_range("2023-01-01", periods=1_200, tz="UTC"),
        disrupted=np.arange(1_200) % 5 == 0,
    )
    held = {"kind": "real", "activities": 9, "accepted": 8, "athletes": 12, "first_day": "a", "last_day": "b"}
    return Labelled(
        efforts.assign(file=efforts["athlete_id"].map(file)),
        evenings.assign(file=evenings["athlete_id"].map(file)),
        dict.fromkeys(FILES, held),
    )


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """No trees, few draws: what is told is looked at, not how true it is."""
    monkeypatch.setattr(time_estimator, "fit_quantiles", lambda *rest: {})
    monkeypatch.setattr(time_estimator, "CALIBRATION_FOLDS", 2)
    monkeypatch.setattr(home_size, "FOLDS", 4)
    for judge in (time_evaluation, detector_evaluation):
        monkeypatch.setattr(judge, "BOOTSTRAPS", 20)


def test_two_files_are_told_together_apart_and_by_what_the_other_taught(
    two_files: Labelled, monkeypatch: pytest.MonkeyPatch
) -> None:
    fitted: list[set[str]] = []
    fit: Callable[..., Any] = time_estimator.fit

    def without_trees(labelled: pd.DataFrame, *rest: Any) -> Any:
        fitted.append(set(labelled["file"]))
        return fit(labelled, *rest)

    monkeypatch.setattr(time_estimator, "fit", without_trees)
    report = evaluate(two_files, None, Settings())
    text = report.pop("text")
    json.dumps(report)
    apart = {f"{name} by what the others taught" for name in FILES}
    whole = {"unseen_athletes", "forward_in_time"}
    line = {"population_line_as_shipped", "population_line_on_athletes_left_out"}
    assert set(report["time_estimator"]) == whole | apart | line
    assert set(report["overtraining_detector"]) == whole | apart
    assert fitted[-2:] == [{"theirs.csv"}, {"ours.csv"}]
    unseen = report["time_estimator"]["unseen_athletes"]["10k"]
    assert unseen["groups"]["ours.csv"]["n"] + unseen["groups"]["theirs.csv"]["n"] == unseen["n"]
    assert unseen["groups"]["by effort"]["n"] == unseen["n"]
    assert set(report["overtraining_detector"]["unseen_athletes"]["files"]) == set(FILES)
    for said in (
        "Time estimator, ours.csv by what the others taught",
        "Overtraining detector, unseen athletes, theirs.csv",
        "Population line by how many athletes it was fitted on",
        "A home of one athlete",
        "run frequency alone",
        "riegel_recent_corrected",
    ):
        assert said in text


def test_of_one_file_scored_by_another_nothing_else_is_told(two_files: Labelled) -> None:
    ours, theirs = (
        Labelled(
            two_files.efforts[two_files.efforts["file"] == name].reset_index(drop=True),
            two_files.disruptions[two_files.disruptions["file"] == name].reset_index(drop=True),
            {name: two_files.summary[name]},
        )
        for name in FILES
    )
    report = evaluate(ours, theirs, Settings())
    assert set(report["time_estimator"]) == {"other_athletes", "population_line_as_shipped"}
    assert list(report["runs"]) == ["ours.csv"]
    assert list(report["train_runs"]) == ["theirs.csv"]
    assert "learning_curve" not in report
