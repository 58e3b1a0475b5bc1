"""The face database of a job with an image, as the store has it: how its faces are embedded, and where they are."""

from pydantic import ValidationError
from redis import Redis

from shared.heartbeat import Heartbeat, read_heartbeats
from shared.jobs import FacedbJob, SentCalibration
from worker.models.calibration import Calibration
from worker.models.identity import Identity
from worker.models.spaces import Spaces
from worker.runtime import Runtime
from worker.store.base import Store, StoreError
from worker.store.views import served


class Facedb:
    """identity: of the embeddings that the facedb has or, if it has none yet, gets. preprocessing: makes them.

    The store is asked first, since this decides how the image is embedded. If it does not answer, or the facedb is of
    another embedder, `store` raises the error: a caller hears first of what is wrong with the image.
    """

    def __init__(self, job: FacedbJob, runtime: Runtime, *, gets_faces: bool = False) -> None:
        """gets_faces: whether the job adds faces, perhaps the first. Raises RedisError."""
        store = runtime.store
        self._error: StoreError | None = None
        try:
            found = served(store, runtime.spaces, job.collection)
            if found is not None:
                store = found
            elif gets_faces:
                store = store.under(for_new(runtime.ledger.redis, runtime.spaces))
        except StoreError as error:
            self._error = error
        self._store = store
        self._job = job
        self._runtime = runtime
        self.identity = store.identity
        self.preprocessing = runtime.spaces.preprocessings[self.identity]

    @property
    def store(self) -> Store:
        """The store under that identity. Raises StoreError."""
        if self._error is not None:
            raise self._error
        return self._store

    def calibration(self, sent: SentCalibration | None) -> Calibration:
        """Return the calibration by which confidences of the facedb are given. sent: its own, None without one."""
        model = self._runtime.calibration
        return self._runtime.own_calibrations.of(self._job.collection, sent, str(self.identity), model)


def for_new(redis: Redis, spaces: Spaces) -> Identity:
    """Return the identity of a facedb that gets its first face: the best that all living workers serve, so that none of
    them refuses the facedb. While some of the former release are alive it is one that they know. Raises RedisError.
    """
    served_by_each = [_served(record) for record in read_heartbeats(redis).values() if record is not None]
    suitable = (one for one in spaces.for_new if all(str(one) in served for served in served_by_each))
    return next(suitable, spaces.for_new[-1])


def _served(record: bytes) -> set[str]:
    """Return the identities that a worker serves, by its heartbeat; of a release that did not say so, its own."""
    try:
        heartbeat = Heartbeat.model_validate_json(record)
    except ValidationError:
        return set()
    return set(heartbeat.identities or (heartbeat.identity,))
