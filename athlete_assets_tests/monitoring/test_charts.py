"""Charts in the UI: small, there where data is, and absent where it is not."""

from __future__ import annotations

import base64
import io
import re
from datetime import date, timedelta
from typing import Any

import dagster as dg
import numpy as np
from PIL import Image
from pyspark.sql import SparkSession

from athlete_assets import tables
from athlete_assets.days import midnight
from athlete_assets.monitoring import charts
from athlete_assets_tests.rows import rows

LAST = date(2024, 6, 30)


def picture(chart: dg.MarkdownMetadataValue | None) -> Image.Image:
    assert chart is not None
    assert chart.md_str is not None
    assert len(chart.md_str) < 60_000
    found = re.fullmatch(r"!\[[^\]]+\]\(data:image/png;base64,([A-Za-z0-9+/=]+)\)", chart.md_str)
    assert found
    return Image.open(io.BytesIO(base64.b64decode(found[1])))


def drawn(image: Image.Image) -> float:
    """Share of the picture that is not background."""
    return float((np.asarray(image.convert("L")) < 250).mean())


def test_three_busy_athletes_over_half_a_year_fit_into_a_small_picture(sail: SparkSession) -> None:
    noise = np.random.default_rng(3)
    states: list[dict[str, Any]] = []
    for athlete in ("ann", "bob", "cleo", "dan"):
        for back in range(200):
            ctl, atl = noise.uniform(20, 90, 2)
            day = midnight(LAST - timedelta(days=back))
            state = {"athlete_id": athlete, "as_of_date": day, "ctl_42d": ctl, "atl_7d": atl, "tsb": ctl - atl}
            states.append(state)
    image = picture(charts.training_load(sail.createDataFrame(rows(tables.ROLLING, *states)), LAST))
    assert image.width <= 640
    assert drawn(image) > 0.05


def test_weekly_volume_and_prediction_fan_are_drawn(sail: SparkSession) -> None:
    weeks = [
        {
            "athlete_id": "ann",
            "week_start": midnight(date(2024, 6, 24) - timedelta(weeks=n)),
            "weekly_distance_km": 40.0,
        }
        for n in range(30)
    ]
    assert drawn(picture(charts.weekly_volume(sail.createDataFrame(rows(tables.WEEKLY, *weeks)), LAST))) > 0.05
    prediction: dict[str, Any] = {"athlete_id": "ann", "prediction_date": midnight(LAST)}
    for name, metres in tables.DISTANCES_M.items():
        for prefix, pace in (("p10", 230.0), ("predicted", 240.0), ("p90", 260.0)):
            prediction[f"{prefix}_{name}_s"] = metres / 1000 * pace
    assert (
        drawn(picture(charts.prediction_fan(sail.createDataFrame(rows(tables.PREDICTIONS, prediction)), LAST))) > 0.05
    )


def test_without_rows_there_is_no_chart(sail: SparkSession) -> None:
    assert charts.training_load(sail.createDataFrame([], tables.ROLLING.ddl), LAST) is None
    assert charts.weekly_volume(sail.createDataFrame([], tables.WEEKLY.ddl), LAST) is None
    assert charts.prediction_fan(sail.createDataFrame([], tables.PREDICTIONS.ddl), LAST) is None


def test_reject_reasons_are_counted_by_rule(sail: SparkSession) -> None:
    rejects = [{"reject_reasons": reasons} for reasons in (["duplicate"], ["duplicate"], ["missing_key", "duplicate"])]
    table = charts.reject_reasons(sail.createDataFrame(rows(tables.REJECTS, *rejects)))
    assert [tuple(record.data.values()) for record in table.records] == [("duplicate", 3, 2), ("missing_key", 1, 0)]
