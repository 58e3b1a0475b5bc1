"""The operations of the admin API, as one table of paths, bodies, answers and audit events.

Each function gets the control data, or what has workers do jobs, and the path's variables by name and the body if there
is one. Its result is sent as `message`, and its return annotation is the schema of that.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

from gateway.admin.bodies import (
    Body,
    ChangedPerson,
    DefaultFacedb,
    ErasedPersons,
    Erasure,
    IssuedKey,
    IssuedSecret,
    NewFacedb,
    NewKey,
    NewTenant,
    RevivedWebhooks,
    SetRetention,
)
from gateway.admin.estimates import estimate
from gateway.admin.service import get_service, list_events
from shared import expiry, person_erasure
from shared.aged_persons import aged
from shared.audit import Event
from shared.calls import (
    DELETE_FACE_OF_PERSON,
    DELETE_PERSON,
    GET_PERSON,
    LIST_FACEDBS,
    LIST_PERSONS,
    UPDATE_PERSON,
    Call,
)
from shared.confidence import Estimate
from shared.control import (
    Confidence,
    Conflict,
    Control,
    Facedb,
    Key,
    KeyRecord,
    ListedFacedb,
    Retention,
    Tenant,
    Unknown,
)
from shared.operator_jobs import OperatorJobs
from shared.persons import CountedFacedb, Person, PersonPage, PersonWithFaces
from shared.webhooks.dead import DeadWebhook, dead, revive

PREFIX: Final = "/admin/v1"


async def list_tenants(control: Control) -> list[Tenant]:
    return await control.tenants()


async def create_tenant(control: Control, body: NewTenant) -> Tenant:
    return await control.create_tenant(body.name)


async def get_tenant(control: Control, tenant: str) -> Tenant:
    return await control.tenant(tenant)


async def drop_tenant(control: Control, tenant: str) -> str:
    await control.drop_tenant(tenant)
    return f"tenant {tenant} dropped"


async def list_keys(control: Control, tenant: str) -> list[Key]:
    return await control.keys(tenant)


async def list_all_keys(control: Control, tenant: str) -> list[KeyRecord]:
    return await control.key_records(tenant)


async def create_key(control: Control, tenant: str, body: NewKey) -> IssuedKey:
    key, secret = await control.create_key(
        tenant,
        body.name,
        scopes=body.scopes,
        expires=None if body.expires is None else expiry.parse(body.expires),
        rate=body.rate,
        concurrency=body.concurrency,
        http_status=body.http_status,
        confidence=body.confidence,
    )
    return IssuedKey(**dict(key), key=secret)


async def revoke_key(control: Control, tenant: str, key_id: str) -> str:
    await control.revoke_key(tenant, key_id)
    return f"key {key_id} revoked"


async def list_facedbs(control: Control, tenant: str) -> list[ListedFacedb]:
    return await control.listed(tenant, await control.facedbs(tenant))


async def create_facedb(control: Control, tenant: str, body: NewFacedb) -> Facedb:
    return await control.create_facedb(tenant, body.name)


async def drop_facedb(control: Control, tenant: str, facedb: str) -> str:
    await control.drop_facedb(tenant, facedb)
    return f"facedb {facedb} dropped"


async def set_default_facedb(control: Control, tenant: str, body: DefaultFacedb) -> Tenant:
    return await control.set_default_facedb(tenant, body.facedb)


async def count_facedbs(jobs: OperatorJobs, tenant: str) -> list[CountedFacedb]:
    return cast("list[CountedFacedb]", await jobs.do(LIST_FACEDBS, tenant))


async def list_persons(jobs: OperatorJobs, tenant: str, facedb: str, query: Mapping[str, str]) -> PersonPage:
    return cast("PersonPage", await jobs.do(LIST_PERSONS, tenant, facedb, **query))


async def get_person(jobs: OperatorJobs, tenant: str, facedb: str, person_id: str) -> PersonWithFaces:
    return cast("PersonWithFaces", await jobs.do(GET_PERSON, tenant, facedb, person_id=person_id))


async def update_person(jobs: OperatorJobs, tenant: str, facedb: str, person_id: str, body: ChangedPerson) -> Person:
    return cast("Person", await jobs.do(UPDATE_PERSON, tenant, facedb, person_id=person_id, **body.texts()))


async def delete_person(jobs: OperatorJobs, tenant: str, facedb: str, person_id: str) -> str:
    await jobs.do(DELETE_PERSON, tenant, facedb, person_id=person_id)
    return "person deleted"


async def delete_face(jobs: OperatorJobs, tenant: str, facedb: str, person_id: str, face_id: str) -> str:
    await jobs.do(DELETE_FACE_OF_PERSON, tenant, facedb, person_id=person_id, face_id=face_id)
    return "face deleted"


async def get_confidence(control: Control, tenant: str, facedb: str) -> Confidence | None:
    return await control.confidence(tenant, facedb)


async def estimate_confidence(control: Control, tenant: str, facedb: str) -> Estimate:
    return await estimate(control.redis, await _collection(control, tenant, facedb))


async def keep_confidence(control: Control, tenant: str, facedb: str, by: str) -> Confidence:
    collection = await _collection(control, tenant, facedb)
    found = await estimate(control.redis, collection)
    return await control.keep_confidence(tenant, facedb, collection, found, by)


async def remove_confidence(control: Control, tenant: str, facedb: str, by: str) -> Confidence:
    return await control.remove_confidence(tenant, facedb, by)


async def undo_confidence(control: Control, tenant: str, facedb: str, by: str) -> Confidence:
    return await control.undo_confidence(tenant, facedb, by)


async def get_retention(control: Control, tenant: str, facedb: str) -> Retention | None:
    return await control.retention(tenant, facedb)


async def set_retention(jobs: OperatorJobs, tenant: str, facedb: str, body: SetRetention, by: str) -> Retention:
    if not body.confirmed:
        going = await aged(jobs, tenant, facedb, body.days)
        if going:
            raise Conflict(f"{going} would lose faces at once, for good; send it again with confirmed true")
    return await jobs.control.set_retention(tenant, facedb, body.days, by)


async def remove_retention(control: Control, tenant: str, facedb: str) -> str:
    await control.remove_retention(tenant, facedb)
    return f"facedb {facedb} keeps faces for good"


async def erase_persons(jobs: OperatorJobs, tenant: str, body: ErasedPersons) -> Erasure:
    wanted = body.wanted()
    found = await person_erasure.find_all(jobs, tenant, body.facedb, wanted)
    if not found:
        raise Unknown(f"nobody of tenant {tenant} has that {next(iter(wanted))}")
    if not body.confirmed:
        count = sum(map(len, found.values()))
        raise Conflict(f"{count} would be erased, for good; send it again with confirmed true")
    collections = [await _collection(jobs.control, tenant, facedb) for facedb in found]
    deleted, reasons = {}, []
    for facedb in found:
        done = await person_erasure.delete(jobs, tenant, facedb, wanted)
        deleted[facedb] = done.person_ids
        if done.reason:
            reasons.append(done.reason)
    begins = await jobs.control.erase_soon(collections)
    return Erasure(deleted=deleted, reason="; ".join(reasons), files_from=begins)


async def renew_webhook_secret(control: Control, tenant: str) -> IssuedSecret:
    return IssuedSecret(secret=await control.renew_webhook_secret(tenant))


async def remove_webhook_secret(control: Control, tenant: str) -> str:
    await control.remove_webhook_secret(tenant)
    return f"tenant {tenant} has no webhook secret"


async def list_dead_webhooks(control: Control, tenant: str) -> list[DeadWebhook]:
    return await dead(control, tenant)


async def retry_dead_webhooks(control: Control, tenant: str) -> RevivedWebhooks:
    return RevivedWebhooks(retried=await revive(control, tenant))


async def _collection(control: Control, tenant: str, facedb: str) -> str:
    await control.tenant(tenant)
    found = await control.facedb(tenant, facedb)
    if found is None:
        raise Unknown.facedb(tenant, facedb)
    return found.collection


@dataclass(frozen=True)
class Operation:
    """One method of one path. http_status: of success. conflicts: whether it may be refused because of what exists.
    refusable: whether it may be refused although the request is well-formed. signed: whether `perform` gets `by`, who
    asked for it. asks_worker: whether it gets the jobs in place of the control data. asks_images: whether it gets
    `images`, the image store. query: the call whose parameters, but for the facedb, it gets as `query` from the query
    string.

    action: its name in the audit trail, None if it changes nothing. subject: returns the `key`, `facedb` or `days` for
    the audit trail, from the arguments and the result of `perform`; by default neither.
    """

    method: str
    path: str
    summary: str
    perform: Callable[..., Awaitable[Any]]
    body: type[Body] | None = None
    http_status: int = 200
    conflicts: bool = False
    refusable: bool = False
    signed: bool = False
    asks_worker: bool = False
    asks_images: bool = False
    query: Call | None = None
    action: str | None = None

    subject: Callable[[Mapping[str, Any], Any], dict[str, str | int]] = lambda _given, _result: {}

    def query_parameters(self) -> tuple[str, ...]:
        """Return the names of the parameters in the query string."""
        return () if self.query is None else tuple(self.query.parameters.model_fields.keys() - {"facedb"})

    def audit_event(self, given: Mapping[str, Any], result: Any, by: str) -> Event | None:
        """Return the event of an operation that was done, None for one that changes nothing. given, result: the
        arguments and the result of `perform`. by: who did it.
        """
        if self.action is None:
            return None
        tenant = given.get("tenant") or result.name
        fields = {"action": self.action, "by": by, "tenant": tenant, **self.subject(given, result)}
        return Event.model_validate(fields)


_TENANTS: Final = f"{PREFIX}/tenants"
_TENANT: Final = f"{_TENANTS}/{{tenant}}"
_SECRET: Final = f"{_TENANT}/webhook-secret"
_DEAD: Final = f"{_TENANT}/dead-webhooks"
_PERSONS: Final = f"{_TENANT}/facedbs/{{facedb}}/persons"
_PERSON: Final = f"{_PERSONS}/{{person_id}}"
_RETENTION: Final = f"{_TENANT}/facedbs/{{facedb}}/retention"
_CONFIDENCE: Final = f"{_TENANT}/facedbs/{{facedb}}/confidence"


def _facedb_of_the_path(given: Mapping[str, Any], _result: Any) -> dict[str, str | int]:
    return {"facedb": given["facedb"]}


OPERATIONS: Final[Sequence[Operation]] = (
    Operation(
        "GET",
        f"{PREFIX}/service",
        "How the service is, which alerts hold, and when its last backup was made",
        get_service,
        asks_images=True,
    ),
    Operation("GET", f"{PREFIX}/audit", "The newest events of the audit trail, oldest first", list_events),
    Operation("GET", _TENANTS, "List all tenants", list_tenants),
    Operation(
        "POST",
        _TENANTS,
        "Create a tenant with an empty facedb",
        create_tenant,
        NewTenant,
        201,
        conflicts=True,
        action="tenant.create",
    ),
    Operation("GET", _TENANT, "One tenant", get_tenant),
    Operation("DELETE", _TENANT, "Drop a tenant with all its keys and faces", drop_tenant, action="tenant.drop"),
    Operation("GET", f"{_TENANT}/keys", "List the keys that work", list_keys),
    Operation("GET", f"{_TENANT}/all-keys", "List all keys, revoked and expired ones too", list_all_keys),
    Operation(
        "POST",
        f"{_TENANT}/keys",
        "Create a key; it is shown this once",
        create_key,
        NewKey,
        201,
        action="key.create",
        subject=lambda _, key: {"key": key.id},
    ),
    Operation(
        "DELETE",
        f"{_TENANT}/keys/{{key_id}}",
        "Revoke a key",
        revoke_key,
        action="key.revoke",
        subject=lambda given, _: {"key": given["key_id"]},
    ),
    Operation(
        "POST",
        _SECRET,
        "Make a new secret by which webhooks are signed; it is shown this once",
        renew_webhook_secret,
        http_status=201,
        action="tenant.webhook-secret",
    ),
    Operation(
        "DELETE",
        _SECRET,
        "Remove the webhook secret, and so switch the tenant's webhooks off",
        remove_webhook_secret,
        action="tenant.webhook-secret-off",
    ),
    Operation("GET", _DEAD, "List the webhooks that were given up, the newest first", list_dead_webhooks),
    Operation(
        "POST",
        f"{_DEAD}/retry",
        "Try the webhooks that were given up again",
        retry_dead_webhooks,
        action="webhooks.retry",
    ),
    Operation("GET", f"{_TENANT}/facedbs", "List the facedbs", list_facedbs),
    Operation(
        "POST",
        f"{_TENANT}/facedbs",
        "Create an empty facedb",
        create_facedb,
        NewFacedb,
        201,
        conflicts=True,
        action="facedb.create",
        subject=lambda _, facedb: {"facedb": facedb.name},
    ),
    Operation(
        "DELETE",
        f"{_TENANT}/facedbs/{{facedb}}",
        "Drop a facedb with all its faces",
        drop_facedb,
        conflicts=True,
        action="facedb.drop",
        subject=_facedb_of_the_path,
    ),
    Operation(
        "GET",
        f"{_TENANT}/counted-facedbs",
        "List the facedbs, and how many persons and faces are in each",
        count_facedbs,
        asks_worker=True,
    ),
    Operation(
        "GET",
        _PERSONS,
        "List the persons of a facedb, a part at a time",
        list_persons,
        refusable=True,
        asks_worker=True,
        query=LIST_PERSONS,
    ),
    Operation("GET", _PERSON, "One person with its faces", get_person, asks_worker=True),
    Operation(
        "PATCH",
        _PERSON,
        "Change what is attached to a person",
        update_person,
        ChangedPerson,
        asks_worker=True,
        action="person.update",
        subject=_facedb_of_the_path,
    ),
    Operation(
        "DELETE",
        _PERSON,
        "Delete a person",
        delete_person,
        asks_worker=True,
        action="person.delete",
        subject=_facedb_of_the_path,
    ),
    Operation(
        "DELETE",
        f"{_PERSON}/faces/{{face_id}}",
        "Delete a face of a person, the last one with the person",
        delete_face,
        refusable=True,
        asks_worker=True,
        action="person.delete-face",
        subject=_facedb_of_the_path,
    ),
    Operation("GET", _CONFIDENCE, "What the confidences of a facedb are given by; null: never changed", get_confidence),
    Operation(
        "POST",
        _CONFIDENCE,
        "Estimate what confidences stand for in a facedb; nothing is changed",
        estimate_confidence,
        conflicts=True,
        refusable=True,
    ),
    Operation(
        "PUT",
        _CONFIDENCE,
        "Estimate it, and give the facedb's confidences by that from now on",
        keep_confidence,
        conflicts=True,
        refusable=True,
        signed=True,
        action="facedb.calibrate",
        subject=_facedb_of_the_path,
    ),
    Operation(
        "DELETE",
        _CONFIDENCE,
        "Give the facedb's confidences by the model's calibration again",
        remove_confidence,
        conflicts=True,
        signed=True,
        action="facedb.uncalibrate",
        subject=_facedb_of_the_path,
    ),
    Operation(
        "POST",
        f"{_CONFIDENCE}/undo",
        "Give the facedb's confidences as before the last change",
        undo_confidence,
        conflicts=True,
        signed=True,
        action="facedb.undo-calibrate",
        subject=_facedb_of_the_path,
    ),
    Operation(
        "POST",
        f"{_TENANT}/erasures",
        "Erase all persons who have an external id or a name: now for callers, soon from the files",
        erase_persons,
        ErasedPersons,
        conflicts=True,
        asks_worker=True,
        action="person.erase",
        subject=lambda given, done: {
            **({"facedb": given["body"].facedb} if given["body"].facedb else {}),
            "persons": sum(map(len, done.deleted.values())),
        },
    ),
    Operation("GET", _RETENTION, "For how long the faces of a facedb are kept; null: for good", get_retention),
    Operation(
        "PUT",
        _RETENTION,
        "Keep the faces of a facedb for a number of days from their adds",
        set_retention,
        SetRetention,
        conflicts=True,
        signed=True,
        asks_worker=True,
        action="facedb.retention",
        subject=lambda given, _: {"facedb": given["facedb"], "days": given["body"].days},
    ),
    Operation(
        "DELETE",
        _RETENTION,
        "Keep the faces of a facedb for good",
        remove_retention,
        conflicts=True,
        action="facedb.retention-off",
        subject=_facedb_of_the_path,
    ),
    Operation(
        "PUT",
        f"{_TENANT}/default-facedb",
        "Choose the default facedb",
        set_default_facedb,
        DefaultFacedb,
        action="facedb.default",
        subject=lambda given, _: {"facedb": given["body"].facedb},
    ),
)
