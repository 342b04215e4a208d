"""The HTTP endpoints, answered from the Delta tables themselves: schema, keys and tags lie in their metadata.

A route is (method, pattern of the whole path, handler); a handler takes the path's groups and a Call and returns what
becomes the JSON body. Any HTTP server can mount them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from deltalake import DeltaTable

from athlete_assets.store.embedded import TAG_PROPERTY
from athlete_assets.store.local import PRIMARY_KEYS_PROPERTY, TIMESTAMP_KEY_PROPERTY


@dataclass(frozen=True)
class Call:
    """What a request says beside its path."""

    query: dict[str, str] = field(default_factory=dict)
    body: dict[str, Any] = field(default_factory=dict)


class Refused(Exception):
    """An answer other than 200, in the shape that the real API gives it."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message

    @property
    def body(self) -> dict[str, str]:
        return {"error_code": self.code, "message": self.message}


Handler = Callable[..., dict[str, Any]]
Route = tuple[str, re.Pattern[str], Handler]

SPARK_NAMES = {
    "integer": ("INT", "int"),
    "long": ("LONG", "bigint"),
    "short": ("SHORT", "smallint"),
    "timestamp": ("TIMESTAMP", "timestamp"),
}
"""Unity Catalog's type_name and type_text where they are not the Delta type's own name."""


