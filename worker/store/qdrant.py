"""A Qdrant server or cluster: one collection a facedb, its identity in the collection's metadata.

The vectors are also *named* by the identity. So every call is refused by the server itself if the collection was
dropped and made again under another identity meanwhile, and what was verified once can be kept without asking again.
"""

import contextlib
import hashlib
import uuid
from collections.abc import Callable, Sequence

from qdrant_client import QdrantClient, models

from worker.models.identity import Identity
from worker.store.base import (
    THRESHOLD_MARGIN,
    IdentityMismatch,
    Match,
    Point,
    StoreError,
    StoreUnavailable,
    Vector,
    check_identity,
    checked,
    ranked,
)
from worker.store.qdrant_calls import Answer, Missing, answer

METADATA_KEY = "facesearch_identity"


class QdrantStore:
    """A Store on a Qdrant server. Closes the client when it is closed itself."""

    def __init__(self, client: QdrantClient, identity: Identity) -> None:
        self.identity = identity
        self._client = client
        self._vector_name = hashlib.sha256(str(identity).encode()).hexdigest()[:16]
        self._verified: set[str] = set()  # collections known to be there and ours; add and discard are atomic
        self._closed = False

    def add(self, collection: str, points: Sequence[Point]) -> None:
        checked([point.vector for point in points], self.identity.dimension)
        if not points:
            return
        structs = [
            models.PointStruct(
                id=str(point.person_id), vector={self._vector_name: point.vector.tolist()}, payload={"name": point.name}
            )
            for point in points
        ]
        try:
            self._write(collection, structs)
        except Missing:  # another worker dropped it in between
            self._write(collection, structs)

    def search(self, collection: str, vector: Vector, limit: int, min_cosine: float) -> list[Match]:
        checked([vector], self.identity.dimension)

        def query() -> list[models.ScoredPoint]:
            return self._client.query_points(
                collection,
                query=vector.tolist(),
                using=self._vector_name,
                limit=limit,
                score_threshold=min_cosine - THRESHOLD_MARGIN,
                search_params=models.SearchParams(exact=True),
                with_payload=True,
            ).points

        nothing: list[models.ScoredPoint] = []
        found = self._read(collection, query, nothing)
        return ranked(((uuid.UUID(str(p.id)), (p.payload or {})["name"], p.score) for p in found), min_cosine)

    def contains(self, collection: str, person_id: uuid.UUID) -> bool:
        def retrieve() -> bool:
            return bool(self._client.retrieve(collection, [str(person_id)], with_payload=False, with_vectors=False))

        return self._read(collection, retrieve, missing=False)

    def delete(self, collection: str, person_id: uuid.UUID) -> None:
        selector = models.PointIdsList(points=[str(person_id)])
        self._read(collection, lambda: self._client.delete(collection, selector, wait=True), None)

    def count(self, collection: str) -> int:
        try:
            return self._call(lambda: self._client.count(collection, exact=True).count)
        except Missing:
            return 0

    def collections(self) -> list[str]:
        """Ours only: a server may hold those of others. One call for each."""
        ours = []
        for found in self._call(self._client.get_collections).collections:
            with contextlib.suppress(Missing):  # dropped since
                if self._remembered(found.name) is not None:
                    ours.append(found.name)
        return sorted(ours)

    def drop(self, collection: str) -> None:
        """Of any identity, but IdentityMismatch if it is no collection of facesearch at all."""
        try:
            remembered = self._remembered(collection)
        except Missing:
            return
        if remembered is None:
            raise IdentityMismatch(f"collection {collection} was not made by facesearch: it stays")
        self._call(lambda: self._client.delete_collection(collection))
        self._verified.discard(collection)

    def check(self) -> None:
        # Any answer will do, but unlike the server's /readyz this needs the API key to be right.
        self._call(lambda: self._client.collection_exists("facesearch"))

    def close(self) -> None:
        self._closed = True
        self._client.close()

    def _write(self, collection: str, structs: list[models.PointStruct]) -> None:
        if not self._known(collection):
            self._make(collection)
        self._on_points(collection, lambda: self._client.upsert(collection, structs, wait=True))

    def _known(self, collection: str) -> bool:
        """Whether the collection is there. Raises IdentityMismatch if it is not ours."""
        if collection in self._verified:
            return True
        try:
            remembered = self._remembered(collection)
        except Missing:
            return False
        check_identity(collection, remembered, self.identity)
        self._verified.add(collection)
        return True

    def _remembered(self, collection: str) -> str | None:
        """The identity in the collection's metadata; None if facesearch did not make it. Raises Missing."""
        metadata = self._call(lambda: self._client.get_collection(collection)).config.metadata or {}
        identity = metadata.get(METADATA_KEY)
        return identity if isinstance(identity, str) else None

    def _make(self, collection: str) -> None:
        vectors = {
            self._vector_name: models.VectorParams(size=self.identity.dimension, distance=models.Distance.COSINE)
        }
        metadata = {METADATA_KEY: str(self.identity)}
        try:
            self._call(lambda: self._client.create_collection(collection, vectors_config=vectors, metadata=metadata))
        except StoreUnavailable:
            raise
        except StoreError:
            if not self._known(collection):  # else another worker made it at the same moment
                raise

    def _read(self, collection: str, call: Callable[[], Answer], missing: Answer) -> Answer:
        if not self._known(collection):
            return missing
        try:
            return self._on_points(collection, call)
        except Missing:
            return missing

    def _on_points(self, collection: str, call: Callable[[], Answer]) -> Answer:
        """The answer of a call on a known collection. A refusal may mean that it is no longer the one we knew."""
        try:
            return self._call(call)
        except StoreUnavailable:
            raise
        except StoreError:
            self._verified.discard(collection)
            self._known(collection)
            raise

    def _call(self, call: Callable[[], Answer]) -> Answer:
        if self._closed:
            raise StoreUnavailable("the store is closed")
        return answer(call)
