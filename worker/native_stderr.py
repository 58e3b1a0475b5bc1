"""What native libraries write to stderr past every logger, bounded, in the log: libpng, libjpeg, ONNX Runtime, Qdrant.

File descriptor 2 becomes a pipe. A thread reads it and logs once a second what came: how many lines, and of these the
first few that are known to have nothing of a caller's. The pipe never blocks who writes to it: when it is full, which
takes a thread that cannot run, what is written is lost.

Python itself writes to the stderr there was before, and so does faulthandler: tracebacks, and where the threads are
when the process crashes or is ended, never go through the pipe. The interpreter's own last words do. It flushes
sys.stderr after them, which is when they are taken out and passed on.
"""

import atexit
import faulthandler
import io
import os
import re
import select
import sys
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Final

import structlog

log = structlog.stdlib.get_logger(__name__)

_LAST_WORDS: Final = re.compile(
    rb"Fatal Python error: |terminate called |(?:free|malloc|realloc|munmap_chunk)\(\): |double free |corrupted "
)
"""How the last words of a process begin: from there on all is passed on as it is, at once."""

EVERY_S: Final = 1.0
"""How often it is logged at most."""

LINES: Final = 5
"""How many different lines are shown each time: who looks wants to know what it is, not how often."""

END_S: Final = 1.0
"""How long the end of the process waits for the last of it, should a child hold the pipe."""

LINE_BYTES: Final = 200
"""Of a line that is looked at; libpng's and libjpeg's have 50."""

READ_BYTES: Final = 1 << 16
"""What a pipe holds."""

_HARMLESS: Final = re.compile(
    r"libpng (?:warning|error): [ -~]+"
    r"|Corrupt JPEG data: [ -~]+"
    r"|(?:Premature end of|Unsupported marker type|Invalid|Warning: unknown JFIF) [ -~]+"
    r"|[0-9 :.-]+\[[VIWEF]:onnxruntime:[ -~]+"
)
"""Lines of libraries that put numbers and names of their own into them, but nothing that was sent. An engine may quote
what it stores, and of others nothing is known: their lines are counted."""


@dataclass
class _Heard:
    """What came since it was last logged. unknown: how many of the lines are not known to be harmless. shown: the first
    different ones that are.
    """

    lines: int = 0
    unknown: int = 0
    shown: list[str] = field(default_factory=list)

    def add(self, line: bytes) -> None:
        self.lines += 1
        text = line[:LINE_BYTES].decode(errors="replace").strip()
        if text in self.shown:
            return
        if not _HARMLESS.fullmatch(text):
            self.unknown += 1
        elif len(self.shown) < LINES:
            self.shown.append(text)

    def told(self) -> None:
        say = log.warning if self.unknown else log.info
        say("native_output", lines=self.lines, unknown=self.unknown, shown=self.shown)


class Lines:
    """Bytes as they come to lines, of which no more than LINE_BYTES are held."""

    def __init__(self) -> None:
        self._begun = b""

    def of(self, data: bytes) -> list[bytes]:
        """Those that end in these bytes."""
        *whole, rest = (self._begun + data).split(b"\n")
        self._begun = rest[:LINE_BYTES]
        return [line for line in whole if line]


class _Pipe:
    """The end that is read, which has no line of its own: reading takes what is there and never waits."""

    def __init__(self, reading: int, real: int) -> None:
        self.reading = reading
        self._real = real
        self._taken: deque[bytes] = deque()
        self._last_words = False
        os.set_blocking(reading, False)

    def take(self) -> bool:
        """Whether there will be more. Last words are passed on, all else is kept for `taken`."""
        try:
            data = os.read(self.reading, READ_BYTES)
        except BlockingIOError:
            return True
        begun = None if self._last_words else _LAST_WORDS.search(data)
        at = 0 if self._last_words else len(data) if begun is None else begun.start()
        if at < len(data):
            self._last_words = True
            os.write(self._real, data[at:])
        self._taken.append(data[:at])
        return bool(data)

    def taken(self) -> bytes:
        """What came since the last time."""
        return b"".join(self._taken.popleft() for _ in range(len(self._taken)))


class _Stderr(io.TextIOWrapper):
    """Python's own. When it is flushed, what is in the pipe is taken out: the interpreter does so with its last words,
    when no thread runs any more.
    """

    def __init__(self, real: int, pipe: _Pipe) -> None:
        super().__init__(os.fdopen(real, "wb", closefd=False), errors="backslashreplace", line_buffering=True)
        self._pipe = pipe

    def flush(self) -> None:
        super().flush()
        self._pipe.take()


def to_log() -> None:
    """From now on, until the process ends. To be called once, before anything is logged."""
    real = os.dup(2)
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    os.dup2(writing, 2)
    os.close(writing)
    pipe = _Pipe(reading, real)
    sys.stderr = _Stderr(real, pipe)
    faulthandler.enable(sys.stderr)
    reader = threading.Thread(target=_read, args=(pipe,), name="native_stderr", daemon=True)
    reader.start()
    atexit.register(_end, real, reader)


def _end(real: int, reader: threading.Thread) -> None:
    """What is written while the interpreter ends goes where it went before."""
    os.dup2(real, 2)  # nobody holds the pipe any more, so it ends
    reader.join(END_S)


def _read(pipe: _Pipe) -> None:
    lines, heard, due = Lines(), _Heard(), time.monotonic()
    going_on = True
    while going_on:
        wait_s = max(0.0, due - time.monotonic()) if heard.lines else None
        if select.select([pipe.reading], [], [], wait_s)[0]:
            going_on = pipe.take()
            for line in lines.of(pipe.taken() + (b"" if going_on else b"\n")):
                heard.add(line)
        if heard.lines and (not going_on or time.monotonic() >= due):
            heard.told()
            heard, due = _Heard(), time.monotonic() + EVERY_S
