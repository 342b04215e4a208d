"""The embedded feature store: Delta folders and a local MLflow, with the meaning of FeatureEngineeringClient."""

from __future__ import annotations

import tempfile
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from athlete_assets import tables
from athlete_assets.errors import ContractError
from athlete_assets.store.arrow import fitted_to, plain_type, refuse_repeated_keys
from athlete_assets.store.delta_folder import DeltaFolder
from athlete_assets.store.feature_spec import FeatureColumn, FeatureSpec, SourceColumn
from athlete_assets.store.feature_store import (
    LOADER,
    PREDICTION,
    RAW_MODEL,
    FeatureStore,
    FeatureTable,
    as_list,
    model_folder,
    refuse_null_timestamps,
    refuse_unservable,
    refuse_unsupported,
    schema_of,
)
from athlete_assets.store.local import PRIMARY_KEYS_PROPERTY, TIMESTAMP_KEY_PROPERTY, LocalStore
from athlete_assets.store.point_in_time import features_as_of, features_at, features_of
from athlete_assets.store.session import engine_path
from athlete_assets.words import counted

if TYPE_CHECKING:
    from mlflow.models import ModelSignature
    from pyspark.sql import DataFrame
    from pyspark.sql.types import StructType

TAG_PROPERTY = "feature_store.tag."
MOST_HELD_VALUES = 5_000_000
"""Of looked up features, 40 MB: as many are read once and held in memory; of more the keys alone are read first, to see
which moments have no row of their own."""
MOST_MISSING = 100_000
"""Moments without a row of their own that are held in memory, some MB; more are asked of the engine in one plan."""
FIRST, LAST = "__first", "__last"
NO_RESULT_TYPE = "NO_RESULT_TYPE"
"""The real client's default of the model parameter `result_type`."""


