"""gold.athlete_predictions: what the serving model says of each athlete at the end of a day, and the log of it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from athlete_assets import tables
from athlete_assets.days import midnight
from athlete_assets.gold.scoring import Scored
from athlete_assets.models import baseline, population
from athlete_assets.models.model_spec import ModelSpec
from athlete_assets.models.registry import Serving
from athlete_assets.models.specs import MODELS
from athlete_assets.models.specs.time_estimator import SPEC
from athlete_assets.store.arrow import ARROW_TYPES, arrow_schema, fitted

if TYPE_CHECKING:
    import pandas as pd


def predictions(times: Scored, time_estimator: Serving, others: Mapping[str, Scored | None], today: date) -> pa.Table:
    """PREDICTIONS rows, one a row of `times`; `others`: the same evenings by further model, None where none serves.

    today: the home's last day; what is predicted for an earlier one is backfilled.
    Times are null, and served_by with them, for an athlete without an effort to predict from. The outputs of a model
    are null where it abstains, or does not serve, which a reason of its own says.
    """
    states = times.states
    served_by = [row["served_by"] for row in times.outputs]
    columns = {
        "athlete_id": states["athlete_id"],
        "prediction_date": states["as_of_date"],
        "model_version": pa.array([served and time_estimator.version for served in served_by], pa.string()),
        "is_overtraining_risk": states["is_overtraining_risk"],
        "risk_reasons": states["risk_reasons"],
        "untracked_share_42d": states["untracked_share_42d"],
        "features_as_of": states["as_of_date"],
        "is_backfilled": pc.less(states["as_of_date"], pa.scalar(midnight(today), states["as_of_date"].type)),
        "month": states["month"],
        **_outputs(SPEC, times.outputs),
        **{
            name: pa.array([row.get(name) for row in times.outputs], pa.float64())
            for name in (*tables.INTERVAL_FACTORS.values(), "unlikeness")
        },
    }
    for name, scored in others.items():
        spec = MODELS[name]
        unserved = {**dict.fromkeys(spec.outputs), **spec.unserved}
        columns |= _outputs(spec, scored.outputs if scored else [unserved] * states.num_rows)
    schema = arrow_schema(tables.PREDICTIONS)
    return fitted(pa.table({field.name: columns[field.name] for field in schema}), tables.PREDICTIONS)


def unserved(rows: pa.Table, stored: pa.Table) -> pa.Array:
    """Of each row of predictions whether it may be written: false where it is backfilled and the stored table holds
    what was served in time for that athlete and day, which stands."""
    in_time = stored.filter(pc.invert(pc.fill_null(stored["is_backfilled"], False)))
    served = set(zip(in_time["athlete_id"].to_pylist(), in_time["prediction_date"].to_pylist(), strict=True))
    asked = zip(*(rows[name].to_pylist() for name in ("athlete_id", "prediction_date", "is_backfilled")), strict=True)
    return pa.array([not (late and (athlete, day) in served) for athlete, day, late in asked], pa.bool_())


def with_history(rows: pa.Table, stored: pa.Table, is_new: pa.Array) -> pa.Table:
    """The rows that may be written, and in the place of the others what was served in time."""
    standing = set(
        zip(*(rows.filter(pc.invert(is_new))[name].to_pylist() for name in tables.PREDICTIONS.keys), strict=True)
    )
    held = zip(*(stored[name].to_pylist() for name in tables.PREDICTIONS.keys), strict=True)
    kept = stored.filter(pa.array([key in standing for key in held], pa.bool_()))
    return pa.concat_tables([rows.filter(is_new), kept.select(rows.column_names).cast(rows.schema)])


def without_strangers(times: Scored, strangers: set[str], kind: str | None) -> Scored:
    """The times with the formula's for the athletes whose data is not of the kind that the champion was fitted on."""
    athletes = times.states["athlete_id"].to_pylist()
    at = [number for number, athlete in enumerate(athletes) if athlete in strangers]
    if not at:
        return times
    formula = baseline.as_mlflow_model(population.shipped(population.other(kind)).formula)
    served = formula.predict(None, times.features.iloc[at]).astype(object)
    served = served.where(served.notna(), None).to_dict("records")
    outputs = list(times.outputs)
    for number, row in zip(at, served, strict=True):
        outputs[number] = row
    return replace(times, outputs=outputs)


def _outputs(spec: ModelSpec, rows: Sequence[Mapping[str, Any]]) -> dict[str, pa.Array]:
    """A model's outputs as columns of PREDICTIONS; the lines of a text become the sentences of a list."""
    columns = {}
    for name in spec.outputs:
        kind = ARROW_TYPES[tables.PREDICTIONS.column(name).type]
        values = [row[name] for row in rows]
        if pa.types.is_list(kind):
            values = [value.splitlines() if value else None for value in values]
        columns[name] = pa.array(values, kind, from_pandas=True)
    return columns


def log_entries(
    predicted: pa.Table,
    features: pd.DataFrame,
    time_estimator: Serving,
    served_at: datetime,
    today: date,
    dagster_run_id: str,
) -> pa.Table:
    """INFERENCE_LOG rows: for each prediction its inputs and its outputs, as JSON. Row n belongs to row n."""
    rows = predicted.num_rows
    columns = {
        "athlete_id": predicted["athlete_id"],
        "prediction_date": predicted["prediction_date"],
        "served_at": pa.array([served_at] * rows, pa.timestamp("us", "UTC")),
        "dagster_run_id": pa.array([dagster_run_id] * rows, pa.string()),
        "model_version": pa.array([time_estimator.version] * rows, pa.string()),
        "features": _json(pa.Table.from_pandas(features, preserve_index=False)),
        "outputs": _json(predicted.drop_columns(["athlete_id", "prediction_date", "month"])),
        "month": predicted["month"],
        "served_on": pa.array([midnight(today)] * rows, pa.timestamp("us", "UTC")),
    }
    return fitted(pa.table(columns), tables.INFERENCE_LOG)


def _json(rows: pa.Table) -> pa.Array:
    return pa.array([json.dumps(row, default=str) for row in rows.to_pylist()], pa.string())
