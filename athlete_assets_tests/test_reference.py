"""The pages that follow from the code are what the code says."""

import re
import runpy
from pathlib import Path

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
