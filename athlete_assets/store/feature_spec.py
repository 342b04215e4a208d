"""What a model was trained on: the columns of the frame, the features looked up, and where they came from.

Saved as `feature_spec.yaml` inside the model, in the form that databricks-feature-engineering writes (serialization
version 9), so that a model logged by either feature store is scored by the other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from athlete_assets.errors import ContractError

FILE = "feature_spec.yaml"
_LOADER, _DUMPER = getattr(yaml, "CSafeLoader", yaml.SafeLoader), getattr(yaml, "CSafeDumper", yaml.SafeDumper)
"""In C where there is libyaml: Python takes 0.2 s for the features of a model."""
SERIALIZATION_VERSION = 9
CLIENT_VERSION = "0.12.1"
"""The version of databricks-feature-engineering whose form this is."""


@dataclass(frozen=True)
class SourceColumn:
    """A column that the frame itself brings; `include` is False for a lookup key that the model does not see."""

    name: str
    data_type: str
    include: bool = True


@dataclass(frozen=True)
class FeatureColumn:
    """A feature and how it is looked up: keys of the frame, and the frame's timestamp for a time-series table."""

    output_name: str
    table_name: str
    feature_name: str
    lookup_key: tuple[str, ...]
    timestamp_lookup_key: str | None
    data_type: str
    include: bool = True


@dataclass(frozen=True)
class FeatureSpec:
    """Columns in the order in which the model sees them: the frame's, then the features by lookup."""

    sources: tuple[SourceColumn, ...]
    features: tuple[FeatureColumn, ...]
    table_ids: Mapping[str, str]
    lookback_s: Mapping[str, float] = field(default_factory=dict)
    """Seconds by table; a table that is not here looks back without limit."""

    @property
    def input_names(self) -> tuple[str, ...]:
        """The columns that the model is given, in order."""
        return tuple(
            [source.name for source in self.sources if source.include]
            + [feature.output_name for feature in self.features if feature.include]
        )

    def save(self, folder: Path) -> None:
        ordering = {name: number for number, name in enumerate(sorted(source.name for source in self.sources))}
        for name in sorted(feature.output_name for feature in self.features):
            ordering[name] = len(ordering)
        columns: list[dict[str, Any]] = []
        for source in self.sources:
            columns.append(
                {
                    source.name: {
                        "data_type": source.data_type,
                        **({} if source.include else {"include": False}),
                        "topological_ordering": ordering[source.name],
                        "source": "training_data",
                    }
                }
            )
        for feature in self.features:
            columns.append(
                {
                    feature.output_name: {
                        "table_name": feature.table_name,
                        "feature_name": feature.feature_name,
                        "lookup_key": list(feature.lookup_key),
                        **(
                            {"timestamp_lookup_key": [feature.timestamp_lookup_key]}
                            if feature.timestamp_lookup_key
                            else {}
                        ),
                        "data_type": feature.data_type,
                        **({} if feature.include else {"include": False}),
                        "topological_ordering": ordering[feature.output_name],
                        "source": "feature_store",
                    }
                }
            )
        lookback = {
            name: {"lookback_window": self.lookback_s[name]} if name in self.lookback_s else {}
            for name in self.table_ids
        }
        document = {
            "input_columns": columns,
            "feature_store_client_version": CLIENT_VERSION,
            "input_tables": [
                {name: {"table_id": table_id, **lookback[name]}} for name, table_id in sorted(self.table_ids.items())
            ],
            "serialization_version": SERIALIZATION_VERSION,
        }
        (folder / FILE).write_text(yaml.dump(document, Dumper=_DUMPER, sort_keys=False, allow_unicode=True))

    @classmethod
    def load(cls, folder: Path) -> FeatureSpec:
        """Reads the spec of a model's folder; raises ContractError for a model that was logged without one."""
        path = folder / FILE
        if not path.is_file():
            raise ContractError(
                f"{folder}: no {FILE}; only a model logged by a feature store's log_model can be scored"
            )
        document = yaml.load(path.read_text(), _LOADER)
        sources, features = [], []
        for entry in document["input_columns"]:
            ((name, column),) = entry.items()
            include = column.get("include", True)
            data_type = column.get("data_type", "")
            if column["source"] == "training_data":
                sources.append(SourceColumn(name, data_type, include))
            elif column["source"] == "feature_store":
                if column.get("default_value"):
                    raise ContractError(f"{path}: feature {name} has a default value, which is not supported here")
                features.append(
                    FeatureColumn(
                        name,
                        column["table_name"],
                        column["feature_name"],
                        tuple(column["lookup_key"]),
                        next(iter(column.get("timestamp_lookup_key", ())), None),
                        data_type,
                        include,
                    )
                )
            else:
                raise ContractError(f"{path}: column {name} is computed by a function, which is not supported here")
        table_ids, lookback_s = {}, {}
        for entry in document.get("input_tables", []):
            ((name, attributes),) = entry.items()
            table_ids[name] = attributes["table_id"]
            if "lookback_window" in attributes:
                lookback_s[name] = float(attributes["lookback_window"])
        return cls(tuple(sources), tuple(features), table_ids, lookback_s)
