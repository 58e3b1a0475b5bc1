"""The vision processes of a worker: each of its threads uses one for the image of its job.

A process that ends takes down no other job. If it was killed from outside, as the system does for want of memory, the
image of its job goes once to a process that was forked later: whatever killed one process may kill all that live. After
a crash the image itself is the likely cause, and the job fails.
"""

import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any, Final, Literal, NamedTuple, Protocol

import structlog

from shared.errors import ContractError, FaceNotDetected, ImageUnreadable, OperatorError, Unavailable
from worker.models.versions import PREPROCESSING_VERSION, PREPROCESSINGS, Preprocessing
from worker.processes.faces import box_from_list, from_fields, quality_from_list
from worker.processes.fork_client import START_S, ForkServer
from worker.processes.messages import Message, MessageError, MessageSocket
from worker.processes.models import Vision
from worker.vision.memory_budget import MemoryBudget
from worker.vision.service import Face, FaceSelection
from worker.waits import ProcessorWaits, Waits

log = structlog.stdlib.get_logger(__name__)

STATUS_S: Final = 2.0
"""Longest wait for how a process ended, once its connection is closed."""

TRIES: Final = 2
"""Processes that an image is given to, as long as each is killed from outside."""

PAUSE_S: Final = 0.5
"""Pause before a process that ended without an image, younger than this, is replaced: the next one may end likewise."""

_DEFAULT: Final = PREPROCESSINGS[PREPROCESSING_VERSION]

_REFUSALS: Final[Mapping[str, type[ContractError]]] = {
    kind.__name__: kind for kind in (ImageUnreadable, FaceNotDetected)
}


Ending = Literal["killed", "crashed", "retired"]
"""How a vision process ended: from outside, such as for want of memory; by itself; or by its worker, after it ran out
of memory or misbehaved."""


class Recorder(Protocol):
    """Records what vision processes observe."""

    def record_stage(self, name: str, at: float, seconds: float) -> None:
        """Record a stage. at: time of its start, in seconds since 1970. Raises KeyError for an unknown name."""

    def found(self, faces: int) -> None:
        """Record the number of faces in an image."""

    def embedded(self, faces: int) -> None:
        """Record the number of faces embedded together."""

    def vision_process_ended(self, how: Ending) -> None:
        """Count a vision process that ended."""


class _Ended(Exception):
    """A vision process ended before its answer. code: as of subprocess; None if the fork server ended, too. number: of
    the last process that was forked before this one was known to have ended.
    """

    def __init__(self, code: int | None, number: int) -> None:
        super().__init__()
        self.code = code
        self.number = number


class _VisionProcess:
    """A vision process as its worker sees it. number: counts those of the worker, from 1. since: when it started,
    on the monotonic clock. ended: how it ended. images: that it was given. is_taken: whether a thread uses it.
    is_usable: whether it may be given another image. is_retired: whether the worker ended it.
    """

    def __init__(self, number: int, pid: int, connection: socket.socket) -> None:
        self.number = number
        self.pid = pid
        self.messages = MessageSocket(connection)
        self.waits = ProcessorWaits(str(pid))
        self.since = time.monotonic()
        self.ended: Future[_Ended] = Future()
        self.images = 0
        self.is_taken = False
        self.is_usable = True
        self.is_retired = False

    def close(self) -> None:
        self.messages.close()
        self.waits.close()


class _Image(NamedTuple):
    """What a vision process is asked. kind: whether for "all" faces or the most "prominent" one. data: an encoded
    image.
    """

    kind: str
    data: bytes
    preprocessing: Preprocessing


