"""How messages count (`1 day`, `2 days`, `0 activities`), and what they suggest for a misspelled name."""

from __future__ import annotations

import re
from collections.abc import Collection
from difflib import get_close_matches


def counted(count: int, noun: str, plural: str | None = None) -> str:
    """The count with its noun, in the plural unless it is one; `plural` where that is neither -s nor -ies."""
    return f"{count:,} {noun if count == 1 else plural or plural_of(noun)}"


def plural_of(noun: str) -> str:
    """The regular plural: day, days; activity, activities."""
    return re.sub(r"(?<=[^aeiou])y$", "ie", noun) + "s"


def verb(count: int, singular: str, plural: str) -> str:
    """The verb that goes with the count: `is`, `are`."""
    return singular if count == 1 else plural


def nearest(name: str, known: Collection[str], what: str) -> str:
    """What a message about an unknown name ends with: the names that are like it or contain it, else all."""
    near = get_close_matches(name, known, n=3) or [one for one in known if name in one][:3]
    return f"did you mean {' or '.join(near)}?" if near else f"{what}: {', '.join(known)}"
