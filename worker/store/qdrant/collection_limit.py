"""A warning before a server has more collections than it carries well."""

import time
from collections.abc import Callable
from typing import Final

import structlog

log = structlog.stdlib.get_logger(__name__)

LIMIT: Final = 1000
MANY: Final = 800
"""Collections that Qdrant advises for a cluster (https://qdrant.tech/documentation/manage-data/multitenancy/), and from
how many on it is time to think of something else."""

COUNT_EVERY_S: Final = 60.0


class CollectionLimit:
    """Counts collections when one is made, but not more often than every COUNT_EVERY_S seconds."""

    def __init__(self) -> None:
        self._count_from = 0.0

    def check(self, names: Callable[[], list[str]]) -> None:
        """A collection was made; names: asks for those of all."""
        now = time.monotonic()
        if now < self._count_from:
            return
        self._count_from = now + COUNT_EVERY_S
        count = len(names())
        if count >= MANY:
            advice = "each costs memory and start-up time; for more facedbs use FACESEARCH_PLACEMENT=shared"
            log.warning("collections_many", count=count, limit=LIMIT, advice=advice)
