"""The call log of one gateway process.

An entry is handed to the system before its caller is answered, so a killed process loses none of an answered call.
Once a second the file is synced, and then the head is stored in the broker. While the disk is full or broken, entries
wait in memory; when as many wait as are allowed, `is_full` tells the gateway to refuse further calls, so that no call
is done of which there is no entry.
"""

import asyncio
import os
import socket
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import structlog
from redis import RedisError
from redis.asyncio import Redis

from gateway.call_log.files import WAITING, Files
from gateway.call_log.retention import Expired, expired
from gateway.metrics import CallLogMetrics
from gateway.throttled_log import ThrottledLog
from shared.call_log import heads
from shared.call_log.chain import Seal, new_chain
from shared.call_log.heads import HEADS, Head
from shared.errors import OperatorError

log = structlog.stdlib.get_logger(__name__)

SYNC_S: Final = 1.0
"""Seconds between two syncs: what a machine that loses its power loses at most."""

CLOSE_S: Final = 5.0
"""Seconds for which the last write is tried when the gateway stops while disk or broker are away."""

RETRY_S: Final = 0.2

RETENTION_EVERY: Final = timedelta(hours=1)

WARN_EVERY_S: Final = 60.0


class CallLog:
    """The log of one process. folder: is made. days: how long files are kept. most_waiting: entries in memory."""

    def __init__(
        self,
        folder: Path,
        seal: Seal,
        days: int,
        redis: Redis,
        gateway_id: str,
        metrics: CallLogMetrics,
        most_waiting: int = WAITING,
    ) -> None:
        self._folder = folder
        self._kept = timedelta(days=days)
        self._redis = redis
        self._metrics = metrics
        self._most_waiting = most_waiting
        self._host = socket.gethostname()
        self._files = Files(folder, new_chain(gateway_id, datetime.now(UTC)), self._host, seal)
        self._refused: Counter[tuple[str, str]] = Counter()
        self._stored = 0
        self._retention_due = datetime.min.replace(tzinfo=UTC)
        self._warnings = ThrottledLog(log, WARN_EVERY_S)

    def open(self) -> None:
        """Begin the first file. Raises OperatorError if the folder cannot be used."""
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._files.turn()
        except OSError as error:
            raise OperatorError(
                f"cannot write the call log in {self._folder}: {error.strerror}; mend that, or choose another folder "
                "with FACESEARCH_CALL_LOG_DIR"
            ) from None

    @property
    def is_full(self) -> bool:
        """Whether no further entry may wait, so that nothing may be done of which there would be none."""
        return self._files.waiting >= self._most_waiting

    def add(self, fields: Mapping[str, Any]) -> None:
        """Add the entry of a call. fields: see shared/call_log."""
        self._files.append("call", fields)
        self._metrics.entries.inc()
        if self._files.failure is not None:
            self._report_failure()

    def count_refused(self, call: str, status: str) -> None:
        """Count a request without a valid key: an entry for each would let anybody fill the disk."""
        self._refused[call, status] += 1

    async def run(self) -> None:
        """Sync, store the head, begin new files and remove old ones until cancelled."""
        while True:
            await asyncio.sleep(SYNC_S)
            self._write_refused()
            await self._turn()
            await self.sync()
            await self._remove_expired()

    async def close(self) -> None:
        """Write the last entry and sync. What cannot be written within CLOSE_S is lost, which is logged."""
        self._write_refused()
        self._files.append("close", {})
        for _ in range(int(CLOSE_S / RETRY_S)):
            if await self.sync():
                break
            await asyncio.sleep(RETRY_S)
        if self._files.waiting:
            log.error("call_log_lost", entries=self._files.waiting)
        self._files.close()

    async def _turn(self) -> None:
        """Begin a new file where it is time."""
        try:
            before = self._files.turn()
            if before is not None:
                await asyncio.to_thread(_sync_and_close, before)
        except OSError as error:
            self._warnings.warn("call_log_cannot_begin_file", error=error.strerror)

    async def sync(self) -> bool:
        """Write what waits, sync the file and store the head. Returns whether all of it was done."""
        self._files.write()
        if self._files.failure is not None:
            self._report_failure()
            return False
        self._metrics.waiting.set(0)
        number, hash_ = self._files.end
        if number == self._stored:
            return True
        at = datetime.now(UTC)
        try:
            await asyncio.to_thread(_sync_and_close, self._files.descriptor())
            head = Head(chain=self._files.name, number=number, hash=hash_, at=at, host=self._host)
            await self._redis.hset(HEADS, head.chain, head.model_dump_json())
        except (RedisError, OSError) as error:
            self._warnings.warn("call_log_head_kept_back", error=type(error).__name__)
            return False
        self._stored = number
        return True

    def _write_refused(self) -> None:
        counts, self._refused = self._refused, Counter()
        for (call, status), count in counts.items():
            self._files.append("refused", {"call": call, "status": status, "count": count})

    async def _remove_expired(self) -> None:
        """Remove files that are older than they are kept, and heads of chains that are. A process that is killed here
        has recorded a removal that did not happen, which the next one repeats.
        """
        now = datetime.now(UTC)
        if now < self._retention_due or self._files.waiting:
            return
        self._retention_due = now + RETENTION_EVERY
        before = now - self._kept
        try:
            found = await asyncio.to_thread(expired, self._folder, before)
            if found:
                for each in found:
                    self._files.append("removed", each.fields())
                if await self.sync():
                    await asyncio.to_thread(_remove, found)
                    log.info("call_log_files_removed", count=len(found))
            records = await self._redis.hvals(HEADS)
            # A day later than the files, so that no other gateway finds a file whose head is gone.
            if gone := heads.outdated(heads.read(records), before - timedelta(days=1)):
                await self._redis.hdel(HEADS, *gone)
        except (RedisError, OSError, ValueError) as error:
            self._warnings.warn("call_log_retention_failed", error=type(error).__name__)

    def _report_failure(self) -> None:
        failure = self._files.failure
        self._metrics.waiting.set(self._files.waiting)
        reason = None if failure is None else failure.strerror
        self._warnings.warn("call_log_not_written", error=reason, waiting=self._files.waiting, refuses=self.is_full)


def _sync_and_close(descriptor: int) -> None:
    """Raises OSError."""
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove(found: list[Expired]) -> None:
    for each in found:
        each.path.unlink(missing_ok=True)
