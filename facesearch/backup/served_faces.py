"""The faces of a backup, written by the worker, since the embedded store is open to one process only.

The worker writes them into a new folder below the handover folder, and the command moves them from there.
"""

import errno
import os
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from redis import Redis

from facesearch.backup import worker_request
from shared.backup_request import REQUEST, Progress, Request, faces_path
from shared.errors import OperatorError
from shared.host.disk import sync
from shared.progress import Show
from shared.worker_request import new_id

_REQUEST_FOLDER: Final = re.compile(r"[0-9a-f]{32}")
"""Name of the folder of one request."""


def write_faces(
    redis: Redis,
    handover: Path,
    folder: Path,
    collections: Sequence[str],
    show: Show,
    kind: worker_request.Kind[Progress] = worker_request.BACKUP,
) -> Progress:
    """Have the worker write the faces of the collections into the folder, and return how many there are. handover: the
    worker's `Settings.handover`. show: called with the persons that are written. kind: BACKUP or EXPORT. Raises
    RedisError, OSError, and OperatorError when the request fails or the worker is on another machine.
    """
    request_id = new_id()
    written = handover / request_id
    request = Request(id=request_id, folder=str(written), collections=list(collections))

    def written_so_far(progress: Progress) -> None:
        show("persons", progress.faces, progress.total)

    with worker_request.requested(redis, kind, request, written_so_far) as wait:
        try:
            _remove_others(handover)
            ended = wait()
            for collection in collections:
                _move(faces_path(written, collection), faces_path(folder, collection))
            return ended
        finally:
            shutil.rmtree(written, ignore_errors=True)


def remove_leftovers(redis: Redis, handover: Path) -> None:
    """Remove what killed backups left below the handover folder, unless a backup is under way, which removes it itself.
    Raises RedisError.
    """
    if not redis.exists(REQUEST):
        _remove_others(handover)


def _move(written: Path, target: Path) -> None:
    """Move a file, to another disk if need be."""
    try:
        written.rename(target)
    except FileNotFoundError:
        raise OperatorError(
            f"the worker wrote {written.parent} on its own machine, and {written.name} is not here; run the command "
            "there"
        ) from None
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        with written.open("rb") as source, os.fdopen(_created(target), "wb") as copy:
            shutil.copyfileobj(source, copy)
        sync(target)


def _created(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)


def _remove_others(handover: Path) -> None:
    """Remove the folders of other requests. The caller knows that none is under way."""
    if handover.is_dir():
        for left in handover.iterdir():
            if _REQUEST_FOLDER.fullmatch(left.name):
                shutil.rmtree(left, ignore_errors=True)
