"""Runs and clusters: each submitted file in a fresh Python process, with the life cycle that the Jobs API shows."""

from __future__ import annotations

import importlib.metadata
import itertools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from athlete_assets.store.session import DELTA_PACKAGE
from athlete_assets_tests.fake_feature_store import unity_spark
from athlete_assets_tests.fake_workspace.faults import Fate
from athlete_assets_tests.fake_workspace.mlflow_endpoints import WORKSPACE_ID

RUNTIME, JVM = (Path(__file__).with_name(name) for name in ("runtime.py", "jvm.py"))
HIDDEN = ("athlete_assets", "athlete_assets_tests")
EVENT_FILE = re.compile(r"events")
SPARK_OPTIONS = {
    "spark.master": "local[2]",
    "spark.jars.packages": DELTA_PACKAGE,
    "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
    "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
    "spark.sql.shuffle.partitions": "2",
    "spark.ui.enabled": "false",
    "spark.databricks.delta.snapshotPartitions": "1",
    # few rows in many plans: compiling for speed would cost several times what it saves
    "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
    "spark.sql.codegen.wholeStage": "false",
    "spark.sql.codegen.factoryMode": "NO_CODEGEN",
}
"""A classic session with Delta, as a cluster has one."""


@dataclass
class Run:
    run_id: int
    body: dict[str, Any]
    fate: Fate
    creator: str
    life_cycle: str = "PENDING"
    result: str | None = None
    message: str = ""
    termination: str = "SUCCESS"
    started: float = field(default_factory=time.monotonic)
    process_ended: float | None = None
    ended_at: float | None = None
    process: subprocess.Popen[bytes] | None = None
    folder: Path = Path()
    cancelled: bool = False
    output: str = ""

    @property
    def task(self) -> dict[str, Any]:
        return self.body["tasks"][0]

    @property
    def cluster_id(self) -> str:
        return self.task.get("existing_cluster_id") or f"job-{self.run_id}"

    @property
    def job_id(self) -> int:
        return self.run_id + 5_000_000

    @property
    def ended(self) -> bool:
        return self.life_cycle in ("TERMINATED", "SKIPPED", "INTERNAL_ERROR")

    def as_dict(self, host: str) -> dict[str, Any]:
        state: dict[str, Any] = {"life_cycle_state": self.life_cycle, "state_message": self.message}
        if self.ended and self.result:
            state["result_state"] = self.result
        task = {**self.task, "run_id": self.run_id + 1_000_000, "state": state}
        if self.life_cycle != "PENDING":
            task["cluster_instance"] = {"cluster_id": self.cluster_id}
        return {
            "run_id": self.run_id,
            "job_id": self.job_id,
            "run_name": self.body.get("run_name", "Untitled"),
            "run_page_url": f"{host}/?o=1#job/{self.job_id}/run/{self.run_id}",
            "creator_user_name": self.creator,
            "state": state,
            "status": {"state": self.life_cycle, "termination_details": {"code": self.termination}},
            "tasks": [task],
        }


