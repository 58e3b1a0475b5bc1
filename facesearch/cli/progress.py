"""Progress of commands that take long: a bar with the count and the time left on a terminal, elsewhere a line from time
to time. All of it goes to stderr.
"""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Final

import click

from facesearch.cli.console import remark

LINE_EVERY_S: Final = 10.0
"""Seconds between lines where there is no bar."""

DRAWN_EVERY_S: Final = 0.1
"""Seconds between changes of the bar of a stage, whose steps may take microseconds."""

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
def progress(total: int | None, what: str, detail: Callable[[], str] = str) -> Iterator[Progress]:
    """Yield the progress of `total` things; None if nobody knows how many there are, for which there is no bar. what:
    their name, in the plural. detail: makes the end of a line where there is no bar.
    """
    if total is not None and sys.stderr.isatty():
        with click.progressbar(length=total, label=what, show_pos=True, width=_BAR_COLUMNS, file=sys.stderr) as bar:
            yield Progress(bar.update, lambda line: remark(f"\n{line}"))
        return
    shown = time.monotonic()

    def move(_: int) -> None:
        nonlocal shown
        if time.monotonic() - shown >= LINE_EVERY_S:
            shown = time.monotonic()
            remark(f"{made.done}{'' if total is None else f' of {total}'} {what}{detail()}")

    made = Progress(move, remark)
    yield made


class Stages:
    """The progress of work whose stages are only known as they begin. Each stage is shown as `progress` does."""

    def __init__(self, open_stage: ExitStack) -> None:
        self._open_stage = open_stage
        self._what = ""
        self._progress: Progress | None = None
        self._drawn = 0.0

    def show(self, what: str, done: int, total: int | None) -> None:
        """Show that `done` of `total` things are done, as shared.progress.Show says."""
        done = done if total is None else min(done, total)
        if self._progress is None or what != self._what or done < self._progress.done:
            self._open_stage.close()
            self._what, self._drawn = what, 0.0
            self._progress = self._open_stage.enter_context(progress(total, what))
        if done == total or time.monotonic() - self._drawn >= DRAWN_EVERY_S:
            self._drawn = time.monotonic()
            self._progress.reach(done)

    def end(self) -> None:
        """End the stage, before something else is printed."""
        self._open_stage.close()
        self._progress = None

    def say(self, line: str) -> None:
        """End the stage, and print a line."""
        self.end()
        remark(line)


@contextmanager
def stages() -> Iterator[Stages]:
    """Yield the progress of a work of several stages."""
    with ExitStack() as open_stage:
        yield Stages(open_stage)
