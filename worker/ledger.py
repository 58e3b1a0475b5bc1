"""What workers remember in Redis about jobs, so that a job delivered twice has the effect of one.

fs:image:<job id>, fs:image:<job id>:1  the images, in the image store (written by the gateway)
fs:names:<collection>                   how many automatic names were drawn; persists with the control data
fs:drawn:<origin>                       the first number that jobs of this origin drew
fs:deletion:<collection>:<person id>    the origin of the jobs that delete this face, and until when no other may
fs:once:<tenant id>:<key>               how a request with an Idempotency-Key ended: see shared/once.py

Jobs of one origin do the same: one that is delivered again, or sent again under its Idempotency-Key.
"""

import math
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final, cast

from redis import Redis

from shared.control import DROPPED
from shared.jobs import DeleteJob, FacedbJob, Once, Outcome, image_key
from shared.once import ORIGIN, OUTCOME, order, records, units

REMEMBER_S: Final = 3600
"""How long a job's names are kept: far beyond its last possible redelivery, which its deadline bounds. With an
Idempotency-Key that has no outcome they are kept as long as its record."""

CLAIM_MARGIN_S: Final = 30
"""How long past its deadline a job may take to delete what it claimed: several store time-outs."""

SCANNED: Final = 1000
"""Keys that are looked at, or removed, by one command: it takes the broker a millisecond or two."""

_RELEASED: Final = 0
"""When the claim of a deletion that failed ended, before any time that Redis may tell."""

# KEYS: counter, this job's draw. ARGV: how many, how long to remember.
_DRAW: Final = """
local drawn = redis.call('GET', KEYS[2])
if drawn then return tonumber(drawn) end
local first = redis.call('INCRBY', KEYS[1], ARGV[1]) - ARGV[1]
redis.call('SET', KEYS[2], first, 'EX', ARGV[2])
return first
"""

# KEYS: claim. ARGV: origin, seconds in which no other may claim, seconds to remember who did. Answers whether it holds.
_CLAIM: Final = """
local now = tonumber(redis.call('TIME')[1])
local held = redis.call('GET', KEYS[1])
if held then
  local owner, ends = string.match(held, '^(%x+) (%d+)$')
  if owner ~= ARGV[1] and tonumber(ends) > now then return 0 end
end
redis.call('SET', KEYS[1], ARGV[1] .. ' ' .. (now + ARGV[2]), 'EX', ARGV[3])
return 1
"""

# KEYS: record, order of the tenant's records, the first request's draw. ARGV: outcome, as how many more records it
# counts, seconds to remember the draw. Answers the outcome that is kept: the first one. A record whose time is over
# stays away. Who the first was is needed until there is an outcome, and what it drew by a job that is delivered again.
_KEEP: Final = f"""
if redis.call('EXISTS', KEYS[1]) == 0 then return ARGV[1] end
if redis.call('HSETNX', KEYS[1], '{OUTCOME}', ARGV[1]) == 0 then return redis.call('HGET', KEYS[1], '{OUTCOME}') end
redis.call('HDEL', KEYS[1], '{ORIGIN}')
for _ = 1, ARGV[2] do redis.call('RPUSHX', KEYS[2], '') end
redis.call('EXPIRE', KEYS[3], ARGV[3])
return ARGV[1]
"""


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

    def keep(self, once: Once, outcome: Outcome) -> Outcome:
        """Keep how it ended, unless it ended before. Returns the outcome that counts: the first."""
        text = outcome.model_dump_json()
        keys = [once.record, order(once.record), _drawn_key(once.origin)]
        kept = cast("bytes", self.redis.eval(_KEEP, len(keys), *keys, text, units(text) - 1, REMEMBER_S))
        return Outcome.model_validate_json(kept)

    def draw_names(self, job: FacedbJob, count: int) -> list[str]:
        """`ID<n>` for each of count faces: n starts at 0 in each collection and never repeats. Jobs of the same origin
        draw the same names again.
        """
        keys = [_names_key(job.collection), _drawn_key(job.origin)]
        keep_s = REMEMBER_S if job.once is None else job.once.keep_s
        first = cast("int", self.redis.eval(_DRAW, len(keys), *keys, count, keep_s))
        return [f"ID{first + face}" for face in range(count)]

    def is_dropped(self, collection: str) -> bool:
        """Whether the collection's facedb was dropped, so that what is added to it would be lost."""
        return self.redis.zscore(DROPPED, collection) is not None

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
        who claimed it last is remembered as long as a repetition may ask.
        """
        lease_s = max(0, math.ceil(job.deadline - time.time())) + CLAIM_MARGIN_S
        keep_s = lease_s if job.once is None else max(lease_s, job.once.keep_s)
        return bool(
            self.redis.eval(_CLAIM, 1, _deletion_key(job.collection, job.person_id), job.origin, lease_s, keep_s)
        )

    def claimed_deletion(self, job: DeleteJob) -> bool:
        """Whether the last who claimed the deletion was of this origin: what is gone was then deleted by it."""
        owner, _ = _claim(self.redis.get(_deletion_key(job.collection, job.person_id)))
        return owner == job.origin

    def release_deletion(self, job: DeleteJob) -> None:
        """Let others claim what this job holds and could not do. It may have been done all the same, by a store that
        did not answer in time, so who claimed it stays remembered.
        """
        key = _deletion_key(job.collection, job.person_id)
        self.redis.set(key, f"{job.origin} {_RELEASED}", xx=True, keepttl=True)

    def deleted(self, collection: str, person_ids: Sequence[uuid.UUID]) -> list[uuid.UUID]:
        """Those of the faces that are, or lately were, being deleted."""
        claims = self.redis.mget([_deletion_key(collection, person_id) for person_id in person_ids])
        return [
            person_id
            for person_id, claim in zip(person_ids, cast("list[bytes | None]", claims), strict=True)
            if _claim(claim)[1] != _RELEASED
        ]


def _claim(value: Any) -> tuple[str, int]:
    """What a claim says: its origin, and the Unix time at which it ends or _RELEASED, as where there is none."""
    if value is None:
        return "", _RELEASED
    origin, ends = value.decode().split()
    return origin, int(ends)


def _names_key(collection: str) -> str:
    return f"fs:names:{collection}"


def _drawn_key(origin: str) -> str:
    return f"fs:drawn:{origin}"


def _deletion_key(collection: str, person_id: uuid.UUID) -> str:
    return f"fs:deletion:{collection}:{person_id}"
