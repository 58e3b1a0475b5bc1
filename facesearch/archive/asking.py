"""Has a worker write the faces of a backup, since the embedded store is open to its worker alone."""

import time
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, cast

from redis import Redis

from shared.backup import LEASE_S, REQUEST, SILENT_S, Progress, Request, progress_key
from shared.errors import OperatorError
from shared.presence import said

POLL_S: Final = 0.1

SAY_EVERY_S: Final = 5.0

RENEW_EVERY_S: Final = 1.0

# KEYS: request. ARGV: the request as we made it, and for how many seconds it stands from now on; 0: no longer.
_RENEW: Final = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
if ARGV[2] == '0' then return redis.call('DEL', KEYS[1]) end
return redis.call('EXPIRE', KEYS[1], ARGV[2])
"""


def alive(redis: Redis) -> bool:
    """Whether there is a worker. Raises RedisError."""
    return any(said(redis).values())


def write_faces(redis: Redis, folder: Path, collections: Sequence[str], say: Callable[[str], None]) -> Progress:
    """Have them written into the folder, an absolute path, and wait. Raises RedisError, and OperatorError when it does
    not come to an end.
    """
    request = Request(id=uuid.uuid4().hex, folder=str(folder), collections=list(collections))
    text = request.model_dump_json()
    if not redis.set(REQUEST, text, nx=True, ex=LEASE_S):
        raise OperatorError("another backup of this service is being written; wait for its end and try again")
    try:
        return _Waiting(redis, request, text, say).wait()
    finally:
        redis.eval(_RENEW, 1, REQUEST, text, 0)


class _Waiting:
    def __init__(self, redis: Redis, request: Request, text: str, say: Callable[[str], None]) -> None:
        self._redis, self._request, self._text, self._say = redis, request, text, say
        self._renewed = self._said = self._changed = time.monotonic()
        self._last: bytes | None = None

    def wait(self) -> Progress:
        while True:
            self._renew()
            found = cast("bytes | None", self._redis.get(progress_key(self._request.id)))
            now = time.monotonic()
            if found != self._last:
                self._last, self._changed = found, now
            if found is None:
                self._require_sign(now, "no worker takes the backup up; see whether one runs, and its log")
            else:
                progress = Progress.model_validate_json(found)
                if progress.state == "failed":
                    raise OperatorError(f"the worker could not write the faces: {progress.reason}")
                if progress.state == "done":
                    return progress
                self._require_sign(now, "the worker that wrote the faces is gone; see its log, and back up again")
                self._tell(progress, now)
            time.sleep(POLL_S)

    def _renew(self) -> None:
        if time.monotonic() - self._renewed < RENEW_EVERY_S:
            return
        if not self._redis.eval(_RENEW, 1, REQUEST, self._text, LEASE_S):
            raise OperatorError("the backup was held up for too long and lost its place; back up again")
        self._renewed = time.monotonic()

    def _require_sign(self, now: float, otherwise: str) -> None:
        if now - self._changed > SILENT_S:
            raise OperatorError(otherwise)

    def _tell(self, progress: Progress, now: float) -> None:
        if now - self._said >= SAY_EVERY_S:
            self._said = now
            self._say(f"{progress.faces} faces of {progress.collections} of {len(self._request.collections)} facedbs …")
