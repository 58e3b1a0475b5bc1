"""How an erasure is asked for while a worker has the faces: the embedded store is open to its worker alone.

    fs:erase         JSON of Request; whoever asks renews it, so that it goes with them
    fs:erase:<id>    JSON of Progress, from the one worker that took the request

The worker that sets the second key first does it. Nobody takes a request up a second time: if that worker is gone, the
erasure is begun anew, which costs time and nothing else.
"""

from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

REQUEST: Final = "fs:erase"

REMEMBER_S: Final = 300
"""How long a progress is kept after its last change: far beyond the request, so that no second worker takes it up."""


class Request(BaseModel):
    """Erase what is of nobody any more."""

    model_config = ConfigDict(frozen=True)

    id: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]


class Progress(BaseModel):
    """steps: grows while there is progress. removed: collections of dropped face databases. compacted: collections that
    were written anew. left: those that a Qdrant server compacts in its own time. answers: kept under Idempotency-Keys
    that named a face which is no more. reason: of a failure, for the operator.
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
