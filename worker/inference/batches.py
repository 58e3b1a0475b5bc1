"""Joining requests of many callers into inferences: images that come at about the same time are run together.

An inference on a GPU has a fixed cost (launch, copies, synchronisation) and a small one for each image, so callers
should share inferences. When is it worth waiting for others?

- While a shape of images is being run, requests of that shape are gathered for the next inference. That costs no caller
  anything, and batches grow with the load. NVIDIA Triton's dynamic batcher does this, by default without any further
  delay.
- Otherwise a delay pays only if another caller is about to come. Clipper's "delayed batching" (D. Crankshaw et al.,
  NSDI 2017) and Triton's queue delay wait blindly, and a lone caller pays. Here callers announce themselves when they
  begin to make their images. So a batch starts at once when no caller is announced; else when the last announced one
  has come, when it is full, or when its oldest request has waited for wait_s.
- Only images of one shape share an inference. Different shapes run at the same time, each in one inference at most: a
  GPU does more with several (docs/decisions/0026-inference-process.md).
- A failed inference does not show which request is at fault. So its requests are tried again in halves, down to single
  ones: a poisoned one fails alone, after 2 log2(n) more inferences, and a batch that was only too large succeeds.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field

import structlog

from shared.errors import Unavailable
from worker.vision.session import Images, Tensor

log = structlog.stdlib.get_logger(__name__)

Call = Callable[[Sequence[Images]], Sequence[Tensor]]
"""Returns the output of each request of one shape. It has more than `size` images only if it is a single request."""

Answered = Callable[[Tensor | Exception, int], None]
"""Called with the output or error of a request, and the rows of its inference, 0 for all but one request of each."""

Shape = tuple[int, ...]


@dataclass(frozen=True, eq=False)
class _Waiting:
    images: Images
    answered: Answered
    since: float = field(default_factory=time.monotonic)


class Batches:
    """Runs one model for many callers. Thread-safe."""

    def __init__(self, call: Call, size: int, wait_s: float, lanes: int) -> None:
        """call: called by several threads, for different shapes. size: most images of an inference. wait_s: longest
        time in seconds to hold a request back. lanes: most inferences at the same time.
        """
        self._call = call
        self._size = size
        self._wait_s = wait_s
        self._queues: dict[Shape, deque[_Waiting]] = {}  # by shape of an image, none of them empty
        self._running: set[Shape] = set()
        self._coming: set[Hashable] = set()
        self._closed = False
        self._changed = threading.Condition()
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(lanes)]
        for thread in self._threads:
            thread.start()

    def announce(self, caller: Hashable) -> None:
        """Announce that a caller is about to bring images: others are held back for it for up to wait_s."""
        with self._changed:
            self._coming.add(caller)

    def withdraw(self, caller: Hashable) -> None:
        """Withdraw the announcement of a caller."""
        with self._changed:
            if caller in self._coming:
                self._coming.discard(caller)
                self._changed.notify_all()

    def put(self, caller: Hashable, images: Images, answered: Answered) -> None:
        """Have images run, and `answered` called by another thread. Raises Unavailable after close."""
        with self._changed:
            if self._closed:
                raise Unavailable("the model is closed")
            self._coming.discard(caller)
            self._queues.setdefault(images.shape[1:], deque()).append(_Waiting(images, answered))
            self._changed.notify_all()

    def close(self) -> None:
        """Refuse new requests, and return once all waiting ones are answered, without further delay."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        while batch := self._next():
            self._answer(batch)
            with self._changed:
                self._running.discard(batch[0].images.shape[1:])
                self._changed.notify_all()

    def _next(self) -> list[_Waiting]:
        """Return the next batch as soon as it may start, and mark its shape as running; none after close."""
        with self._changed:
            while True:
                free = [shape for shape in self._queues if shape not in self._running]
                by_age = sorted(free, key=lambda shape: self._queues[shape][0].since)
                left_s = self._queues[by_age[0]][0].since + self._wait_s - time.monotonic() if by_age else None
                is_due = self._closed or not self._coming or (left_s is not None and left_s <= 0)
                for shape in by_age[:1] if is_due else filter(self._is_full, by_age):
                    self._running.add(shape)
                    return self._taken(shape)
                if self._closed and not self._queues:
                    return []
                self._changed.wait(left_s)

    def _is_full(self, shape: Shape) -> bool:
        return sum(len(waiting.images) for waiting in self._queues[shape]) >= self._size

    def _taken(self, shape: Shape) -> list[_Waiting]:
        """Remove from a queue what fits into one inference, in the order of arrival, and return it."""
        queue = self._queues[shape]
        batch = [queue.popleft()]
        rows = len(batch[0].images)
        while queue and rows + len(queue[0].images) <= self._size:
            rows += len(queue[0].images)
            batch.append(queue.popleft())
        if not queue:
            del self._queues[shape]
        return batch

    def _answer(self, batch: Sequence[_Waiting]) -> None:
        try:
            outputs = self._call([waiting.images for waiting in batch])
        except Exception as error:  # noqa: BLE001 -- it is that of the callers
            if len(batch) == 1:
                batch[0].answered(error, 0)
                return
            log.warning("batch_failed", requests=len(batch), reason=" ".join(str(error).split())[:300])
            half = len(batch) // 2
            self._answer(batch[:half])
            self._answer(batch[half:])
            return
        rows = sum(len(waiting.images) for waiting in batch)
        for waiting, output in zip(batch, outputs, strict=True):
            waiting.answered(output, rows)
            rows = 0