class VisionPool:
    """Finds and embeds the faces of images in processes of its own. Thread-safe.

    preprocessing: the way from the image to the embeddings, of those that are known; each call may have another.

    Its methods raise what those of FaceService raise, MemoryError when an image needs more memory than a process may
    have, and Unavailable when its process ended.
    """

    def __init__(self, vision: Vision, count: int, memory: MemoryBudget, waits: Waits, recorder: Recorder) -> None:
        """count: of processes. memory: budget of all processes for decoded images. waits: counts how long a thread, and
        the process that works for it, wait.
        """
        self._vision = vision
        self._count = count
        self._memory = memory
        self._waits = waits
        self._recorder = recorder
        self._changed = threading.Condition()
        self._idle: list[_VisionProcess] = []
        self._processes: dict[int, _VisionProcess] = {}
        self._last_number = 0
        self._is_closing = False
        self._is_over = False
        self._reader = threading.Thread(target=self._follow, name="vision", daemon=True)
        self._server = self._start_server()
        self._reader.start()
        with self._changed:
            self._changed.wait_for(lambda: len(self._processes) == count or self._is_over, START_S)
            ready = len(self._processes)
        if ready < count:
            self.close()
            raise OperatorError(f"only {ready} of {count} vision processes start; is there enough memory?")

    def close(self) -> None:
        """End all processes. Jobs that still need one fail."""
        self._is_closing = True
        self._server.stop()
        self._reader.join()

    def embed_all(
        self, data: bytes, selection: FaceSelection | None = None, preprocessing: Preprocessing = _DEFAULT
    ) -> list[Face]:
        """Return the selected faces, by default all, from left to right. Only these are embedded."""
        return self._embed(_Image("all", data, preprocessing), selection or FaceSelection())

    def embed_most_prominent(self, data: bytes, preprocessing: Preprocessing = _DEFAULT) -> Face:
        """Return the most prominent face."""
        (face,) = self._embed(_Image("prominent", data, preprocessing), FaceSelection())
        return face

    @property
    def pids(self) -> list[int]:
        """Process ids of the vision processes, in ascending order."""
        with self._changed:
            return sorted(self._processes)

    def _embed(self, image: _Image, selection: FaceSelection) -> list[Face]:
        after = 0
        for tries in range(1, TRIES + 1):
            try:
                with self._process(after) as process:
                    return self._faces(process, image, selection)
            except _Ended as ended:
                after = ended.number
                is_repeated = tries < TRIES and _was_killed(ended.code)
                log.warning("vision_process_ended", how=_how(ended.code), repeated=is_repeated)
                if not is_repeated:
                    break
        raise Unavailable("the vision process ended")

    @contextmanager
    def _process(self, after: int) -> Iterator[_VisionProcess]:
        """Take an idle process with a greater number for the block: the one that was used last, whose memory the caches
        still have.
        """
        with self._changed:
            process = self._last_used(after)
            if process is None and not self._is_over:
                with self._waits.waiting():
                    self._changed.wait_for(lambda: self._last_used(after) or self._is_over)
                process = self._last_used(after)
            if process is None or self._is_over:
                raise Unavailable("there are no vision processes")
            self._idle.remove(process)
            process.is_taken = True
            process.images += 1
        before_s = process.waits.seconds()
        try:
            with self._waits.elsewhere(lambda: max(0.0, process.waits.seconds() - before_s)):
                yield process
        finally:
            with self._changed:
                process.is_taken = False
                if process.pid not in self._processes:
                    process.close()
                elif not process.is_usable:
                    process.is_retired = True
                    os.kill(process.pid, signal.SIGKILL)
                else:
                    self._idle.append(process)
                    self._changed.notify_all()

    def _last_used(self, after: int) -> _VisionProcess | None:
        """Return the idle process that was used last, of those with a greater number. The lock must be held."""
        return next((process for process in reversed(self._idle) if process.number > after), None)

    def _faces(self, process: _VisionProcess, image: _Image, selection: FaceSelection) -> list[Face]:
        """Return the faces that a process finds. Raises _Ended when it ends instead."""
        process.is_usable = False  # before it has answered
        try:
            answer, failure = self._converse(process.messages, image, selection)
            self._record(answer)
            outcome = failure or _outcome(answer)
        except (EOFError, OSError):
            try:
                ended = process.ended.result(STATUS_S)
            except TimeoutError:
                ended = _Ended(None, 0)
            raise ended from None
        except MessageError:
            log.exception("vision_process_misbehaves")
            raise Unavailable("the vision process misbehaves") from None
        # Whatever took the memory may still have it; another process is there in milliseconds.
        process.is_usable = answer.kind != "memory"
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def _converse(
        self, messages: MessageSocket, image: _Image, selection: FaceSelection
    ) -> tuple[Message, Exception | None]:
        """Send an image, answer what the process asks, and return its last message, and what the selection raised."""
        way = image.preprocessing
        messages.send(image.kind, image.data, preprocessing=way.version, embedder=way.embedder)
        failure: Exception | None = None
        with ExitStack() as held:
            while (message := messages.receive()).kind not in _OUTCOMES:
                if message.kind == "reserve":
                    held.enter_context(self._memory.reserve(_size(message)))
                    messages.send("go")
                elif message.kind == "release":
                    held.close()
                else:
                    question = _question(message, selection)
                    try:
                        answer = question()
                    except Exception as error:  # noqa: BLE001 -- raised when the process has stopped
                        failure = error
                        messages.send("stop")
                    else:
                        messages.send("go", answer=answer)
        return message, failure

    def _record(self, answer: Message) -> None:
        """Record what the process observed of the image."""
        try:
            for name, at, seconds in answer.fields["stages"]:
                self._recorder.record_stage(name, float(at), float(seconds))
            for faces in answer.fields["found"]:
                self._recorder.found(int(faces))
            for faces in answer.fields["embedded"]:
                self._recorder.embedded(int(faces))
        except (KeyError, TypeError, ValueError) as error:
            raise MessageError(f"observations are malformed: {type(error).__name__}") from None

    def _start_server(self) -> ForkServer:
        """Return a new fork server, which was asked for all processes. Raises OperatorError."""
        server = ForkServer(self._vision)
        for _ in range(self._count):
            server.fork()
        return server

    def _follow(self) -> None:
        """Follow what the fork server tells, and replace what ended, the server too, until the pool is closed."""
        while True:
            try:
                message = self._server.receive()
            except (EOFError, MessageError):
                if self._is_closing or not self._replace_server():
                    break
            else:
                if message.kind == "inference_ended":
                    log.error("inference_process_ended", how=_how(int(message.fields["code"])))
                    continue
                pid = int(message.fields["pid"])
                if message.kind == "forked":
                    self._add(pid, self._server.forked())
                else:
                    self._replace(pid, int(message.fields["code"]))
        with self._changed:
            self._is_over = True
            self._changed.notify_all()
        self._remove_all()

    def _add(self, pid: int, connection: socket.socket) -> None:
        with self._changed:
            self._last_number += 1
            process = _VisionProcess(self._last_number, pid, connection)
            self._processes[process.pid] = process
            self._idle.append(process)
            self._changed.notify_all()

    def _remove(self, process: _VisionProcess, code: int | None) -> None:
        with self._changed:
            del self._processes[process.pid]
            if process in self._idle:
                self._idle.remove(process)
            if not process.is_taken:
                process.close()
            process.ended.set_result(_Ended(code, self._last_number))

    def _remove_all(self) -> None:
        """Remove the processes that ended with their fork server."""
        self._server.close()
        for process in list(self._processes.values()):
            self._remove(process, None)

    def _replace(self, pid: int, code: int) -> None:
        """Replace a process that ended."""
        process = self._processes[pid]
        self._remove(process, code)
        if self._is_closing:
            return
        how: Ending = "killed" if _was_killed(code) else "crashed"
        self._recorder.vision_process_ended("retired" if process.is_retired else how)
        if not process.images:
            log.error("vision_process_ended", how=_how(code), repeated=False)
            if time.monotonic() < process.since + PAUSE_S:
                time.sleep(PAUSE_S)
        self._server.fork()

    def _replace_server(self) -> bool:
        """Replace the fork server, with which all processes ended. Return False when there is no other one."""
        log.error("fork_server_ended")
        self._remove_all()
        try:
            self._server = self._start_server()
        except OperatorError as error:
            log.error("fork_server_cannot_start", reason=str(error))  # noqa: TRY400 -- the reason is enough
            return False
        return True


