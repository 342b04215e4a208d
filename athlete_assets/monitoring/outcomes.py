"""monitoring.prediction_outcomes: what was predicted, against what was run.

A record: an outcome that was once written stands, with the prediction as it was first made, for as long as its
activity does. Scoring a past day again, and labels that later history chooses otherwise, leave it alone; so whatever
was calibrated on it can be computed again.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from athlete_assets import tables
from athlete_assets.days import midnight

MOST_DAYS_BEFORE = 28
"""A prediction that is older says nothing of the shape in which the effort was run."""
EFFORT = ("athlete_id", "activity_id")


def prediction_outcomes(
    efforts: DataFrame, log: DataFrame, recorded: DataFrame, activities: DataFrame, today: date
) -> DataFrame:
    """PREDICTION_OUTCOMES rows: those recorded before whose activity is still there, and one of each new effort.

    efforts: RACE_EFFORTS, log: INFERENCE_LOG, recorded: the table as it stands, activities: ACTIVITY rows. An effort
    without a prediction at its distance in the MOST_DAYS_BEFORE days before it has no row. A time run that was
    corrected since is taken over; one over another distance is not what was predicted.
    """
    run = efforts.select(*EFFORT, "distance", F.col("time_s").alias("now_s"), F.col("tier").alias("now_tier"))
    there = recorded.join(activities.select(*EFFORT), list(EFFORT), how="left_semi")
    kept = there.join(run, [*EFFORT, "distance"], how="left")
    kept = kept.select(
        *(name for name in tables.PREDICTION_OUTCOMES.column_names if name not in ("run_s", "tier", "known_on")),
        F.coalesce("now_s", "run_s").alias("run_s"),
        F.coalesce("tier", "now_tier").alias("tier"),
        F.coalesce("known_on", F.lit(midnight(today))).alias("known_on"),
    )
    unrecorded = efforts.join(recorded.select(*EFFORT), list(EFFORT), how="left_anti")
    new = _first_said(unrecorded, log).withColumn("known_on", F.lit(midnight(today)))
    return _judged(kept).unionByName(_judged(new))


def _first_said(efforts: DataFrame, log: DataFrame) -> DataFrame:
    """Each effort beside the log's entry for the newest evening before it, as it was first made.

    An entry made by the effort's own day goes before a later one, of however near an evening: that one may come from a
    model that has learned from the effort.
    """
    asked = efforts.select(*EFFORT, "activity_date", "distance", F.col("time_s").alias("run_s"), "tier").where(
        F.col("distance").isin(*tables.DISTANCES_M)
    )
    # the day in the home's calendar; entries from before the column have the clock's
    made_on = F.coalesce(F.col("served_on"), F.date_trunc("day", "served_at"))
    entries = log.select(
        "athlete_id",
        "prediction_date",
        "served_at",
        "dagster_run_id",
        "model_version",
        "outputs",
        made_on.alias("on"),
        "served_by",
        *(name for names in tables.TIME_COLUMNS.values() for name in names),
        *tables.INTERVAL_FACTORS.values(),
    )
    age = _day("activity_date") - _day("prediction_date")
    pairs = asked.join(entries, "athlete_id", how="inner").where((age >= 1) & (age <= MOST_DAYS_BEFORE))
    said = pairs.select(
        *asked.columns,
        "prediction_date",
        "served_at",
        "dagster_run_id",
        "model_version",
        age.cast("bigint").alias("prediction_age_days"),
        (_day("on") > _day("activity_date")).alias("is_backfilled"),
        _logged("served_by").alias("served_by"),
        *(_of_distance(number).alias(name) for number, name in enumerate(("predicted_s", "p10_s", "p90_s"))),
        _by_distance(tables.INTERVAL_FACTORS).alias("interval_factor"),
    ).where(F.col("predicted_s").isNotNull())
    order = Window.partitionBy(*EFFORT).orderBy(
        F.col("is_backfilled").asc(), F.col("prediction_date").desc(), F.col("served_at").asc(), "dagster_run_id"
    )
    return said.withColumn("rank", F.row_number().over(order)).where(F.col("rank") == 1)


def _judged(rows: DataFrame) -> DataFrame:
    run, predicted = F.col("run_s"), F.col("predicted_s")
    computed = {
        "error_pct": (predicted - run) / run * 100,
        "in_interval": run.between(F.col("p10_s"), F.col("p90_s")),
    }
    return rows.select(
        *(computed.get(name, F.col(name)).alias(name) for name in tables.PREDICTION_OUTCOMES.column_names)
    )


def _day(name: str) -> Column:
    return F.unix_date(F.to_date(name))


def _of_distance(number: int) -> Column:
    return _by_distance({name: columns[number] for name, columns in tables.TIME_COLUMNS.items()})


def _by_distance(columns: Mapping[str, str]) -> Column:
    """The entry's column, of those named by distance, that is of the effort's."""
    found = F.lit(None).cast("double")
    for name, column in columns.items():
        found = F.when(F.col("distance") == name, _logged(column)).otherwise(found)
    return found


def _logged(name: str) -> Column:
    """The entry's column; in an entry from before the log had columns, what its JSON object says."""
    kind = tables.INFERENCE_LOG.column(name).type
    return F.coalesce(F.col(name), F.get_json_object("outputs", f"$.{name}").cast(kind))
