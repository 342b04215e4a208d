"""Writes docs/licences.md: what the product installs and under which licence each part may be used.

    python docs/licences.py          writes the page for the installed packages
    python docs/licences.py --check  says what the page lacks or has otherwise, and licences that nobody has allowed

A licence is what a package states: its expression, else its classifiers, else the first words of its licence field.
"""

from __future__ import annotations

import re
import sys
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PAGE = Path(__file__).with_name("licences.md")
WORDING_OF = (3, 11)
"""The Python whose packages' words stand on the page; others get other versions of some, under the same licences."""
ROOTS = ("athlete-assets[postgres]",)
ALLOWED = re.compile(
    r"\b(MIT|BSD|0BSD|Apache|ISC|PSF|Python Software Foundation|MPL|Mozilla|HPND|Unlicense|Zlib|CNRI|LGPL|"
    r"Lesser General Public|Databricks|Public Domain|CC0)\b",
    re.IGNORECASE,
)
"""Permissive ones, and weak copyleft that leaves code beside it alone; `Databricks` is that of its client."""
KNOWN = {
    "databricks-agents": "Databricks Proprietary License",
    "huey": "MIT",
    "skops": "MIT",
    "tiktoken": "MIT",
}
"""Packages whose metadata name no licence, and what the file beside them says."""
HEAD = """# Licences of what is installed

Written by `docs/licences.py` from the packages' own metadata; a test compares it with what is installed. Only what the
product needs to run stands here, on Python 3.10 to 3.12; versions stand in `constraints.txt`.

| package | licence |
|---|---|
"""


def installed() -> dict[str, Distribution]:
    """Every distribution that the product needs, directly or not, as far as this Python needs it."""
    found: dict[str, Distribution] = {}
    asked: set[tuple[str, str]] = set()
    waiting = [Requirement(root) for root in ROOTS]
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        for extra in ("", *requirement.extras):
            if (name, extra) in asked:
                continue
            asked.add((name, extra))
            try:
                found[name] = distribution(name)
            except PackageNotFoundError:
                continue  # an extra of ours that is not installed here
            for line in found[name].requires or ():
                further = Requirement(line)
                if further.marker is None or further.marker.evaluate({"extra": extra}):
                    waiting.append(further)
    found.pop("athlete-assets", None)
    return dict(sorted(found.items()))


def licence(name: str, package: Distribution) -> str:
    metadata = package.metadata
    if name in KNOWN:
        return KNOWN[name]
    if expression := metadata.get("License-Expression"):
        return str(expression)
    classifiers = [
        line.rsplit(" :: ", 1)[1] for line in metadata.get_all("Classifier", []) if line.startswith("License ::")
    ]
    if named := [each for each in classifiers if each != "OSI Approved"]:
        return ", ".join(sorted(named))
    return " ".join((metadata.get("License") or "not stated").split())[:60]


def listed() -> dict[str, str]:
    rows = re.findall(r"^\| ([a-z0-9.-]+) \| (.+) \|$", PAGE.read_text(), re.MULTILINE)
    return {name: stated for name, stated in rows if name != "package"}


def faults() -> list[str]:
    """What the page lacks or says otherwise, and licences outside ALLOWED."""
    page = listed()
    now = {name: licence(name, package) for name, package in installed().items()}
    return [
        *(f"{name}: {stated}, and the page says {page.get(name, 'nothing')}" for name, stated in now.items()
          if (page.get(name) != stated if sys.version_info[:2] == WORDING_OF else name not in page)),
        *(f"{name}: {stated!r} is not among the allowed licences" for name, stated in sorted({**page, **now}.items())
          if not ALLOWED.search(stated)),
    ]  # fmt: skip


def main() -> int:
    if "--check" not in sys.argv:
        page = listed() if PAGE.exists() else {}
        found = {name: licence(name, package) for name, package in installed().items()}
        page = {**page, **found} if sys.version_info[:2] == WORDING_OF else {**found, **page}
        PAGE.write_text(HEAD + "".join(f"| {name} | {page[name]} |\n" for name in sorted(page)))
    found = faults()
    print("\n".join(found) or f"{len(listed())} packages, each under an allowed licence")
    return 1 if found else 0


if __name__ == "__main__":
    raise SystemExit(main())
