"""time_estimator: race times at 5 k, 10 k, half and marathon with an 80 % interval, from an athlete's state.

One model for all distances learns the logarithm of run time over baseline (Riegel from the recent effort), so an
athlete of whom little is known gets the baseline. A robust ridge regression weighs the athlete's efforts against each
other, which is a sum and costs trees many splits; three CatBoost quantile models (p10, p50, p90) learn what it leaves
over. The quantiles are sorted; the interval is then moved per distance by what it missed on athletes that it had not
seen (conformalised quantile regression, Romano, Patterson & Candes, 2019).

Where a home's labels at a distance are few, its model leans on the population line (`models/population.py`), or on the
bias-corrected baseline where that must not serve. The population line alone is an estimator, too: one without trees.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from athlete_assets import tables
from athlete_assets.models.labels import RACE
from athlete_assets.models.model_spec import Options, setting
from athlete_assets.models.splits import TooLittleToLearnFrom, athlete_folds
from athlete_assets.models.training_set import (
    FEATURES,
    INPUTS,
    LADDER,
    SEEN,
    Rungs,
    Views,
    baseline_seconds,
    design_matrix,
    rungs,
)
from athlete_assets.models.trees import Trees
from athlete_assets.words import counted

if TYPE_CHECKING:
    import pandas as pd
    from catboost import CatBoostRegressor

Floats = NDArray[np.float64]
Number = TypeVar("Number", np.float32, np.float64)

DISTANCES = tuple(tables.DISTANCES_M)
QUANTILES = (0.1, 0.5, 0.9)
OUTPUTS = tuple(column for columns in tables.TIME_COLUMNS.values() for column in columns)
MODEL, POPULATION, BASELINE = "model", "population", "baseline"
LEARNED = (MODEL, POPULATION)
"""What served where reasons can be given."""

MIN_RUN_DAYS_90D = 5
"""An athlete with fewer is served by the baseline."""
LABELS_TO_TRUST = 30
"""Labels at a distance from which a model counts as much as what it leans on, and an interval as much as that of all
distances: with n it counts n / (n + this)."""
ATHLETE_POWER = 0.3
"""An athlete's labels weigh n^-0.3 each, so that one who runs every week does not drown the others."""
CALIBRATION_FOLDS = 5
FEWEST_OF_A_DISTANCE = 20
"""A distance with fewer labels takes the baseline's interval of all distances together."""
WIDER = 1.25
"""The baseline's own interval is wider than it measured: it serves athletes of whom little is known."""
FARTHEST_SD = 3.0
"""A feature farther from the usual counts as this far: a line must not follow a faulty run to where nobody is."""
ROWS_AT_A_TIME = 16_384
"""Rows that are predicted together: some 30 MB at a time, however many there are."""
MANY_ROWS = 2_000
"""Rows to explain from which tables of SHAP values pay."""
ROBUST_STEPS, ROBUST_LOG_RATIO = 8, 0.03
"""Labels farther from the line than 3 % pull by sign, not by distance: efforts have heavy tails."""


class TimeEstimatorOptions(Options):
    """What a training of the time estimator can be started with."""

    iterations: int = Field(default=100, gt=0, description="trees of each quantile model")
    depth: int = Field(default=3, ge=1, le=10, description="levels of a tree")
    learning_rate: float = Field(default=0.05, gt=0, le=1, description="share of each tree that is added")
    rsm: float = Field(default=0.3, gt=0, le=1, description="share of the features that each split may choose from")
    l2_leaf_reg: float = Field(default=10.0, ge=0, description="penalty of a leaf's value")
    random_seed: int = Field(default=7, ge=0, description="of the trees")
    ridge_penalty: float = Field(
        default=20.0,
        gt=0,
        description="labels: a feature that so many speak for counts half in the line",
    )
    min_labels: int = Field(default=100, ge=20, description="fewer teach a model their own noise")
    min_athletes: int = Field(default=5, ge=2, description="labels of fewer do not carry a model")
    min_races: int = Field(default=200, ge=20, description="marked races from which other efforts teach nothing more")
    min_holdout: int = setting("time_estimator_min_holdout")
    max_labels_for_folds: int = setting("training_max_labels_for_folds")

    @property
    def catboost(self) -> dict[str, Any]:
        """The parameters of each quantile model."""
        chosen = ("iterations", "depth", "learning_rate", "rsm", "l2_leaf_reg", "random_seed")
        return {
            **{name: getattr(self, name) for name in chosen},
            "thread_count": 2,
            "allow_writing_files": False,
            "verbose": False,
        }


