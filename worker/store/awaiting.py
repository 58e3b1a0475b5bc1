"""Waiting for a collection that is not available yet. A command has the time, a job has not."""

import time
import uuid
from typing import Final

from worker.store.base import LONGEST_INDEXING_S, Store, StoreUnavailable

POLL_S: Final = 0.2

_NOBODY: Final = uuid.UUID(int=0)


def await_available(store: Store, collection: str) -> None:
    """Return when the points of the collection can be read. One that an old release made is indexed first: a million
    points take 14 s. Raises StoreError, and StoreUnavailable after LONGEST_INDEXING_S.
    """
    end = time.monotonic() + LONGEST_INDEXING_S
    while True:
        try:
            store.contains(collection, _NOBODY)
        except StoreUnavailable:
            if time.monotonic() > end:
                raise
            time.sleep(POLL_S)
        else:
            return
