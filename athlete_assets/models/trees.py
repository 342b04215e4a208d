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

    questions: tuple[int, ...]
    leaves: Floats
    """(2^questions,), or (2^questions, outputs)."""


class Trees:
    """Models over the same columns, evaluated together.

    seen: the places of the columns that differ between calls with the same `known`; the others are looked at once.
    Raises ContractError for trees of another kind than symmetric ones over numbers.
    """

    def __init__(self, models: Sequence[CatBoostRegressor], seen: Collection[int]) -> None:
        self.models = list(models)
        self._questions: dict[tuple[int, float], int] = {}
        """Number by (column, border): is the value above the border?"""
        found = [self._read(model) for model in self.models]
        self._trees = [trees for trees, _ in found]
        self._bias = np.array([[bias] for _, bias in found])
        moving = {number for (column, _), number in self._questions.items() if column in set(seen)}
        self._moving = [(c, b, n) for (c, b), n in self._questions.items() if n in moving]
        self._fixed = [(c, b, n) for (c, b), n in self._questions.items() if n not in moving]
        self._moving_tables = [
            _tables([tree for tree in trees if moving & set(tree.questions)]) for trees in self._trees
        ]
        self._fixed_tables = [
            _tables([tree for tree in trees if not moving & set(tree.questions)]) for trees in self._trees
        ]

    def predict(self, columns: NDArray[np.float32], known: dict[int, Any]) -> Floats:
        """(models, rows): what each model's `predict` gives for (columns, rows).

        known: empty for new rows; holds what was found of the columns that are not `seen` for the next call.
        """
        rows = columns.shape[1]
        if id(self) not in known:
            answers = np.empty((len(self._questions), rows), np.uint8)
            _answer(columns, self._fixed, answers)
            fixed = np.zeros((len(self.models), rows))
            for total, tables in zip(fixed, self._fixed_tables, strict=True):
                _add(total, tables, answers)
            known[id(self)] = answers, fixed + self._bias
        answers, fixed = known[id(self)]
        _answer(columns, self._moving, answers)
        sums: Floats = fixed.copy()
        for total, tables in zip(sums, self._moving_tables, strict=True):
            _add(total, tables, answers)
        return sums

    def effects(self, number: int, membership: Floats) -> Callable[[NDArray[np.float32]], Floats]:
        """What gives (outputs, rows), the SHAP values of a model, for (columns, rows), summed over columns.

        membership: (columns, outputs), 1 where a column counts for an output.
        """
        tables = _tables([Tree(tree.questions, shap @ membership) for tree, shap in self._shap[number]])
        asked = {question for table in tables for question in table.questions}
        questions = [(c, b, n) for (c, b), n in self._questions.items() if n in asked]

        def of(columns: NDArray[np.float32]) -> Floats:
            answers = np.empty((len(self._questions), columns.shape[1]), np.uint8)
            _answer(columns, questions, answers)
            total = np.zeros((columns.shape[1], membership.shape[1]))
            _add(total, tables, answers)
            return total.T

        return of

    @cached_property
    def _shap(self) -> list[list[tuple[Tree, Floats]]]:
        """By model and tree CatBoost's own SHAP values, (leaves, columns): of one row in each leaf."""
        borders = {number: question for question, number in self._questions.items()}
        return [
            [
                (tree, _shap_of(model, at, [borders[question] for question in tree.questions]))
                for at, tree in enumerate(trees)
            ]
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
                question = (place[split["float_feature_index"]], float(np.float32(split["border"])))
                questions.append(self._questions.setdefault(question, len(self._questions)))
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


def _answer(
    columns: NDArray[np.float32], questions: Sequence[tuple[int, float, int]], answers: NDArray[np.uint8]
) -> None:
    """Writes 1 where the value is above the border, and 0 where it is not or is unknown."""
    as_bits = answers.view(np.bool_)
    for column, border, number in questions:
        np.greater(columns[column], np.float32(border), out=as_bits[number])


def _add(total: Floats, tables: Sequence[Tree], answers: NDArray[np.uint8]) -> None:
    """Adds what each table says of each row to (rows,) or (rows, outputs)."""
    rows = answers.shape[1]
    found = np.empty_like(total)
    byte = np.empty(rows, np.uint8)
    for table in tables:
        place: NDArray[Any] = np.zeros(rows, np.uint16 if len(table.questions) <= 16 else np.uint32)
        for start in reversed(range(0, len(table.questions), 8)):  # a byte at a time, the highest first
            low, *higher = table.questions[start : start + 8]
            byte[:] = 0
            for question in reversed(higher):
                np.bitwise_or(byte, answers[question], out=byte)
                np.add(byte, byte, out=byte)
            np.bitwise_or(byte, answers[low], out=byte)
            if start + 8 < len(table.questions):
                place <<= 8
            place |= byte
        table.leaves.take(place, axis=0, out=found, mode="clip")
        total += found
