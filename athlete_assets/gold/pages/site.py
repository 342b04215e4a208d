"""The pages as files: written where what they show changed, and removed with whom they show."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from athlete_assets import tables
from athlete_assets.days import midnight
from athlete_assets.errors import AthleteAssetsError
from athlete_assets.gold.pages import coach_page, model_page, reading
from athlete_assets.gold.pages.athlete_page import athlete_view
from athlete_assets.gold.pages.place import INDEX, folder_of
from athlete_assets.gold.pages.texts import MONTHS, WEEKDAYS, Words
from athlete_assets.models import model_card
from athlete_assets.models.specs import MODELS
from athlete_assets.settings import Settings
from athlete_assets.store.arrow import arrow_schema
from athlete_assets.store.base import Store, Written

if TYPE_CHECKING:
    from jinja2 import Environment

ATHLETES, MODEL_PAGES, SHARED = "athletes", "models", "shared"
"""Folders below the pages' own."""
HERE = Path(__file__).parent
LEGIBLE, DIGITS = 40, 10
"""Characters of an athlete's id, and digits of its SHA-256, in the name of the page."""
CHART_TEXTS = (
    "fitness",
    "fatigue",
    "form",
    "km",
    "mean_4",
    "hours",
    "no_heart_rate",
    "load",
    "rest_day",
    "each_run",
    "monthly_median",
    "pace",
    "pace_unit",
    "heart_rate",
    "bpm",
    "until_today",
    "predicted",
    "interval_80",
    "in_interval",
    "outside_interval",
    *tables.DISTANCES_M,
)
"""The texts that the pages' script writes into charts."""


@dataclass(frozen=True)
class Pages:
    """What a writing of the pages did."""

    folder: Path
    athletes: Mapping[str, Path]
    """Each athlete's page."""
    rendered: int
    """Pages of athletes that were written, since what they show had changed."""
    rows: list[dict[str, Any]]
    """The coach's page as data, a row an athlete."""
    written: Written

    @property
    def index(self) -> Path:
        return self.folder / INDEX


def page_name(athlete: str) -> str:
    """A file name for any id: its legible characters, and a digest that tells ids apart which look alike.

    >>> page_name("../<script>")
    'script-40b70f97ea.html'
    """
    legible = re.sub(r"[^A-Za-z0-9_-]+", "-", athlete).strip("-")[:LEGIBLE] or "athlete"
    return f"{legible}-{hashlib.sha256(athlete.encode()).hexdigest()[:DIGITS]}.html"


def write_pages(store: Store, settings: Settings) -> Pages:
    """Writes the pages of athletes whose numbers changed, the coach's, and those of the models that serve.

    Without any athlete it writes a coach's page that says so. Raises AthleteAssetsError where no folder is set.
    """
    folder = folder_of(settings)
    if folder is None:
        raise AthleteAssetsError("ATHLETE_REPORTS is not set: a volume's path, such as /Volumes/<catalog>/gold/reports")
    summary = reading.summaries(store)
    words = Words(settings.language)
    known = _stored(store)
    style = _style(settings)
    _write_shared(folder / SHARED)
    rows, entries, rendered = list[dict[str, Any]](), list[dict[str, Any]](), 0
    for shown in reading.read(store, summary):
        path = folder / ATHLETES / page_name(shown.athlete)
        digest = hashlib.sha256(f"{style}{shown.digest()}".encode()).hexdigest()
        size = known.get((shown.athlete, digest))
        if size is None or not path.is_file():
            text = _render("athlete.html", athlete_view(shown, words, settings), words, root="../")
            size = _write(path, text)
            rendered += 1
        rows.append(coach_page.coach_row(shown, f"{ATHLETES}/{path.name}", words))
        entries.append(
            {
                "athlete_id": shown.athlete,
                "page": f"{ATHLETES}/{path.name}",
                "content_hash": digest,
                "bytes": size,
                "as_of_date": midnight(shown.as_of),
            }
        )
    models = _write_models(folder / MODEL_PAGES, words, settings)
    _write(folder / INDEX, _render(INDEX, coach_page.coach_view(rows, models, words), words, root=""))
    _remove_others(folder / ATHLETES, {Path(entry["page"]).name for entry in entries})
    stated = pa.Table.from_pylist(entries, schema=arrow_schema(tables.ATHLETE_PAGES))
    written = store.replace(tables.ATHLETE_PAGES, store.frame(tables.ATHLETE_PAGES, stated))
    pages = {entry["athlete_id"]: folder / entry["page"] for entry in entries}
    return Pages(folder, pages, rendered, rows, written)


