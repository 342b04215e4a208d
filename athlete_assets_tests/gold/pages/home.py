"""A small home for the pages: tables written by hand, so that a page can be compared with them."""

from __future__ import annotations

import json
import re
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from athlete_assets import tables
from athlete_assets.days import midnight, monday_of
from athlete_assets.gold.pages.site import page_name
from athlete_assets.store.local import LocalStore
from athlete_assets_tests.rows import rows

TODAY = date(2026, 3, 11)
"""A Wednesday."""
FIRST = TODAY - timedelta(days=39)


def fill(store: LocalStore, *athletes: str, first: date = FIRST) -> None:
    """The tables of athletes who ran 10 km in 50 minutes on every other day: fitness is 1 TSS a day more each day."""
    days = [first + timedelta(days=n) for n in range((TODAY - first).days + 1)]
    mondays = sorted({monday_of(day) for day in days})
    active = [day for n, day in enumerate(days) if n % 2 == 0]
    each = [(athlete, day) for athlete in athletes for day in days]
    state = [
        {"athlete_id": athlete, "as_of_date": midnight(day), "ctl_42d": float(n), "atl_7d": 2.0 * n, "tsb": -1.0 * n}
        | {"acwr": 1.6, "training_monotony_7d": 1.0, "is_overtraining_risk": True, "risk_reasons": ["acwr"]}
        for athlete in athletes
        for n, day in enumerate(days)
    ]
    put(store, tables.ROLLING, *state)
    put(
        store,
        tables.DAILY,
        *(
            {"athlete_id": athlete, "activity_date": midnight(day), "daily_tss": 60.0 * (day in active)}
            | {"distance_km": 10.0 * (day in active), "activities": int(day in active), "moving_time_min": 50.0}
            for athlete, day in each
        ),
    )
    put(
        store,
        tables.WEEKLY,
        *(
            {"athlete_id": athlete, "week_start": midnight(day), "weekly_distance_km": 999.0}
            for athlete in athletes
            for day in mondays
        ),
    )
    put(
        store,
        tables.ACTIVITY,
        *(
            {"athlete_id": athlete, "activity_id": n, "activity_date": midnight(day), "event_timestamp": midnight(day)}
            | {"sport_type": "Run", "moving_time_min": 50.0, "distance_km": 10.0, "pace_min_km": 5.0}
            | {"avg_hr": 140.0, "hr_max_bpm": 190.0, "load_method": "pace", "threshold_pace_min_km": 4.5}
            | {"hr_zone_1_pct": 0.0, "hr_zone_2_pct": 0.2, "hr_zone_3_pct": 0.8, "hr_zone_4_pct": 0.0}
            | {"hr_zone_5_pct": 0.0}
            for athlete in athletes
            for n, day in enumerate(active)
        ),
    )
    put(
        store,
        tables.PREDICTIONS,
        *(
            {"athlete_id": athlete, "prediction_date": midnight(day), "features_as_of": midnight(day)}
            | {"predicted_10k_s": 3000.0 - n, "p10_10k_s": 2900.0 - n, "p90_10k_s": 3100.0 - n}
            | {
                "served_by": "model",
                "model_version": "7",
                "top_reasons": ["You <ran> & ran"],
                "p_disruption_14d": 0.125,
            }
            for athlete in athletes
            for n, day in enumerate(days)
        ),
    )
    put(
        store,
        tables.METRICS_SUMMARY,
        *(
            {"athlete_id": athlete, "as_of_date": midnight(TODAY), "last_activity_date": midnight(TODAY)}
            | {"fitness_ctl": 39.0, "fatigue_atl": 78.0, "form_tsb": -39.0, "ramp_rate_7d": 7.0}
            | {"distance_28d_km": 1234.56, "distance_365d_km": 200.0, "days_since_activity": 1}
            | {"best_10k_s": 2911.0, "best_10k_date": midnight(date(2026, 2, 28)), "threshold_pace_min_km": 4.5}
            | {"threshold_source": "critical_speed", "hr_max_bpm": None, "hr_max_source": None}
            for athlete in athletes
        ),
    )
    put(store, tables.PREDICTION_OUTCOMES, *(outcome(athlete) for athlete in athletes))
    put(
        store,
        tables.PROJECTION,
        *(
            {"athlete_id": athlete, "scenario": scenario, "as_of_date": midnight(TODAY), "days_ahead": n}
            | {"projected_date": midnight(TODAY + timedelta(days=n)), "load_tss": load}
            | {"fitness_ctl": 39.0 - n, "fatigue_atl": 10.0, "form_tsb": 29.0 - n, "acwr": 0.5}
            for athlete in athletes
            for scenario, load in (("rest", 0.0), ("habit", 30.0))
            for n in range(1, 15)
        ),
    )
    put(
        store,
        tables.LOAD_ROOM,
        *(
            {"athlete_id": athlete, "as_of_date": midnight(TODAY), "room_today_tss": 84.4, "room_today_min": 70.6}
            | {"room_limited_by": "ramp", "room_unknown_reason": None, "race_date": midnight(date(2026, 3, 22))}
            | {"race_form_target_tsb": 10.0, "race_form_at_rest_tsb": 25.0, "taper_load_tss": 18.0}
            for athlete in athletes
        ),
    )
    put(
        store,
        tables.REJECTS,
        *(
            {"athlete_id": athlete, "activity_date": midnight(TODAY), "reject_reasons": reasons}
            for athlete in athletes
            for reasons in (["duplicate"], ["duplicate", "implausible_speed"])
        ),
    )


def outcome(athlete: str) -> dict[str, Any]:
    return {
        "athlete_id": athlete,
        "activity_date": midnight(TODAY),
        "prediction_date": midnight(TODAY - timedelta(days=1)),
        "distance": "10k",
        "run_s": 3000.0,
        "predicted_s": 2940.0,
        "p10_s": 2800.0,
        "p90_s": 2990.0,
        "error_pct": -2.0,
        "in_interval": False,
        "served_by": "model",
    }


def put(store: LocalStore, table: tables.Table, *given: dict[str, Any]) -> None:
    store.replace_arrow(table, rows(table, *given))


def page(folder: Path, athlete: str) -> str:
    return (folder / "athletes" / page_name(athlete)).read_text()


def data(html: str) -> dict[str, Any]:
    """What the page's script draws from."""
    (found,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', html, re.S)
    return json.loads(found)


def text(html: str) -> str:
    """The words of a page without its tags, as a reader gets them."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html))
