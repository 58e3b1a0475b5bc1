"""What a vision process does: it finds and embeds the faces of one image at a time, for a worker.

The worker decides which faces are embedded, and when an image may take its memory: the vision process asks it.
"""

import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Final, cast

from shared.errors import ContractError
from worker.inference.client import InferenceGoneError
from worker.models.versions import PREPROCESSINGS
from worker.processes.confinement import limit_cpu
from worker.processes.faces import quality_to_list, to_fields
from worker.processes.messages import Message, MessageSocket
from worker.vision.geometry import Box
from worker.vision.memory_budget import FREE_BYTES
from worker.vision.quality import Quality
from worker.vision.service import FaceSelection, Memory, Observer
from worker.vision.services import FaceServices

MAX_TRACEBACK: Final = 8_000
"""Most characters of the traceback of an error that was not expected."""

OpenService = Callable[[Observer, Memory], FaceServices]
"""Returns the face services, given who observes them and who grants them memory."""


def serve(connection: MessageSocket, open_service: OpenService, cpu_s: float) -> None:
    """Answer the worker's messages until it closes the connection. cpu_s: most seconds of computing for one image."""
    observed = _Observed()
    service = open_service(observed, _RemoteMemory(connection))
    while True:
        try:
            message = connection.receive()
        except EOFError:
            return
        limit_cpu(cpu_s)
        observed.clear()
        kind, fields, data = _answer(service, connection, message)
        connection.send(kind, data, **fields, **observed.fields())


def _answer(service: FaceServices, connection: MessageSocket, asked: Message) -> tuple[str, dict[str, Any], bytes]:
    """Return kind, fields and bytes of the answer: the faces, or why there are none."""
    try:
        preprocessing = PREPROCESSINGS[asked.fields["preprocessing"]]
        preprocessing = replace(preprocessing, embedder=asked.fields["embedder"])
        if asked.kind == "all":
            faces = service.embed_all(asked.data, _RemoteSelection(connection), preprocessing)
        else:
            faces = [service.embed_most_prominent(asked.data, preprocessing)]
        return "faces", *to_fields(faces)
    except _Stopped:
        return "stopped", {}, b""
    except ContractError as error:
        return "refused", {"error": type(error).__name__, "reason": error.reason}, b""
    except MemoryError as error:
        return "memory", {"reason": str(error)}, b""
    except (EOFError, OSError, InferenceGoneError):
        raise  # the worker has gone, or the GPU's owner
    except Exception as error:  # noqa: BLE001 -- the worker logs it
        return "crash", {"traceback": "".join(traceback.format_exception(error))[-MAX_TRACEBACK:]}, b""


class _Stopped(Exception):
    """The worker needs no faces of the image."""


class _Observed:
    """An Observer that keeps what it observed of an image, for the worker."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        self._stages: list[tuple[str, float, float]] = []
        self._found: list[int] = []
        self._embedded: list[int] = []

    def fields(self) -> dict[str, Any]:
        """Return stages (name, time of its start, seconds), and numbers of faces found and embedded together."""
        return {"stages": self._stages, "found": self._found, "embedded": self._embedded}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        at, begun = time.time(), time.perf_counter()
        try:
            yield
        finally:
            self._stages.append((name, at, time.perf_counter() - begun))

    def found(self, faces: int) -> None:
        self._found.append(faces)

    def embedded(self, faces: int) -> None:
        self._embedded.append(faces)


class _Asking:
    """Asks the worker, which may answer that the work is to stop."""

    def __init__(self, connection: MessageSocket) -> None:
        self._connection = connection

    def ask(self, kind: str, **fields: Any) -> Any:
        """Return the worker's answer. Raises _Stopped."""
        self._connection.send(kind, **fields)
        answer = self._connection.receive()
        if answer.kind == "stop":
            raise _Stopped
        return answer.fields.get("answer")


class _RemoteSelection(FaceSelection):
    """A FaceSelection that the worker makes."""

    def __init__(self, connection: MessageSocket) -> None:
        self._asking = _Asking(connection)

    def candidates(self, sizes: Sequence[float]) -> Sequence[int]:
        return cast("list[int]", self._asking.ask("candidates", sizes=list(sizes)))

    def before_batch(self, cpu_s: float) -> None:
        self._asking.ask("before_batch", cpu_s=cpu_s)

    def accepts(self, number: int, quality: Quality, box: Box) -> bool:
        return bool(self._asking.ask("accepts", number=number, quality=quality_to_list(quality), box=box))


class _RemoteMemory:
    """A budget for decoded images that the worker keeps for all its vision processes."""

    def __init__(self, connection: MessageSocket) -> None:
        self._connection = connection
        self._asking = _Asking(connection)

    @contextmanager
    def reserve(self, size: int) -> Iterator[None]:
        if size < FREE_BYTES:
            yield
            return
        self._asking.ask("reserve", size=size)
        try:
            yield
        finally:
            self._connection.send("release")
