"""The two embedded engines."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pyarrow as pa
import pytest
from mlflow.utils.databricks_utils import is_running_in_ipython_environment
from pyspark.sql import SparkSession

from athlete_assets.store.session import without_ipython
from athlete_assets_tests.processes import descendants, wait_gone


def test_each_engine_answers_in_utc(spark: SparkSession) -> None:
    assert spark.range(3).count() == 3
    assert spark.conf.get("spark.sql.session.timeZone") == "UTC"


def test_results_come_without_compression(sail: SparkSession) -> None:
    """48 MB cross the loopback as such: gzip would make a quarter of them, at seven times the CPU seconds."""
    rows = sail.range(300_000).selectExpr(*[f"id * {n}.37D AS c{n}" for n in range(20)])
    before = received_on_loopback()
    assert rows.toArrow().nbytes >= 48_000_000
    assert received_on_loopback() - before >= 48_000_000


def test_ipython_is_not_loaded_for_a_question_that_has_no_other_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "IPython"]:
        monkeypatch.delitem(sys.modules, name)
    with without_ipython():
        with pytest.raises(ImportError):
            import IPython
        with pytest.raises(ImportError):
            from IPython.utils.terminal import get_terminal_size  # noqa: F401
        assert not is_running_in_ipython_environment()
    assert "IPython" not in sys.modules
    loaded = ModuleType("IPython")
    monkeypatch.setitem(sys.modules, "IPython", loaded)
    with without_ipython():
        import IPython
    assert IPython is loaded
    assert sys.modules["IPython"] is loaded


def received_on_loopback() -> int:
    (line,) = (line for line in Path("/proc/net/dev").read_text().splitlines() if line.strip().startswith("lo:"))
    return int(line.split()[1])


def test_a_batch_beyond_pysparks_limit_of_a_message_comes_through(sail: SparkSession) -> None:
    """Some plans end in one batch, such as a window of 2,700 athletes; pyspark allows a message 128 MiB."""
    length = 20_000_000

    def one_batch(_: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        yield pa.RecordBatch.from_arrays([pa.array(np.arange(length))], ["n"])

    found = sail.range(1, numPartitions=1).mapInArrow(one_batch, "n bigint").toArrow()
    assert found.nbytes == 8 * length > 2**27
    assert found["n"][-1].as_py() == length - 1


@pytest.mark.java
def test_apache_spark_may_grow_to_the_memory_that_it_is_given(apache_spark: SparkSession) -> None:
    assert apache_spark.conf.get("spark.driver.memory") == "1024m"


@pytest.mark.java
def test_apache_spark_ends_with_a_process_that_is_killed(apache_spark: SparkSession) -> None:
    program = "from athlete_assets.store.session import spark_session; spark_session('spark'); print('up'); input()"
    process = subprocess.Popen([sys.executable, "-uc", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"up\n"
    below = descendants(process.pid)
    assert any(b"java" in Path(f"/proc/{pid}/cmdline").read_bytes() for pid in below)
    process.kill()
    process.wait()
    assert wait_gone(below) == []


@pytest.mark.java
def test_delta_jars_that_cannot_be_had_are_said_in_one_sentence(apache_spark: SparkSession, tmp_path: Path) -> None:
    nowhere = " ".join(f"-D{kind}.proxyHost=127.0.0.1 -D{kind}.proxyPort=9" for kind in ("http", "https"))
    program = "from athlete_assets.store.session import spark_session; spark_session('spark')"
    ended = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "JAVA_TOOL_OPTIONS": f"-Duser.home={tmp_path} {nowhere}"},
        capture_output=True,
        text=True,
    )
    assert "SettingsError: setting ATHLETE_ENGINE=spark: its Delta jars (io.delta:" in ended.stderr
