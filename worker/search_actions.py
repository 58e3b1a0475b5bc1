"""The actions of jobs that search for faces and compare them. Like those of worker/actions.py, each returns the message
of OK or raises a ContractError.
"""

import numpy as np
import structlog

from shared.contract import (
    MIN_CONFIDENCE,
    SURE_CONFIDENCE,
    Comparison,
    FoundFace,
    Result,
    SearchedFace,
    SearchedFaces,
)
from shared.errors import FaceNotDetected, FacePoor, NoSimilarFace, Unavailable
from shared.jobs import CompareJob, SearchJob
from worker.delivery.deadline import require_time
from worker.delivery.time_limit import Stopwatch
from worker.facedb import Facedb
from worker.models.calibration import Calibration
from worker.photos import image_of, prominent, shown
from worker.runtime import Runtime
from worker.selections import ToSearch
from worker.store.base import Vector

log = structlog.stdlib.get_logger(__name__)


def search(job: SearchJob, runtime: Runtime) -> list[FoundFace] | list[SearchedFace]:
    """Return the faces that match the most prominent one, best first, ties by id; or each face with those that match
    it.
    """
    image = image_of(job, runtime)
    facedb = Facedb(job, runtime)
    if job.faces is SearchedFaces.ALL:
        return _search_all(job, runtime, image, facedb)
    face = prominent(image, runtime, facedb.preprocessing)
    found = _Search(job, runtime, facedb).matches(face.vector)
    if not found:
        raise NoSimilarFace
    return found


def _search_all(job: SearchJob, runtime: Runtime, image: bytes, facedb: Facedb) -> list[SearchedFace]:
    """Return every face of the image with those that match it, from left to right."""
    selection = ToSearch(job, runtime)
    faces = runtime.faces.embed_all(image, selection, preprocessing=facedb.preprocessing)
    if not faces:
        raise FacePoor(selection.flaw)
    searching = _Search(job, runtime, facedb)
    taken = Stopwatch(runtime.waited_s)
    matches: dict[int, list[FoundFace]] = {}
    for each in faces:
        require_time(job)
        if taken.seconds() > runtime.patience_s:
            raise Unavailable("searching takes too long")
        matches[each.number] = searching.matches(each.vector)
    if not any(matches.values()):
        raise NoSimilarFace
    found: list[SearchedFace] = []
    for seen in selection.seen:
        face = shown(seen.box, seen.quality)
        entry: SearchedFace = {"box": face["box"], "quality": face["quality"], "matches": matches.get(seen.number, [])}
        if seen.flaw is not None:
            entry["reason"] = seen.flaw
        found.append(entry)
    return found


class _Search:
    """Searches of a job in its facedb, by the calibration that holds there. Raises StoreError."""

    def __init__(self, job: SearchJob, runtime: Runtime, facedb: Facedb) -> None:
        self._job = job
        self._store = facedb.store
        self._calibration = calibration_of(job, runtime, facedb)
        self._least = self._calibration.cosine(job.min_confidence)

    def matches(self, vector: Vector) -> list[FoundFace]:
        """Return the matches of an embedding, best first, ties by id."""
        matches = self._store.search(self._job.collection, vector, self._job.limit, self._least)
        found: list[FoundFace] = [
            {
                "confidence": as_number(self._calibration.confidence(match.cosine)),
                "name": match.name,
                "person_id": str(match.person_id),
            }
            for match in matches
        ]
        # Different cosines may round to the same confidence, and the caller must see these ties in order, too.
        return sorted(found, key=lambda entry: (-entry["confidence"], entry["person_id"]))


def calibration_of(job: SearchJob, runtime: Runtime, facedb: Facedb) -> Calibration:
    """Return the calibration by which confidences of the facedb are given."""
    made_by = str(facedb.identity)
    return runtime.own_calibrations.of(job.collection, job.calibration, made_by, runtime.calibration)


def compare(job: CompareJob, runtime: Runtime) -> Comparison:
    """Compare the most prominent faces of both images. An unreadable image is reported before one without a face; the
    log names the image.
    """
    preprocessing = runtime.spaces.preprocessing
    faces, missing = [], None
    for number, name in enumerate(("img1", "img2")):
        try:
            faces.append(prominent(image_of(job, runtime, number), runtime, preprocessing))
        except FaceNotDetected as error:
            log.debug("face_not_compared", image=name)
            missing = missing or error
    if missing is not None:
        raise missing
    similarity = as_number(runtime.calibration.confidence(float(np.dot(*(face.vector for face in faces)))))
    comparison: Comparison = {"similarity": similarity, "result": result_of(similarity)}
    if job.details:
        comparison["faces"] = [shown(face.box, face.quality) for face in faces]
    return comparison


def result_of(similarity: float) -> Result:
    """Return the result for a similarity in [0, 100]."""
    if similarity >= SURE_CONFIDENCE:
        return Result.SAME_PERSON
    return Result.NOT_SURE if similarity >= MIN_CONFIDENCE else Result.NOT_SAME_PERSON


def as_number(confidence: float) -> float:
    """Return a confidence as in the JSON: with at most 3 decimals, a whole number as an int."""
    rounded = round(confidence, 3)
    return int(rounded) if rounded == int(rounded) else rounded
