"""A Databricks workspace on loopback that really executes what is submitted, and the faults that clients meet."""

from athlete_assets_tests.fake_workspace.faults import Fate, Faults
from athlete_assets_tests.fake_workspace.server import FakeWorkspace

__all__ = ["FakeWorkspace", "Fate", "Faults"]
