"""How messages count."""

import re

import pytest

from athlete_assets.words import counted, verb
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


def test_what_commands_sensors_and_alerts_say_counts_by_this_helper() -> None:
    """`{len(days)} days` would say "1 days"."""
    heard = [ROOT / name for name in ("commands.py", "runs.py", "doctor.py", "upcoming.py", "rebuild.py")]
    heard += [*(ROOT / "orchestration").glob("*.py"), *(ROOT / "forgetting").glob("*.py")]
    said = [
        f"{path.name}: {found}"
        for path in heard
        for found in re.findall(rf"\{{[^{{}}]*\}} (?:{COUNTED})\b", path.read_text())
        if "settings." not in found
    ]
    assert said == []
