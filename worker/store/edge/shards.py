"""A cache of open shards: the least recently used is closed, but never one that a thread is using."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Generic, Protocol, TypeVar

from worker.store.base import StoreUnavailable


class Closable(Protocol):
    def close(self) -> None: ...


Shard = TypeVar("Shard", bound=Closable)


class OpenShards(Generic[Shard]):
    """Shards by collection, opened on demand.

    open_shard: opens the shard of a collection; its exceptions go to the caller. limit: how many stay open; more are
    open only while more are in use.
    """

    def __init__(self, open_shard: Callable[[str], Shard], limit: int) -> None:
        self._open_shard = open_shard
        self._limit = limit
        self._open: OrderedDict[str, Shard] = OrderedDict()  # least recently used first
        self._users: dict[str, int] = {}  # threads inside `use`, of those that have any
        self._busy: set[str] = set()  # being opened or closed by one thread, which the others wait for
        self._changed = threading.Condition()
        self._closed = False

    @contextmanager
    def use(self, collection: str) -> Iterator[Shard]:
        """Yield the open shard, which other threads may use, too. Raises StoreUnavailable after close."""
        shard = self._enter(collection)
        try:
            yield shard
        finally:
            with self._changed:
                self._users[collection] -= 1
                if not self._users[collection]:
                    del self._users[collection]
                self._changed.notify_all()
            self._shrink()

    @contextmanager
    def alone(self, collection: str) -> Iterator[None]:
        """Wait until no thread uses the shard, and keep it closed for the block; other threads wait for its end."""
        with self._changed:
            self._wait_for(lambda: collection not in self._busy)
            self._busy.add(collection)
        try:
            with self._changed:
                self._wait_for(lambda: collection not in self._users)
                shard = self._open.pop(collection, None)
            if shard is not None:
                shard.close()
            yield
        finally:
            self._done(collection)

    def check(self) -> None:
        """Raises StoreUnavailable after close."""
        if self._closed:
            raise StoreUnavailable("the store is closed")

    def close(self) -> None:
        """Refuse new users, wait for the present ones and close every shard."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            self._changed.wait_for(lambda: not self._users and not self._busy)
            while self._open:
                self._open.popitem()[1].close()

    def _enter(self, collection: str) -> Shard:
        with self._changed:
            self._wait_for(lambda: collection not in self._busy)
            self._users[collection] = self._users.get(collection, 0) + 1
            if collection in self._open:
                self._open.move_to_end(collection)
                return self._open[collection]
            self._busy.add(collection)
        # Outside the lock: opening takes 70 ms and more, and other collections must not wait for it.
        try:
            shard = self._open_shard(collection)
        except BaseException:
            with self._changed:
                del self._users[collection]
            self._done(collection)
            raise
        with self._changed:
            self._open[collection] = shard
        self._done(collection)
        return shard

    def _shrink(self) -> None:
        """Close the least recently used shards beyond the limit, except those in use."""
        while True:
            with self._changed:
                idle = (name for name in self._open if name not in self._users and name not in self._busy)
                victim = next(idle, None) if len(self._open) > self._limit else None
                if victim is None:
                    return
                self._busy.add(victim)
                shard = self._open.pop(victim)
            try:
                shard.close()
            finally:
                self._done(victim)

    def _wait_for(self, ready: Callable[[], bool]) -> None:
        self._changed.wait_for(lambda: self._closed or ready())
        self.check()

    def _done(self, collection: str) -> None:
        with self._changed:
            self._busy.discard(collection)
            self._changed.notify_all()
