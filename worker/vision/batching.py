"""Joining calls of a function: items that several callers bring at about the same time are processed together.

A call on a GPU has a fixed cost (launch, copies, synchronisation) and a small one for each item, so callers should
share calls. When is it worth waiting for others?

- While the model is busy, arriving items are gathered for the next call. That costs no caller anything, and batches
  grow with the load. NVIDIA Triton's dynamic batcher does this, by default without any further delay.
- When the model is idle, a delay pays only if another caller is about to arrive. Clipper's "delayed batching" (D.
  Crankshaw et al., NSDI 2017) and Triton's queue delay wait blindly, and a lone caller pays. Here callers announce
  themselves when they begin to make their item. So a batch starts at once when no caller is announced; else when the
  last announced caller has arrived, when it is full, or when its oldest item has waited for wait_s. In a simulation
  (calls of 2 to 7 ms; 4 and 16 cores; 2 to 32 threads; 2 ms to wait) that was never slower than not waiting, and up to
  7% faster. Announcing earlier, during decoding, does not help: with two callers each paid the 2 ms for nothing.
- The caller that finds the model idle leads: it makes the calls in its own thread until its own answer is there; then
  the caller that has waited longest leads. So a lone caller pays for a lock and no hand-over, and there is no thread to
  start and stop, whose death would leave all callers waiting.
- Only items with the same key share a call: first the key of the item that has waited longest, in order of arrival. So
  an item waits for those that came before it and never for later ones, except that these may fill up a call that is
  made anyway.
- A failed call does not show which item is at fault. So its items are tried again in halves, down to single ones: a
  poisoned item fails alone, after 2 log2(n) more calls, and a batch that was only too large succeeds.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future
from typing import Generic, TypeVar

import structlog

from shared.errors import Unavailable

log = structlog.stdlib.get_logger(__name__)

Item = TypeVar("Item")
Answer = TypeVar("Answer")


class _Waiting(Generic[Item, Answer]):
    """An item whose caller waits for the answer, or for its turn to lead."""

    def __init__(self, item: Item, weight: int) -> None:
        self.item = item
        self.weight = weight
        self.since = time.monotonic()
        self.answer: Future[Answer] = Future()
        self.leads = False
        self.woken = threading.Event()  # set when there is an answer, or the caller leads

    def resolve(self, answer: Answer) -> None:
        self.answer.set_result(answer)
        self.woken.set()

    def fail(self, error: Exception) -> None:
        self.answer.set_exception(error)
        self.woken.set()


class Batcher(Generic[Item, Answer]):
    """Calls a function for several callers at once, never concurrently. Thread-safe."""

    def __init__(self, call: Callable[[Sequence[Item]], Sequence[Answer]], size: int, wait_s: float) -> None:
        """call: takes items of one key and returns as many answers, in their order. size: largest sum of the weights of
        the items of one call. wait_s: longest time in seconds to hold an item back while the model is idle.
        """
        self._call = call
        self._size = size
        self._wait_s = wait_s
        self._queues: dict[Hashable, deque[_Waiting[Item, Answer]]] = {}  # by key, none of them empty
        self._led = False  # whether a caller leads; one does while any waits
        self._coming: set[int] = set()  # threads that have announced themselves
        self._closed = False
        self._changed = threading.Condition()

    def announce(self) -> None:
        """Announce that the calling thread is about to bring an item: others are held back for it for up to wait_s."""
        with self._changed:
            self._coming.add(threading.get_ident())

    def withdraw(self) -> None:
        """Withdraw the announcement of the calling thread."""
        with self._changed:
            self._coming.discard(threading.get_ident())
            self._changed.notify_all()

    def do(self, item: Item, key: Hashable = None, weight: int = 1) -> Answer:
        """Return the answer to the item. weight: its part of `size`; a heavier item goes alone.

        Raises what the function raised for this item alone, and Unavailable after close.
        """
        own: _Waiting[Item, Answer] = _Waiting(item, weight)
        with self._changed:
            self._coming.discard(threading.get_ident())
            if self._closed:
                raise Unavailable("the model is closed")
            self._queues.setdefault(key, deque()).append(own)
            if not self._led:
                self._led = own.leads = True
            self._changed.notify_all()
        try:
            if not own.leads:
                own.woken.wait()
            while not own.answer.done():
                self._answer(self._next())
        finally:
            self._leave(own, key)
        return own.answer.result()

    def close(self) -> None:
        """Refuse new items, and return once all waiting ones are answered, without further delay."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            self._changed.wait_for(lambda: not self._led)

    def _next(self) -> list[_Waiting[Item, Answer]]:
        """Return the next batch as soon as it may start. At least the calling thread's item waits."""
        with self._changed:
            while True:
                by_age = sorted(self._queues, key=lambda key: self._queues[key][0].since)
                left_s = self._queues[by_age[0]][0].since + self._wait_s - time.monotonic()
                if left_s <= 0 or self._closed or not self._coming:
                    return self._take(by_age[0])
                for key in by_age:
                    if sum(waiting.weight for waiting in self._queues[key]) >= self._size:
                        return self._take(key)
                self._changed.wait(left_s)

    def _take(self, key: Hashable) -> list[_Waiting[Item, Answer]]:
        """Remove as many items of that key as fit, at least one, in order of arrival."""
        queue = self._queues[key]
        batch = [queue.popleft()]
        room = self._size - batch[0].weight
        while queue and queue[0].weight <= room:
            batch.append(queue.popleft())
            room -= batch[-1].weight
        if not queue:
            del self._queues[key]
        return batch

    def _answer(self, batch: list[_Waiting[Item, Answer]]) -> None:
        """Resolve every item of the batch with its answer or its error."""
        untried = [batch]
        try:
            while untried:
                part = untried.pop()
                try:
                    answers = self._called(part)
                except Exception as error:  # noqa: BLE001 -- passed on to the callers
                    if len(part) == 1:
                        part[0].fail(error)
                        continue
                    log.warning("batch_failed", items=len(part), error=type(error).__name__, reason=str(error))
                    half = len(part) // 2
                    untried += [part[half:], part[:half]]
                else:
                    for waiting, answer in zip(part, answers, strict=True):
                        waiting.resolve(answer)
        finally:
            for waiting in batch:
                if not waiting.answer.done():  # this thread is being stopped
                    waiting.fail(Unavailable("the call of the model was broken off"))

    def _called(self, part: list[_Waiting[Item, Answer]]) -> Sequence[Answer]:
        answers = self._call([waiting.item for waiting in part])
        if len(answers) != len(part):
            raise ValueError(f"{len(answers)} answers to {len(part)} items")
        return answers

    def _leave(self, own: _Waiting[Item, Answer], key: Hashable) -> None:
        """End the call of a caller. If it led, the caller that has waited longest leads next, if any."""
        if own.answer.done() and not own.leads:
            return
        with self._changed:
            if own in self._queues.get(key, ()):  # this thread is being stopped: its answer would be lost
                self._queues[key].remove(own)
                if not self._queues[key]:
                    del self._queues[key]
            if not own.leads:
                return
            if self._queues:
                heir = min((queue[0] for queue in self._queues.values()), key=lambda waiting: waiting.since)
                heir.leads = True
                heir.woken.set()
            else:
                self._led = False
                self._changed.notify_all()
