"""The population stability index, by hand."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from athlete_assets.models import distributions
from athlete_assets.models.distributions import Distribution, TrainingSample, counts_of


def index_of(reference: Distribution, values: np.ndarray) -> float:
    return distributions.stability_index(reference, counts_of(reference, values))


def test_the_index_is_that_of_the_formula() -> None:
    # bins below and above 10: expected 0.5 / 0.5, actual 0.8 / 0.2, none unknown
    reference = Distribution(edges=(10.0,), shares=(0.5, 0.5, 0.0))
    by_hand = (0.8 - 0.5) * math.log(0.8 / 0.5) + (0.2 - 0.5) * math.log(0.2 / 0.5)
    assert index_of(reference, np.array([1.0] * 80 + [20.0] * 20)) == pytest.approx(by_hand, rel=1e-12)


def test_the_training_values_have_not_drifted_from_themselves() -> None:
    values = np.random.default_rng(1).normal(size=5000)
    reference = distributions.distribution(values)
    assert len(reference.shares) == 11
    assert reference.shares[:10] == pytest.approx([0.1] * 10, abs=1e-3)
    assert index_of(reference, values) == pytest.approx(0, abs=1e-12)
    assert index_of(reference, values + 2) > distributions.SHIFTED


def test_values_that_become_unknown_are_a_shift() -> None:
    values = np.arange(1000.0)
    half_unknown = np.where(values % 2 == 0, np.nan, values)
    assert index_of(distributions.distribution(values), half_unknown) > distributions.SHIFTED


def test_few_values_and_unknown_columns_are_not_judged() -> None:
    references = {"a": distributions.distribution(np.arange(1000.0))}
    few, enough, many = (counts_of(references["a"], np.arange(count)) for count in (50.0, 100.0, 1000.0))
    assert distributions.shifted(references, {"a": few, "b": many}) == {}
    assert list(distributions.shifted(references, {"a": enough})) == ["a"]


def test_a_constant_and_an_empty_column_have_a_distribution() -> None:
    for values in (np.full(200, 3.0), np.full(200, np.nan)):
        assert index_of(distributions.distribution(values), values) == pytest.approx(0, abs=1e-12)


def test_references_survive_json() -> None:
    rows = pd.DataFrame({"athlete_id": ["ann", "bob"] * 500, "a": np.arange(1000.0)})
    said = pd.DataFrame({"seconds": np.arange(1000.0), "served_by": "model"})
    sample = TrainingSample.of(rows, ["a"], said)
    assert (set(sample.columns), sample.athletes) == ({"a", "prediction seconds"}, 2)
    assert distributions.from_json(distributions.to_json(sample)) == sample


def test_a_file_of_an_earlier_release_still_says_what_was_seen() -> None:
    text = '{"a": {"edges": [1.0], "shares": [0.5, 0.5, 0.0]}}'
    assert distributions.from_json(text) == TrainingSample({"a": Distribution((1.0,), (0.5, 0.5, 0.0))}, None)
