"""Removes the faces of facedbs that are kept for a limited time (shared/control/retentions.py) and are older.

One worker at a time makes a pass through these facedbs, and the next pass is an hour later. Each face is deleted as a
caller would: by a claim, so that no repeated job brings it back. What a killed worker left is found by the next pass.
A day after the first deletion the bytes of all that went are erased, as `facesearch erase --now` does; sooner where the
admin API erased persons (fs:retention-erase).
"""

import math
import threading
import time
import uuid
from collections.abc import Callable
from typing import Final, cast

import structlog
from redis import ResponseError
from redis.client import Pipeline

from shared.control import Retention
from shared.control.inventory import retained
from shared.control.retentions import ERASE, ERASE_AFTER_S, TURN
from shared.errors import Unavailable
from shared.jobs import DeleteJob, new_gateway_id, new_job_id, new_request_id
from shared.worker_request import RENEW, RENEW_EVERY_S
from worker.ledger import Ledger
from worker.periodic import Periodic
from worker.store.base import PAGE, Person, Position, Store, StoreError
from worker.store.views import matching
from worker.upkeep.kept_answers import forget_deleted
from worker.upkeep.pace import AbandonedError, Pace

log = structlog.stdlib.get_logger(__name__)

POLL_INTERVAL_S: Final = 2.0
"""An operator who has switched it on wants to see that it works; polling is one SET."""

PASS_EVERY_S: Final = 3600
"""Ages are in days. A pass reads persons whose oldest face is too old, and nobody else."""

RETRY_S: Final = 600
"""Seconds after which a pass is made again that could not do everything."""

LEASE_S: Final = 60
"""Seconds after which the turn of a killed worker is over: far more than one page takes."""

_BEFORE_ANY_TIME: Final = (0, uuid.UUID(int=2**128 - 1))
"""The position after all persons without a time of adding."""


class _TurnLostError(Exception):
    """An operator has changed a retention, or this worker was held up and another one goes on."""


