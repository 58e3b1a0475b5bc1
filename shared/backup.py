"""How a backup of faces is asked for while a worker has them: the embedded store is open to its worker alone.

    fs:backup         JSON of Request; whoever asks renews it, so that it goes with them
    fs:backup:<id>    JSON of Progress, from the one worker that took the request

The worker that sets the second key first is the one that writes. Nobody takes a request up a second time: if that
worker is gone, the backup is begun anew.
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


class Request(BaseModel):
    """Write these collections into the folder, an absolute path on the worker's machine, a file each."""

    model_config = ConfigDict(frozen=True)

    id: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
    folder: str
    collections: list[str]


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
