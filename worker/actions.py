"""What the jobs do. Each returns the message of OK or raises a ContractError."""

import time

import numpy as np
import structlog

from shared.contract import (
    FACE_DELETED,
    MAX_MATCHES,
    MIN_CONFIDENCE,
    SURE_CONFIDENCE,
    AddedFace,
    Comparison,
    Flaw,
    FoundFace,
    Result,
)
from shared.errors import FaceNotDetected, FacePoor, NoSimilarFace, PersonUnknown, Unavailable
from shared.jobs import AddJob, CompareJob, DeleteJob, Job, SearchJob, person_id
from worker.faces.service import Face
from worker.runtime import Runtime
from worker.store.base import Point, StoreError

log = structlog.stdlib.get_logger(__name__)


def add(job: AddJob, runtime: Runtime) -> list[AddedFace]:
    """Enrol every face of the image that is shown well enough, from left to right."""
    begun = time.monotonic()

    def go_on() -> None:
        require_time(job)
        if time.monotonic() - begun > runtime.patience_s:
            raise Unavailable("more faces than can be described in time")

    faces = _well_shown(runtime.faces.describe_all(_image(job, runtime), go_on), runtime)
    require_time(job)
    # Gateways know for seconds what no longer is; what is acknowledged must not be lost with it.
    if runtime.ledger.is_dropped(job.collection):
        raise Unavailable("the facedb was dropped")
    names = runtime.ledger.draw_names(job, len(faces)) if job.name is None else [job.name] * len(faces)
    points = [
        Point(person_id(job.origin, number), name, face.vector)
        for name, (number, face) in zip(names, faces.items(), strict=True)
    ]
    runtime.store.add(job.collection, points)
    # If this job is one too many, its faces may have been deleted since another one added them, and are back by now.
    for deleted in runtime.ledger.deleted(job.collection, [point.person_id for point in points]):
        runtime.store.delete(job.collection, deleted)
    return [{"name": point.name, "person_id": str(point.person_id)} for point in points]


def search(job: SearchJob, runtime: Runtime) -> list[FoundFace]:
    """Faces like the most prominent one, best first, ties by id."""
    face = _prominent(_image(job, runtime), runtime)
    least = runtime.calibration.cosine(MIN_CONFIDENCE)
    matches = runtime.store.search(job.collection, face.vector, MAX_MATCHES, least)
    if not matches:
        raise NoSimilarFace
    found: list[FoundFace] = [
        {
            "confidence": as_number(runtime.calibration.confidence(match.cosine)),
            "name": match.name,
            "person_id": str(match.person_id),
        }
        for match in matches
    ]
    # Cosines that differ may round to the same confidence; the caller must see ties in order too.
    return sorted(found, key=lambda entry: (-entry["confidence"], entry["person_id"]))


def delete(job: DeleteJob, runtime: Runtime) -> str:
    """Delete one face. Of all jobs that try only those of one origin, which claim the deletion, succeed."""
    face = (job.collection, job.person_id)
    if not runtime.ledger.claimed_deletion(job) and not runtime.store.contains(*face):
        raise PersonUnknown
    require_time(job)
    if not runtime.ledger.claim_deletion(job):
        raise PersonUnknown
    try:
        runtime.store.delete(*face)
    except StoreError:
        runtime.ledger.release_deletion(job)
        raise
    return FACE_DELETED


def compare(job: CompareJob, runtime: Runtime) -> Comparison:
    """How alike the most prominent faces of both images are. An image that cannot be read is told before one without a
    face; which of them it was goes to the log.
    """
    vectors, missing = [], None
    for number, name in enumerate(("img1", "img2")):
        try:
            vectors.append(_prominent(_image(job, runtime, number), runtime).vector)
        except FaceNotDetected as error:
            log.debug("face_not_compared", image=name)
            missing = missing or error
    if missing is not None:
        raise missing
    similarity = as_number(runtime.calibration.confidence(float(np.dot(*vectors))))
    return {"similarity": similarity, "result": result_of(similarity)}


def result_of(similarity: float) -> Result:
    """What a similarity in [0, 100] says of two faces."""
    if similarity >= SURE_CONFIDENCE:
        return Result.SAME_PERSON
    return Result.NOT_SURE if similarity >= MIN_CONFIDENCE else Result.NOT_SAME_PERSON


def require_time(job: Job) -> None:
    """Raises Unavailable when the caller has given up: from then on nothing may be written."""
    if time.time() > job.deadline:
        raise Unavailable("deadline passed")


def as_number(confidence: float) -> float:
    """At most 3 decimals, whole numbers without a point."""
    rounded = round(confidence, 3)
    return int(rounded) if rounded == int(rounded) else rounded


def _prominent(image: bytes, runtime: Runtime) -> Face:
    """The face to search for, or to compare. Raises FacePoor when it is not shown well enough."""
    face = runtime.faces.describe_prominent(image)
    gate = runtime.gates.search
    flaw = gate.flaw(face.quality) if gate is not None else None
    if flaw is not None:
        raise FacePoor(flaw)
    return face


def _well_shown(faces: list[Face], runtime: Runtime) -> dict[int, Face]:
    """The faces to add by their number among all: a face has the same one whatever is left out beside it. Raises
    FacePoor, with the flaw of the largest, when none is left.
    """
    gate = runtime.gates.add
    if gate is None:
        return dict(enumerate(faces))
    kept: dict[int, Face] = {}
    left_out: list[tuple[float, Flaw]] = []
    for number, face in enumerate(faces):
        flaw = gate.flaw(face.quality)
        if flaw is None:
            kept[number] = face
        else:
            left_out.append((face.quality.size, flaw))
            log.debug("face_left_out", flaw=flaw)
            runtime.metrics.left_out(flaw)
    if not kept:
        raise FacePoor(max(left_out)[1])
    return kept


def _image(job: Job, runtime: Runtime, number: int = 0) -> bytes:
    with runtime.metrics.stage("image"):
        image = runtime.ledger.image(job.job_id, number)
    if image is None:
        raise Unavailable("image is gone")
    return image
