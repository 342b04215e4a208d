"""How messages count."""

import re

import pytest

from athlete_assets.words import counted, nearest, verb
from athlete_assets_tests.test_layers import ROOT

COUNTED = (
    "activities|athletes|columns|days|efforts|evenings|events|files|imports|labels|messages|months|partitions|places|"
    "races|recordings|rows|runs|sessions|splits|versions|weeks|years"
)


@pytest.mark.parametrize(
    ("count", "noun", "plural", "says"),
    [
        (0, "day", None, "0 days"),
        (1, "day", None, "1 day"),
        (2, "activity", None, "2 activities"),
        (1, "silver activity", None, "1 silver activity"),
        (1234, "row", None, "1,234 rows"),
        (2, "athlete's statement", "athletes' statements", "2 athletes' statements"),
    ],
)
def test_a_noun_follows_its_count(count: int, noun: str, plural: str | None, says: str) -> None:
    assert counted(count, noun, plural) == says
    assert verb(count, "is", "are") == ("is" if count == 1 else "are")


SAID_OF_MANY = {  # what has no other count than several
    "tables.py",  # the names of windows
    "basis.py",  # more than FRESH_DAYS, more than IDLE_DAYS
    "batch.py",  # "3 of 1,200 recordings"
    "charts.py",  # LOAD_DAYS
    "delta_folder.py",  # so many commits that it gave up
    "maintenance.py",  # a literal of the engine
    "sequences.py",  # an error of the code that calls it
    "texts.py",  # beside them stand day_ago and one_athlete
}
SEVERAL = r"settings\.|:[+,]?\.\d[f%]|:>|\{len\((?:found|groups|ids)\)\}|\{years\}|fitted_on|num_rows|\{count\} files"
"""Limits, broken numbers, columns of a table, and what is told only because it is more than one."""


def test_messages_count_by_this_helper() -> None:
    """`{len(days)} days` would say "1 days"."""
    said = [
        f"{path.relative_to(ROOT)}: {found}"
        for path in ROOT.rglob("*.py")
        if path.name not in SAID_OF_MANY
        for found in re.findall(rf"\{{[^{{}}\n]*\}} (?:of the )?(?:{COUNTED})\b", path.read_text())
        if not re.search(SEVERAL, found)
    ]
    assert said == []


def test_a_misspelled_name_gets_the_names_that_are_like_it_or_hold_it() -> None:
    known = ("gold.athlete_predictions", "gold.athlete_pages", "summary")
    assert nearest("summry", known, "there are") == "did you mean summary?"
    assert nearest("pages", known, "there are") == "did you mean gold.athlete_pages?"
    assert nearest("x", known, "there are") == f"there are: {', '.join(known)}"
