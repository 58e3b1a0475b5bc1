"""The actions of jobs about single faces of a person. Like those of worker/actions.py, each returns the message of OK
or raises a ContractError.

A person is changed without a lock: it is read, and written anew if nobody has changed it meanwhile, until what is
wanted is there (Store.replace). So a job that is done again finds its face there, or gone, and changes nothing. The
ledger keeps a face that was deleted from being added again. docs/decisions/0032-persons-of-several-faces.md has the
reasons.
"""

import json
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Final, cast

from shared.contract import FACE_DELETED, AddedFace, Faces
from shared.errors import ContractError, FacePoor, FacesUnlike, PersonFull, PersonUnknown, Unavailable
from shared.jobs import AddJob, DeleteFaceJob, FacedbJob
from shared.persons import MAX_FACES
from worker.delivery.deadline import require_time
from worker.facedb import Facedb
from worker.ledger import START_S
from worker.migration_actions import OtherModel
from worker.person_actions import attach_person
from worker.photos import attach_face, described_quality, image_of
from worker.runtime import Runtime
from worker.selections import ToAdd
from worker.store import base
from worker.store.base import Point, Store, StoreError
from worker.store.faces import FacesOpposed, with_faces, without_face
from worker.store.views import matching

TRIES: Final = 100
"""Times that a person is written before a job gives up. One of those that write at once always succeeds, so this many
others would have to change one person within a second or so."""


def add_to_person(job: AddJob, runtime: Runtime) -> list[AddedFace]:
    """Add the most prominent face of the image, or the only one if that is asked for, to a person, and change what the
    job gives of its attributes.
    """
    selection = ToAdd(job, runtime)
    image = image_of(job, runtime)
    facedb = Facedb(job, runtime)
    if job.faces is Faces.ONE:
        faces = runtime.faces.embed_all(image, selection, preprocessing=facedb.preprocessing)
    else:
        face = runtime.faces.embed_most_prominent(image, preprocessing=facedb.preprocessing)
        faces = [face] if selection.accepts(face.number, face.quality, face.box) else []
    if not faces:
        raise FacePoor(selection.flaw)
    (face,) = faces
    other_model = OtherModel(
        job, runtime, facedb.store, lambda way: [runtime.faces.embed_most_prominent(image, preprocessing=way)]
    )
    require_time(job)
    added, quality = time.time_ns() // 1000, described_quality(face.quality)
    # The job adds one face, whichever of the image it is.
    new = base.Face(job.face_id(0), face.vector, added, quality)
    point = _write(job, new, runtime, facedb.store)
    other_model.add({face.number: replace(point, vector=new.vector, faces=(new,))})
    entry: AddedFace = {"name": point.name, "person_id": str(point.person_id)}
    if job.details:
        entry["face_id"] = str(new.face_id)
        attach_face(entry, face)
        attach_person(entry, point.person)
    return [entry]


def _write(job: AddJob, new: base.Face, runtime: Runtime, store: Store) -> Point:
    """Give the person the face, unless that was deleted since another delivery of the job added it, and return the
    person. Raises Unavailable when it is too late.
    """
    person_id = cast("uuid.UUID", job.person_id)
    begun = time.time()
    ours = runtime.ledger.begin_adding(job, [new.face_id])
    require_time(job)
    if time.time() > begun + START_S:
        raise Unavailable("the ledger answered too late")
    if not ours:
        return _read(job, store, person_id)
    try:
        return _changed(job, store, person_id, lambda point: _with_face(job, point, new))
    finally:
        if runtime.ledger.end_adding(job, [new.face_id]):
            _take(job, store, person_id, new.face_id)


def _with_face(job: AddJob, point: Point, new: base.Face) -> Point | None:
    """Return the person with the face and the attributes of the job; None if it has the face, and so the attributes, or
    others that it got since.
    """
    if _has(point, new.face_id):
        return None
    if len(point.faces) >= MAX_FACES:
        raise PersonFull(f"the person has {MAX_FACES} faces already, as many as one can have; delete one of them first")
    given: dict[str, Any] = {"name": job.name, "external_id": job.external_id}
    given["metadata"] = None if job.metadata is None else json.loads(job.metadata)
    changes = {attribute: value for attribute, value in given.items() if value is not None}
    with _a_mean():
        return with_faces(replace(point, **changes), [*point.faces, new])


def delete_face(job: DeleteFaceJob, runtime: Runtime) -> str:
    """Delete a face of a person, the last one with the person. Only jobs of one origin succeed: that of the request
    that claims the deletion.
    """
    claimed = runtime.ledger.claimed_deletion(job)
    store = matching(runtime.store, job.collection)
    if not claimed and not _has(_read(job, store, job.person_id), job.face_id):
        raise PersonUnknown
    require_time(job)
    if not runtime.ledger.claim_deletion(job):
        raise PersonUnknown

    def before(left: Point | None) -> None:
        if left is None:
            runtime.ledger.bar_adding(job)
        require_time(job)

    try:
        _take(job, store, job.person_id, job.face_id, before)
    except (StoreError, ContractError):
        runtime.ledger.release_deletion(job)
        raise
    return FACE_DELETED


def _take(
    job: FacedbJob,
    store: Store,
    person_id: uuid.UUID,
    face_id: uuid.UUID,
    before: Callable[[Point | None], None] = lambda _left: None,
) -> None:
    """Take a face from a person, if it is there, and remove a person who has no other. before: called before each write
    with what is left of the person. Raises FacesUnlike.
    """
    for _ in range(TRIES):
        found = store.get(job.collection, [person_id])
        if not found or not _has(found[0], face_id):
            return
        with _a_mean():
            left = without_face(found[0], face_id)
        before(left)
        store.replace(job.collection, found[0], left)
    raise Unavailable("others change the person")


def _changed(job: FacedbJob, store: Store, person_id: uuid.UUID, change: Callable[[Point], Point | None]) -> Point:
    """Change a person until there is nothing to change, and return it. change: returns what is to be written, None for
    nothing. Raises PersonUnknown.
    """
    for _ in range(TRIES):
        read = _read(job, store, person_id)
        new = change(read)
        if new is None:
            return read
        require_time(job)
        store.replace(job.collection, read, new)
    raise Unavailable("others change the person")


def _read(job: FacedbJob, store: Store, person_id: uuid.UUID) -> Point:
    """Raises PersonUnknown."""
    found = store.get(job.collection, [person_id])
    if not found:
        raise PersonUnknown
    return found[0]


def _has(point: Point, face_id: uuid.UUID) -> bool:
    return any(face.face_id == face_id for face in point.faces)


@contextmanager
def _a_mean() -> Iterator[None]:
    """Raise FacesUnlike where faces have no mean."""
    try:
        yield
    except FacesOpposed:
        raise FacesUnlike("the faces of the person would be so unlike that they cancel each other out") from None
