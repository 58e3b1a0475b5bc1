"""Writes a collection of the embedded store anew while jobs go on: nothing of removed points stays in its files.

The engine keeps the vector of a removed point in its segment until an optimiser happens to make that anew, and in the
write-ahead log, where its name is too. It cannot be told to clear either. A copy holds what is there and nothing else:
it is filled page by page, made up for what changed meanwhile, and then takes the place of the original.
"""

import threading
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import qdrant_edge as engine

from shared.host.disk import sync_tree
from worker.store.base import PAGE, StoreUnavailable
from worker.store.edge import segments
from worker.store.edge.background_indexing import BackgroundIndexing
from worker.store.edge.files import EdgeFiles
from worker.store.edge.shards import OpenShards

LEAST_FREE: Final = 128 * 2**20
"""Bytes that the disk must have beside the copy: as many as an add needs."""

ROUNDS: Final = 10
"""How often the copy is made up for changes before jobs have to wait for the last of them."""


FLUSH_EVERY: Final = 10_000
"""Points written between flushes, each of which takes 20 ms and the interpreter lock; one of 200,000 took 1.3 s."""


class Changes:
    """Which points of each collection that is being copied have changed since the copy last had them."""

    def __init__(self) -> None:
        self._changed: dict[str, set[str]] = {}
        self._lock = threading.Lock()

    def begin(self, collection: str) -> None:
        """From here on changes are noted. Raises StoreUnavailable when a copy of the collection is being written."""
        with self._lock:
            if collection in self._changed:
                raise StoreUnavailable(f"{collection} is being compacted already; wait for its end")
            self._changed[collection] = set()

    def note(self, collection: str, ids: Iterable[str]) -> None:
        """These have changed: to be called after the change, while the shard is still in use."""
        with self._lock:
            if collection in self._changed:
                self._changed[collection].update(ids)

    def take(self, collection: str) -> list[str] | None:
        """What has changed, which from now on counts as known; None when the collection was dropped meanwhile."""
        with self._lock:
            changed = self._changed.get(collection)
            if changed is None:
                return None
            self._changed[collection] = set()
            return sorted(changed)

    def end(self, collection: str) -> None:
        """No copy is being written any more: it has ended, or the collection is dropped."""
        with self._lock:
            self._changed.pop(collection, None)


@dataclass(frozen=True)
class Compacting:
    """Collections of one store. dimension: of its own vectors. index_from: as EdgeStore has it."""

    files: EdgeFiles
    shards: OpenShards[Any]
    indexing: BackgroundIndexing
    dimension: int
    index_from: int
    changes: Changes = field(default_factory=Changes)

    def steps(self, collection: str) -> Generator[None]:
        """Does it, in steps that take milliseconds each. Closed early, or after an error, it leaves the collection as
        it is. Raises FileNotFoundError when there is none, or none any more, and whatever the engine and the disk do.
        """
        self.files.clear()
        self.changes.begin(collection)
        try:
            with self.files.temporary() as folder:
                self._require_room(collection)
                with closing(self._created(collection, folder / "shard")) as copy:
                    yield from self._filled(collection, copy)
                    yield from self._filled_up(collection, copy)
                    count = _count(copy)
                sync_tree(folder)  # before jobs have to wait
                yield
                self._put(collection, folder / "shard", count)
        finally:
            self.changes.end(collection)

    @contextmanager
    def alone(self, collection: str) -> Iterator[None]:
        """Nobody else works on the collection inside."""
        with self.shards.alone(collection):
            self.indexing.cancel(collection)
            yield

    def _require_room(self, collection: str) -> None:
        if self.files.free_bytes() < LEAST_FREE + self.files.used_bytes(collection):
            raise StoreUnavailable(f"{self.files.folder}: the disk has no room for a copy of {collection}")

    def _created(self, collection: str, path: Path) -> engine.EdgeShard:
        """An empty shard, for vectors as the collection has: those of another model may have another dimension."""
        path.mkdir(exist_ok=True)
        with self.shards.use(collection) as shard:
            some, _ = shard.engine.scroll(engine.ScrollRequest(limit=1, with_payload=False, with_vector=True))
        dimension = len(some[0].vector) if some else self.dimension
        return engine.EdgeShard.create(str(path), segments.config(self.index_from, dimension))

    def _filled(self, collection: str, copy: engine.EdgeShard) -> Iterator[None]:
        every = segments.changes(self.index_from)
        unoptimized = unflushed = 0
        for count in self._pages(collection, copy):
            unoptimized += count
            unflushed += count
            if unoptimized >= every:
                copy.optimize()
                unoptimized = 0
            if unflushed >= FLUSH_EVERY:
                copy.flush()
                unflushed = 0
            yield

    def _filled_up(self, collection: str, copy: engine.EdgeShard) -> Iterator[None]:
        """With what changed meanwhile, until that is little."""
        for _ in range(ROUNDS):
            changed = self.changes.take(collection)
            if not changed:
                return
            for begin in range(0, len(changed), PAGE):
                with self.shards.use(collection) as shard:
                    _repeat(copy, shard.engine, changed[begin : begin + PAGE])
                yield

    def _pages(self, collection: str, copy: engine.EdgeShard) -> Iterator[int]:
        """How many points each page had. By id: an optimiser that moves points between segments hides none."""
        after: Any = None
        while True:
            request = engine.ScrollRequest(offset=after, limit=PAGE, with_payload=True, with_vector=True)
            with self.shards.use(collection) as shard:
                found, after = shard.engine.scroll(request)
            _write(copy, found)
            yield len(found)
            if after is None:
                return

    def _put(self, collection: str, path: Path, count: int) -> None:
        """Let the copy, of so many points, take the collection's place, with the last changes. An empty one need not be
        kept at all.
        """
        with self.alone(collection):
            changed = self.changes.take(collection)
            if changed is None:
                return
            if changed:
                with (
                    closing(engine.EdgeShard.load(str(path))) as copy,
                    closing(engine.EdgeShard.load(str(self.files.shard(collection)))) as original,
                ):
                    _repeat(copy, original, changed)
                    count = _count(copy)
            if count:
                self.files.replace(collection, path)
            else:
                self.files.remove(collection)


def _count(shard: engine.EdgeShard) -> int:
    return shard.count(engine.CountRequest(exact=True))


def _write(copy: engine.EdgeShard, records: Iterable[engine.Record]) -> None:
    points = [engine.Point(record.id, record.vector or [], record.payload or {}) for record in records]
    if points:
        copy.update(engine.UpdateOperation.upsert_points(points))


def _repeat(copy: engine.EdgeShard, original: engine.EdgeShard, ids: Sequence[str]) -> None:
    """Let the copy have these points as the original has them now, or not have them either."""
    found = original.retrieve(list(ids), with_payload=True, with_vector=True)
    _write(copy, found)
    gone = set(ids) - {str(record.id) for record in found}
    if gone:
        copy.update(engine.UpdateOperation.delete_points(sorted(gone)))
