"""Runs a NumPy/Arrow kernel on whole athletes at a time, on either engine.

Sequence mathematics (a duplicate depends on its neighbours, a threshold on the 90 days before) is one vectorised pass
over an athlete's rows, exact and cheaper than a dozen window functions. Athletes are hashed into buckets: one Python
call for each athlete costs more than its mathematics, and one call for all of them holds the whole table in memory.
"""

from __future__ import annotations

from collections.abc import Callable

import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

BUCKETS = 64
"""Python calls a table: 100,000 athletes x 300 activities a year are 470,000 rows a call."""


def send_kernels_whole() -> None:
    """Has kernels travel to the workers as code instead of names, for clusters whose workers cannot import the package.

    Not where they can: a plan holds each kernel several times and is sent at every look at its columns, which with
    whole kernels takes seconds for a handful of rows.
    """
    import pyspark.cloudpickle as cloudpickle

    import athlete_assets

    cloudpickle.register_pickle_by_value(athlete_assets)


def apply_by_athlete(rows: DataFrame, kernel: Callable[[pa.Table], pa.Table], schema: str) -> DataFrame:
    """Applies the kernel to tables that each hold all rows of some athletes (of column athlete_id), in no order.

    `schema` is the DDL of what the kernel returns. A kernel must sort for itself (Sail drops a sort that comes before
    it) and must not mix athletes; the rows without an athlete_id come in one table, together with those of some.
    """
    bucket = F.pmod(F.hash("athlete_id"), F.lit(BUCKETS))
    return rows.groupBy(bucket).applyInArrow(kernel, schema)
