"""The embedded feature store: what is known at a moment, and models that carry what they were trained on.

That the real client means the same is shown in test_conformance.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import yaml
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st
from pyspark.sql import DataFrame, SparkSession

from athlete_assets import tables
from athlete_assets.days import midnight
from athlete_assets.errors import ContractError
from athlete_assets.settings import Settings
from athlete_assets.store import embedded, feature_store, unity_catalog
from athlete_assets.store.embedded import EmbeddedFeatureStore
from athlete_assets.store.feature_store import FeatureStore, raw_model_folder
from athlete_assets.store.local import LocalStore
from athlete_assets_tests.rows import frame
from athlete_assets_tests.store.rows import daily, span

with pytest.MonkeyPatch.context() as quiet:
    quiet.setenv("GIT_PYTHON_REFRESH", "quiet")
    from databricks.feature_engineering import FeatureFunction, FeatureLookup

NAME = "uc_athlete_data.feature_store.shape"
ATHLETES = "uc_athlete_data.feature_store.athletes"
START = datetime(2024, 3, 1, tzinfo=timezone.utc)


def at(hours: float) -> datetime:
    return START + timedelta(hours=hours)


def with_shape(features: EmbeddedFeatureStore) -> EmbeddedFeatureStore:
    """A time-series table: fitness of two athletes at 0 h, 24 h and 48 h, with a null inside the newest row of one."""
    features.create_table(
        name=NAME,
        primary_keys=["athlete_id", "ts"],
        timeseries_column="ts",
        df=frame(
            features.store.spark,
            [
                ("a", at(0), 1.0, 10, "first"),
                ("a", at(24), 2.0, 20, "second"),
                ("a", at(48), None, 30, None),
                ("b", at(24), 5.0, 50, "b"),
            ],
            "athlete_id string, ts timestamp, ctl double, runs bigint, note string",
        ),
    )
    return features


@pytest.fixture
def shape(features: EmbeddedFeatureStore) -> EmbeddedFeatureStore:
    return with_shape(features)


def looked_up(store: FeatureStore, labels: DataFrame, *lookups: Any, **options: Any) -> list[dict]:
    training = store.create_training_set(df=labels, feature_lookups=lookups, **{"label": None, **options})
    return training.load_df().toArrow().to_pylist()


def by_row(rows: list[dict]) -> list[tuple]:
    return sorted((tuple(row.values()) for row in rows), key=repr)


def test_our_own_lookup_says_what_the_clients_says(shape: EmbeddedFeatureStore) -> None:
    """And is handed to the client as one of its own."""
    said: dict[str, Any] = {"table_name": NAME, "lookup_key": "athlete_id", "feature_names": ["runs", "ctl"]}
    said |= {"timestamp_lookup_key": "when", "lookback_window": timedelta(hours=30)}
    labels = frame(shape.store.spark, [("a", at(26)), ("a", at(60))], "athlete_id string, when timestamp")
    ours, clients = feature_store.FeatureLookup(**said), FeatureLookup(**said)
    assert by_row(looked_up(shape, labels, ours)) == by_row(looked_up(shape, labels, clients))
    as_handed_over = unity_catalog._of_the_client(ours)
    assert type(as_handed_over) is FeatureLookup
    for name in said:
        assert getattr(as_handed_over, name) == getattr(clients, name)
    assert unity_catalog._of_the_client(clients) is clients


SHAPE = FeatureLookup(table_name=NAME, lookup_key="athlete_id", timestamp_lookup_key="when", feature_names="ctl")


# -------------------------------------------------------------------------------------------- what is known when


def test_what_is_known_at_a_moment(engine_features: EmbeddedFeatureStore) -> None:
    known = [
        ("a", -1, (None, None, None)),  # before anything is known
        ("a", 0, (1.0, 10, "first")),  # the moment itself counts
        ("a", 23.999, (1.0, 10, "first")),
        ("a", 24, (2.0, 20, "second")),
        ("a", 48, (None, 30, None)),  # the whole newest row wins, its nulls kept
        ("a", 9999, (None, 30, None)),
        ("b", 23, (None, None, None)),
        ("b", 25, (5.0, 50, "b")),
        ("nobody", 25, (None, None, None)),
        (None, 25, (None, None, None)),
    ]
    shape = with_shape(engine_features)
    labels = frame(
        shape.store.spark,
        [(athlete, at(hours), y) for y, (athlete, hours, _) in enumerate(known)],
        "athlete_id string, when timestamp, y int",
    )
    lookup = FeatureLookup(
        table_name=NAME,
        lookup_key=["athlete_id"],
        timestamp_lookup_key="when",
        feature_names=["ctl", "runs", "note"],
    )
    rows = sorted(looked_up(shape, labels, lookup, label="y"), key=lambda row: row["y"])
    assert list(rows[0]) == ["athlete_id", "when", "ctl", "runs", "note", "y"]
    assert [(row["ctl"], row["runs"], row["note"]) for row in rows] == [expected for _, _, expected in known]


@pytest.mark.parametrize(
    ("hours", "lookback", "known"),
    [
        (26, timedelta(hours=2), 2.0),  # the limit is included
        (26, timedelta(hours=2) - timedelta(microseconds=1), None),
        (24, timedelta(0), 2.0),
        (24.001, timedelta(0), None),
        (9999, timedelta(days=10_000), None),  # the newest row holds a null; an older one does not stand in
    ],
)
def test_the_lookback_window_is_inclusive_to_the_microsecond(
    shape: EmbeddedFeatureStore, hours: float, lookback: timedelta, known: float | None
) -> None:
    labels = frame(shape.store.spark, [("a", at(hours))], "athlete_id string, when timestamp")
    lookup = FeatureLookup(
        table_name=NAME,
        lookup_key="athlete_id",
        timestamp_lookup_key="when",
        feature_names="ctl",
        lookback_window=lookback,
    )
    assert looked_up(shape, labels, lookup)[0]["ctl"] == known


def test_repeated_rows_survive(shape: EmbeddedFeatureStore) -> None:
    labels = frame(shape.store.spark, [("a", at(1), 7)] * 3, "athlete_id string, when timestamp, y int")
    assert [row["ctl"] for row in looked_up(shape, labels, SHAPE, label="y")] == [1.0, 1.0, 1.0]


def test_columns_come_as_the_frame_then_features_by_lookup_then_labels(shape: EmbeddedFeatureStore) -> None:
    shape.create_table(
        name=ATHLETES,
        primary_keys="athlete",
        df=frame(shape.store.spark, [("a", "F", 1980), ("c", "M", 1990)], "athlete string, sex string, born int"),
    )
    labels = frame(
        shape.store.spark,
        [(2.0, "a", 60.0, at(1), 1.0), (2.0, "b", 70.0, at(30), 1.0)],
        "y2 double, athlete_id string, weight double, when timestamp, y1 double",
    )
    lookups = [
        FeatureLookup(table_name=ATHLETES, lookup_key="athlete_id", rename_outputs={"born": "birth_year"}),
        FeatureLookup(
            table_name=NAME,
            lookup_key="athlete_id",
            timestamp_lookup_key="when",
            feature_names=["runs", "athlete_id"],
            rename_outputs={"athlete_id": "who"},
        ),
    ]
    rows = looked_up(shape, labels, *lookups, label=["y1", "y2"], exclude_columns=["when", "sex"])
    assert rows
    assert list(rows[0]) == ["athlete_id", "weight", "birth_year", "runs", "who", "y1", "y2"]
    assert by_row(rows) == [("a", 60.0, 1980, 10, "a", 1.0, 2.0), ("b", 70.0, None, 50, "b", 1.0, 2.0)]


def test_one_table_can_be_asked_by_two_keys(shape: EmbeddedFeatureStore) -> None:
    labels = frame(
        shape.store.spark,
        [("a", "b", at(25), at(1))],
        "athlete_id string, rival string, when timestamp, before timestamp",
    )
    rows = looked_up(
        shape,
        labels,
        SHAPE,
        FeatureLookup(
            table_name=NAME,
            lookup_key="rival",
            timestamp_lookup_key="when",
            feature_names="ctl",
            rename_outputs={"ctl": "rival_ctl"},
        ),
        FeatureLookup(
            table_name=NAME,
            lookup_key="athlete_id",
            timestamp_lookup_key="before",
            feature_names="ctl",
            rename_outputs={"ctl": "ctl_before"},
        ),
    )
    assert [(row["ctl"], row["rival_ctl"], row["ctl_before"]) for row in rows] == [(2.0, 5.0, 1.0)]


def test_a_table_of_the_product_is_a_feature_table(features: EmbeddedFeatureStore) -> None:
    """Rows written by windows are looked up as of the evening before."""
    days = span("2024-01-30", "2024-02-02")
    for number, day in enumerate(days):
        features.store.replace_arrow(
            tables.DAILY, daily("a", [day], distance_km=float(number)), span(str(day), str(day))
        )
    name = tables.DAILY.full_name("uc_athlete_data")
    assert features.get_table(name=name).primary_keys == ("athlete_id", "activity_date")
    labels = frame(features.store.spark, [("a", midnight(days.last))], "athlete_id string, evening timestamp")
    lookup = FeatureLookup(
        table_name=name, lookup_key="athlete_id", timestamp_lookup_key="evening", feature_names="distance_km"
    )
    assert [row["distance_km"] for row in looked_up(features, labels, lookup)] == [3.0]


DAILY = tables.DAILY.full_name("uc_athlete_data")


def distances(features: EmbeddedFeatureStore, *asked: tuple[str | None, datetime], **lookback: Any) -> list[Any]:
    """What athlete_daily_features says of each athlete as of each evening, in the order of athlete and evening."""
    labels = frame(features.store.spark, list(asked), "athlete_id string, evening timestamp")
    lookup = FeatureLookup(
        table_name=DAILY,
        lookup_key="athlete_id",
        timestamp_lookup_key="evening",
        feature_names="distance_km",
        **lookback,
    )
    found = looked_up(features, labels, lookup)
    order = {key: number for number, key in enumerate(asked)}
    return [row["distance_km"] for row in sorted(found, key=lambda row: order[row["athlete_id"], row["evening"]])]


@pytest.fixture
def months(features: EmbeddedFeatureStore) -> EmbeddedFeatureStore:
    """Daily rows of the last days of three months, the distance their number; of `old` those of the first alone."""
    days = [*span("2021-03-30", "2021-03-31"), *span("2024-04-29", "2024-04-30"), *span("2024-05-30", "2024-05-31")]
    for number, day in enumerate(days):
        rows = [daily(name, [day], distance_km=float(number)) for name in ("a", *["old"] * (number < 2))]
        features.store.replace_arrow(tables.DAILY, pa.concat_tables(rows), span(str(day), str(day)))
    return features


def test_an_evening_is_looked_up_in_its_own_month(months: EmbeddedFeatureStore) -> None:
    """The files of all other months are gone from the disk: whoever opened one would fail."""
    may = midnight(span("2024-05-31", "2024-05-31").first)
    others = [path for path in months.store.path(tables.DAILY).rglob("*.parquet") if "month=2024-05" not in str(path)]
    assert len(others) == 4
    for path in others:
        path.unlink()
    assert distances(months, ("a", may)) == [5.0]
    with pytest.raises(Exception, match=r"(?i)not found|no such file"):
        distances(months, ("a", may), ("old", may))


@pytest.mark.parametrize("most_missing", [embedded.MOST_MISSING, 1], ids=["few", "many"])
@pytest.mark.parametrize("most_held", [embedded.MOST_HELD_VALUES, 0], ids=["held", "read again"])
def test_a_row_of_three_years_ago_is_still_the_newest(
    months: EmbeddedFeatureStore, most_held: int, most_missing: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beside athletes with a row of the evening, of the day before, of before a gap, of none, and unknown ones."""
    monkeypatch.setattr(embedded, "MOST_HELD_VALUES", most_held)
    monkeypatch.setattr(embedded, "MOST_MISSING", most_missing)
    may, june, gap, before = (
        midnight(span(day, day).first) for day in ("2024-05-31", "2024-06-03", "2024-05-10", "2021-03-29")
    )
    asked: list[tuple[str | None, datetime]] = [("a", may), ("a", june), ("a", gap), ("a", before), ("old", may)]
    asked += [("eve", may), (None, may)]
    assert distances(months, *asked) == [5.0, 5.0, 3.0, None, 1.0, None, None]
    years = timedelta(days=4 * 365)
    assert distances(months, *asked, lookback_window=years) == [5.0, 5.0, 3.0, None, 1.0, None, None]
    month = timedelta(days=40)
    assert distances(months, *asked, lookback_window=month) == [5.0, 5.0, 3.0, None, None, None, None]
    assert distances(months, *asked, lookback_window=timedelta(days=2)) == [5.0, *[None] * 6]


