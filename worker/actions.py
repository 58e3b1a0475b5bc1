"""The actions of the jobs. Each returns the message of OK or raises a ContractError."""

import json
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from shared.contract import FACE_DELETED, AddedFace, Faces, Message
from shared.errors import FacePoor, PersonUnknown, Unavailable
from shared.jobs import (
    AddJob,
    CompareJob,
    CountFacedbsJob,
    DeleteFaceJob,
    DeleteJob,
    GetPersonJob,
    Job,
    ListPersonsJob,
    SearchJob,
    UpdatePersonJob,
)
from worker.alike import faces_alike
from worker.delivery.deadline import require_time
from worker.delivery.time_limit import Stopwatch
from worker.face_actions import add_to_person, delete_face
from worker.facedb import Facedb
from worker.ledger import START_S
from worker.migration_actions import Numbered, OtherModel
from worker.models.versions import Preprocessing
from worker.person_actions import attach_person, count_facedbs, get_person, list_persons, update_person
from worker.photos import attach_face, described_quality, image_of
from worker.runtime import Runtime
from worker.search_actions import compare, search
from worker.selections import ToAdd
from worker.store.base import Face as StoredFace
from worker.store.base import Point, Store, StoreError
from worker.store.views import served
from worker.unique import Decision, Existing, decided
from worker.vision.service import Face

Action = Callable[[Any, Runtime], Message]
"""Does a job of its type."""


def add(job: AddJob, runtime: Runtime) -> list[AddedFace]:
    """Add the faces of the image that the caller asks for and whose quality suffices, from left to right; or one to a
    person.
    """
    if job.person_id is not None:
        return add_to_person(job, runtime)
    taken = Stopwatch(runtime.waited_s)
    selection = ToAdd(job, runtime)
    image = image_of(job, runtime)
    facedb = Facedb(job, runtime, gets_faces=True)
    if job.faces is Faces.LARGEST:
        face = runtime.faces.embed_most_prominent(image, preprocessing=facedb.preprocessing)
        faces = [face] if selection.accepts(face.number, face.quality, face.box) else []
    else:
        faces = runtime.faces.embed_all(image, selection, preprocessing=facedb.preprocessing)
    if not faces:
        raise FacePoor(selection.flaw)
    other_model = _other_model(job, runtime, image, facedb.store, faces)
    require_time(job)
    if job.unique is None:
        everybody = Decision([None] * len(faces), time.time())
        return _added(job, runtime, facedb.store, faces, everybody, other_model)
    with decided(job, runtime, facedb, faces, taken) as decision:
        return _added(job, runtime, facedb.store, faces, decision, other_model)


def _added(
    job: AddJob, runtime: Runtime, store: Store, faces: Sequence[Face], decision: Decision, other_model: OtherModel
) -> list[AddedFace]:
    """Write the faces that are to be added, and return the entries of all."""
    names = [job.name or ""] * len(faces)
    if job.name is None and None in decision.existing:
        names = runtime.ledger.draw_names(job, len(faces))
    metadata = None if job.metadata is None else json.loads(job.metadata)
    added = time.time_ns() // 1000
    # A face has the same number, and so the same id, whichever others are left out. Each has a time of its own, so that
    # lists have them in their order.
    points: dict[uuid.UUID, Point] = {}
    numbered: dict[int, Point] = {}
    for place, (name, face, there) in enumerate(zip(names, faces, decision.existing, strict=True)):
        if there is None:
            face_id = job.face_id(face.number)
            kept = StoredFace(face_id, face.vector, added + place, described_quality(face.quality))
            point = Point(face_id, name, face.vector, added + place, job.external_id, metadata, (kept,))
            points[face_id] = numbered[face.number] = point
    if points:
        _write(job, list(points.values()), runtime, store, decision.begun)
        other_model.add(numbered)
    entries = [
        _entry(points, job.face_id(face.number), there) for face, there in zip(faces, decision.existing, strict=True)
    ]
    if job.details:
        _add_details(job, store, entries, faces, points)
    return entries


def _entry(points: Mapping[uuid.UUID, Point], face_id: uuid.UUID, there: Existing | None) -> AddedFace:
    """Return the entry of a face that was added with that id or, if somebody is there already, was not."""
    if there is None:
        return {"name": points[face_id].name, "person_id": str(face_id)}
    name = points[there.person_id].name if there.name is None else there.name
    return {"name": name, "person_id": str(there.person_id), "existing": True, "confidence": there.confidence}


def _other_model(job: AddJob, runtime: Runtime, image: bytes, store: Store, faces: Sequence[Face]) -> OtherModel:
    """Return the same faces for the other model of a facedb that is being migrated."""

    def embed(way: Preprocessing) -> Sequence[Face]:
        if job.faces is Faces.LARGEST:
            return [runtime.faces.embed_most_prominent(image, preprocessing=way)]
        return runtime.faces.embed_all(image, Numbered(job, [face.number for face in faces]), preprocessing=way)

    return OtherModel(job, runtime, store, embed)


def _add_details(
    job: AddJob, store: Store, entries: Sequence[AddedFace], faces: Sequence[Face], points: Mapping[uuid.UUID, Point]
) -> None:
    """Add to each entry the details of its face and, unless it was deleted meanwhile, of its person."""
    ids = dict.fromkeys(uuid.UUID(entry["person_id"]) for entry in entries)
    # Those of the store: a job that is delivered again has added them before.
    stored = dict(points) | {point.person_id: point for point in store.get(job.collection, list(ids))}
    for entry, face in zip(entries, faces, strict=True):
        attach_face(entry, face)
        point = stored.get(uuid.UUID(entry["person_id"]))
        if point is not None:
            entry["face_id"] = str(faces_alike(point, face.vector)[0][1])
            attach_person(entry, point.person)


def _write(job: AddJob, points: Sequence[Point], runtime: Runtime, store: Store, begun: float) -> None:
    """Write the faces, without those that were deleted since another delivery of the job added them. begun: Unix time
    in seconds from which START_S counts. Raises Unavailable when it is too late.
    """
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


ACTIONS: Final[Mapping[type[Job], Action]] = {
    AddJob: add,
    SearchJob: search,
    DeleteJob: delete,
    DeleteFaceJob: delete_face,
    CompareJob: compare,
    ListPersonsJob: list_persons,
    GetPersonJob: get_person,
    UpdatePersonJob: update_person,
    CountFacedbsJob: count_facedbs,
}
"""The action of each type of job."""
