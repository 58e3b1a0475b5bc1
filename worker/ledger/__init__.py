"""The workers' memory of jobs, in Redis: with it a job that is delivered twice takes effect once.

fs:image:<job id>, fs:image:<job id>:1  the images, in the image store (written by the gateway)
fs:names:<collection>                   how many automatic names were drawn; persists with the control data
fs:drawn:<origin>                       the first number that jobs of this origin drew
fs:adding:<collection>:<person id>      sorted set of the jobs that write this face, by the end of their time
fs:deletion:<collection>:<person id>    claim: the origin of the jobs that delete this face, and until when it excludes
                                        others
fs:deletion:<collection>:<id>:face      the same for the first face of a person, whose id is that of the person
fs:once:<tenant id>:<key>               idempotency record: see shared/idempotency.py

The origin of a job is the id of its request, or under an Idempotency-Key that of the first request with the key. Jobs
of one origin have the same effect: a job delivered again, or a request sent again.

A face is either written or deleted. A job that adds a face registers as its writer first, and skips faces whose
deletion is claimed; a deletion is claimed only while no job writes the face. Each step is one script, so one of the two
comes first. The claim outlives every job that may still write the face: those in flight, and, while an add under an
Idempotency-Key has no outcome, its repetitions for as long as its record lives. The member OPEN of fs:adding stands for
such an add, from its first write until its outcome is kept.

A face that is added to a person, or taken from one, goes by its own id. The person needs no claim: a store changes the
faces of a person who is there, and never makes one again (Store.replace). Only the last face of a person, with which
the person goes, must not come back with the add of the person's first one: bar_adding leaves a claim that has ended.
"""

import math
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final, cast

from redis import Redis

from shared import lua
from shared.contract import AddedFace, Status
from shared.control import DROP_AFTER_S, DROPPED
from shared.errors import Unavailable
from shared.idempotency import ORIGIN, OUTCOME, order, records, units
from shared.jobs import AddJob, DeleteFaceJob, DeleteJob, FacedbJob, Job, Once, Outcome, image_key
from shared.webhooks import DEAD, DEAD_OF, DUE, WAITING, delivery_key

Deletion = DeleteJob | DeleteFaceJob
"""A job that deletes a person, or a face of one."""

REMEMBER_S: Final = 3600
"""Seconds for which the names of a job are kept: far beyond its last possible redelivery, which its deadline bounds.
Under an Idempotency-Key without an outcome they are kept as long as the record."""

CLAIM_MARGIN_S: Final = 30
"""Seconds past its deadline in which a job may delete what it claimed: several time-outs of the store."""

SCANNED: Final = 1000
"""Keys that one command scans or removes; that takes the broker 1 to 2 ms."""

START_S: Final = 15
"""Seconds within which a job that registered as a writer begins to write, or does not: more than the broker's
time-out."""

WRITE_S: Final = START_S + 60
"""Seconds after which a registered writer has written or never will: 60 is the longest time-out of a store. A face
whose writer was killed, and whose job was not done again, cannot be deleted for that long."""

OUTLIVE_S: Final = DROP_AFTER_S
"""Seconds after which no job that is in flight now can write any more: above the longest permitted deadline."""

OPEN: Final = "open"
"""Member of fs:adding for an add whose outcome is not kept: a repetition under its Idempotency-Key writes the face
again."""

_RELEASED: Final = 0
"""End of the claim of a failed deletion: before any time of Redis."""

_WRITTEN: Final = -1
"""The answer of _CLAIM while a job writes the face."""

_DRAW: Final = lua.load(__name__, "draw_names")
_SKIP: Final = lua.load(__name__, "skip_names")
_BEGIN: Final = lua.load(__name__, "begin_adding", OPEN=OPEN)
_END: Final = lua.load(__name__, "end_adding")
_CLAIM: Final = lua.load(__name__, "claim_deletion", WRITTEN=_WRITTEN)
_BAR: Final = lua.load(__name__, "bar_adding", RELEASED=_RELEASED, WRITTEN=_WRITTEN)
_RELEASE: Final = lua.load(__name__, "release_deletion", RELEASED=_RELEASED)
_KEEP: Final = lua.load(__name__, "keep_outcome", OPEN=OPEN, OUTCOME=OUTCOME, ORIGIN=ORIGIN)


