"""CatBoost's trees as tables: the same predictions and SHAP values, for many rows in a fraction of the time.

A tree of CatBoost asks the same question of every node of a level, so that its answer is a look-up: the bits of its
questions, read as a number, are the place of the leaf. Four trees of three levels are one table of 4,096 sums. Several
models that see the same rows answer each question once, and those of columns that did not change not again. Of the
time that CatBoost takes for a prediction of twelve short models more than half goes into taking the rows in; of its
SHAP values, which for a tree depend on the leaf alone, nearly all into computing them anew for each row.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from athlete_assets.errors import ContractError

if TYPE_CHECKING:
    from catboost import CatBoostRegressor

Floats = NDArray[np.float64]

TABLE_BITS = 12
"""Trees whose levels together are at most so many share a table: of 32 kB, what a core's first cache holds."""


@dataclass(frozen=True)
class Tree:
    """A symmetric tree: leaf number n is where question i, counted from 0, is answered with bit i of n."""

    questions: tuple[tuple[int, float], ...]
    """Column and border: is the value above the border? (An unknown one is not.)"""
    leaves: Floats
    """(2^questions,), or (2^questions, outputs)."""


class Trees:
    """Models over the same columns, evaluated together.

    seen: the places of the columns that differ between calls with the same `known`; the others are looked at once.
    Raises ContractError for trees of another kind than symmetric ones over numbers.
    """

    def __init__(self, models: Sequence[CatBoostRegressor], seen: Collection[int]) -> None:
        self.models, self._seen = list(models), frozenset(seen)
        found = [self._read(model) for model in self.models]
        self._trees = [trees for trees, _ in found]
        self._sums = [_Sum(trees, self._seen, bias) for trees, bias in found]

    def predict(self, columns: NDArray[np.float32], known: dict[int, Any]) -> Floats:
        """(models, rows): what each model's `predict` gives for (columns, rows).

        known: empty for new rows; holds what was found of the columns that are not `seen` for the next call.
        """
        return np.stack([one.of(columns, known) for one in self._sums])

    def effects(self, number: int, membership: Floats) -> Callable[[NDArray[np.float32], dict[int, Any]], Floats]:
        """What gives (outputs, rows), the SHAP values of a model, for (columns, rows), summed over columns; `known` as
        in `predict`.

        membership: (columns, outputs), 1 where a column counts for an output.
        """
        one = _Sum([Tree(tree.questions, shap @ membership) for tree, shap in self._shap[number]], self._seen)
        return lambda columns, known: one.of(columns, known).T

    @cached_property
    def _shap(self) -> list[list[tuple[Tree, Floats]]]:
        """By model and tree CatBoost's own SHAP values, (leaves, columns): of one row in each leaf."""
        return [
            [(tree, _shap_of(model, at, tree.questions)) for at, tree in enumerate(trees)]
            for model, trees in zip(self.models, self._trees, strict=True)
        ]

    def _read(self, model: CatBoostRegressor) -> tuple[list[Tree], float]:
        with TemporaryDirectory() as scratch:
            path = Path(scratch) / "model.json"
            model.save_model(str(path), format="json")
            content = json.loads(path.read_text())
        columns = content["features_info"]["float_features"]
        scale, (bias,) = content["scale_and_bias"]
        if "oblivious_trees" not in content or any(one["nan_value_treatment"] == "AsTrue" for one in columns):
            raise ContractError("trees that are not symmetric, or take an unknown value for a great one, are not read")
        place = {one["feature_index"]: one["flat_feature_index"] for one in columns}
        trees = []
        for tree in content["oblivious_trees"]:
            questions = []
            for split in tree["splits"] or ():
                if split["split_type"] != "FloatFeature":
                    raise ContractError(f"a split of the type {split['split_type']} is not read")
                questions.append((place[split["float_feature_index"]], float(np.float32(split["border"]))))
            trees.append(Tree(tuple(questions), scale * np.array(tree["leaf_values"], np.float64)))
        return trees, float(bias)


def _shap_of(model: CatBoostRegressor, at: int, questions: Sequence[tuple[int, float]]) -> Floats:
    """(leaves, columns): the SHAP values that CatBoost gives for one tree; 0 for a leaf that no row can reach."""
    from catboost import Pool

    one = model.copy()
    one.shrink(at + 1, at)
    rows = np.zeros((1 << len(questions), len(model.feature_names_)), np.float32)
    reached = np.ones(len(rows), bool)
    for leaf, row in enumerate(rows):
        low, high = dict[int, float](), dict[int, float]()
        for bit, (column, border) in enumerate(questions):
            if leaf >> bit & 1:
                low[column] = max(low.get(column, -np.inf), border)
            else:
                high[column] = min(high.get(column, np.inf), border)
        for column in {*low, *high}:
            row[column] = np.nextafter(np.float32(low[column]), np.float32(np.inf)) if column in low else high[column]
            reached[leaf] &= row[column] <= high.get(column, np.inf)
    values: Floats = one.get_feature_importance(Pool(rows), type="ShapValues", thread_count=1)[:, :-1]
    return np.where(reached[:, None], values, 0.0)


