"""The short summary that `make run` prints: who is there, what was rejected, form today, predicted times."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from athlete_assets import tables
from athlete_assets.formulas.race_times import clock
from athlete_assets.store.local import LocalStore

SHOWN_ATHLETES = 5
QUIET_DAYS = 7


def summary_text(store: LocalStore) -> str:
    """A few lines of text from the stored tables; an empty home gives one line that says so."""
    if not store.exists(tables.STRAVA_ACTIVITIES):
        return f"There is nothing in {store.settings.home} yet: athlete-assets run fills it."
    activities = store.rows(tables.STRAVA_ACTIVITIES, ["athlete_id"])
    rejects = store.rows(tables.REJECTS, ["reject_reasons"])
    accepted = store.rows(tables.ACTIVITY, ["athlete_id"])
    reasons = Counter(reason for row in rejects["reject_reasons"].to_pylist() for reason in row)
    athletes = pc.count_distinct(activities["athlete_id"]).as_py()
    waiting = activities.num_rows - accepted.num_rows - rejects.num_rows
    lines = [
        f"{athletes} athlete{'' if athletes == 1 else 's'}, {activities.num_rows} silver activities: "
        f"{accepted.num_rows} accepted, {rejects.num_rows} rejected"
        + (f", {waiting} not looked at yet: athlete-assets run." if waiting > 0 else "."),
    ]
    if reasons:
        lines.append("Rejected for: " + ", ".join(f"{reason} {count}" for reason, count in reasons.most_common()) + ".")
    lines += _form(store.rows(tables.METRICS_SUMMARY), store.rows(tables.PREDICTIONS))
    return "\n".join(lines)


def athletes_in(store: LocalStore) -> list[str]:
    """The athletes of the summary, in order; none where there is no summary yet."""
    return sorted(pc.unique(store.rows(tables.METRICS_SUMMARY, ["athlete_id"])["athlete_id"]).to_pylist())


def _form(summary: pa.Table, predictions: pa.Table) -> list[str]:
    newest = {row["athlete_id"]: row for row in predictions.sort_by("prediction_date").to_pylist()}
    athletes = sorted(summary.to_pylist(), key=lambda row: (row["days_since_activity"], row["athlete_id"]))
    if not athletes:
        return []
    lines = [f"Form on {athletes[0]['as_of_date']:%Y-%m-%d} and predicted times (80 % interval):"]
    for row in athletes[:SHOWN_ATHLETES]:
        times = newest.get(row["athlete_id"], {})
        lines.append(f"  {row['athlete_id']:<12} {_load(row)}   {row['distance_28d_km']:6.1f} km in 28 days")
        if row["untracked_42d"]:
            lines.append(
                f"  {'':<12} {row['untracked_42d']} of {row['activities_42d']} activities of the last 42 days have no "
                "load: neither heart rate nor the pace of a run"
            )
        if row["days_since_activity"] > QUIET_DAYS:
            lines.append(f"  {'':<12} last activity {row['last_activity_date']:%Y-%m-%d}")
        known = [name for name, (p50, _, _) in tables.TIME_COLUMNS.items() if times.get(p50) is not None]
        if known:
            spans = "  ".join(_span(times, name) for name in known)
            lines.append(f"  {'':<12} {spans}  [{times['served_by']}]")
        else:
            lines.append(f"  {'':<12} no prediction: no run of at least 3 km in the last year")
    if len(athletes) > SHOWN_ATHLETES:
        lines.append(f"  ... and {len(athletes) - SHOWN_ATHLETES} more in gold.athlete_metrics_summary.")
    return lines


def _load(row: dict[str, Any]) -> str:
    if row["fitness_ctl"] is None:
        return "fitness, fatigue and form unknown"
    return f"fitness {row['fitness_ctl']:5.1f}  fatigue {row['fatigue_atl']:5.1f}  form {row['form_tsb']:+6.1f}"


def _span(row: dict[str, float], name: str) -> str:
    predicted, fast, slow = (clock(row[column]) for column in tables.TIME_COLUMNS[name])
    return f"{name} {predicted} ({fast}–{slow})"
