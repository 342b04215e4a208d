"""The file that the cluster executes for one step: makes the uploaded package importable, then hands over to it.

Uploaded alone and run as a script with two arguments, the step's JSON and the zip of the packages; until the zip is
on the path it uses the standard library only. Whatever prevents the step from starting is written to `failure.json`
beside the step, so that the orchestrator can say it in one sentence.
"""

import contextlib
import hashlib
import importlib
import importlib.metadata
import io
import json
import os
import re
import shutil
import stat
import sys
import tempfile
import threading
import time
import traceback
import zipfile
from collections.abc import Mapping, Sequence
from typing import Any, TextIO

OWN_FOLDER = "athlete_assets_step_"
LEFT_AFTER_S = 8 * 24 * 3600
"""After which a step's folder belongs to nobody: a killed step leaves it on a cluster that lives on."""
LOG_SECONDS = 2.0
LOG_BYTES = 2**20
"""The staged copy of each stream keeps its end; the whole of it is in the driver's log."""


class NotReady(Exception):
    """The cluster lacks something that the step needs: no retry can help."""


class StepFailed(Exception):
    """The step ended in failure. Its events are written; this only turns the Databricks run red."""


class Copied(io.TextIOBase):
    """A stream that also writes to a staged file, whole each time: volumes know no append."""

    def __init__(self, stream: TextIO, path: str) -> None:
        self.stream, self.path = stream, path
        self.text, self.written = "", ""
        self.lock = threading.Lock()

    def write(self, text: str) -> int:
        with self.lock:
            self.text = (self.text + text)[-LOG_BYTES:]
        return self.stream.write(text)

    def flush(self) -> None:
        self.stream.flush()

    def fileno(self) -> int:
        return self.stream.fileno()

    def save(self) -> None:
        with self.lock:
            text = self.text
        if text != self.written:
            with open(self.path, "w", encoding="utf-8") as handle:
                handle.write(text)
            self.written = text


def saved_regularly(streams: Sequence[Copied], stop: threading.Event) -> None:
    while not stop.wait(LOG_SECONDS):
        for stream in streams:
            with contextlib.suppress(OSError):  # the volume is away for a moment; the next round or the end writes it
                stream.save()


def unpacked(archive: str, digest: str, folder: str) -> str:
    """Extracts the packages of the zip into a folder; returns a local copy of the zip for Spark's workers.

    The copy is the same file for all steps of one version: Spark keeps each file that it was given as long as the
    cluster lives, refuses a second one of one name from another folder, and takes the same one again for nothing.
    """
    with open(archive, "rb") as handle:
        content = handle.read()
    found = hashlib.sha256(content).hexdigest()
    if found != digest:
        raise RuntimeError(f"the staged code is not the code that was sent: digest {found}, expected {digest}")
    with zipfile.ZipFile(io.BytesIO(content)) as packages:
        packages.extractall(folder)
    shared = os.path.join(tempfile.gettempdir(), f"athlete_assets_zips_{os.getuid()}")
    os.makedirs(shared, mode=0o700, exist_ok=True)
    if os.lstat(shared).st_uid != os.getuid() or os.path.islink(shared):
        raise RuntimeError(f"{shared} belongs to somebody else: code from there must not run")
    place = hashlib.sha256(shared.encode()).hexdigest()[:6]  # another temporary folder gives another name
    local = os.path.join(shared, f"athlete_assets_{digest[:16]}_{place}.zip")
    if not os.path.exists(local) or digest_of(local) != digest:
        partial = f"{local}.{os.getpid()}"
        with open(partial, "wb") as handle:
            handle.write(content)
        os.replace(partial, local)
    return local


def digest_of(path: str) -> str:
    with open(path, "rb") as handle:
        return hashlib.sha256(handle.read()).hexdigest()


def importable(folder: str, none: str) -> None:
    """Puts the packages first on the path, before any installed copy of them; `none` is a folder without any."""
    # dagster takes the first entry off the path while it loads a code location: it believes that to be the script's
    sys.path[:0] = [none, folder]


def sweep_left_folders(parent: str) -> None:
    """Removes this user's step folders that nobody has needed for days; what stands in the way is no reason to fail."""
    for name in os.listdir(parent):
        path = os.path.join(parent, name)
        with contextlib.suppress(OSError):
            status = os.lstat(path)
            is_ours = name.startswith(OWN_FOLDER) and stat.S_ISDIR(status.st_mode) and status.st_uid == os.getuid()
            if is_ours and status.st_mtime < time.time() - LEFT_AFTER_S:
                shutil.rmtree(path)


def given_to_workers(archive: str, spark: Any) -> None:
    """Spark's Python workers import the packages, too: functions of mapInArrow travel as names, not as code."""
    if spark is None:
        return
    context = getattr(spark, "_sc", None)
    if context is not None:
        context.addPyFile(archive)
    else:  # Spark Connect, as on standard-access clusters
        spark.addArtifacts(archive, pyfile=True)


