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

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from athlete_assets import tables
from athlete_assets.models.labels import RACE
from athlete_assets.models.model_spec import Options, setting
from athlete_assets.models.splits import TooLittleToLearnFrom, athlete_folds
from athlete_assets.models.training_set import INPUTS, baseline_seconds, design_matrix
from athlete_assets.words import counted

if TYPE_CHECKING:
    import pandas as pd
    from catboost import CatBoostRegressor

Floats = NDArray[np.float64]

DISTANCES = tuple(tables.DISTANCES_M)
QUANTILES = (0.1, 0.5, 0.9)
OUTPUTS = tuple(column for columns in tables.TIME_COLUMNS.values() for column in columns)
MODEL, POPULATION, BASELINE = "model", "population", "baseline"

MIN_RUN_DAYS_90D = 5
"""An athlete with fewer is served by the baseline."""
LABELS_TO_TRUST = 30
"""Labels at a distance from which a model counts as much as what it leans on: with n it counts n / (n + this)."""
ATHLETE_POWER = 0.3
"""An athlete's labels weigh n^-0.3 each, so that one who runs every week does not drown the others."""
CALIBRATION_FOLDS = 5
CALIBRATION_SHARE, CALIBRATION_MIN = 0.2, 60
"""The interval is set on the newest fifth of a distance's labels, or on so many of them where a fifth is fewer."""
FEWEST_OF_A_DISTANCE = 20
"""A distance with fewer calibration labels takes the offsets of all distances together."""
WIDER = 1.25
"""The baseline's own interval is wider than it measured: it serves athletes of whom little is known."""
FARTHEST_SD = 3.0
"""A feature farther from the usual counts as this far: a line must not follow a faulty run to where nobody is."""
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
        total: Floats = self.intercept + self.effects(matrix).sum(axis=1)
        return total


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
        matrix = design_matrix(wide, distances)[self.features]
        raw = np.repeat(self.line.log_ratios(matrix)[:, None], len(QUANTILES), axis=1)
        if self.models:
            raw += np.column_stack([self.models[quantile].predict(matrix) for quantile in QUANTILES])
        trust = np.array([self.trust.get(name, 1.0) for name in distances])[:, None]
        blended = trust * raw + (1 - trust) * self._leaned_on(wide, distances)
        if self.shift:
            blended += np.array([self.shift.get(name, 0.0) for name in distances])[:, None]
        return np.sort(blended, axis=1)

    def _leaned_on(self, wide: pd.DataFrame, distances: Sequence[str]) -> Floats:
        """(rows, 3): what counts where labels are few."""
        if self.population is not None:
            return self.population.quantiles(wide, distances)
        bias = np.array([self.bias.get(name, 0.0) for name in distances])
        spread = np.array([self.baseline_interval.get(name, (-0.15, 0.15)) for name in distances])
        return np.column_stack([bias + spread[:, 0], bias, bias + spread[:, 1]])

    def quantiles(self, wide: pd.DataFrame, distances: Sequence[str]) -> Floats:
        """(rows, 3): p10, p50, p90 of the log ratio with the conformal offsets."""
        learned = self.log_ratios(wide, distances)
        moved = np.array([self.offsets[name] for name in distances])
        learned[:, 0] = np.minimum(learned[:, 0] - moved[:, 0], learned[:, 1])
        learned[:, 2] = np.maximum(learned[:, 2] + moved[:, 1], learned[:, 1])
        return learned

    def effects(self, matrix: pd.DataFrame, distances: Sequence[str]) -> Floats:
        """(rows, features): what each feature of the design matrix, seen from the distance named for its row, adds to
        p50's log ratio, against its mean effect in training."""
        effects: Floats = self.line.effects(matrix) - self.line.usual
        if self.models:
            from catboost import Pool

            effects += self.models[0.5].get_feature_importance(Pool(matrix), type="ShapValues")[:, :-1]
        trust = np.array([self.trust.get(name, 1.0) for name in distances])[:, None]
        effects *= trust
        if self.population is not None:
            effects += (1 - trust) * self.population.effects(matrix[self.population.features], distances)
        return effects

    def times(self, wide: pd.DataFrame, distances: Sequence[str]) -> tuple[Floats, NDArray[np.bool_]]:
        """(rows, 3) seconds at p10, p50, p90, each row at the distance named for it; and whether the model served.

        NaN for a row without a recent effort. Times of one athlete at several distances are not yet ordered.
        """
        target = np.array([tables.EFFORT_DISTANCES_M[name] for name in distances])
        baseline = baseline_seconds(wide, target)
        is_model = np.isfinite(baseline) & (wide["run_days_90d"].to_numpy(np.float64) >= MIN_RUN_DAYS_90D)
        fallback = np.array([self.baseline_interval[name] for name in distances])
        bias = np.array([self.bias[name] for name in distances])[:, None]
        logs = bias + np.column_stack([fallback[:, 0] * WIDER, np.zeros(len(wide)), fallback[:, 1] * WIDER])
        if is_model.any():
            chosen = [name for name, served in zip(distances, is_model, strict=True) if served]
            logs[is_model] = self.quantiles(wide[is_model], chosen)
        return baseline[:, None] * np.exp(logs), is_model

    def predict(self, wide: pd.DataFrame) -> pd.DataFrame:
        """OUTPUTS in seconds and served_by (model | population | baseline | None), one row a row of `wide` (INPUTS).

        A longer distance never gets a shorter time, at any of the three quantiles.
        """
        import pandas as pd

        wide = wide[list(INPUTS)].astype(np.float64)
        scored = [self.times(wide, [name] * len(wide)) for name in DISTANCES]
        times = np.maximum.accumulate(np.stack([seconds for seconds, _ in scored], axis=1), axis=1)
        columns: dict[str, Floats] = {}
        for number, name in enumerate(DISTANCES):
            predicted, fast, slow = tables.TIME_COLUMNS[name]
            columns |= {fast: times[:, number, 0], predicted: times[:, number, 1], slow: times[:, number, 2]}
        frame = pd.DataFrame({name: columns[name] for name in OUTPUTS}, index=wide.index)
        served = np.where(scored[0][1], self.name, BASELINE).astype(object)
        served[~np.isfinite(times[:, 0, 1])] = None
        frame["served_by"] = served
        return frame


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
    labels = usable.groupby("athlete_id")["time_s"].transform("size").to_numpy(np.float64)
    weights: Floats = usable["weight"].to_numpy(np.float64) * labels**-ATHLETE_POWER
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
    """One model a quantile. (CatBoost's MultiQuantile takes monotone constraints without a word and ignores them.)"""
    from catboost import CatBoostRegressor

    models = {}
    for quantile in QUANTILES:
        model = CatBoostRegressor(loss_function=f"Quantile:alpha={quantile}", **options.catboost)
        models[quantile] = model.fit(matrix, left_over, sample_weight=weight)
    return models


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


