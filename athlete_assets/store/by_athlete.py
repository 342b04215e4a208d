"""Runs a NumPy/Arrow kernel on whole athletes at a time, on either engine.

Sequence mathematics (a duplicate depends on its neighbours, a threshold on the 90 days before) is one vectorised pass
over an athlete's rows, exact and cheaper than a dozen window functions. Athletes are hashed into buckets: one Python
call for each athlete costs more than its mathematics, and one call for all of them holds the whole table in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial, reduce

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

BUCKETS = 64
"""Python calls a table, unless `use_buckets` says otherwise: as many as suit one machine."""
_buckets = BUCKETS


def use_buckets(count: int) -> None:
    """Has this process hash the athletes into so many buckets: what a cluster's cores can do side by side."""
    global _buckets
    _buckets = count


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
    bucket = F.pmod(F.hash("athlete_id"), F.lit(_buckets))
    return rows.groupBy(bucket).applyInArrow(kernel, schema)


Input = tuple[DataFrame, Mapping[str, str]]
"""Rows of athletes, and the Spark types by name of the columns that a kernel needs of them beside athlete_id."""


def apply_together(
    inputs: Mapping[str, Input], kernel: Callable[[Mapping[str, pa.Table]], pa.Table], schema: str
) -> DataFrame:
    """`apply_by_athlete` for a kernel over several tables: it gets them by name, each with all rows of the athletes.

    The rows travel as one union, in which a column that two inputs have is one column, of one type. So every input is
    computed once: Sail has no cogroup, and joins would compute again whatever feeds both of their sides. The types
    are told, since asking a frame for its columns has the engine plan all that made it.
    """
    types: dict[str, str] = {}
    for name, type in (item for _, columns in inputs.values() for item in columns.items()):
        if types.setdefault(name, type) != type:
            raise ValueError(f"column {name} is {types[name]} in one input and {type} in another")
    united = reduce(
        DataFrame.unionAll,
        [
            rows.select(
                "athlete_id",
                F.lit(number).alias(_INPUT),
                *((F.col(name) if name in columns else F.lit(None).cast(types[name])).alias(name) for name in types),
            )
            for number, (rows, columns) in enumerate(inputs.values())
        ],
    )
    names = {name: ["athlete_id", *columns] for name, (_, columns) in inputs.items()}
    return apply_by_athlete(united, partial(_separated, kernel=kernel, names=names), schema)


_INPUT = "__input"


def _separated(
    rows: pa.Table, kernel: Callable[[Mapping[str, pa.Table]], pa.Table], names: Mapping[str, list[str]]
) -> pa.Table:
    number = rows[_INPUT].to_numpy()
    return kernel(
        {
            name: rows.select(columns).take(pa.array(np.flatnonzero(number == of_input)))
            for of_input, (name, columns) in enumerate(names.items())
        }
    )
