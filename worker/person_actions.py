"""The actions of jobs about persons as they are stored. Like those of worker/actions.py, each returns the message of OK
or raises a ContractError. None of them has an image or compares embeddings, so they serve face databases of any
embedder.
"""

import json
from datetime import UTC, datetime, timedelta
from typing import Final

from shared.contract import AddedFace, FoundFace
from shared.control.cursor_secret import cursor_secret
from shared.errors import CursorInvalid, PersonUnknown, Unavailable
from shared.jobs import CountFacedbsJob, GetPersonJob, ListPersonsJob, UpdatePersonJob
from shared.persons import CountedFacedb, FaceOfPerson, Person, PersonDetails, PersonPage, PersonWithFaces
from worker import cursors
from worker.cursors import Listing
from worker.delivery.deadline import require_time
from worker.delivery.time_limit import Stopwatch
from worker.runtime import Runtime
from worker.store import base
from worker.store.base import Changes
from worker.store.views import matching

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def list_persons(job: ListPersonsJob, runtime: Runtime) -> PersonPage:
    """Return the persons after the cursor, oldest first, and the cursor of those that follow."""
    secret = cursor_secret(runtime.ledger.redis)
    listing = Listing(job.collection, job.name, job.external_id)
    after = None
    if job.after is not None:
        try:
            after = cursors.decode(secret, listing, job.after)
        except ValueError:
            raise CursorInvalid(
                "after is not the next of an answer to the same request; begin again without it"
            ) from None
    # One more than is answered, which shows whether there are any after these.
    store = matching(runtime.store, job.collection)
    found = store.page(job.collection, after, job.limit + 1, name=job.name, external_id=job.external_id)
    page = found[: job.limit]
    following = cursors.encode(secret, listing, page[-1].position) if len(found) > len(page) else None
    return {"persons": [described(person) for person in page], "next": following}


def get_person(job: GetPersonJob, runtime: Runtime) -> PersonWithFaces:
    """Return a person with its faces."""
    found = matching(runtime.store, job.collection).get(job.collection, [job.person_id])
    if not found:
        raise PersonUnknown
    person: PersonWithFaces = {**described(found[0].person), "faces": [*map(_described_face, found[0].faces)]}
    return person


def update_person(job: UpdatePersonJob, runtime: Runtime) -> Person:
    """Change what is attached to a person, and return the person."""
    changes: Changes = {}
    if job.name is not None:
        changes["name"] = job.name
    if job.external_id is not None:
        changes["external_id"] = job.external_id or None
    if job.metadata is not None:
        changes["metadata"] = json.loads(job.metadata) if job.metadata else None
    store = matching(runtime.store, job.collection)
    require_time(job)
    person = (
        store.person(job.collection, job.person_id) if store.update(job.collection, job.person_id, changes) else None
    )
    if person is None:  # it was not there, or is deleted meanwhile
        raise PersonUnknown
    return described(person)


def count_facedbs(job: CountFacedbsJob, runtime: Runtime) -> list[CountedFacedb]:
    """Count the persons and faces of each face database. Raises Unavailable when that takes longer than a job may."""
    taken = Stopwatch(runtime.waited_s)
    counting = runtime.store.counts([facedb.collection for facedb in job.facedbs])
    counted: list[CountedFacedb] = []
    for facedb in job.facedbs:
        require_time(job)
        if taken.seconds() > runtime.patience_s:
            raise Unavailable(f"{len(counted)} of {len(job.facedbs)} facedbs are counted, which takes too long")
        counts = next(counting)
        persons, faces = counts.persons, counts.faces
        counted.append({"facedb": facedb.name, "persons": persons, "faces": faces, "default": facedb.default})
    return counted


def described(person: base.Person) -> Person:
    """Return a stored person as callers see it."""
    return {"person_id": str(person.person_id), "name": person.name, **person_details(person)}


def person_details(person: base.Person) -> PersonDetails:
    """Return what callers see of a stored person besides id and name."""
    details: PersonDetails = {"added": _time(person.added), "faces": person.faces}
    if person.external_id is not None:
        details["external_id"] = person.external_id
    if person.metadata is not None:
        details["metadata"] = dict(person.metadata)
    return details


def attach_person(entry: AddedFace | FoundFace, person: base.Person) -> None:
    """Add the details of a person to an entry."""
    details = person_details(person)
    entry["added"], entry["faces"] = details["added"], details["faces"]
    if "external_id" in details:
        entry["external_id"] = details["external_id"]
    if "metadata" in details:
        entry["metadata"] = details["metadata"]


def _described_face(face: base.Face) -> FaceOfPerson:
    return {"face_id": str(face.face_id), "added": _time(face.added), "quality": face.quality}


def _time(added: int | None) -> str | None:
    """Return microseconds since 1970 in the form of RFC 3339; None stays None."""
    if added is None:
        return None
    moment = _EPOCH + timedelta(microseconds=added)
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")
