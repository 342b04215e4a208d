"""What the page of a serving model says."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

from athlete_assets.gold.pages.texts import Words
from athlete_assets.models.model_card import RIEGEL, ModelCard


def model_title(card: ModelCard, words: Words) -> str:
    return words("card_title", model=words.known(card.model, card.model), version=card.version)


def model_view(card: ModelCard, words: Words) -> dict[str, Any]:
    """What the template of a model's page is given."""
    labels, figures = card.labels, card.figures
    unrecorded = words("card_not_recorded")

    def of_labels(name: str) -> str:
        return words.number(labels[name]) if name in labels else unrecorded

    kinds = ", ".join(f"{name} {words.number(rows)}" for name, rows in labels.get("kinds", {}).items())
    span = (
        f"{words.day(date.fromisoformat(labels['first_day']))} – {words.day(date.fromisoformat(labels['last_day']))}"
        if labels
        else unrecorded
    )
    detector = _detector(card, words) if "auc" in figures else None
    return {
        "title": model_title(card, words),
        "serves": words("card_serves", day=words.day(card.since)),
        "description": card.description,
        "kind": words.known(f"card_kind_{card.kind}", card.kind),
        "data": [
            (words("card_labels"), of_labels("train")),
            (words("card_kinds"), kinds or unrecorded),
            (words("card_holdout"), of_labels("holdout")),
            (words("card_athletes"), of_labels("athletes")),
            (words("card_span"), span),
        ],
        "errors": _errors(card, words),
        "detector": detector,
        "gate": card.gate,
        "limits": words.known(f"card_limits_{card.model}", ""),
        "figures": [*card.params.items(), *((name, f"{value:.6g}") for name, value in card.metrics.items())],
        "charts": {"calibration": _calibration(figures)} if detector and detector["calibration"] else None,
    }


def _errors(card: ModelCard, words: Words) -> list[dict[str, Any]]:
    head = ("distance", "card_efforts", "card_mae", "card_ape", "card_coverage", "card_width", "card_against")
    return [
        {
            "title": words.known(f"card_part_{part}", part),
            "head": [words(name) for name in head],
            "rows": [_error_row(name, found, words) for name, found in distances.items()],
        }
        for part, distances in card.errors()
    ]


def _error_row(name: str, found: Mapping[str, Any], words: Words) -> list[str]:
    model, gain = found["methods"]["model"], found.get("against", {}).get(RIEGEL, {})
    below = gain.get("mean_ape_below")
    interval = f" [{words.percent(gain['low'])}, {words.percent(gain['high'])}]" if below is not None else ""
    return [
        words.known(name, name),
        words.number(found["n"]),
        words.time(model["mae_s"]),
        words.percent(model["mean_ape"], 1),
        words.percent(found["coverage"]),
        words.percent(found["width"]),
        f"{words.percent(below)}{interval}",
    ]


def _detector(card: ModelCard, words: Words) -> dict[str, Any]:
    found = card.figures

    def interval(name: str, low: str, high: str) -> str:
        told = [words.number(found.get(key), 3) for key in (name, low, high)]
        return f"{told[0]} [{told[1]}, {told[2]}]"

    return {
        "rows": [
            (words("card_auc"), interval("auc", "auc_low", "auc_high")),
            *(
                (words(f"card_auc_{rival}"), interval(f"auc_{rival}_alone", f"auc_{rival}_low", f"auc_{rival}_high"))
                for rival in card.rivals()
            ),
            (words("card_brier"), words.number(found.get("brier"), 4)),
            (words("card_brier_base"), words.number(found.get("brier_base_rate"), 4)),
            (words("card_base_rate"), words.percent(found.get("base_rate"))),
            (words("card_evenings"), words.number(found.get("evenings"))),
            (words("card_athletes"), words.number(found.get("athletes"))),
        ],
        "calibration": [
            [words.percent(part["predicted"]), words.percent(part["observed"]), words.number(part["n"])]
            for part in found.get("calibration", [])
        ],
    }


def _calibration(figures: Any) -> dict[str, list[float]]:
    return {
        name: [round(part[name], 4) for part in figures.get("calibration", [])] for name in ("predicted", "observed")
    }
