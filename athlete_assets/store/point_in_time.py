"""Features as they were known at each row's moment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

AT, KNOWN, ASKED = "__at", "__known", "__asked"


def features_at(
    asked: DataFrame,
    features: DataFrame,
    *,
    keys: Mapping[str, str],
    at: str,
    timestamp_key: str,
    outputs: Mapping[str, str],
) -> DataFrame:
    """`features_as_of` for the (keys, at) that a feature row lies at exactly: that row is the newest. One equi-join, of
    the moments asked, which are few, with the features as they are read."""
    from pyspark.sql import functions as F

    moments = asked.select(*keys, F.col(at).alias(AT)).distinct()
    known = _renamed(features, {**keys, AT: timestamp_key, **_marked(outputs)})
    return moments.join(known, on=[*keys, AT], how="inner").select(
        *keys, F.col(AT).alias(at), *(F.col(name).alias(output) for output, name in _unmarked(outputs))
    )


def features_as_of(
    asked: DataFrame,
    features: DataFrame,
    *,
    keys: Mapping[str, str],
    at: str,
    timestamp_key: str,
    outputs: Mapping[str, str],
    lookback_s: float | None = None,
) -> DataFrame:
    """For each distinct (keys, at) of `asked`, the newest feature row at or before `at`.

    `keys` maps the columns of `asked` to the feature table's keys, `outputs` the names wanted to the table's columns.
    A whole row wins, its nulls kept; a row older than `lookback_s` seconds (to the microsecond, the limit included)
    does not count. Returns keys, at and outputs, without the (keys, at) for which nothing is known.

    The newest timestamp is found by a window over the keys alone, the row by an equi-join: a window over whole rows is
    five times slower, and a join on an inequality multiplies every row by its history.
    """
    from pyspark.sql import Window
    from pyspark.sql import functions as F

    moments = asked.select(*keys, F.col(at).alias(AT)).distinct()
    known = features.select(
        *(F.col(table_key).alias(key) for key, table_key in keys.items()), F.col(timestamp_key).alias(KNOWN)
    ).join(moments.select(*keys).distinct(), on=list(keys), how="left_semi")
    timeline = moments.select(*keys, AT, F.lit(None).cast("timestamp").alias(KNOWN), F.lit(1).alias(ASKED)).unionByName(
        known.select(*keys, F.col(KNOWN).alias(AT), KNOWN, F.lit(0).alias(ASKED))
    )
    # rows at the same moment: what is known comes before what is asked, so that the moment itself counts
    so_far = Window.partitionBy(*keys).orderBy(AT, ASKED).rowsBetween(Window.unboundedPreceding, Window.currentRow)
    newest = (
        timeline.select(*keys, AT, ASKED, F.max(KNOWN).over(so_far).alias(KNOWN))
        .where((F.col(ASKED) == 1) & F.col(KNOWN).isNotNull())
        .drop(ASKED)
    )
    if lookback_s is not None:
        age_us = F.unix_micros(AT) - F.unix_micros(KNOWN)
        newest = newest.where(age_us <= F.lit(round(lookback_s * 1_000_000)))
    return newest.join(
        _renamed(features, {**keys, KNOWN: timestamp_key, **_marked(outputs)}), on=[*keys, KNOWN], how="inner"
    ).select(*keys, F.col(AT).alias(at), *(F.col(name).alias(output) for output, name in _unmarked(outputs)))


def features_of(features: DataFrame, *, keys: Mapping[str, str], outputs: Mapping[str, str]) -> DataFrame:
    """The features of a table without a timestamp key, under the frame's names."""
    from pyspark.sql import functions as F

    return _renamed(features, {**keys, **_marked(outputs)}).select(
        *keys, *(F.col(name).alias(output) for output, name in _unmarked(outputs))
    )


def _renamed(features: DataFrame, names: Mapping[str, str]) -> DataFrame:
    from pyspark.sql import functions as F

    return features.select(*(F.col(column).alias(name) for name, column in names.items()))


def _marked(outputs: Mapping[str, str]) -> dict[str, str]:
    """Outputs under names that no key can have: a key may itself be looked up as a feature."""
    return {f"__feature_{output}": column for output, column in outputs.items()}


def _unmarked(outputs: Mapping[str, str]) -> Sequence[tuple[str, str]]:
    return [(output, f"__feature_{output}") for output in outputs]
