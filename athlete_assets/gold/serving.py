"""What the serving models make of evenings, wherever the rows are: predictions, the log of them, and counts for drift.

One kernel over Arrow tables (`made`). On a cluster the engine calls it on the workers, which hold the rows that it made
(`Store.held`) until both tables are written, and nobody's row comes to the driver. In an embedded home, where the rows
come to this process to be written, it is called here (`by_athlete.computed_here`).

The rows are made once, and the tables are parts of them. Not one from the other: what is written of an evening that was
served in time is what was served then, and the log has the features beside it, which the predictions do not keep.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from functools import partial, reduce
from operator import add
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from athlete_assets import tables
from athlete_assets.days import Days
from athlete_assets.gold.interval_calibration import calibrated
from athlete_assets.gold.predictions import (
    Beside,
    log_entries,
    predictions,
    served_in_time,
    unserved,
    without_strangers,
)
from athlete_assets.gold.scoring import STATE, Scored, evenings, explained, in_order, is_shown, said, scored
from athlete_assets.models import population
from athlete_assets.models.conformal import Outcomes
from athlete_assets.models.distributions import Distribution, Tally
from athlete_assets.models.population import Correction
from athlete_assets.models.registry import Reasons, Serving
from athlete_assets.models.specs import MODELS
from athlete_assets.store.base import Store
from athlete_assets.store.by_athlete import apply_for_several, fields
from athlete_assets.store.feature_store import PREDICTION, FeatureStore

if TYPE_CHECKING:
    import pandas as pd

PREDICTED, LOGGED, COUNTED = "predicted", "logged", "counted"
"""What is made: rows of PREDICTIONS, rows of INFERENCE_LOG, and counts for drift, a row a call of the kernel."""
_TIMES, _STORED, _STRANGERS = "times", "stored", "strangers"


@dataclass(frozen=True)
class Models:
    """What serves, and what the home's own outcomes say of it."""

    times: Serving
    others: Mapping[str, Serving | None]
    """By name; None where no version serves."""
    fitted_on: str | None
    """The kind of data that the times were learned from; None where they serve any."""
    seen: Mapping[str, Distribution]
    """The times' inputs in their training."""
    known: Outcomes


@dataclass(frozen=True)
class _Work:
    """What the kernel needs beside rows; it travels to a cluster's workers."""

    version: str
    inputs: list[str]
    others: Mapping[str, Mapping[str, str | None]]
    """By further model, its outputs, and what each is where no version serves."""
    say: Reasons | None
    """The reasons; None where nobody is to see them."""
    formula: Mapping[str, Correction]
    seen: Mapping[str, Distribution]
    known: Outcomes
    today: date
    served_at: datetime
    run_id: str


@dataclass(frozen=True)
class _Saying:
    """What says reasons. It travels as MLflow sends the model that is scored, with the package's classes by name."""

    say: Reasons

    def __call__(self, features: pd.DataFrame) -> pd.Series | None:
        return self.say(features)

    def __reduce__(self) -> tuple[Callable[[bytes], Any], tuple[bytes]]:
        import cloudpickle

        return cloudpickle.loads, (cloudpickle.dumps(self.say),)


