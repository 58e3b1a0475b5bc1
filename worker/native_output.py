"""Redirects what native libraries write to stderr (libpng, libjpeg, ONNX Runtime, Qdrant) to the log, bounded.

File descriptor 2 becomes a pipe. A thread reads it and logs once a second how many lines came, and the first few that
are known to contain nothing of a caller's. The pipe never blocks the writer: when it is full, because no thread can
run, further output is lost.

Python itself and faulthandler write to the former stderr: tracebacks, and the stacks of all threads when the process
crashes or is ended, never go through the pipe. The interpreter's own last message does; it flushes sys.stderr
afterwards, and that flush takes the message out of the pipe and passes it on.
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

_LAST_MESSAGE: Final = re.compile(
    rb"Fatal Python error: |terminate called |(?:free|malloc|realloc|munmap_chunk)\(\): |double free |corrupted "
)
"""The beginning of the last message of a dying process, from which on everything is passed on unchanged, at once."""

LOG_INTERVAL_S: Final = 1.0

SHOWN_LINES: Final = 5
"""The most different lines in one log record."""

JOIN_S: Final = 1.0
"""The longest wait for the reader at the end of the process, should a child hold the pipe open."""

MAX_LINE_BYTES: Final = 200
"""Lines are cut to this length; those of libpng and libjpeg have 50 bytes."""

READ_BYTES: Final = 1 << 16
"""The capacity of a pipe."""

_HARMLESS: Final = re.compile(
    r"libpng (?:warning|error): [ -~]+"
    r"|Corrupt JPEG data: [ -~]+"
    r"|(?:Premature end of|Unsupported marker type|Invalid|Warning: unknown JFIF) [ -~]+"
    r"|[0-9 :.-]+\[[VIWEF]:onnxruntime:[ -~]+"
)
"""Lines in which libraries write numbers and names of their own, but nothing that a caller sent. Other lines are only
counted: an engine may quote what it stores."""


@dataclass
class _Summary:
    """The lines of one log record. unknown: lines that are not known to be harmless. shown: the first different
    harmless ones.
    """

    lines: int = 0
    unknown: int = 0
    shown: list[str] = field(default_factory=list)

    def add(self, line: bytes) -> None:
        self.lines += 1
        text = line[:MAX_LINE_BYTES].decode(errors="replace").strip()
        if text in self.shown:
            return
        if not _HARMLESS.fullmatch(text):
            self.unknown += 1
        elif len(self.shown) < SHOWN_LINES:
            self.shown.append(text)

    def write(self) -> None:
        write = log.warning if self.unknown else log.info
        write("native_output", lines=self.lines, unknown=self.unknown, shown=self.shown)


class LineBuffer:
    """Splits a stream of bytes into lines. It holds no more than MAX_LINE_BYTES of an unfinished line."""

    def __init__(self) -> None:
        self._unfinished = b""

    def add(self, data: bytes) -> list[bytes]:
        """Return the lines that end in `data`, without empty ones."""
        *lines, rest = (self._unfinished + data).split(b"\n")
        self._unfinished = rest[:MAX_LINE_BYTES]
        return [line for line in lines if line]


class _Pipe:
    """The reading end of the pipe, read without blocking and without a lock."""

    def __init__(self, reading: int, former_stderr: int) -> None:
        self.reading = reading
        self._former_stderr = former_stderr
        self._received: deque[bytes] = deque()
        self._in_last_message = False
        os.set_blocking(reading, False)

    def drain(self) -> bool:
        """Read the available bytes: a last message goes to the former stderr, all else is kept for `received`. Return
        False at the end of the pipe.
        """
        try:
            data = os.read(self.reading, READ_BYTES)
        except BlockingIOError:
            return True
        match = None if self._in_last_message else _LAST_MESSAGE.search(data)
        at = 0 if self._in_last_message else len(data) if match is None else match.start()
        if at < len(data):
            self._in_last_message = True
            os.write(self._former_stderr, data[at:])
        self._received.append(data[:at])
        return bool(data)

    def received(self) -> bytes:
        """Return what was kept since the last call."""
        return b"".join(self._received.popleft() for _ in range(len(self._received)))


class _Stderr(io.TextIOWrapper):
    """Python's sys.stderr, on the former stderr. A flush also drains the pipe: the interpreter flushes it after its
    last message, when no thread runs any more.
    """

    def __init__(self, former_stderr: int, pipe: _Pipe) -> None:
        raw = os.fdopen(former_stderr, "wb", closefd=False)
        super().__init__(raw, errors="backslashreplace", line_buffering=True)
        self._pipe = pipe

    def flush(self) -> None:
        super().flush()
        self._pipe.drain()


def redirect_to_log() -> None:
    """Redirect native output until the process ends. To be called once, before anything is logged."""
    former_stderr = os.dup(2)
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    os.dup2(writing, 2)
    os.close(writing)
    pipe = _Pipe(reading, former_stderr)
    sys.stderr = _Stderr(former_stderr, pipe)
    faulthandler.enable(sys.stderr)
    reader = threading.Thread(target=_read, args=(pipe,), name="native_output", daemon=True)
    reader.start()
    atexit.register(_restore, former_stderr, reader)


def _restore(former_stderr: int, reader: threading.Thread) -> None:
    os.dup2(former_stderr, 2)  # closes the last writing end, so the reader finishes
    reader.join(JOIN_S)


def _read(pipe: _Pipe) -> None:
    lines, summary, due = LineBuffer(), _Summary(), time.monotonic()
    is_open = True
    while is_open:
        wait_s = max(0.0, due - time.monotonic()) if summary.lines else None
        if select.select([pipe.reading], [], [], wait_s)[0]:
            is_open = pipe.drain()
            for line in lines.add(pipe.received() + (b"" if is_open else b"\n")):
                summary.add(line)
        if summary.lines and (not is_open or time.monotonic() >= due):
            summary.write()
            summary, due = _Summary(), time.monotonic() + LOG_INTERVAL_S
