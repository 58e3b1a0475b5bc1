"""Request bodies of the admin API. The description of a field completes "… must be" in errors."""

import json
from collections.abc import Mapping
from typing import Annotated, Any, Final, TypeVar

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from shared.contract import Confidences, HttpStatus
from shared.control import MOST_DAYS, MOST_RATE, Key, Scope
from shared.errors import InvalidRequest

MAX_BODY_BYTES: Final = 16 * 1024
"""A hundred times the largest of these."""

Name = Annotated[str, Field(description="1 to 64 letters, digits, - or _")]
"""Any text here: shared/control checks names, for the command line as well."""


class Body(BaseModel):
    """A JSON object. Strict: `"5"` and `true` are not numbers."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True)


class NewTenant(Body):
    """A tenant to create."""

    name: Name


class NewFacedb(Body):
    """A face database to create."""

    name: Name


class NewKey(Body):
    """An API key to create. expires None: never. Any other field None: as in the settings."""

    name: Name
    scopes: frozenset[Scope] = Field(
        default=frozenset(Scope), description=f"a list of some of {', '.join(Scope)}; all if left out"
    )
    expires: str | None = Field(
        default=None, description="12h, 30d or 4w from now, a date or moment in ISO 8601, or null for never"
    )
    rate: float | None = Field(
        default=None, ge=0, le=MOST_RATE, description=f"requests a second, at most {MOST_RATE:,.0f}; 0: any"
    )
    concurrency: int | None = Field(default=None, ge=0, description="a whole number of requests at once; 0: any")
    http_status: HttpStatus | None = Field(
        default=None, description="mapped or always-200, or null for what the settings say"
    )
    confidence: Confidences | None = Field(
        default=None, description="decimals or whole, or null for what the settings say"
    )


class DefaultFacedb(Body):
    """Which facedb is meant when a request names none."""

    facedb: Name


class SetRetention(Body):
    """For how many days the faces of a facedb are kept."""

    days: int = Field(ge=1, le=MOST_DAYS, description=f"a whole number of days, 1 to {MOST_DAYS}")
    confirmed: bool = Field(
        default=False, description="true or false: whether faces that are older already may be deleted at once"
    )


class ErasedPersons(Body):
    """Who is to be erased: all who have exactly one of both."""

    external_id: str | None = Field(default=None, min_length=1, description="a text that is not empty")
    name: str | None = Field(default=None, min_length=1, description="a text that is not empty")
    facedb: Name | None = Field(default=None, description="the facedb of these persons, or null for all")
    confirmed: bool = Field(default=False, description="true or false: whether persons who are found may be erased")

    def wanted(self) -> dict[str, str]:
        """Return the name or the external id. Raises InvalidRequest unless one of both is given."""
        given = {"external_id": self.external_id, "name": self.name}
        wanted = {kind: text for kind, text in given.items() if text is not None}
        if len(wanted) != 1:
            raise InvalidRequest("either external_id or name must be given")
        return wanted


class Erasure(BaseModel):
    """What was erased. deleted: ids of persons by facedb. reason: why not everybody was; "" if all were. files_from:
    when a worker begins to remove their bytes from the files.
    """

    deleted: dict[str, list[str]]
    reason: str
    files_from: AwareDatetime


class ChangedPerson(Body):
    """What is to change of a person; what is left out stays. None: it is removed. A removed name is empty."""

    name: str | None = Field(default=None, description="a text, or null to remove it")
    external_id: str | None = Field(default=None, description="a text, or null to remove it")
    metadata: dict[str, Any] | None = Field(default=None, description="an object, or null to remove it")

    def texts(self) -> dict[str, str]:
        """Return what is given, as callers send it in a form."""
        given = {name: getattr(self, name) for name in self.model_fields_set}
        if given.get("metadata") is not None:
            given["metadata"] = json.dumps(given["metadata"])
        return {name: "" if value is None else value for name, value in given.items()}


class IssuedKey(Key):
    """A key just created. key: the API key itself, which is shown only now."""

    key: str


class IssuedSecret(BaseModel):
    """A webhook secret just made. secret: itself, which is shown only now."""

    model_config = ConfigDict(frozen=True)

    secret: str


class RevivedWebhooks(BaseModel):
    """How many webhooks are tried again."""

    model_config = ConfigDict(frozen=True)

    retried: int


B = TypeVar("B", bound=Body)


def parse(model: type[B], body: bytes) -> B:
    """Parse a body. Raises InvalidRequest with one sentence about the first field that is wrong."""
    if len(body) > MAX_BODY_BYTES:
        raise InvalidRequest(f"body is longer than {MAX_BODY_BYTES} bytes")
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        raise InvalidRequest(_sentence(model, error.errors(include_url=False, include_input=False)[0])) from None


def _sentence(model: type[Body], first: Mapping[str, Any]) -> str:
    fields = ", ".join(model.model_fields)
    if not first["loc"]:
        return f"body must be a JSON object of {fields}"
    name = str(first["loc"][0])
    if first["type"] == "extra_forbidden":
        return f"{name!r} is not known here; known are {fields}"
    what = "is missing; it must be" if first["type"] == "missing" else "must be"
    return f"{name} {what} {model.model_fields[name].description}"
