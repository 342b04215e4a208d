"""Cost of scoring: times with intervals, the rows of gold and of the log, and the reasons, beside CatBoost alone.

    python benchmarks/scoring.py [--rows 1000000] [--labels 5000] [--repeats 3]

A model of the product's own shape (line and three quantiles of 100 trees of three levels, learned from made-up labels)
is asked for rows of which an eighth of the values is unknown, in a home with outcomes that move its intervals.
"CatBoost alone": its twelve predictions (four distances, three quantiles) of design matrices that lie ready in the
order that it takes without a copy. CPU seconds are this process's own, of each part the least of some repetitions: what
else runs on the machine takes cache from it. The peak memory holds the rows and what was made of them.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from datetime import date, datetime, timezone
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from training import wide_rows
from usage import peak_mb

from athlete_assets import tables
from athlete_assets.days import midnight
from athlete_assets.gold.interval_calibration import calibrated
from athlete_assets.gold.predictions import Beside, log_entries, predictions
from athlete_assets.gold.scoring import Scored
from athlete_assets.models import reasons, time_estimator
from athlete_assets.models.conformal import Outcomes
from athlete_assets.models.distributions import distribution
from athlete_assets.models.specs import MODELS
from athlete_assets.models.training_set import INPUTS, design_matrix
from athlete_assets.store.arrow import ARROW_TYPES

TODAY = date(2025, 6, 29)
OTHERS = [
    Beside({name: spec.unserved.get(name) for name in spec.outputs}, None)
    for spec in MODELS.values()
    if spec.in_gold and spec.name != "time_estimator"
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--labels", type=int, default=5_000)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    estimator, wide = fitted(options.labels), asked(options.rows)
    estimator.predict(wide.head(1))  # reads the trees once
    print(f"{options.rows:,} rows{'CPU s':>41}{'rows/CPU-s':>14}{'peak MB':>10}")

    spent = dict[str, float]()

    def say(name: str, used: float, rows: int) -> None:
        print(f"{name:46}{used:9.2f}{rows / used:14,.0f}{peak_mb():10,.0f}")

    def measured(name: str, work: Callable[[], Any], rows: int = options.rows) -> Any:
        spent[name] = float("inf")
        for _ in range(options.repeats):
            before = time.process_time()
            result = work()
            spent[name] = min(spent[name], time.process_time() - before)
        say(name, spent[name], rows)
        return result

    few = min(100_000, options.rows)
    views = [np.asfortranarray(design_matrix(wide.head(few), [name] * few), np.float32) for name in tables.DISTANCES_M]
    measured(
        "CatBoost alone, 12 predictions",
        lambda: [estimator.models[q].predict(view, thread_count=1) for view in views for q in time_estimator.QUANTILES],
        few,
    )
    spent.clear()
    outputs = measured("times with intervals", lambda: estimator.predict(wide)).assign(top_reasons=None)
    outcomes, seen = recorded(), {name: distribution(wide[name].to_numpy()) for name in INPUTS}
    times = Scored(states(options.rows), wide, outputs)
    moved = measured("intervals by the home's outcomes", lambda: calibrated(times, outcomes, seen))
    rows = measured("rows of gold.athlete_predictions", lambda: predictions(moved, "1", OTHERS, TODAY))
    now = datetime(2025, 6, 29, tzinfo=timezone.utc)
    measured("rows of monitoring.inference_log", lambda: log_entries(rows, wide, "1", now, TODAY, "a-run"))
    say("all of these, without reasons", sum(spent.values()), options.rows)
    reasons.lines_of(estimator, wide.head(time_estimator.MANY_ROWS))  # reads the SHAP values once
    measured("reasons", lambda: reasons.lines_of(estimator, wide.head(few)), few)


def fitted(labels: int) -> time_estimator.TimeEstimator:
    """An estimator with the default trees, of labels that depend on five features."""
    random = np.random.default_rng(1)
    wide = asked(labels)
    matrix = design_matrix(wide, list(random.choice(list(tables.DISTANCES_M), labels)))
    ratios = 0.02 * np.nan_to_num(matrix.to_numpy()[:, 3:8]).sum(axis=1) + random.normal(0, 0.05, labels)
    line = time_estimator.fit_line(matrix, ratios, np.ones(labels))
    names = tuple(tables.EFFORT_DISTANCES_M)
    return time_estimator.TimeEstimator(
        line=line,
        models=time_estimator.fit_quantiles(matrix, ratios - line.log_ratios(matrix), np.ones(labels)),
        bias=dict.fromkeys(names, 0.0),
        trust=dict.fromkeys(names, 0.8),
        offsets=dict.fromkeys(names, (0.01, 0.01)),
        baseline_interval=dict.fromkeys(names, (-0.1, 0.1)),
        features=list(matrix.columns),
    )


def asked(rows: int) -> pd.DataFrame:
    """Rows of INPUTS, an eighth of the values unknown, but none of the recent effort."""
    wide = wide_rows(rows)
    values, random = wide.to_numpy(), np.random.default_rng(2)
    for number, name in enumerate(wide.columns):
        if not name.startswith(("recent_effort", "run_days_90d")):
            values[random.random(rows) < 0.125, number] = np.nan
    # a column's values lie one after the other, as in rows that come from Arrow
    return pa.Table.from_pandas(pd.DataFrame(values, columns=wide.columns)).to_pandas()


def recorded() -> Outcomes:
    """Outcomes of four hundred days, of which too many lay outside their intervals."""
    days = np.datetime64(TODAY) - np.arange(400, 0, -1)
    random = np.random.default_rng(3)
    return Outcomes(random.choice(list(tables.DISTANCES_M), 400), days, days, np.abs(random.normal(0, 1, 400)))


def states(rows: int) -> pa.Table:
    """What gold takes from ROLLING, beside the times: all of one evening."""
    evening = pa.scalar(midnight(TODAY), pa.timestamp("us", "UTC"))
    return pa.table(
        {
            "athlete_id": pa.array(np.char.add("athlete-", np.arange(rows).astype(str))),
            "as_of_date": pa.repeat(evening, rows),
            "is_overtraining_risk": pa.repeat(False, rows),
            "risk_reasons": pa.nulls(rows, ARROW_TYPES[tables.STRINGS]),
            "untracked_share_42d": pa.repeat(0.0, rows),
            "month": pa.repeat(f"{TODAY:%Y-%m}", rows),
        }
    )


if __name__ == "__main__":
    main()
