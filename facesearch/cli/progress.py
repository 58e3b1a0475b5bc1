"""Progress of commands that take long: a bar with the count and the time left on a terminal, elsewhere a line from time
to time. All of it goes to stderr.
"""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import click

from facesearch.cli.console import remark

LINE_EVERY_S: Final = 10.0
"""Seconds between lines where there is no terminal."""

_BAR_COLUMNS: Final = 24
"""Width of the bar; label, count, part and time left need the rest of 80 columns."""


class Progress:
    """The progress of a command. move: called with how many more are done. say: prints a line beside it."""

    def __init__(self, move: Callable[[int], None], say: Callable[[str], None]) -> None:
        self._move = move
        self.say = say
        self.done = 0

    def advance(self) -> None:
        """Count one more."""
        self.reach(self.done + 1)

    def reach(self, done: int) -> None:
        """Set how many are done so far."""
        more, self.done = done - self.done, done
        self._move(more)


@contextmanager
def progress(total: int, what: str, detail: Callable[[], str] = str) -> Iterator[Progress]:
    """Yield the progress of `total` things. what: their name, in the plural. detail: makes the end of a line where
    there is no terminal.
    """
    if sys.stderr.isatty():
        with click.progressbar(length=total, label=what, show_pos=True, width=_BAR_COLUMNS, file=sys.stderr) as bar:
            yield Progress(bar.update, lambda line: remark(f"\n{line}"))
        return
    shown = time.monotonic()

    def move(_: int) -> None:
        nonlocal shown
        if time.monotonic() - shown >= LINE_EVERY_S:
            shown = time.monotonic()
            remark(f"{made.done} of {total} {what}{detail()}")

    made = Progress(move, remark)
    yield made
