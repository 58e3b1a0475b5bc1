"""The calls of the API, one row for each: gateway, worker, documents and tests take from this table what they know.

A new call is a row here with the model of its parameters, a job in shared/jobs.py and an action in worker/actions.py.
"""

import re
import uuid
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Annotated, Any, ClassVar, Final, Literal, NamedTuple, get_args

from pydantic import ConfigDict, Field, WithJsonSchema, model_validator

from shared.contract import (
    FACE_DELETED,
    MAX_ADDED,
    MAX_MATCHES,
    MIN_CONFIDENCE,
    AddedFace,
    Comparison,
    Faces,
    FoundFace,
    Message,
    Names,
    Result,
    SearchedFace,
    SearchedFaces,
    Status,
)
from shared.control import DEFAULT, Scope
from shared.errors import (
    ContractError,
    CursorInvalid,
    FaceNotDetected,
    FacesUnlike,
    ImageUnreadable,
    InvalidRequest,
    NoSimilarFace,
    PersonFull,
    PersonUnknown,
    TooManyFaces,
    rejection_reasons,
)
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
from shared.parameters import (
    PERSON_ID_EXAMPLE,
    CallParameters,
    Cursor,
    Details,
    ExternalId,
    Facedb,
    FaceId,
    FreeName,
    GivenPersonId,
    Img,
    LeastConfidence,
    LikePerson,
    Limit,
    Metadata,
    Name,
    NewExternalId,
    NewMetadata,
    PageSize,
    PersonId,
    Unique,
    WantedName,
    WhichFaces,
    WhichSearched,
    missing,
)
from shared.persons import (
    MAX_FACES,
    MAX_PERSONS,
    CountedFacedb,
    FaceOfPerson,
    FaceQuality,
    Person,
    PersonPage,
    PersonWithFaces,
)


class Tag(NamedTuple):
    """A group of calls in the OpenAPI document."""

    name: str
    description: str


@dataclass(frozen=True, eq=False, kw_only=True)
class Call:
    """One call of the API.

    name: what metrics, usage and logs name it by. method, route: of its requests; a name in braces is a parameter in
    the path; by default the route is /v1/ and the name. scope: what a key must have. parameters, free_names: the model
    that checks a request, and the one where names are free if that differs. job: what a worker does. raises: the errors
    of the worker's action, besides Unavailable. charged: the statuses of the tariff; all others are free. result,
    result_example: the type of the message of OK, and such a message. summary, description: for the document. example:
    the text parameters of a valid request; images come on top.
    """

    name: str
    method: Literal["POST", "GET", "PATCH", "DELETE"] = "POST"
    route: str | None = None
    tag: Tag
    scope: Scope
    parameters: type[CallParameters]
    free_names: type[CallParameters] | None = None
    job: type[Job]
    raises: tuple[type[ContractError], ...] = ()
    charged: frozenset[Status] = frozenset()
    result: Any
    result_example: Message
    summary: str
    description: str
    example: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.name

    @cached_property
    def path(self) -> str:
        """Its path, with the names of parameters in braces."""
        return self.route or f"/v1/{self.name}"

    @cached_property
    def path_parameters(self) -> tuple[str, ...]:
        """The names of the parameters in its path."""
        return tuple(re.findall(r"\{(\w+)\}", self.path))

    @property
    def has_body(self) -> bool:
        """Whether its other parameters are in the body of a request; if not, they are in the query string."""
        return self.method in ("POST", "PATCH")

    @property
    def is_reading(self) -> bool:
        """Whether it changes nothing, so that it needs no Idempotency-Key."""
        return self.method == "GET"

    @property
    def may_be_asynchronous(self) -> bool:
        """Whether a request may prefer not to be waited for, and become an asynchronous job."""
        return self.method == "POST"

    @property
    def title(self) -> str:
        """The name of its schemas in the OpenAPI document, such as AddFace."""
        return self.parameters.__name__.removesuffix("Parameters")

    @property
    def image_parameters(self) -> tuple[str, ...]:
        return self.parameters.image_parameters

    @cached_property
    def job_statuses(self) -> frozenset[Status]:
        """The statuses that a worker answers with."""
        return frozenset({Status.OK, Status.FAIL, *(error.status for error in self.raises)})

    @cached_property
    def statuses(self) -> frozenset[Status]:
        """The statuses that a caller is answered with."""
        of_images = {Status.IMAGE_INVALID_SIZE, Status.IMAGE_INVALID_FORMAT} if self.image_parameters else set()
        return self.job_statuses | {Status.INVALID_REQUEST} | of_images

    def parameters_for(self, names: Names) -> type[CallParameters]:
        """Return the model of its parameters where the operator allows these names."""
        return self.free_names if names == "free" and self.free_names is not None else self.parameters


