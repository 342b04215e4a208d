"""CatBoost's trees as tables: what CatBoost itself says is the expectation."""

from __future__ import annotations

import numpy as np
import pytest
from catboost import CatBoostRegressor, Pool

from athlete_assets.errors import ContractError
from athlete_assets.models.trees import Trees

COLUMNS, SEEN = 9, (0, 4, 7)


def values(rows: int, seed: int = 0) -> np.ndarray:
    """(columns, rows), an eighth of them unknown, and some beyond all that was learned from."""
    random = np.random.default_rng(seed)
    found = random.normal(0, 1 + 5 * (seed > 0), (COLUMNS, rows))
    found[random.random(found.shape) < 0.125] = np.nan
    return found.astype(np.float32)


@pytest.fixture(scope="module")
def models() -> list[CatBoostRegressor]:
    """Two of trees of three levels, and one of trees too deep to share a table."""
    rows = values(600)
    target = np.nan_to_num(rows[0]) * np.nan_to_num(rows[1]) + np.nan_to_num(rows[2]) - np.isnan(rows[4])
    asked = {"verbose": False, "allow_writing_files": False, "thread_count": 1, "random_seed": 3}
    return [
        CatBoostRegressor(iterations=25, depth=depth, rsm=0.5, loss_function=loss, **asked).fit(rows.T, target)
        for depth, loss in ((3, "Quantile:alpha=0.1"), (3, "RMSE"), (7, "RMSE"))
    ]


def test_predictions_are_catboosts(models: list[CatBoostRegressor]) -> None:
    trees, rows = Trees(models, SEEN), values(500, seed=1)
    expected = np.stack([model.predict(rows.T) for model in models])
    assert trees.predict(rows, {}) == pytest.approx(expected, rel=1e-12, abs=1e-12)


def test_on_a_border_a_value_is_not_above_it(models: list[CatBoostRegressor]) -> None:
    borders = models[1].get_borders()
    rows = np.zeros((COLUMNS, max(map(len, borders.values()))), np.float32)
    for column, found in borders.items():
        rows[column, : len(found)] = found
    expected = np.stack([model.predict(rows.T) for model in models])
    assert Trees(models, SEEN).predict(rows, {}) == pytest.approx(expected, rel=1e-12, abs=1e-12)


def test_what_changed_in_the_seen_columns_alone_is_seen(models: list[CatBoostRegressor]) -> None:
    trees, rows, known = Trees(models, SEEN), values(300, seed=1), dict[int, object]()
    trees.predict(rows, known)
    rows[list(SEEN)] = values(300, seed=2)[list(SEEN)]
    assert trees.predict(rows, known) == pytest.approx(trees.predict(rows, {}), rel=1e-12, abs=1e-12)
    effects = trees.effects(1, np.eye(COLUMNS))
    effects(values(300, seed=1), of := dict[int, object]())
    rows = np.where(np.isin(np.arange(COLUMNS), SEEN)[:, None], values(300, seed=3), values(300, seed=1))
    assert effects(rows, of) == pytest.approx(effects(rows, {}), rel=1e-12, abs=1e-12)


@pytest.mark.parametrize("number", [1, 2], ids=["three levels", "seven levels"])
def test_effects_are_catboosts_shap_values(models: list[CatBoostRegressor], number: int) -> None:
    """By column, and summed over two groups of columns."""
    trees, rows = Trees(models, SEEN), values(200, seed=1)
    shap = models[number].get_feature_importance(Pool(rows.T), type="ShapValues")[:, :-1].T
    assert trees.effects(number, np.eye(COLUMNS))(rows, {}) == pytest.approx(shap, rel=1e-9, abs=1e-12)
    halves = np.stack([np.arange(COLUMNS) < 4, np.arange(COLUMNS) >= 4], axis=1).astype(float)
    expected = np.stack([shap[:4].sum(axis=0), shap[4:].sum(axis=0)])
    assert trees.effects(number, halves)(rows, {}) == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_other_trees_are_refused() -> None:
    rows = values(100)
    grown = CatBoostRegressor(iterations=3, grow_policy="Lossguide", verbose=False, allow_writing_files=False)
    with pytest.raises(ContractError, match="not symmetric"):
        Trees([grown.fit(rows.T, np.nan_to_num(rows[0]))], SEEN)
