"""Erasure of kept answers that name deleted faces: in idempotency records (shared/idempotency.py) of asynchronous
jobs (shared/asynchronous/), and on their way to callers' servers (shared/webhooks/).

The answer is replaced, and the record stays until it expires: without it a repetition would add the face again.
"""

from collections.abc import Callable, Iterator
from itertools import chain
from typing import Any, Final, cast
from uuid import UUID

from redis import Redis

from shared import lua
from shared.asynchronous import PREFIX
from shared.contract import Status
from shared.control.inventory import in_use, names_of_tenants
from shared.idempotency import OUTCOME, RECORDS, tenant_of
from shared.jobs import Outcome
from shared.webhooks import DELIVERY
from worker.store.base import IdentityMismatch, Store
from worker.store.views import matching

ERASED: Final = Outcome(
    status=Status.INVALID_REQUEST,
    message="what was answered under this Idempotency-Key named a face that is deleted, and was erased",
)
ERASED_JOB: Final = Outcome(
    status=Status.INVALID_REQUEST, message="the outcome of this job named a face that is deleted, and was erased"
)

_PLACES: Final = ((RECORDS, ERASED), (PREFIX, ERASED_JOB), (DELIVERY, ERASED_JOB))
"""The keys of what may have an answer by their prefixes, and what an answer there is replaced by."""

BATCH: Final = 200
"""Records that are read at once."""

_REPLACE: Final = lua.load(__package__, "kept_answers")


def forget_deleted(redis: Redis, store: Store, step: Callable[[], None]) -> int:
    """Replace every kept answer that names a face which no face database of its tenant has any more, and return how
    many there were. Raises RedisError and StoreError.
    """
    collections, names = tuple(in_use(redis)), names_of_tenants(redis)
    forgotten = 0
    for record, tenant_id, text, erased in chain.from_iterable(_answers(redis, *place) for place in _PLACES):
        tenant = names.get(tenant_id, tenant_id)
        # The faces of a tenant without collections may be in any.
        near = [collection for collection in collections if collection.startswith(f"{tenant}.")] or collections
        faces = _faces(text)
        if faces is None or not all(any(_holds(store, collection, face) for collection in near) for face in faces):
            forgotten += cast("int", redis.eval(_REPLACE, 1, record, OUTCOME, text, erased.model_dump_json()))
        step()
    return forgotten


def _answers(redis: Redis, prefix: str, erased: Outcome) -> Iterator[tuple[str, str, bytes, Outcome]]:
    """Yield each record that has an answer: its key, the id of its tenant, the answer, and what may replace it."""
    cursor = 0
    while True:
        cursor, keys = cast("tuple[int, list[bytes]]", redis.scan(cursor, f"{prefix}*", BATCH))
        with redis.pipeline(transaction=False) as pipe:
            for key in keys:
                pipe.hmget(key.decode(), OUTCOME, "tenant")
            found = cast("list[list[bytes | None]]", pipe.execute())
        for key, (text, tenant) in zip(keys, found, strict=True):
            if text is not None:
                yield key.decode(), tenant_of(key.decode()) if tenant is None else tenant.decode(), text, erased
        if not cursor:
            return


def _faces(text: bytes) -> list[UUID] | None:
    """Return the faces that an answer names; None if it cannot be read, so that it may name any."""
    try:
        return [UUID(person_id) for person_id in _person_ids(Outcome.model_validate_json(text).message)]
    except ValueError:  # no JSON, no outcome, or no id
        return None


def _person_ids(part: Any) -> Iterator[str]:
    """Yield the ids of persons anywhere in a message but in metadata, which are the caller's own. Matches may be in
    entries of the faces of a photo.
    """
    if isinstance(part, dict):
        if "person_id" in part:
            yield part["person_id"]
        part = [value for key, value in part.items() if key != "metadata"]
    if isinstance(part, list):
        for each in part:
            yield from _person_ids(each)


def _holds(store: Store, collection: str, face: UUID) -> bool:
    """Return whether the collection has the face; True if facesearch did not make it, so that it cannot be read."""
    try:
        return matching(store, collection).contains(collection, face)
    except IdentityMismatch:
        return True
