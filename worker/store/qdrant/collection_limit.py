"""A warning before a server has more collections than is recommended."""

import time
from collections.abc import Callable
from typing import Final

import structlog

log = structlog.stdlib.get_logger(__name__)

LIMIT: Final = 1000
"""Collections that Qdrant recommends at most (https://qdrant.tech/documentation/manage-data/multitenancy/)."""

MANY: Final = 800
"""Collections from which the warning is logged."""

COUNT_EVERY_S: Final = 60.0


class CollectionLimit:
    """Counts collections when one is made, at most once every COUNT_EVERY_S seconds."""

    def __init__(self) -> None:
        self._count_from = 0.0

    def check(self, names: Callable[[], list[str]]) -> None:
        """Log a warning if there are many. Called when a collection was made. names: lists all collections."""
        now = time.monotonic()
        if now < self._count_from:
            return
        self._count_from = now + COUNT_EVERY_S
        count = len(names())
        if count >= MANY:
            advice = "each costs memory and start-up time; for more facedbs use FACESEARCH_PLACEMENT=shared"
            log.warning("collections_many", count=count, limit=LIMIT, advice=advice)
