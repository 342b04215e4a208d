"""Cost of training on 200,000 labels x 25 features, and of scoring 1,000,000 rows beside CatBoost's own limit.

    python benchmarks/training.py [--labels 200000] [--rows 1000000]

Training: the time estimator's line, and its three quantile models on what that leaves over, with its own parameters, on
as many columns as asked for.
Scoring: the estimator's whole prediction (design matrix, four distances, three quantiles, ordering) per athlete-row,
beside `CatBoostRegressor.predict` of one model on a dense float32 array of the same width. CPU seconds are the
process's own, memory is its peak.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from athlete_assets import tables
from athlete_assets.models import time_estimator
from athlete_assets.models.training_set import INPUTS, design_matrix


def measured(name: str, work: Callable[[], Any]) -> tuple[Any, float]:
    """Runs the work; prints wall and CPU seconds and the process's peak memory so far; returns result and wall time."""
    cpu, wall = time.process_time(), time.perf_counter()
    result = work()
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(f"{name:44}{wall:9.1f} s wall{cpu:9.1f} CPU-s{peak:8.2f} GB peak")
    return result, wall


def wide_rows(count: int) -> pd.DataFrame:
    """Rows of INPUTS with plausible values: seconds around an hour, counts and shares small and positive."""
    random = np.random.default_rng(0)
    frame = pd.DataFrame({name: random.uniform(1, 60, count) for name in INPUTS})
    seconds = [name for name in INPUTS if name.endswith("_s")]
    frame[seconds] = random.uniform(2_400, 4_200, (count, len(seconds)))
    frame["recent_effort_distance_m"] = random.uniform(5_000, 12_000, count)
    frame["recent_effort_time_s"] = frame["recent_effort_distance_m"] * 0.3
    return frame


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--labels", type=int, default=200_000)
    parser.add_argument("--features", type=int, default=25)
    parser.add_argument("--rows", type=int, default=1_000_000)
    options = parser.parse_args()
    random = np.random.default_rng(1)

    matrix = pd.DataFrame(random.normal(size=(options.labels, options.features))).add_prefix("feature_")
    target = 0.1 * matrix.iloc[:, :5].sum(axis=1).to_numpy() + random.normal(0, 0.05, options.labels)
    weight = np.ones(options.labels)

    def train() -> Any:
        line = time_estimator.fit_line(matrix, target, weight)
        return time_estimator.fit_quantiles(matrix, target - line.log_ratios(matrix), weight)

    trained, _ = measured(f"train the line, p10, p50, p90 on {options.labels:,} x {options.features}", train)
    dense = np.ascontiguousarray(random.normal(size=(options.rows, options.features)).astype(np.float32))
    _, limit = measured(f"CatBoost alone, one model, {options.rows:,} rows", lambda: trained[0.5].predict(dense))

    sample = wide_rows(20_000)
    columns = design_matrix(sample, ["10k"] * len(sample))
    ratios, even = random.normal(0, 0.1, len(sample)), np.ones(len(sample))
    models = time_estimator.fit_quantiles(columns, ratios, even)
    names = tuple(tables.EFFORT_DISTANCES_M)
    estimator = time_estimator.TimeEstimator(
        line=time_estimator.fit_line(columns, ratios, even),
        models=models,
        bias=dict.fromkeys(names, 0.0),
        trust=dict.fromkeys(names, 1.0),
        offsets=dict.fromkeys(names, (0.0, 0.0)),
        baseline_interval=dict.fromkeys(names, (-0.1, 0.1)),
        features=list(columns.columns),
    )
    rows = wide_rows(options.rows)
    full = np.ascontiguousarray(columns.to_numpy(np.float32)[np.arange(options.rows) % len(columns)])
    _, twelve = measured(
        f"CatBoost alone, 12 predictions, {options.rows:,} rows",
        lambda: [models[q].predict(full) for _ in tables.DISTANCES_M for q in time_estimator.QUANTILES],
    )
    _, whole = measured(f"time estimator, 4 distances x 3, {options.rows:,} rows", lambda: estimator.predict(rows))
    print(f"CatBoost alone, one model of {options.features} features: {options.rows / limit:,.0f} rows/s")
    print(f"CatBoost alone, 12 of {full.shape[1]} features:        {options.rows / twelve:,.0f} rows/s")
    print(f"time estimator:                           {options.rows / whole:,.0f} rows/s")


if __name__ == "__main__":
    main()
