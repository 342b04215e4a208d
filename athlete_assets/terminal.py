"""What a person sees of a command: lines, colours, and a bar while something takes long.

Colours and bars are a terminal's alone, and colours only where NO_COLOR is not set; a pipe and a log get plain lines.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from rich.progress import Progress

Colour = Literal["red", "yellow", "green"]


def say(line: str) -> None:
    """Prints a line; above the bar where one stands."""
    print(line, flush=True)


def say_json(document: Any) -> None:
    """Prints one JSON document: dates in ISO 8601, null where nothing is known."""
    say(json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False, default=lambda value: value.isoformat()))


def coloured(text: str, colour: Colour) -> str:
    """The text in a colour, as it is where none is wanted."""
    from click import style

    return style(text, fg=colour) if _has_colours() else text


@cache
def is_terminal() -> bool:
    """Whether a person looks on. Asked once: while Dagster runs a step in this process, stdout is a file."""
    return sys.stdout.isatty() and os.environ.get("TERM") != "dumb"


def _has_colours() -> bool:
    return is_terminal() and not os.environ.get("NO_COLOR")


class Bar:
    """How far something is. Nothing to see (`is_shown` false) where there is no terminal, or a bar stands already."""

    def __init__(self, progress: Progress | None = None, title: str = "", total: int = 0) -> None:
        self.progress, self.title = progress, title
        self.task = progress.add_task(title, total=total) if progress else None

    @property
    def is_shown(self) -> bool:
        return self.progress is not None

    def step(self, done: int = 1) -> None:
        """So much more is done."""
        if self.progress is not None and self.task is not None:
            self.progress.advance(self.task, done)

    def tell(self, what: str) -> None:
        """What goes on now."""
        if self.progress is not None and self.task is not None:
            self.progress.update(self.task, description=f"{self.title} {what}".strip())


_standing: list[Bar] = []


def standing_bar() -> Bar:
    """The bar that stands, for code that cannot be given it: a logger that Dagster makes."""
    return _standing[-1] if _standing else Bar()


@contextmanager
def bar(title: str, total: int) -> Iterator[Bar]:
    """A bar for `total` steps, below the lines that are printed meanwhile; it is gone at the end."""
    if not is_terminal() or _standing:
        yield Bar()
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    # Dagster puts files in the place of this process' output while a step runs; the terminal stays the terminal
    with (
        open(os.dup(sys.stdout.fileno()), "w") as terminal,
        Progress(*columns, console=Console(file=terminal), transient=True, refresh_per_second=4) as progress,
    ):
        _standing.append(Bar(progress, title, total))
        try:
            yield _standing[-1]
        finally:
            _standing.pop()
