"""The embedded Spark session: Sail in this process (default), or Apache Spark with Delta beside it.

Both are reached through Spark Connect, so one process can hold both and `pyspark.sql.functions` means the same on
each. Both run with the session time zone UTC: on Sail, another zone leaves timestamp-to-date conversions in UTC but
moves literals.
"""

from __future__ import annotations

import atexit
import contextlib
import hashlib
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

from athlete_assets.errors import SettingsError, StoreError

if TYPE_CHECKING:
    from pyspark.sql import SparkSession
    from pyspark.sql.connect.session import SparkSession as ConnectSession

DELTA_PACKAGE = "io.delta:delta-spark_2.13:4.0.0"
UNRESOLVED = "UNRESOLVED DEPENDENCIES"
"""What spark-submit says in its log where it cannot get the package."""
SESSION_SECONDS = 7 * 24 * 3600
"""A session that idles longer dies with its temporary views; Sail's own default is 900 s."""
AS_LONG_AS_STDIN = """
exec 3<&0
"$@" < /dev/null &
server=$!
(
  cat <&3 > /dev/null
  kill $server 2> /dev/null
  for second in 1 2 3 4 5 6 7 8 9 10; do sleep 1; kill -0 $server 2> /dev/null || exit; done
  kill -9 $server 2> /dev/null
) &
wait $server
"""
"""Runs a command that ends with the process at the other end of the pipe, however that one ends. Apache Spark sometimes
hangs in what it does at its end, and would stay for ever."""
NO_CALL_SITES = ("spark.python.sql.dataFrameDebugging.enabled", "false")
"""Else pyspark looks at the stack, and for a notebook, whenever a column expression is made: a third of the client's
time in a step of few rows. (Apache Spark takes the setting at its start alone.)"""
START_SECONDS = 180
"""How long Apache Spark may take to start; the first start resolves the Delta jars."""


PLAIN_PATH = re.compile(r"[A-Za-z0-9_./+-]*")


@cache
def engine_path(path: Path) -> str:
    """The name by which the embedded engines find the folder.

    Sail finds no table below a folder whose name holds a space or anything beyond plain ASCII, percent-encoded or not
    (a test says when that has changed): it gets a link to the folder, which lies in a temporary one of this process.
    """
    if PLAIN_PATH.fullmatch(str(path)):
        return str(path)
    link = _links() / hashlib.sha256(str(path).encode()).hexdigest()[:16]
    with contextlib.suppress(FileExistsError):
        link.symlink_to(path, target_is_directory=True)
    return str(link)


@cache
def _links() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="athlete_tables_"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def spark_session(engine: Literal["sail", "spark"], spark_memory_gb: float = 1.0) -> SparkSession:
    """The process's session on the given engine, made at the first call.

    spark_memory_gb: the heap (GB) up to which Apache Spark may grow. With the 1 GB that it takes by itself, tasks lose
    their results on the daily features of 3,641 athletes. Sail has no heap.
    Raises SettingsError where Apache Spark is asked for and Java or the Delta jars are missing, StoreError where it
    does not start for another reason.
    """
    return _sail() if engine == "sail" else _apache_spark(spark_memory_gb)


@cache
def _sail() -> SparkSession:
    os.environ.setdefault("SAIL_SPARK__SESSION_TIMEOUT_SECS", str(SESSION_SECONDS))
    os.environ.setdefault("RUST_LOG", "error")
    import pyarrow as pa
    from pysail.spark import SparkConnectServer

    # One heap for Arrow's arrays and NumPy's. Arrow's own allocator gives its pages back and has the system clear them
    # anew: with it a first fill of activity and rolling features takes 2 to 10 % more CPU seconds.
    if "ARROW_DEFAULT_MEMORY_POOL" not in os.environ:
        pa.set_memory_pool(pa.system_memory_pool())
    server = SparkConnectServer(port=0)
    server.start()
    _, port = server.listening_address
    session = _connect(port)
    session.conf.set(*NO_CALL_SITES)
    # No connection breaks within a process. To be able to go on with a broken one costs two calls a query, and the
    # server keeps what it has sent: a third of a small query's CPU seconds.
    cast("ConnectSession", session).client.disable_reattachable_execute()

    def stop() -> None:
        # Sail's threads outlive the interpreter otherwise, and the process ends with SIGABRT after all its work
        session.stop()
        server.stop()

    atexit.register(stop)
    return session


