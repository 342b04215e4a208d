"""The history of predictions: what was served in time stands, and any past day says by what and from what."""

from __future__ import annotations

import json
from datetime import date, datetime, timedelta, timezone

import pyarrow as pa
import pytest

from athlete_assets import tables
from athlete_assets.days import midnight
from athlete_assets.errors import InputError
from athlete_assets.gold.history import history, history_text
from athlete_assets.gold.predictions import served_in_time, unserved
from athlete_assets.store.local import LocalStore
from athlete_assets_tests.rows import DAY, rows

YESTERDAY = DAY - timedelta(days=1)


def prediction(athlete: str, day: date, seconds: float, late: bool | None) -> dict[str, object]:
    times = dict(zip(tables.TIME_COLUMNS["10k"], (seconds, seconds - 100, seconds + 200), strict=True))
    return {
        "athlete_id": athlete,
        "prediction_date": midnight(day),
        **times,
        "is_backfilled": late,
        "served_by": "model",
        "model_version": "3",
        "top_reasons": None,
    }


def predicted(*given: tuple[str, date, float, bool | None]) -> pa.Table:
    return rows(tables.PREDICTIONS, *(prediction(*row) for row in given))


def test_a_backfill_leaves_what_was_served_in_time_and_replaces_what_was_backfilled() -> None:
    stored = predicted(
        ("ann", YESTERDAY, 2400.0, False), ("bob", YESTERDAY, 2500.0, True), ("old", YESTERDAY, 1.0, None)
    )
    again = predicted(
        ("ann", YESTERDAY, 9.0, True),
        ("bob", YESTERDAY, 9.0, True),
        ("new", YESTERDAY, 9.0, True),
        ("old", YESTERDAY, 9.0, True),
    )
    is_new = unserved(again, stored)
    assert is_new.to_pylist() == [False, True, True, False]
    found = pa.concat_tables([again.filter(is_new), served_in_time(again, stored, is_new)])
    assert {row["athlete_id"]: (row["predicted_10k_s"], row["is_backfilled"]) for row in found.to_pylist()} == {
        "ann": (2400.0, False),
        "bob": (9.0, True),
        "new": (9.0, True),
        "old": (1.0, None),
    }


def test_todays_prediction_is_made_anew_and_who_is_gone_goes() -> None:
    stored = predicted(("ann", DAY, 2400.0, False), ("gone", YESTERDAY, 2400.0, False))
    again = predicted(("ann", DAY, 2300.0, False))
    is_new = unserved(again, stored)
    assert is_new.to_pylist() == [True]
    assert served_in_time(again, stored, is_new).num_rows == 0


@pytest.fixture
def filled(store: LocalStore) -> LocalStore:
    given = [("o'ann", DAY, 2400.0, False), ("o'ann", YESTERDAY, 2460.0, True), ("bob", DAY, 3000.0, False)]
    store.replace_arrow(tables.PREDICTIONS, predicted(*given))
    log = [
        {
            "athlete_id": "o'ann",
            "prediction_date": midnight(YESTERDAY),
            "served_at": datetime(2024, 5, 15, hour, tzinfo=timezone.utc),
            "dagster_run_id": f"run-{hour}-and-more",
            "model_version": str(hour),
            "features": json.dumps({"recent_effort_time_s": 3092.0, "ctl_42d": None, "hr_slope": 0.1}),
            "outputs": json.dumps({"predicted_10k_s": 2460.0}),
        }
        for hour in (9, 7)
    ]
    columns = (*tables.LOGGED_INPUTS, *tables.LOGGED_OUTPUTS)
    before = rows(tables.INFERENCE_LOG, *log).drop_columns(list(columns))  # as an earlier release made the table
    store.folder(tables.INFERENCE_LOG).create(before.schema, partition_by=["month"])
    store.folder(tables.INFERENCE_LOG).append(before)
    return store


def test_a_past_day_says_what_was_predicted_by_which_version_and_from_what(filled: LocalStore) -> None:
    (row,) = history(filled, "o'ann", YESTERDAY)
    assert (row["predicted_10k_s"], row["is_backfilled"], row["prediction_date"][:10]) == (2460.0, True, str(YESTERDAY))
    assert [entry["model_version"] for entry in row["served"]] == ["7", "9"]
    assert row["served"][0]["features"] == {"recent_effort_time_s": 3092.0, "ctl_42d": None, "hr_slope": 0.1}
    json.dumps(row)
    text = history_text([row], YESTERDAY)
    assert "2024-05-14  10k 41:00 (39:20–44:20)  [model 3, backfilled: made after its day]" in text
    assert "Served at 2024-05-15T07:00 UTC by version 7, run run-7-an, from" in text
    assert "recent_effort_time_s 3092" in text
    assert "and 1 more features" in text


def test_the_log_says_the_same_as_columns(filled: LocalStore) -> None:
    """Beside rows from before the log had columns; one input has none."""
    entry = {
        "athlete_id": "o'ann",
        "prediction_date": midnight(YESTERDAY),
        "served_at": datetime(2024, 5, 15, 10, tzinfo=timezone.utc),
        "dagster_run_id": "run-10-and-more",
        "model_version": "10",
        "features": json.dumps({"watts": 240.0}),
        "outputs": "{}",
        "recent_effort_time_s": 3092.0,
        "hr_slope": 0.1,
        "predicted_10k_s": 2460.0,
        "features_as_of": midnight(YESTERDAY),
    }
    filled.create(tables.INFERENCE_LOG)
    filled.folder(tables.INFERENCE_LOG).append(rows(tables.INFERENCE_LOG, entry))
    (row,) = history(filled, "o'ann", YESTERDAY)
    assert [entry["model_version"] for entry in row["served"]] == ["7", "9", "10"]
    newest = row["served"][-1]
    assert set(newest["features"]) == {*tables.LOGGED_INPUTS, "watts"}
    assert {name: value for name, value in newest["features"].items() if value is not None} == {
        "watts": 240.0,
        "recent_effort_time_s": 3092.0,
        "hr_slope": 0.1,
    }
    assert newest["outputs"]["predicted_10k_s"] == row["served"][0]["outputs"]["predicted_10k_s"] == 2460.0
    assert newest["outputs"]["p10_10k_s"] is None
    json.dumps(row)
    assert "by version 10, run run-10-a, from\n  recent_effort_time_s 3092\n  and 2 more features" in history_text(
        [row], YESTERDAY
    )


def test_all_days_come_newest_first_without_features(filled: LocalStore) -> None:
    found = history(filled, "o'ann")
    assert [row["prediction_date"][:10] for row in found] == [str(DAY), str(YESTERDAY)]
    assert all("features" not in entry for row in found for entry in row["served"])
    assert history_text(found, None).splitlines()[0].startswith("2024-05-15  10k 40:00 (38:20–43:20)  [model 3]")


def test_a_day_without_a_prediction_says_which_days_have_one(filled: LocalStore) -> None:
    with pytest.raises(InputError, match=r"nothing was predicted for bob on 2024-05-14.*of 1 day, 2024-05-15 to"):
        history(filled, "bob", YESTERDAY)
    with pytest.raises(InputError, match=r"nothing was predicted for eve$"):
        history(filled, "eve")