def checked(python: Sequence[str], pins: Mapping[str, str], at_least: Mapping[str, str], cluster: str = "") -> None:
    """Compares the interpreter and the installed libraries with what the orchestrator counts on.

    `cluster` is the id of one that lives longer than the step: it keeps the libraries that it has loaded.
    """
    low, high = (tuple(int(part) for part in version.split(".")) for version in python)
    here = sys.version_info[:2]
    if not low <= here < high:
        raise NotReady(
            f"the cluster runs Python {here[0]}.{here[1]}, and the code needs at least {python[0]} and less than "
            f"{python[1]}: choose another runtime"
        )
    wrong = [
        f"{name} {version} (found: {installed(name)})"
        for name, version in sorted(pins.items())
        if installed(name) != version
    ] + [
        f"{name} {version} or newer (found: {installed(name)})"
        for name, version in sorted(at_least.items())
        if release(installed(name)) < release(version)
    ]
    if wrong:
        advice = f". Restart the cluster {cluster}: a running one keeps what it has loaded" if cluster else ""
        raise NotReady("the cluster lacks libraries that the orchestrator pins: " + ", ".join(wrong) + advice)


def installed(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "none"


def release(version: str) -> tuple[int, ...]:
    """The numbers of a version such as 0.18.2, by which versions are compared; none sorts before all."""
    return tuple(int(number) for number in re.findall(r"\d+", version)[:3])


def export(environment: Mapping[str, str], secrets: Sequence[Mapping[str, str]], dbutils: Any) -> None:
    os.environ.update(environment)
    for secret in secrets:
        if dbutils is None:
            raise NotReady(f"there is no dbutils here, so the secret for {secret['name']} cannot be read")
        os.environ[secret["name"]] = dbutils.secrets.get(scope=secret["scope"], key=secret["key"])


def cluster_global(name: str) -> Any:
    """A name that the runtime defines; not all of them exist everywhere (`sc` not on standard-access clusters)."""
    if name in globals():
        return globals()[name]
    try:
        import databricks.sdk.runtime as runtime

        return getattr(runtime, name)
    except Exception:
        return None


def main(step_path: str, archive: str) -> None:
    folder = os.path.dirname(step_path)
    with open(step_path, encoding="utf-8") as handle:
        step = json.load(handle)
    streams = [Copied(sys.stdout, folder + "/stdout"), Copied(sys.stderr, folder + "/stderr")]
    sys.stdout, sys.stderr = streams  # type: ignore[assignment]
    stop = threading.Event()
    saver = threading.Thread(target=saved_regularly, args=(streams, stop), daemon=True)
    saver.start()
    sweep_left_folders(tempfile.gettempdir())
    own = tempfile.mkdtemp(prefix=OWN_FOLDER)
    try:
        checked(step["python"], step["pins"], step["at_least"], step.get("restart", ""))
        code, none = os.path.join(own, "code"), os.path.join(own, "none")
        for part in (code, none):
            os.mkdir(part)
        given_to_workers(unpacked(archive, step["code_digest"], code), cluster_global("spark"))
        importable(code, none)  # last: Spark puts the zip on the driver's path, too, from where files cannot be opened
        export(step["environment"], step["secrets"], cluster_global("dbutils") if step["secrets"] else None)
        if step["storage"]:
            spark_context = cluster_global("sc")
            if spark_context is None:
                raise NotReady("storage keys need `sc`, which standard-access clusters lack: use Unity Catalog instead")
            from dagster_databricks.databricks_pyspark_step_launcher import DatabricksConfig

            DatabricksConfig({}, step["storage"], []).setup_storage(cluster_global("dbutils"), spark_context)
        if "probe" in step:
            importlib.import_module(step["probe"])
            with open(folder + "/probe.json", "w", encoding="utf-8") as handle:
                json.dump({"python": "{}.{}.{}".format(*sys.version_info[:3])}, handle)
            succeeded = True
        else:
            from athlete_assets.deployments.databricks.remote import run_step

            succeeded = run_step(step, folder)
    except BaseException as error:
        traceback.print_exc()
        failure = {
            "message": str(error) if isinstance(error, NotReady) else f"{type(error).__name__}: {error}",
            "retry": not any(isinstance(part, (NotReady, ImportError)) for part in (error, error.__cause__)),
        }
        with open(folder + "/failure.json", "w", encoding="utf-8") as handle:
            json.dump(failure, handle)
        raise
    finally:
        stop.set()
        saver.join()
        sys.stdout, sys.stderr = streams[0].stream, streams[1].stream
        for stream in streams:
            stream.save()
        shutil.rmtree(own, ignore_errors=True)
    if not succeeded:
        raise StepFailed("the step failed or asked for a retry; the reasons are in the Dagster run")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
