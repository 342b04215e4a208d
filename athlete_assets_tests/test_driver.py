"""Every place at which rows of a frame come to the driver is listed with what bounds it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import athlete_assets

ROOT = Path(athlete_assets.__file__).parent
PAGE = ROOT.parent / "docs" / "decisions" / "what-the-driver-holds.md"
FETCHES = {"collect", "first", "isEmpty", "toArrow", "toLocalIterator", "toPandas"}


def fetching(node: ast.AST, inside: tuple[str, ...] = ()) -> Iterator[str]:
    """The functions below the node that fetch rows, by their names with those of the classes and functions around."""
    for child in ast.iter_child_nodes(node):
        is_named = isinstance(child, ast.FunctionDef | ast.ClassDef)
        if isinstance(child, ast.Call) and isinstance(child.func, ast.Attribute) and child.func.attr in FETCHES:
            yield ".".join(inside)
        yield from fetching(child, (*inside, child.name) if is_named else inside)


def test_the_page_lists_each_function_that_fetches_rows_once_and_no_other() -> None:
    found = {
        (path.relative_to(ROOT).as_posix(), function)
        for path in ROOT.rglob("*.py")
        for function in fetching(ast.parse(path.read_text()))
    }
    cells = [line.split("|")[1:3] for line in PAGE.read_text().splitlines() if line.startswith("| `")]
    listed = [(file.strip(" `"), function.strip(" `")) for file, function in cells]
    assert len(listed) == len(set(listed))
    assert set(listed) == found
