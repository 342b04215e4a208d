"""What a predicted time rests on, in words, and what of the athlete's own record stands against it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any

from athlete_assets import tables
from athlete_assets.formulas.race_times import clock

Row = Mapping[str, Any]

APART_SHARE = 0.02
"""A prediction so much faster than the athlete's best, or slower than what was run within 60 days, says so."""
FRESH_DAYS = 60
"""An older effort says little of today's shape."""
IDLE_DAYS = 14
LONG_DISTANCES = ("half", "marathon")
PREPARED_SHARE = 0.6
"""A half or full marathon is predicted without the training for it where the longest run of 90 days is shorter than
this share of it."""


def in_words(day: date) -> str:
    """12 August 2026."""
    return f"{day.day} {day:%B %Y}"


def basis(performance: Row, day: date) -> str | None:
    """What the predictions of a day start from: 'your 10.1 km in 51:32 on 12 August 2026'; None without an effort.

    performance: the athlete's row of athlete_performance_features on that day.
    """
    metres, seconds, age = (performance.get(f"recent_effort_{name}") for name in ("distance_m", "time_s", "age_days"))
    if metres is None or seconds is None:
        return None
    on = f" on {in_words(day - timedelta(days=int(age)))}" if age is not None else ""
    return f"your {metres / 1000:.1f} km in {clock(seconds)}{on}"


def against_all(performance: Row) -> list[str]:
    """The sentences that speak against every time predicted from the effort: its age, and a break since."""
    age, since = performance.get("recent_effort_age_days"), performance.get("days_since_run")
    found = []
    if age is not None and age > FRESH_DAYS:
        found.append(f"that run is {age:.0f} days old, and no better one tells of your shape since")
    if since is not None and since > IDLE_DAYS:
        found.append(f"you have not run for {since:.0f} days")
    return found


def against(prediction: Row, performance: Row, summary: Row) -> dict[str, list[str]]:
    """By distance, the sentences that say what the athlete's own record holds against its predicted time.

    prediction, performance: the athlete's rows of the day; summary: that of athlete_metrics_summary. Nothing is said of
    a time that the record bears out.
    """
    return {
        name: found
        for name in tables.DISTANCES_M
        if prediction.get(tables.TIME_COLUMNS[name][0]) is not None
        and (found := [*_runs_against(name, prediction, performance, summary), *_training_against(name, performance)])
    }


def _runs_against(name: str, prediction: Row, performance: Row, summary: Row) -> list[str]:
    predicted, fast, _ = (prediction[column] for column in tables.TIME_COLUMNS[name])
    of_year, of_60_days = (performance.get(f"best_{name}_{days}d_s") for days in (365, 60))
    best, on = summary.get(f"best_{name}_s"), summary.get(f"best_{name}_date")
    if of_year is not None and of_year < fast:
        return [f"you ran {clock(of_year)} within a year, faster than the fast end of the interval"]
    if best is not None and on is not None and predicted < best * (1 - APART_SHARE):
        return [f"it is faster than your best, {clock(best)} on {in_words(on.date())}"]
    if of_year is not None and predicted < of_year * (1 - APART_SHARE):
        return [f"it is faster than all that you ran at the distance within a year, {clock(of_year)} at best"]
    if of_60_days is not None and predicted > of_60_days * (1 + APART_SHARE):
        return [
            f"you ran {clock(of_60_days)} within 60 days; it is the middle of what hard efforts end with, and most end "
            "slower than a best"
        ]
    return []


def _training_against(name: str, performance: Row) -> list[str]:
    if name not in LONG_DISTANCES or "longest_run_90d_km" not in performance:
        return []
    longest = performance["longest_run_90d_km"]
    if longest is None:
        return ["you have not run in the last 90 days"]
    if longest * 1000 >= PREPARED_SHARE * tables.DISTANCES_M[name]:
        return []
    return [f"your longest run of the last 90 days is {longest:.1f} km"]
