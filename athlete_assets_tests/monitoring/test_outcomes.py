"""Predicted against run: what was first said on the evening before, once an effort, on both engines."""

from __future__ import annotations

import json
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession

from athlete_assets import tables
from athlete_assets.days import midnight
from athlete_assets.monitoring.outcomes import prediction_outcomes
from athlete_assets_tests.rows import DAY, rows

TODAY = DAY + timedelta(days=3)


def said(
    days_before: int, predicted_s: float, served: int | None = None, athlete: str = "ann", as_text: bool = False
) -> dict[str, Any]:
    """What was said of the evening `days_before` the effort's; served: days after it on which it was said."""
    times = {"predicted_10k_s": predicted_s, "p10_10k_s": predicted_s - 100, "p90_10k_s": predicted_s + 100}
    outputs: dict[str, Any] = {**times, "served_by": "model", "predicted_5k_s": None, "interval_factor_10k": 1.5}
    evening = DAY - timedelta(days=days_before)
    on = midnight(evening + timedelta(days=served or 0))
    entry = {"athlete_id": athlete, "prediction_date": midnight(evening), "served_at": on, "model_version": "7"}
    if as_text:  # as the log was before it had columns
        outputs = {"outputs": json.dumps(outputs)}
    unsaid = {"outputs": "{}", **dict.fromkeys(tables.LOGGED_OUTPUTS)}
    return {**unsaid, **entry, **outputs, "served_on": on, "dagster_run_id": f"run {predicted_s}"}


def effort(number: int = 1, athlete: str = "ann", distance: str = "10k", seconds: float = 2500.0) -> dict[str, Any]:
    run = {"athlete_id": athlete, "activity_id": number, "distance": distance, "time_s": seconds}
    return {**run, "activity_date": midnight(DAY), "tier": 2}


def activity(effort: dict[str, Any]) -> dict[str, Any]:
    return {name: effort[name] for name in ("athlete_id", "activity_id")}


def found(
    spark: SparkSession, efforts: list[dict], log: list[dict], recorded: list[dict] | None = None, gone: bool = False
) -> list[dict[str, Any]]:
    def frame(table: tables.Table, given: list[dict]) -> DataFrame:
        if not given:
            return spark.createDataFrame([], table.ddl.replace(" NOT NULL", ""))
        return spark.createDataFrame(rows(table, *given))

    before = frame(tables.PREDICTION_OUTCOMES, recorded or [])
    there = frame(tables.ACTIVITY, [] if gone else [*map(activity, efforts), *map(activity, recorded or [])])
    made = prediction_outcomes(
        frame(tables.RACE_EFFORTS, efforts), frame(tables.INFERENCE_LOG, log), before, there, TODAY
    )
    return sorted(made.toArrow().to_pylist(), key=lambda row: row["activity_id"])


@pytest.mark.parametrize("as_text", [False, True], ids=["columns", "text"])
def test_an_effort_meets_the_newest_prediction_before_it(spark: SparkSession, as_text: bool) -> None:
    efforts = [effort(1), effort(2, distance="5k"), effort(3, athlete="bob")]
    # 9 days before; 2 days before; of the day itself, which already knows the effort; and too long ago for cleo's
    of = partial(said, as_text=as_text)
    log = [of(9, 2700.0), of(2, 2550.0), of(0, 2500.0), of(29, 2500.0, athlete="cleo")]
    (outcome,) = found(spark, [*efforts, effort(4, athlete="cleo")], log)
    assert (outcome["athlete_id"], outcome["activity_id"], outcome["distance"]) == ("ann", 1, "10k")
    assert (outcome["prediction_age_days"], outcome["predicted_s"]) == (2, 2550.0)
    assert outcome["error_pct"] == pytest.approx(2.0, rel=1e-12)
    assert outcome["in_interval"] is True
    assert (outcome["model_version"], outcome["tier"], outcome["interval_factor"]) == ("7", 2, 1.5)
    assert (outcome["is_backfilled"], outcome["known_on"].date()) == (False, TODAY)
    assert (outcome["p10_s"], outcome["p90_s"], outcome["served_by"]) == (2450.0, 2650.0, "model")


def test_what_was_said_first_counts_after_the_evening_was_scored_again(spark: SparkSession) -> None:
    again = [said(1, 2600.0), said(1, 2501.0, served=1), said(1, 2500.0, served=40)]
    (outcome,) = found(spark, [effort()], again)
    assert outcome["predicted_s"] == 2600.0


def test_a_prediction_made_in_time_goes_before_a_backfill_of_a_nearer_evening(spark: SparkSession) -> None:
    (live,) = found(spark, [effort()], [said(5, 2600.0), said(1, 2500.0, served=10)])
    assert (live["predicted_s"], live["is_backfilled"]) == (2600.0, False)
    (late,) = found(spark, [effort()], [said(1, 2500.0, served=10)])
    assert (late["predicted_s"], late["is_backfilled"]) == (2500.0, True)


def test_a_recorded_outcome_stands_as_long_as_its_activity(sail: SparkSession) -> None:
    """Its label may be gone, and its evening scored again; a corrected time is taken over, a deleted run is not."""
    (first,) = found(sail, [effort()], [said(1, 2600.0)])
    recorded = {**first, "known_on": midnight(DAY)}
    nearer = [said(1, 2600.0), said(1, 2400.0)]
    (without_label,) = found(sail, [], nearer, [recorded])
    assert without_label == recorded
    (corrected,) = found(sail, [effort(seconds=2000.0)], nearer, [recorded])
    assert (corrected["run_s"], corrected["error_pct"], corrected["in_interval"]) == (2000.0, pytest.approx(30), False)
    assert (corrected["known_on"], corrected["predicted_s"]) == (midnight(DAY), 2600.0)
    assert found(sail, [], nearer, [recorded], gone=True) == []
    # its length was corrected: a time over 5 km is not held against what was said of 10
    assert found(sail, [effort(distance="5k", seconds=1200.0)], nearer, [recorded]) == [recorded]


def test_an_outcome_of_an_earlier_release_is_known_from_now_on(sail: SparkSession) -> None:
    (first,) = found(sail, [effort()], [said(1, 2600.0)])
    old = {**first, "known_on": None, "tier": None, "is_backfilled": None, "interval_factor": None}
    (outcome,) = found(sail, [effort()], [], [old])
    assert (outcome["known_on"].date(), outcome["tier"]) == (TODAY, 2)
