"""Requests to a running worker: only that worker can open the embedded store, and a gateway has no store at all.

    fs:<kind>         JSON of a Request; the requester renews it, so that it expires without the requester
    fs:<kind>:<id>    JSON of a Progress, from the worker that took the request

The worker that sets the second key first takes the request. A request is taken once: if that worker dies, it must be
made again.
"""

import uuid
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from shared import lua

LEASE_S: Final = 15
"""Seconds for which a request stands without renewal. It is renewed every second."""

REMEMBER_S: Final = 300
"""Seconds for which a progress is kept after its last change: far beyond the lease, so that no second worker takes the
request."""

SILENT_S: Final = 30.0
"""Seconds without a change after which the worker counts as dead. Opening a collection takes longest: 14 s where a
million faces of an old release are indexed first."""

RENEW_EVERY_S: Final = 1.0

RENEW: Final = lua.load(__package__, "worker_request")
"""Renews or withdraws a request that is still the requester's."""


class Request(BaseModel):
    """The request of a command or a gateway."""

    model_config = ConfigDict(frozen=True)

    id: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]


class Progress(BaseModel):
    """How far a request is. reason: why it failed, for the operator. total: how many there are of what is counted; None
    where nobody knows, as by a worker of a release before there was one.
    """

    model_config = ConfigDict(frozen=True)

    state: Literal["running", "done", "failed"] = "running"
    reason: str = ""
    total: int | None = None


def new_id() -> str:
    """Return the id of a new request."""
    return uuid.uuid4().hex


def progress_key(request: str, request_id: str) -> str:
    """Return the key of a request's progress. request: the key of its kind."""
    return f"{request}:{request_id}"
