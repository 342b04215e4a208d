"""A second process of a command, for work on a second core: it loads its packages while the first one does other work.

Python runs one thread of a process at a time, and the run of a small home is Python from end to end: of an export's
14 s, 2 go into importing MLflow alone.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import queue
import signal
import subprocess
import sys
import threading
from types import TracebackType

from athlete_assets.terminal import say


class SecondProcess:
    """Makes something ready at once, and calls it, which returns whether all went well, once for each word that it is
    given, one after the other up to the first that does not; its lines are printed between those of this process.

    A context: at its end a call that goes on is ended as by Ctrl-C, and those that wait are not made.
    """

    def __init__(self, prepared: str) -> None:
        """prepared: such as `athlete_assets.runs:prepared`, a function that returns a context of what is called."""
        # in a session of its own: a terminal's Ctrl-C reaches this process alone, which then closes the pipe
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__, prepared],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self._lines = threading.Thread(target=self._say_lines, daemon=True)
        self._lines.start()
        self._is_called = False

    def call(self, word: str) -> None:
        """Has it make the call with the word, after those before; does not wait for that."""
        self._is_called = True
        self._write(f"{word}\n")

    def went_well(self) -> bool:
        """Waits for the calls' end."""
        self._write("\n")
        code = self._process.wait()
        self._lines.join()
        if code < 0:
            say(f"The second process was ended by {signal.Signals(-code).name}.")
        return code == 0

    def _write(self, text: str) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it is gone, as `went_well` will tell
            self._process.stdin.write(text)
            self._process.stdin.flush()

    def __enter__(self) -> SecondProcess:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        assert self._process.stdin is not None
        if not self._is_called:
            self._process.kill()
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.wait()
        self._lines.join()

    def _say_lines(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            say(line.rstrip("\n"))


def main(prepared: str) -> int:
    """The second process: 0 where all calls went well."""
    # a shell starts what goes on in its background with the signal ignored, which children inherit
    signal.signal(signal.SIGINT, signal.default_int_handler)
    words: queue.SimpleQueue[str] = queue.SimpleQueue()
    threading.Thread(target=_read, args=(words,), daemon=True).start()
    try:
        module, _, name = prepared.partition(":")
        with getattr(importlib.import_module(module), name)() as call:
            while word := words.get():
                if not call(word):
                    return 1
    except KeyboardInterrupt:
        return 1
    return 0


def _read(words: queue.SimpleQueue[str]) -> None:
    """Puts the lines into the queue. The pipe closes where the first process ends, in whatever way, or wants this one
    to end."""
    # not by sys.stdin, whose lock a reading thread holds: an interpreter that ends meanwhile may abort for want of it
    with open(0, "rb", buffering=0, closefd=False) as lines:
        for line in lines:
            words.put(line.decode().rstrip("\n"))
    os.kill(os.getpid(), signal.SIGINT)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
