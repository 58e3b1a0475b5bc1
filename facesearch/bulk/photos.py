"""What a source has: photos to add, and what in it cannot be added."""

from dataclasses import dataclass, field
from typing import IO, Final, Protocol

from shared.contract import MAX_IMAGE_BYTES, MESSAGES, Status
from shared.imagefile.header import kind_of

UNREADABLE: Final = "UNREADABLE"
"""The status of a photo that could not be read; all other statuses are the contract's or those of the import."""

LISTED_SUFFIXES: Final = frozenset(
    f".{suffix}"
    for suffix in (
        "avif",
        "bmp",
        "gif",
        "heic",
        "heif",
        "jfif",
        "jpe",
        "jpeg",
        "jpg",
        "jxl",
        "png",
        "tif",
        "tiff",
        "webp",
    )
)
"""Suffixes of files that are photos for their owner, whether or not the service takes their format: one that it does
not take is reported, and not passed over in silence.
"""


MAX_SHRUNK_BYTES: Final = 128 * 1024 * 1024
"""Size of the largest file that is read to make it smaller: a JPEG of 200 megapixels in good quality."""


class Load(Protocol):
    """Reads a photo."""

    def __call__(self, most: int = MAX_IMAGE_BYTES) -> bytes:
        """Return the encoded image, of 1 to `most` bytes that begin as a JPEG, PNG or BMP. Raises Unusable, for more
        bytes with the status IMAGE_INVALID_SIZE.
        """


@dataclass(frozen=True)
class Photo:
    """One photo to add. path: within its source, for people and in the journal; with `/` between folders. name: that of
    its faces. load: reads it. person: what is the same for all photos of one person of several faces; None: each face
    of the photo is a person. external_id, metadata: of the person, as addface takes them; one with an external_id has
    a `person`, too. line: of a table, for people; None elsewhere.
    """

    path: str
    name: str
    load: Load = field(repr=False, compare=False)
    person: str | None = None
    external_id: str | None = None
    metadata: str | None = None
    line: int | None = None

    @property
    def attributes(self) -> dict[str, str]:
        """The parameters of addface beside the name by which something is attached to a new person."""
        given = {"external_id": self.external_id, "metadata": self.metadata}
        return {key: text for key, text in given.items() if text is not None}

    def place(self, column: str) -> str:
        """Return where a table has what a column says of the photo, as the end of a reason; "" elsewhere."""
        return "" if self.line is None else f", line {self.line}, column {column}"


@dataclass(frozen=True)
class Failure:
    """A photo, or a row of a source, that was not added. status: one of the contract, or a word of ours in capitals.
    reason: for people.
    """

    path: str
    name: str
    status: str
    reason: str


@dataclass(frozen=True)
class Listing:
    """What a source has. photos: in their order. failures: what is wrong with it without reading any photo. skipped:
    the number of files that are no photos. unused: the columns of a table that do not matter.
    """

    photos: tuple[Photo, ...]
    failures: tuple[Failure, ...] = ()
    skipped: int = 0
    unused: tuple[str, ...] = ()


class Unusable(Exception):
    """A photo cannot be sent, or was not added. status, reason: as in Failure."""

    def __init__(self, status: str, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


def read_image(file: IO[bytes], most: int) -> bytes:
    """Return the encoded image in a file. Reads no more than one byte beyond `most`. Raises Unusable, with the
    contract's status, if it is larger, or no JPEG, PNG or BMP.
    """
    data = file.read(most + 1)
    if len(data) > most:
        raise too_large(most)
    if kind_of(data) is None:
        raise Unusable(Status.IMAGE_INVALID_FORMAT, "it is no JPEG, PNG or BMP")
    return data


def too_large(most: int) -> Unusable:
    """Return the error of a photo of more than `most` bytes: the service's limit, or that of what is made smaller."""
    remedy = "--shrink makes it smaller" if most == MAX_IMAGE_BYTES else f"and than {most} bytes, the most for --shrink"
    return Unusable(Status.IMAGE_INVALID_SIZE, f"{MESSAGES[Status.IMAGE_INVALID_SIZE]}: {remedy}")


def printable(path: str) -> str:
    """Return a path as UTF-8 has it: bytes that are no text in the file system's encoding become escapes."""
    return path.encode("utf-8", "backslashreplace").decode()
