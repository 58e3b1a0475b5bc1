"""The messages between gateway and workers: jobs go out, outcomes come back, images wait in a claim check.

A job carries ids only. Its images lie under `image_key(job_id, number)` in the image store, with a time to live.
Job ids are `<gateway id>.<request id>`: a gateway receives all its results through one pattern subscription, and one id
leads through the logs of gateway and worker.
"""

import uuid
from typing import Annotated, ClassVar, Final

from pydantic import BaseModel, ConfigDict, Field

from shared.contract import FREE_NAME, LONGEST_NAME, Faces, Flaw, Message, Status

QUEUE: Final = "facesearch"
"""The one Celery queue. Its length is what to scale workers by."""

SENT: Final = "sent"
"""Header of a job's message: Unix time in seconds at which it was dispatched."""

JobId = Annotated[str, Field(pattern=r"^[0-9a-f]{12}\.[0-9a-f]{32}$")]
RequestId = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]


class Once(BaseModel):
    """What makes a request with an Idempotency-Key happen once, however often it is sent.

    record: Redis key of its outcome, see shared/idempotency.py. origin: id of the first request with that key. keep_s:
    seconds for which the outcome is kept, >= 1.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    record: Annotated[str, Field(pattern=r"^fs:once:[A-Za-z0-9_-]{1,64}:[0-9a-f]{64}$")]
    origin: RequestId
    keep_s: Annotated[int, Field(ge=1)]


class Job(BaseModel):
    """What every job carries.

    deadline: Unix time in seconds after which the caller no longer waits and nothing may be written. once: None for a
    request without an Idempotency-Key.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)
    task: ClassVar[str]

    job_id: JobId
    deadline: float
    once: Once | None = None

    @property
    def origin(self) -> str:
        """The request that its effects derive from: a repetition has another job_id and the same origin."""
        return request_id_of(self.job_id) if self.once is None else self.once.origin


class FacedbJob(Job):
    """What a job about a face database carries. collection: the store's."""

    collection: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}\.[A-Za-z0-9_-]{1,64}\.[0-9a-f]{8}$")]


class AddJob(FacedbJob):
    """Add faces of the image. name None: each face gets the facedb's next `ID<n>`. Workers take free names always:
    which are allowed is the gateway's to say. faces: which; `all` is not sent, for workers that know no other choice.
    """

    task: ClassVar[str] = "facesearch.add"

    name: Annotated[str, Field(pattern=FREE_NAME, max_length=LONGEST_NAME)] | None
    faces: Annotated[Faces, Field(exclude_if=lambda faces: faces is Faces.ALL)] = Faces.ALL


class SearchJob(FacedbJob):
    """Search for the most prominent face of the image."""

    task: ClassVar[str] = "facesearch.search"


class DeleteJob(FacedbJob):
    """Delete one face."""

    task: ClassVar[str] = "facesearch.delete"

    person_id: uuid.UUID


class CompareJob(Job):
    """Compare the most prominent faces of the job's two images. No facedb has to do with it."""

    task: ClassVar[str] = "facesearch.compare"


class Outcome(BaseModel):
    """How a job ended: always a contract status, with the message that goes to the caller. reason: what is wrong with
    the faces, where that is why; None is left out of what is sent and kept, for gateways that do not know it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    status: Status
    message: Message
    reason: Flaw | None = Field(default=None, exclude_if=lambda reason: reason is None)


def new_gateway_id() -> str:
    """12 hex digits that no other gateway process has."""
    return uuid.uuid4().hex[:12]


def new_request_id() -> str:
    """32 hex digits that no other request has."""
    return uuid.uuid4().hex


def new_job_id(gateway_id: str, request_id: str) -> str:
    """The id of the one job of a request."""
    return f"{gateway_id}.{request_id}"


def request_id_of(job_id: str) -> str:
    """The request that a job does."""
    return job_id.partition(".")[2]


def image_key(job_id: str, number: int = 0) -> str:
    """Where an image of a job waits for its worker. number: 0 is the first, which most have alone."""
    return f"fs:image:{job_id}:{number}" if number else f"fs:image:{job_id}"


def person_id(origin: str, face: int) -> uuid.UUID:
    """The id of the face-th face that jobs of this origin add: the same again when one is delivered or sent again."""
    return uuid.uuid5(uuid.UUID(origin), str(face))
