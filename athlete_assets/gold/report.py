"""The short summary that `make run` prints: who is there, what was rejected, form today, predicted times."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from athlete_assets import tables
from athlete_assets.formulas.race_times import clock
from athlete_assets.store.local import LocalStore
from athlete_assets.words import counted, verb

SHOWN_ATHLETES = 5
QUIET_DAYS = 7


def summary_of(store: LocalStore) -> dict[str, Any]:
    """What the summary says, as data: counts, reasons of rejects, and each athlete's summary with its predictions."""
    activities = store.rows(tables.STRAVA_ACTIVITIES, ["athlete_id"])
    rejects = store.rows(tables.REJECTS, ["reject_reasons"])
    accepted = store.rows(tables.ACTIVITY, ["athlete_id"]).num_rows
    reasons = Counter(reason for row in rejects["reject_reasons"].to_pylist() for reason in row)
    newest = _newest(store.rows(tables.PREDICTIONS))
    return {
        "home": str(store.settings.home.resolve()),
        "athletes": pc.count_distinct(activities["athlete_id"]).as_py(),
        "activities": {
            "silver": activities.num_rows,
            "accepted": accepted,
            "rejected": rejects.num_rows,
            "waiting": max(0, activities.num_rows - accepted - rejects.num_rows),
        },
        "reject_reasons": dict(reasons.most_common()),
        "form": [
            {**row, "predictions": newest.get(row["athlete_id"])}
            for row in _by_freshness(store.rows(tables.METRICS_SUMMARY))
        ],
    }


def summary_text(store: LocalStore) -> str:
    """A few lines of text from the stored tables; an empty home gives one line that says so."""
    if not store.exists(tables.STRAVA_ACTIVITIES):
        return f"There is nothing in {store.settings.home} yet: athlete-assets run fills it."
    summary = summary_of(store)
    count, reasons = summary["activities"], summary["reject_reasons"]
    lines = [
        f"{counted(summary['athletes'], 'athlete')}, {counted(count['silver'], 'silver activity')}: "
        f"{count['accepted']:,} accepted, {count['rejected']:,} rejected"
        + (f", {count['waiting']:,} not looked at yet: athlete-assets run." if count["waiting"] else "."),
    ]
    if reasons:
        lines.append("Rejected for: " + ", ".join(f"{reason} {count}" for reason, count in reasons.items()) + ".")
    lines += _form(summary["form"])
    return "\n".join(lines)


def athletes_in(store: LocalStore) -> list[str]:
    """The athletes of the summary, in order; none where there is no summary yet."""
    return sorted(pc.unique(store.rows(tables.METRICS_SUMMARY, ["athlete_id"])["athlete_id"]).to_pylist())


def _newest(predictions: pa.Table) -> dict[str, dict[str, Any]]:
    return {row["athlete_id"]: row for row in predictions.sort_by("prediction_date").to_pylist()}


def _by_freshness(summary: pa.Table) -> list[dict[str, Any]]:
    return sorted(summary.to_pylist(), key=lambda row: (row["days_since_activity"], row["athlete_id"]))


def _form(athletes: list[dict[str, Any]]) -> list[str]:
    if not athletes:
        return []
    lines = [f"Form on {athletes[0]['as_of_date']:%Y-%m-%d} and predicted times (80 % interval):"]
    for row in athletes[:SHOWN_ATHLETES]:
        times = row["predictions"] or {}
        lines.append(f"  {row['athlete_id']:<12} {_load(row)}   {row['distance_28d_km']:6.1f} km in 28 days")
        if row["untracked_42d"]:
            without = f"{row['untracked_42d']} of {counted(row['activities_42d'], 'activity')}"
            lines.append(
                f"  {'':<12} {without} of the last 42 days {verb(row['untracked_42d'], 'has', 'have')} no load: "
                "neither heart rate nor the pace of a run"
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
