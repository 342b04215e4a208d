"""`athlete-assets ui` ends with all that it started, whoever asks for it, and says when its daemons give no sign."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import dagster as dg
import pytest

from athlete_assets.deployments.instance import prepare_dagster_home
from athlete_assets.deployments.ui import Heartbeats
from athlete_assets.settings import Settings
from athlete_assets_tests.processes import alive, descendants, free_port, wait_gone

STUBBORN = """
import signal, subprocess, sys, time
from pathlib import Path
child = "import signal, time; [signal.signal(n, signal.SIG_IGN) for n in (1, 2, 15)]; time.sleep(600)"
subprocess.Popen([sys.executable, "-c", child])
Path(sys.argv[1]).touch()
try:
    time.sleep(600)
except KeyboardInterrupt:
    sys.exit(3)
"""
SERVE = """
import os, sys
from athlete_assets.deployments import ui
ui.GRACE_SECONDS = 2.0
sys.exit(ui.serve([sys.executable, *sys.argv[1:]], os.environ, lambda: None))
"""


def not_ignored() -> None:
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


def started(tmp_path: Path, *before: str) -> subprocess.Popen[bytes]:
    """A process that serves a command whose child ignores every request to end."""
    (tmp_path / "stubborn.py").write_text(STUBBORN)
    command = [*before, sys.executable, "-c", SERVE, str(tmp_path / "stubborn.py"), str(tmp_path / "there")]
    process = subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        stdin=subprocess.DEVNULL,
        preexec_fn=not_ignored,  # whoever runs the tests may ignore them, as nohup and a shell's background jobs do
    )
    deadline = time.monotonic() + 120
    while not ((tmp_path / "there").exists() and len(descendants(process.pid)) >= 2):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return process


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_request_to_end_leaves_nobody_behind(tmp_path: Path, number: signal.Signals) -> None:
    process = started(tmp_path)
    below = descendants(process.pid)
    process.send_signal(number)
    assert process.wait(60) == 0
    assert wait_gone(below) == []


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_so_it_does_under_nohup_with_interrupts_ignored(tmp_path: Path, number: signal.Signals) -> None:
    """As a script's `nohup athlete-assets ui &` has it: hang-ups and interrupts are ignored from the start."""
    ignoring = "import os, signal, sys; signal.signal(2, signal.SIG_IGN); os.execvp(sys.argv[1], sys.argv[1:])"
    process = started(tmp_path, "nohup", sys.executable, "-c", ignoring)
    below = descendants(process.pid)
    process.send_signal(signal.SIGHUP)
    time.sleep(1)
    assert alive([process.pid, *below]) == [process.pid, *below]  # what nohup is for
    process.send_signal(number)
    assert process.wait(60) == 0
    assert wait_gone(below) == []


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="no other system ends the children of a killed process")
def test_a_killed_ui_takes_its_server_with_it(tmp_path: Path) -> None:
    process = started(tmp_path)
    (server, *_) = descendants(process.pid)
    process.kill()
    process.wait()
    assert wait_gone([server]) == []


@pytest.mark.slow
def test_a_command_that_ends_by_itself_gives_its_code(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", SERVE, "-c", "raise SystemExit(7)"])
    assert done.returncode == 7


def test_daemons_without_a_sign_of_life_are_named_once(settings: Settings) -> None:
    said: list[str] = []
    with dg.DagsterInstance.from_config(str(prepare_dagster_home(settings))) as instance:
        heartbeats = Heartbeats(instance, said.append, seconds=0.2)
        heartbeats.look()
        assert said == []
        time.sleep(0.3)
        heartbeats.look()
        heartbeats.look()
    assert len(said) == 1
    assert "sensor" in said[0]
    assert "monitoring" in said[0]


@pytest.mark.slow
def test_webserver_daemon_and_code_server_end_with_the_command_under_nohup(tmp_path: Path) -> None:
    port, log = free_port(), tmp_path / "ui.log"
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("ATHLETE_", "DAGSTER_"))}
    environment |= {"ATHLETE_HOME": str(tmp_path / "home"), "ATHLETE_SENSOR_INTERVAL_S": "3600"}
    with open(log, "w") as output:
        command = ["nohup", sys.executable, "-m", "athlete_assets.cli", "ui", "--port", str(port)]
        process = subprocess.Popen(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        )
    deadline = time.monotonic() + 240
    while True:
        assert time.monotonic() < deadline, log.read_text()[-3000:]
        try:
            urlopen(f"http://127.0.0.1:{port}/server_info", timeout=5)
        except (URLError, OSError):
            time.sleep(0.5)
        else:
            break
    below = descendants(process.pid)
    commands = [Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode() for pid in below]
    for part in ("dagster_webserver", "dagster._daemon", "dagster"):
        assert any(part in command for command in commands), commands
    daemon = next(pid for pid, command in zip(below, commands, strict=True) if "dagster._daemon" in command)
    links = f"ATHLETE_UI_URL=http://127.0.0.1:{port}"  # what alerts link to
    assert links.encode() in Path(f"/proc/{daemon}/environ").read_bytes().split(b"\0")
    process.send_signal(signal.SIGTERM)
    assert process.wait(90) == 0, log.read_text()[-3000:]
    assert wait_gone(below) == []
