"""The two embedded engines."""

import time

from pyspark.sql import SparkSession


def test_each_engine_answers_in_utc(spark: SparkSession) -> None:
    assert spark.range(3).count() == 3
    assert spark.conf.get("spark.sql.session.timeZone") == "UTC"


def test_results_come_without_compression(sail: SparkSession) -> None:
    """48 MB on loopback: some 0.2 CPU seconds as plain bytes, 1.2 through gzip."""
    rows = sail.range(300_000).selectExpr(*[f"id * {n}.37D AS c{n}" for n in range(20)])
    began = time.process_time()
    assert rows.toArrow().nbytes >= 48_000_000
    assert time.process_time() - began < 0.7