@dataclass(frozen=True)
class Ledger:
    """redis: the broker. images: the image store. Methods raise redis.RedisError."""

    redis: Redis
    images: Redis

    def image(self, job_id: str, number: int = 0) -> bytes | None:
        """Return an encoded image of a job, None when it has expired. It stays until the gateway has the outcome.
        number: from 0.
        """
        return cast("bytes | None", self.images.get(image_key(job_id, number)))

    def forget_images(self, job_id: str, count: int) -> None:
        """Remove the images of a job that ended, for which no gateway waits. count: how many it has."""
        if count:
            self.images.unlink(*(image_key(job_id, number) for number in range(count)))

    def outcome(self, once: Once) -> Outcome | None:
        """Return the outcome in an idempotency record, None without one."""
        kept = cast("bytes | None", self.redis.hget(once.record, OUTCOME))
        return None if kept is None else Outcome.model_validate_json(kept)

    def keep(self, job: Job, outcome: Outcome) -> Outcome:
        """Keep the outcome of a job with an Idempotency-Key, unless its record has one. Return the outcome that counts:
        the first. The faces that it added are not written again.
        """
        once = cast("Once", job.once)
        added = []
        if isinstance(job, AddJob) and outcome.status is Status.OK:
            faces = cast("list[AddedFace]", outcome.message)
            new = [uuid.UUID(face["person_id"]) for face in faces if "existing" not in face]
            ids = new if job.person_id is None else [job.face_id(0)]
            added = [_adding_key(job.collection, face_id) for face_id in ids]
        text = outcome.model_dump_json()
        keys = [once.record, order(once.record), _drawn_key(once.origin), *added]
        kept = self.redis.eval(_KEEP, len(keys), *keys, text, units(text) - 1, REMEMBER_S)
        return Outcome.model_validate_json(cast("bytes", kept))

    def draw_names(self, job: FacedbJob, count: int) -> list[str]:
        """Return `ID<n>` for each of count faces: n starts at 0 in each collection and never repeats. Jobs of one
        origin get the same names.
        """
        keys = [_names_key(job.collection), _drawn_key(job.origin)]
        keep_s = REMEMBER_S if job.once is None else job.once.keep_s
        first = cast("int", self.redis.eval(_DRAW, len(keys), *keys, count, keep_s))
        return [f"ID{first + face}" for face in range(count)]

    def names_drawn(self, collection: str) -> int:
        """Return how many automatic names were drawn in a collection."""
        return int(cast("bytes | None", self.redis.get(_names_key(collection))) or 0)

    def skip_names(self, collection: str, count: int) -> None:
        """Draw none of the names `ID0` to `ID<count - 1>` in a collection from now on: persons who come there have
        them.
        """
        if count:
            self.redis.eval(_SKIP, 1, _names_key(collection), count)

    def begin_adding(self, job: AddJob, person_ids: Sequence[uuid.UUID]) -> set[uuid.UUID]:
        """Register the job as a writer for WRITE_S from now. Return the faces that it may write: all whose deletion is
        not claimed. No other job deletes these meanwhile. Raises Unavailable when the facedb of the collection was
        dropped, so that they would be lost.
        """
        keys = [DROPPED, *_adding_and_claims(job.collection, person_ids)]
        if job.once is not None:
            keys.append(job.once.record)
        about = (job.collection, job.job_id, WRITE_S, OUTLIVE_S, len(person_ids))
        claimed = cast("list[int] | None", self.redis.eval(_BEGIN, len(keys), *keys, *about))
        if claimed is None:
            raise Unavailable("the facedb was dropped")
        return set(person_ids) - {person_ids[face] for face in claimed}

    def end_adding(self, job: AddJob, person_ids: Sequence[uuid.UUID]) -> list[uuid.UUID]:
        """End the registration after writing. Return the faces whose deletion is claimed nevertheless: by a worker of
        an earlier release, or after WRITE_S.
        """
        keys = _adding_and_claims(job.collection, person_ids)
        claimed = cast("list[int]", self.redis.eval(_END, len(keys), *keys, job.job_id))
        return [person_ids[face] for face in claimed]

    def forget_names(self, collection: str) -> None:
        """Forget how many names were drawn in a removed collection."""
        self.redis.delete(_names_key(collection))

    def forget_records(self, tenant_id: str) -> None:
        """Forget the idempotency records of a removed tenant, and outcomes that were to be delivered."""
        for webhooks in (DUE + tenant_id, DEAD_OF + tenant_id):
            for job_id in cast("list[bytes]", self.redis.zrange(webhooks, 0, -1)):
                self.redis.unlink(delivery_key(job_id.decode()))
                self.redis.zrem(WAITING, job_id)
            self.redis.unlink(webhooks)
        self.redis.zrem(DEAD, tenant_id)
        begin = records(tenant_id)
        found = self.redis.scan_iter(f"{begin}*", SCANNED)
        while some := list(islice(found, SCANNED)):
            self.redis.unlink(*some)
        self.redis.unlink(order(begin))

    def claim_deletion(self, job: Deletion) -> bool:
        """Claim the deletion of a face, or of a person, for the origin of the job. Return whether it holds the claim.

        The claim stops excluding others some time after the job's deadline, so that a face can be deleted again whose
        deletion was interrupted; its origin is remembered as long as a repetition may ask, or any job may write the
        face again. Raises Unavailable while a job writes the face.
        """
        lease_s = max(0, math.ceil(job.deadline - time.time())) + CLAIM_MARGIN_S
        keep_s = max(lease_s, OUTLIVE_S, 0 if job.once is None else job.once.keep_s)
        adding = _adding_key(job.collection, _deleted(job))
        held = self.redis.eval(_CLAIM, 2, _claim_key(job), adding, job.origin, lease_s, keep_s)
        if held == _WRITTEN:
            raise Unavailable("the face is being added")
        return bool(held)

    def claimed_deletion(self, job: Deletion) -> bool:
        """Return whether the origin of the job claimed the deletion last: then it deleted the missing face."""
        claim = cast("bytes | None", self.redis.get(_claim_key(job)))
        return claim is not None and claim.decode().split()[0] == job.origin

    def bar_adding(self, job: DeleteFaceJob) -> None:
        """Have no job write the first face of the person any more, for as long as one might. Others may claim to delete
        the person. Raises Unavailable while a job writes that face.
        """
        face = (job.collection, job.person_id)
        keep_s = max(OUTLIVE_S, 0 if job.once is None else job.once.keep_s)
        if self.redis.eval(_BAR, 2, _deletion_key(*face), _adding_key(*face), job.origin, keep_s) == _WRITTEN:
            raise Unavailable("the person is being added")

    def release_deletion(self, job: Deletion) -> None:
        """Let others claim a deletion that this job could not complete. The face may be deleted nevertheless, by a
        store that answered too late or by a repetition of the job, so the origin stays remembered, and no job writes
        the face.
        """
        self.redis.eval(_RELEASE, 1, _claim_key(job), job.origin)


def _names_key(collection: str) -> str:
    return f"fs:names:{collection}"


def _drawn_key(origin: str) -> str:
    return f"fs:drawn:{origin}"


def _adding_key(collection: str, person_id: uuid.UUID) -> str:
    return f"fs:adding:{collection}:{person_id}"


def _deletion_key(collection: str, person_id: uuid.UUID) -> str:
    return f"fs:deletion:{collection}:{person_id}"


def _deleted(job: Deletion) -> uuid.UUID:
    """Return the id of what the job deletes."""
    return job.face_id if isinstance(job, DeleteFaceJob) else job.person_id


def _claim_key(job: Deletion) -> str:
    key = _deletion_key(job.collection, _deleted(job))
    # The first face has the id of its person, and may go while the person stays.
    return f"{key}:face" if isinstance(job, DeleteFaceJob) and job.face_id == job.person_id else key


def _adding_and_claims(collection: str, person_ids: Sequence[uuid.UUID]) -> list[str]:
    return [key(collection, person_id) for key in (_adding_key, _deletion_key) for person_id in person_ids]
