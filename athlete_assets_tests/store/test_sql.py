"""Any text and any name comes back from the engine that it was written for as it went in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable, QueryBuilder, write_deltalake
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st
from pyspark.sql import SparkSession

from athlete_assets.store.sql import delta_literal, identifier, literal, quoted

LIMITS: dict[str, Any] = {
    "deadline": None,
    "derandomize": True,
    "suppress_health_check": [HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
}
TROUBLE = [
    "it's",
    "''",
    "\\",
    "\\'",
    "'\\",
    "a\\b",
    "\\n",
    "\\u0041",
    "\\101",
    "\n",
    "\t",
    "%",
    "_",
    '"',
    "`",
    "${env:HOME}",
    ":x",
]
"""What one dialect or the other gives a meaning of its own."""
TEXTS = st.lists(
    st.one_of(st.sampled_from(TROUBLE), st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8)),
    max_size=4,
).map("".join)
NAMES = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Zl", "Zp"]), min_size=1, max_size=8).filter(
    lambda name: "${" not in name
)


@examples(max_examples=15, **LIMITS)
@given(texts=st.lists(TEXTS, min_size=1, max_size=20))
def test_a_literal_is_the_text_on_each_engine(spark: SparkSession, texts: list[str]) -> None:
    row = spark.sql(f"SELECT {', '.join(f'{literal(text)} AS c{at}' for at, text in enumerate(texts))}").first()
    assert row is not None
    assert list(row) == texts


@examples(max_examples=15, **LIMITS)
@given(names=st.lists(NAMES, min_size=1, max_size=10, unique=True))
def test_an_identifier_is_the_name_on_each_engine(spark: SparkSession, names: list[str]) -> None:
    frame = spark.sql(f"SELECT {', '.join(f'{at} AS {identifier(name)}' for at, name in enumerate(names))}")
    assert frame.columns == names


@examples(max_examples=15, **LIMITS)
@given(texts=st.lists(TEXTS, min_size=2, max_size=6, unique=True))
def test_a_delta_literal_is_the_text_in_predicates_and_queries(tmp_path: Path, texts: list[str]) -> None:
    wanted, others = texts[0], texts[1:]
    path = str(tmp_path / "t")
    write_deltalake(path, pa.table({"text": texts}), mode="overwrite")
    query = QueryBuilder().register("t", DeltaTable(path))
    found = pa.table(query.execute(f"SELECT text FROM t WHERE text = {delta_literal(wanted)}").read_all())
    assert found.column("text").to_pylist() == [wanted]
    DeltaTable(path).delete(f"text = {delta_literal(wanted)}")
    left = pa.table(QueryBuilder().register("t", DeltaTable(path)).execute("SELECT text FROM t").read_all())
    assert sorted(left.column("text").to_pylist()) == sorted(others)


def test_the_dialects_differ(spark: SparkSession) -> None:
    """Why there are two: the standard's doubled quote is swallowed by Spark, without an error."""
    assert spark.sql(f"SELECT {delta_literal(chr(39).join('ab'))} AS t").first() == ("ab",)


def test_each_level_of_a_name_is_quoted() -> None:
    assert quoted("uc.feature_store.od`d") == "`uc`.`feature_store`.`od``d`"
    with pytest.raises(ValueError, match="cannot be a name in SQL"):
        quoted("uc.feature_store.${env:HOME}")
