"""Syncing of write-ahead logs: before each change is acknowledged, or every second."""

from typing import Final

import structlog

from worker.periodic import Periodic
from worker.store.edge.files import EdgeFiles

log = structlog.stdlib.get_logger(__name__)

SYNC_S: Final = 1.0
"""Seconds between syncs of the logs, as of Redis's by default. A sync takes 0.3 ms without the interpreter lock; the
engine's own flush writes everything and holds the lock for 3 ms, on a slow disk much longer."""


class LogSyncing:
    """always: whether every change is synced at once, rather than up to SYNC_S later."""

    def __init__(self, files: EdgeFiles, *, always: bool) -> None:
        self._files = files
        self._always = always
        self._unsynced: set[str] = set()
        self._syncing = Periodic("sync", self._sync_all, SYNC_S)
        self._syncing.start()

    def changed(self, collection: str) -> None:
        """Sync the collection's log, which has a change: now, or within SYNC_S. Raises OSError."""
        if self._always:
            self._files.sync_log(collection)
        else:
            self._unsynced.add(collection)

    def close(self) -> None:
        self._syncing.stop()

    def _sync_all(self) -> None:
        """Sync all logs with changes. Those that cannot be synced are tried again next time."""
        for collection in tuple(self._unsynced):
            self._unsynced.discard(collection)  # before, as it may change meanwhile
            try:
                self._files.sync_log(collection)
            except OSError as error:
                self._unsynced.add(collection)
                log.error("log_not_synced", collection=collection, reason=error.strerror)  # noqa: TRY400 -- that says it
