"""Predicted against run: the newest prediction of a day before the effort, on both engines."""

from __future__ import annotations

from datetime import timedelta

import pytest
from pyspark.sql import SparkSession

from athlete_assets import tables
from athlete_assets.days import midnight
from athlete_assets.monitoring.outcomes import prediction_outcomes
from athlete_assets_tests.rows import DAY, rows


def prediction(days_before: int, predicted_s: float) -> dict[str, object]:
    times = {"predicted_10k_s": predicted_s, "p10_10k_s": predicted_s - 100, "p90_10k_s": predicted_s + 100}
    day = midnight(DAY - timedelta(days=days_before))
    return {"athlete_id": "ann", "prediction_date": day, "served_by": "model", "model_version": "7", **times}


def test_an_effort_meets_the_newest_prediction_before_it(spark: SparkSession) -> None:
    efforts = rows(
        tables.RACE_EFFORTS,
        {"athlete_id": "ann", "activity_id": 1, "activity_date": midnight(DAY), "distance": "10k", "time_s": 2500.0},
        {"athlete_id": "ann", "activity_id": 2, "activity_date": midnight(DAY), "distance": "5k", "time_s": 1200.0},
        {"athlete_id": "bob", "activity_id": 3, "activity_date": midnight(DAY), "distance": "10k", "time_s": 2500.0},
    )
    # 9 days before; 2 days before; and one of the day itself, which already knows the effort
    predictions = rows(tables.PREDICTIONS, prediction(9, 2700.0), prediction(2, 2550.0), prediction(0, 2500.0))
    frames = (spark.createDataFrame(arrow) for arrow in (efforts, predictions))
    (found,) = prediction_outcomes(*frames).toArrow().to_pylist()
    assert (found["athlete_id"], found["activity_id"], found["distance"]) == ("ann", 1, "10k")
    assert found["prediction_age_days"] == 2
    assert found["predicted_s"] == 2550.0
    assert found["error_pct"] == pytest.approx(2.0, rel=1e-12)
    assert found["in_interval"] is True
    assert found["model_version"] == "7"