def offsets_of(
    rows: pd.DataFrame, misses: Floats, newest_share: float = CALIBRATION_SHARE
) -> dict[str, tuple[float, float]]:
    """By effort distance, how far each end of the interval has to move outwards, from the newest share of the rows.

    misses: (rows, 2), how far the time run lies beyond the fast and the slow end, in logarithm of time.
    """
    distance, day = rows["distance"].to_numpy(), rows["activity_date"].to_numpy()
    everything = _moved(_newest(misses, day, newest_share))
    offsets = {}
    for name in tables.EFFORT_DISTANCES_M:
        own = _newest(misses[distance == name], day[distance == name], newest_share)
        offsets[name] = _moved(own) if len(own) >= FEWEST_OF_A_DISTANCE else everything
    return offsets


def _newest(misses: Floats, day: NDArray[Any], share: float) -> Floats:
    wanted = max(int(len(day) * share), min(len(day), CALIBRATION_MIN))
    return misses[np.argsort(day, kind="stable")[len(day) - wanted :]]


def _moved(misses: Floats) -> tuple[float, float]:
    """The offsets that leave a tenth outside at each end, with the correction for a finite sample."""
    level = min((1 + 1 / len(misses)) * QUANTILES[-1], 1.0)
    low, high = np.quantile(misses, level, axis=0)
    return float(low), float(high)