def _was_killed(code: int | None) -> bool:
    """Return whether a process was killed from outside: by the system, an operator, or with its fork server."""
    return code in {None, -signal.SIGKILL}


def _how(code: int | None) -> str:
    """Return how a process ended, for the log."""
    if code is None:
        return "with its fork server"
    return signal.Signals(-code).name if code < 0 else f"status {code}"


def _size(message: Message) -> int:
    """Return the bytes that a message wants to be reserved. Raises MessageError."""
    size = message.fields.get("size")
    if not isinstance(size, int) or size < 0:
        raise MessageError("a size is malformed")
    return size


def _question(message: Message, selection: FaceSelection) -> Callable[[], Any]:
    """Return the call of the selection that answers a message. Raises MessageError."""
    fields = message.fields
    try:
        if message.kind == "candidates":
            return partial(_candidates, selection, [float(size) for size in fields["sizes"]])
        if message.kind == "before_batch":
            return partial(selection.before_batch, float(fields["cpu_s"]))
        if message.kind == "accepts":
            quality, box = quality_from_list(fields["quality"]), box_from_list(fields["box"])
            return partial(selection.accepts, int(fields["number"]), quality, box)
    except (KeyError, TypeError, ValueError) as error:
        raise MessageError(f"{message.kind} is malformed: {type(error).__name__}") from None
    raise MessageError(f"no message is called {message.kind!r}")


def _candidates(selection: FaceSelection, sizes: list[float]) -> list[int]:
    return list(selection.candidates(sizes))


_OUTCOMES: Final = ("faces", "refused", "memory", "crash", "stopped")
"""Kinds of a process's last message on an image."""


def _outcome(answer: Message) -> list[Face] | Exception:
    """Return the faces in an answer, or the error that it reports. Raises MessageError."""
    fields = answer.fields
    if answer.kind == "faces":
        return from_fields(fields, answer.data)
    try:
        if answer.kind == "refused":
            return _REFUSALS[fields["error"]](str(fields["reason"]))
        if answer.kind == "memory":
            return MemoryError(str(fields["reason"]))
        if answer.kind == "crash":
            crash = RuntimeError("an image could not be worked on")
            crash.add_note(str(fields["traceback"]))
            return crash
    except (KeyError, TypeError):
        pass
    raise MessageError(f"{answer.kind} is malformed")
