"""The API contract as data: statuses, their exact messages, parameter rules and limits.

Source: the face-search API description; docs/contract.md is its English text with our decisions. facecompare is from
the same vendor's sibling API. The calls themselves are in shared/calls.py.
"""

import re
from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Annotated, Any, Final, Literal, NotRequired

from pydantic import Discriminator, Field, Tag, WithJsonSchema
from typing_extensions import TypedDict  # pydantic takes no other before Python 3.12

from shared.persons import (
    MAX_FACES,
    Added,
    CountedFacedb,
    FaceQuality,
    Metadata,
    Person,
    PersonId,
    PersonPage,
    PersonWithFaces,
)


class Status(StrEnum):
    """The `status` of an answer, which a client reads first."""

    OK = "OK"
    NO_SIMILAR_FACE = "NO_SIMILAR_FACE"
    FACE_DETECT_FAILED = "FACE_DETECT_FAILED"
    PERSON_ID_NOT_EXIST = "PERSON_ID_NOT_EXIST"
    IMAGE_INVALID_SIZE = "IMAGE_INVALID_SIZE"
    IMAGE_INVALID_FORMAT = "IMAGE_INVALID_FORMAT"
    INVALID_REQUEST = "INVALID_REQUEST"
    FAIL = "FAIL"


class Flaw(StrEnum):
    """A flaw of the detected faces, as a header may report it to a caller: the quality of one, or that there are
    several where one was asked for.
    """

    SIZE = "size"
    BLUR = "blur"
    DARK = "dark"
    BRIGHT = "bright"
    POSE = "pose"
    SEVERAL = "several"


class Faces(StrEnum):
    """The faces of an image to add."""

    ALL = "all"
    LARGEST = "largest"
    ONE = "one"


class SearchedFaces(StrEnum):
    """The faces of an image to search for."""

    LARGEST = "largest"
    ALL = "all"


# INVALID_REQUEST is missing on purpose: its message names the parameter and its flaw.
MESSAGES: Final[Mapping[Status, str]] = MappingProxyType(
    {
        Status.NO_SIMILAR_FACE: "no similar face in db",
        Status.FACE_DETECT_FAILED: "check input image and retry",
        Status.PERSON_ID_NOT_EXIST: "check input person id",
        Status.IMAGE_INVALID_SIZE: "image larger than 2M",
        Status.IMAGE_INVALID_FORMAT: "image format not support",
        Status.FAIL: "please try again later",
    }
)
FACE_DELETED: Final = "successfully deleted face"

MAX_IMAGE_BYTES: Final = 2 * 1024 * 1024
"""Largest decoded image in bytes: this many are accepted, one more is IMAGE_INVALID_SIZE."""