class EmbeddedFeatureStore(FeatureStore):
    """Feature tables below a LocalStore's home, `<home>/<catalog>/<schema>/<table>`; models in the active MLflow."""

    def __init__(self, store: LocalStore, *, model_registry_uri: str | None = None) -> None:
        self.store = store
        self.model_registry_uri = model_registry_uri

    # ---------------------------------------------------------------------------------------------------- tables

    def create_table(
        self,
        *,
        name: str,
        primary_keys: str | Sequence[str],
        df: DataFrame | None = None,
        timeseries_column: str | None = None,
        partition_columns: str | Sequence[str] | None = None,
        schema: StructType | None = None,
        description: str | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> FeatureTable:
        folder = self._folder(name)
        keys, partitions = as_list(primary_keys), as_list(partition_columns)
        spark_schema = schema_of(name, df, schema)
        refuse_unservable(
            name,
            {column.name: column.dataType.simpleString() for column in spark_schema.fields},
            primary_keys=keys,
            timeseries_column=timeseries_column,
            partition_columns=partitions,
        )
        if not folder.exists():
            entity_keys = [key for key in keys if key != timeseries_column]
            ordered = entity_keys + ([timeseries_column] if timeseries_column else [])
            folder.create(
                self._arrow_schema(spark_schema, ordered),
                description=description or "",
                partition_by=partitions,
                properties={
                    PRIMARY_KEYS_PROPERTY: ",".join(ordered),
                    **({TIMESTAMP_KEY_PROPERTY: timeseries_column} if timeseries_column else {}),
                    **{f"{TAG_PROPERTY}{key}": value for key, value in (tags or {}).items()},
                },
            )
            if df is not None:
                self.write_table(name=name, df=df, mode="overwrite")
        return self.get_table(name=name)

    def write_table(self, *, name: str, df: DataFrame, mode: str = "merge") -> None:
        if mode not in ("merge", "overwrite"):
            raise ContractError(f"{name}: mode {mode!r} must be merge or overwrite")
        keys = self.get_table(name=name).primary_keys
        folder = self._existing(name)
        given, schema = df.toArrow(), _schema(folder, keys)
        for column in sorted(set(given.column_names) ^ set(schema.names)):
            raise ContractError(f"{name}: column {column} is in the frame or in the table, but not in both")
        for key in keys:
            if given.column(key).null_count:
                raise ContractError(f"{name}: key {key} is null in {counted(given.column(key).null_count, 'row')}")
        rows = fitted_to(given, schema, name, widen=False)
        refuse_repeated_keys(rows, name, keys)
        if mode == "overwrite":
            folder.overwrite(rows)
        else:
            folder.rewrite(lambda before: _merged(before, rows, keys))

    def read_table(self, *, name: str) -> DataFrame:
        return self.store.spark.read.format("delta").load(engine_path(self._existing(name).path))

    def get_table(self, *, name: str) -> FeatureTable:
        delta = self._existing(name).open()
        metadata = delta.metadata()
        keys = metadata.configuration.get(PRIMARY_KEYS_PROPERTY)
        if not keys:
            raise ContractError(f"{name} is not a feature table: it has no primary key")
        timestamp_key = metadata.configuration.get(TIMESTAMP_KEY_PROPERTY)
        return FeatureTable(
            name=name,
            table_id=str(metadata.id),
            description=metadata.description or "",
            primary_keys=tuple(keys.split(",")),
            timestamp_keys=(timestamp_key,) if timestamp_key else (),
            partition_columns=tuple(metadata.partition_columns),
            features=tuple(column.name for column in delta.schema().fields),
            tags={
                key.removeprefix(TAG_PROPERTY): value or ""
                for key, value in metadata.configuration.items()
                if key.startswith(TAG_PROPERTY)
            },
        )

    # ---------------------------------------------------------------------------------------------------- training

    def create_training_set(
        self,
        *,
        df: DataFrame,
        feature_lookups: Sequence[Any],
        label: str | Sequence[str] | None,
        exclude_columns: Sequence[str] | None = None,
    ) -> EmbeddedTrainingSet:
        labels, excluded = as_list(label), set(exclude_columns or ())
        _refuse_repeated("column of the frame", df.columns)
        _refuse_repeated("label", labels)
        for name in labels:
            if name not in df.columns:
                raise ContractError(f"label {name} is not a column of the frame")
            if name in excluded:
                raise ContractError(f"label {name} cannot be excluded")
        refuse_unsupported(feature_lookups)
        features = [feature for lookup in feature_lookups for feature in self._exploded(lookup)]
        names = [feature.output_name for feature in features]
        _refuse_repeated("feature", names)
        for name in names:
            if name in df.columns:
                raise ContractError(f"feature {name} has the name of a column of the frame; rename or drop one of them")
        lookback_s = _lookback_s(feature_lookups)
        self._refuse_wrong_keys(df, features)
        refuse_null_timestamps(df, _timestamp_keys(features))
        features = [feature for feature in features if feature.output_name not in excluded]
        lookup_keys = {key for feature in features for key in feature.lookup_key}
        types = dict(df.dtypes)
        sources = [
            SourceColumn(name, types[name], include=name not in excluded)
            for name in df.columns
            if name not in labels and (name not in excluded or name in lookup_keys)
        ]
        if not sources and not features:
            raise ContractError("a training set needs at least one column or feature that is not excluded")
        used = sorted({feature.table_name for feature in features})
        spec = FeatureSpec(
            tuple(sources),
            tuple(features),
            {name: self.get_table(name=name).table_id for name in used},
            {name: lookback_s[name] for name in used if name in lookback_s},
        )
        return EmbeddedTrainingSet(self, df, spec, tuple(labels))

    def with_features(self, df: DataFrame, spec: FeatureSpec) -> DataFrame:
        """The frame with the spec's features, less those that it brings itself. One join for each table and keys."""
        groups: dict[tuple[str, tuple[str, ...], str | None], list[FeatureColumn]] = defaultdict(list)
        for feature in spec.features:
            if feature.output_name not in df.columns:
                groups[feature.table_name, feature.lookup_key, feature.timestamp_lookup_key].append(feature)
        joined = df
        for (name, lookup_key, at), features in groups.items():
            table = self.get_table(name=name)
            keys = dict(zip(lookup_key, table.entity_keys, strict=True))
            outputs = {feature.output_name: feature.feature_name for feature in features}
            rows = self.read_table(name=name)
            if at is None:
                joined = joined.join(features_of(rows, keys=keys, outputs=outputs), on=list(keys), how="left")
                continue
            # asked of the frame as it came: asking the joined one would repeat every earlier join in the plan
            found = self._known_at(df, rows, table, keys, at, outputs, spec.lookback_s.get(name))
            joined = joined.join(found, on=[*keys, at], how="left")
        return joined

    def _known_at(
        self,
        df: DataFrame,
        rows: DataFrame,
        table: FeatureTable,
        keys: Mapping[str, str],
        at: str,
        outputs: Mapping[str, str],
        lookback_s: float | None,
    ) -> DataFrame:
        """`features_as_of`, reading of the product's tables what the moments ask for.

        Their rows lie at exactly the evening that is asked for, nearly all: these are looked up first, in the months of
        the moments alone. Only where one is left is what lies before read, too: the keys of all of it, but for a
        lookback window, since a row of years ago may be the newest.
        """
        from pyspark.sql import functions as F

        how: dict[str, Any] = {"keys": keys, "at": at, "timestamp_key": table.timestamp_keys[0], "outputs": outputs}
        if not _month_is_told(table):
            return features_as_of(df, rows, **how, lookback_s=lookback_s)
        first, last = F.min(at), F.max(at)
        earliest = F.timestamp_micros(F.unix_micros(first) - F.lit(round((lookback_s or 0) * 1_000_000)))
        months = df.agg(*(F.date_format(moment, "yyyy-MM") for moment in (first, last, earliest))).first()
        assert months is not None
        if months[0] is None:  # no moment at all
            return features_at(df, rows.limit(0), **how)
        so_far = rows.where(F.col("month") <= months[1])
        found = features_at(df, so_far.where(F.col("month") >= months[0]), **how)
        moments = df.select(*keys, at).dropna().distinct()
        most = MOST_HELD_VALUES // (len(keys) + 1 + len(outputs))
        asked = moments.limit(most + 1).toArrow()
        if asked.num_rows <= most:
            held = found.toArrow()
            few = asked.join(held.select([*keys, at]), keys=[*keys, at], join_type="left anti")
            if few.num_rows:
                missing = self.store.spark.createDataFrame(few)
            if held.num_rows:
                found = self.store.spark.createDataFrame(held)
        else:
            missing = moments.join(found.select(*keys, at), on=[*keys, at], how="left_anti")
            few = missing.limit(MOST_MISSING + 1).toArrow()
        if not few.num_rows:
            return found
        before = so_far if lookback_s is None else so_far.where(F.col("month") >= months[2])
        if few.num_rows > MOST_MISSING:
            return found.unionByName(features_as_of(missing, before, **how, lookback_s=lookback_s))
        for earlier in self._known_before(few, before, how, lookback_s):
            found = found.unionByName(earlier)
        return found

    def _known_before(
        self, missing: pa.Table, rows: DataFrame, how: dict[str, Any], lookback_s: float | None
    ) -> Iterator[DataFrame]:
        """`features_as_of` for moments at which no row lies, in parts.

        In a dense calendar they lie before its first row, of which nothing is known, or after its last, which is then
        the newest: it is looked up in its own month. Only for a moment in a gap are the rows put in order.
        """
        from pyspark.sql import functions as F

        keys, at, day = how["keys"], how["at"], how["timestamp_key"]
        asked = self.store.spark.createDataFrame(missing)
        known = rows.select(*(F.col(column).alias(key) for key, column in keys.items()), F.col(day).alias(LAST))
        theirs = known.join(asked.select(*keys).distinct(), on=list(keys), how="left_semi")
        spans = theirs.groupBy(*keys).agg(F.min(LAST).alias(FIRST), F.max(LAST).alias(LAST))
        spanned = asked.join(spans, on=list(keys), how="inner").where(F.col(FIRST) <= F.col(at)).toArrow()
        is_after = pc.greater_equal(spanned[at], spanned[LAST])
        after, inside = spanned.filter(is_after), spanned.filter(pc.invert(is_after))
        if lookback_s is not None:
            age_us = pc.subtract(after[at].cast(pa.int64()), after[LAST].cast(pa.int64()))
            after = after.filter(pc.less_equal(age_us, round(lookback_s * 1_000_000)))
        if after.num_rows:
            first, last = (f"{newest:%Y-%m}" for newest in pc.min_max(after[LAST]).as_py().values())
            lasting = self.store.spark.createDataFrame(after.select([*keys, at, LAST]))
            newest = features_at(lasting, rows.where(F.col("month").between(first, last)), **{**how, "at": LAST})
            yield lasting.join(newest, on=[*keys, LAST], how="inner").drop(LAST)
        if inside.num_rows:
            gaps = self.store.spark.createDataFrame(inside.select([*keys, at]))
            yield features_as_of(gaps, rows, **how, lookback_s=lookback_s)

    # ------------------------------------------------------------------------------------------------------ models

    def log_model(
        self,
        *,
        model: Any,
        artifact_path: str,
        flavor: ModuleType,
        training_set: Any,
        registered_model_name: str | None = None,
        **kwargs: Any,
    ) -> None:
        import mlflow
        import yaml
        from mlflow.models import Model, ModelSignature

        if mlflow.active_run() is None:
            raise ContractError("log_model needs an active MLflow run; call it inside mlflow.start_run()")
        await_registration_for = kwargs.pop("await_registration_for", 300)
        spec: FeatureSpec = training_set.feature_spec
        signature = _signature(spec, training_set.label_types, kwargs.pop("output_schema", None))
        with tempfile.TemporaryDirectory() as scratch:
            data = Path(scratch) / "feature_store"
            raw = Model(signature=ModelSignature(outputs=signature.outputs) if signature.outputs else None)
            if flavor.FLAVOR_NAME == mlflow.pyfunc.FLAVOR_NAME:
                flavor.save_model(str(data / RAW_MODEL), mlflow_model=raw, python_model=model, **kwargs)
            else:
                flavor.save_model(model, str(data / RAW_MODEL), mlflow_model=raw, **kwargs)
            if mlflow.pyfunc.FLAVOR_NAME not in raw.flavors:
                raise ContractError(f"flavor {flavor.__name__} cannot be scored: it has no python_function form")
            spec.save(data)
            environment = raw.flavors[mlflow.pyfunc.FLAVOR_NAME][mlflow.pyfunc.ENV]
            conda = environment[mlflow.pyfunc.EnvType.CONDA] if isinstance(environment, dict) else environment
            logged = mlflow.pyfunc.log_model(
                name=artifact_path,
                loader_module=LOADER,
                data_path=str(data),
                conda_env=yaml.safe_load((data / RAW_MODEL / conda).read_text()),
                signature=signature,
            )
        if registered_model_name is not None:
            if self.model_registry_uri:
                mlflow.set_registry_uri(self.model_registry_uri)
            mlflow.register_model(
                logged.model_uri, registered_model_name, await_registration_for=await_registration_for
            )

    def score_batch(self, *, model_uri: str, df: DataFrame, result_type: str = "double") -> DataFrame:
        import mlflow
        from pyspark.sql import functions as F

        if PREDICTION in df.columns:
            raise ContractError(f"the frame already has a column {PREDICTION}")
        _refuse_repeated("column of the frame", df.columns)
        if self.model_registry_uri:
            mlflow.set_registry_uri(self.model_registry_uri)
        folder = model_folder(model_uri)
        spec = FeatureSpec.load(folder)
        for source in spec.sources:
            if source.name not in df.columns:
                raise ContractError(f"{model_uri} needs the column {source.name}, which the frame lacks")
        missing = [feature for feature in spec.features if feature.output_name not in df.columns]
        self._refuse_changed(missing, model_uri)
        self._refuse_wrong_keys(df, missing)
        refuse_null_timestamps(df, _timestamp_keys(missing))
        predicted = self.with_features(df, spec).withColumn(
            PREDICTION, _predict(folder / RAW_MODEL, result_type)(F.struct(*spec.input_names))
        )
        return predicted.select(*df.columns, *(n for n in spec.input_names if n not in df.columns), PREDICTION)

    # ----------------------------------------------------------------------------------------------------- refusals

    def _exploded(self, lookup: Any) -> Iterator[FeatureColumn]:
        """The features of one FeatureLookup; all that are not keys where it names none, partition columns first."""
        table = self.get_table(name=lookup.table_name)
        types = dict(self.read_table(name=lookup.table_name).dtypes)
        names = lookup.feature_names or [
            *(name for name in table.partition_columns if name not in table.primary_keys),
            *sorted(set(table.features) - set(table.primary_keys) - set(table.partition_columns)),
        ]
        # the real class keeps its renames to itself
        renamed = getattr(lookup, "_rename_outputs", {})
        for name in names:
            if name not in types:
                raise ContractError(f"{table.name}: no feature {name}")
            yield FeatureColumn(
                renamed.get(name, name),
                table.name,
                name,
                tuple(as_list(lookup.lookup_key)),
                lookup.timestamp_lookup_key,
                types[name],
            )

    def _refuse_wrong_keys(self, df: DataFrame, features: Sequence[FeatureColumn]) -> None:
        types = dict(df.dtypes)
        for name, lookup_key, at in {(f.table_name, f.lookup_key, f.timestamp_lookup_key) for f in features}:
            table = self.get_table(name=name)
            table_types = dict(self.read_table(name=name).dtypes)
            if len(lookup_key) != len(table.entity_keys):
                raise ContractError(
                    f"{name}: its keys are {list(table.entity_keys)}, the lookup's are {list(lookup_key)}"
                )
            if at is None and table.timestamp_keys:
                raise ContractError(
                    f"{name} is a time-series table: the lookup needs a timestamp_lookup_key for "
                    f"{table.timestamp_keys[0]}"
                )
            if at is not None and not table.timestamp_keys:
                raise ContractError(
                    f"{name} is not a time-series table: the lookup must not have a timestamp_lookup_key"
                )
            for key, table_key in zip((*lookup_key, *([at] if at else [])), table.primary_keys, strict=True):
                if key not in types:
                    raise ContractError(f"{name}: lookup key {key} is not a column of the frame")
                if types[key] != table_types[table_key]:
                    raise ContractError(
                        f"{name}: key {table_key} is {table_types[table_key]}, lookup key {key} is {types[key]}"
                    )

    def _refuse_changed(self, features: Sequence[FeatureColumn], model_uri: str) -> None:
        for name in sorted({feature.table_name for feature in features}):
            types = dict(self.read_table(name=name).dtypes)
            for feature in features:
                if feature.table_name == name and feature.feature_name not in types:
                    raise ContractError(f"{model_uri} needs the feature {feature.feature_name}, which {name} lacks")

    def _folder(self, name: str) -> DeltaFolder:
        parts = name.split(".")
        if len(parts) != 3 or not all(part and part.strip("./ ") == part and "/" not in part for part in parts):
            raise ContractError(f"feature table {name!r} must be named catalog.schema.table")
        return DeltaFolder(self.store.settings.home.resolve().joinpath(*parts), name)

    def _existing(self, name: str) -> DeltaFolder:
        folder = self._folder(name)
        if not folder.exists():
            raise ContractError(f"feature table {name} does not exist")
        folder.refuse_damage()
        return folder

    def _arrow_schema(self, schema: StructType, keys: Sequence[str]) -> pa.Schema:
        found = self.store.spark.createDataFrame([], schema).toArrow().schema
        comments = {column.name: column.metadata.get("comment") for column in schema.fields}
        return pa.schema(
            [
                pa.field(
                    column.name,
                    plain_type(column.type),
                    column.nullable and column.name not in keys,
                    metadata={"comment": comments[column.name]} if comments[column.name] else None,
                )
                for column in found
            ]
        )


class EmbeddedTrainingSet:
    """A frame, the features to look up for it, and its labels."""

    def __init__(
        self, features: EmbeddedFeatureStore, df: DataFrame, feature_spec: FeatureSpec, labels: tuple[str, ...]
    ) -> None:
        self._features = features
        self._df = df
        self.feature_spec = feature_spec
        self.labels = labels

    @cached_property
    def label_types(self) -> dict[str, str]:
        """Spark type by label."""
        types = dict(self._df.dtypes)
        return {name: types[name] for name in self.labels}

    def load_df(self) -> DataFrame:
        joined = self._features.with_features(self._df, self.feature_spec)
        return joined.select(*self.feature_spec.input_names, *self.labels)


def _predict(folder: Path, result_type: str) -> Any:
    """A UDF that gives the model's output for a struct of its inputs, converted as mlflow's `spark_udf` does.

    Not `spark_udf` itself: through Spark Connect it copies the model to a folder named after its URI and the process,
    where threads of one process (Sail's partitions) overwrite each other's copy, and a moved alias finds the old one.
    """
    import pandas as pd
    from pyspark.sql.functions import pandas_udf

    path, kind = str(folder), result_type.strip().lower()
    fields = _struct_fields(result_type)

    def load() -> Any:
        import mlflow

        return mlflow.pyfunc.load_model(path)

    def one_column(output: Any) -> pd.Series:
        import numpy as np

        table = pd.DataFrame(output)
        if kind.startswith("array<"):
            return pd.Series(table.to_numpy().tolist())
        if kind == "string":
            return table.iloc[:, 0].map(str)
        numbers: dict[str, tuple[Any, Any]] = {
            "int": ([np.byte, np.ubyte, np.short, np.ushort, np.int32], np.int32),
            "integer": ([np.byte, np.ubyte, np.short, np.ushort, np.int32], np.int32),
            "long": ([np.byte, np.ubyte, np.short, np.ushort, int], np.int64),
            "bigint": ([np.byte, np.ubyte, np.short, np.ushort, int], np.int64),
            "float": ([np.number], np.float32),
            "double": ([np.number], np.float64),
            "boolean": ([bool, np.bool_], np.bool_),
        }
        accepted, wanted = numbers[kind]
        fitting = table.select_dtypes(accepted)
        if not len(fitting.columns):
            raise TypeError(f"the model gives {list(table.dtypes)}, none of which is {kind}")
        return fitting.iloc[:, 0].astype(wanted)

    if fields:

        def predict_struct(batches: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
            model = load()
            for batch in batches:
                output = pd.DataFrame(model.predict(batch))
                yield output[fields] if set(fields) <= set(output.columns) else output.set_axis(fields, axis=1)

        predict_struct.__annotations__ = {"batches": Iterator[pd.DataFrame], "return": Iterator[pd.DataFrame]}
        return pandas_udf(predict_struct, returnType=result_type)  # type: ignore[call-overload]

    def predict(batches: Iterator[pd.DataFrame]) -> Iterator[pd.Series]:
        model = load()
        for batch in batches:
            yield one_column(model.predict(batch))

    predict.__annotations__ = {"batches": Iterator[pd.DataFrame], "return": Iterator[pd.Series]}
    return pandas_udf(predict, returnType=result_type)  # type: ignore[call-overload]


def _struct_fields(result_type: str) -> list[str]:
    """Field names of a struct such as `p10 double, p50 double` or `struct<p10:double,p50:double>`; else empty."""
    text = result_type.strip()
    if text.lower().startswith("struct<"):
        return [part.split(":")[0].strip() for part in text[len("struct<") : -1].split(",")]
    if " " in text and not text.lower().startswith("array<"):
        return [part.split()[0].strip("`") for part in text.split(",")]
    return []


def _signature(spec: FeatureSpec, label_types: Mapping[str, str], output_schema: Any) -> ModelSignature:
    """What the model takes and gives: the frame's columns required, the features optional, the labels as output."""
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema
    from mlflow.types.schema import TensorSpec

    types = {
        "smallint": DataType.integer,
        "int": DataType.integer,
        "bigint": DataType.long,
        "float": DataType.float,
        "double": DataType.double,
        "boolean": DataType.boolean,
        "date": DataType.datetime,
        "timestamp": DataType.datetime,
        "string": DataType.string,
        "binary": DataType.binary,
    }
    inputs: list[ColSpec | TensorSpec] = [
        ColSpec(types[source.data_type], source.name, required=True)
        for source in spec.sources
        if source.data_type in types
    ]
    inputs += [
        ColSpec(types[feature.data_type], feature.output_name, required=False)
        for feature in spec.features
        if feature.data_type in types
    ]
    outputs: list[ColSpec | TensorSpec] = [
        ColSpec(types[type], name, required=True) for name, type in label_types.items() if type in types
    ]
    return ModelSignature(
        inputs=Schema(inputs),
        outputs=output_schema or (Schema(outputs) if outputs else None),
        params=ParamSchema([ParamSpec("result_type", DataType.string, NO_RESULT_TYPE)]),
    )


def _schema(folder: DeltaFolder, keys: Sequence[str]) -> pa.Schema:
    """The stored table's columns as Arrow holds them, keys NOT NULL."""
    return pa.schema(
        [
            pa.field(column.name, plain_type(column.type), column.nullable and column.name not in keys)
            for column in pa.schema(folder.open().schema())
        ]
    )


def _merged(before: pa.Table, rows: pa.Table, keys: Sequence[str]) -> pa.Table:
    """The stored rows with the given ones in the place of those with the same keys.

    Not delta-rs's own merge: its files hold string views, which Sail cannot read in a NOT NULL column.
    """
    on = list(keys)
    numbered = before.select(on).append_column("__row", pa.array(range(before.num_rows), pa.int64()))
    kept = numbered.join(rows.select(on), on, join_type="left anti")["__row"].sort()
    return pa.concat_tables([before.take(kept).cast(rows.schema), rows])


def _month_is_told(table: FeatureTable) -> bool:
    """Whether a row's partition is the month of its timestamp: in the product's tables, of which every write holds it
    to that."""
    schema_and_name = tuple(table.name.split(".")[1:])
    return any(
        one.path == schema_and_name and one.timestamp_key == one.day_column and table.partition_columns == ("month",)
        for one in tables.ALL
    )


def _lookback_s(lookups: Sequence[Any]) -> dict[str, float]:
    """Seconds by table; one window a table, as the spec records it."""
    windows: dict[str, set[timedelta | None]] = defaultdict(set)
    for lookup in lookups:
        windows[lookup.table_name].add(lookup.lookback_window)
    for name, found in windows.items():
        if len(found) > 1:
            raise ContractError(f"{name}: its lookups must have one and the same lookback_window, found {len(found)}")
    return {name: window.total_seconds() for name, found in windows.items() for window in found if window is not None}


def _timestamp_keys(features: Sequence[FeatureColumn]) -> list[str]:
    return sorted({feature.timestamp_lookup_key for feature in features if feature.timestamp_lookup_key})


def _refuse_repeated(what: str, names: Sequence[str]) -> None:
    for name in names:
        if list(names).count(name) > 1:
            raise ContractError(f"{what} {name} is named twice")