class FeatureStoreEndpoints:
    """The endpoints over tables that `locate` finds by their three-level name; None for a table that is not there.

    `denied` holds names of tables that the caller may not see.
    """

    def __init__(self, locate: Callable[[str], Path | None], workspace_id: int = 1) -> None:
        self.locate = locate
        self.workspace_id = workspace_id
        self.denied: set[str] = set()
        self.calls: list[tuple[str, str]] = []

    def routes(self) -> Iterator[Route]:
        store, catalog = "/api/2.0/feature-store", "/api/2.[01]/unity-catalog"
        for method, pattern, handler in (
            ("GET", rf"{catalog}/tables/([^/]+)", self.get_table),
            ("GET", rf"{catalog}/securable-tags/TABLE/([^/]+)", self.get_tags),
            ("GET", rf"{store}/features/get", self.get_features),
            ("GET", rf"{store}/feature-tables/get", self.get_feature_table),
            ("POST", rf"{store}/feature-tables/get-online-stores", self.get_online_stores),
            ("POST", rf"{store}/feature-spec/generate-yaml", self.generate_yaml),
            ("POST", rf"{store}/(?:features/add-consumer|feature-tables/add-producer)", self.noted),
        ):
            yield method, re.compile(pattern), handler

    # ------------------------------------------------------------------------------------------- Unity Catalog

    def get_table(self, call: Call, quoted: str) -> dict[str, Any]:
        name = unquote(quoted)
        delta = self._table(name)
        metadata = delta.metadata()
        catalog, schema, table = name.split(".")
        columns = []
        for position, column in enumerate(json.loads(delta.schema().to_json())["fields"]):
            plain = column["type"] if isinstance(column["type"], str) else column["type"]["type"]
            type_name, type_text = SPARK_NAMES.get(plain, (plain.upper(), plain))
            described = {
                "name": column["name"],
                "type_name": type_name,
                "type_text": type_text,
                "type_json": json.dumps(column["type"]),
                "nullable": column["nullable"],
                "position": position,
                "comment": column["metadata"].get("comment", ""),
            }
            if column["name"] in metadata.partition_columns:
                described["partition_index"] = metadata.partition_columns.index(column["name"])
            columns.append(described)
        keys, timestamp_keys = self._keys(delta)
        constraint = {
            "name": f"{table}_pk",
            "child_columns": keys,
            **({"timeseries_columns": timestamp_keys} if timestamp_keys else {}),
        }
        return {
            "full_name": name,
            "name": table,
            "catalog_name": catalog,
            "schema_name": schema,
            "table_id": str(metadata.id),
            "table_type": "MANAGED",
            "securable_kind": "TABLE_DELTA",
            "data_source_format": "DELTA",
            "comment": metadata.description or "",
            "created_at": metadata.created_time,
            "columns": columns,
            "table_constraints": [{"primary_key_constraint": constraint}] if keys else [],
            "properties": dict(metadata.configuration),
        }

    def get_tags(self, call: Call, quoted: str) -> dict[str, Any]:
        configuration = self._table(unquote(quoted)).metadata().configuration
        pairs = [
            {"key": key.removeprefix(TAG_PROPERTY), "value": value}
            for key, value in configuration.items()
            if key.startswith(TAG_PROPERTY)
        ]
        return {"tag_assignments": [{"tag_key_value_pairs": pairs}]} if pairs else {}

    # ------------------------------------------------------------------------------------------- feature store

    def get_features(self, call: Call) -> dict[str, Any]:
        name = call.query["feature_table"]
        delta = self._table(name)
        keys, timestamp_keys = self._keys(delta)
        columns = {column["name"]: column for column in json.loads(delta.schema().to_json())["fields"]}
        partitions = [column for column in delta.metadata().partition_columns if column not in keys]
        rest = sorted(set(columns) - set(keys) - set(timestamp_keys) - set(partitions))
        return {
            "features": [
                {"table": name, "id": f"{name}.{column}", "name": column, **_data_type(columns[column]["type"])}
                for column in [*keys, *(key for key in timestamp_keys if key not in keys), *partitions, *rest]
            ]
        }

    def get_feature_table(self, call: Call) -> dict[str, Any]:
        name = call.query["name"]
        delta = self._table(name)
        keys, timestamp_keys = self._keys(delta)
        return {
            "feature_table": {
                "name": name,
                "id": str(delta.metadata().id),
                "description": delta.metadata().description or "",
                "primary_keys": [key for key in keys if key not in timestamp_keys],
                "timestamp_keys": timestamp_keys,
                "partition_keys": delta.metadata().partition_columns,
            }
        }

    def get_online_stores(self, call: Call) -> dict[str, Any]:
        names = call.body.get("feature_tables", [])
        return {"feature_table_online_stores": [{"feature_table": name, "online_stores": []} for name in names]}

    def generate_yaml(self, call: Call) -> dict[str, Any]:
        """The feature spec of lookups: made by the package's own code, which the service took over from the client."""
        import yaml
        from databricks.feature_engineering import FeatureLookup
        from databricks.ml_features.utils import training_scoring_utils

        lookups = [
            FeatureLookup(
                table_name=lookup["table_name"],
                lookup_key=lookup["lookup_keys"],
                feature_names=lookup.get("feature_names"),
                rename_outputs={
                    rename["feature_name"]: rename["output_name"] for rename in lookup.get("rename_outputs", [])
                },
                timestamp_lookup_key=lookup.get("timestamp_lookup_keys"),
                lookback_window=timedelta(seconds=lookup["lookback_window_seconds"])
                if "lookback_window_seconds" in lookup
                else None,
            )
            for lookup in (feature["feature_lookup"] for feature in call.body.get("features", []))
        ]
        metadata = training_scoring_utils._FeatureTableMetadata(
            {lookup.table_name: self._feature_entities(lookup.table_name) for lookup in lookups},
            {lookup.table_name: self._feature_table_entity(lookup.table_name) for lookup in lookups},
            {},
        )
        columns = training_scoring_utils.get_column_infos(
            lookups, [], metadata, df_columns=call.body.get("input_columns", [])
        )
        spec = training_scoring_utils.build_feature_spec(
            lookups, metadata, columns, call.body.get("exclude_columns", []), self.workspace_id
        )
        return {"feature_spec_yaml": yaml.safe_dump(spec._to_dict(), sort_keys=False)}

    def noted(self, call: Call) -> dict[str, Any]:
        return {}

    # -------------------------------------------------------------------------------------------------- tables

    def _table(self, name: str) -> DeltaTable:
        if name in self.denied:
            raise Refused(403, "PERMISSION_DENIED", f"User does not have SELECT on Table '{name}'.")
        path = self.locate(name)
        if path is None or not DeltaTable.is_deltatable(str(path)):
            raise Refused(404, "RESOURCE_DOES_NOT_EXIST", f"Table '{name}' does not exist.")
        return DeltaTable(str(path))

    def _keys(self, delta: DeltaTable) -> tuple[list[str], list[str]]:
        configuration = delta.metadata().configuration
        keys = configuration.get(PRIMARY_KEYS_PROPERTY) or ""
        timestamp_key = configuration.get(TIMESTAMP_KEY_PROPERTY)
        return [key for key in keys.split(",") if key], [timestamp_key] if timestamp_key else []

    def _feature_entities(self, name: str) -> list[Any]:
        from databricks.ml_features.api.proto.feature_catalog_pb2 import GetFeatures
        from google.protobuf.json_format import ParseDict

        try:
            from databricks.ml_features.entities.materialized_feature import MaterializedFeature as Feature
        except ModuleNotFoundError:  # its name up to 0.13
            from databricks.ml_features.entities.feature import Feature

        answer = ParseDict(self.get_features(Call({"feature_table": name})), GetFeatures.Response())
        return [Feature.from_proto(feature) for feature in answer.features]

    def _feature_table_entity(self, name: str) -> Any:
        from databricks.ml_features.entities.feature_table import FeatureTable

        return FeatureTable.from_uc_get_table_response(self.get_table(Call(), name))


def _data_type(delta_type: Any) -> dict[str, str]:
    """The feature store's name of a Delta type; nested types and decimals with their details."""
    if isinstance(delta_type, dict):
        return {"data_type": delta_type["type"].upper(), "data_type_details": json.dumps(delta_type)}
    if delta_type.startswith("decimal"):
        return {"data_type": "DECIMAL", "data_type_details": json.dumps(delta_type)}
    return {"data_type": delta_type.upper()}
