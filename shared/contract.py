"""The API contract as data: statuses, their exact messages, parameter rules and limits.

Source: the face-search API description; docs/contract.md is its English text with our decisions. facecompare is that
of the same vendor's sibling API.
"""

import re
from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final, Literal

from typing_extensions import TypedDict  # pydantic takes no other before Python 3.12


class Status(StrEnum):
    """The `status` of an answer: what a client reads before anything else."""

    OK = "OK"
    NO_SIMILAR_FACE = "NO_SIMILAR_FACE"
    FACE_DETECT_FAILED = "FACE_DETECT_FAILED"
    PERSON_ID_NOT_EXIST = "PERSON_ID_NOT_EXIST"
    IMAGE_INVALID_SIZE = "IMAGE_INVALID_SIZE"
    IMAGE_INVALID_FORMAT = "IMAGE_INVALID_FORMAT"
    INVALID_REQUEST = "INVALID_REQUEST"
    FAIL = "FAIL"


class Flaw(StrEnum):
    """What is wrong with the faces that were found, as a caller may be told in a header: how one is shown, or, where
    one was asked for, that there are several.
    """

    SIZE = "size"
    BLUR = "blur"
    DARK = "dark"
    BRIGHT = "bright"
    POSE = "pose"
    SEVERAL = "several"


class Faces(StrEnum):
    """Which faces of an image to add."""

    ALL = "all"
    LARGEST = "largest"
    ONE = "one"


class Call(StrEnum):
    """The calls of the API, by the last part of their path."""

    ADD_FACE = "addface"
    SEARCH_FACE = "searchface"
    DELETE_FACE = "delface"
    COMPARE_FACES = "facecompare"


_EVERYWHERE: Final = frozenset(Call)
_WITH_IMAGE: Final = _EVERYWHERE - {Call.DELETE_FACE}

STATUSES_OF: Final[Mapping[Status, frozenset[Call]]] = MappingProxyType(
    {
        Status.OK: _EVERYWHERE,
        Status.NO_SIMILAR_FACE: frozenset({Call.SEARCH_FACE}),
        Status.FACE_DETECT_FAILED: _WITH_IMAGE,
        Status.PERSON_ID_NOT_EXIST: frozenset({Call.DELETE_FACE}),
        Status.IMAGE_INVALID_SIZE: _WITH_IMAGE,
        Status.IMAGE_INVALID_FORMAT: _WITH_IMAGE,
        Status.INVALID_REQUEST: _EVERYWHERE,
        Status.FAIL: _EVERYWHERE,
    }
)
"""Which call may answer which status."""

CHARGED: Final[frozenset[tuple[Call, Status]]] = frozenset(
    {
        (Call.SEARCH_FACE, Status.OK),
        (Call.SEARCH_FACE, Status.NO_SIMILAR_FACE),
        (Call.SEARCH_FACE, Status.FACE_DETECT_FAILED),
        (Call.ADD_FACE, Status.FACE_DETECT_FAILED),
        (Call.COMPARE_FACES, Status.OK),
        (Call.COMPARE_FACES, Status.FACE_DETECT_FAILED),
    }
)
"""The tariff: what is charged; all else is free. The source marks addface's OK as charged and says in the same line
that adding is free; it is metered as a line of its own, so that an operator can price it, and counted free."""

# INVALID_REQUEST is missing on purpose: its message says what is wrong with which parameter.
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

LONGEST_NAME: Final = 128
"""Of a face, in characters (Unicode code points)."""

NAME: Final = re.compile(rf"[A-Za-z0-9]{{0,{LONGEST_NAME}}}")

FREE_NAME: Final = r"^[\p{L}\p{M}\p{N}\p{P}\p{S} \u3000\u200C\u200D]*$"
"""What a name may be where names are free, as the expressions of Rust (which pydantic uses) and ECMAScript say it: what
Python calls printable, and besides the wide space of Japanese and Chinese names, and the two joiners that Persian, the
scripts of India and some emoji are written with. So no control character, no sign that turns the direction of the text
around it, no line break, no half of a surrogate pair."""

FACEDB: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")

MAX_ADDED: Final = 100
"""At most this many faces of an image are added at once. With the default models each takes 17 ms of a core of 2024, so
all of them 2 of the 4 seconds that a job may take, or the 5 after which a killed worker's job is given to another."""

MIN_CONFIDENCE: Final = 80
"""Matches of at least this confidence (scale [0, 100]) are listed."""

MAX_MATCHES: Final = 50
"""At most this many matches are listed."""

SURE_CONFIDENCE: Final = 95
"""From here on two faces are the same person: of strangers one pair in 100,000 gets here. From MIN_CONFIDENCE on, where
one in 1,000 does, nobody can be sure. docs/models.md has both rates, and how often photos of one person fall below."""


class Result(StrEnum):
    """What facecompare makes of a similarity."""

    SAME_PERSON = "SAME PERSON"
    NOT_SURE = "NOT SURE"
    NOT_SAME_PERSON = "NOT SAME PERSON"


HttpStatus = Literal["mapped", "always-200"]
"""How the calls' answers are sent. mapped: with the HTTP code that echoes the status, such as 401, 403, 429 and 503;
always-200: with 200 whatever the status, for clients whose library throws on anything else."""

Confidences = Literal["decimals", "whole"]
"""How confidences are written. decimals: with at most 3; whole: rounded down, so that 94.6 is never 95."""


Names = Literal["strict", "free"]
"""Which names faces may be given. strict: NAME; free: FREE_NAME of at most LONGEST_NAME characters."""


class AddedFace(TypedDict):
    """One entry of addface's list; the order of keys is the order in the JSON."""

    name: str
    person_id: str


class FoundFace(TypedDict):
    """One entry of searchface's list; the order of keys is the order in the JSON."""

    confidence: int | float  # not just float: 100 must not become 100.0 on its way
    name: str
    person_id: str


class Comparison(TypedDict):
    """What facecompare found; the order of keys is the order in the JSON. similarity: a confidence."""

    similarity: int | float
    result: Result


Message = str | list[AddedFace] | list[FoundFace] | Comparison
