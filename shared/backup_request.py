"""How a backup of faces is asked for while a worker has them: the embedded store is open to its worker alone.

    fs:backup         JSON of Request; whoever asks renews it, so that it goes with them
    fs:backup:<id>    JSON of Progress, from the one worker that took the request

The worker that sets the second key first is the one that writes. Nobody takes a request up a second time: if that
worker is gone, the backup is begun anew.

Whoever reaches Redis could ask. So a worker writes into a folder that it makes, below the one that its own settings
name (FACESEARCH_BACKUP_DIR), and whoever asks takes the files from there.
"""

from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

REQUEST: Final = "fs:backup"

LEASE_S: Final = 15
"""How long a request stands without being renewed, every second: longer than any pause of whoever asks."""

REMEMBER_S: Final = 300
"""How long a progress is kept after its last change: far beyond the lease, so that no second worker takes it up."""

SILENT_S: Final = 30.0
"""Without a change for so long, the worker is taken for gone. The longest silence of one that works is the opening of
a collection: 14 s where a million faces of an old release are indexed first."""

_ID: Final = r"^[0-9a-f]{32}$"


class Request(BaseModel):
    """Write these collections into the folder, an absolute path on the worker's machine, a file each. The worker makes
    the folder, below that of its own settings.
    """

    model_config = ConfigDict(frozen=True)

    id: Annotated[str, Field(pattern=_ID)]
    folder: Annotated[str, Field(max_length=4096)]
    collections: list[Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$", max_length=200)]]


class Progress(BaseModel):
    """collections, faces: written so far. reason: of a failure, for the operator."""

    model_config = ConfigDict(frozen=True)

    state: Literal["running", "done", "failed"] = "running"
    collections: int = 0
    faces: int = 0
    reason: str = ""


def faces_path(folder: Path, collection: str) -> Path:
    """Where a collection's file is."""
    return folder / f"{collection}.jsonl"


def progress_key(request_id: str) -> str:
    return f"{REQUEST}:{request_id}"
