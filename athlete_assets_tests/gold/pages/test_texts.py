"""Every text is there in every language, with the same places for values, and numbers are written as people do."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path
from string import Formatter

import pytest

from athlete_assets.gold.pages import site
from athlete_assets.gold.pages.texts import LANGUAGES, MONTHS, TEXTS, WEEKDAYS, Words
from athlete_assets.settings import Settings

ENGLISH, PORTUGUESE = Words("en"), Words("pt")


def places(text: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(text) if name is not None}


def test_every_language_of_the_setting_has_every_text() -> None:
    languages = set(LANGUAGES)
    assert set(Settings.model_fields["language"].annotation.__args__) == languages  # type: ignore[union-attr]
    for key, texts in TEXTS.items():
        assert set(texts) == languages, key
        assert all(texts.values()), key
        assert places(texts["en"]) == places(texts["pt"]), key
    assert {len(months.split()) for months in MONTHS.values()} == {12}
    assert {len(days.split()) for days in WEEKDAYS.values()} == {7}


def test_every_text_that_a_page_asks_for_is_in_the_catalogue() -> None:
    folder = Path(site.__file__).parent
    asked = {
        key
        for path in (*folder.glob("*.py"), *(folder / "templates").glob("*.html"))
        for key in re.findall(r"""words\(\s*["']([a-z0-9_]+)["'][,)]""", path.read_text())
    }
    assert len(asked) > 80
    assert asked <= set(TEXTS)


def test_every_text_that_the_charts_write_is_given_to_them() -> None:
    script = (Path(site.__file__).parent / "shared" / "pages.js").read_text()
    asked = set(re.findall(r"\btext\.([a-z0-9_]+)", script))
    for words in (ENGLISH, PORTUGUESE):
        assert asked <= set(site.chart_texts(words))


@pytest.mark.parametrize(
    ("said", "english", "portuguese"),
    [
        (lambda words: words.number(1234.56, 1), "1,234.6", "1.234,6"),
        (lambda words: words.number(-0.04, 1, sign=True), "0.0", "0,0"),
        (lambda words: words.number(-3.2, 1, sign=True), "−3.2", "−3,2"),
        (lambda words: words.number(None), "–", "–"),
        (lambda words: words.number(float("nan")), "–", "–"),
        (lambda words: words.percent(0.1234, 1), "12.3 %", "12,3 %"),
        (lambda words: words.day(date(2024, 8, 12)), "12 Aug 2024", "12 ago 2024"),
        (lambda words: words.time(6320), "1:45:20", "1:45:20"),
        (lambda words: words.pace(5.2), "5:12 /km", "5:12 /km"),
        (lambda words: words.change(-42.3), "−0:42", "−0:42"),
        (lambda words: words.change(0.2), "±0:00", "±0:00"),
        (lambda words: words.ago(1), "1 day ago", "há 1 dia"),
    ],
)
def test_numbers_days_and_times_are_written_as_people_do(said, english, portuguese) -> None:  # type: ignore[no-untyped-def]
    assert (said(ENGLISH), said(PORTUGUESE)) == (english, portuguese)
