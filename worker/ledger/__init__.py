"""What workers remember in Redis about jobs, so that a job delivered twice has the effect of one.

fs:image:<job id>, fs:image:<job id>:1  the images, in the image store (written by the gateway)
fs:names:<collection>                   how many automatic names were drawn; persists with the control data
fs:drawn:<origin>                       the first number that jobs of this origin drew
fs:adding:<collection>:<person id>      the jobs that write this face, and until when; sorted set
fs:deletion:<collection>:<person id>    the origin of the jobs that delete this face, and until when no other may
fs:once:<tenant id>:<key>               how a request with an Idempotency-Key ended: see shared/idempotency.py

Jobs of one origin do the same: one that is delivered again, or sent again under its Idempotency-Key.

A face is either written or deleted: a job that adds it says so before it writes, and leaves out what somebody claimed
to delete; a deletion is claimed only while nobody writes the face. Each is one script, so one of the two is first. The
claim outlives every job that may yet write the face: those in flight, and, where an add under an Idempotency-Key has
no outcome yet, those that repeat it as long as its record lives. That there is such an add is what fs:adding tells, by
its member OPEN, from its first write until its outcome is kept.
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
from shared.jobs import AddJob, DeleteJob, FacedbJob, Job, Once, Outcome, image_key

REMEMBER_S: Final = 3600
"""How long a job's names are kept: far beyond its last possible redelivery, which its deadline bounds. With an
Idempotency-Key that has no outcome they are kept as long as its record."""

CLAIM_MARGIN_S: Final = 30
"""How long past its deadline a job may take to delete what it claimed: several store time-outs."""

SCANNED: Final = 1000
"""Keys that are looked at, or removed, by one command: it takes the broker a millisecond or two."""

START_S: Final = 15
"""Seconds within which a job that said that it writes faces begins to, or does not: the broker's time-out and more."""

WRITE_S: Final = START_S + 60
"""Seconds from when a job says that it writes faces until it has written them or never will: 60 is the longest time-out
of a store. So long a face cannot be deleted of which the writer was killed and its job not done again."""

OUTLIVE_S: Final = DROP_AFTER_S
"""Seconds after which no job that is in flight now can write any more: above the longest deadline that there may be."""

OPEN: Final = "open"
"""Member of fs:adding of an add whose outcome is not kept: a repetition under its Idempotency-Key writes the face
again."""

_RELEASED: Final = 0
"""When the claim of a deletion that failed ended, before any time that Redis may tell."""

_WRITTEN: Final = -1
"""What _CLAIM answers while somebody writes the face."""

_DRAW: Final = lua.load(__name__, "draw_names")
_BEGIN: Final = lua.load(__name__, "begin_adding", OPEN=OPEN)
_END: Final = lua.load(__name__, "end_adding")
_CLAIM: Final = lua.load(__name__, "claim_deletion", WRITTEN=_WRITTEN)
_RELEASE: Final = lua.load(__name__, "release_deletion", RELEASED=_RELEASED)
_KEEP: Final = lua.load(__name__, "keep_outcome", OPEN=OPEN, OUTCOME=OUTCOME, ORIGIN=ORIGIN)