def test_nobody_asked_is_nobody_found(months: EmbeddedFeatureStore) -> None:
    assert distances(months) == []


MOMENTS = st.integers(0, 12)
VALUES = st.one_of(st.none(), st.integers(-5, 5).map(float))


@examples(
    max_examples=15,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    known=st.dictionaries(st.tuples(st.sampled_from("abc"), MOMENTS), st.tuples(VALUES, VALUES), max_size=15),
    asked=st.lists(st.tuples(st.sampled_from(["a", "b", "c", "d", None]), MOMENTS, st.integers(0, 3)), max_size=12),
    lookback_h=st.one_of(st.none(), st.integers(0, 6)),
)
def test_lookups_are_what_a_reader_of_the_table_would_find(
    features: EmbeddedFeatureStore, known: dict, asked: list, lookback_h: int | None
) -> None:
    """Against the definition itself: the newest row of the entity at or before the moment, not older than allowed."""
    spark = features.store.spark
    name = f"uc_athlete_data.feature_store.t{len(list(features.store.settings.home.rglob('_delta_log')))}"
    features.create_table(
        name=name,
        primary_keys=["athlete_id", "ts"],
        timeseries_column="ts",
        df=frame(
            spark,
            [(who, at(hour), *values) for (who, hour), values in known.items()],
            "athlete_id string, ts timestamp, x double, z double",
        ),
    )
    labels = frame(spark, [(who, at(hour), y) for who, hour, y in asked], "athlete_id string, ts timestamp, y int")
    lookup = FeatureLookup(
        table_name=name,
        lookup_key="athlete_id",
        timestamp_lookup_key="ts",
        feature_names=["z", "x"],
        lookback_window=None if lookback_h is None else timedelta(hours=lookback_h),
    )
    expected = []
    for who, hour, y in asked:
        hours = [h for (entity, h) in known if entity == who and h <= hour]
        newest = max(hours, default=None)
        usable = newest is not None and (lookback_h is None or hour - newest <= lookback_h)
        x, z = known[who, newest] if usable else (None, None)
        expected.append((who, at(hour), z, x, y))
    rows = looked_up(features, labels, lookup, label="y")
    assert by_row(rows) == sorted(expected, key=repr)


