"""What goes wrong, by script: answers of the API, and the fate of a submitted run."""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass
from typing import Literal

Outcome = Literal["execute", "launch_failure", "library_failure", "skipped", "nothing"]


@dataclass
class Fate:
    """What becomes of the next submitted run. The default: it starts, executes its file, and ends as that file ends."""

    outcome: Outcome = "execute"
    pending_seconds: float = 0.0
    spark: bool = False
    """Whether the cluster's Spark session exists before the file runs, as on a real cluster; costs about 10 s."""
    kill_driver_when: str | None = None
    """The driver is lost as soon as a staged file's name matches this expression."""
    kill_driver_after: float = 0.0
    """Seconds between that file and the loss."""
    result_after_exit: str | None = None
    """A result state that replaces the one of the process: trouble after the file has ended."""
    stays_running_seconds: float = 0.0
    """The run still says RUNNING so long after the process has ended."""
    terminating_seconds: float = 0.0
    """The run says TERMINATING, without a result, so long before it says TERMINATED."""
    events_late_seconds: float = 0.0
    """Event files can be read only so long after the process has ended."""
    events_lost: bool = False
    cancelled_by_person_when: str | None = None
    """Someone cancels the run in the workspace as soon as a staged file's name matches this expression."""
    standard_access: bool = False
    """A standard-access cluster: no `sc`."""


@dataclass
class _Rule:
    method: str
    path: re.Pattern[str]
    action: Literal["status", "drop", "slow", "cut", "instead"]
    times: int
    after: int
    status: int = 0
    retry_after: int | None = None
    error_code: str = ""
    message: str = ""
    seconds: float = 0.0
    body: bytes = b""
    content_type: str = ""


class Faults:
    """Rules that the server asks before it answers; each applies `times` times, after `after` undisturbed requests.

    Its path is an expression that is searched in the path with its query.
    """

    def __init__(self) -> None:
        self._rules: list[_Rule] = []
        self._lock = threading.Lock()

    def status(
        self,
        path: str,
        status: int,
        *,
        method: str = "",
        times: int = 1,
        after: int = 0,
        retry_after: int | None = None,
        error_code: str = "",
        message: str = "by script",
    ) -> None:
        """The request is refused with this status before anything happens."""
        self._add(_Rule(method, re.compile(path), "status", times, after, status, retry_after, error_code, message))

    def drop(self, path: str, *, method: str = "", times: int = 1, after: int = 0) -> None:
        """The request is carried out, but its answer never arrives: the connection breaks."""
        self._add(_Rule(method, re.compile(path), "drop", times, after))

    def cut(self, path: str, *, method: str = "", times: int = 1, after: int = 0) -> None:
        """The request is carried out, but its answer breaks off in the middle."""
        self._add(_Rule(method, re.compile(path), "cut", times, after))

    def instead(
        self,
        path: str,
        body: bytes = b"<html><body>Sign in to continue</body></html>",
        content_type: str = "text/html",
        *,
        method: str = "",
        times: int = 1,
        after: int = 0,
    ) -> None:
        """Nothing happens, and the answer is 200 with this body: a proxy's page, or garbled content."""
        rule = _Rule(method, re.compile(path), "instead", times, after, body=body, content_type=content_type)
        self._add(rule)

    def slow(self, path: str, seconds: float, *, method: str = "", times: int = 1, after: int = 0) -> None:
        self._add(_Rule(method, re.compile(path), "slow", times, after, seconds=seconds))

    def clear(self) -> None:
        """From now on nothing is disturbed."""
        with self._lock:
            self._rules.clear()

    def _add(self, rule: _Rule) -> None:
        with self._lock:
            self._rules.append(rule)

    def take(self, method: str, path: str) -> _Rule | None:
        """The rule that disturbs this request, used up by one."""
        with self._lock:
            for rule in self._rules:
                if (rule.method and rule.method != method) or not rule.path.search(path):
                    continue
                if rule.after > 0:
                    rule.after -= 1
                    continue
                if rule.times > 0:
                    rule.times -= 1
                    return rule
        return None