DEFAULTS = TimeEstimatorOptions()


@dataclass(frozen=True)
class Line:
    """A ridge regression of the log ratio on the design matrix; a missing value has an effect of its own."""

    centre: Floats
    scale: Floats
    slopes: Floats
    """Effect of one `scale` of each feature, (features,)."""
    missing: Floats
    """Effect of a missing value of each feature, (features,)."""
    intercept: float
    usual: Floats
    """Mean effect of each feature in training, (features,)."""

    def effects(self, matrix: pd.DataFrame) -> Floats:
        """(rows, features): what each feature adds to the log ratio."""
        values, is_missing = _standardised(matrix, self.centre, self.scale)
        effects: Floats = values * self.slopes + is_missing * self.missing
        return effects

    def log_ratios(self, matrix: pd.DataFrame) -> Floats:
        """(rows,): the regression's log ratio."""
        values = np.ascontiguousarray(matrix.to_numpy(np.float64).T)
        return self.intercept + self.sums(values, range(len(values)))

    def sums(self, matrix: Floats, places: Iterable[int]) -> Floats:
        """(rows,): the sum of the effects of some features of a (features, rows) matrix, a feature at a time."""
        total = np.zeros(matrix.shape[1])
        for place in places:
            total += self._effect(matrix, place)
        return total

    def effects_on(self, matrix: Floats, membership: Floats, places: Iterable[int]) -> Floats:
        """(outputs, rows): the sums of the effects of some features against the usual ones, of a (features, rows)
        matrix.

        membership: (features, outputs), 1 where a feature counts for an output.
        """
        sums = np.zeros((membership.shape[1], matrix.shape[1]))
        for place in places:
            for output in np.flatnonzero(membership[place]):
                sums[output] += self._effect(matrix, place) - self.usual[place]
        return sums

    def _effect(self, matrix: Floats, place: int) -> Floats:
        slope = self.slopes[place]
        effect: Floats = matrix[place] - self.centre[place]
        effect *= slope / self.scale[place]
        np.clip(effect, -FARTHEST_SD * abs(slope), FARTHEST_SD * abs(slope), out=effect)
        is_missing = np.isnan(effect)
        if is_missing.any():
            np.copyto(effect, self.missing[place], where=is_missing)
        return effect