@cache
def _apache_spark(memory_gb: float) -> SparkSession:
    """Apache Spark as a Connect server of its own on loopback; it ends with this process."""
    if not (shutil.which("java") or os.environ.get("JAVA_HOME")):
        raise SettingsError(
            "setting ATHLETE_ENGINE=spark: Java 17 is needed and not found; install it or use ATHLETE_ENGINE=sail"
        )
    import pyspark

    import athlete_assets

    # Python workers must import the code that sent them work, not an installed copy of it
    python_path = [str(Path(athlete_assets.__file__).parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])]
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = Path(tempfile.mkdtemp(prefix="athlete_spark_")) / "server.log"
    options = {
        "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
        "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
        "spark.connect.grpc.binding.address": "127.0.0.1",
        "spark.connect.grpc.binding.port": str(port),
        "spark.sql.shuffle.partitions": "4",
        "spark.databricks.delta.snapshotPartitions": "2",  # 50 tasks a table version otherwise
        "spark.ui.enabled": "false",
        **dict([NO_CALL_SITES]),
    }
    submit = [str(Path(pyspark.__file__).parent / "bin" / "spark-submit"), "--master", "local[2]"]
    submit += ["--driver-memory", f"{memory_gb * 1024:.0f}m"]  # in local mode the driver is all there is
    submit += ["--packages", DELTA_PACKAGE, "--class", "org.apache.spark.sql.connect.service.SparkConnectServer"]
    submit += [part for key, value in options.items() for part in ("--conf", f"{key}={value}")]
    with open(log, "w") as output:
        server = subprocess.Popen(
            ["sh", "-c", AS_LONG_AS_STDIN, "sh", *submit, "spark-internal"],
            stdin=subprocess.PIPE,
            env={**os.environ, "PYSPARK_PYTHON": sys.executable, "PYTHONPATH": os.pathsep.join(python_path)},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    assert server.stdin is not None
    atexit.register(server.stdin.close)
    deadline = time.monotonic() + START_SECONDS
    while not _listening(port):
        if server.poll() is not None or time.monotonic() > deadline:
            server.stdin.close()
            said = log.read_text()
            if UNRESOLVED in said:
                raise SettingsError(
                    f"setting ATHLETE_ENGINE=spark: its Delta jars ({DELTA_PACKAGE}) are not here and cannot "
                    "be fetched; connect it for the first start, or use ATHLETE_ENGINE=sail"
                )
            tail = "\n".join(said.splitlines()[-8:])
            raise StoreError(f"Apache Spark did not start; the end of its log {log}:\n{tail}")
        time.sleep(0.2)
    return _connect(port)


def _listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextlib.contextmanager
def without_ipython() -> Iterator[None]:
    """Within it IPython cannot be imported, unless it is already.

    pyspark asks it for the width of a terminal and MLflow whether a notebook runs, and both take an ImportError for no:
    rightly so in a process that never loaded it. It comes with Databricks' packages, and costs half a second.
    """
    if "IPython" in sys.modules:
        yield
        return
    sys.modules["IPython"] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        if sys.modules.get("IPython") is None:
            sys.modules.pop("IPython", None)


def _connect(port: int) -> SparkSession:
    with without_ipython():
        from pyspark.sql.connect.client import DefaultChannelBuilder
        from pyspark.sql.connect.session import SparkSession as ConnectSession

    os.environ["SPARK_CONNECT_MODE_ENABLED"] = "1"  # what SparkSession.builder.remote does, which takes no channel
    # Sail sends its results through gzip to a client that accepts it, even on loopback: 7 times the CPU seconds and
    # 15 times the wall time of plain bytes. 1 accepts "identity" alone.
    plain = ("grpc.compression_enabled_algorithms_bitset", 1)
    # A batch is one message, however large: some plans end in batches beyond pyspark's limit of 128 MiB.
    of_any_size = ("grpc.max_receive_message_length", -1)
    channel = DefaultChannelBuilder(f"sc://127.0.0.1:{port}", [plain, of_any_size])
    session = cast("SparkSession", ConnectSession.builder.channelBuilder(channel).create())
    session.conf.set("spark.sql.session.timeZone", "UTC")
    return session
