"""Work beside this process: in order, told of, and never longer than this process lives."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from athlete_assets.deployments.second_process import SecondProcess

pytestmark = pytest.mark.slow
NOTED, ENDLESS = (f"{__name__}:{name}" for name in ("prepared", "never_prepared"))
SLEEPY = """
import sys, time
from athlete_assets.deployments.second_process import SecondProcess
with SecondProcess("athlete_assets_tests.deployments.test_second_process:prepared") as second:
    second.call("sleeps " + sys.argv[1])
    print("called", flush=True)
    time.sleep(600)
"""


@contextmanager
def prepared() -> Iterator[Callable[[str], bool]]:
    """What the second process makes ready."""
    print("ready", flush=True)
    try:
        yield noted
    finally:
        print("put away", flush=True)


def never_prepared() -> None:
    time.sleep(600)


def noted(word: str) -> bool:
    """What the second process does: says the word; `fails`, and `sleeps FILE` (which is there while it does)."""
    what, _, path = word.partition(" ")
    print(f"  {what}", flush=True)
    if what == "sleeps":
        file = Path(path)
        file.touch()
        try:
            time.sleep(600)
        except KeyboardInterrupt:
            file.rename(file.with_suffix(".ended"))
            raise
    return what != "fails"


def wait_for(file: Path) -> None:
    deadline = time.monotonic() + 120
    while not file.exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_calls_are_made_in_order_and_their_lines_are_said_here(capsys: pytest.CaptureFixture[str]) -> None:
    with SecondProcess(NOTED) as second:
        for word in ("one", "two", "three"):
            second.call(word)
        assert second.went_well()
    assert capsys.readouterr().out == "ready\n  one\n  two\n  three\nput away\n"


def test_the_first_call_that_fails_is_the_last(capsys: pytest.CaptureFixture[str]) -> None:
    with SecondProcess(NOTED) as second:
        for word in ("one", "fails", "three"):
            second.call(word)
        assert not second.went_well()
    assert capsys.readouterr().out == "ready\n  one\n  fails\nput away\n"


def test_an_error_in_it_is_no_success(capfd: pytest.CaptureFixture[str]) -> None:
    with SecondProcess(f"{__name__}:nothing_of_the_kind") as second:
        second.call("one")
        assert not second.went_well()
    assert "nothing_of_the_kind" in capfd.readouterr().err


def test_one_that_is_killed_is_told_of(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with SecondProcess(NOTED) as second:
        second.call(f"sleeps {tmp_path / 'there'}")
        wait_for(tmp_path / "there")
        second._process.send_signal(signal.SIGKILL)
        assert not second.went_well()
    assert capsys.readouterr().out == "ready\n  sleeps\nThe second process was ended by SIGKILL.\n"


def test_what_goes_on_is_interrupted_where_this_process_gives_up(tmp_path: Path) -> None:
    def gives_up() -> None:
        with SecondProcess(NOTED) as second:
            second.call(f"sleeps {tmp_path / 'there'}")
            second.call("never")
            wait_for(tmp_path / "there")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        gives_up()
    assert (tmp_path / "there.ended").exists()


def test_what_was_never_called_is_not_waited_for() -> None:
    began = time.monotonic()
    with SecondProcess(ENDLESS):
        pass
    assert time.monotonic() - began < 60


@pytest.mark.parametrize("interrupts", [signal.SIG_DFL, signal.SIG_IGN], ids=["heard", "ignored"])
def test_it_ends_with_the_first_one_however_that_ends(interrupts: signal.Handlers, tmp_path: Path) -> None:
    """In a shell's background, too, where interrupts are ignored."""
    first = subprocess.Popen(
        [sys.executable, "-c", SLEEPY, str(tmp_path / "there")],
        stdout=subprocess.DEVNULL,
        preexec_fn=lambda: signal.signal(signal.SIGINT, interrupts),
    )
    wait_for(tmp_path / "there")
    first.kill()
    first.wait()
    wait_for(tmp_path / "there.ended")
