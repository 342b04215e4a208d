"""The detector learns what is there, abstains where it knows too little, and its measures are the textbook's."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import minimize
from sklearn.metrics import roc_auc_score

from athlete_assets.models import detector_evaluation, overtraining_detector, plots
from athlete_assets.models.overtraining_detector import INPUTS
from athlete_assets.models.registry import Serving
from athlete_assets.models.splits import TooLittleToLearnFrom
from athlete_assets.monitoring import charts
from athlete_assets_tests.monitoring.test_charts import drawn, picture


def evenings(athletes: int = 30, weeks: int = 60, effect: float = 2.0) -> pd.DataFrame:
    """Sundays whose disruption hangs on rest_days_14d with the given strength (log odds a standard deviation)."""
    random = np.random.default_rng(11)
    count = athletes * weeks
    rows = pd.DataFrame({name: random.uniform(1, 30, size=count) for name in INPUTS})
    rows["rest_days_14d"] = random.normal(size=count)
    rows["athlete_id"] = np.repeat([f"a{n:02d}" for n in range(athletes)], weeks)
    rows["as_of_date"] = np.tile(pd.date_range("2024-01-07", periods=weeks, freq="7D", tz="UTC"), athletes)
    odds = np.exp(effect * rows["rest_days_14d"] - 1.5)
    rows["disrupted"] = random.uniform(size=count) < odds / (1 + odds)
    rows["activities_30d"], rows["run_history_days"] = 12.0, 300.0
    return rows


def test_a_signal_is_found_on_unseen_athletes_and_forward_in_time() -> None:
    """The best possible score is rest_days_14d itself; the detector comes close, and a shuffled outcome gives 0.5."""
    rows = evenings()
    best = detector_evaluation.auc(rows["rest_days_14d"].to_numpy(), rows["disrupted"].to_numpy())
    assert best is not None
    for split in (detector_evaluation.unseen_athletes, detector_evaluation.forward_in_time):
        figures = detector_evaluation.figures(split(rows))
        assert figures["auc"] > best - 0.01
        assert figures["brier_gain_on_base_rate_low"] > 0
        assert figures["brier_gain_on_frequency_alone_low"] > 0
        assert abs(figures["auc_frequency_alone"] - 0.5) < 0.06
    shuffled = rows.assign(disrupted=np.random.default_rng(1).permutation(rows["disrupted"]))
    found = detector_evaluation.figures(detector_evaluation.unseen_athletes(shuffled))
    assert abs(found["auc"] - 0.5) < 0.06


def test_probabilities_are_calibrated() -> None:
    """By tenths of unseen evenings, predicted and observed shares differ by sampling alone (n = 180: 3.5 sigma)."""
    figures = detector_evaluation.figures(detector_evaluation.unseen_athletes(evenings(effect=1.0)))
    assert drawn(picture(charts.markdown(plots.probability_calibration(figures), "calibration"))) > 0.02
    for part in figures["calibration"]:
        deviation = (part["predicted"] * (1 - part["predicted"]) / part["n"]) ** 0.5
        assert abs(part["predicted"] - part["observed"]) < 3.5 * deviation


def test_in_training_the_mean_probability_is_the_share_that_was_disrupted() -> None:
    rows = evenings()
    probabilities = overtraining_detector.fit(rows).probabilities(rows)
    assert probabilities.mean() == pytest.approx(rows["disrupted"].mean(), abs=1e-6)


def test_the_regression_is_the_most_likely_one() -> None:
    """Against a general minimiser of the penalised likelihood, written out: days as ln(1 + days), unknown ones as a
    year without a run, or as none."""
    rows = evenings(athletes=6, weeks=60, effect=1.0)
    rows.loc[::7, ["days_since_run", "run_days_90d"]] = np.nan
    matrix = np.column_stack(
        [
            rows["consistency_score"],
            rows["rest_days_14d"],
            np.log(1 + rows["days_since_run"].fillna(365)),
            np.log(1 + rows["run_days_90d"].fillna(0)),
            np.log(1 + rows["run_history_days"]),
        ]
    )
    values = (matrix - matrix.mean(axis=0)) / np.where(matrix.std(axis=0) > 1e-9, matrix.std(axis=0), 1)
    outcome = rows["disrupted"].to_numpy()

    def unlikelihood(curve: np.ndarray) -> float:
        odds = values @ curve[1:] + curve[0]
        return float(np.sum(np.logaddexp(0, odds) - outcome * odds) + 0.5 * np.sum(curve[1:] ** 2))

    best = minimize(unlikelihood, np.zeros(6), tol=1e-12).x
    wanted = 1 / (1 + np.exp(-(values @ best[1:] + best[0])))
    assert overtraining_detector.fit(rows).probabilities(rows) == pytest.approx(wanted, abs=1e-5)


def test_it_abstains_with_a_reason() -> None:
    rows = evenings()
    detector = overtraining_detector.fit(rows)
    asked = rows.head(4).assign(run_history_days=[28.0, 27.0, np.nan, 300.0], activities_30d=[12.0, 12.0, 12.0, 3.0])
    answer = detector.predict(asked)
    assert answer["p_disruption_14d"].notna().tolist() == [True, False, False, False]
    assert answer["p_disruption_reason"].tolist() == [
        None,
        overtraining_detector.TOO_LITTLE_HISTORY,
        overtraining_detector.TOO_LITTLE_HISTORY,
        overtraining_detector.NOT_IN_TRAINING,
    ]


def test_a_detector_that_an_earlier_release_stored_abstains_until_the_next_training() -> None:
    """What was pickled then held trees and a curve, and asked for other features."""
    stored = overtraining_detector.OvertrainingDetector.__new__(overtraining_detector.OvertrainingDetector)
    stored.__setstate__({"model": object(), "slope": 1.0, "intercept": 0.0})
    answer = stored.predict(pd.DataFrame({"acwr": [1.0, 0.8]}))
    assert answer["p_disruption_14d"].isna().all()
    assert set(answer["p_disruption_reason"]) == {overtraining_detector.OF_AN_EARLIER_RELEASE}


def test_one_that_asks_for_features_that_are_gone_is_not_in_the_way() -> None:
    rows = evenings()
    champion = Serving("cat.models.overtraining_detector", "1", "run", model=None, inputs=["acwr"])
    theirs = detector_evaluation.champion_probabilities(champion, rows)
    assert theirs is not None
    scored = detector_evaluation.scored(rows, rows, overtraining_detector.fit(rows))
    decision = detector_evaluation.verdict(scored, theirs)
    assert decision.approved
    assert "the champion answers for none" in "\n".join(decision.reasons)


@pytest.mark.parametrize(
    ("probability", "champion", "approved"),
    [
        ("probability", None, True),
        ("frequency", None, False),  # knows no more than the base rate here
        ("probability", "probability", True),  # as good as the champion
        ("frequency", "probability", False),
    ],
)
def test_the_gate(probability: str, champion: str | None, approved: bool) -> None:
    rows = evenings()
    scored = detector_evaluation.scored(rows, rows, overtraining_detector.fit(rows))
    theirs = scored[champion].to_numpy() if champion else None
    assert detector_evaluation.verdict(scored.assign(probability=scored[probability]), theirs).approved is approved


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (evenings(athletes=4, weeks=50), "at least 300 of 5"),
        (evenings().assign(disrupted=False), "0 of 1,800 evenings"),
        (evenings().assign(disrupted=True), "1,800 of 1,800 evenings"),
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


def test_auc_between_evenings_of_one_athlete_by_hand() -> None:
    """Of ann's two pairs both are told right, of bob's one none, and cleo has one outcome: 2 of 3. That all of bob's
    scores lie above ann's, which the plain AUC counts, says nothing here."""
    rows = pd.DataFrame(
        {
            "athlete_id": ["ann", "ann", "ann", "bob", "bob", "cleo"],
            "score": [0.3, 0.2, 0.1, 0.8, 0.9, 0.5],
            "disrupted": [True, False, False, True, False, True],
        }
    )
    assert detector_evaluation.auc_within_athletes(rows, "score") == pytest.approx(2 / 3)
    assert roc_auc_score(rows["disrupted"], rows["score"]) == pytest.approx(6 / 9)


def test_brier_gain_by_hand() -> None:
    """Ann: 0.25 - 0.04 twice; bob: 0.25 - 0.36. Draws of two athletes hold one of them twice, or both."""
    rows = pd.DataFrame(
        {
            "athlete_id": ["ann", "ann", "bob"],
            "disrupted": [True, False, True],
            "probability": [0.8, 0.2, 0.4],
            "rival": 0.5,
        }
    )
    gain, low, high = detector_evaluation.brier_gain(rows, "rival")
    assert gain == pytest.approx((0.21 + 0.21 - 0.11) / 3)
    assert (low, high) == (pytest.approx(-0.11), pytest.approx(0.21))


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
