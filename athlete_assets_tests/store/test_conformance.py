"""The embedded feature store against the real FeatureEngineeringClient, on both engines.

The real client's default point-in-time join runs on Apache Spark; on Sail it takes its other one, over Spark's own
operators. Both ask the same loopback control plane about the same Delta tables.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from importlib.metadata import version
from pathlib import Path
from typing import Any

import mlflow
import pytest
import yaml
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st
from mlflow.pyfunc import PythonModel
from pyspark.sql import DataFrame, SparkSession

from athlete_assets.errors import ContractError
from athlete_assets.settings import Settings
from athlete_assets.store import feature_spec
from athlete_assets.store.embedded import EmbeddedFeatureStore
from athlete_assets.store.local import LocalStore
from athlete_assets_tests.fake_feature_store.endpoints import FeatureStoreEndpoints
from athlete_assets_tests.fake_feature_store.local_client import local_client
from athlete_assets_tests.fake_feature_store.server import served
from athlete_assets_tests.store.conftest import turned_to

pytestmark = [
    pytest.mark.filterwarnings("ignore:pkg_resources is deprecated"),
    pytest.mark.filterwarnings("ignore:google.protobuf.service"),
]

START = datetime(2024, 3, 1, tzinfo=timezone.utc)
DATABASE = "uc_athlete_data.feature_store"


class Pair:
    """Both stores over the same tables."""

    def __init__(self, embedded: EmbeddedFeatureStore, real: Any, native_join: bool) -> None:
        self.embedded = embedded
        self.real = real
        self.join = {"use_spark_native_join": True} if native_join else {}
        self.tables = 0

    @property
    def spark(self) -> SparkSession:
        return self.embedded.store.spark

    def table(self, schema: str, rows: list[tuple], keys: list[str], **options: Any) -> str:
        """A new feature table's name."""
        self.tables += 1
        name = f"{DATABASE}.t{self.tables}"
        self.embedded.create_table(name=name, primary_keys=keys, df=self.spark.createDataFrame(rows, schema), **options)
        return name

    def training_sets(self, **arguments: Any) -> tuple[Any, Any]:
        return (
            self.embedded.create_training_set(**arguments),
            self.real.create_training_set(**arguments, **self.join),
        )


@pytest.fixture(scope="module", params=["sail", pytest.param("spark", marks=pytest.mark.java)])
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    scratch = request.getfixturevalue("mlflow_database")  # the client opens one when it is made
    engine = request.getfixturevalue("sail" if request.param == "sail" else "apache_spark")
    home = tmp_path_factory.mktemp("conformance")
    store = LocalStore(Settings(home=home), lambda: engine)

    def locate(name: str) -> Path | None:
        path = home.joinpath(*name.split("."))
        return path if (path / "_delta_log").is_dir() else None

    with pytest.MonkeyPatch.context() as patches, served(FeatureStoreEndpoints(locate).routes()) as host:
        with turned_to(scratch):
            real = local_client(patches, host, engine, locate, home)
        yield Pair(EmbeddedFeatureStore(store), real, native_join=request.param == "sail")


def content(frame: DataFrame) -> tuple[list[tuple[str, str]], list[tuple]]:
    """Columns with types in order, and the rows in any."""
    return frame.dtypes, sorted((tuple(row.values()) for row in frame.toArrow().to_pylist()), key=repr)


def lookups_of(specs: list[dict]) -> list[Any]:
    from databricks.feature_engineering import FeatureLookup

    return [FeatureLookup(**spec) for spec in specs]


# -------------------------------------------------------------------------------------------------------- training

ENTITIES = st.sampled_from(["a", "b"])
HOURS = st.integers(0, 5)
NUMBERS = st.one_of(st.none(), st.integers(-9, 9).map(float))
TEXTS = st.one_of(st.none(), st.sampled_from(["x", "y"]))


