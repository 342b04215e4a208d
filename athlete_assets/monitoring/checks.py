"""What must hold of a table's rows once they are written: formulas of the asset checks, without Dagster.

Each check reads the stored rows of the window just written, so that it judges what readers will see.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal

from pyspark.sql import Column as SparkColumn
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from athlete_assets import tables
from athlete_assets.tables import Table

SHARE_TOLERANCE = 1e-9

DESCRIPTIONS = {
    "schema": "The stored columns are the contract's, in order and of its types.",
    "keys": "No key stands twice, and no column that must be known is null.",
    "ranges": "Every value lies in the range that the contract calls possible.",
    "zone_shares": "The five heart-rate zone shares sum to 1, or are all unknown.",
    "counts_add_up": "Each silver row of the window is accepted or rejected: none is lost, none counted twice.",
    "activities_add_up": "Number, distance, time and load of the days are those of their activities.",
    "no_gaps": "From an athlete's first day on, each day of the window has a row.",
    "weekly_is_sum_of_daily": "Each athlete's week holds the sums of its days.",
    "one_row_a_day": "There is a row for exactly each row of the daily calendar.",
    "one_row_an_athlete": "There is a row for exactly each athlete with features of the day.",
    "fitness_tie_out": "Fitness and fatigue of a few athletes equal a recomputation over all their days.",
    "share_of_rejects": "No more silver rows are rejected than the year before lets expect.",
    "share_without_load": "No more activities lack a training load than the year before lets expect.",
    "drift": "The features that were scored are distributed as those of the training (PSI at most 0.25).",
    "times_ordered": "Predicted times increase with distance and lie within their own intervals.",
}
"""What each check promises, by its name."""


@dataclass(frozen=True)
class CheckOutcome:
    """The outcome of one check: its name, a sentence, and the numbers behind it."""

    check: str
    passed: bool
    sentence: str
    numbers: dict[str, float | int | str] = field(default_factory=dict)
    severity: Literal["error", "warning"] = "error"


@dataclass(frozen=True)
class ContractOutcomes:
    """How many rows were judged, and the outcomes `schema`, `keys` and `ranges`."""

    rows: int
    outcomes: tuple[CheckOutcome, CheckOutcome, CheckOutcome]


def contract_outcomes(table: Table, rows: DataFrame) -> ContractOutcomes:
    """Stored rows against the table's contract, in one pass over them."""
    bounded = [column for column in table.columns if column.low is not None or column.high is not None]
    required = [column.name for column in table.columns if not column.nullable]
    keys = [F.col(key) for key in table.keys]
    totals = rows.agg(
        F.count(F.lit(1)).alias("rows"),
        (F.countDistinct(*keys) if keys else F.count(F.lit(1))).alias("distinct_keys"),
        *(_count(F.col(name).isNull()).alias(f"null {name}") for name in required),
        *(_count(_outside(column)).alias(f"outside {column.name}") for column in bounded),
    ).collect()[0]
    name = ".".join(table.path)
    return ContractOutcomes(
        totals["rows"],
        (
            _schema(table, rows),
            _keys(name, table, totals["rows"], totals["distinct_keys"], {c: totals[f"null {c}"] for c in required}),
            _ranges(name, {c.name: totals[f"outside {c.name}"] for c in bounded}),
        ),
    )


def zone_shares(activities: DataFrame) -> CheckOutcome:
    """The five heart-rate zone shares of an activity are all null, or all in 0..1 with the sum 1."""
    shares = [F.col(f"hr_zone_{zone}_pct") for zone in range(1, 6)]
    known = sum((share.isNotNull().cast("int") for share in shares[1:]), shares[0].isNotNull().cast("int"))
    total = sum(shares[1:], shares[0])
    wrong = ~known.isin(0, 5) | ((known == 5) & (F.abs(total - 1) > SHARE_TOLERANCE))
    row = activities.agg(_count(wrong).alias("wrong"), _count(known == 5).alias("zoned")).collect()[0]
    return CheckOutcome(
        "zone_shares",
        row["wrong"] == 0,
        f"{row['wrong']} of {row['zoned']} activities with zones have shares that do not sum to 1.",
        {"wrong": row["wrong"], "activities_with_zones": row["zoned"]},
    )


def counts_add_up(read: int, accepted: int, rejected: int) -> CheckOutcome:
    """Each silver row of the window is either in activity_features or in the rejects."""
    return CheckOutcome(
        "counts_add_up",
        read == accepted + rejected,
        f"{read} silver rows were read: {accepted} accepted, {rejected} rejected, "
        f"{read - accepted - rejected} unaccounted for.",
        {"read": read, "accepted": accepted, "rejected": rejected},
    )


def times_ordered(predictions: DataFrame) -> CheckOutcome:
    """Predicted times increase with distance, and each lies within its own interval (p10 <= p50 <= p90)."""
    names = list(tables.DISTANCES_M)
    wrong = F.lit(False)
    for name in names:
        time = F.col(f"predicted_{name}_s")
        wrong = wrong | (F.col(f"p10_{name}_s") > time) | (F.col(f"p90_{name}_s") < time)
    for shorter, longer in pairwise(names):
        wrong = wrong | (F.col(f"predicted_{shorter}_s") >= F.col(f"predicted_{longer}_s"))
    row = predictions.agg(_count(wrong).alias("wrong"), F.count(F.lit(1)).alias("rows")).collect()[0]
    return CheckOutcome(
        "times_ordered",
        row["wrong"] == 0,
        f"{row['wrong']} of {row['rows']} predictions decrease with distance or lie outside their own interval.",
        {"wrong": row["wrong"], "rows": row["rows"]},
    )


def _schema(table: Table, rows: DataFrame) -> CheckOutcome:
    wanted = [(column.name, column.type) for column in table.columns]
    differing = sorted(set(wanted) ^ set(rows.dtypes))
    return CheckOutcome(
        "schema",
        rows.dtypes == wanted,
        f"The stored columns differ from the contract: {differing}."
        if differing
        else "The stored columns are the contract's.",
        {"columns": len(wanted)},
    )


def _keys(name: str, table: Table, count: int, distinct: int, nulls: dict[str, int]) -> CheckOutcome:
    with_nulls = {column: number for column, number in nulls.items() if number}
    doubled = count - distinct
    return CheckOutcome(
        "keys",
        doubled == 0 and not with_nulls,
        f"{name}: {doubled} of {count} rows repeat a key ({', '.join(table.keys)}); "
        f"nulls where none may be: {with_nulls or 'none'}.",
        {"rows": count, "repeated_keys": doubled, "columns_with_nulls": ", ".join(with_nulls) or "none"},
    )


def _ranges(name: str, outside: dict[str, int]) -> CheckOutcome:
    wrong = {column: number for column, number in outside.items() if number}
    return CheckOutcome(
        "ranges",
        not wrong,
        f"{name}: values outside the possible range: {wrong or 'none'}.",
        {"columns_checked": len(outside), "values_outside": sum(wrong.values())},
    )


def _outside(column: tables.Column) -> SparkColumn:
    value, wrong = F.col(column.name), F.lit(False)
    if column.low is not None:
        wrong = wrong | (value < column.low)
    if column.high is not None:
        wrong = wrong | (value > column.high)
    # NaN is greater than every number, so it falls outside wherever a column has an upper bound; test it everywhere.
    return wrong | F.isnan(value) if column.type == tables.DOUBLE else wrong


def _count(condition: SparkColumn) -> SparkColumn:
    return F.coalesce(F.sum(condition.cast("bigint")), F.lit(0).cast("bigint"))
