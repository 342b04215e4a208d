"""How messages count: `1 day`, `2 days`, `0 activities`."""

from __future__ import annotations

import re


def counted(count: int, noun: str, plural: str | None = None) -> str:
    """The count with its noun, in the plural unless it is one; `plural` where that is neither -s nor -ies."""
    return f"{count:,} {noun if count == 1 else plural or plural_of(noun)}"


def plural_of(noun: str) -> str:
    """The regular plural: day, days; activity, activities."""
    return re.sub(r"(?<=[^aeiou])y$", "ie", noun) + "s"


def verb(count: int, singular: str, plural: str) -> str:
    """The verb that goes with the count: `is`, `are`."""
    return singular if count == 1 else plural