@dataclass
class TimeEstimator:
    """A fitted estimator. Log quantities are natural logarithms of run time over baseline."""

    line: Line
    models: dict[float, CatBoostRegressor]
    """By quantile, what the line leaves over."""
    bias: dict[str, float]
    """By distance, the median log ratio in training: what the bias-corrected baseline adds."""
    trust: dict[str, float]
    """By distance, the share of the model against what it leans on; all where a distance is not named."""
    offsets: dict[str, tuple[float, float]]
    """By distance, how far the interval's fast and slow ends move outwards (negative: inwards)."""
    baseline_interval: dict[str, tuple[float, float]]
    """By distance, the baseline's p10 and p90 of the log ratio about its bias."""
    features: list[str] = field(default_factory=list)
    name: str = MODEL
    """What served_by says where it serves: model, or population."""
    shift: dict[str, float] | None = None
    """By distance, what the home's own efforts add to a population line."""
    population: TimeEstimator | None = None
    """What it leans on; None: the bias-corrected baseline."""

    def log_ratios(self, wide: pd.DataFrame, distances: Sequence[str]) -> Floats:
        """(rows, 3): p10, p50, p90 before conformal offsets, sorted."""
        return self._log_ratios(Views(wide), rungs(distances)).T

    def _log_ratios(self, views: Views, rung: Rungs) -> Floats:
        """(3, rows): the same of views, from one distance or from one a row."""
        matrix = self._columns(views.matrix(rung))
        if id(self.line) not in views.known:
            views.known[id(self.line)] = self.line.intercept + self.line.sums(matrix, self._shared)
        line = views.known[id(self.line)] + self.line.sums(matrix, self._seen)
        if self.models:
            logs = self._trees.predict(self._columns(views.single(rung)), views.known)
            logs += line
        else:
            logs = np.stack([line] * len(QUANTILES))
        trust = _of_rungs(rung, lambda name: self.trust.get(name, 1.0))
        leaned_on = self._leaned_on(views, rung)
        logs *= trust
        leaned_on *= 1 - trust
        logs += leaned_on
        if self.shift:
            shift = self.shift
            logs += _of_rungs(rung, lambda name: shift.get(name, 0.0))
        return _sorted(logs)

    def _leaned_on(self, views: Views, rung: Rungs) -> Floats:
        """(3, rows) of the caller's own: what counts where labels are few."""
        if self.population is not None:
            return self.population._quantiles(views, rung)
        bias = _of_rungs(rung, lambda name: self.bias.get(name, 0.0))
        fast, slow = _of_rungs(rung, lambda name: self.baseline_interval.get(name, (-0.15, 0.15))).T
        return np.stack([np.broadcast_to(log, views.rows) for log in (bias + fast, bias, bias + slow)])

    def quantiles(self, wide: pd.DataFrame, distances: Sequence[str]) -> Floats:
        """(rows, 3): p10, p50, p90 of the log ratio with the conformal offsets."""
        return self._quantiles(Views(wide), rungs(distances)).T

    def _quantiles(self, views: Views, rung: Rungs) -> Floats:
        learned = self._log_ratios(views, rung)
        fast, slow = _of_rungs(rung, lambda name: self.offsets[name]).T
        learned[0] = np.minimum(learned[0] - fast, learned[1])
        learned[2] = np.maximum(learned[2] + slow, learned[1])
        return learned

    def _columns(self, matrix: NDArray[Number]) -> NDArray[Number]:
        """The features of this version, which may be from before one of FEATURES, of a (FEATURES, rows) matrix."""
        return matrix if self.features == list(FEATURES) else matrix[[FEATURES.index(name) for name in self.features]]

    @property
    def _seen(self) -> list[int]:
        """The places of its features that depend on the distance."""
        return [place for place, name in enumerate(self.features) if FEATURES.index(name) in SEEN]

    @property
    def _shared(self) -> list[int]:
        """The places of the others."""
        return [place for place, name in enumerate(self.features) if FEATURES.index(name) not in SEEN]

    @cached_property
    def _trees(self) -> Trees:
        return Trees([self.models[quantile] for quantile in QUANTILES], self._seen)

    def __getstate__(self) -> dict[str, Any]:
        """What is stored: without the trees read as tables."""
        return {name: value for name, value in self.__dict__.items() if name != "_trees"}

    def effects(self, matrix: pd.DataFrame, distances: Sequence[str]) -> Floats:
        """(rows, features): what each feature of the design matrix, seen from the distance named for its row, adds to
        p50's log ratio, against its mean effect in training."""
        effects: Floats = self.line.effects(matrix) - self.line.usual
        if self.models:
            effects += _shap(self.models[0.5], matrix.to_numpy(np.float32))
        trust = np.array([self.trust.get(name, 1.0) for name in distances])[:, None]
        effects *= trust
        if self.population is not None:
            effects += (1 - trust) * self.population.effects(matrix[self.population.features], distances)
        return effects

    def explainer(self, themes: Mapping[str, int], count: int, rows: int) -> Callable[[Views, int], Floats]:
        """What gives (count, rows), the `effects` of views from one distance, summed over the features of a theme.

        themes: of each of FEATURES the number of its theme, below count. rows: how many are to be explained in all:
        tables of the trees' SHAP values take a second to make, and are a hundred times as fast as CatBoost.
        """
        one_hot = np.zeros((len(self.features), count))
        one_hot[np.arange(len(self.features)), [themes[name] for name in self.features]] = 1.0
        of_trees: Callable[[NDArray[np.float32], dict[int, Any]], Floats] | None = None
        if self.models:
            if rows >= MANY_ROWS:
                of_trees = self._trees.effects(QUANTILES.index(0.5), one_hot)
            else:
                of_trees = lambda columns, known: (_shap(self.models[0.5], columns.T) @ one_hot).T  # noqa: E731
        lean = self.population.explainer(themes, count, rows) if self.population else None

        def explained(views: Views, rung: int) -> Floats:
            matrix = self._columns(views.matrix(rung))
            if id(one_hot) not in views.known:
                views.known[id(one_hot)] = self.line.effects_on(matrix, one_hot, self._shared)
            effects: Floats = views.known[id(one_hot)] + self.line.effects_on(matrix, one_hot, self._seen)
            if of_trees:
                effects += of_trees(self._columns(views.single(rung)), views.known)
            trust = self.trust.get(LADDER[rung], 1.0)
            effects *= trust
            if lean:
                effects += (1 - trust) * lean(views, rung)
            return effects

        return explained

    def times(self, wide: pd.DataFrame, distances: Sequence[str]) -> tuple[Floats, NDArray[np.bool_]]:
        """(rows, 3) seconds at p10, p50, p90, each row at the distance named for it; and whether the model served.

        NaN for a row without a recent effort. Times of one athlete at several distances are not yet ordered.
        """
        seconds, is_model = self._times(Views(wide), rungs(distances))
        return seconds.T, is_model

    def _times(self, views: Views, rung: Rungs) -> tuple[Floats, NDArray[np.bool_]]:
        """(3, rows) seconds, and whether the model served."""
        baseline = views.baseline_s(rung)
        is_model = np.isfinite(baseline) & (views.run_days_90d >= MIN_RUN_DAYS_90D)
        logs = self._quantiles(views, rung) if is_model.any() else np.empty((len(QUANTILES), views.rows))
        if not is_model.all():
            fast, slow = _of_rungs(rung, lambda name: self.baseline_interval[name]).T
            bias = _of_rungs(rung, lambda name: self.bias[name])
            for log, baselines in zip(logs, (bias + fast * WIDER, bias, bias + slow * WIDER), strict=True):
                np.copyto(log, baselines, where=~is_model)
        np.exp(logs, out=logs)
        logs *= baseline
        return logs, is_model

    def predict(self, wide: pd.DataFrame) -> pd.DataFrame:
        """OUTPUTS in seconds and served_by (model | population | baseline | None), one row a row of `wide` (INPUTS).

        A longer distance never gets a shorter time, at any of the three quantiles.
        """
        import pandas as pd

        times = np.empty((len(DISTANCES), len(QUANTILES), len(wide)))
        is_model = np.empty(len(wide), dtype=bool)
        for start in range(0, len(wide), ROWS_AT_A_TIME):
            rows = slice(start, start + ROWS_AT_A_TIME)
            views, shorter = Views(wide.iloc[rows]), None
            for number, name in enumerate(DISTANCES):
                seconds, is_model[rows] = self._times(views, LADDER.index(name))
                if shorter is not None:
                    np.maximum(seconds, shorter, out=seconds)
                times[number, :, rows] = shorter = seconds
        columns: dict[str, NDArray[Any]] = {}
        for seconds, name in zip(times, DISTANCES, strict=True):
            predicted, fast, slow = tables.TIME_COLUMNS[name]
            columns |= {fast: seconds[0], predicted: seconds[1], slow: seconds[2]}
        by = np.where(np.isfinite(times[0, 1]), np.where(is_model, 2, 1), 0)
        served = np.array([None, BASELINE, self.name], dtype=object)[by]
        found = {**{name: columns[name] for name in OUTPUTS}, "served_by": served}
        return pd.DataFrame(found, index=wide.index, copy=False)


