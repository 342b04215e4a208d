"""What an asset check is, and the checks that look at one table's rows alone. Without Dagster.

Each is declared once, as a `Check` above the function that computes it. It reads the stored rows of the window just
written, so that it judges what readers will see; what the contract alone says of them the store found as it wrote them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Literal

from pyspark.sql import Column as SparkColumn
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from athlete_assets import tables
from athlete_assets.store.findings import Findings
from athlete_assets.tables import Table
from athlete_assets.words import counted, verb

SHARE_TOLERANCE = 1e-9
"""Of the sum of five shares: rounding."""
Severity = Literal["error", "warning"]


@dataclass(frozen=True)
class Check:
    """A check as it is declared, once, beside its computation; assets list the declarations that they report on."""

    name: str
    description: str
    """What holds where it passes: one sentence for the UI."""
    severity: Severity = "error"
    blocking: bool = True
    """Whether a failure with severity "error" fails the step: then nothing is written that rests on the table."""

    def outcome(self, passed: bool, sentence: str, numbers: Mapping[str, float | int | str]) -> CheckOutcome:
        """What one evaluation found: a sentence for the UI and the numbers behind it."""
        return CheckOutcome(self, passed, sentence, dict(numbers))


@dataclass(frozen=True)
class CheckOutcome:
    """The outcome of one check: a sentence, and the numbers behind it."""

    check: Check
    passed: bool
    sentence: str
    numbers: dict[str, float | int | str] = field(default_factory=dict)


SCHEMA = Check("schema", "The stored columns are those of the contract, in its order and of its types.")
KEYS = Check("keys", "No key occurs twice, and no column that must be known is null.")
RANGES = Check("ranges", "Every value lies within the limits that the contract sets for its column.")
CONTRACT_CHECKS = (SCHEMA, KEYS, RANGES)
"""The checks that follow from a table's contract alone."""
LOG_CHECKS = tuple(replace(check, blocking=False) for check in CONTRACT_CHECKS)
"""The same for a table on which nothing rests: its failure is shown, and stops no run."""


def contract_outcomes(
    table: Table, types: Sequence[tuple[str, str]], findings: Findings
) -> tuple[CheckOutcome, CheckOutcome, CheckOutcome]:
    """The outcomes `schema`, `keys` and `ranges` of rows with these columns (name and Spark type, in order)."""
    name = ".".join(table.path)
    return (_schema(table, list(types)), _keys(name, table, findings), _ranges(name, findings.outside))


ZONE_SHARES = Check("zone_shares", "The five heart-rate zone shares of an activity sum to 1, or are all unknown.")


def zone_shares(activities: DataFrame) -> CheckOutcome:
    """The five heart-rate zone shares of an activity are all null, or all in 0..1 with the sum 1."""
    shares = [F.col(f"hr_zone_{zone}_pct") for zone in range(1, 6)]
    known = sum((share.isNotNull().cast("int") for share in shares[1:]), shares[0].isNotNull().cast("int"))
    total = sum(shares[1:], shares[0])
    wrong = ~known.isin(0, 5) | ((known == 5) & (F.abs(total - 1) > SHARE_TOLERANCE))
    row = activities.agg(_count(wrong).alias("wrong"), _count(known == 5).alias("zoned")).collect()[0]
    return ZONE_SHARES.outcome(
        row["wrong"] == 0,
        f"Activities whose zone shares do not sum to 1 or are known in part: {row['wrong']}; with all five: "
        f"{row['zoned']}.",
        {"wrong": row["wrong"], "activities_with_zones": row["zoned"]},
    )


COUNTS_ADD_UP = Check(
    "counts_add_up", "Each silver row of the window was either accepted or rejected: none is lost, none counted twice."
)


def counts_add_up(read: int, accepted: int, rejected: int) -> CheckOutcome:
    """Each silver row of the window is either in activity_features or in the rejects."""
    return COUNTS_ADD_UP.outcome(
        read == accepted + rejected,
        f"{counted(read, 'silver row')} {verb(read, 'was', 'were')} read: {accepted:,} accepted, "
        f"{rejected:,} rejected, {read - accepted - rejected:,} unaccounted for.",
        {"read": read, "accepted": accepted, "rejected": rejected},
    )


TIMES_ORDERED = Check("times_ordered", "Predicted times increase with distance, and each lies within its own interval.")


def times_ordered(predictions: DataFrame) -> CheckOutcome:
    """Predicted times increase with distance, and each lies within its own interval (p10 <= p50 <= p90)."""
    wrong = F.lit(False)
    for predicted, fast, slow in tables.TIME_COLUMNS.values():
        wrong = wrong | (F.col(fast) > F.col(predicted)) | (F.col(slow) < F.col(predicted))
    for (shorter, _, _), (longer, _, _) in pairwise(tables.TIME_COLUMNS.values()):
        wrong = wrong | (F.col(shorter) >= F.col(longer))
    row = predictions.agg(_count(wrong).alias("wrong"), F.count(F.lit(1)).alias("rows")).collect()[0]
    return TIMES_ORDERED.outcome(
        row["wrong"] == 0,
        f"{row['wrong']} of {row['rows']} predictions decrease with distance or lie outside their own interval.",
        {"wrong": row["wrong"], "rows": row["rows"]},
    )


def _schema(table: Table, types: list[tuple[str, str]]) -> CheckOutcome:
    wanted = [(column.name, column.type) for column in table.columns]
    differing = sorted(set(wanted) ^ set(types))
    return SCHEMA.outcome(
        types == wanted,
        f"These stored columns differ from the contract: {differing}."
        if differing
        else "The stored columns are those of the contract.",
        {"columns": len(wanted)},
    )


def _keys(name: str, table: Table, findings: Findings) -> CheckOutcome:
    with_nulls = {column: number for column, number in findings.nulls.items() if number}
    doubled, rows = findings.repeated_keys, counted(findings.rows, "row")
    return KEYS.outcome(
        doubled == 0 and not with_nulls,
        f"{name}: {doubled} of {rows} {verb(doubled, 'repeats', 'repeat')} a key "
        f"({', '.join(table.keys) or 'it has none'}); "
        f"required columns with nulls: {with_nulls or 'none'}.",
        {"rows": findings.rows, "repeated_keys": doubled, "columns_with_nulls": ", ".join(with_nulls) or "none"},
    )


def _ranges(name: str, outside: Mapping[str, int]) -> CheckOutcome:
    wrong = {column: number for column, number in outside.items() if number}
    return RANGES.outcome(
        not wrong,
        f"{name}: columns with values outside their limits: {wrong or 'none'}.",
        {"columns_checked": len(outside), "values_outside": sum(wrong.values())},
    )


def _count(condition: SparkColumn) -> SparkColumn:
    return F.coalesce(F.sum(condition.cast("bigint")), F.lit(0).cast("bigint"))
