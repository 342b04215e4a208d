"""The detector learns what is there, abstains where it knows too little, and its measures are the textbook's."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import minimize

from athlete_assets.models import detector_evaluation, overtraining_detector, plots
from athlete_assets.models.overtraining_detector import INPUTS, OvertrainingDetectorOptions
from athlete_assets.models.splits import TooLittleToLearnFrom
from athlete_assets.monitoring import charts
from athlete_assets_tests.monitoring.test_charts import drawn, picture

QUICK = OvertrainingDetectorOptions(iterations=100, learning_rate=0.1)
"""As much is added as by the default's 250 trees of 0.04."""


def evenings(athletes: int = 30, weeks: int = 60, effect: float = 2.0) -> pd.DataFrame:
    """Sundays whose disruption hangs on rest_days_14d with the given strength (log odds a standard deviation)."""
    random = np.random.default_rng(11)
    count = athletes * weeks
    rows = pd.DataFrame({name: random.normal(size=count) for name in INPUTS})
    rows["athlete_id"] = np.repeat([f"a{n:02d}" for n in range(athletes)], weeks)
    rows["as_of_date"] = np.tile(pd.date_range("2024-01-07", periods=weeks, freq="7D", tz="UTC"), athletes)
    odds = np.exp(effect * rows["rest_days_14d"] - 1.5)
    rows["disrupted"] = random.uniform(size=count) < odds / (1 + odds)
    rows["activities_30d"] = 12.0
    return rows


def test_a_signal_is_found_on_unseen_athletes_and_forward_in_time() -> None:
    """The best possible score is rest_days_14d itself; the detector comes close, and a shuffled outcome gives 0.5."""
    rows = evenings()
    best = detector_evaluation.auc(rows["rest_days_14d"].to_numpy(), rows["disrupted"].to_numpy())
    assert best is not None
    for split in (detector_evaluation.unseen_athletes, detector_evaluation.forward_in_time):
        figures = detector_evaluation.figures(split(rows, options=QUICK))
        assert figures["auc"] > best - 0.04
        assert figures["brier"] < figures["brier_base_rate"]
        assert figures["suspicious"] == (figures["auc"] > 0.8)
        assert abs(figures["auc_acwr_alone"] - 0.5) < 0.06
    shuffled = rows.assign(disrupted=np.random.default_rng(1).permutation(rows["disrupted"]))
    found = detector_evaluation.figures(detector_evaluation.unseen_athletes(shuffled, options=QUICK))
    assert abs(found["auc"] - 0.5) < 0.06


def test_probabilities_are_calibrated() -> None:
    """By tenths of unseen evenings, predicted and observed shares differ by sampling alone (n = 180: 3.5 sigma)."""
    figures = detector_evaluation.figures(detector_evaluation.unseen_athletes(evenings(effect=1.0), options=QUICK))
    assert drawn(picture(charts.markdown(plots.probability_calibration(figures), "calibration"))) > 0.02
    for part in figures["calibration"]:
        deviation = (part["predicted"] * (1 - part["predicted"]) / part["n"]) ** 0.5
        assert abs(part["predicted"] - part["observed"]) < max(3.5 * deviation, 0.08)


def test_it_abstains_with_a_reason() -> None:
    rows = evenings()
    detector = overtraining_detector.fit(rows)
    asked = rows.head(3).assign(acwr=[1.0, np.nan, 1.0], activities_30d=[12.0, 12.0, 2.0])
    answer = detector.predict(asked)
    assert answer["p_disruption_14d"].notna().tolist() == [True, False, False]
    assert answer["p_disruption_reason"].tolist() == [
        None,
        overtraining_detector.TOO_LITTLE_HISTORY,
        overtraining_detector.NOT_IN_TRAINING,
    ]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (evenings(athletes=4, weeks=50), "at least 300 of 5"),
        (evenings().assign(disrupted=False), "0 of 1800 evenings"),
        (evenings().assign(disrupted=True), "1800 of 1800 evenings"),
        (evenings().assign(**dict.fromkeys(INPUTS, np.nan)), "athlete_rolling_features does not reach"),
    ],
    ids=["few", "none disrupted", "all disrupted", "no features"],
)
def test_too_little_to_learn_from_is_named(rows: pd.DataFrame, message: str) -> None:
    with pytest.raises(TooLittleToLearnFrom, match=message):
        overtraining_detector.fit(rows)


