"""What one athlete reads of himself or herself, with numbers by hand."""

from __future__ import annotations

import json
from datetime import date, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from athlete_assets import commands, tables
from athlete_assets.days import midnight
from athlete_assets.errors import InputError
from athlete_assets.gold.basis import against, against_all, basis
from athlete_assets.gold.export import exported
from athlete_assets.gold.status import form_in_words, status_text
from athlete_assets.store.local import LocalStore
from athlete_assets_tests.rows import DAY, rows

EFFORT = {"recent_effort_distance_m": 10_100.0, "recent_effort_time_s": 3092.0, "recent_effort_age_days": 34.0}
MARATHON = dict(zip(tables.TIME_COLUMNS["marathon"], (14_040.0, 13_200.0, 15_600.0), strict=True))
"""3:54:00, from 3:40:00 to 4:20:00."""
TRAINED = {"longest_run_90d_km": 32.0}


def test_the_basis_names_the_run_and_its_day() -> None:
    assert basis(EFFORT, date(2026, 9, 15)) == "your 10.1 km in 51:32 on 12 August 2026"
    assert basis({**EFFORT, "recent_effort_time_s": None}, DAY) is None


@pytest.mark.parametrize(
    ("performance", "summary", "says"),
    [
        ({"best_marathon_365d_s": 15_180.0}, {}, "faster than all that you ran at the distance within a year, 4:13:00"),
        ({}, {"best_marathon_s": 15_180.0}, "faster than your best, 4:13:00 on 15 May 2024"),
        ({"best_marathon_365d_s": 13_000.0}, {}, "you ran 3:36:40 within a year, faster than the fast end"),
        ({"best_marathon_60d_s": 13_500.0, "best_marathon_365d_s": 13_500.0}, {}, "you ran 3:45:00 within 60 days"),
        ({"longest_run_90d_km": 18.0}, {}, "your longest run of the last 90 days is 18.0 km"),
        ({"longest_run_90d_km": None}, {}, "you have not run in the last 90 days"),
    ],
)
def test_a_time_that_goes_against_the_record_says_so(
    performance: dict[str, Any], summary: dict[str, Any], says: str
) -> None:
    """As of a marathon of 3:54 that was predicted two months after one of 4:13."""
    (sentence,) = against(MARATHON, {**TRAINED, **performance}, {"best_marathon_date": midnight(DAY), **summary})[
        "marathon"
    ]
    assert says in sentence


def test_a_time_that_the_record_bears_out_says_nothing() -> None:
    """Within 2 % of the best of the year and of 60 days."""
    record = {**TRAINED, "best_marathon_365d_s": 14_200.0, "best_marathon_60d_s": 14_200.0}
    assert against(MARATHON, record, {"best_marathon_s": 14_200.0, "best_marathon_date": midnight(DAY)}) == {}
    assert against_all({**EFFORT, "days_since_run": 2.0}) == []


def test_an_old_effort_and_a_break_speak_against_every_time() -> None:
    assert against_all({"recent_effort_age_days": 341.0, "days_since_run": 297.0}) == [
        "that run is 341 days old, and no better one tells of your shape since",
        "you have not run for 297 days",
    ]


@pytest.mark.parametrize(
    ("form", "word"),
    [
        (25.0, "very rested"),
        (24.9, "fresh"),
        (5.0, "fresh"),
        (4.9, "balanced"),
        (-10.0, "balanced"),
        (-10.1, "tired as"),
        (-30.0, "tired as"),
        (-30.1, "very tired"),
    ],
)
def test_form_in_words(form: float, word: str) -> None:
    assert form_in_words(form).startswith(word)


@pytest.fixture
def home(store: LocalStore) -> LocalStore:
    summary = {
        "athlete_id": "ann",
        "as_of_date": midnight(DAY),
        "fitness_ctl": 41.0,
        "fitness_ctl_365d_ago": 35.5,
        "fatigue_atl": 50.0,
        "form_tsb": -9.0,
        "ramp_rate_7d": 2.0,
        "activities_42d": 20,
        "untracked_42d": 3,
        "best_10k_s": 2999.0,
        "best_10k_date": midnight(date(2024, 4, 1)),
        "last_activity_date": midnight(DAY),
        "days_since_activity": 0,
    }
    room = {
        "athlete_id": "ann",
        "load_today_tss": 20.0,
        "room_today_tss": 80.4,
        "room_limited_by": "acwr",
        "room_today_min": 65.0,
        "race_date": midnight(DAY + timedelta(days=10)),
        "race_form_target_tsb": 10.0,
        "taper_load_tss": 18.2,
    }
    prediction = {"athlete_id": "ann", "prediction_date": midnight(DAY), "served_by": "model", "model_version": "4"}
    performance = {"athlete_id": "ann", "as_of_date": midnight(DAY), **EFFORT, "longest_run_90d_km": 18.0}
    rejects = [{"athlete_id": "ann", "reject_reasons": ["duplicate"]}] * 2 + [
        {"athlete_id": "bob", "reject_reasons": ["implausible_speed"]}
    ]
    store.replace_arrow(tables.STRAVA_ACTIVITIES, rows(tables.STRAVA_ACTIVITIES, {"athlete_id": "ann"}))
    store.replace_arrow(tables.METRICS_SUMMARY, rows(tables.METRICS_SUMMARY, summary))
    store.replace_arrow(tables.LOAD_ROOM, rows(tables.LOAD_ROOM, room))
    store.replace_arrow(
        tables.PREDICTIONS, rows(tables.PREDICTIONS, {**prediction, **MARATHON, "top_reasons": ["Because."]})
    )
    store.replace_arrow(tables.PERFORMANCE, rows(tables.PERFORMANCE, performance))
    store.replace_arrow(tables.REJECTS, rows(tables.REJECTS, *rejects))
    return store


