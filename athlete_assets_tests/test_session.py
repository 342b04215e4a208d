"""The two embedded engines."""

from pyspark.sql import SparkSession


def test_each_engine_answers_in_utc(spark: SparkSession) -> None:
    assert spark.range(3).count() == 3
    assert spark.conf.get("spark.sql.session.timeZone") == "UTC"
