"""The embedded Spark session: Sail in this process (default), or Apache Spark with Delta.

One session a process, made at first need. Both run with the session time zone UTC: on Sail, another zone leaves
timestamp-to-date conversions in UTC but moves literals.
"""

from __future__ import annotations

import os
from functools import cache
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

DELTA_PACKAGE = "io.delta:delta-spark_2.13:4.0.0"
SESSION_SECONDS = 7 * 24 * 3600
"""A session that idles longer dies with its temporary views; Sail's own default is 900 s."""


@cache
def spark_session(engine: Literal["sail", "spark"]) -> SparkSession:
    """The process's session on the given engine, made at the first call."""
    return _sail() if engine == "sail" else _apache_spark()


def _sail() -> SparkSession:
    os.environ.setdefault("SAIL_SPARK__SESSION_TIMEOUT_SECS", str(SESSION_SECONDS))
    os.environ.setdefault("RUST_LOG", "error")
    from pysail.spark import SparkConnectServer
    from pyspark.sql import SparkSession

    server = SparkConnectServer(port=0)
    server.start()
    _, port = server.listening_address
    session = SparkSession.builder.remote(f"sc://127.0.0.1:{port}").create()
    session.conf.set("spark.sql.session.timeZone", "UTC")
    session._athlete_assets_server = server  # type: ignore[attr-defined]  # the server stops when it is collected
    return session


def _apache_spark() -> SparkSession:
    from pyspark.sql import SparkSession

    return (
        SparkSession.builder.master("local[2]")
        .appName("athlete_assets")
        .config("spark.jars.packages", DELTA_PACKAGE)
        .config("spark.sql.extensions", "io.delta.sql.DeltaSparkSessionExtension")
        .config("spark.sql.catalog.spark_catalog", "org.apache.spark.sql.delta.catalog.DeltaCatalog")
        .config("spark.sql.session.timeZone", "UTC")
        .config("spark.sql.shuffle.partitions", "4")
        .config("spark.ui.enabled", "false")
        .config("spark.sql.execution.arrow.pyspark.enabled", "true")
        .getOrCreate()
    )