MAX_IMG_CHARACTERS: Final = -(-MAX_IMAGE_BYTES // 3) * 4
"""Length of the standard base64 of the largest image."""

LONGEST_NAME: Final = 128
"""Largest length of a face's name in characters (Unicode code points)."""

NAME: Final = re.compile(rf"[A-Za-z0-9]{{0,{LONGEST_NAME}}}")

FREE_NAME: Final = r"^[\p{L}\p{M}\p{N}\p{P}\p{S} \u3000\u200C\u200D]*$"
"""The pattern of a name where names are free, in the syntax that Rust (which pydantic uses) and ECMAScript share: the
characters that Python calls printable, the wide space of Japanese and Chinese names, and the two joiners of Persian,
the scripts of India and some emoji. It excludes control characters, line breaks, halves of surrogate pairs and the
signs that change the direction of the text around them."""

FACEDB: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")

MAX_ADDED: Final = 100
"""Most faces of one image that are added at once. With the default models each takes 17 ms of a core of 2024, so that
all of them take 2 of the 4 seconds of a job's time limit, and less than the visibility timeout of 5 seconds."""

MIN_CONFIDENCE: Final = 80
"""Least confidence (scale [0, 100]) of a match that is listed, unless a caller asks for another."""

MAX_MATCHES: Final = 50
"""Most matches that are listed; a caller may ask for fewer."""

MAX_DETAILED: Final = 500
"""Most matches that are listed with details for all faces of a photo: 6 MB at worst, a megabyte or less as a rule."""

SURE_CONFIDENCE: Final = 95
"""Least confidence of SAME PERSON: the FAR there is 1 in 100,000 on the photos of the calibration. At MIN_CONFIDENCE,
the least of NOT SURE, it is 1 in 1,000. docs/confidence.md has both rates for other people, too, and the FRR."""


class Result(StrEnum):
    """The result that facecompare concludes from a similarity."""

    SAME_PERSON = "SAME PERSON"
    NOT_SURE = "NOT SURE"
    NOT_SAME_PERSON = "NOT SAME PERSON"


HttpStatus = Literal["mapped", "always-200"]
"""The HTTP code of an answer to a call. mapped: the code that echoes the status, such as 401, 403, 429 and 503;
always-200: 200 whatever the status, for clients whose library throws on anything else."""

Confidences = Literal["decimals", "whole"]
"""The form of confidences. decimals: at most 3 of them; whole: rounded down, so that 94.6 is never 95."""

Names = Literal["strict", "free"]
"""The names that faces may be given. strict: NAME; free: FREE_NAME of at most LONGEST_NAME characters."""

# Not just float: 100 must not become 100.0 on its way.
_Confidence = Annotated[int | float, WithJsonSchema({"type": "number", "minimum": 0, "maximum": 100})]
_RESULT_MEANING: Final = (
    f"{Result.SAME_PERSON} from a similarity of {SURE_CONFIDENCE} on, {Result.NOT_SURE} from {MIN_CONFIDENCE} on, "
    f"below that {Result.NOT_SAME_PERSON}"
)


Box = Annotated[
    list[int],
    Field(
        min_length=4,
        max_length=4,
        description="left, top, width and height in pixels of the upright photo; may extend beyond it",
    ),
]


class ShownFace(TypedDict):
    """A face in a photo; the order of keys is the order in the JSON. box: its place in the photo as it was sent, turned
    upright by its EXIF orientation.
    """

    box: Box
    quality: FaceQuality


class AddedFace(TypedDict):
    """An entry of addface's list; the order of keys is the order in the JSON. existing, confidence: of a face for which
    `unique` found somebody so like it; left out for one that was added. All others after person_id are left out unless
    `details` asks for them; the last ones are those of the person, as in Person.
    """

    name: str
    person_id: PersonId
    existing: NotRequired[Literal[True]]
    confidence: NotRequired[_Confidence]
    face_id: NotRequired[PersonId]
    box: NotRequired[Box]
    quality: NotRequired[FaceQuality]
    added: NotRequired[Added]
    external_id: NotRequired[str]
    metadata: NotRequired[Metadata]
    faces: NotRequired[Annotated[int, Field(ge=1)]]


class FaceConfidence(TypedDict):
    """How alike one face of a person is."""

    face_id: PersonId
    confidence: _Confidence


class FoundFace(TypedDict):
    """An entry of searchface's list; the order of keys is the order in the JSON. All after person_id are left out
    unless `details` asks for them. face_id: the person's face that is most alike. box, quality: of the face in the
    photo, left out where there is no photo or another object has them. face_confidences: those of the person's faces.
    """

    confidence: _Confidence
    name: str
    person_id: PersonId
    face_id: NotRequired[PersonId]
    box: NotRequired[Box]
    quality: NotRequired[FaceQuality]
    added: NotRequired[Added]
    external_id: NotRequired[str]
    metadata: NotRequired[Metadata]
    faces: NotRequired[Annotated[int, Field(ge=1)]]
    face_confidences: NotRequired[
        Annotated[list[FaceConfidence], Field(min_length=1, max_length=MAX_FACES, description="best first")]
    ]


class SearchedFace(TypedDict):
    """An entry of searchface's list where `faces` is all: a face of the photo with the faces like it. reason: the flaw
    for which it was not searched for; left out where it was.
    """

    box: Box
    quality: FaceQuality
    reason: NotRequired[Annotated[Flaw, WithJsonSchema({"enum": [flaw.value for flaw in Flaw][:-1]})]]
    matches: Annotated[list[FoundFace], Field(max_length=MAX_MATCHES)]


class Comparison(TypedDict):
    """The result of facecompare; the order of keys is the order in the JSON. similarity: a confidence. faces: the faces
    that were compared, in the order of the images; left out unless `details` asks for them.
    """

    similarity: _Confidence
    result: Annotated[
        Result, WithJsonSchema({"enum": [result.value for result in Result], "description": _RESULT_MEANING})
    ]
    faces: NotRequired[Annotated[list[ShownFace], Field(min_length=2, max_length=2)]]


def _kind(message: Any) -> str:
    """Return which of the messages one is, without trying them one after the other: an outcome with 50 matches is
    checked in a fifth of the time.
    """
    if isinstance(message, str):
        return "text"
    if isinstance(message, list):
        first = message[0] if message and isinstance(message[0], dict) else {}
        kinds = (("matches", "searched"), ("existing", "added"), ("confidence", "found"), ("facedb", "facedbs"))
        return next((kind for key, kind in kinds if key in first), "added")
    keys = message if isinstance(message, dict) else {}
    if isinstance(keys.get("faces"), list) and "person_id" in keys:
        return "whole"
    return "comparison" if "similarity" in keys else "page" if "persons" in keys else "person"


Message = Annotated[
    Annotated[str, Tag("text")]
    | Annotated[list[AddedFace], Tag("added")]
    | Annotated[list[FoundFace], Tag("found")]
    | Annotated[list[SearchedFace], Tag("searched")]
    | Annotated[Comparison, Tag("comparison")]
    | Annotated[Person, Tag("person")]
    | Annotated[PersonWithFaces, Tag("whole")]
    | Annotated[PersonPage, Tag("page")]
    | Annotated[list[CountedFacedb], Tag("facedbs")],
    Discriminator(_kind),
]
"""The message of an answer: of OK, the result of its call; of any other status, a text."""
