"""Qdrant's own engine inside this process (Qdrant Edge): one shard a collection, on disk.

What an add acknowledged is in the engine's write-ahead log, a mapped file, and so outlives a killed process. The log is
given to the disk every second, or before each acknowledgement: a power cut takes no more than that. Searches go over
every vector, in large collections first as int8 (worker/store/edge/segments.py).
"""

import threading
import uuid
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import qdrant_edge as engine
import structlog

from worker.models.identity import Identity
from worker.periodic import Periodic
from worker.store.base import (
    PAGE,
    THRESHOLD_MARGIN,
    Match,
    Point,
    StoreError,
    StoreUnavailable,
    Vector,
    check_identity,
    check_vectors,
    ranked,
)
from worker.store.edge import files, segments
from worker.store.edge.background_indexing import BackgroundIndexing
from worker.store.edge.compaction import Compacting
from worker.store.edge.errors import explained
from worker.store.edge.files import EdgeFiles
from worker.store.edge.shards import OpenShards

log = structlog.stdlib.get_logger(__name__)

MIN_FREE_BYTES = 128 * 2**20
"""Least free disk space for an add. The engine writes to sparse mapped files, where a full disk is no error but a bus
error that kills the process: adds end well before, and deletes, of few bytes each, at an eighth of it."""

SYNC_S = 1.0
"""How often the logs go to the disk, as those of Redis do by default. It takes 0.3 ms and no interpreter lock, whereas
the engine's own flush writes everything and holds it for 3 ms, on a slow disk much longer."""

FLUSH_EVERY = 10_000
"""Points added or removed between flushes, which cut the write-ahead log. Unflushed, it grows for ever, and every
100,000 make the next start 1.2 s longer; a flush after 10,000 takes 20 ms."""


class _Changes:
    """Of points, since something was done about them."""

    def __init__(self) -> None:
        self._count = 0
        self._lock = threading.Lock()

    def are_due(self, more: int, every: int) -> bool:
        """Whether so many more make it time to do it again, for one thread of all that change points."""
        with self._lock:
            self._count += more
            if self._count < every:
                return False
            self._count = 0
            return True


class _Shard:
    """An open shard, and whose vectors it holds."""

    def __init__(self, shard: engine.EdgeShard, identity: str) -> None:
        self.engine = shard
        self.identity = identity
        self.unflushed = _Changes()
        self.unoptimized = _Changes()

    def close(self) -> None:
        self.engine.close()