def _tables(trees: Sequence[Tree]) -> list[Tree]:
    """The trees, several as one: the table of a group's sums."""
    tables: list[Tree] = []
    for tree in trees:
        if tables and len(tables[-1].questions) + len(tree.questions) <= TABLE_BITS:
            before = tables[-1]
            # the new questions are the higher bits
            leaves = np.concatenate([before.leaves + leaf for leaf in tree.leaves])
            tables[-1] = Tree(before.questions + tree.questions, leaves)
        else:
            tables.append(tree)
    return tables


class _Sum:
    """The sum of some trees; what no `seen` column changes is found once for rows that only differ in these."""

    def __init__(self, trees: Sequence[Tree], seen: Collection[int], bias: float = 0.0) -> None:
        self._seen, self._bias = seen, bias
        self._outputs = trees[0].leaves.shape[1:] if trees else ()
        self._fixed = _tables([tree for tree in trees if not self._moving(tree)])
        self._moved = [self._moving_first(table) for table in _tables([tree for tree in trees if self._moving(tree)])]

    def of(self, columns: NDArray[np.float32], known: dict[int, Any]) -> Floats:
        """(rows,) or (rows, outputs): the sum for (columns, rows); `known` as in `Trees.predict`."""
        if id(self) not in known:
            known[id(self)] = self._of_fixed(columns)
        fixed, places = known[id(self)]
        total: Floats = fixed.copy()
        found = np.empty_like(total)
        for table, higher in zip(self._moved, places, strict=True):
            place = _place(columns, table.questions[: self._moving(table)], len(table.questions))
            place |= higher
            table.leaves.take(place, axis=0, out=found, mode="clip")
            total += found
        return total

    def _of_fixed(self, columns: NDArray[np.float32]) -> tuple[Floats, list[NDArray[Any]]]:
        """What no `seen` column changes: the sum of the trees that ask of none, with the bias; and in each other table
        the bits of the place that further columns say."""
        total = np.full((columns.shape[1], *self._outputs), self._bias)
        found = np.empty_like(total)
        for table in self._fixed:
            place = _place(columns, table.questions, len(table.questions))
            table.leaves.take(place, axis=0, out=found, mode="clip")
            total += found
        places = []
        for table in self._moved:
            moving = self._moving(table)
            place = _place(columns, table.questions[moving:], len(table.questions))
            place <<= moving
            places.append(place)
        return total, places

    def _moving(self, tree: Tree) -> int:
        """How many of its questions are asked of a `seen` column."""
        return sum(column in self._seen for column, _ in tree.questions)

    def _moving_first(self, tree: Tree) -> Tree:
        """The same tree with the questions of `seen` columns first: in the low bits of a place."""
        order = sorted(range(len(tree.questions)), key=lambda bit: tree.questions[bit][0] not in self._seen)
        leaf = np.arange(len(tree.leaves))
        before = sum(((leaf >> bit & 1) << old for bit, old in enumerate(order)), np.zeros_like(leaf))
        return Tree(tuple(tree.questions[bit] for bit in order), tree.leaves[before])


def _place(columns: NDArray[np.float32], questions: Sequence[tuple[int, float]], bits: int) -> NDArray[Any]:
    """(rows,): the answers as the bits of a number, the first one the lowest, with room for so many bits."""
    rows, kind = columns.shape[1], np.uint16 if bits <= 16 else np.uint32
    byte, answer = np.empty(rows, np.uint8), np.empty(rows, np.bool_)
    place: NDArray[Any] | None = None
    for start in reversed(range(0, len(questions), 8)):  # a byte at a time, the highest first
        *lower, (column, border) = questions[start : start + 8]
        np.greater(columns[column], np.float32(border), out=byte.view(np.bool_))
        for column, border in reversed(lower):
            np.add(byte, byte, out=byte)
            np.greater(columns[column], np.float32(border), out=answer)
            np.bitwise_or(byte, answer.view(np.uint8), out=byte)
        if place is None:
            place = byte.astype(kind)
        else:
            place <<= 8
            place |= byte
    return np.zeros(rows, kind) if place is None else place
