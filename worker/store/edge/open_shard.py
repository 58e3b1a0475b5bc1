"""An open shard of the embedded store, and how one is opened and made."""

import threading
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import qdrant_edge as engine

from worker.models.identity import Identity
from worker.store.base import StoreError
from worker.store.edge import counts, indexes, segments
from worker.store.edge.background_indexing import BackgroundIndexing
from worker.store.edge.errors import as_store_errors
from worker.store.edge.files import EdgeFiles


class ChangeCounter:
    """Counts changed points, and decides when a periodic task is due."""

    def __init__(self) -> None:
        self._count = 0
        self._lock = threading.Lock()

    def add(self, changes: int, every: int) -> bool:
        """Count changes. Returns True to one of the threads once there are `every`, and begins again at 0."""
        with self._lock:
            self._count += changes
            if self._count < every:
                return False
            self._count = 0
            return True


class OpenShard:
    """An open shard, the folder of its collection and the identity of its vectors."""

    def __init__(self, shard: engine.EdgeShard, folder: Path, identity: str) -> None:
        self.engine = shard
        self.identity = identity
        self.unflushed = ChangeCounter()
        self.unoptimized = ChangeCounter()
        self._folder = folder
        self._indexed: set[str] = set()  # keys known to be indexed; add and update are atomic

    @property
    def points(self) -> int:
        """An upper bound of the number of points: the engine counts removed points, too."""
        return self.engine.info().points_count

    def missing_indexes(self, keys: Iterable[str]) -> list[str]:
        """Return those of the keys that the shard does not index."""
        missing = [key for key in keys if key not in self._indexed]
        if missing:
            self._indexed.update(indexes.keys_of(self.engine))
        return [key for key in missing if key not in self._indexed]

    def make_index(self, key: str) -> None:
        """Index a key. Two threads may do so at once."""
        indexes.make(self.engine, key)
        self.engine.flush()  # or else a restart makes it again, from the write-ahead log
        self._indexed.add(key)

    def close(self) -> None:
        counted = None
        with suppress(StoreError), as_store_errors(self._folder):  # a damaged one is noticed by who asks for more
            counted = counts.counted(self.engine)
        self.engine.close()
        if counted is not None:
            counts.keep(self._folder, counted)


@dataclass(frozen=True)
class ShardOpening:
    """Opens and makes the shards of one store. index_from: as in EdgeStore. used: identities of the shards that are
    opened to be used; others are only counted, compacted or dropped.
    """

    files: EdgeFiles
    indexing: BackgroundIndexing
    index_from: int
    used: set[str] = field(default_factory=set)

    def open(self, collection: str) -> OpenShard:
        """Open the shard of a collection. Raises FileNotFoundError if there is none, StoreError if it is damaged,
        StoreUnavailable while it is indexed, and the errors of the engine.
        """
        self.files.settle(collection)
        identity = self.files.identity(collection)
        folder, path = self.files.path(collection), self.files.shard(collection)
        counts.forget(folder)
        if identity not in self.used:
            return OpenShard(engine.EdgeShard.load(str(path)), folder, identity)
        # With the configuration, as a shard of an older release has another one.
        config = segments.config(self.index_from, Identity.parse(identity).dimension)
        shard = engine.EdgeShard.load(str(path), config)
        if segments.is_largely_unindexed(shard, self.index_from):
            shard.close()
            self.indexing.await_indexed(collection, path)
            shard = engine.EdgeShard.load(str(path))
        return OpenShard(shard, folder, identity)

    def make(self, collection: str, identity: Identity) -> None:
        """Make an empty collection, unless it is there. No other thread may use the collection."""
        config = segments.config(self.index_from, identity.dimension)
        if not self.files.path(collection).exists():
            self.files.make(collection, str(identity), lambda path: indexes.create_shard(path, config).close())
