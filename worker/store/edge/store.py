"""A store in this process, by Qdrant's own engine (Qdrant Edge): a shard on disk for each collection.

An acknowledged add is in the engine's write-ahead log, a mapped file, and so survives a killed process. The log is
synced every second, or before each acknowledgement, which bounds what a power cut takes. Searches go over every vector,
in large collections first as int8 (worker/store/edge/segments.py).
"""

import copy
import threading
import uuid
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, Self

import qdrant_edge as engine
import structlog

from worker.models.identity import Identity
from worker.periodic import Periodic
from worker.store import attributes, paging
from worker.store.base import (
    PAGE,
    THRESHOLD_MARGIN,
    Changes,
    Counts,
    Match,
    Person,
    Point,
    Position,
    StoreError,
    StoreUnavailable,
    Vector,
    check_identity,
    check_points,
    check_vectors,
    parsed_identity,
    ranked,
)
from worker.store.edge import counts, files, indexes, segments
from worker.store.edge.background_indexing import BackgroundIndexing
from worker.store.edge.compaction import Compaction
from worker.store.edge.errors import as_store_errors
from worker.store.edge.files import EdgeFiles
from worker.store.edge.persons import PersonReader, point_of_record, unchanged
from worker.store.edge.shards import OpenShards
from worker.store.kept_faces import FACE_COUNT

log = structlog.stdlib.get_logger(__name__)

MIN_FREE_BYTES = 128 * 2**20
"""Least free disk space for an add; an eighth of it for a delete, which takes few bytes. The engine writes to sparse
mapped files, where a full disk is a bus error, which kills the process."""

SYNC_S = 1.0
"""Seconds between syncs of the logs, as of Redis's by default. A sync takes 0.3 ms without the interpreter lock; the
engine's own flush writes everything and holds the lock for 3 ms, on a slow disk much longer."""

FLUSH_EVERY = 10_000
"""Points added or removed between flushes, which truncate the write-ahead log. Otherwise it grows without bound, and
every 100,000 points make the next start 1.2 s longer. A flush after 10,000 takes 20 ms."""


MOST_INDEXED = 2
"""Index attributes at once only in shards up to this multiple of a large segment: half a second for 200,000 points."""


class _ChangeCounter:
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


class _Shard:
    """An open shard, the folder of its collection and the identity of its vectors."""

    def __init__(self, shard: engine.EdgeShard, folder: Path, identity: str) -> None:
        self.engine = shard
        self.identity = identity
        self._folder = folder
        self.unflushed = _ChangeCounter()
        self.unoptimized = _ChangeCounter()
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


