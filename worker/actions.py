"""The actions of the jobs. Each returns the message of OK or raises a ContractError."""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np
import structlog

from shared.contract import (
    FACE_DELETED,
    MAX_ADDED,
    MIN_CONFIDENCE,
    SURE_CONFIDENCE,
    AddedFace,
    Comparison,
    Faces,
    Flaw,
    FoundFace,
    Message,
    Result,
)
from shared.errors import (
    FaceNotDetected,
    FacePoor,
    NoSimilarFace,
    PersonUnknown,
    SeveralFaces,
    TooManyFaces,
    Unavailable,
)
from shared.jobs import (
    AddJob,
    CompareJob,
    CountFacedbsJob,
    DeleteJob,
    GetPersonJob,
    Job,
    ListPersonsJob,
    SearchJob,
    UpdatePersonJob,
    person_id,
)
from worker.delivery.deadline import require_time
from worker.delivery.time_limit import Stopwatch
from worker.facedb import Facedb
from worker.ledger import START_S
from worker.models.versions import Preprocessing
from worker.person_actions import count_facedbs, get_person, list_persons, update_person
from worker.runtime import Runtime
from worker.store.base import Point, Store, StoreError
from worker.store.views import served
from worker.vision.quality import Quality
from worker.vision.service import Face, FaceSelection

log = structlog.stdlib.get_logger(__name__)

Action = Callable[[Any, Runtime], Message]
"""Does a job of its type."""

_INSTEAD: Final = "send parts of it, or faces=largest"


def add(job: AddJob, runtime: Runtime) -> list[AddedFace]:
    """Add the faces of the image that the caller asks for and whose quality suffices, from left to right."""
    selection = _ToAdd(job, runtime)
    image = _image(job, runtime)
    facedb = Facedb(job, runtime, gets_faces=True)
    if job.faces is Faces.LARGEST:
        face = runtime.faces.embed_most_prominent(image, preprocessing=facedb.preprocessing)
        faces = [face] if selection.accepts(face.number, face.quality) else []
    else:
        faces = runtime.faces.embed_all(image, selection, preprocessing=facedb.preprocessing)
    if not faces:
        raise FacePoor(selection.flaw)
    require_time(job)
    names = runtime.ledger.draw_names(job, len(faces)) if job.name is None else [job.name] * len(faces)
    metadata = None if job.metadata is None else json.loads(job.metadata)
    added = time.time_ns() // 1000
    # A face has the same number, and so the same id, whichever others are left out. Each has a time of its own, so that
    # lists have them in their order.
    points = [
        Point(person_id(job.origin, face.number), name, face.vector, added + place, job.external_id, metadata)
        for place, (name, face) in enumerate(zip(names, faces, strict=True))
    ]
    _write(job, points, runtime, facedb.store)
    return [{"name": point.name, "person_id": str(point.person_id)} for point in points]


def _write(job: AddJob, points: Sequence[Point], runtime: Runtime, store: Store) -> None:
    """Write the faces, without those that were deleted since another delivery of the job added them. Raises Unavailable
    when it is too late.
    """
    begun = time.time()
    ours = runtime.ledger.begin_adding(job, [point.person_id for point in points])
    require_time(job)
    if time.time() > begun + START_S:
        raise Unavailable("the ledger answered too late")
    written = [point for point in points if point.person_id in ours]
    if not written:
        return
    try:
        store.add(job.collection, written)
    finally:
        # A store works in order, so a deletion undoes even a write that happens after its error was reported.
        for deleted in runtime.ledger.end_adding(job, [point.person_id for point in written]):
            store.delete(job.collection, deleted)


def search(job: SearchJob, runtime: Runtime) -> list[FoundFace]:
    """Return the faces that match the most prominent one, best first, ties by id."""
    image = _image(job, runtime)
    facedb = Facedb(job, runtime)
    face = _prominent(image, runtime, facedb.preprocessing)
    made_by = str(facedb.identity)
    calibration = runtime.own_calibrations.of(job.collection, job.calibration, made_by, runtime.calibration)
    least = calibration.cosine(job.min_confidence)
    matches = facedb.store.search(job.collection, face.vector, job.limit, least)
    if not matches:
        raise NoSimilarFace
    found: list[FoundFace] = [
        {
            "confidence": as_number(calibration.confidence(match.cosine)),
            "name": match.name,
            "person_id": str(match.person_id),
        }
        for match in matches
    ]
    # Different cosines may round to the same confidence, and the caller must see these ties in order, too.
    return sorted(found, key=lambda entry: (-entry["confidence"], entry["person_id"]))


def delete(job: DeleteJob, runtime: Runtime) -> str:
    """Delete one face. Only jobs of one origin succeed: that of the request that claims the deletion."""
    face = (job.collection, job.person_id)
    claimed = runtime.ledger.claimed_deletion(job)
    store = served(runtime.store, runtime.spaces, job.collection) or runtime.store
    if not claimed and not store.contains(*face):
        raise PersonUnknown
    require_time(job)
    if not runtime.ledger.claim_deletion(job):
        raise PersonUnknown
    try:
        store.delete(*face)
    except StoreError:
        runtime.ledger.release_deletion(job)
        raise
    return FACE_DELETED