class RetentionSweeper:
    """Makes a pass when it is due. removed: called with the number of faces after each page."""

    def __init__(self, ledger: Ledger, store: Store, removed: Callable[[int], None]) -> None:
        self._ledger, self._store, self._removed = ledger, store, removed
        self._id, self._ending = new_gateway_id(), threading.Event()
        self._renewed = 0.0
        self._polling = Periodic("retention", self.poll, POLL_INTERVAL_S)

    def start(self) -> None:
        self._ending.clear()
        self._polling.start()

    def stop(self) -> None:
        """Stop polling. A pass ends after the present page."""
        self._ending.set()
        self._polling.stop()

    def poll(self) -> None:
        """Make a pass if one is due and no other worker does. Raises RedisError."""
        redis = self._ledger.redis
        if not redis.set(TURN, self._id, nx=True, ex=LEASE_S):
            return
        try:
            complete = self._pass(Pace(self._ending))
        except (AbandonedError, _TurnLostError):
            self._renew(0)
            return
        self._renew(min(PASS_EVERY_S, self._until_next_erasure()) if complete else RETRY_S)

    def _pass(self, pace: Pace) -> bool:
        """Return whether everything could be done."""
        complete = True
        for facedb, retention in retained(self._ledger.redis):
            try:
                self._sweep(facedb.collection, retention, pace)
            except StoreError as error:
                log.warning("old_faces_not_removed", collection=facedb.collection, reason=str(error))
                complete = False
        return self._erase(pace) and complete

    def _sweep(self, collection: str, retention: Retention, pace: Pace) -> None:
        """Delete the faces of a collection that are too old, the oldest first. Raises StoreError."""
        now = self._now()
        store, oldest = matching(self._store, collection), retention.oldest(now)
        after: Position | None = None if retention.ends_untimed(now) else _BEFORE_ANY_TIME
        total = 0
        pace.begin()
        while True:
            page = store.page(collection, after, PAGE)
            old = [person for person in page if (person.added or 0) <= oldest]
            deleted = sum(self._delete(store, collection, person) for person in old)
            if deleted:
                total += deleted
                self._removed(deleted)
            if len(old) < PAGE:
                break
            after = old[-1].position
            pace.rest()
            self._keep_turn()
        if total:
            log.info("old_faces_removed", collection=collection, count=total)

    def _delete(self, store: Store, collection: str, person: Person) -> int:
        """Delete a person, and return the number of faces that went: none if another job deletes it, or writes it at
        this moment. Raises StoreError.
        """
        redis = self._ledger.redis
        job = DeleteJob(
            job_id=new_job_id(self._id, new_request_id()),
            deadline=time.time(),
            collection=collection,
            person_id=person.person_id,
        )
        try:
            if not self._ledger.claim_deletion(job):
                return 0
        except Unavailable:
            return 0
        redis.zadd(ERASE, {collection: self._now()}, nx=True)  # before the deletion, or a kill leaves the bytes
        try:
            store.delete(collection, person.person_id)
        except StoreError:
            self._ledger.release_deletion(job)
            raise
        return 1

    def _erase(self, pace: Pace) -> bool:
        """Erase the bytes of what was deleted a day ago or more. Return whether everything could be erased."""
        redis, until = self._ledger.redis, self._now() - ERASE_AFTER_S
        due = cast("list[tuple[bytes, float]]", redis.zrange(ERASE, "-inf", until, byscore=True, withscores=True))
        if not due:
            return True

        def rest() -> None:
            pace.rest()
            self._keep_turn()
            pace.begin()

        pace.begin()
        done = {member: score for member, score in due if self._compact(member.decode(), rest)}
        try:
            forget_deleted(redis, self._store, rest)
        except StoreError as error:
            log.warning("answers_not_erased", reason=str(error))
            return False
        if not self._rewrites_append_only_file():
            return False

        def take_off(pipe: Pipeline) -> None:
            # One whose score has changed meanwhile has new faces to be erased.
            still = [member for member, score in done.items() if pipe.zscore(ERASE, member) == score]
            pipe.multi()
            if still:
                pipe.zrem(ERASE, *still)

        redis.transaction(take_off, ERASE)
        return len(done) == len(due)

    def _compact(self, collection: str, rest: Callable[[], None]) -> bool:
        """Return whether the collection's files could be rewritten. A Qdrant server does that by itself."""
        try:
            self._store.compact(collection, rest)
        except StoreError as error:
            log.warning("bytes_not_erased", collection=collection, reason=str(error))
            return False
        log.info("bytes_erased", collection=collection)
        return True

    def _until_next_erasure(self) -> int:
        """Return the seconds until bytes are to be erased next, at least 1."""
        first = cast("list[tuple[bytes, float]]", self._ledger.redis.zrange(ERASE, 0, 0, withscores=True))
        return max(1, math.ceil(first[0][1] + ERASE_AFTER_S - self._now())) if first else PASS_EVERY_S

    def _rewrites_append_only_file(self) -> bool:
        """Have the broker rewrite its append-only file, where names are that passed through it. Return False while it
        does so for another reason, since that began earlier. A hosted broker that refuses does it in its own time.
        """
        redis = self._ledger.redis
        state = redis.info("persistence")
        if not state["aof_enabled"]:
            return True
        if state["aof_rewrite_in_progress"] or state["aof_rewrite_scheduled"]:
            return False
        try:
            redis.bgrewriteaof()
        except ResponseError as error:
            log.info("append_only_file_not_rewritten", reason=str(error))
        return True

    def _now(self) -> float:
        """Return the Unix time: the earlier one of this machine's and the broker's, so that one wrong clock deletes
        nothing.
        """
        seconds, microseconds = self._ledger.redis.time()
        return min(time.time(), seconds + microseconds / 1e6)

    def _keep_turn(self) -> None:
        """Renew the turn, at most once every RENEW_EVERY_S. Raises _TurnLostError."""
        if time.monotonic() - self._renewed < RENEW_EVERY_S:
            return
        if not self._renew(LEASE_S):
            raise _TurnLostError
        self._renewed = time.monotonic()

    def _renew(self, seconds: int) -> bool:
        return bool(self._ledger.redis.eval(RENEW, 1, TURN, self._id, seconds))