# -------------------------------------------------------------------------------------------------------- refusals


LABELS = "athlete_id string, when timestamp, y int"


@pytest.mark.parametrize(
    ("schema", "lookup", "options", "message"),
    [
        (LABELS, {}, {"label": "z"}, "label z is not a column"),
        (LABELS, {}, {"label": "y", "exclude_columns": ["y"]}, "label y cannot be excluded"),
        (LABELS, {"timestamp_lookup_key": None}, {}, "shape is a time-series table: the lookup needs"),
        (LABELS, {"timestamp_lookup_key": "then"}, {}, "lookup key then is not a column"),
        (LABELS, {"lookup_key": ["athlete_id", "y"]}, {}, r"its keys are \['athlete_id'\]"),
        (LABELS, {"feature_names": ["vo2max"]}, {}, "no feature vo2max"),
        (LABELS, {"feature_names": ["ctl", "ctl"]}, {}, "feature ctl is named twice"),
        (LABELS, {"rename_outputs": {"ctl": "y"}}, {}, "feature y has the name of a column"),
        (LABELS, {"table_name": "uc_athlete_data.feature_store.none"}, {}, "none does not exist"),
        (LABELS, {"table_name": "shape"}, {}, "must be named catalog.schema.table"),
        (LABELS, {"default_values": {"ctl": 0.0}}, {}, "default_values are not supported"),
        (
            "athlete_id bigint, when timestamp, y int",
            {},
            {},
            "key athlete_id is string, lookup key athlete_id is bigint",
        ),
        ("athlete_id string, when date, y int", {}, {}, "key ts is timestamp, lookup key when is date"),
        ("athlete_id string, when timestamp_ntz, y int", {}, {}, "lookup key when is timestamp_ntz"),
    ],
)
def test_a_wrong_lookup_is_refused_in_one_sentence(
    shape: EmbeddedFeatureStore, schema: str, lookup: dict, options: dict, message: str
) -> None:
    asked = {
        "table_name": NAME,
        "lookup_key": "athlete_id",
        "timestamp_lookup_key": "when",
        "feature_names": "ctl",
        **lookup,
    }
    with pytest.raises(ContractError, match=message):
        looked_up(shape, frame(shape.store.spark, [], schema), FeatureLookup(**asked), **options)


