"""Large collections of a release that had no int8: processes of their own optimise them, before anybody uses them.

That takes seconds, a million points 10 of them, and a job may not wait so long: while it goes on the collection is not
available.
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
"""How long jobs wait for one, from its start: below the hard limit of a job, and enough for 200,000 points."""


class BackgroundIndexing:
    """lock: descriptor of the lock on the shards' folder, which those processes hold too: should one outlive this
    process, nobody else opens its shard.
    """

    def __init__(self, lock: int) -> None:
        self._lock = lock
        self._running: dict[str, tuple[subprocess.Popen[bytes], float]] = {}

    def await_indexed(self, collection: str, shard: Path) -> None:
        """Have a shard that nobody has open optimised; to be called by one thread for each collection.

        Returns when it is, or if that failed: searches then take longer. Raises StoreUnavailable while it goes on.
        """
        if collection not in self._running:
            try:
                self._running[collection] = segments.optimize_apart(shard, self._lock), time.monotonic()
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
        """Let the collection's shard be as it is. Nothing happens if nobody optimises it."""
        process, _ = self._running.pop(collection, (None, 0))
        if process is not None:
            process.kill()
            process.wait()

    def close(self) -> None:
        for collection in tuple(self._running):
            self.cancel(collection)
