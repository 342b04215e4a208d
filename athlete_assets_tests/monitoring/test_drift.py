"""Drift of inputs and predictions: the worst is named and drawn, chance is not drift, few are not judged."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from athlete_assets.models.distributions import Distribution, Tally, TrainingSample
from athlete_assets.monitoring import drift
from athlete_assets.settings import Settings
from athlete_assets_tests.monitoring.test_charts import drawn, picture
from athlete_assets_tests.rows import DAY

RANDOM = np.random.default_rng(5)
SETTINGS = Settings()


def values(count: int, shift: float = 0.0) -> pd.DataFrame:
    return pd.DataFrame({name: RANDOM.normal(size=count) for name in "abc"}).assign(a=RANDOM.normal(shift, size=count))


def outputs(count: int, shift: float = 0.0) -> list[dict[str, Any]]:
    return [{"predicted_10k_s": float(time), "served_by": "model"} for time in RANDOM.normal(3000 + shift, 300, count)]


TRAINING = values(3000)
SEEN = TrainingSample.of(
    TRAINING.assign(athlete_id=[f"a{n % 50}" for n in range(3000)]), "abc", pd.DataFrame(outputs(3000))
)


def judged(inputs: pd.DataFrame, said: list[dict[str, Any]], seen: TrainingSample = SEEN) -> Any:
    return drift.drift(Tally.of(inputs, pd.DataFrame(said), seen.columns), seen, DAY, SETTINGS)


def test_what_was_trained_on_does_not_drift() -> None:
    outcome, shown = judged(values(400), outputs(400))
    assert outcome.passed
    assert "0 of 4 features and predictions" in outcome.sentence
    assert outcome.numbers["day"] == str(DAY)
    assert drawn(picture(shown["drift"])) > 0.02


@pytest.mark.parametrize(
    ("inputs", "said", "worst"),
    [(values(400, shift=2), outputs(400), "a"), (values(400), outputs(400, 900), "prediction predicted_10k_s")],
)
def test_the_worst_is_named_input_or_prediction(inputs: pd.DataFrame, said: list[dict], worst: str) -> None:
    outcome, _ = judged(inputs, said)
    assert not outcome.passed
    assert f"1 of 4 features and predictions lie beyond a PSI of 0.25: {worst} " in outcome.sentence


def test_values_that_became_unknown_are_named() -> None:
    outcome, _ = judged(values(400).assign(b=np.where(np.arange(400) % 2, np.nan, 0.1 * np.arange(400))), outputs(400))
    assert not outcome.passed
    assert "More often unknown than in training: b +50%" in outcome.sentence


def test_far_fewer_athletes_than_in_training_are_a_drift() -> None:
    many = replace(SEEN, athletes=300)
    assert judged(values(150), outputs(150), many)[0].passed
    outcome, _ = judged(values(149), outputs(149), many)
    assert not outcome.passed
    assert "149 evenings were scored; the training had 300 athletes" in outcome.sentence


def test_who_rests_for_weeks_is_not_held_against_a_training() -> None:
    ran = values(60).assign(longest_run_28d_km=12.0)
    idle = values(40, shift=9).assign(longest_run_28d_km=np.nan)
    outcome, _ = judged(pd.concat([ran, idle]), outputs(60) + outputs(40, 5000))
    assert outcome.passed, outcome.sentence
    assert outcome.numbers["rows"] == 60


def test_a_history_that_grows_is_no_drift() -> None:
    trained = pd.DataFrame({"run_history_days": np.arange(300.0), "athlete_id": "a"})
    seen = TrainingSample.of(trained, ["run_history_days"], pd.DataFrame())
    outcome, _ = judged(pd.DataFrame({"run_history_days": np.arange(300.0) + 365}), [], seen)
    assert outcome.passed
    assert "0 of 0" in outcome.sentence


def test_chance_in_a_small_home_is_not_drift(monkeypatch: pytest.MonkeyPatch) -> None:
    """30 values of the training's own distribution: the plain PSI is mostly above 0.25, and 1 in 20 beyond chance."""
    monkeypatch.setattr(drift.charts, "drift_histograms", lambda worst: worst)  # 40 drawings are not the point
    plain, alarms = [], 0
    for _ in range(40):
        outcome, _ = judged(values(30), [])
        plain.append(outcome.numbers["psi a"])
        alarms += not outcome.passed
    assert np.mean(np.array(plain) > SETTINGS.drift_psi) > 0.5
    assert alarms <= 4
    assert not judged(values(30, shift=3), [])[0].passed


def test_what_chance_explains_by_hand() -> None:
    """Two bins are one degree of freedom, whose 95 % quantile is 1.96 squared."""
    assert drift.by_chance(Distribution((0.0,), (0.5, 0.5, 0.0)), 50) == pytest.approx(1.959964**2 / 50, rel=1e-5)


@pytest.mark.parametrize(("count", "seen"), [(19, SEEN), (400, TrainingSample({}))], ids=["few", "a formula"])
def test_what_cannot_be_judged_passes_and_says_so(count: int, seen: TrainingSample) -> None:
    outcome, shown = judged(values(count, shift=9), outputs(count), seen)
    assert outcome.passed
    assert outcome.sentence.startswith("Not judged")
    assert shown == {}
