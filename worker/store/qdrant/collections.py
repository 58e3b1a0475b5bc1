"""A server's collections under one identity: made by the first write and verified at the first use.

The identity is the *name* of the vectors. So the server itself refuses every call if the collection was dropped and
made again under another identity meanwhile, and a collection is verified once only.
"""

import contextlib
import copy
import hashlib
import threading
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any, Final, Literal, Self

from qdrant_client import models
from qdrant_client.client_base import QdrantBase

from shared.persons import MAX_FACES
from shared.settings import Settings
from worker.models.identity import Identity
from worker.store.base import Point, StoreError, StoreUnavailable, check_identity, parsed_identity
from worker.store.kept_faces import FACE_COUNT
from worker.store.qdrant.adjustments import Adjustments
from worker.store.qdrant.collection_limit import CollectionLimit
from worker.store.qdrant.conditions import condition_ordering, require_version, unchanged
from worker.store.qdrant.copies import require_copies
from worker.store.qdrant.errors import Answer, Missing
from worker.store.qdrant.layout import (
    ATTRIBUTE_INDEXES,
    FACEDB_INDEX,
    FACEDB_KEY,
    SHARED_PREFIX,
    layout,
    of_facedb,
    write_ordering,
)
from worker.store.qdrant.retries import Retries

Placement = Literal["separate", "shared"]

METADATA_KEYS: Final[dict[Placement, str]] = {"separate": "facesearch_identity", "shared": "facesearch_shared_identity"}
"""The key of the identity in a collection's metadata, by placement."""

_DROPS_MEANWHILE: Final = 10  # of a collection, during one write to it


