"""Has a worker write the faces of a backup, since the embedded store is open to its worker alone.

The worker writes them into a folder of their own below the handover folder, and they are taken from there.
"""

import errno
import os
import re
import shutil
import time
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, cast

from redis import Redis

from shared.backup import LEASE_S, REQUEST, SILENT_S, Progress, Request, faces_path, progress_key
from shared.disk import sync
from shared.errors import OperatorError
from shared.presence import said

POLL_S: Final = 0.1

SAY_EVERY_S: Final = 5.0

RENEW_EVERY_S: Final = 1.0

_HANDED_OVER: Final = re.compile(r"[0-9a-f]{32}")
"""The name of a folder of one request."""

# KEYS: request. ARGV: the request as we made it, and for how many seconds it stands from now on; 0: no longer.
_RENEW: Final = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
if ARGV[2] == '0' then return redis.call('DEL', KEYS[1]) end
return redis.call('EXPIRE', KEYS[1], ARGV[2])
"""


def alive(redis: Redis) -> bool:
    """Whether there is a worker. Raises RedisError."""
    return any(said(redis).values())


def write_faces(
    redis: Redis, handover: Path, folder: Path, collections: Sequence[str], say: Callable[[str], None]
) -> Progress:
    """Have them written into the folder, and wait. handover: the worker's `Settings.handover`.

    Raises RedisError and OSError, and OperatorError when it does not come to an end, or not on this machine.
    """
    request_id = uuid.uuid4().hex
    written = handover / request_id
    request = Request(id=request_id, folder=str(written), collections=list(collections))
    text = request.model_dump_json()
    if not redis.set(REQUEST, text, nx=True, ex=LEASE_S):
        raise OperatorError("another backup of this service is being written; wait for its end and try again")
    try:
        _remove_others(handover)
        ended = _Waiting(redis, request, text, say).wait()
        for collection in collections:
            _take(faces_path(written, collection), faces_path(folder, collection))
        return ended
    finally:
        redis.eval(_RENEW, 1, REQUEST, text, 0)
        shutil.rmtree(written, ignore_errors=True)


def _take(written: Path, wanted: Path) -> None:
    """Move a file, to another disk if need be."""
    try:
        written.rename(wanted)
    except FileNotFoundError:
        raise OperatorError(
            f"the worker wrote {written.parent} on its own machine, and {written.name} is not here; run the command "
            "there"
        ) from None
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        with written.open("rb") as source, os.fdopen(_created(wanted), "wb") as copy:
            shutil.copyfileobj(source, copy)
        sync(wanted)


def _created(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)


def _remove_others(handover: Path) -> None:
    """What commands that were killed left there: no other one runs."""
    if handover.is_dir():
        for left in handover.iterdir():
            if _HANDED_OVER.fullmatch(left.name):
                shutil.rmtree(left, ignore_errors=True)


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
