"""Runners who are as good as they were: efforts over 10 km with features that say nothing of it."""

from __future__ import annotations

import numpy as np
import pandas as pd

from athlete_assets.models.training_set import INPUTS, REFERENCE_INPUTS


def steady_efforts(athletes: int, each: int, every_days: int) -> pd.DataFrame:
    """So many efforts of each athlete, in so many days each; Riegel says 50 min; every other athlete runs 5 % slower,
    the rest 5 % faster."""
    known = {"recent_effort_distance_m": 10_000.0, "recent_effort_time_s": 3_000.0, "run_days_90d": 30.0}
    nothing = dict.fromkeys((*INPUTS, *REFERENCE_INPUTS), np.nan)
    place = np.arange(athletes * each)
    slower = np.where(place // each % 2 == 0, 1, -1)
    return pd.DataFrame(nothing | known, index=place).assign(
        athlete_id=[f"athlete {number:02d}" for number in place // each],
        activity_id=place,
        activity_date=pd.Timestamp("2024-01-01", tz="UTC") + pd.to_timedelta(every_days * (place % each), "D"),
        distance="10k",
        target_m=10_000.0,
        time_s=3_000 * np.exp(0.05 * slower),
        effort="heart_rate",
        weight=1.0,
        left_out=None,
        file="runs.csv",
    )
