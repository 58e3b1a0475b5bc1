"""The records of control data, as stored in Redis and shown to operators."""

import time
from collections.abc import Set as AbstractSet
from enum import StrEnum
from typing import Annotated, Final, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, field_serializer

from shared.confidence import Points
from shared.contract import FACEDB, Confidences, HttpStatus
from shared.errors import OperatorError

Name = Annotated[str, Field(pattern=rf"^{FACEDB.pattern}$")]
"""The name of a tenant, a facedb or a key: 1 to 64 letters, digits, - or _."""

LEAST_RATE: Final = 1e-6
MOST_RATE: Final = 1e6
"""Range of a key's rate in requests a second: from one request in twelve days to more than a service can answer. The
limiter counts microseconds in numbers of 53 bits."""


MOST_DAYS: Final = 36_500
"""Longest retention: a hundred years."""

DAY_S: Final = 86_400


class Unknown(OperatorError):
    """The object does not exist, or not in this tenant. listed_by: the command of `facesearch` that lists such objects;
    "" if there is none.
    """

    def __init__(self, why: str, listed_by: str = "") -> None:
        super().__init__(why)
        self.listed_by = listed_by

    @classmethod
    def tenant(cls, name: str) -> "Unknown":
        return cls(f"there is no tenant {name}", "tenants list")

    @classmethod
    def facedb(cls, tenant: str, name: str) -> "Unknown":
        return cls(f"tenant {tenant} has no facedb {name}", f"facedbs list --tenant {tenant}")


class Conflict(OperatorError):
    """The object exists already, or something else depends on it."""


class Scope(StrEnum):
    """A permission of a key."""

    ADD = "add"
    SEARCH = "search"
    DELETE = "delete"


class _Record(BaseModel):
    """Base of all records. Times are in UTC and whole seconds."""

    model_config = ConfigDict(frozen=True, extra="forbid", json_schema_serialization_defaults_required=True)


class Tenant(_Record):
    """A tenant, with keys and face databases of its own. facedb: the default for requests that name none."""

    name: Name
    facedb: Name
    created: AwareDatetime


class Facedb(_Record):
    """A face database: one collection of the store."""

    name: Name
    collection: str
    created: AwareDatetime


class ListedFacedb(Facedb):
    """A face database as operators see it in lists. retention_days: age at which its faces go, None for never.
    migration: `filling` while the faces of another model are made, `switched` once they are searched and the former
    ones are kept, None without a migration.
    """

    retention_days: int | None = None
    migration: Literal["filling", "switched"] | None = None


class Table(_Record):
    """A calibration that was measured on the faces of one facedb. identity: of the embeddings for which it holds.
    points: see shared/confidence.py. faces: of how many it was measured. measured: when. by: for whom, as in the audit
    trail.
    """

    identity: str
    points: Points
    faces: int
    measured: AwareDatetime
    by: str


class Confidence(_Record):
    """What confidences of a facedb are given by. collection: of the facedb; one that was created again under its name
    has another. version: 1 from the first change on, one more with each. changed, by: when and by whom. table: the
    calibration, None for the model's. former: what it was before the last change.
    """

    collection: str
    version: int
    changed: AwareDatetime
    by: str
    table: Table | None = None
    former: Table | None = None


class Retention(_Record):
    """For how long the faces of a facedb are kept. created: of the facedb; one that was created again under its name
    has another. days: age at which a face goes. since: when it was switched on; persons without a time of adding, of an
    early release, count as added then. changed, by: when and by whom it was changed last.
    """

    created: AwareDatetime
    days: Annotated[int, Field(ge=1, le=MOST_DAYS)]
    since: AwareDatetime
    changed: AwareDatetime
    by: str

    def oldest(self, now: float) -> int:
        """Return the time, in microseconds since 1970, up to which faces go. now: Unix time in seconds."""
        return int((now - self.days * DAY_S) * 1_000_000)

    def ends_untimed(self, now: float) -> bool:
        """Return whether persons without a time of adding go. now: Unix time in seconds."""
        return self.since.timestamp() + self.days * DAY_S <= now


class Key(_Record):
    """An API key, without its secret.

    expires: when it stops working, None for never. rate: requests a second; keys of earlier releases may exceed the
    range above. concurrency: requests at once. 0 means no limit. http_status, confidence: the form of its answers. None
    for any of these four means the value of the settings.
    """

    id: str
    tenant: Name
    name: Name
    scopes: frozenset[Scope]
    expires: AwareDatetime | None = None
    rate: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    concurrency: Annotated[int, Field(ge=0)] | None = None
    http_status: HttpStatus | None = None
    confidence: Confidences | None = None
    created: AwareDatetime

    @field_serializer("scopes")
    def _in_order(self, scopes: AbstractSet[Scope]) -> list[Scope]:
        return [scope for scope in Scope if scope in scopes]

    def expired(self) -> bool:
        return self.expires is not None and time.time() >= self.expires.timestamp()


class Caller(Key):
    """A key with the id of the tenant that created it; another tenant may have that tenant's name by now."""

    tenant_id: str


class FoundFacedb(Facedb):
    """A facedb as a gateway looks it up for a request. table: its own calibration, None where the model's holds."""

    table: Table | None = None


class KeyRecord(Key):
    """The record of a key, valid or not, which is kept forever because bills name it. revoked: when an operator revoked
    it, None if never.
    """

    revoked: AwareDatetime | None = None

    def state(self) -> str:
        """Return works, revoked or expired."""
        return "revoked" if self.revoked else "expired" if self.expired() else "works"


def check_name(kind: str, name: str) -> None:
    """Raise OperatorError unless this may be the name of a tenant, a facedb or a key."""
    if FACEDB.fullmatch(name) is None:
        raise OperatorError(f"the name of a {kind} is 1 to 64 letters, digits, - or _; {name!r} is not")
