"""What `status` prints of an athlete whose load is unknown: null is not zero."""

from __future__ import annotations

from pathlib import Path

from athlete_assets import tables
from athlete_assets.days import midnight
from athlete_assets.gold.report import summary_text
from athlete_assets.settings import Settings
from athlete_assets.store.local import LocalStore
from athlete_assets_tests.rows import DAY, rows

RIDER = {
    "athlete_id": "ann",
    "as_of_date": midnight(DAY),
    "last_activity_date": midnight(DAY),
    "days_since_activity": 0,
    "distance_28d_km": 600.0,
    "activities_42d": 20,
}


def text(home: Path, **summary: object) -> str:
    store = LocalStore(Settings(home=home))
    store.replace_arrow(tables.STRAVA_ACTIVITIES, rows(tables.STRAVA_ACTIVITIES, {"athlete_id": "ann"}))
    store.replace_arrow(tables.METRICS_SUMMARY, rows(tables.METRICS_SUMMARY, {**RIDER, **summary}))
    return summary_text(store)


def test_twenty_rides_without_heart_rate_have_no_fitness(tmp_path: Path) -> None:
    found = text(tmp_path, untracked_42d=20, fitness_ctl=None, fatigue_atl=None, form_tsb=None)
    assert "fitness, fatigue and form unknown" in found
    assert "20 of 20 activities of the last 42 days have no load" in found
    assert "0.0" not in found.replace("600.0", "")


def test_load_that_is_known_in_part_says_so(tmp_path: Path) -> None:
    found = text(tmp_path, untracked_42d=3, fitness_ctl=41.0, fatigue_atl=50.0, form_tsb=-9.0)
    assert "fitness  41.0  fatigue  50.0  form   -9.0" in found
    assert "3 of 20 activities of the last 42 days have no load" in found
    whole = text(tmp_path, untracked_42d=0, fitness_ctl=41.0, fatigue_atl=50.0, form_tsb=-9.0)
    assert "no load" not in whole