FACES: Final = Tag("Faces", "Faces of a face database: add, find, delete.")
PERSONS: Final = Tag("Persons", "Who was added, with what is attached to them: list, look up, change, delete.")
COMPARISON: Final = Tag("Comparison", "Two images, and no face database.")


class AddFaceParameters(CallParameters):
    """img: the image, of any size and kind. name None: left out, which is not the same as empty."""

    img: Img
    name: Name = None
    facedb: Facedb = None
    faces: WhichFaces = Faces.ALL
    external_id: ExternalId = None
    metadata: Metadata = None
    person_id: GivenPersonId = None
    unique: Unique = None
    details: Details = 0

    @property
    def compares(self) -> bool:
        return self.unique is not None

    def job_fields(self) -> dict[str, Any]:
        """Return the fields. Raises InvalidRequest if `unique` or `faces=all` is given for a person, and PersonUnknown
        for a person_id that cannot be one.
        """
        fields = super().job_fields()
        if self.person_id is None:
            return fields
        if self.unique is not None:
            raise InvalidRequest("unique must be left out with person_id, who gets one face in any case")
        if "faces" in self.model_fields_set and self.faces is Faces.ALL:
            raise InvalidRequest("faces must be largest or one with person_id, who gets one face")
        return fields | {"person_id": as_person_id(self.person_id)}


class AddFaceParametersFree(AddFaceParameters):
    """The same where names are free."""

    name: FreeName = None


class SearchFaceParameters(CallParameters):
    """img: the image, of any size and kind; empty if there is a person_id, which is text that may be no id at all."""

    model_config = ConfigDict(json_schema_extra={"oneOf": [{"required": ["img"]}, {"required": ["person_id"]}]})

    img: Img = b""
    facedb: Facedb = None
    limit: Limit = MAX_MATCHES
    min_confidence: LeastConfidence = MIN_CONFIDENCE
    faces: WhichSearched = SearchedFaces.LARGEST
    person_id: LikePerson = None
    details: Details = 0

    @model_validator(mode="before")
    @classmethod
    def _one_of_both(cls, values: Mapping[str, Any]) -> Mapping[str, Any]:
        if not values.get("person_id"):
            if not values.get("img"):
                raise missing(cls, "img")
        elif values.get("img"):
            raise InvalidRequest("img and person_id are both given; give one of them")
        elif values.get("faces") == SearchedFaces.ALL:
            raise InvalidRequest("faces must be largest or left out with a person_id, which is one person")
        return values

    @property
    def compares(self) -> bool:
        return True

    def job_fields(self) -> dict[str, Any]:
        """Raises PersonUnknown for a person_id that cannot be one."""
        person = {} if self.person_id is None else {"person_id": as_person_id(self.person_id)}
        return super().job_fields() | person


class _OfOnePerson(CallParameters):
    """person_id: text that may be no id at all."""

    person_id: PersonId
    facedb: Facedb = None

    def job_fields(self) -> dict[str, str | None]:
        """Return the id. Raises PersonUnknown."""
        return {"person_id": as_person_id(self.person_id)}


def as_person_id(text: str) -> str:
    """Return an id in its canonical form. Raises PersonUnknown for a text that cannot be one: no face has it."""
    try:
        return str(uuid.UUID(text))
    except ValueError:
        raise PersonUnknown from None


class DelFaceParameters(_OfOnePerson):
    """The face to delete."""


class GetPersonParameters(_OfOnePerson):
    """The person to look up."""


class ListPersonsParameters(CallParameters):
    """name, external_id None: any."""

    facedb: Facedb = None
    name: WantedName = None
    external_id: ExternalId = None
    limit: PageSize = MAX_PERSONS
    after: Cursor = None


