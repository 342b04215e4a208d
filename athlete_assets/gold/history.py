"""What was predicted for an athlete on past days: by which version, from which features. From the stored tables."""

from __future__ import annotations

import json
from datetime import date
from typing import Any

from athlete_assets import tables
from athlete_assets.days import midnight
from athlete_assets.errors import InputError
from athlete_assets.formulas.race_times import clock
from athlete_assets.models import registry
from athlete_assets.settings import Settings
from athlete_assets.store.local import LocalStore
from athlete_assets.store.sql import delta_literal
from athlete_assets.words import counted

SHOWN_DAYS = 14
MAIN_FEATURES = (
    "recent_effort_distance_m",
    "recent_effort_time_s",
    "recent_effort_age_days",
    "run_distance_28d_km",
    "longest_run_28d_km",
    "ctl_42d",
    "tsb",
)
"""Those that the text shows of them, where the model has them."""


def history(store: LocalStore, athlete: str, day: date | None = None) -> list[dict[str, Any]]:
    """What stands for the athlete in PREDICTIONS, newest day first, each day with every entry of the log in `served`:
    when, by which run and version, and with a `day` the features, from which the reasons are said where they were not
    stored. Raises InputError where nothing was predicted."""
    standing = rows_of(store, tables.PREDICTIONS, athlete, day)
    if not standing:
        near = {row["prediction_date"].date() for row in rows_of(store, tables.PREDICTIONS, athlete, None)}
        on = f" on {day}" if day else ""
        span = f"; there are predictions of {counted(len(near), 'day')}, {min(near)} to {max(near)}" if near else ""
        raise InputError(f"nothing was predicted for {athlete}{on}{span}")
    log: dict[Any, list[dict[str, Any]]] = {}
    for entry in rows_of(store, tables.INFERENCE_LOG, athlete, day):
        log.setdefault(entry["prediction_date"], []).append(entry)
    found = [
        {
            **{name: _plain(value) for name, value in row.items() if name != "month"},
            "served": [
                {
                    "served_at": entry["served_at"].isoformat(),
                    "model_version": entry["model_version"],
                    "dagster_run_id": entry["dagster_run_id"],
                    **(dict(zip(("features", "outputs"), map(_plain, _logged(entry)), strict=True)) if day else {}),
                }
                for entry in sorted(log.get(row["prediction_date"], []), key=lambda entry: entry["served_at"])
            ],
        }
        for row in sorted(standing, key=lambda row: row["prediction_date"], reverse=True)
    ]
    if day:
        for row in found:
            row["top_reasons"] = row["top_reasons"] or _reasons(row, store.settings)
    return found


def _reasons(row: dict[str, Any], settings: Settings) -> list[str] | None:
    """Why the version that stands for the row said so, from what the log says it was given; None where it is gone."""
    import pandas as pd

    # the engine is behind them, and `status` needs none
    from athlete_assets.models.time_estimator import LEARNED
    from athlete_assets.models.training_set import INPUTS

    given = [entry["features"] for entry in row["served"] if entry["model_version"] == row["model_version"]]
    if row["served_by"] not in LEARNED or not given:
        return None
    serving = registry.of_version("time_estimator", row["model_version"], settings)
    if serving is None:
        return None
    asked = pd.DataFrame(given[-1:]).reindex(columns=list(INPUTS)).astype(float)
    said = serving.say(asked) if serving.say else None
    return said.iloc[0].splitlines() if said is not None and said.iloc[0] else None


def history_text(found: list[dict[str, Any]], day: date | None) -> str:
    """The history as lines: one a day; with a `day` also the versions and what they were given."""
    lines = []
    for row in found[:SHOWN_DAYS]:
        times = [_span(row, name) for name in tables.TIME_COLUMNS if row[tables.TIME_COLUMNS[name][0]] is not None]
        said = "  ".join(times) if times else "no times: no effort to predict from"
        by = f"{row['served_by']} {row['model_version']}" if row["served_by"] else "nothing"
        late = ", backfilled: made after its day" if row["is_backfilled"] else ""
        lines.append(f"{row['prediction_date'][:10]}  {said}  [{by}{late}]")
    if len(found) > SHOWN_DAYS:
        lines.append(
            f"... and {counted(len(found) - SHOWN_DAYS, 'earlier day')}; --json gives all, --day one with its features"
        )
    for row in found if day else []:
        if row["p_disruption_14d"] is not None:
            lines.append(f"A training disruption within 14 days: {row['p_disruption_14d']:.0%}")
        lines += [f"  {reason}" for reason in row["top_reasons"] or []]
        for entry in row["served"]:
            lines.append(
                f"Served at {entry['served_at'][:16]} UTC by version {entry['model_version']}, "
                f"run {entry['dagster_run_id'][:8]}, from"
            )
            features = entry["features"]
            lines += [f"  {name} {features[name]:.6g}" for name in MAIN_FEATURES if features.get(name) is not None]
            others = sum(value is not None for name, value in features.items() if name not in MAIN_FEATURES)
            if others:
                lines.append(f"  and {others} more features: --json shows them")
    return "\n".join(lines)


def rows_of(store: LocalStore, table: tables.Table, athlete: str, day: date | None) -> list[dict[str, Any]]:
    """The athlete's rows; columns that the stored table lacks are null."""
    if not store.exists(table):
        return []
    where = f"athlete_id = {delta_literal(athlete)}"
    if day:
        where += f" AND month = '{day:%Y-%m}' AND {table.day_column} = '{midnight(day).isoformat()}'"
    rows = store.folder(table).query(f"SELECT * FROM t WHERE {where}").to_pylist()
    return [{**dict.fromkeys(table.column_names), **row} for row in rows]


def _logged(entry: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The inputs and the outputs in a row of INFERENCE_LOG, by name; in one from before its columns, of the texts."""
    inputs, outputs = json.loads(entry["features"]), json.loads(entry["outputs"])
    if outputs:
        return inputs, outputs
    inputs |= {name: entry[name] for name in tables.LOGGED_INPUTS}
    return inputs, {name: entry[name] for name in tables.LOGGED_OUTPUTS}


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    return value.isoformat() if hasattr(value, "isoformat") else value


def _span(row: dict[str, Any], name: str) -> str:
    predicted, fast, slow = (clock(row[column]) for column in tables.TIME_COLUMNS[name])
    return f"{name} {predicted} ({fast}–{slow})"