def _shap(model: CatBoostRegressor, rows: NDArray[np.float32]) -> Floats:
    """(rows, features): CatBoost's SHAP values."""
    from catboost import Pool

    values: Floats = model.get_feature_importance(Pool(rows), type="ShapValues", thread_count=1)[:, :-1]
    return values


def _of_rungs(rung: Rungs, find: Callable[[str], Any]) -> Floats:
    """What is found by the name of the rung; of many rungs a row each."""
    if isinstance(rung, int):
        return np.asarray(find(LADDER[rung]), dtype=np.float64)
    there, place = np.unique(rung, return_inverse=True)
    return np.array([find(LADDER[number]) for number in there], dtype=np.float64)[place]


def _sorted(logs: Floats) -> Floats:
    """(3, rows) in ascending order by row: three comparisons, where `np.sort` of a short axis takes ten times as
    long."""
    first, second, third = logs
    low, high = np.minimum(first, second), np.maximum(first, second)
    return np.stack([np.minimum(low, third), np.maximum(low, np.minimum(high, third)), np.maximum(high, third)])


def fit(
    labelled: pd.DataFrame, options: TimeEstimatorOptions = DEFAULTS, population: TimeEstimator | None = None
) -> TimeEstimator:
    """Fits on labelled rows (RACE_EFFORTS columns with INPUTS as known on the evening before).

    `population`: what it leans on where labels are few.

    Rows without a recent effort cannot be learned from, and those with a `left_out` reason are not. Raises
    TooLittleToLearnFrom.
    """
    usable = usable_rows(labelled, options)
    taught = learned_from(usable)
    estimator = _without_offsets(taught, log_ratios_of(taught), options, population)
    estimator.offsets = _offsets(usable, options, population)
    return estimator