def test_two_lookback_windows_for_one_table_are_refused(shape: EmbeddedFeatureStore) -> None:
    lookups = [
        FeatureLookup(
            table_name=NAME,
            lookup_key="athlete_id",
            timestamp_lookup_key="when",
            feature_names=feature,
            lookback_window=window,
        )
        for feature, window in (("ctl", timedelta(days=1)), ("runs", None))
    ]
    with pytest.raises(ContractError, match="one and the same lookback_window"):
        looked_up(shape, frame(shape.store.spark, [], LABELS), *lookups)


def test_functions_are_refused(shape: EmbeddedFeatureStore) -> None:
    function = FeatureFunction(udf_name="a.b.c", output_name="x", input_bindings={})
    with pytest.raises(ContractError, match="functions are not supported"):
        looked_up(shape, frame(shape.store.spark, [], LABELS), function)


def test_a_null_timestamp_raises(shape: EmbeddedFeatureStore) -> None:
    labels = frame(shape.store.spark, [("a", at(1), 1), ("a", None, 2)], LABELS)
    with pytest.raises(ContractError, match="timestamp lookup key when is null in some rows"):
        looked_up(shape, labels, SHAPE)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"primary_keys": "athlete_id", "timeseries_column": "ts"}, "ts must be one of the primary keys"),
        ({"primary_keys": ["ts"], "timeseries_column": "ts"}, "needs a primary key that is not its timeseries"),
        ({"primary_keys": ["athlete_id", "day"], "timeseries_column": "day"}, "day is date; it must be a timestamp"),
        ({"primary_keys": ["athlete_id", "athlete_id"]}, "name a column twice"),
        ({"primary_keys": ["who"]}, "column who is not in the schema"),
        ({"primary_keys": ["athlete_id"], "partition_columns": "month"}, "column month is not in the schema"),
        ({"primary_keys": ["local"]}, "column local is timestamp_ntz"),
    ],
)
def test_a_table_that_databricks_would_not_serve_is_refused(
    features: EmbeddedFeatureStore, arguments: dict, message: str
) -> None:
    schema = "athlete_id string, ts timestamp, day date" + (
        ", local timestamp_ntz" if "local" in str(arguments) else ""
    )
    with pytest.raises(ContractError, match=message):
        features.create_table(name=NAME, schema=frame(features.store.spark, [], schema).schema, **arguments)


