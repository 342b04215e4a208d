"""The pages that follow from the code are what the code says."""

import re
import runpy
import textwrap
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
PAGES = runpy.run_path(str(ROOT / "docs" / "reference.py"))


def test_no_page_is_outgrown() -> None:
    assert PAGES["outgrown"]() == []


def test_each_setting_stands_below_a_heading() -> None:
    from athlete_assets.settings import Settings

    named = [name for _, names in PAGES["_groups"]() for name in names]
    assert named == list(Settings.model_fields)


def test_every_link_of_a_page_leads_to_something_that_is_there() -> None:
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    lost = [
        f"{page.relative_to(ROOT)}: {link}"
        for page in pages
        for link in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text())
        if "://" not in link and not (page.parent / link).exists()
    ]
    assert len(pages) > 20
    assert lost == []


@pytest.mark.parametrize(
    ("page", "made"), [("source", "CLUB_DIARY"), ("model", "SPEC"), ("gold-table", "biggest_weeks")]
)
def test_a_whole_file_on_a_page_of_how_to_add_can_be_copied(page: str, made: str) -> None:
    """What else stands there is a part of a file; the contracts that a page's file rests on refuse what they lack."""
    text = (ROOT / "docs" / "how-to-add" / f"{page}.md").read_text()
    blocks = [textwrap.dedent(block) for block in re.findall(r"^ *```python\n(.*?)^ *```$", text, re.S | re.M)]
    (whole,) = [block for block in blocks if block.startswith('"""')]
    found: dict[str, Any] = {"__name__": page}
    exec(compile(whole, f"{page}.md", "exec"), found)
    assert made in found
