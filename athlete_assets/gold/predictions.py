"""gold.athlete_predictions: what the serving model says of each athlete at the end of a day, and the log of it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from athlete_assets import tables
from athlete_assets.days import midnight
from athlete_assets.gold.scoring import Scored
from athlete_assets.models.baseline import served as served_by_formula
from athlete_assets.models.population import Correction
from athlete_assets.store.arrow import ARROW_TYPES, fitted

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Beside:
    """What a further model says of the same evenings."""

    unserved: Mapping[str, str | None]
    """By output, what it is where no version serves."""
    said: pd.DataFrame | None
    """Its outputs; None where no version serves."""

    def columns(self, rows: int) -> dict[str, pa.Array]:
        """Its outputs as columns of PREDICTIONS."""
        if self.said is None:
            return {name: pa.repeat(pa.scalar(value, _kind(name)), rows) for name, value in self.unserved.items()}
        return {name: _column(self.said, name) for name in self.unserved}


def predictions(times: Scored, version: str, others: Iterable[Beside], today: date) -> pa.Table:
    """PREDICTIONS rows, one a row of `times`, which this version of the time estimator said.

    today: the home's last day; what is predicted for an earlier one is backfilled.
    Times are null, and served_by with them, for an athlete without an effort to predict from. The outputs of a model
    are null where it abstains, or does not serve, which a reason of its own says.
    """
    states = times.states
    is_served = pa.array(times.outputs["served_by"].notna())
    columns = {
        "athlete_id": states["athlete_id"],
        "prediction_date": states["as_of_date"],
        "model_version": pc.if_else(is_served, version, pa.scalar(None, pa.string())),
        "is_overtraining_risk": states["is_overtraining_risk"],
        "risk_reasons": states["risk_reasons"],
        "untracked_share_42d": states["untracked_share_42d"],
        "features_as_of": states["as_of_date"],
        "is_backfilled": pc.less(states["as_of_date"], pa.scalar(midnight(today), states["as_of_date"].type)),
        "month": states["month"],
    }
    for other in others:
        columns |= other.columns(states.num_rows)
    names = tables.PREDICTIONS.column_names
    columns |= {name: _column(times.outputs, name) for name in names if name not in columns}
    return fitted(pa.table({name: columns[name] for name in names}), tables.PREDICTIONS)


def unserved(rows: pa.Table, stored: pa.Table) -> pa.Array:
    """Of each row of predictions whether it may be written: false where it is backfilled and the stored table holds
    what was served in time for that athlete and day, which stands."""
    in_time = stored.filter(pc.invert(pc.fill_null(stored["is_backfilled"], False)))
    return pc.invert(pc.and_(rows["is_backfilled"], _is_among(rows, in_time))).combine_chunks()


def served_in_time(rows: pa.Table, stored: pa.Table, is_new: pa.Array) -> pa.Table:
    """What was served in time, in the place of the rows that may not be written."""
    kept = stored.filter(_is_among(stored, rows.filter(pc.invert(is_new))))
    return kept.select(rows.column_names).cast(rows.schema)


def _is_among(rows: pa.Table, others: pa.Table) -> pa.ChunkedArray:
    """Whether each row has the athlete and day of one of the others."""
    keys, wanted = (
        pc.binary_join_element_wise(
            one["athlete_id"].cast(pa.string()),
            one["prediction_date"].cast(pa.timestamp("us", "UTC")).cast(pa.int64()).cast(pa.string()),
            _BETWEEN,
        )
        for one in (rows, others)
    )
    return pc.is_in(keys, value_set=wanted.combine_chunks())


def without_strangers(times: Scored, strangers: set[str], formula: Mapping[str, Correction]) -> Scored:
    """The times with the formula's for the athletes whose data is not of the kind that the champion was fitted on."""
    athletes = times.states["athlete_id"].to_pylist()
    at = [number for number, athlete in enumerate(athletes) if athlete in strangers]
    if not at:
        return times
    served = served_by_formula(formula, times.features.iloc[at])
    outputs = times.outputs.copy()
    for name in served.columns:
        values = outputs[name].to_numpy(copy=True)
        values[at] = served[name].to_numpy(values.dtype)
        outputs[name] = values
    return replace(times, outputs=outputs)


def _column(rows: pd.DataFrame, name: str) -> pa.Array:
    """A column of PREDICTIONS, null where the rows have none; the lines of a text become the sentences of a list."""
    kind = _kind(name)
    if name not in rows:
        return pa.nulls(len(rows), kind)
    if pa.types.is_floating(kind) and rows[name].dtype.kind == "f":
        return _known(rows[name].to_numpy(np.float64))
    if not pa.types.is_list(kind):
        return pa.array(rows[name], kind, from_pandas=True)
    lines = pa.array(rows[name], pa.string(), from_pandas=True)
    return pc.split_pattern(pc.if_else(pc.equal(lines, ""), pa.scalar(None, pa.string()), lines), "\n")


def _known(values: NDArray[np.float64]) -> pa.Array:
    """The values as they lie in memory, null where they are not finite. (`pa.array` makes the same in twenty times as
    long.)"""
    validity = np.packbits(np.isfinite(values), bitorder="little")
    buffers = [pa.py_buffer(validity), pa.py_buffer(np.ascontiguousarray(values))]
    return pa.Array.from_buffers(pa.float64(), len(values), buffers)


def _kind(name: str) -> pa.DataType:
    """The type of a column of PREDICTIONS."""
    return ARROW_TYPES[tables.PREDICTIONS.column(name).type]


def log_entries(
    predicted: pa.Table,
    features: pd.DataFrame,
    version: str,
    served_at: datetime,
    today: date,
    dagster_run_id: str,
) -> pa.Table:
    """INFERENCE_LOG rows: for each prediction its inputs and its outputs, a column each. Row n belongs to row n.

    Null is an input that is not finite, and one that the model does not take; one that has no column is in the text
    `features`.
    """
    rows, kinds = predicted.num_rows, features.dtypes
    held = [name for name in tables.LOGGED_INPUTS if name in kinds and kinds[name].kind in "fiu"]
    columns = {
        **{name: predicted[name] for name in ("athlete_id", "prediction_date", "month", *tables.LOGGED_OUTPUTS)},
        "served_at": pa.repeat(pa.scalar(served_at, pa.timestamp("us", "UTC")), rows),
        "dagster_run_id": pa.repeat(dagster_run_id, rows),
        "model_version": pa.repeat(version, rows),
        "features": _json_objects(features.drop(columns=held)),
        "outputs": pa.repeat("{}", rows),
        "served_on": pa.repeat(pa.scalar(midnight(today), pa.timestamp("us", "UTC")), rows),
        **dict.fromkeys(tables.LOGGED_INPUTS, pa.nulls(rows, pa.float64())),
    }
    for name in held:
        columns[name] = _known(features[name].to_numpy(np.float64))
    return fitted(pa.table(columns).select(tables.INFERENCE_LOG.column_names), tables.INFERENCE_LOG)


def _json_objects(rows: pd.DataFrame) -> pa.Array:
    """Each row as a JSON object; what is not finite is null."""
    if not len(rows.columns):
        return pa.repeat("{}", len(rows))
    plain = pa.Table.from_pandas(rows.replace([np.inf, -np.inf], np.nan), preserve_index=False).to_pylist()
    return pa.array([json.dumps(row, default=str) for row in plain], pa.string())


_BETWEEN = "\x1f"
"""Between the texts of a list: the unit separator, which no text has."""
