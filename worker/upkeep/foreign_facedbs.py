"""Face databases whose faces another model made, or another release: this worker can compare nothing with them.

It refuses them one by one and serves the others. Where there are no others it does not start.
"""

from collections.abc import Mapping
from typing import Final

import structlog
from redis import Redis, RedisError

from shared.control.inventory import in_use
from shared.errors import OperatorError
from worker.metrics import Metrics
from worker.models.identity import Identity, remedy
from worker.periodic import Periodic
from worker.store.base import Store, StoreError

log = structlog.stdlib.get_logger(__name__)

SHOWN: Final = 5
"""Collections of one identity that are named; the others are counted."""

LOOK_INTERVAL_S: Final = 30.0
"""They come and go with what operators do; on a Qdrant server a look is a call for each collection not met before."""


class ForeignFacedbs:
    """Looks every LOOK_INTERVAL_S. What it tells is of the last look that got an answer."""

    def __init__(self, redis: Redis, store: Store, metrics: Metrics) -> None:
        self._redis, self._store, self._metrics = redis, store, metrics
        self._found: Mapping[str, str] = {}
        self._reason = ""
        self._checking = Periodic("foreign-facedbs", self.check, LOOK_INTERVAL_S)

    def start(self) -> None:
        self._checking.start()

    def stop(self) -> None:
        self._checking.stop()

    def require_something_served(self) -> None:
        """Raises OperatorError when every face database is one. Without the broker or the store nobody knows."""
        try:
            known = self._seen()
        except RedisError:
            return
        if known and len(known) == len(self._found):
            raise OperatorError(f"nothing could be served: {self._reason}")
        self._log()

    def summary(self) -> tuple[int, str]:
        """How many there are; which, and what to do."""
        return len(self._found), self._reason

    def check(self) -> None:
        """See which there are, and tell. Raises RedisError."""
        before = self._found
        self._seen()
        if self._found != before:
            self._log()

    def _log(self) -> None:
        if self._found:
            log.error("facedbs_refused", count=len(self._found), reason=self._reason)

    def _seen(self) -> Mapping[str, str]:
        """Returns all face databases by collection. Raises RedisError."""
        known = in_use(self._redis)
        try:
            found = self._store.foreign(known)
        except StoreError as error:
            log.debug("identities_not_read", reason=str(error))
            return known
        if found != self._found:
            self._reason = describe(found, self._store.identity, known)
            self._found = found
        self._metrics.refused(len(found))
        return known


def describe(found: Mapping[str, str], ours: Identity, known: Mapping[str, str]) -> str:
    """What is wrong with the strangers and what to do, in one line. known: what a collection is to an operator."""
    sentences = []
    for identity in sorted(set(found.values())):
        names = sorted(name for name, theirs in found.items() if theirs == identity)
        shown = ", ".join(f"{name} ({known[name]})" if name in known else name for name in names[:SHOWN])
        more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
        made = f"the faces of {shown}{more} were made by {identity or 'somebody else'}"
        sentences.append(f"{made}, and this service makes {ours}; {remedy(identity, ours)}")
    return ". ".join(sentences)
