"""Reading all points of a collection on a Qdrant server, a page at a time."""

import uuid
from collections.abc import Iterator
from typing import Any

import numpy as np
from qdrant_client import models
from qdrant_client.client_base import QdrantBase

from worker.store.base import PAGE, Point, StoreError
from worker.store.qdrant.collections import Collections


class Pages:
    """Reads the collections of one store in the order of their ids."""

    def __init__(self, client: QdrantBase, collections: Collections) -> None:
        self._client = client
        self._collections = collections

    def records(self, name: str, only: models.Filter | None = None) -> Iterator[models.Record]:
        """Yield the records that match the filter, with payload and vector. Each page is an operation of its own."""
        begin: Any = None

        def page() -> tuple[list[models.Record], Any]:
            return self._client.scroll(
                name,
                scroll_filter=only,
                limit=PAGE,
                offset=begin,
                with_payload=True,
                with_vectors=[self._collections.vector_name],
            )

        nothing: tuple[list[models.Record], Any] = ([], None)
        while True:
            found, begin = self._collections.read(name, page, nothing)
            yield from found
            if begin is None:
                return

    def point(self, collection: str, payload: dict[str, Any], vectors: Any) -> Point:
        """Return the point of a record. Raises StoreError if it lacks a name, an id or a vector."""
        try:
            vector = np.array(vectors[self._collections.vector_name], np.float32)
            return Point(uuid.UUID(payload["person_id"]), str(payload["name"]), vector)
        except (KeyError, ValueError, TypeError):
            raise StoreError(f"{collection}: face {payload.get('person_id')} has no name or no vector") from None