# ---------------------------------------------------------------------------------------------------------- writing


def rows_of(store: FeatureStore, name: str = NAME) -> list[tuple]:
    return by_row(store.read_table(name=name).toArrow().to_pylist())


def test_merge_updates_by_key_and_inserts(shape: EmbeddedFeatureStore) -> None:
    schema = "note string, athlete_id string, ts timestamp, runs bigint, ctl double"
    shape.write_table(
        name=NAME,
        df=frame(shape.store.spark, [("new", "b", at(24), 51, 5.5), ("more", "b", at(25), 52, None)], schema),
    )
    assert [row for row in rows_of(shape) if row[0] == "b"] == [
        ("b", at(24), 5.5, 51, "new"),
        ("b", at(25), None, 52, "more"),
    ]
    assert len(rows_of(shape)) == 5


def test_overwrite_replaces_the_table(shape: EmbeddedFeatureStore) -> None:
    schema = "athlete_id string, ts timestamp, ctl double, runs bigint, note string"
    shape.write_table(name=NAME, df=frame(shape.store.spark, [("z", at(1), 1.0, 1, "z")], schema), mode="overwrite")
    assert rows_of(shape) == [("z", at(1), 1.0, 1, "z")]


@pytest.mark.parametrize(
    ("schema", "rows", "mode", "message"),
    [
        ("athlete_id string, ts timestamp, ctl double, runs bigint", [], "merge", "column note is in the frame or in"),
        ("athlete_id string, ts timestamp, ctl string, runs bigint, note string", [], "merge", "ctl is string, the"),
        (None, [("a", START, 1.0, 1, ""), ("a", START, 2.0, 1, "")], "merge", "row repeats the key"),
        (None, [("a", None, 1.0, 1, "")], "merge", "key ts is null in 1 row"),
        (None, [], "append", "mode 'append' must be merge or overwrite"),
    ],
)
def test_rows_that_do_not_belong_are_refused_before_a_write(
    shape: EmbeddedFeatureStore, schema: str | None, rows: list, mode: str, message: str
) -> None:
    before = rows_of(shape)
    schema = schema or "athlete_id string, ts timestamp, ctl double, runs bigint, note string"
    with pytest.raises(ContractError, match=message):
        shape.write_table(name=NAME, df=frame(shape.store.spark, rows, schema), mode=mode)
    assert rows_of(shape) == before


