"""Rewrites a collection of the embedded store without its removed points, while jobs use it.

The engine keeps the vector of a removed point in its segment until an optimiser happens to rewrite that, and vector and
name in the write-ahead log, and has no call to clear either. So a copy is filled page by page, brought up to date with
what changed meanwhile, and then replaces the original.
"""

import threading
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import qdrant_edge as engine

from shared.host.disk import sync_tree
from worker.store.base import PAGE, Counts, StoreUnavailable
from worker.store.edge import indexes, segments
from worker.store.edge.background_indexing import BackgroundIndexing
from worker.store.edge.counts import counted, forget, keep
from worker.store.edge.files import EdgeFiles
from worker.store.edge.shards import OpenShards

LEAST_FREE: Final = 128 * 2**20
"""Bytes that must stay free beside the copy: as many as an add needs."""

ROUNDS: Final = 10
"""Number of times that the copy is brought up to date before jobs have to wait for the last changes."""

FLUSH_EVERY: Final = 10_000
"""Points written between flushes. A flush holds the interpreter lock for 20 ms; one of 200,000 points took 1.3 s."""


class Changes:
    """The points that have changed in each collection being copied, since the copy was last brought up to date."""

    def __init__(self) -> None:
        self._changed: dict[str, set[str]] = {}
        self._lock = threading.Lock()

    def begin(self, collection: str) -> None:
        """Begin to note changes. Raises StoreUnavailable while another copy of the collection is being written."""
        with self._lock:
            if collection in self._changed:
                raise StoreUnavailable(f"{collection} is being compacted already; wait for its end")
            self._changed[collection] = set()

    def note(self, collection: str, ids: Iterable[str]) -> None:
        """Note changed points. Called after the change, while the shard is still in use."""
        with self._lock:
            if collection in self._changed:
                self._changed[collection].update(ids)

    def take(self, collection: str) -> list[str] | None:
        """Return and forget what has changed; None if the collection was dropped meanwhile."""
        with self._lock:
            changed = self._changed.get(collection)
            if changed is None:
                return None
            self._changed[collection] = set()
            return sorted(changed)

    def end(self, collection: str) -> None:
        """Stop noting changes: the copy has ended, or the collection is dropped."""
        with self._lock:
            self._changed.pop(collection, None)


@dataclass(frozen=True)
class Compaction:
    """Compaction of the collections of one store. dimension: of its own vectors. index_from: as in EdgeStore."""

    files: EdgeFiles
    shards: OpenShards[Any]
    indexing: BackgroundIndexing
    dimension: int
    index_from: int
    changes: Changes = field(default_factory=Changes)

    def steps(self, collection: str) -> Generator[None]:
        """Compact the collection in steps of milliseconds. Closing the generator early, or an error, leaves the
        collection as it is. Raises FileNotFoundError if there is none, or none any more, and the errors of the engine
        and the disk.
        """
        self.files.clear()
        self.changes.begin(collection)
        try:
            with self.files.temporary() as folder:
                self._require_room(collection)
                with closing(self._created(collection, folder / "shard")) as copy:
                    yield from self._filled(collection, copy)
                    yield from self._filled_up(collection, copy)
                    counts = counted(copy)
                sync_tree(folder)  # before jobs have to wait
                yield
                self._put(collection, folder / "shard", counts)
        finally:
            self.changes.end(collection)

    @contextmanager
    def alone(self, collection: str) -> Iterator[None]:
        """Keep all other threads and processes away from the collection for the block."""
        with self.shards.alone(collection):
            self.indexing.cancel(collection)
            yield

    def _require_room(self, collection: str) -> None:
        if self.files.free_bytes() < LEAST_FREE + self.files.used_bytes(collection):
            raise StoreUnavailable(f"{self.files.folder}: the disk has no room for a copy of {collection}")

    def _created(self, collection: str, path: Path) -> engine.EdgeShard:
        """Return an empty shard for vectors of the collection's dimension, which may be another model's, and with the
        collection's indexes; with all of them if the collection is large.
        """
        path.mkdir(exist_ok=True)
        with self.shards.use(collection) as shard:
            some, _ = shard.engine.scroll(engine.ScrollRequest(limit=1, with_payload=False, with_vector=True))
            is_large = _count(shard.engine) >= segments.LARGEST * self.index_from
            keys = indexes.KEYS if is_large else indexes.keys_of(shard.engine)
        dimension = len(some[0].vector) if some else self.dimension
        return indexes.create_shard(path, segments.config(self.index_from, dimension), keys)

    def _filled(self, collection: str, copy: engine.EdgeShard) -> Iterator[None]:
        every = segments.changes_between_optimizations(self.index_from)
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
        """Bring the copy up to date until little changes meanwhile."""
        for _ in range(ROUNDS):
            changed = self.changes.take(collection)
            if not changed:
                return
            for begin in range(0, len(changed), PAGE):
                with self.shards.use(collection) as shard:
                    _repeat(copy, shard.engine, changed[begin : begin + PAGE])
                yield

    def _pages(self, collection: str, copy: engine.EdgeShard) -> Iterator[int]:
        """Copy page by page and yield how many points each had. Pages go by id, so that an optimiser that moves points
        between segments hides none.
        """
        after: Any = None
        while True:
            request = engine.ScrollRequest(offset=after, limit=PAGE, with_payload=True, with_vector=True)
            with self.shards.use(collection) as shard:
                found, after = shard.engine.scroll(request)
            _write(copy, found)
            yield len(found)
            if after is None:
                return

    def _put(self, collection: str, path: Path, counts: Counts) -> None:
        """Replace the collection by the copy, in which that much is, with the last changes; by nothing if it is
        empty.
        """
        with self.alone(collection):
            changed = self.changes.take(collection)
            if changed is None:
                return
            forget(self.files.path(collection))
            if changed:
                with (
                    closing(engine.EdgeShard.load(str(path))) as copy,
                    closing(engine.EdgeShard.load(str(self.files.shard(collection)))) as original,
                ):
                    _repeat(copy, original, changed)
                    counts = counted(copy)
            if counts.persons:
                self.files.replace(collection, path)
                keep(self.files.path(collection), counts)
            else:
                self.files.remove(collection)


def _count(shard: engine.EdgeShard) -> int:
    return shard.count(engine.CountRequest(exact=True))


def _write(copy: engine.EdgeShard, records: Iterable[engine.Record]) -> None:
    points = [engine.Point(record.id, record.vector or [], record.payload or {}) for record in records]
    if points:
        copy.update(engine.UpdateOperation.upsert_points(points))


def _repeat(copy: engine.EdgeShard, original: engine.EdgeShard, ids: Sequence[str]) -> None:
    """Make these points of the copy what they are in the original, or remove them."""
    found = original.retrieve(list(ids), with_payload=True, with_vector=True)
    _write(copy, found)
    gone = set(ids) - {str(record.id) for record in found}
    if gone:
        copy.update(engine.UpdateOperation.delete_points(sorted(gone)))
