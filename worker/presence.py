"""The worker's sign of life, renewed by a thread as long as the worker takes jobs."""

import socket
import uuid
from collections.abc import Callable
from contextlib import suppress

from redis import Redis, RedisError
from redis.exceptions import OutOfMemoryError

from shared.errors import OperatorError
from shared.presence import OK, PRESENCE_INTERVAL_S, PRESENCE_TTL_S, WORKERS, Presence, presence_key, said
from worker.models.identity import Identity
from worker.periodic import Periodic
from worker.store.base import Store, StoreError


def require_same_embedder(redis: Redis, identity: Identity) -> None:
    """Raises OperatorError when a worker that is alive has another embedder: whichever of them got the first face of a
    facedb would shut the others out of it. Without the broker there is nobody to ask.
    """
    with suppress(RedisError):
        for record in filter(None, said(redis).values()):
            other = Presence.model_validate_json(record)
            if other.embedder != identity.model:
                raise OperatorError(
                    f"workers of this service that are alive (on {other.host}) use {other.embedder}, and this one "
                    f"{identity.model}: set FACESEARCH_EMBEDDER alike, or stop those first"
                )


class Beacon:
    """Tells every PRESENCE_INTERVAL_S that this worker is there, whether its store answers and can write, and what it
    refuses.

    refused: how many face databases it refuses as of now, and which and what to do.
    """

    def __init__(
        self,
        redis: Redis,
        store: Store,
        identity: Identity,
        refused: Callable[[], tuple[int, str]] = lambda: (0, ""),
    ) -> None:
        self._redis = redis
        self._store = store
        self._identity = identity
        self._refused = refused
        self._id = uuid.uuid4().hex
        self._beating = Periodic("presence", self.beat, PRESENCE_INTERVAL_S)

    def start(self) -> None:
        with suppress(RedisError):
            self._forget_the_dead()
        self._beating.start()

    def stop(self) -> None:
        """Withdraw at once, so that nobody waits for a worker that is going. Without the broker nobody can be told, and
        the key expires by itself.
        """
        self._beating.stop()
        with suppress(RedisError):
            self._redis.delete(presence_key(self._id))
            self._redis.srem(WORKERS, self._id)

    def beat(self) -> None:
        """Renew the key once."""
        store, disk = _said(self._store.check), _said(self._store.check_room)
        count, refused = self._refused()
        presence = Presence(
            store=store,
            disk=disk,
            embedder=self._identity.model,
            host=socket.gethostname(),
            identity=str(self._identity),
            refused_count=count,
            refused=refused,
        )
        try:
            with self._redis.pipeline() as pipeline:
                pipeline.set(presence_key(self._id), presence.model_dump_json(), ex=PRESENCE_TTL_S)
                pipeline.sadd(WORKERS, self._id)
                pipeline.execute()
        except OutOfMemoryError:
            # Needs no memory: whoever watches must not end a worker because the broker is full.
            self._redis.expire(presence_key(self._id), PRESENCE_TTL_S)

    def _forget_the_dead(self) -> None:
        """Workers that were killed cannot withdraw, and a set of them must not grow for ever."""
        dead = [worker_id for worker_id, record in said(self._redis).items() if record is None]
        if dead:
            self._redis.srem(WORKERS, *dead)


def _said(check: Callable[[], None]) -> str:
    try:
        check()
    except StoreError as error:
        return str(error)
    return OK
