"""Each private name of a library that the product leans on stands in docs/decisions, with the test that guards it."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from pathlib import Path

import pytest

import athlete_assets

ROOT = Path(athlete_assets.__file__).parent
TESTS = Path(__file__).parent
PAGE = TESTS.parent / "docs" / "decisions" / "private-apis.md"


def rows(heading: str) -> list[list[str]]:
    """The cells of a table of the page, below its heading row."""
    table = PAGE.read_text().split(heading)[1].split("\n\n")[0]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]


def named(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def is_private(name: str) -> bool:
    return any(part.startswith("_") and not part.startswith("__") for part in name.split("."))


def imported() -> set[str]:
    """Private names of other packages that the product imports, wherever in a file the import stands."""
    found = set()
    for path in ROOT.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {name for name in found if is_private(name) and not name.startswith("athlete_assets")}


LISTED = rows("| module | names | fails when it moves |")
MEMBERS = rows("| class | members |")


def test_the_page_lists_each_private_import_once_and_no_other() -> None:
    listed = [f"{named(module)[0]}.{name}" for module, names, _ in LISTED for name in named(names)]
    assert len(listed) == len(set(listed))
    assert set(listed) == imported()


@pytest.mark.parametrize("guard", sorted({named(test)[0] for _, _, test in LISTED}))
def test_each_guard_is_a_test(guard: str) -> None:
    file, name = guard.split("::")
    defined = {node.name for node in ast.parse((TESTS / file).read_text()).body if isinstance(node, ast.FunctionDef)}
    assert name in defined


@pytest.mark.parametrize(("owner", "members"), MEMBERS)
def test_the_private_members_are_there(owner: str, members: str) -> None:
    module, name = named(owner)[0].rsplit(".", 1)
    kind = getattr(importlib.import_module(module), name)
    for member in named(members):  # of the class, or set by its own __init__
        assert hasattr(kind, member) or f"self.{member} =" in inspect.getsource(kind.__init__)
