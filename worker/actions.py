"""What the three jobs do. Each returns the message of OK or raises a ContractError."""

import time

from shared.contract import FACE_DELETED, MAX_MATCHES, MIN_CONFIDENCE, AddedFace, FoundFace
from shared.errors import NoSimilarFace, PersonUnknown, Unavailable
from shared.jobs import AddJob, DeleteJob, Job, SearchJob, person_id
from worker.runtime import Runtime
from worker.store.base import Point, StoreError


def add(job: AddJob, runtime: Runtime) -> list[AddedFace]:
    """Enrol every face of the image, from left to right."""
    begun = time.monotonic()

    def go_on() -> None:
        require_time(job)
        if time.monotonic() - begun > runtime.patience_s:
            raise Unavailable("more faces than can be described in time")

    faces = runtime.faces.describe_all(_image(job, runtime), go_on)
    require_time(job)
    # Gateways know for seconds what no longer is; what is acknowledged must not be lost with it.
    if runtime.ledger.is_dropped(job.collection):
        raise Unavailable("the facedb was dropped")
    names = runtime.ledger.draw_names(job, len(faces)) if job.name is None else [job.name] * len(faces)
    points = [
        Point(person_id(job.origin, number), name, face.vector)
        for number, (name, face) in enumerate(zip(names, faces, strict=True))
    ]
    runtime.store.add(job.collection, points)
    # If this job is one too many, its faces may have been deleted since another one added them, and are back by now.
    for deleted in runtime.ledger.deleted(job.collection, [point.person_id for point in points]):
        runtime.store.delete(job.collection, deleted)
    return [{"name": point.name, "person_id": str(point.person_id)} for point in points]


def search(job: SearchJob, runtime: Runtime) -> list[FoundFace]:
    """Faces like the most prominent one, best first, ties by id."""
    face = runtime.faces.describe_prominent(_image(job, runtime))
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


def require_time(job: Job) -> None:
    """Raises Unavailable when the caller has given up: from then on nothing may be written."""
    if time.time() > job.deadline:
        raise Unavailable("deadline passed")


def as_number(confidence: float) -> float:
    """At most 3 decimals, whole numbers without a point."""
    rounded = round(confidence, 3)
    return int(rounded) if rounded == int(rounded) else rounded


def _image(job: Job, runtime: Runtime) -> bytes:
    with runtime.metrics.stage("image"):
        image = runtime.ledger.image(job.job_id)
    if image is None:
        raise Unavailable("image is gone")
    return image
