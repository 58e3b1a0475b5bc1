"""The worker's heartbeat (shared/heartbeat.py), sent by a thread as long as the worker takes jobs."""

import socket
import uuid
from collections.abc import Callable
from contextlib import suppress

from redis import Redis, RedisError
from redis.exceptions import OutOfMemoryError

from shared.errors import OperatorError
from shared.heartbeat import (
    HEARTBEAT_INTERVAL_S,
    HEARTBEAT_TTL_S,
    OK,
    WORKERS,
    Heartbeat,
    heartbeat_key,
    read_heartbeats,
)
from worker.models.spaces import Spaces
from worker.periodic import Periodic
from worker.store.base import Store, StoreError


def require_same_embedder(redis: Redis, spaces: Spaces) -> None:
    """Raises OperatorError when a living worker has another embedder, which this one does not have as its second: the
    first of the two to add a face to a facedb would shut the other out of it. Nothing is checked without a broker.
    """
    with suppress(RedisError):
        for record in filter(None, read_heartbeats(redis).values()):
            other = Heartbeat.model_validate_json(record)
            if other.embedder != spaces.preferred.model and not spaces.serves(other.identity):
                raise OperatorError(
                    f"workers of this service that are alive (on {other.host}) use {other.embedder}, and this one "
                    f"{spaces.preferred.model}: set FACESEARCH_EMBEDDER alike, name the other one as "
                    "FACESEARCH_SECOND_EMBEDDER to have both, or stop those first"
                )


class HeartbeatSender:
    """Reports every HEARTBEAT_INTERVAL_S that this worker is alive, whether its store answers and can write, and which
    face databases it refuses.

    refused: returns the number of face databases that are refused now, and a line with their names and the remedy.
    licence: of the preferred embedder.
    """

    def __init__(
        self,
        redis: Redis,
        store: Store,
        spaces: Spaces,
        refused: Callable[[], tuple[int, str]] = lambda: (0, ""),
        licence: str = "",
    ) -> None:
        self._redis = redis
        self._store = store
        self._spaces = spaces
        self._refused = refused
        self._licence = licence
        self._id = uuid.uuid4().hex
        self._sending = Periodic("heartbeat", self.send, HEARTBEAT_INTERVAL_S)

    def start(self) -> None:
        with suppress(RedisError):
            self._forget_dead_workers()
        self._sending.start()

    def stop(self) -> None:
        """Withdraw the heartbeat, so that no gateway counts on a worker that ends. Without a broker it expires."""
        self._sending.stop()
        with suppress(RedisError):
            self._redis.delete(heartbeat_key(self._id))
            self._redis.srem(WORKERS, self._id)

    def send(self) -> None:
        """Send one heartbeat. Raises redis.RedisError."""
        store, disk = _state(self._store.check), _state(self._store.check_room)
        count, refused = self._refused()
        heartbeat = Heartbeat(
            store=store,
            disk=disk,
            embedder=self._spaces.preferred.model,
            host=socket.gethostname(),
            identity=str(self._spaces.preferred),
            identities=tuple(map(str, self._spaces.preprocessings)),
            licence=self._licence,
            refused_count=count,
            refused=refused,
        )
        try:
            with self._redis.pipeline() as pipeline:
                pipeline.set(heartbeat_key(self._id), heartbeat.model_dump_json(), ex=HEARTBEAT_TTL_S)
                pipeline.sadd(WORKERS, self._id)
                pipeline.execute()
        except OutOfMemoryError:
            # Needs no memory: a health check must not end a worker because the broker is full.
            self._redis.expire(heartbeat_key(self._id), HEARTBEAT_TTL_S)

    def _forget_dead_workers(self) -> None:
        """Remove killed workers from the set, which would grow without bound."""
        dead = [worker_id for worker_id, record in read_heartbeats(self._redis).items() if record is None]
        if dead:
            self._redis.srem(WORKERS, *dead)


def _state(check: Callable[[], None]) -> str:
    try:
        check()
    except StoreError as error:
        return str(error)
    return OK
