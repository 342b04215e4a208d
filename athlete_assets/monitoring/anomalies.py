"""Checks that hold a window against what its table held before: rows that vanished, shares that rose. Without Dagster.

The limits are settings: ATHLETE_ROW_COUNT_*, ATHLETE_REJECTS_*, ATHLETE_UNTRACKED_* and ATHLETE_ANOMALY_*.
"""

from __future__ import annotations

from collections.abc import Sequence

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from athlete_assets.days import Days
from athlete_assets.monitoring.checks import Check, CheckOutcome
from athlete_assets.settings import Settings
from athlete_assets.store.base import Written
from athlete_assets.words import counted


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


def share_of_rejects(
    accepted: int, rejected: int, accepted_before: int, rejected_before: int, settings: Settings
) -> CheckOutcome:
    """Fails where the window's share of rejected rows lies above ATHLETE_REJECTS_SHARE and, where there is a history,
    above ATHLETE_REJECTS_TIMES_HISTORY times the share before.
    """
    return _share(
        SHARE_OF_REJECTS,
        "silver rows were rejected",
        (rejected, accepted + rejected),
        (rejected_before, accepted_before + rejected_before),
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
        _without_load(before),
        settings.untracked_times_history,
        settings.untracked_share,
        settings,
    )


def _without_load(activities: DataFrame) -> tuple[int, int]:
    """Activities without load, and all."""
    without = F.coalesce(F.sum((F.col("load_method") == "none").cast("bigint")), F.lit(0).cast("bigint"))
    row = activities.agg(without.alias("without"), F.count(F.lit(1)).alias("all")).collect()[0]
    return row["without"], row["all"]


def _share(
    check: Check,
    what: str,
    now: tuple[int, int],
    before: tuple[int, int],
    times_history: float,
    least_limit: float,
    settings: Settings,
) -> CheckOutcome:
    """now, before: how many rows it is true of, and how many rows there are."""
    part, rows = now
    part_before, rows_before = before
    share = part / rows if rows else 0.0
    usual = part_before / rows_before if rows_before >= settings.anomaly_least_rows else None
    limit = max(least_limit, times_history * usual) if usual is not None else least_limit
    if rows < settings.anomaly_least_rows:
        compared = f"too few rows to judge, {settings.anomaly_least_rows} are needed"
    elif usual is None:
        compared = f"too little history to compare with; the limit is {limit:.1%}"
    else:
        compared = f"{usual:.1%} in the {settings.anomaly_history_days} days before; the limit is {limit:.1%}"
    return check.outcome(
        rows < settings.anomaly_least_rows or share <= limit,
        f"{part} of {rows} {what}: {share:.1%} ({compared}).",
        {"share": share, "limit": limit, "rows": rows, **({"share_before": usual} if usual is not None else {})},
    )
