"""What a model is to the rest of the product: one object from which asset, gate, registry and gold columns follow."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict
from pydantic.fields import FieldInfo

from athlete_assets import tables
from athlete_assets.errors import ContractError
from athlete_assets.models.promotion import Decision
from athlete_assets.models.registry import LOOKUP_KEYS, Serving
from athlete_assets.settings import Settings
from athlete_assets.tables import Table

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from athlete_assets.store.base import Store

FeatureColumns = Mapping[Table, Sequence[str]]
"""Features by the table that they are looked up in."""
Predict = Callable[[Any, "pd.DataFrame"], "pd.DataFrame"]
"""(what was fitted or measured, a frame with the features): a frame with the outputs, of the same index."""
SPARK_TYPES = {tables.STRINGS: tables.STRING}
"""A model's output is a plain value: a list of sentences is one string, a line each."""


def setting(name: str) -> Any:
    """An option whose default, limits and description are those of the setting; KeyError for an unknown one."""
    option: FieldInfo = copy(Settings.model_fields[name])
    option.json_schema_extra = {"setting": name}
    return option


class Options(BaseModel):
    """What a training can be started with in the launchpad: thresholds and hyperparameters, all with a default."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    holdout_share: float = setting("training_holdout_share")
    embargo_days: int = setting("training_embargo_days")

    @classmethod
    def of(cls, settings: Settings) -> Any:
        """The deployment's defaults: an option that is a setting has the setting's value."""
        return cls(
            **{
                name: getattr(settings, str(option.json_schema_extra["setting"]))
                for name, option in cls.model_fields.items()
                if isinstance(option.json_schema_extra, dict) and "setting" in option.json_schema_extra
            }
        )


@dataclass(frozen=True)
class Candidate:
    """A fitted model before its gate."""

    fitted: Any
    train: pd.DataFrame
    """The rows that it was fitted on."""
    holdout: pd.DataFrame
    """The newest rows: neither it nor an earlier champion has seen them."""
    usable: pd.DataFrame
    """All rows that can be learned from, those of the embargo included."""
    champion: Serving | None
    """The model that serves now, if one does that is no formula."""
    population: Any | None = None
    """The model fitted elsewhere that may serve this home, if there is one."""


@dataclass(frozen=True)
class Judgement:
    """What the holdout says of a candidate."""

    decision: Decision
    figures: dict[str, Any]
    """All figures, JSON-able."""
    text: str
    """The figures as a table for people."""
    metrics: Mapping[str, float]
    """The figures by the name that the MLflow run holds them under."""
    plots: Mapping[str, Figure]
    """Each is drawn once, by `pictures`."""
    rows: int
    """Rows of the holdout that the candidate was judged on."""

    @cached_property
    def pictures(self) -> dict[str, bytes]:
        """The plots as PNG."""
        return {name: _png(figure) for name, figure in self.plots.items()}


def _png(figure: Figure) -> bytes:
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png")
    return drawn.getvalue()


@dataclass(frozen=True)
class Formula:
    """What serves until a learned model is better: a model without training, measured on what is stored."""

    features: FeatureColumns
    measured: Callable[[Store], Any]
    params: Callable[[Any], Mapping[str, float]]
    metrics: Callable[[Any], Mapping[str, float]]
    predict: Predict
    tables: tuple[Table, ...]
    """What it was measured on."""


@dataclass(frozen=True)
class Elsewhere:
    """A model fitted on other people's data that serves a home with too few labels, and that its own model leans on."""

    of_home: Callable[[Store], Any | None]
    """It; None where it must not serve the home's data."""
    usable: Callable[[pd.DataFrame], pd.DataFrame]
    """The labelled rows that it can be judged on; none may be enough."""
    adapted: Callable[[Any, pd.DataFrame], Any]
    """(it, the rows to fit on): the candidate, moved towards what the home's labels say."""
    leaned_on: Callable[[pd.DataFrame, Any, Any], Any]
    """(rows, options, it): the home's own model, as `fit`, but leaning on it where labels are few."""
    fitted_on: Callable[[Any], str]
    """The kind of data that it may serve."""


@dataclass(frozen=True)
class ModelSpec:
    """One registered model. To add one: a file in models/specs that defines SPEC, and its test."""

    name: str
    """Of the asset (models/<name>), of the registered model, and for the command line; the name of its file, too."""
    description: str
    labels: Table
    """Its rows are learned from: athlete_id, `evening`, `day` and `label`."""
    label: str
    evening: str
    """The labels' column with the evening at whose end the features are looked up."""
    day: str
    """The labels' day: the newest are held out."""
    features: FeatureColumns
    """What the model is given, in training and when it serves."""
    outputs: Mapping[str, str]
    """What it gives, by name, in Spark's types: columns of gold.athlete_predictions, unless `in_gold` is false."""
    fit: Callable[[pd.DataFrame, Any], Any]
    judge: Callable[[Candidate, Any], Judgement]
    predict: Predict
    usable: Callable[[pd.DataFrame, Any], pd.DataFrame] = lambda rows, options: rows
    """The labelled rows that can be learned from; raises TooLittleToLearnFrom that says what is missing."""
    reasons: Callable[[Any, pd.DataFrame], pd.Series] | None = None
    """As `predict`, why it says so: sentences, a line each. They cost several times what the outputs cost."""
    options: type[Options] = Options
    reference: FeatureColumns = field(default_factory=dict)
    """Looked up in training only: what the rivals of the model are computed from."""
    formula: Formula | None = None
    elsewhere: Elsewhere | None = None
    in_gold: bool = True
    unserved: Mapping[str, str] = field(default_factory=dict)
    """Outputs that say why the others are null while no version serves."""
    cadence: Literal["weekly", "by_hand"] = "weekly"

    def __post_init__(self) -> None:
        for table, names in (*self.features.items(), *self.reference.items()):
            self._refuse_unknown(table, names, "a feature of")
        if self.evening not in LOOKUP_KEYS:
            raise ContractError(f"model {self.name}: evening {self.evening} is none of {', '.join(LOOKUP_KEYS[1:])}")
        self._refuse_unknown(self.labels, ("athlete_id", self.label, self.evening, self.day), "asked of")
        if not self.in_gold:
            return
        self._refuse_unknown(tables.PREDICTIONS, self.outputs, "an output, and no column of")
        for name, kind in self.outputs.items():
            stored = tables.PREDICTIONS.column(name).type
            if SPARK_TYPES.get(stored, stored) != kind:
                raise ContractError(
                    f"model {self.name}: output {name} is {kind}, gold.athlete_predictions has {stored}"
                )
        if not set(self.unserved) <= set(self.outputs):
            raise ContractError(f"model {self.name}: unserved names {sorted(set(self.unserved) - set(self.outputs))}")

    def _refuse_unknown(self, table: Table, names: Sequence[str] | Mapping[str, str], role: str) -> None:
        unknown = [name for name in names if name not in table.column_names]
        if unknown:
            raise ContractError(f"model {self.name}: {unknown[0]} is {role} {'.'.join(table.path)}, which lacks it")

    @property
    def inputs(self) -> tuple[str, ...]:
        """The names of the model's input columns."""
        return tuple(name for names in self.features.values() for name in names)

    @property
    def looked_up(self) -> dict[Table, list[str]]:
        """All that a training looks up: features, then references, by table."""
        found = {table: list(names) for table, names in self.features.items()}
        for table, names in self.reference.items():
            found[table] = [*found.get(table, []), *names]
        return found
