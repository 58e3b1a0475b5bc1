"""The actions of the jobs. Each returns the message of OK or raises a ContractError."""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from shared.contract import FACE_DELETED, AddedFace, Faces, Message
from shared.errors import FacePoor, PersonUnknown, Unavailable
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
from worker.facedb import Facedb
from worker.ledger import START_S
from worker.migration_actions import Numbered, OtherModel
from worker.models.versions import Preprocessing
from worker.person_actions import count_facedbs, get_person, list_persons, person_details, update_person
from worker.photos import described_quality, image_of, shown
from worker.runtime import Runtime
from worker.search_actions import compare, search
from worker.selections import ToAdd
from worker.store.base import Face as StoredFace
from worker.store.base import Point, Store, StoreError
from worker.store.views import served
from worker.vision.service import Face

Action = Callable[[Any, Runtime], Message]
"""Does a job of its type."""


def add(job: AddJob, runtime: Runtime) -> list[AddedFace]:
    """Add the faces of the image that the caller asks for and whose quality suffices, from left to right."""
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
    names = runtime.ledger.draw_names(job, len(faces)) if job.name is None else [job.name] * len(faces)
    metadata = None if job.metadata is None else json.loads(job.metadata)
    added = time.time_ns() // 1000
    # A face has the same number, and so the same id, whichever others are left out. Each has a time of its own, so that
    # lists have them in their order.
    points = []
    for place, (name, face) in enumerate(zip(names, faces, strict=True)):
        face_id = person_id(job.origin, face.number)
        kept = StoredFace(face_id, face.vector, added + place, described_quality(face.quality))
        points.append(Point(face_id, name, face.vector, added + place, job.external_id, metadata, (kept,)))
    _write(job, points, runtime, facedb.store)
    other_model.add({face.number: point for face, point in zip(faces, points, strict=True)})
    if not job.details:
        return [{"name": point.name, "person_id": str(point.person_id)} for point in points]
    return [_with_details(point, face) for point, face in zip(points, faces, strict=True)]


def _with_details(point: Point, face: Face) -> AddedFace:
    """Return the entry of an added face, which alone makes up a new person, with details."""
    return {
        "name": point.name,
        "person_id": str(point.person_id),
        "face_id": str(point.person_id),
        **shown(face.box, face.quality),
        **person_details(point.person),
    }


def _other_model(job: AddJob, runtime: Runtime, image: bytes, store: Store, faces: Sequence[Face]) -> OtherModel:
    """Return the same faces for the other model of a facedb that is being migrated."""

    def embed(way: Preprocessing) -> Sequence[Face]:
        if job.faces is Faces.LARGEST:
            return [runtime.faces.embed_most_prominent(image, preprocessing=way)]
        return runtime.faces.embed_all(image, Numbered(job, [face.number for face in faces]), preprocessing=way)

    return OtherModel(job, runtime, store, embed)


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
    CompareJob: compare,
    ListPersonsJob: list_persons,
    GetPersonJob: get_person,
    UpdatePersonJob: update_person,
    CountFacedbsJob: count_facedbs,
}
"""The action of each type of job."""
