"""MLflow beside the tables: imported in a thread, waited for by its resource."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from threading import Thread

import dagster as dg
import pytest

from athlete_assets.models import mlflow_resource
from athlete_assets.settings import Settings


def test_the_resource_waits_for_an_import_that_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else both threads would meet modules that the other one has half made."""
    ended: list[float] = []

    def slow() -> None:
        time.sleep(0.3)
        ended.append(time.monotonic())

    @dg.op(required_resource_keys={"mlflow"})
    def uses_it() -> None:
        assert ended

    @dg.job(resource_defs={"mlflow": mlflow_resource.mlflow_resource(Settings(home=tmp_path))})
    def job() -> None:
        uses_it()

    importing = Thread(target=slow)
    monkeypatch.setattr(mlflow_resource, "_imports", [importing])
    importing.start()
    assert job.execute_in_process().success
    assert not mlflow_resource._imports


@pytest.mark.slow
def test_what_cannot_be_imported_is_told_of_by_who_needs_it_and_nobody_else() -> None:
    code = """
import sys
sys.modules["mlflow"] = None
from athlete_assets.models import mlflow_resource
mlflow_resource.import_meanwhile()
mlflow_resource._needed.set()
mlflow_resource._imports[-1].join()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.slow
def test_mlflow_and_what_draws_are_imported_once_the_engine_has_started() -> None:
    code = """
import sys
from athlete_assets.models import mlflow_resource
from athlete_assets.store.session import spark_session
mlflow_resource.import_meanwhile()
assert "mlflow" not in sys.modules
spark_session("sail")
mlflow_resource._imports[-1].join()
print(*sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert {"matplotlib.figure", "mlflow", "mlflow.store.tracking.sqlalchemy_store"} <= set(done.stdout.split())
    assert "IPython" not in done.stdout.split()
