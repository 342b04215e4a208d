"""monitoring.prediction_outcomes: what was predicted, against what was run."""

from __future__ import annotations

from functools import reduce

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from athlete_assets import tables


def prediction_outcomes(efforts: DataFrame, predictions: DataFrame) -> DataFrame:
    """PREDICTION_OUTCOMES rows: each RACE_EFFORTS row beside the newest PREDICTIONS row of a day before it.

    An effort without an earlier prediction at its distance has no row.
    """
    served = reduce(DataFrame.unionAll, (_of_distance(predictions, name) for name in tables.DISTANCES_M))
    pairs = efforts.join(served, ["athlete_id", "distance"], how="inner").where(
        F.col("prediction_date") < F.col("activity_date")
    )
    newest_first = Window.partitionBy("athlete_id", "activity_id").orderBy(F.col("prediction_date").desc())
    newest = pairs.withColumn("rank", F.row_number().over(newest_first)).where(F.col("rank") == 1)
    run, predicted = F.col("time_s"), F.col("predicted_s")
    age = F.unix_date(F.to_date("activity_date")) - F.unix_date(F.to_date("prediction_date"))
    return newest.select(
        "athlete_id",
        "activity_id",
        "activity_date",
        "prediction_date",
        age.cast("bigint").alias("prediction_age_days"),
        "distance",
        run.alias("run_s"),
        "predicted_s",
        "p10_s",
        "p90_s",
        ((predicted - run) / run * 100).alias("error_pct"),
        run.between(F.col("p10_s"), F.col("p90_s")).alias("in_interval"),
        "served_by",
        "model_version",
    )


def _of_distance(predictions: DataFrame, name: str) -> DataFrame:
    predicted, fast, slow = tables.TIME_COLUMNS[name]
    return predictions.where(F.col(predicted).isNotNull()).select(
        "athlete_id",
        "prediction_date",
        F.lit(name).alias("distance"),
        F.col(predicted).alias("predicted_s"),
        F.col(fast).alias("p10_s"),
        F.col(slow).alias("p90_s"),
        "served_by",
        "model_version",
    )