RANDOM = st.fixed_dictionaries(
    {
        "daily": st.dictionaries(st.tuples(ENTITIES, HOURS), st.tuples(NUMBERS, TEXTS), min_size=4, max_size=12),
        "athletes": st.dictionaries(ENTITIES, st.tuples(TEXTS, NUMBERS), max_size=3),
        "asked": st.lists(
            st.tuples(st.sampled_from(["a", "a", "b", "b", "nobody", None]), HOURS, HOURS, st.integers(0, 2)),
            min_size=6,
            max_size=12,
        ),
        "lookback_s": st.sampled_from([3600.0, None, 7200.0, 0.0, 1800.0]),
        "features": st.sampled_from([["load"], ["note", "load"], None]),
        "rival": st.booleans(),
        "excluded": st.sets(st.sampled_from(["athlete_id", "at", "weight", "sex", "then"])),
        "labels": st.sampled_from([None, "y", ["y", "weight"]]),
    }
)
LIMITS: dict[str, Any] = {
    "deadline": None,
    "derandomize": True,
    "suppress_health_check": [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
}


@pytest.mark.parametrize("pair", ["sail"], indirect=True)
@examples(max_examples=12, **LIMITS)
@given(case=RANDOM)
def test_random_training_sets_are_equal(pair: Pair, case: dict) -> None:
    assert_equal_training_sets(pair, **case)


@pytest.mark.java
@pytest.mark.parametrize("pair", ["spark"], indirect=True)
@examples(max_examples=3, **LIMITS)
@given(case=RANDOM)
def test_random_training_sets_are_equal_to_the_default_join(pair: Pair, case: dict) -> None:
    assert_equal_training_sets(pair, **case)


def assert_equal_training_sets(
    pair: Pair,
    daily: dict,
    athletes: dict,
    asked: list,
    lookback_s: float | None,
    features: list[str] | None,
    rival: bool,
    excluded: set[str],
    labels: Any,
) -> None:
    daily_table = pair.table(
        "athlete_id string, ts timestamp, load double, note string",
        [(who, START + timedelta(hours=hour), *values) for (who, hour), values in daily.items()],
        ["athlete_id", "ts"],
        timeseries_column="ts",
    )
    athlete_table = pair.table(
        "athlete string, sex string, mass double", [(who, *values) for who, values in athletes.items()], ["athlete"]
    )
    window = None if lookback_s is None else timedelta(seconds=lookback_s)
    specs = [
        {
            "table_name": daily_table,
            "lookup_key": "athlete_id",
            "timestamp_lookup_key": "at",
            "feature_names": features,
            "lookback_window": window,
        },
        {"table_name": athlete_table, "lookup_key": ["athlete_id"], "feature_names": ["sex", "mass"]},
    ]
    if rival:
        specs.append(
            {
                "table_name": daily_table,
                "lookup_key": "athlete_id",
                "timestamp_lookup_key": "then",
                "feature_names": ["load"],
                "rename_outputs": {"load": "load_then"},
                "lookback_window": window,
            }
        )
    frame = pair.spark.createDataFrame(
        [
            (y, who, START + timedelta(hours=hour), START + timedelta(hours=then), 60.0 + y)
            for who, hour, then, y in asked
        ],
        "y int, athlete_id string, at timestamp, then timestamp, weight double",
    )
    taken = {"y": {"y"}, None: set()}.get(labels if not isinstance(labels, list) else "both", {"y", "weight"})
    embedded, real = pair.training_sets(
        df=frame, feature_lookups=lookups_of(specs), label=labels, exclude_columns=sorted(excluded - taken)
    )
    assert content(embedded.load_df()) == content(real.load_df())


def test_several_keys_several_tables_and_nested_features(pair: Pair) -> None:
    """Two entity keys, keys under other names, arrays and timestamps as features, a feature that is a key."""
    laps = pair.table(
        "athlete_id string, shoe bigint, ts timestamp, reasons array<string>, since timestamp, ok boolean",
        [
            ("a", 1, START, ["acwr"], START, True),
            ("a", 2, START, [], None, False),
            ("a", 1, START + timedelta(hours=1), None, START, None),
        ],
        ["athlete_id", "shoe", "ts"],
        timeseries_column="ts",
        partition_columns="ok",
    )
    frame = pair.spark.createDataFrame(
        [("a", 1, START), ("a", 2, START + timedelta(hours=9)), ("a", 3, START), ("a", 1, START + timedelta(hours=1))],
        "who string, pair bigint, at timestamp",
    )
    for features in (["since", "reasons", "shoe"], None):
        embedded, real = pair.training_sets(
            df=frame,
            feature_lookups=lookups_of(
                [
                    {
                        "table_name": laps,
                        "lookup_key": ["who", "pair"],
                        "timestamp_lookup_key": "at",
                        "feature_names": features,
                    }
                ]
            ),
            label=None,
            exclude_columns=["who"],
        )
        assert content(embedded.load_df()) == content(real.load_df())


@pytest.mark.java
@pytest.mark.parametrize("pair", ["spark"], indirect=True)
def test_parts_of_a_second_count_as_in_the_default_join(pair: Pair) -> None:
    """The native join of the real client, the only one that runs on Sail, compares whole seconds; its default one, and
    this store, do not."""
    table = pair.table(
        "athlete_id string, ts timestamp, load double",
        [("a", START, 1.0), ("b", START + timedelta(milliseconds=500), 2.0)],
        ["athlete_id", "ts"],
        timeseries_column="ts",
    )
    moments = [(who, START + timedelta(seconds=s)) for who in "ab" for s in (0.25, 0.5, 9.75, 10, 10.25, 10.5, 10.75)]
    embedded, real = pair.training_sets(
        df=pair.spark.createDataFrame(moments, "athlete_id string, at timestamp"),
        feature_lookups=lookups_of(
            [
                {
                    "table_name": table,
                    "lookup_key": "athlete_id",
                    "timestamp_lookup_key": "at",
                    "lookback_window": timedelta(seconds=10),
                }
            ]
        ),
        label=None,
    )
    found = content(embedded.load_df())
    assert found == content(real.load_df())
    assert sum(row[-1] is not None for row in found[1]) == 4 + 5


@pytest.mark.parametrize(
    ("schema", "lookup", "options"),
    [
        ("athlete_id string, at timestamp, y int", {}, {"label": "z"}),
        ("athlete_id string, at timestamp, y int", {}, {"exclude_columns": ["y"]}),
        ("athlete_id string, at timestamp, y int", {"timestamp_lookup_key": None}, {}),
        ("athlete_id string, at timestamp, y int", {"timestamp_lookup_key": "then"}, {}),
        ("athlete_id string, at timestamp, y int", {"lookup_key": ["athlete_id", "y"]}, {}),
        ("athlete_id string, at timestamp, y int", {"lookup_key": "athlete"}, {}),
        ("athlete_id string, at timestamp, y int", {"feature_names": ["none"]}, {}),
        ("athlete_id string, at timestamp, y int", {"feature_names": ["load", "load"]}, {}),
        ("athlete_id string, at timestamp, y int", {"rename_outputs": {"load": "at"}}, {}),
        ("athlete_id string, at timestamp, y int", {"rename_outputs": {"load": "y"}}, {}),
        ("athlete_id string, at timestamp, y int", {"table_name": f"{DATABASE}.none"}, {}),
        ("athlete_id bigint, at timestamp, y int", {}, {}),
        ("athlete_id string, at date, y int", {}, {}),
        ("athlete_id string, at string, y int", {}, {}),
    ],
)
def test_what_the_real_client_refuses_is_refused(pair: Pair, schema: str, lookup: dict, options: dict) -> None:
    table = pair.table("athlete_id string, ts timestamp, load double", [], ["athlete_id", "ts"], timeseries_column="ts")
    spec = {
        "table_name": table,
        "lookup_key": "athlete_id",
        "timestamp_lookup_key": "at",
        "feature_names": ["load"],
        **lookup,
    }
    arguments = {
        "df": pair.spark.createDataFrame([], schema),
        "feature_lookups": lookups_of([spec]),
        "label": "y",
        **options,
    }
    with pytest.raises(ContractError):
        pair.embedded.create_training_set(**arguments)
    with pytest.raises(Exception):  # noqa: B017, PT011 - the real client's kinds of error differ by version
        pair.real.create_training_set(**arguments, **pair.join)


def test_both_describe_a_table_alike(pair: Pair) -> None:
    name = pair.table(
        "month string, load double, ts timestamp, athlete_id string",
        [],
        ["ts", "athlete_id"],
        timeseries_column="ts",
        partition_columns="month",
        description="How much.",
        tags={"layer": "features"},
    )
    embedded, real = pair.embedded.get_table(name=name), pair.real.get_table(name=name)
    for attribute in ("primary_keys", "timestamp_keys", "partition_columns", "features"):
        assert list(getattr(embedded, attribute)) == list(getattr(real, attribute)), attribute
    for attribute in ("name", "table_id", "description", "tags"):
        assert getattr(embedded, attribute) == getattr(real, attribute), attribute
    assert content(pair.embedded.read_table(name=name)) == content(pair.real.read_table(name=name))


# ---------------------------------------------------------------------------------------------------------- models


def weighted() -> PythonModel:
    """A model whose prediction shows every input and their order; pickled by value, so that any process can load it."""

    class Weighted(PythonModel):
        def predict(self, context: Any, model_input: Any, params: Any = None) -> Any:
            filled = model_input.astype(float).fillna(-1000.0)
            return sum((10**place) * filled[name] for place, name in enumerate(filled.columns)).to_numpy()

    return Weighted()


def test_a_model_logged_by_either_scores_equally_through_both(pair: Pair, tracking: str) -> None:
    table = pair.table(
        "athlete_id string, ts timestamp, load double, runs bigint",
        [("a", START, 1.0, 3), ("a", START + timedelta(hours=5), None, 4), ("b", START, 2.0, 5)],
        ["athlete_id", "ts"],
        timeseries_column="ts",
    )
    athletes = pair.table("athlete string, mass double", [("a", 60.0), ("b", 70.0)], ["athlete"])
    lookups = lookups_of(
        [
            {
                "table_name": table,
                "lookup_key": "athlete_id",
                "timestamp_lookup_key": "at",
                "feature_names": ["runs", "load"],
                "lookback_window": timedelta(hours=20),
            },
            {"table_name": athletes, "lookup_key": "athlete_id"},
        ]
    )
    frame = pair.spark.createDataFrame(
        [("a", START, 1.0, 5.0), ("b", START, 2.0, 6.0)], "athlete_id string, at timestamp, y double, slope double"
    )
    training = pair.training_sets(df=frame, feature_lookups=lookups, label="y", exclude_columns=["athlete_id", "at"])
    assert content(training[0].load_df()) == content(training[1].load_df())
    uris, folders = [], []
    for number, (store, training_set) in enumerate(zip((pair.embedded, pair.real), training, strict=True)):
        with mlflow.start_run() as run:
            store.log_model(
                model=weighted(),
                artifact_path="model",
                flavor=mlflow.pyfunc,
                training_set=training_set,
                registered_model_name=f"uc_athlete_data.models.by_{number}",
                pip_requirements=["mlflow"],
            )
        (made,) = mlflow.MlflowClient().search_model_versions(f"run_id = '{run.info.run_id}'")
        uris.append(f"models:/{made.name}/{made.version}")
        folders.append(Path(mlflow.artifacts.download_artifacts(artifact_uri=uris[-1])))
    assert_same_packaging(*folders)

    to_score = pair.spark.createDataFrame(
        [
            ("a", START + timedelta(hours=1), 0.1, "known"),
            ("a", START + timedelta(hours=6), 0.2, "null inside"),
            ("a", START + timedelta(hours=26), 0.3, "too old"),
            ("b", START - timedelta(hours=1), None, "too early"),
            ("c", START, 0.5, "unknown"),
        ],
        "athlete_id string, at timestamp, slope double, note string",
    )
    brought = to_score.selectExpr("*", "7.5D as load")
    for scored in (to_score, brought):
        results = [content(pair.embedded.score_batch(model_uri=uri, df=scored)) for uri in uris]
        results += [content(pair.real.score_batch(model_uri=uri, df=scored, **pair.join)) for uri in uris]
        assert results[0] == results[1] == results[2] == results[3]
    known = next(row for row in content(pair.embedded.score_batch(model_uri=uris[1], df=to_score))[1] if "known" in row)
    assert known[-1] == pytest.approx(0.1 + 10 * 3 + 100 * 1.0 + 1000 * 60.0, rel=1e-12)


def assert_same_packaging(embedded: Path, real: Path) -> None:
    """The spec says the same, in the same order, and the models have the same signature."""
    documents = [
        yaml.safe_load((folder / "data" / "feature_store" / feature_spec.FILE).read_text())
        for folder in (embedded, real)
    ]
    forms = [
        (document.pop("feature_store_client_version"), document.pop("serialization_version")) for document in documents
    ]
    assert forms[0] == (feature_spec.CLIENT_VERSION, feature_spec.SERIALIZATION_VERSION)
    assert forms[1][0] == version("databricks-feature-engineering")
    if forms[0][0] == forms[1][0]:
        assert forms[0] == forms[1]
    for document in documents:
        document.pop("workspace_id", None)
        for column in document["input_columns"]:
            for attributes in column.values():
                attributes.pop("topological_ordering")  # any order that puts keys before what they look up
    assert documents[0] == documents[1]
    signatures = [mlflow.models.Model.load(str(folder / "MLmodel")).signature.to_dict() for folder in (embedded, real)]
    assert signatures[0] == signatures[1]
