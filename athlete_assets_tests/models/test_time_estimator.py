"""The time estimator: what it must not find, what it must, and what it says where it knows little."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from catboost import CatBoostRegressor
from pyspark.sql import SparkSession
from threadpoolctl import threadpool_info

from athlete_assets import tables
from athlete_assets.models import labels, time_estimator, time_evaluation
from athlete_assets.models.specs.time_estimator import reasons
from athlete_assets.models.splits import FORWARD_CUTS, TooLittleToLearnFrom, athlete_folds
from athlete_assets.models.time_estimator import TimeEstimatorOptions
from athlete_assets.models.training_set import FEATURES, INPUTS, LADDER, Views, design_matrix
from athlete_assets_tests.models.cohort import DAY_FORM, Plant, labelled_efforts

QUICK = TimeEstimatorOptions(iterations=60, learning_rate=0.2)


@pytest.fixture(scope="module")
def cohort(sail: SparkSession) -> pd.DataFrame:
    return labelled_efforts(sail)


@pytest.fixture(scope="module")
def estimator(cohort: pd.DataFrame) -> time_estimator.TimeEstimator:
    return time_estimator.fit(cohort, QUICK)


def error_on_unseen(labelled: pd.DataFrame) -> float:
    """Mean APE of the p50 on half of the athletes, fitted on the others."""
    half = athlete_folds(labelled["athlete_id"].to_numpy(), 2) == 0
    usable = labelled["recent_effort_time_s"].notna().to_numpy()
    test = labelled[~half & usable].reset_index(drop=True)
    times, _ = time_estimator.fit(labelled[half], QUICK).times(test, list(test["distance"]))
    return float(np.abs(times[:, 1] / test["time_s"] - 1).mean())


# ---------------------------------------------------------------------------------------------------------- leakage

LUCK = DAY_FORM * (2 / np.pi) ** 0.5
"""Mean absolute deviation of the day's form: the error of one who knows each athlete's fitness exactly."""


@pytest.mark.parametrize("offset", [0, 1], ids=["the same day", "the day after"])
def test_an_answer_in_the_future_is_not_found(sail: SparkSession, cohort: pd.DataFrame, offset: int) -> None:
    """Every race's result stands in a run of its own day or the day after: the evening before knows nothing of it."""
    assert error_on_unseen(labelled_efforts(sail, Plant(offset))) > 0.75 * LUCK


def test_an_answer_in_the_past_is_found(sail: SparkSession) -> None:
    """The same run on the day before: so the test above can fail."""
    assert error_on_unseen(labelled_efforts(sail, Plant(-1))) < 0.5 * LUCK


def test_luck_is_not_learned(cohort: pd.DataFrame) -> None:
    assert error_on_unseen(cohort) > 0.75 * LUCK