class Collections:
    """Collections of one placement. Methods raise IdentityMismatch for a collection of another identity."""

    def __init__(self, client: QdrantBase, retries: Retries, identity: Identity, settings: Settings) -> None:
        self._client, self._retries = client, retries
        self._settings = settings
        self._metadata_key = METADATA_KEYS[settings.placement]
        self._ordering = write_ordering(settings)
        # The identities of collections known to be there. Its single operations are atomic.
        self._verified: dict[str, Identity] = {}
        self._indexed: dict[str, set[str]] = {}  # keys of the collections known to be indexed, likewise
        self._limit = CollectionLimit()
        self._server_checked = threading.Event()
        self.adjustments = Adjustments(client, retries, settings)
        self._use(identity)

    def under(self, identity: Identity) -> Self:
        """Return the same collections for another identity; both know which are verified."""
        other = copy.copy(self)
        other._use(identity)  # noqa: SLF001 -- of this class
        return other

    def identity_of(self, name: str) -> Identity | None:
        """Return the identity of a collection of any identity; None if there is no such collection. Raises
        IdentityMismatch if facesearch did not make it.
        """
        known = self._verified.get(name)
        if known is not None:
            return known
        try:
            return self._verify(name, self._described(name))
        except Missing:
            return None

    def write(self, name: str, points: Sequence[models.PointStruct], indexed: Iterable[str] = ()) -> None:
        """Write those points that are not there yet, and make the collection if there is none. indexed: keys that have
        to be indexed before.
        """
        for _ in range(_DROPS_MEANWHILE):
            with contextlib.suppress(Missing):  # another worker dropped it in between
                self._write(name, points, indexed)
                return
        raise StoreUnavailable(f"collection {name} is being dropped again and again")

    def update(self, name: str, point: str, payload: dict[str, Any]) -> None:
        """Set these keys of the payload of a point, if it is there."""
        # By a filter, as it is an error to name a point that was deleted since.
        only = models.Filter(must=[models.HasIdCondition(has_id=[point])])

        def set_payload() -> None:
            done(self._client.set_payload(name, payload, only, wait=True, ordering=self._ordering))
            self._require_copies(name)

        self.read(name, set_payload, None)

    def replace(self, name: str, point_id: str, read: Point, new: models.PointStruct | None) -> None:
        """Write a point in place of one, or remove it, if that is as it was read. point_id: its id on the server."""
        as_read, ordering = unchanged(point_id, read), condition_ordering(self._settings)

        def write() -> None:
            if new is None:
                self._remove(name, models.FilterSelector(filter=as_read), ordering)
                return
            only = models.UpdateMode.UPDATE_ONLY
            done(
                self._client.upsert(name, [new], wait=True, ordering=ordering, update_filter=as_read, update_mode=only)
            )
            self._require_copies(name)

        if new is not None and not self._server_checked.is_set():
            require_version(self._retries.call(self._client.info).version)
            self._server_checked.set()
        self.read(name, write, None)

    def require_indexes(self, name: str, keys: Iterable[str]) -> None:
        """Index these attributes of persons if that was not done before. Writes to the collection wait for it."""
        known = self._indexed.setdefault(name, set())
        missing = [key for key in keys if key not in known]
        if not missing or not self._known(name):
            return
        with contextlib.suppress(Missing):  # dropped since
            there = self._described(name).payload_schema
            for key in missing:
                if key not in there:
                    self._make_index(name, key, ATTRIBUTE_INDEXES[key])
                known.add(key)

    def delete(self, name: str, selector: models.PointsSelector) -> None:
        self.read(name, lambda: self._remove(name, selector), None)

    def delete_of_any(self, name: str, selector: models.PointsSelector) -> None:
        """Delete points of a collection of any identity."""
        self._retries.call(lambda: self._remove(name, selector))

    def read(self, name: str, call: Callable[[], Answer], missing: Answer) -> Answer:
        """Return the result of a call on the collection; `missing` if there is no such collection."""
        if not self._known(name):
            return missing
        try:
            return self._on_points(name, call)
        except Missing:
            return missing

    def names(self) -> list[str]:
        """Return the names of all collections on the server, also of those that facesearch did not make."""
        return [found.name for found in self._retries.call(self._client.get_collections).collections]

    def shared_names(self) -> list[str]:
        """Return the names of the shared collections of all identities."""
        return [name for name in self.names() if name.startswith(SHARED_PREFIX)]

    def count_in(self, shared: str, facedb: str) -> int:
        """Return the number of points of a facedb in a shared collection; 0 if there is no such collection."""
        try:
            return self._retries.call(
                lambda: self._client.count(shared, count_filter=of_facedb(facedb), exact=True).count
            )
        except Missing:
            return 0

    def with_several_faces(self, name: str, only: models.Filter | None = None) -> dict[int, int]:
        """Return how many persons that match the filter have each number of faces from 2 on. Raises Missing."""
        if FACE_COUNT not in self._described(name).payload_schema:  # made before anybody gets a second face
            return {}
        counted = self.by_value(name, FACE_COUNT, MAX_FACES, only)
        return {int(faces): persons for faces, persons in counted.items() if int(faces) > 1}

    def by_value(self, name: str, key: str, limit: int, only: models.Filter | None = None) -> dict[str, int]:
        """Return how many points that match the filter have each value of an indexed key, as text. limit: most values.
        Raises Missing.
        """
        counted = self._retries.call(lambda: self._client.facet(name, key, facet_filter=only, limit=limit, exact=True))
        # The engine lists values of removed points, too.
        return {str(hit.value): hit.count for hit in counted.hits if hit.count}

    def remembered(self, name: str) -> str | None:
        """Return the identity in the collection's metadata; None if facesearch did not make it. Raises Missing."""
        return self._identity_in(self._described(name))

    def identities(self, wanted: Collection[str]) -> dict[str, str]:
        """Do what Store.identities does, with a call for each collection that was not verified before."""
        found: dict[str, str] = {}
        for name in set(wanted).intersection(self.names()):
            known = self._verified.get(name)
            with contextlib.suppress(Missing):  # dropped since
                found[name] = str(known) if known is not None else self.remembered(name) or ""
        return found

    def close(self) -> None:
        self._retries.end()
        self.adjustments.close()
        self._client.close()

    def drop(self, name: str) -> None:
        self._retries.call(lambda: self._client.delete_collection(name))
        self._forget(name)

    def _use(self, identity: Identity) -> None:
        self._identity = identity
        self.vector_name = hashlib.sha256(str(identity).encode()).hexdigest()[:16]

    def _write(self, name: str, points: Sequence[models.PointStruct], indexed: Iterable[str]) -> None:
        def upsert() -> None:
            insert = models.UpdateMode.INSERT_ONLY
            done(self._client.upsert(name, points, wait=True, ordering=self._ordering, update_mode=insert))
            self._require_copies(name)

        if not self._known(name):
            self._make(name)
        self.require_indexes(name, indexed)
        self._on_points(name, upsert)

    def _remove(self, name: str, selector: models.PointsSelector, ordering: models.WriteOrdering | None = None) -> None:
        done(self._client.delete(name, selector, wait=True, ordering=ordering or self._ordering))
        self._require_copies(name)

    def _require_copies(self, name: str) -> None:
        if self._settings.qdrant_write_consistency > 1:
            require_copies(self._client, name, self._settings.qdrant_write_consistency)

    def _known(self, name: str) -> bool:
        if self._verified.get(name) == self._identity:
            return True
        try:
            described = self._described(name)
        except Missing:
            self._refuse_shared(name)
            return False
        check_identity(name, self._identity_in(described), self._identity)
        self._verify(name, described)
        return True

    def _verify(self, name: str, described: models.CollectionInfo) -> Identity:
        """Remember the identity of a collection, and return it. Raises IdentityMismatch if facesearch did not make the
        collection.
        """
        identity = parsed_identity(name, self._identity_in(described))
        self._index(name)
        self.adjustments.found(name, described.config, identity.dimension)
        self._verified[name] = identity
        return identity

    def _identity_in(self, described: models.CollectionInfo) -> str | None:
        identity = (described.config.metadata or {}).get(self._metadata_key)
        return identity if isinstance(identity, str) else None

    def _described(self, name: str) -> models.CollectionInfo:
        return self._retries.call(lambda: self._client.get_collection(name))

    def _make(self, name: str) -> None:
        arguments = layout(self._settings, self._identity, self.vector_name)
        metadata = {self._metadata_key: str(self._identity)}
        try:
            self._retries.call(lambda: self._client.create_collection(name, metadata=metadata, **arguments))
        except StoreUnavailable:
            raise
        except StoreError as error:
            if not self._known(name):  # else another worker made it at the same moment
                raise (Missing if "already exists" in str(error) else StoreError)(str(error)) from None
        self._index(name)
        if self._settings.placement == "separate":
            self._limit.check(self.names)

    def _index(self, name: str) -> None:
        """Make the index of facedbs of a shared collection. Also called for existing ones, whose maker may have died
        before this; making it twice does no harm.
        """
        if self._settings.placement == "shared":
            self._make_index(name, FACEDB_KEY, FACEDB_INDEX)

    def _make_index(self, name: str, key: str, index: models.PayloadSchemaParams) -> None:
        self._retries.call(lambda: done(self._client.create_payload_index(name, key, index, wait=True)))

    def _on_points(self, name: str, call: Callable[[], Answer]) -> Answer:
        """Return the result of a call on a verified collection. After a refusal it is verified again, as it may have
        been dropped and created again.
        """
        try:
            return self._retries.call(call)
        except StoreUnavailable:
            raise
        except StoreError:
            self._forget(name)
            self._known(name)
            raise

    def _forget(self, name: str) -> None:
        self._verified.pop(name, None)
        self._indexed.pop(name, None)

    def _refuse_shared(self, name: str) -> None:
        """Raise StoreError if the facedb is in a shared collection, which this placement does not search."""
        if self._settings.placement == "shared":
            return
        for shared in self.shared_names():
            if self.count_in(shared, name):
                raise StoreError(
                    f"{name} lies in a shared collection; set FACESEARCH_PLACEMENT=shared, or drop it there"
                )


def done(result: models.UpdateResult) -> None:
    """Raise StoreUnavailable unless the write is applied: one that is only acknowledged cannot be searched yet."""
    if result.status != models.UpdateStatus.COMPLETED:
        raise StoreUnavailable(f"Qdrant has not applied the write yet: {result.status.value}")
