"""Existing collections are given the parameters that the settings ask for now.

The server changes a collection in place and builds its segments anew beside the searches, which meanwhile use the old
ones. A process asks once for each change of what it wants: when it first uses a collection, and when the collection
grows or shrinks past FACESEARCH_QDRANT_GRAPH_FROM. Processes with different settings therefore do not undo each other's
changes over and over.
"""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import structlog
from qdrant_client import models
from qdrant_client.client_base import QdrantBase

from shared.settings import Settings
from worker.store.base import StoreError
from worker.store.qdrant.layout import WRITE_CONSISTENCY, graph
from worker.store.qdrant.retries import Retries

log = structlog.stdlib.get_logger(__name__)


class Adjustments:
    """Adjusts the collections of one store, in a thread of its own so that no search waits."""

    def __init__(self, client: QdrantBase, retries: Retries, settings: Settings) -> None:
        self._client, self._retries = client, retries
        self._settings = settings
        # By collection: the graph that it has or that was asked for, and the dimension of its vectors.
        self._graphs: dict[str, tuple[models.HnswConfig, int]] = {}
        self._lock = threading.Lock()
        self._thread = ThreadPoolExecutor(1, "qdrant-adjustments")

    def found(self, name: str, config: models.CollectionConfig, dimension: int) -> None:
        """Remember what a collection has. Called when it is used for the first time. dimension: of its vectors."""
        with self._lock:
            self._graphs[name] = config.hnsw_config, dimension
        if config.params.write_consistency_factor != WRITE_CONSISTENCY:
            params = models.CollectionParamsDiff(write_consistency_factor=WRITE_CONSISTENCY)
            self._ask(name, params.model_dump(exclude_none=True), collection_params=params)

    def counted(self, name: str, faces: int) -> None:
        """Ask for another graph, or for none, if the collection should have it. Called with the number of faces of a
        search. Collections that are searched exactly stay as they are.
        """
        if faces < self._settings.exact_below:
            return
        with self._lock:
            if name not in self._graphs:
                return
            has, dimension = self._graphs[name]
            wanted = graph(self._settings, dimension, faces, has_graph=bool(has.m))
            changed = {
                key: value for key, value in wanted.model_dump().items() if value not in (None, getattr(has, key))
            }
            if not changed:
                return
            self._graphs[name] = has.model_copy(update=changed), dimension
        self._ask(name, changed, hnsw_config=models.HnswConfigDiff(**changed))

    def close(self) -> None:
        """Wait for a call in progress, which ends within its time limit. Called when Retries have ended."""
        self._thread.shutdown(cancel_futures=True)

    def _ask(self, name: str, changed: dict[str, Any], **change: Any) -> None:
        self._thread.submit(self._adjust, name, changed, lambda: self._client.update_collection(name, **change))

    def _adjust(self, name: str, changed: dict[str, Any], call: Callable[[], bool]) -> None:
        try:
            self._retries.call(call)
        except StoreError as error:
            log.warning("collection_not_adjusted", collection=name, wanted=changed, reason=str(error))
        else:
            log.info("collection_adjusted", collection=name, **changed)