def test_a_table_is_described_and_created_once(features: EmbeddedFeatureStore) -> None:
    schema = frame(features.store.spark, [], "x double, ts timestamp, athlete_id string, month string").schema
    made = features.create_table(
        name=NAME,
        primary_keys=["ts", "athlete_id"],
        timeseries_column="ts",
        partition_columns="month",
        schema=schema,
        description="How fit.",
        tags={"layer": "features"},
    )
    assert made == features.get_table(name=NAME)
    assert made.primary_keys == ("athlete_id", "ts")
    assert made.timestamp_keys == ("ts",)
    assert made.partition_columns == ("month",)
    assert made.features == ("x", "ts", "athlete_id", "month")
    assert (made.description, made.tags) == ("How fit.", {"layer": "features"})
    again = features.create_table(name=NAME, primary_keys="x", schema=schema)
    assert again == made


# ----------------------------------------------------------------------------------------------------------- models


class Weighted(mlflow.pyfunc.PythonModel):
    """ctl + 10 runs + weight, so that every input and its order show in the prediction; null counts as -1000."""

    def predict(self, context: Any, model_input: pd.DataFrame, params: Any = None) -> Any:
        assert list(model_input.columns) == ["weight", "ctl", "runs"]
        filled = model_input.astype(float).fillna(-1000.0)
        return (filled["ctl"] + 10 * filled["runs"] + filled["weight"]).to_numpy()


MODEL = "uc_athlete_data.models.time_estimator"


