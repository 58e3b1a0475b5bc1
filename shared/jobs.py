"""The messages between gateway and workers: jobs go out, outcomes come back, images wait in a claim check.

A job carries ids only. Its images are in the image store under `image_key(job_id, number)`, with a time to live.
Job ids are `<gateway id>.<request id>`: a gateway receives all its results through one pattern subscription, and one
request id is in the logs of both gateway and worker.
"""

import uuid
from typing import Annotated, ClassVar, Final

from pydantic import BaseModel, ConfigDict, Field

from shared.confidence import Points
from shared.contract import (
    FREE_NAME,
    LONGEST_NAME,
    MAX_MATCHES,
    MIN_CONFIDENCE,
    Faces,
    Flaw,
    Message,
    SearchedFaces,
    Status,
)
from shared.persons import EXTERNAL_ID, MAX_METADATA_BYTES, MAX_PERSONS

QUEUE: Final = "facesearch"
"""The one Celery queue. Workers are scaled by its length."""

SENT: Final = "sent"
"""Header of a job's message: Unix time in seconds at which it was dispatched."""

JOB_ID: Final = r"[0-9a-f]{12}\.[0-9a-f]{32}"
JobId = Annotated[str, Field(pattern=rf"^{JOB_ID}$")]
RequestId = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]


class Once(BaseModel):
    """The idempotency record of a request, by which it has the effect of one however often it is sent.

    record: Redis key of the record, see shared/idempotency.py. origin: id of the first request with that
    Idempotency-Key. keep_s: seconds for which the record is kept, >= 1.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    record: Annotated[str, Field(pattern=r"^fs:once:[A-Za-z0-9_-]{1,64}:[0-9a-f]{64}$")]
    origin: RequestId
    keep_s: Annotated[int, Field(ge=1)]


class Job(BaseModel):
    """The fields of every job.

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
        """The id of the request that its effects derive from: a repetition has another job_id and the same origin."""
        return request_id_of(self.job_id) if self.once is None else self.once.origin


_SENT_IF_GIVEN: Final = Field(exclude_if=lambda value: value is None)
_Details = Annotated[bool, Field(exclude_if=lambda details: not details)]
"""Whether the message is to have details; False is not sent, for workers of a release that knows none."""
_Name = Annotated[str, Field(pattern=FREE_NAME, max_length=LONGEST_NAME)]
_ExternalId = Annotated[str, Field(pattern=rf"^{EXTERNAL_ID}$")]
_Metadata = Annotated[str, Field(max_length=MAX_METADATA_BYTES)]

Collection = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}\.[A-Za-z0-9_-]{1,64}\.[0-9a-f]{8}$")]


class FacedbJob(Job):
    """A job about a face database. collection: its collection in the store."""

    collection: Collection


class SentCalibration(BaseModel):
    """The calibration of a facedb. identity: of the embeddings for which it holds. points: see shared/confidence.py."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    identity: Annotated[str, Field(max_length=400)]
    points: Points


_Calibration = Annotated[SentCalibration | None, _SENT_IF_GIVEN]
"""The calibration of the facedb, None where it has none and the model's holds."""


class AddJob(FacedbJob):
    """Add faces of the image.

    name None: each face gets the face database's next `ID<n>`. Workers always take free names, and the gateway decides
    which are allowed. faces: which to add; `all` is not sent, for workers of a release that knows no other choice.
    external_id, metadata: of all these faces, metadata as JSON; None is not sent either, nor are the defaults of what
    follows. person_id: of the person who gets the most prominent face; name, external_id and metadata then change the
    person, and None leaves what is there. unique: a confidence; a face is not added if somebody in the facedb is so
    like it. calibration: for unique.
    """

    task: ClassVar[str] = "facesearch.add"

    name: _Name | None
    faces: Annotated[Faces, Field(exclude_if=lambda faces: faces is Faces.ALL)] = Faces.ALL
    external_id: Annotated[_ExternalId | None, _SENT_IF_GIVEN] = None
    metadata: Annotated[_Metadata | None, _SENT_IF_GIVEN] = None
    person_id: Annotated[uuid.UUID | None, _SENT_IF_GIVEN] = None
    unique: Annotated[float | None, Field(ge=MIN_CONFIDENCE, le=100), _SENT_IF_GIVEN] = None
    details: _Details = False
    calibration: _Calibration = None

    def face_id(self, number: int) -> uuid.UUID:
        """Return the id of a face that the job adds. number: of the face in the image, from 0, left to right."""
        return person_id(self.origin, number)


