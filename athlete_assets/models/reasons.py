"""Why a prediction is what it is, in sentences that an athlete understands.

SHAP values of the p50 model (those of its line: slope times distance from the mean) add up to its logarithm of run
time over baseline; summed over a theme (volume, heart rate, runs over the distance, ...) and turned into seconds at
each race distance, they say what each side of the training did to the prediction. A population line that was moved
towards the home's own efforts says that, too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from itertools import pairwise
from math import copysign, isfinite
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from athlete_assets import tables
from athlete_assets.errors import ContractError
from athlete_assets.formulas.race_times import clock
from athlete_assets.models.time_estimator import ROWS_AT_A_TIME, TimeEstimator
from athlete_assets.models.training_set import FEATURES, INPUTS, LADDER, Views
from athlete_assets.words import counted

if TYPE_CHECKING:
    import pandas as pd

Floats = NDArray[np.float64]

DISTANCE = "10k"
"""The distance that a sentence names a time at: the one that most athletes have run."""
OVER = {"5k": "5 km", "10k": "10 km", "half": "the half marathon", "marathon": "the marathon"}
MOST = 3
SMALLEST_EFFECT = 0.003
"""A theme that moves the time by less (0.3 %) is not worth a sentence."""

Rows = Mapping[str, Floats]
"""Columns of INPUTS, one value a row."""


def _text(values: Floats, form: Callable[[float], str]) -> pa.Array:
    """Each value as text, null where it is not finite; distinct ones are spelled once."""
    import pandas as pd

    # as bits: -0 is spelled otherwise than 0
    codes, distinct = pd.factorize(np.ascontiguousarray(values, np.float64).view(np.int64))
    spelled = [form(value) if isfinite(value) else None for value in distinct.view(np.float64).tolist()]
    return pa.array(spelled, pa.string()).take(pa.array(codes))


_spelled = lru_cache(maxsize=200_000)(clock)


def _clock(values: Floats) -> pa.Array:
    return _text(np.rint(values), _spelled)


def _whole(values: Floats, sign: str = "") -> pa.Array:
    return _text(np.rint(values), f"{{:{sign}.0f}}".format)


def _said(*parts: str | pa.Array) -> pa.Array:
    """The parts one after the other, null where one is."""
    return pc.binary_join_element_wise(*parts, "")


def _listed(parts: Sequence[pa.Array], separator: str) -> pa.Array:
    """The parts that are known, null where none is; each begins with the separator, which goes between.

    (Arrow's own way to leave out nulls, null_handling="skip", leaves out the row where all are: pyarrow 25.0.)
    """
    listed = _said(*(pc.fill_null(part, "") for part in parts))
    return pc.if_else(pc.equal(listed, ""), None, pc.utf8_slice_codeunits(listed, start=len(separator)))


def _level(rows: Rows) -> pa.Array:
    return pc.coalesce(
        _said("Your best run of the last 30 days is worth ", _clock(rows["best_30d_10k_s"]), " over 10 km"),
        "You have run nothing of 3 km or more in the last 30 days",
    )


def _same_distance(rows: Rows) -> pa.Array:
    said = "What you have run at the distance itself "
    fastest = f"{said}(your fastest 10 km run of the last "
    return pc.coalesce(
        _said(f"{fastest}60 days took ", _clock(rows[f"best_{DISTANCE}_60d_s"]), ")"),
        _said(f"{fastest}year took ", _clock(rows[f"best_{DISTANCE}_365d_s"]), ")"),
        f"{said}(you have not run 10 km in the last year)",
    )


def _other_distances(rows: Rows) -> pa.Array:
    others = (("half", "half marathon"), ("5k", "5 km run"), ("15k", "15 km run"), ("8k", "8 km run"))
    return pc.coalesce(
        *(
            _said(f"Your fastest {words} of the last year took ", _clock(rows[f"best_{name}_365d_s"]))
            for name, words in others
        ),
        "You have run few other distances in the last year",
    )


def _heart_rate(rows: Rows) -> pa.Array:
    points_to = "Your speed at a given heart rate points to "
    return pc.coalesce(
        _said(points_to, _clock(rows["hr_predicted_10k_s"]), " over 10 km at ", _whole(rows["hard_hr_bpm"]), " bpm"),
        "Too few of your runs have a heart rate to read your effort from",
    )


def _volume(rows: Rows) -> pa.Array:
    return pc.coalesce(
        _said("You ran ", _whole(rows["run_distance_28d_km"]), " km in the last 28 days"),
        "How far you ran in the last 28 days is not known",
    )


def _long_runs(rows: Rows) -> pa.Array:
    return pc.coalesce(
        _said("Your longest run of the last 90 days was ", _whole(rows["longest_run_90d_km"]), " km"),
        "You have not run in the last 90 days",
    )


def _regularity(rows: Rows) -> pa.Array:
    return pc.coalesce(
        _said("You ran on ", _whole(rows["run_days_90d"]), " of the last 90 days"),
        "On how many days you ran is not known",
    )


def _load(rows: Rows) -> pa.Array:
    stands = "Your fitness stands at "
    return pc.coalesce(
        _said(stands, _whole(rows["ctl_42d"]), " TSS a day and your form at ", _whole(rows["tsb"], "+")),
        "Your training load is not known",
    )


def _effort(rows: Rows) -> pa.Array:
    kilometres = _text(rows["recent_effort_distance_m"] / 1000, "{:.1f}".format)
    took = _clock(rows["recent_effort_time_s"])
    age = _text(np.rint(rows["recent_effort_age_days"]), lambda days: counted(round(days), "day"))
    return pc.coalesce(
        _said("Your best recent effort, ", kilometres, " km in ", took, ", was ", age, " ago"),
        _said("Your best recent effort is ", kilometres, " km in ", took),
    )


def _own_efforts(rows: Rows) -> pa.Array:
    said = "Your own hard efforts so far, beside those of other runners with the same training"
    return pa.repeat(said, len(rows["recent_effort_time_s"]))


Theme = Callable[[Rows], pa.Array]

FEATURES_OF_THEMES: dict[Theme, tuple[str, ...]] = {
    _effort: ("target_log_m", "baseline_log_10k_s", "effort_to_target_log", "recent_effort_age_days"),
    _level: (
        "best_14d_10k_s",
        "best_30d_10k_s",
        "best_90d_10k_s",
        "best_180d_10k_s",
        "best_365d_10k_s",
        "quarter_60d_10k_s",
        "median_60d_10k_s",
        "tenth_180d_10k_s",
        "median_180d_10k_s",
    ),
    _heart_rate: (
        "usual_120d_10k_s",
        "usual_30d_10k_s",
        "hard_best_180d_10k_s",
        "hard_median_180d_10k_s",
        "hr_predicted_10k_s",
        "hard_hr_bpm",
        "usual_hr_share",
        "hr_slope",
        "hard_days_180d",
    ),
    _volume: ("run_distance_7d_km", "run_distance_28d_km", "run_distance_90d_km", "run_distance_365d_km"),
    _regularity: (
        "run_days_60d",
        "run_days_14d",
        "run_days_28d",
        "run_days_90d",
        "days_since_run",
        "run_history_days",
    ),
    _long_runs: (
        "longest_run_28d_km",
        "longest_run_90d_km",
        "longest_run_28d_of_target",
        "longest_run_90d_of_target",
    ),
    _load: ("ctl_42d", "tsb", "pace_trend_30d"),
    _same_distance: (
        "same_best_60d_s",
        "same_best_before_s",
        "same_best_365d_s",
        "same_median_365d_s",
        "same_latest_s",
        "same_latest_age_days",
        "same_days_with_60d",
        "same_days_with_365d",
    ),
    _other_distances: ("shorter_best_60d_s", "longer_best_60d_s", "shorter_best_365d_s", "longer_best_365d_s"),
}
"""The columns of the design matrix by what is said of them, each once: a test says that none is missing."""
THEMES = {feature: theme for theme, features in FEATURES_OF_THEMES.items() for feature in features}


def theme_of(feature: str) -> Theme:
    """The sentence maker of a column of the design matrix; raises ContractError for one that has no theme."""
    if feature not in THEMES:
        raise ContractError(
            f"{feature} is a feature of the time estimator without a theme: enter it in FEATURES_OF_THEMES "
            "(athlete_assets/models/reasons.py), so that what it does to a prediction can be said"
        )
    return THEMES[feature]


def top_reasons(estimator: TimeEstimator, wide: pd.DataFrame) -> list[list[str]]:
    """For each row of `wide` (INPUTS) the themes that moved its times most, the largest first.

    A row without a baseline, or one that nothing moved, has none. Each sentence ends with its effect at each distance.
    """
    return [line.split("\n") if line else [] for line in lines_of(estimator, wide).to_pylist()]


def lines_of(estimator: TimeEstimator, wide: pd.DataFrame) -> pa.ChunkedArray:
    """`top_reasons` as the lines of one text a row, null for a row without any."""
    themes = {feature: _THEMES_IN_ORDER.index(theme_of(feature)) for feature in FEATURES}
    explain = estimator.explainer(themes, len(_THEMES_IN_ORDER), rows=len(wide))
    starts = range(0, len(wide), ROWS_AT_A_TIME)
    blocks = (wide.iloc[start : start + ROWS_AT_A_TIME][list(INPUTS)].astype(np.float64) for start in starts)
    return pa.chunked_array([_lines(estimator, explain, rows) for rows in blocks], pa.string())


_THEMES_IN_ORDER = (*FEATURES_OF_THEMES, _own_efforts)


def _lines(estimator: TimeEstimator, explain: Callable[[Views, int], Floats], wide: pd.DataFrame) -> pa.Array:
    """The sentences of each row as the lines of one text; null for a row without any."""
    views, distances = Views(wide), list(tables.DISTANCES_M)
    places = [LADDER.index(name) for name in distances]
    # (distances, themes, rows): what is added to the logarithm of the time
    effects = np.stack([explain(views, place) for place in places])
    effects[:, -1] = np.array([(estimator.shift or {}).get(name, 0.0) for name in distances])[:, None]
    baseline = np.stack([views.baseline_s(place) for place in places])
    columns = {name: wide[name].to_numpy() for name in wide.columns}
    weight, every = np.abs(effects).mean(axis=0), np.arange(len(wide))
    sentences = []
    for _ in range(MOST):
        theme = weight.argmax(axis=0)
        weight[theme, every] = -1.0
        effect = effects[:, theme, every]
        seconds = baseline * np.expm1(effect)
        at_distances = []
        for number, name in enumerate(distances):
            is_said = (np.abs(effect[number]) >= SMALLEST_EFFECT) & np.isfinite(seconds[number])
            at_distances.append(_text(np.where(is_said, np.rint(seconds[number]), np.nan), _effect_over(name)))
        sentences.append(_said("\n", _of_themes(theme, columns), ": ", _listed(at_distances, ", "), "."))
    return _listed(sentences, "\n")


def _effect_over(distance: str) -> Callable[[float], str]:
    """What spells whole seconds, negative ones faster (so is -0), that a theme moves the time over the distance by."""
    directions = f" slower over {OVER[distance]}", f" faster over {OVER[distance]}"
    return lambda seconds: f", {_spelled(abs(seconds))}{directions[copysign(1, seconds) < 0]}"


class _Chosen(dict[str, Floats]):
    """Some rows of the columns, of each column when it is asked for."""

    def __init__(self, columns: Rows, rows: NDArray[np.intp]) -> None:
        super().__init__()
        self.columns, self.rows = columns, rows

    def __missing__(self, name: str) -> Floats:
        return self.columns[name][self.rows]


def _of_themes(theme: NDArray[np.intp], columns: Rows) -> pa.Array:
    """Each row's sentence, as its theme says it."""
    order = np.argsort(theme, kind="stable")
    bounds = np.searchsorted(theme[order], np.arange(len(_THEMES_IN_ORDER) + 1))
    said = []
    for number, (first, last) in enumerate(pairwise(bounds)):
        if last > first:
            said.append(_THEMES_IN_ORDER[number](_Chosen(columns, order[first:last])))
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    return pa.concat_arrays(said).take(pa.array(place)) if said else pa.array([], pa.string())
