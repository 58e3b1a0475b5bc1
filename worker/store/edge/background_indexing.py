"""Indexing of large collections that a release without int8 made, in child processes, before their first use.

A million points take 10 s, longer than a job may wait: meanwhile the collection is not available.
"""

import subprocess
import time
from pathlib import Path
from typing import Final

import structlog

from worker.store.base import LONGEST_INDEXING_S, StoreUnavailable
from worker.store.edge import segments

log = structlog.stdlib.get_logger(__name__)

WAIT_S: Final = 2.0
"""Seconds that a job waits for a process, from its start: less than a job's hard limit, enough for 200,000 points."""


class BackgroundIndexing:
    """lock: descriptor of the lock on the shards' folder. The child processes inherit it, so that no other process
    opens a shard while a child that outlived this process works on it.
    """

    def __init__(self, lock: int) -> None:
        self._lock = lock
        self._running: dict[str, tuple[subprocess.Popen[bytes], float]] = {}

    def await_indexed(self, collection: str, shard: Path) -> None:
        """Index a shard that is not open; called by one thread at a time for each collection.

        Returns when it is indexed, or when that failed, after which searches take longer. Raises StoreUnavailable while
        it goes on.
        """
        if collection not in self._running:
            try:
                self._running[collection] = segments.start_optimizer(shard, self._lock), time.monotonic()
            except OSError as error:
                log.warning("collection_not_indexed", collection=collection, reason=error.strerror)
                return
        process, begun = self._running[collection]
        try:
            code = process.wait(max(0.0, begun + WAIT_S - time.monotonic()))
        except subprocess.TimeoutExpired:
            seconds = round(time.monotonic() - begun, 1)
            if seconds < LONGEST_INDEXING_S:
                raise StoreUnavailable(
                    f"{collection} has been being indexed for {seconds} s; try again later"
                ) from None
            self.cancel(collection)
            code = process.returncode
        self._running.pop(collection, None)
        if code:
            log.warning("collection_not_indexed", collection=collection, reason=f"exit status {code}")
        else:
            log.info("collection_indexed", collection=collection, seconds=round(time.monotonic() - begun, 1))

    def cancel(self, collection: str) -> None:
        """End the indexing of the collection, if there is one; its shard stays valid."""
        process, _ = self._running.pop(collection, (None, 0))
        if process is not None:
            process.kill()
            process.wait()

    def close(self) -> None:
        for collection in tuple(self._running):
            self.cancel(collection)