def test_evaluation_by_athlete_and_forward_keeps_its_promise(
    cohort: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No athlete is on both sides; nothing later than 43 days before a cut is trained on."""
    seen: list[tuple[pd.DataFrame, pd.DataFrame]] = []

    def spy(train: pd.DataFrame, test: pd.DataFrame, estimator: object, prior: object = None) -> pd.DataFrame:
        seen.append((train, test))
        return test.assign(**dict.fromkeys((*time_evaluation.METHODS, "p10", "p90"), 1.0), is_model=True)

    monkeypatch.setattr(time_evaluation, "scored", spy)
    monkeypatch.setattr(time_estimator, "fit", lambda train, options: None)
    everyone = time_evaluation.unseen_athletes(cohort, folds=4)
    assert len(everyone) == len(time_estimator.usable_rows(cohort))
    assert all(not set(train["athlete_id"]) & set(test["athlete_id"]) for train, test in seen)
    seen.clear()
    time_evaluation.forward_in_time(cohort)
    assert len(seen) == len(FORWARD_CUTS)
    for train, test in seen:
        assert test["activity_date"].min() - train["activity_date"].max() > pd.Timedelta(days=43)


# ------------------------------------------------------------------------------------------------------ predictions


def test_times_increase_with_the_distance_and_quantiles_are_in_order(
    estimator: time_estimator.TimeEstimator, cohort: pd.DataFrame
) -> None:
    predicted = estimator.predict(time_estimator.usable_rows(cohort))
    for kind in ("p10", "predicted", "p90"):
        times = predicted[[f"{kind}_{name}_s" for name in tables.DISTANCES_M]].to_numpy()
        assert (np.diff(times, axis=1) > 0).all()
    for name in tables.DISTANCES_M:
        assert (predicted[f"p10_{name}_s"] <= predicted[f"predicted_{name}_s"]).all()
        assert (predicted[f"predicted_{name}_s"] <= predicted[f"p90_{name}_s"]).all()
    assert set(predicted["served_by"]) == {"model"}


def test_little_history_is_served_by_the_baseline_with_a_wider_interval(
    estimator: time_estimator.TimeEstimator, cohort: pd.DataFrame
) -> None:
    known = time_estimator.usable_rows(cohort).tail(1)
    newcomer = known.assign(run_days_90d=1.0)
    model, baseline = estimator.predict(known).iloc[0], estimator.predict(newcomer).iloc[0]
    assert (model["served_by"], baseline["served_by"]) == ("model", "baseline")
    bias = np.exp(estimator.bias["10k"])
    riegel = known["recent_effort_time_s"] * (10_000 / known["recent_effort_distance_m"]) ** 1.06
    assert baseline["predicted_10k_s"] == pytest.approx(riegel.iloc[0] * bias, rel=1e-9)
    low, high = (baseline[f"{kind}_10k_s"] / baseline["predicted_10k_s"] for kind in ("p10", "p90"))
    residuals = estimator.baseline_interval["10k"]
    assert np.log(low) == pytest.approx(residuals[0] * time_estimator.WIDER)
    assert np.log(high) == pytest.approx(residuals[1] * time_estimator.WIDER)


def test_predictions_are_what_the_parts_say_one_by_one(
    estimator: time_estimator.TimeEstimator, cohort: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Served in blocks, trees as tables, what no distance changes found once; here whole, a distance at a time."""
    monkeypatch.setattr(time_estimator, "ROWS_AT_A_TIME", 7)
    rows = time_estimator.usable_rows(cohort).head(40)
    known = rows[list(INPUTS)].astype(float).reset_index(drop=True)
    known.loc[known.index % 3 == 0, ["best_30d_10k_s", "ctl_42d", "best_5k_60d_s"]] = np.nan
    known.loc[5, "recent_effort_time_s"] = np.nan
    known.loc[11, "run_days_90d"] = 1.0
    before = np.zeros((len(known), 3))
    for name, target in tables.DISTANCES_M.items():
        matrix = design_matrix(known, [name] * len(known))
        log_ratio = estimator.line.intercept + estimator.line.effects(matrix).sum(axis=1)
        learned = np.stack([log_ratio + estimator.models[q].predict(matrix) for q in time_estimator.QUANTILES], axis=1)
        trust, bias = estimator.trust.get(name, 1.0), estimator.bias[name]
        fast, slow = estimator.baseline_interval[name]
        blended = np.sort(trust * learned + (1 - trust) * (bias + np.array([fast, 0.0, slow])), axis=1)
        outwards = estimator.offsets[name]
        blended[:, 0] = np.minimum(blended[:, 0] - outwards[0], blended[:, 1])
        blended[:, 2] = np.maximum(blended[:, 2] + outwards[1], blended[:, 1])
        blended[11] = bias + np.array([fast, 0.0, slow]) * time_estimator.WIDER
        riegel = known["recent_effort_time_s"] * (target / known["recent_effort_distance_m"]) ** 1.06
        before = np.maximum(before, riegel.to_numpy()[:, None] * np.exp(blended))
        predicted = estimator.predict(known)
        found = predicted[[f"{kind}_{name}_s" for kind in ("p10", "predicted", "p90")]].to_numpy()
        assert found == pytest.approx(before, rel=1e-12, nan_ok=True)
    assert predicted["served_by"][[5, 11, 12]].tolist() == [None, "baseline", "model"]
    assert np.isfinite(found).all(axis=1).sum() == len(known) - 1


def test_nothing_known_gives_nothing(estimator: time_estimator.TimeEstimator) -> None:
    predicted = estimator.predict(pd.DataFrame({name: [np.nan] for name in INPUTS}))
    assert predicted.drop(columns="served_by").isna().all(axis=None)
    assert predicted["served_by"].tolist() == [None]


def test_the_interval_covers_four_fifths_of_unseen_athletes(cohort: pd.DataFrame) -> None:
    """264 efforts; at a true 80 % the share of those covered lies in 70..90 % in all but one of 10,000 draws."""
    half = athlete_folds(cohort["athlete_id"].to_numpy(), 2) == 0
    test = time_estimator.usable_rows(cohort[~half])
    times, _ = time_estimator.fit(cohort[half], QUICK).times(test, list(test["distance"]))
    covered = (test["time_s"] >= times[:, 0]) & (test["time_s"] <= times[:, 2])
    assert 0.70 <= covered.mean() <= 0.90


def test_the_same_labels_give_the_same_model(cohort: pd.DataFrame, estimator: time_estimator.TimeEstimator) -> None:
    again = time_estimator.fit(cohort, QUICK)
    rows = time_estimator.usable_rows(cohort).head(20)
    pd.testing.assert_frame_equal(again.predict(rows), estimator.predict(rows))


def test_quantiles_fitted_at_once_are_those_that_catboost_fits_one_by_one() -> None:
    seeded = np.random.default_rng(5)
    rows = pd.DataFrame(seeded.normal(size=(400, 6)), columns=list("abcdef"))
    target, weight = rows["a"].to_numpy() + seeded.normal(size=400), seeded.uniform(0.5, 2, 400)
    at_once = time_estimator.fit_quantiles(rows, target, weight, QUICK)
    assert list(at_once) == [0.1, 0.5, 0.9]
    for quantile, model in at_once.items():
        alone = CatBoostRegressor(loss_function=f"Quantile:alpha={quantile}", **QUICK.catboost)
        alone.fit(rows, target, sample_weight=weight)
        assert (model.predict(rows) == alone.predict(rows)).all()


def test_a_feature_is_a_ratio_to_the_baseline_at_the_rows_distance(cohort: pd.DataFrame) -> None:
    """Recent effort 5 km in 1200 s; best 10 km of 60 days 2600 s: against 1200 x 2^1.06 that is log(2600/2501.92)."""
    row = (
        time_estimator.usable_rows(cohort)
        .head(1)
        .assign(
            recent_effort_distance_m=5_000.0,
            recent_effort_time_s=1_200.0,
            best_10k_60d_s=2_600.0,
            best_5k_60d_s=1_210.0,
        )
    )
    at_10k, at_half = design_matrix(row, ["10k"]).iloc[0], design_matrix(row, ["half"]).iloc[0]
    assert at_10k["same_best_60d_s"] == pytest.approx(np.log(2_600 / (1_200 * 2**1.06)), rel=1e-9)
    assert at_half["shorter_best_60d_s"] == pytest.approx(np.log(1_210 / 1_200), rel=1e-9)


# -------------------------------------------------------------------------------------------------------- bad input


def test_too_few_labels_are_named(cohort: pd.DataFrame) -> None:
    with pytest.raises(TooLittleToLearnFrom, match="at least 100 of 5"):
        time_estimator.fit(cohort.head(50))
    with pytest.raises(TooLittleToLearnFrom, match="not one effort"):
        time_estimator.fit(cohort.head(0))


def test_what_is_left_out_teaches_nothing_and_judges(cohort: pd.DataFrame) -> None:
    """Races in half the time, all with a reason: the estimator is the same as without them."""
    usable = time_estimator.usable_rows(cohort)
    wrong = usable.head(40).assign(time_s=usable["time_s"].head(40) / 2, left_out=labels.TOO_FAST)
    both = pd.concat([wrong, usable], ignore_index=True)
    found, expected = time_estimator.fit(both, QUICK), time_estimator.fit(usable, QUICK)
    middle = [columns[0] for columns in tables.TIME_COLUMNS.values()]
    rows = usable.head(20)
    pd.testing.assert_frame_equal(found.predict(rows)[middle], expected.predict(rows)[middle])
    assert found.offsets["10k"][0] > expected.offsets["10k"][0]  # the interval is to hold what teaches nothing, too
    assert len(time_estimator.usable_rows(both)) == len(both)
    with pytest.raises(TooLittleToLearnFrom, match="0 labels of 0 athletes"):
        time_estimator.usable_rows(cohort.assign(left_out=labels.SLOWER))


def test_features_that_do_not_reach_the_labels_are_named(cohort: pd.DataFrame) -> None:
    behind = cohort.assign(**dict.fromkeys(INPUTS, np.nan))
    with pytest.raises(TooLittleToLearnFrom, match="athlete_performance_features does not reach"):
        time_estimator.fit(behind)


# -------------------------------------------------------------------------------------------------------- figures


def two_runs() -> pd.DataFrame:
    """Of 1000 s: predicted 1100 and 950 by the model (APE 10 % and 5 %), 1200 and 900 by the others."""
    return pd.DataFrame(
        {
            "athlete_id": ["a", "b"],
            "activity_date": pd.Timestamp("2024-01-01", tz="UTC"),
            "effort": ["heart_rate", "block_best"],
            "left_out": [None, "slower_than_usual"],
            "distance": "10k",
            "time_s": 1_000.0,
            "model": [1_100.0, 950.0],
            "p10": [900.0, 900.0],
            "p90": [1_150.0, 990.0],
            "is_model": True,
        }
    ).assign(**{method: [1_200.0, 900.0] for method in time_evaluation.FORMULAS})


def test_figures_by_hand() -> None:
    report = time_evaluation.figures(two_runs())["10k"]
    assert report["methods"]["model"] == {
        "n": 2,
        "mae_s": pytest.approx(75.0),
        "median_ape": pytest.approx(0.075),
        "mean_ape": pytest.approx(0.075),
    }
    assert report["coverage"] == 0.5
    assert report["width"] == pytest.approx((250 / 1_100 + 90 / 950) / 2)
    assert report["against"]["riegel_corrected"]["mean_ape_below"] == pytest.approx(0.5)
    assert report["strongest"]["mean_ape_below"] == pytest.approx(0.5)
    errors = {name: (group["n"], group["mae_s"]) for name, group in report["groups"].items()}
    assert errors == {
        "races": (0, None),
        "by effort": (1, 100.0),
        "by result": (1, 50.0),
        "learned from": (1, 100.0),
    }
    goal_outcomes = {verdict.name: verdict.met for verdict in time_evaluation.goal_outcomes({"10k": report})}
    assert goal_outcomes == {"beats_formula_10k": True, "coverage_10k": False, "mae_10k": True}


def test_figures_come_with_their_intervals_and_by_file() -> None:
    """Six athletes, five in one file, miss by 1 % to 5 %, and two of their times lie outside: a draw of six has a mean
    between the least and the most. The other file's run is a group of its own."""
    one = two_runs().head(1)
    runs = pd.concat([one] * 6, ignore_index=True).assign(
        athlete_id=list("abcdef"),
        model=[1_010.0, 1_020.0, 1_030.0, 1_040.0, 1_050.0, 1_030.0],
        p10=[900.0] * 3 + [1_010.0] * 2 + [900.0],
        file=["runs.csv"] * 5 + ["more.csv"],
    )
    report = time_evaluation.figures(runs)["10k"]
    low, high = report["mae_interval_s"]
    assert 10 < low < 30 < high < 50
    low, high = report["coverage_interval"]
    assert report["coverage"] == pytest.approx(4 / 6)
    assert 0 <= low < 4 / 6 < high <= 1
    assert {name: report["groups"][name]["n"] for name in ("runs.csv", "more.csv")} == {"runs.csv": 5, "more.csv": 1}
    assert report["groups"]["more.csv"]["mae_s"] == pytest.approx(30.0)
    text = time_evaluation.as_text("told", {"10k": report})
    assert "more.csv" in text
    assert "holds 67% [" in text


def test_the_interval_of_a_distance_with_few_efforts_is_mostly_that_of_all() -> None:
    """30 efforts miss by 0.1 at each end but the marathon's one, which misses by 0.5: all together 90 % of 31 lie
    within 0.1, and the marathon counts 1 / 31 of its own."""
    rows = pd.DataFrame(
        {"athlete_id": [f"{n}" for n in range(31)], "distance": ["10k"] * 30 + ["marathon"], "time_s": 1.0}
    )
    misses = np.full((31, 2), 0.1)
    misses[30] = 0.5
    offsets = time_estimator.offsets_of(rows, misses)
    assert offsets["10k"] == pytest.approx((0.1, 0.1))
    assert offsets["marathon"] == pytest.approx((0.1 + 0.4 / 31,) * 2)
    assert offsets["half"] == pytest.approx((0.1, 0.1))


def test_a_group_of_whom_the_strongest_formula_knows_nothing_is_told_without_it() -> None:
    """The run by effort is of an athlete without another effort in 180 days."""
    rows = two_runs().assign(riegel=[np.nan, 990.0])
    text = time_evaluation.as_text("holdout", time_evaluation.figures(rows))
    assert "1 effort of 1 athlete: MAE 100 s, mean APE 10.0%, riegel predicts none, interval holds 100%" in text


def test_each_athlete_has_reasons_of_his_own_one_a_line(
    estimator: time_estimator.TimeEstimator, cohort: pd.DataFrame
) -> None:
    rows = time_estimator.usable_rows(cohort).head(6)[list(INPUTS)].astype(float)
    assert all(line.endswith(".") for why in reasons(estimator, rows).dropna() for line in why.splitlines())


def test_the_line_is_a_ridge_that_does_not_follow_a_faulty_run() -> None:
    """x = 0, 0, 2, 2 is -+sqrt(3)/2 sd from its centre; the ridge leaves 0.02 x 3 / (3 + 20); 3 sd is the farthest."""
    matrix = pd.DataFrame({"x": [0.0, 0.0, 2.0, 2.0]})
    line = time_estimator.fit_line(matrix, np.array([-0.02, -0.02, 0.02, 0.02]), np.ones(4))
    at_two = 0.02 * 3 / 23
    found = line.log_ratios(pd.DataFrame({"x": [2.0, 1.0, 1_000.0, np.nan]}))
    assert found == pytest.approx([at_two, 0.0, at_two * 3 / (3**0.5 / 2), 0.0], abs=1e-12)


def test_matrices_are_multiplied_by_one_thread() -> None:
    """Two wait for each other while anything else keeps a core busy."""
    (numpys,) = (one for one in threadpool_info() if "numpy" in one["filepath"])
    assert numpys["num_threads"] == 1


def test_what_is_seen_from_a_distance_is_the_same_in_whatever_order_one_looks() -> None:
    random = np.random.default_rng(5)
    wide = pd.DataFrame({name: random.uniform(1, 60, 50) for name in INPUTS})
    wide["recent_effort_distance_m"], wide["recent_effort_time_s"] = 7_300.0, random.uniform(1_500, 2_500, 50)
    views = Views(wide)
    for place in (3, 0, 3, np.arange(50) % len(LADDER), 6, 3):
        fresh = Views(wide)
        assert np.array_equal(views.single(place), fresh.matrix(place).astype(np.float32), equal_nan=True)
        assert np.array_equal(views.matrix(place), fresh.matrix(place), equal_nan=True)
        target = np.array(list(tables.EFFORT_DISTANCES_M.values()))[place]
        riegel = wide["recent_effort_time_s"] * (target / 7_300.0) ** 1.06
        assert views.baseline_s(place) == pytest.approx(riegel.to_numpy(), rel=1e-12)
    half = LADDER.index("half")
    ratio = np.log(wide["best_half_60d_s"] / (wide["recent_effort_time_s"] * (21_097.5 / 7_300.0) ** 1.06))
    same = views.matrix(half)[FEATURES.index("same_best_60d_s")]
    assert same == pytest.approx(ratio.to_numpy(), rel=1e-12)