class EdgeStore:
    """A Store in a folder. Raises OperatorError if another process has the folder or it cannot be written.

    open_limit: shards that stay open, of 2 MB each when new and 34 MB (of mapped, reclaimable file) when reopened.
    sync: whether every change is synced before it is acknowledged, rather than up to SYNC_S later.
    index_from: points of a collection from which int8 is used; lower in tests.
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
        # Shards of these identities are opened to be used; others only to be counted, compacted or dropped.
        self._used = {str(identity)}
        self._index_from = index_from
        self._files = EdgeFiles(folder)
        self._shards = OpenShards(self._open, open_limit)
        self._indexing = BackgroundIndexing(self._files.lock)
        self._compaction = Compaction(self._files, self._shards, self._indexing, identity.dimension, self._index_from)
        self._sync = sync
        self._unsynced: set[str] = set()
        self._syncing = Periodic("sync", self._sync_all, SYNC_S)
        self._syncing.start()

    def under(self, identity: Identity) -> Self:
        self._used.add(str(identity))
        store = copy.copy(self)
        store.identity = identity
        return store

    def identity_of(self, collection: str) -> Identity | None:
        self._shards.check()
        with as_store_errors(self._files.folder / collection):
            try:
                stored = self._files.identity(collection)  # a small file: reading it takes 0.02 ms
            except FileNotFoundError:
                return None
        return parsed_identity(collection, stored)

    def add(self, collection: str, points: Sequence[Point]) -> None:
        check_points(points, self.identity.dimension)
        if not points:
            return
        upsert = engine.UpdateOperation.upsert_points(
            [
                engine.Point(str(point.person_id), point.vector.tolist(), attributes.payload_of(point))
                for point in points
            ],
            update_mode=engine.UpdateMode.InsertOnly,
        )
        with as_store_errors(self._files.folder / collection):
            self._require_room(MIN_FREE_BYTES)
            while True:  # again only if a drop comes between
                try:
                    with self._ours(collection) as shard:
                        self._index_counts(collection, shard, points)
                        shard.engine.update(upsert)
                        self._compaction.changes.note(collection, [str(point.person_id) for point in points])
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
            with_payload=[attributes.NAME],
        )
        with as_store_errors(self._files.folder / collection):
            try:
                with self._ours(collection) as shard:
                    found = shard.engine.query(request)
            except FileNotFoundError:
                return []
        return ranked(
            ((uuid.UUID(str(point.id)), (point.payload or {})["name"], point.score) for point in found), min_cosine
        )

    def contains(self, collection: str, person_id: uuid.UUID) -> bool:
        with as_store_errors(self._files.folder / collection):
            try:
                with self._ours(collection) as shard:
                    return bool(shard.engine.retrieve([str(person_id)], with_payload=False, with_vector=False))
            except FileNotFoundError:
                return False

    def delete(self, collection: str, person_id: uuid.UUID) -> None:
        with as_store_errors(self._files.folder / collection):
            self._require_room(MIN_FREE_BYTES // 8)
            try:
                with self._ours(collection) as shard:
                    shard.engine.update(engine.UpdateOperation.delete_points([str(person_id)]))
                    self._compaction.changes.note(collection, [str(person_id)])
                    self._changed(collection, shard, 1)
            except FileNotFoundError:
                return
            self._written(collection)

    def get(self, collection: str, person_ids: Sequence[uuid.UUID]) -> list[Point]:
        with as_store_errors(self._files.folder / collection):
            try:
                with self._ours(collection) as shard:
                    found = shard.engine.retrieve([*map(str, person_ids)], with_payload=True, with_vector=True)
            except FileNotFoundError:
                return []
        return [point_of_record(collection, record) for record in found]

    def replace(self, collection: str, read: Point, new: Point | None) -> None:
        check_points([] if new is None else [new], self.identity.dimension)
        point = str(read.person_id)
        if new is None:
            change = engine.UpdateOperation.delete_points_by_filter(unchanged(read))
        else:
            change = engine.UpdateOperation.upsert_points(
                [engine.Point(point, new.vector.tolist(), attributes.payload_of_changed(new))],
                condition=unchanged(read),
                update_mode=engine.UpdateMode.UpdateOnly,
            )
        with as_store_errors(self._files.folder / collection):
            self._require_room(MIN_FREE_BYTES if new is not None else MIN_FREE_BYTES // 8)
            try:
                with self._ours(collection) as shard:
                    self._index_counts(collection, shard, [] if new is None else [new])
                    shard.engine.update(change)
                    self._compaction.changes.note(collection, [point])
                    self._changed(collection, shard, 1)
            except FileNotFoundError:
                return
            self._written(collection)

    def points(self, collection: str) -> Iterator[Point]:
        after: object = None  # id of the first point of the next page
        while True:
            page, after = self._page(collection, after)
            yield from page
            if after is None:
                return

    def page(
        self,
        collection: str,
        after: Position | None,
        limit: int,
        *,
        name: str | None = None,
        external_id: str | None = None,
    ) -> list[Person]:
        equal = {attributes.NAME: name, attributes.EXTERNAL_ID: external_id}
        wanted = {key: value for key, value in equal.items() if value is not None}

        def read(request: engine.ScrollRequest) -> list[engine.Record]:
            with as_store_errors(self._files.folder / collection):
                try:
                    with self._ours(collection) as shard:
                        for key in shard.missing_indexes((attributes.ADDED, *wanted)):
                            self._make_index(collection, shard, key)
                        return shard.engine.scroll(request)[0]
                except FileNotFoundError:  # never there, or dropped since
                    return []

        return paging.read_page(PersonReader(collection, read, wanted), after, limit)

    def person(self, collection: str, person_id: uuid.UUID) -> Person | None:
        with as_store_errors(self._files.folder / collection):
            try:
                with self._ours(collection) as shard:
                    found = shard.engine.retrieve([str(person_id)], with_payload=[*attributes.KEYS], with_vector=False)
            except FileNotFoundError:
                return None
        return attributes.person_of(collection, person_id, found[0].payload or {}) if found else None

    def update(self, collection: str, person_id: uuid.UUID, changes: Changes) -> bool:
        payload, point = attributes.payload_of_changes(changes), str(person_id)
        with as_store_errors(self._files.folder / collection):
            self._require_room(MIN_FREE_BYTES // 8)
            try:
                with self._ours(collection) as shard:
                    if not shard.engine.retrieve([point], with_payload=False, with_vector=False):
                        return False
                    # By a filter, as it is an error to name a point that was deleted since.
                    of_it = engine.Filter(must=[engine.HasIdCondition({point})])
                    shard.engine.update(engine.UpdateOperation.set_payload_by_filter(of_it, payload))
                    self._compaction.changes.note(collection, [point])
                    self._changed(collection, shard, 1)
            except FileNotFoundError:
                return False
            self._written(collection)
        return True

    def count(self, collection: str) -> int:
        with as_store_errors(self._files.folder / collection):
            try:
                with self._shards.use(collection) as shard:
                    return shard.engine.count(engine.CountRequest(exact=True))
            except FileNotFoundError:
                return 0

    def counts(self, collections: Sequence[str]) -> Iterator[Counts]:
        return map(self._counts, collections)

    def collections(self) -> list[str]:
        self._shards.check()
        with as_store_errors(self._files.folder):
            return self._files.names()

    def identities(self, collections: Collection[str]) -> dict[str, str]:
        self._shards.check()
        return files.identities(self._files.folder, collections)

    def drop(self, collection: str) -> None:
        with as_store_errors(self._files.folder / collection), self._compaction.alone(collection):
            self._compaction.changes.end(collection)
            self._files.remove(collection)

    def compact(self, collection: str, rest: Callable[[], None]) -> bool:
        self._shards.check()
        steps = self._compaction.steps(collection)
        with closing(steps):
            while True:
                with as_store_errors(self._files.folder / collection):
                    try:
                        next(steps)
                    except (StopIteration, FileNotFoundError):  # done; or never there, or dropped since
                        return True
                rest()

    def check(self) -> None:
        self._shards.check()

    def check_room(self) -> None:
        with as_store_errors(self._files.folder):
            self._require_room(MIN_FREE_BYTES)

    def close(self) -> None:
        self._syncing.stop()
        try:
            self._shards.close()
        finally:
            self._indexing.close()
            self._files.release()

    def _counts(self, collection: str) -> Counts:
        self._shards.check()
        with as_store_errors(self._files.folder / collection):
            try:
                self._files.identity(collection)  # as before it is opened: it may be damaged
                kept = counts.kept(self._files.path(collection))
                if kept is not None:
                    return kept
                with self._shards.use(collection) as shard:
                    return counts.counted(shard.engine)
            except FileNotFoundError:
                return Counts(0, 0)

    def _page(self, collection: str, begin: Any) -> tuple[list[Point], object]:
        """Return points from that id on and the id that follows them, None at the end. Pages go by id, so that an
        optimiser that moves points between segments hides none.
        """
        request = engine.ScrollRequest(offset=begin, limit=PAGE, with_payload=True, with_vector=True)
        with as_store_errors(self._files.folder / collection):
            try:
                with self._ours(collection) as shard:
                    found, after = shard.engine.scroll(request)
            except FileNotFoundError:  # never there, or dropped since
                return [], None
        return [point_of_record(collection, record) for record in found], after

    def _require_room(self, least: int) -> None:
        if self._files.free_bytes() < least:
            raise StoreUnavailable(f"{self._files.folder}: less than {least >> 20} MB of disk are free")

    @contextmanager
    def _ours(self, collection: str) -> Iterator[_Shard]:
        """Yield the collection's shard. Raises FileNotFoundError if there is none, and IdentityMismatch."""
        with self._shards.use(collection) as shard:
            check_identity(collection, shard.identity, self.identity)
            yield shard

    def _open(self, collection: str) -> _Shard:
        self._files.settle(collection)
        identity = self._files.identity(collection)
        folder, path = self._files.path(collection), self._files.shard(collection)
        counts.forget(folder)
        if identity not in self._used:
            return _Shard(engine.EdgeShard.load(str(path)), folder, identity)
        # With the configuration, as a shard of an older release has another one.
        config = segments.config(self._index_from, Identity.parse(identity).dimension)
        shard = engine.EdgeShard.load(str(path), config)
        if self._is_largely_unindexed(shard):
            shard.close()
            self._indexing.await_indexed(collection, path)
            shard = engine.EdgeShard.load(str(path))
        return _Shard(shard, folder, identity)

    def _make(self, collection: str) -> None:
        config = segments.config(self._index_from, self.identity.dimension)
        with self._shards.alone(collection):
            if not self._files.path(collection).exists():
                self._files.make(
                    collection, str(self.identity), lambda path: indexes.create_shard(path, config).close()
                )

    def _written(self, collection: str) -> None:
        """Sync the collection's log, which has a change: now, or within SYNC_S."""
        if self._sync:
            self._files.sync_log(collection)
        else:
            self._unsynced.add(collection)

    def _sync_all(self) -> None:
        """Sync all logs with changes. Those that cannot be synced are tried again next time."""
        for collection in tuple(self._unsynced):
            self._unsynced.discard(collection)  # before, as it may change meanwhile
            try:
                self._files.sync_log(collection)
            except OSError as error:
                self._unsynced.add(collection)
                log.error("log_not_synced", collection=collection, reason=error.strerror)  # noqa: TRY400 -- that says it

    def _changed(self, collection: str, shard: _Shard, points: int) -> None:
        """Flush and optimise the shard if that is due after this number of changed points."""
        if shard.unflushed.add(points, FLUSH_EVERY):
            shard.engine.flush()
        if shard.unoptimized.add(points, segments.changes_between_optimizations(self._index_from)):
            self._optimize(collection, shard)
            self._index_if_large(collection, shard)

    def _optimize(self, collection: str, shard: _Shard) -> None:
        """Optimise the shard. If that fails, searches take longer."""
        if self._is_largely_unindexed(shard.engine) or not self._has_room(segments.LARGEST * self._index_from):
            return
        try:
            with as_store_errors(self._files.folder / collection):
                shard.engine.optimize()
        except StoreError as error:
            log.warning("collection_not_indexed", collection=collection, reason=str(error))

    def _index_if_large(self, collection: str, shard: _Shard) -> None:
        """Make one index that is missing, so that none is missing in a collection that grows further."""
        large = segments.LARGEST * self._index_from
        if not large <= shard.points <= MOST_INDEXED * large:
            return
        for key in shard.missing_indexes(indexes.KEYS)[:1]:
            try:
                with as_store_errors(self._files.folder / collection):
                    self._make_index(collection, shard, key)
            except StoreError as error:
                log.warning("collection_not_indexed", collection=collection, reason=str(error))

    def _index_counts(self, collection: str, shard: _Shard, points: Iterable[Point]) -> None:
        """Index the counts of faces before any of the points is written, if one has several."""
        if any(len(point.faces) > 1 for point in points) and shard.missing_indexes([FACE_COUNT]):
            self._make_index(collection, shard, FACE_COUNT)

    def _make_index(self, collection: str, shard: _Shard, key: str) -> None:
        """Raises StoreError where that would hold up the process for long: a worker that takes longer than a job may
        is ended, and would make the index again when it is restarted.
        """
        if shard.points > MOST_INDEXED * segments.LARGEST * self._index_from:
            raise StoreError(
                f"{collection} has too many persons to be indexed at once, for lists or for persons of several faces; "
                "run `facesearch erase --now`, which indexes them beside the jobs"
            )
        self._require_room(MIN_FREE_BYTES)
        shard.make_index(key)

    def _is_largely_unindexed(self, shard: engine.EdgeShard) -> bool:
        """Return whether optimising would hold up the process for long."""
        return segments.not_indexed(shard) >= segments.LARGEST * self._index_from

    def _has_room(self, points: int) -> bool:
        """Return whether the disk has room for this number of points once more."""
        return self._files.free_bytes() >= 2 * MIN_FREE_BYTES + points * self.identity.dimension * 8
