"""Search in a collection: exact in a small one, by int8 copies in a larger one, by a graph in a very large one."""

import threading
import time
from collections.abc import Callable
from typing import Final

from cachetools import TTLCache
from qdrant_client import models
from qdrant_client.client_base import QdrantBase

from shared.settings import Settings
from worker.store.attributes import NAME
from worker.store.base import THRESHOLD_MARGIN, Vector
from worker.store.qdrant.collections import Collections
from worker.store.qdrant.layout import PERSON_ID

COUNTED_FOR_S: Final = 5.0
"""Seconds for which a count of points is used. An outdated one costs time but no match: exact search beyond the limit
is slow, and int8 copies below it find the same."""

_MOST_COUNTS: Final = 10_000


class Sizes:
    """Numbers of points by facedb, cached for COUNTED_FOR_S seconds. Safe for threads. clock: seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._counts: TTLCache[str, int] = TTLCache(_MOST_COUNTS, COUNTED_FOR_S, clock)
        self._lock = threading.Lock()

    def of(self, name: str, count: Callable[[], int]) -> int:
        """Return the cached number of points, or what `count` returns now."""
        with self._lock:
            known = self._counts.get(name)
        if known is None:
            known = count()
            with self._lock:
                self._counts[name] = known
        return known


class Searches:
    """Searches of one store."""

    def __init__(self, client: QdrantBase, collections: Collections, settings: Settings) -> None:
        self._client = client
        self._collections = collections
        self._settings = settings
        self._sizes = Sizes()

    def nearest(
        self, name: str, facedb: str, vector: Vector, limit: int, min_cosine: float, only: models.Filter | None = None
    ) -> list[models.ScoredPoint]:
        """Return at most limit points of the facedb, which is the collection or the part of it that `only` matches.
        Some may be slightly below min_cosine: `ranked` removes them.
        """

        def count() -> int:
            faces = self._client.count(name, count_filter=only, exact=False).count
            self._collections.adjustments.counted(name, faces)
            return faces

        size = self._sizes.of(facedb, count)
        return self._client.query_points(
            name,
            query=models.NearestQuery(nearest=vector.tolist()),
            using=self._collections.vector_name,
            query_filter=only,
            limit=limit,
            score_threshold=min_cosine - THRESHOLD_MARGIN,
            search_params=search_params(self._settings, size),
            with_payload=[NAME, PERSON_ID],
        ).points


def search_params(settings: Settings, size: int) -> models.SearchParams:
    """Return the parameters of a search among size points.

    Quantised vectors are compared first, all or those that a graph leads to, and the best of them again in full. Points
    that are not quantised or in no graph yet are compared in full and never left out (indexed_only).
    """
    if size < settings.exact_below:
        return models.SearchParams(exact=True)
    rescore = models.QuantizationSearchParams(rescore=True, oversampling=settings.qdrant_oversampling)
    return models.SearchParams(
        exact=False,
        hnsw_ef=settings.qdrant_hnsw_ef,
        indexed_only=False,
        quantization=rescore if settings.qdrant_quantization == "int8" else None,
    )
