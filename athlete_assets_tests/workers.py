"""A kernel as a cluster's worker runs it: sent as code, to an interpreter that cannot import this package."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pyspark import cloudpickle

import athlete_assets
from athlete_assets.store.by_athlete import send_kernels_whole


def answered(kernel: Callable[..., Any], arguments: tuple[Any, ...], shown: str, folder: Path) -> tuple[str, int]:
    """What a worker prints of what the kernel makes, and the bytes that were sent. shown: an expression of `made`."""
    send_kernels_whole()
    try:
        payload = cloudpickle.dumps((kernel, arguments))
    finally:
        cloudpickle.unregister_pickle_by_value(athlete_assets)
    (folder / "payload").write_bytes(payload)
    program = (
        f"import os; os.chdir({str(folder)!r})\n"
        "import sys; sys.modules['athlete_assets'] = None\n"
        "from pyspark import cloudpickle\n"
        "kernel, arguments = cloudpickle.loads(open('payload', 'rb').read())\n"
        "made = kernel(*arguments)\n"
        f"print({shown})\n"
    )
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    answer = subprocess.run(
        [sys.executable, "-I", "-c", program], capture_output=True, text=True, env=environment, check=False
    )
    assert answer.returncode == 0, answer.stderr
    return answer.stdout.strip(), len(payload)
