"""What workers remember in Redis about jobs, so that a job delivered twice has the effect of one.

fs:image:<job id>                       the image, in the image store (written by the gateway)
fs:names:<collection>                   how many automatic names were drawn; persists with the control data
fs:drawn:<job id>                       the first number this job drew
fs:deletion:<collection>:<person id>    the job that deletes this face
"""

import math
import time
import uuid
from dataclasses import dataclass
from typing import Final, cast

from redis import Redis

from shared.control import DROPPED
from shared.jobs import Job, image_key

REMEMBER_S: Final = 3600
"""How long a job's names are kept: far beyond its last possible redelivery, which its deadline bounds."""

CLAIM_MARGIN_S: Final = 30
"""How long past its deadline a job may take to delete what it claimed: several store time-outs."""

# KEYS: counter, this job's draw. ARGV: how many, how long to remember.
_DRAW: Final = """
local drawn = redis.call('GET', KEYS[2])
if drawn then return tonumber(drawn) end
local first = redis.call('INCRBY', KEYS[1], ARGV[1]) - ARGV[1]
redis.call('SET', KEYS[2], first, 'EX', ARGV[2])
return first
"""


@dataclass(frozen=True)
class Ledger:
    """redis: control data and claims. images: where images wait. Methods raise redis.RedisError."""

    redis: Redis
    images: Redis

    def image(self, job_id: str) -> bytes | None:
        """The image of a job, None when its time is over. It stays until the gateway has the outcome."""
        return cast("bytes | None", self.images.get(image_key(job_id)))

    def draw_names(self, collection: str, job_id: str, count: int) -> list[str]:
        """`ID<n>` for each of count faces: n starts at 0 in each collection and never repeats. The same job draws the
        same names again.
        """
        keys = [_names_key(collection), f"fs:drawn:{job_id}"]
        first = cast("int", self.redis.eval(_DRAW, len(keys), *keys, count, REMEMBER_S))
        return [f"ID{first + face}" for face in range(count)]

    def is_dropped(self, collection: str) -> bool:
        """Whether the collection's facedb was dropped, so that what is added to it would be lost."""
        return self.redis.zscore(DROPPED, collection) is not None

    def forget_names(self, collection: str) -> None:
        """Forget how many names were drawn in a collection that is no more."""
        self.redis.delete(_names_key(collection))

    def claim_deletion(self, collection: str, person_id: uuid.UUID, job: Job) -> bool:
        """Whether this job, of all that try at this time, is the one to delete this face. The claim ends some time
        after the job's deadline, so that a face whose deletion was cut short for good can be deleted again.
        """
        lifetime = max(0, math.ceil(job.deadline - time.time())) + CLAIM_MARGIN_S
        return bool(self.redis.set(_deletion_key(collection, person_id), job.job_id, nx=True, ex=lifetime))

    def holds_deletion(self, collection: str, person_id: uuid.UUID, job: Job) -> bool:
        """Whether this job claimed the deletion earlier, in a delivery that was cut short."""
        owner = cast("bytes | None", self.redis.get(_deletion_key(collection, person_id)))
        return owner is not None and owner.decode() == job.job_id

    def release_deletion(self, collection: str, person_id: uuid.UUID) -> None:
        """Give up a claim that this job holds."""
        self.redis.delete(_deletion_key(collection, person_id))


def _names_key(collection: str) -> str:
    return f"fs:names:{collection}"


def _deletion_key(collection: str, person_id: uuid.UUID) -> str:
    return f"fs:deletion:{collection}:{person_id}"