def made(
    features: FeatureStore, store: Store, models: Models, days: Days, today: date, served_at: datetime, run_id: str
) -> dict[str, DataFrame]:
    """PREDICTED, LOGGED and COUNTED rows of the evenings of the days.

    PREDICTED are all rows that PREDICTIONS is to hold of the days: what was served in time stands. LOGGED has a row for
    each that is new.
    """
    asked = evenings(store.read(tables.ROLLING, days))
    rows = scored(features, models.times, asked, MODELS["time_estimator"])
    kinds = dict(rows.dtypes)
    names = dict.fromkeys([*STATE, *models.times.inputs, PREDICTION])
    inputs = {_TIMES: (rows, {name: kinds[name] for name in names if name != "athlete_id"})}
    for name, serving in models.others.items():
        if serving is not None:
            spec = MODELS[name]
            kind = ",".join(f"{output}:{type}" for output, type in spec.outputs.items())
            theirs = scored(features, serving, asked, spec)
            theirs = theirs.select("athlete_id", "as_of_date", F.col(PREDICTION).alias(name))
            inputs[name] = (theirs, {"as_of_date": kinds["as_of_date"], name: f"struct<{kind}>"})
    if models.fitted_on:
        theirs = population.strangers(store.read(tables.ACTIVITY), models.fitted_on)
        inputs[_STRANGERS] = (theirs, {})
    stored = store.read(tables.PREDICTIONS, days)
    held = F.struct(*tables.PREDICTIONS.column_names).alias(_STORED)
    inputs[_STORED] = (stored.select("athlete_id", held), {_STORED: _struct(tables.PREDICTIONS)})
    work = _Work(
        version=models.times.version,
        inputs=models.times.inputs,
        others={
            name: {output: MODELS[name].unserved.get(output) for output in MODELS[name].outputs}
            for name in models.others
        },
        say=_Saying(models.times.say) if models.times.say and is_shown(days, today) else None,
        formula=population.shipped(population.other(models.fitted_on)).formula if models.fitted_on else {},
        seen=models.seen,
        known=models.known,
        today=today,
        served_at=served_at,
        run_id=run_id,
    )
    schemas = {PREDICTED: tables.PREDICTIONS.ddl, LOGGED: tables.INFERENCE_LOG.ddl, COUNTED: _COUNTED_DDL}
    return apply_for_several(inputs, partial(_rows, work=work), schemas, hold=store.held)


def tally(store: Store, made: Mapping[str, DataFrame]) -> Tally:
    """How what was scored is distributed: what each call of the kernel counted, added up."""
    calls = [call for table in store.fetched(made[COUNTED]) for call in table.to_pylist()]
    of_calls = [
        Tally(call["rows"], dict(zip(call["names"], map(np.array, call["counts"]), strict=True))) for call in calls
    ]
    return reduce(add, of_calls) if of_calls else Tally(0, {})


def _rows(inputs: Mapping[str, pa.Table], work: _Work) -> dict[str, pa.Table]:
    """The kernel: what is made of some athletes' evenings."""
    rows = in_order(inputs[_TIMES])
    times = Scored(rows.select(list(STATE)), rows.select(work.inputs).to_pandas(), said(rows[PREDICTION]))
    if _STRANGERS in inputs:
        times = without_strangers(times, set(inputs[_STRANGERS]["athlete_id"].to_pylist()), work.formula)
    # as the model says it, as in its training: intervals that the home moved are no drift
    tally = Tally.of(times.features, times.outputs, work.seen)
    times = calibrated(times, work.known, work.seen)
    if work.say:
        times = explained(times, work.say, work.today)
    others = [
        Beside(outputs, said(in_order(inputs[name])[name]) if name in inputs else None)
        for name, outputs in work.others.items()
    ]
    rows = predictions(times, work.version, others, work.today)
    stored = fields(inputs[_STORED][_STORED])
    is_new = unserved(rows, stored)
    kept, features = served_in_time(rows, stored, is_new), times.features
    if kept.num_rows or not pc.all(is_new).as_py():
        rows, features = rows.filter(is_new), features[is_new.to_numpy(zero_copy_only=False)]
    log = log_entries(rows, features, work.version, work.served_at, work.today, work.run_id)
    counts = {"rows": tally.rows, "names": list(tally.columns), "counts": [*map(list, tally.columns.values())]}
    return {
        PREDICTED: pa.concat_tables([rows, kept]),
        LOGGED: log,
        COUNTED: pa.Table.from_pylist([counts], _COUNTED_SCHEMA),
    }


_COUNTED_DDL = "rows bigint, names array<string>, counts array<array<bigint>>"
_COUNTED_SCHEMA = pa.schema(
    [("rows", pa.int64()), ("names", pa.list_(pa.string())), ("counts", pa.list_(pa.list_(pa.int64())))]
)


def _struct(table: tables.Table) -> str:
    """The DDL of a struct of a table's row."""
    return f"struct<{','.join(f'{column.name}:{column.type}' for column in table.columns)}>"
