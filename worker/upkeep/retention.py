"""Removes the faces of facedbs that are kept for a limited time (shared/control/retentions.py) and are older.

One worker at a time makes a pass through these facedbs, and the next pass is an hour later. Each face is deleted as a
caller would: by a claim, so that no repeated job brings it back, the last one of a person with the person. What a
killed worker left is found by the next pass.
A day after the first deletion the bytes of all that went are erased, as `facesearch erase --now` does; sooner where the
admin API erased persons (fs:retention-erase).
"""

import math
import threading
import time
from collections.abc import Callable
from typing import Final, cast

import structlog
from redis import ResponseError
from redis.client import Pipeline

from shared.control import Retention
from shared.control.inventory import retained
from shared.control.retentions import ERASE, ERASE_AFTER_S, TURN
from shared.errors import ContractError
from shared.jobs import DeleteFaceJob, new_gateway_id, new_job_id, new_request_id
from shared.worker_request import RENEW, RENEW_EVERY_S
from worker.face_actions import delete_face
from worker.periodic import Periodic
from worker.runtime import Runtime
from worker.store.base import PAGE, Face, Point, Position, StoreError
from worker.store.faces import faces_of
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

DELETE_S: Final = 60.0
"""Seconds that one deletion may take: the longest time-out of a store. So long, and some more, a killed worker's claim
excludes others."""


class _TurnLostError(Exception):
    """An operator has changed a retention, or this worker was held up and another one goes on."""


class RetentionSweeper:
    """Makes a pass when it is due."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime, self._store, self._redis = runtime, runtime.store, runtime.ledger.redis
        self._id, self._ending = new_gateway_id(), threading.Event()
        self._renewed = 0.0
        self._polling = Periodic("retention", self.poll, POLL_INTERVAL_S)

    def start(self) -> None:
        self._ending.clear()
        self._polling.start()

    def stop(self) -> None:
        """Stop polling. A pass ends after the present face."""
        self._ending.set()
        self._polling.stop()

    def poll(self) -> None:
        """Make a pass if one is due and no other worker does. Raises RedisError."""
        if not self._redis.set(TURN, self._id, nx=True, ex=LEASE_S):
            return
        try:
            complete = self._pass(Pace(self._ending))
        except (AbandonedError, _TurnLostError):
            self._renew(0)
            return
        if not complete:
            self._runtime.metrics.retention_failed()
        self._renew(min(PASS_EVERY_S, self._until_next_erasure()) if complete else RETRY_S)

    def _pass(self, pace: Pace) -> bool:
        """Return whether everything could be done."""
        complete = True
        for facedb, retention in retained(self._redis):
            try:
                self._sweep(facedb.collection, retention, pace)
            except StoreError as error:
                log.warning("old_faces_not_removed", collection=facedb.collection, reason=str(error))
                complete = False
        return self._erase(pace) and complete

    def _sweep(self, collection: str, retention: Retention, pace: Pace) -> None:
        """Delete the faces of a collection that are too old, those of the oldest person first. Raises StoreError."""
        now = self._now()
        store, oldest, ends_untimed = (
            matching(self._store, collection),
            retention.oldest(now),
            retention.ends_untimed(now),
        )

        def is_old(face: Face) -> bool:
            return ends_untimed if face.added is None else face.added <= oldest

        after: Position | None = None
        removed = 0
        pace.begin()
        try:
            while True:
                # Nobody has a face that is older than the person.
                page = [person for person in store.page(collection, after, PAGE) if (person.added or 0) <= oldest]
                points = {point.person_id: point for point in store.get(collection, [one.person_id for one in page])}
                for point in (points[one.person_id] for one in page if one.person_id in points):
                    for face in filter(is_old, faces_of(point)):
                        removed += self._delete(collection, point, face)
                        pace.rest()
                        self._keep_turn()
                if len(page) < PAGE:
                    return
                after = page[-1].position
                pace.rest()
                self._keep_turn()
        finally:
            if removed:
                log.info("old_faces_removed", collection=collection, count=removed)

    def _delete(self, collection: str, point: Point, face: Face) -> bool:
        """Delete a face, and return whether it is done: not where another job deletes it, or writes it at this moment.
        Raises StoreError.
        """
        # Before the deletion: otherwise the bytes stay if the worker is killed in between.
        self._redis.zadd(ERASE, {collection: self._now()}, nx=True)
        job = DeleteFaceJob(
            job_id=new_job_id(self._id, new_request_id()),
            deadline=time.time() + DELETE_S,
            collection=collection,
            person_id=point.person_id,
            face_id=face.face_id,
        )
        try:
            delete_face(job, self._runtime)
        except ContractError as error:
            log.debug("old_face_left", reason=type(error).__name__)
            return False
        self._runtime.metrics.too_old()
        return True

    def _erase(self, pace: Pace) -> bool:
        """Erase the bytes of what was deleted a day ago or more. Return whether everything could be erased."""
        redis, until = self._redis, self._now() - ERASE_AFTER_S
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
        first = cast("list[tuple[bytes, float]]", self._redis.zrange(ERASE, 0, 0, withscores=True))
        return max(1, math.ceil(first[0][1] + ERASE_AFTER_S - self._now())) if first else PASS_EVERY_S

    def _rewrites_append_only_file(self) -> bool:
        """Have the broker rewrite its append-only file, where names are that passed through it. Return False while it
        does so for another reason, since that began earlier. A hosted broker that refuses does it in its own time.
        """
        redis = self._redis
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
        seconds, microseconds = self._redis.time()
        return min(time.time(), seconds + microseconds / 1e6)

    def _keep_turn(self) -> None:
        """Renew the turn, at most once every RENEW_EVERY_S. Raises _TurnLostError."""
        if time.monotonic() - self._renewed < RENEW_EVERY_S:
            return
        if not self._renew(LEASE_S):
            raise _TurnLostError
        self._renewed = time.monotonic()

    def _renew(self, seconds: int) -> bool:
        return bool(self._redis.eval(RENEW, 1, TURN, self._id, seconds))
