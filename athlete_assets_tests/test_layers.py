"""Imports run one way: a folder knows those below it, and none above or beside it."""

import ast
import re
from pathlib import Path

import athlete_assets

LAYERS = (
    ("errors", "days", "tables", "formulas", "words", "terminal", "garbage"),
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
    ("forgetting",),
    ("definitions",),
    ("runs",),
    ("commands",),
    ("rebuild", "doctor", "upcoming"),
    ("cli",),
)
"""From the bottom up. What shares a line may import one another; README's map has the same order, from the top down."""

ROOT = Path(athlete_assets.__file__).parent
CHECKOUT = Path(__file__).parents[1]
MADE_BY_TOOLS = {"__pycache__", "build", "dist", "catboost_info", "mlruns", "spark-warehouse", "metastore_db"}
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


def test_only_the_store_knows_delta_rs() -> None:
    """What lies where, and how it is committed, is the affair of one folder."""
    users = {
        name for name, path in files().items() if re.search(r"^\s*(import|from) deltalake", path.read_text(), re.M)
    }
    assert users
    assert {name.split(".")[0] for name in users} == {"store"}


def test_a_formula_knows_no_framework() -> None:
    for path in (ROOT / "formulas").glob("*.py"):
        text = path.read_text()
        assert not any(f"import {name}" in text or f"from {name}" in text for name in ("dagster", "pyspark"))
        assert "athlete_assets.settings" not in text


def readme_map() -> dict[str, list[str]]:
    """README's map: the folders of the checkout, and what each holds as far as the map says it."""
    text = (CHECKOUT / "README.md").read_text()
    found: dict[str, list[str]] = {}
    for line in text.split("## Where things are")[1].split("```")[1].strip("\n").splitlines():
        name, indented = line.split()[0].rstrip("/"), line.startswith("  ")
        if indented:
            found[list(found)[-1]].append(name)
        else:
            found[name] = []
    return found


def test_the_map_in_the_readme_is_the_tree_on_disk() -> None:
    def entries(folder: Path) -> set[str]:
        names = {path.name for path in folder.iterdir() if path.is_dir() or path.suffix == ".py"}
        return {name for name in names - MADE_BY_TOOLS if not name.startswith((".", "__")) and "." not in name[:-3]}

    drawn = readme_map()
    assert set(drawn) == entries(CHECKOUT)
    assert sorted(drawn["athlete_assets"]) == sorted(entries(ROOT))


def test_the_map_in_the_readme_has_the_order_of_the_layers() -> None:
    levels = [LEVEL[name.removesuffix(".py")] for name in readme_map()["athlete_assets"]]
    assert levels == sorted(levels, reverse=True)
