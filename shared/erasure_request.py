"""The request for an erasure to a running worker: only that worker can open the embedded store.

    fs:erase         JSON of Request; the requester renews it, so that it expires without the requester
    fs:erase:<id>    JSON of Progress, from the worker that took the request

The worker that sets the second key first takes the request. A request is taken once: if that worker dies, the erasure
must be started again, which costs nothing but time.
"""

from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

REQUEST: Final = "fs:erase"

REMEMBER_S: Final = 300
"""Seconds for which a progress is kept after its last change: far beyond the request, so that no second worker takes
it."""


class Request(BaseModel):
    """Erase what was deleted."""

    model_config = ConfigDict(frozen=True)

    id: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]


class Progress(BaseModel):
    """steps: grows while there is progress. removed: collections of dropped face databases. compacted: collections that
    were rewritten. left: collections that a Qdrant server compacts by itself, later. answers: outcomes in idempotency
    records that named a deleted face. reason: why it failed, for the operator.
    """

    model_config = ConfigDict(frozen=True)

    state: Literal["running", "done", "failed"] = "running"
    steps: int = 0
    removed: int = 0
    compacted: int = 0
    left: int = 0
    answers: int = 0
    reason: str = ""


def progress_key(request_id: str) -> str:
    return f"{REQUEST}:{request_id}"