def _without_offsets(
    usable: pd.DataFrame, log_ratio: Floats, options: TimeEstimatorOptions, population: TimeEstimator | None
) -> TimeEstimator:
    matrix = design_matrix(usable, list(usable["distance"]))
    weight = weights_of(usable)
    bias = _bias(usable, log_ratio)
    line = fit_line(matrix, log_ratio, weight, options.ridge_penalty)
    return TimeEstimator(
        line=line,
        models=fit_quantiles(matrix, log_ratio - line.log_ratios(matrix), weight, options),
        bias=bias,
        trust={name: _count(usable, name) / (_count(usable, name) + LABELS_TO_TRUST) for name in DISTANCES},
        offsets={},
        baseline_interval=_baseline_interval(usable, log_ratio, bias),
        features=list(matrix.columns),
        population=population,
    )


def fit_line(matrix: pd.DataFrame, log_ratio: Floats, weight: Floats, penalty: float = DEFAULTS.ridge_penalty) -> Line:
    """Weighted ridge regression, reweighted towards the least absolute error (iteratively, Huber's weights)."""
    known = matrix.notna().any()
    centre = matrix.median().where(known, 0.0).to_numpy(np.float64)
    spread = matrix.std().to_numpy(np.float64)
    scale = np.where(spread > 0, spread, 1.0)
    values = np.hstack(_standardised(matrix, centre, scale))
    weight = weight / weight.mean()
    pull = weight
    for _ in range(ROBUST_STEPS):
        mean, mean_ratio = np.average(values, axis=0, weights=pull), np.average(log_ratio, weights=pull)
        about = values - mean
        weighted = about * pull[:, None]
        curvature = weighted.T @ about + penalty * np.eye(values.shape[1])
        slopes = np.linalg.solve(curvature, weighted.T @ (log_ratio - mean_ratio))
        intercept = float(mean_ratio - mean @ slopes)
        missed = np.abs(log_ratio - intercept - values @ slopes)
        pull = weight * np.minimum(1.0, ROBUST_LOG_RATIO / np.maximum(missed, ROBUST_LOG_RATIO))
    own, missing = np.split(slopes, 2)
    line = Line(centre, scale, own, missing, intercept, usual=np.zeros(len(own)))
    return replace(line, usual=line.effects(matrix).mean(axis=0))