def logged(store: FeatureStore, spark: SparkSession, model: Any = None, **options: Any) -> str:
    """Trains on labels with a weight of their own, logs and registers, and returns the champion's URI."""
    labels = frame(spark, [("a", at(1), 60.0, 1.0)], "athlete_id string, when timestamp, weight double, y double")
    lookup = FeatureLookup(
        table_name=NAME,
        lookup_key="athlete_id",
        timestamp_lookup_key="when",
        feature_names=["ctl", "runs"],
        lookback_window=timedelta(days=2),
    )
    with mlflow.start_run() as run:
        training = store.create_training_set(
            df=labels, feature_lookups=[lookup], label="y", exclude_columns=["athlete_id", "when"]
        )
        store.log_model(
            model=model or Weighted(),
            artifact_path="model",
            flavor=mlflow.pyfunc,
            training_set=training,
            registered_model_name=MODEL,
            pip_requirements=["mlflow"],
            **options,
        )
    client = mlflow.MlflowClient()
    (version,) = [v for v in client.search_model_versions(f"name = '{MODEL}'") if v.run_id == run.info.run_id]
    client.set_registered_model_alias(MODEL, "champion", version.version)
    return f"models:/{MODEL}@champion"


def to_score(spark: SparkSession) -> DataFrame:
    return frame(
        spark,
        [
            (at(1), "a", 60.0, "first"),
            (at(49), "a", 61.0, "null inside"),
            (at(200), "a", 62.0, "too old"),
            (at(30), "b", 63.0, "b"),
            (at(30), "nobody", None, "unknown"),
        ],
        "when timestamp, athlete_id string, weight double, extra string",
    )


SCORES = {
    "first": 1.0 + 10 * 10 + 60.0,
    "null inside": -1000.0 + 10 * 30 + 61.0,
    "too old": -1000.0 - 10_000.0 + 62.0,
    "b": 5.0 + 10 * 50 + 63.0,
    "unknown": -1000.0 - 10_000.0 - 1000.0,
}


def test_a_logged_model_is_scored_with_the_features_of_the_moment(
    engine_features: EmbeddedFeatureStore, tracking: str
) -> None:
    shape = with_shape(engine_features)
    scored = shape.score_batch(model_uri=logged(shape, shape.store.spark), df=to_score(shape.store.spark)).toArrow()
    assert scored.column_names == ["when", "athlete_id", "weight", "extra", "ctl", "runs", "prediction"]
    assert dict(zip(scored["extra"].to_pylist(), scored["prediction"].to_pylist(), strict=True)) == SCORES


def test_features_that_the_frame_brings_are_taken_from_it(shape: EmbeddedFeatureStore, tracking: str) -> None:
    spark = shape.store.spark
    brought = frame(
        spark,
        [("a", at(1), 60.0, 7, 0.5)],
        "athlete_id string, when timestamp, weight double, runs bigint, ctl double",
    )
    uri = logged(shape, spark)
    scored = shape.score_batch(model_uri=uri, df=brought).toArrow()
    assert scored.column_names == ["athlete_id", "when", "weight", "runs", "ctl", "prediction"]
    assert scored["prediction"].to_pylist() == [0.5 + 70 + 60.0]
    # with every feature brought, neither keys nor timestamps are needed
    bare = shape.score_batch(model_uri=uri, df=brought.select("athlete_id", "ctl", "runs", "weight")).toArrow()
    assert bare["prediction"].to_pylist() == [0.5 + 70 + 60.0]


def test_the_alias_is_followed_when_it_moves(shape: EmbeddedFeatureStore, tracking: str) -> None:
    """Also within one process, where a copy of the old champion may lie about."""

    class Negative(Weighted):
        def predict(self, context: Any, model_input: pd.DataFrame, params: Any = None) -> Any:
            return -super().predict(context, model_input)

    spark = shape.store.spark
    first = shape.score_batch(model_uri=logged(shape, spark), df=to_score(spark)).toArrow()
    second = shape.score_batch(model_uri=logged(shape, spark, Negative()), df=to_score(spark)).toArrow()
    assert sorted(second["prediction"].to_pylist()) == sorted(-value for value in first["prediction"].to_pylist())


QUANTILES: list[tuple[str, Callable[[Any], Any], pa.DataType]] = [
    ("array<double>", lambda row: row, pa.list_(pa.float64())),
    (
        "p10 double, p90 double",
        lambda row: [row["p10"], row["p90"]],
        pa.struct([("p10", pa.float64()), ("p90", pa.float64())]),
    ),
]