@dataclass(frozen=True)
class Ledger:
    """redis: control data and claims. images: where images wait. Methods raise redis.RedisError."""

    redis: Redis
    images: Redis

    def image(self, job_id: str, number: int = 0) -> bytes | None:
        """An image of a job, None when its time is over. It stays until the gateway has the outcome. number: 0 is the
        first.
        """
        return cast("bytes | None", self.images.get(image_key(job_id, number)))

    def outcome(self, once: Once) -> Outcome | None:
        """How the request with that Idempotency-Key ended, None if it has not."""
        kept = cast("bytes | None", self.redis.hget(once.record, OUTCOME))
        return None if kept is None else Outcome.model_validate_json(kept)

    def keep(self, job: Job, outcome: Outcome) -> Outcome:
        """Keep how the request of a job with an Idempotency-Key ended, unless it ended before. Returns the outcome that
        counts: the first. What it added is not written again.
        """
        once = cast("Once", job.once)
        added = []
        if isinstance(job, AddJob) and outcome.status is Status.OK:
            faces = cast("list[AddedFace]", outcome.message)
            added = [_adding_key(job.collection, uuid.UUID(face["person_id"])) for face in faces]
        text = outcome.model_dump_json()
        keys = [once.record, order(once.record), _drawn_key(once.origin), *added]
        kept = self.redis.eval(_KEEP, len(keys), *keys, text, units(text) - 1, REMEMBER_S)
        return Outcome.model_validate_json(cast("bytes", kept))

    def draw_names(self, job: FacedbJob, count: int) -> list[str]:
        """`ID<n>` for each of count faces: n starts at 0 in each collection and never repeats. Jobs of the same origin
        draw the same names again.
        """
        keys = [_names_key(job.collection), _drawn_key(job.origin)]
        keep_s = REMEMBER_S if job.once is None else job.once.keep_s
        first = cast("int", self.redis.eval(_DRAW, len(keys), *keys, count, keep_s))
        return [f"ID{first + face}" for face in range(count)]

    def begin_adding(self, job: AddJob, person_ids: Sequence[uuid.UUID]) -> set[uuid.UUID]:
        """Those of the faces that the job may write, within WRITE_S from now: without the ones that somebody deletes or
        deleted. Nobody else deletes them meanwhile. Raises Unavailable when the collection's facedb was dropped, so
        that what is added would be lost.
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
        """Say that the job has written the faces. Returns those that somebody deletes all the same: a worker of an
        earlier release, or one that waited until the job's time to write was over.
        """
        keys = _adding_and_claims(job.collection, person_ids)
        claimed = cast("list[int]", self.redis.eval(_END, len(keys), *keys, job.job_id))
        return [person_ids[face] for face in claimed]

    def forget_names(self, collection: str) -> None:
        """Forget how many names were drawn in a collection that is no more."""
        self.redis.delete(_names_key(collection))

    def forget_records(self, tenant_id: str) -> None:
        """Forget what a tenant that is no more asked for under its Idempotency-Keys."""
        begin = records(tenant_id)
        found = self.redis.scan_iter(f"{begin}*", SCANNED)
        while some := list(islice(found, SCANNED)):
            self.redis.unlink(*some)
        self.redis.unlink(order(begin))

    def claim_deletion(self, job: DeleteJob) -> bool:
        """Whether jobs of this origin, of all that try at this time, are the ones to delete the face. The claim ends
        some time after the job's deadline, so that a face whose deletion was cut short for good can be deleted again;
        who claimed it last is remembered as long as a repetition may ask, or any job may write the face again. Raises
        Unavailable while one writes it.
        """
        lease_s = max(0, math.ceil(job.deadline - time.time())) + CLAIM_MARGIN_S
        keep_s = max(lease_s, OUTLIVE_S, 0 if job.once is None else job.once.keep_s)
        face = (job.collection, job.person_id)
        held = self.redis.eval(_CLAIM, 2, _deletion_key(*face), _adding_key(*face), job.origin, lease_s, keep_s)
        if held == _WRITTEN:
            raise Unavailable("the face is being added")
        return bool(held)

    def claimed_deletion(self, job: DeleteJob) -> bool:
        """Whether the last who claimed the deletion was of this origin: what is gone was then deleted by it."""
        claim = cast("bytes | None", self.redis.get(_deletion_key(job.collection, job.person_id)))
        return claim is not None and claim.decode().split()[0] == job.origin

    def release_deletion(self, job: DeleteJob) -> None:
        """Let others claim what this job holds and could not do. It may have been done all the same, by a store that
        did not answer in time or by a repetition of the job, so who claimed it stays remembered, and nobody writes the
        face.
        """
        self.redis.eval(_RELEASE, 1, _deletion_key(job.collection, job.person_id), job.origin)


def _names_key(collection: str) -> str:
    return f"fs:names:{collection}"


def _drawn_key(origin: str) -> str:
    return f"fs:drawn:{origin}"


def _adding_key(collection: str, person_id: uuid.UUID) -> str:
    return f"fs:adding:{collection}:{person_id}"


def _deletion_key(collection: str, person_id: uuid.UUID) -> str:
    return f"fs:deletion:{collection}:{person_id}"


def _adding_and_claims(collection: str, person_ids: Sequence[uuid.UUID]) -> list[str]:
    return [key(collection, person_id) for key in (_adding_key, _deletion_key) for person_id in person_ids]