def _standardised(matrix: pd.DataFrame, centre: Floats, scale: Floats) -> tuple[Floats, Floats]:
    """(rows, features) twice: each value in scales from its centre, 0 where missing; and 1 where it is missing."""
    values = np.clip((matrix.to_numpy(np.float64) - centre) / scale, -FARTHEST_SD, FARTHEST_SD)
    is_missing = np.isnan(values)
    return np.where(is_missing, 0.0, values), is_missing.astype(np.float64)


def usable_rows(labelled: pd.DataFrame, options: TimeEstimatorOptions = DEFAULTS) -> pd.DataFrame:
    """The rows that have a baseline; raises TooLittleToLearnFrom that says what is missing.

    Where the athletes marked enough races, these alone: other efforts are slower, and a race time is what is asked for.
    Those with a `left_out` reason are among them: they judge, though they teach nothing.
    """
    if labelled.empty:
        raise TooLittleToLearnFrom("there is not one effort to learn from: no race, hard run or block best was found")
    inputs = labelled[list(INPUTS)].astype(np.float64)
    if inputs.isna().all(axis=None):
        raise TooLittleToLearnFrom(
            "all features of all labels are null: athlete_performance_features does not reach the labels' days; "
            "materialise it for them first"
        )
    usable = with_baseline(labelled)
    taught = learned_from(usable)
    known = taught[taught["distance"].isin(DISTANCES)]
    if len(known) < options.min_labels or known["athlete_id"].nunique() < options.min_athletes:
        raise TooLittleToLearnFrom(
            f"{counted(len(known), 'label')} of {counted(known['athlete_id'].nunique(), 'athlete')} with features; "
            f"at least {options.min_labels} of {options.min_athletes} are needed"
        )
    races = usable[usable["effort"] == RACE]
    if len(races) >= options.min_races and races["athlete_id"].nunique() >= options.min_athletes:
        return races.reset_index(drop=True)
    return usable


def with_baseline(labelled: pd.DataFrame) -> pd.DataFrame:
    """The rows of an athlete with a recent effort: without one nothing predicts."""
    return labelled[labelled["recent_effort_time_s"].notna()].reset_index(drop=True)


def learned_from(labelled: pd.DataFrame) -> pd.DataFrame:
    """The rows without a `left_out` reason; all where the table was written before it had reasons."""
    if "left_out" not in labelled:
        return labelled
    return labelled[labelled["left_out"].isna()].reset_index(drop=True)


def log_ratios_of(usable: pd.DataFrame) -> Floats:
    """Logarithm of run time over baseline."""
    baseline = baseline_seconds(usable, usable["target_m"].to_numpy(np.float64))
    return np.log(usable["time_s"].to_numpy(np.float64) / baseline)


def _count(rows: pd.DataFrame, name: str) -> int:
    return int((rows["distance"] == name).sum())


def weights_of(usable: pd.DataFrame) -> Floats:
    """Of each label in a fit: its tier's, and less of an athlete with many."""
    weights: Floats = usable["weight"].to_numpy(np.float64) * _athlete_weights(usable)
    return weights


def _athlete_weights(rows: pd.DataFrame) -> Floats:
    labels = rows.groupby("athlete_id")["time_s"].transform("size").to_numpy(np.float64)
    weights: Floats = labels**-ATHLETE_POWER
    return weights


def _bias(usable: pd.DataFrame, log_ratio: Floats) -> dict[str, float]:
    """Median log ratio by distance; a distance without labels takes the next longer one's, or the longest known."""
    bias: dict[str, float] = {}
    distance = usable["distance"].to_numpy()
    for name in tables.EFFORT_DISTANCES_M:
        of_distance = log_ratio[distance == name]
        bias[name] = float(np.median(of_distance if len(of_distance) else log_ratio))
    return bias