@pytest.mark.parametrize(("result_type", "read", "arrow"), QUANTILES)
def test_a_model_may_give_several_numbers(
    shape: EmbeddedFeatureStore, tracking: str, result_type: str, read: Callable, arrow: pa.DataType
) -> None:
    class Quantiles(Weighted):
        def predict(self, context: Any, model_input: pd.DataFrame, params: Any = None) -> Any:
            middle = super().predict(context, model_input)
            return np.column_stack([middle - 1, middle + 1])

    spark = shape.store.spark
    uri = logged(shape, spark, Quantiles())
    scored = shape.score_batch(model_uri=uri, df=to_score(spark), result_type=result_type).toArrow()
    found = dict(zip(scored["extra"].to_pylist(), map(read, scored["prediction"].to_pylist()), strict=True))
    assert found == {name: [value - 1, value + 1] for name, value in SCORES.items()}


def test_a_logged_model_carries_its_spec_and_signature(shape: EmbeddedFeatureStore, tracking: str) -> None:
    uri = logged(shape, shape.store.spark)
    folder = raw_model_folder(uri)
    assert (folder / "MLmodel").is_file()
    spec = yaml.safe_load((folder.parent / "feature_spec.yaml").read_text())
    assert [next(iter(column)) for column in spec["input_columns"]] == ["athlete_id", "weight", "ctl", "runs"]
    assert spec["input_columns"][0]["athlete_id"]["include"] is False
    assert spec["input_tables"] == [
        {NAME: {"table_id": shape.get_table(name=NAME).table_id, "lookback_window": 2 * 86400.0}}
    ]
    signature = mlflow.models.get_model_info(uri).signature
    assert signature is not None
    assert signature.inputs.required_input_names() == ["athlete_id", "weight"]
    assert signature.inputs.optional_input_names() == ["ctl", "runs"]
    assert signature.outputs.input_names() == ["y"]


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        ("athlete_id string, when timestamp", "needs the column weight"),
        ("athlete_id string, weight double", "lookup key when is not a column"),
        ("athlete_id string, when timestamp, weight double, prediction double", "already has a column prediction"),
    ],
)
def test_a_frame_that_cannot_be_scored_is_refused(
    shape: EmbeddedFeatureStore, tracking: str, schema: str, message: str
) -> None:
    uri = logged(shape, shape.store.spark)
    with pytest.raises(ContractError, match=message):
        shape.score_batch(model_uri=uri, df=frame(shape.store.spark, [], schema))


def test_models_that_are_missing_or_of_another_kind_are_refused(shape: EmbeddedFeatureStore, tracking: str) -> None:
    with pytest.raises(ContractError, match="cannot be fetched"):
        shape.score_batch(model_uri="models:/nobody@champion", df=to_score(shape.store.spark))
    with mlflow.start_run():
        info = mlflow.pyfunc.log_model(name="plain", python_model=Weighted(), pip_requirements=["mlflow"])
    with pytest.raises(ContractError, match="was not logged by a feature store"):
        shape.score_batch(model_uri=info.model_uri, df=to_score(shape.store.spark))


def test_logging_outside_a_run_is_refused(shape: EmbeddedFeatureStore, tracking: str) -> None:
    labels = frame(shape.store.spark, [], LABELS)
    training = shape.create_training_set(df=labels, feature_lookups=[SHAPE], label="y")
    with pytest.raises(ContractError, match="needs an active MLflow run"):
        shape.log_model(model=Weighted(), artifact_path="model", flavor=mlflow.pyfunc, training_set=training)


def test_the_local_store_makes_the_feature_store(settings: Settings, sail: SparkSession) -> None:
    """A contract's table and one made here lie side by side and are found by the same names."""
    store = LocalStore(settings)
    store.create(tables.ROLLING)
    table = EmbeddedFeatureStore(store).get_table(name="uc_athlete_data.feature_store.athlete_rolling_features")
    assert table.primary_keys == ("athlete_id", "as_of_date")
    assert table.entity_keys == ("athlete_id",)
