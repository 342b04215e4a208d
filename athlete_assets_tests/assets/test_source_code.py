"""The version of an asset's code follows what computes it, and the UI links to where that stands."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from athlete_assets import definitions, tables
from athlete_assets.assets import source_code
from athlete_assets.assets.builder import asset_key
from athlete_assets.definitions import MODELS
from athlete_assets.settings import Settings

COMPUTED = (*tables.FEATURES, tables.REJECTS, *tables.LABELS, *tables.GOLD, tables.PREDICTION_OUTCOMES)


def versions(settings: Settings) -> dict[str, str | None]:
    graph = definitions.build(settings).resolve_asset_graph()
    keys = [*(asset_key(table) for table in COMPUTED), *MODELS]
    return {key.path[-1] if key.path[0] != "silver_rejects" else "rejects": graph.get(key).code_version for key in keys}


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of the package whose files may be edited; code is looked up there, and runs from where it was."""
    copy = tmp_path / "athlete_assets"
    shutil.copytree(source_code.ROOT, copy, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(source_code, "ROOT", copy)
    forget()
    yield copy
    forget()


def forget() -> None:
    for cached in (source_code._source, source_code._file, source_code._imported):
        cached.cache_clear()


def edit(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))
    forget()


def changed(before: dict[str, str | None], after: dict[str, str | None]) -> set[str]:
    return {name for name in before if before[name] != after[name]}


def test_each_asset_that_is_computed_has_a_version_that_stays() -> None:
    found = versions(Settings())
    assert all(version and len(version) == 12 for version in found.values())
    assert versions(Settings()) == found


def test_a_change_of_a_transform_reaches_what_is_computed_with_it_and_nothing_else(package: Path) -> None:
    before = versions(Settings())
    edit(package / "features" / "weekly.py", "def weekly_features(", "def weekly_features(  \n")
    assert changed(before, versions(Settings())) == {"athlete_weekly_features"}


def test_a_change_of_a_formula_reaches_those_that_import_it_by_way_of_others(package: Path) -> None:
    """formulas/sequences is imported by features/rolling and others, and by no asset's own file."""
    before = versions(Settings())
    edit(package / "formulas" / "sequences.py", "import numpy as np", "import numpy as np\n\nCHANGED = True")
    found = changed(before, versions(Settings()))
    assert "athlete_rolling_features" in found
    assert "athlete_metrics_summary" not in found


def test_a_comment_or_a_blank_line_changes_no_version(package: Path) -> None:
    before = versions(Settings())
    edit(package / "features" / "rolling.py", "from __future__", "# a remark\n\n\nfrom __future__")
    assert changed(before, versions(Settings())) == set()


def test_checks_and_charts_decide_no_row(package: Path) -> None:
    before = versions(Settings())
    for name in ("checks", "charts", "reconciliation"):
        edit(package / "monitoring" / f"{name}.py", "from __future__", "CHANGED = True\nfrom __future__")
    assert changed(before, versions(Settings())) == set()


def test_a_setting_counts_for_what_reads_it_and_a_place_for_nothing(tmp_path: Path) -> None:
    before = versions(Settings())
    limited = {"athlete_rolling_features", "athlete_projection", "athlete_load_room", "athlete_pages"}
    assert changed(before, versions(Settings(acwr_risk=1.4))) == limited
    assert "activity_features" in changed(before, versions(Settings(max_run_speed_mps=7.0)))
    elsewhere = Settings(home=tmp_path, catalog="other", reports=tmp_path, reports_url="x")
    assert changed(before, versions(elsewhere)) == set()


def test_a_column_counts_for_its_own_table() -> None:
    def compute() -> None: ...

    one, other = (
        dg.TableSchema(columns=[dg.TableColumn("km", kind, description="said")]) for kind in ("double", "bigint")
    )
    reworded = dg.TableSchema(columns=[dg.TableColumn("km", "double", description="said otherwise")])
    settings = Settings()
    version = source_code.code_version(compute, settings, one)
    assert source_code.code_version(compute, settings, reworded) == version
    assert source_code.code_version(compute, settings, other) != version


def references(built: dg.Definitions, key: dg.AssetKey) -> list[object]:
    spec = built.resolve_assets_def(key).get_asset_spec(key)
    return list(spec.metadata["dagster/code_references"].code_references)


@pytest.fixture(scope="module")
def built() -> dg.Definitions:
    return definitions.build(Settings())


@pytest.mark.parametrize("key", [*(asset_key(table) for table in COMPUTED), *MODELS], ids=str)
def test_each_asset_links_to_its_step_and_to_what_it_computes_with(built: dg.Definitions, key: dg.AssetKey) -> None:
    step, *others = references(built, key)
    assert isinstance(step, dg.LocalFileCodeReference)
    line = Path(step.file_path).read_text().splitlines()[(step.line_number or 0) - 1]
    assert Path(step.file_path).parent.name == "assets"
    assert line.strip().startswith(("@table_asset(", "def trained_model("))
    assert others
    for other in others:
        assert isinstance(other, dg.LocalFileCodeReference)
        assert Path(other.file_path).is_file()


def test_links_lead_to_the_repository_where_its_address_is_set() -> None:
    settings = Settings(source_url="https://example.org/tree/main/athlete_assets/")
    found = references(definitions.build(settings), asset_key(tables.ROLLING))
    urls = {reference.url.split("#")[0] for reference in found if isinstance(reference, dg.UrlCodeReference)}
    assert {
        "https://example.org/tree/main/athlete_assets/assets/features.py",
        "https://example.org/tree/main/athlete_assets/features/rolling.py",
    } <= urls