class Clusters:
    """All runs of one workspace. Fates are dealt to runs in the order of submission."""

    def __init__(self, root: Path, host: str, cluster_token: str) -> None:
        self.root = root
        self.host = host
        self.cluster_token = cluster_token
        self.fates: list[Fate] = []
        self.default_fate = Fate()
        self.start_seconds = 0.0
        """How long a cluster takes to start: a new one each time, one made for a Dagster run the first time."""
        self.started: dict[str, float] = {}
        """Each cluster that was started for a run, and when it was asked to."""
        self.runs: dict[int, Run] = {}
        self.by_token: dict[str, int] = {}
        self._jvms: dict[str, subprocess.Popen[bytes]] = {}
        self._ids = itertools.count(101)
        self._lock = threading.Lock()

    @property
    def tables(self) -> Path:
        """The metastore's folder: `<catalog>/<schema>/<table>`."""
        return self.root / "tables"

    def table_folder(self, name: str) -> Path | None:
        """Where a table of three-level name lies; None where there is none."""
        folder = self.tables.joinpath(*name.split("."))
        return folder if (folder / "_delta_log").is_dir() else None

    @property
    def mounts(self) -> dict[str, str]:
        return {"/Volumes": str(self.root / "Volumes"), "/dbfs": str(self.root / "dbfs")}

    def submit(self, body: dict[str, Any], creator: str) -> Run:
        """A new run; the run that exists already where the idempotency token is known."""
        with self._lock:
            token = body.get("idempotency_token")
            if token and token in self.by_token:
                return self.runs[self.by_token[token]]
            fate = self.fates.pop(0) if self.fates else self.default_fate
            run = Run(next(self._ids), body, fate, creator)
            run.folder = self.root / "clusters" / str(run.run_id)
            run.folder.mkdir(parents=True)
            self.runs[run.run_id] = run
            if token:
                self.by_token[token] = run.run_id
        threading.Thread(target=self._live, args=(run,), daemon=True).start()
        return run

    def cancel(self, run: Run, termination: str = "USER_CANCELED") -> None:
        if run.ended:
            return
        run.cancelled = True
        run.termination = termination
        self._kill(run)

    def events_visible(self, path: str) -> bool:
        """Whether a staged file can be read by the API yet, by the fate of the run that wrote it."""
        if not EVENT_FILE.search(path):
            return True
        for run in list(self.runs.values()):
            parameters = run.task.get("spark_python_task", {}).get("parameters", [])
            folder = os.path.dirname(_plain(parameters[0])) if parameters else ""
            if not folder or not (path + "/").startswith(folder.removeprefix("/dbfs").rstrip("/") + "/"):
                continue
            if run.fate.events_lost:
                return False
            if run.fate.events_late_seconds:
                return run.process_ended is not None and (
                    time.monotonic() - run.process_ended > run.fate.events_late_seconds
                )
        return True

    def stop(self) -> None:
        for run in self.runs.values():
            run.cancelled = True
            self._kill(run)
        for jvm in self._jvms.values():
            if jvm.poll() is None:
                os.killpg(jvm.pid, signal.SIGKILL)
            jvm.wait()

    def _live(self, run: Run) -> None:
        try:
            self._execute(run)
        except Exception as error:
            run.message, run.termination = f"the fake cluster broke: {error!r}", "INTERNAL_ERROR"
            run.result, run.life_cycle = "FAILED", "INTERNAL_ERROR"

    def _execute(self, run: Run) -> None:
        fate = run.fate
        now = time.monotonic()
        if "existing_cluster_id" not in run.task or run.cluster_id.startswith("made-"):
            ready = self.started.setdefault(run.cluster_id, now) + self.start_seconds
        else:
            ready = now
        deadline = max(ready, now + fate.pending_seconds)
        while time.monotonic() < deadline and not run.cancelled:
            time.sleep(0.02)
        if run.cancelled:
            return self._end(run, "TERMINATED", "CANCELED", "Run cancelled.", run.termination)
        if fate.outcome == "skipped":
            return self._end(run, "SKIPPED", None, "Run skipped: concurrent run limit.", "SKIPPED")
        if fate.outcome == "launch_failure":
            message = "Cluster 'job' was terminated. Reason: CLOUD_PROVIDER_LAUNCH_FAILURE (CLOUD_FAILURE)."
            return self._end(run, "INTERNAL_ERROR", "FAILED", message, "CLUSTER_ERROR")
        trouble = "scripted" if fate.outcome == "library_failure" else self._library_trouble(run)
        if trouble:
            message = f"Library installation failed on the driver: {trouble}"
            return self._end(run, "INTERNAL_ERROR", "FAILED", message, "LIBRARY_INSTALLATION_ERROR")
        run.life_cycle = "RUNNING"
        if fate.outcome == "nothing":
            return self._end(run, "TERMINATED", "SUCCESS", "", "SUCCESS")
        status = self._process(run)
        run.process_ended = time.monotonic()
        self._wait(run, fate.stays_running_seconds)
        if fate.terminating_seconds:
            run.life_cycle = "TERMINATING"
            self._wait(run, fate.terminating_seconds)
        if run.cancelled:
            self._end(run, "TERMINATED", "CANCELED", "Run cancelled.", run.termination)
        elif run.message:
            self._end(run, "INTERNAL_ERROR", "FAILED", run.message, run.termination)
        elif fate.result_after_exit:
            message = "The spark driver has stopped unexpectedly and is restarting."
            self._end(run, "TERMINATED", fate.result_after_exit, message, "DRIVER_ERROR")
        elif status == 0:
            self._end(run, "TERMINATED", "SUCCESS", "", "SUCCESS")
        else:
            message = "Workload failed, see run output for details"
            self._end(run, "TERMINATED", "FAILED", message, "RUN_EXECUTION_ERROR")

    def _process(self, run: Run) -> int:
        task = run.task["spark_python_task"]
        work = run.folder / "work"
        work.mkdir()
        script = run.folder / RUNTIME.name
        shutil.copy(RUNTIME, script)
        spec = {
            "python_file": _plain(task["python_file"]),
            "parameters": task.get("parameters", []),
            "mounts": self.mounts,
            "hidden": HIDDEN,
            "site_packages": site_packages(),
            "host": self.host,
            "token": self.cluster_token,
            "workspace_id": WORKSPACE_ID,
            "cluster_id": run.cluster_id,
            "job_id": str(run.job_id),
            "run_id": str(run.run_id),
            "nfs": str(self._nfs()),
            "spark": self._spark(run) if run.fate.spark else None,
            "standard_access": run.fate.standard_access,
        }
        (run.folder / "spec.json").write_text(json.dumps(spec))
        environment = self._environment(run.folder)
        with open(run.folder / "output", "wb") as output:
            run.process = subprocess.Popen(
                [sys.executable, "-S", "-E", "-B", str(script), str(run.folder / "spec.json")],
                cwd=work,
                env=environment,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        timeout = run.body.get("timeout_seconds") or 3600
        while run.process.poll() is None:
            if run.cancelled:
                self._kill(run)
            if run.fate.kill_driver_when and self._staged(run, run.fate.kill_driver_when):
                time.sleep(run.fate.kill_driver_after)
                run.message, run.termination = (
                    "Run failed: the driver is lost (spot instance reclaimed).",
                    "DRIVER_ERROR",
                )
                self._kill(run)
            elif run.fate.cancelled_by_person_when and self._staged(run, run.fate.cancelled_by_person_when):
                self.cancel(run)
            elif time.monotonic() - run.started > timeout:
                run.cancelled, run.termination = True, "CANCELED"
                self._kill(run)
                run.result = "TIMEDOUT"
            time.sleep(0.02)
        run.output = (run.folder / "output").read_text(errors="replace")
        return run.process.returncode

    def _staged(self, run: Run, pattern: str) -> bool:
        folder = os.path.dirname(_plain(run.task["spark_python_task"]["parameters"][0]))
        for point, real in self.mounts.items():
            if folder.startswith(point + "/"):
                folder = real + folder[len(point) :]
        return any(
            re.search(pattern, os.path.join(parent, name)[len(folder) :])
            for parent, _, names in os.walk(folder)
            for name in names
        )

    def _environment(self, folder: Path) -> dict[str, str]:
        """Nothing of the host's but what finds Java; Spark's workers see no more of the host than the driver does."""
        environment = {key: os.environ[key] for key in ("PATH", "JAVA_HOME", "LANG") if key in os.environ}
        environment |= {"HOME": str(Path.home()), "DATABRICKS_RUNTIME_VERSION": "17.3", "TMPDIR": str(folder)}
        worker = folder / "python"
        worker.write_text(f'#!/bin/sh\nexec {sys.executable} -S -B "$@"\n')
        worker.chmod(0o755)
        environment |= {"PYSPARK_PYTHON": str(worker), "PYTHONPATH": os.pathsep.join(site_packages())}
        return environment | {"SPARK_LOCAL_IP": "127.0.0.1"}

    def _spark(self, run: Run) -> dict[str, Any]:
        """How the run's process gets its session: in the JVM of the existing cluster, or in one of its own."""
        described: dict[str, Any] = {"tables": str(self.tables), "unity_catalog": unity_spark.__file__}
        if "existing_cluster_id" in run.task:
            return described | {"jvm": self._jvm(run.cluster_id)}
        return described | {"options": SPARK_OPTIONS}

    def _jvm(self, cluster: str) -> dict[str, Any]:
        """Where the cluster's JVM can be reached; it starts with the cluster's first run that has Spark."""
        folder = self.root / "clusters" / cluster
        reached = folder / "reached.json"
        with self._lock:
            if cluster not in self._jvms:
                folder.mkdir(parents=True)
                (folder / "spec.json").write_text(json.dumps({"options": SPARK_OPTIONS, "reached": str(reached)}))
                with open(folder / "output", "wb") as output:
                    self._jvms[cluster] = subprocess.Popen(
                        [sys.executable, "-S", "-B", str(JVM), str(folder / "spec.json")],
                        cwd=folder,
                        env=self._environment(folder),
                        stdin=subprocess.PIPE,
                        stdout=output,
                        stderr=subprocess.STDOUT,
                        start_new_session=True,
                    )
        while not reached.exists():
            if self._jvms[cluster].poll() is not None:
                raise RuntimeError((folder / "output").read_text(errors="replace")[-2000:])
            time.sleep(0.05)
        return json.loads(reached.read_text())

    def _nfs(self) -> Path:
        folder = self.root / "clusters" / "nfs"
        folder.mkdir(exist_ok=True)
        return folder

    @staticmethod
    def _library_trouble(run: Run) -> str | None:
        """A pinned library that this interpreter does not have in that version cannot be installed on the cluster."""
        for library in run.task.get("libraries", []):
            requirement = library.get("pypi", {}).get("package", "")
            name, _, version = requirement.partition("==")
            try:
                installed = importlib.metadata.version(name.split("[")[0])
            except importlib.metadata.PackageNotFoundError:
                return f"no matching distribution found for {requirement}"
            if version and version != installed:
                return f"no matching distribution found for {requirement} (this index has {installed})"
        return None

    @staticmethod
    def _wait(run: Run, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and not run.cancelled:
            time.sleep(0.02)

    @staticmethod
    def _kill(run: Run) -> None:
        if run.process is not None and run.process.poll() is None:
            with_group = os.getpgid(run.process.pid)
            os.killpg(with_group, signal.SIGKILL)

    @staticmethod
    def _end(run: Run, life_cycle: str, result: str | None, message: str, termination: str) -> None:
        run.result = run.result or result
        run.message, run.termination, run.ended_at = message, termination, time.monotonic()
        run.life_cycle = life_cycle


def _plain(path: str) -> str:
    """A path of a task as the driver sees it: `dbfs:/Volumes/x` is `/Volumes/x`, `dbfs:/x` is `/dbfs/x`."""
    if not path.startswith("dbfs:"):
        return path
    rest = "/" + path.removeprefix("dbfs:").lstrip("/")
    return rest if rest.startswith("/Volumes/") else "/dbfs" + rest


def site_packages() -> list[str]:
    """Where the libraries of this interpreter lie, without what its site configuration adds."""
    return list(dict.fromkeys(sysconfig.get_path(name) for name in ("purelib", "platlib")))
