"""What control data is made of, as kept in Redis and shown to operators: tenants, their keys, their face databases."""

import time
from collections.abc import Set as AbstractSet
from enum import StrEnum
from typing import Annotated, Final

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, field_serializer

from shared.contract import FACEDB, Confidences, HttpStatus
from shared.errors import OperatorError

Name = Annotated[str, Field(pattern=rf"^{FACEDB.pattern}$")]
"""Of a tenant, a facedb or a key: 1 to 64 letters, digits, - or _."""

LEAST_RATE: Final = 1e-6
MOST_RATE: Final = 1e6
"""Requests a second, at least and at most, of a key that has a rate: the limiter counts in microseconds, by numbers of
53 bits. One in twelve days, and more than all gateways of a service can answer."""


class Unknown(OperatorError):
    """What the operator names does not exist, or not in this tenant."""


class Conflict(OperatorError):
    """It exists already, or something else depends on it."""


class Scope(StrEnum):
    """What a key may do."""

    ADD = "add"
    SEARCH = "search"
    DELETE = "delete"


class _Record(BaseModel):
    """Each has `created`, and all times are in UTC and whole seconds."""

    model_config = ConfigDict(frozen=True, extra="forbid", json_schema_serialization_defaults_required=True)


class Tenant(_Record):
    """Somebody with keys and face databases of their own. facedb: the one that is meant when a request names none."""

    name: Name
    facedb: Name
    created: AwareDatetime


class Facedb(_Record):
    """A face database: one collection of the store."""

    name: Name
    collection: str
    created: AwareDatetime


class Key(_Record):
    """An API key, without the key itself. expires: from when on it no longer works, None for never.
    rate: requests a second (any number of them, if a former release made it), concurrency: requests at once; 0 for any.
    http_status, confidence: how its answers are written. None of these four: as the settings say.
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
    """A key and whose it is: tenant_id is of the tenant that made it, not of one that has its name by now."""

    tenant_id: str


class KeyRecord(Key):
    """What stays of a key for good, whether it works or not: bills name it. revoked: since when it opens nothing, None
    unless somebody ended it.
    """

    revoked: AwareDatetime | None = None

    def state(self) -> str:
        """works, revoked or expired."""
        return "revoked" if self.revoked else "expired" if self.expired() else "works"


def check_name(kind: str, name: str) -> None:
    """Raises OperatorError for what cannot be the name of a tenant, a facedb or a key."""
    if FACEDB.fullmatch(name) is None:
        raise OperatorError(f"the name of a {kind} is 1 to 64 letters, digits, - or _; {name!r} is not")
