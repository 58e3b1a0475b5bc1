"""The actions of jobs that search for faces and compare them. Like those of worker/actions.py, each returns the message
of OK or raises a ContractError.
"""

import uuid
from collections.abc import Sequence

import numpy as np
import structlog

from shared.contract import (
    MAX_DETAILED,
    MIN_CONFIDENCE,
    SURE_CONFIDENCE,
    Comparison,
    FaceConfidence,
    FoundFace,
    Result,
    SearchedFace,
    SearchedFaces,
)
from shared.errors import FaceNotDetected, FacePoor, NoSimilarFace, PersonUnknown, TooManyFaces, Unavailable
from shared.jobs import CompareJob, SearchJob
from worker.alike import faces_alike
from worker.delivery.deadline import require_time
from worker.delivery.time_limit import Stopwatch
from worker.facedb import Facedb
from worker.person_actions import attach_person
from worker.photos import as_number, attach_face, image_of, prominent, shown
from worker.runtime import Runtime
from worker.selections import ToSearch
from worker.store.base import Match, Vector

log = structlog.stdlib.get_logger(__name__)


def search(job: SearchJob, runtime: Runtime) -> list[FoundFace] | list[SearchedFace]:
    """Return the persons who match the most prominent face, best first, ties by id; or each face with those who match
    it; or those who match a stored person.
    """
    if job.person_id is not None:
        return _search_like(job, runtime, job.person_id)
    image = image_of(job, runtime)
    facedb = Facedb(job, runtime)
    if job.faces is SearchedFaces.ALL:
        return _search_all(job, runtime, image, facedb)
    face = prominent(image, runtime, facedb.preprocessing)
    searching = _Search(job, facedb)
    found = searching.described(face.vector, searching.matches(face.vector))
    if not found:
        raise NoSimilarFace
    if job.details:
        for entry in found:
            attach_face(entry, face)
    return found


def _search_like(job: SearchJob, runtime: Runtime, person_id: uuid.UUID) -> list[FoundFace]:
    """Return the persons who match a stored one, without itself."""
    facedb = Facedb(job, runtime)
    stored = facedb.store.get(job.collection, [person_id])
    if not stored:
        raise PersonUnknown
    searching = _Search(job, facedb)
    vector = stored[0].vector
    others = [match for match in searching.matches(vector, job.limit + 1) if match.person_id != person_id]
    found = searching.described(vector, others[: job.limit])
    if not found:
        raise NoSimilarFace
    return found


def _search_all(job: SearchJob, runtime: Runtime, image: bytes, facedb: Facedb) -> list[SearchedFace]:
    """Return every face of the image with those who match it, from left to right."""
    selection = ToSearch(job, runtime)
    faces = runtime.faces.embed_all(image, selection, preprocessing=facedb.preprocessing)
    if not faces:
        raise FacePoor(selection.flaw)
    searching = _Search(job, facedb)
    taken = Stopwatch(runtime.waited_s)
    matches: dict[int, list[Match]] = {}
    for each in faces:
        require_time(job)
        if taken.seconds() > runtime.patience_s:
            raise Unavailable("searching takes too long")
        matches[each.number] = searching.matches(each.vector)
    listed = sum(map(len, matches.values()))
    if job.details and listed > MAX_DETAILED:
        raise TooManyFaces(
            f"img shows {len(faces)} faces with {listed} matches; at most {MAX_DETAILED} can be listed with details: "
            "give a smaller limit"
        )
    described = {each.number: searching.described(each.vector, matches[each.number]) for each in faces}
    if not any(described.values()):
        raise NoSimilarFace
    found: list[SearchedFace] = []
    for seen in selection.seen:
        face = shown(seen.box, seen.quality)
        its = described.get(seen.number, [])
        entry: SearchedFace = {"box": face["box"], "quality": face["quality"], "matches": its}
        if seen.flaw is not None:
            entry["reason"] = seen.flaw
        found.append(entry)
    return found


class _Search:
    """Searches of a job in its facedb, by the calibration that holds there. Raises StoreError."""

    def __init__(self, job: SearchJob, facedb: Facedb) -> None:
        self._job = job
        self._store = facedb.store
        self._calibration = facedb.calibration(job.calibration)
        self._least = self._calibration.cosine(job.min_confidence)

    def matches(self, vector: Vector, limit: int | None = None) -> list[Match]:
        """Return the matches of an embedding. limit: most of them, by default the job's."""
        return self._store.search(self._job.collection, vector, limit or self._job.limit, self._least)

    def described(self, vector: Vector, matches: Sequence[Match]) -> list[FoundFace]:
        """Return these matches of an embedding as the caller sees them, best first, ties by id. With details, without
        persons who were deleted meanwhile.
        """
        found: list[FoundFace] = [
            {
                "confidence": self._confidence(match.cosine),
                "name": match.name,
                "person_id": str(match.person_id),
            }
            for match in matches
        ]
        if self._job.details and found:
            found = self._with_details(vector, found)
        # Different cosines may round to the same confidence, and the caller must see these ties in order, too.
        return sorted(found, key=lambda entry: (-entry["confidence"], entry["person_id"]))

    def _with_details(self, vector: Vector, found: Sequence[FoundFace]) -> list[FoundFace]:
        ids = [uuid.UUID(entry["person_id"]) for entry in found]
        stored = {str(point.person_id): point for point in self._store.get(self._job.collection, ids)}
        there = [entry for entry in found if entry["person_id"] in stored]
        for entry in there:
            point = stored[entry["person_id"]]
            faces: list[FaceConfidence] = [
                {"face_id": str(face_id), "confidence": self._confidence(cosine)}
                for cosine, face_id in faces_alike(point, vector)
            ]
            entry["face_id"] = faces[0]["face_id"]
            attach_person(entry, point.person)
            entry["face_confidences"] = faces
        return there

    def _confidence(self, cosine: float) -> float:
        return as_number(self._calibration.confidence(cosine))


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