def _baseline_interval(
    usable: pd.DataFrame, log_ratio: Floats, bias: dict[str, float]
) -> dict[str, tuple[float, float]]:
    distance = usable["distance"].to_numpy()
    centred = log_ratio - np.array([bias[name] for name in distance])
    intervals = {}
    for name in tables.EFFORT_DISTANCES_M:
        own = centred[distance == name]
        low, high = np.quantile(own if len(own) >= FEWEST_OF_A_DISTANCE else centred, [QUANTILES[0], QUANTILES[-1]])
        intervals[name] = (min(float(low), 0.0), max(float(high), 0.0))
    return intervals


def fit_quantiles(
    matrix: pd.DataFrame, left_over: Floats, weight: Floats, options: TimeEstimatorOptions = DEFAULTS
) -> dict[float, CatBoostRegressor]:
    """One model a quantile. (CatBoost's MultiQuantile takes monotone constraints without a word and ignores them.)

    All at once: the threads of one fit wait for each other most of the time where rows are few.
    """
    from catboost import CatBoostRegressor

    def fitted(quantile: float) -> CatBoostRegressor:
        model = CatBoostRegressor(loss_function=f"Quantile:alpha={quantile}", **options.catboost)
        return model.fit(matrix, left_over, sample_weight=weight)

    with ThreadPoolExecutor(len(QUANTILES)) as threads:
        return dict(zip(QUANTILES, threads.map(fitted, QUANTILES), strict=True))


def _offsets(
    usable: pd.DataFrame, options: TimeEstimatorOptions, population: TimeEstimator | None
) -> dict[str, tuple[float, float]]:
    """How far each end of the interval has to move, per distance, from predictions of athletes left out of the fit.

    Of all efforts: those that teach nothing happen, too, and the interval is to hold them.
    """
    log_ratio = log_ratios_of(usable)
    fold = athlete_folds(usable["athlete_id"].to_numpy(), CALIBRATION_FOLDS)
    unseen = np.full((len(usable), len(QUANTILES)), np.nan)
    for number in np.unique(fold):
        held_out, rest = fold == number, learned_from(usable[fold != number])
        partial = _without_offsets(rest.reset_index(drop=True), log_ratios_of(rest), options, population)
        unseen[held_out] = partial.log_ratios(usable[held_out], list(usable["distance"][held_out]))
    return offsets_of(usable, np.column_stack([unseen[:, 0] - log_ratio, log_ratio - unseen[:, 2]]))


def offsets_of(rows: pd.DataFrame, misses: Floats) -> dict[str, tuple[float, float]]:
    """By effort distance, how far each end of the interval has to move outwards.

    misses: (rows, 2), how far the time run lies beyond the fast and the slow end, in logarithm of time. A distance with
    n of them counts n / (n + LABELS_TO_TRUST) against all distances together.
    """
    weight, distance = _athlete_weights(rows), rows["distance"].to_numpy()
    everything, offsets = _moved(misses, weight), {}
    for name in tables.EFFORT_DISTANCES_M:
        at = distance == name
        share = at.sum() / (at.sum() + LABELS_TO_TRUST)
        own = _moved(misses[at], weight[at]) if at.any() else everything
        fast, slow = share * own + (1 - share) * everything
        offsets[name] = (float(fast), float(slow))
    return offsets


def _moved(misses: Floats, weight: Floats) -> Floats:
    """(2,): the offsets that leave a tenth outside at each end, with the correction for a finite sample."""
    level = min((1 + 1 / len(misses)) * QUANTILES[-1], 1.0)
    return np.array([weighted_quantiles(of_end, weight, (level,))[0] for of_end in misses.T])


def weighted_quantiles(values: Floats, weight: Floats, levels: Sequence[float]) -> list[float]:
    """Quantiles of weighted values, interpolated between the middles of their weights."""
    order = np.argsort(values, kind="stable")
    reached = (np.cumsum(weight[order]) - weight[order] / 2) / weight.sum()
    return [float(value) for value in np.interp(levels, reached, values[order])]
