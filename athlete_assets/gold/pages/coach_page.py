"""What the coach's page says: a row an athlete."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from athlete_assets.gold.pages.athlete_page import (
    QUIET_DAYS,
    disruption,
    is_at_risk,
    prediction_moved,
    predictions,
    risk_reasons,
    weekly_km,
)
from athlete_assets.gold.pages.reading import Shown
from athlete_assets.gold.pages.texts import UNKNOWN, Words

SPARK_WEEKS = 26
_LEADS = {0: "no_athlete", 1: "one_athlete"}


def coach_row(shown: Shown, page: str, words: Words) -> dict[str, Any]:
    """What an athlete's row says: each cell's words, and in `sort` what its column is sorted by (None: not known)."""
    summary = shown.summary
    predicted, moved = prediction_moved(predictions(shown))
    at_risk, chance = is_at_risk(shown), disruption(shown)
    reasons = ", ".join(words.known(f"reason_short_{name}", name) for name in risk_reasons(shown))
    return {
        "athlete": shown.athlete,
        "page": page,
        "at_risk": at_risk,
        "days": summary["days_since_activity"],
        "moved": moved,
        "as_of": shown.as_of,
        "spark": _spark(weekly_km(shown)[1]),
        "cells": [
            (words.number(summary["fitness_ctl"], 1), summary["fitness_ctl"]),
            (words.number(summary["form_tsb"], 1, sign=True), summary["form_tsb"]),
            (words.number(summary["ramp_rate_7d"], 1, sign=True), summary["ramp_rate_7d"]),
            (words.number(summary["distance_28d_km"], 1), summary["distance_28d_km"]),
        ],
        "risk": UNKNOWN if at_risk is None else f"{words('risk_yes')}: {reasons}" if at_risk else words("risk_no"),
        "chance": words.percent(chance),
        "risk_sort": None if at_risk is None else at_risk + (chance or 0.0),
        "after": [
            (words.number(summary["days_since_activity"]), summary["days_since_activity"]),
            (words.time(predicted), predicted),
            (words.change(moved), moved),
        ],
    }


def coach_view(rows: Sequence[dict[str, Any]], models: Sequence[dict[str, str]], words: Words) -> dict[str, Any]:
    """What the template of the coach's page is given."""
    count = len(rows)
    return {
        "title": words("coach_title"),
        "lead": words(_LEADS[count]) if count in _LEADS else words("coach_lead", count=words.number(count)),
        "day": words.day(max((row["as_of"] for row in rows), default=None)),
        "tiles": [
            {"name": words(name), "value": words.number(number), "sub": words("of_count", count=words.number(count))}
            for name, number in (
                ("need_a_look", sum(row["at_risk"] is True for row in rows)),
                ("quiet", sum(row["days"] > QUIET_DAYS for row in rows)),
                ("faster", sum(row["moved"] is not None and row["moved"] < 0 for row in rows)),
            )
        ],
        "rows": rows,
        "models": models,
        "charts": None,
    }


def _spark(km: Sequence[float]) -> str:
    """The last weeks as an SVG path of bars, 3 wide with a gap of 1, at most 20 high: M x,20 v -height each."""
    recent = list(km[-SPARK_WEEKS:])
    top = max(recent, default=0.0)
    if not top:
        return ""
    offset = SPARK_WEEKS - len(recent)
    return "".join(
        f"M{4 * (offset + at) + 2} 20v-{max(1, round(20 * value / top))}" for at, value in enumerate(recent) if value
    )