class UpdatePersonParameters(_OfOnePerson):
    """name, external_id, metadata None: it stays; empty: it is removed."""

    removable: ClassVar = frozenset({"name", "external_id", "metadata"})

    name: Name = None
    external_id: NewExternalId = None
    metadata: NewMetadata = None

    def job_fields(self) -> dict[str, str | None]:
        """Return the id and the changes. Raises PersonUnknown, and InvalidRequest if there are no changes."""
        changes = self.model_dump(mode="json", include=set(self.removable), exclude_none=True)
        if not changes:
            raise InvalidRequest("nothing is to be changed; give name, external_id or metadata")
        return super().job_fields() | changes


class UpdatePersonParametersFree(UpdatePersonParameters):
    """The same where names are free."""

    name: FreeName = None


class DeletePersonParameters(_OfOnePerson):
    """The person to delete."""


class DeleteFaceParameters(_OfOnePerson):
    """The person and the face of it to delete."""

    face_id: FaceId

    def job_fields(self) -> dict[str, str | None]:
        """Return both ids. Raises PersonUnknown for a text that cannot be one."""
        return super().job_fields() | {"face_id": as_person_id(self.face_id)}


class ListFacedbsParameters(CallParameters):
    """None."""


class FaceCompareParameters(CallParameters):
    """img1, img2: the images, of any size and kind."""

    img1: Img
    img2: Img
    details: Details = 0


_PERSON_EXAMPLE: Final = Person(
    person_id=PERSON_ID_EXAMPLE,
    name="Grace",
    added="2026-11-28T09:30:00.250000Z",
    external_id="employee-4711",
    metadata={"floor": 3},
    faces=1,
)
_WHOLE_EXAMPLE: Final = PersonWithFaces(
    person_id=_PERSON_EXAMPLE["person_id"],
    name=_PERSON_EXAMPLE["name"],
    added=_PERSON_EXAMPLE["added"],
    external_id=_PERSON_EXAMPLE["external_id"],
    metadata=_PERSON_EXAMPLE["metadata"],
    faces=[
        FaceOfPerson(
            face_id=PERSON_ID_EXAMPLE,
            added=_PERSON_EXAMPLE["added"],
            quality=FaceQuality(size=142.3, sharpness=0.812, dark=0.0, bright=0.013, yaw=-3.1, pitch=2.0),
        )
    ],
)

