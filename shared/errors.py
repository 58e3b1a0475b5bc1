"""Errors of the domain. They carry a contract status and know nothing of HTTP."""

from collections.abc import Iterator
from typing import Final

from shared.contract import MESSAGES, Flaw, Status


class ContractError(Exception):
    """A request that ends with a status other than OK.

    The caller sees the contract's exact message; `reason` is for the log and must hold no personal data. `rejected`:
    the word under which metrics count it as a rejected input, None if they do not.
    """

    status: Status
    rejected: str | None = None

    def __init__(self, reason: str = "") -> None:
        super().__init__(reason or self.status.value)
        self.reason = reason

    @property
    def message(self) -> str:
        """The text that the caller gets."""
        return MESSAGES[self.status]

    @classmethod
    def rejections(cls) -> tuple[str, ...]:
        """Return every word that `rejected` of such an error may be."""
        return () if cls.rejected is None else (cls.rejected,)


class InvalidRequest(ContractError):
    """A parameter is missing or malformed; the reason names it and is shown to the caller."""

    status = Status.INVALID_REQUEST
    rejected = "parameter"

    @property
    def message(self) -> str:
        return self.reason


class BodyUnreadable(InvalidRequest):
    """The body is compressed, too slow, broken off, wrongly framed or too large."""

    rejected = "body"


class FacedbUnknown(InvalidRequest):
    """The caller has no face database of that name."""

    rejected = "facedb"


class TooManyFaces(InvalidRequest):
    """The image shows more faces than can be added at once, however often it is tried."""

    rejected = "too_many_faces"


class PersonFull(InvalidRequest):
    """The person has as many faces as a person can have."""

    rejected = "person_full"


class FacesUnlike(InvalidRequest):
    """The faces that the person would have are so unlike that they have no mean."""

    rejected = "faces_unlike"


class CursorInvalid(InvalidRequest):
    """The cursor was not made by this service, or for another list."""

    rejected = "cursor"


class Unauthorized(InvalidRequest):
    """The API key is missing or unknown."""

    rejected = "unauthorized"


class Forbidden(InvalidRequest):
    """The API key is known but may not make this call."""

    rejected = "forbidden"


class ImageTooLarge(ContractError):
    """The decoded image has more than MAX_IMAGE_BYTES bytes."""

    status = Status.IMAGE_INVALID_SIZE
    rejected = "image_size"


class ImageUnreadable(ContractError):
    """The bytes are no JPEG, PNG or BMP, are cut off, or claim more pixels than are allowed."""

    status = Status.IMAGE_INVALID_FORMAT
    rejected = "image_format"


class FaceNotDetected(ContractError):
    """No face was found in the image."""

    status = Status.FACE_DETECT_FAILED
    rejected = "no_face"


class FaceFlawed(FaceNotDetected):
    """Faces were detected, but none that may be used. flaw: why."""

    def __init__(self, flaw: Flaw) -> None:
        super().__init__(f"faces: {flaw}")
        self.flaw = flaw


class FacePoor(FaceFlawed):
    """No face of the image has the quality that is required. flaw: that of the most prominent one."""

    FLAWS: Final = tuple(flaw for flaw in Flaw if flaw is not Flaw.SEVERAL)

    def __init__(self, flaw: Flaw) -> None:
        super().__init__(flaw)
        self.rejected = f"quality_{flaw}"

    @classmethod
    def rejections(cls) -> tuple[str, ...]:
        return tuple(f"quality_{flaw}" for flaw in cls.FLAWS)


class SeveralFaces(FaceFlawed):
    """The image shows several faces, and its caller asked for one to be added if it is the only one."""

    rejected = "several_faces"

    def __init__(self) -> None:
        super().__init__(Flaw.SEVERAL)


class NoSimilarFace(ContractError):
    """No face of the face database reaches the least confidence."""

    status = Status.NO_SIMILAR_FACE


class PersonUnknown(ContractError):
    """The face database has no such face."""

    status = Status.PERSON_ID_NOT_EXIST


class Unavailable(ContractError):
    """The service could not do it now. retry_after_s: whole seconds after which a retry may succeed, >= 1."""

    status = Status.FAIL

    def __init__(self, reason: str = "", retry_after_s: int = 1) -> None:
        super().__init__(reason)
        self.retry_after_s = retry_after_s


class NotYet(Unavailable):
    """Another job has to end first, and does not. An asynchronous job is put back, and done later."""


class TooManyRequests(Unavailable):
    """The caller has reached its own limit."""

    rejected = "concurrency"


class TooFast(TooManyRequests):
    """More requests a second than the caller's key may make."""

    rejected = "rate"


class OperatorError(Exception):
    """A problem that the operator has to solve. Its text is one line with the problem and the remedy."""


def rejection_reasons(*kinds: type[ContractError]) -> Iterator[str]:
    """Yield the words under which metrics count errors of these kinds and of the kinds below them."""
    for kind in kinds:
        yield from kind.rejections()
        yield from rejection_reasons(*kind.__subclasses__())