def test_the_status_answers_what_an_athlete_asks(home: LocalStore) -> None:
    found = status_text(home, "ann")
    for said in (
        "ann on 15 May 2024",
        "Fitness (CTL)    41.0   a year ago 35.5; ramp +2.0 in 7 days",
        "Form (TSB)       -9.0   balanced; good for easy weeks",
        "3 of 20 activities of the last 42 days have no load",
        "Room for load today: 80 TSS, about 1 h 05 min of your usual effort, beside 20 done; then ACWR 1.5 is reached.",
        "Race on 25 May 2024: 18 TSS a day until its eve lead to form +10.",
        "Best 10k           49:59   1 April 2024",
        "from your 10.1 km in 51:32 on 11 April 2024 [model 4]:",
        "marathon   3:54:00   3:40:00 to 4:20:00",
        "against it: your longest run of the last 90 days is 18.0 km.",
        "eight end within the two times",
        "Because.",
        "Activities left out: duplicate 2.",
        "docs/terms.md",
    ):
        assert said in found
    assert "implausible_speed" not in found
    with pytest.raises(InputError, match="there is no summary of bob yet"):
        status_text(home, "bob")


def test_an_unknown_fitness_and_room_are_said_to_be_unknown(home: LocalStore) -> None:
    unknown = dict.fromkeys(("fitness_ctl", "fatigue_atl", "form_tsb", "ramp_rate_7d"))
    summary = {**home.rows(tables.METRICS_SUMMARY).to_pylist()[0], **unknown}
    home.replace_arrow(tables.METRICS_SUMMARY, rows(tables.METRICS_SUMMARY, summary))
    room = {"athlete_id": "ann", "room_unknown_reason": "unknown_load", "race_date": None}
    home.replace_arrow(tables.LOAD_ROOM, rows(tables.LOAD_ROOM, room))
    home.replace_arrow(tables.PREDICTIONS, rows(tables.PREDICTIONS))
    found = status_text(home, "ann")
    assert "Fitness, fatigue and form are unknown" in found
    assert "Room for load today is unknown: no load is known." in found
    assert "No predicted times" in found


def test_a_table_is_exported_whole_or_for_one_athlete(home: LocalStore) -> None:
    as_csv = exported(home, "silver_rejects.strava_activities", "csv", "ann").decode().splitlines()
    assert len(as_csv) == 3
    assert as_csv[1].count('[""duplicate""]') == 1
    (row,) = json.loads(exported(home, "summary", "json"))
    assert (row["athlete_id"], row["as_of_date"], row["best_5k_s"]) == ("ann", "2024-05-15T00:00:00+00:00", None)
    again = pq.read_table(pa.BufferReader(exported(home, "athlete_metrics_summary", "parquet")))
    assert again.select(["best_10k_s"]).to_pylist() == [{"best_10k_s": 2999.0}]


def test_what_cannot_be_exported_is_named_and_nothing_is_written(home: LocalStore, tmp_path: Any) -> None:
    with pytest.raises(InputError, match="there is no one table nothing; the tables are: summary, silver"):
        exported(home, "nothing", "csv")
    with pytest.raises(InputError, match="there is no one table strava_activities"):
        exported(home, "strava_activities", "csv")  # silver's, or the rejects
    with pytest.raises(InputError, match="athlete_projection is not there yet"):
        exported(home, "athlete_projection", "csv")
    with pytest.raises(InputError, match="--out FILE"):
        commands.export_table("summary", "parquet", None, None, home.settings)
    out = tmp_path / "summary.parquet"
    commands.export_table("summary", "parquet", "ann", out, home.settings)
    assert [path.name for path in tmp_path.glob("summary*")] == ["summary.parquet"]
    assert pq.read_table(out).num_rows == 1


def test_who_has_not_run_for_a_year_is_told_so_beside_the_bests(home: LocalStore) -> None:
    """'No run of at least 3 km' under a list of bests up to the marathon is not true."""
    day = {"athlete_id": "ann", "prediction_date": midnight(DAY), "served_by": None, "model_version": None}
    home.replace_arrow(tables.PREDICTIONS, rows(tables.PREDICTIONS, day))
    found = status_text(home, "ann")
    assert "Best 10k           49:59" in found
    assert "No predicted times: no continuous run of at least 3 km within 365 days to predict from." in found