# ------------------------------------------------------------------------------------------------------- measures


def test_auc_by_hand() -> None:
    """Positives 0.9 and 0.4 against negatives 0.5, 0.4, 0.1: wins 3 + 1, one tie: 4.5 of 6."""
    score = np.array([0.9, 0.4, 0.5, 0.4, 0.1])
    assert detector_evaluation.auc(score, np.array([True, True, False, False, False])) == pytest.approx(4.5 / 6)


def test_average_precision_by_hand() -> None:
    """Ranked: hit, miss, hit: 1/2 x 1/1 + 1/2 x 2/3."""
    score, outcome = np.array([0.9, 0.5, 0.3]), np.array([True, False, True])
    assert detector_evaluation.average_precision(score, outcome) == pytest.approx(0.5 + 0.5 * 2 / 3)


def test_platt_recovers_a_logistic_curve() -> None:
    random = np.random.default_rng(2)
    score = random.normal(size=60_000)
    outcome = random.uniform(size=60_000) < 1 / (1 + np.exp(-(0.7 * score - 1.0)))
    slope, intercept = overtraining_detector.platt(score, outcome)
    assert (slope, intercept) == (pytest.approx(0.7, abs=0.04), pytest.approx(-1.0, abs=0.04))


@pytest.mark.parametrize("seed", range(12))
def test_platt_is_the_most_likely_curve(seed: int) -> None:
    """Against a general minimiser of the same likelihood, with 40 evenings, where Newton's steps alone may swing."""
    random = np.random.default_rng(seed)
    score = random.normal(size=40) * random.uniform(0.1, 3)
    outcome = random.uniform(size=40) < 1 / (1 + np.exp(-(random.uniform(0.5, 3) * score - 1)))
    positive, negative = outcome.sum(), (~outcome).sum()
    target = np.where(outcome, (positive + 1) / (positive + 2), 1 / (negative + 2))

    def unlikelihood(curve: np.ndarray) -> float:
        odds = curve[0] * score + curve[1]
        return float(np.sum(np.logaddexp(0, odds) - target * odds))

    best = minimize(unlikelihood, [0.0, 0.0], tol=1e-12)
    assert best.x[0] > 0
    assert overtraining_detector.platt(score, outcome) == pytest.approx(tuple(best.x), abs=1e-4)


def test_a_score_that_tells_the_wrong_way_round_gives_the_base_rate() -> None:
    score = np.linspace(-1, 1, 1_000)
    slope, intercept = overtraining_detector.platt(score, score < -0.5)
    assert slope == 0
    assert 1 / (1 + np.exp(-intercept)) == pytest.approx(0.25, abs=0.01)


def test_the_interval_of_auc_is_that_of_draws_of_whole_athletes() -> None:
    """Against scikit-learn's AUC of each draw, its rows written out; with equal scores and a class that is rare."""
    rows = evenings(athletes=12, weeks=10).assign(probability=lambda r: r["rest_days_14d"].round(1))
    rows["disrupted"] &= rows["rest_days_14d"] > 1
    of = [part for _, part in rows.groupby("athlete_id")]
    random, drawn = np.random.default_rng(0), []
    for _ in range(detector_evaluation.BOOTSTRAPS):
        chosen = pd.concat([of[number] for number in random.integers(0, len(of), len(of))])
        drawn.append(detector_evaluation.auc(chosen["probability"].to_numpy(), chosen["disrupted"].to_numpy()))
    wanted = np.quantile([value for value in drawn if value is not None], [0.05, 0.95])
    assert detector_evaluation._auc_interval(rows, "probability") == pytest.approx(tuple(wanted), rel=1e-12)