class EdgeStore:
    """A Store in a folder. Raises OperatorError if another process has the folder or it cannot be written.

    open_limit: shards that stay open, each of 2 MB when new and 34 MB (of mapped, reclaimable file) when reopened.
    sync: whether every change is on the disk before it is acknowledged, and not up to SYNC_S later.
    index_from: points of a collection from which int8 is used; fewer are for tests.
    """

    def __init__(
        self,
        folder: Path,
        identity: Identity,
        open_limit: int,
        index_from: int = segments.INDEX_FROM,
        *,
        sync: bool = False,
    ) -> None:
        self.identity = identity
        self._index_from = index_from
        self._files = EdgeFiles(folder)
        self._shards = OpenShards(self._open, open_limit)
        self._indexing = BackgroundIndexing(self._files.lock)
        self._compacting = Compacting(self._files, self._shards, self._indexing, identity.dimension, self._index_from)
        self._sync = sync
        self._unsynced: set[str] = set()
        self._syncing = Periodic("sync", self._sync_all, SYNC_S)
        self._syncing.start()

    def add(self, collection: str, points: Sequence[Point]) -> None:
        check_vectors([point.vector for point in points], self.identity.dimension)
        if not points:
            return
        upsert = engine.UpdateOperation.upsert_points(
            [engine.Point(str(point.person_id), point.vector.tolist(), {"name": point.name}) for point in points]
        )
        with explained(self._files.folder / collection):
            self._room(MIN_FREE_BYTES)
            while True:  # again only if a drop comes between
                try:
                    with self._ours(collection) as shard:
                        shard.engine.update(upsert)
                        self._compacting.changes.note(collection, [str(point.person_id) for point in points])
                        self._changed(collection, shard, len(points))
                    break
                except FileNotFoundError:
                    self._make(collection)
            self._written(collection)

    def search(self, collection: str, vector: Vector, limit: int, min_cosine: float) -> list[Match]:
        check_vectors([vector], self.identity.dimension)
        request = engine.QueryRequest(
            query=engine.Query.Nearest(vector.tolist()),
            limit=limit,
            score_threshold=min_cosine - THRESHOLD_MARGIN,
            params=segments.SEARCH,
            with_payload=True,
        )
        with explained(self._files.folder / collection):
            try:
                with self._ours(collection) as shard:
                    found = shard.engine.query(request)
            except FileNotFoundError:
                return []
        return ranked(
            ((uuid.UUID(str(point.id)), (point.payload or {})["name"], point.score) for point in found), min_cosine
        )

    def contains(self, collection: str, person_id: uuid.UUID) -> bool:
        with explained(self._files.folder / collection):
            try:
                with self._ours(collection) as shard:
                    return bool(shard.engine.retrieve([str(person_id)], with_payload=False, with_vector=False))
            except FileNotFoundError:
                return False

    def delete(self, collection: str, person_id: uuid.UUID) -> None:
        with explained(self._files.folder / collection):
            self._room(MIN_FREE_BYTES // 8)
            try:
                with self._ours(collection) as shard:
                    shard.engine.update(engine.UpdateOperation.delete_points([str(person_id)]))
                    self._compacting.changes.note(collection, [str(person_id)])
                    self._changed(collection, shard, 1)
            except FileNotFoundError:
                return
            self._written(collection)

    def points(self, collection: str) -> Iterator[Point]:
        after: object = None  # of the page before: where the next one begins
        while True:
            page, after = self._page(collection, after)
            yield from page
            if after is None:
                return

    def count(self, collection: str) -> int:
        with explained(self._files.folder / collection):
            try:
                with self._shards.use(collection) as shard:
                    return shard.engine.count(engine.CountRequest(exact=True))
            except FileNotFoundError:
                return 0

    def collections(self) -> list[str]:
        self._shards.check()
        with explained(self._files.folder):
            return self._files.names()

    def foreign(self, collections: Collection[str]) -> dict[str, str]:
        self._shards.check()
        return files.foreign(self._files.folder, collections, str(self.identity))

    def drop(self, collection: str) -> None:
        with explained(self._files.folder / collection), self._compacting.alone(collection):
            self._compacting.changes.end(collection)
            self._files.remove(collection)

    def compact(self, collection: str, rest: Callable[[], None]) -> bool:
        self._shards.check()
        steps = self._compacting.steps(collection)
        with closing(steps):
            while True:
                with explained(self._files.folder / collection):
                    try:
                        next(steps)
                    except (StopIteration, FileNotFoundError):  # done; or never there, or dropped since
                        return True
                rest()

    def check(self) -> None:
        self._shards.check()

    def check_room(self) -> None:
        with explained(self._files.folder):
            self._room(MIN_FREE_BYTES)

    def close(self) -> None:
        self._syncing.stop()
        try:
            self._shards.close()
        finally:
            self._indexing.close()
            self._files.release()

    def _page(self, collection: str, begin: Any) -> tuple[list[Point], object]:
        """Points from that id on, and the id that follows them, None at the end. Pages are by id: an optimiser that
        moves points between segments hides none.
        """
        request = engine.ScrollRequest(offset=begin, limit=PAGE, with_payload=True, with_vector=True)
        with explained(self._files.folder / collection):
            try:
                with self._ours(collection) as shard:
                    found, after = shard.engine.scroll(request)
            except FileNotFoundError:  # never there, or dropped since
                return [], None
        return [_point(collection, record) for record in found], after

    def _room(self, least: int) -> None:
        if self._files.free_bytes() < least:
            raise StoreUnavailable(f"{self._files.folder}: less than {least >> 20} MB of disk are free")

    @contextmanager
    def _ours(self, collection: str) -> Iterator[_Shard]:
        """The collection's shard. Raises FileNotFoundError if there is none, IdentityMismatch if it is not ours."""
        with self._shards.use(collection) as shard:
            check_identity(collection, shard.identity, self.identity)
            yield shard

    def _open(self, collection: str) -> _Shard:
        self._files.settle(collection)
        identity = self._files.identity(collection)
        path = self._files.shard(collection)
        if identity != str(self.identity):  # to be counted or dropped
            return _Shard(engine.EdgeShard.load(str(path)), identity)
        # With the configuration: a shard of an older release has another.
        config = segments.config(self._index_from, self.identity.dimension)
        shard = engine.EdgeShard.load(str(path), config)
        if self._is_behind(shard):
            shard.close()
            self._indexing.await_indexed(collection, path)
            shard = engine.EdgeShard.load(str(path))
        return _Shard(shard, identity)

    def _make(self, collection: str) -> None:
        config = segments.config(self._index_from, self.identity.dimension)
        with self._shards.alone(collection):
            if not self._files.path(collection).exists():
                self._files.make(
                    collection, str(self.identity), lambda path: engine.EdgeShard.create(str(path), config).close()
                )

    def _written(self, collection: str) -> None:
        """A change is in the collection's log: have the disk hold it, now or soon."""
        if self._sync:
            self._files.sync_log(collection)
        else:
            self._unsynced.add(collection)

    def _sync_all(self) -> None:
        """What cannot be synced now is tried again next time."""
        for collection in tuple(self._unsynced):
            self._unsynced.discard(collection)  # before, as it may change meanwhile
            try:
                self._files.sync_log(collection)
            except OSError as error:
                self._unsynced.add(collection)
                log.error("log_not_synced", collection=collection, reason=error.strerror)  # noqa: TRY400 -- that says it

    def _changed(self, collection: str, shard: _Shard, points: int) -> None:
        """Do what is due after that many points were added or removed."""
        if shard.unflushed.are_due(points, FLUSH_EVERY):
            shard.engine.flush()
        if shard.unoptimized.are_due(points, segments.changes(self._index_from)):
            self._optimize(collection, shard)

    def _optimize(self, collection: str, shard: _Shard) -> None:
        """If it fails, searches take longer."""
        if self._is_behind(shard.engine) or not self._has_room(segments.LARGEST * self._index_from):
            return
        try:
            with explained(self._files.folder / collection):
                shard.engine.optimize()
        except StoreError as error:
            log.warning("collection_not_indexed", collection=collection, reason=str(error))

    def _is_behind(self, shard: engine.EdgeShard) -> bool:
        """Whether optimising would hold up the process for long."""
        return segments.not_indexed(shard) >= segments.LARGEST * self._index_from

    def _has_room(self, points: int) -> bool:
        """Whether the disk has room for that many points once more."""
        return self._files.free_bytes() >= 2 * MIN_FREE_BYTES + points * self.identity.dimension * 8


def _point(collection: str, record: engine.Record) -> Point:
    person_id, name = uuid.UUID(str(record.id)), (record.payload or {}).get("name")
    if not isinstance(name, str):
        raise StoreError(f"{collection}: face {person_id} has no name")
    if not isinstance(record.vector, list):
        raise StoreError(f"{collection}: face {person_id} has no vector")
    return Point(person_id, name, np.array(record.vector, np.float32))
