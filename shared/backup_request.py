"""The request for a backup of faces to a running worker (shared/worker_request.py has the protocol).

Any client of Redis could make a request. So a worker writes only into a folder that it creates below its own
FACESEARCH_BACKUP_DIR, and the requester moves the files from there.
"""

from pathlib import Path
from typing import Annotated, Final

from pydantic import Field

from shared import worker_request

REQUEST: Final = "fs:backup"

Collection = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$", max_length=200)]


class Request(worker_request.Request):
    """collections: to be written, a file each. folder: the file's folder, an absolute path on the worker's machine
    below its FACESEARCH_BACKUP_DIR; the worker creates it.
    """

    folder: Annotated[str, Field(max_length=4096)]
    collections: list[Collection]


class Progress(worker_request.Progress):
    """Numbers written so far: collections; faces, the persons with their faces. total: of the persons."""

    collections: int = 0
    faces: int = 0


def faces_path(folder: Path, collection: str) -> Path:
    """Return the path of a collection's file."""
    return folder / f"{collection}.jsonl"
