"""The parameters of each call: one model checks them here and documents them in gateway/openapi.py.

The description of a field completes "… must be", in the document as in the sentence that a caller gets.
"""

import uuid
from typing import Annotated, ClassVar, Final, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, WithJsonSchema

from gateway.body.encoded_images import MAX_IMG_CHARACTERS, decode_base64, from_file
from gateway.body.uploads import Parameters
from shared.contract import FACEDB, FREE_NAME, LONGEST_NAME, NAME, Faces, Names
from shared.errors import InvalidRequest, PersonUnknown

# Line breaks and a data: prefix may come on top, so maxLength is documented only; the bytes behind it are measured.
Img = Annotated[
    bytes,
    Field(min_length=1, description="the base64 of a jpeg, png or bmp image of at most 2M"),
    WithJsonSchema({"type": "string", "contentEncoding": "base64", "minLength": 1, "maxLength": MAX_IMG_CHARACTERS}),
]
Name = Annotated[str | None, Field(pattern=rf"^{NAME.pattern}$", description="at most 128 letters and digits")]
FreeName = Annotated[
    str | None,
    Field(pattern=FREE_NAME, max_length=LONGEST_NAME, description="at most 128 printable characters"),
    # Without the pattern: many a tool reads those of a document with expressions that do not know \\p.
    WithJsonSchema({"type": "string", "maxLength": LONGEST_NAME}),
]
# Empty is what libraries send for an optional field that was not filled in: the same as left out.
Facedb = Annotated[
    str | None,
    Field(pattern=rf"^({FACEDB.pattern})?$", description="1 to 64 letters, digits, - or _"),
    AfterValidator(lambda facedb: facedb or None),
]
# Not even empty it means the default: a caller who asks for one face must not add all for want of a value.
Which = Annotated[
    Faces,
    Field(description=f"{', '.join(list(Faces)[:-1])} or {list(Faces)[-1]}"),
    WithJsonSchema({"type": "string", "enum": [each.value for each in Faces]}),
]
PersonId = Annotated[
    # Text: what is no UUID is no INVALID_REQUEST but a face that does not exist, and is told so after facedb.
    str,
    Field(min_length=1, description="the person_id of an added face", json_schema_extra={"format": "uuid"}),
]


class Checked(BaseModel):
    """What the parameters of all calls have in common. facedb None, where there is one: the key's own default."""

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)
    images: ClassVar[tuple[str, ...]] = ()
    """Names of those that are images, in the order of the fields."""

    @property
    def images_size(self) -> int:
        """Bytes of all images."""
        return sum(len(getattr(self, name)) for name in self.images)


class AddFaceParameters(Checked):
    """img: the image, of any size and kind. name None: left out, which is not the same as empty."""

    images = ("img",)

    img: Img
    name: Name = None
    facedb: Facedb = None
    faces: Which = Faces.ALL


class AddFaceParametersFree(AddFaceParameters):
    """The same where names are free."""

    name: FreeName = None


def add_face_parameters(names: Names) -> type[AddFaceParameters]:
    """Those of addface by which names the operator allows."""
    return AddFaceParametersFree if names == "free" else AddFaceParameters


class SearchFaceParameters(Checked):
    """img: the image, of any size and kind."""

    images = ("img",)

    img: Img
    facedb: Facedb = None


class FaceCompareParameters(Checked):
    """img1, img2: the images, of any size and kind."""

    images = ("img1", "img2")

    img1: Img
    img2: Img


class DelFaceParameters(Checked):
    """person_id: text that may be no id at all."""

    person_id: PersonId
    facedb: Facedb = None

    def as_uuid(self) -> uuid.UUID:
        """The id. Raises PersonUnknown for what cannot be one: nobody was ever given it."""
        try:
            return uuid.UUID(self.person_id)
        except ValueError:
            raise PersonUnknown from None


M = TypeVar("M", bound=Checked)


def check(model: type[M], given: Parameters) -> M:
    """The parameters of a call. Raises InvalidRequest that says what is wrong with the first that is."""
    values: dict[str, str | bytes] = dict(given.text)
    for name in model.images:
        if name not in given.images:
            break  # it is the first that is wrong, as the model will say
        sent = given.images[name]
        values[name] = from_file(sent, name) if name in given.files else decode_base64(sent, name)
    try:
        return model.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        wrong = str(first["loc"][0])
        what = "is missing or empty; it must be" if first["type"] in _NOTHING else "must be"
        raise InvalidRequest(f"{wrong} {what} {model.model_fields[wrong].description}") from None


_NOTHING: Final = frozenset({"missing", "string_too_short", "bytes_too_short"})
