"""Checks that hold a window against what its table held before: rows that vanished, shares that rose. Without Dagster.

The limits are settings: ATHLETE_ROW_COUNT_*, ATHLETE_REJECTS_*, ATHLETE_UNTRACKED_* and ATHLETE_ANOMALY_*.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from athlete_assets.days import Days
from athlete_assets.monitoring.checks import Check, CheckOutcome
from athlete_assets.settings import Settings
from athlete_assets.store.base import Written
from athlete_assets.words import counted

Counts = tuple[int, int]
"""Of how many rows something is true, and how many rows there are."""


def history_before(days: Days, settings: Settings) -> Days:
    """The days before the window with which its shares are compared."""
    return Days(days.starting_earlier(settings.anomaly_history_days).first, days.starting_earlier(1).first)


ROW_COUNT_STABLE = Check(
    "row_count_stable", "No window was replaced by one with far fewer rows: what it rests on is still there."
)


def row_count_stable(written: Sequence[Written], settings: Settings) -> CheckOutcome:
    """Fails where a commit left less than ATHLETE_ROW_COUNT_KEPT_SHARE of the rows that its window held.

    Windows that held fewer than ATHLETE_ROW_COUNT_LEAST_ROWS are not judged. The rows are written by then: whoever
    finds that they are right, because an athlete was deleted, say, materialises the window once more, and it is held
    against what it holds now. written: the commits of the step, none in a run of checks alone, which judges nothing.
    """
    # where rows of some athletes were replaced, the window is judged with those of the others
    windows = [
        (commit.rows + commit.rows_beside, commit.rows_before + commit.rows_beside)
        for commit in written
        if commit.rows_before is not None
    ]
    judged = [(rows, before) for rows, before in windows if before >= settings.row_count_least_rows]
    if not judged:
        why = "no window held enough rows before" if written else "this run wrote nothing"
        return ROW_COUNT_STABLE.outcome(True, f"Not judged: {why}.", {"windows": 0})
    rows, before = min(judged, key=lambda counts: counts[0] / counts[1])
    kept = rows / before
    passed = kept >= settings.row_count_kept_share
    sentence = f"{counted(rows, 'row')} replaced {before}, {kept:.1%} of them"
    if not passed:
        sentence += (
            f"; at least {settings.row_count_kept_share:.0%} is expected. Look at the tables that this one is made "
            "from. If they are right, materialise the window once more"
        )
    numbers = {"windows": len(judged), "rows": rows, "rows_before": before, "kept_share": kept}
    return ROW_COUNT_STABLE.outcome(passed, f"{sentence}.", numbers)


SHARE_OF_REJECTS = Check(
    "share_of_rejects",
    "The share of silver rows that were rejected is not far above that of the year before.",
    severity="warning",
    blocking=False,
)


def share_of_rejects(now: Counts, before: Callable[[], Counts], settings: Settings) -> CheckOutcome:
    """Fails where the window's share of rejected rows lies above ATHLETE_REJECTS_SHARE and, where there is a history,
    above ATHLETE_REJECTS_TIMES_HISTORY times the share before.
    """
    return _share(
        SHARE_OF_REJECTS,
        "silver rows were rejected",
        now,
        before,
        settings.rejects_times_history,
        settings.rejects_share,
        settings,
    )


SHARE_WITHOUT_LOAD = Check(
    "share_without_load",
    "The share of activities without a training load is not far above that of the year before.",
    severity="warning",
    blocking=False,
)


def share_without_load(activities: DataFrame, before: DataFrame, settings: Settings) -> CheckOutcome:
    """Fails where the window's share of activities without load lies above ATHLETE_UNTRACKED_SHARE and, where there is
    a history, above ATHLETE_UNTRACKED_TIMES_HISTORY times the share before.
    """
    return _share(
        SHARE_WITHOUT_LOAD,
        "activities have no training load",
        _without_load(activities),
        lambda: _without_load(before),
        settings.untracked_times_history,
        settings.untracked_share,
        settings,
    )


def _without_load(activities: DataFrame) -> Counts:
    """Activities without load, and all."""
    without = F.coalesce(F.sum((F.col("load_method") == "none").cast("bigint")), F.lit(0).cast("bigint"))
    row = activities.agg(without.alias("without"), F.count(F.lit(1)).alias("all")).collect()[0]
    return row["without"], row["all"]


def _share(
    check: Check,
    what: str,
    now: Counts,
    before: Callable[[], Counts],
    times_history: float,
    always_accepted: float,
    settings: Settings,
) -> CheckOutcome:
    """before: asked for only where the share is above what is always accepted, since it takes a look through a year."""
    part, rows = now
    share, limit = part / rows if rows else 0.0, always_accepted
    found, is_judged = {"share": share, "rows": rows}, rows >= settings.anomaly_least_rows
    if not is_judged:
        compared = f"too few rows to judge, {settings.anomaly_least_rows} are needed"
    elif share <= limit:
        compared = f"up to {limit:.1%} is always accepted"
    else:
        part_before, rows_before = before()
        if rows_before < settings.anomaly_least_rows:
            compared = f"too little history to compare with; the limit is {limit:.1%}"
        else:
            found["share_before"] = usual = part_before / rows_before
            limit = max(limit, times_history * usual)
            compared = f"{usual:.1%} in the {settings.anomaly_history_days} days before; the limit is {limit:.1%}"
    passed = not is_judged or share <= limit
    return check.outcome(passed, f"{part} of {rows} {what}: {share:.1%} ({compared}).", {**found, "limit": limit})
