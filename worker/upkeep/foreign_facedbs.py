"""Face databases whose faces another model or another release made, so that this worker cannot compare with them.

The worker refuses these and serves the others. If there are no others it does not start.
"""

from collections.abc import Callable, Mapping
from typing import Final

import structlog
from redis import Redis, RedisError

from shared.control.inventory import in_use
from shared.errors import OperatorError
from worker.models.identity import Identity, remedy
from worker.models.spaces import Spaces
from worker.periodic import Periodic
from worker.store.base import Store, StoreError

log = structlog.stdlib.get_logger(__name__)

SHOWN: Final = 5
"""Collections of one identity that are listed by name; the rest is counted."""

CHECK_INTERVAL_S: Final = 30.0
"""Only operators cause a change. On a Qdrant server a check is a call for each new collection."""


class ForeignFacedbs:
    """Checks every CHECK_INTERVAL_S, and keeps the result of the last check that the store answered.

    record: called with the number of foreign face databases after each check.
    """

    def __init__(self, redis: Redis, store: Store, spaces: Spaces, record: Callable[[int], None]) -> None:
        self._redis, self._store, self._spaces, self._record = redis, store, spaces, record
        self._found: Mapping[str, str] = {}
        self._reason = ""
        self._checking = Periodic("foreign-facedbs", self.check, CHECK_INTERVAL_S)

    def start(self) -> None:
        self._checking.start()

    def stop(self) -> None:
        self._checking.stop()

    def require_something_served(self) -> None:
        """Raise OperatorError if all face databases are foreign. Returns if the broker or the store does not answer."""
        try:
            known = self._update()
        except RedisError:
            return
        if known and len(known) == len(self._found):
            raise OperatorError(f"nothing could be served: {self._reason}")
        self._log()

    def summary(self) -> tuple[int, str]:
        """Return the number of foreign face databases, and one line with their names and the remedy."""
        return len(self._found), self._reason

    def check(self) -> None:
        """Look for foreign face databases, and log a change. Raises RedisError."""
        before = self._found
        self._update()
        if self._found != before:
            self._log()

    def _log(self) -> None:
        if self._found:
            log.error("facedbs_refused", count=len(self._found), reason=self._reason)

    def _update(self) -> Mapping[str, str]:
        """Ask the store, and return all face databases by collection. Raises RedisError."""
        known = in_use(self._redis)
        try:
            found = self._spaces.foreign(self._store.identities(known))
        except StoreError as error:
            log.debug("identities_not_read", reason=str(error))
            return known
        if found != self._found:
            self._reason = describe(found, self._spaces.preferred, known)
            self._found = found
        self._record(len(found))
        return known


def describe(found: Mapping[str, str], ours: Identity, known: Mapping[str, str]) -> str:
    """Return one line about foreign collections and what to do. known: the facedb of a collection, in words."""
    sentences = []
    for identity in sorted(set(found.values())):
        names = sorted(name for name, theirs in found.items() if theirs == identity)
        shown = ", ".join(f"{name} ({known[name]})" if name in known else name for name in names[:SHOWN])
        more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
        made = f"the faces of {shown}{more} were made by {identity or 'somebody else'}"
        sentences.append(f"{made}, and this service makes {ours}; {remedy(identity, ours)}")
    return ". ".join(sentences)