def compare(job: CompareJob, runtime: Runtime) -> Comparison:
    """Compare the most prominent faces of both images. An unreadable image is reported before one without a face; the
    log names the image.
    """
    preprocessing = runtime.spaces.preprocessing
    vectors, missing = [], None
    for number, name in enumerate(("img1", "img2")):
        try:
            vectors.append(_prominent(_image(job, runtime, number), runtime, preprocessing).vector)
        except FaceNotDetected as error:
            log.debug("face_not_compared", image=name)
            missing = missing or error
    if missing is not None:
        raise missing
    similarity = as_number(runtime.calibration.confidence(float(np.dot(*vectors))))
    return {"similarity": similarity, "result": result_of(similarity)}


def result_of(similarity: float) -> Result:
    """Return the result for a similarity in [0, 100]."""
    if similarity >= SURE_CONFIDENCE:
        return Result.SAME_PERSON
    return Result.NOT_SURE if similarity >= MIN_CONFIDENCE else Result.NOT_SAME_PERSON


def as_number(confidence: float) -> float:
    """Return a confidence as in the JSON: with at most 3 decimals, a whole number as an int."""
    rounded = round(confidence, 3)
    return int(rounded) if rounded == int(rounded) else rounded


def _prominent(image: bytes, runtime: Runtime, preprocessing: Preprocessing) -> Face:
    """Return the face to search for or to compare. Raises FacePoor when its quality does not suffice."""
    face = runtime.faces.embed_most_prominent(image, preprocessing=preprocessing)
    gate = runtime.gates.search
    flaw = gate.flaw(face.quality) if gate is not None else None
    if flaw is not None:
        raise FacePoor(flaw)
    return face


class _ToAdd(FaceSelection):
    """Selects the faces that are added: those of sufficient quality; with Faces.ONE, only a single one.

    Its methods raise SeveralFaces, Unavailable when the time is over, and TooManyFaces when the job can never succeed:
    the image has more than MAX_ADDED faces, or this machine computed for as long as a job may take.
    """

    def __init__(self, job: AddJob, runtime: Runtime) -> None:
        self._job = job
        self._runtime = runtime
        self._gate = runtime.gates.add
        self._taken = Stopwatch(runtime.waited_s)
        self._found = 0
        self._looked_at = 0
        self._taken_in = 0
        self._left_out: list[tuple[float, Flaw]] = []

    @property
    def flaw(self) -> Flaw:
        """The flaw of the largest face that was left out. Raises ValueError when none was."""
        return max(self._left_out)[1]

    def candidates(self, sizes: Sequence[float]) -> Sequence[int]:
        self._looked_at = self._taken_in = 0
        self._left_out.clear()
        numbers = []
        for number, size in enumerate(sizes):
            if self._gate is not None and self._gate.is_too_small(size):
                self._leave_out(size, Flaw.SIZE)
            else:
                numbers.append(number)
        self._found = len(numbers)
        if self._job.faces is Faces.ALL and self._found > MAX_ADDED:
            raise TooManyFaces(f"img shows {self._found} faces; at most {MAX_ADDED} can be added at once: {_INSTEAD}")
        return numbers

    def before_batch(self, cpu_s: float) -> None:
        require_time(self._job)
        patience_s = self._runtime.patience_s
        if self._taken.seconds() > patience_s:
            # A repetition would need the same computing time, but not the time it waited for a device or a disk.
            if self._looked_at and cpu_s > patience_s:
                raise TooManyFaces(f"img shows {self._found} faces, more than can be added at once here: {_INSTEAD}")
            raise Unavailable("describing takes too long")

    def accepts(self, number: int, quality: Quality) -> bool:  # noqa: ARG002 -- the interface's
        self._looked_at += 1
        flaw = self._gate.flaw(quality) if self._gate is not None else None
        if flaw is not None:
            self._leave_out(quality.size, flaw)
            return False
        self._taken_in += 1
        if self._job.faces is Faces.ONE and self._taken_in > 1:
            raise SeveralFaces
        return True

    def _leave_out(self, size: float, flaw: Flaw) -> None:
        self._left_out.append((size, flaw))
        log.debug("face_left_out", flaw=flaw)
        self._runtime.metrics.left_out(flaw)


def _image(job: Job, runtime: Runtime, number: int = 0) -> bytes:
    with runtime.metrics.stage("image"):
        image = runtime.ledger.image(job.job_id, number)
    if image is None:
        raise Unavailable("image is gone")
    return image


ACTIONS: Final[Mapping[type[Job], Action]] = {
    AddJob: add,
    SearchJob: search,
    DeleteJob: delete,
    CompareJob: compare,
    ListPersonsJob: list_persons,
    GetPersonJob: get_person,
    UpdatePersonJob: update_person,
    CountFacedbsJob: count_facedbs,
}
"""The action of each type of job."""
