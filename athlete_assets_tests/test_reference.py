"""The pages that follow from the code are what the code says."""

import runpy
from pathlib import Path

PAGES = runpy.run_path(str(Path(__file__).parents[1] / "docs" / "reference.py"))


def test_no_page_is_outgrown() -> None:
    assert PAGES["outgrown"]() == []


def test_each_setting_stands_below_a_heading() -> None:
    from athlete_assets.settings import Settings

    named = [name for _, names in PAGES["_groups"]() for name in names]
    assert named == list(Settings.model_fields)
