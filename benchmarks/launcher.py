"""What the step launcher costs beside the step itself, against a workspace on loopback.

    python benchmarks/launcher.py [repetitions] [seconds that a cluster takes to start]

The step does nothing, so that all that is measured is the way there and back. For the product's own code location the
size of the staged package is printed, too. What loopback does not show is the network (multiply the requests by the
round trip) and the start of a cluster: for a run of two steps it is played by waiting, with a new cluster for each
step, one for the run, and one that is running.
"""

import sys
import tempfile
import time
import warnings
from pathlib import Path
from statistics import median

import pytest

import athlete_assets
from athlete_assets.deployments.databricks.staging import PackagedCode

warnings.simplefilter("ignore")
sys.path.insert(0, str(Path(__file__).parents[1]))
from athlete_assets_tests.deployments.conftest import STAGING, TOKEN, HastyLauncher, Small  # noqa: E402
from athlete_assets_tests.fake_workspace import FakeWorkspace  # noqa: E402

NEW = {"nodes": {"instance_pool_id": "pool-1"}, "size": {"num_workers": 2}, "spark_version": "17.3.x-scala2.13"}
WAYS = {
    "a new cluster a step": ({"new": NEW}, False),
    "one new cluster a run": ({"new": NEW}, True),
    "a running cluster": ({"existing": "shared"}, False),
}


def run_of_two_steps(small: Small, workspace: FakeWorkspace, cluster: dict, cluster_a_run: bool) -> tuple[float, ...]:
    """Seconds, cluster starts, requests beside polls."""
    configuration = {"cluster": cluster, "libraries": [], "install_default_libraries": False}
    small.use(HastyLauncher, run_config=configuration, cluster_a_run=cluster_a_run)
    workspace.journal.clear()
    workspace.clusters.started.clear()
    started = time.perf_counter()
    assert small.materialize("numbers", "totals").success
    seconds = time.perf_counter() - started
    requests = len(workspace.journal) - 2 * len(workspace.requests("/jobs/runs/get"))
    return seconds, len(workspace.clusters.started), requests


def main(repetitions: int = 5, start_seconds: int = 20) -> None:
    patch = pytest.MonkeyPatch()
    with tempfile.TemporaryDirectory() as folder, FakeWorkspace(Path(folder) / "workspace") as workspace:
        workspace.add_token(TOKEN, "orchestrator")
        workspace.add_volume(STAGING)
        workspace.existing_clusters["shared"] = {"spark_version": "17.3.x-scala2.13"}
        out = Path(folder) / "out"
        out.mkdir()
        small = Small(workspace, out, patch)
        patch.setenv("SMALL_OUT", str(out))

        def timed() -> float:
            started = time.perf_counter()
            assert small.materialize("totals").success
            return time.perf_counter() - started

        timed()
        there = []
        for _ in range(repetitions):
            workspace.journal.clear()
            seconds = timed()
            run = workspace.runs[-1]
            assert run.process_ended is not None
            on_cluster = run.process_ended - run.started
            sent = sum(len(request.body) for request in workspace.journal)
            polls = len(workspace.requests("/jobs/runs/get"))
            there.append((seconds, on_cluster, len(workspace.journal) - 2 * polls, polls, sent))
        workspace.clusters.start_seconds = start_seconds
        ways = {way: run_of_two_steps(small, workspace, *how) for way, how in WAYS.items()}
        workspace.clusters.start_seconds = 0
        doors: dict[str, list[float]] = {"by the launcher": [], "through Pipes": []}
        for _ in range(repetitions):
            for door, taken in doors.items():
                small.definitions.DOOR = None
                small.through_pipes(HastyLauncher) if door == "through Pipes" else small.use(HastyLauncher)
                started = time.perf_counter()
                assert small.materialize("numbers").success
                taken.append(time.perf_counter() - started)
        small.definitions.LAUNCHER = small.definitions.DOOR = None
        here = median(timed() for _ in range(repetitions))
        seconds, on_cluster, requests, polls, sent = (median(column) for column in zip(*there, strict=True))
    package = PackagedCode.of({"athlete_assets": Path(athlete_assets.__file__).parents[1]})
    print(f"the step here                                  {here:7.2f} s")
    print(f"launched                                       {seconds:7.2f} s")
    print(f"  of it the cluster's process, imports included {on_cluster:6.2f} s")
    print(f"  of it staging, submit, polling and events     {seconds - on_cluster:6.2f} s")
    print(f"requests a step, beside two a poll             {requests:7.0f}")
    print(f"polls (every 0.1 s here)                       {polls:7.0f}")
    print(f"bytes sent a step, code staged already         {sent:7.0f}")
    print(f"bytes of the product's code, once a version    {len(package.content):7.0f}")
    for door, taken in doors.items():
        print(f"one step with two checks, {door:20s} {median(taken):7.2f} s")
    print(f"a run of two steps, a cluster starting in {start_seconds} s")
    for way, (seconds, starts, requests) in ways.items():
        print(f"  {way:22s} {seconds:7.1f} s, {starts:.0f} cluster starts, {requests:.0f} requests beside polls")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
