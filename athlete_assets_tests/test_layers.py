"""Imports run one way: a folder knows those below it, and none above or beside it."""

import ast
from pathlib import Path

import athlete_assets

LAYERS = (
    ("errors", "days", "tables", "formulas"),
    ("settings",),
    ("partitions",),
    ("store",),
    ("silver",),
    ("features",),
    ("models",),
    ("gold",),
    ("monitoring",),
    ("assets",),
    ("orchestration",),
    ("deployments",),
    ("definitions",),
    ("commands",),
    ("cli",),
)
"""From the bottom up. What shares a line may import one another; README's map has the same order."""

ROOT = Path(athlete_assets.__file__).parent
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}


def imports(file: Path) -> set[str]:
    """The modules of this package that a file imports, wherever in it the import stands."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {name.removeprefix("athlete_assets.") for name in found if name.startswith("athlete_assets.")}


def files() -> dict[str, Path]:
    """Each file by its dotted name below the package."""
    return {
        ".".join(path.relative_to(ROOT).with_suffix("").parts): path
        for path in sorted(ROOT.rglob("*.py"))
        if path.name != "__init__.py"
    }


def test_a_folder_imports_only_what_lies_below_it() -> None:
    upward = [
        f"{name} imports {imported}"
        for name, path in files().items()
        for imported in sorted(imports(path))
        if imported.split(".")[0] in LEVEL and LEVEL[imported.split(".")[0]] > LEVEL[name.split(".")[0]]
    ]
    assert not upward


def test_every_folder_and_file_has_its_layer() -> None:
    assert {name.split(".")[0] for name in files()} == set(LEVEL)


def test_no_file_imports_itself_by_way_of_others() -> None:
    known = files()
    graph = {
        name: {target for found in imports(path) for target in known if f"{found}.".startswith(f"{target}.")}
        for name, path in known.items()
    }
    while graph:
        free = {name for name, targets in graph.items() if not targets & graph.keys()}
        assert free, f"a circle among {sorted(graph)}"
        graph = {name: targets for name, targets in graph.items() if name not in free}


def test_a_formula_knows_no_framework() -> None:
    for path in (ROOT / "formulas").glob("*.py"):
        text = path.read_text()
        assert not any(f"import {name}" in text or f"from {name}" in text for name in ("dagster", "pyspark"))
        assert "athlete_assets.settings" not in text
