"""For commands, which have more time than a job: a collection that is not available yet."""

import time
import uuid
from typing import Final

from worker.store.base import Store, StoreUnavailable
from worker.store.edge.catching_up import LONGEST_S

POLL_S: Final = 0.2

_NOBODY: Final = uuid.UUID(int=0)


def await_available(store: Store, collection: str) -> None:
    """Return when points of the collection can be read: one of an old release is indexed first, among a million for
    14 s. Raises StoreError, and StoreUnavailable when it takes longer than indexing may.
    """
    end = time.monotonic() + LONGEST_S
    while True:
        try:
            store.contains(collection, _NOBODY)
        except StoreUnavailable:
            if time.monotonic() > end:
                raise
            time.sleep(POLL_S)
        else:
            return
