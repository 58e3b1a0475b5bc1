"""What shards need while they are changed: room on the disk, flushes, int8 copies and indexes."""

from collections.abc import Iterable
from typing import Final

import structlog

from worker.models.identity import Identity
from worker.store.base import Point, StoreError, StoreUnavailable
from worker.store.edge import indexes, segments
from worker.store.edge.errors import as_store_errors
from worker.store.edge.files import EdgeFiles
from worker.store.edge.open_shard import OpenShard
from worker.store.kept_faces import FACE_COUNT

log = structlog.stdlib.get_logger(__name__)

MIN_FREE_BYTES = 128 * 2**20
"""Least free disk space for an add; an eighth of it for a delete, which takes few bytes. The engine writes to sparse
mapped files, where a full disk is a bus error, which kills the process."""

FLUSH_EVERY = 10_000
"""Points added or removed between flushes, which truncate the write-ahead log. Otherwise it grows without bound, and
every 100,000 points make the next start 1.2 s longer. A flush after 10,000 takes 20 ms."""

MOST_INDEXED: Final = 2
"""Index attributes at once only in shards up to this multiple of a large segment: half a second for 200,000 points."""


class Tending:
    """Tends the shards of one store. index_from: as in EdgeStore."""

    def __init__(self, files: EdgeFiles, index_from: int) -> None:
        self._files = files
        self._index_from = index_from

    def require_room(self, *, adds: bool) -> None:
        """Raise StoreUnavailable unless the disk has room for a change. adds: whether the change adds vectors."""
        least = MIN_FREE_BYTES if adds else MIN_FREE_BYTES // 8
        if self._files.free_bytes() < least:
            raise StoreUnavailable(f"{self._files.folder}: less than {least >> 20} MB of disk are free")

    def index(self, collection: str, shard: OpenShard, keys: Iterable[str]) -> None:
        """Index these keys, as far as they are not indexed. Raises StoreError where that would hold up the process for
        long: a worker that takes longer than a job may is ended, and would make the index again when it is restarted.
        """
        for key in shard.missing_indexes(keys):
            if shard.points > MOST_INDEXED * segments.LARGEST * self._index_from:
                raise StoreError(
                    f"{collection} has too many persons to be indexed at once, for lists or for persons of several "
                    "faces; run `facesearch erase --now`, which indexes them beside the jobs"
                )
            self.require_room(adds=True)
            shard.make_index(key)

    def before_write(self, collection: str, shard: OpenShard, points: Iterable[Point]) -> None:
        """Index the counts of faces before any of the points is written, if one has several. Raises as `index`."""
        if any(len(point.faces) > 1 for point in points):
            self.index(collection, shard, [FACE_COUNT])

    def changed(self, collection: str, shard: OpenShard, points: int) -> None:
        """Flush and optimise the shard if that is due after this number of changed points."""
        if shard.unflushed.add(points, FLUSH_EVERY):
            shard.engine.flush()
        if shard.unoptimized.add(points, segments.changes_between_optimizations(self._index_from)):
            self._optimize(collection, shard)
            self._index_if_large(collection, shard)

    def _optimize(self, collection: str, shard: OpenShard) -> None:
        """Optimise the shard. If that fails, searches take longer."""
        if segments.is_largely_unindexed(shard.engine, self._index_from) or not self._has_room(shard):
            return
        try:
            with as_store_errors(self._files.folder / collection):
                shard.engine.optimize()
        except StoreError as error:
            log.warning("collection_not_indexed", collection=collection, reason=str(error))

    def _index_if_large(self, collection: str, shard: OpenShard) -> None:
        """Make one index that is missing, so that none is missing in a collection that grows further."""
        large = segments.LARGEST * self._index_from
        if not large <= shard.points <= MOST_INDEXED * large:
            return
        try:
            with as_store_errors(self._files.folder / collection):
                self.index(collection, shard, shard.missing_indexes(indexes.KEYS)[:1])
        except StoreError as error:
            log.warning("collection_not_indexed", collection=collection, reason=str(error))

    def _has_room(self, shard: OpenShard) -> bool:
        """Return whether the disk has room for the points of a large segment once more."""
        points = segments.LARGEST * self._index_from
        return self._files.free_bytes() >= 2 * MIN_FREE_BYTES + points * Identity.parse(shard.identity).dimension * 8
