"""A version's card tells its own run's figures, in the registry and as a page."""

from __future__ import annotations

import re
from datetime import date

import numpy as np
import pandas as pd
import pytest

from athlete_assets.days import midnight
from athlete_assets.gold.pages.model_page import model_view
from athlete_assets.gold.pages.site import _render
from athlete_assets.gold.pages.texts import Words
from athlete_assets.models import model_card, promotion, registry
from athlete_assets.models.model_card import ModelCard, as_markdown, label_facts
from athlete_assets.models.promotion import Decision
from athlete_assets.models.specs import MODELS
from athlete_assets.settings import Settings

SPEC = MODELS["time_estimator"]
FIGURES = {
    "holdout": {
        "10k": {
            "n": 42,
            "athletes": 9,
            "methods": {"model": {"n": 42, "mae_s": 150.4, "median_ape": 0.04, "mean_ape": 0.0512}},
            "coverage": 0.81,
            "width": 0.13,
            "against": {"riegel_corrected": {"mean_ape_below": 0.31, "low": 0.2, "high": 0.4}},
        }
    }
}
LABELS = {
    "train": 900,
    "holdout": 42,
    "athletes": 30,
    "first_day": "2021-05-01",
    "last_day": "2024-05-15",
    "kinds": {"race": 500, "heart_rate": 400},
}
CARD = ModelCard(
    model="time_estimator",
    version="7",
    kind="learned",
    description=SPEC.description,
    since=date(2024, 5, 15),
    params={"labels": "900"},
    metrics={"holdout.10k.coverage": 0.81},
    figures=FIGURES,
    labels=LABELS,
    gate=("passed: <it> is better",),
)


def words_of(html: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html))


def test_labels_are_counted_by_kind_athlete_and_day() -> None:
    days = pd.to_datetime([midnight(date(2024, 1, day)) for day in (3, 1, 2, 9)])
    rows = pd.DataFrame(
        {"athlete_id": list("abab"), "activity_date": days, "effort": ["race", "race", "heart_rate", "race"]}
    ).assign(time_s=1.0)
    assert label_facts(SPEC, rows[:3], rows[3:]) == {
        "train": 3,
        "holdout": 1,
        "athletes": 2,
        "first_day": "2024-01-01",
        "last_day": "2024-01-09",
        "kinds": {"race": 2, "heart_rate": 1},
    }
    evenings = pd.DataFrame({"athlete_id": ["a", "a"], "as_of_date": days[:2], "disrupted": np.array([True, False])})
    assert label_facts(MODELS["overtraining_detector"], evenings, evenings[:0])["kinds"] == {"True": 1, "False": 1}


def test_the_registry_gets_figures_and_verdict_as_text() -> None:
    text = as_markdown(CARD)
    assert "900 learned from (race 500, heart_rate 400), 42 held out, of 30 athletes, 2021-05-01 to 2024-05-15" in text
    assert "| 10k | 42 | 150 | 5.1% | 81% | 31% |" in text
    assert "- passed: <it> is better" in text


def test_the_page_tells_the_same_and_escapes_what_it_quotes() -> None:
    html = _render("model.html", model_view(CARD, Words("en")), Words("en"), root="../")
    said = words_of(html)
    assert "10 km 42 2:30 5.1 % 81 % 13 % 31 % [20 %, 40 %]" in said
    assert "race 500, heart_rate 400" in said
    assert "&lt;it&gt;" in html
    portuguese = words_of(_render("model.html", model_view(CARD, Words("pt")), Words("pt"), root="../"))
    assert "10 km 42 2:30 5,1 % 81 %" in portuguese


def test_a_version_without_figures_says_that_it_was_not_judged() -> None:
    formula = ModelCard(**{**vars(CARD), "kind": "formula", "figures": {}, "labels": {}})
    said = words_of(_render("model.html", model_view(formula, Words("en")), Words("en"), root="../"))
    assert "This version was not judged on a holdout." in said
    assert "not recorded by this run" in said


@pytest.fixture
def registered(settings: Settings) -> Settings:
    """A version of the time estimator that serves, whose run holds figures."""
    import mlflow

    settings.home.mkdir(parents=True)
    mlflow.set_tracking_uri(settings.mlflow_tracking_uri)
    mlflow.set_registry_uri(settings.mlflow_registry_uri)
    client, name = registry.client(settings), registry.model_name("time_estimator", settings)
    experiment = client.create_experiment("cards", artifact_location=(settings.home / "artifacts").as_uri())
    run = client.create_run(experiment)
    client.log_metric(run.info.run_id, "holdout.10k.coverage", 0.81)
    client.log_dict(run.info.run_id, FIGURES, model_card.EVALUATION)
    client.log_dict(run.info.run_id, LABELS, model_card.LABELS)
    client.create_registered_model(name)
    version = client.create_model_version(name, str(settings.home / "artifacts"), run.info.run_id)
    promotion.apply("time_estimator", version.version, Decision(True, CARD.gate), settings, kind="learned")
    return settings


def test_a_card_is_read_from_the_run_and_written_into_the_description(registered: Settings) -> None:
    card = model_card.serving_card(SPEC, registered)
    assert card is not None
    assert (card.version, card.kind, card.gate) == ("1", "learned", CARD.gate)
    assert (card.figures, card.labels) == (FIGURES, LABELS)
    assert card.metrics == {"holdout.10k.coverage": 0.81}
    model_card.describe(SPEC, "1", registered)
    name = registry.model_name("time_estimator", registered)
    assert registry.client(registered).get_model_version(name, "1").description == as_markdown(card)


def test_where_nothing_serves_there_is_no_card(settings: Settings) -> None:
    settings.home.mkdir(parents=True)
    assert model_card.serving_card(SPEC, settings) is None
