"""The request for a backup of faces to a running worker: only that worker can open the embedded store.

    fs:backup         JSON of Request; the requester renews it, so that it expires without the requester
    fs:backup:<id>    JSON of Progress, from the worker that took the request

The worker that sets the second key first takes the request. A request is taken once: if that worker dies, the backup
must be started again.

Any client of Redis could make a request. So a worker writes only into a folder that it creates below its own
FACESEARCH_BACKUP_DIR, and the requester moves the files from there.
"""

from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

REQUEST: Final = "fs:backup"

LEASE_S: Final = 15
"""Seconds for which a request stands without renewal. It is renewed every second."""

REMEMBER_S: Final = 300
"""Seconds for which a progress is kept after its last change: far beyond the lease, so that no second worker takes the
request."""

SILENT_S: Final = 30.0
"""Seconds without a change after which the worker counts as dead. Opening a collection takes longest: 14 s where a
million faces of an old release are indexed first."""

_ID: Final = r"^[0-9a-f]{32}$"


class Request(BaseModel):
    """collections: to be written, a file each. folder: the file's folder, an absolute path on the worker's machine
    below its FACESEARCH_BACKUP_DIR; the worker creates it.
    """

    model_config = ConfigDict(frozen=True)

    id: Annotated[str, Field(pattern=_ID)]
    folder: Annotated[str, Field(max_length=4096)]
    collections: list[Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$", max_length=200)]]


class Progress(BaseModel):
    """collections, faces: numbers written so far. reason: why it failed, for the operator."""

    model_config = ConfigDict(frozen=True)

    state: Literal["running", "done", "failed"] = "running"
    collections: int = 0
    faces: int = 0
    reason: str = ""


def faces_path(folder: Path, collection: str) -> Path:
    """Return the path of a collection's file."""
    return folder / f"{collection}.jsonl"


def progress_key(request_id: str) -> str:
    return f"{REQUEST}:{request_id}"