ADD_FACE: Final = Call(
    name="addface",
    tag=FACES,
    scope=Scope.ADD,
    parameters=AddFaceParameters,
    free_names=AddFaceParametersFree,
    job=AddJob,
    raises=(FaceNotDetected, ImageUnreadable, TooManyFaces, PersonUnknown, PersonFull, FacesUnlike),
    # The source marks OK as charged and says in the same line that adding is free. It is free, and counted on its own,
    # so that an operator can price it.
    charged=frozenset({Status.FACE_DETECT_FAILED}),
    result=Annotated[list[AddedFace], Field(min_length=1, max_length=MAX_ADDED)],
    result_example=[AddedFace(name="ID0", person_id=PERSON_ID_EXAMPLE)],
    summary="Add the faces of one image",
    description=(
        "All faces get the `name` that is given, or else ID0, ID1 and so on. They are listed from left to right. "
        "`faces` says which are added: `all` of them, the `largest` alone, or `one`, which adds nobody where the "
        f"image shows several. An image with more than {MAX_ADDED} faces to add is INVALID_REQUEST. `external_id` and "
        "`metadata` are attached to all faces. With `unique`, a confidence from 80 on, a face is not added if somebody "
        "in the face database is so like it: its entry names that person, with `existing` and the `confidence`. Of any "
        "number of concurrent adds of one person with `unique` exactly one adds. With `person_id` the most prominent "
        f"face is added to that person, who has at most {MAX_FACES} faces and is found by all of them; `name`, "
        "`external_id` and `metadata` then change what is attached; `faces=one` adds nothing where the image shows "
        "several, and `all` and `unique` are refused. "
        "`details` says more about each face: where it is in the photo, how it is shown, and what is attached to its "
        "person."
    ),
    example={"name": "Grace"},
)
SEARCH_FACE: Final = Call(
    name="searchface",
    tag=FACES,
    scope=Scope.SEARCH,
    parameters=SearchFaceParameters,
    job=SearchJob,
    raises=(NoSimilarFace, FaceNotDetected, ImageUnreadable, TooManyFaces, PersonUnknown),
    charged=frozenset({Status.OK, Status.NO_SIMILAR_FACE, Status.FACE_DETECT_FAILED}),
    result=Annotated[list[FoundFace], Field(min_length=1, max_length=MAX_MATCHES)]
    | Annotated[list[SearchedFace], Field(min_length=1, max_length=MAX_ADDED)],
    result_example=[FoundFace(confidence=99.123, name="Grace", person_id=PERSON_ID_EXAMPLE)],
    summary="Find the same face among those added",
    description=(
        "Searches for the most prominent face of the image. Matches are listed from high to low confidence: at most "
        "`limit` of those that have `min_confidence`. If `faces` is `all`, it searches for every face, and lists the "
        "faces of the image from left to right, each with its `matches`. It then is NO_SIMILAR_FACE only if no face "
        "has a match. A face that is not shown well enough has no matches, and the `reason`. An image with more than "
        f"{MAX_ADDED} faces is INVALID_REQUEST. With a `person_id` in place of `img`, one of which is needed, it "
        "searches for those like that person, who is left out. `details` says more about each match, and how alike "
        "each face of a person is."
    ),
)
DELETE_FACE: Final = Call(
    name="delface",
    tag=FACES,
    scope=Scope.DELETE,
    parameters=DelFaceParameters,
    job=DeleteJob,
    raises=(PersonUnknown,),
    result=Annotated[str, WithJsonSchema({"const": FACE_DELETED})],
    result_example=FACE_DELETED,
    summary="Delete one added face",
    description="Of any number of concurrent deletes of one id exactly one is OK.",
    example={"person_id": PERSON_ID_EXAMPLE},
)
COMPARE_FACES: Final = Call(
    name="facecompare",
    tag=COMPARISON,
    scope=Scope.SEARCH,
    parameters=FaceCompareParameters,
    job=CompareJob,
    raises=(FaceNotDetected, ImageUnreadable),
    charged=frozenset({Status.OK, Status.FACE_DETECT_FAILED}),
    result=Comparison,
    result_example=Comparison(similarity=97.501, result=Result.SAME_PERSON),
    summary="Tell whether two images show the same person",
    description=(
        "Compares the most prominent face of each image. Nothing is added, searched or kept. `details` says where the "
        "two faces are in their photos, and how they are shown."
    ),
)

LIST_PERSONS: Final = Call(
    name="listpersons",
    method="GET",
    route="/v1/persons",
    tag=PERSONS,
    scope=Scope.SEARCH,
    parameters=ListPersonsParameters,
    job=ListPersonsJob,
    raises=(CursorInvalid,),
    result=PersonPage,
    result_example=PersonPage(persons=[_PERSON_EXAMPLE], next=None),
    summary="List persons",
    description=(
        "Lists persons from the one who was added first on, at most `limit` at a time. `next` is the `after` of the "
        "request for those that follow, with the same other parameters. Nobody is listed twice, and nobody is missed "
        "who is there throughout, whatever is added and deleted meanwhile."
    ),
)
GET_PERSON: Final = Call(
    name="getperson",
    method="GET",
    route="/v1/persons/{person_id}",
    tag=PERSONS,
    scope=Scope.SEARCH,
    parameters=GetPersonParameters,
    job=GetPersonJob,
    raises=(PersonUnknown,),
    result=PersonWithFaces,
    result_example=_WHOLE_EXAMPLE,
    summary="Look one person up",
    description=(
        "Answers the person with its faces. `added` and `quality` are null for a face that was added by a release "
        "without them."
    ),
    example={"person_id": PERSON_ID_EXAMPLE},
)
UPDATE_PERSON: Final = Call(
    name="updateperson",
    method="PATCH",
    route="/v1/persons/{person_id}",
    tag=PERSONS,
    scope=Scope.ADD,
    parameters=UpdatePersonParameters,
    free_names=UpdatePersonParametersFree,
    job=UpdatePersonJob,
    raises=(PersonUnknown,),
    result=Person,
    result_example=_PERSON_EXAMPLE,
    summary="Change what is attached to a person",
    description=(
        "Changes `name`, `external_id` and `metadata`, as far as they are given, and answers the person. What is "
        "empty, or null in JSON, is removed; `metadata` is replaced as a whole."
    ),
    example={"person_id": PERSON_ID_EXAMPLE, "name": "Grace", "external_id": "employee-4711"},
)
DELETE_PERSON: Final = Call(
    name="deleteperson",
    method="DELETE",
    route="/v1/persons/{person_id}",
    tag=PERSONS,
    scope=Scope.DELETE,
    parameters=DeletePersonParameters,
    job=DeleteJob,
    raises=(PersonUnknown,),
    result=DELETE_FACE.result,
    result_example=FACE_DELETED,
    summary="Delete a person",
    description=DELETE_FACE.description,
    example={"person_id": PERSON_ID_EXAMPLE},
)
DELETE_FACE_OF_PERSON: Final = Call(
    name="deleteface",
    method="DELETE",
    route="/v1/persons/{person_id}/faces/{face_id}",
    tag=PERSONS,
    scope=Scope.DELETE,
    parameters=DeleteFaceParameters,
    job=DeleteFaceJob,
    raises=(PersonUnknown, FacesUnlike),
    result=DELETE_FACE.result,
    result_example=FACE_DELETED,
    summary="Delete one face of a person",
    description=(
        "The last face is deleted with the person. PERSON_ID_NOT_EXIST also where the person has no such face. "
        f"{DELETE_FACE.description}"
    ),
    example={"person_id": PERSON_ID_EXAMPLE, "face_id": PERSON_ID_EXAMPLE},
)
LIST_FACEDBS: Final = Call(
    name="listfacedbs",
    method="GET",
    route="/v1/facedbs",
    tag=PERSONS,
    scope=Scope.SEARCH,
    parameters=ListFacedbsParameters,
    job=CountFacedbsJob,
    result=Annotated[list[CountedFacedb], Field(min_length=1)],
    result_example=[CountedFacedb(facedb=DEFAULT, persons=2, faces=2, default=True)],
    summary="List the face databases",
    description="Lists the face databases of the key's tenant by name, and counts the persons and faces of each.",
)