class SearchJob(FacedbJob):
    """Search for faces of the image: the most prominent one, or all; or for a stored person, without itself. limit,
    min_confidence: most matches of a face, and the least confidence of one. Defaults are not sent, for workers of a
    release that knows no others.
    """

    task: ClassVar[str] = "facesearch.search"

    limit: Annotated[int, Field(ge=1, le=MAX_MATCHES, exclude_if=lambda limit: limit == MAX_MATCHES)] = MAX_MATCHES
    min_confidence: Annotated[float, Field(ge=0, le=100, exclude_if=lambda least: least == MIN_CONFIDENCE)] = (
        MIN_CONFIDENCE
    )
    faces: Annotated[SearchedFaces, Field(exclude_if=lambda faces: faces is SearchedFaces.LARGEST)] = (
        SearchedFaces.LARGEST
    )
    person_id: Annotated[uuid.UUID | None, _SENT_IF_GIVEN] = None
    details: _Details = False
    calibration: _Calibration = None


class DeleteJob(FacedbJob):
    """Delete one face."""

    task: ClassVar[str] = "facesearch.delete"

    person_id: uuid.UUID


class DeleteFaceJob(FacedbJob):
    """Delete one face of a person; the last one with the person."""

    task: ClassVar[str] = "facesearch.delete_face"

    person_id: uuid.UUID
    face_id: uuid.UUID


class ListPersonsJob(FacedbJob):
    """List persons, oldest first. name, external_id: only those with exactly these; None: any. limit: most persons.
    after: the cursor of the persons before these.
    """

    task: ClassVar[str] = "facesearch.list_persons"

    name: Annotated[str, Field(max_length=LONGEST_NAME)] | None = None
    external_id: _ExternalId | None = None
    limit: Annotated[int, Field(ge=1, le=MAX_PERSONS)] = MAX_PERSONS
    after: Annotated[str, Field(max_length=128)] | None = None


class GetPersonJob(FacedbJob):
    """Look one person up."""

    task: ClassVar[str] = "facesearch.get_person"

    person_id: uuid.UUID


class UpdatePersonJob(FacedbJob):
    """Change what is attached to a person. None: it stays. external_id, metadata "": it is removed. metadata: JSON."""

    task: ClassVar[str] = "facesearch.update_person"

    person_id: uuid.UUID
    name: _Name | None = None
    external_id: Annotated[str, Field(pattern=rf"^({EXTERNAL_ID})?$")] | None = None
    metadata: _Metadata | None = None


class FacedbToCount(BaseModel):
    """A face database of a tenant: its name, whether requests that name none mean it, and its collection."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    name: str
    default: bool
    collection: Collection


class CountFacedbsJob(Job):
    """Count the persons and faces of face databases."""

    task: ClassVar[str] = "facesearch.count_facedbs"

    facedbs: list[FacedbToCount]


class CompareJob(Job):
    """Compare the most prominent faces of two images."""

    task: ClassVar[str] = "facesearch.compare"

    details: _Details = False


class Outcome(BaseModel):
    """The outcome of a job: a status and its message for the caller.

    reason: the flaw of the faces, if that is the cause; None is not serialised, for gateways of a release that
    does not know the field.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    status: Status
    message: Message
    reason: Flaw | None = Field(default=None, exclude_if=lambda reason: reason is None)


def new_gateway_id() -> str:
    """Return 12 hexadecimal digits that no other gateway process has."""
    return uuid.uuid4().hex[:12]


def new_request_id() -> str:
    """Return 32 hexadecimal digits that no other request has."""
    return uuid.uuid4().hex


def new_job_id(gateway_id: str, request_id: str) -> str:
    """Return the id of the job of a request."""
    return f"{gateway_id}.{request_id}"


def request_id_of(job_id: str) -> str:
    """Return the id of the request that a job is for."""
    return job_id.partition(".")[2]


def image_key(job_id: str, number: int = 0) -> str:
    """Return the key of an image in the image store. number: its place among the images of the job, from 0."""
    return f"fs:image:{job_id}:{number}" if number else f"fs:image:{job_id}"


def person_id(origin: str, face: int) -> uuid.UUID:
    """Return the id of a face that jobs of this origin add; a job that is delivered or sent again gives the same ids.

    face: its number in the image, from 0, left to right.
    """
    return uuid.uuid5(uuid.UUID(origin), str(face))
