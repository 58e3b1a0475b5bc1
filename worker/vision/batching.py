"""One call of a model for many callers: what they bring at about the same time goes together.

A call on a GPU has a price of its own, launching and copying and waiting, beside a small one for each item, so callers
should share calls. For whom is it worth waiting?

- While the model is busy, whatever arrives is gathered for the next call. That costs nobody anything, and batches grow
  with the load by themselves. NVIDIA Triton's dynamic batcher does this, by default without any further delay.
- When the model is idle, a delay pays only if somebody is about to come. Clipper's "delayed batching" (D. Crankshaw et
  al., NSDI 2017) and Triton's queue delay wait for it blindly, and a lone caller pays. Here callers announce
  themselves when they begin to make what they will bring. So a batch goes at once when nobody is on the way, as for a
  lone caller; else when the last one has come, when it is full, or when its oldest member has waited as long as the
  setting allows. In a simulation (calls of 2 to 7 ms; 4 and 16 cores; 2 to 32 threads; 2 ms to wait) that was never
  slower than not to wait, and up to 7% faster. Callers that are announced earlier, while they still decode, come too
  late to help: with two of them each paid the 2 ms for nothing.
- The model belongs to whoever finds it idle: that caller leads, which is to say it makes the calls, in its own thread,
  until its own answer is there, and then the one who has waited longest leads. So a lone caller pays for a lock and
  not for a hand-over, and there is no thread that must be started and ended and could die with everybody waiting.
- Only what has the same key goes together, the key of the one who has waited longest first, in order of arrival. So
  whatever its key, an item waits for those that came before it and never for those that came later, except that
  these may fill up a call that is made anyway.
- A failed call says nothing of who is to blame. So its items are tried again in halves, down to single ones: what was
  poisoned alone fails, in 2 log2(n) more calls, and what was only too much at once succeeds.
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
    """An item whose caller waits for the answer, or to lead."""

    def __init__(self, item: Item, weight: int) -> None:
        self.item = item
        self.weight = weight
        self.since = time.monotonic()
        self.answer: Future[Answer] = Future()
        self.leads = False
        self.woken = threading.Event()  # there is an answer, or the caller leads

    def resolve(self, answer: Answer) -> None:
        self.answer.set_result(answer)
        self.woken.set()

    def fail(self, error: Exception) -> None:
        self.answer.set_exception(error)
        self.woken.set()


class Batcher(Generic[Item, Answer]):
    """Calls a function for several callers at once, and never twice at the same time. To be used from many threads."""

    def __init__(self, call: Callable[[Sequence[Item]], Sequence[Answer]], size: int, wait_s: float) -> None:
        """call: takes items of one key and gives as many answers, in their order. size: most that the weights of the
        items of one call may add up to. wait_s: seconds for which an item is held back at most while the model is idle.
        """
        self._call = call
        self._size = size
        self._wait_s = wait_s
        self._queues: dict[Hashable, deque[_Waiting[Item, Answer]]] = {}  # by key, none of them empty
        self._led = False  # whether a caller leads; one does while anybody waits
        self._coming: set[int] = set()  # threads that have announced themselves
        self._closed = False
        self._changed = threading.Condition()

    def announce(self) -> None:
        """The calling thread is about to bring an item: others are held back for it, as long as the setting allows."""
        with self._changed:
            self._coming.add(threading.get_ident())

    def withdraw(self) -> None:
        """The calling thread brings nothing after all."""
        with self._changed:
            self._coming.discard(threading.get_ident())
            self._changed.notify_all()

    def do(self, item: Item, key: Hashable = None, weight: int = 1) -> Answer:
        """The answer to the item. weight: its part of `size`; what is heavier than that goes alone.

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
        """Refuse new items, and return when all who wait have been answered. Nothing is held back any more."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            self._changed.wait_for(lambda: not self._led)

    def _next(self) -> list[_Waiting[Item, Answer]]:
        """The next batch, as soon as one may go. At least the caller itself waits."""
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
        """As many of that key as fit, but at least one, in order of arrival."""
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
        """See to it that each of the batch has its answer or its error."""
        untried = [batch]
        try:
            while untried:
                part = untried.pop()
                try:
                    answers = self._called(part)
                except Exception as error:  # noqa: BLE001 -- whatever it is, it is the callers'
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
                if not waiting.answer.done():  # this thread is being ended
                    waiting.fail(Unavailable("the call of the model was broken off"))

    def _called(self, part: list[_Waiting[Item, Answer]]) -> Sequence[Answer]:
        answers = self._call([waiting.item for waiting in part])
        if len(answers) != len(part):
            raise ValueError(f"{len(answers)} answers to {len(part)} items")
        return answers

    def _leave(self, own: _Waiting[Item, Answer], key: Hashable) -> None:
        """The caller goes. If it led, the one who has waited longest leads; with nobody waiting, nobody does."""
        if own.answer.done() and not own.leads:
            return
        with self._changed:
            if own in self._queues.get(key, ()):  # this thread is being ended, and nobody would come for the answer
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
