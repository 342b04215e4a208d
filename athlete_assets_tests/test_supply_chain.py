"""What comes from others is named exactly: actions by commit, packages by version, and each with its licence."""

from __future__ import annotations

import plistlib
import re
import runpy
import sysconfig
from importlib.metadata import distributions
from pathlib import Path

import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from athlete_assets.cli import cli

ROOT = Path(__file__).parents[1]


def test_each_action_of_the_workflows_is_pinned_by_commit_and_says_its_version() -> None:
    for workflow in (ROOT / ".github" / "workflows").glob("*.yml"):
        used = re.findall(r"uses: (.*)", workflow.read_text())
        assert used
        for action in used:
            if action.startswith("./"):  # a workflow of this repository
                continue
            assert re.fullmatch(r"[\w.-]+/[\w.-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", action), action


def test_the_workflow_looks_for_known_weaknesses_before_it_ships() -> None:
    workflows = ROOT / ".github" / "workflows"
    jobs = yaml.safe_load((workflows / "test.yml").read_text())["jobs"]
    assert [step["run"] for step in jobs["audit"]["steps"] if "run" in step] == ["make audit"]
    shipping = yaml.safe_load((workflows / "deploy.yml").read_text())["jobs"]
    assert shipping.pop("test") == {"uses": "./.github/workflows/test.yml"}
    assert shipping
    assert all(job["needs"] == "test" for job in shipping.values())


def test_every_package_that_is_installed_is_pinned_to_its_version() -> None:
    pinned = [Requirement(line) for line in (ROOT / "constraints.txt").read_text().splitlines() if line[:1].isalnum()]
    here = {canonicalize_name(each.name): each for each in pinned if each.marker is None or each.marker.evaluate()}
    # not sys.path: setuptools puts the copies there that it brings for itself
    site_packages = sorted({sysconfig.get_path(name) for name in ("purelib", "platlib")})
    tools = {"athlete-assets", "pip", "setuptools", "uv", "wheel"}
    wrong = [
        f"{name} {found.version}"
        for found in distributions(path=site_packages)
        if (name := canonicalize_name(found.metadata["Name"])) not in tools
        and (name not in here or not here[name].specifier.contains(found.version, prereleases=True))
    ]
    assert not wrong


def test_the_page_of_licences_is_that_of_what_is_installed_and_holds_allowed_ones_alone() -> None:
    assert runpy.run_path(str(ROOT / "docs" / "licences.py"))["faults"]() == []


def test_nothing_is_told_to_anyone() -> None:
    from mlflow.environment_variables import MLFLOW_DISABLE_TELEMETRY

    assert MLFLOW_DISABLE_TELEMETRY.get() is True
    for instance in ("athlete_assets/deployments/dagster.yaml", "deploy/dagster.yaml"):
        assert yaml.safe_load((ROOT / instance).read_text())["telemetry"] == {"enabled": False}


def test_the_units_for_systemd_and_launchd_start_a_command_that_there_is() -> None:
    unit = (ROOT / "deploy" / "athlete-assets.service").read_text()
    (started,) = re.findall(r"^ExecStart=\S+/athlete-assets (.*)$", unit, re.MULTILINE)
    launched = plistlib.loads((ROOT / "deploy" / "athlete-assets.plist").read_bytes())["ProgramArguments"]
    for arguments in (started.split(), launched[1:]):
        command = cli.commands[arguments[0]]
        assert command.make_context(arguments[0], arguments[1:]).params == {"port": 3000}