def remove_page(digest: str, settings: Settings) -> int:
    """Removes the page of the athlete whose id has this SHA-256, and the coach's, which names the athlete.

    How many files they were. The coach's page is written anew with the next materialisation, or by
    `athlete-assets report`.
    """
    folder = folder_of(settings)
    if folder is None:
        return 0
    # with what a killed process left of a page
    found = [*(folder / ATHLETES).glob(f"*-{digest[:DIGITS]}.html*"), *folder.glob(f"{INDEX}*")]
    for path in found:
        path.unlink(missing_ok=True)
    return len(found)


def _stored(store: Store) -> dict[tuple[str, str], int]:
    """Size in bytes of each page as last written, by athlete and digest."""
    rows = store.read(tables.ATHLETE_PAGES).select("athlete_id", "content_hash", "bytes").toArrow().to_pylist()
    return {(row["athlete_id"], row["content_hash"]): row["bytes"] for row in rows}


def _style(settings: Settings) -> str:
    """A digest of what the pages' look and words follow from beside the numbers."""
    found = hashlib.sha256(f"{settings.language} {settings.acwr_risk} {settings.monotony_risk}".encode())
    for path in sorted([*HERE.glob("*.py"), *(HERE / "templates").glob("*.html")]):
        found.update(path.read_bytes())
    return found.hexdigest()


def _write_models(folder: Path, words: Words, settings: Settings) -> list[dict[str, str]]:
    """Writes a page for each model that serves; title and address of each, as the coach's page links them."""
    pages = []
    for spec in MODELS.values():
        card = model_card.serving_card(spec, settings)
        if card is None:
            continue
        # by name alone: the address stays when another version serves
        _write(
            folder / f"{spec.name}.html", _render("model.html", model_page.model_view(card, words), words, root="../")
        )
        _write(
            folder / f"{spec.name}-v{card.version}.html",
            _render("model.html", model_page.model_view(card, words), words, root="../"),
        )
        pages.append({"title": model_page.model_title(card, words), "page": f"{MODEL_PAGES}/{spec.name}.html"})
    return pages


def _write_shared(folder: Path) -> None:
    """The script of the charts, ours, and the style: copied where they differ from the installed ones."""
    plotly = find_spec("plotly")
    assert plotly is not None
    assert plotly.origin is not None
    sources = [HERE / "shared" / name for name in ("pages.css", "pages.js")]
    for source in (*sources, Path(plotly.origin).parent / "package_data" / "plotly.min.js"):
        target = folder / source.name
        if not target.is_file() or target.stat().st_size != source.stat().st_size or source in sources:
            _write(target, source.read_bytes())


def _remove_others(folder: Path, kept: set[str]) -> None:
    """Removes the pages of athletes whom the tables no longer know."""
    for path in folder.glob("*.html"):
        if path.name not in kept:
            path.unlink(missing_ok=True)


def _write(path: Path, content: str | bytes) -> int:
    """Writes a file whole or not at all, where it differs; its size in bytes."""
    data = content.encode() if isinstance(content, str) else content
    if not path.is_file() or path.read_bytes() != data:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f"{path.name}.partial")
        partial.write_bytes(data)
        partial.replace(path)
    return len(data)


def _render(template: str, view: Mapping[str, Any], words: Words, root: str) -> str:
    texts = chart_texts(words) if view["charts"] is not None else None
    return _environment().get_template(template).render(**view, words=words, root=root, texts=texts)


def chart_texts(words: Words) -> dict[str, Any]:
    """What the script of the charts writes, in the pages' language."""
    return {
        **{key: words(key) for key in CHART_TEXTS},
        **{f"short_{name}": words(name).replace(" mar", "<br>mar") for name in tables.DISTANCES_M},
        "scenarios": {name: words(f"scenario_{name}") for name in tables.SCENARIOS},
        "observed": words("card_observed"),
        "tss_day": words("fitness_sub").rpartition(", ")[2],
        "zones": [words("zone", number=number) for number in range(1, 6)],
        "months": MONTHS[words.language].split(),
        "weekdays": WEEKDAYS[words.language].split(),
        "decimal": words.number(0.5, 1)[1],
        "thousands": words.number(1000)[1],
    }


@cache
def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.policies["json.dumps_kwargs"] = {"sort_keys": False, "separators": (",", ":"), "ensure_ascii": False}
    environment.globals["sort"] = _sort_attribute
    return environment


def _sort_attribute(value: float | None) -> Any:
    """The attribute by which the coach's table sorts a cell; none where its value is not known."""
    from markupsafe import Markup

    return "" if value is None else Markup(' data-v="{}"').format(round(float(value), 3))
