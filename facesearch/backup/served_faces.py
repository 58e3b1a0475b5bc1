"""Has a worker write the faces of a backup, since the embedded store is open to its worker alone.

The worker writes them into a folder of their own below the handover folder, and they are taken from there.
"""

import errno
import os
import re
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from redis import Redis

from facesearch.backup import worker_request
from shared.backup_request import REQUEST, Progress, Request, faces_path, progress_key
from shared.errors import OperatorError
from shared.host.disk import sync

_HANDED_OVER: Final = re.compile(r"[0-9a-f]{32}")
"""The name of a folder of one request."""


def write_faces(
    redis: Redis, handover: Path, folder: Path, collections: Sequence[str], say: Callable[[str], None]
) -> Progress:
    """Have them written into the folder, and wait. handover: the worker's `Settings.handover`.

    Raises RedisError and OSError, and OperatorError when it does not come to an end, or not on this machine.
    """
    request_id = worker_request.new_id()
    written = handover / request_id
    request = Request(id=request_id, folder=str(written), collections=list(collections))
    asking = worker_request.Asking(
        REQUEST,
        progress_key(request.id),
        request.model_dump_json(),
        Progress.model_validate_json,
        lambda progress: f"{progress.faces} faces of {progress.collections} of {len(collections)} facedbs …",
        noun="backup",
        busy="is being written",
        did="wrote the faces",
        again="back up again",
        failed="the worker could not write the faces",
    )
    with worker_request.asking_for(redis, asking, say) as wait:
        try:
            _remove_others(handover)
            ended = wait()
            for collection in collections:
                _take(faces_path(written, collection), faces_path(folder, collection))
            return ended
        finally:
            shutil.rmtree(written, ignore_errors=True)


def remove_left(redis: Redis, handover: Path) -> None:
    """Remove what backups that were killed left below the handover folder, unless one is under way, which removes it.
    Raises RedisError.
    """
    if not redis.exists(REQUEST):
        _remove_others(handover)


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