CALLS: Final = (
    ADD_FACE,
    SEARCH_FACE,
    DELETE_FACE,
    COMPARE_FACES,
    LIST_PERSONS,
    GET_PERSON,
    UPDATE_PERSON,
    DELETE_PERSON,
    DELETE_FACE_OF_PERSON,
    LIST_FACEDBS,
)
"""All calls, in the order in which documents and messages name them."""


@dataclass(frozen=True, eq=False, kw_only=True)
class JobLookUp:
    """The look-up of what became of an asynchronous call, which is counted and logged like a call; a gateway does it
    alone. name, path: as of a call. statuses: those that a caller is answered with.
    """

    name: str
    path: str
    statuses: frozenset[Status]


GET_JOB: Final = JobLookUp(
    name="getjob",
    path="/v1/jobs/{job_id}",
    statuses=frozenset({Status.INVALID_REQUEST}).union(
        *(call.job_statuses for call in CALLS if call.may_be_asynchronous)
    ),
)
"""It is answered with the outcome, so with the statuses of the calls that may be asynchronous."""

Counted = Call | JobLookUp
"""What metrics, usage and the call log know each request as."""


@dataclass(frozen=True)
class FieldNames:
    """The names of the parameters that calls know, each once, in the order of the calls. numbers, objects: texts that
    are numbers and JSON objects.
    """

    images: tuple[str, ...]
    texts: tuple[str, ...]
    numbers: frozenset[str] = frozenset()
    objects: frozenset[str] = frozenset()


def field_names(calls: Iterable[Call]) -> FieldNames:
    """Return the names of the parameters in bodies of these calls."""
    calls = [call for call in calls if call.has_body]
    images = dict.fromkeys(name for call in calls for name in call.image_parameters)
    every = {name: field for call in calls for name, field in call.parameters.model_fields.items()}
    numbers = frozenset(
        name for name, field in every.items() if {field.annotation, *get_args(field.annotation)} & {int, float}
    )
    objects = frozenset(name for call in calls for name in call.parameters.object_parameters)
    return FieldNames(tuple(images), tuple(name for name in every if name not in images), numbers, objects)


def action_rejections(calls: Collection[Call]) -> Iterator[str]:
    """Yield the words under which metrics count the inputs that the actions of these calls turn down."""
    return rejection_reasons(*(error for call in calls for error in call.raises))
