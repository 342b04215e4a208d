"""How high the loads of runs are: python benchmarks/load_level.py RUNS [--loads FILE].

RUNS is any file that `import` takes. Sums the load by pace of the runs whose heart rate is known, and the load of the
same runs by heart rate (Banister; threshold at 85 % of the reserve above 60 bpm; the maximum as observed, else 1.06 x
the athlete's 99.5th percentile of mean heart rates), which rests on no pace. --loads: a CSV with activity_id and load,
as intervals.icu exports them, or Strava's activities.csv with its Training Load, to compare with as well.
"""

from __future__ import annotations

import argparse
import tempfile
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd

from athlete_assets import tables
from athlete_assets.days import Days
from athlete_assets.features.activity import activity_features
from athlete_assets.formulas.training_load import BANISTER_WEIGHTS, heart_rate_tss, reserve_share
from athlete_assets.settings import Settings
from athlete_assets.silver.imports import read_runs
from athlete_assets.silver.landing import land
from athlete_assets.store.local import LocalStore

LAST, RESTING_BPM, LEAST_RUNS = date(2027, 12, 31), 60.0, 50


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", type=Path)
    parser.add_argument("--loads", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(home=Path(folder), time_zone="UTC", as_of=LAST, start_date=date(2000, 1, 3))
        runs = features(arguments.runs, settings)
    runs = runs[runs["sport_type"].isin(tables.RUN_SPORTS) & (runs["load_method"] == "pace")]
    if arguments.loads:
        loads = pd.read_csv(arguments.loads).rename(columns={"Activity ID": "activity_id", "Training Load": "load"})
        both = runs.merge(loads[["activity_id", "load"]], on="activity_id")
        tell("the given loads", both["estimated_tss"], both["load"])
    runs = runs[(runs["avg_hr"] > 90) & (runs["threshold_source"] != "default")]
    runs["by_heart_rate"] = by_heart_rate(runs)
    tell("heart rate", runs["estimated_tss"], runs["by_heart_rate"])
    sums = runs.groupby("athlete_id")[["estimated_tss", "by_heart_rate"]].agg(["sum", "size"])
    sums = sums[sums[("estimated_tss", "size")] >= LEAST_RUNS]
    ratio = sums[("estimated_tss", "sum")] / sums[("by_heart_rate", "sum")]
    print(f"{len(ratio)} athletes: median {ratio.median():.2f}, quartiles {ratio.quantile(0.25):.2f} to ", end="")
    print(f"{ratio.quantile(0.75):.2f}; thresholds by {runs['threshold_source'].value_counts().to_dict()}")


def features(path: Path, settings: Settings) -> pd.DataFrame:
    """activity_features of the file, recordings included."""
    store = LocalStore(settings)
    land(store, read_runs(path, settings, say=print))
    silver = store.read(tables.STRAVA_ACTIVITIES)
    needed = (store.read(table) for table in (tables.STRAVA_SUB_ACTIVITY, tables.STRAVA_ATHLETE))
    recorded = (store.read_if_there(table) for table in (tables.STRAVA_RECORDING, tables.STRAVA_BEST_EFFORT))
    return activity_features(silver, *needed, Days(settings.start_date, LAST), settings, *recorded).toPandas()


def by_heart_rate(runs: pd.DataFrame) -> pd.Series:
    usual = runs.groupby("athlete_id")["avg_hr"].transform(lambda beats: 1.06 * beats.quantile(0.995))
    reserve = reserve_share(runs["avg_hr"], RESTING_BPM, runs["hr_max_bpm"].astype(float).fillna(usual))
    return heart_rate_tss(runs["moving_time_min"], reserve.clip(lower=0.0), *BANISTER_WEIGHTS["M"])


def tell(what: str, ours: pd.Series, other: pd.Series) -> None:
    known = ours.notna() & other.notna()
    share = ours[known].sum() / other[known].sum()
    correlation = np.corrcoef(ours[known], other[known])[0, 1]
    print(f"{known.sum()} runs against {what}: sum x {share:.3f}, correlation {correlation:.2f}")


if __name__ == "__main__":
    main()
