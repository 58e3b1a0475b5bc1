"""Removes the collections of dropped facedbs, and the records of dropped tenants, once no job in flight can use them.

Every worker sweeps. If two remove the same collection at once, the second finds nothing.
"""

from typing import Final, cast

import structlog

from shared.control import DROPPED, DROPPED_TENANTS
from shared.control.migrations import forget_migration
from worker.ledger import Ledger
from worker.periodic import Periodic
from worker.store.base import Store, StoreError

log = structlog.stdlib.get_logger(__name__)

SWEEP_INTERVAL_S: Final = 5.0
"""It is not urgent: the faces cannot be found any more once the facedb is dropped."""


class Sweeper:
    """Removes collections and records that are due, every SWEEP_INTERVAL_S."""

    def __init__(self, ledger: Ledger, store: Store) -> None:
        self._ledger = ledger
        self._store = store
        self._sweeping = Periodic("sweeper", self.sweep, SWEEP_INTERVAL_S)

    def start(self) -> None:
        self._sweeping.start()

    def stop(self) -> None:
        self._sweeping.stop()

    def sweep(self) -> None:
        """Remove every collection that is due, with its counter of names, and the idempotency records of every tenant
        that is due. What cannot be removed stays due. Raises RedisError.
        """
        redis = self._ledger.redis
        for collection in self._due(DROPPED):
            try:
                self._store.drop(collection)
            except StoreError as error:
                log.warning("collection_not_removed", collection=collection, reason=str(error))
                continue
            self._ledger.forget_names(collection)
            forget_migration(redis, collection)
            redis.zrem(DROPPED, collection)
            log.info("collection_removed", collection=collection)
        for tenant_id in self._due(DROPPED_TENANTS):
            self._ledger.forget_records(tenant_id)
            redis.zrem(DROPPED_TENANTS, tenant_id)
            log.info("records_removed", tenant=tenant_id)

    def _due(self, dropped: str) -> list[str]:
        redis = self._ledger.redis
        seconds, _ = redis.time()  # the clock by which it was dropped
        return [member.decode() for member in cast("list[bytes]", redis.zrange(dropped, "-inf", seconds, byscore=True))]
