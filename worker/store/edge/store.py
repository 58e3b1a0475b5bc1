"""A store in this process, by Qdrant's own engine (Qdrant Edge): a shard on disk for each collection.

An acknowledged add is in the engine's write-ahead log, a mapped file, and so survives a killed process. The log is
synced every second, or before each acknowledgement, which bounds what a power cut takes. Searches go over every vector,
in large collections first as int8 (worker/store/edge/segments.py).
"""

import copy
import uuid
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from typing import Any, Self, TypeVar

import qdrant_edge as engine

from worker.models.identity import Identity
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
    Vector,
    check_identity,
    check_points,
    check_vectors,
    parsed_identity,
    ranked,
)
from worker.store.edge import counts, files, segments
from worker.store.edge.background_indexing import BackgroundIndexing
from worker.store.edge.compaction import Compaction
from worker.store.edge.errors import as_store_errors
from worker.store.edge.files import EdgeFiles
from worker.store.edge.log_syncing import LogSyncing
from worker.store.edge.open_shard import OpenShard, ShardOpening
from worker.store.edge.persons import PersonReader, point_of_record, unchanged
from worker.store.edge.shards import OpenShards
from worker.store.edge.tending import Tending

Result = TypeVar("Result")


class EdgeStore:
    """A Store in a folder. Raises OperatorError if another process has the folder or it cannot be written.

    open_limit: shards that stay open, of 2 MB each when new and 34 MB (of mapped, reclaimable file) when reopened.
    sync: whether every change is synced before it is acknowledged, rather than up to a second later.
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
        self._files = EdgeFiles(folder)
        self._indexing = BackgroundIndexing(self._files.lock)
        self._opening = ShardOpening(self._files, self._indexing, index_from, {str(identity)})
        self._shards = OpenShards(self._opening.open, open_limit)
        self._compaction = Compaction(self._files, self._shards, self._indexing, identity.dimension, index_from)
        self._tending = Tending(self._files, index_from)
        self._logs = LogSyncing(self._files, always=sync)

    def under(self, identity: Identity) -> Self:
        self._opening.used.add(str(identity))
        store = copy.copy(self)
        store.identity = identity
        return store

    def identity_of(self, collection: str) -> Identity | None:
        self._shards.check()
        with self._errors(collection):
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
        ids = [point.person_id for point in points]
        while not self._change(collection, ids, upsert, points):  # again only if a drop comes between
            with self._errors(collection), self._shards.alone(collection):
                self._opening.make(collection, self.identity)

    def search(self, collection: str, vector: Vector, limit: int, min_cosine: float) -> list[Match]:
        check_vectors([vector], self.identity.dimension)
        request = engine.QueryRequest(
            query=engine.Query.Nearest(vector.tolist()),
            limit=limit,
            score_threshold=min_cosine - THRESHOLD_MARGIN,
            params=segments.SEARCH,
            with_payload=[attributes.NAME],
        )
        found = self._read(collection, lambda shard: shard.engine.query(request)) or []
        return ranked(
            ((uuid.UUID(str(point.id)), (point.payload or {})["name"], point.score) for point in found), min_cosine
        )

    def contains(self, collection: str, person_id: uuid.UUID) -> bool:
        return bool(self._retrieved(collection, [person_id], payload=False))

    def delete(self, collection: str, person_id: uuid.UUID) -> None:
        self._change(collection, [person_id], engine.UpdateOperation.delete_points([str(person_id)]))

    def get(self, collection: str, person_ids: Sequence[uuid.UUID]) -> list[Point]:
        found = self._retrieved(collection, person_ids, payload=True, vector=True)
        return [point_of_record(collection, record) for record in found]

    def replace(self, collection: str, read: Point, new: Point | None) -> None:
        points = [] if new is None else [new]
        check_points(points, self.identity.dimension)
        if new is None:
            change = engine.UpdateOperation.delete_points_by_filter(unchanged(read))
        else:
            change = engine.UpdateOperation.upsert_points(
                [engine.Point(str(read.person_id), new.vector.tolist(), attributes.payload_of_changed(new))],
                condition=unchanged(read),
                update_mode=engine.UpdateMode.UpdateOnly,
            )
        self._change(collection, [read.person_id], change, points)

    def points(self, collection: str) -> Iterator[Point]:
        after: Any = None  # id of the first point of the next page
        while True:
            found, after = self._scrolled(collection, after)
            for record in found:
                yield point_of_record(collection, record)
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

        def scroll(shard: OpenShard, request: engine.ScrollRequest) -> list[engine.Record]:
            self._tending.index(collection, shard, (attributes.ADDED, *wanted))
            return shard.engine.scroll(request)[0]

        def read(request: engine.ScrollRequest) -> list[engine.Record]:
            return self._read(collection, lambda shard: scroll(shard, request)) or []

        return paging.read_page(PersonReader(collection, read, wanted), after, limit)

    def person(self, collection: str, person_id: uuid.UUID) -> Person | None:
        found = self._retrieved(collection, [person_id], payload=[*attributes.KEYS])
        return attributes.person_of(collection, person_id, found[0].payload or {}) if found else None

    def update(self, collection: str, person_id: uuid.UUID, changes: Changes) -> bool:
        if not self.contains(collection, person_id):
            return False
        # By a filter, as it is an error to name a point that was deleted since.
        of_it = engine.Filter(must=[engine.HasIdCondition({str(person_id)})])
        change = engine.UpdateOperation.set_payload_by_filter(of_it, attributes.payload_of_changes(changes))
        return self._change(collection, [person_id], change)

    def count(self, collection: str) -> int:
        return self._counts(collection).persons

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
        with self._errors(collection), self._compaction.alone(collection):
            self._compaction.changes.end(collection)
            self._files.remove(collection)

    def compact(self, collection: str, rest: Callable[[], None]) -> bool:
        self._shards.check()
        steps = self._compaction.steps(collection)
        with closing(steps):
            while True:
                with self._errors(collection):
                    try:
                        next(steps)
                    except (StopIteration, FileNotFoundError):  # done; or never there, or dropped since
                        return True
                rest()

    def check(self) -> None:
        self._shards.check()

    def check_room(self) -> None:
        with as_store_errors(self._files.folder):
            self._tending.require_room(adds=True)

    def close(self) -> None:
        self._logs.close()
        try:
            self._shards.close()
        finally:
            self._indexing.close()
            self._files.release()

    @contextmanager
    def _ours(self, collection: str) -> Iterator[OpenShard]:
        """Yield the collection's shard. Raises FileNotFoundError if there is none, and IdentityMismatch."""
        with self._shards.use(collection) as shard:
            check_identity(collection, shard.identity, self.identity)
            yield shard

    def _read(self, collection: str, read: Callable[[OpenShard], Result]) -> Result | None:
        """Return what is read of the collection's shard; None if there is none, or none any more."""
        with self._errors(collection):
            try:
                with self._ours(collection) as shard:
                    return read(shard)
            except FileNotFoundError:
                return None

    def _retrieved(
        self, collection: str, person_ids: Sequence[uuid.UUID], *, payload: bool | list[str], vector: bool = False
    ) -> list[engine.Record]:
        """Return these persons, as far as they are there. payload: whether all of it is read, or these keys of it."""
        ids: list[Any] = [str(person_id) for person_id in person_ids]

        def retrieve(shard: OpenShard) -> list[engine.Record]:
            return shard.engine.retrieve(ids, with_payload=payload, with_vector=vector)

        return self._read(collection, retrieve) or []

    def _scrolled(self, collection: str, begin: Any) -> tuple[Sequence[engine.Record], Any]:
        """Return a page of records from that id on and the id that follows them, None at the end. Pages go by id, so
        that an optimiser that moves points between segments hides none.
        """
        request = engine.ScrollRequest(offset=begin, limit=PAGE, with_payload=True, with_vector=True)
        return self._read(collection, lambda shard: shard.engine.scroll(request)) or ([], None)

    def _change(
        self,
        collection: str,
        person_ids: Sequence[uuid.UUID],
        change: engine.UpdateOperation,
        points: Sequence[Point] = (),
    ) -> bool:
        """Change these persons, sync the change as it is set, and return True; return False if there is no such
        collection. points: that the change writes.
        """
        with self._errors(collection):
            self._tending.require_room(adds=bool(points))
            try:
                with self._ours(collection) as shard:
                    self._tending.before_write(collection, shard, points)
                    shard.engine.update(change)
                    self._compaction.changes.note(collection, map(str, person_ids))
                    self._tending.changed(collection, shard, len(person_ids))
            except FileNotFoundError:
                return False
            self._logs.changed(collection)
        return True

    def _counts(self, collection: str) -> Counts:
        self._shards.check()
        with self._errors(collection):
            try:
                self._files.identity(collection)  # as before it is opened: it may be damaged
                kept = counts.kept(self._files.path(collection))
                if kept is not None:
                    return kept
                with self._shards.use(collection) as shard:
                    return counts.counted(shard.engine)
            except FileNotFoundError:
                return Counts(0, 0)

    def _errors(self, collection: str) -> AbstractContextManager[None]:
        """Raise errors of the engine and of the disk as StoreErrors that name the collection's folder."""
        return as_store_errors(self._files.folder / collection)
